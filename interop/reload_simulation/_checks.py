"""The overlay compared with the truth: the ring, and where the values are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from interop.reload_simulation._host import Host
from interop.reload_simulation._overlay import SimulatedOverlay
from interop.reload_simulation._report import Condition, Figures
from interop.reload_simulation._security import VALUES
from interop.reload_simulation._workload import Entry
from reload._presentation import decode
from reload.self_tuning import SelfTuningChord
from reload.storage_messages import StoredSingle


def condition(overlay: SimulatedOverlay, entries: Iterable[Entry]) -> Condition:
    """Compare everything."""
    entries = [entry for entry in entries if entry.stored]
    wrong_successors, wrong_predecessors = ring_errors(overlay)
    held = {host.node_id: versions(host, overlay.now) for host in overlay}
    lost = misplaced = short = 0
    for entry in entries:
        having = [node_id for node_id, found in held.items() if found.get(entry.resource_id, 0) >= entry.stored]
        due = overlay.ring.holders(entry.resource_id)
        lost += not having
        misplaced += due[0] not in having
        short += not set(due).issubset(having)
    return Condition(len(overlay.ring), wrong_successors, wrong_predecessors, len(entries), lost, misplaced, short)


def ring_errors(overlay: SimulatedOverlay) -> tuple[int, int]:
    """How many peers have another first successor, or first predecessor, than they should."""
    ring = overlay.ring
    if len(ring) < 2:
        return 0, 0
    successors = sum(host.table.successors[:1] != (ring.successor(host.node_id),) for host in overlay)
    predecessors = sum(host.table.predecessors[:1] != (ring.predecessor(host.node_id),) for host in overlay)
    return successors, predecessors


def versions(host: Host, now: float) -> Mapping[bytes, int]:
    """The versions of the values that a host holds, by Resource-ID."""
    storage = host.node.storage
    found: dict[bytes, int] = {}
    for resource_id in list(storage.resources()):
        copy = storage.values_of(resource_id, now)
        for value in copy.values if copy is not None else ():
            if value.kind == VALUES.id:
                octets = decode(StoredSingle, value.octets).value.value
                found[resource_id] = int(octets.split()[2])
    return found


def estimates(overlay: SimulatedOverlay) -> dict[str, Figures]:
    """What self-tuning peers reckon; of others there is nothing."""
    found = [topology.estimates for host in overlay if isinstance(topology := host.node.topology, SelfTuningChord)]
    if not found:
        return {}
    return {
        "peers": Figures.of(each.network_size for each in found),
        "joins a second": Figures.of(each.join_rate for each in found),
        "failures a peer a second": Figures.of(each.failure_rate for each in found),
    }


def tables(overlay: SimulatedOverlay) -> dict[str, Figures]:
    """The sizes of the peers' tables."""
    hosts = list(overlay)
    return {
        "routing table": Figures.of(len(host.table) for host in hosts),
        "neighbors": Figures.of(len(host.table.neighbors()) for host in hosts),
        "fingers": Figures.of(len(host.table.fingers()) for host in hosts),
        "connections": Figures.of(len(host.connections) for host in hosts),
        "resources": Figures.of(len(host.node.storage) for host in hosts),
    }
