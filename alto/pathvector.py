"""Path vectors as a client has them: asked for, read, and made use of (RFC 9275)."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from attrs import frozen

from alto import media
from alto._json import Json
from alto._pathvectorreader import Cells, PathVectorMessage, PathVectorReader, split_path_vector
from alto.address import canonical_endpoint
from alto.calendar import CalendarResponse
from alto.errors import ConfigurationError
from alto.findings import Findings
from alto.ird import ResourceEntry
from alto.metrics import PATH_VECTOR
from alto.paths import MAX_RESERVABLE_BANDWIDTH, PERSISTENT_ENTITY_ID
from alto.types import CostType, VTag

__all__ = [
    "Flow",
    "PathVector",
    "PathVectorMessage",
    "endpoint_flow",
    "parse_path_vector",
    "path_vector_params",
    "read_path_vector",
    "split_path_vector",
]

Flow: TypeAlias = tuple[str, str]
"""A source and a destination: two PIDs, or two typed endpoint addresses."""


@frozen
class PathVector:
    """Which elements of the network flows go through, and what these elements are like.

    `interval`, in the methods, is that of a calendar; without calendar there is only the first. Raises KeyError for a
    flow, and IndexError for an interval, that is not there.
    """

    vtag: VTag | None
    """The version of the path vectors; None only where a lenient reader found none."""
    dependent_vtags: tuple[VTag, ...]
    """The network map that the PIDs are of; empty between endpoints."""
    property_vtags: tuple[VTag, ...]
    """What the properties depend on: the path vectors, and the property maps of persistent elements."""
    cost_types: tuple[CostType, ...]
    intervals: tuple[Mapping[Flow, tuple[str, ...]], ...]
    """The path of each flow, as the names of the elements in the order of traversal: a mapping for each interval."""
    costs: Mapping[tuple[str, str], Mapping[Flow, Json]]
    """The costs of the other cost types, by mode and metric. A calendar is an array."""
    properties: Mapping[str, Mapping[str, Json]]
    """The properties of each element by its name, which means nothing beyond this answer or update stream."""
    calendars: tuple[CalendarResponse, ...] = ()

    @property
    def paths(self) -> Mapping[Flow, tuple[str, ...]]:
        """The paths now, or in the first interval."""
        return self.intervals[0]

    def bandwidth(self, element: str) -> float | None:
        """The bits a second that can be reserved for all that goes through an element; None where that is not said."""
        value = self.properties[element].get(MAX_RESERVABLE_BANDWIDTH)
        return None if value is None else float(value)

    def persistent_id(self, element: str) -> tuple[str, str] | None:
        """The property map that knows an element for longer, and the entity to ask it about (section 6.4.2)."""
        value = self.properties[element].get(PERSISTENT_ENTITY_ID)
        if value is None:
            return None
        resource_id, _, entity = value.partition(".")
        return resource_id, f".{entity}"

    def bottleneck(self, source: str, destination: str, *, interval: int = 0) -> tuple[str, float] | None:
        """The element that limits a flow that is alone, and its bandwidth; None where nothing is known to."""
        path = self.intervals[interval][source, destination]
        known = [(limit, name) for name in path if (limit := self.bandwidth(name)) is not None]
        if not known:
            return None
        limit, name = min(known, key=lambda one: one[0])
        return name, limit

    def shared(self, *, interval: int = 0) -> dict[str, tuple[Flow, ...]]:
        """The elements that more than one flow goes through, with these flows."""
        flows: dict[str, list[Flow]] = {}
        for flow, path in self.intervals[interval].items():
            for name in dict.fromkeys(path):
                flows.setdefault(name, []).append(flow)
        return {name: tuple(through) for name, through in flows.items() if len(through) > 1}

    def fair_rates(self, flows: Iterable[Flow] | None = None, *, interval: int = 0) -> dict[Flow, float]:
        """The bits a second of each flow when all of them go on at once and share what they share max-min fairly.

        No flow can have more without one having less that has no more than it. A flow that nothing limits has
        infinity. `flows` are those that there will be, all that have a path if left out.
        """
        paths = self.intervals[interval]
        chosen = {flow: dict.fromkeys(paths[flow]) for flow in (paths if flows is None else flows)}
        through: dict[str, list[Flow]] = {}
        for flow, path in chosen.items():
            for name in path:
                through.setdefault(name, []).append(flow)
        left = {name: limit for name in through if (limit := self.bandwidth(name)) is not None}
        waiting = {name: len(through[name]) for name in left}
        # What an element has for each flow never falls while flows with less get their rates: an entry that is out of
        # date is too small, and comes back in its right place.
        queue = [(left[name] / count, name) for name, count in waiting.items()]
        heapq.heapify(queue)
        rates: dict[Flow, float] = {}
        while queue:
            share, name = heapq.heappop(queue)
            if not waiting[name]:
                continue
            current = left[name] / waiting[name]
            if current > share:
                heapq.heappush(queue, (current, name))
                continue
            for flow in through[name]:
                if flow not in rates:
                    rates[flow] = share
                    for other in chosen[flow].keys() & left.keys():
                        left[other] = max(left[other] - share, 0.0)
                        waiting[other] -= 1
        return {flow: rates.get(flow, math.inf) for flow in chosen}


def path_vector_params(
    entry: ResourceEntry,
    sources: Sequence[str],
    destinations: Sequence[str],
    property_names: Sequence[str] = (),
    *,
    cost_types: Sequence[CostType] = (),
    is_calendared: bool = False,
) -> dict[str, Json]:
    """What to post to a path vector resource (sections 7.2.3 and 7.3.3).

    An empty list of PIDs means all, an empty list of endpoints this client. `cost_types` are others to have with the
    path vectors (RFC 8189). Raises ConfigurationError for what the entry does not offer.
    """
    offered = entry.capabilities.get("ane-property-names", ())
    for name in property_names:
        if name not in offered:
            raise ConfigurationError(f"{entry.id!r} has no property {name!r:.80} of its elements")
    path_vector = CostType(*PATH_VECTOR)
    asked = [path_vector, *cost_types]
    tree: dict[str, Json] = {}
    if cost_types:
        if len(asked) > int(entry.capabilities.get("max-cost-types", 0)):
            raise ConfigurationError(f"{entry.id!r} cannot be asked for {len(asked)} cost types at once")
        tree["multi-cost-types"] = [_key_json(cost_type) for cost_type in asked]
    else:
        tree["cost-type"] = _key_json(path_vector)
    ends = {"srcs": list(dict.fromkeys(sources)), "dsts": list(dict.fromkeys(destinations))}
    if entry.accepts == media.ENDPOINT_COST_PARAMS:
        if not sources and not destinations:
            raise ConfigurationError("a source or a destination is due (RFC 7285 section 11.5.1.3)")
        tree["endpoints"] = {member: names for member, names in ends.items() if names}
    else:
        tree["pids"] = ends
    if is_calendared:
        if "calendar-attributes" not in entry.capabilities:
            raise ConfigurationError(f"{entry.id!r} has no calendars")
        tree["calendared"] = [True] * len(asked)
    if property_names:
        tree["ane-property-names"] = list(dict.fromkeys(property_names))
    return tree


def parse_path_vector(
    content_type: str,
    body: bytes,
    findings: Findings,
    *,
    entry: ResourceEntry | None = None,
    asked: Mapping[str, Json] | None = None,
) -> PathVector:
    """Read the response of a path vector resource: both parts, and each element of each path (sections 7.2.6, 7.3.6).

    With its `entry` in the IRD and with what was `asked`, the response is held against them. Raises DecodeError where
    a part is missing, whatever the findings; else what they raise.
    """
    return read_path_vector(split_path_vector(content_type, body, findings, entry), findings, entry=entry, asked=asked)


def read_path_vector(
    message: PathVectorMessage,
    findings: Findings,
    *,
    entry: ResourceEntry | None = None,
    asked: Mapping[str, Json] | None = None,
) -> PathVector:
    """The same from the JSON of both parts."""
    reader = PathVectorReader(message.root_type, findings, entry, asked or {})
    vtag, dependent = reader.read_meta(message.root_id, message.root)
    cells = reader.read_cells(message.root)
    described, property_vtags = reader.read_properties(message.properties, vtag)
    return PathVector(
        vtag,
        dependent,
        property_vtags,
        reader.cost_types,
        tuple(_paths(cells, reader.cost_types)),
        {
            cost_type.key: {flow: values[index] for flow, values in cells.items() if values[index] is not None}
            for index, cost_type in enumerate(reader.cost_types)
            if cost_type.key != PATH_VECTOR
        },
        described,
        tuple(reader.calendars),
    )


def _paths(cells: Cells, cost_types: Sequence[CostType]) -> Iterator[Mapping[Flow, tuple[str, ...]]]:
    """The paths in each interval, an empty mapping where none were asked for."""
    index = next((index for index, cost_type in enumerate(cost_types) if cost_type.key == PATH_VECTOR), None)
    found = (
        {flow: values[index] for flow, values in cells.items() if values[index] is not None}
        if index is not None
        else {}
    )
    for interval in range(max(map(len, found.values()), default=1)):
        yield {
            flow: paths[interval]
            for flow, paths in found.items()
            if interval < len(paths) and paths[interval] is not None
        }


def _key_json(cost_type: CostType) -> dict[str, Json]:
    return {"cost-mode": cost_type.cost_mode, "cost-metric": cost_type.cost_metric}


def endpoint_flow(source: str, destination: str) -> Flow:
    """The flow between two endpoints, as `PathVector` names it. Raises ValueError for what is no endpoint address."""
    return canonical_endpoint(source), canonical_endpoint(destination)
