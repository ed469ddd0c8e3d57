"""A cost map of 2,000 x 2,000: loading, encoding it for the first time, serving it again, and finding its changes.

    python tests/benchmarks/alto_costs.py [--size 2000] [--rounds 3] [--json]

Costs of four kinds, of which encoding takes differently long: hop counts, integers below 1,000, numbers with two
decimals, and any doubles, which no real map has. Seconds of processor time, medians, with and without the extra
`alto-fast`; the last column is how long orjson, or the standard library without it, takes for the same tree.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alto_setup import load
from alto_setup.serve import hide_extras

KINDS = ("hops", "integers", "decimals", "doubles")
FIRST = 0.8
"""Seconds in which a map is to be encoded the first time, whatever real costs it has."""


def spent(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def measure(kind: str, size: int) -> dict[str, float]:
    """One round for one kind of costs."""
    from alto_setup import data

    from alto._json import dumps
    from alto._serving_answers import encode
    from alto.costmap import CostMapResource
    from alto.costs import CostMatrix
    from alto.directory import Directory, Query, RequestContext
    from alto.http import Request
    from alto.networkmap import NetworkMap, NetworkMapResource
    from alto.server import AltoServer
    from alto.types import CostType

    rows = data.rows(size, kind)
    names = [f"PID{index}" for index in range(size)]
    routing = CostType("numerical", "routingcost")
    whole = NetworkMapResource("map", NetworkMap({name: {} for name in names}, default_pid="elsewhere"))

    def directory(costs: CostMatrix) -> Directory:
        return Directory([whole, CostMapResource("costs", "map", "routing", routing, costs)], default_network_map="map")

    def answer(costs: CostMatrix) -> Any:
        held = directory(costs)
        return held.resources["costs"].answer(Query(RequestContext(held), random_bytes=bytes))

    found: dict[str, float] = {}
    found["matrix"], costs = spent(lambda: CostMatrix(names, names, rows))
    document = answer(costs)
    found["encode"], body = spent(lambda: document.body)
    found["MB"] = len(body) / 1e6
    found["gzip and tag"], encoded = spent(lambda: encode(document, ()))
    found["MB gzip"] = len(encoded.gzip) / 1e6
    server = AltoServer(directory(costs), epoch=0)
    server.apply(server.prepare(), 0)
    request = Request("GET", "/costs")
    count = 2000
    took, _ = spent(lambda: [server.handle(request, None, 0) for _ in range(count)])
    found["GET again, us"] = took / count * 1e6
    rows[size // 2][size // 3] += 1
    changed = answer(CostMatrix(names, names, rows))
    found["changes"], patch = spent(lambda: changed.merge_patch_from(document))
    assert len(patch["cost-map"]) == 1
    tree = {
        "meta": {},
        "cost-map": {name: dict(zip(names, row, strict=True)) for name, row in zip(names, rows, strict=True)},
    }
    found["JSON library"], _ = spent(lambda: dumps(tree))
    return found


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


def elsewhere(pure: bool, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """The figures of another process, with or without the extra."""
    command = [sys.executable, Path(__file__), "--one", f"--size={arguments.size}", f"--rounds={arguments.rounds}"]
    done = subprocess.run([*command, *(["--pure"] if pure else [])], stdout=subprocess.PIPE, check=True)
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


def show(name: str, figures: dict[str, dict[str, float]]) -> None:
    columns = list(next(iter(figures.values())))
    print(f"\n{name:12}" + "".join(f"{column:>14}" for column in columns))
    for kind, row in figures.items():
        mark = "" if kind == "doubles" else f"  {'met' if row['encode'] <= FIRST else 'NOT met'}: {FIRST} s"
        print(f"{kind:12}" + "".join(f"{row[column]:14.3f}" for column in columns) + mark)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", action="store_true", help="measure here and not in other processes")
    parser.add_argument("--pure", action="store_true", help="without numpy and orjson; with --one")
    arguments = parser.parse_args()
    if arguments.one:
        if arguments.pure:
            hide_extras()
        rounds = [{kind: measure(kind, arguments.size) for kind in KINDS} for _ in range(arguments.rounds)]
        print(json.dumps({kind: medians([each[kind] for each in rounds]) for kind in KINDS}))
        return
    figures = {name: elsewhere(pure, arguments) for name, pure in (("alto-fast", False), ("pure Python", True))}
    if arguments.json:
        print(json.dumps(figures))
        return
    print(f"{load.machine()}; {arguments.size} x {arguments.size} costs, medians of {arguments.rounds} rounds")
    for name, rows in figures.items():
        show(name, rows)


if __name__ == "__main__":
    main()
