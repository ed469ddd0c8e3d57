"""Many peers in one swarm, and swarms over lines that lose packets.

    python tests/benchmarks/ppsp_swarm.py peers [--peers 50] [--size 8388608]
    python tests/benchmarks/ppsp_swarm.py loss [--rates 2 4 20] [--sources 1 8]

`peers`: one source and so many peers, each a process with a UDP socket on loopback, which call the source and four of
the peers before them. Prints when half of them and all of them were complete, MB/s over all (10^6 octets), CPU
milliseconds a MB delivered, what the source sent in copies of the content, and the memory of the largest process.

`loss`: in virtual time, with LEDBAT: lines of 20 ms there and back, on which each packet of a source is lost with 1 %.
Prints MB/s, the part of the rate without loss that is kept, and INTEGRITY messages a chunk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ppsp_loopback import MEGA, peak_memory, write_random

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from ppsp_swarms import SimulatedSwarm

from interop.filestore import FileStore
from interop.seeding import hash_file
from interop.udp import UdpDriver
from ledbat import Ledbat
from ppsp import Endpoint, MerkleHashFunction, SwarmComplete, SwarmMetadata

_FRIENDS = 4
_LIMIT_SECONDS = 300


async def _run(path: Path, root: str) -> None:
    """A process of the swarm: the source, which holds the content, when there is no root hash yet."""
    endpoint = Endpoint(controller=lambda mss: Ledbat(mss=mss), epoch=time.time() - time.monotonic())
    with path.open("rb" if not root else "w+b") as file:
        store = FileStore(file.fileno())
        if root:
            metadata = SwarmMetadata(bytes.fromhex(root))
            endpoint.add_swarm(metadata, store=store)
        else:
            tree = hash_file(file.fileno(), 1024, MerkleHashFunction.SHA256, lambda done, total: None)
            metadata = SwarmMetadata(tree.root)
            endpoint.add_swarm(metadata, store=store, tree=tree, content_size=os.fstat(file.fileno()).st_size)

        def look() -> None:
            while (event := endpoint.next_event()) is not None:
                if isinstance(event, SwarmComplete):
                    print(json.dumps({"complete": time.monotonic()}), flush=True)

        driver = await UdpDriver.open(endpoint, ("127.0.0.1", 0), on_events=look)
        print(json.dumps({"port": driver.local_address[1], "root": metadata.swarm_id.hex()}), flush=True)
        loop = asyncio.get_running_loop()
        ports = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
        before = time.process_time()
        for port in ports:
            endpoint.connect(metadata.swarm_id, ("127.0.0.1", port), time.monotonic())
        driver.wake()
        await loop.run_in_executor(None, sys.stdin.readline)
        figures = {"cpu": time.process_time() - before, "octets": driver.stats.octets_out, "memory": peak_memory()}
        print(json.dumps(figures), flush=True)
        driver.close()


def _child(path: Path, root: str) -> subprocess.Popen[str]:
    words = [sys.executable, __file__, "run", "--path", str(path), "--root", root]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


def _say(process: subprocess.Popen[str], words: object) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(words) + "\n")
    process.stdin.flush()


def _measure_peers(folder: Path, count: int, size: int) -> dict[str, float]:
    write_random(folder / "source", size)
    source = _child(folder / "source", "")
    hello = _line(source)
    peers = [_child(folder / f"copy{number}", hello["root"]) for number in range(count)]
    ports = [_line(peer)["port"] for peer in peers]
    # All are there before the first one starts, so that starting processes is not measured.
    start = time.monotonic()
    _say(source, [])
    for number, peer in enumerate(peers):
        _say(peer, [hello["port"], *ports[max(number - _FRIENDS, 0) : number]])
    complete = sorted(_line(peer)["complete"] - start for peer in peers)
    load = os.getloadavg()[0]
    figures = []
    for process in (source, *peers):
        _say(process, "end")
        figures.append(_line(process))
        process.wait(30)
    content = (folder / "source").read_bytes()
    if any((folder / f"copy{number}").read_bytes() != content for number in range(count)):
        raise SystemExit("a copy differs")
    delivered = count * size / MEGA
    return {
        "peers": count,
        "half complete after s": complete[count // 2],
        "all complete after s": complete[-1],
        "MB/s over all": delivered / complete[-1],
        "CPU ms/MB": sum(each["cpu"] for each in figures) * 1000 / delivered,
        "copies sent by the source": figures[0]["octets"] / size,
        "largest process MB": max(each["memory"] for each in figures),
        "load": load,
    }


def _measure_loss(rates: list[float], sources: list[int]) -> None:
    for count in sources:
        for rate in rates:
            swarms = []
            for loss in (0.0, 0.01):
                # Thirty seconds' worth: slow start is a small part.
                swarm = SimulatedSwarm(int(rate * MEGA / 8 * 30), sources=count, rate=rate, loss=loss)
                if not swarm.run(_LIMIT_SECONDS):
                    raise SystemExit("the swarm does not complete")
                swarms.append(swarm)
            clean, lossy = swarms
            print(
                f"  {rate:g} Mbit/s, {count} source{'s' * (count > 1)}: {clean.rate / MEGA:.3f} MB/s without loss, "
                f"{lossy.rate / MEGA:.3f} MB/s with 1 %, {lossy.rate / clean.rate:.0%} kept; INTEGRITY a chunk "
                f"{clean.integrity_per_chunk:.2f} without, {lossy.integrity_per_chunk:.2f} with"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["peers", "loss", "run"], help="both by default")
    parser.add_argument("--peers", type=int, default=50)
    parser.add_argument("--size", type=int, default=8 * 1024 * 1024)
    parser.add_argument("--rates", type=float, nargs="+", default=[2, 4, 20], help="Mbit/s")
    parser.add_argument("--sources", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--root", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.what == "run":
        asyncio.run(_run(options.path, options.root))
        return
    if options.what != "peers":
        _measure_loss(options.rates, options.sources)
    if options.what != "loss":
        with tempfile.TemporaryDirectory() as folder:
            figures = _measure_peers(Path(folder), options.peers, options.size)
        print("  " + ", ".join(f"{key} {value:.2f}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
