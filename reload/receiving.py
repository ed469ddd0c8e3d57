"""Octets from a link: discarded, forwarded, or put together and verified (RFC 6940 sections 6.1, 6.6 and 6.7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from reload.connections import Connection, ConnectionTable
from reload.contents import ErrorCode, MessageCode, is_request
from reload.context import Context
from reload.destinations import NodeDestination
from reload.errors import DecodeError, EncodeError, SecurityError
from reload.forwarding import forward
from reload.header import HEADER_SIZE, LISTS_AT, ForwardingHeader, decode_header
from reload.message import decode_message
from reload.node_ports import Forwarded, Transit
from reload.reassembly import Reassembler
from reload.requesting import Requester
from reload.responding import Responder
from reload.routing import Deliver, Drop, Forward, Reject, check_forward, check_header, keeps_state, message_code
from reload.sending import Sender
from reload.signing import verify_message

_BEFORE_ATTACH = frozenset({MessageCode.PING_REQ, MessageCode.ATTACH_REQ})
"""What a node with several Node-IDs may ask before it has told by an Attach which one it uses (section 6.1.2)."""


_UNNAMED = b"link"
"""With its number, it stands for the Node-ID of a link that has none yet; Node-IDs are longer."""
_MAX_VIA_OCTETS = 0xFFFF - 64
"""Of a Via List that one more destination fits into, also when it comes back as a Destination List."""


class TooLargeError(Exception):
    """The link has brought a message over max-message-size, and is to be closed."""


class Receiver:
    """Takes messages from links, and has those for this node answered by `responder` or told to `requester`.

    Whoever owns it sets the `option_types` that this node understands, the `transits`, by message code, which look at
    what is forwarded, and `on_named`, which gives a link to the node that it turns out to lead to.
    """

    def __init__(
        self,
        context: Context,
        connections: ConnectionTable,
        sender: Sender,
        requester: Requester,
        responder: Responder,
    ) -> None:
        self._context = context
        self._connections = connections
        self._sender = sender
        self._requester = requester
        self._responder = responder
        self.on_named: Callable[[Connection, bytes, float], None] = lambda connection, node_id, now: None
        self.option_types: frozenset[int] = frozenset()
        self.transits: Mapping[int, Sequence[Transit]] = {}
        self.configuration_changed()

    def configuration_changed(self) -> None:
        """Another max-message-size may be in force. What is incomplete comes again."""
        configuration = self._context.configuration
        self._reassembler = Reassembler(
            max_size=configuration.max_message_size, node_id_length=configuration.node_id_length
        )

    def get_timer(self) -> float | None:
        """When an incomplete message is to be forgotten."""
        return self._reassembler.get_timer()

    def handle_timer(self, now: float) -> None:
        """Forget what was not completed in time."""
        self._reassembler.handle_timer(now)

    def receive(self, connection: Connection, octets: bytes, now: float) -> str | None:
        """A message or a fragment. Returns why it has no effect, if so. Raises TooLargeError."""
        connection.last_heard = now
        if len(octets) > self._context.configuration.max_message_size:
            self._too_large(connection, octets, now)
        if not connection.requests.take(now):
            return "too many messages at a time"
        try:
            header, start = decode_header(octets, node_id_length=self._context.node_id_length)
        except DecodeError as exc:
            return str(exc)
        if int.from_bytes(octets[LISTS_AT : LISTS_AT + 2], "big") > _MAX_VIA_OCTETS:
            return "its Via List has no room for another hop"
        if connection.node_id is None and not header.is_whole:
            # Fragments do not tell who has sent them, and this is who the Via List is to name (section 6.1.2).
            whole = self._reassembler.receive(
                _UNNAMED + connection.link.to_bytes(8, "big"), header, octets[start:], now
            )
            if whole is None:
                return None
            octets = whole
            header, start = decode_header(octets, node_id_length=self._context.node_id_length)
        code = message_code(octets, header, start)
        if not connection.is_attached and len(connection.identity.node_ids) > 1:
            reason = self._admit(connection, header, code, octets, now)
            if reason is not None:
                return reason
        wrong = check_header(
            header, code, overlay=self._context.overlay, initial_ttl=self._context.configuration.initial_ttl
        )
        if wrong is not None:
            return self._refuse(header, code, connection, wrong, now)
        decision = self._sender.route(header.destination_list, now, connection.node_id)
        match decision:
            case Deliver():
                return self._deliver(connection, header, start, octets, now)
            case Forward():
                return self._forward(connection, header, start, code, octets, decision, now)
        return decision.reason

    def _too_large(self, connection: Connection, octets: bytes, now: float) -> None:
        """Tell the sender, unless the header alone is too large (section 6.6). Raises TooLargeError."""
        largest = self._context.configuration.max_message_size
        reason = f"a message of {len(octets)} octets, at most {largest} are taken"
        lists = sum(int.from_bytes(octets[at : at + 2], "big") for at in range(LISTS_AT, HEADER_SIZE, 2))
        if HEADER_SIZE + lists <= largest:
            try:
                header, start = decode_header(octets, node_id_length=self._context.node_id_length)
            except DecodeError:
                pass
            else:
                code = message_code(octets, header, start)
                self._refuse(header, code, connection, Reject(ErrorCode.MESSAGE_TOO_LARGE, reason), now)
        raise TooLargeError(reason)

    def _admit(
        self, connection: Connection, header: ForwardingHeader, code: int | None, octets: bytes, now: float
    ) -> str | None:
        """What keeps a node with several Node-IDs from being served before it has attached; None where nothing does.

        Which of its Node-IDs it uses shows the signature of its first Ping or Attach: responses to it have to find
        the way.
        """
        if connection.node_id is None:
            if code not in _BEFORE_ATTACH:
                return "the node has several Node-IDs, and has not told which it uses"
            try:
                message = decode_message(octets, node_id_length=self._context.node_id_length)
                identity = verify_message(message, self._context.in_force.verifier, self._context.wall(now))
            except (DecodeError, SecurityError) as exc:
                return str(exc)
            if identity.node_id not in connection.identity.node_ids:
                return "the message of another node, while it has not told its own Node-ID"
            self.on_named(connection, identity.node_id, now)
        elif self._connections.is_attached(connection.node_id):
            connection.is_attached = True
        elif code is not None and is_request(code) and code not in _BEFORE_ATTACH:
            wrong = Reject(ErrorCode.FORBIDDEN, "a node with several Node-IDs has to attach first")
            return self._refuse(header, code, connection, wrong, now)
        return None

    def _refuse(
        self, header: ForwardingHeader, code: int | None, connection: Connection, wrong: Reject | Drop, now: float
    ) -> str:
        # Never an error about a response, or about an error: fragments but the first do not tell what they are of.
        if isinstance(wrong, Reject) and code is not None and is_request(code):
            self._responder.reject(header, connection, wrong, now)
        return wrong.reason

    def _forward(
        self,
        connection: Connection,
        header: ForwardingHeader,
        start: int,
        code: int | None,
        octets: bytes,
        decision: Forward,
        now: float,
    ) -> str | None:
        if code is not None and code in self.transits and header.is_whole:
            reason = self._look_at(connection, header, start, code, octets, decision, now)
            if reason is not None:
                return reason
        wrong = check_forward(header, self.option_types)
        if wrong is not None:
            return self._refuse(header, code, connection, wrong, now)
        via_list = header.via_list
        # A fragment behind the first one does not tell whether it is of a request: in a response it does no harm.
        if code is None or is_request(code):
            assert connection.node_id is not None
            via_list = (*via_list, NodeDestination(connection.node_id))
            if keeps_state(header):
                via_list = self._sender.via_lists.pack(via_list, now)
        try:
            onwards = forward(
                octets,
                header,
                start,
                via_list=via_list,
                destination_list=decision.destination_list,
                node_id_length=self._context.node_id_length,
            )
        except EncodeError as exc:
            return str(exc)
        largest = self._context.configuration.max_message_size
        if len(onwards) > largest:
            # The next hop would close its link to this node, which has done no wrong (section 6.6).
            reason = f"its Via List makes it one of {len(onwards)} octets, at most {largest} are taken"
            return self._refuse(header, code, connection, Reject(ErrorCode.MESSAGE_TOO_LARGE, reason), now)
        return self._sender.pass_on(decision.next_hop, onwards)

    def _look_at(
        self,
        connection: Connection,
        header: ForwardingHeader,
        start: int,
        code: int,
        octets: bytes,
        decision: Forward,
        now: float,
    ) -> str | None:
        """Have the services look at a message that is on its way; why it goes no further, if so."""
        assert connection.node_id is not None
        forwarded = Forwarded(header, code, octets, start, connection.node_id, decision.next_hop)
        for transit in self.transits[code]:
            error = transit.on_forward(forwarded, now)
            if error is not None:
                if is_request(code):
                    self._responder.refuse(header, connection, error, now)
                else:
                    self._responder.replace(header, decision.destination_list, connection, error, now)
                return f"a service refuses to forward it: error {error.error_code}"
        return None

    def _deliver(
        self, connection: Connection, header: ForwardingHeader, start: int, octets: bytes, now: float
    ) -> str | None:
        if not header.is_whole:
            assert connection.node_id is not None
            whole = self._reassembler.receive(connection.node_id, header, octets[start:], now)
            if whole is None:
                return None
            octets = whole
        try:
            message = decode_message(octets, node_id_length=self._context.node_id_length)
            identity = verify_message(message, self._context.in_force.verifier, self._context.wall(now))
        except (DecodeError, SecurityError) as exc:
            return str(exc)
        code = message.contents.message_code
        if is_request(code):
            return self._responder.on_request(message, identity, connection, now)
        if code == 0 or (code >= 0x8000 and code != MessageCode.ERROR):
            return f"message code {code} is reserved"
        return self._requester.on_response(message, identity, connection, now)
