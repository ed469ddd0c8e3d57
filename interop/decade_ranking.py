"""Which servers of DECADE are near, as an ALTO server says (RFC 7285): the costs for a `DecadeClient`."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from interop.alto_client import AltoClient


async def alto_costs(alto: AltoClient, servers: Sequence[str], *, source: str | None = None) -> Mapping[str, float]:
    """What it costs to reach each of these origins from an address; without one from this host, as ALTO sees it.

    Infinite for who has no address, or one that the ALTO server knows no cost of. Raises as `AltoClient.rank`.
    """
    addresses = {server: await _address(server) for server in servers}
    known = [address for address in addresses.values() if address is not None]
    ranked = await alto.rank(source, known) if known else ()
    costs = {peer.endpoint.partition(":")[2]: peer.cost for peer in ranked if peer.cost is not None}
    return {server: costs.get(address or "", math.inf) for server, address in addresses.items()}


async def _address(server: str) -> str | None:
    """The address that a connection would go to first."""
    parts = urlsplit(server)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return None
    return str(found[0][4][0])
