"""Which SYNs an endpoint answers, and when it sends and believes a RESET."""

import pytest
from hand_utp import DATA, FIN, RESET, START, STATE, SYN, Hand, build, parse
from utp_endpoints import connected, drain, endpoint

from ledbat.utp import Closed, DatagramDropped, Incoming, Reason

# SYN policy


def test_the_first_syn_is_answered_by_one_state() -> None:
    """BEP 29 "ST_SYN": "the other end expects an ST_STATE packet (only an ACK) in response"."""
    peer = Hand(endpoint())
    peer.raw(build(SYN, 5, seq_nr=40))
    (answer,) = peer.hear()
    assert (answer.kind, answer.connection_id, answer.ack_nr, answer.payload) == (STATE, 5, 40, b"")
    assert answer.wnd_size == 1 << 20


def test_the_seq_nr_of_the_answer_is_random() -> None:
    """BEP 29 "ST_SYN": "the sequence number for the return channel is initialized to a random number"."""
    one = endpoint()
    for port in range(100):
        one.receive_datagram(build(SYN, 5, seq_nr=40), ("192.0.2.1", port), START)
    assert len({parse(data).seq_nr for data, _ in drain(one, START)}) > 90


def test_a_syn_may_carry_extension_bits() -> None:
    """libutp and libtorrent: extension 2, eight octets, in the SYN."""
    peer = Hand(endpoint())
    peer.raw(build(SYN, 5, seq_nr=40, extensions=[(2, bytes(8))]))
    (answer,) = peer.hear()
    assert (answer.kind, answer.ack_nr) == (STATE, 40)


def test_an_endpoint_that_does_not_accept_answers_a_syn_with_a_reset() -> None:
    """The other side learns at once that nobody listens."""
    peer = Hand(endpoint(accept=False))
    peer.raw(build(SYN, 5, seq_nr=40))
    (reset,) = peer.hear()
    assert (reset.kind, reset.connection_id, reset.ack_nr) == (RESET, 5, 40)
    assert peer.endpoint.connections == 0


def test_accept_may_be_switched_and_connections_that_stand_go_on() -> None:
    """A server stops listening without dropping its clients."""
    peer = Hand(endpoint())
    peer.open(payload=b"one")
    peer.endpoint.accept = False
    peer.say(DATA, payload=b"two")
    assert peer.endpoint.receive(peer.number) == b"onetwo"
    other = Hand(peer.endpoint, ("192.0.2.50", 5))
    other.raw(build(SYN, 5, seq_nr=40))
    assert [packet.kind for packet in other.hear()] == [RESET]
    peer.endpoint.accept = True
    other.raw(build(SYN, 7, seq_nr=41))
    assert [packet.kind for packet in other.hear()] == [STATE]


def test_peers_can_open_no_more_than_max_connections() -> None:
    """Beyond, SYNs are ignored; what stands goes on, and our own connects do too."""
    one = endpoint(max_connections=3)
    peers = [Hand(one, ("192.0.2.1", port)) for port in range(3)]
    for peer in peers:
        peer.open(payload=b"x")
    drain(one, START)
    one.receive_datagram(build(SYN, 5, seq_nr=40), ("192.0.2.1", 99), START)
    assert drain(one, START) == []
    assert one.connect(("192.0.2.1", 100), START) > 0
    peers[0].say(RESET)
    one.receive_datagram(build(SYN, 5, seq_nr=40), ("192.0.2.1", 99), START)
    assert parse(drain(one, START)[-1][0]).kind == STATE


def test_a_half_open_connection_is_nobodys_until_it_is_confirmed() -> None:
    """No event at the SYN, none when it is forgotten."""
    peer = Hand(endpoint())
    peer.raw(build(SYN, 5, seq_nr=40))
    peer.hear()
    peer.wait(40.0)
    assert peer.events() == []
    assert peer.endpoint.connections == 0


@pytest.mark.parametrize("kind", [DATA, STATE, FIN])
def test_a_half_open_connection_is_confirmed_only_by_the_ack_nr_of_our_answer(kind: int) -> None:
    """Whoever spoofed the SYN's address has not seen our random sequence number."""
    peer = Hand(endpoint())
    peer.raw(build(SYN, 5, seq_nr=40))
    (answer,) = peer.hear()
    payload = b"x" if kind == DATA else b""
    for ack_nr in (answer.seq_nr, answer.seq_nr + 1, answer.seq_nr - 2, answer.seq_nr - 100, 0x5555):
        if (ack_nr - answer.seq_nr + 1) & 0xFFFF:
            peer.raw(build(kind, 6, seq_nr=41, ack_nr=ack_nr, payload=payload))
    assert not [event for event in peer.events() if isinstance(event, Incoming)]
    peer.raw(build(kind, 6, seq_nr=41, ack_nr=answer.seq_nr - 1, payload=payload))
    assert [event for event in peer.events() if isinstance(event, Incoming)]


# RESET


@pytest.mark.parametrize("kind", [DATA, FIN, STATE])
def test_a_packet_for_no_connection_gets_a_reset(kind: int) -> None:
    """BEP 29 "ST_RESET": "the remote host does not have any state for this connection"."""
    peer = Hand(endpoint())
    peer.raw(build(kind, 4242, seq_nr=99, payload=b"x" if kind == DATA else b""))
    (reset,) = peer.hear()
    assert (reset.kind, reset.connection_id, reset.ack_nr) == (RESET, 4242, 99)


def test_what_is_no_utp_packet_gets_no_answer() -> None:
    """Another protocol may share the port."""
    peer = Hand(endpoint())
    for datagram in (b"", b"d1:ad2:id20:", bytes(19), bytes(20), b"\x51" + bytes(19), b"\x02" + bytes(30)):
        peer.raw(datagram)
    assert peer.hear() == []
    assert {type(event) for event in peer.events()} == {DatagramDropped}


def test_a_reset_that_names_nothing_we_may_have_sent_is_ignored() -> None:
    """Whoever does not see our packets cannot end the connection by guessing two ids."""
    peer = connected()
    peer.endpoint.send(peer.number, b"x")
    peer.hear()
    for distance in (2000, 0x4000, -2000):
        peer.say(RESET, ack_nr=peer.ack + distance)
    assert not [event for event in peer.events() if isinstance(event, Closed)]
    peer.say(RESET)
    assert Closed(peer.number, Reason.RESET) in peer.events()


def test_after_a_reset_nothing_is_sent_and_nothing_waits() -> None:
    """The peer has forgotten us."""
    peer = connected()
    peer.endpoint.send(peer.number, bytes(50_000))
    peer.hear()
    peer.say(RESET)
    assert peer.hear() == []
    assert peer.wait(120.0) == []
    assert peer.endpoint.connections == 0


def test_reset_tells_the_peer_and_the_application() -> None:
    """The verb: RESET with our send id, and `Closed`."""
    peer = connected()
    peer.endpoint.reset(peer.number, START)
    (reset,) = peer.hear()
    assert (reset.kind, reset.connection_id) == (RESET, peer.own_id)
    assert reset.ack_nr == (peer.seq - 1) & 0xFFFF
    assert peer.events() == [Closed(peer.number, Reason.ABORTED)]
