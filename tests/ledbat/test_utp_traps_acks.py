"""Traps 7 to 9 and 12 to 14 of uTP as it is spoken: extensions, acknowledgements, timestamps, windows."""

import random

import pytest
from hand_utp import DATA, FIN, START, STATE, SYN, Hand, Parsed, build
from utp_network import B, Network
from utp_traps import drawn, hand, of, watched

from ledbat.utp import Closed, Connected, EofReceived, Incoming, Readable, UtpEndpoint

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
