"""RFC 6817 with the slowdowns of LEDBAT++, which keep the base delay honest."""

from collections.abc import Sequence

from ledbat.ports import DelayFilter
from ledbat.rfc6817 import Ledbat
from ledbat.slowdown import Phase, Slowdowns


class SlowingLedbat(Ledbat):
    """`Ledbat` that now and then goes down to two segments for two round trips, then slow starts back.

    Alone on a link, a flow of RFC 6817 measures its base delay against its own queue once the history has expired, and
    then adds TARGET to that: every 10 minutes the queue is longer by TARGET. A slowdown empties the queue, so that the
    base delay is seen again (LEDBAT++ section 4.4). All else is RFC 6817, with its defaults.
    """

    __slots__ = ("_slowdowns",)

    def __init__(self, *, mss: int, delay_filter: DelayFilter | None = None) -> None:
        super().__init__(mss=mss, delay_filter=delay_filter)
        self._slowdowns = Slowdowns()

    def on_ack(self, *, acked: int, delays_us: Sequence[int], rtt: float | None, now: float) -> None:
        """As for Ledbat, with the slowdowns in between."""
        slowdowns, floor = self._slowdowns, self._min_cwnd
        srtt = self._rtt.rto if self._rtt.srtt is None else self._rtt.srtt
        if slowdowns.begins(now, srtt):
            self._ssthresh = max(self._cwnd, floor)
            self._slow_start = False
        elif slowdowns.thaws(now):
            self._slow_start = True
        super().on_ack(acked=acked, delays_us=delays_us, rtt=rtt, now=now)
        if slowdowns.phase is Phase.FROZEN:
            self._cwnd = floor
        self._follow(now, srtt)

    def on_loss(self, *, lost: int, will_retransmit: bool, now: float) -> None:
        """As for Ledbat; a loss in slow start ends it."""
        super().on_loss(lost=lost, will_retransmit=will_retransmit, now=now)
        self._follow(now, self._rtt.rto if self._rtt.srtt is None else self._rtt.srtt)

    def on_timeout(self, now: float) -> None:
        """As for Ledbat; the slowdowns begin anew."""
        before = self.cto
        super().on_timeout(now)
        if self.cto > before:
            self._slowdowns.clear()

    def _follow(self, now: float, srtt: float) -> None:
        """See whether a slow start has ended."""
        if self._slow_start:
            return
        if self._slowdowns.phase is Phase.OFF:
            self._slowdowns.schedule_first(now, srtt)
        elif self._slowdowns.phase is Phase.RAMP:
            self._slowdowns.end(now, cut_short=False)
