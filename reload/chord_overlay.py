"""What the parts of CHORD-RELOAD share: the tables, and how they speak to other peers."""

from __future__ import annotations

from typing import Any

from reload.chord_tables import RoutingTable
from reload.contents import MessageCode
from reload.destinations import Destination, NodeDestination, ResourceDestination
from reload.methods import ChordFull, ChordNeighbors, ChordUpdate, ChordUpdateType, RouteQueryReq
from reload.topology import Overlay

_MAX_UPTIME = 0xFFFFFFFF
_OCTETS_A_PEER = 64
"""An Update has a finger for so many octets of max-message-size, four times those of a Node-ID: it always fits."""


class ChordOverlay:
    """The node as the parts see it."""

    __slots__ = ("_edition", "_neighbors", "born", "checks", "is_announced", "is_joined", "overlay", "table")

    def __init__(self, overlay: Overlay, now: float) -> None:
        self.overlay = overlay
        self.table = RoutingTable(overlay.node_id)
        self.born = now
        self.is_joined = False
        """This node is responsible for a part of the ring."""
        self.is_announced = False
        """It may send Updates: all that should be neighbors are attached (section 10.5)."""
        self.checks: dict[int, bytes] = {}
        """To whom the Updates and Pings are that wait for an answer: a peer that gives none has failed."""
        self._edition = -1
        self._neighbors = ChordNeighbors((), ())

    @property
    def node_id(self) -> bytes:
        """Of this node."""
        return self.table.node_id

    def is_connected(self, node_id: bytes) -> bool:
        """Whether there is a link to that node."""
        return node_id in self.overlay.connected()

    def ask(self, peer: bytes, code: MessageCode, body: Any, now: float) -> int:
        """A request to a node that is connected."""
        return self.overlay.request((NodeDestination(peer),), code, body, now, first_hop=peer)

    def ask_for_update(self, peer: bytes, now: float) -> int:
        """A RouteQuery to a connected peer that has it send an Update (section 6.4.2.4)."""
        body = RouteQueryReq(send_update=True, destination=ResourceDestination(self.node_id))
        return self.ask(peer, MessageCode.ROUTE_QUERY_REQ, body, now)

    def route_via(self, via: bytes | None, last: Destination) -> tuple[Destination, ...]:
        """A destination list through a connected node, or by the routing rules alone."""
        if via is None or via == self.node_id or not self.is_connected(via):
            return (last,)
        return NodeDestination(via), last

    def send_update(self, peer: bytes, kind: ChordUpdateType, now: float) -> int | None:
        """Send an Update, if this node may (section 10.7): `peer` need not be connected for one of type full."""
        if not self.is_announced:
            return None
        body = ChordUpdate(min(max(int(now - self.born), 0), _MAX_UPTIME), kind, self._tables(kind))
        if self.is_connected(peer):
            transaction = self.ask(peer, MessageCode.UPDATE_REQ, body, now)
            self.checks[transaction] = peer
        else:
            transaction = self.overlay.request((NodeDestination(peer),), MessageCode.UPDATE_REQ, body, now)
        entry = self.table.get(peer)
        if entry is not None:
            entry.told_at = now
            entry.told = max(entry.told, 0) if kind is ChordUpdateType.PEER_READY else self.table.edition
        return transaction

    def _tables(self, kind: ChordUpdateType) -> ChordNeighbors | ChordFull | None:
        table = self.table
        if kind is ChordUpdateType.PEER_READY:
            return None
        if kind is ChordUpdateType.FULL:
            room = self.overlay.configuration.max_message_size // _OCTETS_A_PEER
            return ChordFull(table.predecessors, table.successors, table.fingers()[:room])
        if self._edition != table.edition:
            self._edition = table.edition
            self._neighbors = ChordNeighbors(table.predecessors, table.successors)
        return self._neighbors
