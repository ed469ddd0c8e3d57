"""How long others wait while an ALTO server does something large, and what memory large maps take.

    python tests/benchmarks/alto_stalls.py [--rounds 3] [--no-memory] [--json]

One client asks for the network map with If-None-Match every 5 ms and notes how long each answer takes; meanwhile
nothing happens, somebody posts 10 MB, asks for 1,000,000 costs, gets the whole cost map of 2,000 x 2,000, or the
application replaces the network map or the cost map, of which an update stream is open. Then, in processes of their
own, the memory of a server and of a client that hold the map of autonomous systems (812,000 prefixes, fetched by npm
into .cache/).
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from alto_setup import load

CACHE = Path(__file__).parents[2] / ".cache" / "alto"
EVERY = 0.005
"""Seconds between the questions of the client that waits."""
AT_LEAST = 1.0
"""Seconds that each thing is watched for."""
POSTED = "application/alto-endpointcostparams+json"
STREAMED = "application/alto-updatestreamparams+json"
ROUTING = {"cost-mode": "numerical", "cost-metric": "routingcost"}


def serve() -> None:
    """A server that replaces what a line on standard input names."""
    from alto_setup import data
    from alto_setup.stream_servers import on_lines

    from alto.costmap import CostMapResource
    from alto.costoffers import CostOffer
    from alto.costs import CostMatrix
    from alto.directory import Directory
    from alto.endpointcost import EndpointCostResource
    from alto.networkmap import NetworkMap, NetworkMapResource
    from alto.server import AltoServer
    from alto.types import CostType
    from alto.updates import UpdateStreamService
    from interop.alto_server import AltoApp
    from interop.alto_server import serve as run

    routing = CostType(ROUTING["cost-mode"], ROUTING["cost-metric"])
    names = [f"PID{index}" for index in range(data.PIDS)]
    rows = data.rows(data.PIDS, "integers")
    groups = {
        name: {kind: [*listed] for kind, listed in group.items()} for name, group in data.network_map().pids.items()
    }

    def network_map() -> NetworkMapResource:
        return NetworkMapResource("map", NetworkMap(groups))

    def cost_map() -> CostMapResource:
        return CostMapResource("costs", "map", "routing", routing, CostMatrix(names, names, rows))

    directory = Directory(
        [
            network_map(),
            cost_map(),
            EndpointCostResource("ecs", {"routing": CostOffer(routing, "costs")}, network_map="map"),
        ],
        services=[UpdateStreamService("updates", ["map", "costs"])],
        default_network_map="map",
    )
    app = AltoApp(AltoServer(directory, epoch=time.time() - time.monotonic()))

    def update(line: str) -> None:
        if line == "map":
            groups["PID1"]["ipv4"].append(groups["PID0"]["ipv4"].pop())
            made: Any = network_map()
        else:
            rows[5][7] += 1
            made = cost_map()
        app.submit(made).result()

    on_lines(update)
    run(app, loop="uvloop", started=lambda url: print(json.dumps({"url": url}), flush=True))


class Waiting:
    """The client that asks again and again."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._connection = http.client.HTTPConnection(*address)
        self._tag = ""

    def ask(self) -> float:
        start = time.perf_counter()
        self._connection.request("GET", "/map", headers={"If-None-Match": self._tag})
        response = self._connection.getresponse()
        response.read()
        took = time.perf_counter() - start
        self._tag = response.getheader("ETag", "")
        return took

    def during(self, work: Callable[[], None]) -> list[float]:
        """How long it waited each time while `work` was done, and a little longer."""
        thread = threading.Thread(target=work)
        found = []
        self.ask()
        end = time.monotonic() + AT_LEAST
        thread.start()
        while thread.is_alive() or time.monotonic() < end:
            found.append(self.ask())
            time.sleep(EVERY)
        return found


def asked(address: tuple[str, int], method: str, target: str, body: bytes = b"", kind: str = "") -> int:
    connection = http.client.HTTPConnection(*address)
    try:
        connection.request(method, target, body or None, {"Content-Type": kind} if kind else {})
        response = connection.getresponse()
        while response.read(2**20):
            pass
        return response.status
    except (ConnectionResetError, BrokenPipeError):
        return 0  # the server has seen enough of the body
    finally:
        connection.close()


def follow(address: tuple[str, int]) -> None:
    """An update stream of both maps, which is read as it comes."""
    connection = http.client.HTTPConnection(*address)
    body = json.dumps({"add": {name: {"resource-id": name} for name in ("map", "costs")}})
    connection.request("POST", "/updates", body, {"Content-Type": STREAMED})
    response = connection.getresponse()

    def read() -> None:
        with contextlib.suppress(http.client.HTTPException, OSError):
            while response.read1(2**20):
                pass

    threading.Thread(target=read, daemon=True).start()


def measure(rounds: int) -> dict[str, dict[str, float]]:
    from alto_setup import data

    process = subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        place = urlsplit(json.loads(process.stdout.readline())["url"])
        address = (place.hostname or "", place.port or 0)

        def tell(line: str) -> None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(line + "\n")
            process.stdin.flush()
            process.stdout.readline()

        ends = data.endpoints(2000, seed=9)
        million = json.dumps({"cost-type": ROUTING, "endpoints": {"srcs": ends[:1000], "dsts": ends[1000:]}}).encode()
        works: dict[str, Callable[[], None]] = {
            "nothing": lambda: time.sleep(AT_LEAST),
            "a POST of 10 MB": lambda: void(asked(address, "POST", "/ecs", b" " * 10_000_000, POSTED)),
            "1,000 x 1,000 endpoint costs": lambda: void(asked(address, "POST", "/ecs", million, POSTED)),
            "the whole cost map, 53 MB": lambda: void(asked(address, "GET", "/costs")),
            "another network map": lambda: tell("map"),
            "another cost map": lambda: tell("costs"),
        }
        follow(address)
        time.sleep(3)
        waiting = Waiting(address)
        found: dict[str, list[list[float]]] = {name: [] for name in works}
        for _ in range(rounds):
            for name, work in works.items():
                found[name].append(waiting.during(work))
    finally:
        process.kill()
        process.wait()
    return {
        name: {
            "longest": statistics.median(max(times) for times in all_),
            "p99": statistics.median(sorted(times)[len(times) * 99 // 100] for times in all_),
            "median": statistics.median(statistics.median(times) for times in all_),
        }
        for name, all_ in found.items()
    }


def void(_: object) -> None:
    """What came is not looked at."""


def hold(role: str) -> None:
    """Hold the map of autonomous systems as a server or a client does, and print how much memory that takes."""
    from alto._json import loads
    from alto.directory import Directory
    from alto.findings import Findings
    from alto.networkmap import NetworkMapResource, parse_network_map
    from alto.server import AltoServer
    from interop.alto_sources import ip_location_map

    file = CACHE / "systems.json"
    if role == "server":
        resource = NetworkMapResource("map", ip_location_map(CACHE, systems=True))
        server = AltoServer(Directory([resource], default_network_map="map"), epoch=0)
        server.apply(server.prepare(), 0)
        file.write_bytes(server.directory.resources["map"].answer(None).body)  # type: ignore[arg-type]
        held: Any = server
    else:
        held = parse_network_map(loads(file.read_bytes()), Findings())
    status = Path("/proc/self/status").read_text()
    print(json.dumps({key: int(status.partition(f"Vm{key}:")[2].split()[0]) / 1e3 for key in ("RSS", "HWM")}))
    assert held is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", action="store_true", help="be the server")
    parser.add_argument("--hold", choices=["server", "client"], help="hold a large map")
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    if arguments.hold:
        hold(arguments.hold)
        return
    waits = measure(arguments.rounds)
    memory: dict[str, dict[str, float]] = {}
    for role in () if arguments.no_memory else ("server", "client"):
        command = [sys.executable, __file__, "--hold", role]
        memory[role] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    if arguments.json:
        print(json.dumps({"waits": waits, "memory": memory}))
        return
    print(f"{load.machine()}; medians of {arguments.rounds} rounds")
    print(f"{'another client waits, in ms, during':36}{'median':>9}{'p99':>9}{'longest':>9}")
    for name, row in waits.items():
        print(f"{name:36}{row['median'] * 1e3:9.1f}{row['p99'] * 1e3:9.1f}{row['longest'] * 1e3:9.1f}")
    for role, row in memory.items():
        print(f"a {role} with the map of autonomous systems: {row['RSS']:,.0f} MB, {row['HWM']:,.0f} MB at most")


if __name__ == "__main__":
    main()
