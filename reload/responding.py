"""Requests for this node: checked, handed to who answers them, and answered (RFC 6940 sections 6.2.2 and 6.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import attrs

from reload._presentation import encode
from reload.configuration_update import sequence_error
from reload.connections import LOCAL, Connection, ConnectionTable
from reload.contents import ErrorCode, ErrorResponse, MessageCode, MessageContents
from reload.context import Context
from reload.destinations import Destination
from reload.direct_responses import DirectResponses
from reload.errors import DecodeError, EncodeError, UnknownTypeError
from reload.exchange import Answer, Reply, Request
from reload.header import ForwardingHeader, ForwardingOption, OptionFlag, encode_header
from reload.message import Message, decode_body
from reload.ports import Identity
from reload.routing import Reject, response_destinations
from reload.security_block import GenericCertificate
from reload.sending import Sender, encode_body, sign_payload
from reload.transactions import Answers, Pending

Handler: TypeAlias = Callable[[Request, float], Reply | None]
"""Answers a request; None when the answer comes later."""

_ABOUT_HEADER = frozenset(
    {
        ErrorCode.CONFIG_TOO_OLD,
        ErrorCode.CONFIG_TOO_NEW,
        ErrorCode.UNSUPPORTED_FORWARDING_OPTION,
        ErrorCode.UNKNOWN_EXTENSION,
    }
)
_FLAGS_OF_REQUESTS = OptionFlag.FORWARD_CRITICAL | OptionFlag.DESTINATION_CRITICAL | OptionFlag.RESPONSE_COPY


class Responder:
    """Answers the requests for a node. Whoever owns it sets what follows the constructor's arguments here.

    `handlers` answer by message code; `extension_types` and `option_types` are those that the node understands;
    `on_old_configuration` is told of requesters whose configuration is old, `on_reply` of answers to this node itself.
    """

    def __init__(self, context: Context, connections: ConnectionTable, sender: Sender, direct: DirectResponses) -> None:
        self._direct = direct
        direct.send_back = self._send
        self._context = context
        self._connections = connections
        self._sender = sender
        self._answers = Answers()
        self.handlers: Mapping[int, Handler] = {}
        self.extension_types: frozenset[int] = frozenset()
        self.option_types: frozenset[int] = frozenset()
        self.on_old_configuration: Callable[[Request, float], None] = lambda request, now: None
        self.on_reply: Callable[[Pending, Reply, float], None] = lambda pending, reply, now: None
        self._local: dict[int, Pending] = {}

    def on_request(self, message: Message, identity: Identity, connection: Connection, now: float) -> str | None:
        """A request whose signature holds. Returns why it has no effect, if so."""
        assert connection.node_id is not None
        header, contents = message.header, message.contents
        if self._answers.is_known(identity.node_id, header.transaction_id, now):
            return self._repeat(header, identity, connection, now)
        request = Request(
            contents.message_code,
            None,
            identity,
            header,
            connection.link,
            connection.node_id,
            message.security_block.certificates,
            contents.extensions,
        )
        error = self._refusal(request, now)
        if error is None:
            try:
                body = decode_body(contents, node_id_length=self._context.node_id_length)
            except UnknownTypeError as exc:
                return str(exc)
            except DecodeError as exc:
                error = ErrorResponse(ErrorCode.INVALID_MESSAGE, str(exc).encode())
            else:
                request = attrs.evolve(request, body=body)
        reply = error if error is not None else self._handle(request, now)
        if reply is not None:
            self.answer(request, reply, now)
        return None

    def on_own(self, pending: Pending, now: float) -> None:
        """A request of this node that it is to answer itself."""
        transaction, context = pending.header.transaction_id, self._context
        if transaction in self._local:
            return
        contents = pending.contents
        try:
            body = decode_body(contents, node_id_length=context.node_id_length)
        except DecodeError as exc:
            self.on_reply(pending, ErrorResponse(ErrorCode.INVALID_MESSAGE, str(exc).encode()), now)
            return
        request = Request(
            contents.message_code,
            body,
            context.identity,
            pending.header,
            LOCAL,
            context.node_id,
            context.signer.certificates,
            contents.extensions,
        )
        self._local[transaction] = pending
        reply = self._handle(request, now)
        if reply is not None:
            self.answer(request, reply, now)

    def answer(self, request: Request, reply: Reply, now: float) -> None:
        """Answer a request, once."""
        transaction = request.header.transaction_id
        if request.link == LOCAL:
            pending = self._local.pop(transaction, None)
            if pending is not None:
                self.on_reply(pending, reply, now)
            return
        header = self._header(request.header, request.previous_hop)
        try:
            contents, certificates = _contents(request.message_code, reply, self._context.node_id_length)
            payload = sign_payload(self._context, transaction, contents, certificates)
            if self._size(header, payload) > self._limit(request.header):
                raise EncodeError("the answer is too large")
        except EncodeError as exc:
            error = ErrorResponse(ErrorCode.RESPONSE_TOO_LARGE, str(exc).encode())
            payload = self._error_payload(transaction, error)
        signer = request.identity.node_id
        if isinstance(reply, ErrorResponse) and reply.error_code in _ABOUT_HEADER:
            # It may come again with another sequence, or without an option, and is a request with hope then.
            self._answers.forget(signer, transaction)
        else:
            self._answers.put(signer, transaction, payload)
        self._direct.send(request.header, signer, header, payload, request.link, now)

    def reject(self, header: ForwardingHeader, connection: Connection, rejection: Reject, now: float) -> None:
        """Answer a request that is not for this node, or that cannot be taken, with an error."""
        self.refuse(header, connection, ErrorResponse(rejection.error_code, rejection.reason.encode()), now)

    def refuse(self, header: ForwardingHeader, connection: Connection, error: ErrorResponse, now: float) -> None:
        """The same with an error that says more. On each link there are so many of them, and no more."""
        if connection.node_id is not None and connection.errors.take(now):
            payload = self._error_payload(header.transaction_id, error)
            self._send(self._header(header, connection.node_id), payload, connection.link, now)

    def replace(
        self,
        header: ForwardingHeader,
        destination_list: tuple[Destination, ...],
        connection: Connection,
        error: ErrorResponse,
        now: float,
    ) -> None:
        """Send an error in the place of a response that is on its way to others."""
        if connection.errors.take(now):
            made = attrs.evolve(self._header(header, b""), destination_list=destination_list)
            self._sender.originate(made, self._error_payload(header.transaction_id, error), now)

    def handle_timer(self, now: float) -> None:
        """Forget what was answered long ago."""
        self._answers.expire(now)

    def _repeat(self, header: ForwardingHeader, identity: Identity, connection: Connection, now: float) -> str | None:
        """Answer a request as it was answered before, the way that it asks for now (section 6.2.1)."""
        self._direct.on_repetition(header, identity.node_id)
        payload = self._answers.get(identity.node_id, header.transaction_id)
        if payload is None:
            return "a duplicate of a request that is being answered"
        assert connection.node_id is not None
        back = self._header(header, connection.node_id)
        self._direct.send(header, identity.node_id, back, payload, connection.link, now)
        return None

    def _refusal(self, request: Request, now: float) -> ErrorResponse | None:
        """Why a request cannot be looked at, whatever it asks."""
        for option in request.header.options:
            if option.flags & OptionFlag.DESTINATION_CRITICAL and option.type not in self.option_types:
                return ErrorResponse(ErrorCode.UNSUPPORTED_FORWARDING_OPTION, f"option {option.type}".encode())
        error = self._direct.refusal(request.header, request.identity.node_id)
        if error is not None:
            return error
        wrong = sequence_error(
            request.header.configuration_sequence,
            self._context.configuration.sequence,
            is_config_update=request.message_code == MessageCode.CONFIG_UPDATE_REQ,
        )
        if wrong is not None:
            if wrong is ErrorCode.CONFIG_TOO_OLD:
                self.on_old_configuration(request, now)
            return ErrorResponse(wrong, f"the configuration here is {self._context.configuration.sequence}".encode())
        for extension in request.extensions:
            if extension.critical and extension.type not in self.extension_types:
                return ErrorResponse(ErrorCode.UNKNOWN_EXTENSION, f"extension {extension.type}".encode())
        return None

    def _handle(self, request: Request, now: float) -> Reply | None:
        handler = self.handlers.get(request.message_code)
        if handler is None:
            return ErrorResponse(ErrorCode.INVALID_MESSAGE, f"nothing here answers {request.message_code}".encode())
        return handler(request, now)

    def _error_payload(self, transaction: int, error: ErrorResponse) -> bytes:
        contents, _ = _contents(0, error, self._context.node_id_length)
        return sign_payload(self._context, transaction, contents)

    def _header(self, of: ForwardingHeader, previous_hop: bytes) -> ForwardingHeader:
        """The header of the response to a request."""
        options = tuple(
            ForwardingOption(option.type, option.flags & ~_FLAGS_OF_REQUESTS, option.value)
            for option in of.options
            if option.flags & OptionFlag.RESPONSE_COPY
        )
        return ForwardingHeader(
            self._context.overlay,
            of.transaction_id,
            response_destinations(of, previous_hop),
            options=options,
            configuration_sequence=self._context.configuration.sequence,
            ttl=self._context.configuration.initial_ttl,
        )

    def _size(self, header: ForwardingHeader, payload: bytes) -> int:
        return len(encode_header(header, len(payload), node_id_length=self._context.node_id_length)) + len(payload)

    def _limit(self, header: ForwardingHeader) -> int:
        largest = self._context.configuration.max_message_size
        return min(header.max_response_length or largest, largest)

    def _send(self, header: ForwardingHeader, payload: bytes, link: int, now: float) -> None:
        connection = self._connections.get(link)
        if connection is not None:
            self._sender.send_over(connection, header, header.destination_list, payload)
        else:
            self._sender.originate(header, payload, now)


def _contents(
    message_code: int, reply: Reply, node_id_length: int
) -> tuple[MessageContents, Iterable[GenericCertificate]]:
    if isinstance(reply, Answer):
        body = encode_body(reply.body, node_id_length)
        return MessageContents(message_code + 1, body, reply.extensions), reply.certificates
    return MessageContents(MessageCode.ERROR, encode(reply)), ()
