"""`ietf-p2p alto rank`: which of several addresses are best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from alto.address import FAMILIES
from alto.client.costs import RankedPeer, Ranking
from alto.metrics import ORDINAL, prefers_higher
from interop.cli import _show
from interop.cli._errors import FailureError, MistakeError
from interop.cli._options import JSON, host_port
from interop.cli._progress import note
from interop.cli.alto._client import URL, Access, asking, connects, plainly
from interop.cli.alto._costs import heading
from interop.cli.alto._ends import address, shown

if TYPE_CHECKING:
    from interop.alto_client import AltoClient

_BAR = 24


@click.command(
    epilog="Examples:\n\n\b\n  ietf-p2p alto rank http://127.0.0.1:7285/ 192.0.2.1 203.0.113.9\n"
    "  ietf-p2p alto rank example.com 192.0.2.1 203.0.113.9 --stun stun.example.com:3478"
)
@URL
@click.argument("peers", metavar="DST...", nargs=-1, required=True)
@click.option("--from", "source", metavar="SRC", help="Whose peers. [default: this host, as the ALTO server sees it]")
@click.option("--stun", type=host_port, metavar="HOST:PORT", help="This host as this STUN server sees it (RFC 5389).")
@click.option("--metric", default="routingcost", show_default=True, metavar="METRIC", help="What counts.")
@click.option("--private", is_flag=True, help="Fetch whole maps and look up here, so that the server learns nothing.")
@JSON
@connects()
def command(
    url: str,
    peers: tuple[str, ...],
    source: str | None,
    stun: tuple[str, int] | None,
    metric: str,
    private: bool,
    as_json: bool,
    access: Access,
) -> int:
    """Sort addresses as SRC should prefer them, the best first, by what the ALTO server at URL says."""
    destinations = [address(word) for word in peers]
    if source is not None and stun is not None:
        raise MistakeError("--from and --stun both say who the source is: give one")
    given = address(source) if source is not None else None

    async def work(alto: AltoClient) -> None:
        own = given if stun is None else await _own(stun, destinations[0], access)
        ranking = await alto.run(alto.client.rank(own, destinations, metric=metric, private=private))
        if as_json:
            listed = [{"endpoint": peer.endpoint, "cost": peer.cost} for peer in ranking.peers]
            _show.as_json({"source": own, "cost-type": ranking.cost_type.to_json(), "peers": listed})
        else:
            _table(ranking)

    return asking(access, url, work)


async def _own(server: tuple[str, int], destination: str, access: Access) -> str:
    """This host's public address, of the family of the first destination."""
    try:
        from interop.alto_stun import public_address
    except ModuleNotFoundError as missing:
        raise FailureError(f"--stun needs {missing.name}: pip install 'ietf-p2p[interop]'") from None
    family = FAMILIES[destination.partition(":")[0]]
    with plainly(lenient=True):
        found = await public_address(server, family=family, patience=access.timeout)
    note(f"this host is {shown(found)}")
    return found


def _table(ranking: Ranking) -> None:
    costs = [peer.cost for peer in ranking.peers if peer.cost is not None]
    most = max(costs, default=0.0)
    is_terminal = _show.is_terminal()
    rows: list[list[_show.Cell]] = []
    for place, peer in enumerate(ranking.peers, 1):
        row: list[_show.Cell] = [str(place), shown(peer.endpoint), _show.number(peer.cost)]
        if is_terminal:
            row.append(_bar(peer, costs, most, is_best_high=_is_best_high(ranking)))
        rows.append(row)
    _show.table(["#", "ADDRESS", heading(ranking.cost_type), *([""] if is_terminal else [])], rows, right=(0, 2))


def _is_best_high(ranking: Ranking) -> bool:
    return ranking.cost_type.cost_mode != ORDINAL and prefers_higher(ranking.cost_type.cost_metric)


def _bar(peer: RankedPeer, costs: list[float], most: float, *, is_best_high: bool) -> _show.Cell:
    if peer.cost is None:
        return ("unknown", "dim")
    least = min(costs)
    spread = most - least
    badness = (peer.cost - least) / spread if spread > 0 else 0.0
    badness = 1 - badness if is_best_high and spread > 0 else badness
    colour = "green" if badness < 1 / 3 else "yellow" if badness < 2 / 3 else "red"
    return (_show.bar(peer.cost / most if most > 0 else 0.0, _BAR), colour)
