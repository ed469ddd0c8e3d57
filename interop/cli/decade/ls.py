"""`ietf-p2p decade ls`: the objects of an account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from decade.messages import ObjectInfo
from decade.names import Name
from decade.scope import Operation
from interop.cli import _show
from interop.cli._options import JSON
from interop.cli._progress import emit, octets
from interop.cli.decade._client import Access, asking, connects, one_server

if TYPE_CHECKING:
    from interop.decade_client import DecadeClient


@click.command(epilog="Example:\n\n\b\n  ietf-p2p decade ls --server https://storage.example --key alice.pem")
@JSON
@connects
def command(as_json: bool, access: Access) -> int:
    """List the objects that the account of the key has at a server."""

    async def work(client: DecadeClient, servers: tuple[str, ...]) -> None:
        server = one_server(access, servers)
        rows: list[list[_show.Cell]] = []
        async for info in client.objects(server, access.credentials([server], Operation.LIST)):
            if as_json:
                emit("object", **members(info))
            else:
                rows.append(_row(info))
        if not as_json:
            _show.table(("NAME", "SIZE", "EXPIRES", "READS", "TYPE"), rows, right=(1, 3))

    return asking(access, work)


def name_text(info: ObjectInfo) -> str:
    """The name of an object; of a signed one its publisher and label."""
    if isinstance(info.name, Name):
        return info.name.ni()
    return f"{info.name.publisher.ni()} {info.name.label.hex()}"


def members(info: ObjectInfo) -> dict[str, Any]:
    """An object for a program."""
    access = info.access
    return {
        "name": name_text(info),
        "size": info.size,
        "created": info.created,
        "expires": info.expires,
        "media_type": info.media_type,
        "state": info.state.name.lower(),
        "reads": None if access is None else access.reads,
        "octets_read": None if access is None else access.octets,
        "last_read": None if access is None else access.last_read,
    }


def _row(info: ObjectInfo) -> list[_show.Cell]:
    reads = "-" if info.access is None else str(info.access.reads)
    expires = "never" if info.expires is None else _show.local_time(info.expires)
    return [name_text(info), octets(info.size), expires, reads, info.media_type or "-"]
