"""What a simulation has shown."""

from __future__ import annotations

import resource
from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from statistics import fmean
from typing import Any

import attrs

from interop.reload_simulation._scenario import Scenario
from interop.reload_simulation._traffic import ACKNOWLEDGEMENT, Tally
from interop.reload_simulation._workload import Operation
from reload.contents import MessageCode


@attrs.frozen
class Figures:
    """Of some numbers."""

    mean: float
    p99: float
    max: float

    @classmethod
    def of(cls, numbers: Iterable[float]) -> Figures:
        """Zeros when there are none."""
        ordered = sorted(numbers)
        if not ordered:
            return cls(0.0, 0.0, 0.0)
        return cls(fmean(ordered), ordered[ceil(0.99 * len(ordered)) - 1], ordered[-1])


@attrs.frozen
class Operations:
    """Lookups or Stores. The shares are of 1; `stale_hops` is that of the transmissions of requests."""

    count: int
    first_try: float
    """Right without another attempt."""
    success: float
    """Right in the end."""
    misplaced: int
    """Answered by a peer that was not responsible then."""
    stale_hops: float
    hops: Figures
    seconds: Figures
    failures: Mapping[str, int]
    """What went wrong in attempts, how often."""

    @classmethod
    def of(cls, operations: Sequence[Operation]) -> Operations:
        """Sum up."""
        count = len(operations)
        right = [each for each in operations if each.is_right]
        failures: dict[str, int] = {}
        for each in operations:
            for failure in each.failures:
                failures[failure] = failures.get(failure, 0) + 1
        transmissions = sum(each.transmissions for each in operations)
        return cls(
            count,
            sum(each.attempts == 1 for each in right) / count if count else 1.0,
            len(right) / count if count else 1.0,
            sum(each.misplaced for each in operations),
            sum(each.stale_hops for each in operations) / transmissions if transmissions else 0.0,
            Figures.of(each.hops or 0 for each in right),
            Figures.of(each.seconds for each in right),
            failures,
        )


@attrs.frozen
class Sample:
    """The overlay at a time, `seconds` after the measurement began, and what has happened since the sample before."""

    seconds: float
    peers: int
    lookups: int
    right: int
    """Lookups that were right in the end."""
    first_try: int
    """Lookups that were right without another attempt."""
    octets: float
    """Of maintenance, a node a second."""


@attrs.frozen
class Condition:
    """The overlay compared with the truth."""

    peers: int
    wrong_successors: int
    wrong_predecessors: int
    values: int
    """That were stored."""
    lost: int
    """That nobody has, in the version that was stored last or a later one."""
    misplaced: int
    """That the responsible peer does not have."""
    short: int
    """That fewer than the responsible peer and its two successors have."""

    @property
    def is_perfect(self) -> bool:
        """Everything is where it belongs."""
        return not any((self.wrong_successors, self.wrong_predecessors, self.lost, self.misplaced, self.short))


@attrs.frozen
class Report:
    """The outcome of a scenario; octets and messages are a node a second, by the names of the messages."""

    scenario: Scenario
    settled_after: float
    """Seconds until the ring was right, from the first arrival on."""
    settled_cpu_seconds: float
    lookups: Operations
    stores: Operations
    maintenance_octets: Mapping[str, float]
    maintenance_messages: Mapping[str, float]
    workload_octets: Mapping[str, float]
    tables: Mapping[str, Figures]
    """Entries of a peer's tables at the end."""
    estimates: Mapping[str, Figures]
    """What self-tuning peers reckon of the overlay at the end of the churn."""
    joins: Figures
    """Seconds."""
    departures: int
    failed_joins: Mapping[str, int]
    """By reason; each is tried again."""
    before: Condition
    """When the overlay had settled, and each peer had stored its value."""
    after: Condition
    """At the end."""
    samples: tuple[Sample, ...]
    hop_counts: Mapping[int, int]
    digest: str
    """A hash over all messages with their times."""
    messages: int
    cpu_seconds: float
    memory_octets: int
    """The most that the process ever had."""

    @property
    def is_sound(self) -> bool:
        """Whether no value was lost, and the ring is right in the end."""
        return not (self.after.lost or self.after.wrong_successors or self.after.wrong_predecessors)

    @property
    def octets(self) -> float:
        """Of maintenance, a node a second."""
        return sum(self.maintenance_octets.values())

    @property
    def methods(self) -> dict[str, float]:
        """Octets of maintenance a node a second, by method: request and answer together, the greatest first."""
        sums: dict[str, float] = {}
        for name, octets in self.maintenance_octets.items():
            method = name.removesuffix("_req").removesuffix("_ans").replace("_", " ")
            sums[method] = sums.get(method, 0.0) + octets
        return dict(sorted(sums.items(), key=lambda item: -item[1]))

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        found = attrs.asdict(self)
        found["maintenance_octets_a_node_a_second"] = self.octets
        return found


def peak_memory() -> int:
    """The octets of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def rates(counts: Mapping[int, int], node_seconds: float) -> dict[str, float]:
    """Numbers by message code as rates by name, the greatest first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {code_name(code): count / node_seconds for code, count in ordered}


def code_name(code: int) -> str:
    """What messages of this code are called."""
    match code:
        case 0:
            return "fragment"
        case _ if code == ACKNOWLEDGEMENT:
            return "acknowledgement"
        case MessageCode():
            return code.name.lower()
    return MessageCode(code).name.lower() if code in MessageCode._value2member_map_ else str(code)


def total(tallies: Iterable[Tally]) -> int:
    """Messages in all."""
    return sum(sum(tally.messages.values()) for tally in tallies)
