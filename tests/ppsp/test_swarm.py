"""`ppsp._swarm`: who is asked for which chunks, and what becomes of peers that do not keep their word."""

import pytest

from ppsp import RarestFirst, Sequential, _limits
from ppsp.events import (
    ChunkRefused,
    ChunksVerified,
    PeerDisconnected,
    SizeKnown,
    StoreFailed,
    SwarmComplete,
)
from ppsp.messages import Ack, Cancel, Data, Handshake, Have, Integrity, Request

SIZE = 1000 * 1024 - 5


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


def peers(lab, bench, publication, number):
    return [lab.HandPeer(bench, publication, host=100 + n, channel=100 + n) for n in range(number)]


def asked(peer):
    """The chunks requested of a peer since the last call."""
    return [chunk for request in peer.take(Request) for chunk in range(request.start, request.end + 1)]


def wanted(peer, pending):
    """Follow REQUESTs and CANCELs: the chunks that the endpoint still waits for from this peer."""
    for message in peer.take(Request, Cancel):
        chunks = range(message.start, message.end + 1)
        if isinstance(message, Request):
            pending.update(dict.fromkeys(chunks))
        else:
            for chunk in chunks:
                pending.pop(chunk, None)
    return pending


def test_a_peer_is_asked_for_a_window_and_for_more_when_half_of_it_came(lab, bench, large):
    (peer,) = peers(lab, bench, large, 1)
    peer.open(peer.have_all())
    first = asked(peer)
    assert len(first) >= _limits.MIN_OUTSTANDING
    for chunk in first[:-20]:
        peer.serve(chunk, peaks=False, flush=False)
    bench.flush()
    assert asked(peer)


def test_every_chunk_is_requested_exactly_once_when_nothing_is_lost(lab, bench, large):
    (peer,) = peers(lab, bench, large, 1)
    peer.open(peer.have_all())
    seen = []
    while chunks := asked(peer):
        seen += chunks
        for chunk in chunks:
            peer.serve(chunk, peaks=False, flush=False)
        bench.now += 0.01
        bench.flush()
    assert sorted(seen) == list(range(1000))
    assert bytes(bench.store.octets) == large.content


def test_the_last_block_is_wanted_early(lab, bench, large):
    """Section 5.6.1: the last chunk gives the exact size."""
    (peer,) = peers(lab, bench, large, 1)
    peer.open(peer.have_all())
    assert 999 in asked(peer)


def test_the_application_may_bring_another_picker(lab, large):
    """Section 9.1: chunk picking is not prescribed."""
    bench = lab.Bench()
    bench.leech(large, content_size=SIZE, picker=Sequential)
    (peer,) = peers(lab, bench, large, 1)
    peer.open(peer.have_all())
    assert asked(peer)[:64] == list(range(64))


def test_a_peer_that_appears_in_the_middle_is_asked_for_what_is_left(lab, bench, large):
    first, second = peers(lab, bench, large, 2)
    first.open(first.have_all())
    one = asked(first)
    second.open(second.have_all())
    two = asked(second)
    assert two
    assert not set(one) & set(two)


# Peers that do not deliver


def test_requests_that_bring_nothing_go_to_another_peer(lab, bench, large):
    """Section 3: "a peer that does not respond in time is classified as bad"."""
    silent, good = peers(lab, bench, large, 2)
    silent.open(silent.have_all())
    missing = set(asked(silent))
    good.open(good.have_all())
    served = set()
    for _ in range(600):
        served.update(good.serve_requests())
        bench.advance(0.01)
    assert missing <= served
    assert bytes(bench.store.octets) == large.content


def test_a_peer_that_went_silent_is_told_that_its_requests_are_off(lab, bench, large):
    """Section 3.8 SHOULD: CANCEL to those to whom the data has been previously requested."""
    silent, good = peers(lab, bench, large, 2)
    silent.open(silent.have_all())
    pending = wanted(silent, {})
    assert pending
    good.open(good.have_all())
    for _ in range(300):
        good.serve_requests()
        bench.advance(0.01)
    assert wanted(silent, pending) == {}


def test_a_slow_peer_is_not_asked_again_while_there_are_others(lab, bench, large):
    """Section 12.6.2, HAVE.1: "consider Peer T to be a slow peer and not ask it again"; here: more and more rarely."""
    silent, good = peers(lab, bench, large, 2)
    silent.open(silent.have_all())
    good.open(Have(0, 1))
    good.serve_requests()
    times = []
    for _ in range(1200):
        if silent.take(Request):
            times.append(bench.now)
        bench.advance(0.1)
    assert len(times) < 15  # in two minutes
    assert times[-1] - times[-2] > 20.0


def test_the_only_peer_is_asked_again_at_once(lab, bench, large):
    """There is no other; the REQUEST or the DATA may have been lost."""
    (peer,) = peers(lab, bench, large, 1)
    peer.open(peer.have_all())
    asked(peer)
    bench.advance(3.0)
    assert asked(peer)


def test_a_resting_peer_is_no_reason_to_be_called_again_before_its_rest_is_over(lab, large):
    """Neither before the size is known nor after."""
    for metadata in ({}, {"content_size": SIZE}):
        bench = lab.Bench()
        bench.leech(large, **metadata)
        silent, poor = peers(lab, bench, large, 2)
        silent.open(silent.have_all())
        poor.open()
        bench.advance(60.0)
        assert bench.timer_calls < 600


def test_the_only_peer_that_has_anything_does_not_rest(lab, bench, large):
    """Others are there, but with nothing to offer: there is no one else to ask."""
    (source, *poor) = peers(lab, bench, large, 4)
    source.open(source.have_all())
    for peer in poor:
        peer.open()
    times = []
    for _ in range(300):
        if source.take(Request):
            times.append(bench.now)
        bench.advance(0.1)
    assert len(times) > 10  # in half a minute


def test_a_peer_that_takes_no_requests_is_no_one_else_to_ask(lab, bench, large):
    source, pushing = peers(lab, bench, large, 2)
    pushing.open(pushing.have_all(), supported_messages=frozenset(range(14)) - {8})
    source.open(source.have_all())
    times = []
    for _ in range(300):
        if source.take(Request):
            times.append(bench.now)
        bench.advance(0.1)
    assert len(times) > 10  # in half a minute


def test_an_idle_peer_takes_over_from_a_slow_one(lab, bench, large):
    """Section 3.8: urgent data is requested of another peer, and the first is told."""
    slow, fast = peers(lab, bench, large, 2)
    slow.open(slow.have_all())
    pending = wanted(slow, {})
    fast.open(fast.have_all())
    done = set()
    for _ in range(400):
        done.update(fast.serve_requests())
        wanted(slow, pending)
        if len(done) < 990 and pending:  # ten chunks a second, so that nothing lapses
            chunk = next(iter(pending))
            slow.serve(chunk, peaks=False)
            pending.pop(chunk)
            done.add(chunk)
        bench.advance(0.1)
        if len(done) >= 1000:
            break
    assert bytes(bench.store.octets) == large.content
    assert bench.now < 1000.0 + 20.0


def test_an_idle_peer_takes_nothing_from_one_that_is_as_good_as_done(lab):
    publication = lab.Publication(lab.pattern(64 * 1024))
    bench = lab.Bench()
    bench.leech(publication, content_size=64 * 1024)
    busy, idle = peers(lab, bench, publication, 2)
    busy.open(busy.have_all())
    for chunk in asked(busy)[:54]:
        busy.serve(chunk, peaks=False)
        bench.advance(0.01)
    assert bench.now > 1000.5  # long enough since it was asked
    idle.open(idle.have_all())
    bench.advance(0.3)
    assert asked(idle) == []
    assert busy.take(Cancel) == []


def test_the_cancel_of_a_takeover_leaves_with_its_request(lab, bench, large):
    """Section 3.8: the slow peer would go on sending what another is asked for."""
    slow, fast = peers(lab, bench, large, 2)
    slow.open(slow.have_all())
    fast.open(fast.have_all())
    taken = set()
    for _ in range(200):
        fast.serve_requests()
        if pending := wanted(slow, {}):
            slow.serve(next(iter(pending)), peaks=False)
        bench.log.clear()
        bench.advance(0.05)
        by_time = {}
        for now, address, octets in bench.log:
            by_time.setdefault(now, []).extend((address, message) for message in slow.codec.decode(octets)[0])
        for said in by_time.values():
            cancelled = {
                chunk
                for address, message in said
                if address == slow.address and isinstance(message, Cancel)
                for chunk in range(message.start, message.end + 1)
            }
            asked_now = {
                chunk
                for address, message in said
                if address == fast.address and isinstance(message, Request)
                for chunk in range(message.start, message.end + 1)
            }
            taken |= cancelled & asked_now
    assert taken


def test_takeovers_do_not_go_back_and_forth(lab, bench, large):
    """Two slow peers that share the last chunks: an instant must end."""
    slow = peers(lab, bench, large, 4)
    for peer in slow:
        peer.open(peer.have_all())
    waiting = [{} for _ in slow]
    requests = 0
    for _ in range(300):
        for peer, pending in zip(slow, waiting, strict=True):
            requests += sum(1 for octets in bench.mail.get(peer.address, ()) if len(octets) > 4)
            wanted(peer, pending)
            if pending and bench.now - 1000.0 < 25.0:
                chunk = next(iter(pending))
                peer.serve(chunk, peaks=False)
                pending.pop(chunk)
        bench.advance(1.0)
    assert requests < 4000


def test_no_chunk_is_outstanding_at_two_peers_after_a_takeover(lab, bench, large):
    slow, fast = peers(lab, bench, large, 2)
    slow.open(slow.have_all())
    fast.open(fast.have_all())
    for _ in range(100):
        fast.serve_requests()
        bench.advance(0.05)
        outstanding = [channel.download.outstanding for channel in bench.endpoint._channels.values()]
        assert not outstanding[0] & outstanding[1]


def test_a_chunk_from_a_peer_that_was_not_asked_is_cancelled_at_the_one_that_was(lab, bench, large):
    """Section 3.8."""
    slow, other = peers(lab, bench, large, 2)
    slow.open(slow.have_all())
    chunk = asked(slow)[5]
    other.open()
    other.serve(chunk, peaks=False)
    assert Cancel(chunk, chunk) in slow.take(Cancel)


def test_what_is_cancelled_is_not_waited_for(lab, bench, large):
    """Or the peer that did as it was told would let its requests lapse, and be left alone."""
    first, second = peers(lab, bench, large, 2)
    first.open(first.have_all())
    second.open()
    for chunk in asked(first):
        second.serve(chunk, peaks=False)
    asked_since = first.take(Request)
    (stats,) = [one for one in bench.endpoint.stats(large.root).peers if one.address == first.address]
    assert 0 < stats.chunks_outstanding == sum(each.end - each.start + 1 for each in asked_since)


def test_a_peer_that_leaves_frees_its_requests(lab, bench, large):
    """Section 8.4, and 3.12 for one that just dies."""
    leaving, staying = peers(lab, bench, large, 2)
    leaving.open(leaving.have_all())
    missing = set(asked(leaving))
    staying.open(staying.have_all())
    served = set(staying.serve_requests())
    leaving.send(Handshake(0))
    for _ in range(100):
        served.update(staying.serve_requests())
        bench.advance(0.01)
    assert missing <= served


# Finding the size (section 5.6)


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


# Events and figures


def test_only_so_many_bad_peers_are_remembered(lab, bench, large, monkeypatch):
    monkeypatch.setattr(_limits, "MAX_BANNED", 3)
    for peer in peers(lab, bench, large, 5):
        peer.open()
        peer.serve(0, payload=bytes(1024), peaks=False)
    assert bench.endpoint.stats(large.root).banned == 3


def test_chunks_of_peers_that_left_are_as_rare_as_before(lab, bench, large):
    picker = bench.endpoint._swarms[large.root]._picker
    for peer in peers(lab, bench, large, 3):
        peer.open(Have(0, 99), Have(50, 999))
        peer.send(Handshake(0))
    assert set(picker._rarity) == {0}


def test_verified_chunks_are_reported_as_ranges_and_once(lab, bench, large):
    (peer,) = peers(lab, bench, large, 1)
    peer.open(peer.have_all())
    for _ in range(100):
        peer.serve_requests()
        bench.advance(0.01)
    seen = sorted(chunk for event in bench.events(ChunksVerified) for chunk in range(event.start, event.stop))
    assert seen == list(range(1000))


def test_completion_is_reported_once_and_ends_the_requests(lab, bench, large):
    (peer,) = peers(lab, bench, large, 1)
    peer.open(peer.have_all())
    for _ in range(100):
        peer.serve_requests()
        bench.advance(0.01)
    assert len(bench.events(SwarmComplete)) == 1
    peer.take()
    peer.serve(3, peaks=False)
    bench.advance(30.0)
    assert peer.take(Request) == []
    assert bench.events(SwarmComplete) == []


def test_the_figures_of_a_peer_are_right(lab, bench, large):
    (peer,) = peers(lab, bench, large, 1)
    peer.open(peer.have_all(), Request(0, 0))
    for _ in range(100):
        peer.serve_requests()
        bench.advance(0.01)
    peer.send(Request(5, 6))
    peer.take()
    bench.now += 0.02
    peer.send(Ack(5, 6, 100))
    stats = bench.endpoint.stats(large.root)
    (figures,) = stats.peers
    assert (stats.chunk_count, stats.chunks_held, stats.content_size) == (1000, 1000, SIZE)
    assert figures.address == peer.address
    assert not figures.initiated
    assert figures.chunks_offered == 1000
    assert figures.chunks_received == 1000
    assert figures.octets_received == SIZE
    assert figures.chunks_sent == 2
    assert figures.octets_sent == 2048
    assert figures.chunks_outstanding == 0
    assert figures.download_rate > 0


# The store (section: storage is local)


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


def test_a_disconnected_peer_is_reported_with_a_reason(lab, bench, large):
    (peer,) = peers(lab, bench, large, 1)
    peer.open()
    peer.send(Handshake(0))
    (event,) = bench.events(PeerDisconnected)
    assert event.address == peer.address
    assert event.reason


@pytest.mark.parametrize("picker", [Sequential, RarestFirst])
def test_a_swarm_of_partial_peers_is_completed(lab, large, picker):
    """Every peer has another third."""
    bench = lab.Bench()
    store = bench.leech(large, content_size=SIZE, picker=picker)
    helpers = peers(lab, bench, large, 3)
    for number, peer in enumerate(helpers):
        peer.open(Have(number * 334, min(number * 334 + 333, 999)))
    for _ in range(300):
        for peer in helpers:
            peer.serve_requests()
        bench.advance(0.01)
    assert bytes(store.octets) == large.content
