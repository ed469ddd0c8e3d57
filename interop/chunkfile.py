"""The half-fetched file of a swarm whose chunks differ in size (RFC 7574 section 7.11).

Where a chunk belongs in the file is known only when all before it are there. So `OUT.part` is a log: chunks one behind
another as they come. `OUT.part.chunks` says which: a record a chunk, in the order of the log, its number and its size
in octets (two unsigned 32-bit integers). As with the journal, nothing of it is believed: what an earlier run left
counts when it hashes up to the swarm's root. The complete content is put in order, unless it came in order; and beside
it stands the list of its sizes, by which it can be verified and served again (`interop.chunk_sizes`).
"""

from __future__ import annotations

import errno
import os
from array import array
from collections.abc import Callable
from pathlib import Path
from struct import Struct

from interop.chunk_sizes import may_replace, sizes_path, write_sizes
from interop.filestore import PartialFile, PartialFileError, write_at
from interop.resume import HeldContent, restore
from ppsp import RangeSet
from ppsp.constants import DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE
from ppsp.merkle import MAX_CHUNKS, MerkleTree
from ppsp.metadata import SwarmUri

_RECORD = Struct(">II")
# Octets copied at once.
_STRIDE = 4 * 1024 * 1024
# A place is an offset and a size in one number.
_SIZE_BITS = 16
_SIZE_MASK = (1 << _SIZE_BITS) - 1


class ChunkLog:
    """The `VariableStore` of a log `fd` and its `index`, two open files. It does not close them.

    It is what can be resumed from, too, as `interop.resume.PartOctets`. Raises OSError.
    """

    def __init__(self, fd: int, index: int) -> None:
        self._fd = fd
        self._index = index
        self._places: dict[int, int] = {}
        self._end = 0
        self._records = 0
        self._fresh = bytearray()
        self._reserved = False
        self._load()

    def _load(self) -> None:
        """Every whole record of what is in the log; a crash may have kept more of the one file than of the other."""
        length = os.fstat(self._fd).st_size
        with os.fdopen(os.dup(self._index), "rb") as file:
            file.seek(0)
            while len(record := file.read(_RECORD.size)) == _RECORD.size:
                chunk, size = _RECORD.unpack(record)
                if not 1 <= size <= MAX_CHUNK_SIZE or chunk >= MAX_CHUNKS or self._end + size > length:
                    break
                self._places[chunk] = self._end << _SIZE_BITS | size
                self._end += size
                self._records += 1
        os.ftruncate(self._index, self._records * _RECORD.size)

    def size(self, chunk: int) -> int:
        """The octets of a chunk; OSError where it was not written."""
        return self._place(chunk) & _SIZE_MASK

    def _place(self, chunk: int) -> int:
        try:
            return self._places[chunk]
        except KeyError:
            raise OSError(errno.EINVAL, f"there is no chunk {chunk}") from None

    def read(self, chunk: int) -> bytes:
        """The octets of a chunk; OSError where it was not written, or the log was cut short."""
        place = self._place(chunk)
        size = place & _SIZE_MASK
        data = os.pread(self._fd, size, place >> _SIZE_BITS)
        if len(data) != size:
            raise OSError(errno.EIO, f"the log has {len(data)} of the {size} octets of chunk {chunk}")
        return data

    def write(self, chunk: int, data: bytes | memoryview) -> None:
        """Append a chunk; OSError when it does not fit."""
        write_at(self._fd, data, self._end)
        self._places[chunk] = self._end << _SIZE_BITS | len(data)
        self._end += len(data)
        self._fresh += _RECORD.pack(chunk, len(data))

    def flush(self, chunk_count: int) -> None:
        """Append to the index what was written since the last call; OSError when that fails."""
        if not self._fresh:
            return
        if not self._reserved:
            # The space of all records now, so that a full disk does not forget what it holds; zeros are no record.
            left = max(chunk_count - self._records, len(self._fresh) // _RECORD.size)
            os.posix_fallocate(self._index, self._records * _RECORD.size, left * _RECORD.size)
            self._reserved = True
        write_at(self._index, self._fresh, self._records * _RECORD.size)
        self._records += len(self._fresh) // _RECORD.size
        self._fresh.clear()

    # What is resumed from

    @property
    def chunk_size(self) -> int:
        """The mean size of a chunk."""
        return self._end // len(self._places) if self._places else DEFAULT_CHUNK_SIZE

    def chunks(self, first: int, last: int) -> list[bytes]:
        """The chunks, b"" for one that is not there."""
        found = []
        for chunk in range(first, last + 1):
            place = self._places.get(chunk, 0)
            found.append(os.pread(self._fd, place & _SIZE_MASK, place >> _SIZE_BITS))
        return found

    def content_size(self, have: RangeSet, count: int) -> int | None:
        """The octets of all chunks, when all are held."""
        return self._octets(have) if count and have.total == count else None

    def octets_held(self, have: RangeSet, content_size: int | None, count: int) -> int:
        """How many octets the chunks in `have` are."""
        return self._octets(have) if content_size is None else content_size

    def _octets(self, have: RangeSet) -> int:
        return sum(self.size(chunk) for start, stop in have for chunk in range(start, stop))

    # The complete content

    def sizes(self, content_size: int) -> array[int]:
        """The sizes of the chunks of complete content of so many octets, in its order."""
        sizes = array("H")
        left = content_size
        while left > 0:
            sizes.append(self.size(len(sizes)))
            left -= sizes[-1]
        return sizes

    def is_in_order(self, chunk_count: int) -> bool:
        """Whether the log begins with the chunks as they stand in the content."""
        at = 0
        for chunk in range(chunk_count):
            place = self._place(chunk)
            if place >> _SIZE_BITS != at:
                return False
            at += place & _SIZE_MASK
        return True

    def copy_to(self, fd: int, chunk_count: int) -> None:
        """Write the content to `fd`, in order; OSError when that fails."""
        at, gathered = 0, bytearray()
        for chunk in range(chunk_count):
            gathered += self.read(chunk)
            if len(gathered) >= _STRIDE:
                write_at(fd, gathered, at)
                at += len(gathered)
                gathered.clear()
        write_at(fd, gathered, at)


class PartialChunks(PartialFile):
    """As `PartialFile`, for chunks that differ in size.

    Raises PartialFileError, besides, where something else stands at the place of the list of sizes.
    """

    store: ChunkLog  # type: ignore[assignment] # by number, where the other is by octet

    def __init__(self, target: Path, uri: SwarmUri, *, overwrite: bool = False) -> None:
        listed = sizes_path(target)
        if not overwrite and not may_replace(listed):
            raise PartialFileError(f"{listed}, where the sizes of the chunks are to be listed, is another file")
        super().__init__(target, uri, overwrite=overwrite)
        self._index_path = target.with_name(target.name + ".part.chunks")
        self._whole_path = target.with_name(target.name + ".part.whole")
        try:
            self._whole_path.unlink(missing_ok=True)  # a crash left it half-way
            self._index = os.open(self._index_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            super().close()
            raise
        try:
            self.store = ChunkLog(self._fd, self._index)
        except OSError:
            self.close()
            raise

    def resume(self, progress: Callable[[int, int], None]) -> HeldContent:
        """As `PartialFile.resume`."""
        return restore(self._journal, self.store, progress)

    def flush(self, tree: MerkleTree) -> None:
        """As `PartialFile.flush`: first which chunks are in the log, then what proves them."""
        self.store.flush(tree.chunk_count or 0)
        super().flush(tree)

    def finish(self, content_size: int) -> None:
        """Make the complete file durable and give it its name, when the list of its sizes stands beside it."""
        sizes = self.store.sizes(content_size)
        write_sizes(sizes_path(self.target), sizes)
        if self.store.is_in_order(len(sizes)):
            super().finish(content_size)
        else:
            self._put_in_order(len(sizes), content_size)
            # The log goes on serving until it is closed.
            self.part.unlink(missing_ok=True)
        self._index_path.unlink(missing_ok=True)

    def _put_in_order(self, chunk_count: int, content_size: int) -> None:
        fd = os.open(self._whole_path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            self.store.copy_to(fd, chunk_count)
            self._name(fd, self._whole_path, content_size)
        except OSError:
            # A full disk is not to stay full of it.
            self._whole_path.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)

    def close(self) -> None:
        """As `PartialFile.close`."""
        super().close()
        os.close(self._index)

    def discard_if_empty(self) -> None:
        """As `PartialFile.discard_if_empty`."""
        if self.unfinished and not os.fstat(self._fd).st_size:
            self._index_path.unlink(missing_ok=True)
        super().discard_if_empty()
