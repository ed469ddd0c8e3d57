"""A ledger that outlives its process says what the one in memory says, after any calls."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from decade import ledger as memory
from decade.errors import RefusedError, StateError
from decade.ledger import MemoryLedger
from decade.messages import Revocation
from decade.ports import Allowance, Ledger, NodePath, TokenKey, Use

ACCOUNTS = st.sampled_from(["a", "b"])
NODES = st.sampled_from([("a",), ("a", "x"), ("a", "y"), ("b",)])
CTIS = st.sampled_from([bytes([n]) * 16 for n in range(4)])
KIDS = st.sampled_from([b"k", b"l"])
SMALL = st.integers(0, 6)
USES = st.builds(Use, SMALL, SMALL, SMALL)
LIMITS = st.none() | st.integers(0, 9) | st.just(2**64 - 1)
ALLOWANCES = st.builds(Allowance, LIMITS, LIMITS, LIMITS)
TIMES = st.integers(0, 30)
FEW = settings(max_examples=15, stateful_step_count=25, deadline=None)
"""For a ledger that waits for a medium."""


def outcome(call: object, *arguments: object, **named: object) -> object:
    try:
        return call(*arguments, **named)  # type: ignore[operator]
    except (RefusedError, StateError) as exc:
        return type(exc), str(exc)


class SameLedger(RuleBasedStateMachine):
    """Both ledgers get the same calls; the other one is opened again now and then."""

    module: ModuleType

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        for where in (memory, self.module):
            self.patch.setattr(where, "MAX_COUNTED_TOKENS", 3)
            self.patch.setattr(where, "MAX_REVOKED_TOKENS", 3)
            self.patch.setattr(where, "MAX_REVOKED_KEYS", 1)
        self.model: Ledger = MemoryLedger()
        self.begin()
        self.ledger, self.close = self.open()
        self.asked: set[tuple[str, TokenKey]] = set()

    def begin(self) -> None:
        """Make a place for a new ledger."""
        raise NotImplementedError

    def open(self) -> tuple[Any, Callable[[], None]]:
        """The ledger in that place, and how to close it."""
        raise NotImplementedError

    def end(self) -> None:
        """Clear the place away."""

    def both(self, verb: str, *arguments: object, **named: object) -> None:
        expected = outcome(getattr(self.model, verb), *arguments, **named)
        assert outcome(getattr(self.ledger, verb), *arguments, **named) == expected

    @rule(account=ACCOUNTS, kid=KIDS, cti=CTIS, allowance=ALLOWANCES, use=USES, until=TIMES)
    def hold(self, account: str, kid: bytes, cti: bytes, allowance: Allowance, use: Use, until: int) -> None:
        self.asked.add((account, (kid, cti)))
        self.both("hold", account, (kid, cti), allowance, use, until)

    @rule(kid=KIDS, cti=CTIS, use=USES)
    def give_back(self, kid: bytes, cti: bytes, use: Use) -> None:
        self.both("give_back", (kid, cti), use)

    @rule(node=NODES, ctis=st.lists(CTIS, min_size=1, max_size=3).map(tuple), wall=TIMES, until=TIMES)
    def revoke_tokens(self, node: NodePath, ctis: tuple[bytes, ...], wall: int, until: int) -> None:
        self.both("revoke", node, Revocation(cti=ctis), wall=wall, until=until)

    @rule(node=NODES, kid=KIDS)
    def revoke_key(self, node: NodePath, kid: bytes) -> None:
        self.both("revoke", node, Revocation(kid=kid), wall=0, until=0)

    @rule(node=NODES, before=st.integers(0, 2**64 - 1) | TIMES, wall=TIMES)
    def revoke_before(self, node: NodePath, before: int, wall: int) -> None:
        self.both("revoke", node, Revocation(before=before), wall=wall, until=0)

    @rule(wall=TIMES)
    def forget(self, wall: int) -> None:
        self.both("observe", wall)
        self.both("forget")

    @rule()
    def start_again(self) -> None:
        self.both("forget")  # the highest time is durable with it
        self.close()
        self.ledger, self.close = self.open()

    @invariant()
    def says_the_same(self) -> None:
        for account, (kid, cti) in self.asked:
            self.both("used", (kid, cti))
            for iat in (0, 7, 31, 2**64 - 1):
                for node in (account,), (account, "x"), (account, "y"):
                    self.both("is_revoked", node, kid, cti, iat)

    def teardown(self) -> None:
        self.close()
        self.patch.undo()
        self.end()
