"""`ppsp._swarm`: finding the number of chunks (RFC 7574 section 5.6)."""

import pytest
from ppsp_asked import SIZE, asked, peers

from ppsp.events import SizeKnown, SwarmComplete
from ppsp.messages import Have


@pytest.fixture(scope="module")
def large(lab):
    """A thousand chunks, the last one short."""
    return lab.Publication(lab.pattern(SIZE))


@pytest.fixture
def bench(lab, large):
    """An endpoint that knows the size and has nothing."""
    bench = lab.Bench()
    bench.store = bench.leech(large, content_size=SIZE)
    return bench


def test_the_size_is_found_from_the_peaks_and_the_last_chunk(lab, seven):
    """Section 5.6.2: "Peer B MUST download the last chunk of the content from any peer that offers it"."""
    bench = lab.Bench()
    store = bench.leech(seven)
    (peer,) = peers(lab, bench, seven, 1)
    peer.open(peer.have_all())
    served = []
    for _ in range(20):
        served += peer.serve_requests()
        bench.advance(0.05)
    events = bench.events()
    (known,) = [event for event in events if isinstance(event, SizeKnown)]
    (complete,) = [event for event in events if isinstance(event, SwarmComplete)]
    assert known.chunk_count == 7
    assert complete.content_size == 7162
    assert bytes(store.octets) == seven.content
    assert 6 in served


def test_chunks_offered_beyond_the_last_do_not_count_once_the_size_is_known(lab, seven):
    bench = lab.Bench()
    bench.leech(seven)
    (peer,) = peers(lab, bench, seven, 1)
    peer.open(Have(0, 1 << 30))
    peer.serve(6)
    (stats,) = bench.endpoint.stats(seven.root).peers
    assert stats.chunks_offered == 7
    peer.send(Have(0, 1 << 30))
    (stats,) = bench.endpoint.stats(seven.root).peers
    assert stats.chunks_offered == 7


def test_a_chunk_that_does_not_exist_is_not_waited_for_once_the_size_is_known(lab, seven):
    bench = lab.Bench()
    bench.leech(seven)
    liar, honest = peers(lab, bench, seven, 2)
    liar.open(Have(1000, 1000))
    assert asked(liar) == [1000]
    honest.open()
    honest.serve(6)
    (stats,) = [one for one in bench.endpoint.stats(seven.root).peers if one.address == liar.address]
    assert stats.chunks_outstanding == 0


def test_only_one_chunk_is_asked_for_before_the_size_is_known(lab, large):
    """Its hashes come with it; a window of requests to a stranger would be a waste."""
    bench = lab.Bench()
    bench.leech(large)
    first, second = peers(lab, bench, large, 2)
    first.open(first.have_all())
    second.open(second.have_all())
    assert len(asked(first) + asked(second)) == 1


def test_the_next_peer_is_asked_when_the_first_does_not_tell_the_size(lab, seven):
    bench = lab.Bench()
    store = bench.leech(seven)
    silent, good = peers(lab, bench, seven, 2)
    silent.open(silent.have_all())
    good.open(good.have_all())
    for _ in range(100):
        good.serve_requests()
        bench.advance(0.05)
    assert bytes(store.octets) == seven.content


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 16, 31, 64, 65])
def test_any_number_of_chunks_is_found(lab, count):
    publication = lab.Publication(lab.pattern(count * 1024 - 1))
    bench = lab.Bench()
    store = bench.leech(publication)
    (peer,) = peers(lab, bench, publication, 1)
    peer.open(peer.have_all())
    for _ in range(30):
        peer.serve_requests()
        bench.advance(0.05)
    assert bytes(store.octets) == publication.content
    assert bench.events(SizeKnown) == [SizeKnown(publication.root, count, count * 1024 - 1)]


def test_hashes_that_are_known_are_not_needed_again(lab, seven):
    """Section 5.3: the receiver remembers; a peer that sends each hash once is enough."""
    bench = lab.Bench()
    store = bench.leech(seven)
    (peer,) = peers(lab, bench, seven, 1)
    peer.open(peer.have_all())
    sent = set()
    for _ in range(30):
        for chunk in asked(peer):
            new = [node for node in peer.integrity(chunk) if (node.start, node.end) not in sent]
            sent |= {(node.start, node.end) for node in new}
            peer.send(*new, peer.data(chunk))
        bench.advance(0.05)
    assert bytes(store.octets) == seven.content
