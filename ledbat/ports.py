"""What can be plugged into a controller."""

from typing import Protocol


class DelayFilter(Protocol):
    """FILTER() of RFC 6817 section 2.4.2 with its current_delays list.

    One object serves one flow. Delays are integer microseconds whose zero is arbitrary: only differences mean anything.
    """

    def add(self, delay_us: int, now: float) -> None:
        """update_current_delay(): one more delay sample, in the order in which the receiver generated them."""

    def current(self, now: float, max_age: float) -> float | None:
        """The estimate of the current delay, in microseconds; None when no sample is recent enough.

        "CURRENT_FILTER MUST be limited such that samples in the list are not older than an RTT in the past" (section
        2.5): a sample added before `now - max_age` must not count. `max_age` is the RTT in seconds, 0 while unknown.
        """

    def clear(self) -> None:
        """Forget every sample."""
