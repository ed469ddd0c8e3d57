"""Which addresses a server may connect to when a client names the host: forged requests (RFC 7069 section 8).

A name is resolved once, every address is checked, and the connection goes to one of those that were checked: a second
resolution could give another answer. TLS still verifies the name.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias

import attrs
import httpcore

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[Address]]]

MAX_ADDRESSES = 16
"""Addresses of one host that are tried."""
LOOKUPS = 64
"""Hosts that are looked up at a time. Whoever names hosts in a zone whose servers do not answer keeps a thread for each
of his transfers, half of all under way, and for each that was given up as long as the system goes on asking.
"""
_threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="decade-lookup")
# All that is assigned for global unicast (RFC 4291 section 2.4), which leaves out IPv4-mapped addresses and NAT64.
_UNICAST: tuple[Network, ...] = (ip_network("0.0.0.0/0"), ip_network("2000::/3"))
# Teredo and 6to4 take a packet to the address of IPv4 that is in theirs; and the relay of 6to4.
_TUNNELS: tuple[Network, ...] = (ip_network("2001::/32"), ip_network("2002::/16"), ip_network("192.88.99.0/24"))


class ForbiddenAddressError(httpcore.ConnectError):
    """A host has an address that nobody may be sent to."""


@attrs.frozen
class AddressPolicy:
    """Global unicast addresses, the networks in `networks`, and whatever addresses the names in `hosts` have."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()

    def permits(self, address: Address) -> bool:
        """Whether an address may be connected to."""
        if any(address in network for network in self.networks):
            return True
        is_unicast = any(address in network for network in _UNICAST) and not address.is_multicast
        return is_unicast and address.is_global and not any(address in network for network in _TUNNELS)

    def check(self, host: str, addresses: Sequence[Address]) -> None:
        """Raises ForbiddenAddressError unless every address is permitted: which one is used is the attacker's guess."""
        if host not in self.hosts and not all(map(self.permits, addresses)):
            raise ForbiddenAddressError(f"{host} has an address that may not be connected to")


async def resolve(host: str, port: int) -> Sequence[Address]:
    """The addresses of a host, as the system resolves it. Raises OSError, UnicodeError."""
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_threads, look_up)
    return [ip_address(entry[4][0]) for entry in found]


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that a policy permits, and to nothing else."""

    def __init__(self, policy: AddressPolicy, resolver: Resolver = resolve) -> None:
        self._policy = policy
        self._resolver = resolver
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - it is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address that answers. Raises ForbiddenAddressError, httpcore.ConnectError."""
        last: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in (await self._addresses(host, port))[:MAX_ADDRESSES]:
            try:
                return await self._backend.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last

    async def _addresses(self, host: str, port: int) -> Sequence[Address]:
        host = host.strip("[]")
        try:
            addresses: Sequence[Address] = [ip_address(host)]
        except ValueError:
            try:
                addresses = await self._resolver(host, port)
            except (OSError, UnicodeError) as error:
                raise httpcore.ConnectError(f"{host} has no address") from error
        self._policy.check(host, addresses)
        return addresses
