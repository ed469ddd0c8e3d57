"""Problems (RFC 9290): ours, and those of a gateway that does not know us."""

import pytest
from decade_messages import PROBLEM
from hypothesis import given
from hypothesis import strategies as st

from decade import cbor
from decade.errors import Dimension, EncodeError, ErrorCode
from decade.problem import Problem, decode_problem, encode_problem


@given(PROBLEM)
def test_what_is_written_is_read_as_it_was(problem):
    assert decode_problem(encode_problem(problem)) == problem


def test_a_problem_is_spelled_as_the_requirements_have_it():
    problem = Problem(
        code=ErrorCode.STORAGE_QUOTA,
        title="storage quota exceeded",
        dimension=Dimension.STORAGE,
        limit=1_000_000_000,
        used=999_999_990,
    )
    assert encode_problem(problem).hex() == (
        "a2207673746f726167652071756f7461206578636565646564781a7461673a6465636164652e696e76616c69642c323032363a7631"
        "a400140200031a3b9aca00041a3b9ac9f6"
    )


def test_a_problem_of_somebody_else_counts_as_absent():
    ours = {"tag:decade.invalid,2026:v1": {0: 20, 6: "later", "x": None}, -1: "full", -9: 1, 7: {0: 0}, "y": {1: 1}}
    assert decode_problem(cbor.encode(ours)) == Problem(code=ErrorCode.STORAGE_QUOTA, title="full")
    for wrong in (
        {-1: "from a gateway"},
        {"tag:decade.invalid,2026:v1": {}},
        {"tag:decade.invalid,2026:v1": 20},
        ours | {7: {}},
        ours | {"y": 1},
        ours | {-1: 1},
        ours | {"tag:decade.invalid,2026:v1": {0: 20, 2: 6}},
    ):
        assert decode_problem(cbor.encode(wrong)) is None
    assert decode_problem(b"\xa1\x20\xd8\x26\x82bena") is None
    assert decode_problem(b"<html>") is None


@pytest.mark.parametrize(
    "members",
    [{"code": 0}, {"code": 65}, {"code": 1, "used": -1}, {"code": 1, "title": 1}, {"code": 1, "dimension": 6}],
)
def test_what_the_cddl_does_not_allow_is_not_written(members):
    with pytest.raises(EncodeError, match="problem"):
        encode_problem(Problem(**members))


@given(st.binary(max_size=60))
def test_any_body_is_a_problem_or_none(octets):
    found = decode_problem(octets)
    assert found is None or isinstance(found, Problem)
