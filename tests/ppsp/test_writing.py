"""Tests of `ppsp._writing`."""

import pytest

from ppsp._writing import Writing


class Calls:
    """A store that keeps the calls; it fails when told to."""

    def __init__(self):
        self.calls = []
        self.full = False

    def write(self, offset, data):
        """As `ChunkStore.write`."""
        if self.full:
            raise OSError("the disk is full")
        self.calls.append((offset, bytes(data)))


@pytest.fixture
def store():
    return Calls()


def test_what_stands_side_by_side_is_written_by_one_call(store):
    writing = Writing(store)
    for at in (0, 1, 2):
        writing.write(10 + at, bytes([at]))
    assert store.calls == []
    writing.flush()
    assert store.calls == [(10, b"\0\1\2")]
    writing.flush()
    assert len(store.calls) == 1


@pytest.mark.parametrize("offset", [0, 7, 11, 100, 1 << 20])
def test_what_stands_elsewhere_is_written_by_its_own_call(store, offset):
    writing = Writing(store)
    writing.write(9, b"a")
    writing.write(offset, b"b")
    writing.flush()
    assert sorted(store.calls) == sorted([(9, b"a"), (offset, b"b")])


def test_the_order_in_which_chunks_come_does_not_matter(store):
    writing = Writing(store)
    for at in (4, 0, 2, 1, 3, 7):
        writing.write(at, bytes([at]))
    writing.flush()
    assert store.calls == [(0, b"\0\1\2\3\4"), (7, b"\7")]


@pytest.mark.parametrize("size", [1000, 1024, 4096])
def test_what_waits_has_a_bound_whatever_the_size_of_chunks(store, size):
    writing = Writing(store)
    content = bytes(range(250)) * 1000
    most = 0
    for at in range(0, len(content), size):
        writing.write(at, content[at : at + size])
        most = max(most, min(at + size, len(content)) - sum(len(data) for _, data in store.calls))
    assert 32_768 < most <= 69_632
    writing.flush()
    assert b"".join(data for _, data in sorted(store.calls)) == content
    assert len(store.calls) <= 5


def test_a_large_chunk_does_not_wait(store):
    writing = Writing(store)
    writing.write(0, b"small")
    writing.write(5, bytes(8192))
    assert store.calls == [(5, bytes(8192))]
    writing.flush()
    assert store.calls[1:] == [(0, b"small")]


def test_the_buffer_of_the_caller_is_not_kept(store):
    writing = Writing(store)
    buffer = bytearray(b"chunk")
    writing.write(0, memoryview(buffer))
    buffer[:] = b"other"
    writing.flush()
    assert store.calls == [(0, b"chunk")]


def test_what_could_not_be_written_is_not_tried_again(store):
    writing = Writing(store)
    writing.write(0, b"gone")
    store.full = True
    with pytest.raises(OSError, match="full"):
        writing.write(1 << 20, b"never taken")
    store.full = False
    writing.write(4, b"next")
    writing.flush()
    assert store.calls == [(4, b"next")]
