"""A DECADE server all of whose state is in one directory."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs

from decade.messages import ResourcePolicy
from decade.policy import PolicyTree
from decade.ports import NodePath, Row
from decade.server import Server
from decade.settings import LOGS, Settings
from decade.tokens import Keys
from interop.decade_store._opening import INDEX, LOCKS
from interop.decade_store.connections import SqliteConnections
from interop.decade_store.journal import SqliteJournal
from interop.decade_store.ledger import SqliteLedger
from interop.decade_store.policies import SqlitePolicies
from interop.decade_store.quotas import SqliteQuotas
from interop.decade_store.store import FileStore

JOURNAL = "journal.sqlite3"
"""The file of the logs in the directory, if any is on."""


@attrs.frozen
class DurableServer:
    """A server and its durable parts. The server is used in one thread, and waits for the disk when it stores."""

    server: Server
    tree: PolicyTree
    store: FileStore
    quotas: SqliteQuotas
    ledger: SqliteLedger
    policies: SqlitePolicies
    connections: SqliteConnections | None = None
    journal: SqliteJournal | None = None

    def close(self) -> None:
        """End it; what was answered is on the disk already."""
        if self.journal is not None:
            self.journal.close()
        self.store.close()
        self.ledger.close()
        self.policies.close()
        if self.connections is not None:
            self.connections.end()
        self.quotas.close()


def open_server(
    root: Path,
    settings: Settings,
    keys: Keys,
    policies: Mapping[NodePath, ResourcePolicy],
    *,
    epoch: float,
    is_alone: bool = False,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> DurableServer:
    """Make the directory, or go on with what is in it. `policies`: of accounts, each before its applications; they
    go before what the accounts have put, where they have changed since (`PolicyTree`).

    `epoch`: the Unix time at which `now` is 0. `is_alone`: no other process opens the directory meanwhile, or it may
    have as many connections again. Raises StoreError, OSError, sqlite3.Error, and as `PolicyTree.put`.
    """
    # The directory is made, and mended, before the quotas count in it; the store then knows whose reservations it uses.
    FileStore(root, lost=_nobody_waits).close()
    quotas = SqliteQuotas(root / INDEX, root / LOCKS)
    tree, kept = PolicyTree(quotas, extensions=settings.extensions), SqlitePolicies(root / INDEX, quotas)
    tree.lay(kept.load({}))
    for path, policy in policies.items():
        tree.put(path, policy)

    def lost(rows: Sequence[Row]) -> None:
        for row in rows:
            tree.drop(row.payer, row.size)

    store, ledger = FileStore(root, lost=lost, worker=quotas.worker), SqliteLedger(root / INDEX)
    journal = SqliteJournal(root / JOURNAL) if settings.extensions & LOGS else None
    connections = None if is_alone else SqliteConnections(root / LOCKS, quotas.worker)
    server = Server(
        settings,
        keys,
        tree,
        epoch=epoch,
        store=store,
        ledger=ledger,
        policies=kept,
        connections=connections,
        journal=journal,
        random_bytes=random_bytes,
    )
    return DurableServer(server, tree, store, quotas, ledger, kept, connections, journal)


def _nobody_waits(rows: Sequence[Row]) -> None:
    """Nothing is read yet."""
