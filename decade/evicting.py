"""Which objects of a node go when its storage is full and its policy says evict-own (PROFILE.md; RFC 7069 section 5.3).

A node makes room by what it pays for itself, and by nothing else: applications of one account stay isolated (section
4.5.1). What the queues know is a hint that may be old, since workers share a store: the rows of the store decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from decade.eviction import S3Fifo
from decade.messages import WhenFull
from decade.names import Name
from decade.policy import PolicyTree, parents
from decade.ports import NodePath, ObjectStore, Reader, Row
from decade.waiting import Clock, Steps

PAGE = 1024
"""Rows that are read at a time when the queues of a node are made: a few milliseconds."""


class Evictor:
    """The queues of the nodes that have had to make room, made from the rows when one has to for the first time."""

    def __init__(self, store: ObjectStore[Any], tree: PolicyTree) -> None:
        self._store = store
        self._tree = tree
        self._queues: dict[NodePath, S3Fifo[Name]] = {}
        self._readers: Counter[tuple[NodePath, Name]] = Counter()

    def stored(self, row: Row) -> None:
        """An object came."""
        if row.payer in self._queues:
            self._queues[row.payer].add(row.name, row.size)

    def gone(self, row: Row) -> None:
        """An object is deleted, has expired, or was evicted."""
        if row.payer in self._queues:
            self._queues[row.payer].remove(row.name)

    def was_read(self, row: Row) -> None:
        """An object is read."""
        if row.payer in self._queues:
            self._queues[row.payer].read(row.name)

    def reading(self, row: Row, reader: Reader) -> Reader:
        """An object is read, until the reader that is returned is closed."""
        self.was_read(row)
        return _Watched(reader, self._readers, (row.payer, row.name))

    def choose(self, row: Row, clock: Clock) -> Steps[list[Row]]:
        """The rows to remove so that an object has room; none where its policy is to reject, or where it could not have
        room even so. Raises RefusedError (CLIENT_NOT_PERMITTED) if the node is gone, StoreError.
        """
        path = row.payer
        if self._when_full(path) is not WhenFull.EVICT_OWN:
            return []
        wanted = self._shortage(row)
        queue = self._queues.get(path)
        if wanted <= 0:
            return []
        if queue is not None and queue.octets >= wanted and (victims := self._take(path, queue, wanted)):
            return victims
        # Other workers may have taken what is in the queues, and have stored what is not.
        if self._own(path) < wanted:
            return []
        return self._take(path, (yield from self._load(path, clock)), wanted)

    def keep(self, rows: Sequence[Row]) -> None:
        """What was chosen stays after all."""
        for row in rows:
            if row.payer in self._queues:
                self._queues[row.payer].load([(row.name, row.size, row.reads)])

    def _when_full(self, path: NodePath) -> WhenFull:
        """What the nearest node on the path says that says something."""
        for node in reversed((*parents(path), path)):
            policy = self._tree.policy(node)
            if policy is not None and policy.when_full is not None:
                return policy.when_full
        return WhenFull.REJECT

    def _shortage(self, row: Row) -> int:
        """The octets that are to go so that the object has room at every node of its path."""
        return max(
            (
                self._tree.holding(charge.path).used + row.size - charge.limit
                for charge in self._tree.charges(row.payer)
                if charge.limit is not None
            ),
            default=0,
        )

    def _own(self, path: NodePath) -> int:
        """The octets of the objects that a node pays for itself."""
        below = (
            (self._tree.holding((path[0], app)).stored for app in self._tree.apps(path[0])) if len(path) == 1 else ()
        )
        return self._tree.holding(path).stored - sum(below)

    def _load(self, path: NodePath, clock: Clock) -> Steps[S3Fifo[Name]]:
        before = self._queues.get(path)
        rows: list[tuple[int, Name, int, int]] = []
        after = b""
        while True:
            page = yield from clock.wait(self._store.waits, partial(self._store.page, path[0], after, PAGE))
            rows += [(row.created, row.name, row.size, row.reads) for row in page if row.payer == path]
            if len(page) < PAGE:
                break
            after = page[-1].name.value
        current = self._queues.get(path)
        if current is not None and current is not before:
            # Another request has made them meanwhile, and has perhaps taken from them.
            return current
        rows.sort(key=lambda row: (row[0], row[1].value))
        queue: S3Fifo[Name] = S3Fifo()
        queue.load((name, size, reads) for _, name, size, reads in rows)
        self._queues[path] = queue
        return queue

    def _take(self, path: NodePath, queue: S3Fifo[Name], wanted: int) -> list[Row]:
        victims: list[Row] = []
        freed = 0
        while freed < wanted:
            # Who reads an object keeps it, but whoever comes next finds it gone: others go first.
            name = queue.evict(lambda name: (path, name) in self._readers) or queue.evict(_never)
            if name is None:
                break
            held = self._store.find(path[0], name)
            if held is not None and held.payer == path:
                victims.append(held)
                freed += held.size
        if freed < wanted:
            self.keep(victims)
            return []
        return victims


def _never(name: Name) -> bool:
    return False


class _Watched:
    """A reader that is counted until it is closed."""

    def __init__(self, reader: Reader, readers: Counter[tuple[NodePath, Name]], key: tuple[NodePath, Name]) -> None:
        self._reader = reader
        self._readers = readers
        self._key = key
        self._is_open = True
        readers[key] += 1

    def read(self, offset: int, size: int) -> bytes:
        """So many octets. Raises StoreError."""
        return self._reader.read(offset, size)

    def close(self) -> None:
        """It is read no more."""
        self._reader.close()
        if self._is_open:
            self._is_open = False
            self._readers[self._key] -= 1
            if not self._readers[self._key]:
                del self._readers[self._key]
