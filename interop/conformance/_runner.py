"""Run cases against an implementation: anything that answers the requests of the ``--exec`` protocol.

The packages of this distribution are asked through the same requests as a foreign process, so that a case means one
thing only. ``python -m interop.conformance._runner [SELECTION]`` prints a plain list of the failures.
"""

import enum
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import attrs

from interop.conformance._compare import difference, prefix_fault
from interop.conformance._exec import ChildError
from interop.conformance._files import Case, ConformanceError, VectorFile, select


class Implementation(Protocol):
    """Answers one request (see `interop.conformance._exec`), both being JSON objects."""

    def __call__(self, request: dict[str, Any], /) -> dict[str, Any]: ...


class Status(enum.Enum):
    """What became of a case."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@attrs.frozen
class Result:
    """A case that was run: why it failed or was skipped, and how long it took."""

    case: Case
    status: Status
    reason: str
    seconds: float


class _FailedError(Exception):
    pass


class _UnsupportedError(Exception):
    pass


def local(protocol: str) -> Implementation:
    """The implementation of a protocol in this distribution.

    Raises:
        ConformanceError: there is none.
    """
    match protocol:
        case "alto":
            from interop.conformance._alto import answer as alto_answer

            return alto_answer
        case "decade":
            from interop.conformance._decade import answer as decade_answer

            return decade_answer
        case "ppsp":
            from interop.conformance._ppsp import answer as ppsp_answer

            return ppsp_answer
        case "ledbat":
            from interop.conformance._ledbat import answer as ledbat_answer

            return ledbat_answer
        case "reload":
            from interop.conformance._reload import answer as reload_answer

            return reload_answer
    raise ConformanceError(f"this distribution has no implementation of {protocol!r}: name one with --exec")


def run(files: Iterable[VectorFile], implementation: Implementation | None = None) -> Iterator[Result]:
    """Run every case of the files, against our own packages unless an implementation is given.

    Raises:
        ConformanceError: a file's protocol has no implementation here and none was given.
    """
    for file in files:
        subject = implementation or local(file.protocol)
        for case in file.cases:
            yield check(case, subject)


def check(case: Case, implementation: Implementation) -> Result:
    """Run one case."""
    start = time.perf_counter()
    status, reason = Status.PASSED, ""
    try:
        _CHECKS[case.op](case, implementation)
    except _FailedError as exc:
        status, reason = Status.FAILED, str(exc)
    except _UnsupportedError as exc:
        status, reason = Status.SKIPPED, str(exc)
    return Result(case, status, _printable(reason), time.perf_counter() - start)


def _ask(case: Case, implementation: Implementation, op: str, expected: str, **body: Any) -> dict[str, Any]:
    """The answer to a request: it has the member `expected`, or "rejected"."""
    try:
        answer = implementation({"id": case.id, "op": op, "params": case.params, **body})
    except ChildError as exc:
        raise _FailedError(f"{op}: {exc}") from exc
    except Exception as exc:  # whatever the implementation under test raises is its failure
        raise _FailedError(f"{op}: {type(exc).__name__}: {exc}") from exc
    if answer.get("unsupported") is True:
        raise _UnsupportedError(f"{op}: unsupported")
    if expected not in answer and "rejected" not in answer:
        raise _FailedError(f"{op}: an answer with none of {expected!r}, 'rejected' and 'unsupported': {answer!r:.200}")
    return answer


def _check_codec(case: Case, implementation: Implementation) -> None:
    wire = bytes.fromhex(case.body["wire"])
    _expect(case, _ask(case, implementation, "decode", "value", wire=wire.hex()), "decode")
    if case.result != "valid":
        return
    _check_truncation(case, implementation, wire)
    if case.body.get("canonical", True):
        answer = _ask(case, implementation, "encode", "wire", value=case.body["value"])
        if answer.get("wire") != wire.hex():
            raise _FailedError(f"encode: {answer.get('wire', answer)} instead of {wire.hex()}")


def _check_truncation(case: Case, implementation: Implementation, wire: bytes) -> None:
    rule = case.params.get("truncation", "refuse")
    if rule == "unchecked":
        return
    for size in range(len(wire)):
        answer = _ask(case, implementation, "decode", "value", wire=wire[:size].hex())
        if rule == "prefix":
            fault = prefix_fault(case.body["value"], answer.get("value"), refused="rejected" in answer)
        else:
            fault = None if "rejected" in answer else "accepted"
        if fault:
            raise _FailedError(f"decode of the first {size} of {len(wire)} octets: {fault}")


def _check_call(case: Case, implementation: Implementation) -> None:
    _expect(case, _ask(case, implementation, "call", "value", args=case.body["args"]), "call")


def _expect(case: Case, answer: dict[str, Any], what: str) -> None:
    """Hold an answer against the case's result and value."""
    rejected = "rejected" in answer
    if rejected and case.result == "acceptable":
        return
    if rejected != (case.result == "invalid"):
        raise _FailedError(
            f"{what}: rejected: {answer['rejected']}" if rejected else f"{what}: accepted as {_shown(answer)}"
        )
    if "value" not in case.body:
        return
    if "value" not in answer:
        raise _FailedError(f"{what}: rejected as it should, but without what counts in spite of it")
    found = difference(case.body["value"], answer["value"])
    if found:
        raise _FailedError(f"{what}: {found}")


def _check_trace(case: Case, implementation: Implementation) -> None:
    steps = case.body["steps"]
    asked = [{"at": step["at"], "do": step["do"], "observe": sorted(step.get("expect", {}))} for step in steps]
    answer = _ask(case, implementation, "trace", "value", steps=asked)
    if "rejected" in answer:
        raise _FailedError(f"trace: rejected: {answer['rejected']}")
    outcomes = answer["value"]
    if not isinstance(outcomes, list) or len(outcomes) != len(steps):
        raise _FailedError(f"trace: {len(steps)} steps need a list of as many outcomes, not {outcomes!r:.200}")
    for number, (step, outcome) in enumerate(zip(steps, outcomes, strict=True), start=1):
        fault = _step_fault(step.get("expect", {}), outcome)
        if fault:
            raise _FailedError(f"step {number} at {step['at']} us, {', '.join(step['do'])}: {fault}")


def _step_fault(expect: dict[str, Any], outcome: Any) -> str | None:
    if not isinstance(outcome, dict):
        return f"an outcome is an object, not {outcome!r:.200}"
    if "rejected" in outcome and "rejected" not in expect:
        return f"rejected: {outcome['rejected']}"
    for name, expected in expect.items():
        if name not in outcome:
            return f"{name} is missing"
        found = difference(expected, outcome[name], name, ranges=True)
        if found:
            return found
    return None


def _printable(text: str) -> str:
    """The text without what could steer a terminal or spoil XML: parts of it are another implementation's words."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _shown(answer: dict[str, Any]) -> str:
    return f"{answer.get('value')!r:.200}"


_CHECKS = {"codec": _check_codec, "call": _check_call, "trace": _check_trace}


def _main(selection: str | None) -> int:
    try:
        results = list(run(select(selection)))
    except ConformanceError as exc:
        print(exc, file=sys.stderr)
        return 2
    for result in results:
        if result.status is not Status.PASSED:
            print(f"{result.status.value} {result.case.address}: {result.reason}")
    counts = {status: sum(result.status is status for result in results) for status in Status}
    print(", ".join(f"{count} {status.value}" for status, count in counts.items()))
    return 1 if counts[Status.FAILED] else 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1] if len(sys.argv) > 1 else None))
