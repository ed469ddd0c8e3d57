"""Traps of uTP as it is spoken, where BEP 29 and its two large implementations part: numbers, states and RESETs.

The peer here is made by hand: its packets are built and read with `struct`, from the BEP's diagram. Traps 7 to 9 and 12
to 14 of the fourteen are in `test_utp_traps_acks.py`.
"""

import random

import pytest
from hand_utp import ADDRESS, DATA, FIN, RESET, START, STATE, SYN, Hand, build
from utp_traps import hand, of, watched

from ledbat.utp import Closed, EofReceived, Finished, Incoming, Readable, Reason, UtpEndpoint

# U1


def test_u1_an_initiators_syn_carries_its_receive_id_and_everything_later_that_id_plus_one() -> None:
    """BEP 29 "connection setup", diagram: conn_id_send = conn_id_recv + 1; the SYN has conn_id_recv."""
    peer = hand(0x1234, 1)
    syn = peer.answer_connect()
    assert (syn.kind, syn.connection_id) == (SYN, 0x1234)
    peer.endpoint.send(peer.number, b"data")
    peer.endpoint.shutdown(peer.number)
    later = peer.hear()
    assert {packet.kind for packet in later} >= {DATA, FIN}
    assert {packet.connection_id for packet in later} == {0x1235}


def test_u1_an_initiator_hears_under_the_id_of_its_syn_only() -> None:
    """BEP 29 "ST_SYN": "the connection ID is what the other end is expected to use in its responses"."""
    peer = hand(0x1234, 1)
    peer.answer_connect()
    peer.hear()
    peer.events()
    peer.say(DATA, payload=b"wrong", connection_id=0x1235, seq_nr=peer.seq)
    assert not [event for event in peer.events() if isinstance(event, Readable)]
    peer.say(DATA, payload=b"right", connection_id=0x1234)
    assert peer.endpoint.receive(peer.number) == b"right"


def test_u1_an_acceptor_answers_with_the_syns_id_and_hears_under_that_id_plus_one() -> None:
    """BEP 29's diagram: receive_conn_id = pkt.conn_id + 1, send_conn_id = pkt.conn_id; its prose has them swapped."""
    peer = hand()
    answer = peer.open(connection_id=300, payload=b"under 301")
    assert (answer.kind, answer.connection_id) == (STATE, 300)
    assert peer.endpoint.receive(peer.number) == b"under 301"
    peer.endpoint.send(peer.number, b"back")
    assert {packet.connection_id for packet in peer.hear()} == {300}


def test_u1_connection_ids_wrap_at_sixteen_bits() -> None:
    """BEP 29 "header format": connection_id has 16 bits."""
    peer = hand(0xFFFF, 1)
    peer.answer_connect()
    peer.endpoint.send(peer.number, b"x")
    assert {packet.connection_id for packet in peer.hear()} == {0}
    other = hand()
    other.open(connection_id=0xFFFF, payload=b"under 0")
    assert other.endpoint.receive(other.number) == b"under 0"


# U2


def test_u2_the_first_data_of_an_acceptor_reuses_the_seq_nr_of_its_syn_ack() -> None:
    """libutp and libtorrent, and captures: the STATE that answers a SYN takes no sequence number."""
    peer = hand(4711)
    answer = peer.open()
    assert (answer.seq_nr, answer.ack_nr) == (4711, 77)
    peer.endpoint.send(peer.number, b"first")
    (data,) = of(DATA, peer.hear())
    assert data.seq_nr == 4711


def test_u2_the_fin_of_an_acceptor_that_sends_nothing_reuses_it_too() -> None:
    """The capture: STATE 17767 ... FIN 17767."""
    peer = hand(17767)
    peer.open()
    peer.endpoint.shutdown(peer.number)
    (fin,) = of(FIN, peer.hear())
    assert fin.seq_nr == 17767


def test_u2_an_initiator_expects_the_seq_nr_of_the_syn_ack_as_the_first_data() -> None:
    """ack_nr becomes seq_nr - 1 of the STATE, where the BEP's diagram says seq_nr."""
    peer = hand(1, 2)
    peer.answer_connect(seq_nr=5000)
    assert {packet.ack_nr for packet in peer.hear()} == {4999}
    peer.say(DATA, payload=b"first", seq_nr=5000)
    assert peer.endpoint.receive(peer.number) == b"first"
    assert {packet.ack_nr for packet in peer.hear()} == {5000}


def test_u2_a_syn_ack_with_seq_nr_0_means_that_65535_came_before() -> None:
    """Sequence numbers are 16 bits (BEP 29 "header format")."""
    peer = hand(1, 2)
    peer.answer_connect(seq_nr=0)
    assert {packet.ack_nr for packet in peer.hear()} == {0xFFFF}
    peer.say(DATA, payload=b"first", seq_nr=0)
    assert peer.endpoint.receive(peer.number) == b"first"


# U3


def test_u3_the_seq_nr_of_a_syn_is_random() -> None:
    """BEP 29 says "the sequence number is initialized to 1"; libutp and libtorrent draw it."""
    seen = set()
    for seed in range(40):
        peer = Hand(UtpEndpoint(random_bytes=random.Random(seed).randbytes))
        peer.endpoint.connect(ADDRESS, START)
        (syn,) = peer.hear()
        seen.add(syn.seq_nr)
    assert len(seen) > 35
    assert max(seen) > 0x8000 > min(seen)


def test_u3_data_goes_on_from_the_seq_nr_of_the_syn() -> None:
    """BEP 29's diagram: "seq_nr=c.seq_nr++" for the SYN, and DATA has the next."""
    for number in (0, 1, 0x8000, 0xFFFF):
        peer = hand(1, number)
        syn = peer.answer_connect()
        peer.endpoint.send(peer.number, b"x")
        (data,) = of(DATA, peer.hear())
        assert data.seq_nr == (syn.seq_nr + 1) & 0xFFFF


@pytest.mark.parametrize("seq_nr", [0, 1, 0x7FFF, 0x8000, 0xFFFF])
def test_u3_a_syn_with_any_seq_nr_is_answered(seq_nr: int) -> None:
    """The peer's first sequence number is whatever it drew; its first DATA has the next one."""
    peer = hand()
    answer = peer.open(seq_nr=seq_nr, payload=b"hello")
    assert answer.ack_nr == seq_nr
    assert peer.endpoint.receive(peer.number) == b"hello"


# U4


def test_u4_a_state_carries_the_next_seq_nr_and_takes_none() -> None:
    """BEP 29 "ST_STATE": "packets that don't include any payload do not increase the seq_nr"."""
    peer, _ = watched(9, 600)
    peer.endpoint.send(peer.number, b"x" * 100)
    (data,) = of(DATA, peer.hear())
    for _ in range(3):
        peer.say(DATA, payload=b"y")
        (state,) = peer.hear()
        assert (state.kind, state.seq_nr) == (STATE, (data.seq_nr + 1) & 0xFFFF)
    peer.endpoint.send(peer.number, b"z")
    peer.say(STATE)
    (data2,) = of(DATA, peer.hear())
    assert data2.seq_nr == (data.seq_nr + 1) & 0xFFFF


def test_u4_a_fin_takes_a_seq_nr() -> None:
    """Captures: what follows a FIN carries the number after it."""
    peer, _ = watched(9, 600)
    peer.endpoint.shutdown(peer.number)
    (fin,) = of(FIN, peer.hear())
    peer.say(DATA, payload=b"y")
    (state,) = peer.hear()
    assert (state.kind, state.seq_nr) == (STATE, (fin.seq_nr + 1) & 0xFFFF)


def test_u4_a_fin_of_the_peer_takes_a_seq_nr_and_is_acknowledged() -> None:
    """BEP 29 "ST_FIN": the socket records its sequence number; it counts as received."""
    peer, _ = watched()
    peer.say(DATA, payload=b"last")
    peer.say(FIN)
    assert peer.endpoint.receive(peer.number) == b"last"
    assert peer.hear()[-1].ack_nr == (peer.seq - 1) & 0xFFFF
    assert [event for event in peer.events() if isinstance(event, EofReceived)]


def test_u4_a_state_of_the_peer_does_not_move_ack_nr() -> None:
    """BEP 29 "ST_STATE": it takes no sequence number, so there is nothing to acknowledge."""
    peer, _ = watched()
    peer.say(STATE)
    peer.say(STATE)
    peer.say(DATA, payload=b"y")
    assert peer.endpoint.receive(peer.number) == b"y"
    assert peer.hear()[-1].ack_nr == (peer.seq - 1) & 0xFFFF


# U5


@pytest.mark.parametrize("offset", [0, 1], ids=["our receive id", "our send id"])
def test_u5_a_reset_may_carry_either_id_of_an_initiator(offset: int) -> None:
    """libutp sends RESET with the id of the packet it answers, or its own: both are taken."""
    peer, _ = watched(1000)
    peer.endpoint.send(peer.number, b"x")
    (data,) = of(DATA, peer.hear())
    peer.say(RESET, connection_id=1000 + offset, ack_nr=data.seq_nr)
    assert peer.events() == [Closed(peer.number, Reason.RESET)]


@pytest.mark.parametrize("offset", [0, 1], ids=["our send id", "our receive id"])
def test_u5_a_reset_may_carry_either_id_of_an_acceptor(offset: int) -> None:
    """The same at the other end, where the receive id is the larger one."""
    peer = hand()
    peer.open(connection_id=300)
    peer.hear()
    peer.events()
    peer.say(RESET, connection_id=300 + offset)
    assert peer.events() == [Closed(peer.number, Reason.RESET)]


@pytest.mark.parametrize("offset", [0, 1])
def test_u5_a_reset_of_the_syn_refuses_the_connection(offset: int) -> None:
    """A host without a listener answers the SYN with a RESET: ack_nr is the SYN's seq_nr (U6)."""
    peer = hand(1000)
    number = peer.endpoint.connect(ADDRESS, START)
    (syn,) = peer.hear()
    peer.raw(build(RESET, 1000 + offset, ack_nr=syn.seq_nr, timestamp=0, wnd_size=0))
    assert peer.events() == [Closed(number, Reason.REFUSED)]
    assert peer.wait(60.0) == []


@pytest.mark.parametrize("offset", [-1, 2])
def test_u5_a_reset_with_another_id_is_not_for_the_connection(offset: int) -> None:
    """Only the connection's two ids name it."""
    peer, _ = watched(1000)
    peer.say(RESET, connection_id=1000 + offset)
    assert not [event for event in peer.events() if isinstance(event, Closed)]
    peer.say(DATA, payload=b"alive")
    assert peer.endpoint.receive(peer.number) == b"alive"


def test_u5_a_reset_from_another_address_is_not_for_the_connection() -> None:
    """A connection is an id and an address."""
    peer, _ = watched(1000)
    peer.endpoint.receive_datagram(build(RESET, 1000, ack_nr=peer.ack), ("198.51.100.1", 1), START)
    assert not [event for event in peer.events() if isinstance(event, Closed)]


# U6


def test_u6_a_packet_for_no_connection_gets_a_reset_as_libutp_sends_it() -> None:
    """The capture ucat_reset.pcap: id echoed, ack_nr = the offending seq_nr, timestamps and wnd_size 0."""
    peer = hand()
    peer.raw(build(DATA, 4242, seq_nr=99, ack_nr=98, timestamp=123, difference=5, payload=b"?"))
    (reset,) = peer.hear()
    assert (reset.kind, reset.connection_id, reset.ack_nr) == (RESET, 4242, 99)
    assert (reset.timestamp, reset.difference, reset.wnd_size) == (0, 0, 0)
    assert (reset.extensions, reset.payload) == ([], b"")


def test_u6_the_same_packet_gets_one_reset_in_ten_seconds() -> None:
    """At most one for each (address, id, seq_nr) in 10 s."""
    peer = hand()
    for _ in range(5):
        peer.raw(build(DATA, 4242, seq_nr=99, payload=b"?"))
    assert len(peer.hear()) == 1
    peer.raw(build(DATA, 4242, seq_nr=100, payload=b"?"))
    peer.raw(build(DATA, 4243, seq_nr=99, payload=b"?"))
    assert len(peer.hear()) == 2
    peer.now += 9.9
    peer.raw(build(DATA, 4242, seq_nr=99, payload=b"?"))
    assert peer.hear() == []
    peer.now += 0.2
    peer.raw(build(DATA, 4242, seq_nr=99, payload=b"?"))
    assert len(peer.hear()) == 1


def test_u6_no_more_than_a_thousand_resets_go_out_in_ten_seconds() -> None:
    """libutp keeps 1000: beyond, it stays silent."""
    peer = hand()
    resets = 0
    for number in range(3000):
        peer.raw(build(DATA, number, seq_nr=1, payload=b"?"))
        resets += len(peer.hear())
    assert resets == 1000
    peer.now += 10.1
    peer.raw(build(DATA, 5, seq_nr=9, payload=b"?"))
    assert len(peer.hear()) == 1


def test_u6_a_reset_is_never_answered_with_a_reset() -> None:
    """Two hosts that both know nothing would never stop."""
    peer = hand()
    peer.raw(build(RESET, 4242, ack_nr=99))
    assert peer.hear() == []


# U10


def test_u10_a_syn_again_in_syn_recv_gets_the_same_answer_again() -> None:
    """libutp stays silent, so a lost SYN-ACK kills the connection: same address, id and seq must be answered."""
    peer = hand()
    peer.raw(build(SYN, 300, seq_nr=77))
    (first,) = peer.hear()
    peer.now += 1.0
    peer.raw(build(SYN, 300, seq_nr=77))
    (second,) = peer.hear()
    assert (second.kind, second.connection_id, second.seq_nr, second.ack_nr) == (STATE, 300, first.seq_nr, 77)
    peer.raw(build(DATA, 301, seq_nr=78, ack_nr=first.seq_nr - 1, payload=b"go"))
    assert len([event for event in peer.events() if isinstance(event, Incoming)]) == 1


def test_u10_a_syn_with_another_seq_nr_for_an_id_in_use_is_ignored() -> None:
    """BEP 29: "the ST_SYN packet will be unexpected in the existing stream, and ignored"."""
    peer = hand()
    peer.raw(build(SYN, 300, seq_nr=77))
    (first,) = peer.hear()
    peer.raw(build(SYN, 300, seq_nr=500))
    assert peer.hear() == []
    peer.raw(build(DATA, 301, seq_nr=78, ack_nr=first.seq_nr - 1, payload=b"go"))
    (number,) = [event.connection for event in peer.events() if isinstance(event, Incoming)]
    assert peer.endpoint.receive(number) == b"go"


def test_u10_a_syn_for_a_connection_that_is_established_is_ignored() -> None:
    """The same once data has come, for the same SYN too: its answer was heard."""
    peer = hand()
    peer.open(connection_id=300, seq_nr=77)
    peer.hear()
    peer.events()
    for seq_nr in (77, 78, 500):
        peer.raw(build(SYN, 300, seq_nr=seq_nr))
    assert peer.hear() == []
    peer.say(DATA, payload=b"alive")
    assert peer.endpoint.receive(peer.number) == b"xalive"


def test_u10_the_same_syn_from_another_address_is_another_connection() -> None:
    """The address is part of what names a connection."""
    peer = hand()
    peer.raw(build(SYN, 300, seq_nr=77))
    (first,) = peer.hear()
    other = Hand(peer.endpoint, ("198.51.100.7", 7))
    other.raw(build(SYN, 300, seq_nr=77))
    (second,) = other.hear()
    assert second.kind == STATE
    assert second.seq_nr != first.seq_nr


def test_u10_our_own_syn_is_sent_again_with_the_same_id_and_seq_nr() -> None:
    """BEP 29 "ST_SYN": re-sends of it keep its ID; a peer can only recognise it by both."""
    peer = hand(1000)
    peer.endpoint.connect(ADDRESS, START)
    (first,) = peer.hear()
    again = peer.wait(12.0)
    assert len(again) == 3
    assert {(syn.kind, syn.connection_id, syn.seq_nr) for syn in again} == {(SYN, 1000, first.seq_nr)}


# U11


def test_u11_an_acceptor_is_told_of_a_connection_by_its_first_data() -> None:
    """BEP 29's diagram: CS_CONNECTED comes with the first ST_DATA."""
    peer = hand()
    peer.raw(build(SYN, 300, seq_nr=77))
    (answer,) = peer.hear()
    assert not [event for event in peer.events() if isinstance(event, Incoming)]
    peer.raw(build(DATA, 301, seq_nr=78, ack_nr=answer.seq_nr - 1, payload=b"go"))
    events = peer.events()
    assert [type(event) for event in events] == [Incoming, Readable]


def test_u11_a_stream_of_no_octets_whose_first_packet_is_a_fin_completes() -> None:
    """libutp's acceptor never completes it; utp-native had to patch that."""
    peer = hand()
    peer.raw(build(SYN, 300, seq_nr=77))
    (answer,) = peer.hear()
    peer.own_id, peer.peer_id, peer.seq, peer.ack = 300, 301, 78, (answer.seq_nr - 1) & 0xFFFF
    peer.say(FIN)
    (incoming, eof) = peer.events()
    assert isinstance(incoming, Incoming)
    assert isinstance(eof, EofReceived)
    peer.endpoint.shutdown(incoming.connection)
    heard = peer.hear()
    (fin,) = of(FIN, heard)
    assert (fin.seq_nr, fin.ack_nr) == (answer.seq_nr, 78)
    peer.say(STATE)
    peer.hear()
    number = incoming.connection
    assert peer.events() == [Finished(number), Closed(number, Reason.FINISHED)]


def test_u11_a_state_confirms_the_connection_too_so_that_the_acceptor_may_speak_first() -> None:
    """Our initiators acknowledge the SYN-ACK, which is how the acceptor learns that it was heard."""
    peer = hand()
    peer.raw(build(SYN, 300, seq_nr=77))
    (answer,) = peer.hear()
    peer.own_id, peer.peer_id, peer.seq, peer.ack = 300, 301, 78, (answer.seq_nr - 1) & 0xFFFF
    peer.say(STATE)
    (incoming,) = peer.events()
    assert isinstance(incoming, Incoming)
    peer.endpoint.send(incoming.connection, b"server first")
    (data,) = of(DATA, peer.hear())
    assert data.payload == b"server first"


def test_u11_our_initiator_acknowledges_the_syn_ack_without_being_asked() -> None:
    """The other half of it."""
    peer = hand(1, 2)
    peer.answer_connect(seq_nr=5000)
    (state,) = peer.hear()
    assert (state.kind, state.ack_nr) == (STATE, 4999)


def test_u11_an_initiators_data_before_its_syn_ack_waits_for_it() -> None:
    """A peer takes no data before it has answered the SYN; `send` may be called at once."""
    peer = hand(1, 2)
    number = peer.endpoint.connect(ADDRESS, START)
    peer.endpoint.send(number, b"early")
    (syn,) = peer.hear()
    assert syn.kind == SYN
    peer.peer_id, peer.seq, peer.ack = 1, 5000, syn.seq_nr
    peer.say(STATE)
    assert [packet.payload for packet in of(DATA, peer.hear())] == [b"early"]
