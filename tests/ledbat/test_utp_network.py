"""Two endpoints over a bad network in virtual time: every octet arrives, in order, and both ends end well."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from utp_network import A, B, Host, Network

from ledbat.reno import NewReno
from ledbat.utp import Closed, Connected, EofReceived, Finished, Incoming, Reason

Fate = Callable[[random.Random, bytes], list[float]]


def lossy(rate: float) -> Fate:
    return lambda chance, _: [] if chance.random() < rate else [0.025]


def reordering(chance: random.Random, _: bytes) -> list[float]:
    return [0.02 + 0.02 * chance.random()]


def rarely_late(chance: random.Random, _: bytes) -> list[float]:
    return [0.2 if chance.random() < 0.02 else 0.02]


def duplicating(chance: random.Random, _: bytes) -> list[float]:
    return [0.02 + 0.01 * i for i in range(1 + (chance.random() < 0.3))]


def everything(chance: random.Random, _: bytes) -> list[float]:
    return [0.01 + 0.03 * chance.random() for _ in range(chance.choice((0, 1, 1, 1, 1, 1, 1, 1, 2, 3)))]


PATHS: dict[str, Fate] = {
    "clean": lambda *_: [0.025],
    "1 % lost": lossy(0.01),
    "5 % lost": lossy(0.05),
    "20 % lost": lossy(0.20),
    "reordered": reordering,
    "rarely late": rarely_late,
    "duplicated": duplicating,
    "all of it": everything,
}


def network_of(fate: Fate, seed: int = 3) -> Network:
    network = Network()
    chance = random.Random(seed)
    network.fate = lambda data, *_: fate(chance, data)
    return network


def resets(network: Network) -> int:
    return sum(data[0] >> 4 == 3 for _, _, data in network.log)


def ended_well(network: Network, *hosts: Host) -> None:
    """Both FINs acknowledged, no RESET, nothing left."""
    for host in hosts:
        assert [event.reason for event in host.of(Closed)] == [Reason.FINISHED] * len(host.of(Closed))
        assert host.of(Closed)
    network.run(100.0)
    assert resets(network) == 0
    for host in hosts:
        assert host.endpoint.connections == 0
        assert host.endpoint.get_timer() is None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("path", PATHS)
def test_a_stream_arrives_exactly_and_both_ends_finish(path: str, seed: int) -> None:
    """BEP 29 "packet loss", "timeouts", "ST_FIN"."""
    network = network_of(PATHS[path], seed)
    a, b = network.pair()
    data = random.Random(seed).randbytes(250_000)
    number = a.connect(B)
    a.send(number, data, finish=True)
    network.run_until(lambda: bool(b.of(EofReceived)))
    b.endpoint.shutdown(b.incoming)
    network.poke(b)
    network.run_until(lambda: bool(a.of(Closed) and b.of(Closed)))
    assert b.received[b.incoming] == data
    ended_well(network, a, b)


@pytest.mark.parametrize("path", PATHS)
def test_streams_in_both_directions_at_once_arrive_exactly(path: str) -> None:
    """Data acknowledges data."""
    network = network_of(PATHS[path])
    a, b = network.pair()
    there, back = random.Random(1).randbytes(150_000), random.Random(2).randbytes(120_000)
    number = a.connect(B)
    a.send(number, there, finish=True)
    network.run_until(lambda: bool(b.of(Incoming)))
    b.send(b.incoming, back, finish=True)
    network.run_until(lambda: bool(a.of(Closed) and b.of(Closed)))
    assert b.received[b.incoming] == there
    assert a.received[number] == back
    ended_well(network, a, b)


@pytest.mark.parametrize("damage", ["cut", "version", "type", "extension"])
def test_datagrams_that_are_damaged_beyond_reading_are_as_good_as_lost(damage: str) -> None:
    """UDP's checksum finds most damage; what it leaves must not confuse anyone."""
    network = Network()
    chance = random.Random(4)

    def fate(data: bytes, source: Any, destination: Any, _: int) -> list[float]:
        if chance.random() >= 0.05:
            return [0.025]
        broken = {
            "cut": data[: chance.randrange(20)],
            "version": bytes([data[0] ^ 3]) + data[1:],
            "type": bytes([data[0] | 0xF0]) + data[1:],
            "extension": data[:1] + b"\x01" + data[2:20] + b"\x00\xff" + data[20:100],
        }[damage]
        network.hosts[destination].endpoint.receive_datagram(broken, source, network.now)
        return []

    network.fate = fate
    a, b = network.pair()
    data = random.Random(5).randbytes(150_000)
    number = a.connect(B)
    a.send(number, data, finish=True)
    network.run_until(lambda: bool(b.of(EofReceived)))
    b.endpoint.shutdown(b.incoming)
    network.poke(b)
    network.run_until(lambda: bool(a.of(Closed) and b.of(Closed)))
    assert b.received[b.incoming] == data
    assert b.dropped
    ended_well(network, a, b)


@pytest.mark.parametrize("path", PATHS)
def test_a_direction_may_be_finished_while_the_other_goes_on(path: str) -> None:
    """Half-close: the answer starts after the question has ended."""
    network = network_of(PATHS[path])
    a, b = network.pair()
    number = a.connect(B)
    a.send(number, b"question", finish=True)
    network.run_until(lambda: bool(b.of(EofReceived)))
    assert b.received[b.incoming] == b"question"
    network.run_until(lambda: bool(a.of(Finished)))
    network.run(100.0)
    answer = random.Random(6).randbytes(100_000)
    b.send(b.incoming, answer, finish=True)
    network.run_until(lambda: bool(a.of(Closed) and b.of(Closed)))
    assert a.received[number] == answer
    ended_well(network, a, b)


@pytest.mark.parametrize("seed", range(8))
def test_a_stream_of_no_octets_ends_well_over_a_path_that_loses_a_fifth(seed: int) -> None:
    """FIN first (U11); each of SYN, its answer, both FINs and their acknowledgements may be lost."""
    network = network_of(lossy(0.2), seed)
    a, b = network.pair()
    number = a.connect(B)
    a.endpoint.shutdown(number)
    network.poke(a)
    network.run_until(lambda: bool(b.of(EofReceived)))
    b.endpoint.shutdown(b.incoming)
    network.poke(b)
    network.run_until(lambda: bool(a.of(Closed) and b.of(Closed)))
    assert b.received[b.incoming] == b""
    ended_well(network, a, b)


def test_both_ends_may_finish_at_the_same_moment() -> None:
    """The FINs cross."""
    network = Network()
    a, b, number, incoming = network.connected()
    a.endpoint.shutdown(number)
    b.endpoint.shutdown(incoming)
    network.poke(a)
    network.poke(b)
    network.run_until(lambda: bool(a.of(Closed) and b.of(Closed)), 5.0)
    ended_well(network, a, b)


@pytest.mark.parametrize("kind", ["SYN", "answer", "first data", "FIN", "answer to the FIN"])
def test_any_one_packet_of_a_connections_beginning_and_end_may_be_lost(kind: str) -> None:
    """U10 and the linger: the one that is lost is sent again, or asked for again."""
    network = Network()
    lost: list[bytes] = []

    def is_it(data: bytes, source: Any) -> bool:
        packet = data[0] >> 4
        return {
            "SYN": packet == 4,
            "answer": source == B and packet == 2,
            "first data": packet == 0,
            "FIN": packet == 1,
            "answer to the FIN": packet == 2 and any(d[0] >> 4 == 1 for _, _, d in network.log),
        }[kind]

    def fate(data: bytes, source: Any, *_: Any) -> list[float]:
        if not lost and is_it(data, source):
            lost.append(data)
            return []
        return [0.025]

    network.fate = fate
    a, b = network.pair()
    number = a.connect(B)
    a.send(number, b"hello", finish=True)
    network.run_until(lambda: bool(b.of(EofReceived)), 30.0)
    b.endpoint.shutdown(b.incoming)
    network.poke(b)
    network.run_until(lambda: bool(a.of(Closed) and b.of(Closed)), 30.0)
    assert lost
    assert b.received[b.incoming] == b"hello"
    ended_well(network, a, b)


def test_a_host_that_does_not_listen_refuses_at_once() -> None:
    """RESET for the SYN."""
    network = Network()
    a = network.host(A, 1)
    network.host(B, 2, accept=False)
    number = a.connect(B)
    network.run(1.0)
    assert a.events == [Closed(number, Reason.REFUSED)]


def test_many_connections_share_a_lossy_path() -> None:
    """Each is its own stream."""
    network = network_of(everything)
    a, b = network.pair()
    streams = {}
    for i in range(40):
        streams[a.connect(B)] = random.Random(i).randbytes(3000 + 97 * i)
    for number, data in streams.items():
        a.send(number, data, finish=True)
    network.run_until(lambda: len(b.of(EofReceived)) == 40)
    for event in b.of(Incoming):
        b.endpoint.shutdown(event.connection)
    network.poke(b)
    network.run_until(lambda: len(a.of(Closed)) == len(b.of(Closed)) == 40)
    assert sorted(map(bytes, b.received.values())) == sorted(streams.values())
    assert len(a.of(Connected)) == 40
    ended_well(network, a, b)


# A receiver that does not read


@pytest.mark.parametrize("path", ["clean", "20 % lost", "all of it"])
def test_a_receiver_that_stops_reading_stops_the_sender_and_lets_it_go_on(path: str) -> None:
    """The window shuts, and no loss keeps it shut: the zero window is probed."""
    network = network_of(PATHS[path])
    a = network.host(A, 1)
    b = network.host(B, 2, receive_buffer=30_000)
    b.reading = False
    data = random.Random(5).randbytes(150_000)
    number = a.connect(B)
    a.send(number, data, finish=True)

    def buffered() -> int:
        return b.endpoint.stats(b.incoming).readable

    network.run_until(lambda: bool(b.of(Incoming)))
    while len(b.received[b.incoming]) + buffered() < len(data):
        network.run_until(lambda: buffered() >= 20_000 or len(b.received[b.incoming]) + buffered() == len(data), 200.0)
        network.run(5.0)
        assert buffered() <= 30_000
        b.read(b.incoming)
        network.poke(b)
    b.reading = True
    b.read(b.incoming)
    network.poke(b)
    network.run_until(lambda: bool(b.of(EofReceived)))
    assert b.received[b.incoming] == data
    assert resets(network) == 0


def test_a_window_that_is_shut_for_an_hour_ends_nothing() -> None:
    """The peer answers the probes, so it lives."""
    network = Network()
    a = network.host(A, 1)
    b = network.host(B, 2, receive_buffer=10_000)
    b.reading = False
    data = bytes(50_000)
    number = a.connect(B)
    a.send(number, data, finish=True)
    network.run(3600.0)
    assert not a.of(Closed)
    assert len(network.log) < 1000
    b.reading = True
    b.read(b.incoming)
    network.poke(b)
    network.run_until(lambda: bool(b.of(EofReceived)), 200.0)
    assert b.received[b.incoming] == data


@pytest.mark.parametrize("seed", range(4))
def test_a_window_that_opens_is_learned_of_when_its_announcement_is_lost(seed: int) -> None:
    """All that the receiver sends of its own accord at the opening is lost."""
    network = Network()
    deaf = [False]
    network.fate = lambda data, source, *_: [] if deaf[0] and source == B else [0.025]
    a = network.host(A, 1)
    b = network.host(B, 2, receive_buffer=10_000 + seed)
    b.reading = False
    number = a.connect(B)
    a.send(number, bytes(40_000), finish=True)
    network.run(20.0 + seed)
    deaf[0] = True
    b.reading = True
    b.read(b.incoming)
    network.poke(b)
    network.run(0.2)
    deaf[0] = False
    network.run_until(lambda: bool(b.of(EofReceived)), 130.0)
    assert len(b.received[b.incoming]) == 40_000


# Blackouts and bursts


@pytest.mark.parametrize("controller", ["default", "NewReno"])
def test_e15_a_blackout_of_five_seconds_ends_nothing_and_is_recovered_from(controller: str) -> None:
    """Recovered at the latest two timeouts after the path came back; the timeout has backed off to 8 s by then."""
    options: dict[str, Any] = {} if controller == "default" else {"controller": lambda mss: NewReno(mss=mss)}
    network = Network(delay=0.025)
    network.rate = 1_250_000.0
    dark = [False]
    network.fate = lambda *_: [] if dark[0] else [0.025]
    a, b = network.pair(send_buffer=1 << 23, **options)
    data = random.Random(5).randbytes(6_000_000)
    number = a.connect(B)
    a.send(number, data, finish=True)
    network.run(2.0)
    dark[0] = True
    network.run(5.0)
    timeout = a.endpoint.stats(number).timeout
    before = len(b.received[b.incoming])
    dark[0] = False
    network.run_until(lambda: len(b.received[b.incoming]) > before, 2 * timeout)
    network.run_until(lambda: bool(b.of(EofReceived)), 60.0)
    assert b.received[b.incoming] == data
    assert not a.of(Closed)
    assert resets(network) == 0


def test_e15_a_peer_that_is_gone_is_given_up_after_a_minute_and_not_before() -> None:
    """ "No give-up before 60 s total"."""
    network = Network()
    gone = [False]
    network.fate = lambda *_: [] if gone[0] else [0.025]
    a, _, number, _ = network.connected()
    gone[0] = True
    a.send(number, bytes(10_000))
    network.run(59.9)
    assert not a.of(Closed)
    network.run(120.0)
    assert a.of(Closed) == [Closed(number, Reason.TIMEOUT)]


def e16(total: int, lost: int, *, delay: float = 0.025, **options: Any) -> float:
    """Seconds from the loss of the last `lost` data packets to the receiver's having everything."""
    network = Network(delay=delay)
    sent = [0]
    when = [0.0]
    first: dict[int, bool] = {}
    a = network.host(A, 1, min_datagram=1472, send_buffer=1 << 22, **options)
    b = network.host(B, 2)
    number = a.connect(B)
    network.run(1.0)

    def fate(data: bytes, source: Any, *_: Any) -> list[float]:
        if source == A and data[0] >> 4 == 0:
            seq_nr = int.from_bytes(data[16:18], "big")
            if seq_nr not in first:
                first[seq_nr] = True
                sent[0] += 1
                if sent[0] > total - lost:
                    when[0] = when[0] or network.now
                    return []
        return [delay]

    network.fate = fate
    a.send(number, bytes(1452 * total))
    network.run_until(lambda: len(b.received[b.incoming]) == 1452 * total, 60.0)
    assert sent[0] == total
    return network.now - when[0]


def test_e16_a_burst_of_24_lost_at_the_tail_is_recovered_within_a_second() -> None:
    """At an RTT of 50 ms: by a tail-loss probe and by what its acknowledgement reveals, not by timeouts alone."""
    seconds = e16(400, 24)
    assert seconds <= 1.0


@pytest.mark.parametrize("lost", [1, 2, 3, 8, 16])
def test_e16_smaller_bursts_at_the_tail_are_recovered_within_a_second_too(lost: int) -> None:
    """Down to the very last packet, which nothing follows that could tell of its loss."""
    assert e16(400, lost) <= 1.0


def test_e16_the_bar_holds_for_reno_as_well() -> None:
    """Recovery is the transport's, not the controller's."""
    assert e16(400, 24, controller=lambda mss: NewReno(mss=mss)) <= 1.0


def test_reordering_alone_is_not_taken_for_loss_for_long() -> None:
    """RACK's window grows with the reordering that is seen: few needless retransmissions."""
    network = network_of(lambda chance, _: [0.05 + 0.01 * chance.random()])
    a, b = network.pair(min_datagram=1472)
    number = a.connect(B)
    a.send(number, bytes(1_500_000), finish=True)
    network.run_until(lambda: bool(b.of(EofReceived)))
    assert a.endpoint.stats(number).retransmissions < 30


def test_a_clean_path_sees_no_packet_twice() -> None:
    """Neither data nor FIN nor SYN, the tail-loss probe included."""
    network = Network()
    a, b = network.pair()
    number = a.connect(B)
    a.send(number, bytes(500_000), finish=True)
    network.run_until(lambda: bool(b.of(EofReceived)))
    b.endpoint.shutdown(b.incoming)
    network.poke(b)
    network.run(60.0)
    numbers = [data[16:18] for _, source, data in network.log if source == A and data[0] >> 4 in (0, 1, 4)]
    assert len(numbers) == len(set(numbers))


@given(
    st.integers(0, 2**32),
    st.integers(0, 40_000),
    st.integers(700, 40_000),
    st.sampled_from([0.0, 0.02, 0.1, 0.25]),
    st.floats(0, 0.1),
    st.booleans(),
)
def test_whatever_the_path_does_the_stream_is_exact(
    seed: int, size: int, buffer: int, loss: float, jitter: float, nodelay: bool
) -> None:
    """Any size, any buffer, any loss up to a quarter, any reordering."""
    network = network_of(lambda chance, _: [] if chance.random() < loss else [0.01 + jitter * chance.random()], seed)
    a = network.host(A, seed, nodelay=nodelay, send_buffer=buffer)
    b = network.host(B, seed + 1, receive_buffer=buffer)
    data = random.Random(seed).randbytes(size)
    number = a.connect(B)
    a.send(number, data, finish=True)
    network.run_until(lambda: bool(b.of(EofReceived) or a.of(Closed)), 5000.0)
    if not a.of(Closed):  # a quarter lost may be too much for five SYNs
        assert b.received[b.incoming] == data
    assert all(event.reason is Reason.TIMEOUT for event in a.of(Closed))
