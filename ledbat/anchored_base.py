"""A base for one-way delays that survives clock drift: anchored at the smallest round-trip times."""

from ledbat.base_delay import BASE_HISTORY, BaseDelay


class AnchoredBase(BaseDelay):
    """The one-way delay that went with the latest round trip without a queue; the minimum of BaseDelay before it.

    A round-trip time is measured with one clock. When it is within a margin of the smallest one there was no queue on
    either way, so the one-way delay seen with it is the base, whatever the clocks of the two ends have done since. From
    there on a smaller delay lowers the base. An anchor older than the history no longer counts. This is ours, and in no
    RFC.
    """

    __slots__ = ("_anchor", "_anchored_at", "_history", "_is_first")

    def __init__(self, history: int = BASE_HISTORY) -> None:
        super().__init__(history)
        self._history = history * 60.0
        self._anchor: int | None = None
        self._anchored_at = 0.0
        self._is_first = False

    def expect(self, *, is_empty_path: bool) -> None:
        """The next samples belong to one acknowledgement, whose round-trip time says that there is no queue, or not."""
        self._is_first = is_empty_path

    @property
    def minimum(self) -> int | None:
        """The base delay in microseconds; None before the first sample."""
        return super().minimum if self._anchor is None else self._anchor

    def update(self, delay_us: int, now: float) -> None:
        """Take one more sample."""
        super().update(delay_us, now)
        if self._is_first:
            self._anchor = delay_us
            self._anchored_at = now
            self._is_first = False
        elif self._anchor is not None:
            if now - self._anchored_at > self._history:
                self._anchor = None
            # Of the samples of one acknowledgement the least had the emptiest path.
            elif delay_us < self._anchor:
                self._anchor = delay_us

    def clear(self) -> None:
        """Begin measurement anew."""
        super().clear()
        self._anchor = None
