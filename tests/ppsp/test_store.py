"""The store in memory."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppsp.ports import ChunkStore
from ppsp.store import MemoryStore


@given(st.lists(st.tuples(st.integers(0, 50), st.binary(max_size=20)), max_size=10))
def test_what_was_written_last_is_read_and_the_rest_is_zeros(writes: list[tuple[int, bytes]]) -> None:
    store = MemoryStore()
    model: dict[int, int] = {}
    size = 0
    for offset, data in writes:
        store.write(offset, memoryview(data))
        model.update(enumerate(data, offset))
        size = max(size, offset + len(data))
    content = bytes(model.get(at, 0) for at in range(size))
    assert store.content == content
    assert store.read(0, size) == content
    assert store.read(size // 2, size - size // 2) == content[size // 2 :]


def test_it_is_a_chunk_store() -> None:
    store: ChunkStore = MemoryStore(b"content")
    assert bytes(store.read(3, 4)) == b"tent"


def test_data_are_copied_before_write_returns() -> None:
    store = MemoryStore()
    buffer = bytearray(b"chunk")
    store.write(0, memoryview(buffer))
    buffer[:] = b"other"
    assert store.read(0, 5) == b"chunk"


def test_the_content_given_is_copied() -> None:
    content = bytearray(b"chunk")
    store = MemoryStore(content)
    content[:] = b"other"
    assert store.content == b"chunk"


@pytest.mark.parametrize(("offset", "length"), [(0, 6), (5, 1), (6, 0), (-1, 2), (0, -1)])
def test_octets_that_are_not_there_are_an_error(offset: int, length: int) -> None:
    store = MemoryStore(b"chunk")
    with pytest.raises(OSError, match=r"no -?\d+ octets") as caught:
        store.read(offset, length)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize(("offset", "data"), [(0, b"123456789"), (8, b"1"), (2**62, b"1"), (-1, b"1")])
def test_what_goes_beyond_the_limit_changes_nothing(offset: int, data: bytes) -> None:
    store = MemoryStore(b"chunk", max_size=8)
    with pytest.raises(OSError, match="beyond 8") as caught:
        store.write(offset, data)
    assert caught.value.errno == errno.ENOSPC
    assert store.content == b"chunk"


def test_a_store_may_be_filled_to_its_limit() -> None:
    store = MemoryStore(max_size=8)
    store.write(4, b"tail")
    assert store.content == b"\0\0\0\0tail"


def test_reading_does_not_hinder_growing() -> None:
    store = MemoryStore(b"chunk")
    held = store.read(0, 5)
    store.write(5, b" and more")
    assert (held, store.content) == (b"chunk", b"chunk and more")
