"""The fault of a client that keeps both families in one tree of 128 bits, and the same map read right.

Such a tree exists: the map is a small one after the shape of the registries' allocations, where 2a00::/12 and
42.0.0.0/12 have the same first bits, and 12 % of the latter are below a longer IPv6 prefix.
"""

import ipaddress
import random

from alto.address import BITS, format_address, parse_prefix
from alto.networkmap import NetworkMap


def map_of_both_families() -> NetworkMap:
    pids: dict[str, dict[str, list[str]]] = {"elsewhere": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]}}
    for block in range(16):
        pids[f"v4-{block}"] = {"ipv4": [f"42.{block}.0.0/16"]}
    # Every eighth /24 of 42.0.0.0/12 has the first bits of an IPv6 prefix of 24 or more bits.
    for at in range(0, 4096, 8):
        value = (0x2A0000 + at) << 104
        pids.setdefault(f"v6-{at % 5}", {}).setdefault("ipv6", []).append(f"{ipaddress.IPv6Address(value)}/24")
    return NetworkMap(pids)


class OneTree:
    """Both families, first bits first: the longest prefix of any of them is the answer."""

    def __init__(self, network_map: NetworkMap) -> None:
        self._pids: dict[tuple[int, int], str] = {}
        for name, group in network_map.pids.items():
            for kind, prefixes in group.items():
                for text in prefixes:
                    family = 4 if kind == "ipv4" else 6
                    value, length = parse_prefix(text, family)
                    self._pids[value << 128 - BITS[family], length] = name

    def pid_of(self, family: int, value: int) -> str | None:
        value <<= 128 - BITS[family]
        for length in range(BITS[family], -1, -1):
            pid = self._pids.get((value >> 128 - length << 128 - length, length))
            if pid is not None:
                return pid
        return None


class Oracle:
    """Each family by itself, with Python's own networks: from the host's up through every supernet."""

    def __init__(self, network_map: NetworkMap) -> None:
        self._pids = {
            ipaddress.ip_network(text): name
            for name, group in network_map.pids.items()
            for prefixes in group.values()
            for text in prefixes
        }

    def pid_of(self, address: str) -> str | None:
        network = ipaddress.ip_network(address)
        while network not in self._pids and network.prefixlen:
            network = network.supernet()
        return self._pids.get(network)


def test_where_one_tree_for_both_families_is_wrong_for_one_address_in_eight_ours_is_right() -> None:
    network_map = map_of_both_families()
    tree, oracle = OneTree(network_map), Oracle(network_map)
    generator = random.Random(42)
    values = [42 << 24 | generator.getrandbits(20) for _ in range(2000)]
    texts = [format_address(4, value) for value in values]
    right = [oracle.pid_of(text) for text in texts]
    assert [network_map.pid_of(text) for text in texts] == network_map.pids_of(texts) == right
    wrong = sum(tree.pid_of(4, value) != pid for value, pid in zip(values, right, strict=True))
    assert 0.10 < wrong / len(values) < 0.15


def test_where_one_tree_gives_ipv6_addresses_the_pids_of_ipv4_ours_is_right() -> None:
    network_map = map_of_both_families()
    tree, oracle = OneTree(network_map), Oracle(network_map)
    generator = random.Random(43)
    values = [0x2A0 << 116 | generator.getrandbits(116) for _ in range(1000)]
    values += [0x2001 << 112 | generator.getrandbits(112) for _ in range(1000)]
    texts = [format_address(6, value) for value in values]
    right = [oracle.pid_of(text) for text in texts]
    assert [network_map.pid_of(text) for text in texts] == network_map.pids_of(texts) == right
    assert sum(tree.pid_of(6, value) != pid for value, pid in zip(values, right, strict=True)) > 500
