"""Vectors as pytest items (interop.conformance.pytest_plugin)."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from interop.conformance import select

HERE = Path(__file__).parent
SAMPLE_OPTION = f"--conformance-file={HERE / 'data' / 'sample.json'}"
RESPONDER = shlex.join([sys.executable, str(HERE / "conformance_responder.py")])


@pytest.fixture
def project(tmp_path):
    """A folder with a test of its own, and what runs pytest in it as its owner would."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\naddopts = --strict-markers\n")
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")

    def run(*arguments, entry_point=False):
        # The other plugins of this environment only take their time, but for the one test of the entry point.
        alone = {} if entry_point else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        plugin = () if entry_point else ("-p", "interop.conformance.pytest_plugin")
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *plugin, *arguments]
        environment = {**os.environ, **alone}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    run.path = tmp_path
    return run


def counts(done):
    """The words and numbers of pytest's last line."""
    last = done.stdout.strip().splitlines()[-1]
    return {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|deselected)", last)}


def test_without_its_options_the_plugin_loads_nothing_and_collects_nothing(project):
    (project.path / "test_own.py").write_text(
        "import sys\n"
        "def test_own():\n"
        "    loaded = {'jsonschema', 'ppsp', 'ledbat', 'click', 'interop.conformance._files'} & sys.modules.keys()\n"
        "    assert not loaded\n"
        "    assert 'interop.conformance.pytest_plugin' in sys.modules\n"
    )
    assert counts(project(entry_point=True)) == {"passed": 1}


def test_the_vectors_of_a_file_run_beside_the_tests(project):
    done = project(SAMPLE_OPTION)
    assert done.returncode == 0, done.stdout
    assert counts(done) == {"passed": 6}


def test_the_marker_selects_the_vectors_alone(project):
    assert counts(project(SAMPLE_OPTION, "-m", "conformance")) == {"passed": 5, "deselected": 1}
    assert counts(project(SAMPLE_OPTION, "-k", "sample-data")) == {"passed": 1, "deselected": 5}


@pytest.mark.parametrize("depth", ["protocol", "topic", "case"])
def test_our_own_vectors_run_by_name(project, depth):
    files = select("ppsp")
    file = files[0]
    pattern, cases = {
        "protocol": ("ppsp", sum(len(each.cases) for each in files)),
        "topic": (f"ppsp/{file.topic}", len(file.cases)),
        "case": (file.cases[0].address, 1),
    }[depth]
    done = project("--conformance", pattern, "-q", "--collect-only", "-m", "conformance")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("\nppsp/") + done.stdout.startswith("ppsp/") == cases


def test_an_item_is_named_after_its_case(project):
    done = project(SAMPLE_OPTION, "-v")
    assert re.search(r"^ppsp/sample/sample-ack-have PASSED", done.stdout, re.MULTILINE)


def test_another_implementation_is_asked(project):
    done = project(SAMPLE_OPTION, "--conformance-exec", RESPONDER)
    assert counts(done) == {"passed": 4, "skipped": 2}


def test_a_failure_says_what_is_wrong_and_where_the_rfc_says_so(project):
    done = project(SAMPLE_OPTION, "--conformance-exec", f"{RESPONDER} wrong")
    assert done.returncode == 1
    assert counts(done) == {"passed": 1, "failed": 3, "skipped": 2}
    assert "decode: messages[0].end: -1 instead of 0" in done.stdout
    assert "RFC7574 section 8.16, RFC7574 section 8.7 (MUST): ACK and HAVE of chunk 0." in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("--conformance", "nonesuch"),
        ("--conformance-file=none.json"),
        (SAMPLE_OPTION, "--conformance-exec", "/nonexistent/program"),
    ],
)
def test_a_mistake_is_a_usage_error(project, arguments):
    done = project(*arguments)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert done.stderr.startswith("ERROR: ")
    assert "Traceback" not in done.stderr


def test_what_is_not_installed_is_a_usage_error(project):
    (project.path / "conftest.py").write_text("import sys\nsys.modules['jsonschema'] = None\n")
    done = project(SAMPLE_OPTION)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "conformance vectors need ietf-p2p[interop]" in done.stderr
