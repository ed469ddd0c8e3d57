"""The simulated network: the links between its hosts, taps, and the files that a packet reader understands."""

import socket
import struct
from collections import Counter
from pathlib import Path

import dpkt
import pytest
from simulated_pings import PORT, A, B, C, Echo, Pinger, ping_pong

from interop.simulation import Drop, Fate, Link, Network, PacketEvent

# -- topology and taps -----------------------------------------------------------------------------------------------


def test_a_link_between_two_hosts_replaces_the_core() -> None:
    network = Network(core=Link(delay=1.0))
    a, b, c = (network.host(address) for address in (A, B, C))
    b.run(Echo(), PORT)
    c.run(Echo(), PORT)
    far, near = Pinger((C, PORT), 1, interval=9.0), Pinger((B, PORT), 1, interval=9.0)
    a.run(far)
    a.run(near)
    network.connect(a, b, Link(delay=0.1), Link(delay=0.2))
    network.run()
    assert near.answered == [pytest.approx(0.3)]
    assert far.answered == [pytest.approx(2.0)]


def test_access_links_of_both_sides_and_the_core_are_crossed() -> None:
    network = Network(core=Link(delay=0.5))
    arrivals: list[float] = []
    network.host(B, down=Link(delay=0.05)).listen(lambda data, source, now: arrivals.append(now), PORT)
    network.host(A, up=Link(delay=0.005)).listen(lambda *_: None, PORT).send(b"x", (B, PORT))
    network.run()
    assert arrivals == [pytest.approx(0.555)]


def test_a_tap_sees_every_fate() -> None:
    network, _, _ = ping_pong(count=2, link=lambda: Link(name="", loss=0.5))
    events: list[PacketEvent] = []
    network.tap(events.append)
    network.run()
    fates = Counter(event.fate for event in events)
    recorder = network.recorder
    assert fates == {
        Fate.SENT: recorder.sent,
        Fate.DELIVERED: recorder.delivered,
        Fate.DROPPED: recorder.dropped[Drop.LOSS],
    }
    assert {event.where for event in events} == {A, B, "link 2", "link 3"}
    assert f"Packet(('{A}', 7000) -> ('{B}', 7000), 24 octets, sent at 0 us)" in repr(events[0])


def checksum_is_right(octets: bytes) -> bool:
    total = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF


def test_a_pcap_file_holds_the_packets_with_their_addresses_and_times(tmp_path: Path) -> None:
    network, pinger, _ = ping_pong(count=3, link=lambda: Link(delay=1.25))
    pinger.interval = 100.0
    six = network.host("2001:db8::1").listen(lambda *_: None, 5)
    six.send(b"odd", ("2001:db8::2", 6))
    with network.tap_pcap(tmp_path / "run.pcap"):
        network.run(until=5.0)
    network.run()
    with open(tmp_path / "run.pcap", "rb") as file:
        reader = dpkt.pcap.Reader(file)
        assert reader.datalink() == 101
        packets = [(at, dpkt.ip.IP(octets)) for at, octets in reader]
    assert [float(at) for at, _ in packets] == [0.0, 1.25, 2.5, 3.75, 5.0]
    for number, (_, ip) in enumerate(packets):
        source, destination = (B, A) if number % 2 else (A, B)
        assert (socket.inet_ntoa(ip.src), socket.inet_ntoa(ip.dst)) == (source, destination)
        assert (ip.udp.sport, ip.udp.dport) == (PORT, PORT)
        assert ip.udp.data == pinger.pings[number // 2]
        assert checksum_is_right(bytes(ip)[:20])
        assert checksum_is_right(ip.src + ip.dst + struct.pack(">II", ip.udp.ulen, 17) + bytes(ip.udp))


def test_a_pcap_file_holds_ipv6_as_well(tmp_path: Path) -> None:
    network = Network()
    sender = network.host("2001:db8::1").listen(lambda *_: None, 5)
    with network.tap_pcap(tmp_path / "run.pcap"):
        sender.send(b"odd", ("2001:db8::2", 6))
    with open(tmp_path / "run.pcap", "rb") as file:
        ((_, octets),) = dpkt.pcap.Reader(file)
    ip = dpkt.ip6.IP6(octets)
    assert socket.inet_ntop(socket.AF_INET6, ip.src) == "2001:db8::1"
    assert (ip.data.sport, ip.data.dport, ip.data.data) == (5, 6, b"odd")
    assert checksum_is_right(ip.src + ip.dst + struct.pack(">II", 11, 17) + bytes(ip.data) + b"\0")
