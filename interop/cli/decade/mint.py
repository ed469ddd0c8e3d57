"""`ietf-p2p decade mint`: make a token, without asking anybody."""

from __future__ import annotations

import time
from pathlib import Path

import attrs
import click

from decade.errors import EncodeError
from decade.issuer import LIFETIME, RETRIES, Issuer
from decade.names import Name
from decade.scope import Everything, Object, Operation, Scope, TokenPolicy
from decade.values import MAX_WEIGHT, BitRate, Priority, Weight
from interop.cli._errors import MistakeError
from interop.cli.decade._client import KEY, origin
from interop.cli.decade._words import Rate, Size, Span, read_object
from interop.decade_keys import KeyFileError, read_signing_key

OPERATIONS = {operation.name.lower().replace("_", "-"): operation for operation in Operation if operation.name}


@attrs.frozen
class _Bounds:
    """What the options bound a token by."""

    uses: int | None
    amount: int | None
    storage: int | None
    connections: int | None
    object_lifetime: int | None
    weight: int | None
    rate: int | None
    priority: str | None

    def policy(self, default_amount: int | None) -> TokenPolicy | None:
        if self.weight is not None and self.rate is not None:
            raise MistakeError("--weight and --rate are two ways to say it: give one")
        bandwidth = None if self.weight is None else Weight(self.weight)
        made = TokenPolicy(
            priority=None if self.priority is None else Priority[self.priority.upper()],
            bandwidth=bandwidth if self.rate is None else BitRate(self.rate),
            amount=default_amount if self.amount is None else self.amount,
            uses=self.uses,
            connections=self.connections,
            storage=self.storage,
            lifetime=self.object_lifetime,
        )
        return None if made == TokenPolicy() else made


@click.command(
    epilog="Examples:\n\n\b\n"
    "  ietf-p2p decade mint --key alice.pem --server https://storage.example --get film.mp4 --uses 1\n"
    "  ietf-p2p decade mint --key alice.pem --server https://storage.example --all put,list --storage 1GB --for 1h",
)
@KEY
@click.option(
    "--server",
    "servers",
    multiple=True,
    required=True,
    metavar="ORIGIN",
    envvar="DECADE_SERVER",
    help="Who is to take it; up to eight servers.  [env: DECADE_SERVER]",
)
@click.option("--get", "gets", multiple=True, metavar="NAME", help="An object to read: its name, or the file itself.")
@click.option("--put", "puts", multiple=True, metavar="NAME", help="An object to store: its name, or the file itself.")
@click.option("--all", "everything", metavar="OPS", help=f"For all objects and the account: {','.join(OPERATIONS)}.")
@click.option("--for", "lifetime", type=Span(), default=LIFETIME, metavar="TIME", help="How long.  [default: 10m]")
@click.option("--uses", type=click.IntRange(1, 0xFFFFFFFF), help="How often.  [default: any number of times]")
@click.option(
    "--amount", type=Size(), metavar="SIZE", help="Octets to move.  [default: twice the size where files are given]"
)
@click.option("--storage", type=Size(), metavar="SIZE", help="Octets to occupy.")
@click.option("--connections", type=click.IntRange(1, MAX_WEIGHT), help="Transfers at a time.")
@click.option("--object-lifetime", type=Span(), metavar="TIME", help="The longest that an object may be kept.")
@click.option("--weight", type=click.IntRange(1, MAX_WEIGHT), help="The share of the account's bandwidth.")
@click.option("--rate", type=Rate(), metavar="RATE", help="The most bandwidth, in bit/s: 1.5M.")
@click.option("--priority", type=click.Choice([priority.name.lower() for priority in Priority]), help="Who goes first.")
@click.option("--url", is_flag=True, help="Print the URL of each object to read, with the token in it.")
def command(
    key: Path | None,
    servers: tuple[str, ...],
    gets: tuple[str, ...],
    puts: tuple[str, ...],
    everything: str | None,
    lifetime: int,
    url: bool,
    **bounds: int | str | None,
) -> int:
    """Make a token that permits what is said, at these servers, and print it in base64url. Nobody is asked.

    A URL with a token is for players that know URLs only, and stands in every log on its way: the server takes it only
    if its provider has turned that on.
    """
    if key is None:
        raise MistakeError("a key is due: --key FILE, or DECADE_KEY (`decade key FILE` makes one)")
    readable, sizes = _objects(gets)
    writable, put_sizes = _objects(puts)
    scope = _scope(readable, writable, everything)
    known = [size for size in (*sizes, *put_sizes) if size is not None]
    is_known = len(known) == len(scope)
    policy = _Bounds(**bounds).policy(RETRIES * max(sum(known), 1) if is_known else None)  # type: ignore[arg-type]
    if url and not readable:
        raise MistakeError("--url is of objects to read: --get is due")
    try:
        issuer = Issuer(read_signing_key(key), tuple(map(origin, servers)))
        token = issuer.grant(scope, policy, wall=time.time(), lifetime=lifetime)
    except (KeyFileError, EncodeError) as error:
        raise MistakeError(str(error)) from error
    if not url:
        click.echo(token.text)
    for name in readable if url else ():
        for server in token.audience:
            click.echo(f"{server}{name.path}?dt={token.text}")
    return 0


def _objects(words: tuple[str, ...]) -> tuple[list[Name], list[int | None]]:
    found = [read_object(word) for word in words]
    return [name for name, _ in found], [size for _, size in found]


def _scope(readable: list[Name], writable: list[Name], everything: str | None) -> Scope:
    entries = [
        *((Object(name), Operation.GET) for name in readable),
        *((Object(name), Operation.PUT) for name in writable),
    ]
    if everything is None:
        if not entries:
            raise MistakeError("what is it to permit? --get NAME, --put NAME, or --all OPERATIONS")
        return tuple(entries)
    operations = Operation(0)
    for word in everything.split(","):
        if word.strip() not in OPERATIONS:
            raise MistakeError(f"--all: {word.strip()!r} is none of {', '.join(OPERATIONS)}")
        operations |= OPERATIONS[word.strip()]
    return (*entries, (Everything(), operations))
