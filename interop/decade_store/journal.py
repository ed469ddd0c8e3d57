"""The logs of a DECADE server in an SQLite file, which its processes share (`decade.journal`)."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from decade.errors import StoreError
from decade.journal import MAX_ENTRIES, Key, Reads, Seen, Sent, last_seen
from decade.names import SHA_256, Name
from interop.decade_store._connecting import connect
from interop.decade_store._database import BUSY_TIMEOUT

logger = logging.getLogger(__name__)

MAX_WAITING = 1024
"""Entries that wait in memory to be written together; a power cut loses those of the last minutes."""
_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS reads (
    account TEXT NOT NULL, period INTEGER NOT NULL, name BLOB NOT NULL, token BLOB NOT NULL,
    reads INTEGER NOT NULL, octets INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (account, period, name, token)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS reads_name ON reads (account, name);
CREATE TABLE IF NOT EXISTS sent (
    account TEXT NOT NULL, time INTEGER NOT NULL, name BLOB NOT NULL, server BLOB NOT NULL,
    PRIMARY KEY (account, time, name, server)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS whole (account TEXT PRIMARY KEY, since INTEGER NOT NULL) STRICT, WITHOUT ROWID;
COMMIT;
"""
_READS = "SELECT period, name, token, reads, octets, last FROM reads WHERE account = ?"
_BEFORE_ALL: Key = (-1, b"", b"")


class SqliteJournal:
    """A `decade.journal.Journal` in a file. What is added is written by a thread of its own, many entries at a time."""

    waits = True

    def __init__(self, path: Path) -> None:
        """Open the file, or make it. Raises sqlite3.Error."""
        self._connection = connect(path, BUSY_TIMEOUT)
        try:
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.executescript(_SCHEMA)
        except BaseException:
            self._connection.close()
            raise
        self._reads: dict[tuple[str, Key], Reads] = {}
        self._sent: dict[tuple[str, Key], Sent] = {}
        self._whole_from: dict[str, int] = {}
        self._forgotten = 0
        self._lock = threading.Lock()
        # The only thread that uses the connection from here on.
        self._thread = ThreadPoolExecutor(1, "decade-journal")

    def add_read(self, account: str, reads: Reads) -> None:
        """Objects were read."""
        with self._lock:
            before = self._reads.get((account, reads.key))
            self._reads[account, reads.key] = reads if before is None else before.and_then(reads)
        self._write_when_due()

    def add_sent(self, account: str, sent: Sent) -> None:
        """An object went to a server."""
        with self._lock:
            self._sent[account, sent.key] = sent
        self._write_when_due()

    def reads(self, account: str, frame: tuple[int, int], after: Key | None, count: int) -> Sequence[Reads]:
        """The entries with a read in a time frame. Raises StoreError."""
        query = (
            f"{_READS} AND (period, name, token) > (?, ?, ?) AND last >= ? AND period <= ?"
            " ORDER BY period, name, token LIMIT ?"
        )
        return [_entry(row) for row in self._ask(query, account, *(after or _BEFORE_ALL), *frame, count)]

    def sent(self, account: str, frame: tuple[int, int], after: Key | None, count: int) -> Sequence[Sent]:
        """What went to servers in a time frame. Raises StoreError."""
        query = (
            "SELECT time, name, server FROM sent WHERE account = ? AND (time, name, server) > (?, ?, ?)"
            " AND time BETWEEN ? AND ? ORDER BY time, name, server LIMIT ?"
        )
        rows = self._ask(query, account, *(after or _BEFORE_ALL), *frame, count)
        return [Sent(time, Name(SHA_256, name), server.decode()) for time, name, server in rows]

    def seen(self, account: str, name: Name, since: int, count: int) -> Sequence[Seen]:
        """The tokens with which an object was read. Raises StoreError."""
        rows = self._ask(f"{_READS} AND name = ? AND last >= ?", account, name.value, since)
        return last_seen(map(_entry, rows), count)

    def whole_from(self, account: str) -> int:
        """The time from which on nothing is missing. Raises StoreError."""
        ((found,),) = self._ask("SELECT coalesce(max(since), 0) FROM whole WHERE account = ?", account)
        return max(int(found), self._whole_from.get(account, 0))

    def forget(self, before: int) -> None:
        """Forget what ended before a time."""
        with self._lock:
            self._forgotten = max(self._forgotten, before)
        self._thread.submit(self._write)

    def close(self) -> None:
        """Write what waits, and end."""
        self._thread.submit(self._write)
        self._thread.shutdown()
        self._connection.close()

    def _write_when_due(self) -> None:
        waiting = len(self._reads) + len(self._sent)
        if waiting >= MAX_WAITING and not waiting % MAX_WAITING:
            self._thread.submit(self._write)

    def _ask(self, query: str, *arguments: Any) -> list[Any]:
        """The rows that a query finds when all that waits is written."""

        def find() -> list[Any]:
            self._write()
            return self._connection.execute(query, arguments).fetchall()

        try:
            return self._thread.submit(find).result()
        except sqlite3.Error as exc:
            raise StoreError(f"the log: {exc}") from exc

    def _write(self) -> None:
        with self._lock:
            reads, self._reads = self._reads, {}
            sent, self._sent = self._sent, {}
            forgotten = self._forgotten
        try:
            with self._transaction():
                self._insert(reads, sent)
                self._connection.execute("DELETE FROM reads WHERE last < ?", (forgotten,))
                self._connection.execute("DELETE FROM sent WHERE time < ?", (forgotten,))
                for account in {account for account, _ in (*reads, *sent)}:
                    self._shorten(account)
        except sqlite3.Error as exc:
            logger.warning("%d entries of the log are lost: %s", len(reads) + len(sent), exc)
            times = [(account, entry.last) for (account, _), entry in reads.items()]
            for account, time in (*times, *((account, entry.time) for (account, _), entry in sent.items())):
                self._whole_from[account] = max(self._whole_from.get(account, 0), time + 1)

    def _insert(self, reads: dict[tuple[str, Key], Reads], sent: dict[tuple[str, Key], Sent]) -> None:
        self._connection.executemany(
            "INSERT INTO reads VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " reads = reads + excluded.reads, octets = octets + excluded.octets, last = max(last, excluded.last)",
            [(account, *entry.key, entry.reads, entry.octets, entry.last) for (account, _), entry in reads.items()],
        )
        self._connection.executemany(
            "INSERT INTO sent VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", [(account, *key) for account, key in sent]
        )

    def _shorten(self, account: str) -> None:
        """Take away what is over MAX_ENTRIES, the oldest first, and say so."""
        for table, time in (("reads", "last"), ("sent", "time")):
            ((count,),) = self._connection.execute(f"SELECT count(*) FROM {table} WHERE account = ?", (account,))
            if count <= MAX_ENTRIES:
                continue
            # All that is as old as the newest that goes: the log is whole from the next second on.
            ((since,),) = self._connection.execute(
                f"SELECT {time} + 1 FROM {table} WHERE account = ? ORDER BY {time} LIMIT 1 OFFSET ?",
                (account, count - MAX_ENTRIES - 1),
            )
            self._connection.execute(f"DELETE FROM {table} WHERE account = ? AND {time} < ?", (account, since))
            self._connection.execute(
                "INSERT INTO whole VALUES (?, ?) ON CONFLICT DO UPDATE SET since = max(since, excluded.since)",
                (account, since),
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def _entry(row: Any) -> Reads:
    period, name, token, reads, octets, last = row
    return Reads(period, Name(SHA_256, name), token, reads, octets, last)
