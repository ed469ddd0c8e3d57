"""`ietf-p2p alto validate`: what is wrong with ALTO documents and servers, and by which clause."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import attrs
import click

from alto import media
from alto._json import JsonError, loads
from alto.capabilities import bare_type
from alto.client.fetch import Fetched
from alto.client.reading import check_type
from alto.findings import Finding, Findings, Level
from alto.http import Response
from alto.lint.document import lint_document
from alto.lint.kinds import kind_of_tree
from alto.lint.server import lint_server
from interop.cli import _show
from interop.cli._errors import run
from interop.cli._options import JSON
from interop.cli.alto._client import Access, connected, connects
from interop.cli.alto._documents import get, is_url, read_file

_JSON_TYPES = ("application/json", "text/json", "text/plain")
_LEVELS = {Level.MUST: "broken MUST", Level.SHOULD: "broken SHOULD", Level.NOTE: "note"}
_STYLES = {Level.MUST: "bold red", Level.SHOULD: "yellow", Level.NOTE: "dim"}


@attrs.frozen
class Checked:
    """What was looked at, and what is wrong with it; of a server also where, what was done, and what could not be."""

    name: str
    findings: tuple[tuple[str, Finding], ...]
    note: str = ""
    unchecked: tuple[str, ...] = ()


@click.command(
    epilog="Examples:\n\n\b\n  ietf-p2p alto validate http://127.0.0.1:7285/\n"
    "  ietf-p2p alto validate map.json costs.json --strict\n"
    "  ietf-p2p alto validate request.json --media-type application/alto-endpointcostparams+json"
)
@click.argument("places", metavar="URL|FILE...", nargs=-1, required=True)
@click.option("--media-type", metavar="TYPE", help="What it is. [default: what the server says, or its shape]")
@click.option("--document", "only", is_flag=True, help="Check a directory alone, and do not ask its server anything.")
@click.option("--strict", is_flag=True, help="Exit with status 1 for a broken SHOULD, too.")
@click.option("--quiet", is_flag=True, help="Leave out the notes, which break nothing.")
@JSON
@connects(lenient=False, domains=False)
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
            checked.append(await _check(access, place, media_type, only=only))
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


async def _check(access: Access, place: str, media_type: str | None, *, only: bool) -> Checked:
    if not is_url(place):
        return _document(place, lint_document(read_file(place), media_type))
    async with connected(access, place) as alto:
        fetched = await alto.run(get(alto.client))
        kind = _kind(fetched.response, media_type)
        if only or kind != media.DIRECTORY:
            return _document(place, _lint(fetched, media_type, kind))
        credentials = alto.client.session.credentials
        report = await alto.run(lint_server(alto.client.root_uri, wall=time.time(), credentials=credentials))
    asked = f"{_show.counted(len(report.resources), 'resource')} asked {_show.counted(report.requests, 'question')}"
    return Checked(place, tuple((each.where, each.finding) for each in report.findings), asked, report.unchecked)


def _document(name: str, findings: Sequence[Finding]) -> Checked:
    return Checked(name, tuple(("", finding) for finding in findings))


def _kind(response: Response, media_type: str | None) -> str | None:
    """What is in a response: what the user says it is, what its Content-Type says if that is of ALTO, or its shape."""
    said = bare_type(media_type or response.header("content-type"))
    if said is not None and said not in _JSON_TYPES:
        return said
    try:
        return kind_of_tree(loads(response.body))
    except JsonError:
        return None


def _lint(fetched: Fetched, media_type: str | None, kind: str | None) -> list[Finding]:
    found = lint_document(fetched.response.body, media_type or kind, base_uri=fetched.uri)
    if media_type is None and kind is not None:
        findings = Findings(strict=False)
        check_type(fetched.response, kind, findings)
        found += findings.items
    return found


def _without_notes(checked: Checked) -> Checked:
    kept = tuple((where, finding) for where, finding in checked.findings if finding.level is not Level.NOTE)
    return attrs.evolve(checked, findings=kept)


def _counts(checked: Sequence[Checked]) -> dict[str, int]:
    levels = [finding.level for each in checked for _, finding in each.findings]
    return {str(level): levels.count(level) for level in Level}


def _json(checked: Checked) -> dict[str, Any]:
    return {
        "name": checked.name,
        "unchecked": list(checked.unchecked),
        "findings": [_finding(where, finding) for where, finding in checked.findings],
    }


def _finding(where: str, finding: Finding) -> dict[str, Any]:
    return {
        "where": where or None,
        "level": str(finding.level),
        "path": finding.path,
        "text": finding.text,
        "rfc": finding.rfc,
        "section": finding.section,
    }


def _print(checked: Checked) -> None:
    if not checked.findings:
        _show.line(f"{checked.name}: good", "green")
    else:
        rows: list[list[_show.Cell]] = [
            [
                (str(finding.level).upper(), _STYLES[finding.level]),
                f"RFC {finding.rfc} {finding.section}",
                "\n".join(filter(None, [where, finding.path])) or "(document)",
                finding.text,
            ]
            for where, finding in checked.findings
        ]
        _show.table(["LEVEL", "CLAUSE", "WHERE", "WHAT IS WRONG"], rows, title=checked.name)
    if checked.note:
        _show.line(checked.note)
    for each in checked.unchecked:
        _show.line(f"not checked: {each}", "dim")


def _summary(checked: Sequence[Checked]) -> None:
    counts = _counts(checked)
    words = [_show.counted(counts[level], name) for level, name in _LEVELS.items()]
    _show.line(", ".join(words), "bold red" if counts["must"] else "bold")
