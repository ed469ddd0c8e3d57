"""Nodes of the binary tree over the chunks (RFC 7574 sections 4.2 and 5.6.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppsp._addressing import bin_of_range, range_of_bin
from ppsp._bins import node_of, peaks, range_of


def test_the_peaks_of_seven_chunks_are_bins_3_9_and_12() -> None:
    """Section 5.6.1, Figure 4."""
    assert [bin_of_range(*range_of(*node)) for node in peaks(7)] == [3, 9, 12]


@pytest.mark.parametrize(
    ("chunk_count", "ranges"),
    [
        (0, []),
        (1, [(0, 0)]),
        (2, [(0, 1)]),
        (3, [(0, 1), (2, 2)]),
        (8, [(0, 7)]),
        (12, [(0, 7), (8, 11)]),
        (13, [(0, 7), (8, 11), (12, 12)]),
    ],
)
def test_every_1_in_the_number_of_chunks_is_a_peak(chunk_count: int, ranges: list[tuple[int, int]]) -> None:
    """Section 5.6.1: "every "1" in binary representation of the file's packet length corresponds to a peak hash"."""
    assert [range_of(*node) for node in peaks(chunk_count)] == ranges


@given(st.integers(1, 2**40))
def test_peaks_lie_side_by_side_and_fill_the_content(chunk_count: int) -> None:
    """Section 5.6.1: "peak hashes cover all data"."""
    ranges = [range_of(*node) for node in peaks(chunk_count)]
    assert [start for start, _ in ranges] == [0, *(end + 1 for _, end in ranges[:-1])]
    assert ranges[-1][1] == chunk_count - 1


@given(st.integers(0, 40), st.integers(0, 2**40))
def test_a_node_is_named_by_its_range(layer: int, index: int) -> None:
    """Section 5.4: the chunk specification of a node is "the range of chunks formed by the leaves of the subtree"."""
    start, end = range_of(layer, index)
    assert end - start + 1 == 2**layer
    assert node_of(start, end) == (layer, index)


@given(st.integers(0, 2**32 - 2))
def test_nodes_and_bins_agree(number: int) -> None:
    """Section 4.2: a bin's layer is its number of trailing 1s; `_addressing` computes the same by other means."""
    node = node_of(*range_of_bin(number))
    assert node is not None
    layer, index = node
    assert ((2 * index + 1) << layer) - 1 == number


@pytest.mark.parametrize("chunks", [(0, 2), (1, 2), (2, 5), (5, 4), (-2, -1), (3, 3 + 2**20)])
def test_a_range_that_no_subtree_has_is_no_node(chunks: tuple[int, int]) -> None:
    """Section 4.2: a node covers a power of two of chunks, at a multiple of their number."""
    assert node_of(*chunks) is None
