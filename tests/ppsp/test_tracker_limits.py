"""The PPSTP tracker: what peers can fill, and how much memory that takes."""

import tracemalloc
from collections.abc import Iterable, Iterator

from attrs import evolve
from ppstp_server import JOIN, LEECH, SEEDER, ask, connect, join, post, report, tracker

from ppsp.tracker import (
    ConnectRequest,
    ErrorCode,
    Limits,
    PeerAddr,
    PeerNum,
    RequestMessage,
    StreamStats,
    TrackerServer,
    parse_response,
)
from ppsp.tracker.answers import MAX_ANSWER_OCTETS


def test_a_tracker_that_is_full_is_unavailable_and_says_when_to_come_back():
    """RFC 7846 section 4.3: overloaded, 05"""
    server = tracker(limits=Limits(peers=2))
    join(server, "a")
    join(server, "b")
    response = post(server, connect("c", ("s", JOIN, LEECH)))
    assert (response.status, response.header("Retry-After")) == (503, "60")
    assert parse_response(response.body).message.error_code == ErrorCode.SERVICE_UNAVAILABLE
    assert server.peer_count == 2
    join(server, "a", "t")


def test_swarms_and_memberships_are_limited():
    full = ErrorCode.SERVICE_UNAVAILABLE
    server = tracker(limits=Limits(swarms=1))
    join(server, "a")
    assert ask(server, connect("b", ("t", JOIN, LEECH))).error_code == full
    assert server.peer("b") is None
    assert ask(server, connect("b", ("s", JOIN, LEECH))).error_code == 0
    server = tracker(limits=Limits(memberships=2))
    answer = ask(server, connect("a", *((str(n), JOIN, SEEDER) for n in range(3))))
    assert [one.result for one in answer.swarm_result] == [0, 0, 1]
    assert ask(server, connect("b", ("0", JOIN, LEECH))).error_code == full


def test_one_peer_is_in_a_limited_number_of_swarms():
    server = tracker(limits=Limits(swarms_per_peer=2))
    answer = ask(server, connect("a", *((str(n), JOIN, SEEDER) for n in range(4))))
    assert [one.result for one in answer.swarm_result] == [0, 0, 1, 1]
    assert ask(server, connect("a", ("9", JOIN, SEEDER))).error_code == ErrorCode.FORBIDDEN_ACTION
    assert ask(server, connect("a", ("0", JOIN, LEECH))).error_code == 0


def test_of_many_addresses_those_with_the_highest_priority_count():
    server = tracker(limits=Limits(addresses=2))
    addresses = tuple(PeerAddr("192.0.2.1", port, priority=port % 5) for port in range(1, 9))
    ask(server, connect("a", ("s", JOIN, LEECH), peer_addr=addresses))
    assert [address.port for address in server.peer("a").peer_addr] == [4, 3]


def test_a_body_that_is_too_long_is_a_bad_request():
    server = tracker()
    response = post(server, b" " * (server.max_body + 1))
    assert response.status == 413
    assert parse_response(response.body).message.error_code == ErrorCode.BAD_REQUEST
    assert post(server, b" " * server.max_body).status == 400


def test_a_connect_to_many_full_swarms_is_answered_with_a_bounded_list():
    server = tracker()
    swarms = [(str(number), JOIN, SEEDER) for number in range(30)]
    for number in range(40):
        ask(server, connect(f"peer {number}", *swarms))
    answer = ask(server, connect("a", *swarms, peer_num=PeerNum(29)))
    assert sum(len(one.peer_group or ()) for one in answer.swarm_result) == 290


WIDE = "\N{GRINNING FACE}"
"""One such character makes Python keep four octets for each of a text."""


def octets_kept(server: TrackerServer, messages: Iterable[RequestMessage]) -> int:
    """What the tracker keeps of these messages once their answers are forgotten; all of them have to succeed."""
    join(server, "first", "of all")
    tracemalloc.start()
    try:
        for message in messages:
            assert post(server, message).status == 200
        for now in (100.0, 200.0):
            ask(server, report("first"), now)
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def wide(text: str, length: int) -> str:
    return f"{WIDE}{text}".ljust(length, "x")


def test_a_registration_takes_no_more_memory_than_its_limit_says():
    def registrations(size: int) -> Iterator[ConnectRequest]:
        for number in range(size):
            label = wide(str(number), 32)
            addresses = tuple(
                PeerAddr(f"2001:db8:aaaa:bbbb:cccc:dddd:eeee:{number:x}", port, 2**63, asn=label, peer_protocol=label)
                for port in range(60001, 60009)
            )
            yield connect(wide(str(number), 256), ("of all", JOIN, SEEDER), peer_addr=addresses)

    assert octets_kept(tracker(track_timer=1e6), registrations(200)) / 200 < 8 * 1024


def test_a_membership_takes_no_more_memory_than_its_limit_says_however_long_the_swarm_id():
    swarms = [wide(str(number), 2048) for number in range(8)]

    def memberships(size: int) -> Iterator[RequestMessage]:
        for number in range(size):
            yield connect(f"peer {number}", *((swarm, JOIN, SEEDER) for swarm in swarms))
            yield report(f"peer {number}", *(StreamStats(swarm, 2**63, 2**63, 2**63, 2**63) for swarm in swarms))

    server = tracker(track_timer=1e6)
    octets = octets_kept(server, memberships(200)) - 8 * 4 * 2048
    assert octets / (200 * 8) < 450 + 1024 / 8


def test_an_answer_is_remembered_by_a_key_that_is_short_whatever_the_request():
    server = tracker()
    long = wide("", 256)
    join(server, long)
    tracemalloc.start()
    try:
        for number in range(1000):
            post(server, evolve(report(long), transaction_id=wide(str(number), 256)))
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept / 1000 < 800


def test_the_cache_of_answers_is_bounded():
    server = tracker()
    for number in range(60):
        ask(server, connect(f"peer {number}", *((f"{number}-{n}" + "x" * 700, JOIN, SEEDER) for n in range(60))))
    cache = server._registry._answers
    assert 0 < cache._octets <= MAX_ANSWER_OCTETS
    for number in range(30):
        ask(server, report("peer 0"), now=70.0 + number)
    assert len(cache._answers) == 30
