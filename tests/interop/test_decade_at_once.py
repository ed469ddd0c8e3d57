"""Requests that come again, octet for octet, are answered before they are parsed: as if they had been parsed."""

import asyncio
from typing import Any

import pytest
import uvicorn
from decade_server import HELLO, OCTETS, Bench, bearer, token
from decade_tokens import NOW
from uvicorn.server import ServerState

from decade.messages import Revocation
from decade.names import name_of
from interop.decade_server import DecadeApp
from interop.decade_server.front import Front
from interop.decade_server.origin import Proxies, networks_of
from interop.decade_server.protocol import ObjectHttpProtocol
from interop.decade_store.settling import place


class Transport(asyncio.Transport):
    """Of a connection with 127.0.0.1."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 4711) if name in ("peername", "sockname") else default


class Connection:
    """With a server that has HELLO; `parsed` counts the heads of requests that its parser has seen."""

    def __init__(self, **app: Any) -> None:
        self.bench = Bench()
        self.bench.put()
        self.parsed = 0
        made = DecadeApp(self.bench.server, clock=lambda: self.bench.now, **app)
        config = uvicorn.Config(
            made, http=ObjectHttpProtocol, lifespan="off", ws="none", log_config=None, proxy_headers=False
        )
        config.load()
        outer = self

        class Counting(ObjectHttpProtocol):
            recall = staticmethod(made.recall)

            def on_headers_complete(self) -> None:
                outer.parsed += 1
                super().on_headers_complete()

        state = ServerState()
        state.default_headers = [(b"date", b"Sun, 06 Nov 1994 08:49:37 GMT")]
        self.protocol = Counting(config, state, {})
        self.transport = Transport()
        self.protocol.connection_made(self.transport)

    async def send(self, *parts: bytes) -> bytes:
        """What is answered when these octets have come, each part by itself."""
        before = len(self.transport.written)
        for part in parts:
            self.protocol.data_received(bytes(bytearray(part)))
            for _ in range(20):
                await asyncio.sleep(0)
        return self.transport.written[before:]


def request(method: str = "GET", *more: str, path: str = HELLO.path, version: str = "1.1") -> bytes:
    ((name, value),) = bearer(token(cti=b"x" * 16))
    lines = (f"{method} {path} HTTP/{version}", "Host: sb.example", f"{name}: {value}", *more)
    return "\r\n".join((*lines, "", "")).encode()


GET = request()


def test_the_answer_is_the_same_and_nothing_is_parsed():
    async def run() -> None:
        connection = Connection()
        first = await connection.send(GET)
        assert first.endswith(b"\r\n\r\n" + OCTETS)
        assert [await connection.send(GET) for _ in range(3)] == [first] * 3
        assert connection.parsed == 1
        assert connection.protocol.server_state.total_requests == 4
        assert connection.bench.server._core.traffic.at(("alice",)).sent.octets == 4 * len(OCTETS)

    asyncio.run(run())


def test_what_a_web_server_in_front_is_told_is_the_same():
    async def run() -> None:
        connection = Connection(proxies=Proxies(networks_of(["127.0.0.1"])))
        connection.protocol.app._front = Front("/x/", place, connection.bench.tree)
        asked = request("GET", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https")
        first = await connection.send(asked)
        assert b"x-accel-redirect: /x/" in first
        assert await connection.send(asked) == first
        assert connection.parsed == 1
        # The same token of another client over plain HTTP.
        refused = await connection.send(request("GET", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http"))
        assert refused.startswith(b"HTTP/1.1 403 ")

    asyncio.run(run())


@pytest.mark.parametrize(
    "parts",
    [
        (GET[:1], GET[1:]),
        (GET[:-1], GET[-1:]),
        (GET + GET[:1], GET[1:], GET),
        (GET + GET[:-2], GET[-2:] + GET),
        (GET + GET, GET),
        (GET + b"\r\n", GET),
        (b"\r", b"\n" + GET),
    ],
)
def test_however_the_octets_come_each_request_is_answered_once(parts):
    async def run() -> None:
        connection = Connection()
        first = await connection.send(GET)
        assert await connection.send(*parts) == first * b"".join(parts).count(b"GET ")
        assert await connection.send(GET) == first

    asyncio.run(run())


def test_a_request_in_the_body_of_another_one_is_a_body():
    async def run() -> None:
        connection = Connection()
        first = await connection.send(GET)
        await connection.send(GET)
        put = request("PUT", f"Content-Length: {len(GET)}", path=name_of(GET).path)
        assert (await connection.send(put)) == b""
        assert (await connection.send(GET)).startswith(b"HTTP/1.1 201 ")
        # Of one that was refused before it came, too.
        refused = await connection.send(request("POST", f"Content-Length: {2 * len(GET)}"), GET, GET)
        assert refused.startswith(b"HTTP/1.1 405 ")
        assert refused.count(b"HTTP/1.1 ") == 1
        assert await connection.send(GET) == first

    asyncio.run(run())


@pytest.mark.parametrize(
    ("more", "version"), [(("Connection: close",), "1.1"), ((), "1.0"), (("Connection: upgrade", "Upgrade: x"), "1.1")]
)
def test_a_connection_that_ends_or_becomes_another_one_is_parsed(more, version):
    async def run() -> None:
        connection = Connection()
        assert (await connection.send(request("GET", *more, version=version))).startswith(b"HTTP/1.1 200 ")
        (head,) = connection.protocol.app._heads._asked
        # That of ASGI, and not the octets.
        assert head[0] == HELLO.path.encode()

    asyncio.run(run())


def test_who_does_not_read_waits():
    async def run() -> None:
        connection = Connection()
        first = await connection.send(GET)
        connection.protocol.pause_writing()
        assert await connection.send(GET) == b""
        before = len(connection.transport.written)
        connection.protocol.resume_writing()
        await connection.send()
        await asyncio.sleep(0.01)
        assert connection.transport.written[before:] == first

    asyncio.run(run())


def test_a_token_that_was_revoked_is_refused():
    async def run() -> None:
        connection = Connection()
        for _ in range(2):
            assert (await connection.send(GET)).startswith(b"HTTP/1.1 200 ")
        assert connection.bench.control("POST", "revocations", Revocation(cti=(b"x" * 16,))).status in (200, 204)
        assert (await connection.send(GET)).startswith(b"HTTP/1.1 401 ")
        connection.bench.server.set_clock(NOW + 2, connection.bench.now)
        assert (await connection.send(GET)).startswith(b"HTTP/1.1 401 ")

    asyncio.run(run())


def test_who_asks_for_nothing_more_is_hung_up_on(monkeypatch):
    monkeypatch.setattr("interop._http_limits.HEAD_TIMEOUT", 0.05)

    async def run() -> None:
        connection = Connection()
        for _ in range(2):
            await connection.send(GET)
        await asyncio.sleep(0.02)
        assert not connection.transport.is_closed
        while not connection.transport.is_closed:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    asyncio.run(run())
