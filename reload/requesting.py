"""Requests of this node: sent, sent again, and matched with their answers (RFC 6940 sections 6.2.1 and 6.3.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from reload.connections import Connection
from reload.contents import ErrorCode, ErrorResponse, MessageCode, MessageContents, MessageExtension
from reload.context import Context
from reload.destinations import Destination, NodeDestination, ResourceDestination
from reload.errors import DecodeError, EncodeError
from reload.exchange import Answer, Failure, Outcome, Reply, Response
from reload.header import ANY_CONFIGURATION, ForwardingHeader, encode_header
from reload.message import Message, decode_body
from reload.node_ports import OnOutcome
from reload.ports import Identity
from reload.response_routing import RouteChooser
from reload.routing import Deliver
from reload.security_block import GenericCertificate
from reload.sending import Sender, Tasks, encode_body, sign_payload
from reload.transactions import Pending, Transactions

FROM_ANYBODY = frozenset(
    {
        ErrorCode.INCOMPATIBLE_WITH_OVERLAY,
        ErrorCode.UNSUPPORTED_FORWARDING_OPTION,
        ErrorCode.TTL_EXCEEDED,
        ErrorCode.MESSAGE_TOO_LARGE,
        ErrorCode.INVALID_MESSAGE,
        ErrorCode.UNDERLAY_DESTINATION_UNREACHABLE,
        ErrorCode.UNDERLAY_TIME_EXCEEDED,
        ErrorCode.MESSAGE_EXPIRED,
        ErrorCode.UPSTREAM_MISROUTING,
        ErrorCode.LOOP_DETECTED,
        ErrorCode.TTL_HOPS_EXCEEDED,
    }
)
"""Errors that a node on the way sends, so that their signer is not the node that the request is for. Nothing else is
believed of it, least of all about data."""

LocalDelivery = Callable[[Pending, float], None]
IsPlausible = Callable[[bytes, bytes], bool]


class Requester:
    """Sends the requests of a node and tells what became of them, through `tasks`.

    Whoever owns it sets `deliver`, which a request for this node itself goes to; `is_plausible_responder`, the
    topology's; and `on_error`, which hears of errors that say something about configurations.
    """

    def __init__(
        self, context: Context, sender: Sender, tasks: Tasks, routes: RouteChooser, *, max_response_length: int = 0
    ) -> None:
        self._context = context
        self._sender = sender
        self._tasks = tasks
        self._routes = routes
        self._max_response_length = max_response_length
        self._transactions = Transactions()
        self.deliver: LocalDelivery = lambda pending, now: None
        self.is_plausible_responder: IsPlausible = lambda node_id, resource_id: True
        self.on_error: Callable[[Pending, ErrorResponse, Identity, float], None] = lambda *_: None

    def __len__(self) -> int:
        """Requests that wait for an answer."""
        return len(self._transactions)

    def send(
        self,
        destination_list: Sequence[Destination],
        message_code: int,
        body: Any,
        now: float,
        on_outcome: OnOutcome,
        *,
        extensions: tuple[MessageExtension, ...] = (),
        first_hop: bytes | None = None,
        certificates: tuple[GenericCertificate, ...] = (),
    ) -> int:
        """Send a request; `on_outcome` is told with this number. Raises EncodeError.

        `certificates` are those of the values in the body.
        """
        if not destination_list:
            raise EncodeError("a request without a destination")
        context = self._context
        contents = MessageContents(message_code, encode_body(body, context.node_id_length), extensions)
        transaction = context.transaction_id()
        while transaction in self._transactions:
            transaction = context.transaction_id()
        header = ForwardingHeader(
            context.overlay,
            transaction,
            tuple(destination_list),
            configuration_sequence=self._sequence(message_code),
            ttl=context.configuration.initial_ttl,
            max_response_length=self._max_response_length,
        )
        payload = sign_payload(context, transaction, contents, certificates)
        if self._is_too_large(header, payload):
            failure = Failure(transaction, None, None, "it is larger than messages of this overlay may be")
            self._tasks.append(partial(on_outcome, failure))
            return transaction
        pending = Pending(header, contents, payload, on_outcome, first_hop)
        self._transactions.add(pending, now + self._timer)
        self._transmit(pending, now)
        return transaction

    def cancel(self, transaction: int) -> None:
        """Nobody is told any more what becomes of it."""
        self._transactions.take(transaction)

    def get_timer(self) -> float | None:
        """When a request is to be sent again."""
        return self._transactions.get_timer()

    def handle_timer(self, now: float) -> None:
        """Send again what was not answered, or give it up."""
        while (pending := self._transactions.due(now)) is not None:
            if pending.transaction in self._transactions:
                self._transactions.sent(pending, now + self._timer)
                self._transmit(pending, now)
            else:
                reason = "no answer" if pending.error is None else "no other answer"
                self._tell(pending, Failure(pending.transaction, pending.error, pending.identity, reason))

    def configuration_changed(self, now: float) -> None:
        """Requests that were refused for the configuration that they were sent with go out at once with the new one."""
        for pending in self._transactions.refused():
            pending.error = pending.identity = None
            self.retry(pending, now)

    def retry(self, pending: Pending, now: float) -> None:
        """Send it again before its timer fires, as there is hope now. It counts as the transmission that it repeats."""
        if pending.transaction in self._transactions:
            self._transmit(pending, now)

    def on_response(self, message: Message, identity: Identity, connection: Connection, now: float) -> str | None:
        """An answer whose signature holds. Returns why it has no effect, if so."""
        transaction = message.header.transaction_id
        pending = self._transactions.get(transaction)
        if pending is None:
            return "an answer to nothing"
        code = message.contents.message_code
        if code not in (pending.message_code + 1, MessageCode.ERROR):
            return f"message code {code} answers no request of code {pending.message_code}"
        try:
            body = decode_body(message.contents, node_id_length=self._context.node_id_length)
        except DecodeError as exc:
            return str(exc)
        error = body if isinstance(body, ErrorResponse) else None
        if not self._is_right(pending, error, identity, connection):
            return "an answer of another node than was asked"
        if error is not None:
            self._refused(pending, error, identity, now)
            return None
        self._transactions.take(transaction)
        self._routes.on_answered(pending, identity.node_id, connection, now)
        block = message.security_block.certificates
        extensions = message.contents.extensions
        response = Response(transaction, code, body, identity, message.header, block, extensions, now)
        self._tell(pending, response)
        return None

    def on_reply(self, pending: Pending, reply: Reply, now: float) -> None:
        """What this node has answered to its own request."""
        transaction = pending.transaction
        if self._transactions.take(transaction) is None:
            return
        identity = self._context.identity
        if isinstance(reply, Answer):
            self._tell(
                pending,
                Response(
                    transaction,
                    pending.message_code + 1,
                    reply.body,
                    identity,
                    pending.header,
                    self._context.signer.certificates + reply.certificates,
                    reply.extensions,
                    now,
                ),
            )
        else:
            self._tell(pending, Failure(transaction, reply, identity, "refused by this node itself"))

    @property
    def _timer(self) -> float:
        return self._context.configuration.overlay_reliability_timer / 1000

    def _is_too_large(self, header: ForwardingHeader, payload: bytes) -> bool:
        size = len(encode_header(header, len(payload), node_id_length=self._context.node_id_length)) + len(payload)
        return size > self._context.configuration.max_message_size

    def _sequence(self, message_code: int) -> int:
        # A receiver whose configuration is older would have to refuse the very message that brings it the new one.
        if message_code == MessageCode.CONFIG_UPDATE_REQ:
            return ANY_CONFIGURATION
        return self._context.configuration.sequence

    def _transmit(self, pending: Pending, now: float) -> None:
        pending.header.configuration_sequence = self._sequence(pending.message_code)
        pending.header.options = self._routes.options(pending, now)
        if pending.header.options and self._is_too_large(pending.header, pending.payload):
            pending.header.options, pending.route, pending.is_symmetric = (), None, True
        decision = self._sender.originate(pending.header, pending.payload, now, first_hop=pending.first_hop)
        if isinstance(decision, Deliver):
            self._tasks.append(partial(self.deliver, pending))

    def _is_right(
        self, pending: Pending, error: ErrorResponse | None, identity: Identity, connection: Connection
    ) -> bool:
        if error is not None:
            if error.error_code in FROM_ANYBODY:
                return True
            # A neighbor forbids what a node with several Node-IDs sends through it without an Attach (section 6.1.2).
            # From who has no such reason it would be a lie about the outcome.
            may_forbid = len(self._context.identity.node_ids) > 1 and not connection.is_attached
            if may_forbid and error.error_code == ErrorCode.FORBIDDEN and identity.node_id == connection.node_id:
                return True
        match pending.destination:
            case NodeDestination(node_id) as destination:
                return destination.is_wildcard or identity.node_id == node_id
            case ResourceDestination(resource_id):
                return self.is_plausible_responder(identity.node_id, resource_id)
        return True

    def _refused(self, pending: Pending, error: ErrorResponse, identity: Identity, now: float) -> None:
        if self._routes.is_refused(pending, error.error_code, now):
            self._transmit(pending, now)
            return
        self.on_error(pending, error, identity, now)
        mismatch = error.error_code in (ErrorCode.CONFIG_TOO_OLD, ErrorCode.CONFIG_TOO_NEW)
        if mismatch and pending.message_code != MessageCode.CONFIG_UPDATE_REQ:
            # One of the two nodes is about to get the other's configuration, if this one has not got it already.
            if pending.header.configuration_sequence != self._sequence(pending.message_code):
                self._transmit(pending, now)
            else:
                pending.error, pending.identity = error, identity
            return
        self._transactions.take(pending.transaction)
        self._tell(pending, Failure(pending.transaction, error, identity, "refused"))

    def _tell(self, pending: Pending, outcome: Outcome) -> None:
        self._tasks.append(partial(pending.on_outcome, outcome))
