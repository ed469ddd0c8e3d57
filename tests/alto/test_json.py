import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto._json import MAX_DEPTH, JsonError, canonical, dumps, loads

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abé\u20ac", max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_what_is_written_is_read_back(value):
    assert loads(dumps(value)) == value
    assert loads(canonical(value)) == value


@given(values)
def test_what_is_written_is_utf_8_without_white_space(value):
    assert json.loads(dumps(value).decode("utf-8")) == value


@given(st.binary(max_size=60) | st.text('[]{},:"\\u08dDeE+-.19 ntf', max_size=40).map(str.encode))
def test_any_octets_are_a_value_or_an_error(body):
    try:
        value = loads(body)
    except JsonError:
        return
    dumps(value)


@pytest.mark.parametrize(
    "body",
    [
        *(b"NaN", b"[Infinity]", b"-Infinity", b"1e999", b"[-1E+400]", b'{"a": 12e0308, "b": 9e308}', b"1e00309"),
        *(b"9" * 310 + b".5", b"-" + b"1" * 250 + b"e99", b"[" + b"7" * 220 + b"E99]", b"9" * 5000),
        *(b'{"a":1,"a":2}', b'{"a":{"b":1,"b":1}}', b'{"PID1":{},"PID1":{}}'),
        *(b'"\\ud800"', b'{"\\uDC00":1}', b"\xef\xbb\xbf{}", b"\xff", '{"a":1}'.encode("utf-16")),
        *(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), b"[" * 100_000, b"", b"{", b"01", b"'a'", b"[1,]"),
    ],
)
def test_what_has_no_one_meaning_is_refused(body):
    with pytest.raises(JsonError):
        loads(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"1e-999", 0.0),
        (b"[1e99, 1E99]", [1e99, 1e99]),
        (b"1e308", 1e308),
        (b"9" * 300, int("9" * 300)),
        (b"[" + b"1" * 190 + b"]", [int("1" * 190)]),
        (b'"1e999 and \\u0031"', "1e999 and 1"),
        (b'{"e999": "3e999"}', {"e999": "3e999"}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)),
        (b" \n{} ", {}),
    ],
)
def test_what_is_at_the_edge_is_read(body, value):
    assert loads(body) == value


@given(st.integers(0, 400), st.integers(0, 40), st.integers(-330, 330), st.sampled_from("eE"), st.integers(0, 40))
def test_no_number_is_read_as_infinite(digits, fraction, exponent, letter, before):
    text = "1" * max(1, digits) + ("." + "7" * fraction if fraction else "") + f"{letter}{exponent:+d}"
    body = f'["{"x" * before}", {text}]'.encode()
    if float(text) == float("inf"):
        with pytest.raises(JsonError):
            loads(body)
    else:
        assert loads(body)[1] == float(text)


def test_where_a_text_breaks_off_is_told():
    with pytest.raises(JsonError, match="line 2, column 3"):
        loads(b'{"a":\n  }')
