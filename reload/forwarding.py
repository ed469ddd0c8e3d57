"""What a peer on the way does to a message, without a look at its contents (RFC 6940 sections 6.1.2 and 6.7)."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from reload.destinations import Destination
from reload.header import LAST_FRAGMENT, OFFSET_MASK, ForwardingHeader, encode_header

MIN_FRAGMENT = 256
"""Octets of the payload that each fragment has at least (section 6.7)."""
VIA_ROOM = 32
"""Octets below the path MTU that a fragment leaves for a via list that grows (section 6.7)."""


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

    `header` and `start` are what `decode_header` read from `data`. Raises EncodeError when the lists grow too long.
    """
    changed = attrs.evolve(header, via_list=via_list, destination_list=destination_list, ttl=header.ttl - 1)
    payload = data[start:]
    return encode_header(changed, len(payload), node_id_length=node_id_length) + payload


def fragment(
    data: bytes, header: ForwardingHeader, start: int, path_mtu: int, *, node_id_length: int = 16
) -> Sequence[bytes]:
    """The message, or the fragment, in fragments of nearly one size that fit into `path_mtu` octets with room to grow.

    As it is where it fits, or where it cannot be split into parts of 256 octets: IP fragments it then (section 6.7).
    """
    room = path_mtu - VIA_ROOM - start
    size = len(data) - start
    if len(data) <= path_mtu or room < MIN_FRAGMENT or size < 2 * MIN_FRAGMENT:
        return [data]
    count = min(-(-size // room), size // MIN_FRAGMENT)
    base, longer = divmod(size, count)
    parts: list[bytes] = []
    at = 0
    for number in range(count):
        length = base + (number < longer)
        offset = header.fragment_offset + at
        last = LAST_FRAGMENT if header.is_last_fragment and number == count - 1 else 0
        field = (header.fragment & ~(LAST_FRAGMENT | OFFSET_MASK)) | last | offset
        head = encode_header(attrs.evolve(header, fragment=field), length, node_id_length=node_id_length)
        parts.append(head + data[start + at : start + at + length])
        at += length
    return parts
