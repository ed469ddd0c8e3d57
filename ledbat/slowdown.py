"""The slowdowns of LEDBAT++: when the window goes down to two packets, so that the base delay can be seen.

Sections are those of draft-irtf-iccrg-ledbat-plus-plus-01.
"""

import enum

FREEZE = 2.0
"""Round trips from the end of the initial slow start to the first slowdown, and those that one lasts at least (4.4)."""
INTERVAL = 9.0
"""The time between two slowdowns as a multiple of the last one's duration: at most 10 % is spent slowed down (4.4)."""
DEFERRAL = 30.0
"""Seconds by which a cut of the window postpones the next slowdown, where that is wanted (deployed practice)."""


class Phase(enum.Enum):
    """Where a flow is in its slowdowns."""

    OFF = "off"
    """None is scheduled."""
    WAITING = "waiting"
    """The next one is scheduled."""
    FROZEN = "frozen"
    """The window is held at two packets."""
    RAMP = "ramp"
    """Slow start back to where the window was."""


class Slowdowns:
    """The schedule of one flow (section 4.4). Times are float seconds; `deferral` is 0 for none."""

    __slots__ = ("_at", "_deferral", "_since", "phase")

    phase: Phase
    """Where the flow is."""

    def __init__(self, deferral: float = 0.0) -> None:
        self._deferral = deferral
        self._at = 0.0  # when the phase ends: WAITING and FROZEN
        self._since = 0.0  # when the slowdown began
        self.phase = Phase.OFF

    def schedule_first(self, now: float, rtt: float) -> None:
        """The initial slow start has ended: the initial slowdown follows two round trips later."""
        self.phase = Phase.WAITING
        self._at = now + FREEZE * rtt

    def begins(self, now: float, rtt: float) -> bool:
        """Whether a slowdown begins now; `rtt` seconds are a round trip."""
        if self.phase is not Phase.WAITING or now < self._at:
            return False
        self.phase = Phase.FROZEN
        self._since = now
        self._at = now + FREEZE * rtt
        return True

    def thaws(self, now: float) -> bool:
        """Whether the held window may grow again from now on."""
        if self.phase is not Phase.FROZEN or now < self._at:
            return False
        self.phase = Phase.RAMP
        return True

    def end(self, now: float, *, cut_short: bool) -> None:
        """The ramp is over. One that was cut short by a loss counts twice: the path has changed, and wants a rest."""
        self.phase = Phase.WAITING
        duration = max(now - self._since, 0.0)
        self._at = now + INTERVAL * (2 * duration if cut_short else duration)

    def defer(self, now: float) -> None:
        """The window was cut, for delay or for a loss: the queue has drained a little already."""
        if self._deferral and self.phase is Phase.WAITING:
            self._at = max(self._at, now + self._deferral)

    def clear(self) -> None:
        """Forget what was scheduled, after an idle time or a timeout."""
        self.phase = Phase.OFF
