"""Signed munros: how a live stream grows a Merkle tree that its viewers can trust (RFC 7574 section 6.1.2).

The source makes `Munro`s with an `Injector`: each is the root of a subtree over a fixed power of two of new chunks,
signed with its time. Viewers check them with a `MunroVerifier`. The end of a broadcast is a munro with empty leaves (as
in section 5.1): the last chunks, or none at all where the last munro was full.
"""

from enum import Enum

import attrs

from ppsp._addressing import LAYOUT
from ppsp._cutting import cutter_of
from ppsp._subtree import Subtree
from ppsp._unit_codecs import codec_of as codec_of  # users of this module need it
from ppsp.codec import Codec
from ppsp.constants import ChunkAddressing
from ppsp.errors import StateError
from ppsp.livekeys import LiveKey, LiveSigner
from ppsp.messages import Integrity, SignedIntegrity
from ppsp.metadata import SwarmMetadata

DEFAULT_CHUNKS_PER_SIGNATURE = 32
"""Chunks below a munro: at 2 Mbit/s and 1 KiB a chunk, one is signed every 131 ms."""

MAX_CHUNKS_PER_SIGNATURE = 4096
"""The widest munro that is made or believed. It bounds the memory that one of them takes: 8192 hashes."""

MAX_AGE_SECONDS = 30.0
"""How old the signature of a munro may be that was not asked for (section 6.1.2.4 leaves it open)."""

PATIENCE_SECONDS = 2.0
"""How long a viewer waits for a chunk that is missing while later ones are there. Then the playback point jumps."""

DEFAULT_WINDOW = 16_384
"""Chunks kept before the newest: a minute of 2 Mbit/s in chunks of 1 KiB."""

_NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970
_ERA = 1 << 64


def ntp_timestamp(unix_time: float) -> int:
    """Seconds since 1970 in the NTP timestamp format (RFC 5905 section 6): seconds since 1900 and their fraction."""
    return int((unix_time + _NTP_EPOCH) * (1 << 32)) % _ERA


def ntp_age(timestamp: int, unix_time: float) -> float:
    """Seconds from an NTP timestamp to `unix_time`, negative when it lies ahead. The era wraps in 2036: modulo 2^64."""
    difference = (ntp_timestamp(unix_time) - timestamp) % _ERA
    return (difference - _ERA if difference >= _ERA // 2 else difference) / (1 << 32)


def plaintext(codec: Codec, start: int, end: int, timestamp: int, content: bytes | memoryview) -> bytes:
    """What is signed (sections 6.1.1 and 6.1.2.2): chunk specification as on the wire, NTP timestamp, hash or chunk."""
    return b"".join((codec.chunk_specification(start, end), timestamp.to_bytes(8, "big"), content))


@attrs.frozen
class Munro:
    """A signed munro over the chunks `start` to `end` (end inclusive); `ntp_timestamp` is the 64 bits of the wire."""

    start: int
    end: int
    hash: bytes
    ntp_timestamp: int
    signature: bytes

    @property
    def messages(self) -> tuple[Integrity, SignedIntegrity]:
        """The two messages that carry it, which go in one datagram (section 6.1.2.3)."""
        return (
            Integrity(self.start, self.end, self.hash),
            SignedIntegrity(self.start, self.end, self.ntp_timestamp, self.signature),
        )


def highest_chunk(metadata: SwarmMetadata) -> int:
    """The greatest chunk number that the chunk addressing method of a swarm denotes."""
    limit = LAYOUT[metadata.chunk_addressing].limit
    octets = metadata.chunk_addressing is ChunkAddressing.BYTE64
    return (limit + 1) // metadata.chunk_size - 1 if octets else limit


def check_numbers(metadata: SwarmMetadata, end: int) -> None:
    """Raise StateError when there is no chunk `end`: a stream that has used up its numbers needs another key."""
    if end > highest_chunk(metadata):
        raise StateError(f"{metadata.chunk_addressing.name} has no chunk {end}: the stream goes on under another key")


def check_width(width: int) -> None:
    """Raise StateError unless `width` can be NCHUNKS_PER_SIG: a power of 2 above 1 (section 6.1.2.1)."""
    if not 2 <= width <= MAX_CHUNKS_PER_SIGNATURE or width & (width - 1):
        raise StateError(f"chunks per signature are a power of 2 from 2 to {MAX_CHUNKS_PER_SIGNATURE}, not {width}")


class Injector:
    """Cuts what a source produces into chunks, and signs a munro for every `chunks_per_signature` of them.

    Numbering starts at `first_chunk`, a multiple of it: a source that goes on with its key after a restart must start
    above every number that it has used, since a munro that was signed is never taken back. Raises StateError for other
    numbers, and when the key is not that of the swarm.
    """

    def __init__(
        self,
        metadata: SwarmMetadata,
        signer: LiveSigner,
        *,
        chunks_per_signature: int = DEFAULT_CHUNKS_PER_SIGNATURE,
        first_chunk: int = 0,
    ) -> None:
        check_width(chunks_per_signature)
        if first_chunk < 0 or first_chunk % chunks_per_signature:
            raise StateError(f"the first chunk is a multiple of {chunks_per_signature}, not {first_chunk}")
        check_numbers(metadata, first_chunk + chunks_per_signature - 1)
        if signer.swarm_id != metadata.swarm_id:
            raise StateError("the private key is not that of the swarm")
        self.width = chunks_per_signature
        self.next_chunk = first_chunk
        self.ended = False
        self._metadata = metadata
        self._signer = signer
        self._codec = codec_of(metadata)
        self._cutter = cutter_of(metadata)
        self._chunks: list[bytes] = []

    @property
    def waiting(self) -> int:
        """Octets that are not signed yet, since they do not fill a munro."""
        return sum(map(len, self._chunks)) + self._cutter.waiting

    def feed(self, data: bytes | memoryview, unix_time: float) -> list[tuple[Munro, Subtree, list[bytes]]]:
        """Take more of the stream; returns the munros that it completes, each with its subtree and chunks.

        Where sizes vary, `data` is one chunk. Raises StateError after the end, when the chunk numbers are used up, and
        for a chunk that cannot be; then nothing of `data` is taken.
        """
        if self.ended:
            raise StateError("the broadcast has ended")
        munros = (len(self._chunks) + self._cutter.count(data)) // self.width
        check_numbers(self._metadata, self.next_chunk + munros * self.width - 1)
        chunks = self._chunks
        chunks += self._cutter.cut(data)
        found = [self._sign(chunks[at * self.width : (at + 1) * self.width], unix_time) for at in range(munros)]
        del chunks[: munros * self.width]
        return found

    def end(self, unix_time: float) -> tuple[Munro, Subtree, list[bytes]]:
        """End the broadcast: the last munro, over what is left. Its missing leaves are empty.

        The last chunk may be short. With nothing left all leaves are empty, which proves the end all the same. Raises
        StateError the second time, and when the chunk numbers are used up.
        """
        if self.ended:
            raise StateError("the broadcast has ended")
        check_numbers(self._metadata, self.next_chunk + self.width - 1)
        self.ended = True
        chunks, self._chunks = self._chunks + self._cutter.rest(), []
        return self._sign(chunks, unix_time)

    def _sign(self, chunks: list[bytes], unix_time: float) -> tuple[Munro, Subtree, list[bytes]]:
        start = self.next_chunk
        tree = Subtree.of_chunks(start, self.width, chunks, self._metadata.merkle_hash_function)
        end = start + self.width - 1
        timestamp = ntp_timestamp(unix_time)
        signature = self._signer.sign(plaintext(self._codec, start, end, timestamp, tree.root))
        self.next_chunk = end + 1
        return Munro(start, end, tree.root, timestamp, signature), tree, chunks


class ChunkSigner:
    """Cuts what a source produces into chunks and signs each of them: Sign All (section 6.1.1).

    Numbering starts at `first_chunk`, above every number that was used with the key before. Raises StateError when the
    key is not that of the swarm, and for a number that cannot be.
    """

    def __init__(self, metadata: SwarmMetadata, signer: LiveSigner, *, first_chunk: int = 0) -> None:
        if first_chunk < 0:
            raise StateError(f"there is no chunk {first_chunk}")
        check_numbers(metadata, first_chunk)
        if signer.swarm_id != metadata.swarm_id:
            raise StateError("the private key is not that of the swarm")
        self.next_chunk = first_chunk
        self._metadata = metadata
        self._signer = signer
        self._codec = codec_of(metadata)
        self._cutter = cutter_of(metadata)

    def feed(self, data: bytes | memoryview, unix_time: float) -> list[tuple[int, bytes, bytes]]:
        """Take more of the stream; returns number, octets, and NTP timestamp with signature of each chunk completed.

        Where sizes vary, `data` is one chunk. Raises StateError when the chunk numbers are used up, and for a chunk
        that cannot be; then nothing of `data` is taken.
        """
        check_numbers(self._metadata, self.next_chunk + self._cutter.count(data) - 1)
        return self._sign(self._cutter.cut(data), unix_time)

    def end(self, unix_time: float) -> list[tuple[int, bytes, bytes]]:
        """What is left is a chunk, too, however short. Raises StateError when the chunk numbers are used up."""
        check_numbers(self._metadata, self.next_chunk + min(self._cutter.waiting, 1) - 1)
        return self._sign(self._cutter.rest(), unix_time)

    def _sign(self, chunks: list[bytes], unix_time: float) -> list[tuple[int, bytes, bytes]]:
        stamp = ntp_timestamp(unix_time)
        found = []
        for number, chunk in enumerate(chunks, self.next_chunk):
            signature = self._signer.sign(plaintext(self._codec, number, number, stamp, chunk))
            found.append((number, chunk, stamp.to_bytes(8, "big") + signature))
        self.next_chunk += len(chunks)
        return found


class MunroVerdict(Enum):
    """What a signed munro is worth."""

    GOOD = "signed by the source"
    TOO_OLD = "too old"
    FORGED = "its signature is wrong"
    MISSHAPEN = "no munro of this stream"


class MunroVerifier:
    """Checks munros against the public key of the stream. `width` is None until the first good one tells it."""

    def __init__(self, metadata: SwarmMetadata, *, max_age: float | None = MAX_AGE_SECONDS) -> None:
        """`max_age` is in seconds; None takes munros of any age, for a peer whose clock is not to be trusted."""
        self.width: int | None = None
        self._key = LiveKey(metadata.swarm_id)
        self._codec = codec_of(metadata)
        self._max_age = max_age

    def check(self, munro: Munro, unix_time: float, *, asked: bool) -> MunroVerdict:
        """Look at the shape and the age first: only what may be of use costs a signature.

        `asked` says that a chunk below it was requested: then its age does not matter, since late and paused viewers
        ask for old chunks (sections 6.1.2.3 and 6.2).
        """
        width = munro.end - munro.start + 1
        if width != (self.width or width) or not is_munro(munro.start, munro.end):
            return MunroVerdict.MISSHAPEN
        if not asked and self._max_age is not None and ntp_age(munro.ntp_timestamp, unix_time) > self._max_age:
            return MunroVerdict.TOO_OLD
        signed = plaintext(self._codec, munro.start, munro.end, munro.ntp_timestamp, munro.hash)
        if not self._key.verify(munro.signature, signed):
            return MunroVerdict.FORGED
        self.width = width
        return MunroVerdict.GOOD


def is_munro(start: int, end: int) -> bool:
    """Whether the chunks `start` to `end` can be those of a munro: 2 at least, a power of two, aligned."""
    width = end - start + 1
    return 2 <= width <= MAX_CHUNKS_PER_SIGNATURE and not width & (width - 1) and not start % width
