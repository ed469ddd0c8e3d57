"""Judges a Store, and changes nothing: the checks of RFC 6940 section 7.4.1.1, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from reload import _stored
from reload._holdings import Holdings, cost, next_generation
from reload._presentation import encode
from reload._stored import Key, Shelf, key_of, plain
from reload.contents import ErrorCode, ErrorResponse, UnknownKinds
from reload.errors import DecodeError, SecurityError
from reload.kinds import Kind, KindTable
from reload.policies import Policy, ValueCheck, is_authorized
from reload.ports import Identity, Verifier
from reload.quotas import Quotas
from reload.security_block import GenericCertificate, HashAlgorithm, SignatureAlgorithm, SignerIdentityType
from reload.signing import data_input
from reload.storage_messages import (
    APPEND,
    ArrayEntry,
    DataModel,
    FetchKindResponse,
    StoreAns,
    StoredData,
    StoredDataValue,
    StoreKindData,
    StoreKindResponse,
    StoreReq,
)
from reload.stored_data import UnknownKind, decode_values

_MAX_UNKNOWN = 63
"""Kind-IDs that the error_info of Error_Unknown_Kind has room for."""
_BEHIND_INDEX = 16
_LONGEST_TEXT = 200


class RefusalError(Exception):
    """A Store that is refused."""

    def __init__(self, code: ErrorCode, why: str, info: bytes | None = None) -> None:
        super().__init__(why)
        text = why[:_LONGEST_TEXT].encode(errors="backslashreplace")
        self.error = ErrorResponse(code, text if info is None else info)


@attrs.frozen
class Rules:
    """What a Store is judged by, besides what is held."""

    kinds: KindTable
    policies: Mapping[str, Policy]
    checks: Mapping[int, ValueCheck]
    quotas: Quotas
    node_id_length: int


@attrs.frozen
class Proof:
    """What shows whose values are: certificates, and who judges signatures at the Unix time `wall`."""

    verifier: Verifier
    certificates: Sequence[GenericCertificate]
    wall: float


@attrs.frozen
class NewValue:
    """A value that may be held: octets as they are to be kept, their structure, and whose signature holds."""

    octets: bytes
    data: StoredData
    signer: Identity


@attrs.frozen
class KindChange:
    """What a Store changes of one Kind: the values by key, and the generation counter that it names."""

    kind: Kind
    generation: int
    values: Mapping[Key, NewValue]


def unknown_kinds(kinds: tuple[int, ...]) -> ErrorResponse:
    """Error_Unknown_Kind (section 7.4.1.2)."""
    return ErrorResponse(ErrorCode.UNKNOWN_KIND, encode(UnknownKinds(kinds[:_MAX_UNKNOWN])))


def read_kind(
    data: StoreKindData, rules: Rules, shelf: Shelf | None, *, is_replica: bool
) -> list[tuple[bytes, StoredData]]:
    """The values of one Kind that are new: a replica may hold some that are here already. Raises RefusalError."""
    try:
        found = decode_values(data, rules.kinds, node_id_length=rules.node_id_length)
    except DecodeError as exc:
        raise RefusalError(ErrorCode.INVALID_MESSAGE, str(exc)) from exc
    if isinstance(found, UnknownKind):
        raise RefusalError(ErrorCode.UNKNOWN_KIND, "", encode(UnknownKinds((found.kind,))))
    model = rules.kinds[data.kind].data_model
    if model is DataModel.SINGLE and len(found) > 1:
        raise RefusalError(ErrorCode.INVALID_MESSAGE, f"Kind {data.kind} has a single value, not {len(found)}")
    if is_replica and data.generation_counter == 0:
        raise RefusalError(ErrorCode.INVALID_MESSAGE, f"Kind {data.kind}: a replica with a generation counter of 0")
    for each in found:
        value = plain(each.value)
        if value.value and not value.exists:
            raise RefusalError(ErrorCode.INVALID_MESSAGE, f"Kind {data.kind}: a value that does not exist has octets")
    new = list(zip(data.values, found, strict=True))
    if shelf is not None and is_replica:
        new = [(octets, each) for octets, each in new if not _is_held(shelf, octets, each.value)]
    return new


def _is_held(shelf: Shelf, octets: bytes, value: StoredDataValue) -> bool:
    """Whether exactly this value is here: that a replica brings it once more is no attempt to go back (T5)."""
    key = key_of(value)
    if isinstance(value, ArrayEntry) and key == APPEND:
        return _is_appended(shelf, octets)
    held = shelf.values.get(key)
    return held is not None and _stored.is_same(held.octets, octets)


def _is_appended(shelf: Shelf, octets: bytes) -> bool:
    return any(_stored.is_same(held.octets, octets, behind=_BEHIND_INDEX) for held in shelf.values.values())


def verify(resource_id: bytes, kind: Kind, octets: bytes, data: StoredData, proof: Proof) -> Identity:
    """Whose value it is. Raises RefusalError, and for synthetic values too, that nobody has signed."""
    named, algorithm = data.signature.identity.identity_type, data.signature.algorithm
    is_anonymous = (algorithm.hash, algorithm.signature) == (HashAlgorithm.NONE, SignatureAlgorithm.ANONYMOUS)
    if named == SignerIdentityType.NONE or is_anonymous:
        raise RefusalError(ErrorCode.FORBIDDEN, "a synthetic value")
    signed = data_input(resource_id, kind.id, data.storage_time, _stored.signed_value(kind.data_model, octets))
    try:
        return proof.verifier.verify(data.signature, signed, proof.certificates, proof.wall)
    except SecurityError as exc:
        raise RefusalError(ErrorCode.FORBIDDEN, str(exc)) from exc


def authorize(resource_id: bytes, kind: Kind, new: NewValue, rules: Rules, request_signer: Identity | None) -> None:
    """Raises RefusalError unless policy and usage let the signer, and that of the request if any, write the value."""
    value = new.data.value
    if not is_authorized(kind, resource_id, value, new.signer, rules.policies):
        raise RefusalError(ErrorCode.FORBIDDEN, f"{kind.access_control}: not for the signer of the value")
    check = rules.checks.get(kind.id)
    if check is not None and not check(kind, resource_id, value, new.signer):
        raise RefusalError(ErrorCode.FORBIDDEN, f"Kind {kind.id}: not a value that its usage allows")
    if request_signer is None or request_signer == new.signer:
        return
    if not is_authorized(kind, resource_id, value, request_signer, rules.policies):
        raise RefusalError(ErrorCode.FORBIDDEN, f"{kind.access_control}: not for the signer of the request")


def check_generations(request: StoreReq, holdings: Holdings) -> None:
    """Raises RefusalError unless each counter is 0 or the current one; no other is right, be it ahead."""
    current = {data.kind: holdings.generation(request.resource, data.kind) for data in request.kind_data}
    if any(data.generation_counter not in (0, current[data.kind]) for data in request.kind_data):
        answer = StoreAns(tuple(StoreKindResponse(kind, counter, ()) for kind, counter in current.items()))
        raise RefusalError(ErrorCode.GENERATION_COUNTER_TOO_LOW, "", encode(answer))


def arrange(kind: Kind, shelf: Shelf | None, values: Sequence[NewValue]) -> Mapping[Key, NewValue]:
    """Where each value goes, one after the other. Raises RefusalError for one that is not newer than what it replaces.

    What is appended replaces nothing; but it must not be there already, else whoever repeats an old request adds to it.
    """
    held = {} if shelf is None else shelf.values
    placed: dict[Key, NewValue] = {}
    end = max((index for index in held if isinstance(index, int)), default=-1) + 1
    for each in values:
        key = key_of(each.data.value)
        if kind.data_model is DataModel.ARRAY and key == APPEND:
            if shelf is not None and _is_appended(shelf, each.octets):
                raise RefusalError(ErrorCode.DATA_TOO_OLD, "it is in the array already")
            key = end
            if key >= APPEND:
                raise RefusalError(ErrorCode.DATA_TOO_LARGE, "the array has an entry at the last index")
            each = attrs.evolve(each, octets=_stored.with_index(each.octets, key))
        before = placed[key].octets if key in placed else held[key].octets if key in held else None
        if before is not None and each.data.storage_time <= _stored.storage_time(before):
            raise RefusalError(ErrorCode.DATA_TOO_OLD, f"stored at {_stored.storage_time(before)} ms")
        placed[key] = each
        if isinstance(key, int):
            end = max(end, key + 1)
    return placed


def check_sizes(change: KindChange, shelf: Shelf | None) -> None:
    """Raises RefusalError for values over the Kind's limits. What was removed and has not expired counts as a value."""
    kind = change.kind
    for each in change.values.values():
        size = len(plain(each.data.value).value)
        if size > kind.max_size:
            raise RefusalError(ErrorCode.DATA_TOO_LARGE, f"{size} octets, Kind {kind.id} allows {kind.max_size}")
    held = {} if shelf is None else shelf.values
    count = len(held) + sum(key not in held for key in change.values)
    if count > kind.max_count and count > len(held):
        raise RefusalError(ErrorCode.DATA_TOO_LARGE, f"{count} values, Kind {kind.id} allows {kind.max_count}")


def check_quotas(
    resource_id: bytes, changes: Sequence[KindChange], holdings: Holdings, quotas: Quotas, *, is_replica: bool
) -> None:
    """Raises RefusalError when the node, or the signer of a value, would hold too much."""
    more = 0
    of_signer: dict[bytes, int] = {}
    for change in changes:
        shelf = holdings.shelf(resource_id, change.kind.id)
        for key, each in change.values.items():
            certificate = each.signer.certificate
            if certificate not in of_signer:
                of_signer[certificate] = 0
                if holdings.certificates.find(certificate) is None:
                    more += len(certificate) + sum(map(len, each.signer.issuers))
            size = cost(each.octets)
            of_signer[certificate] += size
            more += size
            old = None if shelf is None else shelf.values.get(key)
            if old is not None:
                more -= cost(old.octets)
                owner = old.signatory.certificates[0].certificate
                if owner == certificate:
                    of_signer[owner] -= cost(old.octets)
    is_new = resource_id not in holdings and any(change.values for change in changes)
    if is_new and len(holdings) >= quotas.max_resources:
        raise RefusalError(ErrorCode.DATA_TOO_LARGE, "this node holds as many resources as it can")
    free = quotas.max_octets - holdings.octets - more
    if more > 0 and free < 0:
        raise RefusalError(ErrorCode.DATA_TOO_LARGE, "this node is full")
    for certificate, added in of_signer.items():
        signatory = holdings.certificates.find(certificate)
        total = added + (0 if signatory is None else signatory.octets)
        if added > 0 and total > quotas.share(free, is_replica=is_replica):
            raise RefusalError(ErrorCode.DATA_TOO_LARGE, "this signer has its share of this node")


def judge(request: StoreReq, signer: Identity, proof: Proof, rules: Rules, holdings: Holdings) -> list[KindChange]:
    """What a Store changes, Kind by Kind; `signer` is the request's. Raises RefusalError."""
    resource_id, is_replica = request.resource, request.replica_number > 0
    if len({data.kind for data in request.kind_data}) != len(request.kind_data):
        raise RefusalError(ErrorCode.INVALID_MESSAGE, "a Kind stands there twice")
    unknown = rules.kinds.missing(data.kind for data in request.kind_data)
    if unknown:
        raise RefusalError(ErrorCode.UNKNOWN_KIND, "", unknown_kinds(unknown).error_info)
    kinds = [rules.kinds[data.kind] for data in request.kind_data]
    shelves = [holdings.shelf(resource_id, kind.id) for kind in kinds]
    read = [
        read_kind(data, rules, shelf, is_replica=is_replica)
        for data, shelf in zip(request.kind_data, shelves, strict=True)
    ]
    proved = [
        [NewValue(octets, data, verify(resource_id, kind, octets, data, proof)) for octets, data in values]
        for kind, values in zip(kinds, read, strict=True)
    ]
    for kind, values in zip(kinds, proved, strict=True):
        for new in values:
            authorize(resource_id, kind, new, rules, None if is_replica else signer)
    if not is_replica:
        check_generations(request, holdings)
    changes = [
        KindChange(kind, data.generation_counter if is_replica else 0, arrange(kind, shelf, values))
        for data, kind, shelf, values in zip(request.kind_data, kinds, shelves, proved, strict=True)
    ]
    for change, shelf in zip(changes, shelves, strict=True):
        check_sizes(change, shelf)
    check_quotas(resource_id, changes, holdings, rules.quotas, is_replica=is_replica)
    return changes


def newer(
    resource_id: bytes, response: FetchKindResponse, proof: Proof, rules: Rules, holdings: Holdings
) -> KindChange | None:
    """What a peer has newer of one Kind, and the counter that holds then. What would be refused is left out."""
    kind = rules.kinds.get(response.kind)
    if kind is None or response.generation == 0:
        return None
    shelf = holdings.shelf(resource_id, kind.id)
    found: Mapping[Key, NewValue] = {}
    same = 0
    for octets in response.values:
        data = StoreKindData(kind.id, response.generation, (octets,))
        try:
            read = read_kind(data, rules, shelf, is_replica=True)
            if not read:
                same += 1
                continue
            ((_, value),) = read
            new = NewValue(octets, value, verify(resource_id, kind, octets, value, proof))
            authorize(resource_id, kind, new, rules, None)
            change = KindChange(kind, response.generation, arrange(kind, shelf, [*found.values(), new]))
            check_sizes(change, shelf)
            check_quotas(resource_id, [change], holdings, rules.quotas, is_replica=True)
            found = change.values
        except RefusalError:
            continue
    kept = 0 if shelf is None else len(shelf.values.keys() - found.keys())
    generation = _merged(holdings.generation(resource_id, kind.id), response.generation, not found, kept <= same)
    return KindChange(kind, generation, found)


def _merged(ours: int, theirs: int, is_ours: bool, is_theirs: bool) -> int:
    """The counter of what was merged, which may be just what was here, or what that peer has.

    Who has fetched from either before must not take it for what was there under the same counter.
    """
    highest = max(ours, theirs)
    is_known = (is_ours or ours < theirs) and (is_theirs or theirs < ours)
    return highest if is_known else next_generation(highest)
