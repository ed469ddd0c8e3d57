"""`ppsp._channel`: the initiator's side of the handshake, and its repetition and end (sections 3.1.1 and 8.4)."""

import pytest
from ppsp_channel import channel_of, mid_download

from ppsp._channel import State
from ppsp.events import PeerConnected, PeerDisconnected
from ppsp.messages import Ack, Choke, Data, Handshake, Have, Integrity, Request


@pytest.fixture
def bench(lab, seven):
    """An endpoint in mid-download."""
    return mid_download(lab, seven)


@pytest.fixture
def peer(lab, bench):
    """A peer that has not said anything yet."""
    return lab.HandPeer(bench, bench.publication)


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
