"""Peers that others name and that ought to be our neighbors: they are attached (RFC 6940 sections 10.6, 10.7.3)."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

import attrs

from reload.chord_overlay import ChordOverlay
from reload.chord_ring import RING, is_node
from reload.destinations import NodeDestination

MAX_LISTED = 64
"""Entries of a list in an Update that are looked at: twice as many as a neighbor table ever has."""
MAX_CANDIDATES = 128
"""Peers remembered that are not in our tables: four neighbor tables of an overlay of any real size."""
MAX_BY_ONE = 16
"""Candidates by the word of one peer, the nearest: a liar cannot take the place of the others'. The neighbor table of
an overlay of 256 self-tuning peers, or 65,536 others, is no larger; beyond, the next Update names the rest."""
NOBODY = b""
"""By whose word those are who have named themselves, from far away: any number of them might be made up."""
MAX_IN_FLIGHT = 16
"""Attaches to candidates at the same time: each costs both sides ICE checks and a handshake."""
MAX_ATTEMPTS = 2
"""Attempts, by two ways if two are known. A node that has failed is named until everybody has noticed."""
GRACE = 3.0
"""Seconds for the Update of a node that is connected: after them it is asked for one."""
RETRY = 1.0
"""Seconds between attempts: in a simultaneous Attach one of the two fails, and the other connects."""
REST = 60.0
"""Seconds in which a node that could not be attached, or has left, is not attached whoever names it."""
STALE = 1.5
"""Seconds in which Updates may still name a node because they were sent before it was lost."""
FAILED_REST = 10.0
"""The same, for a neighbor whose connection was lost: it may be only that."""


@attrs.define(eq=False)
class _Candidate:
    node_id: bytes
    ahead: int
    author: bytes
    sources: list[bytes]
    due: float
    since: float = 0.0
    attempts: int = 0
    is_attaching: bool = False
    is_resting: bool = False
    is_named: bool = False


class Candidates:
    """Those whom we try to make neighbors."""

    __slots__ = ("_attaches", "_by_id", "_chord", "_due")

    def __init__(self, chord: ChordOverlay) -> None:
        self._chord = chord
        self._by_id: dict[bytes, _Candidate] = {}
        self._attaches: dict[int, _Candidate] = {}
        self._due = inf

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._by_id

    @property
    def is_busy(self) -> bool:
        """Whether somebody is still being tried."""
        return any(not each.is_resting for each in self._by_id.values())

    def consider(self, source: bytes, listed: Iterable[bytes], now: float, *, author: bytes | None = None) -> None:
        """`source` has named these nodes as peers; those that would be neighbors of ours become candidates.

        It has only forwarded the word of `author`, if that is another.
        """
        table, known = self._chord.table, self._by_id
        unknown = [each for each in listed if each not in table and each != table.node_id]
        unknown = [each for each in unknown if table.is_wanted(table.ahead(each)) and is_node(each)]
        if not unknown:
            return
        # The best of what this peer names and of the tables: what others name must not hold it back, they may lie.
        aheads = {table.ahead(each): each for each in unknown if each not in known or not known[each].is_resting}
        aheads.update({peer.ahead: peer.node_id for peer in map(table.get, table.neighbors()) if peer is not None})
        ordered = sorted(aheads)
        for resting in [known[each] for each in unknown if each in known and known[each].is_resting]:
            if now >= resting.since + STALE:
                resting.is_named, resting.sources = True, [source]
        best = {*ordered[: table.neighbor_count], *ordered[-table.neighbor_count :]}
        # The nearest first, on whichever side: there may not be room for all.
        for ahead in sorted(best, key=lambda ahead: min(ahead, RING - ahead)):
            node_id = aheads[ahead]
            if node_id not in table:
                self._name(node_id, ahead, source, source if author is None else author, now)

    def _name(self, node_id: bytes, ahead: int, source: bytes, author: bytes, now: float) -> None:
        found = self._by_id.get(node_id)
        if found is not None:
            if source not in found.sources and len(found.sources) < MAX_ATTEMPTS:
                found.sources.append(source)
        elif self._has_room(author):
            # Who joins is told nothing by a bootstrap node unasked; a peer is, by those that join.
            due = now + GRACE if self._chord.is_joined and self._chord.is_connected(node_id) else now
            self._by_id[node_id] = _Candidate(node_id, ahead, author, [source], due)
            self._due = min(self._due, due)

    def _has_room(self, author: bytes) -> bool:
        if sum(each.author == author for each in self._by_id.values()) >= MAX_BY_ONE:
            return False
        if len(self._by_id) >= MAX_CANDIDATES:
            resting = next((each for each in self._by_id.values() if each.is_resting), None)
            if resting is None:
                return False
            del self._by_id[resting.node_id]
        return True

    def forget(self, node_id: bytes) -> None:
        """It is in the tables now."""
        found = self._by_id.get(node_id)
        if found is not None:
            del self._by_id[node_id]

    def rest(self, node_id: bytes, seconds: float, now: float) -> None:
        """Leave this node in peace for so long: it has left, or failed."""
        found = self._by_id.get(node_id)
        if found is None:
            if not self._has_room(node_id):
                return
            ahead = self._chord.table.ahead(node_id)
            found = self._by_id[node_id] = _Candidate(node_id, ahead, node_id, [node_id], now)
        found.is_resting, found.is_named = True, False
        found.since, found.due = now, now + seconds
        self._due = min(self._due, found.due)

    def clear(self) -> None:
        """Try nobody any more."""
        self._by_id.clear()
        self._attaches.clear()
        self._due = inf

    def on_attached(self, attach: int, peer: bytes | None, now: float) -> bool:
        """What became of an Attach; False when it is none of these."""
        found = self._attaches.pop(attach, None)
        if found is None:
            return False
        found.is_attaching = False
        if self._by_id.get(found.node_id) is found and not found.is_resting:
            if peer is None:
                self._fail(found, RETRY, now)
            else:
                found.attempts, found.due = 0, now + GRACE
        # Those that waited for their turn are due since long.
        self._due = now
        return True

    def _fail(self, candidate: _Candidate, retry: float, now: float) -> None:
        candidate.attempts += 1
        candidate.sources.append(candidate.sources.pop(0))
        if candidate.attempts >= MAX_ATTEMPTS:
            self.rest(candidate.node_id, REST, now)
        else:
            candidate.due = now + retry

    def get_timer(self) -> float:
        """When `pump` has something to do."""
        return self._due

    def pump(self, now: float) -> None:
        """Attach whose turn it is."""
        if now < self._due:
            return
        for candidate in list(self._by_id.values()):
            if candidate.due <= now and not candidate.is_attaching:
                self._step(candidate, now)
        full = len(self._attaches) >= MAX_IN_FLIGHT
        waiting = [each.due for each in self._by_id.values() if not each.is_attaching]
        self._due = min([due for due in waiting if due > now or not full], default=inf)

    def _step(self, candidate: _Candidate, now: float) -> None:
        node_id, chord = candidate.node_id, self._chord
        if candidate.is_resting and candidate.is_named:
            # Others know it still: perhaps only the connection was lost.
            candidate.is_resting, candidate.is_named, candidate.attempts = False, False, 0
        if candidate.is_resting or node_id in chord.table or not chord.table.is_wanted(candidate.ahead):
            del self._by_id[node_id]
        elif chord.is_connected(node_id):
            # It is a client, or about to join, or its Update is late.
            self._fail(candidate, GRACE, now)
            if not candidate.is_resting:
                chord.ask_for_update(node_id, now)
        elif len(self._attaches) < MAX_IN_FLIGHT:
            # "It MUST source-route the Attach request through the peer from which it learned": section 10.6.
            route = chord.route_via(candidate.sources[0], NodeDestination(node_id))
            candidate.is_attaching = True
            self._attaches[chord.overlay.attach(route, now, send_update=True)] = candidate
