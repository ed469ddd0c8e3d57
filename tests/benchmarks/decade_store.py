"""Durable uploads of 64 KiB, 16 at a time, and the start of a store with 1,000,000 rows.

    python tests/benchmarks/decade_store.py [--objects 600] [--rounds 3] [--rows 1000000] [--root DIR] [--json]

The rival does the same durable steps for one object after the other: its content, its name, and its row in a
transaction of its own. Both in the same run, in turns; medians. Over HTTP it is `ietf-p2p decade serve` against a bare
ASGI application that does those steps for each PUT. The file system decides: ROOT must be on a disk.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from alto_setup import load
from decade_server import configuration, served_files
from decade_setup.naive import Naive, row_of
from decade_setup.tokens import bearer

from decade.names import name_of
from decade.ports import Row
from interop.decade_store import FileStore
from interop.decade_store._database import Database
from interop.decade_store._opening import INDEX
from interop.decade_store.index import insert
from interop.decade_store.settling import place

SERVE = Path(__file__).parent / "decade_setup" / "serve.py"
SIZE = 65536
CONCURRENT = 16
FASTER = 1.5
"""How many times the uploads of the rival are to be made in the same time."""
START = 8.0
"""Seconds in which a store with a million rows is to be ready."""


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
    store = Naive(root)
    start = time.perf_counter()
    for octets in objects:
        store.put(octets)
    rate = len(objects) / (time.perf_counter() - start)
    store.close()
    return rate


def over_http(url: str, objects: list[bytes], token: str) -> float:
    """Uploads a second by CONCURRENT clients, each with a connection of its own."""
    place = urlsplit(url)

    def put(mine: list[bytes]) -> None:
        connection = http.client.HTTPConnection(place.hostname or "", place.port)
        for octets in mine:
            connection.request("PUT", name_of(octets).path, octets, {"Authorization": token})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 201
        connection.close()

    start = time.perf_counter()
    with ThreadPoolExecutor(CONCURRENT) as pool:
        list(pool.map(put, (objects[number::CONCURRENT] for number in range(CONCURRENT))))
    return len(objects) / (time.perf_counter() - start)


def behind_http(root: Path, rounds: int, objects: int) -> list[tuple[float, float]]:
    """Uploads a second of `decade serve` and of the rival as a server, in turns."""
    root.mkdir()
    with (
        served_files(configuration(root, "ours", front=False)) as ours,
        load.child([SERVE, "naive", "--root", root / "naive"]) as (_, said),
    ):
        token, found = bearer(), []
        for _ in range(rounds):
            made = [os.urandom(SIZE) for _ in range(objects)]
            found.append((over_http(ours, made, token), over_http(said["url"], made[: objects // 2], token)))
    return found


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
        served = behind_http(root / "http", options.rounds, options.objects)
        found = {
            "over HTTP, uploads/s, 16 at a time": statistics.median(ours for ours, _ in served),
            "over HTTP, uploads/s, one by one": statistics.median(rival for _, rival in served),
            "over HTTP, times as many": statistics.median(ours / rival for ours, rival in served),
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
