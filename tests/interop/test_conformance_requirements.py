"""The requirements of our own packages: complete, word for word, and CONFORMANCE.md up to date."""

import re
from collections import Counter
from pathlib import Path

import pytest

from interop.conformance import report

ROOT = Path(__file__).parents[2]
RFCS = ROOT / "tests" / "data" / "rfc"
TEXTS = {
    "bep29": "bep_0029.rst",
    "ledbatpp": "ledbat-plus-plus.md",
    "rledbat": "ledbat-plus-plus.md",
    "profile": "../../../decade/PROFILE.md",
    "rfc9290facts": "rfc9290-facts.md",
    "rfc9439draft": "draft-ietf-alto-performance-metrics-28.txt",
    "rfc9569draft": "draft-ietf-alto-new-transport.md",
}
"""The documents that are not RFCs; of LEDBAT++ and rLEDBAT there are the facts only."""
SOURCES = {path.parent.name: path for name in ("requirements.json", "requirements") for path in ROOT.glob(f"*/{name}")}
PACKAGES = sorted(SOURCES)


def words(rfc):
    """The text of an RFC without page breaks, white space normalised."""
    text = (RFCS / TEXTS.get(rfc, f"rfc{rfc}.txt")).read_text()
    text = re.sub(r"\n[^\n]*\[Page \d+\]\n\f\n[^\n]*\n", "\n", text)
    return re.sub(r"\s+", " ", text)


def test_each_package_states_its_requirements():
    assert PACKAGES == ["alto", "decade", "ledbat", "ppsp", "reload"]


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
    rows = report.read(SOURCES["ppsp"])
    assert Counter(row.level for row in rows if row.rfc == rfc) == COUNTS[rfc]


ALTO = {
    7285: {"MUST": 89, "MUST NOT": 16, "SHOULD": 16, "SHOULD NOT": 1, "RECOMMENDED": 2},
    7286: {"MUST": 3, "SHOULD": 3},
    8189: {"MUST": 16, "MUST NOT": 16},
    8686: {"MUST": 4, "SHOULD": 6},
    8895: {"MUST": 58, "MUST NOT": 10, "SHOULD": 23, "SHOULD NOT": 1, "RECOMMENDED": 3},
    8896: {"MUST": 30, "MUST NOT": 4, "SHOULD": 7, "SHOULD NOT": 1, "RECOMMENDED": 2},
    9240: {"MUST": 69, "MUST NOT": 8, "SHOULD": 15, "RECOMMENDED": 3},
    9241: {"MUST": 23, "MUST NOT": 1, "SHOULD": 3, "REQUIRED": 1},
    9274: {"MUST": 4, "MUST NOT": 1},
    9275: {"MUST": 79, "MUST NOT": 2, "SHOULD": 4, "RECOMMENDED": 4},
    "rfc9439draft": {"MUST": 23, "MUST NOT": 2, "SHOULD": 6, "SHOULD NOT": 2, "RECOMMENDED": 7},
    "rfc9569draft": {"MUST": 41, "MUST NOT": 4, "SHOULD": 2, "RECOMMENDED": 7, "NOT RECOMMENDED": 1},
}


@pytest.mark.parametrize("rfc", ALTO)
def test_no_must_and_no_should_of_alto_is_left_out(rfc):
    rows = report.read(SOURCES["alto"])
    assert Counter(row.level for row in rows if row.rfc == rfc) == ALTO[rfc]


RELOAD = {
    6940: {"MUST": 311, "MUST NOT": 36, "SHALL": 14, "REQUIRED": 3, "SHOULD": 77, "SHOULD NOT": 6, "RECOMMENDED": 7},
    7263: {"MUST": 14, "SHOULD": 4, "SHOULD NOT": 3},
    7264: {"MUST": 20, "SHOULD": 4, "SHOULD NOT": 1},
    7363: {"MUST": 14, "MUST NOT": 1, "SHOULD": 1, "RECOMMENDED": 2, "NOT RECOMMENDED": 2},
    7374: {"MUST": 19, "SHOULD": 2, "RECOMMENDED": 2},
    7851: {"MUST": 42, "MUST NOT": 7, "SHALL": 1, "SHOULD NOT": 2},
    7904: {"MUST": 7, "MUST NOT": 2, "SHALL": 2, "SHOULD": 3, "SHOULD NOT": 1},
}


@pytest.mark.parametrize("rfc", RELOAD)
def test_no_must_and_no_should_of_reload_is_left_out(rfc):
    rows = report.read(SOURCES["reload"])
    assert Counter(row.level for row in rows if row.rfc == rfc) == RELOAD[rfc]


DECADE = {
    7069: {"MUST": 1, "MUST NOT": 1, "SHOULD": 21, "SHOULD NOT": 2, "MAY": 5},
    8392: {"MUST": 8, "MUST NOT": 1},
}


@pytest.mark.parametrize("rfc", DECADE)
def test_no_must_no_should_and_no_may_of_decade_is_left_out(rfc):
    rows = report.read(SOURCES["decade"])
    assert Counter(row.level for row in rows if row.rfc == rfc and row.level != report.RULE) == DECADE[rfc]


def test_no_must_no_should_and_no_may_of_the_profile_is_left_out():
    text = re.sub(r"The key words .*? shown here\.", "", words("profile"))
    found = Counter(re.findall(r"\b(?:(?:MUST|SHOULD)(?: NOT)?|MAY|REQUIRED)\b", re.sub(r"```.*?```", "", text)))
    assert Counter(row.level for row in report.read(SOURCES["decade"]) if row.rfc == "profile") == found


@pytest.mark.parametrize("package", PACKAGES)
def test_requirements_quote_the_rfc_word_for_word(package):
    rows = report.read(SOURCES[package])
    texts = {rfc: words(rfc) for rfc in {row.rfc for row in rows}}
    assert [row.id for row in rows if row.text not in texts[row.rfc]] == []


@pytest.mark.parametrize("word", ["must", "should"])
def test_no_must_and_no_should_of_bep_29_is_left_out(word):
    rows = [row for row in report.read(SOURCES["ledbat"]) if row.rfc == "bep29"]
    assert sum(row.level == word for row in rows) == len(re.findall(rf"\b{word}\b", words("bep29"), re.IGNORECASE))


@pytest.mark.parametrize(
    ("package", "document"), [("ledbat", "ledbatpp"), ("ledbat", "rledbat"), ("decade", "rfc9290facts")]
)
def test_what_is_known_by_facts_only_says_so(package, document):
    text = (ROOT / package / "CONFORMANCE.md").read_text()
    assert f"## {report.DOCUMENTS[document]}\n\n{report.ABOUT[document]}" in text
    assert "was not at hand" in report.ABOUT[document]
