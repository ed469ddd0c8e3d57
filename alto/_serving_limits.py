"""What a server does for one client before it says that it is overloaded (RFC 7285 sections 8.5.3, 15.5.2)."""

import math
from collections import OrderedDict

from attrs import frozen

from alto.address import parse_address
from alto.errors import ConfigurationError

MAX_CLIENTS = 10_000
"""Clients whose questions are counted: a few hundred octets each. The one that has been silent longest is forgotten."""


@frozen
class Limits:
    """What is served; beyond it a request is refused. Raises ConfigurationError for what serves nobody."""

    body: int = 2**20
    """Octets of a request body: some 25,000 endpoints, and about 10 ms to read."""
    posts_per_second: float | None = None
    """POST requests of one client that are answered in the long run; None for any number. Each may ask for m x n costs,
    while what one GETs is made once for all."""
    burst: int = 50
    """POST requests of one client that are answered at once, if it has been silent before."""

    def __attrs_post_init__(self) -> None:
        if self.body < 1 or self.burst < 1 or (self.posts_per_second is not None and not self.posts_per_second > 0):
            raise ConfigurationError(f"limits under which nobody is served: {self}")


class Budgets:
    """A bucket of tokens for each client."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str | None, now: float) -> int:
        """Spend a token of the client at that typed address: 0 where there was one, else the seconds until one is."""
        client = _site(client)
        tokens, since = self._clients.get(client, (self._burst, now))
        tokens = min(self._burst, tokens + max(0.0, now - since) * self._rate)
        is_served = tokens >= 1
        self._clients[client] = (tokens - 1 if is_served else tokens, now)
        self._clients.move_to_end(client)
        if len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
        return 0 if is_served else max(1, math.ceil((1 - tokens) / self._rate))


def _site(client: str | None) -> str:
    """What counts as one client: an IPv4 address, or the 2**64 IPv6 addresses that every subscriber has."""
    if client is None or not client.startswith("ipv6:"):
        return client or ""
    return f"ipv6:{parse_address(client[5:])[1] >> 64:x}"
