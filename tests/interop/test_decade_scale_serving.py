"""Servers in several processes over one bucket and one Redis: what is exact stays so, whoever dies."""

from __future__ import annotations

import asyncio
import multiprocessing
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import httpx
import pytest
from decade_scale import RedisProcess, S3Process, Site
from decade_server import ACCOUNT, HELLO, KEYS, LIFE, NOW, OCTETS, PEER, SERVER, bearer, token, whole

from decade.http import Request, Response
from decade.messages import ResourcePolicy
from decade.names import name_of
from decade.policy import PROVIDER
from decade.settings import Settings, default_limits
from decade.waiting import settle
from interop import _redis
from interop._redis import PAUSE
from interop.decade_scale import ScaledServer, Shared, open_scaled_server
from interop.decade_server.app import DecadeApp
from interop.decade_server.threaded import ThreadedApp

LIMIT = 20_000
POLICIES = {PROVIDER: ResourcePolicy(weight=1), (ACCOUNT,): ResourcePolicy(weight=1, storage=LIMIT)}
_SPAWN = multiprocessing.get_context("spawn")


def opened(shared: Shared) -> ScaledServer:
    settings = Settings(server=SERVER, limits=attrs.evolve(default_limits(), max_token_life=LIFE))
    return open_scaled_server(shared, settings, KEYS.get, POLICIES, epoch=NOW)


@pytest.fixture
def servers(site: Site) -> Iterator[Callable[[], ScaledServer]]:
    """Opens one more server of a site."""
    made: list[ScaledServer] = []

    def one_more() -> ScaledServer:
        made.append(opened(site.shared))
        return made[-1]

    yield one_more
    for server in made:
        server.close()


def ask(scaled: ScaledServer, method: str, target: str, key: bytes, body: bytes | None = None) -> Response:
    """The whole answer."""
    headers = bearer(key) if body is None else (*bearer(key), ("Content-Length", str(len(body))))
    answer: Any = settle(scaled.server.handle(Request(method, target, headers), PEER, 1.0), 1.0)
    if not isinstance(answer, Response):
        answer = answer.feed(body or b"", 1.0) or settle(answer.finish(1.0), 1.0)
    response: Response = whole(answer, 1.0)
    return response


def test_what_one_server_stores_another_one_serves_and_removes(servers: Callable[[], ScaledServer]) -> None:
    first, second = servers(), servers()
    assert ask(first, "PUT", HELLO.path, token(), OCTETS).status == 201
    answer = ask(second, "GET", HELLO.path, token())
    assert (answer.status, answer.body) == (200, OCTETS)
    assert ask(second, "DELETE", HELLO.path, token()).status == 204
    assert ask(first, "GET", HELLO.path, token()).status == 404
    assert ask(second, "GET", HELLO.path, token()).status == 410


def test_the_quota_counts_what_all_servers_store(servers: Callable[[], ScaledServer]) -> None:
    first, second = servers(), servers()
    objects = [bytes([number]) * 11_000 for number in range(2)]
    names = [name_of(octets) for octets in objects]
    assert ask(first, "PUT", names[0].path, token(), objects[0]).status == 201
    assert ask(second, "PUT", names[1].path, token(), objects[1]).status == 507
    assert ask(second, "DELETE", names[0].path, token()).status == 204
    assert ask(second, "PUT", names[1].path, token(), objects[1]).status == 201


def test_what_expires_goes_with_its_octets_at_whichever_server(servers: Callable[[], ScaledServer], site: Site) -> None:
    first, second = servers(), servers()
    ask(first, "PUT", HELLO.path, token(), OCTETS)
    second.store.refresh()
    expiry = second.store.next_expiry()
    assert expiry is not None
    settle(second.server.handle_timer(expiry - NOW + 1), expiry - NOW + 1)
    assert first.store.find(ACCOUNT, HELLO) is None
    assert [list(first.store.bucket.copies(HELLO.value[0])), first.tree.holding(()).used] == [[], 0]


def present(shared: Shared, key: bytes, times: int, start: Any, found: Any) -> None:
    scaled = opened(shared)
    start.wait(60)
    found.put([ask(scaled, "GET", HELLO.path, key).status for _ in range(times)])
    scaled.close()


def test_a_token_for_one_use_that_four_processes_get_200_times_at_once_is_served_once(
    servers: Callable[[], ScaledServer], site: Site
) -> None:
    assert ask(servers(), "PUT", HELLO.path, token(), OCTETS).status == 201
    once = token(uses=1)
    start, found = _SPAWN.Barrier(4), _SPAWN.Queue()
    processes = [_SPAWN.Process(target=present, args=(site.shared, once, 50, start, found)) for _ in range(4)]
    for process in processes:
        process.start()
    statuses = [status for _ in processes for status in found.get(timeout=100)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert (len(statuses), statuses.count(200), statuses.count(401)) == (200, 1, 199)


@pytest.fixture
def own_site(s3_process: S3Process) -> Iterator[Site]:
    """With a Redis that a test may stop."""
    process = RedisProcess()
    yield Site.new(process, s3_process)
    process.close()


def test_a_redis_that_is_killed_while_servers_answer_forgets_no_use_and_no_object(own_site: Site) -> None:
    ends = threading.Event()
    served: dict[bytes, int] = {}
    stored: list[bytes] = []
    lock = threading.Lock()
    keys = [token(uses=1) for _ in range(400)]

    def work(number: int) -> None:
        scaled = opened(own_site.shared)
        tried = 0
        while not ends.is_set() or tried < len(keys):
            key = keys[tried % len(keys)]
            tried += 1
            if ask(scaled, "GET", HELLO.path, key).status == 200:
                with lock:
                    served[key] = served.get(key, 0) + 1
            if tried % 10 == 0:
                octets = b"%d of %d" % (tried, number)
                if ask(scaled, "PUT", name_of(octets).path, token(), octets).status == 201:
                    with lock:
                        stored.append(octets)
        scaled.close()

    first = opened(own_site.shared)
    assert ask(first, "PUT", HELLO.path, token(), OCTETS).status == 201
    first.close()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        time.sleep(0.5)
        own_site.redis.restart()
    time.sleep(PAUSE)
    ends.set()
    for thread in threads:
        thread.join()
    assert max(served.values()) == 1
    last = opened(own_site.shared)
    assert stored
    for octets in stored:
        assert ask(last, "GET", name_of(octets).path, token()).body == octets
    assert not any(ask(last, "GET", HELLO.path, key).status == 200 for key in served)
    sizes = [row.size for row in last.store.page(ACCOUNT, b"", 10_000)]
    assert (last.tree.holding(()).stored, last.tree.holding(()).objects) == (sum(sizes), len(sizes))
    last.close()


def test_while_redis_is_away_everybody_is_told_to_come_back_and_then_all_is_well(own_site: Site) -> None:
    scaled = opened(own_site.shared)
    ask(scaled, "PUT", HELLO.path, token(), OCTETS)
    own_site.redis.kill()
    for method, target in [
        ("GET", HELLO.path),
        ("PUT", name_of(b"").path),
        ("DELETE", HELLO.path),
        ("GET", "/decade/v1/status"),
    ]:
        answer = ask(scaled, method, target, token(), b"" if method == "PUT" else None)
        assert answer.status == 503
        assert int(answer.header("Retry-After") or 0) > 0
    scaled.server.get_timer()
    settle(scaled.server.handle_timer(100.0), 100.0)
    own_site.redis.restart()
    time.sleep(PAUSE)
    assert ask(scaled, "GET", HELLO.path, token()).body == OCTETS
    scaled.close()


def test_an_upload_in_progress_ends_well_when_redis_has_come_back(own_site: Site) -> None:
    scaled = opened(own_site.shared)
    headers = (*bearer(token()), ("Content-Length", str(len(OCTETS))))
    upload: Any = settle(scaled.server.handle(Request("PUT", HELLO.path, headers), PEER, 1.0), 1.0)
    upload.feed(OCTETS, 1.0)
    own_site.redis.restart()
    assert settle(upload.finish(1.0), 1.0).status == 201
    headers = (*bearer(token()), ("Content-Length", "9"))
    upload = settle(scaled.server.handle(Request("PUT", name_of(bytes(9)).path, headers), PEER, 1.0), 1.0)
    own_site.redis.kill()
    upload.abort(1.0)
    own_site.redis.restart()
    time.sleep(PAUSE)
    assert ask(scaled, "PUT", name_of(b"z").path, token(), b"z").status == 201
    assert scaled.tree.holding(()).reserved == 0
    scaled.close()


def test_a_redis_that_hangs_does_not_keep_the_event_loop(own_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_redis, "TIMEOUT", 1.0)
    scaled = opened(own_site.shared)
    ask(scaled, "PUT", HELLO.path, token(), OCTETS)
    app = ThreadedApp(DecadeApp(scaled.server, clock=lambda: 1.0))

    async def main() -> tuple[int, int, int]:
        ticks = 0
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            before = (await client.get(HELLO.path, headers=dict(bearer(token())))).status_code
            own_site.redis.hang()
            asked = asyncio.create_task(client.get(HELLO.path, headers=dict(bearer(token()))))
            while not asked.done():
                await asyncio.sleep(0.01)
                ticks += 1
            own_site.redis.go_on()
            return before, asked.result().status_code, ticks

    before, during, ticks = asyncio.run(main())
    assert (before, during) == (200, 503)
    assert ticks > 10  # of the 100 in the time that it waits
    app.close()
    scaled.close()


def test_all_keys_begin_with_the_prefix(servers: Callable[[], ScaledServer], site: Site) -> None:
    server = servers()
    ask(server, "PUT", HELLO.path, token(), OCTETS)
    ask(server, "GET", HELLO.path, token(uses=1))
    other = opened(attrs.evolve(site.shared, prefix="p" + secrets.token_hex(4), bucket=site.shared.bucket + "/x"))
    assert ask(other, "GET", HELLO.path, token()).status == 404
    other.close()
