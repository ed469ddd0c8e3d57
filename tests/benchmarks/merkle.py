"""What Merkle trees and range sets cost, in CPU time.

    python tests/benchmarks/merkle.py [--mebibytes 32] [--rounds 7] [--json]

Building is in MB/s, beside one hash over everything in the same run: the ratio does not depend on the machine. The rest
is in microseconds a chunk of 1 KiB, in a download in order: `verify` with the hashing it cannot do without (`hashing`:
each chunk and each inner node once) and what it takes beyond that, `uncles` on average and where none is needed. Every
figure is the least of the rounds. Exit status 1 where a limit is passed.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from ppsp._ranges import RangeSet
from ppsp.constants import MerkleHashFunction
from ppsp.merkle import _NEW, MerkleTree, Verdict, hash_chunks

CHUNK = 1024
# Budgets of a data path of 60 MB/s, with room for a machine half as fast: building MB/s, the others microseconds.
LIMITS = {"build MB/s": 300.0, "verify beyond": 2.0, "uncles, none": 0.8, "add": 1.2}
FUNCTIONS = (MerkleHashFunction.SHA1, MerkleHashFunction.SHA256)
_BATCH = 32


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def verifying(source: MerkleTree, chunks: list[memoryview]) -> tuple[float, float]:
    """CPU seconds of verifying all chunks in order, and of hashing alone, in batches as they come from a network."""
    count = len(chunks)
    new = _NEW[source.hash_function]
    pair = bytes(2 * source.hash_size)
    tree = MerkleTree(source.root, source.hash_function)
    tree.set_chunk_count(count)
    tree.set_peaks(source.peaks())
    verify = tree.verify
    spent = hashing = 0
    for first in range(0, count, _BATCH):
        batch = [(chunk, chunks[chunk]) for chunk in range(first, min(first + _BATCH, count))]
        hashes = {
            (start, end): bytes(bytearray(digest))  # fresh memory, as decoded from a datagram
            for chunk, _ in batch
            for start, end, digest in source.uncles(chunk, left=chunk - 1, right=count)
        }
        start = time.perf_counter_ns()
        for _, data in batch:
            new(data).digest()
        for _ in batch:
            new(pair).digest()
        hashed = time.perf_counter_ns()
        verdicts = [verify(chunk, data, hashes) for chunk, data in batch]
        spent += time.perf_counter_ns() - hashed
        hashing += hashed - start
        if set(verdicts) != {Verdict.VERIFIED}:
            raise SystemExit("the benchmark's own chunks do not verify")
    return spent / 1e9, hashing / 1e9


def uncles(source: MerkleTree, chunks: Iterable[int], count: int) -> None:
    """The hashes of each chunk for a peer that has the chunks before it."""
    of = source.uncles
    for chunk in chunks:
        of(chunk, left=chunk - 1, right=count)


def adding(ranges: RangeSet, starts: list[int]) -> None:
    """One number at a time."""
    add = ranges.add
    for start in starts:
        add(start, start + 1)


def measure(function: MerkleHashFunction, data: bytes) -> dict[str, float]:
    """One round."""
    view = memoryview(data)
    chunks = [view[at : at + CHUNK] for at in range(0, len(data), CHUNK)]
    count = len(chunks)
    trees: list[MerkleTree] = []
    build = cpu(lambda: trees.append(MerkleTree.from_leaves(hash_chunks(data, CHUNK, function), function)))
    one = cpu(lambda: _NEW[function](data).digest())
    source = trees[0]
    spent, hashing = verifying(source, chunks)
    each = 1e6 / count
    return {
        "build": build * each,
        "one hash": one * each,
        "verify": spent * each,
        "hashing": hashing * each,
        "uncles": cpu(lambda: uncles(source, range(count), count)) * each,
        "uncles, none": cpu(lambda: uncles(source, [chunk | 1 for chunk in range(count)], count)) * each,
    }


def measure_ranges(count: int) -> dict[str, float]:
    """Microseconds of `add` where the number extends the last range, and one of a thousand ranges."""
    spread = [block * 2000 + step for step in range(1, count // 1000 + 1) for block in range(1000)]
    in_order = list(range(count))
    return {
        "add": cpu(lambda: adding(RangeSet(), in_order)) / count * 1e6,
        "add, 1000 ranges": cpu(lambda: adding(RangeSet([(b * 2000, b * 2000 + 1) for b in range(1000)]), spread))
        / len(spread)
        * 1e6,
    }


def least(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The least of every figure."""
    return {name: min(each[name] for each in rounds) for name in rounds[0]}


def report(rows: dict[str, dict[str, float]], ranges: dict[str, float]) -> None:
    """Print the tables."""
    print(f"{'':8} {'build':>14} {'one hash':>14} {'ratio':>6}")
    for name, row in rows.items():
        print(f"{name:8} {row['build MB/s']:9.0f} MB/s {row['one hash MB/s']:9.0f} MB/s {row['ratio']:6.2f}")
    print(f"\n{'us a chunk':10} {'verify':>8} {'hashing':>8} {'beyond':>8} {'uncles':>8} {'none':>8}")
    names = ("verify", "hashing", "verify beyond", "uncles", "uncles, none")
    for name, row in rows.items():
        print(f"{name:10} " + " ".join(f"{row[each]:8.2f}" for each in names))
    print(f"\nRangeSet.add: {ranges['add']:.2f} us in order, {ranges['add, 1000 ranges']:.2f} us over 1000 ranges")


def main() -> None:
    """Measure, print, compare with the limits."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--mebibytes", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    data = bytes(range(251)) * (options.mebibytes * 2**20 // 251)
    rounds: dict[MerkleHashFunction, list[dict[str, float]]] = {function: [] for function in FUNCTIONS}
    range_rounds = []
    for _ in range(options.rounds):
        for function in FUNCTIONS:
            rounds[function].append(measure(function, data))
        range_rounds.append(measure_ranges(100_000))
    rows: dict[str, dict[str, Any]] = {}
    for function in FUNCTIONS:
        row = least(rounds[function])
        row["build MB/s"] = CHUNK / row["build"]
        row["one hash MB/s"] = CHUNK / row["one hash"]
        row["ratio"] = row["one hash"] / row["build"]
        row["verify beyond"] = row["verify"] - row["hashing"]
        rows[function.name] = row
    ranges = least(range_rounds)
    if options.json:
        print(json.dumps({**rows, "RangeSet": ranges}))
    else:
        report(rows, ranges)
    slow = [name for name, row in rows.items() if row["build MB/s"] < LIMITS["build MB/s"]]
    slow += [
        f"{name} {what}"
        for name, row in rows.items()
        for what in ("verify beyond", "uncles, none")
        if row[what] > LIMITS[what]
    ]
    slow += ["RangeSet.add"] if ranges["add"] > LIMITS["add"] else []
    if slow:
        sys.exit("slower than the limit: " + ", ".join(slow))


if __name__ == "__main__":
    main()
