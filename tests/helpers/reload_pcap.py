"""Captures of RELOAD over UDP that Wireshark reads in the clear: each datagram a FramedMessage, raw IP around it."""

import socket
from collections.abc import Iterable
from pathlib import Path

import dpkt

PORT = 6084
RAW_IPV4 = 228
"""LINKTYPE_IPV4."""


def write_pcap(path: Path, datagrams: Iterable[bytes]) -> None:
    """A capture of these datagrams from 192.0.2.1 to 192.0.2.2, a millisecond apart."""
    source, destination = (socket.inet_aton(f"192.0.2.{host}") for host in (1, 2))
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file, snaplen=65575, linktype=RAW_IPV4)
        for number, octets in enumerate(datagrams):
            udp = dpkt.udp.UDP(sport=PORT, dport=PORT, data=octets)
            udp.ulen = len(udp)
            ip = dpkt.ip.IP(src=source, dst=destination, p=dpkt.ip.IP_PROTO_UDP, data=udp)
            ip.len = len(ip)
            writer.writepkt(ip, number / 1000)
