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
import time
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from interop._asgi_parts import Receive, Send, encoded
from interop._gateway_base import (
    CORS,
    RETRY,
    GatewayBase,
    GatewayServer,
    GoneError,
    Headers,
    PlayerHttpProtocol,
    disconnected,
    send_piece,
    send_text,
    send_whole,
    unless,
)
from interop._gateway_ranges import Multipart, Selection, content_range, is_fresh, is_refused, select
from interop._gateway_stats import Readers, statistics
from interop.peer import SwarmPeer
from interop.reading import SwarmReader

__all__ = ["Gateway", "GatewayServer", "PlayerHttpProtocol"]

PATIENCE = 15.0
"""Seconds that a request waits for the size of the content and for its first octet. Afterwards it waits as long as the
client does: peers come and go."""
MAX_READERS = 32
"""Requests for content under way at once. A player has two or three."""
_Result = TypeVar("_Result")


class _Unavailable(Exception):  # noqa: N818 - it is an answer
    """Nothing can be said or sent now; `status` and the text say why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Gateway(GatewayBase):
    """The ASGI application. `peer` is entered before the first request, and left after the last.

    `hosts` are names, besides addresses and `localhost`, that a request may give as its Host: another name is that of a
    web page which had its own name resolve to this machine (DNS rebinding). `patience` is in seconds.
    """

    accept_ranges = "bytes"

    def __init__(
        self, peer: SwarmPeer, *, hosts: Iterable[str] = (), patience: float = PATIENCE, max_readers: int = MAX_READERS
    ) -> None:
        super().__init__(peer, hosts)
        self._peer = peer
        self._patience = patience
        self._max_readers = max_readers
        self._etag = peer.uri.metadata.swarm_id.hex()
        self.readers = Readers(time.monotonic())

    def _statistics(self) -> bytes:
        return statistics(self._peer, self.readers, path=self.path, content_type=self.content_type)

    async def _content(self, method: str, headers: Mapping[str, str], receive: Receive, send: Send) -> None:
        common = [
            ("etag", f'"{self._etag}"'),
            ("accept-ranges", self.accept_ranges),
            # The name in the path is not part of what is served.
            ("cache-control", "public, max-age=31536000, immutable"),
            *CORS,
        ]
        if is_refused(headers, self._etag):
            await send_text(send, 412, "This is other content.", CORS, is_head=method == "HEAD")
        elif is_fresh(headers, self._etag):
            await send_whole(send, 304, common, b"", is_head=True)
        elif len(self.readers) >= self._max_readers:
            text = f"{self._max_readers} requests for the content are under way already."
            await send_text(send, 503, text, [*CORS, ("retry-after", RETRY)], is_head=method == "HEAD")
        else:
            await self._read(method, headers, common, receive, send)

    async def _read(
        self, method: str, headers: Mapping[str, str], common: Headers, receive: Receive, send: Send
    ) -> None:
        gone = asyncio.ensure_future(disconnected(receive))
        try:
            await self._serve(method, headers, common, send, gone)
        except _Unavailable as exc:
            more = [("retry-after", RETRY), *CORS]
            await send_text(send, exc.status, str(exc), more, is_head=method == "HEAD")
        except (GoneError, OSError):
            pass  # after the head only the end of the connection can say that the store has failed
        finally:
            gone.cancel()

    async def _serve(
        self, method: str, headers: Mapping[str, str], common: Headers, send: Send, gone: asyncio.Future[None]
    ) -> None:
        with SwarmReader(self._peer) as reader, self.readers.under_way(reader):
            size = await self._soon(reader.size(), gone)
            selection = select(method, headers, self._etag, size)
            if selection.status == 416:
                more = [("content-range", f"bytes */{size}"), ("accept-ranges", "bytes"), *CORS]
                await send_text(send, 416, f"There are {size} octets.", more)
                return
            if method == "GET":
                reader.seek(selection.spans[0][0])
                await self._soon(self._first(reader, selection.spans[0]), gone)
            await self._answer(method, selection, size, common, reader, send, gone)

    async def _first(self, reader: SwarmReader, span: tuple[int, int]) -> None:
        """Wait for the first octet, so that what cannot be had is told by a status and not by silence."""
        while reader.reading.held_until <= span[0]:
            await self._peer.news()
        self.readers.began(time.monotonic())

    async def _soon(self, awaitable: Coroutine[Any, Any, _Result], gone: asyncio.Future[None]) -> _Result:
        """The result, unless it takes too long; then an _Unavailable that says why."""
        try:
            async with asyncio.timeout(self._patience):
                return await unless(gone, awaitable)
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
        common: Headers,
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
                    await send_piece(send, parts.head(number), gone)
                await self._copy(reader, start, stop, send, gone)
            if parts is not None:
                await send_piece(send, parts.tail, gone)
        await send({"type": "http.response.body", "body": b""})

    async def _copy(self, reader: SwarmReader, start: int, stop: int, send: Send, gone: asyncio.Future[None]) -> None:
        """Write octets as they are verified, and no faster than the client takes them."""
        reader.seek(start)
        while start < stop:
            piece = reader.ready(start, stop)
            if not piece:
                began = time.monotonic()
                piece = await unless(gone, reader.read(start, stop))
                self.readers.waited(time.monotonic() - began)
            start += len(piece)
            await send_piece(send, piece, gone)
