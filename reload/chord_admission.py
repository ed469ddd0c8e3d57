"""How a CHORD-RELOAD peer admits others (RFC 6940 sections 6.4.2.1 and 10.5)."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TypeAlias

from reload.chord_overlay import ChordOverlay
from reload.chord_ring import distance, position
from reload.contents import ErrorCode, ErrorResponse
from reload.exchange import Answer, Reply, Request
from reload.methods import JoinAns

MAX_ADMISSIONS = 8
"""Joins at the same time: to each all is stored that becomes its own. Others are told that one is in progress."""

Admitted: TypeAlias = tuple[bytes, bool]
"""A node that all is stored at, and whether it is our predecessor now; else another one is, between it and us."""


def is_genuine(request: Request, node_id: bytes) -> bool:
    """Whether a Join or Leave for this Node-ID is signed by it, and has come over a link of it (section 6.4.2)."""
    return node_id == request.identity.node_id and request.is_direct


class Admission:
    """The nodes that are joining at this one."""

    __slots__ = ("_chord", "_due", "_hand_overs", "_waiting")

    def __init__(self, chord: ChordOverlay) -> None:
        self._chord = chord
        self._waiting: list[bytes] = []
        self._hand_overs: dict[int, bytes] = {}
        self._due = inf

    def on_join(self, request: Request, now: float) -> Reply:
        """A Join; the Stores begin when it is answered, by the timer."""
        joining: bytes = request.body.joining_peer_id
        if not is_genuine(request, joining) or joining == self._chord.node_id:
            return ErrorResponse(ErrorCode.FORBIDDEN)
        if not self._is_ours(joining):
            return ErrorResponse(ErrorCode.NOT_FOUND, b"another peer is responsible for that place")
        if joining not in self._waiting and joining not in self._hand_overs.values():
            if len(self._waiting) + len(self._hand_overs) >= MAX_ADMISSIONS:
                return ErrorResponse(ErrorCode.IN_PROGRESS)
            self._waiting.append(joining)
            self._due = now
        return Answer(JoinAns())

    def _is_ours(self, joining: bytes) -> bool:
        """Whether that place is in our range, or that of our predecessor, which then joins once more."""
        table = self._chord.table
        if not self._chord.is_joined:
            return False
        start = table.range_start()
        return (
            joining == table.predecessor
            or len(table) == 0
            or distance(start, position(joining)) <= distance(start, table.own)
        )

    def on_handed_over(self, hand_over: int, now: float) -> Admitted | None:
        """All values are there; None when nothing comes of it."""
        joining = self._hand_overs.pop(hand_over, None)
        if joining is None or not self._chord.is_connected(joining) or not self._chord.is_joined:
            return None
        if not self._is_ours(joining):
            return joining, False
        if joining not in self._chord.table:
            self._chord.table.add(joining, now)
        return joining, True

    def on_lost(self, peer: bytes) -> None:
        """A node is not connected any more."""
        if peer in self._waiting:
            self._waiting.remove(peer)

    def clear(self) -> None:
        """Admit nobody any more."""
        self._waiting.clear()
        self._hand_overs.clear()
        self._due = inf

    def get_timer(self) -> float:
        """When `handle_timer` has something to do."""
        return self._due

    def handle_timer(self, now: float) -> None:
        """Store at those whose Join was answered what will be theirs."""
        if now < self._due:
            return
        self._due = inf
        waiting, self._waiting = self._waiting, []
        for joining in waiting:
            self._hand_overs[self._chord.overlay.hand_over(joining, self._between(joining), now)] = joining

    def _between(self, joining: bytes) -> Callable[[bytes], bool]:
        """Whether a Resource-ID is behind the predecessor of a node that joins, and not behind that node."""
        table = self._chord.table
        others = [peer for peer in (*table.predecessors, table.node_id) if peer != joining]
        start, end = position(others[0]), position(joining)
        reach = distance(start, end)
        return lambda resource_id: 0 < distance(start, position(resource_id)) <= reach
