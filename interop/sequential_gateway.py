"""An HTTP gateway to content whose chunks differ in size: every `GET` is all of it, from the first octet on.

async with SwarmPeer(uri, store) as peer:
    await GatewayServer(SequentialGateway(peer)).serve(sockets=[listener])

There are no ranges, and no length before everything is there: which octets a chunk has, only those before it tell.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from interop._asgi_parts import Send, encoded
from interop._gateway_base import GatewayServer, Headers, send_piece, unless
from interop.chunk_reading import ChunkReader
from interop.gateway import Gateway

__all__ = ["GatewayServer", "SequentialGateway"]


class SequentialGateway(Gateway):
    """The ASGI application; the arguments are those of `Gateway`."""

    accept_ranges = "none"

    async def _serve(
        self, method: str, headers: Mapping[str, str], common: Headers, send: Send, gone: asyncio.Future[None]
    ) -> None:
        with ChunkReader(self._peer) as reader, self.readers.under_way(reader):
            piece = b""
            if method == "GET":
                piece = await self._soon(reader.read(), gone)
                self.readers.began(time.monotonic())
            size = self._peer.stats.content_size
            more = [
                *common,
                ("content-type", self.content_type),
                ("x-content-type-options", "nosniff"),
                ("content-security-policy", "sandbox"),
                *([] if size is None else [("content-length", str(size))]),
            ]
            await send({"type": "http.response.start", "status": 200, "headers": encoded(more)})
            while piece:
                await send_piece(send, piece, gone)
                piece = reader.ready()
                if not piece and not reader.ended:
                    began = time.monotonic()
                    piece = await unless(gone, reader.read())
                    self.readers.waited(time.monotonic() - began)
            await send({"type": "http.response.body", "body": b""})
