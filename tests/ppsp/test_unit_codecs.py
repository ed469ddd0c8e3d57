"""Whole swarms under every chunk addressing method and hash function, and what then stands on the wire (section 4)."""

import pytest

from ppsp._unit_codecs import codec_of
from ppsp.codec import Codec, channel_of
from ppsp.constants import ChunkAddressing, ContentIntegrityProtection, MerkleHashFunction
from ppsp.errors import DecodeError
from ppsp.events import DatagramDropped
from ppsp.livekeys import LiveSigner
from ppsp.messages import Ack, Cancel, Choke, Data, Have, Integrity, Request
from ppsp.metadata import SwarmMetadata

OPTIONAL = [ChunkAddressing.BIN32, ChunkAddressing.BYTE64, ChunkAddressing.BIN64]


def transfer(lab, publication, *, seed=1, loss=0.0, **changes):
    """A source, and two fetchers that also trade; returns every datagram that was sent."""
    network = lab.Network(seed=seed, loss=loss, reorder=loss, duplicate=loss)
    network.record = []
    source = network.host().seed(publication, **changes)
    first = network.host().leech(publication, **changes).connect(source)
    second = network.host().leech(publication, **changes).connect(source, first)
    network.run(lambda: first.complete and second.complete, seconds=120.0)
    for host in (first, second):
        assert bytes(host.store.octets) == publication.content
    for host in (source, first, second):
        assert not host.seen(DatagramDropped) or loss
    return [octets for _, _, _, octets in network.record]


def on_the_wire(metadata, datagrams):
    """The messages as the addressing method has them: octets under byte ranges."""
    codec = Codec(metadata.chunk_addressing, metadata.hash_size, chunk_size=metadata.chunk_size)
    found = []
    for octets in datagrams:
        if channel_of(octets):
            messages, error = codec.decode(octets)
            assert error is None
            found += messages
    return found


@pytest.mark.parametrize("function", MerkleHashFunction, ids=lambda function: function.name)
@pytest.mark.parametrize("addressing", ChunkAddressing, ids=lambda addressing: addressing.name)
def test_content_arrives_under_every_addressing_method_and_hash_function(lab, addressing, function):
    """Sections 7.6 and 7.8."""
    publication = lab.Publication(lab.pattern(150 * 1024 - 77), hash_function=function)
    transfer(lab, publication, chunk_addressing=addressing)


@pytest.mark.parametrize("loss", [0.05, 0.2])
@pytest.mark.parametrize("addressing", OPTIONAL, ids=lambda addressing: addressing.name)
def test_content_arrives_over_a_path_that_loses_repeats_and_reorders(lab, addressing, loss):
    transfer(lab, lab.Publication(lab.pattern(100 * 1024 - 1)), seed=3, loss=loss, chunk_addressing=addressing)


@pytest.mark.parametrize("size", [1, 1024, 1025, 7162, 8192])
@pytest.mark.parametrize("knows", [False, True], ids=["size detection", "size in the metadata"])
@pytest.mark.parametrize("addressing", OPTIONAL, ids=lambda addressing: addressing.name)
def test_content_of_any_size_arrives(lab, addressing, knows, size):
    publication = lab.Publication(lab.pattern(size))
    transfer(lab, publication, chunk_addressing=addressing, **({"content_size": size} if knows else {}))


def test_under_byte_ranges_data_have_and_ack_end_where_the_content_does(lab, seven):
    """Section 4.1: the end is inclusive, "for chunks and bytes alike"."""
    changes = {"chunk_addressing": ChunkAddressing.BYTE64}
    messages = on_the_wire(seven.metadata(**changes), transfer(lab, seven, **changes))
    for kind in (Data, Have, Ack):
        assert max(message.end for message in messages if isinstance(message, kind)) == 7161
    assert all(message.start % 1024 == 0 for message in messages if hasattr(message, "start"))
    peaks = {(message.start, message.end) for message in messages if isinstance(message, Integrity)}
    assert {(0, 4095), (4096, 6143), (6144, 7167)} <= peaks


def test_a_range_goes_as_the_fewest_bins(seven):
    """Section 4.2: chunks 1 to 6 are the bins 2, 5, 9 and 12."""
    codec = codec_of(seven.metadata(chunk_addressing=ChunkAddressing.BIN32))
    octets = codec.encode(7, [Have(1, 6)])
    assert octets.hex() == "00000007" + "0300000002" + "0300000005" + "0300000009" + "030000000c"


@pytest.mark.parametrize("kind", [Have, Request, Cancel, lambda start, end: Ack(start, end, 5)])
@pytest.mark.parametrize("addressing", ChunkAddressing, ids=lambda addressing: addressing.name)
def test_any_range_survives_the_wire_as_the_same_chunks(seven, addressing, kind):
    codec = codec_of(seven.metadata(chunk_addressing=addressing))
    messages, error = codec.decode(codec.encode(7, [kind(3, 1000), Choke()]))
    assert error is None
    assert messages.pop() == Choke()
    assert sorted(chunk for each in messages for chunk in range(each.start, each.end + 1)) == list(range(3, 1001))


def test_octets_at_which_no_chunk_starts_are_an_invalid_message(seven):
    metadata = seven.metadata(chunk_addressing=ChunkAddressing.BYTE64)
    raw = Codec(metadata.chunk_addressing, metadata.hash_size, chunk_size=metadata.chunk_size)
    messages, error = codec_of(metadata).decode(raw.encode(7, [Have(0, 1023), Have(1000, 2047), Have(2048, 3071)]))
    assert messages == [Have(0, 0)]
    assert isinstance(error, DecodeError)


@pytest.mark.parametrize("protection", ["UNIFIED_MERKLE_TREE", "SIGN_ALL"])
@pytest.mark.parametrize("addressing", ChunkAddressing, ids=lambda addressing: addressing.name)
def test_a_live_stream_arrives_under_every_addressing_method(lab, addressing, protection):
    """Sections 6.1.1, 6.1.2 and 7.9: the last chunk is a short one, the window is in the unit of the method."""
    signer = LiveSigner.generate()
    metadata = SwarmMetadata(
        signer.swarm_id, content_integrity=ContentIntegrityProtection[protection], chunk_addressing=addressing
    )
    network = lab.Network()
    source, viewer = network.host(epoch=1.7e9), network.host(epoch=1.7e9)
    stream = source.endpoint.add_live_swarm(metadata, signer=signer, chunks_per_signature=4, window=256)
    watched = viewer.endpoint.add_live_swarm(metadata, window=256)
    viewer.swarm_id = metadata.swarm_id
    viewer.connect(source)
    content = lab.pattern(200_000)
    got = bytearray()
    for at in range(0, 400_000, 5000):
        if at < len(content):
            stream.publish(content[at : at + 5000], network.now)
        elif at == len(content):
            stream.end(network.now)
        source.flush()
        network.run_for(0.05)
        got += b"".join(watched.read(network.now))
        viewer.flush()
    assert len(got) > 150_000
    assert content.endswith(bytes(got))
    assert not viewer.seen(DatagramDropped)
