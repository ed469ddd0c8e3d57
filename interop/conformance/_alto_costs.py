"""ALTO's costs as conformance calls: served, read, and what metrics and dates mean."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from alto import ConfigurationError, RequestError
from alto.calendar import Calendar, parse_imf_fixdate
from alto.capabilities import read_capabilities
from alto.costmap import CostMapResource, FilteredCostMapResource, parse_cost_map
from alto.costoffers import CostOffer
from alto.costresult import ReceivedCosts
from alto.costs import CostMatrix
from alto.directory import Directory, Query, RequestContext
from alto.endpointcost import EndpointCostResource, parse_endpoint_cost
from alto.findings import Findings
from alto.ird import ResourceEntry
from alto.metrics import metric_of, parse_cost_type, prefers_higher, split_metric, statistic_of
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.types import CostType

_Json = dict[str, Any]
_MAP = "network-map"


class _Between:
    """Costs between addresses, as an application has them."""

    def __init__(self, costs: _Json) -> None:
        self._costs = costs
        self.version = repr(costs)

    def costs(self, sources: Any, destinations: Any) -> list[list[float | None]]:
        return [[self._costs.get(one, {}).get(other) for other in destinations] for one in sources]


def _types(args: _Json) -> dict[str, CostType]:
    return {
        name: CostType(tree["cost-mode"], tree["cost-metric"], tree.get("description"), tree.get("cost-context"))
        for name, tree in args["cost_types"].items()
    }


def _pids(args: _Json) -> NetworkMap:
    """The network map of the case; where it only names PIDs, any will do."""
    pids = args.get("network_map") or {
        name: {"ipv4": [f"192.0.2.{place}/32"]} for place, name in enumerate(args["pids"])
    }
    return NetworkMap(pids, default_pid=next(iter(pids)))


def _source(costs: _Json) -> CostMatrix | _Between:
    return _Between(costs) if any(":" in name for name in costs) else CostMatrix.from_mapping(costs)


def _calendar(tree: _Json | None) -> Calendar | None:
    if tree is None:
        return None
    rows = tree["costs"]
    number = max(len(costs) for row in rows.values() for costs in row.values())
    intervals = [
        _source({source: {name: costs[at] for name, costs in row.items()} for source, row in rows.items()})
        for at in range(number)
    ]
    return Calendar(intervals, tree["time_interval_size"], tree["start"], tree.get("repeated"))


def _offers(args: _Json) -> dict[str, CostOffer]:
    calendars = args.get("calendars", {})
    return {
        name: CostOffer(cost_type, _source(args["costs"][name]), _calendar(calendars.get(name)))
        for name, cost_type in _types(args).items()
    }


def _capabilities(args: _Json) -> _Json:
    return {
        "cost_constraints": args.get("cost_constraints", False),
        "max_cost_types": args.get("max_cost_types", 0),
        "testable_cost_type_names": tuple(args.get("testable_cost_type_names", ())),
    }


def _filtered_cost_map(args: _Json) -> _Json:
    whole = NetworkMapResource(_MAP, _pids(args))
    return _answer(FilteredCostMapResource("filtered", _MAP, _offers(args), **_capabilities(args)), args, whole)


def _endpoint_cost(args: _Json) -> _Json:
    whole = [NetworkMapResource(_MAP, _pids(args))] if "network_map" in args else []
    name = _MAP if whole else None
    resource = EndpointCostResource("costs", _offers(args), network_map=name, **_capabilities(args))
    return _answer(resource, args, *whole)


def _cost_map(args: _Json) -> _Json:
    whole = NetworkMapResource(_MAP, _pids(args))
    [(name, cost_type)] = _types(args).items()
    costs = CostMatrix.from_mapping(args["costs"][name])
    return _answer(CostMapResource("cost-map", _MAP, name, cost_type, costs), args, whole)


def _answer(resource: Any, args: _Json, *others: Any) -> _Json:
    """What the resource answers: its data and what `meta` says of it, without version tags; or the error."""
    directory = Directory([resource, *others])
    capabilities = resource.capabilities(directory)
    if "request" not in args and resource.accepts is not None:
        return {"capabilities": capabilities, "uses": list(resource.uses)}
    context = RequestContext(directory, args.get("client"))
    try:
        tree = dict(resource.answer(Query(context, args.get("request"), random_bytes=bytes)).tree)
    except RequestError as error:
        found = {"error": error.code.value, "field": error.field, "value": error.value}
        return {name: value for name, value in found.items() if value is not None}
    meta = dict(tree.pop("meta"))
    meta.pop("vtag", None)
    depends = [vtag["resource-id"] for vtag in meta.pop("dependent-vtags", ())]
    return {"meta": meta, **tree, **({"depends_on": depends} if depends else {})}


def _read(args: _Json) -> _Json:
    """The costs in a response, read strictly or not, and where it breaks a MUST."""
    findings = Findings(strict=args.get("strict", True))
    cost_types = _types(args) if "cost_types" in args else {}
    entry = None
    if "capabilities" in args:
        capabilities = read_capabilities(
            args["capabilities"], "application/alto-costmap+json", "x", cost_types, "", Findings(strict=False)
        )
        entry = ResourceEntry("id", "http://alto.example.com/", "", "x", capabilities, tuple(args.get("uses", ())))
    parse = parse_endpoint_cost if "endpoint-cost-map" in args["body"] else parse_cost_map
    found = parse(args["body"], findings, params=args.get("request"), entry=entry, cost_types=cost_types)
    broken = sorted({item.path for item in findings.items if item.level.value == "must"})
    return {"costs": found.pairs, **_said(found), **({"broken": broken} if broken else {})}


def _said(found: ReceivedCosts) -> _Json:
    calendars = [{"start": calendar.start, "end": calendar.end} for calendar in found.calendars if calendar is not None]
    said: _Json = {"cost_types": [[one.cost_mode, one.cost_metric] for one in found.cost_types]}
    if calendars:
        said["calendars"] = calendars
    return said


def _rank(args: _Json) -> _Json:
    """The ordinal costs that a client makes of what it has got."""
    parse = parse_endpoint_cost if "endpoint-cost-map" in args["body"] else parse_cost_map
    return dict(parse(args["body"], Findings()).ranks())


def _metric(args: _Json) -> _Json:
    name = args["metric"]
    tree = {"cost-mode": args.get("mode", "numerical"), "cost-metric": name, **args.get("more", {})}
    cost_type = parse_cost_type(tree, Findings(), "")
    if cost_type is None:
        raise ConfigurationError(f"{name!r} is of no use")
    metric = metric_of(name)
    found = {
        "base": split_metric(name)[0],
        "statistic": statistic_of(name),
        "unit": None if metric is None else metric.unit or None,
        "prefers_higher": prefers_higher(name),
    }
    return {member: value for member, value in found.items() if value is not None}


def _fixdate(args: _Json) -> _Json:
    parsed = parse_imf_fixdate(args["text"])
    if parsed is None:
        raise ValueError("no date")
    return {"unix": parsed[0], "is_exact": parsed[1]}


CALLS: Mapping[str, Callable[[_Json], Any]] = MappingProxyType(
    {
        "cost-map": _cost_map,
        "filtered-cost-map": _filtered_cost_map,
        "endpoint-cost": _endpoint_cost,
        "read-costs": _read,
        "rank-costs": _rank,
        "cost-metric": _metric,
        "imf-fixdate": _fixdate,
    }
)
