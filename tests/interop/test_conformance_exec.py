"""Asking another implementation over a pipe (interop.conformance._exec)."""

import gc
import shlex
import sys
import time
from pathlib import Path

import pytest

from interop.conformance import Child, ConformanceError, Status, load, run, select
from interop.conformance._exec import MAX_FAILURES, MAX_LINE, ChildError

HERE = Path(__file__).parent
SAMPLE = load(HERE / "data" / "sample.json")
RESPONDER = shlex.join([sys.executable, str(HERE / "conformance_responder.py")])


def python(program):
    return shlex.join([sys.executable, "-c", program])


def statuses(command):
    with Child(command) as child:
        return {result.case.id.removeprefix("sample-"): result.status for result in run([SAMPLE], child)}


def test_another_implementation_passes_what_it_supports_and_skips_the_rest():
    assert statuses(RESPONDER) == {
        "ack-have": Status.PASSED,
        "data": Status.PASSED,
        "unknown-type": Status.PASSED,
        "closing": Status.SKIPPED,
        "peaks": Status.SKIPPED,
    }


def test_another_implementation_runs_our_own_vectors():
    with Child(RESPONDER) as child:
        results = list(run(select("ppsp/messages"), child))
    assert [(result.case.id, result.reason) for result in results if result.status is Status.FAILED] == []
    assert sum(result.status is Status.PASSED for result in results) > 50


def test_a_wrong_implementation_fails():
    found = statuses(f"{RESPONDER} wrong")
    assert found["ack-have"] is found["data"] is found["unknown-type"] is Status.FAILED


def test_a_request_and_its_answer_are_one_line_each():
    echo = "import sys, json\nfor line in sys.stdin: print(json.dumps({'value': json.loads(line)}), flush=True)"
    with Child(python(echo)) as child:
        for request in ({"op": "call", "args": {"text": "a\nbé"}}, {"op": "call", "args": {}}):
            assert child(request) == {"value": request}


def test_a_request_larger_than_a_pipe_gets_through():
    echo = "import sys, json\nfor line in sys.stdin: print(json.dumps({'value': len(line)}), flush=True)"
    with Child(python(echo)) as child:
        assert child({"wire": "00" * 500_000})["value"] > 1_000_000


def test_a_child_that_crashes_is_a_failure_with_the_last_line_of_its_stderr():
    with Child(python("import sys; sys.stdin.readline(); print('one', file=sys.stderr); 1 / 0")) as child:
        for _ in range(2):  # started again for the next request
            with pytest.raises(ChildError, match="it ended with status 1: ZeroDivisionError: division by zero"):
                child({})


def test_a_child_that_ends_in_silence_says_so():
    silent = Child(python("import sys; sys.stdin.readline(); sys.exit(3)"))
    with silent as child, pytest.raises(ChildError, match="it ended with status 3: nothing on stderr"):
        child({})


def test_a_child_that_never_reads_is_a_failure_too():
    with Child(python("pass")) as child:
        for _ in range(2):
            with pytest.raises(ChildError, match="it ended with status 0"):
                child({"wire": "00" * 500_000})


def test_a_child_that_hangs_runs_into_the_timeout():
    start = time.monotonic()
    hanging = Child(python("import time; time.sleep(60)"), timeout=0.3)
    with hanging as child, pytest.raises(ChildError, match=r"no answer within 0\.3 s"):
        child({})
    assert time.monotonic() - start < 10


def test_a_child_that_answered_before_it_crashed_loses_one_case_only():
    program = (
        "import sys, json\n"
        "for line in sys.stdin:\n"
        "    if 'crash' in line: raise SystemExit('on purpose')\n"
        "    print(json.dumps({'value': 1}), flush=True)"
    )
    with Child(python(program)) as child:
        assert child({"id": "first"}) == {"value": 1}
        with pytest.raises(ChildError, match="on purpose"):
            child({"id": "crash"})
        assert child({"id": "last"}) == {"value": 1}


def test_a_child_that_never_answers_is_given_up():
    with Child(python("import sys; sys.stdin.readline()")) as child:
        for _ in range(MAX_FAILURES):
            with pytest.raises(ChildError, match="it ended"):
                child({})
        with pytest.raises(ChildError, match="not started again"):
            child({})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("'no'", "not JSON"),
        ("'[]'", "not a JSON object"),
        ("'{}\\n{}'", "more than a line"),
        ("'7' * 9999", "not a JSON object|not JSON"),
        (f"' ' * {MAX_LINE + 1}", "an answer of more than"),
    ],
)
def test_what_is_no_answer_is_a_failure(line, why):
    program = (
        f"import sys\nsys.stdin.readline()\nsys.stdout.write({line} + '\\n'); sys.stdout.flush()\nsys.stdin.read()"
    )
    with Child(python(program)) as child, pytest.raises(ChildError, match=why):
        child({})


def test_what_a_child_says_on_stderr_does_not_block_it():
    program = "import sys\nfor line in sys.stdin: sys.stderr.write('x' * 300000); print('{}', flush=True)"
    with Child(python(program)) as child:
        assert child({}) == {}


@pytest.mark.parametrize("command", ["", "   ", "'unbalanced", "/nonexistent/program", "/"])
def test_a_command_that_does_not_start_is_the_callers_mistake(command):
    with pytest.raises(ConformanceError, match="--exec"):
        Child(command)
    gc.collect()  # a leaked file would warn here, and warnings are errors


def test_closing_ends_even_a_child_that_ignores_the_end_of_its_input():
    child = Child(python("import time\nwhile True: time.sleep(60)"))
    process = child._process
    child.close()
    assert process.returncode is not None
    child.close()
