"""What every store of objects does, with its quotas: in memory, in files, in a bucket with Redis or with Valkey."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from decade_scale import Site, row_of, store

from decade.cose import Ed25519SigningKey
from decade.errors import ErrorCode, RefusedError, StoreError
from decade.ledger import MemoryQuotas
from decade.memberships import MAX_COLLECTIONS
from decade.named import MAX_NAMES, bind
from decade.names import name_of
from decade.ports import Charge, Holding, Row
from decade.store import MemoryStore
from interop.decade_store import FileStore, SqliteQuotas
from interop.decade_store._opening import INDEX, LOCKS
from interop.decade_store.settling import Bind

SIZES = [0, 5, 700_000]


@attrs.frozen
class Place:
    """A store and its quotas."""

    store: Any
    quotas: Any

    def put(self, octets: bytes, account: str = "a", **more: Any) -> Row:
        return store(self.store, self.quotas, octets, account, **more)

    def remove(self, row: Row) -> Row | None:
        removed: Row | None = self.store.remove(row.account, row.name)
        if removed is not None:
            self.quotas.drop(((), row.payer), row.size)
        return removed

    def read(self, row: Row) -> bytes:
        reader = self.store.open(row)
        try:
            octets: bytes = reader.read(0, row.size)
            return octets
        finally:
            reader.close()


@pytest.fixture(params=["memory", "files", "redis", "valkey"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "memory":
        yield Place(MemoryStore(), MemoryQuotas())
    elif request.param == "files":
        FileStore(tmp_path, lost=print).close()
        quotas = SqliteQuotas(tmp_path / INDEX, tmp_path / LOCKS)
        files = FileStore(tmp_path, lost=print, worker=quotas.worker)
        yield Place(files, quotas)
        files.close()
        quotas.close()
    else:
        redis = request.getfixturevalue(f"{request.param}_process")
        with Site.new(redis, request.getfixturevalue("s3_process")).worker() as worker:
            yield Place(worker.store, worker.quotas)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_stored_is_read_and_counted(place: Place, size: int) -> None:
    octets = os.urandom(size)
    row = place.put(octets)
    assert place.store.find("a", row.name) == row
    assert place.read(row) == octets
    assert place.quotas.holding(("a",)) == place.quotas.holding(()) == Holding(size, 0, 1)
    assert place.remove(row) == row
    assert place.store.find("a", row.name) is None
    assert place.quotas.holding(()) == Holding()


@pytest.mark.parametrize("size", SIZES)
def test_accounts_share_octets_and_readers_keep_them(place: Place, size: int) -> None:
    octets = os.urandom(size)
    first, second = place.put(octets), place.put(octets, "b")
    reader = place.store.open(first)
    assert place.remove(first) == first
    assert place.remove(first) is None
    assert place.read(second) == octets
    assert place.remove(second) == second
    assert place.quotas.holding(()) == Holding()
    assert reader.read(size // 2, size - size // 2) == octets[size // 2 :]
    reader.close()
    reader.close()


def test_what_nobody_has_cannot_be_opened(place: Place) -> None:
    with pytest.raises(StoreError):
        place.store.open(row_of(b"not there"))


def test_who_stores_again_is_charged_once_and_adds_what_was_lacking(place: Place) -> None:
    place.put(b"same", expires=50)
    again = place.put(b"same", expires=70, media_type="text/plain", created=9)
    assert place.store.find("a", again.name) == attrs.evolve(again, created=1)
    place.put(b"same", expires=60, media_type="text/html")
    assert place.store.find("a", again.name) == attrs.evolve(again, created=1)
    place.put(b"same")
    assert place.store.find("a", again.name) == attrs.evolve(again, created=1, expires=None)
    assert place.quotas.holding(()) == Holding(4, 0, 1)


def test_collections_are_kept_joined_and_replaced(place: Place) -> None:
    row = place.put(b"in some", collections=(b"\x00", b"red"))
    assert place.store.find("a", row.name) == row
    assert place.put(b"in none").collections == ()
    place.put(b"in some", collections=(b"a", b"red", b"red and more"))
    joined = (b"\x00", b"a", b"red", b"red and more")
    assert place.store.find("a", row.name).collections == joined
    place.put(b"in some")
    changed = place.store.update("a", row.name, lambda held: attrs.evolve(held, collections=(b"blue",)))
    assert changed == place.store.find("a", row.name)
    assert changed.collections == (b"blue",)
    place.store.count_read("a", row.name, 1, 9)
    assert {one.collections for one in place.store.page("a", b"", 9)} == {(), (b"blue",)}
    place.store.update("a", row.name, lambda held: attrs.evolve(held, collections=()))
    assert place.remove(row).collections == ()


def test_an_object_that_is_stored_again_and_again_is_in_so_many_collections_and_no_more(place: Place) -> None:
    row = place.put(b"in some")
    many = tuple(bytes([one]) for one in range(MAX_COLLECTIONS))
    for collections in (many[:9], many[7:], many):
        place.put(b"in some", collections=collections)
    before = place.store.find("a", row.name)
    assert before.collections == many
    for _ in range(2):
        with pytest.raises(RefusedError) as refused:
            place.put(b"in some", collections=(b"x",), expires=99)
        assert (refused.value.code, refused.value.limit) == (ErrorCode.ATTRIBUTE_NOT_PERMITTED, MAX_COLLECTIONS)
    assert place.store.find("a", row.name) == before
    assert place.read(row) == b"in some"


def test_a_signed_name_is_the_first_objects_that_has_it_and_goes_with_it(place: Place) -> None:
    key, stranger = Ed25519SigningKey(bytes(32)), Ed25519SigningKey(bytes([1] * 32))
    row, other = place.put(b"one"), place.put(b"two")
    one, new = bind(key, b"l\x00", row.name), bind(key, b"l\x00", other.name)
    assert place.store.find_bound("a", one.signed) is None
    assert place.store.bind("b", one) is None
    assert place.store.bind("a", bind(key, b"l", name_of(b"nowhere"))) is None
    assert place.store.bind("a", one) == one
    assert place.store.bind("a", new) == place.store.find_bound("a", one.signed) == one
    assert place.store.find_bound("b", one.signed) is None
    more = [bind(key, bytes(64), row.name), bind(stranger, b"l\x00", row.name)]
    assert [place.store.bind("a", each) for each in more] == more
    assert not place.store.unbind("a", bind(key, bytes(64), other.name))
    assert not place.store.unbind("b", more[0])
    assert place.store.find_bound("a", more[0].signed) == more[0]
    taken = [place.store.unbind("a", more[0]) for _ in range(2)]
    assert taken == [True, False]
    assert place.store.find_bound("a", more[0].signed) is None
    place.put(b"one", "b")
    assert place.remove(row) is not None
    assert [place.store.find_bound("a", each.signed) for each in (one, *more)] == [None] * 3
    place.put(b"one")
    assert place.store.find_bound("a", one.signed) is None
    assert place.store.bind("a", new) == new
    [expired] = [place.put(b"old", expires=5)]
    late = bind(key, b"late", expired.name)
    assert place.store.bind("a", late) == late
    assert [gone.name for gone in place.store.remove_many([expired])] == [expired.name]
    assert place.store.find_bound("a", late.signed) is None
    assert place.store.find_bound("a", new.signed) == new


def test_an_object_has_so_many_signed_names_and_no_more(place: Place) -> None:
    key = Ed25519SigningKey(bytes(32))
    row, other = place.put(b"one"), place.put(b"two")
    names = [bind(key, bytes([at]), row.name) for at in range(MAX_NAMES + 1)]
    for one in names[:-1]:
        assert place.store.bind("a", one) == one
    for _ in range(2):
        with pytest.raises(RefusedError) as refused:
            place.store.bind("a", names[-1])
        assert (refused.value.code, refused.value.limit) == (ErrorCode.ATTRIBUTE_NOT_PERMITTED, MAX_NAMES)
    assert place.store.find_bound("a", names[-1].signed) is None
    # What it has already is told, another object has names of its own, and so has that of another account.
    assert place.store.bind("a", names[0]) == names[0]
    for account, one in (("a", bind(key, b"other", other.name)), ("b", names[-1])):
        place.put(b"one", "b")
        assert place.store.bind(account, one) == one
    assert place.store.unbind("a", names[3])
    assert place.store.bind("a", names[-1]) == names[-1]
    assert place.remove(row) is not None
    place.put(b"one")
    for one in names[:-1]:
        assert place.store.bind("a", one) == one


def test_what_is_dropped_is_not_there(place: Place) -> None:
    for size in (1, 2_000_000):
        octets = bytes(size)
        sink = place.store.create(name_of(octets), size)
        sink.write(octets)
        sink.drop()
        sink.drop()
        assert place.store.find("a", name_of(octets)) is None


def test_pages_are_in_the_order_of_the_values_whatever_comes_and_goes(place: Place) -> None:
    rows = sorted((place.put(bytes((at,))) for at in range(9)), key=lambda made: made.name.value)
    place.put(b"of another", "b")
    assert list(place.store.page("a", b"", 4)) == rows[:4]
    assert list(place.store.page("a", rows[3].name.value, 99)) == rows[4:]
    place.remove(rows[5])
    assert list(place.store.page("a", rows[3].name.value, 2)) == [rows[4], rows[6]]
    for made in rows:
        place.remove(made)
    assert list(place.store.page("a", b"", 4)) == []


def test_what_expires_first_is_found_first_and_changes_are_heeded(place: Place) -> None:
    late, soon = place.put(b"late", expires=90), place.put(b"soon", expires=10)
    place.put(b"never")
    assert place.store.next_expiry() in (0, 10)
    assert list(place.store.expired(9, 5)) == []
    assert list(place.store.expired(10, 5)) == [soon]
    assert place.store.next_expiry() == 10
    changed = place.store.update("a", soon.name, lambda row: attrs.evolve(row, expires=95, media_type="a/b"))
    assert changed == place.store.find("a", soon.name) == attrs.evolve(soon, expires=95, media_type="a/b")
    assert len(place.store.expired(100, 1)) == 1
    assert [made.name for made in place.store.expired(100, 5)] == [late.name, soon.name]
    assert list(place.store.remove_many([soon, late, row_of(b"not there", expires=1)])) == [late]
    assert list(place.store.remove_many([changed])) == [changed]
    assert list(place.store.expired(100, 5)) == []
    assert place.store.next_expiry() is None
    assert place.store.update("a", soon.name, lambda row: row) is None


def test_reads_are_counted_and_those_of_what_is_not_there_are_not(place: Place) -> None:
    row = place.put(b"read often")
    for last_read in (40, 30):
        place.store.count_read("a", row.name, 5, last_read)
    found = place.store.find("a", row.name)
    assert (found.reads, found.octets_read) == (2, 10)
    place.store.count_read("a", name_of(b"not there"), 5, 50)
    assert place.store.find("a", name_of(b"not there")) is None


def test_a_second_release_is_a_mistake_and_a_limit_holds_at_every_node(place: Place) -> None:
    charges = [Charge((), None), Charge(("a",), 100), Charge(("a", "app"), 50)]
    assert place.quotas.reserve(charges, 30) is None
    assert place.quotas.reserve(charges, 30) == (charges[2], Holding(0, 30, 0))
    assert place.quotas.reserve([Charge((), 20)], 1) == (Charge((), 20), Holding(0, 30, 0))
    assert place.quotas.reserve(charges[:2], 70) is None
    assert place.quotas.holding(()) == Holding(0, 100, 0)
    place.quotas.release([(), ("a",)], 70)
    place.quotas.release([(), ("a",), ("a", "app")], 30)
    assert place.quotas.holding(()) == Holding()


def test_one_that_is_refused_disturbs_no_other_in_its_transaction(tmp_path: Path) -> None:
    files, quotas = FileStore(tmp_path, lost=print), MemoryQuotas()
    row, other = store(files, quotas, b"one"), store(files, quotas, b"two")
    key = Ed25519SigningKey(bytes(32))
    names = [bind(key, bytes([at]), row.name) for at in range(MAX_NAMES + 1)]
    last = bind(key, b"last", other.name)
    *made, refused, bound = files._settler.settle([Bind("a", one) for one in (*names, last)])
    assert (made, bound) == (names[:-1], last)
    assert isinstance(refused, RefusedError)
    assert files.find_bound("a", last.signed) == last
    assert files.find_bound("a", names[-1].signed) is None
    files.close()
