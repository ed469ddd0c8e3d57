"""Spreads bursts over the round-trip time, so that their own serialisation does not look like a queue."""

MAX_BURST = 16
"""Packets that may leave together, off the loopback: what kernel offload gains has been gained by then."""
MIN_BURST = 2
"""Packets that may always leave together: fewer timers, and a receiver acknowledges every second packet."""
FAST_PATH = 0.002
"""Seconds of round-trip time below which nothing is paced: no timer is finer than such a path."""
GRAIN = 0.001
"""Seconds worth of sending that may leave together: event loops keep time to about a millisecond."""
GAIN = 1.25
"""How far the rate is above window / RTT when the controller does not name one."""


class Pacer:
    """A bucket of octets that fills at the pacing rate."""

    __slots__ = ("_at", "_burst", "_packet", "_rate", "_tokens", "due")

    due: float | None
    """When sending may go on; None while it may."""

    def __init__(self) -> None:
        self._tokens = 0.0
        self._at: float | None = None
        self._burst = 0
        self._packet = 0
        self._rate = 1.0
        self.due = None

    def allowance(self, rate: float | None, cwnd: int, srtt: float | None, packet: int, now: float) -> int | None:
        """Octets that may leave now, None for any number. `rate` is octets a second, `packet` a full payload."""
        self.due = None
        if srtt is None or srtt < FAST_PATH:
            self._at = None
            return None
        if not rate:
            rate = max(cwnd, packet) / srtt * GAIN
        self._rate = rate
        self._packet = packet
        self._burst = burst = max(MIN_BURST * packet, min(MAX_BURST * packet, cwnd // 4), int(rate * GRAIN))
        if self._at is None:
            self._tokens = burst
        else:
            self._tokens = min(burst, self._tokens + max(now - self._at, 0.0) * rate)
        self._at = now
        if self._tokens >= packet - 1:  # less one, since time is not exact
            return int(self._tokens) + 1
        self._wait()
        return 0

    def spent(self, octets: int) -> None:
        """So many octets left."""
        if self._at is not None:
            self._tokens -= octets
            if self._tokens < self._packet - 1:
                self._wait()

    def _wait(self) -> None:
        """Wait for a good part of the burst: datagrams that leave together cost less."""
        assert self._at is not None
        # A wait too short for the clock to show would never end.
        self.due = self._at + max((max(self._packet, self._burst // 2) - self._tokens) / self._rate, GRAIN / 10)
