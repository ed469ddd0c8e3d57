"""`ietf-p2p decade rm`: delete objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from decade.scope import Operation
from interop.cli.decade._client import Access, asking, connects, one_server
from interop.cli.decade._words import read_name, read_named

if TYPE_CHECKING:
    from interop.decade_client import DecadeClient


@click.command(
    epilog="Example:\n\n\b\n"
    "  ietf-p2p decade rm ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk --key alice.pem",
)
@click.argument("names", metavar="NI...", nargs=-1, required=True)
@connects
def command(names: tuple[str, ...], access: Access) -> int:
    """Delete objects of the account of the key at a server.

    The URL of a signed name takes that away, and leaves the object, by its hash.
    """
    wanted = [(read_named(text), None) if read_named(text) is not None else (None, read_name(text)) for text in names]

    async def work(client: DecadeClient, servers: tuple[str, ...]) -> None:
        server = one_server(access, servers)
        credentials = access.credentials([server], Operation.DELETE)
        for signed, name in wanted:
            if signed is not None:
                await client.delete_named(signed[0], server, credentials)
            elif name is not None:
                await client.delete(name, server, credentials)

    return asking(access, work)
