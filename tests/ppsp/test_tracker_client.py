"""A peer's side of PPSTP: what it asks, and when."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ppstp_client import ADDRESS, LEECH, SEEDER, URL, World, chance, make, message_of, neighbour, times_of

from ppsp.errors import StateError
from ppsp.tracker import (
    MEDIA_TYPE,
    Action,
    AddressType,
    ConnectRequest,
    FindRequest,
    Joined,
    Left,
    PeerAddr,
    PeerMode,
    PeersFound,
    Response,
    Rules,
    StatReportRequest,
    StreamStats,
    TrackerServer,
    encode,
)

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


def test_a_leech_asks_for_peers_often_at_first_and_then_steadily():
    world = World(make())
    world.client.join("s", LEECH)
    world.run(125.0)
    assert times_of(world, FindRequest) == [2, 6, 14, 30, 60, 90, 120]


def test_a_seeder_asks_for_no_peers_unless_told_to():
    """RFC 7846 section 1.2.1: it waits for peers in LEECH mode"""
    world = World(make())
    neighbour(world)
    world.client.join("s", SEEDER)
    world.run(300.0)
    assert times_of(world, FindRequest) == []
    world.client.find("s")
    world.run(600.0)
    assert times_of(world, FindRequest) == [300]


def test_a_seeder_that_seeks_asks_as_a_leech_does():
    """Behind a NAT, which lets in only whom the seeder has written to."""
    world = World(make(seeks_as_seeder=True))
    world.client.join("s", SEEDER)
    world.run(125.0)
    assert times_of(world, FindRequest) == [2, 6, 14, 30, 60, 90, 120]


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
    assert times_of(world, StatReportRequest) == [60, 120, 180, 240]


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
                world.server = TrackerServer(random_bytes=chance())
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
