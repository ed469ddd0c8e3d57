import pytest
from alto_costs import HOPS, ORDINAL, ROUTING, TREE, ask, endpoint_costs, filtered

from alto import ConfigurationError
from alto.calendar import CalendarAttributes
from alto.costparams import cost_map_filter, endpoint_cost_params
from alto.costrequest import CostCapabilities
from alto.types import CostType

TYPES = {"num-routing": ROUTING, "ord-routing": ORDINAL, "num-hops": HOPS}
PLAIN = CostCapabilities(TYPES)
FULL = CostCapabilities(TYPES, True, 2, (), {"num-routing": CalendarAttributes(60, 2)})
SOME = CostCapabilities(TYPES, False, 2, ("num-hops",))


def test_the_shortest_request_is_a_cost_type():
    assert cost_map_filter(PLAIN, "num-routing") == {"cost-type": TREE}
    assert cost_map_filter(PLAIN, ROUTING) == {"cost-type": TREE}


def test_the_description_is_left_out():
    described = CostType("numerical", "routingcost", "words")
    assert cost_map_filter(PLAIN, described) == {"cost-type": TREE}


def test_a_single_cost_type_is_asked_for_by_cost_type_and_a_list_by_multi_cost_types():
    assert "cost-type" in cost_map_filter(FULL, "num-hops")
    assert cost_map_filter(FULL, ["num-hops"]) == {"multi-cost-types": [HOPS.to_json()]}


def test_pids_that_are_not_given_are_all():
    assert cost_map_filter(PLAIN, "num-hops", sources=["a"])["pids"] == {"srcs": ["a"], "dsts": []}
    assert "pids" not in cost_map_filter(PLAIN, "num-hops")


def test_the_whole_of_a_request_is_what_the_server_reads():
    asked = cost_map_filter(
        FULL,
        ["num-routing", "num-hops"],
        sources=["PID1"],
        testable=["ord-routing"],
        or_constraints=[["[0] le 2"], ["[0] ge 3"]],
    )
    assert ask(filtered(cost_constraints=True, max_cost_types=2), asked).tree["cost-map"]["PID1"]
    asked = endpoint_cost_params(FULL, "num-routing", destinations=["ipv4:192.0.2.1"], constraints=["le 5"])
    assert asked["endpoints"] == {"dsts": ["ipv4:192.0.2.1"]}
    assert ask(endpoint_costs(cost_constraints=True), asked).tree["endpoint-cost-map"]


def test_a_calendar_is_asked_for_where_there_is_one():
    assert cost_map_filter(FULL, "num-routing", calendared=True)["calendared"] == [True]
    asked = cost_map_filter(FULL, ["num-routing", "num-hops"], calendared=[True, False])
    assert asked["calendared"] == [True, False]
    assert "calendared" not in cost_map_filter(FULL, "num-hops", calendared=False)


@pytest.mark.parametrize(
    ("capabilities", "wanted", "more"),
    [
        (PLAIN, "nope", {}),
        (PLAIN, CostType("array", "routingcost"), {}),
        (PLAIN, ["num-routing"], {}),
        (FULL, [], {}),
        (FULL, ["num-routing", "num-hops", "ord-routing"], {}),
        (PLAIN, "num-routing", {"constraints": ["le 1"]}),
        (PLAIN, "num-routing", {"or_constraints": [["le 1"]]}),
        (FULL, "num-routing", {"constraints": ["le 1"], "or_constraints": [["le 1"]]}),
        (FULL, "num-routing", {"constraints": ["[1] le 1"]}),
        (FULL, "num-routing", {"constraints": ["below 1"]}),
        (FULL, "num-routing", {"or_constraints": [["le 1"], []]}),
        (SOME, "num-routing", {"constraints": ["le 1"]}),
        (SOME, "num-routing", {"testable": ["num-routing"]}),
        (PLAIN, "num-routing", {"testable": ["num-routing"]}),
        (PLAIN, "num-routing", {"calendared": True}),
        (FULL, "num-hops", {"calendared": True}),
        (FULL, ["num-routing", "num-hops"], {"calendared": True}),
        (FULL, ["num-routing", "num-hops"], {"calendared": [True]}),
        (FULL, "num-routing", {"calendared": True, "constraints": ["le 1"]}),
    ],
)
def test_what_the_resource_cannot_be_asked_is_not_sent(capabilities, wanted, more):
    with pytest.raises(ConfigurationError):
        cost_map_filter(capabilities, wanted, **more)
    with pytest.raises(ConfigurationError):
        endpoint_cost_params(capabilities, wanted, destinations=["ipv4:192.0.2.1"], **more)


def test_the_testable_types_may_be_tested():
    assert cost_map_filter(SOME, "num-routing", testable=["num-hops"], constraints=["le 1"])["constraints"] == ["le 1"]
    assert cost_map_filter(SOME, "num-hops", constraints=["le 1"])


def test_names_that_are_none_are_not_sent():
    with pytest.raises(ConfigurationError, match="no PID name"):
        cost_map_filter(PLAIN, "num-routing", destinations=["a.b"])
    for wrong in ("192.0.2.1", "ipv4:192.0.2.0/24", "ipv4:192.0.2.256"):
        with pytest.raises(ConfigurationError):
            endpoint_cost_params(PLAIN, "num-routing", sources=[wrong])
    with pytest.raises(ConfigurationError, match=r"11\.5\.1\.3"):
        endpoint_cost_params(PLAIN, "num-routing")


@pytest.mark.parametrize("member", ["sources", "destinations", "testable", "constraints", "or_constraints"])
def test_one_text_is_no_list_of_texts(member):
    for build in (cost_map_filter, endpoint_cost_params):
        with pytest.raises(ConfigurationError, match="a list is due, not the one text 'PID1'"):
            build(FULL, "num-routing", **{member: "PID1"})
    with pytest.raises(ConfigurationError, match="a list is due, not the one text 'le 10'"):
        cost_map_filter(FULL, "num-routing", or_constraints=["le 10"])
