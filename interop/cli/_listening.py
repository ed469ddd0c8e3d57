"""What the commands that serve HTTP have in common: where they listen, and by which certificate."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import uvicorn

from interop._http_server import Listener, bind, config, parse_listen
from interop.cli._errors import MistakeError, reason


def parse_listen_option(text: str) -> tuple[str, int]:
    """The host and port of the option `--listen`."""
    found = parse_listen(text)
    if found is None:
        raise MistakeError(f"--listen {text}: not HOST:PORT (an IPv6 address stands in brackets)")
    return found


def listen_at(host: str, port: int) -> Listener:
    """A socket that listens there."""
    try:
        return bind(host, port)
    except UnicodeError as error:
        raise MistakeError(f"cannot listen on {host}: not the name of a host") from error
    except socket.gaierror as error:
        raise MistakeError(f"cannot listen on {host}: {reason(error)}") from error
    except OSError as error:
        raise MistakeError(f"cannot listen on {host} port {port}: {reason(error)}") from error


def http_config(
    app: Any, *, certificate: Path | None, key: Path | None, client_ca: Path | None = None, **more: Any
) -> uvicorn.Config:
    """How uvicorn is to serve `app`; `more` is for `interop._http_server.config`."""
    if (certificate is None) != (key is None):
        raise MistakeError("--tls-certificate and --tls-key go together")
    if client_ca is not None and certificate is None:
        raise MistakeError("--client-ca goes with --tls-certificate and --tls-key")
    files = f"{certificate}, {key}" + (f", {client_ca}" if client_ca is not None else "")
    try:
        return config(app, certificate=certificate, key=key, client_ca=client_ca, **more)
    except ssl.SSLError as error:
        raise MistakeError(f"no certificate and key for TLS in {files}: {error.reason}") from error
    except OSError as error:
        raise MistakeError(f"cannot read {files.replace(', ', ' or ')}: {reason(error)}") from error
