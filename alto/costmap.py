"""Cost maps: whole, and filtered by what clients post (RFC 7285 sections 11.2.3 and 11.3.2, RFC 8189, RFC 8896)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from alto import media
from alto._costreading import Asked, Kind, read_costs
from alto._costtable import CostDocument, costs_meta
from alto._json import Json
from alto._wholecostmap import CostMapResource
from alto.costoffers import CostOffer, CostOffers
from alto.costrequest import read_cost_request, read_names
from alto.costresult import ReceivedCosts
from alto.costs import CostMatrix, Grid
from alto.errors import ConfigurationError
from alto.findings import Findings
from alto.ird import ResourceEntry
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.params import bad_value, fields, optional
from alto.ports import EndpointCosts
from alto.types import CostType, is_pid_name

if TYPE_CHECKING:
    from alto.directory import Directory, Document, Query

__all__ = ["MAX_COSTS", "CostMapResource", "FilteredCostMapResource", "parse_cost_map", "read_pid_filter"]

MAX_COSTS = 1_000_000
"""Costs that are looked up and written for one request: 25 MB, and at most half a second in which nobody else is served
(with orjson and numpy a third of that). Each interval of a calendar counts as one, tests and ranks as the time that
they take. All costs of one type of a cost map that one may GET are not written for a request, and may be any number."""

_NO_COST_TYPES: Mapping[str, CostType] = MappingProxyType({})
_KIND = Kind("cost-map", "11.2.3.6", True, "pids", lambda text: text if is_pid_name(text) else None, "10.1")


def parse_cost_map(
    tree: Json,
    findings: Findings,
    *,
    params: Json = None,
    entry: ResourceEntry | None = None,
    cost_types: Mapping[str, CostType] = _NO_COST_TYPES,
    wall: float | None = None,
) -> ReceivedCosts:
    """Read the response of a cost map, whole or filtered; multi-cost and calendars too.

    `params` is what was posted, `entry` the resource's entry in an IRD whose `cost_types` these are, and `wall` the
    Unix time of the request: each lets more be checked. A lenient reading leaves out what cannot be used. Raises
    DecodeError where there are no costs of a known type, and when `findings` is strict at the first broken MUST.
    """
    return ReceivedCosts(*read_costs(tree, findings, _KIND, Asked(params, entry, cost_types, wall)))


def read_pid_filter(tree: dict[str, Json], network_map: NetworkMap) -> tuple[list[str], list[str]]:
    """The sources and destinations that a request asks for: `pids`, or all that the map has (RFC 7285 11.3.2.3).

    A PID that the map does not have is left out: a list of none but those asks for nothing. Raises RequestError.
    """
    pids = optional(tree, "pids", dict)
    if pids is None:
        return list(network_map.names), list(network_map.names)
    listed = [(read_names(pids, member, "pids"), f"pids/{member}") for member in ("srcs", "dsts")]
    sources, destinations = (_known(names, path, network_map) for names, path in listed)
    return sources, destinations


def _known(names: list[str], path: str, network_map: NetworkMap) -> list[str]:
    if not names:
        return list(network_map.names)
    pids = network_map.pids
    for name in names:
        if name not in pids and not is_pid_name(name):
            raise bad_value(path, name)
    return [name for name in names if name in pids]


class FilteredCostMapResource:
    """A cost map of which clients choose the cost types, the PIDs and constraints (RFC 7285 section 11.3.2).

    `network_map` is the ID of the map whose PIDs the costs are between; `offers` are the cost types by their names in
    the IRD. Constraints are allowed on all of them, or on `testable_cost_type_names`; several can be asked for at once
    where `max_cost_types` is above 0 (RFC 8189). Who asks for more than MAX_COSTS costs is refused and has to ask for
    fewer PIDs at a time. Raises ConfigurationError.
    """

    media_type = media.COST_MAP
    accepts = media.COST_MAP_FILTER

    def __init__(
        self,
        id: str,  # noqa: A002
        network_map: str,
        offers: Mapping[str, CostOffer],
        *,
        cost_constraints: bool = False,
        max_cost_types: int = 0,
        testable_cost_type_names: tuple[str, ...] = (),
        is_private: bool = False,
    ) -> None:
        self.id = id
        self.network_map = network_map
        self.uses = (network_map,)
        self.is_private = is_private
        self._offers = CostOffers(offers, cost_constraints, max_cost_types, testable_cost_type_names)
        self.cost_types = MappingProxyType(dict(self._offers.capabilities.cost_types))
        self._kept: dict[str, tuple[CostDocument, CostDocument]] = {}
        for name, offer in offers.items():
            parts = (offer.costs, *(offer.calendar.intervals if offer.calendar else ()))
            if not all(isinstance(part, str | CostMatrix) for part in parts):
                raise ConfigurationError(f"{name!r}: the costs of a cost map are between PIDs, not endpoints")

    def capabilities(self, directory: Directory) -> dict[str, Json]:
        """Cost types, constraints, multi-cost, calendars. Raises ConfigurationError for cost maps that do not fit."""
        self._offers.check(directory, self.network_map, is_private=self.is_private)
        return self._offers.capabilities_json()

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        """The tags of the network map and of all costs."""
        return (self._whole(directory).vtag, *self._offers.version(directory))

    def answer(self, query: Query) -> Document:
        """The costs that are asked for. Raises RequestError."""
        whole = self._whole(query.directory)
        asked = fields(query.input)
        request = read_cost_request(asked, self._offers.capabilities)
        sources, destinations = read_pid_filter(asked, whole.network_map)
        meta = {"dependent-vtags": [whole.vtag.to_json()], **costs_meta(request, self._offers.calendars)}
        source = self._offers.whole(request, query.directory)
        if source is not None and len(sources) == len(destinations) == len(whole.network_map.names):
            return self._everything(request.names[0], source.answer(query), meta)
        self._offers.check_size(request, len(sources) * len(destinations), MAX_COSTS, "pids")

        def find(costs: CostMatrix | EndpointCosts) -> Grid:
            assert isinstance(costs, CostMatrix)
            return costs.grid(sources, destinations)

        table = self._offers.table(request, sources, destinations, find, query.directory)
        return CostDocument(self.media_type, meta, "cost-map", table)

    def _everything(self, name: str, source: CostDocument, meta: dict[str, Json]) -> CostDocument:
        """All costs of one type: one document for all who ask, as long as the cost map is the same."""
        kept = self._kept.get(name)
        if kept is None or kept[0] is not source:
            kept = self._kept[name] = (source, source.with_meta(meta))
        return kept[1]

    def _whole(self, directory: Directory) -> NetworkMapResource:
        return directory.find(self.network_map, NetworkMapResource)
