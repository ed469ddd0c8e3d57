"""The endpoint cost service: costs between addresses (RFC 7285 section 11.5, RFC 8189, RFC 8896)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from alto import media
from alto._costreading import Asked, Kind, read_costs
from alto._costtable import CostDocument, costs_meta
from alto._json import Json
from alto._locator import Locator
from alto.address import canonical_endpoint, parse_endpoint
from alto.costoffers import CostOffer, CostOffers
from alto.costrequest import read_cost_request, read_names
from alto.costresult import ReceivedCosts
from alto.costs import CostMatrix, Grid, grid_of
from alto.errors import ConfigurationError, ErrorCode, RequestError
from alto.findings import Findings
from alto.ird import ResourceEntry
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.params import bad_value, fields, required
from alto.ports import EndpointCosts
from alto.types import CostType

if TYPE_CHECKING:
    from alto.directory import Directory, Document, Query

MAX_ENDPOINTS = 10_000
"""Sources, or destinations, of one request: each is parsed and looked up."""
MAX_COSTS = 1_000_000
"""Costs that are looked up and written for one request: an answer of some 25 MB, and a quarter of a second in which
nobody else is served. Each interval of a calendar counts as one, tests and ranks as the time that they take."""

_NO_COST_TYPES: Mapping[str, CostType] = MappingProxyType({})


def _key(text: str) -> str | None:
    try:
        return canonical_endpoint(text)
    except ValueError:
        return None


_KIND = Kind("endpoint-cost-map", "11.5.1.6", False, "endpoints", _key, "10.4.1")


def parse_endpoint_cost(
    tree: Json,
    findings: Findings,
    *,
    params: Json = None,
    entry: ResourceEntry | None = None,
    cost_types: Mapping[str, CostType] = _NO_COST_TYPES,
    wall: float | None = None,
) -> ReceivedCosts:
    """Read the response of an endpoint cost service; the arguments are those of `alto.costmap.parse_cost_map`.

    Endpoints are spelled as in `params`, whatever spelling the server prefers. Raises DecodeError.
    """
    return ReceivedCosts(*read_costs(tree, findings, _KIND, Asked(params, entry, cost_types, wall)))


def read_endpoint_filter(tree: dict[str, Json], client: str | None) -> tuple[list[str], list[str]]:
    """The sources and destinations of a request (RFC 7285 section 11.5.1.3), each text once and not parsed yet.

    `client` is the typed address that the request comes from, which stands in for a list that is empty or absent,
    though not for both. Raises RequestError.
    """
    listed = required(tree, "endpoints", dict)
    sources, destinations = (
        read_names(listed, member, "endpoints") if member in listed else [] for member in ("srcs", "dsts")
    )
    if not sources and not destinations:
        raise bad_value("endpoints", listed)
    return _or_client(sources, client, "endpoints/srcs"), _or_client(destinations, client, "endpoints/dsts")


def _or_client(texts: list[str], client: str | None, path: str) -> list[str]:
    if len(texts) > MAX_ENDPOINTS:
        raise RequestError(ErrorCode.INVALID_FIELD_VALUE, field=path)
    if texts:
        return texts
    if client is None:
        raise RequestError(ErrorCode.MISSING_FIELD, field=path)
    return [client]


def distinct_endpoints(texts: list[str], path: str) -> list[str]:
    """The typed endpoint addresses without further spellings of the same one. Raises RequestError for what is none."""
    once: dict[tuple[int, int], str] = {}
    for text in texts:
        try:
            once.setdefault(parse_endpoint(text), text)
        except ValueError as error:
            raise bad_value(path, text) from error
    return list(once.values())


class EndpointCostResource:
    """An endpoint cost service (RFC 7285 section 11.5).

    `offers` are the cost types by their names in the IRD. Where costs come from cost maps or matrices, `network_map` is
    the ID of the network map whose PIDs they are between; neither is in the `uses` of the resource, as section 11.5.1.5
    has it. Constraints and several cost types are as in `FilteredCostMapResource`. Raises ConfigurationError.
    """

    media_type = media.ENDPOINT_COST
    accepts = media.ENDPOINT_COST_PARAMS
    uses = ()

    def __init__(
        self,
        id: str,  # noqa: A002
        offers: Mapping[str, CostOffer],
        *,
        network_map: str | None = None,
        cost_constraints: bool = False,
        max_cost_types: int = 0,
        testable_cost_type_names: tuple[str, ...] = (),
        is_private: bool = False,
    ) -> None:
        self.id = id
        self.network_map = network_map
        self.is_private = is_private
        self._offers = CostOffers(offers, cost_constraints, max_cost_types, testable_cost_type_names)
        self.cost_types = MappingProxyType(dict(self._offers.capabilities.cost_types))
        self._locator: Locator | None = None
        for name, offer in offers.items():
            parts = (offer.costs, *(offer.calendar.intervals if offer.calendar else ()))
            if network_map is None and any(isinstance(part, str | CostMatrix) for part in parts):
                raise ConfigurationError(f"{name!r}: costs between PIDs need a network map that has them")

    def capabilities(self, directory: Directory) -> dict[str, Json]:
        """Cost types, constraints, multi-cost, calendars. Raises ConfigurationError for cost maps that do not fit."""
        self._offers.check(directory, self.network_map, is_private=self.is_private)
        return self._offers.capabilities_json()

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        """The tags of what the costs are made from. What is asked without sources depends on the client as well."""
        whole = self._whole(directory)
        return (None if whole is None else whole.vtag, *self._offers.version(directory))

    def answer(self, query: Query) -> Document:
        """The costs that are asked for. Raises RequestError."""
        asked = fields(query.input)
        request = read_cost_request(asked, self._offers.capabilities)
        sources, destinations = read_endpoint_filter(asked, query.context.client)
        whole = self._whole(query.directory)
        from_pids: Sequence[str | None] = ()
        to_pids: Sequence[str | None] = ()
        if whole is None:
            sources = distinct_endpoints(sources, "endpoints/srcs")
            destinations = distinct_endpoints(destinations, "endpoints/dsts")
        else:
            locator = self._locator_of(whole.network_map)
            sources, from_pids = locator.locate(sources, "endpoints/srcs")
            destinations, to_pids = locator.locate(destinations, "endpoints/dsts")
        self._offers.check_size(request, len(sources) * len(destinations), MAX_COSTS, "endpoints")

        def find(costs: CostMatrix | EndpointCosts) -> Grid:
            if isinstance(costs, CostMatrix):
                return costs.grid(from_pids, to_pids)
            rows = costs.costs(sources, destinations)
            if len(rows) != len(sources):
                raise ConfigurationError(f"{len(rows)} rows of costs for {len(sources)} sources")
            return grid_of(rows, len(destinations))

        table = self._offers.table(request, sources, destinations, find, query.directory)
        meta = costs_meta(request, self._offers.calendars)
        return CostDocument(self.media_type, meta, "endpoint-cost-map", table)

    def _whole(self, directory: Directory) -> NetworkMapResource | None:
        return None if self.network_map is None else directory.find(self.network_map, NetworkMapResource)

    def _locator_of(self, network_map: NetworkMap) -> Locator:
        """Kept as long as the network map is the same."""
        if self._locator is None or self._locator.network_map is not network_map:
            self._locator = Locator(network_map)
        return self._locator
