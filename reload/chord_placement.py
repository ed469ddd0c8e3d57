"""Where values belong on the ring (RFC 6940 sections 10.4 and 10.7.3)."""

from __future__ import annotations

from collections.abc import Collection
from math import inf

from reload.chord_overlay import ChordOverlay
from reload.chord_ring import RING, distance, position

REPLICAS = 2
"""A value is stored at so many successors of the responsible peer as well (section 10.4)."""
HOLD_DOWN = 30.0
"""Seconds until a peer that takes the place of a failed successor is sent replicas, unless nobody else would have any
(section 10.7.1)."""
_COPIES = REPLICAS + 1
_BILLION = 1_000_000_000


class ChordPlacement:
    """A `Placement` by the tables of this node."""

    __slots__ = ("_chord", "_held_back", "_replicas", "_seen")

    def __init__(self, chord: ChordOverlay) -> None:
        self._chord = chord
        self._replicas: tuple[bytes, ...] = ()
        self._seen: tuple[tuple[bytes, ...], tuple[bytes, ...]] = ((), ())
        self._held_back: dict[bytes, float] = {}

    def is_responsible(self, resource_id: bytes) -> bool:
        """Whether it is at most our Node-ID, and greater than our predecessor's (section 10.1)."""
        if not self._chord.is_joined:
            return False
        start = self._chord.table.range_start()
        reach = distance(start, self._chord.table.own)
        return not reach or 0 < distance(start, position(resource_id)) <= reach

    def owner(self, resource_id: bytes) -> bytes | None:
        """The first peer at or behind the Resource-ID; None where no two neighbors enclose it."""
        return self._chord.table.owner(resource_id) if self._chord.is_joined else None

    def replica_peers(self, resource_id: bytes) -> tuple[bytes, ...]:
        """The next two successors; those that have replaced a failed one only after the hold-down."""
        return self._replicas if self._chord.is_joined else ()

    def accepts_replica(self, senders: Collection[bytes], resource_id: bytes, replica_number: int) -> bool:
        """Whether we are one of the three peers behind the Resource-ID, and one of the senders is at least as close.

        As section 7.4.1.1 has it, the sender is in the replica set, or closer than some node in it. Who has not joined
        yet takes what the peers that it knows hand over: it cannot tell how close others are.
        """
        if not self.keeps(resource_id):
            return False
        if not self._chord.is_joined:
            return any(sender in self._chord.table for sender in senders)
        start, reach = position(resource_id), self._chord.table.following(resource_id, _COPIES)
        return any(distance(start, position(sender)) <= reach for sender in senders)

    def keeps(self, resource_id: bytes) -> bool:
        """Whether there are less than three predecessors between the Resource-ID and us (section 10.7.3)."""
        return self._chord.table.replica_rank(resource_id) < _COPIES

    def is_plausible_responder(self, node_id: bytes, resource_id: bytes) -> bool:
        """Whether no peer that we know is closer."""
        return self._chord.table.is_closest(node_id, resource_id, with_us=self._chord.is_joined)

    def responsible_ppb(self) -> int:
        """The share of the ring between our predecessor and us."""
        if not self._chord.is_joined:
            return 0
        reach = distance(self._chord.table.range_start(), self._chord.table.own)
        return (reach or RING) * _BILLION // RING

    def refresh(self, now: float) -> None:
        """The tables have changed: tell the node, if values are to be moved."""
        table = self._chord.table
        successors, predecessors = table.successors[:REPLICAS], table.predecessors[:_COPIES]
        if (successors, predecessors) == self._seen or not self._chord.is_joined:
            return
        before, self._seen = self._seen[0], (successors, predecessors)
        self._hold_back(before, now)
        self._set_replicas()
        self._chord.overlay.placement_changed(now)

    def _hold_back(self, before: tuple[bytes, ...], now: float) -> None:
        """Who stands in for a lost successor is behind it; whoever is nearer has joined, and there is no better one.

        A further loss does not prolong it.
        """
        table, successors = self._chord.table, self._seen[0]
        lost = [distance(table.own, position(peer)) for peer in before if peer not in table]
        due = min(now + HOLD_DOWN, self.get_timer())
        for peer in successors:
            if peer not in before and lost and distance(table.own, position(peer)) > min(lost):
                self._held_back[peer] = due
        self._held_back = {peer: due for peer, due in self._held_back.items() if peer in successors}

    def _set_replicas(self) -> None:
        """With both successors lost, this node may have the only copy: the next one is not held back then."""
        successors = self._seen[0]
        self._replicas = tuple([peer for peer in successors if peer not in self._held_back]) or successors[:1]

    def clear(self) -> None:
        """This node is no peer any more."""
        self._replicas = ()
        self._seen = ((), ())
        self._held_back.clear()

    def get_timer(self) -> float:
        """When `handle_timer` has something to do."""
        return min(self._held_back.values(), default=inf)

    def handle_timer(self, now: float) -> None:
        """The hold-down of a peer is over."""
        if now < self.get_timer():
            return
        self._held_back = {peer: due for peer, due in self._held_back.items() if due > now}
        self._set_replicas()
        self._chord.overlay.placement_changed(now)
