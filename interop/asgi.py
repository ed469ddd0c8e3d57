"""Any request/response server of these packages as an ASGI application.

The adapter reads whole requests, up to what the server will look at, and leaves every answer to the server: wrong
methods, paths and media types too. What it adds is what only a network has: peers that hang up or never finish, a clock
for the server's timers, streams that are written no faster than they are read, and no trace of an error of ours in a
response. Connections and the heads of requests are the HTTP server's: how many, how long and how large.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from interop._asgi_parts import CLOSE, Application, Receive, Scope, Send, Timer, encoded, hang_up, headers_of, target_of
from interop._asgi_streams import Exchanges, HttpPending, HttpResponse, HttpStream

MAX_BODY = 2**20
"""Octets of a request body, for a server that does not say `max_body`."""
BODY_TIMEOUT = 30.0
"""Seconds for a whole body: who sends it an octet at a time holds a connection and a buffer no longer."""
DRAIN = 2**20
"""Octets read in vain of a body that is too long: a client that still writes would miss the answer."""
MAX_BUFFERED = 2**26
"""Octets of bodies that are not yet whole, of all requests together: beyond it a request is sent away."""
PIECE = 2**18
"""Octets of an answer written at once: the HTTP server holds no more of a large one for a client that reads slowly."""

logger = logging.getLogger(__name__)


class RequestServer(Protocol):
    """A request/response server: `Request(method, target, headers, body)` is its own class.

    It may have `max_body` (octets; a body is cut one octet above it, for the server to refuse), `get_timer` and
    `handle_timer`, `next_ready()` (an answer that goes on and has something new, None at the end), and its own answers
    `internal_error(request)`, to what it failed at, and `unavailable(request)`, when it is going down.
    """

    @property
    def Request(self) -> Any: ...  # noqa: N802 - it is a class
    def handle(
        self, request: Any, peer: tuple[str, int] | None, now: float
    ) -> HttpResponse | HttpStream | HttpPending: ...


class _HangUpError(Exception):
    """The client is gone."""


class _FullError(Exception):
    """Too many bodies are under way."""


def asgi(
    server: RequestServer,
    *,
    clock: Callable[[], float] = time.monotonic,
    origin: Callable[[Scope], Mapping[str, Any]] | None = None,
) -> "Adapter":
    """An ASGI application that hands every request to `server`; `clock` is where its `now` comes from, in seconds.

    `origin` says where a request comes from: more arguments for `server.handle`, or another `peer`.
    """
    return Adapter(server, clock, origin)


class Adapter(Application):
    """The ASGI application that `asgi` makes. It is to be used in one event loop at a time."""

    def __init__(
        self,
        server: RequestServer,
        clock: Callable[[], float],
        origin: Callable[[Scope], Mapping[str, Any]] | None,
    ) -> None:
        self._server = server
        self._clock = clock
        self._origin = origin
        self._limit: int = getattr(server, "max_body", MAX_BODY)
        get_timer: Callable[[], float | None] | None = getattr(server, "get_timer", None)
        self._timer = Timer(get_timer, self._handle_timer, clock) if get_timer is not None else None
        self._exchanges = Exchanges(server, clock, self._arm)
        self._buffered = 0

    @property
    def open_count(self) -> int:
        """How many answers go on: streams, and long polls."""
        return len(self._exchanges)

    def wake(self) -> None:
        """Look after streams and timers: whoever gives the server anything by another way than a request calls this."""
        self._exchanges.wake()
        self._arm()

    def close(self) -> None:
        """End all that goes on, as it has to be before the HTTP server can end."""
        self._exchanges.close()

    def _start(self) -> None:
        self._exchanges.reopen()
        self._arm()

    async def _stop(self) -> None:
        self.close()
        if self._timer is not None:
            self._timer.cancel()

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                body, is_whole = await self._body(receive)
        except _HangUpError:
            return
        except TimeoutError:
            await _send(send, 408, hang_up(scope), b"", is_head=False)
            return
        except _FullError:
            answer = self._own("unavailable", self._request(scope, b""), 503)
            later = () if _has_retry_after(answer) else ((b"retry-after", b"30"),)
            await _send(send, 503, [*encoded(answer.headers), *later, *hang_up(scope)], answer.body, is_head=False)
            return
        request = self._request(scope, body)
        answer = self._handle(request, scope)
        self.wake()
        if hasattr(answer, "data_to_send"):
            await self._exchanges.stream(answer, receive, send)
            self._arm()
            return
        if hasattr(answer, "response"):
            waited = await self._exchanges.pending(answer, receive)
            self._arm()
            if waited is None and not self._exchanges.is_closing:
                return
            answer = waited or self._own("unavailable", request, 503)
        headers = encoded(answer.headers)
        if not is_whole or CLOSE in headers:
            headers = [pair for pair in headers if pair != CLOSE] + hang_up(scope)
        await _send(send, answer.status, headers, answer.body, is_head=scope["method"] == "HEAD")

    def _request(self, scope: Scope, body: bytes) -> Any:
        return self._server.Request(
            method=scope["method"], target=target_of(scope), headers=headers_of(scope), body=body
        )

    async def _body(self, receive: Receive) -> tuple[bytes, bool]:
        """The body, at most one octet longer than the server takes (it refuses that), and whether it was all."""
        body = bytearray()
        read = 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _HangUpError
                part: bytes = message.get("body", b"")
                read += len(part)
                kept = part[: self._limit + 1 - len(body)]
                if not message.get("more_body", False):
                    return bytes(body + kept) if body else kept, True
                self._buffered += len(kept)
                body += kept
                if self._buffered > MAX_BUFFERED:
                    raise _FullError
                if read > self._limit + DRAIN:
                    return bytes(body), False
        finally:
            self._buffered -= len(body)

    def _handle(self, request: Any, scope: Scope) -> Any:
        client = scope.get("client")
        arguments: dict[str, Any] = {"peer": (client[0], client[1]) if client else None}
        try:
            if self._origin is not None:
                arguments.update(self._origin(scope))
            return self._server.handle(request, now=self._clock(), **arguments)
        except Exception:
            logger.exception("%s %r failed", request.method, request.target)
        return self._own("internal_error", request, 500)

    def _own(self, name: str, request: Any, status: int) -> HttpResponse:
        """The server's own words for a failure, or none."""
        own: Callable[[Any], HttpResponse] | None = getattr(self._server, name, None)
        return own(request) if own is not None else _PlainError(status)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.arm()

    def _handle_timer(self) -> None:
        self._server.handle_timer(self._clock())  # type: ignore[attr-defined] # goes with get_timer
        self.wake()


def _has_retry_after(answer: HttpResponse) -> bool:
    return any(name.lower() == "retry-after" for name, _ in answer.headers)


class _PlainError:
    headers = ()
    body = b""

    def __init__(self, status: int) -> None:
        self.status = status


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes, *, is_head: bool) -> None:
    # The length of a 304 would be that of what was not sent (RFC 9110 section 8.6).
    if status not in (204, 304):
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    # A client that left while the answer was made is no error of anybody's.
    with contextlib.suppress(OSError):
        await send({"type": "http.response.start", "status": status, "headers": headers})
        body = b"" if is_head else body
        for at in range(0, len(body) or 1, PIECE):
            part = body if len(body) <= PIECE else body[at : at + PIECE]
            if at:
                # Others get their turn, and the HTTP server hears that the connection was lost.
                await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": part, "more_body": at + PIECE < len(body)})
