"""The tables of a CHORD-RELOAD peer (RFC 6940 sections 10.1, 10.3 and 10.7).

One list holds every peer that may be routed through, by its distance clockwise. The neighbor table is what is next to
us on both sides, the finger table is what lies in the ranges of section 10.7.4.2. So whoever fails is replaced by the
best other peer as soon as it is removed, as sections 10.7.1 and 10.7.2 ask, and all look-ups are by bisection.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import attrs

from reload.chord_ring import RING, distance, finger_index, finger_range, position

MIN_NEIGHBORS = 3
"""Predecessors, and successors, at least (section 10.7)."""
MAX_NEIGHBORS = 32
"""More would be for 2^32 peers with log2(N) of them; so that no estimate, however wrong, makes us attach to all."""
MIN_FINGERS = 16
"""Entries of the finger table, at least (section 10.7.4.3)."""
MAX_FINGERS = 128
"""There is one for every bit (section 10.7.4.3)."""


@attrs.define(eq=False)
class Peer:
    """A peer in the tables: it is connected, and it has sent an Update.

    `ahead` is its distance clockwise; `since` when it came up, by its own word. `told` is the `edition` of the neighbor
    table that it was sent last, -1 before any Update.
    """

    node_id: bytes
    ahead: int
    since: float
    told: int = -1
    told_at: float = 0.0


class RoutingTable:
    """The peers that messages can be routed through: the union of neighbor table and finger table."""

    __slots__ = (
        "_ahead",
        "_by_id",
        "_peers",
        "_predecessors",
        "_successors",
        "edition",
        "finger_count",
        "neighbor_count",
        "node_id",
        "own",
    )

    def __init__(self, node_id: bytes) -> None:
        self.node_id = node_id
        self.own = position(node_id)
        self.neighbor_count = MIN_NEIGHBORS
        self.finger_count = MIN_FINGERS
        self.edition = 0
        """Of the neighbor table: another one whenever that changes."""
        self._ahead: list[int] = []
        self._peers: list[Peer] = []
        self._by_id: dict[bytes, Peer] = {}
        self._successors: tuple[bytes, ...] = ()
        self._predecessors: tuple[bytes, ...] = ()

    def __len__(self) -> int:
        return len(self._peers)

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._by_id

    def get(self, node_id: bytes) -> Peer | None:
        """The peer of a Node-ID."""
        return self._by_id.get(node_id)

    def peers(self) -> tuple[Peer, ...]:
        """All of them, clockwise."""
        return tuple(self._peers)

    def ahead(self, node_id: bytes) -> int:
        """The distance from us clockwise."""
        return distance(self.own, position(node_id))

    def add(self, node_id: bytes, since: float) -> Peer:
        """Take a peer in, or note its uptime anew; the own Node-ID never gets here."""
        peer = self._by_id.get(node_id)
        if peer is not None:
            peer.since = since
            return peer
        ahead = self.ahead(node_id)
        peer = self._by_id[node_id] = Peer(node_id, ahead, since)
        at = bisect_left(self._ahead, ahead)
        self._ahead.insert(at, ahead)
        self._peers.insert(at, peer)
        self._renew(at)
        return peer

    def remove(self, node_id: bytes) -> Peer | None:
        """Take a peer out, if it is in."""
        peer = self._by_id.pop(node_id, None)
        if peer is None:
            return None
        at = bisect_left(self._ahead, peer.ahead)
        del self._ahead[at], self._peers[at]
        self._renew(at)
        return peer

    def clear(self) -> None:
        """Take all out."""
        self._by_id.clear()
        self._ahead.clear()
        self._peers.clear()
        self._renew(0)

    def resize(self, neighbor_count: int, finger_count: int) -> None:
        """Keep so many predecessors, as many successors, and so many fingers, within the limits above."""
        self.neighbor_count = min(max(neighbor_count, MIN_NEIGHBORS), MAX_NEIGHBORS)
        self.finger_count = min(max(finger_count, MIN_FINGERS), MAX_FINGERS)
        self._renew(0)

    def _renew(self, at: int) -> None:
        """Peers have changed at this place of the list."""
        count, size = self.neighbor_count, len(self._peers)
        if count <= at < size - count:
            return
        successors = tuple([peer.node_id for peer in self._peers[:count]])
        predecessors = tuple([peer.node_id for peer in self._peers[: -count - 1 : -1]])
        if successors != self._successors or predecessors != self._predecessors:
            self._successors, self._predecessors = successors, predecessors
            self.edition += 1

    @property
    def successors(self) -> tuple[bytes, ...]:
        """The successors in the neighbor table, the nearest first."""
        return self._successors

    @property
    def predecessors(self) -> tuple[bytes, ...]:
        """The predecessors in the neighbor table, the nearest first."""
        return self._predecessors

    @property
    def predecessor(self) -> bytes | None:
        """The previous peer on the ring; None when we are alone."""
        return self._peers[-1].node_id if self._peers else None

    def neighbors(self) -> tuple[bytes, ...]:
        """Successors and predecessors, each once."""
        return tuple(dict.fromkeys(self._successors + self._predecessors))

    def is_neighbor(self, node_id: bytes) -> bool:
        """Whether a Node-ID is in the neighbor table."""
        return node_id in self._successors or node_id in self._predecessors

    def is_wanted(self, ahead: int) -> bool:
        """Whether a peer so far ahead would be in the neighbor table, were it connected."""
        count, known = self.neighbor_count, self._ahead
        return len(known) < count or ahead < known[count - 1] or ahead > known[-count]

    def next_hop(self, target: bytes, previous_hop: bytes | None = None) -> bytes | None:
        """The peer that a message goes to for which we are not responsible (section 10.3); None when there is none."""
        ahead = distance(self.own, position(target))
        if previous_hop is not None and self._has_passed(previous_hop, target):
            # Whom it comes from knows nobody from itself to the target, and we know somebody from the target to us.
            # Whoever is before the target would send it here again.
            at = bisect_left(self._ahead, ahead)
            if at < len(self._peers):
                return self._peers[at].node_id
        at = bisect_right(self._ahead, ahead)
        # A peer with that very ID, else the largest one before it; else the smallest one behind it.
        return self._peers[max(at - 1, 0)].node_id if self._peers else None

    def is_misrouted(self, upstream: bytes, target: bytes) -> bool:
        """Whether a peer had a better one than us for `target`, as far as that can be told.

        A message comes nearer with each hop; only the last one may go past the target, to the first peer behind that
        its sender knows. It may not know our next predecessors yet, but not miss all of them.
        """
        return self._has_passed(upstream, target) and self.replica_rank(target) >= self.neighbor_count

    def _has_passed(self, upstream: bytes, target: bytes) -> bool:
        """Whether what a peer sends here has gone past its target."""
        if upstream not in self._by_id or target in (upstream, self.node_id):
            return False
        start = position(upstream)
        return distance(start, self.own) >= distance(start, position(target))

    def range_start(self) -> int:
        """The position behind which the range begins that we are responsible for: our own when we are alone."""
        return self.own + self._ahead[-1] if self._ahead else self.own

    def owner(self, resource_id: bytes) -> bytes | None:
        """The first peer at or behind a Resource-ID, ourselves included; None where the neighbor table has a gap."""
        ahead, size, count = self.ahead(resource_id), len(self._peers), self.neighbor_count
        at = bisect_left(self._ahead, ahead) if ahead else size
        if at == size:
            return self.node_id
        return self._peers[at].node_id if at < count or at > size - count else None

    def is_closest(self, node_id: bytes, resource_id: bytes, *, with_us: bool) -> bool:
        """Whether no peer here is closer to a Resource-ID, behind it, than that node; `with_us`, nor are we."""
        ahead = self.ahead(resource_id)
        behind = distance(ahead, self.ahead(node_id))
        if with_us and distance(ahead, 0) < behind:
            return False
        if not self._ahead:
            return True
        at = bisect_left(self._ahead, ahead)
        return behind <= distance(ahead, self._ahead[at % len(self._ahead)])

    def replica_rank(self, resource_id: bytes) -> int:
        """How many predecessors there are between a Resource-ID and us."""
        ahead = self.ahead(resource_id)
        return len(self._ahead) - bisect_left(self._ahead, ahead) if ahead else 0

    def following(self, resource_id: bytes, count: int) -> int:
        """How far behind a Resource-ID the last of `count` peers is, we among them; a whole turn if fewer are."""
        ahead, size = self.ahead(resource_id), len(self._peers)
        if size + 1 < count:
            return RING
        at = (bisect_left(self._ahead, ahead) if ahead else size) + count - 1
        # Ourselves stand at the end of the list, a turn ahead of us.
        if at == size:
            return distance(ahead, 0)
        return distance(ahead, self._ahead[at % (size + 1)])

    def in_range(self, index: int) -> list[Peer]:
        """The peers that the i'th entry of the finger table could name validly."""
        start, stop = finger_range(index)
        return self._peers[bisect_left(self._ahead, start) : bisect_left(self._ahead, stop)]

    def finger(self, index: int) -> Peer | None:
        """The i'th entry of the finger table: that in its range, else the closest one before it."""
        found = self.in_range(index)
        if found:
            return found[0]
        at = bisect_left(self._ahead, finger_range(index)[0])
        return self._peers[at - 1] if at else None

    def fingers(self) -> tuple[bytes, ...]:
        """The valid entries of the finger table, in numerically ascending order."""
        found = [self.in_range(index) for index in range(1, self._last_finger() + 1)]
        return tuple(sorted([peers[0].node_id for peers in found if peers]))

    def invalid_fingers(self) -> list[int]:
        """The i of all entries that have no peer in their range though there may be one: not if all are neighbors."""
        if len(self._peers) < 2 * self.neighbor_count:
            return []
        return [index for index in range(1, self._last_finger() + 1) if not self.in_range(index)]

    def _last_finger(self) -> int:
        """The i in whose range the last successor is: all that is nearer is in the neighbor table."""
        if not self._ahead:
            return 0
        last = self._ahead[min(self.neighbor_count, len(self._ahead)) - 1]
        return min(finger_index(last), self.finger_count)

    def needed_fingers(self) -> int:
        """The size that contains at least the final successor (section 10.7.4.3)."""
        if not self._ahead:
            return MIN_FINGERS
        return finger_index(self._ahead[min(self.neighbor_count, len(self._ahead)) - 1])

    def estimated_size(self) -> float:
        """How many peers the overlay has, by how dense the neighbors are."""
        size, count = len(self._peers), self.neighbor_count
        if size < 2 * count:
            return size + 1.0
        span = self._ahead[count - 1] + RING - self._ahead[-count]
        return max(RING * 2 * count / span, size + 1.0)

    def surplus(self) -> list[Peer]:
        """Peers that we can do without: in the range that has most of them, those behind its first two.

        Twice as many neighbors as we have are never among them: to these we may be neighbors.
        """
        near = 2 * self.neighbor_count
        far = self._peers[near:-near]
        ranges: dict[int, list[Peer]] = {}
        for peer in far:
            ranges.setdefault(finger_index(peer.ahead), []).append(peer)
        return max(ranges.values(), key=len, default=[])[2:]
