"""`ietf-p2p alto validate`: what is wrong with ALTO documents and servers, and by which clause."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import attrs
import click

from alto import media
from alto.capabilities import bare_type
from alto.findings import Finding, Level
from alto.lint.document import lint_document
from alto.lint.server import lint_server
from interop.cli._errors import run
from interop.cli._options import JSON
from interop.cli.alto import _show
from interop.cli.alto._client import Access, connected, connects
from interop.cli.alto._documents import get, is_url, read_file

_STYLES = {Level.MUST: "bold red", Level.SHOULD: "yellow", Level.NOTE: "dim"}


@attrs.frozen
class Checked:
    """What was looked at, and what is wrong with it; for a whole server what was done, and what could not be."""

    name: str
    findings: tuple[Finding, ...]
    note: str = ""
    unchecked: tuple[str, ...] = ()


@click.command(
    epilog="Examples:\n\n\b\n  ietf-p2p alto validate http://127.0.0.1:8080/\n"
    "  ietf-p2p alto validate map.json costs.json --strict\n"
    "  ietf-p2p alto validate request.json --media-type application/alto-endpointcostparams+json"
)
@click.argument("places", metavar="URL|FILE...", nargs=-1, required=True)
@click.option("--media-type", metavar="TYPE", help="What it is. [default: what the server says, or its shape]")
@click.option("--document", "only", is_flag=True, help="Check a directory alone, and do not ask its server anything.")
@click.option("--strict", is_flag=True, help="Exit with status 1 for a broken SHOULD, too.")
@click.option("--quiet", is_flag=True, help="Leave out the notes, which break nothing.")
@JSON
@connects(lenient=False)
def command(
    places: tuple[str, ...],
    media_type: str | None,
    only: bool,
    strict: bool,
    quiet: bool,
    as_json: bool,
    access: Access,
) -> int:
    """Check ALTO documents and servers against the RFCs, and name the clause of each deviation.

    A FILE holds a document, a request, a recorded event stream or a multipart message; '-' is standard input. A URL is
    that of one document, or of a directory: then the whole server is checked, by some thirty questions, right and
    wrong, for each of its resources. Exits with status 1 where a MUST is broken.
    """
    checked: list[Checked] = []

    async def work() -> int:
        for place in places:
            checked.extend(await _check(access, place, media_type, only=only))
        return 0

    run(work())
    if quiet:
        checked = [_without_notes(each) for each in checked]
    if as_json:
        _show.as_json({"documents": [_json(each) for each in checked], **_counts(checked)})
    else:
        for each in checked:
            _print(each)
        _summary(checked)
    counts = _counts(checked)
    is_bad = counts["must"] or (strict and counts["should"])
    return 1 if is_bad else 0


async def _check(access: Access, place: str, media_type: str | None, *, only: bool) -> list[Checked]:
    if not is_url(place):
        return [Checked(place, tuple(lint_document(read_file(place), media_type)))]
    async with connected(access, place) as alto:
        fetched = await alto.run(get(alto.client))
        said = media_type or fetched.response.header("content-type")
        if only or bare_type(said) != media.DIRECTORY:
            return [Checked(place, tuple(lint_document(fetched.response.body, said, base_uri=fetched.uri)))]
        credentials = alto.client.session.credentials
        report = await alto.run(lint_server(alto.client.root_uri, wall=time.time(), credentials=credentials))
    found: dict[str, list[Finding]] = {}
    for each in report.findings:
        found.setdefault(each.where, []).append(each.finding)
    note = f"{_show.counted(len(report.resources), 'resource')} asked {_show.counted(report.requests, 'question')}"
    return [
        Checked(place, (), note, report.unchecked),
        *(Checked(f"{place} {where}", tuple(findings)) for where, findings in found.items()),
    ]


def _without_notes(checked: Checked) -> Checked:
    return attrs.evolve(checked, findings=tuple(each for each in checked.findings if each.level is not Level.NOTE))


def _counts(checked: Sequence[Checked]) -> dict[str, int]:
    levels = [finding.level for each in checked for finding in each.findings]
    return {str(level): levels.count(level) for level in Level}


def _json(checked: Checked) -> dict[str, Any]:
    return {
        "name": checked.name,
        "unchecked": list(checked.unchecked),
        "findings": [_finding(finding) for finding in checked.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "level": str(finding.level),
        "path": finding.path,
        "text": finding.text,
        "rfc": finding.rfc,
        "section": finding.section,
    }


def _print(checked: Checked) -> None:
    if checked.note:
        _show.line(f"{checked.name}: {checked.note}")
        for each in checked.unchecked:
            _show.line(f"  not checked: {each}", "dim")
    elif not checked.findings:
        _show.line(f"{checked.name}: good", "green")
    else:
        rows: list[list[_show.Cell]] = [
            [
                (str(finding.level).upper(), _STYLES[finding.level]),
                f"RFC {finding.rfc} {finding.section}",
                finding.path or "(document)",
                finding.text,
            ]
            for finding in checked.findings
        ]
        _show.table(["LEVEL", "CLAUSE", "PATH", "WHAT IS WRONG"], rows, title=checked.name)


def _summary(checked: Sequence[Checked]) -> None:
    counts = _counts(checked)
    words = [
        f"{counts['must']} MUST broken",
        f"{counts['should']} SHOULD broken",
        _show.counted(counts["note"], "note"),
    ]
    _show.line(", ".join(words), "bold red" if counts["must"] else "bold")
