"""The forwarding header (RFC 6940 section 6.3.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reload_strategies import headers

from reload.destinations import NodeDestination, OpaqueDestination, ResourceDestination
from reload.errors import DecodeError, EncodeError
from reload.header import (
    ANY_CONFIGURATION,
    UNFRAGMENTED,
    ForwardingHeader,
    ForwardingOption,
    OptionFlag,
    decode_header,
    encode_header,
)

A, B = NodeDestination(b"A" * 16), NodeDestination(b"B" * 16)
RESOURCE = ResourceDestination(b"R" * 16)
PARTS = {
    "relo_token": "d2454c4f",
    "overlay": "9aa32b8d",
    "configuration_sequence": "0016",
    "version": "0a",
    "ttl": "64",
    "fragment": "c0000000",
    "length": "00000062",
    "transaction_id": "0102030405060708",
    "max_response_length": "00001388",
    "via_list_length": "0012",
    "destination_list_length": "0015",
    "options_length": "000b",
    "via_list": "0110" + "41" * 16,
    "destination_list": "8abc" + "021110" + "52" * 16,
    "options": "0105000378797a" + "fe000000",
    "payload": "706179206c6f6164" + "2121",
}
HEADER = ForwardingHeader(
    overlay=0x9AA32B8D,
    transaction_id=0x0102030405060708,
    destination_list=(OpaqueDestination(b"\x8a\xbc", is_compact=True), RESOURCE),
    via_list=(A,),
    options=(
        ForwardingOption(type=1, flags=OptionFlag.FORWARD_CRITICAL | OptionFlag.RESPONSE_COPY, value=b"xyz"),
        ForwardingOption(type=254, flags=0),
    ),
    configuration_sequence=22,
    ttl=100,
    max_response_length=5000,
    fragment=UNFRAGMENTED,
    length=0x62,
)


def wire(**changed: str) -> bytes:
    return bytes.fromhex("".join((PARTS | changed).values()))


def test_the_header_has_38_octets_and_its_lists_behind_their_lengths() -> None:
    octets = wire()
    assert len(octets) == 0x62
    header, start = decode_header(octets)
    assert header == HEADER
    assert octets[start:] == b"pay load!!"
    assert encode_header(HEADER, 10) == octets[:start]


def test_every_part_of_a_header_cut_short_is_refused() -> None:
    octets = wire()
    for size in range(len(octets)):
        with pytest.raises(DecodeError):
            decode_header(octets[:size])


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"relo_token": "52454c4f"}, "relo_token"),
        ({"version": "01"}, "version"),
        ({"version": "0b"}, "version"),
        ({"fragment": "40000000"}, "high bit"),
        ({"length": "00000061"}, "length"),
        ({"length": "00000063"}, "length"),
        ({"via_list_length": "0013"}, "Destination"),
        ({"options_length": "ffff"}, "length"),
        ({"destination_list": "021110" + "52" * 16 + "8abc"}, "not the last destination"),
        ({"via_list": "020f0e" + "52" * 15, "via_list_length": "0012"}, "Destination|not the last"),
        ({"via_list": "02100f" + "52" * 15, "via_list_length": "0012"}, "not the last destination"),
        ({"options": "0105000478797a" + "fe000000"}, "need|multiple|ForwardingOption"),
    ],
)
def test_a_header_that_no_node_can_process_is_refused(changed: dict[str, str], why: str) -> None:
    with pytest.raises(DecodeError, match=why):
        decode_header(wire(**changed))


def test_reserved_bits_of_the_fragment_field_are_ignored_and_sent_as_zero() -> None:
    header, _ = decode_header(wire(fragment="ff000000"))
    assert header.is_whole
    assert header.fragment_offset == 0
    assert ForwardingHeader(1, 2, (B,)).fragment == 0xC0000000


@pytest.mark.parametrize(
    ("field", "last", "offset", "whole"),
    [
        ("c0000000", True, 0, True),
        ("80000000", False, 0, False),
        ("80000400", False, 1024, False),
        ("c0ffffff", True, 0xFFFFFF, False),
    ],
)
def test_the_fragment_field_tells_offset_and_last(field: str, last: bool, offset: int, whole: bool) -> None:
    header, _ = decode_header(wire(fragment=field))
    assert (header.is_last_fragment, header.fragment_offset, header.is_whole) == (last, offset, whole)


def test_unless_told_otherwise_a_message_starts_with_a_ttl_of_100_and_a_response_of_any_length() -> None:
    header, _ = decode_header(encode_header(ForwardingHeader(1, 2, (B,)), 0))
    assert (header.ttl, header.max_response_length, header.version) == (100, 0, 10)
    assert header.via_list == header.options == ()
    assert ANY_CONFIGURATION == 65535


@pytest.mark.parametrize(
    "header",
    [
        ForwardingHeader(1, 2, (RESOURCE, B)),
        ForwardingHeader(1, 2, (B,), via_list=(RESOURCE,)),
        ForwardingHeader(2**32, 2, (B,)),
        ForwardingHeader(1, 2**64, (B,)),
        ForwardingHeader(1, 2, (B,), ttl=256),
        ForwardingHeader(1, 2, (B,), configuration_sequence=65536),
        ForwardingHeader(1, 2, (NodeDestination(bytes(20)),)),
        ForwardingHeader(1, 2, (B,), via_list=(B,) * 3641),
        ForwardingHeader(1, 2, (B,), options=(ForwardingOption(type=1, flags=0, value=bytes(65535)),)),
    ],
    ids=range(9),
)
def test_a_header_without_octets_is_not_written(header: ForwardingHeader) -> None:
    with pytest.raises(EncodeError):
        encode_header(header, 0)


@given(data=st.data(), n=st.integers(16, 20), payload=st.binary(max_size=20))
def test_headers_read_as_they_were_written(data: st.DataObject, n: int, payload: bytes) -> None:
    made = data.draw(headers(n))
    octets = encode_header(made, len(payload), node_id_length=n) + payload
    header, start = decode_header(octets, node_id_length=n)
    made.length = len(octets)
    assert header == made
    assert octets[start:] == payload
    assert encode_header(header, len(payload), node_id_length=n) == octets[:start]
    for size in range(len(octets)):
        with pytest.raises(DecodeError):
            decode_header(octets[:size], node_id_length=n)


@given(data=st.data())
def test_a_header_with_octets_changed_is_a_header_or_a_decode_error(data: st.DataObject) -> None:
    octets = bytearray(encode_header(data.draw(headers()), 4) + b"body")
    for _ in range(data.draw(st.integers(0, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        header, start = decode_header(bytes(octets))
    except DecodeError:
        return
    assert encode_header(header, len(octets) - start) == octets[:start]


@given(octets=st.binary(max_size=80))
def test_any_octets_are_refused(octets: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_header(octets)
