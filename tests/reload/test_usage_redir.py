"""ReDiR: registering, refreshing, removing, looking up (RFC 7374), over a DHT without a network."""

import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reload_dht import Dht, drive, entry, failed, identity

from reload._presentation import encode
from reload.contents import ErrorCode
from reload.destinations import Destination, NodeDestination, OpaqueDestination, ResourceDestination
from reload.extensions import RedirServiceProvider
from reload.kinds import REDIR
from reload.operations import Fetch, Fetched, KindValues, Operation, Store, Wanted
from reload.storage_messages import DictionarySpecifier
from reload.usages.publication import Publication
from reload.usages.redir import LIFETIME, Lookup, ServiceFinder, ServiceProvider, look_up
from reload.usages.redir_tree import RedirTree, redir_resource_id

FIGURE_4 = RedirTree("voice-mail", 2)


def small(number: int) -> bytes:
    """A Node-ID of the RFC's examples, where numBitsInNodeId is 4, at the same place of the whole space."""
    return bytes([number << 4]) + bytes(15)


def names(tree: RedirTree, deepest: int = 6) -> dict[bytes, tuple[int, int]]:
    """The tree node of each Resource-ID."""
    levels = ((level, node) for level in range(deepest + 1) for node in range(tree.branching_factor**level))
    return {redir_resource_id(tree.namespace.encode(), *each): each for each in levels}


def register(dht: Dht, tree: RedirTree, *node_ids: bytes) -> list[ServiceProvider]:
    providers = [ServiceProvider(tree, node_id) for node_id in node_ids]
    for provider, node_id in zip(providers, node_ids, strict=True):
        assert dht.run(provider.store(), identity(node_id))
    return providers


def contents(dht: Dht, tree: RedirTree) -> dict[tuple[int, int], set[int]]:
    """The small Node-IDs in each tree node that has any."""
    found = {name: {key[0] >> 4 for key in dht.keys(at, REDIR.id)} for at, name in names(tree).items()}
    return {name: keys for name, keys in found.items() if keys}


def walk(operations: Iterable[Operation], tree: RedirTree) -> list[tuple[str, tuple[int, int]]]:
    at = names(tree)
    return [
        (type(operation).__name__, at[operation.resource_id])
        for operation in operations
        if isinstance(operation, Fetch | Store)
    ]


def find(dht: Dht, tree: RedirTree, key: bytes, start: int = 2) -> Lookup:
    return dht.run(look_up(tree, key, start, bytes), identity(key))


class TestFigure4:
    """The example of sections 7.1 and 7.2; its values are the RFC's."""

    def registered(self) -> Dht:
        dht = Dht()
        register(dht, FIGURE_4, small(2), small(3), small(7), small(4))
        return dht

    def test_peer_2_stores_itself_at_levels_2_1_and_0_of_the_empty_tree(self) -> None:
        dht = Dht()
        register(dht, FIGURE_4, small(2))
        assert walk(dht.operations, FIGURE_4) == [
            *(("Fetch", (2, 0)), ("Store", (2, 0))),
            *(("Fetch", (1, 0)), ("Store", (1, 0))),
            *(("Fetch", (0, 0)), ("Store", (0, 0))),
        ]

    def test_peer_3_walks_up_to_the_root_and_down_to_level_3(self) -> None:
        dht = Dht()
        register(dht, FIGURE_4, small(2))
        dht.operations.clear()
        register(dht, FIGURE_4, small(3))
        assert walk(dht.operations, FIGURE_4) == [
            *(("Fetch", (2, 0)), ("Store", (2, 0))),
            *(("Fetch", (1, 0)), ("Store", (1, 0))),
            *(("Fetch", (0, 0)), ("Store", (0, 0))),
            *(("Fetch", (3, 1)), ("Store", (3, 1))),
        ]

    @pytest.mark.parametrize("last", [7, 4])
    def test_peers_7_and_4_end_their_downward_walk_at_level_2(self, last: int) -> None:
        dht = Dht()
        register(dht, FIGURE_4, *(small(peer) for peer in (2, 3, 7)[: 3 if last == 4 else 2]))
        dht.operations.clear()
        register(dht, FIGURE_4, small(last))
        assert [at for verb, at in walk(dht.operations, FIGURE_4) if verb == "Store"] == [(2, 1), (1, 0), (0, 0)]

    def test_all_of_them_make_the_tree_of_the_figure(self) -> None:
        assert contents(self.registered(), FIGURE_4) == {
            (0, 0): {2, 3, 4, 7},
            (1, 0): {2, 3, 4, 7},
            (2, 0): {2, 3},
            (2, 1): {4, 7},
            (3, 1): {3},
        }

    def test_peer_5_finds_peer_7_with_one_fetch_from_level_2(self) -> None:
        dht = self.registered()
        dht.operations.clear()
        found = find(dht, FIGURE_4, small(5))
        assert found.provider is not None
        assert (found.provider.node_id, found.level, found.fetches) == (small(7), 2, 1)
        assert walk(dht.operations, FIGURE_4) == [("Fetch", (2, 1))]

    def test_peer_5_goes_up_from_the_empty_tree_node_of_level_3(self) -> None:
        dht = self.registered()
        dht.operations.clear()
        found = find(dht, FIGURE_4, small(5), start=3)
        assert found.provider is not None
        assert (found.provider.node_id, found.level, found.fetches) == (small(7), 2, 2)
        # "The third tree node from the left", counted from 0.
        assert walk(dht.operations, FIGURE_4) == [("Fetch", (3, 2)), ("Fetch", (2, 1))]

    def test_a_refresh_takes_peer_2_down_to_level_3_as_it_is_no_longer_alone(self) -> None:
        dht = self.registered()
        register(dht, FIGURE_4, small(2))
        assert contents(dht, FIGURE_4)[3, 1] == {2, 3}
        assert all(level < 4 for level, _ in contents(dht, FIGURE_4))


class TestRegistration:
    def test_every_fetch_is_a_wildcard_fetch_of_the_tree_node(self) -> None:
        dht = Dht()
        register(dht, FIGURE_4, small(2))
        fetches = [each for each in dht.operations if isinstance(each, Fetch)]
        assert {each.wanted for each in fetches} == {(Wanted(REDIR.id, DictionarySpecifier(())),)}

    def test_a_record_says_where_it_is_and_lasts_ten_minutes(self) -> None:
        dht = Dht()
        provider = ServiceProvider(
            RedirTree("turn-server"), small(9), (NodeDestination(small(1)), NodeDestination(small(9))),
            extension_type=7, extension=b"more",
        )  # fmt: skip
        dht.run(provider.store(), identity(small(9)))
        stores = [each for each in dht.operations if isinstance(each, Store)]
        assert len(stores) == 3
        for store, level in zip(stores, (2, 1, 0), strict=True):
            (new,) = store.values
            node = RedirTree("turn-server").node(level, small(9))
            record = RedirServiceProvider(
                7, (NodeDestination(small(1)), NodeDestination(small(9))), b"turn-server", level, node, b"more"
            )
            assert (new.kind, new.lifetime) == (0x104, 600)
            assert new.value == entry(small(9), encode(record), identity(small(9))).data.value
        assert LIFETIME == 600

    def test_the_walk_up_ends_below_the_root_where_a_node_is_neither_lowest_nor_highest(self) -> None:
        dht = Dht()
        tree = RedirTree("x", 2)
        # At level 3: 8 and 13 make the edges of the tree node of 10 at level 1, those of 9 and 11 at level 2.
        register(dht, tree, small(8), small(9), small(11), small(8))
        dht.operations.clear()
        register(dht, tree, small(10))
        stores = [at for verb, at in walk(dht.operations, tree) if verb == "Store"]
        assert stores == [(2, 2), (3, 5)]

    def test_a_walk_up_ends_above_the_start_where_the_interval_has_lower_and_higher_ones(self) -> None:
        dht = Dht()
        tree = RedirTree("x", 2)
        register(dht, tree, small(8), small(11))
        # Level 2 has expired, level 1 not yet: 10 is alone in its tree node, and between two of the interval above.
        del dht.held[tree.resource_id(2, small(10)), REDIR.id]
        dht.operations.clear()
        register(dht, tree, small(10))
        stores = [at for verb, at in walk(dht.operations, tree) if verb == "Store"]
        assert stores == [(2, 2), (1, 1)]

    def test_a_node_in_the_middle_of_its_interval_walks_down_without_storing(self) -> None:
        dht = Dht()
        tree = RedirTree("x", 2)
        middle = bytes([0x18]) + bytes(15)
        register(dht, tree, bytes([0x10]) + bytes(15), bytes([0x1F]) + bytes(15))
        register(dht, tree, bytes([0x10]) + bytes(15), bytes([0x1F]) + bytes(15))
        dht.operations.clear()
        register(dht, tree, middle)
        walked = walk(dht.operations, tree)
        # Level 3 has one interval from 0x10 to 0x1f; at level 4 it is the lowest of 0x18 to 0x1f.
        assert walked[:4] == [("Fetch", (2, 0)), ("Store", (2, 0)), ("Fetch", (3, 0)), ("Fetch", (4, 1))]
        assert walked[4] == ("Store", (4, 1))

    def test_the_walk_down_ends_at_the_last_level_whose_tree_nodes_have_a_number(self) -> None:
        dht = Dht()
        tree = RedirTree("x", 10)
        close = [(1 << 100) + number for number in range(3)]
        node_ids = [number.to_bytes(16, "big") for number in close]
        for _ in range(3):
            providers = register(dht, tree, *node_ids)
        assert providers[0].levels == (0, 1, 2, 3, 4)
        found = find(dht, tree, node_ids[0])
        assert found.provider is not None
        assert found.provider.node_id == node_ids[1]
        assert found.fetches <= tree.deepest_level + 1

    def test_a_fetch_that_fails_ends_the_walk_and_the_registration_has_not_succeeded(self) -> None:
        dht = Dht()
        root = FIGURE_4.resource_id(0, small(2))
        dht.refuse = lambda operation: (
            failed() if isinstance(operation, Fetch) and operation.resource_id == root else None
        )
        provider = ServiceProvider(FIGURE_4, small(2))
        assert not dht.run(provider.store(), identity(small(2)))
        assert provider.levels == (1, 2)

    def test_a_store_that_is_refused_does_not_keep_the_others_from_being_tried(self) -> None:
        dht = Dht()
        level_1 = FIGURE_4.resource_id(1, small(2))
        full = failed(ErrorCode.DATA_TOO_LARGE)
        dht.refuse = lambda operation: (
            full if isinstance(operation, Store) and operation.resource_id == level_1 else None
        )
        assert not dht.run(ServiceProvider(FIGURE_4, small(2)).store(), identity(small(2)))
        assert contents(dht, FIGURE_4) == {(0, 0): {2}, (2, 0): {2}}

    def test_a_resource_that_is_not_found_is_an_empty_tree_node(self) -> None:
        dht = Dht()
        missing = failed(ErrorCode.NOT_FOUND)
        dht.refuse = lambda operation: missing if isinstance(operation, Fetch) else None
        assert dht.run(ServiceProvider(FIGURE_4, small(2)).store(), identity(small(2)))

    def test_removing_stores_that_nothing_exists_wherever_it_was_stored(self) -> None:
        dht = Dht()
        (two, _) = register(dht, FIGURE_4, small(2), small(3))
        assert dht.run(two.remove(), identity(small(2)))
        assert contents(dht, FIGURE_4) == {(level, number): {3} for level, number in ((0, 0), (1, 0), (2, 0), (3, 1))}
        assert two.levels == ()
        assert find(dht, FIGURE_4, small(1)).provider.node_id == small(3)  # type: ignore[union-attr]

    def test_a_removal_that_fails_can_be_repeated(self) -> None:
        dht = Dht()
        (two,) = register(dht, FIGURE_4, small(2))
        dht.refuse = lambda operation: failed()
        assert not dht.run(two.remove(), identity(small(2)))
        dht.refuse = lambda operation: None
        assert dht.run(two.remove(), identity(small(2)))
        assert contents(dht, FIGURE_4) == {}

    def test_a_publication_registers_anew_when_90_percent_of_the_lifetime_are_over(self) -> None:
        dht = Dht()
        publication = Publication(ServiceProvider(FIGURE_4, small(2)))
        publication.start(0.0)
        plan = publication.handle_timer(0.0)
        assert plan is not None
        assert dht.run(plan, identity(small(2)))
        for dht.now in (540.0, 1080.0, 1620.0):
            assert publication.get_timer() == dht.now
            dht.operations.clear()
            plan = publication.handle_timer(dht.now)
            assert plan is not None
            assert dht.run(plan, identity(small(2)))
            assert dht.count(Store) == 3
        dht.now = 2100.0
        assert contents(dht, FIGURE_4) == {(level, 0): {2} for level in range(3)}

    def test_a_provider_that_does_not_refresh_is_forgotten(self) -> None:
        dht = Dht()
        register(dht, FIGURE_4, small(2))
        dht.now = 601.0
        assert find(dht, FIGURE_4, small(1)).provider is None


class TestLookup:
    def test_a_lookup_in_an_empty_tree_finds_nobody_and_ends_at_the_root(self) -> None:
        found = find(Dht(), FIGURE_4, small(5))
        assert found == Lookup(None, 0, 3)

    def test_where_nobody_follows_a_provider_of_the_root_is_picked_by_chance(self) -> None:
        dht = Dht()
        register(dht, FIGURE_4, small(2), small(3))
        picked = set()
        for number in range(4):
            chance = number.to_bytes(4, "big")
            found = dht.run(look_up(FIGURE_4, small(14), 2, lambda size, chance=chance: chance), identity(small(14)))  # type: ignore[misc]
            assert found.provider is not None
            picked.add(found.provider.node_id)
        assert picked == {small(2), small(3)}

    def test_a_provider_does_not_follow_itself(self) -> None:
        dht = Dht()
        register(dht, FIGURE_4, small(2), small(7))
        found = find(dht, FIGURE_4, small(2)).provider
        assert found is not None
        assert found.node_id == small(7)

    def test_condition_2_goes_down_between_two_of_an_interval(self) -> None:
        dht = Dht()
        tree = RedirTree("x", 2)
        register(dht, tree, small(4), small(5), small(7), small(4), small(5), small(7))
        dht.operations.clear()
        key = bytes([0x48]) + bytes(15)
        found = find(dht, tree, key)
        assert found.provider is not None
        assert found.provider.node_id == small(5)
        assert walk(dht.operations, tree) == [("Fetch", (2, 1)), ("Fetch", (3, 2))]

    def test_a_downward_walk_that_meets_no_successor_takes_the_closest_one_it_has_seen(self) -> None:
        dht = Dht()
        tree = RedirTree("x", 2)
        register(dht, tree, small(4), small(5), small(7), small(4), small(5), small(7))
        # The registrations at level 3 have just expired.
        del dht.held[tree.resource_id(3, small(4)), REDIR.id]
        dht.operations.clear()
        found = find(dht, tree, bytes([0x48]) + bytes(15))
        assert found.provider is not None
        assert found.provider.node_id == small(5)
        assert walk(dht.operations, tree) == [("Fetch", (2, 1)), ("Fetch", (3, 2))]

    def test_a_fetch_that_fails_leaves_the_closest_provider_seen_and_says_so(self) -> None:
        dht = Dht()
        register(dht, FIGURE_4, *(small(number) for number in (4, 5, 7, 4, 5, 7)))
        level_3 = FIGURE_4.resource_id(3, small(4))
        dht.refuse = lambda operation: failed() if getattr(operation, "resource_id", b"") == level_3 else None
        found = find(dht, FIGURE_4, bytes([0x48]) + bytes(15))
        assert found.failure == failed()
        assert found.provider is not None
        assert found.provider.node_id == small(5)

    def test_a_finder_begins_where_most_of_the_last_16_lookups_ended(self) -> None:
        dht = Dht()
        register(dht, FIGURE_4, small(2))
        finder = ServiceFinder(FIGURE_4, bytes)
        assert finder.starting_level == 2
        dht.run(finder.find(small(14)), identity(small(14)))
        assert finder.starting_level == 0
        for _ in range(16):
            dht.run(finder.find(small(1)), identity(small(1)))
        assert finder.starting_level == 0
        dht.operations.clear()
        dht.run(finder.find(small(1)), identity(small(1)))
        assert dht.count(Fetch) == 1

    def test_a_finder_learns_nothing_from_a_lookup_that_found_nobody(self) -> None:
        finder = ServiceFinder(FIGURE_4, bytes)
        Dht().run(finder.find(small(1)), identity(small(1)))
        assert finder.starting_level == 2

    def test_lookups_take_a_constant_number_of_fetches_however_many_providers_there_are(self) -> None:
        tree = RedirTree("turn-server")
        means = []
        for size in (10, 100, 1000):
            chance = random.Random(size)
            dht = Dht()
            node_ids = [chance.randbytes(16) for _ in range(size)]
            for dht.now in (0.0, 540.0, 1080.0):
                register(dht, tree, *node_ids)
            assert max(len(dht.keys(*where)) for where in dht.held) <= 2 * 10 * 10 <= REDIR.max_count
            finder = ServiceFinder(tree, chance.randbytes)
            dht.operations.clear()
            for _ in range(200):
                key = chance.randbytes(16)
                found = dht.run(finder.find(key), identity(key))
                following = [node_id for node_id in node_ids if node_id > key]
                assert found.provider is not None
                assert found.provider.node_id == min(following, default=found.provider.node_id)
                assert found.fetches <= 4
            means.append(dht.count(Fetch) / 200)
        assert max(means) < 2

    @settings(max_examples=25)
    @given(st.sets(st.binary(min_size=16, max_size=16), min_size=1, max_size=40), st.binary(min_size=16, max_size=16),
           st.integers(0, 4), st.integers(2, 12))  # fmt: skip
    def test_a_lookup_finds_the_closest_successor_from_any_level(
        self, node_ids: set[bytes], key: bytes, start: int, factor: int
    ) -> None:
        tree = RedirTree("x", factor)
        dht = Dht()
        for _ in range(3):
            register(dht, tree, *sorted(node_ids))
        found = find(dht, tree, key, min(start, tree.deepest_level))
        assert found.provider is not None
        following = [node_id for node_id in node_ids if node_id > key]
        assert found.fetches <= tree.deepest_level + 1
        if len({tree.interval(tree.deepest_level, node_id) for node_id in node_ids}) == len(node_ids):
            assert found.provider.node_id == min(following, default=found.provider.node_id)


class TestHostileEntries:
    """What a peer that stores a tree node may have let in, or made up with keys of its own."""

    def record(self, node_id: bytes, tree: RedirTree, level: int, to: tuple[Destination, ...] | None = None) -> bytes:
        node = tree.node(level, node_id)
        destination_list = (NodeDestination(node_id),) if to is None else to
        return encode(RedirServiceProvider(0, destination_list, tree.namespace.encode(), level, node))

    def looked_up(self, *values: tuple[bytes, bytes, bytes]) -> Lookup:
        """What a lookup of 5 finds where the tree node has these entries: key, value, signer."""
        dht = Dht()
        at = FIGURE_4.resource_id(2, small(5))
        for number, (key, value, signer) in enumerate(values):
            dht.put(at, entry(key, value, identity(signer)), REDIR.id, number)
        return find(dht, FIGURE_4, small(5))

    def test_an_entry_as_it_should_be_is_found(self) -> None:
        found = self.looked_up((small(7), self.record(small(7), FIGURE_4, 2), small(7)))
        assert found.provider is not None
        assert found.provider.node_id == small(7)

    def test_an_entry_of_another_node_than_its_signer_is_none(self) -> None:
        assert self.looked_up((small(7), self.record(small(7), FIGURE_4, 2), small(6))).provider is None

    def test_an_entry_of_another_level_or_namespace_is_none(self) -> None:
        assert self.looked_up((small(7), self.record(small(7), FIGURE_4, 1), small(7))).provider is None
        assert self.looked_up((small(7), self.record(small(7), RedirTree("other", 2), 2), small(7))).provider is None

    def test_an_entry_outside_of_the_tree_node_is_none(self) -> None:
        octets = encode(RedirServiceProvider(0, (NodeDestination(small(9)),), b"voice-mail", 2, 1))
        assert self.looked_up((small(9), octets, small(9))).provider is None

    @pytest.mark.parametrize(
        "to", [(), (NodeDestination(small(1)),), (NodeDestination(small(7)), ResourceDestination(bytes(16)))]
    )
    def test_an_entry_that_leads_to_somebody_else_is_none(self, to: tuple[Destination, ...]) -> None:
        assert self.looked_up((small(7), self.record(small(7), FIGURE_4, 2, to), small(7))).provider is None

    def test_an_entry_may_lead_through_others_and_end_in_what_one_of_them_has_compressed(self) -> None:
        to = (NodeDestination(small(1)), OpaqueDestination(b"\1\2\3"))
        assert self.looked_up((small(7), self.record(small(7), FIGURE_4, 2, to), small(7))).provider is not None

    @pytest.mark.parametrize("value", [b"", b"\0" * 7, b"\xff" * 40])
    def test_an_entry_that_is_no_record_is_none(self, value: bytes) -> None:
        assert self.looked_up((small(7), value, small(7))).provider is None

    def test_liars_cannot_lead_a_lookup_in_a_circle(self) -> None:
        # Every tree node has somebody just before the key, and just behind it: condition 2, whatever the level.
        key = b"liar" * 4

        def answers() -> Iterable[Fetched]:
            tree = RedirTree("voice-mail")
            for level in (2, 3, 4):
                around = [(int.from_bytes(key, "big") + step).to_bytes(16, "big") for step in (-1, 1)]
                values = tuple(entry(each, self.record(each, tree, level), identity(each)) for each in around)
                yield Fetched({REDIR.id: KindValues(REDIR.id, 1, values)})

        found = drive(look_up(RedirTree("voice-mail"), key, 2, bytes), answers())
        assert found.provider is not None
        assert (found.level, found.fetches) == (4, 3)

    def test_a_walk_up_and_down_fetches_no_tree_node_twice(self) -> None:
        # Level 2 says "go down", level 3 "go up": the second time, nothing is fetched.
        values = tuple(entry(small(n), self.record(small(n), FIGURE_4, 2), identity(small(n))) for n in (4, 7))
        between = small(4)[:1] + b"\1" + bytes(14)
        here = (*values, entry(small(5), self.record(small(5), FIGURE_4, 2), identity(small(5))))
        answers = [Fetched({REDIR.id: KindValues(REDIR.id, 1, here)}), Fetched({})]
        found = drive(look_up(FIGURE_4, between, 2, bytes), answers)
        assert found.fetches == 2
        assert found.provider is not None
        assert found.provider.node_id == small(5)

    def test_an_answer_that_is_none_to_a_fetch_is_a_failure(self) -> None:
        found = drive(look_up(FIGURE_4, small(5), 2, bytes), [failed(ErrorCode.FORBIDDEN)])
        assert found.failure == failed(ErrorCode.FORBIDDEN)
