"""What goes when storage is full: S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023).

Most objects are never read twice. What is new waits in a small queue; what was read there more than once before its
turn comes moves to the main queue, and the rest goes at once, so that it never pushes out what is read often. Who comes
back soon after it went, which a queue of mere names tells, is put into the main queue.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

import attrs

SMALL = 10
"""The small queue has one in so many of the octets: section 4.2 of the paper has a tenth."""
MAX_COUNT = 3
"""Reads that are counted: two bits (section 4.2)."""
PROMOTED = 2
"""Reads in the small queue that take an object to the main one: more than one."""
MAX_GHOSTS = 65536
"""Names of objects that went, at most: some 8 MiB. As in the paper they are no more than the main queue has objects."""

_K = TypeVar("_K", bound=Hashable)


@attrs.define
class _Entry:
    size: int
    reads: int = 0


class S3Fifo(Generic[_K]):
    """The objects of one node of the policy tree, by what goes first. Sizes are in octets."""

    def __init__(self) -> None:
        self._small: OrderedDict[_K, _Entry] = OrderedDict()
        self._main: OrderedDict[_K, _Entry] = OrderedDict()
        self._ghosts: OrderedDict[_K, None] = OrderedDict()
        self._small_octets = 0
        self._main_octets = 0

    def __len__(self) -> int:
        """Objects that are here."""
        return len(self._small) + len(self._main)

    def __contains__(self, key: _K) -> bool:
        """Whether an object is here."""
        return key in self._small or key in self._main

    @property
    def octets(self) -> int:
        """Of all objects that are here."""
        return self._small_octets + self._main_octets

    @property
    def ghosts(self) -> int:
        """Names of objects that went not long ago."""
        return len(self._ghosts)

    def load(self, objects: Iterable[tuple[_K, int, int]]) -> None:
        """Objects that were there before this was made, the oldest first: key, size, and how often each was read."""
        for key, size, reads in objects:
            if key not in self:
                self._put(key, _Entry(size, min(reads, MAX_COUNT)), is_main=reads >= PROMOTED)

    def add(self, key: _K, size: int) -> None:
        """An object comes; nothing if it is here."""
        if key not in self:
            is_main = key in self._ghosts
            self._ghosts.pop(key, None)
            self._put(key, _Entry(size), is_main=is_main)

    def read(self, key: _K) -> None:
        """An object is read; nothing if it is not here."""
        entry = self._small.get(key) or self._main.get(key)
        if entry is not None:
            entry.reads = min(entry.reads + 1, MAX_COUNT)

    def remove(self, key: _K) -> None:
        """An object is deleted, which says nothing of its worth; nothing if it is not here."""
        if (entry := self._small.pop(key, None)) is not None:
            self._small_octets -= entry.size
        elif (entry := self._main.pop(key, None)) is not None:
            self._main_octets -= entry.size

    def evict(self, is_busy: Callable[[_K], bool]) -> _K | None:
        """Take the object away that goes next, and return it; None when there is none that is not busy.

        What is busy stays, and goes to the end of its queue.
        """
        passed: set[_K] = set()
        while len(passed) < len(self):
            # What is busy is in the main queue: when nothing else is there, those in the small one are left.
            is_passed = len(passed) >= len(self._main)
            is_small = bool(self._small) and (self._small_octets * SMALL >= self.octets or is_passed)
            queue = self._small if is_small else self._main
            key, entry = next(iter(queue.items()))
            self.remove(key)
            if is_busy(key):
                passed.add(key)
                # In the main queue it is out of the way of those that are looked at first.
                self._put(key, entry, is_main=True)
            elif is_small and entry.reads >= PROMOTED:
                self._put(key, _Entry(entry.size), is_main=True)
            elif not is_small and entry.reads:
                self._put(key, _Entry(entry.size, entry.reads - 1), is_main=True)
            else:
                if is_small:
                    self._remember(key)
                return key
        return None

    def _put(self, key: _K, entry: _Entry, *, is_main: bool) -> None:
        if is_main:
            self._main[key] = entry
            self._main_octets += entry.size
        else:
            self._small[key] = entry
            self._small_octets += entry.size

    def _remember(self, key: _K) -> None:
        self._ghosts[key] = None
        while len(self._ghosts) > min(max(len(self._main), 1), MAX_GHOSTS):
            self._ghosts.popitem(last=False)
