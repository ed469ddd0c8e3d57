"""`ietf-p2p decade info`: what a server is, or what an object has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from decade.messages import ServerInfo
from decade.scope import Operation
from interop.cli import _show
from interop.cli._options import JSON
from interop.cli._progress import octets
from interop.cli.decade._client import Access, asking, connects, one_server
from interop.cli.decade._words import read_name
from interop.cli.decade.ls import members

if TYPE_CHECKING:
    from interop.decade_client import DecadeClient

_TIMES = ("created", "expires", "last_read")


@click.command(
    epilog="Examples:\n\n\b\n  ietf-p2p decade info --server https://storage.example\n"
    "  ietf-p2p decade info ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk --key alice.pem",
)
@click.argument("name", required=False, metavar="[NI]")
@JSON
@connects
def command(name: str | None, as_json: bool, access: Access) -> int:
    """Show what a server is and takes, or with a name, the object and its attributes there."""
    wanted = None if name is None else read_name(name)

    async def work(client: DecadeClient, servers: tuple[str, ...]) -> None:
        server = one_server(access, servers)
        if wanted is None:
            info = await client.info(server)
            _print(_server(info), _words(info), as_json=as_json)
            return
        control = await client.control(server, access.credentials([server], Operation.ATTR_GET, [wanted]))
        found = members(await client.run(control.object_info(wanted)))
        texts = {
            key: _show.local_time(value) if key in _TIMES else _show.value_text(value) for key, value in found.items()
        }
        _print(found, texts, as_json=as_json)

    return asking(access, work)


def _server(info: ServerInfo) -> dict[str, Any]:
    return {
        "server": info.server,
        "versions": info.versions,
        "object_template": info.object_template,
        "drp_base": info.drp_base,
        "hash_algorithms": info.hash_algorithms,
        "features": info.features,
        "siblings": info.siblings or (),
        "max_object": info.limits.max_object,
        "max_ttl": info.limits.max_ttl,
        "max_token_life": info.limits.max_token_life,
        "max_transfer_objects": info.limits.max_transfer_objects,
    }


def _words(info: ServerInfo) -> dict[str, str]:
    found = {key: _show.value_text(value) for key, value in _server(info).items() if not isinstance(value, tuple)}
    return {
        **found,
        "versions": ", ".join(map(str, info.versions)),
        "hash_algorithms": ", ".join(info.hash_algorithms),
        "features": ", ".join(info.features) or "-",
        "siblings": ", ".join(info.siblings or ()) or "-",
        "max_object": octets(info.limits.max_object),
        "max_ttl": _show.span(info.limits.max_ttl),
        "max_token_life": _show.span(info.limits.max_token_life),
    }


def _print(tree: dict[str, Any], texts: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        _show.as_json(tree)
        return
    for key, text in texts.items():
        _show.line(f"{key.replace('_', ' ')}: {text}")
