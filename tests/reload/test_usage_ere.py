"""Extended regular expressions of POSIX: as `re` has them where both agree, and never slow."""

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reload.errors import DecodeError
from reload.usages._ere import MAX_DEPTH, MAX_PATTERN, MAX_STATES, Pattern


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (r"dht\.example\.com", ["dht.example.com", "DHT.Example.COM"], ["dhtxexample.com", "a.dht.example.com", ""]),
        (r".*\.my\.example", ["a.my.example", ".my.example", "a.b.my.example"], ["my.example", "a.my.example.org"]),
        ("a|bc|d", ["a", "bc", "d"], ["b", "c", "ac", "abc"]),
        ("(a|b)*c", ["c", "ac", "abbac"], ["", "ab", "cc"]),
        ("ab{2}c", ["abbc"], ["abc", "abbbc"]),
        ("ab{1,3}", ["ab", "abb", "abbb"], ["a", "abbbb"]),
        ("ab{2,}", ["abb", "abbbbb"], ["ab"]),
        ("ab{0}c", ["ac"], ["abc"]),
        ("a+b?", ["a", "aab"], ["", "b", "abb"]),
        ("[a-c1]x", ["ax", "Cx", "1x"], ["dx", "2x"]),
        ("[^a-c]", ["d", "-", "^"], ["a", "B", ""]),
        ("[]a]", ["]", "a"], ["b"]),
        ("[^]a]", ["b"], ["]", "A"]),
        ("[a-]", ["a", "-"], ["b"]),
        ("[-a]", ["a", "-"], ["b"]),
        ("[[:digit:][:alpha:]_]+", ["a1_Z"], ["a-1"]),
        ("[[:upper:]]", ["a", "A"], ["1"]),
        ("[[.-.]x]", ["-", "x"], ["."]),
        ("[[=a=]]", ["a"], ["="]),
        ("[[]", ["["], ["]"]),
        ("[a.[]", ["a", ".", "["], ["b"]),
        (r"[\.]", ["\\", "."], ["a"]),
        (r"\(\)\[\]\{\}\*\+\?\|\^\$\.\\\-", ["()[]{}*+?|^$.\\-"], [""]),
        ("a]b}", ["a]b}"], ["ab"]),
        ("^a$", ["a"], ["^a$"]),
        ("^a|b$", ["a", "b"], ["ab"]),
        ("(^|x)a", ["a", "xa"], ["xxa"]),
        ("(^)*a($){2}", ["a"], ["", "aa"]),
        ("a(b|$)", ["a", "ab"], ["abb"]),
        ("(a^)b", [], ["ab", "a^b"]),
        ("a$b", [], ["ab", "a$b"]),
        ("(a*)*b", ["b", "aaab"], ["aaa"]),
        ("(a|b|(cd)){2}", ["ab", "cda", "cdcd"], ["a", "cdd"]),
    ],
)
def test_a_pattern_matches_whole_texts(pattern: str, yes: list[str], no: list[str]) -> None:
    compiled = Pattern(pattern)
    assert [text for text in yes if not compiled.fullmatch(text)] == []
    assert [text for text in no if compiled.fullmatch(text)] == []


@pytest.mark.parametrize(
    "pattern",
    [
        *("", "a|", "|a", "()", "(a", "a)", "*a", "+", "?", "a**", "a+?", "^*", "(*a)", "a|*b", "{1}", "a{", "a{x}"),
        *("a{2,1}", "a{256}", "a{1,256}", "a{1}{2}", "[a", "[]", "[^", "[b-a]", "[[:word:]]", "[[:alpha:]", "[[.ab.]]"),
        *("[[=a", "[a-", r"\d", r"\w", r"\1", "\\", "a\\", "é", "[^\1-\x7f]"),
    ],
)
def test_what_posix_leaves_undefined_is_refused(pattern: str) -> None:
    with pytest.raises(DecodeError):
        Pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "a" * (MAX_PATTERN + 1),
        "(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1),
        "(a{255}){255}",
        "a{255}" * 5,
        "(((((a{0}){255}){255}){255}){255}){255}",
        "(((((^|a){0}){255}){255}){255}){255}",
    ],
)
def test_a_pattern_that_would_be_too_large_is_refused_at_once(pattern: str) -> None:
    with pytest.raises(DecodeError):
        Pattern(pattern)
    assert MAX_STATES == 1000


@pytest.mark.parametrize(
    "pattern", ["(a*)*b", "(a|a)*b", "(a|aa)+b", "((a?){15}){15}b", "(.*a){25}b", "(a?){255}a{255}"]
)
def test_a_text_made_to_take_long_does_not(pattern: str) -> None:
    # With `re` most of these would outlast the universe; the time limit of a test is enough to tell.
    assert not Pattern(pattern).fullmatch("a" * 253)


def test_a_text_beyond_ascii_matches_nothing() -> None:
    assert not Pattern(".*").fullmatch("é")
    assert not Pattern(".").fullmatch("\0")


_ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "[b-c]", r"\."])


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeated = st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}"])).map(
        lambda it: f"({it[0]}){it[1]}"
    )
    joined = st.lists(inner, min_size=1, max_size=3).map("".join)
    either = st.lists(inner, min_size=2, max_size=3).map(lambda branches: f"({'|'.join(branches)})")
    return repeated | joined | either


@given(st.recursive(_ATOMS, _grow, max_leaves=6))
def test_a_pattern_agrees_with_re_where_both_have_it(pattern: str) -> None:
    ours, theirs = Pattern(pattern), re.compile(pattern, re.ASCII)
    for length in range(5):
        for letters in product("abc.", repeat=length):
            text = "".join(letters)
            assert ours.fullmatch(text) == bool(theirs.fullmatch(text)), text


@given(st.text(alphabet=r"ab()[]{}*+?|^$.\-:=,12", max_size=20), st.text(alphabet="ab.-", max_size=8))
def test_any_pattern_is_read_or_refused(pattern: str, text: str) -> None:
    try:
        compiled = Pattern(pattern)
    except DecodeError:
        return
    compiled.fullmatch(text)
