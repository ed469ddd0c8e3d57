"""Content in files: the `ChunkStore` of a file, and the half-fetched file that survives a crash.

Files are read and written with pread and pwrite, never mapped: a mapped file that somebody cuts short kills the reader.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from interop.resume import FixedOctets, HeldContent, Journal, JournalError, restore
from ppsp.merkle import MerkleTree
from ppsp.metadata import SwarmUri


class FileStore:
    """The `ppsp.ports.ChunkStore` of an open file. It does not close the descriptor that it is given."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, offset: int, length: int) -> bytes:
        """The `length` octets at `offset`; OSError when the file has fewer."""
        data = os.pread(self._fd, length, offset)
        if len(data) != length:
            raise OSError(errno.EIO, f"the file has {len(data)} of the {length} octets at {offset}")
        return data

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of `data` at `offset`; OSError when it does not fit."""
        write_at(self._fd, data, offset)


def write_at(fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`; OSError when it does not fit."""
    written = os.pwrite(fd, data, offset)
    if written != len(data):  # a nearly full disk: the next call says why
        write_at(fd, memoryview(data)[written:], offset + written)


class PartialFileError(Exception):
    """There is a file at `OUT.part` that this fetch must not touch; the text says why, in one sentence."""


class PartialFile:
    """A file being fetched: `OUT.part` and its journal `OUT.part.hashes`, renamed to `OUT` when complete.

    `store` is the `ChunkStore` to fetch into. Raises PartialFileError for a part file that is of another swarm or in
    another process's hands, and OSError. With `overwrite` a foreign part file is emptied instead.
    """

    def __init__(self, target: Path, uri: SwarmUri, *, overwrite: bool = False) -> None:
        self.target = target
        self.part = target.with_name(target.name + ".part")
        journal = target.with_name(target.name + ".part.hashes")
        self._fd = _locked(self.part)
        try:
            if os.fstat(self._fd).st_size == 0:  # nothing to resume, and nothing to lose
                overwrite = True
            self._journal = self._open_journal(journal, uri, overwrite)
        except BaseException:
            os.close(self._fd)
            raise
        self.store = FileStore(self._fd)
        self.unfinished = True

    def _open_journal(self, path: Path, uri: SwarmUri, overwrite: bool) -> Journal:
        try:
            return Journal.open(path, uri)
        except (JournalError, FileNotFoundError) as exc:
            if not overwrite:
                why = exc if isinstance(exc, JournalError) else f"it has no journal {path.name}"
                raise PartialFileError(f"{self.part} cannot be resumed: {why}") from exc
        os.ftruncate(self._fd, 0)
        return Journal.create(path, uri)

    def resume(self, progress: Callable[[int, int], None]) -> HeldContent:
        """Hash what an earlier run left and verify it up to the root; nothing in the journal is believed.

        `progress(octets done, octets in all)` is called on the way. Takes a second for some 100 MB.
        """
        return restore(self._journal, FixedOctets(self._fd, self._journal.metadata.chunk_size), progress)

    def verified(self, start: int, stop: int) -> None:
        """The chunks from `start` up to, not including, `stop` are verified and written."""
        self._journal.verified(start, stop)

    def flush(self, tree: MerkleTree) -> None:
        """Append to the journal what was verified since the last call; OSError when that fails."""
        self._journal.flush(tree)

    def finish(self, content_size: int) -> None:
        """Make the complete file durable and give it its name; the journal is no longer needed."""
        self._name(self._fd, self.part, content_size)

    def _name(self, fd: int, path: Path, content_size: int) -> None:
        os.ftruncate(fd, content_size)
        os.fsync(fd)
        os.replace(path, self.target)
        self.unfinished = False
        folder = os.open(self.target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._journal.remove()

    def close(self) -> None:
        """Close the files; what is on disk stays."""
        self._journal.close()
        os.close(self._fd)

    def discard_if_empty(self) -> None:
        """Remove the part file and journal of a fetch that never got a chunk: nobody can use them."""
        if self.unfinished and os.fstat(self._fd).st_size == 0:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.part)
            self._journal.remove()


def _locked(part: Path) -> int:
    """The descriptor of the file of that name, made if need be, which nobody else may write to meanwhile."""
    while True:
        fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who had it until now may have given it its final name, or removed it, since we opened it.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), os.stat(part)):
                    return fd
        except BlockingIOError as exc:
            os.close(fd)
            raise PartialFileError(f"{part} is being written by another process") from exc
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
