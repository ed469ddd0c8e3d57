"""Uvicorn with limits: whoever dawdles, sends without end or does not read is hung up on, and nobody else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import uvicorn
from loop_clock import LoopClock
from uvicorn.server import ServerState

import interop._http_limits
from interop._http_limits import LimitedHttpProtocol
from interop.asgi import asgi
from ppsp.tracker import MEDIA_TYPE, Request, Response

HEAD = b"POST / HTTP/1.1\r\nHost: tracker.example\r\n"
REQUEST = HEAD + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"


class Server:
    """Answers with as many octets as the path says."""

    Request = Request
    max_body = 2**16

    def handle(self, request: Request, peer: Any, now: float) -> Response:
        size = int(request.target.strip("/") or 2)
        return Response(413 if len(request.body) > self.max_body else 200, (("Content-Type", MEDIA_TYPE),), b"x" * size)


class Serving:
    """The connections of a server, and its port."""

    def __init__(self) -> None:
        self.state = ServerState()
        self.port = 0

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def hung_up(self) -> None:
        """Wait until no connection is open."""
        async with asyncio.timeout(60):
            while self.state.connections:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def serving(protocol: type[LimitedHttpProtocol] = LimitedHttpProtocol, app: Any = None) -> AsyncIterator[Serving]:
    config = uvicorn.Config(app or asgi(Server()), log_level="critical", ws="none", timeout_keep_alive=100)
    it = Serving()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: protocol(config, it.state, {}), "127.0.0.1", 0)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()
        for connection in tuple(it.state.connections):
            connection.transport.abort()
        await it.hung_up()


@pytest.mark.parametrize(
    "start",
    [b"", b"POST / HT", HEAD, b"\r\n" * 100, REQUEST, REQUEST + HEAD, REQUEST + b"\r\n"],
    ids=["nothing", "half a line", "half a head", "empty lines", "one request", "a request and a half", "a blank line"],
)
def test_who_sends_no_further_head_in_time_is_hung_up_on(monkeypatch, start):
    monkeypatch.setattr(interop._http_limits, "HEAD_TIMEOUT", 0.05)

    async def run() -> None:
        async with serving() as it:
            started = asyncio.get_running_loop().time()
            reader, writer = await it.connect()
            writer.write(start)
            with contextlib.suppress(ConnectionError):
                await reader.read(-1)
            assert asyncio.get_running_loop().time() - started >= 0.05
            await it.hung_up()
            writer.close()

    asyncio.run(run())


def test_who_asks_something_now_and_then_is_not(monkeypatch):
    monkeypatch.setattr(interop._http_limits, "HEAD_TIMEOUT", 60)

    async def run() -> None:
        clock = LoopClock()
        async with serving() as it:
            reader, writer = await it.connect()
            for _ in range(8):
                await clock.forward(40)
                writer.write(REQUEST)
                assert (await reader.readuntil(b"xx")).startswith(b"HTTP/1.1 200")
            writer.close()

    asyncio.run(run())


def test_requests_one_behind_the_other_are_all_answered():
    async def run() -> bytes:
        async with serving() as it:
            reader, writer = await it.connect()
            writer.write(REQUEST * 2000 + HEAD + b"Connection: close\r\n\r\n")
            answers = await reader.read(-1)
            writer.close()
            return answers

    assert asyncio.run(run()).count(b"HTTP/1.1 200") == 2001


class _AtOnce:
    """Answers every request before its body comes."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})


def test_who_is_answered_early_may_send_the_rest_of_the_body_and_ask_again():
    """RFC 9112 section 9.3: the body of a request has to be read before the next one is."""

    async def run() -> None:
        async with serving(app=_AtOnce()) as it:
            reader, writer = await it.connect()
            for _ in range(2):
                writer.write(HEAD + b"Content-Length: 1000000\r\n\r\n")
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 401")
                for _ in range(10):
                    writer.write(bytes(100_000))
                    await writer.drain()
                    await asyncio.sleep(0.002)
            writer.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("version", "hosts", "status"),
    [
        (b"1.1", [b"tracker.example"], 200),
        (b"1.1", [b"127.0.0.1:8000"], 200),
        (b"1.1", [b"[2001:db8::1]:443"], 200),
        (b"1.1", [b""], 200),
        (b"1.1", [], 400),
        (b"1.1", [b"a", b"a"], 400),
        (b"1.1", [b"a b"], 400),
        (b"1.1", [b"a/b"], 400),
        (b"1.1", [b"[::1"], 400),
        (b"1.0", [], 200),
        (b"1.0", [b"a", b"b"], 400),
    ],
)
def test_a_request_has_one_host_field(version, hosts, status):
    """RFC 9112 section 3.2"""

    async def run() -> bytes:
        async with serving() as it:
            reader, writer = await it.connect()
            fields = b"".join(b"Host: %b\r\n" % host for host in hosts)
            writer.write(b"GET /3 HTTP/%b\r\n%b\r\n" % (version, fields))
            answer = await reader.readline()
            writer.close()
            return answer

    assert asyncio.run(run()).split()[1] == b"%d" % status


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (b"http://tracker.example/3", (b"/3", b"", b"tracker.example")),
        (b"HTTPS://Tracker.example:8700/a?b=c", (b"/a", b"b=c", b"Tracker.example:8700")),
        (b"http://tracker.example", (b"/", b"", b"tracker.example")),
        (b"http://tracker.example?b=c", (b"/", b"b=c", b"tracker.example")),
        (b"http://[2001:db8::1]:80/", (b"/", b"", b"[2001:db8::1]:80")),
        (b"/a?b=http://other.example/", (b"/a", b"b=http://other.example/", b"host.example")),
        (b"//other.example/a", (b"//other.example/a", b"", b"host.example")),
        (b"http:///a", None),
        (b"http://user@tracker.example/", None),
        (b"http://tracker.example:port/", None),
    ],
)
def test_of_a_target_in_absolute_form_the_host_counts(target, said):
    """RFC 9112 section 3.2.2: an origin server MUST accept it, and MUST ignore the received Host"""
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        seen.append((scope["raw_path"], scope["query_string"], *hosts))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def run() -> bytes:
        async with serving(app=app) as it:
            reader, writer = await it.connect()
            writer.write(b"GET %b HTTP/1.1\r\nHost: host.example\r\n\r\n" % target)
            answer = await reader.readline()
            writer.close()
            return answer

    assert asyncio.run(run()).split()[1] == (b"400" if said is None else b"200")
    assert seen == ([] if said is None else [said])


def fields() -> Iterator[bytes]:
    while True:
        yield b"".join(b"x-%d: y\r\n" % number for number in range(1000))


def one_field() -> Iterator[bytes]:
    yield b"x: "
    while True:
        yield b"y" * 10_000


@pytest.mark.parametrize("endless", [fields, one_field])
@pytest.mark.parametrize("start", [HEAD, CHUNKED], ids=["head", "trailers"])
def test_header_fields_and_trailers_without_end_are_cut_off_and_kept_up_to_a_limit(monkeypatch, start, endless):
    monkeypatch.setattr(LimitedHttpProtocol, "max_request", 2**18)
    kept = 0  # octets, at the most

    class Counting(LimitedHttpProtocol):
        def data_received(self, data: bytes) -> None:
            nonlocal kept
            super().data_received(data)
            kept = max(kept, sum(len(name) + len(value) for name, value in self.headers))

    async def run() -> int:
        async with serving(Counting) as it:
            _, writer = await it.connect()
            sent = len(start)
            writer.write(start)
            with contextlib.suppress(OSError):
                for part in endless():
                    writer.write(part)
                    sent += len(part)
                    await writer.drain()
                    await asyncio.sleep(0)
            await it.hung_up()
            writer.close()
            return sent

    assert asyncio.run(run()) < 2**25
    assert kept <= interop._http_limits.MAX_HEAD


def test_a_long_body_is_no_long_head():
    async def run() -> bytes:
        async with serving() as it:
            reader, writer = await it.connect()
            writer.write(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 10**6)
            answer = await reader.readline()
            writer.close()
            return answer

    assert asyncio.run(run()).startswith(b"HTTP/1.1 413")


def test_who_does_not_read_its_answers_is_hung_up_on(monkeypatch):
    monkeypatch.setattr(interop._http_limits, "WRITE_TIMEOUT", 0.1)

    async def run() -> None:
        async with serving() as it:
            _, writer = await it.connect()
            writer.transport.pause_reading()
            started = asyncio.get_running_loop().time()
            writer.write(REQUEST.replace(b"/ ", b"/9000000 ", 1))
            while not it.state.connections:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0)
            await it.hung_up()
            assert asyncio.get_running_loop().time() - started >= 0.1
            writer.close()

    asyncio.run(run())
