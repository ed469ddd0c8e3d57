"""The retransmission timeout of a link, from the round-trip times seen on it (RFC 6298 section 2)."""

from __future__ import annotations

from math import ceil

ALPHA, BETA, K = 1 / 8, 1 / 4, 4
MAX_RTO = 60.0
"""Seconds; a maximum must be at least this (2.5)."""


class RetransmissionTimeout:
    """Seconds that an ACK may take. `granularity` is G of RFC 6298, in seconds; `least` what `rto` is at least."""

    __slots__ = ("_granularity", "_least", "_srtt", "_variation", "rto")

    def __init__(self, initial: float, *, granularity: float, least: float = 0.0) -> None:
        self.rto = initial
        """Until a measurement comes: the initial value."""
        self._granularity = granularity
        self._least = least
        self._srtt: float | None = None
        self._variation = 0.0

    def measure(self, rtt: float) -> None:
        """Take a round-trip time in, of seconds; formulas 2.2 and 2.3."""
        rtt = max(rtt, 0.0)
        if self._srtt is None:
            self._srtt, self._variation = rtt, rtt / 2
        else:
            self._variation += BETA * (abs(self._srtt - rtt) - self._variation)
            self._srtt += ALPHA * (rtt - self._srtt)
        exact = self._srtt + max(self._granularity, K * self._variation)
        # "rounded up to the nearest millisecond" (RFC 6940 section 6.6.3.1); what rounding of floats adds is none.
        self.rto = min(max(ceil(exact * 1000 - 1e-6) / 1000, self._least), MAX_RTO)
