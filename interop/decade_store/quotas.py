"""The octets that each node of the policy tree holds, shared by the processes of a server."""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from decade.errors import OutdatedError, StateError
from decade.ports import Charge, Holding, NodePath
from interop.decade_store._database import Database, node_of, store_errors
from interop.decade_store._transactions import Transactions

_HOLDING = (
    "SELECT coalesce((SELECT stored FROM holding WHERE node = ?1), 0),"
    " coalesce((SELECT sum(octets) FROM reservation WHERE node = ?1), 0),"
    " coalesce((SELECT objects FROM holding WHERE node = ?1), 0)"
)
_VERSION = "SELECT coalesce((SELECT version FROM app_policy WHERE node = ?), 0)"


def held(connection: sqlite3.Connection, path: NodePath) -> Holding:
    """What a node holds, in a transaction."""
    return Holding(*connection.execute(_HOLDING, (node_of(path),)).fetchone())


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
        self._transactions = Transactions(Database(path, durable=False))
        self._reading = Database(path, durable=False)
        # What is released and not written yet.
        self._releasing: Counter[NodePath] = Counter()
        self._counting = threading.Lock()
        self._lock_path = locks / f"{self.worker}.lock"
        self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._bury(locks)

    def holding(self, path: NodePath) -> Holding:
        """What a node holds; nothing if it is not known. Raises StoreError."""
        # Asked first: a release that is written meanwhile is never counted as held, at worst it is taken off twice.
        releasing = self._releasing[path]
        with store_errors():
            stored, reserved, objects = self._reading.rows(_HOLDING, (node_of(path),))[0]
        return Holding(stored, max(0, reserved - releasing), objects)

    def reserve(self, charges: Sequence[Charge], octets: int) -> tuple[Charge, Holding] | None:
        """Reserve at every node or, when one has no room, at none: then the first such node, and what it holds.

        Raises StoreError, OutdatedError.
        """

        def change(connection: sqlite3.Connection) -> tuple[Charge, Holding] | OutdatedError | None:
            for charge in charges:
                if charge.version is not None:
                    (version,) = connection.execute(_VERSION, (node_of(charge.path),)).fetchone()
                    if version != charge.version:
                        return OutdatedError("the policies of the account have changed")
                if charge.limit is not None:
                    holding = held(connection, charge.path)
                    if holding.used + octets > charge.limit:
                        return charge, holding
            for charge in charges:
                connection.execute(
                    "INSERT INTO reservation VALUES (?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET octets = octets + excluded.octets",
                    (node_of(charge.path), self.worker, octets),
                )
            return None

        found = self._transactions.do(change)
        if isinstance(found, OutdatedError):
            raise found
        return found

    def commit(self, paths: Sequence[NodePath], octets: int) -> None:
        """Nothing is left to do: the octets became stored with the row of the object, or they will."""

    def release(self, paths: Sequence[NodePath], octets: int) -> None:
        """What was reserved is free again, soon; what was not is an error in the log, and changes nothing."""

        def change(connection: sqlite3.Connection) -> None:
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

        self._count_releasing(paths, octets)
        self._transactions.submit(change).add_done_callback(lambda _: self._count_releasing(paths, -octets))

    def drop(self, paths: Sequence[NodePath], octets: int) -> None:
        """Nothing is left to do: the octets went with the row of the object."""

    def flush(self) -> None:
        """Wait until all that was released is free. Raises StoreError."""
        self._transactions.do(lambda _: None)

    def close(self) -> None:
        """Free what this worker has still reserved, and end it."""
        self._transactions.submit(
            lambda connection: connection.execute("DELETE FROM reservation WHERE worker = ?", (self.worker,))
        )
        self._transactions.close()
        self._reading.close()
        self._lock_path.unlink(missing_ok=True)
        os.close(self._lock)

    def _count_releasing(self, paths: Sequence[NodePath], octets: int) -> None:
        with self._counting:
            for path in paths:
                self._releasing[path] += octets
                if not self._releasing[path]:
                    del self._releasing[path]

    def _bury(self, locks: Path) -> None:
        """Free what workers have reserved that hold no lock: they are dead, however they died."""

        def change(connection: sqlite3.Connection) -> None:
            for (worker,) in connection.execute("SELECT DISTINCT worker FROM reservation").fetchall():
                if worker != self.worker and not is_alive(locks / f"{worker}.lock"):
                    connection.execute("DELETE FROM reservation WHERE worker = ?", (worker,))

        self._transactions.do(change)
        for path in locks.glob("*.lock"):
            if path != self._lock_path and not is_alive(path):
                path.unlink(missing_ok=True)


def is_alive(path: Path) -> bool:
    """Whether the worker lives whose lock this is."""
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
