"""Objects from and to files: a file under the name that was asked for is whole and verified, or not there."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import attrs

from decade.names import Digest, Name

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


class PartialFile:
    """A file in the making, beside where it is to be: `with PartialFile(path) as file`, and `file.finish()` in it.

    Raises OSError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name[:60]}.{secrets.token_hex(4)}.part")
        self._fd = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def sink(self, base: int = 0, *, offset: int = 0, length: int | None = None) -> PieceSink:
        """Where an object goes: its octets from `offset` on, `length` of them, to `base` in the file."""
        return PieceSink(self._fd, base, offset, length)

    def finish(self, size: int) -> None:
        """It is whole: it gets its name when it is on the disk, in place of what was there."""
        os.ftruncate(self._fd, size)
        os.fsync(self._fd)
        os.replace(self._part, self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def __enter__(self) -> PartialFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._fd)
        with contextlib.suppress(FileNotFoundError):
            self._part.unlink()


class PieceSink:
    """Writes a piece of an object into a file."""

    def __init__(self, fd: int, base: int, offset: int, length: int | None) -> None:
        self._fd = fd
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
        while view:
            written = os.pwrite(self._fd, view, place)
            view, place = view[written:], place + written
