"""TCP's CUBIC window (RFC 9438): a competitor for experiments.

The text of RFC 9438 was not at hand; formulae and constants are written down from knowledge of the standard. HyStart++
(RFC 9406), which the RFC recommends for slow start, is left out.
"""

from collections.abc import Sequence

from ledbat.account import Account
from ledbat.errors import ParameterError, StateError
from ledbat.rfc6817 import MAX_CWND, MAX_MSS, PACING_GAIN, max_init_cwnd
from ledbat.rtt import MAX_RTO
from ledbat.snapshot import Snapshot

C = 0.4
"""How aggressively the window grows far from its last maximum, in segments per cubic second (section 5.1)."""
BETA = 0.7
"""What a loss multiplies the window by (section 4.6)."""
ALPHA = 3 * (1 - BETA) / (1 + BETA)
"""The growth of the Reno-friendly window, in segments per window acknowledged (section 4.3)."""
MAX_TARGET = 1.5
"""The target of a round trip is at most so many windows (section 4.2)."""
SLOW_START_PACING_GAIN = 2.0
"""How far the pacing rate is above cwnd / SRTT while the window doubles in a round trip."""


class Cubic:
    """One flow's window as CUBIC has it, with the verbs of `Ledbat`; delay samples are ignored.

    Slow start, losses and timeouts are seen as in `NewReno`. Names in the code are the RFC's: w_max, k, w_est.

    Raises ParameterError for a segment size that no TCP has. The verbs raise StateError for a negative number of octets
    and for more than MAX_CWND sent at once, and change nothing then.
    """

    __slots__ = (
        "_account",
        "_cwnd",
        "_cwnd_prior",
        "_epoch_start",
        "_init_cwnd",
        "_k",
        "_last_ack",
        "_mss",
        "_ssthresh",
        "_w_est",
        "_w_max",
    )

    def __init__(self, *, mss: int, max_cto: float = MAX_RTO) -> None:
        if not 1 <= mss <= MAX_MSS:
            raise ParameterError(f"MSS is {mss}; it must be from 1 to {MAX_MSS} octets")
        self._mss = mss
        self._account = Account(mss, max_cto)
        self._init_cwnd = float(max_init_cwnd(mss) * mss)
        self._cwnd = self._init_cwnd
        self._ssthresh = float(MAX_CWND)
        self._epoch_start: float | None = None  # when congestion avoidance began; None outside of it
        self._last_ack = 0.0
        self._k = 0.0
        self._w_max = 0.0  # this and the next in octets
        self._w_est = 0.0
        self._cwnd_prior = 0.0

    @property
    def cwnd(self) -> int:
        """Octets that may be in flight."""
        return int(self._cwnd)

    @property
    def ssthresh(self) -> int:
        """Octets at which slow start ends."""
        return int(self._ssthresh)

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
    def srtt(self) -> float | None:
        """The smoothed round-trip time in seconds, None before the first sample."""
        return self._account.rtt.srtt

    @property
    def cto(self) -> float:
        """The retransmission timeout in seconds, back-off included."""
        return self._account.rtt.rto

    @property
    def slow_start(self) -> bool:
        """Whether the window is growing by slow start."""
        return self._cwnd < self._ssthresh

    def snapshot(self) -> Snapshot:
        """The state, for logs."""
        return Snapshot(
            cwnd=self.cwnd,
            flightsize=self.flightsize,
            slow_start=self.slow_start,
            queuing_delay_us=None,
            base_delay_us=None,
            srtt=self.srtt,
            cto=self.cto,
            pacing_rate=self.pacing_rate,
        )

    def on_sent(self, *, sent: int, now: float) -> None:
        """`sent` octets went out that were not in flight before; after an idle time the window is the restart window.

        Octets reported lost with `will_retransmit` are still in flight: their retransmission is not reported here.
        """
        if self._account.sent(sent, now):
            self._cwnd = min(self._cwnd, self._init_cwnd)
            self._epoch_start = None

    def on_ack(self, *, acked: int, delays_us: Sequence[int], rtt: float | None, now: float) -> None:
        """An acknowledgement of `acked` octets that no earlier one acknowledged; `rtt` is seconds, or None (Karn)."""
        account = self._account
        acked = account.acknowledged(acked, rtt, self._cwnd, now)
        idle, self._last_ack = now - self._last_ack, now
        if not acked:
            return
        if not account.in_use(now):
            # The time in which the application limits the flow does not count (section 5.8).
            if self._epoch_start is not None:
                self._epoch_start += max(idle, 0.0)
        elif self._cwnd < self._ssthresh:
            self._cwnd = min(self._cwnd + acked, self._ssthresh)
        elif not account.recovering:
            self._avoid(acked, now)

    def on_loss(self, *, lost: int, will_retransmit: bool, now: float) -> None:
        """`lost` octets were found to be lost: the window falls to 0.7 of itself, once a round trip (section 4.6).

        Unless they are to be retransmitted, they are no longer in flight; sent again after all, they are new.
        """
        if lost < 0:
            raise StateError(f"on_loss: {lost} octets cannot have been lost")
        if lost:
            self._reduce()
            self._account.lost(lost, will_retransmit)

    def on_ecn(self, now: float) -> None:
        """An ECN mark came back: it counts as a loss (section 4.6)."""
        self._reduce()

    def on_timeout(self, now: float) -> None:
        """The time that get_timer() gave has come; earlier or repeated calls do nothing (section 4.8)."""
        if not self._account.timed_out(now):
            return
        if self._cwnd > self._mss:
            self._note_congestion()
        self._cwnd = float(self._mss)

    def get_timer(self) -> float | None:
        """When to call on_timeout: an RTO after the last new acknowledgement; None when nothing is in flight."""
        return self._account.flight.deadline

    def _avoid(self, acked: int, now: float) -> None:
        """Congestion avoidance: the cubic, or the window that Reno would have if that is larger (4.2 to 4.5)."""
        window, mss = self._cwnd, self._mss
        if self._epoch_start is None:
            self._begin_epoch(now)
        assert self._epoch_start is not None
        elapsed = now - self._epoch_start
        share = min(acked / window, 1.0)
        # Once it has reached the window before the reduction it grows as Reno's does (section 4.3).
        self._w_est = min(self._w_est + (ALPHA if self._w_est < self._cwnd_prior else 1.0) * mss * share, MAX_CWND)
        if self._w_cubic(elapsed) < self._w_est:
            window = max(window, self._w_est)
        else:
            target = min(max(self._w_cubic(elapsed + self._account.round_trip), window), MAX_TARGET * window)
            window += (target - window) * share
        self._cwnd = min(window, MAX_CWND)

    def _begin_epoch(self, now: float) -> None:
        self._epoch_start = now
        self._w_est = self._cwnd
        if self._cwnd < self._w_max:
            self._k = ((self._w_max - self._cwnd) / self._mss / C) ** (1 / 3)
        else:
            self._k = 0.0
            self._w_max = self._cwnd

    def _w_cubic(self, elapsed: float) -> float:
        """W_cubic(t) = C * (t - K)^3 + W_max, in octets (section 4.2)."""
        past_k = elapsed - self._k
        return C * past_k * past_k * past_k * self._mss + self._w_max

    def _note_congestion(self) -> None:
        window = self._cwnd
        # Fast convergence: a window that did not get back to its maximum has to share with a new flow (section 4.7).
        self._w_max = window * (1 + BETA) / 2 if window < self._w_max else window
        self._cwnd_prior = window
        self._ssthresh = max(self.flightsize * BETA, 2.0 * self._mss)
        self._epoch_start = None

    def _reduce(self) -> None:
        if self._account.begins_episode():
            self._note_congestion()
            self._cwnd = min(self._cwnd, self._ssthresh)
