"""Where values belong (RFC 6940 sections 7.4.1.1, 10.1, 10.4 and 10.7.3)."""

from hypothesis import given
from hypothesis import strategies as st
from reload_chord import RING, Lone, LoneOverlay, node

from reload.chord_overlay import ChordOverlay
from reload.chord_placement import HOLD_DOWN, ChordPlacement

POSITIONS = st.one_of(st.integers(0, 24).map(lambda number: (number - 12) % RING), st.integers(0, RING - 1))


def placement(own: int, others: list[int]) -> ChordPlacement:
    chord = ChordOverlay(LoneOverlay(node(own)), 0.0)
    chord.is_joined = True
    for other in others:
        if other != own:
            chord.table.add(node(other), 0.0)
    made = ChordPlacement(chord)
    made.refresh(0.0)
    return made


@given(st.lists(POSITIONS, min_size=1, max_size=8, unique=True), POSITIONS)
def test_exactly_one_peer_of_a_ring_is_responsible_for_each_resource(ring: list[int], resource: int) -> None:
    responsible = [own for own in ring if placement(own, ring).is_responsible(node(resource))]
    assert responsible == [min(ring, key=lambda each: (each - resource) % RING)]


@given(st.lists(POSITIONS, min_size=1, max_size=8, unique=True), POSITIONS)
def test_a_ring_agrees_about_who_keeps_and_who_sends_replicas(ring: list[int], resource: int) -> None:
    ordered = sorted(ring, key=lambda each: (each - resource) % RING)
    holders = ordered[:3]
    assert sorted(own for own in ring if placement(own, ring).keeps(node(resource))) == sorted(holders)
    assert placement(ordered[0], ring).replica_peers(node(resource)) == tuple(map(node, holders[1:]))
    for own in ring:
        for sender in ring:
            accepts = placement(own, ring).accepts_replica([node(sender)], node(resource), 1)
            assert accepts == (own in holders and sender in holders)


def test_one_of_several_senders_is_enough() -> None:
    made = placement(100, [70, 80, 90, 110])
    assert made.accepts_replica([node(5000), node(80)], node(75), 1)
    assert not made.accepts_replica([node(5000)], node(75), 1)
    assert not made.accepts_replica([], node(75), 1)


def test_a_sender_that_is_not_known_is_accepted_if_it_is_closer_than_some_replica_peer() -> None:
    assert placement(100, [70, 80, 90, 110]).accepts_replica([node(76)], node(75), 1)


def test_a_peer_that_is_alone_is_responsible_for_everything() -> None:
    made = placement(100, [])
    assert made.is_responsible(node(100))
    assert made.is_responsible(node(101))
    assert made.responsible_ppb() == 1_000_000_000
    assert made.owner(node(5)) == node(100)
    assert made.replica_peers(node(5)) == ()
    assert made.keeps(node(101))


def test_the_share_of_the_ring_is_told_in_parts_per_billion() -> None:
    assert placement(RING // 4, [0]).responsible_ppb() == 250_000_000
    assert placement(0, [RING // 4]).responsible_ppb() == 750_000_000


def test_who_is_no_peer_is_responsible_for_nothing() -> None:
    chord = ChordOverlay(LoneOverlay(node(100)), 0.0)
    made = ChordPlacement(chord)
    assert not made.is_responsible(node(100))
    assert made.responsible_ppb() == 0
    assert made.owner(node(100)) is None
    assert made.replica_peers(node(100)) == ()


def test_who_joins_accepts_replicas_before_it_is_a_peer() -> None:
    lone = Lone(100)
    lone.link(50)
    lone.chord.join(node(50), 0.0)
    lone.ready(150)
    assert lone.chord.accepts_replica([node(150)], node(75), 1)
    assert not lone.chord.accepts_replica([node(50)], node(75), 1)


def test_who_is_neither_a_peer_nor_about_to_be_one_accepts_replicas_of_nobody() -> None:
    lone = Lone(100)
    assert not lone.chord.accepts_replica([node(150)], node(75), 1)
    lone.ready(50, 150)
    assert not lone.chord.accepts_replica([node(150)], node(75), 1)
    lone.start()
    assert lone.chord.accepts_replica([node(150)], node(75), 1)
    lone.chord.leave(0.0)
    assert not lone.chord.accepts_replica([node(150)], node(75), 1)


def test_a_response_is_plausible_if_no_known_peer_is_closer() -> None:
    made = placement(100, [50, 200])
    assert made.is_plausible_responder(node(200), node(150))
    assert made.is_plausible_responder(node(160), node(150))
    assert not made.is_plausible_responder(node(201), node(150))
    assert not made.is_plausible_responder(node(200), node(70))


def test_a_new_successor_gets_replicas_at_once() -> None:
    lone = Lone(0).start().ready(100, 200, RING - 5)
    assert lone.chord.replica_peers(b"") == (node(100), node(200))
    placements = lone.overlay.placements
    lone.ready(150)
    assert lone.chord.replica_peers(b"") == (node(100), node(150))
    assert lone.overlay.placements == placements + 1


def test_a_replaced_successor_gets_replicas_after_the_hold_down() -> None:
    lone = Lone(0).start().ready(100, 200, 300, 400, RING - 5)
    lone.lost(200)
    assert lone.chord.replica_peers(b"") == (node(100),)
    placements = lone.overlay.placements
    lone.wait(HOLD_DOWN - 1)
    assert lone.chord.replica_peers(b"") == (node(100),)
    lone.ready(250)
    lone.wait(2)
    assert lone.chord.replica_peers(b"") == (node(100), node(250))
    assert lone.overlay.placements > placements


def test_a_further_loss_does_not_prolong_the_hold_down() -> None:
    lone = Lone(0).start().ready(100, 200, 300, 400, 500, RING - 5)
    lone.lost(200)
    lone.wait(20)
    lone.lost(100)
    assert lone.chord.replica_peers(b"") == (node(300),)
    lone.wait(11)
    assert lone.chord.replica_peers(b"") == (node(300), node(400))


def test_when_nobody_else_has_replicas_the_next_successor_gets_them_at_once() -> None:
    lone = Lone(0).start().ready(100, 200, 300, 400, RING - 5)
    lone.lost(100)
    lone.lost(200)
    assert lone.chord.replica_peers(b"") == (node(300),)
    lone.wait(HOLD_DOWN)
    assert lone.chord.replica_peers(b"") == (node(300), node(400))


def test_who_joins_during_the_hold_down_gets_replicas_at_once() -> None:
    lone = Lone(0).start().ready(100, 200, 300, 400, RING - 5)
    lone.lost(200)
    lone.ready(150)
    assert lone.chord.replica_peers(b"") == (node(100), node(150))
    lone.lost(150)
    assert lone.chord.replica_peers(b"") == (node(100),)
    lone.ready(50)
    assert lone.chord.replica_peers(b"") == (node(50), node(100))


def test_nothing_is_moved_when_only_far_peers_change() -> None:
    lone = Lone(0).start().ready(100, 200, 300, RING - 7, RING - 8, RING - 9)
    placements = lone.overlay.placements
    lone.ready(5000)
    lone.lost(5000)
    lone.ready(400)
    assert lone.overlay.placements == placements


def test_values_are_moved_when_the_predecessors_of_a_replica_change() -> None:
    lone = Lone(0).start().ready(100, RING - 10, RING - 20, RING - 40)
    placements = lone.overlay.placements
    assert lone.chord.keeps(node(RING - 35))
    lone.ready(RING - 30)
    assert lone.overlay.placements == placements + 1
    assert not lone.chord.keeps(node(RING - 35))
