"""Power cuts of a real file system: its image is copied while a writer stands still, and the copy is mounted.

The device is a loop device on an image in memory. What the writer has been told is durable is in the image by then;
what is in the page cache only is not, as after a cut. Mounting the copy replays the journal.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from decade.ports import Allowance, Use
from interop.decade_store import FileStore, SqliteLedger
from interop.decade_store._opening import INDEX
from interop.decade_store.settling import FOLDERS

WRITER = Path(__file__).parents[1] / "helpers" / "decade_power.py"
CUTS = int(os.environ.get("DECADE_POWER_CUTS", "10"))
IMAGE = 160 << 20
LATEST = 1000
"""Uses that are looked at after a cut: those before were safe at cuts before."""


def _why_not() -> str | None:
    if os.geteuid() != 0:
        return "NO POWER CUTS WERE TESTED: they need root"
    missing = [tool for tool in ("losetup", "mkfs.ext4", "mount", "umount") if shutil.which(tool) is None]
    if missing:
        return f"NO POWER CUTS WERE TESTED: there is no {', '.join(missing)}"
    if subprocess.run(["losetup", "-f"], capture_output=True, check=False).returncode:
        return "NO POWER CUTS WERE TESTED: there is no loop device"
    return None


WHY_NOT = _why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")


def run(*command: str | Path) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout.strip()


@contextlib.contextmanager
def mounted(image: Path, *options: str) -> Iterator[tuple[Path, str]]:
    """Where an image is mounted, and its loop device."""
    device = run("losetup", "-f", "--show", image)
    folder = Path(mkdtemp(prefix="decade-power-"))
    try:
        run("mount", *options, device, folder)
        try:
            yield folder, Path(device).name
        finally:
            run("umount", folder)
    finally:
        run("losetup", "-d", device)
        folder.rmdir()


@pytest.fixture
def image() -> Iterator[Path]:
    """An empty file system in a file in memory."""
    folder = Path(mkdtemp(prefix="decade-power-", dir="/dev/shm"))
    path = folder / "image"
    with path.open("wb") as file:
        file.truncate(IMAGE)
    run("mkfs.ext4", "-q", "-F", path)
    yield path
    shutil.rmtree(folder)


def copy_still(image: Path, device: str, copy: Path) -> None:
    """Copy the image between two looks at the device's counters that are the same, so that no write is half in it."""
    counters = Path("/sys/block") / device / "stat"
    for _ in range(200):
        before = counters.read_text()
        run("cp", "--sparse=always", image, copy)
        if counters.read_text() == before:
            return
        time.sleep(0.01)
    raise AssertionError("the device never stood still")


def stop(pid: int) -> None:
    """Stop a process, and see that each of its threads stands still: a signal is on its way for a while."""
    os.kill(pid, signal.SIGSTOP)
    while any(
        path.read_text().rpartition(")")[2].split()[0] not in "TDZX"
        for path in Path("/proc", str(pid), "task").glob("*/stat")
    ):
        time.sleep(0.001)


def lines_so_far(output: Path) -> list[list[str]]:
    """What the writer has said; its last line may be on its way."""
    return [line.split() for line in output.read_text().rpartition("\n")[0].splitlines()]


class Cut:
    """What is wrong after a cut."""

    def __init__(self) -> None:
        self.lost = self.corrupt = self.used_again = self.answered = 0
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
    assert (found.lost, found.corrupt, found.used_again, found.quotas_differ) == (0, 0, 0, False)


def test_the_same_cuts_find_a_writer_that_does_not_wait_for_the_disk(image: Path) -> None:
    found = cut_power(image, ["naive"], 3)
    assert found.lost + found.corrupt > 0
