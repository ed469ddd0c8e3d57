"""What the head of a remote server's answer means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decade.errors import ErrorCode
from decade.http import Response
from decade.transfer_answers import (
    MAX_WAIT,
    Body,
    Busy,
    Changed,
    Held,
    Missing,
    Redirect,
    Refused,
    judge_get,
    judge_head,
    judge_put,
)


def answer(status, **fields):
    return Response(status, tuple((name.replace("_", "-"), value) for name, value in fields.items()))


def test_a_whole_object_has_a_length():
    assert judge_get(answer(200, Content_Length="12", ETag='"x"'), 0, None) == Body(12, 0, '"x"')
    assert judge_get(answer(200, Content_Length="12", ETag='W/"x"'), 0, None) == Body(12, 0, None)
    for fields in ({}, {"Content_Length": "-1"}, {"Content_Length": "1" * 20}, {"Content_Length": "٣"}):
        assert judge_get(answer(200, **fields), 0, None) == Refused(ErrorCode.REMOTE_REFUSED)


def test_a_part_goes_on_where_the_last_one_was_cut():
    rest = answer(206, Content_Range="bytes 5-11/12", Content_Length="7")
    assert judge_get(rest, 5, 12) == Body(12, 5, None)
    assert judge_get(rest, 7, 12) == Body(12, 5, None)
    assert judge_get(rest, 4, 12) == Refused(ErrorCode.REMOTE_REFUSED)
    assert judge_get(answer(200, Content_Length="12"), 5, 12) == Body(12, 0, None)


@pytest.mark.parametrize(
    "field", ["bytes 5-10/12", "bytes 5-11/*", "bytes 12-11/12", "octets 5-11/12", "bytes */12", ""]
)
def test_a_part_that_is_not_the_rest_is_refused(field):
    assert judge_get(answer(206, Content_Range=field), 5, 12) == Refused(ErrorCode.REMOTE_REFUSED)


def test_a_part_of_another_length_than_it_says_is_refused():
    lying = answer(206, Content_Range="bytes 5-11/12", Content_Length="8")
    assert judge_get(lying, 5, 12) == Refused(ErrorCode.REMOTE_REFUSED)


def test_another_length_than_before_is_another_object():
    assert judge_get(answer(200, Content_Length="13"), 5, 12) == Refused(ErrorCode.REMOTE_MISMATCH)


def test_a_coded_object_is_not_the_object():
    assert judge_get(answer(200, Content_Length="12", Content_Encoding="gzip"), 0, None) == Refused(
        ErrorCode.REMOTE_MISMATCH
    )


def test_what_came_is_of_no_use_when_the_object_has_changed_or_the_range_is_wrong():
    for status in (412, 416):
        assert judge_get(answer(status), 5, 12) == Changed()
        assert judge_get(answer(status), 0, None) == Refused(ErrorCode.REMOTE_REFUSED)


@pytest.mark.parametrize("judge", [lambda a: judge_get(a, 0, None), judge_head, judge_put])
def test_a_busy_server_may_say_for_how_long(judge):
    for status in (429, 500, 502, 503, 504):
        assert judge(answer(status)) == Busy(None)
        assert judge(answer(status, Retry_After="7")) == Busy(7.0)
        assert judge(answer(status, Retry_After="Fri, 31 Dec 1999 23:59:59 GMT")) == Busy(None)
        assert judge(answer(status, Retry_After="9999999")) == Busy(MAX_WAIT)


def test_redirects_of_a_put_keep_the_method():
    for status in (301, 302, 303, 307, 308):
        assert judge_get(answer(status, Location="/x"), 0, None) == Redirect("/x")
        assert judge_head(answer(status)) == Redirect(None)
    assert judge_put(answer(307, Location="/x")) == Redirect("/x")
    assert judge_put(answer(303, Location="/x")) == Refused(ErrorCode.REMOTE_REFUSED)


@pytest.mark.parametrize("status", [101, 204, 304, 400, 401, 403, 404, 410, 451, 501, 999])
def test_everything_else_is_a_refusal(status):
    assert judge_get(answer(status), 0, None) == Refused(ErrorCode.REMOTE_REFUSED)
    if status != 204:
        assert judge_put(answer(status)) == Refused(ErrorCode.REMOTE_REFUSED)


def test_a_push_asks_first_and_then_sends():
    assert judge_head(answer(200)) == Held()
    for status in (401, 403, 404, 410, 405, 501):
        assert judge_head(answer(status)) == Missing()
    for status in (200, 201, 204):
        assert judge_put(answer(status)) == Held()


_FIELDS = st.sampled_from(["Content-Length", "Content-Range", "ETag", "Retry-After", "Location", "Content-Encoding"])


@given(
    st.integers(0, 1000),
    st.lists(st.tuples(_FIELDS, st.text(max_size=40)), max_size=6),
    st.integers(0, 20),
    st.none() | st.integers(0, 20),
)
def test_no_answer_raises(status, fields, received, size):
    made = Response(status, tuple(fields))
    for verdict in (judge_get(made, received, size), judge_head(made), judge_put(made)):
        assert verdict is not None
