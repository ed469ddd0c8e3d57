"""From a file to a swarm: hash its chunks into the Merkle tree whose root names the swarm."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import TypeAlias, TypeVar

from ppsp.constants import MerkleHashFunction
from ppsp.merkle import MAX_CHUNKS, MerkleTree, hash_chunks, hash_each

Progress: TypeAlias = Callable[[int, int], None]
_Result = TypeVar("_Result")
_EMPTY = "the file is empty, and RFC 7574 has no swarm for content of no octets"
# Octets read and hashed between two reports of progress: some 8 ms of work.
_STRIDE = 4 * 1024 * 1024
# Chunks of variable size that are read at once: 64 times 16, as the tree takes them, and up to 60 MB of the longest.
_RUN = 1024


class SeedError(Exception):
    """The file cannot be a swarm; the text says why, in one sentence."""


class _StoppedError(Exception):
    """Nobody waits for the result any more."""


def hash_file(fd: int, chunk_size: int, hash_function: MerkleHashFunction, progress: Progress) -> MerkleTree:
    """The Merkle tree of the regular file `fd`, read in long strides; `progress(octets done, in all)` on the way.

    Raises SeedError for what no swarm can hold (no octets at all, too many chunks, not a file) and for a file that
    changes meanwhile, and OSError.
    """
    before = os.fstat(fd)
    if not stat.S_ISREG(before.st_mode):
        raise SeedError("only a regular file can be a swarm")
    size = before.st_size
    if size == 0:
        raise SeedError(_EMPTY)
    if size > MAX_CHUNKS * chunk_size:
        raise SeedError(f"{size} octets are more than {MAX_CHUNKS} chunks of {chunk_size} octets; take larger chunks")
    # Whole blocks of 64 chunks, as the tree takes them.
    stride = max(1, _STRIDE // (64 * chunk_size)) * 64 * chunk_size
    buffer = memoryview(bytearray(min(stride, size)))

    def runs() -> Iterator[bytes]:
        for offset in range(0, size, stride):
            wanted = min(stride, size - offset)
            if os.preadv(fd, [buffer[:wanted]], offset) != wanted:
                raise SeedError("the file became shorter while it was read")
            yield hash_chunks(buffer[:wanted], chunk_size, hash_function)
            progress(offset + wanted, size)

    tree = MerkleTree.from_runs(runs(), -(-size // chunk_size), hash_function)
    if changed(fd, before):
        raise SeedError("the file was changed while it was read")
    return tree


def hash_sized(fd: int, sizes: Sequence[int], hash_function: MerkleHashFunction, progress: Progress) -> MerkleTree:
    """The Merkle tree of the regular file `fd` cut into chunks of these sizes; otherwise as `hash_file`.

    Raises SeedError, besides, where the sizes are not those of the file.
    """
    before = os.fstat(fd)
    if not stat.S_ISREG(before.st_mode):
        raise SeedError("only a regular file can be a swarm")
    size, total = before.st_size, sum(sizes)
    if size == 0:
        raise SeedError(_EMPTY)
    if len(sizes) > MAX_CHUNKS:
        raise SeedError(f"{len(sizes)} chunks are more than {MAX_CHUNKS}; take larger chunks")
    if size != total:
        raise SeedError(f"the chunks have {total} octets together, the file has {size}")

    def runs() -> Iterator[bytes]:
        offset = 0
        for first in range(0, len(sizes), _RUN):
            ends = list(accumulate(sizes[first : first + _RUN], initial=0))
            data = memoryview(os.pread(fd, ends[-1], offset))
            if len(data) != ends[-1]:
                raise SeedError("the file became shorter while it was read")
            yield hash_each([data[start:stop] for start, stop in pairwise(ends)], hash_function)
            offset += ends[-1]
            progress(offset, size)

    tree = MerkleTree.from_runs(runs(), len(sizes), hash_function)
    if changed(fd, before):
        raise SeedError("the file was changed while it was read")
    return tree


def changed(fd: int, before: os.stat_result) -> bool:
    """Whether the file was written to since `before`."""
    now = os.fstat(fd)
    return (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns)


async def in_thread(work: Callable[[Progress], _Result], report: Progress) -> _Result:
    """Run long work that reports its progress in a thread; when cancelled, the work ends at its next report."""
    stopped = False

    def progress(done: int, total: int) -> None:
        if stopped:
            raise _StoppedError
        report(done, total)

    try:
        return await asyncio.to_thread(work, progress)
    finally:
        stopped = True
