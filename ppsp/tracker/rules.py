"""What peers may do at a tracker, and how much of it: limits, and rules beyond those of RFC 7846."""

import ipaddress

from attrs import frozen

_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 addresses as translators write them (RFC 6052 section 2.1)."""


@frozen
class Limits:
    """What peers can fill, and how far."""

    body: int = 64 * 2**10
    """Octets of a request: a CONNECT to 500 swarms has some 65,000."""
    peers: int = 200_000
    """Registrations at once, of some 1 KiB each, and of 7 where a peer makes the most of it: 200 MiB to 1.4 GiB."""
    swarms: int = 100_000
    """A swarm costs a list, and its ID up to 8 KiB: 20 to 850 MiB."""
    memberships: int = 1_000_000
    """Over all peers, of up to 450 octets each, statistics included; the product of the limits around would be 2e8."""
    swarms_per_peer: int = 1024
    """An edge cache seeds many, a viewer is in a few."""
    swarm_ids_per_peer: int = 128 * 2**10
    """Octets of the IDs of the swarms that a peer is in: 1024 of 128 characters, a SHA-512 in hexadecimal. A tracker
    with a store reads them all at each request of the peer."""
    memberships_per_host: int = 4096
    """Over all peers that one IPv4 address, or one IPv6 /64, was the last to bring into a swarm; each of them has at
    least one. Four edge caches, or a thousand viewers in four swarms each: the 64,000 ports of an address serve some
    hundred users of a carrier's NAT. 4 % of the swarms and 0.4 % of the memberships above: nobody fills a tracker from
    one address. Who has an IPv6 /48 has 65,536 times as much, and the limits above alone hold."""
    addresses: int = 8
    """Of one peer; those with the highest priority count. The ICE candidates of two interfaces are 4 to 6."""


@frozen
class Rules:
    """What a tracker asks of peers beyond what the RFC does. All of it costs some honest peers something."""

    strict: bool = False
    """Refuse every CONNECT that table 6 does not list as valid; else a registered peer may join more swarms, and a
    LEECH become a SEEDER."""
    hold_ids: bool = False
    """A peer ID in use belongs to the IPv4 address, or IPv6 /64, that registered it, where no authentication says whose
    it is: others read it in lists, and could make its peer leave. A peer that moves registers anew when its track timer
    has ended; one that comes by IPv4 and IPv6 in turns is refused half of the time."""
    own_addresses: bool = False
    """List a peer only at the address that its request comes from, and at private ones: else a peer can point swarms
    at a victim. Peers at relays (TURN), and those with two families of addresses, lose one."""


def host_of(address: str) -> str:
    """Who is at an IP address, as far as limits go: the IPv4 address, or the /64 of an IPv6 one.

    A host has all addresses of its /64 (RFC 4862), and a new one as often as it likes (RFC 8981). An address that
    stands for an IPv4 one is that: else 6to4 (RFC 3056) gave it 65,536 more, and all who come by a translator (RFC
    6052) or by one server of Teredo (RFC 4380) were one host. Raises ValueError for what is no IP address.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    inner = _ipv4_within(ip)
    return str(inner) if inner is not None else f"{ipaddress.IPv6Address(int(ip) >> 64 << 64)}/64"


def _ipv4_within(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if ip in _TRANSLATED:
        return ipaddress.IPv4Address(ip.packed[-4:])
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
