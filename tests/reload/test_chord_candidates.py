"""Peers that are named and ought to be neighbors (RFC 6940 sections 10.6 and 10.7.3)."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reload_chord import RING, Lone, node

from reload.chord_candidates import (
    FAILED_REST,
    GRACE,
    MAX_BY_ONE,
    MAX_CANDIDATES,
    MAX_IN_FLIGHT,
    REST,
    Candidates,
)
from reload.contents import MessageCode
from reload.destinations import NodeDestination


def peer(own: int = 0) -> Lone:
    return Lone(own).start()


def targets(lone: Lone) -> list[int]:
    return lone.numbers([each.destination_list[-1].node_id for each in lone.overlay.take_attaches()])  # type: ignore[union-attr]


def test_closer_peers_are_attached_through_the_peer_that_has_named_them() -> None:
    lone = peer().ready(100, 200, 300, RING - 100, RING - 200, RING - 300)
    lone.overlay.take_attaches()
    lone.update(100, [50], [150, 200])
    found = lone.overlay.take_attaches()
    assert [each.destination_list for each in found] == [
        (NodeDestination(node(100)), NodeDestination(node(50))),
        (NodeDestination(node(100)), NodeDestination(node(150))),
    ]
    assert all(each.send_update for each in found)


def test_an_update_that_matches_the_neighbor_table_changes_nothing() -> None:
    lone = peer().ready(100, 200, 300, RING - 100, RING - 200, RING - 300)
    lone.update(100, [RING - 100, 0], [200, 300, 400])
    assert lone.overlay.take_attaches() == []


def test_a_peer_becomes_a_neighbor_when_it_is_attached_and_has_sent_its_update() -> None:
    lone = peer().ready(100)
    lone.update(100, [], [50])
    (attach,) = lone.overlay.take_attaches()
    lone.attached(attach, 50)
    assert lone.successors == [100]
    lone.update(50)
    assert lone.successors == [50, 100]


def test_of_a_list_only_as_many_are_tried_as_there_are_neighbors() -> None:
    lone = peer().ready(RING // 2)
    lone.update(RING // 2, range(RING - 40, RING - 4), range(1, 40))
    assert sorted(targets(lone)) == [1, 2, 3, RING - 7, RING - 6, RING - 5]


@given(st.lists(st.integers(0, RING - 1), max_size=30), st.lists(st.integers(0, RING - 1), max_size=30))
def test_never_ourselves_a_reserved_id_or_one_twice(first: list[int], second: list[int]) -> None:
    lone = peer(7)
    lone.ready(1000)
    lone.update(1000, [7, 0, RING - 1, *first], [*second, 7, 0, RING - 1, 1000])
    found = targets(lone)
    assert len(set(found)) == len(found) <= 6
    assert not {0, 7, RING - 1, 1000}.intersection(found)


def test_who_cannot_be_attached_is_tried_by_another_way_and_then_left_in_peace() -> None:
    lone = peer().ready(100, 200)
    lone.update(100, [], [50])
    lone.update(200, [], [50])
    (attach,) = lone.overlay.take_attaches()
    lone.attached(attach, None)
    lone.wait(2)
    (again,) = lone.overlay.take_attaches()
    assert again.destination_list[0] == NodeDestination(node(200))
    lone.attached(again, None)
    lone.update(100, [], [50])
    lone.wait(REST - 5)
    assert lone.overlay.take_attaches() == []


def test_who_was_left_in_peace_is_tried_again_if_it_was_still_named_meanwhile() -> None:
    lone = peer().ready(100, 200, RING - 9)
    lone.lost(200)
    lone.wait(5)
    lone.update(100, [], [200])
    assert lone.overlay.take_attaches() == []
    lone.wait(FAILED_REST)
    (attach,) = lone.overlay.take_attaches()
    assert attach.destination_list == (NodeDestination(node(100)), NodeDestination(node(200)))


def test_updates_that_were_under_way_when_a_peer_was_lost_do_not_count() -> None:
    lone = peer().ready(100, 200, RING - 9)
    lone.lost(200)
    lone.update(100, [], [200])
    lone.wait(3 * FAILED_REST)
    assert lone.overlay.take_attaches() == []


def test_a_named_peer_that_is_connected_is_asked_for_its_update_after_a_while() -> None:
    lone = peer().ready(100)
    lone.link(50)
    lone.update(100, [], [50])
    lone.overlay.take()
    lone.wait(GRACE - 0.1)
    assert lone.overlay.take_attaches() == []
    assert lone.overlay.take(MessageCode.ROUTE_QUERY_REQ) == []
    lone.wait(0.2)
    (query,) = lone.overlay.take(MessageCode.ROUTE_QUERY_REQ)
    assert query.destination_list == (NodeDestination(node(50)),)
    assert query.body.send_update
    lone.wait(2 * REST)
    assert lone.overlay.take(MessageCode.ROUTE_QUERY_REQ) == []


def test_one_who_is_no_longer_wanted_when_its_turn_comes_is_forgotten() -> None:
    lone = peer().ready(100, 200)
    lone.update(100, [], [90])
    (attach,) = lone.overlay.take_attaches()
    lone.ready(1, 2, 3, RING - 7, RING - 8, RING - 9)
    lone.attached(attach, None)
    lone.wait(REST)
    assert lone.overlay.take_attaches() == []


def test_attaches_in_flight_are_limited_and_the_others_wait_for_their_turn() -> None:
    lone = peer()
    lone.ready(*range(1000, 11000, 1000))
    for number in range(1, 11):
        base = 100 - 3 * number
        lone.update(1000 * number, [], [base, base + 1, base + 2])
    found = lone.overlay.take_attaches()
    assert len(found) == MAX_IN_FLIGHT
    assert lone.chord._candidates.get_timer() == inf
    lone.attached(found[0], None)
    assert len(lone.overlay.take_attaches()) == 1


def test_of_more_than_there_is_room_for_the_nearest_are_tried() -> None:
    lone = peer().ready(1 << 100)
    lone.chord.table.resize(12, 16)
    lone.update(1 << 100, [RING - number for number in range(2, 14)], list(range(2, 14)))
    nearest = [*range(2, 10), *range(RING - 9, RING - 1)]
    assert len(nearest) == MAX_BY_ONE
    assert sorted(targets(lone)) == nearest


def test_a_liar_cannot_name_more_than_its_share() -> None:
    lone = peer().ready(1 << 100, 1 << 101)
    tried = []
    for step in range(200):
        base = (1 << 99) - 10 * step
        lone.update(1 << 100, [], [base, base - 1, base - 2])
        tried += lone.overlay.take_attaches()
    assert len(tried) <= MAX_BY_ONE
    lone.update(1 << 101, [], [5])
    assert targets(lone) == ([5] if len(tried) < MAX_IN_FLIGHT else [])
    lone.attached(tried[0], None)
    lone.wait(0.5)
    assert 5 in targets(lone) or len(tried) < MAX_IN_FLIGHT


def test_candidates_of_many_liars_are_limited_and_resting_ones_make_room() -> None:
    lone = peer()
    liars = [(1 << 100) + number for number in range(40)]
    lone.ready(*liars)
    candidates: Candidates = lone.chord._candidates
    for step, liar in enumerate(liars):
        for inner in range(20):
            base = (1 << 99) - 100 * step - 4 * inner
            lone.update(liar, [], [base, base - 1, base - 2])
    assert len(candidates) <= MAX_CANDIDATES
    for _ in range(20):
        for each in lone.overlay.take_attaches():
            lone.attached(each, None)
        lone.wait(2)
    lone.update(liars[-1], [], [3])
    assert node(3) in candidates


def test_all_is_forgotten_when_the_node_leaves() -> None:
    lone = peer().ready(100)
    lone.update(100, [], [50])
    (attach,) = lone.overlay.take_attaches()
    lone.chord.leave(lone.now)
    lone.attached(attach, None)
    assert len(lone.chord._candidates) == 0


@pytest.mark.parametrize("count", [65, 4000])
def test_of_a_very_long_list_only_the_beginning_is_looked_at(count: int) -> None:
    lone = peer().ready(1 << 100)
    lone.update(1 << 100, [], [*range(10**9, 10**9 + 64), *range(1, count)])
    assert sorted(targets(lone)) == [10**9, 10**9 + 1, 10**9 + 2, 10**9 + 62, 10**9 + 63]


def test_clients_do_not_attach_to_whom_updates_name() -> None:
    lone = Lone(0).ready(100)
    lone.update(100, [], [50])
    assert lone.overlay.take_attaches() == []
    assert lone.successors == [100]
