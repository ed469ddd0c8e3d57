"""Requests that a tracker is given together: each is answered as if it had come alone, and the store is asked once."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from ppsp.tracker import (
    MEDIA_TYPE,
    Action,
    Asked,
    ConnectRequest,
    Denied,
    ErrorCode,
    FindRequest,
    Incoming,
    PeerAddr,
    PeerMode,
    PeerNum,
    RegisteredPeer,
    Request,
    RequestMessage,
    Response,
    ResponseMessage,
    StatReportRequest,
    StoreUnavailableError,
    SwarmAction,
    TrackerServer,
    encode,
    parse_response,
)
from ppsp.tracker.registry import MemoryRegistry

JOIN, LEAVE = Action.JOIN, Action.LEAVE
_ids = itertools.count()


def connect(peer_id: str, action: Action = JOIN, swarm_id: str = "s") -> ConnectRequest:
    actions = (SwarmAction(swarm_id, action, PeerMode.LEECH),)
    return ConnectRequest(f"t{next(_ids)}", peer_id, actions, PeerNum(29), (PeerAddr("10.0.0.1", 80),))


def given(message: RequestMessage) -> Incoming:
    return Incoming(Request("POST", "/", (("Content-Type", MEDIA_TYPE),), encode(message)), ("198.51.100.1", 9))


def read(answer: Response | Exception) -> ResponseMessage:
    assert isinstance(answer, Response)
    return parse_response(answer.body).message


class Watched(MemoryRegistry):
    """Says who was asked about at once; `fails` is raised, or stands in place of that peer's transaction or commit."""

    def __init__(self) -> None:
        super().__init__(init_timer=30.0, track_timer=180.0, epoch=0.0)
        self.begun: list[list[str]] = []
        self.fails: dict[str, str] = {}

    def begin(self, asked: Sequence[Asked], now: float) -> Any:
        self.begun.append([one.message.peer_id for one in asked])
        if "all" in self.fails:
            raise StoreUnavailableError("away")
        found: list[Any] = list(super().begin(asked, now))
        return [
            StoreUnavailableError("one") if self.fails.get(one.message.peer_id) == "begin" else transaction
            for one, transaction in zip(asked, found, strict=True)
        ]

    def commit(self, done: Any, most: Any, now: float) -> Any:
        found: list[Any] = list(super().commit(done, most, now))
        return [
            StoreUnavailableError("one") if self.fails.get(one.asked.message.peer_id) == "commit" else counts
            for (one, _), counts in zip(done, found, strict=True)
        ]


def test_answers_come_in_the_order_of_the_requests_and_the_store_is_asked_once():
    registry = Watched()
    server = TrackerServer(registry=registry)
    messages = [connect(name) for name in "abcd"]
    answers = server.handle_all(
        [given(messages[0]), Incoming(Request("GET", "/"), None), *map(given, messages[1:])], 0.0
    )
    assert [one.transaction_id for one in map(read, answers)] == [
        messages[0].transaction_id,
        "",
        *(one.transaction_id for one in messages[1:]),
    ]
    assert registry.begun == [["a", "b", "c", "d"]]
    assert server.peer_count == 4
    assert server.handle_all([], 0.0) == []


def test_the_requests_of_one_peer_take_effect_in_their_order():
    """RFC 7846 section 2.3: what a FIND is answered depends on the CONNECT before it"""
    registry = Watched()
    server = TrackerServer(registry=registry)
    order = [
        connect("a"),
        connect("b"),
        FindRequest("f", "a", "s"),
        connect("a", LEAVE),
        FindRequest("g", "a", "s"),
        connect("b", swarm_id="t"),
    ]
    answers = [read(one).error_code for one in server.handle_all(list(map(given, order)), 0.0)]
    assert answers == [0, 0, 0, 0, ErrorCode.FORBIDDEN_ACTION, 0]
    assert [sorted(one) for one in registry.begun] == [["a", "b"], ["a", "b"], ["a"], ["a"]]
    assert server.peer("a") is None


def test_a_request_that_comes_twice_at_once_is_carried_out_once():
    """RFC 7846 section 4.3"""
    server = TrackerServer()
    joining = connect("a")
    first, second = server.handle_all([given(joining), given(joining)], 0.0)
    assert first == second
    assert server.peer("a").changes == 1


def test_what_fails_for_one_harms_none_of_the_others():
    def select(members: Any, requester: RegisteredPeer, *_: Any) -> Any:
        if requester.peer_id == "b":
            raise LookupError("a bug")
        return members

    server = TrackerServer(select=select)
    assert read(server.handle(given(connect("z")).request, None, 0.0)).error_code == 0
    answers = server.handle_all([given(connect(name)) for name in "abc"], 0.0)
    assert [isinstance(one, LookupError) for one in answers] == [False, True, False]
    assert [read(answers[at]).error_code for at in (0, 2)] == [0, 0]
    with pytest.raises(LookupError, match="a bug"):
        server.handle(given(connect("b")).request, None, 0.0)


def test_an_authenticator_that_fails_harms_one_request():
    def authenticate(request: Request, certificate: str | None, now: float) -> Denied:
        if certificate is not None:
            raise LookupError(certificate)
        return Denied(("Basic",))

    server = TrackerServer(authenticate=authenticate)
    first, second = server.handle_all([Incoming(given(connect("a")).request, None, "x"), given(connect("b"))], 0.0)
    assert isinstance(first, LookupError)
    assert read(second).error_code == ErrorCode.AUTHENTICATION_REQUIRED


@pytest.mark.parametrize("when", ["begin", "commit"])
def test_a_store_that_fails_for_one_harms_none_of_the_others(when):
    registry = Watched()
    registry.fails["b"] = when
    server = TrackerServer(registry=registry)
    answers = server.handle_all([given(connect(name)) for name in "abc"], 0.0)
    assert [read(one).error_code for one in answers] == [0, ErrorCode.SERVICE_UNAVAILABLE, 0]
    assert answers[1].header("Retry-After") == "5"


def test_a_store_that_is_away_is_so_for_all():
    registry = Watched()
    registry.fails["all"] = "begin"
    server = TrackerServer(registry=registry)
    answers = server.handle_all([given(connect("a")), given(StatReportRequest("1", "b"))], 0.0)
    assert [(one.status, one.header("Retry-After")) for one in answers] == [(503, "5")] * 2
