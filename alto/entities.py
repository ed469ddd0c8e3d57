"""Entities: the names of their domains and properties, their identifiers, and the registries (RFC 9240, 9241, 9275).

An entity identifier is a domain name, a colon, and what identifies the entity in that domain. It cannot be split
without knowing the domain names: resource IDs, `priv:` types and addresses hold colons and dots of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from attrs import frozen

from alto import media
from alto.address import BITS, HostBitsError, format_address, format_prefix, parse_address, parse_prefix
from alto.types import is_pid_name, is_property_name, is_resource_id

Key: TypeAlias = tuple[int, int] | str
"""What an entity is within its domain: value and length of a prefix, or a name."""

_DOMAIN_TYPE = re.compile(r"(?:priv:)?[A-Za-z0-9\-_]+")
_MAX_DOMAIN_TYPE = 64
_ASN = re.compile(r"as(0|[1-9][0-9]{0,9})")
_MAX_ASN = 0xFFFFFFFF
_COUNTRY_CODE = re.compile(r"[a-z]{2}")

MAX_DOMAIN_NAME = 129
"""Characters of the longest domain name: a resource ID and a type of 64 each, and the dot between them."""
MAX_IDENTIFIER = 1024
"""Characters of an identifier in a domain whose type says nothing of its syntax; enough for a URI."""


def is_domain_type(text: str) -> bool:
    """Section 5.1.1: at most 64 characters; a colon only in the `priv:` at the start, which needs something behind."""
    return len(text) <= _MAX_DOMAIN_TYPE and _DOMAIN_TYPE.fullmatch(text) is not None


@frozen
class ScopedName:
    """The name of an entity domain or of a property: `resource-id.type`, `.type` or `type` (sections 5.1.2, 5.2.2)."""

    resource_id: str | None
    """The resource that defines it; empty for the very resource the name stands in, None where no resource does."""
    type: str

    def __str__(self) -> str:
        return self.type if self.resource_id is None else f"{self.resource_id}.{self.type}"

    @property
    def is_self_defined(self) -> bool:
        """`.type`: what the resource that uses the name defines itself."""
        return self.resource_id == ""

    @property
    def is_specific(self) -> bool:
        """`resource-id.type`: what another resource defines."""
        return bool(self.resource_id)


def parse_domain_name(text: str) -> ScopedName:
    """The name of an entity domain (section 5.1.2). Raises ValueError."""
    return _parse_name(text, is_domain_type, "entity domain name")


def parse_property_name(text: str) -> ScopedName:
    """The name of an entity property (section 5.2.2). Raises ValueError."""
    return _parse_name(text, is_property_name, "entity property name")


def _parse_name(text: str, is_type: Callable[[str], bool], what: str) -> ScopedName:
    resource_id, dot, kind = text.rpartition(".")
    if not is_type(kind) or (resource_id and not is_resource_id(resource_id)):
        raise ValueError(f"{text!r:.80} is no {what}")
    return ScopedName(resource_id if dot else None, kind)


@frozen
class DomainType:
    """An entry of the registry "ALTO Entity Domain Types" (RFC 9240 section 12.3)."""

    name: str
    family: int | None
    """4 or 6 where the entities are addresses and prefixes, which inherit; None without hierarchy."""
    defining_media_type: str | None
    """The type of the resources that may define a domain of this type; None where none may."""
    is_identifier: Callable[[str], bool]
    """The syntax, where `family` is None."""


def _is_asn(text: str) -> bool:
    """RFC 9241 section 6.1.1.2: `as` and a number of 32 bits (RFC 6793), without leading zeros."""
    match = _ASN.fullmatch(text)
    return match is not None and int(match[1]) <= _MAX_ASN


def _is_country_code(text: str) -> bool:
    """RFC 9241 section 6.1.2.2: two small letters. Which of them ISO 3166-1 has assigned changes with the world."""
    return _COUNTRY_CODE.fullmatch(text) is not None


def _is_any(text: str) -> bool:
    return 0 < len(text) <= MAX_IDENTIFIER


DOMAIN_TYPES: Mapping[str, DomainType] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            DomainType("ipv4", 4, media.NETWORK_MAP, _is_any),
            DomainType("ipv6", 6, media.NETWORK_MAP, _is_any),
            DomainType("pid", None, media.NETWORK_MAP, is_pid_name),
            DomainType("ane", None, media.PROPERTY_MAP, is_pid_name),
            DomainType("asn", None, None, _is_asn),
            DomainType("countrycode", None, None, _is_country_code),
        )
    }
)
"""The registered types: RFC 9240 section 12.3, RFC 9275 section 6.2, RFC 9241 section 6.1."""

PROPERTY_TYPES: Mapping[str, str] = MappingProxyType({"pid": media.NETWORK_MAP, "cdni-capabilities": media.CDNI})
"""The property types whose values a resource defines, and the media type of those (RFC 9240 4.7, RFC 9241 6.2.1)."""


def parse_key(domain_type: str, identifier: str, *, is_lenient: bool = False) -> Key:
    """What `identifier` is in a domain of that type; an address is its prefix of full length. Raises ValueError.

    Host bits of a prefix are no fault in the ipv6 domain: RFC 4291 section 2.3, which section 6.1.2.2 takes the
    notation from, allows them, and section 4.4 itself writes 2001:db8::1/64. A lenient reading masks them in ipv4 too.
    """
    kind = DOMAIN_TYPES.get(domain_type)
    if kind is None or kind.family is None:
        if not (_is_any if kind is None else kind.is_identifier)(identifier):
            raise ValueError(f"{identifier!r:.80} identifies nothing in a domain of type {domain_type}")
        return identifier
    if "/" not in identifier:
        family, value = parse_address(identifier)
        if family != kind.family:
            raise ValueError(f"{identifier!r:.80} is no {domain_type} address")
        return value, BITS[family]
    try:
        return parse_prefix(identifier, kind.family)
    except HostBitsError as error:
        if kind.family == 6 or is_lenient:
            return error.value, error.length
        raise


def format_key(domain_type: str, key: Key) -> str:
    """The one text of an identifier: a prefix of full length is written as the address."""
    if isinstance(key, str):
        return key
    family = DOMAIN_TYPES[domain_type].family or 4
    value, length = key
    return format_address(family, value) if length == BITS[family] else format_prefix(family, value, length)


@frozen
class Entity:
    """An entity: its domain's name as it was given, the type of that, and what it is within."""

    domain: str
    type: str
    key: Key

    def __str__(self) -> str:
        return f"{self.domain}:{format_key(self.type, self.key)}"


class EntityDomains:
    """A set of domain names, such as the keys of `mappings`, which tells where an identifier's domain name ends."""

    __slots__ = ("names",)

    names: Mapping[str, ScopedName]

    def __init__(self, names: Iterable[str]) -> None:
        """Raises ValueError for what is no domain name."""
        self.names = MappingProxyType({text: parse_domain_name(text) for text in names})

    def parse(self, text: str, *, is_lenient: bool = False) -> Entity:
        """The entity of that identifier, in the longest domain name that fits. Raises ValueError."""
        for at in reversed(_ends(text)):
            domain = self.names.get(text[:at])
            if domain is not None:
                return Entity(text[:at], domain.type, parse_key(domain.type, text[at + 1 :], is_lenient=is_lenient))
        raise ValueError(f"{text!r:.80} is in none of the domains")


def guess_entity(text: str, *, is_lenient: bool = False) -> Entity:
    """The entity of that identifier where the domain names are not known. Raises ValueError.

    That is the shortest domain name of a registered type in which the rest identifies something. Without one of a
    registered type, it is the longest that is a domain name.
    """
    other: Entity | None = None
    failure: ValueError | None = None
    for at in _ends(text):
        try:
            domain = parse_domain_name(text[:at])
        except ValueError:
            continue
        try:
            entity = Entity(text[:at], domain.type, parse_key(domain.type, text[at + 1 :], is_lenient=is_lenient))
        except ValueError as error:
            failure = failure or error
            continue
        if domain.type in DOMAIN_TYPES:
            return entity
        other = entity
    if other is None or failure is not None:
        raise failure or ValueError(f"{text!r:.80} starts with no domain name")
    return other


def _ends(text: str) -> list[int]:
    """Where the domain name of an identifier may end, of all the colons that there may be.

    No resource ID has a dot in it, so a name has the first one or none; a type has a colon only behind `priv`.
    """
    dot = text.find(".", 0, MAX_DOMAIN_NAME)
    ends: set[int] = set()
    for start in {0, dot + 1}:
        at = text.find(":", start, MAX_DOMAIN_NAME + 1)
        if at >= 0:
            ends.add(at)
            at = text.find(":", at + 1, MAX_DOMAIN_NAME + 1) if text[start:at] == "priv" else -1
        if at >= 0:
            ends.add(at)
    return sorted(ends)
