"""The tables against an oracle that sorts and scans (RFC 6940 sections 10.1, 10.3, 10.4 and 10.7)."""

import random

from hypothesis import given
from hypothesis import strategies as st

from reload.chord_ring import RING, distance, finger_range, identifier, position
from reload.chord_tables import MAX_FINGERS, MAX_NEIGHBORS, MIN_FINGERS, MIN_NEIGHBORS, RoutingTable

# Few positions, close together and at the ends of the ring, so that everything meets; and some far away.
NEAR = st.integers(0, 24).map(lambda number: (number - 12) % RING)
POSITIONS = st.one_of(NEAR, st.integers(0, RING - 1))
OTHERS = st.lists(POSITIONS, max_size=14, unique=True)


def table_of(own: int, others: list[int], count: int = 3) -> RoutingTable:
    table = RoutingTable(identifier(own))
    table.resize(count, MIN_FINGERS)
    for other in others:
        if other != own:
            table.add(identifier(other), 0.0)
    return table


def clockwise(own: int, others: list[int]) -> list[int]:
    """The oracle: all others, the next one first."""
    return sorted([each for each in others if each != own], key=lambda each: (each - own) % RING)


@given(POSITIONS, OTHERS, st.integers(3, 5))
def test_neighbors_are_the_nearest_on_both_sides(own: int, others: list[int], count: int) -> None:
    table, ordered = table_of(own, others, count), clockwise(own, others)
    assert [position(each) for each in table.successors] == ordered[:count]
    assert [position(each) for each in table.predecessors] == ordered[::-1][:count]
    assert table.predecessor == (identifier(ordered[-1]) if ordered else None)
    assert set(table.neighbors()) == set(table.successors) | set(table.predecessors)
    assert len(set(table.neighbors())) == len(table.neighbors())
    assert all(table.is_neighbor(each) for each in table.neighbors())


@given(POSITIONS, OTHERS, POSITIONS)
def test_a_message_goes_to_the_largest_id_before_its_target_else_to_the_smallest_behind(
    own: int, others: list[int], target: int
) -> None:
    table, ordered = table_of(own, others), clockwise(own, others)
    before = [each for each in ordered if (each - own) % RING <= (target - own) % RING]
    expected = before[-1] if before else ordered[0] if ordered else None
    assert table.next_hop(identifier(target)) == (None if expected is None else identifier(expected))


@given(POSITIONS, OTHERS, POSITIONS, st.randoms(use_true_random=False))
def test_a_message_ends_however_little_peers_know_of_each_other(
    own: int, others: list[int], target: int, chance: random.Random
) -> None:
    """While some join or are lost, a peer may know the next one that another does not know yet, or no longer."""
    places = sorted({own, *others})
    tables = {place: RoutingTable(identifier(place)) for place in places}
    for at, place in enumerate(places):
        for other in places[at + 1 :]:
            if chance.random() < 0.5:
                tables[place].add(identifier(other), 0.0)
                tables[other].add(identifier(place), 0.0)
    at, previous, hops = own, None, 0
    while (start := tables[at].range_start()) != at and not 0 < (target - start) % RING <= (at - start) % RING:
        hop = tables[at].next_hop(identifier(target), previous)
        assert hop is not None
        at, previous, hops = position(hop), identifier(at), hops + 1
        assert hops <= 2 * len(places)


def test_a_message_does_not_go_back_and_forth_between_peers_of_which_one_knows_another_between_them() -> None:
    table = table_of(100, [60, 90, 70])
    assert table.next_hop(identifier(65)) == identifier(60)
    assert table.next_hop(identifier(65), identifier(60)) == identifier(70)
    assert table.next_hop(identifier(70), identifier(60)) == identifier(70)
    assert table.next_hop(identifier(65), identifier(61)) == identifier(60)
    assert table.next_hop(identifier(99), identifier(60)) == identifier(90)


@given(POSITIONS, OTHERS, st.data())
def test_tables_are_the_same_after_some_have_come_and_gone(own: int, others: list[int], data: st.DataObject) -> None:
    table = table_of(own, others)
    gone = data.draw(st.lists(st.sampled_from(others), unique=True)) if others else []
    for each in gone:
        peer = table.remove(identifier(each))
        assert (peer is None) == (each == own)
        assert table.remove(identifier(each)) is None
    left = [each for each in others if each not in gone]
    again = table_of(own, left)
    assert table.successors == again.successors
    assert table.predecessors == again.predecessors
    assert [peer.node_id for peer in table.peers()] == [peer.node_id for peer in again.peers()]
    assert len(table) == len(again)


@given(POSITIONS, OTHERS, POSITIONS)
def test_the_edition_tells_whether_the_neighbor_table_has_changed(own: int, others: list[int], new: int) -> None:
    table = table_of(own, others)
    before = table.edition, table.successors, table.predecessors
    if new != own:
        table.add(identifier(new), 0.0)
    assert (table.edition != before[0]) == ((table.successors, table.predecessors) != before[1:])
    middle = table.edition, table.successors, table.predecessors
    table.remove(identifier(new))
    assert (table.edition != middle[0]) == ((table.successors, table.predecessors) != middle[1:])


@given(POSITIONS, OTHERS, POSITIONS)
def test_who_would_be_a_neighbor_is_wanted(own: int, others: list[int], new: int) -> None:
    if new == own or new in others:
        return
    table = table_of(own, others)
    is_wanted = table.is_wanted(table.ahead(identifier(new)))
    table.add(identifier(new), 0.0)
    assert is_wanted == table.is_neighbor(identifier(new))


@given(POSITIONS, OTHERS)
def test_the_range_begins_behind_the_predecessor(own: int, others: list[int]) -> None:
    table, ordered = table_of(own, others), clockwise(own, others)
    assert table.range_start() % RING == (ordered[-1] if ordered else own)


@given(POSITIONS, OTHERS, POSITIONS)
def test_the_owner_is_the_first_at_or_behind_a_resource_where_the_neighbor_table_reaches(
    own: int, others: list[int], target: int
) -> None:
    table, ordered = table_of(own, others), clockwise(own, others)
    ring = sorted([own, *ordered], key=lambda each: (each - target) % RING)
    found = table.owner(identifier(target))
    if found is not None:
        assert found == identifier(ring[0])
    # Between the last successor and the first predecessor there may be others.
    has_gap = len(ordered) >= 6 and ring[0] in ordered[3:-2]
    assert (found is None) == has_gap


@given(POSITIONS, OTHERS, POSITIONS, POSITIONS)
def test_a_node_is_closest_when_no_peer_is_between(own: int, others: list[int], target: int, node: int) -> None:
    table, ordered = table_of(own, others), clockwise(own, others)

    def is_closest(known: list[int]) -> bool:
        return all((node - target) % RING <= (each - target) % RING for each in known)

    arguments = identifier(node), identifier(target)
    assert table.is_closest(*arguments, with_us=False) == is_closest(ordered)
    assert table.is_closest(*arguments, with_us=True) == is_closest([own, *ordered])


@given(POSITIONS, OTHERS, POSITIONS)
def test_the_replica_rank_counts_the_peers_from_a_resource_to_us(own: int, others: list[int], target: int) -> None:
    between = [each for each in others if each != own and (each - target) % RING < (own - target) % RING]
    assert table_of(own, others).replica_rank(identifier(target)) == len(between)


@given(POSITIONS, OTHERS, POSITIONS, st.integers(1, 5))
def test_following_is_how_far_the_last_of_the_next_peers_is(
    own: int, others: list[int], target: int, count: int
) -> None:
    ring = sorted({(each - target) % RING for each in [own, *others]})
    expected = ring[count - 1] if len(ring) >= count else RING
    assert table_of(own, others).following(identifier(target), count) == expected


@given(POSITIONS, OTHERS, st.integers(1, 128))
def test_a_finger_is_in_its_range_or_the_closest_preceding_peer(own: int, others: list[int], index: int) -> None:
    table, ordered = table_of(own, others), clockwise(own, others)
    start, stop = finger_range(index)
    inside = [each for each in ordered if start <= (each - own) % RING < stop]
    before = [each for each in ordered if (each - own) % RING < start]
    assert [position(peer.node_id) for peer in table.in_range(index)] == inside
    expected = inside[0] if inside else before[-1] if before else None
    finger = table.finger(index)
    assert (finger and position(finger.node_id)) == expected


@given(POSITIONS, st.lists(st.integers(0, RING - 1), max_size=40, unique=True))
def test_fingers_are_one_of_each_range_in_ascending_order(own: int, others: list[int]) -> None:
    table = table_of(own, others)
    fingers = table.fingers()
    assert list(fingers) == sorted(fingers)
    indexes = [129 - distance(own, position(each)).bit_length() for each in fingers]
    assert len(set(indexes)) == len(indexes)
    for index in table.invalid_fingers():
        assert not table.in_range(index)
        # Beyond the last successor: what is nearer is known already.
        last = table.ahead(table.successors[-1])
        assert finger_range(index)[1] > last


def test_a_small_ring_has_no_invalid_fingers_because_all_are_neighbors() -> None:
    assert table_of(0, []).invalid_fingers() == []
    assert table_of(0, [1, 2, 3, 4, 5]).invalid_fingers() == []


def test_ranges_without_a_peer_are_invalid_down_to_the_last_successor() -> None:
    table = table_of(0, [1, 2, 1 << 120, RING - 1, RING - 2, RING - 3])
    assert table.invalid_fingers() == [2, 3, 4, 5, 6, 7]
    table.add(identifier(1 << 124), 0.0)
    assert table.invalid_fingers() == [2, 3, 5, 6, 7]


def test_the_own_node_id_and_unknown_ones_are_not_in_the_table() -> None:
    table = table_of(7, [1, 2])
    assert identifier(1) in table
    assert identifier(7) not in table
    assert table.get(identifier(9)) is None


def test_a_peer_that_is_added_again_keeps_its_place_and_tells_a_new_uptime() -> None:
    table = table_of(7, [1, 2])
    edition = table.edition
    peer = table.add(identifier(1), 42.0)
    assert (peer.since, len(table), table.edition) == (42.0, 2, edition)


def test_sizes_stay_within_their_limits() -> None:
    table = table_of(0, [])
    table.resize(0, 0)
    assert (table.neighbor_count, table.finger_count) == (MIN_NEIGHBORS, MIN_FINGERS)
    table.resize(1000, 1000)
    assert (table.neighbor_count, table.finger_count) == (MAX_NEIGHBORS, MAX_FINGERS)


def test_the_finger_table_can_be_made_large_enough_for_the_last_successor() -> None:
    assert table_of(0, []).needed_fingers() == MIN_FINGERS
    assert table_of(0, [1, 2, 4]).needed_fingers() == 126
    assert table_of(0, [1, 2, 3, RING // 2]).needed_fingers() == 127


def test_the_size_of_the_overlay_is_estimated_by_the_distances_of_neighbors() -> None:
    assert table_of(0, []).estimated_size() == 1
    assert table_of(0, [5, 6, 7]).estimated_size() == 4
    step = RING // 1000
    even = table_of(0, [step * number for number in (1, 2, 3, 997, 998, 999)])
    assert 990 < even.estimated_size() < 1010


def test_a_cleared_table_is_empty() -> None:
    table = table_of(0, [1, 2, 3])
    table.clear()
    assert (len(table), table.successors, table.predecessors, table.next_hop(identifier(9))) == (0, (), (), None)


def test_surplus_peers_are_those_of_the_fullest_range_and_never_near_ones() -> None:
    near = [*range(1, 7), *range(RING - 6, RING)]
    assert table_of(0, near).surplus() == []
    half = RING // 2
    table = table_of(0, [*near, *range(half, half + 5), RING // 4])
    assert [position(peer.node_id) for peer in table.surplus()] == [half + 2, half + 3, half + 4]


def test_a_peer_that_knows_us_only_as_one_far_behind_the_target_has_misrouted() -> None:
    table = table_of(100, [10, 60, 70, 80, 90])
    assert table.is_misrouted(identifier(10), identifier(55))
    assert not table.is_misrouted(identifier(10), identifier(75))
    assert not table.is_misrouted(identifier(10), identifier(200))
    assert not table.is_misrouted(identifier(11), identifier(55))
