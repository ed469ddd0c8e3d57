"""The ALTO client over HTTP: what it does with connections, bodies, cookies, waits and threads."""

import asyncio
import functools
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx
import pytest

from alto import media
from alto.client.errors import ServerError, UnreachableError
from alto.directory import Directory
from alto.errors import ConfigurationError, DecodeError
from alto.networkmap import FilteredNetworkMapResource, NetworkMap, NetworkMapResource
from alto.server import AltoServer
from interop import alto_client
from interop.alto_client import AltoClient
from interop.alto_server import AltoApp


def in_loop(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """A test that runs in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


ROOT = "https://alto.example.com/directory"
MAP = {
    "meta": {"vtag": {"resource-id": "map", "tag": "1"}},
    "network-map": {"PID0": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]}, "PID1": {"ipv4": ["192.0.2.0/24"]}},
}
IRD = {
    "meta": {"default-alto-network-map": "map"},
    "resources": {"map": {"uri": "map", "media-type": media.NETWORK_MAP}},
}


def answer(tree: Any, media_type: str, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={"Content-Type": media_type, **headers}, content=json.dumps(tree).encode())


def server(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/directory":
        return answer(IRD, media.DIRECTORY)
    return answer(MAP, media.NETWORK_MAP, ETag='"1"')


Handler = Callable[[httpx.Request], httpx.Response]


def client(handler: Handler, **options: Any) -> AltoClient:
    return AltoClient(ROOT, transport=httpx.MockTransport(handler), **options)


@in_loop
async def test_the_pid_of_an_address_is_found_in_the_default_map() -> None:
    async with client(server) as alto:
        assert await alto.pid("192.0.2.7") == "PID1"
        assert await alto.pid("ipv4:198.51.100.1") == "PID0"
        assert await alto.pids(["192.0.2.7", "2001:db8::1"], network_map="map") == ["PID1", "PID0"]
        with pytest.raises(ConfigurationError, match="no resource 'other'"):
            await alto.pid("192.0.2.7", network_map="other")
        assert alto.findings == ()


@in_loop
async def test_a_map_that_has_not_changed_is_not_sent_again() -> None:
    full = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal full
        if request.headers.get("if-none-match") == '"1"':
            return httpx.Response(304)
        full += request.url.path == "/map"
        return server(request)

    async with client(handler) as alto:
        first = await alto.network_map()
        assert await alto.network_map() is first
    assert full == 1


@in_loop
async def test_cookies_are_dropped() -> None:
    cookies: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        cookies.append(request.headers.get("cookie"))
        response = server(request)
        response.headers["Set-Cookie"] = "who=you; Path=/"
        return response

    async with client(handler) as alto:
        await alto.network_map()
        await alto.directory(refresh=True)
    assert cookies == [None, None, None]


@in_loop
async def test_a_body_beyond_the_limit_is_not_read_to_its_end() -> None:
    read = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 1000
            yield b" " * 1000

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Type": media.DIRECTORY}, content=pieces())

    async with client(handler, max_body=100_000) as alto:
        with pytest.raises(DecodeError, match="more than 100000 octets"):
            await alto.directory()
    assert read <= 110_000


@in_loop
async def test_a_body_that_is_small_only_until_it_is_unpacked_is_refused() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        bomb = gzip.compress(b'{"meta":' + b" " * 10_000_000)
        return httpx.Response(200, headers={"Content-Type": media.DIRECTORY, "Content-Encoding": "gzip"}, content=bomb)

    async with client(handler, max_body=100_000) as alto:
        with pytest.raises(DecodeError, match="more than 100000 octets"):
            await alto.directory()


@pytest.mark.parametrize("status", [200, 404])
@in_loop
async def test_a_body_that_comes_drop_by_drop_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setattr(alto_client, "DEADLINE", 0.05)

    async def drops() -> AsyncIterator[bytes]:
        for _ in range(200):
            await asyncio.sleep(0.01)
            yield b" "

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers={"Content-Type": media.DIRECTORY}, content=drops())

    async with client(handler, timeout=0.05) as alto:
        with pytest.raises(UnreachableError, match="no answer in time"):
            await alto.directory()


@in_loop
async def test_redirects_are_followed_by_the_plans_and_their_rules() -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        if request.url.scheme == "https":
            return httpx.Response(302, headers={"Location": "http://alto.example.com/directory"})
        return server(request)

    async with client(handler) as alto:
        with pytest.raises(DecodeError, match="a redirect from https"):
            await alto.directory()
    assert asked == [ROOT]


@in_loop
async def test_a_large_body_is_parsed_beside_the_event_loop() -> None:
    padded = {**MAP, "padding": "x" * alto_client.LARGE}

    def handler(request: httpx.Request) -> httpx.Response:
        return server(request) if request.url.path == "/directory" else answer(padded, media.NETWORK_MAP)

    async with client(handler) as alto:
        results = await asyncio.gather(*(alto.pid("192.0.2.1") for _ in range(4)))
    assert results == ["PID1"] * 4


@in_loop
async def test_an_overloaded_server_is_asked_again_when_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    waits = ["1", "0", None]

    def handler(request: httpx.Request) -> httpx.Response:
        wait = waits.pop(0) if waits else None
        return server(request) if wait is None else httpx.Response(503, headers={"Retry-After": wait})

    async with client(handler) as alto:
        await alto.directory()
    assert slept == [1.0, 0.0]


@pytest.mark.parametrize("wait", ["3600", "soon", None])
@in_loop
async def test_a_server_that_wants_too_long_a_wait_has_refused(wait: str | None) -> None:
    headers = {} if wait is None else {"Retry-After": wait}
    async with client(lambda request: httpx.Response(503, headers=headers)) as alto:
        with pytest.raises(ServerError) as caught:
            await alto.directory()
    assert (caught.value.status, caught.value.retry_after) == (503, wait)


@in_loop
async def test_a_server_that_always_wants_no_wait_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(seconds: float) -> None:
        pass

    monkeypatch.setattr(asyncio, "sleep", sleep)
    asked = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        return httpx.Response(429, headers={"Retry-After": "0"})

    async with client(handler) as alto:
        with pytest.raises(ServerError, match="429"):
            await alto.directory()
    assert asked < 20


@in_loop
async def test_no_answer_is_an_error_of_ours() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    async with client(handler) as alto:
        with pytest.raises(UnreachableError, match="refused"):
            await alto.directory()
    async with AltoClient("http://127.0.0.1:1/") as alto:
        with pytest.raises(UnreachableError):
            await alto.directory()


@pytest.mark.parametrize("url", ["ftp://x/", "alto.example.com", "http://[::1", ""])
def test_what_is_no_http_uri_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError):
        AltoClient(url)


@in_loop
async def test_a_lenient_client_says_what_it_forgave() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/directory":
            return answer({**IRD, "meta": {}}, media.DIRECTORY)
        return server(request)

    async with client(handler, strict=False) as alto:
        assert await alto.pid("192.0.2.7") == "PID1"
        assert [finding.path for finding in alto.findings] == ["meta/default-alto-network-map"]
    async with client(handler) as alto:
        with pytest.raises(DecodeError, match="default-alto-network-map"):
            await alto.directory()


@in_loop
async def test_an_application_in_this_process_is_a_server_too() -> None:
    network_map = NetworkMap(MAP["network-map"])  # type: ignore[arg-type]
    resources = [NetworkMapResource("map", network_map), FilteredNetworkMapResource("some", network_map="map")]
    directory = Directory(resources, default_network_map="map")
    app = AltoApp(AltoServer(directory, epoch=0.0))
    async with AltoClient.over(app, strict=True) as alto:
        assert await alto.pid("192.0.2.7") == "PID1"
        assert set((await alto.directory()).entries) == {"map", "some"}
        first = await alto.network_map()
        assert await alto.network_map() is first
        some = await alto.run(alto.client.filtered_network_map(["PID1"]))
        assert list(some.value.network_map.pids) == ["PID1"]
        assert some.value.vtag == first.value.vtag
        assert alto.findings == ()


@in_loop
async def test_the_client_knows_what_time_it_is() -> None:
    async with AltoClient(ROOT) as alto:
        before = time.time()
        now = alto.client.now()
        assert now is not None
        assert before <= now <= time.time()


@pytest.mark.parametrize("host", ["xn--a", "xn--zzzzzzzzz999", "a" * 70, "a..b", "%zz", "[v1.x]"])
@in_loop
async def test_a_server_that_leads_to_what_is_no_host_leads_nowhere(host: str) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(307, headers={"Location": f"https://{host}/"})

    alto = client(handler)
    with pytest.raises((UnreachableError, DecodeError)):
        await alto.directory()
    await alto.aclose()
