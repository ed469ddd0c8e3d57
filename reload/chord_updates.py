"""When a CHORD-RELOAD peer sends Updates, and how large its tables are (RFC 6940 section 10.7)."""

from __future__ import annotations

from math import ceil, inf, log2
from typing import Protocol

import attrs

from reload.chord_candidates import Candidates
from reload.chord_overlay import ChordOverlay
from reload.chord_ring import fraction
from reload.chord_tables import MIN_NEIGHBORS, Peer
from reload.exchange import Outcome
from reload.methods import ChordUpdateType

UPDATE_DELAY = 0.5
"""Seconds in which further changes are waited for before all connections are told: several joins are told at once."""
MAX_PEERS = 160
"""Connected peers in the tables: 64 neighbors at most, and 96 fingers, in three of four ranges of any real size two."""
MAX_DELAY = 5.0
"""Seconds that the Attaches to further neighbors are waited for before (section 10.7.3): as long as most take."""


@attrs.frozen
class Change:
    """What has changed in the neighbor table, by Node-IDs; and whether the range has for which we are responsible."""

    added: tuple[bytes, ...]
    removed: tuple[bytes, ...]
    is_range_changed: bool


class Maintenance(Protocol):
    """A policy of recovery: reactive or periodic, or that of RFC 7363. It sets the sizes of the tables.

    `ChordReload` tells it what happens, once a call; it sends Updates by `ChordOverlay.send_update`.
    """

    @property
    def finger_interval(self) -> float:
        """Seconds between two searches for fingers."""
        ...

    @property
    def max_peers(self) -> int:
        """Connected peers in the tables, at most: beyond, connections are closed that can be done without."""
        ...

    @property
    def is_reactive(self) -> bool:
        """Whether a loss is repaired at once, and not only from time to time."""
        ...

    def introduce(self, node_id: bytes, now: float) -> None:
        """Have a node that is attached to be a neighbor know that this one is a peer."""
        ...

    def check_fingers(self, now: float) -> None:
        """See whether the fingers are still there; called with each search for fingers."""
        ...

    def on_announced(self, now: float) -> None:
        """The node is a peer now, and all who are connected are to be told."""
        ...

    def on_stopped(self) -> None:
        """The node is no peer any more."""
        ...

    def on_changed(self, change: Change, now: float) -> None:
        """The neighbor table has changed."""
        ...

    def on_peer_added(self, peer: Peer, now: float) -> None:
        """A peer is new in the routing table."""
        ...

    def on_peer_lost(self, peer: Peer, now: float, *, has_failed: bool) -> None:
        """A peer is no longer in the routing table: it has left or failed; or only its link is gone, why ever."""
        ...

    def on_outcome(self, outcome: Outcome, now: float) -> bool:
        """What became of a request; False when it is none of the policy's own."""
        ...

    def get_timer(self) -> float:
        """When `handle_timer` has something to do."""
        ...

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        ...


class ChordMaintenance:
    """Reactive or periodic recovery, as chord-reactive says.

    The neighbor table grows with the half of log2(N): RECOMMENDED is O(log(N)), and every neighbor costs each join and
    each failure a round of Updates more.
    """

    __slots__ = ("_all_by", "_all_due", "_candidates", "_chord", "_neighbors_due", "_tick")

    def __init__(self, chord: ChordOverlay, candidates: Candidates) -> None:
        self._chord = chord
        self._candidates = candidates
        self._neighbors_due = self._all_due = self._all_by = self._tick = inf

    @property
    def finger_interval(self) -> float:
        """chord-ping-interval."""
        return float(self._chord.overlay.configuration.chord_ping_interval)

    @property
    def max_peers(self) -> int:
        """Always the same: most connections are not much used."""
        return MAX_PEERS

    @property
    def is_reactive(self) -> bool:
        """chord-reactive."""
        return self._chord.overlay.configuration.chord_reactive

    def introduce(self, node_id: bytes, now: float) -> None:
        """Tell it the neighbor table at once."""
        self._chord.send_update(node_id, ChordUpdateType.NEIGHBORS, now)

    def check_fingers(self, now: float) -> None:
        """An Update of type peer_ready shows whether a peer is there that is no neighbor (section 10.7)."""
        table, interval = self._chord.table, self.finger_interval
        for peer in table.peers():
            heard = self._chord.overlay.is_quiet_since(peer.node_id)
            if heard is not None and now - heard >= interval / 2 and not table.is_neighbor(peer.node_id):
                self._chord.send_update(peer.node_id, ChordUpdateType.PEER_READY, now)

    def on_announced(self, now: float) -> None:
        """Tell all connections; neighbors then get Updates periodically."""
        self._all_due = self._all_by = now
        self._tick = self._next_tick(now)

    def on_stopped(self) -> None:
        """Send none any more."""
        self._neighbors_due = self._all_due = self._all_by = self._tick = inf

    def on_changed(self, change: Change, now: float) -> None:
        """Plan Updates: those about a loss at once, others when further changes have had time."""
        if change.removed and self.is_reactive:
            self._neighbors_due = now
        if change.is_range_changed and change.removed:
            # "If the neighbor failure affects the peer's range": section 10.7.1.
            self._all_due = self._all_by = now
        elif change.is_range_changed or (change.added and self.is_reactive):
            self._all_due = min(self._all_due, now + UPDATE_DELAY)
            self._all_by = min(self._all_by, now + MAX_DELAY)

    def on_peer_added(self, peer: Peer, now: float) -> None:
        """Have it know that it may route through us; of neighbors that change the table, `on_changed` takes care."""
        if peer.told >= 0:
            return
        is_neighbor = self._chord.table.is_neighbor(peer.node_id)
        if not is_neighbor:
            self._chord.send_update(peer.node_id, ChordUpdateType.PEER_READY, now)
        elif not self.is_reactive:
            self._chord.send_update(peer.node_id, ChordUpdateType.NEIGHBORS, now)

    def on_peer_lost(self, peer: Peer, now: float, *, has_failed: bool) -> None:
        """Nothing more to do."""

    def on_outcome(self, outcome: Outcome, now: float) -> bool:
        """There are none."""
        return False

    def get_timer(self) -> float:
        """When `handle_timer` has something to do."""
        return min(self._neighbors_due, self._all_due, self._tick)

    def handle_timer(self, now: float) -> None:
        """Send what is due."""
        if now >= self._all_due:
            if self._candidates.is_busy and now < self._all_by:
                self._all_due = min(now + UPDATE_DELAY, self._all_by)
            else:
                self._neighbors_due = self._all_due = self._all_by = inf
                self._tell(sorted(self._chord.overlay.connected()), now)
        if now >= self._neighbors_due:
            self._neighbors_due = inf
            self._tell(self._chord.table.neighbors(), now)
        if now >= self._tick:
            self._tick_over(now)

    def _tell(self, nodes: list[bytes] | tuple[bytes, ...], now: float) -> None:
        """Send an Update to all of these that do not know the neighbor table as it is."""
        table = self._chord.table
        for node_id in nodes:
            peer = table.get(node_id)
            if peer is None or peer.told != table.edition:
                self._chord.send_update(node_id, ChordUpdateType.NEIGHBORS, now)

    def _tick_over(self, now: float) -> None:
        """One neighbor a tick, which has waited longest: so they are sent to one after the other (section 10.7.4.1)."""
        table = self._chord.table
        size = table.estimated_size()
        wanted = max(ceil(log2(size) / 2), MIN_NEIGHBORS)
        # Smaller only by two at once: an estimate that wavers would have all told of the change each time.
        if (
            wanted > table.neighbor_count
            or wanted < table.neighbor_count - 1
            or table.needed_fingers() > table.finger_count
        ):
            table.resize(wanted, table.needed_fingers())
        self._tick = self._next_tick(now)
        peers = [peer for peer in map(table.get, table.neighbors()) if peer is not None]
        if peers:
            oldest = min(peers, key=lambda peer: peer.told_at)
            if now - oldest.told_at >= self._interval / 2:
                self._chord.send_update(oldest.node_id, ChordUpdateType.NEIGHBORS, now)

    @property
    def _interval(self) -> float:
        return float(self._chord.overlay.configuration.chord_update_interval)

    def _next_tick(self, now: float) -> float:
        """Within the interval, there is a tick for each neighbor; by chance sooner or later by the half."""
        spread = 0.5 + fraction(self._chord.overlay.random_bytes)
        return now + spread * self._interval / max(len(self._chord.table.neighbors()), 1)
