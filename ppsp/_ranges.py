"""Sets of chunk numbers as sorted ranges."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class RangeSet:
    """A set of non-negative integers kept as its maximal half-open ranges; every lookup costs a binary search.

    With `max_ranges`, an `add` or `remove` after which there would be more ranges than that changes nothing and returns
    []: what a peer can fill with single chunks then has a bound. It may be set anew, but not below `range_count`.
    `total` is the count of members; read it only.
    """

    __slots__ = ("_starts", "_stops", "max_ranges", "total")

    def __init__(self, ranges: Iterable[tuple[int, int]] = (), *, max_ranges: int | None = None) -> None:
        # Two parallel lists: range k is [_starts[k], _stops[k]), and _stops[k] < _starts[k + 1].
        self._starts: list[int] = []
        self._stops: list[int] = []
        self.max_ranges = max_ranges
        self.total = 0
        for start, stop in ranges:
            self.add(start, stop)

    def add(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Add the numbers from `start` up to, not including, `stop`; returns those that were missing, as ranges."""
        if start >= stop:
            return []
        starts = self._starts
        stops = self._stops
        # The ranges first <= k < last overlap or touch the new one.
        first = bisect_left(stops, start)
        count = len(stops)
        if first == count:
            if count == self.max_ranges:
                return []
            starts.append(start)
            stops.append(stop)
            self.total += stop - start
            return [(start, stop)]
        if stops[first] == start and (first + 1 == count or starts[first + 1] > stop):
            stops[first] = stop
            self.total += stop - start
            return [(start, stop)]
        last = bisect_right(starts, stop, first)
        if first == last:
            if count == self.max_ranges:
                return []
            starts.insert(first, start)
            stops.insert(first, stop)
            self.total += stop - start
            return [(start, stop)]
        return self._merge(start, stop, first, last)

    def _merge(self, start: int, stop: int, first: int, last: int) -> list[tuple[int, int]]:
        """Fuse [start, stop) with the ranges first <= k < last, one at least."""
        starts = self._starts
        stops = self._stops
        added = []
        at = start
        for k in range(first, last):
            if at < starts[k]:
                added.append((at, starts[k]))
            at = stops[k]
        if at < stop:
            added.append((at, stop))
        if added:
            starts[first:last] = [min(start, starts[first])]
            stops[first:last] = [max(stop, at)]
            self.total += sum([b - a for a, b in added])
        return added

    def remove(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Remove the numbers from `start` up to, not including, `stop`; returns those that were there, as ranges."""
        starts = self._starts
        stops = self._stops
        first = bisect_right(stops, start)
        last = bisect_left(starts, stop, first)
        if start >= stop or first >= last:
            return []
        head = starts[first]
        tail = stops[last - 1]
        if head < start and stop < tail and first + 1 == last and len(starts) == self.max_ranges:
            return []
        removed = [(max(start, starts[k]), min(stop, stops[k])) for k in range(first, last)]
        kept_starts = []
        kept_stops = []
        if head < start:
            kept_starts.append(head)
            kept_stops.append(start)
        if stop < tail:
            kept_starts.append(stop)
            kept_stops.append(tail)
        starts[first:last] = kept_starts
        stops[first:last] = kept_stops
        self.total -= sum([b - a for a, b in removed])
        return removed

    def contains(self, number: int) -> bool:
        """Whether `number` is a member."""
        k = bisect_right(self._starts, number) - 1
        return k >= 0 and number < self._stops[k]

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self.contains(number)

    def covering(self, number: int) -> tuple[int, int] | None:
        """The biggest range without a gap that holds `number`, as HAVE and ACK carry (RFC 7574 section 4.3)."""
        k = bisect_right(self._starts, number) - 1
        if k < 0 or number >= self._stops[k]:
            return None
        return self._starts[k], self._stops[k]

    def intersects(self, start: int, stop: int) -> bool:
        """Whether any number from `start` up to, not including, `stop` is a member."""
        k = bisect_right(self._stops, start)
        return start < stop and k < len(self._starts) and self._starts[k] < stop

    def covers(self, start: int, stop: int) -> bool:
        """Whether all of them are; of no numbers, all are."""
        if start >= stop:
            return True
        k = bisect_right(self._starts, start) - 1
        return k >= 0 and stop <= self._stops[k]

    def missing(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The ranges from `start` up to, not including, `stop` that hold no member, ascending.

        The set may be changed between two of them: each is looked up when it is asked for, after the one before.
        """
        starts = self._starts
        stops = self._stops
        while start < stop:
            k = bisect_right(stops, start)
            if k == len(starts):
                yield start, stop
                return
            gap_stop = starts[k]
            if start < gap_stop:
                gap_stop = min(gap_stop, stop)
                yield start, gap_stop
                start = gap_stop
            else:
                start = stops[k]

    def first_at_or_after(self, number: int) -> int | None:
        """The least member that is not below `number`."""
        k = bisect_right(self._stops, number)
        if k == len(self._starts):
            return None
        return max(self._starts[k], number)

    def last_before(self, number: int) -> int | None:
        """The greatest member below `number`."""
        k = bisect_left(self._starts, number) - 1
        if k < 0:
            return None
        return min(self._stops[k], number) - 1

    def after(self, number: int, most: int) -> list[tuple[int, int]]:
        """The ranges that end behind `number`, ascending, `most` of them at the most."""
        k = bisect_right(self._stops, number)
        return list(zip(self._starts[k : k + most], self._stops[k : k + most], strict=True))

    def keep_newest(self, count: int) -> None:
        """Remove the lowest ranges when there are more than `count`, so that half of that are left."""
        if len(self._starts) > count:
            del self._starts[: -count // 2], self._stops[: -count // 2]
            self.total = sum(self._stops) - sum(self._starts)

    def thin_out(self, count: int) -> list[tuple[int, int]]:
        """Remove ranges from the middle when there are more than `count`, so that so many are left; returns them."""
        first = count // 2
        last = first + max(len(self._starts) - count, 0)
        removed = list(zip(self._starts[first:last], self._stops[first:last], strict=True))
        del self._starts[first:last], self._stops[first:last]
        self.total -= sum([stop - start for start, stop in removed])
        return removed

    @property
    def range_count(self) -> int:
        """How many ranges without a gap there are."""
        return len(self._starts)

    def clear(self) -> None:
        """Remove everything."""
        self._starts.clear()
        self._stops.clear()
        self.total = 0

    def copy(self) -> "RangeSet":
        """An independent set of the same members, without a limit."""
        other = RangeSet()
        other._starts = self._starts.copy()
        other._stops = self._stops.copy()
        other.total = self.total
        return other

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The ranges, ascending."""
        return zip(self._starts, self._stops, strict=True)

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RangeSet):
            return NotImplemented
        return self._starts == other._starts and self._stops == other._stops

    def __repr__(self) -> str:
        return f"RangeSet({list(self)})"
