"""Longest prefix match over IPv4 and IPv6 prefixes, each family in tables of its own (RFC 7285 section 11.2.2).

One dictionary for each prefix length, tried from the longest down: no faster structure was found in pure Python. Which
lengths there are to try is known for each block of addresses. Many addresses at once are looked up with numpy, where
that is installed, in the disjoint ranges that the prefixes cut the address space into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from alto._addressbatch import HAS_NUMPY, ipv4_values, ipv6_halves
from alto.address import BITS, format_prefix, parse_address, parse_of_family

if TYPE_CHECKING:
    from numpy import int32, uint64
    from numpy.typing import NDArray

    _Ranges = tuple[NDArray[uint64], NDArray[int32]]

if HAS_NUMPY:
    import numpy

_BATCH = 64
"""Addresses of one family from which on numpy's cost a call is worth it."""
_TEXTS = 200
"""The same for texts that are still to be read."""
_HALF = 64
"""Bits that numpy's integers hold: enough for IPv6 as long as no prefix is longer."""

_BLOCK = {4: 16, 6: 32}
"""Bits of an address that name its block: real prefixes begin within them, and a block has few lengths of its own."""

_Tables = Mapping[int, Mapping[int, int]]
"""By prefix length: the bits of each prefix, and its index."""
_Levels = tuple[tuple[int, Callable[[int], int | None]], ...]
"""For each prefix length, longest first: the bits behind it, and what finds an index."""


@frozen
class Match:
    """The longest prefix that contains an address, and the index it stands for."""

    index: int
    family: int
    value: int
    length: int

    @property
    def prefix(self) -> str:
        """The prefix as text."""
        return format_prefix(self.family, self.value, self.length)


class PrefixTableBuilder:
    """Gathers the prefixes of a `PrefixTable`."""

    def __init__(self) -> None:
        self._tables: dict[int, dict[int, dict[int, int]]] = {family: {} for family in BITS}

    def add(self, family: int, value: int, length: int, index: int) -> int | None:
        """Let a prefix stand for `index`, which is not negative.

        A prefix that is there already is left as it is, and its index returned; otherwise None.
        """
        tables = self._tables[family]
        if length not in tables:
            tables[length] = {}
        bits = value >> BITS[family] - length
        found = tables[length].get(bits)
        if found is None:
            tables[length][bits] = index
        return found

    @property
    def families(self) -> tuple[int, ...]:
        """The families of which there is any prefix."""
        return tuple(family for family in BITS if self._tables[family])

    def gaps(self, family: int) -> Iterator[tuple[int, int]]:
        """Like `PrefixTable.gaps`."""
        return _gaps(self._tables[family], BITS[family])

    def table(self) -> PrefixTable:
        """The table of what was added; the builder is done with."""
        tables, self._tables = self._tables, {family: {} for family in BITS}
        return PrefixTable(tables)


class PrefixTable:
    """Finds the longest prefix that contains an address. It never changes.

    Made by a `PrefixTableBuilder`, or from the bits of each prefix and its index, by family and prefix length.
    """

    __slots__ = ("_blocks", "_ranges", "_tables")

    def __init__(self, tables: Mapping[int, _Tables]) -> None:
        self._tables = tables
        self._blocks = {family: _blocks(tables[family], family) for family in BITS}
        self._ranges: dict[int, _Ranges] = {}

    def __len__(self) -> int:
        return sum(len(table) for tables in self._tables.values() for table in tables.values())

    @property
    def families(self) -> tuple[int, ...]:
        """The families of which there is any prefix."""
        return tuple(family for family in BITS if self._tables[family])

    def prefixes(self, family: int) -> Iterator[Match]:
        """Every prefix of the family with its index, shorter ones first."""
        for length, table in sorted(self._tables[family].items()):
            shift = BITS[family] - length
            for bits, index in table.items():
                yield Match(index, family, bits << shift, length)

    def lookup(self, family: int, value: int) -> int | None:
        """The index of the longest prefix that contains the address; None where none does."""
        block, blocks, wide = self._blocks[family]
        for shift, get in blocks.get(value >> block, wide):
            index = get(value >> shift)
            if index is not None:
                return index
        return None

    def lookup_text(self, text: str) -> int | None:
        """Like `lookup`, of an address without a type in front. Raises ValueError where `text` is none."""
        return self.lookup(*parse_address(text))

    def match(self, family: int, value: int) -> Match | None:
        """The longest prefix that contains the address, with its index."""
        block, blocks, wide = self._blocks[family]
        for shift, get in blocks.get(value >> block, wide):
            index = get(value >> shift)
            if index is not None:
                return Match(index, family, value >> shift << shift, BITS[family] - shift)
        return None

    def lookup_many(self, texts: Sequence[str]) -> list[int | None]:
        """Like `lookup_text` of each. Raises ValueError."""
        sixes = [":" in text for text in texts]
        if not any(sixes):
            return self.lookup_texts(4, texts)
        if all(sixes):
            return self.lookup_texts(6, texts)
        return self.lookup_each([parse_address(text) for text in texts])

    def lookup_texts(self, family: int, texts: Sequence[str]) -> list[int | None]:
        """Like `lookup_text` of each, which are to be of that family. Raises ValueError."""
        if HAS_NUMPY and len(texts) >= _TEXTS and self._longest(family) <= _HALF:
            values = ipv4_values(texts) if family == 4 else ipv6_halves(texts)
            if values is not None:
                return self._in_ranges(family, values)
        parse = parse_of_family(family)
        return self.lookup_values(family, [parse(text) for text in texts])

    def lookup_each(self, addresses: Sequence[tuple[int, int]]) -> list[int | None]:
        """Like `lookup` of each family and value."""
        families = {family for family, _ in addresses}
        if len(families) == 1:
            return self.lookup_values(families.pop(), [value for _, value in addresses])
        found: list[int | None] = [None] * len(addresses)
        for family in families:
            places = [place for place, (kind, _) in enumerate(addresses) if kind == family]
            indices = self.lookup_values(family, [addresses[place][1] for place in places])
            for place, index in zip(places, indices, strict=True):
                found[place] = index
        return found

    def lookup_values(self, family: int, values: Sequence[int]) -> list[int | None]:
        """Like `lookup` of each value of one family."""
        if not HAS_NUMPY or len(values) < _BATCH or self._longest(family) > _HALF:
            lookup = self.lookup
            return [lookup(family, value) for value in values]
        if family == 6:
            values = [value >> _HALF for value in values]
        return self._in_ranges(family, numpy.array(values, dtype=numpy.uint64))

    def _longest(self, family: int) -> int:
        """The length of the longest prefix."""
        return max(self._tables[family], default=0)

    def _in_ranges(self, family: int, values: NDArray[uint64]) -> list[int | None]:
        if family not in self._ranges:
            self._ranges[family] = _disjoint(self._tables[family], min(BITS[family], _HALF))
        starts, owners = self._ranges[family]
        chosen = owners[numpy.searchsorted(starts, values, side="right") - 1]
        found: list[int | None] = chosen.tolist()
        return [None if index == -1 else index for index in found] if (chosen == -1).any() else found

    def gaps(self, family: int) -> Iterator[tuple[int, int]]:
        """The first and last address of each range that no prefix contains, in order; none for a complete family."""
        return _gaps(self._tables[family], BITS[family])


def _blocks(tables: _Tables, family: int) -> tuple[int, Mapping[int, _Levels], _Levels]:
    """The bits behind a block's, the levels of each block that has longer prefixes, and those of all other blocks."""
    bits, block = BITS[family], _BLOCK[family]
    masks: dict[int, int] = {}
    for length, table in tables.items():
        if length > block:
            shift, bit = length - block, 1 << length
            for value in table:
                masks[value >> shift] = masks.get(value >> shift, 0) | bit
    levels = {length: (bits - length, tables[length].get) for length in sorted(tables, reverse=True)}
    wide = tuple(level for length, level in levels.items() if length <= block)
    shared = {
        mask: (*(level for length, level in levels.items() if mask >> length & 1), *wide)
        for mask in set(masks.values())
    }
    return bits - block, {value: shared[mask] for value, mask in masks.items()}, wide


def _gaps(tables: _Tables, bits: int) -> Iterator[tuple[int, int]]:
    if 0 in tables:
        return
    spans = sorted((value << bits - length, bits - length) for length, table in tables.items() for value in table)
    free = 0
    for first, shift in spans:
        if first > free:
            yield free, first - 1
        free = max(free, first + (1 << shift))
    if free < 1 << bits:
        yield free, (1 << bits) - 1


def _disjoint(tables: _Tables, bits: int) -> _Ranges:
    """Where each range of addresses with one answer begins, in the upper `bits` bits, and its index or -1."""
    levels = []
    for length, table in sorted(tables.items()):
        if length:
            first = numpy.fromiter(table, numpy.uint64, len(table)) << numpy.uint64(bits - length)
            # Behind the last prefix of 64 bits this is 0 again: the end, and a start that is there anyway.
            levels.append((first, first + numpy.uint64(1 << bits - length), [*table.values()]))
    ends = [end for first, behind, _ in levels for end in (first, behind)]
    starts = numpy.unique(numpy.concatenate([numpy.zeros(1, numpy.uint64), *ends]))
    owners = numpy.full(len(starts), tables.get(0, {}).get(0, -1), numpy.int32)
    for first, behind, indices in levels:
        # Prefixes of one length are disjoint: each paints its own ranges over those of the shorter ones.
        begin = numpy.searchsorted(starts, first)
        stop = numpy.where(behind == 0, len(starts), numpy.searchsorted(starts, behind))
        counts = stop - begin
        shift = numpy.repeat(begin - (numpy.cumsum(counts) - counts), counts)
        owners[shift + numpy.arange(len(shift))] = numpy.repeat(numpy.array(indices, numpy.int32), counts)
    changes = numpy.flatnonzero(numpy.diff(owners, prepend=owners[0] - 1))
    return starts[changes], owners[changes]
