"""Sets of chunk numbers, against Python's own sets."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppsp._ranges import RangeSet

NUMBERS = st.integers(0, 40)
#: Mostly ranges, some of them empty, some the wrong way round.
SPANS = st.tuples(NUMBERS, NUMBERS)
OPERATIONS = st.lists(st.tuples(st.booleans(), SPANS), max_size=40)


def members(ranges: "RangeSet | list[tuple[int, int]]") -> set[int]:
    """The numbers in half-open ranges."""
    return {number for start, stop in ranges for number in range(start, stop)}


def is_canonical(ranges: "RangeSet | list[tuple[int, int]]") -> bool:
    """Whether the ranges are ascending, not empty, and with a gap between any two."""
    flat = [bound for pair in ranges for bound in pair]
    return all(a < b for a, b in pairwise(flat))


def build(operations: list[tuple[bool, tuple[int, int]]]) -> tuple[RangeSet, set[int]]:
    """A range set and a plain set after the same additions (True) and removals."""
    ranges = RangeSet()
    model: set[int] = set()
    for is_add, (start, stop) in operations:
        span = set(range(start, stop))
        if is_add:
            ranges.add(start, stop)
            model |= span
        else:
            ranges.remove(start, stop)
            model -= span
    return ranges, model


@given(OPERATIONS)
def test_it_holds_what_a_set_holds_in_the_fewest_ranges(operations: list[tuple[bool, tuple[int, int]]]) -> None:
    ranges, model = build(operations)
    assert members(ranges) == model
    assert is_canonical(ranges)
    assert ranges.total == len(model)
    assert ranges.range_count == len(list(ranges))
    assert bool(ranges) == bool(model)


@given(OPERATIONS, SPANS)
def test_add_tells_what_was_missing(operations: list[tuple[bool, tuple[int, int]]], span: tuple[int, int]) -> None:
    ranges, model = build(operations)
    added = ranges.add(*span)
    assert members(added) == set(range(*span)) - model
    assert is_canonical(added)
    assert members(ranges) == model | set(range(*span))


@given(OPERATIONS, SPANS)
def test_remove_tells_what_was_there(operations: list[tuple[bool, tuple[int, int]]], span: tuple[int, int]) -> None:
    ranges, model = build(operations)
    removed = ranges.remove(*span)
    assert members(removed) == model & set(range(*span))
    assert is_canonical(removed)
    assert members(ranges) == model - set(range(*span))


@given(OPERATIONS, SPANS)
def test_every_question_is_answered_as_a_set_would(
    operations: list[tuple[bool, tuple[int, int]]], span: tuple[int, int]
) -> None:
    ranges, model = build(operations)
    number = span[0]
    wanted = set(range(*span))
    assert ranges.contains(number) == (number in model)
    assert (number in ranges) == (number in model)
    assert ranges.intersects(*span) == bool(model & wanted)
    assert ranges.covers(*span) == (wanted <= model)
    assert members(list(ranges.missing(*span))) == wanted - model
    assert is_canonical(list(ranges.missing(*span)))
    assert ranges.first_at_or_after(number) == min((m for m in model if m >= number), default=None)
    assert ranges.last_before(number) == max((m for m in model if m < number), default=None)


@given(OPERATIONS, NUMBERS)
def test_covering_is_the_biggest_complete_interval(operations: list[tuple[bool, tuple[int, int]]], number: int) -> None:
    """RFC 7574 sections 4.3.1 and 4.3.2: HAVE and ACK carry the biggest complete interval around a chunk."""
    ranges, model = build(operations)
    covering = ranges.covering(number)
    if number not in model:
        assert covering is None
    else:
        assert covering is not None
        start, stop = covering
        assert start <= number < stop
        assert set(range(start, stop)) <= model
        assert start - 1 not in model
        assert stop not in model


@given(OPERATIONS, st.integers(0, 4))
def test_with_a_limit_it_never_has_more_ranges_and_refuses_whole_changes(
    operations: list[tuple[bool, tuple[int, int]]], limit: int
) -> None:
    ranges = RangeSet(max_ranges=limit)
    for is_add, (start, stop) in operations:
        before = list(ranges)
        unlimited = RangeSet(before)
        changed = (ranges.add if is_add else ranges.remove)(start, stop)
        expected = (unlimited.add if is_add else unlimited.remove)(start, stop)
        if unlimited.range_count <= limit:
            assert (changed, list(ranges)) == (expected, list(unlimited))
        else:
            assert (changed, list(ranges)) == ([], before)
        assert ranges.total == len(members(ranges))


@given(OPERATIONS, OPERATIONS)
def test_a_copy_is_independent_and_equal_sets_are_equal(
    operations: list[tuple[bool, tuple[int, int]]], more: list[tuple[bool, tuple[int, int]]]
) -> None:
    ranges, model = build(operations)
    copy = ranges.copy()
    assert copy == ranges
    for is_add, (start, stop) in more:
        (copy.add if is_add else copy.remove)(start, stop)
    assert members(ranges) == model
    assert (copy == ranges) == (members(copy) == model)


def test_a_copy_has_no_limit() -> None:
    copy = RangeSet([(0, 1)], max_ranges=1).copy()
    assert copy.add(5, 6) == [(5, 6)]


def test_a_number_that_extends_a_range_at_the_limit_is_taken() -> None:
    ranges = RangeSet([(0, 2), (4, 5)], max_ranges=2)
    assert ranges.add(2, 3) == [(2, 3)]
    assert ranges.add(3, 4) == [(3, 4)]
    assert list(ranges) == [(0, 5)]


def test_missing_may_be_walked_while_the_gaps_are_filled() -> None:
    ranges = RangeSet([(2, 3), (5, 6)])
    walked = []
    for start, stop in ranges.missing(0, 8):
        walked.append((start, stop))
        ranges.add(start, stop)
    assert walked == [(0, 2), (3, 5), (6, 8)]
    assert ranges.covers(0, 8)


def test_clear_leaves_nothing() -> None:
    ranges = RangeSet([(2, 3), (5, 6)])
    ranges.clear()
    assert (list(ranges), ranges.total, ranges.covering(2)) == ([], 0, None)


def test_numbers_beyond_any_machine_word_are_members_like_others() -> None:
    """RFC 7574 section 4.1.1: chunk numbers have up to 64 bits, and a half-open end one more."""
    ranges = RangeSet([(2**64 - 1, 2**64)])
    assert 2**64 - 1 in ranges
    assert ranges.total == 1


def test_it_differs_from_other_things_and_has_no_hash() -> None:
    assert RangeSet([(0, 1)]) != [(0, 1)]
    assert "0" not in RangeSet([(0, 1)])
    assert repr(RangeSet([(0, 1)])) == "RangeSet([(0, 1)])"
    with pytest.raises(TypeError):
        hash(RangeSet())


def test_the_newest_ranges_are_kept_when_there_are_too_many():
    ranges = RangeSet((start, start + 2) for start in range(0, 40, 4))
    ranges.keep_newest(10)
    assert ranges.range_count == 10
    ranges.keep_newest(8)
    assert list(ranges) == [(24, 26), (28, 30), (32, 34), (36, 38)]
    assert ranges.total == 8


@pytest.mark.parametrize(
    ("count", "removed"),
    [(5, []), (4, []), (3, [(4, 7)]), (2, [(4, 7), (8, 9)]), (1, [(0, 1), (4, 7), (8, 9)])],
)
def test_ranges_in_the_middle_give_way(count, removed):
    ranges = RangeSet([(0, 1), (4, 7), (8, 9), (12, 20)])
    assert ranges.thin_out(count) == removed
    assert ranges == RangeSet([part for part in [(0, 1), (4, 7), (8, 9), (12, 20)] if part not in removed])
    assert ranges.total == 13 - sum(stop - start for start, stop in removed)


@pytest.mark.parametrize(
    ("number", "most", "found"),
    [(0, 2, [(0, 2), (4, 6)]), (1, 9, [(0, 2), (4, 6), (8, 10)]), (2, 1, [(4, 6)]), (9, 5, [(8, 10)]), (10, 5, [])],
)
def test_some_ranges_are_told_from_a_place_on(number, most, found):
    assert RangeSet([(0, 2), (4, 6), (8, 10)]).after(number, most) == found
