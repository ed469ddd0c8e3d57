"""Messages on their way out: signed, addressed, cut for the link (RFC 6940 sections 6.1, 6.3.4 and 6.7)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from reload._presentation import encode
from reload.connections import Connection, ConnectionTable
from reload.contents import MessageContents
from reload.context import Context
from reload.destinations import Destination
from reload.exchange import Link
from reload.forwarding import fragment
from reload.header import ForwardingHeader, pack_header
from reload.routing import Deliver, Drop, Forward, Hops, route
from reload.security_block import GenericCertificate
from reload.signing import sign_message
from reload.via_lists import ViaLists

Tasks: TypeAlias = deque[Callable[[float], None]]
"""What a node does once the call that it is in has returned to it: nothing is told from within another call."""


def sign_payload(
    context: Context, transaction_id: int, contents: MessageContents, certificates: Iterable[GenericCertificate] = ()
) -> bytes:
    """The octets of contents and their signature. Raises EncodeError."""
    header = ForwardingHeader(context.overlay, transaction_id, ())
    message = sign_message(header, contents, context.signer, certificates, node_id_length=context.node_id_length)
    return message.signed + encode(message.security_block)


def encode_body(body: Any, node_id_length: int) -> bytes:
    """The octets of a body: a structure, or octets where its message code has none. Raises EncodeError."""
    return body if isinstance(body, bytes) else encode(body, node_id_length=node_id_length)


class Sender:
    """The way out of a node: finds the next hop, and has what waits to be sent.

    Whoever owns it sets `hops`, the topology's part in it, and `first_hop`, which tells where the messages of this
    node begin their way when the topology has none for them: before it has joined, and in clients.
    """

    def __init__(self, context: Context, connections: ConnectionTable, via_lists: ViaLists) -> None:
        self._context = context
        self._connections = connections
        self._outbox: list[tuple[Link, bytes]] = []
        self.via_lists = via_lists
        self.hops: Hops
        self.first_hop: Callable[[], bytes | None]

    def take(self) -> list[tuple[Link, bytes]]:
        """What is to be sent, in this order; it is the taker's now."""
        taken, self._outbox = self._outbox, []
        return taken

    def send(self, connection: Connection, octets: bytes) -> None:
        """Send a message, or a fragment, over a link."""
        if connection.path_mtu is None:
            self._outbox.append((connection.link, octets))
        else:
            self._outbox += [(connection.link, part) for part in fragment(octets, connection.path_mtu)]

    def pass_on(self, next_hop: bytes, octets: bytes) -> str | None:
        """Send octets to a connected node. Returns why that cannot be, if so."""
        connection = self._connections.to(next_hop)
        if connection is None:
            return "the next hop is not connected"
        self.send(connection, octets)
        return None

    def route(
        self, destination_list: tuple[Destination, ...], now: float, previous_hop: bytes | None = None
    ) -> Deliver | Forward | Drop:
        """What becomes of a message with this Destination List, which came from `previous_hop` or is our own."""
        return route(
            destination_list,
            node_id=self._context.node_id,
            connected=self._connections,
            hops=self.hops,
            unpack=lambda opaque: self.via_lists.unpack(opaque, now),
            previous_hop=previous_hop,
        )

    def originate(
        self, header: ForwardingHeader, payload: bytes, now: float, *, first_hop: bytes | None = None
    ) -> Deliver | Forward | Drop:
        """Send a message of this node, unless it is for this node itself, or there is no way (section 6.2.1)."""
        decision: Deliver | Forward | Drop
        if first_hop is not None:
            decision = Forward(first_hop, header.destination_list)
        else:
            decision = self.route(header.destination_list, now)
        if isinstance(decision, Drop) and (any_hop := self.first_hop()) is not None:
            decision = Forward(any_hop, header.destination_list)
        if isinstance(decision, Forward):
            connection = self._connections.to(decision.next_hop)
            if connection is None:
                return Drop("the first hop is not connected")
            self.send_over(connection, header, decision.destination_list, payload)
        return decision

    def send_over(
        self,
        connection: Connection,
        header: ForwardingHeader,
        destination_list: tuple[Destination, ...],
        payload: bytes,
    ) -> None:
        """Send a message of this node over a link, but none that the other end would close the link for (section 6.6).

        Others make the Via List that an error or an answer goes back by.
        """
        n = self._context.node_id_length
        head = pack_header(header, header.ttl, header.via_list, destination_list, len(payload), n)
        if len(head) + len(payload) <= self._context.configuration.max_message_size:
            self.send(connection, head + payload)
