"""Where chunks of variable size end: lists of sizes, whole files cut by them, and what a live source cuts."""

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ppsp_chunks import random_records, silent

from interop.chunk_sizes import SizedFile, line_sizes, may_replace, read_sizes, sizes_path, write_sizes
from interop.live_units import FixedCut, LineCut, ReadCut
from interop.seeding import SeedError, hash_sized
from ppsp import publish_chunks
from ppsp.constants import MerkleHashFunction
from ppsp.ports import VariableStore

_SHA256 = MerkleHashFunction.SHA256
_MANY_FILES = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


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


def test_a_file_that_becomes_shorter_while_its_lines_are_looked_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nobody looks for ever for the rest of the line that it breaks off in."""
    fd = _open(tmp_path / "x", b"x" * 1000)
    read = os.pread

    def cutting(fd: int, length: int, offset: int) -> bytes:
        os.ftruncate(fd, offset + 50)
        return read(fd, length, offset)

    monkeypatch.setattr("interop.chunk_sizes.os.pread", cutting)
    with pytest.raises(SeedError, match="the file became shorter while it was read"):
        line_sizes(fd, 100)
    os.close(fd)


def test_a_list_of_sizes_reads_back(tmp_path: Path) -> None:
    sizes = [1, 60_000, 17, 512]
    write_sizes(tmp_path / "x.chunks", sizes)
    assert (tmp_path / "x.chunks").read_text() == "1\n60000\n17\n512\n"
    assert list(read_sizes(tmp_path / "x.chunks")) == sizes
    assert sizes_path(tmp_path / "x") == tmp_path / "x.chunks"


def test_a_list_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.chunks" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r"x\.chunks"):
        write_sizes(tmp_path / "x.chunks", [1])
    assert [path.name for path in tmp_path.iterdir()] == ["x.chunks"]


@pytest.mark.parametrize(
    ("there", "answer"),
    [(None, True), (b"", True), (b"17\n4\n", True), (b"# notes\n17\n", False), (b"\n", False), (b"9" * 90, True)],
    ids=["nothing", "empty", "a list", "notes", "an empty line", "digits"],
)
def test_only_what_looks_like_a_list_gives_way_to_one(tmp_path: Path, there: bytes | None, answer: bool) -> None:
    if there is not None:
        (tmp_path / "x.chunks").write_bytes(there)
    assert may_replace(tmp_path / "x.chunks") is answer


@pytest.mark.parametrize("text", ["0\n", "60001\n", "5\n-1\n", "five\n", "5\n\n5\n", "9" * 10_000, "1 2\n"])
def test_a_list_that_is_none_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(SeedError, match=r"^x: line \d is not a number of octets from 1 to 60000$"):
        read_sizes(tmp_path / "x")


def test_a_file_and_its_sizes_are_the_swarm_of_the_same_chunks(tmp_path: Path) -> None:
    chunks = random_records(3000)
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
        hash_sized(fd, sizes, _SHA256, silent)
    os.close(fd)


@pytest.mark.parametrize("sizes", [[], [5]])
def test_an_empty_file_is_refused_as_one(tmp_path: Path, sizes: list[int]) -> None:
    fd = _open(tmp_path / "x")
    with pytest.raises(SeedError, match="the file is empty"):
        hash_sized(fd, sizes, _SHA256, silent)
    os.close(fd)


def test_more_chunks_than_a_tree_takes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interop.seeding.MAX_CHUNKS", 3)
    fd = _open(tmp_path / "x", b"0123")
    assert hash_sized(fd, [1, 1, 2], _SHA256, silent).chunk_count == 3
    with pytest.raises(SeedError, match="4 chunks are more than 3; take larger chunks"):
        hash_sized(fd, [1, 1, 1, 1], _SHA256, silent)
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
