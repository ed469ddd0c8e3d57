"""What a sender's controller counts: octets in flight, the round-trip time, the use of the window, loss episodes."""

from ledbat.errors import StateError
from ledbat.flight import Flight
from ledbat.rfc6817 import BATCH, MAX_CWND
from ledbat.rtt import RttEstimator

SLACK = 1 / 8
"""The share of the window, beyond a segment, that may be free while the window still counts as used: pacing and short
segments leave that much."""

REORDERING = 4
"""Segments sent after a lost one that arrive before the loss is known: three more than none tell of it (RFC 5681)."""


class Account:
    """The bookkeeping of one flow, for controllers that decide by it.

    `mss` is octets, `max_cto` seconds as in RttEstimator. Raises StateError for numbers of octets that cannot be, and
    changes nothing then.
    """

    __slots__ = ("_fresh", "_last_sent", "_mss", "_recovering", "_used_at", "flight", "rtt")

    flight: Flight
    """What is in flight, and its timeout."""
    rtt: RttEstimator
    """The round-trip time."""

    def __init__(self, mss: int, max_cto: float) -> None:
        self._mss = mss
        self.flight = Flight()
        self.rtt = RttEstimator(max_cto)
        self._fresh = 0  # octets sent since the window was last reduced
        self._recovering = False
        self._last_sent: float | None = None
        self._used_at: float | None = None

    def sent(self, octets: int, now: float) -> bool:
        """Octets went out; return whether that follows an idle time longer than the timeout (RFC 5681 section 4.1)."""
        if not 0 <= octets <= MAX_CWND:
            raise StateError(f"on_sent: {octets} octets cannot have been sent")
        flight, rto = self.flight, self.rtt.rto
        idle = not flight.flightsize and self._last_sent is not None and now - self._last_sent > rto
        self._last_sent = now
        self._fresh += octets
        flight.sent(octets, now, rto)
        return idle

    def acknowledged(self, octets: int, rtt: float | None, cwnd: float, now: float) -> int:
        """Octets were acknowledged, perhaps with a round-trip time: return how many of those that were in flight.

        `cwnd` is the window before this acknowledgement; `in_use` tells afterwards whether it limited the flow.
        """
        if octets < 0:
            raise StateError(f"on_ack: {octets} octets cannot have been acknowledged")
        flight, estimator = self.flight, self.rtt
        flightsize = flight.flightsize
        if flightsize + self._mss + cwnd * SLACK > cwnd:
            self._used_at = now
        if rtt is not None:
            estimator.update(rtt)
        if octets > flightsize:
            octets = flightsize
        if octets:
            flight.acknowledged(octets, now, estimator.rto)
        return octets

    def in_use(self, now: float) -> bool:
        """Whether the flow filled its window before this acknowledgement, or before the first of its batch."""
        used_at = self._used_at
        return used_at is not None and 0.0 <= now - used_at <= BATCH

    def lost(self, octets: int, will_retransmit: bool) -> None:
        """Octets that were taken for lost leave the flight, unless their retransmission is not going to be reported."""
        if not will_retransmit:
            self.flight.written_off(min(octets, self.flight.flightsize))

    def begins_episode(self) -> bool:
        """A sign of congestion came: whether it is the first one of its round trip, which calls for a reduction.

        The round trip ends when everything that was in flight at the reduction has been acknowledged or given up (the
        "recover" of RFC 6582 section 3.2), whatever the clock says.
        """
        if self._recovering and self.flight.flightsize > self._fresh - REORDERING * self._mss:
            return False
        self._recovering = True
        self._fresh = 0
        return True

    @property
    def recovering(self) -> bool:
        """Whether octets that were in flight at the last reduction still are."""
        return self._recovering and self.flight.flightsize > self._fresh

    def timed_out(self, now: float) -> bool:
        """Whether the timeout has come; if so it is doubled and starts again (RFC 6298 sections 5.5 and 5.6)."""
        flight = self.flight
        if flight.deadline is None or now < flight.deadline:
            return False
        self.rtt.back_off()
        flight.deadline = now + self.rtt.rto
        # What was in flight is taken for lost, and has been answered for.
        self._recovering = True
        self._fresh = REORDERING * self._mss
        return True

    @property
    def round_trip(self) -> float:
        """SRTT in seconds, or the timeout while there is none."""
        srtt = self.rtt.srtt
        return self.rtt.rto if srtt is None else srtt
