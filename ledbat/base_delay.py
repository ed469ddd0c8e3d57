"""The base delay: the least one-way delay of the last BASE_HISTORY minutes (RFC 6817 sections 2.4.2 and 3.1.1)."""

from collections import deque

from ledbat.errors import ParameterError

BASE_HISTORY = 10
"""Minutes of history: "BASE_HISTORY, SHOULD be 10" (section 2.5)."""

_MINUTE = 60.0


class BaseDelay:
    """The base_delays list: one minimum a minute, None standing for +INFINITY.

    Delays are integer microseconds. Minutes are those of the caller's clock. Raises ParameterError for a history below
    1.
    """

    __slots__ = ("_delays", "_minimum", "_minute")

    def __init__(self, history: int = BASE_HISTORY) -> None:
        if history < 1:
            raise ParameterError(f"BASE_HISTORY is {history}; it must be at least 1 minute (RFC 6817 section 2.5)")
        self._delays: deque[int | None] = deque([None] * history, maxlen=history)
        self._minute: float | None = None
        self._minimum: int | None = None

    @property
    def delays(self) -> tuple[int | None, ...]:
        """The minima, the oldest minute first; the last is that of the minute of the last sample."""
        return tuple(self._delays)

    @property
    def minimum(self) -> int | None:
        """MIN(base_delays), in microseconds; None while every minimum is +INFINITY."""
        return self._minimum

    def update(self, delay_us: int, now: float) -> None:
        """update_base_delay(): take one more sample."""
        minute = now // _MINUTE
        # A clock that goes back stays in the minute it was in.
        if self._minute is None or minute > self._minute:
            self._roll(minute)
        tail = self._delays[-1]
        if tail is None or delay_us < tail:
            self._delays[-1] = delay_us
            if self._minimum is None or delay_us < self._minimum:
                self._minimum = delay_us

    def _roll(self, minute: float) -> None:
        """Begin a new minute: "If the connection is idle for a given minute, [...] +INFINITY has to be stored"."""
        delays = self._delays
        history = len(delays)
        begun = history if self._minute is None else int(min(minute - self._minute, history))
        delays.extend([None] * begun)
        self._minute = minute
        self._minimum = min((delay for delay in delays if delay is not None), default=None)

    def clear(self) -> None:
        """Begin measurement anew, as after BASE_HISTORY idle minutes."""
        self._delays.extend([None] * len(self._delays))
        self._minute = None
        self._minimum = None
