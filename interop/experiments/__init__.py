"""Experiments with congestion controllers in virtual time: each is a gate with named figures and their bars.

    from interop.experiments import GATES

    result = GATES["E3"].run()
    for metric in result.metrics:
        print(metric.name, metric.value, metric.bar, metric.verdict)

The controllers run on an idealised transport (`Flow`): an acknowledgement a segment, no pacing, losses found without
fail. What is seen is the controller, not a transport. Rates are octets per second of a `World`'s bottleneck; times are
float seconds. The same code gives the same figures on every machine. `interop.experiments.reload` has those with
overlays.
"""

from collections.abc import Mapping
from types import MappingProxyType

from interop.experiments import _alone, _path, _shared
from interop.experiments._controllers import CONTROLLERS, LEGEND
from interop.experiments._flow import HEADERS, MSS, Controller, Flow
from interop.experiments._result import Gate, Metric, Result, Verdict
from interop.experiments._world import Queue, Series, World

_ALL = (
    Gate("E1", "alone", "alone on the link, long and short buffer", _alone.alone, 12),
    Gate("E2", "tcp", "against Reno and CUBIC, buffer above the target", _shared.tcp, 12),
    Gate("E2s", "tcp-short-buffer", "against Reno and CUBIC, buffer below the target", _shared.tcp_short_buffer, 6),
    Gate("E3", "latecomer", "a second flow comes later", _shared.latecomer, 20),
    Gate("E4", "many", "five and ten flows", _shared.many, 12),
    Gate("E5", "route-change", "the path becomes longer or shorter", _path.route_change, 6),
    Gate("E6", "skew", "the receiver's clock runs fast or slow", _alone.skew, 8),
    Gate("E6b", "offset", "the receiver's clock is anywhere, and wraps", _alone.offset, 3),
    Gate("E6c", "jitter", "jitter on the path, with and without skew", _shared.jitter, 38),
    Gate("E7", "loss", "random loss", _path.random_loss, 45),
    Gate("E8", "codel", "active queue management against Reno", _shared.codel, 3),
    Gate("E9", "short-flows", "how long short TCP transfers take", _shared.short_flows, 6),
    Gate("E10", "yield", "how soon it makes way, and comes back", _shared.yielding, 3),
    Gate("E11", "drift", "forty minutes alone: does the base delay stay true?", _alone.drift, 4),
    Gate("E12", "application-limited", "the application sends little, or nothing", _alone.application_limited, 2),
    Gate("E13", "fast-path", "50 Mb/s and 100 ms", _alone.fast_path, 3),
    Gate("E14", "way-back", "the way of the acknowledgements is congested", _path.congested_way_back, 9),
    Gate("E15", "blackout", "nothing passes for a while", _path.blackout, 4),
    Gate("E17", "liar", "the receiver lies about delays", _path.liar, 8),
)
GATES: Mapping[str, Gate] = MappingProxyType({gate.id: gate for gate in _ALL})
"""Every gate by its number in the requirements."""

__all__ = [
    "CONTROLLERS",
    "GATES",
    "HEADERS",
    "LEGEND",
    "MSS",
    "Controller",
    "Flow",
    "Gate",
    "Metric",
    "Queue",
    "Result",
    "Series",
    "Verdict",
    "World",
]
