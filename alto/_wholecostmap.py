"""The cost map that one GETs: it is also where other resources find costs."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from alto import media
from alto._costtable import CostDocument, Costs, CostTable
from alto._json import Json
from alto.costs import CostMatrix
from alto.errors import ConfigurationError
from alto.metrics import NUMERICAL, ORDINAL, check_cost_type, metric_of
from alto.networkmap import NetworkMapResource
from alto.types import CostType, VTag
from alto.vtags import content_tag

if TYPE_CHECKING:
    from alto.directory import Directory, Query


def check_costs(costs: CostMatrix, cost_type: CostType) -> None:
    """Raises ConfigurationError for costs that the metric cannot have, or that are no ranks in ordinal mode."""
    metric = metric_of(cost_type.cost_metric)
    is_ordinal = cost_type.cost_mode == ORDINAL
    if costs.is_negative and (is_ordinal or (metric is not None and metric.rfc == 9439)):
        raise ConfigurationError(f"a cost of {cost_type.cost_metric!r} that is negative (RFC 9439 sections 4 and 5)")
    if not costs.is_integral and (is_ordinal or (metric is not None and metric.is_integer)):
        raise ConfigurationError(f"a cost of {cost_type.cost_metric!r} that is no integer")


class CostMapResource:
    """A cost map of a server (RFC 7285 section 11.2.3): the costs of one type between the PIDs of a network map.

    `network_map` is the ID of the map. Costs of an ordinal type are ranks already: `CostMatrix.ranks` makes them.
    Costs from or to a PID that the map does not have, or no longer has, are left out. Raises ConfigurationError.
    """

    media_type = media.COST_MAP
    accepts = None

    def __init__(
        self,
        id: str,  # noqa: A002
        network_map: str,
        cost_type_name: str,
        cost_type: CostType,
        costs: CostMatrix,
        *,
        is_private: bool = False,
    ) -> None:
        if cost_type.cost_mode not in (NUMERICAL, ORDINAL):
            raise ConfigurationError(f"a cost map has no costs of the mode {cost_type.cost_mode!r}")
        check_cost_type(cost_type)
        check_costs(costs, cost_type)
        self.id = id
        self.network_map = network_map
        self.uses = (network_map,)
        self.cost_type = cost_type
        self.cost_types = MappingProxyType({cost_type_name: cost_type})
        self.costs = costs
        self.is_private = is_private
        self._name = cost_type_name
        self._document: CostDocument | None = None  # as it was last answered

    def capabilities(self, directory: Directory) -> dict[str, Json]:
        """The one cost type (section 11.2.3.4). Raises ConfigurationError where another cost map has it as well."""
        for other in directory.of_kind(CostMapResource):
            is_same = other.network_map == self.network_map and other.cost_type == self.cost_type
            if is_same and other.id != self.id:
                raise ConfigurationError(
                    f"{self.id!r} and {other.id!r} have the same cost type and network map (RFC 7285 section 6.1)"
                )
        return {"cost-type-names": [self._name]}

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        """Its tag, which is made of everything that its answer is."""
        return (self._vtag(directory),)

    def answer(self, query: Query) -> CostDocument:
        """Every cost. The same document while nothing changes: a large one is encoded once for all who ask."""
        whole = query.directory.find(self.network_map, NetworkMapResource)
        vtag = self._vtag(query.directory)
        held = self._document
        if held is not None and held.vtag == vtag:
            return held
        costs = self.costs.restricted(whole.network_map.pids)
        meta: dict[str, Json] = {
            "vtag": vtag.to_json(),
            "dependent-vtags": [whole.vtag.to_json()],
            "cost-type": self.cost_type.to_json(),
        }
        grid = costs.grid(costs.sources, costs.destinations)
        table = CostTable(costs.sources, costs.destinations, [Costs(grid)])
        document = CostDocument(self.media_type, meta, "cost-map", table, vtag=vtag)
        self._document = document
        return document

    def _vtag(self, directory: Directory) -> VTag:
        """The version. The same costs between the PIDs of another network map are other costs."""
        whole = directory.find(self.network_map, NetworkMapResource)
        return VTag(self.id, content_tag(self.costs.tag, self.cost_type.to_json(), whole.vtag.to_json()))
