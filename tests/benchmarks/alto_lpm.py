"""Longest prefix match over a real network map: loading it, finding PIDs one by one and many at once.

    python tests/benchmarks/alto_lpm.py [--systems] [--made-up] [--json]

The map is that of the address registries, fetched by npm into .cache/ (`--systems`: 812,000 prefixes, nested), or with
`--made-up` 250,000 prefixes by chance, for which no network is needed. Next to it runs pytricia, a C extension, where
it is installed (`pip install pytricia`), with a tree for each family; the ratios are of one run. Processor time, the
best of five, interleaved; with the extra `alto-fast` and without it.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from alto_setup import load
from alto_setup.serve import hide_extras

if "--pure" in sys.argv:  # before anything imports them
    hide_extras()

from alto_setup import data

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
PREFIXES = 250_000
"""What the targets below are for."""
LOADED = 1.5
"""Seconds in which a map of that size is to be loaded."""
ONE_BY_ONE = 500_000
AT_ONCE = 1_500_000
"""Lookups a second."""


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


def tries(network_map: NetworkMap) -> dict[int, PyTricia]:
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


def made(arguments: argparse.Namespace) -> NetworkMap:
    return data.network_map(PREFIXES) if arguments.made_up else ip_location_map(CACHE, systems=arguments.systems)


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    network_map = made(arguments)
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
    figures |= {name: value if name.endswith(", s") else QUERIES / value for name, value in best.items()}
    return figures | {"megabytes of memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}


def rounds(works: dict[str, Callable[[], object]]) -> list[list[float]]:
    return [[spent(work) for work in works.values()] for _ in range(ROUNDS)]


def verdict(name: str, value: float) -> str:
    if name.startswith("pytricia"):
        return ""
    if name.startswith("load"):
        is_met, wanted = value <= LOADED, f"{LOADED} s"
    elif name.endswith("one by one"):
        is_met, wanted = value >= ONE_BY_ONE, f"{ONE_BY_ONE:,}/s"
    elif name.endswith("all at once"):
        is_met, wanted = value >= AT_ONCE, f"{AT_ONCE:,}/s"
    else:
        return ""
    return f"  {'met' if is_met else 'NOT met'}: {wanted}"


def show(figures: dict[str, float], *, has_targets: bool, is_pure: bool) -> None:
    """Print the figures. Many at once are to be faster with numpy only."""
    for name, value in figures.items():
        ratio, mark = "", verdict(name, value) if has_targets and not (is_pure and name.endswith("at once")) else ""
        rival = figures.get(f"pytricia: {name.rpartition(',')[0]}")
        if rival:
            ratio = f"{value / rival:6.2f} x pytricia"
        if name.endswith(", s") or name.startswith("megabytes"):
            print(f"{name:40} {value:12.2f}{mark}")
        else:
            print(f"{name:40} {value:12,.0f}{ratio:20}{mark}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--systems", action="store_true", help="autonomous systems inside the countries")
    parser.add_argument("--made-up", action="store_true", help="a map of 250,000 prefixes that is made by chance")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", action="store_true", help="measure here and not in other processes")
    parser.add_argument("--pure", action="store_true", help="without numpy and orjson; with --one")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments)))
        return
    given = [name for name in ("--systems", "--made-up") if getattr(arguments, name[2:].replace("-", "_"))]
    figures = {}
    for name, more in (("alto-fast", []), ("pure Python", ["--pure"])):
        command = [sys.executable, __file__, "--one", *given, *more]
        figures[name] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    if arguments.json:
        print(json.dumps(figures))
        return
    print(load.machine())
    for name, row in figures.items():
        print(f"\n{name}; lookups a second")
        show(row, has_targets=not arguments.systems, is_pure=name != "alto-fast")
    if not arguments.made_up:
        print(ATTRIBUTION)


if __name__ == "__main__":
    main()
