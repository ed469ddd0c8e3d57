"""``ietf-p2p simulate``: experiments in virtual time."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from interop.cli._errors import FailureError, MistakeError, reason
from interop.cli._simulate_reload import reload
from interop.experiments import GATES, LEGEND, Gate, Result, Verdict
from interop.experiments._report import as_json, number
from interop.experiments._result import Note

_STYLES = {Verdict.MET: "green", Verdict.DOCUMENTED: "yellow", Verdict.MISSED: "bold red", Verdict.REPORTED: "dim"}


@click.group("simulate", epilog="Example:\n\n\b\n  ietf-p2p simulate ledbat latecomer --out plots")
def command() -> None:
    """Run an experiment in virtual time, and plot it."""


command.add_command(reload)


@command.command("ledbat", epilog="\b\nExamples:\n  ietf-p2p simulate ledbat --list\n  ietf-p2p simulate ledbat E3")
@click.argument("scenario", required=False)
@click.option("--list", "listing", is_flag=True, help="List the scenarios.")
@click.option("--quick", is_flag=True, help="Only the part that is worth most.")
@click.option("--json", "as_json_", is_flag=True, help="Print the result as one JSON object instead of a table.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("simulate-out"),
    show_default=True,
    metavar="DIR",
    help="Where to write SCENARIO.json, .png and .svg.",
)
def ledbat(scenario: str | None, listing: bool, quick: bool, as_json_: bool, out: Path) -> None:
    """Run an experiment with LEDBAT and its competitors over a simulated bottleneck.

    SCENARIO is a gate's number or name, such as E3 or latecomer. It writes the figures with their bars and the course
    of the runs as JSON, and throughput, queueing delay and window over time as PNG and SVG.

    Exits 0 when every figure meets its bar or misses it as documented, 1 otherwise, 2 on a mistake.
    """
    if listing:
        _list(as_json_)
        return
    gate = _gate(scenario)
    try:
        from interop.experiments import _plot
    except ModuleNotFoundError as error:
        raise MistakeError(f"plots need {error.name}: pip install 'ietf-p2p[simulate]'") from error
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MistakeError(f"--out {out}: {reason(error)}") from error
    with _progress(gate) as note:
        result = gate.run(quick=quick, note=note)
    try:
        text = json.dumps(as_json(result))
        paths = [out / f"{gate.id}.json", *_plot.write(result, out)]
        paths[0].write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise FailureError(f"{out}: {reason(error)}") from error
    if as_json_:
        click.echo(text)
    else:
        _print(result, paths)
    if not result.passed:
        raise SystemExit(1)


def _gate(scenario: str | None) -> Gate:
    if scenario is None:
        raise MistakeError("which scenario? 'ietf-p2p simulate ledbat --list' names them")
    for gate in GATES.values():
        if scenario.lower() in (gate.id.lower(), gate.slug):
            return gate
    raise MistakeError(f"no scenario {scenario!r}; 'ietf-p2p simulate ledbat --list' names them")


def _list(as_json_: bool) -> None:
    if as_json_:
        click.echo(json.dumps([{"id": gate.id, "name": gate.slug, "about": gate.about} for gate in GATES.values()]))
        return
    table = Table("gate", "name", "about")
    for gate in GATES.values():
        table.add_row(gate.id, gate.slug, gate.about)
    Console().print(table)


@contextmanager
def _progress(gate: Gate) -> Iterator[Note]:
    """A bar on a terminal, a line a run elsewhere; on stderr."""
    if not sys.stderr.isatty():
        yield lambda what: print(f"{gate.id}: {what}", file=sys.stderr)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(gate.id, total=gate.runs)

        def note(what: str) -> None:
            progress.update(task, advance=1, description=f"{gate.id}: {what}")

        yield note


def _print(result: Result, paths: list[Path]) -> None:
    table = Table("figure", "measured", "bar", "", title=f"{result.gate}: {result.title}")
    notes: list[str] = []
    for metric in result.metrics:
        style, verdict = _STYLES[metric.verdict], metric.verdict.value
        if metric.verdict is Verdict.DOCUMENTED:
            if metric.why not in notes:
                notes.append(metric.why)
            verdict += f" [{notes.index(metric.why) + 1}]"
        # A bracket would be taken for rich's markup.
        table.add_row(
            metric.name, number(metric.value), metric.bar, f"[{style}]{verdict.replace('[', chr(92) + '[')}[/]"
        )
    console = Console()
    console.print(table)
    for index, why in enumerate(notes, 1):
        console.print(f"[{index}] {why}.", markup=False, highlight=False)
    console.print(LEGEND, markup=False, highlight=False)
    console.print(f"written: {', '.join(map(str, paths))}", markup=False, highlight=False, soft_wrap=True)
