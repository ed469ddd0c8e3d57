"""Responses that go directly to the requester or its relay, and not the way back (RFC 7263 and 7264, section 5.4)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias, TypeVar

import attrs

from reload.addresses import IpAddressPort
from reload.candidates import is_reachable
from reload.connections import Connection, ConnectionTable
from reload.contents import ErrorCode, ErrorResponse
from reload.context import Context
from reload.destinations import Destination
from reload.errors import DecodeError, SecurityError
from reload.events import ConnectionAbandoned, DirectConnectionWanted, Event
from reload.exchange import Link
from reload.header import ForwardingHeader
from reload.methods import OverlayLinkType
from reload.ports import Identity
from reload.response_routes import Wanted, read_route
from reload.sending import Sender

MAX_CONNECTING = 32
"""Direct connections at a time that are being made: anybody may ask for one, and name any address."""
MAX_WAITING = 16
"""Responses that wait for one connection; beyond that, they go the way back."""
MAX_REMEMBERED = 256
"""Connections that were wanted, addresses that could not be reached, and requests that are to be answered by SRR,
which are remembered."""
UNREACHABLE_FOR = 600.0
"""Seconds for which an address that could not be reached is not tried again (RFC 7263 section 3.2.1)."""
IDLE = 60.0
"""Seconds without a direct response after which a link that was made for them is closed."""

SendBack: TypeAlias = Callable[[ForwardingHeader, bytes, Link, float], None]
_Place: TypeAlias = tuple[bytes, IpAddressPort]
_K = TypeVar("_K")
_V = TypeVar("_V")


@attrs.define
class _Response:
    """A response that waits for a connection. `header` is that of SRR, `link` the one that the request came over."""

    key: tuple[bytes, int]
    header: ForwardingHeader
    payload: bytes
    link: Link
    destinations: tuple[Destination, ...]


@attrs.define(eq=False)
class _Connecting:
    attach: int
    wanted: Wanted
    deadline: float
    responses: list[_Response] = attrs.Factory(list)


class DirectResponses:
    """Sends responses as their requests ask for. `send_back` sends one by SRR, `close` closes a link."""

    def __init__(
        self, context: Context, connections: ConnectionTable, sender: Sender, emit: Callable[[Event], None]
    ) -> None:
        self._context = context
        self._connections = connections
        self._sender = sender
        self._emit = emit
        self.send_back: SendBack = lambda header, payload, link, now: None
        self.close: Callable[[Link, str, float], None] = lambda link, reason, now: None
        self._connecting: OrderedDict[_Place, _Connecting] = OrderedDict()
        self._ended: OrderedDict[int, None] = OrderedDict()
        self._unreachable: OrderedDict[_Place, float] = OrderedDict()
        self._symmetric: OrderedDict[tuple[bytes, int], None] = OrderedDict()
        self._links: OrderedDict[Link, float] = OrderedDict()

    def refusal(self, header: ForwardingHeader, requester: bytes) -> ErrorResponse | None:
        """What to answer, by SRR, to a request whose option cannot be followed."""
        try:
            read_route(header, requester)
        except DecodeError as exc:
            return ErrorResponse(ErrorCode.UNKNOWN_EXTENSION, str(exc).encode())
        return None

    def send(
        self,
        request: ForwardingHeader,
        requester: bytes,
        header: ForwardingHeader,
        payload: bytes,
        link: Link,
        now: float,
    ) -> None:
        """Send the response to `request`: as that asks for, or by SRR as `header` says."""
        key = requester, request.transaction_id
        try:
            wanted = read_route(request, requester)
        except DecodeError:
            wanted = None
        if wanted is None or key in self._symmetric:
            self.send_back(header, payload, link, now)
            return
        response = _Response(key, header, payload, link, wanted.destinations)
        connection = self._connections.to(wanted.target)
        if connection is not None:
            self._send(response, connection, now)
        elif not self._wait(response, wanted, now):
            self.send_back(header, payload, link, now)

    def on_repetition(self, request: ForwardingHeader, requester: bytes) -> None:
        """A request has come once more: if it asks for another way now, what is on its way otherwise is abandoned."""
        key = requester, request.transaction_id
        try:
            wanted = read_route(request, requester)
        except DecodeError:
            wanted = None
        for place, connecting in list(self._connecting.items()):
            if wanted is None or place != (wanted.target, wanted.address):
                connecting.responses = [each for each in connecting.responses if each.key != key]
                if not connecting.responses:
                    self._end(connecting)
                    self._emit(ConnectionAbandoned(connecting.attach))
        if wanted is None:
            _remember(self._symmetric, key, None)

    # Connections.
    def is_wanted(self, attach: int) -> bool:
        """Whether this number is one of a `DirectConnectionWanted` that waits."""
        return any(connecting.attach == attach for connecting in self._connecting.values())

    def established(self, attach: int, identity: Identity, now: float) -> bytes:
        """There is a connection: to whom. Raises SecurityError when it leads to another node."""
        connecting = self._of(attach)
        target = connecting.wanted.target
        if target not in identity.node_ids:
            self._give_up(connecting, now)
            raise SecurityError(f"connection: its certificate is not that of {target.hex()}")
        return target

    def opened(self, attach: int, connection: Connection, now: float) -> None:
        """The link of a connection that was established."""
        connecting = self._of(attach)
        self._end(connecting)
        self._links[connection.link] = now + IDLE
        for response in connecting.responses:
            self._send(response, connection, now)

    def has_ended(self, attach: int) -> bool:
        """Whether it was the number of a `DirectConnectionWanted`: the driver may not know yet that it no longer is."""
        return attach in self._ended

    def failed(self, attach: int, now: float) -> None:
        """There will be no connection."""
        self._give_up(self._of(attach), now)

    def get_timer(self) -> float | None:
        """When a connection takes too long, or a link has been idle."""
        waiting = next((each.deadline for each in self._connecting.values()), None)
        idle = next(iter(self._links.values()), None)
        return min((each for each in (waiting, idle) if each is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Fall back to SRR, and close what is idle."""
        for connecting in list(self._connecting.values()):
            if connecting.deadline <= now:
                self._give_up(connecting, now)
                self._emit(ConnectionAbandoned(connecting.attach))
        while self._links:
            link, deadline = next(iter(self._links.items()))
            if deadline > now:
                return
            del self._links[link]
            connection = self._connections.get(link)
            # An Attach may have made more of it, by a link of its own; this one is of no use then, either.
            if connection is not None:
                self.close(link, "no more direct responses", now)

    def _wait(self, response: _Response, wanted: Wanted, now: float) -> bool:
        """Have a connection made; False when that makes no sense."""
        place = wanted.target, wanted.address
        known = wanted.overlay_link in (*OverlayLinkType,)
        if not known or not is_reachable(wanted.address) or self._unreachable.get(place, now) > now:
            return False
        connecting = self._connecting.get(place)
        if connecting is None:
            if len(self._connecting) >= MAX_CONNECTING:
                return False
            # The requester waits no longer than this, and asks for SRR then.
            deadline = now + self._context.configuration.overlay_reliability_timer / 1000
            connecting = self._connecting[place] = _Connecting(next(self._context.numbers), wanted, deadline)
            link_type = OverlayLinkType(wanted.overlay_link)
            self._emit(DirectConnectionWanted(connecting.attach, wanted.target, link_type, wanted.address))
        if any(each.key == response.key for each in connecting.responses):
            return True
        if len(connecting.responses) >= MAX_WAITING:
            return False
        connecting.responses.append(response)
        return True

    def _send(self, response: _Response, connection: Connection, now: float) -> None:
        if connection.link in self._links:
            self._links[connection.link] = now + IDLE
            self._links.move_to_end(connection.link)
        self._sender.send_over(connection, response.header, response.destinations, response.payload)

    def _give_up(self, connecting: _Connecting, now: float) -> None:
        self._end(connecting)
        _remember(self._unreachable, (connecting.wanted.target, connecting.wanted.address), now + UNREACHABLE_FOR)
        for response in connecting.responses:
            self.send_back(response.header, response.payload, response.link, now)

    def _of(self, attach: int) -> _Connecting:
        return next(each for each in self._connecting.values() if each.attach == attach)

    def _end(self, connecting: _Connecting) -> None:
        del self._connecting[connecting.wanted.target, connecting.wanted.address]
        _remember(self._ended, connecting.attach, None)


def _remember(table: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > MAX_REMEMBERED:
        table.popitem(last=False)
