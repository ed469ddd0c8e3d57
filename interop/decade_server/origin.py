"""Where a request comes from, and whether it came over TLS: what the socket says, or a proxy that is trusted.

Anybody can write header fields. They are believed only from the addresses of proxies that the provider has named, and
only in the form that these write: a proxy passes on the fields that it does not know.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, TypeAlias

import attrs

from decade.http import Headers

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
HeaderForm: TypeAlias = Literal["x-forwarded", "forwarded"]
MAX_HOPS = 16
"""Elements of a field that are looked at, from the last one: each is a proxy."""
CACHED = 4096
"""Addresses that were looked at last."""
_PARAMETER = re.compile(r'\s*(for|proto)\s*=\s*(?:"([^"]*)"|([^\s",;]*))\s*', re.IGNORECASE)


@attrs.frozen
class Origin:
    """The address and port that a request comes from, None for a local socket; whether it is confidential."""

    peer: tuple[str, int] | None
    is_tls: bool

    @property
    def is_safe(self) -> bool:
        """Whether a token that came this way was seen by nobody else: over TLS, or from this machine."""
        return self.is_tls or self.peer is None or is_loopback(self.peer[0])


@attrs.frozen
class Proxies:
    """The proxies that are trusted to say where a request comes from, and the fields in which they say it.

    `form`: X-Forwarded-For and X-Forwarded-Proto, or Forwarded (RFC 7239).
    """

    networks: tuple[Network, ...] = ()
    form: HeaderForm = "x-forwarded"

    def origin(self, peer: tuple[str, int] | None, scheme: str, headers: Headers) -> Origin:
        """Where a request comes from. `peer` and `scheme` are those of the socket."""
        if not self.networks or not self.is_trusted(peer):
            return Origin(peer, scheme == "https")
        hops = _forwarded(headers) if self.form == "forwarded" else _x_forwarded(headers)
        if not hops:
            return Origin(peer, scheme == "https")
        # Each proxy adds who has asked it at the end: the last one that is no proxy of ours is the client.
        is_tls = True
        for address, proto in reversed(hops):
            is_tls = is_tls and proto == "https"
            peer = (address, 0)
            if not self.is_trusted(peer):
                break
        return Origin(peer, is_tls)

    def is_trusted(self, peer: tuple[str, int] | None) -> bool:
        """Whether this is the address of a proxy."""
        found = _address(peer[0]) if peer is not None else None
        return found is not None and any(found in network for network in self.networks)


def is_loopback(address: str) -> bool:
    """Whether this is an address of the machine itself."""
    found = _address(address)
    return found is not None and found.is_loopback


@lru_cache(CACHED)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _values(headers: Headers, name: str) -> list[str]:
    joined = ",".join(value for key, value in headers if key.lower() == name)
    return [element.strip(" \t") for element in joined.split(",")[-MAX_HOPS:]] if joined else []


def _x_forwarded(headers: Headers) -> list[tuple[str, str]]:
    """The hops, and the scheme of each. There may be one scheme for all: then it is the first that matters, and a
    proxy has made sure of it."""
    addresses = [_without_port(element) for element in _values(headers, "x-forwarded-for")]
    schemes = [element.lower() for element in _values(headers, "x-forwarded-proto")]
    is_tls = bool(schemes) and all(scheme == "https" for scheme in schemes)
    if not addresses and schemes:
        # A proxy that hides its client: nobody is on this machine then.
        addresses = ["unknown"]
    return [(address, "https" if is_tls else "http") for address in addresses]


def _forwarded(headers: Headers) -> list[tuple[str, str]]:
    """RFC 7239 section 4."""
    return [_element(element) for element in _values(headers, "forwarded")]


def _element(element: str) -> tuple[str, str]:
    found = {"for": "unknown", "proto": ""}
    for pair in element.split(";"):
        if (match := _PARAMETER.fullmatch(pair)) is not None:
            found[match[1].lower()] = match[3] if match[2] is None else match[2]
    return _without_port(found["for"]), found["proto"].lower()


def _without_port(node: str) -> str:
    """The address of a node, which may have a port (RFC 7239 section 6)."""
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return node.partition(":")[0] if node.count(":") == 1 else node


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and prefixes as they are written. Raises ValueError."""
    return tuple(ipaddress.ip_network(text) for text in texts)
