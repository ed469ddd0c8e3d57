"""Policies that accounts put for their applications, in SQLite, shared by the processes of a server."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from decade.messages import ResourcePolicy, decode_message, encode_message
from decade.ports import NodePath
from interop.decade_store._database import Database, node_of, path_of, store_errors
from interop.decade_store._transactions import Transactions

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS policy ("
    " node TEXT PRIMARY KEY, message BLOB, version INTEGER NOT NULL UNIQUE) STRICT, WITHOUT ROWID"
)
_VERSION = "SELECT coalesce(max(version), 0) FROM policy"


class SqlitePolicies:
    """The `decade.ports.Policies` in an SQLite file. `save` waits for the disk."""

    waits = True

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.Error, StoreError."""
        self._transactions = Transactions(Database(path))
        self._reading = Database(path)
        self._transactions.do(lambda connection: connection.execute(_SCHEMA))

    def save(self, path: NodePath, policy: ResourcePolicy | None) -> None:
        """Keep the policy of a node; None: it is removed. Raises StoreError."""
        message = None if policy is None else encode_message(policy)

        def change(connection: sqlite3.Connection) -> None:
            (version,) = connection.execute(_VERSION).fetchone()
            query = "INSERT OR REPLACE INTO policy VALUES (?, ?, ?)"
            connection.execute(query, (node_of(path), message, version + 1))

        self._transactions.do(change)

    def load(self) -> dict[NodePath, ResourcePolicy | None]:
        """What was saved last of each node. Raises StoreError."""
        with store_errors():
            rows = self._reading.rows("SELECT node, message FROM policy")
        return {path_of(node): None if message is None else _read(message) for node, message in rows}

    def version(self) -> int:
        """Another number after each `save`, of whatever process. Raises StoreError."""
        with store_errors():
            version: int = self._reading.rows(_VERSION)[0][0]
        return version

    def close(self) -> None:
        """Close the connections."""
        self._transactions.close()
        self._reading.close()


def _read(message: bytes) -> ResourcePolicy:
    policy = decode_message(message)
    assert isinstance(policy, ResourcePolicy)
    return policy
