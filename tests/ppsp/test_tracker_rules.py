"""What a tracker asks of peers beyond the RFC: whose a peer ID is, where a peer may be, and what operators are told."""

import itertools
import json
from typing import Any

import pytest

from ppsp.tracker import (
    MEDIA_TYPE,
    Action,
    Allowed,
    ConnectRequest,
    Denied,
    ErrorCode,
    FindRequest,
    Limits,
    PeerAddr,
    PeerMode,
    PeerNum,
    Request,
    RequestMessage,
    Response,
    Rules,
    StatReportRequest,
    StreamStats,
    SwarmAction,
    TrackerServer,
    encode,
    parse_response,
)

JOIN, LEAVE = Action.JOIN, Action.LEAVE
SEEDER, LEECH = PeerMode.SEEDER, PeerMode.LEECH
ALICE, MALLORY = "198.51.100.1", "203.0.113.66"
HEADERS = (("Content-Type", MEDIA_TYPE),)
_ids = itertools.count()


def connect(
    peer_id: str,
    action: Action = JOIN,
    mode: PeerMode = LEECH,
    addresses: tuple[PeerAddr, ...] = (PeerAddr("10.0.0.1", 80),),
    swarm_id: str = "s",
) -> ConnectRequest:
    actions = (SwarmAction(swarm_id, action, mode),)
    return ConnectRequest(f"t{next(_ids)}", peer_id, actions, PeerNum(29), addresses)


def post(server: TrackerServer, message: RequestMessage, host: str = ALICE, now: float = 0.0, **more: Any) -> Response:
    return server.handle(Request("POST", "/", HEADERS, encode(message)), (host, 9), now, **more)


def code(server: TrackerServer, message: RequestMessage, host: str = ALICE, now: float = 0.0, **more: Any) -> int:
    return int(parse_response(post(server, message, host, now, **more).body).message.error_code)


def squats(peer_id: str) -> list[RequestMessage]:
    """What somebody who has read a peer ID in a list may do with it."""
    return [
        connect(peer_id, LEAVE),
        connect(peer_id, addresses=(PeerAddr("192.0.2.66", 80),)),
        FindRequest("9", peer_id, "s"),
        StatReportRequest("9", peer_id, (StreamStats("s", 2**64 - 1),)),
        StatReportRequest("9", peer_id),
    ]


@pytest.mark.parametrize("number", range(5))
def test_a_peer_id_in_use_belongs_to_the_address_that_registered_it(number):
    server = TrackerServer(rules=Rules(hold_ids=True))
    joining = connect("alice")
    assert code(server, joining) == 0
    before = server.peer("alice").peer_addr
    assert code(server, squats("alice")[number], MALLORY, 10.0) == ErrorCode.FORBIDDEN_ACTION
    # Not even the answer to what she said before, word by word.
    assert code(server, joining, MALLORY, 10.0) == ErrorCode.FORBIDDEN_ACTION
    peer = server.peer("alice")
    assert (peer.peer_addr, set(peer.swarms), peer.swarms["s"].stat) == (before, {"s"}, None)
    # Nor does it count as a sign of life.
    assert server.get_timer() == 180.0
    assert code(server, squats("alice")[number], ALICE, 10.0) == 0


def test_a_peer_id_is_free_again_when_its_peer_has_left_or_was_silent():
    server = TrackerServer(rules=Rules(hold_ids=True))
    assert code(server, connect("alice")) == 0
    assert code(server, connect("alice", LEAVE)) == 0
    assert code(server, connect("alice"), MALLORY) == 0
    assert code(server, connect("alice"), ALICE, 179.0) == ErrorCode.FORBIDDEN_ACTION
    assert code(server, connect("alice"), ALICE, 180.0) == 0


def test_a_temporary_address_of_the_same_64_is_the_same_host():
    """RFC 8981: a peer comes by a new one every day, and by several in between"""
    server = TrackerServer(rules=Rules(hold_ids=True))
    assert code(server, connect("alice"), "2001:db8::1") == 0
    assert code(server, FindRequest("1", "alice", "s"), "2001:db8::5a5a:1") == 0
    assert code(server, FindRequest("1", "alice", "s"), "2001:db8:0:1::1") == ErrorCode.FORBIDDEN_ACTION


def test_by_default_a_peer_may_move():
    server = TrackerServer()
    assert code(server, connect("alice")) == 0
    assert code(server, FindRequest("1", "alice", "s"), MALLORY) == 0


def test_a_name_that_was_proven_holds_a_peer_id_wherever_it_comes_from():
    server = TrackerServer(
        authenticate=lambda request, certificate, now: Allowed(certificate) if certificate else Denied(()),
        rules=Rules(hold_ids=True),
    )
    assert code(server, connect("alice"), certificate="CN=alice") == 0
    assert code(server, FindRequest("1", "alice", "s"), MALLORY, certificate="CN=alice") == 0
    assert code(server, FindRequest("1", "alice", "s"), ALICE, certificate="CN=mallory") == ErrorCode.FORBIDDEN_ACTION
    response = post(server, FindRequest("1", "alice", "s"))
    assert (response.status, response.header("WWW-Authenticate")) == (403, None)
    assert parse_response(response.body).message.error_code == ErrorCode.AUTHENTICATION_REQUIRED


def listed(server: TrackerServer) -> set[str]:
    body = post(server, connect("viewer", swarm_id="s"), "192.0.2.99").body
    group = parse_response(body).message.swarm_result[0].peer_group or ()
    return {one.peer_addr.address for one in group}


def test_a_peer_cannot_point_a_swarm_at_a_victim():
    """RFC 7846 section 6: a tracker's lists are not to be a weapon"""
    victim = PeerAddr("8.8.8.8", 53)
    server = TrackerServer(rules=Rules(own_addresses=True))
    assert code(server, connect("mallory", addresses=(victim,)), MALLORY) == ErrorCode.FORBIDDEN_ACTION
    assert server.peer_count == 0
    own, home = PeerAddr(MALLORY, 80), PeerAddr("192.168.1.5", 80)
    assert code(server, connect("mallory", addresses=(victim, own, home)), MALLORY) == 0
    assert listed(server) == {MALLORY, "192.168.1.5"}


@pytest.mark.parametrize("address", ["2002:808:808::1", "2001:0:808:808::1", "64:ff9b::808:808"])
def test_nor_by_an_address_that_a_gateway_takes_to_one(address):
    """6to4, Teredo and NAT64 are ways to 8.8.8.8 and to others, and no private networks"""
    server = TrackerServer(rules=Rules(own_addresses=True))
    assert code(server, connect("mallory", addresses=(PeerAddr(address, 53),)), MALLORY) == ErrorCode.FORBIDDEN_ACTION


def test_by_default_a_peer_is_where_it_says():
    server = TrackerServer()
    assert code(server, connect("relayed", addresses=(PeerAddr("8.8.8.8", 53),)), MALLORY) == 0
    assert listed(server) == {"8.8.8.8"}


def get(server: TrackerServer, target: str = "/stats", method: str = "GET", **more: Any) -> Response:
    return server.handle(Request(method, target), (ALICE, 9), 0.0, **more)


def test_an_operator_is_told_counts_and_never_who_a_peer_is():
    """RFC 6972: OAM requirements"""
    server = TrackerServer(has_statistics=True, limits=Limits(peers=3))
    for name, mode in (("alice", SEEDER), ("bob", LEECH), ("carol", LEECH)):
        code(server, connect(name, mode=mode))
    code(server, connect("bob", mode=SEEDER))
    code(server, connect("alice", mode=LEECH, swarm_id="other"))
    code(server, connect("dave"))
    code(server, FindRequest("1", "nobody", "s"))
    code(server, StatReportRequest("1", "alice"))
    server.handle(Request("POST", "/", HEADERS, b"{"), (ALICE, 9), 0.0)
    response = get(server)
    assert (response.status, response.header("Content-Type")) == (200, "application/json")
    told = json.loads(response.body)
    assert told == server.statistics()
    assert told == {
        "state": "STARTED",
        "peers": 3,
        "swarms": 2,
        "memberships": 4,
        "requests": {"CONNECT": 6, "FIND": 1, "STAT_REPORT": 1},
        "errors": {"03": 1, "05": 1},
        "statuses": {"400": 1, "503": 1},
        "largest_swarms": [
            {"swarm_id": "s", "seeders": 2, "leeches": 1},
            {"swarm_id": "other", "seeders": 0, "leeches": 1},
        ],
    }
    for secret in ("alice", "10.0.0.1", ALICE):
        assert secret.encode() not in response.body
    code(server, connect("alice", LEAVE, SEEDER))
    code(server, connect("bob", LEAVE, SEEDER))
    assert server.statistics()["largest_swarms"][0]["seeders"] == 0


def test_statistics_are_for_who_is_let_in_and_where_they_are_wanted():
    assert get(TrackerServer()).status == 405
    assert get(TrackerServer(has_statistics=True), "/").status == 405
    assert get(TrackerServer(has_statistics=True), method="HEAD").status == 200
    denied = TrackerServer(has_statistics=True, authenticate=lambda request, certificate, now: Denied(("Bearer",)))
    response = get(denied)
    assert (response.status, response.header("WWW-Authenticate"), response.body) == (401, "Bearer", b"")


def test_a_challenge_comes_before_the_message_is_looked_at():
    """curl --digest asks for the challenge with an empty body"""
    server = TrackerServer(authenticate=lambda request, certificate, now: Denied(("Digest",)))
    response = server.handle(Request("POST", "/", HEADERS, b""), (ALICE, 9), 0.0)
    assert response.status == 401
    assert parse_response(response.body).message.error_code == ErrorCode.AUTHENTICATION_REQUIRED
