"""One deadline out, however many timers inside: a heap that forgets lazily."""

from heapq import heapify, heappop, heappush
from typing import Protocol


class Timed(Protocol):
    """Something with a next deadline; `armed` is the earliest one that the heap holds for it."""

    armed: float | None

    def deadline(self) -> float | None:
        """When it next wants to be called; None for never."""


# Entries that the heap may hold beyond twice those of the last clean-up.
_SPARE = 64


class TimerHeap:
    """The next deadline of many objects.

    An object whose deadline moves later stays where it is in the heap and is looked at once too early, which costs
    less than to find it; so a busy channel does not touch the heap for every datagram.
    """

    __slots__ = ("_clean_at", "_heap", "_serial")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timed]] = []
        self._serial = 0
        self._clean_at = _SPARE

    def arm(self, item: Timed) -> None:
        """Take note of the item's deadline as it is now."""
        deadline = item.deadline()
        if deadline is not None and (item.armed is None or deadline < item.armed):
            self._push(item, deadline)

    def next(self) -> float | None:
        """The earliest deadline held; it may be earlier than the item's present one, never later."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[Timed]:
        """The items whose deadline has come, each once; the caller arms them anew."""
        ready: dict[Timed, None] = {}
        while self._heap and self._heap[0][0] <= now:
            armed, _, item = heappop(self._heap)
            if item.armed != armed:
                continue  # superseded by an earlier entry, which was popped before this one
            item.armed = None
            deadline = item.deadline()
            if deadline is None:
                continue
            if deadline <= now:
                ready[item] = None
            else:
                self._push(item, deadline)
        return list(ready)

    def _push(self, item: Timed, deadline: float) -> None:
        self._serial += 1
        item.armed = deadline
        heappush(self._heap, (deadline, self._serial, item))
        if len(self._heap) > self._clean_at:
            # An object that is idle and busy in turn leaves its far deadlines behind.
            self._heap = [entry for entry in self._heap if entry[2].armed == entry[0]]
            heapify(self._heap)
            self._clean_at = 2 * len(self._heap) + _SPARE
