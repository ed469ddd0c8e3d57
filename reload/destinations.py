"""Destinations: where a message goes, and through whom (RFC 6940 section 6.3.2.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import attrs

from reload._presentation import value
from reload._specs import Custom
from reload.errors import DecodeError, EncodeError

_NODE, _RESOURCE, _OPAQUE = 1, 2, 3


@value
class NodeDestination:
    """A node. All ones stand for whoever reads it (the wildcard of section 6.1.1)."""

    node_id: bytes

    @property
    def is_wildcard(self) -> bool:
        """Addressed to any node."""
        return not self.node_id.strip(b"\xff")


@value
class ResourceDestination:
    """Whoever is responsible for a Resource-ID; only as the last of a destination list."""

    resource_id: bytes


@value
class OpaqueDestination:
    """What a peer has put in the place of a part of a list; it alone knows what it means.

    `is_compact`: written as 16 bits, whose first is 1.
    """

    opaque_id: bytes
    is_compact: bool = attrs.field(default=False, eq=False)


@value
class UnknownDestination:
    """A destination of a type that is not defined."""

    type: int
    data: bytes


Destination: TypeAlias = NodeDestination | ResourceDestination | OpaqueDestination | UnknownDestination


def decode_destination(data: bytes, at: int, end: int, n: int) -> tuple[Destination, int]:
    """The destination at `at`, and where the next one starts. Raises DecodeError."""
    if end - at < 2:
        raise DecodeError(f"Destination: need 2 octets at {at}, have {end - at}")
    kind = data[at]
    if kind & 0x80:
        return OpaqueDestination(data[at : at + 2], is_compact=True), at + 2
    start, stop = at + 2, at + 2 + data[at + 1]
    if stop > end:
        raise DecodeError(f"Destination: need {stop - start} octets at {start}, have {end - start}")
    body = data[start:stop]
    if kind == _NODE:
        if len(body) != n:
            raise DecodeError(f"Destination: a Node-ID of {len(body)} octets at {start}, {n} are due")
        return NodeDestination(body), stop
    if kind in (_RESOURCE, _OPAQUE):
        if not body or body[0] != len(body) - 1:
            raise DecodeError(f"Destination: the lengths at {at + 1} and {start} contradict each other")
        inner = body[1:]
        return (ResourceDestination(inner) if kind == _RESOURCE else OpaqueDestination(inner)), stop
    if kind == 0:
        raise DecodeError(f"Destination: invalid type 0 at {at}")
    return UnknownDestination(kind, body), stop


def encode_destination(destination: Destination, n: int) -> bytes:
    """The octets of a destination. Raises EncodeError."""
    match destination:
        case NodeDestination(node_id):
            if len(node_id) != n:
                raise EncodeError(f"Destination: a Node-ID of this overlay has {n} octets, not {len(node_id)}")
            return bytes((_NODE, n)) + node_id
        case ResourceDestination(resource_id):
            return _boxed(_RESOURCE, resource_id)
        case OpaqueDestination(opaque_id, is_compact):
            if not is_compact:
                return _boxed(_OPAQUE, opaque_id)
            if len(opaque_id) != 2 or not opaque_id[0] & 0x80:
                raise EncodeError("Destination: a compact opaque ID has two octets, and the first bit is 1")
            return opaque_id
        case UnknownDestination(kind, data):
            if not 0 < kind < 0x80 or len(data) > 0xFF:
                raise EncodeError(f"Destination: type {kind} with {len(data)} octets")
            return bytes((kind, len(data))) + data


def _boxed(kind: int, octets: bytes) -> bytes:
    """An opaque in its length, in the length of the destination."""
    if len(octets) > 0xFE:
        raise EncodeError(f"Destination: {len(octets)} octets, at most 254 fit")
    return bytes((kind, len(octets) + 1, len(octets))) + octets


def decode_destinations(data: bytes, n: int) -> tuple[Destination, ...]:
    """A whole list. Raises DecodeError."""
    found: list[Destination] = []
    at, end = 0, len(data)
    while at < end:
        destination, at = decode_destination(data, at, end, n)
        found.append(destination)
    return tuple(found)


def encode_destinations(destinations: Iterable[Destination], n: int) -> bytes:
    """The octets of a list, without its length. Raises EncodeError."""
    return b"".join([encode_destination(destination, n) for destination in destinations])


DESTINATION = Custom(decode_destination, encode_destination)
"""For the structures that hold destinations."""
