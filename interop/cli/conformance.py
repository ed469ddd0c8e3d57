"""``ietf-p2p conformance``: run the conformance vectors."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import click

from interop.conformance import DEFAULT_TIMEOUT, Child, ConformanceError, Result, Status, VectorFile, load, run, select

_EPILOG = """\b
Examples:
  ietf-p2p conformance ppsp/messages
  ietf-p2p conformance ppsp --exec 'node answer.js' --junit results.xml
"""
_COLOURS = {Status.PASSED: "green", Status.FAILED: "red", Status.SKIPPED: "yellow"}


class _MistakeError(click.ClickException):
    """A mistake of the user: one line, exit status 2."""

    exit_code = 2


@click.command("conformance", epilog=_EPILOG)
@click.argument("selection", required=False, metavar="[PROTOCOL[/TOPIC[/CASE]]]")
@click.option("--file", "files", multiple=True, type=Path, metavar="FILE", help="Run the vectors of this file instead.")
@click.option("--exec", "program", metavar="CMD", help="Ask this program instead of our own packages.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=DEFAULT_TIMEOUT,
    show_default=True,
    metavar="SECONDS",
    help="How long --exec may take to answer.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as one JSON object.")
@click.option("--junit", type=Path, metavar="FILE", help="Write the results as JUnit XML too.")
def command(
    selection: str | None,
    files: tuple[Path, ...],
    program: str | None,
    timeout: float,
    as_json: bool,
    junit: Path | None,
) -> None:
    """Run the conformance vectors against this implementation, or against another one.

    With --exec, CMD is asked one JSON object a line on its standard input and answers with one on its standard output:
    "decode" with {"value": ...}, "encode" with {"wire": "hex"}, "call" and "trace" with {"value": ...}; or to any of
    them {"rejected": "why"} or {"unsupported": true}, which skips the case.

    Exits 0 when no case fails, 1 when one does, 2 on a mistake.
    """
    if selection and files:
        raise _MistakeError("give a selection or --file, not both")
    try:
        vectors = [load(path) for path in files] if files else select(selection)
        with closing(Child(program, timeout=timeout)) if program else nullcontext() as child:
            results = list(run(vectors, child))
    except ConformanceError as exc:
        lines = str(exc).splitlines()
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        raise _MistakeError(lines[0] + more) from exc
    if junit:
        _write_junit(junit, results)
    if as_json:
        click.echo(json.dumps(_summary(vectors, results), indent=2))
    else:
        _print_table(results)
    if any(result.status is Status.FAILED for result in results):
        raise SystemExit(1)


def _counts(results: Iterable[Result]) -> dict[Status, int]:
    counts = dict.fromkeys(Status, 0)
    for result in results:
        counts[result.status] += 1
    return counts


def _by_section(results: Iterable[Result]) -> dict[tuple[str, str], list[Result]]:
    """The results by document and section, in the document's order; a case counts in each section that it names."""
    sections: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        for key in dict.fromkeys((spec.document, spec.section) for spec in result.case.spec):
            sections.setdefault(key, []).append(result)
    return dict(sorted(sections.items(), key=lambda item: (item[0][0], _natural(item[0][1]))))


def _natural(section: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (1 << 16, part) for part in re.split(r"\.", section)]


def _print_table(results: list[Result]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    table = Table("document", "section", *(status.value for status in Status), box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for (document, section), members in _by_section(results).items():
        table.add_row(document.upper(), section, *_cells(_counts(members)))
    table.add_section()
    table.add_row("all cases", "", *_cells(_counts(results)))
    console.print(table)
    for result in results:
        if result.status is not Status.PASSED:
            colour = _COLOURS[result.status]
            line = f"{escape(result.case.address)} ({result.case.level}): {escape(result.reason)}"
            console.print(f"[{colour}]{result.status.value}[/] {line}", soft_wrap=True)


def _cells(counts: dict[Status, int]) -> list[str]:
    return [f"[{_COLOURS[status]}]{count}[/]" if count else "0" for status, count in counts.items()]


def _summary(vectors: list[VectorFile], results: list[Result]) -> dict[str, Any]:
    return {
        "topics": [f"{file.protocol}/{file.topic}" for file in vectors],
        **{status.value: count for status, count in _counts(results).items()},
        "sections": [
            {"document": document, "section": section, **{status.value: n for status, n in _counts(members).items()}}
            for (document, section), members in _by_section(results).items()
        ],
        "cases": [
            {
                "case": result.case.address,
                "spec": [{spec.document: spec.section} for spec in result.case.spec],
                "level": result.case.level,
                "status": result.status.value,
                "reason": result.reason,
                "seconds": round(result.seconds, 6),
            }
            for result in results
        ],
    }


def _write_junit(path: Path, results: list[Result]) -> None:
    root = ET.Element("testsuites")
    topics = dict.fromkeys(f"{result.case.protocol}/{result.case.topic}" for result in results)
    for topic in topics:
        members = [result for result in results if result.case.address.startswith(f"{topic}/")]
        counts = _counts(members)
        suite = ET.SubElement(
            root,
            "testsuite",
            name=topic,
            tests=str(len(members)),
            failures=str(counts[Status.FAILED]),
            errors="0",
            skipped=str(counts[Status.SKIPPED]),
            time=f"{sum(result.seconds for result in members):.6f}",
        )
        for result in members:
            case = ET.SubElement(
                suite, "testcase", classname=topic.replace("/", "."), name=result.case.id, time=f"{result.seconds:.6f}"
            )
            if result.status is not Status.PASSED:
                tag = "failure" if result.status is Status.FAILED else "skipped"
                ET.SubElement(case, tag, message=result.reason)
    try:
        ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as exc:
        raise _MistakeError(f"{path}: {exc.strerror}") from exc
