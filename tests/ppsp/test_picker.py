"""`ppsp.picker`: which chunks to ask a peer for (section 9.1)."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppsp._ranges import RangeSet
from ppsp.picker import BLOCK, RarestFirst, Sequential

PICKERS = [Sequential, RarestFirst]


def chunks_of(ranges):
    found = [chunk for start, stop in ranges for chunk in range(start, stop)]
    assert len(found) == len(set(found)), "a chunk twice in one answer"
    return found


def everything(count):
    return RangeSet([(0, count)])


@pytest.mark.parametrize("picker", PICKERS)
def test_nothing_is_taken_of_a_peer_that_offers_nothing(picker):
    assert picker(100, 7).take(RangeSet(), 10) == []


@pytest.mark.parametrize("picker", PICKERS)
@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 1000, 5000])
def test_every_chunk_is_taken_exactly_once(picker, count):
    picking = picker(count, 7)
    offered = everything(count)
    picking.peer_has(0, count)
    taken = []
    while ranges := picking.take(offered, 50):
        taken += chunks_of(ranges)
    assert sorted(taken) == list(range(count))


@pytest.mark.parametrize("picker", PICKERS)
def test_only_what_is_offered_is_taken(picker):
    picking = picker(1000, 7)
    offered = RangeSet([(3, 10), (100, 101), (640, 800)])
    taken = []
    while ranges := picking.take(offered, 64):
        taken += chunks_of(ranges)
    assert sorted(taken) == [*range(3, 10), 100, *range(640, 800)]


@pytest.mark.parametrize("picker", PICKERS)
def test_about_as_many_are_taken_as_were_asked_for(picker):
    """Blocks are whole, so a block more at the most."""
    picking = picker(10_000, 7)
    for most in (1, 64, 65, 200):
        taken = len(chunks_of(picking.take(everything(10_000), most)))
        assert most <= taken < most + BLOCK


@pytest.mark.parametrize("picker", PICKERS)
def test_what_is_held_is_not_taken(picker):
    picking = picker(300, 7)
    picking.arrived(10, 290)
    taken = []
    while ranges := picking.take(everything(300), 64):
        taken += chunks_of(ranges)
    assert sorted(taken) == [*range(10), *range(290, 300)]


@pytest.mark.parametrize("picker", PICKERS)
def test_what_is_given_back_can_be_taken_again(picker):
    picking = picker(300, 7)
    while picking.take(everything(300), 64):
        pass
    picking.give_back(100, 130)
    taken = []
    while ranges := picking.take(everything(300), 64):
        taken += chunks_of(ranges)
    assert sorted(taken) == list(range(100, 130))


@pytest.mark.parametrize("picker", PICKERS)
def test_what_arrived_meanwhile_stays_held_when_the_rest_is_given_back(picker):
    """A chunk came from another peer while it was outstanding at the slow one."""
    picking = picker(300, 7)
    while picking.take(everything(300), 64):
        pass
    picking.arrived(110, 120)
    picking.give_back(100, 130)
    taken = []
    while ranges := picking.take(everything(300), 64):
        taken += chunks_of(ranges)
    assert sorted(taken) == [*range(100, 110), *range(120, 130)]


def test_sequential_takes_the_first_first():
    """Section 9.1: the picker of video on demand."""
    picking = Sequential(1000)
    order = []
    while ranges := picking.take(everything(1000), 100):
        order += chunks_of(ranges)
    assert order == list(range(1000))


def test_sequential_goes_back_for_what_was_given_back():
    picking = Sequential(1000)
    picking.take(everything(1000), 500)
    picking.give_back(70, 80)
    assert chunks_of(picking.take(everything(1000), 1))[:10] == list(range(70, 80))


def test_rarest_first_takes_the_last_block_first():
    """Section 5.6.1: the last chunk tells the exact content size, so it is wanted soon."""
    picking = RarestFirst(10_000, 3)
    picking.peer_has(0, 10_000)
    assert 9999 in chunks_of(picking.take(everything(10_000), 1))


def test_rarest_first_prefers_what_few_peers_offer():
    """Sixteen blocks, one of them offered by one peer only: it goes before the common ones."""
    count = 16 * BLOCK
    rare = 5
    hits = 0
    for seed in range(40):
        picking = RarestFirst(count, seed)
        picking.peer_has(0, count)
        for _ in range(5):
            picking.peer_has(0, rare * BLOCK)
            picking.peer_has((rare + 1) * BLOCK, count)
        picking.take(everything(count), 1)  # the last block
        hits += rare * BLOCK in chunks_of(picking.take(everything(count), 1))
    assert hits > 20  # by chance alone it would be 40 / 15


def test_peers_that_came_and_went_leave_rarity_as_it_was():
    """Otherwise every visitor would make its blocks look common for ever."""
    count = 16 * BLOCK
    for seed in range(20):
        visited, quiet = RarestFirst(count, seed), RarestFirst(count, seed)
        for picking in (visited, quiet):
            picking.peer_has(0, count)
            picking.peer_has(0, 5 * BLOCK)
        for _ in range(3):
            visited.peer_has(7 * BLOCK, 11 * BLOCK + 5)
            visited.peer_lost(7 * BLOCK, 11 * BLOCK + 5)
        for _ in range(10):
            assert visited.take(everything(count), 1) == quiet.take(everything(count), 1)


@pytest.mark.parametrize("span", [(0, 300 * BLOCK), (5, 299 * BLOCK + 3), (130 * BLOCK, 256 * BLOCK), (0, 1)])
def test_what_is_offered_in_large_pieces_counts_as_in_small_ones(span):
    """Large offers are counted by many blocks together."""
    count = 300 * BLOCK
    start, stop = span
    at_once, in_pieces, quiet = (RarestFirst(count, 7) for _ in range(3))
    at_once.peer_has(start, stop)
    for at in range(start, stop, 100):
        in_pieces.peer_has(at, min(at + 100, stop))
    found = [[picking.take(everything(count), 1) for _ in range(200)] for picking in (at_once, in_pieces)]
    assert found[0] == found[1]
    in_pieces = RarestFirst(count, 7)
    for at in range(start, stop, 100):
        in_pieces.peer_has(at, min(at + 100, stop))
    in_pieces.peer_lost(start, stop)
    found = [[picking.take(everything(count), 1) for _ in range(200)] for picking in (in_pieces, quiet)]
    assert found[0] == found[1]


def test_two_peers_with_other_seeds_take_other_blocks():
    """So that they have something to trade (section 9.1 names rarest-first for this)."""
    first, second = RarestFirst(100 * BLOCK, 1), RarestFirst(100 * BLOCK, 2)
    takes = [[chunks_of(picking.take(everything(100 * BLOCK), 1))[0] for _ in range(20)] for picking in (first, second)]
    assert len(set(takes[0]) & set(takes[1])) < 12


def test_the_same_seed_takes_the_same_blocks():
    first, second = RarestFirst(5000, 9), RarestFirst(5000, 9)
    for _ in range(20):
        assert first.take(everything(5000), 64) == second.take(everything(5000), 64)


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**40])
def test_any_seed_will_do(seed):
    picking = RarestFirst(1000, seed)
    starts = Counter()
    while ranges := picking.take(everything(1000), 1):
        starts.update(start // BLOCK for start, _ in ranges)
    assert len(starts) == 16


@pytest.mark.parametrize("picker", PICKERS)
@settings(max_examples=40)
@given(data=st.data())
def test_no_chunk_is_ever_lost_or_taken_twice(picker, data):
    """Against a model: peers come and go, chunks arrive, are given back, are taken."""
    count = data.draw(st.integers(1, 400))
    chance = random.Random(data.draw(st.integers(0, 2**32)))
    picking = picker(count, chance.randrange(2**32))
    missing, taken, held = set(range(count)), set(), set()
    offers = [RangeSet(), RangeSet()]
    for _ in range(60):
        offered = chance.choice(offers)
        start = chance.randrange(count)
        stop = min(count, start + chance.randrange(1, 150))
        match chance.randrange(5):
            case 0:
                for first, end in offered.add(start, stop):
                    picking.peer_has(first, end)
            case 1:
                for first, end in list(offered):
                    picking.peer_lost(first, end)
                offered.clear()
            case 2:
                got = set(chunks_of(picking.take(offered, chance.randrange(1, 200))))
                assert got <= missing
                assert all(chunk in offered for chunk in got)
                assert got or not any(chunk in offered for chunk in missing)
                missing -= got
                taken |= got
            case 3:
                picking.give_back(start, stop)
                back = taken & set(range(start, stop))
                taken -= back
                missing |= back
            case 4:
                came = taken & set(range(start, stop))
                for chunk in came:
                    picking.arrived(chunk, chunk + 1)
                taken -= came
                held |= came
    rest = []
    while ranges := picking.take(everything(count), 64):
        rest += chunks_of(ranges)
    assert set(rest) == missing
    assert len(missing) + len(taken) + len(held) == count
