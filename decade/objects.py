"""The objects of the accounts of a server: what is there, who pays, and when it goes (RFC 7069 sections 4.2, 6.2.3)."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

import attrs

from decade.arrivals import Arrivals, ArrivingError, Key
from decade.authz import Permission
from decade.errors import ErrorCode, OutdatedError, RefusedError, StateError, StoreError
from decade.evicting import Evictor
from decade.messages import Limits
from decade.named import Binding
from decade.names import Digest, Name
from decade.policy import PolicyTree, Reservation
from decade.ports import ObjectStore, Reader, Row, Sink
from decade.settings import Extension
from decade.values import ObjectName, SignedName
from decade.waiting import Clock, Steps

_T = TypeVar("_T")

MAX_GONE = 65536
"""Objects that are remembered to be gone, by one process until it ends: 410 rather than 404 helps, and is owed to
nobody. 12 MiB or so."""
SWEEP = 256
"""Expired objects removed at a time: each is a write to the index."""
MAX_ROUNDS = 4
"""Times that room is made for one object, while others take it."""
MAX_OUTDATED = 8
"""Times that one object asks for room anew because its account puts policies at other processes meanwhile."""


def _nothing() -> None:
    """There is nothing to check."""


class IncomingState(Enum):
    """Where an object is that an account is to hold."""

    RECEIVING = "receiving"
    KEEPING = "keeping"
    STORED = "stored"
    ABSENT = "absent"


class IncomingEvent(Enum):
    """What happens to it: octets come, the rest will not; the store is told to keep it, has kept it, has failed."""

    BODY = "body"
    DROP = "drop"
    KEEP = "keep"
    KEPT = "kept"
    FAIL = "fail"


INCOMING_TABLE: Mapping[IncomingState, Mapping[IncomingEvent, IncomingState]] = MappingProxyType(
    {
        IncomingState.RECEIVING: {
            IncomingEvent.BODY: IncomingState.RECEIVING,
            IncomingEvent.KEEP: IncomingState.KEEPING,
            IncomingEvent.DROP: IncomingState.ABSENT,
        },
        IncomingState.KEEPING: {
            IncomingEvent.KEPT: IncomingState.STORED,
            IncomingEvent.FAIL: IncomingState.ABSENT,
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
        self._arrival = objects.arrivals.begin(row.account, row.name)
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

    def keep(self, clock: Clock, wall: int) -> Steps[bool]:
        """Store it, after `check`; whether it is new to the account. Raises StoreError, and RefusedError
        (ATTRIBUTE_NOT_PERMITTED) if it would be in too many collections; then it is dropped.

        Raises StateError when it has ended.
        """
        if not self._move(IncomingEvent.KEEP):
            raise StateError(f"an object that is {self.state.value} cannot be kept")
        try:
            row = attrs.evolve(self._row, created=wall)
            is_new = yield from self._objects.commit(self._sink, row, self._reservation, clock)
        except BaseException:
            self._leave(IncomingEvent.FAIL)
            raise
        self._move(IncomingEvent.KEPT)
        self._arrival.end(is_stored=True)
        return is_new

    def drop(self) -> None:
        """It will not be kept; harmless when it has ended, and when the store has been told to keep it."""
        self._leave(IncomingEvent.DROP)

    def _leave(self, event: IncomingEvent) -> None:
        if self._move(event):
            self._sink.drop()
            self._reservation.release()
            self._arrival.end(is_stored=False)

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
        self._gone: OrderedDict[Key, None] = OrderedDict()
        self._keeping: Counter[Key] = Counter()
        self.arrivals = Arrivals()
        """What is being received, for readers who wait for it."""
        self._late: dict[Key, list[Row]] = {}
        self._evictor = Evictor(store, tree) if Extension.EVICT_OWN in tree.extensions else None

    def find(self, account: str, name: Name, wall: int) -> Row | None:
        """The row of an object that is there and has not expired. Raises StoreError."""
        row = self._store.find(account, name)
        return None if row is None or row.is_expired(wall) else row

    def get(self, account: str, name: Name, wall: int) -> Row:
        """As `find`. Raises RefusedError: GONE if it was there not long ago, NOT_FOUND; ArrivingError with one of these
        codes if it is on its way; and StoreError.
        """
        row = self._store.find(account, name)
        if row is not None and not row.is_expired(wall):
            return row
        key = (account, name)
        is_gone = row is not None or key in self._gone
        if key in self.arrivals:
            raise ArrivingError(ErrorCode.GONE if is_gone else ErrorCode.NOT_FOUND, key)
        if is_gone:
            raise RefusedError(ErrorCode.GONE, "deleted or expired")
        raise RefusedError(ErrorCode.NOT_FOUND, "not here")

    def collections(self, account: str, name: ObjectName, wall: float) -> tuple[bytes, ...]:
        """Those that an object is in, none if it is not there. Raises StoreError."""
        if isinstance(name, Name):
            row = self.find(account, name, int(wall))
        else:
            found = self.find_bound(account, name, int(wall))
            row = None if found is None else found[1]
        return () if row is None else row.collections

    def find_bound(self, account: str, signed: SignedName, wall: int) -> tuple[Binding, Row] | None:
        """What a signed name is bound to, while the object is there. Raises StoreError."""
        binding = self._store.find_bound(account, signed)
        row = None if binding is None else self.find(account, binding.name, wall)
        return None if binding is None or row is None else (binding, row)

    def check_binding(self, account: str, binding: Binding, wall: int) -> None:
        """Raises RefusedError (CONFLICT) if the signed name is another object's, StoreError."""
        found = self.find_bound(account, binding.signed, wall)
        if found is not None:
            check_same(found[0], binding)

    def bind(self, account: str, binding: Binding, clock: Clock, wall: int) -> Steps[bool]:
        """Give an object that is there a signed name: whether it is new. Raises RefusedError (CONFLICT if another
        object has it, GONE if this one was deleted, ATTRIBUTE_NOT_PERMITTED if it has too many), StoreError.
        """
        store = self._store
        before = store.find_bound(account, binding.signed)
        other = None if before is None else store.find(account, before.name)
        if other is not None and other.is_expired(wall):
            yield from self._remove_rows([other], clock)
            before = None
        bound = yield from clock.wait(store.waits, partial(store.bind, account, binding))
        if bound is None:
            raise RefusedError(ErrorCode.GONE, "deleted or expired")
        check_same(bound, binding)
        return before is None

    def unbind(self, account: str, binding: Binding, clock: Clock) -> Steps[bool]:
        """Take a signed name from this object, which stays: whether it had it still. Raises StoreError."""
        return clock.wait(self._store.waits, partial(self._store.unbind, account, binding))

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

    def receive(self, row: Row, clock: Clock, check: Callable[[], None] = _nothing) -> Steps[Incoming]:
        """Make room for an object that comes. `check`: whether it will be admitted, before others go for it.

        Raises RefusedError (TOO_LARGE, TOO_SMALL, STORAGE_QUOTA, CLIENT_NOT_PERMITTED), StoreError.
        """
        limits = self._limits
        if row.size > limits.max_object:
            reason = f"objects have up to {limits.max_object} octets"
            raise RefusedError(ErrorCode.TOO_LARGE, reason, limit=limits.max_object)
        if limits.min_object is not None and row.size < limits.min_object:
            reason = f"objects have {limits.min_object} octets at least"
            raise RefusedError(ErrorCode.TOO_SMALL, reason, limit=limits.min_object)
        yield from self._make_way(row, clock)
        reservation = yield from self._reserve(row, clock, check)
        try:
            if self._tree.waits:
                self._tree.check_room(row.payer)
            sink = self._store.create(row.name, row.size)
        except (RefusedError, StoreError):
            reservation.release()
            raise
        return Incoming(self, row, reservation, sink)

    def commit(self, sink: Sink, row: Row, reservation: Reservation, clock: Clock) -> Steps[bool]:
        """Keep what was received, for `Incoming`: whether it is new to the account. Raises RefusedError, StoreError."""
        yield from self._make_way(row, clock)
        key = (row.account, row.name)
        self._keeping[key] += 1
        try:
            is_new = yield from clock.wait(self._store.waits, partial(self._store.commit, sink, row))
            if is_new:
                reservation.commit()
            else:
                reservation.release()
        finally:
            self._keeping[key] -= 1
            if not self._keeping[key]:
                del self._keeping[key]
                for gone in self._late.pop(key, ()):
                    self._tree.drop(gone.payer, gone.size)
        self._gone.pop(key, None)
        if is_new and self._evictor is not None:
            self._evictor.stored(row)
        return is_new

    def merge(self, row: Row, expires: int | None, media_type: str | None, clock: Clock) -> Steps[Row | None]:
        """An object that is held, in all collections that it is to be in, is stored again: the row as it is now, None
        if it is gone. Raises StoreError.
        """
        return self.update(row, lambda held: held.merged(expires, media_type), clock)

    def update(self, row: Row, change: Callable[[Row], Row], clock: Clock) -> Steps[Row | None]:
        """Change the attributes of an object: the row as it is now, None if it is gone. Raises StoreError."""
        store = self._store
        return clock.wait(store.waits, partial(store.update, row.account, row.name, change))

    def remove(self, row: Row, clock: Clock) -> Steps[Row | None]:
        """An object is deleted; who reads it goes on. None if it is gone already. Raises StoreError."""
        store = self._store
        removed = yield from clock.wait(store.waits, partial(store.remove, row.account, row.name))
        if removed is not None:
            self._count_gone(removed)
        return removed

    def open(self, row: Row, clock: Clock) -> Steps[Reader]:
        """Read an object. Raises RefusedError (GONE) if it was deleted meanwhile, StoreError."""
        store = self._store
        try:
            waits = store.waits and not store.opens_at_once(row)
            reader: Reader = yield from clock.wait(waits, partial(store.open, row))
        except StoreError as error:
            if store.find(row.account, row.name) is None:
                raise RefusedError(ErrorCode.GONE, "deleted") from error
            raise
        return reader if self._evictor is None else self._evictor.reading(row, reader)

    def at_hand(self, account: str, name: Name, wall: int) -> tuple[Row, bytes | None] | None:
        """The row of an object that is read, and its octets if they are in memory; None to look for it.

        Raises StoreError.
        """
        found = self._store.at_hand(account, name)
        if found is None or found[0].is_expired(wall):
            return None
        if self._evictor is not None:
            self._evictor.was_read(found[0])
        return found

    def count_read(self, row: Row, octets: int, wall: int) -> None:
        """An object was read, or a part of it. Raises StoreError."""
        self._store.count_read(row.account, row.name, octets, wall)

    def page(self, account: str, after: bytes, count: int, wall: int) -> tuple[list[Row], bytes | None]:
        """The rows behind a value that have not expired, and behind which value the next page is."""
        rows = self._store.page(account, after, count + 1)
        cursor = rows[count - 1].name.value if len(rows) > count else None
        return [row for row in rows[:count] if not row.is_expired(wall)], cursor

    def holders(self, name: Name, count: int) -> Sequence[Row]:
        """The rows of an object, of whatever accounts, those that came first. Raises StoreError."""
        return self._store.holders(name, count)

    def wait(self, call: Callable[[], _T], clock: Clock) -> Steps[_T]:
        """Do what reads or writes objects of the store. Raises what the call does."""
        return clock.wait(self._store.waits, call)

    def sweep(self, wall: int, clock: Clock) -> Steps[bool]:
        """Remove what has expired, SWEEP objects at most: whether there may be more. Raises StoreError."""
        rows = self._store.expired(wall, SWEEP)
        if rows:
            yield from self._remove_rows(rows, clock)
        return len(rows) == SWEEP

    def next_expiry(self) -> int | None:
        """When the next object expires, None for never."""
        return self._store.next_expiry()

    def _reserve(self, row: Row, clock: Clock, check: Callable[[], None]) -> Steps[Reservation]:
        for rounds in range(MAX_ROUNDS):
            try:
                return (yield from self._charge(row, clock))
            except RefusedError as error:
                refused = error
            if self._evictor is None or not (yield from self._evict(self._evictor, row, rounds == 0, clock, check)):
                break
        raise refused

    def _charge(self, row: Row, clock: Clock) -> Steps[Reservation]:
        for _ in range(MAX_OUTDATED):
            reserve = partial(self._tree.reserve_at, self._tree.charges(row.payer), row.size)
            try:
                reservation: Reservation = yield from clock.wait(self._tree.waits, reserve)
                return reservation
            except OutdatedError:
                self._tree.refresh()
        raise StoreError("the policies of the account change all the time")

    def _evict(
        self, evictor: Evictor, row: Row, is_first: bool, clock: Clock, check: Callable[[], None]
    ) -> Steps[bool]:
        """Make room, at first by what has expired: whether there may be room now."""
        rows = list(self._store.expired(row.created, SWEEP)) if is_first else []
        rows = rows or (yield from evictor.choose(row, clock))
        if rows:
            try:
                check()
            except (RefusedError, StoreError):
                evictor.keep(rows)
                raise
            yield from self._remove_rows(rows, clock)
        return bool(rows)

    def _make_way(self, row: Row, clock: Clock) -> Steps[None]:
        """What has expired is not what is stored now: another node may pay for that."""
        held = self._store.find(row.account, row.name)
        if held is not None and held.is_expired(row.created):
            yield from self._remove_rows([held], clock)

    def _remove_rows(self, rows: Sequence[Row], clock: Clock) -> Steps[None]:
        for row in (yield from clock.wait(self._store.waits, partial(self._store.remove_many, rows))):
            self._count_gone(row)

    def _count_gone(self, row: Row) -> None:
        key = (row.account, row.name)
        if key in self._keeping:
            # The store may have kept what has gone since, and its upload has not been told so.
            self._late.setdefault(key, []).append(row)
        else:
            self._tree.drop(row.payer, row.size)
        if self._evictor is not None:
            self._evictor.gone(row)
        self._gone[key] = None
        if len(self._gone) > MAX_GONE:
            self._gone.popitem(last=False)


def check_same(bound: Binding, binding: Binding) -> None:
    """Raises RefusedError (CONFLICT) if what is bound to a signed name is another object."""
    if bound.name != binding.name:
        raise RefusedError(ErrorCode.CONFLICT, "another object has this signed name")
