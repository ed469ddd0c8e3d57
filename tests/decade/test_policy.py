"""The policy tree: effective limits, and storage that is never overbooked."""

import random
from collections.abc import Callable

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from decade.errors import Dimension, ErrorCode, RefusedError, StateError
from decade.ledger import MemoryQuotas
from decade.messages import Access, ResourcePolicy, WhenFull
from decade.policy import (
    MAX_APPS,
    PROVIDER,
    RESERVATION_TABLE,
    PolicyTree,
    Reservation,
    ReservationEvent,
    ReservationState,
)
from decade.ports import Holding, NodePath, Quotas
from decade.values import Priority

A, B = ("a",), ("b",)
AX, AY, BX = ("a", "x"), ("a", "y"), ("b", "x")
NODES = (PROVIDER, A, B, AX, AY, BX)
LIMITS = {PROVIDER: 100, A: 70, B: 50, AX: 60, AY: 40, BX: 60}


def policy(storage: int | None = None, **members: int) -> ResourcePolicy:
    return attrs.evolve(ResourcePolicy(weight=members.pop("weight", 1), storage=storage), **members)


def grown(limits: dict[NodePath, int] = LIMITS) -> tuple[PolicyTree, MemoryQuotas]:
    quotas = MemoryQuotas()
    tree = PolicyTree(quotas, policy(limits[PROVIDER]))
    for path in NODES[1:]:
        tree.put(path, policy(limits[path]))
    return tree, quotas


def test_the_memory_of_one_process_is_a_port_of_quotas() -> None:
    quotas: Quotas = MemoryQuotas()
    assert quotas.holding(A) == Holding()


def test_a_limit_is_the_least_along_the_path() -> None:
    tree = PolicyTree(MemoryQuotas(), policy(100, connections=9, longest_lifetime=500, ceiling_upload=7))
    tree.put(A, policy(200, weight=3, connections=5, default_lifetime=900))
    tree.put(AX, policy(None, weight=8, connections=6, ceiling_download=4, priority=Priority.HIGH))
    found = tree.effective(AX)
    assert (found.weight, found.priority) == (8, Priority.HIGH)
    assert (found.storage, found.connections) == (100, 5)
    assert (found.ceiling_download, found.ceiling_upload) == (4, 7)
    assert (found.default_lifetime, found.longest_lifetime) == (500, 500)
    assert tree.connection_limits(AX) == ((PROVIDER, 9), (A, 5), (AX, 6))


def test_a_node_without_limits_has_none_and_a_normal_priority() -> None:
    found = PolicyTree(MemoryQuotas()).effective(PROVIDER)
    assert (found.storage, found.connections, found.default_lifetime, found.longest_lifetime) == (None,) * 4
    assert found.priority is Priority.NORMAL


limits = st.none() | st.integers(0, 1000)


@given(st.lists(st.tuples(limits, limits, limits), min_size=3, max_size=3))
def test_no_node_has_more_than_any_node_above_it(rows: list[tuple[int | None, ...]]) -> None:
    tree = PolicyTree(MemoryQuotas())
    for path, (storage, connections, life) in zip((PROVIDER, A, AX), rows, strict=True):
        tree.put(path, ResourcePolicy(weight=1, storage=storage, connections=connections, longest_lifetime=life))
    for path in (A, AX):
        above, here = tree.effective(path[:-1]), tree.effective(path)
        for member in ("storage", "connections", "longest_lifetime"):
            upper, lower = getattr(above, member), getattr(here, member)
            assert upper is None or (lower is not None and lower <= upper)


@pytest.mark.parametrize("path", [AX, ("a", "x", "deeper"), ("nobody", "x")])
def test_a_node_needs_its_parent_and_two_levels_are_all(path: NodePath) -> None:
    tree = PolicyTree(MemoryQuotas())
    if len(path) == 3:
        tree.put(A, policy())
        tree.put(AX, policy())
    with pytest.raises(StateError):
        tree.put(path, policy())
    assert tree.policy(path) is None


def test_a_policy_with_members_of_extensions_is_refused() -> None:
    tree, _ = grown()
    before = tree.policy(A)
    for asked in (
        ResourcePolicy(weight=1, guaranteed_download=1),
        ResourcePolicy(weight=1, guaranteed_upload=1),
        ResourcePolicy(weight=1, when_full=WhenFull.EVICT_OWN),
        ResourcePolicy(weight=1, access=Access.PUBLIC),
    ):
        with pytest.raises(RefusedError) as found:
            tree.put(A, asked)
        assert found.value.code is ErrorCode.ATTRIBUTE_NOT_PERMITTED
    assert tree.policy(A) == before
    tree.put(A, ResourcePolicy(weight=2, when_full=WhenFull.REJECT, access=Access.PRIVATE))


def test_a_node_keeps_what_it_holds_when_its_policy_changes() -> None:
    tree, _ = grown()
    tree.reserve(AX, 30)
    with pytest.raises(RefusedError) as found:
        tree.put(A, policy(29))
    assert (found.value.dimension, found.value.limit, found.value.used) == (Dimension.STORAGE, 29, 30)
    tree.put(A, policy(30))
    assert tree.effective(AX).storage == 30


def test_a_node_goes_when_it_is_empty() -> None:
    tree, _ = grown()
    kept = tree.reserve(AX, 1)
    for path in (A, AX):
        with pytest.raises(RefusedError) as found:
            tree.remove(path)
        assert found.value.code is ErrorCode.CONFLICT
    kept.release()
    with pytest.raises(RefusedError):
        tree.remove(A)
    for path in (AX, AY, A):
        tree.remove(path)
    assert (tree.policy(A), tree.apps("a"), tree.apps("b")) == (None, (), ("x",))
    for path in (A, PROVIDER):
        with pytest.raises(StateError):
            tree.remove(path)
    with pytest.raises(RefusedError) as refused:
        tree.reserve(AX, 0)
    assert refused.value.code is ErrorCode.CLIENT_NOT_PERMITTED


def test_an_account_has_a_bounded_number_of_applications() -> None:
    tree = PolicyTree(MemoryQuotas())
    tree.put(A, policy())
    for number in range(MAX_APPS):
        tree.put(("a", f"{number:03}"), policy())
    with pytest.raises(RefusedError):
        tree.put(("a", "one more"), policy())
    tree.put(("a", "000"), policy(7))
    assert len(tree.apps("a")) == MAX_APPS


def test_a_refusal_names_the_limit_that_is_in_the_way_and_reserves_nowhere() -> None:
    tree, quotas = grown()
    tree.reserve(AX, 60)
    for path, octets, limit, used in ((AX, 11, 70, 60), (AX, 1, 60, 60), (BX, 41, 100, 60), (B, 41, 100, 60)):
        with pytest.raises(RefusedError) as found:
            tree.reserve(path, octets)
        refused = found.value
        assert (refused.code, refused.dimension) == (ErrorCode.STORAGE_QUOTA, Dimension.STORAGE)
        assert (refused.limit, refused.used) == (limit, used)
    assert quotas.holding(B) == quotas.holding(BX) == Holding()


VERBS: dict[ReservationEvent, Callable[[Reservation], None]] = {
    ReservationEvent.COMMIT: Reservation.commit,
    ReservationEvent.RELEASE: Reservation.release,
}


@pytest.mark.parametrize("state", ReservationState)
@pytest.mark.parametrize("event", ReservationEvent)
def test_every_event_in_every_state_of_a_reservation(state: ReservationState, event: ReservationEvent) -> None:
    tree, quotas = grown()
    kept = tree.reserve(AX, 5)
    for before, following in RESERVATION_TABLE[ReservationState.RESERVED].items():
        if following is state:
            VERBS[before](kept)
    assert kept.state is state
    held = [quotas.holding(path) for path in NODES]
    expected = RESERVATION_TABLE[state].get(event)
    if expected is None:
        with pytest.raises(StateError):
            VERBS[event](kept)
        assert kept.state is state
        assert [quotas.holding(path) for path in NODES] == held
    else:
        VERBS[event](kept)
        assert kept.state is expected
        stored = event is ReservationEvent.COMMIT
        assert quotas.holding(AX) == (Holding(5, 0, 1) if stored else Holding())


def test_what_was_not_stored_cannot_be_dropped() -> None:
    tree, quotas = grown()
    tree.reserve(AX, 5).commit()
    with pytest.raises(StateError):
        tree.drop(AY, 1)
    assert quotas.holding(A) == Holding(5, 0, 1)
    with pytest.raises(StateError):
        quotas.release((AX,), 1)


def test_ten_thousand_interleaved_uploads_never_overbook_and_add_up() -> None:
    tree, quotas = grown({path: limit * 1000 for path, limit in LIMITS.items()})
    chance = random.Random(7069)
    kept: list[Reservation] = []
    rows: list[tuple[NodePath, int]] = []
    refused = 0
    for _ in range(10_000):
        path, octets = chance.choice((A, B, AX, AY, BX)), chance.randrange(0, 3000)
        try:
            kept.append(tree.reserve(path, octets))
        except RefusedError:
            refused += 1
        for _ in range(chance.randrange(3)):
            if kept and chance.random() < 0.7:
                ended = kept.pop(chance.randrange(len(kept)))
                if chance.random() < 0.5:
                    ended.commit()
                    rows.append((ended.path, ended.octets))
                else:
                    ended.release()
            elif rows:
                tree.drop(*rows.pop(chance.randrange(len(rows))))
        for node in NODES:
            held = quotas.holding(node)
            assert held.used <= LIMITS[node] * 1000
    assert refused > 100
    for ended in kept:
        ended.release()
    for node in NODES:
        below = [octets for path, octets in rows if path[: len(node)] == node]
        assert quotas.holding(node) == Holding(sum(below), 0, len(below))


class Storage(RuleBasedStateMachine):
    """The tree against a list of rows and a list of reservations that are added up each time."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = dict(LIMITS)
        self.tree, self.quotas = grown()
        self.kept: list[Reservation] = []
        self.rows: list[tuple[NodePath, int]] = []

    def _used(self, node: NodePath) -> int:
        uploads = [(kept.path, kept.octets) for kept in self.kept]
        return sum(octets for path, octets in self.rows + uploads if path[: len(node)] == node)

    @rule(path=st.sampled_from(NODES[1:]), octets=st.integers(0, 40))
    def reserve(self, path: NodePath, octets: int) -> None:
        nodes = [path[:level] for level in range(len(path) + 1)]
        full = [node for node in nodes if self._used(node) + octets > self.limits[node]]
        if not full:
            self.kept.append(self.tree.reserve(path, octets))
            return
        with pytest.raises(RefusedError) as refused:
            self.tree.reserve(path, octets)
        assert (refused.value.limit, refused.value.used) == (self.limits[full[0]], self._used(full[0]))

    @precondition(lambda self: self.kept)
    @rule(which=st.integers(0, 99), stored=st.booleans())
    def end(self, which: int, stored: bool) -> None:
        ended = self.kept.pop(which % len(self.kept))
        if stored:
            ended.commit()
            self.rows.append((ended.path, ended.octets))
        else:
            ended.release()

    @precondition(lambda self: self.rows)
    @rule(which=st.integers(0, 99))
    def drop(self, which: int) -> None:
        self.tree.drop(*self.rows.pop(which % len(self.rows)))

    @rule(path=st.sampled_from(NODES), limit=st.integers(0, 100))
    def change(self, path: NodePath, limit: int) -> None:
        try:
            self.tree.put(path, policy(limit))
        except RefusedError:
            assert self._used(path) > limit
        else:
            assert self._used(path) <= limit
            self.limits[path] = limit

    @rule()
    def restart(self) -> None:
        """Uploads are lost; what is stored is counted from the rows."""
        self.kept.clear()
        self.quotas = MemoryQuotas()
        for path, octets in self.rows:
            self.quotas.load([path[:level] for level in range(len(path) + 1)], octets)
        self.tree = PolicyTree(self.quotas, policy(self.limits[PROVIDER]))
        for path in NODES[1:]:
            self.tree.put(path, policy(self.limits[path]))

    @invariant()
    def the_rows_add_up_and_no_limit_is_passed(self) -> None:
        for node in NODES:
            held = self.tree.holding(node)
            rows = [octets for path, octets in self.rows if path[: len(node)] == node]
            assert (held.stored, held.objects) == (sum(rows), len(rows))
            assert held.used == self._used(node) <= self.limits[node]


TestStorage = Storage.TestCase
