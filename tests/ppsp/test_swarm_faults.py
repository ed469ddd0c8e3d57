"""`ppsp._swarm`: peers that send what is wrong, and stores that fail."""

import pytest
from ppsp_asked import SIZE, asked, peers, wanted

from ppsp import _limits
from ppsp.events import ChunkRefused, StoreFailed, SwarmComplete
from ppsp.messages import Ack, Data, Have, Integrity, Request


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


# Wrong chunks (sections 5.2 and 12.6.3)


def test_a_peer_that_sends_a_wrong_chunk_is_dropped_and_named(lab, bench, large):
    """Section 12.6.3, DATA.1; section 3: further communication SHOULD be stopped."""
    (evil,) = peers(lab, bench, large, 1)
    evil.open(evil.have_all())
    chunk = asked(evil)[0]
    evil.serve(chunk, payload=b"\0" * 1024, peaks=False)
    assert bench.events(ChunkRefused) == [ChunkRefused(large.root, evil.address, chunk)]
    assert bench.channels == 0
    assert bench.store.writes == 0


def test_the_content_is_completed_from_the_others(lab, bench, large):
    evil, good = peers(lab, bench, large, 2)
    evil.open(evil.have_all())
    chunk = asked(evil)[0]
    good.open(good.have_all())
    evil.serve(chunk, payload=b"\0" * 1024, peaks=False)
    for _ in range(200):
        good.serve_requests()
        bench.advance(0.01)
    assert bytes(bench.store.octets) == large.content
    (event,) = bench.events(SwarmComplete)
    assert event.content_size == SIZE


def test_a_wrong_chunk_costs_its_sender_even_if_it_was_not_asked_for(lab, bench, large):
    (evil,) = peers(lab, bench, large, 1)
    evil.open()
    evil.serve(5, payload=b"\0" * 1024, peaks=False)
    assert bench.channels == 0


def test_a_chunk_without_hashes_costs_its_sender_nothing(lab, bench, large):
    """Section 5.3: they may have been lost on the way."""
    (peer,) = peers(lab, bench, large, 1)
    peer.open(peer.have_all())
    peer.send(peer.data(asked(peer)[0]))
    assert bench.channels == 1
    assert bench.endpoint.stats(large.root).peers[0].chunks_unverifiable == 1


def test_hashes_that_lie_harm_only_their_sender(lab, bench, large):
    """Section 12.6.5, INTEGRITY.1: another peer's chunks verify with their own hashes."""
    evil, good = peers(lab, bench, large, 2)
    evil.open(evil.have_all())
    good.open(good.have_all())
    evil.send(*[Integrity(node.start, node.end, bytes(32)) for node in good.integrity(0, peaks=False)])
    for _ in range(200):
        good.serve_requests()
        bench.advance(0.02)
    assert bench.events(ChunkRefused) == []
    assert bench.endpoint.stats(large.root).chunks_held > 900


def test_only_so_many_bad_peers_are_remembered(lab, bench, large, monkeypatch):
    monkeypatch.setattr(_limits, "MAX_BANNED", 3)
    for peer in peers(lab, bench, large, 5):
        peer.open()
        peer.serve(0, payload=bytes(1024), peaks=False)
    assert bench.endpoint.stats(large.root).banned == 3


# The store


def test_a_store_that_cannot_write_stops_the_requests_and_is_reported_once(lab, bench, large):
    first, second = peers(lab, bench, large, 2)
    first.open(first.have_all())
    second.open(second.have_all())
    bench.store.fail_writes = True
    for chunk in asked(first)[:5]:
        first.serve(chunk, peaks=False)
    assert len(bench.events(StoreFailed)) == 1
    first.take()
    second.take()
    first.send(first.have_all())
    bench.advance(60.0)
    assert asked(first) == []
    assert asked(second) == []
    assert bench.endpoint.stats(large.root).chunks_held == 0


def test_nothing_is_stored_any_more_once_the_store_has_failed(lab, bench, large):
    """What is stored from then on would be as likely to be lost; it is not acknowledged either."""
    (peer,) = peers(lab, bench, large, 1)
    peer.open()
    bench.store.fail_writes = True
    peer.serve(0, peaks=False)
    bench.store.fail_writes = False
    writes = bench.store.writes
    peer.take()
    peer.serve(1, peaks=False)
    assert bench.store.writes == writes
    assert peer.take(Ack, Have) == []


def test_what_was_requested_is_cancelled_when_the_store_fails(lab, bench, large):
    first, second = peers(lab, bench, large, 2)
    first.open(first.have_all())
    second.open(second.have_all())
    waiting = [wanted(first, {}), wanted(second, {})]
    bench.store.fail_writes = True
    sent = next(iter(waiting[0]))
    first.serve(sent, peaks=False)
    assert wanted(first, waiting[0]) == {sent: None}
    assert wanted(second, waiting[1]) == {}


def test_what_was_stored_is_still_served_after_a_failure(lab, bench, large):
    """As the event's documentation promises."""
    (peer,) = peers(lab, bench, large, 1)
    peer.open(peer.have_all())
    one, two = asked(peer)[:2]
    peer.serve(one, peaks=False)
    bench.store.fail_writes = True
    peer.serve(two, peaks=False)
    peer.take()
    peer.send(Request(one, one))
    assert [data.start for data in peer.take(Data)] == [one]


def test_a_store_that_cannot_read_harms_one_batch(lab, large):
    bench = lab.Bench()
    store = bench.seed(large)
    (peer,) = peers(lab, bench, large, 1)
    peer.open()
    store.fail_reads = True
    peer.send(Request(0, 99))
    assert peer.take(Data) == []
    assert len(bench.events(StoreFailed)) == 1
    peer.send(Request(0, 99))
    assert bench.events(StoreFailed) == []
    store.fail_reads = False
    peer.send(Request(0, 99))
    assert {data.start for data in peer.take(Data)} == set(range(100))
