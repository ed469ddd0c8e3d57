"""The use of a token by one request: every state with every event, and ten thousand interleaved requests."""

import random
from collections.abc import Callable

import attrs
import pytest
from decade_tokens import ACCOUNT, CLAIMS, MAC, NOW, REGISTERED
from hypothesis import given
from hypothesis import strategies as st

from decade.errors import Dimension, ErrorCode, RefusedError, StateError
from decade.ledger import MemoryLedger
from decade.messages import Revocation
from decade.ports import Use
from decade.scope import TokenPolicy
from decade.tokens import SKEW, VerifiedToken
from decade.uses import LATE, USE_TABLE, TokenUse, UseEvent, UseState, check_revoked, check_uses, hold_use

HELD = Use(1, 10, 5)


def token(policy: TokenPolicy | None = None, cti: bytes = bytes(16)) -> VerifiedToken:
    return VerifiedToken(attrs.evolve(CLAIMS, policy=policy, cti=cti), REGISTERED[MAC.kid])


LIMITED = token(TokenPolicy(uses=3, amount=25, storage=12))

VERBS: dict[UseEvent, Callable[[TokenUse], None]] = {
    UseEvent.SPEND: TokenUse.spend,
    UseEvent.GIVE_BACK: TokenUse.give_back,
    UseEvent.REVOKE: TokenUse.revoke,
    UseEvent.SETTLE: lambda use: use.settle(amount=4, storage=5),
}
PATHS: dict[UseState, tuple[UseEvent, ...]] = {
    UseState.HELD: (),
    UseState.SPENT: (UseEvent.SPEND,),
    UseState.SETTLED: (UseEvent.SPEND, UseEvent.SETTLE),
    UseState.RETURNED: (UseEvent.GIVE_BACK,),
    UseState.REVOKED: (UseEvent.REVOKE,),
}
LEFT = {
    UseState.HELD: HELD,
    UseState.SPENT: HELD,
    UseState.SETTLED: Use(1, 4, 5),
    UseState.RETURNED: Use(),
    UseState.REVOKED: Use(),
}


@pytest.mark.parametrize("state", UseState)
@pytest.mark.parametrize("event", UseEvent)
@pytest.mark.parametrize("which", [LIMITED, token()], ids=["counted", "not counted"])
def test_every_event_in_every_state(state: UseState, event: UseEvent, which: VerifiedToken) -> None:
    ledger = MemoryLedger()
    use = hold_use(ledger, which, HELD)
    for step in PATHS[state]:
        VERBS[step](use)
    assert use.state is state
    is_counted = which is LIMITED
    assert ledger.used(which.ledger_key) == (LEFT[state] if is_counted else Use())
    expected = USE_TABLE[state].get(event)
    if expected is None:
        with pytest.raises(StateError):
            VERBS[event](use)
        expected = state
    else:
        VERBS[event](use)
    assert use.state is expected
    assert ledger.used(which.ledger_key) == (LEFT[expected] if is_counted else Use())


@pytest.mark.parametrize(("amount", "storage"), [(11, 0), (0, 6), (-1, 0), (0, -1)])
def test_more_than_was_held_cannot_be_settled(amount: int, storage: int) -> None:
    use = hold_use(MemoryLedger(), LIMITED, HELD)
    use.spend()
    with pytest.raises(StateError):
        use.settle(amount=amount, storage=storage)
    assert use.state is UseState.SPENT
    use.settle(amount=10, storage=0)


@pytest.mark.parametrize(
    ("policy", "code", "dimension", "limit"),
    [
        (TokenPolicy(uses=1), ErrorCode.TOKEN_USED_UP, Dimension.USES, 1),
        (TokenPolicy(storage=9), ErrorCode.STORAGE_QUOTA, Dimension.STORAGE, 9),
        (TokenPolicy(amount=19), ErrorCode.AMOUNT_EXHAUSTED, Dimension.AMOUNT, 19),
    ],
)
def test_what_a_token_has_too_little_of_is_named(
    policy: TokenPolicy, code: ErrorCode, dimension: Dimension, limit: int
) -> None:
    ledger, which = MemoryLedger(), token(policy)
    hold_use(ledger, which, HELD)
    used = ledger.used(which.ledger_key)
    with pytest.raises(RefusedError) as found:
        hold_use(ledger, which, HELD)
    refused = found.value
    assert (refused.code, refused.dimension, refused.limit) == (code, dimension, limit)
    assert refused.used in attrs.astuple(HELD)
    assert ledger.used(which.ledger_key) == used


def test_uses_that_are_held_count_before_they_are_spent() -> None:
    ledger, once = MemoryLedger(), token(TokenPolicy(uses=1))
    check_uses(ledger, once)
    use = hold_use(ledger, once, Use(1))
    with pytest.raises(RefusedError) as found:
        check_uses(ledger, once)
    assert found.value.code is ErrorCode.TOKEN_USED_UP
    use.give_back()
    check_uses(ledger, once)


def test_what_a_request_held_when_the_server_stopped_stays_spent() -> None:
    ledger, once = MemoryLedger(), token(TokenPolicy(uses=1, amount=100))
    hold_use(ledger, once, Use(1, 100))
    # The objects of a process are gone; the ledger is what is durable.
    with pytest.raises(RefusedError):
        hold_use(ledger, once, Use(1))


def test_a_use_is_forgotten_when_no_clock_accepts_its_token_any_more() -> None:
    ledger, once = MemoryLedger(), token(TokenPolicy(uses=1))
    hold_use(ledger, once, Use(1))
    ledger.observe(CLAIMS.exp + SKEW + LATE - 1)
    ledger.forget()
    assert ledger.used(once.ledger_key) == Use(1)
    ledger.observe(CLAIMS.exp + SKEW + LATE)
    ledger.forget()
    assert ledger.used(once.ledger_key) == Use()


def test_a_use_is_kept_until_no_clock_accepts_the_last_token_of_its_identifier() -> None:
    ledger, early = MemoryLedger(), token(TokenPolicy(uses=1))
    hold_use(ledger, early, Use(1)).give_back()
    late = attrs.evolve(early, claims=attrs.evolve(early.claims, exp=CLAIMS.exp + 1000))
    hold_use(ledger, late, Use(1))
    ledger.observe(CLAIMS.exp + SKEW + LATE + 999)
    ledger.forget()
    assert ledger.used(late.ledger_key) == Use(1)


def test_a_revocation_reaches_only_the_account_that_asks() -> None:
    ledger, which = MemoryLedger(), token()
    for account, is_revoked in (("mallory", False), (ACCOUNT, True)):
        for revocation in (Revocation(cti=(bytes(16),)), Revocation(kid=MAC.kid), Revocation(before=NOW)):
            ledger = MemoryLedger()
            ledger.revoke((account,), revocation, wall=NOW, until=NOW + 1)
            if is_revoked:
                with pytest.raises(RefusedError) as found:
                    check_revoked(ledger, which)
                assert found.value.code is ErrorCode.TOKEN_REVOKED
            else:
                check_revoked(ledger, which)


def test_a_revocation_by_time_stops_only_what_is_issued() -> None:
    ledger = MemoryLedger()
    ledger.revoke((ACCOUNT,), Revocation(before=NOW + 1000), wall=NOW - 1, until=NOW)
    check_revoked(ledger, token())


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12), st.sampled_from(["give", "spend", "revoke", "hold"])))
)
def test_a_token_never_does_more_than_its_issuer_allowed(requests: list[tuple[int, int, str]]) -> None:
    ledger = MemoryLedger()
    uses = moved = stored = 0
    for amount, storage, ending in requests:
        try:
            use = hold_use(ledger, LIMITED, Use(1, amount, storage))
        except RefusedError:
            continue
        if ending == "give":
            use.give_back()
        elif ending == "revoke":
            use.revoke()
        else:
            use.spend()
            uses, moved, stored = uses + 1, moved + amount // 2, stored + storage
            if ending == "spend":
                use.settle(amount=amount // 2, storage=storage)
            else:
                moved += amount - amount // 2
        assert uses <= 3
        assert moved <= 25
        assert stored <= 12
        assert ledger.used(LIMITED.ledger_key) == Use(uses, moved, stored)


def test_ten_thousand_interleaved_requests_spend_no_use_twice() -> None:
    chance, ledger = random.Random(5), MemoryLedger()
    tokens = [token(TokenPolicy(uses=100, amount=4000), number.to_bytes(16, "big")) for number in range(20)]
    open_uses: list[tuple[VerifiedToken, TokenUse, int]] = []
    spent = {which.ledger_key: Use() for which in tokens}
    refused = 0
    for _ in range(10_000):
        which, amount = chance.choice(tokens), chance.randrange(200)
        try:
            open_uses.append((which, hold_use(ledger, which, Use(1, amount)), amount))
        except RefusedError:
            refused += 1
        while len(open_uses) > 30 or (open_uses and chance.random() < 0.5):
            ended, use, held = open_uses.pop(chance.randrange(len(open_uses)))
            if chance.random() < 0.5:
                use.give_back()
            else:
                use.spend()
                moved = chance.randrange(held + 1)
                use.settle(amount=moved, storage=0)
                before = spent[ended.ledger_key]
                spent[ended.ledger_key] = Use(before.uses + 1, before.amount + moved)
        used = ledger.used(which.ledger_key)
        assert used.uses <= 100
        assert used.amount <= 4000
    assert refused > 100
    for _, use, _ in open_uses:
        use.give_back()
    assert {which.ledger_key: ledger.used(which.ledger_key) for which in tokens} == spent
