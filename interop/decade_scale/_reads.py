"""How often objects were read at this server, until Redis is told: a write for each read would cost an fsync."""

from __future__ import annotations

import threading

import attrs

from decade.names import Name
from decade.ports import Row
from interop.decade_scale._engine import Argument, Engine

MAX_COUNTED = 4096
"""Objects whose reads are counted before they are written: some MiB, and a script of 10 ms."""


@attrs.frozen
class _Reads:
    count: int = 0
    octets: int = 0
    last: int = 0


class ReadCounts:
    """Reads that are not written yet; a server that dies loses them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads: dict[tuple[str, Name], _Reads] = {}
        self._lock = threading.Lock()

    def add(self, account: str, name: Name, octets: int, wall: int) -> None:
        """One more; those beyond MAX_COUNTED objects are not counted until the others are written."""
        key = (account, name)
        with self._lock:
            before = self._reads.get(key)
            if before is None and len(self._reads) >= MAX_COUNTED:
                return
            before = before or _Reads()
            self._reads[key] = _Reads(before.count + 1, before.octets + octets, max(before.last, wall))

    def counted(self, row: Row) -> Row:
        """A row with the reads that are not written yet."""
        reads = self._reads.get((row.account, row.name))
        return row if reads is None else row.was_read(reads.count, reads.octets, max(reads.last, row.last_read or 0))

    def forget(self, account: str, name: Name) -> None:
        """An object is no more."""
        with self._lock:
            self._reads.pop((account, name), None)

    def write(self) -> None:
        """Add them to the rows. Raises StoreError; then they are lost, as it is not known which were added."""
        with self._lock:
            reads, self._reads = self._reads, {}
        arguments: list[Argument] = []
        for (account, name), read in reads.items():
            arguments += (account, name.value, read.count, read.octets, read.last)
        if arguments:
            self._engine.run("count", *arguments)
