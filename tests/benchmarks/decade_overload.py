"""What a DECADE server does under ten times the load that it takes: what it still serves, and its memory.

    python tests/benchmarks/decade_overload.py [--most 64] [--seconds 4] [--rounds 3] [--json]

The server takes `most` requests at a time, from clients that read 13 MB/s each. So many clients load it to its peak,
then ten times as many: who is sent away with 503 waits for as long as Retry-After says, as a client of the profile
does, and comes back. Counted are the octets of objects of 32 MiB; the tokens count what they move, so that every answer
takes the long way and holds its slot until it is sent. Measured in turns; medians. "for the processor": octets for a
second of the server's processor time.
"""

from __future__ import annotations

import argparse
import heapq
import json
import multiprocessing
import os
import selectors
import socket
import statistics
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from alto_setup import load
from decade_server import ask
from decade_setup.tokens import bearer

from decade.names import name_of

HERE = Path(__file__).parent
SIZE = 32 * 2**20
"""More than the buffers of a connection take: a request is in progress until its client has read most of it."""
TIMES = 10
PART, TICK = 256 * 1024, 0.02
"""A client reads so many octets in so many seconds."""
LEAST = 0.9
GROWTH = 1.1


class Client:
    """One connection, which asks again and again."""

    def __init__(self, place: tuple[str, int], request: bytes) -> None:
        self.socket = socket.create_connection(place)
        self.socket.setblocking(False)
        self._request = request
        self._left = 0
        self._is_served = False
        self.served, self.refused = 0, 0

    def ask(self) -> None:
        self.socket.send(self._request)

    def receive(self, buffer: memoryview) -> float | None:
        """Read what is there; the seconds until it asks again, None while the answer goes on."""
        came = self.socket.recv_into(buffer)
        if not came:
            raise ConnectionError("the server hangs up")
        if not self._left:
            head, _, body = bytes(buffer[:came]).partition(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            self._is_served = head.startswith(b"HTTP/1.1 200")
            self._left, came = int(fields[b"content-length"]), len(body)
            wait = float(fields.get(b"retry-after", 0))
            self.refused += not self._is_served
        else:
            wait = 0.0
        self._left -= came
        self.served += came if self._is_served else 0
        return None if self._left else wait


def fetch(place: tuple[str, int], request: bytes, connections: int, seconds: float, said: Any) -> None:
    """Load a server with so many clients, and say how many octets came in the time."""
    buffer = memoryview(bytearray(PART))
    clients = [Client(place, request) for _ in range(connections)]
    selector = selectors.DefaultSelector()
    waiting: list[tuple[float, int]] = []
    for client in clients:
        selector.register(client.socket, selectors.EVENT_READ, client)
        client.ask()
    begin = time.monotonic()
    while (now := time.monotonic()) < begin + seconds:
        while waiting and waiting[0][0] <= now:
            clients[heapq.heappop(waiting)[1]].ask()
        time.sleep(max(0.0, TICK - time.monotonic() + now))
        for key, _ in selector.select(0):
            wait = key.data.receive(buffer)
            if wait == 0:
                key.data.ask()
            elif wait is not None:
                heapq.heappush(waiting, (now + wait, clients.index(key.data)))
    said.put((sum(client.served for client in clients), sum(client.refused for client in clients)))
    for client in clients:
        client.socket.close()


def run(pid: int, url: str, token: str, connections: int, seconds: float) -> dict[str, float]:
    """What came in a second of time and of the server's processor, and how often it refused."""
    place = urlsplit(url)
    request = f"GET {place.path} HTTP/1.1\r\nHost: sb\r\nAuthorization: {token}\r\n\r\n".encode()
    said: Any = multiprocessing.Queue()
    before = load.processor_seconds(pid)
    arguments = ((place.hostname, place.port), request, connections, seconds, said)
    client = multiprocessing.Process(target=fetch, args=arguments)
    client.start()
    served, refused = said.get()
    client.join()
    spent = load.processor_seconds(pid) - before
    return {"rate": served / seconds, "for the processor": served / spent, "refused": refused / seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    octets = os.urandom(SIZE)
    serve = [HERE / "decade_setup" / "serve.py", "ours", "--max-requests", str(options.most)]
    peaks, overs, memory = [], [], []
    with load.child(serve) as (pid, said):
        url, token = said["url"] + name_of(octets).path, bearer(amount=1 << 50)
        ask(url, token, "PUT", octets)
        for _ in range(options.rounds):
            peaks.append(run(pid, url, token, options.most, options.seconds))
            overs.append(run(pid, url, token, options.most * TIMES, options.seconds))
            memory.append(load.resident_megabytes(pid))
    ratios = {
        what: statistics.median(over[what] / peak[what] for over, peak in zip(overs, peaks, strict=True))
        for what in ("rate", "for the processor")
    }
    growth = memory[-1] / memory[0]
    if options.json:
        print(json.dumps({"ratios": ratios, "growth": growth, "peaks": peaks, "overs": overs}))
        return
    print(load.machine())
    for name, found in (("peak", peaks), (f"{TIMES} times the clients", overs)):
        rate, each, refused = (statistics.median(one[what] for one in found) for what in found[0])
        print(
            f"{name:22} {rate / 1e6:7,.0f} MB/s {each / 1e6:7,.0f} MB for a processor second {refused:7,.0f} refused/s"
        )
    ratio = ratios["rate"]
    print(f"served / peak = {ratio:.2f}, at least {LEAST}: {'met' if ratio >= LEAST else 'NOT met'}")
    print(f"for the same processor time, connections and refusals included: {ratios['for the processor']:.2f}")
    verdict = "met" if growth <= GROWTH else "NOT met"
    print(f"memory from the first overload to the last: {growth:.2f} times, at most {GROWTH}: {verdict}")


if __name__ == "__main__":
    main()
