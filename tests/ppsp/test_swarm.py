"""`ppsp._swarm`: who is asked for which chunks, and what is told of it."""

import pytest
from ppsp_asked import SIZE, asked, peers, wanted

from ppsp import RarestFirst, Sequential, _limits
from ppsp.events import ChunksVerified, PeerDisconnected, SwarmComplete
from ppsp.messages import Ack, Cancel, Handshake, Have, Request


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


# Events and figures


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
