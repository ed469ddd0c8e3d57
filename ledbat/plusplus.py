"""LEDBAT++ (draft-irtf-iccrg-ledbat-plus-plus-01, whose sections are cited), on round-trip times or one-way delays."""

import math
from collections.abc import Sequence
from typing import Literal

from ledbat.account import Account
from ledbat.anchored_base import AnchoredBase
from ledbat.base_delay import BASE_HISTORY, BaseDelay
from ledbat.errors import ParameterError, StateError
from ledbat.filters import MinFilter
from ledbat.queuing_delay import QueuingDelay
from ledbat.rfc6817 import MAX_CWND, MAX_MSS, PACING_GAIN
from ledbat.rtt import MAX_RTO
from ledbat.slowdown import DEFERRAL, Phase, Slowdowns
from ledbat.snapshot import Snapshot

DelaySource = Literal["rtt", "owd"]

TARGET = 0.06
"""The target queueing delay in seconds (section 4.5)."""
MAX_GAIN_DIVISOR = 16
"""GAIN is never below 1/16 (section 4.2)."""
CONSTANT = 1.0
"""How strongly the window answers to a delay above the target (section 4.3)."""
SLOW_START_EXIT = 0.75
"""The share of TARGET at which the queueing delay ends the initial slow start (section 4.1)."""
MIN_CWND = 2
"""Packets in the first window, in a slowdown, and in the smallest window (sections 4.1 and 4.4)."""
CURRENT_FILTER = 4
"""The current delay is the smallest of so many samples, none of them older than a round trip."""
ANCHOR_US = 300
"""How near a round-trip time has to be to the smallest one, in microseconds, to show that no queue was there: five
times that let the base drift under competing flows, and a jitter of 5 ms still leaves enough such samples."""
SLOW_START_PACING_GAIN = 2.0
"""How far the pacing rate is above cwnd / SRTT while the window may double in a round trip."""

_MAX_RTT_US = float((1 << 31) - 1)  # a longer round trip could not be told from a negative one


class LedbatPlusPlus:
    """One flow's LEDBAT++ controller.

    The verbs and units are those of `Ledbat`. `delay_source="rtt"` is the draft: queueing delay is the round-trip time
    above its minimum, on either way. `"owd"` takes the one-way delays that acknowledgements bring, so that a queue on
    the way back does not count; their base is anchored at round-trip times within `anchor_us` microseconds of the
    smallest one, which makes clock drift harmless (ours, in no RFC). `anchor_us=None` leaves the base to the minimum of
    the history. `target` is in seconds, `base_history` in minutes.

    `defer_slowdowns` postpones the next slowdown by 30 s whenever the window is cut, as one large deployment does.

    Raises ParameterError for what the draft rules out. The verbs raise StateError for a negative number of octets and
    for more than MAX_CWND sent at once, and change nothing then.
    """

    __slots__ = (
        "_account",
        "_anchored",
        "_cwnd",
        "_delay",
        "_floor",
        "_gain",
        "_gain_base",
        "_mss",
        "_on_owd",
        "_rtt_base",
        "_slow_start",
        "_slowdowns",
        "_ssthresh",
        "_target_us",
        "_undo",
    )

    def __init__(
        self,
        *,
        mss: int,
        delay_source: DelaySource = "rtt",
        anchor_us: int | None = ANCHOR_US,
        target: float = TARGET,
        base_history: int = BASE_HISTORY,
        defer_slowdowns: bool = False,
        max_cto: float = MAX_RTO,
    ) -> None:
        _check(mss, delay_source, anchor_us, target)
        self._mss = mss
        self._on_owd = delay_source == "owd"
        self._target_us = target * 1e6
        self._floor = float(MIN_CWND * mss)
        self._account = Account(mss, max_cto)
        self._rtt_base = BaseDelay(base_history)
        self._anchored = AnchoredBase(anchor_us, base_history) if self._on_owd and anchor_us is not None else None
        base = self._rtt_base if not self._on_owd else self._anchored or BaseDelay(base_history)
        self._delay = QueuingDelay(MinFilter(CURRENT_FILTER), base)
        self._slowdowns = Slowdowns(DEFERRAL if defer_slowdowns else 0.0)
        self._gain = 1 / MAX_GAIN_DIVISOR
        self._gain_base: int | None = None
        self._cwnd = self._floor
        self._slow_start = True  # the initial one; a ramp is a phase of the slowdowns
        self._ssthresh = float(MAX_CWND)
        self._undo: tuple[float, float, bool] | None = None

    @property
    def cwnd(self) -> int:
        """Octets that may be in flight."""
        return int(self._cwnd)

    @property
    def flightsize(self) -> int:
        """Octets that are in flight."""
        return self._account.flight.flightsize

    @property
    def pacing_rate(self) -> float | None:
        """Octets a second at which to spread the sending, None before the first RTT sample (and for an RTT of 0)."""
        srtt = self._account.rtt.srtt
        return self._cwnd / srtt * (SLOW_START_PACING_GAIN if self.slow_start else PACING_GAIN) if srtt else None

    @property
    def queuing_delay_us(self) -> float | None:
        """The queueing delay in microseconds, None without a sample in the last round trip."""
        return self._delay.queuing_delay_us

    @property
    def base_delay_us(self) -> int | None:
        """The base of the delays in microseconds, None before the first sample."""
        return self._delay.base_delay_us

    @property
    def base_rtt_us(self) -> int | None:
        """The smallest round-trip time of the history in microseconds, None before the first sample."""
        return self._rtt_base.minimum

    @property
    def srtt(self) -> float | None:
        """The smoothed round-trip time in seconds, None before the first sample."""
        return self._account.rtt.srtt

    @property
    def cto(self) -> float:
        """The congestion timeout in seconds, back-off included."""
        return self._account.rtt.rto

    @property
    def gain(self) -> float:
        """GAIN = 1 / min(16, ceil(2 * TARGET / base)), base being the base round-trip time (section 4.2)."""
        return self._gain

    @property
    def slow_start(self) -> bool:
        """Whether the window is growing by slow start: the initial one, or that which ends a slowdown."""
        return self._slow_start or self._slowdowns.phase is Phase.RAMP

    @property
    def slowed_down(self) -> bool:
        """Whether a slowdown holds the window at two packets."""
        return self._slowdowns.phase is Phase.FROZEN

    def snapshot(self) -> Snapshot:
        """The state, for logs."""
        return Snapshot(
            cwnd=self.cwnd,
            flightsize=self.flightsize,
            slow_start=self.slow_start,
            queuing_delay_us=self.queuing_delay_us,
            base_delay_us=self.base_delay_us,
            srtt=self.srtt,
            cto=self.cto,
            pacing_rate=self.pacing_rate,
        )

    def on_sent(self, *, sent: int, now: float) -> None:
        """`sent` octets went out that were not in flight before; after an idle time the flow begins anew.

        Octets reported lost with `will_retransmit` are still in flight: their retransmission is not reported here.
        """
        if self._account.sent(sent, now) and self._cwnd > self._floor:
            self._restart(self._floor, self._cwnd)

    def on_ack(self, *, acked: int, delays_us: Sequence[int], rtt: float | None, now: float) -> None:
        """An acknowledgement of `acked` octets that no earlier one acknowledged, with its delay samples in order.

        `rtt` is a round-trip time measured with it, in seconds; None when data that was sent twice makes it ambiguous
        (Karn). Of more octets than are in flight, those in flight count.
        """
        account = self._account
        acked = account.acknowledged(acked, rtt, self._cwnd, now)
        queuing_delay = self._measure(delays_us, rtt, now)
        slowdowns = self._slowdowns
        if slowdowns.begins(now, account.round_trip):
            self._ssthresh = self._cwnd
            self._cwnd = min(self._cwnd, self._floor)
        # After a timeout the first acknowledgement lifts the one packet to the floor.
        self._cwnd = max(self._cwnd, self._floor)
        if slowdowns.phase is Phase.FROZEN and not slowdowns.thaws(now):
            return
        if queuing_delay is not None and acked:
            self._respond(acked, queuing_delay, account.in_use(now), now)

    def on_loss(self, *, lost: int, will_retransmit: bool, now: float) -> None:
        """`lost` octets were found to be lost: the window is halved, at most once per round trip (section 4.3).

        Unless they are to be retransmitted, they are no longer in flight; sent again after all, they are new.
        """
        if lost < 0:
            raise StateError(f"on_loss: {lost} octets cannot have been lost")
        if lost:
            self._reduce(now)
            self._account.lost(lost, will_retransmit)

    def on_ecn(self, now: float) -> None:
        """An ECN mark came back: it counts as a loss (RFC 6817 section 1.3)."""
        self._reduce(now)

    def on_timeout(self, now: float) -> None:
        """The time that get_timer() gave has come; earlier or repeated calls do nothing.

        The window falls to one packet, the timeout doubles, and the slowdowns are forgotten. What is in flight stays
        there: report what is given up with on_loss, after this call.
        """
        if not self._account.timed_out(now):
            return
        ssthresh = self._ssthresh
        # A timeout that follows another: "the value of ssthresh is held constant" (RFC 5681 section 3.1).
        if self._cwnd > self._mss:
            self._undo = (self._cwnd, ssthresh, self._slow_start)
            ssthresh = max(min(self._cwnd, float(self.flightsize)) / 2, self._floor)
        self._restart(float(self._mss), ssthresh)

    def undo_timeout(self, now: float) -> None:
        """The last timeout was spurious: the window is again what it was (RFC 4015 section 3.2), never smaller.

        The next slowdown comes as after a first slow start.
        """
        if self._undo is None:
            return
        cwnd, self._ssthresh, self._slow_start = self._undo
        self._undo = None
        self._cwnd = max(self._cwnd, cwnd)
        if not self._slow_start and self._slowdowns.phase is Phase.OFF:
            self._slowdowns.schedule_first(now, self._account.round_trip)

    def get_timer(self) -> float | None:
        """When to call on_timeout: a CTO after the last new acknowledgement; None when nothing is in flight."""
        return self._account.flight.deadline

    def _measure(self, delays_us: Sequence[int], rtt: float | None, now: float) -> float | None:
        """Take the samples of an acknowledgement; return the queueing delay in microseconds."""
        estimator = self._account.rtt
        srtt, latest = estimator.srtt, estimator.latest
        longest = None if srtt is None or latest is None else max(srtt, latest)
        rtt_us = None if rtt is None or not 0.0 <= rtt < math.inf else int(min(rtt * 1e6, _MAX_RTT_US))
        if not self._on_owd:
            samples: Sequence[int] = () if rtt_us is None else (rtt_us,)
            queuing_delay = self._delay.update(samples, now, srtt or 0.0, longest)
        else:
            if rtt_us is not None:
                self._rtt_base.update(rtt_us, now)
            if self._anchored is not None:
                smallest = self._rtt_base.minimum
                self._anchored.begin(None if rtt_us is None or smallest is None else rtt_us - smallest)
            queuing_delay = self._delay.update(delays_us, now, srtt or 0.0, longest)
        if self._rtt_base.minimum != self._gain_base:
            self._set_gain()
        return queuing_delay

    def _set_gain(self) -> None:
        base = self._gain_base = self._rtt_base.minimum
        divisor = MAX_GAIN_DIVISOR if not base or base < 0 else math.ceil(2 * self._target_us / base)
        self._gain = 1 / min(MAX_GAIN_DIVISOR, divisor)

    def _respond(self, acked: int, queuing_delay: float, in_use: bool, now: float) -> None:
        """The window's answer to the delay; it grows only if the flow used it."""
        if self._slow_start and queuing_delay > SLOW_START_EXIT * self._target_us:
            self._end_slow_start(now)
        if self.slow_start:
            if in_use:
                self._cwnd = min(self._cwnd + (self._gain if self._slow_start else 1.0) * acked, MAX_CWND)
            if self._cwnd >= self._ssthresh:
                self._cwnd = max(self._ssthresh, self._floor)
                self._end_slow_start(now)
        elif queuing_delay <= self._target_us:
            if in_use:
                self._cwnd = min(self._cwnd + self._gain * acked * self._mss / self._cwnd, MAX_CWND)
        else:
            self._decrease(acked, queuing_delay, in_use, now)

    def _decrease(self, acked: int, queuing_delay: float, in_use: bool, now: float) -> None:
        """Multiplicative decrease: max(GAIN - Constant * W * (delay / TARGET - 1), -W / 2) per RTT (section 4.3)."""
        window = self._cwnd
        change = self._gain * self._mss - CONSTANT * window * (queuing_delay / self._target_us - 1)
        if change < 0:
            self._slowdowns.defer(now)
        elif not in_use:
            return
        window += max(change, -window / 2) * min(acked / window, 1.0)
        self._cwnd = max(min(window, MAX_CWND), self._floor)

    def _end_slow_start(self, now: float, *, cut_short: bool = False) -> None:
        if self._slow_start:
            self._slow_start = False
            self._slowdowns.schedule_first(now, self._account.round_trip)
        else:
            self._slowdowns.end(now, cut_short=cut_short)

    def _reduce(self, now: float) -> None:
        if not self._account.begins_episode():
            return
        if self._slowdowns.phase is Phase.FROZEN:
            # The packets lost were sent before the slowdown: it is the window from then that was too large.
            self._ssthresh = max(self._ssthresh / 2, self._floor)
            return
        self._cwnd = min(self._cwnd, max(self._cwnd / 2, self._floor))
        if self.slow_start:
            self._end_slow_start(now, cut_short=True)
        self._slowdowns.defer(now)

    def _restart(self, cwnd: float, ssthresh: float) -> None:
        """Begin as at first: in slow start, with no slowdown before it has ended."""
        self._cwnd = cwnd
        self._ssthresh = ssthresh
        self._slow_start = True
        self._slowdowns.clear()


def _check(mss: int, delay_source: str, anchor_us: int | None, target: float) -> None:
    if not 1 <= mss <= MAX_MSS:
        raise ParameterError(f"MSS is {mss}; it must be from 1 to {MAX_MSS} octets")
    if delay_source not in ("rtt", "owd"):
        raise ParameterError(f'delay_source is {delay_source!r}; it must be "rtt" or "owd"')
    if anchor_us is not None and not 0 <= anchor_us <= TARGET * 1e6:
        raise ParameterError(f"anchor_us is {anchor_us}; it must be from 0 to {TARGET * 1e6:.0f}, or None")
    if not 0 < target <= TARGET:
        raise ParameterError(f"TARGET is {target} s; it must be above 0 and at most 0.06 s (LEDBAT++ section 4.5)")
