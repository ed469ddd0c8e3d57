"""Overlays of real nodes in virtual time: they are right in calm, and go on under churn, loss and partitions.

The gates are run here with few peers, and by `make experiments` in full; one overlay of 128 peers signs.
"""

from math import log2

import attrs
import pytest

from interop.experiments import Verdict
from interop.experiments.reload import GATES
from interop.reload_simulation import (
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
from reload.contents import MessageCode


@pytest.fixture(scope="module")
def signed() -> Report:
    """128 peers that sign with P-256."""
    return run(Scenario(peers=128, signatures=Signatures.P256, duration=60.0, lookups=20.0))


def test_128_peers_with_real_signatures_form_a_right_ring(signed: Report) -> None:
    before = signed.before
    assert before.peers == 128
    assert (before.wrong_successors, before.wrong_predecessors) == (0, 0)
    assert signed.joins.max < 60.0
    assert signed.is_sound


def test_their_values_are_at_their_owners_with_three_copies(signed: Report) -> None:
    before = signed.before
    assert before.values == 128
    assert (before.lost, before.misplaced, before.short) == (0, 0, 0)
    assert signed.after.is_perfect


def test_all_their_lookups_are_right_at_once_and_answered_by_the_owner(signed: Report) -> None:
    assert signed.lookups.count > 1000
    assert signed.lookups.first_try == signed.stores.first_try == 1.0
    assert signed.lookups.misplaced == signed.stores.misplaced == 0
    assert signed.lookups.failures == {}


def test_their_lookups_take_few_hops(signed: Report) -> None:
    assert signed.lookups.hops.mean <= 0.5 * log2(128) + 1
    assert signed.lookups.hops.max <= log2(128) + 5
    assert signed.lookups.hops.mean > 0


def test_what_they_cost_is_told_by_message(signed: Report) -> None:
    assert set(signed.maintenance_octets) == set(signed.maintenance_messages)
    assert signed.octets == pytest.approx(sum(signed.maintenance_octets.values()))
    assert {"fetch_req", "fetch_ans", "store_req", "store_ans"} <= set(signed.workload_octets)
    # Without churn there are no Fetches but those of users.
    assert "fetch_req" not in signed.maintenance_octets
    # Of a value of 100 octets, with two certificates and signatures.
    assert 500 < signed.workload_octets["fetch_ans"] / signed.workload_octets["fetch_req"] * 500 < 1500


# The same run twice, R8, is below with each kind of signatures.
@pytest.mark.parametrize("gate", [gate for gate in GATES if gate != "R8"])
def test_the_gate_meets_its_bars(gate: str) -> None:
    result = GATES[gate].run(quick=True)
    missed = [(metric.name, metric.value, metric.bar) for metric in result.metrics if metric.verdict is Verdict.MISSED]
    assert not missed
    assert any(metric.verdict is Verdict.MET for metric in result.metrics)


@pytest.mark.parametrize("signatures", Signatures)
def test_the_same_scenario_gives_the_same_octets(signatures: Signatures) -> None:
    scenario = Scenario(peers=8, signatures=signatures, mean_session=300.0, duration=60.0, lookups=2.0)
    first, second = run(scenario), run(scenario)
    assert first.digest == second.digest
    assert first.messages == second.messages
    assert attrs.evolve(first, cpu_seconds=0, memory_octets=0, settled_cpu_seconds=0) == attrs.evolve(
        second, cpu_seconds=0, memory_octets=0, settled_cpu_seconds=0
    )
    assert signatures is Signatures.RSA or run(attrs.evolve(scenario, seed=2)).digest != first.digest


def test_every_peer_leaves_with_a_goodbye_and_no_value_is_lost() -> None:
    overlay = build(Scenario(peers=12))
    workload = Workload(overlay)
    workload.fill(10.0)
    overlay.run(60.0)
    for host in list(overlay)[:9]:
        overlay.depart(host, gracefully=True)
        overlay.run(30.0)
        assert not host.is_up
    assert ring_errors(overlay) == (0, 0)
    overlay.run(60.0)
    assert condition(overlay, workload.entries).lost == 0
    assert condition(overlay, workload.entries).short == 0


def test_an_overlay_shrinks_to_one_peer_and_grows_again() -> None:
    overlay = build(Scenario(peers=6))
    workload = Workload(overlay)
    workload.fill(10.0)
    overlay.run(60.0)
    while len(overlay.ring) > 1:
        overlay.depart(next(iter(overlay)), gracefully=False)
        overlay.run(120.0)
    assert condition(overlay, workload.entries).lost == 0
    for _ in range(5):
        overlay.arrive()
    overlay.run(180.0)
    assert len(overlay.ring) == 6
    assert condition(overlay, workload.entries).is_perfect


def test_a_lookup_of_a_stale_version_counts_as_wrong() -> None:
    overlay = build(Scenario(peers=8))
    workload = Workload(overlay)
    workload.fill(10.0)
    overlay.run(60.0)
    entry = workload.entries[0]
    reader = next(iter(overlay))
    right = workload.look_up_at(reader, entry)
    overlay.run(10.0)
    # As if another version had been stored, that nobody has.
    entry.begun = entry.stored = 2
    wrong = workload.look_up_at(reader, entry)
    overlay.run(30.0)
    assert (right.is_right, right.attempts, right.failures) == (True, 1, [])
    assert (wrong.is_right, wrong.attempts) == (False, 3)
    assert set(wrong.failures) == {"it is not what was stored last"}
    assert condition(overlay, workload.entries).lost == 1


def test_a_reader_that_crashes_is_not_counted() -> None:
    overlay = build(Scenario(peers=8))
    workload = Workload(overlay)
    workload.fill(10.0)
    overlay.run(60.0)
    done = len(workload.done)
    entry = workload.entries[0]
    owner = overlay.ring.owner(entry.resource_id)
    reader = next(host for host in overlay if host.node_id != owner)
    workload.look_up_at(reader, entry)
    overlay.depart(reader, gracefully=False)
    overlay.run(30.0)
    assert (len(workload.done), workload.under_way) == (done, 0)


def test_an_overlay_of_one_needs_no_message() -> None:
    report = run(Scenario(peers=1, duration=30.0))
    assert (report.messages, report.octets) == (0, 0.0)
    assert report.lookups.success == 1.0
    assert report.lookups.hops.max == 0


def test_what_joins_send_is_what_the_rfc_has_them_send() -> None:
    """Section 10.5: Attaches, one Join each that is admitted, Updates."""
    overlay = SimulatedOverlay(Scenario(peers=8))
    overlay.grow(8)
    overlay.run(120.0)
    sent = overlay.traffic.maintenance.messages
    assert sent[MessageCode.JOIN_REQ] == sent[MessageCode.JOIN_ANS] == 7
    assert sent[MessageCode.ATTACH_REQ] >= 28
    assert sent[MessageCode.UPDATE_REQ] >= 28
    assert sent[MessageCode.ERROR] <= 7
