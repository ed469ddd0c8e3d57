"""The PPSTP tracker: every state times every request, whatever the body."""

import itertools
import json
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from ppsp.tracker import (
    MAX_RESPONSE,
    MEDIA_TYPE,
    AbilityNat,
    Action,
    AddressType,
    Allowed,
    Connection,
    ConnectRequest,
    Denied,
    ErrorCode,
    FindRequest,
    Limits,
    PeerAddr,
    PeerMode,
    PeerNum,
    PeerState,
    Request,
    RequestMessage,
    Response,
    ResponseMessage,
    ResponseType,
    Rules,
    StatReportRequest,
    StreamStats,
    SwarmAction,
    TrackerServer,
    TrackerState,
    Verdict,
    encode,
    parse_response,
)
from ppsp.tracker.answers import MAX_ANSWER_OCTETS

EXAMPLES = Path(__file__).parents[1] / "data" / "ppstp_examples"
PEER = ("198.51.100.7", 43210)
HEADERS = (("Content-Type", MEDIA_TYPE),)
JOIN, LEAVE = Action.JOIN, Action.LEAVE
SEEDER, LEECH = PeerMode.SEEDER, PeerMode.LEECH

_numbers = itertools.count(1)


def counted() -> Callable[[int], bytes]:
    """A source of chance that is the same in every test."""
    counter = itertools.count()
    return lambda size: bytes((next(counter) * 167 + 13) % 256 for _ in range(size))


def tracker(**arguments: Any) -> TrackerServer:
    return TrackerServer(**({"random_bytes": counted()} | arguments))


def new_id() -> str:
    return f"t{next(_numbers)}"


def connect(
    peer_id: str,
    *actions: tuple[str, Action, PeerMode],
    transaction_id: str | None = None,
    peer_num: PeerNum | None = None,
    peer_addr: tuple[PeerAddr, ...] | None = None,
) -> ConnectRequest:
    if peer_addr is None:
        peer_addr = (PeerAddr("192.0.2.1", 1 + sum(peer_id.encode()) % 60000),)
    return ConnectRequest(
        transaction_id or new_id(), peer_id, tuple(SwarmAction(*action) for action in actions), peer_num, peer_addr
    )


def find(peer_id: str, swarm_id: str, peer_num: PeerNum | None = None) -> FindRequest:
    return FindRequest(new_id(), peer_id, swarm_id, peer_num)


def report(peer_id: str, *stat: StreamStats) -> StatReportRequest:
    return StatReportRequest(new_id(), peer_id, stat)


def post(server: TrackerServer, message: RequestMessage | bytes, now: float = 0.0, peer: Any = PEER) -> Response:
    body = message if isinstance(message, bytes) else encode(message)
    return server.handle(Request("POST", "/video_1", HEADERS, body), peer, now)


def ask(server: TrackerServer, message: RequestMessage, now: float = 0.0, peer: Any = PEER) -> ResponseMessage:
    """The answer, which has to keep to the schema and to carry the transaction ID."""
    response = post(server, message, now, peer)
    parsed = parse_response(response.body)
    assert parsed.forgiven == ()
    assert parsed.message.transaction_id == message.transaction_id
    assert response.header("content-type") == MEDIA_TYPE
    return parsed.message


def join(server: TrackerServer, peer_id: str, swarm_id: str = "s", mode: PeerMode = LEECH, now: float = 0.0) -> None:
    assert ask(server, connect(peer_id, (swarm_id, JOIN, mode)), now).response_type is ResponseType.SUCCESSFUL


def listed(answer: ResponseMessage, swarm_id: str = "s") -> list[str]:
    group = next(one.peer_group for one in answer.swarm_result if one.swarm_id == swarm_id)
    return [] if group is None else [peer.peer_id for peer in group]


def stats(swarm_id: str = "s") -> StreamStats:
    return StreamStats(swarm_id, 512, 768, 1024000, 5)


# -- every state times every request ----------------------------------------------------------------------------------

REQUESTS: dict[str, Callable[[], RequestMessage]] = {
    "join": lambda: connect("p", ("new", JOIN, LEECH)),
    "join again": lambda: connect("p", ("s", JOIN, LEECH)),
    "join as seeder": lambda: connect("p", ("new", JOIN, SEEDER), ("other", JOIN, SEEDER)),
    "leave": lambda: connect("p", ("s", LEAVE, LEECH)),
    "leave another": lambda: connect("p", ("unknown", LEAVE, LEECH)),
    "change": lambda: connect("p", ("s", LEAVE, LEECH), ("new", JOIN, LEECH)),
    "change from another": lambda: connect("p", ("unknown", LEAVE, LEECH), ("new", JOIN, LEECH)),
    "find": lambda: find("p", "s"),
    "find elsewhere": lambda: find("p", "unknown"),
    "report": lambda: report("p", stats()),
    "report elsewhere": lambda: report("p", stats("unknown")),
    "sign of life": lambda: report("p"),
}
OK, FORBIDDEN = ErrorCode.NO_ERROR, ErrorCode.FORBIDDEN_ACTION
# (state before, request) -> (error_code, state after, the track timer runs anew)
EXPECTED = {
    ("START", "join"): (OK, "TRACKING", True),
    ("START", "join again"): (OK, "TRACKING", True),
    ("START", "join as seeder"): (OK, "TRACKING", True),
    ("START", "leave"): (FORBIDDEN, "START", False),
    ("START", "leave another"): (FORBIDDEN, "START", False),
    ("START", "change"): (FORBIDDEN, "START", False),
    ("START", "change from another"): (FORBIDDEN, "START", False),
    ("START", "find"): (FORBIDDEN, "START", False),
    ("START", "find elsewhere"): (FORBIDDEN, "START", False),
    ("START", "report"): (FORBIDDEN, "START", False),
    ("START", "report elsewhere"): (FORBIDDEN, "START", False),
    ("START", "sign of life"): (FORBIDDEN, "START", False),
    ("PEER_REGISTERED", "join"): (OK, "TRACKING", True),
    ("PEER_REGISTERED", "join again"): (OK, "TRACKING", True),
    ("PEER_REGISTERED", "join as seeder"): (OK, "TRACKING", True),
    ("PEER_REGISTERED", "leave"): (FORBIDDEN, "START", False),
    ("PEER_REGISTERED", "leave another"): (FORBIDDEN, "START", False),
    ("PEER_REGISTERED", "change"): (FORBIDDEN, "START", False),
    ("PEER_REGISTERED", "change from another"): (FORBIDDEN, "START", False),
    ("PEER_REGISTERED", "find"): (FORBIDDEN, "PEER_REGISTERED", False),
    ("PEER_REGISTERED", "find elsewhere"): (FORBIDDEN, "PEER_REGISTERED", False),
    ("PEER_REGISTERED", "report"): (FORBIDDEN, "PEER_REGISTERED", False),
    ("PEER_REGISTERED", "report elsewhere"): (FORBIDDEN, "PEER_REGISTERED", False),
    ("PEER_REGISTERED", "sign of life"): (FORBIDDEN, "PEER_REGISTERED", False),
    ("TRACKING", "join"): (OK, "TRACKING", True),
    ("TRACKING", "join again"): (OK, "TRACKING", True),
    ("TRACKING", "join as seeder"): (OK, "TRACKING", True),
    ("TRACKING", "leave"): (OK, "START", False),
    ("TRACKING", "leave another"): (FORBIDDEN, "TRACKING", False),
    ("TRACKING", "change"): (OK, "TRACKING", True),
    ("TRACKING", "change from another"): (OK, "TRACKING", True),
    ("TRACKING", "find"): (OK, "TRACKING", True),
    ("TRACKING", "find elsewhere"): (FORBIDDEN, "TRACKING", False),
    ("TRACKING", "report"): (OK, "TRACKING", True),
    ("TRACKING", "report elsewhere"): (FORBIDDEN, "TRACKING", False),
    ("TRACKING", "sign of life"): (OK, "TRACKING", True),
}


class Broken:
    """A selector that fails until it is mended."""

    def __init__(self) -> None:
        self.is_broken = True

    def __call__(self, members: Any, requester: Any, peer_num: Any, count: int) -> Any:
        if self.is_broken:
            raise RuntimeError("the policy engine is gone")
        return members


def in_state(state: str) -> TrackerServer:
    """A tracker with peer `p` in this state; another peer keeps the swarm `s` alive."""
    selector = Broken()
    server = tracker(select=selector)
    selector.is_broken = False
    join(server, "other")
    if state == "TRACKING":
        join(server, "p")
    if state == "PEER_REGISTERED":
        selector.is_broken = True
        with pytest.raises(RuntimeError):
            post(server, connect("p", ("s", JOIN, LEECH)))
        selector.is_broken = False
    assert state_of(server) == state
    return server


def state_of(server: TrackerServer) -> str:
    peer = server.peer("p")
    return peer.state.name if peer else "START"


def test_every_state_and_every_request_is_expected():
    assert set(EXPECTED) == set(itertools.product(("START", "PEER_REGISTERED", "TRACKING"), REQUESTS))


@pytest.mark.parametrize(("state", "request_name"), EXPECTED, ids=lambda part: part.replace(" ", "-"))
def test_every_state_answers_every_request_as_the_tables_say(state, request_name):
    """RFC 7846 sections 2.3.1, 2.3.2, 4.3"""
    error_code, after, is_reset = EXPECTED[state, request_name]
    server = in_state(state)
    answer = ask(server, REQUESTS[request_name](), now=10.0)
    assert answer.error_code == error_code
    assert answer.response_type is (ResponseType.FAILED if error_code else ResponseType.SUCCESSFUL)
    assert state_of(server) == after
    if after == "TRACKING":
        server.handle_timer(185.0)
        assert (state_of(server) == "TRACKING") == is_reset


@pytest.mark.parametrize(("state", "request_name"), EXPECTED, ids=lambda part: part.replace(" ", "-"))
def test_an_error_carries_neither_an_address_nor_results(state, request_name):
    """RFC 7846 section 4.3: with an empty message-body"""
    server = in_state(state)
    response = json.loads(post(server, REQUESTS[request_name]()).body)["PPSPTrackerProtocol"]
    if response["response_type"]:
        assert set(response) == {"version", "response_type", "error_code", "transaction_id"}
    else:
        assert response["error_code"] == 0


# -- registration and swarms ------------------------------------------------------------------------------------------


def test_the_tracker_is_in_init_until_a_peer_comes_and_again_when_the_last_is_gone():
    """RFC 7846 section 2.3, figure 4"""
    server = tracker()
    assert server.state is TrackerState.INIT
    join(server, "a")
    join(server, "b")
    ask(server, connect("a", ("s", LEAVE, LEECH)))
    assert server.state is TrackerState.STARTED
    ask(server, connect("b", ("s", LEAVE, LEECH)))
    assert server.state is TrackerState.INIT
    assert (server.peer_count, server.swarm_count) == (0, 0)


def test_a_connect_records_addresses_mode_and_the_absolute_time():
    """RFC 7846 section 2.2, CONNECT"""
    server = tracker(epoch=1_700_000_000.0)
    address = PeerAddr("2001:db8::5", 7000, connection=None, asn="64496")
    ask(server, connect("a", ("s", JOIN, SEEDER), peer_addr=(address,)), now=5.5)
    peer = server.peer("a")
    assert (peer.peer_addr, peer.connect_time) == ((address,), 1_700_000_005.5)
    assert peer.swarms["s"].peer_mode is SEEDER


def test_a_leech_gets_a_list_and_a_seeder_only_if_it_asks():
    """RFC 7846 section 4.1.1: LEECH, or a SEEDER that includes peer_num"""
    server = tracker()
    join(server, "a")
    assert listed(ask(server, connect("b", ("s", JOIN, LEECH)))) == ["a"]
    assert ask(server, connect("c", ("s", JOIN, SEEDER))).swarm_result[0].peer_group is None
    answer = ask(server, connect("d", ("s", JOIN, SEEDER), peer_num=PeerNum(9)))
    assert sorted(listed(answer)) == ["a", "b", "c"]


def test_the_first_peer_of_a_swarm_gets_no_group_rather_than_an_empty_one():
    """RFC 7846 section 3.2.4: peer_info<1..*>"""
    assert ask(tracker(), connect("a", ("s", JOIN, LEECH))).swarm_result[0].peer_group is None


def test_a_find_in_an_otherwise_empty_swarm_has_an_empty_group():
    """RFC 7846 section 4.1.2: the response MUST include a peer_group element"""
    server = tracker()
    join(server, "a")
    assert ask(server, find("a", "s")).swarm_result[0].peer_group == ()


def test_a_list_has_peer_ids_and_addresses_and_never_the_requester():
    """RFC 7846 sections 4.1.1, 4.1.2: MUST contain the peer IDs and the corresponding IP addresses"""
    server = tracker()
    for name in "abc":
        ask(server, connect(name, ("s", JOIN, LEECH), peer_addr=(PeerAddr("192.0.2.9", ord(name)),)))
    group = ask(server, find("b", "s")).swarm_result[0].peer_group
    assert {(peer.peer_id, peer.peer_addr.port) for peer in group} == {("a", ord("a")), ("c", ord("c"))}


def test_a_peer_with_several_addresses_has_an_entry_for_each_and_counts_once():
    """RFC 7846 section 3.2.4: peer_info holds one peer_addr"""
    server = tracker()
    addresses = (PeerAddr("192.0.2.9", 1, priority=1), PeerAddr("2001:db8::9", 2, priority=5))
    ask(server, connect("a", ("s", JOIN, SEEDER), peer_addr=addresses))
    join(server, "b", mode=SEEDER)
    group = ask(server, connect("c", ("s", JOIN, LEECH), peer_num=PeerNum(2))).swarm_result[0].peer_group
    assert Counter(peer.peer_id for peer in group) == {"a": 2, "b": 1}
    assert [peer.peer_addr.priority for peer in group if peer.peer_id == "a"] == [5, 1]


def test_a_leech_becomes_a_seeder_by_joining_again():
    """RFC 7846 defines no such transition; a CONNECT of a registered peer notifies about participation (section 2.2)"""
    server = tracker()
    join(server, "a")
    join(server, "a", mode=SEEDER)
    assert server.peer("a").swarms["s"].peer_mode is SEEDER
    assert [peer.peer_id for peer in server.peers("s")] == ["a"]


def test_each_action_has_its_result_in_the_order_of_the_actions():
    """RFC 7846 section 3.3.4; the RFC's own example forgets the result of the LEAVE"""
    server = tracker()
    join(server, "a", "1111")
    answer = ask(server, connect("a", ("1111", LEAVE, LEECH), ("2222", JOIN, LEECH), ("9", LEAVE, LEECH)))
    assert [(one.swarm_id, one.result) for one in answer.swarm_result] == [("1111", 0), ("2222", 0), ("9", 1)]
    assert server.peers("1111") == ()
    assert [peer.peer_id for peer in server.peers("2222")] == ["a"]


def test_one_invalid_action_among_valid_ones_is_no_error_of_the_request():
    """RFC 7846 section 2.3.2 A speaks of requests with only invalid actions"""
    server = tracker()
    join(server, "a")
    answer = ask(server, connect("a", ("other", LEAVE, LEECH), ("s", LEAVE, LEECH)))
    assert (answer.response_type, answer.error_code) == (0, 0)
    assert [(one.result, one.peer_group) for one in answer.swarm_result] == [(1, None), (0, None)]


def test_leaving_one_of_two_swarms_keeps_the_registration_and_leaving_the_last_ends_it():
    """RFC 7846 table 6, reading N as all"""
    server = tracker()
    ask(server, connect("a", ("s", JOIN, SEEDER), ("t", JOIN, SEEDER)))
    ask(server, connect("a", ("s", LEAVE, SEEDER)))
    assert server.peer("a").state is PeerState.TRACKING
    ask(server, connect("a", ("t", LEAVE, SEEDER)))
    assert server.peer("a") is None


def test_the_peer_mode_of_a_leave_does_not_matter():
    """RFC 7846 section 4.1.1: LEAVE, regardless of the peer mode"""
    server = tracker()
    join(server, "a", mode=SEEDER)
    assert ask(server, connect("a", ("s", LEAVE, LEECH))).error_code == 0


def test_a_strict_tracker_ends_the_registration_of_a_seeder_that_joins_more():
    """RFC 7846 table 6: N SEEDER JOIN from TRACKING, Invalid, TERMINATE"""
    server = tracker(rules=Rules(strict=True))
    join(server, "a", mode=SEEDER)
    assert ask(server, connect("a", ("t", JOIN, SEEDER))).error_code == ErrorCode.FORBIDDEN_ACTION
    assert server.peer("a") is None


def test_a_strict_tracker_refuses_what_the_table_does_not_list_and_keeps_the_registration():
    """RFC 7846 section 2.3.2 C"""
    server = tracker(rules=Rules(strict=True))
    join(server, "a")
    assert ask(server, connect("a", ("t", JOIN, LEECH))).error_code == ErrorCode.FORBIDDEN_ACTION
    assert set(server.peer("a").swarms) == {"s"}


def test_new_addresses_replace_the_old_and_a_connect_without_any_keeps_them():
    server = tracker()
    first, second = PeerAddr("192.0.2.1", 1), PeerAddr("192.0.2.2", 2)
    ask(server, connect("a", ("s", JOIN, SEEDER), peer_addr=(first,)))
    ask(server, connect("a", ("t", JOIN, SEEDER), peer_addr=()))
    assert server.peer("a").peer_addr == (first,)
    ask(server, connect("a", ("u", JOIN, SEEDER), peer_addr=(second,)))
    assert server.peer("a").peer_addr == (second,)


def test_a_peer_that_announces_no_address_is_listed_where_its_requests_come_from():
    """RFC 7846 section 4.1.1: a tracker that works like STUN returns the public address as REFLEXIVE"""
    server = tracker()
    ask(server, connect("a", ("s", JOIN, LEECH), peer_addr=()))
    group = ask(server, connect("b", ("s", JOIN, LEECH))).swarm_result[0].peer_group
    assert group[0].peer_addr == PeerAddr("198.51.100.7", 43210, type=AddressType.REFLEXIVE)


def test_a_peer_that_moves_and_announces_nothing_is_listed_where_it_is_now():
    """RFC 7846 section 2.2: a CONNECT of a registered peer tells of its participation, and whence it comes"""
    server = tracker()
    there = ("203.0.113.5", 4000)
    ask(server, connect("a", ("s", JOIN, LEECH), peer_addr=()))
    ask(server, connect("a", ("s", JOIN, LEECH), peer_addr=()), peer=there)
    assert [one.address for one in server.peer("a").peer_addr] == [there[0]]
    # What it has announced is its own word, and stays.
    ask(server, connect("a", ("s", JOIN, LEECH)), peer=there)
    announced = server.peer("a").peer_addr
    ask(server, connect("a", ("t", JOIN, LEECH), peer_addr=()))
    ask(server, connect("a", ("u", JOIN, LEECH), peer_addr=()), peer=None)
    assert server.peer("a").peer_addr == announced


def test_a_peer_without_any_address_cannot_register():
    server = tracker()
    for source in (None, ("unix socket", 0)):
        answer = ask(server, connect("a", ("s", JOIN, LEECH), peer_addr=()), peer=source)
        assert answer.error_code == ErrorCode.BAD_REQUEST
    assert server.peer_count == 0


@pytest.mark.parametrize("address", ["0.0.0.0", "0.8.8.8", "::", "224.0.0.5", "ff02::1", "255.255.255.255"])
def test_an_address_that_no_peer_can_have_is_a_bad_request(address):
    server = tracker()
    answer = ask(server, connect("a", ("s", JOIN, LEECH), peer_addr=(PeerAddr(address, 5),)))
    assert answer.error_code == ErrorCode.BAD_REQUEST
    assert server.peer_count == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_a_loopback_address_is_for_peers_of_the_same_machine(address):
    """Else a stranger could make every peer of a swarm send to ports of its own machine."""
    loopback, elsewhere = PeerAddr(address, 53), PeerAddr("192.0.2.1", 7000)
    server = tracker()
    answer = ask(server, connect("a", ("s", JOIN, LEECH), peer_addr=(loopback,)), peer=("198.51.100.7", 5))
    assert answer.error_code == ErrorCode.BAD_REQUEST
    assert server.peer_count == 0
    # Who is behind a proxy that says nothing of use is not here.
    assert ask(server, connect("a", ("s", JOIN, LEECH), peer_addr=(loopback,)), peer=("unknown", 0)).error_code == 1
    ask(server, connect("b", ("s", JOIN, LEECH), peer_addr=(loopback, elsewhere)), peer=("198.51.100.7", 5))
    assert server.peer("b").peer_addr == (elsewhere,)
    for number, sender in enumerate((("127.0.0.1", 5), ("::1", 5), None)):
        ask(server, connect(f"c{number}", ("s", JOIN, LEECH), peer_addr=(loopback,)), peer=sender)
        assert server.peer(f"c{number}").peer_addr == (loopback,)


def test_the_requester_learns_its_public_address():
    """RFC 7846 sections 4.1.1, 4.1.2: with a REFLEXIVE type"""
    server = tracker()
    expected = PeerAddr("198.51.100.7", 43210, type=AddressType.REFLEXIVE)
    assert ask(server, connect("a", ("s", JOIN, LEECH))).peer_addr == expected
    assert ask(server, find("a", "s")).peer_addr == expected
    assert ask(server, report("a")).peer_addr is None


def test_a_peer_behind_a_dual_stack_socket_has_an_ipv4_address():
    server = tracker()
    answer = ask(server, connect("a", ("s", JOIN, LEECH)), peer=("::ffff:198.51.100.7", 5))
    assert answer.peer_addr.address == "198.51.100.7"


def test_a_peer_that_uses_stun_or_turn_is_not_told_its_address():
    """RFC 7846 section 4.1.1: in which case peer_addr SHOULD NOT present in the response"""
    server = tracker()
    gathered = (PeerAddr("10.0.0.1", 5), PeerAddr("198.51.100.7", 99, type=AddressType.REFLEXIVE))
    assert ask(server, connect("a", ("s", JOIN, LEECH), peer_addr=gathered)).peer_addr is None
    for ability in (AbilityNat.STUN, AbilityNat.TURN):
        assert ask(server, connect(ability.lower(), ("s", JOIN, LEECH), peer_num=PeerNum(1, ability))).peer_addr is None
    assert ask(server, connect("b", ("s", JOIN, LEECH), peer_num=PeerNum(1, AbilityNat.NO_NAT))).peer_addr


# -- statistics -------------------------------------------------------------------------------------------------------


def test_statistics_are_kept_with_the_peer_and_confirmed_without_a_group():
    """RFC 7846 sections 3.3.4, 4.1.3"""
    server = tracker()
    join(server, "a")
    answer = ask(server, report("a", stats()))
    assert [(one.swarm_id, one.result, one.peer_group) for one in answer.swarm_result] == [("s", 0, None)]
    assert server.peer("a").swarms["s"].stat == stats()


def test_statistics_of_a_swarm_that_the_peer_is_not_in_fail_by_themselves():
    server = tracker()
    join(server, "a")
    answer = ask(server, report("a", stats("elsewhere"), stats()))
    assert [one.result for one in answer.swarm_result] == [1, 0]


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


# -- peer selection ---------------------------------------------------------------------------------------------------


def crowd(size: int, **arguments: Any) -> TrackerServer:
    server = tracker(**arguments)
    for number in range(size):
        join(server, f"peer {number}")
    return server


def test_a_list_is_limited_by_peer_count_and_by_the_rfc():
    """RFC 7846 section 3.2.2: peer_count should be less than 30"""
    server = crowd(60)
    assert len(listed(ask(server, find("peer 0", "s", PeerNum(5))))) == 5
    assert len(listed(ask(server, find("peer 0", "s", PeerNum(10**6))))) == 29
    assert len(listed(ask(server, find("peer 0", "s")))) == 29
    assert listed(ask(server, find("peer 0", "s", PeerNum(0)))) == []


def test_the_default_is_a_random_sample_without_repetition():
    """RFC 7846 sections 4.1.1, 4.1.2, implementation notes"""
    server = crowd(40, random_bytes=random.Random(7).randbytes)
    seen: Counter[str] = Counter()
    for _ in range(600):
        names = listed(ask(server, find("peer 0", "s", PeerNum(10))))
        assert len(set(names)) == len(names) == 10
        seen.update(names)
    assert len(seen) == 39
    # 600 draws of 10 out of 39: 154 each on average, standard deviation 11.
    assert min(seen.values()) > 154 - 55
    assert max(seen.values()) < 154 + 55


def test_the_whole_swarm_is_listed_when_it_is_small():
    server = crowd(12)
    assert sorted(listed(ask(server, find("peer 3", "s")))) == sorted(f"peer {n}" for n in range(12) if n != 3)


def test_the_same_chance_gives_the_same_octets():
    first, second = crowd(50), crowd(50)
    request = find("peer 1", "s")
    assert post(first, request) == post(second, request)


def test_the_longest_answers_fit_what_a_client_reads():
    """A peer whose ID and addresses are as long as they can be, and take the most octets in JSON, spoils no list."""
    server = tracker()
    swarms = [(str(number), JOIN, SEEDER) for number in range(20)]
    for number in range(40):
        label = chr(1) * 32
        addresses = tuple(
            PeerAddr(
                "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff",
                60000 + n,
                2**64 - 1,
                AddressType.REFLEXIVE,
                Connection.WIRELESS,
                label,
                label,
            )
            for n in range(8)
        )
        ask(server, connect(f"{number:02}" + chr(1) * 254, *swarms, peer_addr=addresses))
    join(server, "a", "0")
    for message, peers in (
        (find("a", "0"), 29),
        (connect("a", *((swarm_id, JOIN, LEECH) for swarm_id, _, _ in swarms)), None),
    ):
        response = post(server, message)
        assert len(response.body) < MAX_RESPONSE
        results = parse_response(response.body).message.swarm_result
        assert peers is None or len({peer.peer_id for peer in results[0].peer_group}) == peers
        assert sum(len(one.peer_group or ()) for one in results) <= 290


def test_an_own_selector_decides_and_cannot_list_the_requester_twice_or_too_many():
    def by_port(members: Any, requester: Any, peer_num: Any, count: int) -> Any:
        assert requester.peer_id == "peer 2"
        assert (peer_num, count) == (PeerNum(3), 3)
        return sorted([*members, *members], key=lambda peer: peer.peer_id)

    server = tracker(select=by_port)
    for number in range(9):
        join(server, f"peer {number}", mode=SEEDER)
    assert listed(ask(server, find("peer 2", "s", PeerNum(3)))) == ["peer 0", "peer 1", "peer 3"]


def test_swarms_stay_consistent_when_peers_leave_in_any_order():
    server = crowd(30)
    for number in (29, 0, 13, 28, 1):
        ask(server, connect(f"peer {number}", ("s", LEAVE, LEECH)))
    assert {peer.peer_id for peer in server.peers("s")} == {f"peer {n}" for n in range(30)} - {
        f"peer {n}" for n in (29, 0, 13, 28, 1)
    }
    for peer in server.peers("s"):
        assert server.peers("s")[peer.swarms["s"].position] is peer


# -- limits -----------------------------------------------------------------------------------------------------------


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


# -- HTTP -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_only_post_is_a_method(method):
    """RFC 7846 section 2.2"""
    response = tracker().handle(Request(method, "/", HEADERS, encode(report("a"))), PEER, 0.0)
    assert (response.status, response.header("Allow")) == (405, "POST")
    assert parse_response(response.body).message.error_code == ErrorCode.BAD_REQUEST


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("content-type", "text/plain"),),
        (("content-type", "application/x-www-form-urlencoded"),),
        (("content-type", MEDIA_TYPE), ("content-encoding", "gzip")),
    ],
)
def test_another_media_type_is_unsupported(headers):
    """RFC 7846 section 4: application/ppsp-tracker+json MUST be indicated"""
    server = tracker()
    response = server.handle(Request("POST", "/", headers, encode(connect("a", ("s", JOIN, LEECH)))), PEER, 0.0)
    assert (response.status, response.header("accept")) == (415, MEDIA_TYPE)
    assert parse_response(response.body).message.error_code == ErrorCode.BAD_REQUEST
    assert server.peer_count == 0


@pytest.mark.parametrize("value", [MEDIA_TYPE, "application/PPSP-Tracker+JSON; charset=utf-8", "application/json"])
def test_the_media_type_of_the_rfc_and_plain_json_are_accepted(value):
    request = Request("POST", "/", (("CONTENT-TYPE", value),), encode(connect("a", ("s", JOIN, LEECH))))
    response = tracker().handle(request, PEER, 0.0)
    assert (response.status, response.header("content-type")) == (200, MEDIA_TYPE)


def test_a_malformed_body_is_error_01_with_status_400():
    """RFC 7846 section 4.3: MUST respond with a 01 error_code with an empty message-body"""
    response = post(tracker(), b'{"PPSPTrackerProtocol": {"transaction_id": "7"')
    assert response.status == 400
    assert json.loads(response.body) == {
        "PPSPTrackerProtocol": {"version": 1, "response_type": 1, "error_code": 1, "transaction_id": ""}
    }


def test_an_unknown_version_is_error_02():
    """RFC 7846 section 4.3: MUST respond with a 02 error_code with an empty message-body"""
    response = post(tracker(), b'{"PPSPTrackerProtocol": {"version": 2, "transaction_id": "7"}}')
    assert response.status == 200
    assert json.loads(response.body) == {
        "PPSPTrackerProtocol": {"version": 1, "response_type": 1, "error_code": 2, "transaction_id": "7"}
    }


def test_a_request_of_an_unregistered_peer_is_error_03():
    """RFC 7846 section 2.3.2 B"""
    for message in (find("nobody", "s"), report("nobody", stats()), report("nobody")):
        response = post(tracker(), message)
        assert response.status == 200
        assert parse_response(response.body).message.error_code == ErrorCode.FORBIDDEN_ACTION


def test_an_unexpected_failure_is_error_04():
    """RFC 7846 section 4.3"""
    server = tracker()
    request = Request("POST", "/", HEADERS, encode(find("a", "s")))
    response = server.internal_error(request)
    assert response.status == 500
    answer = parse_response(response.body).message
    assert answer.error_code == ErrorCode.INTERNAL_SERVER_ERROR
    assert answer.transaction_id == json.loads(request.body)["PPSPTrackerProtocol"]["transaction_id"]
    assert server.internal_error(Request("POST", "/", HEADERS, b"{")).status == 500


def test_a_request_that_needs_authentication_is_error_06_with_a_challenge():
    """RFC 7846 sections 2.3.2 B, 4.3, 6.1; RFC 9110 section 15.5.2 wants WWW-Authenticate"""
    seen = []

    def authenticate(request: Request, certificate: str | None, now: float) -> Verdict:
        seen.append((request.header("Authorization"), certificate, now))
        return Allowed("a") if request.header("Authorization") == "Bearer a" else Denied(('Bearer realm="swarms"',))

    server = tracker(authenticate=authenticate)
    for message in (connect("a", ("s", JOIN, LEECH)), find("a", "s"), report("a")):
        response = post(server, message)
        assert (response.status, response.header("WWW-Authenticate")) == (401, 'Bearer realm="swarms"')
        answer = parse_response(response.body).message
        assert (answer.error_code, answer.transaction_id) == (6, message.transaction_id)
    assert server.peer_count == 0
    headers = (*HEADERS, ("Authorization", "Bearer a"))
    message = connect("a", ("s", JOIN, LEECH))
    assert server.handle(Request("POST", "/", headers, encode(message)), PEER, 0.0).status == 200
    assert seen[-1] == ("Bearer a", None, 0.0)


def test_somebody_else_cannot_fetch_a_remembered_answer():
    server = tracker(
        authenticate=lambda request, _, now: Allowed() if request.header("Authorization") else Denied(("Bearer",))
    )
    body = encode(connect("a", ("s", JOIN, LEECH)))
    assert server.handle(Request("POST", "/", (*HEADERS, ("Authorization", "x")), body), PEER, 0.0).status == 200
    assert server.handle(Request("POST", "/", HEADERS, body), PEER, 0.0).status == 401


# -- the RFC's examples, and junk -------------------------------------------------------------------------------------


def test_the_session_of_the_rfc_s_examples_as_printed():
    """RFC 7846 sections 4.1.1.1, 4.1.2.1, 4.1.3.1"""
    server = tracker()

    def say(name: str) -> ResponseMessage:
        return parse_response(post(server, (EXAMPLES / f"{name}.rfc.txt").read_bytes()).body).message

    assert [one.result for one in say("connect_req_seeder").swarm_result] == [0, 0]
    joined = say("connect_req_leech")
    assert [(peer.peer_id, peer.peer_addr.address) for peer in joined.swarm_result[0].peer_group] == [
        ("656164657220", "192.0.2.2")
    ]
    assert listed(say("find_req"), "1111") == ["656164657220"]
    assert [(one.swarm_id, one.result) for one in say("stat_report_req").swarm_result] == [("1111", 0)]
    changed = say("connect_req_leave_join")
    assert [(one.swarm_id, one.result) for one in changed.swarm_result] == [("1111", 0), ("2222", 0)]
    assert listed(changed, "2222") == ["656164657220"]
    assert say("find_req").error_code == ErrorCode.FORBIDDEN_ACTION


@given(st.binary(max_size=300))
def test_any_octets_get_an_answer_of_the_protocol(body):
    """RFC 7846 section 4.3"""
    response = post(tracker(), body)
    assert parse_response(response.body).message.response_type is ResponseType.FAILED
    assert response.status == 400


@given(st.data())
def test_a_random_session_keeps_the_tracker_consistent(data):
    server = tracker(limits=Limits(peers=4, swarms=3, memberships=6, swarms_per_peer=2), track_timer=20.0)
    peers, swarms = st.sampled_from("abcdef"), st.sampled_from("stuv")
    now = 0.0
    for _ in range(data.draw(st.integers(1, 25))):
        now += data.draw(st.sampled_from([0.0, 1.0, 15.0]))
        kind = data.draw(st.sampled_from(["connect", "find", "report"]))
        who = data.draw(peers)
        if kind == "connect":
            actions = data.draw(
                st.lists(st.tuples(swarms, st.sampled_from(Action), st.sampled_from(PeerMode)), min_size=1, max_size=4)
            )
            message: RequestMessage = connect(who, *actions)
        elif kind == "find":
            message = find(who, data.draw(swarms))
        else:
            message = report(who, *(stats(data.draw(swarms)) for _ in range(data.draw(st.integers(0, 2)))))
        answer = ask(server, message, now)
        assert all(who != name for one in answer.swarm_result for name in listed(answer, one.swarm_id))
        assert server.peer_count <= 4
        assert server.swarm_count <= 3
        assert sum(len(server.peers(swarm)) for swarm in "stuv") <= 6
        for swarm in "stuv":
            for peer in server.peers(swarm):
                assert server.peer(peer.peer_id) is peer
                assert swarm in peer.swarms
        assert (server.state is TrackerState.INIT) == (server.peer_count == 0) == (server.get_timer() is None)
