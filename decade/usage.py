"""How much each node of the policy tree receives and sends (RFC 7069 section 6.2.2)."""

from __future__ import annotations

from math import exp

import attrs

from decade.policy import parents
from decade.ports import NodePath

WINDOW = 10.0
"""Seconds that a rate is over: shorter ones show single objects, longer ones yesterday."""
TICK = 0.1
"""Seconds in which what moves is only added up."""


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
    """The traffic of each node, with what is below it. There are as many as the policy tree has nodes.

    What moves within TICK counts as moved at the begin of it: a rate is less wrong by that than it is by WINDOW.
    """

    def __init__(self) -> None:
        self._nodes: dict[NodePath, Traffic] = {}
        self._received: dict[NodePath, int] = {}
        self._sent: dict[NodePath, int] = {}
        self._since = 0.0

    def add_received(self, path: NodePath, octets: int, now: float) -> None:
        """Octets came for a node."""
        if not 0 <= now - self._since < TICK:
            self._settle(now)
        self._received[path] = self._received.get(path, 0) + octets

    def add_sent(self, path: NodePath, octets: int, now: float) -> None:
        """Octets of a node went."""
        if not 0 <= now - self._since < TICK:
            self._settle(now)
        self._sent[path] = self._sent.get(path, 0) + octets

    def at(self, path: NodePath) -> Traffic:
        """The traffic of a node."""
        self._settle(self._since)
        return self._at(path)

    def forget(self, path: NodePath) -> None:
        """A node is no more."""
        self._settle(self._since)
        self._nodes.pop(path, None)

    def _settle(self, now: float) -> None:
        """Add what moved since the last tick, and begin another one."""
        for path, octets in self._received.items():
            for node in (*parents(path), path):
                self._at(node).received.add(octets, self._since)
        for path, octets in self._sent.items():
            for node in (*parents(path), path):
                self._at(node).sent.add(octets, self._since)
        self._received.clear()
        self._sent.clear()
        self._since = now

    def _at(self, path: NodePath) -> Traffic:
        found = self._nodes.get(path)
        if found is None:
            found = self._nodes[path] = Traffic()
        return found
