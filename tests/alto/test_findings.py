"""Findings: strict ones raise, lenient ones are kept, but not without end."""

import pytest

from alto._json import Json
from alto.errors import DecodeError
from alto.findings import MAX_FINDINGS, Findings, Level


def test_a_strict_reading_ends_at_the_first_broken_must_and_not_at_a_should() -> None:
    findings = Findings()
    findings.should("a", "odd", 7285, "1")
    findings.note("b", "new", 7285, "2")
    with pytest.raises(DecodeError, match=r"^c/d: wrong \(RFC 7285 section 3\)$"):
        findings.must("c/d", "wrong", 7285, "3")
    assert [item.level for item in findings.items] == [Level.SHOULD, Level.NOTE]


def test_a_lenient_reading_keeps_the_first_findings_and_no_endless_number() -> None:
    findings = Findings(strict=False)
    for number in range(MAX_FINDINGS + 10):
        findings.must(str(number), "wrong", 7285, "3")
    assert [item.path for item in findings.items] == [str(number) for number in range(MAX_FINDINGS)]


@pytest.mark.parametrize(
    ("value", "kind", "is_good"),
    [
        ({}, dict, True),
        ([], dict, False),
        (1, int, True),
        (True, int, False),
        (1, float, True),
        (1.5, float, True),
        (False, float, False),
        (1.5, int, False),
        (True, bool, True),
        (None, str, False),
    ],
)
def test_the_types_are_those_of_json(value: Json, kind: type, is_good: bool) -> None:
    findings = Findings(strict=False)
    assert findings.is_a(value, kind, "x", 7285, "1") == is_good
    assert len(findings.items) == (not is_good)


def test_a_member_is_there_and_of_its_type_or_it_is_a_finding() -> None:
    findings = Findings(strict=False)
    assert findings.member({"a": 1}, "a", int, "", 7285, "1") == 1
    assert findings.optional({}, "a", int, "", 7285, "1") is None
    assert findings.items == []
    assert findings.member({}, "a", int, "x/y", 7285, "1") is None
    assert findings.optional({"a": "1"}, "a", int, "x", 7285, "1") is None
    assert [item.path for item in findings.items] == ["x/y/a", "x/a"]


def test_what_a_reader_has_to_ignore_stops_not_even_a_strict_one() -> None:
    findings = Findings()
    findings.ignored("a/b", "of the wrong type", 9240, "4.6.1")
    assert [str(item) for item in findings.items] == ["a/b: of the wrong type (RFC 9240 section 4.6.1)"]
    assert findings.items[0].level == Level.MUST
