"""The ports of quotas and of token uses in the memory of one process (see `decade.ports`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import attrs

from decade.errors import Dimension, ErrorCode, RefusedError, StateError
from decade.messages import ResourcePolicy, Revocation
from decade.policy import has_room
from decade.ports import Allowance, Charge, Holding, NodePath, PutPolicy, Short, TokenKey, Use

MAX_COUNTED_TOKENS = 65536
"""Tokens of one account whose uses are counted: an issuer mints offline, so nothing else bounds them. 12 MiB or so."""
MAX_REVOKED_TOKENS = 65536
"""Revocations by cti of one account or application; whoever needs more revokes by time."""
MAX_REVOKED_KEYS = 256
"""Keys that one account or application has revoked: more than it ever registers."""


class MemoryQuotas:
    """Octets held, in memory. `load` it with the rows of the objects at start."""

    waits = False

    def __init__(self) -> None:
        self._holdings: dict[NodePath, Holding] = {}

    def load(self, paths: Sequence[NodePath], octets: int) -> None:
        """Count an object that is stored already."""
        for path in paths:
            held = self.holding(path)
            self._set(path, attrs.evolve(held, stored=held.stored + octets, objects=held.objects + 1))

    def holding(self, path: NodePath) -> Holding:
        """What a node holds; nothing if it is not known."""
        return self._holdings.get(path, Holding())

    def reserve(self, charges: Sequence[Charge], octets: int) -> tuple[Charge, Holding] | None:
        """Reserve at every node or, when one has no room, at none: then the first such node, and what it holds."""
        held = [(charge, self.holding(charge.path)) for charge in charges]
        for charge, holding in held:
            if charge.limit is not None and holding.used + octets > charge.limit:
                return charge, holding
        for charge, holding in held:
            self._set(charge.path, attrs.evolve(holding, reserved=holding.reserved + octets))
        return None

    def commit(self, paths: Sequence[NodePath], octets: int) -> None:
        """What was reserved for one object is stored. Raises StateError if it was not reserved."""
        self._change(paths, Holding(octets, -octets, 1))

    def release(self, paths: Sequence[NodePath], octets: int) -> None:
        """What was reserved is free again. Raises StateError if it was not reserved."""
        self._change(paths, Holding(0, -octets, 0))

    def drop(self, paths: Sequence[NodePath], octets: int) -> None:
        """One object that was stored is no more. Raises StateError if it was not stored."""
        self._change(paths, Holding(-octets, 0, -1))

    def _change(self, paths: Sequence[NodePath], by: Holding) -> None:
        changed = []
        for path in paths:
            held = self.holding(path)
            made = Holding(held.stored + by.stored, held.reserved + by.reserved, held.objects + by.objects)
            if min(made.stored, made.reserved, made.objects) < 0:
                raise StateError(f"{'/'.join(path)!r} does not hold what is to be taken from it")
            changed.append((path, made))
        for path, made in changed:
            self._set(path, made)

    def _set(self, path: NodePath, holding: Holding) -> None:
        if holding == Holding():
            self._holdings.pop(path, None)
        else:
            self._holdings[path] = holding


class MemoryPolicies:
    """What accounts have put for their applications, in memory."""

    waits = False

    def __init__(self, holding: Callable[[NodePath], Holding]) -> None:
        """`holding`: what a node holds."""
        self._holding = holding
        self._puts: dict[NodePath, PutPolicy] = {}
        self._version = 0

    def save(self, path: NodePath, policy: ResourcePolicy | None, over: ResourcePolicy | None) -> Holding | None:
        """Keep what an account has put, unless the node holds too much: then what it holds."""
        if not has_room(policy, holding := self._holding(path)):
            return holding
        self._version += 1
        if policy == over:
            self._puts.pop(path, None)
        else:
            self._puts[path] = PutPolicy(policy, over, self._version)
        return None

    def load(self, known: Mapping[NodePath, PutPolicy]) -> dict[NodePath, PutPolicy]:
        """All that is kept."""
        return dict(self._puts)

    def version(self) -> int:
        """Another number after each `save`."""
        return self._version


@attrs.define
class _Entry:
    account: str
    until: int
    use: Use


@attrs.define
class _Revoked:
    """What a node has revoked: by cti, with the time to forget each; up to a time; by key."""

    cti: dict[bytes, int] = attrs.Factory(dict)
    before: int = -1
    keys: set[bytes] = attrs.Factory(set)


def revokers(node: NodePath) -> tuple[str, ...]:
    """Who may have revoked a token of a key that is registered at a node: the account, and then those below it down to
    the node itself, as ledgers write them. No name has a line end in it.
    """
    return tuple("\n".join(node[:length]) for length in range(1, len(node) + 1))


class MemoryLedger:
    """Uses of tokens and revocations, in memory: a restart forgets them, so it is for tests and for short lives."""

    waits = False

    def __init__(self) -> None:
        self._entries: dict[TokenKey, _Entry] = {}
        self._counted: Counter[str] = Counter()
        self._revoked: dict[str, _Revoked] = {}
        self._wall = 0

    def used(self, token: TokenKey) -> Use:
        """What a token has used, with what is held; nothing if it is not known."""
        entry = self._entries.get(token)
        return entry.use if entry is not None else Use()

    def hold(self, account: str, token: TokenKey, allowance: Allowance, use: Use, until: int) -> Short | None:
        """Add a use, or say what is short. Raises RefusedError when the account has too many tokens counted."""
        entry = self._entries.get(token)
        used = entry.use if entry is not None else Use()
        if (short := find_short(allowance, used, use)) is not None:
            return short
        total = Use(used.uses + use.uses, used.amount + use.amount, used.storage + use.storage)
        if entry is not None:
            entry.use, entry.until = total, max(entry.until, until)
            return None
        if self._counted[account] >= MAX_COUNTED_TOKENS:
            reason = f"the account has {MAX_COUNTED_TOKENS} tokens whose uses are counted"
            raise RefusedError(ErrorCode.RATE_LIMITED, reason)
        self._counted[account] += 1
        self._entries[token] = _Entry(account, until, total)
        return None

    def give_back(self, token: TokenKey, use: Use) -> None:
        """Subtract what was held and not needed. Raises StateError if the token has not used that much."""
        entry = self._entries.get(token)
        if entry is None:
            return
        left = Use(entry.use.uses - use.uses, entry.use.amount - use.amount, entry.use.storage - use.storage)
        if min(left.uses, left.amount, left.storage) < 0:
            raise StateError("a token has not used what is given back")
        entry.use = left
        if left == Use():
            # Nothing is kept of who asks for much and takes nothing.
            self._drop(token)

    def revoke(self, node: NodePath, revocation: Revocation, *, wall: int, until: int) -> None:
        """Revoke tokens of a node. Raises RefusedError, with nothing revoked, when it has revoked too many."""
        revoker = revokers(node)[-1]
        revoked = self._revoked.get(revoker, _Revoked())
        if revocation.cti is not None:
            added = dict.fromkeys(revocation.cti, until)
            _check_room(len(revoked.cti.keys() | added.keys()), MAX_REVOKED_TOKENS)
            for cti in added:
                revoked.cti[cti] = max(until, revoked.cti.get(cti, 0))
        elif revocation.kid is not None:
            _check_room(len(revoked.keys | {revocation.kid}), MAX_REVOKED_KEYS)
            revoked.keys.add(revocation.kid)
        elif revocation.before is not None:
            revoked.before = max(revoked.before, min(revocation.before, wall))
        self._revoked[revoker] = revoked

    def is_revoked(self, node: NodePath, kid: bytes, cti: bytes, iat: int) -> bool:
        """Whether a revocation by this node, or by one above it, reaches such a token."""
        for revoker in revokers(node):
            revoked = self._revoked.get(revoker)
            if revoked is not None and (iat <= revoked.before or cti in revoked.cti or kid in revoked.keys):
                return True
        return False

    def observe(self, wall: int) -> int:
        """The highest Unix time that was ever seen, this one included."""
        self._wall = max(self._wall, wall)
        return self._wall

    def forget(self) -> None:
        """Forget the tokens and the revocations by cti whose time is over."""
        for token in [token for token, entry in self._entries.items() if entry.until <= self._wall]:
            self._drop(token)
        for revoked in self._revoked.values():
            for cti in [cti for cti, until in revoked.cti.items() if until <= self._wall]:
                del revoked.cti[cti]

    def _drop(self, token: TokenKey) -> None:
        account = self._entries.pop(token).account
        self._counted[account] -= 1
        if not self._counted[account]:
            del self._counted[account]


def find_short(allowance: Allowance, used: Use, use: Use) -> Short | None:
    """The first of uses, octets to move and octets to store that `use` would take over the allowance."""
    for dimension, limit, before, more in (
        (Dimension.USES, allowance.uses, used.uses, use.uses),
        (Dimension.STORAGE, allowance.storage, used.storage, use.storage),
        (Dimension.AMOUNT, allowance.amount, used.amount, use.amount),
    ):
        if limit is not None and before + more > limit:
            return Short(dimension, limit, before)
    return None


def _check_room(count: int, limit: int) -> None:
    if count > limit:
        raise RefusedError(ErrorCode.RATE_LIMITED, f"this node has {limit} revocations; revoke by time instead")
