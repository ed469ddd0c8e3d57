"""Commands whose answers are lost, that were done, were not, are done later, or are refused: what is exact stays so."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from decade_scale import RedisProcess, S3Process, Site, Worker, row_of, store

from decade.errors import StoreError
from decade.ports import Allowance, Charge, Holding, Row, Use
from interop.decade_scale._engine import Argument, Engine, UnsureError

LIMIT = 3_000
PATHS = ((), ("a",))
CHARGES = [Charge(path, LIMIT) for path in PATHS]
STEPS = 60


class Faults:
    """Loses some of the answers to an engine's scripts."""

    def __init__(self, engine: Engine, rng: random.Random) -> None:
        self._run = engine.run
        self._rng = rng
        self._late: list[Callable[[], Any]] = []
        self.share = 0.2
        engine.run = self.run  # type: ignore[method-assign]

    def run(self, name: str, *arguments: Argument) -> Any:
        if self._late and self._rng.random() < 0.3:
            self.catch_up()
        if self._rng.random() >= self.share:
            return self._run(name, *arguments)
        match self._rng.randrange(3):
            case 0:
                self._run(name, *arguments)
            case 1:
                self._late.append(lambda: self._run(name, *arguments))
        raise UnsureError("the answer is lost")

    def catch_up(self) -> None:
        """What is still on its way arrives."""
        late, self._late = self._late, []
        for call in late:
            call()


class Client:
    """Uploads and removals at one server."""

    def __init__(self, worker: Worker, rng: random.Random) -> None:
        self.worker = worker
        self.faults = Faults(worker.engine, rng)
        self._rng = rng
        self.coming: list[Row] = []
        self.held: set[Row] = set()

    def step(self) -> None:
        what = self._rng.random()
        try:
            if what < 0.45:
                self._begin()
            elif what < 0.85 and self.coming:
                self._end(self.coming.pop(self._rng.randrange(len(self.coming))))
            elif self.held:
                row = self._rng.choice(sorted(self.held, key=lambda row: row.name.value))
                self.held.discard(row)
                self.worker.store.remove("a", row.name)
        except StoreError:
            pass

    def finish(self) -> None:
        """Give all up that is coming."""
        while self.coming:
            self.worker.quotas.release(PATHS, self.coming.pop().size)

    def _begin(self) -> None:
        octets = self._rng.randbytes(self._rng.choice([100, 250, 600]))
        if self.worker.quotas.reserve(CHARGES, len(octets)) is None:
            self.coming.append(row_of(octets, media_type=octets.hex()))

    def _end(self, row: Row) -> None:
        assert row.media_type is not None
        sink = self.worker.store.create(row.name, row.size)
        sink.write(bytes.fromhex(row.media_type))
        if self._rng.random() < 0.2:
            sink.drop()
            self.worker.quotas.release(PATHS, row.size)
            return
        try:
            is_new = self.worker.store.commit(sink, row)
        except StoreError:
            self.worker.quotas.release(PATHS, row.size)
            raise
        assert is_new
        self.held.add(row)


@pytest.fixture(scope="module")
def quick() -> Iterator[RedisProcess]:
    process = RedisProcess("redis-server", "--appendfsync", "no")
    yield process
    process.close()


@pytest.mark.parametrize("seed", range(12))
def test_what_is_stored_and_reserved_is_exact_whatever_answers_are_lost(
    quick: RedisProcess, s3_process: S3Process, seed: int
) -> None:
    rng = random.Random(seed)
    site = Site.new(quick, s3_process)
    with site.worker() as judge, site.worker() as one, site.worker() as two:
        clients = [Client(worker, rng) for worker in (one, two)]
        for _ in range(STEPS):
            rng.choice(clients).step()
            rows = judge.store.page("a", b"", 1000)
            holding = judge.quotas.holding(("a",))
            assert holding == judge.quotas.holding(())
            assert (holding.stored, holding.objects) == (sum(row.size for row in rows), len(rows))
            assert holding.used <= LIMIT
            assert holding.reserved >= sum(row.size for client in clients for row in client.coming)
        for client in clients:
            client.faults.share = 0.0
            client.finish()
            client.faults.catch_up()
            # The next upload finds all in order.
            assert client.worker.quotas.reserve([Charge(path, None) for path in PATHS], 1) is None
            client.worker.quotas.release(PATHS, 1)
        assert judge.quotas.holding(()).reserved == 0
        rows = judge.store.page("a", b"", 1000)
        assert {row.name for client in clients for row in client.held} <= {row.name for row in rows}
        for row in rows:
            reader = judge.store.open(row)
            assert row.name.matches(reader.read(0, row.size))
            reader.close()


@pytest.fixture
def process() -> Iterator[RedisProcess]:
    process = RedisProcess()
    yield process
    process.close()


def test_a_redis_that_is_full_takes_nothing_new_and_lets_go_what_goes(
    process: RedisProcess, s3_process: S3Process
) -> None:
    with Site.new(process, s3_process).worker() as worker, process.client() as client:
        rows = [store(worker.store, worker.quotas, bytes([number]) * 100) for number in range(2)]
        token, once = (b"key", bytes(16)), Allowance(uses=1)
        assert worker.quotas.reserve(CHARGES, 300) is None
        client.config_set("maxmemory", 1)
        with pytest.raises(StoreError, match="maxmemory"):
            worker.quotas.reserve(CHARGES, 100)
        with pytest.raises(StoreError, match="maxmemory"):
            worker.ledger.hold("a", token, once, Use(1), 100)
        new = row_of(bytes(300))
        sink = worker.store.create(new.name, new.size)
        sink.write(bytes(300))
        with pytest.raises(StoreError, match="maxmemory"):
            worker.store.commit(sink, new)
        worker.quotas.release(PATHS, 300)
        assert worker.store.remove("a", rows[0].name) == rows[0]
        assert worker.ledger.used(token) == Use()
        client.config_set("maxmemory", 0)
        assert worker.quotas.reserve(CHARGES, 100) is None
        assert worker.quotas.holding(()) == Holding(100, 100, 1)
        worker.quotas.release(PATHS, 100)
        assert worker.ledger.hold("a", token, once, Use(1), 100) is None
        assert [row.name for row in worker.store.page("a", b"", 9)] == [rows[1].name]
