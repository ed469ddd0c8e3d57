"""What this peer holds of a swarm's content: the chunks, their tree, and which of them are verified."""

from collections.abc import Mapping
from enum import Enum

from ppsp._ranges import RangeSet
from ppsp._writing import Writing
from ppsp.errors import StateError
from ppsp.merkle import MerkleTree, Verdict
from ppsp.metadata import SwarmMetadata
from ppsp.ports import ChunkStore


class Reception(Enum):
    """What became of a chunk that a peer sent."""

    ACCEPTED = "verified and stored"
    DUPLICATE = "held already"
    WRONG = "fails the integrity check"
    UNVERIFIABLE = "the hashes to verify it by are missing"
    IMPOSSIBLE = "no such chunk"
    PROVISIONAL = "fits a number of chunks that only the last of them can prove"


_MISSING_OR_WRONG = {Verdict.WRONG: Reception.WRONG, Verdict.MISSING_HASHES: Reception.UNVERIFIABLE}


class Content:
    """The chunks of one swarm. Chunks count from 0; ranges are half-open; sizes are octets."""

    __slots__ = (
        "_fresh",
        "_held",
        "_writing",
        "chunk_count",
        "chunk_size",
        "content_size",
        "have",
        "metadata",
        "store",
        "tree",
    )

    # Whether chunks differ in size, and `chunk_size` is a mean.
    is_variable = False

    def __init__(
        self,
        metadata: SwarmMetadata,
        store: ChunkStore,
        tree: MerkleTree | None = None,
        have: RangeSet | None = None,
        content_size: int | None = None,
    ) -> None:
        """Without a `tree` nothing is held. With one, `have` is what the store holds of it (None: everything)."""
        self.metadata = metadata
        self.store = store
        self._writing = Writing(store)
        self.chunk_size = metadata.usual_chunk_size
        self.tree = tree if tree is not None else MerkleTree(metadata.swarm_id, metadata.merkle_hash_function)
        if self.tree.root != metadata.swarm_id:
            raise StateError("the tree's root hash is not the swarm ID")
        self.content_size = content_size if content_size is not None else metadata.content_size
        expected = self._expected_count()
        if expected is not None and self.tree.chunk_count is None:
            self.tree.set_chunk_count(expected)
        self.chunk_count: int | None = None
        self.have = RangeSet()
        self._held = bytearray()
        # Chunks accepted since the last merge, which may not be written yet: ranges are kept per batch, not per chunk.
        self._fresh: list[int] = []
        if self.tree.chunk_count is not None and self.tree.is_size_certain:
            self._set_count(self.tree.chunk_count)
            self._hold(have, complete=tree is not None and have is None)
        elif have:
            raise StateError("chunks are held, so the tree that proves them must be given")

    def _expected_count(self) -> int | None:
        return None if self.content_size is None else -(-self.content_size // self.chunk_size)

    def _set_count(self, chunk_count: int) -> None:
        if self._expected_count() not in (None, chunk_count):
            size = self.content_size
            raise StateError(f"content of {size} octets does not have {chunk_count} chunks of {self.chunk_size}")
        self.chunk_count = chunk_count
        self._held = bytearray(chunk_count)

    def _hold(self, have: RangeSet | None, *, complete: bool) -> None:
        assert self.chunk_count is not None
        if complete:
            have = RangeSet([(0, self.chunk_count)])
        for start, stop in have or ():
            if stop > self.chunk_count:
                raise StateError(f"chunk {stop - 1} is held, of {self.chunk_count}")
            self.have.add(start, stop)
            self._held[start:stop] = b"\1" * (stop - start)
            if any(self.tree.node(chunk, chunk) is None for chunk in range(start, stop)):
                raise StateError(f"the tree does not prove the chunks {start} to {stop - 1}")
        self._check_held(self.chunk_count)

    def _check_held(self, chunk_count: int) -> None:
        if chunk_count - 1 in self.have and self.content_size is None:
            raise StateError("the last chunk is held, so the content size must be given")

    @property
    def octets_held(self) -> int:
        """The octets of the chunks that are held."""
        count, size = self.chunk_count, self.content_size
        missing = 0 if count is None or size is None or count - 1 not in self.have else count * self.chunk_size - size
        return self.have.total * self.chunk_size - missing

    @property
    def segment_size(self) -> int:
        """The size of a full segment, in octets, for congestion control."""
        return self.chunk_size

    @property
    def claimed_count(self) -> int | None:
        """The number of chunks that peers claim, proven or not; None while nobody did."""
        return self.tree.chunk_count

    @property
    def complete(self) -> bool:
        """Whether every chunk is held."""
        return self.chunk_count is not None and self.have.total == self.chunk_count

    def holds(self, chunk: int) -> bool:
        """Whether the chunk is verified and stored, merged or not."""
        return chunk < len(self._held) and self._held[chunk] == 1

    def accept(self, chunk: int, payload: bytes | memoryview, hashes: Mapping[tuple[int, int], bytes]) -> Reception:
        """Verify a chunk and store it, at the latest by `merge`.

        Raises OSError when the store does; the chunk then is not held, nor are the others since the last merge.
        """
        count = self.chunk_count
        if count is not None:
            if chunk >= count:
                return Reception.IMPOSSIBLE
            if self._held[chunk]:
                return Reception.DUPLICATE
            if not self._fits(chunk, len(payload), count):
                return Reception.WRONG
        verdict = self.tree.verify(chunk, payload, hashes)
        if verdict is not Verdict.VERIFIED:
            return _MISSING_OR_WRONG[verdict]
        if count is None:
            count = self.tree.chunk_count
            assert count is not None
            if not self.tree.is_size_certain:
                return Reception.PROVISIONAL
            self._set_count(count)
            if not self._fits(chunk, len(payload), count):
                return Reception.WRONG
        self._keep(chunk, payload, count)
        self._held[chunk] = 1
        self._fresh.append(chunk)
        return Reception.ACCEPTED

    def _keep(self, chunk: int, payload: bytes | memoryview, count: int) -> None:
        try:
            self._writing.write(chunk * self.chunk_size, payload)
        except OSError:
            self._lose_fresh()
            raise
        if chunk == count - 1:
            self.content_size = chunk * self.chunk_size + len(payload)

    def _fits(self, chunk: int, length: int, count: int) -> bool:
        """Every chunk but the last is full (section 5.6); the last is as long as the content, where that is known."""
        if chunk < count - 1:
            return length == self.chunk_size
        if self.content_size is not None:
            return length == self.content_size - chunk * self.chunk_size
        return 1 <= length <= self.chunk_size

    def merge(self) -> list[tuple[int, int]]:
        """Take the chunks accepted since the last call into `have`; returns them as ascending ranges.

        Raises OSError when the store does; none of them is held then.
        """
        fresh = self._fresh
        if not fresh:
            return []
        try:
            self._writing.flush()
        except OSError:
            self._lose_fresh()
            raise
        self._fresh = []
        fresh.sort()
        ranges = []
        start = previous = fresh[0]
        for chunk in fresh:
            if chunk > previous + 1:
                ranges.append((start, previous + 1))
                start = chunk
            previous = chunk
        ranges.append((start, previous + 1))
        for first, stop in ranges:
            self.have.add(first, stop)
        return ranges

    def _lose_fresh(self) -> None:
        for chunk in self._fresh:
            self._held[chunk] = 0
        self._fresh = []

    def read(self, start: int, stop: int) -> memoryview:
        """The octets of held chunks. Raises OSError when the store does, or has less than it was given."""
        offset = start * self.chunk_size
        length = (stop - start) * self.chunk_size
        if self.content_size is not None:
            length = min(length, self.content_size - offset)
        data = memoryview(self.store.read(offset, length))
        if len(data) != length:
            raise OSError(f"the store has {len(data)} octets at {offset}, not {length}")
        return data
