"""Configurations and Kinds that come and go between nodes (RFC 6940 sections 6.3.2.1, 6.5.4, 7.4.1.2 and 11.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from reload._presentation import decode
from reload.configuration_update import Accepted, Refused, UpdatesSent, decide_document, decide_update
from reload.connections import LOCAL, ConnectionTable
from reload.contents import ErrorCode, ErrorResponse, MessageCode, UnknownKinds
from reload.context import Context
from reload.destinations import Destination, NodeDestination
from reload.errors import DecodeError, StateError
from reload.events import ConfigurationWanted, Event
from reload.exchange import Answer, Failure, Outcome, Reply, Request, Response
from reload.header import ForwardingHeader
from reload.methods import ConfigUpdateReq, ConfigUpdateType, Empty
from reload.ports import Identity
from reload.requesting import Requester
from reload.routing import response_destinations
from reload.transactions import Pending

OnAccepted: TypeAlias = Callable[[Accepted, float], None]
MAX_TELLING = 32
"""ConfigUpdates under way at a time to nodes that have asked with an old configuration. Anybody can ask so with each of
its Node-IDs, and has a document sent five times for it; who is left out gets it when it asks again."""
RETRY_REFRESH = 3600.0
"""Seconds between two requests to the driver for another configuration, once this one has expired."""


class Configuring:
    """Takes ConfigUpdates, and sends them to nodes that need them: one to a node for each sequence.

    Whoever owns it sets `on_accepted`, which is told what has come into force.
    """

    def __init__(
        self,
        context: Context,
        connections: ConnectionTable,
        requester: Requester,
        emit: Callable[[Event], None],
    ) -> None:
        self._context = context
        self._connections = connections
        self._requester = requester
        self._emit = emit
        self._sent = UpdatesSent()
        self._telling = 0
        self._refresh_at: float | None = None
        self.on_accepted: OnAccepted = lambda accepted, now: None

    def watch(self, now: float) -> None:
        """Look after the expiration of the configuration that is in force now."""
        wall = self._context.wall(now)
        at = self._context.configuration.refresh_at(wall, self._context.random_bytes)
        self._refresh_at = max(at - self._context.epoch, now)

    def get_timer(self) -> float | None:
        """When another configuration is wanted."""
        return self._refresh_at

    def handle_timer(self, now: float) -> None:
        """Ask the driver to retrieve another configuration: once in time, and hourly after it has expired."""
        if self._refresh_at is None or now < self._refresh_at:
            return
        configuration = self._context.configuration
        expires = configuration.expiration - self._context.epoch
        self._refresh_at = expires if now < expires else now + RETRY_REFRESH
        self._emit(ConfigurationWanted(configuration.sequence, now >= expires))

    def update(self, document: bytes, now: float) -> None:
        """Follow a document that was retrieved, and pass it on. Raises StateError if it cannot be followed."""
        context = self._context
        decision = decide_document(
            context.in_force, document, context.wall(now), own_certificates=context.signer.certificates
        )
        if isinstance(decision, Refused):
            raise StateError(f"configuration: {decision.reason}")
        self._accept(decision, None, now)

    def on_request(self, request: Request, now: float) -> Reply:
        """A ConfigUpdate."""
        context = self._context
        decision = decide_update(
            context.in_force, request.body, context.wall(now), own_certificates=context.signer.certificates
        )
        if isinstance(decision, Refused):
            return ErrorResponse(decision.error_code, decision.reason.encode()[:1000])
        self._accept(decision, request, now)
        return Answer(Empty())

    def on_old_request(self, request: Request, now: float) -> None:
        """A node has asked with a configuration that is older than this node's."""
        if request.link != LOCAL and self._telling < MAX_TELLING:
            to = response_destinations(request.header, request.previous_hop)
            self._telling += self._send_document(request.identity.node_id, to, now, self._old_told)

    def on_error(self, pending: Pending, error: ErrorResponse, identity: Identity, now: float) -> None:
        """An error of another node: it may say that its configuration is old, or that it does not know a Kind."""
        if pending.message_code == MessageCode.CONFIG_UPDATE_REQ:
            return
        if error.error_code == ErrorCode.CONFIG_TOO_NEW:
            to = _answerer(pending.header, identity)
            self._send_document(identity.node_id, to, now, lambda outcome, then: self._told(pending, outcome, then))
        elif error.error_code == ErrorCode.UNKNOWN_KIND:
            self._send_kinds(error, _answerer(pending.header, identity), now)

    def _old_told(self, outcome: Outcome, now: float) -> None:
        self._telling -= 1

    def _told(self, pending: Pending, outcome: Outcome, now: float) -> None:
        if isinstance(outcome, Response):
            self._requester.retry(pending, now)

    def _accept(self, accepted: Accepted, request: Request | None, now: float) -> None:
        context = self._context
        is_newer = accepted.in_force.configuration is not context.configuration
        context.in_force = accepted.in_force
        if not is_newer:
            self.on_accepted(accepted, now)
            return
        self.watch(now)
        if request is not None:
            # Who has sent it has it.
            self._sent.may_send(request.identity.node_id, context.configuration.sequence)
        self.on_accepted(accepted, now)
        if not accepted.obstacles:
            for node_id in list(self._connections.node_ids()):
                self._send_document(node_id, (NodeDestination(node_id),), now)
        self._requester.configuration_changed(now)

    def _send_document(
        self,
        node_id: bytes,
        destination_list: tuple[Destination, ...],
        now: float,
        on_outcome: Callable[[Outcome, float], None] = lambda outcome, now: None,
    ) -> bool:
        """Whether it was due to this node; `on_outcome` follows then."""
        configuration = self._context.configuration
        if not configuration.document or not self._sent.may_send(node_id, configuration.sequence):
            return False
        body = ConfigUpdateReq(ConfigUpdateType.CONFIG, configuration.document)

        def told(outcome: Outcome, then: float) -> None:
            if isinstance(outcome, Failure) and outcome.error is None:
                self._sent.forget(node_id)
            on_outcome(outcome, then)

        self._requester.send(destination_list, MessageCode.CONFIG_UPDATE_REQ, body, now, told)
        return True

    def _send_kinds(self, error: ErrorResponse, destination_list: tuple[Destination, ...], now: float) -> None:
        try:
            unknown = decode(UnknownKinds, error.error_info).unknown_kinds
        except DecodeError:
            return
        blocks = tuple(self._blocks(unknown))
        if blocks:
            body = ConfigUpdateReq(ConfigUpdateType.KIND, blocks)
            self._requester.send(destination_list, MessageCode.CONFIG_UPDATE_REQ, body, now, lambda outcome, now: None)

    def _blocks(self, kind_ids: Iterable[int]) -> Iterable[bytes]:
        """The definitions that are known and signed."""
        for kind_id in dict.fromkeys(kind_ids):
            kind = self._context.in_force.kinds.get(kind_id)
            if kind is not None and kind.block:
                yield kind.block


def _answerer(header: ForwardingHeader, identity: Identity) -> tuple[Destination, ...]:
    """The way to the node that has answered a request."""
    return (*header.destination_list[:-1], NodeDestination(identity.node_id))
