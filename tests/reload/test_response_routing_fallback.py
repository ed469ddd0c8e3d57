"""Direct and relayed responses that come to nothing, and what is done instead (RFC 7263 and 7264)."""

from collections.abc import Callable, Sequence

import attrs
import pytest
from reload_identities import node_id
from reload_lines import BACK, PING, PONG, TLS, Line, address, direct_line, relay_line
from reload_overlay import Host, node

from reload._presentation import encode
from reload.addresses import IPV4, IpAddressPort, IPv4AddrPort
from reload.contents import ErrorCode, MessageCode
from reload.destinations import Destination, OpaqueDestination, ResourceDestination
from reload.direct_responses import IDLE, MAX_CONNECTING, MAX_WAITING, UNREACHABLE_FOR
from reload.errors import SecurityError, StateError
from reload.events import ConnectionAbandoned, DirectConnectionWanted, Event
from reload.exchange import Answer, Reply, Request, Response
from reload.extensions import ExtensiveRoutingModeOption
from reload.header import ForwardingOption, OptionFlag, OptionType, decode_header, encode_header
from reload.response_routes import ResponseRoute, read_route
from reload.response_routing import LEAST, PAUSE


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
