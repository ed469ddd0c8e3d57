"""How a CHORD-RELOAD peer says goodbye, and what others say (RFC 6940 sections 6.4.2.2 and 10.9)."""

from __future__ import annotations

from math import inf

from reload._presentation import decode, encode
from reload.chord_overlay import ChordOverlay
from reload.chord_ring import RING
from reload.contents import MessageCode
from reload.exchange import Outcome
from reload.methods import ChordLeaveData, ChordLeaveType, LeaveReq

LEAVE_PATIENCE = 5.0
"""Seconds in which a node that leaves waits for answers, and forwards Attaches to those that it has named."""


def named_by(body: LeaveReq) -> tuple[bytes, ...]:
    """The peers that a Leave names, none where it has no ChordLeaveData. Raises DecodeError."""
    if not body.overlay_specific_data:
        return ()
    return decode(ChordLeaveData, body.overlay_specific_data).peers


class Leaving:
    """The goodbye of this node."""

    __slots__ = ("_chord", "_due", "_leaves")

    def __init__(self, chord: ChordOverlay) -> None:
        self._chord = chord
        self._leaves: set[int] = set()
        self._due = inf

    @property
    def is_under_way(self) -> bool:
        """Whether this node has said goodbye, and has not left yet."""
        return self._due < inf

    def begin(self, now: float, *, was_joined: bool) -> None:
        """Tell all peers, if this node was one."""
        table = self._chord.table
        from_succ = encode(ChordLeaveData(ChordLeaveType.FROM_SUCC, table.successors))
        from_pred = encode(ChordLeaveData(ChordLeaveType.FROM_PRED, table.predecessors))
        for peer in table.peers() if was_joined else ():
            # Who is nearer ahead of us than behind us has us as a predecessor.
            data = from_pred if peer.ahead <= RING // 2 else from_succ
            body = LeaveReq(leaving_peer_id=table.node_id, overlay_specific_data=data)
            self._leaves.add(self._chord.ask(peer.node_id, MessageCode.LEAVE_REQ, body, now))
        self._due = now + LEAVE_PATIENCE if self._leaves else now

    def on_outcome(self, outcome: Outcome, now: float) -> bool:
        """What became of a Leave; False when it is none."""
        if outcome.transaction not in self._leaves:
            return False
        self._leaves.remove(outcome.transaction)
        if not self._leaves:
            self._due = now
        return True

    def get_timer(self) -> float:
        """When `handle_timer` has something to do."""
        return self._due

    def handle_timer(self, now: float) -> bool:
        """Whether this node has left now."""
        if now < self._due:
            return False
        self._due = inf
        self._leaves.clear()
        return True
