"""What a token permits: operations on objects, and resources to use (RFC 7069 section 5.5, appendix A.3)."""

from __future__ import annotations

from enum import IntFlag
from typing import Any, TypeAlias

import attrs

from decade._maps import UINT, Extensible, Kind, array, at, exactly_one, nested, octets, uint, wire_map
from decade.errors import DecodeError
from decade.names import Name
from decade.values import (
    APP_PATH,
    BANDWIDTH,
    COLLECTION,
    COSE_KEY,
    HASH_NAME,
    IP_PREFIX,
    KID,
    MAX_COLLECTION,
    MAX_WEIGHT,
    OBJECT_NAME,
    PRIORITY,
    Bandwidth,
    CoseKey,
    IpPrefix,
    ObjectName,
    Priority,
)

MAX_SCOPE = 256
"""Entries of a scope."""
_MAX_PREFIXES = 16
_MAX_STAMPS = 8
_MAX_LEVELS = 3
_COLLECTION_KIND, _PUBLISHER_KIND = 1, 2


class Operation(IntFlag):
    """What may be done, with the bits of AIF-REST where it has the same (RFC 9237)."""

    GET = 1 << 0
    PUT = 1 << 2
    DELETE = 1 << 3
    ATTR_GET = 1 << 8
    ATTR_SET = 1 << 9
    LIST = 1 << 10
    STATUS = 1 << 11
    ACCESS_LOG = 1 << 12
    PULL = 1 << 13
    PUSH = 1 << 14
    MINT = 1 << 15
    REVOKE = 1 << 16
    POLICY = 1 << 17
    DELEGATE = 1 << 18


ALL_OPERATIONS = Operation(sum(Operation))


@attrs.frozen
class Everything:
    """Every object of the account that is charged, and the account itself."""


@attrs.frozen
class Object:
    """Exactly this object."""

    name: ObjectName


@attrs.frozen
class Collection:
    """Every object of the account that is charged in this collection."""

    name: bytes


@attrs.frozen
class Publisher:
    """Every signed name of a publisher whose label starts with these octets."""

    name: Name
    prefix: bytes = b""


Target: TypeAlias = Everything | Object | Collection | Publisher
Scope: TypeAlias = tuple[tuple[Target, Operation], ...]
"""Targets, and what may be done with each."""

_PREFIX = octets(0, MAX_COLLECTION)


def _read_target(value: Any) -> Target:
    if value is None:
        return Everything()
    if type(value) is tuple and value and type(value[0]) is int:
        match value:
            case (int(kind), name) if kind == _COLLECTION_KIND:
                return Collection(COLLECTION.read(name))
            case (int(kind), name, prefix) if kind == _PUBLISHER_KIND:
                return Publisher(HASH_NAME.read(name), _PREFIX.read(prefix))
        raise DecodeError(f"{value!r:.60} is no target of a scope")
    return Object(OBJECT_NAME.read(value))


def _write_target(target: Target) -> Any:
    match target:
        case Everything():
            return None
        case Object(name):
            return OBJECT_NAME.write(name)
        case Collection(name):
            return _COLLECTION_KIND, COLLECTION.write(name)
        case Publisher(name, prefix):
            return _PUBLISHER_KIND, HASH_NAME.write(name), _PREFIX.write(prefix)
    raise DecodeError(f"{target!r:.60} is no target of a scope")


def _read_operations(value: Any) -> Operation:
    if type(value) is not int or value < 0 or value & ~int(ALL_OPERATIONS):
        raise DecodeError(f"{value!r:.60} has bits that are no operations")
    return Operation(value)


def _read_entry(value: Any) -> tuple[Target, Operation]:
    if type(value) is not tuple or len(value) != 2:
        raise DecodeError("an entry of a scope is a target and operations")
    return _read_target(value[0]), _read_operations(value[1])


def _write_entry(entry: tuple[Target, Operation]) -> Any:
    target, operations = entry
    return _write_target(target), int(_read_operations(int(operations)))


SCOPE: Kind[Scope] = array(Kind(_read_entry, _write_entry), 1, MAX_SCOPE)
"""aif-decade, in the shape of RFC 9237."""


@wire_map()
class TokenPolicy(Extensible):
    """The resources that a token may use, within those of its account.

    `amount`, `storage`: octets. `uses`: as often as that, any number without it. `connections`: transfers at a time.
    `lifetime`: seconds that an object may have. The members from `ip_prefixes` on are extensions.
    """

    priority: Priority | None = at(1, PRIORITY, default=None)
    bandwidth: Bandwidth | None = at(2, BANDWIDTH, default=None)
    amount: int | None = at(3, UINT, default=None)
    uses: int | None = at(4, uint(1, 0xFFFFFFFF), default=None)
    connections: int | None = at(5, uint(1, MAX_WEIGHT), default=None)
    storage: int | None = at(6, UINT, default=None)
    lifetime: int | None = at(7, UINT, default=None)
    ip_prefixes: tuple[IpPrefix, ...] | None = at(8, array(IP_PREFIX, 1, _MAX_PREFIXES), default=None)
    collections: tuple[bytes, ...] | None = at(9, array(COLLECTION, 1, _MAX_STAMPS), default=None)
    levels: int | None = at(10, uint(0, _MAX_LEVELS), default=None)
    app_path: tuple[str, ...] | None = at(11, APP_PATH, default=None)


TOKEN_POLICY = nested(TokenPolicy)


@wire_map()
class Confirmation:
    """The key whose possession is to be proved (RFC 8747): a COSE_Key, its identifier, or its thumbprint (RFC 9679)."""

    key: CoseKey | None = at(1, COSE_KEY, default=None)
    kid: bytes | None = at(3, KID, default=None)
    thumbprint: bytes | None = at(5, octets(32, 32), default=None)

    def __attrs_post_init__(self) -> None:
        """Raises DecodeError unless there is exactly one of them."""
        exactly_one(self.key, self.kid, self.thumbprint)


CONFIRMATION = nested(Confirmation)
