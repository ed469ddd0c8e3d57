"""Bad tokens by the address that they come from: of IPv6, the network (PROFILE.md section 6.11)."""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network

from decade.errors import ErrorCode, RefusedError

MAX_FAILURES = 100
"""Bad tokens from one address at once; each may cost a check of a signature, some 0.2 ms."""
FAILURES_PER_SECOND = 10.0
MAX_PEERS = 4096
"""Addresses whose bad tokens are counted, that with the oldest goes first; some 200 octets each."""

_HOST = 64
"""Bits of an address of IPv6 that tell one network from others."""


class PeerFailures:
    """How many bad tokens came from each address, so that guessing them is slow and costs no signature work."""

    def __init__(self) -> None:
        self._clear_at: OrderedDict[str, float] = OrderedDict()

    def check(self, peer: str, now: float) -> None:
        """Raises RefusedError (RATE_LIMITED), with the seconds to wait, after MAX_FAILURES at once."""
        wait = self._wait(peer, now)
        if wait > 0:
            raise RefusedError(ErrorCode.RATE_LIMITED, "too many bad tokens from this address", retry_after=wait)

    def is_clear(self, peer: str, now: float) -> bool:
        """Whether `check` would raise nothing."""
        return self._wait(peer, now) <= 0

    def count(self, peer: str, now: float) -> None:
        """A bad token came."""
        peer = neighbours(peer)
        self._clear_at[peer] = max(self._clear_at.pop(peer, now), now) + 1 / FAILURES_PER_SECOND
        if len(self._clear_at) > MAX_PEERS:
            self._clear_at.popitem(last=False)

    def _wait(self, peer: str, now: float) -> float:
        if not self._clear_at:
            return 0.0
        return self._clear_at.get(neighbours(peer), now) - now - (MAX_FAILURES - 1) / FAILURES_PER_SECOND


@lru_cache(MAX_PEERS)
def neighbours(peer: str) -> str:
    """The address, or the /64 that it is in: of IPv6 whoever has one address has all of those (RFC 6177, RFC 4291)."""
    try:
        address = IPv6Address(peer)
    except ValueError:
        return peer
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), _HOST), strict=False))
