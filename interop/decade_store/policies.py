"""Policies that accounts put for their applications, in SQLite, shared by the processes of a server."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from decade.messages import ResourcePolicy, decode_message, encode_message
from decade.policy import has_room
from decade.ports import Holding, NodePath, PutPolicy
from interop.decade_store._database import Database, node_of, path_of, store_errors
from interop.decade_store._transactions import Transactions
from interop.decade_store.quotas import SqliteQuotas, held

_VERSION = "SELECT coalesce((SELECT version FROM policies), 0)"


class SqlitePolicies:
    """The `decade.ports.Policies` in an SQLite file, beside `SqliteQuotas`. `save` waits for the disk."""

    waits = True

    def __init__(self, path: Path, quotas: SqliteQuotas) -> None:
        """`quotas`: in the same file. Raises sqlite3.Error."""
        self._quotas = quotas
        self._transactions = Transactions(Database(path))
        self._reading = Database(path)

    def save(self, path: NodePath, policy: ResourcePolicy | None, over: ResourcePolicy | None) -> Holding | None:
        """Keep what an account has put, unless the node holds too much: then what it holds. Raises StoreError."""
        node, messages = node_of(path), (_written(policy), _written(over))

        def change(connection: sqlite3.Connection) -> Holding | None:
            holding = held(connection, path)
            if not has_room(policy, holding):
                return holding
            (version,) = connection.execute(_VERSION).fetchone()
            connection.execute("INSERT OR REPLACE INTO policies VALUES (0, ?)", (version + 1,))
            if policy == over:
                connection.execute("DELETE FROM app_policy WHERE node = ?", (node,))
            else:
                query = "INSERT OR REPLACE INTO app_policy VALUES (?, ?, ?, ?)"
                connection.execute(query, (node, *messages, version + 1))
            return None

        # What uploads have given back is not held.
        self._quotas.flush()
        return self._transactions.do(change)

    def load(self, known: Mapping[NodePath, PutPolicy]) -> dict[NodePath, PutPolicy]:
        """All that is kept; what is known in the same version is not read again. Raises StoreError."""
        with store_errors():
            versions = self._reading.rows("SELECT node, version FROM app_policy")
            found = {}
            for path, version in ((path_of(node), version) for node, version in versions):
                put = known.get(path)
                if put is None or put.version != version:
                    put = self._read(path)
                if put is not None:
                    found[path] = put
        return found

    def version(self) -> int:
        """Another number after each `save`, of whatever process. Raises StoreError."""
        with store_errors():
            version: int = self._reading.rows(_VERSION)[0][0]
        return version

    def close(self) -> None:
        """Close the connections."""
        self._transactions.close()
        self._reading.close()

    def _read(self, path: NodePath) -> PutPolicy | None:
        """None if it is gone since its version was read."""
        query = "SELECT policy, over, version FROM app_policy WHERE node = ?"
        for policy, over, version in self._reading.rows(query, (node_of(path),)):
            return PutPolicy(_read(policy), _read(over), version)
        return None


def _written(policy: ResourcePolicy | None) -> bytes | None:
    return None if policy is None else encode_message(policy)


def _read(message: bytes | None) -> ResourcePolicy | None:
    if message is None:
        return None
    policy = decode_message(message)
    assert isinstance(policy, ResourcePolicy)
    return policy
