"""Peers that lie (section 12.6): wrong content, a wrong size, absurd ranges; what is true still arrives."""

import tracemalloc

import pytest
from ppsp_hostile import TOP32, TOP64, fetch, seconds_for

from ppsp import Sequential, _limits
from ppsp.constants import ChunkAddressing
from ppsp.events import ChunkRefused, PeerConnected, SizeKnown
from ppsp.messages import Ack, Cancel, Data, Have, Integrity, Request

# Wrong content (sections 12.6.3 and 12.6.5)


@pytest.mark.parametrize("size", [None, 7162], ids=["size detection", "size in the metadata"])
@pytest.mark.parametrize("chunk", range(7))
def test_a_wrong_chunk_bans_its_sender_and_the_content_completes_from_others(lab, seven, chunk, size):
    bench = lab.Bench()
    store = bench.leech(seven, content_size=size)
    evil, good = lab.HandPeer(bench, seven, host=8, channel=8), lab.HandPeer(bench, seven, host=9, channel=9)
    evil.open(evil.have_all())
    good.open(good.have_all())
    evil.serve(chunk, payload=bytes(len(seven.chunks[chunk])))
    fetch(bench, good)
    assert bytes(store.octets) == seven.content
    refused = bench.events(ChunkRefused)
    assert all(event.address == evil.address for event in refused)
    if size is not None:
        assert [event.chunk for event in refused] == [chunk]
        assert not bench.endpoint.connect(seven.root, evil.address, bench.now)


def test_many_peers_that_send_wrong_chunks_do_not_stop_the_one_that_does_not(lab):
    publication = lab.Publication(lab.pattern(200 * 1024))
    bench = lab.Bench()
    store = bench.leech(publication)
    evils = [lab.HandPeer(bench, publication, host=n, channel=n + 1) for n in range(20)]
    good = lab.HandPeer(bench, publication, host=99, channel=99)
    for evil in evils:
        evil.open(evil.have_all())
    good.open(good.have_all())
    for _ in range(200):
        good.serve_requests()
        for evil in evils:
            for request in evil.take(Request):
                evil.serve(request.start, payload=b"\1" * 1024)
        bench.advance(0.1)
        if bench.endpoint.stats(publication.root).chunks_held == 200:
            break
    assert bytes(store.octets) == publication.content
    assert good.address not in {event.address for event in bench.events(ChunkRefused)}


def test_a_banned_address_cannot_complete_another_handshake(lab, seven):
    """It opened several before it sent its wrong chunk."""
    bench = lab.Bench()
    bench.leech(seven, content_size=7162)
    lives = [lab.HandPeer(bench, seven, channel=n + 1) for n in range(5)]
    for life in lives:
        life.hello()
        life.remote = life.take()[0].source_channel
    lives[0].send(lives[0].have_all())
    lives[0].serve(0, payload=bytes(1024), peaks=False)
    bench.events()
    for life in lives[1:]:
        life.send(life.have_all())
    assert bench.channels == 0
    assert bench.events(PeerConnected) == []


# Lies about the size (section 5.6)


def test_a_lie_about_the_number_of_chunks_stops_nothing_and_harms_no_honest_peer(lab, seven):
    """ "8 chunks, and their one peak is the root": it folds to the root, and chunk 0 verifies under it."""
    bench = lab.Bench()
    store = bench.leech(seven)
    liar, good = lab.HandPeer(bench, seven, host=8, channel=8), lab.HandPeer(bench, seven, host=9, channel=9)
    liar.open(Have(0, 7))
    liar.take()
    uncles = [Integrity(*node) for node in seven.uncles(0)]
    liar.send(Integrity(0, 7, seven.root), *uncles, liar.data(0))
    good.open(good.have_all())
    fetch(bench, good)
    assert bytes(store.octets) == seven.content
    assert good.address not in {event.address for event in bench.events(ChunkRefused)}


@pytest.mark.parametrize("claim", [8, 16, 1024, 2**20, 2**26, 2**31])
@pytest.mark.parametrize("persistent", [False, True])
def test_bogus_peaks_stop_nothing(lab, seven, claim, persistent):
    """The root is the peak of every power of two. A liar that answers first, once or each time it is asked."""
    bench = lab.Bench()
    store = bench.leech(seven)
    liar, good = lab.HandPeer(bench, seven, host=8, channel=8), lab.HandPeer(bench, seven, host=9, channel=9)
    liar.open(Have(0, claim - 1))
    good.open(good.have_all())
    for step in range(400):
        requests = liar.take(Request)
        if persistent or not step:
            for request in requests:
                chunk = min(request.start, 6)
                liar.send(
                    Integrity(0, claim - 1, seven.root),
                    *[Integrity(*node) for node in seven.uncles(chunk)],
                    liar.data(chunk),
                )
        good.serve_requests()
        bench.advance(0.05)
    assert bytes(store.octets) == seven.content
    assert good.address not in {event.address for event in bench.events(ChunkRefused)}


def test_peaks_of_other_content_are_worth_nothing(lab, seven):
    """Section 5.6.2: "MUST check the peak hashes against the root hash"."""
    other = lab.Publication(bytes(9 * 1024))
    bench = lab.Bench()
    store = bench.leech(seven)
    liar, good = lab.HandPeer(bench, seven, host=8, channel=8), lab.HandPeer(bench, seven, host=9, channel=9)
    liar.open(Have(0, 8))
    liar.take()
    liar.send(*[Integrity(*node) for node in other.peaks()], Data(8, 8, 0, other.chunks[8]))
    good.open(good.have_all())
    fetch(bench, good)
    assert bytes(store.octets) == seven.content
    assert bench.events(SizeKnown) == [SizeKnown(seven.root, 7, 7162)]


def test_an_inner_node_is_not_taken_for_a_chunk(lab):
    """Section 5.1 hashes leaves and nodes alike: the 64 octets of two leaf hashes have the hash of their parent."""
    publication = lab.Publication(lab.pattern(2 * 1024))
    bench = lab.Bench()
    store = bench.leech(publication)
    liar, good = (
        lab.HandPeer(bench, publication, host=8, channel=8),
        lab.HandPeer(bench, publication, host=9, channel=9),
    )
    liar.open(Have(0, 0))
    liar.take()
    liar.send(Integrity(0, 0, publication.root), Data(0, 0, 0, publication.node(0, 0) + publication.node(1, 1)))
    good.open(good.have_all())
    fetch(bench, good)
    assert bytes(store.octets) == publication.content
    assert good.address not in {event.address for event in bench.events(ChunkRefused)}


def test_hashes_without_chunks_keep_memory_bounded(lab, seven):
    """Section 12.6.5, INTEGRITY.1."""
    bench = lab.Bench()
    bench.leech(seven)
    peer = lab.HandPeer(bench, seven)
    peer.open()

    def flood(start, count):
        for at in range(start, start + count, 30):
            peer.send(*[Integrity(n, n, bytes(32)) for n in range(at, at + 30)])

    flood(0, 3000)
    tracemalloc.start()
    flood(3000, 60_000)
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 100_000


# Absurd ranges


@pytest.mark.parametrize(
    "addressing", [ChunkAddressing.CHUNK32, ChunkAddressing.CHUNK64], ids=lambda addressing: addressing.name
)
@pytest.mark.parametrize("size", [None, 7162], ids=["size detection", "size in the metadata"])
@pytest.mark.parametrize("picker", [None, Sequential], ids=["rarest", "sequential"])
def test_absurd_ranges_do_no_harm(lab, seven, addressing, size, picker):
    """0 to 2**32 - 1 and 2**64 - 1, single chunks at the end of the numbers, in HAVE, ACK, REQUEST and CANCEL."""
    top = TOP32 if addressing is ChunkAddressing.CHUNK32 else TOP64
    bench = lab.Bench()
    store = bench.leech(seven, picker=picker, content_size=size, chunk_addressing=addressing)
    metadata = seven.metadata(chunk_addressing=addressing)
    peer = lab.HandPeer(bench, seven, metadata=metadata)
    peer.open()
    for start, end in ((0, top), (top, top), (7, top), (0, 0), (top - 1, top), (2**31, top), (0, top)):
        peer.send(Have(start, end))
        peer.send(Ack(start, end, TOP64))
        peer.send(Request(start, end))
        peer.send(Cancel(start, end))
        bench.advance(0.1)
    bench.mail.clear()
    good = lab.HandPeer(bench, seven, host=77, channel=77, metadata=metadata)
    good.open(good.have_all())
    for _ in range(200):
        for request in peer.take(Request):
            if request.start < 7:
                peer.serve(request.start)
        good.serve_requests()
        bench.advance(0.1)
    assert bytes(store.octets) == seven.content


def test_haves_of_single_chunks_by_the_hundred_thousand_keep_memory_and_time_bounded(lab, seven):
    """Section 12.6.2."""
    bench = lab.Bench()
    store = bench.leech(seven)
    peer = lab.HandPeer(bench, seven)
    peer.open()
    tracemalloc.start()

    def flood():
        for at in range(10, 160_010, 320):
            peer.send(*[Have(chunk, chunk) for chunk in range(at, at + 320, 2)], flush=False)
        bench.flush()

    spent = seconds_for(flood)
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 12_000_000
    assert spent < 10.0
    (channel,) = bench.endpoint._channels.values()
    assert channel.peer_have.range_count <= _limits.MAX_HAVE_RANGES
    good = lab.HandPeer(bench, seven, host=77, channel=77)
    good.open(good.have_all())
    fetch(bench, good)
    assert bytes(store.octets) == seven.content


def test_fragments_of_requests_and_cancels_keep_memory_and_time_bounded(lab):
    """Section 12.6.6, REQUEST.1, and 12.6.7, CANCEL.1."""
    publication = lab.Publication(lab.pattern(50_000 * 16), chunk_size=16)
    bench = lab.Bench(cwnd=16)
    bench.seed(publication)
    peer = lab.HandPeer(bench, publication)
    peer.open()

    def flood():
        for _ in range(2):
            peer.send(Request(0, 49_999), flush=False)
            for at in range(0, 50_000, 320):
                peer.send(*[Cancel(chunk, chunk) for chunk in range(at, at + 320, 2)], flush=False)
                peer.send(*[Request(chunk, chunk) for chunk in range(at, at + 320, 4)], flush=False)
        bench.flush()

    assert seconds_for(flood) < 5.0
    (channel,) = bench.endpoint._channels.values()
    assert len(channel.upload._queue) <= _limits.MAX_REQUEST_RANGES
    assert channel.upload._wanted.range_count <= _limits.MAX_REQUEST_RANGES


def test_acks_for_what_was_never_sent_do_no_harm(lab):
    """Section 12.6.4, ACK.1: in fragments, in advance, with absurd samples."""
    publication = lab.Publication(lab.pattern(2000 * 1024))
    bench = lab.Bench(cwnd=64 * 1024)
    bench.seed(publication)
    peer = lab.HandPeer(bench, publication)
    peer.open(*[Ack(chunk, chunk, TOP64) for chunk in range(0, 100, 2)])
    assert bench.windows.made[0].acks == []
    peer.send(Request(1000, 1999))
    peer.send(*[Ack(chunk, chunk, 2**63) for chunk in range(1100, 1190, 2)])  # not sent yet
    assert bench.windows.made[0].flight >= 0
    for _ in range(100):
        for data in peer.take(Data):
            peer.send(Ack(data.start, data.start, 5), Ack(data.start, data.start, 5))
        bench.advance(0.05)
    assert bench.windows.made[0].flight == 0
    assert bench.endpoint.stats(publication.root).peers[0].octets_sent >= 900 * 1024


def test_an_ack_of_everything_at_once_does_no_harm(lab):
    publication = lab.Publication(lab.pattern(2000 * 1024))
    bench = lab.Bench(cwnd=64 * 1024)
    bench.seed(publication)
    peer = lab.HandPeer(bench, publication)
    peer.open(Request(0, 1999))
    peer.send(Ack(0, TOP32, 0))
    (window,) = bench.windows.made
    assert window.flight == 0
    assert sum(acked for _, acked, _, _ in window.acks) == 64 * 1024
    bench.advance(10.0)
    assert len(peer.take(Data)) == 64


def test_requests_without_acknowledgement_do_not_make_us_flood(lab):
    """Section 8.15: the window, then timeouts that back off, then nothing."""
    publication = lab.Publication(lab.pattern(2000 * 1024))
    bench = lab.Bench(cwnd=20 * 1024)
    bench.seed(publication)
    peer = lab.HandPeer(bench, publication)
    peer.open(Request(0, 1999))
    bench.advance(170.0)
    assert len(peer.take(Data)) < 20 * 12


def test_peers_that_offer_nothing_useful_are_cheap(lab, seven):
    bench = lab.Bench()
    bench.leech(seven, content_size=7162)
    source = lab.HandPeer(bench, seven, host=200, channel=200)
    source.open(Have(0, 5))
    fetch(bench, source, 2.0)
    for number in range(60):
        lab.HandPeer(bench, seven, host=number, channel=number + 1).open(Have(0, 5))
    assert seconds_for(lambda: bench.advance(10.0)) < 2.0
    assert bench.timer_calls < 60 * 10 * 8
