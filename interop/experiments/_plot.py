"""Plots of an experiment: throughput, queueing delay and window over time."""

import itertools
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from interop.experiments._flow import MSS
from interop.experiments._result import Result
from interop.experiments._world import INTERVAL, World

_COLOURS = (
    "#0b5fa5",
    "#d9541e",
    "#2a8a3e",
    "#8b3fa0",
    "#b08a00",
    "#4c4c4c",
    "#00959b",
    "#c2185b",
    "#6d4c41",
    "#7cb342",
)
_LONGEST_LEGEND = 5
_SMOOTH = 5  # looks over which throughput is averaged
_POINTS = 1200  # at most so many points a line


def write(result: Result, directory: Path) -> list[Path]:
    """Write `<gate>.png` and `<gate>.svg` into the directory; return their paths, none without runs to show."""
    if not result.worlds:
        return []
    columns = len(result.worlds)
    # The same run gives the same SVG, octet for octet.
    with rc_context({"svg.hashsalt": "ietf-p2p", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}):
        figure = Figure(figsize=(1.2 + 4.4 * columns, 7.2), layout="constrained")
        axes = figure.subplots(3, columns, squeeze=False, sharex="col")
        for column, world in enumerate(result.worlds):
            _throughput(axes[0][column], world)
            _queue(axes[1][column], world)
            _windows(axes[2][column], world)
            axes[0][column].set_title(world.label)
            axes[2][column].set_xlabel("seconds")
        for row, text in zip(axes, ("throughput, Mb/s", "queueing delay, ms", "cwnd, segments"), strict=True):
            row[0].set_ylabel(text)
        figure.suptitle(f"{result.gate}: {result.title}", fontweight="bold")
        paths = [directory / f"{result.gate}.png", directory / f"{result.gate}.svg"]
        figure.savefig(paths[0], dpi=110)
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


def _throughput(axes: Axes, world: World) -> None:
    step = max(_SMOOTH, len(world.times) // _POINTS)
    times = world.times[step::step]
    for series, colour in zip(world.series, _COLOURS, strict=False):
        seen = series.acknowledged[::step]
        rates = [(after - before) * 8 / (step * INTERVAL) / 1e6 for before, after in itertools.pairwise(seen)]
        axes.plot(times, rates[: len(times)], color=colour, linewidth=1.1, label=series.name)
    axes.axhline(world.rate * 8 / 1e6, color="black", linewidth=0.8, linestyle=":")
    axes.set_ylim(bottom=0)
    if 1 < len(world.series) <= _LONGEST_LEGEND:
        axes.legend(loc="upper right", fontsize=8)


def _queue(axes: Axes, world: World) -> None:
    """The longest delay in each interval."""
    metrics = world.bottleneck.metrics
    step_us = int(max(INTERVAL, world.times[-1] / _POINTS) * 1e6)
    longest: dict[int, int] = {}
    for at_us, delay_us in zip(metrics.sample_times_us, metrics.sample_delays_us, strict=True):
        slot = at_us // step_us
        if delay_us >= longest.get(slot, 0):
            longest[slot] = delay_us
    axes.plot(
        [slot * step_us / 1e6 for slot in longest],
        [delay_us / 1000 for delay_us in longest.values()],
        color="#444444",
        linewidth=0.9,
    )
    axes.set_ylim(bottom=0)


def _windows(axes: Axes, world: World) -> None:
    step = max(1, len(world.times) // _POINTS)
    for series, colour in zip(world.series, _COLOURS, strict=False):
        windows = [octets / MSS for octets in series.cwnd[::step]]
        axes.plot(world.times[::step][: len(windows)], windows, color=colour, linewidth=1.0, label=series.name)
    axes.set_ylim(bottom=0)
