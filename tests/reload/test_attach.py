"""Attach and AppAttach (RFC 6940 sections 6.5.1 and 6.5.2)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, permutations
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reload.addresses import IpAddressPort, IPv4AddrPort
from reload.attach import (
    AWAITING_TIMEOUT,
    CONNECTING_TIMEOUT,
    GATHERING_TIMEOUT,
    MAX_INCOMING,
    MAX_INCOMING_OF_NODE,
    Attaches,
    State,
)
from reload.attach_steps import Ask, AttachEnded, Established, Tell, Withdraw
from reload.configuration import Configuration
from reload.contents import ErrorCode, ErrorResponse, MessageCode
from reload.destinations import Destination, NodeDestination, ResourceDestination
from reload.errors import SecurityError, StateError
from reload.events import Candidates, CandidatesWanted, ConnectionAbandoned, ConnectionWanted, Event, Role
from reload.exchange import Answer, Failure, Outcome, Reply, Request, Response
from reload.header import ForwardingHeader
from reload.methods import AppAttachReq, AttachReqAns, CandType, IceCandidate, OverlayLinkType
from reload.ports import Identity

SMALL, LARGE, OTHER = b"\x01" * 16, b"\xee" * 16, b"\x77" * 16
CONFIGURATION = Configuration("overlay.example.org", 1, 1e12, no_ice=True)
SIP = 5060


def identity(node_id: bytes, *more: bytes) -> Identity:
    return Identity(node_id, (node_id, *more), None, b"certificate of " + node_id)


def candidates(host: int, link: int = OverlayLinkType.DTLS_UDP_SR_NO_ICE) -> Candidates:
    address = IpAddressPort(1, IPv4AddrPort(bytes((192, 0, 2, host)), 6084))
    return Candidates(b"", b"", (IceCandidate(address, link, b"1", 1, CandType.HOST),))


@attrs.define
class FakeHost:
    """A node without anything around it: it does what the steps say, and the test carries what is sent."""

    sent: dict[int, Ask] = attrs.Factory(dict)
    cancelled: list[int] = attrs.Factory(list)
    answers: list[tuple[Request, Reply]] = attrs.Factory(list)
    events: list[Event] = attrs.Factory(list)
    ended: list[AttachEnded] = attrs.Factory(list)
    number: int = 1000

    def take(self, attaches: Attaches) -> None:
        while (step := attaches.next_step()) is not None:
            match step:
                case Ask():
                    self.number += 1
                    self.sent[self.number] = step
                    attaches.asked(step.attach, self.number)
                case Withdraw():
                    del self.sent[step.transaction]
                    self.cancelled.append(step.transaction)
                case Tell():
                    self.answers.append((step.request, step.reply))
                case AttachEnded():
                    self.ended.append(step)
                case _:
                    self.events.append(step)

    def wanted(self, kind: type[Event]) -> Any:
        """The only event of this kind, taken."""
        (found,) = [event for event in self.events if isinstance(event, kind)]
        self.events.remove(found)
        return found


class Side:
    """A node that attaches, with its test in the place of driver and network."""

    def __init__(self, node_id: bytes) -> None:
        self.attaches = Attaches(node_id, CONFIGURATION, count(1), applications={SIP})
        self.node_id = node_id
        self._host = FakeHost()

    @property
    def host(self) -> FakeHost:
        """After it has done what there is to do."""
        self._host.take(self.attaches)
        return self._host

    def begin(self, to: bytes | Destination, now: float = 0.0, **kwargs: Any) -> int:
        destination = NodeDestination(to) if isinstance(to, bytes) else to
        return self.attaches.begin([destination], now, **kwargs)

    def gather(self, now: float = 0.0) -> int:
        """Give candidates to the Attach that asks for them."""
        attach: int = self.host.wanted(CandidatesWanted).attach
        self.attaches.provide_candidates(attach, candidates(self.node_id[0] % 200 + 1), now)
        return attach

    def ask(self, to: bytes | Destination, now: float = 0.0, **kwargs: Any) -> int:
        attach = self.begin(to, now, **kwargs)
        assert self.gather(now) == attach
        return attach

    def request(self, transaction: int | None = None) -> Request:
        """What is sent, as it arrives."""
        number = max(self.host.sent) if transaction is None else transaction
        ask = self.host.sent[number]
        header = ForwardingHeader(1, number << 8 | self.node_id[0], ask.destination_list)
        return Request(ask.message_code, ask.body, identity(self.node_id), header, 1, OTHER)

    def receive(self, request: Request, now: float = 0.0) -> Reply | None:
        return self.attaches.on_request(request, now)

    def answered(self, by: Side, now: float = 0.0) -> None:
        """The last answer of `by` arrives."""
        request, reply = by.host.answers[-1]
        self.told(reply, by.node_id, now, transaction=request.header.transaction_id >> 8)

    def told(self, reply: Reply, by: bytes, now: float = 0.0, transaction: int | None = None) -> None:
        number = max(self.host.sent) if transaction is None else transaction
        code = self.host.sent.pop(number).message_code
        outcome: Outcome
        if isinstance(reply, Answer):
            header = ForwardingHeader(1, number, (NodeDestination(self.node_id),))
            outcome = Response(number, code + 1, reply.body, identity(by), header)
        else:
            outcome = Failure(number, reply, identity(by))
        self.attaches.on_outcome(outcome, now)

    def ended(self) -> list[AttachEnded]:
        ended, self.host.ended = self.host.ended, []
        return ended

    @property
    def abandoned(self) -> list[int]:
        return [event.attach for event in self.host.events if isinstance(event, ConnectionAbandoned)]


def assert_idle(*sides: Side) -> None:
    for side in sides:
        assert (len(side.attaches), side.attaches.get_timer(), side.host.sent) == (0, None, {})


@pytest.mark.parametrize("application", [None, SIP])
def test_two_nodes_attach(application: int | None) -> None:
    a, b = Side(SMALL), Side(LARGE)
    attach = a.ask(LARGE, send_update=application is None, application=application)
    request = a.request()
    assert b.receive(request) is None
    incoming = b.gather(1.0)
    (_, answer), *_ = b.host.answers
    assert request.message_code == (MessageCode.ATTACH_REQ if application is None else MessageCode.APP_ATTACH_REQ)
    assert request.body.role == b"passive"
    assert isinstance(answer, Answer)
    assert answer.body.role == b"active"
    a.answered(b, 2.0)
    expected = ConnectionWanted(attach, Role.PASSIVE, LARGE, candidates(2), candidates(39), application)
    assert a.host.wanted(ConnectionWanted) == expected
    expected = ConnectionWanted(incoming, Role.ACTIVE, SMALL, candidates(39), candidates(2), application)
    assert b.host.wanted(ConnectionWanted) == expected
    assert a.attaches.established(attach, identity(LARGE), 3.0) == Established(LARGE, False, application)
    assert b.attaches.established(incoming, identity(SMALL), 3.0) == Established(
        SMALL, application is None, application
    )
    assert a.ended() == [AttachEnded(attach, LARGE, application)]
    assert b.ended() == []
    assert not a.host.events
    assert not b.host.events
    assert_idle(a, b)


def test_an_attach_is_one_offer_and_one_answer() -> None:
    a, b = Side(SMALL), Side(LARGE)
    attach = a.ask(LARGE)
    offer = a.request()
    b.receive(offer)
    incoming = b.gather()
    a.answered(b)
    for side, number in ((a, attach), (b, incoming)):
        with pytest.raises(StateError):
            side.attaches.provide_candidates(number, candidates(77), 1.0)
    # Until the connection is there, and behind it, nothing more goes out.
    a.attaches.handle_timer(1.0)
    a.attaches.established(attach, identity(LARGE), 2.0)
    b.attaches.established(incoming, identity(SMALL), 2.0)
    assert (a.host.sent, a.host.number, len(b.host.answers), b.host.number) == ({}, 1001, 1, 1000)


def test_an_attach_to_a_resource_leads_to_whom_answers() -> None:
    a, b = Side(SMALL), Side(LARGE)
    attach = a.ask(ResourceDestination(b"r" * 16))
    b.receive(a.request())
    b.gather()
    a.answered(b)
    assert a.host.wanted(ConnectionWanted).peer == LARGE
    a.attaches.established(attach, identity(LARGE), 0.0)
    assert a.ended() == [AttachEnded(attach, LARGE)]


def test_of_two_simultaneous_attaches_that_of_the_larger_node_id_is_made() -> None:
    small, large = Side(SMALL), Side(LARGE)
    yielded, kept = small.ask(LARGE, send_update=True), large.ask(SMALL)
    to_large, to_small = small.request(), large.request()
    assert large.receive(to_large) == ErrorResponse(ErrorCode.IN_PROGRESS)
    assert small.receive(to_small) is None
    assert small.host.cancelled == [1001]
    assert small.abandoned == [yielded]
    incoming = small.gather()
    large.answered(small)
    assert large.host.wanted(ConnectionWanted).attach == kept
    # What was asked for by the Attach that was cancelled is asked for by the answer.
    assert large.attaches.established(kept, identity(SMALL), 1.0) == Established(SMALL, True, None)
    small.attaches.established(incoming, identity(LARGE), 1.0)
    assert small.ended() == [AttachEnded(yielded, LARGE)]
    assert_idle(small, large)


def test_the_error_of_a_simultaneous_attach_may_come_before_the_attach() -> None:
    small, large = Side(SMALL), Side(LARGE)
    yielded, _ = small.ask(LARGE), large.ask(SMALL)
    reply = large.receive(small.request())
    assert reply is not None
    small.told(reply, LARGE, 1.0)
    assert small.ended() == []
    assert small.attaches.get_timer() == 1.0 + AWAITING_TIMEOUT
    assert small.receive(large.request(), 2.0) is None
    incoming = small.gather(2.0)
    small.attaches.established(incoming, identity(LARGE), 3.0)
    assert small.ended() == [AttachEnded(yielded, LARGE)]
    assert_idle(small)


def test_an_attach_that_wants_an_update_joins_one_that_waits_for_that_of_the_peer() -> None:
    small, large = Side(SMALL), Side(LARGE)
    first, kept = small.ask(LARGE), large.ask(SMALL)
    reply = large.receive(small.request())
    assert reply is not None
    small.told(reply, LARGE, 1.0)
    second = small.begin(LARGE, 1.5, send_update=True)
    small.receive(large.request(), 2.0)
    incoming = small.gather(2.0)
    large.answered(small, 2.5)
    assert large.attaches.established(kept, identity(SMALL), 3.0).send_update
    small.attaches.established(incoming, identity(LARGE), 3.0)
    assert sorted(ended.attach for ended in small.ended() if ended.peer == LARGE) == [first, second]
    assert_idle(small, large)


def test_an_attach_to_a_resource_that_is_in_progress_the_other_way_follows_that() -> None:
    small, large = Side(SMALL), Side(LARGE)
    large.ask(SMALL)
    small.receive(large.request())
    incoming = small.gather()
    own = small.ask(ResourceDestination(b"r" * 16))
    reply = large.receive(small.request())
    assert reply == ErrorResponse(ErrorCode.IN_PROGRESS)
    small.told(reply, LARGE)
    small.attaches.established(incoming, identity(LARGE), 1.0)
    assert small.ended() == [AttachEnded(own, LARGE)]
    assert_idle(small)


def test_an_attach_that_is_said_to_be_in_progress_and_never_comes_fails() -> None:
    a = Side(SMALL)
    attach = a.ask(LARGE)
    a.told(ErrorResponse(ErrorCode.IN_PROGRESS), LARGE, 1.0)
    a.attaches.handle_timer(1.0 + AWAITING_TIMEOUT)
    (ended,) = a.ended()
    assert (ended.attach, ended.peer) == (attach, None)
    assert_idle(a)


@pytest.mark.parametrize(("own", "other"), [(SMALL, LARGE), (LARGE, SMALL)])
def test_while_checks_are_running_an_attach_of_the_same_peer_is_in_progress(own: bytes, other: bytes) -> None:
    a, b = Side(own), Side(other)
    attach = a.ask(other)
    b.receive(a.request())
    b.gather()
    a.answered(b)
    late = Side(other)
    late.ask(own)
    assert a.receive(late.request()) == ErrorResponse(ErrorCode.IN_PROGRESS)
    assert a.attaches.established(attach, identity(other), 1.0).peer == other


def test_an_attach_not_sent_yet_gives_way_to_that_of_the_peer() -> None:
    a, b = Side(LARGE), Side(SMALL)
    own = a.begin(SMALL)
    a.host.events.clear()
    b.ask(LARGE)
    assert a.receive(b.request()) is None
    assert a.abandoned == [own]
    incoming = a.gather()
    a.attaches.established(incoming, identity(SMALL), 1.0)
    assert a.ended() == [AttachEnded(own, SMALL)]
    with pytest.raises(StateError):
        a.attaches.provide_candidates(own, candidates(1), 1.0)
    assert_idle(a)


def test_a_second_attach_to_the_same_peer_joins_the_first() -> None:
    a, b = Side(SMALL), Side(LARGE)
    first = a.begin(LARGE)
    second = a.begin(LARGE, send_update=True)
    assert a.gather() == first
    assert a.request().body.send_update
    third = a.begin(LARGE)
    b.receive(a.request())
    b.gather()
    a.answered(b)
    a.attaches.established(first, identity(LARGE), 1.0)
    assert [(ended.attach, ended.peer) for ended in a.ended()] == [(first, LARGE), (second, LARGE), (third, LARGE)]
    assert_idle(a)


def test_an_attach_joins_one_that_the_peer_has_begun() -> None:
    a, b = Side(SMALL), Side(LARGE)
    b.ask(SMALL)
    a.receive(b.request())
    own = a.begin(LARGE, send_update=True)
    incoming = a.gather()
    (_, answer) = a.host.answers[-1]
    assert isinstance(answer, Answer)
    assert answer.body.send_update
    a.attaches.failed(incoming, 1.0)
    assert [(ended.attach, ended.peer) for ended in a.ended()] == [(own, None)]
    assert_idle(a)


def test_an_attach_that_wants_an_update_is_not_satisfied_with_one_that_was_sent_without() -> None:
    a, b = Side(SMALL), Side(LARGE)
    first = a.ask(LARGE)
    b.receive(a.request())
    b.gather()
    second = a.ask(LARGE, send_update=True)
    a.answered(b)
    b.receive(a.request())
    newest = b.gather()
    a.answered(b)
    assert a.abandoned == b.abandoned == []
    a.attaches.established(second, identity(LARGE), 1.0)
    assert b.attaches.established(newest, identity(SMALL), 1.0).send_update
    a.attaches.established(first, identity(LARGE), 1.0)
    assert not b.attaches.established(1, identity(SMALL), 1.0).send_update
    assert sorted(ended.attach for ended in a.ended()) == [first, second]
    assert_idle(a, b)


def test_a_peer_that_attaches_anew_is_answered_anew() -> None:
    a, b = Side(SMALL), Side(LARGE)
    b.ask(SMALL)
    a.receive(b.request())
    own = a.begin(LARGE, send_update=True)
    first = a.gather()
    again = Side(LARGE)
    again.host.number = 2000
    again.ask(SMALL)
    assert a.receive(again.request()) is None
    second = a.gather()
    assert [reply.body.send_update for _, reply in a.host.answers if isinstance(reply, Answer)] == [True, True]
    # Whoever waits for a connection to the peer waits for the one that the peer wants now.
    a.attaches.established(second, identity(LARGE), 1.0)
    assert a.ended() == [AttachEnded(own, LARGE)]
    a.attaches.failed(first, 2.0)
    assert a.ended() == []
    assert_idle(a)


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("in_turn", [False, True])
def test_attaches_to_resources_that_one_peer_has_are_all_answered(order: tuple[int, ...], in_turn: bool) -> None:
    a, b = Side(SMALL), Side(LARGE)
    own = [a.ask(ResourceDestination(bytes([number]) * 16)) for number in range(3)]
    transactions = sorted(a.host.sent)
    for transaction in transactions:
        assert b.receive(a.request(transaction)) is None
        if in_turn:
            b.gather()
    for wanted in [event for event in b.host.events if isinstance(event, CandidatesWanted)]:
        b.attaches.provide_candidates(wanted.attach, candidates(wanted.attach), 0.0)
    replies = {request.header.transaction_id >> 8: reply for request, reply in b.host.answers}
    for number in order:
        a.told(replies[transactions[number]], LARGE, 0.0, transaction=transactions[number])
    assert a.abandoned == b.abandoned == []
    for side, peer in ((a, LARGE), (b, SMALL)):
        for event in [event for event in side.host.events if isinstance(event, ConnectionWanted)]:
            assert side.attaches.established(event.attach, identity(peer), 1.0).peer == peer
    assert sorted((ended.attach, ended.peer) for ended in a.ended()) == [(attach, LARGE) for attach in own]
    assert_idle(a, b)


def test_attaches_to_resources_of_each_other_do_not_take_each_other_away() -> None:
    a, b = Side(SMALL), Side(LARGE)
    sides = (a, b)
    for side in sides:
        side.ask(ResourceDestination(side.node_id))
    requests = [side.request() for side in sides]
    for side, request in zip(sides, requests[::-1], strict=True):
        assert side.receive(request) is None
        side.gather()
    a.answered(b)
    b.answered(a)
    assert a.abandoned == b.abandoned == []
    for side, peer in ((a, LARGE), (b, SMALL)):
        for event in [event for event in side.host.events if isinstance(event, ConnectionWanted)]:
            side.attaches.established(event.attach, identity(peer), 1.0)
        assert [ended.peer for ended in side.ended()] == [peer]
    assert_idle(a, b)


def test_an_attach_that_was_said_to_be_in_progress_follows_the_one_that_is() -> None:
    a = Side(SMALL)
    waiting = a.ask(ResourceDestination(b"1" * 16))
    first = max(a.host.sent)
    answered = a.ask(ResourceDestination(b"2" * 16))
    a.told(ErrorResponse(ErrorCode.IN_PROGRESS), LARGE, 1.0, transaction=first)
    b = Side(LARGE)
    b.receive(a.request())
    b.gather()
    a.answered(b)
    a.attaches.established(answered, identity(LARGE), 2.0)
    assert sorted((ended.attach, ended.peer) for ended in a.ended()) == [(waiting, LARGE), (answered, LARGE)]
    assert_idle(a)


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
