"""The file store of a DECADE server: objects in files and rows in SQLite, in a directory that processes may share."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from decade.errors import StateError, StoreError
from decade.named import Binding
from decade.names import Digest, Name
from decade.ports import Row
from decade.values import SignedName
from interop.decade_store._committer import Committer
from interop.decade_store._database import store_errors
from interop.decade_store._opening import open_root
from interop.decade_store.disk import Disk, PosixDisk
from interop.decade_store.index import Access
from interop.decade_store.settling import (
    STRIDE,
    Bind,
    Count,
    Job,
    Put,
    Remove,
    RemoveMany,
    Settler,
    Suspect,
    Unbind,
    Update,
    is_sound,
    place,
)

MAX_WHOLE = 1 << 20
"""Octets of an object that is read as a whole, so that exactly what was hashed is served: 0.7 ms, and the memory of
one answer."""
MAX_VERIFIED = 4096
"""Longer objects that are not hashed again at every read of a part: some 1 MiB of memory. The scrubber does."""
MAX_COUNTED = 1024
"""Objects whose reads are counted in memory until they are written: a power cut loses so many counts."""
COUNTED_FOR = 60
"""Seconds for which reads are counted in memory, if there are any."""
MAX_HOT = 64 * 2**20
"""Octets of short objects that are kept in memory, those read last: a thousand of 64 KiB, served without the disk."""
_UNREAD = Access()


class FileSink:
    """An object that is coming: a file without a name, which vanishes with the process. For one thread at a time."""

    def __init__(self, disk: Disk, name: Name) -> None:
        self._disk = disk
        self._name = name
        # Accounts share the files: whoever could store octets under another name would give them to all.
        self._digest = Digest()
        self._waiting: list[bytes] = []
        self._octets_waiting = 0
        self._fd: int | None = None
        self._is_over = False

    def write(self, octets: bytes) -> None:
        """The next octets. Raises StoreError; then it is dropped."""
        if self._is_over:
            raise StateError("this object was dropped or stored already")
        self._waiting.append(octets)
        self._octets_waiting += len(octets)
        if self._octets_waiting >= STRIDE:
            self._flush()

    def finish(self, row: Row) -> int:
        """All is there: make it durable, and return the file, which is the caller's to close.

        Raises StateError if it is not the object of the row, and StoreError. Then it is dropped.
        """
        if self._is_over:
            raise StateError("this object was dropped or stored already")
        self._flush()
        if self._digest.size != row.size or not self._digest.matches(row.name) or row.name != self._name:
            self.drop()
            raise StateError("what was written is not the object of this row")
        fd = self._fd
        assert fd is not None
        with self._dropping():
            self._disk.sync(fd)
        self._fd, self._is_over = None, True
        return fd

    def drop(self) -> None:
        """The object will not be stored. Harmless when repeated."""
        self._is_over = True
        self._waiting.clear()
        if self._fd is not None:
            fd, self._fd = self._fd, None
            self._disk.close(fd)

    def _flush(self) -> None:
        octets = self._waiting[0] if len(self._waiting) == 1 else b"".join(self._waiting)
        self._waiting.clear()
        self._octets_waiting = 0
        with self._dropping():
            if self._fd is None:
                self._fd = self._disk.create(place(self._name)[0])
            left = memoryview(octets)
            while left:
                left = left[self._disk.write(self._fd, left) :]
        self._digest.update(octets)

    @contextmanager
    def _dropping(self) -> Iterator[None]:
        """Whatever the disk says, what it has of the object is not trusted again."""
        try:
            yield
        except OSError as exc:
            self.drop()
            raise StoreError(f"an upload: {exc}") from exc


class FileReader:
    """An object that is read. It stays until `close`, whatever becomes of its rows."""

    def __init__(self, disk: Disk, octets: bytes, fd: int | None) -> None:
        """`octets`: the object, if it is short; `fd`: its file, if it is long."""
        self._disk = disk
        self._octets = octets
        self._fd = fd

    def read(self, offset: int, size: int) -> bytes:
        """So many octets, which are there. Raises StoreError."""
        if self._fd is None:
            return self._octets[offset : offset + size]
        try:
            octets = self._disk.read(self._fd, offset, size)
        except OSError as exc:
            raise StoreError(f"an object: {exc}") from exc
        if len(octets) < size:
            raise StoreError(f"an object ends {size - len(octets)} octets early")
        return octets

    def close(self) -> None:
        """It is read no more."""
        self._octets = b""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            self._disk.close(fd)


class FileStore:
    """The `decade.ports.ObjectStore` in a directory. Its methods may be called from any thread.

    `commit`, `update` and `remove` wait for the disk; calls of several threads that wait at a time share a transaction.
    """

    waits = True

    def __init__(
        self,
        root: Path,
        *,
        lost: Callable[[Sequence[Row]], None],
        worker: str = "",
        disk: PosixDisk | None = None,
        max_hot: int = MAX_HOT,
    ) -> None:
        """Open a directory, or make it, and mend what a crash has left: a second for some 200,000 objects.

        `lost` is called, in any thread, with the rows of an object that has rotted: they are gone. `worker`: of the
        `SqliteQuotas` in the same file, if one is used. `disk`: of the same root, if its operations are to be seen.
        `max_hot`: octets of objects that are kept in memory. Raises StoreError, OSError, sqlite3.Error.
        """
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._disk = disk or PosixDisk(root)
        self._opened = open_root(root, self._disk)
        self.index = self._opened.index
        self._settler = Settler(self._disk, self.index, root / "commit.lock", worker)
        self._committer: Committer[Job] = Committer(self._settler.settle)
        self._lost = lost
        self._verified: OrderedDict[Name, tuple[int, int]] = OrderedDict()
        self._hot: OrderedDict[Name, bytes] = OrderedDict()
        self._max_hot, self._hot_octets = max_hot, 0
        self._reads: dict[tuple[str, Name], Access] = {}
        self._reads_since = 0
        self._lock = threading.Lock()

    def find(self, account: str, name: Name) -> Row | None:
        """The row of an account's object."""
        with self._lock, store_errors():
            row = self.index.find(account, name)
            return None if row is None else self._counted(row)

    def create(self, name: Name, size: int) -> FileSink:
        """Where a coming object is written to; the disk is not asked before there are octets."""
        return FileSink(self._disk, name)

    def commit(self, sink: FileSink, row: Row) -> bool:
        """Keep what was written, and its row; False if the account has one, which gets what it lacks.

        Raises RefusedError, StoreError, StateError if it is not the object of the row.
        """
        fd = sink.finish(row)
        try:
            return bool(self._committer.do(Put(row, fd)))
        finally:
            self._disk.close(fd)

    def opens_at_once(self, row: Row) -> bool:
        """Whether it is in memory."""
        with self._lock:
            return row.name in self._hot

    def at_hand(self, account: str, name: Name) -> tuple[Row, bytes | None] | None:
        """An object, with its octets if it is short and was read not long ago."""
        with self._lock, store_errors():
            row = self.index.find(account, name)
            if row is None:
                return None
            octets = self._hot.get(name)
            if octets is not None:
                self._hot.move_to_end(name)
            return row, octets

    def open(self, row: Row) -> FileReader:
        """Read an object, which is what its name says. Raises StoreError when it has rotted; then nobody has it."""
        with self._lock:
            hot = self._hot.get(row.name)
            if hot is not None:
                self._hot.move_to_end(row.name)
                return FileReader(self._disk, hot, None)
        # Twice: an upload may have replaced a file that was found rotten.
        for _ in range(2):
            try:
                reader = self._open(row.name)
            except FileNotFoundError:
                reader = None
            except OSError as exc:
                raise StoreError(f"an object: {exc}") from exc
            if reader is not None:
                return reader
            self._suspect(row.name)
        raise StoreError("the object is not what was stored")

    def check(self, name: Name) -> bool:
        """Whether the file of an object is what its name says; if not it goes to quarantine, and nobody has it.

        Raises StoreError.
        """
        try:
            sound = is_sound(self._disk, name)
        except FileNotFoundError:
            sound = False
        except OSError as exc:
            raise StoreError(f"an object: {exc}") from exc
        return sound or not self._suspect(name)

    def update(self, account: str, name: Name, change: Callable[[Row], Row]) -> Row | None:
        """Change the attributes of an object: the row as it is now, None if there is none."""
        row = self._committer.do(Update(account, name, change))
        assert row is None or isinstance(row, Row)
        return row

    def find_bound(self, account: str, signed: SignedName) -> Binding | None:
        """What an account has bound to a signed name."""
        with self._lock, store_errors():
            return self.index.find_bound(account, signed)

    def bind(self, account: str, binding: Binding) -> Binding | None:
        """Give an object a signed name: what is bound to it now; None without the object. Raises RefusedError."""
        bound = self._committer.do(Bind(account, binding))
        assert bound is None or isinstance(bound, Binding)
        return bound

    def unbind(self, account: str, binding: Binding) -> bool:
        """Take a signed name from this object: False if it is not this one's."""
        return bool(self._committer.do(Unbind(account, binding)))

    def count_read(self, account: str, name: Name, octets: int, wall: int) -> None:
        """An object was read, or a part of it: it is written later, with others."""
        with self._lock:
            if not self._reads:
                self._reads_since = wall
            key = (account, name)
            before = self._reads.get(key, _UNREAD)
            self._reads[key] = Access(before.reads + 1, before.octets + octets, max(before.last, wall))
            if len(self._reads) >= MAX_COUNTED or wall - self._reads_since >= COUNTED_FOR:
                self._write_reads()

    def remove(self, account: str, name: Name) -> Row | None:
        """Take a row away; its file goes when no account and no reader has it."""
        row = self._committer.do(Remove(account, name))
        assert row is None or isinstance(row, Row)
        self._forget_reads([row] if row is not None else [])
        return row

    def remove_many(self, rows: Sequence[Row]) -> list[Row]:
        """Take those away, in one transaction, that still have the expiry that they have here: the rows gone."""
        gone = self._committer.do(RemoveMany(rows))
        assert isinstance(gone, list)
        self._forget_reads(gone)
        return gone

    def page(self, account: str, after: bytes, count: int) -> list[Row]:
        """The first rows of an account whose value is greater than `after`."""
        with self._lock, store_errors():
            return [self._counted(row) for row in self.index.page(account, after, count)]

    def holders(self, name: Name, count: int) -> list[Row]:
        """The rows of an object, of whatever accounts, those that came first."""
        with self._lock, store_errors():
            return [self._counted(row) for row in self.index.holders(name, count)]

    def expired(self, wall: int, count: int) -> list[Row]:
        """Rows whose time is over."""
        with store_errors():
            return self.index.expired(wall, count)

    def next_expiry(self) -> int | None:
        """When the next row expires."""
        with store_errors():
            return self.index.next_expiry()

    def close(self) -> None:
        """Finish what has begun, and close all files."""
        try:
            with self._lock:
                self._write_reads()
        finally:
            self._shut()

    def _shut(self) -> None:
        self._committer.close()
        self._settler.close()
        self.index.close()
        os.close(self._opened.lock)
        self._disk.shut()

    def _suspect(self, name: Name) -> bool:
        """Whether a file is still found rotten, which nobody has from now on."""
        rows = self._committer.do(Suspect(name))
        assert isinstance(rows, list)
        if rows:
            self._lost(rows)
        return bool(rows)

    def _open(self, name: Name) -> FileReader | None:
        fd = self._disk.open(*place(name))
        try:
            stat = os.fstat(fd)
            if stat.st_size > MAX_WHOLE:
                if self._is_verified(name, stat):
                    reader = FileReader(self._disk, b"", fd)
                    fd = -1
                    return reader
                return None
            try:
                octets = self._disk.read(fd, 0, MAX_WHOLE)
            except OSError:
                return None
            if not name.matches(octets):
                return None
            self._keep_hot(name, octets)
            return FileReader(self._disk, octets, None)
        finally:
            if fd >= 0:
                self._disk.close(fd)

    def _keep_hot(self, name: Name, octets: bytes) -> None:
        if len(octets) > self._max_hot:
            return
        with self._lock:
            if name not in self._hot:
                self._hot[name] = octets
                self._hot_octets += len(octets)
            while self._hot_octets > self._max_hot:
                self._hot_octets -= len(self._hot.popitem(last=False)[1])

    def _is_verified(self, name: Name, stat: os.stat_result) -> bool:
        identity = (stat.st_ino, stat.st_ctime_ns)
        with self._lock:
            if self._verified.get(name) == identity:
                self._verified.move_to_end(name)
                return True
        if not is_sound(self._disk, name):
            return False
        with self._lock:
            self._verified[name] = identity
            if len(self._verified) > MAX_VERIFIED:
                self._verified.popitem(last=False)
        return True

    def _counted(self, row: Row) -> Row:
        """A row with the reads that are not written yet."""
        access = self._reads.get((row.account, row.name))
        return (
            row if access is None else row.was_read(access.reads, access.octets, max(access.last, row.last_read or 0))
        )

    def _forget_reads(self, gone: Sequence[Row]) -> None:
        with self._lock:
            for row in gone:
                self._reads.pop((row.account, row.name), None)

    def _write_reads(self) -> None:
        reads, self._reads = self._reads, {}
        if reads:
            # Until they are written a row may say less than it did.
            self._committer.submit(Count(reads))
