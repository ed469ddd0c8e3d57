"""`ietf-p2p alto pv`: through what traffic goes, and what it shares with other traffic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import click

from alto._json import Json
from alto.paths import MAX_RESERVABLE_BANDWIDTH
from alto.pathvector import Flow, PathVector
from interop.cli import _show
from interop.cli._options import JSON
from interop.cli.alto._client import URL, Access, asking, connects
from interop.cli.alto._ends import ends, shown

if TYPE_CHECKING:
    from interop.alto_client import AltoClient

# Characters of an element's name that people are shown, if they tell it from the others.
_SHORT = 6


@click.command(epilog="Example:\n\n\b\n  ietf-p2p alto pv http://127.0.0.1:7285/ PID1,PID2 PID3 PID4")
@URL
@click.argument("source", metavar="SRC")
@click.argument("destinations", metavar="DST...", nargs=-1, required=True)
@click.option("--property", "names", multiple=True, metavar="NAME", help="Only this property of the elements.")
@click.option("--between", type=click.Choice(["pids", "endpoints"]), help="What the words are, if they could be both.")
@click.option("--id", "resource_id", metavar="ID", help="The resource. [default: the first that has path vectors]")
@JSON
@connects()
def command(
    url: str,
    source: str,
    destinations: tuple[str, ...],
    names: tuple[str, ...],
    between: str | None,
    resource_id: str | None,
    as_json: bool,
    access: Access,
) -> int:
    """Show the network elements between SRC and each DST, which flows share them, and what limits them (RFC 9275).

    SRC and DST are all names of PIDs, or all addresses. SRC may be several with commas in between, or '-' for this host
    as the server sees it. The names of the elements mean nothing beyond this one answer.
    """
    what = ends(source, destinations, between)

    async def work(alto: AltoClient) -> None:
        plan = alto.client.path_vector(
            what.sources, what.destinations, names or None, between=what.between, resource_id=resource_id
        )
        found = (await alto.run(plan)).value
        if as_json:
            _show.as_json(_json(found))
        else:
            _print(found)

    return asking(access, url, work)


def _json(found: PathVector) -> dict[str, Json]:
    rates = found.fair_rates()
    flows: list[Json] = []
    for flow, path in found.paths.items():
        limit = found.bottleneck(*flow)
        flows.append(
            {
                "source": flow[0],
                "destination": flow[1],
                "path": list(path),
                "bottleneck": None if limit is None else {"element": limit[0], "bits-per-second": limit[1]},
                "fair-bits-per-second": _finite(rates[flow]),
            }
        )
    shared = {name: [list(flow) for flow in flows] for name, flows in found.shared().items()}
    return {"flows": flows, "shared": shared, "elements": {name: dict(of) for name, of in found.properties.items()}}


def _finite(rate: float) -> float | None:
    return rate if math.isfinite(rate) else None


def _print(found: PathVector) -> None:
    names = _short(found.properties)
    rates = found.fair_rates()
    has_rates = any(math.isfinite(rate) for rate in rates.values())
    rows: list[list[_show.Cell]] = []
    for flow, path in found.paths.items():
        limit = found.bottleneck(*flow)
        row: list[_show.Cell] = [*map(shown, flow), " → ".join(names[each] for each in path)]
        if has_rates:
            alone = "-" if limit is None else f"{_show.bits(limit[1])} ({names[limit[0]]})"
            row += [alone, _show.bits(rates[flow]) if math.isfinite(rates[flow]) else "-"]
        rows.append(row)
    _show.table(["FROM", "TO", "THROUGH", *(["ALONE, LIMITED BY", "ALL AT ONCE"] if has_rates else [])], rows)
    shared = found.shared()
    elements: list[list[_show.Cell]] = [
        [(names[name], "bold" if name in shared else ""), _properties(of), _flows(shared.get(name, ()))]
        for name, of in found.properties.items()
    ]
    _show.table(["ELEMENT", "PROPERTIES", "SHARED BY"], elements)


def _properties(of: Mapping[str, Json]) -> str:
    words = []
    for name, value in of.items():
        is_rate = name == MAX_RESERVABLE_BANDWIDTH and isinstance(value, int | float)
        words.append(f"{name} {_show.bits(float(value)) if is_rate else _show.value_text(value)}")
    return ", ".join(words) or "-"


def _flows(flows: Iterable[Flow]) -> str:
    return ", ".join(f"{shown(source)} → {shown(destination)}" for source, destination in flows) or "-"


def _short(names: Iterable[str]) -> dict[str, str]:
    """Each name by its beginning, as long as it has to be to tell it from the others."""
    listed = list(names)
    for length in range(_SHORT, max(map(len, listed), default=0)):
        if len({name[:length] for name in listed}) == len(listed):
            return {name: name[:length] for name in listed}
    return {name: name for name in listed}
