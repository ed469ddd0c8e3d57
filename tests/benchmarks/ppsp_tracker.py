"""A tracker with 100,000 registered peers in 5,000 swarms: how long a FIND takes, and how much memory that is.

    python tests/benchmarks/ppsp_tracker.py [--peers 100000] [--swarms 5000] [--rounds 5] [--seconds 2] [--json]

Each server is a process of its own, as `ietf-p2p tracker` runs it, filled by as many CONNECT requests. A FIND asks for
29 peers, each time under another transaction ID and for another peer, over connections that stay open. Beside ours in
memory and ours in a Redis runs a bare ASGI application in the same uvicorn that answers with the same octets; they take
turns. Printed are the times in which half and 99 % of the FINDs were answered with one connection, eight and 32, the
processor time of the server for one, the resident memory before and after filling, and ratios to the bare one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interop._http_server import Server, bind, config
from interop.tracker_running import Tracker, TrackerConfig
from ppsp.tracker import (
    MEDIA_TYPE,
    Action,
    ConnectRequest,
    FindRequest,
    PeerAddr,
    PeerMode,
    PeerNum,
    Request,
    SwarmAction,
    TrackerServer,
    encode,
)

HEADERS = (("Content-Type", MEDIA_TYPE),)
CONNECTIONS = (1, 8, 32)
TICKS = os.sysconf("SC_CLK_TCK")


def swarm_of(number: int, swarms: int) -> str:
    """As long as the SHA-256 root hash of a PPSPP swarm."""
    return f"{number % swarms:064x}"


def peer_of(number: int) -> str:
    return f"{number:032x}"


def find(number: int, swarms: int, count: int) -> bytes:
    return encode(FindRequest(f"{count:024x}", peer_of(number), swarm_of(number, swarms), PeerNum(29)))


def fill(server: TrackerServer, peers: int, swarms: int) -> None:
    for number in range(peers):
        address = PeerAddr(
            f"192.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 7000, peer_protocol="PPSP-PP"
        )
        mode = PeerMode.SEEDER if number % 10 == 0 else PeerMode.LEECH
        action = SwarmAction(swarm_of(number, swarms), Action.JOIN, mode)
        body = encode(ConnectRequest(f"{number:024x}", peer_of(number), (action,), PeerNum(0), (address,)))
        assert (
            server.handle(Request("POST", "/", HEADERS, body), (address.address, 7000), time.monotonic()).status == 200
        )


def resident(pid: int) -> int:
    """Octets."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def processor_time(pid: int) -> float:
    """Seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def serve(arguments: argparse.Namespace) -> None:
    """What the processes of the servers do: fill, say where they are, serve until they are killed."""
    empty = resident(os.getpid())
    if arguments.serve == "bare":
        body = bytes.fromhex(sys.stdin.readline())

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                return
            while (await receive()).get("more_body"):
                pass
            length = str(len(body)).encode()
            headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", length)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        served: Any = app
    else:
        tracker = Tracker(TrackerConfig(store=arguments.store, track_timer=3600.0))
        fill(tracker.server, arguments.peers, arguments.swarms)
        served = tracker.app
    listener = bind("127.0.0.1", 0)
    told = {"port": listener.getsockname()[1], "empty": empty, "full": resident(os.getpid())}
    Server(config(served, loop="asyncio"), started=lambda: print(json.dumps(told), flush=True)).run(sockets=[listener])


@dataclass
class Measured:
    pid: int
    port: int
    empty: int
    full: int
    times: dict[int, list[float]] = field(default_factory=lambda: {count: [] for count in CONNECTIONS})
    processor: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        found: dict[str, float] = {"cpu_us": statistics.median(self.processor) * 1e6}
        for count, times in self.times.items():
            ranks = statistics.quantiles(times, n=100)
            found[f"p50_ms_{count}"], found[f"p99_ms_{count}"] = ranks[49] * 1e3, ranks[98] * 1e3
        return found


@contextmanager
def started(arguments: argparse.Namespace, kind: str, store: str = "", body: bytes = b"") -> Iterator[Measured]:
    words = [sys.executable, __file__, "--serve", kind, "--peers", arguments.peers, "--swarms", arguments.swarms]
    words += ["--store", store] if store else []
    process = subprocess.Popen(list(map(str, words)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(body.hex() + "\n")
    process.stdin.flush()
    try:
        yield Measured(process.pid, **json.loads(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()


@contextmanager
def redis_server() -> Iterator[tuple[str, int]]:
    """Its URL, and its process."""
    folder = tempfile.mkdtemp(prefix="tracker-")
    words = ["redis-server", "--port", "0", "--unixsocket", f"{folder}/socket", "--save", "", "--dir", folder]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    while not Path(f"{folder}/socket").exists():
        time.sleep(0.02)
    try:
        yield f"unix://{folder}/socket", process.pid
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


async def ask(port: int, requests: Iterator[bytes], until: float, times: list[float]) -> None:
    """One connection, one FIND after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for body in requests:
        head = f"POST / HTTP/1.1\r\nHost: t\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
        start = time.perf_counter()
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200")
        length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        now = time.perf_counter()
        times.append(now - start)
        if now > until:
            break
    writer.close()


async def load(server: Measured, connections: int, arguments: argparse.Namespace, seed: int) -> None:
    chance = random.Random(seed)

    def requests() -> Iterator[bytes]:
        while True:
            yield find(chance.randrange(arguments.peers), arguments.swarms, chance.getrandbits(90))

    times: list[float] = []
    before = processor_time(server.pid)
    until = time.perf_counter() + arguments.seconds
    await asyncio.gather(*(ask(server.port, requests(), until, times) for _ in range(connections)))
    server.times[connections] += times
    server.processor.append((processor_time(server.pid) - before) / len(times))


def one_answer(port: int, arguments: argparse.Namespace) -> bytes:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/", find(1, arguments.swarms, 1), dict(HEADERS))
    return connection.getresponse().read()


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    with ExitStack() as stack:
        ours = stack.enter_context(started(arguments, "ours"))
        body = one_answer(ours.port, arguments)
        store, redis_pid = stack.enter_context(redis_server())
        shared = stack.enter_context(started(arguments, "ours", store))
        bare = stack.enter_context(started(arguments, "bare", body=body))
        servers = {"ours": ours, "ours, Redis": shared, "bare ASGI": bare}
        for number in range(arguments.rounds):
            for connections in CONNECTIONS:
                for server in servers.values():
                    asyncio.run(load(server, connections, arguments, number))
        return {
            "peers": arguments.peers,
            "swarms": arguments.swarms,
            "answer_octets": len(body),
            "resident": {
                name: {"empty": server.empty, "full": server.full, "end": resident(server.pid)}
                for name, server in servers.items()
            }
            | {"redis": {"end": resident(redis_pid)}},
            "figures": {name: server.figures() for name, server in servers.items()},
        }


def report(found: dict[str, Any]) -> None:
    print(f"{found['peers']:,} peers in {found['swarms']:,} swarms, answers of {found['answer_octets']:,} octets")
    bare = found["figures"]["bare ASGI"]
    names = list(bare)
    print(f"{'':14}" + "".join(f"{name:>16}" for name in names))
    for server, figures in found["figures"].items():
        print(f"{server:14}" + "".join(f"{figures[name]:9.2f} {figures[name] / bare[name]:5.1f}x" for name in names))
    for server, octets in found["resident"].items():
        print(f"{server:14} resident MB: " + ", ".join(f"{when} {size / 1e6:.0f}" for when, size in octets.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=100_000)
    parser.add_argument("--swarms", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments)
        return
    found = measure(arguments)
    if arguments.json:
        print(json.dumps(found))
    else:
        report(found)


if __name__ == "__main__":
    main()
