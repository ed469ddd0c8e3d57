"""Reactive, periodic and self-tuning maintenance of an overlay beside each other: gate R9."""

from collections.abc import Sequence

from interop.experiments._result import Metric, Note, Result
from interop.reload_simulation import Maintenance, Report, Scenario, run

SESSION = 1800.0
"""Seconds that peers stay in the mean."""
_PEERS = 128


def _silent(what: str) -> None:
    """Nobody wants to know."""


def compare(*, quick: bool = False, note: Note = _silent) -> list[Report]:
    """The same churn and the same lookups, with each kind of maintenance."""
    reports: list[Report] = []
    for maintenance in Maintenance:
        note(maintenance)
        reports.append(
            run(
                Scenario(
                    peers=24 if quick else _PEERS,
                    maintenance=maintenance,
                    mean_session=SESSION,
                    duration=300.0 if quick else 1800.0,
                    lookups=4.0,
                    stores=0.4,
                )
            )
        )
    return reports


def maintenance(*, quick: bool = False, note: Note = _silent) -> Result:
    """R9: compare them."""
    return judge(compare(quick=quick, note=note))


def judge(reports: Sequence[Report]) -> Result:
    """Whether each is good enough."""
    metrics: list[Metric] = []
    for report in reports:
        label = report.scenario.maintenance.value
        after = report.after
        wrong = after.wrong_successors + after.wrong_predecessors
        metrics += [
            Metric(f"{label}: lookups right, %", 100 * report.lookups.success, low=99.0),
            Metric(f"{label}: values lost", after.lost, high=0),
            Metric(f"{label}: wrong neighbors a minute later", wrong),
        ]
        metrics += _estimates(label, report)
    return Result("R9", "Maintenance", tuple(metrics))


def _estimates(label: str, report: Report) -> list[Metric]:
    """What peers reckon, to what is. They take the third quartile of what they hear, so that it is more."""
    peers = report.scenario.peers
    true = {"peers": peers, "joins a second": peers / SESSION, "failures a peer a second": 1 / SESSION}
    return [
        Metric(f"{label}: {what}, estimate to truth", figures.mean / true[what])
        for what, figures in report.estimates.items()
    ]


def table(reports: Sequence[Report]) -> str:
    """A row for each kind of maintenance."""
    scenario = reports[0].scenario
    lines = [
        f"{scenario.peers} peers that stay for {SESSION / 60:g} minutes in the mean, half of which crash, for "
        f"{scenario.duration / 60:g} minutes; {scenario.lookups:g} lookups a second.",
        "",
        "| Maintenance | Lookups right | at once | hops, mean | p99 | stale hops | seconds, mean | p99 "
        "| octets a node a second | messages a node a second | most of it |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for report in reports:
        lookups = report.lookups
        most = ", ".join(f"{name} {octets:.0f}" for name, octets in list(report.methods.items())[:3])
        lines.append(
            f"| {report.scenario.maintenance} | {100 * lookups.success:.2f} % | {100 * lookups.first_try:.2f} % "
            f"| {lookups.hops.mean:.2f} | {lookups.hops.p99:.0f} | {100 * lookups.stale_hops:.2f} % "
            f"| {lookups.seconds.mean:.2f} | {lookups.seconds.p99:.1f} | {report.octets:.0f} "
            f"| {sum(report.maintenance_messages.values()):.2f} | {most} |"
        )
    return "\n".join([*lines, ""])
