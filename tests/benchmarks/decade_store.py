"""Durable uploads of 64 KiB, 16 at a time, and the start of a store with 1,000,000 rows.

    python tests/benchmarks/decade_store.py [--objects 600] [--rounds 3] [--rows 1000000] [--root DIR] [--json]

The rival does the same durable steps for one object after the other: its content, its name, and its row in a
transaction of its own. Both in the same run, in turns; medians. The file system decides: ROOT must be on a disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from decade.names import name_of
from decade.ports import Row
from interop.decade_store import FileStore
from interop.decade_store._database import Database
from interop.decade_store._opening import INDEX
from interop.decade_store.disk import PosixDisk
from interop.decade_store.index import Index, insert
from interop.decade_store.settling import place
from interop.decade_store.store import FileSink

SIZE = 65536
CONCURRENT = 16
FASTER = 1.5
"""How many times the uploads of the rival are to be made in the same time."""
START = 8.0
"""Seconds in which a store with a million rows is to be ready."""


def row_of(octets: bytes) -> Row:
    return Row(account="a", name=name_of(octets), size=len(octets), payer=("a",), created=1, expires=None)


def together(root: Path, objects: list[bytes]) -> tuple[float, list[float]]:
    """Uploads a second, and what each took."""
    store = FileStore(root, lost=print)

    def put(octets: bytes) -> float:
        start = time.perf_counter()
        row = row_of(octets)
        sink = store.create(row.name, row.size)
        sink.write(octets)
        store.commit(sink, row)
        return time.perf_counter() - start

    start = time.perf_counter()
    with ThreadPoolExecutor(CONCURRENT) as pool:
        took = list(pool.map(put, objects))
    rate = len(objects) / (time.perf_counter() - start)
    store.close()
    return rate, took


def one_by_one(root: Path, objects: list[bytes]) -> float:
    """Uploads a second of the rival."""
    FileStore(root, lost=print).close()
    disk, index = PosixDisk(root), Index(root / INDEX)
    start = time.perf_counter()
    for octets in objects:
        row = row_of(octets)
        sink = FileSink(disk, row.name)
        sink.write(octets)
        fd = sink.finish(row)
        folder, name = place(row.name)
        disk.link(fd, folder, name)
        disk.sync_folder(folder)
        with index.database.transaction() as connection:
            insert(connection, row, "")
        disk.close(fd)
    rate = len(objects) / (time.perf_counter() - start)
    index.close()
    disk.shut()
    return rate


def start_of(root: Path, rows: int) -> float:
    """Seconds from nothing to a store that serves, with so many objects; their files are empty, for none is read."""
    FileStore(root, lost=print).close()
    database = Database(root / INDEX)
    with database.transaction() as connection:
        for number in range(rows):
            name = name_of(number.to_bytes(8))
            insert(connection, Row(account="a", name=name, size=0, payer=("a",), created=1, expires=None), "")
            os.close(os.open(root / "/".join(place(name)), os.O_CREAT | os.O_WRONLY, 0o600))
    database.close()
    start = time.perf_counter()
    store = FileStore(root, lost=print)
    took = time.perf_counter() - start
    assert store.index.holdings()[0][2] == rows
    store.close()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="decade-store-", dir=options.root))
    try:
        rates: list[float] = []
        rivals: list[float] = []
        took: list[float] = []
        for number in range(options.rounds):
            objects = [os.urandom(SIZE) for _ in range(options.objects)]
            rate, each = together(root / f"together{number}", objects)
            rates.append(rate)
            took += each
            rivals.append(one_by_one(root / f"single{number}", objects[: options.objects // 2]))
        found = {
            "uploads/s, 16 at a time": statistics.median(rates),
            "uploads/s, one by one": statistics.median(rivals),
            "times as many": statistics.median(a / b for a, b in zip(rates, rivals, strict=True)),
            f"times as many, to reach {FASTER}": float(FASTER),
            "p99 of an upload, ms": statistics.quantiles(took, n=100)[98] * 1e3,
        }
        if options.rows:
            found[f"start with {options.rows} rows, s"] = start_of(root / "start", options.rows)
            found["start, s, to reach"] = START
    finally:
        shutil.rmtree(root)
    if options.json:
        print(json.dumps(found))
    else:
        for what, value in found.items():
            print(f"{what:40} {value:10.2f}")


if __name__ == "__main__":
    main()
