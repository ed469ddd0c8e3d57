"""Swarms of chunks of variable size (RFC 7574 section 7.11) between endpoints in virtual time, and hostile peers."""

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledbat import Ledbat
from ppsp import publish_chunks
from ppsp._limits import MAX_DATAGRAM
from ppsp._ranges import RangeSet
from ppsp._unit_codecs import codec_of
from ppsp._variable_content import VariableContent
from ppsp._variable_upload import VariableUpload
from ppsp.constants import MAX_CHUNK_SIZE, VARIABLE_CHUNK_SIZE, ChunkAddressing, MerkleHashFunction
from ppsp.errors import StateError
from ppsp.events import ChunkRefused, DatagramDropped, PeerDisconnected, SizeKnown, StoreFailed, SwarmComplete
from ppsp.merkle import MerkleTree, hash_each
from ppsp.messages import Cancel, Data, Handshake, Have, Integrity, Request
from ppsp.metadata import SwarmMetadata
from ppsp.picker import Sequential
from ppsp.store import MemoryChunks

COUNTING = [method for method in ChunkAddressing if method is not ChunkAddressing.BYTE64]


def sizes_like_records(count, seed=1, longest=1400):
    """Sizes as records have them: many short, some long."""
    chance = random.Random(seed)
    return [min(int(chance.lognormvariate(5.0, 1.2)) + 1, longest) for _ in range(count)]


@pytest.fixture(scope="module")
def records(lab):
    """`records(sizes)` is a publication of chunks of these sizes, with the lab's own tree, nothing of `ppsp` in it."""

    class Records(lab.Publication):
        def __init__(self, sizes, hash_function=MerkleHashFunction.SHA256):
            super().__init__(bytes(len(sizes)), 1, hash_function)  # for its shape
            content = lab.pattern(sum(sizes))
            self.content, self.chunks, at = content, [], 0
            for size in sizes:
                self.chunks.append(content[at : at + size])
                at += size
            new = getattr(hashlib, hash_function.name.lower())
            row = [new(chunk).digest() for chunk in self.chunks]
            self._rows = [row]
            for _ in range(self.height):
                row = row + [self._zero] * (len(row) % 2)
                row = [new(row[k] + row[k + 1]).digest() for k in range(0, len(row), 2)]
                self._rows.append(row)
            self.root = row[0]

        def metadata(self, **changes):
            given = {"chunk_size": VARIABLE_CHUNK_SIZE, "merkle_hash_function": self.hash_function, **changes}
            return SwarmMetadata(self.root, **given)

        def tree(self):
            return MerkleTree.from_leaves(hash_each(self.chunks, self.hash_function), self.hash_function)

        def stored(self, kept=None):
            store = MemoryChunks()
            for chunk in range(self.count) if kept is None else kept:
                store.write(chunk, self.chunks[chunk])
            return store

    return Records


def seed(host, publication, **changes):
    """Serve it."""
    host.store, host.swarm_id = publication.stored(), publication.root
    host.endpoint.add_swarm(publication.metadata(**changes), store=host.store, tree=publication.tree())
    return host


def leech(host, publication, *, picker=None, **changes):
    """Join with nothing."""
    host.store, host.swarm_id = MemoryChunks(), publication.root
    more = {} if picker is None else {"picker": picker}
    host.endpoint.add_swarm(publication.metadata(**changes), store=host.store, **more)
    return host


def pair(lab, publication, *, network=None, source=None, fetcher=None, **metadata):
    """A source and a fetcher, run to the end."""
    network = network or lab.Network()
    first = seed(network.host(**(source or {})), publication, **metadata)
    second = leech(network.host(**(fetcher or {})), publication, **metadata).connect(first)
    network.run(lambda: second.complete, seconds=120.0)
    assert second.store.content == publication.content
    return network, first, second


@pytest.mark.parametrize("addressing", COUNTING, ids=lambda method: method.name)
@pytest.mark.parametrize("told", [False, True], ids=["size detection", "number in the metadata"])
def test_content_arrives_under_every_addressing_method_that_counts_chunks(lab, records, addressing, told):
    """Section 7.8 with 7.11."""
    publication = records(sizes_like_records(300))
    more = {"chunk_count": 300} if told else {}
    _, _, fetcher = pair(lab, publication, chunk_addressing=addressing, **more)
    (complete,) = fetcher.seen(SwarmComplete)
    assert complete.content_size == len(publication.content)
    known = fetcher.seen(SizeKnown)
    assert [(event.chunk_count, event.content_size) for event in known] == ([] if told else [(300, None)])


@pytest.mark.parametrize(
    "sizes",
    [[1], [13], [MAX_CHUNK_SIZE], [1, MAX_CHUNK_SIZE, 1], [1] * 7, [1024] * 64 + [1], list(range(1, 130))],
    ids=["one octet", "13 octets", "the longest", "short and long", "seven octets", "like a fixed size", "growing"],
)
@pytest.mark.parametrize("function", [MerkleHashFunction.SHA1, MerkleHashFunction.SHA256], ids=["SHA-1", "SHA-256"])
def test_chunks_of_any_sizes_arrive(lab, records, sizes, function):
    pair(lab, records(sizes, function), source={"cwnd": 400_000})


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_random_sizes_arrive_over_a_path_that_loses_reorders_and_repeats(lab, records, data):
    sizes = data.draw(st.lists(st.one_of(st.integers(1, 200), st.integers(1, 3000)), min_size=1, max_size=120))
    loss = data.draw(st.sampled_from([0.0, 0.05, 0.15]))
    network = lab.Network(seed=data.draw(st.integers(0, 99)), loss=loss, reorder=0.2, duplicate=0.05)
    _, _, fetcher = pair(lab, records(sizes), network=network, chunk_count=len(sizes))
    assert fetcher.seen(ChunkRefused) == []


def test_every_data_stands_alone_at_the_end_of_its_datagram(lab, records):
    """Section 8.6: several share a datagram only when the chunk size is fixed."""
    publication = records([40] * 200)
    network = lab.Network()
    network.record = []
    _, source, _ = pair(lab, publication, network=network)
    codec = lab.HandPeer(lab.Bench(), publication).codec
    seen = 0
    for _, sender, _, octets in network.record:
        if sender == source.address:
            messages, error = codec.decode(octets)
            assert error is None
            data = [at for at, message in enumerate(messages) if isinstance(message, Data)]
            assert data in ([], [len(messages) - 1])
            seen += len(data)
    assert seen >= 200


def test_the_window_counts_the_octets_that_each_chunk_really_has(lab, records):
    """The congestion window is exceeded by less than one chunk, whatever the mean is."""
    publication = records([20] * 50 + [1300] * 100 + [20] * 50)
    windows = lab.fixed_window(8 * 1024)
    network, source, _ = pair(lab, publication, source={"controller": windows})
    network.run_for(1.0)
    (window,) = windows.made
    assert sum(octets for _, octets in window.sent) == len(publication.content)
    assert window.flight == 0
    flight = most = 0
    for _, kind, octets in sorted(
        [(at, 1, octets) for at, octets in window.sent] + [(at, 0, acked) for at, acked, _, _ in window.acks]
    ):
        flight += octets if kind else -octets
        most = max(most, flight)
    assert most < 8 * 1024 + 1300
    assert source.stats.peers[0].octets_sent == len(publication.content)


def test_ledbat_fills_a_path_though_its_chunks_are_small(lab, records):
    publication = records(sizes_like_records(3000))
    network, _, _ = pair(lab, publication, source={"controller": lambda size: Ledbat(mss=size)}, chunk_count=3000)
    assert network.now - 1000.0 < 5.0


@pytest.mark.parametrize("longest", [100, 1400])
def test_a_download_limit_holds_whatever_the_sizes_are(lab, records, longest):
    publication = records(sizes_like_records(1500, longest=longest))
    rate = len(publication.content) / 5
    network, _, _ = pair(lab, publication, fetcher={"download_rate": rate}, chunk_count=1500)
    assert 4.0 < network.now - 1000.0 < 7.0


@pytest.mark.parametrize("side", ["download", "upload"])
def test_a_limit_holds_where_long_chunks_follow_on_short_ones(lab, records, side):
    """What was asked for as a short one is paid for when it has come."""
    publication = records([20] * 3000 + [1400] * 600)
    rate = len(publication.content) / 5
    network = lab.Network()
    source = seed(network.host(**({"upload_rate": rate} if side == "upload" else {})), publication)
    fetcher = network.host(**({"download_rate": rate} if side == "download" else {}))
    leech(fetcher, publication, picker=Sequential, chunk_count=3600).connect(source)
    network.run(lambda: fetcher.complete, seconds=60.0)
    assert 4.0 < network.now - 1000.0 < 7.0


@pytest.mark.parametrize(("size", "most"), [(20_000, 64), (8_000, 131), (20, 1024)])
def test_no_more_is_asked_for_at_once_than_a_receive_buffer_takes(lab, records, size, most):
    """A MiB of chunks as long as those that came; small ones count as much as those of 1024 octets."""
    publication = records([size] * 4000 if size < 8_000 else [size] * 1200)
    network = lab.Network(delay=0.001)
    source = seed(network.host(cwnd=1 << 24), publication)
    fetcher = leech(network.host(), publication, chunk_count=publication.count).connect(source)
    asked = []

    def look():
        if fetcher.stats.chunks_held > 100:
            asked.extend(peer.chunks_outstanding for peer in fetcher.stats.peers)
        return fetcher.complete

    network.run(look)
    assert most / 2 <= max(asked) < most + 64  # the picker hands out blocks


def test_an_upload_limit_holds_whatever_the_sizes_are(lab, records):
    publication = records(sizes_like_records(1500))
    rate = len(publication.content) / 5
    network, _, _ = pair(lab, publication, source={"upload_rate": rate}, chunk_count=1500)
    assert 4.0 < network.now - 1000.0 < 7.0


@pytest.mark.parametrize("loss", [0.0, 0.05])
def test_a_swarm_of_four_helps_itself_when_the_source_is_slow(lab, records, loss):
    publication = records(sizes_like_records(500))
    network = lab.Network(seed=3, loss=loss)
    source = seed(network.host(upload_rate=100_000), publication)
    fetchers = [leech(network.host(), publication) for _ in range(3)]
    for number, fetcher in enumerate(fetchers):
        fetcher.connect(source, *fetchers[:number])
    network.run(lambda: all(fetcher.complete for fetcher in fetchers), seconds=120.0)
    for fetcher in fetchers:
        assert fetcher.store.content == publication.content
        assert fetcher.seen(ChunkRefused) == []
    assert sum(peer.chunks_sent for fetcher in fetchers for peer in fetcher.stats.peers) > 500


def test_a_reader_is_served_by_chunk_numbers(lab, records):
    """`prioritise` and `held_until` count chunks, so they know nothing of octets."""
    publication = records(sizes_like_records(900))
    network = lab.Network()
    source = seed(network.host(upload_rate=50_000), publication)
    fetcher = leech(network.host(), publication, picker=Sequential, chunk_count=900)
    fetcher.endpoint.prioritise(publication.root, "reader", 600, 620)
    fetcher.connect(source)
    network.run(lambda: fetcher.endpoint.held_until(publication.root, 600) >= 620, seconds=30.0)
    assert fetcher.stats.chunks_held < 300


def test_chunks_as_long_as_two_hashes_arrive_as_the_publisher_tells_their_number(lab):
    """Each of them could be an inner node of the tree; with the number given there is no doubt."""
    publication = publish_chunks([bytes([at]) * 64 for at in range(40)])
    network = lab.Network()
    source, fetcher = network.host(), network.host()
    source.endpoint.add_swarm(publication.metadata, store=publication.store, tree=publication.tree)
    source.swarm_id = fetcher.swarm_id = publication.metadata.swarm_id
    store = MemoryChunks()
    fetcher.endpoint.add_swarm(publication.metadata, store=store)
    fetcher.connect(source)
    network.run(lambda: fetcher.complete, seconds=10.0)
    assert store.content == publication.store.content


def test_a_resumed_fetcher_asks_only_for_what_it_lacks(lab, records):
    publication = records([5, 900, 1, 70, 300, 2, 8])
    network = lab.Network()
    source = seed(network.host(), publication)
    fetcher = network.host()
    tree = MerkleTree(publication.root, publication.hash_function)
    tree.set_chunk_count(7)
    for chunk in range(4):
        hashes = {(start, end): digest for start, end, digest in publication.uncles(chunk)}
        tree.verify(chunk, publication.chunks[chunk], hashes)
    fetcher.store, fetcher.swarm_id = publication.stored(range(4)), publication.root
    fetcher.endpoint.add_swarm(publication.metadata(), store=fetcher.store, tree=tree, have=RangeSet([(0, 4)]))
    assert fetcher.stats.content_size is None
    fetcher.connect(source)
    network.run(lambda: fetcher.complete, seconds=5.0)
    assert fetcher.store.content == publication.content
    assert fetcher.stats.content_size == len(publication.content)
    assert source.stats.peers[0].chunks_sent == 3


def test_contradictions_of_who_joins_are_refused(lab, records):
    publication = records([5, 900, 1])
    endpoint = lab.Bench().endpoint
    with pytest.raises(StateError, match="3 chunks, the metadata say 4"):
        endpoint.add_swarm(publication.metadata(chunk_count=4), store=publication.stored(), tree=publication.tree())
    with pytest.raises(StateError, match="907 octets are not what the chunks have"):
        endpoint.add_swarm(
            publication.metadata(), store=publication.stored(), tree=publication.tree(), content_size=907
        )
    endpoint.add_swarm(publication.metadata(), store=publication.stored(), tree=publication.tree(), content_size=906)
    assert endpoint.stats(publication.root).content_size == 906


def test_a_store_that_fails_ends_the_fetch_and_not_the_endpoint(lab, records):
    publication = records([100] * 20)
    network = lab.Network()
    source = seed(network.host(), publication)
    fetcher = network.host()
    fetcher.swarm_id = publication.root
    fetcher.endpoint.add_swarm(publication.metadata(), store=MemoryChunks(max_size=750))
    fetcher.connect(source)
    network.run(lambda: fetcher.seen(StoreFailed), seconds=5.0)
    assert fetcher.stats.chunks_held <= 7


# Handshakes


def test_the_handshake_says_that_sizes_vary(lab, records):
    """Section 7.11: "this option MUST be set to the special value 0xFFFFFFFF"."""
    publication = records([5, 900, 1])
    bench = lab.Bench()
    leech_of(bench, publication)
    peer = lab.HandPeer(bench, publication)
    assert peer.invite().options.chunk_size == 0xFFFFFFFF
    (_, _, octets) = bench.log[0]
    assert bytes.fromhex("09ffffffff") in octets
    served = lab.Bench()
    seed_of(served, publication)
    answer = lab.HandPeer(served, publication).open()
    assert answer[0].options.chunk_size == 0xFFFFFFFF


def seed_of(bench, publication, **changes):
    bench.endpoint.add_swarm(publication.metadata(**changes), store=publication.stored(), tree=publication.tree())


def leech_of(bench, publication, **changes):
    store = MemoryChunks()
    bench.endpoint.add_swarm(publication.metadata(**changes), store=store)
    return store


@pytest.mark.parametrize("size", [1024, 0xFFFFFFFE, None], ids=["fixed", "huge", "left out"])
def test_a_peer_that_names_a_fixed_size_is_not_of_the_swarm(lab, records, size):
    publication = records([5, 900, 1])
    bench = lab.Bench()
    seed_of(bench, publication)
    peer = lab.HandPeer(bench, publication)
    peer.hello(chunk_size=size)
    assert peer.raw() == []
    assert bench.channels == 0
    (dropped,) = bench.events(DatagramDropped)
    assert "chunk size" in dropped.reason


def test_a_reply_that_names_a_fixed_size_closes_the_channel(lab, records):
    publication = records([5, 900, 1])
    bench = lab.Bench()
    leech_of(bench, publication)
    peer = lab.HandPeer(bench, publication)
    peer.invite()
    peer.reply(chunk_size=1024)
    (closing,) = peer.take(Handshake)
    assert closing.source_channel == 0
    (gone,) = bench.events(PeerDisconnected)
    assert "another chunk size" in gone.reason


def test_a_swarm_of_one_size_refuses_a_peer_whose_sizes_vary(lab, seven):
    bench = lab.Bench()
    bench.seed(seven)
    peer = lab.HandPeer(bench, seven)
    peer.hello(chunk_size=VARIABLE_CHUNK_SIZE)
    assert peer.raw() == []
    assert bench.channels == 0


# Hostile peers


def hostile(lab, publication, **changes):
    """A fetcher and a peer that offers everything, asked for the first chunk."""
    bench = lab.Bench()
    store = leech_of(bench, publication, **changes)
    peer = lab.HandPeer(bench, publication)
    peer.accept(peer.have_all())
    assert peer.take(Request)
    return bench, store, peer


def test_a_data_longer_than_the_limit_is_malformed(lab, records):
    publication = records([5, MAX_CHUNK_SIZE, 1])
    bench, store, peer = hostile(lab, publication)
    header = bytes.fromhex("01 00000000 00000000 0000000000000000")
    peer.send_raw(header + bytes(MAX_CHUNK_SIZE + 1))
    assert [event.reason for event in bench.events(DatagramDropped)] == [
        "DATA: a chunk of 60001 octets at 4, the longest has 60000"
    ]
    assert store.content == b""
    peer.serve(1)
    assert store.content == publication.chunks[1]


def test_a_data_without_a_payload_is_malformed(lab, records):
    bench, store, peer = hostile(lab, records([5, 900, 1]))
    peer.send_raw(bytes.fromhex("01 00000000 00000000 0000000000000000"))
    (dropped,) = bench.events(DatagramDropped)
    assert "need 18 octets" in dropped.reason
    assert store.content == b""


@pytest.mark.parametrize("told", [False, True], ids=["unknown", "known"])
def test_a_chunk_cut_short_or_with_octets_added_is_wrong(lab, records, told):
    """Nothing but the hash tells how long a chunk is."""
    publication = records([5, 900, 300])
    for spoiled in (publication.chunks[1][:-1], publication.chunks[1] + b"x"):
        bench, store, peer = hostile(lab, publication, **({"chunk_count": 3} if told else {}))
        peer.serve(1, payload=spoiled)
        (refused,) = bench.events(ChunkRefused)
        assert refused.chunk == 1
        assert store.content == b""
        assert bench.channels == 0


def test_a_message_behind_a_data_is_taken_for_a_part_of_the_chunk(lab, records):
    """Section 8.6: the DATA is in the tail; what follows cannot be told from the chunk, and its hash is wrong."""
    publication = records([5, 900, 300])
    bench, _, peer = hostile(lab, publication, chunk_count=3)
    octets = peer.codec.encode(0, [*peer.integrity(1), peer.data(1)])[4:]
    peer.send_raw(octets + peer.codec.encode(0, [Have(0, 2)])[4:])
    assert [event.chunk for event in bench.events(ChunkRefused)] == [1]


def test_a_chunk_beyond_the_number_that_the_metadata_give_is_refused(lab, records):
    publication = records([5, 900, 300])
    bench, _, peer = hostile(lab, publication, chunk_count=3)
    peer.send(Integrity(3, 3, bytes(32)), Data(3, 3, 0, b"more"))
    assert [event.chunk for event in bench.events(ChunkRefused)] == [3]


def test_who_has_a_chunk_of_somebody_else_is_sent_the_peaks_where_the_metadata_tell_the_number(lab, records):
    """As where they tell the size: it may have verified that chunk by its uncles alone (section 5.4)."""
    bench = lab.Bench()
    publication = records([5, 900, 300, 7, 1024, 64, 2])
    seed_of(bench, publication, chunk_count=7)
    peer = lab.HandPeer(bench, publication)
    peer.open(Have(0, 0), Request(4, 4))
    assert [(one.start, one.end) for one in peer.take(Integrity)] == [(0, 3), (4, 5), (6, 6), (5, 5)]


def test_hashes_that_do_not_fit_beside_a_chunk_go_first(lab, records):
    """Also where the peer knows the peaks: no datagram is longer than a packet."""
    publication = records([1300] * 512)
    metadata = publication.metadata(chunk_count=512)
    content = VariableContent(metadata, publication.stored(), publication.tree())
    codec, peer_have = codec_of(metadata), RangeSet()
    upload = VariableUpload(content, codec, lab.FixedWindow(1 << 20), peer_have)

    def served(chunk):
        upload.request(chunk, chunk + 1)
        found = [lab.joined(datagram) for datagram in upload.datagrams(7, 0, 10, 1.0)]
        assert max(map(len, found)) <= MAX_DATAGRAM
        return [message for octets in found for message in codec.decode(octets)[0]]

    served(0)
    for part in peer_have.add(0, 1):
        upload.peer_has(*part)
    upload.end_datagram([1000], 1.0)
    assert upload.knows_size
    messages = served(300)
    assert messages[-1].payload == publication.chunks[300]
    hashes = {(one.start, one.end): bytes(one.hash) for one in messages[:-1]}
    assert hashes == {(a, b): known for a, b, known in content.tree.uncles(300, left=0, right=1 << 62)}
    assert len(hashes) == 8


def test_a_request_is_served_chunk_by_chunk_and_a_cancel_stops_it(lab, records):
    publication = records([1000] * 30)
    bench = lab.Bench(cwnd=2_500)
    seed_of(bench, publication)
    peer = lab.HandPeer(bench, publication)
    peer.open(Have(0, 0), Request(1, 29))
    first = [message.start for message in peer.take(Data)]
    assert first == [1, 2]
    peer.send(Cancel(5, 29), Have(1, 2))
    assert [message.start for message in peer.take(Data)] == [3, 4]
    peer.send(Have(3, 4))
    assert peer.take(Data) == []
