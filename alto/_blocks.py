"""Which PID a whole block of addresses lies in, if it is a single one."""

from __future__ import annotations

from bisect import bisect_right

from alto.address import BITS
from alto.lpm import Match, PrefixTable


class Blocks:
    """The disjoint ranges that the prefixes of a table cut each family into; neighbours with one answer are one."""

    __slots__ = ("_ranges",)

    def __init__(self, table: PrefixTable) -> None:
        self._ranges = {family: _ranges(table, family) for family in BITS}

    def lookup(self, family: int, value: int, length: int) -> int | None:
        """The index that every address of the prefix has; None where there is none, or more than one."""
        starts, indices = self._ranges[family]
        at = bisect_right(starts, value) - 1
        last = value + (1 << BITS[family] - length) - 1
        is_single = at + 1 == len(starts) or last < starts[at + 1]
        return indices[at] if is_single else None


def _ranges(table: PrefixTable, family: int) -> tuple[list[int], list[int | None]]:
    """Where each range begins, from 0 on, and what its addresses are looked up as."""
    bits = BITS[family]
    found: dict[int, int | None] = {0: None}
    around: list[Match] = []

    def leave_before(value: int) -> None:
        """End the prefixes that lie before `value`; what is around them goes on."""
        while around and (behind := around[-1].value + (1 << bits - around[-1].length)) <= value:
            around.pop()
            found[behind] = around[-1].index if around else None

    for match in sorted(table.prefixes(family), key=lambda match: (match.value, match.length)):
        leave_before(match.value)
        found[match.value] = match.index
        around.append(match)
    leave_before(1 << bits)
    starts: list[int] = []
    indices: list[int | None] = []
    for start, index in found.items():
        if start < 1 << bits and (not indices or indices[-1] != index):
            starts.append(start)
            indices.append(index)
    return starts, indices
