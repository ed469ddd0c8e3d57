"""What is held of a live stream: a window of chunks, and the signed munros that prove them (RFC 7574 section 6)."""

from collections.abc import Mapping
from typing import TypeAlias

from ppsp._content import Reception
from ppsp._ranges import RangeSet
from ppsp._subtree import Subtree
from ppsp._unit_codecs import codec_of
from ppsp.constants import DEFAULT_CHUNK_SIZE
from ppsp.live import Munro, ntp_age, plaintext
from ppsp.livekeys import LiveKey
from ppsp.metadata import SwarmMetadata

# Chunks of variable size over which their mean goes, about.
_MEAN_CHUNKS = 16
_Ranges: TypeAlias = list[tuple[int, int]]


class LiveContent:
    """Chunks in memory, by number. Ranges are half-open; the window is in chunks.

    Kept are the chunks of the `window` up to the last one that is held, which is what the discard window promises to
    peers (section 7.9), and as many from the playback point `position` on, for a viewer who is behind.
    Everything else is forgotten by `prune`.
    """

    __slots__ = (
        "_chunks",
        "_codec",
        "_fresh",
        "_key",
        "_max_age",
        "_munros",
        "chunk_size",
        "edge",
        "end",
        "have",
        "is_variable",
        "metadata",
        "newest",
        "position",
        "window",
    )

    # Of static content these are known, sooner or later.
    chunk_count = claimed_count = content_size = None
    complete = False

    def __init__(self, metadata: SwarmMetadata, window: int, max_age: float | None) -> None:
        self.metadata = metadata
        # Where sizes vary, it is a mean.
        self.is_variable = metadata.is_variable
        self.chunk_size = metadata.usual_chunk_size
        self.window = window
        self.have = RangeSet()
        self.edge = 0
        self.position: int | None = None
        # The number of the first chunk that will never be, once that is proven.
        self.end: int | None = None
        self.newest: Munro | None = None
        self._max_age = max_age
        self._codec = codec_of(metadata)
        # Under Sign All there are no munros: each chunk has a signature of its own.
        self._key = None if metadata.hash_size else LiveKey(metadata.swarm_id)
        self._munros: dict[int, tuple[Munro, Subtree]] = {}
        # A chunk, and under Sign All its timestamp and signature.
        self._chunks: dict[int, tuple[bytes, bytes]] = {}
        self._fresh: list[int] = []

    # What proves the chunks

    def munro_of(self, chunk: int) -> tuple[Munro, Subtree] | None:
        """The munro above a chunk, if it is known, and the hashes known below it."""
        newest = self.newest
        return None if newest is None else self._munros.get(chunk - chunk % (newest.end - newest.start + 1))

    def add_munro(self, munro: Munro, subtree: Subtree | None = None) -> None:
        """Take a munro that is signed by the source."""
        if subtree is None:
            subtree = Subtree(munro.start, munro.end - munro.start + 1, munro.hash, self.metadata.merkle_hash_function)
        self._munros[munro.start] = munro, subtree
        if self.newest is None or munro.start > self.newest.start:
            self.newest = munro
        if subtree.is_empty:
            self._ends_at(munro.start)
        else:
            self._grow(munro.end + 1)

    def _grow(self, edge: int) -> None:
        self.edge = max(self.edge, edge)
        if self.end is not None and self.edge > self.end and self.edge - self.end > self._width:
            self.end = None  # the source has begun another broadcast

    @property
    def _width(self) -> int:
        return 1 if self.newest is None else self.newest.end - self.newest.start + 1

    def _ends_at(self, chunk: int) -> None:
        if chunk >= self.edge - self._width:
            self.end = chunk

    # Chunks

    @property
    def octets_held(self) -> int:
        """The octets of the chunks that are held, about."""
        return self.have.total * self.chunk_size

    @property
    def segment_size(self) -> int:
        """The size of a full segment, in octets, for congestion control."""
        return max(self.chunk_size, DEFAULT_CHUNK_SIZE) if self.is_variable else self.chunk_size

    def inject(self, chunk: int, payload: bytes, proof: bytes = b"") -> None:
        """Hold a chunk of our own; `proof` is its timestamp and signature under Sign All."""
        self._chunks[chunk] = payload, proof
        self._fresh.append(chunk)
        if self.is_variable:
            # A mean over what came last: what is asked for next will hardly be of another kind.
            self.chunk_size = max(self.chunk_size + (len(payload) - self.chunk_size) // _MEAN_CHUNKS, 1)
        if self._key is not None:
            self._grow(chunk + 1)

    def accept(self, chunk: int, payload: bytes | memoryview, hashes: Mapping[tuple[int, int], bytes]) -> Reception:
        """Verify a chunk and keep it."""
        if chunk in self._chunks or not self.keeps(chunk):
            return Reception.DUPLICATE
        proof = b""
        if self._key is not None:
            proof = hashes.get((chunk, chunk), b"")
            reception = self._check_signed(self._key, chunk, payload, proof)
        else:
            reception = self._check_below_munro(chunk, payload, hashes)
        if reception is Reception.ACCEPTED:
            self.inject(chunk, bytes(payload), proof)
        return reception

    def _check_signed(self, key: LiveKey, chunk: int, payload: bytes | memoryview, proof: bytes) -> Reception:
        if not proof:
            return Reception.UNVERIFIABLE
        signed = plaintext(self._codec, chunk, chunk, int.from_bytes(proof[:8], "big"), payload)
        return Reception.ACCEPTED if key.verify(proof[8:], signed) else Reception.WRONG

    def _check_below_munro(
        self, chunk: int, payload: bytes | memoryview, hashes: Mapping[tuple[int, int], bytes]
    ) -> Reception:
        entry = self.munro_of(chunk)
        if entry is None:
            return Reception.UNVERIFIABLE
        subtree = entry[1]
        verdict = subtree.verify(chunk, payload, hashes)
        if verdict is None:
            return Reception.UNVERIFIABLE
        if not verdict:
            return Reception.WRONG
        if subtree.ends_after(chunk):
            self._ends_at(chunk + 1)
        return Reception.ACCEPTED

    def is_fresh(self, chunk: int, unix_time: float) -> bool:
        """Whether the signature of a chunk held under Sign All is young enough to tune in by."""
        stamp = int.from_bytes(self._chunks[chunk][1][:8], "big")
        return self._max_age is None or ntp_age(stamp, unix_time) <= self._max_age

    def holds(self, chunk: int) -> bool:
        """Whether the chunk is verified and kept."""
        return chunk in self._chunks

    def chunk(self, chunk: int) -> tuple[bytes, bytes] | None:
        """A chunk, with its timestamp and signature under Sign All; None where it is not held."""
        return self._chunks.get(chunk)

    def merge(self) -> _Ranges:
        """Take the chunks that are new since the last call into `have`; returns them as ascending ranges."""
        fresh, self._fresh = self._fresh, []
        ranges = RangeSet()
        for chunk in fresh:
            if chunk in self._chunks:
                ranges.add(chunk, chunk + 1)
        for start, stop in ranges:
            self.have.add(start, stop)
        return list(ranges)

    # The window

    def keeps(self, chunk: int) -> bool:
        """Whether a chunk of this number is kept when it comes."""
        at = self.position
        return chunk >= self.edge - self.window or (at is not None and at <= chunk < at + self.window)

    @property
    def low(self) -> int:
        """Where the window starts that peers were promised: it ends with the last chunk advertised (section 7.9)."""
        last = self.have.last_before(self.edge)
        return (self.edge if last is None else last + 1) - self.window

    def prune(self) -> _Ranges:
        """Forget what the window has left behind; returns the chunks that are gone, as ranges."""
        low, at = self.low, self.position
        if at is None or at >= low:
            gone = self.have.remove(0, low)
        else:
            gone = self.have.remove(0, at) + self.have.remove(at + self.window, low)
        for start, stop in gone:
            for chunk in range(start, stop):
                del self._chunks[chunk]
        if gone or len(self._munros) > 2 * self.window:
            width = self._width
            for start in [start for start in self._munros if not self._keeps_any(start, start + width, low)]:
                del self._munros[start]
        return gone

    def _keeps_any(self, start: int, stop: int, low: int) -> bool:
        at = self.position
        return stop > low or (at is not None and at < stop and start < at + self.window)
