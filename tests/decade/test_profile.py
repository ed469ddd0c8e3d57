"""PROFILE.md says what the code does: its samples are vectors, its tables those of the code, its references hold."""

import json
import re
from pathlib import Path

import cbor_diag
import pytest

from decade.errors import STATUS, ErrorCode
from decade.http import SHARED_CACHE
from decade.scope import Operation
from decade.settings import DRP_PATH
from decade.tokens import MAX_TOKEN, SKEW, TYPE

PACKAGE = Path(__file__).parents[2] / "decade"
TEXT = (PACKAGE / "PROFILE.md").read_text(encoding="utf-8")
HEADINGS = dict(re.findall(r"^#{2,3} (\d+(?:\.\d+)?)\. (.*)$", TEXT, re.MULTILINE))
SAMPLES = re.findall(r"`decade/(\w+)/([a-z0-9-]+)`[:,] [^\n]*\n\n```cbor-diag\n(.*?)```", TEXT, re.DOTALL)
MESSAGES = {
    name: case
    for topic in ("messages", "tokens")
    for group in json.loads((PACKAGE / "vectors" / f"{topic}.json").read_text())["groups"]
    for case in group["cases"]
    for name in [case["id"]]
}


@pytest.mark.parametrize(("topic", "name", "sample"), SAMPLES, ids=[name for _, name, _ in SAMPLES])
def test_a_sample_is_its_vector(topic, name, sample):
    case = MESSAGES[name]
    octets = case["wire"] if topic == "messages" else case["args"]["token"]
    assert cbor_diag.diag2cbor(sample).hex() == octets


def test_there_is_a_sample_of_every_type_of_message():
    types = {cbor_diag.diag2cbor(sample)[1:3] for topic, _, sample in SAMPLES if topic == "messages"}
    assert {octets[1] for octets in types if octets[0] == 0} == set(range(1, 17))


def test_the_codes_are_those_of_the_code():
    rows = re.findall(r"\| (\d+) \| ([a-z-]+) \| (\d{3})", TEXT)
    assert {int(number): (name, int(status)) for number, name, status in rows} == {
        int(code): (code.name.lower().replace("_", "-"), STATUS[code]) for code in ErrorCode
    }


def test_the_bits_of_operations_are_those_of_the_code():
    bits = re.search(r"^\| bit \|(.*)\|\n.*\n\| \|(.*)\|$", TEXT, re.MULTILINE)
    numbers, names = ([cell.strip() for cell in row.split("|")] for row in bits.groups())
    assert dict(zip(names, map(int, numbers), strict=True)) == {
        operation.name.lower().replace("_", "-"): operation.bit_length() - 1 for operation in Operation
    }


def test_what_goes_over_the_wire_is_spelled_as_in_the_code():
    assert f"`{SHARED_CACHE}`" in TEXT
    assert f"`{TYPE}`" in TEXT
    assert f"its path is `{DRP_PATH}`" in TEXT
    assert f"**Skew**: {SKEW} seconds" in TEXT
    assert f"a token at most {MAX_TOKEN:,}" in TEXT


def test_references_of_the_code_to_sections_hold():
    about = {"7": "Uses, amounts and revocation", "9": "Errors and their precedence"}
    assert {number: HEADINGS[number] for number in about} == about
    sources = [
        *PACKAGE.glob("*.py"),
        *PACKAGE.parent.glob("interop/decade*/*.py"),
        *PACKAGE.parent.glob("interop/decade*.py"),
    ]
    found = [
        (path.name, number)
        for path in sources
        for number in re.findall(r"PROFILE\.md sections? (\d+(?:\.\d+)?)", path.read_text(encoding="utf-8"))
    ]
    assert {number for _, number in found} >= about.keys()
    assert [(name, number) for name, number in found if number not in HEADINGS and f"\n{number}. " not in TEXT] == []


def test_references_inside_hold():
    numbered = set(HEADINGS) | set(re.findall(r"^(\d+\.\d+)\. ", TEXT, re.MULTILINE))
    named = re.findall(r"\((\d{1,2}\.\d{1,2})[);,]", TEXT)
    assert sorted(set(named) - numbered) == []
