"""The map of the world's registries and routing tables, by npm: right where one tree for both families is wrong.

CI has npm, and fails where it has not.
"""

import os
import random
import shutil
import socket
from pathlib import Path

import pytest

from alto._json import dumps, loads
from alto.findings import Findings
from alto.networkmap import NetworkMap, NetworkMapResource, parse_network_map
from interop.alto_sources import ip_location_map

CACHE = Path(__file__).parents[2] / ".cache" / "alto"
FAMILIES = {4: (socket.AF_INET, 32), 6: (socket.AF_INET6, 128)}

pytestmark = pytest.mark.skipif(
    shutil.which("npm") is None and not os.environ.get("CI"), reason="the data comes by npm"
)


@pytest.fixture(scope="module")
def network_map() -> NetworkMap:
    return ip_location_map(CACHE)


@pytest.fixture(scope="module")
def tables(network_map: NetworkMap) -> dict[int, dict[int, dict[int, str]]]:
    """The oracle: by family, length and value, what the map's own JSON says, read by the C library."""
    found: dict[int, dict[int, dict[int, str]]] = {4: {}, 6: {}}
    for name, group in network_map.to_json().items():
        for kind, prefixes in group.items():
            family = int(kind[-1])
            system, _ = FAMILIES[family]
            lengths = found[family]
            for text in prefixes:
                address, _, length = text.partition("/")
                value = int.from_bytes(socket.inet_pton(system, address))
                lengths.setdefault(int(length), {})[value] = name
    return found


def text_of(family: int, value: int) -> str:
    system, bits = FAMILIES[family]
    return socket.inet_ntop(system, value.to_bytes(bits // 8))


def longest(tables: dict[int, dict[int, str]], value: int, bits: int) -> tuple[int, str | None]:
    for length in sorted(tables, reverse=True):
        pid = tables[length].get(value >> bits - length << bits - length)
        if pid is not None:
            return length, pid
    return -1, None


def samples() -> dict[str, list[int]]:
    generator = random.Random(42)
    return {
        "42.0.0.0/12": [42 << 24 | generator.getrandbits(20) for _ in range(20_000)],
        "any IPv4": [generator.getrandbits(32) for _ in range(20_000)],
        "2a00::/12": [0x2A0 << 116 | generator.getrandbits(116) for _ in range(10_000)],
        "2000::/3": [1 << 125 | generator.getrandbits(125) for _ in range(10_000)],
    }


def edges(tables: dict[int, dict[int, str]], bits: int, count: int) -> list[int]:
    """First and last addresses of prefixes, and those beside them: where lookups go wrong if they do."""
    generator = random.Random(43)
    prefixes = [(value, length) for length, table in tables.items() for value in table]
    found = []
    for value, length in generator.sample(prefixes, count):
        last = value | (1 << bits - length) - 1
        found += [value, last, max(value - 1, 0), min(last + 1, (1 << bits) - 1)]
    return found


def test_the_map_has_some_800_000_prefixes_one_inside_the_other(
    tables: dict[int, dict[int, dict[int, str]]],
) -> None:
    counts = {family: sum(map(len, found.values())) for family, found in tables.items()}
    assert sum(counts.values()) > 750_000
    assert min(counts.values()) > 150_000
    inner = sum(
        value >> 32 - outer << 32 - outer in tables[4][outer]
        for length in tables[4]
        for value in tables[4][length]
        for outer in range(8, length)
        if outer in tables[4]
    )
    assert inner > 100_000


def test_every_address_has_the_pid_that_the_longest_prefix_of_its_family_gives(
    network_map: NetworkMap, tables: dict[int, dict[int, dict[int, str]]]
) -> None:
    for name, values in samples().items():
        family = 6 if ":" in name else 4
        texts = [text_of(family, value) for value in values]
        right = [longest(tables[family], value, FAMILIES[family][1])[1] for value in values]
        assert [network_map.pid_of(text) for text in texts] == right, name
        assert network_map.pids_of(texts) == right, name


def test_at_the_edges_of_prefixes_too(network_map: NetworkMap, tables: dict[int, dict[int, dict[int, str]]]) -> None:
    for family, (_, bits) in FAMILIES.items():
        values = edges(tables[family], bits, 3000)
        right = [longest(tables[family], value, bits)[1] for value in values]
        texts = [text_of(family, value) for value in values]
        assert network_map.pids_of(texts) == right
        assert [network_map.pid_of(text) for text in texts] == right


def test_one_tree_for_both_families_is_wrong_for_some_12_percent_of_a_block(
    tables: dict[int, dict[int, dict[int, str]]],
) -> None:
    values = samples()["42.0.0.0/12"]
    # In such a tree an IPv6 prefix of up to 32 bits contains the IPv4 addresses that begin with them.
    first_bits = {
        length: {value >> 96: pid for value, pid in table.items()}
        for length, table in tables[6].items()
        if 0 < length <= 32
    }
    wrong = 0
    for value in values:
        length, pid = longest(tables[4], value, 32)
        other, shadow = longest(first_bits, value, 32)
        wrong += other >= length and shadow != pid
    assert 0.10 < wrong / len(values) < 0.15


def test_a_client_reads_the_countries_and_some_systems_as_they_were_sent(network_map: NetworkMap) -> None:
    some = NetworkMap(
        {name: group for name, group in network_map.pids.items() if name.endswith("7") or not name.startswith("AS")}
    )
    resource = NetworkMapResource("world", some)
    tree = {"meta": {"vtag": resource.vtag.to_json()}, "network-map": some.to_json()}
    findings = Findings()
    parsed = parse_network_map(loads(dumps(tree)), findings)
    assert (parsed.vtag, parsed.network_map.tag, findings.items) == (resource.vtag, some.tag, [])
    assert len(parsed.network_map.table) > 120_000
