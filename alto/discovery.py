"""Finding ALTO servers: for one's own networks (RFC 7286), and for any address or prefix (RFC 8686).

The procedures are plans: generators that yield DNS questions and are sent the answers. `interop.alto_discovery` runs
them; so does a loop over `plan.send` with answers from anywhere.
"""

import re
from collections.abc import Iterable, Sequence

from attrs import frozen

from alto.address import BITS, parse_address
from alto.dhcp import access_domain_v4, access_domain_v6
from alto.errors import ConfigurationError, DecodeError
from alto.naptr import RETRY_AFTER, Found, Lookup, Plan, absolute_name, look_up

SERVICE = "ALTO:https"
"""The service parameter of ALTO over TLS; `ALTO:https:http` takes servers without it as second choice."""

_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")
_LENGTHS = {4: (32, 24, 16, 8), 6: (128, 64, 56, 48, 40, 32)}


class UnsupportedPrefixLengthError(ConfigurationError):
    """A prefix that cross-domain discovery does not support: an IPv4 one below /8, an IPv6 one below /32."""


@frozen
class Discovery:
    """What a discovery found, and each lookup on the way."""

    uris: tuple[Found, ...]
    """IRDs in the order in which they are to be tried; empty where none was found."""
    lookups: tuple[Lookup, ...]

    @property
    def has_temporary_failure(self) -> bool:
        """A lookup failed for now: repeating the discovery later may find something, or a better server."""
        return any(lookup.status.is_temporary for lookup in self.lookups)

    @property
    def retry_after(self) -> float | None:
        """The seconds to wait before the discovery is repeated; None where nothing failed.

        Where URIs were found, that is only because of names that failed for now (RFC 8686 section 3.5).
        """
        waits = [
            lookup.retry_after
            for lookup in self.lookups
            if lookup.retry_after is not None and (not self.uris or lookup.status.is_temporary)
        ]
        return min(waits, default=None)


def reverse_names(subject: str) -> tuple[str, ...]:
    """The domain names to look up for an address or prefix, in order (RFC 8686 sections 3.2 to 3.4, table 1).

    Raises ConfigurationError for what is no address or prefix, UnsupportedPrefixLengthError for too short a one.
    """
    text, slash, digits = subject.partition("/")
    try:
        family, value = parse_address(text)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    if slash and not (_LENGTH.fullmatch(digits) and int(digits) <= BITS[family]):
        raise ConfigurationError(f"{subject!r:.80}: the prefix length is to be 0 to {BITS[family]}")
    length = int(digits) if slash else BITS[family]
    if length < _LENGTHS[family][-1]:
        raise UnsupportedPrefixLengthError(
            f"{subject!r:.80}: an unsupported prefix length; the shortest is /{_LENGTHS[family][-1]}"
        )
    if family == 4:
        labels = [str(octet) for octet in reversed(value.to_bytes(4))]
        step, root = 8, "IN-ADDR.ARPA."
    else:
        labels = list(reversed(f"{value:032X}"))
        step, root = 4, "IP6.ARPA."
    bits = BITS[family]
    return tuple(".".join([*labels[(bits - at) // step :], root]) for at in _LENGTHS[family] if at <= length)


def discover_cross_domain(
    subject: str, service: str = SERVICE, *, retries: int = 1, require_dnssec: bool = False
) -> Plan[Discovery]:
    """The procedure XDOMDISC of RFC 8686: the IRDs that are in charge of an address or prefix.

    A name that fails is followed by the next at once; those that failed for now are tried again `retries` times,
    after all others. Raises ConfigurationError for a `subject` or `service` that is none,
    UnsupportedPrefixLengthError for too short a prefix.
    """
    return (yield from _discover(reverse_names(subject), service, retries, require_dnssec))


def discover_domains(
    domains: Iterable[str], service: str = SERVICE, *, retries: int = 1, require_dnssec: bool = False
) -> Plan[Discovery]:
    """Step 2 of RFC 7286: the IRDs of the first of these domains that has any. Raises ConfigurationError."""
    names = tuple(dict.fromkeys(absolute_name(domain) for domain in domains))
    return (yield from _discover(names, service, retries, require_dnssec))


@frozen
class AccessNetwork:
    """An interface with one address family: the unit of RFC 7286's procedure."""

    interface: str
    family: int
    """4 or 6."""
    domain: str | None = None
    """What the user configured for it."""
    dhcp_options: bytes | None = None
    """The options of the DHCPv4 or DHCPv6 message, as they came."""
    addresses: frozenset[str] = frozenset()


@frozen
class LocalDiscovery:
    """What was found for one access network."""

    network: AccessNetwork
    domain: str | None
    """Where it was looked for; None where no domain name could be found, so that the procedure failed."""
    discovery: Discovery | None
    problem: str | None = None
    """What was wrong with what DHCP said."""

    def is_valid(self, network: AccessNetwork) -> bool:
        """Whether it still holds, now that the network is as given: not after a change of address (section 4.2)."""
        return network.addresses == self.network.addresses


def discover_local(
    networks: Sequence[AccessNetwork],
    *,
    default_domain: str | None = None,
    service: str = SERVICE,
    retries: int = 1,
    require_dnssec: bool = False,
) -> Plan[tuple[LocalDiscovery, ...]]:
    """The procedure of RFC 7286, for each network: its own domain, the default one, or the one that DHCP names.

    Each result is for its own network; a client asks the servers found for the interface and family it will use
    (section 4.2). Raises ConfigurationError for a configured domain or service that is none.
    """
    done: dict[str, Discovery] = {}
    results: list[LocalDiscovery] = []
    for network in networks:
        domain, problem = network.domain or default_domain, None
        if domain is None and network.dhcp_options is not None:
            try:
                domain = (access_domain_v4 if network.family == 4 else access_domain_v6)(network.dhcp_options)
            except DecodeError as error:
                problem = str(error)
        if domain is None:
            results.append(LocalDiscovery(network, None, None, problem))
            continue
        name = absolute_name(domain).lower()
        if name not in done:
            done[name] = yield from _discover((name,), service, retries, require_dnssec)
        results.append(LocalDiscovery(network, name, done[name], problem))
    return tuple(results)


def _discover(names: Sequence[str], service: str, retries: int, require_dnssec: bool) -> Plan[Discovery]:
    lookups: dict[str, Lookup] = {}
    for name in names:
        lookups[name] = yield from look_up(name, service, require_dnssec=require_dnssec)
        if lookups[name].uris:
            return Discovery(lookups[name].uris, tuple(lookups.values()))
    for attempt in range(retries):
        failed = [lookup for lookup in lookups.values() if lookup.status.is_temporary]
        # The wait before the first of a round holds for the others, which failed at about the same time.
        delay = max((RETRY_AFTER[lookup.status] for lookup in failed), default=0.0) * 2**attempt
        for lookup in failed:
            again = yield from look_up(lookup.name, service, require_dnssec=require_dnssec, delay=delay)
            delay = 0.0
            lookups[lookup.name] = again
            if again.uris:
                return Discovery(again.uris, tuple(lookups.values()))
    return Discovery((), tuple(lookups.values()))
