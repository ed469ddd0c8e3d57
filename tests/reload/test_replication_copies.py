"""Replicas, the limits of sending them, failures and histories (RFC 6940 sections 6.4.2.3, 7.4.1.1, 10.4 and 10.7.3).

HOME belongs to site 5 of a ring, and its replicas to 6 and 7.
"""

from itertools import pairwise

import attrs
from hypothesis import given
from hypothesis import strategies as st
from reload_keepers import LONG, Site, World, at, forbid, is_settled, join, ring, single, write_many
from reload_storing import ALICE, ALICE_TOO, ARRAY, DICTIONARY, GONE, HOME, SINGLE, entry, item, of, signed, there

from reload._backlog import FIRST_PAUSE, LONGEST_PAUSE, MAX_PER_PEER
from reload._shipping import MAX_IN_FLIGHT
from reload.naming import resource_id
from reload.null_security import NullSigner
from reload.replication import SETTLE_TIME

# -- replicas ----------------------------------------------------------------------------------------------------------


def test_a_stored_value_goes_to_the_two_successors_with_their_replica_numbers() -> None:
    world = World(1, 3, 5, 6, 7, 9)
    world.write(5, HOME, of(SINGLE, single()), by=ALICE)
    world.run(1)
    assert [(sent.sender, sent.receiver, sent.body.replica_number) for sent in world.stores()] == [(5, 6, 1), (5, 7, 2)]
    assert world.holders(HOME) == [5, 6, 7]
    assert world.sites[6].holds(HOME) == world.sites[5].holds(HOME)


def test_who_gets_a_replica_stores_it_nowhere_else() -> None:
    world = ring()
    world.run(3600)
    assert world.stores() == []


def test_a_replica_has_the_generation_of_the_responsible_peer() -> None:
    world = ring()
    world.write(5, HOME, of(SINGLE, single(time=2)), by=ALICE)
    world.run(1)
    assert [data.generation_counter for sent in world.stores() for data in sent.body.kind_data] == [2, 2]


def test_only_what_has_changed_goes_to_who_has_the_rest() -> None:
    world = ring()
    world.write(5, HOME, of(DICTIONARY, signed(DICTIONARY, item(b"a", b"1"), time=1, lifetime=LONG)), by=ALICE)
    world.write(5, HOME, of(DICTIONARY, signed(DICTIONARY, item(b"b", b"2"), time=2, lifetime=LONG)), by=ALICE)
    world.run(1)
    sizes = [sum(len(data.values) for data in sent.body.kind_data) for sent in world.stores()]
    assert sizes == [1, 1, 1, 1]
    assert world.sites[7].holds(HOME) == world.sites[5].holds(HOME)


def test_a_value_that_comes_while_the_one_before_is_under_way_follows_it() -> None:
    world = World(5, 6, 7)
    for time in range(1, 6):
        world.write(5, HOME, of(SINGLE, single(b"%d" % time, time=time)), by=ALICE)
    world.run(1)
    to_6 = [sent for sent in world.stores() if sent.receiver == 6]
    assert len(to_6) == 2
    assert world.sites[6].holds(HOME) == world.sites[5].holds(HOME)


def test_a_peer_alone_sends_nothing() -> None:
    world = World(5)
    world.write(5, HOME, of(SINGLE, single()), by=ALICE)
    world.run(100)
    assert world.sent == []
    assert is_settled(world)


def test_a_newcomer_in_the_replica_set_gets_a_store_and_the_others_none() -> None:
    world = ring(1, 3, 5, 7, 9)
    world.fail(7)
    world.run(2)
    assert [(sent.sender, sent.receiver, sent.body.replica_number) for sent in world.stores()] == [(5, 1, 2)]


def test_a_peer_that_is_held_back_gets_replicas_when_it_is_no_more() -> None:
    world = ring()
    site = world.sites[5]
    site.placement.held_back = {at(9)}
    world.fail(7)
    world.run(10)
    assert world.holders(HOME) == [5, 6]
    site.placement.held_back = set()
    site.keeper.placement_changed(world.now)
    world.run(1)
    assert world.holders(HOME) == [5, 6, 9]


def test_who_was_gone_is_sent_everything_when_it_comes_back() -> None:
    world = ring()
    world.sites[6].storage.drop(HOME)
    world.sites[5].keeper.peer_lost(at(6), world.now)
    world.run(1)
    assert [(sent.sender, sent.receiver) for sent in world.stores()] == [(5, 6)]
    assert world.holders(HOME) == [5, 6, 7]


def test_a_changed_placement_without_effect_sends_nothing() -> None:
    world = ring()
    for site in world.up():
        site.keeper.placement_changed(world.now)
    world.run(100)
    assert world.sent == []


def test_the_lifetime_of_a_replica_ends_when_that_of_the_value_does() -> None:
    world = World(1, 3, 5, 6, 7, 9)
    world.write(5, HOME, of(SINGLE, single(lifetime=1000)), by=ALICE)
    world.run(400)
    world.fail(5)
    world.run(300)
    world.fail(6)
    world.run(290)
    assert len(world.holders(HOME)) == 3
    lifetimes = [data.values[0][8:12] for sent in world.stores() for data in sent.body.kind_data]
    assert [int.from_bytes(lifetime) for lifetime in lifetimes] == sorted(map(int.from_bytes, lifetimes), reverse=True)
    for sent in world.stores():
        assert sent.time + int.from_bytes(sent.body.kind_data[0].values[0][8:12]) <= 1000
    world.run(11)
    assert world.holders(HOME) == []


def test_removed_values_are_replicated_and_do_not_come_back() -> None:
    world = ring()
    world.sites[7].is_up = False  # It misses that the value is removed, and nobody notices.
    world.write(5, HOME, of(SINGLE, signed(SINGLE, GONE, time=2, lifetime=LONG)), by=ALICE)
    world.run(1)
    removed = world.sites[5].holds(HOME)
    assert world.sites[6].holds(HOME) == removed
    world.sites[7].is_up = True
    world.fail(5, 6)
    world.run(1)
    assert world.sites[7].holds(HOME) != removed  # Both who knew are gone.
    world.sites[6].is_up = True
    world.sites[6].knows(1, 3, 7, 9, 11)
    world.all_know()
    world.run(SETTLE_TIME + 5)
    assert all(site.holds(HOME) == removed for site in world.up() if site.holds(HOME))
    assert world.holders(HOME) == [6, 7, 9]


# -- the limits of sending ---------------------------------------------------------------------------------------------


def test_no_more_stores_are_under_way_than_the_limits_allow() -> None:
    world = World(5, 6, 7)
    write_many(world, 300)
    assert len(world.sent) <= 3 * MAX_IN_FLIGHT
    for site in world.up():
        mine = [sent for sent in world.sent if sent.sender == site.number]
        assert len(mine) <= MAX_IN_FLIGHT
        for other in world.up():
            assert sum(sent.receiver == other.number for sent in mine) <= MAX_PER_PEER
    world.run(30)
    assert is_settled(world)
    assert all(len(site.storage) == 300 for site in world.up())


def test_a_resource_that_is_too_large_for_a_message_goes_in_several() -> None:
    kinds_values = [signed(ARRAY, entry(i, bytes(90)), time=1, lifetime=LONG) for i in range(4)]
    world = World(5, 6, 7)
    for site in world.up():
        site.configuration = attrs.evolve(site.configuration, max_message_size=1200)
    world.write(5, HOME, of(ARRAY, *kinds_values), by=ALICE)
    world.run(5)
    to_6 = [sent for sent in world.stores() if sent.receiver == 6]
    assert len(to_6) > 1
    assert world.sites[6].holds(HOME) == world.sites[5].holds(HOME)
    assert is_settled(world)


def test_a_silent_peer_is_tried_again_more_and_more_slowly_while_it_is_to_have_a_replica() -> None:
    world = World(5, 6, 7)
    world.sites[7].is_up = False
    resources = write_many(world, 50)
    world.run(4000)
    times = [sent.time for sent in world.sent if sent.sender == 5 and sent.receiver == 7]
    gaps = [later - earlier for earlier, later in pairwise(times[MAX_PER_PEER:])]
    assert [round(gap) for gap in gaps[:7]] == [25, 35, 55, 95, 175, 315, 315]
    world.sites[7].is_up = True
    world.sites[7].knows(5, 6)
    world.run(2 * LONGEST_PAUSE)
    assert is_settled(world)
    assert len(world.sites[7].storage) == len(resources) > 10


def test_a_silent_peer_keeps_nothing_from_the_others() -> None:
    world = World(5, 6, 7)
    world.sites[6].is_up = False
    resources = write_many(world, 200)
    world.run(30)
    mine = [each for each in resources if world.sites[5].placement.is_responsible(each)]
    assert mine
    assert all(world.sites[7].holds(each) for each in mine)


def test_a_peer_that_refuses_is_asked_again_after_a_pause() -> None:
    world = World(5, 6, 7)
    world.refuse = forbid([6])
    world.write(5, HOME, of(SINGLE, single()), by=ALICE)
    world.run(FIRST_PAUSE - 1)
    assert world.holders(HOME) == [5, 7]
    world.refuse = forbid([])
    world.run(2)
    assert world.holders(HOME) == [5, 6, 7]


def test_a_value_whose_certificate_no_longer_holds_keeps_none_of_the_others_back() -> None:
    world = World(5, 6, 7)
    world.refuse = forbid([6])
    good = signed(DICTIONARY, item(b"a", b"1"), time=1, lifetime=LONG)
    bad = signed(DICTIONARY, item(b"b", b"2"), time=1, lifetime=LONG, by=ALICE_TOO)
    world.write(5, HOME, of(DICTIONARY, good), by=ALICE)
    world.write(5, HOME, of(DICTIONARY, bad), by=ALICE_TOO)
    world.run(2)
    reader = world.sites[5].keeper._shipper.reader
    world.sites[5].keeper.use(attrs.evolve(reader, policies={"USER-MATCH": lambda *by: by[3].node_id == ALICE.node_id}))
    world.refuse = forbid([])
    world.run(10)
    assert len(world.sites[6].holds(HOME)) == 1
    assert len(world.sites[7].holds(HOME)) == 2


# -- failures and histories --------------------------------------------------------------------------------------------


def test_no_value_is_lost_when_two_adjacent_peers_fail_at_once() -> None:
    numbers = range(1, 13)
    for first in numbers:
        world = World(*numbers)
        resources = write_many(world, 40)
        world.run(30)
        second = first % 12 + 1
        world.fail(first, second)
        world.run(30)
        assert [len(world.holders(each)) for each in resources] == [3] * 40, first
        assert is_settled(world)


@given(st.data())
def test_three_copies_of_each_value_are_where_they_belong_after_any_history(data: st.DataObject) -> None:
    world = World(1, 3, 5, 7, 9, 11, 13)
    resources = write_many(world, 12)
    world.run(10)
    for _ in range(data.draw(st.integers(1, 6))):
        up = [site.number for site in world.up()]
        down = [number for number in range(1, 15) if number not in up]
        match data.draw(st.sampled_from(("fail", "join", "write"))):
            case "fail" if len(up) > 4:
                world.fail(data.draw(st.sampled_from(up)))
            case "join" if down:
                world.sites.pop(number := data.draw(st.sampled_from(down)), None)
                join(world, number)
            case "write":
                owner = next(site for site in world.up() if site.placement.is_responsible(HOME))
                world.write(owner.number, HOME, of(SINGLE, single(time=int(world.now * 1000) + 1)), by=ALICE)
                resources.append(HOME)
        world.run(data.draw(st.sampled_from((1.0, 5.0, 40.0))))
    world.run(4 * SETTLE_TIME)
    for resource in set(resources):
        near = sorted(world.up(), key=lambda site: (int.from_bytes(site.node_id) - int.from_bytes(resource)) % 2**128)
        held = [site.holds(resource) for site in near[:3]]
        assert held[0]
        assert held == [held[0]] * 3
        assert world.holders(resource) == sorted(site.number for site in near[:3])
    assert is_settled(world)


def test_who_is_no_peer_any_more_moves_nothing() -> None:
    world = World(5, 6, 7)
    write_many(world, 100)
    handle = world.sites[5].keeper.hand_over(at(6), lambda resource: True, world.now)
    world.sites[5].keeper.clear()
    assert world.sites[5].keeper.handed_over() == [handle]
    assert world.sites[5].keeper.get_timer() is None
    world.sent.clear()
    world.run(100)
    assert [sent for sent in world.sent if sent.sender == 5] == []


def test_what_has_expired_is_not_remembered() -> None:
    world = World(5)
    for batch in range(8):
        for number in range(200):
            name = f"user{batch}.{number}@example.org"
            user = NullSigner(bytes([batch, number]) * 8, name)
            resource = resource_id(name.encode())
            value = signed(SINGLE, there(b""), time=1, lifetime=5, by=user, at=resource)
            world.write(5, resource, of(SINGLE, value), by=user)
        world.run(10)
        world.sites[5].storage.handle_timer(world.now)
    assert len(world.sites[5].storage) == 0
    assert len(world.sites[5].keeper._held) <= 1000


@given(st.data())
def test_peers_that_hear_of_changes_at_different_times_come_to_the_same_end(data: st.DataObject) -> None:
    world = World(1, 3, 5, 7, 9, 11)
    resources = write_many(world, 12)
    world.run(10)
    for _ in range(data.draw(st.integers(1, 4))):
        up = [site.number for site in world.up()]
        down = [number for number in range(1, 13) if number not in up]
        if len(up) > 5 and data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(up))
            world.sites[gone].is_up = False
            up.remove(gone)
            changed = gone
        elif down:
            changed = data.draw(st.sampled_from(down))
            world.sites[changed] = Site(world, changed)
            up.append(changed)
        for number in data.draw(st.permutations(up)):
            if changed not in up:
                world.sites[number].keeper.peer_lost(at(changed), world.now)
            world.sites[number].knows(*up)
            world.run(data.draw(st.sampled_from((0.0, 0.3, 7.0))))
        world.run(40)
    world.run(LONGEST_PAUSE + 2 * SETTLE_TIME)
    for resource in resources:
        near = sorted(world.up(), key=lambda site: (int.from_bytes(site.node_id) - int.from_bytes(resource)) % 2**128)
        assert world.holders(resource) == sorted(site.number for site in near[:3])
    assert is_settled(world)
