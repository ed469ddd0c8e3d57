"""The ledger in SQLite says what the one in memory says, after any calls, and says it again after a new start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from decade_same_ledger import FEW, SameLedger

from decade.messages import Revocation
from decade.ports import Allowance, Use
from interop.decade_store import SqliteLedger
from interop.decade_store import ledger as module


class SameInSqlite(SameLedger):
    module = module

    def begin(self) -> None:
        self.folder = TemporaryDirectory()

    def open(self) -> tuple[SqliteLedger, Callable[[], None]]:
        ledger = SqliteLedger(Path(self.folder.name) / "ledger")
        return ledger, ledger.close

    def end(self) -> None:
        self.folder.cleanup()


TestSameInSqlite = SameInSqlite.TestCase
TestSameInSqlite.settings = FEW


def test_a_use_of_one_process_is_seen_by_another(tmp_path: Path) -> None:
    first, second = SqliteLedger(tmp_path / "ledger"), SqliteLedger(tmp_path / "ledger")
    token = (b"key", bytes(16))
    assert first.hold("a", token, Allowance(uses=1), Use(1), 100) is None
    assert second.hold("a", token, Allowance(uses=1), Use(1), 100) is not None
    second.revoke("a", Revocation(kid=b"kid"), wall=0, until=0)
    assert first.is_revoked("a", b"kid", bytes(16), 5)
    first.close()
    second.close()
