"""What ASGI applications of these packages have in common: requests as they were sent, and a server's timer."""

import abc
import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import quote

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

CLOSE = (b"connection", b"close")
_PATH = "/:@!$&'()*+,;="
"""What stands for itself in a path (RFC 3986 section 3.3), besides letters, digits and `-._~`."""


def target_of(scope: Scope) -> str:
    """The path as it was sent, or at least one that means the same, and the query."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"], safe=_PATH, errors="surrogateescape").encode()
    query: bytes = scope.get("query_string", b"")
    return (raw.partition(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1")


def headers_of(scope: Scope) -> tuple[tuple[str, str], ...]:
    """The header fields, their names in lower case."""
    return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])


def hang_up(scope: Scope) -> list[tuple[bytes, bytes]]:
    """What ends the connection with the response, so that the rest of a body goes unread; HTTP/2 has no such header."""
    return [CLOSE] if scope.get("http_version", "1.1").startswith("1") else []


def encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Header fields as ASGI has them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


class Timer:
    """Calls a server's `handle_timer` when it is due, in whatever event loop runs; for one loop at a time."""

    def __init__(
        self, get_timer: Callable[[], float | None], handle: Callable[[], None], clock: Callable[[], float]
    ) -> None:
        """`handle` is called at the time that `get_timer` said last; `arm` asks again."""
        self._get_timer = get_timer
        self._handle = handle
        self._clock = clock
        self._wake_up: asyncio.TimerHandle | None = None
        self._wake_up_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    def arm(self) -> None:
        """See to it that the timer is handled, even when no request comes."""
        deadline = self._get_timer()
        if deadline is not None:
            self.arm_at(deadline)

    def arm_at(self, deadline: float) -> None:
        """There is a new deadline, maybe before that of `get_timer`."""
        loop = asyncio.get_running_loop()
        when = loop.time() + max(0.0, deadline - self._clock())
        if self._wake_up is not None and self._loop is loop:
            # Most deadlines move on: an early call does no harm, and arms the timer anew.
            if self._wake_up_at <= when:
                return
            self._wake_up.cancel()
        # What uvloop calls at once is a handle that does not know its time.
        self._loop, self._wake_up, self._wake_up_at = loop, loop.call_at(when, self._fire), when

    def cancel(self) -> None:
        """Handle it no more."""
        if self._wake_up is not None:
            self._wake_up.cancel()
            self._wake_up = None

    def _fire(self) -> None:
        self._wake_up = None
        self._handle()


class Application(abc.ABC):
    """An ASGI application for HTTP alone, in one event loop at a time."""

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
                self._start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    @abc.abstractmethod
    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

    @abc.abstractmethod
    def _start(self) -> None:
        """The server starts."""

    @abc.abstractmethod
    async def _stop(self) -> None:
        """The server has ended, and no request is under way."""
