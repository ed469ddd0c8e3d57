"""The file store: what it keeps, what it shares, and what it does when the disk is full, fails or rots."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import pytest

from decade.errors import StateError, StoreError
from decade.names import Name, name_of
from decade.ports import ObjectStore, Row
from interop.decade_store import FileSink, FileStore
from interop.decade_store import store as module
from interop.decade_store._database import _SCHEMA
from interop.decade_store.disk import PosixDisk
from interop.decade_store.index import Index
from interop.decade_store.settling import Put, Settler

Make = Callable[..., FileStore]


def row_of(octets: bytes, account: str = "a", expires: int | None = None) -> Row:
    return Row(account=account, name=name_of(octets), size=len(octets), payer=(account,), created=1, expires=expires)


def put(store: FileStore, octets: bytes, account: str = "a", expires: int | None = None) -> Row:
    row = row_of(octets, account, expires)
    sink = store.create(row.name, row.size)
    sink.write(octets)
    store.commit(sink, row)
    return row


def read(store: FileStore, row: Row) -> bytes:
    reader = store.open(row)
    try:
        return reader.read(0, row.size)
    finally:
        reader.close()


def file_of(root: Path, name: Name) -> Path:
    return root / name.value.hex()[:2] / name.value.hex()


@pytest.fixture
def lost() -> list[Row]:
    return []


@pytest.fixture
def make(tmp_path: Path, lost: list[Row]) -> Iterator[Make]:
    """Opens the store in tmp_path."""
    made: list[FileStore] = []

    def opened(**arguments: Any) -> FileStore:
        made.append(FileStore(tmp_path, lost=lost.extend, **arguments))
        return made[-1]

    yield opened
    for store in made:
        store.close()


def test_a_directory_is_a_port_of_the_store(make: Make) -> None:
    store: ObjectStore[FileSink] = make()
    assert store.find("a", name_of(b"")) is None


def test_an_object_and_its_row_are_there_again_after_a_new_start(make: Make, tmp_path: Path) -> None:
    store = FileStore(tmp_path, lost=print)
    rows = [put(store, octets, expires=2**64) for octets in (b"", b"some octets", os.urandom(3_000_000))]
    store.close()
    again = make()
    for row in rows:
        found = again.find("a", row.name)
        assert found == attrs.evolve(row, expires=2**63 - 1)
        assert name_of(read(again, row)) == row.name
    assert sorted(again.index.holdings()) == [((), sum(row.size for row in rows), 3), (("a",), 3_000_011, 3)]
    assert list(again.index.scan()) == again.page("a", b"", 9)


def test_a_store_that_is_empty_opens_again(make: Make, tmp_path: Path) -> None:
    FileStore(tmp_path, lost=print).close()
    assert make().page("a", b"", 9) == []


def test_accounts_share_a_file_that_goes_with_the_last_of_them_and_with_its_readers(make: Make, tmp_path: Path) -> None:
    store = make()
    long = os.urandom(2_000_000)
    first, second = put(store, long, "a"), put(store, long, "b")
    reader = store.open(first)
    assert store.remove("a", first.name) == first
    assert store.remove("a", first.name) is None
    assert file_of(tmp_path, first.name).exists()
    assert store.remove("b", first.name) == second
    assert not file_of(tmp_path, first.name).exists()
    assert reader.read(1_999_990, 10) == long[-10:]
    reader.close()
    with pytest.raises(StoreError):
        store.open(first)


def test_a_page_begins_behind_a_value_and_expiries_come_in_their_order(make: Make) -> None:
    store = make()
    rows = sorted((put(store, bytes([n]), expires=100 - n) for n in range(9)), key=lambda row: row.name.value)
    put(store, b"of another", "b")
    assert store.page("a", rows[3].name.value, 2) == rows[4:6]
    assert [row.expires for row in store.expired(95, 3)] == [92, 93, 94]
    assert store.next_expiry() == 92
    assert store.index.names_after(b"", 99) == sorted(
        [name_of(b"of another"), *(row.name for row in rows)], key=lambda name: name.value
    )


def test_attributes_change_and_reads_are_counted_over_a_new_start(make: Make, tmp_path: Path) -> None:
    store = FileStore(tmp_path, lost=print)
    row = put(store, b"read often")
    changed = attrs.evolve(row, expires=50, media_type="text/plain")
    assert store.update("a", row.name, lambda held: attrs.evolve(held, expires=50, media_type="text/plain")) == changed
    for last_read in (40, 101, 110):
        store.count_read("a", row.name, 10, last_read)
    assert store.update("b", row.name, lambda held: held) is None  # the counts before it are written now
    assert store.index.find("a", row.name) == attrs.evolve(  # the third is in memory
        row, expires=50, media_type="text/plain", reads=2, octets_read=20, last_read=101
    )
    expected = attrs.evolve(row, expires=50, media_type="text/plain", reads=3, octets_read=30, last_read=110)
    assert store.page("a", b"", 1) == [expected]
    store.close()
    again = make()
    assert again.find("a", row.name) == expected
    again.count_read("a", row_of(b"not there").name, 10, 120)


def test_a_sink_takes_no_other_object_and_nothing_after_its_end(make: Make, tmp_path: Path) -> None:
    store = make()
    row = row_of(b"expected")
    sink = store.create(row.name, row.size)
    sink.write(b"unexpect")
    with pytest.raises(StateError):
        store.commit(sink, row)
    with pytest.raises(StateError):
        sink.write(b"more")
    with pytest.raises(StateError):
        store.commit(sink, row)
    sink.drop()
    assert store.find("a", row.name) is None
    assert not file_of(tmp_path, row.name).exists()


def test_what_is_dropped_leaves_no_file_and_no_descriptor(make: Make, tmp_path: Path) -> None:
    store = make()
    before = len(os.listdir("/proc/self/fd"))
    sink = store.create(name_of(b"x"), 3_000_000)
    for _ in range(3):
        sink.write(bytes(1_000_000))
    sink.drop()
    sink.drop()
    put(store, b"kept")
    assert len(os.listdir("/proc/self/fd")) == before
    assert sum(len(list((tmp_path / f"{n:02x}").iterdir())) for n in range(256)) == 1


def test_uploads_of_several_threads_share_transactions(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    settle = Settler.settle

    def seen(self: Settler, jobs: Sequence[Any]) -> Any:
        sizes.append(len(jobs))
        return settle(self, jobs)

    monkeypatch.setattr(Settler, "settle", seen)
    store = make()
    with ThreadPoolExecutor(16) as pool:
        rows = list(pool.map(lambda n: put(store, f"object {n}".encode()), range(200)))
    assert sum(sizes) == 200
    assert len(sizes) < 200
    assert all(read(store, row) for row in rows)


@pytest.mark.parametrize("size", [5_000, 2_000_000])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "longer"])
def test_what_has_rotted_goes_to_quarantine_and_is_never_served(
    make: Make, tmp_path: Path, lost: list[Row], size: int, damage: str
) -> None:
    store = make()
    octets = os.urandom(size)
    rows = [put(store, octets, account) for account in "ab"]
    path = file_of(tmp_path, rows[0].name)
    match damage:
        case "flipped":
            path.write_bytes(octets[:-1] + bytes([octets[-1] ^ 1]))
        case "cut":
            os.truncate(path, size - 1)
        case "longer":
            os.truncate(path, size + 1)
        case "gone":
            path.unlink()
    with pytest.raises(StoreError):
        store.open(rows[0])
    assert lost == rows
    assert store.find("a", rows[0].name) is None
    assert store.index.holdings() == []
    assert not path.exists()
    assert (tmp_path / "quarantine" / path.name).exists() == (damage != "gone")


def test_an_upload_heals_what_has_rotted(make: Make, tmp_path: Path, lost: list[Row]) -> None:
    store = make()
    row = put(store, b"to be healed")
    file_of(tmp_path, row.name).write_bytes(b"to be hurt!!")
    put(store, b"to be healed", "b")
    assert read(store, row) == b"to be healed"
    assert store.check(row.name)
    assert lost == []


class FaultyDisk(PosixDisk):
    """Fails in one operation for as long as `faults` has it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.faults: dict[str, int] = {}

    def _fail(self, operation: str) -> None:
        if operation in self.faults:
            raise OSError(self.faults[operation], operation)

    def write(self, fd: int, octets: memoryview) -> int:
        self._fail("write")
        return super().write(fd, octets[:1000])

    def sync(self, fd: int) -> None:
        self._fail("sync")
        super().sync(fd)

    def link(self, fd: int, folder: str, name: str) -> None:
        self._fail("link")
        super().link(fd, folder, name)

    def sync_folder(self, folder: str) -> None:
        self._fail("sync_folder")
        super().sync_folder(folder)

    def read(self, fd: int, offset: int, length: int) -> bytes:
        self._fail("read")
        return super().read(fd, offset, length)


@pytest.mark.parametrize("operation", ["write", "sync", "link", "sync_folder"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_an_upload_that_the_disk_fails_leaves_nothing_and_the_next_is_received_anew(
    make: Make, tmp_path: Path, operation: str, number: int
) -> None:
    disk = FaultyDisk(tmp_path)
    store = make(disk=disk)
    held = put(store, b"held before")
    before = len(os.listdir("/proc/self/fd"))
    disk.faults = {operation: number}
    octets = os.urandom(5000)
    with pytest.raises(StoreError):
        put(store, octets)
    assert not file_of(tmp_path, name_of(octets)).exists()
    assert store.find("a", name_of(octets)) is None
    with pytest.raises(StoreError):
        put(store, b"held before", "b")
    assert len(os.listdir("/proc/self/fd")) == before
    disk.faults = {}
    assert read(store, put(store, octets)) == octets
    assert read(store, held) == b"held before"


@pytest.mark.parametrize("size", [10, 2_000_000])
def test_an_object_that_the_disk_cannot_read_is_gone(make: Make, tmp_path: Path, lost: list[Row], size: int) -> None:
    disk = FaultyDisk(tmp_path)
    store = make(disk=disk)
    row = put(store, bytes(size))
    disk.faults = {"read": errno.EIO}
    with pytest.raises(StoreError):
        store.open(row)
    assert lost == [row]


def test_an_index_that_the_disk_fails_is_not_used_before_a_new_start(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make()
    row = put(store, b"before")

    def failing(*_: Any) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("interop.decade_store.settling.insert", failing)
        with pytest.raises(StoreError, match="new start"):
            put(store, b"meanwhile")
    with pytest.raises(StoreError, match="new start"):
        put(store, b"after")
    assert read(store, row) == b"before"


def test_a_job_that_nobody_has_foreseen_fails_for_who_waits_and_for_nobody_else(make: Make) -> None:
    store = make()
    row = attrs.evolve(row_of(b"x"), media_type="\ud800")
    sink = store.create(row.name, 1)
    sink.write(b"x")
    with pytest.raises(UnicodeEncodeError):
        store.commit(sink, row)
    assert read(store, put(store, b"y")) == b"y"


def test_a_crash_is_mended_at_the_next_start(make: Make, tmp_path: Path) -> None:
    store = FileStore(tmp_path, lost=print)
    kept, without_file = put(store, b"kept"), put(store, b"without a file")
    store.close()
    file_of(tmp_path, without_file.name).unlink()
    orphan = file_of(tmp_path, name_of(b"without a row"))
    orphan.write_bytes(b"without a row")
    (orphan.parent / (".fresh-" + orphan.name)).write_bytes(b"was to replace")
    (orphan.parent / "lost+found").mkdir()
    again = make()
    assert again.page("a", b"", 9) == [kept]
    assert sorted(again.index.holdings()) == [((), 4, 1), (("a",), 4, 1)]
    assert [path.name for path in orphan.parent.iterdir()] == ["lost+found"]


def test_a_second_process_mends_nothing(make: Make, tmp_path: Path) -> None:
    store = make()
    row = row_of(b"on its way")
    orphan = file_of(tmp_path, row.name)
    orphan.write_bytes(b"on its way")
    second = make()
    assert orphan.exists()
    assert read(second, put(store, b"shared")) == b"shared"
    assert store.remove("a", name_of(b"shared")) is not None
    assert second.find("a", name_of(b"shared")) is None


def test_objects_without_their_index_are_left_alone(tmp_path: Path) -> None:
    store = FileStore(tmp_path, lost=print)
    row = put(store, b"precious")
    store.close()
    for path in tmp_path.glob("index.sqlite3*"):
        path.unlink()
    with pytest.raises(StoreError, match="bring it back"):
        FileStore(tmp_path, lost=print)
    assert file_of(tmp_path, row.name).exists()


def test_long_objects_are_hashed_at_the_first_read_and_when_their_file_is_another(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Name] = []
    is_sound = module.is_sound

    def seen(disk: Any, name: Name) -> bool:
        hashed.append(name)
        return is_sound(disk, name)

    monkeypatch.setattr(module, "is_sound", seen)
    monkeypatch.setattr(module, "MAX_VERIFIED", 1)
    store = make()
    first, second = put(store, bytes(2_000_000)), put(store, bytes(3_000_000))
    for row in (first, first, second, first):
        assert len(read(store, row)) == row.size
    assert hashed == [first.name, second.name, first.name]
    os.utime(file_of(tmp_path, first.name))
    assert len(read(store, first)) == first.size
    assert hashed[3:] == [first.name]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_disk_that_is_full_stores_nothing_more_and_stores_again_when_there_is_room(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", tmp_path], check=True)
    try:
        store = FileStore(tmp_path, lost=print)
        rows: list[Row] = []
        with contextlib.suppress(StoreError):
            while len(rows) < 40:
                rows.append(put(store, os.urandom(100_000)))
        assert len(rows) < 40
        assert len(rows) > 20
        for row in rows:
            assert len(read(store, row)) == row.size
        assert store.remove("a", rows.pop().name)
        assert store.remove("a", rows.pop().name)
        rows.append(put(store, os.urandom(100_000)))
        assert dict(holding[:2] for holding in store.index.holdings())[()] == sum(row.size for row in rows)
        store.close()
        FileStore(tmp_path, lost=print).close()
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_batch_in_which_one_file_fails_keeps_the_others(tmp_path: Path) -> None:
    disk = FaultyDisk(tmp_path)
    store = FileStore(tmp_path, lost=print, disk=disk)
    rows = [row_of(b"good"), row_of(b"bad")]
    sinks = [store.create(row.name, row.size) for row in rows]
    for sink, octets in zip(sinks, (b"good", b"bad"), strict=True):
        sink.write(octets)
    good = sinks[0].finish(rows[0])
    bad = sinks[1].finish(rows[1])
    settler = Settler(disk, store.index, tmp_path / "commit.lock")
    results = settler.settle([Put(rows[0], good), Put(rows[1], -1)])
    assert results[0] is True
    assert isinstance(results[1], StoreError)
    assert store.page("a", b"", 9) == rows[:1]
    settler.close()
    os.close(good)
    os.close(bad)
    store.close()


def test_the_holders_of_an_object_are_told_with_their_reads(make: Make) -> None:
    store = make()
    rows = [put(store, b"x", account) for account in "cab"]
    put(store, b"y", "a")
    store.count_read("b", rows[0].name, 1, 5)
    found = store.holders(rows[0].name, 9)
    assert [(row.account, row.reads) for row in found] == [("a", 0), ("b", 1), ("c", 0)]
    assert [row.account for row in store.holders(rows[0].name, 2)] == ["a", "b"]


def test_short_objects_that_were_read_are_in_memory_up_to_a_number_of_octets(tmp_path: Path) -> None:
    store = FileStore(tmp_path, lost=print, max_hot=2500)
    rows = [put(store, bytes([number]) * 1000) for number in range(3)]
    for row in rows:
        assert not store.opens_at_once(row)
        store.open(row).close()
    assert [store.opens_at_once(row) for row in rows] == [False, True, True]
    file_of(tmp_path, rows[2].name).write_bytes(b"rotten")
    assert store.open(rows[2]).read(0, 1000) == bytes([2]) * 1000
    long = put(store, bytes(3000))
    store.open(long).close()
    assert not store.opens_at_once(long)
    store.close()


def test_what_has_another_expiry_by_now_is_not_removed_with_what_is_over(tmp_path: Path) -> None:
    store = FileStore(tmp_path, lost=print)
    over, changed, gone = (put(store, bytes([number]), expires=10) for number in range(3))
    store.update("a", changed.name, lambda row: attrs.evolve(row, expires=20))
    store.remove("a", gone.name)
    assert store.remove_many([over, changed, gone]) == [over]
    assert store.page("a", b"", 9) == [attrs.evolve(changed, expires=20)]
    assert not file_of(tmp_path, over.name).exists()
    store.close()


def test_a_file_that_the_disk_complains_about_when_it_is_closed_is_stored_and_read(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """close(2): it is closed nevertheless, and what was synced before is durable."""
    store, close = make(), os.close

    def complain(fd: int) -> None:
        close(fd)
        raise OSError(errno.EIO, "close")

    monkeypatch.setattr(os, "close", complain)
    for octets in (b"short", bytes(2_000_000)):
        assert read(store, put(store, octets)) == octets
    sink = store.create(name_of(b"dropped"), 7)
    sink.write(bytes(1 << 20))
    sink.drop()
    monkeypatch.undo()


def test_a_file_that_was_made_before_there_were_collections_gets_room_for_them(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.executescript(_SCHEMA.replace(", collections TEXT", ""))
        old.execute("INSERT INTO object VALUES ('a', zeroblob(32), '[\"a\"]', 5, 1, NULL, NULL, 0, 0, NULL)")
        old.commit()
    for _ in range(2):
        index = Index(path)
        (row,) = index.page("a", b"", 9)
        assert (row.size, row.collections, row.payer) == (5, (), ("a",))
        index.close()
