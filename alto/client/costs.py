"""Costs: whole and filtered maps, between endpoints, and which peers are best (RFC 7285 sections 5.3, 9.2.5 and 11)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from alto import media
from alto._json import Json
from alto.address import canonical_endpoint, client_endpoint
from alto.client.errors import ServerError, UnreachableError
from alto.client.fetch import Plan
from alto.client.reading import Result, json_of
from alto.closure import Closure
from alto.costmap import parse_cost_map
from alto.costparams import Wanted, cost_map_filter, endpoint_cost_params
from alto.costrequest import CostCapabilities
from alto.costresult import ReceivedCosts
from alto.endpointcost import parse_endpoint_cost
from alto.errors import ConfigurationError
from alto.findings import Finding, Findings
from alto.ird import ResourceEntry
from alto.metrics import NUMERICAL, ORDINAL, prefers_higher
from alto.networkmap import ParsedNetworkMap
from alto.types import CostType

if TYPE_CHECKING:
    from alto.client.client import Client

ROUTING_COST = CostType(NUMERICAL, "routingcost")
"""What is asked for where nothing else is said: the one metric that every server has (RFC 7285 section 6.1.1.1)."""

Build = Callable[[CostCapabilities], Json]
"""What makes a request's body for a resource, or raises ConfigurationError if it cannot be asked that."""


@frozen
class CostQuery:
    """Which costs: `wanted` is a cost type, or several for multi-cost (RFC 8189), themselves or by name in the IRD.

    `constraints` are predicates that all have to hold, `or_constraints` lists of them of which one has to; they count
    the cost types in `testable`, or else in `wanted`. `calendared` asks for calendars (RFC 8896).
    """

    wanted: Wanted = ROUTING_COST
    testable: Sequence[str | CostType] = ()
    constraints: Sequence[str] = ()
    or_constraints: Sequence[Sequence[str]] = ()
    calendared: bool | Sequence[bool] = False

    def cost_map_filter(
        self, capabilities: CostCapabilities, sources: Sequence[str] | None, destinations: Sequence[str] | None
    ) -> Json:
        """The body for a filtered cost map. Raises ConfigurationError if the resource cannot be asked that."""
        return cost_map_filter(
            capabilities,
            self.wanted,
            sources=sources,
            destinations=destinations,
            testable=self.testable,
            constraints=self.constraints,
            or_constraints=self.or_constraints,
            calendared=self.calendared,
        )

    def endpoint_cost_params(
        self, capabilities: CostCapabilities, sources: Sequence[str], destinations: Sequence[str]
    ) -> Json:
        """The body for an endpoint cost service. Raises ConfigurationError if the resource cannot be asked that."""
        return endpoint_cost_params(
            capabilities,
            self.wanted,
            sources=sources,
            destinations=destinations,
            testable=self.testable,
            constraints=self.constraints,
            or_constraints=self.or_constraints,
            calendared=self.calendared,
        )


@frozen
class RankedPeer:
    """A peer and what it costs to reach; None where the server does not know."""

    endpoint: str
    cost: float | None


@frozen
class Ranking:
    """Peers, the best first; those without a cost last, and what ties in the order given."""

    peers: tuple[RankedPeer, ...]
    cost_type: CostType
    findings: tuple[Finding, ...] = ()


def whole_cost_map(client: Client, cost_type: CostType, network_map: ResourceEntry) -> Plan[Result[ReceivedCosts]]:
    """All costs between the PIDs of a network map.

    A GET if there is one to be had, as its answer can be kept (section 9.2.5.1); else all of a filtered cost map.
    """
    closure = yield from client.directory()
    entries = closure.of_type(media.COST_MAP, accepts=None)
    for entry in entries:
        if network_map.id in entry.uses and closure.offers(entry, cost_type.key):
            return (yield from client.obtain(entry, json_of(_cost_map_parser(client, closure, entry, None))))
    entry, params = choose(
        closure,
        (
            entry
            for entry in closure.of_type(media.COST_MAP, accepts=media.COST_MAP_FILTER)
            if network_map.id in entry.uses
        ),
        lambda capabilities: _whole(capabilities, cost_type),
    )
    return (yield from client.obtain(entry, json_of(_cost_map_parser(client, closure, entry, params)), params))


def _whole(capabilities: CostCapabilities, cost_type: CostType) -> Json:
    if cost_type.key not in capabilities.names:
        raise ConfigurationError(f"the resource has no cost type {cost_type.key}")
    return {"cost-type": {"cost-mode": cost_type.cost_mode, "cost-metric": cost_type.cost_metric}}


def posted_costs(
    client: Client, document_type: str, accepts: str, build: Build, suits: Callable[[ResourceEntry], bool]
) -> Plan[Result[ReceivedCosts]]:
    """The costs of the first resource of that type that suits and that can be asked what `build` makes."""
    closure = yield from client.directory()
    entries = (entry for entry in closure.of_type(document_type, accepts=accepts) if suits(entry))
    entry, params = choose(closure, entries, build)
    parser = _cost_map_parser if document_type == media.COST_MAP else _endpoint_cost_parser
    return (yield from client.obtain(entry, json_of(parser(client, closure, entry, params)), params))


def choose(closure: Closure, entries: Iterable[ResourceEntry], build: Build) -> tuple[ResourceEntry, Json]:
    """The first of the resources that can be asked what `build` makes, and what that is.

    Raises ConfigurationError: that of the last one, if there is any.
    """
    reason = ConfigurationError("this server has no resource for these costs")
    for entry in entries:
        if entry.is_multipart:
            continue
        try:
            return entry, build(CostCapabilities.of_entry(entry.capabilities, closure.cost_types[entry.id]))
        except ConfigurationError as error:
            reason = error
    raise reason


def _cost_map_parser(
    client: Client, closure: Closure, entry: ResourceEntry, params: Json
) -> Callable[[Json, Findings], ReceivedCosts]:
    """What reads the answer to a request that is about to be sent."""
    cost_types, wall = closure.cost_types[entry.id], client.now()
    return lambda tree, findings: parse_cost_map(
        tree, findings, params=params, entry=entry, cost_types=cost_types, wall=wall
    )


def _endpoint_cost_parser(
    client: Client, closure: Closure, entry: ResourceEntry, params: Json
) -> Callable[[Json, Findings], ReceivedCosts]:
    cost_types, wall = closure.cost_types[entry.id], client.now()
    return lambda tree, findings: parse_endpoint_cost(
        tree, findings, params=params, entry=entry, cost_types=cost_types, wall=wall
    )


def endpoint(text: str) -> str:
    """A typed endpoint address from one with or without its type: `192.0.2.1` is `ipv4:192.0.2.1`.

    Raises ConfigurationError.
    """
    found: str | None
    try:
        found = canonical_endpoint(text) if text.startswith(("ipv4:", "ipv6:")) else client_endpoint(text)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    if found is None:
        raise ConfigurationError(f"{text!r:.80} is no IP address")
    return found


def costs_by_maps(
    client: Client, sources: Sequence[str], destinations: Sequence[str], cost_type: CostType
) -> Plan[Result[ReceivedCosts]]:
    """Costs between typed endpoints, looked up here in the default network map and a cost map over it.

    The server does not learn whom they are between (section 15.4.2). The PID is that of the longest prefix in the whole
    network map, and the cost map is one over its very version: if it is not, both are asked for once more.
    """
    for is_last in (False, True):
        network_map = yield from client.network_map()
        costs = yield from whole_cost_map(client, cost_type, network_map.entry)
        if network_map.value.vtag is not None and network_map.value.vtag in costs.value.dependent_vtags:
            break
        if is_last:
            findings = Findings(strict=client.strict)
            text = f"not the version of the network map {network_map.entry.id!r} that is served, twice in a row"
            try:
                findings.must("meta/dependent-vtags", text, 7285, "11.2.3.6")
            finally:
                client.note(findings.items)
    pairs = _between(network_map.value, costs.value, sources, destinations)
    found = ReceivedCosts(costs.value.cost_types, pairs, dependent_vtags=costs.value.dependent_vtags)
    return Result(found, costs.entry, costs.uri, (*network_map.findings, *costs.findings))


def _between(
    network_map: ParsedNetworkMap, costs: ReceivedCosts, sources: Sequence[str], destinations: Sequence[str]
) -> dict[str, dict[str, Json]]:
    pids = network_map.network_map.pids_of(destinations)
    found: dict[str, dict[str, Json]] = {}
    for source, pid in zip(sources, network_map.network_map.pids_of(sources), strict=True):
        row = found[source] = {}
        for destination, other in zip(destinations, pids, strict=True):
            cost = costs.cost(pid, other) if pid is not None and other is not None else None
            if cost is not None:
                row[destination] = cost
    return found


def costs_between(
    client: Client,
    sources: Sequence[str],
    destinations: Sequence[str],
    cost_types: Sequence[CostType],
    *,
    private: bool,
) -> Plan[Result[ReceivedCosts]]:
    """Costs of the first of the cost types that is to be had: from an endpoint cost service, else by maps.

    Maps come in also where the service fails (section 8.3.4.3). A `private` client asks for maps only.
    """
    failure: ServerError | UnreachableError | ConfigurationError | None = None
    if not private:
        for cost_type in cost_types:
            try:
                return (yield from client.endpoint_costs(sources, destinations, CostQuery(cost_type)))
            except ConfigurationError as error:
                failure = failure or error
            except (ServerError, UnreachableError) as error:
                failure = error
                break
    if not sources or not destinations:
        raise failure or ConfigurationError("maps tell nothing of an address that is not given")
    # Where maps are had whole, numbers say more than ranks do.
    for cost_type in sorted(cost_types, key=lambda cost_type: cost_type.cost_mode != NUMERICAL):
        try:
            return (yield from costs_by_maps(client, sources, destinations, cost_type))
        except ConfigurationError as error:
            failure = failure or error
    raise failure or ConfigurationError("no cost type is asked for")


def rank(
    client: Client, source: str | None, peers: Sequence[str], *, metric: str = "routingcost", private: bool = False
) -> Plan[Ranking]:
    """The peers as `source` should prefer them; None is this client, as the server sees its connection.

    Ordinal costs are asked for where there are some, else numerical ones, from which the order follows.
    """
    wanted = list(dict.fromkeys(endpoint(peer) for peer in peers))
    if not wanted:
        return Ranking((), CostType(ORDINAL, metric))
    sources = [] if source is None else [endpoint(source)]
    cost_types = [CostType(ORDINAL, metric), CostType(NUMERICAL, metric)]
    result = yield from costs_between(client, sources, wanted, cost_types, private=private)
    costs = result.value
    cost_type = costs.cost_types[0]
    key = sources[0] if sources else next(iter(costs.pairs), "")
    known = {peer: costs.cost(key, peer) for peer in wanted}
    sign = -1.0 if cost_type.cost_mode != ORDINAL and prefers_higher(metric) else 1.0

    def place(peer: str) -> tuple[bool, float]:
        cost = known[peer]
        return cost is None, 0.0 if cost is None else sign * cost

    return Ranking(
        tuple(RankedPeer(peer, known[peer]) for peer in sorted(wanted, key=place)), cost_type, result.findings
    )
