"""`ppsp._deadlines`: what readers are about to need goes first, whatever the picker (section 9.1)."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppsp import StateError
from ppsp._deadlines import Deadlines, Part
from ppsp._limits import BLOCK, MAX_READERS
from ppsp._ranges import RangeSet
from ppsp.picker import RarestFirst, Sequential

PICKERS = [Sequential, RarestFirst]


def chunks_of(ranges):
    return [chunk for start, stop in ranges for chunk in range(start, stop)]


def everything(count):
    return RangeSet([(0, count)])


@pytest.mark.parametrize("picker", PICKERS)
def test_a_window_goes_first_and_in_order(picker):
    deadlines = Deadlines()
    deadlines.prioritise("a", 5000, 5200)
    taken = chunks_of(deadlines.take(picker(10_000, 7), everything(10_000), 200, 10_000))
    assert taken[:200] == list(range(5000, 5200))


@pytest.mark.parametrize("picker", PICKERS)
def test_behind_the_window_comes_what_follows_it_and_then_the_rest(picker):
    deadlines, picking = Deadlines(), picker(1000, 7)
    deadlines.prioritise("a", 640, 700)
    order = []
    while ranges := deadlines.take(picking, everything(1000), 64, 1000):
        order += chunks_of(ranges)
    assert sorted(order) == list(range(1000))
    assert set(order[:360]) == set(range(640, 1000))


def test_two_readers_share_by_the_distance_to_what_they_need():
    deadlines, picking = Deadlines(), Sequential(10_000)
    deadlines.prioritise("tail", 6400, 6400 + 4 * BLOCK)
    deadlines.prioritise("head", 0, 4 * BLOCK)
    blocks = [deadlines.take(picking, everything(10_000), 1, 10_000)[0][0] // BLOCK for _ in range(8)]
    assert blocks == [0, 100, 1, 101, 2, 102, 3, 103]


def test_a_reader_in_the_middle_of_a_block_gets_its_chunk_first():
    deadlines = Deadlines()
    deadlines.prioritise("a", 1000, 2000)
    assert deadlines.take(Sequential(10_000), everything(10_000), 1, 10_000) == [(1000, 1024)]


def test_what_is_given_back_is_urgent_again():
    deadlines, picking = Deadlines(), Sequential(10_000)
    deadlines.prioritise("a", 1000, 2000)
    deadlines.take(picking, everything(10_000), 900, 10_000)
    picking.give_back(1100, 1110)
    deadlines.freed(1100, 1110)
    assert deadlines.take(picking, everything(10_000), 10, 10_000)[0] == (1100, 1110)


def test_a_block_is_as_near_as_its_beginning_whatever_of_it_has_come():
    deadlines, picking = Deadlines(), Sequential(1000)
    deadlines.prioritise("old", 30, 500)
    while deadlines.take(picking, everything(1000), 1000, 1000):
        pass
    picking.give_back(40, 200)
    deadlines.freed(40, 200)
    deadlines.prioritise("new", BLOCK - 2, 500)
    taken = deadlines.take(picking, everything(1000), BLOCK - 40, 1000)
    assert chunks_of(taken) == [BLOCK - 2, BLOCK - 1, *range(40, BLOCK - 2)]


def test_a_reader_that_goes_on_does_not_jump_and_one_that_seeks_does():
    deadlines = Deadlines()
    assert deadlines.prioritise("a", 0, 100)
    assert not deadlines.prioritise("a", 60, 160)
    assert not deadlines.prioritise("a", 160, 260)
    assert deadlines.prioritise("a", 0, 100)
    assert deadlines.prioritise("a", 500, 600)
    deadlines.forget("a")
    deadlines.forget("a")
    assert not deadlines


def test_there_are_so_many_readers_and_no_more_and_no_empty_windows():
    deadlines = Deadlines()
    for reader in range(MAX_READERS):
        deadlines.prioritise(reader, reader, reader + 1)
    with pytest.raises(StateError):
        deadlines.prioritise("one more", 0, 1)
    deadlines.prioritise(0, 5, 6)
    for start, stop in ((5, 5), (6, 5), (-1, 5)):
        with pytest.raises(StateError):
            deadlines.prioritise(0, start, stop)


def test_what_is_late_and_near_is_asked_of_a_second_peer_once():
    deadlines = Deadlines()
    deadlines.prioritise("a", 0, 1000)
    late = set(range(100, 400))
    assert deadlines.double([late], RangeSet([(110, 1000)]), {120}) == [(110, 120), (121, 2 * BLOCK)]
    assert deadlines.double([late], RangeSet([(110, 1000)]), set()) == [(120, 121)]
    assert deadlines.was_doubled(110)
    assert not deadlines.was_doubled(110)
    assert not deadlines.was_doubled(300)


class Counting(Sequential):
    """A picker that counts the questions."""

    questions = 0

    def wants(self, start, stop):
        self.questions += 1
        return super().wants(start, stop)


@pytest.mark.parametrize("seek", [False, True])
def test_a_pick_does_not_look_at_all_chunks_again(seek):
    """A million chunks: the cursors make the cost a few questions a pick."""
    count = 1 << 20
    deadlines, picking = Deadlines(), Counting(count)
    deadlines.prioritise("a", count // 2 if seek else 0, count // 2 + 8192)
    picks = taken = 0
    while ranges := deadlines.take(picking, everything(count), 512, count):
        picks += 1
        taken += sum(stop - start for start, stop in ranges)
    assert taken == count
    assert picking.questions < 20 * picks


def naive(missing, offered, windows, most):
    """The chunks to take, by the definition: sort everything by distance, block by block."""
    order = []
    for rank, (start, stop) in enumerate(reversed(windows)):
        for chunk in range(start, stop):
            # A block is as far as its first chunk of the window.
            first = max(start, chunk // BLOCK * BLOCK)
            order.append((first, rank, chunk, start))
    # Where nothing is wanted in a block it does not count; what is left is taken by whole blocks.
    keyed = {}
    for first, rank, chunk, start in order:
        if chunk in missing and chunk in offered:
            keyed.setdefault(chunk, []).append((first - start, rank))
    found, blocks = [], {}
    for chunk, keys in keyed.items():
        blocks.setdefault(min(keys), []).append(chunk)
    for key in sorted(blocks):
        if len(found) >= most:
            break
        found += sorted(blocks[key])
    return found


@pytest.mark.parametrize("picker", PICKERS)
@settings(max_examples=60)
@given(data=st.data())
def test_what_is_urgent_is_what_the_definition_says(picker, data):
    """Against a naive model: windows come, go and move; chunks are taken, given back and arrive."""
    count = data.draw(st.integers(1, 600))
    chance = random.Random(data.draw(st.integers(0, 2**32)))
    picking, deadlines = picker(count, chance.randrange(2**32)), Deadlines()
    missing, taken, windows = set(range(count)), set(), {}
    offers = [everything(count), RangeSet([(count // 3, 2 * count // 3 + 1)])]
    for _ in range(40):
        start = chance.randrange(count)
        stop = start + chance.randrange(1, 200)
        reader = chance.randrange(3)
        match chance.randrange(5):
            case 0 | 1:
                if deadlines.prioritise(reader, start, stop):
                    windows.pop(reader, None)
                windows[reader] = (start, stop)
            case 2:
                deadlines.forget(reader)
                windows.pop(reader, None)
            case 3:
                back = sorted(taken & set(range(start, min(stop, count))))
                for chunk in back:
                    picking.give_back(chunk, chunk + 1)
                    deadlines.freed(chunk, chunk + 1)
                taken.difference_update(back)
                missing.update(back)
            case 4 if windows:
                offered, most = chance.choice(offers), chance.randrange(1, 200)
                got = chunks_of(deadlines.take(picking, offered, most, count))
                assert len(got) == len(set(got))
                assert set(got) <= missing
                urgent = naive(missing, offered, list(windows.values()), most)
                wanted = [chunk for chunk in missing if chunk in offered]
                assert set(got[: len(urgent)]) == set(urgent)
                assert len(got) >= min(most, len(wanted))
                missing.difference_update(got)
                taken.update(got)
    for reader in list(windows):
        deadlines.forget(reader)


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(1, 20)), max_size=6),
    st.integers(0, 120),
    st.integers(0, 120),
)
def test_a_part_of_an_offer_is_an_offer(ranges, start, stop):
    offered = RangeSet((first, first + length) for first, length in ranges)
    part = Part(offered, start, stop)
    expected = {chunk for chunk in range(start, stop) if chunk in offered}
    assert set(chunks_of(part)) == expected
    assert {chunk for chunk in range(-1, 130) if chunk in part} == expected
    for low in range(0, 130, 7):
        assert part.intersects(low, low + 9) == bool(expected & set(range(low, low + 9)))
        assert part.covers(low, low + 3) == (set(range(low, low + 3)) <= expected)
