"""Gates of RELOAD overlays: R1 to R8."""

from __future__ import annotations

import random
from math import log2

import attrs

from interop.experiments._result import Metric, Note, Result
from interop.reload_simulation import (
    Condition,
    Host,
    Report,
    Scenario,
    Signatures,
    SimulatedOverlay,
    Workload,
    build,
    condition,
    ring_errors,
    run,
)

SESSION = 1800.0
"""Seconds that peers stay in the mean."""
_CPU_SECONDS, _MEMORY = 600.0, 3 * 1024.0
_MENDING = 240.0
_HEALING = 7200.0
_LOOK = 10.0


def _silent(what: str) -> None:
    """Nobody wants to know."""


def calm(*, quick: bool = False, note: Note = _silent) -> Result:
    """R1: overlays in which nothing happens but lookups and Stores."""
    metrics: list[Metric] = []
    for peers in (64,) if quick else (128, 512, 2048):
        label = f"{peers} peers"
        note(label)
        report = run(Scenario(peers=peers, duration=300.0, lookups=max(peers / 32, 8.0)))
        metrics += _routing(label, report)
        metrics.append(Metric(f"{label}: virtual seconds until settled", report.settled_after))
        metrics.append(Metric(f"{label}: CPU seconds until settled", report.settled_cpu_seconds, high=_CPU_SECONDS))
        metrics.append(Metric(f"{label}: memory of the process, MiB", report.memory_octets / 2**20, high=_MEMORY))
    return Result("R1", "Calm", tuple(metrics))


def _routing(label: str, report: Report) -> list[Metric]:
    """Every answer is right and comes from who is responsible, over few hops."""
    bound = log2(report.scenario.peers)
    lookups, before = report.lookups, report.before
    return [
        Metric(f"{label}: lookups right at once, %", 100 * lookups.first_try, low=100.0),
        Metric(f"{label}: Stores done at once, %", 100 * report.stores.first_try, low=100.0),
        Metric(f"{label}: answers by another peer", lookups.misplaced, high=0),
        Metric(f"{label}: hops, mean", lookups.hops.mean, high=0.5 * bound + 1),
        Metric(f"{label}: hops, p99", lookups.hops.p99),
        Metric(f"{label}: hops, max", lookups.hops.max, high=bound + 5),
        Metric(f"{label}: wrong neighbors", _wrong(before), high=0),
        Metric(f"{label}: values without three copies", before.short, high=0),
        Metric(f"{label}: maintenance, octets a node a second", report.octets),
    ]


def churn(*, quick: bool = False, note: Note = _silent) -> Result:
    """R2: peers stay for half an hour in the mean, and half of them crash."""
    metrics: list[Metric] = []
    for peers, duration in ((64, 300.0),) if quick else ((128, 1800.0), (2048, 600.0)):
        label = f"{peers} peers"
        note(label)
        report = run(Scenario(peers=peers, mean_session=SESSION, duration=duration, lookups=8.0, stores=0.5))
        metrics += _under_churn(label, report)
    return Result("R2", "Churn, mean session 30 min", tuple(metrics))


def _under_churn(label: str, report: Report) -> list[Metric]:
    return [
        Metric(f"{label}: departures", report.departures),
        Metric(f"{label}: lookups right, %", 100 * report.lookups.success, low=99.0),
        Metric(f"{label}: lookups right at once, %", 100 * report.lookups.first_try),
        Metric(f"{label}: Stores done, %", 100 * report.stores.success, low=99.0),
        Metric(f"{label}: hops, mean", report.lookups.hops.mean),
        Metric(f"{label}: stale hops, %", 100 * report.lookups.stale_hops),
        Metric(f"{label}: values lost", report.after.lost, high=0),
        Metric(f"{label}: wrong neighbors a minute later", _wrong(report.after), high=0),
        Metric(f"{label}: maintenance, octets a node a second", report.octets),
    ]


def adjacent(*, quick: bool = False, note: Note = _silent) -> Result:
    """R3: two adjacent peers crash at once, pair after pair round the ring; the values are on three peers."""
    peers, pairs = (24, 4) if quick else (128, 40)
    note(f"{peers} peers")
    overlay, workload = _filled(Scenario(peers=peers))
    chance = random.Random("pairs")
    lost, short, slowest = 0, 0, 0.0
    for _ in range(pairs):
        at = chance.randrange(len(overlay.ring))
        for node_id in (overlay.ring[at], overlay.ring[at + 1]):
            overlay.depart(overlay[node_id], gracefully=False)
        since = overlay.now
        found = _mended(overlay, workload, _MENDING)
        slowest = max(slowest, overlay.now - since)
        lost, short = lost + found.lost, short + found.short
        overlay.arrive()
        overlay.arrive()
        overlay.run(_MENDING)
    metrics = (
        Metric("pairs that crashed", pairs),
        Metric("values in the overlay", len(workload.entries)),
        Metric("values lost", lost, high=0),
        Metric("values without three copies in the end", short, high=0),
        Metric("seconds until ring and copies are whole, at most", slowest, high=_MENDING),
    )
    return Result("R3", "Two adjacent peers crash", metrics)


def _filled(scenario: Scenario) -> tuple[SimulatedOverlay, Workload]:
    """An overlay that has settled, in which each peer has stored a value."""
    overlay = build(scenario)
    workload = Workload(overlay)
    workload.fill(30.0)
    overlay.run(90.0)
    return overlay, workload


def _mended(overlay: SimulatedOverlay, workload: Workload, limit: float) -> Condition:
    """The condition as soon as it is perfect, or after so many seconds."""
    end = overlay.now + limit
    while True:
        overlay.run(_LOOK)
        found = condition(overlay, workload.entries)
        if found.is_perfect or overlay.now >= end:
            return found


def partition(*, quick: bool = False, note: Note = _silent) -> Result:
    """R4: an overlay is cut into two for a quarter of an hour, and both halves go on; then they find each other."""
    peers = 40 if quick else 128
    note(f"{peers} peers")
    overlay, workload = _filled(Scenario(peers=peers))
    hosts = list(overlay)
    random.Random("halves").shuffle(hosts)
    overlay.network.cut_off(hosts[::2])
    overlay.run(900.0)
    halves = sum(_ring_of(part) for part in (hosts[::2], hosts[1::2]))
    for host in hosts:
        workload.store_version(host)
    overlay.run(60.0)
    overlay.network.heal()
    since = overlay.now
    while sum(ring_errors(overlay)) and overlay.now - since < _HEALING:
        overlay.run(_LOOK)
    whole = overlay.now - since
    found = _mended(overlay, workload, 600.0)
    metrics = (
        Metric("wrong neighbors within the halves", halves, high=0),
        Metric("seconds until there is one ring again", whole, high=_HEALING),
        Metric("seconds until all values are in place", overlay.now - since),
        Metric("wrong neighbors in the end", _wrong(found), high=0),
        Metric("values lost, or older than what was stored last", found.lost, high=0),
        Metric("values without three copies in the end", found.short, high=0),
    )
    return Result("R4", "Partition", metrics)


def _ring_of(hosts: list[Host]) -> int:
    """How many of the hosts have a wrong successor or predecessor, were they alone."""
    ordered = sorted(host.node_id for host in hosts)
    place = {node_id: at for at, node_id in enumerate(ordered)}
    wrong = 0
    for host in hosts:
        at = place[host.node_id]
        wrong += host.table.successors[:1] != (ordered[(at + 1) % len(ordered)],)
        wrong += host.table.predecessors[:1] != (ordered[at - 1],)
    return wrong


def loss(*, quick: bool = False, note: Note = _silent) -> Result:
    """R5: datagrams get lost, with Simple Reliability on every link and without any."""
    metrics: list[Metric] = []
    peers = 32 if quick else 128
    for hop_by_hop in (True,) if quick else (True, False):
        label = ("Simple Reliability" if hop_by_hop else "no retransmission on links") + ", 5 % lost"
        note(label)
        report = run(Scenario(peers=peers, loss=0.05, hop_by_hop=hop_by_hop, duration=300.0, lookups=8.0))
        metrics += [
            Metric(f"{label}: lookups right, %", 100 * report.lookups.success, low=99.0),
            Metric(f"{label}: lookups right at once, %", 100 * report.lookups.first_try),
            Metric(f"{label}: seconds of a lookup, mean", report.lookups.seconds.mean),
            Metric(f"{label}: seconds of a lookup, p99", report.lookups.seconds.p99),
            Metric(f"{label}: values lost", report.after.lost, high=0),
            Metric(f"{label}: wrong neighbors in the end", _wrong(report.after), high=0),
        ]
    return Result("R5", "Loss", tuple(metrics))


def crowd(*, quick: bool = False, note: Note = _silent) -> Result:
    """R6: as many peers as there are come within a minute."""
    peers = 32 if quick else 128
    note(f"{peers} peers")
    report = run(Scenario(peers=peers, flash_crowd=peers, duration=600.0, lookups=8.0, calm=120.0))
    metrics = (
        Metric("peers in the end", report.after.peers, low=2 * peers, high=2 * peers),
        Metric("lookups right, %", 100 * report.lookups.success, low=99.0),
        Metric("seconds of a join, p99", report.joins.p99),
        Metric("values lost", report.after.lost, high=0),
        Metric("wrong neighbors in the end", _wrong(report.after), high=0),
        Metric("values without three copies in the end", report.after.short, high=0),
    )
    return Result("R6", "Flash crowd", metrics)


def signed(*, quick: bool = False, note: Note = _silent) -> Result:
    """R7: with real signatures, and what they cost."""
    metrics: list[Metric] = []
    for signatures in (Signatures.P256,) if quick else (Signatures.NULL, Signatures.P256, Signatures.RSA):
        note(signatures)
        report = run(Scenario(peers=16 if quick else 128, signatures=signatures, duration=120.0, lookups=8.0))
        metrics += [
            Metric(f"{signatures}: lookups right at once, %", 100 * report.lookups.first_try, low=100.0),
            Metric(f"{signatures}: CPU seconds", report.cpu_seconds),
            Metric(f"{signatures}: octets of lookups and Stores a node a second", sum(report.workload_octets.values())),
        ]
    return Result("R7", "Signatures", tuple(metrics))


def repeated(*, quick: bool = False, note: Note = _silent) -> Result:
    """R8: the same run twice gives the same octets at the same microseconds; another seed gives others."""
    peers = 16 if quick else 64
    scenario = Scenario(peers=peers, mean_session=600.0, duration=300.0, loss=0.02, hop_by_hop=True)
    digests = []
    for seed in (1, 1, 2):
        note(f"seed {seed}")
        digests.append(run(attrs.evolve(scenario, seed=seed)).digest)
    metrics = (
        Metric("different digests of the same run", len(set(digests[:2])), high=1),
        Metric("different digests with another seed", len(set(digests[1:])), low=2),
    )
    return Result("R8", "The same run twice", metrics)


def _wrong(found: Condition) -> int:
    return found.wrong_successors + found.wrong_predecessors
