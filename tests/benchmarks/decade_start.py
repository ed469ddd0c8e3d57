"""How soon a DECADE server with many objects is ready, and what memory each takes.

    python tests/benchmarks/decade_start.py [--objects 1000000] [--root /dev/shm] [--json]

A directory is made with a row and a file for each object; the files are links to an empty one, for none is read. Timed
is `open_server` in a process of its own: it compares files and rows, as after a crash, and counts what is held. Memory
is what the process has beyond one with no objects, and for objects in memory what each takes beside its octets.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from alto_setup import load
from decade_setup.tokens import ACCOUNT, SERVER, registered

from decade.messages import ResourcePolicy
from decade.names import SHA_256, Name
from decade.ports import Row
from decade.settings import Settings
from decade.store import MemoryStore
from interop.decade_store import FileStore, open_server
from interop.decade_store._database import Database, node_of
from interop.decade_store._opening import INDEX
from interop.decade_store.settling import FOLDERS

SECONDS = 8.0
OCTETS = 400
"""What a stored object may take in memory."""
IN_MEMORY = 100_000


def fill(root: Path, objects: int) -> None:
    """A store as one that has received so many objects of no octets."""
    FileStore(root, lost=print).close()
    empty = root / "empty"
    empty.touch()
    by_folder: dict[str, list[bytes]] = {folder: [] for folder in FOLDERS}
    for _ in range(objects):
        value = os.urandom(32)
        by_folder[f"{value[0]:02x}"].append(value)
    database = Database(root / INDEX)
    payer = node_of((ACCOUNT,))
    with database.transaction() as connection:
        for folder, values in by_folder.items():
            values.sort()
            # A file has so many links at most, on some file systems.
            first = root / folder / f"{values[0].hex()}" if values else empty
            first.touch()
            for value in values[1:]:
                os.link(first, root / folder / value.hex())
            connection.executemany(
                "INSERT INTO object (account, name, payer, size, created, expires, reads, octets_read)"
                f" VALUES ('{ACCOUNT}', ?, ?, 0, 1, 4102444800, 0, 0)",
                [(value, payer) for value in values],
            )
        for node in (node_of(()), payer):
            connection.execute("INSERT INTO holding (node, stored, objects) VALUES (?, 0, ?)", (node, objects))
    database.close()
    empty.unlink()


def opened(root: Path) -> None:
    """What the process of a server says: how long it took, its megabytes, how many objects it has."""
    start = time.perf_counter()
    settings = Settings(server=SERVER)
    policies = {(): ResourcePolicy(weight=1), (ACCOUNT,): ResourcePolicy(weight=1)}
    server = open_server(root, settings, registered().get, policies, epoch=time.time() - time.monotonic())
    took = time.perf_counter() - start
    held = server.tree.holding((ACCOUNT,)).objects
    print(json.dumps({"seconds": took, "megabytes": load.resident_megabytes(os.getpid()), "objects": held}))
    server.close()


def start(root: Path) -> dict[str, float]:
    """Open a directory in another process."""
    command = [sys.executable, __file__, "--opened", str(root)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(said)
    return found


def in_memory() -> float:
    """Octets of memory that an object takes beside its own."""
    before = load.resident_megabytes(os.getpid())
    store = MemoryStore()
    for number in range(IN_MEMORY):
        name = Name(SHA_256, number.to_bytes(32))
        sink = store.create(name, 0)
        row = Row(account=ACCOUNT, name=name, size=0, payer=(ACCOUNT,), created=1, expires=4102444800)
        store.commit(sink, row)
    return (load.resident_megabytes(os.getpid()) - before) * 1e6 / IN_MEMORY


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--root", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--opened", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.opened is not None:
        opened(options.opened)
        return
    memory = in_memory()
    root = Path(tempfile.mkdtemp(prefix="decade-start-", dir=options.root))
    try:
        fill(root / "none", 0)
        fill(root / "many", options.objects)
        none, many = start(root / "none"), start(root / "many")
        assert many["objects"] == options.objects
    finally:
        shutil.rmtree(root)
    each = (many["megabytes"] - none["megabytes"]) * 1e6 / options.objects
    if options.json:
        print(json.dumps({"seconds": many["seconds"], "octets": each, "octets in memory": memory}))
        return
    print(load.machine())
    verdict = "met" if many["seconds"] <= SECONDS else "NOT met"
    print(f"{options.objects:,} objects: ready after {many['seconds']:.2f} s, at most {SECONDS}: {verdict}")
    verdict = "met" if each <= OCTETS else "NOT met"
    print(f"a stored object: {each:.0f} octets of memory, at most {OCTETS}: {verdict}")
    print(f"an object of the store in memory, which is for tests and short lives: {memory:.0f} octets beside its own")


if __name__ == "__main__":
    main()
