"""`ietf-p2p decade status`: what an account has and uses."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import attrs
import click

from decade.messages import ResourcePolicy, Status, Usage
from decade.scope import Operation
from interop.cli import _show
from interop.cli._options import JSON
from interop.cli._progress import octets
from interop.cli.decade._client import Access, asking, connects, one_server

if TYPE_CHECKING:
    from interop.decade_client import DecadeClient

_HEADERS = ("", "STORED", "RESERVED", "OBJECTS", "RECEIVED", "SENT", "NOW", "IN", "OUT")


@click.command(
    epilog="Example:\n\n\b\n  ietf-p2p decade status --server https://storage.example --key alice.pem",
)
@JSON
@connects
def command(as_json: bool, access: Access) -> int:
    """Show what the account of the key, or its application, has and uses at a server."""

    async def work(client: DecadeClient, servers: tuple[str, ...]) -> None:
        server = one_server(access, servers)
        control = await client.control(server, access.credentials([server], Operation.STATUS))
        status = await client.run(control.status())
        if as_json:
            _show.as_json({"server": server, **_tree(status)})
        else:
            _print(server, status)

    return asking(access, work)


def _tree(status: Status) -> dict[str, Any]:
    return {
        "time": status.time,
        "condition": None if status.condition is None else status.condition.name.lower(),
        "usage": members(status.usage),
        "policy": members(status.policy),
        "apps": {app: members(usage) for app, usage in (status.apps or {}).items()},
    }


def members(value: Any) -> dict[str, Any]:
    """The members of a message that are there, as JSON has them."""
    found = attrs.asdict(value, recurse=False, filter=lambda field, member: field.name != "ext" and member is not None)
    return {name: _value(member) for name, member in found.items()}


def _value(member: Any) -> Any:
    match member:
        case IntEnum():
            return member.name.lower().replace("_", "-")
        case tuple():
            return list(map(str, member))
    return member


def _print(server: str, status: Status) -> None:
    condition = "" if status.condition is None else f", {status.condition.name.lower()}"
    _show.line(f"{server} at {_show.local_time(status.time)}{condition}")
    _show.line(limits(status.policy))
    rows: list[list[_show.Cell]] = [_row("all", status.usage)]
    rows += [_row(app, usage) for app, usage in sorted((status.apps or {}).items())]
    _show.table(_HEADERS, rows, right=range(1, len(_HEADERS)))


def limits(policy: ResourcePolicy) -> str:
    """What a policy bounds, in words."""
    down, up = policy.ceiling_download, policy.ceiling_upload
    parts = (
        None if policy.storage is None else f"{octets(policy.storage)} of storage",
        None if policy.connections is None else _show.counted(policy.connections, "connection"),
        None if down is None else f"{_show.bits(down)} down",
        None if up is None else f"{_show.bits(up)} up",
        None if policy.longest_lifetime is None else f"objects live {_show.span(policy.longest_lifetime)} at most",
    )
    limits = [part for part in parts if part is not None]
    return f"up to {', '.join(limits)}" if limits else "no limits of its own"


def _row(name: str, usage: Usage) -> list[_show.Cell]:
    return [
        name,
        octets(usage.stored),
        octets(usage.reserved),
        str(usage.objects),
        octets(usage.received),
        octets(usage.sent),
        str(usage.connections),
        _show.bits(usage.rate_in),
        _show.bits(usage.rate_out),
    ]
