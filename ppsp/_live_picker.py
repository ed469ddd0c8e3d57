"""Which chunks of a live stream to ask a peer for: the next ones first, and nothing that is old news."""

import math
from collections.abc import Iterator

from ppsp._download import ranges_of
from ppsp._ranges import RangeSet

# A chunk that was asked for and has not come is asked for again, since the playback point waits for it and the REQUEST
# may have been lost: of the same peer soon, as it sends nothing twice that is on its way; later of whoever offers it.
SAME_RETRY_SECONDS = 0.2
RETRY_SECONDS = 0.4
# The chunks that are played next are asked for in their order; of those behind them, each peer starts elsewhere in
# every block, so that peers have different chunks to trade while a block spreads.
_URGENT = 8
_BLOCK = 32


class LivePicker:
    """Remembers when each missing chunk was asked for. Ranges are half-open, times float seconds."""

    __slots__ = ("_asked", "_turn")

    def __init__(self, seed: int) -> None:
        # Of whom a chunk is asked, when it was for the first time, and when for the last.
        self._asked: dict[int, tuple[int, float, float]] = {}
        self._turn = seed % _BLOCK

    def take(
        self, peer: int, offered: RangeSet, held: RangeSet, span: tuple[int, int], most: int, now: float
    ) -> list[tuple[int, int]]:
        """At most `most` chunks of `span` that the peer offers, are not held, and were not asked for just now.

        `peer` is a number of its own for each.
        """
        asked = self._asked
        found: list[int] = []
        for chunk in self._in_order(offered, held, span):
            whom, first, last = asked.get(chunk, (None, -math.inf, -math.inf))
            if now - (last if whom == peer else first) >= (SAME_RETRY_SECONDS if whom == peer else RETRY_SECONDS):
                found.append(chunk)
                asked[chunk] = peer, first if whom == peer else now, now
                if len(found) >= most:
                    break
        return ranges_of(found)

    def _in_order(self, offered: RangeSet, held: RangeSet, span: tuple[int, int]) -> Iterator[int]:
        start, stop = span
        last = offered.last_before(stop)
        stop = start if last is None else last + 1
        urgent = start + _URGENT
        block: list[int] = []
        for chunk in _offered(offered, held, start, stop):
            if chunk < urgent:
                yield chunk
                continue
            if block and chunk // _BLOCK != block[0] // _BLOCK:
                yield from self._turned(block)
                block = []
            block.append(chunk)
        yield from self._turned(block)

    def _turned(self, block: list[int]) -> list[int]:
        """Chunks of one block, those from this peer's own place on first."""
        return sorted(block, key=lambda chunk: (chunk % _BLOCK < self._turn, chunk))

    def overdue(self, chunks: set[int], now: float) -> int:
        """How many of these chunks, all of one peer, were asked for so long ago that it may be asked again."""
        asked, before = self._asked, now - SAME_RETRY_SECONDS
        return sum(1 for chunk in chunks if chunk in asked and asked[chunk][2] <= before)

    def give_back(self, start: int, stop: int) -> None:
        """These chunks are not coming: they may be asked for at once."""
        for chunk in range(start, stop):
            self._asked.pop(chunk, None)

    def forget_below(self, chunk: int) -> None:
        """Nothing below `chunk` is wanted any more."""
        asked = self._asked
        for number in [number for number in asked if number < chunk]:
            del asked[number]


def _offered(offered: RangeSet, held: RangeSet, start: int, stop: int) -> Iterator[int]:
    """What is missing and offered, ascending. Gaps in the offer cost nothing, however wide a peer makes them."""
    for first, end in held.missing(start, stop):
        at = offered.first_at_or_after(first)
        while at is not None and at < end:
            covering = offered.covering(at)
            assert covering is not None
            until = min(covering[1], end)
            yield from range(at, until)
            at = offered.first_at_or_after(until)
