"""`ietf-p2p decade serve`: a DECADE server from a configuration, or for one account, until it is stopped."""

from __future__ import annotations

import asyncio
import importlib.util
import ipaddress
import signal
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import click
import uvicorn

from decade.cose import Es256Key
from decade.messages import ResourcePolicy
from decade.policy import PROVIDER
from decade.tokens import RegisteredKey, TokenFeature
from interop._http_server import Listener, Server, url
from interop.cli._errors import MistakeError, one_line
from interop.cli._listening import http_config, listen_at, parse_listen_option
from interop.cli._options import JSON
from interop.cli._progress import emit, note, octets
from interop.decade_keys import KeyFileError, read_verifying_key
from interop.decade_server.config import ConfigError, ServerConfig, TlsFiles, load_config, read_size
from interop.decade_server.running import LiveServer, http_protocol
from interop.decade_server.workers import run_workers

_FILE = click.Path(path_type=Path)
_Configure = Callable[[], ServerConfig]


@attrs.frozen
class _Account:
    """What was given on the command line instead of a configuration."""

    root: Path | None
    account: str | None
    key: Path | None
    storage: str | None

    @property
    def is_empty(self) -> bool:
        return all(value is None for value in attrs.astuple(self))

    def config(self) -> ServerConfig:
        """Raises MistakeError."""
        if self.account is None or self.key is None:
            raise MistakeError("a configuration is due, or --account and --key: whose storage it is, and who may mint")
        try:
            key = read_verifying_key(self.key)
            storage = None if self.storage is None else read_size(self.storage)
        except KeyFileError as error:
            raise MistakeError(f"--key {error}") from error
        except ValueError as error:
            raise MistakeError(f"--storage {error}") from error
        return ServerConfig(
            root=self.root,
            extensions=frozenset({TokenFeature.ES256} if isinstance(key, Es256Key) else ()),
            policies={PROVIDER: ResourcePolicy(weight=1), (self.account,): ResourcePolicy(weight=1, storage=storage)},
            keys={key.kid: RegisteredKey(key, self.account)},
        )


def _changes(
    listen: str | None,
    server: str | None,
    certificate: Path | None,
    key: Path | None,
    insecure: bool,
    workers: int | None,
) -> dict[str, Any]:
    """What the options say of the configuration."""
    if (certificate is None) != (key is None):
        raise MistakeError("--tls-certificate and --tls-key go together")
    found = {
        "listen": None if listen is None else parse_listen_option(listen),
        "server": server,
        "tls": None if certificate is None or key is None else TlsFiles(certificate, key),
        "is_insecure_allowed": insecure or None,
        "workers": workers,
    }
    return {name: value for name, value in found.items() if value is not None}


def _name(config: ServerConfig, listener: Listener, scheme: str) -> str:
    """The identifier of the server."""
    if config.server is not None:
        return config.server
    if ipaddress.ip_address(listener.getsockname()[0]).is_unspecified:
        raise MistakeError("--server is due where every address is listened at: the origin that clients know it by")
    return url(listener, scheme).rstrip("/")


def _announce(config: ServerConfig, where: str, name: str, *, as_json: bool) -> None:
    """Say what is served."""
    accounts = {path[0]: policy for path, policy in config.policies.items() if len(path) == 1}
    if as_json:
        stored = {account: policy.storage for account, policy in accounts.items()}
        root = None if config.root is None else str(config.root)
        emit("serving", url=where, server=name, root=root, workers=config.workers, accounts=stored)
        return
    click.echo(f"DECADE server listening on {where}")
    click.echo(f"Its tokens are for {name}")
    place = config.root or (config.store.bucket if config.store is not None else "memory")
    click.echo(f"Objects are in {place}.")
    for account, policy in accounts.items():
        keys = sum(key.account == account for key in config.keys.values())
        room = "no limit of storage" if policy.storage is None else f"up to {octets(policy.storage)}"
        click.echo(f"  {account}: {room}, {keys} key{'' if keys == 1 else 's'}")


@click.command(
    epilog="Examples:\n\n\b\n"
    "  openssl genpkey -algorithm ed25519 -out alice.pem\n"
    "  ietf-p2p decade serve --root objects --account alice --key alice.pem --storage 1GB\n"
    "  ietf-p2p decade serve decade.toml --workers 2",
)
@click.argument("config", type=_FILE, required=False)
@click.option("--root", type=_FILE, metavar="DIR", help="Where objects are kept.  [default: in memory]")
@click.option("--account", metavar="NAME", help="Whose storage it is.")
@click.option("--key", type=_FILE, help="The key that the account mints tokens with: its public part will do.")
@click.option("--storage", metavar="SIZE", help="What the account may store: 500MB, 1.5GiB.  [default: no limit]")
@click.option("--listen", metavar="HOST:PORT", help="Where to accept requests.  [default: 127.0.0.1:7069]")
@click.option("--server", metavar="ORIGIN", help="Its identifier, which tokens are for.  [default: where it listens]")
@click.option("--tls-certificate", type=_FILE, help="The certificate chain (PEM): speak HTTPS.")
@click.option("--tls-key", type=_FILE, help="The certificate's private key (PEM).")
@click.option("--insecure", is_flag=True, help="Take tokens over plain HTTP from other machines, too.")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes that share the directory.  [default: 1]")
@JSON
def command(
    config: Path | None,
    root: Path | None,
    account: str | None,
    key: Path | None,
    storage: str | None,
    listen: str | None,
    server: str | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    insecure: bool,
    workers: int | None,
    as_json: bool,
) -> int:
    """Keep objects for accounts, within their limits, for whoever has a token of theirs (DECADE, RFC 7069).

    At SIGHUP the accounts, keys and policies of the configuration are read again; a mistake in it changes nothing.
    """
    given = _Account(root, account, key, storage)
    changes = _changes(listen, server, tls_certificate, tls_key, insecure, workers)
    if config is not None and not given.is_empty:
        raise MistakeError("the configuration says everything: no --root, --account, --key and --storage go with it")

    def configure() -> ServerConfig:
        try:
            found = attrs.evolve(given.config() if config is None else load_config(config), **changes)
        except ConfigError as error:
            raise MistakeError(str(error)) from error
        if (mistake := found.mistake()) is not None:
            raise MistakeError(mistake[0])
        return found

    return _Serving(configure, as_json).run()


class _Serving:
    """A server on its socket."""

    def __init__(self, configure: _Configure, as_json: bool) -> None:
        self._configure = configure
        self._config = configure()
        self._as_json = as_json

    def run(self) -> int:
        """Until it is told to end; the exit status."""
        config = self._config
        scheme = "http" if config.tls is None else "https"
        with listen_at(*config.listen) as listener:
            where, name = url(listener, scheme), _name(config, listener, scheme)

            def announce() -> None:
                _announce(config, where, name, as_json=self._as_json)

            if config.workers == 1:
                return self._serve(name, listener, announce)
            return run_workers(config.workers, lambda started: self._work(name, listener, started), announce)

    def _work(self, name: str, listener: Listener, started: Callable[[], None]) -> int:
        """One of several workers."""
        try:
            return self._serve(name, listener, started)
        except MistakeError as error:
            note(one_line(error))
            return error.exit_code

    def _serve(self, name: str, listener: Listener, started: Callable[[], None]) -> int:
        config = self._config
        try:
            live = LiveServer(config, name)
        except ConfigError as error:
            raise MistakeError(str(error)) from error
        try:
            http = self._http(live)

            def listens() -> None:
                loop = asyncio.get_running_loop()
                loop.add_signal_handler(signal.SIGHUP, self._start_reload, live, http)
                started()

            Server(http, started=listens).run(sockets=[listener])
        finally:
            live.close()
        return 0

    def _http(self, live: LiveServer) -> uvicorn.Config:
        tls = self._config.tls
        http = http_config(
            live.app,
            certificate=None if tls is None else tls.certificate,
            key=None if tls is None else tls.key,
            protocol=http_protocol(self._config),
            loop="asyncio" if importlib.util.find_spec("uvloop") is None else "uvloop",
        )
        if http.ssl is not None:
            # Tokens are as good as what they permit (RFC 7069 section 8.2).
            http.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
        return http

    def _start_reload(self, live: LiveServer, http: uvicorn.Config) -> None:
        self._reloading = asyncio.get_running_loop().create_task(self._reload(live, http))

    async def _reload(self, live: LiveServer, http: uvicorn.Config) -> None:
        """SIGHUP."""
        try:
            config = self._configure()
            said = await live.reload(config)
            if http.ssl is not None and config.tls is not None:
                http.ssl.load_cert_chain(config.tls.certificate, config.tls.key)
        except (MistakeError, ConfigError, OSError) as error:
            note(f"not reloaded, everything stays as it was: {error}")
        else:
            note(f"reloaded: {said}")
