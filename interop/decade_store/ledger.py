"""Uses of tokens and revocations that outlive a power cut, shared by the processes of a server."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from decade.errors import ErrorCode, RefusedError, StateError
from decade.ledger import MAX_COUNTED_TOKENS, MAX_REVOKED_KEYS, MAX_REVOKED_TOKENS, find_short
from decade.messages import Revocation
from decade.ports import Allowance, Short, TokenKey, Use
from interop.decade_store._database import MAX_INTEGER, Database

_TOKEN = "thumbprint = ? AND cti = ?"


class SqliteLedger:
    """The `decade.ports.Ledger` in an SQLite file: what a method has changed is on the disk when it returns.

    It waits for the disk meanwhile, except for `used`, `is_revoked` and `observe`.
    """

    waits = True

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.Error."""
        self._database = Database(path)
        self._reading = Database(path)
        self._wall = max((wall for (wall,) in self._reading.rows("SELECT wall FROM clock")), default=0)

    def used(self, token: TokenKey) -> Use:
        """What a token has used, with what is held; nothing if it is not known."""
        found = self._reading.rows(f"SELECT uses, amount, storage FROM token_use WHERE {_TOKEN}", token)
        return Use(*found[0]) if found else Use()

    def hold(self, account: str, token: TokenKey, allowance: Allowance, use: Use, until: int) -> Short | None:
        """Add a use, or say what is short. Raises RefusedError when the account has too many tokens counted."""
        with self._database.transaction() as connection:
            used = _used(connection, token)
            if (short := find_short(allowance, used or Use(), use)) is not None:
                return short
            if used is None:
                _count(connection, account)
            connection.execute(
                "INSERT INTO token_use VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " uses = uses + excluded.uses, amount = amount + excluded.amount, storage = storage + excluded.storage",
                (*token, account, min(until, MAX_INTEGER), use.uses, use.amount, use.storage),
            )
        return None

    def give_back(self, token: TokenKey, use: Use) -> None:
        """Subtract what was held and not needed. Raises StateError if the token has not used that much."""
        with self._database.transaction() as connection:
            used = _used(connection, token)
            if used is None:
                return
            left = (used.uses - use.uses, used.amount - use.amount, used.storage - use.storage)
            if min(left) < 0:
                raise StateError("a token has not used what is given back")
            connection.execute(f"UPDATE token_use SET uses = ?, amount = ?, storage = ? WHERE {_TOKEN}", left + token)

    def revoke(self, account: str, revocation: Revocation, *, wall: int, until: int) -> None:
        """Revoke tokens of an account. Raises RefusedError, with nothing revoked, when it has revoked too many."""
        with self._database.transaction() as connection:
            if revocation.cti is not None:
                connection.executemany(
                    "INSERT INTO revoked_token VALUES (?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET until = max(until, excluded.until)",
                    [(account, cti, min(until, MAX_INTEGER)) for cti in revocation.cti],
                )
                _check_room(connection, "revoked_token", account, MAX_REVOKED_TOKENS)
            elif revocation.kid is not None:
                connection.execute(
                    "INSERT INTO revoked_key VALUES (?, ?) ON CONFLICT DO NOTHING", (account, revocation.kid)
                )
                _check_room(connection, "revoked_key", account, MAX_REVOKED_KEYS)
            elif revocation.before is not None:
                connection.execute(
                    "INSERT INTO revoked_before VALUES (?, ?)"
                    " ON CONFLICT DO UPDATE SET before = max(before, excluded.before)",
                    (account, min(revocation.before, wall)),
                )

    def is_revoked(self, account: str, kid: bytes, cti: bytes, iat: int) -> bool:
        """Whether a revocation of this account reaches such a token."""
        query = (
            "SELECT EXISTS (SELECT 1 FROM revoked_before WHERE account = ?1 AND before >= ?4)"
            " OR EXISTS (SELECT 1 FROM revoked_token WHERE account = ?1 AND cti = ?3)"
            " OR EXISTS (SELECT 1 FROM revoked_key WHERE account = ?1 AND kid = ?2)"
        )
        return bool(self._reading.rows(query, (account, kid, cti, min(iat, MAX_INTEGER)))[0][0])

    def observe(self, wall: int) -> int:
        """The highest Unix time that this process has ever seen, or any before its start, this one included."""
        self._wall = max(self._wall, wall)
        return self._wall

    def forget(self) -> None:
        """Forget the tokens and the revocations by cti whose time is over."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO clock VALUES (0, ?) ON CONFLICT DO UPDATE SET wall = max(wall, excluded.wall)",
                (self._wall,),
            )
            self._wall = connection.execute("SELECT wall FROM clock").fetchone()[0]
            for account, tokens in connection.execute(
                "SELECT account, count(*) FROM token_use WHERE until <= ? GROUP BY account", (self._wall,)
            ).fetchall():
                connection.execute("UPDATE counted SET tokens = tokens - ? WHERE account = ?", (tokens, account))
            connection.execute("DELETE FROM token_use WHERE until <= ?", (self._wall,))
            connection.execute("DELETE FROM counted WHERE tokens = 0")
            connection.execute("DELETE FROM revoked_token WHERE until <= ?", (self._wall,))

    def close(self) -> None:
        """Close the connections."""
        self._database.close()
        self._reading.close()


def _used(connection: sqlite3.Connection, token: TokenKey) -> Use | None:
    found = connection.execute(f"SELECT uses, amount, storage FROM token_use WHERE {_TOKEN}", token).fetchone()
    return Use(*found) if found is not None else None


def _count(connection: sqlite3.Connection, account: str) -> None:
    """One more token of an account is counted."""
    (tokens,) = connection.execute(
        "INSERT INTO counted VALUES (?, 1) ON CONFLICT DO UPDATE SET tokens = tokens + 1 RETURNING tokens", (account,)
    ).fetchone()
    if tokens > MAX_COUNTED_TOKENS:
        reason = f"{account} has {MAX_COUNTED_TOKENS} tokens whose uses are counted"
        raise RefusedError(ErrorCode.RATE_LIMITED, reason)


def _check_room(connection: sqlite3.Connection, table: str, account: str, limit: int) -> None:
    (count,) = connection.execute(f"SELECT count(*) FROM {table} WHERE account = ?", (account,)).fetchone()
    if count > limit:
        raise RefusedError(ErrorCode.RATE_LIMITED, f"{account} has {limit} revocations; revoke by time instead")
