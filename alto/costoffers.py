"""The costs that a filtered cost map or an endpoint cost service has, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from attrs import field, frozen

from alto._costtable import Costs, CostTable, ordered
from alto._json import Json
from alto._wholecostmap import CostMapResource, check_costs
from alto.calendar import Calendar, calendar_attributes
from alto.constraints import all_of
from alto.costrequest import CostCapabilities, CostRequest
from alto.costs import CostMatrix, Grid
from alto.errors import ConfigurationError, ErrorCode, RequestError
from alto.metrics import NUMERICAL, ORDINAL, check_cost_type, metric_of
from alto.ports import EndpointCosts
from alto.types import CostType

if TYPE_CHECKING:
    from alto.directory import Directory

_PREDICATES_PER_COST = 3
"""Predicates that take the time in which one cost is looked up and written."""
_RANKING = 4
"""Costs that could be written in the time in which one is ranked."""

CostSource: TypeAlias = "str | CostMatrix | EndpointCosts"


@frozen
class CostOffer:
    """A cost type that a resource has, and where its costs come from."""

    cost_type: CostType
    costs: str | CostMatrix | EndpointCosts
    """The ID of a cost map of the same server, whose changes are then seen; a matrix of its own; or, for endpoints, a
    source of an application. Of an ordinal cost type these are the costs that the ranks are made from: those of a cost
    map by its own mode, others by what the metric prefers."""
    calendar: Calendar | None = None
    """Its costs in times to come."""

    def check(self, name: str) -> None:
        """Raises ConfigurationError for costs that no server may offer."""
        if self.cost_type.cost_mode not in (NUMERICAL, ORDINAL):
            raise ConfigurationError(f"{name!r}: no costs of the mode {self.cost_type.cost_mode!r} are made here")
        check_cost_type(self.cost_type)
        measured = CostType(NUMERICAL, self.cost_type.cost_metric)
        for costs in (self.costs, *(self.calendar.intervals if self.calendar else ())):
            if isinstance(costs, CostMatrix):
                check_costs(costs, measured)

    def version(self, directory: Directory) -> tuple[object, ...]:
        """Differs whenever its costs do."""
        costs = self.costs
        if isinstance(costs, str):
            costs = directory.find(costs, CostMapResource).costs
        version = costs.tag if isinstance(costs, CostMatrix) else costs.version
        return version, None if self.calendar is None else self.calendar.version


@frozen
class CostOffers:
    """The cost types of a resource by their names, and what it lets clients do with them (RFC 8189 section 4.1.1).

    Raises ConfigurationError.
    """

    offers: Mapping[str, CostOffer]
    cost_constraints: bool = False
    max_cost_types: int = 0
    testable_cost_type_names: tuple[str, ...] = ()
    capabilities: CostCapabilities = field(init=False, repr=False)
    calendars: Mapping[str, Calendar] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        for name, offer in self.offers.items():
            offer.check(name)
        if self.testable_cost_type_names and not self.max_cost_types:
            raise ConfigurationError("testable-cost-type-names counts only with multi-cost: max_cost_types is 0")
        calendars = {name: offer.calendar for name, offer in self.offers.items() if offer.calendar is not None}
        object.__setattr__(self, "calendars", calendars)
        capabilities = CostCapabilities(
            {name: offer.cost_type for name, offer in self.offers.items()},
            self.cost_constraints,
            self.max_cost_types,
            self.testable_cost_type_names,
            {name: calendar.attributes for name, calendar in calendars.items()},
        )
        object.__setattr__(self, "capabilities", capabilities)

    def capabilities_json(self) -> dict[str, Json]:
        """The `capabilities` of the IRD entry."""
        tree: dict[str, Json] = {"cost-type-names": list(self.offers)}
        if self.cost_constraints:
            tree["cost-constraints"] = True
        if self.max_cost_types:
            tree["max-cost-types"] = self.max_cost_types
        if self.testable_cost_type_names:
            tree["testable-cost-type-names"] = list(self.testable_cost_type_names)
        if self.calendars:
            tree["calendar-attributes"] = calendar_attributes(self.calendars)
        return tree

    def check(self, directory: Directory, network_map: str | None, *, is_private: bool) -> None:
        """Raises ConfigurationError where a cost map that costs are taken from is of another metric or network map.

        Nor may it be private where the resource of these offers is not, which `is_private` says.
        """
        for name, offer in self.offers.items():
            if not isinstance(offer.costs, str):
                continue
            source = directory.find(offer.costs, CostMapResource)
            asked = offer.cost_type
            if source.is_private and not is_private:
                raise ConfigurationError(f"{name!r} would tell everybody what is in the private {source.id!r}")
            if source.network_map != network_map:
                raise ConfigurationError(f"{name!r} is between PIDs of {network_map!r}; {source.id!r} is not")
            if source.cost_type.cost_metric != asked.cost_metric or (
                source.cost_type.cost_mode == ORDINAL != asked.cost_mode
            ):
                raise ConfigurationError(
                    f"{name!r} cannot be made from {source.id!r}, which has {source.cost_type.key}"
                )

    def version(self, directory: Directory) -> tuple[object, ...]:
        """Differs whenever any of the costs do."""
        return tuple(offer.version(directory) for offer in self.offers.values())

    def _work(self, name: str) -> int:
        return _RANKING if self.offers[name].cost_type.cost_mode == ORDINAL else 1

    def whole(self, request: CostRequest, directory: Directory) -> CostMapResource | None:
        """The cost map that has the answer, if every pair is asked for; None where only a table of its own has it."""
        if request.is_multi_cost or request.is_calendared or request.tests:
            return None
        offer = self.offers[request.names[0]]
        if not isinstance(offer.costs, str) or offer.cost_type.cost_mode != NUMERICAL:
            return None
        return directory.find(offer.costs, CostMapResource)

    def table(
        self,
        request: CostRequest,
        sources: Sequence[str],
        destinations: Sequence[str],
        find: Callable[[CostMatrix | EndpointCosts], Grid],
        directory: Directory,
    ) -> CostTable:
        """What a request is answered with; `find` gives the costs of the pairs asked for.

        Raises ConfigurationError where an application has costs that their metric cannot have.
        """

        def made(costs: CostMatrix | EndpointCosts, name: str) -> Grid:
            grid = find(costs)
            if not isinstance(costs, CostMatrix):
                _check_numbers(grid, name, self.offers[name].cost_type.cost_metric)
            return ordered(grid, self.offers[name].cost_type)

        @cache
        def current(name: str) -> Grid:
            offer = self.offers[name]
            if isinstance(offer.costs, str):
                source = directory.find(offer.costs, CostMapResource)
                return ordered(find(source.costs), offer.cost_type, is_rank=source.cost_type.cost_mode == ORDINAL)
            return made(offer.costs, name)

        def costs(name: str, is_calendared: bool) -> Costs:
            if not is_calendared:
                return Costs(current(name))
            grids = tuple(made(one, name) for one in self.calendars[name].intervals)
            return Costs(grids[0], grids)

        indices = sorted({predicate.index for predicate in all_of(request.tests)})
        return CostTable(
            sources,
            destinations,
            [costs(name, wanted) for name, wanted in zip(request.names, request.calendared, strict=True)],
            request.is_multi_cost,
            request.tests,
            {index: current(request.tested[index]) for index in indices},
        )

    def check_size(self, request: CostRequest, pairs: int, most: int, member: str) -> None:
        """Raises RequestError where the work is that of more than `most` costs which are looked up and written."""
        work = 0
        for name, wanted in zip(request.names, request.calendared, strict=True):
            work += self._work(name) * (len(self.calendars[name].intervals) if wanted else 1)
        tested = [predicate.index for predicate in all_of(request.tests)]
        work += sum(self._work(request.tested[index]) for index in set(tested)) + len(tested) // _PREDICATES_PER_COST
        if pairs * work > most:
            raise RequestError(ErrorCode.INVALID_FIELD_VALUE, field=member)


def _check_numbers(grid: Grid, name: str, cost_metric: str) -> None:
    """Raises ConfigurationError for numbers that the metric cannot have (RFC 9439 sections 4 and 5)."""
    metric = metric_of(cost_metric)
    if metric is None or metric.rfc != 9439:
        return
    if any(cost < 0 for row in grid.rows() for cost in row):
        raise ConfigurationError(f"{name!r}: a cost of {cost_metric!r} that is negative")
    if metric.is_integer and not grid.is_integral:
        raise ConfigurationError(f"{name!r}: a cost of {cost_metric!r} that is no integer")
