"""Any request/response server of these packages as an ASGI application.

The adapter reads whole requests, up to what the server will look at, and leaves every answer to the server: wrong
methods, paths and media types too. What it adds is what only a network has: peers that hang up or never finish, a clock
for the server's timers, and no trace of an error of ours in a response.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Protocol, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY = 2**20
"""Octets of a request body, for a server that does not say `max_body`."""
BODY_TIMEOUT = 30.0
"""Seconds for a whole body: who sends it an octet at a time holds a connection and a buffer no longer."""
DRAIN = 2**20
"""Octets read in vain of a body that is too long: a client that still writes would miss the answer."""

logger = logging.getLogger(__name__)


class HttpResponse(Protocol):
    """What a server answers with."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Iterable[tuple[str, str]]: ...
    @property
    def body(self) -> bytes: ...


class RequestServer(Protocol):
    """A request/response server: `Request(method, target, headers, body)` is its own class.

    It may have `max_body` (octets; a body is cut one octet above it, for the server to refuse), `get_timer` and
    `handle_timer`, and `internal_error(request)`, its own answer to a request that it failed at.
    """

    @property
    def Request(self) -> Any: ...  # noqa: N802 - it is a class
    def handle(self, request: Any, peer: tuple[str, int] | None, now: float) -> HttpResponse: ...


class _HangUpError(Exception):
    """The client is gone, or too slow to wait for."""


def asgi(server: RequestServer, *, clock: Callable[[], float] = time.monotonic) -> App:
    """An ASGI application that hands every request to `server`; `clock` is where its `now` comes from, in seconds."""
    return _Adapter(server, clock)


class _Adapter:
    def __init__(self, server: RequestServer, clock: Callable[[], float]) -> None:
        self._server = server
        self._clock = clock
        self._limit: int = getattr(server, "max_body", MAX_BODY)
        self._get_timer: Callable[[], float | None] | None = getattr(server, "get_timer", None)
        self._wake_up: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1000})
            case other:
                raise ValueError(f"an ASGI scope of type {other}")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._arm()
                await send({"type": "lifespan.startup.complete"})
            else:
                if self._wake_up is not None:
                    self._wake_up.cancel()
                    self._wake_up = None
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                body, is_whole = await self._body(receive)
        except _HangUpError:
            return
        except TimeoutError:
            await _send(send, 408, _hang_up(scope), b"", is_head=False)
            return
        request = self._server.Request(
            method=scope["method"], target=_target(scope), headers=_headers(scope), body=body
        )
        client = scope.get("client")
        response = self._handle(request, (client[0], client[1]) if client else None)
        self._arm()
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
        if not is_whole:
            headers += _hang_up(scope)
        # A client that left while the answer was made is no error of anybody's.
        with contextlib.suppress(OSError):
            await _send(send, response.status, headers, response.body, is_head=scope["method"] == "HEAD")

    async def _body(self, receive: Receive) -> tuple[bytes, bool]:
        """The body, at most one octet longer than the server takes (it refuses that), and whether it was all."""
        body = bytearray()
        read = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _HangUpError
            part: bytes = message.get("body", b"")
            read += len(part)
            body += part[: self._limit + 1 - len(body)]
            if not message.get("more_body", False):
                return bytes(body), True
            if read > self._limit + DRAIN:
                return bytes(body), False

    def _handle(self, request: Any, peer: tuple[str, int] | None) -> HttpResponse:
        try:
            return self._server.handle(request, peer, self._clock())
        except Exception:
            logger.exception("%s %r failed", request.method, request.target)
        own: Callable[[Any], HttpResponse] | None = getattr(self._server, "internal_error", None)
        return own(request) if own is not None else _PlainError()

    def _arm(self) -> None:
        """See to it that the server's timer is handled, even when no request comes."""
        deadline = self._get_timer() if self._get_timer is not None else None
        if deadline is None:
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + max(0.0, deadline - self._clock())
        if self._wake_up is not None and self._loop is loop:
            # Most deadlines move on: an early call does no harm, and arms the timer anew.
            if self._wake_up.when() <= when:
                return
            self._wake_up.cancel()
        self._loop, self._wake_up = loop, loop.call_at(when, self._handle_timer)

    def _handle_timer(self) -> None:
        self._wake_up = None
        self._server.handle_timer(self._clock())  # type: ignore[attr-defined] # goes with get_timer
        self._arm()


class _PlainError:
    status = 500
    headers = ()
    body = b""


def _target(scope: Scope) -> str:
    """The path as it was sent, and the query."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    return (raw.partition(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1")


def _headers(scope: Scope) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])


def _hang_up(scope: Scope) -> list[tuple[bytes, bytes]]:
    """What ends the connection with the response, so that the rest of a body goes unread; HTTP/2 has no such header."""
    return [(b"connection", b"close")] if scope.get("http_version", "1.1").startswith("1") else []


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes, *, is_head: bool) -> None:
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if is_head else body})
