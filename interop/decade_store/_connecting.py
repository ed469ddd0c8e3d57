"""Connections to SQLite files that several processes may make at the same time."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

_PAUSE = 0.005
"""Seconds until a new file is tried again: to make one takes another process about as long."""


def connect(path: Path, patience: float) -> sqlite3.Connection:
    """Open a file in WAL mode, or make it; `patience`: seconds to wait for other writers. Raises sqlite3.Error."""
    connection = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    try:
        deadline = time.monotonic() + patience
        # SQLite waits for nobody where two make the same file a WAL one: both hold a lock that the other needs.
        while not _is_wal(connection):
            if time.monotonic() >= deadline:
                raise sqlite3.OperationalError("database is locked")
            time.sleep(_PAUSE)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_wal(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
