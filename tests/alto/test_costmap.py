import json
from pathlib import Path

import pytest
from alto_costs import (
    COST_MAP,
    COSTS,
    HOPS,
    MATRIX,
    OFFERS,
    ORDINAL,
    ROUTING,
    TPUT,
    TREE,
    WHOLE,
    ask,
    endpoint_costs,
    filtered,
    refusal,
)
from hypothesis import given
from hypothesis import strategies as st

from alto import ConfigurationError, DecodeError
from alto._costvalues import MAX_NOTED
from alto._json import loads
from alto.calendar import Calendar
from alto.costmap import CostMapResource, FilteredCostMapResource, parse_cost_map
from alto.costoffers import CostOffer
from alto.costs import CostMatrix
from alto.directory import Directory, Query, RequestContext
from alto.findings import Findings, Level
from alto.ird import ResourceEntry
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.types import CostType

EXAMPLES = Path(__file__).parents[1] / "data" / "alto_examples"
META = {"dependent-vtags": [{"resource-id": "map", "tag": "t"}], "cost-type": TREE}


def example(name):
    return json.loads((EXAMPLES / name).read_text())


def read(tree, *, strict=True, **more):
    findings = Findings(strict=strict)
    return parse_cost_map(tree, findings, **more), findings.items


def test_a_cost_map_has_its_vtag_the_network_maps_and_its_cost_type():
    document = ask(COST_MAP)
    assert document.tree["meta"] == {
        "vtag": document.vtag.to_json(),
        "dependent-vtags": [WHOLE.vtag.to_json()],
        "cost-type": TREE,
    }
    assert document.vtag.resource_id == "routing"
    assert loads(document.body) == document.tree


def test_a_cost_map_has_another_version_when_anything_in_it_changes():
    """RFC 7285 section 10.3: who has the version has the content, and the network map's version is a part of it."""
    other_map = NetworkMapResource("map", NetworkMap({"PID1": {"ipv4": ["0.0.0.0/0"]}, "PID2": {"ipv6": ["::/0"]}}))
    others = {**COSTS, "PID1": {**COSTS["PID1"], "PID2": 6}}
    other_costs = CostMapResource("routing", "map", "num-routing", ROUTING, CostMatrix.from_mapping(others))
    other_type = CostMapResource("routing", "map", "num-hops", HOPS, MATRIX)
    context = RequestContext(Directory([other_map, COST_MAP]))
    tags = {
        ask(COST_MAP).vtag.tag,
        COST_MAP.answer(Query(context, random_bytes=bytes)).vtag.tag,
        *(
            resource.answer(Query(RequestContext(Directory([WHOLE, resource])), random_bytes=bytes)).vtag.tag
            for resource in (other_costs, other_type)
        ),
    }
    assert len(tags) == 4
    assert ask(COST_MAP).vtag == ask(COST_MAP).vtag


def test_a_cost_map_has_one_cost_type_and_uses_its_network_map():
    directory = Directory([WHOLE, COST_MAP])
    assert COST_MAP.capabilities(directory) == {"cost-type-names": ["num-routing"]}
    assert COST_MAP.uses == ("map",)
    assert COST_MAP.accepts is None


def test_two_cost_maps_of_one_cost_type_and_network_map_are_refused():
    described = CostType("numerical", "routingcost", "the same in other words")
    other = CostMapResource("other", "map", "again", described, MATRIX)
    directory = Directory([WHOLE, COST_MAP, other])
    with pytest.raises(ConfigurationError, match="same cost type and network map"):
        COST_MAP.capabilities(directory)


def test_two_network_maps_may_each_have_a_cost_map_of_one_cost_type():
    elsewhere = NetworkMapResource("elsewhere", NetworkMap({"PID1": {"ipv4": ["0.0.0.0/0"]}}))
    other = CostMapResource("other", "elsewhere", "again", ROUTING, MATRIX)
    directory = Directory([WHOLE, elsewhere, COST_MAP, other])
    assert COST_MAP.capabilities(directory) == {"cost-type-names": ["num-routing"]}
    assert other.capabilities(directory) == {"cost-type-names": ["again"]}


@pytest.mark.parametrize(
    ("cost_type", "cost"),
    [
        (ORDINAL, 0.5),
        (ORDINAL, -1),
        (CostType("numerical", "delay-ow:p99"), -1),
        (HOPS, 1.5),
        (CostType("array", "ane-path"), 1),
        (CostType("string", "routingcost"), 1),
        (CostType("numerical", "routingcost", cost_context={"cost-source": "sla"}), 1),
    ],
)
def test_costs_that_the_cost_type_cannot_have_are_refused(cost_type, cost):
    with pytest.raises(ConfigurationError):
        CostMapResource("c", "map", "name", cost_type, CostMatrix(["PID1"], ["PID1"], [[cost]]))


@pytest.mark.parametrize(
    "metric",
    [
        "delay-ow",
        "delay-rt:p99",
        "delay-variation",
        "lossrate:max",
        "hopcount",
        "tput",
        "bw-residual",
        "bw-available:cur",
    ],
)
def test_no_metric_of_rfc_9439_is_negative(metric):
    cost_type = CostType("numerical", metric)
    with pytest.raises(ConfigurationError, match="negative"):
        CostMapResource("c", "map", "name", cost_type, CostMatrix(["PID1"], ["PID1"], [[-1]]))
    tree = {"meta": {**META, "cost-type": cost_type.to_json()}, "cost-map": {"a": {"b": -1, "c": 0}}}
    with pytest.raises(DecodeError, match=r"cost-map/a/b: -1 is negative \(RFC 9439"):
        read(tree)
    tree["cost-map"]["a"]["b"] = 7
    assert not read(tree)[1]


def test_a_cost_map_leaves_out_pids_that_the_network_map_lost():
    smaller = NetworkMapResource("map", NetworkMap({"PID1": {"ipv4": ["0.0.0.0/0"]}}))
    directory = Directory([WHOLE, COST_MAP])
    before = COST_MAP.depends_on(directory)
    after = directory.replacing(smaller)
    assert COST_MAP.depends_on(after) != before
    assert COST_MAP.costs.restricted(smaller.network_map.pids).to_mapping() == {"PID1": {"PID1": 1}}


def test_each_pair_that_has_a_cost_is_in_the_map():
    assert ask(COST_MAP).tree["cost-map"] == MATRIX.to_mapping() == COSTS


def test_a_filtered_map_sees_the_new_data_of_the_map_it_is_made_of():
    resource = filtered()
    directory = Directory([WHOLE, COST_MAP, resource])
    version = resource.depends_on(directory)
    newer = CostMapResource("routing", "map", "num-routing", ROUTING, CostMatrix(["PID1"], ["PID1"], [[99]]))
    after = directory.replacing(newer)
    assert resource.depends_on(after) != version
    asked = {"cost-type": TREE, "pids": {"srcs": ["PID1"], "dsts": ["PID1"]}}
    assert ask(resource, asked).tree["cost-map"] == {"PID1": {"PID1": 1}}


def test_its_version_is_another_one_where_the_network_map_is():
    other = NetworkMapResource("map", NetworkMap({"PID1": {"ipv4": ["0.0.0.0/0"]}}))
    own = CostOffer(ROUTING, MATRIX)
    for resource in (filtered(), filtered(offers={"own": own}), endpoint_costs(), endpoint_costs(offers={"own": own})):
        directory = Directory([WHOLE, COST_MAP, resource])
        assert resource.depends_on(directory) != resource.depends_on(directory.replacing(other))


def test_pids_without_lists_are_a_mistake():
    assert refusal(filtered(), {"cost-type": TREE, "pids": {}}) == ("E_MISSING_FIELD", "pids/srcs", None)


def test_an_empty_list_is_everything_and_a_list_of_unknown_pids_nothing():
    asked = {"cost-type": TREE, "pids": {"srcs": [], "dsts": ["PID1"]}}
    assert len(ask(filtered(), asked).tree["cost-map"]) == 3
    asked["pids"] = {"srcs": ["nope"], "dsts": []}
    assert ask(filtered(), asked).tree["cost-map"] == {}


def test_ranks_are_made_among_the_pairs_asked_for_before_constraints_drop_any():
    asked = {
        "cost-type": ORDINAL.to_json(),
        "pids": {"srcs": ["PID1", "PID3"], "dsts": ["PID1", "PID2"]},
        "constraints": ["ge 2"],
    }
    found = ask(filtered(cost_constraints=True), asked).tree["cost-map"]
    assert found == {"PID1": {"PID2": 2}, "PID3": {"PID1": 3}}


def test_the_most_bandwidth_ranks_first():
    offers = {"ord-tput": CostOffer(TPUT, CostMatrix(["PID1"], ["PID1", "PID2", "PID3"], [[5, 500, 5]]))}
    found = ask(filtered(offers=offers), {"cost-type": TPUT.to_json()}).tree["cost-map"]
    assert found == {"PID1": {"PID1": 2, "PID2": 1, "PID3": 2}}


def test_ranks_made_of_an_ordinal_map_keep_its_order_whatever_the_metric():
    ranks = CostMatrix(["PID1"], ["PID1", "PID2"], [[7, 3]])
    source = CostMapResource("ranks", "map", "ord-tput-map", TPUT, ranks)
    offers = {"ord-tput": CostOffer(TPUT, "ranks")}
    found = ask(filtered(offers=offers), {"cost-type": TPUT.to_json()}, also=[source]).tree["cost-map"]
    assert found == {"PID1": {"PID1": 2, "PID2": 1}}


@pytest.mark.parametrize(
    "offers",
    [
        {"hops": CostOffer(HOPS, "routing")},
        {"hops": CostOffer(HOPS, "map")},
        {"a": CostOffer(ROUTING, "routing"), "b": CostOffer(ROUTING, "routing")},
        {"pv": CostOffer(CostType("array", "ane-path"), MATRIX)},
        {"hops": CostOffer(HOPS, CostMatrix(["PID1"], ["PID1"], [[0.5]]))},
        {"delay": CostOffer(CostType("numerical", "delay-ow:worst"), MATRIX)},
        {"num": CostOffer(CostType("numerical", "routingcost", cost_context={"cost-source": "sla"}), MATRIX)},
        {"hops": CostOffer(HOPS, MATRIX, Calendar([CostMatrix(["PID1"], ["PID1"], [[-1]])], 1, 0))},
        {},
    ],
)
def test_offers_that_cannot_be_kept_are_refused(offers):
    with pytest.raises(ConfigurationError):
        ask(filtered(offers=offers), {"cost-type": TREE})


def test_numbers_are_not_made_of_ranks():
    ranks = CostMapResource("ranks", "map", "ord", ORDINAL, MATRIX)
    resource = filtered(offers={"num": CostOffer(ROUTING, "ranks")})
    with pytest.raises(ConfigurationError, match="cannot be made from"):
        resource.capabilities(Directory([WHOLE, ranks, resource]))


def test_costs_between_endpoints_are_no_cost_map():
    class Application:
        version = 0

        def costs(self, sources, destinations):
            return []

    with pytest.raises(ConfigurationError, match="not endpoints"):
        filtered(offers={"num": CostOffer(ROUTING, Application())})


def test_the_costs_context_is_told_and_the_description_is_not():
    agreed = CostType("numerical", "delay-ow", "words", {"cost-source": "sla", "parameters": {"link": "x:y"}})
    resource = filtered(offers={"delay": CostOffer(agreed, CostMatrix(["PID1"], ["PID1"], [[5]]))})
    asked = {"cost-type": {"cost-mode": "numerical", "cost-metric": "delay-ow", "cost-context": {}}}
    cost_type = ask(resource, asked).tree["meta"]["cost-type"]
    assert cost_type == {"cost-mode": "numerical", "cost-metric": "delay-ow", "cost-context": agreed.cost_context}


# Reading


@pytest.mark.parametrize(
    ("file", "broken"),
    [
        ("rfc7285/rfc7285-s11.2.3.7-01.json", []),
        ("rfc7285/rfc7285-s11.3.2.7-02.json", []),
        ("rfc8189/rfc8189-s3.1-01.fixed.json", ["meta/dependent-vtags"]),
        ("rfc8189/rfc8189-s5.2-02.fixed.json", []),
        ("rfc8189/rfc8189-s5.3-02.fixed.json", []),
        ("rfc8189/rfc8189-s5.4-02.fixed.json", []),
        ("rfc8189/rfc8189-s5.5-02.fixed.json", []),
        ("rfc8895/rfc8895-s3.1.2.2-01.json", []),
        ("rfc8895/rfc8895-s8.2-04.json", []),
        ("rfc8896/rfc8896-s5.1.3-02.json", ["meta/calendar-response-attributes/calendar-start-time"]),
    ],
)
def test_the_examples_of_the_rfcs_break_what_they_break(file, broken):
    _, items = read(example(file), strict=False)
    assert [item.path for item in items if item.level is Level.MUST] == broken
    if broken:
        with pytest.raises(DecodeError, match=broken[0]):
            read(example(file))


def test_every_cost_can_be_had_by_its_pair():
    costs, _ = read(ask(COST_MAP).tree)
    assert costs.cost("PID1", "PID3") == 10.0
    assert costs.cost("PID3", "PID3") is None
    assert costs.cost("nope", "PID3") is None
    assert costs.vtag == ask(COST_MAP).vtag
    assert [vtag.resource_id for vtag in costs.dependent_vtags] == ["map"]
    assert costs.matrix().tag == CostMatrix.from_mapping(costs.pairs).tag


def test_what_the_server_answers_is_what_the_client_reads():
    asked = {"multi-cost-types": [TREE, HOPS.to_json()], "pids": {"srcs": ["PID1"], "dsts": []}}
    tree = ask(filtered(max_cost_types=2), asked).tree
    costs, items = read(tree, params=asked)
    assert not items
    assert costs.is_multi_cost
    assert costs.cost("PID1", "PID2", 1) == 3.0
    assert costs.cost("PID1", "PID3", 1) is None
    assert costs.matrix(1).to_mapping() == {"PID1": {"PID1": 0, "PID2": 3}}


def test_an_array_of_one_is_no_number_and_a_number_no_array_of_one():
    """RFC 8189 section 4.1.3: which of them it is, is asked for."""
    single = {"meta": META, "cost-map": {"a": {"b": 1}}}
    array = {"meta": {**META, "cost-type": {}, "multi-cost-types": [TREE]}, "cost-map": {"a": {"b": [1]}}}
    for tree, fits, other in (
        (single, {"cost-type": TREE}, {"multi-cost-types": [TREE]}),
        (array, {"multi-cost-types": [TREE]}, {"cost-type": TREE}),
    ):
        assert not read(tree, params=fits)[1]
        with pytest.raises(DecodeError, match="meta/multi-cost-types"):
            read(tree, params=other)
        assert read(tree, strict=False, params=other)[0].cost("a", "b") == 1


def test_members_that_nobody_knows_are_ignored():
    tree = {"meta": {**META, "x": 1}, "cost-map": {"a": {"b": 1}}, "y": {}}
    tree["meta"]["cost-type"] = {**TREE, "z": []}
    costs, items = read(tree)
    assert not items
    assert costs.pairs == {"a": {"b": 1}}


def test_the_network_map_is_the_one_that_the_ird_says():
    entry = ResourceEntry("c", "http://a/", "application/alto-costmap+json", None, {}, ("other",))
    with pytest.raises(DecodeError, match="not in the uses"):
        read({"meta": META, "cost-map": {}}, entry=entry)


def test_the_cost_type_of_a_whole_map_is_the_one_that_the_ird_says():
    entry = ResourceEntry("c", "http://a/", "", None, {"cost-type-names": ["hops"]}, ("map",))
    with pytest.raises(DecodeError, match="not what was asked for"):
        read({"meta": META, "cost-map": {}}, entry=entry, cost_types={"hops": HOPS})


def test_a_lenient_reader_guesses_the_cost_type_from_what_was_asked():
    tree = {"meta": {"dependent-vtags": META["dependent-vtags"]}, "cost-map": {"a": {"b": 1}}}
    costs, items = read(tree, strict=False, params={"cost-type": TREE})
    assert costs.cost_types == (ROUTING,)
    assert items


@pytest.mark.parametrize("value", ["1", True, None, [1], {}, 10**400])
def test_a_cost_that_is_no_number_is_left_out_or_refused(value):
    tree = {"meta": META, "cost-map": {"a": {"b": value, "c": 2}}}
    with pytest.raises(DecodeError, match="cost-map/a/b: a number is due"):
        read(tree)
    assert read(tree, strict=False)[0].pairs == {"a": {"c": 2}}


@pytest.mark.parametrize("name", ["a.b", "", "x" * 65])
def test_what_is_no_pid_is_left_out_or_refused(name):
    for data in ({"a": {name: 1, "b": 2}}, {name: {"b": 1}, "a": {"b": 2}}):
        with pytest.raises(DecodeError, match=r"by its syntax \(RFC 7285 section 10\.1\)"):
            read({"meta": META, "cost-map": data})
        assert read({"meta": META, "cost-map": data}, strict=False)[0].pairs == {"a": {"b": 2}}


def test_not_every_bad_cost_of_a_large_map_is_listed():
    tree = {"meta": META, "cost-map": {"a": {f"p{i}": "x" for i in range(5000)}}}
    assert len(read(tree, strict=False)[1]) == MAX_NOTED + 1


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["a", "x" * 70, "", "numerical", "routingcost", "Mon, 01 Jul 2019 13:00:00 GMT"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "a",
                    "b.c",
                    "cost-mode",
                    "cost-metric",
                    "resource-id",
                    "tag",
                    *META,
                    "multi-cost-types",
                    "calendar-response-attributes",
                    "time-interval-size",
                    "number-of-intervals",
                    "vtag",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(json_values, json_values)
def test_any_json_is_read_or_refused(meta, data):
    for tree in ({"meta": meta, "cost-map": data}, {"meta": {**META, "x": 1}, "cost-map": data}, meta):
        for strict in (True, False):
            for params in (None, {"cost-type": TREE, "constraints": ["le 5"], "pids": {"srcs": ["a"], "dsts": []}}):
                try:
                    costs, _ = read(tree, strict=strict, params=params)
                except DecodeError:
                    continue
                for place in range(len(costs.cost_types)):
                    list(costs.costs(place))
                    costs.ranks(place)
                    costs.cost("a", "a", place)


def test_a_large_map_is_read_by_the_row():
    names = [f"PID{i}" for i in range(300)]
    tree = {"meta": META, "cost-map": {source: dict.fromkeys(names, 1.5) for source in names}}
    costs, items = read(tree)
    assert not items
    assert costs.pairs["PID7"] is tree["cost-map"]["PID7"]


def test_a_filtered_map_is_a_resource_that_one_posts_to():
    resource = FilteredCostMapResource("f", "map", OFFERS)
    assert (resource.media_type, resource.accepts) == (
        "application/alto-costmap+json",
        "application/alto-costmapfilter+json",
    )
    assert dict(resource.cost_types) == {name: offer.cost_type for name, offer in OFFERS.items()}
