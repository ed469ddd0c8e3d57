"""Diagnostic information by kind (RFC 7851 section 5.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reload.diagnostic_information import (
    DiagnosticValue,
    InstancesStored,
    MessagesSentRcvd,
    decode_information,
    encode_information,
)
from reload.errors import DecodeError, EncodeError
from reload.extensions import DiagnosticKind

INFORMATION: list[tuple[int, str, DiagnosticValue]] = [
    (0x01, "0f", 15),
    (0x02, "00000011", 17),
    (0x03, "00000000000003e8", 1000),
    (0x04, "00000000000003e8", 1000),
    (0x05, "ffffffffffffffff", 2**64 - 1),
    (0x06, "782f312e3000", "x/1.0"),
    (0x06, "00", ""),
    (0x07, "0000000000000005", 5),
    (0x08, "0000000000000005", 5),
    (0x09, "0000000000000400", 1024),
    (0x0A, "0000000000000000", 0),
    (0x0B, "", ()),
    (
        0x0B,
        "00000001 0000000000000002 00000104 0000000000000003",
        (InstancesStored(kind=1, instances=2), InstancesStored(kind=0x104, instances=3)),
    ),
    (
        0x0C,
        "0017 0000000000000002 0000000000000003",
        (MessagesSentRcvd(message_code=23, sent=2, received=3),),
    ),
    (0x0D, "000003e8", 1000),
    (0x0E, "000003e8", 1000),
    (0x0F, "07", 7),
    (0x10, "80", 128),
    (0x11, "0102", b"\1\2"),
    (0xF000, "", b""),
]


@pytest.mark.parametrize(("kind", "wire", "value"), INFORMATION)
def test_information_reads_and_writes_in_the_form_of_its_kind(kind: int, wire: str, value: DiagnosticValue) -> None:
    octets = bytes.fromhex(wire)
    assert decode_information(kind, octets) == value
    assert encode_information(kind, value) == octets


def test_every_kind_has_a_form() -> None:
    assert {kind for kind, _, value in INFORMATION if not isinstance(value, bytes)} == set(DiagnosticKind)


@pytest.mark.parametrize(
    ("kind", "wire"),
    [
        (1, ""),
        (1, "0001"),
        (2, "000000"),
        (3, "00000001"),
        (6, "782f312e30"),
        (6, ""),
        (6, "780078"),
        (6, "780000"),
        (6, "e4e400"),
        (11, "00"),
        (11, "00" * 13),
        (12, "00" * 19),
        (15, ""),
        (16, "0000"),
    ],
)
def test_information_of_another_form_is_refused(kind: int, wire: str) -> None:
    with pytest.raises(DecodeError):
        decode_information(kind, bytes.fromhex(wire))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (1, 256),
        (1, -1),
        (1, "1"),
        (2, 2**32),
        (6, "a\0b"),
        (6, "größe"),
        (6, b"x"),
        (11, (MessagesSentRcvd(message_code=1, sent=1, received=1),)),
        (12, 5),
        (11, (InstancesStored(kind=2**32, instances=0),)),
        (17, 5),
        (1, b"\1"),
    ],
)
def test_a_value_of_another_form_is_not_written(kind: int, value: DiagnosticValue) -> None:
    with pytest.raises(EncodeError):
        encode_information(kind, value)


@given(kind=st.integers(0, 20), octets=st.binary(max_size=40))
def test_any_octets_are_a_value_or_a_decode_error(kind: int, octets: bytes) -> None:
    try:
        value = decode_information(kind, octets)
    except DecodeError:
        return
    assert encode_information(kind, value) == octets
