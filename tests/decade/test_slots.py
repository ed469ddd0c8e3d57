"""Slots for connections."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decade.errors import Dimension, ErrorCode, RefusedError, StateError
from decade.slots import ConnectionSlots, Slot

LIMITS: dict[str, int | None] = {"server": 5, "a": 3, "b": None, "token": 1}


def at(*nodes: str) -> list[tuple[str, int | None]]:
    return [(node, LIMITS[node]) for node in nodes]


def test_a_connection_counts_at_each_node_of_its_path() -> None:
    slots = ConnectionSlots()
    slot = slots.open(at("server", "a", "token"))
    assert [slots.count(node) for node in LIMITS] == [1, 1, 0, 1]
    slots.close(slot)
    assert [slots.count(node) for node in LIMITS] == [0, 0, 0, 0]
    with pytest.raises(StateError):
        slots.close(slot)


def test_a_full_node_refuses_with_its_limit_and_nothing_is_taken_elsewhere() -> None:
    slots = ConnectionSlots()
    slots.open(at("server", "a", "token"))
    with pytest.raises(RefusedError) as found:
        slots.open(at("server", "a", "token"))
    refused = found.value
    assert (refused.code, refused.dimension) == (ErrorCode.TOO_MANY_CONNECTIONS, Dimension.CONNECTIONS)
    assert (refused.limit, refused.used) == (1, 1)
    assert refused.retry_after is not None
    assert (slots.count("server"), slots.count("a")) == (1, 1)


@given(st.lists(st.tuples(st.sampled_from(["open a", "open b", "close"]), st.integers(0, 9))))
def test_counts_are_those_of_the_connections_that_are_open(steps: list[tuple[str, int]]) -> None:
    slots = ConnectionSlots()
    opened: list[tuple[str, Slot]] = []
    for step, which in steps:
        if step == "close" and opened:
            slots.close(opened.pop(which % len(opened))[1])
        elif step.startswith("open"):
            node = step[-1]
            full = len(opened) >= 5 or (node == "a" and sum(name == "a" for name, _ in opened) >= 3)
            try:
                opened.append((node, slots.open(at("server", node))))
            except RefusedError:
                assert full
            else:
                assert not full
        for node in "ab":
            assert slots.count(node) == sum(name == node for name, _ in opened)
        assert len(slots) == slots.count("server") == len(opened)
