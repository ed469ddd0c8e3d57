"""Slots for connections."""

from collections import Counter
from collections.abc import Hashable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decade.errors import Dimension, ErrorCode, RefusedError, StateError, StoreError
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


class Shared:
    """The connections of two processes, and whether they can be asked."""

    def __init__(self) -> None:
        self.counts: Counter[Hashable] = Counter()
        self.fails = False

    def open(self, limits: Sequence[tuple[Hashable, int]]) -> tuple[int, int] | None:
        if self.fails:
            raise StoreError("away")
        for place, (node, limit) in enumerate(limits):
            if self.counts[node] >= limit:
                return place, self.counts[node]
        self.counts.update(node for node, _ in limits)
        return None

    def close(self, nodes: Sequence[Hashable]) -> None:
        self.counts.subtract(nodes)

    def count(self, node: Hashable) -> int:
        return self.counts[node]


@given(st.lists(st.tuples(st.sampled_from(["open", "close", "fail"]), st.integers(0, 9))))
def test_what_has_a_limit_is_counted_with_what_other_processes_have_open(steps: list[tuple[str, int]]) -> None:
    shared = Shared()
    processes = [ConnectionSlots(shared), ConnectionSlots(shared)]
    opened: list[tuple[int, Slot]] = []
    for step, which in steps:
        if step == "close" and opened:
            number, slot = opened.pop(which % len(opened))
            processes[number].close(slot)
        elif step != "close":
            shared.fails = step == "fail"
            process, limits = processes[which % 2], at("server", "a", "b")
            if shared.fails or len(opened) == 3:
                with pytest.raises((StoreError, RefusedError)):
                    process.open(limits, local=[("here", 9)])
            else:
                opened.append((which % 2, process.open(limits, local=[("here", 9)])))
        for number, process in enumerate(processes):
            own = sum(each == number for each, _ in opened)
            assert (process.count("server"), process.count("a"), process.count("b")) == (len(opened), len(opened), own)
            assert len(process) == process.count("here") == own
    assert +shared.counts == Counter({"server": len(opened), "a": len(opened)} if opened else {})
