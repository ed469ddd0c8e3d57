"""The objects of servers on several machines: octets in a bucket, rows in Redis."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from decade.errors import StateError, StoreError
from decade.memberships import MAX_COLLECTIONS, too_many_collections
from decade.named import MAX_NAMES, Binding, too_many_names
from decade.names import Name
from decade.ports import Row
from decade.values import SignedName
from interop.decade_scale._bucket import Bucket, key_of, new_copy
from interop.decade_scale._engine import Engine, UnsureError
from interop.decade_scale._lease import Lease
from interop.decade_scale._reads import ReadCounts
from interop.decade_scale._rows import attributes_of, expiry_of, field_of, fields_of, nodes_of, read_binding, read_row
from interop.decade_scale._spool import Copy, CopyReader, Spool, fetch

logger = logging.getLogger(__name__)
TRIES = 16
"""Times that a row is changed anew, or a copy looked for again, as others have changed it meanwhile: each time one of
them has got on."""
_LOCKS = 64
_FIELDS = ("size", "nodes", "created", "expires", "media_type", "reads", "octets_read", "last_read", "collections")


class BucketSink:
    """An object that is coming: it waits on this machine until it is whole. For one thread at a time."""

    def __init__(self, name: Name, copy: Copy) -> None:
        self._name = name
        self._copy: Copy | None = copy

    def write(self, octets: bytes) -> None:
        """The next octets. Raises StoreError; then it is dropped."""
        if self._copy is None:
            raise StateError("this object was dropped or stored already")
        try:
            self._copy.write(octets)
        except StoreError:
            self.drop()
            raise

    def take(self, row: Row) -> Copy:
        """All is there. Raises StateError if it is not the object of the row; then it is dropped."""
        copy = self._copy
        if copy is None:
            raise StateError("this object was dropped or stored already")
        # Accounts share the octets: whoever could store others under this name would give them to all.
        if copy.digest.size != row.size or not copy.digest.matches(row.name) or row.name != self._name:
            self.drop()
            raise StateError("what was written is not the object of this row")
        self._copy = None
        return copy

    def drop(self) -> None:
        """The object will not be stored. Harmless when repeated."""
        if self._copy is not None:
            copy, self._copy = self._copy, None
            copy.close()


class BucketStore:
    """The `decade.ports.ObjectStore` of servers that share a bucket and a Redis. For any thread.

    A row changes in one script, with what its nodes hold. The octets are in the bucket before the row is there, and go
    after it: what is left over when a server dies is found by `scrub`.
    """

    waits = True

    def __init__(self, engine: Engine, bucket: Bucket, lease: Lease, spool: Spool, *, mark: str) -> None:
        """`lease`: of the `RedisQuotas` that reserves for what is stored here. `mark`: what shows that it is the bucket
        that belongs to this Redis.
        """
        self._engine = engine
        self._mark = mark
        self.bucket = bucket
        self._lease = lease
        self._spool = spool
        self._reads = ReadCounts(engine)
        self._locks = [threading.Lock() for _ in range(_LOCKS)]
        self._next_expiry: int | None = 0

    def find(self, account: str, name: Name) -> Row | None:
        """The row of an account's object. Raises StoreError."""
        row = self._find(account, name)
        return None if row is None else self._reads.counted(row)

    def create(self, name: Name, size: int) -> BucketSink:
        """Where a coming object is written to."""
        return BucketSink(name, Copy(self._spool.folder))

    def commit(self, sink: BucketSink, row: Row) -> bool:
        """Keep what was written, and its row; False if the account has one, which gets what it lacks.

        Raises RefusedError, StoreError, StateError if it is not the object of the row.
        """
        octets, copy = sink.take(row), new_copy()
        key = key_of(row.name, copy)
        arguments = (row.account, row.name.value, copy, *fields_of(row), MAX_COLLECTIONS)
        try:
            self.bucket.put(key, octets.source())
            try:
                done, before = self._lease.store(nodes_of(row), row.size, *arguments)
            except UnsureError:
                raise  # it may be the copy in use: `scrub` removes it if not
            except StoreError:
                self._remove([key])
                raise
        except StoreError:
            octets.close()
            raise
        if done == b"many":
            octets.close()
            self._remove([key])
            raise too_many_collections()
        # The copy that was in use may have rotted since; this one has just been hashed.
        self._remove([key_of(row.name, before.decode())] if before else [])
        self._spool.keep(row.name, octets).close()
        self._expect(row.expires)
        return bool(done == b"new")

    def at_hand(self, account: str, name: Name) -> None:
        """None: whose an object is, is known across the network."""

    def opens_at_once(self, row: Row) -> bool:
        """Whether the object is on this machine."""
        return row.name in self._spool

    def open(self, row: Row) -> CopyReader:
        """Read an object, which is what its name says. Raises StoreError if it is not to be had.

        It comes as a whole before the first octet is read, as it could not be checked otherwise.
        """
        reader = self._spool.open(row.name)
        if reader is None:
            # Those who want the same object wait for the first of them.
            with self._locks[row.name.value[0] % _LOCKS]:
                reader = self._spool.open(row.name) or self._fetch(row.name)
        return reader

    def update(self, account: str, name: Name, change: Callable[[Row], Row]) -> Row | None:
        """Replace what of an object may change: the row as it is now. Raises StoreError."""
        for _ in range(TRIES):
            row = self.find(account, name)
            if row is None:
                return None
            changed = change(row)
            before, after = attributes_of(row), attributes_of(changed)
            if self._engine.run("change", account, name.value, *before, *after):
                self._expect(changed.expires)
                return row.changed_as(changed)
        raise StoreError("an object is being changed by others all the time")

    def find_bound(self, account: str, signed: SignedName) -> Binding | None:
        """What an account has bound to a signed name. Raises StoreError."""
        return read_binding(signed, self._engine.ask("HGET", f"signed:{account}", field_of(signed)))

    def bind(self, account: str, binding: Binding) -> Binding | None:
        """Give an object a signed name: what is bound to it now; None without the object.

        Raises RefusedError if it has too many, StoreError.
        """
        signed = binding.signed
        found = self._engine.run("bind", account, binding.name.value, field_of(signed), binding.signature, MAX_NAMES)
        if found == b"full":
            raise too_many_names()
        return read_binding(signed, found)

    def unbind(self, account: str, binding: Binding) -> bool:
        """Take a signed name from this object: False if it is not this one's. Raises StoreError."""
        return bool(self._engine.run("unbind", account, field_of(binding.signed), binding.name.value))

    def count_read(self, account: str, name: Name, octets: int, wall: int) -> None:
        """An object was read, or a part of it; the count reaches Redis a while later."""
        self._reads.add(account, name, octets, wall)

    def remove(self, account: str, name: Name) -> Row | None:
        """Take a row away, and the octets when no account has the object; the row. Raises StoreError."""
        removed = self._take([(account, name, "*")])
        return removed[0] if removed else None

    def remove_many(self, rows: Sequence[Row]) -> Sequence[Row]:
        """As `remove`, of those that still have the expiry that they have here. Raises StoreError."""
        return self._take([(row.account, row.name, expiry_of(row)) for row in rows])

    def page(self, account: str, after: bytes, count: int) -> list[Row]:
        """The first rows of an account whose value is greater than `after`. Raises StoreError."""
        found = self._engine.run("page", account, after, count)
        return [self._reads.counted(read_row(account, value, fields)) for value, fields in found]

    def holders(self, name: Name, count: int) -> list[Row]:
        """The first rows of an object, of whatever accounts, in the order of their creation. Raises StoreError."""
        return [_of(*found) for found in self._engine.run("holders", name.value, count)]

    def expired(self, wall: int, count: int) -> list[Row]:
        """Rows whose time is over. Raises StoreError."""
        rows = [_of(*found) for found in self._engine.run("expired", wall, count)]
        self.refresh()
        return rows

    def next_expiry(self) -> int | None:
        """When the next row expires, as far as this server knows without asking."""
        return self._next_expiry

    def refresh(self) -> None:
        """Ask when the next row expires, which others may have stored, and write what was read. Raises StoreError."""
        first = self._engine.ask("ZRANGE", "expiries", 0, 0, "WITHSCORES")
        self._next_expiry = int(float(first[1])) if first else None
        self._reads.write()

    def close(self) -> None:
        """Write what was read, and keep nothing on this machine."""
        try:
            self._reads.write()
        except StoreError as exc:
            logger.warning("some reads are not counted: %s", exc)
        self._spool.close()

    def copy_in_use(self, name: Name) -> str | None:
        """Which copy of an object is in use, None if nobody has the object. Raises StoreError."""
        found = self._engine.ask("HGET", f"payloads:{name.value[0]:02x}", name.value)
        return None if found is None else found.decode()

    def copies_in_use(self, first: int) -> dict[bytes, str]:
        """The copies of objects whose names begin with an octet. Raises StoreError."""
        found = self._engine.ask("HGETALL", f"payloads:{first:02x}")
        return {value: copy.decode() for value, copy in found.items()}

    def begin_scrub(self, every: float) -> bool:
        """Whether no server has begun to scrub for so many seconds; this one has from now on. Raises StoreError."""
        return self._engine.ask("SET", "scrubbed", "", "NX", "EX", round(every)) is not None

    def _find(self, account: str, name: Name) -> Row | None:
        key = b"row:" + account.encode() + name.value
        fields = self._engine.ask("HMGET", key, *_FIELDS)
        return None if fields[0] is None else read_row(account, name.value, fields)

    def _fetch(self, name: Name) -> CopyReader:
        bad: list[str] = []
        for _ in range(TRIES):
            copy = self.copy_in_use(name)
            if copy is None:
                raise StoreError("the object is not there")
            parts = self.bucket.get(key_of(name, copy))
            octets = None if parts is None else fetch(parts, name, self._spool.folder)
            if octets is not None:
                return self._spool.keep(name, octets)
            if copy in bad:
                # Twice: it is the object, and not the way from there.
                self._lose(name, copy, is_there=parts is not None)
            bad.append(copy)
        raise StoreError("the object is not what was stored")

    def _lose(self, name: Name, copy: str, *, is_there: bool) -> None:
        """A copy has rotted or vanished: nobody has the object, so that who wants it stores it anew."""
        if self.bucket.mark() != self._mark:
            raise StoreError("the bucket is not there, or is another one")
        lost = self._engine.run("lose", name.value, copy)
        logger.error("%s has rotted in the bucket, or is gone: %d rows went with it", name.ni(), len(lost))
        if is_there:
            try:
                self.bucket.quarantine(key_of(name, copy))
            except StoreError as exc:
                logger.warning("what is left of it stays where it is: %s", exc)

    def _take(self, rows: Sequence[tuple[str, Name, Any]]) -> list[Row]:
        arguments = [part for account, name, expires in rows for part in (account, name.value, expires)]
        removed, copies = [], []
        found = self._engine.run("remove", *arguments) if rows else []
        for (account, name, _), taken in zip(rows, found, strict=True):
            if taken is not None:
                fields, copy = taken
                removed.append(self._reads.counted(read_row(account, name.value, fields)))
                self._reads.forget(account, name)
                if copy:
                    copies.append(key_of(name, copy.decode()))
        self._remove(copies)
        return removed

    def _remove(self, keys: list[str]) -> None:
        """Remove copies that nobody uses; `scrub` removes what this fails to."""
        try:
            self.bucket.remove(keys)
        except StoreError as exc:
            logger.warning("copies that nobody uses stay in the bucket for a while: %s", exc)

    def _expect(self, expires: int | None) -> None:
        known = self._next_expiry
        if expires is not None and (known is None or expires < known):
            self._next_expiry = expires


def _of(account: bytes, value: bytes, fields: Sequence[bytes]) -> Row:
    return read_row(account.decode(), value, fields)
