"""Path vectors of a server: what it answers, whom it names, and what it refuses (RFC 9275 sections 7 and 11)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from alto_figure10 import FIGURE_10
from alto_pv import (
    BOTH,
    NUM_RC,
    PATH_VECTOR,
    ROUTING_COST,
    ask,
    cost_map_resource,
    counting,
    directory,
    endpoint_cost_resource,
    figure_10,
)
from hypothesis import given
from hypothesis import strategies as st

from alto import ConfigurationError, RequestError, _pathvectors
from alto.calendar import Calendar
from alto.costoffers import CostOffer
from alto.directory import Directory, Document, Query, RequestContext
from alto.findings import Findings
from alto.ird import ResourceEntry
from alto.networkmap import NetworkMapResource
from alto.paths import MAX_RESERVABLE_BANDWIDTH, PERSISTENT_ENTITY_ID
from alto.pathvector import PathVector, parse_path_vector
from alto.pathvectorresources import PathOffer, PathVectorCostMapResource

EXAMPLES = Path(__file__).parents[1] / "data" / "alto_examples" / "rfc9275"


def example(name: str) -> Any:
    return json.loads((EXAMPLES / f"rfc9275-s{name}.json").read_text("utf-8"))


def entry(held: Directory, resource_id: str) -> ResourceEntry:
    resource = held.resources[resource_id]
    uri = f"https://alto.example.com/{resource_id}"
    return ResourceEntry(
        resource_id, uri, resource.media_type, resource.accepts, resource.capabilities(held), resource.uses
    )


def read(held: Directory, resource_id: str, tree: Any, **settings: Any) -> PathVector:
    """The answer, read strictly, without even a SHOULD broken."""
    document = ask(held, resource_id, tree, **settings)
    findings = Findings()
    vector = parse_path_vector(document.media_type, document.body, findings, entry=entry(held, resource_id), asked=tree)
    assert findings.items == []
    return vector


def refused(held: Directory, resource_id: str, tree: Any) -> tuple[str, str | None, str | None]:
    with pytest.raises(RequestError) as caught:
        ask(held, resource_id, tree)
    return caught.value.code.value, caught.value.field, caught.value.value


def test_the_request_of_section_8_3_is_answered_as_figure_10_has_it() -> None:
    held = directory()
    vector = read(held, "filtered-cost-map-pv", example("8.3-01"))
    first, second = vector.paths["PID1", "PID3"], vector.paths["PID1", "PID4"]
    assert len(first) == 1  # NET1, L1 and NET3, which both flows go through
    assert len(second) == 2  # and L2 with NET2
    assert first[0] == second[0]
    assert all(properties == {} for properties in vector.properties.values())
    assert vector.dependent_vtags == (held.find("my-default-networkmap", NetworkMapResource).vtag,)


def test_the_request_of_section_8_4_is_answered_as_the_rfc_merges_it() -> None:
    tree = example("8.4-01")
    tree["endpoints"]["srcs"][1] = "ipv6:2001:db8:3::1"
    tree["endpoints"]["dsts"][2] = "ipv6:2001:db8:4::1"
    vector = read(directory(), "endpoint-cost-pv", tree)
    assert set(vector.paths) == {
        ("ipv4:192.0.2.34", "ipv4:192.0.2.2"),
        ("ipv4:192.0.2.34", "ipv4:192.0.2.50"),
        ("ipv6:2001:db8:3::1", "ipv6:2001:db8:4::1"),
    }
    net3, aggr1 = vector.paths["ipv4:192.0.2.34", "ipv4:192.0.2.2"]
    _, aggr2 = vector.paths["ipv4:192.0.2.34", "ipv4:192.0.2.50"]
    expected = example("8.4-05")["property-map"]
    assert vector.properties == {
        net3: expected[".ane:NET3"],
        aggr1: expected[".ane:AGGR1"],
        aggr2: expected[".ane:AGGR2"],
    }
    assert [vtag.resource_id for vtag in vector.property_vtags] == ["endpoint-cost-pv.ecs", "ane-props"]


def test_the_message_is_as_the_rfc_has_it() -> None:
    document = ask(directory(), "filtered-cost-map-pv", example("8.3-01"))
    assert document.media_type.startswith("multipart/related; boundary=")
    assert document.media_type.endswith("; type=application/alto-costmap+json")
    assert list(document.parts) == ["costmap@alto.example.com", "propmap@alto.example.com"]
    root, properties = document.parts.values()
    assert root.media_type == "application/alto-costmap+json"
    assert root.tree["meta"]["vtag"]["resource-id"] == "filtered-cost-map-pv.costmap"
    assert properties.media_type == "application/alto-propmap+json"
    assert properties.tree["meta"]["dependent-vtags"] == [root.tree["meta"]["vtag"]]
    assert b"Content-ID: <costmap@alto.example.com>\r\nContent-Type: application/alto-costmap+json\r\n" in document.body


def test_the_message_between_endpoints_is_as_the_rfc_has_it() -> None:
    asked = {"cost-type": PATH_VECTOR, "endpoints": {"srcs": ["ipv4:192.0.2.34"], "dsts": ["ipv4:192.0.2.2"]}}
    document = ask(directory(), "endpoint-cost-pv", asked)
    assert document.media_type.startswith("multipart/related; boundary=")
    assert document.media_type.endswith("; type=application/alto-endpointcost+json")
    assert list(document.parts) == ["ecs@alto.example.com", "propmap@alto.example.com"]
    root, properties = document.parts.values()
    assert root.media_type == "application/alto-endpointcost+json"
    assert root.tree["meta"]["vtag"]["resource-id"] == "endpoint-cost-pv.ecs"
    assert list(root.tree) == ["meta", "endpoint-cost-map"]
    assert properties.tree["meta"]["dependent-vtags"] == [root.tree["meta"]["vtag"]]
    assert (
        b"Content-ID: <ecs@alto.example.com>\r\nContent-Type: application/alto-endpointcost+json\r\n" in document.body
    )
    asked = {**asked, "cost-type": ROUTING_COST}
    held = directory(
        None,
        endpoint_cost_resource(
            figure_10(), costs={"num-rc": CostOffer(NUM_RC, "cost-map")}, network_map="my-default-networkmap"
        ),
    )
    assert list(ask(held, "endpoint-cost-pv", asked).parts.values())[1].tree["property-map"] == {}


@pytest.mark.parametrize(
    ("base_uri", "domain"),
    [
        ("https://alto.example.com:8443/a/", "alto.example.com"),
        ("http://127.0.0.1:8000/", "127.0.0.1"),
        ("https://[2001:db8::1]:8443/", "alto.invalid"),
        ("", "alto.invalid"),
        ("https://[", "alto.invalid"),
    ],
)
def test_trap_23_a_content_id_has_no_port(base_uri: str, domain: str) -> None:
    document = ask(directory(), "filtered-cost-map-pv", example("8.3-01"), base_uri=base_uri)
    assert list(document.parts) == [f"costmap@{domain}", f"propmap@{domain}"]


def test_the_domain_can_be_given() -> None:
    held = directory(None, cost_map_resource(figure_10(), domain="alto.example.net"))
    assert "costmap@alto.example.net" in ask(held, "filtered-cost-map-pv", example("8.3-01")).parts
    with pytest.raises(ConfigurationError, match="it has no port"):
        cost_map_resource(figure_10(), domain="alto.example.net:80")


def test_names_differ_from_answer_to_answer() -> None:
    held, chance = directory(), counting()
    names = [
        set(read(held, "filtered-cost-map-pv", example("8.3-01"), random_bytes=chance).properties) for _ in range(3)
    ]
    assert not names[0] & names[1]
    assert not names[1] & names[2]


def test_names_differ_from_client_to_client_even_with_the_same_chance() -> None:
    held = directory()
    one, other = (
        set(read(held, "filtered-cost-map-pv", example("8.3-01"), client=client).properties)
        for client in ("ipv4:192.0.2.1", "ipv4:192.0.2.2")
    )
    assert not one & other


def test_names_differ_from_user_to_user_behind_one_address() -> None:
    held = directory()
    contexts = [RequestContext(held, client="ipv4:192.0.2.1", user=user) for user in ("one", "other", None)]
    resource = held.resources["filtered-cost-map-pv"]
    found = [resource.answer(Query(context, example("8.3-01"), random_bytes=bytes)) for context in contexts]
    named = [set(list(document.parts.values())[1].tree["property-map"]) for document in found]
    assert not named[0] & named[1] | named[1] & named[2] | named[0] & named[2]


def test_names_say_nothing_of_what_they_name() -> None:
    text = ask(directory(), "filtered-cost-map-pv", example("8.3-01")).body.decode()
    assert not any(word in text for word in ("NET1", "NET3", "link", "node"))


def test_with_the_same_chance_an_element_keeps_its_name_when_its_bandwidth_changes() -> None:
    asked = {**example("8.3-01"), "ane-property-names": [MAX_RESERVABLE_BANDWIDTH]}
    before = read(directory(), "filtered-cost-map-pv", asked)
    after = read(directory(figure_10(FIGURE_10.replace("15G", "5G"))), "filtered-cost-map-pv", asked)
    assert before.paths == after.paths
    assert sorted(map(before.bandwidth, before.properties)) == [10e9, 15e9]
    assert sorted(map(after.bandwidth, after.properties)) == [5e9, 10e9]


def test_the_boundary_tells_nothing_of_the_names() -> None:
    document = ask(directory(), "filtered-cost-map-pv", example("8.3-01"), random_bytes=lambda length: b"k" * length)
    boundary = document.media_type.split("boundary=")[1].split(";")[0]
    assert bytes.fromhex(boundary) != b"k" * 16


def test_elements_of_pairs_that_meet_no_test_are_not_told() -> None:
    held = directory(None, cost_map_resource(figure_10(), testable_cost_type_names=("num-rc",)))
    asked = {
        **example("8.3-01"),
        "testable-cost-types": [ROUTING_COST],
        "constraints": ["[0] le 1"],
        "ane-property-names": [MAX_RESERVABLE_BANDWIDTH],
    }
    vector = read(held, "filtered-cost-map-pv", asked)
    assert vector.properties.keys() == set(vector.paths["PID1", "PID3"])
    assert [vector.bandwidth(name) for name in vector.properties] == [10e9]


def test_only_the_properties_that_are_asked_for_are_there() -> None:
    for wanted in ([], [MAX_RESERVABLE_BANDWIDTH], [PERSISTENT_ENTITY_ID], list(BOTH)):
        vector = read(directory(), "filtered-cost-map-pv", {**example("8.3-01"), "ane-property-names": wanted})
        found = {name for properties in vector.properties.values() for name in properties}
        assert found == set(wanted)
        assert ("ane-props" in {vtag.resource_id for vtag in vector.property_vtags}) == (PERSISTENT_ENTITY_ID in wanted)


def test_without_a_path_vector_the_property_map_is_there_and_empty() -> None:
    asked = {**example("8.3-01"), "cost-type": ROUTING_COST, "ane-property-names": [MAX_RESERVABLE_BANDWIDTH]}
    document = ask(directory(), "filtered-cost-map-pv", asked)
    root, properties = document.parts.values()
    assert root.tree["cost-map"] == {"PID1": {"PID3": 1, "PID4": 2}}
    assert properties.tree["property-map"] == {}
    assert read(directory(), "filtered-cost-map-pv", asked).costs[NUM_RC.key] == {
        ("PID1", "PID3"): 1,
        ("PID1", "PID4"): 2,
    }


def test_several_cost_types_are_an_array_for_each_pair() -> None:
    asked = {"multi-cost-types": [ROUTING_COST, PATH_VECTOR], "pids": {"srcs": ["PID1"], "dsts": ["PID4", "elsewhere"]}}
    document = ask(directory(), "filtered-cost-map-pv", asked)
    [cell] = next(iter(document.parts.values())).tree["cost-map"]["PID1"].values()
    assert cell[0] == 2
    assert len(cell[1]) == 1
    vector = read(directory(), "filtered-cost-map-pv", asked)
    assert vector.costs[NUM_RC.key] == {("PID1", "PID4"): 2}
    assert ("PID1", "PID4") in vector.paths


def test_of_one_cost_type_in_an_array_the_costs_are_arrays_too() -> None:
    """RFC 8189 section 4.1.3."""
    asked = {"multi-cost-types": [PATH_VECTOR], "pids": {"srcs": ["PID1"], "dsts": ["PID4", "elsewhere"]}}
    document = ask(directory(), "filtered-cost-map-pv", asked)
    [[[path]]] = [row.values() for row in next(iter(document.parts.values())).tree["cost-map"].values()]
    assert [type(name) for name in path] == [str]
    assert list(read(directory(), "filtered-cost-map-pv", asked).paths) == [("PID1", "PID4")]


def test_paths_can_be_chosen_by_the_costs_that_can_be_tested() -> None:
    held = directory(None, cost_map_resource(figure_10(), testable_cost_type_names=("num-rc",)))
    asked = {**example("8.3-01"), "testable-cost-types": [ROUTING_COST], "constraints": ["[0] le 1"]}
    assert set(read(held, "filtered-cost-map-pv", asked).paths) == {("PID1", "PID3")}


def test_an_endpoint_cost_service_has_other_costs_too() -> None:
    class Costs:
        version = 1

        def costs(self, sources: Sequence[str], destinations: Sequence[str]) -> Any:
            return [[7.5 for _ in destinations] for _ in sources]

    resource = endpoint_cost_resource(
        figure_10(),
        network_map="my-default-networkmap",
        costs={
            "num-rc": CostOffer(NUM_RC, "cost-map"),
            "hops": CostOffer(hops := type(NUM_RC)("numerical", "delay-rt"), Costs()),
        },
        max_cost_types=3,
    )
    held = directory(None, resource)
    asked = {
        "multi-cost-types": [PATH_VECTOR, ROUTING_COST, {"cost-mode": "numerical", "cost-metric": "delay-rt"}],
        "endpoints": {"srcs": ["ipv4:192.0.2.34"], "dsts": ["ipv4:192.0.2.50"]},
    }
    vector = read(held, "endpoint-cost-pv", asked)
    flow = ("ipv4:192.0.2.34", "ipv4:192.0.2.50")
    assert len(vector.paths[flow]) == 1
    assert vector.costs == {NUM_RC.key: {flow: 1}, hops.key: {flow: 7.5}}
    assert resource.uses == ("ane-props",)


def test_endpoints_left_out_are_the_client() -> None:
    asked = {"cost-type": PATH_VECTOR, "endpoints": {"dsts": ["ipv4:192.0.2.2"]}}
    assert list(read(directory(), "endpoint-cost-pv", asked).paths) == [("ipv4:192.0.2.34", "ipv4:192.0.2.2")]


def _calendar(*texts: str, size: float = 3600.0) -> Any:
    sources: Any = [figure_10(text) for text in texts]
    return Calendar(sources, size, 1_795_651_200.0)


def test_a_calendar_has_a_path_vector_for_each_interval() -> None:
    """Section 9.4: an element with another bandwidth is another element, one with the same is the same."""
    calendar = _calendar(FIGURE_10, FIGURE_10, FIGURE_10.replace("15G", "5G"))
    offer = PathOffer(figure_10(), (MAX_RESERVABLE_BANDWIDTH,), calendar=calendar)
    resource = PathVectorCostMapResource("pv", "my-default-networkmap", offer, is_private=False)
    held = directory(None, resource)
    asked = {**example("8.3-01"), "calendared": [True], "ane-property-names": [MAX_RESERVABLE_BANDWIDTH]}
    vector = read(held, "pv", asked)
    flow = ("PID1", "PID4")
    first, second, third = (interval[flow] for interval in vector.intervals)
    assert first == second
    assert third[0] == first[0]
    assert third[1] != first[1]
    assert [vector.bottleneck(*flow, interval=at) for at in (0, 2)] == [(first[0], 10e9), (third[1], 5e9)]
    assert vector.calendars[0].attributes.number_of_intervals == 3
    assert resource.capabilities(held)["calendar-attributes"][0]["cost-type-names"] == ["path-vector"]
    assert len(read(held, "pv", {**asked, "calendared": [False]}).intervals) == 1


def test_a_pair_without_a_path_in_any_interval_is_left_out_of_a_calendar() -> None:
    cut = "\n".join(line for line in FIGURE_10.splitlines() if "15G" not in line)
    assert cut != FIGURE_10.strip()
    offer = PathOffer(figure_10(), calendar=_calendar(FIGURE_10, cut))
    resource = PathVectorCostMapResource("pv", "my-default-networkmap", offer, is_private=False)
    asked = {
        "cost-type": PATH_VECTOR,
        "pids": {"srcs": ["PID1"], "dsts": ["PID3", "PID4", "elsewhere"]},
        "calendared": [True],
    }
    document = ask(directory(None, resource), "pv", asked)
    costs = next(iter(document.parts.values())).tree["cost-map"]["PID1"]
    assert {pid: [path is not None for path in paths] for pid, paths in costs.items()} == {
        "PID3": [True, True],
        "PID4": [True, False],
    }
    vector = read(directory(None, resource), "pv", asked)
    assert [sorted(flow[1] for flow in interval) for interval in vector.intervals] == [["PID3", "PID4"], ["PID3"]]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"cost-type": None}, ("E_INVALID_FIELD_TYPE", "cost-type", None)),
        ({"cost-type": {"cost-mode": "array"}}, ("E_MISSING_FIELD", "cost-type/cost-metric", None)),
        ({"cost-type": {**PATH_VECTOR, "cost-mode": "ordinal"}},
         ("E_INVALID_FIELD_VALUE", "cost-type/cost-mode", "ordinal")),
        ({"ane-property-names": ["cpu"]}, ("E_INVALID_FIELD_VALUE", "ane-property-names", "cpu")),
        ({"ane-property-names": [1]}, ("E_INVALID_FIELD_VALUE", "ane-property-names", "1")),
        ({"ane-property-names": "cpu"}, ("E_INVALID_FIELD_TYPE", "ane-property-names", None)),
        ({"ane-property-names": [".max-reservable-bandwidth"]},
         ("E_INVALID_FIELD_VALUE", "ane-property-names", ".max-reservable-bandwidth")),
        ({"constraints": ["le 1"]}, ("E_INVALID_FIELD_VALUE", "constraints", '["le 1"]')),
        ({"pids": {"srcs": []}}, ("E_MISSING_FIELD", "pids/dsts", None)),
    ],
)  # fmt: skip
def test_a_request_that_is_wrong_is_refused(change: Mapping[str, Any], expected: tuple[str, str, str]) -> None:
    assert refused(directory(), "filtered-cost-map-pv", {**example("8.3-01"), **change}) == expected


@pytest.mark.parametrize(
    "ends", [{}, {"srcs": ["ipv4:192.0.2.0/24"], "dsts": ["ipv4:192.0.2.2"]}, {"srcs": ["192.0.2.1"]}]
)
def test_endpoints_that_are_none_are_refused(ends: Any) -> None:
    code, field, _ = refused(directory(), "endpoint-cost-pv", {"cost-type": PATH_VECTOR, "endpoints": ends})
    assert code == "E_INVALID_FIELD_VALUE"
    assert str(field).startswith("endpoints")


def test_more_paths_than_the_limit_are_refused() -> None:
    dsts = [f"ipv4:10.0.{number >> 8}.{number & 255}" for number in range(1001)]
    asked = {"cost-type": PATH_VECTOR, "endpoints": {"srcs": dsts[:100], "dsts": dsts}}
    assert refused(directory(), "endpoint-cost-pv", asked)[:2] == ("E_INVALID_FIELD_VALUE", "endpoints")


def test_the_intervals_of_calendars_and_other_costs_are_paths_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pathvectors, "MAX_PATHS", 6)
    offer = PathOffer(figure_10(), calendar=_calendar(*[FIGURE_10] * 3))
    resource = PathVectorCostMapResource(
        "pv",
        "my-default-networkmap",
        offer,
        is_private=False,
        costs={"num-rc": CostOffer(NUM_RC, "cost-map")},
        max_cost_types=2,
    )
    held = directory(None, resource)
    two, three = ({"srcs": ["PID1"], "dsts": ["PID3", "PID4", "PID2"][:count]} for count in (2, 3))
    asked = {"cost-type": PATH_VECTOR, "calendared": [True]}
    assert len(read(held, "pv", {**asked, "pids": two}).intervals) == 3
    assert refused(held, "pv", {**asked, "pids": three})[:2] == ("E_INVALID_FIELD_VALUE", "pids")
    assert len(read(held, "pv", {**asked, "pids": three, "calendared": [False]}).paths) == 3
    several = {"multi-cost-types": [PATH_VECTOR, ROUTING_COST], "calendared": [True, False], "pids": two}
    assert refused(held, "pv", several)[:2] == ("E_INVALID_FIELD_VALUE", "pids")


def test_the_version_of_the_path_vectors_is_that_of_what_is_returned() -> None:
    def tag(dsts: list[str], random_bytes: Any = bytes) -> str:
        tree = {**example("8.3-01"), "pids": {"srcs": ["PID1"], "dsts": dsts}}
        vtag = ask(directory(), "filtered-cost-map-pv", tree, random_bytes=random_bytes).vtag
        assert vtag is not None
        return vtag.tag

    assert tag(["PID3"]) == tag(["PID3"])
    assert len({tag(["PID3"]), tag(["PID4"]), tag(["PID3", "PID4"]), tag(["PID3"], lambda length: b"x" * length)}) == 4


def test_parts_can_be_read_by_themselves() -> None:
    document: Document = ask(directory(), "filtered-cost-map-pv", example("8.3-01"))
    assert document.vtag is not None
    assert document.vtag.to_json() == next(iter(document.parts.values())).tree["meta"]["vtag"]
    for part in document.parts.values():
        assert part.vtag is not None
        assert json.loads(part.body) == part.tree


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "array", "ane-path", "PID1", *BOTH]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["cost-type", "cost-mode", "cost-metric", "multi-cost-types", "pids", "srcs", "dsts", "endpoints",
             "ane-property-names", "constraints", "or-constraints", "testable-cost-types", "calendared"]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=10,
)  # fmt: skip
_HELD = directory(None, cost_map_resource(figure_10(), testable_cost_type_names=("num-rc",)))


@given(_JSON, st.booleans(), st.sampled_from(["filtered-cost-map-pv", "endpoint-cost-pv"]))
def test_any_json_is_answered_or_refused(tree: Any, has_type: bool, resource_id: str) -> None:
    if has_type and isinstance(tree, dict):
        tree = {"endpoints": {"srcs": ["ipv4:192.0.2.2"]}, **tree, "cost-type": PATH_VECTOR}
        tree.pop("multi-cost-types", None)
    try:
        document = ask(_HELD, resource_id, tree)
    except RequestError:
        return
    parse_path_vector(document.media_type, document.body, Findings(), entry=entry(_HELD, resource_id), asked=tree)
