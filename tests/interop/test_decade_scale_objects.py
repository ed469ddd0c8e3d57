"""Objects in a bucket that servers share: who removes one takes it from nobody, and what rots is never served."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import obstore
import pytest
from decade_scale import RedisProcess, S3Process, Site, Worker, row_of, store

from decade.errors import RefusedError, StateError, StoreError
from decade.memberships import MAX_COLLECTIONS
from decade.names import SHA_256, Name
from decade.ports import Charge, Holding, Row
from interop.decade_scale import Shared, scrub
from interop.decade_scale import _spool as spool_module
from interop.decade_scale._bucket import MARK, key_of, new_copy, open_bucket, read_key
from interop.decade_scale._spool import Copy, Spool
from interop.decade_scale.scrubbing import DAY

LONG = 3_000_000
NOW = 4e9
"""A Unix time at which whatever a test has stored is old."""


@pytest.fixture
def worker(site: Site) -> Iterator[Worker]:
    with site.worker() as worker:
        yield worker


def raw(site: Site) -> Any:
    return open_bucket(site.shared.bucket, endpoint=site.shared.endpoint, region=site.shared.region)


def keys(site: Site, prefix: str | None = None) -> list[str]:
    return [meta["path"] for page in obstore.list(raw(site), prefix) for meta in page]


def key_in_use(worker: Worker, name: Name) -> str:
    copy = worker.store.copy_in_use(name)
    assert copy is not None
    return key_of(name, copy)


def read(worker: Worker, row: Row) -> bytes:
    reader = worker.store.open(row)
    try:
        return reader.read(0, row.size)
    finally:
        reader.close()


def test_who_stores_and_who_removes_the_same_object_at_a_time_do_not_disturb_each_other(site: Site) -> None:
    octets = b"the same for all"

    def store_and_remove(account: str) -> None:
        with site.worker() as worker:
            for _ in range(25):
                row = store(worker.store, worker.quotas, octets, account)
                worker.spool.close()  # the bucket is asked
                assert read(worker, row) == octets
                assert worker.store.remove(account, row.name) == row

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(store_and_remove, "abcd"))
    with site.worker() as worker:
        assert worker.quotas.holding(()) == Holding()
    assert keys(site, "objects") == []


@pytest.mark.parametrize("size", [5_000, LONG])
@pytest.mark.parametrize("damage", ["flipped", "cut", "longer", "gone"])
def test_what_has_rotted_goes_to_quarantine_and_is_never_served(site: Site, size: int, damage: str) -> None:
    octets = os.urandom(size)
    with site.worker() as worker:
        rows = [store(worker.store, worker.quotas, octets, account) for account in "ab"]
        key = key_in_use(worker, rows[0].name)
        changed = {"flipped": octets[:-1] + bytes([octets[-1] ^ 1]), "cut": octets[:-1], "longer": octets + b"x"}
        if damage == "gone":
            obstore.delete(raw(site), key)
        else:
            obstore.put(raw(site), key, changed[damage])
    with site.worker() as worker:
        with pytest.raises(StoreError):
            worker.store.open(rows[1])
        assert [worker.store.find(account, rows[0].name) for account in "ab"] == [None, None]
        assert worker.quotas.holding(()) == Holding()
        assert keys(site, "quarantine") == (
            [] if damage == "gone" else [key.replace(key[: key.rindex("/")], "quarantine")]
        )
        again = store(worker.store, worker.quotas, octets)
        worker.spool.close()
        assert read(worker, again) == octets


def test_rows_stay_when_the_bucket_is_another_one(site: Site, worker: Worker) -> None:
    row = store(worker.store, worker.quotas, b"octets")
    worker.spool.close()
    obstore.delete(raw(site), [MARK, key_in_use(worker, row.name)])
    with pytest.raises(StoreError, match="another one"):
        worker.store.open(row)
    assert worker.store.find("a", row.name) == row


def test_while_the_bucket_is_away_nothing_is_stored_and_what_is_here_is_read(redis_process: RedisProcess) -> None:
    s3 = S3Process()
    with Site.new(redis_process, s3).worker() as worker:
        row = store(worker.store, worker.quotas, b"octets")
        s3.close()
        assert read(worker, row) == b"octets"
        worker.spool.close()
        with pytest.raises(StoreError, match="the bucket"):
            worker.store.open(row)
        new = row_of(b"others")
        assert worker.quotas.reserve([Charge((), None), Charge(("a",), None)], new.size) is None
        sink = worker.store.create(new.name, new.size)
        sink.write(b"others")
        with pytest.raises(StoreError, match="the bucket"):
            worker.store.commit(sink, new)
        assert worker.store.find("a", new.name) is None
        worker.quotas.release([(), ("a",)], new.size)
        assert worker.quotas.holding(()) == Holding(row.size, 0, 1)
        # The row goes, and what is in the bucket when `scrub` finds it.
        assert worker.store.remove("a", row.name) == row


def test_what_a_crash_has_left_goes_when_it_is_old_and_what_is_missing_is_named(site: Site, worker: Worker) -> None:
    kept = store(worker.store, worker.quotas, b"kept")
    stray = key_of(kept.name, new_copy())
    obstore.put(raw(site), stray, b"kept")
    obstore.put(raw(site), "objects/of/another", b"not ours")
    part = kept.name.value[0]
    assert scrub(worker.store, part, wall=NOW - 1e10).removed == 0
    found = scrub(worker.store, part, wall=NOW, older_than=DAY)
    assert (found.removed, found.missing) == (1, ())
    assert sorted(keys(site, "objects")) == sorted(["objects/of/another", key_in_use(worker, kept.name)])
    obstore.delete(raw(site), key_in_use(worker, kept.name))
    found = scrub(worker.store, part, wall=NOW)
    assert (found.removed, found.missing) == (0, (kept.name,))
    assert worker.store.find("a", kept.name) == kept


def test_one_server_scrubs_at_a_time(site: Site, worker: Worker) -> None:
    with site.worker() as other:
        assert [one.store.begin_scrub(60) for one in (worker, other, worker)] == [True, False, False]


@pytest.mark.parametrize("other", ["bucket", "redis"])
def test_a_bucket_and_a_redis_that_do_not_belong_together_are_refused(
    redis_process: RedisProcess, s3_process: S3Process, other: str
) -> None:
    one, two = Site.new(redis_process, s3_process), Site.new(redis_process, s3_process)
    with one.worker() as worker, two.worker():
        store(worker.store, worker.quotas, b"octets")
    mixed = {"bucket": two.shared.bucket, "redis": one.shared.bucket}[other]
    prefix = {"bucket": one.shared.prefix, "redis": "new-" + one.shared.prefix}[other]
    reason = {"bucket": "not the one whose rows", "redis": "has objects, but redis has no rows"}[other]
    shared = attrs.evolve(one.shared, bucket=mixed, prefix=prefix)
    with pytest.raises(StoreError, match=reason):
        Worker(shared)


def test_a_sink_takes_no_other_object_and_nothing_after_its_end(worker: Worker) -> None:
    row = row_of(b"expected")
    sink = worker.store.create(row.name, row.size)
    sink.write(b"unexpect")
    with pytest.raises(StateError):
        worker.store.commit(sink, row)
    with pytest.raises(StateError):
        sink.write(b"more")
    with pytest.raises(StateError):
        worker.store.commit(sink, row)
    sink.drop()
    assert worker.store.find("a", row.name) is None


def test_reads_at_several_servers_add_up_when_they_are_written(site: Site, worker: Worker) -> None:
    row = store(worker.store, worker.quotas, b"read often")
    with site.worker() as other:
        for at, one in enumerate([worker, other, other]):
            one.store.count_read("a", row.name, 10, 40 + at)
        found = other.store.find("a", row.name)
        assert found is not None
        assert (found.reads, found.octets_read, found.last_read) == (2, 20, 42)
        other.store.refresh()
    worker.store.refresh()
    found = worker.store.find("a", row.name)
    assert found is not None
    assert (found.reads, found.octets_read, found.last_read) == (3, 30, 42)


def test_a_server_learns_what_others_have_stored_expires_next(site: Site, worker: Worker) -> None:
    worker.store.refresh()
    assert worker.store.next_expiry() is None
    with site.worker() as other:
        store(other.store, other.quotas, b"soon gone", expires=50)
    worker.store.refresh()
    assert worker.store.next_expiry() == 50


def test_the_accounts_that_have_an_object_come_in_the_order_in_which_they_stored_it(worker: Worker) -> None:
    rows = [
        store(worker.store, worker.quotas, b"same", account, created=at)
        for account, at in (("b", 2), ("a", 3), ("c", 1))
    ]
    assert worker.store.holders(rows[0].name, 2) == [rows[2], rows[0]]
    assert worker.store.holders(row_of(b"not there").name, 2) == []


def put_long(shared: Shared, found: Any) -> None:
    """How much memory more a process needs to store 64 MiB and to read them."""
    worker = Worker(shared)
    part, size = os.urandom(1 << 20), 64 << 20
    digest = hashlib.sha256()
    for _ in range(64):
        digest.update(part)
    row = attrs.evolve(row_of(b""), name=Name(SHA_256, digest.digest()), size=size)
    worker.quotas.reserve([Charge((), None), Charge(("a",), None)], size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sink = worker.store.create(row.name, size)
    for _ in range(64):
        sink.write(part)
    worker.store.commit(sink, row)
    worker.spool.close()
    reader = worker.store.open(row)
    is_same = reader.read(size - 5, 5) == part[-5:]
    reader.close()
    found.put((is_same, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10))
    worker.close()


def test_long_objects_are_not_in_memory(site: Site) -> None:
    spawn = multiprocessing.get_context("spawn")
    found = spawn.Queue()
    process = spawn.Process(target=put_long, args=(site.shared, found))
    process.start()
    is_same, mebibytes = found.get(timeout=200)
    process.join()
    assert is_same
    assert mebibytes < 48


def test_few_objects_are_kept_and_who_reads_one_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "MAX_KEPT", 3)
    spool = Spool(max_octets=1_000_000)
    before = len(os.listdir("/proc/self/fd"))

    def kept(size: int) -> tuple[Row, Any]:
        octets = os.urandom(size)
        copy = Copy(None)
        copy.write(octets)
        return row_of(octets), spool.keep(row_of(octets).name, copy)

    first, reader = kept(600_000)
    for _ in range(2):
        kept(400_000)[1].close()
    assert first.name not in spool  # there were too many octets
    assert first.name.matches(reader.read(0, 600_000))
    reader.close()
    reader.close()
    assert reader.read(0, 1) == b""
    for _ in range(3):
        kept(10)[1].close()
    assert len(os.listdir("/proc/self/fd")) == before
    spool.close()


def test_threads_that_open_an_object_fetch_it_once(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    row = store(worker.store, worker.quotas, os.urandom(LONG))
    worker.spool.close()
    asked = []
    get = worker.bucket.get
    monkeypatch.setattr(worker.bucket, "get", lambda key: asked.append(key) or get(key))
    barrier = threading.Barrier(4)

    def fetch(_: int) -> bool:
        barrier.wait()
        return row.name.matches(read(worker, row))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(fetch, range(4)))
    assert len(asked) == 1


def test_keys_say_what_they_hold() -> None:
    name, copy = row_of(b"octets").name, new_copy()
    assert read_key(key_of(name, copy)) == (name, copy)
    for other in ("objects/of/another", "objects/00/" + "0" * 64, MARK, key_of(name, copy)[1:]):
        assert read_key(other) is None


@pytest.mark.parametrize("url", ["http://films", "s3://", "s3://films?a=b", "films"])
def test_what_is_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="a bucket is s3://"):
        open_bucket(url)


def test_what_is_refused_leaves_no_copy_in_the_bucket(site: Site, worker: Worker) -> None:
    many = tuple(bytes([one]) for one in range(MAX_COLLECTIONS))
    row = store(worker.store, worker.quotas, b"in many", collections=many)
    with pytest.raises(RefusedError):
        store(worker.store, worker.quotas, b"in many", collections=(b"x",))
    assert keys(site, "objects") == [key_in_use(worker, row.name)]
    worker.spool.close()
    assert read(worker, row) == b"in many"
