"""Power cuts of the machine that Redis is on: no token for one use that was let be used is good again."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from decade_cuts import NEEDS_CUTS, copy_still, made_image, mounted, stop
from decade_scale import RedisProcess

from decade.errors import StoreError
from decade.ledger import MAX_COUNTED_TOKENS
from decade.ports import Allowance, Use
from interop.decade_scale import RedisLedger
from interop.decade_scale._engine import Engine

CUTS = 3
LATEST = 500
"""Uses that are looked at after a cut: those before were safe at cuts before."""
TOKENS = MAX_COUNTED_TOKENS // 2
pytestmark = NEEDS_CUTS


@pytest.fixture
def image() -> Iterator[Path]:
    with made_image() as path:
        yield path


def use(url: str, used: list[tuple[str, bytes]], ends: threading.Event) -> None:
    """Let one new token after the other be used."""
    engine = Engine(url)
    ledger = RedisLedger(engine)
    while not ends.is_set():
        # A ledger counts only so many tokens of one account.
        account, cti = f"account {len(used) // TOKENS}", os.urandom(16)
        try:
            ledger.hold(account, (b"key", cti), Allowance(uses=1), Use(1), 2**40)
        except StoreError:  # it stood still for a while
            continue
        used.append((account, cti))
    engine.close()


def used_again(folder: Path, used: list[tuple[str, bytes]]) -> int:
    """How many tokens are good again, after a start from what is on the disk."""
    process = RedisProcess(directory=folder)
    engine = Engine(process.url)
    ledger = RedisLedger(engine)
    again = sum(ledger.hold(by, (b"key", cti), Allowance(uses=1), Use(1), 2**40) is None for by, cti in used)
    engine.close()
    process.close()
    return again


def cut_power(image: Path, *settings: str) -> tuple[int, int]:
    """How many tokens were used, and how many of the latest were good again after a cut."""
    again, used, ends = 0, list[tuple[str, bytes]](), threading.Event()
    copy = image.with_name("copy")
    with mounted(image, "-o", "commit=1") as (folder, device):
        (folder / "redis").mkdir()
        process = RedisProcess("redis-server", *settings, directory=folder / "redis")
        threads = [threading.Thread(target=use, args=(process.url, used, ends)) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for number in range(CUTS):
                time.sleep(0.3 + number * 0.131)  # in another phase of the journal each time
                stop(process.process.pid)
                answered = used[-LATEST:]
                copy_still(image, device, copy)
                os.kill(process.process.pid, signal.SIGCONT)
                with mounted(copy) as (after, _):
                    again += used_again(after / "redis", answered)
        finally:
            ends.set()
            for thread in threads:
                thread.join()
            process.close()
    return len(used), again


def test_what_was_let_be_used_stays_used(image: Path) -> None:
    used, again = cut_power(image)
    assert used > 100
    assert again == 0


def test_a_redis_that_is_not_set_as_we_ask_lets_them_be_used_again(image: Path) -> None:
    _, again = cut_power(image, "--appendfsync", "no")
    assert again > 0
