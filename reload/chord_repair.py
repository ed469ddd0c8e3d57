"""What a CHORD-RELOAD peer does about lost neighbors besides Updates (RFC 6940 section 10.7.1)."""

from __future__ import annotations

from math import inf

from reload.chord_overlay import ChordOverlay

ASK_DELAY = 2.0
"""Seconds until a peer that stands in for a lost neighbor is asked who is around it, unless better ones are named."""
REJOIN_DELAY = 10.0
"""The same, until who has lost all successors joins anew: by then those that were asked have answered."""

REMEMBERED = 60.0
"""Seconds in which losses count as one: links of nodes that fail together are not found lost at the same time."""


class Repair:
    """Finds out who is really next to this node, when only others of the routing table are left to stand in.

    Messages never show it: all that is for the gap behind this node is routed to this node.
    """

    __slots__ = ("_ask_due", "_chord", "_rejoin_due", "_stand_ins", "_unasked")

    def __init__(self, chord: ChordOverlay) -> None:
        self._chord = chord
        self._stand_ins: dict[bytes, float] = {}
        self._unasked: dict[bytes, None] = {}
        self._ask_due = self._rejoin_due = inf

    def on_removed(self, stand_ins: tuple[bytes, ...], now: float) -> None:
        """Neighbors are lost, and others of the table have their places, as successors or as predecessors."""
        self._stand_ins = {each: since for each, since in self._stand_ins.items() if now - since < REMEMBERED}
        self._stand_ins.update(dict.fromkeys(stand_ins, now))
        self._unasked.update(dict.fromkeys(stand_ins))
        self._ask_due = min(self._ask_due, now + ASK_DELAY)
        if all(each in self._stand_ins for each in self._chord.table.successors):
            self._rejoin_due = min(self._rejoin_due, now + REJOIN_DELAY)

    def stop(self) -> None:
        """Repair nothing any more."""
        self._stand_ins.clear()
        self._unasked.clear()
        self._ask_due = self._rejoin_due = inf

    def get_timer(self) -> float:
        """When `handle_timer` has something to do."""
        return min(self._ask_due, self._rejoin_due)

    def handle_timer(self, now: float) -> bool:
        """Ask who stands in. True when this node is to join anew."""
        if now >= self._ask_due:
            self._ask_due = inf
            unasked, self._unasked = self._unasked, {}
            for node_id in unasked:
                if self._chord.table.is_neighbor(node_id):
                    self._chord.ask_for_update(node_id, now)
        is_due = now >= self._rejoin_due
        if is_due:
            self._rejoin_due = inf
        return is_due
