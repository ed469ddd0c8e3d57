"""One connection: handshake, windows, acknowledgements, pacing, the end."""

import random
from collections.abc import Sequence

import pytest
from utp_network import Host, Network
from utp_wire import PEER, Wire, spy

from ledbat.errors import StateError
from ledbat.utp import (
    Closed,
    Connected,
    EofReceived,
    Finished,
    Incoming,
    Packet,
    PacketType,
    Reason,
    Writable,
    decode,
    encode,
)
from ledbat.utp.limits import ACK_DELAY, LINGER, QUICK_ACKS
from ledbat.utp.states import State

DATA, FIN, STATE, RESET, SYN = PacketType


def _types(packets: Sequence[Packet]) -> list[str]:
    return [packet.type.name for packet in packets]


# The handshake


def test_a_connection_is_set_up_as_in_the_diagram() -> None:
    """BEP 29, connection setup (with U2)."""
    wire = Wire()
    number = wire.endpoint.connect(PEER, wire.now)
    (syn,) = wire.take()
    assert (syn.type, syn.timestamp_difference, bytes(syn.payload)) == (SYN, 0, b"")
    (state,) = wire.give(STATE, syn.connection_id, 9000, syn.seq_nr)
    assert wire.events() == [Connected(number, PEER)]
    assert (state.seq_nr, state.ack_nr) == ((syn.seq_nr + 1) & 0xFFFF, 8999)


def test_the_difference_is_0_until_there_is_a_sample_and_then_the_delay_of_the_last_packet() -> None:
    """BEP 29, timestamp_difference_microseconds: "this must be set to 0"."""
    wire = Wire()
    wire.endpoint.connect(PEER, wire.now)
    (syn,) = wire.take()
    assert syn.timestamp_difference == 0
    (state,) = wire.give(STATE, syn.connection_id, 9000, syn.seq_nr, timestamp=49_999_000)
    assert state.timestamp_difference == 1000


def test_a_syn_is_sent_again_after_1_2_4_and_8_seconds_and_given_up_after_30() -> None:
    wire = Wire()
    number = wire.endpoint.connect(PEER, wire.now)
    first = wire.take()
    times = []
    start = wire.now
    for _ in range(31):
        times += [round(wire.now + 1 - start)] * len(wire.after(1.0))
    assert times == [1, 3, 7, 15]
    assert wire.events() == [Closed(number, Reason.TIMEOUT)]
    assert wire.endpoint.get_timer() is None
    assert len(first) == 1


def test_a_refused_connection_says_so() -> None:
    wire = Wire()
    number = wire.endpoint.connect(PEER, wire.now)
    (syn,) = wire.take()
    wire.give(RESET, syn.connection_id, 0, syn.seq_nr + 1)
    assert [type(event).__name__ for event in wire.events()] == ["DatagramDropped"]
    wire.give(RESET, syn.connection_id, 0, syn.seq_nr)
    assert wire.events() == [Closed(number, Reason.REFUSED)]


def test_what_is_sent_before_the_connection_is_there_waits_for_it() -> None:
    wire = Wire()
    number = wire.endpoint.connect(PEER, wire.now)
    wire.endpoint.send(number, b"early")
    (syn,) = wire.take()
    (data,) = wire.give(STATE, syn.connection_id, 9000, syn.seq_nr)
    assert bytes(data.payload) == b"early"


@pytest.mark.parametrize("kind", PacketType, ids=lambda kind: kind.name)
@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
def test_every_type_of_packet_in_every_state_does_what_the_table_says(state: State, kind: PacketType) -> None:
    wire, number, id_, ack_nr = _in_state(state)
    before = _state(wire, number)
    wire.give(kind, id_, 502, ack_nr, payload=b"x" if kind is DATA else b"")
    after = _state(wire, number)
    expected = {
        (State.SYN_SENT, STATE): State.CONNECTED,
        (State.SYN_SENT, RESET): None,
        (State.SYN_RECV, DATA): State.CONNECTED,
        (State.SYN_RECV, FIN): State.CONNECTED,
        (State.SYN_RECV, STATE): State.CONNECTED,
        (State.SYN_RECV, RESET): None,
        (State.CONNECTED, RESET): None,
        (State.LINGERING, RESET): None,
    }.get((state, kind), before)
    assert after is expected


def _state(wire: Wire, number: int) -> State | None:
    connection = wire.endpoint._numbers.get(number)
    return None if connection is None or connection.state is State.CLOSED else connection.state


def _in_state(state: State) -> tuple[Wire, int, int, int]:
    """An endpoint with a connection in that state: also its number, the ID to reach it, and a good ack_nr."""
    wire = Wire()
    if state is State.SYN_SENT:
        number = wire.endpoint.connect(PEER, wire.now)
        (syn,) = wire.take()
        return wire, number, syn.connection_id, syn.seq_nr
    (answer,) = wire.give(SYN, 0x4000, 501, 0)
    number, ack_nr = 1, answer.seq_nr - 1
    if state is State.SYN_RECV:
        return wire, number, 0x4001, ack_nr
    wire.give(STATE, 0x4001, 502, ack_nr)
    if state is State.CONNECTED:
        return wire, number, 0x4001, ack_nr
    if state is State.CLOSED:
        wire.endpoint.reset(number, wire.now)
        wire.take()
        return wire, number, 0x4001, ack_nr
    wire.endpoint.shutdown(number)
    wire.take()
    wire.give(FIN, 0x4001, 502, answer.seq_nr)
    assert _state(wire, number) is State.LINGERING
    return wire, number, 0x4001, answer.seq_nr


# Data


def test_octets_flow_both_ways_and_both_directions_end(network: Network) -> None:
    a, b, number, other = network.connected()
    a.send(number, bytes(300_000), finish=True)
    b.send(other, b"y" * 200_000, finish=True)
    network.run(10)
    assert bytes(b.received[other]) == bytes(300_000)
    assert bytes(a.received[number]) == b"y" * 200_000
    assert a.events[-1] == Closed(number, Reason.FINISHED)
    assert b.events[-1] == Closed(other, Reason.FINISHED)


def test_a_half_closed_connection_goes_on_in_the_other_direction(network: Network) -> None:
    a, b, number, other = network.connected()
    a.endpoint.shutdown(number)
    network.poke(a)
    network.run(1)
    assert EofReceived(other) in b.events
    assert Finished(number) in a.events
    assert not a.of(Closed)
    b.send(other, bytes(100_000), finish=True)
    network.run(5)
    assert bytes(a.received[number]) == bytes(100_000)
    assert a.events[-2:] == [EofReceived(number), Closed(number, Reason.FINISHED)]


def test_nothing_is_sent_after_a_fin(network: Network) -> None:
    a, _, number, _ = network.connected()
    a.endpoint.shutdown(number)
    with pytest.raises(StateError):
        a.endpoint.send(number, b"x")


@pytest.mark.parametrize("seq", [65_500, 65_535, 32_760, 0], ids=str)
@pytest.mark.parametrize("clock", [4294.9, 2 * 4294.967296 - 0.3], ids=["first wrap", "second wrap"])
def test_every_counter_wraps_in_the_middle_of_a_stream(seq: int, clock: float) -> None:
    """Sequence numbers modulo 2^16, timestamps modulo 2^32 microseconds."""
    network = Network(delay=0.02, start=clock)
    rng = random.Random(5)
    network.fate = lambda *_: [] if rng.random() < 0.03 else [0.02]
    fixed = (0x1111).to_bytes(2, "big") + seq.to_bytes(2, "big")
    source = iter(fixed * 100)
    a, b = network.pair(random_bytes=lambda count: bytes(next(source) for _ in range(count)))
    number = a.connect(b.address)
    content = random.Random(1).randbytes(200_000)
    a.send(number, content, finish=True)
    network.run_until(lambda: bool(b.of(EofReceived)), limit=120)
    assert bytes(b.received[b.incoming]) == content


def test_more_packets_than_there_are_sequence_numbers_flow(network: Network) -> None:
    a, b, number, other = network.connected(nodelay=True, max_datagram=200, min_datagram=150, controller=spy([]))
    content = random.Random(1).randbytes(70_000 * 180)
    a.send(number, content)
    network.run_until(lambda: len(b.received[other]) == len(content), limit=3000)
    assert bytes(b.received[other]) == content


def test_any_offset_of_the_clocks_changes_nothing() -> None:
    """RFC 6817 appendix A.1."""

    def run(offset: float) -> list[tuple[int, int]]:
        network = Network(start=1000.0)
        a, b = network.pair()
        shifted = b.endpoint.receive_datagram, b.endpoint.datagrams_to_send

        b.endpoint.receive_datagram = lambda d, s, now: shifted[0](d, s, now + offset)  # type: ignore[method-assign]
        b.endpoint.datagrams_to_send = lambda now: shifted[1](now + offset)  # type: ignore[method-assign]
        timer, handle = b.endpoint.get_timer, b.endpoint.handle_timer
        b.endpoint.get_timer = lambda: None if (due := timer()) is None else due - offset  # type: ignore[method-assign]
        b.endpoint.handle_timer = lambda now: handle(now + offset)  # type: ignore[method-assign]
        number = a.connect(b.address)
        network.rate = 500_000
        a.send(number, bytes(300_000), finish=True)
        network.run(4)
        return [(data[0], len(data)) for _, _, data in network.log]

    assert run(0.0) == run(4000.0) == run(1e6)


def test_the_same_chance_makes_the_same_octets() -> None:
    def run() -> list[tuple[float, bytes]]:
        network = Network()
        rng = random.Random(9)
        network.fate = lambda *_: [] if rng.random() < 0.1 else [0.02]
        a, b = network.pair()
        a.send(a.connect(b.address), bytes(60_000), finish=True)
        network.run(30)
        return [(at, data) for at, _, data in network.log]

    assert run() == run()


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
    assert _types(wire.take()) == ["DATA", "FIN"]


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
        assert _types(wire.give(DATA, 0x4001, 502 + i, answer.seq_nr - 1, payload=b"x")) == ["STATE"]


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


# The end


def test_a_fin_whose_acknowledgement_was_lost_is_acknowledged_again() -> None:
    wire, number, id_, ack_nr = _in_state(State.LINGERING)
    assert any(event == Closed(number, Reason.FINISHED) for event in wire.events())
    (state,) = wire.give(FIN, id_, 502, ack_nr)
    assert (state.type, state.ack_nr) == (STATE, 502)
    assert wire.endpoint.connections == 1
    wire.after(LINGER + 0.1)
    assert wire.endpoint.connections == 1  # the peer may have to ask once more, and waits longer each time
    wire.after(LINGER)
    assert wire.endpoint.connections == 0
    assert wire.events() == []
    assert _types(wire.give(FIN, id_, 502, ack_nr)) == ["RESET"]


def test_who_finishes_second_need_not_linger_but_swallows_duplicates() -> None:
    wire = Wire()
    answer, number = wire.accepted(seq_nr=500)
    wire.give(FIN, 0x4001, 502, answer.seq_nr - 1)
    wire.endpoint.shutdown(number)
    (fin,) = wire.take()
    assert fin.ack_nr == 502
    wire.give(STATE, 0x4001, 503, fin.seq_nr)
    assert wire.endpoint.connections == 0
    assert _types(wire.give(FIN, 0x4001, 502, fin.seq_nr)) == ["STATE"]


def test_a_fin_may_overtake_the_data_before_it() -> None:
    """BEP 29, ST_FIN: eof_pkt "lets the socket wait for packets that might still be missing"."""
    wire = Wire()
    answer, number = wire.accepted(seq_nr=500)
    wire.events()
    wire.give(FIN, 0x4001, 503, answer.seq_nr - 1)
    assert EofReceived(number) not in wire.events()
    wire.give(DATA, 0x4001, 504, answer.seq_nr - 1, payload=b"after the end")
    wire.give(DATA, 0x4001, 502, answer.seq_nr - 1, payload=b"late")
    assert EofReceived(number) in wire.events()
    assert wire.endpoint.receive(number) == b"xlate"
    wire.give(FIN, 0x4001, 510, answer.seq_nr - 1)
    assert wire.events() == []


def test_a_fin_that_comes_after_packets_beyond_it_is_not_believed() -> None:
    wire = Wire()
    answer, number = wire.accepted(seq_nr=500)
    wire.events()
    wire.give(DATA, 0x4001, 504, answer.seq_nr - 1, payload=b"beyond")
    wire.give(FIN, 0x4001, 503, answer.seq_nr - 1)
    wire.give(DATA, 0x4001, 502, answer.seq_nr - 1, payload=b"before")
    assert EofReceived(number) not in wire.events()


def test_a_closed_connection_drops_what_arrives_and_ends_with_the_peers_fin(network: Network) -> None:
    a, b, number, other = network.connected(receive_buffer=5000)
    b.send(other, bytes(100_000), finish=True)
    a.endpoint.close(number, network.now)
    network.poke(a)
    network.run_until(lambda: bool(a.of(Closed) and b.of(Closed)), limit=60)
    assert a.of(Closed) == [Closed(number, Reason.FINISHED)]
    assert a.received[number] == b""


def test_a_peer_that_never_finishes_is_reset_a_minute_after_close(network: Network) -> None:
    a, b, number, other = network.connected()
    a.endpoint.close(number, network.now)
    network.poke(a)
    network.run(59)
    assert not a.of(Closed)
    network.run(3)
    assert a.of(Closed) == [Closed(number, Reason.TIMEOUT)]
    assert b.of(Closed) == [Closed(other, Reason.RESET)]


def test_a_reset_ends_both_sides_at_once_and_what_arrived_can_still_be_taken(network: Network) -> None:
    a, b, number, other = network.connected()
    b.reading = False
    a.send(number, b"last words")
    network.run(1)
    a.endpoint.reset(number, network.now)
    network.poke(a)
    network.run(1)
    assert a.of(Closed) == [Closed(number, Reason.ABORTED)]
    assert b.of(Closed) == [Closed(other, Reason.RESET)]
    assert b.endpoint.receive(other) == b"last words"
    with pytest.raises(StateError):
        b.endpoint.receive(other)
    assert a.endpoint.connections == b.endpoint.connections == 0


def test_a_reset_for_nothing_sent_is_ignored() -> None:
    wire = Wire()
    syn, number = wire.dialled()
    wire.endpoint.send(number, b"hello")
    (data,) = wire.take()
    for ack_nr in (data.seq_nr + 5, data.seq_nr - 1000, data.seq_nr + 30_000):
        wire.give(RESET, syn.connection_id, 0, ack_nr & 0xFFFF)
    assert wire.endpoint.connections == 1


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


def test_incoming_names_the_peer(network: Network) -> None:
    a, b, _, _ = network.connected()
    assert b.of(Incoming) == [Incoming(b.incoming, a.address)]
    assert isinstance(a, Host)
