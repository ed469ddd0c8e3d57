"""Collections: sets of objects that an account names at one server, never parts of names (RFC 7069 section 5.4)."""

from __future__ import annotations

from collections.abc import Iterable

from decade.errors import ErrorCode, RefusedError

MAX_COLLECTIONS = 16
"""Collections of one object: each has up to 64 octets in its row."""


def joined(*groups: Iterable[bytes]) -> tuple[bytes, ...]:
    """Each collection once, in order."""
    return tuple(sorted(set().union(*groups)))


def check_collections(collections: tuple[bytes, ...], *, is_on: bool) -> None:
    """Whether an object may be in them. Raises RefusedError (ATTRIBUTE_NOT_PERMITTED) for too many, and for any if the
    extension is not on.
    """
    if not is_on:
        raise RefusedError(ErrorCode.ATTRIBUTE_NOT_PERMITTED, "collections are not supported")
    if len(collections) > MAX_COLLECTIONS:
        raise too_many_collections()


def too_many_collections() -> RefusedError:
    """An object would be in more than it may be in."""
    reason = f"an object is in up to {MAX_COLLECTIONS} collections"
    return RefusedError(ErrorCode.ATTRIBUTE_NOT_PERMITTED, reason, limit=MAX_COLLECTIONS)


def write_collections(collections: tuple[bytes, ...]) -> str:
    """Collections as a store keeps them: hexadecimal, with spaces between."""
    return " ".join(one.hex() for one in collections)


def read_collections(text: str) -> tuple[bytes, ...]:
    """What `write_collections` has written. Raises ValueError."""
    return tuple(bytes.fromhex(one) for one in text.split())
