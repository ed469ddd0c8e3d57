"""Positions on the ring (RFC 6940 sections 10.1 and 10.7.4.2)."""

import random

from hypothesis import given
from hypothesis import strategies as st

from reload.chord_ring import (
    BITS,
    RING,
    distance,
    finger_index,
    finger_range,
    fraction,
    identifier,
    is_node,
    position,
    random_ahead,
)

POSITIONS = st.integers(0, RING - 1)


@given(POSITIONS)
def test_positions_and_identifiers_are_each_others_inverse(at: int) -> None:
    assert position(identifier(at)) == at


@given(POSITIONS, POSITIONS)
def test_distance_is_clockwise_modulo_2_to_128(start: int, end: int) -> None:
    assert position(identifier(start + distance(start, end))) == end
    assert 0 <= distance(start, end) < RING


def test_node_2_to_128_minus_1_is_directly_before_node_0() -> None:
    assert distance(RING - 1, 0) == 1
    assert identifier(RING) == bytes(16)
    assert identifier(-1) == b"\xff" * 16


def test_identifiers_of_other_lengths_count_by_their_first_128_bits() -> None:
    assert position(b"\x80") == 1 << 127
    assert position(b"") == 0
    assert position(bytes(15) + b"\x01\xff\xff") == 1


def test_the_reserved_node_ids_are_nobodys() -> None:
    assert not is_node(bytes(16))
    assert not is_node(b"\xff" * 16)
    assert not is_node(b"\x01" * 15)
    assert is_node(identifier(1))


def test_the_first_finger_begins_halfway_round_the_ring() -> None:
    assert finger_range(1) == (RING // 2, RING)
    assert finger_range(2) == (RING // 4, RING // 2)
    assert finger_range(BITS) == (1, 2)


@given(st.integers(1, RING - 1))
def test_every_distance_is_in_the_range_of_exactly_its_finger(ahead: int) -> None:
    start, stop = finger_range(finger_index(ahead))
    assert start <= ahead < stop


@given(st.integers(1, BITS), st.integers(0, 2**32))
def test_a_random_place_is_in_the_range(index: int, seed: int) -> None:
    start, stop = finger_range(index)
    assert start <= random_ahead(index, random.Random(seed).randbytes) < stop


def test_the_ends_of_a_range_can_be_chosen() -> None:
    assert random_ahead(5, lambda n: bytes(n)) == finger_range(5)[0]
    assert random_ahead(5, lambda n: b"\xff" * n) == finger_range(5)[1] - 1


def test_fractions_are_below_1() -> None:
    assert fraction(lambda n: b"\xff" * n) < 1
    assert fraction(lambda n: bytes(n)) == 0
