"""The examples of costs in RFC 8189, RFC 8896, RFC 9439 and RFC 9275, asked of our own server with their data.

The same JSON values come out, but for tags, which are ours, names of metrics that are not registered (no server may
have those without `priv:`), and what the docstrings say.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from alto_figure10 import FIGURE_10
from alto_judge import parts
from alto_pv import NUM_RC, cost_map_resource, endpoint_cost_resource, figure_10
from alto_pv import directory as path_vectors

from alto.calendar import Calendar
from alto.costmap import FilteredCostMapResource
from alto.costoffers import CostOffer
from alto.costs import CostMatrix
from alto.directory import Directory
from alto.endpointcost import EndpointCostResource
from alto.http import Request, Response
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.server import AltoServer
from alto.topology import Topology
from alto.types import CostType

EXAMPLES = Path(__file__).parents[1] / "data" / "alto_examples"
MAP = "my-default-network-map"
UNREGISTERED = ("shoesize", "sceneryrate", "throughputrating", "owdelay")
MONDAY, TUESDAY = "Sun, 30 Jun 2019 00:00:00 GMT", "Mon, 01 Jul 2019 13:00:00 GMT"
"""What RFC 8896 calls Monday and Tuesday, in the year that it has (trap 16)."""
BEGIN, LATER = 1561852800.0, 1561986000.0


def example(name: str) -> Any:
    """The example, with names of metrics that a server may have."""
    (path,) = EXAMPLES.glob(f"{name.partition('-')[0]}/{name}*.json")
    text = path.read_text()
    for metric in UNREGISTERED:
        text = text.replace(f'"{metric}"', f'"priv:{metric}"')
    return json.loads(text)


def cost_type(metric: str) -> CostType:
    return CostType("numerical", f"priv:{metric}" if metric in UNREGISTERED else metric)


NETWORK = NetworkMapResource(
    MAP, NetworkMap({"PID1": {"ipv4": ["192.0.2.0/24"]}, "PID2": {"ipv4": ["198.51.100.0/24"]}}, default_pid="PID3")
)


def post(resource: Any, asked: Any, wall: float = 0.0, *others: Any) -> Response:
    directory = Directory([NETWORK, resource, *others], default_network_map=MAP)
    return ask(AltoServer(directory, epoch=wall, base_uri="https://alto.example.com/"), resource, asked)


def ask(server: AltoServer, resource: Any, asked: Any) -> Response:
    request = Request(
        "POST", f"/{resource.id}", (("Content-Type", resource.accepts),), json.dumps(asked, indent=2).encode()
    )
    answer = server.handle(request, ("192.0.2.7", 4711), 0.0)
    assert isinstance(answer, Response)
    assert answer.status == 200, answer.body
    return answer


def tagged(tree: Any, tag: str = NETWORK.vtag.tag) -> Any:
    """The example, with our tag in the place of its own."""
    for vtag in tree["meta"].get("dependent-vtags", []):
        vtag["tag"] = tag
    return tree


def costs_of(tree: Any, at: int) -> CostMatrix:
    """One of the costs in each cell of a multi-cost map."""
    rows = tree["cost-map"].items()
    return CostMatrix.from_mapping(
        {source: {end: cell[at] for end, cell in row.items() if cell[at] is not None} for source, row in rows}
    )


class Between:
    """Costs between addresses, as an example prints them."""

    version = 1

    def __init__(self, known: Mapping[str, Mapping[str, float]]) -> None:
        self.known = known

    def costs(self, sources: Sequence[str], destinations: Sequence[str]) -> list[list[float | None]]:
        return [[self.known.get(one, {}).get(other) for other in destinations] for one in sources]


# RFC 8189


def multi_cost() -> FilteredCostMapResource:
    """The costs of section 5.2, and what section 5.5 tells of the scenery."""
    whole = example("rfc8189-s5.2-02")
    offers = {
        "num-routing": CostOffer(cost_type("routingcost"), costs_of(whole, 0)),
        "num-shoesize": CostOffer(cost_type("shoesize"), costs_of(whole, 1)),
        "num-scenery": CostOffer(cost_type("sceneryrate"), costs_of(example("rfc8189-s5.5-02"), 1)),
    }
    return FilteredCostMapResource("filtered", MAP, offers, cost_constraints=True, max_cost_types=3)


@pytest.mark.parametrize("section", ["5.2", "5.3", "5.4", "5.5"])
def test_the_multi_costs_of_rfc_8189(section: str) -> None:
    """In section 5.3 PID3 has another shoe size, seen from PID1, than in section 5.2."""
    answer = json.loads(post(multi_cost(), example(f"rfc8189-s{section}-01")).body)
    printed = tagged(example(f"rfc8189-s{section}-02"))
    if section == "5.3":
        assert printed["cost-map"]["PID1"]["PID3"] == [10, 5]
        printed["cost-map"]["PID1"]["PID3"] = [10, 2]
    assert answer == printed


def test_the_capabilities_of_rfc_8189() -> None:
    """Section 5.1, whose resources name `num-routingcost`, where `num-routing` is defined (trap 6)."""
    printed = example("rfc8189-s5.1-01")["resources"]
    rename = {"num-routingcost": "num-routing"}
    costs = costs_of(example("rfc8189-s5.2-02"), 0)
    kinds = {"num-routing": "routingcost", "num-shoesize": "shoesize", "num-scenery": "sceneryrate"}
    for name, make in (("filtered-multicost-map", {"cost_constraints": True}), ("filtered-cost-map-extended", {})):
        entry = printed[name]["capabilities"]
        fixed = {
            key: [rename.get(one, one) for one in value] if isinstance(value, list) else value
            for key, value in entry.items()
        }
        resource = FilteredCostMapResource(
            name,
            MAP,
            {one: CostOffer(cost_type(kinds[one]), costs) for one in fixed["cost-type-names"]},
            max_cost_types=fixed["max-cost-types"],
            testable_cost_type_names=tuple(fixed.get("testable-cost-type-names", ())),
            **make,
        )
        assert resource.capabilities(Directory([NETWORK, resource])) == fixed


# RFC 8896


def calendar_of(data: Mapping[str, Mapping[str, Sequence[float]]], make: Any, size: float, start: float) -> Calendar:
    count = len(next(iter(next(iter(data.values())).values())))
    intervals = [
        make({one: {other: values[at] for other, values in row.items()} for one, row in data.items()})
        for at in range(count)
    ]
    return Calendar(intervals, size, start, repeated=4 if size == 3600 else None)


def test_the_calendar_of_bandwidths_of_rfc_8896() -> None:
    """Section 5.1.3."""
    printed = tagged(example("rfc8896-s5.1.3-02"))
    calendar = calendar_of(printed["cost-map"], CostMatrix.from_mapping, 7200, LATER)
    offers = {"num-throughputrating": CostOffer(cost_type("throughputrating"), calendar.intervals[0], calendar)}
    asked = example("rfc8896-s5.1.3-01")
    answer = json.loads(post(FilteredCostMapResource("filtered", MAP, offers), asked, LATER).body)
    printed["meta"]["calendar-response-attributes"][0]["calendar-start-time"] = TUESDAY
    assert answer == printed


def test_the_calendars_between_endpoints_of_rfc_8896() -> None:
    """Sections 5.2.3 and 5.2.4; the second one leaves out the `cost-type` that section 5.2.2 wants (trap 6)."""
    both = example("rfc8896-s5.2.4-02")
    data = [
        {one: {other: cell[at] for other, cell in row.items()} for one, row in both["endpoint-cost-map"].items()}
        for at in (0, 1)
    ]
    routing, delay = calendar_of(data[0], Between, 3600, BEGIN), calendar_of(data[1], Between, 300, LATER)
    offers = {
        "num-routingcost": CostOffer(cost_type("routingcost"), routing.intervals[0], routing),
        "num-owdelay": CostOffer(cost_type("owdelay"), delay.intervals[0], delay),
    }
    resource = EndpointCostResource("lookup", offers, max_cost_types=2)
    for attributes, start in zip(both["meta"]["calendar-response-attributes"], (MONDAY, TUESDAY), strict=True):
        attributes["calendar-start-time"] = start
    both["meta"]["cost-type"] = {}
    assert json.loads(post(resource, example("rfc8896-s5.2.4-01"), LATER).body) == both
    one = example("rfc8896-s5.2.3-02")
    one["meta"]["calendar-response-attributes"][0]["calendar-start-time"] = MONDAY
    assert json.loads(post(resource, example("rfc8896-s5.2.3-01"), LATER).body) == one


def test_the_capabilities_of_rfc_8896() -> None:
    """Section 4.3, without the cost mode `string`, which is not registered (trap 16)."""
    printed = example("rfc8896-s4.3-01")["resources"]
    costs, start = CostMatrix.from_mapping({"PID1": {"PID1": 1}}), 0.0
    for name in ("filtered-cost-map-calendar", "endpoint-cost-map-calendar"):
        capabilities = printed[name]["capabilities"]
        capabilities["cost-type-names"].remove("string-servicestatus")
        calendars = {}
        for entry in list(capabilities["calendar-attributes"]):
            if "string-servicestatus" in entry["cost-type-names"]:
                entry["cost-type-names"].remove("string-servicestatus")
            if not entry["cost-type-names"]:
                capabilities["calendar-attributes"].remove(entry)
            for kind in entry["cost-type-names"]:
                calendars[kind] = Calendar([costs] * entry["number-of-intervals"], entry["time-interval-size"], start)
        offers = {
            kind: CostOffer(cost_type(kind.removeprefix("num-")), costs, calendars.get(kind))
            for kind in capabilities["cost-type-names"]
        }
        if name.startswith("filtered"):
            resource: Any = FilteredCostMapResource(name, MAP, offers, cost_constraints=True)
        else:
            resource = EndpointCostResource(name, offers, network_map=MAP, cost_constraints=True)
        assert resource.capabilities(Directory([NETWORK, resource])) == capabilities


# RFC 9439


@pytest.mark.parametrize("section", ["4.1.3", "4.2.3", "4.3.3", "4.4.3", "4.5.3", "5.1.3", "5.2.3", "5.3.3"])
def test_the_performance_metrics_of_rfc_9439(section: str) -> None:
    pairs = ((1, 2), (3, 4)) if section == "4.1.3" else ((1, 2),)
    for asked, answered in pairs:
        printed = example(f"rfc9439draft-s{section}-{answered:02}")
        kind = cost_type(printed["meta"]["cost-type"]["cost-metric"])
        offers = {"it": CostOffer(kind, Between(printed["endpoint-cost-map"]))}
        answer = post(EndpointCostResource("lookup", offers), example(f"rfc9439draft-s{section}-{asked:02}"))
        assert json.loads(answer.body) == printed


# RFC 9275


def vectors(topology: Topology, resource: Any, name: str) -> tuple[Any, Any]:
    """Both parts of the answer to an example."""
    server = AltoServer(path_vectors(topology, resource), epoch=0.0, base_uri="https://alto.example.com/")
    response = ask(server, resource, example(name))
    root, elements = parts(response.header("Content-Type") or "", response.body)
    return root, elements


@pytest.mark.parametrize("section", ["7.2", "7.3"])
def test_the_one_element_of_figure_1(section: str) -> None:
    """All switches are one; section 7.3.6 has `cost-map` where `endpoint-cost-map` is due (trap 21)."""
    topology = figure_10("node,SW,100M\npid,PID1,SW,192.0.2.0/28\npid,PID2,SW,192.0.2.16/28\ndefault-pid,elsewhere\n")
    make = cost_map_resource if section == "7.2" else endpoint_cost_resource
    root, elements = vectors(topology, make(topology, costs={}, max_cost_types=0), f"rfc9275-s{section}.3-01")
    printed = example(f"rfc9275-s{section}.6-01")["cost-map"]
    data = root["cost-map" if section == "7.2" else "endpoint-cost-map"]
    [element] = next(iter(next(iter(data.values())).values()))
    assert json.loads(json.dumps(data).replace(element, "ANE1")) == printed
    assert elements["property-map"] == {
        f".ane:{element}": example(f"rfc9275-s{section}.6-02")["property-map"][".ane:ANE1"]
    }
    assert elements["meta"]["dependent-vtags"] == [root["meta"]["vtag"]]


def test_the_path_vectors_with_costs_of_section_8_6() -> None:
    """Names of elements are made by chance; as printed, `meta` lacks `cost-type` and has `vtags` for `vtag`."""
    topology = figure_10(FIGURE_10.replace("2001:db8:3::/48", "2001:db8::3:0/112").replace(":4::/48", "::4:0/112"))
    printed, properties = example("rfc9275-s8.6-02"), example("rfc9275-s8.6-03")
    known = {one: {other: cell[1] for other, cell in row.items()} for one, row in printed["endpoint-cost-map"].items()}
    resource = endpoint_cost_resource(topology, costs={"num-rc": CostOffer(NUM_RC, Between(known))}, max_cost_types=2)
    root, elements = vectors(topology, resource, "rfc9275-s8.6-01")
    cells = root["endpoint-cost-map"]
    ours = [
        cells[source][end][0] for source in printed["endpoint-cost-map"] for end in printed["endpoint-cost-map"][source]
    ]
    theirs = [cell[0] for row in printed["endpoint-cost-map"].values() for cell in row.values()]
    names = {
        name: other for path, like in zip(ours, theirs, strict=True) for name, other in zip(path, like, strict=True)
    }
    text = json.dumps([cells, elements["property-map"]])
    for name, other in names.items():
        text = text.replace(name, other)
    assert json.loads(text) == [printed["endpoint-cost-map"], properties["property-map"]]
    assert root["meta"]["multi-cost-types"] == printed["meta"]["multi-cost-types"]
    assert [vtag["resource-id"] for vtag in elements["meta"]["dependent-vtags"]] == [
        vtag["resource-id"] for vtag in properties["meta"]["dependent-vtags"]
    ]
