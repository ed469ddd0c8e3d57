"""A peer's side of PPSTP: what it asks and when, whatever the tracker answers."""

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppsp.errors import StateError
from ppsp.tracker import (
    MEDIA_TYPE,
    Action,
    AddressSeen,
    AddressType,
    ClientTiming,
    ConnectRequest,
    ErrorCode,
    Event,
    FindRequest,
    Joined,
    Left,
    Limits,
    PeerAddr,
    PeerInfo,
    PeerMode,
    PeersFound,
    Refused,
    Request,
    RequestLost,
    RequestMessage,
    Response,
    ResponseMessage,
    ResponseType,
    Rules,
    StatReportRequest,
    StreamStats,
    SwarmResult,
    TrackerClient,
    TrackerServer,
    encode,
    parse_request,
)

EXAMPLES = Path(__file__).parents[1] / "data" / "ppstp_examples"
URL = "https://tracker.example.com/video_1"
ADDRESS = PeerAddr("192.0.2.1", 7001)
SEEDER, LEECH = PeerMode.SEEDER, PeerMode.LEECH
# 128 of 255 is the middle: no jitter worth speaking of.
TIMING = ClientTiming()


def _chance() -> Callable[[int], bytes]:
    counter = itertools.count(1)
    return lambda size: b"\x80" if size == 1 else next(counter).to_bytes(size, "big")


def make(peer_id: str = "me", **arguments: Any) -> TrackerClient:
    return TrackerClient(peer_id, URL, **({"peer_addr": (ADDRESS,), "random_bytes": _chance()} | arguments))


def events(client: TrackerClient) -> list[Event]:
    return list(iter(client.next_event, None))


def message_of(request: Request | None) -> RequestMessage:
    assert request is not None
    parsed = parse_request(request.body)
    assert parsed.forgiven == ()
    return parsed.message


def fail(code: int, transaction_id: str, status: int = 200, **headers: str) -> Response:
    return Response(status, tuple(headers.items()), encode(ResponseMessage(ResponseType.FAILED, code, transaction_id)))


class World:
    """A client and a tracker that answers at once, on one virtual clock."""

    def __init__(self, client: TrackerClient, server: TrackerServer | None = None) -> None:
        self.client = client
        self.server = server or TrackerServer(random_bytes=_chance())
        self.now = 0.0
        self.is_reachable = True
        self.loses_responses = False
        self.asked: list[tuple[float, RequestMessage]] = []
        self.seen: list[Event] = []

    def run(self, until: float) -> list[RequestMessage]:
        """Let time pass; returns the requests that were made."""
        start = len(self.asked)
        while True:
            request = self.client.next_request(self.now)
            if request is not None:
                self._exchange(request)
                continue
            timer = self.client.get_timer()
            if timer is None or timer > until:
                self.now = until
                return [message for _, message in self.asked[start:]]
            self.now = max(self.now, timer)

    def _exchange(self, request: Request) -> None:
        self.asked.append((self.now, message_of(request)))
        if self.is_reachable:
            response = self.server.handle(request, ("198.51.100.7", 50000), self.now)
        if not self.is_reachable or self.loses_responses:
            self.client.request_failed("connection refused", self.now)
        else:
            self.client.receive_response(response, self.now)
        self.seen += events(self.client)


def neighbour(world: World, peer_id: str = "neighbour", swarm_id: str = "s") -> None:
    other = TrackerClient(peer_id, URL, peer_addr=(PeerAddr("192.0.2.77", 77),), random_bytes=_chance())
    other.join(swarm_id, SEEDER)
    World(other, world.server).run(0.0)


# -- the requests -----------------------------------------------------------------------------------------------------


def test_nothing_is_asked_before_a_swarm_is_joined():
    client = make()
    assert client.next_request(0.0) is None
    assert client.get_timer() is None
    assert client.is_idle


def test_a_request_is_a_post_of_the_media_type_to_the_tracker():
    """RFC 7846 sections 2.2, 4"""
    client = make()
    client.join("s", LEECH)
    request = client.next_request(0.0)
    assert (request.method, request.target) == ("POST", URL)
    assert request.header("content-type") == request.header("accept") == MEDIA_TYPE


def test_joining_announces_our_addresses():
    """RFC 7846 section 4.1.1"""
    client = make()
    client.join("s", LEECH)
    message = message_of(client.next_request(0.0))
    assert isinstance(message, ConnectRequest)
    assert (message.peer_id, len(message.transaction_id)) == ("me", 24)
    assert message.peer_addr == (ADDRESS,)
    assert [(one.swarm_id, one.action, one.peer_mode) for one in message.swarm_action] == [("s", Action.JOIN, LEECH)]


def test_a_seeder_joins_all_its_swarms_in_one_request_and_a_leech_one_a_request():
    """RFC 7846 table 6: N swarms for a SEEDER, 1 for a LEECH"""
    world = World(make())
    for name in ("a", "b", "c"):
        world.client.join(name, SEEDER)
    for name in ("d", "e"):
        world.client.join(name, LEECH)
    asked = world.run(0.0)
    assert [[one.swarm_id for one in message.swarm_action] for message in asked] == [["a", "b", "c"], ["d"], ["e"]]


def test_a_change_of_channel_is_one_request():
    """RFC 7846 section 4.1.1.1, third example; table 6: LEECH JOIN and LEAVE from TRACKING"""
    world = World(make(), TrackerServer(rules=Rules(strict=True)))
    world.client.join("1111", LEECH)
    world.run(0.0)
    world.client.leave("1111")
    world.client.join("2222", LEECH)
    (message,) = world.run(0.0)
    assert {(one.swarm_id, one.action) for one in message.swarm_action} == {
        ("1111", Action.LEAVE),
        ("2222", Action.JOIN),
    }
    assert set(world.seen) >= {Joined("2222", LEECH), Left("1111")}


def test_every_request_has_a_transaction_id_of_its_own():
    """RFC 7846 section 4.1.1: MUST be present to uniquely identify the transaction"""
    world = World(make(random_bytes=os.urandom))
    world.client.join("s", LEECH)
    identifiers = [message.transaction_id for message in world.run(600.0)]
    assert len(set(identifiers)) == len(identifiers) > 10


def test_one_request_is_under_way_at_a_time():
    client = make()
    client.join("s", LEECH)
    assert client.next_request(0.0) is not None
    client.join("t", LEECH)
    assert client.next_request(0.0) is None
    assert client.get_timer() is None


# -- the schedule -----------------------------------------------------------------------------------------------------


def _times(world: World, kind: type) -> list[float]:
    return [round(at) for at, message in world.asked if isinstance(message, kind)]


def test_a_leech_asks_for_peers_often_at_first_and_then_steadily():
    world = World(make())
    world.client.join("s", LEECH)
    world.run(125.0)
    assert _times(world, FindRequest) == [2, 6, 14, 30, 60, 90, 120]


def test_a_seeder_asks_for_no_peers_unless_told_to():
    """RFC 7846 section 1.2.1: it waits for peers in LEECH mode"""
    world = World(make())
    neighbour(world)
    world.client.join("s", SEEDER)
    world.run(300.0)
    assert _times(world, FindRequest) == []
    world.client.find("s")
    world.run(600.0)
    assert _times(world, FindRequest) == [300]


def test_a_seeder_that_seeks_asks_as_a_leech_does():
    """Behind a NAT, which lets in only whom the seeder has written to."""
    world = World(make(seeks_as_seeder=True))
    world.client.join("s", SEEDER)
    world.run(125.0)
    assert _times(world, FindRequest) == [2, 6, 14, 30, 60, 90, 120]


@pytest.mark.parametrize("mode", [SEEDER, LEECH])
def test_new_addresses_are_announced_by_joining_again_and_others_hear_of_them(mode):
    """RFC 7846 section 4.1.1"""
    world = World(make())
    world.client.join("s", mode)
    world.run(1.0)
    moved = PeerAddr("192.0.2.1", 7009, 5, AddressType.REFLEXIVE)
    world.client.announce([ADDRESS, moved])
    (message,) = world.run(1.5)
    assert isinstance(message, ConnectRequest)
    assert message.peer_addr == (ADDRESS, moved)
    assert world.client.peer_mode("s") is mode
    other = World(make("other"), world.server)
    other.client.join("s", LEECH)
    other.run(0.0)
    (found,) = [event for event in other.seen if isinstance(event, PeersFound)]
    assert {peer.peer_addr for peer in found.peers} == {ADDRESS, moved}


def test_addresses_that_change_while_a_join_is_under_way_are_announced_after_it():
    world = World(make())
    world.client.join("s", LEECH)
    request = world.client.next_request(0.0)
    moved = PeerAddr("192.0.2.1", 7009)
    world.client.announce([moved])
    world.client.receive_response(world.server.handle(request, ("198.51.100.7", 50000), 0.0), 0.0)
    (message,) = world.run(0.5)
    assert message.peer_addr == (moved,)
    assert world.run(1.0) == []


def test_a_find_that_is_wanted_now_is_asked_now():
    world = World(make())
    world.client.join("s", LEECH)
    world.run(50.0)
    world.client.find("s")
    assert [type(message) for message in world.run(50.0)] == [FindRequest]


def test_reports_are_sent_periodically_while_the_peer_is_active():
    """RFC 7846 section 2.2: STAT_REPORT MUST be sent periodically"""
    world = World(make())
    world.client.join("s", LEECH)
    world.run(250.0)
    assert _times(world, StatReportRequest) == [60, 120, 180, 240]


def test_reports_keep_the_registration_of_a_peer_that_asks_for_nothing():
    """RFC 7846 sections 2.3.1 step 3, 4.1.3"""
    world = World(make())
    world.client.join("s", SEEDER)
    world.run(1000.0)
    world.server.handle_timer(1000.0)
    assert world.server.peer("me") is not None


def test_a_report_names_a_limited_number_of_swarms_and_the_next_one_the_others():
    world = World(make())
    for number in range(300):
        world.client.join(f"{number:064d}", SEEDER)
    world.run(1.0)
    first, second = [message for message in world.run(125.0) if isinstance(message, StatReportRequest)]
    assert len(first.stat) == len(second.stat) == 200
    assert len({one.swarm_id for one in (*first.stat, *second.stat)}) == 300
    assert len(encode(first)) < world.server.max_body


def test_a_report_carries_the_latest_statistics_of_each_swarm():
    """RFC 7846 section 3.2.5"""
    world = World(make())
    for name in ("s", "t", "u"):
        world.client.join(name, SEEDER)
    world.run(0.0)
    world.client.report(StreamStats("s", 1, 2, 3, 4))
    world.client.report(StreamStats("s", 10, 20, 30, 40))
    world.client.report(StreamStats("t", 5))
    (message,) = world.run(61.0)
    assert message.stat == (StreamStats("s", 10, 20, 30, 40), StreamStats("t", 5), StreamStats("u"))
    assert world.server.peer("me").swarms["s"].stat.uploaded_bytes == 10


def test_the_deadline_is_exact_and_asking_early_is_harmless():
    client = make()
    world = World(client)
    client.join("s", LEECH)
    world.run(0.0)
    deadline = client.get_timer()
    assert client.next_request(deadline - 0.001) is None
    assert client.next_request(deadline - 0.001) is None
    assert isinstance(message_of(client.next_request(deadline)), FindRequest)


def test_jitter_keeps_within_ten_percent():
    low, high = (make(random_bytes=lambda size, octet=octet: bytes([octet]) * size) for octet in (0, 255))
    for client in (low, high):
        client.join("s", LEECH)
        World(client).run(0.0)
    assert low.get_timer() == pytest.approx(1.8)
    assert high.get_timer() == pytest.approx(2.2)


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
    client = make("656164657221", random_bytes=_chance())
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
    assert max(_times(world, FindRequest)) <= 5


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
    world.server = TrackerServer(random_bytes=_chance())
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
    world.server = TrackerServer(random_bytes=_chance())
    world.client.join("t", LEECH)
    world.run(14.0)
    assert set(world.server.peer("me").swarms) == {"t"}
    world.client.leave_all()
    world.run(60.0)
    assert world.client.is_idle
    assert world.server.peer("me") is None


def test_misuse_is_a_state_error_and_changes_nothing():
    client = make()
    for verb in (
        lambda: client.leave("s"),
        lambda: client.find("s"),
        lambda: client.report(StreamStats("s")),
        lambda: client.receive_response(Response(200), 0.0),
        lambda: client.request_failed("no", 0.0),
    ):
        with pytest.raises(StateError):
            verb()
    assert client.is_idle
    assert client.next_request(0.0) is None


def test_identifiers_that_no_message_can_carry_are_refused_at_once():
    with pytest.raises(ValueError):
        make("")
    client = make()
    with pytest.raises(ValueError):
        client.join("x" * 5000, LEECH)
    assert client.is_idle


# -- properties -------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=100))
def test_any_octets_as_a_response_raise_nothing(body):
    client = make()
    client.join("s", LEECH)
    client.next_request(0.0)
    client.receive_response(Response(200, (), body), 0.0)
    assert client.get_timer() is not None


verbs = st.lists(
    st.tuples(
        st.sampled_from(["seed", "leech", "leave", "find", "report", "pass", "drop", "deaf", "heal", "restart"]),
        st.sampled_from("stu"),
    ),
    max_size=25,
)


@given(verbs)
def test_whatever_happens_the_tracker_ends_up_knowing_what_the_peer_wants(script):
    world = World(make())
    wanted: dict[str, PeerMode] = {}
    for verb, swarm_id in script:
        match verb:
            case "seed" | "leech":
                wanted[swarm_id] = SEEDER if verb == "seed" else LEECH
                world.client.join(swarm_id, wanted[swarm_id])
            case "leave" if swarm_id in wanted:
                del wanted[swarm_id]
                world.client.leave(swarm_id)
            case "find" if swarm_id in wanted:
                world.client.find(swarm_id)
            case "report" if swarm_id in wanted:
                world.client.report(StreamStats(swarm_id, 1))
            case "pass":
                world.run(world.now + 7.0)
            case "drop":
                world.is_reachable = False
            case "deaf":
                world.loses_responses = True
            case "heal":
                world.is_reachable, world.loses_responses = True, False
            case "restart":
                world.server = TrackerServer(random_bytes=_chance())
    world.is_reachable, world.loses_responses = True, False
    world.run(world.now + 300.0)
    peer = world.server.peer("me")
    assert {name: one.peer_mode for name, one in peer.swarms.items()} == wanted if wanted else peer is None
    assert {name: world.client.peer_mode(name) for name in wanted} == wanted
    assert world.client.is_idle == (not wanted)


def test_the_same_chance_gives_the_same_octets():
    def run() -> list[tuple[float, bytes]]:
        world = World(make())
        world.client.join("s", LEECH)
        world.run(200.0)
        return [(at, encode(message)) for at, message in world.asked]

    assert run() == run()
