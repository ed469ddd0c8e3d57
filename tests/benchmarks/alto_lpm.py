"""Longest prefix match over a real network map: loading it, finding PIDs one by one and many at once.

    python tests/benchmarks/alto_lpm.py [--systems] [--json]

The map is that of the address registries, fetched by npm into .cache/ (`--systems`: 812,000 prefixes, nested). Next to
it runs pytricia, a C extension, where it is installed (`pip install pytricia`), with a tree for each family; the
ratios are of one run. Processor time, the best of five, interleaved.
"""

import argparse
import json
import random
import time
from collections.abc import Callable
from pathlib import Path

from alto._json import dumps, loads
from alto.address import BITS, format_address
from alto.findings import Findings
from alto.networkmap import NetworkMap, parse_network_map
from interop.alto_sources import ATTRIBUTION, ip_location_map

try:
    from pytricia import PyTricia
except ModuleNotFoundError:
    PyTricia = None

CACHE = Path(__file__).parents[2] / ".cache" / "alto"
QUERIES = 200_000
ROUNDS = 5


def queries(network_map: NetworkMap) -> dict[str, list[str]]:
    """Addresses drawn inside prefixes, as clients have them, and IPv4 addresses drawn anywhere."""
    generator = random.Random(1)
    found: dict[str, list[str]] = {}
    for family, bits in BITS.items():
        prefixes = [(match.value, bits - match.length) for match in network_map.table.prefixes(family)]
        drawn = (generator.choice(prefixes) for _ in range(QUERIES))
        inside = [
            format_address(family, value | generator.getrandbits(free) if free else value) for value, free in drawn
        ]
        found[f"IPv{family} inside prefixes"] = inside
    found["IPv4 anywhere"] = [format_address(4, generator.getrandbits(32)) for _ in range(QUERIES)]
    return found


def spent(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def tries(network_map: NetworkMap) -> dict[int, "PyTricia"]:
    """A tree of pytricia's for each family."""
    built = {family: PyTricia(bits) for family, bits in BITS.items()}
    for name, group in network_map.pids.items():
        for kind, prefixes in group.items():
            tree = built[4 if kind == "ipv4" else 6]
            for prefix in prefixes:
                tree[prefix] = name
    return built


def one_by_one(find: Callable[[str], object], texts: list[str]) -> None:
    for text in texts:
        find(text)


def measure(systems: bool) -> dict[str, float]:
    network_map = ip_location_map(CACHE, systems=systems)
    body = dumps({"meta": {"vtag": {"resource-id": "m", "tag": "1"}}, "network-map": network_map.to_json()})
    works: dict[str, Callable[[], object]] = {
        "load from JSON, s": lambda: parse_network_map(loads(body), Findings()).network_map
    }
    if PyTricia is not None:
        trees = tries(network_map)
        works["pytricia: build only, s"] = lambda: tries(network_map)
    for name, texts in queries(network_map).items():
        family = 6 if ":" in texts[0] else 4
        works[f"{name}, one by one"] = lambda texts=texts: one_by_one(network_map.pid_of, texts)  # type: ignore[misc]
        works[f"{name}, all at once"] = lambda texts=texts: network_map.pids_of(texts)  # type: ignore[misc]
        if PyTricia is not None:
            assert [trees[family].get(text) for text in texts] == network_map.pids_of(texts), name
            find = trees[family].get
            works[f"pytricia: {name}"] = lambda find=find, texts=texts: one_by_one(find, texts)  # type: ignore[misc]
    best = {name: min(times) for name, times in zip(works, zip(*rounds(works), strict=True), strict=True)}
    figures: dict[str, float] = {"prefixes": len(network_map.table), "megabytes of JSON": len(body) / 1e6}
    return figures | {name: value if name.endswith(", s") else QUERIES / value for name, value in best.items()}


def rounds(works: dict[str, Callable[[], object]]) -> list[list[float]]:
    return [[spent(work) for work in works.values()] for _ in range(ROUNDS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--systems", action="store_true", help="autonomous systems inside the countries")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure(arguments.systems)
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        if name.endswith(", s") or name.startswith("megabytes"):
            print(f"{name:40} {value:12.2f}")
        else:
            rival = figures.get(f"pytricia: {name.rpartition(',')[0]}")
            ratio = f"  {value / rival:5.2f} x pytricia" if rival else ""
            print(f"{name:40} {value:12,.0f}{'' if name == 'prefixes' else ' a second'}{ratio}")
    print(ATTRIBUTION)


if __name__ == "__main__":
    main()
