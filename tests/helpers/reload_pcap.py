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


def write_tcp_pcap(path: Path, segments: Iterable[tuple[bool, bytes]]) -> None:
    """A capture of a TCP connection to port 6084: each segment in a packet, True for those of the client."""
    ends = [(socket.inet_aton("192.0.2.1"), 40000), (socket.inet_aton("192.0.2.2"), PORT)]
    sent = [1, 1]
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file, snaplen=65575, linktype=RAW_IPV4)
        for number, (is_client, octets) in enumerate(segments):
            side = 0 if is_client else 1
            (source, sport), (destination, dport) = ends[side], ends[1 - side]
            flags = dpkt.tcp.TH_ACK | dpkt.tcp.TH_PUSH
            tcp = dpkt.tcp.TCP(sport=sport, dport=dport, seq=sent[side], ack=sent[1 - side], flags=flags, data=octets)
            ip = dpkt.ip.IP(src=source, dst=destination, p=dpkt.ip.IP_PROTO_TCP, data=tcp)
            ip.len = len(ip)
            writer.writepkt(ip, number / 1000)
            sent[side] += len(octets)
