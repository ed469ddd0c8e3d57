"""Peers that flood and send rubbish (section 12.6), and stores that fail: nothing raises, all stays bounded."""

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ppsp_hostile import TOP32, TOP64, fetch, seconds_for

from ppsp import _limits
from ppsp.events import ChunkRefused, DatagramDropped, StoreFailed, SwarmComplete
from ppsp.messages import Ack, Cancel, Choke, Data, Handshake, Have, Integrity, PexReq, Request, Unchoke

# Rubbish in any state


STATES = ["nothing", "opening", "half open", "open as leecher", "open as seeder", "closed"]


def in_state(lab, seven, name):
    """A bench and a peer in one of the states, and the channel ID to aim at."""
    bench = lab.Bench()
    if name == "open as seeder":
        bench.seed(seven)
    else:
        bench.leech(seven)
    peer = lab.HandPeer(bench, seven)
    if name == "opening":
        peer.invite()
        peer.remote = next(iter(bench.endpoint._channels))
    elif name == "half open":
        peer.hello()
        peer.remote = peer.take()[0].source_channel
    elif name != "nothing":
        peer.open(peer.have_all())
        if name == "closed":
            peer.send(Handshake(0))
    return bench, peer


@pytest.mark.parametrize("state", STATES)
@given(data=st.data())
@settings(max_examples=40)
def test_any_octets_in_any_state_raise_nothing(lab, seven, state, data):
    """Shared design, rule 1."""
    bench, peer = in_state(lab, seven, state)
    for _ in range(data.draw(st.integers(1, 5))):
        octets = data.draw(st.binary(max_size=200))
        peer.send_raw(octets, to=data.draw(st.sampled_from([0, peer.remote, 1, TOP32])))
        bench.receive(octets, peer.address)
    bench.advance(4.0)
    assert bench.channels <= 1


def chunk_specs():
    edges = st.sampled_from([0, 1, 6, 7, 8, 2**26, 2**31, TOP32 - 1, TOP32])
    return st.tuples(edges, edges).map(lambda pair: (min(pair), max(pair)))


def messages(seven):
    """Well-formed messages with absurd values."""
    spec = chunk_specs()
    u64 = st.sampled_from([0, 1, 2**63, TOP64])
    hashes = st.sampled_from([bytes(32), seven.root, seven.node(0, 3), seven.node(6, 6)])
    payloads = st.sampled_from([b"x", bytes(1024), *seven.chunks])
    return st.one_of(
        spec.map(lambda s: Have(*s)),
        spec.map(lambda s: Request(*s)),
        spec.map(lambda s: Cancel(*s)),
        st.builds(lambda s, d: Ack(*s, d), spec, u64),
        st.builds(lambda s, h: Integrity(*s, h), spec, hashes),
        st.builds(lambda n, t, p: Data(n, n, t, p), st.sampled_from([0, 5, 6, 7, 2**26, TOP32]), u64, payloads),
        st.sampled_from([Choke(), Unchoke(), PexReq(), Handshake(0), Handshake(0x01020304), Handshake(7)]),
    )


@pytest.mark.parametrize("state", STATES)
@given(data=st.data())
@settings(max_examples=40)
def test_any_messages_in_any_state_raise_nothing(lab, seven, state, data):
    bench, peer = in_state(lab, seven, state)
    for _ in range(data.draw(st.integers(1, 4))):
        parts = data.draw(st.lists(messages(seven), max_size=5))
        body = b"".join(peer.codec.encode(0, [message])[4:] for message in parts)
        peer.send_raw(body, to=data.draw(st.sampled_from([0, peer.remote])))
        bench.advance(data.draw(st.sampled_from([0.0, 0.03, 2.0])))
    bench.advance(2.0)
    assert bench.channels <= 1
    assert bench.endpoint.get_timer() is None or bench.endpoint.get_timer() >= bench.now


def traffic(lab, publication):
    """What an honest pair sends each other: (to the fetcher?, octets)."""
    network = lab.Network()
    network.record = []
    source = network.host().seed(publication)
    fetcher = network.host().leech(publication).connect(source)
    network.run(lambda: fetcher.complete, seconds=10.0)
    network.run_for(1.0)
    return [(address == fetcher.address, octets) for _, _, address, octets in network.record]


def mutate(octets, chance):
    """One of the usual small damages."""
    spoilt = bytearray(octets)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(4, max(5, len(spoilt)))
        match chance.randrange(5):
            case 0 if at < len(spoilt):
                spoilt[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(spoilt):
                spoilt[at] = chance.choice([0, 1, 0x7F, 0x80, 0xFF])
            case 2:
                del spoilt[at : at + chance.randrange(1, 20)]
            case 3:
                spoilt[at:at] = chance.randbytes(chance.randrange(1, 20))
            case _:
                spoilt = spoilt[:at] + spoilt[4:at]
    return bytes(spoilt)


@pytest.mark.parametrize("seed", range(12))
def test_damaged_traffic_raises_nothing_and_an_honest_peer_still_delivers(lab, seven, seed):
    """Every datagram of a real exchange, damaged, from a peer with a channel; then the content comes from another."""
    chance = random.Random(seed)
    recorded = traffic(lab, seven)
    bench = lab.Bench()
    store = bench.leech(seven)
    evil = lab.HandPeer(bench, seven, host=66, channel=66)
    for to_fetcher, octets in recorded:
        if not to_fetcher:
            continue
        if not bench.channels:
            evil.channel += 1
            evil.address = (f"192.0.2.{evil.channel % 250}", evil.channel)
            evil.hello()
            if answer := evil.take(Handshake):
                evil.remote = answer[0].source_channel
        for _ in range(10):
            spoilt = mutate(octets, chance)
            evil.send_raw(spoilt[4:], to=evil.remote)
            bench.receive(bytes(4) + spoilt[4:], evil.address)
    bench.mail.clear()
    good = lab.HandPeer(bench, seven, host=251, channel=0x0C0C0C0C)
    good.open(good.have_all())
    fetch(bench, good, 20.0)
    assert bytes(store.octets) == seven.content
    assert all(event.address != good.address for event in bench.events(ChunkRefused))


def test_garbage_on_channel_0_allocates_nothing(lab, seven):
    """Issue 2: any datagram; channels and memory are counted."""
    bench = lab.Bench()
    bench.seed(seven)
    chance = random.Random(1)
    good = lab.options_of(seven.metadata()).encode()

    def flood(count):
        for number in range(count):
            address = (f"10.{number % 200}.{number // 200 % 200}.1", 6778)
            body = chance.randbytes(chance.randrange(80))
            if number % 2:
                cut = chance.randrange(len(good) - 4)
                body = b"\0" + chance.randbytes(4) + good[:cut] + chance.randbytes(3)
            bench.endpoint.receive_datagram(bytes(4) + body, address, bench.now)
        bench.events()

    flood(500)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    flood(5000)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert bench.channels == 0
    assert bench.endpoint.datagrams_to_send(bench.now) == []
    assert bench.endpoint.get_timer() is None
    assert grown < 20_000


def test_unread_events_do_not_fill_memory(lab, seven):
    bench = lab.Bench()
    bench.seed(seven)
    for number in range(5000):
        bench.endpoint.receive_datagram(b"junk" * 3, ("192.0.2.1", number), bench.now)
    assert len(bench.events(DatagramDropped)) <= _limits.MAX_JUNK_EVENTS


# Threats named one by one in section 12.6


def test_a_peer_that_claims_what_it_does_not_have_delays_little(lab, seven):
    """HAVE.1: it never responds."""
    bench = lab.Bench()
    store = bench.leech(seven, content_size=7162)
    liars = [lab.HandPeer(bench, seven, host=n, channel=n + 1) for n in range(5)]
    for liar in liars:
        liar.open(liar.have_all())
    good = lab.HandPeer(bench, seven, host=99, channel=99)
    good.open(good.have_all())
    start = bench.now
    while bytes(store.octets) != seven.content and bench.now < start + 30.0:
        good.serve_requests()
        bench.advance(0.05)
    assert bench.now - start < 15.0


def test_a_peer_that_unchokes_and_does_not_respond_is_a_slow_peer(lab, seven):
    """UNCHOKE.2."""
    bench = lab.Bench()
    bench.leech(seven, content_size=7162)
    liar, other = lab.HandPeer(bench, seven, host=1, channel=1), lab.HandPeer(bench, seven, host=2, channel=2)
    liar.open(liar.have_all())
    other.open(other.have_all())
    asked = 0
    for _ in range(600):
        asked += len(liar.take(Request))
        liar.send(Unchoke())
        bench.advance(0.1)
    assert asked < 40


def test_choking_and_unchoking_without_end_is_cheap(lab, seven):
    bench = lab.Bench()
    bench.leech(seven, content_size=7162)
    peer = lab.HandPeer(bench, seven)
    peer.open(peer.have_all())
    spent = seconds_for(lambda: [peer.send(*[Choke(), Unchoke()] * 300) for _ in range(50)])
    assert spent < 5.0
    assert bench.channels == 1


def test_a_spoofed_request_sends_nothing_to_its_victim(lab, seven):
    """Section 12.6.11: only who did the handshake gets DATA."""
    bench = lab.Bench()
    bench.seed(seven)
    peer, victim = lab.HandPeer(bench, seven, host=1, channel=1), ("198.51.100.7", 6778)
    peer.open()
    peer.take()
    for channel in (peer.remote, 0, 1):
        bench.receive(peer.codec.encode(channel, [Request(0, 6)]), victim)
    assert victim not in bench.mail
    assert peer.raw() == []


def test_a_little_junk_on_an_open_channel_is_reported_and_harms_nothing(lab, seven):
    bench = lab.Bench()
    store = bench.leech(seven)
    peer = lab.HandPeer(bench, seven)
    peer.open(peer.have_all())
    for _ in range(_limits.MAX_INVALID - 1):
        peer.send_raw(b"\xfe" + bytes(50))
    fetch(bench, peer)
    assert bytes(store.octets) == seven.content
    assert bench.events(DatagramDropped)


# Stores that fail


def test_a_store_that_fails_now_and_then_raises_nothing_out_of_the_endpoint(lab):
    publication = lab.Publication(lab.pattern(100 * 1024))
    network = lab.Network(loss=0.05)
    source = network.host().seed(publication)
    fetcher = network.host().leech(publication).connect(source)
    chance = random.Random(2)
    for _ in range(2000):
        source.store.fail_reads = chance.random() < 0.3
        network.run_for(0.05)
        if fetcher.complete:
            break
    assert bytes(fetcher.store.octets) == publication.content
    assert source.seen(StoreFailed)


def test_a_store_that_cannot_write_leaves_everything_else_running(lab, seven):
    other = lab.Publication(lab.pattern(5000))
    network = lab.Network()
    source = network.host()
    source.seed(seven)
    source.seed(other)
    fetcher = network.host()
    broken = fetcher.leech(seven).connect(source).store
    broken.fail_writes = True
    fetcher.leech(other).connect(source)
    network.run(lambda: fetcher.complete, seconds=5.0)
    assert [event.swarm_id for event in fetcher.seen(StoreFailed)] == [seven.root]
    assert [event.swarm_id for event in fetcher.seen(SwarmComplete)] == [other.root]
    network.run_for(100.0)


def test_a_store_with_too_little_in_it_serves_what_it_has(lab, seven):
    """The file was truncated behind our back."""
    bench = lab.Bench()
    store = bench.seed(seven)
    del store.octets[3000:]
    peer = lab.HandPeer(bench, seven)
    peer.open(Request(0, 1))
    assert {data.start for data in peer.take(Data)} == {0, 1}
    peer.send(Request(5, 6))
    assert peer.take(Data) == []
    assert bench.events(StoreFailed)
