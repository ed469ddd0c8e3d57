"""Power cuts while the store of files is written to: what was answered is there, and is what it was."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from decade_cuts import NEEDS_CUTS, copy_still, made_image, mounted, stop

from decade.ports import Allowance, Use
from interop.decade_store import FileStore, SqliteLedger, SqlitePolicies, SqliteQuotas
from interop.decade_store._opening import INDEX, LOCKS
from interop.decade_store.settling import FOLDERS

WRITER = Path(__file__).parents[1] / "helpers" / "decade_power.py"
CUTS = int(os.environ.get("DECADE_POWER_CUTS", "10"))
LATEST = 1000
"""Uses that are looked at after a cut: those before were safe at cuts before."""


pytestmark = NEEDS_CUTS


@pytest.fixture
def image() -> Iterator[Path]:
    with made_image() as path:
        yield path


def lines_so_far(output: Path) -> list[list[str]]:
    """What the writer has said; its last line may be on its way."""
    return [line.split() for line in output.read_text().rpartition("\n")[0].splitlines()]


class Cut:
    """What is wrong after a cut."""

    def __init__(self) -> None:
        self.lost = self.corrupt = self.used_again = self.answered = self.forgotten = 0
        self.quotas_differ = False

    def judge(self, root: Path, said: list[list[str]]) -> None:
        """Open the store as a server would, and hold it against what was answered."""
        for path in (path for folder in FOLDERS for path in (root / folder).iterdir()):
            self.corrupt += hashlib.sha256(path.read_bytes()).hexdigest() != path.name
        store = FileStore(root, lost=print)
        rows = list(store.index.scan())
        held = {(row.account, row.name.value.hex()) for row in rows}
        answered = {(account, name) for verb, account, name in said if verb == "stored"}
        answered -= {(account, name) for verb, account, name in said if verb == "removed"}
        self.answered += len(answered)
        self.lost += len(answered - held)
        stored: Counter[tuple[str, ...]] = Counter()
        for row in rows:
            stored.update({(): row.size, row.payer: row.size})
        self.quotas_differ |= stored != {path: octets for path, octets, _ in store.index.holdings()}
        store.close()
        ledger = SqliteLedger(root / INDEX)
        for _, account, cti in [line for line in said if line[0] == "used"][-LATEST:]:
            token = (b"key", bytes.fromhex(cti))
            self.used_again += ledger.hold(account, token, Allowance(uses=1), Use(1), 2**40) is None
        ledger.close()
        limits = {account: int(number) for verb, account, number in said if verb == "put"}
        quotas = SqliteQuotas(root / INDEX, root / LOCKS)
        policies = SqlitePolicies(root / INDEX, quotas)
        kept = policies.load({})
        for account, limit in limits.items():
            put = kept.get((account, "app"))
            # The next one may be there, which was not answered yet.
            self.forgotten += put is None or put.policy is None or (put.policy.storage or 0) < limit
        policies.close()
        quotas.close()


def cut_power(image: Path, mode: list[str], cuts: int) -> Cut:
    """Run a writer, stop it a few times as the power would, and judge what is on the disk each time."""
    found, copy, output = Cut(), image.with_name("copy"), image.with_name("said")
    with mounted(image, "-o", "commit=1") as (folder, device), output.open("wb") as said:
        writer = subprocess.Popen([sys.executable, str(WRITER), str(folder / "store"), *mode], stdout=said)
        try:
            while not lines_so_far(output):
                assert writer.poll() is None
                time.sleep(0.05)
            for number in range(cuts):
                time.sleep(0.2 + number * 0.031 % 0.2)  # in another phase of the journal each time
                assert writer.poll() is None, "the writer has ended"
                stop(writer.pid)
                answers = [line for line in lines_so_far(output) if len(line) == 3]
                copy_still(image, device, copy)
                os.kill(writer.pid, signal.SIGCONT)
                with mounted(copy) as (after, _):
                    found.judge(after / "store", answers)
        finally:
            writer.kill()
            writer.wait()
    return found


def test_no_power_cut_loses_or_spoils_what_was_answered_nor_gives_a_use_back(image: Path) -> None:
    found = cut_power(image, [], CUTS)
    assert found.answered > CUTS
    assert (found.lost, found.corrupt, found.used_again, found.forgotten) == (0, 0, 0, 0)
    assert not found.quotas_differ


def test_the_same_cuts_find_a_writer_that_does_not_wait_for_the_disk(image: Path) -> None:
    found = cut_power(image, ["naive"], 3)
    assert found.lost + found.corrupt > 0
