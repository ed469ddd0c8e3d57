"""`ietf-p2p decade mint`: make a token, without asking anybody."""

from __future__ import annotations

import time
from ipaddress import ip_network
from pathlib import Path

import attrs
import click

from decade.client_exchange import Credential
from decade.errors import DecodeError, EncodeError
from decade.issuer import LIFETIME, RETRIES, Issuer
from decade.named import publisher_of
from decade.names import Name
from decade.scope import Collection, Everything, Object, Operation, Publisher, Scope, Target, TokenPolicy
from decade.tokens import claims_of
from decade.values import MAX_WEIGHT, BitRate, IpPrefix, Priority, Weight
from interop.cli._errors import MistakeError
from interop.cli.decade._client import KEY, origin
from interop.cli.decade._words import Rate, Size, Span, read_collections, read_label, read_object, read_token_or_file
from interop.decade_keys import KeyFileError, read_holder, read_signing_key

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
    levels: int | None
    addresses: tuple[str, ...]
    app: str | None
    collections: tuple[str, ...]

    def policy(self, default_amount: int | None) -> TokenPolicy:
        if self.weight is not None and self.rate is not None:
            raise MistakeError("--weight and --rate are two ways to say it: give one")
        bandwidth = None if self.weight is None else Weight(self.weight)
        return TokenPolicy(
            priority=None if self.priority is None else Priority[self.priority.upper()],
            bandwidth=bandwidth if self.rate is None else BitRate(self.rate),
            amount=default_amount if self.amount is None else self.amount,
            uses=self.uses,
            connections=self.connections,
            storage=self.storage,
            lifetime=self.object_lifetime,
            levels=self.levels,
            ip_prefixes=self._prefixes(),
            collections=read_collections(self.collections) or None,
            app_path=None if self.app is None else tuple(self.app.split("/")),
        )

    def _prefixes(self) -> tuple[IpPrefix, ...] | None:
        try:
            return tuple(map(ip_network, self.addresses)) or None
        except ValueError as error:
            raise MistakeError(f"--address: {error}") from error


@click.command(
    epilog="Examples:\n\n\b\n"
    "  ietf-p2p decade mint --key alice.pem --server https://storage.example --get film.mp4 --uses 1\n"
    "  ietf-p2p decade mint --key alice.pem --server https://storage.example --all put,list --storage 1GB --for 1h\n"
    "  ietf-p2p decade mint --key alice.pem --server https://storage.example --all get --holder bob.pem --levels 1\n"
    "  ietf-p2p decade mint --key bob.pem --below token.txt --get film.mp4",
)
@KEY
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="ORIGIN",
    envvar="DECADE_SERVER",
    help="Who is to take it; up to eight servers.  [env: DECADE_SERVER; default: as above, with --below]",
)
@click.option("--get", "gets", multiple=True, metavar="NAME", help="An object to read: its name, or the file itself.")
@click.option("--put", "puts", multiple=True, metavar="NAME", help="An object to store: its name, or the file itself.")
@click.option("--all", "everything", metavar="OPS", help=f"For all objects and the account: {','.join(OPERATIONS)}.")
@click.option("--in", "within", multiple=True, metavar="NAME", help="--all is for the objects in this collection only.")
@click.option(
    "--publisher",
    metavar="KEY",
    help="--all is for signed names of this publisher: a file with the key, or its base64url.",
)
@click.option("--prefix", metavar="TEXT|0xHEX", help="What the labels of --publisher begin with.  [default: anything]")
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
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="PREFIX",
    help="Where it may be used from: 192.0.2.0/24. [default: anywhere]",
)
@click.option(
    "--collection",
    "collections",
    multiple=True,
    metavar="NAME",
    help="What it stores is in this collection, and whatever else it is for, too.",
)
@click.option("--app", metavar="PATH", help="The application below that of the key that pays.")
@click.option(
    "--holder",
    metavar="KEY",
    help="Who is to use it, and has to prove it: a file with the key, or its base64url as `decade key` prints it.",
)
@click.option(
    "--levels", type=click.IntRange(1, 3), help="How many times, one below the other, the holder may pass it on."
)
@click.option(
    "--below",
    "parent",
    metavar="TOKEN",
    help="Pass on this token, with the key of its holder. What is not said is bounded as there.",
)
@click.option("--url", is_flag=True, help="Print the URL of each object to read, with the token in it.")
def command(
    key: Path | None,
    servers: tuple[str, ...],
    gets: tuple[str, ...],
    puts: tuple[str, ...],
    everything: str | None,
    within: tuple[str, ...],
    publisher: str | None,
    prefix: str | None,
    lifetime: int,
    holder: str | None,
    parent: str | None,
    url: bool,
    **bounds: int | str | tuple[str, ...] | None,
) -> int:
    """Make a token that permits what is said, at these servers, and print it in base64url. Nobody is asked.

    A URL with a token is for players that know URLs only, and stands in every log on its way: the server takes it only
    if its provider has turned that on.
    """
    if key is None:
        raise MistakeError("a key is due: --key FILE, or DECADE_KEY (`decade key FILE` makes one)")
    readable, sizes = _objects(gets)
    writable, put_sizes = _objects(puts)
    targets = _targets(within, publisher, prefix)
    scope = _scope(readable, writable, everything, targets)
    made = _Bounds(**bounds)  # type: ignore[arg-type]
    if made.levels is not None:
        if holder is None:
            raise MistakeError("--levels is what a holder may do: --holder KEY is due")
        scope = tuple((target, operations | Operation.DELEGATE) for target, operations in scope)
    known = [size for size in (*sizes, *put_sizes) if size is not None]
    is_known = len(known) == len(scope)
    amount = RETRIES * max(sum(known), 1) if is_known else None
    if url and (not readable or holder is not None):
        raise MistakeError("--url is of objects that anybody with it may read: --get is due, and no --holder")
    try:
        token = _token(key, servers, parent, scope, made, amount, lifetime, holder)
    except (KeyFileError, EncodeError, DecodeError) as error:
        raise MistakeError(str(error)) from error
    if not url:
        click.echo(token.text)
    for name in readable if url else ():
        for server in token.audience:
            click.echo(f"{server}{name.path}?dt={token.text}")
    return 0


def _token(
    key: Path,
    servers: tuple[str, ...],
    parent: str | None,
    scope: Scope,
    bounds: _Bounds,
    amount: int | None,
    lifetime: int,
    holder: str | None,
) -> Credential:
    """Raises KeyFileError, EncodeError, DecodeError, MistakeError."""
    signing, public = read_signing_key(key), None if holder is None else read_holder(holder)
    origins = tuple(map(origin, servers))
    if parent is None:
        if not origins:
            raise MistakeError("a server is due: --server https://storage.example, or DECADE_SERVER")
        policy = bounds.policy(amount)
        granted = None if policy == TokenPolicy() else policy
        return Issuer(signing, origins).grant(scope, granted, wall=time.time(), lifetime=lifetime, holder=public)
    token = read_token_or_file(parent).token
    above = claims_of(token)
    most = None if above.policy is None else above.policy.amount
    policy = bounds.policy(amount if amount is None or most is None else min(amount, most))
    issuer = Issuer(signing, origins or above.aud)
    return issuer.pass_on(token, scope, policy, wall=time.time(), lifetime=lifetime, holder=public)


def _objects(words: tuple[str, ...]) -> tuple[list[Name], list[int | None]]:
    found = [read_object(word) for word in words]
    return [name for name, _ in found], [size for _, size in found]


def _targets(within: tuple[str, ...], publisher: str | None, prefix: str | None) -> list[Target]:
    """What --all is for, none for everything. Raises MistakeError."""
    targets: list[Target] = [Collection(name) for name in read_collections(within)]
    if publisher is None:
        if prefix is not None:
            raise MistakeError("--prefix is of the labels of a --publisher")
        return targets
    try:
        name = publisher_of(read_holder(publisher))
    except KeyFileError as error:
        raise MistakeError(str(error)) from error
    return [*targets, Publisher(name, b"" if prefix is None else read_label(prefix))]


def _scope(readable: list[Name], writable: list[Name], everything: str | None, targets: list[Target]) -> Scope:
    entries = [
        *((Object(name), Operation.GET) for name in readable),
        *((Object(name), Operation.PUT) for name in writable),
    ]
    if everything is None:
        if targets:
            raise MistakeError("--in and --publisher are where --all holds: --all OPERATIONS is due")
        if not entries:
            raise MistakeError("what is it to permit? --get NAME, --put NAME, or --all OPERATIONS")
        return tuple(entries)
    operations = Operation(0)
    for word in everything.split(","):
        if word.strip() not in OPERATIONS:
            raise MistakeError(f"--all: {word.strip()!r} is none of {', '.join(OPERATIONS)}")
        operations |= OPERATIONS[word.strip()]
    return (*entries, *((target, operations) for target in targets or [Everything()]))
