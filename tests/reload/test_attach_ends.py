"""Attaches that are refused or end, and every verb in every state (RFC 6940 sections 6.5.1 and 6.5.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reload_attaching import LARGE, OTHER, SIP, SMALL, Side, assert_idle, candidates, identity

from reload.attach import CONNECTING_TIMEOUT, GATHERING_TIMEOUT, MAX_INCOMING, MAX_INCOMING_OF_NODE, State
from reload.contents import ErrorCode, ErrorResponse
from reload.destinations import ResourceDestination
from reload.errors import SecurityError, StateError
from reload.events import CandidatesWanted, ConnectionWanted, Role
from reload.exchange import Answer, Failure, Request
from reload.methods import AppAttachReq, AttachReqAns, OverlayLinkType


def test_one_node_has_so_many_attaches_answered_at_a_time() -> None:
    a, b = Side(SMALL), Side(LARGE)
    for number in range(MAX_INCOMING_OF_NODE + 1):
        b.ask(ResourceDestination(bytes([number]) * 16))
        reply = a.receive(b.request())
        assert (None if reply is None else reply.error_code) == (  # type: ignore[union-attr]
            ErrorCode.IN_PROGRESS if number == MAX_INCOMING_OF_NODE else None
        )


def test_an_attach_received_once_more_is_answered_alike() -> None:
    a, b = Side(SMALL), Side(LARGE)
    b.ask(SMALL)
    request = b.request()
    assert a.receive(request) is None
    assert a.receive(request) is None
    a.gather()
    assert a.receive(request) == a.host.answers[-1][1]
    assert len(a.host.answers) == len(a.attaches) == 1


def test_an_unknown_application_is_not_found() -> None:
    a, b = Side(SMALL), Side(LARGE)
    a.ask(LARGE, application=5061)
    reply = b.receive(a.request())
    assert isinstance(reply, ErrorResponse)
    assert reply.error_code == ErrorCode.NOT_FOUND
    assert_idle(b)


def test_attaches_for_applications_are_apart_from_those_for_links() -> None:
    a, b = Side(LARGE), Side(SMALL)
    a.ask(SMALL)
    b.ask(LARGE, application=SIP)
    assert a.receive(b.request()) is None
    assert len(a.attaches) == 2


@pytest.mark.parametrize(
    "body",
    [
        AttachReqAns(b"", b"", b"active", candidates(1).candidates),
        AttachReqAns(b"", b"", b"actpass", candidates(1).candidates),
        AttachReqAns(b"", b"", b"", candidates(1).candidates),
        AttachReqAns(b"", b"", b"passive", ()),
        AppAttachReq(b"", b"", SIP, b"active", candidates(1).candidates),
    ],
)
def test_what_cannot_be_connected_to_is_refused(body: AttachReqAns | AppAttachReq) -> None:
    a, b = Side(SMALL), Side(LARGE)
    a.ask(LARGE)
    reply = b.receive(attrs.evolve(a.request(), body=body))
    assert isinstance(reply, ErrorResponse)
    assert reply.error_code == ErrorCode.INVALID_MESSAGE
    assert_idle(b)


def test_an_app_attach_may_leave_the_role_to_its_answerer() -> None:
    a, b = Side(SMALL), Side(LARGE)
    a.ask(LARGE, application=SIP)
    request = a.request()
    assert b.receive(attrs.evolve(request, body=attrs.evolve(request.body, role=b"actpass"))) is None
    b.gather()
    assert b.host.wanted(ConnectionWanted).role is Role.ACTIVE


def test_an_attach_of_the_node_itself_is_forbidden() -> None:
    a = Side(SMALL)
    a.ask(ResourceDestination(b"r" * 16))
    reply = a.receive(a.request())
    assert isinstance(reply, ErrorResponse)
    assert reply.error_code == ErrorCode.FORBIDDEN


@pytest.mark.parametrize(
    ("by", "body"),
    [
        (LARGE, AttachReqAns(b"", b"", b"passive", candidates(1).candidates)),
        (LARGE, AttachReqAns(b"", b"", b"active", candidates(1, OverlayLinkType.DTLS_UDP_SR).candidates)),
        (LARGE, AppAttachReq(b"", b"", SIP, b"active", candidates(1).candidates)),
        (SMALL, AttachReqAns(b"", b"", b"active", candidates(1).candidates)),
    ],
)
def test_an_answer_that_no_connection_can_come_of_ends_the_attach(by: bytes, body: Any) -> None:
    a = Side(SMALL)
    attach = a.ask(ResourceDestination(b"r" * 16))
    a.told(Answer(body), by)
    (ended,) = a.ended()
    assert (ended.attach, ended.peer) == (attach, None)
    assert a.abandoned == [attach]
    assert_idle(a)


def test_an_answer_for_another_application_ends_the_attach() -> None:
    a = Side(SMALL)
    a.ask(LARGE, application=SIP)
    a.told(Answer(AppAttachReq(b"", b"", 5061, b"active", candidates(1).candidates)), LARGE)
    (ended,) = a.ended()
    assert "application 5061" in ended.reason


@pytest.mark.parametrize("requester", [True, False])
def test_a_connection_to_another_node_than_that_of_the_attach_is_refused(requester: bool) -> None:
    a, b = Side(SMALL), Side(LARGE)
    attach = a.ask(LARGE)
    b.receive(a.request())
    incoming = b.gather()
    a.answered(b)
    side, number = (a, attach) if requester else (b, incoming)
    with pytest.raises(SecurityError):
        side.attaches.established(number, identity(OTHER), 1.0)
    with pytest.raises(StateError):
        side.attaches.established(number, identity(LARGE if requester else SMALL), 1.0)
    assert [ended.peer for ended in side.ended()] == ([None] if requester else [])
    assert_idle(side)


def test_the_node_id_of_the_attach_may_be_any_of_the_certificate() -> None:
    a, b = Side(SMALL), Side(LARGE)
    attach = a.ask(LARGE)
    b.receive(a.request())
    b.gather()
    a.answered(b)
    assert a.attaches.established(attach, identity(OTHER, LARGE), 1.0).peer == LARGE


@pytest.mark.parametrize("code", [ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND])
def test_an_error_ends_the_attach(code: ErrorCode) -> None:
    a = Side(SMALL)
    attach = a.ask(LARGE)
    a.told(ErrorResponse(code), LARGE)
    (ended,) = a.ended()
    assert (ended.attach, ended.error) == (attach, ErrorResponse(code))
    assert a.abandoned == [attach]
    assert_idle(a)


def test_a_request_that_nobody_answers_ends_the_attach() -> None:
    a = Side(SMALL)
    a.ask(LARGE)
    (number,) = a.host.sent
    del a.host.sent[number]
    a.attaches.on_outcome(Failure(number, reason="no answer"), 15.0)
    assert [ended.reason for ended in a.ended()] == ["no answer"]
    assert_idle(a)


def test_attaches_that_take_too_long_end() -> None:
    a, b = Side(SMALL), Side(LARGE)
    attach = a.begin(LARGE)
    a.attaches.handle_timer(GATHERING_TIMEOUT - 0.1)
    assert len(a.attaches) == 1
    a.attaches.handle_timer(GATHERING_TIMEOUT)
    assert a.abandoned == [attach]
    a.host.events.clear()
    attach = a.ask(LARGE, 20.0)
    b.receive(a.request(), 20.0)
    b.attaches.handle_timer(20.0 + GATHERING_TIMEOUT)
    ((_, reply),) = b.host.answers
    assert isinstance(reply, ErrorResponse)
    b.host.events.clear()
    again = a.request()
    b.receive(again, 40.0)
    incoming = b.gather(40.0)
    a.answered(b, 40.0)
    for side, number in ((a, attach), (b, incoming)):
        assert side.attaches.get_timer() == 40.0 + CONNECTING_TIMEOUT
        side.attaches.handle_timer(40.0 + CONNECTING_TIMEOUT)
        assert side.abandoned == [number]
        assert_idle(side)
    assert len(a.ended()) == 2


def test_a_driver_without_candidates_has_the_request_refused() -> None:
    a, b = Side(SMALL), Side(LARGE)
    a.ask(LARGE)
    b.receive(a.request())
    b.attaches.failed(b.host.wanted(CandidatesWanted).attach, 0.0)
    ((_, reply),) = b.host.answers
    assert isinstance(reply, ErrorResponse)
    assert_idle(b)


def test_so_many_attaches_of_others_are_answered_at_a_time() -> None:
    a, b = Side(SMALL), Side(LARGE)
    a.ask(LARGE)
    request = a.request()

    def of(number: int) -> Request:
        hop = bytes([number % 2]) * 16
        return attrs.evolve(request, identity=identity(number.to_bytes(16, "big")), previous_hop=hop)

    for number in range(1, MAX_INCOMING + 1):
        assert b.receive(of(number)) is None
    assert isinstance(b.receive(of(MAX_INCOMING + 1)), ErrorResponse)
    assert len(b.attaches) == MAX_INCOMING
    b.attaches.failed(1, 0.0)
    assert b.receive(of(MAX_INCOMING + 1)) is None


def test_a_request_whose_attach_has_ended_before_it_is_sent_is_withdrawn() -> None:
    a = Side(SMALL)
    attach = a.begin(LARGE)
    a.host.events.clear()
    a.attaches.provide_candidates(attach, candidates(1), 1.0)
    a.attaches.failed(attach, 1.0)
    assert a.host.cancelled == [1001]
    assert_idle(a)


def test_all_attaches_end_when_the_node_leaves() -> None:
    a, b = Side(LARGE), Side(SMALL)
    b.ask(LARGE)
    a.receive(b.request())
    a.begin(SMALL)
    a.gather()
    a.begin(OTHER)
    c = Side(b"\x33" * 16)
    c.ask(LARGE)
    a.receive(c.request())
    a.attaches.abandon_all(1.0)
    assert [ended.peer for ended in a.ended()] == [None, None]
    assert_idle(a)


@pytest.mark.parametrize(
    "begin",
    [lambda a: a.attaches.begin([], 0.0), lambda a: a.begin(SMALL)],
    ids=["to nobody", "to itself"],
)
def test_an_attach_to_nobody_else_is_misused(begin: Callable[[Side], int]) -> None:
    a = Side(SMALL)
    with pytest.raises(StateError):
        begin(a)
    assert_idle(a)


def _in_state(state: State) -> tuple[Side, int]:
    """A node with an Attach in this state, with LARGE."""
    a, b = Side(SMALL), Side(LARGE)
    if state is State.ANSWERING:
        b.ask(SMALL)
        a.receive(b.request())
        return a, 1
    attach = a.begin(LARGE)
    if state is not State.GATHERING:
        a.gather()
    if state is State.FOLLOWING:
        return a, a.begin(LARGE)
    if state is State.AWAITING:
        a.told(ErrorResponse(ErrorCode.IN_PROGRESS), LARGE)
    if state is State.CONNECTING:
        b.receive(a.request())
        b.gather()
        a.answered(b)
    return a, attach


VERBS: dict[str, Callable[[Side, int], object]] = {
    "candidates": lambda a, attach: a.attaches.provide_candidates(attach, candidates(1), 1.0),
    "established": lambda a, attach: a.attaches.established(attach, identity(LARGE), 1.0),
    "failed": lambda a, attach: a.attaches.failed(attach, 1.0),
}
ALLOWED = {
    "candidates": {State.GATHERING, State.ANSWERING},
    "established": {State.CONNECTING},
    "failed": {State.GATHERING, State.ASKED, State.ANSWERING, State.CONNECTING},
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_in_each_state_works_or_changes_nothing(state: State, verb: str) -> None:
    a, attach = _in_state(state)
    before = list(a.host.events), len(a.attaches), a.attaches.get_timer()
    if state in ALLOWED[verb]:
        VERBS[verb](a, attach)
    else:
        with pytest.raises(StateError):
            VERBS[verb](a, attach)
        assert (list(a.host.events), len(a.attaches), a.attaches.get_timer()) == before


@pytest.mark.parametrize("state", State)
def test_a_peer_s_attach_in_each_state_is_answered_by_the_rule(state: State) -> None:
    a, _ = _in_state(state)
    b = Side(LARGE)
    b.host.number = 5000
    b.ask(SMALL)
    reply = a.receive(b.request())
    assert reply == (ErrorResponse(ErrorCode.IN_PROGRESS) if state is State.CONNECTING else None)


@given(st.lists(st.tuples(st.sampled_from("abcdefghij"), st.integers(0, 8), st.booleans()), max_size=40))
def test_whatever_happens_in_whatever_order_everything_ends(inputs: list[tuple[str, int, bool]]) -> None:
    a = Side(b"\x77" * 16)
    peers = [Side(SMALL), Side(LARGE)]
    begun: set[int] = set()
    now = 0.0
    for verb, number, flag in inputs:
        peer, now = peers[flag], now + number / 4
        try:
            match verb:
                case "a":
                    begun.add(a.begin(peer.node_id, now, send_update=number > 4))
                case "b":
                    begun.add(a.begin(ResourceDestination(b"r" * 16), now))
                case "c":
                    again = Side(peer.node_id)
                    again.host.number = 1000 + number
                    again.ask(a.node_id)
                    a.receive(again.request(), now)
                case "d":
                    a.attaches.provide_candidates(number, candidates(1), now)
                case "e":
                    a.attaches.established(number, identity(peer.node_id), now)
                case "f":
                    a.attaches.failed(number, now)
                case "g" if a.host.sent:
                    body = AttachReqAns(b"", b"", b"active", candidates(1).candidates, flag)
                    a.told(Answer(body), peer.node_id, now)
                case "h" if a.host.sent:
                    a.told(ErrorResponse(ErrorCode.IN_PROGRESS if number % 2 else ErrorCode.FORBIDDEN), peer.node_id)
                case "i":
                    a.attaches.handle_timer(now)
                case "j":
                    a.attaches.abandon_all(now)
        except (StateError, SecurityError):
            pass
    while a.host.sent:
        a.told(ErrorResponse(ErrorCode.NOT_FOUND), LARGE, now)
    while (timer := a.attaches.get_timer()) is not None:
        a.attaches.handle_timer(timer)
    ended = a.ended()
    assert sorted(each.attach for each in ended) == sorted(begun)
    assert_idle(a)
