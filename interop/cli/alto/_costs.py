"""Costs on paper: a line for each pair, a matrix where it fits, an interval a line for calendars."""

from __future__ import annotations

import time
from collections.abc import Iterator

from alto._json import Json
from alto.calendar import CalendarResponse
from alto.costresult import ReceivedCosts
from alto.metrics import ORDINAL, metric_of
from alto.types import CostType
from interop.cli import _show
from interop.cli.alto._ends import Ends, shown

_COLUMN = 9
# Destinations of a matrix: more cannot be read.
_MOST = 24


def costs_json(costs: ReceivedCosts) -> dict[str, Json]:
    """What `--json` prints."""
    tree: dict[str, Json] = {
        "cost-types": [cost_type.to_json() for cost_type in costs.cost_types],
        "costs": {source: dict(row) for source, row in costs.pairs.items()},
        "dependent-vtags": [vtag.to_json() for vtag in costs.dependent_vtags],
    }
    if any(calendar is not None for calendar in costs.calendars):
        tree["calendars"] = [None if each is None else _calendar_json(each) for each in costs.calendars]
    return tree


def _calendar_json(calendar: CalendarResponse) -> dict[str, Json]:
    return {"start": calendar.start, **calendar.attributes.to_json(), "repeated": calendar.repeated}


def show_costs(costs: ReceivedCosts, ends: Ends) -> None:
    """Print the costs between these ends: those that are asked for, and a dash where there is none."""
    pairs = list(_pairs(costs, ends))
    calendars = [place for place, calendar in enumerate(costs.calendars) if calendar is not None]
    for place in calendars:
        _show_calendar(costs, place, pairs)
    single = [place for place in range(len(costs.cost_types)) if place not in calendars]
    sources = list(dict.fromkeys(source for source, _ in pairs))
    destinations = list(dict.fromkeys(destination for _, destination in pairs))
    if len(single) == 1 and _fits(sources, destinations):
        _show_matrix(costs, single[0], sources, destinations)
    elif single:
        headers = ["FROM", "TO", *(heading(costs.cost_types[place]) for place in single)]
        rows: list[list[_show.Cell]] = [
            [shown(source), shown(destination), *(_cell(costs, source, destination, place) for place in single)]
            for source, destination in pairs
        ]
        _show.table(headers, rows, right=range(2, len(headers)))
    if not pairs:
        _show.line("no costs", "dim")


def heading(cost_type: CostType) -> str:
    """A metric with its unit; that it is a rank, where it is."""
    metric = metric_of(cost_type.cost_metric)
    if cost_type.cost_mode == ORDINAL:
        return f"{cost_type.cost_metric.upper()} (rank)"
    unit = f" ({metric.unit})" if metric is not None and metric.unit else ""
    return f"{cost_type.cost_metric.upper()}{unit}"


def _pairs(costs: ReceivedCosts, ends: Ends) -> Iterator[tuple[str, str]]:
    for source in ends.sources or costs.pairs:
        row = costs.pairs.get(source, {})
        for destination in ends.destinations or row:
            yield source, destination


def _cell(costs: ReceivedCosts, source: str, destination: str, place: int) -> _show.Cell:
    value = costs.value(source, destination, place)
    return ("-", "dim") if value is None else _show.value_text(value)


def _fits(sources: list[str], destinations: list[str]) -> bool:
    """Whether a terminal has room for a matrix; programs like lines better."""
    if not _show.is_terminal() or len(sources) < 2 or not 2 <= len(destinations) <= _MOST:
        return False
    first = max(len(shown(source)) for source in sources)
    return first + sum(max(_COLUMN, len(shown(name)) + 3) for name in destinations) <= _show.width()


def _show_matrix(costs: ReceivedCosts, place: int, sources: list[str], destinations: list[str]) -> None:
    rows: list[list[_show.Cell]] = [
        [(shown(source), "bold"), *(_cell(costs, source, destination, place) for destination in destinations)]
        for source in sources
    ]
    headers = ["FROM \\ TO", *map(shown, destinations)]
    _show.table(headers, rows, right=range(1, len(headers)), title=heading(costs.cost_types[place]))


def _show_calendar(costs: ReceivedCosts, place: int, pairs: list[tuple[str, str]]) -> None:
    calendar = costs.calendars[place]
    assert calendar is not None
    size = calendar.attributes.time_interval_size
    now = calendar.interval_at(time.time())
    rows: list[list[_show.Cell]] = []
    for source, destination in pairs:
        values = costs.calendar(source, destination, place)
        if values is None:
            rows.append([shown(source), shown(destination), "-", _cell(costs, source, destination, place), ""])
        for interval, value in enumerate(values or ()):
            start = None if calendar.start is None else calendar.start + interval * size
            style = "bold green" if interval == now else ""
            words = [shown(source), shown(destination), _show.local_time(start), _show.value_text(value)]
            rows.append([*((word, style) for word in words), ("← now" if interval == now else "", style)])
    headers = ["FROM", "TO", "BEGINS (local time)", heading(costs.cost_types[place]), ""]
    _show.table(headers, rows, right=(3,))
    repeated = "" if calendar.repeated == 1 else f", {calendar.repeated} times in a row"
    ends = f", until {_show.local_time(calendar.end)}"
    _show.line(f"intervals of {_show.span(size)}{repeated}{ends}", "dim")
