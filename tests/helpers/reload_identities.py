"""Keys, certificates and signers for tests: the same ones in every run of a process, valid around NOW."""

import random
from collections.abc import Sequence
from functools import cache

from reload.certificates import Authority, KeyType, generate_key, make_self_signed
from reload.signing import KeySigner, PrivateKey

OVERLAY = "overlay.example.org"
NOW = 1_700_000_000.0
NOT_BEFORE, NOT_AFTER = NOW - 3600, NOW + 86_400
ALICE = "alice@example.org"

random_bytes = random.Random(6940).randbytes


def key(name: str, key_type: KeyType = "p256") -> PrivateKey:
    return _key(name, key_type)


@cache
def _key(name: str, key_type: KeyType) -> PrivateKey:
    return generate_key(key_type)


@cache
def authority(name: str = "root", key_type: KeyType = "p256") -> Authority:
    return Authority.root(
        key(f"authority {name}", key_type), not_before=NOT_BEFORE, not_after=NOT_AFTER, random_bytes=random_bytes
    )


def node_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def issue(
    node_ids: Sequence[bytes],
    user_name: str | None = ALICE,
    *,
    by: Authority | None = None,
    name: str = "node",
    key_type: KeyType = "p256",
    overlay: str = OVERLAY,
    not_before: float = NOT_BEFORE,
    not_after: float = NOT_AFTER,
) -> bytes:
    return (by or authority()).issue(
        key(name, key_type).public_key(),
        overlay,
        node_ids,
        user_name,
        not_before=not_before,
        not_after=not_after,
        random_bytes=random_bytes,
    )


def enrolled(
    number: int, user_name: str | None = ALICE, *, name: str = "node", key_type: KeyType = "p256"
) -> KeySigner:
    """A signer with one Node-ID, whose certificate the root has issued."""
    certificate = issue([node_id(number)], user_name, name=name, key_type=key_type)
    return KeySigner(key(name, key_type), [certificate], OVERLAY)


def self_signed(
    name: str = "node",
    user_name: str | None = ALICE,
    *,
    digest: str = "sha256",
    count: int = 1,
    key_type: KeyType = "p256",
) -> bytes:
    return make_self_signed(
        key(name, key_type),
        OVERLAY,
        user_name,
        not_before=NOT_BEFORE,
        not_after=NOT_AFTER,
        random_bytes=random_bytes,
        digest=digest,
        count=count,
    )
