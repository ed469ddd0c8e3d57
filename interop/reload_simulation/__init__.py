"""RELOAD overlays in virtual time: unchanged nodes, their real messages, and links between them that take time.

    from interop.reload_simulation import Scenario, run

    report = run(Scenario(peers=128, mean_session=1800.0, duration=1800.0))
    print(report.lookups.success, report.lookups.hops.mean, report.octets)

What stands for ICE and DTLS takes the round trips that these need; an end that falls silent is noticed after 15 to 30
seconds, or sooner when something is sent to it. All chance comes from the seed of the scenario: the same scenario gives
the same octets at the same microseconds.
"""

from interop.reload_simulation._checks import condition, ring_errors
from interop.reload_simulation._churn import Churn, flash_crowd
from interop.reload_simulation._host import Host, MakeNode
from interop.reload_simulation._overlay import SimulatedOverlay
from interop.reload_simulation._report import Condition, Figures, Operations, Report, Sample
from interop.reload_simulation._ring import Ring
from interop.reload_simulation._run import NotSettledError, build, run
from interop.reload_simulation._scenario import Maintenance, Scenario, Signatures
from interop.reload_simulation._workload import Entry, Operation, Workload

__all__ = [
    "Churn",
    "Condition",
    "Entry",
    "Figures",
    "Host",
    "Maintenance",
    "MakeNode",
    "NotSettledError",
    "Operation",
    "Operations",
    "Report",
    "Ring",
    "Sample",
    "Scenario",
    "Signatures",
    "SimulatedOverlay",
    "Workload",
    "build",
    "condition",
    "flash_crowd",
    "ring_errors",
    "run",
]
