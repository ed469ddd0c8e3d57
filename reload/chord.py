"""CHORD-RELOAD, the topology plug-in that every overlay can have (RFC 6940 section 10)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from math import inf
from typing import TypeAlias

from reload.chord_admission import Admission, is_genuine
from reload.chord_candidates import FAILED_REST, MAX_LISTED, NOBODY, REST, Candidates
from reload.chord_join import Joining, JoinState
from reload.chord_leave import Leaving, named_by
from reload.chord_overlay import ChordOverlay
from reload.chord_placement import ChordPlacement
from reload.chord_queries import RouteQueries
from reload.chord_repair import Repair
from reload.chord_ring import finger_index, is_node
from reload.chord_stabilise import Fingers, PartitionCheck
from reload.chord_tables import Peer, RoutingTable
from reload.chord_updates import Change, ChordMaintenance, Maintenance
from reload.contents import ErrorCode, ErrorResponse, MessageCode
from reload.errors import DecodeError, StateError
from reload.exchange import Answer, Failure, Outcome, Reply, Request
from reload.methods import (
    ChordFull,
    ChordUpdate,
    ChordUpdateType,
    Empty,
)
from reload.topology import BootstrapWanted, Joined, JoinFailed, Left, Overlay, TopologyEvent

MakeMaintenance: TypeAlias = Callable[[ChordOverlay, Candidates], Maintenance]


class ChordReload:
    """A `Topology`: it keeps the tables of this node, and says where messages go and what this node is to store.

    It owns the parts and tells each what concerns it; behind every input, `_settle` draws the consequences.
    """

    def __init__(self, overlay: Overlay, now: float, *, make_maintenance: MakeMaintenance = ChordMaintenance) -> None:
        self._overlay = overlay
        self._chord = ChordOverlay(overlay, now)
        self._table = self._chord.table
        self._candidates = Candidates(self._chord)
        self._maintenance = make_maintenance(self._chord, self._candidates)
        self._placement = ChordPlacement(self._chord)
        self._joining = Joining(self._chord, self._candidates, self)
        self._admission = Admission(self._chord)
        self._fingers = Fingers(self._chord, self._maintenance)
        self._partition = PartitionCheck(self._chord)
        self._repair = Repair(self._chord)
        self._queries = RouteQueries(self._chord, self.next_hop)
        self._leaving = Leaving(self._chord)
        self._events: deque[TopologyEvent] = deque()
        self._edition = self._table.edition
        self._neighbors: tuple[bytes, ...] = ()
        self._successors: tuple[bytes, ...] = ()
        self._predecessors: tuple[bytes, ...] = ()

    # What a Topology shows.

    @property
    def is_joined(self) -> bool:
        """Whether this node is a peer of the overlay."""
        return self._chord.is_joined

    @property
    def table(self) -> RoutingTable:
        """The peers that this node routes through."""
        return self._table

    def is_responsible(self, resource_id: bytes) -> bool:
        """Whether this node is the one: the Resource-ID is between its predecessor and itself (section 10.1)."""
        return self._placement.is_responsible(resource_id)

    def owner(self, resource_id: bytes) -> bytes | None:
        """The peer that is responsible, as far as the neighbor table shows it; None when that does not reach so far."""
        return self._placement.owner(resource_id)

    def replica_peers(self, resource_id: bytes) -> tuple[bytes, ...]:
        """The two peers behind this one that hold replicas of what it is responsible for (section 10.4)."""
        return self._placement.replica_peers(resource_id)

    def accepts_replica(self, senders: Collection[bytes], resource_id: bytes, replica_number: int) -> bool:
        """Whether this node holds replicas of that resource, and one of the senders is near enough to send them."""
        return self._is_active and self._placement.accepts_replica(senders, resource_id, replica_number)

    def keeps(self, resource_id: bytes) -> bool:
        """Whether less than three peers are between the resource and this node (section 10.7.3)."""
        return self._placement.keeps(resource_id)

    def is_plausible_responder(self, node_id: bytes, resource_id: bytes) -> bool:
        """Whether no peer that is known here is closer to the Resource-ID (section 6.3.4)."""
        return self._placement.is_plausible_responder(node_id, resource_id)

    def responsible_ppb(self) -> int:
        """The share of the ring that this node is responsible for, in parts per billion."""
        return self._placement.responsible_ppb()

    def next_hop(self, target: bytes, previous_hop: bytes | None = None) -> bytes | None:
        """Where a message for this identifier goes (section 10.3); None: it ends here.

        A node that is no peer and knows none yet sends all to the node that it joins by, or to whom it is connected.
        """
        if self._placement.is_responsible(target):
            return None
        hop = self._table.next_hop(target, previous_hop)
        if hop is not None or self._chord.is_joined:
            return hop
        connected, bootstrap = self._overlay.connected(), self._joining.bootstrap
        return bootstrap if bootstrap in connected else min(connected, default=None)

    def routing_table_size(self) -> int:
        """Peers in the routing table."""
        return len(self._table)

    def is_misrouted(self, upstream: bytes, target: bytes) -> bool:
        """Whether a peer has broken section 10.3 by sending here what goes to `target`, as far as that shows."""
        return self._chord.is_joined and self._table.is_misrouted(upstream, target)

    def next_event(self) -> TopologyEvent | None:
        """The next event, if any."""
        return self._events.popleft() if self._events else None

    # Verbs.

    def start(self, now: float) -> None:
        """Be the first peer of a new overlay. Raises StateError."""
        self._require_outside("start")
        self._chord.is_joined = True
        self._announce(now)
        self._events.append(Joined())
        self._settle(now)

    def join(self, bootstrap: bytes, now: float) -> None:
        """Become a peer, through a node that a link leads to. `Joined` or `JoinFailed` follows. Raises StateError."""
        self._require_outside("join")
        if not self._chord.is_connected(bootstrap):
            raise StateError("join: no link leads to the bootstrap node")
        self._joining.start(bootstrap, now)
        self._settle(now)

    def _require_outside(self, verb: str) -> None:
        if self._chord.is_joined or self._leaving.is_under_way or self._joining.state is not JoinState.IDLE:
            raise StateError(f"{verb}: this node is a peer already, or is about to be one, or to leave")

    def leave(self, now: float) -> None:
        """Say goodbye (section 10.9). `Left` follows. Raises StateError."""
        if not self._chord.is_joined and self._joining.state is JoinState.IDLE:
            raise StateError("leave: this node is no peer")
        was_joined = self._chord.is_joined
        self._chord.is_joined = self._chord.is_announced = False
        self._joining.stop()
        self._maintenance.on_stopped()
        self._fingers.stop()
        self._partition.stop()
        self._admission.clear()
        self._placement.clear()
        self._candidates.clear()
        self._repair.stop()
        self._queries.stop()
        self._leaving.begin(now, was_joined=was_joined)

    def on_bootstrap(self, bootstrap: bytes, now: float) -> None:
        """See through a bootstrap node whether the overlay is one (section 10.7.4.4)."""
        if not self._chord.is_joined or not self._chord.is_connected(bootstrap):
            return
        if len(self._table):
            self._partition.discovered(bootstrap, now)
        else:
            # Nobody is left, so that this is a join (section 10.7.1).
            self._joining.rejoin(bootstrap, now)
        self._settle(now)

    # Connections.

    def on_connected(self, peer: bytes, now: float, *, send_update: bool) -> None:
        """There is a link to an attached node now. Before this node is announced, it owes no Update."""
        if send_update:
            self._chord.send_update(peer, ChordUpdateType.FULL, now)
        self._settle(now)

    def on_disconnected(self, peer: bytes, now: float) -> None:
        """The last link to this node is gone (sections 10.7.1 and 10.7.2)."""
        self._lose(peer, FAILED_REST, now, has_failed=False)
        self._settle(now)

    def on_attached(self, attach: int, peer: bytes | None, now: float) -> None:
        """What became of an Attach. A peer that is to be a neighbor is told at once that this node is one."""
        known = self._candidates.on_attached(attach, peer, now) or self._fingers.on_attached(attach, peer, now)
        if known and peer is not None and peer not in self._table and self._table.is_wanted(self._table.ahead(peer)):
            self._maintenance.introduce(peer, now)
        if not known:
            _ = self._joining.on_attached(attach, peer, now) or self._partition.on_attached(attach, peer, now)
        self._settle(now)

    def _lose(self, peer: bytes, rest: float, now: float, *, has_failed: bool) -> None:
        entry = self._table.remove(peer)
        if entry is not None:
            self._candidates.rest(peer, rest, now)
            self._maintenance.on_peer_lost(entry, now, has_failed=has_failed)
            if peer not in self._neighbors and self._chord.is_announced:
                self._lose_finger(entry, now)
        self._joining.on_lost(peer, now)
        self._admission.on_lost(peer)

    def _lose_finger(self, entry: Peer, now: float) -> None:
        if self._maintenance.is_reactive:
            self._fingers.search_soon(finger_index(entry.ahead), now)
        if len(self._table) <= len(self._table.neighbors()):
            # "If connectivity is lost to all the peers in the Finger Table": section 10.7.1.
            self._partition.hurry(now)

    # Requests.

    def on_request(self, request: Request, now: float) -> Reply:
        """A Join, Leave, Update or RouteQuery. Never raises on what a peer sent."""
        answer = _ON_REQUEST[MessageCode(request.message_code)]
        reply = answer(self, request, now)
        self._settle(now)
        return reply

    def _on_join(self, request: Request, now: float) -> Reply:
        return self._admission.on_join(request, now)

    def _on_update(self, request: Request, now: float) -> Reply:
        sender, update = request.identity.node_id, request.body
        if sender == self._chord.node_id or not is_node(sender):
            return ErrorResponse(ErrorCode.FORBIDDEN)
        # One that was forwarded may be old, and says nothing about a link.
        if request.is_direct and self._chord.is_connected(sender):
            self._on_peer(sender, update, now)
        elif self._is_active:
            self._candidates.consider(request.previous_hop, (sender,), now, author=NOBODY)
        return Answer(Empty())

    @property
    def _is_active(self) -> bool:
        """Whether this node wants neighbors: clients and those that leave have none."""
        return self._chord.is_joined or self._joining.state is not JoinState.IDLE

    def _on_peer(self, sender: bytes, update: ChordUpdate, now: float) -> None:
        if self._leaving.is_under_way:
            return
        is_new = sender not in self._table
        peer = self._table.add(sender, now - update.uptime)
        tables = update.tables
        if tables is not None and self._is_active:
            listed = tables.predecessors[:MAX_LISTED] + tables.successors[:MAX_LISTED]
            if isinstance(tables, ChordFull):
                listed += tables.fingers[:MAX_LISTED]
            self._candidates.consider(sender, listed, now)
        if is_new:
            self._candidates.forget(sender)
            self._maintenance.on_peer_added(peer, now)
        self._joining.on_update(sender, update, now)

    def _on_leave(self, request: Request, now: float) -> Reply:
        leaving = request.body.leaving_peer_id
        if not is_genuine(request, leaving):
            return ErrorResponse(ErrorCode.FORBIDDEN)
        try:
            named = named_by(request.body)
        except DecodeError as exc:
            return ErrorResponse(ErrorCode.INVALID_MESSAGE, str(exc).encode())
        was_known = leaving in self._table
        self._lose(leaving, REST, now, has_failed=True)
        if was_known and self._is_active:
            self._candidates.consider(leaving, named[:MAX_LISTED], now)
        return Answer(Empty())

    def _on_route_query(self, request: Request, now: float) -> Reply:
        return self._queries.on_request(request, now)

    # Outcomes.

    def on_outcome(self, outcome: Outcome, now: float) -> None:
        """What became of a request. A peer that does not answer an Update has failed."""
        self._queries.on_outcome(outcome)
        peer = self._chord.checks.pop(outcome.transaction, None)
        if peer is not None:
            if isinstance(outcome, Failure) and outcome.error is None and peer in self._table:
                if self._chord.is_connected(peer):
                    self._overlay.disconnect(peer, now)
                self._lose(peer, FAILED_REST, now, has_failed=True)
        else:
            _ = (
                self._leaving.on_outcome(outcome, now)
                or self._joining.on_outcome(outcome, now)
                or self._fingers.on_outcome(outcome, now)
                or self._partition.on_outcome(outcome, now)
                or self._maintenance.on_outcome(outcome, now)
            )
        self._settle(now)

    def on_handed_over(self, hand_over: int, now: float) -> None:
        """All values are with a node that joins: it is our predecessor now, and is told so (section 10.5, step 7)."""
        admitted = self._admission.on_handed_over(hand_over, now)
        if admitted is not None:
            joining, is_predecessor = admitted
            self._chord.send_update(joining, ChordUpdateType.NEIGHBORS, now)
            if is_predecessor:
                self._candidates.forget(joining)
        self._settle(now)

    # The join, as its owner.

    def on_joining(self, now: float) -> None:
        """All neighbors are attached: fingers are."""
        self._fingers.fill(now)

    def on_placed(self, now: float) -> None:
        """Be responsible."""
        if not self._chord.is_joined:
            self._chord.is_joined = True
            self._events.append(Joined())
        self._placement.refresh(now)

    def on_settled(self, now: float) -> None:
        """Tell all. The link to the bootstrap node has served, unless it is one to a neighbor or finger."""
        if self._joining.bootstrap is not None:
            self._release(self._joining.bootstrap, now)
        if not self._chord.is_announced:
            self._announce(now)

    def on_join_failed(self, reason: str, now: float) -> None:
        """Be no peer; but who has been one stays it, and its partition check goes on."""
        if not self._chord.is_joined:
            self._candidates.clear()
            self._fingers.stop()
            self._table.clear()
            self._events.append(JoinFailed(reason))

    def _announce(self, now: float) -> None:
        self._chord.is_announced = True
        self._maintenance.on_announced(now)
        self._fingers.start(now)
        self._partition.start(now)

    def _release(self, node_id: bytes, now: float) -> None:
        if node_id not in self._table and node_id not in self._candidates and self._chord.is_connected(node_id):
            self._overlay.disconnect(node_id, now)

    # Consequences.

    def _settle(self, now: float) -> None:
        if self._table.edition != self._edition:
            self._on_edition(now)
        self._candidates.pump(now)
        self._joining.advance(now)
        if self._partition.is_wanted:
            self._partition.is_wanted = False
            self._events.append(BootstrapWanted())
        while self._partition.done:
            self._release(self._partition.done.pop(), now)
        if len(self._table) > self._maintenance.max_peers:
            self._prune(now)

    def _on_edition(self, now: float) -> None:
        """The neighbor table has changed."""
        table, before, successors, predecessors = self._table, self._neighbors, self._successors, self._predecessors
        self._edition, self._neighbors = table.edition, table.neighbors()
        self._successors, self._predecessors = table.successors, table.predecessors
        is_range_changed = table.predecessors[:1] != predecessors[:1]
        if self._chord.is_joined:
            self._placement.refresh(now)
        if not self._chord.is_announced:
            return
        added = tuple([peer for peer in self._neighbors if peer not in before])
        removed = tuple([peer for peer in before if peer not in table])
        self._maintenance.on_changed(Change(added, removed, is_range_changed), now)
        if not removed:
            return
        if not len(table):
            self._partition.hurry(now)
            return
        stand_ins = [peer for peer in table.successors if peer not in successors]
        stand_ins += [peer for peer in table.predecessors if peer not in predecessors]
        self._repair.on_removed(tuple(stand_ins), now)

    def _prune(self, now: float) -> None:
        """Close a connection that is the least use: to who is no near neighbor, and whose range has most peers."""
        surplus = self._table.surplus()
        if surplus:
            quietest = min(surplus, key=lambda peer: self._overlay.is_quiet_since(peer.node_id) or 0.0)
            self._table.remove(quietest.node_id)
            self._overlay.disconnect(quietest.node_id, now)

    # Time.

    def get_timer(self) -> float | None:
        """When `handle_timer` is due."""
        due = min(
            self._candidates.get_timer(),
            self._joining.get_timer(),
            self._admission.get_timer(),
            self._placement.get_timer(),
            self._maintenance.get_timer(),
            self._fingers.get_timer(),
            self._partition.get_timer(),
            self._repair.get_timer(),
            self._queries.get_timer(),
            self._leaving.get_timer(),
        )
        return due if due < inf else None

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self._joining.handle_timer(now)
        self._admission.handle_timer(now)
        self._placement.handle_timer(now)
        self._fingers.handle_timer(now)
        self._partition.handle_timer(now)
        self._queries.handle_timer(now)
        if self._repair.handle_timer(now):
            self._joining.rejoin(None, now)
        if self._leaving.handle_timer(now):
            self._finish_leaving()
        self._settle(now)
        # Last, so that it tells of all that the others have found.
        self._maintenance.handle_timer(now)

    def _finish_leaving(self) -> None:
        self._table.clear()
        self._edition, self._neighbors, self._successors, self._predecessors = self._table.edition, (), (), ()
        self._events.append(Left())


_ON_REQUEST: dict[MessageCode, Callable[[ChordReload, Request, float], Reply]] = {
    MessageCode.JOIN_REQ: ChordReload._on_join,
    MessageCode.LEAVE_REQ: ChordReload._on_leave,
    MessageCode.UPDATE_REQ: ChordReload._on_update,
    MessageCode.ROUTE_QUERY_REQ: ChordReload._on_route_query,
}
