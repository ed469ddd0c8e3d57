"""Fragments become the message again at its destination (RFC 6940 section 6.7)."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from typing import TypeAlias

import attrs

from reload.header import UNFRAGMENTED, ForwardingHeader, encode_header

LIFETIME = 15.0
"""Seconds that an incomplete message is held: the maximum request lifetime."""
MAX_MESSAGES, MAX_MESSAGES_OF_HOP = 256, 32
"""Incomplete messages at a time, in all and of one neighbor; the oldest goes. The fragments of a message follow one
another on a link, so that few are incomplete unless parts of them got lost."""
MAX_OCTETS = 1 << 20
"""Octets of incomplete messages: 200 messages of 5,000 octets, the default of max-message-size."""
MIN_PART = 64
"""Octets that a part of a message has on the average, at least: fragments have 256, and what is cut otherwise by a
retransmission comes in pieces of them."""

_Key: TypeAlias = tuple[bytes, int, object]


@attrs.define
class _Partial:
    """A message that is not complete: parts that do not overlap, by their offsets."""

    header: ForwardingHeader
    deadline: float
    offsets: list[int] = attrs.Factory(list)
    parts: list[bytes] = attrs.Factory(list)
    octets: int = 0
    total: int | None = None

    @property
    def end(self) -> int:
        """Where the parts end that are there."""
        return self.offsets[-1] + len(self.parts[-1]) if self.parts else 0

    def add(self, start: int, payload: bytes) -> bool:
        """Take what is new in a fragment; False where it contradicts what is there."""
        stop, at = start + len(payload), start
        index = max(bisect_right(self.offsets, start) - 1, 0)
        new: list[tuple[int, int, bytes]] = []
        while index < len(self.parts) and self.offsets[index] < stop:
            offset, part = self.offsets[index], self.parts[index]
            low, high = max(offset, start), min(offset + len(part), stop)
            if low < high:
                if part[low - offset : high - offset] != payload[low - start : high - start]:
                    return False
                if at < low:
                    new.append((index, at, payload[at - start : low - start]))
                at = high
            index += 1
        if at < stop:
            new.append((index, at, payload[at - start :]))
        for place, offset, part in reversed(new):
            self.offsets.insert(place, offset)
            self.parts.insert(place, part)
            self.octets += len(part)
        return True


class Reassembler:
    """Holds fragments by the hop that they came over, their transaction and their destination.

    The transaction ID alone is chosen by whoever sends it. Fragments of several transmissions complete one another:
    they may overlap where their octets agree, and the message is dropped when they do not. Nothing is kept for
    octets that have not come. `max_size` is the overlay's max-message-size.
    """

    def __init__(self, *, max_size: int = 5000, node_id_length: int = 16) -> None:
        self._max_size = max_size
        self._max_octets = max(MAX_OCTETS, 4 * max_size)
        self._n = node_id_length
        self._messages: OrderedDict[_Key, _Partial] = OrderedDict()
        self._of_hop: dict[bytes, int] = {}
        self._octets = 0

    def __len__(self) -> int:
        """Incomplete messages."""
        return len(self._messages)

    @property
    def octets(self) -> int:
        """Octets of incomplete messages."""
        return self._octets

    def receive(self, previous_hop: bytes, header: ForwardingHeader, payload: bytes, now: float) -> bytes | None:
        """The whole message, once `payload` completes it; None while it does not, or is no use."""
        self.handle_timer(now)
        key = previous_hop, header.transaction_id, header.destination_list
        partial = self._messages.get(key)
        if partial is None:
            partial = self._open(key, header, now)
        held = partial.octets
        fits = self._accept(partial, header, payload)
        self._octets += partial.octets - held
        complete = fits and partial.octets == partial.total
        if complete or not fits:
            self._drop(key)
            return self._whole(partial) if complete else None
        while self._octets > self._max_octets:
            self._drop(next(iter(self._messages)))
        return None

    def get_timer(self) -> float | None:
        """When the oldest incomplete message ends."""
        return next((partial.deadline for partial in self._messages.values()), None)

    def handle_timer(self, now: float) -> None:
        """Drop what was not completed in time."""
        while (deadline := self.get_timer()) is not None and deadline <= now:
            self._drop(next(iter(self._messages)))

    def _open(self, key: _Key, header: ForwardingHeader, now: float) -> _Partial:
        hop = key[0]
        if self._of_hop.get(hop, 0) >= MAX_MESSAGES_OF_HOP:
            self._drop(next(other for other in self._messages if other[0] == hop))
        if len(self._messages) >= MAX_MESSAGES:
            self._drop(next(iter(self._messages)))
        partial = self._messages[key] = _Partial(header, now + LIFETIME)
        self._of_hop[hop] = self._of_hop.get(hop, 0) + 1
        return partial

    def _drop(self, key: _Key) -> None:
        self._octets -= self._messages.pop(key).octets
        hop = key[0]
        self._of_hop[hop] -= 1
        if not self._of_hop[hop]:
            del self._of_hop[hop]

    def _accept(self, partial: _Partial, header: ForwardingHeader, payload: bytes) -> bool:
        """Hold a fragment; False when the message cannot be right."""
        start = header.fragment_offset
        stop = start + len(payload)
        if not payload or stop > self._max_size:
            return False
        if header.is_last_fragment:
            if partial.total not in (None, stop):
                return False
            partial.total = stop
        if partial.total is not None and max(stop, partial.end) > partial.total:
            return False
        return partial.add(start, payload) and len(partial.parts) <= self._max_size // MIN_PART + 1

    def _whole(self, partial: _Partial) -> bytes:
        body = b"".join(partial.parts)
        header = attrs.evolve(partial.header, fragment=UNFRAGMENTED)
        return encode_header(header, len(body), node_id_length=self._n) + body
