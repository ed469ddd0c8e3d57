"""The octets of StoredData, kept as they came: where its parts are (RFC 6940 sections 7 and 7.2).

`octets` are those of a StoredData that was decoded once, without its length in front: storage_time in 0 to 8, lifetime
in 8 to 12, then the value, then the signature.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from reload.security_block import GenericCertificate
from reload.storage_messages import ArrayEntry, DataModel, DataValue, DictionaryEntry, StoredDataValue

Key: TypeAlias = int | bytes
"""Where a value of a Kind is: an index, a dictionary key, and 0 for a single value."""

_LIFETIME = slice(8, 12)
_INDEX = slice(12, 16)
_SAME_TIME = 1e-6
"""What floats lose when a lifetime is added to a time and taken off it again."""


@attrs.define(eq=False)
class Signatory:
    """Who has signed values that are held: the own certificate first, then what may be between it and a root-cert.

    `octets` is what those values take, and `values` how many they are.
    """

    certificates: tuple[GenericCertificate, ...]
    values: int = 0
    octets: int = 0


@attrs.define(eq=False)
class Value:
    """A value: the octets of its StoredData, until when it is valid, and whose it is."""

    octets: bytes
    expires: float
    signatory: Signatory


@attrs.define(eq=False)
class Shelf:
    """The values of one Kind at one resource. `existing` counts those that exist; `due` is when the first expires."""

    model: DataModel
    generation: int = 0
    values: dict[Key, Value] = attrs.Factory(dict)
    existing: int = 0
    due: float = 0.0


def key_of(value: StoredDataValue) -> Key:
    """Where it is to be stored."""
    match value:
        case ArrayEntry():
            return value.index
        case DictionaryEntry():
            return value.key
    return 0


def plain(value: StoredDataValue) -> DataValue:
    """The DataValue, without index or key."""
    return value if isinstance(value, DataValue) else value.value


def storage_time(octets: bytes) -> int:
    """In ms since 1970."""
    return int.from_bytes(octets[:8], "big")


def data_value_at(model: DataModel, octets: bytes) -> int:
    """Where the DataValue stands: a Boolean, a length of four octets, and the value."""
    match model:
        case DataModel.SINGLE:
            return 12
        case DataModel.ARRAY:
            return 16
        case DataModel.DICTIONARY:
            return 14 + int.from_bytes(octets[12:14], "big")


def exists(model: DataModel, octets: bytes) -> bool:
    """Whether the value exists."""
    return octets[data_value_at(model, octets)] == 1


def counted_value(model: DataModel, octets: bytes) -> bytes:
    """The value with its four octets of length in front, as it is hashed for Stat (section 7.4.3.2)."""
    start = data_value_at(model, octets) + 1
    return octets[start : start + 4 + int.from_bytes(octets[start : start + 4], "big")]


def signed_value(model: DataModel, octets: bytes) -> bytes:
    """The StoredDataValue as it is signed: the index of an array entry is 0 (section 7.4.2.2)."""
    start = data_value_at(model, octets) + 1
    stop = start + 4 + int.from_bytes(octets[start : start + 4], "big")
    return bytes(4) + octets[16:stop] if model is DataModel.ARRAY else octets[12:stop]


def with_index(octets: bytes, index: int) -> bytes:
    """The same array entry at another index."""
    return octets[: _INDEX.start] + index.to_bytes(4, "big") + octets[_INDEX.stop :]


def is_same(one: bytes, other: bytes, *, behind: int = _LIFETIME.stop) -> bool:
    """Whether two StoredData say the same but for their lifetimes, which nobody signs, up to and with the signature.

    From `behind` on: 16 leaves the index of array entries out as well.
    """
    return one[: _LIFETIME.start] == other[: _LIFETIME.start] and one[behind:] == other[behind:]


def lifetime_left(value: Value, now: float) -> int:
    """In whole seconds, rounded down: what is handed from peer to peer must not live longer for it."""
    return max(int(value.expires - now + _SAME_TIME), 0)


def octets_at(value: Value, now: float) -> bytes:
    """StoredData with the lifetime that is left: as it came, if it came just now (section 7.4.1.1)."""
    left = lifetime_left(value, now).to_bytes(4, "big")
    octets = value.octets
    return octets if octets[_LIFETIME] == left else octets[: _LIFETIME.start] + left + octets[_LIFETIME.stop :]
