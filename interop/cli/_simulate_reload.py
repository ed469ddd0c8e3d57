"""``ietf-p2p simulate reload``: an overlay of RELOAD peers in virtual time."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from interop.cli._errors import FailureError, MistakeError, reason
from interop.cli._progress import LINE_SECONDS, duration, note, rich_progress

if TYPE_CHECKING:
    from interop.reload_simulation import Condition, Operations, Report, Scenario
    from interop.reload_simulation._run import Progress

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
MAX_PEERS = 100_000


class _Duration(click.ParamType[float | None]):
    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([smh]?)", str(value))
        if match is None or not float(match[1]):
            self.fail(f"{value!r} is not a time such as 90s, 30m or 2h", param, ctx)
        return float(match[1]) * _UNITS[match[2]]


class _Churn(_Duration):
    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        return None if value == "none" else super().convert(value, param, ctx)


@click.command(
    "reload",
    epilog="\b\nExample:\n  ietf-p2p simulate reload --peers 256 --churn 30m --maintenance periodic --plot overlay.svg",
)
@click.option(
    "--peers", type=click.IntRange(1, MAX_PEERS), default=128, show_default=True, help="Peers of the overlay."
)
@click.option(
    "--churn",
    type=_Churn(),
    default="none",
    show_default=True,
    metavar="TIME|none",
    help="Mean time that a peer stays, such as 30m; another one comes when it goes.",
)
@click.option(
    "--maintenance",
    type=click.Choice(["reactive", "periodic", "self-tuning"]),
    default="reactive",
    show_default=True,
    help="How tables are kept in order: CHORD-RELOAD's two ways, or RFC 7363.",
)
@click.option(
    "--lookups",
    type=click.FloatRange(0, 1000),
    default=2.0,
    show_default=True,
    metavar="RATE",
    help="Lookups a second, of all peers together; a tenth as many Stores go with them.",
)
@click.option(
    "--duration",
    "seconds",
    type=_Duration(),
    default="10m",
    show_default=True,
    metavar="TIME",
    help="Virtual time of lookups and churn, after the overlay has settled.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same one gives the same run.")
@click.option(
    "--signatures",
    type=click.Choice(["null", "p256", "rsa"]),
    default="null",
    show_default=True,
    help="Real ones, or null: of the size of P-256's.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object instead of a table.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Draw the run: .svg, .png or .pdf."
)
def reload(
    peers: int,
    churn: float | None,
    maintenance: str,
    lookups: float,
    seconds: float,
    seed: int,
    signatures: str,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Run an overlay of RELOAD peers (RFC 6940): they join, store values, look them up, leave and crash.

    The nodes and their messages are the real ones; time is virtual. Every answer is compared with what was stored.

    Exits 0 when no value was lost and the ring is right in the end, 1 otherwise, 2 on a mistake.
    """
    try:
        from interop.reload_simulation import Maintenance, NotSettledError, Scenario, Signatures, run
    except ModuleNotFoundError as error:
        raise MistakeError(f"overlays need {error.name}: pip install 'ietf-p2p[simulate]'") from error
    if plot is not None:
        _check_plot(plot)
    scenario = Scenario(
        peers=peers,
        seed=seed,
        maintenance=Maintenance(maintenance),
        signatures=Signatures(signatures),
        duration=seconds,
        lookups=lookups,
        stores=lookups / 10,
        mean_session=churn,
    )
    with _progress(scenario) as progress:
        try:
            report = run(scenario, progress)
        except NotSettledError as error:
            raise FailureError(f"the overlay did not settle: {error}") from error
    if plot is not None:
        _draw(report, plot)
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        _print(report)
    if not report.is_sound:
        raise SystemExit(1)


def _check_plot(path: Path) -> None:
    """Before the work begins."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise MistakeError(f"plots need {error.name}: pip install 'ietf-p2p[simulate]'") from error
    if path.suffix.lower() not in (".svg", ".png", ".pdf"):
        raise MistakeError(f"--plot {path}: the name has to end with .svg, .png or .pdf")
    if not path.parent.is_dir():
        raise MistakeError(f"--plot {path}: there is no directory {path.parent}")


def _draw(report: Report, path: Path) -> None:
    from interop.reload_simulation._plot import draw

    try:
        draw(report, path)
    except OSError as error:
        raise FailureError(f"{path}: {reason(error)}") from error


@contextmanager
def _progress(scenario: Scenario) -> Iterator[Progress]:
    """A bar on a terminal, a line now and then elsewhere; on stderr."""
    if sys.stderr.isatty():
        with rich_progress() as bar:
            task = bar.add_task("overlay", total=1.0, state="")
            yield lambda phase, done: bar.update(task, completed=done, state=f"{100 * done:.0f} %  {phase}")
        return
    yield _lines()


def _lines() -> Progress:
    from time import monotonic

    due = monotonic() + LINE_SECONDS

    def show(phase: str, done: float) -> None:
        nonlocal due
        if monotonic() >= due:
            due = monotonic() + LINE_SECONDS
            note(f"overlay: {100 * done:.0f} %, {phase}")

    return show


def _print(report: Report) -> None:
    scenario = report.scenario
    session = "no churn" if scenario.mean_session is None else f"mean session {duration(scenario.mean_session)}"
    console = Console()
    table = Table(title=f"{scenario.peers} peers, {scenario.maintenance}, {session}", show_header=False)
    table.add_row("settled after", f"{duration(report.settled_after)} ({report.settled_cpu_seconds:.1f} s of CPU)")
    for name, operations in (("lookups", report.lookups), ("stores", report.stores)):
        if operations.count:
            _add_operations(table, name, operations)
    table.add_section()
    table.add_row(
        "maintenance a node",
        f"{report.octets:.0f} octets/s, {sum(report.maintenance_messages.values()):.2f} messages/s",
    )
    for name, octets in list(report.maintenance_octets.items())[:6]:
        table.add_row(f"  {name}", f"{octets:.1f} octets/s, {report.maintenance_messages[name]:.3f} messages/s")
    for name, figures in report.tables.items():
        table.add_row(name, f"mean {figures.mean:.1f}, max {figures.max:.0f}")
    for name, figures in report.estimates.items():
        table.add_row(f"estimated {name}", f"mean {figures.mean:.3g}, max {figures.max:.3g}")
    table.add_section()
    table.add_row(
        "joins",
        f"mean {report.joins.mean:.1f} s, max {report.joins.max:.1f} s; "
        f"{sum(report.failed_joins.values())} attempts failed",
    )
    table.add_row("departures", str(report.departures))
    _add_condition(table, report.after)
    table.add_row(
        "messages", f"{report.messages} in {report.cpu_seconds:.1f} s of CPU, {report.memory_octets / 1e6:.0f} MB"
    )
    table.add_row("digest", report.digest[:16])
    console.print(table)


def _add_operations(table: Table, name: str, operations: Operations) -> None:
    table.add_section()
    table.add_row(
        name, f"{operations.count}: {100 * operations.success:.2f} % right, {100 * operations.first_try:.2f} % at once"
    )
    table.add_row(
        "  hops", f"mean {operations.hops.mean:.2f}, p99 {operations.hops.p99:.0f}, max {operations.hops.max:.0f}"
    )
    table.add_row("  stale hops", f"{100 * operations.stale_hops:.2f} %")
    table.add_row(
        "  seconds",
        f"mean {operations.seconds.mean:.2f}, p99 {operations.seconds.p99:.2f}, max {operations.seconds.max:.2f}",
    )


def _add_condition(table: Table, after: Condition) -> None:
    wrong = after.wrong_successors + after.wrong_predecessors
    table.add_row("ring", "right" if not wrong else f"[bold red]wrong neighbors: {wrong}[/]")
    lost = f"[bold red]{after.lost} lost[/]" if after.lost else "none lost"
    table.add_row(
        "values",
        f"{after.values}, {lost}, {after.misplaced} not at their owner, {after.short} with fewer than 3 copies",
    )
