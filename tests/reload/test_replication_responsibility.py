"""Loss of responsibility, hand-over, merging (RFC 6940 sections 6.4.2.3, 7.4.1.1, 10.4 and 10.7.3).

HOME belongs to site 5 of a ring, and its replicas to 6 and 7.
"""

import attrs
import pytest
from reload_keepers import LONG, Site, World, at, forbid, is_settled, join, ring, single, write_many
from reload_storing import ALICE, ARRAY, DICTIONARY, HOME, SINGLE, entry, item, of, signed, there

from reload._backlog import FIRST_PAUSE, LONGEST_PAUSE
from reload.contents import ErrorCode, ErrorResponse
from reload.null_security import NullSigner
from reload.replication import ORPHAN_TIME, SETTLE_TIME
from reload.storage_messages import FetchReq, StoreReq

# -- responsibility ----------------------------------------------------------------------------------------------------


def test_who_is_no_longer_responsible_stores_at_who_is() -> None:
    world = World(1, 3, 6, 7, 9)
    world.write(6, HOME, of(SINGLE, single()), by=ALICE)
    world.run(1)
    world.sent.clear()
    join(world, 5)
    world.run(1)
    assert world.stores()[0] == attrs.evolve(world.stores()[0], sender=6, receiver=5)
    assert world.sites[5].holds(HOME)
    assert [sent.sender for sent in world.stores() if sent.receiver == 5] == [6]


def test_who_becomes_responsible_by_a_failure_sends_the_data_to_its_own_successors() -> None:
    world = ring()
    world.fail(5)
    world.run(100)
    assert [(sent.sender, sent.receiver) for sent in world.stores()] == [(6, 7), (6, 9)]


def test_who_is_responsible_again_sends_to_those_who_may_have_forgotten_meanwhile() -> None:
    world = ring(1, 3, 6, 7, 9)
    join(world, 5)
    world.run(2 * SETTLE_TIME)
    assert world.holders(HOME) == [5, 6, 7]
    world.fail(5)
    world.run(1)
    assert world.holders(HOME) == [6, 7, 9]


def test_a_replica_is_forgotten_once_three_others_are_nearer_and_some_time_has_passed() -> None:
    world = ring(1, 3, 6, 7, 9)
    join(world, 5)
    world.run(SETTLE_TIME - 5)
    assert world.holders(HOME) == [5, 6, 7, 9]
    world.run(10)
    assert world.holders(HOME) == [5, 6, 7]


def test_a_replica_stays_when_the_nearer_peers_are_gone_before_the_time_has_passed() -> None:
    world = ring(1, 3, 6, 7, 9)
    join(world, 5)
    world.run(SETTLE_TIME / 2)
    world.fail(5)
    world.run(2 * SETTLE_TIME)
    assert world.holders(HOME) == [6, 7, 9]


def test_the_last_copy_is_never_forgotten() -> None:
    world = World(1, 3, 5, 6, 7, 9)
    world.refuse = forbid([1, 3, 5, 6, 7])
    for site in world.up():
        site.knows()
    world.write(9, HOME, of(SINGLE, single()), by=ALICE)
    world.all_know()
    world.run(5000)
    assert world.holders(HOME) == [9]
    world.refuse = forbid([])
    for site in world.up():
        site.placement.accepts_replica = lambda *_: True  # type: ignore[method-assign]
    world.run(LONGEST_PAUSE + SETTLE_TIME + 10)
    assert world.holders(HOME) == [5, 6, 7]


def test_without_a_neighbor_that_is_responsible_the_store_is_routed_to_the_resource() -> None:
    world = World(1, 3, 5, 9)
    for site in world.up():
        site.knows()
    world.write(9, HOME, of(SINGLE, single()), by=ALICE)
    for site in world.up():
        site.placement.shows_owner = False
        site.placement.accepts_replica = lambda *_: True  # type: ignore[method-assign]
    world.all_know()
    world.run(1)
    assert (world.stores()[0].sender, world.stores()[0].receiver) == (9, 5)
    assert world.sites[5].holds(HOME)


def test_when_the_responsible_peer_fails_before_a_newcomer_has_the_data_the_replicas_give_it() -> None:
    world = ring(1, 3, 6, 7, 9)
    world.refuse = forbid([5])
    join_by_hand_over(world, 5, 6)
    world.run(1)
    world.all_know()
    world.fail(6)
    world.refuse = forbid([])
    world.run(ORPHAN_TIME + 1)
    assert world.holders(HOME) == [5, 7, 9]
    assert {sent.sender for sent in world.stores() if sent.receiver == 5 and sent.time > 10} <= {7, 9}


def test_who_leaves_does_not_wait_with_what_nobody_else_is_known_to_have() -> None:
    world = ring(1, 3, 6, 7, 9)
    world.refuse = forbid([5])
    join_by_hand_over(world, 5, 6)
    world.run(1)
    world.all_know()
    world.fail(6)
    world.refuse = forbid([])
    world.run(1)
    assert not world.sites[5].holds(HOME)
    world.sites[7].keeper.hurry(world.now)
    world.run(0.1)
    assert world.sites[5].holds(HOME)


def test_a_replica_is_sent_to_nobody_when_the_next_peer_sends_its_own_in_time() -> None:
    world = ring()
    world.fail(5)
    world.run(2 * ORPHAN_TIME)
    assert {sent.sender for sent in world.stores()} == {6}


# -- hand-over ---------------------------------------------------------------------------------------------------------


def hand_over(world: World, giver: int, taker: int) -> int:
    taken = at(taker)

    def belongs(resource: bytes) -> bool:
        return resource <= taken

    return world.sites[giver].keeper.hand_over(at(taker), belongs, world.now)


def join_by_hand_over(world: World, number: int, giver: int) -> int:
    site = world.sites[number] = Site(world, number)
    site.knows(*world.sites)
    return hand_over(world, giver, number)


def test_a_hand_over_ends_when_all_is_stored() -> None:
    world = ring(1, 3, 6, 7, 9)
    handle = join_by_hand_over(world, 5, 6)
    assert world.sites[6].keeper.handed_over() == []
    world.run(1)
    assert world.sites[5].holds(HOME)
    assert world.sites[6].keeper.handed_over() == [handle]
    assert world.sites[6].keeper.handed_over() == []


def test_a_hand_over_of_nothing_ends_at_once_but_not_before_it_returns() -> None:
    world = World(5, 6)
    handle = world.sites[5].keeper.hand_over(at(6), lambda resource: True, 0.0)
    assert world.sites[5].keeper.handed_over() == [handle]


def test_a_hand_over_of_what_is_known_to_be_there_sends_nothing() -> None:
    world = ring()
    handle = world.sites[5].keeper.hand_over(at(6), lambda resource: True, world.now)
    assert world.sites[5].keeper.handed_over() == [handle]
    assert world.sent == []


def test_what_is_stored_during_a_hand_over_is_handed_over_too() -> None:
    world = World(1, 3, 6, 7, 9)
    write_many(world, 100)
    world.run(30)
    handle = join_by_hand_over(world, 5, 6)
    world.write(6, HOME, of(SINGLE, single(time=7)), by=ALICE)
    world.run(10)
    assert world.sites[6].keeper.handed_over() == [handle]
    assert world.sites[5].holds(HOME) == world.sites[6].holds(HOME) != []


def test_a_hand_over_does_not_last_as_long_as_somebody_keeps_writing() -> None:
    world = ring(1, 3, 6, 7, 9)
    handle = join_by_hand_over(world, 5, 6)
    for time in range(2, 60):
        world.write(6, HOME, of(SINGLE, single(b"%d" % time, time=time)), by=ALICE)
        world.run(0.01)
    assert world.sites[6].keeper.handed_over() == [handle]
    world.all_know()
    world.run(1)
    assert world.sites[5].holds(HOME) == world.sites[6].holds(HOME)


def test_a_hand_over_to_a_peer_that_refuses_ends_all_the_same() -> None:
    world = ring(1, 3, 6, 7, 9)
    world.refuse = forbid([5])
    handle = join_by_hand_over(world, 5, 6)
    world.run(2 * FIRST_PAUSE + 1)
    assert world.sites[6].keeper.handed_over() == [handle]


def test_a_hand_over_to_a_peer_that_is_silent_ends_all_the_same() -> None:
    world = World(1, 3, 6, 7, 9)
    write_many(world, 500)
    world.run(60)
    handle = join_by_hand_over(world, 5, 6)
    world.sites[5].is_up = False
    world.run(45)
    assert world.sites[6].keeper.handed_over() == [handle]


def test_a_hand_over_to_a_peer_that_is_lost_ends_at_once() -> None:
    world = ring(1, 3, 6, 7, 9)
    handle = join_by_hand_over(world, 5, 6)
    world.sites[6].keeper.peer_lost(at(5), world.now)
    assert world.sites[6].keeper.handed_over() == [handle]


def test_what_could_not_be_handed_over_is_given_when_the_peer_is_responsible() -> None:
    world = ring(1, 3, 6, 7, 9)
    world.refuse = forbid([5])
    join_by_hand_over(world, 5, 6)
    world.run(20)
    world.refuse = forbid([])
    world.all_know()
    world.run(30)
    assert world.holders(HOME)[:3] == [5, 6, 7]


def test_after_a_hand_over_the_new_responsible_peer_is_sent_nothing_more() -> None:
    world = ring(1, 3, 6, 7, 9)
    join_by_hand_over(world, 5, 6)
    world.run(1)
    world.sent.clear()
    world.all_know()
    world.run(1)
    assert [sent for sent in world.stores() if sent.receiver == 5] == []


# -- merging -----------------------------------------------------------------------------------------------------------


def partitioned() -> World:
    """6, 7 and 9 know only each other, and so do 1, 3 and 5. Each half has written at HOME."""
    world = World(1, 3, 5, 6, 7, 9)
    for number in (1, 3, 5):
        world.sites[number].knows(1, 3, 5)
    for number in (6, 7, 9):
        world.sites[number].knows(6, 7, 9)
    return world


def heal(world: World) -> None:
    for site in world.up():
        site.placement.accepts_replica = lambda *_: True  # type: ignore[method-assign]
    world.all_know()
    world.run(10)
    world.run(2 * SETTLE_TIME)


@pytest.mark.parametrize("newer", [5, 6])
def test_two_halves_agree_on_the_value_that_was_stored_later(newer: int) -> None:
    world = partitioned()
    older = 11 - newer
    world.write(older, HOME, of(SINGLE, single(b"old", time=1)), by=ALICE)
    world.write(newer, HOME, of(SINGLE, single(b"new", time=2)), by=ALICE)
    world.run(5)
    expected = world.sites[newer].holds(HOME)
    heal(world)
    assert world.holders(HOME) == [5, 6, 7]
    assert [world.sites[number].holds(HOME) for number in (5, 6, 7)] == [expected] * 3


def test_two_halves_merge_what_each_has_in_a_dictionary_and_an_array() -> None:
    world = partitioned()
    world.write(5, HOME, of(DICTIONARY, signed(DICTIONARY, item(b"a", b"1"), time=1, lifetime=LONG)), by=ALICE)
    world.write(5, HOME, of(DICTIONARY, signed(DICTIONARY, item(b"c", b"new"), time=9, lifetime=LONG)), by=ALICE)
    world.write(6, HOME, of(DICTIONARY, signed(DICTIONARY, item(b"b", b"2"), time=2, lifetime=LONG)), by=ALICE)
    world.write(6, HOME, of(DICTIONARY, signed(DICTIONARY, item(b"c", b"old"), time=3, lifetime=LONG)), by=ALICE)
    world.write(5, HOME, of(ARRAY, signed(ARRAY, entry(0, b"x"), time=5, lifetime=LONG)), by=ALICE)
    world.write(6, HOME, of(ARRAY, signed(ARRAY, entry(0, b"y"), time=6, lifetime=LONG)), by=ALICE)
    world.run(5)
    heal(world)
    held = world.sites[5].holds(HOME)
    assert len(held) == 4
    assert any(b"new" in each for each in held)
    assert not any(b"old" in each for each in held)
    assert any(b"y" in each for each in held)
    assert [world.sites[number].holds(HOME) for number in (6, 7)] == [held] * 2


def test_a_peer_that_is_told_its_data_is_too_old_fetches_from_who_said_so_what_it_had_sent() -> None:
    world = partitioned()
    world.write(6, HOME, of(SINGLE, single(b"old", time=1)), by=ALICE)
    world.write(5, HOME, of(SINGLE, single(b"new", time=2)), by=ALICE)
    world.run(5)
    world.sent.clear()
    world.all_know()
    world.run(2)
    fetch = next(sent for sent in world.sent if isinstance(sent.body, FetchReq))
    assert (fetch.sender, fetch.receiver) == (6, 5)
    assert [specifier.kind for specifier in fetch.body.specifiers] == [SINGLE.id]
    assert world.sites[6].holds(HOME) == world.sites[5].holds(HOME)


def test_a_generation_that_is_said_to_be_too_low_leads_to_a_fetch_too() -> None:
    world = World(5, 6, 7)
    told: list[int] = []

    def refuse(sender: Site, receiver: Site, body: object) -> ErrorResponse | None:
        if receiver.number == 6 and isinstance(body, StoreReq) and not told:
            told.append(sender.number)
            newer = of(SINGLE, single(b"new", time=8), generation=9)
            assert receiver.storage is not None
            receiver.store(
                StoreReq(HOME, 1, (newer,)), sender.identity, ALICE.certificates + sender.signer.certificates
            )
            return ErrorResponse(ErrorCode.GENERATION_COUNTER_TOO_LOW)
        return None

    world.refuse = refuse
    world.write(5, HOME, of(SINGLE, single(b"old", time=1)), by=ALICE)
    world.run(5)
    copy = world.sites[5].storage.values_of(HOME, world.now)
    assert copy is not None
    assert [(value.generation, b"new" in value.octets) for value in copy.values] == [(9, True)]
    assert world.sites[7].holds(HOME) == world.sites[6].holds(HOME) == world.sites[5].holds(HOME)


def test_a_peer_that_says_too_old_and_has_nothing_newer_is_not_asked_without_end() -> None:
    world = World(5, 6, 7)

    def refuse(sender: Site, receiver: Site, body: object) -> ErrorResponse | None:
        is_store = isinstance(body, StoreReq) and receiver.number == 6
        return ErrorResponse(ErrorCode.DATA_TOO_OLD) if is_store else None

    world.refuse = refuse
    world.write(5, HOME, of(SINGLE, single()), by=ALICE)
    world.run(1000)
    assert len(world.sent) < 30
    assert world.holders(HOME) == [5, 7]


def test_a_peer_that_calls_identical_values_too_old_is_taken_to_have_them() -> None:
    """Where a receiver takes section 7 by the letter, as if T5 were not."""
    world = World(5, 6, 7)

    def refuse(sender: Site, receiver: Site, body: object) -> ErrorResponse | None:
        return ErrorResponse(ErrorCode.DATA_TOO_OLD) if isinstance(body, StoreReq) and receiver.holds(HOME) else None

    world.refuse = refuse
    world.write(5, HOME, of(SINGLE, single()), by=ALICE)
    world.run(1)
    world.sites[5].keeper.peer_lost(at(6), world.now)
    world.run(5)
    assert is_settled(world)


def test_a_value_that_a_peer_made_up_replaces_nothing() -> None:
    world = World(5, 6, 7)
    mallory = NullSigner(b"\x66" * 16, "mallory@example.org")
    forged = signed(SINGLE, there(b"forged"), time=99, lifetime=LONG, by=mallory)

    def refuse(sender: Site, receiver: Site, body: object) -> ErrorResponse | None:
        return ErrorResponse(ErrorCode.DATA_TOO_OLD) if isinstance(body, StoreReq) and receiver.number == 6 else None

    world.refuse = refuse
    world.write(5, HOME, of(SINGLE, single(b"mine")), by=ALICE)
    real = world.sites[6].storage.fetch

    def fetch(request: FetchReq, now: float) -> object:
        answer = real(request, now)
        body = attrs.evolve(
            answer.body,
            kind_responses=(attrs.evolve(answer.body.kind_responses[0], generation=50, values=(forged,)),),
        )
        return attrs.evolve(answer, body=body, certificates=mallory.certificates)

    world.sites[6].storage.fetch = fetch  # type: ignore[assignment, method-assign]
    before = world.sites[5].holds(HOME)
    world.run(100)
    assert world.sites[5].holds(HOME) == before
