"""Who stands in for lost neighbors, and who is really there (RFC 6940 section 10.7.1)."""

import pytest
from reload_chord import RING, Lone, node

from reload.chord_repair import ASK_DELAY, REJOIN_DELAY
from reload.contents import MessageCode
from reload.destinations import NodeDestination

S = RING // 480
FAR = 120 * S


def peer(**changes: object) -> Lone:
    lone = Lone(0, **changes).start().ready(10 * S, 20 * S, 30 * S, RING - 10 * S, RING - 20 * S, RING - 30 * S, FAR)
    lone.wait(2)
    lone.overlay.take()
    return lone


def asked(lone: Lone) -> list[int]:
    return sorted(lone.numbers([each.first_hop for each in lone.overlay.take(MessageCode.ROUTE_QUERY_REQ)]))


@pytest.mark.parametrize("reactive", [False, True])
def test_who_stands_in_for_a_lost_neighbor_is_asked_for_its_update_after_a_while(reactive: bool) -> None:
    lone = peer(chord_reactive=reactive)
    lone.lost(10 * S, 20 * S)
    assert lone.successors == [30 * S, FAR, RING - 30 * S]
    lone.wait(ASK_DELAY - 0.1)
    assert asked(lone) == []
    lone.wait(0.2)
    # The farthest predecessor stands in as a successor, too.
    assert asked(lone) == [FAR, RING - 30 * S]


def test_the_answer_leads_to_those_in_between() -> None:
    lone = peer()
    lone.lost(10 * S, 20 * S, 30 * S)
    lone.wait(ASK_DELAY)
    assert FAR in asked(lone)
    lone.update(FAR, [100 * S, 90 * S, 80 * S], [130 * S])
    found = [each.destination_list for each in lone.overlay.take_attaches()]
    assert found == [(NodeDestination(node(FAR)), NodeDestination(node(at * S))) for at in (80, 90, 100)]


def test_who_has_better_neighbors_by_then_is_not_asked() -> None:
    lone = peer()
    lone.lost(20 * S)
    assert lone.successors == [10 * S, 30 * S, FAR]
    lone.ready(25 * S)
    lone.wait(ASK_DELAY)
    assert asked(lone) == []


def test_who_has_lost_all_successors_pings_and_joins() -> None:
    lone = peer()
    lone.lost(10 * S, 20 * S, 30 * S)
    lone.wait(REJOIN_DELAY - 0.5)
    assert lone.overlay.take(MessageCode.PING_REQ) == []
    lone.wait(1)
    (ping,) = [each for each in lone.overlay.take(MessageCode.PING_REQ) if len(each.destination_list) == 2]
    assert ping.destination_list[0].node_id == node(FAR)  # type: ignore[union-attr]
    lone.answer(ping, FAR)
    lone.update(FAR, [], [], [])
    (join,) = lone.overlay.take(MessageCode.JOIN_REQ)
    assert join.first_hop == node(FAR)


def test_who_has_lost_some_successors_does_not_join_again() -> None:
    lone = peer()
    lone.lost(10 * S, 20 * S)
    lone.wait(2 * REJOIN_DELAY)
    assert [each for each in lone.overlay.take(MessageCode.PING_REQ) if len(each.destination_list) == 2] == []


def test_who_has_nobody_left_wants_a_bootstrap_node_at_once_and_keeps_wanting_one() -> None:
    lone = Lone(0).start().ready(10, 20)
    lone.events()
    lone.lost(10)
    assert lone.events() == []
    lone.lost(20)
    lone.wait(0)
    assert lone.events() == ["BootstrapWanted"]
    assert lone.chord.is_responsible(node(10))
    lone.wait(3600)
    assert len(lone.events()) >= 3


def test_who_has_no_finger_left_wants_a_bootstrap_node_at_once() -> None:
    lone = peer()
    lone.events()
    lone.lost(FAR)
    lone.wait(0)
    assert lone.events() == ["BootstrapWanted"]


def test_who_leaves_repairs_nothing() -> None:
    lone = peer()
    lone.lost(10 * S, 20 * S, 30 * S)
    lone.chord.leave(lone.now)
    lone.overlay.take()
    lone.wait(60)
    assert lone.overlay.take() == []
