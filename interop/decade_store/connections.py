"""Connections at nodes and tokens that have a limit, counted by the workers of one machine together.

The file is of no use behind a crash of the machine, so nothing waits for the disk: each start of the machine has its
own. What a worker that died had open is free when another one starts.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from decade.errors import StoreError
from interop.decade_store._connecting import connect
from interop.decade_store.quotas import is_alive

logger = logging.getLogger(__name__)
BUSY_TIMEOUT = 1.0
"""Seconds to wait for another worker: ten thousand times as long as it takes."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS open (node BLOB NOT NULL, worker TEXT NOT NULL, count INTEGER NOT NULL,"
    " PRIMARY KEY (node, worker)) STRICT, WITHOUT ROWID"
)
_COUNT = "SELECT coalesce(sum(count), 0) FROM open WHERE node = ?"


class SqliteConnections:
    """The `decade.ports.Connections` of workers, for one thread."""

    def __init__(self, locks: Path, worker: str) -> None:
        """`locks`: the directory of the files by which workers show that they live. Raises OSError, sqlite3.Error."""
        path = locks / f"connections-{_BOOT.read_text().strip()}.sqlite3"
        for other in locks.glob("connections-*"):
            if not other.name.startswith(path.name):
                other.unlink(missing_ok=True)
        self._worker = worker
        # What is closed, and could not be told yet.
        self._closed: list[bytes] = []
        self._connection = connect(path, BUSY_TIMEOUT)
        try:
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.execute(_SCHEMA)
            with self._transaction() as connection:
                for (other,) in connection.execute("SELECT DISTINCT worker FROM open").fetchall():
                    if other == worker or not is_alive(locks / f"{other}.lock"):
                        connection.execute("DELETE FROM open WHERE worker = ?", (other,))
        except BaseException:
            self._connection.close()
            raise

    def open(self, limits: Sequence[tuple[Hashable, int]]) -> tuple[int, int] | None:
        """Count one more at each or, when one is full, at none: then its place among them, and what is open there.

        Raises StoreError.
        """
        keys = [_key(node) for node, _ in limits]
        try:
            with self._transaction() as connection:
                for place, (_, limit) in enumerate(limits):
                    (count,) = connection.execute(_COUNT, (keys[place],)).fetchone()
                    if count >= limit:
                        return place, count
                for key in keys:
                    connection.execute(
                        "INSERT INTO open VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1",
                        (key, self._worker),
                    )
        except sqlite3.Error as exc:
            raise StoreError(f"the connections: {exc}") from exc
        return None

    def close(self, nodes: Sequence[Hashable]) -> None:
        """One less at each; when that cannot be told now, with the next that is opened or closed."""
        self._closed += map(_key, nodes)
        try:
            with self._transaction():
                pass
        except sqlite3.Error as exc:
            logger.warning("connections are free a while later: %s", exc)

    def count(self, node: Hashable) -> int:
        """What is open at a node; 0 if the medium fails."""
        try:
            count: int = self._connection.execute(_COUNT, (_key(node),)).fetchone()[0]
        except sqlite3.Error:
            return 0
        return count

    def end(self) -> None:
        """This worker ends: what it has open is free."""
        try:
            self._connection.execute("DELETE FROM open WHERE worker = ?", (self._worker,))
        except sqlite3.Error as exc:
            logger.warning("connections are free when another worker starts: %s", exc)
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """What was closed before is told first."""
        closed = len(self._closed)
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for key in self._closed:
                where = (key, self._worker)
                self._connection.execute("UPDATE open SET count = count - 1 WHERE node = ? AND worker = ?", where)
                self._connection.execute("DELETE FROM open WHERE node = ? AND worker = ? AND count = 0", where)
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        del self._closed[:closed]


def _key(node: Hashable) -> bytes:
    """Paths and keys of tokens are tuples of text and octets: their literals are as different as they are."""
    return hashlib.sha256(repr(node).encode()).digest()
