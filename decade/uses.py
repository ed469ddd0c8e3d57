"""The use of a token by one request: held when it is admitted, spent when the first octet goes (PROFILE.md section 7).

What is held is in the ledger already, and so stays spent if the server stops before it says how the request has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from decade.errors import Dimension, ErrorCode, RefusedError, StateError, StoreError
from decade.ledger import find_short
from decade.ports import Allowance, Ledger, Short, TokenKey, Use
from decade.tokens import SKEW, VerifiedToken

LATE = 60
"""Seconds after its end for which a token is counted: a request that came before may have waited to be held."""


class UseState(Enum):
    """How far the use of a token is. A token that no request holds is fresh, and has no use here."""

    HELD = "held"
    SPENT = "spent"
    SETTLED = "settled"
    RETURNED = "returned"
    REVOKED = "revoked"

    # That of Enum is Python, and asked for at each step of each request.
    __hash__ = object.__hash__


class UseEvent(Enum):
    """The first octet is about to go; no octet went; the request is over; the token was revoked meanwhile."""

    SPEND = "spend"
    GIVE_BACK = "give back"
    SETTLE = "settle"
    REVOKE = "revoke"

    __hash__ = object.__hash__


USE_TABLE: Mapping[UseState, Mapping[UseEvent, UseState]] = MappingProxyType(
    {
        UseState.HELD: {
            UseEvent.SPEND: UseState.SPENT,
            UseEvent.GIVE_BACK: UseState.RETURNED,
            UseEvent.REVOKE: UseState.REVOKED,
        },
        UseState.SPENT: {UseEvent.SETTLE: UseState.SETTLED},
        UseState.SETTLED: {},
        UseState.RETURNED: {},
        UseState.REVOKED: {},
    }
)
"""What is absent raises StateError and changes nothing."""

_CODES = MappingProxyType(
    {
        Dimension.USES: ErrorCode.TOKEN_USED_UP,
        Dimension.STORAGE: ErrorCode.STORAGE_QUOTA,
        Dimension.AMOUNT: ErrorCode.AMOUNT_EXHAUSTED,
    }
)
_UNCOUNTED = Allowance()


class TokenUse:
    """A use of a token, and of those that it is below: `hold_use` makes it, then it is settled, or given back."""

    def __init__(self, ledger: Ledger, counted: tuple[TokenKey, ...], use: Use) -> None:
        """For `hold_use`, which has told the ledger about each of `counted`."""
        self._ledger = ledger
        self._counted = counted
        self._use = use
        self.state = UseState.HELD

    def spend(self) -> None:
        """The first octet of an object, or a 304, is about to go. Raises StateError unless HELD."""
        self.state = self._following(UseEvent.SPEND)

    def revoke(self) -> None:
        """The token was revoked before the first octet: none will go. Raises StateError unless HELD."""
        self._end(self._following(UseEvent.REVOKE), self._use)

    def give_back(self) -> None:
        """No octet went, and none will. Raises StateError unless HELD."""
        self._end(self._following(UseEvent.GIVE_BACK), self._use)

    def settle(self, *, amount: int, storage: int) -> None:
        """The request is over: so many octets were moved and are stored; the rest of what was held is returned.

        Raises StateError unless SPENT, and if more was moved or stored than was held.
        """
        following = self._following(UseEvent.SETTLE)
        if not (0 <= amount <= self._use.amount and 0 <= storage <= self._use.storage):
            raise StateError("more was moved or stored than was held")
        self._end(following, Use(0, self._use.amount - amount, self._use.storage - storage))

    def _end(self, following: UseState, unused: Use) -> None:
        self.state = following
        if self._counted and unused != Use():
            for key in self._counted:
                self._ledger.give_back(key, unused)

    def _following(self, event: UseEvent) -> UseState:
        following = USE_TABLE[self.state].get(event)
        if following is None:
            raise StateError(f"a use that is {self.state.value}: cannot {event.value}")
        return following


def allowance_of(token: VerifiedToken) -> Allowance:
    """What the issuer of a token has put into it."""
    policy = token.claims.policy
    return _UNCOUNTED if policy is None else Allowance(policy.uses, policy.amount, policy.storage)


def is_counted(token: VerifiedToken) -> bool:
    """Whether there is anything to count, for it or for a token that it is below."""
    return any(allowance_of(level).is_counted for level in token.levels)


def hold_use(ledger: Ledger, token: VerifiedToken, use: Use) -> TokenUse:
    """Hold a use of a token and of those that it is below, with the octets that its request may move and store.

    Raises RefusedError, with nothing held: TOKEN_USED_UP, STORAGE_QUOTA or AMOUNT_EXHAUSTED with the limit and what is
    used, and RATE_LIMITED when the account has too many tokens in the ledger. Raises StoreError.
    """
    counted: list[TokenKey] = []
    try:
        for level in token.levels:
            allowance = allowance_of(level)
            if not allowance.is_counted:
                continue
            short = ledger.hold(token.account, level.ledger_key, allowance, use, level.claims.exp + SKEW + LATE)
            if short is not None:
                raise _exhausted(short)
            counted.append(level.ledger_key)
    except (RefusedError, StoreError):
        for key in counted:
            ledger.give_back(key, use)
        raise
    return TokenUse(ledger, tuple(counted), use)


def check_allowance(ledger: Ledger, token: VerifiedToken, use: Use) -> None:
    """Whether `hold_use` would hold it now. Raises RefusedError as that does, StoreError."""
    for level in token.levels:
        allowance = allowance_of(level)
        short = find_short(allowance, ledger.used(level.ledger_key), use) if allowance.is_counted else None
        if short is not None:
            raise _exhausted(short)


def check_uses(ledger: Ledger, token: VerifiedToken) -> None:
    """Raises RefusedError (TOKEN_USED_UP) if no use is left, of it or of a token that it is below."""
    for level in token.levels:
        limit = allowance_of(level).uses
        if limit is not None and (used := ledger.used(level.ledger_key).uses) >= limit:
            reason = f"token: {used} of {limit} of its uses are used"
            raise RefusedError(ErrorCode.TOKEN_USED_UP, reason, dimension=Dimension.USES, limit=limit, used=used)


def check_revoked(ledger: Ledger, token: VerifiedToken) -> None:
    """Raises RefusedError (TOKEN_REVOKED) if its node or its account has revoked it, or one that it is below."""
    node = token.node
    for one in token.lineage:
        if ledger.is_revoked(node, one.kid, one.cti, one.iat):
            raise RefusedError(ErrorCode.TOKEN_REVOKED, "token: revoked")


def _exhausted(short: Short) -> RefusedError:
    reason = f"token: {short.used} of {short.limit} of its {short.dimension.name.lower()} are used"
    code = _CODES[short.dimension]
    return RefusedError(code, reason, dimension=short.dimension, limit=short.limit, used=short.used)
