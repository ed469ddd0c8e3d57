"""How much each node of the policy tree receives and sends (RFC 7069 section 6.2.2)."""

from __future__ import annotations

from math import exp

import attrs

from decade.policy import parents
from decade.ports import NodePath

WINDOW = 10.0
"""Seconds that a rate is over: shorter ones show single objects, longer ones yesterday."""


@attrs.define
class Meter:
    """Octets in all, and the rate of late: each octet weighs less the longer ago it came, by e in WINDOW."""

    octets: int = 0
    _level: float = 0.0
    _at: float = 0.0

    def add(self, octets: int, now: float) -> None:
        """Octets went by."""
        self._level = self._decayed(now) + octets
        self._at = max(now, self._at)
        self.octets += octets

    def rate(self, now: float) -> int:
        """Bit/s."""
        return round(self._decayed(now) * 8 / WINDOW)

    def _decayed(self, now: float) -> float:
        return self._level * exp(-max(0.0, now - self._at) / WINDOW)


@attrs.define
class Traffic:
    """What a node receives and sends."""

    received: Meter = attrs.Factory(Meter)
    sent: Meter = attrs.Factory(Meter)


class TrafficCounter:
    """The traffic of each node, with what is below it. There are as many as the policy tree has nodes."""

    def __init__(self) -> None:
        self._nodes: dict[NodePath, Traffic] = {}

    def add_received(self, path: NodePath, octets: int, now: float) -> None:
        """Octets came for a node."""
        for node in (*parents(path), path):
            self.at(node).received.add(octets, now)

    def add_sent(self, path: NodePath, octets: int, now: float) -> None:
        """Octets of a node went."""
        for node in (*parents(path), path):
            self.at(node).sent.add(octets, now)

    def at(self, path: NodePath) -> Traffic:
        """The traffic of a node."""
        found = self._nodes.get(path)
        if found is None:
            found = self._nodes[path] = Traffic()
        return found

    def forget(self, path: NodePath) -> None:
        """A node is no more."""
        self._nodes.pop(path, None)
