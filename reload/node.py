"""A node of a RELOAD overlay, peer or client: the owner of all parts, which it connects and drives (RFC 6940).

It does no I/O. A driver makes the connections that events ask for, hands in what comes over them, and sends what
`messages_to_send` returns; every call may lead to events, messages and another timer.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from reload.client import ClientTopology
from reload.configuration_update import InForce
from reload.contents import MessageCode, MessageExtension
from reload.context import Context
from reload.destinations import Destination
from reload.events import Candidates, Event, MessageDropped
from reload.exchange import Link
from reload.limits import MAX_DROP_EVENTS
from reload.membership import Membership
from reload.methods import PingReq, ProbeReq, RouteQueryReq
from reload.node_ports import Service
from reload.operations import Operation, Plan, Send
from reload.parts import Parts, default_topology
from reload.ports import Identity, Signer
from reload.receiving import TooLargeError
from reload.response_routes import ResponseRoute
from reload.routing import code_of
from reload.security_block import GenericCertificate
from reload.storage import Storage
from reload.storage_settings import StorageSettings
from reload.topology import MakeTopology, Topology
from reload.via_lists import FullViaLists, ViaLists


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
        storage_settings: StorageSettings | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`epoch` is the Unix time at `now` 0. The topology is that of the configuration, unless another is given.

        `applications` are the Application-IDs that an AppAttach may name, `max_response_length` is what responses to
        this node may have, in octets, if that is not 0, and `via_lists` may be others than full ones.
        `response_routes` are used where the configuration says route-mode (see `use_response_routes`). Raises
        SecurityError when the own certificate does not hold in this overlay, and DecodeError for a snapshot of
        `storage_settings` that is none.
        """
        context = Context(
            signer,
            in_force,
            epoch=epoch,
            now=now,
            random_bytes=random_bytes,
            storage_settings=storage_settings or StorageSettings(),
        )
        make = ClientTopology if is_client else make_topology or default_topology(in_force.configuration)
        self._parts = Parts(
            context,
            make,
            services,
            applications=applications,
            via_lists=FullViaLists() if via_lists is None else via_lists,
            response_routes=response_routes,
            max_response_length=max_response_length,
        )
        self._context = context
        self._membership = Membership(self._parts, is_client=is_client)
        self._drops = 0

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
        return self._parts.topology

    @property
    def storage(self) -> Storage:
        """What it holds for the overlay, to look at, and to take a snapshot of."""
        return self._parts.storage

    # Verbs.
    def start(self, now: float) -> None:
        """Be the first peer of a new overlay. Raises StateError."""
        self._membership.start(now)
        self._settle(now)

    def join(self, bootstrap: Link, now: float) -> None:
        """Become a peer, or be attached as a client, through whom a link leads to; `Joined` or `JoinFailed` follows.

        Raises StateError.
        """
        self._membership.join(bootstrap, now)
        self._settle(now)

    def check_partition(self, bootstrap: Link, now: float) -> None:
        """Find out through a bootstrap node, which a link leads to, whether there is another ring (section 10.7.4.4).

        Do so after `BootstrapWanted`. Raises StateError.
        """
        self._membership.check_partition(bootstrap, now)
        self._settle(now)

    def leave(self, now: float) -> None:
        """Be no peer any more, once the next peer has what this one is responsible for. Raises StateError.

        `Left` follows, and the links are unwanted once what waits is sent.
        """
        self._membership.leave(now)
        self._settle(now)

    def run(self, plan: Plan[Any], now: float) -> int:
        """Drive a plan; `Completed` follows, with what it returns."""
        return self._begun(self._parts.running.run(plan, now), now)

    def perform(self, operation: Operation, now: float) -> int:
        """One operation; `Completed` follows, with its result. Raises StateError and EncodeError."""
        return self._begun(self._parts.running.perform(operation, now), now)

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
        return self._begun(self._parts.attaching.begin(destination_list, now, send_update=send_update), now)

    def app_attach(self, destination_list: Sequence[Destination], application: int, now: float) -> int:
        """The same for an application, whose connection the driver hands to it. Raises StateError."""
        return self._begun(self._parts.attaching.begin(destination_list, now, application=application), now)

    def update_configuration(self, document: bytes, now: float) -> None:
        """Follow a newer document, and send it to all connected nodes. Raises StateError if it cannot be followed."""
        self._parts.configuring.update(document, now)
        self._settle(now)

    def use_response_routes(self, routes: Sequence[ResponseRoute]) -> None:
        """Where responses to this node may be sent directly, from now on (RFC 7263 and 7264).

        They are for the mode that route-mode of the configuration prefers: addresses of this node, at which its driver
        accepts connections, for DRR, or those of connected peers that relay for RPR, the preferred one first.
        """
        self._parts.routes.routes = tuple(routes)

    # The driver.
    def provide_candidates(self, attach: int, candidates: Candidates, now: float) -> None:
        """What `CandidatesWanted` has asked for. Raises StateError."""
        self._parts.attaching.provide_candidates(attach, candidates, now)
        self._settle(now)

    def connection_failed(self, attach: int, now: float) -> None:
        """No candidates, or no connection, for this Attach, or for direct responses. Raises StateError."""
        direct = self._parts.direct
        if direct.has_ended(attach):
            return
        part = direct if direct.is_wanted(attach) else self._parts.attaching
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
            return self._parts.links.established(identity, now, attach=attach, path_mtu=path_mtu)
        finally:
            self._settle(now)

    def link_lost(self, link: Link, now: float) -> None:
        """A connection is gone. Of a link that is not there any more nothing happens."""
        self._parts.links.lost(link, now)
        self._settle(now)

    def link_failing(self, link: Link, now: float) -> None:
        """Acknowledgements are overdue (`LinkFailing`): nothing is routed through this link for now (section 6.6)."""
        self._parts.links.failing(link, now)
        self._settle(now)

    def link_restored(self, link: Link, now: float) -> None:
        """They come again (`LinkRestored`)."""
        self._parts.links.restored(link, now)
        self._settle(now)

    def receive_message(self, link: Link, octets: bytes, now: float) -> None:
        """One message, or one fragment, without its framing."""
        connection = self._parts.connections.get(link)
        if connection is None:
            self._dropped(link, "there is no such link")
            return
        if self._parts.inside.traffic is not None:
            self._parts.inside.traffic.on_received(code_of(octets), len(octets), now)
        try:
            reason = self._parts.receiver.receive(connection, octets, now)
        except TooLargeError as exc:
            reason = str(exc)
            self._parts.links.close(link, reason, now)
        if reason is not None:
            self._dropped(link, reason)
        self._settle(now)

    def packet_received(self, link: Link, now: float) -> None:
        """Something else has come over this link, such as a keepalive of STUN: its other end is there."""
        connection = self._parts.connections.get(link)
        if connection is not None:
            connection.last_heard = now

    def messages_to_send(self, now: float) -> list[tuple[Link, bytes]]:
        """Messages, in their order on each link."""
        messages = self._parts.sender.take()
        if self._parts.inside.traffic is not None:
            for _, octets in messages:
                self._parts.inside.traffic.on_sent(code_of(octets), len(octets), now)
        return messages

    def next_event(self) -> Event | None:
        """The next event, if any."""
        if not self._parts.events:
            return None
        event = self._parts.events.popleft()
        self._drops -= isinstance(event, MessageDropped)
        return event

    def get_timer(self) -> float | None:
        """When `handle_timer` is due."""
        return min((at for part in self._parts.timed if (at := part.get_timer()) is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        for part in self._parts.timed:
            at = part.get_timer()
            if at is not None and at <= now:
                part.handle_timer(now)
        self._parts.responder.handle_timer(now)
        self._settle(now)

    # Within.
    def _begun(self, number: int, now: float) -> int:
        self._settle(now)
        return number

    def _settle(self, now: float) -> None:
        """Do what the parts have put off until now, and what comes of that."""
        tasks = self._parts.tasks
        while True:
            if tasks:
                tasks.popleft()(now)
            elif not self._membership.take_step(now):
                return

    def _dropped(self, link: Link, reason: str) -> None:
        if self._drops < MAX_DROP_EVENTS:
            self._drops += 1
            self._parts.events.append(MessageDropped(link, reason))
