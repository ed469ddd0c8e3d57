"""Uses of tokens and revocations in Redis, shared by servers on several machines."""

from __future__ import annotations

import logging

from decade.errors import Dimension, ErrorCode, RefusedError, StateError, StoreError
from decade.ledger import MAX_COUNTED_TOKENS, MAX_REVOKED_KEYS, MAX_REVOKED_TOKENS, revokers
from decade.messages import Revocation
from decade.ports import Allowance, NodePath, Short, TokenKey, Use
from interop.decade_scale._engine import MAX_NUMBER, Engine

logger = logging.getLogger(__name__)
MAX_FORGOTTEN = 1000
"""Tokens that one script forgets: the others wait for it, some 5 ms."""
_ORDER = (Dimension.USES, Dimension.STORAGE, Dimension.AMOUNT)


class RedisLedger:
    """The `decade.ports.Ledger` of servers that share a Redis.

    Redis forgets nothing by its own clock: one that is ahead would make a token for one use good for two. `forget`
    does, by the highest time that a server has seen. A call that fails holds nothing, or what it holds stays spent.
    """

    waits = True

    def __init__(self, engine: Engine) -> None:
        """Raises StoreError."""
        self._engine = engine
        self._wall = int(engine.ask("GET", "wall") or 0)

    def used(self, token: TokenKey) -> Use:
        """What a token has used, with what is held; nothing if it is not known. Raises StoreError."""
        found = self._engine.ask("HMGET", b"token:" + _token(token), "uses", "amount", "storage")
        return Use(*(int(number or 0) for number in found))

    def hold(self, account: str, token: TokenKey, allowance: Allowance, use: Use, until: int) -> Short | None:
        """Add a use, or say what is short.

        Raises RefusedError when the account has too many tokens counted, StoreError.
        """
        limits = {
            Dimension.USES: allowance.uses,
            Dimension.STORAGE: allowance.storage,
            Dimension.AMOUNT: allowance.amount,
        }
        reply = self._engine.run(
            "hold",
            account,
            _token(token),
            min(until, MAX_NUMBER),
            MAX_COUNTED_TOKENS,
            *("" if (limit := limits[dimension]) is None else limit for dimension in _ORDER),
            *(use.uses, use.storage, use.amount),
        )
        if reply[0] == b"full":
            reason = f"the account has {MAX_COUNTED_TOKENS} tokens whose uses are counted"
            raise RefusedError(ErrorCode.RATE_LIMITED, reason)
        if reply[0] == b"held":
            return None
        dimension = _ORDER[reply[1]]
        limit = limits[dimension]
        assert limit is not None
        return Short(dimension, limit, int(reply[2]))

    def give_back(self, token: TokenKey, use: Use) -> None:
        """Subtract what was held and not needed; while Redis is away it stays spent.

        Raises StateError if the token has not used that much.
        """
        try:
            done = self._engine.run("give_back", _token(token), use.uses, use.storage, use.amount)
        except StoreError as exc:
            # A second try could give it back twice.
            logger.warning("what a token has not used stays spent: %s", exc)
            return
        if not done:
            raise StateError("a token has not used what is given back")

    def revoke(self, node: NodePath, revocation: Revocation, *, wall: int, until: int) -> None:
        """Revoke tokens of a node. Raises RefusedError, with nothing revoked, when it has revoked too many."""
        revoker = revokers(node)[-1]
        if revocation.cti is not None:
            most = MAX_REVOKED_TOKENS
            done = self._engine.run("revoke", revoker, "cti", most, min(until, MAX_NUMBER), *revocation.cti)
        elif revocation.kid is not None:
            most = MAX_REVOKED_KEYS
            done = self._engine.run("revoke", revoker, "kid", most, "", revocation.kid)
        else:
            assert revocation.before is not None
            most, done = 1, self._engine.run("revoke", revoker, "before", 1, min(revocation.before, wall))
        if not done:
            raise RefusedError(ErrorCode.RATE_LIMITED, f"this node has {most} revocations; revoke by time instead")

    def is_revoked(self, node: NodePath, kid: bytes, cti: bytes, iat: int) -> bool:
        """Whether a revocation by this node, or by one above it, reaches such a token. Raises StoreError."""
        return bool(self._engine.run("is_revoked", kid, cti, min(iat, MAX_NUMBER), *revokers(node)))

    def observe(self, wall: int) -> int:
        """The highest Unix time that this process has ever seen, or any before its start, this one included."""
        self._wall = max(self._wall, wall)
        return self._wall

    def forget(self) -> None:
        """Forget the tokens and the revocations by cti whose time is over. Raises StoreError."""
        more = True
        while more:
            highest, more = self._engine.run("forget", min(self._wall, MAX_NUMBER), MAX_FORGOTTEN)
            self._wall = max(self._wall, int(highest))


def _token(token: TokenKey) -> bytes:
    thumbprint, cti = token
    return b"%d:" % len(thumbprint) + thumbprint + cti
