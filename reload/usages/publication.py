"""Keeping values in the overlay: stored anew before they expire, and removed in the end."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from reload.errors import EncodeError, StateError
from reload.operations import Plan

REFRESH_AT = 0.9
"""Of a lifetime: when to store anew (RFC 7374 section 4.4)."""
FIRST_RETRY = 30.0
"""Seconds: two requests in a row may go without an answer for so long. It doubles with every failure."""


class Publishable(Protocol):
    """Something that one node stores, at one or several resources."""

    @property
    def lifetime(self) -> int:
        """Of what is stored, in seconds."""
        ...

    def store(self) -> Plan[bool]:
        """Store all of it, whether for the first time or again. True: all is there."""
        ...

    def remove(self) -> Plan[bool]:
        """Take all of it away. True: nothing is left."""
        ...


class Publication:
    """When something is to be stored, and the plan to run then.

    Whoever drives it calls `handle_timer` when `get_timer` says so, and runs the plan that comes of it.
    """

    def __init__(self, published: Publishable) -> None:
        self._published = published
        self.error: StateError | EncodeError | None = None
        """Why the last plan asked for what cannot be: a Kind that the overlay no longer has, or a value too large."""
        self._due: float | None = None
        self._running = 0
        self._retry = FIRST_RETRY

    def start(self, now: float) -> None:
        """It is due at once. To start it again stores it again, as after another join."""
        self._due = now

    def stop(self) -> Plan[bool]:
        """Nothing is due any more. The plan removes what is stored."""
        self._due = None
        self._running += 1
        return self._removal()

    def get_timer(self) -> float | None:
        """When `handle_timer` is due."""
        return self._due

    def handle_timer(self, now: float) -> Plan[bool] | None:
        """The plan to run now, if any; one from before that has not ended does nothing any more."""
        if self._due is None or now < self._due:
            return None
        self._due = now + REFRESH_AT * self._published.lifetime
        self._running += 1
        return self._run(self._running, now)

    def _run(self, number: int, started: float) -> Plan[bool]:
        plan = self._published.store()
        take_step = partial(next, plan)
        self.error = None
        try:
            while True:
                operation = take_step()
                if number != self._running:
                    return False
                try:
                    take_step = partial(plan.send, (yield operation))
                except (StateError, EncodeError) as exc:
                    take_step = partial(plan.throw, exc)
        except StopIteration as done:
            succeeded: bool = done.value
        except (StateError, EncodeError) as exc:
            self.error, succeeded = exc, False
        if number == self._running:
            self._plan_next(started, succeeded)
        return succeeded

    def _removal(self) -> Plan[bool]:
        self.error = None
        try:
            return (yield from self._published.remove())
        except (StateError, EncodeError) as exc:
            self.error = exc
            return False

    def _plan_next(self, started: float, succeeded: bool) -> None:
        if succeeded:
            self._retry = FIRST_RETRY
        else:
            refresh = REFRESH_AT * self._published.lifetime
            self._due = started + min(self._retry, refresh)
            self._retry = min(2 * self._retry, refresh)
