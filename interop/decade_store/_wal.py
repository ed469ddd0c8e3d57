"""The header of SQLite's WAL index, which each transaction of any process changes (sqlite.org/walformat.html, 2.1).

`PRAGMA data_version` says the same, in 3 us, which is as much as all else that is asked about an answer from memory.

POSIX takes the locks of a process on a file away when it closes any descriptor of that file, and SQLite locks this one:
so it is closed only when no connection of this process has the database open any more.
"""

from __future__ import annotations

import mmap
import os
import threading
from pathlib import Path

_COPIES = 96
"""Octets of the header, which is there twice: SQLite writes the second one first."""


class _Open:
    """A WAL index, and how many connections of this process have its database open."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.map = mmap.mmap(fd, mmap.PAGESIZE, prot=mmap.PROT_READ)
        self.connections = 0

    def close(self) -> None:
        self.map.close()
        os.close(self.fd)


_open: dict[tuple[int, int], _Open] = {}
_lock = threading.Lock()


class WalHeader:
    """That of a database which this connection has open, and has read from."""

    def __init__(self, database: Path) -> None:
        """Raises OSError."""
        path = f"{database}-shm"
        with _lock:
            stat = os.stat(path)
            self._key = stat.st_dev, stat.st_ino
            if self._key not in _open:
                _open[self._key] = _Open(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            self._index = _open[self._key]
            self._index.connections += 1

    def read(self) -> bytes:
        """What is different after each transaction. A transaction that has been answered for is seen."""
        return self._index.map[:_COPIES]

    def close(self) -> None:
        """The connection was closed."""
        with _lock:
            self._index.connections -= 1
            if not self._index.connections:
                del _open[self._key]
                self._index.close()
