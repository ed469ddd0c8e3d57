"""A writer on a file system whose power is cut: a process that stores objects, and says which are answered for.

    python decade_power.py ROOT [naive]

It prints a line for each object that it would have answered 201 for, one for each token that it
has let be used, one for each policy that it would have answered 204 for, and one before it removes an object.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from decade.ledger import MAX_COUNTED_TOKENS
from decade.messages import ResourcePolicy
from decade.names import Name, name_of
from decade.ports import Allowance, Row, Use
from interop.decade_store import FileStore, SqliteLedger, SqlitePolicies, SqliteQuotas
from interop.decade_store._opening import INDEX, LOCKS
from interop.decade_store.disk import PosixDisk

KEPT = 300
"""Objects that each account holds at most: the file system must not fill up, however many cuts there are."""

TOKENS = MAX_COUNTED_TOKENS // 2
"""Tokens of each issuer: the ledger counts no more than so many of one account."""


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
    quotas = SqliteQuotas(root / INDEX, root / LOCKS)
    policies = SqlitePolicies(root / INDEX, quotas)
    say("ready")

    def work(account: str) -> None:
        held: deque[Name] = deque()
        for number in itertools.count():
            octets = os.urandom(20_000 + os.urandom(1)[0] * 64)
            row = Row(
                account=account, name=name_of(octets), size=len(octets), payer=(account,), created=1, expires=None
            )
            sink = store.create(row.name, row.size)
            sink.write(octets)
            store.commit(sink, row)
            say("stored", account, row.name.value.hex())
            cti, issuer = os.urandom(16), f"{account}{number // TOKENS}"
            if ledger.hold(issuer, (b"key", cti), Allowance(uses=1), Use(1), 2**40) is not None:
                raise SystemExit("a new token cannot be used")
            say("used", issuer, cti.hex())
            policies.save((account, "app"), ResourcePolicy(weight=1, storage=number), None)
            say("put", account, str(number))
            held.append(row.name)
            if len(held) > KEPT:
                oldest = held.popleft()
                say("removed", account, oldest.value.hex())
                store.remove(account, oldest)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, "abcd"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), "naive" in sys.argv[2:])
