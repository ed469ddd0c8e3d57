"""How long a player waits for its first octet at the gateway of `ietf-p2p play`, at the start and after seeks.

    python tests/benchmarks/ppsp_gateway.py [--size 419430400] [--chunk-size 1024] [--rounds 5] [--json]

One source and one player's gateway, separate processes, on loopback; in each round the gateway starts with nothing. It
is asked for the start, then, while the file is still being fetched, for the middle and for the end, as a player does
that seeks: after half a second of reading, on a new connection, the old one given up. Milliseconds from opening the
connection to the first octet of the body, medians and the slowest; with the source at full speed and at 4 MB/s.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_WATCH_SECONDS = 0.5
_LIMITS = {"full speed": None, "4 MB/s": "4M"}


def _start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "interop", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def _event(process: subprocess.Popen[str], kind: str) -> dict[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:
        event: dict[str, Any] = json.loads(line)
        if event["event"] == kind:
            return event
    raise SystemExit("a benchmark process ended without a result")


class _Player:
    """Reads from the gateway, one connection at a time."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._connection: http.client.HTTPConnection | None = None

    def seek(self, offset: int) -> float:
        """Milliseconds to the first octet from `offset` on; then it reads on for a while."""
        if self._connection is not None:
            self._connection.close()
        began = time.perf_counter()
        self._connection = http.client.HTTPConnection(self._url.netloc, timeout=60)
        self._connection.request("GET", self._url.path, headers={"Range": f"bytes={offset}-"})
        answer = self._connection.getresponse()
        octet = answer.read(1)
        waited = 1000 * (time.perf_counter() - began)
        if answer.status != 206 or len(octet) != 1:
            raise SystemExit(f"the gateway answers {answer.status}")
        end = time.perf_counter() + _WATCH_SECONDS
        while time.perf_counter() < end:
            answer.read1(65536)
        return waited

    def verified(self) -> float:
        """The share of the file that is there."""
        connection = http.client.HTTPConnection(self._url.netloc, timeout=60)
        connection.request("GET", "/stats")
        stats = json.loads(connection.getresponse().read())
        connection.close()
        return float(stats["verified"])

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def run_once(uri: str, peer: str, size: int) -> dict[str, float]:
    """One fresh gateway: the waits, and how much of the file was there before the last of them."""
    with tempfile.TemporaryDirectory() as folder:
        process = _start(Path(folder), "play", uri, "--peer", peer, "--listen", "127.0.0.1:0", "-o", "copy", "--json")
        try:
            player = _Player(_event(process, "playing")["url"])
            waits = {"start": player.seek(0), "middle": player.seek(size // 2)}
            verified = player.verified()
            waits["end"] = player.seek(size - 65536)
            player.close()
        finally:
            process.terminate()
            process.wait(30)
    if verified >= 0.9:
        raise SystemExit("the end was there before the last seek: take a larger file")
    waits["verified before the last seek, %"] = 100 * verified
    return waits


def measure(size: int, chunk_size: int, rounds: int) -> list[dict[str, Any]]:
    """A row for each speed of the source."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "film").write_bytes(os.urandom(size))
        for name, limit in _LIMITS.items():
            words = ["--upload-limit", limit] if limit else []
            source = _start(
                Path(folder),
                "seed",
                "film",
                "--listen",
                "127.0.0.1:0",
                "--json",
                "--chunk-size",
                str(chunk_size),
                *words,
            )
            try:
                swarm = _event(source, "seeding")
                runs = [run_once(swarm["uri"], swarm["listen"], size) for _ in range(rounds)]
            finally:
                source.terminate()
                source.wait(30)
            row: dict[str, Any] = {"source": name}
            for key in runs[0]:
                row[key] = statistics.median(run[key] for run in runs)
            row |= {f"slowest {key}": max(run[key] for run in runs) for key in ("start", "middle", "end")}
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=400 * 1024 * 1024)
    parser.add_argument("--chunk-size", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options.size, options.chunk_size, options.rounds)
    if options.json:
        print(json.dumps(rows))
        return
    print(f"first octet through the gateway in ms, {options.size} octets, chunks of {options.chunk_size}, loopback")
    for row in rows:
        print("  " + ", ".join(f"{k} {v:.1f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))


if __name__ == "__main__":
    main()
