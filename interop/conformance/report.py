"""Write each package's CONFORMANCE.md from its requirements.json: ``python -m interop.conformance.report [--check]``.

A package with many RFCs has a folder `requirements` instead, with a file for each of them, such as rfc7285.json.
``--check`` writes nothing and exits 1 when a CONFORMANCE.md is not what it would write, or a requirements.json is at
fault. It runs in a clone, as it looks at the tests.

How to complete requirements.json
---------------------------------
It has a row for each MUST, MUST NOT, SHOULD, SHOULD NOT, RECOMMENDED and so on in the package's RFCs, in their order;
the sentence that explains these words is left out. A sentence with two of them has two rows. A row is::

    {"id": "7574-3.1-1",           # RFC, section, number in the section; never reused, never renumbered
     "rfc": 7574, "section": "3.1",
     "level": "MUST",              # as the RFC has it
     "text": "The payload ...",    # the sentence, white space normalised, otherwise word for word
     "status": "not done",
     "shown_by": [],
     "note": ""}

Documents that are no RFCs, or of which only the facts were at hand, have a name in `rfc`: see DOCUMENTS. A section
without a number is its heading, whose spaces are hyphens in the id. BEP 29 writes must and should in small letters, and
so does `level`; "rule" is for a statement that binds without any such word. RFC 7069 is an architecture with few of
them: there its plain statements of what has to be are rules, and MAY has rows too.

To turn a row into "done":

1. Find or write the test that fails when the sentence is broken: one that exercises the very clause, not one that runs
   the code by chance. A vector is better than a test wherever another implementation could be asked the same.
2. Name it in `shown_by`. A test is its path in the clone and its name, ``tests/ppsp/test_x.py::test_a_choke_stops``
   (``path::Class::name`` in a class); parameters are left out. A vector is its address, ``ppsp/messages/have-chunk32``;
   ``ietf-p2p conformance ppsp/messages/have-chunk32`` runs it alone. Several may be named.
3. Set `status` to "done". "done" without `shown_by`, and `shown_by` without "done", are faults.
4. Where only a part is met, leave "not done" and say in `note` what is missing; `shown_by` stays empty.
5. "not ours" is for what binds others: authors of extensions, operators, users of the protocol, IANA. `note` says whom.
   It is not for what is merely not implemented.
6. `note` is one line: a decision where the text is open or contradicts itself, or where to look.

Then run this module, read the rows that changed in CONFORMANCE.md, and commit both files. A renamed test shows up here
as a fault. To see what is still open: ``python -m interop.conformance.report --open``.
"""

import argparse
import ast
import json
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import attrs

from interop.conformance._files import ConformanceError, load

KEYWORDS = (
    "MUST",
    "MUST NOT",
    "SHALL",
    "SHALL NOT",
    "REQUIRED",
    "SHOULD",
    "SHOULD NOT",
    "RECOMMENDED",
    "NOT RECOMMENDED",
    "MAY",
)
RULE = "rule"
LEVELS = (*KEYWORDS, "must", "should", RULE)
DOCUMENTS = {
    "bep29": "BEP 29",
    "profile": "PROFILE.md",
    "ledbatpp": "LEDBAT++ (by its facts)",
    "rledbat": "rLEDBAT (by its facts)",
    "rfc9290facts": "RFC 9290 (by its facts)",
    "rfc9439draft": "RFC 9439 (by its draft)",
    "rfc9569draft": "RFC 9569 (by its draft)",
}
ABOUT = {
    "profile": "Every MUST, SHOULD and MAY of the profile that this package defines.",
    "rfc9290facts": "Its text was not at hand: these are the rules of a sheet of facts about it, "
    "`tests/data/rfc/rfc9290-facts.md`. Nothing here says that RFC 9290 is met.",
    "rfc9439draft": "The text at hand was draft-ietf-alto-performance-metrics-28; the RFC may differ in detail.",
    "rfc9569draft": "The text at hand was draft-ietf-alto-new-transport as of December 2023, just before its version "
    "22; the RFC may differ in detail.",
    "ledbatpp": "draft-irtf-iccrg-ledbat-plus-plus-01. Its text was not at hand: these are the rules of a sheet of "
    "facts about it, `tests/data/rfc/ledbat-plus-plus.md`, with the draft's section numbers.",
    "rledbat": "RFC 9840. Its text was not at hand: these are the rules of the same sheet of facts, which has no "
    "section numbers. Nothing here says that RFC 9840 is met.",
}
STATUSES = ("done", "not done", "not ours")

_HEADER = """\
# Conformance of {package}

Every MUST and SHOULD of {rfcs}, and what shows that it is met: a test, or a conformance vector that other
implementations can run as well (`ietf-p2p conformance --exec CMD`). "not done" is meant literally; "not ours" binds
somebody else, as its note says.

Generated from `{source}` by `python -m interop.conformance.report`; do not edit.
"""


@attrs.frozen
class Requirement:
    """A row of requirements.json."""

    id: str
    rfc: int | str
    section: str
    level: str
    text: str
    status: str
    shown_by: tuple[str, ...] = attrs.field(converter=tuple)
    note: str


def read(path: Path) -> list[Requirement]:
    """The rows of a requirements.json, or of every file in a folder of requirements.

    Raises:
        ConformanceError: a file is not a list of such rows.
    """
    if path.is_dir():
        return [row for file in sorted(path.glob("*.json")) for row in read(file)]
    try:
        return [Requirement(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as exc:
        raise ConformanceError(f"{path}: {exc}") from exc


def faults(root: Path, rows: Iterable[Requirement]) -> Iterator[str]:
    """What is wrong with the rows: statuses that do not fit, and tests and vectors that are not there."""
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            yield f"{row.id}: the id is used twice"
        seen.add(row.id)
        if isinstance(row.rfc, str) and row.rfc not in DOCUMENTS:
            yield f"{row.id}: no such document: {row.rfc}"
        if not row.id.startswith(f"{row.rfc}-{row.section.replace(' ', '-')}-"):
            yield f"{row.id}: not an id of {_title(row.rfc)} section {row.section}"
        known = (*KEYWORDS, RULE) if isinstance(row.rfc, int) else LEVELS
        if row.level not in known or (row.level != RULE and row.level not in row.text):
            yield f"{row.id}: level {row.level!r} is not in the text"
        if row.status not in STATUSES:
            yield f"{row.id}: status {row.status!r} is none of {', '.join(STATUSES)}"
        if (row.status == "done") != bool(row.shown_by):
            yield f"{row.id}: {row.status!r} with {len(row.shown_by)} in shown_by"
        if row.status == "not ours" and not row.note:
            yield f"{row.id}: 'not ours' without a note"
        yield from (f"{row.id}: no such test or vector: {name}" for name in row.shown_by if not _exists(root, name))


def _exists(root: Path, name: str) -> bool:
    path, separator, test = name.partition("::")
    if separator:
        return test in _tests_in(root / path)
    protocol, _, rest = name.partition("/")
    topic, _, case_id = rest.partition("/")
    return case_id in _cases_in(root / protocol / "vectors" / f"{topic}.json")


@cache
def _tests_in(path: Path) -> frozenset[str]:
    """The names of the tests in a file, found without running it."""
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            names.update(f"{node.name}::{each.name}" for each in node.body if isinstance(each, _FUNCTIONS))
        elif isinstance(node, _FUNCTIONS):
            names.add(node.name)
        elif isinstance(node, ast.Assign):  # TestX = SomeStateMachine.TestCase, of Hypothesis
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return frozenset(name for name in names if name.split("::")[-1].lower().startswith("test"))


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def _cases_in(path: Path) -> frozenset[str]:
    return frozenset(case.id for case in load(path).cases) if path.is_file() else frozenset()


def render(source: Path, rows: list[Requirement]) -> str:
    """The text of the CONFORMANCE.md that goes with a requirements.json or a folder of requirements."""
    package = source.parent.name
    rfcs = list(dict.fromkeys(row.rfc for row in rows))
    titles = _enumerated([_title(rfc) for rfc in rfcs])
    parts = [_HEADER.format(package=package, rfcs=titles, source=source.name), _summary(rows)]
    for rfc in rfcs:
        about = f"{ABOUT[rfc]}\n\n" if isinstance(rfc, str) and rfc in ABOUT else ""
        parts.append(f"\n## {_title(rfc)}\n\n{about}| id | level | requirement | shown by |\n|---|---|---|---|\n")
        parts.extend(_row(row) for row in rows if row.rfc == rfc)
    return "".join(parts)


def _summary(rows: list[Requirement]) -> str:
    lines = ["\n| | level | done | not done | not ours | all |\n|---|---|---:|---:|---:|---:|\n"]
    for rfc, level in dict.fromkeys((row.rfc, row.level) for row in sorted(rows, key=_order)):
        these = [row.status for row in rows if (row.rfc, row.level) == (rfc, level)]
        counts = " | ".join(str(these.count(status)) for status in STATUSES)
        lines.append(f"| {_title(rfc)} | {level} | {counts} | {len(these)} |\n")
    return "".join(lines)


def _order(row: Requirement) -> tuple[bool, int | str, int]:
    return isinstance(row.rfc, str), row.rfc, LEVELS.index(row.level)


def _title(rfc: int | str) -> str:
    return f"RFC {rfc}" if isinstance(rfc, int) else DOCUMENTS.get(rfc, rfc)


def _enumerated(titles: list[str]) -> str:
    *most, last = titles
    return f"{', '.join(most)} and {last}" if most else last


def _row(row: Requirement) -> str:
    shown = "<br>".join(f"`{name}`" for name in row.shown_by) or row.status
    note = f"{'<br>' if shown else ''}{_cell(row.note)}" if row.note else ""
    return f"| {row.id} | {row.level} | {_cell(row.text)} | {shown}{note} |\n"


def _cell(text: str) -> str:
    return re.sub(r"([\\|*<])", r"\\\1", text)


def main(arguments: list[str] | None = None) -> int:
    """Write or check every CONFORMANCE.md; 0, or 1 when something is at fault."""
    parser = argparse.ArgumentParser(prog="python -m interop.conformance.report", description="Write CONFORMANCE.md.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 when a file is not up to date")
    parser.add_argument("--open", action="store_true", help="print the rows that are not done, and write nothing")
    parser.add_argument("--root", type=Path, default=Path(), help="the clone (default: the current directory)")
    options = parser.parse_args(arguments)
    sources = sorted([*options.root.glob("*/requirements.json"), *options.root.glob("*/requirements")])
    if not sources:
        print(f"no */requirements.json and no */requirements in {options.root.resolve()}", file=sys.stderr)
        return 1
    problems = [problem for source in sources for problem in _process(source, options)]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _process(source: Path, options: Any) -> list[str]:
    """Handle one package as the options say, and return what is wrong."""
    try:
        rows = read(source)
        found = [f"{source}: {fault}" for fault in faults(options.root, rows)]
    except ConformanceError as exc:
        return [str(exc)]
    if options.open:
        print("".join(f"{row.id} {row.level}: {row.text}\n" for row in rows if row.status == "not done"), end="")
        return found
    if found:
        return found
    target = source.with_name("CONFORMANCE.md")
    text = render(source, rows)
    if not options.check:
        target.write_text(text, encoding="utf-8")
    elif not target.is_file() or target.read_text(encoding="utf-8") != text:
        return [f"{target}: not up to date: run python -m interop.conformance.report"]
    return []


if __name__ == "__main__":
    sys.exit(main())
