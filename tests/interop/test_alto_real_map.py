"""The map of the world's address registries, by npm: right where one tree for both families is wrong."""

import ipaddress
import random
import shutil
from pathlib import Path

import pytest

from alto._json import dumps, loads
from alto.address import format_address
from alto.findings import Findings
from alto.networkmap import NetworkMap, NetworkMapResource, parse_network_map
from interop.alto_sources import ip_location_map

CACHE = Path(__file__).parents[2] / ".cache" / "alto"

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="the data comes by npm")


@pytest.fixture(scope="module")
def network_map() -> NetworkMap:
    return ip_location_map(CACHE, systems=False)


@pytest.fixture(scope="module")
def tables(network_map: NetworkMap) -> dict[int, dict[int, dict[int, str]]]:
    """The oracle: by family, length and value, what the map's own JSON says, read by Python's `ipaddress`."""
    found: dict[int, dict[int, dict[int, str]]] = {4: {}, 6: {}}
    for name, group in network_map.to_json().items():
        for prefixes in group.values():
            for text in prefixes:
                address, _, length = text.partition("/")
                parsed = ipaddress.ip_address(address)
                found[parsed.version].setdefault(int(length), {})[int(parsed)] = name
    return found


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


def test_every_address_has_the_pid_that_the_longest_prefix_of_its_family_gives(
    network_map: NetworkMap, tables: dict[int, dict[int, dict[int, str]]]
) -> None:
    for name, values in samples().items():
        family = 6 if ":" in name else 4
        texts = [format_address(family, value) for value in values]
        right = [longest(tables[family], value, 32 if family == 4 else 128)[1] for value in values]
        assert [network_map.pid_of(text) for text in texts] == right, name
        assert network_map.pids_of(texts) == right, name


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


def test_a_client_reads_the_whole_map_as_it_was_sent(network_map: NetworkMap) -> None:
    resource = NetworkMapResource("world", network_map)
    tree = {"meta": {"vtag": resource.vtag.to_json()}, "network-map": network_map.to_json()}
    findings = Findings()
    parsed = parse_network_map(loads(dumps(tree)), findings)
    assert (parsed.vtag, parsed.network_map.tag, findings.items) == (resource.vtag, network_map.tag, [])
    assert len(parsed.network_map.table) > 200_000
