"""A peer's side of PPSTP: what it makes of a tracker's answers, and of trouble."""

import itertools
import json

import pytest
from ppstp_client import EXAMPLES, LEECH, SEEDER, World, chance, events, fail, make, message_of, neighbour, times_of

from ppsp.tracker import (
    Action,
    AddressSeen,
    AddressType,
    ErrorCode,
    FindRequest,
    Joined,
    Left,
    Limits,
    PeerAddr,
    PeerInfo,
    PeersFound,
    Refused,
    RequestLost,
    Response,
    ResponseMessage,
    ResponseType,
    Rules,
    StreamStats,
    SwarmResult,
    TrackerServer,
    encode,
)

# -- the answers ------------------------------------------------------------------------------------------------------


def test_peers_come_with_the_join_and_with_each_find_and_never_ourselves():
    """RFC 7846 sections 4.1.1, 4.1.2"""
    world = World(make())
    neighbour(world)
    world.client.join("s", LEECH)
    world.run(3.0)
    found = [event for event in world.seen if isinstance(event, PeersFound)]
    assert len(found) == 2
    for event in found:
        assert [(peer.peer_id, peer.peer_addr.port) for peer in event.peers] == [("neighbour", 77)]
    assert Joined("s", LEECH) in world.seen


def test_the_rfc_s_find_response_lists_the_peer_that_asked_and_the_client_does_not():
    """RFC 7846 section 4.1.2.1, whose example contains the requester"""
    client = make("656164657221", random_bytes=chance())
    client.join("1111", LEECH)
    join = message_of(client.next_request(0.0))
    client.receive_response(
        Response(200, (), encode(ResponseMessage(ResponseType.SUCCESSFUL, 0, join.transaction_id))), 0.0
    )
    find = message_of(client.next_request(2.5))
    body = (EXAMPLES / "find_resp.rfc.txt").read_text().replace('"12345"', json.dumps(find.transaction_id))
    client.receive_response(Response(200, (), body.encode()), 2.5)
    (found,) = [event for event in events(client) if isinstance(event, PeersFound)]
    assert [peer.peer_id for peer in found.peers] == ["956264622298", "3332001256741"]


def test_addresses_that_no_peer_can_have_are_left_out():
    """A hostile tracker could make its peers flood a network."""
    client = make()
    client.join("s", LEECH)
    message = message_of(client.next_request(0.0))
    hosts = ("224.0.0.1", "192.0.2.7", "255.255.255.255", "ff02::1", "0.0.0.0", "::")
    group = tuple(PeerInfo(host, PeerAddr(host, 7000)) for host in hosts)
    result = SwarmResult("s", ResponseType.SUCCESSFUL, group)
    answer = ResponseMessage(ResponseType.SUCCESSFUL, 0, message.transaction_id, None, (result,))
    client.receive_response(Response(200, (), encode(answer)), 0.0)
    (found,) = [event for event in events(client) if isinstance(event, PeersFound)]
    assert [peer.peer_id for peer in found.peers] == ["192.0.2.7"]


def test_a_missing_result_of_a_successful_connect_counts_as_success():
    """RFC 7846 section 4.1.1.1: the example's response has no swarm_result for the LEAVE"""
    world = World(make("656164657221"))
    world.client.join("1111", LEECH)
    world.run(0.0)
    world.client.leave("1111")
    world.client.join("2222", LEECH)
    message = message_of(world.client.next_request(0.0))
    body = (EXAMPLES / "connect_resp.rfc.txt").read_text().replace('"12345"', json.dumps(message.transaction_id))
    world.client.receive_response(Response(200, (), body.encode()), 0.0)
    seen = events(world.client)
    assert Left("1111") in seen
    assert Joined("2222", LEECH) in seen
    assert AddressSeen(PeerAddr("198.51.100.1", 80, type=AddressType.REFLEXIVE, asn="64496")) in seen
    assert [len(event.peers) for event in seen if isinstance(event, PeersFound)] == [2]


def test_a_leech_that_has_everything_joins_again_as_seeder():
    world = World(make())
    world.client.join("s", LEECH)
    world.run(5.0)
    world.client.join("s", SEEDER)
    (message,) = world.run(5.0)
    assert [(one.action, one.peer_mode) for one in message.swarm_action] == [(Action.JOIN, SEEDER)]
    assert world.server.peer("me").swarms["s"].peer_mode is SEEDER
    assert world.client.peer_mode("s") is SEEDER
    world.run(300.0)
    assert max(times_of(world, FindRequest)) <= 5


def test_a_strict_tracker_that_ends_the_registration_of_a_new_seeder_has_it_back_at_once():
    """RFC 7846 table 6: SEEDER JOIN from TRACKING is invalid and leads to TERMINATE; from START it is valid"""
    world = World(make(), TrackerServer(rules=Rules(strict=True)))
    world.client.join("s", LEECH)
    world.run(1.0)
    world.client.join("s", SEEDER)
    world.run(4.0)
    assert world.server.peer("me").swarms["s"].peer_mode is SEEDER
    assert [type(event) for event in world.seen if isinstance(event, Refused)] == [Refused]


def test_leaving_tells_the_tracker_and_ends_in_idleness():
    """RFC 7846 section 4.1.1: action type LEAVE"""
    world = World(make())
    world.client.join("s", LEECH)
    world.client.join("t", SEEDER)
    world.run(1.0)
    world.client.leave_all()
    assert not world.client.is_idle
    world.run(1.0)
    assert world.client.is_idle
    assert world.server.peer_count == 0
    assert {event for event in world.seen if isinstance(event, Left)} == {Left("s"), Left("t")}
    assert world.client.get_timer() is None


def test_leaving_what_was_never_asked_for_needs_no_request():
    client = make()
    client.join("s", LEECH)
    client.leave("s")
    assert events(client) == [Left("s")]
    assert client.next_request(0.0) is None
    assert client.is_idle


def test_leaving_while_the_join_is_under_way_is_done_after_it():
    client = make()
    client.join("s", LEECH)
    request = client.next_request(0.0)
    client.leave("s")
    server = TrackerServer()
    client.receive_response(server.handle(request, ("192.0.2.1", 5), 0.0), 0.0)
    World(client, server).run(0.0)
    assert client.is_idle
    assert server.peer_count == 0


def test_a_join_whose_answer_was_lost_is_taken_back():
    """The tracker may have carried it out."""
    world = World(make())
    world.loses_responses = True
    world.client.join("s", LEECH)
    world.run(0.5)
    assert world.server.peer_count == 1
    world.loses_responses = False
    world.client.leave("s")
    world.run(0.5)
    assert world.server.peer_count == 0
    assert world.client.is_idle


# -- trouble ----------------------------------------------------------------------------------------------------------


def test_an_invalid_response_repeats_the_same_transaction_with_identical_content():
    """RFC 7846 section 4.3: the same request with identical content and transaction_id MUST be repeated"""
    client = make()
    client.join("s", LEECH)
    first = client.next_request(0.0)
    other = encode(ResponseMessage(ResponseType.SUCCESSFUL, 0, "somebody else's"))
    now = 0.0
    for junk in (b"", b"<html>502 Bad Gateway</html>", other, b"[" * 9999):
        client.receive_response(Response(200, (), junk), now)
        assert [type(event) for event in events(client)] == [RequestLost]
        now = client.get_timer()
        assert client.next_request(now - 0.01) is None
        assert client.next_request(now) == first


def test_no_response_repeats_the_same_transaction_and_gives_it_up_in_the_end():
    """RFC 7846 section 4.3: details of the retry process are implementation dependent"""
    world = World(make())
    world.is_reachable = False
    world.client.join("s", LEECH)
    asked = world.run(200.0)
    identifiers = [message.transaction_id for message in asked]
    assert identifiers[:5] == [identifiers[0]] * 5
    assert identifiers[5] != identifiers[0]


def test_the_pauses_grow_to_half_a_minute():
    world = World(make())
    world.is_reachable = False
    world.client.join("s", LEECH)
    world.run(200.0)
    times = [at for at, _ in world.asked]
    gaps = [round(after - before) for before, after in itertools.pairwise(times)]
    assert gaps[:5] == [1, 2, 4, 8, 16]
    assert set(gaps[5:]) == {30}


def test_a_repeated_transaction_is_carried_out_once():
    """RFC 7846 section 4.3; a strict tracker would refuse a second JOIN of a SEEDER"""
    world = World(make(), TrackerServer(rules=Rules(strict=True)))
    world.loses_responses = True
    world.client.join("s", SEEDER)
    world.run(2.0)
    world.loses_responses = False
    world.run(10.0)
    assert [event for event in world.seen if isinstance(event, Joined | Refused)] == [Joined("s", SEEDER)]


def test_a_tracker_that_comes_back_empty_gets_the_peer_back():
    world = World(make())
    world.client.join("s", SEEDER)
    world.client.join("t", LEECH)
    world.run(100.0)
    world.is_reachable = False
    world.run(1000.0)
    world.server = TrackerServer(random_bytes=chance())
    world.is_reachable = True
    world.run(1100.0)
    peer = world.server.peer("me")
    assert {name: one.peer_mode for name, one in peer.swarms.items()} == {"s": SEEDER, "t": LEECH}


def test_a_failed_answer_without_transaction_id_is_about_the_request_under_way():
    client = make()
    client.join("s", LEECH)
    client.next_request(0.0)
    client.receive_response(fail(ErrorCode.BAD_REQUEST, "", status=400), 0.0)
    assert events(client) == [Refused(("s",), ErrorCode.BAD_REQUEST)]


@pytest.mark.parametrize("status", [200, 400, 401, 404, 500])
def test_the_body_decides_whatever_the_http_status(status):
    client = make()
    client.join("s", LEECH)
    message = message_of(client.next_request(0.0))
    client.receive_response(
        Response(status, (), encode(ResponseMessage(ResponseType.SUCCESSFUL, 0, message.transaction_id))), 0.0
    )
    assert events(client) == [Joined("s", LEECH)]


@pytest.mark.parametrize("code", [ErrorCode.INTERNAL_SERVER_ERROR, ErrorCode.SERVICE_UNAVAILABLE])
def test_a_tracker_in_trouble_gets_the_same_transaction_again(code):
    """RFC 7846 section 4.3: 04 and 05"""
    client = make()
    client.join("s", LEECH)
    first = client.next_request(0.0)
    client.receive_response(fail(code, message_of(first).transaction_id), 0.0)
    assert events(client) == [Refused(("s",), code)]
    assert client.next_request(client.get_timer()) == first


@pytest.mark.parametrize(("value", "expected"), [("20", 20.0), ("1", 1.0), ("9999", 300.0), ("soon", 1.0), ("-5", 1.0)])
def test_the_tracker_s_wish_for_a_pause_is_heeded_within_limits(value, expected):
    client = make()
    client.join("s", LEECH)
    message = message_of(client.next_request(0.0))
    client.receive_response(fail(5, message.transaction_id, status=503, **{"retry-after": value}), 0.0)
    assert client.get_timer() == pytest.approx(expected, rel=0.01)


def test_a_proxy_that_says_when_the_tracker_is_back_is_heeded():
    """RFC 9110 section 10.2.3; RFC 7846 section 4.3: the same request is repeated"""
    client = make()
    client.join("s", LEECH)
    first = client.next_request(0.0)
    client.receive_response(Response(503, (("Retry-After", "20"),), b"<html>"), 0.0)
    assert [type(one) for one in events(client)] == [RequestLost]
    assert client.get_timer() == pytest.approx(20.0)
    assert client.next_request(20.0) == first


NOON = "Sun, 06 Nov 1994 12:00:00 GMT"


@pytest.mark.parametrize(
    ("until", "date", "pause"),
    [
        ("Sun, 06 Nov 1994 12:00:20 GMT", NOON, 20.0),
        ("Sunday, 06-Nov-94 12:00:20 GMT", NOON, 20.0),
        ("Sun, 06 Nov 1994 13:00:00 GMT", NOON, 300.0),
        ("Sun, 06 Nov 1994 11:00:00 GMT", NOON, 1.0),
        ("Sun, 06 Nov 1994 12:00:20 GMT", None, 1.0),
        ("Sun, 06 Nov 1994 12:00:20 -0000", NOON, 1.0),
        ("Sun, 06 Nov 99999999999999999999 12:00:20 GMT", NOON, 1.0),
        ("Sun, 99 Nov 1994 12:00:20 +999999999999", NOON, 1.0),
        ("-20", NOON, 1.0),
    ],
)
def test_a_date_to_come_back_at_is_heeded_by_the_clock_of_who_named_it(until, date, pause):
    """RFC 9110 section 10.2.3"""
    client = make()
    client.join("s", LEECH)
    client.next_request(0.0)
    dates = (("Date", date),) if date else ()
    client.receive_response(Response(503, (("Retry-After", until), *dates), b"<html>"), 0.0)
    assert client.get_timer() == pytest.approx(pause, rel=0.01)


@pytest.mark.parametrize("code", [1, 2, 3, 6, 77])
def test_a_refused_request_is_thought_over_and_asked_anew(code):
    client = make()
    client.join("s", LEECH)
    first = message_of(client.next_request(0.0))
    client.receive_response(fail(code, first.transaction_id), 0.0)
    assert events(client) == [Refused(("s",), code)]
    second = message_of(client.next_request(client.get_timer()))
    assert second.transaction_id != first.transaction_id
    assert second.swarm_action == first.swarm_action


def test_a_swarm_that_the_tracker_refuses_is_tried_again_later_and_does_not_disturb_the_others():
    world = World(make(), TrackerServer(limits=Limits(swarms_per_peer=1)))
    world.client.join("s", SEEDER)
    world.client.join("t", SEEDER)
    world.run(1.0)
    assert {event for event in world.seen if isinstance(event, Joined | Refused)} == {
        Joined("s", SEEDER),
        Refused(("t",), 0),
    }
    world.client.leave("s")
    world.run(60.0)
    assert set(world.server.peer("me").swarms) == {"t"}


def test_a_swarm_that_a_report_shows_lost_is_joined_again():
    world = World(make())
    world.client.join("s", SEEDER)
    world.client.join("t", SEEDER)
    world.run(1.0)
    for name in ("s", "t"):
        world.client.report(StreamStats(name))
    report = message_of(world.client.next_request(70.0))
    results = (SwarmResult("s", ResponseType.FAILED), SwarmResult("t", ResponseType.SUCCESSFUL))
    world.client.receive_response(
        Response(200, (), encode(ResponseMessage(ResponseType.SUCCESSFUL, 0, report.transaction_id, None, results))),
        70.0,
    )
    again = message_of(world.client.next_request(70.0))
    assert [one.swarm_id for one in again.swarm_action] == ["s"]


def test_nobody_waits_out_a_pause_in_order_to_leave():
    world = World(make())
    world.client.join("s", LEECH)
    world.run(1.0)
    world.is_reachable = False
    world.run(120.0)
    world.is_reachable = True
    world.client.leave("s")
    (message,) = world.run(120.0)
    assert [one.action for one in message.swarm_action] == [Action.LEAVE]
    assert world.client.is_idle


def test_a_swarm_is_left_though_the_tracker_knows_nothing_of_another_that_is_left_too():
    world = World(make())
    world.client.join("s", SEEDER)
    world.run(7.0)
    world.server = TrackerServer(random_bytes=chance())
    world.client.join("t", LEECH)
    world.run(14.0)
    assert set(world.server.peer("me").swarms) == {"t"}
    world.client.leave_all()
    world.run(60.0)
    assert world.client.is_idle
    assert world.server.peer("me") is None
