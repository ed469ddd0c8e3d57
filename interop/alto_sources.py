"""Where an ALTO server's maps come from: CSV, ALTO's own JSON, MaxMind databases, and public IP data from npm.

Every mistake in a file is a ConfigurationError of one sentence that names the file, and the line where there is one.
"""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import maxminddb

import alto
from alto._json import Json, JsonError, loads
from alto.address import ADDRESS_TYPES, parse_prefix
from alto.errors import ConfigurationError
from alto.networkmap import NetworkMap
from alto.types import is_pid_name
from interop._alto_ip_location import ATTRIBUTION, ip_location_map

__all__ = [
    "ATTRIBUTION",
    "SAMPLE",
    "ip_location_map",
    "load_costs",
    "load_network_map",
    "load_properties",
    "pid_name",
]

SAMPLE = Path(alto.__file__).parent / "sample"
"""A small provider's network-map.csv, the same as network-map.json, costs.csv and properties.csv."""

Costs = dict[str, dict[str, float]]
"""By source and destination PID: the cost."""
Properties = dict[str, dict[str, str]]
"""By entity identifier and property name: the value."""

_NO_NAME = re.compile(r"[^A-Za-z0-9\-:@_]+")


def load_network_map(path: Path, *, default_pid: str | None = None, field: str | None = None) -> NetworkMap:
    """The network map in a file: .csv, .json or .mmdb.

    A CSV file has the columns `prefix` and `pid`, in either order, a JSON file is what a network map resource answers.
    `field` says which member of a MaxMind database's records names the PID, as in `country.iso_code`; networks whose
    record lacks it are left out. Addresses that would be in no PID go to `default_pid`. Raises ConfigurationError.
    """
    groups: dict[str, dict[str, list[str]]]
    with _reading(path):
        match path.suffix.lower():
            case ".csv":
                groups = _pids_of_csv(path)
            case ".json":
                groups = _member(path, "network-map")
                _check_groups(path, groups)
            case ".mmdb":
                if field is None:
                    raise ConfigurationError(f"{path}: which field of its records names the PID?")
                groups = _pids_of_database(path, field)
            case _:
                raise ConfigurationError(f"{path}: a network map is read from .csv, .json and .mmdb")
    try:
        return NetworkMap(groups, default_pid=default_pid)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def load_costs(path: Path) -> Costs:
    """The costs in a file: .csv with the columns `source`, `destination` and `cost`, or .json, a cost map's answer.

    Raises ConfigurationError; whether the PIDs exist is not known here.
    """
    with _reading(path):
        if path.suffix.lower() == ".csv":
            return _costs_of_csv(path)
        if path.suffix.lower() == ".json":
            return _costs_of_json(path)
    raise ConfigurationError(f"{path}: costs are read from .csv and .json")


def load_properties(path: Path) -> Properties:
    """The properties in a CSV file: the column `entity`, and one for each property; an empty cell is no property.

    Raises ConfigurationError; whether entities and properties are well named is not known here.
    """
    found: Properties = {}
    with _reading(path):
        columns, rows = _rows(path, ("entity",))
        if len(set(columns)) != len(columns):
            raise ConfigurationError(f"{path}, line 1: a column is there twice")
        for line, row in rows:
            values = dict(zip(columns, row, strict=True))
            entity = values.pop("entity")
            if entity in found:
                raise ConfigurationError(f"{path}, line {line}: the entity {entity} is there already")
            found[entity] = {name: value for name, value in values.items() if value}
    return found


def pid_name(value: object, prefix: str = "") -> str:
    """A PID name out of whatever a database holds: what may not be in one becomes "_", what is too long is cut."""
    return (prefix + _NO_NAME.sub("_", str(value)))[:64]


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 at octet {error.start}") from error
    except csv.Error as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _rows(path: Path, due: Sequence[str]) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The columns of a CSV file, among which those that are due have to be, and its rows with their line numbers."""
    # A spreadsheet may put a byte order mark in front.
    reader = csv.reader(path.read_text("utf-8-sig").splitlines(), strict=True)
    columns = [name.strip().lower() for name in next(reader, [])]
    if not set(due) <= set(columns):
        raise ConfigurationError(f"{path}, line 1: the columns {' and '.join(due)} are due, not {columns}")

    def rows() -> Iterator[tuple[int, list[str]]]:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(columns):
                raise ConfigurationError(
                    f"{path}, line {reader.line_num}: {len(columns)} cells are due, there are {len(row)}"
                )
            yield reader.line_num, [cell.strip() for cell in row]

    return columns, rows()


def _pids_of_csv(path: Path) -> dict[str, dict[str, list[str]]]:
    columns, rows = _rows(path, ("prefix", "pid"))
    prefix_at, pid_at = columns.index("prefix"), columns.index("pid")
    groups: dict[str, dict[str, list[str]]] = {}
    places: dict[tuple[int, int, int], tuple[str, int]] = {}
    for line, row in rows:
        prefix, pid = row[prefix_at], row[pid_at]
        family = 6 if ":" in prefix else 4
        if not is_pid_name(pid):
            raise ConfigurationError(
                f"{path}, line {line}: {pid!r} is no PID name: 1 to 64 of A-Z a-z 0-9 - : @ _ are one"
            )
        try:
            key = (family, *parse_prefix(prefix, family))
        except ValueError as error:
            raise ConfigurationError(f"{path}, line {line}: {error}") from error
        other, before = places.setdefault(key, (pid, line))
        if other != pid:
            raise ConfigurationError(f"{path}, line {line}: {prefix} is in the PID {other!r} already, by line {before}")
        groups.setdefault(pid, {}).setdefault(ADDRESS_TYPES[family], []).append(prefix)
    return groups


def _member(path: Path, name: str) -> Any:
    try:
        tree: Json = loads(path.read_bytes())
    except JsonError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    if not isinstance(tree, dict) or not isinstance(tree.get(name), dict):
        raise ConfigurationError(f"{path}: an object with the member {name!r} is due, as ALTO servers answer it")
    return tree[name]


def _check_groups(path: Path, groups: Json) -> None:
    for name, group in groups.items():
        if not isinstance(group, dict) or not all(isinstance(prefixes, list) for prefixes in group.values()):
            raise ConfigurationError(f"{path}: the PID {name!r} is to be an object with an array for each address type")


def _costs_of_csv(path: Path) -> Costs:
    due = ("source", "destination", "cost")
    columns, rows = _rows(path, due)
    source_at, destination_at, cost_at = (columns.index(name) for name in due)
    costs: Costs = {}
    for line, row in rows:
        source, destination = row[source_at], row[destination_at]
        try:
            cost = float(row[cost_at])
        except ValueError:
            cost = math.nan
        if not math.isfinite(cost):
            raise ConfigurationError(f"{path}, line {line}: {row[cost_at]!r} is no cost: a number is due")
        to = costs.setdefault(source, {})
        if destination in to:
            raise ConfigurationError(f"{path}, line {line}: the cost from {source} to {destination} is there already")
        to[destination] = cost
    return costs


def _costs_of_json(path: Path) -> Costs:
    costs = _member(path, "cost-map")
    for source, to in costs.items():
        if not isinstance(to, dict):
            raise ConfigurationError(f"{path}: the costs from {source} are to be an object")
        for destination, cost in to.items():
            if isinstance(cost, bool) or not isinstance(cost, int | float):
                raise ConfigurationError(f"{path}: the cost from {source} to {destination} is to be a number")
    found: Costs = costs
    return found


def _pids_of_database(path: Path, field: str) -> dict[str, dict[str, list[str]]]:
    """The networks of a MaxMind database by the value of `field`, whose parts are separated by dots."""
    groups: dict[str, dict[str, list[str]]] = {}
    names: dict[str, str] = {}
    first: Any = None
    try:
        with maxminddb.open_database(path) as database:
            for network, record in database:
                first = record if first is None else first
                value = _value(record, field)
                if value is None:
                    continue
                if (name := names.get(value)) is None:
                    name = names[value] = pid_name(value)
                kind = "ipv4" if network.version == 4 else "ipv6"
                groups.setdefault(name, {}).setdefault(kind, []).append(str(network))
    except (maxminddb.InvalidDatabaseError, ValueError) as error:
        raise ConfigurationError(f"{path}: no MaxMind database: {error}") from error
    if not groups:
        there = ", ".join(first) if isinstance(first, dict) else "nothing"
        raise ConfigurationError(f"{path}: no record has the field {field!r}; the first one has {there}")
    return groups


def _value(record: Any, field: str) -> str | None:
    for part in field.split("."):
        if not isinstance(record, dict) or part not in record:
            return None
        record = record[part]
    return str(record) if isinstance(record, str | int) and record != "" else None
