"""Objects on this machine: those that come, and those that were read or stored here not long ago.

An object is what its name says for ever, so that what was hashed once is served without asking the bucket again; who
reads it keeps it, whatever becomes of it elsewhere. Short ones are in memory, long ones in files without a name.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from decade.errors import StoreError
from decade.names import Digest, Name

MAX_SHORT = 256 << 10
"""Octets of an object that is kept in memory; with MAX_KEPT of them 64 MiB."""
MAX_KEPT = 256
"""Objects that are kept: each long one is an open file, of the 1024 that a process may have."""
MAX_OCTETS = 1 << 30
"""Octets of the objects that are kept."""


class Copy:
    """The octets of an object on this machine. `write` them, then it is read in any thread until `close`."""

    def __init__(self, folder: Path | None) -> None:
        """`folder`: of the file that it becomes when it is long."""
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._octets = bytearray()
        self.digest = Digest()

    def write(self, octets: bytes) -> None:
        """The next octets. Raises StoreError."""
        with _disk_errors():
            if self._file is None and self.digest.size + len(octets) > MAX_SHORT:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - `close` does
                _write_all(self._file, self._octets)
                self._octets = bytearray()
            if self._file is None:
                self._octets += octets
            else:
                _write_all(self._file, octets)
        self.digest.update(octets)

    def read(self, offset: int, size: int) -> bytes:
        """So many octets, which are there. Raises StoreError."""
        if self._file is None:
            return bytes(memoryview(self._octets)[offset : offset + size])
        with _disk_errors():
            octets = os.pread(self._file.fileno(), size, offset)
        if len(octets) < size:
            raise StoreError(f"an object ends {size - len(octets)} octets early")
        return octets

    def source(self) -> bytes | IO[bytes]:
        """What `Bucket.put` stores."""
        if self._file is None:
            return bytes(self._octets)
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """It is needed no more; harmless when repeated."""
        self._octets = bytearray()
        if self._file is not None:
            self._file.close()


class CopyReader:
    """An object that is read: it stays until `close`."""

    def __init__(self, spool: Spool, copy: Copy) -> None:
        self._spool = spool
        self._copy: Copy | None = copy

    def read(self, offset: int, size: int) -> bytes:
        """So many octets, which are there; none when it is closed. Raises StoreError."""
        return b"" if self._copy is None else self._copy.read(offset, size)

    def close(self) -> None:
        """It is read no more; harmless when repeated."""
        if self._copy is not None:
            copy, self._copy = self._copy, None
            self._spool.leave(copy)


class Spool:
    """The objects that are kept, those that were not read for the longest time to go first."""

    def __init__(self, folder: Path | None = None, *, max_octets: int = MAX_OCTETS) -> None:
        """`folder`: of the files; the system's for temporary files without it."""
        self.folder = folder
        self._max_octets = max_octets
        self._octets = 0
        self._kept: OrderedDict[Name, Copy] = OrderedDict()
        self._users: dict[Copy, int] = {}
        self._lock = threading.Lock()

    def __contains__(self, name: Name) -> bool:
        with self._lock:
            return name in self._kept

    def open(self, name: Name) -> CopyReader | None:
        """Read an object, if it is kept."""
        with self._lock:
            copy = self._kept.get(name)
            if copy is None:
                return None
            self._kept.move_to_end(name)
            self._users[copy] += 1
            return CopyReader(self, copy)

    def keep(self, name: Name, copy: Copy) -> CopyReader:
        """Keep an object, which was hashed; and read it."""
        with self._lock:
            self._users[copy] = 2
            before = self._kept.pop(name, None)
            self._kept[name] = copy
            self._octets += copy.digest.size
            if before is not None:
                self._drop(before)
            while len(self._kept) > MAX_KEPT or self._octets > self._max_octets:
                self._drop(self._kept.popitem(last=False)[1])
        return CopyReader(self, copy)

    def leave(self, copy: Copy) -> None:
        """A reader of a copy has ended."""
        with self._lock:
            self._leave(copy)

    def close(self) -> None:
        """Keep nothing any more."""
        with self._lock:
            while self._kept:
                self._drop(self._kept.popitem()[1])

    def _drop(self, copy: Copy) -> None:
        self._octets -= copy.digest.size
        self._leave(copy)

    def _leave(self, copy: Copy) -> None:
        self._users[copy] -= 1
        if not self._users[copy]:
            del self._users[copy]
            copy.close()


def fetch(parts: Iterable[bytes], name: Name, folder: Path | None) -> Copy | None:
    """A copy of what comes; None if it is not what the name says. Raises StoreError."""
    copy = Copy(folder)
    try:
        for part in parts:
            copy.write(part)
    except StoreError:
        copy.close()
        raise
    if copy.digest.matches(name):
        return copy
    copy.close()
    return None


def _write_all(file: IO[bytes], octets: bytes | bytearray) -> None:
    left = memoryview(octets)
    while left:
        left = left[file.write(left) :]


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StoreError(f"a file on this machine: {exc}") from exc
