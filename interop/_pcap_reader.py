"""The UDP payloads of a capture file: classic pcap, with Ethernet, raw IP, loopback or Linux cooked packets."""

import struct
from collections.abc import Iterator

import attrs

_ORDERS = {b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">", b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<"}
"""By the magic number, of microseconds and of nanoseconds."""
_HEADER_SIZE, _PACKET_HEADER_SIZE = 24, 16
_LINK_HEADERS = {0: 4, 1: 14, 101: 0, 113: 16, 228: 0, 229: 0, 276: 20}
"""Octets before the IP packet, by link type: BSD loopback, Ethernet, raw, cooked, IPv4, IPv6, cooked version 2."""
_UDP = 17


class PcapError(Exception):
    """No capture that can be read; the text says why."""


@attrs.frozen
class UdpPayload:
    """What a UDP datagram carried; `number` counts the packets of the file from 1."""

    number: int
    octets: bytes


def is_pcap(data: bytes) -> bool:
    """Whether a file starts like a capture."""
    return data[:4] in _ORDERS


def udp_payloads(data: bytes) -> Iterator[UdpPayload]:
    """The UDP payloads of whole, unfragmented packets.

    Raises:
        PcapError: the file is no classic pcap, of another link type, or ends within a packet.
    """
    order = _ORDERS.get(data[:4])
    if order is None or len(data) < _HEADER_SIZE:
        raise PcapError("no pcap file")
    (link_type,) = struct.unpack_from(order + "I", data, 20)
    skipped = _LINK_HEADERS.get(link_type & 0xFFFF)
    if skipped is None:
        raise PcapError(f"packets of link type {link_type & 0xFFFF}, which is not read")
    at, number = _HEADER_SIZE, 0
    while at < len(data):
        number += 1
        if len(data) - at < _PACKET_HEADER_SIZE:
            raise PcapError(f"the file ends within packet {number}")
        captured, original = struct.unpack_from(order + "II", data, at + 8)
        at += _PACKET_HEADER_SIZE
        if len(data) - at < captured:
            raise PcapError(f"the file ends within packet {number}")
        payload = _udp_payload(data[at + skipped : at + captured]) if captured == original else None
        at += captured
        if payload is not None:
            yield UdpPayload(number, payload)


def _udp_payload(packet: bytes) -> bytes | None:
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        length, fragment = struct.unpack_from(">H2xH", packet, 2)
        protocol, start = packet[9], 4 * (packet[0] & 0xF)
        if fragment & 0x3FFF:
            return None
    elif version == 6 and len(packet) >= 40:
        length, protocol, start = 40 + struct.unpack_from(">H", packet, 4)[0], packet[6], 40
    else:
        return None
    datagram = packet[start:length]
    if protocol != _UDP or len(datagram) < 8:
        return None
    (size,) = struct.unpack_from(">H", datagram, 4)
    return datagram[8:size] if 8 <= size <= len(datagram) else None
