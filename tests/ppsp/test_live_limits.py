"""What a peer of a live stream can make us hold, do or promise: sliding windows, the last chunk numbers."""

import pytest

from ppsp._limits import MAX_LIVE_RANGES, MAX_LOOSE_HASHES
from ppsp.constants import ChunkAddressing, ContentIntegrityProtection
from ppsp.errors import StateError
from ppsp.live import ChunkSigner, Injector, codec_of
from ppsp.livekeys import LiveKey, LiveSigner
from ppsp.messages import Data, Have, Integrity, Request
from ppsp.metadata import SwarmMetadata

UMT = ContentIntegrityProtection.UNIFIED_MERKLE_TREE
SIGN_ALL = ContentIntegrityProtection.SIGN_ALL
EPOCH = 1_700_000_000.0
KEY = LiveSigner.generate()
# The last munro of four chunks that each method can denote; byte ranges count chunks of 1 KiB.
LAST_MUNRO = {
    ChunkAddressing.BIN32: 2**31 - 4,
    ChunkAddressing.BYTE64: 2**54 - 4,
    ChunkAddressing.CHUNK32: 2**32 - 4,
    ChunkAddressing.BIN64: 2**63 - 4,
    ChunkAddressing.CHUNK64: 2**64 - 4,
}


def metadata(addressing=ChunkAddressing.CHUNK32, method=UMT):
    return SwarmMetadata(KEY.swarm_id, content_integrity=method, chunk_addressing=addressing)


@pytest.fixture
def source(lab):
    """Makes a bench with a source, and a peer of it played by hand, which has opened a channel."""

    def make(swarm=None, *, peer_window=2**32 - 1, **settings):
        swarm = metadata() if swarm is None else swarm
        bench = lab.Bench(epoch=EPOCH)
        bench.live = bench.endpoint.add_live_swarm(swarm, **{"signer": KEY, **settings})
        peer = lab.HandPeer.__new__(lab.HandPeer)
        peer.bench, peer.publication, peer.metadata = bench, None, swarm
        peer.address, peer.channel, peer.remote = ("192.0.2.9", 6778), 0x01020304, 0
        peer.codec = codec_of(swarm)
        peer.open(live_signature_algorithm=KEY.swarm_id[0], live_discard_window=peer_window)
        return bench, peer

    return make


def test_a_peer_whose_window_slides_over_a_sparse_stream_fills_no_memory(source):
    """Sections 6.2 and 7.9: the filter forgets what the peer had, and so must what is derived from it."""
    bench, peer = source(peer_window=4)
    for first in range(0, 16_000, 320):
        peer.send(*[Have(chunk, chunk) for chunk in range(first, first + 320, 2)])
    (channel,) = bench.endpoint._channels.values()
    assert channel.peer_have.range_count <= 4
    assert channel.upload._known.range_count <= MAX_LIVE_RANGES


def test_a_peer_that_keeps_everything_and_has_every_other_chunk_fills_no_memory(source):
    bench, peer = source()
    for first in range(0, 16_000, 320):
        peer.send(*[Have(chunk, chunk) for chunk in range(first, first + 320, 2)])
    (channel,) = bench.endpoint._channels.values()
    assert channel.peer_have.range_count <= MAX_LIVE_RANGES
    assert channel.peer_have.contains(15_998)  # what is newest stays


def test_a_source_keeps_what_its_window_promises_when_the_last_munro_is_mostly_empty(source):
    """Section 7.9: "before the last chunk … it advertised", which is not where the munro above it ends."""
    bench, peer = source(window=64, chunks_per_signature=32)
    bench.live.publish(bytes(64 * 1024), bench.now)
    bench.live.publish(b"the end", bench.now)
    bench.live.end(bench.now)
    bench.flush()
    peer.take()
    peer.send(Request(1, 1))
    assert [message.start for message in peer.take(Data)] == [1]
    assert bench.endpoint.stats(KEY.swarm_id).chunks_held == 64
    peer.send(Request(0, 0))
    assert peer.take(Data) == []


def test_the_munros_of_what_is_promised_are_kept_too(source):
    bench, peer = source(window=64, chunks_per_signature=32)
    bench.live.publish(bytes(64 * 1024), bench.now)
    bench.live.publish(b"the end", bench.now)
    bench.live.end(bench.now)
    bench.flush()
    peer.take()
    peer.send(Request(1, 1))
    assert (0, 31) in {(message.start, message.end) for message in peer.take(Integrity)}


# Numbers


@pytest.mark.parametrize("addressing", list(LAST_MUNRO), ids=lambda method: method.name)
def test_a_stream_goes_on_up_to_the_last_chunk_number(lab, addressing):
    """Section 4: numbers near the end of what a method denotes are numbers like any others."""
    swarm = metadata(addressing)
    network = lab.Network()
    source, viewer = network.host(epoch=EPOCH), network.host(epoch=EPOCH)
    source.swarm_id = viewer.swarm_id = swarm.swarm_id
    first = LAST_MUNRO[addressing] - 60
    broadcast = source.endpoint.add_live_swarm(swarm, signer=KEY, chunks_per_signature=4, first_chunk=first)
    watched = viewer.endpoint.add_live_swarm(swarm)
    viewer.connect(source)
    octets = b""
    for step in range(30):
        if step < 16:
            broadcast.publish(bytes((step,)) * 4096, network.now)
            source.flush()
        network.run_for(0.1)
        octets += b"".join(watched.read(network.now))
        viewer.flush()
    assert watched.position == watched.edge == LAST_MUNRO[addressing] + 4
    assert octets.endswith(b"".join(bytes((step,)) * 4096 for step in range(8, 16)))


@pytest.mark.parametrize("addressing", list(LAST_MUNRO), ids=lambda method: method.name)
def test_a_source_says_when_its_numbers_are_used_up_and_takes_nothing(addressing):
    last, swarm = LAST_MUNRO[addressing], metadata(addressing)
    injector = Injector(swarm, KEY, chunks_per_signature=4, first_chunk=last)
    with pytest.raises(StateError, match="another key"):
        injector.feed(bytes(8192), EPOCH)
    assert injector.waiting == 0
    assert injector.feed(bytes(4096), EPOCH)[0][0].start == last
    for work in (lambda: injector.feed(bytes(4096), EPOCH), lambda: injector.end(EPOCH)):
        with pytest.raises(StateError, match="another key"):
            work()
    assert not injector.ended
    with pytest.raises(StateError, match="another key"):
        Injector(swarm, KEY, chunks_per_signature=4, first_chunk=last + 4)


def test_so_does_one_that_signs_every_chunk():
    swarm = metadata(method=SIGN_ALL)
    signer = ChunkSigner(swarm, KEY, first_chunk=2**32 - 1)
    with pytest.raises(StateError, match="another key"):
        signer.feed(bytes(2048), EPOCH)
    assert [number for number, _, _ in signer.feed(bytes(1025), EPOCH)] == [2**32 - 1]
    with pytest.raises(StateError, match="another key"):
        signer.end(EPOCH)
    for number in (-1, 2**32):
        with pytest.raises(StateError, match="no chunk"):
            ChunkSigner(swarm, KEY, first_chunk=number)


def test_what_left_the_window_on_its_way_is_not_sent_again_and_counts_once(source):
    """It cannot be sent again, so it is lost once, not for ever; and no octets are counted that did not leave."""
    bench, peer = source(window=8, chunks_per_signature=4)
    bench.live.publish(bytes(8 * 1024), bench.now)
    bench.flush()
    peer.send(Request(0, 5))
    assert [message.start for message in peer.take(Data)] == [0, 1, 2, 3, 4, 5]
    bench.live.publish(bytes(4 * 1024), bench.now)
    bench.flush()
    (window,) = bench.windows.made
    (channel,) = bench.endpoint._channels.values()
    for _ in range(60):
        bench.advance(1.0)
        assert set(channel.upload._in_flight) <= {4, 5} or not window.losses
    assert {message.start for message in peer.take(Data)} <= {4, 5}
    assert sum(lost for _, lost in window.losses[:1]) == 6 * 1024
    assert all(sent > 0 for _, sent in window.sent)
    assert all(lost > 0 for _, lost in window.losses)
    assert channel.upload.flight == sum(octets for _, octets, _ in channel.upload._in_flight.values())


# Viewers


def signed(count, width=4):
    """Munros, their subtrees and chunks, as a source makes them."""
    injector = Injector(metadata(), KEY, chunks_per_signature=width)
    return injector.feed(b"".join(number.to_bytes(4, "big") * 256 for number in range(count)), EPOCH + 1000.0)


def served(parts):
    """A datagram's messages for each chunk, with everything that verifies it."""
    for munro, subtree, chunks in parts:
        for number, chunk in enumerate(chunks, munro.start):
            uncles = [Integrity(*node) for node in subtree.uncles(number, left=-1, right=1 << 64)]
            yield [*munro.messages, *uncles, Data(number, number, 0, chunk)]


def test_old_munros_that_come_again_cost_no_signature(source, monkeypatch):
    """Section 12.6.5: what the window has left behind is forgotten, but nobody makes us check it once more."""
    bench, peer = source(signer=None, window=8)
    parts = signed(32)
    for messages in served(parts):
        peer.send(*messages)
        bench.live.read(bench.now)
    verify, checks = LiveKey.verify, []
    monkeypatch.setattr(LiveKey, "verify", lambda *given: checks.append(given) or verify(*given))
    for munro, _, _ in parts * 3:
        peer.send(*munro.messages)
    assert checks == []
    assert bench.channels == 1


def test_chunks_that_wait_for_hashes_keep_no_more_of_them_than_a_chunk_can_need(source):
    """A datagram of 64 KiB has room for two thousand hashes; 128 chunks may wait."""
    bench, peer = source(signer=None)
    ((munro, _, chunks),) = signed(32, width=32)
    peer.send(Have(0, 31), *munro.messages)
    junk = [Integrity(number, number, bytes(32)) for number in range(1000, 2000)]
    peer.send(*junk, Data(3, 3, 0, chunks[3]))
    ((_, _, hashes, _),) = bench.endpoint._swarms[KEY.swarm_id]._waiting.values()
    assert len(hashes) <= MAX_LOOSE_HASHES
