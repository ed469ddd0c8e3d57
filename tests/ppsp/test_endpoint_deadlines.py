"""What is fetched first, and how fast at the most: `Endpoint.prioritise`, `set_picker`, `set_download_rate`."""

import pytest

from ppsp import ChunksVerified, Endpoint, RarestFirst, Sequential, StateError
from ppsp.messages import Cancel, Choke, Handshake, Request, Unchoke


@pytest.fixture(scope="module")
def film(lab):
    """Four thousand chunks."""
    return lab.Publication(lab.pattern(4000 * 1024))


def ranges(messages):
    return [(message.start, message.end) for message in messages]


@pytest.mark.parametrize("picker", [Sequential, RarestFirst])
def test_a_seek_is_served_at_once_whatever_was_asked_for_before(lab, film, picker):
    """RFC 7574 section 9.1; libswift fetches everything before the place first."""
    network = lab.Network()
    source = network.host(upload_rate=400_000).seed(film)
    viewer = network.host().leech(film, picker=picker)
    viewer.endpoint.prioritise(film.root, "reader", 0, 256)
    viewer.connect(source)
    network.run_for(2.0)
    assert viewer.endpoint.held_until(film.root, 0) > 64
    assert viewer.endpoint.held_until(film.root, 2000) == 2000
    start = network.now
    viewer.endpoint.prioritise(film.root, "reader", 2000, 2256)
    network.run(lambda: viewer.endpoint.held_until(film.root, 2000) > 2000)
    assert network.now - start < 0.15  # one round trip of 40 ms, and what was in flight
    network.run(lambda: viewer.endpoint.held_until(film.root, 2000) >= 2256)
    assert network.now - start < 256 * 1024 / 400_000 + 0.25
    held = viewer.endpoint.stats(film.root).chunks_held
    assert held < 1500
    # What follows comes next, before what was skipped.
    network.run(lambda: viewer.complete)
    late = [event.start for event in viewer.seen(ChunksVerified)]
    assert max(late.index(start) for start in late if start >= 2256) < late.index(max(s for s in late if s < 2000))


def test_the_peer_is_told_that_what_it_was_asked_for_is_not_urgent_any_more(lab, film):
    bench = lab.Bench()
    bench.leech(film, picker=Sequential)
    peer = lab.HandPeer(bench, film)
    peer.accept(peer.have_all())
    peer.serve_requests()  # the last chunk: the size is known
    asked = peer.take(Request)
    assert ranges(asked) == [(0, 127)]  # twice the first window
    bench.endpoint.prioritise(film.root, "reader", 3000, 3200)
    bench.flush()
    messages = peer.take()
    assert ranges(message for message in messages if isinstance(message, Cancel)) == [(0, 127)]
    requests = ranges(message for message in messages if isinstance(message, Request))
    assert requests[0][0] == 3000
    assert isinstance(messages[0], Cancel)


def test_a_reader_that_goes_on_cancels_nothing(lab, film):
    bench = lab.Bench()
    bench.leech(film, picker=Sequential)
    peer = lab.HandPeer(bench, film)
    peer.accept(peer.have_all())
    bench.endpoint.prioritise(film.root, "reader", 0, 500)
    peer.serve_requests()
    peer.take()
    bench.endpoint.prioritise(film.root, "reader", 100, 600)
    bench.endpoint.forget(film.root, "reader")
    bench.flush()
    assert peer.take(Cancel) == []


def test_windows_may_be_given_before_the_size_is_known(lab, film):
    bench = lab.Bench()
    bench.leech(film)
    bench.endpoint.prioritise(film.root, "reader", 700, 900)
    peer = lab.HandPeer(bench, film)
    peer.accept(peer.have_all())
    peer.serve_requests()
    assert ranges(peer.take(Request))[0][0] == 700


def test_what_a_slow_peer_owes_a_reader_is_asked_of_another_and_the_loser_gets_a_cancel(lab, film):
    """The end game of section 3.8, for what is urgent."""
    bench = lab.Bench()
    bench.leech(film)
    bench.endpoint.prioritise(film.root, "reader", 0, 64)
    slow, fast = (lab.HandPeer(bench, film, host=n, channel=n + 1) for n in range(2))
    slow.accept(slow.have_all())
    slow.serve_requests()
    assert ranges(slow.take(Request))[0][0] == 0
    fast.accept(fast.have_all())
    for _ in range(10):
        bench.advance(0.1)
        requests = fast.take(Request)
        if (0, 63) in ranges(requests):
            break
        for request in requests:
            for chunk in range(request.start, request.end + 1):
                fast.serve(chunk)
    else:
        raise AssertionError("nobody else was asked for the first chunks")
    slow.take()
    fast.serve(0)
    assert ranges(slow.take(Cancel)) == [(0, 0)]


def test_another_picker_takes_over(lab, film):
    bench = lab.Bench()
    bench.leech(film, picker=RarestFirst)
    peer = lab.HandPeer(bench, film)
    peer.accept(peer.have_all())
    peer.serve_requests()
    before = ranges(peer.take(Request))
    bench.endpoint.set_picker(film.root, Sequential)
    bench.flush()
    messages = peer.take()
    cancelled = ranges(message for message in messages if isinstance(message, Cancel))
    assert sum(end - start + 1 for start, end in cancelled) == sum(end - start + 1 for start, end in before)
    (request,) = ranges(message for message in messages if isinstance(message, Request))
    assert request[0] == 0
    for chunk in range(request[1] + 1):
        peer.serve(chunk)
    while peer.serve_requests():
        pass
    assert bench.endpoint.held_until(film.root, 0) == film.count


def test_misuse_is_a_state_error_and_changes_nothing(lab, film):
    endpoint = lab.Bench().endpoint
    for call in (
        lambda: endpoint.prioritise(b"?", 1, 0, 1),
        lambda: endpoint.forget(b"?", 1),
        lambda: endpoint.set_picker(b"?", Sequential),
        lambda: endpoint.held_until(b"?", 0),
    ):
        with pytest.raises(StateError):
            call()


@pytest.mark.parametrize("rate", [50_000, 200_000, 1_000_000])
@pytest.mark.parametrize("sources", [1, 3])
def test_the_download_rate_is_kept(lab, film, rate, sources):
    network = lab.Network()
    viewer = network.host(download_rate=rate).leech(film)
    viewer.connect(*[network.host().seed(film) for _ in range(sources)])
    network.run(lambda: viewer.endpoint.stats(film.root).chunks_held > 0)
    start, before = network.now, viewer.endpoint.stats(film.root).chunks_held
    network.run_for(3.0)
    octets = (viewer.endpoint.stats(film.root).chunks_held - before) * 1024
    allowed = rate * (network.now - start)
    # Whole blocks are asked for: of each peer one, beyond what there are tokens for.
    assert 0.8 * allowed - 65536 <= octets <= allowed + (1 + sources) * 65536
    assert viewer.timer_calls < 2000


def test_swarms_share_the_download_rate_and_it_can_be_lifted(lab, film):
    other = lab.Publication(lab.pattern(1000 * 1024 + 1))
    network = lab.Network()
    source, viewer = network.host(), network.host(download_rate=100_000)
    for publication in (film, other):
        source.seed(publication)
        viewer.leech(publication).connect(source)
    network.run_for(4.0)
    held = [viewer.endpoint.stats(publication.root).chunks_held for publication in (film, other)]
    assert min(held) > 64
    assert sum(held) * 1024 < 600_000
    viewer.endpoint.set_download_rate(None)
    network.run(lambda: viewer.complete, seconds=5.0)


def test_a_seek_under_a_limit_does_not_pay_for_what_was_cancelled(lab, film):
    network = lab.Network()
    source = network.host(upload_rate=100_000).seed(film)
    viewer = network.host(download_rate=400_000).leech(film).connect(source)
    network.run_for(2.0)
    start = network.now
    for place in (1000, 2000, 3000, 1500, 2500):
        viewer.endpoint.prioritise(film.root, "reader", place, place + 64)
    network.run(lambda: viewer.endpoint.held_until(film.root, 2500) > 2500)
    assert network.now - start < 1.0


def test_what_a_reader_needs_and_a_peer_that_left_was_asked_for_is_asked_of_the_next_one_first(lab, film):
    bench = lab.Bench()
    bench.leech(film, content_size=len(film.content))
    bench.endpoint.prioritise(film.root, "reader", 1000, 1128)
    leaving, other = (lab.HandPeer(bench, film, host=host, channel=host) for host in (1, 2))
    leaving.open(leaving.have_all())
    assert ranges(leaving.take(Request)) == [(1000, 1087)]
    for chunk in range(1000, 1070):
        leaving.serve(chunk, peaks=False)
    assert (1088, 1127) in ranges(leaving.take(Request))
    leaving.send(Handshake(0))
    other.open(other.have_all())
    assert ranges(other.take(Request))[0][0] == 1070


def test_who_waits_for_the_download_rate_and_wants_nothing_any_more_does_not_spin(lab, film):
    bench = lab.Bench(download_rate=100_000)
    bench.leech(film, content_size=len(film.content))
    peer = lab.HandPeer(bench, film)
    peer.open(peer.have_all())
    while bench.endpoint._download_limit.due is None:
        peer.serve_requests()
    peer.send(Choke())
    before = bench.timer_calls
    bench.advance(30.0)
    assert bench.timer_calls - before < 200
    peer.take()
    peer.send(Unchoke())
    assert peer.take(Request)


def test_chunks_that_were_not_asked_for_count_under_the_download_rate(lab, film):
    bench = lab.Bench(download_rate=100_000)
    bench.leech(film, content_size=len(film.content))
    pusher = lab.HandPeer(bench, film, host=1, channel=1)
    pusher.open()
    for chunk in range(200):
        pusher.serve(chunk, peaks=False)
    peer = lab.HandPeer(bench, film)
    peer.open(peer.have_all())
    assert not peer.take(Request)
    bench.advance(2.2)
    assert peer.take(Request)


@pytest.mark.parametrize("rate", [0, -1.0, float("nan")])
def test_a_download_rate_that_would_fetch_nothing_is_refused(lab, rate):
    with pytest.raises(ValueError, match="let nothing through"):
        Endpoint(controller=lab.fixed_window(), download_rate=rate)
    endpoint = Endpoint(controller=lab.fixed_window(), download_rate=1000)
    with pytest.raises(ValueError, match="let nothing through"):
        endpoint.set_download_rate(rate)
