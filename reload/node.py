"""A node of a RELOAD overlay, peer or client: the owner of all parts, which it connects and drives (RFC 6940).

It does no I/O. A driver makes the connections that events ask for, hands in what comes over them, and sends what
`messages_to_send` returns; every call may lead to events, messages and another timer.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from reload.attach_steps import AttachEnded
from reload.attaching import Attaching
from reload.chord import ChordReload
from reload.client import ClientTopology
from reload.configuration import CHORD_RELOAD, CHORD_SELF_TUNING, Configuration
from reload.configuration_update import Accepted, InForce
from reload.configuring import Configuring
from reload.connections import ConnectionTable
from reload.contents import ExtensionType, MessageCode, MessageExtension
from reload.context import Context
from reload.destinations import Destination
from reload.direct_responses import DirectResponses
from reload.errors import StateError
from reload.events import Candidates, Completed, ConfigurationChanged, Event, MessageDropped
from reload.exchange import Link
from reload.handlers import Basics, ProbeExtender, StorageService
from reload.header import OptionType
from reload.inside import Inside
from reload.limits import MAX_DROP_EVENTS
from reload.links import Links
from reload.methods import PingReq, ProbeReq, RouteQueryReq
from reload.node_ports import Service, Transit
from reload.operations import Failed, Operation, Plan, Send
from reload.policies import standard_checks, standard_policies
from reload.ports import Identity, Signer
from reload.receiving import Receiver, TooLargeError
from reload.replication import Keeper
from reload.requesting import Requester
from reload.responding import Handler, Responder
from reload.response_routes import ResponseRoute
from reload.response_routing import RouteChooser
from reload.routing import code_of
from reload.running import Running
from reload.security_block import GenericCertificate
from reload.self_tuning import SelfTuningChord
from reload.sending import Sender, Tasks
from reload.storage import Storage
from reload.topology import Left, MakeTopology, Topology
from reload.traffic import Traffic
from reload.via_lists import FullViaLists, ViaLists

_OF_TOPOLOGY = (MessageCode.JOIN_REQ, MessageCode.LEAVE_REQ, MessageCode.UPDATE_REQ, MessageCode.ROUTE_QUERY_REQ)
_OF_ATTACHES = (MessageCode.ATTACH_REQ, MessageCode.APP_ATTACH_REQ)


class Node:
    """A peer, or with `is_client` a client.

    Verbs raise StateError when they are misused, and change nothing then. Nothing that comes off a link raises.
    """

    def __init__(
        self,
        signer: Signer,
        in_force: InForce,
        *,
        epoch: float,
        now: float = 0.0,
        make_topology: MakeTopology | None = None,
        is_client: bool = False,
        services: Sequence[Service] = (),
        applications: frozenset[int] = frozenset(),
        via_lists: ViaLists | None = None,
        response_routes: Sequence[ResponseRoute] = (),
        max_response_length: int = 0,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`epoch` is the Unix time at `now` 0. The topology is that of the configuration, unless another is given.

        `applications` are the Application-IDs that an AppAttach may name, `max_response_length` is what responses to
        this node may have, in octets, if that is not 0, and `via_lists` may be others than full ones.
        `response_routes` are used where the configuration says route-mode (see `use_response_routes`). Raises
        SecurityError when the own certificate does not hold in this overlay.
        """
        self._events: deque[Event] = deque()
        self._drops = 0
        self._leaving: int | None = None
        self._tasks: Tasks = deque()
        context = self._context = Context(signer, in_force, epoch=epoch, now=now, random_bytes=random_bytes)
        connections = self._connections = ConnectionTable()
        emit = self._events.append
        sender = self._sender = Sender(context, connections, FullViaLists() if via_lists is None else via_lists)
        self._routes = RouteChooser(context, connections, response_routes)
        self._direct = DirectResponses(context, connections, sender, emit)
        requester = self._requester = Requester(
            context, sender, self._tasks, self._routes, max_response_length=max_response_length
        )
        responder = self._responder = Responder(context, connections, sender, self._direct)
        self._receiver = Receiver(context, connections, sender, requester, responder)
        self._running = Running(context, requester, self._tasks, self._complete)
        self._configuring = Configuring(context, connections, requester, self._reconfigured, emit)
        inside = self._inside = Inside(context, connections, sender, requester, responder, emit)
        self._attaching = Attaching(
            context,
            requester,
            responder,
            self._tasks,
            applications=applications,
            emit=emit,
            on_ended=self._attach_ended,
        )
        self._is_client = is_client
        configuration = in_force.configuration
        self._sequence = configuration.sequence
        make = ClientTopology if is_client else make_topology or default_topology(configuration)
        topology: Topology = make(inside, now)
        self._topology = topology
        storage = self._storage = Storage(
            in_force.kinds,
            topology,
            epoch=epoch,
            node_id_length=context.node_id_length,
            policies=standard_policies(configuration),
            checks=standard_checks(configuration),
        )
        keeper = self._keeper = Keeper(storage, topology, inside, self._running.reader, signer)
        self._links = Links(context, connections, self._attaching, self._direct, topology, keeper, emit)
        self._timed = (
            requester,
            self._receiver,
            self._attaching,
            self._direct,
            self._links,
            topology,
            storage,
            keeper,
            self._configuring,
        )
        self._connect(services, now)

    def _connect(self, services: Sequence[Service], now: float) -> None:
        """Have the parts know of each other."""
        inside, topology, storage = self._inside, self._topology, self._storage
        inside.topology, inside.attaching, inside.links = topology, self._attaching, self._links
        inside.values, inside.mover = storage, self._keeper
        self._sender.hops = topology
        self._sender.first_hop = self._first_hop
        self._requester.deliver = self._responder.on_own
        self._requester.is_plausible_responder = topology.is_plausible_responder
        self._requester.on_error = self._configuring.on_error
        self._responder.on_reply = self._requester.on_reply
        self._responder.on_old_configuration = self._configuring.on_old_request
        self._configuring.watch(now)
        handlers: dict[int, Handler] = {
            **dict.fromkeys(_OF_TOPOLOGY, topology.on_request),
            **dict.fromkeys(_OF_ATTACHES, self._attaching.on_request),
            MessageCode.CONFIG_UPDATE_REQ: self._configuring.on_request,
            **Basics(self._context, topology, services, num_resources=storage.num_resources).handlers,
            **StorageService(self._context, storage, self._keeper).handlers,
        }
        transits: dict[int, list[Transit]] = {}
        extension_types: set[int] = set()
        for service in services:
            service.bind(inside)
            extension_types |= service.extension_types
            handlers.update(dict.fromkeys(service.message_codes, service.on_request))
            if isinstance(service, Transit):
                inside.traffic = inside.traffic or Traffic(now)
                for code in service.transit_codes:
                    transits.setdefault(code, []).append(service)
        if isinstance(topology, ProbeExtender):
            extension_types.add(ExtensionType.SELF_TUNING_DATA)
        self._responder.handlers, self._responder.extension_types = handlers, frozenset(extension_types)
        self._responder.option_types = self._receiver.option_types = frozenset({OptionType.EXTENSIVE_ROUTING_MODE})
        self._receiver.transits = transits

    # What a node is.
    @property
    def node_id(self) -> bytes:
        """The Node-ID that it signs with."""
        return self._context.node_id

    @property
    def certificates(self) -> tuple[GenericCertificate, ...]:
        """Its own, to be shown on connections, and those between it and a root-cert."""
        return self._context.signer.certificates

    @property
    def in_force(self) -> InForce:
        """The configuration that it follows."""
        return self._context.in_force

    @property
    def topology(self) -> Topology:
        """The plug-in, to look at."""
        return self._topology

    @property
    def storage(self) -> Storage:
        """What it holds for the overlay, to look at."""
        return self._storage

    # Verbs.
    def start(self, now: float) -> None:
        """Be the first peer of a new overlay. Raises StateError."""
        self._check_configuration(now)
        self._topology.start(now)
        self._settle(now)

    def join(self, bootstrap: Link, now: float) -> None:
        """Become a peer, or be attached as a client, through whom a link leads to; `Joined` or `JoinFailed` follows.

        Raises StateError.
        """
        self._check_configuration(now)
        if self._is_client and not self._context.configuration.clients_permitted:
            raise StateError("this overlay permits no clients")
        self._topology.join(self._node_at(bootstrap), now)
        self._settle(now)

    def check_partition(self, bootstrap: Link, now: float) -> None:
        """Find out through a bootstrap node, which a link leads to, whether there is another ring (section 10.7.4.4).

        Do so after `BootstrapWanted`. Raises StateError.
        """
        self._topology.on_bootstrap(self._node_at(bootstrap), now)
        self._settle(now)

    def leave(self, now: float) -> None:
        """Be no peer any more, once the next peer has what this one is responsible for. Raises StateError.

        `Left` follows, and the links are unwanted once what waits is sent.
        """
        topology = self._topology
        if self._leaving is not None:
            raise StateError("the node is leaving already")
        successors = topology.replica_peers(self.node_id) if topology.is_joined else ()
        if successors:
            self._leaving = self._keeper.hand_over(successors[0], topology.is_responsible, now)
        else:
            topology.leave(now)
        self._settle(now)

    def run(self, plan: Plan[Any], now: float) -> int:
        """Drive a plan; `Completed` follows, with what it returns."""
        return self._begun(self._running.run(plan, now), now)

    def perform(self, operation: Operation, now: float) -> int:
        """One operation; `Completed` follows, with its result. Raises StateError and EncodeError."""
        return self._begun(self._running.perform(operation, now), now)

    def ping(
        self,
        destination_list: Sequence[Destination],
        now: float,
        *,
        padding: bytes = b"",
        extensions: tuple[MessageExtension, ...] = (),
    ) -> int:
        """Ping; `Completed` follows, with a `Response` or `Failed`."""
        return self.perform(Send(tuple(destination_list), MessageCode.PING_REQ, PingReq(padding), extensions), now)

    def probe(self, destination_list: Sequence[Destination], requested_info: Sequence[int], now: float) -> int:
        """Ask for `ProbeInformationType`s; `Completed` follows, with a `Response` or `Failed`."""
        return self.perform(Send(tuple(destination_list), MessageCode.PROBE_REQ, ProbeReq(tuple(requested_info))), now)

    def route_query(
        self,
        destination_list: Sequence[Destination],
        destination: Destination,
        now: float,
        *,
        send_update: bool = False,
    ) -> int:
        """Ask a node where it would send what goes to `destination`; `Completed` follows."""
        body = RouteQueryReq(send_update, destination)
        return self.perform(Send(tuple(destination_list), MessageCode.ROUTE_QUERY_REQ, body), now)

    def attach(self, destination_list: Sequence[Destination], now: float, *, send_update: bool = False) -> int:
        """Be connected to whom the list leads to; `Completed` follows, with a Node-ID or `Failed`.

        Raises StateError.
        """
        return self._begun(self._attaching.begin(destination_list, now, send_update=send_update), now)

    def app_attach(self, destination_list: Sequence[Destination], application: int, now: float) -> int:
        """The same for an application, whose connection the driver hands to it. Raises StateError."""
        return self._begun(self._attaching.begin(destination_list, now, application=application), now)

    def update_configuration(self, document: bytes, now: float) -> None:
        """Follow a newer document, and send it to all connected nodes. Raises StateError if it cannot be followed."""
        self._configuring.update(document, now)
        self._settle(now)

    def use_response_routes(self, routes: Sequence[ResponseRoute]) -> None:
        """Where responses to this node may be sent directly, from now on (RFC 7263 and 7264).

        They are for the mode that route-mode of the configuration prefers: addresses of this node, at which its driver
        accepts connections, for DRR, or those of connected peers that relay for RPR, the preferred one first.
        """
        self._routes.routes = tuple(routes)

    # The driver.
    def provide_candidates(self, attach: int, candidates: Candidates, now: float) -> None:
        """What `CandidatesWanted` has asked for. Raises StateError."""
        self._attaching.provide_candidates(attach, candidates, now)
        self._settle(now)

    def connection_failed(self, attach: int, now: float) -> None:
        """No candidates, or no connection, for this Attach, or for direct responses. Raises StateError."""
        part = self._direct if self._direct.is_wanted(attach) else self._attaching
        part.failed(attach, now)
        self._settle(now)

    def link_established(
        self, identity: Identity, now: float, *, attach: int | None = None, path_mtu: int | None = None
    ) -> Link:
        """There is a connection to whoever has shown this certificate (see `Links.established`).

        `path_mtu` is how many octets of a message a datagram has room for, None on streams.
        Raises StateError, and SecurityError for a node that it may not lead to.
        """
        try:
            return self._links.established(identity, now, attach=attach, path_mtu=path_mtu)
        finally:
            self._settle(now)

    def link_lost(self, link: Link, now: float) -> None:
        """A connection is gone. Of a link that is not there any more nothing happens."""
        self._links.lost(link, now)
        self._settle(now)

    def link_failing(self, link: Link, now: float) -> None:
        """Acknowledgements are overdue (`LinkFailing`): nothing is routed through this link for now (section 6.6)."""
        self._links.failing(link, now)
        self._settle(now)

    def link_restored(self, link: Link, now: float) -> None:
        """They come again (`LinkRestored`)."""
        self._links.restored(link, now)
        self._settle(now)

    def receive_message(self, link: Link, octets: bytes, now: float) -> None:
        """One message, or one fragment, without its framing."""
        connection = self._connections.get(link)
        if connection is None:
            self._dropped(link, "there is no such link")
            return
        if self._inside.traffic is not None:
            self._inside.traffic.on_received(code_of(octets), len(octets), now)
        try:
            reason = self._receiver.receive(connection, octets, now)
        except TooLargeError as exc:
            reason = str(exc)
            self._links.close(link, reason, now)
        if reason is not None:
            self._dropped(link, reason)
        self._settle(now)

    def packet_received(self, link: Link, now: float) -> None:
        """Something else has come over this link, such as a keepalive of STUN: its other end is there."""
        connection = self._connections.get(link)
        if connection is not None:
            connection.last_heard = now

    def messages_to_send(self, now: float) -> list[tuple[Link, bytes]]:
        """Messages, in their order on each link."""
        messages = self._sender.take()
        if self._inside.traffic is not None:
            for _, octets in messages:
                self._inside.traffic.on_sent(code_of(octets), len(octets), now)
        return messages

    def next_event(self) -> Event | None:
        """The next event, if any."""
        if not self._events:
            return None
        event = self._events.popleft()
        self._drops -= isinstance(event, MessageDropped)
        return event

    def get_timer(self) -> float | None:
        """When `handle_timer` is due."""
        return min((at for part in self._timed if (at := part.get_timer()) is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        for part in self._timed:
            at = part.get_timer()
            if at is not None and at <= now:
                part.handle_timer(now)
        self._responder.handle_timer(now)
        self._settle(now)

    # Within.
    def _begun(self, number: int, now: float) -> int:
        self._settle(now)
        return number

    def _settle(self, now: float) -> None:
        """Do what the parts have put off until now, and what comes of that."""
        while True:
            if self._tasks:
                self._tasks.popleft()(now)
            elif handed_over := self._keeper.handed_over():
                for number in handed_over:
                    self._on_handed_over(number, now)
            elif (event := self._topology.next_event()) is not None:
                self._events.append(event)
                if isinstance(event, Left):
                    self._left(now)
            else:
                return

    def _on_handed_over(self, number: int, now: float) -> None:
        if number != self._leaving:
            self._topology.on_handed_over(number, now)
        elif self._topology.is_joined:
            self._topology.leave(now)

    def _left(self, now: float) -> None:
        self._leaving = None
        self._attaching.abandon_all(now)
        self._keeper.clear()
        self._links.close_all("the node has left", now)

    def _complete(self, number: int, result: Any, now: float) -> None:
        self._events.append(Completed(number, result))

    def _attach_ended(self, ended: AttachEnded, now: float) -> None:
        if ended.attach in self._inside.own_attaches:
            self._inside.own_attaches.discard(ended.attach)
            self._topology.on_attached(ended.attach, ended.peer, now)
        else:
            result = ended.peer if ended.peer is not None else Failed(ended.error, ended.reason)
            self._events.append(Completed(ended.attach, result))

    def _reconfigured(self, accepted: Accepted, now: float) -> None:
        """Another configuration, or other Kinds, are in force."""
        configuration = accepted.in_force.configuration
        is_newer = configuration.sequence != self._sequence
        self._sequence = configuration.sequence
        self._receiver.configuration_changed()
        self._attaching.configuration_changed()
        self._running.configuration_changed()
        self._keeper.use(self._running.reader)
        self._storage.drop_kinds(accepted.dropped_kinds)
        self._storage.use(accepted.in_force.kinds, standard_policies(configuration), standard_checks(configuration))
        self._storage.drop_invalid(accepted.in_force.verifier, now)
        self._links.close_bad(configuration.bad_nodes, now)
        if is_newer:
            self._events.append(ConfigurationChanged(configuration.sequence, accepted.must_rejoin, accepted.obstacles))
        if accepted.must_rejoin or accepted.obstacles:
            self._tasks.append(self._exit)

    def _exit(self, now: float) -> None:
        """Leave, whatever state the topology is in."""
        try:
            self._topology.leave(now)
        except StateError:
            self._left(now)

    def _node_at(self, link: Link) -> bytes:
        connection = self._connections.get(link)
        if connection is None or connection.node_id is None:
            raise StateError(f"no node is known at link {link}")
        return connection.node_id

    def _first_hop(self) -> bytes | None:
        """Where a message begins its way when the topology knows no next hop: at the peer of a client, or at anyone."""
        if isinstance(self._topology, ClientTopology):
            return self._topology.first_hop()
        return None if self._topology.is_joined else next(iter(self._connections.node_ids()), None)

    def _dropped(self, link: Link, reason: str) -> None:
        if self._drops < MAX_DROP_EVENTS:
            self._drops += 1
            self._events.append(MessageDropped(link, reason))

    def _check_configuration(self, now: float) -> None:
        if self._context.configuration.is_expired(self._context.wall(now)):
            raise StateError("the configuration has expired")


def default_topology(configuration: Configuration) -> MakeTopology:
    """The plug-in that a configuration names. Raises StateError for one that is not here."""
    if configuration.topology_plugin == CHORD_RELOAD:
        return ChordReload
    if configuration.topology_plugin == CHORD_SELF_TUNING:
        return SelfTuningChord
    raise StateError(f"the topology {configuration.topology_plugin!r} is not known")
