"""The costs that a server has sent, as values to work with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

from alto._costvalues import is_number
from alto._json import Json
from alto.address import canonical_endpoint
from alto.calendar import CalendarResponse
from alto.costs import CostMatrix
from alto.errors import ConfigurationError
from alto.metrics import ORDINAL, prefers_higher
from alto.types import CostType, VTag


@frozen
class ReceivedCosts:
    """A cost map or the answer of an endpoint cost service.

    `place` in the methods is that of a cost type in `cost_types`, 0 where only one was asked for. Those methods raise
    ConfigurationError where there is none.
    """

    cost_types: tuple[CostType, ...]
    pairs: Mapping[str, Mapping[str, Json]] = field(hash=False, repr=False)
    """By source and destination what the response has: a number, a calendar, or an array of those for multi-cost.
    Endpoints are spelled as they were asked for, or else as RFC 5952 has them."""
    is_multi_cost: bool = False
    calendars: tuple[CalendarResponse | None, ...] = ()
    """Of each cost type; None for one with single costs."""
    vtag: VTag | None = None
    dependent_vtags: tuple[VTag, ...] = ()
    """The version of the network map whose PIDs the costs are between."""

    def value(self, source: str, destination: str, place: int = 0) -> Json:
        """What the response has for this pair and cost type; None for nothing."""
        self._check(place)
        row = self._row(source)
        value = row.get(destination) if row is not None else None
        if value is None and row is not None:
            value = row.get(_canonical(destination))
        if self.is_multi_cost:
            return None if value is None else value[place]
        return value

    def cost(self, source: str, destination: str, place: int = 0) -> float | None:
        """The cost; None where there is none, or a calendar."""
        value = self.value(source, destination, place)
        return float(value) if is_number(value) else None

    def calendar(self, source: str, destination: str, place: int = 0) -> tuple[Json, ...] | None:
        """A cost for each interval of the calendar, None in it where there is none; None for no calendar."""
        value = self.value(source, destination, place)
        if not self.calendars or self.calendars[place] is None:
            return None
        return tuple(value) if isinstance(value, list) else None

    def costs(self, place: int = 0) -> Iterator[tuple[str, str, float]]:
        """Each pair that has a single cost, with it."""
        self._check(place)
        for source, row in self.pairs.items():
            for destination, value in row.items():
                cost = value[place] if self.is_multi_cost else value
                if is_number(cost):
                    yield source, destination, float(cost)

    def matrix(self, place: int = 0) -> CostMatrix:
        """The costs between PIDs as a matrix. Raises ConfigurationError where sources or destinations are no PIDs."""
        rows: dict[str, dict[str, float | None]] = {source: {} for source in self.pairs}
        for source, destination, cost in self.costs(place):
            rows[source][destination] = cost
        return CostMatrix.from_mapping(rows)

    def ranks(self, place: int = 0) -> dict[str, dict[str, int]]:
        """The ordinal costs that follow from the costs: 1 for the best pair (RFC 7285 section 6.1.2)."""
        found = list(self.costs(place))
        best_first = sorted({cost for _, _, cost in found}, reverse=self._prefers_higher(place))
        rank_of = {cost: rank for rank, cost in enumerate(best_first, 1)}
        ranks: dict[str, dict[str, int]] = {}
        for source, destination, cost in found:
            ranks.setdefault(source, {})[destination] = rank_of[cost]
        return ranks

    def ranked(self, source: str, place: int = 0) -> list[tuple[str, float]]:
        """The destinations that have a cost from `source`, the best first, in the response's order where they tie."""
        is_higher_better = self._prefers_higher(place)
        row = self._row(source) or {}
        found: list[tuple[str, Any]] = [
            (name, value[place] if self.is_multi_cost else value) for name, value in row.items()
        ]
        known = [(name, float(cost)) for name, cost in found if is_number(cost)]
        sign = -1 if is_higher_better else 1
        return sorted(known, key=lambda pair: sign * pair[1])

    def _row(self, source: str) -> Mapping[str, Json] | None:
        row = self.pairs.get(source)
        return self.pairs.get(_canonical(source)) if row is None else row

    def _check(self, place: int) -> None:
        if not 0 <= place < len(self.cost_types):
            raise ConfigurationError(f"there are {len(self.cost_types)} cost types, and none at {place}")

    def _prefers_higher(self, place: int) -> bool:
        self._check(place)
        cost_type = self.cost_types[place]
        return cost_type.cost_mode != ORDINAL and prefers_higher(cost_type.cost_metric)


def _canonical(text: str) -> str:
    try:
        return canonical_endpoint(text)
    except ValueError:
        return text
