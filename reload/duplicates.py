"""Messages that a datagram link brings twice (RFC 6940 sections 6.6.2 and 6.6.3.1)."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import attrs

from reload.framing import WINDOW, DataFrame

TRANSMISSIONS = 5
"""How often a message is sent at most."""
TOLERANCE = 1.25
"""How much later than by its timer a retransmission may come: delays vary."""
SEQUENCES = 1 << 32


@attrs.define
class _Seen:
    """When and with what number a message came first, and how many transmissions were missing before it."""

    sequence: int
    at: float
    missing: int


class Duplicates:
    """Tells what a link has brought already, by its number, or by its octets where a retransmission has another number.

    The octets alone do not tell: who has sent a request sends the same ones again after overlay-reliability-timer, and
    that must pass. A retransmission of the link comes within `rto`, doubled each time, and no other message comes
    between. What is not like that is taken for new, which does no harm, as requests are recognized end to end.
    """

    def __init__(self) -> None:
        self._numbers: OrderedDict[int, bytes] = OrderedDict()
        self._seen: OrderedDict[bytes, _Seen] = OrderedDict()
        self._newest = SEQUENCES - 1

    def is_new(self, frame: DataFrame, rto: float, now: float) -> bool:
        """Whether to deliver it; `rto` is the peer's timeout, in seconds."""
        if frame.sequence in self._numbers:
            return False
        digest = hashlib.blake2b(frame.message, digest_size=16).digest()
        self._numbers[frame.sequence] = digest
        if len(self._numbers) > WINDOW:
            self._numbers.popitem(last=False)
        ahead = _signed(frame.sequence - self._newest)
        if ahead > 0:
            self._newest = frame.sequence
        seen = self._seen.get(digest)
        if seen is not None and _repeats(seen, frame.sequence, rto, now) and not self._has_others(seen, frame, digest):
            return False
        self._seen[digest] = _Seen(frame.sequence, now, max(ahead - 1, 0))
        self._seen.move_to_end(digest)
        if len(self._seen) > WINDOW:
            self._seen.popitem(last=False)
        return True

    def _has_others(self, seen: _Seen, frame: DataFrame, digest: bytes) -> bool:
        """Whether another message came between: a sender has one at a time, and transmits it in a row."""
        between = range(1, _signed(frame.sequence - seen.sequence))
        return any(self._numbers.get((seen.sequence + step) % SEQUENCES, digest) != digest for step in between)


def _repeats(seen: _Seen, sequence: int, rto: float, now: float) -> bool:
    """Whether this is another transmission of a message that was seen."""
    later = _signed(sequence - seen.sequence)
    if later < 0:
        return True
    if later >= TRANSMISSIONS:
        return False
    # The one that came first may have been a retransmission itself, as far as numbers before it are missing: the time
    # between transmissions number i and j of a message is the timeout by 2**j - 2**i.
    first = min(seen.missing, TRANSMISSIONS - 1 - later)
    return now - seen.at <= rto * ((1 << first + later) - (1 << first)) * TOLERANCE


def _signed(difference: int) -> int:
    """A difference of sequence numbers, which count modulo 2^32."""
    return (difference + SEQUENCES // 2) % SEQUENCES - SEQUENCES // 2
