"""The requirements of our own packages: complete, word for word, and CONFORMANCE.md up to date."""

import re
from collections import Counter
from pathlib import Path

import pytest

from interop.conformance import report

ROOT = Path(__file__).parents[2]
RFCS = ROOT / "tests" / "data" / "rfc"
TEXTS = {"bep29": "bep_0029.rst", "ledbatpp": "ledbat-plus-plus.md", "rledbat": "ledbat-plus-plus.md"}
"""The documents that are not RFCs; of LEDBAT++ and rLEDBAT there are the facts only."""
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/requirements.json"))


def words(rfc):
    """The text of an RFC without page breaks, white space normalised."""
    text = (RFCS / TEXTS.get(rfc, f"rfc{rfc}.txt")).read_text()
    return re.sub(r"\s+", " ", re.sub(r"\n[^\n]*\[Page \d+\]\n\f\n[^\n]*\n", "\n", text))


def test_each_package_states_its_requirements():
    assert PACKAGES == ["ledbat", "ppsp"]


@pytest.mark.parametrize("package", PACKAGES)
def test_conformance_md_is_up_to_date_and_names_only_what_exists(package, capsys):
    assert report.main(["--check", "--root", str(ROOT)]) == 0, capsys.readouterr().err


# Counted in the texts by an independent reading, the sentence that explains the words left out (shared requirements).
COUNTS = {
    7574: {"MUST": 102, "MUST NOT": 10, "SHOULD": 18, "SHOULD NOT": 2, "RECOMMENDED": 1},
    7846: {"MUST": 33, "MUST NOT": 1, "SHOULD": 15, "SHOULD NOT": 3, "RECOMMENDED": 1},
}


@pytest.mark.parametrize("rfc", COUNTS)
def test_no_must_and_no_should_of_ppsp_is_left_out(rfc):
    rows = report.read(ROOT / "ppsp" / "requirements.json")
    assert Counter(row.level for row in rows if row.rfc == rfc) == COUNTS[rfc]


@pytest.mark.parametrize("package", PACKAGES)
def test_requirements_quote_the_rfc_word_for_word(package):
    rows = report.read(ROOT / package / "requirements.json")
    texts = {rfc: words(rfc) for rfc in {row.rfc for row in rows}}
    assert [row.id for row in rows if row.text not in texts[row.rfc]] == []


@pytest.mark.parametrize("word", ["must", "should"])
def test_no_must_and_no_should_of_bep_29_is_left_out(word):
    rows = [row for row in report.read(ROOT / "ledbat" / "requirements.json") if row.rfc == "bep29"]
    assert sum(row.level == word for row in rows) == len(re.findall(rf"\b{word}\b", words("bep29"), re.IGNORECASE))


@pytest.mark.parametrize("document", ["ledbatpp", "rledbat"])
def test_what_is_known_by_facts_only_says_so(document):
    text = (ROOT / "ledbat" / "CONFORMANCE.md").read_text()
    assert f"## {report.DOCUMENTS[document]}\n\n{report.ABOUT[document]}" in text
    assert "was not at hand" in report.ABOUT[document]
