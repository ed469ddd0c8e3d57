"""`ppsp.Endpoint`: its verbs, what goes in and comes out, many swarms, determinism."""

import math
from itertools import pairwise

import pytest

from ppsp import Endpoint, StateError, _limits
from ppsp.constants import ChunkAddressing, MerkleHashFunction
from ppsp.events import DatagramDropped, PeerConnected, PeerDisconnected, SwarmComplete
from ppsp.messages import Data, Handshake, Request


@pytest.fixture
def bench(lab, seven):
    """A seeder of the RFC's seven chunks."""
    bench = lab.Bench()
    bench.seed(seven)
    return bench


# Verbs


def test_a_new_endpoint_waits_for_nothing(lab):
    endpoint = Endpoint(controller=lab.fixed_window())
    assert endpoint.get_timer() is None
    assert endpoint.next_event() is None
    assert list(endpoint.datagrams_to_send(0.0)) == []
    endpoint.handle_timer(0.0)
    endpoint.close(0.0)


def test_a_swarm_can_be_added_once(lab, bench, seven):
    with pytest.raises(StateError):
        bench.endpoint.add_swarm(seven.metadata(), store=lab.Store())
    assert bench.endpoint.stats(seven.root).chunks_held == 7


def test_verbs_about_a_swarm_that_is_not_there_are_refused(bench):
    unknown = bytes(32)
    with pytest.raises(StateError):
        bench.endpoint.connect(unknown, ("192.0.2.1", 1), 0.0)
    with pytest.raises(StateError):
        bench.endpoint.remove_swarm(unknown, 0.0)
    with pytest.raises(StateError):
        bench.endpoint.stats(unknown)
    with pytest.raises(StateError):
        bench.endpoint.disconnect(unknown, ("192.0.2.1", 1), 0.0)
    assert bench.channels == 0


def test_a_channel_is_closed_with_a_word_and_the_peer_may_come_back(lab, bench, seven):
    """RFC 7574 section 3.1.1, step 8"""
    peer = lab.HandPeer(bench, seven)
    peer.open()
    bench.mail.clear()
    bench.endpoint.disconnect(seven.root, peer.address, bench.now)
    bench.flush()
    assert bench.channels == 0
    (closing,) = peer.take(Handshake)
    assert closing.source_channel == 0
    (event,) = bench.events(PeerDisconnected)
    assert event.address == peer.address
    peer.open()
    assert bench.channels == 1


def test_a_channel_that_nobody_has_answered_is_given_up_without_a_word(bench, seven):
    address = ("192.0.2.77", 7)
    bench.endpoint.connect(seven.root, address, bench.now)
    bench.flush()
    bench.mail.clear()
    bench.endpoint.disconnect(seven.root, address, bench.now)
    bench.endpoint.disconnect(seven.root, address, bench.now)
    bench.advance(5.0)
    assert bench.channels == 0
    assert not bench.mail
    assert bench.events(PeerDisconnected) == []


def test_a_channel_that_a_peer_is_opening_is_left_to_open(lab, bench, seven):
    peer = lab.HandPeer(bench, seven)
    peer.hello()
    bench.endpoint.disconnect(seven.root, peer.address, bench.now)
    bench.flush()
    assert bench.channels == 1


def test_a_swarm_can_be_left_and_joined_again(lab, bench, seven):
    peer = lab.HandPeer(bench, seven)
    peer.open()
    bench.endpoint.remove_swarm(seven.root, bench.now)
    bench.flush()
    assert bench.channels == 0
    bench.seed(seven)
    bench.mail.clear()
    peer.open(Request(3, 3))
    assert [data.start for data in peer.take(Data)] == [3]


def test_nothing_is_sent_for_a_swarm_that_was_left(lab, bench, seven):
    """Requests were waiting, chunks were in flight."""
    peer = lab.HandPeer(bench, seven)
    peer.open()
    peer.take()
    peer.send(Request(0, 6), flush=False)
    bench.endpoint.remove_swarm(seven.root, bench.now)
    bench.flush()
    assert peer.take() == [Handshake(0)]
    bench.advance(300.0)
    assert peer.raw() == []
    assert bench.endpoint.get_timer() is None


def test_closing_leaves_every_swarm(lab, bench, seven):
    other = lab.Publication(lab.pattern(3000))
    bench.seed(other)
    first, second = lab.HandPeer(bench, seven), lab.HandPeer(bench, other, host=50, channel=50)
    first.open()
    second.open()
    bench.mail.clear()
    bench.endpoint.close(bench.now)
    bench.flush()
    assert first.take() == second.take() == [Handshake(0)]
    with pytest.raises(StateError):
        bench.endpoint.stats(seven.root)
    assert bench.endpoint.get_timer() is None or bench.endpoint.get_timer() > bench.now


def test_leaving_while_a_handshake_is_unanswered_says_nothing(lab, bench, seven):
    """The peer's channel ID is not known, so no close can be addressed."""
    peer = lab.HandPeer(bench, seven)
    peer.invite()
    bench.endpoint.remove_swarm(seven.root, bench.now)
    bench.flush()
    assert peer.raw() == []
    assert bench.channels == 0


def test_a_second_connection_to_the_same_peer_is_not_opened(lab, bench, seven):
    peer = lab.HandPeer(bench, seven)
    assert bench.endpoint.connect(seven.root, peer.address, bench.now)
    assert not bench.endpoint.connect(seven.root, peer.address, bench.now)
    bench.flush()
    peer.heard()
    peer.reply()
    assert not bench.endpoint.connect(seven.root, peer.address, bench.now)
    assert bench.channels == 1


def test_a_peer_that_left_can_be_called_again(lab, bench, seven):
    peer = lab.HandPeer(bench, seven)
    peer.open()
    peer.send(Handshake(0))
    bench.mail.clear()
    peer.accept()
    assert len(bench.events(PeerConnected)) == 2


def test_any_hashable_address_will_do(lab, bench, seven):
    """IPv6 sockets give four-tuples."""
    peer = lab.HandPeer(bench, seven)
    peer.address = ("2001:db8::1", 6778, 0, 3)
    peer.open(Request(0, 0))
    assert peer.take(Data)


@pytest.mark.parametrize("rate", [0, -1, 0.0, math.nan])
def test_an_upload_rate_that_would_send_nothing_is_refused(lab, rate):
    with pytest.raises(ValueError, match="rate"):
        Endpoint(controller=lab.fixed_window(), upload_rate=rate)
    endpoint = Endpoint(controller=lab.fixed_window(), upload_rate=1000)
    with pytest.raises(ValueError, match="rate"):
        endpoint.set_upload_rate(rate)


def test_each_channel_has_a_controller_of_its_own_made_for_the_chunk_size(lab, bench, seven):
    """Section 8.15: congestion is a matter of one path."""
    sizes = []

    def factory(chunk_size):
        sizes.append(chunk_size)
        return lab.FixedWindow(1 << 20)

    bench = lab.Bench(controller=factory)
    bench.seed(seven)
    for host in range(3):
        lab.HandPeer(bench, seven, host=host, channel=host + 1).open()
    assert sizes == [1024, 1024, 1024]


# Input


@pytest.mark.parametrize("octets", [b"", b"\0", b"\1\2\3"])
def test_a_datagram_shorter_than_a_channel_id_is_reported_and_dropped(bench, octets):
    bench.receive(octets, ("192.0.2.1", 1))
    (event,) = bench.events(DatagramDropped)
    assert event.address == ("192.0.2.1", 1)


def test_a_datagram_from_another_address_is_dropped(lab, bench, seven):
    """Channel and source address must agree: an eavesdropper elsewhere cannot speak for the peer."""
    peer, thief = lab.HandPeer(bench, seven), lab.HandPeer(bench, seven, host=66)
    peer.open()
    peer.take()
    thief.send(Request(0, 6), to=peer.remote)
    assert peer.raw() == thief.raw() == []
    thief.send(Handshake(0), to=peer.remote)
    assert bench.channels == 1
    assert len(bench.events(DatagramDropped)) == 2


def test_the_buffer_of_a_datagram_may_be_used_again_at_once(lab, seven):
    """The driver's memory: valid during the call only."""
    network = lab.Network()
    source = network.host().seed(seven)
    fetcher = network.host().leech(seven).connect(source)
    buffer = bytearray(2000)
    for host in (source, fetcher):
        receive = host.endpoint.receive_datagram

        def through(data, address, now, *, receive=receive):
            buffer[: len(data)] = data
            receive(memoryview(buffer)[: len(data)], address, now)
            buffer[:] = b"\xaa" * len(buffer)

        host.endpoint.receive_datagram = through
    network.run(lambda: fetcher.complete, seconds=5.0)
    assert bytes(fetcher.store.octets) == seven.content


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_datagram_may_come_in_any_buffer(lab, seven, kind):
    network = lab.Network()
    source = network.host().seed(seven)
    fetcher = network.host().leech(seven).connect(source)
    for host in (source, fetcher):
        receive = host.endpoint.receive_datagram
        host.endpoint.receive_datagram = lambda data, address, now, receive=receive: receive(
            kind(bytes(data)), address, now
        )
    network.run(lambda: fetcher.complete, seconds=5.0)
    assert bytes(fetcher.store.octets) == seven.content


# Output


def test_a_call_returns_a_bounded_burst(lab):
    """The driver calls again until there is nothing more."""
    publication = lab.Publication(lab.pattern(3000 * 1024))
    bench = lab.Bench(cwnd=1 << 24)
    bench.seed(publication)
    peer = lab.HandPeer(bench, publication)
    peer.open()
    peer.send(Request(0, 2999), flush=False)
    sizes = []
    while datagrams := bench.endpoint.datagrams_to_send(bench.now):
        sizes.append(len(datagrams))
    assert len(sizes) > 5
    assert max(sizes) <= 2 * _limits.FLUSH_CHUNKS
    assert sum(sizes) >= 3000


def test_several_peers_share_the_bursts(lab):
    publication = lab.Publication(lab.pattern(3000 * 1024))
    bench = lab.Bench(cwnd=1 << 24)
    bench.seed(publication)
    everyone = [lab.HandPeer(bench, publication, host=n, channel=n + 1) for n in range(8)]
    for peer in everyone:
        peer.open()
    for peer in everyone:
        peer.send(Request(0, 2999), flush=False)
    served = {}
    for _ in range(8):
        for _, address in bench.endpoint.datagrams_to_send(bench.now):
            served[address] = served.get(address, 0) + 1
    assert len(served) == 8
    assert max(served.values()) < 2 * min(served.values())


def test_runs_of_equal_size_to_one_address_stand_together(lab):
    """The driver hands a run to the kernel in one call."""
    publication = lab.Publication(lab.pattern(512 * 1024))
    bench = lab.Bench(cwnd=1 << 24)
    bench.seed(publication, content_size=512 * 1024)
    everyone = [lab.HandPeer(bench, publication, host=n, channel=n + 1) for n in range(4)]
    for peer in everyone:
        peer.open()
    for peer in everyone:
        peer.send(Request(0, 255), flush=False)
    out = []
    while datagrams := bench.endpoint.datagrams_to_send(bench.now):
        out += [(address, len(lab.joined(datagram))) for datagram, address in datagrams]
    runs = 1 + sum(1 for before, after in pairwise(out) if before != after)
    assert len(out) / runs > 6


def test_payloads_are_not_copied_into_the_datagram(lab, bench, seven):
    """A datagram of a chunk is a header and a view."""
    peer = lab.HandPeer(bench, seven)
    peer.open()
    peer.send(Request(1, 1), flush=False)
    ((datagram, address),) = bench.endpoint.datagrams_to_send(bench.now)
    assert address == peer.address
    header, payload = datagram
    assert isinstance(payload, memoryview)
    assert bytes(payload) == seven.chunks[1]
    assert bytes(header).endswith(int(bench.now * 1e6).to_bytes(8, "big"))


def test_the_timestamp_counts_from_the_epoch(lab, seven):
    """microseconds since 1970 where the epoch is given."""
    bench = lab.Bench(epoch=1_700_000_000.0, now=5.0)
    bench.seed(seven)
    peer = lab.HandPeer(bench, seven)
    peer.open(Request(1, 1))
    assert peer.take(Data)[0].timestamp_us == 1_700_000_005_000_000


# Many swarms


def test_two_swarms_share_an_address(lab, seven):
    """Section 3.11: channels, "to allow multiple swarms to use the same transport address"."""
    other = lab.Publication(lab.pattern(50_000), hash_function=MerkleHashFunction.SHA1)
    network = lab.Network()
    source, fetcher = network.host(), network.host()
    first, second = source.seed(seven).store, source.seed(other, chunk_addressing=ChunkAddressing.CHUNK64).store
    mine = fetcher.leech(seven).connect(source).store
    other_mine = fetcher.leech(other, chunk_addressing=ChunkAddressing.CHUNK64).connect(source).store
    network.run(lambda: len(fetcher.seen(SwarmComplete)) == 2, seconds=10.0)
    assert bytes(mine.octets) == bytes(first.octets) == seven.content
    assert bytes(other_mine.octets) == bytes(second.octets) == other.content
    assert len(source.endpoint._channels) == 2


def test_leaving_one_swarm_leaves_the_others_alone(lab, bench, seven):
    other = lab.Publication(lab.pattern(3000))
    bench.seed(other)
    first = lab.HandPeer(bench, seven)
    second = lab.HandPeer(bench, other, channel=0x0B0B0B0B)  # the same address: two channels
    first.open()
    bench.mail.clear()
    second.open()
    bench.mail.clear()
    bench.endpoint.remove_swarm(seven.root, bench.now)
    bench.flush()
    bench.mail.clear()
    second.send(Request(0, 2))
    assert len(second.take(Data)) == 3


# Determinism


def script(lab, publication, seed):
    """A lossy swarm; everything that was sent, in order."""
    network = lab.Network(seed=seed, loss=0.05, reorder=0.05, duplicate=0.05)
    network.record = []
    source = network.host(upload_rate=400_000).seed(publication)
    fetchers = [network.host().leech(publication) for _ in range(3)]
    for number, fetcher in enumerate(fetchers):
        fetcher.connect(source, *fetchers[:number])
    network.run(lambda: all(fetcher.complete for fetcher in fetchers), seconds=60.0)
    return network.record, [host.events for host in network.hosts.values()]


def test_the_same_seed_gives_the_same_octets(lab):
    """Shared design: same inputs, same source of chance: same octets, times and events."""
    publication = lab.Publication(lab.pattern(200 * 1024))
    first, second = script(lab, publication, 11), script(lab, publication, 11)
    assert first == second
    assert len(first[0]) > 400
    assert script(lab, publication, 12)[0] != first[0]
