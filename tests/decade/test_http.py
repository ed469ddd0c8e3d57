"""HTTP as values: ranges against an oracle, entity tags, structured fields, tokens in the header, problems."""

import base64
from contextlib import suppress

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from decade.errors import STATUS, DecodeError, ErrorCode, RefusedError
from decade.http import (
    MAX_FIELD,
    NO_SHARED_CACHE,
    SHARED_CACHE,
    AskedAttrs,
    Preconditions,
    Request,
    object_headers,
    plain_response,
    problem_response,
    read_attrs,
    read_bearer,
    read_length,
    read_media_type,
    read_range,
    write_attrs,
)
from decade.names import name_of
from decade.problem import Problem, decode_problem

ETAG = '"sha-256;abc"'


def ranged(field, size, *, method="GET", etag=ETAG, condition=None):
    headers = [("Range", field)] + ([("If-Range", condition)] if condition is not None else [])
    return read_range(Request(method, "/", tuple(headers)), size, etag)


def positions(first, last, suffix, size):
    """RFC 9110 section 14.1.2, position by position; None when the field is no range."""
    if suffix is not None:
        return [at for at in range(size) if at >= size - suffix]
    if last is not None and last < first:
        return None
    return [at for at in range(size) if at >= first and (last is None or at <= last)]


small = st.integers(0, 12)


@given(first=small, last=st.none() | small, suffix=st.none() | small, size=small)
def test_a_range_is_the_positions_that_the_rfc_counts(first, last, suffix, size):
    field = f"bytes=-{suffix}" if suffix is not None else f"bytes={first}-{'' if last is None else last}"
    wanted = positions(first, last, suffix, size)
    if wanted is None or (suffix and not size):
        assert ranged(field, size) is None
    elif not wanted:
        with pytest.raises(RefusedError) as refused:
            ranged(field, size)
        assert refused.value.code == ErrorCode.RANGE_NOT_SATISFIABLE
        assert refused.value.limit == size
    else:
        offset, length = ranged(field, size)
        assert list(range(offset, offset + length)) == wanted


@pytest.mark.parametrize(
    "field",
    [
        "bytes=0-1,3-4",
        "octets=0-1",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=2-1",
        "bytes=0x1-2",
        "bytes=+1-2",
        "bytes=1-2, ",
        "bytes=١-2",
        "bytes=1" * MAX_FIELD,
    ],
)
def test_what_is_no_single_range_of_octets_is_ignored(field):
    assert ranged(field, 10) is None


def test_positions_of_any_length_are_read():
    assert ranged(f"bytes=0-{'9' * 3000}", 10) == (0, 10)
    assert ranged(f"bytes={'0' * 3000}1-1", 10) == (1, 1)
    with pytest.raises(RefusedError):
        ranged(f"bytes={'9' * 3000}-", 10)


def test_only_get_has_ranges():
    assert ranged("bytes=0-1", 10, method="HEAD") is None


@pytest.mark.parametrize(("condition", "holds"), [(ETAG, True), (f"W/{ETAG}", False), ('"x"', False), ("Mon", False)])
def test_a_range_holds_for_the_object_of_if_range_alone(condition, holds):
    assert (ranged("bytes=0-1", 10, condition=condition) is not None) is holds


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "etag", "read", "write"),
    [
        (None, None, ETAG, None, None),
        (None, ETAG, ETAG, 304, 412),
        (None, f"W/{ETAG}", ETAG, 304, 412),
        (None, f'"a", W/"b" , {ETAG}', ETAG, 304, 412),
        (None, "*", ETAG, 304, 412),
        (None, "*", None, None, None),
        (None, '"a"', ETAG, None, None),
        (ETAG, None, ETAG, None, None),
        ("*", None, ETAG, None, None),
        ("*", None, None, 412, 412),
        (f"W/{ETAG}", None, ETAG, 412, 412),
        ('"a"', ETAG, ETAG, 412, 412),
        (ETAG, ETAG, ETAG, 304, 412),
        (None, f"garbage {ETAG}", ETAG, None, None),
        (f', ,"a",,{ETAG},', None, ETAG, None, None),
        (None, f',\t"a" ,, W/{ETAG}', ETAG, 304, 412),
        (None, ",,", ETAG, None, None),
    ],
)
def test_preconditions_are_those_of_rfc_9110(if_match, if_none_match, etag, read, write):
    conditions = Preconditions(if_match, if_none_match)
    assert (conditions.status(etag, is_read=True), conditions.status(etag, is_read=False)) == (read, write)


def test_the_lines_of_a_field_are_joined():
    request = Request("GET", "/", (("If-None-Match", '"a"'), ("IF-NONE-MATCH", ETAG)))
    assert Preconditions.of(request).status(ETAG, is_read=True) == 304


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        (None, AskedAttrs()),
        ("", AskedAttrs()),
        ("exp=1800003600", AskedAttrs(1800003600)),
        ("exp=1, exp=2", AskedAttrs(2)),
        ("exp=1 ,\t col=(:aGk=:)", AskedAttrs(1, (), (b"hi",))),
        ("bare", AskedAttrs(None, ("bare",))),
        ('a="x\\"y", b=tok/en, c=?1, d=1.5', AskedAttrs(None, ("a", "b", "c", "d"))),
        ("exp=1;q=0.5; r, a;b", AskedAttrs(1, ("a",))),
        ('list=(:aGk=: "b";x  c), a=(), b=( 1 );y', AskedAttrs(None, ("list", "a", "b"))),
    ],
)
def test_decade_attrs_is_a_dictionary(field, asked):
    assert read_attrs(field) == asked


@pytest.mark.parametrize(
    "field",
    [
        "exp",
        "exp=-1",
        "exp=1.0",
        'exp="1"',
        "exp=?1",
        "EXP=1",
        "exp=1,",
        ",",
        "=",
        "exp = 1",
        "exp=1 exp=2",
        "exp=(1)",
        "exp=1;",
        "a=(1,2)",
        "a=(1 2",
        "a=((1))",
        "exp=" + "9" * 16,
        "exp=١",
        "a," * MAX_FIELD,
    ],
)
def test_what_is_no_dictionary_with_a_time_is_malformed(field):
    with pytest.raises(DecodeError):
        read_attrs(field)


@given(st.none() | st.integers(0, 10**15 - 1))
def test_decade_attrs_is_read_as_written(expires):
    assert read_attrs(dict(write_attrs(expires)).get("Decade-Attrs")) == AskedAttrs(expires)


@given(st.text() | st.text(alphabet='exp=0123456789, col:"?;*'))
@example("a" * 100_000)
def test_any_field_is_read_or_malformed(field):
    request = Request("GET", "/", tuple((name, field) for name in ("Range", "If-Range", "Authorization", "If-Match")))
    for read in (read_attrs, read_media_type):
        try:
            read(field)
        except DecodeError:
            continue
    with suppress(RefusedError):
        read_range(request, 10, ETAG)
    Preconditions.of(request).status(ETAG, is_read=True)
    assert isinstance(read_bearer(request), bytes)


@pytest.mark.parametrize("media_type", ["text/html", 'text/plain; charset="utf-8"', "a/b;c=d ; e=f", None])
def test_media_types_are_kept_as_they_are(media_type):
    assert read_media_type(media_type) == media_type


@pytest.mark.parametrize(
    "media_type", ["", "text", "text/", "a/b\r\nX: y", "a/b;", "a/b;c", "a/b, a/b", "a/" + "b" * 255]
)
def test_what_is_no_media_type_is_malformed(media_type):
    with pytest.raises(DecodeError):
        read_media_type(media_type)


@pytest.mark.parametrize(
    ("field", "token"),
    [
        (None, None),
        ("Bearer AQID", b"\1\2\3"),
        ("bearer  AQI", b"\1\2"),
        ("Bearer AQJ", b""),
        ("Bearer AQI=", b""),
        ("Bearer A", b""),
        ("Bearer A+/A", b""),
        ("Basic AQID", b""),
        ("Bearer AQID, Bearer AQID", b""),
        ("Bearer " + "A" * 100_000, b""),
    ],
)
def test_a_token_has_one_spelling(field, token):
    assert read_bearer(Request("GET", "/", (("Authorization", field),) if field is not None else ())) == token


def test_a_body_has_a_length():
    assert read_length(Request("PUT", "/", (("Content-Length", "12"),))) == 12
    for headers in ((), (("Content-Length", "1"), ("Transfer-Encoding", "chunked"))):
        with pytest.raises(RefusedError) as refused:
            read_length(Request("PUT", "/", headers))
        assert refused.value.code == ErrorCode.LENGTH_REQUIRED
    for length in ("-1", "1, 1", "\u0661", "9" * 5000, ""):
        with pytest.raises(DecodeError):
            read_length(Request("PUT", "/", (("Content-Length", length),)))


@pytest.mark.parametrize("code", ErrorCode)
def test_each_code_has_its_status_and_no_cache_keeps_it(code):
    response = problem_response(Problem(code=code, title="no"))
    assert response.status == STATUS[code]
    assert decode_problem(response.body).code == code
    assert response.header("Cache-Control") == "no-store"
    assert response.header("Content-Length") == str(len(response.body))
    challenge = response.header("WWW-Authenticate")
    if response.status != 401:
        assert challenge is None
    else:
        assert challenge == ("Bearer" if code == ErrorCode.TOKEN_MISSING else 'Bearer error="invalid_token"')


def test_retry_after_is_in_whole_seconds_and_never_too_early():
    assert problem_response(Problem(code=ErrorCode.OVERLOADED, retry_after=1001)).header("Retry-After") == "2"


def test_no_answer_with_an_object_is_fresh_or_a_script():
    for control in (SHARED_CACHE, NO_SHARED_CACHE):
        headers = dict(
            object_headers(name_of(b"abc"), size=3, media_type="text/html", expires=7, control=control, urgency=1)
        )
        # RFC 6234 section 8.5 has the hash of "abc".
        digest = bytes.fromhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        assert headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest).decode()}:"
        assert headers["Priority"] == "u=1"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "sandbox"
        assert "no-transform" in headers["Cache-Control"]
        assert headers["Decade-Attrs"] == "exp=7"


def test_a_204_has_no_length():
    assert plain_response(204).header("Content-Length") is None
    assert plain_response(412).header("Content-Length") == "0"


def test_secrets_are_not_shown():
    assert "Bearer" not in repr(Request("GET", "/", (("Authorization", "Bearer AQID"),)))
    assert attrs.asdict(Request("GET", "/"))["body"] == b""
