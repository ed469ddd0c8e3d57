"""`ietf-p2p alto cost`: what it costs from here to there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs
import click

from alto.client.client import Client
from alto.client.costs import CostQuery, costs_between
from alto.client.fetch import Plan
from alto.client.reading import Result
from alto.costresult import ReceivedCosts
from alto.errors import ConfigurationError
from alto.metrics import NUMERICAL, ORDINAL
from alto.types import CostType
from interop.cli import _show
from interop.cli._errors import MistakeError
from interop.cli._options import JSON
from interop.cli.alto._client import URL, Access, asking, connects
from interop.cli.alto._costs import costs_json, show_costs
from interop.cli.alto._ends import Ends, ends

if TYPE_CHECKING:
    from interop.alto_client import AltoClient

_MODES = (NUMERICAL, ORDINAL)
_EPILOG = (
    "Examples:\n\n\b\n  ietf-p2p alto cost http://127.0.0.1:7285/ 192.0.2.1 203.0.113.9 198.51.100.7\n"
    "  ietf-p2p alto cost http://127.0.0.1:7285/ access-north,access-south internet --metric hopcount --mode ordinal"
)


@attrs.frozen
class _Asked:
    """Which costs, in the order of preference of what makes a difference to the server only."""

    ends: Ends
    metrics: tuple[str, ...]
    modes: tuple[str, ...]
    constraints: tuple[str, ...]
    or_constraints: tuple[tuple[str, ...], ...]
    calendared: bool
    network_map: str | None
    private: bool

    @property
    def is_plain(self) -> bool:
        """Whether whole maps have an answer, too."""
        return len(self.metrics) == 1 and not (self.constraints or self.or_constraints or self.calendared)

    def query(self, mode: str) -> CostQuery:
        """The costs in this mode; several of them are multi-cost (RFC 8189)."""
        wanted = [CostType(mode, metric) for metric in self.metrics]
        return CostQuery(
            wanted[0] if len(wanted) == 1 else wanted,
            constraints=self.constraints,
            or_constraints=self.or_constraints,
            calendared=self.calendared,
        )


def _or_constraints(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(part.strip() for part in text.split(",")) for text in value)


@click.command(epilog=_EPILOG)
@URL
@click.argument("source", metavar="[SRC", required=False)
@click.argument("destinations", metavar="DST...]", nargs=-1)
@click.option("--metric", "metrics", multiple=True, metavar="METRIC", help="Again for several at once (RFC 8189).")
@click.option("--mode", type=click.Choice(_MODES), help="Costs or ranks. [default: costs where there are some]")
@click.option("--constraint", "constraints", multiple=True, metavar="PREDICATE", help="Such as 'le 10' or '[1] ge 5'.")
@click.option(
    "--or",
    "or_constraints",
    multiple=True,
    callback=_or_constraints,
    metavar="PREDICATE[,...]",
    help="Of several of these one has to hold (RFC 8189).",
)
@click.option("--calendar", "calendared", is_flag=True, help="The costs of the times to come (RFC 8896).")
@click.option("--map", "network_map", metavar="ID", help="The network map of the PIDs. [default: the default one]")
@click.option("--between", type=click.Choice(["pids", "endpoints"]), help="What the words are, if they could be both.")
@click.option("--private", is_flag=True, help="Fetch whole maps and look up here, so that the server learns nothing.")
@JSON
@connects()
def command(
    url: str,
    source: str | None,
    destinations: tuple[str, ...],
    mode: str | None,
    between: str | None,
    as_json: bool,
    access: Access,
    metrics: tuple[str, ...],
    **asked: object,
) -> int:
    """Show what it costs to get from SRC to each DST, by the ALTO server at URL.

    SRC and DST are all names of PIDs, or all addresses. SRC may be several with commas in between, or '-' for this host
    as the server sees it. Without DST it is all PIDs, without SRC the whole cost map.
    """
    what = _Asked(
        ends=ends(source, destinations, between),
        metrics=tuple(dict.fromkeys(metrics)) or ("routingcost",),
        modes=(mode,) if mode is not None else _MODES,
        **asked,  # type: ignore[arg-type]  # click has made them
    )
    if what.network_map is not None and not what.ends.are_pids:
        raise MistakeError("--map says whose PIDs are meant: not together with addresses")
    if what.private and not what.is_plain:
        raise MistakeError("whole maps have one metric, without constraints and calendars: not together with --private")

    async def work(alto: AltoClient) -> None:
        costs = (await alto.run(_costs(alto.client, what))).value
        if as_json:
            _show.as_json(costs_json(costs))
        else:
            show_costs(costs, what.ends)

    return asking(access, url, work)


def _costs(client: Client, asked: _Asked) -> Plan[Result[ReceivedCosts]]:
    """The costs, in the first of the modes that the server has them in."""
    if asked.ends.are_pids:
        return (yield from _first(asked, lambda mode: _between_pids(client, asked, mode)))
    if asked.is_plain:
        cost_types = [CostType(mode, asked.metrics[0]) for mode in asked.modes]
        sources, destinations = asked.ends.sources, asked.ends.destinations
        return (yield from costs_between(client, sources, destinations, cost_types, private=asked.private))
    sources, destinations = asked.ends.sources, asked.ends.destinations
    return (yield from _first(asked, lambda mode: client.endpoint_costs(sources, destinations, asked.query(mode))))


def _first(asked: _Asked, plan: Callable[[str], Plan[Result[ReceivedCosts]]]) -> Plan[Result[ReceivedCosts]]:
    failure: ConfigurationError | None = None
    for mode in asked.modes:
        try:
            return (yield from plan(mode))
        except ConfigurationError as error:
            failure = failure or error
    assert failure is not None
    raise failure


def _between_pids(client: Client, asked: _Asked, mode: str) -> Plan[Result[ReceivedCosts]]:
    sources, destinations = asked.ends.sources, asked.ends.destinations
    is_whole = not sources and not destinations
    if asked.is_plain and (is_whole or asked.private):
        return (yield from _whole(client, asked, mode))
    try:
        query = asked.query(mode)
        return (yield from client.filtered_cost_map(sources, destinations, query, network_map=asked.network_map))
    except ConfigurationError:
        if not asked.is_plain:
            raise
    return (yield from _whole(client, asked, mode))


def _whole(client: Client, asked: _Asked, mode: str) -> Plan[Result[ReceivedCosts]]:
    """From the whole cost map what was asked for."""
    cost_type = CostType(mode, asked.metrics[0])
    result = yield from client.cost_map(cost_type, network_map=asked.network_map)
    pairs = _selected(result.value.pairs, asked.ends.sources, asked.ends.destinations)
    return attrs.evolve(result, value=attrs.evolve(result.value, pairs=pairs))


def _selected(
    pairs: Mapping[str, Mapping[str, object]], sources: Sequence[str], destinations: Sequence[str]
) -> dict[str, dict[str, object]]:
    return {
        source: {name: row[name] for name in (destinations or row) if name in row}
        for source, row in pairs.items()
        if not sources or source in sources
    }
