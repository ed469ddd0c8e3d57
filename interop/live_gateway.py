"""An HTTP gateway to a live stream: any player gets the broadcast from where it is now.

async with LivePeer(uri) as peer:
    gateway = LiveGateway(peer)
    async with asyncio.TaskGroup() as group:
        group.create_task(gateway.run())
        group.create_task(GatewayServer(gateway).serve(sockets=[listener]))
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping

from interop._asgi_parts import Receive, Send, encoded
from interop._gateway_base import (
    CORS,
    RETRY,
    GatewayBase,
    GatewayServer,
    GoneError,
    disconnected,
    send_piece,
    send_text,
    send_whole,
    unless,
)
from interop._gateway_stats import Readers, statistics
from interop.live import LivePeer

__all__ = ["GatewayServer", "LiveGateway"]

PATIENCE = 15.0
"""Seconds that a request waits for the first octet of the broadcast."""
MAX_VIEWERS = 32
"""Requests under way at once."""
MAX_BEHIND = 2**23
"""Octets that are kept for a viewer who does not take them: half a minute at 2 Mbit/s. Then the connection is closed,
and the player may start anew where the broadcast is."""


class _Viewer:
    """One connection: what it is still to get."""

    def __init__(self) -> None:
        self.pieces: deque[bytes] = deque()
        self.octets = 0
        self.ended = False
        self._news = asyncio.Event()

    def give(self, piece: bytes) -> bool:
        """Another piece of the broadcast; False when there are too many already."""
        self.octets += len(piece)
        if self.octets > MAX_BEHIND:
            return False
        self.pieces.append(piece)
        self._news.set()
        return True

    def end(self) -> None:
        """There is no more."""
        self.ended = True
        self._news.set()

    async def next(self) -> bytes:
        """The next piece; b"" at the end."""
        while not self.pieces and not self.ended:
            self._news.clear()
            await self._news.wait()
        if not self.pieces:
            return b""
        piece = self.pieces.popleft()
        self.octets -= len(piece)
        return piece


class LiveGateway(GatewayBase):
    """The ASGI application, for as long as `run` runs beside it. The arguments are those of `interop.gateway.Gateway`.

    There are no ranges: every `GET` is the broadcast from now on, until its proven end.
    """

    def __init__(self, peer: LivePeer, *, hosts: Iterable[str] = (), patience: float = PATIENCE) -> None:
        super().__init__(peer, hosts)
        self._peer = peer
        self._patience = patience
        self._viewers: dict[_Viewer, None] = {}
        self._ended = False
        self._empty = asyncio.Event()
        self._readers = Readers(time.monotonic())

    def _statistics(self) -> bytes:
        return statistics(
            self._peer,
            self._readers,
            path=self.path,
            content_type=self.content_type,
            live={"viewers": len(self._viewers), "chunks_skipped": self._peer.stream.skipped, "ended": self._ended},
        )

    async def run(self) -> None:
        """Hand the broadcast to every viewer until it ends, and wait until they have it."""
        try:
            async for piece in self._peer.reader():
                for viewer in [viewer for viewer in self._viewers if not viewer.give(piece)]:
                    # What it has not got stays unsent: a gap in the middle would be worse.
                    viewer.pieces.clear()
                    del self._viewers[viewer]
                    viewer.end()
        finally:
            self._ended = True
            for viewer in self._viewers:
                viewer.end()
        if self._viewers:
            await self._empty.wait()

    async def _content(self, method: str, headers: Mapping[str, str], receive: Receive, send: Send) -> None:
        common = [("cache-control", "no-store"), ("accept-ranges", "none"), *CORS]
        if method == "HEAD":
            await send_whole(send, 200, [("content-type", self.content_type), *common], b"", is_head=True)
        elif self._ended:
            await send_text(send, 410, "The broadcast has ended.", common)
        elif len(self._viewers) >= MAX_VIEWERS:
            await send_text(send, 503, f"{MAX_VIEWERS} watch already.", [*common, ("retry-after", RETRY)])
        else:
            await self._watch(common, receive, send)

    async def _watch(self, common: list[tuple[str, str]], receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(disconnected(receive))
        viewer = _Viewer()
        self._viewers[viewer] = None
        try:
            piece = await self._first(viewer, gone)
            if piece is None:
                count = len(self._peer.stats.peers)
                status, text = (504, "The broadcast does not go on.") if count else (503, "No peer can be reached.")
                await send_text(send, status, text, [*common, ("retry-after", RETRY)])
                return
            self._readers.began(time.monotonic())
            kind = [("content-type", self.content_type), ("content-security-policy", "sandbox")]
            nosniff = ("x-content-type-options", "nosniff")
            await send({"type": "http.response.start", "status": 200, "headers": encoded([*kind, nosniff, *common])})
            while piece:
                await send_piece(send, piece, gone)
                piece = await unless(gone, viewer.next())
            await send({"type": "http.response.body", "body": b""})
        except GoneError:
            pass
        finally:
            self._viewers.pop(viewer, None)
            if self._ended and not self._viewers:
                self._empty.set()
            gone.cancel()

    async def _first(self, viewer: _Viewer, gone: asyncio.Future[None]) -> bytes | None:
        try:
            async with asyncio.timeout(self._patience):
                return await unless(gone, viewer.next())
        except TimeoutError:
            return None
