"""Direct and relayed responses between nodes (RFC 7263 and 7264)."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import attrs
import pytest
from reload_identities import node_id
from reload_overlay import Host, MemoryOverlay, in_force, line_topology, node

from reload._presentation import decode, encode
from reload.addresses import IPV4, IpAddressPort, IPv4AddrPort
from reload.configuration_extensions import ROUTE_MODE
from reload.contents import ErrorCode, MessageCode
from reload.destinations import Destination, OpaqueDestination, ResourceDestination
from reload.direct_responses import IDLE, MAX_CONNECTING, MAX_WAITING, UNREACHABLE_FOR
from reload.errors import SecurityError, StateError
from reload.events import ConnectionAbandoned, DirectConnectionWanted, Event, LinkUnwanted
from reload.exchange import Answer, Reply, Request, Response
from reload.extensions import ExtensiveRoutingModeOption, RouteMode
from reload.header import ForwardingHeader, ForwardingOption, OptionFlag, OptionType, decode_header, encode_header
from reload.kinds import Extension
from reload.methods import OverlayLinkType
from reload.operations import Failed
from reload.response_routes import ResponseRoute, read_route
from reload.response_routing import LEAST, PAUSE
from reload.via_lists import CompactViaLists

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


def test_a_request_for_drr_says_where_its_response_may_go() -> None:
    line = direct_line()
    assert isinstance(line.ping(1, 5), Response)
    for _, _, header in line.headers(PING):
        (option,) = header.options
        assert (option.type, option.flags) == (2, OptionFlag.IGNORE_STATE_KEEPING)
        assert decode(ExtensiveRoutingModeOption, option.value) == ExtensiveRoutingModeOption(
            RouteMode.DRR, TLS, address(1), (node(1),)
        )
    # Mode, link type, address, and the list of one destination of type node behind its length.
    assert option.value.hex() == "01040106c000020117c412" + "0110" + node_id(1).hex()


def test_a_request_that_has_no_room_for_the_option_goes_without() -> None:
    line = direct_line()
    one = line.by_number[1].node
    largest = one.in_force.configuration.max_message_size

    def sent(padding: int) -> tuple[int, int]:
        one.ping([node(3)], line.now, padding=bytes(padding))
        ((_, octets),) = one.messages_to_send(line.now)
        header, _ = decode_header(octets)
        return len(octets), len(header.options)

    room = largest - sent(0)[0]
    assert sent(room) == (largest, 1)
    size, options = sent(room + 1)
    assert (size < largest, options) == (True, 0)


def test_a_direct_response_takes_one_hop() -> None:
    line = direct_line()
    assert isinstance(line.ping(1, 5), Response)
    ((sender, receiver, header),) = line.headers(PONG)
    assert (sender, receiver) == (5, 1)
    assert header.destination_list == (node(1),)
    (wanted,) = line.by_number[5].of(DirectConnectionWanted)
    assert isinstance(wanted, DirectConnectionWanted)
    assert (wanted.peer, wanted.overlay_link, wanted.address) == (node_id(1), TLS, address(1))


def test_without_a_preference_of_the_configuration_responses_come_back_the_way_they_went() -> None:
    line = Line(1, 2, 3, 4, 5, mode=None)
    line.by_number[1].node.use_response_routes(DRR)
    assert isinstance(line.ping(1, 5), Response)
    assert line.path(PONG) == BACK
    assert all(header.options == () for _, _, header in line.headers(PING))


@pytest.mark.parametrize(("mode", "routes"), [("RPR", DRR), ("SRR", DRR), ("DRR", [])])
def test_a_mode_that_no_route_is_for_is_not_asked_for(mode: str, routes: Sequence[ResponseRoute]) -> None:
    line = Line(1, 2, 3, 4, 5, mode=mode)
    line.by_number[1].node.use_response_routes(routes)
    assert isinstance(line.ping(1, 5), Response)
    assert line.path(PONG) == BACK


def test_routes_may_be_given_to_a_new_node() -> None:
    line = Line(1, 2, 3, mode="DRR")
    host = line.add(9, make_topology=line_topology((1, 2, 3, 9)), response_routes=[ResponseRoute(TLS, address(9))])
    for each in line.hosts:
        each.topology.is_joined = True
        each.topology.peers = [every.node_id for every in line.hosts]
        each.topology.line = tuple(each.topology.peers)  # type: ignore[attr-defined]
    line.by_number[9], line.reachable[address(9)] = host, host
    line.link(line.by_number[3], host)
    assert isinstance(line.ping(9, 1), Response)
    assert line.path(PONG) == [(1, 9)]


def test_a_neighbor_is_asked_without_ado() -> None:
    line = direct_line()
    assert isinstance(line.ping(1, 2), Response)
    assert all(header.options == () for _, _, header in line.headers(PING))


def test_an_idle_link_for_responses_is_closed() -> None:
    line = direct_line()
    line.ping(1, 5)
    assert line.by_number[5].node.get_timer() is not None
    line.settle(IDLE - 5.0)
    assert line.by_number[5].of(LinkUnwanted) == []
    line.settle(10.0)
    assert len(line.by_number[5].of(LinkUnwanted)) == 1
    assert isinstance(line.ping(1, 5), Response)
    assert len(line.by_number[5].of(DirectConnectionWanted)) == 2


def test_requests_of_several_kinds_to_resources_are_answered_directly() -> None:
    line = direct_line()
    line.sent.clear()
    host = line.by_number[1]
    handle = host.node.ping([ResourceDestination(node_id(5))], line.now)
    line.settle()
    assert isinstance(host.result(handle), Response)
    assert line.path(PONG) == [(5, 1)]


def test_an_error_goes_directly_too() -> None:
    line = direct_line()
    host = line.by_number[1]
    line.sent.clear()
    handle = host.node.app_attach([node(5)], 5060, line.now)
    line.settle()
    result = host.result(handle)
    assert isinstance(result, Failed)
    assert result.error is not None
    assert result.error.error_code == ErrorCode.NOT_FOUND
    assert line.path(MessageCode.ERROR) == [(5, 1)]


def test_a_relayed_response_takes_two_hops() -> None:
    line = relay_line(3)
    # The relay is beside the way: from 7 to it there is no link yet.
    assert isinstance(line.ping(1, 7), Response)
    ((_, _, request), *_) = line.headers(PING)
    (option,) = request.options
    assert decode(ExtensiveRoutingModeOption, option.value) == ExtensiveRoutingModeOption(
        RouteMode.RPR, TLS, address(3), (node(3), node(1))
    )
    first, second = line.headers(PONG)
    assert (first[:2], second[:2]) == ((7, 3), (3, 1))
    assert first[2].destination_list == (node(3), node(1))
    assert second[2].destination_list == (node(1),)


def test_a_relay_passes_on_what_is_in_order_and_drops_the_rest() -> None:
    line = relay_line(3)
    line.ping(1, 7)
    relay, octets = line.by_number[3], next(octets for _, sender, _, octets in line.sent if sender == 7)
    header, start = decode_header(octets)
    payload = octets[start:]
    (link,) = [link for link, wire in relay.wires.items() if wire.other and wire.other.peer.number == 7]
    line.sent.clear()
    for changed in (
        attrs.evolve(header, overlay=1),
        attrs.evolve(header, ttl=0),
        attrs.evolve(header, ttl=101),
    ):
        wrong = encode_header(changed, len(payload)) + payload
        relay.node.receive_message(link, wrong, line.now)
    assert relay.node.messages_to_send(line.now) == []
    relay.node.receive_message(link, octets, line.now)
    assert len(relay.node.messages_to_send(line.now)) == 1


def test_a_relay_that_is_connected_with_the_responder_needs_no_new_connection() -> None:
    line = relay_line(3)
    line.link(line.by_number[7], line.by_number[3])
    assert isinstance(line.ping(1, 7), Response)
    assert line.path(PONG) == [(7, 3), (3, 1)]
    assert line.by_number[7].of(DirectConnectionWanted) == []


def test_of_relays_only_those_are_named_that_are_connected() -> None:
    line = relay_line(3)
    routes = [ResponseRoute(TLS, address(relay), node_id(relay)) for relay in (6, 3)]
    line.by_number[1].node.use_response_routes(routes)
    line.ping(1, 7)
    assert line.path(PONG) == [(7, 3), (3, 1)]


def test_a_request_that_a_relay_brings_no_response_to_names_another_and_then_none() -> None:
    line = relay_line(3, 4)
    line.on_send = lambda sender, receiver, octets: (sender.number, receiver.number) not in {(3, 1), (4, 1), (2, 1)}
    line.sent.clear()
    line.by_number[1].node.ping([node(7)], line.now)
    line.settle(11.0)
    relays = []
    for sender, _, header in line.headers(PING):
        if sender == 1:
            wanted = read_route(header, node_id(1))
            relays.append(None if wanted is None else wanted.target)
    assert relays == [node_id(3), node_id(4), None, None]


def test_what_cannot_be_connected_to_is_answered_by_srr_at_once_and_not_tried_again_soon() -> None:
    line = direct_line()
    line.reachable[address(1)] = None
    for _ in range(2):
        assert isinstance(line.ping(1, 5), Response)
        assert line.path(PONG) == BACK
    assert len(line.by_number[5].of(DirectConnectionWanted)) == 1
    line.settle(UNREACHABLE_FOR)
    line.ping(1, 5)
    assert len(line.by_number[5].of(DirectConnectionWanted)) == 2


def test_a_driver_that_does_nothing_costs_the_wait_for_one_timer() -> None:
    line = direct_line()
    line.reachable[address(1)] = line.by_number[5]  # Its driver connects nobody with itself.
    host = line.by_number[1]
    line.sent.clear()
    handle = host.node.ping([node(5)], line.now)
    line.settle(2.9)
    assert line.path(PONG) == []
    line.settle(0.3)
    assert isinstance(host.result(handle), Response)
    (abandoned,) = line.by_number[5].of(ConnectionAbandoned)
    assert isinstance(abandoned, ConnectionAbandoned)
    # Nor is it wrong of a driver to say so when it has not read that yet; a connection that comes now is of no use.
    responder = line.by_number[5].node
    responder.connection_failed(abandoned.attach, line.now)
    with pytest.raises(StateError):
        responder.link_established(host.node._parts.context.identity, line.now, attach=abandoned.attach)
    with pytest.raises(StateError):
        responder.connection_failed(abandoned.attach + 1000, line.now)
    own = [header.options != () for sender, _, header in line.headers(PING) if sender == 1]
    assert own == [True, False]


def repeat_last_hop(line: Line, number: int, *options: ForwardingOption) -> None:
    """The Ping that a peer has got from the one before it in the line comes once more, with these options."""
    again = next(octets for _, sender, receiver, octets in line.sent if (sender, receiver) == (number - 1, number))
    header, start = decode_header(again)
    header, payload = attrs.evolve(header, options=options), again[start:]
    line.sent.clear()
    host = line.by_number[number]
    link = next(link for link in host.wires if host.node._parts.connections.get(link).node_id == node_id(number - 1))  # type: ignore[union-attr]
    host.node.receive_message(link, encode_header(header, len(payload)) + payload, line.now)
    line.settle(0.1)


def test_a_retransmission_that_asks_for_srr_gets_it_while_a_connection_is_made() -> None:
    line = direct_line()
    line.reachable[address(1)] = line.by_number[5]
    line.by_number[1].node.ping([node(5)], line.now)
    line.settle(0.1)
    (wanted,) = line.by_number[5].of(DirectConnectionWanted)
    assert isinstance(wanted, DirectConnectionWanted)
    repeat_last_hop(line, 5)
    assert line.path(PONG) == BACK
    assert line.by_number[5].of(ConnectionAbandoned) == [ConnectionAbandoned(wanted.attach)]


def test_a_retransmission_that_names_another_relay_gets_it_while_a_connection_is_made() -> None:
    line = relay_line(3, 4)
    line.reachable[address(3)] = line.by_number[7]
    line.by_number[1].node.ping([node(7)], line.now)
    line.settle(0.1)
    (wanted,) = line.by_number[7].of(DirectConnectionWanted)
    assert isinstance(wanted, DirectConnectionWanted)
    repeat_last_hop(line, 7, ResponseRoute(TLS, address(4), node_id(4)).option(node_id(1)))
    assert line.path(PONG) == [(7, 4), (4, 1)]
    assert line.by_number[7].of(ConnectionAbandoned) == [ConnectionAbandoned(wanted.attach)]


@pytest.mark.parametrize("make", [direct_line, lambda: relay_line(3)])
def test_a_retransmission_that_asks_for_the_same_way_is_answered_that_way(make: Callable[[], Line]) -> None:
    line = make()
    last = len(line.by_number)
    (route,) = line.by_number[1].node._parts.requester._routes.routes
    line.ping(1, last)
    path = line.path(PONG)
    repeat_last_hop(line, last, route.option(node_id(1)))
    assert line.path(PONG) == path == ([(last, 1)] if route.relay is None else [(last, 3), (3, 1)])


def test_a_connection_to_somebody_else_is_refused_and_srr_used() -> None:
    line = direct_line()
    line.reachable[address(1)] = None
    verifier = line.by_number[5].node.in_force.verifier
    other = line.by_number[3].node.certificates
    identity = verifier.identify(other[0].certificate, other, 0.0)
    seen: list[str] = []

    def established(host: Host, event: Event) -> None:
        if isinstance(event, DirectConnectionWanted):
            try:
                host.node.link_established(identity, line.now, attach=event.attach)
            except SecurityError as exc:
                seen.append(type(exc).__name__)
                # That there is none is known, and may be said all the same.
                host.node.connection_failed(event.attach, line.now)

    line._do = established  # type: ignore[method-assign]
    assert isinstance(line.ping(1, 5), Response)
    assert seen == ["SecurityError"]
    assert line.path(PONG) == BACK


def option(
    mode: int, destinations: Sequence[Destination], *, flags: int = 8, cut: int | None = None
) -> ForwardingOption:
    octets = encode(ExtensiveRoutingModeOption(mode, TLS, address(1), tuple(destinations)))
    return ForwardingOption(OptionType.EXTENSIVE_ROUTING_MODE, flags, octets[:cut])


@pytest.mark.parametrize(
    "wrong",
    [
        option(1, [node(1), node(1)]),
        option(1, [node(3), node(1)]),
        option(1, [ResourceDestination(node_id(1))]),
        option(1, [OpaqueDestination(b"\x80\x01", is_compact=True)]),
        option(1, [node(3)]),
        option(2, [node(1)]),
        option(2, [node(3), node(1), node(1)]),
        option(2, [node(1), node(3)]),
        option(2, [OpaqueDestination(b"x"), node(1)]),
        option(3, [node(1)]),
        option(1, [node(1)], cut=-1),
        ForwardingOption(2, 8),
    ],
)
def test_an_option_that_cannot_be_followed_is_an_unknown_extension_by_srr(wrong: ForwardingOption) -> None:
    line = direct_line()
    routes = line.by_number[1].node._parts.routes
    choose = routes.options
    routes.options = lambda pending, now: (wrong,) if choose(pending, now) else ()  # type: ignore[method-assign]
    # And then the request is sent once more, for SRR.
    assert isinstance(line.ping(1, 5), Response)
    assert line.path(MessageCode.ERROR) == BACK
    assert line.path(PONG) == BACK
    errors = [octets for _, sender, _, octets in line.sent if sender == 5]
    assert ErrorCode.UNKNOWN_EXTENSION.to_bytes(2, "big") in errors[0]


def forget_the_option(host: Host) -> None:
    """Make it a node that has never heard of RFC 7263."""
    direct, responder = host.node._parts.direct, host.node._parts.responder
    responder.option_types = frozenset()
    direct.refusal = lambda header, requester: None  # type: ignore[method-assign]
    direct.send = lambda request, requester, *response: direct.send_back(*response)  # type: ignore[method-assign]


def test_a_node_that_does_not_know_the_option_answers_by_srr() -> None:
    line = direct_line()
    forget_the_option(line.by_number[5])
    assert isinstance(line.ping(1, 5), Response)
    assert line.path(PONG) == BACK


def test_a_node_that_has_to_know_the_option_and_does_not_refuses_and_is_asked_for_srr() -> None:
    line = direct_line()
    forget_the_option(line.by_number[5])
    routes = line.by_number[1].node._parts.routes
    choose = routes.options
    critical = option(1, [node(1)], flags=OptionFlag.DESTINATION_CRITICAL)
    routes.options = lambda pending, now: (critical,) if choose(pending, now) else ()  # type: ignore[method-assign]
    assert isinstance(line.ping(1, 5), Response)
    assert line.path(MessageCode.ERROR) == BACK
    assert line.path(PONG) == BACK


def test_intermediate_peers_keep_no_state_and_pass_the_full_via_list_on() -> None:
    for mode, expected in (("DRR", [node(1), node(2), node(3)]), (None, None)):
        line = Line(1, 2, 3, 4, 5, mode=mode)
        line.by_number[1].node.use_response_routes(DRR)
        packers = []
        for host in line.hosts:
            packer = CompactViaLists(lambda count: bytes(count))
            host.node._parts.sender.via_lists = packer
            packers.append(packer)
        assert isinstance(line.ping(1, 5), Response)
        *_, (_, receiver, header) = line.headers(PING)
        assert receiver == 5
        if expected is not None:
            assert list(header.via_list) == expected
            assert [len(packer) for packer in packers] == [0] * 5
        else:
            assert [len(packer) for packer in packers] == [0, 1, 1, 1, 0]


def test_a_mode_that_does_not_work_is_given_up_for_some_time() -> None:
    line = direct_line()
    line.reachable[address(1)] = None
    asked = []
    for _ in range(LEAST + 3):
        line.ping(1, 5)
        asked.append(line.headers(PING)[0][2].options != ())
    assert asked == [True] * LEAST + [False] * 3
    line.settle(PAUSE)
    line.ping(1, 5)
    assert line.headers(PING)[0][2].options != ()


def test_a_mode_that_mostly_works_is_kept() -> None:
    line = direct_line()
    for number in range(12):
        line.reachable[address(1)] = None if number % 3 == 0 else line.by_number[1]
        line.by_number[5].node._parts.direct._unreachable.clear()
        line.ping(1, 5)
        assert line.headers(PING)[0][2].options != ()
        line.settle(IDLE + 1.0)


@pytest.mark.parametrize(
    "where",
    [
        IpAddressPort(IPV4, IPv4AddrPort(b"\xe0\x00\x00\x01", 6084)),
        IpAddressPort(IPV4, IPv4AddrPort(b"\xc0\x00\x02\x01", 0)),
        IpAddressPort(99, b"somewhere"),
    ],
)
def test_no_connection_is_made_to_what_is_no_address_of_a_host(where: IpAddressPort) -> None:
    line = direct_line()
    line.by_number[1].node.use_response_routes([ResponseRoute(TLS, where)])
    assert isinstance(line.ping(1, 5), Response)
    assert line.by_number[5].of(DirectConnectionWanted) == []
    assert line.path(PONG) == BACK


def test_direct_connections_and_what_waits_for_them_are_bounded() -> None:
    line = direct_line()
    line.reachable.update({address(1, port): line.by_number[5] for port in range(1, 100)})
    host = line.by_number[1].node
    for port in range(1, MAX_CONNECTING + 5):
        host.use_response_routes([ResponseRoute(TLS, address(1, port))])
        host.ping([node(5)], line.now)
    line.settle(0.5)
    assert len(line.by_number[5].of(DirectConnectionWanted)) == MAX_CONNECTING
    assert len([path for path in line.path(PONG) if path == (5, 4)]) == 4
    line = direct_line()
    line.reachable[address(1)] = line.by_number[5]
    for _ in range(MAX_WAITING + 3):
        line.by_number[1].node.ping([node(5)], line.now)
    line.settle(0.5)
    assert len(line.by_number[5].of(DirectConnectionWanted)) == 1
    assert len([path for path in line.path(PONG) if path == (5, 4)]) == 3


def test_a_request_that_is_answered_late_goes_the_way_that_was_asked_for_last() -> None:
    line = direct_line()
    responder = line.by_number[5].node
    waiting: list[Request] = []
    handlers: dict[int, Callable[[Request, float], Reply | None]] = dict(responder._parts.responder.handlers)
    answer_ping = handlers[MessageCode.PING_REQ]

    def later(request: Request, now: float) -> Reply | None:
        waiting.append(request)
        return None

    handlers[MessageCode.PING_REQ] = later
    responder._parts.responder.handlers = handlers
    handle = line.by_number[1].node.ping([node(5)], line.now)
    line.settle(3.5)
    (request,) = waiting
    assert request.header.options != ()
    line.sent.clear()
    reply = answer_ping(request, line.now)
    assert isinstance(reply, Answer)
    responder._parts.responder.answer(request, reply, line.now)
    line.settle()
    assert isinstance(line.by_number[1].result(handle), Response)
    assert line.path(PONG) == BACK


@pytest.mark.parametrize("make", [lambda: direct_line(loss=0.1, repeat=0.1, seed=5), lambda: relay_line(3, loss=0.1)])
def test_with_messages_lost_every_mode_is_as_good_as_srr(make: Callable[[], Line]) -> None:
    line = make()
    last = len(line.by_number)
    handles = []
    for _ in range(40):
        handles.append(line.by_number[1].node.ping([node(last)], line.now))
        line.settle(2.0)
    line.settle(20.0)
    results = [line.by_number[1].result(handle) for handle in handles]
    assert sum(isinstance(result, Response) for result in results) >= 38


def test_the_same_run_gives_the_same_octets() -> None:
    def run() -> list[tuple[float, int, int, bytes]]:
        line = relay_line(3, loss=0.1, seed=3)
        for _ in range(5):
            line.by_number[1].node.ping([node(7)], line.now)
            line.settle(4.0)
        return line.sent

    assert run() == run()


def test_what_the_option_says_is_read() -> None:
    header = ForwardingHeader(1, 1, (node(5),), options=(ForwardingOption(77, 0, b"else"), DRR[0].option(node_id(1))))
    wanted = read_route(header, node_id(1))
    assert wanted is not None
    assert (wanted.target, wanted.address, wanted.destinations) == (node_id(1), address(1), (node(1),))
    assert read_route(attrs.evolve(header, options=()), node_id(1)) is None
