"""The search for the largest datagram that a path carries whole (RFC 7574 section 8.1, after RFC 4821 and RFC 8899).

A probe is a datagram of several DATA messages, longer than any that is known to arrive, and their ACKs confirm it.
Sizes are octets of UDP payload, so that nobody needs to know what goes before them; times are float seconds.
"""

import math

from ppsp._limits import BASE_DATAGRAM

MAX_PROBES = 3
"""Probes of one size that are lost before the size counts as too long (RFC 8899 section 5.1.2); likewise full datagrams
in a row before the path counts as a black hole."""
LONGEST = 36_864
"""Octets that are searched for, unless told otherwise: half a block of chunks of 1 KiB. Longer ones gain little."""
MIN_DATAGRAM = 548
"""The least that may be the limit: "PPSPP supports datagrams over IPv4 of 576 bytes or more only" (RFC 7574 section
8.1), headers included."""
RAISE_SECONDS = 600.0
"""After so long the search begins anew: the path may be another (PMTU_RAISE_TIMER, RFC 8899 section 5.1.1)."""
RETRY_SECONDS = 10.0
"""The same where longer datagrams arrived before nothing did: an outage is likelier than a path that narrow. It doubles
each time that this proves wrong, until a longer one arrives again."""
MAX_TIMEOUTS = 2
"""Congestion timeouts in a row after which nothing arrives whole, it seems: fragments may."""


class PathMtu:
    """The state of one path. Whoever sends asks `wanted`, and says what became of what it sent.

    It doubles the size until a probe is lost or `limit` is reached, then bisects until less than `step` is open, which
    is what one more chunk takes.
    """

    __slots__ = (
        "_arrived_at",
        "_base",
        "_limit",
        "_losses",
        "_lost_at",
        "_patience",
        "_probe",
        "_raise_at",
        "_step",
        "_suspect",
        "_too_long",
        "_tried",
        "_tries",
        "size",
        "whole",
    )

    def __init__(self, limit: int, step: int) -> None:
        self._base = min(BASE_DATAGRAM, limit)
        self._limit = limit
        self._step = step
        self.size = self._base
        """The longest datagram to send, apart from probes."""
        self.whole = True
        """Whether such a datagram arrives in one packet; False when even that seems too long for the path."""
        self._probe: int | None = None
        self._tries = 0
        # How long fragments are allowed the next time.
        self._patience = RAISE_SECONDS
        self._open_all()
        # Of long datagrams lost since the last one arrived: how many, and the shortest. When that one was sent, and the
        # last of the lost.
        self._losses = 0
        self._suspect = 0
        self._arrived_at = self._lost_at = -math.inf

    def _open_all(self) -> None:
        """Search the whole range again."""
        self._too_long = self._limit + 1
        self._tries = 0
        self._tried = self._too_long
        self._raise_at: float | None = None

    @property
    def waits(self) -> bool:
        """Whether a probe is on its way."""
        return self._probe is not None

    def wanted(self, now: float) -> int | None:
        """How long a probe may be that is sent now; None while none is wanted."""
        if self._probe is not None:
            return None
        if self._raise_at is not None and now >= self._raise_at:
            self._open_all()
            self.whole = True
        room = self._too_long - 1
        if room < self.size + self._step or not self.whole:
            if self._raise_at is None:
                self._raise_at = now + (RAISE_SECONDS if self.whole else self._patience)
                if not self.whole:
                    self._patience = min(2 * self._patience, RAISE_SECONDS)
            return None
        if self._tries:
            return max(self._tried, self.size + self._step)  # the same again
        if self._too_long > self._limit:
            return min(2 * self.size, room)
        return max((self.size + self._too_long) // 2, self.size + self._step)

    def probe_sent(self, size: int) -> bool:
        """A datagram of so many octets is about to leave; returns whether it is a probe, which is waited for.

        What is hardly longer than usual is none: it would be one more datagram to lose, for a few hashes.
        """
        if size < self.size + self._step // 2 or size >= self._too_long or self._probe is not None:
            return False
        self._probe = size
        return True

    def probe_arrived(self) -> None:
        """All that was in the probe is acknowledged."""
        if self._probe is not None:
            self.size = self._probe
            self._tried = self._too_long
            self._tries = 0
            self._patience = RETRY_SECONDS
        self._probe = None

    def probe_lost(self) -> None:
        """The probe is lost, and nothing else that was sent with it: it may have been too long."""
        if self._probe is None:
            return
        self._tries += 1
        self._tried = min(self._tried, self._probe)
        self._probe = None
        if self._tries >= MAX_PROBES:
            self._too_long = self._tried
            self._tries = 0

    def probe_void(self) -> None:
        """What became of the probe says nothing of its size."""
        self._probe = None

    def too_long(self, size: int) -> None:
        """The kernel says that no packet holds so many octets."""
        if size >= self._too_long:
            return
        self._too_long = max(size, 1)
        self._tries = 0
        self._tried = self._too_long
        self._raise_at = None
        if self._probe is not None and self._probe >= size:
            self._probe = None
        if size <= self.size:
            self.size = self._base
            self.whole = size > self._base

    def arrived(self, size: int, sent_at: float) -> None:
        """A datagram longer than the base arrived, which was sent at that time."""
        if size >= self._suspect:
            self._losses = self._suspect = 0
            self._arrived_at = max(self._arrived_at, sent_at)

    def lost(self, size: int, sent_at: float) -> None:
        """A datagram longer than the base was lost, which was sent at that time.

        What was sent before one that arrived was lost for another reason. After MAX_PROBES others in a row the path is
        taken for a black hole (RFC 8899 section 4.3); those of one burst count once, since a full queue drops many.
        """
        if sent_at <= self._arrived_at or size > self.size:
            return
        self._suspect = min(self._suspect or size, size)
        if sent_at > self._lost_at:
            self._lost_at = sent_at
            self._losses += 1
        if self._losses >= MAX_PROBES:
            self._fall_back()

    def timed_out(self, in_a_row: int) -> None:
        """Nothing that was in flight arrived in time, so many times in a row (RFC 4821 section 7.7)."""
        if self.whole:  # else it is no news
            self._fall_back()
            self.whole = in_a_row < MAX_TIMEOUTS

    def _fall_back(self) -> None:
        self.size = self._base
        self._probe = None
        self._losses = self._suspect = 0
        self._open_all()
