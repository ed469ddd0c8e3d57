"""Direct and relayed responses between nodes: the ways that they take (RFC 7263 and 7264)."""

from collections.abc import Sequence

import attrs
import pytest
from reload_identities import node_id
from reload_lines import BACK, DRR, PING, PONG, TLS, Line, address, direct_line, relay_line
from reload_overlay import line_topology, node

from reload._presentation import decode
from reload.contents import ErrorCode, MessageCode
from reload.destinations import ResourceDestination
from reload.direct_responses import IDLE
from reload.events import DirectConnectionWanted, LinkUnwanted
from reload.exchange import Response
from reload.extensions import ExtensiveRoutingModeOption, RouteMode
from reload.header import ForwardingHeader, ForwardingOption, OptionFlag, decode_header, encode_header
from reload.operations import Failed
from reload.response_routes import ResponseRoute, read_route
from reload.via_lists import CompactViaLists


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
