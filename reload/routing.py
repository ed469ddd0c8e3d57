"""Where a message goes: the rules of RFC 6940 section 6.1 as functions of what is known."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Container
from typing import Protocol, TypeAlias

import attrs

from reload.contents import ErrorCode, is_request
from reload.destinations import (
    Destination,
    NodeDestination,
    OpaqueDestination,
    ResourceDestination,
)
from reload.header import FRAGMENT_AT, HEADER_SIZE, LISTS_AT, ForwardingHeader, OptionFlag
from reload.via_lists import ViaList

MAX_STEPS = 256
"""Entries of one Destination List that this node takes off: its own Node-ID and opaque IDs, which unpack to others."""


@attrs.frozen
class Deliver:
    """The message is for this node."""


@attrs.frozen
class Forward:
    """It goes to this connected node, with this Destination List."""

    next_hop: bytes
    destination_list: tuple[Destination, ...]


@attrs.frozen
class Drop:
    """It is dropped silently."""

    reason: str


@attrs.frozen
class Reject:
    """It is discarded, and a request is answered with this error."""

    error_code: ErrorCode
    reason: str


_LISTS = struct.Struct(">HHH")
Decision: TypeAlias = Deliver | Forward | Drop | Reject
DELIVER = Deliver()


class Hops(Protocol):
    """The part of a topology that routes."""

    def is_responsible(self, resource_id: bytes) -> bool:
        """Whether this node is responsible for what is there."""
        ...

    def next_hop(self, target: bytes, previous_hop: bytes | None = None) -> bytes | None:
        """The connected peer to go on to from `previous_hop`, if it came from one; None: it ends here."""
        ...


def message_code(data: bytes, header: ForwardingHeader, start: int) -> int | None:
    """The code of a message, or of the first fragment of one, whose payload is at `start`; None where none can be."""
    if header.fragment_offset or len(data) < start + 2:
        return None
    return data[start] << 8 | data[start + 1]


def code_of(octets: bytes) -> int | None:
    """The code of a message, whatever it is; None of a fragment but the first, and of no message at all."""
    if len(octets) < HEADER_SIZE or int.from_bytes(octets[FRAGMENT_AT + 1 : FRAGMENT_AT + 4], "big"):
        return None
    start = HEADER_SIZE + sum(_LISTS.unpack_from(octets, LISTS_AT))
    return int.from_bytes(octets[start : start + 2], "big") if len(octets) >= start + 2 else None


def check_header(header: ForwardingHeader, code: int | None, *, overlay: int, initial_ttl: int) -> Drop | Reject | None:
    """What is wrong with a header that is well formed (sections 6.1, 6.3.2 and 13.6.5); None to go on."""
    if header.overlay != overlay:
        return Reject(ErrorCode.INCOMPATIBLE_WITH_OVERLAY, "another overlay")
    if header.ttl > initial_ttl:
        return Reject(ErrorCode.TTL_EXCEEDED, f"TTL {header.ttl} is over {initial_ttl}")
    destinations = header.destination_list
    if not destinations:
        return Reject(ErrorCode.INVALID_MESSAGE, "no destination")
    if len(destinations) > 1 and len(set(destinations)) < len(destinations):
        # A response goes back through whom the request has passed: twice through one, if the path had a loop. Of what
        # a fragment behind the first one is, nobody knows.
        bound = 1 if code is not None and is_request(code) else 2
        if max(Counter(destinations).values()) > bound:
            return Reject(ErrorCode.INVALID_MESSAGE, "a destination stands in the list more than once")
    return None


def route(
    destination_list: tuple[Destination, ...],
    *,
    node_id: bytes,
    connected: Container[bytes],
    hops: Hops,
    unpack: Callable[[OpaqueDestination], ViaList | None],
    previous_hop: bytes | None = None,
) -> Deliver | Forward | Drop:
    """What becomes of a message with this Destination List at a node (sections 6.1.1 to 6.1.3)."""
    for _ in range(MAX_STEPS):
        if not destination_list:
            return Drop("the Destination List ends here")
        first = destination_list[0]
        match first:
            case NodeDestination(target) if first.is_wildcard:
                return DELIVER
            case NodeDestination(target) if target == node_id:
                if len(destination_list) == 1:
                    return DELIVER
                destination_list = destination_list[1:]
                continue
            case NodeDestination(target) if target in connected:
                return Forward(target, destination_list)
            case NodeDestination(target):
                if hops.is_responsible(target):
                    return Drop("nobody here has this Node-ID")
            case ResourceDestination(target):
                if hops.is_responsible(target):
                    return DELIVER
            case OpaqueDestination():
                via_list = unpack(first)
                if via_list is None:
                    return Drop("an opaque ID that stands for nothing here")
                destination_list = via_list[::-1] + destination_list[1:]
                continue
            case _:
                return Drop(f"a destination of type {first.type}")
        next_hop = hops.next_hop(target, previous_hop)
        if next_hop is None or next_hop not in connected:
            return Drop("no way to go on")
        return Forward(next_hop, destination_list)
    return Drop("a Destination List without end")


def check_forward(header: ForwardingHeader, known_options: Container[int]) -> Reject | None:
    """What keeps a message from being forwarded (sections 6.3.2 and 6.3.2.3)."""
    if header.ttl == 0:
        return Reject(ErrorCode.TTL_EXCEEDED, "TTL 0")
    for option in header.options:
        if option.flags & OptionFlag.FORWARD_CRITICAL and option.type not in known_options:
            return Reject(ErrorCode.UNSUPPORTED_FORWARDING_OPTION, f"forwarding option {option.type}")
    return None


def keeps_state(header: ForwardingHeader) -> bool:
    """Whether this node may keep a Via List to itself: not if an option forbids it (RFC 7263 section 5.1)."""
    return not any(option.flags & OptionFlag.IGNORE_STATE_KEEPING for option in header.options)


def response_destinations(header: ForwardingHeader, previous_hop: bytes) -> tuple[Destination, ...]:
    """The Destination List of the response to a request that came from `previous_hop` (sections 6.1.2 and 6.2.2)."""
    return (NodeDestination(previous_hop), *reversed(header.via_list))
