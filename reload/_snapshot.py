"""What a peer holds as octets, for a process that ends and another that goes on."""

from __future__ import annotations

from reload import _stored
from reload._holdings import Holdings, cost
from reload._presentation import decode, encode, structure
from reload._specs import nested, opaque, u8, u32, u64, vector
from reload._stored import Value
from reload.errors import DecodeError
from reload.kinds import KindTable
from reload.quotas import Quotas
from reload.security_block import GenericCertificate
from reload.storage_messages import STORED_DATA, DataModel

_TOKEN = 0x52564C53
_VERSION = 1
_MODELS = (DataModel.SINGLE, DataModel.ARRAY, DataModel.DICTIONARY)


@structure
class _Signatory:
    """Whose values there are, by number: the own certificate first."""

    certificates: tuple[GenericCertificate, ...] = vector(GenericCertificate, 4)


@structure
class _Value:
    """StoredData without its length; `expires` in ms since 1970."""

    expires: int = u64()
    signatory: int = u32()
    stored: bytes = opaque(4)


@structure
class _Shelf:
    """The values of a Kind; the number of its data model."""

    kind: int = u32()
    model: int = u8()
    generation: int = u64()
    values: tuple[_Value, ...] = vector(_Value, 4)


@structure
class _Resource:
    """What is at a Resource-ID."""

    resource: bytes = opaque(1)
    shelves: tuple[_Shelf, ...] = vector(_Shelf, 4)


@structure
class _Head:
    """What the octets are."""

    token: int = u32()
    version: int = u8()


@structure
class _Snapshot:
    """All of it."""

    head: _Head = nested(_Head)
    forgotten: int = u64()
    signatories: tuple[_Signatory, ...] = vector(_Signatory, 4)
    resources: tuple[_Resource, ...] = vector(_Resource, 4)


def write(holdings: Holdings, epoch: float) -> bytes:
    """The octets of all that is held; `epoch` is the Unix time at `now` 0."""
    signatories = list(holdings.certificates)
    numbers = {signatory.certificates[0].certificate: number for number, signatory in enumerate(signatories)}

    def value(held: Value) -> _Value:
        signatory = numbers[held.signatory.certificates[0].certificate]
        return _Value(round((epoch + held.expires) * 1000), signatory, held.octets)

    resources = tuple(
        _Resource(
            resource_id,
            tuple(
                _Shelf(kind, _MODELS.index(shelf.model), shelf.generation, tuple(map(value, shelf.values.values())))
                for kind, shelf in holdings.shelves(resource_id).items()
            ),
        )
        for resource_id in holdings
    )
    signers = tuple(_Signatory(signatory.certificates) for signatory in signatories)
    return encode(_Snapshot(_Head(_TOKEN, _VERSION), holdings.forgotten, signers, resources))


def read(octets: bytes, kinds: KindTable, quotas: Quotas, epoch: float, now: float) -> Holdings:
    """What `write` wrote, as far as it is valid, its Kinds are known, and there is room. Raises DecodeError."""
    snapshot = decode(_Snapshot, octets)
    if (snapshot.head.token, snapshot.head.version) != (_TOKEN, _VERSION):
        raise DecodeError("snapshot: none of this version")
    if not all(signatory.certificates for signatory in snapshot.signatories):
        raise DecodeError("snapshot: a signer without a certificate")
    holdings = Holdings()
    holdings.forgotten = snapshot.forgotten
    for resource in snapshot.resources:
        if len(holdings) >= quotas.max_resources:
            break
        for shelf in resource.shelves:
            if shelf.model >= len(_MODELS) or shelf.generation == 0:
                raise DecodeError("snapshot: neither a data model nor a generation")
            kind = kinds.get(shelf.kind)
            if kind is None or kind.data_model is not _MODELS[shelf.model]:
                continue
            for each in shelf.values:
                key = _stored.key_of(decode(STORED_DATA[kind.data_model], each.stored).value)
                if each.signatory >= len(snapshot.signatories):
                    raise DecodeError("snapshot: a value of nobody")
                expires = each.expires / 1000 - epoch
                size = cost(each.stored)
                if now < expires and holdings.octets + size <= quotas.max_octets:
                    own, *issuers = snapshot.signatories[each.signatory].certificates
                    signatory = holdings.certificates.keep(own, issuers, size)
                    value = Value(each.stored, expires, signatory)
                    holdings.put(resource.resource, kind, shelf.generation, {key: value})
            if holdings.shelf(resource.resource, kind.id) is None:
                holdings.forget(shelf.generation)
    return holdings
