"""The filters that RFC 6817 section 2.4.2 names for the current delay: NULL, EWMA and MIN."""

from collections import deque

from ledbat.errors import ParameterError

CURRENT_FILTER = 8
"""Samples that a filter looks at, unless told otherwise: twice the 4 that section 2.5 wants in each RTT, and few enough
that a rising queue is seen within 8 acknowledgements ("remains sensitive to persistent congestion signals", 2.4.2)."""

MAX_CURRENT_FILTER = 1024
"""The longest current_delays list allowed: every acknowledgement looks at all of it."""


def _checked(size: int) -> int:
    if not 1 <= size <= MAX_CURRENT_FILTER:
        raise ParameterError(f"CURRENT_FILTER is {size}; it must be from 1 to {MAX_CURRENT_FILTER} samples")
    return size


class MinFilter:
    """The least of the last `size` samples that are not older than an RTT (RFC 6817 sections 2.4.2 and 2.5).

    Raises ParameterError for a size outside 1 to MAX_CURRENT_FILTER.
    """

    __slots__ = ("_delays", "_times")

    def __init__(self, size: int = CURRENT_FILTER) -> None:
        self._delays: deque[int] = deque(maxlen=_checked(size))
        self._times: deque[float] = deque(maxlen=size)

    def add(self, delay_us: int, now: float) -> None:
        """Take one more sample."""
        self._delays.append(delay_us)
        self._times.append(now)

    def current(self, now: float, max_age: float) -> float | None:
        """The least delay among the samples of the last `max_age` seconds."""
        times = self._times
        oldest = now - max_age
        while times and times[0] < oldest:
            times.popleft()
            self._delays.popleft()
        return min(self._delays, default=None)

    def clear(self) -> None:
        """Forget every sample."""
        self._delays.clear()
        self._times.clear()


class EwmaFilter:
    """The exponentially weighted moving average of the last samples that are not older than an RTT.

    `weight` is what the newest sample counts for, above 0 and up to 1. The average starts anew at the oldest of the
    `size` samples kept, so that nothing older than an RTT has any weight. Raises ParameterError.
    """

    __slots__ = ("_samples", "_weight")

    def __init__(self, weight: float = 0.25, size: int = 4 * CURRENT_FILTER) -> None:
        if not 0 < weight <= 1:
            raise ParameterError(f"EWMA weight is {weight}; it must be above 0 and at most 1")
        self._weight = weight
        self._samples: deque[tuple[float, int]] = deque(maxlen=_checked(size))

    def add(self, delay_us: int, now: float) -> None:
        """Take one more sample."""
        self._samples.append((now, delay_us))

    def current(self, now: float, max_age: float) -> float | None:
        """The average over the samples of the last `max_age` seconds."""
        samples = self._samples
        oldest = now - max_age
        while samples and samples[0][0] < oldest:
            samples.popleft()
        if not samples:
            return None
        # The average is of the deviations from the first sample: the zero of a delay is arbitrary and may be far off.
        first = samples[0][1]
        average = 0.0
        for _, delay_us in samples:
            average += self._weight * (delay_us - first - average)
        return first + average

    def clear(self) -> None:
        """Forget every sample."""
        self._samples.clear()


class NullFilter:
    """No filter: the last sample, "a reasonable candidate as well" (RFC 6817 section 2.4.2)."""

    __slots__ = ("_delay", "_time")

    def __init__(self) -> None:
        self._delay: int | None = None
        self._time = 0.0

    def add(self, delay_us: int, now: float) -> None:
        """Take one more sample."""
        self._delay = delay_us
        self._time = now

    def current(self, now: float, max_age: float) -> float | None:
        """The last delay, unless it is older than `max_age` seconds."""
        return self._delay if now - self._time <= max_age else None

    def clear(self) -> None:
        """Forget the sample."""
        self._delay = None
