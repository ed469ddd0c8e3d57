"""Answers Fetch, Stat and Find from what is held (RFC 6940 sections 7.4.2 to 7.4.4)."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Container, Iterator, Sequence
from typing import TypeAlias

from reload import _stored
from reload._holdings import Holdings
from reload._presentation import encode
from reload._stored import Key, Shelf, Value
from reload._storing import unknown_kinds
from reload.contents import ErrorCode, ErrorResponse
from reload.errors import DecodeError
from reload.exchange import Answer, Reply
from reload.kinds import KindTable
from reload.security_block import (
    GenericCertificate,
    HashAlgorithm,
    Signature,
    SignatureAlgorithm,
    SignatureAndHashAlgorithm,
    SignerIdentity,
    SignerIdentityType,
)
from reload.storage_messages import (
    STORED_DATA,
    STORED_META_DATA,
    ArrayEntry,
    ArrayEntryMeta,
    ArraySpecifier,
    DataModel,
    DataValue,
    DictionaryEntry,
    DictionaryEntryMeta,
    DictionarySpecifier,
    FetchAns,
    FetchKindResponse,
    FetchReq,
    FindAns,
    FindKindData,
    FindReq,
    MetaData,
    Specifier,
    StatAns,
    StoredDataSpecifier,
)
from reload.stored_data import UnknownKind, decode_specifier

MAX_GAPS = 256
"""Gaps of an array that one answer represents: a single entry at a high index makes billions. No more fit a message."""

_NOBODY = Signature(
    SignatureAndHashAlgorithm(HashAlgorithm.NONE, SignatureAlgorithm.ANONYMOUS),
    SignerIdentity(SignerIdentityType.NONE, None),
    b"",
)
_NOTHING = DataValue(exists=False, value=b"")
_NO_RESOURCE = bytes(16)

Write: TypeAlias = Callable[[DataModel, Key, Value | None, float], bytes]
"""How a value is answered; None stands for one of which this node has no knowledge."""


def fetch(request: FetchReq, holdings: Holdings, kinds: KindTable, now: float, node_id_length: int) -> Reply:
    """The answer to a Fetch, with the certificates of who has signed the values."""
    certificates: dict[GenericCertificate, None] = {}

    def write(model: DataModel, key: Key, value: Value | None, now: float) -> bytes:
        if value is None:
            return synthetic(model, key)
        for certificate in value.signatory.certificates:
            certificates[certificate] = None
        return _stored.octets_at(value, now)

    found = _kind_responses(request, holdings, kinds, now, node_id_length, write)
    return found if isinstance(found, ErrorResponse) else Answer(FetchAns(found), certificates=tuple(certificates))


def stat(request: FetchReq, holdings: Holdings, kinds: KindTable, now: float, node_id_length: int) -> Reply:
    """The answer to a Stat."""
    found = _kind_responses(request, holdings, kinds, now, node_id_length, _metadata)
    return found if isinstance(found, ErrorResponse) else Answer(StatAns(found))


def find(request: FindReq, holdings: Holdings, kinds: KindTable, hidden: Container[int]) -> Reply:
    """The answer to a Find that is for this node; nothing is said of the Kinds that are `hidden`.

    The closest Resource-ID is the next one upwards and around, that one itself included: so is a walk by
    "nearest(1 + R_n)" sure to meet them all.
    """
    if len(set(request.kinds)) != len(request.kinds):
        return ErrorResponse(ErrorCode.INVALID_MESSAGE, b"a Kind stands there twice")
    return Answer(
        FindAns(
            tuple(
                FindKindData(kind, (kind in kinds and holdings.closest(request.resource, kind)) or _NO_RESOURCE)
                for kind in request.kinds
                if kind not in hidden
            )
        )
    )


def synthetic(model: DataModel, key: Key) -> bytes:
    """StoredData that says there is no value, as nobody has signed it (section 7.4.2.2)."""
    return encode(STORED_DATA[model](0, 0, _entry(model, key), _NOBODY))


def _entry(model: DataModel, key: Key) -> DataValue | ArrayEntry | DictionaryEntry:
    match key:
        case bytes():
            return DictionaryEntry(key, _NOTHING)
        case int() if model is DataModel.ARRAY:
            return ArrayEntry(key, _NOTHING)
    return _NOTHING


def _kind_responses(
    request: FetchReq, holdings: Holdings, kinds: KindTable, now: float, node_id_length: int, write: Write
) -> tuple[FetchKindResponse, ...] | ErrorResponse:
    """One response for each Kind that was asked for, none of them twice."""
    unknown = kinds.missing(specifier.kind for specifier in request.specifiers)
    if unknown:
        return unknown_kinds(unknown)
    if len({specifier.kind for specifier in request.specifiers}) != len(request.specifiers):
        return ErrorResponse(ErrorCode.INVALID_MESSAGE, b"a Kind stands there twice")
    responses = []
    for asked in request.specifiers:
        try:
            specifier = decode_specifier(asked, kinds, node_id_length=node_id_length)
        except DecodeError as exc:
            return ErrorResponse(ErrorCode.INVALID_MESSAGE, str(exc).encode())
        assert not isinstance(specifier, UnknownKind)
        shelf = holdings.shelf(request.resource, asked.kind)
        responses.append(_kind_response(asked, specifier, shelf, kinds[asked.kind].data_model, now, write))
    return tuple(responses)


def _kind_response(
    asked: StoredDataSpecifier, specifier: Specifier, shelf: Shelf | None, model: DataModel, now: float, write: Write
) -> FetchKindResponse:
    generation = 0 if shelf is None else shelf.generation
    if generation and asked.generation == generation:
        return FetchKindResponse(asked.kind, generation, ())
    held = {} if shelf is None else shelf.values
    values = tuple([write(model, key, held.get(key), now) for key in _keys(specifier, held)])
    return FetchKindResponse(asked.kind, generation, values)


def _keys(specifier: Specifier, held: dict[Key, Value]) -> Iterator[Key] | Sequence[Key]:
    """What is wanted, each once, held or not."""
    match specifier:
        case ArraySpecifier():
            return _indices(specifier, sorted(index for index in held if isinstance(index, int)))
        case DictionarySpecifier(keys=()):
            return list(held)
        case DictionarySpecifier(keys=keys):
            return list(dict.fromkeys(keys))
    return [0]


def _indices(specifier: ArraySpecifier, held: Sequence[int]) -> Iterator[int]:
    """The indices of the ranges, up to that of the last entry; of the gaps no more than `MAX_GAPS`."""
    gaps = MAX_GAPS
    for wanted in specifier.indices:
        at = wanted.first
        for index in held[bisect_left(held, wanted.first) : bisect_right(held, wanted.last)]:
            yield from range(at, min(index, at + gaps))
            gaps -= min(index - at, gaps)
            yield index
            at = index + 1
        if held and at < held[-1]:
            stop = min(wanted.last + 1, held[-1], at + gaps)
            yield from range(at, stop)
            gaps -= max(stop - at, 0)


def _metadata(model: DataModel, key: Key, value: Value | None, now: float) -> bytes:
    """StoredMetaData. The digest of a value that is not there is that of no octets."""
    if value is None:
        made = MetaData(False, 0, HashAlgorithm.SHA256, hashlib.sha256(bytes(4)).digest())
        stored_at, lifetime = 0, 0
    else:
        counted = _stored.counted_value(model, value.octets)
        exists = _stored.exists(model, value.octets)
        made = MetaData(exists, len(counted) - 4, HashAlgorithm.SHA256, hashlib.sha256(counted).digest())
        stored_at, lifetime = _stored.storage_time(value.octets), _stored.lifetime_left(value, now)
    entry: MetaData | ArrayEntryMeta | DictionaryEntryMeta = made
    match key:
        case bytes():
            entry = DictionaryEntryMeta(key, made)
        case int() if model is DataModel.ARRAY:
            entry = ArrayEntryMeta(key, made)
    return encode(STORED_META_DATA[model](stored_at, lifetime, entry))
