"""The ledger of token uses and revocations, against a model that keeps every call."""

import attrs
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from decade import ledger as module
from decade.errors import Dimension, ErrorCode, RefusedError, StateError
from decade.ledger import MemoryLedger
from decade.messages import Revocation
from decade.ports import Allowance, Ledger, NodePath, Short, TokenKey, Use

CTI = bytes(16)
TOKEN = (b"key", CTI)


def test_the_memory_of_one_process_is_a_port_of_the_ledger() -> None:
    ledger: Ledger = MemoryLedger()
    assert ledger.used(TOKEN) == Use()


@pytest.mark.parametrize(
    ("use", "short"),
    [
        (Use(1, 10, 0), None),
        (Use(2, 11, 0), Short(Dimension.USES, 1, 0)),
        (Use(1, 11, 6), Short(Dimension.STORAGE, 5, 0)),
        (Use(1, 11, 0), Short(Dimension.AMOUNT, 10, 0)),
    ],
)
def test_a_use_is_held_as_a_whole_or_what_is_short_is_said(use: Use, short: Short | None) -> None:
    ledger = MemoryLedger()
    assert ledger.hold("a", TOKEN, Allowance(1, 10, 5), use, 100) == short
    assert ledger.used(TOKEN) == (use if short is None else Use())


def test_more_than_was_used_cannot_be_given_back_and_a_forgotten_token_takes_nothing() -> None:
    ledger = MemoryLedger()
    ledger.give_back(TOKEN, Use(1))
    ledger.hold("a", TOKEN, Allowance(1), Use(1), 100)
    with pytest.raises(StateError):
        ledger.give_back(TOKEN, Use(1, 1))
    assert ledger.used(TOKEN) == Use(1)


def test_an_account_has_a_bounded_number_of_counted_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_COUNTED_TOKENS", 2)
    ledger = MemoryLedger()
    for number in range(2):
        ledger.hold("a", (b"key", bytes([number])), Allowance(9), Use(1), 100 + number)
    with pytest.raises(RefusedError) as found:
        ledger.hold("a", TOKEN, Allowance(9), Use(1), 100)
    assert found.value.code is ErrorCode.RATE_LIMITED
    assert ledger.hold("b", TOKEN, Allowance(9), Use(1), 100) is None
    assert ledger.hold("a", (b"key", b"\x00"), Allowance(9), Use(1), 100) is None
    ledger.observe(100)
    ledger.forget()
    assert ledger.hold("a", TOKEN, Allowance(9), Use(1), 200) is None


def test_an_account_has_a_bounded_number_of_revocations_and_one_too_many_revokes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_REVOKED_TOKENS", 2)
    monkeypatch.setattr(module, "MAX_REVOKED_KEYS", 1)
    ledger = MemoryLedger()
    ledger.revoke(("a",), Revocation(cti=(b"1" * 16,)), wall=0, until=9)
    with pytest.raises(RefusedError):
        ledger.revoke(("a",), Revocation(cti=(b"2" * 16, b"3" * 16)), wall=0, until=9)
    assert not ledger.is_revoked(("a",), b"k", b"2" * 16, 50)
    ledger.revoke(("a",), Revocation(cti=(b"1" * 16, b"2" * 16)), wall=0, until=9)
    ledger.revoke(("a",), Revocation(kid=b"k"), wall=0, until=9)
    with pytest.raises(RefusedError):
        ledger.revoke(("a",), Revocation(kid=b"l"), wall=0, until=9)
    ledger.revoke(("a",), Revocation(kid=b"k"), wall=0, until=9)
    assert not ledger.is_revoked(("a",), b"l", CTI, 50)


def test_a_clock_that_is_set_back_revives_nothing() -> None:
    ledger = MemoryLedger()
    assert [ledger.observe(wall) for wall in (5, 900, 7)] == [5, 900, 900]


@attrs.define
class Counted:
    account: str
    until: int
    use: Use = attrs.Factory(Use)


ACCOUNTS = st.sampled_from(["a", "b"])
NODES = st.sampled_from([("a",), ("a", "x"), ("a", "y"), ("b",)])
TOKENS = st.sampled_from([(key, bytes([number]) * 16) for key in (b"ka", b"kb") for number in (1, 2)])
NUMBERS = st.integers(0, 3)


class LedgerModel(RuleBasedStateMachine):
    """Lists of what was revoked, and sums of what was held."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = MemoryLedger()
        self.wall = 0
        self.counted: dict[TokenKey, Counted] = {}
        self.revoked: list[tuple[NodePath, Revocation, int]] = []

    @rule(token=TOKENS, limits=st.tuples(*[st.none() | NUMBERS] * 3), asked=st.tuples(*[NUMBERS] * 3))
    def hold(self, token: TokenKey, limits: tuple[int | None, ...], asked: tuple[int, ...]) -> None:
        used = self.counted.get(token, Counted("", 0)).use
        sums = tuple(a + b for a, b in zip(attrs.astuple(used), asked, strict=True))
        uses, amount, storage = limits
        short = self.ledger.hold(
            token[0].decode()[1:], token, Allowance(uses, amount, storage), Use(*asked), self.wall + 10
        )
        fits = all(limit is None or total <= limit for limit, total in zip(limits, sums, strict=True))
        assert (short is None) == fits
        if fits:
            entry = self.counted.setdefault(token, Counted(token[0].decode()[1:], 0))
            entry.use, entry.until = Use(*sums), max(entry.until, self.wall + 10)

    @rule(token=TOKENS, back=st.tuples(*[NUMBERS] * 3))
    def give_back(self, token: TokenKey, back: tuple[int, ...]) -> None:
        if token not in self.counted:
            self.ledger.give_back(token, Use(*back))
            return
        left = [a - b for a, b in zip(attrs.astuple(self.counted[token].use), back, strict=True)]
        if min(left) < 0:
            with pytest.raises(StateError):
                self.ledger.give_back(token, Use(*back))
        else:
            self.ledger.give_back(token, Use(*back))
            self.counted[token].use = Use(*left)
            if not any(left):
                del self.counted[token]

    @rule(
        node=NODES,
        what=st.builds(lambda cti: Revocation(cti=(cti * 16,)), st.sampled_from([b"\x01", b"\x02"]))
        | st.builds(lambda before: Revocation(before=before), st.integers(0, 30))
        | st.builds(lambda kid: Revocation(kid=kid), st.sampled_from([b"ka", b"kb"])),
    )
    def revoke(self, node: NodePath, what: Revocation) -> None:
        self.ledger.revoke(node, what, wall=self.wall, until=self.wall + 10)
        if what.before is not None:
            what = Revocation(before=min(what.before, self.wall))
        self.revoked.append((node, what, self.wall + 10))

    @rule(step=st.integers(-5, 8))
    def clock(self, step: int) -> None:
        assert self.ledger.observe(self.wall + step) == max(self.wall, self.wall + step)
        self.wall = max(self.wall, self.wall + step)

    @rule()
    def forget(self) -> None:
        self.ledger.forget()
        self.counted = {token: kept for token, kept in self.counted.items() if kept.until > self.wall}
        self.revoked = [row for row in self.revoked if row[1].cti is None or row[2] > self.wall]

    @invariant()
    def answers_are_those_of_the_lists(self) -> None:
        for key in (b"ka", b"kb"):
            for number in (1, 2):
                cti = bytes([number]) * 16
                assert self.ledger.used((key, cti)) == self.counted.get((key, cti), Counted("", 0)).use
                for node in ("a",), ("b",), ("a", "x"), ("a", "y"), ("b", "x"):
                    for iat in (0, 5, 20):
                        expected = any(
                            cti in (what.cti or ())
                            or iat <= (-1 if what.before is None else what.before)
                            or key == what.kid
                            for whose, what, _ in self.revoked
                            if whose == node[: len(whose)]
                        )
                        assert self.ledger.is_revoked(node, key, cti, iat) == expected


TestLedgerModel = LedgerModel.TestCase
