"""What a server needs from its surroundings: protocols that interop, or who mounts a server, implements.

`decade.ledger` has the implementations for one process. Every method is atomic: workers that share an implementation
see each other's calls before or after their own, never halfway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import attrs

from decade.errors import Dimension
from decade.messages import Revocation

NodePath: TypeAlias = tuple[str, ...]
"""A node of the policy tree: () is the provider, (account,) an account, (account, app) one of its applications."""
TokenKey: TypeAlias = tuple[bytes, bytes]
"""The thumbprint of the key that has signed a token, and its cti: a `kid` could belong to two keys."""


@attrs.frozen
class Holding:
    """What a node of the policy tree holds, with the nodes below: octets stored and reserved, objects stored."""

    stored: int = 0
    reserved: int = 0
    objects: int = 0

    @property
    def used(self) -> int:
        """The octets that count against its limit."""
        return self.stored + self.reserved


@attrs.frozen
class Charge:
    """A node that pays for storage, and the octets that it may hold at most, None for any number."""

    path: NodePath
    limit: int | None


@attrs.frozen
class Short:
    """What there is too little of, its limit, and what of it is used."""

    dimension: Dimension
    limit: int
    used: int


class Quotas(Protocol):
    """The octets that each node holds. What is stored outlives a restart, as the rows of the objects do; what is
    reserved does not, as an upload does not.
    """

    def holding(self, path: NodePath) -> Holding:
        """What a node holds; nothing if it is not known."""

    def reserve(self, charges: Sequence[Charge], octets: int) -> tuple[Charge, Holding] | None:
        """Reserve at every node or, when one has no room, at none: then the first such node, and what it holds."""

    def commit(self, paths: Sequence[NodePath], octets: int) -> None:
        """What was reserved for one object is stored."""

    def release(self, paths: Sequence[NodePath], octets: int) -> None:
        """What was reserved is free again."""

    def drop(self, paths: Sequence[NodePath], octets: int) -> None:
        """One object that was stored is no more."""


@attrs.frozen
class Allowance:
    """What the issuer of a token has put into it: uses, octets to move, octets to store; None for any number."""

    uses: int | None = None
    amount: int | None = None
    storage: int | None = None

    @property
    def is_counted(self) -> bool:
        """Whether there is anything to count."""
        return self.uses is not None or self.amount is not None or self.storage is not None


@attrs.frozen
class Use:
    """Uses, octets moved and octets stored: by a token so far, or by one request with it."""

    uses: int = 0
    amount: int = 0
    storage: int = 0


class Ledger(Protocol):
    """Uses of tokens, and revocations. What a call has changed is durable when it returns, so that a power cut makes
    no use possible twice: what a request held when the power went stays spent.
    """

    def used(self, token: TokenKey) -> Use:
        """What a token has used, with what is held; nothing if it is not known."""

    def hold(self, account: str, token: TokenKey, allowance: Allowance, use: Use, until: int) -> Short | None:
        """Add a use if every number stays within the allowance; if not, add nothing and say what is short.

        `until`: the Unix time from which no clock accepts the token. Raises RefusedError when the account has as many
        tokens in the ledger as it may.
        """

    def give_back(self, token: TokenKey, use: Use) -> None:
        """Subtract what was held and not needed; nothing if the token is forgotten."""

    def revoke(self, account: str, revocation: Revocation, *, wall: int, until: int) -> None:
        """Revoke tokens of an account: by cti until a time, from which no clock accepts them; by time and by key
        for good. A time in the future counts as `wall`: only what is issued is revoked.

        Raises RefusedError, with nothing revoked, when the account has as many revocations as it may.
        """

    def is_revoked(self, account: str, kid: bytes, cti: bytes, iat: int) -> bool:
        """Whether a revocation of this account reaches such a token."""

    def observe(self, wall: int) -> int:
        """The highest Unix time that was ever seen, this one included. It is durable with the next `forget`."""

    def forget(self) -> None:
        """Forget the tokens and the revocations by cti whose time is over at the highest Unix time seen, which
        outlives a restart from now on: a clock that is set back would accept them again.
        """
