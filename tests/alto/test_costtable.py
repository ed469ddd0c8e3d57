import pytest
from alto_costs import HOPS, MATRIX, ORDINAL, ROUTING, TREE, WHOLE, ask, filtered
from hypothesis import given
from hypothesis import strategies as st

from alto import ConfigurationError, _costtable, _json
from alto._json import dumps, loads
from alto.calendar import Calendar
from alto.costmap import CostMapResource
from alto.costoffers import CostOffer
from alto.costs import CostMatrix
from alto.directory import Directory, Query, RequestContext

NAMES = ["PID1", "PID2", "PID3"]


def test_an_ordinal_calendar_ranks_each_interval_by_itself():
    calendar = Calendar(
        [CostMatrix(["PID1"], ["PID1", "PID2"], [row]) for row in ([5, 9], [9, 5], [7, None], [None, None])], 60, 0
    )
    resource = filtered(offers={"ord": CostOffer(ORDINAL, MATRIX, calendar)})
    found = ask(resource, {"cost-type": ORDINAL.to_json(), "calendared": [True]}).tree["cost-map"]
    assert found == {"PID1": {"PID1": [1, 2, 1, None], "PID2": [2, 1, None, None]}}


ASKED = [
    {"cost-type": TREE},
    {"cost-type": TREE, "constraints": ["le 2"]},
    {"cost-type": TREE, "calendared": [True]},
    {"cost-type": ORDINAL.to_json()},
    {"multi-cost-types": [TREE, ORDINAL.to_json()], "constraints": ["[0] le 5"], "calendared": [True, False]},
    {"multi-cost-types": [ORDINAL.to_json(), TREE]},
]
costs = st.none() | st.sampled_from([0, -0.0, 1, 1.0, 2.5, -7, 2**53, 2**53 + 2, 1e15, 123456.75, 0.0001])


@given(st.lists(st.lists(costs, min_size=3, max_size=3), min_size=3, max_size=3), st.sampled_from(ASKED))
def test_octets_and_tree_say_the_same_however_they_are_made(rows, asked):
    """With and without orjson the octets are the same: but for the exponents of numbers below 0.0001."""
    matrix = CostMatrix(NAMES, NAMES, rows)
    routing = CostMapResource("other", "map", "n", ROUTING, matrix)
    calendar = Calendar([matrix, MATRIX], 60, 0)
    offers = {"num": CostOffer(ROUTING, "other", calendar), "ord": CostOffer(ORDINAL, matrix)}
    bodies = set()
    for has_orjson in (True, False):
        for small in (0, 2000):
            for most in (0, 1000):
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(_costtable, "_HAS_ORJSON", has_orjson)
                    patch.setattr(_costtable, "_SMALL", small)
                    patch.setattr(_costtable, "MAX_TEXTS", most)
                    if not has_orjson:
                        patch.setattr(_json, "_orjson_dumps", None)
                    resource = filtered(offers=offers, cost_constraints=True, max_cost_types=2)
                    directory = Directory([WHOLE, evolved(routing), resource])
                    document = resource.answer(Query(RequestContext(directory), asked, random_bytes=bytes))
                    bodies.add(document.body)
                    assert dumps(loads(document.body)) == dumps(document.tree)
    assert len(bodies) == 1
    assert b"-0" not in min(bodies)


def evolved(resource):
    """One that nobody has asked yet."""
    return CostMapResource(resource.id, "map", "n", resource.cost_type, resource.costs)


def test_a_percent_sign_is_no_part_of_a_pid_so_nothing_is_formatted_twice():
    with pytest.raises(ConfigurationError):
        CostMatrix(["a%s"], ["b"], [[1]])


MODES = [ROUTING, HOPS, ORDINAL]
tables = st.lists(st.lists(st.none() | st.integers(0, 4), min_size=3, max_size=3), min_size=3, max_size=3)
predicates = st.tuples(st.integers(0, 2), st.sampled_from(["gt", "lt", "ge", "le", "eq"]), st.integers(0, 4))
compared = {"gt": "__gt__", "lt": "__lt__", "ge": "__ge__", "le": "__le__", "eq": "__eq__"}


@given(
    tables,
    tables,
    st.lists(st.sampled_from(range(3)), min_size=1, max_size=3),
    st.lists(st.lists(predicates, min_size=1, max_size=2), max_size=3),
    st.lists(st.sampled_from([*NAMES, "nope"]), max_size=4),
    st.lists(st.sampled_from(NAMES), max_size=4),
)
def test_the_answer_is_what_comes_out_when_one_goes_pair_by_pair(routing, hops, wanted, groups, srcs, dsts):
    offers = {
        "num": CostOffer(ROUTING, CostMatrix(NAMES, NAMES, routing)),
        "hops": CostOffer(HOPS, CostMatrix(NAMES, NAMES, hops)),
        "ord": CostOffer(ORDINAL, CostMatrix(NAMES, NAMES, routing)),
    }
    asked = {
        "multi-cost-types": [MODES[place].to_json() for place in wanted],
        "testable-cost-types": [one.to_json() for one in MODES],
        "pids": {"srcs": srcs, "dsts": dsts},
    }
    if groups:
        asked["or-constraints"] = [[f"[{i}] {op} {target}" for i, op, target in group] for group in groups]
    found = ask(filtered(offers=offers, cost_constraints=True, max_cost_types=3), asked).tree["cost-map"]

    pairs = [(a, b) for a in srcs or NAMES if a in NAMES for b in dsts or NAMES]
    at = {pair: [table[NAMES.index(pair[0])][NAMES.index(pair[1])] for table in (routing, hops)] for pair in pairs}
    order = sorted({costs[0] for costs in at.values() if costs[0] is not None})
    expected = {}
    for (source, destination), costs in at.items():
        every = [*costs, None if costs[0] is None else order.index(costs[0]) + 1]
        holds = not groups or any(
            all(every[i] is not None and getattr(every[i], compared[op])(target) for i, op, target in group)
            for group in groups
        )
        shown = [every[place] for place in wanted]
        if holds and any(cost is not None for cost in shown):
            expected.setdefault(source, {})[destination] = shown
    assert found == expected
