"""Ordinary caches in front of a server: they may keep a body, and never give it to who may not have it (PROFILE.md).

What nginx, Squid, Traffic Server and Varnish do with the Cache-Control rule is observed, not assumed; a rule with any
freshness is the negative control.
"""

import contextlib
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from decade_caches import nginx_cache, squid_cache, traffic_server_cache, varnish_cache
from decade_served import Served, fields, serving
from decade_server import token
from decade_tokens import ACCOUNT, NOW

from decade.messages import Revocation
from decade.names import name_of
from decade.ports import Row

CACHES = [nginx_cache, squid_cache, traffic_server_cache, varnish_cache]
BODIES = {nginx_cache: 5, squid_cache: 1, traffic_server_cache: 3, varnish_cache: 5}
"""How often the server has to send an object that is used five times: those that ask each time keep a body or none."""
_Cache = Callable[[Path, str], contextlib.AbstractContextManager[str]]
_NUMBERS = count()


class Front:
    """An object at a server that nobody else asks for, and a cache in front of it."""

    def __init__(self, cache: _Cache, served: Served, origin: str) -> None:
        self.cache, self.served, self.origin = cache, served, origin
        self.octets = next(_NUMBERS).to_bytes(1) + bytes(range(256)) * 64
        self.name = name_of(self.octets)
        assert self.put().status_code == 201

    def put(self, **headers: str) -> httpx.Response:
        url = self.served.url + self.name.path
        return httpx.put(url, content=self.octets, headers={**fields(), **headers})

    def get(self, key: bytes | None = None, **headers: str) -> httpx.Response:
        return httpx.get(self.origin + self.name.path, headers={**(fields(key) if key else {}), **headers})

    def reads(self) -> int:
        """How often the server has sent the body itself."""
        row = self.served.bench.store.find(ACCOUNT, self.name)
        assert isinstance(row, Row)
        return row.reads


@pytest.fixture(scope="module", params=CACHES)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with serving() as served, request.param(tmp_path_factory.mktemp("cache"), served.url) as origin:
        yield request.param, served, origin


@pytest.fixture
def front(running: Any) -> Front:
    return Front(*running)


def test_a_cache_gives_an_object_to_whoever_has_a_token_and_to_nobody_else(front: Front) -> None:
    good, again, bad = token(), token(), bytearray(token())
    bad[-1] ^= 1
    answers = [front.get(key) for key in (good, good, again, bytes(bad), None, good)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 401, 401, 200]
    assert all((answer.content == front.octets) == (answer.status_code == 200) for answer in answers)


def test_a_cache_that_keeps_the_body_asks_before_each_use(front: Front) -> None:
    for _ in range(4):
        assert front.get(token()).content == front.octets
    assert front.get().status_code == 401
    assert front.get(token()).content == front.octets
    assert front.reads() <= BODIES[front.cache]


def test_a_token_that_is_revoked_is_of_no_use_at_a_cache_either(front: Front) -> None:
    cti = front.name.value[:16]
    key = token(cti=cti)
    assert front.get(key).status_code == 200
    front.served.bench.control("POST", "revocations", Revocation(cti=(cti,)))
    assert [front.get(key).status_code, front.get(token()).status_code] == [401, 200]


def test_a_token_for_one_use_is_used_once_through_a_cache(front: Front) -> None:
    key = token(uses=1)
    assert front.get(token()).status_code == 200
    assert [front.get(key).status_code for _ in range(3)] == [200, 401, 401]


def test_an_object_that_is_deleted_or_has_expired_is_gone_from_a_cache_too(front: Front) -> None:
    assert front.get(token()).status_code == 200
    assert httpx.delete(front.served.url + front.name.path, headers=fields()).status_code == 204
    assert front.get(token()).status_code == 410
    bench = front.served.bench
    assert front.put(**{"Decade-Attrs": f"exp={NOW + int(bench.now) + 60}"}).status_code == 201
    assert front.get(token()).status_code == 200
    bench.now += 61.0
    assert front.get(token()).status_code == 410


def test_a_range_through_a_cache_is_what_was_asked_for_or_the_whole(front: Front) -> None:
    for _ in range(2):
        answer = front.get(token(), Range="bytes=256-511")
        assert answer.content == (front.octets[256:512] if answer.status_code == 206 else front.octets)
    assert front.get(Range="bytes=256-511").status_code == 401


def test_a_provider_can_keep_objects_out_of_shared_caches(tmp_path: Path) -> None:
    with serving(is_shared_cache_allowed=False) as served, squid_cache(tmp_path, served.url) as origin:
        front = Front(squid_cache, served, origin)
        for _ in range(3):
            assert front.get(token()).content == front.octets
        assert front.reads() == 3


def fresh(app: Any) -> Any:
    """The same application with a rule that lets caches use what they have for a minute."""

    async def changed(scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                headers = [pair for pair in message["headers"] if pair[0] != b"cache-control"]
                message = {**message, "headers": [*headers, (b"cache-control", b"public, max-age=60")]}
            await send(message)

        await app(scope, receive, sent)

    return changed


@pytest.mark.parametrize("cache", [nginx_cache, traffic_server_cache])
def test_any_freshness_would_let_a_cache_give_the_object_away(cache: _Cache, tmp_path: Path) -> None:
    with serving(around=fresh) as served, cache(tmp_path, served.url) as origin:
        front = Front(cache, served, origin)
        assert front.get(token()).status_code == 200
        assert front.get().content == front.octets
