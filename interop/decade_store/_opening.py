"""The directory of a store: made, locked, and mended after a crash before anybody uses it."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import attrs

from decade.errors import StoreError
from decade.names import SHA_256, Name
from decade.recovery import DropRows, RemoveFile, recover
from interop.decade_store.disk import PosixDisk
from interop.decade_store.index import Index, remove_all
from interop.decade_store.settling import FOLDERS, FRESH, QUARANTINE

logger = logging.getLogger(__name__)
INDEX = "index.sqlite3"
LOCKS = "workers"
_FILE = re.compile(r"[0-9a-f]{64}")


@attrs.frozen
class Opened:
    """A store that is in use by this process. `dropped` rows had lost their file, `removed` files had no row."""

    index: Index
    lock: int
    dropped: int
    removed: int


def open_root(root: Path, disk: PosixDisk) -> Opened:
    """Make a store in a directory, or open it. The first process to open it mends it; the others wait for that.

    Raises StoreError for a directory that cannot be a store, OSError and sqlite3.Error.
    """
    lock = os.open(root / "store.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        is_first = _lock_alone(lock)
        if is_first:
            _make(root, disk)
        else:
            fcntl.flock(lock, fcntl.LOCK_SH)
        index = Index(root / INDEX)
        try:
            dropped, removed = _mend(disk, index) if is_first else (0, 0)
        except BaseException:
            index.close()
            raise
        fcntl.flock(lock, fcntl.LOCK_SH)
    except BaseException:
        os.close(lock)
        raise
    if dropped or removed:
        logger.warning("the store had %d rows without a file, and %d files without a row", dropped, removed)
    return Opened(index, lock, dropped, removed)


def _lock_alone(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make(root: Path, disk: PosixDisk) -> None:
    disk.make_folders([*FOLDERS, QUARANTINE, LOCKS])
    if not (root / INDEX).exists():
        # Without the rows nobody knows whose the objects are: mending would remove them all.
        if any(disk.names(folder) for folder in FOLDERS):
            raise StoreError(f"{root} has objects but no {INDEX}: bring it back, or move the objects away")
        Index(root / INDEX).close()
        disk.make_folders([])
    try:
        disk.close(disk.create(FOLDERS[0]))
    except OSError as exc:
        raise StoreError(f"{root} is on a file system without unnamed files (O_TMPFILE): {exc}") from exc


def _mend(disk: PosixDisk, index: Index) -> tuple[int, int]:
    lost, removed = [], 0
    # The generator of rows has the connection until its end.
    with contextlib.closing(index.names()) as rows:
        for action in recover(rows, _files(disk)):
            match action:
                case RemoveFile(file):
                    disk.remove(file[:2], file)
                    removed += 1
                case DropRows(file):
                    lost.append(Name(SHA_256, bytes.fromhex(file)))
    dropped = 0
    if lost:
        with index.database.transaction() as connection:
            dropped = sum(len(remove_all(connection, name)) for name in lost)
    return dropped, removed


def _files(disk: PosixDisk) -> Iterator[str]:
    """The names of the files of objects, ascending. What was to replace another goes; what else is there stays."""
    for folder in FOLDERS:
        names = sorted(disk.names(folder))
        for name in names:
            if name.startswith(FRESH):
                disk.remove(folder, name)
        yield from (name for name in names if _FILE.fullmatch(name) and name[:2] == folder)
