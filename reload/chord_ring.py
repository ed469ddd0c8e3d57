"""The ring of CHORD-RELOAD: positions modulo 2^128 (RFC 6940 section 10.1)."""

from __future__ import annotations

from collections.abc import Callable

BITS = 128
OCTETS = BITS // 8
RING = 1 << BITS
_MASK = RING - 1
_RESERVED = frozenset({bytes(OCTETS), b"\xff" * OCTETS})


def position(identifier: bytes) -> int:
    """Where a Node-ID or Resource-ID is on the ring. One of another length counts by its first 128 bits."""
    if len(identifier) != OCTETS:
        identifier = identifier[:OCTETS].ljust(OCTETS, b"\0")
    return int.from_bytes(identifier, "big")


def identifier(at: int) -> bytes:
    """The identifier at a position, which may lie outside of one turn."""
    return (at & _MASK).to_bytes(OCTETS, "big")


def distance(start: int, end: int) -> int:
    """How far it is clockwise from one position to another, 0 to 2^128 - 1."""
    return (end - start) & _MASK


def is_node(node_id: bytes) -> bool:
    """Whether a node can have this Node-ID: not all zeros, nor all ones (section 3)."""
    return len(node_id) == OCTETS and node_id not in _RESERVED


def finger_index(ahead: int) -> int:
    """The i of the finger table entry in whose range a peer is, so far ahead of us (section 10.7.4.2)."""
    return BITS + 1 - ahead.bit_length()


def finger_range(index: int) -> tuple[int, int]:
    """How far ahead the range of the i'th entry begins, and the next one: [2^(128-i), 2^(128-(i-1)))."""
    return 1 << BITS - index, 1 << BITS + 1 - index


def random_ahead(index: int, random_bytes: Callable[[int], bytes]) -> int:
    """How far ahead a point is that is selected randomly from the range of the i'th entry."""
    start, _ = finger_range(index)
    return start + (int.from_bytes(random_bytes(OCTETS), "big") & start - 1)


def fraction(random_bytes: Callable[[int], bytes]) -> float:
    """A number by chance, at least 0 and below 1."""
    return int.from_bytes(random_bytes(4), "big") / (1 << 32)
