"""Structures of the extensions (RFC 7263, 7264, 7363, 7374, 7851, 7904), and of TURN servers (RFC 6940 section 9)."""

from typing import Any

import pytest

from reload._presentation import decode, encode
from reload.addresses import IpAddressPort, IPv4AddrPort
from reload.destinations import NodeDestination
from reload.errors import DecodeError, EncodeError
from reload.extensions import (
    DiagnosticExtension,
    DiagnosticInfo,
    DiagnosticKind,
    DiagnosticsRequest,
    DiagnosticsResponse,
    ExtensiveRoutingModeOption,
    PathTrackAns,
    PathTrackReq,
    RedirServiceProvider,
    RouteMode,
    SelfTuningData,
    SipRegistration,
    SipRegistrationRoute,
    SipRegistrationType,
    SipRegistrationUri,
    TurnServer,
)

V4 = IpAddressPort(type=1, addr_port=IPv4AddrPort(addr=bytes((192, 0, 2, 1)), port=6084))
WIRE_V4 = "01 06 c0000201 17c4"
A, B = NodeDestination(b"A" * 16), NodeDestination(b"B" * 16)
WIRE_A, WIRE_B = "0110" + "41" * 16, "0110" + "42" * 16
TIMES = "0000018bcfe65260 0000018bcfe56800"
REQUEST = DiagnosticsRequest(
    expiration=1_700_000_060_000,
    timestamp_initiated=1_700_000_000_000,
    dmflags=0x872,
    diagnostic_extensions_list=(DiagnosticExtension(kind=0xF000, diagnostic_extension_contents=b"ask"),),
)
WIRE_REQUEST = f"{TIMES} 0000000000000872 00000009 00000009 f000 00000003 61736b"
RESPONSE = DiagnosticsResponse(
    expiration=1_700_000_060_000,
    timestamp_initiated=1_700_000_000_000,
    timestamp_received=1_700_000_000_100,
    hop_counter=97,
    diagnostic_info_list=(DiagnosticInfo(kind=1, diagnostic_info_contents=b"\3"),),
)
WIRE_RESPONSE = f"{TIMES} 0000018bcfe56864 61 00000005 00000005 0001 0001 03"
WIRE = [
    (
        f"01 01 {WIRE_V4} 12 {WIRE_A}",
        ExtensiveRoutingModeOption(routemode=RouteMode.DRR, transport=1, ipaddressport=V4, destinations=(A,)),
    ),
    (
        f"02 04 {WIRE_V4} 24 {WIRE_A} {WIRE_B}",
        ExtensiveRoutingModeOption(routemode=RouteMode.RPR, transport=4, ipaddressport=V4, destinations=(A, B)),
    ),
    ("00000400 0000298c 00000001", SelfTuningData(network_size=1024, join_rate=10636, leave_rate=1)),
    (
        f"00 0012 {WIRE_A} 0004 7475726e 0002 0003 0000",
        RedirServiceProvider(type=0, destination_list=(A,), namespace=b"turn", level=2, node=3),
    ),
    (
        "07 0000 0000 ffff 0000 0002 6578",
        RedirServiceProvider(type=7, destination_list=(), namespace=b"", level=65535, node=0, extension=b"ex"),
    ),
    (f"14 {WIRE_V4}", TurnServer(iteration=20, server_address=V4)),
    (
        "01 0015 0013 73616d406468742e6578616d706c652e6f7267",
        SipRegistration(type=SipRegistrationType.URI, data=SipRegistrationUri(uri=b"sam@dht.example.org")),
    ),
    (
        f"02 0019 0003 707266 0012 {WIRE_A}",
        SipRegistration(
            type=SipRegistrationType.ROUTE, data=SipRegistrationRoute(contact_prefs=b"prf", destination_list=(A,))
        ),
    ),
    ("03 0002 0102", SipRegistration(type=3, data=b"\1\2")),
    (WIRE_REQUEST, REQUEST),
    (
        f"{TIMES} ffffffffffffffff 00000000 00000000",
        DiagnosticsRequest(
            expiration=1_700_000_060_000, timestamp_initiated=1_700_000_000_000, dmflags=0xFFFFFFFFFFFFFFFF
        ),
    ),
    (WIRE_RESPONSE, RESPONSE),
    (f"{WIRE_A} {WIRE_REQUEST}", PathTrackReq(destination=A, request=REQUEST)),
    (f"{WIRE_B} {WIRE_RESPONSE}", PathTrackAns(next_hop=B, response=RESPONSE)),
]


@pytest.mark.parametrize(("wire", "value"), WIRE)
def test_structures_read_and_write(wire: str, value: Any) -> None:
    octets = bytes.fromhex(wire)
    assert encode(value) == octets
    assert decode(type(value), octets) == value
    for size in range(len(octets)):
        with pytest.raises(DecodeError):
            decode(type(value), octets[:size])


@pytest.mark.parametrize(
    ("of", "wire"),
    [
        (DiagnosticsRequest, WIRE_REQUEST.replace("00000009 00000009", "00000009 00000008")),
        (DiagnosticsRequest, WIRE_REQUEST.replace("00000009 00000009", "00000000 00000009")),
        (DiagnosticsRequest, WIRE_REQUEST.replace("00000009 00000009", "00000009")),
        (DiagnosticsRequest, WIRE_REQUEST.replace("00000009 00000009", "0000000d 00000009")),
        (DiagnosticsResponse, WIRE_RESPONSE.replace("00000005 00000005", "00000005 00000000")),
        (DiagnosticsResponse, WIRE_RESPONSE.replace("00000005 00000005", "00000005")),
    ],
)
def test_the_two_lengths_of_diagnostics_must_agree(of: type[Any], wire: str) -> None:
    with pytest.raises(DecodeError):
        decode(of, bytes.fromhex(wire))


def test_lists_with_a_lower_bound_are_not_empty() -> None:
    with pytest.raises(DecodeError, match="0 octets, at least 1 are due"):
        decode(ExtensiveRoutingModeOption, bytes.fromhex(f"01 01 {WIRE_V4} 00"))
    with pytest.raises(DecodeError, match="0 octets, at least 3 are due"):
        decode(SipRegistration, bytes.fromhex("02 0004 0000 0000"))
    with pytest.raises(EncodeError):
        encode(SipRegistrationRoute(contact_prefs=b"", destination_list=()))


@pytest.mark.parametrize("wire", ["01 0014 0013 73616d406468742e6578616d706c652e6f7267", "01 0001 00", "00 0000"])
def test_a_registration_is_as_long_as_it_says(wire: str) -> None:
    with pytest.raises(DecodeError):
        decode(SipRegistration, bytes.fromhex(wire))


def test_the_bit_of_a_diagnostic_kind_is_that_of_its_number() -> None:
    # RFC 7851 section 9.1: STATUS_INFO is 0x2, BATTERY_STATUS is 0x10000.
    assert 1 << DiagnosticKind.STATUS_INFO == 0x2
    assert 1 << DiagnosticKind.BATTERY_STATUS == 0x10000
    assert sorted(DiagnosticKind) == list(range(1, 17))
