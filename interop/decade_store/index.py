"""The rows of the objects that are stored, and what each node of the policy tree holds, in SQLite."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from decade.memberships import read_collections, write_collections
from decade.named import MAX_NAMES, Binding, too_many_names
from decade.names import SHA_256, Name
from decade.policy import parents
from decade.ports import NodePath, Row
from decade.values import SignedName
from interop.decade_store._database import MAX_INTEGER, Database, node_of, path_of

MAX_CACHED = 16384
"""Rows that are not asked of SQLite again while nobody writes: 16 MiB or so."""
_COLUMNS = "account, name, size, payer, created, expires, media_type, reads, octets_read, last_read, collections"

_BOUND = "SELECT name, signature FROM signed_name WHERE account = ? AND publisher = ? AND label = ?"


@attrs.frozen
class Access:
    """How often an object was read, how many octets, and when last, in seconds since 1970; 0 for never."""

    reads: int = 0
    octets: int = 0
    last: int = 0


class Index:
    """The table of objects. Its methods read; the functions below write, in a transaction that many share."""

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.Error."""
        self.database = Database(path)
        # Readers have a connection of their own: in WAL mode they never wait for one that writes.
        self._reading = Database(path)
        self._cache: dict[tuple[str, Name], Row | None] = {}
        self._version = b""
        self._lock = threading.Lock()

    def find(self, account: str, name: Name) -> Row | None:
        """The row of an account's object."""
        with self._lock:
            return self._find(account, name)

    def find_bound(self, account: str, signed: SignedName) -> Binding | None:
        """What an account has bound to a signed name."""
        found = self._reading.rows(_BOUND, (account, signed.publisher.value, signed.label))
        return next((Binding(signed, Name(SHA_256, name), signature) for name, signature in found), None)

    def page(self, account: str, after: bytes, count: int) -> list[Row]:
        """At most `count` objects of an account in the order of their values, from the one behind `after`."""
        query = f"SELECT {_COLUMNS} FROM object WHERE account = ? AND name > ? ORDER BY name LIMIT ?"
        return [_row(found) for found in self._reading.rows(query, (account, after, count))]

    def holders(self, name: Name, count: int) -> list[Row]:
        """At most `count` rows of an object, of whatever accounts, those that came first."""
        query = f"SELECT {_COLUMNS} FROM object WHERE name = ? ORDER BY created, account LIMIT ?"
        return [_row(found) for found in self._reading.rows(query, (name.value, count))]

    def expired(self, wall: int, count: int) -> list[Row]:
        """At most `count` rows whose time is over at a Unix time."""
        query = f"SELECT {_COLUMNS} FROM object WHERE expires <= ? ORDER BY expires LIMIT ?"
        return [_row(found) for found in self._reading.rows(query, (min(wall, MAX_INTEGER), count))]

    def next_expiry(self) -> int | None:
        """When the next row expires, None for never."""
        found: int | None = self._reading.rows("SELECT min(expires) FROM object WHERE expires IS NOT NULL")[0][0]
        return found

    def is_held(self, name: Name) -> bool:
        """Whether any account has this object."""
        return bool(self._reading.rows("SELECT 1 FROM object WHERE name = ? LIMIT 1", (name.value,)))

    def holdings(self) -> list[tuple[NodePath, int, int]]:
        """Each node of the policy tree that holds something: its path, octets and objects, with those below."""
        found = self._reading.rows("SELECT node, stored, objects FROM holding WHERE objects > 0")
        return [(path_of(node), stored, objects) for node, stored, objects in found]

    def scan(self) -> Iterator[Row]:
        """Every row, by account and name. For the start: nobody else can read until it ends."""
        return map(_row, self._reading.stream(f"SELECT {_COLUMNS} FROM object"))

    def names(self) -> Generator[str, None, None]:
        """Every name in hexadecimal, ascending, once for each of its rows. For the start, as `scan`."""
        return (name.hex() for (name,) in self._reading.stream("SELECT name FROM object ORDER BY name"))

    def names_after(self, after: bytes, count: int) -> list[Name]:
        """At most `count` names, ascending, from the one behind `after`."""
        query = "SELECT DISTINCT name FROM object WHERE name > ? ORDER BY name LIMIT ?"
        return [Name(SHA_256, value) for (value,) in self._reading.rows(query, (after, count))]

    def close(self) -> None:
        """Close the connections."""
        self.database.close()
        self._reading.close()

    def _find(self, account: str, name: Name) -> Row | None:
        version = self._reading.version()
        if version != self._version or len(self._cache) >= MAX_CACHED:
            self._cache, self._version = {}, version
        key = (account, name)
        row = self._cache.get(key)
        if row is None and key not in self._cache:
            query = f"SELECT {_COLUMNS} FROM object WHERE account = ? AND name = ?"
            row = self._cache[key] = next(map(_row, self._reading.rows(query, (account, name.value))), None)
        return row


def insert(connection: sqlite3.Connection, row: Row, worker: str) -> bool:
    """Store a row and turn what this worker has reserved for it into what is stored: True.

    False if the account has a row already, which gets what it lacks: then what was reserved stays so. Raises
    RefusedError, with nothing changed.
    """
    made = connection.execute(
        f"INSERT INTO object ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            *(row.account, row.name.value, row.size, node_of(row.payer), row.created, _storable(row.expires)),
            *(row.media_type, row.reads, row.octets_read, row.last_read, write_collections(row.collections) or None),
        ),
    ).rowcount
    if not made:
        update(
            connection,
            row.account,
            row.name,
            lambda held: held.merged(row.expires, row.media_type, row.collections),
        )
        return False
    for path in (*parents(row.payer), row.payer):
        connection.execute(
            "INSERT INTO holding VALUES (?, ?, 1)"
            " ON CONFLICT DO UPDATE SET stored = stored + excluded.stored, objects = objects + 1",
            (node_of(path), row.size),
        )
        connection.execute(
            "UPDATE reservation SET octets = max(0, octets - ?) WHERE node = ? AND worker = ?",
            (row.size, node_of(path), worker),
        )
    return True


def update(connection: sqlite3.Connection, account: str, name: Name, change: Callable[[Row], Row]) -> Row | None:
    """Give an object what of its changed row may change. Returns that row, None if there is none."""
    held = connection.execute(f"SELECT {_COLUMNS} FROM object WHERE account = ? AND name = ?", (account, name.value))
    row = next(map(_row, held), None)
    if row is not None:
        row = change(row)
        query = "UPDATE object SET expires = ?, media_type = ?, collections = ? WHERE account = ? AND name = ?"
        collections = write_collections(row.collections) or None
        connection.execute(query, (_storable(row.expires), row.media_type, collections, account, name.value))
    return row


def bind(connection: sqlite3.Connection, account: str, binding: Binding) -> Binding | None:
    """Give an object of an account a signed name: what is bound to it now; None without the object.

    Raises RefusedError, with nothing changed, if it has too many.
    """
    key = (account, binding.signed.publisher.value, binding.signed.label)
    values = (*key, binding.name.value, binding.signature, account, binding.name.value)
    found = connection.execute(_BOUND, key).fetchone()
    if found is None:
        query = "SELECT count(*) FROM signed_name WHERE account = ? AND name = ?"
        if connection.execute(query, (account, binding.name.value)).fetchone()[0] >= MAX_NAMES:
            raise too_many_names()
        made = connection.execute(
            "INSERT INTO signed_name SELECT ?, ?, ?, ?, ? FROM object WHERE account = ? AND name = ?", values
        )
        return binding if made.rowcount else None
    return Binding(binding.signed, Name(SHA_256, found[0]), found[1])


def unbind(connection: sqlite3.Connection, account: str, binding: Binding) -> bool:
    """Take a signed name from this object: False if it is not this one's."""
    made = connection.execute(
        "DELETE FROM signed_name WHERE account = ? AND publisher = ? AND label = ? AND name = ?",
        (account, binding.signed.publisher.value, binding.signed.label, binding.name.value),
    )
    return made.rowcount > 0


def count_reads(connection: sqlite3.Connection, reads: Mapping[tuple[str, Name], Access]) -> None:
    """Add to what was read of objects."""
    connection.executemany(
        "UPDATE object SET reads = reads + ?, octets_read = min(octets_read + ?, ?),"
        " last_read = max(coalesce(last_read, 0), ?) WHERE account = ? AND name = ?",
        [
            (access.reads, access.octets, MAX_INTEGER // 2, access.last, account, name.value)
            for (account, name), access in reads.items()
        ],
    )


def remove(connection: sqlite3.Connection, account: str, name: Name) -> Row | None:
    """Take away the row of an account's object: the row, None if there is none."""
    removed = _remove(connection, "account = ? AND name = ?", (account, name.value))
    return removed[0] if removed else None


def remove_same(connection: sqlite3.Connection, rows: Sequence[Row]) -> list[Row]:
    """Take away the rows of objects whose expiry is still what it is here: those that are gone."""
    same = "account = ? AND name = ? AND expires IS ?"
    return [
        gone
        for row in rows
        for gone in _remove(connection, same, (row.account, row.name.value, _storable(row.expires)))
    ]


def remove_all(connection: sqlite3.Connection, name: Name) -> list[Row]:
    """Take away the rows of an object, of whatever accounts."""
    return _remove(connection, "name = ?", (name.value,))


def is_held(connection: sqlite3.Connection, name: Name) -> bool:
    """Whether any account has this object."""
    return connection.execute("SELECT 1 FROM object WHERE name = ?", (name.value,)).fetchone() is not None


def _remove(connection: sqlite3.Connection, where: str, arguments: Sequence[Any]) -> list[Row]:
    found = connection.execute(f"DELETE FROM object WHERE {where} RETURNING {_COLUMNS}", arguments).fetchall()
    rows = [_row(values) for values in found]
    for row in rows:
        for path in (*parents(row.payer), row.payer):
            connection.execute(
                "UPDATE holding SET stored = stored - ?, objects = objects - 1 WHERE node = ?",
                (row.size, node_of(path)),
            )
    return rows


def _storable(expires: int | None) -> int | None:
    return None if expires is None else min(expires, MAX_INTEGER)


def _row(found: Any) -> Row:
    account, name, size, payer, created, expires, media_type, reads, octets_read, last_read, collections = found
    return Row(
        account=account,
        name=Name(SHA_256, name),
        size=size,
        payer=path_of(payer),
        created=created,
        expires=expires,
        media_type=media_type,
        reads=reads,
        octets_read=octets_read,
        last_read=last_read,
        collections=read_collections(collections or ""),
    )
