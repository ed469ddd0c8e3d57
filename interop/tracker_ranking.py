"""Where peers are, as an ALTO server says (RFC 7285): the costs by which a tracker ranks them (RFC 7846 section 4.1.1).

The tracker keeps the network map and the cost map, and looks addresses up in them: no request waits for the ALTO
server, and it learns no address of a peer.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence

import httpx

from alto.errors import AltoError
from alto.networkmap import NetworkMap
from interop.alto_client import AltoClient

REFRESH = 60.0
"""Seconds between two looks for newer maps; the client validates what it has, so that an old map costs little."""

logger = logging.getLogger(__name__)


class AltoCosts:
    """`ppsp.tracker.Costs` from the default maps of an ALTO server; nothing is known before `follow` has read them."""

    def __init__(self) -> None:
        self._map: NetworkMap | None = None
        self._cost: Callable[[str, str], float | None] = lambda source, destination: None

    def __call__(self, source: str, destinations: Sequence[str]) -> list[float]:
        """What it costs to get from an address to others; infinite where the maps do not say."""
        if self._map is None:
            return [math.inf] * len(destinations)
        here, *there = self._map.pids_of([source, *destinations])
        return [self._between(here, pid) for pid in there]

    def _between(self, source: str | None, destination: str | None) -> float:
        cost = None if source is None or destination is None else self._cost(source, destination)
        return math.inf if cost is None else cost

    async def read(self, alto: AltoClient) -> None:
        """Read the maps once. Raises as the client does."""
        network_map = (await alto.network_map()).value.network_map
        costs = (await alto.cost_map()).value
        self._map, self._cost = network_map, costs.cost

    async def follow(self, url: str) -> None:
        """Read the maps of the server with this Root IRD again and again; what was read counts until there is more."""
        async with AltoClient(url, strict=False) as alto:
            while True:
                try:
                    await self.read(alto)
                except (AltoError, httpx.HTTPError, OSError) as error:
                    logger.info("no newer maps from %s: %s", url, error)
                await asyncio.sleep(REFRESH)
