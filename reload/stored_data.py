"""Reading what depends on the data model of a Kind: values, metadata, specifiers (RFC 6940 sections 7.2 and 7.4.2).

The data model is not on the wire. A Kind that is not known is no error here: other Kinds of the same message can be
read, and an answer has to name every unknown one (section 7.4.1.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reload._presentation import decode, value
from reload.errors import DecodeError
from reload.kinds import Kind
from reload.storage_messages import (
    SPECIFIERS,
    STORED_DATA,
    STORED_META_DATA,
    ArrayRange,
    ArraySpecifier,
    DataModel,
    FetchKindResponse,
    Specifier,
    StatKindResponse,
    StoredData,
    StoredDataSpecifier,
    StoredMetaData,
    StoreKindData,
)


@value
class UnknownKind:
    """Nothing can be said of it: its data model is not known."""

    kind: int


def decode_values(
    data: StoreKindData | FetchKindResponse, kinds: Mapping[int, Kind], *, node_id_length: int = 16
) -> tuple[StoredData, ...] | UnknownKind:
    """The values of one Kind in a Store, or in the answer to a Fetch. Raises DecodeError."""
    return _decoded(STORED_DATA, data.kind, data.values, kinds, node_id_length)


def decode_metadata(
    data: StatKindResponse, kinds: Mapping[int, Kind], *, node_id_length: int = 16
) -> tuple[StoredMetaData, ...] | UnknownKind:
    """The metadata of one Kind in the answer to a Stat. Raises DecodeError."""
    return _decoded(STORED_META_DATA, data.kind, data.values, kinds, node_id_length)


def decode_specifier(
    data: StoredDataSpecifier, kinds: Mapping[int, Kind], *, node_id_length: int = 16
) -> Specifier | UnknownKind:
    """What is wanted of one Kind. Raises DecodeError, also for ranges that go backwards or overlap."""
    found = _decoded(SPECIFIERS, data.kind, (data.model_specifier,), kinds, node_id_length)
    if isinstance(found, UnknownKind):
        return found
    (specifier,) = found
    if isinstance(specifier, ArraySpecifier):
        _check_ranges(specifier.indices)
    return specifier  # type: ignore[no-any-return]


def _decoded(
    structures: Mapping[DataModel, type[Any]],
    kind_id: int,
    octets: Iterable[bytes],
    kinds: Mapping[int, Kind],
    node_id_length: int,
) -> tuple[Any, ...] | UnknownKind:
    kind = kinds.get(kind_id)
    if kind is None:
        return UnknownKind(kind_id)
    of = structures[kind.data_model]
    return tuple([decode(of, each, node_id_length=node_id_length) for each in octets])


def _check_ranges(ranges: Iterable[ArrayRange]) -> None:
    """Section 7.4.2.1: the first MUST be less than or equal to the second, and they MUST NOT overlap."""
    free = 0
    for each in sorted(ranges, key=lambda each: each.first):
        if each.first > each.last:
            raise DecodeError(f"ArrayRange: {each.first} is behind {each.last}")
        if each.first < free:
            raise DecodeError(f"ArrayRange: index {each.first} is asked for twice")
        free = each.last + 1
