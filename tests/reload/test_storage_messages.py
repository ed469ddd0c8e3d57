"""The bodies of storage messages (RFC 6940 section 7.4)."""

from typing import Any

import pytest

from reload._presentation import decode, encode
from reload.contents import UnknownKinds
from reload.errors import DecodeError
from reload.storage_messages import (
    ArrayRange,
    FetchAns,
    FetchKindResponse,
    FetchReq,
    FindAns,
    FindKindData,
    FindReq,
    StatAns,
    StoreAns,
    StoredDataSpecifier,
    StoreKindData,
    StoreKindResponse,
    StoreReq,
)

A, B = b"A" * 16, b"B" * 16
WIRE = [
    (
        "03 464f4f 02 00000029 00000001 0000000000000000 00000009 00000001 aa 00000000"
        "f0000001 0102030405060708 00000000",
        StoreReq(
            resource=b"FOO",
            replica_number=2,
            kind_data=(
                StoreKindData(kind=1, generation_counter=0, values=(b"\xaa", b"")),
                StoreKindData(kind=0xF0000001, generation_counter=0x0102030405060708, values=()),
            ),
        ),
    ),
    (
        "003c 00000001 0000000000000007 0020" + "41" * 16 + "42" * 16 + "00000002 0000000000000001 0000",
        StoreAns(
            kind_responses=(
                StoreKindResponse(kind=1, generation_counter=7, replicas=(A, B)),
                StoreKindResponse(kind=2, generation_counter=1, replicas=()),
            )
        ),
    ),
    (
        "00 0020 00000002 0000000000000007 0000 00000001 0000000000000000 0004 0002 0000",
        FetchReq(
            resource=b"",
            specifiers=(
                StoredDataSpecifier(kind=2, generation=7),
                StoredDataSpecifier(kind=1, generation=0, model_specifier=b"\0\2\0\0"),
            ),
        ),
    ),
    (
        "00000015 00000003 0000000000000004 00000005 00000001 61",
        FetchAns(kind_responses=(FetchKindResponse(kind=3, generation=4, values=(b"a",)),)),
    ),
    (
        "00000010 00000003 0000000000000004 00000000",
        StatAns(kind_responses=(FetchKindResponse(kind=3, generation=4, values=()),)),
    ),
    ("03 464f4f 08 00000001 f0000001", FindReq(resource=b"FOO", kinds=(1, 0xF0000001))),
    (
        "001a 00000001 10" + "00" * 16 + "00000002 00",
        FindAns(results=(FindKindData(kind=1, closest=bytes(16)), FindKindData(kind=2, closest=b""))),
    ),
    ("08 00000001 f0000001", UnknownKinds(unknown_kinds=(1, 0xF0000001))),
    ("00000005 ffffffff", ArrayRange(first=5, last=0xFFFFFFFF)),  # T21: printed int32
]


@pytest.mark.parametrize(("wire", "value"), WIRE)
def test_bodies_read_and_write(wire: str, value: Any) -> None:
    octets = bytes.fromhex(wire)
    assert encode(value) == octets
    assert decode(type(value), octets) == value
    for size in range(len(octets)):
        with pytest.raises(DecodeError):
            decode(type(value), octets[:size])


def test_a_find_asks_for_63_kinds_at_most() -> None:
    assert len(decode(FindReq, b"\0\xfc" + bytes(252)).kinds) == 63
    with pytest.raises(DecodeError, match="no multiple of 4"):
        decode(FindReq, b"\0\xff" + bytes(255))
