"""A scenario from the first arrival to the report."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from interop.reload_simulation._checks import condition, estimates, ring_errors, tables
from interop.reload_simulation._churn import Churn, flash_crowd
from interop.reload_simulation._overlay import SimulatedOverlay
from interop.reload_simulation._report import Figures, Operations, Report, Sample, peak_memory, rates, total
from interop.reload_simulation._scenario import Scenario
from interop.reload_simulation._traffic import Tally
from interop.reload_simulation._workload import Workload

SETTLING = 1800.0
"""Seconds after the last arrival in which the ring must become right."""
_LOOK = 5.0
_FILLING = 60.0
_DRAINING = 60.0
_SAMPLES = 40

Progress = Callable[[str, float], None]
"""Told which phase it is, and how much of the whole is done, from 0 to 1."""


class NotSettledError(Exception):
    """The ring did not become right."""


def _silent(phase: str, done: float) -> None:
    """Nobody wants to know."""


def build(scenario: Scenario, progress: Progress = _silent) -> SimulatedOverlay:
    """An overlay of so many peers in which each has the right neighbors. Raises NotSettledError."""
    overlay = SimulatedOverlay(scenario)
    overlay.grow(scenario.peers)
    deadline = None
    while True:
        overlay.run(1.0)
        size = len(overlay.ring)
        progress(f"{size} peers have joined", 0.5 * size / scenario.peers)
        if size < scenario.peers and deadline is None:
            continue
        deadline = deadline or overlay.now + SETTLING
        wrong = sum(ring_errors(overlay))
        if size == scenario.peers and not wrong:
            return overlay
        if overlay.now > deadline:
            raise NotSettledError(f"{size} of {scenario.peers} peers, {wrong} wrong neighbors at {overlay.now:.0f} s")


def run(scenario: Scenario, progress: Progress = _silent) -> Report:
    """Run a scenario. Raises NotSettledError when no overlay comes into being."""
    began = time.process_time()
    overlay = build(scenario, progress)
    settled_cpu_seconds, settled_after = time.process_time() - began, overlay.now
    workload = Workload(overlay)
    workload.fill(_FILLING)
    overlay.run(_FILLING + _DRAINING)
    before = condition(overlay, workload.entries)
    sent = [overlay.traffic.maintenance, overlay.traffic.workload]
    overlay.traffic.reset()
    first, since = len(workload.done), overlay.now
    churn = None
    if scenario.mean_session is not None:
        churn = Churn(overlay, scenario.mean_session, scenario.graceful)
    if scenario.flash_crowd:
        flash_crowd(overlay, scenario.flash_crowd, scenario.duration / 2)
    workload.start()
    watch = _Watch(overlay, workload)
    watch.measure(since, progress)
    reckoned = estimates(overlay)
    workload.stop()
    if churn is not None:
        churn.stop()
    measured = overlay.traffic.maintenance, overlay.traffic.workload
    overlay.traffic.reset()
    _drain(overlay, workload, scenario.calm)
    progress("done", 1.0)
    done = [each for each in workload.done[first:] if each.at <= watch.until]
    lookups = [each for each in done if each.is_lookup]
    sent += [*measured, overlay.traffic.maintenance, overlay.traffic.workload]
    return Report(
        scenario=scenario,
        settled_after=settled_after,
        settled_cpu_seconds=settled_cpu_seconds,
        lookups=Operations.of(lookups),
        stores=Operations.of([each for each in done if not each.is_lookup]),
        maintenance_octets=rates(measured[0].octets, watch.node_seconds),
        maintenance_messages=rates(measured[0].messages, watch.node_seconds),
        workload_octets=rates(measured[1].octets, watch.node_seconds),
        tables=tables(overlay),
        estimates=reckoned,
        joins=Figures.of(overlay.join_seconds),
        departures=churn.departures if churn is not None else 0,
        failed_joins=dict(Counter(overlay.failed_joins)),
        before=before,
        after=condition(overlay, workload.entries),
        samples=tuple(watch.samples()),
        hop_counts=dict(sorted(Counter(each.hops or 0 for each in lookups if each.is_right).items())),
        digest=overlay.traffic.digest,
        messages=total(sent),
        cpu_seconds=time.process_time() - began,
        memory_octets=peak_memory(),
    )


def _drain(overlay: SimulatedOverlay, workload: Workload, calm: float) -> None:
    """Let what is under way come to an end, and the overlay calm down."""
    end = overlay.now + calm
    limit = overlay.now + _DRAINING + calm
    while overlay.now < end or (workload.under_way and overlay.now < limit):
        overlay.run(1.0)


class _Watch:
    """Looks at the overlay from time to time."""

    def __init__(self, overlay: SimulatedOverlay, workload: Workload) -> None:
        self.node_seconds = 0.0
        self.until = 0.0
        self._overlay = overlay
        self._workload = workload
        self._since = overlay.now
        self._looks: list[tuple[float, int, int, float]] = []

    def measure(self, since: float, progress: Progress) -> None:
        """Let the time of the scenario pass."""
        duration = self._overlay.scenario.duration
        self.until = since + duration
        step = max(duration / _SAMPLES, _LOOK)
        octets = 0
        for look in range(max(round(duration / step), 1)):
            seconds = 0.0
            end = since + min((look + 1) * step, duration)
            while self._overlay.now < end:
                self._overlay.engine.run(min(self._overlay.now + 1.0, end))
                seconds += len(self._overlay.ring)
            self.node_seconds += seconds
            sent = _octets(self._overlay.traffic.maintenance)
            self._looks.append((self._overlay.now - since, len(self._overlay.ring), sent - octets, seconds))
            octets = sent
            share = (self._overlay.now - since) / duration
            progress(f"{len(self._overlay.ring)} peers, {len(self._workload.done)} operations", 0.5 + 0.5 * share)

    def samples(self) -> list[Sample]:
        """What was seen. Lookups count when they began."""
        found: list[Sample] = []
        before = 0.0
        lookups = [(each.at - self._since, each) for each in self._workload.done if each.is_lookup]
        for at, peers, octets, seconds in self._looks:
            began = [each for when, each in lookups if before <= when < at]
            right = sum(each.is_right for each in began)
            first_try = sum(each.is_right and each.attempts == 1 for each in began)
            found.append(Sample(at, peers, len(began), right, first_try, octets / max(seconds, 1.0)))
            before = at
        return found


def _octets(tally: Tally) -> int:
    return sum(tally.octets.values())
