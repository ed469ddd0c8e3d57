"""What a server needs from its surroundings: protocols that interop, or who mounts a server, implements.

`decade.ledger` has the implementations for one process. Every method is atomic: workers that share an implementation
see each other's calls before or after their own, never halfway.

A port whose `waits` is true may take time in the methods that are said to wait: they are called in any thread. All
others return at once, and what they change is done in the order of the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Protocol, TypeAlias, TypeVar

import attrs

from decade.errors import Dimension
from decade.memberships import MAX_COLLECTIONS, joined, too_many_collections
from decade.messages import ResourcePolicy, Revocation
from decade.named import Binding
from decade.names import Name
from decade.values import SignedName

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
    """A node that pays for storage, and the octets that it may hold at most, None for any number.

    `version`: of the `PutPolicy` that the limit is of, 0 without one; None if accounts put none for such a node.
    """

    path: NodePath
    limit: int | None
    version: int | None = None


@attrs.frozen
class Short:
    """What there is too little of, its limit, and what of it is used."""

    dimension: Dimension
    limit: int
    used: int


class Quotas(Protocol):
    """The octets that each node holds. What is stored outlives a restart, as the rows of the objects do; what is
    reserved does not, as an upload does not. `reserve` waits. A medium that fails raises StoreError.
    """

    @property
    def waits(self) -> bool:
        """Whether methods may take time."""

    def holding(self, path: NodePath) -> Holding:
        """What a node holds; nothing if it is not known."""

    def reserve(self, charges: Sequence[Charge], octets: int) -> tuple[Charge, Holding] | None:
        """Reserve at every node or, when one has no room, at none: then the first such node, and what it holds.

        Raises OutdatedError, with nothing reserved, if what is kept of a node has another version. Quotas of one
        process need not look.
        """

    def commit(self, paths: Sequence[NodePath], octets: int) -> None:
        """What was reserved for one object is stored."""

    def release(self, paths: Sequence[NodePath], octets: int) -> None:
        """What was reserved is free again."""

    def drop(self, paths: Sequence[NodePath], octets: int) -> None:
        """One object that was stored is no more."""


@attrs.frozen
class PutPolicy:
    """What an account has put for an application, None if it has removed it. `over`: what the provider's configuration
    said of it then, None for nothing. `version`: another number, above 0, each time.
    """

    policy: ResourcePolicy | None
    over: ResourcePolicy | None
    version: int


class Policies(Protocol):
    """The policies that accounts have put for their applications, beside the `Quotas`: what one process saves comes
    before or after what another one reserves. `save` waits; every method may raise StoreError.
    """

    @property
    def waits(self) -> bool:
        """Whether methods may take time, and other processes may save."""

    def save(self, path: NodePath, policy: ResourcePolicy | None, over: ResourcePolicy | None) -> Holding | None:
        """Keep what an account has put, durably when this returns; nothing is kept if it is what `over` says.

        If the node holds too much for that (`decade.policy.has_room`) nothing is changed, and this is what it holds.
        """

    def load(self, known: Mapping[NodePath, PutPolicy]) -> Mapping[NodePath, PutPolicy]:
        """All that is kept. What is known in the same version need not be read again."""

    def version(self) -> int:
        """Another number after each `save`, of whatever process."""


class Connections(Protocol):
    """Connections at nodes and tokens that have a limit, counted with those of other processes. Every method returns at
    once; `open` may raise StoreError.
    """

    def open(self, limits: Sequence[tuple[Hashable, int]]) -> tuple[int, int] | None:
        """Count one more at each or, when one is full, at none: then its place among them, and what is open there."""

    def close(self, nodes: Sequence[Hashable]) -> None:
        """One less at each."""

    def count(self, node: Hashable) -> int:
        """What is open at a node, or less if the medium fails."""


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
    """Uses of tokens, and revocations. What `hold` and `revoke` have changed is durable when they return, so that a
    power cut makes no use possible twice: what a request held when the power went stays spent. These two wait.
    A medium that fails raises StoreError.
    """

    @property
    def waits(self) -> bool:
        """Whether methods may take time."""

    def used(self, token: TokenKey) -> Use:
        """What a token has used, with what is held; nothing if it is not known."""

    def hold(self, account: str, token: TokenKey, allowance: Allowance, use: Use, until: int) -> Short | None:
        """Add a use if every number stays within the allowance; if not, add nothing and say what is short.

        `until`: the Unix time from which no clock accepts the token; of several, the latest. Raises RefusedError when
        the account has as many tokens in the ledger as it may.
        """

    def give_back(self, token: TokenKey, use: Use) -> None:
        """Subtract what was held and not needed; nothing if the token is forgotten, as it is when nothing is left."""

    def revoke(self, node: NodePath, revocation: Revocation, *, wall: int, until: int) -> None:
        """Revoke tokens of the keys at a node, an account or an application, and below it: by cti until a time, from
        which no clock accepts them; by time and by key for good. A time in the future counts as `wall`: only what is
        issued is revoked.

        Raises RefusedError, with nothing revoked, when the node has as many revocations as it may.
        """

    def is_revoked(self, node: NodePath, kid: bytes, cti: bytes, iat: int) -> bool:
        """Whether a revocation by this node, that of the token's key, or by one above it, reaches such a token."""

    def observe(self, wall: int) -> int:
        """The highest Unix time that was ever seen, this one included. It is durable with the next `forget`."""

    def forget(self) -> None:
        """Forget the tokens and the revocations by cti whose time is over at the highest Unix time seen, which
        outlives a restart from now on: a clock that is set back would accept them again.
        """


@attrs.frozen(kw_only=True)
class Row:
    """An object of an account, its attributes at this server, and the node that pays for it.

    `created`, `expires`, `last_read`: seconds since 1970. `reads`, `octets_read`: how often and how much it was read.
    `collections`: that it is in, each once and in order.
    """

    account: str
    name: Name
    size: int
    payer: NodePath
    created: int
    expires: int | None
    media_type: str | None = None
    reads: int = 0
    octets_read: int = 0
    last_read: int | None = None
    collections: tuple[bytes, ...] = ()

    def is_expired(self, wall: int) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= wall

    def was_read(self, times: int, octets: int, last: int) -> Row:
        """When it was read so often more, the last time at a Unix time, so many octets in all."""
        return attrs.evolve(self, reads=self.reads + times, octets_read=self.octets_read + octets, last_read=last)

    def merged(self, expires: int | None, media_type: str | None, collections: tuple[bytes, ...] = ()) -> Row:
        """When it is stored again: the later expiry wins, a media type is added, and it is in more collections.

        Raises RefusedError (ATTRIBUTE_NOT_PERMITTED) for more than MAX_COLLECTIONS.
        """
        later = None if self.expires is None or expires is None else max(self.expires, expires)
        every = joined(self.collections, collections) if collections else self.collections
        if len(every) > max(MAX_COLLECTIONS, len(self.collections)):
            raise too_many_collections()
        return attrs.evolve(self, expires=later, media_type=self.media_type or media_type, collections=every)

    def changed_as(self, other: Row) -> Row:
        """With the expiry, the media type and the collections of another row."""
        return attrs.evolve(self, expires=other.expires, media_type=other.media_type, collections=other.collections)


class Sink(Protocol):
    """An object that is coming. It is dropped or committed, once."""

    def write(self, octets: bytes) -> None:
        """The next octets. Raises StoreError."""

    def drop(self) -> None:
        """The object will not be stored."""


class Reader(Protocol):
    """An object that is read. It stays until `close`, whatever becomes of its rows."""

    def read(self, offset: int, size: int) -> bytes:
        """So many octets, which are there. Raises StoreError."""

    def close(self) -> None:
        """It is read no more; harmless when repeated."""


_S = TypeVar("_S", bound=Sink)


class ObjectStore(Protocol[_S]):
    """Objects by the hash that names them, and a row for each account that holds one. Every method raises StoreError
    when the medium fails, and has changed nothing then. Who calls has checked what is stored against its name.

    `commit`, `update`, `bind`, `unbind`, `remove` and `remove_many` wait, and `open` unless `opens_at_once`.
    """

    @property
    def waits(self) -> bool:
        """Whether methods may take time."""

    def find(self, account: str, name: Name) -> Row | None:
        """The row of an account's object, None if there is none."""

    def create(self, name: Name, size: int) -> _S:
        """Where an object of this size is written to while it comes."""

    def commit(self, sink: _S, row: Row) -> bool:
        """Keep what was written, and its row: both outlive a power cut when this returns True.

        False if the account has a row already, which gets the later expiry, the media type if it has none, and more
        collections. Raises RefusedError (ATTRIBUTE_NOT_PERMITTED) if those are too many: nothing is kept.
        """

    def opens_at_once(self, row: Row) -> bool:
        """Whether `open` takes no time now."""

    def open(self, row: Row) -> Reader:
        """Read an object whose row is there. Raises StoreError if the octets are not."""

    def at_hand(self, account: str, name: Name) -> tuple[Row, bytes | None] | None:
        """The row of an object, and its octets if they are in memory; None: `find` may know it. The counts of the row
        may be behind. It returns at once.
        """

    def update(self, account: str, name: Name, change: Callable[[Row], Row]) -> Row | None:
        """Replace the expiry, the media type and the collections of an object by those of `change(row)`: the row as it
        is now, None if there is none. `change` may be called in any thread, and more than once.
        """

    def find_bound(self, account: str, signed: SignedName) -> Binding | None:
        """What an account has bound to a signed name, None for nothing. It returns at once."""

    def bind(self, account: str, binding: Binding) -> Binding | None:
        """Give an object of an account a signed name, which goes with its row: what is bound to it now, which is the
        first that was; None if the account has no such object. Raises RefusedError (ATTRIBUTE_NOT_PERMITTED) if it has
        MAX_NAMES already.
        """

    def unbind(self, account: str, binding: Binding) -> bool:
        """Take a signed name from this object, which stays: False if the name is not this one's."""

    def count_read(self, account: str, name: Name, octets: int, wall: int) -> None:
        """An object was read, or a part of it; nothing if there is no row. A power cut may lose some counts."""

    def remove(self, account: str, name: Name) -> Row | None:
        """Take a row away, and the octets when no account and no reader has the object; the row, None without one."""

    def remove_many(self, rows: Sequence[Row]) -> Sequence[Row]:
        """As `remove`, of those that still have the expiry that they have here: the rows that are gone."""

    def holders(self, name: Name, count: int) -> Sequence[Row]:
        """The rows of an object, of whatever accounts: the first `count` in the order of (created, account)."""

    def page(self, account: str, after: bytes, count: int) -> Sequence[Row]:
        """The first rows of an account whose value is greater than `after`, in the order of the values."""

    def expired(self, wall: int, count: int) -> Sequence[Row]:
        """Rows whose time is over, `count` at most."""

    def next_expiry(self) -> int | None:
        """When the next row expires, None for never; it may say too early a time."""
