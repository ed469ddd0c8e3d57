"""The operations on files that the store of DECADE is made of, one system call each: what a power cut falls between."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol

_READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Disk(Protocol):
    """Files in folders of one level. Every method but `close` may raise OSError, and may be called from any thread."""

    def create(self, folder: str) -> int:
        """Open a new file that has no name yet and vanishes with its descriptor."""

    def write(self, fd: int, octets: memoryview) -> int:
        """Append some of the octets: the number that was written."""

    def sync(self, fd: int) -> None:
        """Make the content durable. When that fails the content is unknown, whatever a second call says."""

    def link(self, fd: int, folder: str, name: str) -> None:
        """Name a file that `create` has made; FileExistsError when the name is taken."""

    def rename(self, folder: str, name: str, to_folder: str, to_name: str) -> None:
        """Name a file anew, in place of the one that had that name."""

    def remove(self, folder: str, name: str) -> None:
        """Take the name away; who has the file open can still read it."""

    def sync_folder(self, folder: str) -> None:
        """Make the names in a folder durable."""

    def names(self, folder: str) -> list[str]:
        """The names in a folder, in no order."""

    def open(self, folder: str, name: str) -> int:
        """Open a file for reading; FileNotFoundError when there is none."""

    def read(self, fd: int, offset: int, length: int) -> bytes:
        """At most `length` octets at `offset`; fewer at the end only."""

    def close(self, fd: int) -> None:
        """Close a file. One without a name is gone."""


class PosixDisk:
    """A `Disk` below a directory of Linux, on a file system that has O_TMPFILE (ext4, xfs, btrfs, tmpfs)."""

    def __init__(self, root: Path) -> None:
        """Raises OSError."""
        self.root = root
        self._root = os.open(root, _FOLDER_FLAGS)

    def make_folders(self, names: list[str]) -> None:
        """Make those that are not there, durably."""
        for name in names:
            (self.root / name).mkdir(mode=0o700, exist_ok=True)
        os.fsync(self._root)

    def create(self, folder: str) -> int:
        """Open a new file that has no name yet."""
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=self._root)

    def write(self, fd: int, octets: memoryview) -> int:
        """Append some of the octets."""
        return os.write(fd, octets)

    def sync(self, fd: int) -> None:
        """Make the content durable."""
        os.fsync(fd)

    def link(self, fd: int, folder: str, name: str) -> None:
        """Name a file that `create` has made."""
        # With a directory's descriptor CPython calls linkat, which alone follows the link in /proc.
        os.link(f"/proc/self/fd/{fd}", f"{folder}/{name}", dst_dir_fd=self._root, follow_symlinks=True)

    def rename(self, folder: str, name: str, to_folder: str, to_name: str) -> None:
        """Name a file anew."""
        os.rename(f"{folder}/{name}", f"{to_folder}/{to_name}", src_dir_fd=self._root, dst_dir_fd=self._root)

    def remove(self, folder: str, name: str) -> None:
        """Take the name away."""
        os.unlink(f"{folder}/{name}", dir_fd=self._root)

    def sync_folder(self, folder: str) -> None:
        """Make the names in a folder durable."""
        fd = os.open(folder, _FOLDER_FLAGS, dir_fd=self._root)
        try:
            os.fsync(fd)
        finally:
            self.close(fd)

    def names(self, folder: str) -> list[str]:
        """The names in a folder, in no order."""
        return os.listdir(self.root / folder)

    def open(self, folder: str, name: str) -> int:
        """Open a file for reading."""
        return os.open(f"{folder}/{name}", _READ_FLAGS, dir_fd=self._root)

    def read(self, fd: int, offset: int, length: int) -> bytes:
        """At most `length` octets at `offset`."""
        return os.pread(fd, length, offset)

    def close(self, fd: int) -> None:
        """Close a file."""
        # Linux has closed it whatever it says, and what has to be durable was synced before.
        with contextlib.suppress(OSError):
            os.close(fd)

    def shut(self) -> None:
        """No more operations are coming."""
        os.close(self._root)
