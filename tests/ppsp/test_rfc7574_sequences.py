"""What datagrams that come twice, late or from somebody else must not do (RFC 7574 sections 3.8, 8.2 and 12.1.3)."""

import pytest

from ppsp import RangeSet, _limits
from ppsp.constants import ChunkAddressing, MerkleHashFunction
from ppsp.events import PeerConnected
from ppsp.messages import Ack, Choke, Data, Handshake, Have, Integrity, Request


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


def sent(peer):
    return sorted(data.start for data in peer.take(Data))


# Section 8.2: a REQUEST that comes again


@pytest.mark.parametrize("again", [Ack(0, 3, 1000), Ack(2, 2, 1000), Have(0, 3)], ids=repr)
def test_a_request_that_comes_again_behind_its_acknowledgement_is_answered_once(bench, peer, again):
    """What was sent once more is acknowledged by an ACK, or a HAVE, that says nothing new: it is not lost."""
    peer.open(Request(0, 3))
    assert sent(peer) == [0, 1, 2, 3]
    peer.send(Ack(0, 3, 1000))
    peer.send(Request(2, 2))
    assert sent(peer) == [2]
    peer.send(again)
    bench.advance(30.0)
    assert sent(peer) == []
    (stats,) = bench.endpoint.stats(peer.metadata.swarm_id).peers
    assert stats.chunks_lost == 0
    assert bench.windows.made[0].flight == 0


def test_what_was_sent_once_more_does_not_go_round_while_other_chunks_do(bench, peer):
    peer.open(Request(0, 1))
    peer.send(Ack(0, 1, 1000))
    peer.send(Request(0, 1))
    peer.take()
    for chunk in range(2, 7):
        peer.send(Ack(0, chunk - 1, 1000), Request(chunk, chunk))
        bench.advance(0.01)
    assert sent(peer) == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("again", [Have(0, 6), Have(1, 2)], ids=repr)
def test_a_have_said_again_cancels_what_was_asked_for_in_between(lab, seven, again):
    """Section 3.8: "when Peer Q receives a HAVE message … Peer Q MUST also cancel the previous REQUEST(s)"."""
    bench = lab.Bench(cwnd=1024)
    bench.seed(seven)
    peer = lab.HandPeer(bench, seven)
    peer.open(Have(0, 6), Request(0, 2))
    assert sent(peer) == [0]
    peer.send(again, Ack(0, 0, 1000))
    bench.advance(30.0)
    assert sent(peer) == []


def test_chunks_asked_for_again_without_end_cost_bounded_memory(lab):
    publication = lab.Publication(lab.pattern(10_000 * 16), chunk_size=16)
    bench = lab.Bench()
    bench.seed(publication)
    peer = lab.HandPeer(bench, publication)
    peer.open(Have(0, 9_999))
    for chunk in range(0, 10_000, 2):
        peer.send(Request(chunk, chunk))
    (channel,) = bench.endpoint._channels.values()
    assert channel.upload._again.range_count == _limits.MAX_REQUEST_RANGES


# Section 12.1.3: service to one peer is not disrupted by who speaks in its name


def test_who_speaks_in_the_name_of_a_source_does_not_keep_us_from_calling_it(lab, seven):
    """A spoofed first HANDSHAKE now and then must not do: what it opens by half leads nowhere."""
    bench = lab.Bench()
    bench.leech(seven)
    source = lab.HandPeer(bench, seven, host=1, channel=1)
    for number in range(20):
        spoofed = lab.HandPeer(bench, seven, host=1, channel=100 + number)
        spoofed.hello()
        bench.advance(_limits.HALF_OPEN_SECONDS / 4)
    bench.mail.clear()
    source.accept(source.have_all())
    assert len(bench.events(PeerConnected)) == 1
    assert source.take(Request)


# Section 8.2: a peer that was started anew


def test_a_peer_that_was_started_anew_is_told_the_peaks_and_not_choked_by_what_it_was(lab, seven):
    """What it acknowledged, choked and was sent in its former life counts no more."""
    bench = lab.Bench()
    bench.leech(seven, content_size=7162)
    other = lab.HandPeer(bench, seven, host=1, channel=5)
    other.open()
    for chunk in range(3):
        other.serve(chunk, peaks=False)
    other.send(Handshake(0))
    peer = lab.HandPeer(bench, seven)
    peer.accept(peer.have_all(), Choke())
    (channel,) = bench.endpoint._channels.values()
    channel.upload.request(0, 1)
    bench.endpoint.push(seven.root, peer.address, 0, 1)
    bench.advance(39.0)
    peer.take()
    flights = channel.upload.flight
    peer.channel = 0x0E0E0E0E
    peer.reply(peer.have_all())
    assert peer.take(Request)
    assert channel.upload.flight == 0 <= flights


# Section 3.12: keep-alives


def test_a_keep_alive_is_no_question_once_the_handshake_is_long_over(bench, peer):
    """Soon after the handshake it asks whether its third datagram has arrived; later an answer would say nothing."""
    peer.open()
    peer.take()
    peer.send()
    assert len(peer.raw()) == 1
    bench.advance(_limits.HALF_OPEN_SECONDS + 1.0)
    peer.raw()
    peer.send()
    assert peer.raw() == []


# Section 8.1: "a UDP datagram containing PPSPP messages SHOULD fit inside a single IP packet"


def test_acknowledgements_of_many_intervals_go_in_as_many_packets_as_it_takes(lab):
    """The largest there are, of 64-bit chunk ranges; after a batch in which every other chunk was missing."""
    publication = lab.Publication(lab.pattern(300 * 16), chunk_size=16)
    metadata = publication.metadata(chunk_addressing=ChunkAddressing.CHUNK64, content_size=300 * 16)
    bench = lab.Bench()
    bench.endpoint.add_swarm(metadata, store=lab.Store())
    peer = lab.HandPeer(bench, publication, metadata=metadata)
    peer.open()
    for chunk in range(0, 300, 2):
        peer.serve(chunk, flush=False)
    bench.flush()
    datagrams = peer.raw()
    assert max(len(octets) for octets in datagrams) <= _limits.MAX_DATAGRAM
    messages = [message for octets in datagrams for message in peer.codec.decode(octets)[0]]
    acks = {message.start for message in messages if isinstance(message, Ack)}
    assert acks == set(range(0, 300, 2))


def test_an_answer_with_haves_is_shorter_than_the_shortest_handshake_it_answers(lab):
    """Section 12.1: the address may be spoofed."""
    publication = lab.Publication(lab.pattern(9 * 1024), hash_function=MerkleHashFunction.SHA1)
    metadata = publication.metadata(chunk_addressing=ChunkAddressing.CHUNK64)
    have = RangeSet([(0, 1), (2, 3), (4, 5)])
    bench = lab.Bench()
    store = lab.Store(publication.content)
    bench.endpoint.add_swarm(metadata, store=store, tree=publication.tree(), have=have)
    peer = lab.HandPeer(bench, publication, metadata=metadata)
    hello = peer.codec.encode(0, [Handshake(peer.channel, lab.options_of(metadata))])
    bench.receive(hello, peer.address)
    (answer,) = peer.raw()
    messages, _ = peer.codec.decode(answer)
    assert Have(0, 0) in messages
    assert len(answer) < len(hello)


# Section 3.2: when a HAVE is sent


@pytest.fixture
def relay(lab):
    """A peer that fetches 200 chunks from one peer, and another that has nothing and watches."""
    publication = lab.Publication(lab.pattern(200 * 1024))
    bench = lab.Bench()
    bench.leech(publication, content_size=200 * 1024)
    source, watcher = (lab.HandPeer(bench, publication, host=host, channel=host) for host in (1, 2))
    source.open()
    watcher.open()
    watcher.take()
    return bench, source, watcher


def test_a_have_does_not_wait_for_company_that_goes_on_coming(relay):
    bench, source, watcher = relay
    for chunk in range(10):
        source.serve(chunk, peaks=False)
        bench.advance(_limits.HAVE_DELAY_SECONDS * 0.6)
    assert 4 <= len(watcher.take(Have)) <= 6


def test_a_have_of_many_chunks_does_not_wait(relay):
    bench, source, watcher = relay
    for chunk in range(_limits.HAVE_BATCH - 1):
        source.serve(chunk, peaks=False, flush=False)
    bench.flush()
    assert watcher.take(Have) == []
    source.serve(_limits.HAVE_BATCH - 1, peaks=False)
    assert watcher.take(Have) == [Have(0, _limits.HAVE_BATCH - 1)]


def test_no_more_than_some_haves_are_said_again_at_once(relay):
    """Nothing acknowledges a HAVE; a peer that lacks two hundred islands is not told of all of them every time."""
    bench, source, watcher = relay
    for chunk in range(0, 200, 2):
        source.serve(chunk, peaks=False)
    bench.advance(0.1)
    assert len(watcher.take(Have)) == 100
    bench.advance(1.0)
    assert 1 <= len(watcher.take(Have)) <= 64


# Section 5.4: "an INTEGRITY message for each hash the receiver misses"


def test_who_verified_a_chunk_by_its_uncles_alone_is_sent_the_peaks_where_the_metadata_tell_the_size(lab, seven):
    """It came from a peer that sends what leads to the root, as section 5.3 has it: the peaks are not among that."""
    bench = lab.Bench()
    bench.seed(seven, content_size=7162)
    peer = lab.HandPeer(bench, seven)
    peer.open(Have(0, 0), Request(4, 4))
    nodes = [(message.start, message.end) for message in peer.take(Integrity)]
    assert nodes == [(0, 3), (4, 5), (6, 6), (5, 5)]
    peer.send(Ack(4, 4, 1000), Request(5, 6))
    assert peer.take(Integrity) == []
