"""Any request/response server as an ASGI application: whole requests in, the server's own answers out."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import uvloop
from attrs import frozen
from loop_clock import LoopClock

import interop.asgi
from interop.asgi import asgi
from ppsp.tracker import (
    MEDIA_TYPE,
    Action,
    ConnectRequest,
    ErrorCode,
    PeerAddr,
    PeerMode,
    Request,
    Response,
    SwarmAction,
    TrackerServer,
    encode,
    parse_response,
)

JOIN = ConnectRequest(
    "t1", "p1", (SwarmAction("s", Action.JOIN, PeerMode.LEECH),), peer_addr=(PeerAddr("192.0.2.9", 7001),)
)


class Echo:
    """A server that shows what it was given, and has nothing that is optional."""

    Request = Request

    def __init__(self) -> None:
        self.requests: list[tuple[Request, Any, float]] = []

    def handle(self, request: Request, peer: tuple[str, int] | None, now: float) -> Response:
        self.requests.append((request, peer, now))
        return Response(200, (("Content-Type", "text/plain"),), request.body)


def client_of(server: Any, **arguments: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(asgi(server, **arguments), client=("192.0.2.9", 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://tracker.example")


async def call(app: Any, *incoming: dict[str, Any], **scope: Any) -> list[dict[str, Any]]:
    """What the application sends for these messages; after them the client stays silent."""
    waiting = list(incoming)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    http = {"type": "http", "method": "POST", "path": "/", "raw_path": b"/", "query_string": b"", "headers": []}
    await app({**http, "client": ("192.0.2.9", 4711), **scope}, receive, send)
    return sent


def part(body: bytes, more_body: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more_body}


def test_the_server_sees_the_whole_request():
    server = Echo()

    async def run() -> httpx.Response:
        async with client_of(server, clock=lambda: 12.5) as client:
            return await client.post("/a%20b/c?x=1&y=%2F", content=b"hello", headers={"X-Odd": "Yes"})

    response = asyncio.run(run())
    ((request, peer, now),) = server.requests
    assert (request.method, request.target, request.body) == ("POST", "/a%20b/c?x=1&y=%2F", b"hello")
    assert request.header("x-odd") == "Yes"
    assert (peer, now) == (("192.0.2.9", 4711), 12.5)
    assert (response.status_code, response.content) == (200, b"hello")
    assert (response.headers["content-type"], response.headers["content-length"]) == ("text/plain", "5")


def test_a_body_in_parts_is_put_together():
    server = Echo()
    asyncio.run(call(asgi(server), part(b"one ", True), part(b"", True), part(b"two", False)))
    assert server.requests[0][0].body == b"one two"


@pytest.mark.parametrize("incoming", [[], [part(b"half", True)]])
def test_a_client_that_hangs_up_in_the_middle_of_its_body_leaves_no_trace(incoming):
    server = Echo()
    sent = asyncio.run(call(asgi(server), *incoming, {"type": "http.disconnect"}))
    assert (sent, server.requests) == ([], [])


def test_a_client_that_never_finishes_its_body_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(interop.asgi, "BODY_TIMEOUT", 0.01)
    server = Echo()
    sent = asyncio.run(call(asgi(server), part(b"half", True)))
    assert (sent[0]["status"], server.requests) == (408, [])
    assert (b"connection", b"close") in sent[0]["headers"]


def test_a_body_that_is_too_long_is_refused_in_the_server_s_own_words():
    """RFC 7846 section 4.3: error 01"""
    server = TrackerServer()

    async def run() -> httpx.Response:
        async with client_of(server) as client:
            return await client.post("/", content=b"x" * 100_000, headers={"Content-Type": MEDIA_TYPE})

    response = asyncio.run(run())
    assert response.status_code == 413
    assert parse_response(response.content).message.error_code == ErrorCode.BAD_REQUEST


def test_a_body_without_end_is_cut_off_and_held_only_up_to_the_limit():
    server = TrackerServer()
    app = asgi(server)
    parts = (part(b"x" * 60_000, True) for _ in range(10**6))
    pulled = 0

    async def run() -> list[Any]:
        sent = []

        async def receive() -> dict[str, Any]:
            nonlocal pulled
            pulled += 1
            return next(parts)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": [], "client": None}
        await app(scope, receive, send)
        return sent

    sent = asyncio.run(run())
    assert sent[0]["status"] == 413
    assert (b"connection", b"close") in sent[0]["headers"]
    assert pulled * 60_000 < server.max_body + interop.asgi.DRAIN + 120_000


@pytest.mark.parametrize(("version", "fields"), [("1.1", [b"etag", b"connection"]), ("2", [b"etag"])])
def test_an_answer_that_ends_the_connection_says_so_where_http_has_a_field_for_it(version, fields):
    server = Echo()
    server.handle = lambda request, peer, now: Response(400, (("Connection", "close"), ("ETag", '"x"')), b"")
    sent = asyncio.run(call(asgi(server), part(b""), http_version=version))
    assert [name for name, _ in sent[0]["headers"] if name != b"content-length"] == fields


def test_wrong_methods_are_left_to_the_server():
    async def run(method: str) -> httpx.Response:
        async with client_of(TrackerServer()) as client:
            return await client.request(method, "/")

    for method in ("GET", "DELETE", "OPTIONS"):
        response = asyncio.run(run(method))
        assert (response.status_code, response.headers["allow"]) == (405, "POST")
        assert parse_response(response.content).message.error_code == ErrorCode.BAD_REQUEST


def test_an_answer_to_head_has_the_length_and_not_the_body():
    async def run() -> list[dict[str, Any]]:
        return await call(asgi(TrackerServer()), part(b""), method="HEAD")

    start, body = asyncio.run(run())
    assert start["status"] == 405
    assert int(dict(start["headers"])[b"content-length"]) > 0
    assert body["body"] == b""


def test_a_failure_of_the_server_is_its_own_error_and_shows_nothing_of_it(caplog):
    """RFC 7846 section 4.3: 04 (Internal Server Error)"""

    def broken(*_: Any) -> Any:
        raise RuntimeError("secret of the policy engine")

    server = TrackerServer(select=broken)

    async def run() -> list[httpx.Response]:
        async with client_of(server) as client:
            headers = {"Content-Type": MEDIA_TYPE}
            other = encode(ConnectRequest("t0", "p0", JOIN.swarm_action, peer_addr=JOIN.peer_addr))
            return [await client.post("/", content=body, headers=headers) for body in (other, encode(JOIN))]

    responses = asyncio.run(run())
    answer = parse_response(responses[1].content).message
    assert [response.status_code for response in responses] == [200, 500]
    assert (answer.error_code, answer.transaction_id) == (ErrorCode.INTERNAL_SERVER_ERROR, "t1")
    assert b"secret" not in responses[1].content
    assert "secret of the policy engine" in caplog.text


def test_a_failure_of_a_server_without_words_for_it_is_a_bare_500(caplog):
    class Broken(Echo):
        def handle(self, request: Any, peer: Any, now: float) -> Any:
            raise ValueError("secret")

    sent = asyncio.run(call(asgi(Broken()), part(b"")))
    assert (sent[0]["status"], sent[1]["body"]) == (500, b"")
    assert "secret" in caplog.text


@pytest.mark.parametrize(("more_body", "handled"), [(False, 1), (True, 0)], ids=["whole", "never finished"])
def test_a_client_that_left_before_the_answer_is_no_error(monkeypatch, more_body, handled):
    monkeypatch.setattr(interop.asgi, "BODY_TIMEOUT", 0.01 if more_body else 60.0)
    sent = []

    async def run() -> None:
        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0.002)
            return part(b"", more_body)

        async def send(message: Any) -> None:
            sent.append(message)
            raise ConnectionResetError

        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": [], "client": None}
        await asgi(server)(scope, receive, send)

    server = Echo()
    asyncio.run(run())
    assert (len(server.requests), len(sent)) == (handled, 1)


@pytest.mark.parametrize(
    ("path", "target"),
    [("/a b/c", "/a%20b/c"), ("/\u4e2d", "/%E4%B8%AD"), ("/x%y:z@&=", "/x%25y:z@&="), ("/\udcff", "/%FF")],
)
def test_a_server_without_the_raw_path_gives_a_target_that_means_the_same(path, target):
    server = Echo()
    asyncio.run(call(asgi(server), part(b""), path=path, raw_path=None, query_string=b"q=%20"))
    assert server.requests[0][0].target == f"{target}?q=%20"


def test_a_web_socket_is_closed_before_it_opens():
    sent = asyncio.run(call(asgi(Echo()), {"type": "websocket.connect"}, type="websocket"))
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_the_life_of_a_server_is_acknowledged():
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = asyncio.run(call(asgi(Echo()), *messages, type="lifespan"))
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


class Alarm(Echo):
    """A server with a deadline that moves."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self.clock = clock
        self.deadline: float | None = None
        self.calls = 0

    def get_timer(self) -> float | None:
        return self.deadline

    def handle_timer(self, now: float) -> None:
        self.calls += 1
        assert 0 <= self.clock() - now < 60
        if self.deadline is not None and now >= self.deadline:
            self.deadline = None


def test_the_server_s_timer_is_handled_without_a_request():
    async def run() -> tuple[int, float | None]:
        clock = LoopClock()
        server = Alarm(clock)
        app = asgi(server, clock=clock)
        server.deadline = clock() + 20
        await call(app, part(b""))
        # The deadline moves on: the first wake-up is early, and arms the next.
        server.deadline += 20
        await clock.forward(20)
        await clock.forward(20)
        return server.calls, server.deadline

    calls, deadline = asyncio.run(run())
    assert (calls, deadline) == (2, None)


def test_a_deadline_that_comes_nearer_is_met():
    async def run() -> float | None:
        clock = LoopClock()
        server = Alarm(clock)
        app = asgi(server, clock=clock)
        server.deadline = clock() + 60
        await call(app, part(b""))
        server.deadline = clock() + 10
        await call(app, part(b""))
        await clock.forward(10)
        return server.deadline

    assert asyncio.run(run()) is None


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_deadline_that_is_past_is_met_on_any_loop(factory):
    async def run() -> float | None:
        loop = asyncio.get_running_loop()
        server = Alarm(loop.time)
        app = asgi(server, clock=loop.time)
        server.deadline = loop.time() - 1
        # Of what is due at once uvloop does not say when.
        app.wake()
        app.wake()
        await asyncio.sleep(0.02)
        return server.deadline

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(run()) is None


def test_a_silent_peer_is_removed_while_nobody_asks_anything():
    """RFC 7846 section 2.3.2 D"""
    server = TrackerServer(track_timer=30)

    async def run() -> int:
        clock = LoopClock()
        async with client_of(server, clock=clock) as client:
            await client.post("/", content=encode(JOIN), headers={"Content-Type": MEDIA_TYPE})
        before = server.peer_count
        await clock.forward(31)
        return before

    assert asyncio.run(run()) == 1
    assert server.peer_count == 0


def test_shutdown_cancels_the_timer():
    async def run() -> int:
        clock = LoopClock()
        server = Alarm(clock)
        app = asgi(server, clock=clock)
        server.deadline = clock() + 10
        await call(app, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}, type="lifespan")
        await clock.forward(50)
        return server.calls

    assert asyncio.run(run()) == 0


def test_one_adapter_serves_one_event_loop_after_another():
    clocks: list[LoopClock] = []
    server = TrackerServer(track_timer=20)
    app = asgi(server, clock=lambda: clocks[-1]())

    async def run() -> int:
        clocks.append(LoopClock())
        headers = [(b"content-type", MEDIA_TYPE.encode())]
        await call(app, part(encode(JOIN)), headers=headers)
        before = server.peer_count
        await clocks[-1].forward(21)
        return before - server.peer_count

    for _ in range(2):
        assert asyncio.run(run()) == 1


def test_a_server_of_any_package_fits():
    @frozen
    class OtherRequest:
        method: str
        target: str
        headers: tuple[tuple[str, str], ...]
        body: bytes

    class Other:
        Request = OtherRequest

        def handle(self, request: OtherRequest, peer: tuple[str, int] | None, now: float) -> Response:
            return Response(200, (), json.dumps([request.method, len(request.headers)]).encode())

    sent = asyncio.run(call(asgi(Other()), part(b""), headers=[(b"a", b"b")]))
    assert json.loads(sent[1]["body"]) == ["POST", 1]
