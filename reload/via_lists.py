"""What stands for a Via List on the way: itself, or an opaque ID (RFC 6940 sections 6.1.2, 6.1.3 and 6.3.2.2)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import attrs

from reload.destinations import Destination, OpaqueDestination, decode_destinations, encode_destinations
from reload.errors import DecodeError

SLOT_BITS, GENERATION_BITS = 12, 3
"""Of a compact opaque ID (section 6.3.2.2); its first bit is 1."""
SLOT_LIFETIME = 15.0
"""Seconds that a Via List is kept for: the maximum request lifetime, which overlay-reliability-timers are below."""
MAX_KEPT = 64
"""Entries of a Via List that is kept: several times the hops of any way, and 64 MB in all slots at the most. Lists of
thousands can be made up."""
MAX_SEALED = 254
"""Octets of an opaque ID that a Destination has room for."""
NONCE_SIZE = 12

ViaList = tuple[Destination, ...]


class ViaLists(Protocol):
    """Packs the Via List of a request that is forwarded, and unpacks it when the response comes."""

    def pack(self, via_list: ViaList, now: float) -> ViaList:
        """What to send in its place; itself, where it cannot be packed."""
        ...

    def unpack(self, opaque: OpaqueDestination, now: float) -> ViaList | None:
        """The Via List that an opaque ID stands for, None when it is not known, or not any more."""
        ...


class FullViaLists:
    """Sends Via Lists as they are, and keeps nothing."""

    def pack(self, via_list: ViaList, now: float) -> ViaList:
        """Itself."""
        return via_list

    def unpack(self, opaque: OpaqueDestination, now: float) -> ViaList | None:
        """None: this node has made no opaque IDs."""
        return None


@attrs.define
class _Slot:
    generation: int
    via_list: ViaList
    deadline: float


class CompactViaLists:
    """Keeps Via Lists in a table, and sends two octets: the slot, in 12 bits, and its generation, in 3.

    Slots and generations begin at random, and slots are used in turn. When all are in use, lists go as they are: what
    is promised to be kept is kept (section 6.1.2). So do lists that are too long.
    """

    def __init__(self, random_bytes: Callable[[int], bytes], *, lifetime: float = SLOT_LIFETIME) -> None:
        """`lifetime` must not be less than the overlay-reliability-timer."""
        start = int.from_bytes(random_bytes(2), "big")
        self._lifetime = lifetime
        self._next = start % (1 << SLOT_BITS)
        self._first_generations = random_bytes(1 << SLOT_BITS)
        self._slots: OrderedDict[int, _Slot] = OrderedDict()
        self._generations: dict[int, int] = {}

    def __len__(self) -> int:
        """Via Lists that are kept."""
        return len(self._slots)

    def pack(self, via_list: ViaList, now: float) -> ViaList:
        """An opaque ID, or the list itself while no slot is free, or when it is too long."""
        while self._slots:
            index = next(iter(self._slots))
            if self._slots[index].deadline > now:
                break
            del self._slots[index]
        index = self._next
        if index in self._slots or len(via_list) > MAX_KEPT:
            return via_list
        self._next = (index + 1) % (1 << SLOT_BITS)
        generation = (self._generations.get(index, self._first_generations[index]) + 1) % (1 << GENERATION_BITS)
        self._generations[index] = generation
        self._slots[index] = _Slot(generation, via_list, now + self._lifetime)
        number = 0x8000 | index << GENERATION_BITS | generation
        return (OpaqueDestination(number.to_bytes(2, "big"), is_compact=True),)

    def unpack(self, opaque: OpaqueDestination, now: float) -> ViaList | None:
        """The list, as long as it is kept: a slot may be asked more than once, as responses are sent again."""
        if len(opaque.opaque_id) != 2:
            return None
        number = int.from_bytes(opaque.opaque_id, "big")
        slot = self._slots.get(number >> GENERATION_BITS & (1 << SLOT_BITS) - 1)
        if slot is None or not number & 0x8000 or slot.deadline <= now:
            return None
        return slot.via_list if slot.generation == number & (1 << GENERATION_BITS) - 1 else None


class SealedViaLists:
    """Encrypts Via Lists with a key that this node alone has, and keeps nothing (AES-128-GCM).

    An opaque ID says nothing to others and cannot be forged; it holds as long as the key. What is longer than one
    holds goes as it is.
    """

    def __init__(self, random_bytes: Callable[[int], bytes], *, node_id_length: int = 16) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._random_bytes = random_bytes
        self._n = node_id_length
        self._cipher = AESGCM(random_bytes(16))

    def pack(self, via_list: ViaList, now: float) -> ViaList:
        """An opaque ID, or the list itself when it is too long."""
        nonce = self._random_bytes(NONCE_SIZE)
        sealed = nonce + self._cipher.encrypt(nonce, encode_destinations(via_list, self._n), None)
        return (OpaqueDestination(sealed),) if len(sealed) <= MAX_SEALED else via_list

    def unpack(self, opaque: OpaqueDestination, now: float) -> ViaList | None:
        """The list; None unless this node has sealed it."""
        from cryptography.exceptions import InvalidTag

        sealed = opaque.opaque_id
        if len(sealed) <= NONCE_SIZE:
            return None
        try:
            octets = self._cipher.decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], None)
            return decode_destinations(octets, self._n)
        except (InvalidTag, DecodeError, ValueError):
            return None
