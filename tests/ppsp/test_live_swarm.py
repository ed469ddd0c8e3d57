"""A live swarm on the wire: one endpoint, and a peer played by hand (RFC 7574 sections 6, 7.7, 7.9 and 12)."""

import random

import attrs
import pytest

from ppsp.constants import KEEP_EVERYTHING, ChunkAddressing, ContentIntegrityProtection, LiveSignatureAlgorithm
from ppsp.errors import StateError
from ppsp.events import ChunkRefused, ChunksVerified, DatagramDropped, MunroRefused, PeerDisconnected
from ppsp.live import ChunkSigner, Injector, codec_of
from ppsp.livekeys import LiveSigner
from ppsp.messages import Ack, Cancel, Data, Handshake, Have, Integrity, Request, SignedIntegrity
from ppsp.metadata import SwarmMetadata

UMT = ContentIntegrityProtection.UNIFIED_MERKLE_TREE
SIGN_ALL = ContentIntegrityProtection.SIGN_ALL
EPOCH = 1_700_000_000.0
NOW = 1000.0
KEY = LiveSigner.generate()
OTHER = LiveSigner.generate()
METADATA = SwarmMetadata(KEY.swarm_id, content_integrity=UMT)


def octets(count, first=0):
    """Chunks that differ."""
    return b"".join((first + number).to_bytes(4, "big") * 256 for number in range(count))


class Stream:
    """What a source of our key would send, made by an injector of its own."""

    def __init__(self, *, width=4, first=0, count=16, at=EPOCH + NOW, key=KEY, metadata=METADATA):
        injector = Injector(metadata, key, chunks_per_signature=width, first_chunk=first)
        self.parts = injector.feed(octets(count, first), at)
        self.chunks = {m.start + k: chunk for m, _, chunks in self.parts for k, chunk in enumerate(chunks)}

    def of(self, chunk):
        return next(part for part in self.parts if part[0].start <= chunk <= part[0].end)

    def munro(self, chunk):
        return list(self.of(chunk)[0].messages)

    def serve(self, chunk, *, munro=True, payload=None):
        """The messages that bring a chunk to who has nothing."""
        uncles = [Integrity(*node) for node in self.of(chunk)[1].uncles(chunk, left=-1, right=1 << 62)]
        data = Data(chunk, chunk, 0, self.chunks[chunk] if payload is None else payload)
        return [*(self.munro(chunk) if munro else []), *uncles, data]


@pytest.fixture
def hand(lab):
    """Makes a bench with a live swarm, and a peer played by hand; `bench.live` is the stream."""

    def make(*, metadata=METADATA, host=9, bench=None, channel=0x01020304, **settings):
        if bench is None:
            bench = lab.Bench(epoch=EPOCH)
            bench.live = bench.endpoint.add_live_swarm(metadata, **settings)
        peer = lab.HandPeer.__new__(lab.HandPeer)
        peer.bench, peer.publication, peer.metadata = bench, None, metadata
        peer.address, peer.channel, peer.remote = (f"192.0.2.{host}", 6778), channel, 0
        peer.codec = codec_of(metadata)
        return bench, peer

    return make


def live_options(metadata=METADATA, **changes):
    return {"live_signature_algorithm": metadata.swarm_id[0], "live_discard_window": 2**32 - 1, **changes}


def publish(bench, count, first=0):
    bench.live.publish(octets(count, first), bench.now)
    bench.flush()


def read(bench):
    return bench.live.read(bench.now)


# The handshake


def test_the_handshake_names_the_signature_algorithm_and_the_window(hand):
    """Sections 7.5, 7.6, 7.7 and 7.9: options 3, 4, 5 and 7."""
    _, peer = hand(window=500)
    options = peer.invite().options
    assert options.content_integrity == 3
    assert options.merkle_hash_function == 2
    assert options.live_signature_algorithm == 13
    assert options.live_discard_window == 500
    assert options.supported_messages >= {7}
    _bench, peer = hand(window=500)
    (answer,) = peer.open(**live_options())
    assert answer.options.live_signature_algorithm == 13
    assert answer.options.live_discard_window == 500


@pytest.mark.parametrize(
    "changes",
    [
        {"live_signature_algorithm": None},
        {"live_signature_algorithm": 14},
        {"live_discard_window": None},
        {"content_integrity": 1},
        {"content_integrity": 2},
        {"merkle_hash_function": 0},
        {"swarm_id": OTHER.swarm_id},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_handshake_that_contradicts_the_stream_is_not_answered(hand, changes):
    """The algorithm of option 5 and that of the swarm ID must agree."""
    bench, peer = hand(signer=KEY)
    peer.hello(**live_options(**changes))
    assert peer.raw() == []
    assert bench.channels == 0


def test_a_peer_that_leaves_out_the_hash_function_means_ours(hand):
    """Section 7.6 asks for it under method 1 only, and libswift leaves it out of live swarms."""
    _bench, peer = hand(signer=KEY)
    peer.hello(**live_options(merkle_hash_function=None))
    assert len(peer.raw()) == 1


# The source


def test_nothing_is_announced_before_its_munro_is_signed(hand):
    """Section 6.1.2.3: MUST NOT."""
    bench, peer = hand(signer=KEY, chunks_per_signature=4)
    peer.open(**live_options())
    publish(bench, 3)
    bench.advance(0.5)
    assert peer.take() == []
    publish(bench, 1)
    bench.advance(0.1)
    munro, signed, have = peer.take()
    assert (munro.start, munro.end) == (signed.start, signed.end) == (0, 3)
    assert have == Have(0, 3)


def test_the_rightmost_munro_is_in_the_fourth_datagram_and_not_in_the_second(hand):
    """Section 6.1.2.4, for who was called: MUST NOT be in the answer, MUST be in what follows the third datagram."""
    bench, peer = hand(signer=KEY, chunks_per_signature=4)
    publish(bench, 8)
    answer = peer.open(**live_options())
    assert {type(message) for message in answer} <= {Handshake, Have}
    first, second, *rest = peer.take()
    assert (first.start, first.end, second.start, second.end) == (4, 7, 4, 7)
    assert isinstance(first, Integrity)
    assert isinstance(second, SignedIntegrity)
    assert not any(isinstance(message, Data) for message in rest)


def test_the_rightmost_munro_is_in_the_third_datagram_and_not_in_the_first(hand):
    """Section 6.1.2.4, for who calls."""
    bench, peer = hand(signer=KEY, chunks_per_signature=4)
    publish(bench, 4)
    peer.invite()
    peer.reply(**live_options())
    first, second, *_ = peer.take()
    assert isinstance(first, Integrity)
    assert isinstance(second, SignedIntegrity)
    assert (second.start, second.end) == (0, 3)


def test_the_rightmost_munro_is_sent_until_the_peer_knows_of_it(hand):
    """Section 6.1.2.4: "in any subsequent datagrams …, until Peer B indicates that it possess a chunk"."""
    bench, peer = hand(signer=KEY, chunks_per_signature=4)
    publish(bench, 4)
    peer.open(**live_options())
    peer.take()
    publish(bench, 4, 4)
    bench.advance(0.1)
    assert [(message.start, message.end) for message in peer.take(SignedIntegrity)] == [(4, 7)]
    peer.send(Have(5, 5))
    publish(bench, 4, 8)
    peer.send(Have(8, 8))
    peer.take()
    bench.advance(2.0)  # the HAVE is said again
    datagrams = peer.datagrams()
    assert any(isinstance(message, Have) for messages in datagrams for message in messages)
    assert not any(isinstance(message, SignedIntegrity) for messages in datagrams for message in messages)


def test_a_chunk_comes_with_its_munro_its_uncles_and_itself_in_one_datagram(hand):
    """Section 6.1.2.3, and the example of 6.1.2.1: munro, signature, uncles, DATA."""
    bench, peer = hand(signer=KEY, chunks_per_signature=2)
    peer.open(**live_options())
    publish(bench, 6)
    peer.take()
    peer.send(Request(4, 4))
    (messages,) = peer.datagrams()
    munro, signed, uncle, data = messages
    assert (munro.start, munro.end) == (signed.start, signed.end) == (4, 5)
    assert (uncle.start, uncle.end) == (5, 5)
    assert data.payload == octets(1, 4)


def test_a_peer_that_has_a_chunk_below_the_munro_is_not_sent_it_again(hand):
    """Section 6.1.2.3: "unless Peer B indicated earlier"."""
    bench, peer = hand(signer=KEY, chunks_per_signature=4)
    peer.open(**live_options())
    publish(bench, 4)
    peer.take()
    peer.send(Request(0, 0))
    assert len(peer.take(SignedIntegrity)) == 1
    peer.send(Ack(0, 0, 0))
    peer.send(Request(1, 3))
    messages = peer.take(SignedIntegrity, Integrity, Data)
    assert [type(message) for message in messages] == [Data, Integrity, Data, Data]


def test_a_burst_repeats_the_munro_now_and_then(hand):
    bench, peer = hand(signer=KEY, chunks_per_signature=32)
    peer.open(**live_options())
    publish(bench, 32)
    peer.take()
    peer.send(Request(0, 31))
    datagrams = peer.datagrams()
    assert len(datagrams) == 32
    assert [n for n, messages in enumerate(datagrams) if SignedIntegrity in map(type, messages)] == [0, 8, 16, 24]
    integrity = sum(isinstance(message, Integrity) for messages in datagrams for message in messages)
    assert integrity / 32 <= 1.2


@pytest.mark.parametrize("most", [1452, 1200])
@pytest.mark.parametrize("algorithm", LiveSignatureAlgorithm)
def test_no_datagram_is_larger_than_a_packet_whatever_the_signature(lab, hand, algorithm, most):
    """A signature of RSA has 256 octets: with the uncles it may have to go before its chunk, in a datagram of both."""
    key = LiveSigner.generate(algorithm)
    metadata = SwarmMetadata(key.swarm_id, content_integrity=UMT)
    bench, peer = hand(metadata=metadata, signer=key, chunks_per_signature=64)
    if most == 1200:  # what every path carries whole
        bench.endpoint.search_path_mtu(9000)
    peer.open(**live_options(metadata))
    publish(bench, 64)
    peer.raw()
    peer.send(Request(0, 63))
    raw = peer.raw()
    assert max(map(len, raw)) <= most
    first = peer.codec.decode(raw[0])[0]
    assert [type(message) for message in first[:2]] == [Integrity, SignedIntegrity]
    served = [message for datagram in raw for message in peer.codec.decode(datagram)[0] if isinstance(message, Data)]
    assert sorted(message.start for message in served) == list(range(64))


def test_a_peer_that_takes_no_signatures_is_sent_none(hand):
    """Section 7.10: never a message of a type that it left out."""
    bench, peer = hand(signer=KEY, chunks_per_signature=4)
    peer.open(**live_options(supported_messages=frozenset({0, 1, 2, 3, 4, 8})))
    publish(bench, 4)
    peer.send(Request(0, 3))
    bench.advance(1.0)
    assert {type(message) for message in peer.take()} == {Have}


def test_only_the_window_is_held_and_served(hand):
    """Section 6.2: what is behind the window is forgotten."""
    bench, peer = hand(signer=KEY, chunks_per_signature=4, window=8)
    peer.open(**live_options())
    publish(bench, 40)
    assert bench.endpoint.stats(METADATA.swarm_id).chunks_held == 8
    peer.take()
    peer.send(Request(0, 39))
    assert sorted(message.start for message in peer.take(Data)) == list(range(32, 40))


@pytest.mark.parametrize("addressing", ChunkAddressing)
def test_a_peer_that_discards_nothing_announces_all_ones(hand, addressing):
    """Section 7.9: MUST, in the width of the addressing method."""
    metadata = SwarmMetadata(KEY.swarm_id, content_integrity=UMT, chunk_addressing=addressing)
    bench, peer = hand(metadata=metadata, window=KEEP_EVERYTHING, signer=KEY, chunks_per_signature=2)
    ones = 2**32 - 1 if addressing in (ChunkAddressing.BIN32, ChunkAddressing.CHUNK32) else 2**64 - 1
    assert peer.invite().options.live_discard_window == ones
    bench.live.publish(octets(400), bench.now)
    bench.flush()
    assert bench.endpoint.stats(KEY.swarm_id).chunks_held == 400


def test_only_a_source_publishes_and_only_a_viewer_seeks(hand):
    bench, _ = hand()
    with pytest.raises(StateError):
        bench.live.publish(b"x", bench.now)
    with pytest.raises(StateError):
        bench.live.end(bench.now)
    bench, _ = hand(signer=KEY)
    with pytest.raises(StateError):
        bench.live.seek(0)
    with pytest.raises(StateError):
        bench.endpoint.add_live_swarm(METADATA)
    for settings in ({"window": 1}, {"window": 2**32}, {"behind": -1}, {"behind": 100, "window": 50}):
        with pytest.raises(StateError):
            hand(**settings)
    with pytest.raises(StateError):
        hand(metadata=SwarmMetadata(bytes(32)))


# The viewer


def tuned_in(hand, stream, chunk=0, **settings):
    """A viewer that has heard of the munro over `chunk`, from a peer that offers everything up to it."""
    bench, peer = hand(**settings)
    peer.open(*stream.munro(chunk), Have(0, stream.of(chunk)[0].end), **live_options())
    return bench, peer


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


# Sign All


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
