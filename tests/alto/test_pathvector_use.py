"""What a client asks of path vector resources, and what it computes from their answers."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto import ConfigurationError
from alto.ird import ResourceEntry
from alto.pathvector import PathVector, path_vector_params
from alto.types import CostType

DATA = Path(__file__).parents[1] / "data"


COST_MAP = "application/alto-costmap+json"


ENDPOINT_COST = "application/alto-endpointcost+json"


NUM_RC = CostType("numerical", "routingcost")


def example(name: str) -> Any:
    return json.loads((DATA / "alto_examples" / "rfc9275" / f"rfc9275-s{name}.json").read_text("utf-8"))


def entry(**capabilities: Any) -> ResourceEntry:
    given = {
        "cost-type-names": ["path-vector"],
        **{name.replace("_", "-"): value for name, value in capabilities.items()},
    }
    return ResourceEntry(
        "filtered-cost-map-pv",
        "https://alto.example.com/costmap/pv",
        f"multipart/related;type={COST_MAP}",
        "application/alto-costmapfilter+json",
        given,
        ("my-default-networkmap",),
    )


def shares(paths: dict[tuple[str, str], tuple[str, ...]], limits: dict[str, float]) -> PathVector:
    names = {name for path in paths.values() for name in path}
    properties = {name: {"max-reservable-bandwidth": limits[name]} if name in limits else {} for name in names}
    return PathVector(None, (), (), (), (paths,), {}, properties)


def test_flows_share_what_they_share_max_min_fairly() -> None:
    """Worked out by hand: L1 gives 4 each to a and b, of which b is held to 2 by L2, so a has 6."""
    a, b, c = ("s", "a"), ("s", "b"), ("s", "c")
    vector = shares({a: ("L1",), b: ("L1", "L2"), c: ("L2", "L3")}, {"L1": 8.0, "L2": 4.0, "L3": 9.0})
    assert vector.fair_rates() == {a: 6.0, b: 2.0, c: 2.0}
    assert vector.fair_rates([a, b]) == {a: 4.0, b: 4.0}
    assert vector.fair_rates([c]) == {c: 4.0}
    assert vector.fair_rates([]) == {}


def test_a_flow_that_nothing_limits_has_infinity() -> None:
    a, b = ("s", "a"), ("s", "b")
    vector = shares({a: ("L1",), b: ("N",)}, {"L1": 8.0})
    assert vector.fair_rates() == {a: 8.0, b: math.inf}
    assert vector.bottleneck("s", "b") is None


def test_a_flow_that_goes_through_an_element_twice_does_not_share_it() -> None:
    vector = shares({("s", "a"): ("L1", "L2", "L1"), ("s", "b"): ("L2",)}, {"L1": 8.0, "L2": 8.0})
    assert vector.shared() == {"L2": (("s", "a"), ("s", "b"))}
    assert vector.fair_rates([("s", "a")]) == {("s", "a"): 8.0}


_PATHS = st.dictionaries(
    st.tuples(st.sampled_from("ab"), st.sampled_from("cdef")),
    st.lists(st.sampled_from(["1", "2", "3", "4"]), max_size=4).map(tuple),
    max_size=6,
)


_LIMITS = st.dictionaries(st.sampled_from(["1", "2", "3", "4"]), st.integers(0, 20).map(float), max_size=4)


@given(_PATHS, _LIMITS)
def test_fair_rates_overload_nothing_and_leave_each_flow_a_full_element(
    paths: dict[tuple[str, str], tuple[str, ...]], limits: dict[str, float]
) -> None:
    rates = shares(paths, limits).fair_rates()
    load = {name: sum(rates[flow] for flow, path in paths.items() if name in path) for name in limits}
    assert all(load[name] <= limits[name] + 1e-9 for name in limits)
    for flow, path in paths.items():
        limited = [name for name in path if name in limits]
        if not limited:
            assert rates[flow] == math.inf
            continue
        full = [name for name in limited if load[name] >= limits[name] - 1e-9]
        # Max-min fair: somewhere on its path nothing is left, and no other flow has more there.
        assert any(rates[flow] >= max(rates[o] for o, p in paths.items() if name in p) - 1e-9 for name in full)


def test_what_is_asked_for_is_the_request_of_section_7_2_3() -> None:
    offered = entry(ane_property_names=["max-reservable-bandwidth"])
    assert path_vector_params(offered, ["PID1"], ["PID2"], ["max-reservable-bandwidth"]) == example("7.2.3-01")
    assert path_vector_params(offered, ["PID1"], ["PID3", "PID4"]) == example("8.3-01")


def test_what_is_asked_for_is_the_request_of_section_8_6() -> None:
    names = ["max-reservable-bandwidth", "persistent-entity-id"]
    ecs = ResourceEntry(
        "multicost-pv", "https://alto.example.com/mcpv", f"multipart/related;type={ENDPOINT_COST}",
        "application/alto-endpointcostparams+json", {"max-cost-types": 2, "ane-property-names": names}, ("ane-props",),
    )  # fmt: skip
    asked = example("8.6-01")
    sources, destinations = asked["endpoints"]["srcs"], asked["endpoints"]["dsts"]
    assert path_vector_params(ecs, sources, destinations, names, cost_types=[NUM_RC]) == asked
    assert path_vector_params(ecs, [], destinations)["endpoints"] == {"dsts": destinations}
    with pytest.raises(ConfigurationError, match="a source or a destination is due"):
        path_vector_params(ecs, [], [])


def test_what_a_resource_does_not_offer_is_not_asked_of_it() -> None:
    with pytest.raises(ConfigurationError, match="no property 'cpu'"):
        path_vector_params(entry(), ["PID1"], ["PID2"], ["cpu"])
    with pytest.raises(ConfigurationError, match="cannot be asked for 2 cost types"):
        path_vector_params(entry(max_cost_types=1), ["PID1"], ["PID2"], cost_types=[NUM_RC])
    with pytest.raises(ConfigurationError, match="has no calendars"):
        path_vector_params(entry(), ["PID1"], ["PID2"], is_calendared=True)
    assert path_vector_params(entry(calendar_attributes=[]), [], [], is_calendared=True)["calendared"] == [True]
