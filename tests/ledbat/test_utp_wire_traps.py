"""The fourteen places where uTP as it is spoken differs from BEP 29, a test or more for each: U1 to U14."""

from pathlib import Path
from typing import Any

import dpkt
import pytest
from utp_wire import PEER, Wire, spy

from ledbat.utp import EofReceived, Incoming, Packet, PacketType, Readable, decode

CAPTURES = Path(__file__).resolve().parents[1] / "data" / "captures"


def test_u1_the_initiator_sends_the_syn_with_its_receive_id_and_everything_later_with_that_plus_1() -> None:
    wire = Wire()
    syn, number = wire.dialled()
    assert syn.type is PacketType.SYN
    wire.endpoint.send(number, b"hello")
    (data,) = wire.take()
    assert (data.type, data.connection_id) == (PacketType.DATA, (syn.connection_id + 1) & 0xFFFF)
    # The peer's packets carry the ID of the SYN.
    wire.give(PacketType.DATA, syn.connection_id, 9000, data.seq_nr, payload=b"there")
    assert wire.endpoint.receive(number) == b"there"


def test_u1_the_acceptor_sends_with_the_id_of_the_syn_and_receives_with_that_plus_1() -> None:
    wire = Wire()
    answer, number = wire.accepted()
    assert answer.connection_id == 0x4000
    wire.endpoint.send(number, b"hello")
    assert {packet.connection_id for packet in wire.take()} == {0x4000}
    assert wire.endpoint.receive(number) == b"x"


def test_u2_the_first_packet_of_the_acceptor_reuses_the_seq_nr_of_its_answer_to_the_syn() -> None:
    wire = Wire()
    answer, number = wire.accepted()
    wire.endpoint.send(number, b"hello")
    (data,) = wire.take()
    assert (data.type, data.seq_nr) == (PacketType.DATA, answer.seq_nr)
    fresh = Wire()
    answer, number = fresh.accepted()
    fresh.endpoint.shutdown(number)
    (fin,) = fresh.take()
    assert (fin.type, fin.seq_nr) == (PacketType.FIN, answer.seq_nr)


def test_u2_the_initiator_takes_the_seq_nr_of_the_answer_as_that_of_the_first_packet_to_come() -> None:
    wire = Wire()
    syn, number = wire.dialled(seq_nr=9000)
    wire.endpoint.send(number, b"hello")
    assert [packet.ack_nr for packet in wire.take()] == [8999]
    wire.give(PacketType.DATA, syn.connection_id, 9000, syn.seq_nr, payload=b"first")
    assert wire.endpoint.receive(number) == b"first"


def test_u3_the_seq_nr_of_the_syn_is_random() -> None:
    seen = set()
    for chance in range(1, 6):
        wire = Wire(random_bytes=lambda count, chance=chance: bytes([chance * 40] * count))
        wire.endpoint.connect(PEER, 0.0)
        seen.add(wire.take()[0].seq_nr)
    assert len(seen) == 5


def test_u4_a_state_carries_the_next_seq_nr_and_only_syn_data_and_fin_consume_one() -> None:
    wire = Wire()
    answer, number = wire.accepted(seq_nr=500)
    first = answer.seq_nr
    (ack,) = wire.give(PacketType.DATA, 0x4001, 502, first - 1, payload=b"a")
    assert (ack.type, ack.seq_nr) == (PacketType.STATE, first)
    (again,) = wire.give(PacketType.DATA, 0x4001, 503, first - 1, payload=b"b")
    assert again.seq_nr == first
    wire.endpoint.send(number, b"data")
    (data,) = wire.take()
    wire.endpoint.shutdown(number)
    (fin,) = wire.take()
    assert (data.seq_nr, fin.seq_nr) == (first, first + 1)
    (ack,) = wire.give(PacketType.DATA, 0x4001, 504, first + 1, payload=b"c")
    assert (ack.type, ack.seq_nr) == (PacketType.STATE, first + 2)


@pytest.mark.parametrize("offset", [0, 1], ids=["our receive id", "our send id"])
def test_u5_a_reset_may_carry_either_of_the_ids(offset: int) -> None:
    wire = Wire()
    syn, number = wire.dialled()
    wire.endpoint.send(number, b"hello")
    (data,) = wire.take()
    wire.give(PacketType.RESET, (syn.connection_id + offset) & 0xFFFF, 0, data.seq_nr)
    assert wire.endpoint.connections == 0


@pytest.mark.parametrize("connection_id", [0x4000, 0x4001])
def test_u5_an_acceptor_takes_either_id_as_well(connection_id: int) -> None:
    wire = Wire()
    answer, _ = wire.accepted()
    wire.give(PacketType.RESET, connection_id, 0, answer.seq_nr)
    assert wire.endpoint.connections == 0


def test_u6_a_reset_echoes_the_id_and_acknowledges_the_offending_packet_with_all_else_zero() -> None:
    wire = Wire()
    (reset,) = wire.give(PacketType.DATA, 0x7777, 0x1111, 0x2222, payload=b"?")
    assert reset == Packet(type=PacketType.RESET, connection_id=0x7777, seq_nr=0, ack_nr=0x1111)


def test_u6_the_same_packet_gets_one_reset_in_ten_seconds() -> None:
    wire = Wire()
    assert len(wire.give(PacketType.DATA, 0x7777, 1, 2)) == 1
    assert wire.give(PacketType.DATA, 0x7777, 1, 2) == []
    wire.now += 9.9
    assert wire.give(PacketType.DATA, 0x7777, 1, 2) == []
    wire.now += 0.2
    assert len(wire.give(PacketType.DATA, 0x7777, 1, 2)) == 1


def test_u6_no_more_than_a_thousand_resets_leave_in_ten_seconds() -> None:
    wire = Wire()
    resets = sum(len(wire.give(PacketType.DATA, 0x7777, seq_nr, 2)) for seq_nr in range(3000))
    assert resets == 1000
    assert wire.give(PacketType.RESET, 0x7777, 1, 2) == []


def test_u7_no_packet_of_ours_begins_its_chain_with_an_extension_of_type_3_or_more(network: Any) -> None:
    network.fate = lambda data, source, destination, number: [] if number % 11 == 0 else [0.02]
    a, b = network.pair()
    a.send(a.connect(b.address), bytes(200_000), finish=True)
    network.run(60)
    assert bytes(b.received[b.incoming]) == bytes(200_000)
    firsts = {data[1] for _, _, data in network.log}
    assert firsts == {0, 1, 2}
    assert not any(data[0] == 0x11 and data[1] for _, _, data in network.log)  # no close reason on a FIN


def test_u8_selective_acks_of_any_length_from_one_octet_on_are_taken() -> None:
    """libtorrent sends as many octets as it needs: `00 01 0f` was captured."""
    wire = Wire(nodelay=True)
    syn, number = wire.dialled()
    packets = []
    for piece in (b"1", b"2", b"3", b"4", b"5"):
        wire.endpoint.send(number, piece)
        packets += wire.take()
    base = packets[0].seq_nr
    # The first is missing; the others are reported in one octet.
    (again,) = wire.give(
        PacketType.STATE, syn.connection_id, 9000, base - 1, extensions=((1, b"\x0f"),), timestamp_difference=5
    )
    assert (again.seq_nr, bytes(again.payload)) == (base, b"1")


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 31, 64, 255])
def test_u8_the_length_of_a_selective_ack_does_not_matter(length: int) -> None:
    wire = Wire(nodelay=True)
    syn, number = wire.dialled()
    sent = []
    for piece in (b"1", b"2", b"3", b"4"):
        wire.endpoint.send(number, piece)
        sent += wire.take()
    mask = b"\x07".ljust(length, b"\0")
    answers = wire.give(PacketType.STATE, syn.connection_id, 9000, sent[0].seq_nr - 1, extensions=((1, mask),))
    assert [packet.seq_nr for packet in answers] == [sent[0].seq_nr]


def test_u8_ours_are_multiples_of_four() -> None:
    wire = Wire()
    answer, _ = wire.accepted(seq_nr=500)
    for ahead in (2, 40, 300):
        (state,) = wire.give(PacketType.DATA, 0x4001, 501 + ahead, answer.seq_nr - 1, payload=b"later")
        assert state.selective_ack is not None
        assert len(state.selective_ack) % 4 == 0
        assert state.selective_ack[(ahead - 2) // 8] >> (ahead - 2) % 8 & 1


def test_u9_a_mask_that_covers_only_thirty_packets_hides_nothing_for_good(network: Any) -> None:
    """libutp's mask ends there: packets that it does not report may have arrived all the same, or not."""

    def cut(data: bytes, source: Any, destination: Any, number: int) -> list[float]:
        packet = decode(data)
        if packet.type is PacketType.DATA and number >= 150 and packet.seq_nr not in seen and len(seen) < 50:
            seen.add(packet.seq_nr)
            return []
        return [0.02]

    seen: set[int] = set()
    network.fate = cut
    a, b = network.pair()

    # What b reports is cut to 30 packets on its way.
    launch = network._launch

    def launch_cut(data: bytes, source: Any, destination: Any) -> None:
        packet = decode(data)
        if packet.selective_ack is not None and source == b.address:
            mask = int.from_bytes(packet.selective_ack, "little") & ((1 << 30) - 1)
            extensions = ((1, mask.to_bytes(4, "little")),) if mask else ()
            data = data[:1] + bytes([1 if mask else 0]) + data[2:20]
            if extensions:
                data += b"\0\4" + extensions[0][1]
        launch(data, source, destination)

    network._launch = launch_cut
    content = bytes(range(256)) * 2000
    a.send(a.connect(b.address), content, finish=True)
    started = network.now
    network.run_until(lambda: b.of(EofReceived), limit=60)
    assert bytes(b.received[b.incoming]) == content
    assert len(seen) == 50
    assert network.now - started < 20


def test_u10_a_syn_that_comes_again_is_answered_again_with_the_same_seq_nr() -> None:
    wire = Wire()
    (answer,) = wire.give(PacketType.SYN, 0x4000, 500, 0)
    (again,) = wire.give(PacketType.SYN, 0x4000, 500, 0)
    assert (again.seq_nr, again.ack_nr, again.connection_id) == (answer.seq_nr, answer.ack_nr, answer.connection_id)
    assert wire.endpoint.connections == 1


def test_u10_any_other_syn_for_an_id_in_use_is_ignored() -> None:
    """BEP 29, connection setup: "the ST_SYN packet will be unexpected in the existing stream, and ignored"."""
    wire = Wire()
    wire.give(PacketType.SYN, 0x4000, 500, 0)
    assert wire.give(PacketType.SYN, 0x4000, 501, 0) == []
    wire = Wire()
    wire.accepted(seq_nr=500)
    assert wire.give(PacketType.SYN, 0x4000, 500, 0) == []
    assert wire.endpoint.connections == 1


@pytest.mark.parametrize("kind", [PacketType.DATA, PacketType.FIN, PacketType.STATE], ids=lambda kind: kind.name)
def test_u11_the_acceptor_is_connected_by_data_by_a_fin_and_by_a_state(kind: PacketType) -> None:
    """libutp waits for DATA, so that a stream of no octets never completes."""
    wire = Wire()
    (answer,) = wire.give(PacketType.SYN, 0x4000, 500, 0)
    assert wire.events() == []
    wire.give(kind, 0x4001, 501, answer.seq_nr - 1, payload=b"x" if kind is PacketType.DATA else b"")
    assert isinstance(wire.events()[0], Incoming)


def test_u11_our_initiator_acknowledges_the_answer_so_that_the_acceptor_may_speak_first() -> None:
    wire = Wire()
    wire.endpoint.connect(PEER, wire.now)
    (syn,) = wire.take()
    (state,) = wire.give(PacketType.STATE, syn.connection_id, 9000, syn.seq_nr)
    assert (state.type, state.ack_nr, state.connection_id) == (PacketType.STATE, 8999, syn.connection_id + 1)


def test_u11_an_endpoint_that_accepts_early_may_speak_first_to_a_silent_initiator() -> None:
    wire = Wire(accept_early=True)
    (answer,) = wire.give(PacketType.SYN, 0x4000, 500, 0, wnd_size=0)
    (incoming,) = wire.events()
    wire.endpoint.send(incoming.connection, b"hello")
    (data,) = wire.take()
    assert (data.seq_nr, bytes(data.payload)) == (answer.seq_nr, b"hello")


@pytest.mark.parametrize("difference", [0, 0x7FFFFFFF])
def test_u12_a_timestamp_difference_of_0_or_int_max_is_no_sample(difference: int) -> None:
    samples: list[int] = []
    wire = Wire(controller=spy(samples))
    syn, number = wire.dialled()
    wire.endpoint.send(number, b"hello")
    (data,) = wire.take()
    wire.give(PacketType.STATE, syn.connection_id, 9000, data.seq_nr, timestamp_difference=difference)
    assert samples == []
    wire.endpoint.send(number, b"hello")
    (data,) = wire.take()
    wire.give(PacketType.STATE, syn.connection_id, 9000, data.seq_nr, timestamp_difference=123)
    assert samples == [123]


def test_u12_a_timestamp_of_0_leaves_the_reply_as_it_was() -> None:
    wire = Wire()
    (answer,) = wire.give(PacketType.SYN, 0x4000, 500, 0, timestamp=0)
    assert answer.timestamp_difference == 0
    (state,) = wire.give(PacketType.DATA, 0x4001, 501, answer.seq_nr - 1, timestamp=49_000_000, payload=b"x")
    assert state.timestamp_difference == 1_000_000
    (state,) = wire.give(PacketType.DATA, 0x4001, 502, answer.seq_nr - 1, timestamp=0, payload=b"x")
    assert state.timestamp_difference == 1_000_000


def test_u13_an_ack_nr_of_nothing_sent_is_ignored_without_a_reset() -> None:
    wire = Wire()
    syn, number = wire.dialled()
    wire.endpoint.send(number, b"hello")
    (data,) = wire.take()
    assert wire.give(PacketType.DATA, syn.connection_id, 9000, data.seq_nr + 1, payload=b"absurd") == []
    assert wire.endpoint.receive(number) == b""
    assert wire.endpoint.connections == 1


def test_u13_a_keep_alive_is_a_state_with_ack_nr_less_1_after_29_seconds() -> None:
    wire = Wire()
    syn, _ = wire.dialled()
    (state,) = wire.after(30)
    assert (state.type, state.ack_nr) == (PacketType.STATE, 8998)
    assert len(wire.after(29)) == 1
    # Theirs is taken without an answer.
    assert wire.give(PacketType.STATE, syn.connection_id, 9000, syn.seq_nr - 1) == []
    assert wire.endpoint.connections == 1


def test_u14_the_window_of_a_syn_is_no_more_than_a_hint() -> None:
    """libtorrent's SYN advertises 0, and its first packet what it means."""
    with (CAPTURES / "libtorrent_clean_150k.pcap").open("rb") as file:
        first = bytes(dpkt.ethernet.Ethernet(next(iter(dpkt.pcap.Reader(file)))[1]).data.data.data)
    syn = decode(first)
    assert (syn.type, syn.wnd_size) == (PacketType.SYN, 0)
    wire = Wire()
    (answer,) = wire.give_octets(first)
    wire.give(PacketType.STATE, syn.connection_id + 1, syn.seq_nr + 1, answer.seq_nr - 1, wnd_size=0x100000)
    (incoming,) = wire.events()
    wire.endpoint.send(incoming.connection, b"hello")
    (data,) = wire.take()
    assert bytes(data.payload) == b"hello"


def test_nothing_depends_on_the_sequence_numbers_that_libutp_always_uses() -> None:
    """libutp begins every run with connection ID 17767 and sequence number 9158."""
    wire = Wire()
    (answer,) = wire.give(PacketType.SYN, 17767, 9158, 0)
    wire.give(PacketType.DATA, 17768, 9159, answer.seq_nr - 1, payload=b"x")
    assert any(isinstance(event, Readable) for event in wire.events())
