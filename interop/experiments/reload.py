"""Experiments with RELOAD overlays in virtual time: each is a gate with named figures and their bars.

from interop.experiments.reload import GATES

for metric in GATES["R4"].run().metrics:
    print(metric.name, metric.value, metric.bar, metric.verdict)
"""

from collections.abc import Mapping
from types import MappingProxyType

from interop.experiments import _reload, _reload_maintenance
from interop.experiments._result import Gate

_ALL = (
    Gate("R1", "calm", "overlays in which nothing happens but lookups", _reload.calm, 3),
    Gate("R2", "churn", "peers stay for half an hour in the mean", _reload.churn, 2),
    Gate("R3", "adjacent", "two adjacent peers crash at once", _reload.adjacent, 1),
    Gate("R4", "partition", "an overlay is cut into two, and heals", _reload.partition, 1),
    Gate("R5", "loss", "datagrams get lost", _reload.loss, 2),
    Gate("R6", "crowd", "as many peers as there are come within a minute", _reload.crowd, 1),
    Gate("R7", "signatures", "null signatures and real ones", _reload.signed, 3),
    Gate("R8", "repeated", "the same run twice gives the same octets", _reload.repeated, 3),
    Gate("R9", "maintenance", "reactive, periodic, self-tuning", _reload_maintenance.maintenance, 3),
)
GATES: Mapping[str, Gate] = MappingProxyType({gate.id: gate for gate in _ALL})
"""Every gate by its number."""

__all__ = ["GATES"]
