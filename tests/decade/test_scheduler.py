"""The scheduler: shares, ceilings and priorities on a simulated line, traces, and a model that sorts everything."""

from collections import Counter
from collections.abc import Hashable, Mapping
from fractions import Fraction
from itertools import pairwise
from math import inf
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from decade.errors import StateError
from decade.policy import PROVIDER
from decade.ports import NodePath
from decade.scheduler import BURST, LONE_QUANTUM, MAX_IDLE_FLOWS, QUANTUM, Grant, Scheduler, Terms, token_terms
from decade.scope import TokenPolicy
from decade.values import BitRate, Priority, Weight

MANY = 1 << 50
LINE = 1_000_000_000


def terms(path: str, token: str = "t", **members: int) -> Terms:
    made = Terms(tuple(path.split("/")), (b"key", token.encode()))
    return attrs.evolve(made, **members)


def tree(weights: dict[str, int], ceiling: int | None = None) -> Scheduler:
    scheduler = Scheduler(ceiling)
    for path, weight in weights.items():
        scheduler.configure(tuple(path.split("/")), weight=weight)
    return scheduler


def run(scheduler: Scheduler, until: float, *, line: int = LINE, start: float = 0.0) -> Counter[Hashable]:
    """Octets by transfer on a line that is busy whenever the scheduler lets it be."""
    sent: Counter[Hashable] = Counter()
    now = start
    while now < until:
        granted = scheduler.grant(now)
        if granted is None:
            timer = scheduler.get_timer()
            if timer is None:
                break
            assert timer > now
            now = timer
        else:
            sent[granted.transfer] += granted.octets
            now += granted.octets * 8 / line
    return sent


def assert_shares(sent: Counter[Hashable], expected: Mapping[Any, float], error: float = 0.001) -> None:
    total, whole = sum(sent.values()), sum(expected.values())
    for transfer, share in expected.items():
        assert sent[transfer] / total == pytest.approx(share / whole, rel=error)


def test_shares_are_those_of_the_weights_within_a_thousandth() -> None:
    scheduler = tree({"a": 1, "b": 2, "c": 4})
    for name in "abc":
        scheduler.offer(name, MANY, terms(name))
    sent = run(scheduler, 1.0)
    assert sum(sent.values()) * 8 == pytest.approx(LINE, rel=0.001)
    assert_shares(sent, {"a": 1, "b": 2, "c": 4})


def test_a_share_is_divided_at_each_level() -> None:
    scheduler = tree({"a": 1, "b": 3, "a/x": 2, "a/y": 1})
    for transfer, path, weight in (("x", "a/x", 1), ("y1", "a/y", 1), ("y2", "a/y", 3), ("own", "a", 3), ("b", "b", 9)):
        scheduler.offer(transfer, MANY, terms(path, transfer, weight=weight))
    expected = {"x": 2 / 6, "own": 3 / 6, "y1": 1 / 24, "y2": 3 / 24, "b": 3}
    assert_shares(run(scheduler, 4.0), expected)


def test_sixty_four_transfers_and_great_weights_take_nothing_from_another_account() -> None:
    scheduler = tree({"greedy": 1, "modest": 1})
    for number in range(64):
        scheduler.offer(number, MANY, terms("greedy", str(number), weight=65535, priority=Priority.URGENT))
    scheduler.offer("modest", MANY, terms("modest", priority=Priority.LOW))
    sent = run(scheduler, 1.0)
    assert sent["modest"] / sum(sent.values()) == pytest.approx(0.5, rel=0.001)


def test_the_transfers_of_a_token_take_turns_within_its_share() -> None:
    scheduler = tree({"a": 1})
    for number in range(3):
        scheduler.offer(number, MANY, terms("a", "one"))
    scheduler.offer("other", MANY, terms("a", "two"))
    assert_shares(run(scheduler, 1.0), {"other": 3, 0: 1, 1: 1, 2: 1})


def test_a_more_urgent_token_goes_first_inside_the_share_of_its_issuer() -> None:
    scheduler = tree({"a": 1, "b": 1})
    scheduler.offer("low", MANY, terms("a", "low", priority=Priority.LOW))
    scheduler.offer("urgent", 100 * QUANTUM, terms("a", "urgent", priority=Priority.URGENT))
    scheduler.offer("b", MANY, terms("b"))
    order = [granted.transfer for granted in (scheduler.grant(0.0) for _ in range(400)) if granted is not None]
    assert order.index("low") >= 199
    assert order[200:].count("low") == order[200:].count("b") == 100


def test_priority_of_an_application_is_changed_while_it_waits() -> None:
    scheduler = tree({"a": 1, "a/x": 1, "a/y": 1})
    scheduler.offer("x", MANY, terms("a/x"))
    scheduler.offer("y", MANY, terms("a/y"))
    scheduler.configure(("a", "y"), weight=1, priority=Priority.HIGH)
    assert set(run(scheduler, 0.01)) == {"y"}
    scheduler.configure(("a", "y"), weight=1, priority=Priority.LOW)
    assert set(run(scheduler, 0.02, start=0.01)) == {"x"}
    scheduler.configure(("a", "y"), weight=3)
    assert_shares(run(scheduler, 2.0, start=0.02), {"x": 1, "y": 3})


@pytest.mark.parametrize("ceiling", [1_000_000, 20_000_000, 333_000_000])
def test_a_ceiling_is_kept_within_a_hundredth_and_the_rest_goes_to_the_others(ceiling: int) -> None:
    scheduler = tree({"a": 7, "b": 1})
    scheduler.configure(("a",), weight=7, ceiling=ceiling)
    scheduler.offer("a", MANY, terms("a"))
    scheduler.offer("b", MANY, terms("b"))
    sent = run(scheduler, 20.0, line=400_000_000)
    assert sent["a"] * 8 / 20 == pytest.approx(ceiling, rel=0.01)
    assert sum(sent.values()) * 8 / 20 == pytest.approx(400_000_000, rel=0.001)


def test_the_ceiling_of_a_token_holds_for_all_its_transfers_together() -> None:
    scheduler = tree({"a": 1})
    policy = token_terms(("a",), (b"key", b"slow"), TokenPolicy(bandwidth=BitRate(8_000_000)))
    for number in range(5):
        scheduler.offer(number, MANY, policy)
    sent = run(scheduler, 10.0)
    assert sum(sent.values()) / 10 == pytest.approx(1_000_000, rel=0.01)
    assert max(sent.values()) - min(sent.values()) <= QUANTUM


def test_the_ceiling_of_the_server_is_kept_when_grants_come_late() -> None:
    scheduler = tree({"a": 1}, 80_000_000)
    scheduler.offer("a", MANY, terms("a"))
    sent, now = 0, 0.0
    while now < 5.0:
        while (granted := scheduler.grant(now)) is not None:
            sent += granted.octets
        timer = scheduler.get_timer()
        assert timer is not None
        now = timer + 0.005
    assert sent / 5 == pytest.approx(10_000_000, rel=0.01)


def test_who_was_idle_has_saved_nothing_and_lost_nothing() -> None:
    scheduler = tree({"a": 1, "b": 1, "c": 1})
    scheduler.offer("a", MANY, terms("a"))
    scheduler.offer("c", MANY, terms("c"))
    run(scheduler, 1.0)
    scheduler.offer("b", MANY, terms("b"))
    assert_shares(run(scheduler, 2.0, start=1.0), {"a": 1, "b": 1, "c": 1})


def test_a_transfer_that_offers_a_quantum_at_a_time_has_its_whole_share() -> None:
    scheduler = tree({"a": 1, "b": 3})
    waiting = {"a": terms("a"), "b": terms("b")}
    sent: Counter[Hashable] = Counter()
    for name, its in waiting.items():
        scheduler.offer(name, QUANTUM, its)
    for _ in range(40_000):
        granted = scheduler.grant(0.0)
        assert granted is not None
        sent[granted.transfer] += granted.octets
        assert isinstance(granted.transfer, str)
        scheduler.offer(granted.transfer, QUANTUM, waiting[granted.transfer])
    assert_shares(sent, {"a": 1, "b": 3})


def test_a_trace_of_grants() -> None:
    scheduler = tree({"a": 1, "b": 2})
    scheduler.offer("a", 3 * QUANTUM, terms("a"))
    scheduler.offer("b", 3 * QUANTUM + 100, terms("b"))
    got = [scheduler.grant(0.0) for _ in range(8)]
    full = [Grant(name, QUANTUM) for name in "abbab"]
    # The last octets of b start at 1.5 quanta of virtual time; a, alone, has the rest at once.
    assert got == [*full, Grant("b", 100), Grant("a", QUANTUM), None]
    assert scheduler.get_timer() is None


def test_who_is_alone_sends_much_at_once_but_not_more_than_a_ceiling_makes_good() -> None:
    scheduler = tree({"a": 1})
    scheduler.offer("a", MANY, terms("a"))
    assert scheduler.grant(0.0) == Grant("a", LONE_QUANTUM)
    scheduler.configure(("a",), weight=1, ceiling=10_000_000)
    assert scheduler.grant(0.0) == Grant("a", int(BURST * 10_000_000 / 8))
    scheduler.configure(("a",), weight=1, ceiling=1000)
    assert scheduler.grant(9.0) == Grant("a", QUANTUM)


def test_a_ceiling_of_nothing_lets_nothing_through_until_it_is_raised() -> None:
    scheduler = tree({"a": 1})
    scheduler.configure(("a",), weight=1, ceiling=0)
    scheduler.offer("a", QUANTUM, terms("a"))
    assert scheduler.grant(5.0) is None
    assert scheduler.get_timer() is None
    scheduler.configure(("a",), weight=1, ceiling=8000)
    assert scheduler.get_timer() == 5.0
    assert scheduler.grant(5.0) == Grant("a", QUANTUM)


def test_the_debt_of_a_ceiling_outlives_its_transfers_and_a_change_of_policy() -> None:
    scheduler = tree({"a": 1})
    slow = terms("a", ceiling=8000)
    scheduler.offer(0, QUANTUM, slow)
    assert scheduler.grant(0.0) is not None
    for number in range(1, 5000):
        scheduler.offer(f"filler {number}", 1, terms("a", str(number)))
        assert scheduler.grant(0.0) is not None
    scheduler.offer(1, QUANTUM, slow)
    assert scheduler.grant(1.0) is None
    timer = scheduler.get_timer()
    assert timer == pytest.approx(QUANTUM / 1000 - BURST)
    scheduler.configure(("a",), weight=2)
    assert scheduler.grant(timer) == Grant(1, QUANTUM)


def test_what_is_owed_is_paid_off_at_a_new_ceiling() -> None:
    scheduler = tree({"a": 1})
    scheduler.configure(("a",), weight=1, ceiling=8000)
    scheduler.offer("a", 3 * QUANTUM, terms("a"))
    assert [scheduler.grant(0.0), scheduler.grant(0.0)] == [Grant("a", QUANTUM), None]
    owed = QUANTUM / 1000 - BURST
    for ceiling in (16_000, 8000) * 100:
        scheduler.configure(("a",), weight=1, ceiling=ceiling)
        assert scheduler.get_timer() == pytest.approx(owed * 8000 / ceiling)
    assert len(scheduler._sleeping) == 1
    scheduler.configure(("a",), weight=1)
    assert [scheduler.grant(0.0), scheduler.grant(0.0)] == [Grant("a", 2 * QUANTUM), None]


def test_tokens_that_are_done_are_forgotten() -> None:
    scheduler = tree({"a": 1, "b": 1})
    for number in range(10_000):
        its = terms("a" if number % 2 else "b", str(number), ceiling=8 if number % 3 else 10**9)
        scheduler.offer(number, 1, its)
        if number % 5:
            assert scheduler.grant(0.0) == Grant(number, 1)
        else:
            scheduler.withdraw(number)
        assert len(scheduler._flows) <= 4 * MAX_IDLE_FLOWS
    held = sum(len(node.heap) for node in scheduler._nodes.values()) + len(scheduler._sleeping)
    assert held <= 4 * MAX_IDLE_FLOWS
    scheduler.offer("last", 1, terms("a", "last"))
    assert scheduler.grant(0.0) == Grant("last", 1)
    assert scheduler.grant(9.0) is None


def test_what_is_withdrawn_is_not_granted() -> None:
    scheduler = tree({"a": 1, "b": 1})
    scheduler.offer("a", 5 * QUANTUM, terms("a"))
    scheduler.offer("b", 5, terms("b"))
    assert scheduler.grant(0.0) == Grant("a", QUANTUM)
    assert scheduler.withdraw("a") == 4 * QUANTUM
    assert scheduler.withdraw("a") == 0
    assert scheduler.grant(0.0) == Grant("b", 5)
    assert scheduler.grant(0.0) is None


def test_a_node_that_is_removed_gives_its_transfers_back() -> None:
    scheduler = tree({"a": 1, "a/x": 1, "b": 1})
    scheduler.configure(("a", "x"), weight=1, ceiling=1000)
    for transfer, path in (("x", "a/x"), ("x2", "a/x"), ("own", "a"), ("b", "b")):
        scheduler.offer(transfer, MANY, terms(path, transfer))
    run(scheduler, 0.01)
    assert sorted(map(str, scheduler.remove(("a",)))) == ["own", "x", "x2"]
    assert set(run(scheduler, 999.0, start=998.99)) == {"b"}
    with pytest.raises(StateError):
        scheduler.offer("x", 1, terms("a/x"))
    with pytest.raises(StateError):
        scheduler.remove(("a",))


def test_misuse_is_refused_and_changes_nothing() -> None:
    scheduler = tree({"a": 1})
    scheduler.offer("a", QUANTUM, terms("a"))
    for call in (
        lambda: scheduler.offer("b", 0, terms("a")),
        lambda: scheduler.offer("b", 1, terms("nobody")),
        lambda: scheduler.offer("a", 1, terms("a", "another")),
        lambda: scheduler.configure(("nobody", "x"), weight=1),
        lambda: scheduler.remove(PROVIDER),
    ):
        with pytest.raises(StateError):
            call()
    assert [scheduler.grant(0.0), scheduler.grant(0.0)] == [Grant("a", QUANTUM), None]


def test_the_terms_of_a_token_are_those_of_its_policy() -> None:
    key = (b"key", b"cti")
    assert token_terms(("a",), key, None) == Terms(("a",), key)
    weighed = TokenPolicy(bandwidth=Weight(9), priority=Priority.URGENT)
    assert token_terms(("a",), key, weighed) == Terms(("a",), key, 9, None, Priority.URGENT)
    assert token_terms(("a",), key, TokenPolicy(bandwidth=BitRate(5))) == Terms(("a",), key, 1, 5)


@given(
    st.lists(st.tuples(st.integers(1, 65535), st.sampled_from(Priority)), min_size=1, max_size=6),
    st.integers(1, 9),
)
def test_an_account_has_its_share_whatever_its_tokens_say(tokens: list[tuple[int, Priority]], weight: int) -> None:
    scheduler = tree({"a": weight, "b": 10})
    for number, (its, priority) in enumerate(tokens):
        scheduler.offer(number, MANY, terms("a", str(number), weight=its, priority=priority))
    scheduler.offer("b", MANY, terms("b"))
    sent: Counter[str] = Counter()
    for _ in range(1000):
        granted = scheduler.grant(0.0)
        assert granted is not None
        sent["b" if granted.transfer == "b" else "a"] += 1
        # Neither is ever ahead of its share by more than a quantum of each (Goyal's theorem 1).
        assert abs(Fraction(sent["a"], weight) - Fraction(sent["b"], 10)) <= Fraction(1, weight) + Fraction(1, 10)


NODES: dict[NodePath, tuple[int, int | None, int]] = {
    ("a",): (2, None, 3_000_000),
    ("b",): (1, 2_000_000, 1_500_000),
    ("a", "x"): (1, 500_000, 400_000),
    ("a", "y"): (4, None, 0),
    ("c",): (1, None, 0),
}
TERMS = [
    Terms(path, (b"key", bytes([number])), weight, ceiling, priority)
    for number, (path, weight, ceiling, priority) in enumerate(
        [
            (("a",), 4, None, Priority.NORMAL),
            (("a",), 1, None, Priority.LOW),
            (("b",), 1, 300_000, Priority.HIGH),
            (("b",), 8, None, Priority.NORMAL),
            (("a", "x"), 1, None, Priority.NORMAL),
            (("a", "x"), 2, None, Priority.NORMAL),
            (("a", "y"), 1, 100_000, Priority.URGENT),
            (("a", "y"), 1, None, Priority.LOW),
            (("c",), 1, None, Priority.URGENT),
        ]
    )
]


class Model:
    """One child of a node, with the numbers of start-time fair queueing as fractions."""

    def __init__(self, weight: int, ceiling: int | None, priority: Priority, guarantee: int = 0) -> None:
        self.weight, self.ceiling, self.priority, self.guarantee = weight, ceiling, priority, guarantee
        self.entitled = -inf
        self.finish = Fraction(0)
        self.virtual = dict.fromkeys(Priority, Fraction(0))
        self.ready = -inf
        self.children: list[Model] = []
        self.octets = 0

    def can_send(self, now: float) -> bool:
        return self.ready <= now and (self.octets > 0 or any(child.can_send(now) for child in self.children))

    def key(self, child: "Model") -> tuple[int, Fraction]:
        return child.priority, max(self.virtual[child.priority], child.finish)

    def due(self, now: float) -> "list[Model]":
        return [one for one in self.children if one.guarantee and one.entitled <= now and one.can_send(now)]

    def first(self, now: float) -> tuple[int, Fraction]:
        return min(self.key(child) for child in self.children if child.can_send(now))

    def charge(self, octets: int, now: float) -> None:
        if self.ceiling:
            self.ready = max(self.ready, now - BURST) + octets * (8 / self.ceiling)


class SchedulerModel(RuleBasedStateMachine):
    """Every grant is to a flow that the model has first at each level, and the model has none when there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.scheduler = Scheduler(40_000_000)
        self.models: dict[NodePath, Model] = {PROVIDER: Model(1, 40_000_000, Priority.NORMAL)}
        for path, (weight, ceiling, guarantee) in NODES.items():
            self.scheduler.configure(path, weight=weight, ceiling=ceiling, guarantee=guarantee)
            self.models[path] = Model(weight, ceiling, Priority.NORMAL, guarantee)
            self.models[path[:-1]].children.append(self.models[path])
        self.flows = [Model(its.weight, its.ceiling, its.priority) for its in TERMS]
        for its, flow in zip(TERMS, self.flows, strict=True):
            self.models[its.path].children.append(flow)

    @rule(which=st.integers(0, len(TERMS) - 1), quanta=st.integers(1, 9), odd=st.integers(0, 100))
    def offer(self, which: int, quanta: int, odd: int) -> None:
        self.scheduler.offer(which, quanta * QUANTUM + odd, TERMS[which])
        self.flows[which].octets += quanta * QUANTUM + odd

    @rule(which=st.integers(0, len(TERMS) - 1))
    def withdraw(self, which: int) -> None:
        assert self.scheduler.withdraw(which) == self.flows[which].octets
        self.flows[which].octets = 0

    @rule(seconds=st.floats(0.0, 2.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(path=st.sampled_from(sorted(NODES)), weight=st.sampled_from([1, 2, 4, 8]))
    def reweigh(self, path: NodePath, weight: int) -> None:
        self.scheduler.configure(path, weight=weight, ceiling=NODES[path][1], guarantee=NODES[path][2])
        self.models[path].weight = weight

    @rule(times=st.integers(1, 30))
    def grant(self, times: int) -> None:
        for _ in range(times):
            granted = self.scheduler.grant(self.now)
            assert (granted is not None) == self.models[PROVIDER].can_send(self.now)
            if granted is None:
                return
            self._check(granted)

    def _check(self, granted: Grant) -> None:
        assert isinstance(granted.transfer, int)
        flow, path = self.flows[granted.transfer], TERMS[granted.transfer].path
        assert flow.octets >= granted.octets > 0
        assert granted.octets <= QUANTUM or sum(other.octets > 0 for other in self.flows) == 1
        line = [self.models[path[:level]] for level in range(len(path) + 1)] + [flow]
        for node, child in pairwise(line):
            assert child.can_send(self.now)
            if due := node.due(self.now):
                assert child in due
                assert child.entitled == min(one.entitled for one in due)
                child.entitled = max(child.entitled, self.now - BURST) + granted.octets * (8 / child.guarantee)
            else:
                assert node.key(child) == node.first(self.now)
                start = node.key(child)[1]
                node.virtual[child.priority] = start
                child.finish = start + Fraction(granted.octets, child.weight)
            node.charge(granted.octets, self.now)
        flow.charge(granted.octets, self.now)
        flow.octets -= granted.octets

    @rule()
    def drain(self) -> None:
        """Each timer is kept, and not more than a few come too early: the end is reached."""
        for _ in range(1000):
            while (granted := self.scheduler.grant(self.now)) is not None:
                self._check(granted)
            timer = self.scheduler.get_timer()
            if timer is None:
                break
            assert timer > self.now
            self.now = timer
        assert not any(flow.octets for flow in self.flows)

    @invariant()
    def a_timer_is_there_while_something_is_offered(self) -> None:
        assert (self.scheduler.get_timer() is None) == (not any(flow.octets for flow in self.flows))


TestSchedulerModel = SchedulerModel.TestCase
