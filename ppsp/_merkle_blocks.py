"""Where a Merkle tree keeps its hashes: in blocks of six layers, made as hashes become known.

A block has 128 slots in the order of a heap: its 64 leaves are slots 64 to 127, the parent of slot s is slot s // 2,
its sibling s ^ 1. Slot 1 would be the top of the block, which is a leaf of a block one level higher: node (layer,
index) is `layer % 6` layers above the leaves of block `index >> (6 - layer % 6)` of level `layer // 6`. But for the
root, hashes become known in pairs of siblings.

A block that is being filled is a list, quick to read and write: a slot holds b"" while its hash is unknown. Of one of
level 0 that is full only the leaves are kept, as one string of octets, a sixth of the size; in the end that is nearly
all of them. What is above these leaves is hashed again when somebody asks: once for the 64 chunks that are sent
together.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from hashlib import _Hash

NewHash: TypeAlias = "Callable[[bytes | bytearray | memoryview], _Hash]"

# Packed blocks whose slots are at hand: 8 KiB of SHA-512 each, and more than the peers that are served in turn.
_UNPACKED = 64

#: Layers of a block. A block that stays half full costs three times the memory, so it should not be large.
LAYERS = 6
#: Leaves of a block, and the slot of the first.
LEAVES = 1 << LAYERS


class Blocks:
    """The hashes of a tree of `height` layers above its leaves; `levels[i]` are the lists of level i by number."""

    __slots__ = ("_layers", "_missing", "_new", "_packed", "_size", "_unpacked", "_zero", "levels")

    def __init__(self, height: int, hash_size: int, new: NewHash) -> None:
        self.levels: list[dict[int, list[bytes]]] = [{} for _ in range(height // LAYERS + 1)]
        # The leaves of full blocks, joined, and all slots of those that were asked for last.
        self._packed: dict[int, bytes] = {}
        self._unpacked: dict[int, bytes] = {}
        self._layers = min(height, LAYERS)
        self._new = new
        # How many pairs of leaves are still unknown, for the lists of level 0.
        self._missing: dict[int, int] = {}
        self._size = hash_size
        self._zero = bytes(hash_size)

    def blank(self) -> list[bytes]:
        """A block in which nothing is known, to be filled and attached."""
        block = [b""] * (2 * LEAVES)
        block[0] = block[1] = self._zero  # never asked for
        return block

    def get(self, layer: int, index: int) -> bytes:
        """The hash of a node; b"" where it is unknown."""
        if layer < LAYERS:
            number = index >> LAYERS - layer
            row = LEAVES >> layer
            at = (index & row - 1) * self._size
            if not layer and number in self._packed:
                return self._packed[number][at : at + self._size]
            slots = self.slots(number)
            if slots is not None:
                at += row * self._size
                return slots[at : at + self._size]
        level, layer = divmod(layer, LAYERS)
        row = LEAVES >> layer
        block = self.levels[level].get(index >> LAYERS - layer)
        return block[row | index & row - 1] if block else b""

    def slots(self, number: int) -> bytes | None:
        """All slots of a full block of level 0, joined; None for any other."""
        slots = self._unpacked.get(number)
        if slots is None and number in self._packed:
            if len(self._unpacked) >= _UNPACKED:
                del self._unpacked[next(iter(self._unpacked))]
            slots = self._unpacked[number] = _slots(self._packed[number], self._layers, self._zero, self._new)[0]
        return slots

    def put_root(self, height: int, root: bytes) -> None:
        """Keep the hash of the one node of the highest layer."""
        self.levels[-1][0] = block = self.blank()
        block[LEAVES >> height % LAYERS] = root

    def put_pair(self, layer: int, index: int, left: bytes, right: bytes) -> None:
        """Keep the hashes of node (`layer`, `index`), a left child, and its sibling, if they are not known yet."""
        if self.get(layer, index):
            return
        level, layer_in_block = divmod(layer, LAYERS)
        number = index >> LAYERS - layer_in_block
        row = LEAVES >> layer_in_block
        slot = row | index & row - 1
        block = self.levels[level].get(number)
        if block is None:
            block = self.levels[level][number] = self.blank()
        block[slot] = left
        block[slot + 1] = right
        if not layer:
            self.pair_filled(number)

    def pair_filled(self, number: int) -> None:
        """One more pair of leaves of a list of level 0 is known; with the last, whatever is above them is known too."""
        missing = self._missing.get(number, LEAVES // 2) - 1
        self._missing[number] = missing
        if not missing:
            block = self.levels[0].pop(number)
            assert b"" not in block, "a node is known before what is below it"
            self._packed[number] = b"".join(block[LEAVES:])
            del self._missing[number]

    def fill(self, runs: Iterable[bytes]) -> tuple[int, bytes]:
        """Hash the complete tree from all its leaves, joined in runs; returns their number and the root.

        Every run but the last has to fill whole blocks.
        """
        size = self._size
        layers = self._layers
        tops: list[bytes] = []
        count = 0
        for run in runs:
            for at in range(0, len(run), LEAVES * size):
                leaves = self._packed[len(tops)] = run[at : at + LEAVES * size]
                tops.append(_slots(leaves, layers, self._zero, self._new)[1])
            count += len(run) // size
        height = (count - 1).bit_length()
        for level in self.levels[1:]:
            height -= LAYERS
            row, tops = b"".join(tops), []
            for number, at in enumerate(range(0, len(row), LEAVES * size)):
                slots, top = _slots(row[at : at + LEAVES * size], min(height, LAYERS), self._zero, self._new)
                tops.append(top)
                level[number] = [slots[at : at + size] for at in range(0, len(slots), size)]
        return count, tops[0] if tops else self._zero


def _slots(leaves: bytes, layers: int, zero: bytes, new: NewHash) -> tuple[bytes, bytes]:
    """All slots of a block, joined, hashed from its first leaves so many layers up; and the hash reached there."""
    size = len(zero)
    row = leaves
    rows = [row]
    for _ in range(layers):
        if len(row) % (2 * size):
            row += zero
        row = b"".join([new(row[at : at + 2 * size]).digest() for at in range(0, len(row), 2 * size)])
        rows.append(row)
    rows += [b""] * (LAYERS - layers)
    slots = [rows[layer].ljust((LEAVES >> layer) * size, b"\0") for layer in range(LAYERS, -1, -1)]
    return zero + b"".join(slots), row
