"""Policies that accounts put, over those of the provider, in one process and in several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from decade.errors import ErrorCode, OutdatedError, RefusedError, StateError, StoreError
from decade.kept_policies import REFRESH_EVERY, KeptPolicies
from decade.ledger import MemoryPolicies, MemoryQuotas
from decade.messages import Access, ResourcePolicy, WhenFull
from decade.policy import MAX_APPS, PolicyTree, Reservation
from decade.ports import Charge, Holding, NodePath
from decade.settings import Extension
from decade.waiting import Clock, Waiting, begin, settle

A, AX, AY = ("a",), ("a", "x"), ("a", "y")
CONFIGURED = {A: ResourcePolicy(weight=1), AX: ResourcePolicy(weight=2, storage=50)}
PUT = ResourcePolicy(weight=3, storage=40)


class SharedPolicies(MemoryPolicies):
    """Policies of several processes, in the memory of a test."""

    waits = True


class SharedQuotas(MemoryQuotas):
    """Quotas of several processes, which look at the versions of policies."""

    waits = True

    def __init__(self) -> None:
        super().__init__()
        self.policies = SharedPolicies(self.holding)

    def reserve(self, charges: Sequence[Charge], octets: int) -> tuple[Charge, Holding] | None:
        """As memory does, if the versions are those that are kept."""
        kept = self.policies.load({})
        for charge in charges:
            if charge.version is not None and charge.version != (
                kept[charge.path].version if charge.path in kept else 0
            ):
                raise OutdatedError("changed")
        return super().reserve(charges, octets)


class Process:
    """The policies of one process."""

    def __init__(
        self,
        quotas: SharedQuotas,
        configured: dict[NodePath, ResourcePolicy] | None = None,
        extensions: frozenset[Extension] = frozenset(),
    ) -> None:
        self.tree = PolicyTree(quotas, extensions=extensions)
        self.tree.lay(quotas.policies.load({}))
        for path, policy in (CONFIGURED if configured is None else configured).items():
            self.tree.put(path, policy)
        self.kept = KeptPolicies(self.tree, quotas.policies)

    def put(self, path: NodePath, policy: ResourcePolicy) -> None:
        """An account puts this."""
        settle(begin(self.kept.put(path, policy, Clock(0.0))), 0.0)

    def remove(self, path: NodePath) -> None:
        """An account removes it."""
        settle(begin(self.kept.remove(path, Clock(0.0))), 0.0)


def test_what_an_account_has_put_holds_behind_a_restart_and_at_other_processes() -> None:
    quotas = SharedQuotas()
    first, second = Process(quotas), Process(quotas)
    first.put(AX, PUT)
    first.put(AY, PUT)
    assert second.tree.policy(AX) == CONFIGURED[AX]
    timer = second.kept.get_timer()
    assert timer == REFRESH_EVERY
    second.kept.handle_timer(timer)
    for process in (first, second, Process(quotas)):
        assert (process.tree.policy(AX), process.tree.policy(AY), process.tree.apps("a")) == (PUT, PUT, ("x", "y"))
    second.remove(AX)
    second.remove(AY)
    first.kept.handle_timer(timer)
    for process in (first, second, Process(quotas)):
        assert process.tree.apps("a") == ()


def test_an_application_of_another_process_is_found_when_it_is_asked_for() -> None:
    quotas = SharedQuotas()
    first, second = Process(quotas), Process(quotas)
    first.put(AY, PUT)
    assert second.tree.effective(AY).storage == 40


def test_a_limit_holds_at_other_processes_at_once() -> None:
    quotas = SharedQuotas()
    first, second = Process(quotas), Process(quotas)
    charges = second.tree.charges(AX)
    first.put(AX, PUT)
    with pytest.raises(OutdatedError):
        second.tree.reserve_at(charges, 45)
    second.tree.refresh()
    with pytest.raises(RefusedError) as found:
        second.tree.reserve(AX, 45)
    assert (found.value.code, found.value.limit) == (ErrorCode.STORAGE_QUOTA, 40)
    second.tree.reserve(AX, 35)
    with pytest.raises(RefusedError) as found:
        first.put(AX, ResourcePolicy(weight=1, storage=34))
    assert (found.value.code, found.value.used) == (ErrorCode.STORAGE_QUOTA, 35)
    with pytest.raises(RefusedError) as found:
        first.remove(AX)
    assert found.value.code is ErrorCode.CONFLICT


def test_what_another_process_has_reserved_since_a_policy_was_checked_counts() -> None:
    quotas = SharedQuotas()
    first, second = Process(quotas), Process(quotas)
    first.put(AY, PUT)
    for steps in (
        first.kept.put(AY, ResourcePolicy(weight=1, storage=9), Clock(0.0)),
        first.kept.remove(AY, Clock(0.0)),
    ):
        saving: Any = begin(steps)
        assert isinstance(saving, Waiting)
        held = second.tree.reserve(AY, 10)
        with pytest.raises(RefusedError):
            settle(saving, 0.0)
        assert first.tree.policy(AY) == PUT
        held.release()


def test_the_configuration_goes_before_what_was_put_once_it_changes() -> None:
    quotas, other = SharedQuotas(), ResourcePolicy(weight=9)
    Process(quotas).put(AX, PUT)
    Process(quotas).put(AY, PUT)
    process = Process(quotas)
    process.tree.put(AX, CONFIGURED[AX])
    assert process.tree.policy(AX) == PUT
    process.tree.put(AX, other)
    assert (process.tree.policy(AX), process.tree.configured(AX)) == (other, other)
    process.tree.put(AY, other)
    assert process.tree.policy(AY) == other
    # As it was: what was put then is true again.
    process.tree.put(AX, CONFIGURED[AX])
    process.tree.remove(AY)
    assert (process.tree.policy(AX), process.tree.policy(AY)) == (PUT, PUT)
    process.tree.remove(AX)
    assert (process.tree.policy(AX), process.tree.configured(AX)) == (None, None)
    # And the next PUT is about what is configured now.
    process.put(AX, ResourcePolicy(weight=4))
    assert Process(quotas, {A: CONFIGURED[A]}).tree.policy(AX) == ResourcePolicy(weight=4)
    assert Process(quotas).tree.policy(AX) == CONFIGURED[AX]


def test_applications_go_with_their_account_and_come_back_with_it() -> None:
    quotas = SharedQuotas()
    process = Process(quotas, {A: CONFIGURED[A]})
    told: list[tuple[NodePath, ResourcePolicy | None]] = []
    process.put(AX, PUT)
    process.tree.listen(lambda path, policy: told.append((path, policy)))
    told.clear()
    process.tree.remove(A)
    assert told == [(AX, None), (A, None)]
    with pytest.raises(StateError):
        process.put(AX, PUT)
    process.tree.put(A, CONFIGURED[A])
    assert told[2:] == [(A, CONFIGURED[A]), (AX, PUT)]
    held = process.tree.reserve(AX, 1)
    with pytest.raises(RefusedError):
        process.tree.remove(A)
    held.release()


def test_an_account_that_puts_all_it_may_leaves_the_provider_room() -> None:
    quotas = SharedQuotas()
    process = Process(quotas, {A: CONFIGURED[A]})
    for number in range(MAX_APPS):
        process.put(("a", f"{number}"), PUT)
    with pytest.raises(RefusedError):
        process.put(AX, PUT)
    process.put(("a", "7"), CONFIGURED[AX])
    process.tree.put(AX, CONFIGURED[AX])
    assert len(Process(quotas).tree.apps("a")) == MAX_APPS + 1


def test_names_of_applications_that_are_gone_are_not_kept() -> None:
    quotas = SharedQuotas()
    process = Process(quotas)
    for number in range(2 * MAX_APPS):
        process.put(("a", f"{number}"), PUT)
        process.remove(("a", f"{number}"))
    process.put(AX, PUT)
    process.put(AX, CONFIGURED[AX])
    assert quotas.policies.load({}) == {}


def test_of_a_policy_what_an_extension_gave_sleeps_while_it_is_off() -> None:
    quotas, extensions = SharedQuotas(), frozenset({Extension.EVICT_OWN, Extension.PUBLIC})
    policy = ResourcePolicy(weight=3, storage=40, when_full=WhenFull.EVICT_OWN, access=Access.PUBLIC)
    Process(quotas, extensions=extensions).put(AY, policy)
    assert Process(quotas).tree.policy(AY) == PUT
    assert Process(quotas, extensions=extensions - {Extension.PUBLIC}).tree.policy(AY) == attrs.evolve(
        policy,  # type: ignore[misc]
        access=None,
    )
    assert Process(quotas, extensions=extensions).tree.policy(AY) == policy


def test_a_limit_of_the_provider_that_is_lowered_bounds_what_was_put() -> None:
    quotas = SharedQuotas()
    Process(quotas).put(AY, PUT)
    process = Process(quotas, {A: ResourcePolicy(weight=1, storage=7)})
    assert (process.tree.policy(AY), process.tree.effective(AY).storage) == (PUT, 7)


def test_what_holds_more_than_a_policy_that_is_true_again_gets_no_more() -> None:
    quotas = SharedQuotas()
    process = Process(quotas)
    process.put(AX, PUT)
    process.tree.put(AX, ResourcePolicy(weight=1))
    process.tree.reserve(AX, 45)
    process.tree.put(AX, CONFIGURED[AX])
    for again in (process, Process(quotas)):
        assert again.tree.policy(AX) == PUT
        with pytest.raises(RefusedError):
            again.tree.reserve(AX, 1)


def test_a_medium_that_fails_changes_nothing_and_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreError("away")

    quotas = SharedQuotas()
    first, second = Process(quotas), Process(quotas)
    with monkeypatch.context() as patch:
        patch.setattr(SharedPolicies, "save", fail)
        with pytest.raises(StoreError):
            first.put(AX, PUT)
    assert first.tree.policy(AX) == CONFIGURED[AX]
    with monkeypatch.context() as patch:
        patch.setattr(SharedPolicies, "load", fail)
        first.put(AX, PUT)
        second.kept.handle_timer(1.0)
    for process in (first, second):
        assert process.tree.policy(AX) == CONFIGURED[AX]
        process.kept.handle_timer(2.0)
        assert process.tree.policy(AX) == PUT


WHERE, PATHS = st.integers(0, 1), st.sampled_from([AX, AY])
LIMITS = st.sampled_from([5, 15, 35])


class Race(RuleBasedStateMachine):
    """Two processes: an account puts policies at one, objects come at another, and every wait ends when it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.quotas = SharedQuotas()
        self.configured = dict(CONFIGURED)
        self.processes = [Process(self.quotas) for _ in range(2)]
        self.waiting: list[tuple[Waiting[Any], Callable[[Any], None]]] = []
        self.held: list[Reservation] = []
        # What was answered last, and what the provider said then.
        self.answered: dict[NodePath, tuple[int | None, ResourcePolicy | None]] = {}
        # That limit, or what was held already when the provider made it true again.
        self.most: dict[NodePath, int] = {}

    def go_on(self, answer: Any, then: Callable[[Any], None]) -> None:
        if isinstance(answer, Waiting):
            self.waiting.append((answer, then))
        else:
            then(answer)

    @rule(where=WHERE, path=PATHS, limit=LIMITS)
    def put(self, where: int, path: NodePath, limit: int) -> None:
        kept, over = self.processes[where].kept, self.processes[where].tree.configured(path)

        def then(_: object) -> None:
            assert self.quotas.holding(path).used <= limit
            self.answered[path] = (limit, over)
            self.most[path] = limit

        self.begin(kept.put(path, ResourcePolicy(weight=1, storage=limit), Clock(0.0)), then)

    @rule(where=WHERE, path=PATHS)
    def remove(self, where: int, path: NodePath) -> None:
        kept, over = self.processes[where].kept, self.processes[where].tree.configured(path)
        self.begin(kept.remove(path, Clock(0.0)), lambda _: self.answered.update({path: (None, over)}))

    def begin(self, steps: Any, then: Callable[[Any], None]) -> None:
        # Of two that are saved at a time nobody could say which is to hold.
        with suppress(RefusedError):
            then(settle(begin(steps), 0.0))

    @rule(where=WHERE, path=PATHS, octets=st.sampled_from([10, 20]))
    def reserve(self, where: int, path: NodePath, octets: int) -> None:
        tree = self.processes[where].tree

        def steps() -> Any:
            clock = Clock(0.0)
            while True:
                call = partial(tree.reserve_at, tree.charges(path), octets)
                try:
                    return (yield from clock.wait(True, call))
                except OutdatedError:
                    tree.refresh()

        with suppress(RefusedError):
            self.go_on(begin(steps()), self.held.append)

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 99))
    def resume(self, which: int) -> None:
        waiting, then = self.waiting.pop(which % len(self.waiting))
        waiting.run()
        with suppress(RefusedError):
            self.go_on(waiting.resume(0.0), then)

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 99))
    def release(self, which: int) -> None:
        self.held.pop(which % len(self.held)).release()

    @rule(where=WHERE)
    def tick(self, where: int) -> None:
        self.processes[where].kept.handle_timer(self.processes[where].kept.get_timer() or 0.0)
        self.check(self.processes[where].tree)

    @precondition(lambda self: not self.waiting)
    @rule(where=WHERE)
    def restart(self, where: int) -> None:
        self.processes[where] = Process(self.quotas, self.configured)
        self.check(self.processes[where].tree)

    @precondition(lambda self: not self.waiting)
    @rule(path=PATHS, policy=st.sampled_from([None, CONFIGURED[AX], ResourcePolicy(weight=7)]))
    def configure(self, path: NodePath, policy: ResourcePolicy | None) -> None:
        """At all processes, between requests."""
        if (path in self.configured) == (policy is not None) and self.configured.get(path) == policy:
            return
        for process in self.processes:
            process.tree.refresh()
        try:
            for process in self.processes:
                if policy is None:
                    process.tree.remove(path)
                else:
                    process.tree.put(path, policy)
        except RefusedError:
            # It holds something: all of them say so, and the first has changed nothing.
            return
        if policy is None:
            del self.configured[path]
        else:
            self.configured[path] = policy
        self.most[path] = self.quotas.holding(path).used

    def check(self, tree: PolicyTree) -> None:
        """What is so at a process that has just looked."""
        for path in (AX, AY):
            limit, over = self.answered.get(path, (None, None))
            configured = self.configured.get(path)
            if path in self.answered and over == configured:
                expected = None if limit is None else ResourcePolicy(weight=1, storage=limit)
            else:
                expected = configured
            assert tree.policy(path) == expected

    @invariant()
    def nothing_holds_more_than_was_answered(self) -> None:
        for path, (limit, over) in self.answered.items():
            if limit is not None and over == self.configured.get(path):
                self.most[path] = max(limit, self.most[path])
                used = self.quotas.holding(path).used
                assert used <= self.most[path]
                self.most[path] = used


Race.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestRace = Race.TestCase
