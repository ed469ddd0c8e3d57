"""Fragments become the message again at its destination (RFC 6940 section 6.7)."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeAlias

import attrs

from reload.header import UNFRAGMENTED, ForwardingHeader, encode_header

LIFETIME = 15.0
"""Seconds that an incomplete message is held: the maximum request lifetime."""
MAX_MESSAGES = 64
"""Incomplete messages at a time; the oldest goes. At 5,000 octets a message that is some 320 kB."""
MAX_FRAGMENTS = 64
"""Parts of one message: a 5,000-octet message has 20 at 256 octets, and a retransmission may be cut otherwise."""

Key: TypeAlias = tuple[bytes, int, tuple[object, ...]]


@attrs.define
class _Partial:
    header: ForwardingHeader
    deadline: float
    parts: dict[int, bytes] = attrs.Factory(dict)
    total: int | None = None


class Reassembler:
    """Holds fragments by the hop that they came over, their transaction and their destination.

    The transaction ID alone is chosen by whoever sends it. Fragments of several transmissions complete one another:
    they may overlap where their octets agree, and the message is dropped when they do not. `max_size` is the overlay's
    max-message-size.
    """

    def __init__(self, *, max_size: int = 5000, node_id_length: int = 16) -> None:
        self._max_size = max_size
        self._n = node_id_length
        self._messages: OrderedDict[Key, _Partial] = OrderedDict()

    def __len__(self) -> int:
        """Incomplete messages."""
        return len(self._messages)

    def receive(self, previous_hop: bytes, header: ForwardingHeader, payload: bytes, now: float) -> bytes | None:
        """The whole message, once `payload` completes it; None while it does not, or is no use."""
        self.handle_timer(now)
        key = previous_hop, header.transaction_id, header.destination_list
        partial = self._messages.get(key)
        if partial is None:
            partial = self._messages[key] = _Partial(header, now + LIFETIME)
            if len(self._messages) > MAX_MESSAGES:
                self._messages.popitem(last=False)
        if not self._accept(partial, header, payload):
            del self._messages[key]
            return None
        body = _joined(partial)
        if body is None:
            return None
        del self._messages[key]
        whole = attrs.evolve(partial.header, fragment=UNFRAGMENTED)
        return encode_header(whole, len(body), node_id_length=self._n) + body

    def get_timer(self) -> float | None:
        """When the oldest incomplete message ends."""
        return next((partial.deadline for partial in self._messages.values()), None)

    def handle_timer(self, now: float) -> None:
        """Drop what was not completed in time."""
        while self._messages and (deadline := self.get_timer()) is not None and deadline <= now:
            self._messages.popitem(last=False)

    def _accept(self, partial: _Partial, header: ForwardingHeader, payload: bytes) -> bool:
        """Hold a fragment; False when the message cannot be right."""
        start, stop = header.fragment_offset, header.fragment_offset + len(payload)
        if stop > self._max_size or not payload:
            return False
        if header.is_last_fragment:
            if partial.total not in (None, stop):
                return False
            partial.total = stop
        if (
            partial.total is not None
            and max([stop, *(at + len(part) for at, part in partial.parts.items())]) > partial.total
        ):
            return False
        for at, part in partial.parts.items():
            low, high = max(at, start), min(at + len(part), stop)
            if low < high and part[low - at : high - at] != payload[low - start : high - start]:
                return False
        if len(payload) > len(partial.parts.get(start, b"")):
            partial.parts[start] = payload
        return len(partial.parts) <= MAX_FRAGMENTS


def _joined(partial: _Partial) -> bytes | None:
    if partial.total is None:
        return None
    body = bytearray()
    for at, part in sorted(partial.parts.items()):
        if at > len(body):
            return None
        body += part[len(body) - at :]
    return bytes(body) if len(body) == partial.total else None
