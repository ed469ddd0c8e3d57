"""Tokens as whoever stores gives them to others, safely bounded where nothing is said (RFC 7069 section 5.5).

Whoever has a token that reads can use it until it expires, another server that was to pull with it too (section 6.4):
so it names its objects, lives for minutes, and moves twice their size at most, which leaves room for a download that
broke off. A use of a token is spent with the first octet: to bound retries is what the amount is for.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import attrs

from decade.claims import Claims
from decade.client_exchange import Credential, RandomBytes
from decade.cose import PublicKey, SigningKey
from decade.names import Name
from decade.scope import Confirmation, Everything, Object, Operation, Scope, TokenPolicy
from decade.tokens import claims_of, delegate, mint
from decade.values import Bandwidth, Priority

LIFETIME = 600
"""Seconds that a token lives where nothing is said."""
RETRIES = 2
"""Times the size that a token may move where nothing is said: once, and once more after a failure."""
_CTI_SIZE = 16
"""Octets: nobody guesses 128 bits (section 8.2)."""


@attrs.frozen
class Issuer:
    """Mints tokens with a key that servers know, without asking them. `servers`: their identifiers, the audience.

    Each method raises EncodeError for what no token can say: `uses` at more than one server, over 256 objects.
    `wall`: the Unix time. `lifetime`: seconds.
    """

    key: SigningKey
    servers: tuple[str, ...]
    random_bytes: RandomBytes = secrets.token_bytes

    def read(
        self,
        names: Sequence[Name],
        *,
        wall: float,
        size: int | None = None,
        amount: int | None = None,
        uses: int | None = None,
        lifetime: int = LIFETIME,
        priority: Priority | None = None,
        bandwidth: Bandwidth | None = None,
    ) -> Credential:
        """For who is to get these objects, or for a server that is to pull them. `size`: octets of all of them.

        `amount`: octets that it may move, twice the size without it, and any number if that is not known either.
        """
        policy = TokenPolicy(amount=_amount(amount, size), uses=uses, priority=priority, bandwidth=bandwidth)
        scope = tuple((Object(name), Operation.GET) for name in names)
        return self.grant(scope, policy, wall=wall, lifetime=lifetime)

    def store(
        self,
        names: Sequence[Name],
        *,
        wall: float,
        size: int,
        amount: int | None = None,
        lifetime: int = LIFETIME,
        object_lifetime: int | None = None,
    ) -> Credential:
        """For who is to put these objects, of `size` octets together, for up to `object_lifetime` seconds."""
        policy = TokenPolicy(amount=_amount(amount, size), storage=size, lifetime=object_lifetime)
        return self.grant(tuple((Object(name), Operation.PUT) for name in names), policy, wall=wall, lifetime=lifetime)

    def manage(self, operations: Operation, *, wall: float, lifetime: int = LIFETIME) -> Credential:
        """For oneself: operations on every object and on the account, without bounds of the token's own."""
        return self.grant(((Everything(), operations),), None, wall=wall, lifetime=lifetime)

    def grant(
        self,
        scope: Scope,
        policy: TokenPolicy | None,
        *,
        wall: float,
        lifetime: int = LIFETIME,
        holder: PublicKey | None = None,
    ) -> Credential:
        """Anything else that a token can say. `holder`: the key that whoever uses it has to prove to have, or signs
        tokens below it with, if `policy` has levels and `scope` permits to delegate.
        """
        return Credential(mint(self._claims(scope, policy, wall, lifetime, holder), self.key), self.servers)

    def pass_on(
        self,
        parent: bytes,
        scope: Scope,
        policy: TokenPolicy,
        *,
        wall: float,
        lifetime: int = LIFETIME,
        holder: PublicKey | None = None,
    ) -> Credential:
        """A token below `parent`, by the key of its holder. What `policy` leaves open is bounded as there, but for
        levels, of which there are none then; it lives no longer.

        Raises EncodeError for more than the parent permits, DecodeError for a parent that is no token.
        """
        above = claims_of(parent)
        claims = self._claims(scope, _below(above.policy, policy), wall, lifetime, holder)
        claims = attrs.evolve(claims, exp=min(claims.exp, above.exp), nbf=above.nbf)
        return Credential(delegate(parent, self.key, claims), self.servers)

    def _claims(
        self, scope: Scope, policy: TokenPolicy | None, wall: float, lifetime: int, holder: PublicKey | None
    ) -> Claims:
        return Claims(
            aud=self.servers,
            iat=int(wall),
            exp=int(wall) + lifetime,
            cti=self.random_bytes(_CTI_SIZE),
            scope=scope,
            policy=policy,
            cnf=None if holder is None else Confirmation(key=holder.cose_key),
        )


def _below(above: TokenPolicy | None, policy: TokenPolicy) -> TokenPolicy:
    """The members of a policy, and those of the one above it that it leaves open."""
    inherited = {
        field.name: getattr(above, field.name)
        for field in attrs.fields(TokenPolicy)  # type: ignore[arg-type]
        if field.name not in ("ext", "levels") and getattr(policy, field.name) is None
    }
    made: TokenPolicy = attrs.evolve(policy, **({} if above is None else inherited))  # type: ignore[misc]
    return made


def _amount(amount: int | None, size: int | None) -> int | None:
    if amount is not None or size is None:
        return amount
    # An object of no octets has to be allowed one, for a token that may move nothing is refused.
    return RETRIES * max(size, 1)
