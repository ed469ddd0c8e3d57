"""From delay samples to the queueing delay (RFC 6817 sections 2.4.2 and 3.1)."""

from collections.abc import Sequence

from ledbat.base_delay import BaseDelay
from ledbat.ports import DelayFilter

_MASK = (1 << 32) - 1
_HALF = 1 << 31

MAX_STEP_US = 10_000_000
"""Two samples in a row that differ by more than this (10 s), and by more than the RTT, were not made by one queue and
one pair of clocks: the sample is noise, or a clock was set. Smaller steps are left to the base delay history."""


def difference(a: int, b: int) -> int:
    """a - b modulo 2^32, as the number nearest to zero: what two samples of wrapping 32-bit clocks tell."""
    return ((a - b + _HALF) & _MASK) - _HALF


class QueuingDelay:
    """FILTER(current_delays) - MIN(base_delays) of one flow.

    Samples are integers modulo 2^32 (a wider field is reduced). Clock offset cancels out (RFC 6817 appendix A.1).
    """

    __slots__ = ("_base", "_filter", "_last", "_stray", "_value")

    def __init__(self, delay_filter: DelayFilter, base: BaseDelay) -> None:
        self._filter = delay_filter
        self._base = base
        self._last: int | None = None  # the last sample taken, unwrapped: from here on delays are plain integers
        self._stray: int | None = None  # a sample that does not fit the one before it, until the next one decides
        self._value: float | None = None

    @property
    def queuing_delay_us(self) -> float | None:
        """The estimate of the last update, in microseconds, from 0 to the RTT; None without a recent sample."""
        return self._value

    @property
    def base_delay_us(self) -> int | None:
        """MIN(base_delays) as a signed 32-bit number: its zero is the offset of the two clocks."""
        minimum = self._base.minimum
        return None if minimum is None else difference(minimum, 0)

    def update(self, delays_us: Sequence[int], now: float, max_age: float, rtt: float | None) -> float | None:
        """Take the samples of one acknowledgement, in the order generated; return the queueing delay.

        A sample older than `max_age` seconds no longer counts. No queue is longer than the round trip, so `rtt`
        seconds, when known, is the most that is returned.
        """
        base, current_delays = self._base, self._filter
        for sample in delays_us:
            last = self._last
            if last is None:
                delay = difference(sample, 0)
            else:
                delay = last + ((sample - last + _HALF) & _MASK) - _HALF
                if not -MAX_STEP_US <= delay - last <= MAX_STEP_US and self._is_stray(delay, last, rtt):
                    continue
                self._stray = None
            self._last = delay
            base.update(delay, now)
            current_delays.add(delay, now)
        current, minimum = current_delays.current(now, max_age), base.minimum
        if current is None or minimum is None:
            self._value = None
            return None
        queuing_delay = current - minimum
        # "the queueing delay estimate is non-negative" (4.2), even when the base has just been measured anew.
        if queuing_delay < 0:
            queuing_delay = 0
        elif rtt is not None and queuing_delay > rtt * 1e6:
            queuing_delay = rtt * 1e6
        self._value = queuing_delay
        return queuing_delay

    def _is_stray(self, delay: int, last: int, rtt: float | None) -> bool:
        """Judge a sample far from the one before: ignored once; if the next agrees with it, a clock was set."""
        limit = MAX_STEP_US if rtt is None else max(MAX_STEP_US, rtt * 1e6)
        if abs(delay - last) <= limit:
            return False
        stray = self._stray
        if stray is None or abs(difference(delay, stray)) > limit:
            self._stray = delay
            return True
        self._base.clear()
        self._filter.clear()
        return False
