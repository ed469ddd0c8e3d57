"""The PPSTP tracker: silent peers, and requests that come again."""

import pytest
from attrs import evolve
from ppstp_server import (
    JOIN,
    LEAVE,
    LEECH,
    SEEDER,
    Broken,
    ask,
    connect,
    crowd,
    find,
    join,
    listed,
    post,
    report,
    stats,
    tracker,
)

from ppsp.tracker import (
    ErrorCode,
    Limits,
    PeerNum,
    PeerState,
    Rules,
    TrackerState,
)

# -- timers -----------------------------------------------------------------------------------------------------------


def test_a_peer_that_is_silent_for_the_track_timer_is_removed_from_all_swarms():
    """RFC 7846 section 2.3.2 D"""
    server = tracker(track_timer=180.0)
    ask(server, connect("a", ("s", JOIN, SEEDER), ("t", JOIN, SEEDER)))
    assert server.get_timer() == 180.0
    server.handle_timer(179.9)
    assert server.peer_count == 1
    server.handle_timer(180.0)
    assert (server.peer_count, server.swarm_count, server.state) == (0, 0, TrackerState.INIT)
    assert server.get_timer() is None


@pytest.mark.parametrize(
    "sign", [report("a"), find("a", "s"), connect("a", ("s", JOIN, LEECH))], ids=lambda m: type(m).__name__
)
def test_a_valid_request_starts_the_track_timer_anew(sign):
    """RFC 7846 section 2.3.1 steps 3 and 4"""
    server = tracker(track_timer=180.0)
    join(server, "a")
    ask(server, sign, now=100.0)
    assert server.get_timer() == 280.0


def test_a_peer_whose_time_is_up_is_not_listed_even_if_nobody_called_the_timer():
    server = tracker(track_timer=180.0)
    join(server, "a", now=0.0)
    join(server, "b", now=100.0)
    assert listed(ask(server, find("b", "s"), now=181.0)) == []


def test_early_and_repeated_timer_calls_do_no_harm():
    server = tracker()
    join(server, "a")
    for now in (0.0, 1.0, 1.0, 500.0, 500.0, 3.0):
        server.handle_timer(now)
    assert server.peer_count == 0


def test_timers_end_in_the_order_of_the_last_sign_of_life():
    server = tracker(track_timer=100.0)
    for name in "abc":
        join(server, name)
    ask(server, report("a"), now=50.0)
    assert server.get_timer() == 100.0
    server.handle_timer(120.0)
    assert [peer.peer_id for peer in server.peers("s")] == ["a"]
    assert server.get_timer() == 150.0


def test_a_registration_that_an_internal_error_cut_off_ends_with_the_init_timer():
    """RFC 7846 section 2.3.1 step 1 starts the init timer"""
    server = tracker(select=Broken(), init_timer=30.0)
    join(server, "a", mode=SEEDER)
    with pytest.raises(RuntimeError):
        post(server, connect("b", ("s", JOIN, LEECH)), now=1.0)
    assert server.peer("b").state is PeerState.PEER_REGISTERED
    assert [peer.peer_id for peer in server.peers("s")] == ["a"]
    assert server.get_timer() == 31.0
    server.handle_timer(31.0)
    assert server.peer("b") is None
    assert server.peer("a") is not None


# -- repeated transactions --------------------------------------------------------------------------------------------


def test_a_repeated_request_gets_the_same_answer_and_is_carried_out_once():
    """RFC 7846 section 4.3: the tracker MUST be prepared to receive a request with a repeated transaction_id"""
    server = tracker(rules=Rules(strict=True))
    join(server, "other")
    request = connect("a", ("s", JOIN, SEEDER), peer_num=PeerNum(5))
    first = post(server, request)
    # Carried out twice, a strict tracker would refuse the second (table 6) and end the registration.
    assert post(server, request, now=1.0) == first
    assert server.peer("a").state is PeerState.TRACKING


def test_a_repeated_leave_succeeds_though_nothing_is_left_to_leave():
    server = tracker()
    join(server, "a")
    leave = connect("a", ("s", LEAVE, LEECH))
    assert ask(server, leave).error_code == 0
    assert ask(server, leave, now=2.0).error_code == 0


def test_one_transaction_id_for_different_requests_is_a_new_request_each_time():
    """The RFC's examples use "12345" for a CONNECT, a FIND and a STAT_REPORT of one peer."""
    server = tracker()
    assert ask(server, evolve(connect("a", ("s", JOIN, LEECH)), transaction_id="12345")).error_code == 0
    assert ask(server, evolve(find("a", "s"), transaction_id="12345")).swarm_result[0].peer_group == ()
    assert ask(server, evolve(report("a"), transaction_id="12345")).swarm_result == ()


def test_the_same_transaction_id_of_another_peer_is_another_transaction():
    server = tracker()
    assert ask(server, connect("a", ("s", JOIN, LEECH), transaction_id="1")).error_code == 0
    assert ask(server, connect("b", ("s", JOIN, LEECH), transaction_id="1")).error_code == 0
    assert server.peer_count == 2


def test_a_peer_that_left_and_comes_back_with_the_same_words_is_registered_again():
    server = tracker()
    joining = connect("a", ("s", JOIN, LEECH), transaction_id="12345")
    leaving = connect("a", ("s", LEAVE, LEECH), transaction_id="12346")
    for _ in range(3):
        assert ask(server, joining).error_code == 0
        assert server.peer("a") is not None
        assert ask(server, leaving).error_code == 0
        assert server.peer("a") is None


def test_a_peer_that_uses_one_transaction_id_comes_back_to_one_of_its_swarms():
    server = tracker()
    join(server, "a", "t")
    joining = connect("a", ("s", JOIN, LEECH), transaction_id="12345")
    leaving = connect("a", ("s", LEAVE, LEECH), transaction_id="12345")
    saying = evolve(report("a", stats()), transaction_id="12345")
    for _ in range(3):
        assert ask(server, joining).error_code == 0
        assert set(server.peer("a").swarms) == {"s", "t"}
        assert ask(server, saying).error_code == 0
        assert ask(server, leaving).error_code == 0
        assert set(server.peer("a").swarms) == {"t"}
        assert ask(server, saying).error_code == ErrorCode.FORBIDDEN_ACTION


def test_an_error_is_not_remembered():
    server = tracker(limits=Limits(peers=1))
    join(server, "a")
    request = connect("b", ("s", JOIN, LEECH))
    assert ask(server, request).error_code == ErrorCode.SERVICE_UNAVAILABLE
    ask(server, connect("a", ("s", LEAVE, LEECH)))
    assert ask(server, request).error_code == 0


def test_a_repeated_find_gets_the_same_sample_until_the_swarm_changes():
    server = crowd(50)
    request = evolve(find("peer 1", "s"), transaction_id="12345")
    first = post(server, request)
    assert post(server, request, now=1.0) == first
    ask(server, connect("new", ("s", JOIN, LEECH)))
    assert post(server, request, now=2.0) != first


def test_a_repetition_after_a_minute_is_a_new_request():
    server = tracker(track_timer=600.0)
    join(server, "a")
    request = report("a", stats())
    assert ask(server, request).error_code == 0
    ask(server, report("a", evolve(stats(), uploaded_bytes=1024)))
    ask(server, request, now=59.0)
    assert server.peer("a").swarms["s"].stat.uploaded_bytes == 1024
    ask(server, request, now=60.0)
    assert server.peer("a").swarms["s"].stat.uploaded_bytes == 512


def test_a_repeated_request_is_a_sign_of_life():
    server = tracker(track_timer=100.0)
    request = connect("a", ("s", JOIN, LEECH))
    ask(server, request)
    ask(server, request, now=50.0)
    assert server.get_timer() == 150.0
