"""`ietf-p2p alto serve`: an ALTO server from files, which it follows until it is stopped."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import attrs
import click

from alto.errors import ConfigurationError
from alto.metrics import metric_of
from interop._alto_costfiles import cost_columns
from interop._http_server import Server, url
from interop._http_tls import CertificateHttpProtocol
from interop.alto_config import (
    CostConfig,
    NetworkMapConfig,
    PathsConfig,
    PropertyMapConfig,
    ServerConfig,
    TlsConfig,
    load_config,
)
from interop.alto_live import Followed, LiveServer
from interop.alto_sources import ATTRIBUTION, SAMPLE
from interop.alto_viz import AltoUi
from interop.cli._errors import MistakeError
from interop.cli._listening import http_config, listen_at, parse_listen_option
from interop.cli._options import JSON
from interop.cli._progress import emit, note

_FILE = click.Path(path_type=Path)
_ID = "network"
"""The ID of the network map that has no other name."""

Configure = Callable[[], ServerConfig]


@attrs.frozen
class _Sources:
    """What was given on the command line instead of a configuration."""

    map: Path | None
    mmdb: Path | None
    field: str | None
    ip_location: Literal["countries", "systems"] | None
    topology: Path | None
    costs: Path | None
    properties: Path | None
    default_pid: str | None

    @property
    def is_empty(self) -> bool:
        return all(value is None for value in attrs.astuple(self))

    def check(self) -> None:
        """Raises MistakeError."""
        maps = {"--map": self.map, "--mmdb": self.mmdb, "--ip-location": self.ip_location}
        given = [name for name, value in maps.items() if value is not None]
        if len(given) > 1:
            raise MistakeError(f"{' and '.join(given)} are two sources of one network map")
        if not given and self.topology is None:
            raise MistakeError("a network map is due: one of --map, --mmdb, --ip-location and --topology")
        if (self.mmdb is None) != (self.field is None):
            raise MistakeError("--mmdb and --field go together: the field names the PID, as in country.iso_code")
        if self.default_pid is not None and self.map is None and self.mmdb is None:
            raise MistakeError("--default-pid goes with --map or --mmdb")

    def config(self) -> ServerConfig:
        """Raises ConfigurationError."""
        network_map = NetworkMapConfig(
            "",
            _ID,
            self.map or self.mmdb,
            self.field,
            self.ip_location,
            self.default_pid,
            costs=() if self.costs is None else _metrics(self.costs),
            paths=None if self.topology is None else PathsConfig("", self.topology),
        )
        properties = () if self.properties is None else (PropertyMapConfig("", "properties", self.properties),)
        return ServerConfig("", (network_map,), properties)


def _metrics(path: Path) -> tuple[CostConfig, ...]:
    """The metrics in a file: a CSV file may have a column for each. Others are for people."""
    columns = cost_columns(path)
    found = [CostConfig("", name, path) for name in columns if metric_of(name) or name.startswith("priv:")]
    if "routingcost" not in columns and ("cost" in columns or not found):
        found.insert(0, CostConfig("", "routingcost", path))
    return tuple(found)


def _configure(sources: _Sources, config: Path | None, listen: str | None, tls: TlsConfig | None) -> Configure:
    """What makes the configuration, each time that files are read."""
    changes: dict[str, Any] = {} if listen is None else {"listen": parse_listen_option(listen)}
    if tls is not None:
        changes["tls"] = tls
    if config is None:
        sources.check()
    return lambda: attrs.evolve(sources.config() if config is None else load_config(config), **changes)


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> TlsConfig | None:
    if certificate is not None and key is not None:
        return TlsConfig(certificate, key, client_ca)
    if certificate is not None or key is not None:
        raise MistakeError("--tls-certificate and --tls-key go together")
    if client_ca is not None:
        raise MistakeError("--client-ca goes with --tls-certificate and --tls-key")
    return None


def _announce(live: LiveServer, where: str, page: AltoUi | None, *, as_json: bool) -> None:
    """Say what is served."""
    plan = live.plan
    ui = None if page is None else f"{live.app.server.base_uri or where}ui"
    services = list(live.app.server.directory.services)
    resources = plan.directory.resources
    credit = ATTRIBUTION if any(one.ip_location for one in plan.config.network_maps) else None
    if as_json:
        listed = [
            {"id": one.id, "media-type": one.media_type, "private": one.is_private, "about": plan.about[one.id]}
            for one in resources.values()
        ]
        default = plan.directory.default_network_map
        emit("serving", url=where, default=default, resources=listed, services=services, credit=credit, ui=ui)
        return
    click.echo(f"ALTO server listening on {where}")
    width = max(map(len, resources))
    for one in resources.values():
        about = [plan.about[one.id]]
        about += ["the default network map"] if one.id == plan.directory.default_network_map else []
        about += ["private"] if one.is_private else []
        click.echo(f"  {one.id:{width}}  {', '.join(about)}")
    if ui is not None:
        click.echo(f"A page shows it: {ui}")
    if services:
        click.echo(f"Changes are pushed by {', '.join(services)}.")
    if credit is not None:
        click.echo(credit)


def _teller(as_json: bool) -> Callable[[Followed], None]:
    """What says in one line what became of changed files."""

    def tell(event: Followed) -> None:
        if as_json:
            emit(event.kind, text=event.text, resources=list(event.resource_ids))
        elif event.kind == "refused":
            note(f"not reloaded, everything stays as it was: {event.text}")
        else:
            note(f"{event.kind.replace('-', ' ')}: {event.text}")

    return tell


@click.command(
    epilog="Examples:\n\n\b\n"
    "  ietf-p2p alto serve\n"
    "  ietf-p2p alto serve --map network-map.csv --costs costs.csv --default-pid elsewhere\n"
    "  ietf-p2p alto serve --mmdb GeoLite2-Country.mmdb --field country.iso_code\n"
    "  ietf-p2p alto serve --config alto.toml --listen '[::]:443'\n\n"
    f"The configuration file of the sample shows everything: {SAMPLE / 'alto.toml'}",
)
@click.option("--config", type=_FILE, help="Everything, from a TOML file.")
@click.option("--map", "map_", type=_FILE, help="A network map: .csv with the columns prefix and pid, or .json.")
@click.option("--mmdb", type=_FILE, help="A network map from an IP database of MaxMind's format.")
@click.option("--field", metavar="NAME", help="The field of the database that names the PID, such as country.iso_code.")
@click.option(
    "--ip-location",
    type=click.Choice(["countries", "systems"]),
    is_flag=False,
    flag_value="countries",
    help="A network map from public IP data, which npm fetches once: countries, or autonomous systems in them.",
)
@click.option("--topology", type=_FILE, help="Nodes and links, for path vectors (.csv or .json); also for the map.")
@click.option(
    "--costs", type=_FILE, help="Costs: .csv with source, destination and cost, or a column a metric; or .json."
)
@click.option("--properties", type=_FILE, help="Properties: .csv with entity and a column for each, or .json.")
@click.option("--default-pid", metavar="PID", help="The PID of addresses that are in no other.")
@click.option("--listen", metavar="HOST:PORT", help="Where to accept requests.  [default: 127.0.0.1:7285]")
@click.option("--tls-certificate", type=_FILE, help="The certificate chain (PEM): speak HTTPS.")
@click.option("--tls-key", type=_FILE, help="The certificate's private key (PEM).")
@click.option("--client-ca", type=_FILE, help="Who signs the certificates of clients (PEM).")
@click.option("--ui", is_flag=True, help="Show a page of what is public at ui, kept up to date: maps, costs, lookups.")
@JSON
def command(
    config: Path | None,
    map_: Path | None,
    mmdb: Path | None,
    field: str | None,
    ip_location: Literal["countries", "systems"] | None,
    topology: Path | None,
    costs: Path | None,
    properties: Path | None,
    default_pid: str | None,
    listen: str | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    client_ca: Path | None,
    ui: bool,
    as_json: bool,
) -> None:
    """Publish network maps, costs and properties (ALTO, RFC 7285), and push their changes.

    Without a source it serves a small sample that has everything. Files are read again when they change, or at
    SIGHUP: clients of update streams and of TIPS hear of it at once, and a file with a mistake changes nothing.

    RFC 7285 asks for HTTPS; plain HTTP is for one machine, or behind a server that speaks TLS.
    """
    sources = _Sources(map_, mmdb, field, ip_location, topology, costs, properties, default_pid)
    if config is not None and not sources.is_empty:
        raise MistakeError("--config says everything: no other source goes with it")
    if config is None and sources.is_empty:
        config = SAMPLE / "alto.toml"
    configure = _configure(sources, config, listen, _tls(tls_certificate, tls_key, client_ca))
    try:
        live = LiveServer(configure, _teller(as_json), config_file=config)
        page = AltoUi(live.app) if ui else None
    except ConfigurationError as error:
        raise MistakeError(str(error)) from error
    if page is not None and live.app.server.is_private:
        raise MistakeError("--ui shows what everybody may see, and of a private server that is nothing")
    _run(live, page, as_json=as_json)


def _run(live: LiveServer, page: AltoUi | None, *, as_json: bool) -> None:
    config = live.plan.config
    tls = config.tls
    uvicorn_config = http_config(
        page or live.app,
        certificate=None if tls is None else tls.certificate,
        key=None if tls is None else tls.key,
        client_ca=None if tls is None else tls.client_ca,
        protocol=CertificateHttpProtocol,
    )
    live.renew(uvicorn_config.ssl)
    signal.signal(signal.SIGHUP, lambda *_: live.reload())
    with listen_at(*config.listen) as listener:
        where = url(listener, "https" if uvicorn_config.is_ssl else "http")
        server = Server(
            uvicorn_config,
            started=lambda: _announce(live, where, page, as_json=as_json),
            before_end=live.app.close,
        )
        with live:
            server.run(sockets=[listener])
