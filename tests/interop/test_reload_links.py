"""Simple Reliability over the simulated network, as DTLS would carry it, and what Wireshark reads of it."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
from reload_bodies import message
from reload_pcap import write_tcp_pcap

from interop.simulation import Fate, Link, Network, PacketEvent, TraceHash
from reload.contents import MessageCode
from reload.framed_stream import FramedStream
from reload.framing import AckFrame, DataFrame, FramedMessage, decode_frame
from reload.link import LinkClosed, LinkEvent, LinkFailing, LinkRestored, MessageReceived
from reload.methods import PingReq
from reload.simple_reliability import SimpleReliability

MAC = 16
"""Octets of the hash that stands for DTLS here: what was changed on the way is discarded below the link."""


class Sealed:
    """A link in records that show any change, as those of DTLS do."""

    def __init__(self, peer: Any, rtt: float | None) -> None:
        self.link = SimpleReliability(peer, rtt=rtt)
        self.events: list[LinkEvent] = []

    def receive_datagram(self, data: memoryview, address: Any, now: float) -> None:
        octets = bytes(data)
        if hashlib.blake2b(octets[MAC:], digest_size=MAC).digest() == octets[:MAC]:
            self.link.receive_datagram(octets[MAC:], address, now)
        self.events += iter(self.link.next_event, None)

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Any]]:
        return [
            (hashlib.blake2b(octets, digest_size=MAC).digest() + octets, address)
            for octets, address in self.link.datagrams_to_send(now)
        ]

    def get_timer(self) -> float | None:
        return self.link.get_timer()

    def handle_timer(self, now: float) -> None:
        self.link.handle_timer(now)
        self.events += iter(self.link.next_event, None)

    @property
    def received(self) -> list[bytes]:
        return [event.message for event in self.events if isinstance(event, MessageReceived)]


class Pair:
    """Two nodes and a line between them."""

    def __init__(self, seed: int, *, back: Link | None = None, rtt: float | None = None, **line: Any) -> None:
        self.network = Network(seed=seed)
        ups = Link(**line), back or Link(**line)
        self.hosts = [
            self.network.host(f"192.0.2.{number}", name=f"node {number}", up=up) for number, up in enumerate(ups, 1)
        ]
        self.ends = Sealed(("192.0.2.2", 6084), rtt), Sealed(("192.0.2.1", 6084), rtt)
        self.sockets = [host.run(end, port=6084) for host, end in zip(self.hosts, self.ends, strict=True)]

    def send(self, end: int, message: bytes) -> None:
        if not self.ends[end].link.is_closed:
            assert self.ends[end].link.send_message(message, self.hosts[end].now)
            self.sockets[end].wake()

    def exchange(self, count: int, gap: float) -> tuple[list[bytes], list[bytes]]:
        """So many messages each way, as long as both ends live, and then quiet."""
        sent: tuple[list[bytes], list[bytes]] = [], []
        for number in range(count):
            for end in (0, 1):
                message = b"%d of %d, " % (number, end) + bytes(40 * (number % 7))
                if not self.ends[end].link.is_closed:
                    sent[end].append(message)
                self.send(end, message)
            self.run(gap)
        self.run(60.0)
        return sent

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        self.network.run(self.network.now + seconds)


@pytest.mark.parametrize("seed", range(12))
def test_with_every_fifth_datagram_lost_and_others_out_of_order_nothing_is_lost_or_doubled(seed: int) -> None:
    pair = Pair(seed, delay=0.02, jitter=0.02, keeps_order=False, loss=0.2, reordering=0.1, duplication=0.1)
    sent = pair.exchange(60, 1.0)
    for end in (0, 1):
        received, meant = pair.ends[1 - end].received, sent[end]
        if pair.ends[end].link.is_closed:
            # Of five transmissions none was acknowledged: what came before that message is there all the same.
            assert received == meant[: len(received)]
        else:
            assert received == meant


def test_a_line_that_loses_a_fifth_in_all_brings_everything() -> None:
    pair = Pair(3, delay=0.02, loss=0.1, reordering=0.1, duplication=0.1, corruption=0.02)
    sent = pair.exchange(150, 0.5)
    assert [end.link.is_closed for end in pair.ends] == [False, False]
    assert (pair.ends[1].received, pair.ends[0].received) == sent
    assert len(sent[0]) == 150


@pytest.mark.parametrize("delay", [0.001, 0.1, 0.3])
def test_acks_that_are_lost_double_nothing(delay: float) -> None:
    pair = Pair(5, delay=delay, back=Link(delay=delay, loss=0.4), rtt=2 * delay)
    for number in range(40):
        pair.send(0, b"%d" % number)
        pair.run(2.0)
    pair.run(60.0)
    received = pair.ends[1].received
    assert received == [b"%d" % number for number in range(len(received))]


def test_what_is_sent_again_end_to_end_comes_again() -> None:
    pair = Pair(1, delay=0.02)
    for _ in range(5):
        pair.send(0, b"a request without an answer")
        pair.run(3.0)
    assert len(pair.ends[1].received) == 5


def test_never_more_than_one_message_is_on_its_way_and_never_earlier_than_10_ms_after_an_ack() -> None:
    pair = Pair(2, delay=0.003)
    trace: list[tuple[int, str, FramedMessage]] = []

    def tap(event: PacketEvent) -> None:
        if event.fate is not Fate.DROPPED:
            frame = decode_frame(event.packet.payload[MAC:])
            if isinstance(frame, DataFrame) == (event.fate is Fate.SENT):
                trace.append((event.at_us, event.fate.value, frame))

    pair.network.tap(tap)
    for number in range(20):
        pair.send(0, b"%d" % number)
    pair.run(10.0)
    assert pair.ends[1].received == [b"%d" % number for number in range(20)]
    kinds = [type(frame) for _, _, frame in trace]
    assert kinds == [DataFrame, AckFrame] * 20
    acks, messages = trace[1:-1:2], trace[2::2]
    assert {message[0] - ack[0] for ack, message in zip(acks, messages, strict=True)} <= {10_000, 10_001}


def test_a_peer_that_has_gone_is_noticed_and_given_up() -> None:
    pair = Pair(4, delay=0.02)
    pair.send(0, b"before")
    pair.run(1.0)
    pair.hosts[1].crash()
    pair.send(0, b"behind")
    pair.run(3.6)
    assert pair.ends[0].events == [LinkFailing()]
    pair.run(30.0)
    assert isinstance(pair.ends[0].events[-1], LinkClosed)


def test_a_line_that_is_cut_for_some_seconds_comes_back() -> None:
    pair = Pair(6, delay=0.02)
    for host in pair.hosts:
        assert host.up is not None
        host.up.change(loss=1.0)
    pair.send(0, b"a")
    pair.run(5.0)
    for host in pair.hosts:
        assert host.up is not None
        host.up.change(loss=0.0)
    pair.run(5.0)
    assert pair.ends[0].events == [LinkFailing(), LinkRestored()]
    assert pair.ends[1].received == [b"a"]


def test_the_same_seed_gives_the_same_octets_at_the_same_times() -> None:
    def digest(seed: int) -> str:
        pair = Pair(seed, delay=0.02, loss=0.2, reordering=0.2, duplication=0.1)
        trace = TraceHash()
        pair.network.tap(trace)
        pair.exchange(20, 0.4)
        return trace.hexdigest()

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)


def told_by_tshark(path: Path, fields: list[str]) -> list[list[str]]:
    """The values of these fields, a row for each packet."""
    command = ["tshark", "-r", str(path), "-T", "fields", "-E", "separator=|"]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [line.split("|") for line in done.stdout.splitlines()]


FIELDS = ["reload_framing.type", "reload_framing.sequence", "reload_framing.ack_sequence", "reload_framing.received"]


def as_tshark_has_it(frame: FramedMessage) -> list[str]:
    if isinstance(frame, DataFrame):
        return ["128", str(frame.sequence), "", "", str(int(MessageCode.PING_REQ))]
    return ["129", "", str(frame.ack_sequence), f"{frame.received:#010x}", ""]


def test_wireshark_reads_a_link_with_retransmissions_as_it_was_sent(tmp_path: Path) -> None:
    network = Network(seed=9)
    links = SimpleReliability(("192.0.2.2", 6084)), SimpleReliability(("192.0.2.1", 6084))
    sent: list[FramedMessage] = []

    def tap(event: PacketEvent) -> None:
        if event.fate is Fate.SENT:
            sent.append(decode_frame(event.packet.payload))

    network.tap(tap)
    with network.tap_pcap(tmp_path / "run.pcap"):
        for number, link in enumerate(links, 1):
            up = Link(delay=0.02, loss=0.25, duplication=0.1)
            host = network.host(f"192.0.2.{number}", name=f"node {number}", up=up)
            for count in range(10):
                link.send_message(message(MessageCode.PING_REQ, PingReq(), count), host.now)
            host.run(link, port=6084)
        network.run(60.0)
    found = told_by_tshark(tmp_path / "run.pcap", [*FIELDS, "reload.message.code"])
    assert found == [as_tshark_has_it(frame) for frame in sent]
    assert len(sent) > 45
    assert any(isinstance(frame, AckFrame) and frame.received for frame in sent)


def test_wireshark_reads_a_stream_as_it_was_sent(tmp_path: Path) -> None:
    a, b = FramedStream(max_message=5000), FramedStream(max_message=5000)
    for number in range(3):
        a.send_message(message(MessageCode.PING_REQ, PingReq(), number), 0.0)
    segments = [(True, octets) for octets in a.data_to_send(0.0)]
    for _, octets in segments:
        b.receive_data(octets, 0.0)
    segments += [(False, octets) for octets in b.data_to_send(0.0)]
    write_tcp_pcap(tmp_path / "stream.pcap", segments)
    found = told_by_tshark(tmp_path / "stream.pcap", [*FIELDS, "reload.message.code"])
    assert found == [as_tshark_has_it(decode_frame(octets)) for _, octets in segments]
