"""Files whose chunks differ in size (RFC 7574 section 7.11): where the chunks end, and the store of such a file.

The list of sizes that goes with a file is a text: a number of octets a line, a line a chunk.
"""

from __future__ import annotations

import contextlib
import errno
import os
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

from interop.seeding import SeedError
from ppsp.constants import MAX_CHUNK_SIZE
from ppsp.merkle import MAX_CHUNKS

# Octets read at once.
_STRIDE = 4 * 1024 * 1024
# The longest line of a list of sizes, with some room: 60000 has five digits.
_LINE = 16


def sizes_path(path: Path) -> Path:
    """Where the list of sizes of a file is kept that was fetched: without it nobody can tell its chunks."""
    return path.with_name(path.name + ".chunks")


def may_replace(path: Path) -> bool:
    """Whether a list may be written there: nothing is, or what looks like one. Raises OSError where none can be."""
    try:
        with path.open("rb") as file:
            line = file.readline(_LINE)
    except FileNotFoundError:
        return True
    return not line or line.strip().isdigit()


def read_sizes(path: Path) -> array[int]:
    """The sizes in a list. Raises SeedError where it is none, and OSError."""
    sizes = array("H")
    with path.open("rb") as file:
        while line := file.readline(_LINE):
            text = line.strip()
            size = int(text) if text.isdigit() else 0
            if not 1 <= size <= MAX_CHUNK_SIZE:
                number = len(sizes) + 1
                raise SeedError(f"{path.name}: line {number} is not a number of octets from 1 to {MAX_CHUNK_SIZE}")
            sizes.append(size)
            if len(sizes) > MAX_CHUNKS:
                raise SeedError(f"{path.name}: more than {MAX_CHUNKS} chunks")
    return sizes


def write_sizes(path: Path, sizes: Iterable[int]) -> None:
    """Write a list, and make it durable before it gets its name. Raises OSError, and leaves nothing then."""
    new = path.with_name(path.name + ".new")
    try:
        with new.open("w", encoding="ascii") as file:
            file.writelines(f"{size}\n" for size in sizes)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise


def line_sizes(fd: int, longest: int) -> array[int]:
    """Chunks of whole lines: as many as fit `longest` octets; only a longer line is cut.

    Raises OSError, and SeedError for a file that becomes shorter meanwhile.
    """
    sizes = array("H")
    size, offset = os.fstat(fd).st_size, 0
    while offset < size:
        at, data = 0, os.pread(fd, _STRIDE, offset)
        if len(data) < min(_STRIDE, size - offset):
            raise SeedError("the file became shorter while it was read")
        # Where less than the longest chunk is left, more has to be read, unless this is the end.
        while at + longest <= len(data) or (at < len(data) and offset + len(data) >= size):
            stop = min(at + longest, len(data))
            if offset + stop < size:
                stop = data.rfind(b"\n", at, stop) + 1 or stop
            sizes.append(stop - at)
            at = stop
        offset += at
    return sizes


class SizedFile:
    """The `ppsp.ports.VariableStore` of a whole file. It does not close the descriptor that it is given."""

    def __init__(self, fd: int, sizes: Sequence[int]) -> None:
        self._fd = fd
        self._starts = array("Q", accumulate(sizes, initial=0))

    def size(self, chunk: int) -> int:
        """The octets of a chunk."""
        return self._starts[chunk + 1] - self._starts[chunk]

    def read(self, chunk: int) -> bytes:
        """The octets of a chunk; OSError when the file has fewer."""
        start, size = self._starts[chunk], self.size(chunk)
        data = os.pread(self._fd, size, start)
        if len(data) != size:
            raise OSError(errno.EIO, f"the file has {len(data)} of the {size} octets at {start}")
        return data

    def write(self, chunk: int, data: bytes | memoryview) -> None:
        """Nothing can be added to a whole file."""
        raise OSError(errno.EROFS, f"chunk {chunk} is there already")
