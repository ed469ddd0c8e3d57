"""What peers of one host can fill at a tracker, all told: nobody fills it from one place."""

import itertools
from typing import Any

import pytest

from ppsp.tracker import (
    MEDIA_TYPE,
    Action,
    ConnectRequest,
    ErrorCode,
    Limits,
    PeerAddr,
    PeerMode,
    Request,
    Response,
    ResponseMessage,
    ResponseType,
    StatReportRequest,
    SwarmAction,
    TrackerServer,
    encode,
    host_of,
    parse_response,
)

JOIN, LEAVE = Action.JOIN, Action.LEAVE
CROWDED, ELSEWHERE = "198.51.100.1", "203.0.113.66"
FULL = ErrorCode.SERVICE_UNAVAILABLE
_ids = itertools.count()


def connect(peer_id: str, *swarms: str, action: Action = JOIN) -> ConnectRequest:
    actions = tuple(SwarmAction(one, action, PeerMode.SEEDER) for one in swarms or ("s",))
    return ConnectRequest(f"t{next(_ids)}", peer_id, actions, None, (PeerAddr("10.0.0.1", 80),))


def post(server: TrackerServer, message: Any, host: str = CROWDED, now: float = 0.0) -> Response:
    return server.handle(Request("POST", "/", (("Content-Type", MEDIA_TYPE),), encode(message)), (host, 9), now)


def code(server: TrackerServer, message: Any, host: str = CROWDED, now: float = 0.0) -> int:
    return int(parse_response(post(server, message, host, now).body).message.error_code)


def tracker(limit: int = 3, **more: Any) -> TrackerServer:
    return TrackerServer(limits=Limits(memberships_per_host=limit), **more)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("2002:c000:201:7::1", "192.0.2.1"),
        ("64:ff9b::c000:201", "192.0.2.1"),
        ("64:ff9b::1:c000:201", "64:ff9b::/64"),
        # RFC 4380 section 4: the server, the flags, and the port and address of the client with all bits inverted.
        ("2001:0:cb00:7101:0:ffff:3fff:fdfe", "192.0.2.1"),
    ],
)
def test_a_host_is_an_ipv4_address_or_a_64_of_ipv6(address, host):
    assert host_of(address) == host


def test_what_is_no_address_is_of_no_host():
    with pytest.raises(ValueError, match="somewhere"):
        host_of("somewhere")


def test_a_host_that_has_enough_is_told_to_come_back_and_others_are_served():
    """RFC 7846 section 4.3: 05; RFC 6585 section 4: it is the client that has too much"""
    server = tracker()
    for name in "abc":
        assert code(server, connect(name)) == 0
    response = post(server, connect("d"))
    assert (response.status, response.header("Retry-After")) == (429, "60")
    assert parse_response(response.body).message.error_code == FULL
    assert server.peer("d") is None
    assert code(server, connect("d"), ELSEWHERE) == 0
    # Who is registered goes on.
    assert code(server, StatReportRequest("1", "a")) == 0
    assert code(server, connect("a")) == 0
    assert server.peer_count == 4


def test_the_swarms_of_all_its_peers_count():
    """Else a hundred peers could make all the swarms that a tracker has room for"""
    server = tracker(4)
    assert code(server, connect("a", "s", "t", "u")) == 0
    answer = parse_response(post(server, connect("b", "v", "w")).body).message
    assert [one.result for one in answer.swarm_result] == [ResponseType.SUCCESSFUL, ResponseType.FAILED]
    assert post(server, connect("a", "x")).status == 429


def test_a_host_has_all_its_room_for_one_peer_whether_at_once_or_bit_by_bit():
    server = tracker(3)
    for swarm in "stu":
        assert code(server, connect("a", swarm)) == 0
    assert code(server, connect("a", "v")) == FULL
    assert code(server, connect("b", *"stu"), ELSEWHERE) == 0
    assert code(server, connect("b", "v"), ELSEWHERE) == FULL


def test_who_leaves_or_is_silent_makes_room():
    server = tracker(2, track_timer=10.0)
    for name in "ab":
        assert code(server, connect(name)) == 0
    assert code(server, connect("a", action=LEAVE)) == 0
    assert code(server, connect("c")) == 0
    assert code(server, connect("d")) == FULL
    assert code(server, connect("d"), now=10.0) == 0
    assert code(server, connect("e"), now=10.0) == 0
    assert code(server, connect("f"), now=10.0) == FULL


def test_a_peer_counts_for_the_host_that_has_it_join_more():
    """Else who reads peer IDs in lists could fill a tracker at others' expense, all from one place"""
    server = tracker(4)
    victims = [f"203.0.113.{number}" for number in range(5)]
    for host in victims:
        assert code(server, connect(host), host) == 0
    assert code(server, connect(victims[0], "t"), ELSEWHERE) == 0
    assert code(server, connect(victims[1], "u"), ELSEWHERE) == 0
    for one in victims[2:]:
        assert post(server, connect(one, "v"), ELSEWHERE).status == 429
    assert [server.peer(one).host for one in victims] == [ELSEWHERE, ELSEWHERE, *victims[2:]]
    # They have not lost anything.
    assert code(server, connect(victims[0], *"abcd"), victims[0]) == 0
    assert code(server, connect(victims[0], "t", action=LEAVE), ELSEWHERE) == 0
    assert (server.peer(victims[0]).host, set(server.peer(victims[0]).swarms)) == (victims[0], {"s", *"ab"})


def test_a_peer_that_moves_and_joins_nothing_new_counts_where_it_was():
    server = tracker(1)
    assert code(server, connect("a")) == 0
    assert code(server, connect("a"), ELSEWHERE) == 0
    assert (server.peer("a").source, server.peer("a").host) == (ELSEWHERE, CROWDED)
    assert code(server, connect("b")) == FULL
    assert code(server, connect("b"), ELSEWHERE) == 0
    assert code(server, connect("a", "t"), ELSEWHERE) == FULL


def test_a_peer_of_this_machine_counts_for_the_host_that_has_it_join_more_and_back():
    server = tracker(2)
    assert code(server, connect("a", "s", "t"), "127.0.0.1") == 0
    assert post(server, connect("a", "u")).status == 429
    assert code(server, connect("a", "t", action=LEAVE), "127.0.0.1") == 0
    assert code(server, connect("a", "u")) == 0
    assert code(server, connect("b")) == FULL
    assert code(server, connect("a", "v"), "127.0.0.1") == 0
    assert code(server, connect("b", "s", "t")) == 0


def test_what_a_proxy_says_of_a_port_does_not_hide_the_host():
    server = tracker(1)
    for port, due in ((2**16, 0), (-1, FULL), (0, FULL)):
        asked = Request("POST", "/", (("Content-Type", MEDIA_TYPE),), encode(connect(f"at {port}")))
        answer = parse_response(server.handle(asked, (CROWDED, port), 0.0).body).message
        assert (answer.error_code, answer.peer_addr) == (due, None)


def test_the_ids_of_the_swarms_of_a_peer_have_a_limit_in_octets():
    """Else a few peers in 1024 swarms with IDs of 8 KiB would be megabytes for a store at each request"""
    server = TrackerServer(limits=Limits(swarm_ids_per_peer=9))
    answer = parse_response(post(server, connect("a", "long", "lông", "s")).body).message
    assert [one.result for one in answer.swarm_result] == [0, 0, 1]
    assert code(server, connect("a", "s")) == ErrorCode.FORBIDDEN_ACTION
    assert code(server, connect("a", "long")) == 0
    assert code(server, connect("a", "long", action=LEAVE)) == 0
    assert code(server, connect("a", "four")) == 0
    limits = Limits()
    assert limits.swarm_ids_per_peer >= limits.swarms_per_peer * 2 * 64


def test_the_addresses_of_a_64_are_one_host():
    server = tracker(2)
    assert code(server, connect("a"), "2001:db8::1") == 0
    assert code(server, connect("b"), "2001:db8::dead:beef:1") == 0
    assert code(server, connect("c"), "2001:db8::2") == FULL
    assert code(server, connect("c"), "2001:db8:0:1::2") == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1"])
def test_who_is_on_this_machine_may_be_a_proxy_for_everybody(host):
    server = tracker(1)
    for name in "abc":
        assert code(server, connect(name), host) == 0


def test_a_host_whose_port_is_not_known_counts_and_is_listed_nowhere():
    """As behind a proxy, which tells the address alone"""
    server = tracker(1)

    def told(peer_id: str, addresses: tuple[PeerAddr, ...]) -> ResponseMessage:
        message = ConnectRequest("1", peer_id, (SwarmAction("s", JOIN, PeerMode.LEECH),), None, addresses)
        request = Request("POST", "/", (("Content-Type", MEDIA_TYPE),), encode(message))
        return parse_response(server.handle(request, (CROWDED, 0), 0.0).body).message

    assert told("a", ()).error_code == ErrorCode.BAD_REQUEST
    answer = told("a", (PeerAddr("192.0.2.1", 80),))
    assert (answer.error_code, answer.peer_addr) == (0, None)
    assert server.peer("a").source == CROWDED
    assert told("b", (PeerAddr("192.0.2.1", 80),)).error_code == FULL


def test_by_default_a_host_may_fill_four_per_cent_of_the_swarms():
    limits = Limits()
    assert limits.memberships_per_host / limits.swarms < 0.05
    assert limits.memberships_per_host / limits.memberships < 0.005
