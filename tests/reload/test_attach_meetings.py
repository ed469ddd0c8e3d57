"""Attach and AppAttach: one alone, and those that meet (RFC 6940 sections 6.5.1 and 6.5.2)."""

from __future__ import annotations

from itertools import permutations

import pytest
from reload_attaching import LARGE, SIP, SMALL, Side, assert_idle, candidates, identity

from reload.attach import AWAITING_TIMEOUT
from reload.attach_steps import AttachEnded, Established
from reload.contents import ErrorCode, ErrorResponse, MessageCode
from reload.destinations import ResourceDestination
from reload.errors import StateError
from reload.events import CandidatesWanted, ConnectionWanted, Role
from reload.exchange import Answer


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
