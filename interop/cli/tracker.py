"""`ietf-p2p tracker`: a PPSTP tracker over HTTP or HTTPS, until it is stopped."""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from pathlib import Path

import click
import uvicorn

from interop._http_server import Server, bind, config, url
from interop.asgi import asgi
from interop.cli._errors import MistakeError, reason
from ppsp.tracker import TrackerServer


def _parse_listen(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\s]+)):(\d{1,5})", text)
    if match is None or int(match[3]) > 65535:
        raise MistakeError(f"--listen {text}: not HOST:PORT (an IPv6 address stands in brackets)")
    return match[1] or match[2], int(match[3])


def _bind(host: str, port: int) -> socket.socket:
    try:
        return bind(host, port)
    except UnicodeError as error:
        raise MistakeError(f"cannot listen on {host}: not the name of a host") from error
    except socket.gaierror as error:
        raise MistakeError(f"cannot listen on {host}: {reason(error)}") from error
    except OSError as error:
        raise MistakeError(f"cannot listen on {host} port {port}: {reason(error)}") from error


def _config(server: TrackerServer, certificate: Path | None, key: Path | None) -> uvicorn.Config:
    if (certificate is None) != (key is None):
        raise MistakeError("--tls-certificate and --tls-key go together")
    try:
        # Uvloop takes one new connection a turn: while others keep it busy, a peer that comes waits for seconds.
        return config(asgi(server), certificate=certificate, key=key, loop="asyncio")
    except ssl.SSLError as error:
        raise MistakeError(f"no certificate and key for TLS in {certificate}, {key}: {error.reason}") from error
    except OSError as error:
        raise MistakeError(f"cannot read {certificate} or {key}: {reason(error)}") from error


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
    host, port = _parse_listen(listen)
    server = TrackerServer(strict=strict, epoch=time.time() - time.monotonic())
    uvicorn_config = _config(server, tls_certificate, tls_key)
    listener = _bind(host, port)
    with listener:
        where = url(listener, "https" if uvicorn_config.is_ssl else "http")
        announcement = json.dumps({"url": where}) if as_json else f"tracker listening on {where}"
        Server(uvicorn_config, started=lambda: click.echo(announcement)).run(sockets=[listener])
