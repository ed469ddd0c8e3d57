"""Tokens that were verified, remembered: most are shown more than once, and those that they are below more often."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable

from decade.cose import PublicKey
from decade.errors import RefusedError
from decade.messages import Revocation
from decade.ports import NodePath
from decade.tokens import SKEW, Keys, Rules, TokenFeature, VerifiedToken, check_now, has_its_key, verify_chain

CACHED_TOKENS = 4096
"""Verified tokens that a server remembers, about 2 KiB each."""
MAX_MEMORY = 16 * 2**20
"""Octets that they take at most, as `_cost` has it: a token of many objects takes as much as a dozen others."""
_SWEEP_EVERY = 60.0
"""Seconds between two searches for tokens that have expired."""


class VerifiedTokenCache:
    """Verifies tokens, and remembers those that were good, by their hash.

    Whoever uses what it returns still asks for revocations and uses: those change without the token.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        audience: str,
        max_life: int,
        capacity: int = CACHED_TOKENS,
        features: frozenset[TokenFeature] = frozenset(),
        own: PublicKey | None = None,
    ) -> None:
        """`capacity`: tokens, the one used longest ago goes first. All others: see `Rules`."""
        self.rules = Rules(keys=keys, audience=audience, max_life=max_life, features=features, own=own)
        self._capacity = capacity
        self._verified: OrderedDict[bytes, VerifiedToken] = OrderedDict()
        self._costs: dict[bytes, int] = {}
        self._memory = 0
        self._swept = 0.0

    def __len__(self) -> int:
        """Tokens that it remembers."""
        return len(self._verified)

    def verify(self, token: bytes, wall: float) -> VerifiedToken:
        """The token, if it is for this server and now. Raises RefusedError, as `decade.tokens.verify` does."""
        found = self._recall(token)
        if found is not None:
            try:
                check_now(found, self.rules, wall)
            except RefusedError:
                self._drop(_digest(token))
                raise
            return found
        made = verify_chain(token, self.rules, self._recall)
        check_now(made, self.rules, wall)
        self._sweep(wall)
        self._remember(token, made)
        return made

    def is_registered(self, token: VerifiedToken) -> bool:
        """Whether the key of a token that was verified before is still what it was."""
        return has_its_key(token, self.rules)

    def revoke(self, node: NodePath, revocation: Revocation) -> None:
        """Forget the tokens that a revocation by a node reaches."""
        self._forget(lambda token: token.is_revoked_by(node, revocation))

    def _recall(self, token: bytes) -> VerifiedToken | None:
        digest = _digest(token)
        found = self._verified.get(digest)
        if found is None:
            return None
        # Its key may have been taken away since, or given to another account.
        if not self.is_registered(found):
            self._drop(digest)
            return None
        self._verified.move_to_end(digest)
        return found

    def _remember(self, token: bytes, made: VerifiedToken) -> None:
        level: VerifiedToken | None = made
        while level is not None:
            digest = _digest(token)
            if digest not in self._verified:
                self._costs[digest] = cost = _cost(token, level)
                self._memory += cost
            self._verified[digest] = level
            token, level = level.above, level.parent
        while len(self._verified) > self._capacity or self._memory > MAX_MEMORY:
            self._drop(next(iter(self._verified)))

    def _drop(self, digest: bytes) -> None:
        del self._verified[digest]
        self._memory -= self._costs.pop(digest)

    def _sweep(self, wall: float) -> None:
        # A clock that was set back sweeps too early, which does no harm.
        if abs(wall - self._swept) >= _SWEEP_EVERY:
            self._swept = wall
            self._forget(lambda token: wall >= token.claims.exp + SKEW)

    def _forget(self, is_gone: Callable[[VerifiedToken], bool]) -> None:
        for digest in [digest for digest, token in self._verified.items() if is_gone(token)]:
            self._drop(digest)


def _cost(token: bytes, verified: VerifiedToken) -> int:
    """Octets of memory that a token takes, rather too many (measured)."""
    return 1024 + 6 * len(token) + 100 * len(verified.claims.scope)


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
