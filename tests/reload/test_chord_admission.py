"""A peer admits others (RFC 6940 sections 6.4.2.1, 10.5)."""

import pytest
from reload_chord import RING, Lone, node

from reload.chord_admission import MAX_ADMISSIONS
from reload.contents import ErrorCode, ErrorResponse, MessageCode
from reload.exchange import Answer
from reload.methods import ChordUpdateType, JoinAns, JoinReq


def join(lone: Lone, sender: int, joining: int | None = None, *, hop: int | None = None) -> object:
    body = JoinReq(joining_peer_id=node(sender if joining is None else joining))
    return lone.request(sender, MessageCode.JOIN_REQ, body, hop=hop)


def admitting() -> Lone:
    lone = Lone(1000).start().ready(500, 2000)
    lone.link(700, 800, 900)
    lone.wait(10)
    lone.overlay.take()
    return lone


def test_a_join_is_answered_before_anything_is_stored() -> None:
    lone = admitting()
    assert join(lone, 800) == Answer(JoinAns())
    assert lone.overlay.hand_overs == []
    lone.wait(0)
    ((_, peer, _),) = lone.overlay.hand_overs
    assert peer == node(800)


def test_what_is_stored_is_all_that_the_joining_peer_will_be_responsible_for() -> None:
    lone = admitting()
    join(lone, 800)
    lone.wait(0)
    ((_, _, belongs),) = lone.overlay.hand_overs
    assert [at for at in (499, 500, 501, 799, 800, 801, 1000, 1001) if belongs(node(at))] == [501, 799, 800]


def test_the_first_peer_hands_over_all_between_itself_and_the_joining_one() -> None:
    lone = Lone(1000).start()
    lone.link(800)
    join(lone, 800)
    lone.wait(0)
    ((_, _, belongs),) = lone.overlay.hand_overs
    assert [at for at in (1, 799, 800, 801, 1000, 1001, RING - 5) if belongs(node(at))] == [1, 799, 800, 1001, RING - 5]


def test_the_joining_peer_is_told_first_that_it_is_the_predecessor_and_then_all_neighbors() -> None:
    lone = admitting()
    join(lone, 800)
    lone.wait(0)
    placements = lone.overlay.placements
    lone.chord.on_handed_over(lone.overlay.hand_overs[0][0], lone.now)
    assert not lone.chord.is_responsible(node(800))
    assert lone.chord.is_responsible(node(801))
    assert lone.overlay.placements == placements + 1
    (first,) = lone.overlay.take(MessageCode.UPDATE_REQ)
    assert first.first_hop == node(800)
    assert first.body.type == ChordUpdateType.NEIGHBORS
    assert first.body.tables.predecessors[0] == node(800)
    lone.wait(1)
    told = [each.first_hop for each in lone.overlay.take(MessageCode.UPDATE_REQ)]
    # The other two, 700 and 900, are connected but no peers: also they hear of a change of the range.
    assert told == [node(500), node(700), node(900), node(2000)]


@pytest.mark.parametrize(
    ("sender", "joining", "hop"),
    [
        pytest.param(700, 800, 700, id="another Node-ID than that of the signature"),
        pytest.param(800, 800, 700, id="over the link of another node"),
        pytest.param(700, 800, 800, id="signed by another than the link's"),
        pytest.param(1000, 1000, 1000, id="our own"),
    ],
)
def test_a_forged_join_is_forbidden(sender: int, joining: int, hop: int) -> None:
    lone = admitting()
    assert join(lone, sender, joining, hop=hop) == ErrorResponse(ErrorCode.FORBIDDEN)
    lone.wait(0)
    assert lone.overlay.hand_overs == []


@pytest.mark.parametrize("place", [499, 1001, 2500])
def test_a_join_at_the_wrong_peer_is_refused(place: int) -> None:
    lone = admitting()
    lone.link(place)
    reply = join(lone, place)
    assert isinstance(reply, ErrorResponse)
    assert reply.error_code == ErrorCode.NOT_FOUND


def test_who_is_no_peer_admits_nobody() -> None:
    lone = Lone(1000)
    lone.link(800)
    reply = join(lone, 800)
    assert isinstance(reply, ErrorResponse)
    assert reply.error_code == ErrorCode.NOT_FOUND


def test_a_predecessor_that_has_lost_its_memory_may_join_again() -> None:
    lone = admitting()
    assert join(lone, 500) == Answer(JoinAns())
    lone.wait(0)
    ((number, _, belongs),) = lone.overlay.hand_overs
    assert [at for at in (499, 500, 501, 1999, 2000, 2001) if belongs(node(at))] == [499, 500, 2001]
    lone.chord.on_handed_over(number, lone.now)
    (update,) = lone.overlay.take(MessageCode.UPDATE_REQ)
    assert update.body.tables.predecessors[0] == node(500)


def test_joins_at_the_same_time_are_admitted_in_any_order() -> None:
    for order in ((0, 1), (1, 0)):
        lone = admitting()
        join(lone, 700)
        join(lone, 900)
        lone.wait(0)
        numbers = [number for number, _, _ in lone.overlay.hand_overs]
        for each in order:
            lone.chord.on_handed_over(numbers[each], lone.now)
        updates = lone.overlay.take(MessageCode.UPDATE_REQ)
        if order == (0, 1):
            assert lone.predecessors[:2] == [900, 700]
        else:
            # 900 is the predecessor, so that 700 has to join there: it sees that by the Update.
            assert lone.predecessors[:2] == [900, 500]
            assert updates[1].first_hop == node(700)
            assert updates[1].body.tables.predecessors[0] == node(900)


def test_a_repeated_join_begins_no_second_hand_over() -> None:
    lone = admitting()
    assert join(lone, 800) == join(lone, 800)
    lone.wait(0)
    assert join(lone, 800) == Answer(JoinAns())
    lone.wait(0)
    assert len(lone.overlay.hand_overs) == 1


def test_too_many_joins_at_once_are_told_that_some_are_in_progress() -> None:
    lone = admitting()
    places = range(600, 600 + MAX_ADMISSIONS + 1)
    lone.link(*places)
    replies = [join(lone, place) for place in places]
    assert replies[:-1] == [Answer(JoinAns())] * MAX_ADMISSIONS
    assert replies[-1] == ErrorResponse(ErrorCode.IN_PROGRESS)


def test_a_joining_peer_that_goes_away_becomes_no_predecessor() -> None:
    lone = admitting()
    join(lone, 800)
    lone.wait(0)
    lone.lost(800)
    lone.chord.on_handed_over(lone.overlay.hand_overs[0][0], lone.now)
    assert lone.predecessors == [500, 2000]


def test_one_that_goes_away_before_its_turn_is_handed_nothing() -> None:
    lone = admitting()
    join(lone, 800)
    lone.lost(800)
    lone.wait(0)
    assert lone.overlay.hand_overs == []


def test_the_end_of_an_unknown_hand_over_means_nothing() -> None:
    lone = admitting()
    lone.chord.on_handed_over(4711, lone.now)
    assert lone.overlay.take() == []


def test_who_leaves_admits_nobody_any_more() -> None:
    lone = admitting()
    join(lone, 800)
    lone.wait(0)
    lone.chord.leave(lone.now)
    lone.overlay.take()
    lone.chord.on_handed_over(lone.overlay.hand_overs[0][0], lone.now)
    assert lone.overlay.take() == []
