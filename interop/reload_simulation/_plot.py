"""Drawings: what a run was like, and runs beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from interop.reload_simulation._report import Report

_BLUE, _RED, _GREEN, _PURPLE, _OCHRE, _GREY = "#0b5fa5", "#d9541e", "#2a8a3e", "#8b3fa0", "#b08a00", "#8c8c8c"
_COLOURS = (_BLUE, _RED, _GREEN, _PURPLE, _OCHRE)
_STYLE: dict[Any, Any] = {"svg.hashsalt": "ietf-p2p", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}
_BY_NAME = 5
"""Messages that have a colour of their own; the rest are grey."""


def draw(report: Report, path: Path) -> None:
    """Lookups, peers and maintenance over time, hops, and who costs what. Raises OSError."""
    scenario = report.scenario
    with rc_context(_STYLE):
        figure = Figure(figsize=(10, 6.4), layout="constrained")
        axes = figure.subplots(2, 2)
        _success(axes[0][0], report)
        _hops(axes[0][1], report)
        _over_time(axes[1][0], report)
        _what_for(axes[1][1], report)
        churn = "no churn" if scenario.mean_session is None else f"mean session {scenario.mean_session / 60:g} min"
        figure.suptitle(f"RELOAD, {scenario.peers} peers, {scenario.maintenance}, {churn}", fontweight="bold")
        _save(figure, path)


def compare(reports: Sequence[Report], path: Path) -> None:
    """The kinds of maintenance beside each other: lookups, hops, and octets. Raises OSError."""
    names = [str(report.scenario.maintenance) for report in reports]
    with rc_context(_STYLE):
        figure = Figure(figsize=(11, 3.6), layout="constrained")
        axes = figure.subplots(1, 3)
        failed = [100 * (1 - report.lookups.success) for report in reports]
        again = [100 * (report.lookups.success - report.lookups.first_try) for report in reports]
        axes[0].bar(names, again, color=_OCHRE, label="right after another attempt", width=0.6)
        axes[0].bar(names, failed, bottom=again, color=_RED, label="failed", width=0.6)
        axes[0].set_ylabel("lookups, %")
        axes[0].set_ylim(top=1.5 * max(0.1, *map(sum, zip(again, failed, strict=True))))
        axes[0].legend(fontsize=8)
        for report, name, colour in zip(reports, names, _COLOURS, strict=False):
            total = sum(report.hop_counts.values()) or 1
            hops = list(report.hop_counts)
            shares = [100 * count / total for count in report.hop_counts.values()]
            axes[1].plot(hops, shares, color=colour, marker="o", markersize=3, label=name)
        axes[1].set_xlabel("hops of a lookup")
        axes[1].set_ylabel("%")
        axes[1].legend(fontsize=8)
        _by_message(axes[2], reports, names)
        scenario = reports[0].scenario
        session = "" if scenario.mean_session is None else f", mean session {scenario.mean_session / 60:g} min"
        figure.suptitle(f"RELOAD, {scenario.peers} peers{session}", fontweight="bold")
        _save(figure, path)


def _success(axes: Axes, report: Report) -> None:
    looks = [sample for sample in report.samples if sample.lookups]
    minutes = [sample.seconds / 60 for sample in looks]
    for name, counts, colour in (
        ("at once", [sample.first_try for sample in looks], _OCHRE),
        ("after retries", [sample.right for sample in looks], _BLUE),
    ):
        shares = [100 * count / sample.lookups for count, sample in zip(counts, looks, strict=True)]
        axes.plot(minutes, shares, color=colour, label=name)
    axes.set_ylim(bottom=min(99.0, axes.get_ylim()[0]), top=100.1)
    axes.set_ylabel("right lookups, %")
    axes.set_xlabel("minutes")
    axes.legend(loc="lower left", fontsize=8)


def _hops(axes: Axes, report: Report) -> None:
    axes.bar(list(report.hop_counts), list(report.hop_counts.values()), color=_BLUE, width=0.8)
    axes.axvline(report.lookups.hops.mean, color=_RED, linewidth=1.2)
    axes.set_xlabel(f"hops of a lookup, mean {report.lookups.hops.mean:.2f}")
    axes.set_ylabel("lookups")


def _over_time(axes: Axes, report: Report) -> None:
    minutes = [sample.seconds / 60 for sample in report.samples]
    axes.plot(minutes, [sample.octets for sample in report.samples], color=_BLUE)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("maintenance, octets a node a second", color=_BLUE)
    axes.set_xlabel("minutes")
    peers = axes.twinx()
    peers.plot(minutes, [sample.peers for sample in report.samples], color=_GREY, linewidth=1)
    peers.set_ylim(bottom=0, top=1.2 * max(sample.peers for sample in report.samples))
    peers.grid(visible=False)
    peers.set_ylabel("peers", color=_GREY)


def _what_for(axes: Axes, report: Report) -> None:
    """A bar for each method: request and answer together."""
    methods = list(report.methods.items())[: 2 * _BY_NAME]
    axes.barh([method for method, _ in methods], [octets for _, octets in methods], color=_BLUE)
    axes.invert_yaxis()
    axes.set_xlabel("maintenance, octets a node a second")


def _by_message(axes: Axes, reports: Sequence[Report], names: Sequence[str]) -> None:
    """Bars of octets a node a second, by methods."""
    sums: dict[str, list[float]] = {}
    for at, report in enumerate(reports):
        for method, octets in report.methods.items():
            sums.setdefault(method, [0.0] * len(reports))[at] = octets
    ordered = sorted(sums, key=lambda method: -max(sums[method]))
    bottom = [0.0] * len(reports)
    shown = [(method, sums[method]) for method in ordered[:_BY_NAME]]
    rest = [sum(sums[method][at] for method in ordered[_BY_NAME:]) for at in range(len(reports))]
    for (method, heights), colour in zip([*shown, ("others", rest)], (*_COLOURS, _GREY), strict=False):
        axes.bar(list(names), heights, bottom=bottom, color=colour, label=method, width=0.6)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    axes.set_ylabel("maintenance, octets a node a second")
    axes.legend(fontsize=8)


def _save(figure: Figure, path: Path) -> None:
    # The same run gives the same file, octet for octet.
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower())
    figure.savefig(path, dpi=110, metadata=metadata)
