"""`ietf-p2p tracker`: a PPSTP tracker over HTTP or HTTPS, until it is stopped."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import uvicorn

from interop._http_limits import LimitedHttpProtocol
from interop.asgi import asgi
from interop.cli._errors import MistakeError, reason
from ppsp.tracker import TrackerServer

_GRACE = 3
"""Seconds that an exchange under way gets when the tracker is stopped."""


class _Server(uvicorn.Server):
    """Uvicorn, saying where it listens, and ending without a second signal for the sake of the first."""

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self._announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            click.echo(self._announcement)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Listener(socket.socket):
    """Turns connections away while the process has no descriptor left: asyncio logs each failure to accept one."""

    def __init__(self, family: int, kind: int, protocol: int) -> None:
        super().__init__(family, kind, protocol)
        self._spare = open(os.devnull)  # noqa: SIM115 - it is there to be closed when a descriptor is needed

    def accept(self) -> tuple[socket.socket, Any]:
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        self._spare.close()
        super().accept()[0].close()
        self._spare = open(os.devnull)  # noqa: SIM115
        raise BlockingIOError

    def close(self) -> None:
        super().close()
        self._spare.close()


def _parse_listen(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\s]+)):(\d{1,5})", text)
    if match is None or int(match[3]) > 65535:
        raise MistakeError(f"--listen {text}: not HOST:PORT (an IPv6 address stands in brackets)")
    return match[1] or match[2], int(match[3])


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = _Listener(family, kind, protocol)
    except UnicodeError as error:
        raise MistakeError(f"cannot listen on {host}: not the name of a host") from error
    except OSError as error:
        raise MistakeError(f"cannot listen on {host}: {reason(error)}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # A port that another socket listens on is refused here and not by bind, if that one allows its reuse.
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise MistakeError(f"cannot listen on {host} port {port}: {reason(error)}") from error
    return listener


def _url(listener: socket.socket, scheme: str) -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


def _config(server: TrackerServer, certificate: Path | None, key: Path | None) -> uvicorn.Config:
    if (certificate is None) != (key is None):
        raise MistakeError("--tls-certificate and --tls-key go together")
    config = uvicorn.Config(
        asgi(server),
        http=LimitedHttpProtocol,
        # Uvloop takes one new connection a turn: while others keep it busy, a peer that comes waits for seconds.
        loop="asyncio",
        # Warnings are about requests that are none: whoever sends them would fill a log.
        log_level=logging.ERROR,
        access_log=False,
        server_header=False,
        # The tracker reports the address it sees; a header that any client can write is not that.
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE,
        ws="none",
        ssl_certfile=str(certificate) if certificate else None,
        ssl_keyfile=str(key) if key else None,
    )
    try:
        config.load()
    except ssl.SSLError as error:
        raise MistakeError(f"no certificate and key for TLS in {certificate}, {key}: {error.reason}") from error
    except OSError as error:
        raise MistakeError(f"cannot read {certificate} or {key}: {reason(error)}") from error
    return config


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
    config = _config(server, tls_certificate, tls_key)
    listener = _bind(host, port)
    with listener:
        url = _url(listener, "https" if config.is_ssl else "http")
        announcement = json.dumps({"url": url}) if as_json else f"tracker listening on {url}"
        _Server(config, announcement).run(sockets=[listener])
