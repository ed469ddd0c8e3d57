"""Path vectors of a server: multipart cost maps and endpoint cost services (RFC 9275 sections 7.2 and 7.3)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from alto import media
from alto._json import Json
from alto._pathvectors import PathOffer, PathVectors
from alto.costmap import read_pid_filter
from alto.costoffers import CostOffer
from alto.costs import CostMatrix, Grid, grid_of
from alto.endpointcost import distinct_endpoints, read_endpoint_filter
from alto.errors import ConfigurationError
from alto.networkmap import NetworkMapResource
from alto.params import fields
from alto.ports import EndpointCosts

if TYPE_CHECKING:
    from alto.directory import Directory, Document, Query

__all__ = ["PathOffer", "PathVectorCostMapResource", "PathVectorEndpointCostResource"]

_NO_COSTS: Mapping[str, CostOffer] = MappingProxyType({})


class PathVectorCostMapResource(PathVectors):
    """A multipart filtered cost map (section 7.2): path vectors between the PIDs of a network map.

    `costs` are ordinary cost types that can be asked for as well, several at once where `max_cost_types` is above 0;
    constraints are allowed on `testable_cost_type_names` only. `domain` is that of the server, for the Content-IDs;
    without it the host of the base URI is taken. Path vectors that tell an attacker where the bottlenecks are have to
    be private (section 11), which nobody but the operator knows: `is_private` has no default. Raises
    ConfigurationError.
    """

    accepts = media.COST_MAP_FILTER
    root_type = media.COST_MAP
    root_id = "costmap"
    member = "cost-map"

    def __init__(
        self,
        id: str,  # noqa: A002
        network_map: str,
        offer: PathOffer,
        *,
        is_private: bool,
        costs: Mapping[str, CostOffer] = _NO_COSTS,
        max_cost_types: int = 0,
        testable_cost_type_names: tuple[str, ...] = (),
        domain: str | None = None,
    ) -> None:
        super().__init__(id, offer, costs, max_cost_types, testable_cost_type_names, domain, is_private)
        self.network_map = network_map
        self.uses = (network_map, *offer.property_maps)

    def capabilities(self, directory: Directory) -> dict[str, Json]:
        """Section 7.2.4. Raises ConfigurationError for maps that do not fit, or are private where this is not."""
        return self.checked_capabilities(directory, self._whole(directory))

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        """The versions of the network map, of the paths and costs, and of the property maps."""
        return (self._whole(directory).vtag, *self.versions(directory))

    def answer(self, query: Query) -> Document:
        """The costs and the properties (section 7.2.6). Raises RequestError."""
        whole = self._whole(query.directory)
        asked = fields(query.input)
        request, properties = self.read(asked)
        sources, destinations = read_pid_filter(asked, whole.network_map)
        self.check_size(request, len(sources) * len(destinations), "pids")

        def find(costs: CostMatrix | EndpointCosts) -> Grid:
            assert isinstance(costs, CostMatrix)
            return costs.grid(sources, destinations)

        dependent = {"dependent-vtags": [whole.vtag.to_json()]}
        return self.document(query, request, properties, sources, destinations, find, dependent)

    def _whole(self, directory: Directory) -> NetworkMapResource:
        return directory.find(self.network_map, NetworkMapResource)


class PathVectorEndpointCostResource(PathVectors):
    """A multipart endpoint cost service (section 7.3): path vectors between addresses.

    `network_map` is the ID of the map whose PIDs the `costs` that come from cost maps or matrices are between; it is
    not in the `uses`. All else is as in `PathVectorCostMapResource`.
    """

    accepts = media.ENDPOINT_COST_PARAMS
    root_type = media.ENDPOINT_COST
    root_id = "ecs"
    member = "endpoint-cost-map"

    def __init__(
        self,
        id: str,  # noqa: A002
        offer: PathOffer,
        *,
        is_private: bool,
        costs: Mapping[str, CostOffer] = _NO_COSTS,
        network_map: str | None = None,
        max_cost_types: int = 0,
        testable_cost_type_names: tuple[str, ...] = (),
        domain: str | None = None,
    ) -> None:
        super().__init__(id, offer, costs, max_cost_types, testable_cost_type_names, domain, is_private)
        self.network_map = network_map
        self.uses = offer.property_maps
        parts = [
            part for one in costs.values() for part in (one.costs, *(one.calendar.intervals if one.calendar else ()))
        ]
        if network_map is None and any(isinstance(part, str | CostMatrix) for part in parts):
            raise ConfigurationError(f"{id!r}: costs between PIDs need a network map that has them")

    def capabilities(self, directory: Directory) -> dict[str, Json]:
        """Section 7.3.4. Raises ConfigurationError for maps that do not fit, or are private where this is not."""
        return self.checked_capabilities(directory, self._whole(directory))

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        """The versions of the paths and costs, of the property maps, and of the network map if there is one."""
        whole = self._whole(directory)
        return (None if whole is None else whole.vtag, *self.versions(directory))

    def answer(self, query: Query) -> Document:
        """The costs and the properties (section 7.3.6). Raises RequestError."""
        asked = fields(query.input)
        request, properties = self.read(asked)
        found = read_endpoint_filter(asked, query.context.client)
        # A path begins and ends at an address: a prefix is refused.
        sources = distinct_endpoints(found[0], "endpoints/srcs")
        destinations = distinct_endpoints(found[1], "endpoints/dsts")
        self.check_size(request, len(sources) * len(destinations), "endpoints")
        whole = self._whole(query.directory)

        def find(costs: CostMatrix | EndpointCosts) -> Grid:
            if isinstance(costs, CostMatrix):
                assert whole is not None
                return costs.grid(whole.network_map.pids_of(sources), whole.network_map.pids_of(destinations))
            return grid_of(costs.costs(sources, destinations), len(destinations))

        return self.document(query, request, properties, sources, destinations, find, {})

    def _whole(self, directory: Directory) -> NetworkMapResource | None:
        return None if self.network_map is None else directory.find(self.network_map, NetworkMapResource)
