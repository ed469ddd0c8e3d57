"""When Updates are sent, to whom, and what they say (RFC 6940 sections 6.4.2.3, 10.7)."""

from itertools import pairwise

import pytest
from reload_chord import RING, Lone, node

from reload.chord_tables import MAX_NEIGHBORS, MIN_NEIGHBORS
from reload.chord_updates import MAX_DELAY, UPDATE_DELAY
from reload.contents import MessageCode
from reload.methods import ChordUpdateType

S = RING // 480
"""A tenth of the distance between two neighbors, in an overlay of 48."""
BEFORE = [RING - 10 * S, RING - 20 * S, RING - 30 * S]
BEHIND = [10 * S, 20 * S, 30 * S]
FINGERS = [1 << 125, 1 << 126]
CLIENT = 250 * S


def peer(**changes: object) -> Lone:
    """A peer with a full neighbor table and two fingers, all of whom know it."""
    lone = Lone(0, **changes).start().ready(*BEFORE, *BEHIND, *FINGERS)
    lone.wait(2)
    lone.overlay.take()
    return lone


def told(lone: Lone) -> list[int]:
    """Who was sent an Update since, in order of the ring."""
    return sorted(lone.numbers([each.first_hop for each in lone.overlay.take(MessageCode.UPDATE_REQ)]))


def updates(lone: Lone) -> list[object]:
    return [each.body for each in lone.overlay.take(MessageCode.UPDATE_REQ)]


ALL = sorted([*BEFORE, *BEHIND, *FINGERS])


def test_a_new_neighbor_is_told_to_all_connections() -> None:
    lone = peer()
    lone.link(CLIENT)
    lone.ready(15 * S)
    assert told(lone) == []
    lone.wait(UPDATE_DELAY)
    assert told(lone) == sorted([15 * S, CLIENT, *ALL])


def test_an_update_has_the_neighbor_table_the_nearest_first_and_never_ourselves() -> None:
    lone = peer()
    lone.ready(15 * S)
    lone.wait(UPDATE_DELAY)
    for each in updates(lone):
        assert each.type == ChordUpdateType.NEIGHBORS  # type: ignore[attr-defined]
        assert lone.numbers(each.tables.predecessors) == BEFORE  # type: ignore[attr-defined]
        assert lone.numbers(each.tables.successors) == [10 * S, 15 * S, 20 * S]  # type: ignore[attr-defined]


def test_several_changes_are_told_at_once_and_nothing_twice() -> None:
    lone = peer()
    lone.ready(15 * S)
    lone.wait(UPDATE_DELAY / 2)
    lone.ready(5 * S, RING - 15 * S)
    lone.wait(1)
    assert told(lone) == sorted([5 * S, 15 * S, RING - 15 * S, *ALL])
    lone.wait(5)
    assert told(lone) == []


def test_a_change_of_the_range_is_told_to_all_connections_in_periodic_recovery_too() -> None:
    lone = peer(chord_reactive=False)
    lone.link(CLIENT)
    lone.ready(RING - 5 * S)
    lone.wait(UPDATE_DELAY)
    assert set(told(lone)) == {RING - 5 * S, CLIENT, *ALL}


def test_in_periodic_recovery_a_new_neighbor_is_told_to_nobody_else() -> None:
    lone = peer(chord_reactive=False)
    lone.ready(15 * S)
    lone.wait(MAX_DELAY)
    assert told(lone) == [15 * S]


def test_a_lost_neighbor_is_told_to_the_neighbors_at_once() -> None:
    lone = peer()
    lone.lost(20 * S)
    lone.wait(0)
    bodies = lone.overlay.take(MessageCode.UPDATE_REQ)
    assert sorted(lone.numbers([each.first_hop for each in bodies])) == sorted([*BEFORE, 10 * S, 30 * S, FINGERS[0]])
    # The best of the other peers has taken its place.
    assert all(lone.numbers(each.body.tables.successors) == [10 * S, 30 * S, FINGERS[0]] for each in bodies)


def test_a_lost_predecessor_is_told_to_all_connections_at_once_because_the_range_has_changed() -> None:
    lone = peer()
    lone.lost(RING - 10 * S)
    lone.wait(0)
    assert told(lone) == [each for each in ALL if each != RING - 10 * S]
    assert lone.chord.is_responsible(node(RING - 15 * S))


def test_in_periodic_recovery_a_lost_successor_is_told_to_nobody() -> None:
    lone = peer(chord_reactive=False)
    lone.lost(20 * S)
    lone.wait(1)
    assert told(lone) == []
    assert lone.successors == [10 * S, 30 * S, FINGERS[0]]


def test_a_lost_finger_is_told_to_nobody() -> None:
    lone = peer()
    lone.lost(FINGERS[1])
    lone.wait(1)
    assert told(lone) == []


def test_all_connections_are_told_only_when_attaches_are_done_or_have_taken_too_long() -> None:
    lone = peer()
    lone.ready(15 * S)
    lone.update(15 * S, [], [17 * S])
    (attach,) = lone.overlay.take_attaches()
    lone.wait(2)
    assert told(lone) == []
    lone.attached(attach, 17 * S)
    # It is told by itself, so that it takes us in.
    assert told(lone) == [17 * S]
    lone.update(17 * S)
    lone.wait(UPDATE_DELAY)
    assert told(lone) == sorted([15 * S, 17 * S, *ALL])
    lone.update(17 * S, [], [18 * S])
    lone.ready(5 * S)
    lone.wait(MAX_DELAY + 1)
    assert told(lone) == sorted([5 * S, 15 * S, 17 * S, *ALL])


def test_a_new_peer_that_is_no_neighbor_is_told_only_that_we_are_one() -> None:
    lone = peer()
    lone.ready(5 << 124)
    (update,) = updates(lone)
    assert update.type == ChordUpdateType.PEER_READY  # type: ignore[attr-defined]
    assert update.tables is None  # type: ignore[attr-defined]
    lone.ready(5 << 124)
    lone.wait(1)
    assert updates(lone) == []


def test_every_neighbor_is_sent_an_update_periodically_one_after_the_other() -> None:
    lone = peer(chord_update_interval=600)
    times: dict[int, list[float]] = {}
    for _ in range(30 * 60):
        lone.wait(2)
        sent = [each for each in told(lone) if each not in FINGERS]
        assert len(sent) <= 1
        for each in sent:
            times.setdefault(each, []).append(lone.now)
    assert sorted(times) == sorted([*BEFORE, *BEHIND])
    for each in times.values():
        assert 4 <= len(each) <= 8
        assert all(300 <= later - earlier <= 1100 for earlier, later in pairwise(each))


def test_whoever_was_told_of_a_change_is_not_told_again_before_half_the_interval() -> None:
    lone = peer(chord_update_interval=600)
    lone.wait(1000)
    lone.ready(15 * S)
    lone.wait(10)
    assert told(lone)
    lone.wait(280)
    assert told(lone) == []


def test_periodic_updates_follow_the_interval_of_the_configuration() -> None:
    lone = peer(chord_update_interval=60)
    lone.wait(600)
    assert 45 <= len(told(lone)) <= 75


def test_the_uptime_is_in_seconds_since_the_peer_came_up() -> None:
    lone = peer()
    lone.wait(100)
    lone.overlay.take()
    lone.ready(15 * S)
    lone.wait(UPDATE_DELAY)
    assert {each.uptime for each in updates(lone)} == {102}  # type: ignore[attr-defined]


def test_an_attach_with_send_update_is_answered_by_a_full_update() -> None:
    lone = peer()
    lone.link(CLIENT)
    lone.chord.on_connected(node(CLIENT), lone.now, send_update=True)
    (update,) = updates(lone)
    assert update.type == ChordUpdateType.FULL  # type: ignore[attr-defined]
    assert lone.numbers(update.tables.fingers) == [20 * S, *FINGERS, RING - 30 * S]  # type: ignore[attr-defined]
    lone.chord.on_connected(node(CLIENT), lone.now, send_update=False)
    assert updates(lone) == []


def test_a_full_update_has_no_more_fingers_than_messages_have_room_for() -> None:
    lone = peer(max_message_size=128)
    lone.link(CLIENT)
    lone.chord.on_connected(node(CLIENT), lone.now, send_update=True)
    (update,) = updates(lone)
    assert len(update.tables.fingers) == 2  # type: ignore[attr-defined]


def test_a_peer_that_does_not_answer_an_update_has_failed() -> None:
    lone = peer()
    lone.ready(15 * S)
    lone.wait(UPDATE_DELAY)
    sent = next(each for each in lone.overlay.take() if each.first_hop == node(20 * S))
    lone.fail(sent)
    assert lone.overlay.disconnected == [node(20 * S)]
    assert lone.successors == [10 * S, 15 * S, 30 * S]
    assert node(20 * S) not in lone.chord.table


def test_a_client_that_does_not_answer_an_update_is_left_connected() -> None:
    lone = peer()
    lone.link(CLIENT)
    lone.ready(15 * S)
    lone.wait(UPDATE_DELAY)
    lone.fail(next(each for each in lone.overlay.take() if each.first_hop == node(CLIENT)))
    assert lone.overlay.disconnected == []


def test_the_neighbor_table_grows_with_the_overlay_and_shrinks_not_by_one() -> None:
    lone = Lone(0).start()
    step = RING // 5000
    around = [step * each for each in range(1, 13)]
    lone.ready(*around, *[RING - each for each in around])
    lone.wait(1000)
    # ceil(log2(5000) / 2)
    assert lone.chord.table.neighbor_count == 7
    assert len(lone.successors) == len(lone.predecessors) == 7
    lone.lost(*around[:4])
    lone.wait(2000)
    # Less than 4096 peers, for whom 6 are enough.
    assert lone.chord.table.neighbor_count == 7
    lone.lost(*around[4:], *[RING - each for each in around])
    lone.ready(RING // 2, RING // 3)
    lone.wait(2000)
    assert lone.chord.table.neighbor_count == MIN_NEIGHBORS


def test_the_finger_table_grows_until_it_contains_the_last_successor() -> None:
    lone = Lone(0).start().ready(*range(10, 50), *range(RING - 50, RING - 10))
    lone.wait(1000)
    assert lone.chord.table.neighbor_count == MAX_NEIGHBORS
    assert lone.chord.table.finger_count == lone.chord.table.needed_fingers() == 123


@pytest.mark.parametrize("reactive", [False, True])
def test_who_has_left_sends_no_update_any_more(reactive: bool) -> None:
    lone = peer(chord_reactive=reactive)
    lone.ready(15)
    lone.chord.leave(lone.now)
    lone.overlay.take()
    lone.wait(4)
    lone.chord.on_connected(node(20), lone.now, send_update=True)
    lone.wait(5000)
    assert told(lone) == []
