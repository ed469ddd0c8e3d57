"""`ppsp.Endpoint`: its clock, its timers, its upload rate."""

import math
import random

import pytest

from ppsp.events import PeerConnected, PeerDisconnected
from ppsp.messages import Data, Have, Request


@pytest.fixture
def bench(lab, seven):
    """A seeder of the RFC's seven chunks."""
    bench = lab.Bench()
    bench.seed(seven)
    return bench


# The clock


def run_one(lab, seven, **settings):
    network = lab.Network(**settings)
    source = network.host().seed(seven)
    fetcher = network.host().leech(seven).connect(source)
    network.run(lambda: fetcher.complete, seconds=20.0)
    return network


def test_a_clock_may_start_at_zero(lab, seven):
    assert run_one(lab, seven, now=0.0).now < 1.0


def test_a_clock_may_start_below_zero(lab, seven):
    """`now` is float seconds on any monotonic clock."""
    assert run_one(lab, seven, now=-100.0).now < -99.0


def test_a_clock_may_have_run_for_long(lab, seven):
    assert run_one(lab, seven, now=1e9).now < 1e9 + 1.0


def test_the_timestamp_wraps_at_64_bits(lab, seven):
    """it must survive the wrap."""
    network = lab.Network(now=0.0)
    source = network.host(epoch=2**64 / 1e6 - 0.03).seed(seven)
    fetcher = network.host(epoch=5.0).leech(seven).connect(source)
    network.run(lambda: fetcher.complete, seconds=20.0)
    assert bytes(fetcher.store.octets) == seven.content


@pytest.mark.parametrize("skew", [-1e9, -3600.0, 0.5, 3600.0, 1e9])
def test_clocks_that_differ_give_delays_that_differ_by_a_constant(lab, seven, skew):
    """only differences matter; the sender reads them signed modulo 2**64."""
    network = lab.Network(now=2e9, delay=0.03)
    window = lab.fixed_window()
    source = network.host(controller=window).seed(seven)
    fetcher = network.host(epoch=skew).leech(seven).connect(source)
    network.run(lambda: fetcher.complete, seconds=20.0)
    network.run_for(1.0)
    delays = [delay for made in window.made for _, _, delays, _ in made.acks for delay in delays]
    assert delays
    assert all(abs(delay / 1e6 - 0.03 - skew) < 0.001 for delay in delays)


def test_a_clock_that_goes_back_a_little_does_no_harm(lab):
    publication = lab.Publication(lab.pattern(300 * 1024))
    network = lab.Network(delay=0.01)
    chance = random.Random(5)
    source = network.host(upload_rate=400_000).seed(publication)
    fetcher = network.host().leech(publication)
    for host in (source, fetcher):
        endpoint = host.endpoint
        for name in ("receive_datagram", "datagrams_to_send", "handle_timer"):
            verb = getattr(endpoint, name)
            setattr(endpoint, name, lambda *args, verb=verb: verb(*args[:-1], args[-1] + chance.uniform(-0.002, 0.002)))
    fetcher.connect(source)
    for _ in range(3000):
        network.run_for(0.01)
        for host in (source, fetcher):
            host.endpoint.handle_timer(network.now)
            host.flush()
        if fetcher.complete:
            break
    assert bytes(fetcher.store.octets) == publication.content


def test_timers_may_be_called_early_late_and_often(lab):
    publication = lab.Publication(lab.pattern(300 * 1024))
    network = lab.Network(delay=0.01, loss=0.05)
    source = network.host().seed(publication)
    fetcher = network.host().leech(publication).connect(source)
    for step in range(3000):
        network.run_for(0.01)
        for host in (source, fetcher):
            if step % 3:
                host.endpoint.handle_timer(network.now)
                host.endpoint.handle_timer(network.now + 1e-6)
                host.flush()
        if fetcher.complete:
            break
    assert bytes(fetcher.store.octets) == publication.content


def test_a_driver_that_sleeps_too_long_does_no_harm(lab):
    """Timers are handled once every half second only; nothing is lost but time."""
    publication = lab.Publication(lab.pattern(100 * 1024))
    network = lab.Network(delay=0.01, loss=0.1)
    source = network.host().seed(publication)
    fetcher = network.host().leech(publication).connect(source)
    for host in (source, fetcher):
        timer = host.endpoint.get_timer
        host.endpoint.get_timer = lambda timer=timer: (
            None if (due := timer()) is None else max(due, math.ceil(network.now * 2 + 1e-9) / 2)
        )
    network.run(lambda: fetcher.complete, seconds=100.0)
    assert bytes(fetcher.store.octets) == publication.content


def test_get_timer_alone_drives_a_transfer_with_few_calls(lab):
    """No busy loop: the calls of handle_timer are bounded per virtual second."""
    publication = lab.Publication(lab.pattern(1000 * 1024))
    network = lab.Network(delay=0.02, loss=0.02)
    source = network.host(upload_rate=300_000).seed(publication)
    fetchers = [network.host().leech(publication) for _ in range(3)]
    for number, fetcher in enumerate(fetchers):
        fetcher.connect(source, *fetchers[:number])
    network.run(lambda: all(fetcher.complete for fetcher in fetchers), seconds=60.0)
    elapsed = network.now - 1000.0
    for host in (source, *fetchers):
        assert host.timer_calls < 300 * elapsed


def test_an_idle_endpoint_is_hardly_ever_called(lab, seven):
    network = lab.Network()
    source = network.host().seed(seven)
    fetcher = network.host().leech(seven).connect(source)
    network.run(lambda: fetcher.complete, seconds=5.0)
    network.run_for(2.0)
    before = source.timer_calls + fetcher.timer_calls
    sent = source.sent + fetcher.sent
    network.run_for(600.0)
    assert source.timer_calls + fetcher.timer_calls - before < 60
    assert source.sent + fetcher.sent - sent < 30
    assert len(source.endpoint._channels) == 1


def test_a_leecher_that_waits_for_someone_to_have_more_is_hardly_ever_called(lab, seven):
    network = lab.Network()
    first = network.host().leech(seven)
    second = network.host().leech(seven).connect(first)
    network.run_for(600.0)
    assert first.timer_calls + second.timer_calls < 60
    assert len(first.seen(PeerConnected)) == 1
    assert first.seen(PeerDisconnected) == []


# The upload rate


@pytest.mark.parametrize("rate", [5_000, 20_000, 100_000, 1_000_000])
def test_the_upload_rate_is_kept(lab, rate):
    """Section 12.6.6: "a limit is imposed on the upload capacity"; here of the whole endpoint."""
    publication = lab.Publication(lab.pattern(4000 * 1024))
    bench = lab.Bench(upload_rate=rate, cwnd=1 << 24)
    bench.seed(publication)
    everyone = [lab.HandPeer(bench, publication, host=n, channel=n + 1) for n in range(3)]
    start = bench.now
    for peer in everyone:
        peer.open(Request(0, 3999))
    for _ in range(40):
        bench.advance(0.1)
        for peer in everyone:
            peer.send(*[Have(data.start, data.start) for data in peer.take(Data)])
    sent = sum(figures.octets_sent for figures in bench.endpoint.stats(publication.root).peers)
    allowed = rate * (bench.now - start)
    assert 0.85 * allowed - 2048 <= sent <= allowed + 0.05 * rate + 3 * 1024


def test_a_low_upload_rate_does_not_spin_on_a_clock_that_has_run_for_long(lab):
    """Waiting for the last fraction of an octet must make progress."""
    publication = lab.Publication(lab.pattern(60 * 1024))
    network = lab.Network(now=1e7)
    source = network.host(upload_rate=10_000).seed(publication)
    fetcher = network.host().leech(publication).connect(source)
    network.run(lambda: fetcher.complete, seconds=30.0)
    assert source.timer_calls < 600


def test_the_rate_is_shared_fairly(lab):
    """Section 12.6.6, REQUEST.1: "takes into account the need of multiple peers"."""
    publication = lab.Publication(lab.pattern(4000 * 1024))
    bench = lab.Bench(upload_rate=500_000, cwnd=1 << 24)
    bench.seed(publication)
    greedy, modest = (lab.HandPeer(bench, publication, host=n, channel=n + 1) for n in range(2))
    greedy.open(Request(0, 3999))
    modest.open()
    for step in range(50):
        modest.send(Request(step * 20, step * 20 + 19))
        bench.advance(0.05)
        for peer in (greedy, modest):
            peer.send(*[Have(data.start, data.start) for data in peer.take(Data)])
    figures = {peer.address: peer.chunks_sent for peer in bench.endpoint.stats(publication.root).peers}
    assert figures[modest.address] > 0.35 * sum(figures.values())


def test_the_rate_can_be_changed_and_lifted(lab):
    publication = lab.Publication(lab.pattern(1000 * 1024))
    bench = lab.Bench(upload_rate=1024.0, cwnd=1 << 24)
    bench.seed(publication)
    peer = lab.HandPeer(bench, publication)
    peer.open(Request(0, 999))
    bench.advance(3.0)
    assert len(peer.take(Data)) <= 5
    bench.endpoint.set_upload_rate(None)
    bench.flush()
    assert len(peer.take(Data)) > 900


def test_a_rate_can_be_set_on_a_running_endpoint(lab):
    publication = lab.Publication(lab.pattern(1000 * 1024))
    bench = lab.Bench(cwnd=1 << 24)
    bench.seed(publication)
    peer = lab.HandPeer(bench, publication)
    bench.endpoint.set_upload_rate(10 * 1024.0)
    peer.open(Request(0, 999))
    bench.advance(2.0)
    assert 15 <= len(peer.take(Data)) <= 30
