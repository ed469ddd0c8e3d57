"""The TURN server usage (RFC 6940 section 9): who can relay says so at some Resource-IDs, and is found by chance."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence

import attrs

from reload._presentation import decode, encode
from reload.addresses import IpAddressPort, ip_of
from reload.candidates import is_reachable
from reload.errors import DecodeError
from reload.extensions import TurnServer
from reload.kinds import TURN_SERVICE
from reload.naming import resource_id
from reload.operations import Failed, Find, Found, NewValue, Plan, Store, Stored, StoredValue
from reload.reading import RESOURCE_ID_LENGTH
from reload.storage_messages import DataValue, SingleSpecifier
from reload.usages._fetching import fetch_kind

LIFETIME = 3600
"""Seconds a server is announced for."""
MAX_TRIES = 16
"""Random Resource-IDs that are asked for: with a fitting turn-density each finds a server two times out of three."""
MAX_ITERATION = 20
"""The greatest d: the Kind's max-node-multiple (section 9)."""

# RFC 1918, and what no more leads to one host from everywhere: RFC 6598, 4193, 3927, 4291.
_PRIVATE = [
    ipaddress.ip_network(prefix)
    for prefix in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8"),
        *("fc00::/7", "fe80::/10", "::1/128"),
    )
]


def public_address(perceived: Sequence[IpAddressPort], reflexive: Iterable[IpAddressPort]) -> IpAddressPort | None:
    """The address at which a node can be a TURN server, the first of its own that will do; None: it is no candidate.

    `perceived` are the addresses that it could serve at, `reflexive` those that ICE has found for its connections: one
    that is not its own shows a NAT.
    """
    own = [ip_of(address) for address in perceived]
    if any(ip_of(address) not in own for address in reflexive):
        return None
    for address, ip in zip(perceived, own, strict=True):
        if is_reachable(address) and ip is not None and not any(ip in network for network in _PRIVATE):
            return address
    return None


def turn_resource_id(node_id: bytes, iteration: int) -> bytes:
    """H(Node-ID || d), d from 1. The RFC leaves the width of d open: one octet, as in TurnServer."""
    return resource_id(node_id + bytes([iteration]))


class TurnAnnouncement:
    """Announces a node as a TURN server; a `Publication` repeats it in time."""

    def __init__(self, node_id: bytes, address: IpAddressPort, turn_density: int, *, lifetime: int = LIFETIME) -> None:
        """`turn_density` is that of the configuration. With 0 nothing is stored."""
        self._node_id = node_id
        self._address = address
        self._iterations = range(1, min(turn_density, MAX_ITERATION) + 1)
        self._lifetime = lifetime

    @property
    def lifetime(self) -> int:
        """Of the announcement, in seconds."""
        return self._lifetime

    def store(self) -> Plan[bool]:
        """Announce, or refresh, at every Resource-ID."""
        return (
            yield from self._store_all(
                DataValue(True, encode(TurnServer(iteration, self._address))) for iteration in self._iterations
            )
        )

    def remove(self) -> Plan[bool]:
        """Say everywhere that the node is none any more."""
        return (yield from self._store_all(DataValue(False) for _ in self._iterations))

    def _store_all(self, values: Iterable[DataValue]) -> Plan[bool]:
        succeeded = True
        for iteration, value in zip(self._iterations, values, strict=True):
            at = turn_resource_id(self._node_id, iteration)
            result = yield Store(at, (NewValue(TURN_SERVICE.id, value, self._lifetime),))
            succeeded &= isinstance(result, Stored)
        return succeeded


@attrs.frozen
class FoundServer:
    """A TURN server, as it has announced itself."""

    node_id: bytes
    address: IpAddressPort


def find_servers(
    own_node_id: bytes, random_bytes: Callable[[int], bytes], *, wanted: int = 1
) -> Plan[tuple[FoundServer, ...]]:
    """Up to so many TURN servers other than oneself, in the order in which chance has found them.

    A random peer is asked what it holds, and another one if it holds nothing, or what does not hold water.
    """
    found: dict[bytes, FoundServer] = {}
    fetched: set[bytes] = set()
    for _ in range(MAX_TRIES):
        if len(found) >= wanted:
            break
        result = yield Find(random_bytes(RESOURCE_ID_LENGTH), (TURN_SERVICE.id,))
        closest = result.closest.get(TURN_SERVICE.id, b"") if isinstance(result, Found) else b""
        if len(closest) != RESOURCE_ID_LENGTH or not any(closest) or closest in fetched:
            continue
        fetched.add(closest)
        held = yield from fetch_kind(closest, TURN_SERVICE.id, SingleSpecifier())
        for value in () if isinstance(held, Failed) else held.values:
            server = _server(value, closest)
            if server is not None and server.node_id != own_node_id:
                found.setdefault(server.node_id, server)
    return tuple(found.values())


def _server(value: StoredValue, at: bytes) -> FoundServer | None:
    """The server that a value names, if it is there where its signer may say so, and says how it got there."""
    data, signer = value.data.value, value.identity
    if signer is None or not isinstance(data, DataValue) or not data.exists:
        return None
    try:
        server = decode(TurnServer, data.value)
    except DecodeError:
        return None
    if turn_resource_id(signer.node_id, server.iteration) != at or not is_reachable(server.server_address):
        return None
    return FoundServer(signer.node_id, server.server_address)
