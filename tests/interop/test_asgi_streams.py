"""Answers that go on, over ASGI: streams, long polls, clients that leave or dawdle, and the end of the server."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import interop._asgi_streams
import interop.asgi
from interop.asgi import Adapter, asgi
from ppsp.tracker import ErrorCode, Request, Response, TrackerServer, parse_response


class Stream:
    status = 200
    headers = (("Content-Type", "text/event-stream"),)

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.waiting = b"hello"
        self.is_finished = False
        self.left = 0

    def data_to_send(self, now: float) -> bytes:
        data, self.waiting = self.waiting, b""
        return data

    def disconnect(self, now: float) -> None:
        self.left += 1
        self.server.deadline = now + 0.01


class Poll:
    def __init__(self) -> None:
        self.response: Response | None = None
        self.left = 0

    def disconnect(self, now: float) -> None:
        self.left += 1


class Server:
    """Answers with a stream to /stream, with a long poll to /poll, and else at once."""

    Request = Request

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.polls: list[Poll] = []
        self.ready: list[Any] = []
        self.deadline: float | None = None
        self.timers = 0

    def handle(self, request: Request, peer: Any, now: float) -> Any:
        match request.target:
            case "/stream":
                self.streams.append(Stream(self))
                return self.streams[-1]
            case "/poll":
                self.polls.append(Poll())
                return self.polls[-1]
            case "/write":
                for stream in self.streams:
                    stream.waiting += request.body
                    self.ready.append(stream)
            case "/end":
                for stream in self.streams:
                    stream.is_finished = True
                    self.ready.append(stream)
            case "/answer":
                for poll in self.polls:
                    poll.response = Response(200, (("ETag", '"x"'),), request.body)
                    self.ready.append(poll)
        return Response(204)

    def next_ready(self) -> Any:
        return self.ready.pop(0) if self.ready else None

    def get_timer(self) -> float | None:
        return self.deadline

    def handle_timer(self, now: float) -> None:
        if self.deadline is not None and now >= self.deadline:
            self.timers += 1
            self.deadline = None


class Client:
    """A request under way: what was sent to it, and what it does next."""

    def __init__(self, app: Adapter, target: str, body: bytes = b"") -> None:
        self.sent: list[Any] = []
        self.more = asyncio.Event()
        self.may_write = asyncio.Event()
        self.may_write.set()
        self._incoming: asyncio.Queue[Any] = asyncio.Queue()
        self._incoming.put_nowait({"type": "http.request", "body": body, "more_body": False})
        scope = {"type": "http", "method": "POST", "path": target, "query_string": b"", "headers": [], "client": None}
        self.task = asyncio.ensure_future(app(scope, self._incoming.get, self._send))

    async def _send(self, message: Any) -> None:
        await self.may_write.wait()
        self.sent.append(message)
        self.more.set()

    def hang_up(self) -> None:
        self._incoming.put_nowait({"type": "http.disconnect"})

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    async def until(self, condition: Callable[["Client"], Any]) -> None:
        async with asyncio.timeout(60):
            while not condition(self):
                self.more.clear()
                await self.more.wait()

    async def end(self) -> None:
        async with asyncio.timeout(60):
            await self.task


async def ask(app: Adapter, target: str, body: bytes = b"") -> Client:
    client = Client(app, target, body)
    await client.end()
    return client


def run(work: Callable[[Server, Adapter], Awaitable[None]]) -> None:
    async def main() -> None:
        server = Server()
        app = asgi(server)
        await work(server, app)
        assert app.open_count == 0
        # Nothing is left behind that waits for a client.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(others, timeout=60) if others else None
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_the_head_of_a_stream_and_what_there_is_are_sent_at_once_and_the_rest_as_it_comes():
    async def work(server: Server, app: Adapter) -> None:
        client = Client(app, "/stream")
        await client.until(lambda client: client.body == b"hello")
        assert client.sent[0]["status"] == 200
        assert (b"content-type", b"text/event-stream") in client.sent[0]["headers"]
        assert not any(name == b"content-length" for name, _ in client.sent[0]["headers"])
        await ask(app, "/write", b" world")
        await client.until(lambda client: client.body == b"hello world")
        assert not client.task.done()
        await ask(app, "/end")
        await client.end()
        assert [message.get("more_body", False) for message in client.sent[1:]] == [True, True, False]
        assert server.streams[0].left == 1

    run(work)


def test_a_client_that_hangs_up_frees_its_stream_at_once():
    """Trap 28"""

    async def work(server: Server, app: Adapter) -> None:
        client = Client(app, "/stream")
        await client.until(lambda client: client.body)
        assert app.open_count == 1
        client.hang_up()
        await client.end()
        assert (server.streams[0].left, app.open_count) == (1, 0)
        await ask(app, "/write", b"nobody reads this")

    run(work)


def test_a_timer_that_a_stream_sets_when_it_is_asked_for_what_it_has_is_looked_after():
    async def work(server: Server, app: Adapter) -> None:
        client = Client(app, "/stream")
        await client.until(lambda client: client.body)
        stream = server.streams[0]

        def put_off(now: float) -> bytes:
            server.deadline = now
            return b""

        stream.data_to_send = put_off  # type: ignore[method-assign]
        await ask(app, "/write")
        async with asyncio.timeout(60):
            while not server.timers:  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.001)
        client.hang_up()
        await client.end()

    run(work)


def test_a_stream_is_written_no_faster_than_it_is_read():
    async def work(server: Server, app: Adapter) -> None:
        client = Client(app, "/stream")
        await client.until(lambda client: client.body)
        client.may_write.clear()
        large = b"x" * (3 * interop._asgi_streams.PIECE)
        await ask(app, "/write", large)
        await ask(app, "/write", b"y")
        await asyncio.sleep(0.01)
        assert client.body == b"hello"
        client.may_write.set()
        await client.until(lambda client: client.body == b"hello" + large + b"y")
        assert max(len(message.get("body", b"")) for message in client.sent) == interop._asgi_streams.PIECE
        client.hang_up()
        await client.end()

    run(work)


def test_a_client_that_hangs_up_in_the_middle_of_a_large_piece_is_noticed():
    async def work(server: Server, app: Adapter) -> None:
        client = Client(app, "/stream")
        await client.until(lambda client: client.body)
        client.may_write.clear()
        await ask(app, "/write", b"x" * (3 * interop._asgi_streams.PIECE))
        client.hang_up()
        await asyncio.sleep(0.01)
        client.may_write.set()
        await client.end()
        assert len(client.body) < 2 * interop._asgi_streams.PIECE
        assert server.streams[0].left == 1

    run(work)


def test_a_client_that_does_not_read_is_cut_off(monkeypatch):
    monkeypatch.setattr(interop._asgi_streams, "WRITE_TIMEOUT", 0.02)

    async def work(server: Server, app: Adapter) -> None:
        client = Client(app, "/stream")
        await client.until(lambda client: client.body)
        client.may_write.clear()
        await ask(app, "/write", b"x")
        await client.end()
        assert (server.streams[0].left, client.body) == (1, b"hello")

    run(work)


def test_a_connection_that_breaks_under_a_stream_is_no_error():
    async def work(server: Server, app: Adapter) -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": b""} if not server.streams else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            raise ConnectionResetError

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/stream",
            "query_string": b"",
            "headers": [],
            "client": None,
        }
        await app(scope, receive, send)
        assert server.streams[0].left == 1

    run(work)


def test_what_changes_when_a_client_leaves_may_set_a_timer():
    async def work(server: Server, app: Adapter) -> None:
        client = Client(app, "/stream")
        await client.until(lambda client: client.body)
        client.hang_up()
        await client.end()
        async with asyncio.timeout(60):
            while not server.timers:  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.005)

    run(work)


def test_a_long_poll_is_answered_when_there_is_an_answer():
    async def work(server: Server, app: Adapter) -> None:
        clients = [Client(app, "/poll") for _ in range(3)]
        async with asyncio.timeout(60):
            while app.open_count < 3:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.001)
        assert [client.sent for client in clients] == [[], [], []]
        clients[0].hang_up()
        await clients[0].end()
        await ask(app, "/answer", b"news")
        for client in clients[1:]:
            await client.end()
            assert (client.sent[0]["status"], client.body) == (200, b"news")
            assert (b"content-length", b"4") in client.sent[0]["headers"]
        assert clients[0].sent == []
        assert [poll.left for poll in server.polls] == [1, 1, 1]

    run(work)


def test_the_end_of_the_server_ends_streams_and_answers_long_polls():
    async def work(server: Server, app: Adapter) -> None:
        stream, poll = Client(app, "/stream"), Client(app, "/poll")
        await stream.until(lambda client: client.body)
        await ask(app, "/write", b" and good bye")
        app.close()
        await stream.end()
        await poll.end()
        assert (stream.body, stream.sent[-1]["body"]) == (b"hello and good bye", b"")
        assert not stream.sent[-1].get("more_body", False)
        assert poll.sent[0]["status"] == 503
        late = await ask(app, "/stream")
        assert late.body == b"hello"

    run(work)


def test_the_lifespan_of_the_server_ends_streams_too():
    async def work(server: Server, app: Adapter) -> None:
        stream = Client(app, "/stream")
        await stream.until(lambda client: client.body)
        incoming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> Any:
            return next(incoming)

        async def send(message: Any) -> None:
            pass

        await app({"type": "lifespan"}, receive, send)
        await stream.end()

    run(work)


def test_an_exchange_that_is_cancelled_frees_its_stream():
    async def work(server: Server, app: Adapter) -> None:
        stream, poll = Client(app, "/stream"), Client(app, "/poll")
        await stream.until(lambda client: client.body)
        for client in (stream, poll):
            client.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await client.end()
        assert (server.streams[0].left, server.polls[0].left) == (1, 1)

    run(work)


def test_who_gives_the_server_anything_by_another_way_wakes_the_streams():
    async def work(server: Server, app: Adapter) -> None:
        client = Client(app, "/stream")
        await client.until(lambda client: client.body)
        server.streams[0].waiting = b"!"
        server.ready.append(server.streams[0])
        app.wake()
        await client.until(lambda client: client.body == b"hello!")
        client.hang_up()
        await client.end()

    run(work)


def test_bodies_under_way_are_bounded_together(monkeypatch):
    monkeypatch.setattr(interop.asgi, "MAX_BUFFERED", 100)

    async def main() -> None:
        app = asgi(Server())

        async def post(*parts: tuple[bytes, bool]) -> list[Any]:
            incoming = iter(parts)
            sent: list[Any] = []

            async def receive() -> Any:
                try:
                    body, more = next(incoming)
                except StopIteration:
                    await asyncio.Event().wait()
                return {"type": "http.request", "body": body, "more_body": more}

            async def send(message: Any) -> None:
                sent.append(message)

            scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": [], "client": None}
            await app(scope, receive, send)
            return sent

        slow = [asyncio.ensure_future(post((b"x" * 45, True))) for _ in range(2)]
        await asyncio.sleep(0)
        sent = await post((b"x" * 20, True))
        assert sent[0]["status"] == 503
        assert {(b"connection", b"close"), (b"retry-after", b"30")} <= set(sent[0]["headers"])
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        assert (await post((b"x" * 50, True), (b"x" * 50, False)))[0]["status"] == 204

    asyncio.run(main())


def test_who_is_sent_away_is_told_so_in_the_server_s_own_words(monkeypatch):
    """RFC 7846 section 4.3: in an overloaded state a tracker SHOULD respond with error 05"""
    monkeypatch.setattr(interop.asgi, "MAX_BUFFERED", 10)
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * 20, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": [], "client": None}
    asyncio.run(asgi(TrackerServer())(scope, receive, send))
    assert sent[0]["status"] == 503
    headers = dict(sent[0]["headers"])
    assert (headers[b"retry-after"], headers[b"connection"]) == (b"5", b"close")
    assert parse_response(sent[1]["body"]).message.error_code == ErrorCode.SERVICE_UNAVAILABLE


def test_a_large_answer_is_written_in_pieces():
    size = 3 * interop.asgi.PIECE - 1

    class Large(Server):
        def handle(self, request: Request, peer: Any, now: float) -> Any:
            return Response(200, (), b"x" * size)

    async def main() -> None:
        client = await ask(asgi(Large()), "/")
        assert [len(message["body"]) for message in client.sent[1:]] == [interop.asgi.PIECE] * 2 + [
            interop.asgi.PIECE - 1
        ]
        assert [message["more_body"] for message in client.sent[1:]] == [True, True, False]
        assert (b"content-length", b"%d" % size) in client.sent[0]["headers"]

    asyncio.run(main())


def test_where_a_request_comes_from_may_be_said_by_the_application():
    class Named(Server):
        def handle(self, request: Request, peer: Any, now: float, user: str = "") -> Any:
            return Response(200, (), f"{peer} {user}".encode())

    async def main() -> None:
        app = asgi(Named(), origin=lambda scope: {"user": scope["path"], "peer": None})
        assert (await ask(app, "/ann")).body == b"None /ann"

    asyncio.run(main())
