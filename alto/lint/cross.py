"""Documents of one server held against each other."""

from collections.abc import Mapping

from alto._json import Json
from alto.closure import Closure
from alto.costresult import ReceivedCosts
from alto.endpointproperty import EndpointProperties
from alto.findings import Findings
from alto.ird import ResourceEntry
from alto.lint.asking import Inspection
from alto.lint.probes import network_maps
from alto.metrics import NUMERICAL
from alto.networkmap import ParsedFilteredNetworkMap
from alto.types import VTag

MAX_NAMED = 5
"""PIDs or addresses that a finding names; there may be thousands."""


def check_against_maps(inspection: Inspection, closure: Closure, entry: ResourceEntry, document: object) -> None:
    """Hold what a resource has answered against the network map that it belongs to."""
    used = closure.network_map_of(entry)
    whole = network_maps(inspection).get(used.id) if used is not None else None
    findings = Findings(strict=False)
    if isinstance(document, ReceivedCosts) and whole is not None:
        _check_versions(document.dependent_vtags, whole.vtag, "11.2.3.6", findings)
        _check_pids(document.pairs, whole.network_map.pids, findings)
    elif isinstance(document, ParsedFilteredNetworkMap) and whole is not None:
        if document.vtag != whole.vtag:
            findings.must("meta/vtag", "not the version tag of the whole network map", 7285, "11.3.1.6")
        for name, group in document.network_map.pids.items():
            if whole.network_map.pids.get(name) != group:
                findings.must(f"network-map/{name}", "not what the whole network map has", 7285, "11.3.1.6")
    elif isinstance(document, EndpointProperties):
        _check_pid_properties(inspection, document, findings)
    inspection.add(f"{entry.id}: against its network map", findings.items)


def _check_versions(named: tuple[VTag, ...], held: VTag | None, section: str, findings: Findings) -> None:
    if held is None:
        return
    for vtag in named:
        if vtag.resource_id == held.resource_id and vtag != held:
            text = f"version {vtag.tag:.40} of {vtag.resource_id}, which has {held.tag:.40}"
            findings.must("meta/dependent-vtags", text, 7285, section)
    if named and all(vtag.resource_id != held.resource_id for vtag in named):
        text = f"the version of {named[0].resource_id:.64}, where {held.resource_id:.64} is in uses"
        findings.must("meta/dependent-vtags", text, 7285, section)


def _check_pids(pairs: Mapping[str, Mapping[str, Json]], pids: Mapping[str, object], findings: Findings) -> None:
    named = {**dict.fromkeys(pairs), **{name: None for row in pairs.values() for name in row}}
    unknown = [name for name in named if name not in pids]
    if unknown:
        shown = ", ".join(unknown[:MAX_NAMED]) + (" and more" if len(unknown) > MAX_NAMED else "")
        findings.must("cost-map", f"PIDs that the network map does not have: {shown:.400}", 7285, "11.2.3.6")


def _check_pid_properties(inspection: Inspection, document: EndpointProperties, findings: Findings) -> None:
    """The property pid is the PID of the longest prefix that contains the address (sections 7.1.1 and 11.2.2)."""
    maps = network_maps(inspection)
    for endpoint, properties in document.properties.items():
        for name, value in properties.items():
            resource_id, _, kind = name.rpartition(".")
            whole = maps.get(resource_id)
            if kind != "pid" or whole is None or whole.vtag not in document.dependent_vtags:
                continue
            due = whole.network_map.pid_of(endpoint)
            if value != due:
                path = f"endpoint-properties/{endpoint}/{name}"
                findings.must(path, f"{value!r:.80}, where the longest match is in {due!r}", 7285, "11.2.2")


def check_full_against_filtered(
    inspection: Inspection, closure: Closure, entry: ResourceEntry, document: object
) -> None:
    """Costs of a filtered cost map that a whole one has too, with the same version, are the same."""
    if not isinstance(document, ReceivedCosts) or document.is_multi_cost or any(document.calendars):
        return
    findings = Findings(strict=False)
    whole = next(
        (
            (name, other)
            for name, other in inspection.documents.items()
            if isinstance(other, ReceivedCosts) and _is_of_same(other, document)
        ),
        None,
    )
    if whole is None:
        return
    name, costs = whole
    for source, destination, cost in document.costs():
        if costs.cost(source, destination) != cost:
            path = f"cost-map/{source}/{destination}"
            findings.note(path, f"{cost}, where {name} has {costs.cost(source, destination)}", 7285, "11.3.2")
    inspection.add(f"{entry.id}: against the whole map", findings.items)


def _is_of_same(whole: ReceivedCosts, some: ReceivedCosts) -> bool:
    """Whether both are numerical costs of one cost type over the same version of a map; ranks depend on the pairs."""
    keys = [[each.key for each in costs.cost_types] for costs in (whole, some)]
    return keys[0] == keys[1] and keys[0][0][0] == NUMERICAL and whole.dependent_vtags == some.dependent_vtags
