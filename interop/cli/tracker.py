"""`ietf-p2p tracker`: a PPSTP tracker over HTTP or HTTPS, until it is stopped."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from interop._http_server import Server, url
from interop.asgi import asgi
from interop.cli._listening import http_config, listen_at, parse_listen_option
from ppsp.tracker import Rules, TrackerServer


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
@click.option("--tls-certificate", type=click.Path(path_type=Path), help="The certificate chain (PEM): speak HTTPS.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="The certificate's private key (PEM).")
@click.option("--strict", is_flag=True, help="Refuse every CONNECT that table 6 of RFC 7846 does not list as valid.")
@click.option("--json", "as_json", is_flag=True, help="Say where it listens as one JSON object.")
def command(listen: str, tls_certificate: Path | None, tls_key: Path | None, strict: bool, as_json: bool) -> None:
    """Run a tracker: it introduces the peers of any number of swarms to one another (PPSTP, RFC 7846).

    RFC 7846 asks for HTTPS; plain HTTP is for one machine, or behind a server that speaks TLS.
    """
    host, port = parse_listen_option(listen)
    server = TrackerServer(rules=Rules(strict=strict), epoch=time.time() - time.monotonic())
    # Uvloop takes one new connection a turn: while others keep it busy, a peer that comes waits for seconds.
    uvicorn_config = http_config(asgi(server), certificate=tls_certificate, key=tls_key, loop="asyncio")
    listener = listen_at(host, port)
    with listener:
        where = url(listener, "https" if uvicorn_config.is_ssl else "http")
        announcement = json.dumps({"url": where}) if as_json else f"tracker listening on {where}"
        Server(uvicorn_config, started=lambda: click.echo(announcement)).run(sockets=[listener])
