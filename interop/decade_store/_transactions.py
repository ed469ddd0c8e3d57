"""Changes of a database that a thread of its own makes, in their order and many in one transaction."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeAlias, TypeVar, cast

from decade.errors import RefusedError, StateError, StoreError
from interop.decade_store._committer import Committer
from interop.decade_store._database import Database

logger = logging.getLogger(__name__)
_T = TypeVar("_T")
Change: TypeAlias = Callable[[sqlite3.Connection], object]


class Transactions:
    """Each change is made as a whole or not at all, though many share a transaction and its way to the disk."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._committer: Committer[Change] = Committer(self._settle)

    def do(self, change: Callable[[sqlite3.Connection], _T]) -> _T:
        """Make a change, and wait for it. Raises StoreError, and RefusedError and StateError if the change does."""
        return cast("_T", self._committer.do(change))

    def submit(self, change: Change) -> Future[object]:
        """Make a change that nobody waits for; if it fails the log has it."""
        future = self._committer.submit(change)
        future.add_done_callback(_report)
        return future

    def close(self) -> None:
        """Make the changes that were submitted, and close the database."""
        self._committer.close()
        self._database.close()

    def _settle(self, changes: Sequence[Change]) -> list[object]:
        try:
            with self._database.transaction() as connection:
                return [_apply(connection, change) for change in changes]
        except sqlite3.Error as exc:
            return [StoreError(f"the database: {exc}")] * len(changes)


def _apply(connection: sqlite3.Connection, change: Change) -> object:
    connection.execute("SAVEPOINT change")
    try:
        result = change(connection)
    except (RefusedError, StateError) as error:
        connection.execute("ROLLBACK TO change")
        result = error
    connection.execute("RELEASE change")
    return result


def _report(future: Future[object]) -> None:
    error = future.exception()
    if error is not None:
        logger.error("a change that was not made: %s", error)
