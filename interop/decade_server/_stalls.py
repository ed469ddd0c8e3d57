"""Bodies that get no further are ended: a client that neither reads nor writes holds a slot no longer."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from interop._asgi_streams import WRITE_TIMEOUT


class Progress:
    """A body that is under way in the present task. Inside `with` it is ended when it stalls, and then `is_stalled`."""

    __slots__ = ("_deadlines", "_task", "is_stalled")

    def __init__(self, deadlines: OrderedDict[Progress, float]) -> None:
        """For `Stalls`."""
        self._deadlines = deadlines
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self.is_stalled = False

    def touch(self, now: float) -> None:
        """It gets on."""
        self._deadlines[self] = now + WRITE_TIMEOUT
        self._deadlines.move_to_end(self)

    def pause(self) -> None:
        """It waits for us, until it is touched."""
        self._deadlines.pop(self, None)

    def end(self) -> None:
        """It has stalled."""
        self.is_stalled = True
        self._task.cancel()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> bool:
        self._deadlines.pop(self, None)
        if self.is_stalled and kind is asyncio.CancelledError:
            # Whoever cancels the task besides is heard.
            return not self._task.uncancel()
        return False


class Stalls:
    """The bodies that are under way, the one that has waited longest in front."""

    def __init__(self, arm_at: Callable[[float], None]) -> None:
        """`arm_at`: sees to it that `handle_timer` is called at a time."""
        self._deadlines: OrderedDict[Progress, float] = OrderedDict()
        self._arm_at = arm_at

    def watch(self, now: float) -> Progress:
        """A body of the present task."""
        progress = Progress(self._deadlines)
        deadline = self._deadlines[progress] = now + WRITE_TIMEOUT
        self._arm_at(deadline)
        return progress

    def get_timer(self) -> float | None:
        """When the first one is to be ended."""
        return next(iter(self._deadlines.values()), None)

    def handle_timer(self, now: float) -> None:
        """End those that have stalled."""
        while (deadline := self.get_timer()) is not None and deadline <= now:
            self._deadlines.popitem(last=False)[0].end()
