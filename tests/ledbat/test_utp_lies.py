"""Peers that lie about acknowledgements, windows and timestamps; memory is bounded, what is sent arrives."""

import random
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hand_utp import DATA, STATE, Hand, build
from utp_endpoints import endpoint
from utp_network import A, B, Host, Network
from utp_states import connected, held, zero_window

from ledbat.reno import NewReno
from ledbat.utp import Closed, EofReceived, Readable

# Lying acknowledgements and windows


def test_acknowledgements_of_everything_possible_move_the_connection_only_by_what_was_sent() -> None:
    """All 65536 of them."""
    peer = Hand(endpoint())
    connected(peer)
    peer.endpoint.send(peer.number, b"x")
    before = peer.ack
    (data,) = peer.hear()
    for ack_nr in range(0x10000):
        if ack_nr != data.seq_nr:
            peer.raw(build(STATE, peer.peer_id, seq_nr=peer.seq, ack_nr=ack_nr))
    assert peer.endpoint.stats(peer.number).flight == 1
    peer.say(STATE, ack_nr=data.seq_nr)
    assert peer.endpoint.stats(peer.number).flight == 0
    assert before != data.seq_nr


def test_a_window_that_stays_shut_for_ever_is_probed_more_and_more_seldom_and_ends_nothing() -> None:
    """The peer answers each probe with window 0: it lives, so we wait; when it opens, all goes through."""
    peer = Hand(endpoint())
    zero_window(peer)
    probes = 0
    for _ in range(1000):
        for packet in peer.wait(1.0):
            probes += packet.kind == DATA
            peer.say(STATE, wnd_size=0)
            peer.hear()
    assert 5 < probes < 100
    assert not [event for event in peer.events() if isinstance(event, Closed)]
    received = 0
    peer.say(STATE, wnd_size=1 << 20)
    for _ in range(40):
        received += sum(len(packet.payload) for packet in peer.hear())
        peer.now += 0.05
        peer.say(STATE)
    assert received >= 5000 - probes


@pytest.mark.parametrize("wnd_size", [1, 3, 100, 527])
def test_a_window_of_less_than_a_packet_for_ever_does_not_deadlock(wnd_size: int) -> None:
    """Small packets then: never more octets in flight than the window says."""
    peer = Hand(endpoint())
    connected(peer)
    peer.say(STATE, wnd_size=wnd_size)
    peer.endpoint.send(peer.number, b"y" * 700)
    received = b""
    for _ in range(2000):
        heard = peer.hear() + peer.wait(0.01)
        assert sum(len(packet.payload) for packet in heard if packet.kind == DATA) <= wnd_size
        received += b"".join(packet.payload for packet in heard if packet.kind == DATA)
        peer.say(STATE, wnd_size=wnd_size)
        if len(received) >= 700:
            break
    assert received == b"y" * 700


def test_a_window_that_jumps_between_0_and_everything_breaks_nothing() -> None:
    """At every packet."""
    peer = Hand(endpoint())
    connected(peer)
    peer.endpoint.send(peer.number, bytes(100_000))
    received = 0
    for i in range(3000):
        for packet in peer.hear() + peer.wait(0.02):
            received += len(packet.payload) * (packet.seq_nr == packet.seq_nr)
        peer.say(STATE, wnd_size=(0, 0xFFFFFFFF, 1, 1 << 20)[i % 4])
        held(peer.endpoint)
    assert received >= 100_000


def test_a_peer_that_sends_beyond_its_window_is_held_to_it() -> None:
    """What does not fit is dropped, in order or not, and the window never says more than there is."""
    peer = Hand(endpoint(receive_buffer=10_000))
    connected(peer)
    for i in range(200):
        peer.say(DATA, payload=bytes(1000), seq_nr=peer.seq + (i * 7) % 150)
        held(peer.endpoint)
        assert all(packet.wnd_size <= 10_000 for packet in peer.hear())
    peer.endpoint.receive(peer.number)
    held(peer.endpoint)


def test_a_peer_that_sends_empty_data_packets_only_fills_nothing() -> None:
    """BEP 29: "an ST_DATA packet always has a data payload"."""
    peer = Hand(endpoint())
    connected(peer)
    peer.events()
    for _ in range(20_000):
        peer.say(DATA)
    peer.hear()
    for _ in range(10_000):
        peer.say(DATA, seq_nr=peer.seq + 2 + _)
    peer.hear()
    held(peer.endpoint)
    assert not [event for event in peer.events() if isinstance(event, Readable)]


# Lying timestamps


def liar(host: Host, lie: Callable[[int, int], tuple[int, int]]) -> None:
    """`host` hears (timestamp, timestamp_difference) as `lie` makes them."""
    receive = host.endpoint.receive_datagram

    def lied(data: Any, address: Any, now: float) -> None:
        changed = bytearray(data)
        if len(changed) >= 20:
            struct.pack_into(">II", changed, 4, *lie(*struct.unpack_from(">II", changed, 4)))
        receive(bytes(changed), address, now)

    host.endpoint.receive_datagram = lied


_chance = random.Random(12)
LIES: dict[str, Callable[[int, int], tuple[int, int]]] = {
    "difference 0": lambda timestamp, _: (timestamp, 0),
    "difference 1": lambda timestamp, _: (timestamp, 1),
    "difference constant": lambda timestamp, _: (timestamp, 123_456),
    "difference INT_MAX": lambda timestamp, _: (timestamp, 0x7FFFFFFF),
    "difference all ones": lambda timestamp, _: (timestamp, 0xFFFFFFFF),
    "difference random": lambda timestamp, _: (timestamp, _chance.getrandbits(32)),
    "difference falling": lambda timestamp, difference: (timestamp, (difference - timestamp // 10) & 0xFFFFFFFF),
    "difference rising": lambda timestamp, difference: (timestamp, (difference + timestamp // 10) & 0xFFFFFFFF),
    "timestamp 0": lambda _, difference: (0, difference),
    "timestamp constant": lambda _, difference: (99, difference),
    "both random": lambda *_: (_chance.getrandbits(32), _chance.getrandbits(32)),
}


def octets_in(seconds: float, lie: Callable[[int, int], tuple[int, int]] | None, **options: Any) -> int:
    """What a sender that is lied to gets across a path of 50 ms that loses every 150th full packet."""
    network = Network(delay=0.025)
    full = [0]

    def fate(data: bytes, source: Any, _: Any, number: int) -> list[float]:
        if source == A and len(data) > 500:
            full[0] += 1
            if full[0] % 150 == 0:
                return []
        return [0.025]

    network.fate = fate
    a = network.host(A, 1, send_buffer=1 << 22, min_datagram=1472, **options)
    b = network.host(B, 2, receive_buffer=1 << 22)
    if lie is not None:
        liar(a, lie)
    number = a.connect(B)
    a.send(number, bytes(60_000_000))
    network.run(seconds)
    assert not b.of(Closed)
    assert not a.of(Closed)
    return len(b.received[b.incoming])


@pytest.fixture(scope="module")
def reno_octets() -> int:
    return octets_in(20.0, None, controller=lambda mss: NewReno(mss=mss))


@pytest.mark.parametrize("lie", LIES)
def test_no_lie_about_delays_makes_a_sender_faster_than_reno_or_stops_it(lie: str, reno_octets: int) -> None:
    """E17: delay constant, 0, random, INT_MAX: never faster than Reno; never a deadlock."""
    octets = octets_in(20.0, LIES[lie])
    assert octets <= reno_octets
    assert octets > 50_000


@pytest.mark.parametrize("lie", LIES)
def test_a_transfer_whose_timestamps_lie_in_both_directions_is_exact(lie: str) -> None:
    """Reliability does not rest on clocks."""
    network = Network(delay=0.02)
    chance = random.Random(8)
    network.fate = lambda *_: [] if chance.random() < 0.03 else [0.02 + 0.01 * chance.random()]
    a, b = network.pair()
    liar(a, LIES[lie])
    liar(b, LIES[lie])
    data = random.Random(9).randbytes(150_000)
    number = a.connect(B)
    a.send(number, data, finish=True)
    network.run_until(lambda: bool(b.of(EofReceived)))
    assert b.received[b.incoming] == data
