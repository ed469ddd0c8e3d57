"""`ppsp._variable_content` by itself: what is taken for a chunk, and when the content's size is known."""

import hashlib

import pytest

from ppsp import publish_chunks
from ppsp._content import Reception
from ppsp._variable_content import VariableContent
from ppsp.constants import MAX_CHUNK_SIZE, VARIABLE_CHUNK_SIZE
from ppsp.errors import StateError
from ppsp.metadata import SwarmMetadata
from ppsp.store import MemoryChunks, MemoryStore


def proof(published, chunk):
    """The hashes that a peer would send with a chunk."""
    tree = published.tree
    return {(a, b): known for a, b, known in [*tree.peaks(), *tree.uncles(chunk, left=-1, right=1 << 62)]}


@pytest.mark.parametrize("told", [False, True], ids=["size detection", "number in the metadata"])
def test_the_size_is_known_when_the_last_of_the_chunks_is_there_and_not_before(told):
    chunks = [b"a" * size for size in (5, 900, 1, 70, 300)]
    published = publish_chunks(chunks)
    metadata = published.metadata if told else SwarmMetadata(published.tree.root, chunk_size=VARIABLE_CHUNK_SIZE)
    content = VariableContent(metadata, MemoryChunks())
    held = 0
    for chunk in (4, 0, 3, 1):
        assert content.accept(chunk, chunks[chunk], proof(published, chunk)) is Reception.ACCEPTED
        held += len(chunks[chunk])
        assert (content.content_size, content.octets_held) == (None, held)
    assert content.chunk_size == held // 4
    assert content.accept(2, chunks[2], proof(published, 2)) is Reception.ACCEPTED
    assert (content.content_size, content.octets_held) == (1276, 1276)
    content.merge()
    assert content.complete
    assert bytes(content.read(0, 5)) == b"".join(chunks)


@pytest.mark.parametrize("chunk", [b"", bytes(MAX_CHUNK_SIZE + 1)], ids=["empty", "too long"])
@pytest.mark.parametrize("told", [False, True], ids=["size detection", "number in the metadata"])
def test_what_can_be_no_chunk_is_none_though_its_hash_is_right(told, chunk):
    """A publisher that cuts otherwise has no swarm that could be spread."""
    root = hashlib.sha256(chunk).digest()
    more = {"chunk_count": 1} if told else {}
    content = VariableContent(SwarmMetadata(root, chunk_size=VARIABLE_CHUNK_SIZE, **more), MemoryChunks())
    assert content.accept(0, chunk, {(0, 0): root}) is Reception.WRONG
    assert content.octets_held == 0


def test_a_store_of_octets_is_refused():
    """It would take the number of a chunk for an offset, and the content would be wrong."""
    with pytest.raises(StateError, match="a MemoryStore keeps octets: chunks of variable size need a VariableStore"):
        VariableContent(publish_chunks([b"a"]).metadata, MemoryStore())


def test_a_store_that_fails_keeps_what_was_written_before():
    published = publish_chunks([b"a" * 100] * 4)
    content = VariableContent(published.metadata, MemoryChunks(max_size=250))
    for chunk in (0, 1):
        content.accept(chunk, b"a" * 100, proof(published, chunk))
    with pytest.raises(OSError, match="go beyond 250"):
        content.accept(2, b"a" * 100, proof(published, 2))
    assert content.merge() == [(0, 2)]
    assert (content.holds(1), content.holds(2), content.octets_held) == (True, False, 200)
