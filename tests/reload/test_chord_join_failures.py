"""Joins that go wrong, are tried again, given up or repeated (RFC 6940 sections 10.5, 10.7.1 and 11.4)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from reload_chord import Attached, Lone, Sent, node
from reload_joining import ADMITTING, BOOTSTRAP, OWN, Join, state

from reload.chord_join import ADMISSION_PATIENCE, ATTACH_PATIENCE, MAX_ADMISSION, MAX_ATTEMPTS, JoinState
from reload.contents import ErrorCode, ErrorResponse, MessageCode
from reload.destinations import NodeDestination, ResourceDestination
from reload.errors import StateError
from reload.methods import JoinReq


def test_a_dead_neighbor_does_not_stop_the_join() -> None:
    join = Join().learn()
    while join.state is JoinState.CONNECTING:
        for each, number in join.take_named():
            join.attached(each, None if number == 3000 else number)
            if number != 3000:
                join.update(number)
        join.wait(1)
    assert join.state is JoinState.JOINING
    assert join.successors == [2000, 4000, 400]


def test_attaches_that_do_not_end_do_not_stop_the_join() -> None:
    join = Join().learn()
    join.wait(ATTACH_PATIENCE + 1)
    assert join.state is JoinState.JOINING


def test_liars_cannot_lead_a_join_on_for_ever() -> None:
    join = Join().attach()
    for _ in range(1000):
        if join.state is not JoinState.LEARNING:
            break
        join.update(ADMITTING, [1500], [])
        if join.state is JoinState.ATTACHING:
            join.attached(join.last_attach(), ADMITTING)
    assert join.state is JoinState.PAUSED


def test_a_forbidden_join_fails_at_once() -> None:
    join = Join().connect()
    join.answer(join.overlay.take(MessageCode.JOIN_REQ)[0], ADMITTING, ErrorResponse(ErrorCode.FORBIDDEN))
    assert join.events() == ["JoinFailed"]
    assert len(join.chord.table) == 0


@pytest.mark.parametrize("code", [ErrorCode.NOT_FOUND, ErrorCode.IN_PROGRESS, ErrorCode.CONFIG_TOO_OLD])
def test_a_refused_join_is_tried_again(code: ErrorCode) -> None:
    join = Join().connect()
    join.answer(join.overlay.take(MessageCode.JOIN_REQ)[0], ADMITTING, ErrorResponse(code))
    assert join.state is JoinState.PAUSED
    join.overlay.take_attaches()
    join.wait(1)
    assert join.state is JoinState.ATTACHING
    assert join.last_attach().destination_list[0] == NodeDestination(node(BOOTSTRAP))


def test_pauses_double_up_to_a_limit_and_then_the_join_has_failed() -> None:
    join = Join()
    times = []
    for _ in range(MAX_ATTEMPTS):
        times.append(join.now)
        join.attached(join.last_attach(), None)
        while join.state is JoinState.PAUSED:
            join.wait(0.05)
    pauses = [after - before for before, after in pairwise(times)]
    assert all(0.5 * 2**step <= pause <= 2**step + 0.1 for step, pause in enumerate(pauses[:5]))
    assert all(15 <= pause <= 30.1 for pause in pauses[5:])
    assert join.events() == ["JoinFailed"]
    assert join.state is JoinState.IDLE
    join.chord.join(node(BOOTSTRAP), join.now)


def test_a_lost_bootstrap_node_is_replaced_by_a_peer_that_is_known() -> None:
    join = Join().connect()
    join.lost(BOOTSTRAP)
    join.answer(join.overlay.take(MessageCode.JOIN_REQ)[0], ADMITTING, ErrorResponse(ErrorCode.NOT_FOUND))
    join.wait(1)
    assert join.last_attach().destination_list[0] == NodeDestination(node(ADMITTING))


def test_without_any_connection_the_join_fails() -> None:
    join = Join()
    join.lost(BOOTSTRAP)
    join.attached(join.last_attach(), None)
    join.wait(600)
    assert join.events() == ["JoinFailed"]


def test_the_admitting_peer_has_time_as_long_as_it_sends_something() -> None:
    join = Join().wait_for_update()
    for _ in range(10):
        join.wait(ADMISSION_PATIENCE - 5)
        join.link(ADMITTING)
    assert join.state is JoinState.WAITING
    join.wait(ADMISSION_PATIENCE + 1)
    assert join.state is not JoinState.WAITING


def test_the_admitting_peer_does_not_have_time_for_ever() -> None:
    join = Join().wait_for_update()
    for _ in range(int(MAX_ADMISSION / 20) + 2):
        join.wait(20)
        join.link(ADMITTING)
    assert join.state is not JoinState.WAITING


def test_join_and_start_are_refused_where_they_make_no_sense_and_change_nothing() -> None:
    lone = Lone(OWN)
    with pytest.raises(StateError):
        lone.chord.join(node(BOOTSTRAP), 0.0)
    with pytest.raises(StateError):
        lone.chord.leave(0.0)
    for of in JoinState:
        join = state(of)
        before = len(join.overlay.attaches), len(join.overlay.sent)
        with pytest.raises(StateError):
            join.chord.join(node(BOOTSTRAP), join.now)
        with pytest.raises(StateError):
            join.chord.start(join.now)
        assert (len(join.overlay.attaches), len(join.overlay.sent), join.state) == (*before, of)


INPUTS: dict[str, Callable[[Join], object]] = {
    "attached": lambda join: join.attached(join.last_attach(), 3000),
    "not attached": lambda join: join.attached(join.last_attach(), None),
    "attached to itself": lambda join: join.chord.on_attached(join.last_attach().attach, node(OWN), join.now),
    "unknown attach": lambda join: join.attached(Attached(4711, (), False), 3000),
    "Update of the Admitting Peer": lambda join: join.update(ADMITTING, [500], [3000]),
    "Update that names us": lambda join: join.update(ADMITTING, [OWN, 500], [3000]),
    "Update without tables": lambda join: join.ready(ADMITTING),
    "Update of a stranger": lambda join: join.update(77, [OWN], [78]),
    "answers": lambda join: [join.answer(sent, ADMITTING) for sent in join.overlay.take()],
    "own answers": lambda join: [join.answer(sent, OWN) for sent in join.overlay.take()],
    "errors": lambda join: [join.answer(s, ADMITTING, ErrorResponse(ErrorCode.NOT_FOUND)) for s in join.overlay.take()],
    "no answers": lambda join: [join.fail(sent) for sent in join.overlay.take()],
    "unknown answer": lambda join: join.answer(Sent(4711, (), MessageCode.JOIN_REQ, None, None), ADMITTING),
    "Admitting Peer lost": lambda join: join.lost(ADMITTING),
    "bootstrap node lost": lambda join: join.lost(BOOTSTRAP),
    "all lost": lambda join: join.lost(*[int.from_bytes(each, "big") for each in list(join.overlay.links)]),
    "a little time": lambda join: join.wait(1),
    "much time": lambda join: join.wait(300),
    "Join of another": lambda join: join.request(700, MessageCode.JOIN_REQ, JoinReq(joining_peer_id=node(700))),
    "hand-over": lambda join: join.chord.on_handed_over(4711, join.now),
    "bootstrap node": lambda join: join.chord.on_bootstrap(node(BOOTSTRAP), join.now),
    "early timer": lambda join: join.chord.handle_timer(join.now),
}


@pytest.mark.parametrize("of", JoinState)
@pytest.mark.parametrize("name", INPUTS)
def test_every_input_in_every_state_leads_to_a_state_from_which_the_join_ends(of: JoinState, name: str) -> None:
    join = state(of)
    INPUTS[name](join)
    was_joined = join.chord.is_joined
    assert was_joined or of is not JoinState.IDLE
    # Whatever has happened: with peers that do what they should, or do nothing, the join comes to its end.
    for _ in range(400):
        if join.state is JoinState.IDLE:
            break
        for attach in join.overlay.take_attaches():
            join.attached(attach, None)
        for sent in join.overlay.take():
            join.fail(sent)
        join.wait(5)
    assert join.state is JoinState.IDLE
    assert was_joined <= join.chord.is_joined
    assert join.chord.is_joined or "JoinFailed" in join.events()


def test_who_gives_up_joining_has_left() -> None:
    join = Join().connect()
    join.chord.leave(join.now)
    join.wait(0)
    assert join.events() == ["Left"]
    assert join.overlay.take(MessageCode.LEAVE_REQ) == []


def test_a_rejoin_pings_for_the_place_behind_us_and_joins_who_answers() -> None:
    join = state(JoinState.SEEKING)
    (ping,) = join.overlay.take(MessageCode.PING_REQ)
    assert ping.destination_list[-1] == ResourceDestination(node(OWN + 1))
    join.overlay.take_attaches()
    join.answer(ping, 1700)
    (attach,) = join.overlay.take_attaches()
    assert attach.destination_list[-1] == NodeDestination(node(1700))
    join.attached(attach, 1700)
    join.update(1700, [500], [2000], [])
    (sent,) = join.overlay.take(MessageCode.JOIN_REQ)
    assert sent.first_hop == node(1700)
    join.answer(sent, 1700)
    join.update(1700, [OWN, 600], [2000])
    assert join.state is JoinState.IDLE
    assert join.events() == ["Joined"]


def test_a_rejoin_goes_to_a_successor_that_is_connected_already() -> None:
    join = state(JoinState.SEEKING)
    join.answer(join.overlay.take(MessageCode.PING_REQ)[0], ADMITTING)
    assert join.state is JoinState.LEARNING
    (query,) = join.overlay.take(MessageCode.ROUTE_QUERY_REQ)
    assert query.first_hop == node(ADMITTING)


def test_a_rejoin_that_fails_leaves_a_peer_what_it_is() -> None:
    join = state(JoinState.SEEKING)
    join.events()
    for _ in range(MAX_ATTEMPTS):
        for sent in join.overlay.take(MessageCode.PING_REQ):
            join.fail(sent)
        join.wait(31)
    assert join.state is JoinState.IDLE
    assert join.chord.is_joined
    assert "JoinFailed" not in join.events()
