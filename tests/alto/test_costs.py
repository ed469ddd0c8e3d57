import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto import ConfigurationError
from alto import costs as module
from alto.costs import CostMatrix, grid_of, ranked

costs = st.none() | st.integers(-5, 5) | st.floats(-1e6, 1e6, allow_nan=False) | st.integers(-(2**60), 2**60)


@st.composite
def tables(draw):
    height, width = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    return [[draw(costs) for _ in range(width)] for _ in range(height)], height, width


@pytest.fixture(params=["with numpy", "without numpy"])
def either(request, monkeypatch):
    """The same, whether or not numpy is there."""
    if request.param == "without numpy":
        monkeypatch.setattr(module, "_numpy", None)


def matrix(rows, height=None, width=None):
    height = len(rows) if height is None else height
    width = len(rows[0]) if width is None else width
    return CostMatrix([f"s{i}" for i in range(height)], [f"d{i}" for i in range(width)], rows)


@given(table=tables())
def test_every_cost_comes_out_as_the_double_that_went_in(table):
    rows, height, width = table
    for numpy in (module._numpy, None):
        found, module._numpy = module._numpy, numpy
        try:
            made = matrix(rows, height, width)
            for i, row in enumerate(rows):
                for j, cost in enumerate(row):
                    assert made.get(f"s{i}", f"d{j}") == (None if cost is None else float(cost))
            flat = [float(cost) for row in rows for cost in row if cost is not None]
            assert made.is_complete == (len(flat) == height * width)
            assert made.is_integral == all(cost.is_integer() and abs(cost) <= 2**53 for cost in flat)
            assert made.is_negative == any(cost < 0 for cost in flat)
        finally:
            module._numpy = found


@given(table=tables())
def test_numpy_changes_neither_the_tag_nor_the_grid(table):
    rows, height, width = table
    made = []
    for numpy in (module._numpy, None):
        found, module._numpy = module._numpy, numpy
        try:
            one = matrix(rows, height, width)
            sources, destinations = ["s1", "nope", "s0", None], ["d3", None, "d0", "d0"]
            grid = one.grid(sources, destinations)
            ranks = ranked(grid, prefers_higher=True)
            made.append((one.tag, [*grid.lists()], [*ranks.lists()], one.to_mapping(), one.is_complete))
        finally:
            module._numpy = found
    assert made[0] == made[1]


@given(table=tables(), prefers_higher=st.booleans())
def test_ranks_are_dense_from_1_and_by_preference(table, prefers_higher):
    rows, height, width = table
    grid = ranked(
        matrix(rows, height, width).grid([f"s{i}" for i in range(height)], [f"d{i}" for i in range(width)]),
        prefers_higher=prefers_higher,
    )
    order = sorted({float(cost) for row in rows for cost in row if cost is not None}, reverse=prefers_higher)
    expected = [[None if cost is None else order.index(float(cost)) + 1 for cost in row] for row in rows]
    assert [*grid.lists()] == expected


@given(table=tables(), prefers_higher=st.booleans())
def test_ranking_by_numpy_is_ranking(table, prefers_higher):
    rows, height, width = table
    grid = matrix(rows, height, width).grid([f"s{i}" for i in range(height)], [f"d{i}" for i in range(width)])
    many, module._MANY = module._MANY, 0
    try:
        found = [*ranked(grid, prefers_higher=prefers_higher).lists()] if width else [[]] * height
    finally:
        module._MANY = many
    assert found == [*ranked(grid, prefers_higher=prefers_higher).lists()]


@pytest.mark.usefixtures("either")
class TestRefusals:
    @pytest.mark.parametrize("cost", [True, "1", [1], math.inf, -math.inf, 10**400])
    def test_what_is_no_finite_number_is_refused(self, cost):
        with pytest.raises(ConfigurationError):
            matrix([[1, cost]])

    @pytest.mark.parametrize("name", ["", "a.b", "x" * 65, "a b", "é"])
    def test_a_name_that_is_no_pid_is_refused(self, name):
        for sources, destinations in (([name], ["a"]), (["a"], [name])):
            with pytest.raises(ConfigurationError, match="no PID name"):
                CostMatrix(sources, destinations, [[1]])

    def test_a_name_of_64_characters_is_fine(self):
        assert CostMatrix(["x" * 64], ["a"], [[1]]).get("x" * 64, "a") == 1

    def test_rows_have_the_length_that_they_should_have(self):
        for rows in ([[1, 2]], [[1], [2]], []):
            with pytest.raises(ConfigurationError):
                CostMatrix(["a"], ["a"], rows)

    def test_a_pid_stands_there_once(self):
        with pytest.raises(ConfigurationError, match="twice"):
            CostMatrix(["a", "a"], ["b"], [[1], [2]])


@pytest.mark.usefixtures("either")
class TestMatrix:
    def test_nan_is_no_cost(self):
        assert matrix([[math.nan, 1]]).to_mapping() == {"s0": {"d1": 1}}

    def test_integers_stay_integers(self):
        whole = matrix([[1, 2.0]])
        assert [type(cost) for row in whole.grid(["s0"], ["d0", "d1"]).lists() for cost in row] == [int, int]

    def test_integers_beyond_53_bits_are_doubles(self):
        assert not matrix([[2**60]]).is_integral
        assert not matrix([[2**53 + 2]]).is_integral
        assert matrix([[2**53]]).is_integral

    def test_there_is_no_zero_but_0(self):
        costs = matrix([[-0.0, 1.5]])
        assert [repr(cost) for row in costs.grid(["s0"], ["d0", "d1"]).rows() for cost in row] == ["0.0", "1.5"]
        assert matrix([[-0.0]]).tag == matrix([[0.0]]).tag
        assert not costs.is_negative

    def test_a_grid_with_a_pid_that_is_not_there_has_gaps(self):
        costs = matrix([[1, 2], [3, 4]])
        for sources, destinations, expected in (
            (["s0", "x"], ["d0"], [[1], [None]]),
            (["s0", None], ["d0", "d1"], [[1, 2], [None, None]]),
            (["s0"], ["d1", "x"], [[2, None]]),
            (["s1", "s0"], ["d1", "d0"], [[4, 3], [2, 1]]),
        ):
            grid = costs.grid(sources, destinations)
            assert [[*row] for row in grid.lists()] == expected
            assert grid.is_complete == all(None not in row for row in expected)

    def test_the_tag_changes_with_each_cost_and_name(self):
        tags = {
            matrix([[1, 2]]).tag,
            matrix([[1, 3]]).tag,
            matrix([[1, None]]).tag,
            CostMatrix(["s0"], ["d1", "d0"], [[1, 2]]).tag,
        }
        assert len(tags) == 4
        assert matrix([[1, 2]]).tag == matrix([[1.0, 2.0]]).tag
        assert all(len(tag) == 40 for tag in tags)

    def test_from_a_mapping_and_back(self):
        mapping = {"a": {"b": 1, "c": 2.5}, "b": {"a": 0}}
        assert CostMatrix.from_mapping(mapping).to_mapping() == mapping
        assert CostMatrix.from_mapping({}).to_mapping() == {}

    def test_ranks_are_a_matrix_of_integers(self):
        assert matrix([[5, None], [7.5, 5]]).ranks().to_mapping() == {"s0": {"d0": 1}, "s1": {"d0": 2, "d1": 1}}
        assert matrix([[5, 7.5]]).ranks(prefers_higher=True).to_mapping() == {"s0": {"d0": 2, "d1": 1}}

    def test_restricted_to_all_of_its_pids_it_is_itself(self):
        made = CostMatrix(["a", "b"], ["a"], [[1], [2]])
        assert made.restricted(["a", "b", "c"]) is made
        assert made.restricted(["a"]).to_mapping() == {"a": {"a": 1}}
        assert made.restricted([]).to_mapping() == {}


def test_a_numpy_array_is_taken_as_it_is():
    numpy = pytest.importorskip("numpy")
    made = CostMatrix(["a"], ["b", "c"], numpy.array([[1.5, numpy.nan]]))
    assert made.to_mapping() == {"a": {"b": 1.5}}
    for wrong in (numpy.array([["1", "2"]]), numpy.array([1.0, 2.0]), numpy.array([[True, False]])):
        with pytest.raises(ConfigurationError):
            CostMatrix(["a"], ["b", "c"], wrong)
    given = numpy.array([[1.0, 2.0]])
    kept = CostMatrix(["a"], ["b", "c"], given)
    given[0, 0] = 9
    assert kept.get("a", "b") == 1
    assert repr(CostMatrix(["a"], ["b"], numpy.array([[-0.0]])).get("a", "b")) == "0.0"
    with pytest.raises(ConfigurationError, match="infinite"):
        CostMatrix(["a"], ["b"], numpy.array([[numpy.longdouble("1e400")]]))


@pytest.mark.usefixtures("either")
def test_rows_and_costs_of_numpy_are_numbers():
    numpy = pytest.importorskip("numpy")
    rows = [numpy.array([1.5, numpy.nan]), [numpy.int64(7), numpy.float32(0.5)]]
    assert matrix(rows).to_mapping() == {"s0": {"d0": 1.5}, "s1": {"d0": 7, "d1": 0.5}}
    assert [*grid_of(numpy.array(rows), 2).lists()] == [[1.5, None], [7, 0.5]]
    for wrong in ([numpy.array([True, False])], [[numpy.bool_(True), 1]], [[1, "2"]]):
        with pytest.raises(ConfigurationError):
            matrix(wrong)
        with pytest.raises(ConfigurationError):
            grid_of(wrong, 2)


def test_the_rows_of_an_application_are_checked():
    assert [*grid_of([[1, None]], 2).lists()] == [[1, None]]
    for rows in ([[1]], [["1", 2]], [[math.inf, 1]], [[True, 1]]):
        with pytest.raises(ConfigurationError):
            grid_of(rows, 2)
