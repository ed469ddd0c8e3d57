"""A writer on a file system whose power is cut: a process that stores objects, and says which are answered for.

    python decade_power.py ROOT [naive]

It prints a line for each object that it would have answered 201 for, and one for each token that it has let be used.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from decade.names import name_of
from decade.ports import Allowance, Row, Use
from interop.decade_store import FileStore, SqliteLedger
from interop.decade_store._opening import INDEX
from interop.decade_store.disk import PosixDisk


class NaiveDisk(PosixDisk):
    """Trusts the kernel to write when it likes, as a store by write and rename does."""

    def sync(self, fd: int) -> None:
        pass

    def sync_folder(self, folder: str) -> None:
        pass


def say(*words: str) -> None:
    os.write(1, (" ".join(words) + "\n").encode())  # one write: threads do not mix their lines


def main(root: Path, is_naive: bool) -> None:
    root.mkdir(exist_ok=True)
    store = FileStore(root, lost=print, disk=NaiveDisk(root) if is_naive else None)
    ledger = SqliteLedger(root / INDEX)
    say("ready")

    def work(account: str) -> None:
        while True:
            octets = os.urandom(20_000 + os.urandom(1)[0] * 64)
            row = Row(
                account=account, name=name_of(octets), size=len(octets), payer=(account,), created=1, expires=None
            )
            sink = store.create(row.name, row.size)
            sink.write(octets)
            store.commit(sink, row)
            say("stored", account, row.name.value.hex())
            cti = os.urandom(16)
            assert ledger.hold(account, (b"key", cti), Allowance(uses=1), Use(1), 2**40) is None
            say("used", account, cti.hex())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, "abcd"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), "naive" in sys.argv[2:])
