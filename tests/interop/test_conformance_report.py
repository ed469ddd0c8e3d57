"""requirements.json to CONFORMANCE.md (interop.conformance.report)."""

import json
import shutil
from pathlib import Path

import pytest

from interop.conformance import report

SAMPLE = Path(__file__).with_name("data") / "sample.json"
TEST_FILE = """
from hypothesis.stateful import RuleBasedStateMachine

def test_plain(): ...
async def test_async(): ...
class TestGroup:
    def test_member(self): ...
def helper(): ...
TestMachine = RuleBasedStateMachine.TestCase
if True:
    def test_hidden(): ...
"""


def row(number, **changes):
    return {
        "id": f"9999-1.2-{number}",
        "rfc": 9999,
        "section": "1.2",
        "level": "MUST",
        "text": f"Peer {number} MUST do a<b | c*d.",
        "status": "not done",
        "shown_by": [],
        "note": "",
        **changes,
    }


def done(number, *shown_by):
    return row(number, status="done", shown_by=list(shown_by))


@pytest.fixture
def clone(tmp_path):
    """A clone with a package `ppsp`, its tests and vectors; call it with rows to write them and run the report."""
    (tmp_path / "ppsp" / "vectors").mkdir(parents=True)
    shutil.copy(SAMPLE, tmp_path / "ppsp" / "vectors")
    (tmp_path / "tests" / "ppsp").mkdir(parents=True)
    (tmp_path / "tests" / "ppsp" / "test_x.py").write_text(TEST_FILE)

    def run(rows, *arguments):
        (tmp_path / "ppsp" / "requirements.json").write_text(json.dumps(rows))
        return report.main(["--root", str(tmp_path), *arguments])

    run.markdown = tmp_path / "ppsp" / "CONFORMANCE.md"
    return run


def test_the_report_has_a_row_for_each_requirement(clone):
    rows = [
        done(1, "tests/ppsp/test_x.py::test_plain", "ppsp/sample/sample-data"),
        row(2, note="Later."),
        row(3, level="SHOULD", text="It SHOULD.", status="not ours", note="Binds operators."),
    ]
    assert clone(rows) == 0
    lines = clone.markdown.read_text().splitlines()
    assert "| RFC 9999 | MUST | 1 | 1 | 0 | 2 |" in lines
    assert "| RFC 9999 | SHOULD | 0 | 0 | 1 | 1 |" in lines
    shown = "`tests/ppsp/test_x.py::test_plain`<br>`ppsp/sample/sample-data`"
    assert f"| 9999-1.2-1 | MUST | Peer 1 MUST do a\\<b \\| c\\*d. | {shown} |" in lines
    assert "| 9999-1.2-2 | MUST | Peer 2 MUST do a\\<b \\| c\\*d. | not done<br>Later. |" in lines
    assert "| 9999-1.2-3 | SHOULD | It SHOULD. | not ours<br>Binds operators. |" in lines


def test_check_writes_nothing_and_fails_until_the_report_is_written(clone, capsys):
    assert clone([row(1)], "--check") == 1
    assert not clone.markdown.exists()
    assert "not up to date" in capsys.readouterr().err
    assert clone([row(1)]) == 0
    assert clone([row(1)], "--check") == 0
    assert clone([row(1), row(2)], "--check") == 1


@pytest.mark.parametrize(
    "name",
    [
        "tests/ppsp/test_x.py::test_plain",
        "tests/ppsp/test_x.py::test_async",
        "tests/ppsp/test_x.py::TestGroup::test_member",
        "tests/ppsp/test_x.py::TestMachine",
        "ppsp/sample/sample-data",
    ],
)
def test_a_test_or_vector_that_exists_is_accepted(clone, name):
    assert clone([done(1, name)]) == 0


@pytest.mark.parametrize(
    "name",
    [
        "tests/ppsp/test_x.py::test_none",
        "tests/ppsp/test_x.py::helper",
        "tests/ppsp/test_x.py::test_member",
        "tests/ppsp/test_x.py::TestGroup",
        "tests/ppsp/test_x.py::",
        "tests/ppsp/test_none.py::test_plain",
        "ppsp/sample/none",
        "ppsp/none/sample-data",
        "ppsp/sample",
        "",
    ],
)
def test_a_test_or_vector_that_does_not_exist_is_a_fault(clone, capsys, name):
    assert clone([done(1, name)]) == 1
    assert f"9999-1.2-1: no such test or vector: {name}" in capsys.readouterr().err
    assert not clone.markdown.exists()


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([row(1), row(1)], "the id is used twice"),
        ([row(1, section="1.3")], "not an id of RFC 9999 section 1.3"),
        ([row(1, level="SHOULD")], "level 'SHOULD' is not in the text"),
        ([row(1, level="must", text="It must.")], "level 'must' is not in the text"),
        ([row(1, status="later")], "status 'later' is none of"),
        ([row(1, status="done")], "'done' with 0 in shown_by"),
        ([row(1, shown_by=["ppsp/sample/sample-data"])], "'not done' with 1 in shown_by"),
        ([row(1, status="not ours")], "'not ours' without a note"),
        ([{"id": "1"}], "missing"),
        ({"rows": 1}, "must be a mapping"),
    ],
)
def test_a_row_at_fault_is_reported(clone, capsys, rows, fault):
    assert clone(rows) == 1
    assert fault in capsys.readouterr().err


def test_the_open_rows_can_be_listed(clone, capsys):
    assert clone([done(1, "ppsp/sample/sample-data"), row(2)], "--open") == 0
    assert capsys.readouterr().out == "9999-1.2-2 MUST: Peer 2 MUST do a<b | c*d.\n"
    assert not clone.markdown.exists()


def test_a_folder_without_requirements_is_a_mistake(tmp_path, capsys):
    assert report.main(["--root", str(tmp_path)]) == 1
    assert "no */requirements.json" in capsys.readouterr().err
