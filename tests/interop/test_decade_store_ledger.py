"""The ledger in SQLite says what the one in memory says, after any calls, and says it again after a new start."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from decade_same_ledger import CTIS, FEW, KIDS, TIMES, USES, SameLedger
from hypothesis.stateful import rule

from decade.errors import StateError, StoreError
from decade.messages import Revocation
from decade.ports import Allowance, Use
from interop.decade_store import SqliteLedger
from interop.decade_store import ledger as module
from interop.decade_store._database import Database


class SameInSqlite(SameLedger):
    module = module

    def begin(self) -> None:
        self.folder = TemporaryDirectory()

    def open(self) -> tuple[SqliteLedger, Callable[[], None]]:
        ledger = SqliteLedger(Path(self.folder.name) / "ledger")
        return ledger, ledger.close

    @rule(kid=KIDS, cti=CTIS, use=USES)
    def give_back(self, kid: bytes, cti: bytes, use: Use) -> None:
        with suppress(StateError):  # which the log has, and nothing changes
            self.model.give_back((kid, cti), use)
        self.ledger.give_back((kid, cti), use)
        self.wait()

    @rule(wall=TIMES)
    def forget(self, wall: int) -> None:
        super().forget(wall)
        self.wait()

    def wait(self) -> None:
        """What nobody waits for is done when what comes behind it is."""
        self.ledger.revoke(("?",), Revocation(before=0), wall=0, until=0)

    def end(self) -> None:
        self.folder.cleanup()


TestSameInSqlite = SameInSqlite.TestCase
TestSameInSqlite.settings = FEW


def test_a_use_of_one_process_is_seen_by_another(tmp_path: Path) -> None:
    first, second = SqliteLedger(tmp_path / "ledger"), SqliteLedger(tmp_path / "ledger")
    token = (b"key", bytes(16))
    assert first.hold("a", token, Allowance(uses=1), Use(1), 100) is None
    assert second.hold("a", token, Allowance(uses=1), Use(1), 100) is not None
    second.revoke(("a",), Revocation(kid=b"kid"), wall=0, until=0)
    assert first.is_revoked(("a",), b"kid", bytes(16), 5)
    first.close()
    second.close()


def test_what_is_given_back_can_be_used_at_once_and_holds_of_many_threads_are_exact(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger")
    token = (b"key", bytes(16))
    allowance = Allowance(uses=50)
    assert ledger.hold("a", token, allowance, Use(50), 100) is None
    ledger.give_back(token, Use(50))
    assert ledger.used(token) == Use()
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: ledger.hold("a", token, allowance, Use(1), 100), range(100)))
    assert found.count(None) == 50
    assert ledger.used(token) == Use(50)
    ledger.close()
    with pytest.raises(StoreError):
        ledger.used(token)


def test_what_is_given_back_is_unused_even_if_it_is_written_while_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = SqliteLedger(tmp_path / "ledger")
    token, other = (b"key", bytes(16)), (b"key", b"other")
    for kept in (token, other):
        assert ledger.hold("a", kept, Allowance(uses=9), Use(5), 100) is None
    rows = Database.rows

    def then_written(self: Database, query: str, arguments: Sequence[Any] = ()) -> list[Any]:
        found = rows(self, query, arguments)
        writer.execute("COMMIT")
        ledger.hold("a", other, Allowance(uses=9), Use(1), 100)
        return found

    writer = sqlite3.connect(tmp_path / "ledger", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    ledger.give_back(token, Use(5))
    with monkeypatch.context() as patch:
        patch.setattr(Database, "rows", then_written)
        assert ledger.used(token) == Use()
    writer.close()
    ledger.close()
