"""Guarantees: what the scheduler gives first, against rates of a fluid, and what a tree refuses to promise."""

from collections import Counter
from collections.abc import Hashable

import attrs
import pytest
from decade_server import APP, BOB, Bench, token
from hypothesis import given, settings
from hypothesis import strategies as st

from decade.errors import ErrorCode, RefusedError
from decade.ledger import MemoryQuotas
from decade.messages import ResourcePolicy
from decade.names import name_of
from decade.policy import PROVIDER, PolicyTree
from decade.ports import NodePath, PutPolicy
from decade.problem import decode_problem
from decade.scheduler import LONE_QUANTUM, QUANTUM, Grant, Scheduler, Terms
from decade.settings import Extension
from decade.values import Priority

LINE = 80_000_000
MANY = 1 << 50
ON = frozenset({Extension.GUARANTEES})


@attrs.define
class Fluid:
    """A node whose clients want all that they can get. Rates are bit/s."""

    weight: int = 1
    guarantee: int = 0
    ceiling: int | None = None
    priority: Priority = Priority.NORMAL
    children: "dict[str, Fluid]" = attrs.Factory(dict)

    @property
    def wants(self) -> float:
        below = sum(child.wants for child in self.children.values()) if self.children else float(LINE)
        return min(below, LINE if self.ceiling is None else self.ceiling)

    def divide(self, rate: float) -> dict[str, float]:
        """What each child gets of a rate: its guarantee, then by priority, then by weight what it can use."""
        rates = {name: min(float(child.guarantee), child.wants) for name, child in self.children.items()}
        left = rate - sum(rates.values())
        for priority in Priority:
            open_ = [name for name, child in self.children.items() if child.priority is priority]
            while open_ and left > 1e-6:
                level = left / sum(self.children[name].weight for name in open_)
                level = min(
                    level, *((self.children[name].wants - rates[name]) / self.children[name].weight for name in open_)
                )
                for name in open_:
                    rates[name] += level * self.children[name].weight
                    left -= level * self.children[name].weight
                open_ = [name for name in open_ if self.children[name].wants - rates[name] > 1e-6]
        return rates


def run(scheduler: Scheduler, seconds: float, start: float = 0.0) -> Counter[Hashable]:
    sent: Counter[Hashable] = Counter()
    now = start
    while now < start + seconds:
        granted = scheduler.grant(now)
        if granted is None:
            timer = scheduler.get_timer()
            assert timer is not None
            assert timer > now
            now = timer
        else:
            sent[granted.transfer] += granted.octets
    return sent


def load(root: Fluid) -> Scheduler:
    """A scheduler of the same tree, with a transfer at each leaf."""
    scheduler = Scheduler(LINE)

    def add(path: NodePath, node: Fluid) -> None:
        if path:
            scheduler.configure(
                path, weight=node.weight, ceiling=node.ceiling, priority=node.priority, guarantee=node.guarantee
            )
        for name, child in node.children.items():
            add((*path, name), child)
        if not node.children:
            scheduler.offer(path, MANY, Terms(path, (b"key", b"cti")))

    add(PROVIDER, root)
    return scheduler


@st.composite
def _children(draw: st.DrawFn, budget: int, depth: int) -> dict[str, Fluid]:
    made: dict[str, Fluid] = {}
    for name in "abcd"[: draw(st.integers(1, 4))]:
        guarantee = draw(st.sampled_from([0, budget // 8, budget // 3, budget]))
        budget -= guarantee
        ceiling = draw(st.none() | st.integers(max(guarantee, 4_000_000), LINE))
        below = draw(_children(guarantee, depth - 1)) if depth > 1 and draw(st.booleans()) else {}
        made[name] = Fluid(draw(st.integers(1, 8)), guarantee, ceiling, draw(st.sampled_from(Priority)), below)
    return made


@settings(deadline=None)
@given(_children(LINE, 2))
def test_rates_are_those_of_a_fluid(children: dict[str, Fluid]) -> None:
    root, seconds = Fluid(children=children), 3.0
    scheduler = load(root)
    # What is made good for lateness is made good at the start, too.
    run(scheduler, 0.5)
    sent = run(scheduler, seconds, 0.5)

    def check(path: NodePath, node: Fluid, rate: float) -> None:
        got = sum(octets for at, octets in sent.items() if isinstance(at, tuple) and at[: len(path)] == path)
        assert got == pytest.approx(rate * seconds / 8, rel=0.01, abs=LONE_QUANTUM + 4 * QUANTUM)
        for name, its in node.divide(rate).items():
            check((*path, name), node.children[name], its)

    check(PROVIDER, root, min(root.wants, LINE))


def test_a_guarantee_is_had_beside_urgent_siblings_and_the_rest_is_by_weight() -> None:
    root = Fluid(
        children={
            "urgent": Fluid(1, priority=Priority.URGENT, ceiling=70_000_000),
            "sure": Fluid(3, 5_000_000, priority=Priority.LOW),
            "low": Fluid(1, priority=Priority.LOW),
        }
    )
    assert root.divide(LINE) == {"urgent": 70_000_000, "sure": 8_750_000, "low": 1_250_000}
    sent = run(load(root), 10.0)
    assert sent["sure",] * 8 / 10 == pytest.approx(8_750_000, rel=0.02)


def test_who_is_idle_saves_no_guarantee_and_takes_none_from_the_others() -> None:
    scheduler = load(Fluid(children={"sure": Fluid(1, 40_000_000), "other": Fluid(1)}))
    scheduler.withdraw(("sure",))
    assert run(scheduler, 2.0)["other",] * 8 / 2 == pytest.approx(LINE, rel=0.01)
    scheduler.offer(("sure",), MANY, Terms(("sure",), (b"key", b"cti")))
    sent: Counter[Hashable] = Counter()
    now = 2.0
    while now < 2.5:
        while (granted := scheduler.grant(now)) is not None:
            sent[granted.transfer] += granted.octets
        now = scheduler.get_timer() or now
    assert sent["sure",] * 8 / 0.5 == pytest.approx(60_000_000, rel=0.05)


def test_a_guarantee_that_is_changed_holds_from_then_on_and_what_was_ahead_is_owed_at_the_new_rate() -> None:
    scheduler = load(Fluid(children={"sure": Fluid(1, 8), "other": Fluid(1, priority=Priority.URGENT)}))
    assert scheduler.grant(0.0) == Grant(("sure",), QUANTUM)
    assert scheduler.grant(0.0) == Grant(("other",), QUANTUM)
    scheduler.configure(("sure",), weight=1, guarantee=16_000_000)
    owed = (QUANTUM - 0.02) / 2_000_000
    assert scheduler.grant(owed - 0.0001) in (None, Grant(("other",), QUANTUM))
    assert Grant(("sure",), QUANTUM) in [scheduler.grant(owed + 0.0001), scheduler.grant(owed + 0.002)]
    scheduler.configure(("sure",), weight=1)
    assert {scheduler.grant(9.0 + turn) for turn in range(9)} == {Grant(("other",), QUANTUM)}


def test_a_guarantee_of_nobody_below_is_passed_over() -> None:
    scheduler = load(Fluid(children={"sure": Fluid(1, 1_000_000, children={"app": Fluid(1, 500_000)}), "b": Fluid()}))
    scheduler.withdraw(("sure", "app"))
    assert scheduler.grant(0.0) == Grant(("b",), 200_000)
    scheduler.offer(("sure", "app"), 2 * QUANTUM, Terms(("sure", "app"), (b"key", b"cti")))
    assert scheduler.grant(1.0) == Grant(("sure", "app"), QUANTUM)
    scheduler.remove(("sure",))
    assert scheduler.grant(2.0) == Grant(("b",), 200_000)


def policy(download: int = 0, **more: int) -> ResourcePolicy:
    return ResourcePolicy(weight=1, guaranteed_download=download or None, **more)


def tree() -> PolicyTree:
    made = PolicyTree(MemoryQuotas(), ResourcePolicy(weight=1, ceiling_download=100, ceiling_upload=10), extensions=ON)
    made.put(("a",), policy(60))
    made.put(("b",), policy(30))
    return made


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (("c",), policy(11)),
        (("c",), policy(guaranteed_upload=11)),
        (("a",), policy(71)),
        (("a",), policy(10, ceiling_download=9)),
        (("a", "x"), policy(61)),
        (("b", "x"), policy(30, guaranteed_upload=1)),
        (PROVIDER, policy(1, ceiling_download=100)),
        (PROVIDER, policy(ceiling_download=89)),
        (PROVIDER, policy()),
    ],
)
def test_more_is_never_promised_than_there_is(path: NodePath, asked: ResourcePolicy) -> None:
    made = tree()
    before = made.policy(path)
    with pytest.raises(RefusedError) as found:
        made.put(path, asked)
    assert found.value.code is ErrorCode.ATTRIBUTE_NOT_PERMITTED
    assert made.policy(path) == before
    if len(path) == 2:
        with pytest.raises(RefusedError):
            made.check_put(path, asked)


def test_what_one_lets_go_another_may_have() -> None:
    made = tree()
    made.put(("c",), policy(10))
    made.put(("a",), policy(50))
    made.put(("c",), policy(20, guaranteed_upload=10))
    made.remove(("c",))
    made.put(("b",), policy(50))
    made.put(PROVIDER, policy(ceiling_download=100))
    assert [made.policy((account,)) for account in "ab"] == [policy(50), policy(50)]


def test_the_provider_does_not_leave_an_account_less_than_it_has_configured_for_its_applications() -> None:
    made = tree()
    made.put(("a", "x"), policy(40))
    with pytest.raises(RefusedError):
        made.put(("a",), policy(39))
    made.put(("a",), policy(40))


def test_when_an_account_is_left_less_the_applications_that_come_last_go_without_at_every_process_alike() -> None:
    puts = {("a", name): PutPolicy(policy(20, connections=7), None, 1) for name in "xyz"}
    made, other = tree(), tree()
    made.lay(puts)
    for name in "zyx":
        other.lay({path: put for path, put in puts.items() if path[1] >= name})
    made.put(("a",), policy(45))
    other.put(("a",), policy(45))
    for one in (made, other):
        assert [one.policy(path) for path in puts] == [policy(20, connections=7)] * 2 + [policy(connections=7)]
    made.put(("a",), policy(60))
    assert made.policy(("a", "z")) == policy(20, connections=7)
    made.put(("a", "w"), policy(30))
    assert [made.policy(path) for path in puts] == [policy(20, connections=7)] + [policy(connections=7)] * 2
    made.remove(("a", "w"))
    assert made.policy(("a", "z")) == policy(20, connections=7)


rates = st.integers(0, 60)


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b", "a/x", "a/y"]), rates, rates, st.booleans()), max_size=25))
def test_no_order_of_policies_promises_too_much(steps: list[tuple[str, int, int, bool]]) -> None:
    made = tree()
    puts: dict[NodePath, PutPolicy] = {}
    for number, (text, download, upload, is_put) in enumerate(steps, 1):
        path = tuple(text.split("/")) if text else PROVIDER
        asked = policy(download, guaranteed_upload=upload)
        if is_put and len(path) == 2:
            puts = {**puts, path: PutPolicy(asked, made.configured(path), number)}
            made.lay(puts)
        else:
            try:
                made.put(path, asked if path else policy(ceiling_download=download + 60, ceiling_upload=upload))
            except RefusedError:
                continue
        root = made.policy(PROVIDER)
        assert root is not None
        for name, members in (("download", ("a", "b")), ("upload", ("a", "b"))):
            promised = {one: getattr(made.policy((one,)), f"guaranteed_{name}") or 0 for one in members}
            assert sum(promised.values()) <= getattr(root, f"ceiling_{name}")
            for one in members:
                apps = [made.policy((one, app)) for app in made.apps(one)]
                assert sum(getattr(app, f"guaranteed_{name}") or 0 for app in apps) <= promised[one]


def test_a_server_keeps_what_is_guaranteed_and_lets_an_account_pass_it_on() -> None:
    made = Bench(
        provider=ResourcePolicy(weight=1, ceiling_download=8_000_000),
        policy=policy(4_000_000),
        egress_bps=8_000_000,
        extensions=ON,
    )
    assert made.server._core.settings.info.features == ("guarantees",)
    answer = made.control("PUT", "policy/live", policy(4_000_001))
    assert decode_problem(answer.body).code == ErrorCode.ATTRIBUTE_NOT_PERMITTED
    assert made.control("PUT", "policy/live", policy(4_000_000)).status == 204
    made.tree.put(("bob",), ResourcePolicy(weight=1, priority=Priority.URGENT))
    content = bytes(2_000_000)
    made.put(content, token(APP))
    made.put(content, token(BOB))
    downloads = {key: made.head("GET", name_of(content).path, token(key)).body for key in (APP, BOB)}
    for download in downloads.values():
        made.server.take(download, LONE_QUANTUM, made.now)
        made.server._core.downloads._scheduler.offer(download, MANY, download.terms)
    sent: Counter[Hashable] = Counter()
    now = made.now
    while now < made.now + 4:
        while (granted := made.server.grant(now)) is not None:
            sent[granted.transfer] += granted.octets
        timer = made.server.downloads.get_timer()
        assert timer is not None
        now = max(now, timer)
    assert sent[downloads[APP]] == pytest.approx(2_000_000, rel=0.05)


def test_guarantees_need_the_whole_line() -> None:
    provider = ResourcePolicy(weight=1, ceiling_download=8_000_000)
    with pytest.raises(ValueError, match="the line has less"):
        Bench(provider=provider, egress_bps=7_999_999, extensions=ON)
    assert Bench(provider=provider, egress_bps=7_999_999).server.requests == 0


def test_processes_share_a_guarantee_as_they_share_the_line() -> None:
    """Else the first account would have the whole part of each process, and the other nothing of what is its own."""
    scheduler = Scheduler(LINE, parts=4)
    for name, guarantee in (("a", LINE * 3 // 5), ("b", LINE * 2 // 5)):
        scheduler.configure((name,), weight=1, guarantee=guarantee)
        scheduler.offer(name, MANY, Terms((name,), (b"key", b"cti")))
    sent = run(scheduler, 4.0)
    assert sent["a"] / 4.0 * 8 == pytest.approx(LINE / 4 * 3 / 5, rel=0.05)
    assert sent["b"] / 4.0 * 8 == pytest.approx(LINE / 4 * 2 / 5, rel=0.05)
