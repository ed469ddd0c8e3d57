"""Seeds for clients that have an object which the server has too (RFC 7069 appendix A.1.3).

A client that shows it has the octets need not send them. It shows that by the SHA-256 of a seed and the octets behind
it: the name alone, which anybody may have seen, is worth nothing. Each seed is for one account, one object, one claim.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest

import attrs

from decade.errors import ErrorCode, RefusedError
from decade.messages import Challenge
from decade.names import SHA_256, Name
from decade.ports import Reader

SEED = 32
"""Octets of a seed."""
LIFE = 60
"""Seconds for which a seed holds: the largest object is hashed in a tenth of that, and the proof is small."""
MAX_SEEDS = 16
"""Seeds of one account in LIFE seconds: each allows one claim, for which the server reads a whole object."""
MAX_ALL_SEEDS = 4096
"""Seeds of all accounts in LIFE seconds; some 1 MiB."""
STRIDE = 1 << 20
"""Octets that are read, and hashed, at a time."""


@attrs.define
class _Seed:
    account: str
    name: Name
    expires: int
    is_used: bool = False


class Challenges:
    """The seeds that are out. Whether anybody has the object is not asked before the claim: a seed tells nothing."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        """`random_bytes`: so many octets that nobody can guess."""
        self._random_bytes = random_bytes
        # In the order of their expiry, which is that in which they were given.
        self._seeds: OrderedDict[bytes, _Seed] = OrderedDict()
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        """Seeds that are out, or were used not long ago."""
        return len(self._seeds)

    def issue(self, account: str, name: Name, wall: int) -> Challenge:
        """A new seed. Raises RefusedError (RATE_LIMITED) when an account, or all together, have as many as they may:
        that bounds the claims, and so the octets that are hashed for them, to MAX_SEEDS objects in LIFE seconds.
        """
        self._forget(wall)
        if self._counts[account] >= MAX_SEEDS or len(self._seeds) >= MAX_ALL_SEEDS:
            first = next(seed for seed in self._seeds.values() if seed.account == account or not self._counts[account])
            reason = f"{MAX_SEEDS} seeds of an account, {MAX_ALL_SEEDS} of all, are out"
            raise RefusedError(ErrorCode.RATE_LIMITED, reason, retry_after=float(max(1, first.expires - wall)))
        seed = self._random_bytes(SEED)
        self._seeds[seed] = _Seed(account, name, wall + LIFE)
        self._counts[account] += 1
        return Challenge(name=name, seed=seed, algorithm=SHA_256, expires=wall + LIFE)

    def check(self, account: str, name: Name, seed: bytes, wall: int) -> None:
        """Whether a seed is good for a claim. Raises RefusedError (CONFLICT)."""
        found = self._seeds.get(seed)
        if found is None or found.is_used or (found.account, found.name) != (account, name) or found.expires <= wall:
            raise RefusedError(ErrorCode.CONFLICT, "this seed was not given for this object, is used, or is too old")

    def take(self, account: str, name: Name, seed: bytes, wall: int) -> None:
        """As `check`; from now on the seed is used, and still counts until it would have expired."""
        self.check(account, name, seed, wall)
        self._seeds[seed].is_used = True

    def _forget(self, wall: int) -> None:
        while self._seeds:
            seed, first = next(iter(self._seeds.items()))
            if first.expires > wall:
                break
            del self._seeds[seed]
            self._counts[first.account] -= 1
        self._counts += Counter()


def prove(seed: bytes, octets: bytes) -> bytes:
    """What shows that a client has the octets."""
    return sha256(seed + octets).digest()


def is_proven(reader: Reader, size: int, seed: bytes, proof: bytes) -> bool:
    """Whether the proof is that of the object that is read, `size` octets. Raises StoreError. It takes its time."""
    digest = sha256(seed)
    for offset in range(0, size, STRIDE):
        digest.update(reader.read(offset, min(STRIDE, size - offset)))
    return compare_digest(digest.digest(), proof)
