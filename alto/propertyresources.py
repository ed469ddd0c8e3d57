"""Property maps of a server: whole and filtered, from data of an application and from other resources (RFC 9240)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from alto import media, params
from alto._json import Json, canonical
from alto.capabilities import bare_type
from alto.cdniresources import CdniResource, footprint_capabilities
from alto.directory import Directory, Document, Query
from alto.entities import (
    DOMAIN_TYPES,
    PROPERTY_TYPES,
    EntityDomains,
    Key,
    ScopedName,
    parse_property_name,
)
from alto.errors import ConfigurationError
from alto.inheritance import EntityTable
from alto.networkmap import NetworkMapResource
from alto.ports import Resource
from alto.propertymap import PropertyMap, Values
from alto.types import CostType, VTag

_NO_COST_TYPES: Mapping[str, CostType] = MappingProxyType({})
_ADDRESSES = ("ipv4", "ipv6")


@runtime_checkable
class _Versioned(Protocol):
    @property
    def vtag(self) -> VTag: ...


class PropertySource:
    """What a property map says, for one or more resources that answer with it. It never changes.

    `values` are the application's, by domain, identifier and property. `mappings` are the properties of each domain,
    as the IRD lists them; left out, they are those of the values. A property `NETWORK-MAP.pid` or
    `CDNI.cdni-capabilities` without values of its own is looked up in that resource, so that it needs no data here.
    Raises ConfigurationError for names, identifiers and combinations that RFC 9240 does not allow.
    """

    __slots__ = ("_cache", "_own", "derived", "domains", "mappings", "names", "tag", "uses")

    def __init__(self, values: Values | None = None, mappings: Mapping[str, Iterable[str]] | None = None) -> None:
        self._own = PropertyMap.from_values(values or {})
        defined = {
            domain: dict.fromkeys(name for properties in table.entries.values() for name in properties)
            for domain, table in self._own.tables.items()
        }
        listed = defined if mappings is None else {domain: dict.fromkeys(names) for domain, names in mappings.items()}
        self.mappings: Mapping[str, tuple[str, ...]] = MappingProxyType(
            {domain: tuple(names) for domain, names in listed.items()}
        )
        try:
            self.domains = EntityDomains(self.mappings)
            self.names = {name: parse_property_name(name) for names in self.mappings.values() for name in names}
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        _check_mappings(self.mappings, defined, self.domains, self.names)
        self.derived = tuple(
            (domain, name)
            for domain, names in self.mappings.items()
            for name in names
            if name not in defined.get(domain, ()) and self.names[name].type in PROPERTY_TYPES
        )
        """The properties that other resources define, each with its domain."""
        scopes = [*self.domains.names.values(), *self.names.values()]
        self.uses = tuple(dict.fromkeys(scope.resource_id for scope in scopes if scope.resource_id))
        """The resources that define a domain or a property (section 7.5)."""
        content = [{domain: sorted(names) for domain, names in self.mappings.items()}, self._own.to_json()]
        self.tag = hashlib.sha256(canonical(content)).hexdigest()[:40]
        """The version of the application's part."""
        self._cache: tuple[tuple[VTag, ...], PropertyMap] | None = None

    def check(self, resource: Resource, directory: Directory) -> None:
        """Raises ConfigurationError where what `resource` answers with cannot be so (sections 4.6.1, 4.7 and 7.6).

        That is when another resource does not define what is said to be its, depends on this one, or is private and
        this one is not; or when the own ID stands where it is to be left out (sections 5.1.2.3 and 5.2.2).
        """
        if resource.id in self.uses:
            raise ConfigurationError(f"{resource.id!r} has to leave its own ID out of names: .type is what it defines")
        if resource.id in _closure(self.uses, directory):
            raise ConfigurationError(f"{resource.id!r} depends on itself")
        for used in self.uses:
            if directory.resources[used].is_private and not resource.is_private:
                raise ConfigurationError(f"{resource.id!r} would tell everybody what is in the private {used!r}")
        for scope in self.domains.names.values():
            if scope.is_specific:
                kind = DOMAIN_TYPES.get(scope.type)
                _check_type(scope, None if kind is None else kind.defining_media_type, directory)
        for scope in self.names.values():
            if scope.is_specific:
                _check_type(scope, PROPERTY_TYPES.get(scope.type), directory)
        for domain, names in self.mappings.items():
            defining = self.domains.names[domain].resource_id
            for other in {self.names[name].resource_id for name in names} if defining is not None else ():
                if other and other != defining and defining not in directory.resources[other].uses:
                    raise ConfigurationError(f"{domain}: a property of {other!r} does not depend on {defining!r}")

    def capabilities(self, resource: Resource, directory: Directory) -> dict[str, Json]:
        """The `mappings`, if `check` has nothing against them."""
        self.check(resource, directory)
        return {"mappings": {domain: list(names) for domain, names in self.mappings.items()}}

    def vtags(self, directory: Directory) -> tuple[VTag, ...]:
        """The versions of the resources in `uses`, in that order."""
        return tuple(_vtag_of(used, directory) for used in self.uses)

    def vtag(self, resource_id: str, directory: Directory) -> VTag:
        """The version of the whole, as the resource of that ID has it."""
        if not self.uses:
            return VTag(resource_id, self.tag)
        content = [self.tag, *(vtag.to_json() for vtag in self.vtags(directory))]
        return VTag(resource_id, hashlib.sha256(canonical(content)).hexdigest()[:40])

    def property_map(self, directory: Directory) -> PropertyMap:
        """Everything, with what the other resources define at present."""
        if not self.derived:
            return self._own
        versions = self.vtags(directory)
        if self._cache is None or self._cache[0] != versions:
            self._cache = (versions, self._merged(directory))
        return self._cache[1]

    def _merged(self, directory: Directory) -> PropertyMap:
        tables: dict[str, dict[Key, Mapping[str, Json]]] = {
            domain: dict(table.entries) for domain, table in self._own.tables.items()
        }
        for domain, name in self.derived:
            entries = tables.setdefault(domain, {})
            # Entities by the hundred thousand have few values between them: those that have one property share it.
            shared: dict[int, tuple[Json, Mapping[str, Json]]] = {}
            for key, value in _derive(self.domains.names[domain], self.names[name], directory):
                if key in entries:
                    entries[key] = {**entries[key], name: value}
                else:
                    entries[key] = shared.setdefault(id(value), (value, {name: value}))[1]
        return PropertyMap({d: EntityTable(self.domains.names[d].type, entries) for d, entries in tables.items()})


def _check_mappings(
    mappings: Mapping[str, Collection[str]],
    defined: Mapping[str, Collection[str]],
    domains: EntityDomains,
    names: Mapping[str, ScopedName],
) -> None:
    for domain, properties in defined.items():
        missing = [name for name in properties if name not in mappings.get(domain, ())]
        if missing or domain not in mappings:
            raise ConfigurationError(f"{domain}: the values have {missing}, which the mappings do not")
    for domain, scope in domains.names.items():
        kind = DOMAIN_TYPES.get(scope.type)
        if kind is None and not scope.type.startswith("priv:"):
            raise ConfigurationError(
                f"{domain}: {scope.type!r} is no registered domain type; priv:{scope.type} would do"
            )
        if not mappings[domain]:
            raise ConfigurationError(f"{domain}: at least one property is due (RFC 9240 section 7.4)")
        if scope.type in ("pid", "ane") and scope.resource_id is None:
            raise ConfigurationError(f"{domain}: its entities need a resource that defines them")
        if scope.is_self_defined and kind is not None and kind.defining_media_type != media.PROPERTY_MAP:
            raise ConfigurationError(f"{domain}: no property map may define entities of this type")
        for name in mappings[domain]:
            if names[name].type == "pid" and scope.type not in _ADDRESSES:
                raise ConfigurationError(f"{domain}: only addresses have the property {name}")
            if names[name].type in PROPERTY_TYPES and not names[name].is_specific:
                raise ConfigurationError(f"{name!r} needs the ID of the resource that defines it")


def _closure(resource_ids: Iterable[str], directory: Directory) -> set[str]:
    """These and all they depend on."""
    found: set[str] = set()
    left = list(resource_ids)
    while left:
        resource_id = left.pop()
        if resource_id not in found:
            found.add(resource_id)
            left += directory.resources[resource_id].uses
    return found


def _check_type(scope: ScopedName, due: str | None, directory: Directory) -> None:
    """A resource that defines a domain or property has the media type that is registered for it."""
    resource = directory.resources[scope.resource_id or ""]
    is_registered = scope.type in DOMAIN_TYPES or scope.type in PROPERTY_TYPES
    if is_registered and bare_type(resource.media_type) != due:
        raise ConfigurationError(f"{scope}: it takes {due or 'no resource'} to define it, not {resource.media_type}")


def _vtag_of(resource_id: str, directory: Directory) -> VTag:
    resource = directory.resources[resource_id]
    if isinstance(resource, PropertyMapResource | FilteredPropertyMapResource | CdniResource):
        return resource.version(directory)
    if not isinstance(resource, _Versioned):
        raise ConfigurationError(f"{resource_id!r} has no version that a property map could name")
    return resource.vtag


def _derive(domain: ScopedName, name: ScopedName, directory: Directory) -> Iterator[tuple[Key, Json]]:
    """The values that the resource of a property has for the entities of a domain."""
    resource_id = name.resource_id or ""
    if name.type == "pid":
        network_map = directory.find(resource_id, NetworkMapResource).network_map
        pids = network_map.names
        for match in network_map.table.prefixes(DOMAIN_TYPES[domain.type].family or 4):
            yield (match.value, match.length), pids[match.index]
        return
    cdni = directory.find(resource_id, CdniResource)
    used = None if cdni.network_map is None else directory.find(cdni.network_map, NetworkMapResource).network_map
    if domain.type in DOMAIN_TYPES and domain.type != "ane":
        yield from footprint_capabilities(cdni.advertisements, domain.type, used)


class PropertyMapResource:
    """A whole property map, by GET (section 7)."""

    media_type = media.PROPERTY_MAP
    accepts = None
    cost_types = _NO_COST_TYPES

    def __init__(self, id: str, source: PropertySource, *, is_private: bool = False) -> None:  # noqa: A002
        self.id = id
        self.source = source
        self.is_private = is_private
        self.uses = source.uses
        self._document: Document | None = None  # as it was last answered

    def capabilities(self, directory: Directory) -> dict[str, Json]:
        """The `mappings` (section 7.4). Raises ConfigurationError as `PropertySource.check` does."""
        return self.source.capabilities(self, directory)

    def version(self, directory: Directory) -> VTag:
        """The version of the map."""
        return self.source.vtag(self.id, directory)

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        """Its own version, which has those of the resources it uses in it."""
        return (self.version(directory),)

    def answer(self, query: Query) -> Document:
        """All that is defined, without what is inherited (section 7.6). The same document while nothing changes."""
        version = self.version(query.directory)
        document = self._document
        if document is None or document.vtag != version:
            data = self.source.property_map(query.directory).to_json()
            document = self._document = _document(version, self.source.vtags(query.directory), data)
        return document


class FilteredPropertyMapResource:
    """A property map of which clients choose the entities and properties, by POST (section 8)."""

    media_type = media.PROPERTY_MAP
    accepts = media.PROPERTY_MAP_PARAMS
    cost_types = _NO_COST_TYPES

    def __init__(self, id: str, source: PropertySource, *, is_private: bool = False) -> None:  # noqa: A002
        self.id = id
        self.source = source
        self.is_private = is_private
        self.uses = source.uses

    def capabilities(self, directory: Directory) -> dict[str, Json]:
        """The `mappings` (section 8.4). Raises ConfigurationError as `PropertySource.check` does."""
        return self.source.capabilities(self, directory)

    def version(self, directory: Directory) -> VTag:
        """The version of the whole map."""
        return self.source.vtag(self.id, directory)

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        """The version of the whole map."""
        return (self.version(directory),)

    def answer(self, query: Query) -> Document:
        """What is asked, with what is inherited (section 8.6). Raises RequestError."""
        tree = params.fields(query.input)
        entities = self._entities(params.elements(tree, "entities", str))
        properties = params.optional_elements(tree, "properties", str)
        for name in properties or ():
            if name not in self.source.names:
                raise params.bad_value("properties", name)
        data = self._select(entities, properties, self.source.property_map(query.directory))
        vtags = self._versions(entities, properties, query.directory)
        return _document(self.version(query.directory), vtags, data)

    def _entities(self, texts: Iterable[str]) -> dict[str, dict[Key, str]]:
        """By domain the entities asked, each with the spelling that the client used first. Raises RequestError."""
        found: dict[str, dict[Key, str]] = {}
        for text in texts:
            try:
                entity = self.source.domains.parse(text)
            except ValueError as error:
                raise params.bad_value("entities", text) from error
            found.setdefault(entity.domain, {}).setdefault(entity.key, text)
        return found

    def _select(
        self, entities: Mapping[str, Mapping[Key, str]], properties: Collection[str] | None, whole: PropertyMap
    ) -> dict[str, Mapping[str, Json]]:
        """The answer: absent properties are none at all, where empty lists are everything (section 8.3)."""
        if properties is None and not entities:
            return {text: {} for text in whole}
        found: dict[str, Mapping[str, Json]] = {}
        for domain, table in whole.tables.items():
            asked = entities.get(domain, {})
            if properties is None:
                found |= {text: {} for key, text in asked.items() if table.has_any(key)}
                continue
            names = frozenset(self.source.mappings[domain]).intersection(properties or self.source.names)
            selected = table.select(asked, names) if entities else table.everything(names)
            for key, values in selected.items():
                found[asked.get(key) or whole.identifier(domain, key)] = values
        return found

    def _versions(self, asked: Iterable[str], properties: Collection[str] | None, directory: Directory) -> list[VTag]:
        """Those of all resources in `uses`, if an entity is resource-agnostic; else those involved (section 8.6).

        `asked` are the domains of the entities; none are all.
        """
        domains = [*asked] or [*self.source.mappings]
        scopes = [self.source.domains.names[domain] for domain in domains]
        named = properties or [name for domain in domains for name in self.source.mappings[domain]]
        involved = {scope.resource_id for scope in [*scopes, *(self.source.names[name] for name in named)]}
        is_agnostic = any(scope.resource_id is None for scope in scopes)
        return [vtag for vtag in self.source.vtags(directory) if is_agnostic or vtag.resource_id in involved]


def _document(vtag: VTag, dependent: Iterable[VTag], data: Mapping[str, Mapping[str, Json]]) -> Document:
    meta: dict[str, Json] = {"vtag": vtag.to_json()}
    listed = [other.to_json() for other in dependent]
    if listed:
        meta["dependent-vtags"] = listed
    return Document(media.PROPERTY_MAP, {"meta": meta, "property-map": data}, vtag=vtag)
