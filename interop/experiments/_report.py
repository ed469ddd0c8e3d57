"""Results as JSON, and as the tables of `ledbat/README.md` and `reload/README.md`."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from interop.experiments._controllers import LEGEND
from interop.experiments._result import Metric, Result, Verdict

BEGIN = "<!-- experiments: begin, written by `make experiments` -->"
END = "<!-- experiments: end -->"

_WORST = (Verdict.MISSED, Verdict.DOCUMENTED, Verdict.MET, Verdict.REPORTED)
_WORDS = {Verdict.MET: "met", Verdict.DOCUMENTED: "missed", Verdict.MISSED: "**MISSED**", Verdict.REPORTED: ""}


def as_json(result: Result) -> dict[str, Any]:
    """A result as JSON has it: figures, bars and verdicts, and the series of the runs that are plotted."""
    return {
        "gate": result.gate,
        "title": result.title,
        "passed": result.passed,
        "metrics": [
            {
                "name": metric.name,
                "value": metric.value,
                "low": metric.low,
                "high": metric.high,
                "verdict": metric.verdict.value,
                "why": metric.why if metric.verdict is Verdict.DOCUMENTED else "",
            }
            for metric in result.metrics
        ],
        "runs": [
            {
                "label": world.label,
                "times": [round(time, 3) for time in world.times],
                "flows": [
                    {"name": series.name, "acknowledged": list(series.acknowledged), "cwnd": list(series.cwnd)}
                    for series in world.series
                ],
            }
            for world in result.worlds
        ],
    }


def number(value: float) -> str:
    """A figure as people read it."""
    if isinstance(value, int) or value == int(value):
        return f"{value:.0f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def markdown(results: Iterable[Result], legend: str = LEGEND) -> str:
    """The table: figures of one kind, such as those of several gaps, in one row from the least to the greatest."""
    lines = ["| Gate | Figure | Measured | Bar | |", "|---|---|---|---|---|"]
    notes: list[str] = []
    for result in results:
        for (what, bar), metrics in _grouped(result.metrics).items():
            values = sorted(metric.value for metric in metrics)
            span = number(values[0]) if values[0] == values[-1] else f"{number(values[0])} to {number(values[-1])}"
            worst = min((metric.verdict for metric in metrics), key=_WORST.index)
            word = _WORDS[worst]
            if worst is Verdict.DOCUMENTED:
                why = next(metric.why for metric in metrics if metric.verdict is Verdict.DOCUMENTED)
                if why not in notes:
                    notes.append(why)
                missed = sum(metric.verdict is Verdict.DOCUMENTED for metric in metrics)
                word += f" ({missed} of {len(metrics)})" if len(metrics) > 1 else ""
                word += f" [{notes.index(why) + 1}]"
            lines.append(f"| {result.gate} | {what} | {span} | {bar} | {word} |")
    lines.append("")
    lines += [f"{index}. {why[0].upper()}{why[1:]}." for index, why in enumerate(notes, 1)]
    return "\n".join(["", legend, "", *lines, ""])


def _grouped(metrics: Iterable[Metric]) -> dict[tuple[str, str], list[Metric]]:
    groups: dict[tuple[str, str], list[Metric]] = {}
    for metric in metrics:
        label, colon, quantity = metric.name.rpartition(": ")
        who = re.split(r", | and | alone|(?<=\d s) of darkness", label)[0]
        groups.setdefault((f"{who}: {quantity}" if colon else metric.name, metric.bar), []).append(metric)
    return groups


def write_table(path: Path, results: Iterable[Result], *, legend: str = LEGEND, more: str = "") -> None:
    """Replace what is between the markers in the file; `more` comes behind the table.

    Raises ValueError when the markers are not there.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path}: no markers {BEGIN} and {END}")
    path.write_text(f"{before}{begin}\n{markdown(results, legend)}\n{more}{end}{after}", encoding="utf-8")
