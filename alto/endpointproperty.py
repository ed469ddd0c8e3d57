"""The endpoint property service: properties of single addresses (RFC 7285 sections 10.8 and 11.4)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from attrs import frozen

from alto import media, params
from alto._json import Json, canonical
from alto.address import ADDRESS_TYPES, BITS, canonical_endpoint, parse_endpoint
from alto.directory import Directory, Document, Query
from alto.errors import ConfigurationError, DecodeError
from alto.findings import Findings, join, shown
from alto.inheritance import EntityTable
from alto.ird import ResourceEntry
from alto.networkmap import NetworkMapResource
from alto.propertymap import PropertyMap
from alto.propertyresources import FilteredPropertyMapResource, PropertyMapResource
from alto.types import CostType, VTag, is_pid_name, is_property_name, is_resource_id
from alto.vtags import parse_dependent_vtags, parse_meta

PID = "pid"
"""The name of the one resource-specific property that section 10.8.1 defines."""

_NO_COST_TYPES: Mapping[str, CostType] = MappingProxyType({})
_MAX_SHOWN = 80
_Address = tuple[int, int]


def is_endpoint_property(text: str) -> bool:
    """Section 10.8: a global name, or a resource ID, a dot and such a name."""
    resource_id, dot, name = text.rpartition(".")
    return is_property_name(name) and (not dot or is_resource_id(resource_id))


class EndpointPropertyResource:
    """An endpoint property service (section 11.4.1).

    It knows the `pid` in every network map of the server that it may tell of, or in those of `network_maps` only; the
    server as a whole has to know it in all of them (section 11.4.1.4). `values` are further properties by typed address
    or prefix, such as `ipv4:192.0.2.0/24`, inherited by longest prefix. `property_maps` are the IDs of property maps
    whose own properties of addresses, such as `.isp`, are here `ID.isp`.
    Raises ConfigurationError for names and addresses that are none.
    """

    media_type = media.ENDPOINT_PROPERTIES
    accepts = media.ENDPOINT_PROPERTY_PARAMS
    uses = ()
    cost_types = _NO_COST_TYPES

    def __init__(
        self,
        id: str,  # noqa: A002
        values: Mapping[str, Mapping[str, Json]] | None = None,
        *,
        network_maps: Iterable[str] | None = None,
        property_maps: Iterable[str] = (),
        is_private: bool = False,
    ) -> None:
        self.id = id
        self.is_private = is_private
        self.network_maps = None if network_maps is None else tuple(network_maps)
        self.property_maps = tuple(property_maps)
        by_domain: dict[str, dict[str, Mapping[str, Json]]] = {}
        for text, properties in (values or {}).items():
            domain, _, identifier = text.partition(":")
            if domain not in ADDRESS_TYPES.values():
                raise ConfigurationError(f"{text!r:.80} is no typed address or prefix")
            by_domain.setdefault(domain, {})[identifier] = properties
        self._values = PropertyMap.from_values(by_domain).tables
        names = [name for table in self._values.values() for found in table.entries.values() for name in found]
        self._names = tuple(dict.fromkeys(names))
        wrong = [name for name in self._names if not is_endpoint_property(name)]
        if wrong:
            raise ConfigurationError(f"{wrong[0]!r} is no endpoint property (RFC 7285 section 10.8)")
        self._tag = hashlib.sha256(canonical(values or {})).hexdigest()

    def capabilities(self, directory: Directory) -> dict[str, Json]:
        """The `prop-types` (section 11.4.1.4). Raises ConfigurationError where there would be none."""
        offered = [*self._tables(directory)]
        if not offered:
            raise ConfigurationError(f"{self.id!r} has no property to offer")
        return {"prop-types": offered}

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        """The versions of the values and of all maps that are looked up."""
        maps = [network_map.vtag for network_map in self._network_maps(directory)]
        return (self._tag, *maps, *(source.version(directory) for source in self._property_maps(directory)))

    def answer(self, query: Query) -> Document:
        """The properties of the endpoints that are asked (section 11.4.1.6). Raises RequestError."""
        tree = params.fields(query.input)
        names = dict.fromkeys(params.elements(tree, "properties", str))
        endpoints = self._endpoints(params.elements(tree, "endpoints", str))
        for field, listed in (("properties", names), ("endpoints", endpoints)):
            if not listed:
                raise params.bad_value(field, [])
        tables = self._tables(query.directory)
        for name in names:
            if name not in tables:
                raise params.bad_value("properties", name)
        found: dict[str, dict[str, Json]] = {text: {} for text in endpoints.values()}
        vtags: list[Json] = []
        inherited: dict[int, list[tuple[str, _Inherited]]] = {}
        for name in names:
            source = tables[name]
            if isinstance(source, _Inherited):
                inherited.setdefault(id(source.tables), []).append((name, source))
                continue
            vtags.append(source.vtag.to_json())
            for text, pid in zip(endpoints.values(), _pids(source, [*endpoints]), strict=True):
                if pid is not None:
                    found[text][name] = pid
        for wanted in inherited.values():
            _add_inherited(found, endpoints, wanted)
        tree = {"meta": {"dependent-vtags": vtags}, "endpoint-properties": found}
        return Document(self.media_type, tree)

    def _endpoints(self, texts: Iterable[str]) -> dict[_Address, str]:
        """The addresses, each with the spelling that the client used first, which it gets back. Raises RequestError."""
        found: dict[_Address, str] = {}
        for text in texts:
            try:
                found.setdefault(parse_endpoint(text), text)
            except ValueError as error:
                raise params.bad_value("endpoints", text) from error
        return found

    def _tables(self, directory: Directory) -> dict[str, _Source]:
        """Where the values of each property are, in the order of `prop-types`."""
        found: dict[str, _Source] = {f"{known.id}.{PID}": known for known in self._network_maps(directory)}
        for resource in self._property_maps(directory):
            tables = resource.source.property_map(directory).tables
            for domain in ADDRESS_TYPES.values():
                for name in resource.source.mappings.get(domain, ()):
                    if resource.source.names[name].is_self_defined:
                        found.setdefault(f"{resource.id}{name}", _Inherited(tables, name))
        for name in self._names:
            found.setdefault(name, _Inherited(self._values, name))
        return found

    def _network_maps(self, directory: Directory) -> Iterator[NetworkMapResource]:
        if self.network_maps is not None:
            for resource_id in self.network_maps:
                network_map = directory.find(resource_id, NetworkMapResource)
                self._check_private(network_map)
                yield network_map
        else:
            for network_map in directory.of_kind(NetworkMapResource):
                if self.is_private or not network_map.is_private:
                    yield network_map

    def _property_maps(self, directory: Directory) -> Iterator[PropertyMapResource | FilteredPropertyMapResource]:
        for resource_id in self.property_maps:
            resource = directory.resources.get(resource_id)
            if not isinstance(resource, PropertyMapResource | FilteredPropertyMapResource):
                raise ConfigurationError(f"{resource_id!r} is no property map of this server")
            self._check_private(resource)
            yield resource

    def _check_private(self, resource: NetworkMapResource | PropertyMapResource | FilteredPropertyMapResource) -> None:
        if resource.is_private and not self.is_private:
            raise ConfigurationError(f"{self.id!r} would tell everybody what is in the private {resource.id!r}")


@frozen
class _Inherited:
    """A property of addresses that is in tables, by address type."""

    tables: Mapping[str, EntityTable]
    name: str


_Source = NetworkMapResource | _Inherited


def _pids(source: NetworkMapResource, addresses: list[_Address]) -> list[str | None]:
    """The PID of each address; None where there is none."""
    names = (*source.network_map.names, None)
    return [names[-1 if at is None else at] for at in source.network_map.table.lookup_each(addresses)]


def _add_inherited(
    found: dict[str, dict[str, Json]], endpoints: Mapping[_Address, str], wanted: list[tuple[str, _Inherited]]
) -> None:
    """Add properties that are all in the same tables: what is around an address is looked for once."""
    tables = wanted[0][1].tables
    for (family, value), text in endpoints.items():
        table = tables.get(ADDRESS_TYPES[family])
        if table is None:
            continue
        effective = table.effective((value, BITS[family]))
        for name, source in wanted:
            if effective.get(source.name) is not None:
                found[text][name] = effective[source.name]


@frozen
class EndpointProperties:
    """The properties of some endpoints as a server sent them; whatever the spelling of an address, it is found."""

    properties: Mapping[str, Mapping[str, Json]]
    """By the one text of the typed address."""
    dependent_vtags: tuple[VTag, ...] = ()

    def get(self, endpoint: str, name: str) -> Json:
        """The value of a property of an endpoint; None where there is none. Raises ValueError for no address."""
        return self.properties.get(canonical_endpoint(endpoint), {}).get(name)


def parse_endpoint_properties(
    tree: Json, findings: Findings, asked: Json = None, *, extensions: Iterable[str] = ()
) -> EndpointProperties:
    """Read the answer of an endpoint property service (section 11.4.1.6); `asked` is what was posted, if known.

    `extensions` are names whose values need not be strings, without a resource ID. Raises DecodeError where there are
    no `endpoint-properties`; else what `findings` raise.
    """
    meta = parse_meta(tree, findings)
    dependent = parse_dependent_vtags(meta, findings, "11.4.1.6") or ()
    data = findings.member(tree, "endpoint-properties", dict, "", 7285, "11.4.1.6")
    if data is None:
        raise DecodeError("endpoint-properties: an answer needs this object (RFC 7285 section 11.4.1.6)")
    anything = frozenset(extensions)
    found: dict[str, Mapping[str, Json]] = {}
    for text, properties in data.items():
        path = join("endpoint-properties", text[:_MAX_SHOWN])
        try:
            endpoint = canonical_endpoint(text)
        except ValueError as error:
            findings.must(path, str(error), 7285, "10.4.1")
            continue
        if endpoint in found:
            findings.must(path, "an endpoint is there twice, in two spellings", 7285, "11.4.1.6")
        elif findings.is_a(properties, dict, path, 7285, "11.4.1.6"):
            found[endpoint] = _read_properties(properties, findings, path, anything)
    _check_asked(found, dependent, asked, findings)
    return EndpointProperties(MappingProxyType(found), dependent)


def _read_properties(
    properties: dict[str, Json], findings: Findings, path: str, anything: frozenset[str]
) -> Mapping[str, Json]:
    kept: dict[str, Json] = {}
    for name, value in properties.items():
        inner = join(path, name[:_MAX_SHOWN])
        if not is_endpoint_property(name):
            findings.must(inner, "no endpoint property", 7285, "10.8")
            continue
        kind = name.rpartition(".")[2]
        if not isinstance(value, str) and kind not in anything:
            findings.should(inner, f"a string is due, not {shown(value)}", 7285, "11.4.1.6")
            if findings.strict:
                raise DecodeError(str(findings.items[-1]))
        elif kind == PID and kind != name and isinstance(value, str) and not is_pid_name(value):
            findings.must(inner, f"{value!r:.80} is no PID name", 7285, "7.1.1")
        kept[name] = value
    return kept


def _check_asked(
    found: Mapping[str, Mapping[str, Json]], dependent: tuple[VTag, ...], asked: Json, findings: Findings
) -> None:
    """Check that the answer is one to what was asked."""
    if asked is None:
        return
    names = frozenset(asked["properties"])
    endpoints = {canonical_endpoint(text): text for text in asked["endpoints"]}
    path = "endpoint-properties"
    for endpoint, text in endpoints.items():
        if endpoint not in found:
            findings.must(path, f"{text} was asked and is not there", 7285, "11.4.1.6")
    if not endpoints.keys() >= found.keys():
        findings.must(path, "endpoints that were not asked", 7285, "11.4.1.6")
    more = {name for properties in found.values() for name in properties} - names
    if more:
        findings.must(path, f"{min(more)!r:.80} was not asked", 7285, "11.4.1.6")
    versions = {vtag.resource_id for vtag in dependent}
    maps = {name.removesuffix(f".{PID}") for name in names if name.endswith(f".{PID}")}
    for missing in sorted(maps - versions):
        findings.must("meta/dependent-vtags", f"the version of {missing!r} is missing", 7285, "11.4.1.6")


def endpoint_property_params(
    properties: Iterable[str], endpoints: Iterable[str], entry: ResourceEntry | None = None
) -> dict[str, Json]:
    """What to post to an endpoint property service (section 11.4.1.3).

    Raises ConfigurationError where nothing or what is no endpoint or property is asked, or what `entry`, the IRD's
    entry of the service, does not offer.
    """
    asked: dict[str, Json] = {
        "properties": list(dict.fromkeys(properties)),
        "endpoints": list(dict.fromkeys(endpoints)),
    }
    for name, listed in asked.items():
        if not listed:
            raise ConfigurationError(f"{name}: at least one is due")
    offered = entry.capabilities.get("prop-types") if entry is not None else None
    for name in asked["properties"]:
        if not is_endpoint_property(name):
            raise ConfigurationError(f"{name!r:.80} is no endpoint property")
        if offered is not None and name not in offered:
            raise ConfigurationError(f"{name!r:.80} is none of the properties that the service offers")
    for text in asked["endpoints"]:
        try:
            parse_endpoint(text)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
    return asked
