"""Content with a Merkle tree of its own making, from section 5.1 of RFC 7574; and a store that can be told to fail."""

import hashlib

from ppsp import MerkleHashFunction, MerkleTree, SwarmMetadata, hash_chunks

_HASHES = {
    MerkleHashFunction.SHA1: hashlib.sha1,
    MerkleHashFunction.SHA224: hashlib.sha224,
    MerkleHashFunction.SHA256: hashlib.sha256,
    MerkleHashFunction.SHA384: hashlib.sha384,
    MerkleHashFunction.SHA512: hashlib.sha512,
}


def pattern(size):
    """Octets that differ from chunk to chunk: byte i is i % 251, as in the foreign vectors."""
    unit = bytes(range(251))
    return (unit * (size // 251 + 1))[:size]


class Publication:
    """Content, and the Merkle tree of section 5.1 over its chunks, computed the plain way."""

    def __init__(self, content, chunk_size=1024, hash_function=MerkleHashFunction.SHA256):
        self.content = content
        self.chunk_size = chunk_size
        self.hash_function = hash_function
        new = _HASHES[hash_function]
        self.hash_size = new().digest_size
        self.chunks = [content[at : at + chunk_size] for at in range(0, len(content), chunk_size)]
        self.count = len(self.chunks)
        self.height = (self.count - 1).bit_length()
        zero = bytes(self.hash_size)
        row = [new(chunk).digest() for chunk in self.chunks]
        self._rows = [row]
        for _ in range(self.height):
            row = row + [zero] * (len(row) % 2)
            row = [new(row[k] + row[k + 1]).digest() for k in range(0, len(row), 2)]
            self._rows.append(row)
        self.root = row[0]
        self._zero = zero

    def node(self, start, end):
        """The hash of the node over the chunks `start` to `end`."""
        layer = (end - start).bit_length()
        index = start >> layer
        row = self._rows[layer]
        return row[index] if index < len(row) else self._zero

    def peaks(self):
        """(first chunk, last chunk, hash), left to right: section 5.6.1."""
        found, start = [], 0
        for layer in range(self.count.bit_length() - 1, -1, -1):
            if self.count >> layer & 1:
                found.append((start, start + (1 << layer) - 1, self.node(start, start + (1 << layer) - 1)))
                start += 1 << layer
        return found

    def uncles(self, chunk):
        """All the hashes that verify `chunk` against the root, highest first; empty siblings are known zeros."""
        found = []
        for layer in range(self.height):
            first = (chunk >> layer ^ 1) << layer
            if first < self.count:
                found.append((first, first + (1 << layer) - 1, self.node(first, first + (1 << layer) - 1)))
        return found[::-1]

    def metadata(self, **changes):
        """The swarm's metadata."""
        given = {"chunk_size": self.chunk_size, "merkle_hash_function": self.hash_function, **changes}
        return SwarmMetadata(self.root, **given)

    def tree(self):
        """A complete tree for a seeding endpoint."""
        return MerkleTree.from_leaves(
            hash_chunks(self.content, self.chunk_size, self.hash_function), self.hash_function
        )


class Store:
    """A chunk store in memory that can be told to fail."""

    def __init__(self, content=b""):
        self.octets = bytearray(content)
        self.fail_reads = self.fail_writes = False
        self.reads = self.writes = 0

    def read(self, offset, length):
        """As `ChunkStore.read`."""
        self.reads += 1
        if self.fail_reads:
            raise OSError("the disk is gone")
        return bytes(self.octets[offset : offset + length])

    def write(self, offset, data):
        """As `ChunkStore.write`."""
        self.writes += 1
        if self.fail_writes:
            raise OSError("the disk is full")
        self.octets.extend(bytes(max(0, offset + len(data) - len(self.octets))))
        self.octets[offset : offset + len(data)] = data
