"""The objects of the accounts of a server: what is there, who pays, and when it goes (RFC 7069 sections 4.2, 6.2.3)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any

import attrs

from decade.authz import Permission
from decade.errors import ErrorCode, RefusedError, StoreError
from decade.messages import Limits
from decade.names import Digest, Name
from decade.policy import PolicyTree, Reservation
from decade.ports import ObjectStore, Reader, Row, Sink

MAX_GONE = 65536
"""Objects that are remembered to be gone: 410 rather than 404 helps, and is owed to nobody. 12 MiB or so."""
SWEEP = 256
"""Expired objects removed at a time: each is a write to the index."""


class IncomingState(Enum):
    """Where an object is that an account is to hold."""

    RECEIVING = "receiving"
    STORED = "stored"
    ABSENT = "absent"


class IncomingEvent(Enum):
    """What happens to it: octets come, it is kept, it is not."""

    BODY = "body"
    KEEP = "keep"
    DROP = "drop"


INCOMING_TABLE: Mapping[IncomingState, Mapping[IncomingEvent, IncomingState]] = MappingProxyType(
    {
        IncomingState.RECEIVING: {
            IncomingEvent.BODY: IncomingState.RECEIVING,
            IncomingEvent.KEEP: IncomingState.STORED,
            IncomingEvent.DROP: IncomingState.ABSENT,
        },
        IncomingState.STORED: {},
        IncomingState.ABSENT: {},
    }
)
"""What is absent changes nothing."""


class Incoming:
    """An object that is received: its octets are written and hashed, and kept only if they are what its name says."""

    def __init__(self, objects: Objects, row: Row, reservation: Reservation, sink: Sink) -> None:
        """For `Objects.receive`."""
        self._objects = objects
        self._row = row
        self._reservation = reservation
        self._sink = sink
        self._digest = Digest()
        self.state = IncomingState.RECEIVING

    @property
    def received(self) -> int:
        """Octets that came."""
        return self._digest.size

    def write(self, octets: bytes) -> None:
        """The next octets. Raises RefusedError for more than was announced, StoreError; then it is dropped."""
        if not self._move(IncomingEvent.BODY):
            return
        try:
            if self.received + len(octets) > self._row.size:
                raise RefusedError(ErrorCode.MALFORMED, f"more than the {self._row.size} octets announced")
            self._sink.write(octets)
        except (RefusedError, StoreError):
            self.drop()
            raise
        self._digest.update(octets)

    def check(self) -> None:
        """Whether all is there. Raises RefusedError (MALFORMED: too short, NAME_MISMATCH); then it is dropped."""
        if self.received != self._row.size:
            self.drop()
            raise RefusedError(ErrorCode.MALFORMED, f"{self.received} octets of {self._row.size}")
        if not self._digest.matches(self._row.name):
            self.drop()
            raise RefusedError(ErrorCode.NAME_MISMATCH, "the name is not that of these octets")

    def keep(self, wall: int) -> bool:
        """Store it, after `check`; whether it is new to the account. Raises StoreError; then it is dropped."""
        try:
            held = self._objects.find(self._row.account, self._row.name, wall)
            if held is not None:
                self._objects.merge(held, self._row.expires, self._row.media_type)
                self.drop()
                return False
            self._objects.commit(self._sink, attrs.evolve(self._row, created=wall))
        except StoreError:
            self.drop()
            raise
        self._move(IncomingEvent.KEEP)
        self._reservation.commit()
        return True

    def drop(self) -> None:
        """It will not be kept; harmless when it has ended."""
        if self._move(IncomingEvent.DROP):
            self._sink.drop()
            self._reservation.release()

    def _move(self, event: IncomingEvent) -> bool:
        following = INCOMING_TABLE[self.state].get(event)
        if following is not None:
            self.state = following
        return following is not None


class Objects:
    """The rows of a store, with the storage that they use accounted."""

    def __init__(self, store: ObjectStore[Any], tree: PolicyTree, limits: Limits) -> None:
        """`tree` has counted the rows that the store has."""
        self._store = store
        self._tree = tree
        self._limits = limits
        self._gone: OrderedDict[tuple[str, Name], None] = OrderedDict()

    def find(self, account: str, name: Name, wall: int) -> Row | None:
        """The row of an object that is there and has not expired. Raises StoreError."""
        row = self._store.find(account, name)
        return None if row is None or row.is_expired(wall) else row

    def get(self, account: str, name: Name, wall: int) -> Row:
        """As `find`. Raises RefusedError: GONE if it was there not long ago, NOT_FOUND; and StoreError."""
        row = self._store.find(account, name)
        if row is not None and not row.is_expired(wall):
            return row
        if row is not None or (account, name) in self._gone:
            raise RefusedError(ErrorCode.GONE, "deleted or expired")
        raise RefusedError(ErrorCode.NOT_FOUND, "not here")

    def expiry(self, permission: Permission, asked: int | None, wall: int) -> int:
        """When an object is to expire. Raises RefusedError (ATTRIBUTE_NOT_PERMITTED) for the past, and for later than
        the server, the policies of the account and the token allow.
        """
        effective = permission.effective
        bounds = (self._limits.max_ttl, effective.longest_lifetime, permission.policy.lifetime)
        longest = min(bound for bound in bounds if bound is not None)
        if asked is None:
            default = effective.default_lifetime
            return wall + (longest if default is None else min(default, longest))
        if not wall < asked <= wall + longest:
            reason = f"an expiry of {asked} is past, or more than {longest} s ahead"
            raise RefusedError(ErrorCode.ATTRIBUTE_NOT_PERMITTED, reason)
        return asked

    def receive(self, row: Row) -> Incoming:
        """Make room for an object that comes. Raises RefusedError (TOO_LARGE, TOO_SMALL, STORAGE_QUOTA), StoreError."""
        limits = self._limits
        if row.size > limits.max_object:
            reason = f"objects have up to {limits.max_object} octets"
            raise RefusedError(ErrorCode.TOO_LARGE, reason, limit=limits.max_object)
        if limits.min_object is not None and row.size < limits.min_object:
            reason = f"objects have {limits.min_object} octets at least"
            raise RefusedError(ErrorCode.TOO_SMALL, reason, limit=limits.min_object)
        stale = self._store.find(row.account, row.name)
        if stale is not None and stale.is_expired(row.created):
            self.remove(stale)
        reservation = self._tree.reserve(row.payer, row.size)
        try:
            sink = self._store.create(row.name, row.size)
        except StoreError:
            reservation.release()
            raise
        return Incoming(self, row, reservation, sink)

    def commit(self, sink: Sink, row: Row) -> None:
        """Keep what was received; for `Incoming`. Raises StoreError."""
        stale = self._store.find(row.account, row.name)
        if stale is not None:
            self.remove(stale)
        self._store.commit(sink, row)
        self._gone.pop((row.account, row.name), None)

    def merge(self, row: Row, expires: int | None, media_type: str | None) -> None:
        """An object that is held is stored again: the later expiry wins, and a media type is added."""
        later = None if row.expires is None or expires is None else max(row.expires, expires)
        self._store.update(attrs.evolve(row, expires=later, media_type=row.media_type or media_type))

    def update(self, row: Row) -> None:
        """Change the attributes of an object. Raises StoreError."""
        self._store.update(row)

    def remove(self, row: Row) -> None:
        """An object is deleted or expired; who reads it goes on. Raises StoreError."""
        if self._store.remove(row.account, row.name) is None:
            return
        self._tree.drop(row.payer, row.size)
        self._gone[(row.account, row.name)] = None
        if len(self._gone) > MAX_GONE:
            self._gone.popitem(last=False)

    def open(self, row: Row) -> Reader:
        """Read an object. Raises StoreError."""
        return self._store.open(row)

    def count_read(self, row: Row, octets: int, wall: int) -> None:
        """An object was read, or a part of it. Raises StoreError."""
        held = self._store.find(row.account, row.name)
        if held is not None:
            reads, total = held.reads + 1, held.octets_read + octets
            self._store.update(attrs.evolve(held, reads=reads, octets_read=total, last_read=wall))

    def page(self, account: str, after: bytes, count: int, wall: int) -> tuple[list[Row], bytes | None]:
        """The rows behind a value that have not expired, and behind which value the next page is."""
        rows = self._store.page(account, after, count + 1)
        cursor = rows[count - 1].name.value if len(rows) > count else None
        return [row for row in rows[:count] if not row.is_expired(wall)], cursor

    def sweep(self, wall: int) -> None:
        """Remove what has expired, SWEEP objects at most. Raises StoreError."""
        for row in self._store.expired(wall, SWEEP):
            self.remove(row)

    def next_expiry(self) -> int | None:
        """When the next object expires, None for never."""
        return self._store.next_expiry()
