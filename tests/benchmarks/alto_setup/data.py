"""Maps, costs and requests to measure with: made by chance, the same each time."""

import json
import random
from functools import cache

from alto.address import BITS, format_address, format_prefix
from alto.costs import CostMatrix
from alto.networkmap import NetworkMap

PIDS = 2_000
PREFIXES = 100_000
SIX = 0.15
"""Of the prefixes, and of the endpoints, the part that is IPv6."""

# Roughly how long the prefixes in routing tables are.
_LENGTHS = {
    4: ((24, 60), (23, 10), (22, 12), (21, 5), (20, 5), (19, 3), (18, 2), (16, 3)),
    6: ((48, 50), (32, 25), (40, 10), (36, 5), (29, 5), (44, 5)),
}

Prefix = tuple[int, int, int]
"""Family, first value, length."""


@cache
def prefixes(count: int) -> tuple[Prefix, ...]:
    """So many different prefixes, nested here and there as real ones are."""
    generator = random.Random(1)
    found: dict[Prefix, None] = {}
    while len(found) < count:
        family = 6 if generator.random() < SIX else 4
        lengths, weights = zip(*_LENGTHS[family], strict=True)
        length = generator.choices(lengths, weights)[0]
        shift = BITS[family] - length
        # Of IPv6, 2000::/3 is in use.
        value = generator.getrandbits(32) if family == 4 else 1 << 125 | generator.getrandbits(125)
        found[family, value >> shift << shift, length] = None
    return tuple(found)


@cache
def network_map(count: int = PREFIXES, pids: int = PIDS) -> NetworkMap:
    """A map of `count` prefixes in `pids` PIDs; a further PID has all other addresses."""
    groups: dict[str, dict[str, list[str]]] = {f"PID{index}": {} for index in range(pids)}
    for at, (family, value, length) in enumerate(prefixes(count)):
        kind = groups[f"PID{at % pids}"].setdefault(f"ipv{family}", [])
        kind.append(format_prefix(family, value, length))
    return NetworkMap(groups, default_pid="elsewhere")


def rows(size: int, kind: str) -> list[list[float]]:
    """Costs of one `kind`: "hops" (0 to 30), "integers" (below 1,000), "decimals" (two of them), "doubles" (any)."""
    generator = random.Random(2)
    draw = {
        "hops": lambda: float(generator.randrange(31)),
        "integers": lambda: float(generator.randrange(1000)),
        "decimals": lambda: generator.randrange(10_000) / 100,
        "doubles": lambda: generator.random() * 100,
    }[kind]
    return [[draw() for _ in range(size)] for _ in range(size)]


def costs(kind: str = "integers", size: int = PIDS) -> CostMatrix:
    names = [f"PID{index}" for index in range(size)]
    return CostMatrix(names, names, rows(size, kind))


def endpoints(count: int, seed: int) -> list[str]:
    """Typed addresses inside prefixes of the map, as clients have them."""
    generator = random.Random(seed)
    known = prefixes(PREFIXES)
    found = []
    for _ in range(count):
        family, value, length = generator.choice(known)
        address = value | generator.getrandbits(BITS[family] - length)
        found.append(f"ipv{family}:{format_address(family, address)}")
    return found


def questions(destinations: int, endpoints_in_all: int) -> list[bytes]:
    """Bodies that ask for the costs from one source to so many destinations; together they name that many endpoints."""
    pool = endpoints(endpoints_in_all, seed=3)
    generator = random.Random(4)
    cost_type = {"cost-mode": "numerical", "cost-metric": "routingcost"}
    asked = []
    for at in range(0, endpoints_in_all, destinations):
        listed = {"srcs": [generator.choice(pool)], "dsts": pool[at : at + destinations]}
        asked.append(json.dumps({"cost-type": cost_type, "endpoints": listed}).encode())
    return asked
