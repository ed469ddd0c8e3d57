"""`ietf-p2p alto pid`: in which PID an address is, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from alto.address import BITS, FAMILIES, format_prefix, parse_endpoint
from alto.networkmap import NetworkMap
from interop.cli import _show
from interop.cli._options import JSON
from interop.cli.alto._client import URL, Access, asking, connects
from interop.cli.alto._ends import address, shown

if TYPE_CHECKING:
    from interop.alto_client import AltoClient


@click.command(epilog="Example:\n\n\b\n  ietf-p2p alto pid http://127.0.0.1:7285/ 192.0.2.1 2001:db8::1")
@URL
@click.argument("addresses", metavar="IP...", nargs=-1, required=True)
@click.option("--id", "resource_id", metavar="ID", help="The network map. [default: the server's default one]")
@JSON
@connects()
def command(url: str, addresses: tuple[str, ...], resource_id: str | None, as_json: bool, access: Access) -> int:
    """Show in which PID each IP address is: that of the longest prefix which contains it (RFC 7285 section 11.2.2).

    The addresses stay here: the network map of the server at URL is fetched whole, as only a whole one can tell.
    """
    endpoints = [address(word) for word in addresses]

    async def work(alto: AltoClient) -> None:
        network_map = (await alto.network_map(resource_id)).value.network_map
        found = {endpoint: _containing(network_map, endpoint) for endpoint in endpoints}
        if as_json:
            _show.as_json([_json(endpoint, prefixes) for endpoint, prefixes in found.items()])
            return
        rows = [_row(endpoint, prefixes) for endpoint, prefixes in found.items()]
        _show.table(["ADDRESS", "PID", "LONGEST PREFIX", "OTHERS THAT CONTAIN IT"], rows)

    return asking(access, url, work)


def _containing(network_map: NetworkMap, endpoint: str) -> Sequence[tuple[str, str]]:
    """The prefixes that contain an address with their PIDs, the one that decides first."""
    family, value = parse_endpoint(endpoint)
    decides = network_map.locate(endpoint)
    if decides is None:
        return []
    pids = _prefixes(network_map, family)
    bits = BITS[family]
    length = int(decides.prefix.rpartition("/")[2])
    found = [(decides.prefix, decides.pid)]
    for shorter in range(length - 1, -1, -1):
        prefix = format_prefix(family, value >> (bits - shorter) << (bits - shorter), shorter)
        if prefix in pids:
            found.append((prefix, pids[prefix]))
    return found


def _prefixes(network_map: NetworkMap, family: int) -> Mapping[str, str]:
    return {
        prefix: name
        for name, group in network_map.pids.items()
        for kind, prefixes in group.items()
        if FAMILIES.get(kind) == family
        for prefix in prefixes
    }


def _row(endpoint: str, prefixes: Sequence[tuple[str, str]]) -> list[_show.Cell]:
    if not prefixes:
        return [shown(endpoint), ("-", "red"), "-", ""]
    (prefix, pid), *others = prefixes
    return [shown(endpoint), (pid, "bold"), prefix, ", ".join(f"{each} ({name})" for each, name in others)]


def _json(endpoint: str, prefixes: Sequence[tuple[str, str]]) -> dict[str, object]:
    prefix, pid = prefixes[0] if prefixes else (None, None)
    others = [{"prefix": each, "pid": name} for each, name in prefixes[1:]]
    return {"address": endpoint, "pid": pid, "prefix": prefix, "others": others}
