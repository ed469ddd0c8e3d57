"""The ledger in Redis and in Valkey says what the one in memory says; and what they have to be set to."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest
from decade_same_ledger import FEW, SameLedger
from decade_scale import RedisProcess, Site, valkey_server

from decade.errors import StoreError
from decade.messages import Revocation
from decade.ports import Allowance, Use
from interop.decade_scale import RedisLedger
from interop.decade_scale import ledger as module
from interop.decade_scale._engine import Engine

# The model asks some thousand times, and is not about the disk.
_QUICK = ("--appendfsync", "no")


class SameInRedis(SameLedger):
    module = module
    url: str

    def begin(self) -> None:
        self.prefix = secrets.token_hex(8)

    def open(self) -> tuple[RedisLedger, Callable[[], None]]:
        engine = Engine(self.url, prefix=self.prefix)
        return RedisLedger(engine), engine.close


SameInRedis.TestCase.settings = FEW


@pytest.fixture(scope="module", params=["redis", "valkey"])
def quick(request: pytest.FixtureRequest) -> Iterator[RedisProcess]:
    program = "redis-server" if request.param == "redis" else valkey_server()
    process = RedisProcess(program, *_QUICK)
    yield process
    process.close()


def test_any_calls_have_the_same_answers_as_in_memory(quick: RedisProcess) -> None:
    SameInRedis.url = quick.url
    SameInRedis.TestCase().runTest()


def test_a_use_of_one_server_is_seen_by_another(site: Site) -> None:
    token = (b"key", bytes(16))
    with site.worker() as first, site.worker() as second:
        assert first.ledger.hold("a", token, Allowance(uses=1), Use(1), 100) is None
        assert second.ledger.hold("a", token, Allowance(uses=1), Use(1), 100) is not None
        second.ledger.revoke(("a",), Revocation(kid=b"kid"), wall=0, until=0)
        assert first.ledger.is_revoked(("a",), b"kid", bytes(16), 5)


def test_tokens_are_forgotten_a_part_at_a_time_and_never_by_the_clock_of_redis(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FORGOTTEN", 3)
    with site.worker() as worker:
        for number in range(10):
            worker.ledger.hold("a", (b"key", bytes([number])), Allowance(uses=1), Use(1), 100 + number)
        worker.ledger.forget()
        assert worker.ledger.used((b"key", bytes([0]))) == Use(1)
        worker.ledger.observe(107)
        worker.ledger.forget()
        used = [worker.ledger.used((b"key", bytes([number]))).uses for number in range(10)]
        assert used == [0] * 8 + [1] * 2


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (("--appendfsync", "everysec"), "appendfsync always"),
        (("--appendonly", "no"), "appendonly yes"),
        (("--maxmemory-policy", "allkeys-lru"), "maxmemory-policy noeviction"),
        (("--no-appendfsync-on-rewrite", "yes"), "no-appendfsync-on-rewrite no"),
    ],
)
def test_a_redis_that_could_lose_what_it_has_answered_is_refused(settings: tuple[str, str], named: str) -> None:
    process = RedisProcess("redis-server", *settings)
    engine = Engine(process.url)
    try:
        with pytest.raises(StoreError, match=f"redis has to be set to {named}: "):
            engine.check_durable()
    finally:
        engine.close()
        process.close()


def test_a_redis_that_does_not_tell_its_configuration_is_refused() -> None:
    process = RedisProcess("redis-server", "--rename-command", "CONFIG", "")
    engine = Engine(process.url)
    try:
        with pytest.raises(StoreError, match="does not tell its configuration"):
            engine.check_durable()
    finally:
        engine.close()
        process.close()


def test_a_redis_that_is_durable_passes(site: Site) -> None:
    with site.worker() as worker:
        worker.engine.check_durable()
