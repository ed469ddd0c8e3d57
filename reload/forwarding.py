"""What a peer on the way does to a message, without a look at its contents (RFC 6940 sections 6.1.2 and 6.7)."""

from __future__ import annotations

import struct

from reload.destinations import Destination
from reload.header import (
    FRAGMENT_AT,
    HEADER_SIZE,
    LAST_FRAGMENT,
    LISTS_AT,
    OFFSET_MASK,
    ForwardingHeader,
    pack_header,
)

MIN_FRAGMENT = 256
"""Octets of the payload that each fragment has at least (section 6.7)."""
VIA_ROOM = 32
"""Octets below the path MTU that a fragment leaves for a via list that grows (section 6.7)."""

_LISTS = struct.Struct(">HHH")
_FRAGMENT_AND_LENGTH = struct.Struct(">II")


def forward(
    data: bytes,
    header: ForwardingHeader,
    start: int,
    *,
    via_list: tuple[Destination, ...],
    destination_list: tuple[Destination, ...],
    node_id_length: int = 16,
) -> bytes:
    """The message or fragment as the next hop gets it: other lists, and a TTL that is one less.

    `header` and `start` are what `decode_header` read from `data`. Raises EncodeError when the lists grow too long,
    and for a TTL of 0.
    """
    head = pack_header(header, header.ttl - 1, via_list, destination_list, len(data) - start, node_id_length)
    return head + data[start:]


def fragment(data: bytes, path_mtu: int) -> list[bytes]:
    """The message, or the fragment, in fragments of nearly one size.

    `data` was decoded, or made by `encode_message`; `path_mtu` is how many octets of a message fit into a datagram of
    the next link. Each fragment has 256 octets of payload at least, and leaves 32 octets for its lists to grow, or
    less where that is what it takes. `data` alone, where it fits or cannot be split so: IP fragments it (section 6.7).
    """
    if len(data) <= path_mtu:
        return [data]
    start = HEADER_SIZE + sum(_LISTS.unpack_from(data, LISTS_AT))
    size, room = len(data) - start, path_mtu - start
    if room < MIN_FRAGMENT:
        return [data]
    count = -(-size // max(room - VIA_ROOM, MIN_FRAGMENT))
    if size // count < MIN_FRAGMENT:
        count = size // MIN_FRAGMENT
    field, _ = _FRAGMENT_AND_LENGTH.unpack_from(data, FRAGMENT_AT)
    if count < 2 or -(-size // count) > room or (field & OFFSET_MASK) + size > OFFSET_MASK:
        return [data]
    return _split(data, start, field, count)


def _split(data: bytes, start: int, field: int, count: int) -> list[bytes]:
    before, behind = data[:FRAGMENT_AT], data[FRAGMENT_AT + _FRAGMENT_AND_LENGTH.size : start]
    base, longer = divmod(len(data) - start, count)
    parts: list[bytes] = []
    at = 0
    for number in range(count):
        length = base + (number < longer)
        # The offset is within the original message, and only its very end is the last fragment.
        bits = (field & ~LAST_FRAGMENT) + at | (field & LAST_FRAGMENT if number == count - 1 else 0)
        head = before + _FRAGMENT_AND_LENGTH.pack(bits, start + length) + behind
        parts.append(head + data[start + at : start + at + length])
        at += length
    return parts
