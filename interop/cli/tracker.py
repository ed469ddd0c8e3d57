"""`ietf-p2p tracker`: a PPSTP tracker over HTTP or HTTPS, until it is stopped."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from pathlib import Path
from typing import Any

import attrs
import click

from interop._http_server import Listener, Server, url
from interop._http_tls import CertificateHttpProtocol
from interop.cli._errors import MistakeError
from interop.cli._listening import http_config, listen_at, parse_listen_option
from interop.tracker_running import MAX_TIMER, Tracker, TrackerConfig, TrackerConfigError
from ppsp.tracker import Limits, Rules

_FILE = click.Path(path_type=Path)


@attrs.frozen
class _Place:
    """Where to listen, and by which certificate."""

    listen: str
    tls_certificate: Path | None
    tls_key: Path | None
    client_ca: Path | None
    insecure: bool
    as_json: bool

    def check(self, listener: Listener) -> None:
        """RFC 7846 section 6.1: TLS MUST be used between peers and tracker. Raises MistakeError."""
        host = listener.getsockname()[0].partition("%")[0]
        if self.tls_certificate is None and not self.insecure and not ipaddress.ip_address(host).is_loopback:
            raise MistakeError(
                f"--listen {self.listen}: peers elsewhere need HTTPS: --tls-certificate and --tls-key, "
                "or --insecure behind a server that speaks TLS"
            )


@click.command(
    epilog="Example:\n\n\b\n  ietf-p2p tracker --listen 127.0.0.1:8700\n"
    "  ietf-p2p tracker --listen '[::]:8700' --tls-certificate tracker.pem --tls-key tracker.key",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:8700",
    show_default=True,
    help="Where to accept requests; port 0 picks a free one.",
)
@click.option("--tls-certificate", type=_FILE, help="The certificate chain (PEM): speak HTTPS.")
@click.option("--tls-key", type=_FILE, help="The certificate's private key (PEM).")
@click.option("--insecure", is_flag=True, help="Speak plain HTTP with other machines, too.")
@click.option(
    "--trusted-proxy",
    "proxies",
    metavar="ADDRESS",
    multiple=True,
    help="A proxy, or a network of them, whose X-Forwarded-For says where requests come from. May be given again.",
)
@click.option("--client-ca", type=_FILE, help="Let in who has a certificate that this CA (PEM) has signed.")
@click.option("--users", type=_FILE, help="Let in who knows a password (HTTP Digest): a file as htdigest writes it.")
@click.option("--token-keys", type=_FILE, help="Let in who has a token (JWT) signed by one of these keys (PEM, JWKS).")
@click.option("--token-audience", metavar="TEXT", help="What the tokens for this tracker name as their audience.")
@click.option("--token-issuer", metavar="TEXT", help="What they name as their issuer. [default: anything]")
@click.option("--store", metavar="URL", help="Share swarms and peers with other trackers, in this Redis or Valkey.")
@click.option("--store-prefix", metavar="TEXT", default="ppsp", show_default=True, help="What all its keys begin with.")
@click.option(
    "--select",
    type=click.Choice(["random", "properties"]),
    default="random",
    show_default=True,
    help="How to choose the peers of a list: at random, or by what they say of themselves.",
)
@click.option("--alto", metavar="URL", help="Choose those that are near, as this ALTO server says.")
@click.option("--strict", is_flag=True, help="Refuse every CONNECT that table 6 of RFC 7846 does not list as valid.")
@click.option(
    "--hold-ids", is_flag=True, help="A peer ID belongs to the IPv4 address, or IPv6 /64, that registered it."
)
@click.option("--own-addresses", is_flag=True, help="List peers only where their requests come from, or privately.")
@click.option(
    "--host-limit",
    type=click.IntRange(0),
    default=Limits().memberships_per_host,
    show_default=True,
    metavar="NUMBER",
    help="How many swarms the peers of one IPv4 address, or IPv6 /64, may be in, all told; 0 for any number.",
)
@click.option(
    "--track-timer",
    type=click.FloatRange(1.0, MAX_TIMER),
    default=180.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a silent peer stays registered; ours report every minute.",
)
@click.option("--stats", is_flag=True, help="Answer GET /stats with counts of peers, swarms and requests, as JSON.")
@click.option("--json", "as_json", is_flag=True, help="Say where it listens as one JSON object.")
def command(
    strict: bool, hold_ids: bool, own_addresses: bool, host_limit: int, stats: bool, store_prefix: str, **rest: Any
) -> None:
    """Run a tracker: it introduces the peers of any number of swarms to one another (PPSTP, RFC 7846).

    RFC 7846 asks for HTTPS; plain HTTP is for one machine, or behind a server that speaks TLS. The user and password of
    a Redis are in the environment: PPSP_REDIS_USER, PPSP_REDIS_PASSWORD.
    """
    limits = Limits()
    place = _Place(**{field.name: rest.pop(field.name) for field in attrs.fields(_Place)})
    config = TrackerConfig(
        rules=Rules(strict=strict, hold_ids=hold_ids, own_addresses=own_addresses),
        limits=attrs.evolve(limits, memberships_per_host=host_limit or limits.memberships),
        has_certificates=place.client_ca is not None,
        has_statistics=stats,
        prefix=store_prefix,
        **rest,
    )
    _serve(config, place)


def _serve(config: TrackerConfig, place: _Place) -> None:
    host, port = parse_listen_option(place.listen)
    try:
        tracker = Tracker(config)
    except TrackerConfigError as error:
        raise MistakeError(str(error)) from error
    uvicorn_config = http_config(
        tracker.app,
        certificate=place.tls_certificate,
        key=place.tls_key,
        client_ca=place.client_ca,
        protocol=CertificateHttpProtocol,
        # Uvloop takes one new connection a turn: while others keep it busy, a peer that comes waits for seconds.
        loop="asyncio",
    )
    background: list[asyncio.Task[None]] = []
    with listen_at(host, port) as listener:
        place.check(listener)
        where = url(listener, "https" if uvicorn_config.is_ssl else "http")

        def started() -> None:
            beside = tracker.background()
            if beside is not None:
                background.append(asyncio.get_running_loop().create_task(beside))
            click.echo(json.dumps({"url": where}) if place.as_json else f"tracker listening on {where}")

        Server(uvicorn_config, started=started).run(sockets=[listener])
