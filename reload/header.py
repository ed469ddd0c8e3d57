"""The forwarding header (RFC 6940 section 6.3.2)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum, IntFlag

import attrs

from reload._presentation import structure
from reload._specs import opaque, u8
from reload.destinations import Destination, ResourceDestination, decode_destinations, encode_destinations
from reload.errors import DecodeError, EncodeError

RELO_TOKEN = 0xD2454C4F
VERSION = 0x0A
"""RELOAD 1.0."""
HEADER_SIZE = 38
"""Octets before the lists."""
LAST_FRAGMENT = 0x40000000
UNFRAGMENTED = 0x80000000 | LAST_FRAGMENT
OFFSET_MASK = 0x00FFFFFF
ANY_CONFIGURATION = 65535
"""A configuration_sequence that a ConfigUpdate is accepted with, whatever the receiver's (section 6.3.2.1)."""

FRAGMENT_AT, LISTS_AT = 12, 32
"""Where the fragment field is, before the length of the message, and where the lengths of the three lists are."""

_FIXED = struct.Struct(">IIHBBIIQIHHH")
_MISPLACED = "a Resource-ID that is not the last destination"


class OptionFlag(IntFlag):
    """What an option asks of who does not know it (section 6.3.2.3; the last one is RFC 7263's)."""

    FORWARD_CRITICAL = 1
    DESTINATION_CRITICAL = 2
    RESPONSE_COPY = 4
    IGNORE_STATE_KEEPING = 8


class OptionType(IntEnum):
    """Forwarding options (section 14.12, RFC 7263)."""

    EXTENSIVE_ROUTING_MODE = 2


@structure
class ForwardingOption:
    """An option of any type."""

    type: int = u8()
    flags: int = u8()
    value: bytes = opaque(2, default=b"")


@attrs.define
class ForwardingHeader:
    """Where a message goes; `length` is that of the whole message and filled in when it is encoded."""

    overlay: int
    transaction_id: int
    destination_list: tuple[Destination, ...]
    via_list: tuple[Destination, ...] = ()
    options: tuple[ForwardingOption, ...] = ()
    configuration_sequence: int = 0
    ttl: int = 100
    max_response_length: int = 0
    fragment: int = UNFRAGMENTED
    length: int = 0
    version: int = VERSION

    @property
    def is_last_fragment(self) -> bool:
        """The last fragment of a message, or the only one."""
        return bool(self.fragment & LAST_FRAGMENT)

    @property
    def fragment_offset(self) -> int:
        """Where the payload of this fragment belongs."""
        return self.fragment & OFFSET_MASK

    @property
    def is_whole(self) -> bool:
        """Not fragmented."""
        return self.is_last_fragment and not self.fragment_offset


def decode_header(data: bytes, *, node_id_length: int = 16) -> tuple[ForwardingHeader, int]:
    """The header of a message, and where its payload starts.

    Raises DecodeError for what is no RELOAD message of this version, and for lengths that do not fit.
    """
    if len(data) < HEADER_SIZE:
        raise DecodeError(f"ForwardingHeader: need {HEADER_SIZE} octets at 0, have {len(data)}")
    token, overlay, sequence, version, ttl, fragment, length, tid, limit, vias, dests, options = _FIXED.unpack_from(
        data
    )
    if token != RELO_TOKEN:
        raise DecodeError(f"ForwardingHeader.relo_token: {token:#010x} is not RELOAD's")
    if version != VERSION:
        raise DecodeError(f"ForwardingHeader.version: {version} is not {VERSION}")
    if not fragment & 0x80000000:
        raise DecodeError("ForwardingHeader.fragment: the high bit is not set")
    via_end = HEADER_SIZE + vias
    destination_end = via_end + dests
    end = destination_end + options
    if length != len(data) or end > length:
        raise DecodeError(f"ForwardingHeader.length: {length} octets with lists up to {end}, have {len(data)}")
    via_list = decode_destinations(data[HEADER_SIZE:via_end], node_id_length) if vias else ()
    destination_list = decode_destinations(data[via_end:destination_end], node_id_length)
    if _misplaced(via_list, destination_list):
        raise DecodeError(f"ForwardingHeader: {_MISPLACED}")
    header = ForwardingHeader(
        overlay,
        tid,
        destination_list,
        via_list,
        _decode_options(data[destination_end:end]) if options else (),
        sequence,
        ttl,
        limit,
        fragment,
        length,
        version,
    )
    return header, end


def encode_header(header: ForwardingHeader, payload_size: int, *, node_id_length: int = 16) -> bytes:
    """The octets of a header before a payload of so many octets. Raises EncodeError."""
    return pack_header(header, header.ttl, header.via_list, header.destination_list, payload_size, node_id_length)


def pack_header(
    header: ForwardingHeader,
    ttl: int,
    via_list: Sequence[Destination],
    destination_list: Sequence[Destination],
    payload_size: int,
    node_id_length: int,
) -> bytes:
    """`encode_header` with another TTL and other lists. Raises EncodeError."""
    if _misplaced(via_list, destination_list):
        raise EncodeError(f"ForwardingHeader: {_MISPLACED}")
    vias = encode_destinations(via_list, node_id_length)
    destinations = encode_destinations(destination_list, node_id_length)
    options = b"".join([option._encode(node_id_length) for option in header.options])  # type: ignore[attr-defined]
    lists = vias + destinations + options
    try:
        fixed = _FIXED.pack(
            RELO_TOKEN,
            header.overlay,
            header.configuration_sequence,
            header.version,
            ttl,
            header.fragment,
            HEADER_SIZE + len(lists) + payload_size,
            header.transaction_id,
            header.max_response_length,
            len(vias),
            len(destinations),
            len(options),
        )
    except struct.error as error:
        raise EncodeError(f"ForwardingHeader: {error}") from error
    return fixed + lists


def _misplaced(via_list: Sequence[Destination], destination_list: Sequence[Destination]) -> bool:
    for destination in via_list:
        if type(destination) is ResourceDestination:
            return True
    if len(destination_list) > 1:
        return any(type(destination) is ResourceDestination for destination in destination_list[:-1])
    return False


def _decode_options(data: bytes) -> tuple[ForwardingOption, ...]:
    found: list[ForwardingOption] = []
    at, end = 0, len(data)
    while at < end:
        option, at = ForwardingOption._decode(data, at, end, 0)  # type: ignore[attr-defined]
        found.append(option)
    return tuple(found)
