"""The calls of the topics self-tuning (RFC 7363) and diagnostics (RFC 7851)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from reload import estimates
from reload._presentation import decode
from reload.extensions import DiagnosticsRequest
from reload.usages.diagnostic_rules import check_times, requested_kinds

_Json = dict[str, Any]
_SECOND = 1_000_000


def _network_size(args: _Json) -> int:
    node_id, before, after = args["node_id"], args["predecessors"], args["successors"]
    size = estimates.network_size(bytes.fromhex(node_id), [*map(bytes.fromhex, before)], [*map(bytes.fromhex, after)])
    return round(size)


def _table_sizes(args: _Json) -> _Json:
    neighbors = estimates.neighbor_count(args["network_size"])
    fingers = estimates.finger_count(args["network_size"])
    return {"successors": neighbors, "predecessors": neighbors, "fingers": fingers}


def _failure_interval(args: _Json) -> int:
    times = [at / _SECOND for at in args["times"]]
    return round(_SECOND / estimates.failure_rate(times, args["peers"], args["history"], args["now"] / _SECOND))


def _join_interval(args: _Json) -> int:
    ages = [age / _SECOND for age in args["ages"]]
    return round(_SECOND / estimates.join_rate(args["network_size"], ages))


def _estimates(args: _Json) -> estimates.Estimates:
    return estimates.Estimates(
        args["network_size"],
        _SECOND / args["join_interval"] if "join_interval" in args else 0.0,
        _SECOND / args["failure_interval"] if "failure_interval" in args else 0.0,
    )


def _stabilization_interval(args: _Json) -> int:
    return round(estimates.stabilization_interval(_estimates(args), args["longest"] / _SECOND) * 1000)


def _self_tuning_data(args: _Json) -> _Json:
    data = _estimates(args).to_data()
    return {"network_size": data.network_size, "join_rate": data.join_rate, "leave_rate": data.leave_rate}


def _diagnostics_requested(args: _Json) -> list[int]:
    return list(requested_kinds(decode(DiagnosticsRequest, bytes.fromhex(args["wire"]))))


def _diagnostics_error(args: _Json) -> int:
    times = (int(args["expiration"], 16), int(args["timestamp_initiated"], 16))
    return int(check_times(DiagnosticsRequest(*times, 0), int(args["wall"], 16) / 1000) or 0)


CALLS: Mapping[str, Callable[[_Json], Any]] = MappingProxyType(
    {
        "network-size": _network_size,
        "table-sizes": _table_sizes,
        "failure-interval": _failure_interval,
        "join-interval": _join_interval,
        "stabilization-interval": _stabilization_interval,
        "third-quartile": lambda args: estimates.third_quartile(args["values"]),
        "self-tuning-data": _self_tuning_data,
        "diagnostics-requested": _diagnostics_requested,
        "diagnostics-error": _diagnostics_error,
    }
)
