"""The Merkle hash tree of a swarm's content (RFC 7574 section 5), complete or grown chunk by chunk from the root hash.

A leaf is the hash of a chunk, a parent the hash of its two children, and what lies beyond the last chunk is all zeros.
That peak hashes fold to the root proves less than section 5.6.1 says, in two ways. Leaves and inner nodes are hashed
alike, so by a wrong height two hashes could pass for a chunk, or the hash of a chunk for that of two: a verified chunk
that is not two hashes long settles the height. And a node that is partly empty passes for a filled one (the root for
the peak of every power of two), so at the right height the number of chunks may still be less than claimed, though
never more: a hash at the place of the last chunk settles it.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from ppsp._bins import node_of, peaks, range_of
from ppsp._merkle_blocks import LAYERS, LEAVES, Blocks, NewHash
from ppsp.constants import HASH_SIZE, MerkleHashFunction
from ppsp.errors import MetadataError, StateError

MAX_CHUNKS = 2**26
"""The most chunks a tree takes: 64 GiB of content at 1 KiB, whose complete tree of SHA-256 fills 4 GiB of memory."""

_NEW: Mapping[MerkleHashFunction, NewHash] = {
    MerkleHashFunction.SHA1: hashlib.sha1,
    MerkleHashFunction.SHA224: hashlib.sha224,
    MerkleHashFunction.SHA256: hashlib.sha256,
    MerkleHashFunction.SHA384: hashlib.sha384,
    MerkleHashFunction.SHA512: hashlib.sha512,
}


class Verdict(Enum):
    """What a chunk and the hashes that came with it are worth."""

    VERIFIED = "verified"
    WRONG = "wrong"
    MISSING_HASHES = "missing hashes"


# Bound once: an Enum looks its members up slowly.
_VERIFIED, _WRONG, _MISSING_HASHES = Verdict


def hash_chunks(data: bytes | bytearray | memoryview, chunk_size: int, hash_function: MerkleHashFunction) -> bytes:
    """The leaf hashes, joined, of `data` cut into chunks of `chunk_size` octets.

    The last one may be short, and is not padded.
    """
    new = _NEW[hash_function]
    view = memoryview(data)
    return b"".join([new(view[at : at + chunk_size]).digest() for at in range(0, len(view), chunk_size)])


def hash_each(chunks: Iterable[bytes | bytearray | memoryview], hash_function: MerkleHashFunction) -> bytes:
    """The leaf hashes, joined, of chunks that may differ in size."""
    new = _NEW[hash_function]
    return b"".join([new(chunk).digest() for chunk in chunks])


class MerkleTree:
    """The hashes that are known of one tree, each of them verified against the root hash (section 5.2).

    Made from the root hash alone it learns the rest from peers: the number of chunks from `set_peaks` (or from the
    user: `set_chunk_count`), the hashes from `verify`. `from_leaves` makes a complete one. Memory grows with what is
    verified; a number of chunks costs nothing by itself.

    `root`, `hash_function` and `hash_size` (octets) never change. Raises MetadataError where `root` is not as long as
    the function's hashes.
    """

    __slots__ = (
        "_blocks",
        "_chunk_count",
        "_has_peaks",
        "_height",
        "_is_height_certain",
        "_is_size_certain",
        "_leaf_blocks",
        "_max_chunks",
        "_new",
        "_zero",
        "hash_function",
        "hash_size",
        "root",
    )

    def __init__(self, root: bytes, hash_function: MerkleHashFunction, *, max_chunks: int = MAX_CHUNKS) -> None:
        self.root = bytes(root)
        self.hash_function = MerkleHashFunction(hash_function)
        self.hash_size = HASH_SIZE[self.hash_function]
        if len(self.root) != self.hash_size:
            name = self.hash_function.name
            raise MetadataError(f"a root hash under {name} has {self.hash_size} octets, this one has {len(root)}")
        self._is_height_certain = False
        self._is_size_certain = False
        self._new = _NEW[self.hash_function]
        self._zero = bytes(self.hash_size)
        self._max_chunks = max_chunks
        # While the number of chunks is 0, nothing is known, not even where the root stands.
        self._chunk_count = 0
        self._height = 0
        self._has_peaks = False
        self._take(Blocks(0, self.hash_size, self._new))

    def _take(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._leaf_blocks = blocks.levels[0]

    @classmethod
    def from_leaves(
        cls, leaves: bytes | bytearray | memoryview, hash_function: MerkleHashFunction, *, max_chunks: int = MAX_CHUNKS
    ) -> "MerkleTree":
        """The complete tree over the leaf hashes in `leaves`, joined as `hash_chunks` gives them.

        Raises MetadataError where there is no leaf, a part of one, or more than `max_chunks` of them.
        """
        count, rest = divmod(len(leaves), HASH_SIZE[hash_function])
        if rest:
            raise MetadataError(f"{len(leaves)} octets are not the leaves of a tree")
        return cls.from_runs([bytes(leaves)], count, hash_function, max_chunks=max_chunks)

    @classmethod
    def from_runs(
        cls, runs: Iterable[bytes], count: int, hash_function: MerkleHashFunction, *, max_chunks: int = MAX_CHUNKS
    ) -> "MerkleTree":
        """The complete tree over `count` leaf hashes that come in joined runs, so that no second copy fills memory.

        Every run but the last is of a multiple of 64 leaves. Raises MetadataError where there is no leaf, more than
        `max_chunks` of them, or another number than `count`.
        """
        if not 0 < count <= max_chunks:
            raise MetadataError(f"a tree has 1 to {max_chunks} chunks, not {count}")
        height = (count - 1).bit_length()
        blocks = Blocks(height, HASH_SIZE[hash_function], _NEW[hash_function])
        found, root = blocks.fill(runs)
        if found != count:
            raise MetadataError(f"there are {found} leaves, not {count}")
        tree = cls(root, hash_function, max_chunks=max_chunks)
        tree._chunk_count = count
        tree._height = height
        tree._take(blocks)
        tree._has_peaks = True
        tree._is_height_certain = True
        tree._is_size_certain = True
        return tree

    @property
    def chunk_count(self) -> int | None:
        """The number of chunks; None while nothing is known of it.

        Until `is_size_certain` it is what a peer claimed: it may change to any other before the first chunk is
        verified, and to a lower one after that.
        """
        return self._chunk_count or None

    @property
    def is_size_certain(self) -> bool:
        """Whether `chunk_count` is beyond doubt: given by the user; or a chunk and the last leaf hash are verified."""
        return self._is_size_certain

    def set_chunk_count(self, chunk_count: int) -> None:
        """Take the number of chunks from the swarm's metadata; it is certain from now on.

        Raises MetadataError where it is not between 1 and `max_chunks`, StateError where another is certain already.
        """
        if not 1 <= chunk_count <= self._max_chunks:
            raise MetadataError(f"a tree of {chunk_count} chunks is not between 1 and {self._max_chunks}")
        if self._chunk_count != chunk_count:
            if self._is_size_certain:
                raise StateError(f"the tree has {self._chunk_count} chunks, not {chunk_count}")
            self._start_over(chunk_count)
        self._is_size_certain = True

    def _start_over(self, chunk_count: int) -> None:
        """Know the root, and nothing else, of a tree of so many chunks."""
        self._chunk_count = chunk_count
        self._height = (chunk_count - 1).bit_length()
        self._has_peaks = False
        self._take(Blocks(self._height, self.hash_size, self._new))
        self._blocks.put_root(self._height, self.root)

    def peaks(self) -> list[tuple[int, int, bytes]]:
        """The peak hashes as (first chunk, last chunk, hash), left to right (section 5.6.1); [] if one is unknown."""
        found = [(*range_of(*node), self._blocks.get(*node)) for node in peaks(self._chunk_count)]
        self._has_peaks = bool(found) and all(peak for _, _, peak in found)
        return found if self._has_peaks else []

    def set_peaks(self, claimed: Sequence[tuple[int, int, bytes]]) -> bool:
        """Learn the number of chunks, and the peak hashes, from the peak hashes that a peer sent (section 5.6).

        `claimed` stands left to right: (first chunk, last chunk, hash). False, with nothing changed, where these are
        not the peaks of any number of chunks, do not fold to the root hash, or contradict what is certain.
        """
        count = claimed[-1][1] + 1 if claimed else 0
        if not 0 < count <= self._max_chunks or not self._may_have(count):
            return False
        nodes = peaks(count)
        hashes = [peak for _, _, peak in claimed]
        if [range_of(*node) for node in nodes] != [(start, end) for start, end, _ in claimed]:
            return False
        if any(len(peak) != self.hash_size for peak in hashes):
            return False
        if self._has_peaks and count == self._chunk_count:
            return [self._blocks.get(*node) for node in nodes] == hashes
        pairs, root = self._fold(nodes, hashes)
        if root != self.root:
            return False
        if self._is_height_certain:
            self._chunk_count = count  # less than was claimed before; whatever is known stays true
        elif count != self._chunk_count:
            self._start_over(count)
        for pair in pairs:
            self._blocks.put_pair(*pair)
        self._has_peaks = True
        self._settle()
        return True

    def _may_have(self, count: int) -> bool:
        """Whether a claim of so many chunks does not contradict what is certain."""
        if self._is_size_certain:
            return count == self._chunk_count
        if not self._is_height_certain:
            return True
        return count <= self._chunk_count and (count - 1).bit_length() == self._height

    def _settle(self) -> None:
        """See whether there is a hash where the last chunk is claimed to be: then it is the last one."""
        if self._is_height_certain and not self._is_size_certain:
            last = self._blocks.get(0, self._chunk_count - 1)
            self._is_size_certain = bool(last) and last != self._zero

    def _fold(
        self, nodes: Sequence[tuple[int, int]], hashes: Sequence[bytes]
    ) -> tuple[list[tuple[int, int, bytes, bytes]], bytes]:
        """Hash peaks right to left, with zeros where a right sibling is empty: the pairs met, and the root.

        A pair is the layer and the index of its left node, and the two hashes.
        """
        pairs = []
        layer, index = nodes[-1]
        folded = hashes[-1]
        for (peak_layer, _), peak in zip(reversed(nodes[:-1]), reversed(hashes[:-1]), strict=True):
            while layer <= peak_layer:
                left, right = (peak, folded) if layer == peak_layer else (folded, self._zero)
                pairs.append((layer, index & -2, left, right))
                folded = self._new(left + right).digest()
                layer += 1
                index >>= 1
        return pairs, folded

    def node(self, start: int, end: int) -> bytes | None:
        """The hash of the node over the chunks `start` to `end`: zeros beyond the last chunk, None where unknown."""
        place = node_of(start, end)
        if place is None or not self._chunk_count or end >> self._height:
            return None
        if start >= self._chunk_count:
            return self._zero
        return self._blocks.get(*place) or None

    def uncles(self, chunk: int, *, left: int, right: int) -> list[tuple[int, int, bytes]]:
        """The hashes a peer lacks to verify `chunk`, as (first chunk, last chunk, hash), highest first (section 5.4).

        `left` is the nearest chunk up to `chunk` that the peer needs no more hashes for, because it has it or they were
        sent (-1: none), `right` the nearest one above (none: any number from the number of chunks on). What the peak
        hashes imply is left out (section 5.6.2), unless `peaks` cannot tell them. Raises StateError where a hash is
        unknown, which cannot be for a verified chunk.
        """
        start = chunk & -2
        if left >= start or right <= start + 1:
            return []
        count = self._chunk_count
        if not 0 <= chunk < count:
            raise StateError(f"the tree has no chunk {chunk}")
        found: list[tuple[int, int, bytes]] = []
        slots = self._blocks.slots(chunk >> LAYERS)
        size = self.hash_size
        slot = LEAVES | chunk & LEAVES - 1
        width = 1
        # The highest bit in which the number of a chunk and the number of chunks differ is the layer of its peak.
        for layer in range((count ^ chunk).bit_length() - 1 if self._has_peaks else self._height):
            # A chunk below the sibling, hence below the parent, that the peer has verified made it know this node.
            if left >= start or right < start + 2 * width:
                break
            sibling = chunk >> layer ^ 1
            first = sibling * width
            if first < count:
                at = (slot >> layer ^ 1) * size
                uncle = slots[at : at + size] if slots and layer < LAYERS else self._blocks.get(layer, sibling)
                if not uncle:
                    raise StateError(f"chunk {chunk} is not verified: its uncle from chunk {first} on is unknown")
                found.append((first, first + width - 1, uncle))
            width *= 2
            start &= -2 * width
        found.reverse()
        return found

    def verify(
        self, chunk: int, data: bytes | bytearray | memoryview, hashes: Mapping[tuple[int, int], bytes]
    ) -> Verdict:
        """Check `data` as chunk number `chunk` against the nearest known hash above it (section 5.2).

        `hashes` are the peer's INTEGRITY messages, by first and last chunk. When VERIFIED, every hash met on the way is
        kept; otherwise nothing changes. (Once a chunk is verified, right peak hashes are kept in any case.)

        Before the first chunk is verified, peak hashes among `hashes` that fold to the root are tried in place of an
        earlier claim, which may have been another peer's lie: WRONG is always the fault of who sent these data and
        hashes. A chunk as long as two hashes, which could be an inner node passed off as one, gives MISSING_HASHES
        then, unless the user gave the size.
        """
        if not self._is_size_certain:
            return self._verify_unsized(chunk, data, hashes)
        leaf = self._new(data).digest()
        block = self._leaf_blocks.get(chunk >> LAYERS)
        if block and self._has_peaks:
            known = block[LEAVES | chunk & LEAVES - 1]
            # Every second chunk of a download in order is settled here: its hash came as an uncle of the one before.
            if known == leaf:
                return _VERIFIED
            if not known and chunk < self._chunk_count:
                return self._climb(chunk, leaf, hashes)
        return self._check(chunk, leaf, hashes)

    def _check(self, chunk: int, leaf: bytes, hashes: Mapping[tuple[int, int], bytes]) -> Verdict:
        """`verify` in every case, for a number of chunks that is certain or taken for it."""
        known = self._blocks.get(0, chunk)
        if known:
            return _VERIFIED if known == leaf else _WRONG
        if not 0 <= chunk < self._chunk_count:
            return _WRONG
        verdict = self._climb(chunk, leaf, hashes)
        # Who acknowledges a chunk that came with the peak hashes is held to know them (section 5.6.2), also where the
        # way to the root did not lead over them.
        if verdict is not _WRONG and not self._has_peaks and self.set_peaks(self._peaks_from(hashes)):
            return self._climb(chunk, leaf, hashes) if verdict is _MISSING_HASHES else verdict
        return verdict

    def _peaks_from(self, hashes: Mapping[tuple[int, int], bytes]) -> list[tuple[int, int, bytes]]:
        """The peaks of the number of chunks that is taken for certain, as far as they are among a peer's hashes."""
        return [(*span, hashes.get(span, b"")) for span in (range_of(*node) for node in peaks(self._chunk_count))]

    def _verify_unsized(
        self, chunk: int, data: bytes | bytearray | memoryview, hashes: Mapping[tuple[int, int], bytes]
    ) -> Verdict:
        leaf = self._new(data).digest()
        claimed = _peaks_among(hashes)
        claim = self
        if self._is_height_certain:
            self.set_peaks(claimed)
        elif len(data) == 2 * self.hash_size:
            return _MISSING_HASHES
        else:
            claim = MerkleTree(self.root, self.hash_function, max_chunks=self._max_chunks)
            if chunk == 0 and leaf == self.root:
                claim._start_over(1)  # the lone chunk of its content needs no hash, not even its peak (section 8.16)
            elif not claim.set_peaks(claimed):
                claim = self
        verdict = claim._check(chunk, leaf, hashes)
        if verdict is _VERIFIED:
            self._chunk_count = claim._chunk_count
            self._height = claim._height
            self._has_peaks = claim._has_peaks
            self._take(claim._blocks)
            self._is_height_certain = True
            self._settle()
        elif claim is self and not self._is_height_certain:
            return _MISSING_HASHES
        return verdict

    def _climb(self, chunk: int, leaf: bytes, hashes: Mapping[tuple[int, int], bytes]) -> Verdict:
        """Hash upwards from an unknown leaf to a known node; keep what was met on the way if it leads there."""
        size = self.hash_size
        digest = leaf
        path = []
        blanks = []
        slot = width = 1
        first = chunk
        for layer in range(self._height + 1):
            if slot == 1:
                level = self._blocks.levels[layer // LAYERS]
                number, slot = divmod(chunk >> layer, LEAVES)
                slot += LEAVES
                block = level.get(number) or self._blocks.blank()
                if number not in level:
                    blanks.append((level, number, block))
            known = block[slot]
            if known:
                if known != digest:
                    return _WRONG
                break
            if slot & 1:
                first -= width
                uncle = hashes.get((first, first + width - 1))
            elif first + width < self._chunk_count:
                uncle = hashes.get((first + width, first + width + width - 1))
            else:
                uncle = self._zero
            if uncle is None or len(uncle) != size:
                return _MISSING_HASHES
            path.append((block, slot, digest, uncle))
            digest = self._new(uncle + digest if slot & 1 else digest + uncle).digest()
            slot >>= 1
            width *= 2
        for level, number, block in blanks:
            level[number] = block
        for block, slot, digest, uncle in path:
            block[slot] = digest
            block[slot ^ 1] = uncle
        self._blocks.pair_filled(chunk >> LAYERS)
        return _VERIFIED


def _peaks_among(hashes: Mapping[tuple[int, int], bytes]) -> list[tuple[int, int, bytes]]:
    """The peaks, if all are among a peer's hashes: the widest nodes side by side, as the uncles lie below them."""
    widest: dict[int, int] = {}
    for start, end in hashes:
        if end > widest.get(start, start - 1):
            widest[start] = end
    found = []
    at = 0
    while at in widest:
        end = widest[at]
        found.append((at, end, hashes[at, end]))
        at = end + 1
    return found
