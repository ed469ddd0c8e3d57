"""What an ALTO server is to serve, as a person writes it: a TOML file, or values made in a program.

The names of tables are resource IDs, and those of costs are cost metrics::

    listen = "127.0.0.1:7285"

    [network-map.network]
    file = "network-map.csv"            # or .json, or .mmdb with `field`; or ip-location = "countries"
    default-pid = "internet"

    [network-map.network.costs.routingcost]
    file = "costs.csv"

`alto/sample/alto.toml` shows every table. Paths are relative to the folder of the file.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from attrs import field, frozen

from alto.errors import ConfigurationError
from alto.types import is_cost_metric, is_resource_id
from interop._http_server import read_listen
from interop._toml import Table, TomlError, read

PORT = 7285
"""Where `alto serve` listens: the number of the RFC."""
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ietf-p2p"
"""Where public IP data is kept once it was fetched."""


@frozen
class CalendarConfig:
    """The costs of times to come: a column of a CSV file for each interval (`columns`, or all), or JSON."""

    where: str
    file: Path
    interval: float
    """Seconds."""
    columns: tuple[str, ...] = ()
    start: float = 0.0
    """Unix time at which a first interval began; the calendar begins again when it is over, forever."""
    repeated: int | None = None
    """How often clients are told that it holds in a row."""


@frozen
class CostConfig:
    """The costs of one metric: a CSV file's column of that name, or its column `cost`; or a cost map as JSON.

    With a calendar the file can be left out: then the costs are those of the present interval.
    """

    where: str
    metric: str
    file: Path | None = None
    column: str | None = None
    description: str | None = None
    context: Mapping[str, Any] | None = field(default=None, hash=False)
    calendar: CalendarConfig | None = None


@frozen
class PathsConfig:
    """Path vectors, and where there are none yet costs, from a topology."""

    where: str
    topology: Path
    is_private: bool | None = None
    """None: as the network map is. Who knows the bottlenecks can attack them (RFC 9275 section 11)."""


@frozen
class NetworkMapConfig:
    """A network map with its costs; `id` begins the IDs of all that is made from it.

    It comes from `file`, a MaxMind database with its `field`, from public IP data, or from the topology of `paths`.
    """

    where: str
    id: str
    file: Path | None = None
    field: str | None = None
    ip_location: Literal["countries", "systems"] | None = None
    default_pid: str | None = None
    is_default: bool = False
    is_private: bool = False
    costs: tuple[CostConfig, ...] = ()
    paths: PathsConfig | None = None
    is_elsewhere: bool = False
    """The map itself is listed and served by another server, whose directory leads to this one's."""


@frozen
class PropertyMapConfig:
    """A property map: values from a file, and properties that other resources define, such as `network.pid`."""

    where: str
    id: str
    file: Path | None = None
    look_up: tuple[str, ...] = ()
    is_private: bool = False


@frozen
class CdniConfig:
    """A CDNI advertisement."""

    where: str
    id: str
    file: Path
    network_map: str | None = None
    is_private: bool = False


@frozen
class UsersConfig:
    """Who may see what is private: a file of `htdigest`."""

    where: str
    file: Path
    realm: str | None = None


@frozen
class TlsConfig:
    """The server's certificate and key, and who signs those of clients (PEM)."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@frozen
class ServerConfig:
    """A server."""

    where: str
    network_maps: tuple[NetworkMapConfig, ...]
    property_maps: tuple[PropertyMapConfig, ...] = ()
    cdni: tuple[CdniConfig, ...] = ()
    listen: tuple[str, int] = ("127.0.0.1", PORT)
    base_uri: str = ""
    max_age: int = 0
    client_header: str | None = None
    posts_per_second: float | None = None
    is_private: bool = False
    """All of it is, even the directory."""
    has_updates: bool = True
    has_tips: bool = True
    redirects: Mapping[str, str] = field(factory=dict, hash=False)
    delegated: Mapping[str, str] = field(factory=dict, hash=False)
    users: UsersConfig | None = None
    tls: TlsConfig | None = None
    cache: Path = CACHE


def load_config(path: Path) -> ServerConfig:
    """The server that a TOML file describes; the files that it names are not read yet. Raises ConfigurationError."""
    try:
        root = read(path)
        found = _server(root)
        root.finish()
    except TomlError as error:
        raise ConfigurationError(str(error)) from error
    return found


def _server(root: Table) -> ServerConfig:
    listen = read_listen(root, PORT)
    network_maps = tuple(_network_map(name, table) for name, table in root.tables("network-map").items())
    if not network_maps:
        raise root.wrong("at least one table [network-map.ID] is due")
    if sum(one.is_default for one in network_maps) > 1:
        raise root.wrong("two network maps are the default")
    users, tls = root.table("users"), root.table("tls")
    return ServerConfig(
        root.where,
        network_maps,
        tuple(_property_map(name, table) for name, table in root.tables("property-map").items()),
        tuple(_cdni(name, table) for name, table in root.tables("cdni").items()),
        listen,
        root.text("base-uri") or "",
        root.integer("max-age", least=0) or 0,
        root.text("client-header"),
        root.positive("posts-per-second"),
        bool(root.flag("private")),
        root.flag("updates") is not False,
        root.flag("tips") is not False,
        root.strings("redirects"),
        root.strings("delegated"),
        None if users is None else _users(users),
        None if tls is None else _tls(tls),
        root.file("cache") or CACHE,
    )


def _check_id(name: str, table: Table) -> None:
    if not is_resource_id(name):
        raise table.wrong(f"{name!r} is no resource ID: 1 to 64 of A-Z a-z 0-9 - : @ _ are one")


def _network_map(name: str, table: Table) -> NetworkMapConfig:
    _check_id(name, table)
    paths = table.table("paths")
    found = NetworkMapConfig(
        table.where,
        name,
        table.file("file"),
        table.text("field"),
        _ip_location(table),
        table.text("default-pid"),
        bool(table.flag("default")),
        bool(table.flag("private")),
        tuple(_costs(metric, costs) for metric, costs in table.tables("costs").items()),
        None if paths is None else _paths(paths),
        bool(table.flag("elsewhere")),
    )
    table.finish()
    if (found.file is not None) + (found.ip_location is not None) > 1:
        raise table.wrong("'file' and 'ip-location' are two sources of one map")
    if found.file is None and found.ip_location is None and found.paths is None:
        raise table.wrong("one of the keys 'file', 'ip-location' and 'paths.topology' is due")
    if (found.field is not None) != (found.file is not None and found.file.suffix.lower() == ".mmdb"):
        raise table.wrong("the key 'field' goes with a file that is an .mmdb, and such a file with it")
    return found


def _ip_location(table: Table) -> Literal["countries", "systems"] | None:
    match table.text("ip-location"):
        case None:
            return None
        case "countries":
            return "countries"
        case "systems":
            return "systems"
        case other:
            raise table.wrong(f"'countries' or 'systems' is due, not {other!r}", "ip-location")


def _costs(metric: str, table: Table) -> CostConfig:
    if not is_cost_metric(metric):
        raise table.wrong(f"{metric!r} is no cost metric: at most 32 of A-Z a-z 0-9 - : _ . are one")
    calendar = table.table("calendar")
    found = CostConfig(
        table.where,
        metric,
        table.file("file"),
        table.text("column"),
        table.text("description"),
        table.plain("cost-context"),
        None if calendar is None else _calendar(calendar),
    )
    table.finish()
    if found.file is None and found.calendar is None:
        raise table.wrong("the key 'file' is missing")
    return found


def _calendar(table: Table) -> CalendarConfig:
    found = CalendarConfig(
        table.where,
        table.due("file", table.file("file")),
        table.due("interval", table.positive("interval")),
        table.texts("columns"),
        table.moment("start") or 0.0,
        table.integer("repeated", least=1),
    )
    table.finish()
    return found


def _paths(table: Table) -> PathsConfig:
    found = PathsConfig(table.where, table.due("topology", table.file("topology")), table.flag("private"))
    table.finish()
    return found


def _property_map(name: str, table: Table) -> PropertyMapConfig:
    _check_id(name, table)
    found = PropertyMapConfig(
        table.where, name, table.file("file"), table.texts("look-up"), bool(table.flag("private"))
    )
    table.finish()
    if found.file is None and not found.look_up:
        raise table.wrong("one of the keys 'file' and 'look-up' is due")
    return found


def _cdni(name: str, table: Table) -> CdniConfig:
    _check_id(name, table)
    found = CdniConfig(
        table.where, name, table.due("file", table.file("file")), table.text("network-map"), bool(table.flag("private"))
    )
    table.finish()
    return found


def _users(table: Table) -> UsersConfig:
    found = UsersConfig(table.where, table.due("file", table.file("file")), table.text("realm"))
    table.finish()
    return found


def _tls(table: Table) -> TlsConfig:
    found = TlsConfig(
        table.due("certificate", table.file("certificate")),
        table.due("key", table.file("key")),
        table.file("client-ca"),
    )
    table.finish()
    return found
