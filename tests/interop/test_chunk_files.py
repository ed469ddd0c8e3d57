"""The log of a fetch whose chunks differ in size, which survives a crash, and the file that becomes of it."""

import asyncio
import errno
import os
import random
import struct
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ppsp_chunks import random_records, silent

from interop.chunk_sizes import read_sizes, sizes_path
from interop.chunkfile import ChunkLog, PartialChunks
from interop.cli._copies import finish
from interop.cli._errors import FailureError
from interop.filestore import PartialFileError
from interop.resume import bare_tree, family, root_range
from ppsp import PublishedChunks, SwarmUri, publish_chunks
from ppsp.merkle import MerkleTree, Verdict

_MANY_FILES = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


class _Fetch:
    """A fetch into `folder`, which may be stopped after any chunk and begun anew."""

    def __init__(self, folder: Path, published: PublishedChunks) -> None:
        self.published = published
        self.uri = SwarmUri(published.metadata)
        self.target = folder / "copy"

    def open(self) -> PartialChunks:
        return PartialChunks(self.target, self.uri)

    def receive(self, partial: PartialChunks, tree: MerkleTree, order: list[int], *, flush: bool = True) -> None:
        whole = self.published.tree
        for chunk in order:
            payload = self.published.store.read(chunk)
            hashes = {(a, b): known for a, b, known in whole.peaks()}
            hashes |= {(a, b): known for a, b, known in whole.uncles(chunk, left=-1, right=1 << 62)}
            verdict = tree.verify(chunk, payload, hashes)
            assert verdict is Verdict.VERIFIED
            partial.store.write(chunk, payload)
            partial.verified(chunk, chunk + 1)
        if flush:
            partial.flush(tree)

    def finish(self, order: list[int]) -> None:
        """Go on from what is there, to the end."""
        partial = self.open()
        held = partial.resume(silent)
        self.receive(partial, held.tree, [chunk for chunk in order if chunk not in held.have])
        partial.finish(len(self.published.store.content))
        partial.close()


class _Killed(BaseException):
    """As `kill -9`: nothing that would be done on an exception of the system is done."""


def _kill(*words: object) -> None:
    raise _Killed


def _is_complete(it: _Fetch) -> None:
    assert it.target.read_bytes() == it.published.store.content
    sizes = list(read_sizes(sizes_path(it.target)))
    assert sizes == [it.published.store.size(chunk) for chunk in range(len(sizes))]
    assert sorted(path.name for path in it.target.parent.iterdir()) == ["copy", "copy.chunks"]


@pytest.mark.parametrize("count", [1, 2, 16, 17, 100])
@pytest.mark.parametrize("shuffled", [False, True], ids=["in order", "shuffled"])
def test_a_fetch_ends_with_the_file_and_its_sizes(tmp_path: Path, count: int, shuffled: bool) -> None:
    it = _Fetch(tmp_path, publish_chunks(random_records(count)))
    order = list(range(count))
    if shuffled:
        random.Random(1).shuffle(order)
    it.finish(order)
    _is_complete(it)


@_MANY_FILES
@given(data=st.data())
def test_random_sizes_in_random_order_survive_any_number_of_crashes(tmp_path_factory, data) -> None:
    folder = tmp_path_factory.mktemp("fetch")
    sizes = data.draw(st.lists(st.integers(1, 300), min_size=1, max_size=80))
    it = _Fetch(folder, publish_chunks([os.urandom(size) for size in sizes]))
    order = data.draw(st.permutations(range(len(sizes))))
    for stop in data.draw(st.lists(st.integers(0, len(sizes)), max_size=3)):
        partial = it.open()
        held = partial.resume(silent)
        for start, end in held.have:
            for chunk in range(start, end):
                assert partial.store.read(chunk) == it.published.store.read(chunk)
        assert held.octets == sum(sizes[chunk] for chunk in range(len(sizes)) if chunk in held.have)
        left = [chunk for chunk in order if chunk not in held.have]
        it.receive(partial, held.tree, left[:stop], flush=data.draw(st.booleans()))
        partial.close()
        cut = data.draw(st.sampled_from(["nothing", "log", "index", "journal"]))
        names = {"log": "copy.part", "index": "copy.part.chunks", "journal": "copy.part.hashes"}
        if cut in names and (path := folder / names[cut]).stat().st_size > 300:
            os.truncate(path, path.stat().st_size - data.draw(st.integers(1, 40)))
    it.finish(list(order))
    _is_complete(it)


def test_what_was_flushed_is_resumed_block_by_block(tmp_path: Path) -> None:
    it = _Fetch(tmp_path, publish_chunks(random_records(100)))
    partial = it.open()
    it.receive(partial, bare_tree(it.published.metadata), [*range(40, 70), *range(20)])
    partial.close()
    again = it.open()
    held = again.resume(silent)
    assert list(held.have) == [(0, 16), (48, 64)]
    assert held.content_size is None
    assert held.tree.is_size_certain  # as the metadata tell the number of chunks
    assert held.octets == sum(len(it.published.store.read(chunk)) for chunk in range(100) if chunk in held.have)
    again.close()


@pytest.mark.parametrize("count", [1, 7, 40, 64, 100])
def test_chunks_that_came_with_their_uncles_up_to_the_root_are_resumed_without_any_peak(
    tmp_path: Path, count: int
) -> None:
    """Where the metadata tell the number of chunks no peer needs to send a peak; it may do so later."""
    it = _Fetch(tmp_path, publish_chunks(random_records(count)))
    partial, tree = it.open(), bare_tree(it.published.metadata)
    middle = min(count, 32)
    for order in (range(min(middle, 16)), range(16, middle)):
        for chunk in order:
            payload, hashes, node = it.published.store.read(chunk), {}, (chunk, chunk)
            while node != root_range(count):
                sibling, node = family(node)
                if sibling[0] < count:
                    hashes[sibling] = it.published.tree.node(*sibling)
            assert tree.verify(chunk, payload, hashes) is Verdict.VERIFIED
            partial.store.write(chunk, payload)
            partial.verified(chunk, chunk + 1)
        partial.flush(tree)
    partial.close()
    again = it.open()
    held = again.resume(silent)
    assert held.have.total == middle
    assert held.refused == 0
    it.receive(again, held.tree, list(range(middle, count - 1)))
    again.close()
    it.finish(list(range(count)))
    _is_complete(it)


def test_a_wrong_octet_in_the_log_costs_its_block(tmp_path: Path) -> None:
    it = _Fetch(tmp_path, publish_chunks(random_records(64)))
    partial = it.open()
    it.receive(partial, bare_tree(it.published.metadata), list(range(64)))
    partial.close()
    with open(tmp_path / "copy.part", "r+b") as log:
        log.seek(5)
        log.write(b"\xff\xfe")
    again = it.open()
    held = again.resume(silent)
    again.close()
    assert list(held.have) == [(16, 64)]
    assert held.refused == 16
    it.finish(list(range(64)))
    _is_complete(it)


@pytest.mark.parametrize("junk", [b"\xff" * 800, bytes(800), b"\0\0\0\5\0\0\0\1" * 100], ids=["ones", "zeros", "lies"])
def test_an_index_that_lies_costs_what_it_should_have_told(tmp_path: Path, junk: bytes) -> None:
    """Nothing on the disk is believed."""
    it = _Fetch(tmp_path, publish_chunks(random_records(64)))
    partial = it.open()
    it.receive(partial, bare_tree(it.published.metadata), list(range(64)))
    partial.close()
    (tmp_path / "copy.part.chunks").write_bytes(junk)
    again = it.open()
    held = again.resume(silent)
    assert held.have.total == 0
    assert held.tree.chunk_count == 64  # as the metadata tell
    again.close()
    it.finish(list(range(63, -1, -1)))
    _is_complete(it)


def test_the_index_has_a_record_for_each_chunk_in_the_order_of_the_log(tmp_path: Path) -> None:
    it = _Fetch(tmp_path, publish_chunks([b"a" * (at + 1) for at in range(40)]))
    partial, tree = it.open(), bare_tree(it.published.metadata)
    for order in ([7, 3], [], [39], [0, 1]):
        it.receive(partial, tree, order)
    partial.close()
    index = (tmp_path / "copy.part.chunks").read_bytes()
    assert index == b"".join(struct.pack(">II", at, at + 1) for at in (7, 3, 39, 0, 1)).ljust(40 * 8, b"\0")
    assert len((tmp_path / "copy.part").read_bytes()) == 8 + 4 + 40 + 1 + 2


def test_what_stands_behind_the_end_of_an_index_is_never_read_again(tmp_path: Path) -> None:
    """A kill leaves a log with more chunks than the index tells, and a broken disk anything in the index."""
    it = _Fetch(tmp_path, publish_chunks(random_records(64)))
    partial, tree = it.open(), bare_tree(it.published.metadata)
    it.receive(partial, tree, list(range(32)))
    it.receive(partial, tree, list(range(32, 60)), flush=False)
    partial.close()
    index = tmp_path / "copy.part.chunks"
    junk = b"".join(struct.pack(">II", at, 1) for at in range(16))
    index.write_bytes(index.read_bytes()[: 32 * 8] + bytes(8) + junk)
    again = it.open()
    it.receive(again, again.resume(silent).tree, [63])
    again.close()
    again = it.open()
    held = again.resume(silent)
    assert (list(held.have), held.refused) == ([(0, 32)], 0)
    again.close()


def test_chunks_that_an_index_puts_beyond_the_end_of_the_log_leave_no_hole(tmp_path: Path) -> None:
    fd, index = (os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in ("log", "index"))
    os.write(fd, b"abcde12")
    os.write(index, struct.pack(">IIII", 0, 5, 1, 5))
    log = ChunkLog(fd, index)
    with pytest.raises(OSError, match="there is no chunk 1"):
        log.read(1)
    log.write(1, b"fg")
    assert (tmp_path / "log").read_bytes() == b"abcdefg"
    os.close(fd)
    os.close(index)


def test_a_kill_between_log_and_journal_makes_nothing_look_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = _Fetch(tmp_path, publish_chunks(random_records(64)))
    partial = it.open()
    with monkeypatch.context() as patch:
        patch.setattr(ChunkLog, "flush", _kill)
        with pytest.raises(_Killed):
            it.receive(partial, bare_tree(it.published.metadata), list(range(32)))
    partial.close()
    again = it.open()
    held = again.resume(silent)
    assert (held.have.total, held.refused) == (0, 0)
    again.close()


def test_content_larger_than_what_is_copied_at_once_is_put_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interop.chunkfile._STRIDE", 1000)
    it = _Fetch(tmp_path, publish_chunks(random_records(40)))
    it.finish(list(range(39, -1, -1)))
    _is_complete(it)


def test_a_fetch_that_got_something_keeps_it(tmp_path: Path) -> None:
    it = _Fetch(tmp_path, publish_chunks(random_records(40)))
    partial = it.open()
    it.receive(partial, bare_tree(it.published.metadata), list(range(16)))
    partial.discard_if_empty()
    partial.close()
    again = it.open()
    assert list(again.resume(silent).have) == [(0, 16)]
    again.close()


def test_the_log_goes_on_serving_when_the_file_has_its_name(tmp_path: Path) -> None:
    it = _Fetch(tmp_path, publish_chunks(random_records(40)))
    for order in (list(range(40)), list(range(39, -1, -1))):
        partial = it.open()
        it.receive(partial, bare_tree(it.published.metadata), order)
        partial.finish(len(it.published.store.content))
        assert [partial.store.read(chunk) for chunk in range(40)] == random_records(40)
        partial.close()
        _is_complete(it)
        it.target.unlink()


@pytest.mark.parametrize("shuffled", [False, True], ids=["in order", "shuffled"])
def test_a_kill_at_any_step_of_the_end_leaves_the_whole_file_or_what_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shuffled: bool
) -> None:
    steps = ("fsync", "replace", "ftruncate", "unlink", "pwrite", "rename", "open")
    real = {name: getattr(os, name) for name in steps}
    order = list(range(40))
    if shuffled:
        random.Random(1).shuffle(order)
    whole = 0
    for last in range(100):
        folder = tmp_path / str(last)
        folder.mkdir()
        it = _Fetch(folder, publish_chunks(random_records(40)))
        partial = it.open()
        it.receive(partial, bare_tree(it.published.metadata), order)
        left = iter(range(last))

        def step(name: str):
            def call(*words, **more):
                if next(left, None) is None:  # noqa: B023
                    raise _Killed
                return real[name](*words, **more)

            return call

        with monkeypatch.context() as patch:
            for name in steps:
                patch.setattr(os, name, step(name))
            try:
                partial.finish(len(it.published.store.content))
            except _Killed:
                pass
            else:
                break
        partial.close()
        if it.target.exists():
            whole += 1
            assert it.target.read_bytes() == it.published.store.content
            assert sum(read_sizes(sizes_path(it.target))) == len(it.published.store.content)
        else:
            again = it.open()
            assert again.resume(silent).have.total == 40
            again.close()
            it.finish(order)
            _is_complete(it)
    partial.close()
    _is_complete(it)
    assert 0 < whole < last


def test_a_full_disk_at_the_end_leaves_what_was_fetched_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = _Fetch(tmp_path, publish_chunks(random_records(40)))
    partial = it.open()
    it.receive(partial, bare_tree(it.published.metadata), list(range(39, -1, -1)))

    def full(log: ChunkLog, fd: int, chunk_count: int) -> None:
        os.write(fd, b"x" * 1000)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(ChunkLog, "copy_to", full)
        with pytest.raises(FailureError, match="copy: No space left on device: everything is fetched"):
            asyncio.run(finish(partial, len(it.published.store.content)))
    assert not (tmp_path / "copy.part.whole").exists()
    assert not it.target.exists()
    assert partial.unfinished
    partial.close()
    it.finish([])
    _is_complete(it)


def test_who_stops_while_the_file_is_put_in_order_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the files would be closed that are being written."""
    it = _Fetch(tmp_path, publish_chunks(random_records(40)))
    partial = it.open()
    it.receive(partial, bare_tree(it.published.metadata), list(range(39, -1, -1)))
    begun, go_on = threading.Event(), threading.Event()
    copy = ChunkLog.copy_to

    def slow(log: ChunkLog, fd: int, chunk_count: int) -> None:
        begun.set()
        go_on.wait(60)
        copy(log, fd, chunk_count)

    monkeypatch.setattr(ChunkLog, "copy_to", slow)

    async def main() -> None:
        work = asyncio.ensure_future(finish(partial, len(it.published.store.content)))
        await asyncio.to_thread(begun.wait, 60)
        work.cancel()
        done, _ = await asyncio.wait({work}, timeout=0.05)
        go_on.set()
        assert not done
        with pytest.raises(asyncio.CancelledError):
            await work

    asyncio.run(main())
    partial.close()
    _is_complete(it)


def test_what_a_crash_left_half_way_in_order_goes_with_the_next_start(tmp_path: Path) -> None:
    it = _Fetch(tmp_path, publish_chunks(random_records(40)))
    (tmp_path / "copy.part.whole").write_bytes(b"half")
    it.open().close()
    assert not (tmp_path / "copy.part.whole").exists()


def test_a_file_of_the_users_at_the_place_of_the_list_is_left_alone(tmp_path: Path) -> None:
    it = _Fetch(tmp_path, publish_chunks(random_records(40)))
    (tmp_path / "copy.chunks").write_text("my notes")
    with pytest.raises(
        PartialFileError, match=r"copy\.chunks, where the sizes of the chunks are to be listed, is another"
    ):
        it.open()
    assert [path.name for path in tmp_path.iterdir()] == ["copy.chunks"]
    assert (tmp_path / "copy.chunks").read_text() == "my notes"
    (tmp_path / "copy.chunks").write_text("17\n")
    it.finish(list(range(40)))
    _is_complete(it)


def test_a_fetch_that_got_nothing_leaves_nothing(tmp_path: Path) -> None:
    partial = _Fetch(tmp_path, publish_chunks(random_records(40))).open()
    partial.discard_if_empty()
    partial.close()
    assert list(tmp_path.iterdir()) == []


def test_a_part_file_of_another_swarm_is_not_touched(tmp_path: Path) -> None:
    it = _Fetch(tmp_path, publish_chunks(random_records(40)))
    partial = it.open()
    it.receive(partial, bare_tree(it.published.metadata), list(range(20)))
    partial.close()
    with pytest.raises(PartialFileError, match="belongs to another swarm"):
        _Fetch(tmp_path, publish_chunks(random_records(40, seed=2))).open()
    held = it.open()
    assert held.resume(silent).have.total == 16
    held.close()


def test_what_was_not_written_cannot_be_read(tmp_path: Path) -> None:
    fd, index = (os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in ("log", "index"))
    log = ChunkLog(fd, index)
    log.write(3, b"three")
    assert (log.read(3), log.size(3)) == (b"three", 5)
    with pytest.raises(OSError, match="there is no chunk 2"):
        log.read(2)
    os.ftruncate(fd, 2)
    with pytest.raises(OSError, match="the log has 2 of the 5 octets of chunk 3"):
        log.read(3)
    os.close(fd)
    os.close(index)
