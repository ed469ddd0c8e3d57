"""Clauses of RFC 7574 that a reading of the text against the code found without a test, section by section."""

import pytest

from ppsp import _limits
from ppsp.events import DatagramDropped, PeerConnected, PeerDisconnected
from ppsp.messages import Ack, Data, Handshake, Have, Request


@pytest.fixture
def bench(lab, seven):
    """A seeder of the RFC's seven chunks."""
    bench = lab.Bench()
    bench.seed(seven)
    return bench


@pytest.fixture
def peer(lab, bench, seven):
    """A peer that has not said anything yet."""
    return lab.HandPeer(bench, seven)


# Section 3: messages in the strict order of their datagram


@pytest.mark.parametrize("knows", [Have(0, 2), Ack(0, 2, 5)], ids=lambda message: type(message).__name__)
def test_a_request_behind_a_have_or_an_ack_stands_and_one_before_it_does_not(bench, peer, knows):
    """Section 3 MUST: each message acts where it stands; section 3.8: what the peer has is cancelled."""
    peer.open(knows, Request(0, 2))
    assert sorted(data.start for data in peer.take(Data)) == [0, 1, 2]
    peer.send(Request(4, 6), type(knows)(4, 6, *([5] if isinstance(knows, Ack) else [])))
    assert peer.take(Data) == []


def test_a_peer_that_goes_on_sending_invalid_messages_is_not_spoken_to_any_more(bench, peer):
    """Section 3 SHOULD: "further communication with the peer SHOULD be stopped"; a few may be damage on the way."""
    peer.open()
    for _ in range(_limits.MAX_INVALID - 1):
        peer.send_raw(b"\xff")
    peer.take()
    peer.send(Request(0, 0))
    assert peer.take(Data)
    peer.send_raw(b"\xff")
    assert peer.take() == [Handshake(0)]
    (event,) = bench.events(PeerDisconnected)
    assert "invalid" in event.reason
    peer.send(Request(0, 0))
    peer.hello()
    bench.advance(200.0)
    assert peer.raw() == []
    assert not bench.endpoint.connect(peer.metadata.swarm_id, peer.address, bench.now)


# Section 5.3


def test_a_chunk_without_its_hashes_is_dropped_and_what_stands_behind_it_is_not(lab, seven):
    """Section 5.3: where data is missing to process a message, "the message SHOULD be dropped": it is not invalid."""
    bench = lab.Bench()
    bench.leech(seven, content_size=7162)
    peer = lab.HandPeer(bench, seven)
    peer.open()
    peer.take()
    peer.send(peer.data(0), Have(4, 5), *peer.integrity(4, peaks=False), peer.data(4))
    messages = peer.take()
    assert [(ack.start, ack.end) for ack in messages if isinstance(ack, Ack)] == [(4, 4)]
    assert Request(5, 5) in messages
    assert bench.events(DatagramDropped) == []


# Section 3.2


def test_the_answer_to_a_peer_that_has_everything_holds_no_have(bench, peer):
    """Section 3.2 SHOULD NOT; the peer says what it has behind its first HANDSHAKE."""
    peer.hello(peer.have_all())
    assert [type(message) for message in peer.take()] == [Handshake]


# Sections 3.4 and 8.7


@pytest.mark.parametrize("order", ["ACK first", "HAVE first"])
def test_the_delay_sample_counts_wherever_the_ack_stands_in_its_datagram(bench, peer, order):
    """Section 8.16 has the ACK before the HAVE, libswift (tests/data/captures/libswift.pcap) the HAVE first."""
    peer.open(Request(0, 2))
    peer.take()
    bench.now += 0.02
    messages = [Ack(0, 2, 77), Have(0, 2)]
    peer.send(*messages if order == "ACK first" else reversed(messages))
    (window,) = bench.windows.made
    ((_, acked, delays, rtt),) = window.acks
    assert (acked, delays) == (3072, [77])
    assert rtt == pytest.approx(0.02)


# Section 3.12, and 3.1.1 step 5


def test_a_peer_with_nothing_to_say_is_not_dead_before_three_minutes(lab, seven):
    """Section 3.12, Table 8: no reply in 3 minutes. A responder owes nothing but its HANDSHAKE and keep-alives."""
    bench = lab.Bench()
    bench.leech(seven)
    peer = lab.HandPeer(bench, seven)
    peer.accept()
    bench.advance(170.0)
    assert bench.channels == 1
    assert 5 <= len(peer.raw()) <= 12
    bench.advance(20.0)
    assert bench.channels == 0
    assert "dead" in bench.events(PeerDisconnected)[0].reason


def test_a_responder_that_forgot_its_half_open_channel_is_called_again(lab, seven):
    """Section 12.1.2: it need not keep its state; 3.1.1 step 5: the first datagram MAY be sent again."""
    bench = lab.Bench()
    bench.leech(seven)
    peer = lab.HandPeer(bench, seven)
    first = peer.invite()
    peer.reply()
    bench.advance(20.0)
    assert first in peer.take()
    peer.channel += 1
    peer.reply(peer.have_all())
    assert peer.take(Request)  # to the new channel ID, which `take` checks
    assert len(bench.events(PeerConnected)) == 1


def test_an_answer_after_the_call_was_repeated_is_checked_like_the_first(lab, seven):
    """Section 3.1.1 step 4: "Peer P checks the HANDSHAKE message"; somebody else may live at the address by now."""
    bench = lab.Bench()
    bench.leech(seven)
    peer = lab.HandPeer(bench, seven)
    peer.accept()
    bench.advance(20.0)
    peer.take()
    peer.channel += 1
    peer.reply(chunk_size=512)
    assert bench.channels == 0
    assert peer.take() == [Handshake(0)]


def test_a_second_datagram_that_is_repeated_is_answered_again(lab, seven):
    """Section 12.1.2 MUST: the initiator responds immediately to the second datagram; its answer may have been lost."""
    bench = lab.Bench()
    bench.leech(seven)
    peer = lab.HandPeer(bench, seven)
    peer.accept()
    assert len(peer.raw()) == 1
    peer.reply()
    assert len(peer.raw()) == 1


def test_a_path_that_comes_up_late_is_used(lab, seven):
    """All but first HANDSHAKEs and answers is lost for twelve seconds, which is longer than half-open state lives."""
    network = lab.Network()
    source = network.host().seed(seven)
    fetcher = network.host().leech(seven)
    carry = network.carry

    def late(sender, address, octets):
        if sender is source or octets[:4] == bytes(4) or network.now > 1012.0:
            carry(sender, address, octets)

    network.carry = late
    fetcher.connect(source)
    network.run(lambda: fetcher.complete, seconds=60.0)
    assert bytes(fetcher.store.octets) == seven.content
    assert len(fetcher.seen(PeerConnected)) == 1
