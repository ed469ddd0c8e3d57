"""Limits of octets a second."""

# What a limited side may save up: long enough for bursts that offload can use, short enough not to show.
_BUCKET_SECONDS = 0.05
# A clock that has run for long does not tell two shorter moments apart.
_LEAST_WAIT_SECONDS = 0.001


class TokenBucket:
    """A limit that all swarms of an endpoint share; `rate` None is no limit. Times are float seconds.

    What is spent beyond the tokens is a debt, so that whole blocks can be asked for. `due` says when somebody who was
    refused may try again; None when nobody was.
    """

    __slots__ = ("_at", "_rate", "_tokens", "due")

    def __init__(self, rate: float | None) -> None:
        """ValueError unless the rate, in octets a second, is positive."""
        self.set_rate(rate)

    def set_rate(self, rate: float | None) -> None:
        """Take another rate, with a full bucket. ValueError, and nothing changed, unless it is positive."""
        if rate is not None and not rate > 0:
            raise ValueError(f"a rate of {rate} octets a second would let nothing through")
        self._rate = rate
        self._tokens = 0.0
        self._at: float | None = None
        self.due: float | None = None

    def chunks(self, chunk_size: int, now: float, *, in_turn: bool = False) -> int | None:
        """How many chunks there are tokens for; None where there is no limit.

        With `in_turn` there are none before `due`: who is often here would come first every time.
        """
        rate = self._rate
        if rate is None:
            return None
        if in_turn and self.due is not None and now < self.due:
            return 0
        bucket = max(rate * _BUCKET_SECONDS, chunk_size)
        self._tokens = bucket if self._at is None else min(bucket, self._tokens + (now - self._at) * rate)
        self._at = now
        self.due = None
        share = int(self._tokens // chunk_size)
        if share < 1:
            # Wait for a good part of the bucket: datagrams that leave together cost less.
            wait = (max(bucket / 4, chunk_size) - self._tokens) / rate
            self.due = now + max(wait, _LEAST_WAIT_SECONDS)
            return 0
        return share

    def comes_due(self, now: float) -> bool:
        """Whether somebody was refused, and may try again; said once, as perhaps nobody wants anything any more."""
        if self.due is None or now < self.due:
            return False
        self.due = None
        return True

    def spend(self, octets: int) -> None:
        """So many octets go through; a negative number comes back, since it did not after all."""
        self._tokens -= octets
