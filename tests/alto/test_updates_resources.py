"""alto/updates.py with the resources that the package brings: what changes of each reaches a client."""

import json
from collections.abc import Mapping
from typing import Any

import alto_pv
import pytest
from alto_figure10 import FIGURE_10
from alto_updates import Server, read_events

from alto import media
from alto.costmap import CostMapResource, FilteredCostMapResource
from alto.costoffers import CostOffer
from alto.costs import CostMatrix
from alto.endpointcost import EndpointCostResource
from alto.endpointproperty import EndpointPropertyResource
from alto.errors import RequestError
from alto.findings import Findings
from alto.http import Response
from alto.networkmap import FilteredNetworkMapResource, NetworkMap, NetworkMapResource
from alto.propertyresources import PropertyMapResource, PropertySource
from alto.types import CostType
from alto.updates import with_dependencies
from alto.updates_client import Subscription, UpdateStreamClient

NUM = CostType("numerical", "routingcost")
ORD = CostType("ordinal", "routingcost")
MERGE, PATCH = "application/merge-patch+json", "application/json-patch+json"
PREFIXES = {f"PID{at}": {"ipv4": [f"10.{at}.{n}.0/24" for n in range(20)]} for at in range(10)}
NAMES = [*PREFIXES, "all"]


def network(**changes: Any) -> NetworkMapResource:
    whole = {"all": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]}}
    return NetworkMapResource("map", NetworkMap({**PREFIXES, **whole, **changes}))


def costs(**changes: float) -> CostMapResource:
    """Costs between all PIDs; `PID1_PID2=5` changes one."""
    rows: dict[str, dict[str, float | None]] = {
        a: {b: float(i + j) for j, b in enumerate(NAMES)} for i, a in enumerate(NAMES)
    }
    for pair, cost in changes.items():
        source, _, destination = pair.partition("_")
        rows[source][destination] = cost
    return CostMapResource("costs", "map", "num-rc", NUM, CostMatrix.from_mapping(rows))


def server(**options: Any) -> Server:
    offers = {"num-rc": CostOffer(NUM, "costs"), "ord-rc": CostOffer(ORD, "costs")}
    properties = PropertySource({"ipv4": {f"192.0.2.{n}": {".isp": f"{n}"} for n in range(40)}})
    return Server(
        network(),
        FilteredNetworkMapResource("some", network_map="map"),
        costs(),
        FilteredCostMapResource("some-costs", "map", offers, cost_constraints=True),
        EndpointCostResource("ecs", offers, network_map="map"),
        EndpointPropertyResource("eps"),
        PropertyMapResource("props", properties),
        **options,
    )


def post(resource_id: str, given: Any) -> dict[str, Any]:
    return {"resource-id": resource_id, "input": given}


def cost_type(kind: CostType) -> Mapping[str, str]:
    return {"cost-mode": kind.cost_mode, "cost-metric": kind.cost_metric}


def test_a_prefix_that_is_added_is_one_operation_and_its_costs_name_the_new_version() -> None:
    held = server()
    stream = held.open(n="map", c="costs")
    held.sent(stream)
    held.replace(network(PID3={"ipv4": [*PREFIXES["PID3"]["ipv4"], "10.3.20.0/24"]}))
    (first, operations), (second, change) = held.events(stream)
    assert (first, second) == (f"{PATCH},n", f"{MERGE},c")
    assert {"op": "add", "path": "/network-map/PID3/ipv4/20", "value": "10.3.20.0/24"} in operations
    assert len(operations) == 2
    assert list(change) == ["meta"]


def test_a_tag_does_not_stand_for_what_was_asked_with_other_input() -> None:
    """Section 6.7.1: a filtered map has the version of the whole, whatever it was filtered by."""
    held = server()
    tag = network().vtag.tag
    whole, some = {"resource-id": "map", "tag": tag}, {**post("some", {"pids": ["PID1"]}), "tag": tag}
    names = [name for name, _ in held.events(held.open(m=whole, f=some))]
    assert names == [media.UPDATE_STREAM_CONTROL, f"{media.NETWORK_MAP},f"]


def test_a_cost_that_changes_is_a_merge_patch_of_one_member() -> None:
    held = server()
    stream = held.open(c="costs")
    held.sent(stream)
    held.replace(costs(PID1_PID2=77))
    ((name, change),) = held.events(stream)
    assert name == f"{MERGE},c"
    assert change["cost-map"] == {"PID1": {"PID2": 77}}


def test_a_cost_that_leaves_a_constraint_is_sent_as_null_and_one_outside_is_not_sent() -> None:
    """Section 9.3."""
    held = server()
    asked = {"cost-type": cost_type(NUM), "constraints": ["le 12"]}
    stream = held.open(f=post("some-costs", asked))
    held.sent(stream)
    held.replace(costs(PID1_PID2=77))
    ((name, change),) = held.events(stream)
    assert (name, change["cost-map"]) == (f"{MERGE},f", {"PID1": {"PID2": None}})
    held.replace(costs(PID1_PID2=78))
    assert all("cost-map" not in change for _, change in held.events(stream))
    held.replace(costs(PID1_PID2=4))
    assert held.events(stream)[0][1]["cost-map"] == {"PID1": {"PID2": 4}}


def test_ordinal_costs_whose_ranks_all_move_are_sent_as_a_whole() -> None:
    """Section 9.4."""
    held = server()
    stream = held.open(o=post("some-costs", {"cost-type": cost_type(ORD)}))
    held.sent(stream)
    held.replace(costs(PID0_PID0=1000))
    ((name, value),) = held.events(stream)
    assert name in (f"{media.COST_MAP},o", f"{MERGE},o")
    assert value["cost-map"]["PID0"]["PID0"] > 0


def test_the_costs_of_the_client_itself_are_told_to_each_client() -> None:
    """Trap 3."""
    held = server()
    asked = {"cost-type": cost_type(NUM), "endpoints": {"dsts": ["ipv4:10.4.0.1"]}}
    streams = [
        held.post("", {"add": {"e": post("ecs", asked)}}, client=client)
        for client in ("ipv4:10.1.0.9", "ipv4:10.2.0.9")
    ]
    first = [held.events(stream)[1][1]["endpoint-cost-map"] for stream in streams]
    assert first == [{"ipv4:10.1.0.9": {"ipv4:10.4.0.1": 5}}, {"ipv4:10.2.0.9": {"ipv4:10.4.0.1": 6}}]
    held.replace(costs(PID1_PID4=50))
    assert [bool(held.sent(stream)) for stream in streams] == [True, False]


def test_an_endpoint_that_moves_to_another_pid_is_told() -> None:
    held = server()
    asked = {"properties": ["map.pid"], "endpoints": [f"ipv4:10.{n}.0.1" for n in range(10)]}
    stream = held.open(p=post("eps", asked))
    held.sent(stream)
    held.replace(network(PID2={"ipv4": ["10.2.128.0/24"]}))
    ((name, change),) = held.events(stream)
    assert name == f"{MERGE},p"
    assert change["endpoint-properties"] == {"ipv4:10.2.0.1": {"map.pid": "all"}}


def test_a_property_that_becomes_null_is_a_json_patch() -> None:
    """Trap 11; section 6.3."""
    held = server()
    stream = held.open(p="props")
    held.sent(stream)
    values: Any = {f"192.0.2.{n}": {".isp": f"{n}"} for n in range(40)}
    values["192.0.2.7"] = {".isp": None}
    held.replace(PropertyMapResource("props", PropertySource({"ipv4": values})))
    ((name, operations),) = held.events(stream)
    assert name == f"{PATCH},p"
    assert any(each["value"] is None and each["path"].endswith("/.isp") for each in operations)


@pytest.mark.parametrize(
    ("resource_id", "given", "field"),
    [
        ("some", {}, "pids"),
        ("some-costs", {"cost-type": {"cost-mode": "numerical", "cost-metric": "hopcount"}}, "cost-type"),
        ("ecs", {"cost-type": {"cost-mode": "numerical", "cost-metric": "routingcost"}}, "endpoints"),
        ("eps", {"properties": [], "endpoints": []}, "properties"),
    ],
)
def test_the_errors_of_a_resource_come_through(resource_id: str, given: Any, field: str) -> None:
    """Section 6.6: "the same error response"."""
    held = server()
    with pytest.raises(RequestError) as through:
        held.post("", {"add": {"x": post(resource_id, given)}})
    with pytest.raises(RequestError) as direct:
        held.directory.resources[resource_id].answer(held.query(given))
    assert str(through.value) == str(direct.value)
    assert (through.value.field or "").startswith(field)


def test_the_elements_of_a_path_vector_keep_their_names_and_parts_are_updated() -> None:
    """Sections 5.2 and 6.7.3, RFC 9275 section 8.5: `substream.content-id`, whose Content-ID stays."""
    topology = alto_pv.figure_10()
    base = alto_pv.directory(topology)
    held = Server(*base.resources.values(), uses=["endpoint-cost-pv"])
    asked = {
        "cost-type": alto_pv.PATH_VECTOR,
        "endpoints": {"srcs": ["ipv4:192.0.2.34"], "dsts": ["ipv4:192.0.2.2", "ipv4:192.0.2.50"]},
        "ane-property-names": ["max-reservable-bandwidth"],
    }
    client = UpdateStreamClient("https://alto.example.com/updates", {"s": Subscription("endpoint-cost-pv", asked)})
    stream = held.post("", json.loads(client.request.body))
    client.receive_response(Response(200, tuple(stream.headers)), 0.0)
    octets = held.sent(stream)
    name = read_events(octets)[1].event
    assert name.startswith("multipart/related;")
    assert name.endswith(",s")
    client.receive_data(octets, 0.0)
    before = client.document("s")
    narrower = alto_pv.figure_10(FIGURE_10.replace("NET3,10G", "NET3,1G"))
    held.replace(alto_pv.endpoint_cost_resource(narrower))
    octets = held.sent(stream)
    assert [event.event for event in read_events(octets)][-1] == f"{MERGE},s.propmap@alto.example.com"
    client.receive_data(octets, 0.0)
    after = client.document("s")
    assert before is not None
    assert after is not None
    old, new = (each.parts["propmap@alto.example.com"]["property-map"] for each in (before, after))
    (changed,) = [element for element in old if old[element] != new[element]]
    assert (old.keys(), new[changed]) == (new.keys(), {"max-reservable-bandwidth": 1e9})
    assert client.findings.items == []


def test_a_strict_client_follows_all_of_them() -> None:
    held = server()
    asked = {
        "n": Subscription("map", media_type=media.NETWORK_MAP),
        "f": Subscription("some", {"pids": ["PID1"]}, media_type=media.NETWORK_MAP, uses=("map",)),
        "c": Subscription("costs", media_type=media.COST_MAP, uses=("map",)),
        "p": Subscription("props", media_type=media.PROPERTY_MAP),
    }
    client = UpdateStreamClient("https://alto.example.com/updates", asked, findings=Findings())
    stream = held.post("", json.loads(client.request.body))
    client.receive_response(Response(200, tuple(stream.headers)), 0.0)
    for change in (network(PID1={"ipv4": ["10.1.0.0/16"]}), costs(PID1_PID1=3), network()):
        client.receive_data(held.sent(stream), 0.0)
        held.replace(change)
    client.receive_data(held.sent(stream), 0.0)
    for name, subscription in asked.items():
        held_by_client = client.document(name)
        assert held_by_client is not None
        resource = held.directory.resources[subscription.resource_id]
        assert held_by_client.tree == json.loads(resource.answer(held.query(subscription.input)).body)


def test_a_set_of_resources_is_closed_under_what_they_use() -> None:
    """Section 6.4."""
    resources = list(server().directory.resources.values())
    assert with_dependencies(["some-costs"], resources) == ("some-costs", "map")
    assert with_dependencies(["props", "costs", "map"], resources) == ("props", "costs", "map")
