"""Property maps as values: built from data, read from what a server sends, and asked (RFC 9240 sections 7 and 8)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

from attrs import frozen

from alto._json import Json
from alto._propertyreader import PropertyReader
from alto.entities import Entity, EntityDomains, Key, format_key, guess_entity, parse_property_name
from alto.errors import ConfigurationError, DecodeError
from alto.findings import Findings
from alto.inheritance import EntityTable, Properties
from alto.ird import ResourceEntry
from alto.types import VTag
from alto.vtags import parse_dependent_vtags, parse_meta, parse_vtag

Values: TypeAlias = Mapping[str, Mapping[str, Mapping[str, Json]]]
"""What an application has: by domain name, by identifier in that domain, by property name, the value."""


class PropertyMap:
    """The entities of some domains and their properties. It never changes.

    What is found includes what is inherited (section 6.1.3); a value of null is no value.
    """

    __slots__ = ("_domains", "_texts", "tables")

    def __init__(self, tables: Mapping[str, EntityTable]) -> None:
        self.tables: Mapping[str, EntityTable] = MappingProxyType(dict(tables))
        """The entities by the name of their domain."""
        self._domains = EntityDomains(tables)
        self._texts: dict[str, dict[Key, str]] = {domain: {} for domain in self.tables}

    @classmethod
    def from_values(cls, values: Values) -> PropertyMap:
        """A map of an application's own. Raises ConfigurationError for names, identifiers and repeated entities."""
        try:
            domains = EntityDomains(values)
            tables = {}
            for domain, entities in values.items():
                entries = {}
                for identifier, properties in entities.items():
                    entity = domains.parse(f"{domain}:{identifier}")
                    if entity.key in entries:
                        raise ConfigurationError(f"the entity {entity} is there twice")
                    for name in properties:
                        parse_property_name(name)
                    if properties:
                        entries[entity.key] = dict(properties)
                tables[domain] = EntityTable(domains.names[domain].type, entries)
        except ConfigurationError:
            raise
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        return cls(tables)

    def __len__(self) -> int:
        """The number of entities for which something is defined."""
        return sum(len(table.entries) for table in self.tables.values())

    def __iter__(self) -> Iterator[str]:
        """The identifiers of the entities for which something is defined."""
        for domain, table in self.tables.items():
            for key in table.entries:
                yield self.identifier(domain, key)

    def identifier(self, domain: str, key: Key) -> str:
        """The identifier of an entity; made once where something is defined for it, as answers name it again."""
        texts = self._texts[domain]
        text = texts.get(key)
        if text is None:
            table = self.tables[domain]
            text = f"{domain}:{format_key(table.domain_type, key)}"
            if key in table.entries:
                texts[key] = text
        return text

    def lookup(self, entity: str, property_name: str) -> Json:
        """The value of a property of an entity; None where there is none. Raises ValueError for no identifier."""
        found = self._find(entity)
        return None if found is None else self.tables[found.domain].value(found.key, property_name)

    def properties_of(self, entity: str) -> dict[str, Json]:
        """The properties of an entity that have a value. Raises ValueError for what is no identifier."""
        found = self._find(entity)
        if found is None:
            return {}
        effective = self.tables[found.domain].effective(found.key)
        return {name: value for name, value in effective.items() if value is not None}

    def to_json(self) -> dict[str, Properties]:
        """The object `property-map`: what is defined, without what is inherited. It is shared: nobody may change it."""
        return {
            self.identifier(domain, key): properties
            for domain, table in self.tables.items()
            for key, properties in table.entries.items()
        }

    def _find(self, entity: str) -> Entity | None:
        try:
            return self._domains.parse(entity, is_lenient=True)
        except ValueError:
            guess_entity(entity, is_lenient=True)
            return None


@frozen
class ParsedPropertyMap:
    """A property map as a server sent it, with the versions that it names."""

    property_map: PropertyMap
    vtag: VTag | None = None
    """No clause asks for one, and our server sends one."""
    dependent_vtags: tuple[VTag, ...] = ()

    def lookup(self, entity: str, property_name: str) -> Json:
        """The value of a property of an entity, inherited values included; None where there is none."""
        return self.property_map.lookup(entity, property_name)


def parse_property_map(
    tree: Json,
    findings: Findings,
    entry: ResourceEntry | None = None,
    *,
    media_types: Mapping[str, str] | None = None,
    extensions: Collection[str] = (),
) -> ParsedPropertyMap:
    """Read a property map, whole or filtered (sections 7.6 and 8.6).

    `entry` is its entry in the IRD: with it, what is not in `mappings` is not taken. `media_types` are those of the
    other resources by their IDs: with it, a domain that a resource of the wrong type defines is ignored
    (section 4.6.1). `extensions` are property types, besides those of RFC 9241 and 9275, whose values may be any JSON.
    Raises DecodeError where there is no `property-map`; else what `findings` raise.
    """
    meta = parse_meta(tree, findings)
    data = findings.member(tree, "property-map", dict, "", 9240, "7.6")
    if data is None:
        raise DecodeError("property-map: a property map needs this object (RFC 9240 section 7.6)")
    if "meta" not in tree and isinstance(data.get("meta"), dict):  # as RFC 9241 section 6.3 prints it
        meta = data["meta"]
        data = {name: value for name, value in data.items() if name != "meta"}
    vtag = parse_vtag(meta["vtag"], findings, "meta/vtag") if "vtag" in meta else None
    dependent: tuple[VTag, ...] = ()
    if "dependent-vtags" in meta:
        dependent = parse_dependent_vtags(meta, findings, "7.6", rfc=9240) or ()
    reader = PropertyReader(findings, entry, media_types or {}, extensions)
    for text, properties in data.items():
        reader.read_entity(text, properties)
    reader.check_versions(dependent)
    return ParsedPropertyMap(PropertyMap(reader.tables()), vtag, dependent)


def property_map_filter(
    entities: Iterable[str], properties: Iterable[str] | None = None, entry: ResourceEntry | None = None
) -> dict[str, Json]:
    """What to post to a filtered property map (section 8.3).

    No entities mean all of them and no properties all of them; None for `properties` asks only which entities have
    any. Raises ConfigurationError for what the server would have to refuse, by the `mappings` of `entry` if given.
    """
    mappings = entry.capabilities.get("mappings") if entry is not None else None
    asked: dict[str, Json] = {"entities": list(dict.fromkeys(entities))}
    try:
        domains = EntityDomains(mappings) if mappings is not None else None
        for text in asked["entities"]:
            guess_entity(text) if domains is None else domains.parse(text)
        if properties is not None:
            asked["properties"] = list(dict.fromkeys(properties))
            for name in asked["properties"]:
                parse_property_name(name)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    if mappings is not None:
        offered = {name for names in mappings.values() for name in names}
        unknown = [name for name in asked.get("properties", ()) if name not in offered]
        if unknown:
            raise ConfigurationError(f"{unknown[0]!r} is none of the properties of this property map")
    return asked
