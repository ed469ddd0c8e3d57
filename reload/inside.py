"""A node as its topology, its storage and its services see it: they ask, and nothing calls back before it returns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from reload.attach_steps import AttachEnded
from reload.attaching import Attaching
from reload.client import ClientTopology
from reload.configuration import Configuration
from reload.configuration_update import InForce
from reload.connections import ConnectionTable
from reload.contents import ErrorResponse, MessageExtension
from reload.context import Context
from reload.destinations import Destination, NodeDestination
from reload.events import Completed, Event
from reload.exchange import Reply, Request
from reload.header import ForwardingHeader
from reload.links import Links
from reload.node_ports import OnOutcome
from reload.operations import Failed
from reload.requesting import Requester
from reload.responding import Responder
from reload.routing import Forward
from reload.security_block import GenericCertificate
from reload.sending import Sender
from reload.topology import Topology
from reload.traffic import Traffic


@runtime_checkable
class RoutingTableSize(Protocol):
    """A topology that tells how many peers it routes through."""

    def routing_table_size(self) -> int:
        """Peers in the routing table."""
        ...


@runtime_checkable
class MisroutingDetector(Protocol):
    """A topology that knows what other peers may not send here."""

    def is_misrouted(self, upstream: bytes, target: bytes) -> bool:
        """Whether this neighbor should have sent a message for this ID elsewhere."""
        ...


class Values(Protocol):
    """What diagnostics ask of a storage."""

    @property
    def octets(self) -> int:
        """Of all that is stored."""
        ...

    def instances(self) -> Mapping[int, int]:
        """Values by their Kind-ID."""
        ...


class Mover(Protocol):
    """Moves values to where they belong."""

    def hand_over(self, peer: bytes, belongs: Callable[[bytes], bool], now: float) -> int:
        """Store at `peer` all values whose Resource-ID `belongs`. Returns the number of it."""
        ...

    def placement_changed(self, now: float) -> None:
        """Others have replicas, or other resources are this node's."""
        ...


class Inside:
    """Implements `Overlay` for the topology and `Host` for all others.

    Whoever owns it sets `topology`, `attaching`, `links`, `values` and `mover` once they are there.
    """

    def __init__(
        self,
        context: Context,
        connections: ConnectionTable,
        sender: Sender,
        requester: Requester,
        responder: Responder,
        emit: Callable[[Event], None],
    ) -> None:
        self._context = context
        self._connections = connections
        self._sender = sender
        self._requester = requester
        self._responder = responder
        self.emit = emit
        self.traffic: Traffic | None = None
        self.topology: Topology
        self.links: Links
        self.values: Values
        self.mover: Mover
        self.attaching: Attaching
        self._attaches: set[int] = set()
        """Those of the topology that have not ended."""

    def first_hop(self) -> bytes | None:
        """Where a message begins its way when the topology has no next hop: at the peer of a client, or at anyone."""
        if isinstance(self.topology, ClientTopology):
            return self.topology.first_hop()
        return None if self.topology.is_joined else next(iter(self._connections.node_ids()), None)

    def on_attach_ended(self, ended: AttachEnded, now: float) -> None:
        """Tell the topology what became of its Attach, and the user of all others."""
        if ended.attach in self._attaches:
            self._attaches.remove(ended.attach)
            self.topology.on_attached(ended.attach, ended.peer, now)
        else:
            result = ended.peer if ended.peer is not None else Failed(ended.error, ended.reason)
            self.emit(Completed(ended.attach, result))

    # Both.
    @property
    def node_id(self) -> bytes:
        """Of this node."""
        return self._context.node_id

    @property
    def configuration(self) -> Configuration:
        """That is in force."""
        return self._context.configuration

    @property
    def random_bytes(self) -> Callable[[int], bytes]:
        """The source of chance."""
        return self._context.random_bytes

    # Overlay.
    def connected(self) -> Collection[bytes]:
        """The Node-IDs of the connection table, a live view."""
        return self._connections.node_ids()

    def is_quiet_since(self, peer: bytes) -> float | None:
        """When the last message came from a connected node; None when it is not connected."""
        return self._connections.last_heard(peer)

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
        """Send a request of the topology; its `on_outcome` follows. Raises EncodeError."""
        on_outcome = self.topology.on_outcome
        return self._requester.send(
            destination_list, message_code, body, now, on_outcome, extensions=extensions, first_hop=first_hop
        )

    def attach(self, destination_list: Sequence[Destination], now: float, *, send_update: bool = False) -> int:
        """Attach to whom the list leads to; the topology's `on_attached` follows. Raises StateError."""
        number = self.attaching.begin(destination_list, now, send_update=send_update)
        self._attaches.add(number)
        return number

    def disconnect(self, peer: bytes, now: float) -> None:
        """Close the links to a node."""
        self.links.disconnect(peer, now)

    def hand_over(self, peer: bytes, belongs: Callable[[bytes], bool], now: float) -> int:
        """Store at `peer` all values whose Resource-ID `belongs`; the topology's `on_handed_over` follows."""
        return self.mover.hand_over(peer, belongs, now)

    def placement_changed(self, now: float) -> None:
        """The values are to be moved."""
        self.mover.placement_changed(now)

    # Host.
    @property
    def in_force(self) -> InForce:
        """The configuration, the Kinds and the verifier."""
        return self._context.in_force

    def wall(self, now: float) -> float:
        """The Unix time at `now`."""
        return self._context.wall(now)

    def is_connected(self, node_id: bytes) -> bool:
        """Whether a link leads to that node."""
        return node_id in self._connections

    def next_hop(self, destination: Destination) -> bytes | None:
        """Where a message with this destination would go next; None when it ends at this node."""
        decision = self._sender.route((destination,), self._context.started)
        return decision.next_hop if isinstance(decision, Forward) else None

    def send_request(
        self,
        destination_list: Sequence[Destination],
        message_code: int,
        body: Any,
        now: float,
        on_outcome: OnOutcome,
        *,
        extensions: tuple[MessageExtension, ...] = (),
        certificates: tuple[GenericCertificate, ...] = (),
        first_hop: bytes | None = None,
    ) -> int:
        """Send a request, with these certificates beside the own; `on_outcome` is told. Raises EncodeError."""
        return self._requester.send(
            destination_list,
            message_code,
            body,
            now,
            on_outcome,
            extensions=extensions,
            certificates=certificates,
            first_hop=first_hop,
        )

    def cancel(self, transaction: int) -> None:
        """Send it no more, and tell nobody what becomes of it."""
        self._requester.cancel(transaction)

    def answer(self, request: Request, reply: Reply, now: float) -> None:
        """Answer a request for which `on_request` has returned None."""
        self._responder.answer(request, reply, now)

    def refuse(self, header: ForwardingHeader, previous_hop: bytes, error: ErrorResponse, now: float) -> None:
        """Answer a request that was forwarded with an error."""
        connection = self._connections.to(previous_hop)
        if connection is not None:
            self._responder.refuse(header, connection, error, now)

    def is_misrouted(self, upstream: bytes, destination: Destination) -> bool:
        """Whether this neighbor has broken the routing rules of the overlay by sending this here."""
        match destination:
            case NodeDestination(target):
                pass
            case _:
                target = getattr(destination, "resource_id", b"")
        topology = self.topology
        return bool(target) and isinstance(topology, MisroutingDetector) and topology.is_misrouted(upstream, target)

    def routing_table_size(self) -> int:
        """Peers in the routing table."""
        return self.topology.routing_table_size() if isinstance(self.topology, RoutingTableSize) else 0

    def uptime(self, now: float) -> int:
        """Seconds since the node was made."""
        return self._context.uptime(now)

    def stored_octets(self) -> int:
        """Of the data that is stored here."""
        return self.values.octets

    def stored_instances(self) -> Mapping[int, int]:
        """How many values are stored here, by their Kind-ID."""
        return self.values.instances()
