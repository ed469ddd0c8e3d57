"""What every command that asks a server shares: which server, with which tokens, and what goes wrong in one line."""

from __future__ import annotations

import functools
import os
import re
import ssl
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click

from decade.client_exchange import Credential, FailedError, ProofKey, is_confidential, unverified_claims
from decade.cose import HmacKey, read_public_key
from decade.errors import DecadeError, DecodeError, EncodeError
from decade.issuer import LIFETIME, Issuer
from decade.scope import CONFIRMATION, Everything, Object, Operation, Scope, TokenPolicy
from decade.tokens import MAX_TOKEN
from decade.values import ObjectName
from interop.cli._errors import FailureError, MistakeError, reason, run
from interop.cli._show import clean
from interop.cli.decade._words import read_token
from interop.decade_keys import KeyFileError, read_signing_key

if TYPE_CHECKING:
    from interop.decade_client import DecadeClient

_F = TypeVar("_F", bound=Callable[..., Any])
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_ORIGIN = re.compile(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_TOKEN = "DECADE_TOKEN"
_CNF = 8
TIMEOUT = 10.0


@attrs.frozen
class Access:
    """How servers are reached, and with which rights."""

    server: tuple[str, ...]
    key: Path | None
    token: Path | None
    cacert: Path | None
    timeout: float
    insecure: bool
    discover: str | None

    def issuer(self, server: str) -> Issuer | None:
        """Who mints tokens for a server, None without a key. Raises MistakeError."""
        if self.key is None:
            return None
        try:
            return Issuer(read_signing_key(self.key), (server,))
        except KeyFileError as error:
            raise MistakeError(str(error)) from error

    def given(self) -> list[Credential]:
        """The token that is given by a file or by the environment. Raises MistakeError."""
        if self.token is not None:
            text = self._read(self.token)
        elif (text := os.environ.get(_TOKEN, "")) == "":
            return []
        credential = read_token(text)
        key = self._holder(credential.token)
        return [attrs.evolve(credential, is_insecure_allowed=self.insecure, key=key)]

    def _holder(self, token: bytes) -> ProofKey | None:
        """The key whose possession a token wants proved, None if it wants nothing. Raises MistakeError."""
        try:
            found = unverified_claims(token).get(_CNF)
            if found is None:
                return None
            cnf = CONFIRMATION.read(found)
            key = None if self.key is None else read_signing_key(self.key)
            named = cnf.kid or cnf.thumbprint or (read_public_key(cnf.key).kid if cnf.key is not None else None)
        except (DecodeError, KeyFileError) as error:
            raise MistakeError(clean(str(error))) from error
        if key is None or isinstance(key, HmacKey) or key.kid != named:
            raise MistakeError("the token is for who has the key that it names: give that with --key")
        return key

    def _read(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                return file.read(2 * MAX_TOKEN).decode("ascii", errors="replace")
        except OSError as error:
            raise MistakeError(f"--token {path}: {reason(error)}") from error

    def credentials(
        self, servers: Sequence[str], operations: Operation, names: Sequence[ObjectName] = ()
    ) -> list[Credential]:
        """The token that is given, or else one for each server that the key mints: for these names, or for everything
        without any. Raises MistakeError.

        What one server is shown is worth nothing at another: a name or an index may say that strangers have an object.
        """
        if found := self.given():
            self._check_way(servers)
            return found
        issuers = [self.issuer(server) for server in servers]
        self._check_way(servers)
        scope: Scope = tuple((Object(name), operations) for name in names) or ((Everything(), operations),)
        made = [self.granted(issuer, scope) for issuer in issuers if issuer is not None]
        if not made:
            raise MistakeError(f"a key is due that mints tokens (--key, DECADE_KEY), or a token (--token, {_TOKEN})")
        return made

    def granted(self, issuer: Issuer, scope: Scope, policy: TokenPolicy | None = None) -> Credential:
        """A token that is minted now. Raises MistakeError."""
        try:
            made = issuer.grant(scope, policy, wall=time.time(), lifetime=LIFETIME)
        except EncodeError as error:
            raise MistakeError(clean(str(error))) from error
        return attrs.evolve(made, is_insecure_allowed=self.insecure)

    def _check_way(self, servers: Sequence[str]) -> None:
        for server in servers:
            if not (self.insecure or is_confidential(server)):
                raise MistakeError(f"{server}: a token would go in the clear (https is due, or --insecure)")

    def context(self) -> ssl.SSLContext:
        """What servers are verified with. Raises MistakeError."""
        try:
            context = ssl.create_default_context(cafile=self.cacert)
        except OSError as error:  # ssl.SSLError among them
            raise MistakeError(f"--cacert {self.cacert}: no certificates: {reason(error)}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context


def origin(text: str) -> str:
    """A server's identifier, without a slash at its end. Raises MistakeError."""
    found = text.rstrip("/").lower()
    if not _ORIGIN.fullmatch(found):
        raise MistakeError(f"{text!r:.80} is no origin of a server, such as https://storage.example")
    return found


_SERVER = click.option(
    "--server",
    multiple=True,
    metavar="ORIGIN",
    envvar="DECADE_SERVER",
    help="The server, such as https://storage.example.  [env: DECADE_SERVER]",
)
KEY = click.option(
    "--key",
    type=_FILE,
    envvar="DECADE_KEY",
    help="The private key that mints the token, or that the holder of a given token has.  [env: DECADE_KEY]",
)
_OPTIONS = (
    _SERVER,
    KEY,
    click.option(
        "--token",
        type=click.Path(path_type=Path, allow_dash=False),
        help=f"A file with the token to use, in base64url.  [env: {_TOKEN}, the token itself]",
    ),
    click.option("--cacert", type=_FILE, help="The authorities (PEM) to trust, instead of the usual ones."),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=TIMEOUT,
        show_default=True,
        metavar="SECONDS",
        help="How long a server may be silent.",
    ),
    click.option("--insecure", is_flag=True, help="Send tokens over plain HTTP to other machines, too."),
    click.option("--discover", metavar="DOMAIN", help="Find the server in the DNS of a domain."),
)


def connects(function: _F) -> _F:
    """Give a command the options that make an `Access`, and the `access`."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        named = {field.name: kwargs.pop(field.name) for field in attrs.fields(Access)}
        named["server"] = tuple(map(origin, named["server"]))
        return function(*args, access=Access(**named), **kwargs)

    made: Any = wrapper
    for option in reversed(_OPTIONS):
        made = option(made)
    result: _F = made
    return result


def asking(access: Access, work: Callable[[DecadeClient, tuple[str, ...]], Coroutine[Any, Any, int | None]]) -> int:
    """Run a command's work with a client and the servers that are named, or found; the exit status."""

    async def with_client() -> int:
        # Imported here, so that `--help` need not wait for the libraries.
        from interop.decade_client import DecadeClient

        async with DecadeClient(verify=access.context(), timeout=access.timeout) as client:
            servers = access.server
            if not servers and access.discover is not None:
                servers = await _discovered(access.discover, access.context())
            return await work(client, servers) or 0

    try:
        return run(with_client())
    except FailedError as error:
        # Retries at one server say the same again.
        lines = dict.fromkeys(map(str, error.failures))
        raise FailureError(clean("; ".join(lines) or str(error))) from error
    except (DecodeError, EncodeError) as error:
        raise MistakeError(clean(str(error))) from error
    except DecadeError as error:
        raise FailureError(clean(str(error))) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise FailureError(f"{where}{reason(error)}") from error


def one_server(access: Access, servers: Sequence[str]) -> str:
    """The server that something is done at: the one that is named, or the first that was found. Raises MistakeError."""
    is_found = not access.server and bool(servers)
    if len(servers) != 1 and not is_found:
        raise MistakeError("one server is due: --server https://storage.example, or DECADE_SERVER")
    return servers[0]


async def _discovered(domain: str, context: ssl.SSLContext) -> tuple[str, ...]:
    from decade.discovery import DnsSd, NoServerError
    from interop.decade_discovery import DnsLookup, find

    try:
        found = await find([DnsSd(domain)], lookup=DnsLookup(), verify=context)
    except NoServerError as error:
        raise MistakeError(clean(str(error))) from error
    return tuple(one.info.server for one in found)


def to_stdout(octets: bytes) -> None:
    """Octets for a pipe."""
    sys.stdout.buffer.write(octets)
    sys.stdout.buffer.flush()
