"""The truth about an overlay: who is a peer of it, and so who is responsible for what."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

REPLICAS = 2
"""Copies beside that of the responsible peer (RFC 6940 section 10.4)."""


class Ring:
    """The Node-IDs of all peers, in their order round the ring."""

    def __init__(self) -> None:
        self._node_ids: list[bytes] = []

    def __len__(self) -> int:
        return len(self._node_ids)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._node_ids)

    def __contains__(self, node_id: bytes) -> bool:
        at = bisect_left(self._node_ids, node_id)
        return at < len(self._node_ids) and self._node_ids[at] == node_id

    def __getitem__(self, at: int) -> bytes:
        return self._node_ids[at % len(self._node_ids)]

    def add(self, node_id: bytes) -> None:
        """A peer has joined."""
        if node_id not in self:
            insort(self._node_ids, node_id)

    def remove(self, node_id: bytes) -> None:
        """A peer is gone, if it was one."""
        if node_id in self:
            del self._node_ids[bisect_left(self._node_ids, node_id)]

    def owner(self, resource_id: bytes) -> bytes:
        """The peer that is responsible: the first one whose Node-ID is not less."""
        return self[bisect_left(self._node_ids, resource_id)]

    def holders(self, resource_id: bytes) -> tuple[bytes, ...]:
        """Who should have its values: the responsible peer, and the two behind it."""
        at = bisect_left(self._node_ids, resource_id)
        return tuple(dict.fromkeys(self[at + number] for number in range(REPLICAS + 1)))

    def successor(self, node_id: bytes) -> bytes:
        """The next peer round the ring."""
        return self[bisect_right(self._node_ids, node_id)]

    def predecessor(self, node_id: bytes) -> bytes:
        """The peer before it round the ring."""
        return self[bisect_left(self._node_ids, node_id) - 1]
