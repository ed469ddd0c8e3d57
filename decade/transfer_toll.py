"""What a transfer between servers moves on the line of its server: it pays for octets when they have moved, and pauses
until it has (RFC 7069 section 5.3).
"""

from __future__ import annotations

from collections.abc import Callable

from decade.lines import Line
from decade.scheduler import Terms


class Toll:
    """The part of one object. It is what the line grants turns to: `go_on` is for the server."""

    def __init__(self, line: Line, terms: Terms, resume: Callable[[float, bool], None]) -> None:
        """`resume` is called at the end of each pause with the time, and whether there is a line left to use."""
        self.terms = terms
        self._line = line
        self._resume = resume
        self._owed = 0
        self._more = 0

    @property
    def is_paused(self) -> bool:
        """Whether it waits for its turn."""
        return self._owed > 0

    def pay(self, octets: int, now: float) -> None:
        """So many octets have moved."""
        if self._owed:
            self._more += octets
            return
        while octets and (taken := self._line.take(self, octets, now)):
            octets -= taken
        self._owed = octets

    def go_on(self, octets: int, now: float) -> None:
        """Its turn has come for so many octets; for none: its node is gone."""
        if not octets:
            self.leave()
            self._resume(now, False)
            return
        self._owed = max(0, self._owed - octets)
        if not self._owed:
            more, self._more = self._more, 0
            self.pay(more, now)
        if not self._owed:
            self._resume(now, True)

    def leave(self) -> None:
        """It moves no more for now; what it owes is forgiven."""
        self._owed = self._more = 0
        self._line.withdraw(self)
