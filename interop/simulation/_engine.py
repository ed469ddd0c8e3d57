"""Virtual time: a heap of callbacks, in the order of integer microseconds, and then in that of their posting."""

import heapq
from collections.abc import Callable
from math import ceil
from typing import Any

MAX_EVENTS_AT_ONE_INSTANT = 1_000_000
"""Callbacks without any time passing, after which somebody must be going round in a circle: a thousand hosts that each
send a thousand datagrams at once stay below it."""


class SimulationError(Exception):
    """The simulated world does something that no real one could, as to do without end what takes no time."""


def microseconds(seconds: float) -> int:
    """Seconds as whole microseconds, never earlier."""
    return ceil(seconds * 1_000_000)


class Timer:
    """A callback that may be called off."""

    __slots__ = ("_args", "_callback", "at_us")

    def __init__(self, at_us: int, callback: Callable[..., None], args: tuple[Any, ...]) -> None:
        self.at_us = at_us
        self._callback: Callable[..., None] | None = callback
        self._args = args

    def cancel(self) -> None:
        """Call it off; without effect when it has been called."""
        self._callback = None
        self._args = ()

    def fire(self) -> None:
        """Call the callback, unless it was called off."""
        if self._callback is not None:
            self._callback(*self._args)


class Engine:
    """The clock of a simulation and what will happen when. Time starts at 0 and is `now_us` microseconds."""

    def __init__(self) -> None:
        self.now_us = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0
        self._at_this_instant = 0

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self.now_us / 1_000_000

    def post(self, at_us: int, callback: Callable[..., None], *args: Any) -> None:
        """Call `callback(*args)` at `at_us`, or as the last thing of this instant if that is past."""
        if at_us < self.now_us:
            at_us = self.now_us
        self._sequence += 1
        heapq.heappush(self._heap, (at_us, self._sequence, callback, args))

    def call_at(self, seconds: float, callback: Callable[..., None], *args: Any) -> Timer:
        """Call `callback(*args)` at that time, unless the timer that is returned is cancelled before."""
        timer = Timer(microseconds(seconds), callback, args)
        self.post(timer.at_us, timer.fire)
        return timer

    def call_later(self, seconds: float, callback: Callable[..., None], *args: Any) -> Timer:
        """Call `callback(*args)` when so many seconds have passed."""
        timer = Timer(self.now_us + microseconds(seconds), callback, args)
        self.post(timer.at_us, timer.fire)
        return timer

    def more_now(self) -> bool:
        """Whether something else happens in this same microsecond."""
        return bool(self._heap) and self._heap[0][0] == self.now_us

    def step(self, until_us: int | None = None) -> bool:
        """Let the next thing happen, unless there is none (before or at `until_us`): then return False.

        Raises SimulationError when time does not pass, and whatever the callback raises.
        """
        heap = self._heap
        if not heap or (until_us is not None and heap[0][0] > until_us):
            return False
        at_us, _, callback, args = heapq.heappop(heap)
        if at_us > self.now_us:
            self.now_us = at_us
            self._at_this_instant = 0
        else:
            self._at_this_instant += 1
            if self._at_this_instant > MAX_EVENTS_AT_ONE_INSTANT:
                raise SimulationError(
                    f"time stands still at {self.now} s: {MAX_EVENTS_AT_ONE_INSTANT} callbacks, the next is {callback}"
                )
        callback(*args)
        return True

    def run(self, until: float | None = None) -> None:
        """Let time pass until nothing more will happen, or up to and including `until` seconds.

        Raises SimulationError when time does not pass, and whatever a callback raises.
        """
        limit = None if until is None else microseconds(until)
        step = self.step
        while step(limit):
            pass
        if limit is not None and limit > self.now_us:
            self.now_us = limit
            self._at_this_instant = 0
