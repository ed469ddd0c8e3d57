"""Chunk addressing: how a chunk specification stands on the wire (RFC 7574 section 4), and bins to and from ranges."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import attrs

from ppsp.constants import ChunkAddressing


@attrs.frozen
class Layout:
    """What one addressing method means on the wire.

    `fields` is the chunk specification in the notation of `struct`; `value_size` the octets of one bin, or of one value
    of a range; `limit` the greatest chunk or octet number it can denote; `bins` whether a bin stands for the range.
    """

    fields: str
    value_size: int
    limit: int
    bins: bool


# The greatest bin is "none" (section 4.2), and leaf bins are even: bins of w bits count 2**(w - 1) chunks.
LAYOUT: Mapping[ChunkAddressing, Layout] = MappingProxyType(
    {
        ChunkAddressing.BIN32: Layout("I", 4, 2**31 - 1, True),
        ChunkAddressing.BYTE64: Layout("QQ", 8, 2**64 - 1, False),
        ChunkAddressing.CHUNK32: Layout("II", 4, 2**32 - 1, False),
        ChunkAddressing.BIN64: Layout("Q", 8, 2**63 - 1, True),
        ChunkAddressing.CHUNK64: Layout("QQ", 8, 2**64 - 1, False),
    }
)


def range_of_bin(number: int) -> tuple[int, int]:
    """The first and the last chunk below a bin: bin ``((2 * k + 1) << layer) - 1`` starts at chunk ``k << layer``."""
    above = number + 1
    width = above & -above
    start = (above - width) >> 1
    return start, start + width - 1


def bin_of_range(start: int, end: int) -> int:
    """The bin of the chunks `start` to `end`.

    Raises:
        ValueError: these chunks are not what one bin denotes: a power of two of them, at a multiple of their count.
    """
    width = end - start + 1
    if width <= 0 or width & (width - 1) or start & (width - 1):
        raise ValueError(f"no bin denotes the chunks {start} to {end}")
    return 2 * start + width - 1


def bin_ranges(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The chunks `start` to `end` in the fewest ranges that a bin denotes each, in ascending order (section 4.2)."""
    while start <= end:
        width = 1 << ((end - start + 1).bit_length() - 1)
        if start:
            width = min(width, start & -start)
        yield start, start + width - 1
        start += width
