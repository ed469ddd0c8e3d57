"""The ReDiR tree: which of its nodes a Node-ID belongs to, where they are stored, and what may be stored there.

RFC 7374 sections 3, 4.1 and 5. A tree node splits its part of the identifier space into as many intervals as the
branching factor says; below each of them is one tree node of the next level.
"""

from __future__ import annotations

import struct

import attrs

from reload._presentation import decode
from reload.errors import DecodeError, EncodeError
from reload.extensions import RedirServiceProvider
from reload.naming import resource_id
from reload.storage_messages import DictionaryEntry

DEFAULT_BRANCHING_FACTOR = 10
STARTING_LEVEL = 2
"""Where walks begin that know nothing better (section 4.2)."""

_MAX_NODES = 1 << 16
"""Of a level, as `node` has 16 bits."""
_NUMBERS = struct.Struct(">HH")


def redir_resource_id(namespace: bytes, level: int, node: int) -> bytes:
    """H(namespace, level, j). The RFC leaves the integers' widths open: 16 bits, as in RedirServiceProvider.

    The namespace stands there without a length. Raises EncodeError for what has no 16 bits.
    """
    try:
        return resource_id(namespace + _NUMBERS.pack(level, node))
    except struct.error as exc:
        raise EncodeError(f"ReDiR: ({level}, {node}) is no tree node") from exc


def interval_of(key: bytes, level: int, branching_factor: int) -> int:
    """The number of I(level, key) among all intervals of its level, from the left.

    That of its tree node is this, divided by the branching factor.
    """
    intervals: int = branching_factor ** (level + 1)
    return int.from_bytes(key, "big") * intervals >> 8 * len(key)


@attrs.frozen
class RedirTree:
    """The tree of a namespace, such as "turn-server" or "voice-mail"."""

    namespace: str
    branching_factor: int = attrs.field(default=DEFAULT_BRANCHING_FACTOR, validator=attrs.validators.ge(2))

    @property
    def deepest_level(self) -> int:
        """The last level all of whose tree nodes have a number of 16 bits: 4 with a branching factor of 10."""
        level = 0
        while self.branching_factor ** (level + 1) <= _MAX_NODES:
            level += 1
        return level

    @property
    def starting_level(self) -> int:
        """Where a walk begins."""
        return min(STARTING_LEVEL, self.deepest_level)

    def interval(self, level: int, key: bytes) -> int:
        """The number of I(level, key), from the left."""
        return interval_of(key, level, self.branching_factor)

    def node(self, level: int, key: bytes) -> int:
        """The number of the tree node responsible for I(level, key), from the left and from 0."""
        return self.interval(level, key) // self.branching_factor

    def resource_id(self, level: int, key: bytes) -> bytes:
        """Where that tree node is stored."""
        return redir_resource_id(self.namespace.encode(), level, self.node(level, key))


def read_provider(
    entry: DictionaryEntry, at: bytes, signer: bytes, branching_factor: int
) -> RedirServiceProvider | None:
    """The record of `signer` in an entry of the tree node stored `at`; None when it must not be there (section 5)."""
    if entry.key != signer or not entry.value.exists:
        return None
    try:
        record = decode(RedirServiceProvider, entry.value.value, node_id_length=len(signer))
    except DecodeError:
        return None
    if redir_resource_id(record.namespace, record.level, record.node) != at:
        return None
    # The level is the sender's word, and the numbers grow with it; deeper down no interval holds two Node-IDs.
    if record.level >= 8 * len(signer):
        return None
    if interval_of(signer, record.level, branching_factor) // branching_factor != record.node:
        return None
    return record


def may_store(entry: DictionaryEntry, at: bytes, signer: bytes, branching_factor: int) -> bool:
    """NODE-ID-MATCH (section 5): whether `signer`, a Node-ID, may write this entry to the resource `at`."""
    if not entry.value.exists:
        return entry.key == signer
    return read_provider(entry, at, signer, branching_factor) is not None
