import json
from pathlib import Path

import pytest
from alto_costs import COST_MAP, COSTS, HOPS, MATRIX, ORDINAL, PIDS, ROUTING, TREE, WHOLE, ask, endpoint_costs, refusal
from hypothesis import given
from hypothesis import strategies as st

from alto import ConfigurationError, DecodeError, _locator
from alto import endpointcost as module
from alto.address import format_endpoint
from alto.calendar import Calendar
from alto.costmap import CostMapResource
from alto.costoffers import CostOffer
from alto.costs import CostMatrix
from alto.directory import Directory, Query, RequestContext
from alto.endpointcost import EndpointCostResource, parse_endpoint_cost
from alto.findings import Findings, Level
from alto.ird import ResourceEntry
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.ports import EndpointCosts
from alto.types import CostType

DATA = Path(__file__).parents[1] / "data"
META = {"cost-type": TREE}


class Application:
    """Costs of an application's own: the last octet of the destination."""

    version = 1

    def __init__(self, answer=None):
        self.answer = answer
        self.asked = []

    def costs(self, sources, destinations):
        self.asked.append((list(sources), list(destinations)))
        if self.answer is not None:
            return self.answer
        return [[float(name.rpartition(".")[2]) for name in destinations] for _ in sources]


APPLICATION: EndpointCosts = Application()


def own(answer=None):
    application = Application(answer)
    return application, endpoint_costs(network_map=None, offers={"n": CostOffer(ROUTING, application)})


def between(sources, destinations, **more):
    return {"cost-type": TREE, "endpoints": {"srcs": sources, "dsts": destinations}, **more}


def costs_of(params, **more):
    return ask(endpoint_costs(cost_constraints=True), params, **more).tree["endpoint-cost-map"]


def read(tree, *, strict=True, **more):
    findings = Findings(strict=strict)
    return parse_endpoint_cost(tree, findings, **more), findings.items


def test_it_uses_neither_network_map_nor_cost_map():
    resource = endpoint_costs()
    assert resource.uses == ()
    tree = ask(resource, between(["ipv4:192.0.2.1"], ["ipv4:192.0.2.2"])).tree
    assert tree["meta"] == META


def test_without_sources_the_client_is_the_source():
    for endpoints in ({"dsts": ["ipv4:198.51.100.200"]}, {"srcs": [], "dsts": ["ipv4:198.51.100.200"]}):
        found = costs_of({"cost-type": TREE, "endpoints": endpoints}, client="ipv4:192.0.2.77")
        assert found == {"ipv4:192.0.2.77": {"ipv4:198.51.100.200": 5}}


def test_without_destinations_the_client_is_the_destination():
    found = costs_of({"cost-type": TREE, "endpoints": {"srcs": ["ipv4:198.51.100.200"]}}, client="ipv6:2001:db8::1")
    assert found == {"ipv4:198.51.100.200": {"ipv6:2001:db8::1": 1}}


def test_a_client_without_an_address_has_to_name_both():
    asked = {"cost-type": TREE, "endpoints": {"dsts": ["ipv4:192.0.2.1"]}}
    assert refusal(endpoint_costs(), asked, client=None) == ("E_MISSING_FIELD", "endpoints/srcs", None)


def test_two_spellings_of_an_address_are_one_endpoint_under_the_first():
    asked = between(["ipv4:192.0.2.1"], ["ipv6:2001:DB8::1", "ipv6:2001:db8:0::1", "ipv6:2001:db8::2"])
    assert costs_of(asked) == {"ipv4:192.0.2.1": {"ipv6:2001:DB8::1": 5, "ipv6:2001:db8::2": 5}}
    application, resource = own([[1, 2]])
    found = ask(resource, asked).tree["endpoint-cost-map"]
    assert found == {"ipv4:192.0.2.1": {"ipv6:2001:DB8::1": 1, "ipv6:2001:db8::2": 2}}
    assert application.asked == [(["ipv4:192.0.2.1"], ["ipv6:2001:DB8::1", "ipv6:2001:db8::2"])]


def test_the_second_request_of_the_same_endpoints_is_answered_like_the_first():
    resource = endpoint_costs()
    asked = between(["ipv4:192.0.2.1"], ["ipv6:2001:DB8::1", "ipv6:2001:db8:0::1", "ipv4:192.0.2.0/25", "ipv4:8.8.8.8"])
    first = ask(resource, asked).tree
    assert ask(resource, asked).tree == first
    other = between(["ipv4:192.0.2.1"], ["ipv6:2001:db8:0::1", "ipv6:2001:DB8::1"])
    assert ask(resource, other).tree["endpoint-cost-map"] == {"ipv4:192.0.2.1": {"ipv6:2001:db8:0::1": 5}}


def test_endpoints_without_end_are_not_kept(monkeypatch):
    monkeypatch.setattr(_locator, "MAX_KNOWN", 4)
    resource = endpoint_costs()
    for last in range(9):
        names = [f"ipv4:192.0.2.{last}", "ipv4:198.51.100.200", f"ipv6:2001:DB8::{last}"]
        found = ask(resource, between(["ipv4:192.0.2.1"], names)).tree["endpoint-cost-map"]
        assert found == {"ipv4:192.0.2.1": dict(zip(names, (1, 5, 5), strict=True))}
        assert len(resource._locator._known) <= 4
        assert resource._locator._spellings.keys() <= resource._locator._known.keys()


def test_a_changed_network_map_moves_the_endpoints():
    resource = endpoint_costs(offers={"n": CostOffer(ROUTING, MATRIX)})
    directory = Directory([WHOLE, resource])
    version = resource.depends_on(directory)
    asked = between(["ipv4:192.0.2.1"], ["ipv4:192.0.2.2"])
    assert ask(resource, asked).tree["endpoint-cost-map"] == {"ipv4:192.0.2.1": {"ipv4:192.0.2.2": 1}}
    moved = NetworkMapResource("map", NetworkMap({"PID2": {"ipv4": ["192.0.2.2/32"]}, "PID1": {"ipv4": ["0.0.0.0/0"]}}))
    after = directory.replacing(moved)
    assert resource.depends_on(after) != version
    document = resource.answer(Query(RequestContext(after), asked, random_bytes=bytes))
    assert document.tree["endpoint-cost-map"] == {"ipv4:192.0.2.1": {"ipv4:192.0.2.2": 5}}


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=6),
    st.integers(0, 2**32 - 1),
    st.integers(24, 32),
)
def test_a_prefix_is_an_endpoint_if_every_address_of_it_is_in_one_pid(prefixes, value, length):
    groups = {"PID1": {"ipv4": ["0.0.0.0/0"]}, "PID2": {"ipv4": []}}
    for number, bits in prefixes:
        network = number >> 32 - bits << 32 - bits if bits else 0
        text = format_endpoint(4, network).removeprefix("ipv4:") + f"/{bits}"
        if bits and text not in groups["PID2"]["ipv4"]:
            groups["PID2"]["ipv4"].append(text)
    whole = NetworkMapResource("map", NetworkMap(groups))
    value = value >> 32 - length << 32 - length
    block = f"{format_endpoint(4, value)}/{length}"
    pids = {whole.network_map.pid_of(format_endpoint(4, value + at)) for at in range(1 << 32 - length)}
    locator = _locator.Locator(whole.network_map)
    if len(pids) == 1:
        _, found = locator.locate([block], "x")
        assert found == [*pids]
    else:
        with pytest.raises(Exception, match="E_INVALID_FIELD_VALUE"):
            locator.locate([block], "x")


def test_a_prefix_of_full_length_is_the_address():
    asked = between(["ipv4:192.0.2.1"], ["ipv4:192.0.2.9", "ipv4:192.0.2.9/32"])
    assert costs_of(asked) == {"ipv4:192.0.2.1": {"ipv4:192.0.2.9": 1}}


def test_a_prefix_is_nothing_that_an_application_knows():
    _, resource = own()
    asked = between(["ipv4:192.0.2.1"], ["ipv4:192.0.2.0/24"])
    assert refusal(resource, asked) == ("E_INVALID_FIELD_VALUE", "endpoints/dsts", "ipv4:192.0.2.0/24")


@pytest.mark.parametrize(
    "text",
    [
        *("", "ipv4:", "ipv4:1.2.3", "ipv4:01.2.3.4", "ipv4:1.2.3.4%eth0", "ipv6:::1%1", "IPV4:1.2.3.4", "ipv4:::1"),
        *("mac:00:11:22:33:44:55", "192.0.2.1", "ipv4:192.0.2.1/24", "ipv4:192.0.2.0/33", "ipv4:192.0.2.0/", "x" * 300),
    ],
)
def test_what_is_no_endpoint_is_named(text):
    for resource in (endpoint_costs(), own()[1]):
        found = refusal(resource, between(["ipv4:192.0.2.1"], ["ipv4:192.0.2.2", text]))
        assert found == ("E_INVALID_FIELD_VALUE", "endpoints/dsts", text[:256])


def test_there_may_be_only_so_many_endpoints_and_pairs(monkeypatch):
    monkeypatch.setattr(module, "MAX_ENDPOINTS", 3)
    many = [f"ipv4:192.0.2.{last}" for last in range(4)]
    assert refusal(endpoint_costs(), between(many, many[:1])) == ("E_INVALID_FIELD_VALUE", "endpoints/srcs", None)
    monkeypatch.setattr(module, "MAX_COSTS", 8)
    assert refusal(endpoint_costs(), between(many[:3], many[:3])) == ("E_INVALID_FIELD_VALUE", "endpoints", None)
    assert costs_of(between(many[:2], many[:3]))


def test_an_application_is_asked_once_for_all_pairs():
    application, resource = own()
    found = ask(resource, between(["ipv4:192.0.2.1"], ["ipv4:192.0.2.7", "ipv4:192.0.2.9"])).tree
    assert found["endpoint-cost-map"] == {"ipv4:192.0.2.1": {"ipv4:192.0.2.7": 7, "ipv4:192.0.2.9": 9}}
    assert len(application.asked) == 1
    assert resource.depends_on(Directory([resource])) == (None, (1, None))


@pytest.mark.parametrize("answer", [[], [[1], [2]], [[1, 2]], [["1"]], [[float("inf")]]])
def test_an_application_that_answers_something_else_is_at_fault(answer):
    with pytest.raises(ConfigurationError):
        ask(own(answer)[1], between(["ipv4:192.0.2.1"], ["ipv4:192.0.2.7"]))


def test_an_application_may_not_know_a_cost():
    for answer in ([[None]], [[float("nan")]]):
        found = ask(own(answer)[1], between(["ipv4:192.0.2.1"], ["ipv4:192.0.2.7"])).tree
        assert found["endpoint-cost-map"] == {}


def test_costs_between_pids_need_a_network_map():
    for offer in (
        CostOffer(ROUTING, MATRIX),
        CostOffer(ROUTING, "routing"),
        CostOffer(ROUTING, Application(), Calendar([MATRIX], 1, 0)),
    ):
        with pytest.raises(ConfigurationError, match="network map"):
            EndpointCostResource("e", {"n": offer})


def test_a_cost_map_over_another_network_map_does_not_fit():
    other = NetworkMapResource("other", NetworkMap(PIDS))
    elsewhere = CostMapResource("elsewhere", "other", "num", ROUTING, CostMatrix.from_mapping(COSTS))
    resource = endpoint_costs(offers={"n": CostOffer(ROUTING, "elsewhere")})
    with pytest.raises(ConfigurationError, match="is between PIDs of"):
        resource.capabilities(Directory([WHOLE, COST_MAP, other, elsewhere, resource]))


def test_ranks_are_among_the_pairs_asked_for():
    asked = {
        "cost-type": ORDINAL.to_json(),
        "endpoints": {"srcs": ["ipv4:192.0.2.1"], "dsts": ["ipv4:203.0.113.1", "ipv4:198.51.100.200"]},
    }
    assert costs_of(asked) == {"ipv4:192.0.2.1": {"ipv4:203.0.113.1": 2, "ipv4:198.51.100.200": 1}}


def test_an_application_can_have_a_calendar_of_its_own():
    calendar = Calendar([Application([[1]]), Application([[None]]), Application([[3]])], 60, 0)
    resource = EndpointCostResource("e", {"n": CostOffer(ROUTING, Application(), calendar)})
    found = ask(resource, {**between(["ipv4:192.0.2.1"], ["ipv4:192.0.2.7"]), "calendared": [True]}).tree
    assert found["endpoint-cost-map"] == {"ipv4:192.0.2.1": {"ipv4:192.0.2.7": [1, None, 3]}}
    assert found["meta"]["calendar-response-attributes"] == [
        {"calendar-start-time": "Thu, 01 Jan 1970 00:00:00 GMT", "time-interval-size": 60, "number-of-intervals": 3}
    ]


@pytest.mark.parametrize(
    ("metric", "cost", "is_fine"),
    [
        ("delay-ow:p99", -1, False),
        ("delay-ow:p99", 0.5, True),
        ("hopcount", 1.5, False),
        ("hopcount", 2.0, True),
        ("hopcount", None, True),
        ("routingcost", -1.5, True),
        ("priv:x", -1.5, True),
    ],
)
@pytest.mark.parametrize("mode", ["numerical", "ordinal"])
def test_an_application_has_no_costs_that_their_metric_cannot_have(metric, cost, is_fine, mode):
    application = Application([[cost, 1]])
    calendar = Calendar([Application([[1, 1]]), application], 60, 0)
    for offer in (
        CostOffer(CostType(mode, metric), application),
        CostOffer(CostType(mode, metric), Application([[1, 1]]), calendar),
    ):
        resource = endpoint_costs(network_map=None, offers={"n": offer})
        asked = {
            "cost-type": offer.cost_type.to_json(),
            "calendared": [True],
            "endpoints": {"srcs": ["ipv4:192.0.2.1"], "dsts": ["ipv4:192.0.2.7", "ipv4:192.0.2.8"]},
        }
        if is_fine:
            assert ask(resource, asked).body
        else:
            with pytest.raises(ConfigurationError, match=metric):
                ask(resource, asked)


def test_an_application_is_asked_once_for_what_is_shown_and_tested():
    application = Application([[5]])
    offers = {"n": CostOffer(ROUTING, application)}
    resource = endpoint_costs(network_map=None, offers=offers, cost_constraints=True, max_cost_types=2)
    asked = {"multi-cost-types": [TREE, TREE], "constraints": ["[0] le 5", "[1] ge 5"]}
    asked["endpoints"] = {"srcs": ["ipv4:192.0.2.1"], "dsts": ["ipv4:192.0.2.7"]}
    assert ask(resource, asked).tree["endpoint-cost-map"] == {"ipv4:192.0.2.1": {"ipv4:192.0.2.7": [5, 5]}}
    assert len(application.asked) == 1


# Reading


@pytest.mark.parametrize(
    ("file", "broken"),
    [
        ("rfc7285/rfc7285-s11.5.1.7-02.json", []),
        ("rfc8189/rfc8189-s5.6-02.fixed.json", ["meta/cost-type"]),
        ("rfc8896/rfc8896-s5.2.3-02.json", ["meta/calendar-response-attributes/calendar-start-time"]),
        (
            "rfc8896/rfc8896-s5.2.4-02.json",
            ["meta/cost-type", *["meta/calendar-response-attributes/calendar-start-time"] * 2],
        ),
        *(
            (f"rfc9439draft/rfc9439draft-s{s}-02.json", [])
            for s in ("4.1.3", "4.2.3", "4.3.3", "4.4.3", "4.5.3", "5.1.3", "5.2.3", "5.3.3")
        ),
    ],
)
def test_the_examples_of_the_rfcs_break_what_they_break(file, broken):
    tree = json.loads((DATA / "alto_examples" / file).read_text())
    _, items = read(tree, strict=False)
    assert [item.path for item in items if item.level is Level.MUST] == broken
    if broken:
        with pytest.raises(DecodeError, match=broken[0]):
            read(tree)


def test_the_constraints_of_rfc_8189_are_not_met_by_its_own_answer():
    folder = DATA / "alto_examples" / "rfc8189"
    tree = json.loads((folder / "rfc8189-s5.6-02.fixed.json").read_text())
    asked = json.loads((folder / "rfc8189-s5.6-01.json").read_text())
    _, items = read(tree, strict=False, params=asked)
    unmet = [item.path for item in items if "constraints" in item.text]
    assert len(unmet) == 3


def test_the_answers_of_a_foreign_server_are_read_leniently():
    transcripts = json.loads((DATA / "openalto_server_transcripts.json").read_text())
    verdicts = {}
    for one in transcripts:
        body = one["response"].get("body") or ""
        if one["name"].startswith("ecs") and body.startswith("{") and "endpoint-cost-map" in body:
            try:
                _, items = read(json.loads(body), strict=False)
            except DecodeError as error:
                verdicts[one["name"]] = str(error).split(":")[0]
            else:
                verdicts[one["name"]] = len(items)
    assert verdicts == {"ecs": 0, "ecs no cost-type": "meta/cost-type", "ecs ordinal": 1, "ecs constraints": 0}


def test_a_lenient_reader_takes_the_cost_type_that_was_asked_for():
    tree = {"meta": {"cost-type": None}, "endpoint-cost-map": {"ipv4:192.0.2.1": {"ipv4:192.0.2.2": 3}}}
    costs, _ = read(tree, strict=False, params=between(["ipv4:192.0.2.1"], []))
    assert costs.cost("ipv4:192.0.2.1", "ipv4:192.0.2.2") == 3


def test_a_cost_is_found_however_the_endpoints_are_spelled():
    tree = {"meta": META, "endpoint-cost-map": {"ipv6:2001:db8:0::1": {"ipv6:::ffff:1.2.3.4": 3}}}
    costs, _ = read(tree)
    assert costs.cost("ipv6:2001:DB8::1", "ipv6:::ffff:102:304") == 3
    assert costs.cost("ipv6:2001:db8::1", "ipv6:0:0:0:0:0:FFFF:102:304") == 3
    assert costs.cost("nonsense", "more") is None
    asked = between(["ipv6:2001:DB8::1"], ["ipv6:0:0:0:0:0:ffff:1.2.3.4"])
    costs, _ = read(tree, params=asked)
    assert costs.pairs == {"ipv6:2001:DB8::1": {"ipv6:0:0:0:0:0:ffff:1.2.3.4": 3}}


def test_an_endpoint_that_was_not_asked_for_is_left_out():
    tree = {"meta": META, "endpoint-cost-map": {"ipv4:192.0.2.1": {"ipv4:192.0.2.2": 3, "ipv4:192.0.2.3": 3}}}
    asked = between(["ipv4:192.0.2.1"], ["ipv4:192.0.2.2"])
    with pytest.raises(DecodeError, match="not among what was asked for"):
        read(tree, params=asked)
    assert read(tree, strict=False, params=asked)[0].pairs == {"ipv4:192.0.2.1": {"ipv4:192.0.2.2": 3}}


def test_multi_cost_and_calendars_are_read_together():
    calendar = Calendar([MATRIX, MATRIX], 60, 0)
    offers = {"num": CostOffer(ROUTING, MATRIX, calendar), "hops": CostOffer(HOPS, MATRIX)}
    resource = endpoint_costs(offers=offers, max_cost_types=2)
    asked = {
        "multi-cost-types": [HOPS.to_json(), TREE],
        "calendared": [True, True],
        "endpoints": {"srcs": ["ipv4:192.0.2.1"], "dsts": ["ipv4:198.51.100.200"]},
    }
    costs, items = read(ask(resource, asked).tree, params=asked, cost_types={"num": ROUTING, "hops": HOPS})
    assert not items
    assert costs.cost("ipv4:192.0.2.1", "ipv4:198.51.100.200", 0) == 5
    assert costs.calendar("ipv4:192.0.2.1", "ipv4:198.51.100.200", 0) is None
    assert costs.cost("ipv4:192.0.2.1", "ipv4:198.51.100.200", 1) is None
    assert costs.calendar("ipv4:192.0.2.1", "ipv4:198.51.100.200", 1) == (5, 5)
    assert costs.calendars[1].end == 120
    assert [*costs.costs(1)] == []
    # Without the names of the IRD the arrays show which of the two it is.
    costs, _ = read(ask(resource, asked).tree)
    assert [one is None for one in costs.calendars] == [True, False]


CALENDAR = [{"cost-type-names": ["num"], "time-interval-size": 60, "number-of-intervals": 2}]
CAPABILITIES = {"cost-type-names": ["num", "hops"], "max-cost-types": 2, "calendar-attributes": CALENDAR}
ENTRY = ResourceEntry("e", "http://a/", "application/alto-endpointcost+json", "application/x", CAPABILITIES)
# Of the names of an IRD that are of one cost type a resource has one.
NAMES = {"num": ROUTING, "hops": HOPS, "agreed": CostType("numerical", "routingcost", cost_context={})}


def test_of_one_cost_type_a_calendar_and_a_single_cost_may_be_asked_for():
    offers = {"num": CostOffer(ROUTING, MATRIX, Calendar([MATRIX, MATRIX], 60, 0))}
    resource = endpoint_costs(offers=offers, max_cost_types=3)
    asked = {"multi-cost-types": [TREE, TREE, TREE], "calendared": [False, True, False]}
    asked["endpoints"] = {"srcs": ["ipv4:192.0.2.1"], "dsts": ["ipv4:198.51.100.200"]}
    for entry in (ENTRY, None):
        costs, items = read(ask(resource, asked).tree, params=asked, entry=entry, cost_types=NAMES)
        assert not items
        assert costs.value("ipv4:192.0.2.1", "ipv4:198.51.100.200", 0) == 5
        assert costs.calendar("ipv4:192.0.2.1", "ipv4:198.51.100.200", 1) == (5, 5)
        assert costs.value("ipv4:192.0.2.1", "ipv4:198.51.100.200", 2) == 5


@pytest.mark.parametrize("names", [{"cost-type-names": ["num"]}, {}])
@pytest.mark.parametrize("asked", [{}, {"calendared": [False]}])
def test_a_calendar_that_nobody_asked_for_is_no_cost(names, asked):
    """RFC 8896 section 5.2.2"""
    calendar = {"calendar-start-time": "Thu, 01 Jan 1970 00:00:00 GMT", **CALENDAR[0]}
    del calendar["cost-type-names"]
    meta = {"cost-type": TREE, "calendar-response-attributes": [{**calendar, **names}]}
    tree = {"meta": meta, "endpoint-cost-map": {"ipv4:192.0.2.1": {"ipv4:192.0.2.2": [1, 2], "ipv4:192.0.2.3": 3}}}
    params = {"cost-type": TREE, "endpoints": {"dsts": ["ipv4:192.0.2.2", "ipv4:192.0.2.3"]}, **asked}
    with pytest.raises(DecodeError, match="a number is due, not an array"):
        read(tree, params=params, entry=ENTRY, cost_types=NAMES)
    costs, _ = read(tree, strict=False, params=params, entry=ENTRY, cost_types=NAMES)
    assert costs.pairs == {"ipv4:192.0.2.1": {"ipv4:192.0.2.3": 3}}


def test_multi_cost_with_a_cost_that_is_not_there_has_null():
    asked = {
        "multi-cost-types": [HOPS.to_json(), TREE],
        "endpoints": {"srcs": ["ipv4:192.0.2.1"], "dsts": ["ipv4:198.51.100.200", "ipv4:203.0.113.1"]},
    }
    found = ask(endpoint_costs(max_cost_types=2), asked).tree["endpoint-cost-map"]
    assert found == {"ipv4:192.0.2.1": {"ipv4:198.51.100.200": [3, 5], "ipv4:203.0.113.1": [None, 10]}}


def test_a_start_later_than_the_request_is_noted():
    calendar = Calendar([MATRIX], 60, 1000)
    resource = endpoint_costs(offers={"num": CostOffer(ROUTING, MATRIX, calendar)})
    asked = {**between(["ipv4:192.0.2.1"], ["ipv4:192.0.2.2"]), "calendared": [True]}
    tree = ask(resource, asked).tree
    assert read(tree, wall=1000.5)[1] == []
    [finding] = read(tree, wall=999.5)[1]
    assert finding.level is Level.SHOULD
