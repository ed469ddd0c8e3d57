"""Snapshots of files: any ALTO documents as JSON, and the CSV files that `ietf-p2p alto serve` reads."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from pathlib import Path

from alto import media
from alto._json import Json, JsonError, loads
from alto.costmap import parse_cost_map
from alto.costresult import ReceivedCosts
from alto.endpointcost import parse_endpoint_cost
from alto.endpointproperty import parse_endpoint_properties
from alto.errors import ConfigurationError, DecodeError
from alto.findings import Findings
from alto.lint.kinds import kind_of_tree
from alto.networkmap import parse_network_map
from alto.propertymap import parse_property_map
from alto.types import CostType
from interop.alto_sources import load_costs, load_network_map, load_properties
from interop.alto_viz.snapshot import CostView, NetworkMapView, PropertiesView, Snapshot

_ROUTING_COST = CostType("numerical", "routingcost")


class _Reading:
    """The documents of the files so far."""

    def __init__(self) -> None:
        self.findings = Findings(strict=False)
        self.network_maps: list[NetworkMapView] = []
        self.costs: list[CostView] = []
        self.properties: list[PropertiesView] = []

    def read(self, path: Path) -> None:
        """Take a file. Raises ConfigurationError."""
        match path.suffix.lower():
            case ".csv":
                self._csv(path)
            case ".json":
                self._json(path)
            case _:
                raise ConfigurationError(
                    f"{path}: a page is made of .json and .csv files, or of a server that has read others"
                )

    def _csv(self, path: Path) -> None:
        columns = _columns(path)
        if {"prefix", "pid"} <= columns:
            self.network_maps.append(NetworkMapView(path.stem, load_network_map(path)))
        elif {"source", "destination", "cost"} <= columns:
            self.costs.append(CostView(path.stem, ReceivedCosts((_ROUTING_COST,), load_costs(path).to_mapping())))
        elif "entity" in columns:
            self.properties.append(PropertiesView(path.stem, load_properties(path)))
        else:
            raise ConfigurationError(
                f"{path}, line 1: the columns prefix and pid are due, or source, destination and cost, or entity"
            )

    def _json(self, path: Path) -> None:
        try:
            tree = loads(path.read_bytes())
            self._document(tree, path)
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror or error}") from error
        except (JsonError, DecodeError) as error:
            raise ConfigurationError(f"{path}: {error}") from error

    def _document(self, tree: Json, path: Path) -> None:
        kind, findings = kind_of_tree(tree), self.findings
        match kind:
            case media.NETWORK_MAP:
                parsed = parse_network_map(tree, findings)
                name = parsed.vtag.resource_id if parsed.vtag is not None else path.stem
                self.network_maps.append(NetworkMapView(name, parsed.network_map, parsed.vtag))
            case media.COST_MAP:
                self._costs(parse_cost_map(tree, findings), path)
            case media.ENDPOINT_COST:
                self._costs(parse_endpoint_cost(tree, findings), path)
            case media.PROPERTY_MAP:
                found = parse_property_map(tree, findings)
                self.properties.append(PropertiesView(path.stem, found.property_map.to_json(), found.vtag))
            case media.ENDPOINT_PROPERTIES:
                self.properties.append(PropertiesView(path.stem, parse_endpoint_properties(tree, findings).properties))
            case _:
                raise ConfigurationError(
                    f"{path}: {kind or 'no ALTO document'}, where maps, costs or properties are due"
                )

    def _costs(self, costs: ReceivedCosts, path: Path) -> None:
        used = costs.dependent_vtags[0].resource_id if costs.dependent_vtags else None
        self.costs += [CostView(path.stem, costs, used, place) for place in range(len(costs.cost_types))]


def _columns(path: Path) -> set[str]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return {name.strip().lower() for name in next(csv.reader(file), [])}
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{path}: no CSV: {error}") from error


def snapshot_of_files(paths: Sequence[Path]) -> Snapshot:
    """What some files say: network maps, costs and properties, in ALTO's JSON or in CSV.

    Of JSON the best is made, and the findings say what was wrong. Raises ConfigurationError with one line for what is
    of no use.
    """
    reading = _Reading()
    for path in paths:
        reading.read(path)
    return Snapshot(
        ", ".join(path.name for path in paths),
        time.time(),
        reading.network_maps,
        reading.costs,
        reading.properties,
        reading.findings.items,
    )
