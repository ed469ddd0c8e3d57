"""A viewer of a live stream on the wire, and a peer played by hand (RFC 7574 sections 6 and 12)."""

import random

import attrs
import pytest
from ppsp_live_hand import (
    EPOCH,
    KEY,
    METADATA,
    NOW,
    OTHER,
    Stream,
    by_hand,
    live_options,
    octets,
    publish,
    read,
    tuned_in,
)

from ppsp.events import ChunkRefused, ChunksVerified, DatagramDropped, MunroRefused, PeerDisconnected
from ppsp.live import Injector, codec_of
from ppsp.messages import Cancel, Data, Handshake, Have, Integrity, Request, SignedIntegrity


@pytest.fixture
def hand(lab):
    """Makes a bench with a live swarm, and a peer played by hand."""
    return by_hand(lab)


def test_a_viewer_tunes_in_at_the_newest_munro(hand):
    """Section 6.1.2.4: SHOULD use the signed munro to pick a tune-in point."""
    stream = Stream()
    bench, peer = tuned_in(hand, stream, 8)
    assert bench.live.position == 8
    (request,) = peer.take(Request)
    assert (request.start, request.end) == (8, 11)
    for chunk in range(8, 12):
        peer.send(*stream.serve(chunk))
    assert read(bench) == [stream.chunks[chunk] for chunk in range(8, 12)]


def test_a_viewer_may_tune_in_further_back(hand):
    stream = Stream()
    bench, peer = tuned_in(hand, stream, 8, behind=6)
    assert bench.live.position == 2
    assert [(message.start, message.end) for message in peer.take(Request)] == [(2, 11)]


def test_the_newest_of_what_all_peers_say_counts_and_not_the_word_of_one(hand):
    """Section 6.1.2.4: "information from multiple peers"."""
    stream = Stream()
    bench, _peer = tuned_in(hand, stream, 4)
    _, second = hand(bench=bench, host=10, channel=77)
    second.open(*stream.munro(12), **live_options())
    _, third = hand(bench=bench, host=11, channel=78)
    third.open(*stream.munro(0), **live_options())
    assert bench.live.position == 12
    assert bench.live.edge == 16


def test_a_replayed_munro_is_too_old_to_tune_in_by(hand):
    """Section 6.1.2.4: MUST discard; what follows it in the datagram counts."""
    stream = Stream(at=EPOCH + NOW - 31)
    bench, _peer = tuned_in(hand, stream, 4)
    assert bench.live.position is None
    (refused,) = bench.events(MunroRefused)
    assert refused.reason == "too old"
    assert bench.channels == 1
    assert bench.endpoint.stats(METADATA.swarm_id).peers[0].chunks_offered == 8


def test_replayed_munros_do_not_move_the_edge_back(hand):
    stream = Stream()
    bench, peer = tuned_in(hand, stream, 12)
    peer.send(*stream.munro(0))
    assert (bench.live.edge, bench.live.position) == (16, 12)


@pytest.mark.parametrize("what", ["signature", "hash", "key"])
def test_who_forges_a_munro_is_not_spoken_to_again(hand, what):
    """Section 12: forged munros."""
    stream = Stream(key=OTHER, metadata=attrs.evolve(METADATA, swarm_id=OTHER.swarm_id)) if what == "key" else Stream()
    bench, peer = hand()
    integrity, signed = stream.munro(0)
    if what == "signature":
        signed = attrs.evolve(signed, signature=bytes(64))
    if what == "hash":
        integrity = attrs.evolve(integrity, hash=b"\1" * 32)
    peer.open(integrity, signed, Have(0, 3), **live_options())
    assert bench.live.position is None
    (refused,) = bench.events(MunroRefused)
    assert refused.chunk == 0
    assert bench.channels == 0
    assert not bench.endpoint.connect(METADATA.swarm_id, peer.address, bench.now)


def test_a_signature_without_its_munro_ends_the_datagram(hand):
    stream = Stream()
    bench, peer = hand()
    peer.open(stream.munro(0)[1], Have(0, 3), **live_options())
    (dropped,) = bench.events(DatagramDropped)
    assert "no INTEGRITY" in dropped.reason
    assert bench.endpoint.stats(METADATA.swarm_id).peers[0].chunks_offered == 0


def test_nothing_is_forwarded_before_the_signature_is_checked(hand):
    """Section 6.1.2.1: MUST. A chunk whose munro is unknown is not held; a forged one excludes its sender."""
    stream = Stream()
    bench, peer = tuned_in(hand, stream, 0)
    _, other = hand(bench=bench, host=10, channel=77)
    other.open(**live_options())
    other.take()
    peer.send(*stream.serve(4, munro=False))
    bench.advance(0.1)
    assert other.take(Have) == []
    peer.send(*stream.serve(0))
    bench.advance(0.1)
    assert other.take(Have) == [Have(0, 0)]
    other.send(Request(0, 0))
    munro, signed, *_ = other.take(Integrity, SignedIntegrity, Data)
    assert [munro, signed] == stream.munro(0)


def test_a_polluter_is_excluded(hand):
    stream = Stream()
    bench, peer = tuned_in(hand, stream, 0)
    peer.send(*stream.serve(0, payload=b"x" * 1024))
    assert bench.events(ChunkRefused)[0].chunk == 0
    assert bench.channels == 0
    assert read(bench) == []


def test_hashes_and_munro_may_come_before_the_chunk(hand):
    """Section 5.4: in separate datagrams, where they do not fit into one."""
    stream = Stream()
    bench, peer = tuned_in(hand, stream, 0)
    messages = stream.serve(0, munro=False)
    peer.send(*messages[:-1])
    peer.send(messages[-1])
    assert read(bench) == [stream.chunks[0]]


def test_the_peers_window_filters_what_it_offers(hand):
    """Sections 6.2 and 7.9: SHOULD apply the number as a sliding window."""
    stream = Stream()
    bench, peer = hand(behind=12)
    peer.open(*stream.munro(12), Have(0, 15), **live_options(live_discard_window=5))
    assert bench.endpoint.stats(METADATA.swarm_id).peers[0].chunks_offered == 6  # the last one, and five before it
    assert [(message.start, message.end) for message in peer.take(Request)] == [(10, 15)]
    peer.send(Have(16, 19))
    assert bench.endpoint.stats(METADATA.swarm_id).peers[0].chunks_offered == 6


def test_old_chunks_that_were_asked_for_are_taken_with_their_old_munro(hand):
    """Section 6.1.2.3, 6.2: a viewer who is late asks for chunks whose munro is old."""
    old, new = Stream(at=EPOCH + NOW - 600, count=8), Stream(first=8, count=8)
    bench, peer = tuned_in(hand, new, 12, behind=12)
    assert bench.live.position == 0
    assert peer.take(Request)
    peer.send(*old.serve(0))
    assert read(bench) == [old.chunks[0]]
    assert bench.events(MunroRefused) == []


def test_a_chunk_that_does_not_come_is_asked_of_another_peer_and_cancelled(hand):
    stream = Stream()
    bench, peer = tuned_in(hand, stream, 0)
    assert len(peer.take(Request)) == 1
    _, second = hand(bench=bench, host=10, channel=77)
    second.open(Have(0, 3), **live_options())
    assert second.take(Request) == []
    bench.advance(0.7)
    assert [(request.start, request.end) for request in second.take(Request)][:1] == [(0, 3)]
    assert {cancel.start for cancel in peer.take(Cancel)} == {0, 1, 2, 3}


def test_a_hole_is_skipped_when_patience_ends(hand):
    stream = Stream()
    bench, peer = tuned_in(hand, stream, 0, patience=1.5)
    peer.send(*stream.serve(1))
    assert read(bench) == []
    bench.advance(1.4)
    assert read(bench) == []
    bench.advance(0.2)
    assert read(bench) == [stream.chunks[1]]
    assert bench.live.skipped == 1


def test_a_silence_of_the_source_exhausts_no_patience(hand):
    stream = Stream()
    bench, peer = tuned_in(hand, stream, 0)
    for chunk in range(4):
        peer.send(*stream.serve(chunk))
    assert len(read(bench)) == 4
    for _ in range(20):
        bench.advance(1.0)
        assert read(bench) == []
    assert (bench.live.skipped, bench.live.position) == (0, 4)


def test_a_peer_that_claims_everything_gains_nothing(hand):
    """A HAVE of chunks that nobody signed moves neither the edge nor the playback point, and fills no memory."""
    stream = Stream()
    bench, peer = tuned_in(hand, stream, 0)
    peer.send(Have(0, 2**32 - 2))
    bench.advance(60.0)
    read(bench)
    assert (bench.live.edge, bench.live.position) == (4, 0)
    assert bench.endpoint.stats(METADATA.swarm_id).chunks_held == 0


def test_a_flood_of_replayed_munros_is_bounded_by_the_window(hand):
    stream = Stream(count=400)
    bench, peer = tuned_in(hand, stream, 396, window=16)
    for munro, _, _ in stream.parts:
        peer.send(*munro.messages)
    content = bench.endpoint._swarms[METADATA.swarm_id].content
    assert len(content._munros) <= 8


def test_a_viewer_holds_no_more_than_the_window(hand):
    stream = Stream(count=200)
    bench, peer = tuned_in(hand, stream, 0, window=16)
    for chunk in range(200):
        peer.send(*stream.serve(chunk))
        read(bench)
    content = bench.endpoint._swarms[METADATA.swarm_id].content
    assert bench.endpoint.stats(METADATA.swarm_id).chunks_held <= 32
    assert len(content._chunks) <= 32
    assert len(content._munros) <= 9
    assert bench.live.position == 200


@pytest.mark.parametrize("rest", [0, 1, 3])
def test_the_end_is_proven_and_nothing_is_awaited_after_it(hand, rest):
    """Section 6.1.2.1 and 5.1: the last munro has empty leaves."""
    injector = Injector(METADATA, KEY, chunks_per_signature=4)
    stream = Stream.__new__(Stream)
    stream.parts = [*injector.feed(octets(4 + rest), EPOCH + NOW), injector.end(EPOCH + NOW)]
    stream.chunks = {m.start + k: chunk for m, _, chunks in stream.parts for k, chunk in enumerate(chunks)}
    bench, peer = tuned_in(hand, stream, 0)
    peer.send(Have(0, 3 + rest))
    for chunk in range(4 + rest):
        peer.send(*stream.serve(chunk))
    peer.send(*stream.parts[-1][0].messages)
    assert len(read(bench)) == 4 + rest
    assert bench.live.ended
    peer.take()
    bench.advance(5.0)
    assert peer.take(Request) == []


def test_the_end_of_a_source_is_told_to_its_peers(hand):
    bench, peer = hand(signer=KEY, chunks_per_signature=4)
    peer.open(**live_options())
    publish(bench, 4)
    peer.send(Have(0, 3))
    peer.take()
    bench.live.end(bench.now)
    bench.flush()
    (empty, signed) = peer.take(Integrity, SignedIntegrity)
    assert (empty.start, empty.end, empty.hash) == (4, 7, bytes(32))
    assert signed.start == 4
    bench.advance(30.0)
    assert 3 <= len(peer.take(SignedIntegrity)) <= 6  # acknowledged by nothing, so said a few times


def test_a_peer_that_leaves_takes_its_requests_with_it(hand):
    stream = Stream()
    bench, peer = tuned_in(hand, stream, 0)
    peer.send(Handshake(0))
    assert bench.events(PeerDisconnected)
    _, second = hand(bench=bench, host=10, channel=77)
    second.open(Have(0, 3), **live_options())
    assert second.take(Request) == [Request(0, 3)]
    assert bench.events(ChunksVerified) == []


# Order, damage, chance


def test_chunks_that_come_before_their_hashes_wait_for_them(hand):
    """A datagram with the hashes of a burst may be overtaken: what came before is worth something all the same."""
    stream = Stream()
    bench, peer = tuned_in(hand, stream, 0)
    peer.send(Data(1, 1, 0, stream.chunks[1]))
    peer.send(Data(2, 2, 0, stream.chunks[2]))
    assert read(bench) == []
    peer.send(*stream.serve(0))
    assert read(bench) == [stream.chunks[0], stream.chunks[1]]
    peer.send(*stream.serve(3))
    assert read(bench) == [stream.chunks[2], stream.chunks[3]]


def test_a_wrong_chunk_that_waited_excludes_its_sender(hand):
    stream = Stream()
    bench, peer = tuned_in(hand, stream, 0)
    peer.send(Data(1, 1, 0, b"x" * 1024))
    peer.send(*stream.serve(0))
    assert bench.events(ChunkRefused)[0].chunk == 1
    assert bench.channels == 0
    assert read(bench) == [stream.chunks[0]]


def test_what_waits_is_bounded(hand):
    stream = Stream(width=256, count=256)
    bench, peer = tuned_in(hand, stream, 0)
    for chunk in range(256):
        bench.endpoint._swarms[KEY.swarm_id].channels[peer.remote].download.outstanding.add(chunk)
        peer.send(Data(chunk, chunk, 0, stream.chunks[chunk]))
    assert 64 <= len(bench.endpoint._swarms[KEY.swarm_id]._waiting) <= 128


def test_a_silent_source_is_asked_whether_it_knows_us(hand):
    """It may have been killed and started anew on its port: it answers the HANDSHAKE under another channel ID."""
    stream = Stream()
    bench, peer = hand()
    peer.invite()
    peer.reply(Have(0, 3), **live_options())
    peer.send(*stream.serve(0))
    peer.take()
    bench.advance(3.0)
    assert len(peer.take(Handshake)) == 1
    peer.channel = 0x0A0B0C0D
    peer.reply(Have(0, 3), **live_options())
    requests = peer.take(Request)
    assert requests
    assert bench.channels == 1


@pytest.mark.parametrize("seed", range(20))
def test_no_octets_make_a_live_endpoint_raise(hand, seed):
    """Damaged, cut and glued datagrams of a live swarm, to a source and to a viewer."""
    chance = random.Random(seed)
    stream = Stream()
    corpus = [codec_of(METADATA).encode(0, stream.serve(chunk))[4:] for chunk in range(4)]
    corpus.append(codec_of(METADATA).encode(0, [Have(0, 2**32 - 2), Request(0, 2**32 - 1), *stream.munro(12)])[4:])
    for settings in ({}, {"signer": KEY, "chunks_per_signature": 4}):
        bench, peer = hand(**settings)
        if settings:
            publish(bench, 16)
        peer.open(*stream.munro(0), Have(0, 3), **live_options())
        for _ in range(60):
            octets_ = bytearray(chance.choice(corpus) + chance.choice(corpus)[: chance.randrange(40)])
            for _ in range(chance.randrange(4)):
                octets_[chance.randrange(len(octets_))] = chance.randrange(256)
            peer.send_raw(bytes(octets_[: chance.randrange(len(octets_) + 1)]))
            bench.advance(chance.random())
            read(bench)
            bench.endpoint._swarms[KEY.swarm_id].banned.clear()
            if not bench.channels:
                peer.remote = 0
                peer.raw()
                peer.open(*stream.munro(0), Have(0, 3), **live_options())
        assert bench.channels <= 2
