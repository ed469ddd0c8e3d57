"""Uses of tokens and revocations that outlive a power cut, shared by the processes of a server."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from decade.errors import ErrorCode, RefusedError, StateError
from decade.ledger import MAX_COUNTED_TOKENS, MAX_REVOKED_KEYS, MAX_REVOKED_TOKENS, find_short, revokers
from decade.messages import Revocation
from decade.ports import Allowance, NodePath, Short, TokenKey, Use
from interop.decade_store._database import MAX_INTEGER, Database, store_errors
from interop.decade_store._transactions import Transactions

MAX_KNOWN = 16384
"""Tokens of which it is not asked again whether they are revoked while nobody writes: 4 MiB or so."""
_TOKEN = "thumbprint = ? AND cti = ?"
_REVOKED = (
    "SELECT EXISTS (SELECT 1 FROM json_each(?1) JOIN revoked_before ON account = value WHERE before >= ?4)"
    " OR EXISTS (SELECT 1 FROM json_each(?1) JOIN revoked_token ON account = value WHERE cti = ?3)"
    " OR EXISTS (SELECT 1 FROM json_each(?1) JOIN revoked_key ON account = value WHERE kid = ?2)"
)


class SqliteLedger:
    """The `decade.ports.Ledger` in an SQLite file: what a method has changed is on the disk when it returns.

    `hold` and `revoke` wait for the disk; those of several threads that wait at a time go there together.
    """

    waits = True

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.Error."""
        self._transactions = Transactions(Database(path))
        self._reading = Database(path)
        self._wall = max((wall for (wall,) in self._reading.rows("SELECT wall FROM clock")), default=0)
        # What is given back and not written yet: who asks again at once is not told that it is used.
        self._returning: dict[TokenKey, Use] = {}
        self._lock = threading.Lock()
        self._known: dict[tuple[NodePath, bytes, bytes, int], bool] = {}
        self._version = b""

    def used(self, token: TokenKey) -> Use:
        """What a token has used, with what is held; nothing if it is not known. Raises StoreError."""
        # Asked first: what is written meanwhile is at worst taken off twice, and `hold` decides by what is written.
        less = self._returning.get(token, Use())
        found = self._read(f"SELECT uses, amount, storage FROM token_use WHERE {_TOKEN}", token)
        if not found:
            return Use()
        uses, amount, storage = found[0]
        return Use(max(0, uses - less.uses), max(0, amount - less.amount), max(0, storage - less.storage))

    def hold(self, account: str, token: TokenKey, allowance: Allowance, use: Use, until: int) -> Short | None:
        """Add a use, or say what is short. Raises RefusedError when too many tokens are counted, StoreError."""

        def change(connection: sqlite3.Connection) -> Short | None:
            used = _used(connection, token)
            if (short := find_short(allowance, used or Use(), use)) is not None:
                return short
            if used is None:
                _count(connection, account)
            connection.execute(
                "INSERT INTO token_use VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " uses = uses + excluded.uses, amount = amount + excluded.amount, storage = storage + excluded.storage,"
                " until = max(until, excluded.until)",
                (*token, account, min(until, MAX_INTEGER), use.uses, use.amount, use.storage),
            )
            return None

        return self._transactions.do(change)

    def give_back(self, token: TokenKey, use: Use) -> None:
        """Subtract what was held and not needed; more than was used is an error in the log, and changes nothing."""

        def change(connection: sqlite3.Connection) -> None:
            used = _used(connection, token)
            if used is None:
                return
            left = (used.uses - use.uses, used.amount - use.amount, used.storage - use.storage)
            if min(left) < 0:
                raise StateError("a token has not used what is given back")
            if any(left):
                connection.execute(
                    f"UPDATE token_use SET uses = ?, amount = ?, storage = ? WHERE {_TOKEN}", left + token
                )
                return
            ((account,),) = connection.execute(
                f"DELETE FROM token_use WHERE {_TOKEN} RETURNING account", token
            ).fetchall()
            connection.execute("UPDATE counted SET tokens = tokens - 1 WHERE account = ?", (account,))
            connection.execute("DELETE FROM counted WHERE tokens = 0")

        self._count_returning(token, use, 1)
        self._transactions.submit(change).add_done_callback(lambda _: self._count_returning(token, use, -1))

    def revoke(self, node: NodePath, revocation: Revocation, *, wall: int, until: int) -> None:
        """Revoke tokens of a node. Raises RefusedError, with nothing revoked, when it has revoked too many, and
        StoreError.
        """
        revoker = revokers(node)[-1]

        def change(connection: sqlite3.Connection) -> None:
            if revocation.cti is not None:
                connection.executemany(
                    "INSERT INTO revoked_token VALUES (?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET until = max(until, excluded.until)",
                    [(revoker, cti, min(until, MAX_INTEGER)) for cti in revocation.cti],
                )
                _check_room(connection, "revoked_token", revoker, MAX_REVOKED_TOKENS)
            elif revocation.kid is not None:
                connection.execute(
                    "INSERT INTO revoked_key VALUES (?, ?) ON CONFLICT DO NOTHING", (revoker, revocation.kid)
                )
                _check_room(connection, "revoked_key", revoker, MAX_REVOKED_KEYS)
            elif revocation.before is not None:
                connection.execute(
                    "INSERT INTO revoked_before VALUES (?, ?)"
                    " ON CONFLICT DO UPDATE SET before = max(before, excluded.before)",
                    (revoker, min(revocation.before, wall)),
                )

        self._transactions.do(change)

    def is_revoked(self, node: NodePath, kid: bytes, cti: bytes, iat: int) -> bool:
        """Whether a revocation by this node, or by one above it, reaches such a token. Raises StoreError."""
        version = self._reading.version()
        if version != self._version or len(self._known) >= MAX_KNOWN:
            self._known, self._version = {}, version
        token = (node, kid, cti, iat)
        known = self._known.get(token)
        if known is None:
            known = bool(self._read(_REVOKED, (json.dumps(revokers(node)), kid, cti, min(iat, MAX_INTEGER)))[0][0])
            self._known[token] = known
        return known

    def observe(self, wall: int) -> int:
        """The highest Unix time that this process has ever seen, or any before its start, this one included."""
        with self._lock:
            self._wall = max(self._wall, wall)
            return self._wall

    def forget(self) -> None:
        """Forget the tokens and the revocations by cti whose time is over."""
        self._transactions.submit(self._forget)

    def close(self) -> None:
        """Write what is to be written, and close the connections."""
        self._transactions.close()
        self._reading.close()

    def _read(self, query: str, arguments: Sequence[object] = ()) -> list[Any]:
        with store_errors():
            return self._reading.rows(query, arguments)

    def _forget(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO clock VALUES (0, ?) ON CONFLICT DO UPDATE SET wall = max(wall, excluded.wall)",
            (self._wall,),
        )
        wall = self.observe(connection.execute("SELECT wall FROM clock").fetchone()[0])
        for account, tokens in connection.execute(
            "SELECT account, count(*) FROM token_use WHERE until <= ? GROUP BY account", (wall,)
        ).fetchall():
            connection.execute("UPDATE counted SET tokens = tokens - ? WHERE account = ?", (tokens, account))
        connection.execute("DELETE FROM token_use WHERE until <= ?", (wall,))
        connection.execute("DELETE FROM counted WHERE tokens = 0")
        connection.execute("DELETE FROM revoked_token WHERE until <= ?", (wall,))

    def _count_returning(self, token: TokenKey, use: Use, sign: int) -> None:
        with self._lock:
            now = self._returning.get(token, Use())
            left = Use(now.uses + sign * use.uses, now.amount + sign * use.amount, now.storage + sign * use.storage)
            if left == Use():
                self._returning.pop(token, None)
            else:
                self._returning[token] = left


def _used(connection: sqlite3.Connection, token: TokenKey) -> Use | None:
    found = connection.execute(f"SELECT uses, amount, storage FROM token_use WHERE {_TOKEN}", token).fetchone()
    return Use(*found) if found is not None else None


def _count(connection: sqlite3.Connection, account: str) -> None:
    """One more token of an account is counted."""
    (tokens,) = connection.execute(
        "INSERT INTO counted VALUES (?, 1) ON CONFLICT DO UPDATE SET tokens = tokens + 1 RETURNING tokens", (account,)
    ).fetchone()
    if tokens > MAX_COUNTED_TOKENS:
        reason = f"the account has {MAX_COUNTED_TOKENS} tokens whose uses are counted"
        raise RefusedError(ErrorCode.RATE_LIMITED, reason)


def _check_room(connection: sqlite3.Connection, table: str, revoker: str, limit: int) -> None:
    (count,) = connection.execute(f"SELECT count(*) FROM {table} WHERE account = ?", (revoker,)).fetchone()
    if count > limit:
        raise RefusedError(ErrorCode.RATE_LIMITED, f"this node has {limit} revocations; revoke by time instead")
