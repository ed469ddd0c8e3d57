"""Update streams by the thousand: how soon all of them have one update, and what slow ones cost.

    python tests/benchmarks/alto_streams.py [--streams 1000] [--rounds 5] [--slow 1000] [--json]

A network map of 100,000 prefixes is served with an update stream service (RFC 8895), uvicorn[standard], one process.
One prefix moves to another PID; measured is the time from then until the first and the last stream have the event, and
the server's processor time for each stream. Beside it, interleaved: a bare ASGI application in the same uvicorn and a
Django site that write as long an event to as many streams, and have nothing to find out. Then clients that read nothing
ask for whole maps, 1.9 MB each, while the map changes: what the server's memory grows by.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from alto_setup import load

SERVERS = {"ours": ["ours"], "ours, pure Python": ["ours", "--pure"], "bare ASGI": ["bare"], "Django": ["django"]}
SCRIPT = Path(__file__).parent / "alto_setup" / "stream_servers.py"
TARGET = 1.0
"""Seconds in which an update is to reach all."""
SETTLE = 5.0
"""Seconds in which a server writes to slow clients what their buffers take."""


class Server:
    """One of the servers, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        place = urlsplit(self._line()["url"])
        self.address = (place.hostname or "", place.port or 0)

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit("a server did not start")
        found: dict[str, Any] = json.loads(line)
        return found

    def update(self) -> dict[str, Any]:
        """Let it change its map; when that began and was done."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._line()


@contextmanager
def started(arguments: list[str]) -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, SCRIPT, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Server(process)
    finally:
        process.kill()
        process.wait()


def question(address: tuple[str, int], *, whole: bool) -> bytes:
    """A request for updates of the map; the present version is held already, unless it is asked for as a `whole`."""
    asked: dict[str, Any] = {"resource-id": "map", "incremental-changes": not whole}
    if not whole:
        connection = http.client.HTTPConnection(*address)
        connection.request("GET", "/map")
        response = connection.getresponse()
        if response.status == 200 and "json" in (response.getheader("Content-Type") or ""):
            asked["tag"] = json.loads(response.read())["meta"]["vtag"]["tag"]
        connection.close()
    body = json.dumps({"add": {"map": asked}})
    kind = "application/alto-updatestreamparams+json"
    head = f"POST /updates HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


class Streams:
    """Many streams of one server."""

    def __init__(self) -> None:
        self._open: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def open(self, address: tuple[str, int], number: int, request: bytes) -> None:
        for _ in range(number):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(request)
            self._open.append((reader, writer))
        await asyncio.gather(*(self._event(reader) for reader, _ in self._open))

    async def _event(self, reader: asyncio.StreamReader) -> float:
        """The next event, whatever comments come before it; when it was there."""
        async with asyncio.timeout(120):
            while b"data: " not in await reader.readuntil(b"\n\n"):
                pass
        return time.monotonic()

    async def update(self, server: Server) -> tuple[float, float, float]:
        """Seconds until an update was made, and the first and the last of the streams had it."""
        waiting = asyncio.gather(*(self._event(reader) for reader, _ in self._open))
        said = await asyncio.to_thread(server.update)
        times = await waiting
        return said["made"] - said["began"], min(times) - said["began"], max(times) - said["began"]


async def measure(streams: int, rounds: int) -> dict[str, dict[str, float]]:
    """Medians by server."""
    found: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as running:
        clients: dict[str, tuple[Server, Streams]] = {}
        for name, arguments in SERVERS.items():
            server = running.enter_context(started(arguments))
            clients[name] = server, Streams()
            request = question(server.address, whole=False) if arguments[0] == "ours" else b""
            # The others do not read it.
            await clients[name][1].open(server.address, streams, request or b"GET /updates HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(rounds):
            for name, (server, opened) in clients.items():
                before = load.processor_seconds(server.pid)
                made, first, last = await opened.update(server)
                spent = load.processor_seconds(server.pid) - before
                row = found.setdefault(name, {})
                for column, value in {"made": made, "first": first, "last": last, "cpu": spent / streams * 1e6}.items():
                    row.setdefault(column, []).append(value)
        memory = {name: load.resident_megabytes(server.pid) for name, (server, _) in clients.items()}
    medians = {name: {key: statistics.median(all_) for key, all_ in row.items()} for name, row in found.items()}
    return {name: row | {"megabytes": memory[name]} for name, row in medians.items()}


def slow(streams: int) -> dict[str, float]:
    """What clients that ask for whole maps and do not read cost the server, and whether it goes on for others."""
    with started(["ours"]) as server, ExitStack() as opened:
        server.update()
        before = load.resident_megabytes(server.pid)
        request = question(server.address, whole=True)
        for _ in range(streams):
            client = opened.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**14)
            client.connect(server.address)
            client.sendall(request)
        time.sleep(SETTLE)
        at_start = load.resident_megabytes(server.pid)
        longest = 0.0
        for _ in range(5):
            server.update()
            began = time.monotonic()
            question(server.address, whole=False)
            longest = max(longest, time.monotonic() - began)
            time.sleep(1)
        return {
            "before": before,
            "open": at_start,
            "after 5 updates": load.resident_megabytes(server.pid),
            "get": longest,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--slow", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    load.need_django()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    medians = asyncio.run(measure(arguments.streams, arguments.rounds))
    memory = slow(arguments.slow)
    if arguments.json:
        print(json.dumps({"streams": medians, "slow": memory}))
        return
    print(f"{load.machine()}; {arguments.streams} streams, medians of {arguments.rounds} updates")
    print(f"{'':20}{'made, s':>9}{'first, s':>9}{'last, s':>9}{'CPU us a stream':>17}{'RSS, MB':>9}")
    for name, row in medians.items():
        is_ours = name.startswith("ours")
        mark = f"  {'met' if row['last'] <= TARGET else 'NOT met'}: {TARGET:.0f} s" if is_ours else ""
        print(
            f"{name:20}{row['made']:9.2f}{row['first']:9.2f}{row['last']:9.2f}{row['cpu']:17,.0f}"
            f"{row['megabytes']:9,.0f}{mark}"
        )
    print(f"\n{arguments.slow} streams of whole maps that nobody reads, RSS in MB: {memory['before']:,.0f} before,")
    print(f"{memory['open']:,.0f} when they were open, {memory['after 5 updates']:,.0f} after 5 updates;")
    print(f"another client's GET of the map took {memory['get']:.2f} s meanwhile")


if __name__ == "__main__":
    main()
