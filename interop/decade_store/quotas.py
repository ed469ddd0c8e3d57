"""The octets that each node of the policy tree holds, shared by the processes of a server."""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from decade.errors import StateError
from decade.ports import Charge, Holding, NodePath
from interop.decade_store._database import Database, node_of


class SqliteQuotas:
    """The `decade.ports.Quotas` of a server of several processes, beside an `Index` in the same file.

    What is stored changes with the rows of the objects, in their transactions: there a reservation of this worker
    becomes what is stored. What a worker that is no more has reserved is free as soon as another one starts.
    """

    waits = True

    def __init__(self, path: Path, locks: Path) -> None:
        """`locks`: the directory of the files by which a worker shows that it lives. Raises OSError, sqlite3.Error."""
        self.worker = secrets.token_hex(8)
        # A reservation may be lost in a power cut, as its upload is: none waits for the disk.
        self._database = Database(path, durable=False)
        self._lock_path = locks / f"{self.worker}.lock"
        self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._bury(locks)

    def holding(self, path: NodePath) -> Holding:
        """What a node holds; nothing if it is not known."""
        query = (
            "SELECT coalesce((SELECT stored FROM holding WHERE node = ?1), 0),"
            " coalesce((SELECT sum(octets) FROM reservation WHERE node = ?1), 0),"
            " coalesce((SELECT objects FROM holding WHERE node = ?1), 0)"
        )
        return Holding(*self._database.rows(query, (node_of(path),))[0])

    def reserve(self, charges: Sequence[Charge], octets: int) -> tuple[Charge, Holding] | None:
        """Reserve at every node or, when one has no room, at none: then the first such node, and what it holds."""
        with self._database.transaction() as connection:
            for charge in charges:
                if charge.limit is not None:
                    holding = self.holding(charge.path)
                    if holding.used + octets > charge.limit:
                        return charge, holding
            for charge in charges:
                connection.execute(
                    "INSERT INTO reservation VALUES (?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET octets = octets + excluded.octets",
                    (node_of(charge.path), self.worker, octets),
                )
        return None

    def commit(self, paths: Sequence[NodePath], octets: int) -> None:
        """Nothing is left to do: the octets became stored with the row of the object, or they will."""

    def release(self, paths: Sequence[NodePath], octets: int) -> None:
        """What was reserved is free again. Raises StateError if it was not reserved."""
        with self._database.transaction() as connection:
            for path in paths:
                try:
                    changed = connection.execute(
                        "UPDATE reservation SET octets = octets - ? WHERE node = ? AND worker = ?",
                        (octets, node_of(path), self.worker),
                    ).rowcount
                except sqlite3.IntegrityError:
                    changed = 0
                if not changed:
                    raise StateError(f"{'/'.join(path)!r} does not hold what is to be taken from it")

    def drop(self, paths: Sequence[NodePath], octets: int) -> None:
        """Nothing is left to do: the octets went with the row of the object."""

    def close(self) -> None:
        """Free what this worker has still reserved, and end it."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM reservation WHERE worker = ?", (self.worker,))
        self._database.close()
        self._lock_path.unlink(missing_ok=True)
        os.close(self._lock)

    def _bury(self, locks: Path) -> None:
        """Free what workers have reserved that hold no lock: they are dead, however they died."""
        with self._database.transaction() as connection:
            for (worker,) in connection.execute("SELECT DISTINCT worker FROM reservation").fetchall():
                if worker != self.worker and not _is_alive(locks / f"{worker}.lock"):
                    connection.execute("DELETE FROM reservation WHERE worker = ?", (worker,))
        for path in locks.glob("*.lock"):
            if path != self._lock_path and not _is_alive(path):
                path.unlink(missing_ok=True)


def _is_alive(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
