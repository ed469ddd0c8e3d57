"""Peers in a line that ask for direct or relayed responses (RFC 7263 and 7264)."""

from itertools import pairwise
from typing import Any

from reload_identities import node_id
from reload_overlay import Host, MemoryOverlay, in_force, line_topology, node

from reload.addresses import IPV4, IpAddressPort, IPv4AddrPort
from reload.configuration_extensions import ROUTE_MODE
from reload.contents import MessageCode
from reload.events import DirectConnectionWanted, Event
from reload.header import ForwardingHeader, decode_header
from reload.kinds import Extension
from reload.methods import OverlayLinkType
from reload.response_routes import ResponseRoute

TLS = OverlayLinkType.TLS_TCP_FH_NO_ICE


def address(number: int, port: int = 6084) -> IpAddressPort:
    return IpAddressPort(IPV4, IPv4AddrPort(bytes((192, 0, 2, number)), port))


class Line(MemoryOverlay):
    """Peers in a line, whose drivers connect for responses to whom `reachable` has."""

    def __init__(self, *numbers: int, mode: str | None, **options: Any) -> None:
        extensions = () if mode is None else (Extension(ROUTE_MODE, "mode", text=mode),)
        super().__init__(in_force=in_force(extensions=extensions), **options)
        self.reachable: dict[IpAddressPort, Host | None] = {}
        self.by_number = {number: self.add(number, make_topology=line_topology(numbers)) for number in numbers}
        for host in self.hosts:
            host.topology.is_joined = True
            host.topology.peers = [each.node_id for each in self.hosts]
            # A peer stays one when a link for responses goes.
            host.topology.on_disconnected = lambda peer, now: None  # type: ignore[method-assign]
            self.reachable[address(host.number)] = host
        for one, other in pairwise(self.hosts):
            self.link(one, other)
        self.settle(0.1)

    def _do(self, host: Host, event: Event) -> None:
        if isinstance(event, DirectConnectionWanted):
            target = self.reachable.get(event.address)
            if target is None:
                host.node.connection_failed(event.attach, self.now)
            elif target is not host:
                self.link(host, target, attaches=(event.attach, None))
        super()._do(host, event)

    def headers(self, code: int) -> list[tuple[int, int, ForwardingHeader]]:
        """Who has sent messages of this code to whom, and their headers."""
        found = []
        for _, sender, receiver, octets in self.sent:
            header, start = decode_header(octets)
            if int.from_bytes(octets[start : start + 2], "big") == code:
                found.append((sender, receiver, header))
        return found

    def path(self, code: int) -> list[tuple[int, int]]:
        return [(sender, receiver) for sender, receiver, _ in self.headers(code)]

    def ping(self, one: int, other: int, seconds: float = 1.0) -> object:
        """What comes of a Ping from one peer to another, in so much time."""
        self.sent.clear()
        host = self.by_number[one]
        handle = host.node.ping([node(other)], self.now)
        self.settle(seconds)
        return host.result(handle)


PING, PONG = MessageCode.PING_REQ, MessageCode.PING_ANS
BACK = [(5, 4), (4, 3), (3, 2), (2, 1)]
DRR = [ResponseRoute(TLS, address(1))]


def direct_line(**options: Any) -> Line:
    line = Line(1, 2, 3, 4, 5, mode="DRR", **options)
    line.by_number[1].node.use_response_routes(DRR)
    return line


def relay_line(*relays: int, **options: Any) -> Line:
    line = Line(1, 2, 3, 4, 5, 6, 7, mode="RPR", **options)
    for relay in relays:
        line.link(line.by_number[1], line.by_number[relay])
    routes = [ResponseRoute(TLS, address(relay), node_id(relay)) for relay in relays]
    line.by_number[1].node.use_response_routes(routes)
    return line
