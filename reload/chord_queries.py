"""RouteQueries that a CHORD-RELOAD peer answers, and the Updates that it owes for them (RFC 6940 section 10.8)."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from reload.chord_overlay import ChordOverlay
from reload.contents import ErrorCode, ErrorResponse
from reload.destinations import NodeDestination, ResourceDestination
from reload.exchange import Answer, Outcome, Reply, Request
from reload.methods import ChordRouteQueryAns, ChordUpdateType, RouteQueryReq

MAX_ASKED = 32
"""Full Updates for RouteQueries that are owed or not answered yet, one to a node; who asks beyond that gets the answer
alone, but for nodes that are connected: a neighbor that asks is not to wait for any number of Node-IDs from afar."""


class RouteQueries:
    """Answers them; the Updates follow, by the timer. Its length is how many are owed, or not answered yet."""

    __slots__ = ("_chord", "_due", "_next_hop", "_owed", "_sent")

    def __init__(self, chord: ChordOverlay, next_hop: Callable[[bytes], bytes | None]) -> None:
        self._chord = chord
        self._next_hop = next_hop
        self._owed: dict[bytes, None] = {}
        self._sent: dict[int, bytes] = {}
        self._due = inf

    def __len__(self) -> int:
        return len(self._owed) + len(self._sent)

    def on_request(self, request: Request, now: float) -> Reply:
        """Where we would send what goes to the destination; to ourselves, when it ends here."""
        body: RouteQueryReq = request.body
        match body.destination:
            case NodeDestination(target) if self._chord.is_connected(target):
                next_peer = target
            case NodeDestination(target) | ResourceDestination(target):
                next_peer = self._next_hop(target) or self._chord.node_id
            case _:
                # Opaque IDs are for privacy, which an answer would end (section 6.4.2.4.1).
                return ErrorResponse(ErrorCode.FORBIDDEN)
        if body.send_update and self._chord.is_announced:
            self._owe(request.identity.node_id, now)
        return Answer(ChordRouteQueryAns(next_peer))

    def _owe(self, node_id: bytes, now: float) -> None:
        has_room = len(self) < MAX_ASKED or self._chord.is_connected(node_id)
        if has_room and node_id not in self._sent.values():
            self._owed[node_id] = None
            self._due = now

    def on_outcome(self, outcome: Outcome) -> None:
        """An Update of these may be what is answered."""
        self._sent.pop(outcome.transaction, None)

    def stop(self) -> None:
        """Owe nothing any more."""
        self._owed.clear()
        self._due = inf

    def get_timer(self) -> float:
        """When `handle_timer` has something to do."""
        return self._due

    def handle_timer(self, now: float) -> None:
        """Send what is owed."""
        if now < self._due:
            return
        self._due = inf
        owed, self._owed = self._owed, {}
        for node_id in owed:
            transaction = self._chord.send_update(node_id, ChordUpdateType.FULL, now)
            if transaction is not None:
                self._sent[transaction] = node_id
