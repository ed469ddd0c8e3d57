"""PPSPP on loopback: one source and one peer, separate processes, beside the ceiling of a bare socket loop.

    python tests/benchmarks/ppsp_loopback.py [--size 104857600] [--chunk-size 1024] [--rounds 3] [--plain|--offload]
        [--max-datagram 36864]

Prints, for plain sockets and for segmentation offload: MB/s (10^6 octets of content a second, median), CPU microseconds
a chunk on either side, CPU milliseconds a MB on both together (which other processes disturb less than the clock), the
most memory either side ever held, the octets on the wire beyond the content (UDP payloads in both directions), the load
of the machine, and the ratio to the ceiling: as many datagrams of the same size with nothing done but to hash each
chunk, measured in the same round. `--size 1073741824 --rounds 1` shows the memory that a GiB takes.
"""

from __future__ import annotations

import argparse
import asyncio
import filecmp
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import udp_ceiling

from interop.filestore import FileStore
from interop.seeding import hash_file
from interop.udp import UdpDriver
from ledbat import Ledbat
from ppsp import Endpoint, MerkleHashFunction, Sequential, SwarmComplete, SwarmMetadata
from ppsp.pmtu import LONGEST

MEGA = 1e6
_STRIDE = 4 * 1024 * 1024


def _endpoint() -> Endpoint:
    return Endpoint(controller=lambda mss: Ledbat(mss=mss), epoch=time.time() - time.monotonic())


async def _source(path: Path, chunk_size: int, offload: bool, longest: int) -> None:
    endpoint = _endpoint()
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        tree = hash_file(file.fileno(), chunk_size, MerkleHashFunction.SHA256, lambda done, total: None)
        metadata = SwarmMetadata(tree.root, chunk_size=chunk_size)
        endpoint.add_swarm(metadata, store=FileStore(file.fileno()), tree=tree, content_size=size)
        driver = await UdpDriver.open(endpoint, ("127.0.0.1", 0), offload=offload, max_datagram=longest or None)
        print(json.dumps({"port": driver.local_address[1], "root": tree.root.hex()}), flush=True)
        before = time.process_time()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        lost = sum(peer.chunks_lost for peer in endpoint.stats(tree.root).peers)
        _report(driver, before, lost=lost)


async def _peer(path: Path, chunk_size: int, offload: bool, longest: int, port: int, root: str) -> None:
    endpoint = _endpoint()
    metadata = SwarmMetadata(bytes.fromhex(root), chunk_size=chunk_size)
    done = asyncio.Event()

    def look() -> None:
        while (event := endpoint.next_event()) is not None:
            if isinstance(event, SwarmComplete):
                done.set()

    with path.open("w+b") as file:
        endpoint.add_swarm(metadata, store=FileStore(file.fileno()), picker=Sequential)
        driver = await UdpDriver.open(
            endpoint, ("127.0.0.1", 0), offload=offload, max_datagram=longest or None, on_events=look
        )
        before = time.process_time()
        start = time.perf_counter()
        endpoint.connect(metadata.swarm_id, ("127.0.0.1", port), time.monotonic())
        driver.wake()
        await asyncio.wait_for(done.wait(), 300)
        _report(driver, before, seconds=time.perf_counter() - start)


def _report(driver: UdpDriver, cpu_before: float, **more: float) -> None:
    cpu = time.process_time() - cpu_before
    driver.close()
    print(json.dumps({"cpu": cpu, "memory": peak_memory(), "octets_sent": driver.stats.octets_out, **more}), flush=True)


def peak_memory() -> float:
    """The most resident memory of this process so far, in MB (getrusage would count what its parent held)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / MEGA


def write_random(path: Path, size: int) -> None:
    """A file of random octets."""
    with path.open("wb") as file:
        for offset in range(0, size, _STRIDE):
            file.write(os.urandom(min(_STRIDE, size - offset)))


def _child(role: str, path: Path, chunk_size: int, offload: bool, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--role", role, "--path", str(path), "--chunk-size", str(chunk_size), *more]
    return subprocess.Popen(
        [*command, "--offload" if offload else "--plain"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    text = process.stdout.readline()
    if not text:
        raise SystemExit("a benchmark process ended without a result")
    result: dict[str, Any] = json.loads(text)
    return result


def run_once(folder: Path, size: int, chunk_size: int, offload: bool, longest: int) -> dict[str, float]:
    """One transfer; every copy is compared octet for octet."""
    source_path, copy_path = folder / "source", folder / "copy"
    if not source_path.exists() or source_path.stat().st_size != size:
        write_random(source_path, size)
    limit = ["--max-datagram", str(longest)]
    source = _child("source", source_path, chunk_size, offload, *limit)
    try:
        ready = _line(source)
        peer = _child(
            "peer", copy_path, chunk_size, offload, *limit, "--port", str(ready["port"]), "--root", ready["root"]
        )
        got = _line(peer)
        peer.wait(30)
        assert source.stdin is not None
        source.stdin.write("\n")
        source.stdin.flush()
        served = _line(source)
    finally:
        source.kill() if source.poll() is None and sys.exc_info()[0] else source.wait(30)
    if not filecmp.cmp(source_path, copy_path, shallow=False):
        raise SystemExit("the copy differs")
    copy_path.unlink()
    chunks = -(-size // chunk_size)
    return {
        "MB/s": size / got["seconds"] / MEGA,
        "source us/chunk": served["cpu"] / chunks * 1e6,
        "peer us/chunk": got["cpu"] / chunks * 1e6,
        "CPU ms/MB": (served["cpu"] + got["cpu"]) * 1000 / size * MEGA,
        "source MB": served["memory"],
        "peer MB": got["memory"],
        "load": os.getloadavg()[0],
        "overhead %": 100 * ((served["octets_sent"] + got["octets_sent"]) / size - 1),
        "chunks resent": served["lost"],
    }


def measure(size: int, chunk_size: int, rounds: int, modes: list[bool], longest: int) -> list[dict[str, Any]]:
    """Medians over the rounds, the ceiling measured in each round beside the transfer."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for offload in modes:
            runs, ceilings = [], []
            for _ in range(rounds):
                runs.append(run_once(Path(folder), size, chunk_size, offload, longest))
                ceilings.append(udp_ceiling.hashed_loop(size, chunk_size, offload=offload))
            row: dict[str, Any] = {"mode": "offload" if offload else "plain"}
            row |= {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            row["ceiling MB/s"] = statistics.median(ceilings)
            row["of ceiling"] = row["MB/s"] / row["ceiling MB/s"]
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=100 * 1024 * 1024)
    parser.add_argument("--chunk-size", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--offload", action="store_true")
    parser.add_argument("--max-datagram", type=int, default=LONGEST)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--role", choices=["source", "peer"], help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--root", help=argparse.SUPPRESS)
    options = parser.parse_args()
    common = (options.path, options.chunk_size, options.offload, options.max_datagram)
    if options.role == "source":
        asyncio.run(_source(*common))
        return
    if options.role == "peer":
        asyncio.run(_peer(*common, options.port, options.root))
        return
    modes = [offload for offload, asked in ((False, options.plain), (True, options.offload)) if asked] or [False, True]
    rows = measure(options.size, options.chunk_size, options.rounds, modes, options.max_datagram)
    if options.json:
        print(json.dumps(rows))
        return
    print(f"PPSPP, {options.size} octets, chunks of {options.chunk_size}, SHA-256, 1 source -> 1 peer, loopback")
    for row in rows:
        print("  " + ", ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))


if __name__ == "__main__":
    main()
