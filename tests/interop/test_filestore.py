"""interop.filestore: files as chunk stores, and the part file of a fetch."""

import errno
import fcntl
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.filestore import FileStore, PartialFile, PartialFileError
from ppsp.constants import MerkleHashFunction
from ppsp.merkle import MerkleTree, hash_chunks
from ppsp.metadata import SwarmMetadata, SwarmUri
from ppsp.ports import ChunkStore

_CONTENT = os.urandom(100 * 1024 + 77)
_LEAVES = hash_chunks(_CONTENT, 1024, MerkleHashFunction.SHA256)
_TREE = MerkleTree.from_leaves(_LEAVES, MerkleHashFunction.SHA256)
_URI = SwarmUri(SwarmMetadata(_TREE.root), ("http://127.0.0.1:1/",), "content")
_OTHER = SwarmUri(SwarmMetadata(bytes(32)))


def _silent(done: int, total: int) -> None:
    pass


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "content"


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "store", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def test_a_file_store_fits_the_port_and_keeps_what_it_is_given(fd: int) -> None:
    store: ChunkStore = FileStore(fd)
    store.write(2048, memoryview(b"later"))
    store.write(0, b"first")
    assert store.read(0, 5) == b"first"
    assert store.read(2048, 5) == b"later"


def test_reading_beyond_the_end_of_the_file_is_an_os_error(fd: int) -> None:
    store = FileStore(fd)
    store.write(0, b"abc")
    with pytest.raises(OSError, match="3 of the 4 octets"):
        store.read(0, 4)


def test_a_write_that_does_not_fit_whole_is_an_os_error(fd: int) -> None:
    """The kernel writes what fits and tells so; the next call says why."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError) as caught:
            FileStore(fd).write(500, bytes(1024))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG


def test_a_finished_part_file_gets_its_name_and_loses_its_journal(target: Path) -> None:
    partial = PartialFile(target, _URI)
    partial.store.write(0, _CONTENT + b"left over from somewhere")
    partial.verified(0, 101)
    partial.flush(_TREE)
    partial.finish(len(_CONTENT))
    assert target.read_bytes() == _CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["content"]
    assert partial.store.read(0, 9) == _CONTENT[:9]  # it is served from where it was fetched to
    partial.close()


def test_what_was_verified_is_resumed_by_the_next_run(target: Path) -> None:
    partial = PartialFile(target, _URI)
    partial.store.write(0, _CONTENT[: 48 * 1024])
    partial.verified(0, 48)
    partial.flush(_TREE)
    partial.close()
    again = PartialFile(target, _URI)
    held = again.resume(_silent)
    assert list(held.have) == [(0, 48)]
    assert held.refused == 0
    assert held.tree.chunk_count == 101
    again.close()


def test_two_processes_do_not_fetch_into_one_file(target: Path) -> None:
    partial = PartialFile(target, _URI)
    with pytest.raises(PartialFileError, match="written by another process"):
        PartialFile(target, _URI)
    partial.close()


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "given up"])
def test_a_part_file_that_ends_while_another_run_opens_it_is_not_touched_by_it(
    target: Path, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    """Between opening and locking: what was opened may be the complete file by then, or have no name any more."""
    first = PartialFile(target, _URI)
    if finished:
        first.store.write(0, _CONTENT)
    lock = fcntl.flock

    def lock_late(fd: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        if finished:
            first.finish(len(_CONTENT))
        first.discard_if_empty()
        first.close()
        lock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    second = PartialFile(target, _URI, overwrite=True)
    second.store.write(0, b"new")
    assert second.part.read_bytes() == b"new"
    assert target.exists() == finished
    if finished:
        assert target.read_bytes() == _CONTENT
    second.close()


def test_the_part_file_of_another_swarm_is_left_alone(target: Path) -> None:
    partial = PartialFile(target, _OTHER)
    partial.store.write(0, b"precious")
    partial.close()
    with pytest.raises(PartialFileError, match="belongs to another swarm"):
        PartialFile(target, _URI)
    assert partial.part.read_bytes() == b"precious"
    PartialFile(target, _URI, overwrite=True).close()
    assert partial.part.read_bytes() == b""


def test_a_part_file_without_a_journal_is_left_alone(target: Path) -> None:
    part = target.with_name("content.part")
    part.write_bytes(b"somebody's own")
    with pytest.raises(PartialFileError, match=r"no journal content\.part\.hashes"):
        PartialFile(target, _URI)
    assert part.read_bytes() == b"somebody's own"


def test_a_part_file_with_a_damaged_journal_is_left_alone(target: Path) -> None:
    partial = PartialFile(target, _URI)
    partial.store.write(0, b"data")
    partial.close()
    target.with_name("content.part.hashes").write_bytes(b"torn")
    with pytest.raises(PartialFileError, match="not a journal"):
        PartialFile(target, _URI)


def test_an_empty_part_file_is_no_obstacle(target: Path) -> None:
    target.with_name("content.part").touch()
    target.with_name("content.part.hashes").write_bytes(b"ppspp-res")
    partial = PartialFile(target, _URI)
    assert not partial.resume(_silent).have
    partial.close()


def test_a_fetch_that_got_nothing_leaves_nothing_behind(target: Path) -> None:
    partial = PartialFile(target, _URI)
    partial.discard_if_empty()
    partial.close()
    assert not list(target.parent.iterdir())
    partial = PartialFile(target, _URI)
    partial.store.write(0, b"data")
    partial.discard_if_empty()
    partial.close()
    assert len(list(target.parent.iterdir())) == 2


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        PartialFile(tmp_path / "nowhere" / "content", _URI)
