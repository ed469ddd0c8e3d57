"""What a gateway tells of itself: the operations items that RFC 6972 section 6.2 asks for, as JSON."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any, Protocol

import attrs

from interop.peer import SwarmPeer
from interop.reading import Reading


class Reader(Protocol):
    """A reader of a swarm's content."""

    @property
    def reading(self) -> Reading: ...


class Readers:
    """The readers under way, and what readers have experienced so far. Times are seconds."""

    def __init__(self, now: float) -> None:
        self._started = now
        self._under_way: dict[Reader, None] = {}
        self.setup_seconds: float | None = None
        self.waits = 0
        self.waited_seconds = 0.0

    def __len__(self) -> int:
        return len(self._under_way)

    @contextlib.contextmanager
    def under_way(self, reader: Reader) -> Iterator[None]:
        """The reader is under way for as long as the block lasts."""
        self._under_way[reader] = None
        try:
            yield
        finally:
            del self._under_way[reader]

    def began(self, now: float) -> None:
        """The first octet of a request was there."""
        if self.setup_seconds is None:
            self.setup_seconds = now - self._started

    def waited(self, seconds: float) -> None:
        """A reader had to wait for a chunk in the middle of reading."""
        self.waits += 1
        self.waited_seconds += seconds

    def described(self) -> list[dict[str, int]]:
        """Where each reader is, and how many octets are there for it to go on with."""
        found = [reader.reading for reader in self._under_way]
        return [{"position": one.position, "buffer_ahead": one.held_until - one.position} for one in found]

    def uptime(self) -> float:
        """How long the gateway has been there."""
        return time.monotonic() - self._started


def statistics(
    peer: SwarmPeer, readers: Readers, *, path: str, content_type: str, live: dict[str, Any] | None = None
) -> bytes:
    """The JSON object of `GET /stats`. Sizes are octets, rates octets a second, times seconds."""
    stats, tally, metadata = peer.stats, peer.tally, peer.uri.metadata
    count = stats.chunk_count
    described: dict[str, Any] = {
        "swarm_id": metadata.swarm_id.hex(),
        "name": peer.uri.name,
        "path": path,
        "content_type": content_type,
        "size": stats.content_size,
        "chunk_size": None if metadata.is_variable else metadata.chunk_size,
        "chunks": count,
        "chunks_held": stats.chunks_held,
        "verified": round(stats.chunks_held / count, 6) if count else 0.0,
        "complete": count is not None and stats.chunks_held == count,
        "download_rate": round(tally.download_rate),
        "upload_rate": round(tally.upload_rate),
        "downloaded": tally.received,
        "uploaded": tally.sent,
        "readers": readers.described(),
        # Quality (OAM.REQ-4), faults (REQ-6), performance (REQ-8), security (REQ-9).
        "uptime": round(readers.uptime(), 3),
        "setup_seconds": None if readers.setup_seconds is None else round(readers.setup_seconds, 3),
        "waits": readers.waits,
        "waited_seconds": round(readers.waited_seconds, 3),
        "chunks_refused": tally.refused,
        "exchange": attrs.asdict(stats.exchange),
        "live": live,
        "trackers": list(peer.uri.trackers),
        "peers": [
            {
                "address": list(one.address[:2]) if isinstance(one.address, tuple) else str(one.address),
                "offered": round(one.chunks_offered / count, 4) if count else None,
                "downloaded": one.octets_received,
                "uploaded": one.octets_sent,
                "download_rate": round(one.download_rate),
                "outstanding": one.chunks_outstanding,
                "chunks_lost": one.chunks_lost,
                "chunks_refused": one.chunks_refused,
                "round_trip": None if one.srtt is None else round(one.srtt, 6),
                "congestion_window": one.cwnd,
                "by_exchange": one.by_exchange,
                "datagram_size": one.datagram_size,
            }
            for one in stats.peers
        ],
    }
    return json.dumps(described).encode()
