"""How much a request may ask for, and what all may ask for at no price."""

import pytest
from alto_costs import (
    COST_MAP,
    COSTS,
    HOPS,
    MATRIX,
    ORDINAL,
    ROUTING,
    TREE,
    WHOLE,
    ask,
    endpoint_costs,
    filtered,
    refusal,
)

from alto import ConfigurationError, _costtable
from alto import costmap as module
from alto._json import loads
from alto.calendar import Calendar
from alto.costoffers import CostOffer
from alto.directory import Directory, Query, RequestContext
from alto.networkmap import NetworkMap, NetworkMapResource

OWN = {
    "num": CostOffer(ROUTING, MATRIX, Calendar([MATRIX] * 3, 60, 0)),
    "hops": CostOffer(HOPS, MATRIX),
    "ord": CostOffer(ORDINAL, MATRIX),
}


@pytest.mark.parametrize(
    ("asked", "work"),
    [
        ({"cost-type": TREE}, 9),
        ({"cost-type": TREE, "pids": {"srcs": ["PID1"], "dsts": []}}, 3),
        ({"multi-cost-types": [TREE, HOPS.to_json()]}, 18),
        ({"cost-type": TREE, "calendared": [True]}, 27),
        ({"cost-type": TREE, "calendared": [False]}, 9),
        ({"cost-type": ORDINAL.to_json()}, 36),
        ({"cost-type": TREE, "constraints": ["ge 0"]}, 18),
        ({"cost-type": TREE, "constraints": ["ge 0"] * 6}, 36),
        ({"cost-type": TREE, "or-constraints": [["ge 0"]] * 6}, 36),
        ({"cost-type": TREE, "testable-cost-types": [ORDINAL.to_json()], "constraints": ["ge 0"]}, 45),
        ({"cost-type": TREE, "testable-cost-types": [ORDINAL.to_json()]}, 9),
    ],
)
def test_a_request_may_not_make_more_work_than_there_is_time_for(monkeypatch, asked, work):
    resource = filtered(offers=OWN, cost_constraints=True, max_cost_types=2)
    monkeypatch.setattr(module, "MAX_COSTS", work)
    assert ask(resource, asked).body
    monkeypatch.setattr(module, "MAX_COSTS", work - 1)
    assert refusal(resource, asked) == ("E_INVALID_FIELD_VALUE", "pids", None)


@pytest.mark.parametrize("small", [0, 2000])
def test_all_costs_of_a_map_that_one_may_get_are_written_once_for_all_who_ask(monkeypatch, small):
    monkeypatch.setattr(module, "MAX_COSTS", 0)
    monkeypatch.setattr(_costtable, "_SMALL", small)
    resource = filtered(cost_constraints=True, max_cost_types=1)
    everything = {"srcs": ["PID3", "PID1", "PID2", "PID1", "nope"], "dsts": []}
    for asked in ({"cost-type": TREE}, {"cost-type": TREE, "pids": everything, "constraints": []}):
        document = ask(resource, asked)
        assert loads(document.body) == document.tree
        assert document.tree["cost-map"] == COSTS
        assert document.tree["meta"] == {"dependent-vtags": [WHOLE.vtag.to_json()], "cost-type": TREE}
        assert document is ask(resource, {"cost-type": TREE})
    for asked in (
        {"cost-type": TREE, "pids": {"srcs": ["PID1"], "dsts": []}},
        {"cost-type": TREE, "pids": {"srcs": [], "dsts": ["PID1", "PID2"]}},
        {"cost-type": TREE, "constraints": ["ge 0"]},
        {"multi-cost-types": [TREE]},
        {"cost-type": ORDINAL.to_json()},
    ):
        assert refusal(resource, asked)[1] == "pids"


def test_a_whole_map_is_that_of_the_network_map_now():
    resource = filtered()
    before = Directory([WHOLE, COST_MAP, resource])
    smaller = NetworkMapResource("map", NetworkMap({"PID1": {"ipv4": ["0.0.0.0/0"]}}))
    for directory, costs in ((before, COSTS), (before.replacing(smaller), {"PID1": {"PID1": 1}})):
        document = resource.answer(Query(RequestContext(directory), {"cost-type": TREE}, random_bytes=bytes))
        assert loads(document.body)["cost-map"] == document.tree["cost-map"] == costs


def test_what_is_named_twice_counts_once_towards_that(monkeypatch):
    monkeypatch.setattr(module, "MAX_COSTS", 2)
    asked = {"cost-type": TREE, "pids": {"srcs": ["PID1"] * 50, "dsts": ["PID1", "PID2"] * 50}}
    assert ask(filtered(), asked).tree["cost-map"] == {"PID1": {"PID1": 1, "PID2": 5}}


def test_names_that_can_be_tested_are_for_clients_that_know_multi_cost():
    """RFC 8189 section 4.1.2: with max-cost-types 0 there are constraints with cost-constraints only."""
    for make in (filtered, endpoint_costs):
        with pytest.raises(ConfigurationError, match="only with multi-cost"):
            make(testable_cost_type_names=("num-hops",))
        assert make(testable_cost_type_names=("num-hops",), max_cost_types=1)
