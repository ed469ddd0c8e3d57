"""What the gateways of files and of live streams have in common."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import ipaddress
import mimetypes
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote, urlsplit

from interop._asgi_parts import Application, Receive, Scope, Send, encoded, headers_of
from interop._gateway_page import PAGE, PAGE_POLICY
from interop._http_limits import LimitedHttpProtocol
from interop._http_server import Server, config
from interop.peer import SwarmPeer

RETRY = "5"
_TEXT = "text/plain; charset=utf-8"
_Result = TypeVar("_Result")
Headers: TypeAlias = list[tuple[str, str]]


class PlayerHttpProtocol(LimitedHttpProtocol):
    """Patience with players: one that is paused reads nothing, and goes on an hour later."""

    write_timeout = 3600.0


class GatewayServer(Server):
    """Uvicorn for a gateway, in an event loop that others use, too: `await server.serve(sockets=[listener])`.

    Signals stay theirs; `server.should_exit = True` ends it, without waiting for players.
    """

    def __init__(self, gateway: Application, *, started: Callable[[], None] = lambda: None) -> None:
        """`started` is called once it listens."""
        super().__init__(config(gateway, protocol=PlayerHttpProtocol), started=started, before_end=self._hang_up)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def _hang_up(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


class GoneError(Exception):
    """The client is gone."""


class GatewayBase(Application):
    """The page, the statistics, and who may ask for them; a subclass has the content."""

    def __init__(self, peer: SwarmPeer, hosts: Iterable[str]) -> None:
        self._hosts = {"localhost", *(host.lower() for host in hosts)}
        self._id = peer.uri.metadata.swarm_id.hex()
        name = peer.uri.name or ""
        self.path = f"/{self._id}" + (f"/{quote(name, safe='')}" if name else "")
        """The path of the content, with its name."""
        self.content_type = _type_of(name)

    def _start(self) -> None:
        """Nothing is to be started."""

    async def _stop(self) -> None:
        """Nothing is to be stopped: requests end with their connections."""

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _combined(scope)
        is_head = scope["method"] == "HEAD"
        if not self._is_host(headers.get("host", "")):
            await send_text(send, 421, "This gateway is for this machine, and has no name of its own.", is_head=is_head)
            return
        path = scope["path"]
        if path == "/":
            policy = [("content-security-policy", PAGE_POLICY), ("cache-control", "no-store")]
            await self._small(scope, send, "text/html; charset=utf-8", PAGE, policy)
        elif path == "/stats":
            await self._small(scope, send, "application/json", self._statistics(), [("cache-control", "no-store")])
        elif path == "*":  # whoever asks that wants to know whether somebody is there (RFC 9110 section 9.3.7)
            await send_whole(send, 204, [("allow", "GET, HEAD, OPTIONS")], b"", is_head=True)
        elif path.split("/")[1].lower() == self._id:
            await self._route(scope, receive, send, headers)
        else:
            await send_text(send, 404, "There is no such swarm here.", is_head=is_head)

    def _is_host(self, value: str) -> bool:
        try:
            host = urlsplit(f"//{value}").hostname or ""
        except ValueError:
            return False
        if host in self._hosts:
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True

    async def _small(self, scope: Scope, send: Send, content_type: str, body: bytes, more: Headers) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await send_text(send, 405, "Only GET and HEAD.", [("allow", "GET, HEAD")])
            return
        headers = [("content-type", content_type), ("x-content-type-options", "nosniff"), *more]
        await send_whole(send, 200, headers, body, is_head=scope["method"] == "HEAD")

    async def _route(self, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, str]) -> None:
        method = scope["method"]
        if method == "OPTIONS":
            await send_whole(send, 204, [*CORS, *_PREFLIGHT], b"", is_head=True)
        elif method not in ("GET", "HEAD"):
            await send_text(send, 405, "Only GET and HEAD.", [("allow", "GET, HEAD, OPTIONS"), *CORS])
        else:
            await self._content(method, headers, receive, send)

    @abc.abstractmethod
    async def _content(self, method: str, headers: Mapping[str, str], receive: Receive, send: Send) -> None:
        """Answer a GET or HEAD of the content."""

    @abc.abstractmethod
    def _statistics(self) -> bytes:
        """The JSON object of `/stats`."""


CORS: Headers = [
    # Players in web pages. Who does not know the swarm ID cannot ask for anything that has it.
    ("access-control-allow-origin", "*"),
    ("access-control-expose-headers", "Accept-Ranges, Content-Length, Content-Range, ETag"),
]
_PREFLIGHT: Headers = [
    ("access-control-allow-methods", "GET, HEAD"),
    ("access-control-allow-headers", "Range, If-Range, If-None-Match"),
    ("access-control-allow-private-network", "true"),
    ("access-control-max-age", "86400"),
]


# What systems' tables have none, or another, of: `.ts` is a source text to some.
_TYPES = mimetypes.MimeTypes()
_TYPES.add_type("video/mp2t", ".ts")
_TYPES.add_type("video/x-matroska", ".mkv")
_TYPES.add_type("video/webm", ".webm")


def _combined(scope: Scope) -> dict[str, str]:
    """The header fields, each one value: several lines of one are a list (RFC 9110 section 5.3)."""
    found: dict[str, str] = {}
    for name, value in headers_of(scope):
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _type_of(name: str) -> str:
    kind, encoding = _TYPES.guess_type(name)
    return kind if kind is not None and encoding is None else "application/octet-stream"


async def disconnected(receive: Receive) -> None:
    """Wait until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless(gone: asyncio.Future[None], awaitable: Coroutine[Any, Any, _Result]) -> _Result:
    """The result, unless the client leaves before: then GoneError.

    It is awaited here and not in a task of its own: while a swarm comes in at full speed, each turn of the loop that a
    request waits for is one in which hundreds of chunks are verified.
    """
    task = asyncio.current_task()
    assert task is not None
    if gone.done():
        awaitable.close()
        raise GoneError
    waiting, left = True, False

    def leave(_: asyncio.Future[None]) -> None:
        nonlocal left
        if waiting:  # the client may leave in the very turn in which the result is there
            left = task.cancel()

    gone.add_done_callback(leave)
    try:
        return await awaitable
    except asyncio.CancelledError:
        if left and not task.uncancel():
            raise GoneError from None
        raise
    finally:
        waiting = False
        gone.remove_done_callback(leave)


async def send_piece(send: Send, piece: bytes, gone: asyncio.Future[None]) -> None:
    """Send a part of a body; GoneError when nobody takes it."""
    await send({"type": "http.response.body", "body": piece, "more_body": True})
    # While nothing has to be waited for, nobody else would hear of the connection, nor get a turn.
    await asyncio.sleep(0)
    if gone.done():
        raise GoneError


async def send_text(send: Send, status: int, text: str, more: Headers | None = None, *, is_head: bool = False) -> None:
    """Answer with one sentence."""
    await send_whole(send, status, [("content-type", _TEXT), *(more or [])], f"{text}\n".encode(), is_head=is_head)


async def send_whole(send: Send, status: int, headers: Headers, body: bytes, *, is_head: bool) -> None:
    """Answer with a body that is there."""
    if body:
        headers = [*headers, ("content-length", str(len(body)))]
    await send({"type": "http.response.start", "status": status, "headers": encoded(headers)})
    await send({"type": "http.response.body", "body": b"" if is_head else body})
