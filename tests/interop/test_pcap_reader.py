"""The UDP payloads of capture files."""

import struct

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop._pcap_reader import PcapError, UdpPayload, is_pcap, udp_payloads

MAGIC = 0xA1B2C3D4
V4, V6 = (bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))), (bytes(15) + b"\1", bytes(15) + b"\2")


def udp(payload: bytes) -> dpkt.udp.UDP:
    made = dpkt.udp.UDP(sport=1, dport=2, data=payload)
    made.ulen = len(made)
    return made


def ipv4(payload: bytes, *, protocol: int = 17, offset: int = 0) -> bytes:
    packet = dpkt.ip.IP(src=V4[0], dst=V4[1], p=protocol, data=bytes(udp(payload)), _flags_offset=offset)
    packet.len = len(packet)
    return bytes(packet)


def ipv6(payload: bytes) -> bytes:
    return bytes(dpkt.ip6.IP6(src=V6[0], dst=V6[1], nxt=17, plen=8 + len(payload), data=bytes(udp(payload))))


def capture(link_type: int, *packets: bytes, order: str = "<", magic: int = MAGIC) -> bytes:
    made = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)
    return made + b"".join(struct.pack(order + "IIII", 0, 0, len(each), len(each)) + each for each in packets)


@pytest.mark.parametrize(
    ("link_type", "before"), [(0, bytes(4)), (1, bytes(14)), (101, b""), (113, bytes(16)), (228, b""), (276, bytes(20))]
)
def test_every_link_type_is_read(link_type: int, before: bytes) -> None:
    data = capture(link_type, before + ipv4(b"four"), before + ipv6(b"six"))
    assert is_pcap(data)
    assert list(udp_payloads(data)) == [UdpPayload(1, b"four"), UdpPayload(2, b"six")]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", [MAGIC, 0xA1B23C4D])
def test_both_byte_orders_and_resolutions_are_read(order: str, magic: int) -> None:
    data = capture(101, ipv4(b"x"), order=order, magic=magic)
    assert is_pcap(data)
    assert list(udp_payloads(data)) == [UdpPayload(1, b"x")]


def test_what_is_no_whole_udp_datagram_is_passed_over_and_counted() -> None:
    fragments = [ipv4(b"part", offset=0x2000), ipv4(b"part", offset=5)]
    cut = ipv4(b"long enough")[:-3]
    others = [ipv4(b"tcp", protocol=6), *fragments, cut, b"", b"\x45", bytes(40), b"\x60" * 44]
    assert list(udp_payloads(capture(101, *others, ipv4(b"last")))) == [UdpPayload(len(others) + 1, b"last")]


def test_padding_behind_the_ip_packet_is_not_taken() -> None:
    assert list(udp_payloads(capture(1, bytes(14) + ipv4(b"x") + bytes(17)))) == [UdpPayload(1, b"x")]


@pytest.mark.parametrize("size", range(24))
def test_a_file_without_a_header_is_refused(size: int) -> None:
    with pytest.raises(PcapError, match="no pcap file"):
        list(udp_payloads(capture(101)[:size]))


@given(octets=st.binary(max_size=200), link_type=st.sampled_from([0, 1, 101, 113, 228, 229, 276]))
def test_any_octets_are_payloads_or_an_error(octets: bytes, link_type: int) -> None:
    for data in (octets, capture(link_type) + octets, capture(link_type, octets)):
        try:
            found = list(udp_payloads(data))
        except PcapError:
            continue
        assert all(payload.octets in octets for payload in found)
