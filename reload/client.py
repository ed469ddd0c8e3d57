"""The topology of a client, which attaches to the peer that is responsible for its Node-ID (RFC 6940 section 4.2.1)."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from reload.contents import ErrorCode, ErrorResponse, MessageCode
from reload.destinations import NodeDestination, ResourceDestination
from reload.errors import StateError
from reload.exchange import Answer, Outcome, Reply, Request, Response
from reload.methods import Empty, PingReq
from reload.topology import BootstrapWanted, Joined, JoinFailed, Left, Overlay, TopologyEvent

CHECK_INTERVAL = 600.0
"""Seconds after which the client looks whether its peer is still the right one, without an Update that says more:
those who send Updates by their timers only do so every 600 s."""
RETRY_INTERVAL = 15.0
"""Seconds until it tries again to attach, which is the time that a request has."""


class ClientTopology:
    """Sends everything to one peer, and looks for the right one. It routes nothing, and is responsible for nothing."""

    def __init__(self, overlay: Overlay, now: float) -> None:
        self._overlay = overlay
        self._events: deque[TopologyEvent] = deque()
        self._home: bytes | None = None
        self._attach: int | None = None
        self._check: int | None = None
        self._bootstrap: bytes | None = None
        self._is_joining = False
        self._due: float | None = None

    # Placement: none of it is a client's.
    def is_responsible(self, resource_id: bytes) -> bool:
        """Never."""
        return False

    def owner(self, resource_id: bytes) -> bytes | None:
        """Not known."""
        return None

    def replica_peers(self, resource_id: bytes) -> tuple[bytes, ...]:
        """Nobody."""
        return ()

    def accepts_replica(self, senders: Collection[bytes], resource_id: bytes, replica_number: int) -> bool:
        """Never."""
        return False

    def keeps(self, resource_id: bytes) -> bool:
        """Nothing."""
        return False

    @property
    def is_joined(self) -> bool:
        """A client is no peer."""
        return False

    def start(self, now: float) -> None:
        """Raises StateError: a client cannot be an overlay."""
        raise StateError("a client cannot be the first peer of an overlay")

    def join(self, bootstrap: bytes, now: float) -> None:
        """Attach to the peer that is responsible for the Node-ID, through the one that a link leads to."""
        if self._bootstrap is not None:
            raise StateError("the client has joined before")
        self._bootstrap = bootstrap
        self._is_joining = True
        self._look(now)

    def leave(self, now: float) -> None:
        """Look for no peer any more."""
        self._bootstrap = self._home = self._attach = self._check = self._due = None
        self._is_joining = False
        self._events.append(Left())

    def on_bootstrap(self, bootstrap: bytes, now: float) -> None:
        """Look for the right peer from there, if it is not known."""
        if self._home is None and self._bootstrap is not None:
            self._bootstrap = bootstrap
            self._look(now)

    def next_hop(self, target: bytes, previous_hop: bytes | None = None) -> bytes | None:
        """Never: a client routes nothing."""
        return None

    def first_hop(self) -> bytes | None:
        """The peer to send the client's own messages to."""
        connected = self._overlay.connected()
        for node_id in (self._home, self._bootstrap):
            if node_id is not None and node_id in connected:
                return node_id
        return next(iter(connected), None)

    def is_plausible_responder(self, node_id: bytes, resource_id: bytes) -> bool:
        """A client has no Neighbor Table that could tell."""
        return True

    def responsible_ppb(self) -> int:
        """Nothing."""
        return 0

    def on_connected(self, peer: bytes, now: float, *, send_update: bool) -> None:
        """A client sends no Updates."""

    def on_disconnected(self, peer: bytes, now: float) -> None:
        """Look for another peer, if it was the right one."""
        if peer == self._home:
            self._home = None
            self._look(now)

    def on_attached(self, attach: int, peer: bytes | None, now: float) -> None:
        """The right peer, or none."""
        if attach != self._attach:
            return
        self._attach = None
        if peer is None:
            self._missed(now)
        else:
            self._found(peer, now)

    def on_request(self, request: Request, now: float) -> Reply:
        """Updates and Leaves of the peer say that another may be the right one now."""
        if request.message_code not in (MessageCode.UPDATE_REQ, MessageCode.LEAVE_REQ):
            return ErrorResponse(ErrorCode.FORBIDDEN, b"this is a client")
        if request.identity.node_id == self._home:
            if request.message_code == MessageCode.LEAVE_REQ:
                self._home = None
            self._look(now)
        return Answer(Empty())

    def on_outcome(self, outcome: Outcome, now: float) -> None:
        """Who is responsible for the Node-ID has answered."""
        if outcome.transaction != self._check:
            return
        self._check = None
        if not isinstance(outcome, Response):
            self._missed(now)
        elif outcome.identity.node_id in self._overlay.connected():
            self._found(outcome.identity.node_id, now)
        else:
            destination_list = (NodeDestination(outcome.identity.node_id),)
            self._attach = self._overlay.attach(destination_list, now)

    def on_handed_over(self, hand_over: int, now: float) -> None:
        """A client hands nothing over."""

    def next_event(self) -> TopologyEvent | None:
        """The next event, if any."""
        return self._events.popleft() if self._events else None

    def get_timer(self) -> float | None:
        """When to look again."""
        return self._due

    def handle_timer(self, now: float) -> None:
        """Look again, if it is time."""
        if self._due is not None and self._due <= now:
            self._look(now)

    def _look(self, now: float) -> None:
        """Ask who is responsible for the Node-ID: the peer that is connected, most often."""
        if self._bootstrap is None or self._check is not None or self._attach is not None:
            return
        self._due = None
        destination = (ResourceDestination(self._overlay.node_id),)
        if self._is_joining:
            self._attach = self._overlay.attach(destination, now)
        else:
            self._check = self._overlay.request(destination, MessageCode.PING_REQ, PingReq(), now)

    def _found(self, peer: bytes, now: float) -> None:
        if self._home is not None and self._home != peer:
            self._overlay.disconnect(self._home, now)
        self._home = peer
        self._due = now + CHECK_INTERVAL
        if self._is_joining:
            self._is_joining = False
            self._events.append(Joined())

    def _missed(self, now: float) -> None:
        if self._is_joining:
            self._bootstrap, self._is_joining = None, False
            self._events.append(JoinFailed("the peer that is responsible for the Node-ID could not be attached to"))
        else:
            self._due = now + RETRY_INTERVAL
            if not self._overlay.connected():
                self._events.append(BootstrapWanted())
