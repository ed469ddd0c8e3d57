"""How much a node does for one neighbor, and how many errors it sends (RFC 6940 section 13.6.5)."""

from __future__ import annotations

REQUESTS_PER_SECOND, REQUESTS_AT_ONCE = 1000, 4000
"""Messages taken from one link: a neighbor forwards for many others, and what joins and stabilizes comes in bursts; but
no single one is to have a machine to itself."""
ERRORS_PER_SECOND, ERRORS_AT_ONCE = 20, 100
"""Errors of the forwarding layer on one link: each costs a signature, and who makes that many of them errs or means
harm. A dropped error costs its requester the wait for a timer."""
MAX_DROP_EVENTS = 1024
"""`MessageDropped` events that wait to be read: a driver that does not look does not lose memory by it."""


class Bucket:
    """A token bucket: `per_second` on the average, and up to `at_once` after a rest."""

    __slots__ = ("_at_once", "_left", "_per_second", "_since")

    def __init__(self, per_second: float, at_once: float, now: float) -> None:
        self._per_second = per_second
        self._at_once = at_once
        self._left = at_once
        self._since = now

    def take(self, now: float) -> bool:
        """Whether one more is allowed; if so, it counts."""
        if now > self._since:
            self._left = min(self._at_once, self._left + (now - self._since) * self._per_second)
            self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
