"""Values, metadata and specifiers by data model (RFC 6940 sections 7.2 and 7.4.2)."""

import pytest

from reload._presentation import encode
from reload.errors import DecodeError
from reload.kinds import AccessControl, Kind, KindTable
from reload.security_block import CertificateHash, Signature, SignatureAndHashAlgorithm, SignerIdentity
from reload.storage_messages import (
    APPEND,
    ArrayEntry,
    ArrayEntryMeta,
    ArrayRange,
    ArraySpecifier,
    DataModel,
    DataValue,
    DictionaryEntry,
    DictionaryEntryMeta,
    DictionarySpecifier,
    FetchKindResponse,
    MetaData,
    SingleSpecifier,
    StatKindResponse,
    StoredArrayEntry,
    StoredDataSpecifier,
    StoredDictionaryEntry,
    StoredMetaArrayEntry,
    StoredMetaDictionaryEntry,
    StoredMetaSingle,
    StoredSingle,
    StoreKindData,
)
from reload.stored_data import UnknownKind, decode_metadata, decode_specifier, decode_values

SINGLE, ARRAY, DICTIONARY = 0xF0000001, 0xF0000002, 0xF0000003
KINDS = KindTable(
    Kind(number, model, AccessControl.NODE_MATCH, 1, 100)
    for number, model in [
        (SINGLE, DataModel.SINGLE),
        (ARRAY, DataModel.ARRAY),
        (DICTIONARY, DataModel.DICTIONARY),
    ]
)
SIGNATURE = Signature(
    algorithm=SignatureAndHashAlgorithm(hash=4, signature=3),
    identity=SignerIdentity(
        identity_type=1, identity=CertificateHash(hash_alg=4, certificate_hash=bytes.fromhex("c0ffee"))
    ),
    signature_value=b"sig",
)
SIGNED = "04 03 01 0005 04 03 c0ffee 0003 736967"
TIMES = "0000018bcfe5687b 00000e10"
ABC = DataValue(exists=True, value=b"abc")
STORED = [
    (
        SINGLE,
        f"{TIMES} 01 00000003 616263 {SIGNED}",
        StoredSingle(storage_time=1_700_000_000_123, lifetime=3600, value=ABC, signature=SIGNATURE),
    ),
    (
        ARRAY,
        f"{TIMES} ffffffff 01 00000003 616263 {SIGNED}",
        StoredArrayEntry(
            storage_time=1_700_000_000_123,
            lifetime=3600,
            value=ArrayEntry(index=APPEND, value=ABC),
            signature=SIGNATURE,
        ),
    ),
    (
        DICTIONARY,
        f"{TIMES} 0003 6b6579 01 00000003 616263 {SIGNED}",
        StoredDictionaryEntry(
            storage_time=1_700_000_000_123,
            lifetime=3600,
            value=DictionaryEntry(key=b"key", value=ABC),
            signature=SIGNATURE,
        ),
    ),
]
META = MetaData(exists=True, value_length=3, hash_algorithm=4, hash_value=b"hash")
METADATA = [
    (
        SINGLE,
        f"{TIMES} 01 00000003 04 04 68617368",
        StoredMetaSingle(storage_time=1_700_000_000_123, lifetime=3600, metadata=META),
    ),
    (
        ARRAY,
        f"{TIMES} 00000002 01 00000003 04 04 68617368",
        StoredMetaArrayEntry(
            storage_time=1_700_000_000_123, lifetime=3600, metadata=ArrayEntryMeta(index=2, value=META)
        ),
    ),
    (
        DICTIONARY,
        f"{TIMES} 0003 6b6579 01 00000003 04 04 68617368",
        StoredMetaDictionaryEntry(
            storage_time=1_700_000_000_123, lifetime=3600, metadata=DictionaryEntryMeta(key=b"key", value=META)
        ),
    ),
]
SPECIFIED = [
    (SINGLE, "", SingleSpecifier()),
    (ARRAY, "0000", ArraySpecifier(indices=())),
    (
        ARRAY,
        "0010 00000000 00000001 00000005 ffffffff",
        ArraySpecifier(indices=(ArrayRange(first=0, last=1), ArrayRange(first=5, last=0xFFFFFFFF))),
    ),
    (DICTIONARY, "0000", DictionarySpecifier(keys=())),
    (DICTIONARY, "0007 0003 6b6579 0000", DictionarySpecifier(keys=(b"key", b""))),
]
UNKNOWN = 0xF00000FF


@pytest.mark.parametrize(("kind", "wire", "value"), STORED)
def test_a_stored_value_is_read_by_the_data_model_of_its_kind(kind: int, wire: str, value: object) -> None:
    octets = bytes.fromhex(wire)
    assert encode(value) == octets
    for data in (
        StoreKindData(kind=kind, generation_counter=1, values=(octets, octets)),
        FetchKindResponse(kind=kind, generation=1, values=(octets, octets)),
    ):
        assert decode_values(data, KINDS) == (value, value)
    for size in range(len(octets)):
        with pytest.raises(DecodeError):
            decode_values(StoreKindData(kind=kind, generation_counter=1, values=(octets[:size],)), KINDS)


@pytest.mark.parametrize(("kind", "wire", "value"), METADATA)
def test_metadata_has_two_lengths_its_own_outside_and_that_of_the_value_inside(
    kind: int, wire: str, value: object
) -> None:
    octets = bytes.fromhex(wire)
    response = StatKindResponse(kind=kind, generation=1, values=(octets,))
    assert encode(value) == octets
    # T25: value_length of StoredMetaData is the octets of the structure, that of MetaData the octets of the value.
    assert encode(response)[16:20] == len(octets).to_bytes(4, "big")
    assert decode_metadata(response, KINDS) == (value,)
    for size in range(len(octets)):
        with pytest.raises(DecodeError):
            decode_metadata(StatKindResponse(kind=kind, generation=1, values=(octets[:size],)), KINDS)


@pytest.mark.parametrize(("kind", "wire", "value"), SPECIFIED)
def test_a_specifier_has_a_length_around_the_length_of_its_list(kind: int, wire: str, value: object) -> None:
    octets = bytes.fromhex(wire)
    specifier = StoredDataSpecifier(kind=kind, generation=9, model_specifier=octets)
    assert encode(value) == octets
    # T2: kind, generation, length of what follows; then, of arrays and dictionaries, the length of the list.
    assert encode(specifier)[12:] == len(octets).to_bytes(2, "big") + octets
    assert decode_specifier(specifier, KINDS) == value
    for size in range(len(octets)):
        with pytest.raises(DecodeError):
            decode_specifier(StoredDataSpecifier(kind=kind, generation=9, model_specifier=octets[:size]), KINDS)


def test_what_is_of_an_unknown_kind_is_no_error() -> None:
    assert decode_values(StoreKindData(kind=UNKNOWN, generation_counter=0, values=(b"?",)), KINDS) == UnknownKind(
        UNKNOWN
    )
    assert decode_metadata(StatKindResponse(kind=UNKNOWN, generation=0, values=(b"?",)), KINDS) == UnknownKind(UNKNOWN)
    assert decode_specifier(
        StoredDataSpecifier(kind=UNKNOWN, generation=0, model_specifier=b"?"), KINDS
    ) == UnknownKind(UNKNOWN)


@pytest.mark.parametrize(
    ("wire", "why"),
    [
        ("0008 00000002 00000001", "2 is behind 1"),
        ("0010 00000000 00000005 00000005 00000009", "index 5 is asked for twice"),
        ("0010 00000007 ffffffff 00000000 00000007", "index 7 is asked for twice"),
        ("0010 00000000 ffffffff ffffffff ffffffff", "index 4294967295 is asked for twice"),
        ("0007 00000000 000000", "ArrayRange|ArraySpecifier"),
        ("0008 00000000 0000000000", "too many"),
    ],
)
def test_ranges_that_go_backwards_or_overlap_are_refused(wire: str, why: str) -> None:
    specifier = StoredDataSpecifier(kind=ARRAY, generation=0, model_specifier=bytes.fromhex(wire))
    with pytest.raises(DecodeError, match=why):
        decode_specifier(specifier, KINDS)


def test_a_single_value_has_no_specifier() -> None:
    with pytest.raises(DecodeError, match="2 octets too many"):
        decode_specifier(StoredDataSpecifier(kind=SINGLE, generation=0, model_specifier=b"\0\0"), KINDS)
