"""How exactly three accounts of weights 4, 2 and 1 share the line of a DECADE server, over real sockets.

    python tests/benchmarks/decade_shares.py [--mbps 100] [--seconds 5] [--size 4194304] [--json]

The server is told to send so many megabits a second; each account fetches as fast as it can, the lightest one over four
times the connections of the others. Printed are the shares of what came in the time, and the greatest relative error.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import selectors
import socket
import sys
import time
from pathlib import Path
from queue import Queue

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from decade_served import serving
from decade_server import BOB, Bench, bearer, token
from decade_tokens import MAC

from decade.cose import HmacKey
from decade.messages import ResourcePolicy
from decade.names import name_of
from decade.tokens import RegisteredKey

CAROL = HmacKey(bytes(range(32, 64)), b"carol")
ACCOUNTS = {"alice": (MAC, 4, 4), "bob": (BOB, 2, 4), "carol": (CAROL, 1, 16)}
"""Its key, its weight, its connections."""
WARM_UP = 1.0


def fetch(account: str, port: int, request: bytes, connections: int, start: float, seconds: float, said: Queue) -> None:
    """Count the octets that come from a second after the start on; requests are sent ahead, and again in time."""
    selector = selectors.DefaultSelector()
    asked: dict[socket.socket, int] = {}
    for _ in range(connections):
        opened = socket.create_connection(("127.0.0.1", port))
        selector.register(opened, selectors.EVENT_READ)
        opened.sendall(request * 4)
        asked[opened] = 0
    octets = 0
    while (now := time.monotonic()) < start + WARM_UP + seconds:
        for key, _ in selector.select(0.05):
            assert isinstance(key.fileobj, socket.socket)
            came = key.fileobj.recv(1 << 18)
            octets += len(came) if now > start + WARM_UP else 0
            # One more for each answer that has begun.
            key.fileobj.sendall(request * came.count(b"HTTP/1.1 200"))
    said.put((account, octets))


def prepare(bench: Bench, body: bytes) -> None:
    bench.keys[CAROL.kid] = RegisteredKey(CAROL, "carol")
    for account, (key, weight, _) in ACCOUNTS.items():
        bench.tree.put((account,), ResourcePolicy(weight=weight))
        bench.put(body, token(key))


def measure(mbps: int, seconds: float, size: int) -> dict[str, int]:
    """The octets that each account got."""
    began, body = time.monotonic(), bytes(size)
    with serving(egress_bps=mbps * 1_000_000, app={"clock": lambda: 1 + time.monotonic() - began}) as served:
        prepare(served.bench, body)
        said: Queue = multiprocessing.Queue()  # type: ignore[assignment]
        start = time.monotonic() + 0.5
        clients = []
        for account, (key, _, connections) in ACCOUNTS.items():
            ((name, value),) = bearer(token(key))
            request = f"GET {name_of(body).path} HTTP/1.1\r\nHost: sb\r\n{name}: {value}\r\n\r\n".encode()
            arguments = (account, served.port, request, connections, start, seconds, said)
            clients.append(multiprocessing.Process(target=fetch, args=arguments))
            clients[-1].start()
        found = dict(said.get() for _ in clients)
        for client in clients:
            client.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mbps", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--size", type=int, default=4 << 20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.mbps, options.seconds, options.size)
    total, weights = sum(found.values()), {account: weight for account, (_, weight, _) in ACCOUNTS.items()}
    shares = {account: octets / total * sum(weights.values()) for account, octets in found.items()}
    error = max(abs(shares[account] / weight - 1) for account, weight in weights.items())
    rate = total * 8 / options.seconds / 1e6
    if options.json:
        print(json.dumps({"shares": shares, "error": error, "mbps": rate}))
        return
    print("  ".join(f"{account} {shares[account]:.3f} of {weight}" for account, weight in weights.items()))
    print(f"greatest error {error:.2%}; {rate:.1f} of {options.mbps} Mbit/s")


if __name__ == "__main__":
    main()
