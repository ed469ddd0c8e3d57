"""`ietf-p2p alto viz`: one HTML page that shows what a server, or some files, say."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from alto.errors import ConfigurationError
from interop.cli._errors import FailureError, MistakeError, reason
from interop.cli._options import JSON
from interop.cli._progress import note
from interop.cli._show import clean
from interop.cli.alto._client import Access, asking, connects

if TYPE_CHECKING:
    from interop.alto_client import AltoClient
    from interop.alto_viz import Snapshot


@click.command(
    epilog="Examples:\n\n\b\n"
    "  ietf-p2p alto viz http://127.0.0.1:8710/ -o page.html\n"
    "  ietf-p2p alto viz network-map.json costs.csv -o page.html\n"
)
@click.argument("sources", nargs=-1, required=True, metavar="URL|FILES...")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="Where to write the page.",
)
@JSON
@connects(lenient=False)
def command(sources: tuple[str, ...], output: Path, as_json: bool, access: Access) -> int:
    """Write one HTML page that shows a server: costs as a heat map, PIDs with their prefixes, which PID an address is
    in and why, properties, calendars.

    The server is named by the URL of its directory, or by a domain whose server is looked up; or the page is made of
    FILES: ALTO documents as .json, and the .csv files of `alto serve`. The page needs no network and no other file. It
    lists where the documents deviate from the RFCs.
    """
    if len(sources) == 1 and not _is_file(sources[0]):
        lenient = attrs.evolve(access, lenient=True)
        return asking(lenient, sources[0], lambda alto: _of_server(alto, output, as_json))
    from interop.alto_viz import snapshot_of_files

    for source in sources:
        if "://" in source:
            raise MistakeError(f"{source:.200}: a page is of one server, or of files")
    try:
        snapshot = snapshot_of_files([Path(source) for source in sources])
    except ConfigurationError as error:
        raise MistakeError(clean(str(error))) from error
    return _write(snapshot, output, as_json)


def _is_file(source: str) -> bool:
    # What looks like a file and is not there is a mistake about a file, not a domain to look up.
    return "://" not in source and (Path(source).exists() or source.endswith((".json", ".csv")) or os.sep in source)


async def _of_server(alto: AltoClient, output: Path, as_json: bool) -> int:
    from interop.alto_viz import snapshot_of_server

    return _write(await snapshot_of_server(alto), output, as_json)


def _write(snapshot: Snapshot, output: Path, as_json: bool) -> int:
    from interop.alto_viz import page

    for failure in snapshot.failures:
        note(f"not shown: {clean(failure)}")
    if snapshot.is_empty:
        raise FailureError("there is nothing to show: no network map, no costs, no properties")
    body = page(snapshot)
    try:
        output.write_bytes(body)
    except OSError as error:
        raise MistakeError(f"{output}: {reason(error)}") from error
    told = {
        "output": str(output),
        "octets": len(body),
        "network_maps": len(snapshot.network_maps),
        "pids": sum(len(view.network_map.names) for view in snapshot.network_maps),
        "prefixes": sum(len(view.network_map.table) for view in snapshot.network_maps),
        "cost_types": len(snapshot.costs),
        "property_maps": len(snapshot.properties),
        "deviations": len(snapshot.findings),
        "failures": len(snapshot.failures),
    }
    if as_json:
        click.echo(json.dumps(told))
    else:
        click.echo(
            f"{output}: {told['pids']} PIDs, {told['prefixes']} prefixes, {told['cost_types']} cost types, "
            f"{told['property_maps']} property maps, {told['deviations']} deviations; {len(body) / 1e6:.1f} MB"
        )
    return 0
