"""Every member of every request, missing and of each wrong type: the table below says the error, not the code."""

import copy

import pytest
from alto_costs import HOPS, OFFERS, ORDINAL, ROUTING, TREE, ask, endpoint_costs, filtered, refusal
from hypothesis import given
from hypothesis import strategies as st

from alto import ConfigurationError, RequestError
from alto._json import dumps, loads
from alto.calendar import Calendar, CalendarAttributes
from alto.costoffers import CostOffer
from alto.costrequest import CostCapabilities, read_cost_request
from alto.costs import CostMatrix
from alto.types import CostType

CALENDAR = Calendar([CostMatrix(["PID1"], ["PID1"], [[1]])] * 2, 60, 0)
EVERYTHING = {
    "offers": {**OFFERS, "cal": CostOffer(CostType("numerical", "lossrate"), CostMatrix([], [], []), CALENDAR)},
    "cost_constraints": True,
    "max_cost_types": 2,
}
TYPES = [TREE, ORDINAL.to_json()]

_VALID = {
    "filtered cost map": {
        "cost-type": TREE,
        "testable-cost-types": TYPES,
        "constraints": ["[1] le 5", "ge 0"],
        "calendared": [False],
        "pids": {"srcs": ["PID1"], "dsts": ["PID2", "PID1"]},
    },
    "multi-cost map": {
        "multi-cost-types": TYPES,
        "testable-cost-types": TYPES,
        "or-constraints": [["[1] le 5"], ["[0] ge 0", "[1] eq 1"]],
        "calendared": [False, True],
        "pids": {"srcs": [], "dsts": []},
    },
    "endpoint cost": {
        "cost-type": TREE,
        "testable-cost-types": TYPES,
        "constraints": [],
        "calendared": [False],
        "endpoints": {"srcs": ["ipv4:192.0.2.1"], "dsts": ["ipv6:2001:db8::1", "ipv4:192.0.2.2"]},
    },
    "multi-cost endpoints": {
        "multi-cost-types": TYPES,
        "or-constraints": [["[1] le 5"]],
        "calendared": [False, False],
        "endpoints": {"dsts": ["ipv6:2001:db8::1"]},
    },
}
# No two members of a request are the same object.
VALID = loads(dumps(_VALID))
# What each member has to be, by its path without places; an array's elements stand behind "*".
KINDS = {
    "": dict,
    "cost-type": dict,
    "multi-cost-types": list,
    "multi-cost-types/*": dict,
    "testable-cost-types": list,
    "testable-cost-types/*": dict,
    **{
        f"{outer}/{inner}": str
        for outer in ("cost-type", "multi-cost-types/*", "testable-cost-types/*")
        for inner in ("cost-mode", "cost-metric")
    },
    "constraints": list,
    "constraints/*": str,
    "or-constraints": list,
    "or-constraints/*": list,
    "or-constraints/*/*": str,
    "calendared": list,
    "calendared/*": bool,
    "pids": dict,
    "endpoints": dict,
    **{f"{outer}/{inner}": list for outer in ("pids", "endpoints") for inner in ("srcs", "dsts")},
    **{f"{outer}/{inner}/*": str for outer in ("pids", "endpoints") for inner in ("srcs", "dsts")},
}
REQUIRED = {"cost-type", "multi-cost-types", "endpoints", "pids/srcs", "pids/dsts"} | {
    path for path in KINDS if path.endswith(("cost-mode", "cost-metric"))
}
SAMPLES = {dict: {}, list: [], str: "x", bool: True, int: 7, float: 2.5, type(None): None}


def members(tree, place=(), path=""):
    """Where each member and element is: its place in the tree, and its path in KINDS."""
    yield place, path
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inner:
        name = "*" if isinstance(tree, list) else key
        yield from members(value, (*place, key), f"{path}/{name}" if path else name)


def changed(tree, place, value):
    """A copy with another value there, or without the member."""
    if not place:
        return value
    tree = copy.deepcopy(tree)
    at = tree
    for key in place[:-1]:
        at = at[key]
    if value is KINDS:
        del at[place[-1]]
    else:
        at[place[-1]] = value
    return tree


def field_of(path):
    return path.replace("/*", "") or None


def cases():
    for name, tree in VALID.items():
        for place, path in members(tree):
            kind = KINDS[path]
            if path in REQUIRED:
                # Without multi-cost-types, cost-type is what is missing.
                field = "cost-type" if path == "multi-cost-types" else field_of(path)
                yield name, changed(tree, place, KINDS), ("E_MISSING_FIELD", field, None)
            for other, sample in SAMPLES.items():
                if other is kind:
                    continue
                if path.endswith("*"):
                    value = sample if isinstance(sample, str) else dumps(sample).decode()
                    error = ("E_INVALID_FIELD_VALUE", field_of(path), value)
                else:
                    error = ("E_INVALID_FIELD_TYPE", field_of(path), None)
                yield name, changed(tree, place, sample), error


CASES = list(cases())


def resource_for(name):
    return endpoint_costs(**EVERYTHING) if "endpoint" in name else filtered(**EVERYTHING)


@pytest.mark.parametrize("name", VALID)
def test_the_valid_requests_are_answered(name):
    assert ask(resource_for(name), VALID[name]).body


@pytest.mark.parametrize(("name", "request_", "error"), CASES)
def test_a_wrong_type_at_any_path_has_its_code_and_field(name, request_, error):
    assert refusal(resource_for(name), request_) == error


def test_there_are_enough_of_those():
    assert len(CASES) > 300


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["PID1", "ipv4:192.0.2.1", "[0] le 5", "numerical", "routingcost"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *VALID["filtered cost map"],
                    "multi-cost-types",
                    "or-constraints",
                    "endpoints",
                    "srcs",
                    "dsts",
                    "cost-mode",
                    "cost-metric",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


def is_handled(name, value):
    """Whether there is an answer, or one of ALTO's errors as section 8.5.2 has them."""
    try:
        return bool(ask(resource_for(name), value).body)
    except RequestError as error:
        is_text = error.value is None or (isinstance(error.value, str) and bool(error.field))
        return error.status == 400 and is_text


@given(json_values, st.sampled_from(["filtered", "endpoint"]))
def test_any_json_is_answered_or_refused(value, name):
    assert is_handled(name, value)


@given(st.data())
def test_any_value_at_any_path_is_answered_or_refused(data):
    name = data.draw(st.sampled_from(sorted(VALID)))
    place = data.draw(st.sampled_from([place for place, _ in members(VALID[name]) if place]))
    assert is_handled(name, changed(VALID[name], place, data.draw(json_values)))


def test_the_path_of_a_member_is_outer_slash_inner():
    tree = {"cost-type": {"cost-mode": "foo", "cost-metric": "routingcost"}}
    assert refusal(filtered(), tree) == ("E_INVALID_FIELD_VALUE", "cost-type/cost-mode", "foo")


def test_a_mode_that_is_not_offered_is_an_invalid_value():
    for mode, metric, field in (
        ("array", "routingcost", "cost-mode"),
        ("array", "nope", "cost-mode"),
        ("ordinal", "hopcount", "cost-mode"),
        ("ordinal", "nope", "cost-metric"),
        ("x" * 33, "routingcost", "cost-mode"),
    ):
        found = refusal(filtered(), {"cost-type": {"cost-mode": mode, "cost-metric": metric}})
        assert found == ("E_INVALID_FIELD_VALUE", f"cost-type/{field}", mode if field == "cost-mode" else metric)


def test_numbers_and_objects_become_the_string_that_the_value_has_to_be():
    for element, value in ((7, "7"), (2.5, "2.5"), (True, "true"), (None, "null"), ({"a": 1}, '{"a":1}')):
        assert refusal(filtered(cost_constraints=True), {"cost-type": TREE, "constraints": [element]})[2] == value


def test_a_long_value_is_cut():
    assert len(refusal(filtered(), {"cost-type": {**TREE, "cost-metric": "x" * 10_000}})[2]) == 256


def test_a_boolean_is_no_number_and_a_number_no_boolean():
    tree = {**VALID["filtered cost map"], "calendared": [0]}
    assert refusal(filtered(**EVERYTHING), tree) == ("E_INVALID_FIELD_VALUE", "calendared", "0")


@pytest.mark.parametrize(
    "wrong",
    [
        {"cost_types": {}},
        {"cost_types": {"a": ROUTING, "b": CostType("numerical", "routingcost", cost_context={})}},
        {"max_cost_types": -1},
        {"cost_constraints": True, "testable_cost_type_names": ("a",)},
        {"testable_cost_type_names": ("z",)},
        {"calendars": {"z": CalendarAttributes(1, 1)}},
    ],
)
def test_no_resource_may_say_that(wrong):
    with pytest.raises(ConfigurationError):
        CostCapabilities(**{"cost_types": {"a": ROUTING, "b": HOPS}, **wrong})


def test_of_two_calendars_of_a_cost_type_the_first_counts():
    attributes = [
        {"cost-type-names": ["a"], "time-interval-size": size, "number-of-intervals": 2} for size in (60, 3600)
    ]
    tree = {"cost-type-names": ["a", "gone"], "calendar-attributes": attributes, "max-cost-types": 2.0}
    found = CostCapabilities.of_entry(tree, {"a": ROUTING, "b": HOPS})
    assert found.calendars == {"a": CalendarAttributes(60, 2)}
    assert list(found.cost_types) == ["a"]
    assert found.max_cost_types == 2


def test_testable_names_count_only_with_multi_cost():
    capabilities = CostCapabilities({"a": ROUTING}, testable_cost_type_names=("a",))
    with pytest.raises(RequestError):
        read_cost_request({"cost-type": TREE, "constraints": ["le 1"]}, capabilities)


def test_without_multi_cost_there_are_no_testable_types_to_choose():
    asked = {"cost-type": TREE, "testable-cost-types": [TREE], "constraints": ["le 1"]}
    assert refusal(filtered(cost_constraints=True), asked) == (
        "E_INVALID_FIELD_VALUE",
        "testable-cost-types",
        dumps(TREE).decode(),
    )
    assert ask(filtered(cost_constraints=True, max_cost_types=1), asked).tree["cost-map"]


def test_where_an_entry_says_both_only_the_testable_types_are_tested():
    """RFC 8189 section 4.1.1: never both. Asking less is what either of them allows."""
    tree = {"cost-type-names": ["a", "b"], "cost-constraints": True, "testable-cost-type-names": ["b"]}
    found = CostCapabilities.of_entry({**tree, "max-cost-types": 1}, {"a": ROUTING, "b": HOPS})
    assert (found.is_testable("a"), found.is_testable("b")) == (False, True)
    del tree["testable-cost-type-names"]
    assert CostCapabilities.of_entry(tree, {"a": ROUTING, "b": HOPS}).is_testable("a")


@pytest.mark.parametrize("calendared", [[True], [], [True, True], "yes", None, [1]])
def test_who_has_no_calendars_ignores_that_they_are_asked_for(calendared):
    """RFC 7285 section 8.3.7: as any member that is not known."""
    for resource, asked in ((filtered(), VALID["filtered cost map"]), (endpoint_costs(), VALID["endpoint cost"])):
        plain = {key: asked[key] for key in ("cost-type", "pids", "endpoints") if key in asked}
        assert ask(resource, {**plain, "calendared": calendared}).tree == ask(resource, plain).tree
