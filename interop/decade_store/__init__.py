"""The durable parts of a DECADE server: objects in files, rows, quotas and the ledger of tokens in SQLite."""

from interop.decade_store.connections import SqliteConnections
from interop.decade_store.ledger import SqliteLedger
from interop.decade_store.policies import SqlitePolicies
from interop.decade_store.quotas import SqliteQuotas
from interop.decade_store.scrubbing import scrub
from interop.decade_store.serving import DurableServer, open_server
from interop.decade_store.store import FileReader, FileSink, FileStore

__all__ = [
    "DurableServer",
    "FileReader",
    "FileSink",
    "FileStore",
    "SqliteConnections",
    "SqliteLedger",
    "SqlitePolicies",
    "SqliteQuotas",
    "open_server",
    "scrub",
]
