"""The search for fingers, and for partitions (RFC 6940 sections 10.7.2 and 10.7.4)."""

from itertools import pairwise

import pytest
from reload_chord import RING, Lone, node

from reload.chord_ring import finger_index, finger_range, position
from reload.chord_stabilise import MAX_CHECKS, MAX_FINGER_ATTACHES, SEARCH_DELAY
from reload.contents import MessageCode
from reload.destinations import NodeDestination, ResourceDestination
from reload.methods import ChordUpdateType

STEP = 1 << 118
NEAR = [STEP, 2 * STEP, 3 * STEP, RING - STEP, RING - 2 * STEP, RING - 3 * STEP]


def peer(*more: int, seed: int = 1, **changes: object) -> Lone:
    """A peer in an overlay of about a thousand, with its neighbors; more fingers may be given."""
    lone = Lone(0, seed, **changes).start().ready(*NEAR, *more)
    lone.wait(2)
    lone.overlay.take()
    return lone


def pings(lone: Lone) -> list[int]:
    """The i of the ranges that were pinged since."""
    found = [each.destination_list for each in lone.overlay.take(MessageCode.PING_REQ)]
    assert all(len(each) == 1 and isinstance(each[0], ResourceDestination) for each in found)
    return [finger_index(position(each[0].resource_id)) for each in found]  # type: ignore[union-attr]


def test_the_ranges_without_a_finger_are_pinged_the_farthest_most() -> None:
    lone = peer(chord_ping_interval=100)
    found: list[int] = []
    for _ in range(600):
        lone.wait(100)
        found += pings(lone)
    counts = [found.count(index) for index in range(2, 9)]
    assert set(found) == set(range(2, 9))
    # Each has half the chance of the one before: 2 is the first without, as the predecessors are in the first range.
    assert all(before > after for before, after in pairwise(counts[:4]))
    assert 0.35 < counts[1] / counts[0] < 0.65


def test_no_more_than_one_ping_an_interval() -> None:
    lone = peer(chord_ping_interval=3600)
    for _ in range(40):
        lone.wait(3600)
        assert len(pings(lone)) <= 1


def test_the_default_interval_is_an_hour() -> None:
    lone = peer()
    lone.wait(1799)
    assert pings(lone) == []


def test_whoever_answers_from_the_range_is_attached_and_is_a_finger_with_its_update() -> None:
    lone = peer(chord_ping_interval=100)
    lone.wait(150)
    ping = lone.overlay.take(MessageCode.PING_REQ)[0]
    index = finger_index(position(ping.destination_list[0].resource_id))  # type: ignore[union-attr]
    found = finger_range(index)[0] + 5
    lone.answer(ping, found)
    (attach,) = lone.overlay.take_attaches()
    # "All other Attach requests are routed conventionally": section 10.6.
    assert attach.destination_list == (NodeDestination(node(found)),)
    assert attach.send_update
    lone.attached(attach, found)
    assert index in lone.chord.table.invalid_fingers()
    lone.update(found)
    assert index not in lone.chord.table.invalid_fingers()
    # And it learns that we are one.
    (update,) = [each for each in lone.overlay.take(MessageCode.UPDATE_REQ) if each.first_hop == node(found)]
    assert update.body.type == ChordUpdateType.PEER_READY


@pytest.mark.parametrize(
    "found", [pytest.param(0, id="ourselves"), pytest.param(NEAR[0], id="a neighbor"), pytest.param(1, id="no finger")]
)
def test_who_answers_from_elsewhere_is_not_attached(found: int) -> None:
    lone = peer(chord_ping_interval=100)
    lone.wait(150)
    lone.answer(lone.overlay.take(MessageCode.PING_REQ)[0], found)
    assert lone.overlay.take_attaches() == []


def test_who_answers_from_behind_the_range_is_not_attached() -> None:
    lone = peer(chord_ping_interval=100)
    for _ in range(10):
        lone.wait(150)
        for ping in lone.overlay.take(MessageCode.PING_REQ):
            index = finger_index(position(ping.destination_list[0].resource_id))  # type: ignore[union-attr]
            lone.answer(ping, finger_range(index)[1])
            assert lone.overlay.take_attaches() == []


def test_an_answerer_that_is_connected_already_is_asked_for_its_update() -> None:
    lone = peer(chord_ping_interval=100)
    lone.wait(150)
    ping = lone.overlay.take(MessageCode.PING_REQ)[0]
    found = position(ping.destination_list[0].resource_id)  # type: ignore[union-attr]
    lone.link(found)
    lone.answer(ping, found)
    assert lone.overlay.take_attaches() == []
    (query,) = lone.overlay.take(MessageCode.ROUTE_QUERY_REQ)
    assert query.first_hop == node(found)


def test_an_unanswered_ping_is_no_harm() -> None:
    lone = peer(chord_ping_interval=100)
    lone.wait(150)
    lone.fail(lone.overlay.take(MessageCode.PING_REQ)[0])
    assert lone.overlay.take_attaches() == []


def test_a_failed_finger_is_searched_for_at_once_in_reactive_recovery() -> None:
    lone = peer(1 << 126)
    lone.lost(1 << 126)
    # The closest preceding peer is in its place until another is found.
    assert lone.chord.table.finger(2).node_id == node(3 * STEP)  # type: ignore[union-attr]
    lone.wait(SEARCH_DELAY)
    assert pings(lone) == [2]


def test_a_failed_finger_is_not_searched_for_while_another_is_in_its_range() -> None:
    lone = peer(1 << 126, (1 << 126) + 1)
    lone.lost(1 << 126)
    lone.wait(SEARCH_DELAY)
    assert pings(lone) == []
    assert lone.chord.table.finger(2).node_id == node((1 << 126) + 1)  # type: ignore[union-attr]


def test_a_failed_finger_waits_for_its_turn_in_periodic_recovery() -> None:
    lone = peer(1 << 126, chord_reactive=False)
    lone.lost(1 << 126)
    lone.wait(SEARCH_DELAY)
    assert pings(lone) == []


def test_many_failed_fingers_are_searched_for_by_few_pings() -> None:
    fingers = [1 << bit for bit in range(120, 127)]
    lone = peer(*fingers)
    lone.lost(*fingers)
    lone.wait(SEARCH_DELAY)
    assert 0 < len(pings(lone)) <= 2 * MAX_FINGER_ATTACHES


def test_a_table_of_less_than_sixteen_is_filled_up_when_all_ranges_have_a_finger() -> None:
    lone = peer(*[1 << bit for bit in range(120, 127)], chord_ping_interval=100)
    assert lone.chord.table.invalid_fingers() == []
    lone.wait(1000)
    assert pings(lone)
    lone.ready(*[(1 << 125) + each for each in range(1, 6)])
    assert len(lone.chord.table) >= 16
    lone.overlay.take()
    lone.wait(1000)
    assert pings(lone) == []


def test_fingers_that_were_quiet_are_checked_by_peer_ready() -> None:
    lone = peer(1 << 126, 1 << 125, chord_ping_interval=100, chord_update_interval=100000)
    lone.wait(45)
    lone.link(1 << 125)
    lone.overlay.take()
    lone.wait(60)
    checks = [each for each in lone.overlay.take(MessageCode.UPDATE_REQ) if each.body.tables is None]
    assert [each.first_hop for each in checks] == [node(1 << 126)]
    lone.fail(checks[0])
    assert node(1 << 126) not in lone.chord.table


# Partitions.


def discovered(lone: Lone, bootstrap: int = 5 << 120) -> object:
    """A bootstrap node is found; the Ping through it."""
    lone.link(bootstrap)
    lone.chord.on_bootstrap(node(bootstrap), lone.now)
    return lone.overlay.take(MessageCode.PING_REQ)[-1]


def test_a_bootstrap_node_is_wanted_periodically() -> None:
    lone = peer(chord_update_interval=600)
    lone.events()
    lone.wait(900)
    assert "BootstrapWanted" in lone.events()
    lone.wait(6000)
    assert 5 <= len(lone.events()) <= 14


def test_the_place_behind_us_is_pinged_through_the_bootstrap_node() -> None:
    lone = peer()
    ping = discovered(lone)
    assert ping.destination_list == (NodeDestination(node(5 << 120)), ResourceDestination(node(1)))  # type: ignore[attr-defined]
    assert ping.first_hop == node(5 << 120)  # type: ignore[attr-defined]


def test_if_our_successor_answers_all_is_well_and_the_link_is_closed() -> None:
    lone = peer()
    lone.answer(discovered(lone), STEP)  # type: ignore[arg-type]
    assert lone.overlay.take_attaches() == []
    assert lone.overlay.take() == []
    assert lone.overlay.disconnected == [node(5 << 120)]


def test_if_nobody_answers_the_link_is_closed() -> None:
    lone = peer()
    lone.fail(discovered(lone))  # type: ignore[arg-type]
    assert lone.overlay.disconnected == [node(5 << 120)]


def test_if_another_answers_it_is_attached_through_the_bootstrap_node_and_sent_an_update() -> None:
    lone = peer()
    lone.answer(discovered(lone), 17)  # type: ignore[arg-type]
    (attach,) = lone.overlay.take_attaches()
    assert attach.destination_list == (NodeDestination(node(5 << 120)), NodeDestination(node(17)))
    lone.attached(attach, 17)
    (update,) = lone.overlay.take(MessageCode.UPDATE_REQ)
    assert (update.first_hop, update.body.type) == (node(17), ChordUpdateType.NEIGHBORS)
    assert lone.overlay.disconnected == [node(5 << 120)]


def test_if_another_answers_that_is_connected_it_is_told_and_asked() -> None:
    lone = peer()
    ping = discovered(lone)
    lone.link(17)
    lone.answer(ping, 17)  # type: ignore[arg-type]
    assert lone.overlay.take_attaches() == []
    assert [each.code for each in lone.overlay.take()] == [MessageCode.UPDATE_REQ, MessageCode.ROUTE_QUERY_REQ]


def test_a_bootstrap_node_that_is_a_peer_of_ours_stays_connected() -> None:
    lone = peer(5 << 120)
    lone.answer(discovered(lone), STEP)  # type: ignore[arg-type]
    assert lone.overlay.disconnected == []


def test_checks_at_the_same_time_are_limited() -> None:
    lone = peer()
    for number in range(20):
        lone.link(number + (5 << 120))
        lone.chord.on_bootstrap(node(number + (5 << 120)), lone.now)
    assert len(lone.overlay.take(MessageCode.PING_REQ)) == MAX_CHECKS
    assert lone.overlay.disconnected == [node(number + (5 << 120)) for number in range(MAX_CHECKS, 20)]
    lone.chord.on_bootstrap(node(5 << 120), lone.now)
    assert lone.overlay.is_quiet_since(node(5 << 120)) is not None


def test_who_is_no_peer_checks_nothing_and_neither_does_one_without_a_link() -> None:
    lone = Lone(0)
    lone.link(77)
    lone.chord.on_bootstrap(node(77), 0.0)
    assert lone.overlay.take() == []
    lone = peer()
    lone.chord.on_bootstrap(node(77), lone.now)
    assert lone.overlay.take() == []


def test_who_has_nobody_left_joins_through_the_bootstrap_node() -> None:
    lone = Lone(0).start()
    ping = discovered(lone, 77)
    lone.answer(ping, 77)  # type: ignore[arg-type]
    lone.update(77, [], [], [])
    (join,) = lone.overlay.take(MessageCode.JOIN_REQ)
    assert join.first_hop == node(77)


def test_who_leaves_looks_for_nothing_any_more() -> None:
    lone = peer(1 << 126)
    ping = discovered(lone)
    lone.lost(1 << 126)
    lone.chord.leave(lone.now)
    lone.events()
    lone.overlay.take()
    lone.answer(ping, 17)  # type: ignore[arg-type]
    lone.wait(20000)
    assert lone.overlay.take() == []
    assert lone.overlay.take_attaches() == []
    assert lone.events() == ["Left"]
