"""How a node becomes a peer of a CHORD-RELOAD overlay (RFC 6940 section 10.5), and one again (section 10.7.1)."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from math import inf
from typing import Protocol

from reload.chord_candidates import Candidates
from reload.chord_overlay import ChordOverlay
from reload.chord_ring import fraction, identifier, position
from reload.contents import ErrorCode, MessageCode
from reload.destinations import Destination, NodeDestination, ResourceDestination
from reload.exchange import Failure, Outcome, Response
from reload.methods import ChordUpdate, JoinReq, PingReq

MAX_ATTEMPTS = 12
"""Attempts, some four minutes, until a join has failed."""
MAX_PAUSE = 30.0
"""Seconds between attempts: they double from 1 to this, and are shortened by chance to the half."""
MAX_DETOURS = 64
"""Times that somebody else turns out to be our Admitting Peer, as others join between it and us."""
LEARNING_PATIENCE = 5.0
"""Seconds for the Update of the Admitting Peer, and once more after it was asked for."""
ATTACH_PATIENCE = 35.0
"""Seconds for all who should be neighbors: two attempts of 15 seconds, as an unanswered request takes."""
ADMISSION_PATIENCE = 30.0
"""Seconds without any message of the Admitting Peer while it stores at us what becomes ours."""
MAX_ADMISSION = 900.0
"""Seconds after which the Admitting Peer has had time enough, be it as talkative as it may."""


class JoinState(Enum):
    """What is waited for."""

    IDLE = auto()
    """Nothing."""
    SEEKING = auto()
    """The answer to a Ping for the Resource-ID behind us: who has lost all successors looks for another."""
    ATTACHING = auto()
    """The Attach to the Admitting Peer."""
    LEARNING = auto()
    """The Admitting Peer's Update."""
    SURVEYING = auto()
    """The answers to Pings for one successor after the other, as the Admitting Peer does not tell of them."""
    CONNECTING = auto()
    """The Attaches to all who should be neighbors."""
    JOINING = auto()
    """The answer to the Join."""
    WAITING = auto()
    """The Update that names us as predecessor, behind all Stores."""
    SETTLING = auto()
    """The Attaches to neighbors that were named only then; no Update may be sent before (section 10.5)."""
    PAUSED = auto()
    """The time for the next attempt."""


_AT_ADMITTING_PEER = frozenset(
    {JoinState.LEARNING, JoinState.SURVEYING, JoinState.CONNECTING, JoinState.JOINING, JoinState.WAITING}
)


class JoinOwner(Protocol):
    """Is told how the join goes on."""

    def on_joining(self, now: float) -> None:
        """All neighbors are attached; it is time for fingers."""
        ...

    def on_placed(self, now: float) -> None:
        """This node is a peer, and responsible for its part of the ring."""
        ...

    def on_settled(self, now: float) -> None:
        """All who should be neighbors are attached: Updates may be sent."""
        ...

    def on_join_failed(self, reason: str, now: float) -> None:
        """There will be no further attempt."""
        ...


class Joining:
    """The join of this node."""

    __slots__ = (
        "_admitting",
        "_attach",
        "_attempts",
        "_bootstrap",
        "_candidates",
        "_chord",
        "_detours",
        "_due",
        "_has_asked",
        "_is_rejoin",
        "_owner",
        "_pinged",
        "_reason",
        "_request",
        "_since",
        "state",
    )

    def __init__(self, chord: ChordOverlay, candidates: Candidates, owner: JoinOwner) -> None:
        self._chord = chord
        self._candidates = candidates
        self._owner = owner
        self.state = JoinState.IDLE
        self._bootstrap: bytes | None = None
        self._admitting: bytes | None = None
        self._attach: int | None = None
        self._request: int | None = None
        self._attempts = self._detours = 0
        self._has_asked = self._is_rejoin = False
        self._pinged = 0
        self._reason = ""
        self._since = 0.0
        self._due = inf

    def start(self, bootstrap: bytes, now: float) -> None:
        """Join by a node that is connected."""
        self._bootstrap = bootstrap
        self._begin(now, is_rejoin=False)

    def rejoin(self, bootstrap: bytes | None, now: float) -> None:
        """Find a successor anew; without a bootstrap node, through whoever is connected."""
        if self.state is JoinState.IDLE:
            self._bootstrap = bootstrap
            self._begin(now, is_rejoin=True)

    def _begin(self, now: float, *, is_rejoin: bool) -> None:
        self._is_rejoin = is_rejoin
        self._attempts = self._detours = 0
        self._attempt(now)

    def stop(self) -> None:
        """Give it up."""
        self._enter(JoinState.IDLE, inf)

    @property
    def bootstrap(self) -> bytes | None:
        """The node that the last join began with."""
        return self._bootstrap

    def _enter(self, state: JoinState, due: float) -> None:
        self.state = state
        self._due = due
        self._attach = self._request = None

    # Steps.

    def _attempt(self, now: float) -> None:
        via = self._via()
        if via is None:
            self._retry("no node of the overlay is connected", now)
        elif self._is_rejoin:
            self._enter(JoinState.SEEKING, inf)
            self._request = self._chord.overlay.request(
                self._chord.route_via(via, self._behind_us()), MessageCode.PING_REQ, PingReq(), now, first_hop=via
            )
        else:
            self._attach_to(via, self._behind_us(), now)

    def _via(self) -> bytes | None:
        """Whom to go through: the bootstrap node, a peer that is known, or anybody."""
        table, connected = self._chord.table, self._chord.overlay.connected()
        if self._bootstrap is not None and self._bootstrap in connected:
            return self._bootstrap
        return next(iter(table.successors), None) or min(connected, default=None)

    def _behind_us(self) -> Destination:
        """Whoever is responsible for n+1 is the successor, and admits us (sections 10.5 and 11.4)."""
        return ResourceDestination(identifier(self._chord.table.own + 1))

    def _attach_to(self, via: bytes, last: Destination, now: float) -> None:
        self._enter(JoinState.ATTACHING, inf)
        self._attach = self._chord.overlay.attach(self._chord.route_via(via, last), now, send_update=True)

    def _learn(self, admitting: bytes, now: float) -> None:
        self._admitting = admitting
        self._has_asked = False
        self._enter(JoinState.LEARNING, now + LEARNING_PATIENCE)

    def _connect(self, now: float) -> None:
        self._enter(JoinState.CONNECTING, now + ATTACH_PATIENCE)

    def _survey(self, now: float) -> None:
        """Find the successors incrementally (section 10.5)."""
        self._pinged = 0
        self._ping_behind(self._chord.table.own, now)

    def _ping_behind(self, at: int, now: float) -> None:
        via = self._via()
        if via is None or self._pinged > self._chord.table.neighbor_count:
            self._connect(now)
            return
        self._pinged += 1
        self._enter(JoinState.SURVEYING, inf)
        route = self._chord.route_via(via, ResourceDestination(identifier(at + 1)))
        self._request = self._chord.overlay.request(route, MessageCode.PING_REQ, PingReq(), now, first_hop=via)

    def _on_surveyed(self, outcome: Outcome, now: float) -> None:
        found, via = outcome.identity, self._via()
        if not isinstance(outcome, Response) or found is None or via is None or found.node_id == self._chord.node_id:
            self._connect(now)
            return
        if found.node_id != self._admitting:
            self._candidates.consider(via, (found.node_id,), now)
        self._ping_behind(position(found.node_id), now)

    def _send_join(self, now: float) -> None:
        # Another one than was attached first, when a neighbor has named it; that need not be in the table yet.
        table = self._chord.table
        known = [each for each in (self._admitting, *table.successors[:1]) if each is not None]
        self._admitting = min(known, key=table.ahead, default=None)
        if self._admitting is None or not self._chord.is_connected(self._admitting):
            self._retry("the connection to the Admitting Peer is lost", now)
            return
        self._enter(JoinState.JOINING, inf)
        self._request = self._chord.ask(
            self._admitting, MessageCode.JOIN_REQ, JoinReq(joining_peer_id=self._chord.node_id), now
        )
        self._owner.on_joining(now)

    def _place(self, now: float) -> None:
        self._enter(JoinState.SETTLING, now + ATTACH_PATIENCE)
        self._owner.on_placed(now)

    def _settle(self, now: float) -> None:
        self._enter(JoinState.IDLE, inf)
        self._owner.on_settled(now)

    def _detour(self, via: bytes, now: float) -> None:
        """Somebody is between us and the Admitting Peer, so that it is not that any more."""
        self._detours += 1
        if self._detours > MAX_DETOURS:
            self._retry("whoever should admit this node names another one", now)
        else:
            self._attach_to(via, self._behind_us(), now)

    def _retry(self, reason: str, now: float) -> None:
        self._reason = reason
        self._attempts += 1
        if self._attempts >= MAX_ATTEMPTS:
            self._enter(JoinState.IDLE, inf)
            self._owner.on_join_failed(reason, now)
            return
        pause = min(1 << min(self._attempts - 1, 8), MAX_PAUSE) * (0.5 + fraction(self._chord.overlay.random_bytes) / 2)
        self._enter(JoinState.PAUSED, now + pause)

    # Inputs.

    def on_attached(self, attach: int, peer: bytes | None, now: float) -> bool:
        """What became of an Attach; False when it is not that of the join."""
        if attach != self._attach:
            return False
        if peer is None or peer == self._chord.node_id:
            self._retry("the Attach to the Admitting Peer has failed", now)
        else:
            self._learn(peer, now)
        return True

    def on_outcome(self, outcome: Outcome, now: float) -> bool:
        """What became of a request; False when it is not that of the join."""
        if outcome.transaction != self._request:
            return False
        if self.state is JoinState.SEEKING:
            self._on_found(outcome, now)
        elif self.state is JoinState.SURVEYING:
            self._on_surveyed(outcome, now)
        elif isinstance(outcome, Response):
            if outcome.identity.node_id == self._admitting:
                self._since = now
                self._enter(JoinState.WAITING, now + ADMISSION_PATIENCE)
            else:
                self._retry("somebody else has answered the Join", now)
        else:
            self._on_refused(outcome, now)
        return True

    def _on_found(self, outcome: Outcome, now: float) -> None:
        via = self._via()
        found = outcome.identity.node_id if isinstance(outcome, Response) else None
        if found is None or via is None or found == self._chord.node_id:
            self._retry("nobody answers for the place behind this node", now)
        elif self._chord.is_connected(found):
            self._learn(found, now)
            self._chord.ask_for_update(found, now)
        else:
            self._attach_to(via, NodeDestination(found), now)

    def _on_refused(self, failure: Failure, now: float) -> None:
        if failure.error is not None and failure.error.error_code == ErrorCode.FORBIDDEN:
            self._enter(JoinState.IDLE, inf)
            self._owner.on_join_failed("the Admitting Peer forbids the Join", now)
        else:
            self._retry("the Admitting Peer does not admit this node", now)

    def on_update(self, sender: bytes, update: ChordUpdate, now: float) -> None:
        """An Update of a peer, which is in the routing table by now."""
        if sender != self._admitting or self.state not in _AT_ADMITTING_PEER or update.tables is None:
            return
        predecessors = update.tables.predecessors
        table = self._chord.table
        admitting = table.ahead(sender)
        # The Update may overtake the answer to the Join.
        if self.state in (JoinState.JOINING, JoinState.WAITING) and predecessors[:1] == (table.node_id,):
            self._place(now)
        elif any(0 < table.ahead(node_id) < admitting for node_id in predecessors):
            self._detour(sender, now)
        elif self.state in (JoinState.LEARNING, JoinState.SURVEYING):
            self._connect(now)

    def on_lost(self, peer: bytes, now: float) -> None:
        """A node is not connected any more."""
        if peer == self._admitting and self.state in _AT_ADMITTING_PEER:
            self._retry("the connection to the Admitting Peer is lost", now)

    def advance(self, now: float) -> None:
        """Go on, if nobody is waited for any more."""
        if self.state is JoinState.CONNECTING and not self._candidates.is_busy:
            self._send_join(now)
        elif self.state is JoinState.SETTLING and not self._candidates.is_busy:
            self._settle(now)

    def get_timer(self) -> float:
        """When `handle_timer` has something to do."""
        return self._due

    def handle_timer(self, now: float) -> None:
        """What was waited for has not come."""
        if now >= self._due:
            _ON_TIMER[self.state](self, now)

    def _ask(self, now: float) -> None:
        if self._has_asked:
            self._survey(now)
        elif self._admitting is None or not self._chord.is_connected(self._admitting):
            self._retry("the connection to the Admitting Peer is lost", now)
        else:
            self._has_asked = True
            self._due = now + LEARNING_PATIENCE
            self._chord.ask_for_update(self._admitting, now)

    def _be_patient(self, now: float) -> None:
        heard = self._chord.overlay.is_quiet_since(self._admitting) if self._admitting is not None else None
        if heard is None or now - heard >= ADMISSION_PATIENCE or now - self._since >= MAX_ADMISSION:
            self._retry("the Admitting Peer does not finish", now)
        else:
            self._due = heard + ADMISSION_PATIENCE


_ON_TIMER: dict[JoinState, Callable[[Joining, float], None]] = {
    JoinState.LEARNING: Joining._ask,
    JoinState.CONNECTING: Joining._send_join,
    JoinState.WAITING: Joining._be_patient,
    JoinState.SETTLING: Joining._settle,
    JoinState.PAUSED: Joining._attempt,
}
"""In all other states something follows that always comes: the end of an Attach or of a request."""
