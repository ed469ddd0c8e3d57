"""Objects and their rows in the memory of one process (see `decade.ports.ObjectStore`)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from heapq import heappop, heappush

import attrs

from decade.errors import StoreError
from decade.named import MAX_NAMES, Binding, too_many_names
from decade.names import Name
from decade.ports import Row
from decade.values import SignedName

MAX_COUNTED = 1024
"""Objects whose reads are counted apart from their rows until somebody looks at these."""


@attrs.define
class _Payload:
    """The octets of an object, how many rows and readers there are, and whose the rows are."""

    octets: bytes
    holders: int = 0
    accounts: set[str] = attrs.Factory(set)


class MemorySink:
    """An object that is coming."""

    def __init__(self) -> None:
        self._octets: bytearray | None = bytearray()

    def write(self, octets: bytes) -> None:
        """The next octets."""
        if self._octets is not None:
            self._octets += octets

    def drop(self) -> None:
        """The object will not be stored."""
        self._octets = None

    def take(self) -> bytes:
        """What was written."""
        return bytes(self._octets or b"")


class MemoryReader:
    """An object that is read: it stays until `close`, whatever becomes of its rows."""

    def __init__(self, store: MemoryStore, name: Name, payload: _Payload) -> None:
        self._store = store
        self._name = name
        self._payload: _Payload | None = payload

    def read(self, offset: int, size: int) -> bytes:
        """The octets there."""
        return b"" if self._payload is None else self._payload.octets[offset : offset + size]

    def close(self) -> None:
        """It is read no more."""
        if self._payload is not None:
            self._payload = None
            self._store._leave(self._name)


class MemoryStore:
    """Objects in memory. Accounts that hold the same object share its octets, and cannot tell."""

    waits = False

    def __init__(self) -> None:
        self._payloads: dict[Name, _Payload] = {}
        self._rows: dict[str, dict[bytes, Row]] = {}
        # Reads that the rows do not have yet: how many, octets, and when the last one was.
        self._reads: dict[tuple[str, bytes], list[int]] = {}
        self._bound: dict[tuple[str, SignedName], Binding] = {}
        # The signed names of an object.
        self._signed: dict[tuple[str, bytes], set[SignedName]] = {}
        self._order: dict[str, list[bytes] | None] = {}
        # (expiry, account, value of the name); an entry that is no longer true goes when it comes to the front.
        self._expiries: list[tuple[int, str, bytes]] = []

    @property
    def payloads(self) -> int:
        """Objects whose octets are kept."""
        return len(self._payloads)

    def find(self, account: str, name: Name) -> Row | None:
        """The row of an account's object."""
        if self._reads:
            self._count()
        return self._rows.get(account, {}).get(name.value)

    def create(self, name: Name, size: int) -> MemorySink:
        """Where a coming object is written to."""
        return MemorySink()

    def commit(self, sink: MemorySink, row: Row) -> bool:
        """Keep what was written, and its row; False if the account has one, which gets what it lacks.

        Raises RefusedError.
        """
        octets = sink.take()
        held = self.find(row.account, row.name)
        if held is not None:
            self._put(held.merged(row.expires, row.media_type, row.collections))
            return False
        payload = self._payloads.setdefault(row.name, _Payload(octets))
        payload.holders += 1
        payload.accounts.add(row.account)
        self._order[row.account] = None
        self._put(row)
        return True

    def opens_at_once(self, row: Row) -> bool:
        """Always."""
        return True

    def open(self, row: Row) -> MemoryReader:
        """Read an object. Raises StoreError if no account has it."""
        payload = self._payloads.get(row.name)
        if payload is None:
            raise StoreError("the object is not there")
        payload.holders += 1
        return MemoryReader(self, row.name, payload)

    def at_hand(self, account: str, name: Name) -> tuple[Row, bytes] | None:
        """An object with its octets."""
        rows = self._rows.get(account)
        row = None if rows is None else rows.get(name.value)
        return None if row is None else (row, self._payloads[name].octets)

    def update(self, account: str, name: Name, change: Callable[[Row], Row]) -> Row | None:
        """Change the attributes of an object: the row as it is now, None if there is none."""
        held = self.find(account, name)
        if held is None:
            return None
        row = held.changed_as(change(held))
        self._put(row)
        return row

    def find_bound(self, account: str, signed: SignedName) -> Binding | None:
        """What an account has bound to a signed name."""
        return self._bound.get((account, signed))

    def bind(self, account: str, binding: Binding) -> Binding | None:
        """Give an object a signed name: what is bound to it now; None without the object. Raises RefusedError."""
        if self.find(account, binding.name) is None:
            return None
        bound = self._bound.get((account, binding.signed))
        if bound is None:
            names = self._signed.setdefault((account, binding.name.value), set())
            if len(names) >= MAX_NAMES:
                raise too_many_names()
            names.add(binding.signed)
            bound = self._bound[account, binding.signed] = binding
        return bound

    def unbind(self, account: str, binding: Binding) -> bool:
        """Take a signed name from this object: False if it is not this one's."""
        key = (account, binding.signed)
        if key not in self._bound or self._bound[key].name != binding.name:
            return False
        del self._bound[key]
        left = self._signed[account, binding.name.value]
        left.discard(binding.signed)
        if not left:
            del self._signed[account, binding.name.value]
        return True

    def count_read(self, account: str, name: Name, octets: int, wall: int) -> None:
        """An object was read, or a part of it."""
        key = (account, name.value)
        reads = self._reads.get(key)
        if reads is None:
            if len(self._reads) >= MAX_COUNTED:
                self._count()
            reads = self._reads[key] = [0, 0, 0]
        reads[0] += 1
        reads[1] += octets
        reads[2] = wall

    def remove(self, account: str, name: Name) -> Row | None:
        """Forget an account's object, and return its row."""
        self._count()
        rows = self._rows.get(account, {})
        row = rows.pop(name.value, None)
        if row is not None:
            self._order[account] = None
            for signed in self._signed.pop((account, name.value), ()):
                del self._bound[account, signed]
            self._payloads[name].accounts.discard(account)
            self._leave(name)
            if not rows:
                del self._rows[account], self._order[account]
        return row

    def remove_many(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Forget those that still have the expiry that they have here: the rows that are gone."""
        held = ((row, self.find(row.account, row.name)) for row in rows)
        same = [row for row, now in held if now is not None and now.expires == row.expires]
        return [gone for row in same if (gone := self.remove(row.account, row.name)) is not None]

    def holders(self, name: Name, count: int) -> Sequence[Row]:
        """The rows of an object, of whatever accounts, those that came first."""
        self._count()
        payload = self._payloads.get(name)
        rows = [self._rows[account][name.value] for account in (payload.accounts if payload is not None else ())]
        return sorted(rows, key=lambda row: (row.created, row.account))[:count]

    def page(self, account: str, after: bytes, count: int) -> Sequence[Row]:
        """The account's objects behind a value, in the order of their values."""
        self._count()
        rows = self._rows.get(account, {})
        order = self._order.get(account)
        if order is None:
            order = sorted(rows)
            if rows:
                self._order[account] = order
        start = bisect_right(order, after)
        return [rows[value] for value in order[start : start + count]]

    def expired(self, wall: int, count: int) -> Sequence[Row]:
        """Objects whose time is over."""
        self._count()
        found: dict[tuple[str, bytes], Row] = {}
        kept = []
        while len(found) < count and (at := self.next_expiry()) is not None and at <= wall:
            entry = heappop(self._expiries)
            kept.append(entry)
            found[entry[1:]] = self._rows[entry[1]][entry[2]]
        for entry in kept:
            heappush(self._expiries, entry)
        return list(found.values())

    def next_expiry(self) -> int | None:
        """When the first object expires."""
        while self._expiries:
            expires, account, value = self._expiries[0]
            row = self._rows.get(account, {}).get(value)
            if row is not None and row.expires == expires:
                return expires
            heappop(self._expiries)
        return None

    def _count(self) -> None:
        """Give the rows the reads that they do not have yet."""
        reads, self._reads = self._reads, {}
        for (account, value), (times, octets, last) in reads.items():
            rows = self._rows.get(account, {})
            row = rows.get(value)
            if row is not None:
                rows[value] = row.was_read(times, octets, last)

    def _put(self, row: Row) -> None:
        before = self.find(row.account, row.name)
        self._rows.setdefault(row.account, {})[row.name.value] = row
        if row.expires is not None and (before is None or before.expires != row.expires):
            heappush(self._expiries, (row.expires, row.account, row.name.value))

    def _leave(self, name: Name) -> None:
        payload = self._payloads[name]
        payload.holders -= 1
        if not payload.holders:
            del self._payloads[name]
