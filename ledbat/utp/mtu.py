"""Path-MTU discovery in the manner of RFC 8899: data packets, padded, find out what the path carries.

A probe carries an ordinary payload, and extension bits as padding. uTP "cannot repackage data when resending it", but
the padding is not data: a probe that is lost is sent again without it, and its loss says nothing about congestion.
"""

from ledbat.utp.packet import EXTENSION_BITS, HEADER_SIZE

MIN_DATAGRAM = 548
"""Octets of UDP payload in a 576-octet IPv4 packet, which every host takes (RFC 1122 section 3.3.2)."""
MAX_DATAGRAM = 1472
"""Octets of UDP payload in a 1500-octet IPv4 packet; over IPv6 it is 1452."""
CLOSE_ENOUGH = 16
"""Octets between what works and what does not at which the search ends."""
TRIES = 2
"""Probes of one size that are lost before it counts as too large: one may be lost for another reason."""
SEARCH_AGAIN = 1800.0
"""Seconds until a larger size is tried again: paths change."""
BLACK_HOLE = 3
"""Timeouts in a row after which the path may have come to carry less than it did."""
_PADDING_UNIT = 10


class MtuSearch:
    """The largest datagram that is known to arrive, and the next size to try. Sizes are octets of UDP payload."""

    __slots__ = ("_again", "_ceiling", "_floor", "_high", "_size", "_tries", "datagram", "probe_seq")

    datagram: int
    """What may be sent without a doubt."""
    probe_seq: int | None
    """The sequence number of the probe that is on its way."""

    def __init__(self, floor: int = MIN_DATAGRAM, ceiling: int = MAX_DATAGRAM) -> None:
        self._floor = min(floor, ceiling)
        self._ceiling = ceiling
        self.datagram = self._floor
        self.probe_seq = None
        self._again: float | None = None  # when to search again; None while searching
        self._restart()

    def _restart(self) -> None:
        self._high = self._ceiling  # nothing larger is worth a try
        self._size = self._ceiling  # optimism: most paths carry what their first link carries
        self._tries = 0

    @property
    def payload(self) -> int:
        """Octets of payload in an ordinary full packet."""
        return self.datagram - HEADER_SIZE

    def probe_size(self, now: float) -> int | None:
        """The size of the probe to send now, None for none."""
        if self.probe_seq is not None:
            return None
        if self._again is not None:
            if now < self._again:
                return None
            self._again = None
            self._restart()
        if self._high - self.datagram < CLOSE_ENOUGH:
            self._again = now + SEARCH_AGAIN
            return None
        return self._size

    def probe_acked(self) -> None:
        """The probe arrived."""
        self.probe_seq = None
        self.datagram = max(self.datagram, self._size)
        self._next()

    def probe_lost(self) -> None:
        """The probe was lost."""
        self.probe_seq = None
        self._tries += 1
        if self._tries >= TRIES:
            self._high = self._size - 1
            self._next()

    def _next(self) -> None:
        self._tries = 0
        self._size = (self.datagram + self._high + 1) // 2

    def too_large(self, datagram: int, now: float) -> None:
        """The network said so (an ICMP message): no datagram above `datagram` octets gets through."""
        self._high = min(self._high, max(datagram, self._floor))
        self._size = self._high
        self._tries = 0
        self._again = None
        if self.datagram > self._high:
            self.datagram = self._high
            self._again = now + SEARCH_AGAIN

    def black_hole(self, now: float) -> None:
        """Nothing arrives any more: fall back to what every path carries, and search anew."""
        if self.datagram > self._floor:
            self.datagram = self._floor
            self._again = None
            self._restart()


def padding(octets: int) -> tuple[int, bytes]:
    """How many octets of payload a probe must do without, and extensions that, with those, add up to `octets`.

    The extensions are of type 2, which every implementation reads or skips, and the first in the chain must be known
    to libutp.
    """
    units = -(-octets // _PADDING_UNIT)
    if units == 0:
        return 0, b""
    unit = bytes((EXTENSION_BITS, 8, 0, 0, 0, 0, 0, 0, 0, 0))
    return units * _PADDING_UNIT - octets, unit * (units - 1) + b"\0" + unit[1:]
