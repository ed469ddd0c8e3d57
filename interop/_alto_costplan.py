"""The cost maps of a network map, and all that is made from them: by filter, between endpoints, with path vectors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from alto.calendar import Calendar
from alto.costmap import CostMapResource, FilteredCostMapResource
from alto.costoffers import CostOffer
from alto.costs import CostMatrix
from alto.endpointcost import EndpointCostResource
from alto.errors import ConfigurationError
from alto.metrics import NUMERICAL, ORDINAL, prefers_higher
from alto.networkmap import NetworkMap
from alto.paths import MAX_RESERVABLE_BANDWIDTH, PERSISTENT_ENTITY_ID
from alto.pathvectorresources import PathOffer, PathVectorCostMapResource, PathVectorEndpointCostResource
from alto.ports import Resource
from alto.topology import EndpointPaths, Topology
from alto.types import CostType
from interop._alto_costfiles import cost_columns, load_cost_columns, load_intervals
from interop._alto_filecache import FileCache
from interop._alto_mistakes import part
from interop.alto_config import CalendarConfig, CostConfig, NetworkMapConfig

MAX_MADE_UP = 1000
"""PIDs up to which costs are made up where there are none: a cost map of some ten megabytes."""
ROUTINGCOST = "routingcost"
_MADE_UP = "made up: 0 within a PID, 1 to another"


@frozen
class _Metric:
    """The costs of one metric."""

    where: str
    name: str
    costs: CostMatrix
    about: str = ""
    calendar: Calendar | None = None
    description: str | None = None
    context: Mapping[str, Any] | None = None

    def cost_type(self, mode: str) -> CostType:
        context = None if self.context is None else dict(self.context)
        return CostType(mode, self.name, self.description, context)


class CostPlanner:
    """Plans the resources of one network map after the other. `wall` is the Unix time."""

    def __init__(self, files: FileCache, wall: float) -> None:
        self._files = files
        self._wall = wall
        self._cost_types: dict[str, CostType] = {}
        self.changes: list[float] = []
        """Unix times from which on other costs hold."""

    def plan(
        self, config: NetworkMapConfig, network_map: NetworkMap, topology: Topology | None, *, is_made_up: bool
    ) -> list[tuple[Resource, str]]:
        """The resources, each with what there is to say of it; `is_made_up` if there has to be a routingcost.

        Raises ConfigurationError.
        """
        metrics = self._metrics(config, network_map)
        if config.paths is not None and topology is not None:
            metrics += _of_topology(config.paths.where, topology, {one.name for one in metrics})
        if is_made_up and ROUTINGCOST not in (one.name for one in metrics):
            metrics.append(_made_up(config, network_map))
        found: list[tuple[Resource, str]] = []
        offers: dict[str, CostOffer] = {}
        for metric in metrics:
            with part(metric.where):
                found += self._cost_maps(config, metric, offers)
        count = f"{len(offers)} cost types, by POST"
        names: dict[str, Any] = {"max_cost_types": len(offers), "cost_constraints": True}
        if offers:
            with part(config.where):
                found += [
                    (
                        FilteredCostMapResource(
                            f"{config.id}-costs", config.id, offers, is_private=config.is_private, **names
                        ),
                        count,
                    ),
                    (
                        EndpointCostResource(
                            f"{config.id}-endpoint-costs",
                            offers,
                            network_map=config.id,
                            is_private=config.is_private,
                            **names,
                        ),
                        count,
                    ),
                ]
        if topology is not None:
            found += _path_vectors(config, network_map, topology, offers)
        return found

    def _cost_maps(
        self, config: NetworkMapConfig, metric: _Metric, offers: dict[str, CostOffer]
    ) -> list[tuple[Resource, str]]:
        """The cost map of a metric in both modes; its cost types are put into `offers`."""
        resource_id = f"{config.id}-{metric.name.replace('.', '_')}"
        size = f"{len(metric.costs.sources)} x {len(metric.costs.destinations)} costs"
        ranks = metric.costs.ranks(prefers_higher=prefers_higher(metric.name))
        found: list[tuple[Resource, str]] = []
        for mode, suffix, costs in ((NUMERICAL, "", metric.costs), (ORDINAL, "-ordinal", ranks)):
            cost_type = metric.cost_type(mode)
            name = self._name(cost_type, config.id)
            resource = CostMapResource(
                resource_id + suffix, config.id, name, cost_type, costs, is_private=config.is_private
            )
            about = ", ".join(text for text in (size, metric.about) if text)
            found.append((resource, about if mode == NUMERICAL else size.replace("costs", "ranks")))
            offers[name] = CostOffer(cost_type, resource_id, metric.calendar)
        return found

    def _name(self, cost_type: CostType, map_id: str) -> str:
        """What the IRD calls a cost type; the same of another network map may have another description or context."""
        name = f"{cost_type.cost_mode[:3]}-{cost_type.cost_metric}"
        if self._cost_types.setdefault(name, cost_type).to_json() != cost_type.to_json():
            name = f"{name}:{map_id}"
        return name

    def _metrics(self, config: NetworkMapConfig, network_map: NetworkMap) -> list[_Metric]:
        columns: dict[Path, dict[str, str]] = {}
        for one in config.costs:
            if one.file is not None:
                columns.setdefault(one.file, {})[one.metric] = _column(one)
        costs: dict[str, CostMatrix] = {}
        for path, by_metric in columns.items():
            wanted = tuple(dict.fromkeys(by_metric.values()))
            made = self._load(path, wanted, network_map)
            costs |= {metric: made[column] for metric, column in by_metric.items()}
        return [self._metric(one, costs.get(one.metric), network_map) for one in config.costs]

    def _load(self, path: Path, columns: tuple[str, ...], network_map: NetworkMap) -> dict[str, CostMatrix]:
        return self._files.made(
            path, ("costs", columns, network_map.tag), lambda: load_cost_columns(path, columns, pids=network_map.pids)
        )

    def _metric(self, config: CostConfig, costs: CostMatrix | None, network_map: NetworkMap) -> _Metric:
        calendar = None
        about = ""
        if config.calendar is not None:
            calendar, present = self._calendar(config.calendar, network_map, is_present_needed=costs is None)
            costs = costs or present
            about = f"{len(calendar.intervals)} intervals of {calendar.time_interval_size} s"
        assert costs is not None
        return _Metric(config.where, config.metric, costs, about, calendar, config.description, config.context)

    def _calendar(
        self, config: CalendarConfig, network_map: NetworkMap, *, is_present_needed: bool
    ) -> tuple[Calendar, CostMatrix]:
        """The calendar that holds now, and the costs of its present interval."""
        path, wanted = config.file, config.columns or None
        intervals = self._files.made(
            path,
            ("calendar", wanted, network_map.tag),
            lambda: load_intervals(path, wanted, pids=network_map.pids),
        )
        size = int(config.interval) if config.interval.is_integer() else config.interval
        if config.start > self._wall:
            raise ConfigurationError(f"{config.where}.start: a calendar begins in the past, and goes on forever")
        period = size * len(intervals)
        start = config.start + (self._wall - config.start) // period * period
        place = min(int((self._wall - start) // size), len(intervals) - 1)
        self.changes.append(start + ((place + 1) * size if is_present_needed else period))
        with part(config.where):
            return Calendar(intervals, size, start, config.repeated), intervals[place]


def _column(config: CostConfig) -> str:
    """The column of a CSV file that has the costs."""
    assert config.file is not None
    if config.column is not None:
        return config.column
    return config.metric if config.metric in cost_columns(config.file) else "cost"


def _of_topology(where: str, topology: Topology, known: set[str]) -> list[_Metric]:
    """The costs that a topology has, but for those that are given."""
    found: list[_Metric] = []
    if ROUTINGCOST not in known:
        found.append(_Metric(where, ROUTINGCOST, topology.costs(), "weights of the shortest paths"))
    if "hopcount" not in known:
        found.append(_Metric(where, "hopcount", topology.costs(hops=True)))
    return found


def _made_up(config: NetworkMapConfig, network_map: NetworkMap) -> _Metric:
    names: Sequence[str] = network_map.names
    if config.ip_location == "systems":  # by the ten thousand
        names = [name for name in names if not name.startswith("AS")]
    if len(names) > MAX_MADE_UP:
        with part(config.where):
            raise ConfigurationError(f"no costs are given, and {len(names)} PIDs are too many to make some up")
    rows = [[float(source != name) for name in names] for source in names]
    return _Metric(config.where, ROUTINGCOST, CostMatrix(names, names, rows), _MADE_UP)


def _path_vectors(
    config: NetworkMapConfig, network_map: NetworkMap, topology: Topology, offers: Mapping[str, CostOffer]
) -> list[tuple[Resource, str]]:
    assert config.paths is not None
    with part(config.paths.where):
        unknown = [name for name in topology.attachments if name not in network_map.pids]
        if unknown:
            raise ConfigurationError(f"{config.paths.topology}: the network map has no PID {unknown[0]!r}")
        persistent = [node.persistent_entity_id for node in topology.nodes.values()]
        owners = tuple(dict.fromkeys(text.partition(".ane:")[0] for text in persistent if text is not None))
        names = (MAX_RESERVABLE_BANDWIDTH, *([PERSISTENT_ENTITY_ID] if owners else []))
        # The network map decides which addresses are in a PID.
        whole = attrs.evolve(topology, pids=network_map.pids, default_pid=None)
        common: dict[str, Any] = {
            "is_private": config.is_private or bool(config.paths.is_private),
            "costs": offers,
            "max_cost_types": len(offers) + 1,
            "testable_cost_type_names": tuple(offers),
        }
        about = f"{len(topology.nodes)} nodes, {len(topology.links)} links"
        pids = PathOffer(topology, names, owners)
        endpoints = PathOffer(EndpointPaths(whole), names, owners)
        return [
            (PathVectorCostMapResource(f"{config.id}-pv", config.id, pids, **common), about),
            (
                PathVectorEndpointCostResource(f"{config.id}-endpoint-pv", endpoints, network_map=config.id, **common),
                about,
            ),
        ]
