"""An HTTP gateway to a swarm: any player, browser or downloader reads the content while it is being fetched.

async with SwarmPeer(uri, store) as peer:
    app = Gateway(peer)  # an ASGI application
    await GatewayServer(app).serve(sockets=[listener])

`GET` and `HEAD` of `/<swarm ID in hex>`, with a name behind it for who wants one, single and multiple ranges, entity
tags; `/stats` in JSON, and at `/` a page that shows both to a person. A seek re-orders what is fetched. Only verified
octets are ever written.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import mimetypes
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from interop._asgi_parts import Application, Receive, Scope, Send, encoded, headers_of
from interop._gateway_page import PAGE, PAGE_POLICY
from interop._gateway_ranges import Multipart, Selection, content_range, is_fresh, is_refused, select
from interop._gateway_stats import Readers, statistics
from interop._http_limits import LimitedHttpProtocol
from interop._http_server import Server, config
from interop.peer import SwarmPeer
from interop.reading import SwarmReader

__all__ = ["Gateway", "GatewayServer", "PlayerHttpProtocol"]

PATIENCE = 15.0
"""Seconds that a request waits for the size of the content and for its first octet. Afterwards it waits as long as the
client does: peers come and go."""
MAX_READERS = 32
"""Requests for content under way at once. A player has two or three."""
_RETRY = "5"
_TEXT = "text/plain; charset=utf-8"
_Result = TypeVar("_Result")
_Headers = list[tuple[str, str]]


class PlayerHttpProtocol(LimitedHttpProtocol):
    """Patience with players: one that is paused reads nothing, and goes on an hour later."""

    write_timeout = 3600.0


class GatewayServer(Server):
    """Uvicorn for a gateway, in an event loop that others use, too: `await server.serve(sockets=[listener])`.

    Signals stay theirs; `server.should_exit = True` ends it, without waiting for players.
    """

    def __init__(self, gateway: Gateway, *, started: Callable[[], None] = lambda: None) -> None:
        """`started` is called once it listens."""
        super().__init__(config(gateway, protocol=PlayerHttpProtocol), started=started, before_end=self._hang_up)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def _hang_up(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


class _GoneError(Exception):
    """The client is gone."""


class _Unavailable(Exception):  # noqa: N818 - it is an answer
    """Nothing can be said or sent now; `status` and the text say why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Gateway(Application):
    """The ASGI application. `peer` is entered before the first request, and left after the last.

    `hosts` are names, besides addresses and `localhost`, that a request may give as its Host: another name is that of a
    web page which had its own name resolve to this machine (DNS rebinding). `patience` is in seconds.
    """

    def __init__(
        self, peer: SwarmPeer, *, hosts: Iterable[str] = (), patience: float = PATIENCE, max_readers: int = MAX_READERS
    ) -> None:
        self._peer = peer
        self._hosts = {"localhost", *(host.lower() for host in hosts)}
        self._patience = patience
        self._max_readers = max_readers
        self._etag = peer.uri.metadata.swarm_id.hex()
        name = peer.uri.name or ""
        self.path = f"/{self._etag}" + (f"/{quote(name, safe='')}" if name else "")
        """The path of the content, with its name."""
        self.content_type = _type_of(name)
        self.readers = Readers(time.monotonic())

    def _start(self) -> None:
        """Nothing is to be started."""

    async def _stop(self) -> None:
        """Nothing is to be stopped: requests end with their connections."""

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(headers_of(scope))
        is_head = scope["method"] == "HEAD"
        if not self._is_host(headers.get("host", "")):
            await _send_text(
                send, 421, "This gateway is for this machine, and has no name of its own.", is_head=is_head
            )
            return
        path = scope["path"]
        if path == "/":
            policy = [("content-security-policy", PAGE_POLICY), ("cache-control", "no-store")]
            await self._small(scope, send, "text/html; charset=utf-8", PAGE, policy)
        elif path == "/stats":
            body = statistics(self._peer, self.readers, path=self.path, content_type=self.content_type)
            await self._small(scope, send, "application/json", body, [("cache-control", "no-store")])
        elif path.split("/")[1].lower() == self._etag:
            await self._content(scope, receive, send, headers)
        else:
            await _send_text(send, 404, "There is no such swarm here.", is_head=is_head)

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

    async def _small(self, scope: Scope, send: Send, content_type: str, body: bytes, more: _Headers) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await _send_text(send, 405, "Only GET and HEAD.", [("allow", "GET, HEAD")])
            return
        headers = [("content-type", content_type), ("x-content-type-options", "nosniff"), *more]
        await _send_whole(send, 200, headers, body, is_head=scope["method"] == "HEAD")

    # The content

    async def _content(self, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, str]) -> None:
        method = scope["method"]
        if method == "OPTIONS":
            await _send_whole(send, 204, [*_CORS, *_PREFLIGHT], b"", is_head=True)
            return
        if method not in ("GET", "HEAD"):
            await _send_text(send, 405, "Only GET and HEAD.", [("allow", "GET, HEAD, OPTIONS"), *_CORS])
            return
        common = [
            ("etag", f'"{self._etag}"'),
            ("accept-ranges", "bytes"),
            # The name in the path is not part of what is served.
            ("cache-control", "public, max-age=31536000, immutable"),
            *_CORS,
        ]
        if is_refused(headers, self._etag):
            await _send_whole(send, 412, common, b"", is_head=True)
        elif is_fresh(headers, self._etag):
            await _send_whole(send, 304, common, b"", is_head=True)
        elif len(self.readers) >= self._max_readers:
            text = f"{self._max_readers} requests for the content are under way already."
            await _send_text(send, 503, text, [*_CORS, ("retry-after", _RETRY)], is_head=method == "HEAD")
        else:
            await self._read(method, headers, common, receive, send)

    async def _read(
        self, method: str, headers: Mapping[str, str], common: _Headers, receive: Receive, send: Send
    ) -> None:
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            with SwarmReader(self._peer) as reader, self.readers.under_way(reader):
                size = await self._soon(reader.size(), gone)
                selection = select(method, headers, self._etag, size)
                if selection.status == 416:
                    more = [("content-range", f"bytes */{size}")]
                    await _send_text(send, 416, f"There are {size} octets.", [*common, *more])
                    return
                if method == "GET" and size:
                    reader.seek(selection.spans[0][0])
                    await self._soon(self._first(reader, selection.spans[0]), gone)
                await self._answer(method, selection, size, common, reader, send, gone)
        except _Unavailable as exc:
            more = [("retry-after", _RETRY), *_CORS]
            await _send_text(send, exc.status, str(exc), more, is_head=method == "HEAD")
        except _GoneError:
            pass
        finally:
            gone.cancel()

    async def _first(self, reader: SwarmReader, span: tuple[int, int]) -> None:
        """Wait for the first octet, so that what cannot be had is told by a status and not by silence."""
        while reader.reading.held_until <= span[0]:
            await self._peer.news()
        self.readers.began(time.monotonic())

    async def _soon(self, awaitable: Awaitable[_Result], gone: asyncio.Future[None]) -> _Result:
        """The result, unless it takes too long; then an _Unavailable that says why."""
        try:
            async with asyncio.timeout(self._patience):
                return await _unless(gone, awaitable)
        except TimeoutError:
            pass
        except OSError as exc:
            raise _Unavailable(503, f"The content cannot be stored: {exc.strerror or exc}.") from exc
        count = len(self._peer.stats.peers)
        if not count:
            raise _Unavailable(503, "No peer of the swarm can be reached.")
        some = "The one peer of the swarm that is connected" if count == 1 else f"None of the {count} connected peers"
        raise _Unavailable(504, f"{some} has {'not ' if count == 1 else ''}sent this for {self._patience:g} s.")

    async def _answer(
        self,
        method: str,
        selection: Selection,
        size: int,
        common: _Headers,
        reader: SwarmReader,
        send: Send,
        gone: asyncio.Future[None],
    ) -> None:
        spans = selection.spans
        parts = Multipart(spans, self.content_type, size) if len(spans) > 1 else None
        length = parts.length if parts is not None else spans[0][1] - spans[0][0]
        headers = [
            *common,
            ("content-type", self.content_type if parts is None else parts.content_type),
            ("content-length", str(length)),
            ("x-content-type-options", "nosniff"),
            # What a swarm holds is not ours: a document of it gets no access to the statistics beside it.
            ("content-security-policy", "sandbox"),
        ]
        if selection.status == 206 and parts is None:
            headers.append(("content-range", content_range(spans[0], size)))
        await send({"type": "http.response.start", "status": selection.status, "headers": encoded(headers)})
        if method == "GET":
            for number, (start, stop) in enumerate(spans):
                if parts is not None:
                    await _send_piece(send, parts.head(number), gone)
                await self._copy(reader, start, stop, send, gone)
            if parts is not None:
                await _send_piece(send, parts.tail, gone)
        await send({"type": "http.response.body", "body": b""})

    async def _copy(self, reader: SwarmReader, start: int, stop: int, send: Send, gone: asyncio.Future[None]) -> None:
        """Write octets as they are verified, and no faster than the client takes them."""
        reader.seek(start)
        while start < stop:
            piece = reader.ready(start, stop)
            if not piece:
                began = time.monotonic()
                piece = await _unless(gone, reader.read(start, stop))
                self.readers.waited(time.monotonic() - began)
            start += len(piece)
            await _send_piece(send, piece, gone)


_CORS: _Headers = [
    # Players in web pages. Who does not know the swarm ID cannot ask for anything that has it.
    ("access-control-allow-origin", "*"),
    ("access-control-expose-headers", "Accept-Ranges, Content-Length, Content-Range, ETag"),
]
_PREFLIGHT: _Headers = [
    ("access-control-allow-methods", "GET, HEAD"),
    ("access-control-allow-headers", "Range, If-Range, If-None-Match"),
    ("access-control-allow-private-network", "true"),
    ("access-control-max-age", "86400"),
]


def _type_of(name: str) -> str:
    kind, encoding = mimetypes.guess_type(name)
    return kind if kind is not None and encoding is None else "application/octet-stream"


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _unless(gone: asyncio.Future[None], awaitable: Awaitable[_Result]) -> _Result:
    """The result, unless the client leaves before."""
    work = asyncio.ensure_future(awaitable)
    try:
        either: set[asyncio.Future[Any]] = {work, gone}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise _GoneError
        return work.result()
    finally:
        if not work.done():
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work


async def _send_piece(send: Send, piece: bytes, gone: asyncio.Future[None]) -> None:
    await send({"type": "http.response.body", "body": piece, "more_body": True})
    # While nothing has to be waited for, nobody else would hear of the connection, nor get a turn.
    await asyncio.sleep(0)
    if gone.done():
        raise _GoneError


async def _send_text(
    send: Send, status: int, text: str, more: _Headers | None = None, *, is_head: bool = False
) -> None:
    await _send_whole(send, status, [("content-type", _TEXT), *(more or [])], f"{text}\n".encode(), is_head=is_head)


async def _send_whole(send: Send, status: int, headers: _Headers, body: bytes, *, is_head: bool) -> None:
    if body:
        headers = [*headers, ("content-length", str(len(body)))]
    await send({"type": "http.response.start", "status": status, "headers": encoded(headers)})
    await send({"type": "http.response.body", "body": b"" if is_head else body})
