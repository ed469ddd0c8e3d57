"""A base for one-way delays that survives clock drift: anchored by round-trip times."""

from ledbat.base_delay import BASE_HISTORY, BaseDelay


class AnchoredBase(BaseDelay):
    """The one-way delay of a path without a queue, by what round-trip times tell of it. This is ours, and in no RFC.

    A round-trip time is measured with one clock, so its excess over the smallest one is the queue on both ways, however
    the clocks of the two ends drift. When the excess is within `margin_us` microseconds there is no queue, and the
    one-way delay seen with it is the base. At any other time the queue on this way is at most the excess: a base below
    one-way delay - excess is out of date and is lifted to that. A smaller delay lowers the base at once. An anchor that
    is older than the history no longer counts: then the base is the minimum of the history, as in BaseDelay.
    """

    __slots__ = ("_anchor", "_anchored_at", "_before", "_excess_us", "_history", "_least", "_margin_us")

    def __init__(self, margin_us: int, history: int = BASE_HISTORY) -> None:
        super().__init__(history)
        self._history = history * 60.0
        self._margin_us = margin_us
        self._excess_us: int | None = None
        self._anchor: int | None = None
        self._anchored_at = 0.0
        # Of the samples of one acknowledgement the least counts, it had the shortest queue; and the anchor before it.
        self._least: int | None = None
        self._before: int | None = None

    def begin(self, excess_us: int | None) -> None:
        """The next samples belong to one acknowledgement, whose round-trip time exceeds the smallest one by so much."""
        self._excess_us = excess_us
        self._least = None
        self._before = self._anchor

    @property
    def minimum(self) -> int | None:
        """The base delay in microseconds; None before the first sample."""
        return super().minimum if self._anchor is None else self._anchor

    def update(self, delay_us: int, now: float) -> None:
        """Take one more sample."""
        super().update(delay_us, now)
        least = self._least = delay_us if self._least is None else min(self._least, delay_us)
        before, excess_us, margin_us = self._before, self._excess_us, self._margin_us
        if before is not None and now - self._anchored_at > self._history:
            before = self._before = None
        if excess_us is not None and excess_us <= margin_us:
            self._anchor = least
            self._anchored_at = now
        elif before is None:
            self._anchor = None
        elif excess_us is not None and least - excess_us > before + margin_us:
            self._anchor = least - excess_us
            self._anchored_at = now
        else:
            self._anchor = min(before, least)

    def clear(self) -> None:
        """Begin measurement anew."""
        super().clear()
        self._anchor = self._before = self._least = None
