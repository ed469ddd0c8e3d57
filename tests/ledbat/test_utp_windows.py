"""One connection: windows, Nagle, acknowledgements, pacing."""

import random
from collections.abc import Sequence

import pytest
from utp_network import Network
from utp_wire import DATA, PEER, STATE, Wire, spy, types_of

from ledbat.utp import Closed, Packet, PacketType, Writable, decode, encode
from ledbat.utp.limits import ACK_DELAY, QUICK_ACKS

# Windows


def test_no_more_is_in_flight_than_the_peer_has_room_for() -> None:
    """BEP 29, overview: cur_window + packet_size <= min(max_window, wnd_size)."""
    wire = Wire(controller=spy([]))
    syn, number = wire.dialled()
    wire.give(STATE, syn.connection_id, 9000, syn.seq_nr, wnd_size=3000)
    wire.endpoint.send(number, bytes(20_000))
    sent = wire.take()
    assert 2000 < sum(len(packet.payload) for packet in sent) <= 3000


def test_no_more_is_in_flight_than_the_controller_allows() -> None:
    wire = Wire(controller=spy([]))  # 10 segments of 1452
    _, number = wire.dialled()
    wire.endpoint.send(number, bytes(100_000))
    sent = wire.take()
    assert 14_520 - 1452 < sum(len(packet.payload) for packet in sent) <= 14_520


def test_the_window_advertised_is_the_room_in_the_receive_buffer() -> None:
    """BEP 29, wnd_size: "the number of bytes left in the socket's receive buffer"."""
    wire = Wire(receive_buffer=10_000)
    answer, number = wire.accepted(seq_nr=500)
    assert answer.wnd_size == 10_000
    (state,) = wire.give(DATA, 0x4001, 502, answer.seq_nr - 1, payload=bytes(999))
    assert state.wnd_size == 9000
    (state,) = wire.give(DATA, 0x4001, 504, answer.seq_nr - 1, payload=bytes(500))
    assert state.wnd_size == 8500  # what waits for a missing packet takes room as well
    wire.endpoint.receive(number)
    (state,) = wire.give(DATA, 0x4001, 503, answer.seq_nr - 1, payload=b"")
    assert state.wnd_size == 9500


def test_a_reader_that_stops_stops_the_sender_and_starts_it_again(network: Network) -> None:
    a, b, number, other = network.connected(receive_buffer=20_000)
    b.reading = False
    a.send(number, bytes(200_000))
    network.run(5)
    stats = b.endpoint.stats(other)
    assert 18_000 < stats.readable <= 20_000
    assert a.endpoint.stats(number).peer_window == 20_000 - stats.readable
    b.reading = True
    b.read(other)
    network.poke(b)
    network.run_until(lambda: len(b.received[other]) == 200_000, limit=60)


def test_a_shut_window_is_probed_with_one_octet_ever_more_rarely() -> None:
    wire = Wire(nodelay=True)
    syn, number = wire.dialled()
    seq_nr = (syn.seq_nr + 1) & 0xFFFF
    wire.give(STATE, syn.connection_id, 9000, syn.seq_nr, wnd_size=0)
    wire.endpoint.send(number, bytes(5000))
    assert wire.take() == []
    waits = []
    start = wire.now
    for _ in range(4):
        while not (sent := [packet for packet in wire.after(0.1) if packet.type is DATA]):
            assert wire.now - start < 100
        waits.append(wire.now - start)
        start = wire.now
        assert [(packet.seq_nr, len(packet.payload)) for packet in sent] == [(seq_nr, 1)]
        wire.give(STATE, syn.connection_id, 9000, seq_nr, wnd_size=0)
        seq_nr = (seq_nr + 1) & 0xFFFF
    assert waits == sorted(waits)
    assert waits[3] > 3 * waits[0]
    sent = wire.give(STATE, syn.connection_id, 9000, seq_nr - 1 & 0xFFFF, wnd_size=100_000)
    assert sum(len(packet.payload) for packet in sent) > 500


def test_a_window_that_stays_shut_forever_costs_a_probe_now_and_then_and_no_more() -> None:
    wire = Wire(send_buffer=50_000)
    syn, number = wire.dialled()
    wire.give(STATE, syn.connection_id, 9000, syn.seq_nr, wnd_size=0)
    assert wire.endpoint.send(number, bytes(80_000)) == 50_000
    probes = 0
    for _ in range(3600):
        for packet in wire.after(1.0):
            if packet.type is DATA:
                probes += 1
                wire.give(STATE, syn.connection_id, 9000, packet.seq_nr, wnd_size=0)
    assert 10 < probes < 100
    assert not any(isinstance(event, Closed) for event in wire.events())


def test_send_takes_what_there_is_room_for_and_tells_of_more_once() -> None:
    wire = Wire(send_buffer=10_000, controller=spy([]))
    syn, number = wire.dialled()
    assert wire.endpoint.send(number, bytes(15_000)) == 10_000
    assert wire.endpoint.send(number, b"x") == 0
    sent = wire.take()
    assert not wire.events()
    wire.give(STATE, syn.connection_id, 9000, sent[-1].seq_nr)
    assert wire.events().count(Writable(number)) == 1
    assert wire.endpoint.send(number, bytes(5000)) == 5000


class _Narrow:
    """A receiver-side controller that allows 5000 octets, and later 1000."""

    def __init__(self, mss: int) -> None:
        self.allowed = 5000
        self.received = 0
        self.rtts: list[float | None] = []

    def on_data(self, *, received: int, delays_us: Sequence[int], rtt: float | None, now: float) -> None:
        self.received += received
        self.rtts.append(rtt)

    def on_retransmission(self, now: float) -> None: ...

    def window(self, fcwnd: int) -> int:
        return min(self.allowed, fcwnd)


def test_a_controller_at_the_receiver_limits_the_sender(network: Network) -> None:
    made: list[_Narrow] = []

    def factory(mss: int) -> _Narrow:
        made.append(_Narrow(mss))
        return made[-1]

    a = network.host(("192.0.2.1", 1), 1)
    b = network.host(("192.0.2.2", 2), 2, receive_window=factory)
    number = a.connect(b.address)
    a.send(number, bytes(100_000))
    network.run(1.0)
    assert a.endpoint.stats(number).flight <= 5000
    network.run_until(lambda: len(b.received[b.incoming]) == 100_000, limit=60)
    assert made[0].received == 100_000
    # Both one-way delays together are the round-trip time, whatever the clocks show.
    rtts = [rtt for rtt in made[0].rtts if rtt is not None]
    assert all(0.049 < rtt < 0.08 for rtt in rtts[1:])


def test_the_right_edge_of_the_window_never_moves_left() -> None:
    made: list[_Narrow] = []

    def factory(mss: int) -> _Narrow:
        made.append(_Narrow(mss))
        return made[-1]

    wire = Wire(receive_window=factory)
    answer, _ = wire.accepted(seq_nr=500)
    edge = answer.wnd_size
    assert edge == 5000
    made[0].allowed = 1000
    arrived = 1
    for i in range(8):
        (state,) = wire.give(DATA, 0x4001, 502 + i, answer.seq_nr - 1, payload=bytes(700))
        arrived += 700
        assert arrived + state.wnd_size >= edge
        edge = max(edge, arrived + state.wnd_size)
    assert state.wnd_size == 1000


# Nagle


def test_one_packet_that_is_not_full_is_in_flight() -> None:
    wire = Wire()
    syn, number = wire.dialled()
    wire.endpoint.send(number, b"a")
    (first,) = wire.take()
    wire.endpoint.send(number, b"b")
    wire.endpoint.send(number, b"c")
    assert wire.take() == []
    (second,) = wire.give(STATE, syn.connection_id, 9000, first.seq_nr)
    assert bytes(second.payload) == b"bc"


def test_without_nagle_every_write_leaves_at_once() -> None:
    wire = Wire(nodelay=True)
    _, number = wire.dialled()
    for octet in (b"a", b"b", b"c"):
        wire.endpoint.send(number, octet)
        assert [bytes(packet.payload) for packet in wire.take()] == [octet]


def test_a_shutdown_lets_the_last_octets_go() -> None:
    wire = Wire()
    _, number = wire.dialled()
    wire.endpoint.send(number, b"a")
    wire.take()
    wire.endpoint.send(number, b"b")
    wire.endpoint.shutdown(number)
    assert types_of(wire.take()) == ["DATA", "FIN"]


# Acknowledgements


def _warm() -> tuple[Wire, int, int]:
    """An acceptor past its quick acknowledgements: also the next seq_nr of the peer, and a good ack_nr."""
    wire = Wire()
    answer, _ = wire.accepted(seq_nr=500)
    for i in range(QUICK_ACKS + 2):
        wire.give(DATA, 0x4001, 502 + i, answer.seq_nr - 1, payload=b"x", timestamp_difference=0)
    wire.after(1.0)
    return wire, 502 + QUICK_ACKS + 2, answer.seq_nr - 1


def test_the_first_packets_are_acknowledged_at_once() -> None:
    wire = Wire()
    answer, _ = wire.accepted(seq_nr=500)
    for i in range(QUICK_ACKS - 1):
        assert types_of(wire.give(DATA, 0x4001, 502 + i, answer.seq_nr - 1, payload=b"x")) == ["STATE"]


def test_later_every_second_packet_is_acknowledged_at_once_and_a_single_one_soon() -> None:
    """RFC 5681 section 4.2; RFC 6817 section 4.1: at least one acknowledgement a round trip."""
    wire, seq_nr, ack_nr = _warm()
    assert wire.give(DATA, 0x4001, seq_nr, ack_nr, payload=b"x") == []
    (state,) = wire.give(DATA, 0x4001, seq_nr + 1, ack_nr, payload=b"x")
    assert state.ack_nr == seq_nr + 1
    assert wire.give(DATA, 0x4001, seq_nr + 2, ack_nr, payload=b"x") == []
    (state,) = wire.after(ACK_DELAY + 0.001)
    assert state.ack_nr == seq_nr + 2


def test_the_acknowledgements_of_a_batch_are_one() -> None:
    wire, seq_nr, ack_nr = _warm()
    for i in range(50):
        wire.endpoint.receive_datagram(
            _octets(DATA, 0x4001, seq_nr + i, ack_nr, b"x"),
            PEER,
            wire.now,
        )
    (state,) = wire.take()
    assert (state.type, state.ack_nr) == (STATE, seq_nr + 49)


def _octets(kind: PacketType, connection_id: int, seq_nr: int, ack_nr: int, payload: bytes) -> bytes:
    return encode(
        Packet(
            type=kind,
            connection_id=connection_id,
            seq_nr=seq_nr,
            ack_nr=ack_nr,
            timestamp=1,
            wnd_size=1 << 20,
            payload=payload,
        )
    )


@pytest.mark.parametrize("ahead", [-3, 0, 2, 5])
def test_what_is_out_of_order_is_acknowledged_at_once(ahead: int) -> None:
    wire, seq_nr, ack_nr = _warm()
    (state,) = wire.give(DATA, 0x4001, seq_nr - 1 + ahead, ack_nr, payload=b"x")
    assert state.ack_nr == seq_nr - 1
    assert (state.selective_ack is not None) == (ahead > 1)


def test_a_selective_ack_is_sent_only_while_a_packet_is_missing() -> None:
    """BEP 29, Selective ACK: "only sent when at least one sequence number was skipped"."""
    wire, seq_nr, ack_nr = _warm()
    (state,) = wire.give(DATA, 0x4001, seq_nr + 1, ack_nr, payload=b"x")
    assert state.selective_ack == b"\x01\0\0\0"
    (state,) = wire.give(DATA, 0x4001, seq_nr, ack_nr, payload=b"x")
    assert (state.selective_ack, state.ack_nr) == (None, seq_nr + 1)


def test_data_carries_the_acknowledgement() -> None:
    wire, seq_nr, ack_nr = _warm()
    wire.endpoint.receive_datagram(_octets(DATA, 0x4001, seq_nr, ack_nr, b"x"), PEER, wire.now)
    wire.endpoint.send(1, b"answer")
    (data,) = wire.take()
    assert (data.type, data.ack_nr) == (DATA, seq_nr)
    assert wire.after(1.0)[0].type is DATA  # no STATE of its own: the next is a retransmission


def test_at_least_four_acknowledgements_leave_a_round_trip(network: Network) -> None:
    """RFC 6817 section 2.5: "at least 4 delay samples" for each RTT, unless the window is small."""
    network.delay = 0.1
    network.rate = 100_000
    a, b, number, _ = network.connected()
    a.send(number, bytes(1_000_000))
    network.run(5.0)
    mark = len(network.log)
    start = network.now
    network.run(1.0)
    acks = [data for _, source, data in network.log[mark:] if source == b.address]
    assert a.endpoint.stats(number).flight > 4 * 1452
    assert len(acks) >= 4 * (network.now - start) / 0.2


# Pacing


def test_a_window_does_not_leave_in_one_burst(network: Network) -> None:
    a, _, number, _ = network.connected(controller=spy([]))
    a.endpoint._numbers[number].outbound.controller.cwnd = 100 * 1452
    a.send(number, bytes(20_000_000))
    network.run(2)
    mark = len(network.log)
    network.run(0.5)
    bursts: dict[float, int] = {}
    for at, source, data in network.log[mark:]:
        if source == a.address and data[0] == 1:
            bursts[at] = bursts.get(at, 0) + 1
    assert max(bursts.values()) <= 17
    assert sum(bursts.values()) > 0.9 * 100 * 0.5 / 0.05  # and yet the window is used


def test_equal_datagrams_to_one_address_stand_together(network: Network) -> None:
    a, b, number, _ = network.connected(controller=spy([]))
    a.send(number, bytes(50_000))
    network.run(1)
    endpoint = a.endpoint
    endpoint.send(number, bytes(10 * 1452))
    batch = endpoint.datagrams_to_send(network.now)
    assert len(batch) > 1
    assert {address for _, address in batch} == {b.address}
    assert {sum(map(len, datagram)) for datagram, _ in batch if not isinstance(datagram, bytes)} == {1472}


def test_an_idle_connection_costs_a_keep_alive_in_half_a_minute(network: Network) -> None:
    _, _, _, _ = network.connected()
    mark = len(network.log)
    network.run(300)
    assert len(network.log) - mark == 20
    assert {decode(data).type for _, _, data in network.log[mark:]} == {STATE}


def test_lying_timestamps_never_make_us_faster_than_the_window_of_tcp() -> None:
    """Gate E17: constant, random and impossible delays."""
    for seed, lie in enumerate((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, None)):
        rng = random.Random(seed)
        wire = Wire()
        syn, number = wire.dialled()
        wire.endpoint.send(number, bytes(1 << 20))
        sent = wire.take()
        acked = 0
        limit = 3 * 1452
        for _ in range(40):
            if not sent:
                sent = [packet for packet in wire.after(0.05) if packet.type is DATA]
                continue
            wire.now += 0.05
            acked = sum(len(packet.payload) for packet in sent)
            difference = rng.getrandbits(32) if lie is None else lie
            flight = wire.endpoint.stats(number).flight
            limit = max(limit, 2 * (flight + 2 * 1452))
            sent = [
                packet
                for packet in wire.give(
                    STATE, syn.connection_id, 9000, sent[-1].seq_nr, timestamp_difference=difference
                )
                if packet.type is DATA
            ]
            assert wire.endpoint.stats(number).flight <= limit
        assert acked
