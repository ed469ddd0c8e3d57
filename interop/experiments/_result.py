"""What an experiment gives: named figures, each with its bar."""

import enum
from collections.abc import Callable
from typing import Protocol

import attrs

from interop.experiments._world import World


class Verdict(enum.Enum):
    """How a figure compares with its bar."""

    MET = "met"
    DOCUMENTED = "missed, as documented"
    MISSED = "missed"
    REPORTED = "reported"


@attrs.frozen
class Metric:
    """A figure; `low` and `high` are its bar, None where it has none.

    Where a bar proved wrong, `why` says so and `accepted` (low, high) is what the run is held to instead; the bar stays
    as it was asked for, and the figure counts as missed.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    accepted: tuple[float | None, float | None] | None = None
    why: str = ""

    @property
    def verdict(self) -> Verdict:
        """How it compares."""
        if self.low is None and self.high is None:
            return Verdict.REPORTED
        if _between(self.low, self.value, self.high):
            return Verdict.MET
        if self.accepted is not None and _between(self.accepted[0], self.value, self.accepted[1]):
            return Verdict.DOCUMENTED
        return Verdict.MISSED

    @property
    def bar(self) -> str:
        """The bar in words."""
        if self.low is not None and self.high is not None:
            return f"{self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"≥ {self.low:g}"
        return "" if self.high is None else f"≤ {self.high:g}"


def _between(low: float | None, value: float, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


@attrs.frozen
class Result:
    """The outcome of a gate."""

    gate: str
    title: str
    metrics: tuple[Metric, ...]
    worlds: tuple[World, ...] = ()
    """The runs worth a plot, at most four."""

    @property
    def passed(self) -> bool:
        """Whether no figure misses its bar, other than as documented."""
        return all(metric.verdict is not Verdict.MISSED for metric in self.metrics)


Note = Callable[[str], None]
"""Told what is being run."""


class Run(Protocol):
    """Runs a gate."""

    def __call__(self, *, quick: bool = False, note: Note = ...) -> Result:
        """Run it; `quick` takes the part of it that is worth most, for every change of the code."""


@attrs.frozen
class Gate:
    """An experiment with its name."""

    id: str
    slug: str
    about: str
    run: Run
    runs: int
    """Simulations in it, for a progress bar."""
