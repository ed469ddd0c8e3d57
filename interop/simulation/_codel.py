"""Controlled Delay active queue management (RFC 8289)."""

from collections import deque
from math import isqrt

import attrs

from interop.simulation._engine import microseconds
from interop.simulation._packets import Packet

_MAX_PACKET = 1514
"""Octets of the largest packet of an Ethernet: CoDel drops nothing while no more than this is queued."""


@attrs.frozen
class CoDel:
    """Queue discipline: keep the standing queue below `target` seconds, judged over `interval` seconds.

    The defaults are those of RFC 8289. `packets` bounds the queue, as every real one is bounded.
    """

    target: float = 0.005
    interval: float = 0.1
    packets: int = 1000


class CoDelQueue:
    """The queue and its control state; names follow the pseudocode of RFC 8289 section 5. Times are microseconds."""

    def __init__(self, discipline: CoDel) -> None:
        self._target = microseconds(discipline.target)
        self._interval = microseconds(discipline.interval)
        self._limit = discipline.packets
        self._packets: deque[tuple[int, Packet]] = deque()
        self._octets = 0
        self._first_above_time = 0
        self._drop_next = 0
        self._count = 0
        self._last_count = 0
        self._dropping = False

    def push(self, packet: Packet, now: int) -> bool:
        """Queue the packet; False when the queue is full."""
        if len(self._packets) >= self._limit:
            return False
        self._packets.append((now, packet))
        self._octets += packet.size
        return True

    def pop(self, now: int) -> tuple[tuple[int, Packet] | None, list[Packet]]:
        """The packet to transmit now with the time at which it was queued, and those dropped before it."""
        dropped: list[Packet] = []
        head, ok_to_drop = self._dequeue(now)
        if self._dropping:
            if not ok_to_drop:
                self._dropping = False
            while self._dropping and head is not None and now >= self._drop_next:
                dropped.append(head[1])
                self._count += 1
                head, ok_to_drop = self._dequeue(now)
                if ok_to_drop:
                    self._drop_next = self._control_law(self._drop_next)
                else:
                    self._dropping = False
        elif ok_to_drop and head is not None:
            dropped.append(head[1])
            head, _ = self._dequeue(now)
            self._enter(now)
        return head, dropped

    def _enter(self, now: int) -> None:
        """Begin to drop, near the rate that controlled the queue the last time if that was not long ago."""
        self._dropping = True
        delta = self._count - self._last_count
        recent = now - self._drop_next < 16 * self._interval
        self._count = delta if delta > 1 and recent else 1
        self._drop_next = self._control_law(now)
        self._last_count = self._count

    def _control_law(self, now: int) -> int:
        # interval / sqrt(count) in integers, so that a run does not depend on the machine's floating point.
        return now + self._interval * 1000 // isqrt(self._count * 1_000_000)

    def _dequeue(self, now: int) -> tuple[tuple[int, Packet] | None, bool]:
        """The head of the queue, and whether its sojourn time has been above target for a whole interval."""
        if not self._packets:
            self._first_above_time = 0
            return None, False
        head = self._packets.popleft()
        self._octets -= head[1].size
        if now - head[0] < self._target or self._octets <= _MAX_PACKET:
            self._first_above_time = 0
            return head, False
        if self._first_above_time == 0:
            self._first_above_time = now + self._interval
            return head, False
        return head, now >= self._first_above_time
