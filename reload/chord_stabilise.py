"""How a CHORD-RELOAD peer looks for fingers, and whether the ring is still one (RFC 6940 section 10.7.4)."""

from __future__ import annotations

from math import inf

from reload.chord_overlay import ChordOverlay
from reload.chord_ring import finger_index, finger_range, fraction, identifier, random_ahead
from reload.chord_tables import MIN_FINGERS
from reload.chord_updates import Maintenance
from reload.contents import MessageCode
from reload.destinations import NodeDestination, ResourceDestination
from reload.exchange import Outcome, Response
from reload.methods import ChordUpdateType, PingReq

MAX_FINGER_ATTACHES = 4
"""Attaches for fingers at the same time; during a join, when neighbors are attached as well."""
SEARCH_DELAY = 5.0
"""Seconds within which a lost finger is searched for, by chance: whoever had the same finger searches as well."""
MAX_CHECKS = 4
"""Checks through bootstrap nodes at the same time."""


class Fingers:
    """The search for peers in the ranges of the finger table."""

    __slots__ = ("_attaches", "_chord", "_lost", "_maintenance", "_pings", "_search", "_starts", "_tick")

    def __init__(self, chord: ChordOverlay, maintenance: Maintenance) -> None:
        self._chord = chord
        self._maintenance = maintenance
        self._attaches: set[int] = set()
        self._pings: dict[int, int] = {}
        self._starts: list[int] = []
        self._lost: dict[int, None] = {}
        self._tick = self._search = inf

    def start(self, now: float) -> None:
        """Search from time to time, first when a part of the interval is over, by chance."""
        self._tick = now + self._maintenance.finger_interval * (0.5 + fraction(self._chord.overlay.random_bytes) / 2)

    def stop(self) -> None:
        """Search no more."""
        self._attaches.clear()
        self._pings.clear()
        self._starts.clear()
        self._lost.clear()
        self._tick = self._search = inf

    def fill(self, now: float) -> None:
        """Attach to whoever is at the start of each range without a finger, the farthest first (section 10.5)."""
        self._starts = self._chord.table.invalid_fingers()[::-1]
        self._fill_on(now)

    def _fill_on(self, now: float) -> None:
        while self._starts and len(self._attaches) < MAX_FINGER_ATTACHES:
            index = self._starts.pop()
            if not self._chord.table.in_range(index):
                start = identifier(self._chord.table.own + finger_range(index)[0])
                self._attach(ResourceDestination(start), now)

    def _attach(self, destination: NodeDestination | ResourceDestination, now: float) -> None:
        self._attaches.add(self._chord.overlay.attach((destination,), now, send_update=True))

    def search_soon(self, index: int, now: float) -> None:
        """The i'th finger has failed (section 10.7.2)."""
        self._lost[index] = None
        self._search = min(self._search, now + SEARCH_DELAY * fraction(self._chord.overlay.random_bytes))

    def on_attached(self, attach: int, peer: bytes | None, now: float) -> bool:
        """What became of an Attach; False when it is none of these. A finger it is when its Update comes."""
        if attach not in self._attaches:
            return False
        self._attaches.remove(attach)
        self._fill_on(now)
        return True

    def on_outcome(self, outcome: Outcome, now: float) -> bool:
        """What became of a Ping; False when it is none of these."""
        index = self._pings.pop(outcome.transaction, None)
        if index is None:
            return False
        if isinstance(outcome, Response):
            found, table = outcome.identity.node_id, self._chord.table
            if found == table.node_id or found in table or finger_index(table.ahead(found)) != index:
                return True
            if self._chord.is_connected(found):
                self._chord.ask_for_update(found, now)
            elif len(self._attaches) < MAX_FINGER_ATTACHES:
                self._attach(NodeDestination(found), now)
        return True

    def get_timer(self) -> float:
        """When `handle_timer` has something to do."""
        return min(self._tick, self._search)

    def handle_timer(self, now: float) -> None:
        """Search, and see whether the fingers are still there."""
        if now >= self._search:
            self._search = inf
            lost, self._lost = self._lost, {}
            invalid = self._chord.table.invalid_fingers()
            for index in [index for index in invalid if index in lost][:MAX_FINGER_ATTACHES]:
                self._ping(index, now)
        if now >= self._tick:
            self._tick = now + self._maintenance.finger_interval * (1 + fraction(self._chord.overlay.random_bytes) / 8)
            self.search(now)
            self._maintenance.check_fingers(now)

    def search(self, now: float) -> None:
        """Ping a random place for one entry that has no peer (section 10.7.4.2), or to have 16 of them (10.7.4.3)."""
        table = self._chord.table
        chosen = table.invalid_fingers()
        if not chosen and len(table) < MIN_FINGERS and len(table) >= 2 * table.neighbor_count:
            chosen = list(range(1, finger_index(table.ahead(table.successors[-1])) + 1))
        for index in chosen:
            if self._chord.overlay.random_bytes(1)[0] & 1:
                self._ping(index, now)
                return

    def _ping(self, index: int, now: float) -> None:
        ahead = random_ahead(index, self._chord.overlay.random_bytes)
        place = ResourceDestination(identifier(self._chord.table.own + ahead))
        self._pings[self._chord.overlay.request((place,), MessageCode.PING_REQ, PingReq(), now)] = index


class PartitionCheck:
    """Asks through a bootstrap node who is behind us: it should be our successor (section 10.7.4.4, T27)."""

    __slots__ = ("_attaches", "_chord", "_pings", "_tick", "done", "is_wanted")

    def __init__(self, chord: ChordOverlay) -> None:
        self._chord = chord
        self.done: list[bytes] = []
        """Bootstrap nodes that are not needed any more."""
        self._pings: dict[int, bytes] = {}
        self._attaches: dict[int, bytes] = {}
        self._tick = inf
        self.is_wanted = False
        """The driver is to find a bootstrap node."""

    def start(self, now: float) -> None:
        """Check from time to time: as often as neighbors are told, at a time by chance."""
        interval = self._chord.overlay.configuration.chord_update_interval
        self._tick = now + interval * (0.5 + fraction(self._chord.overlay.random_bytes))

    def stop(self) -> None:
        """Check no more."""
        self._pings.clear()
        self._attaches.clear()
        self.done.clear()
        self._tick = inf
        self.is_wanted = False

    def hurry(self, now: float) -> None:
        """Check at once."""
        self._tick = min(self._tick, now)

    def discovered(self, bootstrap: bytes, now: float) -> None:
        """A bootstrap node is connected."""
        if len(self._pings) + len(self._attaches) < MAX_CHECKS:
            route = self._chord.route_via(bootstrap, self._behind_us())
            ping = self._chord.overlay.request(route, MessageCode.PING_REQ, PingReq(), now, first_hop=bootstrap)
            self._pings[ping] = bootstrap
        elif bootstrap not in (*self._pings.values(), *self._attaches.values()):
            self.done.append(bootstrap)

    def _behind_us(self) -> ResourceDestination:
        return ResourceDestination(identifier(self._chord.table.own + 1))

    def on_outcome(self, outcome: Outcome, now: float) -> bool:
        """What became of a Ping; False when it is none of these."""
        bootstrap = self._pings.pop(outcome.transaction, None)
        if bootstrap is None:
            return False
        found = outcome.identity.node_id if isinstance(outcome, Response) else None
        if found is None or found == self._chord.node_id or found in self._chord.table:
            self.done.append(bootstrap)
        elif self._chord.is_connected(found):
            self._tell(found, bootstrap, now)
            self._chord.ask_for_update(found, now)
        else:
            # "P SHOULD send an Attach to S' routed through B, followed by an Update sent to S'."
            route = self._chord.route_via(bootstrap, NodeDestination(found))
            self._attaches[self._chord.overlay.attach(route, now, send_update=True)] = bootstrap
        return True

    def on_attached(self, attach: int, peer: bytes | None, now: float) -> bool:
        """What became of an Attach; False when it is none of these."""
        bootstrap = self._attaches.pop(attach, None)
        if bootstrap is None:
            return False
        self._tell(peer, bootstrap, now)
        return True

    def _tell(self, peer: bytes | None, bootstrap: bytes, now: float) -> None:
        if peer is not None:
            self._chord.send_update(peer, ChordUpdateType.NEIGHBORS, now)
        if peer != bootstrap:
            self.done.append(bootstrap)

    def get_timer(self) -> float:
        """When `handle_timer` has something to do."""
        return self._tick

    def handle_timer(self, now: float) -> None:
        """Have a bootstrap node discovered."""
        if now >= self._tick:
            self.start(now)
            self.is_wanted = True
