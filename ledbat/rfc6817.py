"""The LEDBAT controller as RFC 6817 defines it."""

import math
from collections.abc import Sequence
from typing import Literal

from ledbat.base_delay import BASE_HISTORY, BaseDelay
from ledbat.errors import ParameterError, StateError
from ledbat.filters import MinFilter
from ledbat.flight import Flight
from ledbat.ports import DelayFilter
from ledbat.queuing_delay import QueuingDelay
from ledbat.rtt import MAX_RTO, RttEstimator
from ledbat.snapshot import Snapshot

SlowStart = Literal["off", "rfc5681"]

TARGET = 0.1
"""The most queueing delay that a flow adds, in seconds: "TARGET MUST be 100 milliseconds or less" (section 2.5)."""
GAIN = 1.0
"""How fast the window follows the delay: "GAIN MUST be set to 1 or less" (section 2.5)."""
ALLOWED_INCREASE = 1.0
"""Segments that the window may exceed flightsize by: it "SHOULD be 1, and it MUST be greater than 0" (section 2.5)."""
INIT_CWND = 2
"""Segments in the first window (section 2.5: SHOULD be 2)."""
MIN_CWND = 2
"""Segments in the smallest window (section 2.5: SHOULD be 2)."""
MAX_MIN_CWND = 2
"""The corresponding value of TCP: ssthresh is never below 2 * SMSS (RFC 5681 equation 4)."""
MAX_MSS = 65535
"""Octets in the longest segment: neither a TCP nor a UDP header can say more."""
MAX_CWND = 1 << 30
"""Octets in the longest window: TCP can have no longer one (RFC 7323 section 2.3)."""
SLOW_START_EXIT = 0.5
"""The share of TARGET at which the queueing delay ends slow start. The queue grows for another RTT until the sender
sees it: to some 1.6 times TARGET; 3/4 would make that twice, and 1/4 ends it early on a bursty path (README.md)."""
PACING_GAIN = 1.25
"""How far the pacing rate is above cwnd / SRTT, so that pacing never is what limits the flow."""
BATCH = 0.001
"""Seconds in which acknowledgements are one batch: between them the sender had no chance to fill the window again."""


def max_init_cwnd(mss: int) -> int:
    """The segments in TCP's initial window for an MSS of so many octets (RFC 5681 section 3.1)."""
    if mss > 2190:
        return 2
    return 3 if mss > 1095 else 4


class Ledbat:
    """One flow's congestion controller (RFC 6817).

    Times are float seconds on any monotonic clock, sizes octets, one-way delays integer microseconds modulo 2^32 with
    an arbitrary zero (negative and 64-bit ones are reduced). The parameters are those of section 2.5; `target` and
    `max_cto` are in seconds, the windows in segments of `mss` octets. `decrease_gain` (as `gain` unless given) is used
    above TARGET. `delay_filter` is FILTER(), a MinFilter unless given; it belongs to this flow alone.

    `slow_start="rfc5681"` begins, and comes back after a congestion timeout or an idle time, with the slow start that
    section 2.2 allows, ended by the queueing delay at half of TARGET, by a loss or at ssthresh; `"off"` is section
    2.4.2 to the letter.

    Raises ParameterError for every value that the RFC forbids. The verbs raise StateError for a negative number of
    octets and for more than MAX_CWND sent at once, and change nothing then.
    """

    __slots__ = (
        "_ack_flight",
        "_ack_growth",
        "_ack_time",
        "_allowed_increase",
        "_cwnd",
        "_decrease_gain",
        "_delay",
        "_flight",
        "_gain",
        "_init_cwnd",
        "_last_sent",
        "_min_cwnd",
        "_mss",
        "_next_reduction",
        "_rtt",
        "_slow_start",
        "_slow_start_allowed",
        "_ssthresh",
        "_target_us",
    )

    def __init__(
        self,
        *,
        mss: int,
        target: float = TARGET,
        gain: float = GAIN,
        decrease_gain: float | None = None,
        allowed_increase: float = ALLOWED_INCREASE,
        init_cwnd: int = INIT_CWND,
        min_cwnd: int = MIN_CWND,
        base_history: int = BASE_HISTORY,
        delay_filter: DelayFilter | None = None,
        slow_start: SlowStart = "rfc5681",
        max_cto: float = MAX_RTO,
    ) -> None:
        _check_windows(mss, init_cwnd, min_cwnd)
        _check_response(target, gain, decrease_gain, allowed_increase, slow_start)
        self._mss = mss
        self._target_us = target * 1e6
        self._gain = gain
        self._decrease_gain = gain if decrease_gain is None else decrease_gain
        self._allowed_increase = allowed_increase * mss
        self._init_cwnd = float(init_cwnd * mss)
        self._min_cwnd = float(min_cwnd * mss)
        self._delay = QueuingDelay(MinFilter() if delay_filter is None else delay_filter, BaseDelay(base_history))
        self._rtt = RttEstimator(max_cto)
        self._flight = Flight()
        self._cwnd = self._init_cwnd  # a float, so that no growth is lost to rounding
        self._slow_start_allowed = slow_start == "rfc5681"
        self._slow_start = self._slow_start_allowed
        self._ssthresh = float(MAX_CWND)
        self._ack_time = 0.0
        self._ack_flight = 0  # flightsize before the batch of acknowledgements
        self._ack_growth = 0  # the octets by which slow start grew in it: it may exceed ALLOWED_INCREASE
        self._last_sent = math.inf
        self._next_reduction: float | None = None

    @property
    def cwnd(self) -> int:
        """Octets that may be in flight."""
        return int(self._cwnd)

    @property
    def flightsize(self) -> int:
        """Octets that are in flight."""
        return self._flight.flightsize

    @property
    def pacing_rate(self) -> float | None:
        """Octets a second at which to spread the sending, None before the first RTT sample (and for an RTT of 0)."""
        srtt = self._rtt.srtt
        return self._cwnd / srtt * PACING_GAIN if srtt else None

    @property
    def queuing_delay_us(self) -> float | None:
        """The queueing delay in microseconds, None without a sample in the last RTT."""
        return self._delay.queuing_delay_us

    @property
    def base_delay_us(self) -> int | None:
        """The base delay in microseconds as a signed 32-bit number, None before the first sample."""
        return self._delay.base_delay_us

    @property
    def srtt(self) -> float | None:
        """The smoothed round-trip time in seconds, None before the first sample."""
        return self._rtt.srtt

    @property
    def cto(self) -> float:
        """The congestion timeout in seconds, back-off included."""
        return self._rtt.rto

    @property
    def slow_start(self) -> bool:
        """Whether the window is growing by slow start."""
        return self._slow_start

    def snapshot(self) -> Snapshot:
        """The state, for logs."""
        return Snapshot(
            cwnd=self.cwnd,
            flightsize=self.flightsize,
            slow_start=self._slow_start,
            queuing_delay_us=self.queuing_delay_us,
            base_delay_us=self.base_delay_us,
            srtt=self.srtt,
            cto=self.cto,
            pacing_rate=self.pacing_rate,
        )

    def on_sent(self, *, sent: int, now: float) -> None:
        """`sent` octets went out that were not in flight before.

        Octets reported lost with `will_retransmit` are still in flight: their retransmission is not reported here.
        """
        if not 0 <= sent <= MAX_CWND:
            raise StateError(f"on_sent: {sent} octets cannot have been sent")
        flight = self._flight
        if self._slow_start_allowed:
            if not flight.flightsize and now - self._last_sent > self._rtt.rto:
                self._restart()
            self._last_sent = now
        flight.sent(sent, now, self._rtt.rto)

    def on_ack(self, *, acked: int, delays_us: Sequence[int], rtt: float | None, now: float) -> None:
        """An acknowledgement of `acked` octets that no earlier one acknowledged, with its delay samples in order.

        `rtt` is a round-trip time measured with it, in seconds; None when data that was sent twice makes it ambiguous
        (Karn). The window changes once, however many samples there are. Of more octets than are in flight, those in
        flight count. The flightsize that limits the window is the one before this acknowledgement, or before the first
        of its batch: a sender that takes in for longer than BATCH before it sends again should make one call of it.
        """
        if acked < 0:
            raise StateError(f"on_ack: {acked} octets cannot have been acknowledged")
        flight, estimator = self._flight, self._rtt
        flightsize = flight.flightsize
        if flightsize >= self._ack_flight or not 0.0 <= now - self._ack_time <= BATCH:
            self._ack_time = now
            self._ack_flight = flightsize
            self._ack_growth = 0
        if acked > flightsize:
            acked = flightsize
        if rtt is not None:
            estimator.update(rtt)
        srtt, latest = estimator.srtt, estimator.latest
        if srtt is None or latest is None:
            queuing_delay = self._delay.update(delays_us, now, 0.0, None)
        else:
            queuing_delay = self._delay.update(delays_us, now, srtt, latest if latest > srtt else srtt)
        if queuing_delay is not None:
            if self._slow_start:
                self._grow(acked, queuing_delay)
            else:
                off_target = (self._target_us - queuing_delay) / self._target_us
                gain = self._gain if off_target > 0 else self._decrease_gain
                self._cwnd += gain * off_target * acked * self._mss / self._cwnd
        max_allowed_cwnd = self._ack_flight + max(self._allowed_increase, self._ack_growth)
        self._cwnd = max(min(self._cwnd, max_allowed_cwnd, MAX_CWND), self._min_cwnd)
        if acked:
            flight.acknowledged(acked, now, estimator.rto)

    def on_loss(self, *, lost: int, will_retransmit: bool, now: float) -> None:
        """`lost` octets were found to be lost: the window is halved, at most once per RTT (section 2.4.2).

        Unless they are to be retransmitted, they are no longer in flight; sent again after all, they are new.
        """
        if lost < 0:
            raise StateError(f"on_loss: {lost} octets cannot have been lost")
        if not lost:
            return
        self._reduce(now)
        if not will_retransmit:
            self._flight.written_off(min(lost, self._flight.flightsize))

    def on_ecn(self, now: float) -> None:
        """An ECN mark came back: "LEDBAT should react to [it] as it would to a loss" (section 1.3)."""
        self._reduce(now)

    def on_timeout(self, now: float) -> None:
        """The time that get_timer() gave has come; earlier or repeated calls do nothing.

        The window falls to one segment and the timeout doubles (section 2.4.2). What is in flight stays there: report
        what is given up with on_loss, after this call.
        """
        flight = self._flight
        if flight.deadline is None or now < flight.deadline:
            return
        # A timeout that follows another: "the value of ssthresh is held constant" (RFC 5681 section 3.1).
        if self._cwnd > self._mss:
            self._ssthresh = max(min(self._cwnd, float(flight.flightsize)) / 2, 2.0 * self._mss)
        self._slow_start = self._slow_start_allowed
        self._cwnd = float(self._mss)
        self._rtt.back_off()
        flight.deadline = now + self._rtt.rto

    def get_timer(self) -> float | None:
        """When to call on_timeout: a CTO after the last new acknowledgement; None when nothing is in flight."""
        return self._flight.deadline

    def _grow(self, acked: int, queuing_delay: float) -> None:
        """Slow start, or its end.

        RFC 5681 grows by an SMSS an acknowledgement. A bundled one stands for several (RFC 6817 section 2.3), so the
        octets are counted: at most a doubling per RTT, as for a TCP whose segments are each acknowledged.
        """
        if queuing_delay > SLOW_START_EXIT * self._target_us:
            self._slow_start = False
            # The delay is that of the window of an RTT ago, half of this one: go back to it.
            self._cwnd = max(self._cwnd / 2, self._min_cwnd)
        elif self._cwnd + acked < self._ssthresh:
            self._cwnd += acked
            self._ack_growth += acked
        else:
            self._slow_start = False
            self._cwnd = max(self._cwnd, self._ssthresh)

    def _reduce(self, now: float) -> None:
        if self._next_reduction is not None and now < self._next_reduction:
            return
        srtt = self._rtt.srtt
        self._next_reduction = now + (self._rtt.rto if srtt is None else srtt)
        reduced = max(self._cwnd / 2, self._min_cwnd)
        if reduced < self._cwnd:
            self._cwnd = reduced
            self._slow_start = False

    def _restart(self) -> None:
        """Nothing was sent for longer than a CTO: begin again as TCP does (RFC 5681 section 4.1)."""
        if self._cwnd > self._init_cwnd:
            self._ssthresh = self._cwnd
            self._slow_start = self._slow_start_allowed
            self._cwnd = self._init_cwnd


def _check_windows(mss: int, init_cwnd: int, min_cwnd: int) -> None:
    if not 1 <= mss <= MAX_MSS:
        raise ParameterError(f"MSS is {mss}; it must be from 1 to {MAX_MSS} octets (RFC 6817 section 2.2)")
    allowed = max_init_cwnd(mss)
    if not 1 <= init_cwnd <= allowed:
        raise ParameterError(
            f"INIT_CWND is {init_cwnd}; with an MSS of {mss} it must be from 1 to {allowed} segments, no larger than "
            "TCP's (RFC 6817 section 2.5, RFC 5681 section 3.1)"
        )
    if not 1 <= min_cwnd <= MAX_MIN_CWND:
        raise ParameterError(
            f"MIN_CWND is {min_cwnd}; it must be 1 or {MAX_MIN_CWND} segments, no larger than TCP's "
            "(RFC 6817 section 2.5, RFC 5681 section 3.1)"
        )


def _check_response(
    target: float, gain: float, decrease_gain: float | None, allowed_increase: float, slow_start: str
) -> None:
    if not 0 < target <= TARGET:
        raise ParameterError(f"TARGET is {target} s; it must be above 0 and at most 0.1 s (RFC 6817 section 2.5)")
    if not 0 < gain <= GAIN:
        raise ParameterError(f"GAIN is {gain}; it must be above 0 and at most 1 (RFC 6817 section 2.5)")
    if decrease_gain is not None and not gain <= decrease_gain < math.inf:
        raise ParameterError(
            f"the GAIN for decrease is {decrease_gain}; it must be at least the GAIN of {gain} (RFC 6817 section 2.5)"
        )
    if not 0 < allowed_increase < math.inf:
        raise ParameterError(f"ALLOWED_INCREASE is {allowed_increase}; it must be above 0 (RFC 6817 section 2.5)")
    if slow_start not in ("off", "rfc5681"):
        raise ParameterError(f'slow_start is {slow_start!r}; it must be "off" or "rfc5681" (RFC 6817 section 2.2)')
