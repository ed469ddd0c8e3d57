"""Costs: a 2,000 x 2,000 cost map encoded for the first time, and endpoint cost requests from octets to octets.

    python tests/benchmarks/alto_costs.py [--json] [--without-extras]

`--without-extras` runs as if numpy and orjson were not installed. Processor time, the least of several runs; what is
measured is the resource itself, without HTTP. Each ratio is to the standard library's `json` over the same dicts in
the same run. "new" endpoints are asked for the first time, "known" ones again, as peers of one swarm are.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

PIDS = 2_000
PREFIXES = 100_000


def least(work: Callable[[], object], rounds: int) -> float:
    """Seconds of processor time of the quickest run."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def cost_maps() -> dict[str, float]:
    """Seconds: the octets of a whole map, by what its costs are like."""
    from alto.costmap import CostMapResource
    from alto.costs import CostMatrix
    from alto.directory import Directory, Query, RequestContext
    from alto.networkmap import NetworkMap, NetworkMapResource
    from alto.types import CostType

    names = [f"PID{place}" for place in range(PIDS)]
    pids = {name: {"ipv4": [f"10.{place >> 8}.{place & 255}.0/24"]} for place, name in enumerate(names)}
    whole = NetworkMapResource("map", NetworkMap(pids, default_pid="PID0"))
    generator = random.Random(1)
    kinds: dict[str, Callable[[], float | None]] = {
        "integers to 1,000": lambda: generator.randrange(1_000),
        "two decimals": lambda: round(generator.random() * 100, 2),
        "a tenth missing": lambda: generator.randrange(1_000) if generator.random() > 0.1 else None,
        "17 digits": generator.random,
    }
    found: dict[str, float] = {}
    for name, cost in kinds.items():
        rows = [[cost() for _ in names] for _ in names]
        costs = CostMapResource(
            "costs", "map", "num", CostType("numerical", "routingcost"), CostMatrix(names, names, rows)
        )
        query = Query(RequestContext(Directory([whole, costs])), random_bytes=bytes)
        found[name] = least(lambda costs=costs, query=query: costs.answer(query).body, 3)
        if name == "integers to 1,000":
            tree = costs.answer(query).tree
            found["the same by the standard library"] = least(lambda tree=tree: json.dumps(tree).encode(), 3)
    return found


def endpoint_costs() -> dict[str, float]:
    """Seconds a request, by how many endpoints it has."""
    from alto._json import loads
    from alto.costmap import CostMapResource
    from alto.costoffers import CostOffer
    from alto.costs import CostMatrix
    from alto.directory import Directory, Query, RequestContext
    from alto.endpointcost import EndpointCostResource
    from alto.networkmap import NetworkMap, NetworkMapResource
    from alto.types import CostType

    generator = random.Random(1)
    names = [f"CC-{place}" for place in range(230)]
    groups: dict[str, dict[str, list[str]]] = {name: {"ipv4": []} for name in names}
    for value, length in {
        (generator.getrandbits(24) >> 24 - bits, bits) for bits in (16, 20, 22, 24) * (PREFIXES // 4)
    }:
        first = value << 32 - length
        text = ".".join(str(first >> shift & 255) for shift in (24, 16, 8, 0))
        groups[generator.choice(names)]["ipv4"].append(f"{text}/{length}")
    whole = NetworkMapResource("map", NetworkMap(groups, default_pid=names[0]))
    matrix = CostMatrix(names, names, [[generator.randrange(1_000) for _ in names] for _ in names])
    routing = CostType("numerical", "routingcost")
    costs = CostMapResource("costs", "map", "num", routing, matrix)
    offers = {"num": CostOffer(routing, "costs"), "ord": CostOffer(CostType("ordinal", "routingcost"), "costs")}

    def body(number: int, mode: str) -> bytes:
        peers = [".".join(str(generator.randrange(256)) for _ in range(4)) for _ in range(number)]
        endpoints = {"srcs": ["ipv4:10.1.2.3"], "dsts": [f"ipv4:{peer}" for peer in peers]}
        return json.dumps(
            {"cost-type": {"cost-mode": mode, "cost-metric": "routingcost"}, "endpoints": endpoints}
        ).encode()

    found: dict[str, float] = {}
    for number, mode in ((10, "numerical"), (10, "ordinal"), (100, "numerical"), (1_000, "numerical")):
        bodies = [body(number, mode) for _ in range(40)]

        def answer(resource: Any, bodies: list[bytes]) -> None:
            context = RequestContext(Directory([whole, costs, resource]), "ipv4:10.0.0.1")
            for octets in bodies:
                assert resource.answer(Query(context, loads(octets), random_bytes=bytes)).body

        resource = EndpointCostResource("ecs", offers, network_map="map")
        answer(resource, bodies[:1])
        new = least(lambda: answer(EndpointCostResource("ecs", offers, network_map="map"), bodies), 5)  # noqa: B023
        known = least(lambda: answer(resource, bodies), 5)  # noqa: B023
        found[f"1 x {number:,}, {mode}, new"] = new / len(bodies)
        found[f"1 x {number:,}, {mode}, known"] = known / len(bodies)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="seconds, as one JSON object")
    parser.add_argument("--without-extras", action="store_true", help="as if numpy and orjson were not installed")
    options = parser.parse_args()
    if options.without_extras:
        sys.modules["numpy"] = sys.modules["orjson"] = None  # type: ignore[assignment]
    maps, requests = cost_maps(), endpoint_costs()
    if options.json:
        print(json.dumps({"cost map 2,000 x 2,000": maps, "endpoint cost": requests}))
        return
    standard = maps["the same by the standard library"]
    print(f"cost map of {PIDS:,} x {PIDS:,}, first encoding")
    for name, seconds in maps.items():
        print(f"  {name:36} {seconds * 1e3:8.0f} ms   {standard / seconds:5.1f} x the standard library")
    print("endpoint cost, octets to octets")
    for name, seconds in requests.items():
        print(f"  {name:36} {seconds * 1e6:8.0f} us")


if __name__ == "__main__":
    main()
