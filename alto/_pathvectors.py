"""What the two kinds of path vector resources have in common: costs, names, and the message of two parts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import attrs
from attrs import frozen

from alto import media
from alto._costtable import costs_meta
from alto._json import Json, canonical
from alto.calendar import Calendar, calendar_attributes
from alto.costoffers import CostOffer, CostOffers
from alto.costrequest import CostCapabilities, CostRequest, read_cost_request
from alto.costs import CostMatrix, Grid
from alto.directory import Document
from alto.entities import parse_property_name
from alto.errors import ConfigurationError
from alto.metrics import PATH_VECTOR
from alto.multipart import Part, encode
from alto.networkmap import NetworkMapResource
from alto.params import bad_value, optional_elements
from alto.paths import MAX_RESERVABLE_BANDWIDTH, PERSISTENT_ENTITY_ID, EphemeralNames, Paths, PathSource
from alto.ports import EndpointCosts
from alto.propertyresources import FilteredPropertyMapResource, PropertyMapResource
from alto.types import CostType, VTag, is_pid_name

if TYPE_CHECKING:
    from alto.directory import Directory, Query

MAX_PATHS = 20_000
"""Paths that one request may ask for, intervals of calendars counted: unlike costs they are computed when they are
asked for, which section 11 warns of. So many of 20 elements each are half a second's work and 10 MB to send."""
MAX_RESOURCE_ID = 31
"""Characters of the resource ID: with an ID of a client and the ID of a part they are to stay below 64 (6.6)."""

COST_TYPE_NAME = "path-vector"
"""What the path vector cost type is called in the IRD."""

Find: TypeAlias = Callable[["CostMatrix | EndpointCosts"], Grid]
"""Gives the costs of the pairs that are asked for."""

_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?:\.[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*")
_PROPERTY_MAP = "propmap"


@frozen
class _Vectors:
    """The paths that are asked for: one for each pair, or one for each interval of a calendar."""

    intervals: tuple[Paths, ...]
    is_calendared: bool

    def named(self, names: EphemeralNames, row: int, column: int) -> list[Json] | None:
        """The path vector of a pair, or an array of them; None where there is none."""
        found = [paths[row][column] for paths in self.intervals]
        vectors = [None if path is None else names.path(path) for path in found]
        if not self.is_calendared:
            return vectors[0]
        return vectors if any(path is not None for path in found) else None


@frozen
class PathOffer:
    """The path vectors that a resource has.

    `calendar`, if there is one, has a `PathSource` for each interval in the place of costs (RFC 9275 section 9.4).
    """

    paths: PathSource
    property_names: tuple[str, ...] = (MAX_RESERVABLE_BANDWIDTH,)
    """The properties of its elements that clients may ask for."""
    property_maps: tuple[str, ...] = ()
    """The IDs of the property maps that define persistent elements."""
    calendar: Calendar | None = None

    def __attrs_post_init__(self) -> None:
        for text in self.property_names:
            try:
                name = parse_property_name(text)
            except ValueError as error:
                raise ConfigurationError(str(error)) from error
            if name.type in (MAX_RESERVABLE_BANDWIDTH, PERSISTENT_ENTITY_ID) and name.resource_id is not None:
                raise ConfigurationError(f"{text!r}: {name.type} depends on no resource (RFC 9275 section 6.4)")
        if (PERSISTENT_ENTITY_ID in self.property_names) != bool(self.property_maps):
            raise ConfigurationError(f"{PERSISTENT_ENTITY_ID} needs the property maps that define it, and they need it")

    @property
    def version(self) -> object:
        """Differs whenever the paths do."""
        return self.paths.version, None if self.calendar is None else self.calendar.version


class PathVectors:
    """What the two kinds of path vector resources have in common."""

    accepts: str
    root_type: str
    root_id: str
    member: str

    def __init__(
        self,
        resource_id: str,
        offer: PathOffer,
        costs: Mapping[str, CostOffer],
        max_cost_types: int,
        testable_cost_type_names: tuple[str, ...],
        domain: str | None,
        is_private: bool,
    ) -> None:
        if len(resource_id) > MAX_RESOURCE_ID:
            raise ConfigurationError(f"{resource_id!r}: at most {MAX_RESOURCE_ID} characters (RFC 9275 section 6.6)")
        if domain is not None and _DOT_ATOM.fullmatch(domain) is None:
            raise ConfigurationError(f"{domain!r} is no domain name for a Content-ID; it has no port")
        if COST_TYPE_NAME in costs:
            raise ConfigurationError(f"{COST_TYPE_NAME!r} is the name of the path vector cost type")
        self.id = resource_id
        self.is_private = is_private
        self.offer = offer
        self._domain = domain
        self.costs = CostOffers(costs, False, 0, ()) if costs else None
        calendars = {**({COST_TYPE_NAME: offer.calendar} if offer.calendar else {})}
        self._calendars: dict[str, Calendar] = {**calendars, **(self.costs.calendars if self.costs else {})}
        cost_types = {name: one.cost_type for name, one in costs.items()}
        self._capabilities = CostCapabilities(
            {COST_TYPE_NAME: CostType(*PATH_VECTOR), **cost_types},
            False,
            max_cost_types,
            testable_cost_type_names,
            {name: calendar.attributes for name, calendar in self._calendars.items()},
        )
        if COST_TYPE_NAME in testable_cost_type_names:
            raise ConfigurationError("a path vector cannot be tested (RFC 9275 section 7.2.4)")
        if testable_cost_type_names and not max_cost_types:
            raise ConfigurationError("testable-cost-type-names go with max-cost-types (RFC 8189 section 4.1.1)")
        self.cost_types: Mapping[str, CostType] = MappingProxyType(dict(self._capabilities.cost_types))

    @property
    def media_type(self) -> str:
        """`multipart/related` with the type of the part that has the path vectors."""
        return f"{media.MULTIPART_RELATED};type={self.root_type}"

    def checked_capabilities(self, directory: Directory, network_map: NetworkMapResource | None) -> dict[str, Json]:
        """The `capabilities` of the IRD entry. Raises ConfigurationError for maps that it cannot be made from.

        Of a private one everybody would be told: what it has, or the names of its elements and when it changes.
        """
        if self.costs is not None:
            self.costs.check(directory, network_map.id if network_map is not None else None, is_private=self.is_private)
        self.property_map_vtags(directory)
        for used in (network_map, *(directory.resources[name] for name in self.offer.property_maps)):
            if used is not None and used.is_private and not self.is_private:
                raise ConfigurationError(f"{self.id!r} would tell everybody what is in the private {used.id!r}")
        own = self._capabilities
        tree: dict[str, Json] = {"cost-type-names": list(own.cost_types)}
        if own.max_cost_types:
            tree["max-cost-types"] = own.max_cost_types
        if own.testable_cost_type_names:
            tree["testable-cost-type-names"] = list(own.testable_cost_type_names)
        if self._calendars:
            tree["calendar-attributes"] = calendar_attributes(self._calendars)
        if self.offer.property_names:
            tree["ane-property-names"] = list(self.offer.property_names)
        return tree

    def versions(self, directory: Directory) -> tuple[object, ...]:
        costs = self.costs.version(directory) if self.costs is not None else ()
        return (self.offer.version, *costs, *self.property_map_vtags(directory))

    def property_map_vtags(self, directory: Directory) -> list[VTag]:
        found: list[VTag] = []
        for resource_id in self.offer.property_maps:
            resource = directory.resources.get(resource_id)
            if not isinstance(resource, PropertyMapResource | FilteredPropertyMapResource):
                raise ConfigurationError(f"{resource_id!r} is no property map of this server")
            found.append(resource.version(directory))
        return found

    def read(self, asked: dict[str, Json]) -> tuple[CostRequest, list[str]]:
        """Which costs and which properties are wanted. Raises RequestError."""
        request = read_cost_request(asked, self._capabilities)
        properties: list[str] = optional_elements(asked, "ane-property-names", str) or []
        for name in properties:
            if name not in self.offer.property_names:
                raise bad_value("ane-property-names", name)
        return request, list(dict.fromkeys(properties))

    def check_size(self, request: CostRequest, pairs: int, member: str) -> None:
        """Raises RequestError where more than MAX_PATHS paths would have to be found."""
        lengths = (
            self._calendars[name].attributes.number_of_intervals if wanted else 1
            for name, wanted in zip(request.names, request.calendared, strict=True)
        )
        if pairs * sum(lengths) > MAX_PATHS:
            raise bad_value(member, f"{pairs} pairs, more than are answered at once")

    def document(
        self,
        query: Query,
        request: CostRequest,
        property_names: Sequence[str],
        sources: Sequence[str],
        destinations: Sequence[str],
        find: Find,
        dependent: dict[str, Json],
    ) -> Document:
        """The two parts, and the message that they make; `find` has the costs that are no path vectors."""
        # An update stream gives the same chance for the whole of its life, perhaps to several clients: each of them
        # has names of its own all the same (section 11).
        seed = _derived(query.random_bytes(32), repr((query.context.client, query.context.user)).encode("utf-8"))
        names = EphemeralNames(_derived(seed, b"names"), property_names)
        rows = self._rows(request, names, sources, destinations, find, query.directory)
        tag = hashlib.sha256(canonical(rows)).hexdigest()[:40]
        vtag = VTag(f"{self.id}.{self.root_id}", tag)
        meta = {"vtag": vtag.to_json(), **dependent, **costs_meta(request, self._calendars)}
        root = Document(self.root_type, {"meta": meta, self.member: rows}, vtag=vtag)
        vtags = [vtag]
        if PERSISTENT_ENTITY_ID in property_names:
            vtags += self.property_map_vtags(query.directory)
        data = {f".ane:{name}": properties for name, properties in names.properties.items()}
        self._check_properties(data)
        tree = {"meta": {"dependent-vtags": [one.to_json() for one in vtags]}, "property-map": data}
        properties = Document(media.PROPERTY_MAP, tree, vtag=VTag(f"{self.id}.{_PROPERTY_MAP}", _tag(data)))
        return self._message(query, seed, root, properties)

    def _message(self, query: Query, seed: bytes, root: Document, properties: Document) -> Document:
        domain = self._domain or domain_of(query.context.base_uri)
        parts = {f"{self.root_id}@{domain}": root, f"{_PROPERTY_MAP}@{domain}": properties}
        content_type, body = encode(
            [
                Part((("Content-ID", f"<{key}>"), ("Content-Type", one.media_type)), one.body)
                for key, one in parts.items()
            ],
            root_type=self.root_type,
            random_bytes=lambda length: _derived(seed, b"boundary")[:length],
        )
        return Document(content_type, body=body, vtag=root.vtag, parts=parts)

    def _rows(
        self,
        request: CostRequest,
        names: EphemeralNames,
        sources: Sequence[str],
        destinations: Sequence[str],
        find: Find,
        directory: Directory,
    ) -> dict[str, dict[str, Json]]:
        """The value of each pair that has one and meets the tests."""
        costs = self._plain_costs(request, sources, destinations, find, directory)
        places = [index for index, name in enumerate(request.names) if name == COST_TYPE_NAME]
        vectors = [
            self._vectors(names.property_names, sources, destinations, request.calendared[index]) for index in places
        ]
        rows: dict[str, dict[str, Json]] = {}
        for at, source in enumerate(sources):
            known = costs.get(source, {})
            row: dict[str, Json] = {}
            for column, destination in enumerate(destinations):
                others = known.get(destination)
                if request.tests and others is None:
                    continue
                values = list(others or [None] * (len(request.names) - len(places)))
                for place, one in zip(places, vectors, strict=True):
                    values.insert(place, one.named(names, at, column))
                if any(value is not None for value in values):
                    row[destination] = values if request.is_multi_cost else values[0]
            if row:
                rows[source] = row
        return rows

    def _plain_costs(
        self,
        request: CostRequest,
        sources: Sequence[str],
        destinations: Sequence[str],
        find: Find,
        directory: Directory,
    ) -> dict[str, dict[str, list[Json]]]:
        """The costs that are no path vectors, in their order, of pairs that meet the tests."""
        chosen = [
            (name, cost_type, is_calendared)
            for name, cost_type, is_calendared in zip(
                request.names, request.cost_types, request.calendared, strict=True
            )
            if name != COST_TYPE_NAME
        ]
        # A pair that meets a test has the cost that was tested: with these, no pair that does is left out.
        tested = [(name, self.cost_types[name], False) for name in request.tested] if request.tests else []
        if self.costs is None or not chosen + tested:
            return {}
        names, cost_types, calendared = zip(*chosen, *tested, strict=True)
        rest = attrs.evolve(request, names=names, cost_types=cost_types, calendared=calendared, is_multi_cost=True)
        table = self.costs.table(rest, sources, destinations, find, directory)
        return {
            source: {destination: values[: len(chosen)] for destination, values in row.items()}
            for source, row in table.rows()
        }

    def _vectors(
        self, property_names: Collection[str], sources: Sequence[str], destinations: Sequence[str], is_calendared: bool
    ) -> _Vectors:
        """The paths, for each interval where a calendar is asked for."""

        def paths(source: PathSource) -> Paths:
            found = source.paths(sources, destinations, property_names)
            if [*map(len, found)] != [len(destinations)] * len(sources):
                raise ConfigurationError(f"a path source that has not {len(sources)} rows of {len(destinations)} paths")
            return found

        if not is_calendared or self.offer.calendar is None:
            return _Vectors((paths(self.offer.paths),), False)
        intervals: Sequence[Any] = self.offer.calendar.intervals
        return _Vectors(tuple(map(paths, intervals)), True)

    def _check_properties(self, data: Mapping[str, Mapping[str, Json]]) -> None:
        """Raises ConfigurationError for values of the application that no client may be told."""
        for properties in data.values():
            bandwidth = properties.get(MAX_RESERVABLE_BANDWIDTH, 0)
            if isinstance(bandwidth, bool) or not isinstance(bandwidth, int | float) or not bandwidth >= 0:
                raise ConfigurationError(f"{bandwidth!r:.80} is no bandwidth in bits a second")
            persistent_id = properties.get(PERSISTENT_ENTITY_ID)
            if persistent_id is None:
                continue
            owner, _, name = str(persistent_id).partition(".ane:")
            if owner not in self.offer.property_maps or not is_pid_name(name):
                raise ConfigurationError(f"{persistent_id!r:.80} is no element of {list(self.offer.property_maps)}")


def domain_of(base_uri: str) -> str:
    """The host of a URI as the domain of a Content-ID: no port, nor an IPv6 address, whose colons cannot stand there.

    Where there is none to be had it is `alto.invalid`.
    """
    try:
        host = urlsplit(base_uri).hostname or ""
    except ValueError:
        host = ""
    return host if _DOT_ATOM.fullmatch(host) else "alto.invalid"


def _derived(seed: bytes, purpose: bytes) -> bytes:
    """Other octets for each purpose, of which none tells another."""
    return hashlib.blake2b(purpose, key=seed[:64]).digest()


def _tag(value: Json) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()[:40]
