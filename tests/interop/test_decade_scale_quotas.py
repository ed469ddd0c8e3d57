"""Quotas of several processes over one Redis: never over the limit, and in the end the sum of the objects."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from decade_scale import RedisProcess, S3Process, Site, Worker, row_of, store

from decade.errors import RefusedError, StateError, StoreError
from decade.messages import ResourcePolicy
from decade.policy import PolicyTree
from decade.ports import Charge, Holding
from interop import _redis
from interop._redis import PAUSE
from interop.decade_scale import Shared
from interop.decade_scale._engine import UnsureError

LIMIT = 100_000
PATHS = ((), ("a",), ("a", "app"))
CHARGES = [Charge(path, LIMIT) for path in PATHS]
LEASE = 3.0
TIMEOUT = 1.0
_SPAWN = multiprocessing.get_context("spawn")


def tree_of(worker: Worker) -> PolicyTree:
    tree = PolicyTree(worker.quotas)
    for path in PATHS[1:]:
        tree.put(path, ResourcePolicy(weight=1))
    tree.put(("a",), ResourcePolicy(weight=1, storage=LIMIT))
    return tree


def race(shared: Shared, seed: int, rounds: int, samples: Any) -> None:
    """Random uploads, some given up, and deletions; puts into `samples` the most that was ever in use."""
    worker = Worker(shared)
    tree, rng, held, most, refused = tree_of(worker), random.Random(seed), [], 0, 0
    for number in range(rounds):
        # Some objects are those of other processes too.
        octets = random.Random(rng.randrange(9)).randbytes(9_000) if number % 3 == 0 else rng.randbytes(15_000)
        if held and rng.random() < 0.4:
            row = held.pop(rng.randrange(len(held)))
            if worker.store.remove("a", row.name) is not None:
                tree.drop(row.payer, row.size)
        try:
            reservation = tree.reserve(("a", "app"), len(octets))
        except RefusedError:
            refused += 1
            continue
        finally:
            most = max(most, *(worker.quotas.holding(path).used for path in PATHS))
        if rng.random() < 0.2:
            reservation.release()
            continue
        row = row_of(octets, payer=("a", "app"), created=number)
        sink = worker.store.create(row.name, row.size)
        sink.write(octets)
        if worker.store.commit(sink, row):
            reservation.commit()
        else:
            reservation.release()
        held.append(row)
    samples.put((most, refused))
    worker.close()


def test_four_processes_never_hold_more_than_the_limit_and_at_the_end_what_their_objects_have(site: Site) -> None:
    samples = _SPAWN.Queue()
    processes = [_SPAWN.Process(target=race, args=(site.shared, seed, 40, samples)) for seed in range(4)]
    for process in processes:
        process.start()
    found = [samples.get(timeout=100) for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert 0 < max(most for most, _ in found) <= LIMIT
    assert sum(refused for _, refused in found) > 0
    with site.worker() as worker:
        rows = worker.store.page("a", b"", 1000)
        expected = Holding(sum(row.size for row in rows), 0, len(rows))
        assert [worker.quotas.holding(path) for path in PATHS] == [expected] * 3
        for row in rows:
            reader = worker.store.open(row)
            assert row.name.matches(reader.read(0, row.size))
            reader.close()
        # Each row has one copy in the bucket, and nothing else is there.
        copies = [name for first in range(256) for name, _, _ in worker.bucket.copies(first)]
        assert sorted(name.value for name in copies) == [row.name.value for row in rows]


def upload_by_halves(shared: Shared, ready: Any) -> None:
    worker = Worker(shared)
    assert worker.quotas.reserve(CHARGES, 60_000) is None
    sink = worker.store.create(row_of(bytes(60_000)).name, 60_000)
    sink.write(bytes(30_000))
    ready.put(True)
    signal.pause()


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_a_process_has_reserved_that_is_killed_in_an_upload_becomes_free(
    redis_process: RedisProcess, s3_process: S3Process
) -> None:
    site = Site.new(redis_process, s3_process, lease=LEASE)
    with site.worker() as worker:
        ready = _SPAWN.Queue()
        process = _SPAWN.Process(target=upload_by_halves, args=(site.shared, ready))
        process.start()
        ready.get(timeout=60)
        assert worker.quotas.reserve(CHARGES, 50_000) == (CHARGES[0], Holding(0, 60_000, 0))
        time.sleep(1.2 * LEASE)
        assert worker.quotas.holding(("a",)) == Holding(0, 60_000, 0)  # it lives
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        until(lambda: worker.quotas.holding(("a",)) == Holding())
        assert worker.quotas.reserve(CHARGES, 50_000) is None
        worker.quotas.release(PATHS, 50_000)


def test_a_worker_that_was_taken_for_dead_stores_nothing_that_it_had_reserved(site: Site) -> None:
    with site.worker() as worker, site.worker() as other:
        assert worker.quotas.reserve(CHARGES, 60_000) is None
        worker.engine.run("bury", worker.lease.name)
        assert other.quotas.reserve(CHARGES, 50_000) is None
        octets = bytes(60_000)
        row = row_of(octets, payer=("a", "app"))
        sink = worker.store.create(row.name, row.size)
        sink.write(octets)
        with pytest.raises(StoreError, match="lapsed"):
            worker.store.commit(sink, row)
        worker.quotas.release(PATHS, 60_000)
        assert list(worker.bucket.copies(row.name.value[0])) == []
        assert worker.store.find("a", row.name) is None
        # It goes on, as another worker.
        assert worker.quotas.reserve(CHARGES, 60_000) == (CHARGES[0], Holding(0, 50_000, 0))
        assert worker.quotas.reserve(CHARGES, 40_000) is None
        assert worker.quotas.holding(()) == Holding(0, 90_000, 0)
        worker.quotas.release(PATHS, 40_000)
        other.quotas.release(PATHS, 50_000)
        assert worker.quotas.holding(()) == Holding()


def test_a_worker_that_ends_leaves_nothing_reserved(site: Site) -> None:
    with site.worker() as worker:
        assert worker.quotas.reserve(CHARGES, 60_000) is None
    with site.worker() as worker:
        assert worker.quotas.holding(()) == Holding()
        with pytest.raises(StateError):
            worker.quotas.release(PATHS, 1)


@pytest.fixture
def own_site(s3_process: S3Process, monkeypatch: pytest.MonkeyPatch) -> Any:
    """With a Redis that a test may stop, and that is not waited for as long as usual."""
    monkeypatch.setattr(_redis, "TIMEOUT", TIMEOUT)
    process = RedisProcess()
    yield Site.new(process, s3_process)
    process.close()


def test_what_is_asked_of_a_redis_that_hangs_fails_and_what_is_reserved_is_exact_again(own_site: Site) -> None:
    with own_site.worker() as worker:
        assert worker.quotas.reserve(CHARGES, 10_000) is None
        assert worker.quotas.reserve(CHARGES, 20_000) is None
        own_site.redis.hang()
        with pytest.raises(UnsureError):
            worker.quotas.reserve(CHARGES, 30_000)
        with pytest.raises(StoreError):
            worker.quotas.holding(())
        worker.quotas.release(PATHS, 20_000)
        # Now it does what it was asked meanwhile: the 30,000 octets, of which nobody knows.
        own_site.redis.go_on()
        time.sleep(PAUSE)
        until(lambda: recovered(worker))
        assert worker.quotas.reserve(CHARGES, 1) is None
        assert worker.quotas.holding(()) == Holding(0, 10_001, 0)
        worker.quotas.release(PATHS, 10_000)
        worker.quotas.release(PATHS, 1)
        assert worker.quotas.holding(()) == Holding()


def recovered(worker: Worker) -> bool:
    try:
        worker.quotas.holding(())
    except StoreError:
        return False
    return True


def test_an_upload_of_which_nobody_knows_whether_it_was_stored_is_charged_once_or_not(own_site: Site) -> None:
    with own_site.worker() as worker:
        row = row_of(b"octets")
        paths = [(), ("a",)]
        charges = [Charge(path, LIMIT) for path in paths]
        assert worker.quotas.reserve(charges, row.size) is None
        assert worker.quotas.reserve(charges, 100) is None
        sink = worker.store.create(row.name, row.size)
        sink.write(b"octets")
        own_site.redis.hang()
        with pytest.raises(UnsureError):
            worker.store.commit(sink, row)
        worker.quotas.release(paths, row.size)
        own_site.redis.go_on()
        time.sleep(PAUSE)
        until(lambda: recovered(worker))
        worker.quotas.release(paths, 100)
        found = worker.store.find("a", row.name)
        assert worker.quotas.holding(()) == (Holding() if found is None else Holding(row.size, 0, 1))
        # Who stores it again has it.
        again = store(worker.store, worker.quotas, b"octets")
        assert worker.store.find("a", row.name) == again
        assert worker.quotas.holding(()) == Holding(row.size, 0, 1)


def test_threads_reserve_and_release_while_redis_dies_and_comes_back(own_site: Site) -> None:
    with own_site.worker() as worker:
        ends = threading.Event()

        def work(seed: int) -> None:
            rng = random.Random(seed)
            while not ends.is_set():
                octets = rng.randrange(1, 20_000)
                try:
                    short = worker.quotas.reserve(CHARGES, octets)
                except StoreError:
                    time.sleep(0.02)
                    continue
                if short is None:
                    worker.quotas.release(PATHS, octets)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            time.sleep(0.3)
            own_site.redis.restart()
        time.sleep(PAUSE + 0.3)
        ends.set()
        for thread in threads:
            thread.join()
        time.sleep(PAUSE)
        until(lambda: recovered(worker))
        assert worker.quotas.reserve(CHARGES, 5) is None
        assert worker.quotas.holding(()) == Holding(0, 5, 0)
        worker.quotas.release(PATHS, 5)
