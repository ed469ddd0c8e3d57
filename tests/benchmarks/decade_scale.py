"""GETs of 64 KiB a second, with a token whose uses are counted and with one whose are not, by where the state is.

    python tests/benchmarks/decade_scale.py [--requests 400] [--rounds 3] [--root DIR] [--json]

In memory; in a directory with SQLite; in a bucket (moto's, on this machine) with Redis on a Unix socket, both of which
have each use on the disk before it is answered. `Server` is asked in one thread and waits in 16 others, without HTTP.
One run, in turns; medians. `hold` is the ledger alone, asked by 16 threads. ROOT must be on a disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import attrs

sys.path.insert(0, str(Path(__file__).parent.parent / "helpers"))

from decade_scale import RedisProcess, S3Process, Site
from decade_server import ACCOUNT, KEYS, LIFE, NOW, PEER, SERVER, bearer, token

from decade.http import Request
from decade.ledger import MemoryLedger, MemoryQuotas
from decade.messages import ResourcePolicy
from decade.names import name_of
from decade.policy import PROVIDER, PolicyTree
from decade.ports import Allowance, Use
from decade.server import Server
from decade.settings import Settings, default_limits
from decade.waiting import Waiting, settle
from interop.decade_scale import open_scaled_server
from interop.decade_store import open_server

SIZE = 65536
CONCURRENT = 16
SETTINGS = Settings(server=SERVER, limits=attrs.evolve(default_limits(), max_token_life=LIFE))
POLICIES = {PROVIDER: ResourcePolicy(weight=1), (ACCOUNT,): ResourcePolicy(weight=1)}
OCTETS = os.urandom(SIZE)
NAME = name_of(OCTETS)


@attrs.frozen
class Place:
    """A server, its ledger, and how to close them."""

    server: Server
    ledger: Any
    close: Callable[[], None]


def places(root: Path) -> dict[str, Place]:
    tree, ledger = PolicyTree(MemoryQuotas()), MemoryLedger()
    for path in POLICIES:
        tree.put(path, POLICIES[path])
    memory = Server(SETTINGS, KEYS.get, tree, epoch=NOW, ledger=ledger)
    durable = open_server(root / "files", SETTINGS, KEYS.get, POLICIES, epoch=NOW)
    directory = root / "redis"
    directory.mkdir()
    redis, s3 = RedisProcess(directory=directory), S3Process()
    scaled = open_scaled_server(Site.new(redis, s3).shared, SETTINGS, KEYS.get, POLICIES, epoch=NOW)

    def close() -> None:
        scaled.close()
        redis.close()
        s3.close()

    return {
        "memory": Place(memory, ledger, lambda: None),
        "SQLite": Place(durable.server, durable.ledger, durable.close),
        "Redis": Place(scaled.server, scaled.ledger, close),
    }


def put(server: Server) -> None:
    headers = (*bearer(token()), ("Content-Length", str(SIZE)))
    upload: Any = settle(server.handle(Request("PUT", NAME.path, headers), PEER, 1.0), 1.0)
    upload.feed(OCTETS, 1.0)
    assert settle(upload.finish(1.0), 1.0).status == 201


def gets(server: Server, pool: ThreadPoolExecutor, requests: int, **policy: int) -> float:
    """Requests a second, so many of them at a time as there are threads."""
    request = Request("GET", NAME.path, bearer(token(**policy)))
    waiting: dict[Future[None], Waiting[Any]] = {}

    def go_on(answer: Any) -> None:
        if isinstance(answer, Waiting):
            waiting[pool.submit(answer.run)] = answer
            return
        assert answer.status == 200
        while answer.body.read(SIZE, 1.0):
            pass
        answer.body.close(1.0)

    start = time.perf_counter()
    for _ in range(requests):
        go_on(server.handle(request, PEER, 1.0))
        while len(waiting) >= CONCURRENT:
            resume(waiting, go_on)
    while waiting:
        resume(waiting, go_on)
    return requests / (time.perf_counter() - start)


def resume(waiting: dict[Future[None], Waiting[Any]], go_on: Callable[[Any], None]) -> None:
    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
        go_on(waiting.pop(future).resume(1.0))


def holds(ledger: Any, pool: ThreadPoolExecutor, requests: int) -> float:
    """Uses of a token held a second."""
    key, allowance = (b"key", os.urandom(16)), Allowance(uses=2**31)
    start = time.perf_counter()
    list(pool.map(lambda _: ledger.hold(ACCOUNT, key, allowance, Use(1, SIZE), NOW + 60), range(requests)))
    return requests / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="decade-scale-", dir=options.root))
    found: dict[str, list[float]] = {}
    made = places(root)
    try:
        with ThreadPoolExecutor(CONCURRENT) as pool:
            for place in made.values():
                put(place.server)
            for _ in range(options.rounds):
                for name, place in made.items():
                    count = options.requests
                    rates = {
                        f"{name}: GET/s, uses counted": gets(place.server, pool, count, uses=2**31),
                        f"{name}: GET/s, not counted": gets(place.server, pool, count),
                        f"{name}: hold/s": holds(place.ledger, pool, count),
                    }
                    for what, rate in rates.items():
                        found.setdefault(what, []).append(rate)
    finally:
        for place in made.values():
            place.close()
        shutil.rmtree(root)
    medians = {what: statistics.median(rates) for what, rates in found.items()}
    if options.json:
        print(json.dumps(medians))
    else:
        for what, value in medians.items():
            print(f"{what:40} {value:10.0f}")


if __name__ == "__main__":
    main()
