"""Where an ALTO server's maps come from: CSV, ALTO's own JSON, MaxMind databases, and public IP data from npm.

Every mistake in a file is a ConfigurationError of one sentence that names the file, and the line where there is one.
"""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import maxminddb

import alto
from alto._json import Json
from alto.address import ADDRESS_TYPES, parse_prefix
from alto.cdni import Advertisement, parse_cdni
from alto.entities import guess_entity
from alto.errors import AltoError, ConfigurationError
from alto.findings import Findings
from alto.networkmap import NetworkMap
from alto.topology import Topology
from alto.topologyfile import parse_topology
from alto.types import is_pid_name, is_property_name
from interop._alto_costfiles import load_cost_columns, load_costs, load_intervals
from interop._alto_credentials import Credentials, load_credentials
from interop._alto_files import UnevenError, chunks, member, reading, rows
from interop._alto_ip_location import ATTRIBUTION, ip_location_map

__all__ = [
    "ATTRIBUTION",
    "SAMPLE",
    "Credentials",
    "ip_location_map",
    "load_advertisements",
    "load_cost_columns",
    "load_costs",
    "load_credentials",
    "load_intervals",
    "load_network_map",
    "load_properties",
    "load_topology",
    "pid_name",
]

SAMPLE = Path(alto.__file__).parent / "sample"
"""A small provider's files, of every kind that is read here, and alto.toml, the configuration of a server of them."""

Properties = dict[str, dict[str, Json]]
"""By entity identifier and property name: the value."""
Groups = dict[str, dict[str, list[str]]]
"""By PID and address type: the prefixes."""

_NO_NAME = re.compile(r"[^A-Za-z0-9\-:@_]+")


def load_network_map(path: Path, *, default_pid: str | None = None, field: str | None = None) -> NetworkMap:
    """The network map in a file: .csv, .json or .mmdb.

    A CSV file has the columns `prefix` and `pid`, in either order, a JSON file is what a network map resource answers.
    `field` says which member of a MaxMind database's records names the PID, as in `country.iso_code`; networks whose
    record lacks it are left out. Addresses that would be in no PID go to `default_pid`. Raises ConfigurationError.
    """
    groups: Groups
    with reading(path):
        match path.suffix.lower():
            case ".csv":
                return _map_of_csv(path, default_pid)
            case ".json":
                groups = member(path, "network-map")
                _check_groups(path, groups)
            case ".mmdb":
                if field is None:
                    raise ConfigurationError(f"{path}: which field of its records names the PID?")
                groups = _pids_of_database(path, field)
            case _:
                raise ConfigurationError(f"{path}: a network map is read from .csv, .json and .mmdb")
    return _network_map(path, groups, default_pid)


def _network_map(path: Path, groups: Groups, default_pid: str | None) -> NetworkMap:
    try:
        return NetworkMap(groups, default_pid=default_pid)
    except ConfigurationError as error:
        hint = ""
        if default_pid is None:
            with suppress(ConfigurationError):
                NetworkMap(groups, default_pid="rest")
                hint = "; a default PID would have what is left"
        raise ConfigurationError(f"{path}: {error}{hint}") from error


def load_properties(path: Path) -> Properties:
    """The properties in a file: .csv with the column `entity` and one for each property, or .json, a property map.

    In CSV an empty cell is no property, and a name without a dot gets one in front: `country` is the map's own property
    `.country` (RFC 9240 section 5.2.2). Raises ConfigurationError; whether entities and properties may be in one map
    is not known here.
    """
    with reading(path):
        if path.suffix.lower() == ".csv":
            return _properties_of_csv(path)
        if path.suffix.lower() == ".json":
            return _properties_of_json(path)
    raise ConfigurationError(f"{path}: properties are read from .csv and .json")


def load_advertisements(path: Path, *, has_network_map: bool = False) -> tuple[Advertisement, ...]:
    """The capabilities in a .json file that is a CDNI advertisement's answer; its `meta` may be left out.

    Footprints that are PIDs need a network map. Raises ConfigurationError.
    """
    with reading(path):
        data = member(path, "cdni-advertisement")
    vtag = {"resource-id": "x", "tag": "x"}
    meta = {"vtag": vtag, **({"dependent-vtags": [vtag]} if has_network_map else {})}
    try:
        return parse_cdni({"meta": meta, "cdni-advertisement": data}, Findings(strict=True)).advertisements
    except AltoError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def load_topology(path: Path) -> Topology:
    """The topology in a file, in either form of `alto.topologyfile`. Raises ConfigurationError."""
    with reading(path):
        text = path.read_text("utf-8-sig")
    try:
        return parse_topology(text)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def pid_name(value: object, prefix: str = "") -> str:
    """A PID name out of whatever a database holds: what may not be in one becomes "_", what is too long is cut."""
    return (prefix + _NO_NAME.sub("_", str(value)))[:64]


def _map_of_csv(path: Path, default_pid: str | None) -> NetworkMap:
    try:
        groups: Groups = {}
        for columns, cells in chunks(path, ("prefix", "pid")):
            for prefix, pid in zip(cells[columns.index("prefix")], cells[columns.index("pid")], strict=True):
                kind = "ipv6" if ":" in prefix else "ipv4"
                groups.setdefault(pid, {}).setdefault(kind, []).append(prefix)
        return NetworkMap(groups, default_pid=default_pid)
    except (UnevenError, ConfigurationError):
        # Read slowly, it may be right, and otherwise the line is known.
        return _network_map(path, _pids_of_csv(path), default_pid)


def _pids_of_csv(path: Path) -> Groups:
    columns, lines = rows(path, ("prefix", "pid"))
    prefix_at, pid_at = columns.index("prefix"), columns.index("pid")
    groups: Groups = {}
    places: dict[tuple[int, int, int], tuple[str, int]] = {}
    for line, row in lines:
        prefix, pid = row[prefix_at], row[pid_at]
        family = 6 if ":" in prefix else 4
        if not is_pid_name(pid):
            raise ConfigurationError(
                f"{path}, line {line}: {pid!r:.80} is no PID name: 1 to 64 of A-Z a-z 0-9 - : @ _ are one"
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


def _properties_of_csv(path: Path) -> Properties:
    found: Properties = {}
    columns, lines = rows(path, ("entity",))
    names = {name: name if "." in name else f".{name}" for name in columns if name != "entity"}
    for name in names:
        if not is_property_name(name.rpartition(".")[2]):
            raise ConfigurationError(f"{path}, line 1: {name!r:.80} is no property: at most 32 of A-Z a-z 0-9 - : _")
    for line, row in lines:
        values = dict(zip(columns, row, strict=True))
        entity = values.pop("entity")
        try:
            guess_entity(entity)
        except ValueError as error:
            raise ConfigurationError(f"{path}, line {line}: {error}") from error
        if entity in found:
            raise ConfigurationError(f"{path}, line {line}: the entity {entity} is there already")
        found[entity] = {names[name]: value for name, value in values.items() if value}
    return found


def _properties_of_json(path: Path) -> Properties:
    found: Properties = member(path, "property-map")
    for entity, values in found.items():
        if not isinstance(values, dict):
            raise ConfigurationError(f"{path}: the properties of {entity!r:.80} are to be an object")
        try:
            guess_entity(entity)
        except ValueError as error:
            raise ConfigurationError(f"{path}: {error}") from error
    return found


def _check_groups(path: Path, groups: Json) -> None:
    for name, group in groups.items():
        if not isinstance(group, dict) or not all(isinstance(prefixes, list) for prefixes in group.values()):
            raise ConfigurationError(f"{path}: the PID {name!r} is to be an object with an array for each address type")


def _pids_of_database(path: Path, field: str) -> Groups:
    """The networks of a MaxMind database by the value of `field`, whose parts are separated by dots."""
    groups: Groups = {}
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
