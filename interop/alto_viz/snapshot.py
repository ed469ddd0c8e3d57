"""What a page shows, as values, and as the JSON that the page reads."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from itertools import islice

from attrs import field, frozen

from alto._json import Json
from alto.address import FAMILIES
from alto.calendar import CalendarResponse
from alto.costresult import ReceivedCosts
from alto.findings import Finding
from alto.metrics import ORDINAL, metric_of, prefers_higher, statistic_of
from alto.networkmap import NetworkMap
from alto.types import CostType, VTag
from interop.alto_viz.packing import pack_numbers, pack_prefixes

MAX_PREFIXES = 2_000_000
"""Prefixes of all network maps: some 20 MB of page, which a browser opens in seconds. The Internet has half of it."""
MAX_SIDE = 2_000
"""Sources or destinations of one heat map."""
MAX_CELLS = 12_000_000
"""Costs of a page, intervals counted singly: 96 MB in the browser. Three whole maps of 2,000 by 2,000."""
MAX_ENTITIES = 50_000
"""Entities of all property maps."""
MAX_FINDINGS = 500
"""Deviations that are listed."""
MAX_TEXT = 300
"""Characters of a text that a server chose."""


@frozen
class NetworkMapView:
    """A network map with its resource ID."""

    id: str
    network_map: NetworkMap
    vtag: VTag | None = None


@frozen
class CostView:
    """The costs of one type, between PIDs or between endpoints."""

    id: str
    costs: ReceivedCosts
    network_map: str | None = None
    """The ID of the network map whose PIDs they are between."""
    place: int = 0
    """Of the cost type in `costs`."""
    description: str | None = None
    question: Json = None
    """What was posted for them, None for a GET."""

    @property
    def cost_type(self) -> CostType:
        """What the costs are."""
        return self.costs.cost_types[self.place]

    @property
    def calendar(self) -> CalendarResponse | None:
        """Set where each cost is a list of one for each interval."""
        return self.costs.calendars[self.place] if self.costs.calendars else None


@frozen
class PropertiesView:
    """Properties by entity identifier, such as `ipv4:192.0.2.0/24`."""

    id: str
    entities: Mapping[str, Mapping[str, Json]] = field(repr=False)
    vtag: VTag | None = None


@frozen
class Snapshot:
    """What a server or some files said at one moment."""

    source: str
    """The URL, or the names of the files."""
    made: float
    """Unix time."""
    network_maps: Sequence[NetworkMapView] = ()
    costs: Sequence[CostView] = ()
    properties: Sequence[PropertiesView] = ()
    findings: Sequence[Finding] = ()
    """Where it deviates from the RFCs."""
    failures: Sequence[str] = ()
    """What could not be had, and why: a sentence each."""

    @property
    def is_empty(self) -> bool:
        """There is nothing to show."""
        return not (self.network_maps or self.costs or self.properties)

    def to_json(self) -> dict[str, Json]:
        """All that the page shows, within the limits of this module, and how much those leave out."""
        return {
            "source": self.source,
            "made": self.made,
            "maps": _network_maps(self.network_maps),
            "costs": _costs(self.costs),
            "properties": _properties(self.properties),
            "findings": [_finding(finding) for finding in self.findings[:MAX_FINDINGS]],
            "findingsLeftOut": max(0, len(self.findings) - MAX_FINDINGS),
            "failures": [_short(text) for text in self.failures[:MAX_FINDINGS]],
        }


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _vtag(vtag: VTag | None) -> Json:
    return None if vtag is None else {"id": _short(vtag.resource_id), "tag": _short(vtag.tag)}


def _finding(finding: Finding) -> Json:
    return [finding.level, _short(finding.path), _short(finding.text), finding.rfc, finding.section]


def _network_maps(views: Sequence[NetworkMapView]) -> list[Json]:
    budget, found = MAX_PREFIXES, list[Json]()
    for view in views:
        families: dict[str, Json] = {}
        for family in view.network_map.table.families:
            packed = pack_prefixes(view.network_map.table, family, budget)
            budget -= packed.count
            families[str(family)] = {"count": packed.count, "leftOut": packed.left_out, "data": packed.data}
        others = {
            kind: len(prefixes)
            for group in view.network_map.pids.values()
            for kind, prefixes in group.items()
            if kind not in FAMILIES
        }
        found.append(
            {
                "id": view.id,
                "vtag": _vtag(view.vtag),
                "pids": [_short(name) for name in view.network_map.names],
                "families": families,
                "otherTypes": [_short(kind) for kind in islice(others, 20)],
            }
        )
    return found


def _costs(views: Sequence[CostView]) -> list[Json]:
    budget, found = MAX_CELLS, list[Json]()
    for view in views:
        tree = _cost(view, budget)
        budget -= tree["intervals"] * len(tree["sources"]) * len(tree["destinations"])
        found.append(tree)
    return found


def _cost(view: CostView, budget: int) -> dict[str, Json]:
    pairs, cost_type = view.costs.pairs, view.cost_type
    # The sources come first, so that a pair's way back is on the other side of the diagonal.
    names = dict.fromkeys(name for row in pairs.values() for name in row)
    destinations = [name for name in pairs if name in names]
    destinations += [name for name in names if name not in pairs]
    shown, targets = list(pairs)[:MAX_SIDE], destinations[:MAX_SIDE]
    due = _intervals(view)
    intervals = min(due, budget // max(1, len(shown) * len(targets)))
    cells = array("d")
    for interval in range(intervals):
        _fill(cells, view, shown, targets, interval)
    packed = pack_numbers(cells)
    metric, calendar = metric_of(cost_type.cost_metric), view.calendar
    return {
        "id": _short(view.id),
        "map": view.network_map,
        "mode": cost_type.cost_mode,
        "metric": cost_type.cost_metric,
        "unit": metric.unit.replace("us", "µs") if metric is not None and cost_type.cost_mode != ORDINAL else "",
        "statistic": statistic_of(cost_type.cost_metric),
        "prefersHigher": cost_type.cost_mode != ORDINAL and prefers_higher(cost_type.cost_metric),
        "description": _short(view.description or cost_type.description or ""),
        "context": cost_type.cost_context if len(repr(cost_type.cost_context)) <= MAX_TEXT else None,
        "vtag": _vtag(view.costs.vtag),
        "vtags": [_vtag(vtag) for vtag in view.costs.dependent_vtags[:20]],
        "sources": [_short(name) for name in shown],
        "destinations": [_short(name) for name in targets],
        "leftOut": [len(pairs) - len(shown), len(destinations) - len(targets), due - intervals],
        "intervals": intervals,
        "calendar": None if calendar is None else _calendar(calendar),
        "scale": packed.scale,
        "cells": packed.data,
    }


def _calendar(calendar: CalendarResponse) -> Json:
    attributes = calendar.attributes
    return {"start": calendar.start, "size": attributes.time_interval_size, "repeated": calendar.repeated}


def _intervals(view: CostView) -> int:
    if view.calendar is None:
        return 1
    place = view.place if view.costs.is_multi_cost else None
    values = (value if place is None else value[place] for row in view.costs.pairs.values() for value in row.values())
    longest = max((len(value) for value in values if isinstance(value, list)), default=1)
    return max(1, min(longest, view.calendar.attributes.number_of_intervals))


def _fill(cells: array[float], view: CostView, sources: list[str], destinations: list[str], interval: int) -> None:
    nan = float("nan")
    is_multi_cost, place, is_calendar = view.costs.is_multi_cost, view.place, view.calendar is not None

    def number(value: Json) -> float:
        if is_multi_cost and isinstance(value, list):
            value = value[place] if place < len(value) else None
        if is_calendar and isinstance(value, list):
            value = value[interval] if interval < len(value) else None
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else nan

    for source in sources:
        row = view.costs.pairs[source]
        if not is_multi_cost and not is_calendar:
            try:
                cells.extend(array("d", map(row.__getitem__, destinations)))
                continue
            except (KeyError, TypeError):  # some cost is missing
                pass
        cells.extend([number(row.get(name)) for name in destinations])


def _properties(views: Sequence[PropertiesView]) -> list[Json]:
    budget, found = MAX_ENTITIES, list[Json]()
    for view in views:
        entities = [[_short(text), dict(values)] for text, values in islice(view.entities.items(), budget)]
        budget -= len(entities)
        left_out = len(view.entities) - len(entities)
        found.append({"id": _short(view.id), "vtag": _vtag(view.vtag), "entities": entities, "leftOut": left_out})
    return found
