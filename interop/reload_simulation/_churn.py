"""Peers that come and go."""

from __future__ import annotations

import random

from interop.reload_simulation._host import Host
from interop.reload_simulation._overlay import SimulatedOverlay

CROWD = 60.0
"""Seconds in which a flash crowd comes."""


class Churn:
    """Each peer stays for a time that is exponentially distributed, and another one comes when it goes."""

    def __init__(self, overlay: SimulatedOverlay, mean_session: float, graceful: float) -> None:
        """`graceful` is the share of those that say goodbye."""
        self.departures = 0
        self._overlay = overlay
        self._mean = mean_session
        self._graceful = graceful
        self._random = random.Random(f"{overlay.scenario.seed}/churn")
        self._is_on = True
        overlay.on_joined.append(self._stay)
        for host in list(overlay):
            self._stay(host)

    def stop(self) -> None:
        """From now on everybody stays."""
        self._is_on = False

    def _stay(self, host: Host) -> None:
        seconds = self._random.expovariate(1 / self._mean)
        engine = self._overlay.engine
        engine.post(engine.now_us + int(seconds * 1e6), self._go, host)

    def _go(self, host: Host) -> None:
        if self._is_on and host.is_up and len(self._overlay.ring) > 1:
            self.departures += 1
            self._overlay.depart(host, gracefully=self._random.random() < self._graceful)
            self._overlay.arrive()


def flash_crowd(overlay: SimulatedOverlay, size: int, after: float) -> None:
    """So many hosts come within a minute, beginning in so many seconds."""
    chance = random.Random(f"{overlay.scenario.seed}/crowd")
    for _ in range(size):
        overlay.arrive_at(overlay.now + after + chance.uniform(0, CROWD))
