"""Topologies as JSON and as CSV.

JSON::

    {"nodes": [{"name": "NET1", "bandwidth": "50G", "persistent-entity-id": "ane-props.ane:MEC1",
                "pids": {"PID1": ["192.0.2.0/28"]}}],
     "links": [{"from": "NET1", "to": "NET3", "bandwidth": "10G", "weight": 1, "one-way": false}],
     "default-pid": "elsewhere"}

CSV, a kind and its values in each line; empty values at the end may be left out, `#` begins a comment::

    node,NET1,50G,ane-props.ane:MEC1
    pid,PID1,NET1,192.0.2.0/28
    link,NET1,NET3,10G,1,one-way
    default-pid,elsewhere

A bandwidth is in bits a second, as a number or with k, M, G or T behind it. A link has its bandwidth in each direction,
unless it is one-way. Several `pid` lines add prefixes to one PID.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence

from alto._json import Json, JsonError, loads
from alto.errors import ConfigurationError
from alto.findings import is_json, shown
from alto.topology import Link, Node, Topology

_BANDWIDTH = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kMGT]?)(?:bps|bit/s)?")
_FACTORS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def parse_topology(text: str) -> Topology:
    """A topology in either form: JSON where it begins with a brace. Raises ConfigurationError with the place."""
    if not text.lstrip().startswith("{"):
        return topology_from_csv(text)
    try:
        return topology_from_json(loads(text.encode("utf-8")))
    except JsonError as error:
        raise ConfigurationError(f"topology: {error}") from error


def topology_from_json(tree: Json) -> Topology:
    """A topology from its JSON form. Raises ConfigurationError."""
    builder = _Builder()
    for place, node in enumerate(_member(tree, "nodes", list, "topology")):
        where = f"nodes/{place}"
        name = _member(node, "name", str, where)
        builder.add_node(where, name, _bandwidth(node, where), _optional(node, "persistent-entity-id", str, where))
        for pid, prefixes in (_optional(node, "pids", dict, where) or {}).items():
            if not isinstance(prefixes, list) or not all(isinstance(prefix, str) for prefix in prefixes):
                raise ConfigurationError(f"{where}/pids/{pid:.80}: an array of prefixes is due")
            builder.add_pid(where, pid, name, prefixes)
    for place, link in enumerate(_optional(tree, "links", list, "topology") or ()):
        where = f"links/{place}"
        ends = _member(link, "from", str, where), _member(link, "to", str, where)
        weight = _optional(link, "weight", float, where)
        is_one_way = bool(_optional(link, "one-way", bool, where))
        builder.add_link(*ends, _bandwidth(link, where), 1.0 if weight is None else float(weight), is_one_way)
    return builder.topology(_optional(tree, "default-pid", str, "topology"))


def topology_from_csv(text: str) -> Topology:
    """A topology from its CSV form. Raises ConfigurationError."""
    builder = _Builder()
    default_pid: str | None = None
    lines = [line.partition("#")[0] for line in text.splitlines()]
    try:
        rows = list(csv.reader(lines, skipinitialspace=True))
    except csv.Error as error:
        raise ConfigurationError(f"topology: {error}") from error
    for place, row in enumerate(rows, 1):
        values = [value.strip() for value in row]
        if not any(values):
            continue
        where = f"line {place}"
        kind, *rest = values
        first, second, *others = [*rest, "", ""]
        third, fourth, fifth = [*others, "", "", ""][:3]
        match kind:
            case "node":
                builder.add_node(where, first, _bits(second, where) if second else None, third or None)
            case "pid":
                builder.add_pid(where, first, second, [value for value in others if value])
            case "link":
                weight = _number(fourth, where) if fourth else 1.0
                if fifth not in ("", "one-way"):
                    raise ConfigurationError(f"{where}: {fifth!r:.80} is not one-way")
                builder.add_link(first, second, _bits(third, where) if third else None, weight, fifth == "one-way")
            case "default-pid":
                default_pid = first
            case _:
                raise ConfigurationError(f"{where}: {kind!r:.80} is none of node, pid, link and default-pid")
    return builder.topology(default_pid)


class _Builder:
    """Takes nodes, PIDs and links in any order."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._links: list[Link] = []
        self._attachments: dict[str, str] = {}
        self._pids: dict[str, dict[str, list[str]]] = {}

    def add_node(self, where: str, name: str, bandwidth: float | None, persistent_id: str | None) -> None:
        if not name or name in self._nodes:
            raise ConfigurationError(f"{where}: the node {name!r:.80} is there twice, or has no name")
        self._nodes[name] = Node(name, bandwidth, persistent_id)

    def add_pid(self, where: str, pid: str, node: str, prefixes: Sequence[str]) -> None:
        if self._attachments.setdefault(pid, node) != node:
            raise ConfigurationError(f"{where}: the PID {pid!r:.80} is at {self._attachments[pid]!r:.80} as well")
        group = self._pids.setdefault(pid, {})
        for prefix in prefixes:
            group.setdefault("ipv6" if ":" in prefix else "ipv4", []).append(prefix)

    def add_link(self, source: str, destination: str, bandwidth: float | None, weight: float, is_one_way: bool) -> None:
        self._links.append(Link(source, destination, bandwidth, weight))
        if not is_one_way:
            self._links.append(Link(destination, source, bandwidth, weight))

    def topology(self, default_pid: str | None) -> Topology:
        made = Topology(self._nodes, tuple(self._links), self._attachments, self._pids, default_pid)
        made.network_map()
        return made


def _member(tree: Json, name: str, kind: type, where: str) -> Json:
    if not isinstance(tree, dict) or not is_json(tree.get(name), kind):
        found = shown(tree.get(name)) if isinstance(tree, dict) else shown(tree)
        raise ConfigurationError(f"{where}: {name} is due, not {found}")
    return tree[name]


def _optional(tree: Json, name: str, kind: type, where: str) -> Json | None:
    return _member(tree, name, kind, where) if isinstance(tree, dict) and name in tree else None


def _bandwidth(tree: dict[str, Json], where: str) -> float | None:
    value = tree.get("bandwidth")
    if value is None:
        return None
    if is_json(value, float):
        return _checked(float(value), where)
    return _bits(value, where) if isinstance(value, str) else _member(tree, "bandwidth", str, where)


def _bits(text: str, where: str) -> float:
    """A bandwidth such as 10G, in bits a second."""
    match = _BANDWIDTH.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"{where}: {text!r:.80} is no bandwidth, such as 10G or 2.5M")
    return _checked(float(match[1]) * _FACTORS[match[2]], where)


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise ConfigurationError(f"{where}: {text!r:.80} is no weight") from error
    return _checked(value, where)


def _checked(value: float, where: str) -> float:
    if not 0 <= value < math.inf:
        raise ConfigurationError(f"{where}: {value} is below 0 or not finite")
    return value
