"""Reading content whose chunks differ in size while it is being fetched: from the first chunk on, one after another.

async with SwarmPeer(uri, store) as peer:
    with ChunkReader(peer) as reader:
        while octets := await reader.read(): ...
"""

from __future__ import annotations

from types import TracebackType
from typing import Self, cast

from interop.peer import SwarmPeer
from interop.reading import PIECE, Reading
from ppsp.ports import VariableStore

AHEAD = 4096
"""Chunks behind a reader's position that go before everything else."""


class ChunkReader:
    """One reader of the content of `peer`, which is entered; any number may read it at once.

    There is no seeking to an octet: where one is, is known only when all before it are there. Only verified octets are
    returned. It is there until `close`, which `with` calls.

    Raises ValueError where all chunks have one size.
    """

    def __init__(self, peer: SwarmPeer, *, ahead: int = AHEAD) -> None:
        if not peer.uri.metadata.is_variable:
            raise ValueError("these chunks all have one size: take a SwarmReader")
        self._peer = peer
        self._store = cast(VariableStore, peer.store)
        self._ahead = ahead
        self._chunk = 0
        self._position = 0
        self._prioritise()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def read(self) -> bytes:
        """The next chunks, one at least, as many as are there, some PIECE octets at most; b"" at the end.

        Waits until the next one is verified. Raises OSError when the store fails.
        """
        while not (data := self.ready()) and not self.ended:
            await self._peer.news()
        return data

    @property
    def ended(self) -> bool:
        """Whether everything was read."""
        return self._chunk == self._peer.stats.chunk_count

    def ready(self) -> bytes:
        """What `read` would return now, and b"" where it would wait."""
        until = self._peer.held_until(self._chunk)
        found: list[bytes | memoryview] = []
        octets = 0
        while self._chunk < until and octets < PIECE:
            found.append(self._store.read(self._chunk))
            octets += len(found[-1])
            self._chunk += 1
        if found:
            self._position += octets
            self._prioritise()
        return b"".join(found)

    def _prioritise(self) -> None:
        self._peer.prioritise(self, self._chunk, self._chunk + self._ahead)

    @property
    def reading(self) -> Reading:
        """Where the reader is, in octets."""
        until = self._peer.held_until(self._chunk)
        ahead = sum(self._store.size(chunk) for chunk in range(self._chunk, min(until, self._chunk + self._ahead)))
        return Reading(self._position, self._position + ahead)

    def close(self) -> None:
        """Nothing more will be read."""
        self._peer.forget(self)
