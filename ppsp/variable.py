"""Content that its publisher cuts into chunks: one a record, a frame, a line (RFC 7574 section 7.11)."""

from collections.abc import Iterable

import attrs

from ppsp._cutting import check_chunk
from ppsp.constants import VARIABLE_CHUNK_SIZE, ChunkAddressing, MerkleHashFunction
from ppsp.merkle import MerkleTree, hash_each
from ppsp.metadata import SwarmMetadata
from ppsp.store import MemoryChunks


@attrs.frozen
class PublishedChunks:
    """A swarm of chunks that are in memory: `endpoint.add_swarm(it.metadata, store=it.store, tree=it.tree)`."""

    metadata: SwarmMetadata
    store: MemoryChunks
    tree: MerkleTree


def publish_chunks(
    chunks: Iterable[bytes | bytearray | memoryview],
    *,
    chunk_addressing: ChunkAddressing = ChunkAddressing.CHUNK32,
    merkle_hash_function: MerkleHashFunction = MerkleHashFunction.SHA256,
) -> PublishedChunks:
    """The swarm of these chunks, in this order; they are kept in memory.

    Chunks of 512 to 1400 octets travel best (section 8.1): longer ones are fragmented on the way.

    Raises StateError for a chunk that is empty or too long, and MetadataError where there is none, there are too many,
    or they are to be addressed by octets. OSError where they do not fit into a `MemoryChunks`.
    """
    store = MemoryChunks()
    count = 0
    for chunk in chunks:
        check_chunk(len(chunk))
        store.write(count, chunk)
        count += 1
    tree = MerkleTree.from_leaves(hash_each(map(store.read, range(count)), merkle_hash_function), merkle_hash_function)
    return PublishedChunks(variable_metadata(tree, chunk_addressing), store, tree)


def variable_metadata(tree: MerkleTree, chunk_addressing: ChunkAddressing = ChunkAddressing.CHUNK32) -> SwarmMetadata:
    """The metadata of the swarm of a complete tree over chunks of variable size, with their number."""
    return SwarmMetadata(
        tree.root,
        chunk_size=VARIABLE_CHUNK_SIZE,
        chunk_addressing=chunk_addressing,
        merkle_hash_function=tree.hash_function,
        chunk_count=tree.chunk_count,
    )
