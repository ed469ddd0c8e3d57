"""One connection: its handshake, its data, its end."""

import random

import pytest
from utp_network import Host, Network
from utp_wire import DATA, FIN, PEER, RESET, STATE, SYN, Wire, spy, types_of

from ledbat.errors import StateError
from ledbat.utp import Closed, Connected, EofReceived, Finished, Incoming, PacketType, Reason
from ledbat.utp.limits import LINGER
from ledbat.utp.states import State

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
    assert types_of(wire.give(FIN, id_, 502, ack_nr)) == ["RESET"]


def test_who_finishes_second_need_not_linger_but_swallows_duplicates() -> None:
    wire = Wire()
    answer, number = wire.accepted(seq_nr=500)
    wire.give(FIN, 0x4001, 502, answer.seq_nr - 1)
    wire.endpoint.shutdown(number)
    (fin,) = wire.take()
    assert fin.ack_nr == 502
    wire.give(STATE, 0x4001, 503, fin.seq_nr)
    assert wire.endpoint.connections == 0
    assert types_of(wire.give(FIN, 0x4001, 502, fin.seq_nr)) == ["STATE"]


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


def test_incoming_names_the_peer(network: Network) -> None:
    a, b, _, _ = network.connected()
    assert b.of(Incoming) == [Incoming(b.incoming, a.address)]
    assert isinstance(a, Host)
