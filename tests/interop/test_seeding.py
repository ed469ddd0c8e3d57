"""interop.seeding: from a file to the Merkle tree that names its swarm."""

import asyncio
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.seeding import SeedError, hash_file, in_thread
from ppsp.constants import MerkleHashFunction

_DATA = Path(__file__).parents[1] / "data" / "ppsp_vectors.json"
_SHA256 = MerkleHashFunction.SHA256
_PATTERN = bytes(range(251))


def _silent(done: int, total: int) -> None:
    pass


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "content", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("function", ["sha1", "sha256"])
def test_the_root_hashes_of_foreign_implementations_are_found(fd: int, function: str) -> None:
    """RFC 7574 section 5.1; the values were computed by independent implementations."""
    for vector in json.loads(_DATA.read_text())["roots"]:
        if vector["content"] != "pattern":
            continue
        size = vector["size"]
        os.ftruncate(fd, 0)
        os.pwrite(fd, (_PATTERN * (size // 251 + 1))[:size], 0)
        tree = hash_file(fd, vector["chunk"], MerkleHashFunction[function.upper()], _silent)
        assert tree.root.hex() == vector[function], vector


def test_progress_ends_at_the_size_of_the_file(fd: int) -> None:
    os.ftruncate(fd, 9_000_001)
    seen: list[tuple[int, int]] = []
    tree = hash_file(fd, 1024, _SHA256, lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (9_000_001, 9_000_001)
    assert len(seen) == 3
    assert tree.chunk_count == 8790


def test_the_tree_does_not_depend_on_strides(fd: int) -> None:
    """A chunk size that does not divide the stride gives the same leaves as chunks hashed one by one."""
    content = os.urandom(5_000_000)
    os.pwrite(fd, content, 0)
    tree = hash_file(fd, 999, _SHA256, _silent)
    assert tree.node(4999, 4999) == hashlib.sha256(content[4999 * 999 : 5000 * 999]).digest()
    assert tree.chunk_count == 5006


def test_a_file_of_no_octets_is_refused_in_one_sentence(fd: int) -> None:
    with pytest.raises(SeedError, match=r"^the file is empty, and RFC 7574 has no swarm for content of no octets$"):
        hash_file(fd, 1024, _SHA256, _silent)


def test_a_file_of_too_many_chunks_is_refused_before_it_is_read(fd: int) -> None:
    os.ftruncate(fd, 2**26 * 16 + 1)  # sparse
    with pytest.raises(SeedError, match="take larger chunks"):
        hash_file(fd, 16, _SHA256, _silent)


def test_what_is_not_a_regular_file_is_refused() -> None:
    reader, writer = os.pipe()
    with pytest.raises(SeedError, match="regular file"):
        hash_file(reader, 1024, _SHA256, _silent)
    os.close(reader)
    os.close(writer)


def test_a_file_that_changes_while_it_is_read_is_refused(fd: int) -> None:
    os.ftruncate(fd, 8_000_000)
    with pytest.raises(SeedError, match="shorter"):
        hash_file(fd, 1024, _SHA256, lambda done, total: os.ftruncate(fd, 4_500_000))
    with pytest.raises(SeedError, match="changed"):
        hash_file(fd, 1024, _SHA256, lambda done, total: os.ftruncate(fd, 9_000_000))


def test_cancelled_work_in_a_thread_ends_at_its_next_report() -> None:
    started, ended = threading.Event(), threading.Event()

    def work(progress: object) -> None:
        assert callable(progress)
        started.set()
        try:
            while True:
                progress(1, 2)
        finally:
            ended.set()

    async def main() -> None:
        task = asyncio.create_task(in_thread(work, _silent))
        await asyncio.to_thread(started.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended.wait(60)


def test_work_in_a_thread_gives_its_result_and_its_progress() -> None:
    seen = []

    def work(progress: object) -> str:
        assert callable(progress)
        progress(3, 4)
        return "done"

    assert asyncio.run(in_thread(work, lambda done, total: seen.append((done, total)))) == "done"
    assert seen == [(3, 4)]
