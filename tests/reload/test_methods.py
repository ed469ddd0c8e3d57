"""The bodies of messages about links and the overlay (RFC 6940 sections 6.4, 6.5 and 10)."""

from typing import Any

import pytest

from reload._presentation import decode, encode
from reload.addresses import IpAddressPort, IPv4AddrPort, IPv6AddrPort
from reload.errors import DecodeError, EncodeError
from reload.methods import (
    AppAttachReq,
    AttachReqAns,
    CandType,
    ChordFull,
    ChordLeaveData,
    ChordLeaveType,
    ChordUpdate,
    ConfigUpdateReq,
    IceCandidate,
    IceExtension,
    JoinAns,
    LeaveReq,
    OverlayLinkType,
    ProbeAns,
    ProbeInformation,
)

V4 = IpAddressPort(type=1, addr_port=IPv4AddrPort(addr=bytes((192, 0, 2, 1)), port=6084))
V6 = IpAddressPort(type=2, addr_port=IPv6AddrPort(addr=bytes.fromhex("20010db8") + bytes(12), port=6084))
UNKNOWN = IpAddressPort(type=9, addr_port=b"\1\2\3")
WIRE_V4, WIRE_V6 = "01 06 c0000201 17c4", "02 12 20010db8" + "00" * 12 + "17c4"
HOST = f"{WIRE_V4} 01 01 31 7effffff 01 0000"
RELAY = f"{WIRE_V6} 03 02 3233 00000001 04 {WIRE_V4} 0009 0003 616263 0002 6465"
LEAVE_IDS = (b"A" * 16, b"B" * 16)


def candidate(**changed: Any) -> IceCandidate:
    made: dict[str, Any] = {
        "addr_port": V4,
        "overlay_link": OverlayLinkType.DTLS_UDP_SR,
        "foundation": b"1",
        "priority": 2130706431,
        "type": CandType.HOST,
    }
    return IceCandidate(**(made | changed))


CANDIDATES = [
    (HOST, candidate()),
    (
        RELAY,
        IceCandidate(
            addr_port=V6,
            overlay_link=OverlayLinkType.DTLS_UDP_SR_NO_ICE,
            foundation=b"23",
            priority=1,
            type=CandType.RELAY,
            rel_addr_port=V4,
            extensions=(IceExtension(name=b"abc", value=b"de"),),
        ),
    ),
    (
        f"{WIRE_V4} 01 00 00000000 02 09 03 010203 0000",
        candidate(foundation=b"", priority=0, type=CandType.SRFLX, rel_addr_port=UNKNOWN),
    ),
]


@pytest.mark.parametrize(("wire", "value"), CANDIDATES)
def test_a_candidate_has_a_related_address_unless_it_is_a_host_candidate(wire: str, value: IceCandidate) -> None:
    assert encode(value) == bytes.fromhex(wire)
    assert decode(IceCandidate, bytes.fromhex(wire)) == value


@pytest.mark.parametrize("kind", [0, 3, 5, 255])
def test_a_candidate_of_a_reserved_or_unknown_type_breaks_the_message(kind: int) -> None:
    # T14: 3 is reserved although the text speaks of "prfix", and the type of a candidate cannot be extended.
    wire = bytes.fromhex(f"{WIRE_V4} 01 01 31 7effffff {kind:02x} {WIRE_V4} 0000")
    with pytest.raises(DecodeError, match=f"unknown type {kind}"):
        decode(IceCandidate, wire)
    with pytest.raises(EncodeError, match=f"unknown type {kind}"):
        encode(candidate(type=kind, rel_addr_port=V4))


def test_a_host_candidate_with_a_related_address_is_not_written() -> None:
    with pytest.raises(EncodeError):
        encode(candidate(rel_addr_port=V4))
    with pytest.raises(EncodeError):
        encode(candidate(type=CandType.RELAY))


def test_an_attach_ends_with_send_update_and_an_app_attach_has_its_application_before_the_role() -> None:
    head, tail = "02 7566 02 7077", f"06 616374697665 {len(bytes.fromhex(HOST)):04x} {HOST}"
    shared = {"ufrag": b"uf", "password": b"pw", "role": b"active", "candidates": (candidate(),)}
    attach = AttachReqAns(**shared, send_update=True)  # type: ignore[arg-type]
    app_attach = AppAttachReq(**shared, application=5060)  # type: ignore[arg-type]
    assert encode(attach) == bytes.fromhex(f"{head} {tail} 01")
    assert encode(app_attach) == bytes.fromhex(f"{head} 13c4 {tail}")
    with pytest.raises(DecodeError, match="255 is no Boolean"):
        decode(AttachReqAns, bytes.fromhex(f"{head} {tail} ff"))  # T20


def test_addresses_of_unknown_types_are_skipped_and_those_known_have_their_size() -> None:
    assert decode(IpAddressPort, bytes.fromhex(WIRE_V4)) == V4
    assert decode(IpAddressPort, bytes.fromhex(WIRE_V6)) == V6
    assert decode(IpAddressPort, bytes.fromhex("09 03 010203")) == UNKNOWN
    for wire in ("01 05 c000020117", "01 07 c000020117c400", "02 06 c000020117c4", "00 00"):
        with pytest.raises(DecodeError):
            decode(IpAddressPort, bytes.fromhex(wire))


def test_only_dtls_without_no_ice_is_made_by_ice() -> None:
    assert [link for link in OverlayLinkType if link.is_ice] == [OverlayLinkType.DTLS_UDP_SR]


def test_a_leave_of_chord_has_a_typed_list_inside_its_data_whichever_neighbor_leaves() -> None:
    for kind in ChordLeaveType:
        data = ChordLeaveData(type=kind, peers=LEAVE_IDS)
        inner = bytes([kind]) + b"\0\x20" + b"".join(LEAVE_IDS)
        assert encode(data) == inner
        leave = LeaveReq(leaving_peer_id=b"L" * 16, overlay_specific_data=inner)
        assert encode(leave) == b"L" * 16 + b"\0\x23" + inner
    assert encode(JoinAns()) == b"\0\0"


@pytest.mark.parametrize("of", [ChordUpdate, ChordLeaveData])
def test_types_of_chord_cannot_be_extended(of: type[Any]) -> None:
    for kind in (0, 4, 255):
        with pytest.raises(DecodeError, match=f"unknown type {kind}"):
            decode(of, bytes(4) * (of is ChordUpdate) + bytes([kind]) + bytes(6))


def test_an_update_has_no_wrapper_and_its_lists_are_whole_node_ids() -> None:
    full = ChordUpdate(
        uptime=0x01020304, type=3, tables=ChordFull(predecessors=(LEAVE_IDS[0],), successors=LEAVE_IDS, fingers=())
    )
    assert encode(full) == b"\1\2\3\4\3\0\x10" + LEAVE_IDS[0] + b"\0\x20" + b"".join(LEAVE_IDS) + b"\0\0"
    assert encode(ChordUpdate(uptime=7, type=1)) == bytes.fromhex("00000007 01")
    with pytest.raises(DecodeError, match="17 octets are no multiple of 16"):
        decode(ChordUpdate, bytes.fromhex("00000007 02 0011") + bytes(17) + b"\0\0")
    assert decode(ChordUpdate, bytes.fromhex("00000007 02 0011") + bytes(17) + b"\0\0", node_id_length=17)


def test_probe_information_of_unknown_types_survives() -> None:
    octets = bytes.fromhex("000d 01 04 0000ffff 04 05 0102030405")
    read = decode(ProbeAns, octets)
    assert read.probe_info == (
        ProbeInformation(type=1, value=0xFFFF),
        ProbeInformation(type=4, value=b"\1\2\3\4\5"),
    )
    assert encode(read) == octets
    for wire in ("0005 01 03 000000", "0007 01 05 0000000000", "0002 00 00"):
        with pytest.raises(DecodeError):
            decode(ProbeAns, bytes.fromhex(wire))


def test_a_config_update_has_a_length_of_32_bits_around_one_of_24() -> None:
    assert encode(ConfigUpdateReq(type=1, data=b"<a/>")) == bytes.fromhex("01 00000007 000004 3c612f3e")
    assert encode(ConfigUpdateReq(type=2, data=(b"<k/>", b""))) == bytes.fromhex(
        "02 0000000b 000008 0004 3c6b2f3e 0000"
    )
    assert decode(ConfigUpdateReq, bytes.fromhex("03 00000002 0102")) == ConfigUpdateReq(type=3, data=b"\1\2")
    with pytest.raises(DecodeError):
        decode(ConfigUpdateReq, bytes.fromhex("01 00000004 3c612f3e"))
