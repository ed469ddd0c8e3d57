"""Live streams whose chunks are signed one by one, on the wire (RFC 7574 section 6.1.1)."""

import pytest
from ppsp_live_hand import EPOCH, KEY, NOW, SIGN_ALL, by_hand, live_options, octets, publish, read

from ppsp.events import ChunkRefused
from ppsp.live import ChunkSigner
from ppsp.messages import Data, Have, Request, SignedIntegrity
from ppsp.metadata import SwarmMetadata


@pytest.fixture
def hand(lab):
    """Makes a bench with a live swarm, and a peer played by hand."""
    return by_hand(lab)


def sign_all(count=4):
    metadata = SwarmMetadata(KEY.swarm_id, content_integrity=SIGN_ALL)
    signer = ChunkSigner(metadata, KEY)
    return metadata, signer.feed(octets(count), EPOCH + NOW)


def signed_chunk(number, chunk, proof):
    stamp = int.from_bytes(proof[:8], "big")
    return [SignedIntegrity(number, number, stamp, proof[8:]), Data(number, number, 0, chunk)]


def test_sign_all_sends_each_chunk_behind_its_signature(hand):
    """Section 6.1.1: MUST contain SIGNED_INTEGRITY, followed by DATA."""
    metadata, chunks = sign_all()
    bench, peer = hand(metadata=metadata, signer=KEY)
    peer.open(**live_options(metadata, merkle_hash_function=None))
    publish(bench, 4)
    peer.take()
    peer.send(Request(0, 3))
    datagrams = peer.datagrams()
    assert [[type(message) for message in messages] for messages in datagrams] == [[SignedIntegrity, Data]] * 4
    assert [bytes(messages[1].payload) for messages in datagrams] == [chunk for _, chunk, _ in chunks]


def test_sign_all_sends_the_signature_first_where_both_do_not_fit(hand):
    """Section 6.1.1: MUST be sent first in a separate datagram."""
    metadata = SwarmMetadata(KEY.swarm_id, content_integrity=SIGN_ALL, chunk_size=1400)
    bench, peer = hand(metadata=metadata, signer=KEY)
    peer.open(**live_options(metadata, merkle_hash_function=None))
    bench.live.publish(b"x" * 1400, bench.now)
    bench.flush()
    peer.take()
    peer.send(Request(0, 0))
    datagrams = peer.datagrams()
    assert [[type(message) for message in messages] for messages in datagrams] == [[SignedIntegrity], [Data]]


def test_a_viewer_of_sign_all_checks_every_chunk(hand):
    metadata, chunks = sign_all()
    bench, peer = hand(metadata=metadata)
    peer.open(Have(0, 3), **live_options(metadata, merkle_hash_function=None))
    assert [(message.start, message.end) for message in peer.take(Request)] == [(3, 3)]
    signed, data = signed_chunk(*chunks[3])
    peer.send(signed)
    peer.send(data)
    assert read(bench) == [chunks[3][1]]
    peer.send(Have(0, 4), *signed_chunk(4, octets(1, 9), chunks[3][2]))
    assert bench.events(ChunkRefused)
    assert bench.channels == 0


def test_an_old_chunk_of_sign_all_is_not_tuned_in_by(hand):
    metadata, chunks = sign_all()
    bench, peer = hand(metadata=metadata)
    bench.now += 40
    peer.open(Have(0, 3), **live_options(metadata, merkle_hash_function=None))
    peer.send(*signed_chunk(*chunks[3]))
    assert bench.live.position is None
