"""`ietf-p2p decade transfer`: have servers give objects to one another."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click

from decade.client_control import Control
from decade.client_exchange import Credential
from decade.errors import STATUS, ErrorCode
from decade.issuer import RETRIES
from decade.messages import Direction, Remote, StoredAttrs, TransferRequest, TransferState, TransferStatus
from decade.names import WELL_KNOWN, Name
from decade.scope import Object, Operation, Scope, TokenPolicy
from interop.cli._errors import FailureError, MistakeError
from interop.cli._options import JSON
from interop.cli._progress import Display, Snapshot, display, emit
from interop.cli.decade._client import Access, asking, connects, one_server, origin
from interop.cli.decade._words import Span, read_name, read_token

if TYPE_CHECKING:
    from interop.decade_client import DecadeClient

_F = TypeVar("_F", bound=Callable[..., Any])
_KEY_SIZE = 16
"""Octets of an idempotency key."""
_ORDERS = {Direction.PULL: Operation.PULL, Direction.PUSH: Operation.PUSH}


@attrs.frozen
class _Order:
    """What is to go where."""

    direction: Direction
    names: tuple[Name, ...]
    remote: str
    remote_token: Path | None
    expires: int | None
    detach: bool
    as_json: bool


@click.group(
    epilog="Example:\n\n\b\n"
    "  ietf-p2p decade transfer pull ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk \\\n"
    "    --server https://sb.example --from https://sa.example --key alice.pem",
)
def command() -> None:
    """Have a server fetch objects from another one, or send it some, without their going through this machine."""


def _ordering(function: _F) -> _F:
    """The options of both directions."""
    options = (
        click.argument("names", metavar="NI...", nargs=-1, required=True),
        click.option(
            "--remote-token",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="A file with the token for the other server.  [default: one that --key mints]",
        ),
        click.option("--expires", type=Span(), metavar="TIME", help="Keep the copies so long: 12h, 7d."),
        click.option("--detach", is_flag=True, help="Print the transfer's identifier, and do not wait for its end."),
        JSON,
        connects,
    )
    made: Any = function
    for option in reversed(options):
        made = option(made)
    result: _F = made
    return result


@command.command(epilog="Example:\n\n\b\n  ietf-p2p decade transfer pull NI --from https://sa.example")
@click.option("--from", "remote", required=True, metavar="ORIGIN", help="The server that has the objects.")
@_ordering
def pull(remote: str, names: tuple[str, ...], access: Access, **options: Any) -> int:
    """Have --server fetch objects from another server."""
    return _order(Direction.PULL, remote, names, access, **options)


@command.command(epilog="Example:\n\n\b\n  ietf-p2p decade transfer push NI --to https://sb.example")
@click.option("--to", "remote", required=True, metavar="ORIGIN", help="The server that is to have the objects.")
@_ordering
def push(remote: str, names: tuple[str, ...], access: Access, **options: Any) -> int:
    """Have --server send objects to another server."""
    return _order(Direction.PUSH, remote, names, access, **options)


@command.command(epilog="Example:\n\n\b\n  ietf-p2p decade transfer status 0f1e2d3c4b5a69788796a5b4c3d2e1f0")
@click.argument("identifier", metavar="ID")
@click.option("--detach", is_flag=True, help="Say how far it is, and do not wait for its end.")
@JSON
@connects
def status(identifier: str, detach: bool, as_json: bool, access: Access) -> int:
    """Wait for the end of a transfer, and show how far it is."""
    wanted = _identifier(identifier)

    async def work(client: DecadeClient, servers: tuple[str, ...]) -> None:
        server = one_server(access, servers)
        credentials = access.credentials([server], Operation.PULL | Operation.PUSH)
        if detach:
            _say(await client.run((await client.control(server, credentials)).transfer(wanted)), as_json=as_json)
        else:
            await _follow(client, server, credentials, wanted, as_json=as_json)

    return asking(access, work)


@command.command(epilog="Example:\n\n\b\n  ietf-p2p decade transfer cancel 0f1e2d3c4b5a69788796a5b4c3d2e1f0")
@click.argument("identifier", metavar="ID")
@connects
def cancel(identifier: str, access: Access) -> int:
    """End a transfer; the objects that are done stay."""
    wanted = _identifier(identifier)

    async def work(client: DecadeClient, servers: tuple[str, ...]) -> None:
        server = one_server(access, servers)
        control = await client.control(server, access.credentials([server], Operation.PULL | Operation.PUSH))
        await client.run(control.cancel_transfer(wanted))

    return asking(access, work)


def _identifier(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise MistakeError(f"{text!r:.80} is no identifier of a transfer: hexadecimal digits are due") from error


def _order(direction: Direction, remote: str, names: tuple[str, ...], access: Access, **options: Any) -> int:
    order = _Order(direction, tuple(map(read_name, names)), origin(remote), **options)

    async def work(client: DecadeClient, servers: tuple[str, ...]) -> None:
        server = one_server(access, servers)
        credentials = access.credentials([server], _ORDERS[direction] | Operation.ATTR_GET)
        control = await client.control(server, credentials)
        request = await _request(client, control, order, access)
        started = await client.run(control.start_transfer(request))
        if order.detach:
            _say(started, as_json=order.as_json)
        else:
            await _follow(client, server, credentials, started.id, as_json=order.as_json)

    return asking(access, work)


async def _request(client: DecadeClient, control: Control, order: _Order, access: Access) -> TransferRequest:
    token = await _remote_token(client, control, order, access)
    expires = None if order.expires is None else int(time.time()) + order.expires
    return TransferRequest(
        direction=order.direction,
        objects=order.names,
        remote=Remote(object_template=f"{order.remote}{WELL_KNOWN}{{alg}}/{{val}}", server=order.remote),
        token=None if token is None else token.token,
        attrs=None if expires is None else StoredAttrs(expires=expires),
        idempotency_key=secrets.token_bytes(_KEY_SIZE),
    )


async def _remote_token(client: DecadeClient, control: Control, order: _Order, access: Access) -> Credential | None:
    """What the server may do at the other one: these objects only, within minutes, and no more octets than it takes."""
    if order.remote_token is not None:
        return read_token(order.remote_token.read_text("ascii", errors="replace"))
    issuer = access.issuer(order.remote)
    if issuer is None:
        return None
    if order.direction is Direction.PULL:
        return access.granted(issuer, _scope(order.names, Operation.GET))
    infos = [await client.run(control.object_info(name)) for name in order.names]
    size = sum(info.size for info in infos)
    policy = TokenPolicy(amount=RETRIES * max(size, 1), storage=size)
    return access.granted(issuer, _scope(order.names, Operation.PUT | Operation.GET), policy)


def _scope(names: Sequence[Name], operations: Operation) -> Scope:
    return tuple((Object(name), operations) for name in names)


async def _follow(
    client: DecadeClient, server: str, credentials: Sequence[Credential], identifier: bytes, *, as_json: bool
) -> None:
    started, last = time.monotonic(), None
    with display("transferring", as_json=as_json) as shown:
        async for status_now in client.follow(server, credentials, identifier):
            last = status_now
            _show_progress(shown, last, started)
    assert last is not None
    _say(last, as_json=as_json)
    if last.state is not TransferState.DONE:
        raise FailureError(f"{server}: {_why(last)}")


def _show_progress(shown: Display, status_now: TransferStatus, started: float) -> None:
    rate = status_now.done / max(time.monotonic() - started, 1e-3)
    shown.show(Snapshot(status_now.done, status_now.total, rate))


def _say(found: TransferStatus, *, as_json: bool) -> None:
    if as_json:
        items = [{"state": item.state.name.lower(), "octets": item.octets, "error": item.error} for item in found.items]
        emit("transfer", id=found.id.hex(), state=found.state.name.lower(), octets=found.done, items=items)
    else:
        click.echo(f"{found.id.hex()}  {found.state.name.lower()}")


def _why(found: TransferStatus) -> str:
    errors = {item.error for item in found.items if item.error is not None}
    names = sorted(ErrorCode(error).name.lower().replace("_", "-") for error in errors if error in STATUS)
    return ", ".join(names) or f"the transfer is {found.state.name.lower()}"
