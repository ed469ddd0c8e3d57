"""Chunk specifications on the wire, and bins."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppsp._addressing import LAYOUT, bin_of_range, bin_ranges, range_of_bin
from ppsp.constants import ChunkAddressing

# Figure 2: the bin number tree of an interval of width 8, layer by layer from the leaves.
FIGURE_2 = [
    [(0, 0, 0), (2, 1, 1), (4, 2, 2), (6, 3, 3), (8, 4, 4), (10, 5, 5), (12, 6, 6), (14, 7, 7)],
    [(1, 0, 1), (5, 2, 3), (9, 4, 5), (13, 6, 7)],
    [(3, 0, 3), (11, 4, 7)],
    [(7, 0, 7)],
]


@pytest.mark.parametrize(("number", "start", "end"), [node for layer in FIGURE_2 for node in layer])
def test_bins_are_numbered_as_in_figure_2(number: int, start: int, end: int) -> None:
    """Section 4.2."""
    assert range_of_bin(number) == (start, end)
    assert bin_of_range(start, end) == number


def test_a_parent_is_the_mean_of_its_children() -> None:
    """Section 4.2: binP = (binL + binR) / 2."""
    for layer in range(1, 10):
        for k in range(8):
            start, middle = k << layer, (k << layer) + (1 << layer - 1)
            end = (k + 1 << layer) - 1
            mean = (bin_of_range(start, middle - 1) + bin_of_range(middle, end)) / 2
            assert bin_of_range(start, end) == mean


@given(st.integers(0, 62).flatmap(lambda layer: st.tuples(st.just(layer), st.integers(0, (1 << 63 - layer) - 1))))
def test_bin_and_range_are_inverse_in_64_bits(node: tuple[int, int]) -> None:
    """Section 4.2: the largest interval is 2**63 chunks."""
    layer, k = node
    chunks = (k << layer, (k + 1 << layer) - 1)
    number = bin_of_range(*chunks)
    assert number < (1 << 64) - 1
    assert range_of_bin(number) == chunks


@pytest.mark.parametrize("bits", [32, 64])
def test_everything_is_the_bin_of_all_chunks_that_bins_can_denote(bits: int) -> None:
    """Section 4.2: 0x7FFF...FFF stands for everything."""
    method = ChunkAddressing.BIN32 if bits == 32 else ChunkAddressing.BIN64
    everything = (1 << bits - 1) - 1
    assert range_of_bin(everything) == (0, LAYOUT[method].limit)
    assert bin_of_range(0, LAYOUT[method].limit) == everything


@pytest.mark.parametrize(("start", "end"), [(0, 2), (1, 2), (2, 5), (3, 2), (5, 3), (4, 11)])
def test_a_range_that_is_no_node_of_the_tree_has_no_bin(start: int, end: int) -> None:
    """Section 4.2."""
    with pytest.raises(ValueError, match=f"no bin denotes the chunks {start} to {end}"):
        bin_of_range(start, end)


@given(st.integers(0, 500), st.integers(0, 500))
def test_a_range_falls_into_adjacent_bins_of_which_no_two_could_be_one(start: int, length: int) -> None:
    """Section 4.2."""
    parts = list(bin_ranges(start, start + length))
    assert [chunk for first, last in parts for chunk in range(first, last + 1)] == list(
        range(start, start + length + 1)
    )
    numbers = [bin_of_range(*part) for part in parts]
    assert len(set(numbers)) == len(parts)
    for (first, _), (_, last) in pairwise(parts):
        with pytest.raises(ValueError, match="no bin"):
            bin_of_range(first, last)


def test_the_bins_of_an_empty_range_are_none() -> None:
    """Section 4.2."""
    assert list(bin_ranges(3, 2)) == []


def test_the_width_of_a_chunk_specification_follows_from_the_method() -> None:
    """Sections 4.1, 4.2 and 7.8."""
    widths = {method.name: struct.calcsize(">" + LAYOUT[method].fields) for method in ChunkAddressing}
    assert widths == {"BIN32": 4, "BYTE64": 16, "CHUNK32": 8, "BIN64": 8, "CHUNK64": 16}


def test_the_greatest_chunk_or_octet_fills_its_value_and_bins_reach_half_as_far() -> None:
    """Sections 4.1 and 4.2: leaf bins are even, and the greatest number of all stands for no chunk."""
    limits = {method.name: LAYOUT[method].limit for method in ChunkAddressing}
    wide, narrow = 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFF
    assert limits == {
        "BIN32": (narrow - 1) // 2,
        "BYTE64": wide,
        "CHUNK32": narrow,
        "BIN64": (wide - 1) // 2,
        "CHUNK64": wide,
    }


def test_the_width_of_one_value_is_that_of_a_bin_or_of_half_a_range() -> None:
    """Section 7.9."""
    widths = {method.name: LAYOUT[method].value_size for method in ChunkAddressing}
    assert widths == {"BIN32": 4, "BYTE64": 8, "CHUNK32": 4, "BIN64": 8, "CHUNK64": 8}
