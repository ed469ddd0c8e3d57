"""The store in memory: one payload for all who hold it, in the order of names, gone in the order of expiry."""

import attrs

from decade.names import name_of
from decade.ports import ObjectStore, Row
from decade.store import MemorySink, MemoryStore

FITS: ObjectStore[MemorySink] = MemoryStore()


def row(octets, account="a", **more):
    members = {"size": len(octets), "payer": (account,), "created": 1, "expires": None} | more
    return Row(account=account, name=name_of(octets), **members)


def keep(store, octets, account="a", **more):
    made = row(octets, account, **more)
    sink = store.create(made.name, made.size)
    sink.write(octets)
    store.commit(sink, made)
    return made


def test_accounts_share_a_payload_and_readers_keep_it():
    store = MemoryStore()
    first, second = keep(store, b"x"), keep(store, b"x", "b")
    assert store.payloads == 1
    reader = store.open(first)
    assert store.remove("a", first.name) == first
    assert store.remove("a", first.name) is None
    assert store.find("b", first.name) == second
    store.remove("b", first.name)
    assert reader.read(0, 9) == b"x"
    reader.close()
    reader.close()
    assert store.payloads == 0


def test_what_is_dropped_is_not_there():
    store = MemoryStore()
    sink = store.create(name_of(b"x"), 1)
    sink.write(b"x")
    sink.drop()
    sink.write(b"x")
    assert store.find("a", name_of(b"x")) is None
    assert store.payloads == 0


def test_pages_are_in_the_order_of_the_values_whatever_comes_and_goes():
    store = MemoryStore()
    rows = sorted((keep(store, bytes((at,))) for at in range(9)), key=lambda made: made.name.value)
    assert store.page("a", b"", 4) == rows[:4]
    assert store.page("a", rows[3].name.value, 99) == rows[4:]
    store.remove("a", rows[5].name)
    assert store.page("a", rows[3].name.value, 2) == [rows[4], rows[6]]
    for made in rows:
        store.remove("a", made.name)
    assert store.page("a", b"", 4) == []


def test_what_expires_first_is_found_first_and_changes_are_heeded():
    store = MemoryStore()
    late, soon = keep(store, b"late", expires=90), keep(store, b"soon", expires=10)
    keep(store, b"never")
    assert store.next_expiry() == 10
    assert store.expired(9, 5) == []
    assert store.expired(10, 5) == [soon]
    later = attrs.evolve(soon, expires=95)
    assert store.update("a", soon.name, lambda row: attrs.evolve(row, expires=95)) == later
    assert store.remove_many([soon]) == []
    assert store.next_expiry() == 90
    assert len(store.expired(100, 1)) == 1
    assert [made.name for made in store.expired(100, 5)] == [late.name, soon.name]
    store.remove("a", late.name)
    store.remove("a", soon.name)
    assert store.next_expiry() is None
    assert store.update("a", soon.name, lambda row: row) is None


def test_the_holders_of_an_object_are_told_in_the_order_in_which_they_came():
    store = MemoryStore()
    late, second = keep(store, b"x", "a", created=5), keep(store, b"x", "c", created=2)
    first = keep(store, b"x", "b", created=2)
    keep(store, b"y", "z", created=1)
    assert store.holders(first.name, 9) == [first, second, late]
    assert store.holders(first.name, 1) == [first]
    store.remove("b", first.name)
    assert store.holders(first.name, 9) == [second, late]
    assert store.holders(name_of(b"none"), 9) == []
