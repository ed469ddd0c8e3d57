"""Clauses of RFC 7574 that a reading of the text against the code found without a test, section by section."""

import pytest

from ppsp import _limits
from ppsp.events import DatagramDropped, PeerDisconnected
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
    """Section 8.16 has the ACK before the HAVE, libswift (../shared/data/captures/libswift.pcap) the HAVE first."""
    peer.open(Request(0, 2))
    peer.take()
    bench.now += 0.02
    messages = [Ack(0, 2, 77), Have(0, 2)]
    peer.send(*messages if order == "ACK first" else reversed(messages))
    (window,) = bench.windows.made
    ((_, acked, delays, rtt),) = window.acks
    assert (acked, delays) == (3072, [77])
    assert rtt == pytest.approx(0.02)
