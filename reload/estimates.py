"""What a self-tuning peer reckons from its tables: the overlay's size and churn (RFC 7363 section 6)."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from math import ceil, floor, inf, log2

import attrs

from reload.extensions import SelfTuningData

MIN_NEIGHBORS = 3
"""Successors, and predecessors, however small the overlay is (RFC 6940 section 10.7)."""
MIN_FINGERS = 16
"""Entries of the finger table, at least (section 6.2)."""
MIN_INTERVAL = 15.0
"""Seconds from one stabilization to the next, at least (section 6.6)."""
HISTORY_SHARE = 4
"""The failures remembered are this part of the routing table (section 6.3)."""
FAR = 8
"""A gap so many times the mean of those before it ends a list of neighbors: while a list is not full yet, or has lost
some, fingers stand in it. Between neighbors it is so wide once in some thousands."""
MAX_HISTORY = 48
"""Failures that are remembered at most: a quarter of the largest routing table, 128 fingers and twice 32 neighbors."""
MAX_RECEIVED = 64
"""Peers whose estimates of one interval are kept: nine are usual, and nobody's weight grows by sending more."""

_DAY = 86400
_MAX_UINT32 = 0xFFFFFFFF
_RING = 1 << 128


@attrs.frozen
class Estimates:
    """Peers in the overlay; peers that join it in a second; and the part of the peers that fails in a second."""

    network_size: float = 1.0
    join_rate: float = 0.0
    failure_rate: float = 0.0

    def to_data(self) -> SelfTuningData:
        """As they are shared: in 24 hours, rounded up. The leave rate is of one peer, as U is (section 6.5)."""
        return SelfTuningData(
            _uint32(self.network_size), _uint32(self.join_rate * _DAY), _uint32(self.failure_rate * _DAY)
        )


def from_data(data: SelfTuningData) -> Estimates:
    """What another peer has shared; no overlay is smaller than one peer."""
    return Estimates(max(data.network_size, 1), data.join_rate / _DAY, data.leave_rate / _DAY)


def _uint32(number: float) -> int:
    return min(ceil(number), _MAX_UINT32)


def network_size(node_id: bytes, predecessors: Sequence[bytes], successors: Sequence[bytes]) -> float:
    """N: the ring through the mean distance of neighbors, the nearest of which come first (section 6.1).

    When the lists meet, they show the whole ring.
    """
    own = int.from_bytes(node_id, "big")
    ahead, to_last = _extent([(int.from_bytes(each, "big") - own) % _RING for each in successors])
    behind, to_first = _extent([(own - int.from_bytes(each, "big")) % _RING for each in predecessors])
    known = 1.0 + len({*successors[:ahead], *predecessors[:behind]})
    if to_last + to_first >= _RING or known == 1:
        return known
    return min(max(_RING * (ahead + behind) / (to_last + to_first), known), float(_MAX_UINT32))


def _extent(distances: Sequence[int]) -> tuple[int, int]:
    """How many of these, the nearest first, are neighbors, and how far the last one of them is."""
    count = reach = 0
    for there in distances:
        if count >= MIN_NEIGHBORS and (there - reach) * count > FAR * reach:
            break
        count, reach = count + 1, there
    return count, reach


def failure_rate(times: Sequence[float], peers: int, history: int, now: float) -> float:
    """U: failures of one peer in a second, with so many `peers` in the routing table (section 6.3).

    `times` begin with when the count began: the own join, or the failure before the `history` ones that are counted.
    """
    failures, begin = len(times) - 1, times[0]
    # "As if there was a failure at the current time", also after a full history: else U would never fall again once
    # failures have ceased.
    rate = (failures + 1) / (max(peers, 1) * max(now - begin, 1.0))
    if failures < history:
        return rate
    return min(rate, failures / (max(peers, 1) * max(times[-1] - begin, 1.0)))


def join_rate(size: float, ages: Iterable[float]) -> float:
    """L: peers that join the overlay in a second, by the ages of those in the routing table (section 6.4)."""
    ordered = sorted(ages)
    return size / max(ordered[len(ordered) // 2], 1.0) if ordered else 0.0


def third_quartile(values: Iterable[float]) -> float:
    """The 75th percentile of at least one value: that with the rank 3/4 of their number, rounded (section 2)."""
    ordered = sorted(values)
    return ordered[floor(0.75 * len(ordered) + 0.5) - 1]


def neighbor_count(size: float) -> int:
    """How many successors, and how many predecessors, a peer keeps (section 6.2)."""
    return max(ceil(log2(size)), MIN_NEIGHBORS)


def finger_count(size: float) -> int:
    """How many entries the finger table has (section 6.2)."""
    return max(ceil(log2(size)), MIN_FINGERS)


def stabilization_interval(estimates: Estimates, longest: float) -> float:
    """Seconds until the next stabilization, 15 at least and `longest` at most (section 6.6).

    N new peers or N/2 failures may come in between, divided by the square of log2(N).
    """
    half_failed = 1 / (2 * estimates.failure_rate) if estimates.failure_rate else inf
    all_new = estimates.network_size / estimates.join_rate if estimates.join_rate else inf
    # One peer alone has log2(N) = 0: it stabilizes as two would.
    square = log2(max(estimates.network_size, 2.0)) ** 2
    return max(min(min(half_failed, all_new) / square, longest), MIN_INTERVAL)


class Estimator:
    """The estimates of one peer: from what it sees itself, and from what others share."""

    __slots__ = ("_received", "_times", "in_use", "own")

    def __init__(self, now: float) -> None:
        """The peer joins at `now`."""
        self.own = Estimates()
        """As this peer sees it alone, which is what it shares: shares of shares would climb with each quartile."""
        self.in_use = self.own
        """With those of others."""
        self._times: deque[float] = deque((now,), MAX_HISTORY + 1)
        self._received: dict[bytes, Estimates] = {}

    def on_failure(self, now: float) -> None:
        """A peer of the routing table has failed or left."""
        self._times.append(now)

    def on_estimates(self, peer: bytes, data: SelfTuningData) -> None:
        """A peer shares what it has estimated; its last word in an interval counts."""
        if peer in self._received or len(self._received) < MAX_RECEIVED:
            self._received[peer] = from_data(data)

    def estimate(
        self,
        node_id: bytes,
        predecessors: Sequence[bytes],
        successors: Sequence[bytes],
        ages: Collection[float],
        now: float,
    ) -> None:
        """Calculate the own estimates; `ages` are those of all peers in the routing table, in seconds."""
        history = max(ceil(len(ages) / HISTORY_SHARE), 1)
        while len(self._times) > history + 1:
            self._times.popleft()
        size = network_size(node_id, predecessors, successors)
        self.own = Estimates(size, join_rate(size, ages), failure_rate(self._times, len(ages), history, now))

    def take_in(self) -> Estimates:
        """The estimates for the next interval, by the own ones and by what others have shared since the last call."""
        known = [self.own, *self._received.values()]
        self._received = {}
        self.in_use = Estimates(
            third_quartile([each.network_size for each in known]),
            third_quartile([each.join_rate for each in known]),
            third_quartile([each.failure_rate for each in known]),
        )
        return self.in_use
