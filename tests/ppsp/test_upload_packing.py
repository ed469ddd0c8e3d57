"""Several chunks in one datagram where section 8.6 allows it, and how many hashes go with the chunks."""

import pytest

from ppsp.codec import channel_of
from ppsp.constants import ChunkAddressing, MerkleHashFunction
from ppsp.messages import Data, Have, Integrity, Request


@pytest.fixture(scope="module")
def small(lab):
    """41 chunks of 512 octets, the last one short."""
    return lab.Publication(lab.pattern(41 * 512 - 100), chunk_size=512)


def served(lab, publication, **options):
    """The DATA of every datagram that brings a fetcher of everything something."""
    bench = lab.Bench()
    bench.seed(publication)
    peer = lab.HandPeer(bench, publication)
    peer.open(**options)
    peer.send(Request(0, publication.count - 1))
    raw = peer.raw()
    assert all(len(octets) <= 1452 for octets in raw)
    found = []
    for octets in raw:
        messages, error = peer.codec.decode(octets)
        assert error is None
        chunks = [message.start for message in messages if isinstance(message, Data)]
        found += [chunks] if chunks else []
    return found


def test_small_chunks_share_a_datagram_and_the_last_one_goes_alone(lab, small):
    found = served(lab, small)
    assert sorted(chunk for chunks in found for chunk in chunks) == list(range(41))
    assert max(len(chunks) for chunks in found) == 2
    assert [40] in found
    assert len(found) <= 28


@pytest.mark.parametrize("count", range(2, 20))
def test_no_chunk_stands_behind_a_short_last_one_whatever_is_asked_for_first(lab, count):
    """Section 8.6 MUST: where the last chunk brings the most hashes it leaves first."""
    publication = lab.Publication(lab.pattern(count * 512 - 100), chunk_size=512)
    for known in range(count):
        bench = lab.Bench()
        bench.seed(publication)
        peer = lab.HandPeer(bench, publication)
        peer.open(Have(known, known), Request(0, count - 1))
        for messages in peer.datagrams():
            chunks = [message.start for message in messages if isinstance(message, Data)]
            assert chunks == [count - 1] or count - 1 not in chunks


@pytest.mark.parametrize("chunk_size", [341, 342, 343, 466, 467, 468, 705, 706, 707])
def test_as_many_chunks_as_fit_share_a_packet_to_the_last_octet(lab, chunk_size):
    publication = lab.Publication(lab.pattern(64 * chunk_size), chunk_size=chunk_size)
    found = served(lab, publication)
    assert sorted(chunk for chunks in found for chunk in chunks) == list(range(64))


def test_hashes_that_fill_several_datagrams_fill_none_too_far(lab):
    """13 peaks and 12 uncles of SHA-512, told in 64-bit chunk ranges: more than go beside a chunk, and before it."""
    publication = lab.Publication(lab.pattern(8191 * 1024), hash_function=MerkleHashFunction.SHA512)
    metadata = publication.metadata(chunk_addressing=ChunkAddressing.CHUNK64)
    bench = lab.Bench()
    bench.seed(publication, chunk_addressing=ChunkAddressing.CHUNK64)
    peer = lab.HandPeer(bench, publication, metadata=metadata)
    peer.open(Request(0, 0))
    raw = peer.raw()
    assert max(len(octets) for octets in raw) <= 1452
    hashes = [message for octets in raw for message in peer.codec.decode(octets)[0] if isinstance(message, Integrity)]
    assert len(hashes) == 25


def test_a_peer_that_predates_the_chunk_size_option_gets_one_chunk_a_datagram(lab, small):
    """libswift reads DATA as the last message of its datagram only."""
    assert all(len(chunks) == 1 for chunks in served(lab, small, chunk_size=None))


def test_chunks_of_the_usual_size_have_a_datagram_each(lab, seven):
    assert all(len(chunks) == 1 for chunks in served(lab, seven))


@pytest.mark.parametrize("loss", [0.0, 0.1])
@pytest.mark.parametrize("addressing", ChunkAddressing, ids=lambda addressing: addressing.name)
@pytest.mark.parametrize("chunk_size", [100, 512])
def test_content_in_small_chunks_arrives(lab, chunk_size, addressing, loss):
    publication = lab.Publication(lab.pattern(90 * chunk_size - 1), chunk_size=chunk_size)
    network = lab.Network(seed=2, loss=loss, reorder=loss)
    source = network.host().seed(publication, chunk_addressing=addressing)
    fetcher = network.host().leech(publication, chunk_addressing=addressing).connect(source)
    network.run(lambda: fetcher.complete)
    assert bytes(fetcher.store.octets) == publication.content


def integrity_a_chunk(lab, network, peers, publication):
    """INTEGRITY messages for every DATA message of a whole swarm."""
    network.record = []
    source = network.host().seed(publication)
    hosts = [source]
    for _ in range(peers):
        hosts.append(network.host().leech(publication).connect(*hosts))
    network.run(lambda: all(host.complete for host in hosts))
    codec = lab.HandPeer(lab.Bench(), publication).codec
    counts = {Data: 0, Integrity: 0}
    for _, _, _, octets in network.record:
        for message in codec.decode(octets)[0] if channel_of(octets) else ():
            if type(message) in counts:
                counts[type(message)] += 1
    return counts[Integrity] / counts[Data]


@pytest.mark.parametrize(("peers", "loss"), [(1, 0.0), (1, 0.01), (4, 0.0)])
def test_hashes_that_the_peer_has_or_will_have_are_skipped(lab, peers, loss):
    """Sections 5.3 and 5.4: what HAVE and ACK show, and what is on its way. At most 1.2 INTEGRITY messages a chunk."""
    network = lab.Network(seed=7, loss=loss)
    assert integrity_a_chunk(lab, network, peers, lab.Publication(lab.pattern(2000 * 1024))) <= 1.2
