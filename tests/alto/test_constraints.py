import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto import RequestError
from alto.constraints import (
    MAX_PREDICATES,
    Predicate,
    check_indices,
    mask,
    parse_predicate,
    read_constraints,
    read_or_constraints,
    without,
)

OPERATORS = {
    "gt": lambda a, b: a > b,
    "lt": lambda a, b: a < b,
    "ge": lambda a, b: a >= b,
    "le": lambda a, b: a <= b,
    "eq": lambda a, b: a == b,
}
doubles = st.floats(allow_nan=False, allow_infinity=False)


@given(st.sampled_from(sorted(OPERATORS)), doubles, st.lists(doubles | st.just(math.nan), max_size=5))
def test_a_predicate_compares_doubles_and_nothing_is_true_of_no_cost(operator, target, costs):
    predicate = parse_predicate(f"{operator} {target!r}")
    assert predicate.holds_for(costs) == [OPERATORS[operator](cost, target) for cost in costs]


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_next_double_is_another_one(operator):
    """RFC 7285 section 11.3.2.3: IEEE 754 double precision"""
    costs = [math.nextafter(0.3, 0), 0.3, 0.1 + 0.2]
    assert parse_predicate(f"{operator} 0.3").holds_for(costs) == [OPERATORS[operator](cost, 0.3) for cost in costs]


@given(st.text(max_size=20) | st.from_regex(r"\[?[0-9]*\]? ?(gt|le|eq) ?[-+0-9.eE]*", fullmatch=True))
def test_any_text_is_a_predicate_or_none(text):
    predicate = parse_predicate(text)
    assert predicate is None or (math.isfinite(predicate.target) and predicate.operator in OPERATORS)


@pytest.mark.parametrize("text", ["le 10", "le 10.0", "  le\t1e1 ", "[0] le 10", "[0]\nle 100E-1"])
def test_ten_is_ten_however_it_is_written(text):
    assert parse_predicate(text) == Predicate(0, "le", 10.0)


@pytest.mark.parametrize(
    "text",
    [
        *("le", "10", "le10", "le 10 11", "[0]le 10", "[] le 10", "[a] le 10", "[-1] le 1", "[99999] le 1", "LE 10"),
        *("le +1", "le .5", "le 1.", "le 01", "le 0x1", "le 1_0", "le inf", "le nan", "le 1e999", "= 1"),
        *("le \u0661", "le\u00a01"),
    ],
)
def test_what_breaks_the_syntax_is_no_predicate(text):
    assert parse_predicate(text) is None


def test_a_long_number_is_read_as_a_double():
    assert parse_predicate("le " + "9" * 300).target == float("9" * 300)
    assert parse_predicate("le " + "9" * 5000) is None


def test_white_space_may_be_long():
    blank = " " * 100_000
    assert parse_predicate(f"{blank}[1]{blank}le{blank}5{blank}") == Predicate(1, "le", 5.0)
    for text in (blank, f"[0]{blank}", f"le{blank}x", f"le 5{blank}x"):
        assert parse_predicate(text) is None


def test_there_may_be_only_so_many_predicates():
    assert len(read_constraints(["le 1"] * MAX_PREDICATES, has_index=False)[0]) == MAX_PREDICATES
    with pytest.raises(RequestError) as caught:
        read_constraints(["le 1"] * MAX_PREDICATES + ["le 2"], has_index=False)
    assert (caught.value.field, caught.value.value) == ("constraints", "le 2")
    with pytest.raises(RequestError):
        read_or_constraints([["le 1"]] * (MAX_PREDICATES + 1))
    assert len(read_or_constraints([["le 1"]] * MAX_PREDICATES)) == MAX_PREDICATES


def test_the_sent_predicate_is_the_value_of_the_error():
    tests = read_constraints(["  [3]   le 5"], has_index=True)
    with pytest.raises(RequestError) as caught:
        check_indices(tests, "constraints", [True] * 3)
    assert caught.value.value == "  [3]   le 5"


@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 2), st.sampled_from(sorted(OPERATORS)), st.integers(0, 3)), min_size=1, max_size=3
        ),
        min_size=1,
        max_size=3,
    ),
    st.lists(st.tuples(*[st.integers(0, 3)] * 3), max_size=5),
)
def test_the_mask_is_the_or_of_ands(groups, pairs):
    tests = tuple(tuple(Predicate(*one) for one in group) for group in groups)
    rows = {index: [float(costs[index]) for costs in pairs] for index in range(3)}
    expected = [any(all(OPERATORS[op](costs[i], t) for i, op, t in group) for group in groups) for costs in pairs]
    assert mask(tests, rows) == expected


def test_without_its_predicates_a_conjunction_that_is_left_empty_is_true():
    one, other = Predicate(0, "le", 1.0), Predicate(1, "le", 2.0)
    assert without(((one, other),), [1]) == ((one,),)
    assert without(((one,), (other,)), [1]) == ()
    assert without(((one,),), []) == ((one,),)
