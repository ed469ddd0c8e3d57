"""Destinations (RFC 6940 section 6.3.2.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reload_strategies import destinations

from reload.destinations import (
    NodeDestination,
    OpaqueDestination,
    ResourceDestination,
    UnknownDestination,
    decode_destinations,
    encode_destinations,
)
from reload.errors import DecodeError, EncodeError

NODE = bytes.fromhex("f937c37e949d9efa20d2958af309235c")
WIRE = {
    "a Node-ID has no length of its own": ("01 10" + NODE.hex(), NodeDestination(NODE)),
    "a Resource-ID has a length inside the length": ("02 04 03 464f4f", ResourceDestination(b"FOO")),
    "an opaque ID likewise": ("03 03 02 8abc", OpaqueDestination(b"\x8a\xbc")),
    "a Resource-ID may be empty": ("02 01 00", ResourceDestination(b"")),
    "the longest Resource-ID": ("02 ff fe" + "aa" * 254, ResourceDestination(b"\xaa" * 254)),
    "with the first bit set it is 16 bits": ("8abc", OpaqueDestination(b"\x8a\xbc", is_compact=True)),
    "the last 16 bits": ("ffff", OpaqueDestination(b"\xff\xff", is_compact=True)),
    "an unknown type is skipped by its length": ("04 02 0102", UnknownDestination(4, b"\1\2")),
    "the last type with a length": ("7f 00", UnknownDestination(127, b"")),
}


@pytest.mark.parametrize(("wire", "value"), WIRE.values(), ids=WIRE)
def test_destinations_read_and_write(wire: str, value: object) -> None:
    octets = bytes.fromhex(wire)
    assert decode_destinations(octets, 16) == (value,)
    assert encode_destinations([value], 16) == octets  # type: ignore[list-item]
    for size in range(1, len(octets)):
        with pytest.raises(DecodeError):
            decode_destinations(octets[:size], 16)


def test_a_list_is_read_to_its_end() -> None:
    octets = bytes.fromhex("".join(wire for wire, _ in WIRE.values()))
    assert decode_destinations(octets, 16) == tuple(value for _, value in WIRE.values())
    assert decode_destinations(b"", 16) == ()


def test_16_bits_are_treated_as_the_full_structure_and_written_as_they_came() -> None:
    (compact,) = decode_destinations(b"\x8a\xbc", 16)
    (full,) = decode_destinations(bytes.fromhex("0303028abc"), 16)
    assert compact == full
    assert hash(compact) == hash(full)
    assert encode_destinations([compact, full], 16) == bytes.fromhex("8abc 0303028abc")


def test_the_wildcard_is_all_ones() -> None:
    assert NodeDestination(b"\xff" * 16).is_wildcard
    assert not NodeDestination(b"\xff" * 15 + b"\xfe").is_wildcard


@pytest.mark.parametrize(
    ("wire", "why"),
    [
        ("00 00", "invalid type 0"),
        ("01 0f" + "aa" * 15, "a Node-ID of 15 octets"),
        ("01 11" + "aa" * 17, "a Node-ID of 17 octets"),
        ("02 00", "contradict"),
        ("02 04 02 464f4f", "contradict"),
        ("02 04 04 464f4f", "contradict"),
        ("03 02 00 00", "contradict"),
        ("02 ff 03 464f4f", "need 255 octets"),
        ("80", "need 2 octets"),
    ],
)
def test_malformed_destinations_are_refused(wire: str, why: str) -> None:
    with pytest.raises(DecodeError, match=why):
        decode_destinations(bytes.fromhex(wire), 16)


@pytest.mark.parametrize(
    "value",
    [
        NodeDestination(bytes(15)),
        ResourceDestination(bytes(255)),
        OpaqueDestination(bytes(255)),
        OpaqueDestination(b"\x0a\xbc", is_compact=True),
        OpaqueDestination(b"\x8a", is_compact=True),
        UnknownDestination(0, b""),
        UnknownDestination(128, b""),
        UnknownDestination(4, bytes(256)),
    ],
)
def test_what_has_no_octets_is_not_written(value: object) -> None:
    with pytest.raises(EncodeError):
        encode_destinations([value], 16)  # type: ignore[list-item]


@given(data=st.data(), n=st.integers(16, 20))
def test_lists_read_as_they_were_written(data: st.DataObject, n: int) -> None:
    made = tuple(data.draw(st.lists(destinations(n), max_size=4)))
    octets = encode_destinations(made, n)
    assert decode_destinations(octets, n) == made
    assert encode_destinations(decode_destinations(octets, n), n) == octets


@given(octets=st.binary(max_size=60))
def test_any_octets_are_a_list_or_a_decode_error(octets: bytes) -> None:
    try:
        read = decode_destinations(octets, 16)
    except DecodeError:
        return
    assert encode_destinations(read, 16) == octets
