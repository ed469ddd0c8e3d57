"""Chunks of variable size in files: lists of sizes, whole files, and the log of a fetch that survives a crash."""

import itertools
import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interop.chunk_sizes import SizedFile, line_sizes, read_sizes, sizes_path, write_sizes
from interop.chunkfile import ChunkLog, PartialChunks
from interop.filestore import PartialFileError
from interop.live_units import FixedCut, LineCut, ReadCut
from interop.seeding import SeedError, hash_sized
from ppsp import PublishedChunks, SwarmUri, publish_chunks
from ppsp.constants import MerkleHashFunction
from ppsp.merkle import MerkleTree, Verdict
from ppsp.metadata import SwarmMetadata
from ppsp.ports import VariableStore

_SHA256 = MerkleHashFunction.SHA256
_MANY_FILES = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _silent(done: int, total: int) -> None:
    pass


def _records(count: int, seed: int = 1) -> list[bytes]:
    chance = random.Random(seed)
    return [chance.randbytes(chance.randint(1, 900)) for _ in range(count)]


def _open(path: Path, content: bytes = b"") -> int:
    path.write_bytes(content)
    return os.open(path, os.O_RDWR)


# Sizes


@_MANY_FILES
@given(
    st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"\n", b"line\n", b"x" * 70])), max_size=60),
    st.integers(4, 64),
)
def test_lines_are_gathered_and_only_a_longer_one_is_cut(tmp_path: Path, parts: list[bytes], longest: int) -> None:
    content = b"".join(parts)
    fd = _open(tmp_path / "x", content)
    sizes = list(line_sizes(fd, longest))
    os.close(fd)
    assert sum(sizes) == len(content)
    assert all(1 <= size <= longest for size in sizes)
    at = 0
    for size, following in itertools.zip_longest(sizes, sizes[1:], fillvalue=0):
        end = at + size
        if end < len(content) and content[end - 1 : end] != b"\n":
            assert size == longest  # a line that is longer, or the rest of one
            assert b"\n" not in content[at:end]
        if following and content[end - 1 : end] == b"\n":
            line = content[end : content.find(b"\n", end) + 1] if b"\n" in content[end:] else content[end:]
            assert size + len(line) > longest  # one line more would not have fitted
        at = end


def test_lines_are_found_across_the_strides_in_which_a_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"".join(b"%d\n" % number for number in range(5000))
    fd = _open(tmp_path / "x", content)
    whole = list(line_sizes(fd, 100))
    monkeypatch.setattr("interop.chunk_sizes._STRIDE", 137)
    assert list(line_sizes(fd, 100)) == whole
    os.close(fd)


def test_a_list_of_sizes_reads_back(tmp_path: Path) -> None:
    sizes = [1, 60_000, 17, 512]
    write_sizes(tmp_path / "x.chunks", sizes)
    assert (tmp_path / "x.chunks").read_text() == "1\n60000\n17\n512\n"
    assert list(read_sizes(tmp_path / "x.chunks")) == sizes
    assert sizes_path(tmp_path / "x") == tmp_path / "x.chunks"


@pytest.mark.parametrize("text", ["0\n", "60001\n", "5\n-1\n", "five\n", "5\n\n5\n", "9" * 10_000, "1 2\n"])
def test_a_list_that_is_none_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(SeedError, match=r"^x: line \d is not a number of octets from 1 to 60000$"):
        read_sizes(tmp_path / "x")


def test_a_file_and_its_sizes_are_the_swarm_of_the_same_chunks(tmp_path: Path) -> None:
    chunks = _records(3000)
    fd = _open(tmp_path / "x", b"".join(chunks))
    sizes = [len(chunk) for chunk in chunks]
    seen: list[tuple[int, int]] = []
    tree = hash_sized(fd, sizes, _SHA256, lambda done, total: seen.append((done, total)))
    assert tree.root == publish_chunks(chunks).metadata.swarm_id
    assert seen[-1] == (sum(sizes), sum(sizes))
    assert len(seen) == 3
    store: VariableStore = SizedFile(fd, sizes)
    assert [bytes(store.read(chunk)) for chunk in range(3000)] == chunks
    assert [store.size(chunk) for chunk in range(3000)] == sizes
    with pytest.raises(OSError, match="there already"):
        store.write(0, b"x")
    os.ftruncate(fd, 100)
    with pytest.raises(OSError, match="the file has 0 of the"):
        store.read(2999)
    os.close(fd)


@pytest.mark.parametrize("sizes", [[5, 4], [5, 6], []])
def test_sizes_that_are_not_those_of_the_file_are_refused(tmp_path: Path, sizes: list[int]) -> None:
    fd = _open(tmp_path / "x", b"0123456789")
    with pytest.raises(SeedError, match=f"the chunks have {sum(sizes)} octets together, the file has 10"):
        hash_sized(fd, sizes, _SHA256, _silent)
    os.close(fd)


# What a live source gives


def test_a_read_is_a_chunk_and_what_is_too_long_is_several() -> None:
    cut = ReadCut(5)
    assert cut.take(b"abc") == [b"abc"]
    assert cut.take(b"abcdefghijkl") == [b"abcde", b"fghij", b"kl"]
    assert (cut.rest(), cut.count([b"a", b"b"]), cut.is_variable) == ([], 2, True)


@given(st.lists(st.one_of(st.binary(max_size=20), st.sampled_from([b"\n", b"ab\ncd", b"x" * 40]))), st.integers(1, 30))
def test_lines_that_come_in_pieces_are_chunks_of_whole_lines(pieces: list[bytes], longest: int) -> None:
    cut = LineCut(longest)
    parts = [part for piece in pieces for part in cut.take(piece)]
    last = cut.rest()
    assert b"".join(parts + last) == b"".join(pieces)
    assert all(1 <= len(part) <= longest for part in parts + last)
    for part in parts:
        assert part.endswith(b"\n") or len(part) == longest
    assert cut.rest() == []


def test_a_fixed_size_is_cut_by_the_endpoint() -> None:
    cut = FixedCut(10)
    assert (cut.take(b"abc" * 10), cut.rest(), cut.is_variable) == ([b"abc" * 10], [], False)
    assert cut.count([b"x" * 25]) == 3


# The log of a fetch


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
        held = partial.resume(_silent)
        self.receive(partial, held.tree, [chunk for chunk in order if chunk not in held.have])
        partial.finish(len(self.published.store.content))
        partial.close()


def _tree(metadata: SwarmMetadata) -> MerkleTree:
    tree = MerkleTree(metadata.swarm_id, metadata.merkle_hash_function)
    assert metadata.chunk_count is not None
    tree.set_chunk_count(metadata.chunk_count)
    return tree


def _is_complete(it: _Fetch) -> None:
    assert it.target.read_bytes() == it.published.store.content
    sizes = list(read_sizes(sizes_path(it.target)))
    assert sizes == [it.published.store.size(chunk) for chunk in range(len(sizes))]
    assert sorted(path.name for path in it.target.parent.iterdir()) == ["copy", "copy.chunks"]


@pytest.mark.parametrize("count", [1, 2, 16, 17, 100])
@pytest.mark.parametrize("shuffled", [False, True], ids=["in order", "shuffled"])
def test_a_fetch_ends_with_the_file_and_its_sizes(tmp_path: Path, count: int, shuffled: bool) -> None:
    it = _Fetch(tmp_path, publish_chunks(_records(count)))
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
        held = partial.resume(_silent)
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
    it = _Fetch(tmp_path, publish_chunks(_records(100)))
    partial = it.open()
    it.receive(partial, _tree(it.published.metadata), [*range(40, 70), *range(20)])
    partial.close()
    again = it.open()
    held = again.resume(_silent)
    assert list(held.have) == [(0, 16), (48, 64)]
    assert held.content_size is None
    assert held.tree.is_size_certain  # as the metadata tell the number of chunks
    assert held.octets == sum(len(it.published.store.read(chunk)) for chunk in range(100) if chunk in held.have)
    again.close()


def test_a_wrong_octet_in_the_log_costs_its_block(tmp_path: Path) -> None:
    it = _Fetch(tmp_path, publish_chunks(_records(64)))
    partial = it.open()
    it.receive(partial, _tree(it.published.metadata), list(range(64)))
    partial.close()
    with open(tmp_path / "copy.part", "r+b") as log:
        log.seek(5)
        log.write(b"\xff\xfe")
    again = it.open()
    held = again.resume(_silent)
    again.close()
    assert list(held.have) == [(16, 64)]
    assert held.refused == 16
    it.finish(list(range(64)))
    _is_complete(it)


@pytest.mark.parametrize("junk", [b"\xff" * 800, bytes(800), b"\0\0\0\5\0\0\0\1" * 100], ids=["ones", "zeros", "lies"])
def test_an_index_that_lies_costs_what_it_should_have_told(tmp_path: Path, junk: bytes) -> None:
    """Nothing on the disk is believed."""
    it = _Fetch(tmp_path, publish_chunks(_records(64)))
    partial = it.open()
    it.receive(partial, _tree(it.published.metadata), list(range(64)))
    partial.close()
    (tmp_path / "copy.part.chunks").write_bytes(junk)
    again = it.open()
    assert again.resume(_silent).have.total == 0
    again.close()
    it.finish(list(range(63, -1, -1)))
    _is_complete(it)


def test_the_log_goes_on_serving_when_the_file_has_its_name(tmp_path: Path) -> None:
    it = _Fetch(tmp_path, publish_chunks(_records(40)))
    for order in (list(range(40)), list(range(39, -1, -1))):
        partial = it.open()
        it.receive(partial, _tree(it.published.metadata), order)
        partial.finish(len(it.published.store.content))
        assert [partial.store.read(chunk) for chunk in range(40)] == _records(40)
        partial.close()
        _is_complete(it)
        it.target.unlink()


def test_a_fetch_that_got_nothing_leaves_nothing(tmp_path: Path) -> None:
    partial = _Fetch(tmp_path, publish_chunks(_records(40))).open()
    partial.discard_if_empty()
    partial.close()
    assert list(tmp_path.iterdir()) == []


def test_a_part_file_of_another_swarm_is_not_touched(tmp_path: Path) -> None:
    it = _Fetch(tmp_path, publish_chunks(_records(40)))
    partial = it.open()
    it.receive(partial, _tree(it.published.metadata), list(range(20)))
    partial.close()
    with pytest.raises(PartialFileError, match="belongs to another swarm"):
        _Fetch(tmp_path, publish_chunks(_records(40, seed=2))).open()
    held = it.open()
    assert held.resume(_silent).have.total == 16
    held.close()


def test_what_was_not_written_cannot_be_read(tmp_path: Path) -> None:
    fd, index = _open(tmp_path / "log"), _open(tmp_path / "index")
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
