"""The receiving half of a channel: what was asked of the peer, and what is owed to it for what it sent."""

import math
from collections.abc import Iterable

from ppsp._limits import MAX_LOOSE_HASHES, MAX_OUTSTANDING_OCTETS, MAX_SAMPLES, MIN_OUTSTANDING, REQUEST_SECONDS
from ppsp._ranges import RangeSet
from ppsp.messages import Ack

# Half a second of the peer's rate is asked for ahead; the rate is taken over a tenth of a second at least.
_AHEAD_SECONDS = 0.5
_RATE_SECONDS = 0.1
# A peer that let a request lapse is left alone for so long, doubled each time up to half a minute.
_LAPSE_SECONDS = 0.5
_MAX_LAPSE_SECONDS = 30.0


class Download:
    """Requests outstanding at one peer, and the acknowledgements to send it. Times are float seconds."""

    __slots__ = (
        "_arrived",
        "_asked_at",
        "_batch",
        "_lapse",
        "_latency",
        "_loose",
        "_max_window",
        "_progress_at",
        "_rate_count",
        "_rate_from",
        "_window",
        "asked_last",
        "choked",
        "chunks_received",
        "idle",
        "octets_received",
        "outstanding",
        "rate",
        "refused",
        "resting_until",
        "unverifiable",
    )

    def __init__(self, chunk_size: int) -> None:
        self.expect(chunk_size)
        self.outstanding: set[int] = set()
        self.choked = False
        self.asked_last = -math.inf
        # Nothing that the peer offers is missing here: it is not asked again before one of both changes.
        self.idle = False
        self.resting_until = -math.inf
        self.rate = 0.0
        self.chunks_received = self.octets_received = self.refused = self.unverifiable = 0
        self._batch: list[tuple[int, int]] = []
        self._loose: dict[tuple[int, int], bytes] = {}
        self._window = MIN_OUTSTANDING
        self._lapse = _LAPSE_SECONDS
        self._latency = 0.0
        self._asked_at: float | None = None
        self._progress_at = 0.0
        self._rate_from: float | None = None
        self._rate_count = 0
        self._arrived = False

    def expect(self, chunk_size: int) -> None:
        """Chunks have so many octets, or where sizes vary about so many."""
        self._max_window = max(MAX_OUTSTANDING_OCTETS // chunk_size, MIN_OUTSTANDING)

    def keep_hashes(self, hashes: dict[tuple[int, int], bytes]) -> None:
        """Hashes that came without their chunk (section 5.4 lets them come first); the oldest make room."""
        loose = self._loose
        loose.update(hashes)
        while len(loose) > MAX_LOOSE_HASHES:
            del loose[next(iter(loose))]

    def with_loose(self, hashes: dict[tuple[int, int], bytes]) -> dict[tuple[int, int], bytes]:
        """`hashes` with those that came before; the newer one counts."""
        return {**self._loose, **hashes} if self._loose else hashes

    def received(self, chunk: int, octets: int, delay_us: int, now: float) -> None:
        """A chunk of the peer is verified: it is owed an ACK with this delay sample (as on the wire)."""
        self.chunks_received += 1
        self.octets_received += octets
        self._batch.append((chunk, delay_us))
        self.progressed(chunk, now)
        self._rate_count += 1

    def owe(self, chunk: int, delay_us: int) -> None:
        """The peer sent a chunk that is held already: its ACK was lost, or another peer was faster."""
        self._batch.append((chunk, delay_us))

    def progressed(self, chunk: int, now: float) -> None:
        """Something asked for has come."""
        self.outstanding.discard(chunk)
        self._progress_at = now
        self._lapse = _LAPSE_SECONDS
        self._arrived = True
        if self._asked_at is not None:
            self._latency = now - self._asked_at
            self._asked_at = None

    def acks(self, have: RangeSet) -> list[Ack]:
        """The ACKs owed: one a biggest complete interval (section 4.3.2), and more samples of a long batch.

        Each carries the sample of a chunk of its own interval, and they stand in the order in which the chunks came.
        """
        batch = self._batch
        if not batch:
            return []
        self._batch = []
        acks: list[Ack] = []
        start = stop = -1
        seen: set[int] = set()
        # LEDBAT's filter wants several samples a round trip: some, evenly spread over the batch, beside the first of
        # each interval.
        extra = set(range(0, len(batch), max(len(batch) // MAX_SAMPLES, 1))) if len(batch) > 1 else ()
        for at, (chunk, delay_us) in enumerate(batch):
            if not start <= chunk < stop:
                covering = have.covering(chunk)
                if covering is None:
                    continue
                start, stop = covering
            if start not in seen or at in extra:
                seen.add(start)
                acks.append(Ack(start, stop - 1, delay_us))
        return acks

    def room(self, now: float) -> int:
        """How many more chunks to ask for now; 0 until half of the window is free, so that requests are long."""
        self._measure(now)
        if self._arrived and not self.outstanding:
            self._window = min(self._window * 2, self._max_window)
        self._arrived = False
        room = self._window - len(self.outstanding)
        return room if room * 2 >= self._window else 0

    def _measure(self, now: float) -> None:
        if self._rate_from is None:
            if self._rate_count:
                self._rate_from, self._rate_count = now, 0
            return
        elapsed = now - self._rate_from
        if elapsed >= _RATE_SECONDS:
            rate = self._rate_count / elapsed
            self.rate = rate if not self.rate else (self.rate + rate) / 2
            self._rate_from, self._rate_count = now, 0
            self._window = int(min(max(self.rate * _AHEAD_SECONDS, MIN_OUTSTANDING), self._max_window))

    def asked(self, ranges: Iterable[tuple[int, int]], now: float) -> None:
        """These chunks were requested of the peer."""
        self.asked_last = now
        if not self.outstanding:
            self._progress_at = now
            self._asked_at = now
        for start, stop in ranges:
            self.outstanding.update(range(start, stop))

    def lapses_at(self) -> float | None:
        """When the outstanding requests are given up, unless something comes; None when there are none."""
        if not self.outstanding:
            return None
        return self._progress_at + max(REQUEST_SECONDS, 4 * self._latency)

    def lapse(self, now: float) -> None:
        """Nothing came for too long: leave the peer alone for a while, longer each time."""
        self.resting_until = now + self._lapse
        self._lapse = min(self._lapse * 2, _MAX_LAPSE_SECONDS)
        self._window = MIN_OUTSTANDING
        self.rate = 0.0
        self._rate_from = None

    def give_up(self) -> list[tuple[int, int]]:
        """Take back everything outstanding, as ascending ranges."""
        ranges = ranges_of(self.outstanding)
        self.outstanding.clear()
        return ranges

    def forget_from(self, chunk_count: int) -> None:
        """There are only so many chunks: what else was asked for, since a peer lied, does not come."""
        self.outstanding.difference_update([chunk for chunk in self.outstanding if chunk >= chunk_count])

    def give_up_half(self) -> list[tuple[int, int]]:
        """Take back the later half of what is outstanding: the peer is slow and another one has nothing to do."""
        chunks = sorted(self.outstanding)
        later = chunks[len(chunks) // 2 :]
        self.outstanding.difference_update(later)
        return ranges_of(later)

    def give_up_outside(self, kept: RangeSet) -> list[tuple[int, int]]:
        """Take back what is outstanding but not in `kept`: something else has become urgent."""
        others = [chunk for chunk in self.outstanding if chunk not in kept]
        self.outstanding.difference_update(others)
        return ranges_of(others)

    def expected_seconds(self, now: float) -> float:
        """How long the peer will take for what is outstanding, at its rate, or as far as its silence tells."""
        if self.rate:
            return max(len(self.outstanding) / self.rate, now - self._progress_at)
        return now - self._progress_at


def ranges_of(chunks: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers as ascending half-open ranges."""
    ranges: list[tuple[int, int]] = []
    for chunk in sorted(chunks):
        if ranges and ranges[-1][1] == chunk:
            ranges[-1] = (ranges[-1][0], chunk + 1)
        else:
            ranges.append((chunk, chunk + 1))
    return ranges


def joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Adjacent ranges as one: the picker hands out blocks."""
    found: list[tuple[int, int]] = []
    for start, stop in ranges:
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return found
