"""Tokens that a server mints for whoever has a token that permits it (RFC 7069 section 5.5, POST /tokens).

What it mints permits no more than the token that asks, and what that one has of uses and octets is split, not copied:
it is charged when they are minted. They name the tokens by whose right they were minted, whose revocation reaches them.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from decade.attenuation import widening
from decade.cbor import MAX_MESSAGE
from decade.claims import Claims
from decade.cose import Ed25519SigningKey
from decade.errors import DecodeError, EncodeError, ErrorCode, RefusedError
from decade.messages import TokenRequest, TokenResponse
from decade.ports import Use
from decade.scope import TokenPolicy
from decade.tokens import RegisteredKey, Rules, VerifiedToken, check_claims, mint

CTI_SIZE = 16
_AROUND = 32
"""Octets of a token-response beside its tokens."""
_HEAD = 3
"""Octets before each token."""


@attrs.frozen
class TokenMint:
    """Mints for a server. `rules`: those by which it verifies, and so what it can enforce."""

    key: Ed25519SigningKey
    rules: Rules
    random_bytes: Callable[[int], bytes]

    def plan(self, request: TokenRequest, asking: VerifiedToken, wall: int) -> tuple[Claims, int]:
        """What each token is to say, and how many there will be: as many as were asked for, or as fit in a message.

        Raises RefusedError (ATTRIBUTE_NOT_PERMITTED) for more than the token that asks permits, and for what this
        server does not support.
        """
        policy = request.policy or TokenPolicy()
        claims = Claims(
            aud=(self.rules.audience,),
            exp=wall + request.lifetime,
            iat=wall,
            cti=bytes(CTI_SIZE),
            scope=request.scope,
            policy=policy if policy.app_path is not None else _at(policy, asking.path[1:]),
            nbf=asking.claims.nbf,
            sub=asking.account,
            # Who has to prove what it holds does not get what anybody may show.
            cnf=request.cnf or asking.claims.cnf,
            origin=asking.lineage,
        )
        if (reason := self._fault(claims, asking)) is not None:
            raise RefusedError(ErrorCode.ATTRIBUTE_NOT_PERMITTED, f"tokens: {reason}")
        try:
            size = len(mint(claims, self.key))
        except EncodeError as exc:
            raise RefusedError(ErrorCode.ATTRIBUTE_NOT_PERMITTED, f"tokens: {exc}") from exc
        return claims, min(request.count or 1, (MAX_MESSAGE - _AROUND) // (size + _HEAD))

    def mint(self, claims: Claims, count: int) -> TokenResponse:
        """The tokens that were planned, each with a cti of its own."""
        made = (attrs.evolve(claims, cti=self.random_bytes(CTI_SIZE)) for _ in range(count))
        return TokenResponse(tokens=tuple(mint(one, self.key) for one in made), exp=claims.exp)

    def _fault(self, claims: Claims, asking: VerifiedToken) -> str | None:
        if (reason := widening(asking.claims, claims)) is not None:
            return reason
        policy = claims.policy or TokenPolicy()
        if (asking.account, *(policy.app_path or ()))[: len(asking.path)] != asking.path:
            return "app-path: not below the node that pays"
        # Nothing is charged for these: many tokens with a share of each would have more than the one that asks.
        if any(level.policy.connections is not None or level.policy.bandwidth is not None for level in asking.levels):
            return "connections and bandwidth of a token are not to be split"
        try:
            check_claims(claims, RegisteredKey(self.key.public, asking.account), self.rules)
        except DecodeError as exc:
            return str(exc)
        return None


def _at(policy: TokenPolicy, app_path: tuple[str, ...]) -> TokenPolicy:
    made: TokenPolicy = attrs.evolve(policy, app_path=app_path)  # type: ignore[misc]
    return made


def charge_of(claims: Claims, count: int) -> Use:
    """What so many tokens take from what the one that asks may use."""
    policy = claims.policy or TokenPolicy()
    return Use(count * (policy.uses or 0), count * (policy.amount or 0), count * (policy.storage or 0))
