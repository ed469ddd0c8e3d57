"""A live swarm on the wire: its source, and a peer played by hand (RFC 7574 sections 6, 7.7, 7.9 and 12)."""

import pytest
from ppsp_live_hand import KEY, METADATA, OTHER, UMT, by_hand, live_options, octets, publish

from ppsp.constants import KEEP_EVERYTHING, ChunkAddressing, LiveSignatureAlgorithm
from ppsp.errors import StateError
from ppsp.livekeys import LiveSigner
from ppsp.messages import Ack, Data, Handshake, Have, Integrity, Request, SignedIntegrity
from ppsp.metadata import SwarmMetadata


@pytest.fixture
def hand(lab):
    """Makes a bench with a live swarm, and a peer played by hand."""
    return by_hand(lab)


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
