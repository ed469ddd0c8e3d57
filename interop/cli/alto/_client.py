"""What every command that asks a server shares: which server, who asks, and what goes wrong in one line."""

from __future__ import annotations

import contextlib
import functools
import re
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click

from alto.client.errors import ServerError, UnreachableError
from alto.errors import AltoError, ConfigurationError, DecodeError
from interop.cli._errors import FailureError, MistakeError, reason, run
from interop.cli._options import host_port
from interop.cli._progress import note
from interop.cli._show import clean

if TYPE_CHECKING:
    from alto.client.client import Client
    from alto.discovery import Discovery
    from interop.alto_client import AltoClient
    from interop.alto_discovery import DnsResolver

_F = TypeVar("_F", bound=Callable[..., Any])

TIMEOUT = 10.0
# Deviations that are told one by one; `alto validate` tells them all.
_DEVIATIONS = 20
_UNAUTHORIZED = 401
_HTTP = re.compile(r"https?://[^/\s]+\S*")
_NAME = re.compile(r"[^\s:/?#@]+\.?|[0-9A-Fa-f.:]+(?:/[0-9]+)?")


@attrs.frozen
class Access:
    """How a server is reached, and by whom."""

    user: str | None
    cert: Path | None
    key: Path | None
    cacert: Path | None
    timeout: float
    resolver: tuple[str, int] | None
    lenient: bool

    def credentials(self) -> tuple[str, str] | None:
        """User and password, which is asked for where only the user is given."""
        if self.user is None:
            return None
        name, colon, password = self.user.partition(":")
        if not colon:
            password = click.prompt(f"Password of {name}", hide_input=True, err=True)
        return name, password

    def context(self) -> ssl.SSLContext | bool:
        """What servers are verified with. Raises MistakeError."""
        if self.key is not None and self.cert is None:
            raise MistakeError("--key goes with --cert")
        if self.cert is None and self.cacert is None:
            return True
        try:
            context = ssl.create_default_context(cafile=self.cacert)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
        except OSError as error:  # ssl.SSLError among them
            files = ", ".join(str(path) for path in (self.cacert, self.cert, self.key) if path is not None)
            why = error.reason if isinstance(error, ssl.SSLError) else reason(error)
            raise MistakeError(f"no certificates and keys to use in {files}: {why}") from error
        return context

    def dns(self) -> DnsResolver:
        """The resolver that is given, or else those of this machine. Raises ConfigurationError."""
        # Imported here, as elsewhere below, so that `--help` need not wait for the libraries.
        from interop.alto_discovery import DnsResolver

        if self.resolver is None:
            return DnsResolver(timeout=self.timeout)
        return DnsResolver([self.resolver[0]], port=self.resolver[1], timeout=self.timeout)


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OPTIONS = (
    click.option("--user", metavar="NAME[:PASSWORD]", help="Who asks, by HTTP Digest; without password it is asked."),
    click.option("--cert", type=_FILE, help="The certificate (PEM) by which TLS servers know who asks."),
    click.option("--key", type=_FILE, help="The private key (PEM) of --cert, if it is in a file of its own."),
    click.option("--cacert", type=_FILE, help="The authorities (PEM) to trust, instead of the usual ones."),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=TIMEOUT,
        show_default=True,
        metavar="SECONDS",
        help="How long a server may be silent.",
    ),
)
RESOLVER = click.option(
    "--resolver", type=host_port, metavar="HOST:PORT", help="The DNS server that finds a domain's ALTO server."
)
_LENIENT = click.option("--lenient", is_flag=True, help="Make the best of what breaks the RFCs, and list it on stderr.")


def connects(*, lenient: bool = True, domains: bool = True) -> Callable[[_F], _F]:
    """Give a command the options that make an `Access`, and the `access`: without --lenient where nothing is forgiven,
    without --resolver where `domains` do not stand for servers."""

    def decorate(function: _F) -> _F:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            named = {field.name: kwargs.pop(field.name, None) for field in attrs.fields(Access)}
            return function(*args, access=Access(**{**named, "lenient": bool(named["lenient"])}), **kwargs)

        made: Any = wrapper
        for option in reversed((*_OPTIONS, *([RESOLVER] if domains else []), *([_LENIENT] if lenient else []))):
            made = option(made)
        result: _F = made
        return result

    return decorate


URL = click.argument("url", metavar="URL")


@contextlib.contextmanager
def plainly(*, lenient: bool = True) -> Iterator[None]:
    """Turn what the client raises into one line: a mistake where the server has no such thing, else a failure."""
    try:
        yield
    except ConfigurationError as error:
        raise MistakeError(clean(str(error))) from error
    except DecodeError as error:
        hint = "" if lenient else " (--lenient makes the best of it)"
        raise FailureError(f"{clean(str(error))}{hint}") from error
    except ServerError as error:
        hint = " (--user or --cert says who asks)" if error.status == _UNAUTHORIZED else ""
        raise FailureError(f"{clean(str(error))}{hint}") from error
    except AltoError as error:
        raise FailureError(clean(str(error))) from error


@contextlib.asynccontextmanager
async def connected(access: Access, where: str) -> AsyncIterator[AltoClient]:
    """A client of the server at a URL, or of the first that answers of those that a domain or an address has.

    Raises click's exceptions, with one line for a person, whatever goes wrong in here.
    """
    from interop.alto_client import AltoClient

    context, credentials = access.context(), access.credentials()
    with plainly(lenient=access.lenient):
        uris = await _uris(access, where)
        for place, uri in enumerate(uris):
            alto = AltoClient(uri, strict=not access.lenient, auth=credentials, verify=context, timeout=access.timeout)
            async with alto:
                if place + 1 < len(uris):
                    try:
                        await alto.directory()
                    except UnreachableError as error:
                        note(f"{clean(str(error))}; trying the next server")
                        continue
                try:
                    yield alto
                finally:
                    if access.lenient:
                        tell_deviations(alto.client)
                return


def tell_deviations(client: Client) -> None:
    """List what the server does against the RFCs."""
    found = client.findings
    for finding in found[:_DEVIATIONS]:
        note(f"{finding.level}: {clean(str(finding))}")
    if len(found) > _DEVIATIONS:
        note(f"and {len(found) - _DEVIATIONS} more; 'ietf-p2p alto validate' lists all")


async def _uris(access: Access, where: str) -> list[str]:
    if _HTTP.fullmatch(where):
        return [where]
    if _NAME.fullmatch(where) is None or where == "localhost":
        raise MistakeError(f"{where!r:.200} is no http or https URL, and no domain or address to find a server for")
    from interop.alto_discovery import discover

    found = await discover(where, resolver=access.dns())
    if not found.uris:
        raise FailureError(nothing_found(where, found))
    note(f"{where} has {', '.join(clean(one.uri) for one in found.uris)}")
    return [one.uri for one in found.uris]


def nothing_found(subject: str, found: Discovery) -> str:
    """Why there is no server, in one line."""
    ends = ", ".join(f"{lookup.name} {lookup.status}" for lookup in found.lookups)
    return f"no ALTO server is found for {subject} ({ends})"


def asking(access: Access, where: str, work: Callable[[AltoClient], Coroutine[Any, Any, int | None]]) -> int:
    """Run what asks one server, and return its exit status."""

    async def carry() -> int:
        async with connected(access, where) as alto:
            return await work(alto) or 0

    return run(carry())
