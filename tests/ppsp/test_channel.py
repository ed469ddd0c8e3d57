"""`ppsp._channel`: every message in every state (section 3), peer exchange, and keeping alive (3.12)."""

import pytest
from ppsp_channel import channel_of, mid_download

from ppsp._channel import State
from ppsp.events import DatagramDropped, PeerDisconnected
from ppsp.messages import (
    Ack,
    Cancel,
    Choke,
    Data,
    Handshake,
    Have,
    Integrity,
    PexReq,
    PexResCert,
    PexResV4,
    PexResV6,
    Request,
    Unchoke,
)
from ppsp.options import ProtocolOptions

KEEP_ALIVE = b""
# The codec makes no SIGNED_INTEGRITY for a static swarm: type, range, NTP timestamp, signature.
SIGNED_INTEGRITY = bytes((7,)) + bytes(8) + bytes(8) + bytes(64)
UNKNOWN = bytes((99, 1, 2, 3))
RESERVED = bytes((255,))


@pytest.fixture
def bench(lab, seven):
    """An endpoint in mid-download."""
    return mid_download(lab, seven)


@pytest.fixture
def peer(lab, bench):
    """A peer that has not said anything yet."""
    return lab.HandPeer(bench, bench.publication)


def snapshot(bench):
    """Everything that a message could change."""
    found = []
    for channel in bench.endpoint._channels.values():
        upload, download = channel.upload, channel.download
        found.append(
            (
                channel.state,
                channel.remote_id,
                list(channel.peer_have),
                list(upload._wanted),
                list(upload._known),
                upload.flight,
                sorted(download.outstanding),
                download.choked,
                download.chunks_received,
                dict(download._loose),
            )
        )
    (swarm,) = bench.endpoint._swarms.values()
    return found, list(swarm.content.have), dict(swarm.banned)


def every_message(publication):
    """One of each type of Table 7, by name, with the octets that have no type as well."""
    data = Data(3, 3, 5, publication.chunks[3])  # its hash came as an uncle of chunk 2
    return {
        "HANDSHAKE again": Handshake(0x01020304, ProtocolOptions(version=1)),
        "DATA": data,
        "ACK": Ack(0, 1, 100),
        "HAVE": Have(0, 1),
        "INTEGRITY": Integrity(4, 5, publication.node(4, 5)),
        "PEX_RESv4": PexResV4(bytes((192, 0, 2, 1)), 6778),
        "PEX_REQ": PexReq(),
        "REQUEST": Request(0, 1),
        "CANCEL": Cancel(0, 1),
        "CHOKE": Choke(),
        "UNCHOKE": Unchoke(),
        "PEX_RESv6": PexResV6(bytes(16), 6778),
        "PEX_REScert": PexResCert(b"\x30\x00"),
        "SIGNED_INTEGRITY": SIGNED_INTEGRITY,
        "unassigned": UNKNOWN,
        "reserved": RESERVED,
        "keep-alive": KEEP_ALIVE,
    }


NAMES = [
    "HANDSHAKE again",
    "DATA",
    "ACK",
    "HAVE",
    "INTEGRITY",
    "PEX_RESv4",
    "PEX_REQ",
    "REQUEST",
    "CANCEL",
    "CHOKE",
    "UNCHOKE",
    "PEX_RESv6",
    "PEX_REScert",
    "SIGNED_INTEGRITY",
    "unassigned",
    "reserved",
    "keep-alive",
]


def say(peer, message, *, to=None):
    """Send a message, or octets as they are."""
    if isinstance(message, bytes):
        peer.send_raw(message, to=to)
    else:
        peer.send(message, to=to)


# State x input. What is named here has an effect; everything else must change nothing at all.
EFFECTS = {
    # Section 3.1.1 steps 1 to 3: only the reply counts; it is tried elsewhere, with options that pass the check.
    State.OPENING: {"HANDSHAKE again"},
    # Section 3.1.1 step 7: any datagram with our channel ID completes the handshake.
    State.HALF_OPEN: set(NAMES),
    State.OPEN: {"DATA", "ACK", "HAVE", "INTEGRITY", "REQUEST", "CHOKE"},
    State.CLOSED: set(),
}


def put_into(state, peer):
    """Bring the only channel into a state."""
    if state is State.OPENING:
        peer.invite()
        peer.remote = channel_of(peer.bench).channel_id
    else:
        peer.hello()
        peer.remote = peer.take()[0].source_channel
    if state in (State.OPEN, State.CLOSED):
        peer.send()
    if state is State.CLOSED:
        peer.send(Handshake(0))
        assert peer.bench.channels == 0
    else:
        assert channel_of(peer.bench).state is state
    peer.bench.flush()
    peer.raw()
    peer.bench.events()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("state", list(State), ids=lambda state: state.name)
def test_every_message_in_every_state_is_taken_or_changes_nothing(bench, peer, state, name):
    """Section 3; nothing raises."""
    put_into(state, peer)
    before = snapshot(bench)
    say(peer, every_message(bench.publication)[name])
    changed = snapshot(bench) != before
    assert changed is (name in EFFECTS[state])
    for _ in range(3):
        bench.advance(1.0)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("HAVE", True),
        ("REQUEST", True),
        ("CHOKE", True),
        ("UNCHOKE", False),
        ("CANCEL", False),
        ("PEX_REQ", False),
        ("DATA", False),
        ("ACK", False),
        ("INTEGRITY", False),
        ("SIGNED_INTEGRITY", False),
        ("PEX_RESv4", False),
        ("unassigned", False),
    ],
)
def test_what_stands_behind_the_first_handshake(lab, bench, peer, name, counts):
    """Section 3.1.1 step 1: minor payload MAY be there, heavy payload MUST NOT."""
    peer.hello()
    plain = snapshot(bench)[0][0]
    other = lab.HandPeer(bench, bench.publication, host=33, channel=44)
    message = every_message(bench.publication)[name]
    first = other.codec.encode(0, [Handshake(44, lab.options_of(other.metadata))])
    behind = message if isinstance(message, bytes) else other.codec.encode(0, [message])[4:]
    bench.receive(first + behind, other.address)
    found = snapshot(bench)[0][1]
    assert (found[2:] != plain[2:]) is counts
    assert found[0] is State.HALF_OPEN


def test_messages_before_an_invalid_one_count_and_those_behind_it_do_not(bench, peer):
    """Section 3: "the remaining messages MUST be discarded"."""
    peer.open()
    have = peer.codec.encode(0, [Have(0, 1)])[4:]
    more = peer.codec.encode(0, [Have(5, 5)])[4:]
    peer.send_raw(have + UNKNOWN + more)
    assert list(channel_of(bench).peer_have) == [(0, 2)]
    assert bench.events(DatagramDropped)


def test_a_message_cut_short_ends_its_datagram(bench, peer):
    """Section 3."""
    peer.open()
    have = peer.codec.encode(0, [Have(0, 1)])[4:]
    peer.send_raw(have + have[:5])
    assert list(channel_of(bench).peer_have) == [(0, 2)]


def test_messages_are_processed_in_the_order_in_which_they_stand(bench, peer):
    """Section 3: "in the strict order in which they appear in the datagram"."""
    peer.open(Request(0, 1), Cancel(0, 1))
    assert not peer.take(Data)
    peer.send(Cancel(0, 1), Request(0, 1))
    assert [data.start for data in peer.take(Data)] == [0, 1]


def test_choke_and_unchoke_are_taken_in_order(bench, peer):
    peer.open(Choke(), Unchoke(), peer.have_all())
    assert peer.take(Request)
    peer.send(Unchoke(), Choke())
    assert channel_of(bench).download.choked


def test_all_that_is_due_shares_a_datagram(bench, peer):
    """Section 3: "multiple messages MUST be multiplexed into a single datagram"."""
    peer.open()
    peer.take()
    peer.serve(4, peaks=False, flush=False)  # pushed: the peer did not say that it has it
    peer.send(Have(5, 5), flush=False)
    bench.flush()
    (messages,) = peer.datagrams()
    assert {type(message) for message in messages} == {Ack, Have, Request}


def test_a_batch_of_datagrams_is_answered_once(bench, peer):
    """Acknowledgements and HAVEs are merged over a batch."""
    peer.open(peer.have_all())
    peer.take()
    for chunk in (3, 4, 5, 6):
        peer.serve(chunk, peaks=False, flush=False)
    bench.flush()
    assert len(peer.raw()) == 1


# Peer exchange (section 3.10.1)


@pytest.mark.parametrize(
    "message",
    [PexReq(), PexResV4(bytes(4), 1), PexResV6(bytes(16), 1), PexResCert(b"\x30\x00")],
    ids=lambda message: type(message).__name__,
)
def test_peer_exchange_is_passed_over_with_the_rest_of_the_datagram_intact(bench, peer, message):
    """Section 3.10.1: "peers MAY ignore"; section 8.16 has a PEX_REQ behind a REQUEST."""
    peer.open()
    peer.send(message, Have(5, 5))
    assert (5, 6) in list(channel_of(bench).peer_have)
    assert bench.events(DatagramDropped) == []


@pytest.mark.parametrize("left_out", [Have, Request, Ack, Data, Integrity])
def test_no_message_goes_to_a_peer_that_does_not_support_it(lab, bench, peer, left_out):
    """Section 7.10."""
    supported = frozenset(range(14)) - {int(left_out.message_type)}
    peer.hello(supported_messages=supported)
    messages = peer.take()
    peer.remote = messages[0].source_channel
    peer.send(peer.have_all(), Request(0, 2))
    peer.serve(3, peaks=False)
    bench.advance(5.0)
    messages += peer.take()
    assert [message for message in messages if isinstance(message, left_out)] == []
    assert len({type(message) for message in messages}) > 2


# Keep-alive and death (sections 3.12 and 8.14)


def test_an_idle_channel_is_kept_alive(bench, peer):
    """Section 3.12 SHOULD; a keep-alive has the channel ID and nothing else (8.14)."""
    peer.open(peer.have_all(), Choke())
    peer.take()
    bench.advance(170.0)
    alive = peer.raw()
    assert alive == [peer.channel.to_bytes(4, "big")] * 3


def test_no_keep_alive_is_sent_between_other_messages(bench, peer):
    peer.open(peer.have_all(), Choke())
    for _ in range(20):
        bench.advance(10.0)
        peer.send(Request(0, 0))
        peer.send(Ack(0, 0, 1))
    assert all(len(octets) > 4 for octets in peer.raw()[1:])


def test_a_dead_peer_is_forgotten_without_a_word(bench, peer):
    """Section 3.12: three minutes of silence, three datagrams sent; "no more messages will be sent to that peer"."""
    peer.open(peer.have_all(), Choke())
    peer.take()
    bench.advance(179.0)
    assert bench.channels == 1
    bench.advance(2.0)
    assert bench.channels == 0
    (event,) = bench.events(PeerDisconnected)
    assert "dead" in event.reason
    peer.raw()
    bench.advance(500.0)
    assert peer.raw() == []


def test_a_keep_alive_keeps_a_peer_alive(bench, peer):
    """Section 3.12: "prevents other peers declaring the peer dead"."""
    peer.open(peer.have_all(), Choke())
    for _ in range(10):
        bench.advance(170.0)
        peer.send()
    assert bench.channels == 1


def test_a_silent_peer_is_not_dead_before_three_datagrams_were_sent_to_it(bench, peer):
    """Section 3.12: both conditions. The driver slept, so that nothing was sent."""
    peer.open(peer.have_all(), Choke())
    peer.take()
    bench.now += 200.0
    bench.endpoint.handle_timer(bench.now)
    assert bench.channels == 1
    bench.flush()
    peer.send()
    assert bench.channels == 1


def test_a_timer_that_is_early_late_or_repeated_does_no_harm(bench, peer):
    peer.open(peer.have_all())
    peer.take()
    before = snapshot(bench)
    for _ in range(10):
        bench.endpoint.handle_timer(bench.now)
    bench.flush()
    assert snapshot(bench) == before
    assert peer.raw() == []
    for late in (10.0, 100.0):
        bench.now += late
        bench.endpoint.handle_timer(bench.now)
        bench.endpoint.handle_timer(bench.now)
        bench.flush()


def test_a_clock_that_goes_back_a_little_does_no_harm(bench, peer):
    peer.open(peer.have_all())
    bench.now -= 0.25
    peer.serve(3, peaks=False)
    bench.endpoint.handle_timer(bench.now)
    bench.flush()
    bench.now += 0.5
    peer.serve(4, peaks=False)
    assert peer.take(Ack)
