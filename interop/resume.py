"""The journal of a half-fetched file: which blocks of chunks were verified, and the Merkle hashes that prove them.

    header  `ppspp-resume 1 <swarm URI>` and a line feed
    record  kind (1 octet), two unsigned 64-bit integers, one hash; fixed length, appended and never changed

| kind | integers | hash |
|---|---|---|
| 1 SIZE | chunk count, 0 | zeros |
| 2 NODE | first and last chunk | of the node: a peak, or an uncle of a held block |
| 3 HELD | first and last chunk | of the node: every chunk below it is in the file |

Any other kind ends the journal: the reserved space behind the last record is zeros. What a crash tore off is fetched
again. Nothing in a journal is believed: a held block counts when the file's octets hash up to the swarm's root.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from struct import Struct
from typing import Protocol, TypeAlias

import attrs

from ppsp import RangeSet
from ppsp.errors import MetadataError
from ppsp.merkle import MerkleTree, Verdict, hash_chunks, hash_each
from ppsp.metadata import SwarmMetadata, SwarmUri

_MAGIC = b"ppspp-resume 1 "
# A URI is shorter than this (ppsp.metadata); a longer first line is no journal of ours.
_MAX_HEADER = 16_384
_FIELDS = Struct(">BQQ")
_SIZE, _NODE, _HELD = 1, 2, 3
# Chunks proven by one record. A wrong octet in the file costs one such block; smaller ones make the journal larger:
# with 16 it takes about 0.6 % of the content.
BLOCK_CHUNKS = 16

Node: TypeAlias = tuple[int, int]
_Record: TypeAlias = tuple[int, int, int, bytes]


class JournalError(Exception):
    """The journal is not one, or of another swarm; the text says which."""


@attrs.frozen
class HeldContent:
    """What of a part file is proven: the chunks, and the tree that proves them.

    `content_size` (octets) is known when the last chunk is held, and where sizes vary when all are; `refused` chunks
    were claimed and are not right; the chunks held have so many `octets`.
    """

    tree: MerkleTree
    have: RangeSet
    content_size: int | None
    refused: int
    octets: int


class PartOctets(Protocol):
    """The octets of a part file, by chunk. `chunk_size` is what to take a chunk for in a display."""

    @property
    def chunk_size(self) -> int: ...

    def chunks(self, first: int, last: int) -> Sequence[bytes | memoryview]:
        """The chunks `first` to `last`, as far as they are there: too few, or empty ones, are not verified."""

    def content_size(self, have: RangeSet, count: int) -> int | None:
        """The size of content of `count` chunks of which `have` are held, if that is known."""

    def octets_held(self, have: RangeSet, content_size: int | None, count: int) -> int:
        """How many octets the chunks in `have` are."""


class FixedOctets:
    """The octets of the part file `fd` whose chunks all have one size."""

    def __init__(self, fd: int, chunk_size: int) -> None:
        self._fd = fd
        self.chunk_size = chunk_size

    def chunks(self, first: int, last: int) -> list[memoryview]:
        """As `PartOctets.chunks`."""
        size = self.chunk_size
        data = memoryview(os.pread(self._fd, (last - first + 1) * size, first * size))
        return [data[at : at + size] for at in range(0, len(data), size)]

    def content_size(self, have: RangeSet, count: int) -> int | None:
        """As `PartOctets.content_size`: the file's, when the last chunk is right."""
        return min(os.fstat(self._fd).st_size, count * self.chunk_size) if have.contains(count - 1) else None

    def octets_held(self, have: RangeSet, content_size: int | None, count: int) -> int:
        """As `PartOctets.octets_held`."""
        missing = 0 if content_size is None else count * self.chunk_size - content_size  # in the last chunk
        return have.total * self.chunk_size - missing


@attrs.frozen
class Claims:
    """What a journal says, none of it proven."""

    chunk_count: int | None
    nodes: dict[Node, bytes]
    held: list[Node]


class Journal:
    """The open journal of one part file."""

    def __init__(self, fd: int, path: Path, metadata: SwarmMetadata, end: int) -> None:
        self.metadata = metadata
        self._fd = fd
        self._path = path
        self._record_size = _FIELDS.size + metadata.hash_size
        self._start = self._end = end
        self._reserved = False
        self._has_peaks = False
        self._have = RangeSet()
        self._fresh = RangeSet()
        self._claimed = RangeSet()

    @classmethod
    def create(cls, path: Path, uri: SwarmUri) -> Journal:
        """Start an empty journal at `path`, over whatever was there; OSError when it cannot be written."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        header = _MAGIC + str(uri).encode() + b"\n"
        try:
            _write_all(fd, header, 0)
        except OSError:
            os.close(fd)
            raise
        return cls(fd, path, uri.metadata, len(header))

    @classmethod
    def open(cls, path: Path, uri: SwarmUri) -> Journal:
        """Open the journal at `path`; JournalError unless it is of the swarm of `uri`, OSError when there is none."""
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            line, feed, _ = os.pread(fd, _MAX_HEADER, 0).partition(b"\n")
            if not feed or not line.startswith(_MAGIC):
                raise JournalError(f"{path.name} is not a journal")
            if not _same_swarm(line.removeprefix(_MAGIC), uri.metadata):
                raise JournalError("it belongs to another swarm")
            return cls(fd, path, uri.metadata, len(line) + 1)
        except BaseException:
            os.close(fd)
            raise

    def read(self) -> Claims:
        """Every whole record; whatever is appended next stands behind the last of them."""
        size: int | None = None
        nodes: dict[Node, bytes] = {}
        held: list[Node] = []
        with os.fdopen(os.dup(self._fd), "rb") as file:
            file.seek(self._start)
            end = self._start
            while len(record := file.read(self._record_size)) == self._record_size:
                kind, first, last = _FIELDS.unpack_from(record)
                if kind == _SIZE:
                    size = first
                elif kind in (_NODE, _HELD):
                    nodes[first, last] = record[_FIELDS.size :]
                    if kind == _HELD:
                        held.append((first, last))
                else:
                    break
                end += self._record_size
        self._end = end
        return Claims(size, nodes, held)

    def verified(self, start: int, stop: int) -> None:
        """The chunks from `start` up to, not including, `stop` are verified and written."""
        self._have.add(start, stop)
        self._fresh.add(start, stop)

    def flush(self, tree: MerkleTree) -> None:
        """Append the records of the blocks that `verified` has completed since; OSError when that fails."""
        count = tree.chunk_count
        if count is None or not self._fresh.total:
            return
        records: list[_Record] = []
        if not self._reserved:
            self._reserve(count)
            records.append((_SIZE, count, 0, bytes(self.metadata.hash_size)))
        if not self._has_peaks and (peaks := tree.peaks()):
            records += [(_NODE, *peak) for peak in peaks]
            self._has_peaks = True
        # Where the metadata tell the number of chunks, some may be verified up to the root before any peak is known.
        root = root_range(count)
        for start, stop in self._fresh:
            for block, peak in blocks(count, start, stop):
                if self._have.covers(block[0], block[1] + 1) and not self._claimed.covers(block[0], block[1] + 1):
                    records += self._claim(tree, block, peak if self._has_peaks else root)
        self._fresh.clear()
        self._append(records)

    def restored(self, have: RangeSet, held: list[Node]) -> None:
        """Take over what an earlier run's records prove."""
        self._have = have.copy()
        for first, last in held:
            self._claimed.add(first, last + 1)

    def _claim(self, tree: MerkleTree, block: Node, top: Node) -> list[_Record]:
        """The block, and its uncles up to where the records of an earlier claim allow to compute them."""
        records = [(_HELD, *block, _known(tree, block))]
        node = block
        while node != top:
            sibling, node = family(node)
            if self._claimed.intersects(node[0], node[1] + 1):
                break
            records.append((_NODE, *sibling, _known(tree, sibling)))
        self._claimed.add(block[0], block[1] + 1)
        return records

    def _reserve(self, chunk_count: int) -> None:
        """Take the disk space of the whole journal now, so that a full disk does not forget what it holds."""
        records = 2 * (chunk_count // BLOCK_CHUNKS) + 3 * 64
        os.posix_fallocate(self._fd, self._start, records * self._record_size)
        self._reserved = True

    def _append(self, records: list[_Record]) -> None:
        data = b"".join([_FIELDS.pack(kind, first, last) + known for kind, first, last, known in records])
        _write_all(self._fd, data, self._end)
        self._end += len(data)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def remove(self) -> None:
        """Take the journal's name away."""
        self._path.unlink(missing_ok=True)


def restore(journal: Journal, part: PartOctets, progress: Callable[[int, int], None]) -> HeldContent:
    """Hash every block that `journal` claims to be in the part file, and keep what the swarm's root proves."""
    metadata = journal.metadata
    claims = journal.read()
    tree = bare_tree(metadata)
    have = RangeSet()
    count = claims.chunk_count or 0
    peaks = {peak: claims.nodes.get(peak, b"") for peak in peak_ranges(count)}
    held = [node for node in set(claims.held) if node in (block for block, _ in blocks(count, node[0], node[0] + 1))]
    if count and count == tree.chunk_count and not all(peaks.values()):
        peaks = {root_range(count): metadata.swarm_id}  # chunks were verified up to the root
    elif not tree.set_peaks([(*peak, known) for peak, known in peaks.items()]):
        held = []
    hashes = _with_parents(claims.nodes, metadata)
    proven = []
    done = 0
    total = sum(last - first + 1 for first, last in held)
    # The last block first: when it is right, the number of chunks is certain and the rest is verified faster.
    for block in sorted(held, reverse=True):
        proof = _proof(block, peaks, hashes)
        if _verify_block(tree, part, block, proof, hashes[block], metadata):
            have.add(block[0], block[1] + 1)
            proven.append(block)
        done += block[1] - block[0] + 1
        progress(done * part.chunk_size, total * part.chunk_size)
    journal.restored(have, proven)
    if not have:  # then nothing proves the number of chunks, if the metadata do not tell it
        tree = bare_tree(metadata)
    size = part.content_size(have, count)
    return HeldContent(tree, have, size, total - have.total, part.octets_held(have, size, count))


def bare_tree(metadata: SwarmMetadata) -> MerkleTree:
    """What is known of the tree by the metadata alone."""
    tree = MerkleTree(metadata.swarm_id, metadata.merkle_hash_function)
    if metadata.expected_chunks is not None:
        tree.set_chunk_count(metadata.expected_chunks)
    return tree


def _verify_block(
    tree: MerkleTree, part: PartOctets, block: Node, proof: dict[Node, bytes], claimed: bytes, metadata: SwarmMetadata
) -> bool:
    first, last = block
    chunks = part.chunks(first, last)
    below = _subtree(first, chunks, metadata)
    if below.get(block) != claimed:
        return False
    # The first chunk proves the block up to the root; the others need what lies to their right inside the block.
    hashes = below | proof
    for chunk in range(first, last + 1):
        if chunk > first:
            hashes = _uncles_ahead(chunk, below)
        if tree.verify(chunk, chunks[chunk - first], hashes) is not Verdict.VERIFIED:
            return False
    return True


def _uncles_ahead(chunk: int, below: dict[Node, bytes]) -> dict[Node, bytes]:
    """The uncles of a chunk up to where an earlier chunk of its block has proven them."""
    found = {}
    width = 1
    while not chunk & width:
        uncle = (chunk + width, chunk + 2 * width - 1)
        found[uncle] = below[uncle]
        width *= 2
    return found


def _proof(block: Node, peaks: dict[Node, bytes], hashes: dict[Node, bytes]) -> dict[Node, bytes]:
    """The hashes that a peer would send with the first chunk of a block: all peaks, and the uncles of the block."""
    proof = dict(peaks)
    node = block
    while node not in peaks:
        sibling, node = family(node)
        if sibling in hashes:
            proof[sibling] = hashes[sibling]
    return proof


def _subtree(first: int, chunks: Sequence[bytes | memoryview], metadata: SwarmMetadata) -> dict[Node, bytes]:
    """Every node over the chunks, of which there are a power of two unless the file was cut short."""
    step = metadata.hash_size
    row = hash_each(chunks, metadata.merkle_hash_function)
    nodes: dict[Node, bytes] = {}
    width = 1
    while row:
        for index in range(len(row) // step):
            start = first + index * width
            nodes[start, start + width - 1] = row[index * step : (index + 1) * step]
        width *= 2
        row = hash_chunks(row, 2 * step, metadata.merkle_hash_function) if len(row) > step else b""
    return nodes


def _with_parents(nodes: dict[Node, bytes], metadata: SwarmMetadata) -> dict[Node, bytes]:
    """`nodes`, and every node above them that two of them allow to compute."""
    known = dict(nodes)
    rows: dict[int, list[int]] = {}
    for first, last in nodes:
        rows.setdefault(last - first + 1, []).append(first)
    for width in (1 << layer for layer in range(max(rows, default=0).bit_length())):
        for first in rows.get(width, ()):
            sibling, parent = family((first, first + width - 1))
            if parent[0] == first and parent not in known and sibling in known:
                pair = known[first, first + width - 1] + known[sibling]
                known[parent] = hash_chunks(pair, len(pair), metadata.merkle_hash_function)
                rows.setdefault(2 * width, []).append(first)
    return known


def family(node: Node) -> tuple[Node, Node]:
    """The sibling and the parent of a node."""
    first, last = node
    width = last - first + 1
    other, low = first ^ width, first & ~width
    return (other, other + width - 1), (low, low + 2 * width - 1)


def root_range(chunk_count: int) -> Node:
    """First and last chunk of the root over so many chunks, counting those that are empty."""
    return 0, (1 << (chunk_count - 1).bit_length()) - 1


def peak_ranges(chunk_count: int) -> Iterator[Node]:
    """First and last chunk of every peak of so many chunks, left to right (RFC 7574 section 5.6.1)."""
    first = 0
    while chunk_count:
        width = 1 << chunk_count.bit_length() - 1
        yield first, first + width - 1
        first += width
        chunk_count -= width


def blocks(chunk_count: int, start: int, stop: int) -> Iterator[tuple[Node, Node]]:
    """The blocks with chunks from `start` up to, not including, `stop`, each with the peak that it lies below."""
    for peak in peak_ranges(chunk_count):
        low, high = max(start, peak[0]), min(stop, peak[1] + 1)
        width = min(BLOCK_CHUNKS, peak[1] - peak[0] + 1)
        for first in range(low & -width, high, width) if low < high else ():
            yield (first, first + width - 1), peak


def _known(tree: MerkleTree, node: Node) -> bytes:
    known = tree.node(*node)
    assert known is not None, "a verified chunk has all its uncles"
    return known


def _same_swarm(text: bytes, metadata: SwarmMetadata) -> bool:
    try:
        other = SwarmUri.parse(text.decode()).metadata
    except (UnicodeDecodeError, MetadataError):
        return False
    same = ("swarm_id", "chunk_size", "merkle_hash_function", "content_integrity")
    return all(getattr(other, name) == getattr(metadata, name) for name in same)


def _write_all(fd: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written
