"""Power cuts in a model: behind every operation, with every subset of what was not durable, and what recovery makes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from decade_disk import Promise, RecordingDisk, cuts, files_after, is_named_so, promises_after
from hypothesis import given, settings
from hypothesis import strategies as st

from decade.names import name_of
from decade.ports import Row
from decade.recovery import DropRows, RemoveFile, recover
from interop.decade_store.disk import Disk
from interop.decade_store.index import Index
from interop.decade_store.settling import Job, Put, Remove, Settler
from interop.decade_store.store import FileSink

OBJECTS = {"x": b"first object", "y": b"another one", "z": b""}
Command = tuple[str, str, str]


def row_of(account: str, octets: bytes) -> Row:
    return Row(account=account, name=name_of(octets), size=len(octets), payer=(account,), created=1, expires=None)


def run(batches: list[list[Command]], **faults: bool) -> list[Any]:
    """The trace of batches of commands ("put" or "remove", account, object)."""
    with TemporaryDirectory() as folder:
        index = Index(Path(folder) / "index")

        def state() -> Any:
            return tuple(index.page("a", b"", 9) + index.page("b", b"", 9)), {
                path: (stored, objects) for path, stored, objects in index.holdings()
            }

        disk = RecordingDisk(state, **faults)
        settler = Settler(disk, index, Path(folder) / "lock")
        for batch in batches:
            _settle(disk, settler, batch)
        settler.close()
        index.close()
    return disk.trace


def _settle(disk: RecordingDisk, settler: Settler, batch: list[Command]) -> None:
    jobs: list[Job] = []
    port: Disk = disk
    for verb, account, letter in batch:
        row = row_of(account, OBJECTS[letter])
        disk.record(Promise(account, row.name.value.hex(), None))
        if verb == "put":
            sink = FileSink(port, row.name)
            sink.write(OBJECTS[letter])
            jobs.append(Put(row, sink.finish(row)))
        else:
            jobs.append(Remove(account, row.name))
    for (verb, account, letter), result in zip(batch, settler.settle(jobs), strict=True):
        assert not isinstance(result, Exception)
        disk.record(Promise(account, name_of(OBJECTS[letter]).value.hex(), verb == "put"))


def broken(done: list[Any], index: Any) -> str | None:
    """What is wrong after recovery from a cut, None if nothing is."""
    rows, holdings = index
    files = files_after(done)
    dropped = set()
    for action in recover(sorted(row.name.value.hex() for row in rows), sorted(files)):
        match action:
            case DropRows(name):
                dropped.add(name)
            case RemoveFile(name):
                del files[name]
    kept = {(row.account, row.name.value.hex()): row for row in rows if row.name.value.hex() not in dropped}
    if any(not is_named_so(name, octets) for name, octets in files.items()):
        return "a file is not what its name says"
    if {name for _, name in kept} != set(files):
        return "files and rows differ"
    if any((key in kept) != holds for key, holds in promises_after(done).items()):
        return "an answer was not kept"
    stored, objects = Counter[Any](), Counter[Any]()
    for row in rows:
        for path in ((), row.payer):
            stored[path] += row.size
            objects[path] += 1
    if holdings != {path: (stored[path], objects[path]) for path in objects}:
        return "the quotas are not the sum of the rows"
    return None


SHORT: list[list[list[Command]]] = [
    [[("put", "a", "x")], [("remove", "a", "x")], [("put", "a", "x")]],
    [[("put", "a", "x"), ("put", "b", "x")], [("remove", "a", "x")], [("remove", "b", "x")]],
    [[("put", "a", "x"), ("put", "a", "y"), ("put", "a", "z")], [("remove", "a", "y"), ("put", "b", "x")]],
    [[("put", "a", "x")], [("remove", "a", "x"), ("put", "b", "x")], [("put", "a", "z"), ("remove", "b", "x")]],
]


@pytest.mark.parametrize("batches", SHORT)
def test_after_any_power_cut_all_that_was_answered_is_there_and_whole(batches: list[list[Command]]) -> None:
    trace = run(batches)
    found = [broken(done, index) for done, index in cuts(trace, most=12)]
    assert len(found) > len(trace)
    assert not [wrong for wrong in found if wrong]


@pytest.mark.parametrize("fault", ["syncs_files", "syncs_folders"])
def test_the_model_finds_a_store_that_leaves_out_a_sync(fault: str) -> None:
    trace = run(SHORT[0], **{fault: False})
    assert any(broken(done, index) for done, index in cuts(trace, most=12))


COMMANDS = st.tuples(st.sampled_from(["put", "put", "remove"]), st.sampled_from("ab"), st.sampled_from("xyz"))


def _last_of_each(batch: list[Command]) -> list[Command]:
    return list({command[1:]: command for command in batch}.values())


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(COMMANDS, min_size=1, max_size=4).map(_last_of_each), min_size=1, max_size=4))
def test_no_order_of_uploads_and_deletions_loses_anything(batches: list[list[Command]]) -> None:
    for done, index in cuts(run(batches), most=8):
        assert broken(done, index) is None
