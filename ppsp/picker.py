"""Chunk picking (RFC 7574 section 9.1): which chunks to ask a peer for.

Chunks are taken in aligned blocks of 64: a block's hashes come once, its requests are one range, and its datagrams
leave together. Both pickers here fit `ppsp.ports.ChunkPicker`; an application may bring its own.
"""

from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator

from ppsp._limits import BLOCK
from ppsp.ports import Offer

_MISSING, _TAKEN, _HELD = 0, 1, 2
# Blocks that are looked at for the rarest: enough to avoid the common ones, and independent of the content's size.
_SAMPLE = 16
# Blocks that are counted together where a peer offers them all: of a million chunks, the offer of everything then costs
# tens of microseconds and not milliseconds, however often it is made.
_GROUP = 128


class _Blocks(ABC):
    """Which chunks are missing, taken or held; a subclass says in which order blocks are tried."""

    __slots__ = ("_state", "chunk_count")

    def __init__(self, chunk_count: int) -> None:
        self.chunk_count = chunk_count
        self._state = bytearray(chunk_count)

    def take(self, offered: Offer, most: int) -> list[tuple[int, int]]:
        """Missing chunks that the peer offers, in whole blocks while fewer than `most` are found."""
        taken: list[tuple[int, int]] = []
        total = 0
        for block in self._candidates(offered):
            for start, stop in self._missing_in(block, offered):
                self._state[start:stop] = bytes((_TAKEN,)) * (stop - start)
                taken.append((start, stop))
                total += stop - start
            if self._state.find(_MISSING, block * BLOCK, (block + 1) * BLOCK) < 0:
                self._close(block)
            if total >= most:
                break
        return taken

    def _missing_in(self, block: int, offered: Offer) -> list[tuple[int, int]]:
        state = self._state
        at = block * BLOCK
        end = min(at + BLOCK, self.chunk_count)
        if state.count(_MISSING, at, end) == end - at and offered.covers(at, end):
            return [(at, end)]
        ranges: list[tuple[int, int]] = []
        for chunk in range(at, end):
            if state[chunk] == _MISSING and chunk in offered:
                if ranges and ranges[-1][1] == chunk:
                    ranges[-1] = (ranges[-1][0], chunk + 1)
                else:
                    ranges.append((chunk, chunk + 1))
        return ranges

    def give_back(self, start: int, stop: int) -> None:
        """These chunks are not coming after all: those still missing may be taken again."""
        state = self._state
        for chunk in range(start, stop):
            if state[chunk] == _TAKEN:
                state[chunk] = _MISSING
                self._open(chunk // BLOCK)

    def arrived(self, start: int, stop: int) -> None:
        """These chunks are held."""
        self._state[start:stop] = bytes((_HELD,)) * (stop - start)

    def wants(self, start: int, stop: int) -> bool:
        """Whether any of these chunks is missing and not taken."""
        return self._state.find(_MISSING, start, stop) >= 0

    def _missing_blocks(self, offered: Offer, first: int = 0) -> Iterator[int]:
        """The blocks in which the peer offers missing chunks, from chunk `first` on, ascending."""
        for start, stop in offered:
            at = max(start, first)
            while (at := self._state.find(_MISSING, at, stop)) >= 0:
                yield at // BLOCK
                at = (at // BLOCK + 1) * BLOCK

    @abstractmethod
    def peer_has(self, start: int, stop: int) -> None:
        """One more peer offers these chunks."""

    @abstractmethod
    def peer_lost(self, start: int, stop: int) -> None:
        """A peer that offered these chunks is gone."""

    @abstractmethod
    def _candidates(self, offered: Offer) -> Iterator[int]:
        """Blocks that may have missing chunks, in the order in which to try them."""

    @abstractmethod
    def _open(self, block: int) -> None:
        """The block has missing chunks again."""

    @abstractmethod
    def _close(self, block: int) -> None:
        """Nothing in the block is missing: all of it is taken or held."""


class Sequential(_Blocks):
    """First chunks first: for playback from the start, and for a disk that likes it so."""

    __slots__ = ("_first",)

    def __init__(self, chunk_count: int, seed: int = 0) -> None:
        """`seed` is not used; every picker takes one."""
        super().__init__(chunk_count)
        # No chunk below this one is missing.
        self._first = 0

    def _candidates(self, offered: Offer) -> Iterator[int]:
        self._first = max(self._state.find(_MISSING, self._first), self._first)
        yield from self._missing_blocks(offered, self._first)

    def peer_has(self, start: int, stop: int) -> None:
        """Rarity does not matter here."""

    def peer_lost(self, start: int, stop: int) -> None:
        """Rarity does not matter here."""

    def _open(self, block: int) -> None:
        self._first = min(self._first, block * BLOCK)

    def _close(self, block: int) -> None:
        pass


class RarestFirst(_Blocks):
    """Blocks that few peers offer first, ties by chance: peers of a slow source then hold different parts to trade.

    The last block is tried before all others, since it tells the content's size in octets.
    """

    __slots__ = ("_chance", "_group_rarity", "_open_blocks", "_place", "_rarity")

    def __init__(self, chunk_count: int, seed: int = 0) -> None:
        """`seed` decides the ties; two peers of a swarm should not have the same."""
        super().__init__(chunk_count)
        blocks = -(-chunk_count // BLOCK)
        self._open_blocks = array("i", range(blocks))
        self._place = array("i", range(blocks))
        # The chunks that peers offer, by block, beside those counted by group.
        self._rarity = array("q", bytes(8 * blocks))
        self._group_rarity = array("q", bytes(8 * (blocks // _GROUP + 1)))
        self._chance = seed & 0xFFFFFFFF or 1

    def _candidates(self, offered: Offer) -> Iterator[int]:
        last = (self.chunk_count - 1) // BLOCK
        if self._place[last] >= 0:
            yield last
        while True:
            block = self._rarest(offered)
            if block is None:
                break
            yield block
            if self._place[block] >= 0:
                break  # the peer offers nothing more of a block that stays open: chance alone would come back to it
        yield from self._missing_blocks(offered)

    def _rarest(self, offered: Offer) -> int | None:
        blocks = self._open_blocks
        found = None
        least = 0
        for _ in range(min(_SAMPLE, len(blocks))):
            # xorshift: `random` is barred from here, and one more octet of `random_bytes` a draw would be dear.
            self._chance ^= self._chance << 13 & 0xFFFFFFFF
            self._chance ^= self._chance >> 17
            self._chance ^= self._chance << 5 & 0xFFFFFFFF
            block = blocks[self._chance % len(blocks)]
            rarity = self._rarity[block] + self._group_rarity[block // _GROUP]
            if (found is None or rarity < least) and offered.intersects(block * BLOCK, (block + 1) * BLOCK):
                found = block
                least = rarity
        return found

    def peer_has(self, start: int, stop: int) -> None:
        """One more peer offers these chunks."""
        self._count(start, stop, 1)

    def peer_lost(self, start: int, stop: int) -> None:
        """A peer that offered these chunks is gone."""
        self._count(start, stop, -1)

    def _count(self, start: int, stop: int, sign: int) -> None:
        # Chunks are counted, not blocks, so that what is gone as one range cancels what came in pieces.
        group = _GROUP * BLOCK
        first, last = -(-start // group), stop // group
        if first < last:
            for number in range(first, last):
                self._group_rarity[number] += sign * BLOCK
            self._count_blocks(start, first * group, sign)
            self._count_blocks(last * group, stop, sign)
        else:
            self._count_blocks(start, stop, sign)

    def _count_blocks(self, start: int, stop: int, sign: int) -> None:
        for block in range(start // BLOCK, -(-stop // BLOCK)):
            chunks = min(stop, (block + 1) * BLOCK) - max(start, block * BLOCK)
            self._rarity[block] += sign * chunks

    def _open(self, block: int) -> None:
        if self._place[block] < 0:
            self._place[block] = len(self._open_blocks)
            self._open_blocks.append(block)

    def _close(self, block: int) -> None:
        place = self._place[block]
        if place < 0:
            return
        other = self._open_blocks.pop()
        if other != block:
            self._open_blocks[place] = other
            self._place[other] = place
        self._place[block] = -1
