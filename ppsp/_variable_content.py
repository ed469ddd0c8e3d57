"""What this peer holds of content whose chunks differ in size (RFC 7574 section 7.11)."""

from ppsp._content import Content
from ppsp._ranges import RangeSet
from ppsp.constants import DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE
from ppsp.errors import StateError
from ppsp.merkle import MerkleTree
from ppsp.metadata import SwarmMetadata
from ppsp.ports import VariableStore


class VariableContent(Content):
    """The chunks of one swarm, kept by number. How many octets they have in all is known when all are there.

    `chunk_size` is the mean of those that are held: by it octets are taken for chunks where that need not be exact.
    """

    __slots__ = ("_kept", "_octets")

    is_variable = True
    store: VariableStore  # type: ignore[assignment] # by number, where the other is by octet

    def __init__(
        self,
        metadata: SwarmMetadata,
        store: VariableStore,
        tree: MerkleTree | None = None,
        have: RangeSet | None = None,
        content_size: int | None = None,
    ) -> None:
        """As `Content`; `content_size` need not be given, and is that of all chunks when it is."""
        if not hasattr(store, "size"):
            # A `ChunkStore` would take the numbers of chunks for offsets.
            raise StateError(f"a {type(store).__name__} keeps octets: chunks of variable size need a VariableStore")
        self._kept = self._octets = 0
        super().__init__(metadata, store, tree, have)  # type: ignore[arg-type]
        if content_size not in (None, self.content_size):
            raise StateError(f"{content_size} octets are not what the chunks have that are held")

    def _expected_count(self) -> int | None:
        return self.metadata.chunk_count

    def _set_count(self, chunk_count: int) -> None:
        if self._expected_count() not in (None, chunk_count):
            raise StateError(f"the tree has {chunk_count} chunks, the metadata say {self._expected_count()}")
        super()._set_count(chunk_count)

    def _check_held(self, chunk_count: int) -> None:
        size = self.store.size
        octets = sum(size(chunk) for start, stop in self.have for chunk in range(start, stop))
        if octets:
            self._count(self.have.total, octets, chunk_count)

    def _count(self, chunks: int, octets: int, chunk_count: int) -> None:
        self._kept += chunks
        self._octets += octets
        self.chunk_size = max(self._octets // self._kept, 1)
        if self._kept == chunk_count:
            self.content_size = self._octets

    @property
    def octets_held(self) -> int:
        """The octets of the chunks that are held."""
        return self._octets

    @property
    def segment_size(self) -> int:
        """The size of a full segment, in octets: a window counted in smaller ones would grow too slowly."""
        return max(self.chunk_size, DEFAULT_CHUNK_SIZE)

    def _fits(self, chunk: int, length: int, count: int) -> bool:
        return 1 <= length <= MAX_CHUNK_SIZE

    def _keep(self, chunk: int, payload: bytes | memoryview, count: int) -> None:
        self.store.write(chunk, payload)
        self._count(1, len(payload), count)

    def read(self, start: int, stop: int) -> memoryview:
        """The octets of held chunks. Raises OSError when the store does."""
        return memoryview(b"".join([self.store.read(chunk) for chunk in range(start, stop)]))
