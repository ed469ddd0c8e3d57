"""`ppsp._channel`: the conversation with one peer (sections 3, 3.1.1, 3.2, 3.7 to 3.9, 3.12), state by state."""

from itertools import pairwise

import pytest

from ppsp import _limits
from ppsp._channel import State
from ppsp.events import DatagramDropped, PeerConnected, PeerDisconnected
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
    """An endpoint that holds chunks 0 to 2 of the RFC's seven, as a peer in mid-download does."""
    bench = lab.Bench()
    bench.leech(seven, content_size=7162)
    source = lab.HandPeer(bench, seven, host=1, channel=77)
    source.open()
    for chunk in range(3):
        source.serve(chunk, peaks=False)
    source.send(Handshake(0))
    bench.mail.clear()
    bench.events()
    bench.publication = seven
    return bench


@pytest.fixture
def peer(lab, bench):
    """A peer that has not said anything yet."""
    return lab.HandPeer(bench, bench.publication)


def channel_of(bench):
    """The only channel."""
    (channel,) = bench.endpoint._channels.values()
    return channel


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


# HAVE (section 3.2)


def test_who_connects_is_told_what_we_have(bench, peer):
    """Section 3.2: "a complete overview of a peer's chunk availability"."""
    peer.open()
    assert Have(0, 2) in peer.take(Have)


def test_whom_we_connect_to_is_told_what_we_have_when_the_handshake_is_complete(bench, peer):
    """Section 3.2: no HAVE "to peers for which the handshake procedure is still incomplete"."""
    peer.invite()
    peer.reply()
    assert peer.take(Have) == [Have(0, 2)]


def test_a_verified_chunk_is_announced_to_every_peer(lab, bench, peer):
    """Section 3.2 MUST: "to all peers it wants to allow to download those chunks"."""
    others = [lab.HandPeer(bench, bench.publication, host=20 + n, channel=20 + n) for n in range(3)]
    peer.open(peer.have_all())
    for other in others:
        other.open()
        other.take()
    peer.take()
    peer.serve(4, peaks=False)
    bench.advance(0.1)
    for other in others:
        assert other.take(Have) == [Have(4, 4)]


def test_a_have_gives_the_biggest_complete_interval(lab, bench, peer):
    """Section 4.3.1 MUST."""
    other = lab.HandPeer(bench, bench.publication, host=20, channel=20)
    peer.open(peer.have_all())
    other.open()
    other.take()
    peer.serve(4, peaks=False)
    peer.serve(3, peaks=False)
    bench.advance(0.1)
    assert other.take(Have)[-1] == Have(0, 4)


def test_no_have_is_sent_to_a_peer_that_has_everything(bench, peer):
    """Section 3.2 SHOULD NOT."""
    peer.open(peer.have_all())
    peer.take()
    peer.serve(4, peaks=False)
    bench.advance(0.1)
    assert peer.take(Have) == []


def test_no_have_is_sent_for_chunks_that_the_peer_has(lab, bench, peer):
    other = lab.HandPeer(bench, bench.publication, host=20, channel=20)
    peer.open(peer.have_all())
    other.open(Have(4, 4))
    other.take()
    peer.serve(4, peaks=False)
    bench.advance(0.1)
    assert other.take(Have) == []


def test_haves_may_wait_a_little_for_company(lab, bench, peer):
    """Section 3.2: "may wait ... until it has received and checked multiple chunks"."""
    other = lab.HandPeer(bench, bench.publication, host=20, channel=20)
    peer.open(peer.have_all())
    other.open()
    other.take()
    for chunk in (3, 4, 5, 6):
        peer.serve(chunk, peaks=False)
    bench.advance(0.1)
    assert other.take(Have) == [Have(0, 6)]


def test_a_have_that_may_be_lost_is_said_again(bench, peer):
    """Nothing acknowledges a HAVE, and section 4.3.1 counts on repetition; the last has no later one to cover it."""
    peer.open()
    peer.take()
    bench.advance(100.0)
    said = peer.take(Have)
    assert said
    assert set(map(str, said)) == {str(Have(0, 2))}
    assert len(said) < 15


def test_a_have_is_said_again_more_and_more_rarely(bench, peer):
    peer.open()
    peer.take()
    times = []
    for _ in range(1200):
        if peer.take(Have):
            times.append(bench.now)
        bench.advance(0.1)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) < 10
    assert all(later > 0.9 * earlier for earlier, later in pairwise(gaps))
    assert gaps[-1] > 8 * gaps[0]


def test_a_have_is_not_said_again_to_a_peer_that_has_the_chunks(bench, peer):
    peer.open(peer.have_all())
    peer.take()
    bench.advance(100.0)
    assert peer.take(Have) == []


def test_many_ranges_do_not_make_a_large_answer(lab):
    """Sections 1.3 and 12.1.1: "a large number of smaller messages" is heavy payload."""
    publication = lab.Publication(lab.pattern(400 * 16), chunk_size=16)
    bench = lab.Bench()
    bench.leech(publication, content_size=6400)
    source = lab.HandPeer(bench, publication, host=1, channel=5)
    source.open()
    for chunk in range(0, 400, 2):
        source.serve(chunk, peaks=False)
    peer = lab.HandPeer(bench, publication)
    peer.hello(*[Request(1, 1)] * 100)
    (answer,) = peer.datagrams()
    assert len(answer) < 10
    peer.remote = answer[0].source_channel
    peer.send()
    assert len(peer.take(Have)) == 200  # in full as soon as the handshake is complete


# ACK (sections 3.4 and 4.3.2)


def test_a_verified_chunk_is_acknowledged_with_the_biggest_interval_and_its_delay(bench, peer):
    """Sections 3.4, 4.3.2 and 8.7: MUST."""
    peer.open(peer.have_all())
    peer.take()
    peer.serve(3, timestamp=int(bench.now * 1e6) - 250, peaks=False)
    assert peer.take(Ack) == [Ack(0, 3, 250)]


def test_the_delay_of_a_fast_clock_is_negative_modulo_2_to_the_64(bench, peer):
    """Section 8.6: differences of clocks only."""
    peer.open(peer.have_all())
    peer.take()
    peer.serve(3, timestamp=int(bench.now * 1e6) + 250, peaks=False)
    assert peer.take(Ack) == [Ack(0, 3, 2**64 - 250)]


@pytest.mark.parametrize("timestamp", [0, 1, 2**63, 2**64 - 1])
def test_any_timestamp_gives_a_sample(bench, peer, timestamp):
    peer.open(peer.have_all())
    peer.take()
    peer.serve(3, timestamp=timestamp, peaks=False)
    assert peer.take(Ack) == [Ack(0, 3, (int(bench.now * 1e6) - timestamp) % 2**64)]


def test_an_ack_comes_only_after_the_integrity_check(bench, peer):
    """Section 3.4: "that has successfully checked the integrity of a chunk"."""
    peer.open(peer.have_all())
    peer.take()
    peer.send(peer.data(5))  # no hashes
    assert peer.take(Ack) == []


def test_a_chunk_that_came_twice_is_acknowledged_twice(bench, peer):
    """Section 8.2; its ACK may have been lost."""
    peer.open(peer.have_all())
    peer.take()
    peer.serve(3, peaks=False)
    peer.serve(3, peaks=False)
    assert len(peer.take(Ack)) == 2


def test_hashes_may_come_in_an_earlier_datagram(bench, peer):
    """Section 5.4: they "MUST be sent first in one or more datagrams" where they do not fit."""
    peer.open(peer.have_all())
    peer.take()
    peer.send(*peer.integrity(5, peaks=False))
    peer.send(peer.data(5))
    assert [(ack.start, ack.end) for ack in peer.take(Ack)] == [(5, 5)]


def test_chunks_that_were_not_asked_for_are_taken(bench, peer):
    """Section 3.7: the push model."""
    peer.open()
    peer.serve(5, peaks=False)
    assert [(ack.start, ack.end) for ack in peer.take(Ack)] == [(5, 5)]


def test_several_data_may_share_a_datagram(bench, peer):
    """Section 8.6 MAY: the chunk size is fixed, and none is the short last one."""
    peer.open(peer.have_all())
    peer.take()
    messages = [*peer.integrity(3, peaks=False), peer.data(3), *peer.integrity(4, peaks=False), peer.data(4)]
    peer.send(*messages)
    assert {(ack.start, ack.end) for ack in peer.take(Ack)} == {(0, 4)}


# REQUEST, CANCEL, CHOKE (sections 3.7 to 3.9)


def test_chunks_that_the_peer_offers_and_we_lack_are_requested(bench, peer):
    peer.open(Have(1, 4))
    assert [(request.start, request.end) for request in peer.take(Request)] == [(3, 4)]


def test_nothing_is_requested_of_a_peer_that_offers_nothing_new(bench, peer):
    peer.open(Have(0, 2))
    assert peer.take(Request) == []


def test_no_chunk_is_requested_of_two_peers_at_once(lab, bench, peer):
    """Section 2.2: the requests "refer to disjoint sets of chunks"."""
    other = lab.HandPeer(bench, bench.publication, host=20, channel=20)
    peer.open(peer.have_all())
    other.open(other.have_all())
    asked = [
        chunk
        for each in (peer, other)
        for request in each.take(Request)
        for chunk in range(request.start, request.end + 1)
    ]
    assert sorted(asked) == [3, 4, 5, 6]


def test_a_choked_peer_asks_for_nothing(bench, peer):
    """Section 3.9: it "MUST NOT send new REQUEST messages"."""
    peer.open(Choke(), peer.have_all())
    bench.advance(30.0)
    assert peer.take(Request) == []


def test_a_have_does_not_unchoke(bench, peer):
    """Section 3.9: "is not automatically unchoked and MUST NOT send any new REQUEST messages"."""
    peer.open(Choke())
    peer.send(peer.have_all())
    bench.advance(30.0)
    peer.send(Have(3, 6))
    assert peer.take(Request) == []


def test_what_was_outstanding_at_a_peer_that_chokes_is_asked_of_others(lab, bench, peer):
    """Section 2.2: "Peer A should then re-request from other peers"."""
    other = lab.HandPeer(bench, bench.publication, host=20, channel=20)
    peer.open(peer.have_all())
    other.open(other.have_all())
    assert peer.take(Request)
    assert other.take(Request) == []
    peer.send(Choke())
    assert other.take(Request)


def test_an_unchoked_peer_asks_again(bench, peer):
    """Section 3.9: "it will respond to new REQUESTs"."""
    peer.open(peer.have_all())
    peer.take()
    peer.send(Choke())
    peer.take()
    peer.send(Unchoke())
    assert [(request.start, request.end) for request in peer.take(Request)] == [(3, 6)]


def test_an_unchoke_without_choke_changes_nothing(bench, peer):
    """Section 12.6.9, UNCHOKE.1."""
    peer.open(peer.have_all())
    first = peer.take(Request)
    peer.send(Unchoke())
    assert first
    assert peer.take(Request) == []


def test_a_have_from_the_requester_cancels_its_request(bench, peer, lab):
    """Section 3.8: "the HAVE message acts as an implicit CANCEL", a MUST."""
    peer.open(Request(0, 2), Have(1, 1))
    assert sorted(data.start for data in peer.take(Data)) == [0, 2]


def test_a_request_is_answered_with_data(bench, peer):
    peer.open(Request(1, 1))
    (data,) = peer.take(Data)
    assert bytes(data.payload) == bench.publication.chunks[1]


def test_several_requests_in_one_datagram_are_all_served(bench, peer):
    """Section 3.7."""
    peer.open(Request(2, 2), Request(0, 0))
    assert {data.start for data in peer.take(Data)} == {0, 2}


def test_the_cancel_of_requests_that_lapse_goes_to_the_peer(bench, peer):
    """Section 3.8 SHOULD."""
    peer.open(peer.have_all())
    peer.take()
    bench.advance(_limits.REQUEST_SECONDS + 0.5)
    assert peer.take(Cancel) == [Cancel(3, 6)]


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


# The initiator's side (section 3.1.1 steps 3 to 5)


def test_an_unanswered_handshake_is_repeated_and_given_up(bench, peer):
    """Section 3.1.1 step 5 MAY."""
    first = peer.invite()
    assert first.options.swarm_id == bench.publication.root
    bench.advance(60.0)
    again = peer.take()
    assert 2 <= len(again) <= 8
    assert all(message.source_channel == first.source_channel for message in again)
    assert bench.channels == 0
    (event,) = bench.events(PeerDisconnected)
    assert "answer" in event.reason


def test_the_reply_completes_the_handshake_and_is_answered_at_once(bench, peer):
    """Section 12.1.2: "Peer A MUST respond immediately to the second datagram"."""
    peer.accept()
    assert channel_of(bench).state is State.OPEN
    assert peer.raw()
    assert bench.events(PeerConnected) == [PeerConnected(bench.publication.root, peer.address)]


def test_an_initiator_without_anything_to_say_answers_with_a_keep_alive(lab, seven):
    """Section 12.1.2 again: the responder is to free its half-open state."""
    bench = lab.Bench()
    bench.leech(seven)
    peer = lab.HandPeer(bench, seven)
    peer.accept()
    assert peer.raw() == [peer.channel.to_bytes(4, "big")]


def test_minor_payload_of_the_reply_counts(bench, peer):
    """Section 3.1.1 step 2: HAVE or REQUEST messages MAY be in it."""
    peer.accept(Have(4, 5), Request(1, 1))
    messages = peer.take()
    assert [(m.start, m.end) for m in messages if isinstance(m, Request)] == [(4, 5)]
    assert [m.start for m in messages if isinstance(m, Data)] == [1]


def test_a_choke_in_the_reply_counts(bench, peer):
    """Section 2.1: Peer D."""
    peer.accept(Have(4, 5), Choke())
    assert peer.take(Request) == []


def test_the_third_datagram_is_repeated_until_the_responder_says_something(lab, seven):
    """Section 12.1.2: else the responder gives its half-open state up, and the initiator never learns."""
    bench = lab.Bench()
    bench.leech(seven)
    peer = lab.HandPeer(bench, seven)
    peer.accept()
    bench.advance(8.0)
    assert 3 <= len(peer.raw()) <= 10
    peer.send()
    bench.advance(30.0)
    assert peer.raw() == []


@pytest.mark.parametrize("start", [127.87219840041293, 121.80070781542629, 127.24895542155873, 1e9 / 3])
def test_the_third_datagram_is_repeated_whatever_the_clock_rounds(lab, seven, start):
    """Moments at which `(start + 10.0) - start < 10.0`: no busy loop, which `advance` would notice."""
    bench = lab.Bench(now=start)
    bench.leech(seven)
    peer = lab.HandPeer(bench, seven)
    peer.accept()
    bench.advance(60.0)
    assert bench.timer_calls < 40


def test_a_peer_that_restarted_behind_our_handshake_is_told_everything_again(lab, seven):
    """It answered, crashed, and answers our repeated HANDSHAKE as one who has nothing: its former life is over."""
    bench = lab.Bench()
    bench.seed(seven)
    peer = lab.HandPeer(bench, seven)
    peer.accept(peer.have_all())
    bench.advance(9.0)
    bench.mail.clear()
    bench.advance(30.0)
    again = [message for message in peer.take(Handshake) if message.source_channel]
    assert again
    assert all(message.source_channel == peer.remote for message in again)
    peer.channel = 0x0E0E0E0E
    peer.reply()
    bench.advance(2.0)
    assert Have(0, 6) in peer.take(Have)
    peer.send(Request(0, 0))
    nodes = [(message.start, message.end) for message in peer.take(Integrity)]
    assert nodes[-5:] == [(0, 3), (4, 5), (6, 6), (2, 3), (1, 1)]


def test_a_silent_responder_is_not_dropped(lab, seven):
    """Nothing obliges a responder to send anything but keep-alives before it has something to offer (section 3.12)."""
    bench = lab.Bench()
    bench.leech(seven)
    peer = lab.HandPeer(bench, seven)
    peer.accept()
    bench.advance(58.0)
    assert bench.channels == 1
    peer.send()
    peer.send(peer.have_all())
    assert peer.take(Request)


@pytest.mark.parametrize(
    "change",
    [
        {"version": None},
        {"version": 0},
        {"chunk_addressing": 4},
        {"chunk_size": 512},
        {"merkle_hash_function": 0},
        {"content_integrity": 0},
        {"swarm_id": bytes(32)},
    ],
    ids=str,
)
def test_a_reply_that_fails_a_check_is_answered_with_a_closing_handshake(bench, peer, change):
    """Section 3.1.1 step 4: MAY; channel ID all zeros, an empty list, to chanQ: MUST."""
    peer.invite()
    peer.reply(**change)
    assert bench.channels == 0
    assert peer.raw() == [peer.channel.to_bytes(4, "big") + bytes.fromhex("00 00000000 ff")]


def test_a_reply_that_is_repeated_changes_nothing(bench, peer):
    """Section 8.2: "it can be recognized as duplicate"."""
    peer.accept()
    peer.take()
    peer.reply()
    assert bench.channels == 1
    assert bench.events(PeerConnected) == [PeerConnected(bench.publication.root, peer.address)]


def test_a_reply_with_another_channel_id_does_not_take_over_an_open_channel(bench, peer):
    """Who sees our channel ID could redirect our traffic."""
    peer.accept()
    peer.take()
    peer.channel, mine = 0x0A0B0C0D, peer.channel
    peer.reply()
    assert channel_of(bench).remote_id == mine


def test_a_closing_handshake_ends_the_attempt(bench, peer):
    """Section 8.4: the peer refuses."""
    peer.invite()
    peer.send(Handshake(0))
    assert bench.channels == 0
    assert peer.raw() == []


@pytest.mark.parametrize("closing", ["00 00000000 ff", "00 00000000", "00 00000000 0001 ff"])
def test_a_closing_handshake_closes_the_channel(bench, peer, closing):
    """Section 8.4: source channel ID all zeros; the list empty (with or without its end option) or the version."""
    peer.open()
    peer.take()
    bench.events()
    peer.send_raw(bytes.fromhex(closing))
    assert bench.channels == 0
    assert len(bench.events(PeerDisconnected)) == 1
    bench.advance(200.0)
    assert peer.raw() == []


def test_what_stands_behind_a_closing_handshake_has_no_effect(bench, peer):
    peer.open()
    peer.take()
    peer.send(Handshake(0), Request(0, 2))
    assert peer.raw() == []


def test_a_repeated_handshake_does_not_hold_back_what_is_owed(bench, peer):
    """The answer was lost, or the network repeats: what else is due leaves too."""
    peer.open(peer.have_all())
    peer.take()
    peer.hello(flush=False)
    peer.serve(3, peaks=False, flush=False)
    bench.flush()
    kinds = {type(message) for message in peer.take()}
    assert Handshake in kinds
    assert Ack in kinds


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
