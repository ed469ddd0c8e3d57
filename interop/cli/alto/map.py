"""`ietf-p2p alto map`: the PIDs of a network map, and their prefixes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from alto._json import Json
from alto.errors import ConfigurationError
from alto.networkmap import ParsedFilteredNetworkMap, ParsedNetworkMap
from interop.cli import _show
from interop.cli._errors import MistakeError
from interop.cli._options import JSON
from interop.cli.alto._client import URL, Access, asking, connects

if TYPE_CHECKING:
    from interop.alto_client import AltoClient

# Prefixes of a PID that the table names.
_FIRST = 3
_Pids = Mapping[str, Mapping[str, Sequence[str]]]


@click.command(
    epilog="Examples:\n\n\b\n  ietf-p2p alto map http://127.0.0.1:7285/\n"
    "  ietf-p2p alto map http://127.0.0.1:7285/ --pid access-north --all"
)
@URL
@click.option("--id", "resource_id", metavar="ID", help="The network map. [default: the server's default one]")
@click.option("--pid", "pids", multiple=True, metavar="PID", help="Only this PID; may be given again.")
@click.option("--all", "as_whole", is_flag=True, help="Every prefix on a line of its own.")
@JSON
@connects()
def command(
    url: str, resource_id: str | None, pids: tuple[str, ...], as_whole: bool, as_json: bool, access: Access
) -> int:
    """Show a network map of the ALTO server at URL: its PIDs, and the prefixes in them (RFC 7285 section 11.2.1).

    With --json it is the document itself, which 'ietf-p2p alto serve' can serve.
    """

    async def work(alto: AltoClient) -> None:
        received = await _map(alto, resource_id, pids)
        chosen = received.network_map.pids
        if pids:
            unknown = [name for name in pids if name not in chosen]
            if unknown:
                raise MistakeError(f"the network map has no PID {unknown[0]!r:.80}")
            chosen = {name: chosen[name] for name in pids}
        if as_json:
            _show.as_json(_json(received, chosen))
        elif as_whole:
            _show.table(["PID", "PREFIX"], ([name, prefix] for name, prefix in _prefixes(chosen)))
        else:
            _table(chosen)
            vtag = received.vtag
            prefixes = _show.counted(sum(1 for _ in _prefixes(chosen)), "prefix", "prefixes")
            version = f"; {vtag.resource_id} version {vtag.tag}" if vtag is not None else ""
            _show.line(f"{_show.counted(len(chosen), 'PID')}, {prefixes}{version}", "dim")

    return asking(access, url, work)


async def _map(
    alto: AltoClient, resource_id: str | None, pids: Collection[str]
) -> ParsedNetworkMap | ParsedFilteredNetworkMap:
    if pids:
        try:
            asked = alto.client.filtered_network_map(tuple(dict.fromkeys(pids)), network_map=resource_id)
            return (await alto.run(asked)).value
        except ConfigurationError:
            pass  # the whole map has them, too
    return (await alto.network_map(resource_id)).value


def _json(received: ParsedNetworkMap | ParsedFilteredNetworkMap, pids: _Pids) -> dict[str, Json]:
    meta = {"vtag": received.vtag.to_json()} if received.vtag is not None else {}
    groups = {name: {kind: list(prefixes) for kind, prefixes in group.items()} for name, group in pids.items()}
    return {"meta": meta, "network-map": groups}


def _prefixes(pids: _Pids) -> Iterator[tuple[str, str]]:
    for name, group in pids.items():
        for prefixes in group.values():
            for prefix in prefixes:
                yield name, prefix


def _table(pids: _Pids) -> None:
    kinds = list(dict.fromkeys(["ipv4", "ipv6", *(kind for group in pids.values() for kind in group)]))
    rows: list[list[str]] = []
    for name, group in pids.items():
        listed = [prefix for prefixes in group.values() for prefix in prefixes]
        more = f", … {len(listed) - _FIRST} more" if len(listed) > _FIRST else ""
        counts = [str(len(group.get(kind, ()))) for kind in kinds]
        rows.append([name, *counts, ", ".join(listed[:_FIRST]) + more])
    _show.table(["PID", *(kind.upper() for kind in kinds), "PREFIXES"], rows, right=range(1, len(kinds) + 1))
