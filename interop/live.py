"""Live streams on a real network: a source, and viewers that read what is verified.

async with LivePeer(uri, signer=signer) as source:          # a source
    source.publish(data)
async with LivePeer(uri) as viewer:                         # a viewer
    async for octets in viewer.reader(): ...
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Self

from interop.nat import NatSettings
from interop.peer import SwarmPeer
from interop.swarm_socket import ANY_ADDRESS, SwarmSocket
from interop.tracker_login import Logins
from ppsp.events import ChunksVerified, Event
from ppsp.live import DEFAULT_CHUNKS_PER_SIGNATURE, DEFAULT_WINDOW, MAX_AGE_SECONDS, PATIENCE_SECONDS
from ppsp.livekeys import LiveSigner
from ppsp.metadata import SwarmUri
from ppsp.pex import PeerExchange
from ppsp.pmtu import LONGEST
from ppsp.store import MemoryStore
from ppsp.tracker import PeerMode

__all__ = ["LivePeer", "LiveReader"]

# Seconds between two looks at whether a missing chunk is to be skipped, while nothing arrives.
_LOOK_SECONDS = 0.1


class LivePeer(SwarmPeer):
    """The source (with its private key as `signer`) or a viewer of a live stream, while the `async with` lasts.

    `stream` is the endpoint's `ppsp.LiveStream`, once entered; the arguments are those of
    `ppsp.Endpoint.add_live_swarm` and of `SwarmPeer`.
    """

    def __init__(
        self,
        uri: SwarmUri,
        *,
        signer: LiveSigner | None = None,
        chunks_per_signature: int = DEFAULT_CHUNKS_PER_SIGNATURE,
        first_chunk: int = 0,
        window: int = DEFAULT_WINDOW,
        behind: int = 0,
        max_age: float | None = MAX_AGE_SECONDS,
        patience: float = PATIENCE_SECONDS,
        local: tuple[str, int] = ANY_ADDRESS,
        upload_rate: float | None = None,
        peers: Sequence[tuple[str, int]] = (),
        logins: Logins | None = None,
        exchange: PeerExchange | None = None,
        nat: NatSettings | None = None,
        max_datagram: int | None = LONGEST,
        socket: SwarmSocket | None = None,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        super().__init__(
            uri,
            MemoryStore(),
            local=local,
            upload_rate=upload_rate,
            peers=peers,
            logins=logins,
            nat=nat,
            max_datagram=max_datagram,
            socket=socket,
            on_event=self._heard,
        )
        self._is_source = signer is not None
        self._pass_on = on_event
        self._arrived = asyncio.Event()

        def add_swarm() -> None:
            self.stream = self._endpoint.add_live_swarm(
                uri.metadata,
                signer=signer,
                chunks_per_signature=chunks_per_signature,
                first_chunk=first_chunk,
                window=window,
                behind=behind,
                max_age=max_age,
                patience=patience,
                exchange=exchange,
            )

        self._add_swarm = add_swarm

    @property
    def mode(self) -> PeerMode:
        """A source has everything that there is."""
        return PeerMode.SEEDER if self._is_source else PeerMode.LEECH

    def _heard(self, event: Event) -> None:
        if isinstance(event, ChunksVerified):
            self._arrived.set()
        self._pass_on(event)

    def publish(self, data: bytes | memoryview) -> None:
        """Add to the stream. Raises StateError as `ppsp.LiveStream.publish` does."""
        self.stream.publish(data, time.monotonic())
        self._driver.wake()

    def end(self) -> None:
        """End the broadcast; peers are still served. Raises StateError as `publish` does."""
        self.stream.end(time.monotonic())
        self._driver.wake()

    def seek(self, chunk: int) -> None:
        """Read on from another chunk. Raises StateError at the source, or for a chunk that cannot be."""
        self.stream.seek(chunk)
        self._driver.wake()

    def reader(self) -> LiveReader:
        """The stream from the tune-in point on. There is one playback point: two readers would share it."""
        return LiveReader(self)

    async def read(self) -> bytes:
        """The next octets, verified and in order; empty at the proven end of the broadcast."""
        return b"".join(await self.read_chunks())

    async def read_chunks(self) -> list[bytes]:
        """As `read`, chunk by chunk."""
        while True:
            self._arrived.clear()
            chunks = self.stream.read(time.monotonic())
            if chunks:
                self._driver.wake()  # what the playback point leaves behind makes room for more
                return chunks
            if self.stream.ended:
                return []
            if self._driver.closed:
                await self._driver.wait_closed()
            if self._has_left:
                return []
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._arrived.wait()
            except TimeoutError:
                continue


class LiveReader:
    """An async iterator of verified octets. It ends where the broadcast provably ends, or with the peer."""

    def __init__(self, peer: LivePeer) -> None:
        self._peer = peer

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        octets = await self._peer.read()
        if not octets:
            raise StopAsyncIteration
        return octets
