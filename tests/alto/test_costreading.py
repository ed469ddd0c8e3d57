"""What an answer has to be like, given what was asked for and what the IRD says."""

import pytest
from alto_costs import HOPS, ROUTING, TREE

from alto import DecodeError
from alto.costmap import parse_cost_map
from alto.endpointcost import parse_endpoint_cost
from alto.findings import Findings
from alto.ird import ResourceEntry
from alto.types import CostType

VTAGS = [{"resource-id": "map", "tag": "t"}]
BOTH = [TREE, HOPS.to_json()]
NAMES = {"num": ROUTING, "hops": HOPS}
ATTRIBUTES = {
    "calendar-start-time": "Thu, 01 Jan 1970 00:00:00 GMT",
    "time-interval-size": 60,
    "number-of-intervals": 2,
}


def entry(*calendars):
    """That of a resource with such `calendar-attributes`."""
    attributes = [
        {"cost-type-names": names, "time-interval-size": size, "number-of-intervals": number}
        for names, size, number in calendars
    ]
    capabilities = {"cost-type-names": ["num", "hops"], "max-cost-types": 2, "calendar-attributes": attributes}
    return ResourceEntry("c", "http://a/", "application/alto-costmap+json", "application/x", capabilities, ("map",))


def tree(rows, *attributes, cost_types=None):
    """A cost map; multi-cost where it is of several `cost_types`."""
    meta = {"dependent-vtags": VTAGS, "cost-type": TREE}
    if cost_types is not None:
        meta |= {"cost-type": {}, "multi-cost-types": cost_types}
    if attributes:
        meta["calendar-response-attributes"] = list(attributes)
    return {"meta": meta, "cost-map": {"a": rows}}


def read(document, *, strict=True, **more):
    findings = Findings(strict=strict)
    return parse_cost_map(document, findings, cost_types=NAMES, **more), [item.path for item in findings.items]


def test_an_array_has_a_cost_for_each_cost_type():
    document = tree({"b": [1, 2], "c": [1], "d": [1, 2, 3], "e": 1, "f": [None, 2]}, cost_types=BOTH)
    with pytest.raises(DecodeError, match=r"cost-map/a/c: an array of 2 costs is due"):
        read(document)
    costs, paths = read(document, strict=False)
    assert costs.pairs == {"a": {"b": [1, 2], "f": [None, 2]}}
    assert paths == ["cost-map/a/c", "cost-map/a/d", "cost-map/a/e"]


def test_a_calendar_has_neither_more_nor_fewer_costs_than_intervals():
    document = tree({"b": [1, 2], "c": [1], "d": [1, 2, 3], "e": [None, 2]}, ATTRIBUTES)
    costs, paths = read(document, strict=False)
    assert costs.pairs == {"a": {"b": [1, 2], "e": [None, 2]}}
    assert paths == ["cost-map/a/c", "cost-map/a/d"]


def test_a_path_is_an_array():
    document = tree({"b": ["x"], "c": 5})
    document["meta"]["cost-type"] = {"cost-mode": "array", "cost-metric": "ane-path"}
    with pytest.raises(DecodeError, match="cost-map/a/c: an array is due"):
        read(document)
    assert read(document, strict=False)[0].pairs == {"a": {"b": ["x"]}}


def test_several_calendars_need_names_even_if_they_have_the_same_intervals():
    asked = {"multi-cost-types": BOTH, "calendared": [True, True]}
    document = tree({"b": [[1, 2], [3, 4]]}, ATTRIBUTES, cost_types=BOTH)
    with pytest.raises(DecodeError, match="cost-type-names: missing, with several calendars"):
        read(document, params=asked, entry=entry((["num", "hops"], 60, 2)))
    costs, _ = read(document, strict=False, params=asked, entry=entry((["num", "hops"], 60, 2)))
    assert [costs.calendar("a", "b", place) for place in (0, 1)] == [(1, 2), (3, 4)]
    document["meta"]["calendar-response-attributes"][0] = {**ATTRIBUTES, "cost-type-names": ["num", "hops"]}
    assert not read(document, params=asked, entry=entry((["num", "hops"], 60, 2)))[1]


def test_without_names_the_calendar_is_of_what_was_asked_for_as_one():
    asked = {"multi-cost-types": BOTH, "calendared": [True, False]}
    document = tree({"b": [[1, 2], [3, 4]], "c": [[1, 2], 3]}, ATTRIBUTES, cost_types=BOTH)
    costs, paths = read(document, strict=False, params=asked, entry=entry((["num", "hops"], 60, 2)))
    assert costs.pairs["a"] == {"b": [[1, 2], None], "c": [[1, 2], 3]}
    assert paths == ["cost-map/a/b"]


def test_a_single_cost_is_what_comes_where_there_is_no_calendar():
    """RFC 8896 section 5.1.1: the server ignores that one was asked for."""
    asked = {"multi-cost-types": BOTH, "calendared": [True, True]}
    document = tree({"b": [[1, 2], 3]}, {**ATTRIBUTES, "cost-type-names": ["num"]}, cost_types=BOTH)
    costs, paths = read(document, params=asked, entry=entry((["num"], 60, 2)))
    assert not paths
    assert costs.value("a", "b", 1) == 3
    assert not read(tree({"b": 1}), params={"cost-type": TREE, "calendared": [True]}, entry=entry())[1]
    with pytest.raises(DecodeError, match="missing, though a calendar was asked for"):
        read(tree({"b": 1}), params={"cost-type": TREE, "calendared": [True]}, entry=entry((["num"], 60, 2)))


def test_of_two_calendars_of_a_cost_type_in_the_ird_the_first_counts():
    twice = entry((["num"], 60, 2), (["hops", "num"], 3600, 24))
    asked = {"cost-type": TREE, "calendared": [True]}
    assert not read(tree({"b": [1, 2]}, ATTRIBUTES), params=asked, entry=twice)[1]
    with pytest.raises(DecodeError, match="other intervals"):
        read(tree({}, {**ATTRIBUTES, "time-interval-size": 3600}), params=asked, entry=twice)


def test_calendars_are_told_apart_by_the_names_that_the_resource_has():
    """Another name of the IRD may be of the same mode and metric, with another context."""
    asked = {"multi-cost-types": BOTH, "calendared": [True, True]}
    hourly = {**ATTRIBUTES, "time-interval-size": 3600, "number-of-intervals": 1}
    attributes = ({**hourly, "cost-type-names": ["hops"]}, {**ATTRIBUTES, "cost-type-names": ["num"]})
    document = tree({"b": [[1, 2], [3]]}, *attributes, cost_types=BOTH)
    names = {**NAMES, "agreed": CostType("numerical", "routingcost", cost_context={"cost-source": "estimation"})}
    calendars = entry((["num"], 60, 2), (["hops"], 3600, 1))
    costs = parse_cost_map(document, Findings(strict=True), params=asked, entry=calendars, cost_types=names)
    assert [costs.calendar("a", "b", place) for place in (0, 1)] == [(1, 2), (3,)]


def test_a_calendar_that_the_ird_does_not_have_is_none_to_come():
    document = tree({"b": [1, 2]}, {**ATTRIBUTES, "cost-type-names": ["num"]})
    with pytest.raises(DecodeError, match=r"the IRD has no calendar of \('numerical', 'routingcost'\)"):
        read(document, entry=entry((["hops"], 60, 2)))
    assert not read(document, entry=entry((["num"], 60, 2)))[1]


def test_constraints_are_checked_where_the_tested_costs_are_shown():
    asked = {"cost-type": TREE, "constraints": ["le 5"]}
    with pytest.raises(DecodeError, match="does not meet the constraints"):
        read(tree({"b": 6}), params=asked)
    assert not read(tree({"b": 6}), params={**asked, "testable-cost-types": [HOPS.to_json()]})[1]
    several = {"multi-cost-types": BOTH, "or-constraints": [["[0] le 5", "[1] eq 1"], ["[1] gt 8"]]}
    assert not read(tree({"b": [5, 1], "c": [None, 9]}, cost_types=BOTH), params=several)[1]
    for wrong in ([6, 1], [5, 2], [None, 1], [5, None]):
        with pytest.raises(DecodeError, match="does not meet the constraints"):
            read(tree({"b": wrong}, cost_types=BOTH), params=several)


def test_constraints_are_not_checked_beside_calendars():
    """RFC 8896 section 5.2.1: the server ignores them, or those on the calendars."""
    asked = {"multi-cost-types": BOTH, "calendared": [True, False], "constraints": ["[0] le 1", "[1] le 3"]}
    document = tree({"b": [[1, 2], 3]}, {**ATTRIBUTES, "cost-type-names": ["num"]}, cost_types=BOTH)
    assert not read(document, params=asked, entry=entry((["num"], 60, 2)))[1]


def test_a_source_stands_there_once_however_it_is_spelled():
    rows = {"ipv6:2001:db8::1": {"ipv4:192.0.2.1": 1}, "ipv6:2001:DB8::1": {"ipv4:192.0.2.2": 2}}
    document = {"meta": {"cost-type": TREE}, "endpoint-cost-map": rows}
    with pytest.raises(DecodeError, match="the same source twice"):
        parse_endpoint_cost(document, Findings(strict=True))
    found = parse_endpoint_cost(document, Findings(strict=False))
    assert found.pairs == {"ipv6:2001:db8::1": {"ipv4:192.0.2.1": 1, "ipv4:192.0.2.2": 2}}
