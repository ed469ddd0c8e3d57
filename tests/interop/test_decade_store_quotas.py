"""Quotas that processes share: never over the limit, and in the end the sum of the objects."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from decade.errors import RefusedError
from decade.messages import ResourcePolicy
from decade.names import name_of
from decade.policy import PolicyTree
from decade.ports import Charge, Holding, Quotas, Row
from interop.decade_store import FileStore, SqliteQuotas
from interop.decade_store._database import Database
from interop.decade_store._opening import INDEX, LOCKS

LIMIT = 100_000
PATHS = ((), ("a",), ("a", "app"))
_SPAWN = multiprocessing.get_context("spawn")


def opened(root: Path) -> tuple[FileStore, SqliteQuotas]:
    FileStore(root, lost=print).close()
    quotas = SqliteQuotas(root / INDEX, root / LOCKS)
    return FileStore(root, lost=print, worker=quotas.worker), quotas


def tree_of(quotas: Quotas) -> PolicyTree:
    tree = PolicyTree(quotas)
    tree.put(("a",), ResourcePolicy(weight=1))
    tree.put(("a", "app"), ResourcePolicy(weight=1))
    # A worker that starts later may find the account full already, which is not more than it may hold.
    tree.put(("a",), ResourcePolicy(weight=1, storage=LIMIT))
    return tree


def race(root: Path, seed: int, rounds: int, samples: Any) -> None:
    """Random uploads, some given up, and deletions; puts into `samples` the most that was ever in use."""
    store, quotas = opened(root)
    tree, rng, held, most, refused = tree_of(quotas), random.Random(seed), [], 0, 0
    for number in range(rounds):
        octets = rng.randbytes(rng.randrange(1, 20_000))
        if held and rng.random() < 0.4:
            row = held.pop(rng.randrange(len(held)))
            assert store.remove("a", row.name) == row
            tree.drop(row.payer, row.size)
        try:
            reservation = tree.reserve(("a", "app"), len(octets))
        except RefusedError:
            refused += 1
            continue
        finally:
            most = max(most, *(quotas.holding(path).used for path in PATHS))
        if rng.random() < 0.2:
            reservation.release()
            continue
        row = Row(account="a", name=name_of(octets), size=len(octets), payer=("a", "app"), created=number, expires=None)
        sink = store.create(row.name, row.size)
        sink.write(octets)
        store.commit(sink, row)
        reservation.commit()
        held.append(row)
    samples.put((most, refused, sum(row.size for row in held), len(held)))
    store.close()
    quotas.close()


def test_four_processes_never_hold_more_than_the_limit_and_at_the_end_what_their_objects_have(tmp_path: Path) -> None:
    samples = _SPAWN.Queue()
    processes = [_SPAWN.Process(target=race, args=(tmp_path, seed, 40, samples)) for seed in range(4)]
    for process in processes:
        process.start()
    found = [samples.get(timeout=200) for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert 0 < max(most for most, *_ in found) <= LIMIT
    assert sum(refused for _, refused, *_ in found) > 0
    store, quotas = opened(tmp_path)
    size, objects = sum(held for *_, held, _ in found), sum(number for *_, number in found)
    assert [quotas.holding(path) for path in PATHS] == [Holding(size, 0, objects)] * 3
    rows = list(store.index.scan())
    assert (sum(row.size for row in rows), len(rows)) == (size, objects)
    store.close()
    quotas.close()


def reserve_and_wait(root: Path, ready: Any) -> None:
    quotas = SqliteQuotas(root / INDEX, root / LOCKS)
    assert quotas.reserve([Charge(path, LIMIT) for path in PATHS], 60_000) is None
    ready.put(True)
    signal.pause()


def test_what_a_killed_process_has_reserved_is_free_when_another_one_starts(tmp_path: Path) -> None:
    store, quotas = opened(tmp_path)
    ready = _SPAWN.Queue()
    process = _SPAWN.Process(target=reserve_and_wait, args=(tmp_path, ready))
    process.start()
    ready.get(timeout=200)
    charges = [Charge(path, LIMIT) for path in PATHS]
    assert quotas.reserve(charges, 50_000) == (charges[0], Holding(0, 60_000, 0))
    living = SqliteQuotas(tmp_path / INDEX, tmp_path / LOCKS)
    assert living.holding(("a",)) == Holding(0, 60_000, 0)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    later = SqliteQuotas(tmp_path / INDEX, tmp_path / LOCKS)
    assert later.reserve(charges, 50_000) is None
    assert quotas.holding(("a",)) == Holding(0, 50_000, 0)
    for one in (living, later, quotas):
        one.close()
    assert list((tmp_path / LOCKS).iterdir()) == []
    store.close()


def test_a_reservation_becomes_what_is_stored_with_the_row(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, quotas = opened(tmp_path)
    tree = tree_of(quotas)
    reservation = tree.reserve(("a", "app"), 5)
    assert quotas.holding(("a",)) == Holding(0, 5, 0)
    row = Row(account="a", name=name_of(b"12345"), size=5, payer=("a", "app"), created=1, expires=None)
    for is_new in (True, False):
        sink = store.create(row.name, 5)
        sink.write(b"12345")
        assert store.commit(sink, row) is is_new
        if is_new:
            reservation.commit()
        else:
            reservation.release()
        assert quotas.reserve((), 0) is None  # what was released before is free now
        assert [quotas.holding(path) for path in PATHS] == [Holding(5, 0, 1)] * 3
        # A second upload of what the account has, which another worker has not seen: it is charged once.
        reservation = tree.reserve(("a", "app"), 5)
    reservation.release()
    quotas.release(PATHS, 1)
    assert quotas.reserve((), 0) is None
    assert [quotas.holding(path) for path in PATHS] == [Holding(5, 0, 1)] * 3
    assert "does not hold" in caplog.text
    store.close()
    quotas.close()


def test_what_is_released_is_free_at_once_even_if_it_is_written_while_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, quotas = opened(tmp_path)
    rows = Database.rows

    def then_written(self: Database, query: str, arguments: Sequence[Any] = ()) -> list[Any]:
        found = rows(self, query, arguments)
        writer.execute("COMMIT")
        quotas.flush()
        return found

    for octets in (5, 7):
        assert quotas.reserve([Charge((), None)], octets) is None
    writer = sqlite3.connect(tmp_path / INDEX, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    quotas.release([()], 5)
    with monkeypatch.context() as patch:
        patch.setattr(Database, "rows", then_written)
        assert quotas.holding(()).reserved <= 7
    assert quotas.holding(()) == Holding(0, 7, 0)
    writer.close()
    quotas.close()
    store.close()
