"""TCP's NewReno window (RFC 5681, RFC 6582): a competitor for experiments, and what LEDBAT must never outdo."""

from collections.abc import Sequence

from ledbat.account import Account
from ledbat.errors import ParameterError, StateError
from ledbat.rfc6817 import MAX_CWND, MAX_MSS, PACING_GAIN, max_init_cwnd
from ledbat.rtt import MAX_RTO
from ledbat.snapshot import Snapshot

SLOW_START_PACING_GAIN = 2.0
"""How far the pacing rate is above cwnd / SRTT while the window doubles in a round trip."""


class NewReno:
    """One flow's window as TCP has it, with the verbs of `Ledbat`; delay samples are ignored.

    The arithmetic is that of slow start, congestion avoidance and recovery; which octets are lost, and when, is the
    transport's finding. During recovery what is lost is out of flight, so that new octets may be sent for those that
    have left the network, as the inflated window of RFC 5681 section 3.2 or the pipe of RFC 6675 allow. A bundled
    acknowledgement counts for its octets, as if each segment had been acknowledged.

    Raises ParameterError for a segment size that no TCP has. The verbs raise StateError for a negative number of octets
    and for more than MAX_CWND sent at once, and change nothing then.
    """

    __slots__ = ("_account", "_cwnd", "_init_cwnd", "_mss", "_ssthresh")

    def __init__(self, *, mss: int, max_cto: float = MAX_RTO) -> None:
        if not 1 <= mss <= MAX_MSS:
            raise ParameterError(f"MSS is {mss}; it must be from 1 to {MAX_MSS} octets")
        self._mss = mss
        self._account = Account(mss, max_cto)
        self._init_cwnd = float(max_init_cwnd(mss) * mss)
        self._cwnd = self._init_cwnd
        self._ssthresh = float(MAX_CWND)

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

    def on_ack(self, *, acked: int, delays_us: Sequence[int], rtt: float | None, now: float) -> None:
        """An acknowledgement of `acked` octets that no earlier one acknowledged; `rtt` is in seconds, or None (Karn).

        Slow start grows by the octets acknowledged, congestion avoidance by an SMSS for each window (RFC 5681 section
        3.1, equations 2 and 3); a window that the application does not fill does not grow (RFC 7661 section 4.3).
        """
        account = self._account
        acked = account.acknowledged(acked, rtt, self._cwnd, now)
        if not acked or not account.in_use(now):
            return
        if self._cwnd < self._ssthresh:
            self._cwnd = min(self._cwnd + acked, self._ssthresh)
        elif not account.recovering:
            self._cwnd = min(self._cwnd + self._mss * acked / self._cwnd, MAX_CWND)

    def on_loss(self, *, lost: int, will_retransmit: bool, now: float) -> None:
        """`lost` octets were found to be lost: "reduce by half", once a window (RFC 6582 section 3.2).

        Unless they are to be retransmitted, they are no longer in flight; sent again after all, they are new.
        """
        if lost < 0:
            raise StateError(f"on_loss: {lost} octets cannot have been lost")
        if lost:
            self._reduce()
            self._account.lost(lost, will_retransmit)

    def on_ecn(self, now: float) -> None:
        """An ECN mark came back: it counts as a loss (RFC 3168 section 6.1.2)."""
        self._reduce()

    def on_timeout(self, now: float) -> None:
        """The time that get_timer() gave has come; earlier or repeated calls do nothing.

        The window falls to one segment, the loss window (RFC 5681 section 3.1). What is in flight stays there.
        """
        if not self._account.timed_out(now):
            return
        # A timeout that follows another: "the value of ssthresh is held constant".
        if self._cwnd > self._mss:
            self._ssthresh = self._half()
        self._cwnd = float(self._mss)

    def get_timer(self) -> float | None:
        """When to call on_timeout: an RTO after the last new acknowledgement; None when nothing is in flight."""
        return self._account.flight.deadline

    def _half(self) -> float:
        """max(FlightSize / 2, 2 * SMSS) (RFC 5681 equation 4)."""
        return max(self.flightsize / 2, 2.0 * self._mss)

    def _reduce(self) -> None:
        if self._account.begins_episode():
            self._ssthresh = self._half()
            self._cwnd = min(self._cwnd, self._ssthresh)
