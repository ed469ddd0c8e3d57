"""interop.resume: the journal of a half-fetched file, in which nothing is believed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interop.resume import BLOCK_CHUNKS, FixedOctets, HeldContent, Journal, JournalError, blocks, peak_ranges, restore
from ppsp.constants import MerkleHashFunction
from ppsp.merkle import MerkleTree, Verdict, hash_chunks
from ppsp.metadata import SwarmMetadata, SwarmUri

_SHA256 = MerkleHashFunction.SHA256


def _silent(done: int, total: int) -> None:
    pass


class _Fetch:
    """A content of `size` octets, and its part file and journal as a fetch would have left them."""

    def __init__(self, folder: Path, size: int, function: MerkleHashFunction = _SHA256, chunk_size: int = 1024) -> None:
        self.content = os.urandom(size)
        self.whole = MerkleTree.from_leaves(hash_chunks(self.content, chunk_size, function), function)
        self.uri = SwarmUri(SwarmMetadata(self.whole.root, chunk_size=chunk_size, merkle_hash_function=function))
        self.part, self.path = folder / "x.part", folder / "x.part.hashes"
        self.part.write_bytes(b"")
        self.chunk_size = chunk_size

    def run(self, *ranges: tuple[int, int]) -> None:
        """Fetch these half-open ranges of chunks, with a flush behind each, and stop without a farewell."""
        journal = Journal.open(self.path, self.uri) if self.path.exists() else Journal.create(self.path, self.uri)
        fd = os.open(self.part, os.O_RDWR)
        tree = restore(journal, FixedOctets(fd, self.chunk_size), _silent).tree
        for start, stop in ranges:
            for chunk in range(start, stop):
                self._receive(tree, chunk)
                os.pwrite(fd, self._chunk(chunk), chunk * self.chunk_size)
            journal.verified(start, stop)
            journal.flush(tree)
        os.close(fd)
        journal.close()

    def _receive(self, tree: MerkleTree, chunk: int) -> None:
        hashes = {(a, b): known for a, b, known in self.whole.peaks()}
        hashes |= {(a, b): known for a, b, known in self.whole.uncles(chunk, left=-1, right=1 << 62)}
        assert tree.verify(chunk, self._chunk(chunk), hashes) is Verdict.VERIFIED

    def _chunk(self, chunk: int) -> bytes:
        return self.content[chunk * self.chunk_size : (chunk + 1) * self.chunk_size]

    def restore(self) -> HeldContent:
        journal = Journal.open(self.path, self.uri)
        fd = os.open(self.part, os.O_RDONLY)
        try:
            return restore(journal, FixedOctets(fd, self.chunk_size), _silent)
        finally:
            os.close(fd)
            journal.close()


Maker = Callable[..., _Fetch]


@pytest.fixture
def fetch(tmp_path: Path) -> Maker:
    def make(size: int, *rest: object) -> _Fetch:
        return _Fetch(tmp_path, size, *rest)  # type: ignore[arg-type]

    return make


@pytest.mark.parametrize("size", [1, 1023, 1024, 1025, 2048, 16 * 1024, 16 * 1024 + 1, 100_000])
@pytest.mark.parametrize("function", [MerkleHashFunction.SHA1, _SHA256])
def test_a_whole_file_is_held_whatever_its_size(fetch: Maker, size: int, function: MerkleHashFunction) -> None:
    it = fetch(size, function)
    count = -(-size // 1024)
    it.run((0, count))
    held = it.restore()
    assert list(held.have) == [(0, count)]
    assert held.refused == 0
    assert held.tree.is_size_certain
    assert held.tree.chunk_count == count
    assert held.content_size == held.octets == size


@pytest.mark.parametrize("size", [32 * 1024, 32 * 1024 - 1])
def test_what_somebody_has_appended_to_the_file_is_no_content(fetch: Maker, size: int) -> None:
    """Behind a full last chunk it changes no hash; behind a short one it does, and that block is fetched again."""
    it = fetch(size)
    it.run((0, 32))
    it.part.write_bytes(it.content + b"more")
    held = it.restore()
    if size % 1024:
        assert (list(held.have), held.content_size, held.refused) == ([(0, 16)], None, 16)
    else:
        assert (list(held.have), held.content_size, held.refused) == ([(0, 32)], size, 0)


def test_whole_blocks_are_held_and_the_rest_is_fetched_again(fetch: Maker) -> None:
    it = fetch(100 * 1024)
    it.run((3, 37), (50, 64))
    assert list(it.restore().have) == [(16, 32)]


def test_a_block_that_is_completed_later_is_held(fetch: Maker) -> None:
    it = fetch(100 * 1024)
    it.run((24, 32), (16, 24))
    assert list(it.restore().have) == [(16, 32)]


def test_the_resumed_tree_serves_every_held_chunk(fetch: Maker) -> None:
    """A peer that learns of our chunks asks for their uncles (section 5.4): all of them are known again."""
    it = fetch(200 * 1024 + 5)
    it.run((64, 96), (0, 16), (192, 201))
    held = it.restore()
    assert list(held.have) == [(0, 16), (64, 96), (192, 201)]
    for start, stop in held.have:
        for chunk in range(start, stop):
            mine = held.tree.uncles(chunk, left=-1, right=1 << 62)
            assert mine == it.whole.uncles(chunk, left=-1, right=1 << 62)


def test_a_second_run_adds_to_what_the_first_left(fetch: Maker) -> None:
    it = fetch(300 * 1024)
    it.run((0, 64))
    it.run((128, 200), (256, 300))
    it.run((64, 128))
    held = it.restore()
    assert list(held.have) == [(0, 192), (256, 300)]
    assert held.refused == 0


def test_one_wrong_octet_costs_its_block_alone(fetch: Maker) -> None:
    it = fetch(256 * 1024)
    it.run((0, 256))
    with open(it.part, "r+b") as file:
        file.seek(77 * 1024 + 5)
        octet = file.read(1)[0]
        file.seek(77 * 1024 + 5)
        file.write(bytes([octet ^ 1]))
    held = it.restore()
    assert list(held.have) == [(0, 64), (80, 256)]
    assert held.refused == BLOCK_CHUNKS
    it.run((64, 80))
    assert list(it.restore().have) == [(0, 256)]


def test_a_part_file_that_was_cut_short_costs_what_was_cut(fetch: Maker) -> None:
    it = fetch(256 * 1024)
    it.run((0, 256))
    os.truncate(it.part, 100 * 1024 + 3)
    held = it.restore()
    assert list(held.have) == [(0, 96)]
    assert held.refused == 160


def test_a_journal_torn_at_any_octet_costs_its_torn_records_alone(fetch: Maker) -> None:
    it = fetch(64 * 1024)
    it.run((0, 16), (16, 32), (32, 48), (48, 64))
    journal = it.path.read_bytes().rstrip(b"\0")
    header = journal.index(b"\n") + 1
    held = []
    for end in range(header, len(journal) + 1):
        it.path.write_bytes(journal[:end])
        held.append(it.restore().have.total)
    assert held == sorted(held)
    assert set(held) == {0, 16, 32, 48, 64}


def test_after_a_torn_record_the_journal_goes_on(fetch: Maker) -> None:
    it = fetch(64 * 1024)
    it.run((0, 16), (16, 32))
    journal = it.path.read_bytes().rstrip(b"\0")
    it.path.write_bytes(journal[:-7])
    it.run((16, 32), (48, 64))
    assert list(it.restore().have) == [(0, 32), (48, 64)]


def test_the_space_of_the_whole_journal_is_taken_at_its_first_record(fetch: Maker) -> None:
    it = fetch(1000 * 1024)
    it.run((0, 16))
    size = it.path.stat().st_size
    it.run(*((block, block + 16) for block in range(16, 992, 16)), (992, 1000))
    assert it.path.stat().st_size == size
    assert size < 0.03 * len(it.content)


@given(at=st.integers(0, 2000), value=st.integers(0, 255))
@settings(max_examples=100)
def test_no_change_to_a_journal_makes_a_wrong_chunk_held(
    tmp_path_factory: pytest.TempPathFactory, at: int, value: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    it = _Fetch(folder, 40 * 1024)
    it.run((0, 40))
    journal = bytearray(it.path.read_bytes().rstrip(b"\0"))
    header = journal.index(b"\n") + 1
    journal[header + at % (len(journal) - header)] = value
    it.path.write_bytes(journal)
    part = bytearray(it.part.read_bytes())
    part[5000] ^= 1
    it.part.write_bytes(part)
    assert not it.restore().have.contains(4)


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"ppspp-resume 1 ", b"ppspp-resume 1 magnet:?x\n", b"ppspp-resume 1 \xff\n", b"\0" * 20_000]
)
def test_what_is_no_journal_of_this_swarm_is_refused(fetch: Maker, text: bytes) -> None:
    it = fetch(1024)
    it.path.write_bytes(text)
    with pytest.raises(JournalError):
        Journal.open(it.path, it.uri)


def test_a_journal_of_other_metadata_is_refused(fetch: Maker) -> None:
    it = fetch(64 * 1024)
    Journal.create(it.path, it.uri).close()
    other = SwarmUri(SwarmMetadata(it.whole.root, chunk_size=512))
    with pytest.raises(JournalError, match="another swarm"):
        Journal.open(it.path, other)


def test_other_trackers_do_not_make_it_another_swarm(fetch: Maker) -> None:
    it = fetch(64 * 1024)
    Journal.create(it.path, it.uri).close()
    Journal.open(it.path, SwarmUri(it.uri.metadata, ("http://tracker.example/",), "name")).close()


def test_peaks_and_blocks_partition_the_chunks() -> None:
    """RFC 7574 section 5.6.1: seven chunks have the peaks 0-3, 4-5 and 6."""
    assert list(peak_ranges(7)) == [(0, 3), (4, 5), (6, 6)]
    assert list(peak_ranges(0)) == []
    assert [block for block, _ in blocks(39, 0, 39)] == [(0, 15), (16, 31), (32, 35), (36, 37), (38, 38)]
    assert [block for block, _ in blocks(39, 17, 33)] == [(16, 31), (32, 35)]
    assert list(blocks(39, 5, 6)) == [((0, 15), (0, 31))]
