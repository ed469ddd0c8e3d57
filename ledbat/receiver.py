"""rLEDBAT: a controller at the receiver, which slows the sender down by the window it advertises (RFC 9840).

The text of RFC 9840 was not at hand; the rules are those of the facts gathered about it.
"""

from collections.abc import Sequence
from typing import Protocol

from ledbat.errors import ParameterError, StateError
from ledbat.queuing_delay import difference
from ledbat.rfc6817 import MAX_CWND, MAX_MSS

MIN_RLWND = 2
"""Segments in the smallest window."""
MAX_WINDOW_SCALE = 14
"""The largest shift of TCP's window scale option (RFC 7323 section 2.3)."""
MAX_TICK = 0.01
"""Seconds in the longest tick of a timestamp clock that is fine enough to see a queue with."""
LEEWAY = 2.0
"""Round trips between two halvings: one as for a sender, and one more because the retransmission is seen and not the
loss."""
IDLE = 1.0
"""Seconds without data after which the sender counts as idle, where the round trip is not longer than that."""


class ReceiverController(Protocol):
    """What a `ReceiverWindow` runs: `LedbatPlusPlus`, `Ledbat` or any other of this package."""

    @property
    def cwnd(self) -> int:
        """Octets that may be in flight."""

    @property
    def flightsize(self) -> int:
        """Octets that it takes to be in flight."""

    @property
    def srtt(self) -> float | None:
        """The smoothed round-trip time."""

    def on_sent(self, *, sent: int, now: float) -> None:
        """Octets may be on their way."""

    def on_ack(self, *, acked: int, delays_us: Sequence[int], rtt: float | None, now: float) -> None:
        """Octets have arrived."""

    def on_loss(self, *, lost: int, will_retransmit: bool, now: float) -> None:
        """Octets were lost."""


class ReceiverWindow:
    """The receive window that makes a sender yield, whatever its own congestion control.

    `controller` sees what arrives as what is acknowledged; its window is RLWND. `window` gives what to advertise:
    RLWND or the flow-control window, whichever is smaller, except that the right edge of what was once advertised never
    moves left. So the window falls by no more than what arrived since, and the data in flight stays allowed.

    `mss` is octets, `window_scale` TCP's shift count; transports that count octets have 0. Raises ParameterError for a
    scale above 14 or whose unit is above `mss`. The verbs raise StateError for a negative number of octets or more than
    MAX_CWND at once, and change nothing then.
    """

    __slots__ = (
        "_controller",
        "_edge",
        "_floor",
        "_last",
        "_mss",
        "_next_halving",
        "_received",
        "_round_edge",
        "_round_octets",
        "_round_since",
        "_unit",
        "_used",
    )

    def __init__(self, controller: ReceiverController, *, mss: int, window_scale: int = 0) -> None:
        if not 1 <= mss <= MAX_MSS:
            raise ParameterError(f"MSS is {mss}; it must be from 1 to {MAX_MSS} octets")
        if not 0 <= window_scale <= MAX_WINDOW_SCALE:
            raise ParameterError(f"window scale is {window_scale}; it must be from 0 to 14 (RFC 7323 section 2.3)")
        if 1 << window_scale > mss:
            raise ParameterError(f"window scale is {window_scale}; its unit must not be above the MSS of {mss} octets")
        self._controller = controller
        self._mss = mss
        self._unit = 1 << window_scale
        self._floor = -(-MIN_RLWND * mss // self._unit) * self._unit
        self._received = 0  # octets since the start
        self._edge = 0  # of these and those to come, the ones that the sender may have sent
        self._last: float | None = None
        self._next_halving: float | None = None
        # A round is a round trip: what was allowed at its start has arrived at its end, if the window is what limits.
        self._round_since: float | None = None
        self._round_edge = 0
        self._round_octets = 0
        self._used = 0  # octets that the sender had in flight in the last round, as far as can be seen

    @property
    def rlwnd(self) -> int:
        """The controller's window in octets: a multiple of the scale's unit, and at least two segments."""
        return max(self._controller.cwnd // self._unit * self._unit, self._floor)

    @property
    def credit(self) -> int:
        """Octets that were advertised and have not arrived."""
        return self._edge - self._received

    def on_data(self, *, received: int, delays_us: Sequence[int], rtt: float | None, now: float) -> None:
        """`received` new octets arrived, with their one-way delay samples in order and perhaps a round-trip time.

        `rtt` is in seconds: by TCP's timestamps (TimestampClock), or by the one-way delays of both directions. After a
        pause of the sender a round-trip time that contains the pause must not be given.
        """
        if not 0 <= received <= MAX_CWND:
            raise StateError(f"on_data: {received} octets cannot have been received")
        controller = self._controller
        if self._last is not None and now - self._last > max(IDLE, 2 * (controller.srtt or 0.0)):
            self._wake_up(now)
        self._last = now
        credit = max(self.credit, received)
        flight = max(received, min(credit, self._used) if self._round_since is not None else credit)
        if flight > controller.flightsize:
            controller.on_sent(sent=flight - controller.flightsize, now=now)
        controller.on_ack(acked=received, delays_us=delays_us, rtt=rtt, now=now)
        self._received += received
        self._round_octets += received
        self._edge = max(self._edge, self._received)
        self._end_round(now)

    def on_retransmission(self, now: float) -> None:
        """A retransmission arrived: RLWND is halved, at most once in two round trips."""
        if self._next_halving is not None and now < self._next_halving:
            return
        srtt = self._controller.srtt
        self._next_halving = now + LEEWAY * (IDLE if srtt is None else srtt)
        self._controller.on_loss(lost=self._mss, will_retransmit=True, now=now)

    def window(self, fcwnd: int) -> int:
        """The octets to advertise now, a multiple of the scale's unit, given those that the buffer has room for.

        It is taken as advertised. It is never above `fcwnd`: should that have fallen by more than arrived, the edge
        moves all the same, as flow control then wants it.
        """
        unit = self._unit
        allowed = max(fcwnd, 0) // unit * unit
        # Rounded up: rounded down, the right edge would move left by less than a unit.
        promised = -(-self.credit // unit) * unit
        wanted = min(max(self.rlwnd, promised), allowed)
        self._edge = max(self._edge, self._received + wanted)
        return wanted

    def _end_round(self, now: float) -> None:
        """Once a round trip, see how much of the window the sender used."""
        srtt = self._controller.srtt
        if self._round_since is not None:
            if now - self._round_since < (IDLE if srtt is None else srtt):
                return
            limited = self._received + self._mss >= self._round_edge
            # A sender that reached the edge is limited by the window, however long the round took to see.
            self._used = MAX_CWND if limited else self._round_octets
        else:
            self._used = MAX_CWND
        self._round_since = now
        self._round_edge = self._edge
        self._round_octets = 0

    def _wake_up(self, now: float) -> None:
        """The sender was idle: what it was allowed and did not send is no flight, and the controller begins anew."""
        controller = self._controller
        controller.on_ack(acked=controller.flightsize, delays_us=(), rtt=None, now=now)
        self._round_since = None


class TimestampClock:
    """The clock of TCP's timestamps at the receiver, and the round-trip time by their echo (RFC 7323 section 4).

    `tick` is its tick in seconds. Raises ParameterError for one above 10 ms, in which a queue could not be seen.
    """

    __slots__ = ("_tick",)

    def __init__(self, tick: float = 0.001) -> None:
        if not 0 < tick <= MAX_TICK:
            raise ParameterError(f"timestamp tick is {tick} s; it must be above 0 and at most 0.01 s (RFC 9840)")
        self._tick = tick

    def value(self, now: float) -> int:
        """The TSval of a segment sent now, 32 bits."""
        return int(now / self._tick) & 0xFFFFFFFF

    def round_trip(self, tsecr: int, now: float) -> float | None:
        """Seconds since the segment whose TSval is echoed was sent; None for an echo from the future."""
        ticks = difference(self.value(now), tsecr)
        return ticks * self._tick if ticks >= 0 else None


class RetransmissionDetector:
    """Tells retransmissions by the order of sequence numbers and timestamps.

    Give it the segments with data that was not there before; one below the highest sequence number seen that carries a
    newer TSval than the segment there was sent later: it fills a hole that a loss has left, and is not merely late.
    """

    __slots__ = ("_highest", "_tsval")

    def __init__(self) -> None:
        self._highest: int | None = None
        self._tsval = 0

    def on_segment(self, sequence: int, tsval: int) -> bool:
        """Whether this segment is a retransmission; both numbers are 32 bits and wrap."""
        if self._highest is None or difference(sequence, self._highest) > 0:
            self._highest = sequence
            self._tsval = tsval
            return False
        return sequence != self._highest and difference(tsval, self._tsval) > 0
