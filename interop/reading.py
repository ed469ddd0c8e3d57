"""Reading a swarm's content while it is being fetched: what a reader is about to need comes first.

async with SwarmPeer(uri, store) as peer:
    with SwarmReader(peer) as reader:
        size = await reader.size()
        head = await reader.read(0, size)  # as much of it as is there, an octet at least
"""

from __future__ import annotations

from types import TracebackType
from typing import Self, cast

import attrs

from interop.peer import SwarmPeer
from ppsp.ports import ChunkStore

AHEAD = 4 * 2**20
"""Octets behind a reader's position that go before everything else: some seconds of any film. What follows comes next
anyway; a longer window would only have two readers wait for one another."""
PIECE = 2**18
"""Octets read at once, at most."""


@attrs.frozen
class Reading:
    """Where a reader is: it gave what is before `position`, and octets up to `held_until` are there to be given."""

    position: int
    held_until: int


class SwarmReader:
    """One reader of the content of `peer`, which is entered; any number may read it at once. Offsets are octets.

    Only verified octets are returned. To read elsewhere is to seek: the reader's window moves there. It is there until
    `close`, which `with` calls.

    Raises ValueError where chunks differ in size.
    """

    def __init__(self, peer: SwarmPeer, *, ahead: int = AHEAD) -> None:
        if peer.uri.metadata.is_variable:
            raise ValueError("nobody knows at which octet a chunk of variable size begins: take a ChunkReader")
        self._peer = peer
        self._store = cast(ChunkStore, peer.store)
        self._chunk_size = peer.uri.metadata.chunk_size
        self._ahead = ahead
        self._position = 0
        self._size: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def size(self) -> int:
        """The size of the content: waits until it is known. Raises OSError when the store fails."""
        while self._size is None:
            stats = self._peer.stats
            self._size = stats.content_size
            if self._size is None:
                # The number of chunks is known first; how long the last one is, that one says.
                if stats.chunk_count is not None:
                    self._peer.prioritise(self, stats.chunk_count - 1, stats.chunk_count)
                await self._peer.news()
        return self._size

    async def read(self, start: int, stop: int) -> bytes:
        """Octets from `start` on and before `stop`: an octet at least, as many as are there, PIECE at most.

        Waits until the first of them is verified. Raises OSError when the store fails.
        """
        self.seek(start)
        while not (data := self.ready(start, stop)):
            await self._peer.news()
        return data

    def ready(self, start: int, stop: int) -> bytes:
        """What `read` would return now, and b"" where it would wait."""
        held_until = self._held_until(start)
        stop = min(stop, start + PIECE, held_until)
        if start >= stop:
            return b""
        data = bytes(self._store.read(start, stop - start))
        self.seek(stop)
        return data

    def seek(self, position: int) -> None:
        """Say where reading goes on, so that what is there is fetched."""
        self._position = position
        first = position // self._chunk_size
        self._peer.prioritise(self, first, max(first + 1, -(-(position + self._ahead) // self._chunk_size)))

    @property
    def reading(self) -> Reading:
        """Where the reader is."""
        return Reading(self._position, max(self._held_until(self._position), self._position))

    def _held_until(self, position: int) -> int:
        until = self._peer.held_until(position // self._chunk_size) * self._chunk_size
        return until if self._size is None else min(until, self._size)

    def close(self) -> None:
        """Nothing more will be read."""
        self._peer.forget(self)
