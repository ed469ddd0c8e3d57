"""What readers are about to need: video on demand with seek (RFC 7574 section 9.1), over any picker."""

from collections.abc import Hashable, Iterable, Iterator

import attrs

from ppsp._download import ranges_of
from ppsp._limits import BLOCK, MAX_READERS
from ppsp._ranges import RangeSet
from ppsp.errors import StateError
from ppsp.ports import ChunkPicker

# Blocks from a reader's position on that are worth asking two peers for, and that a seek elsewhere leaves alone.
_NEAR_BLOCKS = 2
# Chunks that the search for something to take looks at in one step.
_STEP = 64 * BLOCK


class Part:
    """The chunks of `offered` from `start` up to, not including, `stop`: an offer, to a picker."""

    __slots__ = ("_offered", "_start", "_stop")

    def __init__(self, offered: RangeSet, start: int, stop: int) -> None:
        self._offered = offered
        self._start = start
        self._stop = stop

    def __contains__(self, chunk: object) -> bool:
        return isinstance(chunk, int) and self._start <= chunk < self._stop and chunk in self._offered

    def __iter__(self) -> Iterator[tuple[int, int]]:
        at = self._offered.first_at_or_after(self._start)
        while at is not None and at < self._stop:
            covering = self._offered.covering(at)
            assert covering is not None
            yield at, min(covering[1], self._stop)
            at = self._offered.first_at_or_after(covering[1])

    def intersects(self, start: int, stop: int) -> bool:
        """Whether any of these chunks is offered."""
        return self._offered.intersects(max(start, self._start), min(stop, self._stop))

    def covers(self, start: int, stop: int) -> bool:
        """Whether all of them are."""
        return self._start <= start and stop <= self._stop and self._offered.covers(start, stop)


@attrs.define
class _Window:
    start: int
    stop: int
    # No chunk of the window below this one is wanted.
    at: int


class Deadlines:
    """The windows of a swarm's readers: what is nearest to any of them goes first, then what is ahead of the newest.

    Within a window the order is ascending; the rest is the picker's business. Chunk ranges are half-open. A pick costs
    what it takes, and a step for each block of the windows at most: cursors remember where there is nothing to take.
    """

    __slots__ = ("_ahead", "_doubled", "_windows")

    def __init__(self) -> None:
        # In the order in which the readers came to where they are.
        self._windows: dict[Hashable, _Window] = {}
        # Nothing between the end of the newest window and this chunk is wanted.
        self._ahead = 0
        self._doubled: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._windows)

    def prioritise(self, reader: Hashable, start: int, stop: int) -> bool:
        """The reader is at `start` and will want what is before `stop`; returns whether it jumped there.

        Raises StateError for an empty range, and when there are too many readers.
        """
        if not 0 <= start < stop:
            raise StateError(f"there is no window of the chunks {start} to {stop}")
        window = self._windows.get(reader)
        if window is not None and window.start <= start <= window.stop:
            window.start, window.stop, window.at = start, stop, max(start, window.at)
            return False
        if window is None and len(self._windows) >= MAX_READERS:
            raise StateError(f"there are {MAX_READERS} readers already")
        self._windows.pop(reader, None)
        self._windows[reader] = _Window(start, stop, start)
        self._ahead = 0
        return True

    def forget(self, reader: Hashable) -> None:
        """The reader is gone; who is not there may be forgotten, too."""
        self._windows.pop(reader, None)
        self._ahead = 0

    def freed(self, start: int, stop: int) -> None:
        """These chunks may be wanted again."""
        self._ahead = min(self._ahead, start)
        for window in self._windows.values():
            if start < window.at and stop > window.start:
                window.at = max(start, window.start)

    def near(self) -> RangeSet:
        """The chunks that readers need next."""
        found = RangeSet()
        for window in self._windows.values():
            found.add(window.start, min(window.stop, _block_end(window.start) + (_NEAR_BLOCKS - 1) * BLOCK))
        return found

    def double(self, late: Iterable[set[int]], offered: RangeSet, outstanding: set[int]) -> list[tuple[int, int]]:
        """What readers need next, of that which others are `late` with: it is to be asked of a second peer as well.

        Not twice, and not what that peer has not `offered` or has `outstanding` itself.
        """
        found = {
            chunk
            for start, stop in self.near()
            for chunks in late
            for chunk in chunks.intersection(range(start, stop))
            if chunk in offered
        }
        found -= outstanding | self._doubled
        self._doubled |= found
        return ranges_of(found)

    def was_doubled(self, chunk: int) -> bool:
        """The chunk has come: whether a second peer was asked for it."""
        if chunk not in self._doubled:
            return False
        self._doubled.remove(chunk)
        return True

    def take(self, picker: ChunkPicker, offered: RangeSet, most: int, chunk_count: int) -> list[tuple[int, int]]:
        """About `most` chunks to request of a peer that offers `offered`, the most urgent ones first."""
        taken: list[tuple[int, int]] = []
        for start, stop in self._urgent(picker, offered, chunk_count):
            taken += picker.take(Part(offered, start, stop), most)
            if (left := most - _count(taken)) <= 0:
                return taken
        left = most - _count(taken)
        ahead = self._look_ahead(picker, chunk_count)
        if ahead < chunk_count:
            taken += picker.take(Part(offered, ahead, chunk_count), left)
        if (left := most - _count(taken)) > 0:
            taken += picker.take(offered, left)
        return taken

    def _urgent(self, picker: ChunkPicker, offered: RangeSet, chunk_count: int) -> Iterator[tuple[int, int]]:
        """Blocks, or what of them is in a window, in which something is wanted; by their distance to the reader."""
        places: list[tuple[int, int, int, int, int]] = []
        for order, window in enumerate(reversed(self._windows.values())):
            stop = min(window.stop, chunk_count)
            window.at = at = _wanted_from(picker, window.at, stop)
            if offered.intersects(at, stop):
                places.append((_distance(at, window.start), order, at, stop, window.start))
        while places:
            places.sort()
            _, order, at, stop, start = places.pop(0)
            end = min(_block_end(at), stop)
            if offered.intersects(at, end):
                yield at, end
            following = _wanted_from(picker, end, stop)
            if following < stop:
                places.append((_distance(following, start), order, following, stop, start))

    def _look_ahead(self, picker: ChunkPicker, chunk_count: int) -> int:
        """The first chunk behind the newest window from which on something may be wanted."""
        newest = next(reversed(self._windows.values()))
        at = max(newest.stop, self._ahead)
        while at < chunk_count and not picker.wants(at, at + _STEP):
            at += _STEP
        self._ahead = at
        return at


def _block_end(chunk: int) -> int:
    return (chunk // BLOCK + 1) * BLOCK


def _distance(chunk: int, start: int) -> int:
    """From a reader to the block of a chunk: it is taken as a whole, wherever in it something is wanted."""
    return max(start, chunk // BLOCK * BLOCK) - start


def _wanted_from(picker: ChunkPicker, at: int, stop: int) -> int:
    """The first place from `at` on in whose block something is wanted; `stop` where there is none."""
    while at < stop and not picker.wants(at, min(_block_end(at), stop)):
        at = _block_end(at)
    return min(at, stop)


def _count(ranges: list[tuple[int, int]]) -> int:
    return sum(stop - start for start, stop in ranges)
