"""The fourteen traps of uTP as it is spoken: each is where BEP 29 and its two large implementations part.

The peer here is made by hand: its packets are built and read with `struct`, from the BEP's diagram.
"""

import random
from collections.abc import Callable, Sequence

import pytest
from hand_utp import ADDRESS, DATA, FIN, RESET, START, STATE, SYN, Hand, Parsed, build
from utp_network import B, Network

from ledbat.utp import Closed, Connected, EofReceived, Finished, Incoming, Readable, Reason, UtpEndpoint


class Window:
    """A congestion controller that never says no, and remembers what it was told."""

    def __init__(self, mss: int) -> None:
        self.cwnd = 1 << 20
        self.pacing_rate = None
        self.acks: list[tuple[int, list[int], float | None]] = []
        self.losses: list[int] = []

    def on_sent(self, *, sent: int, now: float) -> None:
        pass

    def on_ack(self, *, acked: int, delays_us: Sequence[int], rtt: float | None, now: float) -> None:
        self.acks.append((acked, list(delays_us), rtt))

    def on_loss(self, *, lost: int, will_retransmit: bool, now: float) -> None:
        self.losses.append(lost)

    def on_timeout(self, now: float) -> None:
        pass

    def get_timer(self) -> float | None:
        return None

    @property
    def samples(self) -> list[int]:
        return [delay for _, delays, _ in self.acks for delay in delays]


def drawn(*numbers: int) -> Callable[[int], bytes]:
    """`random_bytes` that draws these numbers first."""
    left = list(numbers)
    rest = random.Random(5)
    return lambda size: left.pop(0).to_bytes(size, "big") if left else rest.randbytes(size)


def hand(*numbers: int, **options: object) -> Hand:
    """A peer of a new endpoint whose random numbers start with these: connection ID, sequence number."""
    return Hand(UtpEndpoint(random_bytes=drawn(*numbers), **options))  # type: ignore[arg-type]


def watched(*numbers: int, **options: object) -> tuple[Hand, Window]:
    """The same with an open congestion window that can be looked at."""
    windows: list[Window] = []

    def make(mss: int) -> Window:
        windows.append(Window(mss))
        return windows[-1]

    peer = hand(*numbers, controller=make, **options)
    peer.answer_connect()
    peer.hear()
    peer.events()
    return peer, windows[0]


def of(kind: int, packets: list[Parsed]) -> list[Parsed]:
    return [packet for packet in packets if packet.kind == kind]


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


# U7


def test_u7_no_packet_has_an_extension_of_type_3_or_an_unknown_one_first() -> None:
    """libutp drops every packet whose first extension is 3 or more, whatever its type."""
    network = Network()
    a, b = network.pair()
    number = a.connect(B)
    fate = random.Random(7)
    network.fate = lambda *_: [] if fate.random() < 0.05 else [0.02 + fate.random() * 0.02]
    a.send(number, bytes(300_000), finish=True)
    network.run_until(lambda: bool(b.of(EofReceived)))
    b.send(b.incoming, bytes(50_000), finish=True)
    network.run_until(lambda: bool(a.of(Closed)))
    firsts = {data[1] for _, _, data in network.log}
    assert firsts == {0, 1, 2}, "plain packets, selective acknowledgements and padded MTU probes"
    for _, _, data in network.log:
        kinds = set()
        following, offset = data[1], 20
        while following:
            kinds.add(following)
            if following == 2:
                assert data[offset + 1] == 8, "the extension bits are eight octets"
            following, offset = data[offset], offset + 2 + data[offset + 1]
        assert kinds <= {1, 2}


def test_u7_a_fin_with_a_close_reason_is_understood_all_the_same() -> None:
    """libtorrent sends extension 3, four octets, with its FIN; unknown extensions are skipped by their length."""
    peer, _ = watched()
    peer.say(FIN, extensions=[(3, bytes((0, 0, 0, 6)))])
    assert [event for event in peer.events() if isinstance(event, EofReceived)]
    assert peer.hear()[-1].ack_nr == (peer.seq - 1) & 0xFFFF


@pytest.mark.parametrize("kind", [4, 100, 255])
def test_u7_unknown_extensions_are_skipped_by_their_length(kind: int) -> None:
    """BEP 29 "extension": "unknown extensions can be skipped by simply advancing len bytes"."""
    peer, _ = watched()
    peer.say(DATA, payload=b"payload", extensions=[(kind, b"whatever"), (2, bytes(8)), (kind, b"")])
    assert peer.endpoint.receive(peer.number) == b"payload"


# U8


def in_flight(peer: Hand, count: int) -> list[Parsed]:
    """`count` small packets out at once; returns them."""
    packets: list[Parsed] = []
    before = peer.ack
    for _ in range(count):
        peer.endpoint.send(peer.number, b"%05d" % len(packets))
        packets += of(DATA, peer.hear())
    assert len(packets) == count
    peer.ack = before
    return packets


@pytest.mark.parametrize("size", [1, 2, 3, 5, 255])
def test_u8_a_selective_ack_of_any_length_is_understood(size: int) -> None:
    """libtorrent sends masks of 1, 2, ... octets where the BEP wants multiples of 4 ("00 01 0f" was captured)."""
    peer, window = watched(nodelay=True)
    packets = in_flight(peer, 6)
    mask = (0b1111).to_bytes(size, "little")
    peer.say(STATE, ack_nr=packets[0].seq_nr, extensions=[(1, mask)])
    resent = of(DATA, peer.hear())
    assert [packet.seq_nr for packet in resent] == [packets[1].seq_nr], "only the one missing"
    assert resent[0].payload == packets[1].payload
    assert sum(acked for acked, _, _ in window.acks) == 5 * 5


def test_u8_a_selective_ack_of_no_octets_says_nothing() -> None:
    """libutp's minimum RTT becomes 0 by it; it must just be skipped."""
    peer, window = watched(nodelay=True)
    packets = in_flight(peer, 3)
    peer.say(STATE, ack_nr=packets[0].seq_nr, extensions=[(1, b"")])
    peer.hear()
    assert sum(acked for acked, _, _ in window.acks) == 5


@pytest.mark.parametrize("missing", [1, 2, 31, 33, 64, 200])
def test_u8_selective_acks_that_are_sent_have_multiples_of_four_octets(missing: int) -> None:
    """BEP 29: "must be at least 4, and in multiples of 4"; utp-go takes nothing else."""
    peer, _ = watched()
    first = peer.seq
    for i in range(missing):
        peer.say(DATA, seq_nr=(first + 1 + i) & 0xFFFF, payload=b"later")
    state = peer.hear()[-1]
    ((kind, body),) = state.extensions
    assert kind == 1
    assert len(body) % 4 == 0
    assert len(body) >= 4
    assert state.sacked == {(first + 1 + i) & 0xFFFF for i in range(missing)}


def test_u8_no_selective_ack_is_sent_when_nothing_is_missing() -> None:
    """BEP 29: "only sent when at least one sequence number was skipped in the received stream"."""
    peer, _ = watched()
    for _ in range(4):
        peer.say(DATA, payload=b"in order")
        assert all(packet.extensions == [] for packet in peer.hear())
    peer.say(DATA, seq_nr=(peer.seq + 1) & 0xFFFF, payload=b"ahead")
    assert peer.hear()[-1].sacked == {(peer.seq + 1) & 0xFFFF}
    peer.say(DATA, payload=b"the missing one")
    assert all(packet.extensions == [] for packet in peer.hear())


# U9


def test_u9_packets_beyond_the_thirty_that_libutp_reports_are_not_taken_for_lost() -> None:
    """libutp's mask covers ack_nr + 2 to + 31: what it does not mention beyond may have arrived."""
    peer, window = watched(nodelay=True)
    packets = in_flight(peer, 60)
    # The first is missing, all others arrived; the mask can only say so of thirty.
    peer.now += 0.05
    peer.say(STATE, extensions=[(1, ((1 << 30) - 1).to_bytes(4, "little"))])
    resent = of(DATA, peer.hear())
    assert [packet.seq_nr for packet in resent] == [packets[0].seq_nr]
    assert window.losses == [5]
    peer.now += 0.05
    peer.say(STATE, ack_nr=packets[-1].seq_nr)
    assert of(DATA, peer.hear()) == []
    assert sum(acked for acked, _, _ in window.acks) == 60 * 5


def test_u9_a_mask_that_spans_everything_is_used_to_its_end() -> None:
    """libtorrent's masks span all that arrived: holes far behind are seen at once."""
    peer, _ = watched(nodelay=True)
    packets = in_flight(peer, 120)
    holes = {0, 50, 100}
    mask = sum(1 << (i - 1) for i in range(1, 120) if i not in holes)
    peer.now += 0.05
    peer.say(STATE, extensions=[(1, mask.to_bytes(15, "little"))])
    assert [packet.seq_nr for packet in of(DATA, peer.hear())] == [packets[i].seq_nr for i in sorted(holes)]


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


# U12


@pytest.mark.parametrize("difference", [0, 0x7FFFFFFF])
def test_u12_a_timestamp_difference_of_0_or_int_max_is_no_sample(difference: int) -> None:
    """µTorrent sent INT_MAX where the BEP says 0 for "no sample yet"."""
    peer, window = watched(nodelay=True)
    packets = in_flight(peer, 2)
    peer.say(STATE, ack_nr=packets[0].seq_nr, difference=difference)
    peer.hear()
    assert window.samples == []
    peer.say(STATE, ack_nr=packets[1].seq_nr, difference=4321)
    peer.hear()
    assert window.samples == [4321]


def test_u12_timestamp_difference_is_0_until_there_is_a_sample() -> None:
    """BEP 29 "timestamp_difference_microseconds": 0 when there is none; a SYN comes before any."""
    peer = hand(1, 2)
    syn = peer.answer_connect()
    assert syn.difference == 0


def test_u12_timestamp_difference_is_our_clock_less_the_peers_timestamp() -> None:
    """BEP 29 "overview": reply_micro is the host's time less timestamp_microseconds of the last packet."""
    peer, _ = watched()
    peer.say(DATA, payload=b"x", timestamp=123_456)
    assert peer.hear()[-1].difference == (int(START * 1e6) - 123_456) % 2**32
    peer.now += 0.5
    peer.say(DATA, payload=b"x", timestamp=700_000)
    assert peer.hear()[-1].difference == (int((START + 0.5) * 1e6) - 700_000) % 2**32


def test_u12_a_timestamp_of_0_gives_no_sample_to_reply_with() -> None:
    """There is nothing to subtract: the last real sample stays, and before one 0."""
    peer = hand()
    peer.raw(build(SYN, 300, seq_nr=77, timestamp=0))
    (answer,) = peer.hear()
    assert answer.difference == 0
    peer.peer_id, peer.seq, peer.ack = 301, 78, (answer.seq_nr - 1) & 0xFFFF
    peer.say(DATA, payload=b"x", timestamp=0)
    assert peer.hear()[-1].difference == 0
    peer.say(DATA, payload=b"x", timestamp=5)
    known = peer.hear()[-1].difference
    assert known == (int(START * 1e6) - 5) % 2**32
    peer.now += 0.1
    peer.say(DATA, payload=b"x", timestamp=0)
    assert peer.hear()[-1].difference == known


def test_u12_no_timestamp_that_is_sent_is_0() -> None:
    """At the very microsecond at which the 32-bit clock wraps."""
    peer = Hand(UtpEndpoint(random_bytes=drawn(1, 2)), now=2**32 / 1e6)
    peer.answer_connect()
    peer.endpoint.send(peer.number, b"x")
    heard = peer.hear()
    assert heard
    assert all(packet.timestamp != 0 for packet in heard)


# U13


def test_u13_a_keep_alive_is_a_state_that_acknowledges_one_packet_less_after_29_seconds() -> None:
    """libutp's form and time; nothing else is sent by an idle connection."""
    peer, _ = watched()
    assert peer.wait(28.9) == []
    (keep_alive,) = peer.wait(0.2)
    assert keep_alive.kind == STATE
    assert keep_alive.ack_nr == (peer.seq - 2) & 0xFFFF
    assert keep_alive.seq_nr == (peer.ack + 1) & 0xFFFF
    assert len(peer.wait(29.0)) == 1


def test_u13_a_keep_alive_of_the_peer_changes_nothing() -> None:
    """Its ack_nr is one behind: neither a duplicate acknowledgement nor a reason to drop anything."""
    peer, window = watched(nodelay=True)
    packets = in_flight(peer, 1)
    peer.say(STATE, ack_nr=packets[0].seq_nr)
    peer.hear()
    for _ in range(5):
        peer.say(STATE, ack_nr=(packets[0].seq_nr - 1) & 0xFFFF)
        assert peer.hear() == []
    assert window.losses == []
    peer.say(DATA, payload=b"alive")
    assert peer.endpoint.receive(peer.number) == b"alive"


@pytest.mark.parametrize("ahead", [1, 2, 100, 0x4000, 0x7FFF])
def test_u13_an_ack_nr_of_what_was_never_sent_is_ignored_without_a_reset(ahead: int) -> None:
    """libutp ignores it in silence: the packet may be of an earlier connection."""
    peer, window = watched(nodelay=True)
    packets = in_flight(peer, 2)
    peer.say(STATE, ack_nr=packets[-1].seq_nr + ahead)
    peer.say(DATA, ack_nr=packets[-1].seq_nr + ahead, seq_nr=peer.seq, payload=b"of another connection")
    assert peer.hear() == []
    assert window.acks == []
    assert not [event for event in peer.events() if isinstance(event, Closed | Readable)]
    peer.say(STATE, ack_nr=packets[-1].seq_nr)
    peer.hear()
    assert sum(acked for acked, _, _ in window.acks) == 10


def test_u13_what_we_acknowledge_is_never_out_of_libutps_range() -> None:
    """libutp takes ack_nr from seq_nr - 1 - (in flight + 3) to seq_nr - 1 only, whatever is lost or reordered."""
    network = Network()
    a, b = network.pair()
    chance = random.Random(3)
    network.fate = lambda *_: [] if chance.random() < 0.05 else [0.02 + chance.random() * 0.03]
    number = a.connect(B)
    a.send(number, bytes(200_000), finish=True)
    network.run_until(lambda: bool(b.of(EofReceived)))
    sent: dict[object, int] = {}
    last: dict[object, int] = {}
    for _, source, data in network.log:
        kind, seq_nr, ack_nr = data[0] >> 4, int.from_bytes(data[16:18], "big"), int.from_bytes(data[18:20], "big")
        other = b.address if source == a.address else a.address
        if kind in (DATA, FIN, SYN):
            sent[source] = seq_nr if source not in sent or (seq_nr - sent[source]) & 0x8000 == 0 else sent[source]
        if kind != SYN and other in sent:
            assert (sent[other] - ack_nr) & 0xFFFF < 0x8000, "of something that was sent"
            assert (ack_nr - last.get(source, ack_nr)) & 0xFFFF < 0x8000, "it never goes back while data flows"
            last[source] = ack_nr


# U14


def test_u14_the_window_of_a_syn_does_not_stop_the_acceptor() -> None:
    """libtorrent's SYN says wnd_size 0: only what follows it tells of the window."""
    peer = hand()
    peer.open(wnd_size=0)
    peer.say(STATE, wnd_size=100_000)
    peer.endpoint.send(peer.number, b"x" * 500)
    assert sum(len(packet.payload) for packet in of(DATA, peer.hear())) == 500


def test_u14_the_first_packet_after_the_syn_tells_the_window() -> None:
    """SYN with 0, DATA with room: the answer may go at once."""
    peer = hand()
    peer.raw(build(SYN, 300, seq_nr=77, wnd_size=0))
    (answer,) = peer.hear()
    peer.peer_id, peer.seq, peer.ack = 301, 78, (answer.seq_nr - 1) & 0xFFFF
    peer.say(DATA, payload=b"request", wnd_size=70_000)
    (incoming, _) = peer.events()
    assert isinstance(incoming, Incoming)
    peer.endpoint.send(incoming.connection, b"y" * 500)
    assert sum(len(packet.payload) for packet in of(DATA, peer.hear())) == 500


def test_u14_the_window_of_a_syn_does_not_open_it_either() -> None:
    """A SYN that says much, and DATA that says 0: nothing may be sent."""
    peer = hand()
    peer.raw(build(SYN, 300, seq_nr=77, wnd_size=1 << 20))
    (answer,) = peer.hear()
    peer.peer_id, peer.seq, peer.ack = 301, 78, (answer.seq_nr - 1) & 0xFFFF
    peer.say(DATA, payload=b"request", wnd_size=0)
    (incoming, _) = peer.events()
    assert isinstance(incoming, Incoming)
    peer.endpoint.send(incoming.connection, b"y" * 500)
    assert of(DATA, peer.hear()) == []


def test_u14_an_acceptor_told_early_may_send_against_a_syn_that_says_0() -> None:
    """`accept_early` lets a server speak first; the SYN's 0 is no window."""
    peer = hand(accept_early=True)
    peer.raw(build(SYN, 300, seq_nr=77, wnd_size=0))
    (incoming,) = peer.events()
    assert isinstance(incoming, Incoming)
    peer.endpoint.send(incoming.connection, b"banner")
    assert [packet.payload for packet in of(DATA, peer.hear())] == [b"banner"]


def test_u14_an_initiator_takes_the_window_of_the_syn_ack() -> None:
    """That is a STATE, not a SYN: its window counts."""
    peer = hand(1, 2)
    peer.answer_connect(wnd_size=300)
    assert [type(event) for event in peer.events()] == [Connected]
    peer.endpoint.send(peer.number, b"z" * 5000)
    assert sum(len(packet.payload) for packet in of(DATA, peer.hear())) <= 300
