"""Power cuts of a real file system: its image is copied while a writer stands still, and the copy is mounted.

The device is a loop device on an image in memory. What the writer has been told is durable is in the image by then;
what is in the page cache only is not, as after a cut. Mounting the copy replays the journal.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

IMAGE = 160 << 20


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
NEEDS_CUTS = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")


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


@contextlib.contextmanager
def made_image() -> Iterator[Path]:
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
