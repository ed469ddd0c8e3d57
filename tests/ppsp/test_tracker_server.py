"""The PPSTP tracker: every state times every request, every error, whatever the body."""

import itertools
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ppstp_server import (
    EXAMPLES,
    HEADERS,
    JOIN,
    LEAVE,
    LEECH,
    PEER,
    SEEDER,
    Broken,
    ask,
    connect,
    find,
    join,
    listed,
    post,
    report,
    stats,
    tracker,
)

from ppsp.tracker import (
    MEDIA_TYPE,
    Action,
    Allowed,
    Denied,
    ErrorCode,
    Limits,
    PeerMode,
    Request,
    RequestMessage,
    ResponseMessage,
    ResponseType,
    TrackerServer,
    TrackerState,
    Verdict,
    encode,
    parse_response,
)

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
