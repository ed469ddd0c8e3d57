import pytest

from alto import ConfigurationError
from alto.costresult import ReceivedCosts
from alto.types import CostType

ROUTING = CostType("numerical", "routingcost")
TPUT = CostType("numerical", "tput")
SINGLE = ReceivedCosts((ROUTING,), {"a": {"a": 2, "b": 1.5, "c": 2}, "b": {"a": 9}})
MULTI = ReceivedCosts((ROUTING, TPUT), {"a": {"a": [2, None], "b": [1, 70], "c": [None, 900]}}, is_multi_cost=True)


def test_the_destinations_come_best_first():
    assert SINGLE.ranked("a") == [("b", 1.5), ("a", 2.0), ("c", 2.0)]
    assert MULTI.ranked("a", 0) == [("b", 1.0), ("a", 2.0)]
    assert MULTI.ranked("a", 1) == [("c", 900.0), ("b", 70.0)]
    assert SINGLE.ranked("z") == []


def test_ordinal_costs_are_made_of_numerical_ones():
    assert SINGLE.ranks() == {"a": {"a": 2, "b": 1, "c": 2}, "b": {"a": 3}}
    assert MULTI.ranks(1) == {"a": {"c": 1, "b": 2}}


def test_ordinal_costs_stay_in_their_order_whatever_the_metric():
    ordinal = ReceivedCosts((CostType("ordinal", "tput"),), {"a": {"a": 7, "b": 3}})
    assert ordinal.ranks() == {"a": {"a": 2, "b": 1}}
    assert ordinal.ranked("a") == [("b", 3.0), ("a", 7.0)]


def test_a_cost_that_is_not_there_is_none():
    assert MULTI.cost("a", "a", 1) is None
    assert MULTI.value("a", "a", 1) is None
    assert MULTI.cost("a", "z", 1) is None
    assert SINGLE.calendar("a", "a") is None


def test_pairs_between_endpoints_are_no_matrix():
    between = ReceivedCosts((ROUTING,), {"ipv6:2001:db8::1": {"ipv4:192.0.2.1": 1}})
    with pytest.raises(ConfigurationError):
        between.matrix()


@pytest.mark.parametrize("place", [-1, 1])
@pytest.mark.parametrize(
    "look",
    [
        lambda place: SINGLE.value("a", "b", place),
        lambda place: SINGLE.cost("a", "b", place),
        lambda place: SINGLE.calendar("a", "b", place),
        lambda place: list(SINGLE.costs(place)),
        lambda place: SINGLE.matrix(place),
        lambda place: SINGLE.ranks(place),
        lambda place: SINGLE.ranked("z", place),
    ],
)
def test_a_cost_type_that_is_not_there_is_a_mistake_of_who_asks(look, place):
    with pytest.raises(ConfigurationError, match=f"none at {place}"):
        look(place)


def test_what_no_double_holds_is_no_cost_whatever_its_mode_makes_of_it():
    odd = {"a": 10**400, "b": True, "c": "red", "d": [1], "e": 2}
    private = ReceivedCosts((CostType("priv:colour", "priv:x"),), {"a": odd})
    assert [private.cost("a", name) for name in odd] == [None, None, None, None, 2.0]
    assert list(private.costs()) == [("a", "e", 2.0)]
    assert private.ranked("a") == [("e", 2.0)]
    assert private.ranks() == {"a": {"e": 1}}
    assert private.matrix().to_mapping() == {"a": {"e": 2}}
    assert private.value("a", "c") == "red"
