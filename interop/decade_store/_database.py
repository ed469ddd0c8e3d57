"""The SQLite file of a store: its tables, and transactions on it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from decade.errors import StoreError
from decade.ports import NodePath
from interop.decade_store._connecting import connect
from interop.decade_store._wal import WalHeader

MAX_INTEGER = 2**63 - 1
"""The largest that SQLite stores. As a Unix time it is never."""
BUSY_TIMEOUT = 30.0
"""Seconds to wait for another writer: many commits on a slow disk, and still an end."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
    account TEXT NOT NULL, name BLOB NOT NULL CHECK (length(name) = 32), payer TEXT NOT NULL,
    size INTEGER NOT NULL CHECK (size >= 0), created INTEGER NOT NULL, expires INTEGER, media_type TEXT,
    reads INTEGER NOT NULL, octets_read INTEGER NOT NULL, last_read INTEGER, collections TEXT,
    PRIMARY KEY (account, name)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS object_name ON object (name);
CREATE INDEX IF NOT EXISTS object_expires ON object (expires) WHERE expires IS NOT NULL;
CREATE TABLE IF NOT EXISTS holding (
    node TEXT PRIMARY KEY, stored INTEGER NOT NULL CHECK (stored >= 0), objects INTEGER NOT NULL CHECK (objects >= 0)
    ) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservation (
    node TEXT NOT NULL, worker TEXT NOT NULL, octets INTEGER NOT NULL CHECK (octets >= 0),
    PRIMARY KEY (node, worker)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS token_use (
    thumbprint BLOB NOT NULL, cti BLOB NOT NULL, account TEXT NOT NULL, until INTEGER NOT NULL,
    uses INTEGER NOT NULL, amount INTEGER NOT NULL, storage INTEGER NOT NULL,
    PRIMARY KEY (thumbprint, cti)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS token_use_until ON token_use (until);
CREATE TABLE IF NOT EXISTS counted (account TEXT PRIMARY KEY, tokens INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revoked_token (
    account TEXT NOT NULL, cti BLOB NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (account, cti)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revoked_key (
    account TEXT NOT NULL, kid BLOB NOT NULL, PRIMARY KEY (account, kid)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revoked_before (
    account TEXT PRIMARY KEY, before INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS app_policy (
    node TEXT PRIMARY KEY, policy BLOB, over BLOB, version INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS policies (only INTEGER PRIMARY KEY CHECK (only = 0), version INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS clock (only INTEGER PRIMARY KEY CHECK (only = 0), wall INTEGER NOT NULL) STRICT;
"""
_SIGNED_NAMES = (
    "CREATE TABLE IF NOT EXISTS signed_name (account TEXT NOT NULL, publisher BLOB NOT NULL, label BLOB NOT NULL,"
    " name BLOB NOT NULL, signature BLOB NOT NULL, PRIMARY KEY (account, publisher, label)) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS signed_name_name ON signed_name (account, name)",
    # However an object goes, its signed names go with it.
    "CREATE TRIGGER IF NOT EXISTS signed_name_goes AFTER DELETE ON object"
    " BEGIN DELETE FROM signed_name WHERE account = OLD.account AND name = OLD.name; END",
)


class Database:
    """One connection, for one thread at a time: the others wait."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        """Open the file, or make it with its tables. Raises sqlite3.Error.

        `durable`: a transaction survives a power cut when `transaction` ends. Without, the last ones may be undone
        by a power cut, each as a whole, and those of durable connections before them are not.
        """
        self._lock = threading.RLock()
        self._is_open = True
        self._connection = connect(path, BUSY_TIMEOUT)
        try:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            if not durable:
                # Who does not wait for the disk must not wait for a checkpoint either.
                self._connection.execute("PRAGMA wal_autocheckpoint = 0")
            if not self.rows("SELECT 1 FROM sqlite_schema WHERE name = 'policies'"):
                self._connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
            self._add_collections()
            self._add_signed_names()
            self._header = WalHeader(path)
        except BaseException:
            self._connection.close()
            raise

    def _add_collections(self) -> None:
        """A file that was made before there were collections gets room for them."""
        has_them = "SELECT 1 FROM pragma_table_info('object') WHERE name = 'collections'"
        if self.rows(has_them):
            return
        with self.transaction() as connection:
            if not connection.execute(has_them).fetchall():
                connection.execute("ALTER TABLE object ADD COLUMN collections TEXT")

    def _add_signed_names(self) -> None:
        """A file that was made before there were signed names gets room for them."""
        if self.rows("SELECT 1 FROM sqlite_schema WHERE name = 'signed_name_goes'"):
            return
        with self.transaction() as connection:
            for statement in _SIGNED_NAMES:
                connection.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is done inside, or none of it when it ends in an exception. No other process writes meanwhile."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, query: str, arguments: Sequence[Any] = ()) -> list[Any]:
        """The rows of a query."""
        with self._lock:
            return self._connection.execute(query, arguments).fetchall()

    def stream(self, query: str) -> Iterator[Any]:
        """The rows of a query that are too many for a list; nothing else may use the connection until its end."""
        with self._lock:
            yield from self._connection.execute(query)

    def version(self) -> bytes:
        """What each transaction changes, of whatever connection and process; what is read after that is not older.

        Raises sqlite3.Error when the connection is closed.
        """
        if not self._is_open:
            raise sqlite3.ProgrammingError("the database is closed")
        return self._header.read()

    def close(self) -> None:
        """Close the connection. Harmless when repeated."""
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            self._connection.close()
            self._header.close()


class _StoreErrors:
    def __enter__(self) -> None:
        """All that is done inside."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise StoreError(f"the index: {error}") from error


def store_errors() -> _StoreErrors:
    """A database that fails is a store that does."""
    return _ERRORS


_ERRORS = _StoreErrors()


def node_of(path: NodePath) -> str:
    """A node of the policy tree as the tables have it: any text may be in the names of accounts and applications."""
    return json.dumps(path)


def path_of(node: str) -> NodePath:
    """The path that `node_of` has written."""
    return tuple(json.loads(node))
