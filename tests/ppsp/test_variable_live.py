"""Live streams of chunks of variable size: a chunk for each unit of the source (RFC 7574 sections 6.1.2.1 and 7.11)."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppsp._live_content import LiveContent
from ppsp.constants import MAX_CHUNK_SIZE, VARIABLE_CHUNK_SIZE, ChunkAddressing, ContentIntegrityProtection
from ppsp.errors import MetadataError, StateError
from ppsp.events import ChunkRefused, DatagramDropped
from ppsp.live import ChunkSigner, Injector
from ppsp.livekeys import LiveSigner
from ppsp.messages import Data
from ppsp.metadata import SwarmMetadata, SwarmUri

UMT = ContentIntegrityProtection.UNIFIED_MERKLE_TREE
SIGN_ALL = ContentIntegrityProtection.SIGN_ALL
KEY = LiveSigner.generate()
EPOCH = 1_700_000_000.0
COUNTING = [method for method in ChunkAddressing if method is not ChunkAddressing.BYTE64]


def metadata_of(method=UMT, addressing=ChunkAddressing.CHUNK32):
    return SwarmMetadata(
        KEY.swarm_id, chunk_size=VARIABLE_CHUNK_SIZE, content_integrity=method, chunk_addressing=addressing
    )


class Broadcast:
    """A source and viewers in virtual time; `units` is what was published, in order."""

    def __init__(self, lab, metadata, *, seed=1, width=8, **network):
        self.network = lab.Network(seed=seed, **network)
        self.metadata = metadata
        self.units = []
        self.source = self.host(signer=KEY, chunks_per_signature=width)

    def host(self, **settings):
        host = self.network.host(epoch=EPOCH)
        host.swarm_id = self.metadata.swarm_id
        host.live = host.endpoint.add_live_swarm(self.metadata, **settings)
        host.got = []
        return host

    def viewer(self, *others, **settings):
        return self.host(**settings).connect(*others)

    def publish(self, units, *viewers, step=0.01):
        for unit in units:
            self.source.live.publish(unit, self.network.now)
            self.units.append(unit)
            self.source.flush()
            self.run(step, *viewers)

    def run(self, seconds, *viewers):
        self.network.run_for(seconds)
        for viewer in viewers:
            viewer.got += viewer.live.read(self.network.now)
            viewer.flush()


def frames(count, seed=1):
    """Frames as a film has them: a big one now and then."""
    chance = random.Random(seed)
    return [
        chance.randbytes(chance.randint(2000, 9000) if at % 12 == 0 else chance.randint(1, 900)) for at in range(count)
    ]


@pytest.mark.parametrize("addressing", COUNTING, ids=lambda method: method.name)
@pytest.mark.parametrize("method", [UMT, SIGN_ALL], ids=["munros", "Sign All"])
def test_every_unit_of_the_source_arrives_as_one_chunk(lab, method, addressing):
    """ "The procedure does not preclude the use of variable-size chunks" (section 6.1.2.1)."""
    cast = Broadcast(lab, metadata_of(method, addressing))
    first = cast.viewer(cast.source)
    second = cast.viewer(first)
    units = frames(200)
    cast.publish(units, first, second)
    cast.source.live.end(cast.network.now)
    cast.source.flush()
    cast.run(3.0, first, second)
    cast.run(0.1, first, second)
    for viewer in (first, second):
        at = len(units) - len(viewer.got)
        assert viewer.got == units[at:]
        assert at < 40
        assert viewer.live.skipped == 0
        assert viewer.live.ended == (method is UMT)
        assert viewer.seen(ChunkRefused) == []


@pytest.mark.parametrize("left", [0, 1, 7], ids=["full munro", "one chunk", "all but one"])
def test_the_end_of_a_broadcast_is_proven_with_empty_leaves(lab, left):
    """As with chunks of one size: what the last munro lacks is zeros (section 5.1)."""
    cast = Broadcast(lab, metadata_of())
    viewer = cast.viewer(cast.source)
    cast.publish([bytes([at]) * (at + 1) for at in range(64 + left)], viewer)
    cast.source.live.end(cast.network.now)
    cast.source.flush()
    cast.run(2.0, viewer)
    assert viewer.live.ended
    assert viewer.got == cast.units[len(cast.units) - len(viewer.got) :]


@settings(deadline=None, max_examples=10)
@given(
    seed=st.integers(0, 1000),
    loss=st.sampled_from([0.0, 0.05]),
    sizes=st.lists(st.integers(1, 4000), min_size=40, max_size=80),
)
def test_units_of_random_sizes_arrive_over_a_bad_path(lab, seed, loss, sizes):
    cast = Broadcast(lab, metadata_of(), seed=seed, loss=loss, reorder=0.1, duplicate=0.05)
    viewer = cast.viewer(cast.source)
    chance = random.Random(seed)
    cast.publish([chance.randbytes(size) for size in sizes], viewer, step=0.02)
    cast.source.live.end(cast.network.now)
    cast.source.flush()
    cast.run(4.0, viewer)
    cast.run(0.5, viewer)
    got = iter(cast.units)
    assert all(unit in got for unit in viewer.got), "out of order, or never sent"
    assert viewer.seen(ChunkRefused) == []


@pytest.mark.parametrize("method", [UMT, SIGN_ALL], ids=["munros", "Sign All"])
@pytest.mark.parametrize("unit", [b"", bytes(MAX_CHUNK_SIZE + 1)], ids=["empty", "too long"])
def test_what_can_be_no_chunk_is_refused_and_nothing_of_it_taken(method, unit):
    source = (
        Injector(metadata_of(), KEY, chunks_per_signature=2) if method is UMT else ChunkSigner(metadata_of(method), KEY)
    )
    with pytest.raises(StateError, match="a chunk has 1 to 60000 octets, not"):
        source.feed(unit, EPOCH)
    source.feed(b"x" * MAX_CHUNK_SIZE, EPOCH)
    assert source.next_chunk == (0 if method is UMT else 1)


def test_the_usual_size_is_that_of_what_came_last():
    """By it no more is asked for at once than a buffer takes, and congestion control knows its segments."""
    content = LiveContent(metadata_of(), 1000, None)
    assert (content.chunk_size, content.segment_size) == (1024, 1024)
    for size, segment in [(9000, 9000), (100, 1024)]:
        for chunk in range(200):
            content.inject(chunk, bytes(size))
        assert size - 16 < content.chunk_size < size + 16
        assert segment - 16 < content.segment_size <= segment


def test_octets_that_wait_for_a_munro_are_told():
    source = Injector(metadata_of(), KEY, chunks_per_signature=4)
    for unit in (b"a", b"bcd", b"ef"):
        assert source.feed(unit, EPOCH) == []
    assert source.waiting == 6
    ((munro, _, chunks),) = source.feed(b"ghijk", EPOCH)
    assert (munro.start, munro.end, chunks) == (0, 3, [b"a", b"bcd", b"ef", b"ghijk"])
    assert source.waiting == 0


def test_byte_ranges_are_refused_in_live_streams_too():
    with pytest.raises(MetadataError, match="byte ranges cannot name chunks of variable size"):
        metadata_of(addressing=ChunkAddressing.BYTE64)


def test_the_uri_of_a_live_stream_says_that_sizes_vary():
    uri = SwarmUri(metadata_of(), ("http://t/",))
    assert "x.cs=4294967295" in str(uri)
    assert SwarmUri.parse(str(uri)) == uri
    with pytest.raises(MetadataError):
        SwarmMetadata(KEY.swarm_id, chunk_size=VARIABLE_CHUNK_SIZE, content_integrity=UMT, chunk_count=7)


def test_a_viewer_takes_no_chunk_whose_length_was_changed(lab):
    cast = Broadcast(lab, metadata_of())
    viewer = cast.viewer(cast.source)
    carry = cast.network.carry

    def damaged(source, address, octets):
        """The path adds an octet to some DATA."""
        if source is cast.source and len(octets) > 700 and cast.network.chance.random() < 0.2:
            octets += b"x"
        carry(source, address, octets)

    cast.network.carry = damaged
    cast.publish([bytes([at % 251]) * 800 for at in range(40)], viewer)
    cast.run(3.0, viewer)
    assert all(unit in cast.units for unit in viewer.got)
    assert viewer.seen(ChunkRefused)


def test_a_data_longer_than_the_limit_is_malformed_in_a_live_stream(lab):
    cast = Broadcast(lab, metadata_of())
    viewer = cast.viewer(cast.source)
    cast.network.run_for(1.0)
    (channel,) = viewer.endpoint._channels
    octets = channel.to_bytes(4, "big") + bytes.fromhex("01 00000000 00000000 0000000000000000")
    viewer.endpoint.receive_datagram(octets + bytes(MAX_CHUNK_SIZE + 1), cast.source.address, cast.network.now)
    viewer.flush()
    assert "the longest has 60000" in viewer.seen(DatagramDropped)[-1].reason


def test_every_data_of_a_live_stream_ends_its_datagram(lab):
    cast = Broadcast(lab, metadata_of())
    viewer = cast.viewer(cast.source)
    cast.network.record = []
    cast.publish([b"x" * 30] * 60, viewer)
    codec = viewer.endpoint._swarms[viewer.swarm_id].codec
    seen = 0
    for _, _, address, octets in cast.network.record:
        if address == viewer.address:
            messages, error = codec.decode(octets)
            assert error is None
            data = [at for at, message in enumerate(messages) if isinstance(message, Data)]
            assert data in ([], [len(messages) - 1])
            seen += len(data)
    assert seen > 30
