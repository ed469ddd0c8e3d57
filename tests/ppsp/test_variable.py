"""`ppsp.variable` and the store of chunks by number."""

import errno
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppsp import publish_chunks
from ppsp.constants import MAX_CHUNK_SIZE, VARIABLE_CHUNK_SIZE, ChunkAddressing, MerkleHashFunction
from ppsp.errors import MetadataError, StateError
from ppsp.ports import VariableStore
from ppsp.store import MemoryChunks


def test_the_swarm_id_is_the_root_over_the_chunks_as_they_are():
    """Section 5.1, by hand: three chunks, the fourth leaf is empty."""
    chunks = [b"one\n", b"twenty\n", b"3\n"]

    def sha(octets):
        return hashlib.sha256(octets).digest()

    root = sha(sha(sha(chunks[0]) + sha(chunks[1])) + sha(sha(chunks[2]) + bytes(32)))
    published = publish_chunks(iter(chunks))
    assert published.metadata.swarm_id == root
    assert published.metadata.chunk_size == VARIABLE_CHUNK_SIZE
    assert published.metadata.chunk_count == published.tree.chunk_count == 3
    assert published.store.content == b"".join(chunks)


def test_the_methods_are_the_publishers_choice():
    published = publish_chunks(
        [b"a", b"bc"], chunk_addressing=ChunkAddressing.BIN64, merkle_hash_function=MerkleHashFunction.SHA1
    )
    assert published.metadata.chunk_addressing is ChunkAddressing.BIN64
    assert len(published.metadata.swarm_id) == 20


@pytest.mark.parametrize("chunk", [b"", bytes(MAX_CHUNK_SIZE + 1)], ids=["empty", "too long"])
def test_what_can_be_no_chunk_is_refused(chunk):
    with pytest.raises(StateError, match=f"a chunk has 1 to 60000 octets, not {len(chunk)}"):
        publish_chunks([b"good", chunk])


def test_no_chunks_and_byte_ranges_are_refused():
    with pytest.raises(MetadataError):
        publish_chunks([])
    with pytest.raises(MetadataError, match="byte ranges cannot name"):
        publish_chunks([b"a"], chunk_addressing=ChunkAddressing.BYTE64)


@given(st.lists(st.tuples(st.integers(0, 20), st.binary(min_size=1, max_size=20)), max_size=30))
def test_what_was_written_last_is_read(writes: list[tuple[int, bytes]]) -> None:
    store: VariableStore = MemoryChunks()
    model: dict[int, bytes] = {}
    for chunk, data in writes:
        store.write(chunk, memoryview(data))
        model[chunk] = data
    for chunk, data in model.items():
        assert (store.read(chunk), store.size(chunk)) == (data, len(data))


def test_a_chunk_that_is_not_there_and_one_that_does_not_fit_are_os_errors() -> None:
    store = MemoryChunks(max_size=10)
    store.write(3, b"12345678")
    store.write(3, b"1234567890")
    for work in (lambda: store.read(2), lambda: store.size(2)):
        with pytest.raises(OSError, match="there is no chunk 2"):
            work()
    with pytest.raises(OSError, match="1 octets more") as caught:
        store.write(4, b"x")
    assert caught.value.errno == errno.ENOSPC
    assert store.content == b"1234567890"
