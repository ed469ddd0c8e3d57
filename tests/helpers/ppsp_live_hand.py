"""A live stream of a known key for tests: what its source sends, and a peer played by hand."""

from ppsp.constants import ContentIntegrityProtection
from ppsp.live import Injector, codec_of
from ppsp.livekeys import LiveSigner
from ppsp.messages import Data, Have, Integrity
from ppsp.metadata import SwarmMetadata

UMT = ContentIntegrityProtection.UNIFIED_MERKLE_TREE
SIGN_ALL = ContentIntegrityProtection.SIGN_ALL
EPOCH = 1_700_000_000.0
NOW = 1000.0
KEY = LiveSigner.generate()
OTHER = LiveSigner.generate()
METADATA = SwarmMetadata(KEY.swarm_id, content_integrity=UMT)


def octets(count, first=0):
    """Chunks that differ."""
    return b"".join((first + number).to_bytes(4, "big") * 256 for number in range(count))


class Stream:
    """What a source of our key would send, made by an injector of its own."""

    def __init__(self, *, width=4, first=0, count=16, at=EPOCH + NOW, key=KEY, metadata=METADATA):
        injector = Injector(metadata, key, chunks_per_signature=width, first_chunk=first)
        self.parts = injector.feed(octets(count, first), at)
        self.chunks = {m.start + k: chunk for m, _, chunks in self.parts for k, chunk in enumerate(chunks)}

    def of(self, chunk):
        return next(part for part in self.parts if part[0].start <= chunk <= part[0].end)

    def munro(self, chunk):
        return list(self.of(chunk)[0].messages)

    def serve(self, chunk, *, munro=True, payload=None):
        """The messages that bring a chunk to who has nothing."""
        uncles = [Integrity(*node) for node in self.of(chunk)[1].uncles(chunk, left=-1, right=1 << 62)]
        data = Data(chunk, chunk, 0, self.chunks[chunk] if payload is None else payload)
        return [*(self.munro(chunk) if munro else []), *uncles, data]


def by_hand(lab):
    """Makes a bench with a live swarm, and a peer played by hand; `bench.live` is the stream."""

    def make(*, metadata=METADATA, host=9, bench=None, channel=0x01020304, **settings):
        if bench is None:
            bench = lab.Bench(epoch=EPOCH)
            bench.live = bench.endpoint.add_live_swarm(metadata, **settings)
        peer = lab.HandPeer.__new__(lab.HandPeer)
        peer.bench, peer.publication, peer.metadata = bench, None, metadata
        peer.address, peer.channel, peer.remote = (f"192.0.2.{host}", 6778), channel, 0
        peer.codec = codec_of(metadata)
        return bench, peer

    return make


def live_options(metadata=METADATA, **changes):
    return {"live_signature_algorithm": metadata.swarm_id[0], "live_discard_window": 2**32 - 1, **changes}


def publish(bench, count, first=0):
    bench.live.publish(octets(count, first), bench.now)
    bench.flush()


def read(bench):
    return bench.live.read(bench.now)


def tuned_in(hand, stream, chunk=0, **settings):
    """A viewer that has heard of the munro over `chunk`, from a peer that offers everything up to it."""
    bench, peer = hand(**settings)
    peer.open(*stream.munro(chunk), Have(0, stream.of(chunk)[0].end), **live_options())
    return bench, peer
