"""How a live source's octets become chunks."""

from typing import Protocol

from ppsp.constants import MAX_CHUNK_SIZE
from ppsp.errors import StateError
from ppsp.metadata import SwarmMetadata


class Cutter(Protocol):
    """Cuts what a source produces. `waiting` octets do not fill a chunk yet."""

    @property
    def waiting(self) -> int: ...

    def count(self, data: bytes | memoryview) -> int:
        """How many chunks `data` would complete; StateError where it cannot be taken."""

    def cut(self, data: bytes | memoryview) -> list[bytes]:
        """Take `data`; returns the chunks that it completes."""

    def rest(self) -> list[bytes]:
        """Take what waits, as a chunk that is short."""


class FixedCutter:
    """Chunks of `size` octets each."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._rest = bytearray()

    @property
    def waiting(self) -> int:
        """Octets that do not fill a chunk yet."""
        return len(self._rest)

    def count(self, data: bytes | memoryview) -> int:
        """As `Cutter.count`."""
        return (len(self._rest) + len(data)) // self._size

    def cut(self, data: bytes | memoryview) -> list[bytes]:
        """As `Cutter.cut`."""
        size, rest = self._size, self._rest
        rest += data
        stop = len(rest) - len(rest) % size
        chunks = [bytes(rest[at : at + size]) for at in range(0, stop, size)]
        del rest[:stop]
        return chunks

    def rest(self) -> list[bytes]:
        """As `Cutter.rest`."""
        rest = [bytes(self._rest)] if self._rest else []
        self._rest.clear()
        return rest


class UnitCutter:
    """A chunk for each piece that the source gives: a frame, a line, a datagram."""

    waiting = 0

    def count(self, data: bytes | memoryview) -> int:
        """As `Cutter.count`."""
        check_chunk(len(data))
        return 1

    def cut(self, data: bytes | memoryview) -> list[bytes]:
        """As `Cutter.cut`."""
        return [bytes(data)]

    def rest(self) -> list[bytes]:
        """Nothing waits."""
        return []


def cutter_of(metadata: SwarmMetadata) -> Cutter:
    """What cuts the stream of a swarm."""
    return UnitCutter() if metadata.is_variable else FixedCutter(metadata.chunk_size)


def check_chunk(octets: int) -> None:
    """Raise StateError unless a chunk of variable size can have so many octets.

    A datagram must hold it, and an empty one could not be told from a DATA that was cut short.
    """
    if not 1 <= octets <= MAX_CHUNK_SIZE:
        raise StateError(f"a chunk has 1 to {MAX_CHUNK_SIZE} octets, not {octets}")
