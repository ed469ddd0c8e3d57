"""Our own vectors: each of them passes, none is skipped, and what they quote stands in the RFC."""

import re
from pathlib import Path

import pytest

from interop.conformance import Status, load, run
from interop.conformance._files import PROTOCOLS, paths

ROOT = Path(__file__).parents[2]
RFCS = ROOT / "tests" / "data" / "rfc"
TEXTS = {
    "bep29": "bep_0029.rst",
    "draft-ietf-alto-new-transport": "draft-ietf-alto-new-transport.md",
    "draft-irtf-iccrg-ledbat-plus-plus-01": "ledbat-plus-plus.md",
    "rfc9439": "draft-ietf-alto-performance-metrics-28.txt",
    "rfc9569": "draft-ietf-alto-new-transport.md",
}
"""The documents that are not RFCs, or drafts of them; of LEDBAT++ there are the facts only."""
FILES = [path for protocol in PROTOCOLS for path in paths(protocol)]
by_file = pytest.mark.parametrize("path", FILES, ids=[f"{path.parts[-3]}/{path.stem}" for path in FILES])


def test_each_protocol_has_vectors():
    assert {path.parts[-3] for path in FILES} == set(PROTOCOLS)


@by_file
def test_every_vector_passes(path):
    failed = [(result.case.id, result.reason) for result in run([load(path)]) if result.status is not Status.PASSED]
    assert failed == []


@by_file
def test_a_file_lies_in_the_package_of_its_protocol(path):
    file = load(path)
    assert path == ROOT / file.protocol / "vectors" / f"{file.topic}.json"


@by_file
def test_quotes_are_the_words_of_the_rfc(path):
    for case in load(path).cases:
        for spec in case.spec:
            if spec.quote is not None:
                text = (RFCS / TEXTS.get(spec.document, f"{spec.document}.txt")).read_text()
                text = re.sub(r"\n[^\n]*\[Page \d+\]\n\f\n[^\n]*\n", "\n", text)
                assert " ".join(spec.quote.split()) in re.sub(r"\s+", " ", text), case.id
