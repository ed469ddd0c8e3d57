"""The port behind which a topology plug-in works (RFC 6940 sections 3.4, 6.4 and 10).

A plug-in decides who is responsible for what and where messages go next, and keeps its tables in order. It does no I/O:
the node tells it what happens, and it asks the node, as `Overlay`, for what it wants done. Whoever writes their own
implements `Topology` and gives a `MakeTopology` to the node.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol, TypeAlias

import attrs

from reload.configuration import Configuration
from reload.contents import MessageExtension
from reload.destinations import Destination
from reload.exchange import Outcome, Reply, Request


@attrs.frozen
class Joined:
    """The node is a peer of the overlay now."""


@attrs.frozen
class JoinFailed:
    """The node could not become a peer, and is none."""

    reason: str


@attrs.frozen
class Left:
    """The node is no longer a peer."""


@attrs.frozen
class BootstrapWanted:
    """Discover a bootstrap node as for the join, connect to it, and call `Topology.on_bootstrap` (section 10.7.4.4).

    Whoever does not is never healed of a partition, but of a lost peer. A client asks for it when no link is left.
    """


TopologyEvent: TypeAlias = Joined | JoinFailed | Left | BootstrapWanted


class Placement(Protocol):
    """Where values belong: what storage asks of a topology (sections 7.4 and 10.4)."""

    def is_responsible(self, resource_id: bytes) -> bool:
        """Whether this node is the one."""
        ...

    def owner(self, resource_id: bytes) -> bytes | None:
        """The peer that is responsible, as far as the neighbor table shows it; None when that does not reach so far."""
        ...

    def replica_peers(self, resource_id: bytes) -> tuple[bytes, ...]:
        """To whom the responsible node sends replicas, that with replica_number 1 first."""
        ...

    def accepts_replica(self, senders: Collection[bytes], resource_id: bytes, replica_number: int) -> bool:
        """Whether one of these Node-IDs may send this node that replica, and nobody better is known."""
        ...

    def keeps(self, resource_id: bytes) -> bool:
        """Whether a value is still this node's to hold, as responsible node or as replica."""
        ...


class Topology(Placement, Protocol):
    """A topology plug-in. Everything that takes `now` may call the `Overlay`."""

    @property
    def is_joined(self) -> bool:
        """Whether this node is a peer of the overlay."""
        ...

    def start(self, now: float) -> None:
        """Be the first peer of a new overlay."""
        ...

    def join(self, bootstrap: bytes, now: float) -> None:
        """Become a peer, through a node that a link leads to. An event tells the outcome. Raises StateError."""
        ...

    def leave(self, now: float) -> None:
        """Say goodbye to the neighbors and be no peer any more."""
        ...

    def on_bootstrap(self, bootstrap: bytes, now: float) -> None:
        """A link leads to a bootstrap node, after `BootstrapWanted` or because it is time to look for a partition."""
        ...

    def next_hop(self, target: bytes, previous_hop: bytes | None = None) -> bytes | None:
        """The connected peer that a message for this Node-ID or Resource-ID goes to next; None: it ends here.

        `previous_hop` is who has sent it here, None for a message of this node: it does not go back and forth.
        Node-IDs that are connected directly, and this node's own, never get here: that is the node's affair.
        """
        ...

    def is_plausible_responder(self, node_id: bytes, resource_id: bytes) -> bool:
        """Whether it is at least as close to the Resource-ID as any neighbor known (section 6.3.4, R7)."""
        ...

    def responsible_ppb(self) -> int:
        """The share of the Resource-IDs that this node is responsible for, in parts per billion (section 6.4.2.5)."""
        ...

    def on_connected(self, peer: bytes, now: float, *, send_update: bool) -> None:
        """There is a link to an attached node now; `send_update`: it has asked for an Update by its Attach."""
        ...

    def on_disconnected(self, peer: bytes, now: float) -> None:
        """The last link to this node is gone."""
        ...

    def on_attached(self, attach: int, peer: bytes | None, now: float) -> None:
        """What became of an `Overlay.attach`: the peer, or None. `on_connected` was called before."""
        ...

    def on_request(self, request: Request, now: float) -> Reply:
        """A Join, Leave, Update or RouteQuery. Never raises on what a peer sent."""
        ...

    def on_outcome(self, outcome: Outcome, now: float) -> None:
        """What became of an `Overlay.request`."""
        ...

    def on_handed_over(self, hand_over: int, now: float) -> None:
        """All values of an `Overlay.hand_over` are stored there, or could not be."""
        ...

    def next_event(self) -> TopologyEvent | None:
        """The next event, if any."""
        ...

    def get_timer(self) -> float | None:
        """When `handle_timer` is due."""
        ...

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        ...


class Overlay(Protocol):
    """What a topology plug-in may ask of its node. None of it calls back before it returns."""

    @property
    def node_id(self) -> bytes:
        """Of this node."""
        ...

    @property
    def configuration(self) -> Configuration:
        """That is in force."""
        ...

    @property
    def random_bytes(self) -> Callable[[int], bytes]:
        """The source of chance."""
        ...

    def connected(self) -> Collection[bytes]:
        """The Node-IDs of the connection table, a live view."""
        ...

    def is_quiet_since(self, peer: bytes) -> float | None:
        """When the last message came from a connected node; None when it is not connected."""
        ...

    def request(
        self,
        destination_list: Sequence[Destination],
        message_code: int,
        body: Any,
        now: float,
        *,
        extensions: tuple[MessageExtension, ...] = (),
        first_hop: bytes | None = None,
    ) -> int:
        """Send a request, with retransmissions; `Topology.on_outcome` follows with this number.

        `first_hop` is the connected node to send it to; by the routing rules without it.
        """
        ...

    def attach(self, destination_list: Sequence[Destination], now: float, *, send_update: bool = False) -> int:
        """Attach to whom the list leads to; `Topology.on_attached` follows with this number."""
        ...

    def disconnect(self, peer: bytes, now: float) -> None:
        """Close the links to a node. `on_disconnected` is not called."""
        ...

    def hand_over(self, peer: bytes, belongs: Callable[[bytes], bool], now: float) -> int:
        """Store at `peer` all values whose Resource-ID `belongs`; `Topology.on_handed_over` follows."""
        ...

    def placement_changed(self, now: float) -> None:
        """Other Resource-IDs are this node's, or other peers have its replicas: the values are to be moved."""
        ...


MakeTopology: TypeAlias = Callable[[Overlay, float], Topology]
"""Makes the plug-in of a node, at the time `now`."""
