"""The ReDiR tree: intervals, Resource-IDs, and what NODE-ID-MATCH lets through. Small Node-IDs are the first 4 bits."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reload._presentation import encode
from reload.destinations import NodeDestination
from reload.errors import EncodeError
from reload.extensions import RedirServiceProvider
from reload.storage_messages import DataValue, DictionaryEntry
from reload.usages.redir_tree import RedirTree, interval_of, may_store, redir_resource_id

BINARY = RedirTree("voice-mail", 2)


def small(number: int) -> bytes:
    """A Node-ID of the RFC's examples, where numBitsInNodeId is 4, at the same place of the whole space."""
    return bytes([number << 4]) + bytes(15)


def entry(
    node_id: bytes, tree: RedirTree, level: int, /, *, key: bytes | None = None, **fields: object
) -> tuple[DictionaryEntry, bytes]:
    """What a node stores in the tree, and where."""
    record = RedirServiceProvider(
        0, (NodeDestination(node_id),), tree.namespace.encode(), level, tree.node(level, node_id)
    )
    for name, value in fields.items():
        setattr(record, name, value)
    value = DataValue(True, encode(record))
    at = redir_resource_id(record.namespace, record.level, record.node)
    return DictionaryEntry(key or node_id, value), at


@pytest.mark.parametrize(
    ("level", "bounds"),
    [(0, [(0, 7), (8, 15)]), (1, [(0, 3), (4, 7), (8, 11), (12, 15)])],
)
def test_the_intervals_are_those_of_figure_3(level: int, bounds: list[tuple[int, int]]) -> None:
    for number, (first, last) in enumerate(bounds):
        assert {interval_of(small(key), level, 2) for key in range(first, last + 1)} == {number}


def test_the_tree_nodes_are_numbered_as_in_figure_2() -> None:
    for level, nodes in enumerate((1, 2, 4, 8)):
        assert [BINARY.node(level, small(key)) for key in range(16)] == [key * nodes // 16 for key in range(16)]


@given(st.integers(0, 2**128 - 1), st.integers(2, 70_000), st.integers(0, 5))
def test_a_key_lies_in_its_interval_as_the_formula_of_section_3_has_it(key: int, factor: int, level: int) -> None:
    interval = interval_of(key.to_bytes(16, "big"), level, factor)
    node, part = divmod(interval, factor)
    # [2^128 * b^-level * (j + b'/b), 2^128 * b^-level * (j + (b'+1)/b)), multiplied by b^(level+1)
    scaled = key * factor ** (level + 1)
    assert 2**128 * (node * factor + part) <= scaled < 2**128 * (node * factor + part + 1)
    assert node == RedirTree("x", factor).node(level, key.to_bytes(16, "big"))


@pytest.mark.parametrize(
    ("factor", "deepest", "start"), [(2, 16, 2), (10, 4, 2), (256, 2, 2), (257, 1, 1), (70_000, 0, 0)]
)
def test_no_level_has_tree_nodes_whose_number_has_over_16_bits(factor: int, deepest: int, start: int) -> None:
    tree = RedirTree("x", factor)
    assert (tree.deepest_level, tree.starting_level) == (deepest, start)
    assert tree.node(deepest, b"\xff" * 16) <= 0xFFFF


def test_a_branching_factor_below_two_makes_no_tree() -> None:
    with pytest.raises(ValueError):
        RedirTree("x", 1)


def test_a_tree_node_is_stored_at_the_hash_of_namespace_level_and_number() -> None:
    expected = hashlib.sha1(b"voice-mail" + bytes.fromhex("00020003")).digest()[:16]
    assert redir_resource_id(b"voice-mail", 2, 3) == expected
    assert BINARY.resource_id(2, small(12)) == expected


@pytest.mark.parametrize(("level", "node"), [(65536, 0), (0, 65536), (-1, 0)])
def test_numbers_beyond_16_bits_name_no_tree_node(level: int, node: int) -> None:
    with pytest.raises(EncodeError):
        redir_resource_id(b"x", level, node)


@pytest.mark.parametrize("level", range(5))
def test_a_node_may_store_itself_where_its_node_id_belongs(level: int) -> None:
    tree = RedirTree("voice-mail")
    node_id = hashlib.sha256(b"%d" % level).digest()[:16]
    stored, at = entry(node_id, tree, level)
    assert may_store(stored, at, node_id, 10)


def test_nobody_may_store_under_the_key_of_another_node() -> None:
    stored, at = entry(small(3), BINARY, 1)
    assert not may_store(stored, at, small(2), 2)
    stored, at = entry(small(3), BINARY, 1, key=small(2))
    assert not may_store(stored, at, small(3), 2)


def test_a_node_may_not_store_itself_in_a_tree_node_without_an_interval_for_it() -> None:
    stored, at = entry(small(3), BINARY, 2, node=1)
    assert at == redir_resource_id(b"voice-mail", 2, 1)
    assert not may_store(stored, at, small(3), 2)
    stored, at = entry(small(3), BINARY, 2)
    assert not may_store(stored, at, small(3), 10)


@pytest.mark.parametrize("fields", [{"level": 3}, {"node": 1}, {"namespace": b"turn-server"}])
def test_a_record_belongs_to_the_resource_of_the_tree_node_that_it_names(fields: dict[str, object]) -> None:
    _, at = entry(small(3), BINARY, 2)
    stored, _ = entry(small(3), BINARY, 2, **fields)
    assert not may_store(stored, at, small(3), 2)


def test_what_is_no_record_may_not_be_stored() -> None:
    stored, at = entry(small(3), BINARY, 2)
    octets = stored.value.value
    for broken in (b"", octets[:-1], octets + b"\0"):
        assert not may_store(DictionaryEntry(small(3), DataValue(True, broken)), at, small(3), 2)


def test_a_node_may_remove_its_own_entry_anywhere() -> None:
    gone = DictionaryEntry(small(3), DataValue(False))
    assert may_store(gone, bytes(16), small(3), 2)
    assert not may_store(gone, bytes(16), small(4), 2)


def test_a_level_deeper_than_node_ids_reach_is_refused_before_anything_is_computed_with_it() -> None:
    zero = bytes(15) + b"\1"
    stored, at = entry(zero, BINARY, 127)
    assert may_store(stored, at, zero, 2)
    for level in (128, 65535):
        stored, at = entry(zero, BINARY, 0, level=level)
        assert not may_store(stored, at, zero, 0xFFFFFFFF)


@given(st.binary(max_size=80), st.binary(min_size=16, max_size=16), st.integers(2, 0xFFFFFFFF))
def test_any_octets_are_judged_without_an_error(value: bytes, node_id: bytes, factor: int) -> None:
    assert not may_store(DictionaryEntry(node_id, DataValue(True, value)), bytes(16), node_id, factor)
