"""One deadline out, however many connections: a heap that forgets lazily."""

from heapq import heapify, heappop, heappush

from ledbat.utp.connection import Connection

MAX_DEAD = 64
"""Entries of connections that are gone that may stand in the heap, however small it is."""


class TimerHeap:
    """The deadlines of many connections.

    A deadline that moves later stays where it is in the heap and is looked at once too early: a busy connection does
    not touch the heap for every packet.
    """

    __slots__ = ("_dead", "_heap", "_serial")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Connection]] = []
        self._serial = 0
        self._dead = 0  # entries that say nothing any more

    def arm(self, item: Connection) -> None:
        """Take note of the item's deadline as it is now."""
        deadline = item.deadline
        if deadline is not None and (item.armed is None or deadline < item.armed):
            self.drop(item)
            self._push(item, deadline)

    def drop(self, item: Connection) -> None:
        """Forget the item. What is dead in the heap is cleared out before it is the greater part of it."""
        if item.armed is None:
            return
        item.armed = None
        self._dead += 1
        heap = self._heap
        if self._dead > MAX_DEAD and 2 * self._dead > len(heap):
            heap[:] = [entry for entry in heap if entry[2].armed == entry[0]]
            heapify(heap)
            self._dead = 0

    def next(self) -> float | None:
        """The earliest deadline held; never later than the earliest there is."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[Connection]:
        """The items whose deadline has come, each once; the caller arms them anew."""
        heap = self._heap
        ready: list[Connection] = []
        while heap and heap[0][0] <= now:
            armed, _, item = heappop(heap)
            if item.armed != armed:
                self._dead -= 1
                continue
            item.armed = None
            deadline = item.deadline
            if deadline is None:
                continue
            if deadline <= now:
                ready.append(item)
            else:
                self._push(item, deadline)
        return ready

    def _push(self, item: Connection, deadline: float) -> None:
        self._serial += 1
        item.armed = deadline
        heappush(self._heap, (deadline, self._serial, item))
