"""Objects from and to files: a file under the name that was asked for is whole and verified, or not there."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import attrs

from decade.client import Octets
from decade.client_exchange import Source
from decade.names import Digest, Name, name_of

PART = 2**18
"""Octets that are read or written at once."""


@attrs.frozen
class FileSource:
    """A file, or a part of it, as it was when its size was taken: what is cut short meanwhile ends early."""

    path: Path
    size: int
    offset: int = 0

    @classmethod
    def whole(cls, path: Path) -> FileSource:
        """All that is there now. Raises OSError."""
        return cls(path, path.stat().st_size)

    def parts(self) -> Iterator[bytes]:
        """All of it. Raises OSError."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            left = self.size
            while left and (octets := file.read(min(PART, left))):
                left -= len(octets)
                yield octets

    def name(self, seed: bytes = b"") -> Name:
        """The name of what is there now, behind a seed if there is one. Raises OSError."""
        digest = Digest()
        digest.update(seed)
        for octets in self.parts():
            digest.update(octets)
        return digest.name


def source_of(content: bytes | Path | FileSource) -> tuple[Name, Source]:
    """The name of what is to be stored, and where its octets are; a file is read. Raises OSError."""
    if isinstance(content, bytes):
        return name_of(content), Octets(content)
    file = FileSource.whole(content) if isinstance(content, Path) else content
    return file.name(), file


class PartialFile:
    """A file in the making, beside where it is to be: `with PartialFile(path) as file`, and `file.finish()` in it.

    Raises OSError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name[:60]}.{secrets.token_hex(4)}.part")
        self._fd = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        # A thread may write on when nobody waits for it: the number of a closed file is soon that of another one.
        self._lock = threading.Lock()
        self._is_open = True

    def sink(self, base: int = 0, *, offset: int = 0, length: int | None = None) -> PieceSink:
        """Where an object goes: its octets from `offset` on, `length` of them, to `base` in the file."""
        return PieceSink(self, base, offset, length)

    def finish(self, size: int) -> None:
        """It is whole: it gets its name when it is on the disk, in place of what was there."""
        with self._lock:
            self._check_open()
            os.ftruncate(self._fd, size)
            os.fsync(self._fd)
            os.replace(self._part, self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def write(self, octets: memoryview, place: int) -> None:
        """Octets at a place in the file."""
        with self._lock:
            self._check_open()
            while octets:
                written = os.pwrite(self._fd, octets, place)
                octets, place = octets[written:], place + written

    def _check_open(self) -> None:
        if not self._is_open:
            raise OSError(errno.EBADF, "nobody wants this file any more")

    def __enter__(self) -> PartialFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._is_open = False
            os.close(self._fd)
        with contextlib.suppress(FileNotFoundError):
            self._part.unlink()


class PieceSink:
    """Writes a piece of an object into a file."""

    def __init__(self, file: PartialFile, base: int, offset: int, length: int | None) -> None:
        self._file = file
        self._base = base
        self._offset = offset
        self._end = None if length is None else offset + length
        self._at = 0

    def restart(self) -> None:
        """The object comes again; what is there is written over, and what is too much is cut off at the end."""
        self._at = 0

    def write(self, octets: bytes) -> None:
        """The next octets of the object. Raises OSError."""
        first = max(self._offset - self._at, 0)
        last = len(octets) if self._end is None else min(self._end - self._at, len(octets))
        view = memoryview(octets)[first : max(last, first)]
        place = self._base + self._at + first - self._offset
        self._at += len(octets)
        self._file.write(view, place)
