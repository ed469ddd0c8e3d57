"""What becomes a chunk of a live stream: so many octets, or what the source gives at once (RFC 7574 section 7.11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

LONGEST = 1_400
"""The longest chunk of variable size unless told otherwise: it fits one IP packet, if not always with its hashes."""


class Cut(Protocol):
    """Cuts the pieces in which a source comes."""

    is_variable: bool

    def take(self, piece: bytes) -> list[bytes]:
        """What to publish of the stream so far."""

    def rest(self) -> list[bytes]:
        """What to publish at the end."""

    def count(self, parts: list[bytes]) -> int:
        """How many chunks these parts are, at the most."""


class FixedCut:
    """Chunks of `size` octets, which the endpoint itself cuts."""

    is_variable = False

    def __init__(self, size: int) -> None:
        self._size = size

    def take(self, piece: bytes) -> list[bytes]:
        """As `Cut.take`."""
        return [piece]

    def rest(self) -> list[bytes]:
        """As `Cut.rest`."""
        return []

    def count(self, parts: list[bytes]) -> int:
        """As `Cut.count`."""
        return sum(len(part) // self._size + 1 for part in parts)


class ReadCut:
    """A chunk for each datagram, or for what one read gave; what is longer than `longest` octets is several."""

    is_variable = True

    def __init__(self, longest: int) -> None:
        self._longest = longest

    def take(self, piece: bytes) -> list[bytes]:
        """As `Cut.take`."""
        return [piece[at : at + self._longest] for at in range(0, len(piece), self._longest)]

    def rest(self) -> list[bytes]:
        """As `Cut.rest`."""
        return []

    def count(self, parts: list[bytes]) -> int:
        """As `Cut.count`."""
        return len(parts)


class LineCut:
    """Chunks of whole lines: as many as are there and fit `longest` octets. Only a longer line is cut."""

    is_variable = True

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._open = b""

    def take(self, piece: bytes) -> list[bytes]:
        """As `Cut.take`."""
        data = self._open + piece
        parts = []
        at, end = 0, data.rfind(b"\n") + 1
        while at < end:
            stop = min(at + self._longest, end)
            stop = data.rfind(b"\n", at, stop) + 1 or stop
            parts.append(data[at:stop])
            at = stop
        while len(data) - at >= self._longest:
            parts.append(data[at : at + self._longest])
            at += self._longest
        self._open = data[at:]
        return parts

    def rest(self) -> list[bytes]:
        """As `Cut.rest`."""
        parts, self._open = [self._open] if self._open else [], b""
        return parts

    def count(self, parts: list[bytes]) -> int:
        """As `Cut.count`."""
        return len(parts)


CUTS: Mapping[str, Callable[[int], Cut]] = MappingProxyType({"fixed": FixedCut, "reads": ReadCut, "lines": LineCut})
"""By the words of `ietf-p2p live --chunks`; each is given the size of a chunk, or of the longest."""
