"""What changes the objects of a store, many at a time: files get and lose their names, and rows are written.

In order, each step durable before the next: the content of a file (its upload has seen to that), its name, its row.
A deletion goes the other way. One lock is held from the naming of files to their rows and from the look for rows to
the removal of files, by whatever process: no file goes that another upload has just counted on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import attrs

from decade.errors import RefusedError, StoreError
from decade.named import Binding
from decade.names import Digest, Name
from decade.ports import Row
from interop.decade_store.disk import Disk
from interop.decade_store.index import (
    Access,
    Index,
    bind,
    count_reads,
    insert,
    is_held,
    remove,
    remove_all,
    remove_same,
    unbind,
    update,
)

FOLDERS = [f"{first:02x}" for first in range(256)]
"""By the first octet of the hash: 4,000 files in each for a million objects, which every file system is quick with."""
QUARANTINE = "quarantine"
"""The folder of files that are not what their names say."""
STRIDE = 1 << 20
"""Octets that are read, and hashed, at a time."""
FRESH = ".fresh-"
"""What the name of a file begins with that is to replace another one."""
# What shows that the disk has failed below the index: which of its pages are durable is unknown from then on.
_FATAL = ("SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTADB")


@attrs.frozen
class Put:
    """An upload is whole, hashed and durable in a file without a name. Its result: whether the row is a new one."""

    row: Row
    fd: int


@attrs.frozen
class Update:
    """The row of an object is changed. Its result: the row as it is now, None if there is none."""

    account: str
    name: Name
    change: Callable[[Row], Row]


@attrs.frozen
class Bind:
    """An object gets a signed name. Its result: what is bound to that now, None if the account has no such object."""

    account: str
    binding: Binding


@attrs.frozen
class Unbind:
    """A signed name is taken from an object. Its result: whether it was that one's."""

    account: str
    binding: Binding


@attrs.frozen
class Count:
    """Objects were read. Its result: True."""

    reads: Mapping[tuple[str, Name], Access]


@attrs.frozen
class Remove:
    """An account no longer has an object. Its result: the row that is gone, None if there was none."""

    account: str
    name: Name


@attrs.frozen
class RemoveMany:
    """The time of objects is over, if it is still what it is here. Its result: the rows that are gone."""

    rows: Sequence[Row]


@attrs.frozen
class Suspect:
    """A file did not hash to its name. It is hashed again, in case an upload has just replaced it, and if it is rotten
    goes to quarantine, with the rows of all accounts. Its result: these rows.
    """

    name: Name


Job: TypeAlias = Put | Update | Bind | Unbind | Count | Remove | RemoveMany | Suspect
Result: TypeAlias = "bool | Row | Binding | list[Row] | Exception | None"
"""What the job says its result is, or why it failed and changed nothing."""


class Settler:
    """Does batches of jobs, for one thread at a time."""

    def __init__(self, disk: Disk, index: Index, lock: Path, worker: str = "") -> None:
        """`worker`: whose reservations become what is stored. Raises OSError."""
        self._disk = disk
        self._index = index
        self._worker = worker
        self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._failure: StoreError | None = None

    def settle(self, jobs: Sequence[Job]) -> list[Result]:
        """Do jobs in one transaction; what a result says is durable. Never raises what a disk can cause."""
        if self._failure is not None:
            return [self._failure] * len(jobs)
        with self._locked():
            failed = self._name_files([job for job in jobs if isinstance(job, Put)])
            rotten = {job.name for job in jobs if isinstance(job, Suspect) and self._quarantine(job.name)}
            results: list[Result] = [failed.get(id(job)) for job in jobs]
            try:
                with self._index.database.transaction() as connection:
                    for at, job in enumerate(jobs):
                        if results[at] is None:
                            results[at] = self._apply(connection, job, rotten)
            except sqlite3.Error as exc:
                results = [self._failed(exc)] * len(jobs)
            if self._failure is None:
                self._remove_unheld(_names_let_go(jobs, results))
        return results

    def close(self) -> None:
        """No more jobs are coming."""
        os.close(self._lock)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _name_files(self, puts: list[Put]) -> dict[int, StoreError]:
        """Give files their names, durably: the errors of those that have none, by the identity of the job."""
        failed: dict[int, StoreError] = {}
        folders: dict[str, list[Put]] = {}
        for put in puts:
            folder, name = place(put.row.name)
            try:
                self._name_file(put.fd, folder, name)
                folders.setdefault(folder, []).append(put)
            except OSError as exc:
                failed[id(put)] = StoreError(f"{folder}: {exc}")
        for folder, named in folders.items():
            try:
                self._disk.sync_folder(folder)
            except OSError as exc:
                failed.update((id(put), StoreError(f"{folder}: {exc}")) for put in named)
        return failed

    def _name_file(self, fd: int, folder: str, name: str) -> None:
        try:
            self._disk.link(fd, folder, name)
        except FileExistsError:
            # The file that is there may have rotted since; this one has just been hashed.
            fresh = FRESH + name
            with contextlib.suppress(FileNotFoundError):
                self._disk.remove(folder, fresh)
            self._disk.link(fd, folder, fresh)
            self._disk.rename(folder, fresh, folder, name)

    def _apply(self, connection: sqlite3.Connection, job: Job, rotten: set[Name]) -> Result:
        try:
            return self._do(connection, job, rotten)
        except RefusedError as refused:
            # It has changed nothing, and the others of its transaction go on.
            return refused

    def _do(self, connection: sqlite3.Connection, job: Job, rotten: set[Name]) -> Result:
        match job:
            case Put(row):
                return insert(connection, row, self._worker)
            case Update(account, name, change):
                return update(connection, account, name, change)
            case Bind(account, binding):
                return bind(connection, account, binding)
            case Unbind(account, binding):
                return unbind(connection, account, binding)
            case Count(reads):
                count_reads(connection, reads)
                return True
            case Remove(account, name):
                return remove(connection, account, name)
            case RemoveMany(rows):
                return remove_same(connection, rows)
            case Suspect(name):
                return remove_all(connection, name) if name in rotten else []

    def _quarantine(self, name: Name) -> bool:
        """Whether the file is rotten, and is where nobody serves it, or is not there at all."""
        folder, file = place(name)
        try:
            if is_sound(self._disk, name):
                return False
            self._disk.rename(folder, file, QUARANTINE, file)
        except FileNotFoundError:
            pass
        except OSError:
            # Of a file that cannot be opened or renamed nothing is known; the next reader will say so again.
            return False
        return True

    def _failed(self, exc: sqlite3.Error) -> StoreError:
        name = getattr(exc, "sqlite_errorname", "")
        if name.startswith(_FATAL):
            self._failure = StoreError(f"the index has failed ({exc}); what is in it is known after a new start only")
            return self._failure
        return StoreError(f"the index: {exc}")

    def _remove_unheld(self, names: set[Name]) -> None:
        """Remove the files that no account has; what this fails to remove, a new start does."""
        if not names:
            return
        with contextlib.suppress(sqlite3.Error), self._index.database.transaction() as connection:
            unheld = [name for name in names if not is_held(connection, name)]
            for name in unheld:
                with contextlib.suppress(OSError):
                    self._disk.remove(*place(name))


def place(name: Name) -> tuple[str, str]:
    """The folder and the file of an object."""
    file = name.value.hex()
    return file[:2], file


def is_sound(disk: Disk, name: Name) -> bool:
    """Whether a file hashes to its name; one that the disk cannot read does not.

    Raises FileNotFoundError, and OSError when the file cannot be opened.
    """
    fd = disk.open(*place(name))
    try:
        digest = Digest()
        while octets := disk.read(fd, digest.size, STRIDE):
            digest.update(octets)
        return digest.matches(name)
    except OSError:
        return False
    finally:
        disk.close(fd)


def _names_let_go(jobs: Sequence[Job], results: Sequence[Result]) -> set[Name]:
    names: set[Name] = set()
    for job, result in zip(jobs, results, strict=True):
        match job, result:
            case Put(row), Exception():
                names.add(row.name)
            case Remove(name=name), Row():
                names.add(name)
            case RemoveMany(), list(rows):
                names.update(row.name for row in rows)
    return names
