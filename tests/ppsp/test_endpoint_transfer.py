"""Whole transfers between endpoints in virtual time: sizes, hash functions, losses, deaths."""

import pytest

from ledbat import Ledbat
from ppsp._ranges import RangeSet
from ppsp.codec import Codec
from ppsp.constants import ChunkAddressing, MerkleHashFunction
from ppsp.events import (
    ChunkRefused,
    ChunksVerified,
    DatagramDropped,
    PeerConnected,
    PeerDisconnected,
    SizeKnown,
    SwarmComplete,
)
from ppsp.merkle import MerkleTree
from ppsp.messages import Choke, Have, Request

SIZES = [
    pytest.param(1, id="one octet"),
    pytest.param(13, id="13 octets"),
    pytest.param(1023, id="a chunk less one octet"),
    pytest.param(1024, id="one chunk"),
    pytest.param(1025, id="a chunk and an octet"),
    pytest.param(2048, id="two chunks"),
    pytest.param(7162, id="seven chunks"),
    pytest.param(8192, id="eight chunks"),
    pytest.param(64 * 1024, id="64 chunks"),
    pytest.param(65 * 1024 - 1, id="65 chunks"),
    pytest.param(128 * 1024, id="128 chunks"),
]


def pair(lab, publication, *, source=None, fetcher=None, network=None, **metadata):
    """A source and a fetcher that connects to it, run to the end; returns the network and both."""
    network = network or lab.Network()
    first = network.host(**(source or {})).seed(publication, **metadata)
    second = network.host(**(fetcher or {})).leech(publication, **metadata).connect(first)
    network.run(lambda: second.complete, seconds=120.0)
    assert bytes(second.store.octets) == publication.content
    return network, first, second


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("knows", [False, True], ids=["size detection", "size in the metadata"])
@pytest.mark.parametrize("function", [MerkleHashFunction.SHA1, MerkleHashFunction.SHA256], ids=["SHA-1", "SHA-256"])
def test_content_of_any_size_arrives(lab, size, knows, function):
    """Sections 5.1, 5.2, 5.6, 7.6."""
    publication = lab.Publication(lab.pattern(size), hash_function=function)
    network, _, fetcher = pair(lab, publication, **({"content_size": size} if knows else {}))
    (complete,) = fetcher.seen(SwarmComplete)
    assert complete.content_size == size
    assert len(fetcher.seen(SizeKnown)) == (0 if knows else 1)
    assert network.now - 1000.0 < 2.0


@pytest.mark.parametrize("addressing", [ChunkAddressing.CHUNK32, ChunkAddressing.CHUNK64])
@pytest.mark.parametrize("chunk_size", [512, 1024, 8192, 60_000])
def test_content_arrives_under_both_addressing_methods_and_any_chunk_size(lab, addressing, chunk_size):
    """Sections 7.8 (both MUST) and 8.1 (512 SHOULD be the least, 1024 is RECOMMENDED)."""
    publication = lab.Publication(lab.pattern(20 * chunk_size - 7), chunk_size=chunk_size)
    pair(lab, publication, source={"cwnd": 400_000}, chunk_addressing=addressing)


def test_a_thousand_and_more_chunks_arrive(lab):
    publication = lab.Publication(lab.pattern(2500 * 1024 - 100))
    _, source, fetcher = pair(lab, publication)
    (figures,) = fetcher.stats.peers
    assert figures.chunks_received == 2500
    assert figures.chunks_unverifiable == figures.chunks_refused == 0
    assert source.stats.peers[0].chunks_sent == 2500  # nothing twice on a path that loses nothing
    assert source.stats.peers[0].chunks_lost == 0


@pytest.mark.parametrize(
    ("size", "function"),
    [(64, MerkleHashFunction.SHA256), (40, MerkleHashFunction.SHA1)],
    ids=["SHA-256", "SHA-1"],
)
def test_content_as_long_as_two_hashes_arrives_when_the_metadata_give_its_size(lab, size, function):
    """Such a chunk could be an inner node of the tree; with the size given there is no doubt (section 3.1 f)."""
    publication = lab.Publication(lab.pattern(size), hash_function=function)
    pair(lab, publication, content_size=size)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_a_last_chunk_as_long_as_two_hashes_does_not_stop_size_detection(lab, count):
    """Section 5.6: 64 octets of a chunk that could be two SHA-256 hashes."""
    publication = lab.Publication(lab.pattern((count - 1) * 1024 + 64))
    network, _, _ = pair(lab, publication)
    assert network.now - 1000.0 < 10.0


def test_a_fetcher_tells_what_arrived_and_when_the_size_is_known(lab, seven):
    _, _, fetcher = pair(lab, seven)
    kinds = [type(event) for event in fetcher.events]
    assert kinds[0] is PeerConnected
    assert kinds.index(SizeKnown) < kinds.index(SwarmComplete)
    seen = sorted(chunk for event in fetcher.seen(ChunksVerified) for chunk in range(event.start, event.stop))
    assert seen == list(range(7))


def test_a_resumed_fetcher_asks_only_for_what_it_lacks(lab, seven):
    """It has the first four chunks and their hashes."""
    network = lab.Network()
    source = network.host().seed(seven)
    fetcher = network.host()
    tree = MerkleTree(seven.root, seven.hash_function)
    tree.set_chunk_count(7)
    for chunk in range(4):
        tree.verify(chunk, seven.chunks[chunk], {(start, end): digest for start, end, digest in seven.uncles(chunk)})
    fetcher.store = lab.Store(seven.content[:4096])
    fetcher.swarm_id = seven.root
    fetcher.endpoint.add_swarm(
        seven.metadata(content_size=7162), store=fetcher.store, tree=tree, have=RangeSet([(0, 4)])
    )
    fetcher.connect(source)
    network.run(lambda: fetcher.complete, seconds=5.0)
    assert bytes(fetcher.store.octets) == seven.content
    assert source.stats.peers[0].chunks_sent == 3


@pytest.mark.parametrize("loss", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_lossy_reordering_repeating_path_delivers_every_octet(lab, loss, seed):
    publication = lab.Publication(lab.pattern(400 * 1024 + 17))
    network = lab.Network(seed=seed, loss=loss, reorder=loss, duplicate=loss)
    _, _, fetcher = pair(lab, publication, network=network)
    assert fetcher.seen(ChunkRefused) == []


@pytest.mark.parametrize("loss", [0.01, 0.05, 0.2])
def test_a_lossy_path_delivers_every_octet_under_ledbat(lab, loss):
    """Section 8: "MUST use LEDBAT for congestion control"."""
    publication = lab.Publication(lab.pattern(200 * 1024 + 17))
    network = lab.Network(seed=5, loss=loss, reorder=loss, duplicate=loss)
    pair(lab, publication, network=network, source={"controller": lambda chunk_size: Ledbat(mss=chunk_size)})


def test_ledbat_fills_a_path_that_loses_nothing(lab):
    publication = lab.Publication(lab.pattern(2000 * 1024))
    network, source, _ = pair(lab, publication, source={"controller": lambda chunk_size: Ledbat(mss=chunk_size)})
    assert network.now - 1000.0 < 3.0
    assert source.stats.peers[0].chunks_lost == 0


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_swarm_of_six_delivers_every_octet_to_each(lab, loss, seed):
    """A source with a capped upload and five peers that all know one another."""
    publication = lab.Publication(lab.pattern(300 * 1024 + 3))
    network = lab.Network(seed=seed, loss=loss, reorder=loss, duplicate=loss)
    source = network.host(upload_rate=200_000).seed(publication)
    fetchers = [network.host().leech(publication) for _ in range(5)]
    for number, fetcher in enumerate(fetchers):
        fetcher.connect(source, *fetchers[:number])
    network.run(lambda: all(fetcher.complete for fetcher in fetchers), seconds=120.0)
    for fetcher in fetchers:
        assert bytes(fetcher.store.octets) == publication.content
        assert fetcher.seen(ChunkRefused) == []


def test_peers_help_each_other_when_the_source_is_capped(lab):
    """Five copies through a source that has the time for hardly more than one."""
    publication = lab.Publication(lab.pattern(1000 * 1024))
    network = lab.Network()
    source = network.host(upload_rate=200_000).seed(publication)
    fetchers = [network.host().leech(publication) for _ in range(5)]
    for number, fetcher in enumerate(fetchers):
        fetcher.connect(source, *fetchers[:number])
    network.run(lambda: all(fetcher.complete for fetcher in fetchers), seconds=60.0)
    alone = 5 * 1000 * 1024 / 200_000
    assert network.now - 1000.0 < alone / 2
    sent = [sum(peer.chunks_sent for peer in host.stats.peers) for host in (source, *fetchers)]
    assert sum(sent[1:]) > 2 * sent[0]
    assert all(sent[1:])


def test_little_is_sent_twice_in_a_swarm_that_loses_nothing(lab):
    """Requests are disjoint (section 2.2); only takeovers may double a chunk."""
    publication = lab.Publication(lab.pattern(600 * 1024))
    network = lab.Network()
    source = network.host(upload_rate=300_000).seed(publication)
    fetchers = [network.host().leech(publication) for _ in range(4)]
    for number, fetcher in enumerate(fetchers):
        fetcher.connect(source, *fetchers[:number])
    network.run(lambda: all(fetcher.complete for fetcher in fetchers), seconds=60.0)
    sent = sum(peer.chunks_sent for host in (source, *fetchers) for peer in host.stats.peers)
    assert sent < 1.05 * 4 * 600


def held(hosts):
    """The chunks that the hosts hold together."""
    return {
        chunk
        for host in hosts
        for start, stop in host.endpoint._swarms[host.swarm_id].content.have
        for chunk in range(start, stop)
    }


@pytest.mark.parametrize("loss", [0.0, 0.05])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_source_may_die_once_the_swarm_holds_everything(lab, loss, seed):
    """Issue 2: kill -9 of the source."""
    publication = lab.Publication(lab.pattern(300 * 1024 + 3))
    network = lab.Network(seed=seed, loss=loss)
    source = network.host(upload_rate=200_000).seed(publication)
    fetchers = [network.host().leech(publication) for _ in range(4)]
    for number, fetcher in enumerate(fetchers):
        fetcher.connect(source, *fetchers[:number])
    network.run(lambda: len(held(fetchers)) == publication.count, seconds=60.0)
    source.kill()
    died = network.now
    network.run(lambda: all(fetcher.complete for fetcher in fetchers), seconds=90.0)
    assert network.now - died < 90.0
    for fetcher in fetchers:
        assert bytes(fetcher.store.octets) == publication.content


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_peer_may_die(lab, seed):
    """Issue 2: kill -9 of one peer in the middle; the others finish, and soon."""
    publication = lab.Publication(lab.pattern(400 * 1024))
    network = lab.Network(seed=seed)
    source = network.host(upload_rate=200_000).seed(publication)
    fetchers = [network.host().leech(publication) for _ in range(4)]
    for number, fetcher in enumerate(fetchers):
        fetcher.connect(source, *fetchers[:number])
    network.run(lambda: fetchers[0].stats.chunks_held > 150, seconds=60.0)
    fetchers[0].kill()
    network.run(lambda: all(fetcher.complete for fetcher in fetchers[1:]), seconds=20.0)
    network.run_for(200.0)
    assert all(fetcher.seen(PeerDisconnected) for fetcher in fetchers[1:])


def test_a_peer_that_leaves_is_forgotten_at_once(lab):
    """Section 8.4: an explicit close."""
    publication = lab.Publication(lab.pattern(400 * 1024))
    network = lab.Network()
    source = network.host(upload_rate=200_000).seed(publication)
    fetchers = [network.host().leech(publication) for _ in range(3)]
    for number, fetcher in enumerate(fetchers):
        fetcher.connect(source, *fetchers[:number])
    network.run(lambda: fetchers[0].stats.chunks_held > 100, seconds=60.0)
    fetchers[0].endpoint.close(network.now)
    fetchers[0].flush()
    network.run(lambda: all(fetcher.complete for fetcher in fetchers[1:]), seconds=20.0)
    assert all(len(fetcher.seen(PeerDisconnected)) == 1 for fetcher in (source, *fetchers[1:]))


def test_a_source_that_comes_back_is_used_again(lab):
    """It restarts on the same address and forgot every channel."""
    publication = lab.Publication(lab.pattern(400 * 1024))
    network = lab.Network()
    source = network.host(upload_rate=200_000).seed(publication)
    fetcher = network.host().leech(publication).connect(source)
    network.run(lambda: fetcher.stats.chunks_held > 100, seconds=60.0)
    source.kill()
    network.run_for(3.0)
    held_then = fetcher.stats.chunks_held
    again = network.host(upload_rate=200_000).seed(publication)
    again.address = source.address
    network.hosts[source.address] = again
    again.swarm_id = publication.root
    again.connect(fetcher)
    network.run(lambda: fetcher.complete, seconds=30.0)
    assert held_then < 400
    assert bytes(fetcher.store.octets) == publication.content


@pytest.mark.parametrize("lost", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("side", ["source", "fetcher"])
@pytest.mark.parametrize("initiator", ["source", "fetcher"])
def test_any_single_datagram_of_the_opening_may_be_lost(lab, seven, initiator, side, lost):
    """The first five of either side; nothing may hang for long."""
    network = lab.Network()
    source = network.host().seed(seven)
    fetcher = network.host().leech(seven)
    hosts = {"source": source, "fetcher": fetcher}
    carry, count = network.carry, {source.address: 0, fetcher.address: 0}

    def lossy(host, address, octets):
        count[host.address] += 1
        if host is not hosts[side] or count[host.address] != lost:
            carry(host, address, octets)

    network.carry = lossy
    caller, called = (source, fetcher) if initiator == "source" else (fetcher, source)
    caller.swarm_id = seven.root
    caller.connect(called)
    network.run(lambda: fetcher.complete, seconds=15.0)
    assert bytes(fetcher.store.octets) == seven.content


def test_the_third_datagram_of_a_seeder_may_be_lost(lab, seven):
    """It carries the only HAVE; the channel must not stay half open with nothing said."""
    network = lab.Network()
    source = network.host().seed(seven)
    fetcher = network.host().leech(seven)
    carry, count = network.carry, [0]

    def lossy(host, address, octets):
        if host is source:
            count[0] += 1
            if count[0] == 2:
                return
        carry(host, address, octets)

    network.carry = lossy
    source.connect(fetcher)
    network.run(lambda: fetcher.complete, seconds=20.0)
    assert count[0] > 2


def test_a_leecher_that_called_a_leecher_is_not_forgotten(lab, seven):
    """Its third datagram was lost, and it has nothing to say; later the other has something to offer."""
    network = lab.Network()
    first = network.host().leech(seven)
    second = network.host().leech(seven)
    carry, count = network.carry, [0]

    def lossy(host, address, octets):
        if host is second:
            count[0] += 1
            if count[0] == 2:
                return
        carry(host, address, octets)

    network.carry = lossy
    second.connect(first)
    network.run_for(30.0)
    source = network.host().seed(seven)
    first.connect(source)
    network.run(lambda: second.complete, seconds=10.0)


@pytest.mark.parametrize("blackout", [1.0, 5.0, 30.0, 170.0])
def test_a_transfer_survives_a_blackout(lab, blackout):
    """Shorter than the three minutes of section 3.12: requests lapse, timeouts back off, then it goes on."""
    publication = lab.Publication(lab.pattern(300 * 1024))
    network = lab.Network()
    source = network.host(upload_rate=100_000).seed(publication)
    fetcher = network.host().leech(publication).connect(source)
    network.run_for(1.0)
    network.loss = 1.0
    network.run_for(blackout)
    network.loss = 0.0
    network.run(lambda: fetcher.complete, seconds=100.0)
    assert bytes(fetcher.store.octets) == publication.content


def test_a_long_path_is_used_fully(lab):
    """300 ms one way: the window of requests grows with the rate."""
    publication = lab.Publication(lab.pattern(3000 * 1024))
    network, _, _ = pair(lab, publication, network=lab.Network(delay=0.3), source={"cwnd": 600_000})
    assert network.now - 1000.0 < 12.0


def test_a_fetcher_becomes_a_source(lab, seven):
    """What it verified it serves, hashes and peaks included."""
    network = lab.Network()
    source = network.host().seed(seven)
    middle = network.host().leech(seven).connect(source)
    network.run(lambda: middle.complete, seconds=5.0)
    source.kill()
    last = network.host().leech(seven).connect(middle)
    network.run(lambda: last.complete, seconds=5.0)
    assert bytes(last.store.octets) == seven.content


def test_a_chain_of_peers_passes_the_content_on(lab):
    """Nobody but the first knows the source."""
    publication = lab.Publication(lab.pattern(200 * 1024))
    network = lab.Network()
    hosts = [network.host().seed(publication)]
    for _ in range(4):
        hosts.append(network.host().leech(publication))
        hosts[-1].connect(hosts[-2])
    network.run(lambda: all(host.complete for host in hosts), seconds=30.0)
    assert all(bytes(host.store.octets) == publication.content for host in hosts)


def test_nobody_is_told_about_chunks_it_has(lab):
    """Section 3.2: SHOULD NOT send HAVE to who has everything; the source hears hardly anything but ACKs."""
    publication = lab.Publication(lab.pattern(300 * 1024))
    network = lab.Network()
    network.record = []
    source = network.host().seed(publication)
    fetcher = network.host().leech(publication).connect(source)
    network.run(lambda: fetcher.complete, seconds=10.0)
    network.run_for(100.0)
    codec = Codec(ChunkAddressing.CHUNK32, 32)
    haves = [
        message
        for _, sender, _, octets in network.record
        if sender == fetcher.address and octets[:4] != bytes(4)
        for message in codec.decode(octets)[0]
        if isinstance(message, Have)
    ]
    assert haves == []


def test_nothing_that_an_honest_swarm_sends_is_dropped(lab):
    """No DatagramDropped where nothing is lost and nobody leaves."""
    publication = lab.Publication(lab.pattern(300 * 1024))
    network = lab.Network()
    source = network.host(upload_rate=300_000).seed(publication)
    fetchers = [network.host().leech(publication) for _ in range(3)]
    for number, fetcher in enumerate(fetchers):
        fetcher.connect(source, *fetchers[:number])
    network.run(lambda: all(fetcher.complete for fetcher in fetchers), seconds=30.0)
    network.run_for(60.0)
    assert [event for host in network.hosts.values() for event in host.seen(DatagramDropped)] == []


def test_the_overhead_on_the_wire_is_small(lab):
    """Requirements 6.3: at most 7.5 % with SHA-256, everything both ways counted."""
    publication = lab.Publication(lab.pattern(3000 * 1024))
    _, source, fetcher = pair(lab, publication)
    assert source.octets_sent / len(publication.content) < 1.075
    assert fetcher.octets_sent / len(publication.content) < 0.02


def test_datagrams_fit_one_packet_on_the_whole_way(lab):
    """Section 8.1 SHOULD: 1452 octets of payload on a path of 1500 with IPv6."""
    publication = lab.Publication(lab.pattern(1500 * 1024))
    network = lab.Network(loss=0.02)
    network.record = []
    pair(lab, publication, network=network)
    assert max(len(octets) for _, _, _, octets in network.record) <= 1452


def test_a_choking_peer_is_left_alone_and_the_content_comes_from_others(lab, seven):
    """Section 2.1: Peer D."""
    bench = lab.Bench()
    store = bench.leech(seven)
    choking, good = lab.HandPeer(bench, seven, host=1, channel=1), lab.HandPeer(bench, seven, host=2, channel=2)
    choking.accept(choking.have_all(), Choke())
    good.accept(good.have_all())
    for _ in range(30):
        good.serve_requests()
        bench.advance(0.1)
    assert bytes(store.octets) == seven.content
    assert choking.take(Request) == []


def test_a_fetcher_and_a_seeder_that_close_end_clean(lab, seven):
    """Section 8.16's last datagram."""
    network, source, fetcher = pair(lab, seven)
    fetcher.endpoint.close(network.now)
    fetcher.flush()
    network.run_for(1.0)
    assert len(source.endpoint._channels) == len(fetcher.endpoint._channels) == 0
    assert [event.reason for event in source.seen(PeerDisconnected)] == ["the peer closed the channel"]
