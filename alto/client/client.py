"""The ALTO client: a plan for each of the documents that a server has."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from alto import media
from alto._json import Json
from alto.cdni import CdniAdvertisement, CdniCapability, cdni_filter, parse_cdni
from alto.client import costs
from alto.client.costs import ROUTING_COST, CostQuery, Ranking
from alto.client.directory import fetch_closure
from alto.client.errors import ServerError
from alto.client.fetch import MAX_BODY, Credentials, Plan, Session
from alto.client.reading import Parse, Result, json_of, obtain
from alto.closure import Closure, is_network_map
from alto.costrequest import CostCapabilities
from alto.costresult import ReceivedCosts
from alto.endpointproperty import EndpointProperties, endpoint_property_params, parse_endpoint_properties
from alto.entities import EntityDomains
from alto.errors import ConfigurationError
from alto.findings import MAX_FINDINGS, Finding, Findings
from alto.http import Response
from alto.ird import ResourceEntry, resolve
from alto.networkmap import (
    ParsedFilteredNetworkMap,
    ParsedNetworkMap,
    network_map_filter,
    parse_filtered_network_map,
    parse_network_map,
)
from alto.pathvector import PathVector, parse_path_vector, path_vector_params
from alto.propertymap import ParsedPropertyMap, parse_property_map, property_map_filter
from alto.types import CostType, VTag

_T = TypeVar("_T")

_ANY_COSTS = CostQuery()


class Client:
    """One ALTO server as seen from its Root IRD at `root_uri`.

    Each method is a plan (see `alto.client.fetch`): a generator that yields requests, is sent their responses, and
    returns a value. Every plan raises ServerError, DecodeError (a strict client at the first broken MUST) and
    UnreachableError if its carrier throws it, and ConfigurationError for what the server does not offer or cannot be
    asked. `wall` says the Unix time, where it is known: a calendar that begins after it was asked for is a finding.
    Raises ConfigurationError for a `root_uri` that is no http(s) URI.
    """

    def __init__(
        self,
        root_uri: str,
        *,
        strict: bool = True,
        credentials: Credentials | None = None,
        max_body: int = MAX_BODY,
        wall: Callable[[], float] | None = None,
    ) -> None:
        absolute = resolve(root_uri, "")
        if absolute is None:
            raise ConfigurationError(f"{root_uri!r:.200} is no http or https URI")
        self.root_uri = absolute
        self.strict = strict
        self.session = Session(credentials, max_body)
        self._wall = wall
        self._closure: Closure | None = None
        self._findings: dict[Finding, None] = {}

    def now(self) -> float | None:
        """The Unix time; None where it is not known."""
        return None if self._wall is None else self._wall()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every deviation so far, each once, in the order of their first appearance; at most MAX_FINDINGS."""
        return tuple(self._findings)

    def note(self, findings: Iterable[Finding]) -> None:
        """Remember deviations."""
        for finding in findings:
            if len(self._findings) >= MAX_FINDINGS:
                break
            self._findings.setdefault(finding)

    def directory(self, *, refresh: bool = False) -> Plan[Closure]:
        """The closure of all IRDs; it is fetched once, and again to `refresh`."""
        if self._closure is None or refresh:
            findings = Findings(strict=self.strict)
            try:
                self._closure = yield from fetch_closure(self.session, self.root_uri, findings)
            finally:
                self.note(findings.items)
        return self._closure

    def resource(self, resource_id: str) -> Plan[ResourceEntry]:
        """The entry of a resource by its ID."""
        closure = yield from self.directory()
        entry = closure.entries.get(resource_id)
        if entry is None:
            raise ConfigurationError(f"this server has no resource {resource_id!r:.80}")
        return entry

    def obtain(self, entry: ResourceEntry, parse: Parse[_T], params: Json = None) -> Plan[Result[_T]]:
        """Any resource, read by `parse`."""
        findings = Findings(strict=self.strict)
        try:
            return (yield from obtain(self.session, entry, parse, findings, params))
        except ServerError as error:
            self.note(error.findings)
            raise
        finally:
            self.note(findings.items)

    def network_map(self, resource_id: str | None = None) -> Plan[Result[ParsedNetworkMap]]:
        """A whole network map; the default one where no ID is given."""
        entry = yield from self.network_map_entry(resource_id)

        def parse(tree: Json, findings: Findings) -> ParsedNetworkMap:
            parsed = parse_network_map(tree, findings)
            check_vtag(parsed.vtag, entry.id, findings)
            return parsed

        return (yield from self.obtain(entry, json_of(parse)))

    def network_map_entry(self, resource_id: str | None = None) -> Plan[ResourceEntry]:
        """The entry of a whole network map; of the default one where no ID is given."""
        closure = yield from self.directory()
        entry = closure.default_network_map
        if resource_id is not None:
            entry = yield from self.resource(resource_id)
        if entry is None or not is_network_map(entry):
            raise ConfigurationError(f"this server has no network map {resource_id or ''!r:.80}")
        return entry

    def filtered_network_map(
        self,
        pids: Collection[str] = (),
        address_types: Collection[str] | None = None,
        *,
        network_map: str | None = None,
    ) -> Plan[Result[ParsedFilteredNetworkMap]]:
        """Some PIDs of a network map, or some address types of it; none of them stands for all."""
        closure = yield from self.directory()
        whole = yield from self.network_map_entry(network_map)
        entry = closure.find(
            media.NETWORK_MAP, accepts=media.NETWORK_MAP_FILTER, suits=lambda entry: whole.id in entry.uses
        )
        params = network_map_filter(pids, address_types)

        def parse(tree: Json, findings: Findings) -> ParsedFilteredNetworkMap:
            parsed = parse_filtered_network_map(tree, findings, params)
            check_vtag(parsed.vtag, whole.id, findings)
            return parsed

        return (yield from self.obtain(entry, json_of(parse), params))

    def cost_map(
        self, cost_type: CostType = ROUTING_COST, *, network_map: str | None = None
    ) -> Plan[Result[ReceivedCosts]]:
        """All costs of a type between the PIDs of a network map, the default one where no ID is given."""
        whole = yield from self.network_map_entry(network_map)
        return (yield from costs.whole_cost_map(self, cost_type, whole))

    def filtered_cost_map(
        self,
        sources: Sequence[str] | None = None,
        destinations: Sequence[str] | None = None,
        query: CostQuery = _ANY_COSTS,
        *,
        network_map: str | None = None,
        resource_id: str | None = None,
    ) -> Plan[Result[ReceivedCosts]]:
        """Costs between some PIDs, all where none are named.

        The answer is that of the first resource over the network map that can be asked so, or of that ID.
        """
        whole = yield from self.network_map_entry(network_map)

        def build(capabilities: CostCapabilities) -> Json:
            return query.cost_map_filter(capabilities, sources, destinations)

        def suits(entry: ResourceEntry) -> bool:
            return entry.id == resource_id if resource_id is not None else whole.id in entry.uses

        return (yield from costs.posted_costs(self, media.COST_MAP, media.COST_MAP_FILTER, build, suits))

    def endpoint_costs(
        self,
        sources: Sequence[str],
        destinations: Sequence[str],
        query: CostQuery = _ANY_COSTS,
        *,
        resource_id: str | None = None,
    ) -> Plan[Result[ReceivedCosts]]:
        """Costs between typed addresses such as `ipv4:192.0.2.1`; an empty list stands for this client's own.

        The answer is that of the first endpoint cost service that can be asked so, or of that ID.
        """

        def build(capabilities: CostCapabilities) -> Json:
            return query.endpoint_cost_params(capabilities, sources, destinations)

        def suits(entry: ResourceEntry) -> bool:
            return resource_id in (None, entry.id)

        return (yield from costs.posted_costs(self, media.ENDPOINT_COST, media.ENDPOINT_COST_PARAMS, build, suits))

    def costs(
        self,
        sources: Sequence[str],
        destinations: Sequence[str],
        cost_type: CostType = ROUTING_COST,
        *,
        private: bool = False,
    ) -> Plan[Result[ReceivedCosts]]:
        """Costs between addresses, `192.0.2.1` or `ipv4:192.0.2.1`, from an endpoint cost service or else by maps.

        A `private` client asks for maps only, so that the server does not learn the addresses.
        """
        typed = [list(dict.fromkeys(costs.endpoint(text) for text in texts)) for texts in (sources, destinations)]
        return (yield from costs.costs_between(self, typed[0], typed[1], [cost_type], private=private))

    def rank(
        self, source: str | None, peers: Sequence[str], *, metric: str = "routingcost", private: bool = False
    ) -> Plan[Ranking]:
        """The peers as `source` should prefer them, the best first; None is this client.

        A `private` client asks for maps only, so that the server does not learn the addresses.
        """
        return (yield from costs.rank(self, source, peers, metric=metric, private=private))

    def endpoint_properties(
        self, endpoints: Sequence[str], properties: Sequence[str] | None = None
    ) -> Plan[Result[EndpointProperties]]:
        """Properties of endpoints such as `ipv4:192.0.2.1`; all that the first service has where none are named."""
        closure = yield from self.directory()
        wanted = frozenset(properties or ())
        entry = closure.find(
            media.ENDPOINT_PROPERTIES,
            accepts=media.ENDPOINT_PROPERTY_PARAMS,
            suits=lambda entry: wanted <= frozenset(_strings(entry, "prop-types")),
        )
        asked = _strings(entry, "prop-types") if properties is None else properties
        params = endpoint_property_params(asked, endpoints, entry)

        def parse(tree: Json, findings: Findings) -> EndpointProperties:
            return parse_endpoint_properties(tree, findings, params)

        return (yield from self.obtain(entry, json_of(parse), params))

    def property_map(
        self, resource_id: str | None = None, *, domain: str | None = None
    ) -> Plan[Result[ParsedPropertyMap]]:
        """A whole property map: the one of that ID, or the first one that has the entity domain."""
        closure = yield from self.directory()
        if resource_id is not None:
            entry = yield from self.resource(resource_id)
            if entry.document_type != media.PROPERTY_MAP or entry.accepts is not None:
                raise ConfigurationError(f"{resource_id!r:.80} is no whole property map")
        else:
            entry = closure.find(
                media.PROPERTY_MAP, accepts=None, suits=lambda entry: domain is None or domain in _mappings(entry)
            )
        return (yield from self.obtain(entry, json_of(_property_parser(entry, closure))))

    def properties(
        self, entities: Sequence[str], properties: Sequence[str] | None = None, *, resource_id: str | None = None
    ) -> Plan[Result[ParsedPropertyMap]]:
        """Properties of entities such as `ipv4:192.0.2.0/24` from a filtered property map that has them (RFC 9240).

        All properties where none are named. Where no filtered property map has them, a whole one that does.
        """
        closure = yield from self.directory()
        wanted = frozenset(properties or ())

        def suits(entry: ResourceEntry) -> bool:
            return resource_id in (None, entry.id) and _has(entry, entities, wanted)

        try:
            entry = closure.find(media.PROPERTY_MAP, accepts=media.PROPERTY_MAP_PARAMS, suits=suits)
        except ConfigurationError:
            entry = closure.find(media.PROPERTY_MAP, accepts=None, suits=suits)
            return (yield from self.obtain(entry, json_of(_property_parser(entry, closure))))
        params = property_map_filter(entities, properties or (), entry)
        return (yield from self.obtain(entry, json_of(_property_parser(entry, closure)), params))

    def cdni(self, capabilities: Iterable[CdniCapability] = ()) -> Plan[Result[CdniAdvertisement]]:
        """A CDNI advertisement, of those capabilities only where some are given (RFC 9241)."""
        closure = yield from self.directory()
        asked = list(capabilities)
        params = cdni_filter(asked) if asked else None
        entry = closure.find(media.CDNI, accepts=media.CDNI_FILTER if asked else None)
        return (yield from self.obtain(entry, json_of(_cdni_parser(entry)), params))

    def path_vector(
        self,
        sources: Sequence[str],
        destinations: Sequence[str],
        property_names: Sequence[str] | None = None,
        *,
        between: str = "endpoints",
        resource_id: str | None = None,
    ) -> Plan[Result[PathVector]]:
        """The elements that traffic goes through `between` "endpoints" or "pids", with their properties (RFC 9275).

        No properties named are all that the resource has.
        """
        closure = yield from self.directory()
        document_type, accepts = _PATH_VECTORS[between]
        wanted = frozenset(property_names or ())
        for entry in closure.of_type(document_type, accepts=accepts):
            if not closure.path_vectors(entry) or resource_id not in (None, entry.id):
                continue
            offered = _strings(entry, "ane-property-names")
            if wanted <= frozenset(offered):
                asked = offered if property_names is None else property_names
                params = path_vector_params(entry, sources, destinations, asked)
                return (yield from self.obtain(entry, _path_vector_parser(entry, params), params))
        raise ConfigurationError(f"this server has no path vectors between {between} with these properties")


_PATH_VECTORS = {
    "endpoints": (media.ENDPOINT_COST, media.ENDPOINT_COST_PARAMS),
    "pids": (media.COST_MAP, media.COST_MAP_FILTER),
}


def check_vtag(vtag: VTag | None, resource_id: str, findings: Findings) -> None:
    """Note a version tag of another resource than it has to be of (RFC 7285 section 11.2.1.6)."""
    if vtag is not None and vtag.resource_id != resource_id:
        text = f"the version of {vtag.resource_id!r:.80}, where that of {resource_id!r} is due"
        findings.must("meta/vtag/resource-id", text, 7285, "11.2.1.6")


def _path_vector_parser(entry: ResourceEntry, params: Json) -> Parse[PathVector]:
    def parse(response: Response, findings: Findings) -> PathVector:
        content_type = response.header("content-type") or ""
        return parse_path_vector(content_type, response.body, findings, entry=entry, asked=params)

    return parse


def _strings(entry: ResourceEntry, name: str) -> list[str]:
    listed: list[str] = entry.capabilities.get(name, [])
    return listed


def _mappings(entry: ResourceEntry) -> Mapping[str, list[str]]:
    mappings: Mapping[str, list[str]] = entry.capabilities.get("mappings", {})
    return mappings


def _has(entry: ResourceEntry, entities: Sequence[str], properties: frozenset[str]) -> bool:
    """Whether a property map has the domains of all entities and all those properties."""
    mappings = _mappings(entry)
    domains = EntityDomains(mappings)
    try:
        for entity in entities:
            domains.parse(entity)
    except ValueError:
        return False
    return properties <= {name for names in mappings.values() for name in names}


def _property_parser(entry: ResourceEntry, closure: Closure) -> Callable[[Json, Findings], ParsedPropertyMap]:
    media_types = {other.id: other.media_type for other in closure.entries.values()}
    return lambda tree, findings: parse_property_map(tree, findings, entry, media_types=media_types)


def _cdni_parser(entry: ResourceEntry) -> Callable[[Json, Findings], CdniAdvertisement]:
    return lambda tree, findings: parse_cdni(tree, findings, entry)
