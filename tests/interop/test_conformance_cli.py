"""``ietf-p2p conformance`` (interop.cli.conformance)."""

import json
import shlex
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

from interop.cli.conformance import command
from interop.conformance import select

HERE = Path(__file__).parent
SAMPLE = str(HERE / "data" / "sample.json")
RESPONDER = shlex.join([sys.executable, str(HERE / "conformance_responder.py")])
WRONG = f"{RESPONDER} wrong"


def invoke(*arguments):
    return CliRunner().invoke(command, list(arguments), prog_name="ietf-p2p conformance")


def test_the_table_has_a_row_for_each_section_in_the_order_of_the_rfc():
    done = invoke("--file", SAMPLE)
    assert done.exit_code == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows == [
        ["document", "section", "passed", "failed", "skipped"],
        ["RFC7574", "3", "1", "0", "0"],
        ["RFC7574", "5.6.1", "1", "0", "0"],
        ["RFC7574", "8.4", "1", "0", "0"],
        ["RFC7574", "8.6", "1", "0", "0"],
        ["RFC7574", "8.7", "1", "0", "0"],
        ["RFC7574", "8.16", "1", "0", "0"],
        ["all", "cases", "5", "0", "0"],
    ]


def test_our_own_vectors_run_when_nothing_is_named():
    done = invoke("--json")
    assert done.exit_code == 0
    summary = json.loads(done.stdout)
    assert summary["failed"] == summary["skipped"] == 0
    assert summary["passed"] == sum(len(file.cases) for file in select())


def test_one_case_runs_alone():
    address = select("ppsp")[0].cases[0].address
    summary = json.loads(invoke(address, "--json").stdout)
    assert [case["case"] for case in summary["cases"]] == [address]


def test_a_failure_is_named_and_the_exit_status_is_1():
    done = invoke("--file", SAMPLE, "--exec", WRONG)
    assert done.exit_code == 1
    assert "failed ppsp/sample/sample-ack-have (must): decode: messages[0].end: -1 instead of 0" in done.stdout
    assert "skipped ppsp/sample/sample-peaks (must): call: unsupported" in done.stdout


def test_skips_are_no_failures():
    done = invoke("--file", SAMPLE, "--exec", RESPONDER)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[7].split() == ["all", "cases", "3", "0", "2"]


def test_json_has_the_same_as_the_table():
    done = invoke("--file", SAMPLE, "--json", "--exec", WRONG)
    assert done.exit_code == 1
    summary = json.loads(done.stdout)
    assert summary["topics"] == ["ppsp/sample"]
    assert (summary["passed"], summary["failed"], summary["skipped"]) == (0, 3, 2)
    section = {"document": "rfc7574", "section": "8.16", "passed": 0, "failed": 1, "skipped": 0}
    assert section in summary["sections"]
    case = summary["cases"][0]
    assert case.pop("seconds") >= 0
    assert case == {
        "case": "ppsp/sample/sample-ack-have",
        "spec": [{"rfc7574": "8.16"}, {"rfc7574": "8.7"}],
        "level": "must",
        "status": "failed",
        "reason": "decode: messages[0].end: -1 instead of 0",
    }


def test_junit_has_a_suite_for_each_topic(tmp_path):
    path = tmp_path / "out.xml"
    invoke("--file", SAMPLE, "--exec", WRONG, "--junit", str(path))
    (suite,) = ET.parse(path).getroot()
    assert {name: suite.get(name) for name in ("name", "tests", "failures", "errors", "skipped")} == {
        "name": "ppsp/sample",
        "tests": "5",
        "failures": "3",
        "errors": "0",
        "skipped": "2",
    }
    assert [(case.get("name"), [child.tag for child in case]) for case in suite] == [
        ("sample-ack-have", ["failure"]),
        ("sample-data", ["failure"]),
        ("sample-unknown-type", ["failure"]),
        ("sample-closing", ["skipped"]),
        ("sample-peaks", ["skipped"]),
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonesuch",),
        ("ppsp/none",),
        ("ppsp", "--file", SAMPLE),
        ("--file", "none.json"),
        ("--file", SAMPLE, "--exec", "/nonexistent/program"),
        ("--file", SAMPLE, "--junit", "/nonexistent/out.xml"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(arguments):
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1


def test_a_file_with_many_faults_is_one_line_too(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"topic": "x"}')
    done = invoke("--file", str(path))
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert "more)" in done.stderr


def test_a_timeout_is_above_zero():
    assert invoke("--file", SAMPLE, "--timeout", "0").exit_code == 2


def test_help_ends_with_an_example():
    last = invoke("--help").stdout.rstrip().splitlines()[-1]
    assert last.strip().startswith("ietf-p2p conformance")
