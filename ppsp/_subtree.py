"""The Merkle tree below one munro of a live stream (RFC 7574 section 6.1.2), as a heap of hashes.

Slot 1 is the munro, the children of slot s are 2s and 2s + 1, and the leaf of the n-th of `width` chunks is slot
width + n. A slot holds b"" while its hash is unknown.
"""

import hashlib
from collections.abc import Mapping, Sequence

from ppsp.constants import HASH_SIZE, MerkleHashFunction


class Subtree:
    """The hashes known below a munro over `width` chunks from chunk `start` on; `root` is the munro's hash."""

    __slots__ = ("_new", "_nodes", "_zero", "root", "start", "width")

    def __init__(self, start: int, width: int, root: bytes, hash_function: MerkleHashFunction) -> None:
        self._prepare(start, width, hash_function)
        self.root = self._nodes[1] = root

    def _prepare(self, start: int, width: int, hash_function: MerkleHashFunction) -> None:
        self.start = start
        self.width = width
        self._new = getattr(hashlib, hash_function.name.lower())
        self._zero = bytes(HASH_SIZE[hash_function])
        self._nodes = [b""] * (2 * width)

    @classmethod
    def of_chunks(
        cls, start: int, width: int, chunks: Sequence[bytes | memoryview], hash_function: MerkleHashFunction
    ) -> "Subtree":
        """The complete subtree over the chunks; those that are missing to `width` are empty leaves (section 5.1)."""
        tree = cls.__new__(cls)
        tree._prepare(start, width, hash_function)
        nodes, new, zero = tree._nodes, tree._new, tree._zero
        leaves = [new(chunk).digest() for chunk in chunks]
        nodes[width:] = leaves + [zero] * (width - len(leaves))
        for slot in range(width - 1, 0, -1):
            left, right = nodes[2 * slot], nodes[2 * slot + 1]
            nodes[slot] = zero if left == right == zero else new(left + right).digest()
        tree.root = nodes[1]
        return tree

    def verify(self, chunk: int, payload: bytes | memoryview, hashes: Mapping[tuple[int, int], bytes]) -> bool | None:
        """Whether the chunk leads to the munro by the peer's `hashes`; None where one is missing.

        When it does, every hash met on the way is kept.
        """
        nodes, new = self._nodes, self._new
        slot = self.width + chunk - self.start
        digest = new(payload).digest()
        path = []
        width, first = 1, chunk
        while not nodes[slot]:
            if slot & 1:
                first -= width
                uncle = nodes[slot - 1] or hashes.get((first, first + width - 1))
            else:
                uncle = nodes[slot + 1] or hashes.get((first + width, first + 2 * width - 1))
            if not uncle:
                return None
            path.append((slot, digest, uncle))
            digest = new(uncle + digest if slot & 1 else digest + uncle).digest()
            slot >>= 1
            width *= 2
        if nodes[slot] != digest:
            return False
        for slot, digest, uncle in path:
            nodes[slot] = digest
            nodes[slot ^ 1] = uncle
        return True

    def uncles(self, chunk: int, *, left: int, right: int) -> list[tuple[int, int, bytes]]:
        """The hashes that a peer lacks to verify a verified chunk, as (first, last, hash), highest first.

        `left` and `right` are the nearest chunks, up to and above it, for which the peer needs no hashes any more.
        """
        nodes = self._nodes
        slot = self.width + chunk - self.start
        found = []
        width, first = 1, chunk
        while slot > 1:
            start = first & -2 * width
            if left >= start or right < start + 2 * width:
                break  # the peer verified a chunk below the parent, and so got to know both children
            sibling = first ^ width
            found.append((sibling, sibling + width - 1, nodes[slot ^ 1]))
            slot >>= 1
            width *= 2
            first = start
        found.reverse()
        return found

    def ends_after(self, chunk: int) -> bool:
        """Whether it is proven that nothing follows a verified chunk within the subtree."""
        slot = self.width + chunk - self.start
        while slot & 1 and slot > 1:
            slot >>= 1
        return slot > 1 and self._nodes[slot + 1] == self._zero

    @property
    def is_empty(self) -> bool:
        """Whether the munro itself says that there is no chunk below it."""
        return self.root == self._zero
