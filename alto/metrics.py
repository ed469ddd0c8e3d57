"""Cost metrics: what their numbers mean, and which way is better (RFC 7285 section 6.1.1, RFC 9439, RFC 9275)."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from attrs import frozen

from alto._json import Json
from alto.errors import ConfigurationError, DecodeError
from alto.findings import Findings, join
from alto.types import CostType, is_cost_metric, is_cost_mode

NUMERICAL = "numerical"
ORDINAL = "ordinal"
ARRAY = "array"
COST_MODES = (NUMERICAL, ORDINAL, ARRAY)
"""The registered cost modes (RFC 9274 section 5, RFC 9275 section 13.2)."""

COST_SOURCES = ("nominal", "sla", "estimation")
"""The registered cost sources (RFC 9439 section 8)."""

PATH_VECTOR = (ARRAY, "ane-path")
"""The key of the path vector cost type (RFC 9275 section 5.2)."""

_PRIVATE = "priv:"
_STATISTICS = ("cur", "min", "max", "median", "mean", "stddev", "stdvar")
_SPREADS = ("stddev", "stdvar")
# "A non-negative JSON number in the range [0, 100]" and perhaps a decimal part: neither a sign nor an exponent.
_PERCENTILE = re.compile(r"p((?:0|[1-9][0-9]{0,2})(?:\.[0-9]+)?)")
_COMMON_FORMS = {0.0: "min", 50.0: "median", 100.0: "max"}
_COST_SOURCE = re.compile(r"[0-9A-Za-z]+")


@frozen
class Metric:
    """A registered base metric. Microseconds, percent, hops, bytes per second: the unit of its numbers."""

    name: str
    unit: str
    prefers_higher: bool = False
    """Whether a greater number is the better one, which ordinal costs are made by (RFC 7285 section 14.2)."""
    default_statistic: str | None = "median"
    """What a name without a statistical operator means; None for a metric that is no statistic."""
    is_integer: bool = False
    rfc: int = 9439
    section: str = ""
    """Where its values are defined."""


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric("routingcost", "", default_statistic=None, rfc=7285, section="6.1.1.1"),
            Metric("delay-ow", "us", section="4.1.2"),
            Metric("delay-rt", "us", section="4.2.2"),
            Metric("delay-variation", "us", section="4.3.2"),
            Metric("lossrate", "%", section="4.4.2"),
            Metric("hopcount", "hops", is_integer=True, section="4.5.2"),
            Metric("tput", "B/s", prefers_higher=True, section="5.1.2"),
            # Bytes a second, where the max-reservable-bandwidth of RFC 9275 has bits.
            Metric("bw-residual", "B/s", prefers_higher=True, default_statistic="cur", section="5.2.2"),
            Metric("bw-available", "B/s", prefers_higher=True, default_statistic="cur", section="5.3.2"),
            Metric("ane-path", "", default_statistic=None, rfc=9275, section="6.5.1"),
        )
    }
)
"""The ALTO Cost Metric Registry."""


def is_private(name: str) -> bool:
    """Whether a metric or mode is one of private use, which needs no registration."""
    return name.startswith(_PRIVATE)


def is_statistic(text: str) -> bool:
    """Whether `text` is a statistical operator: `cur`, `min`, ..., or a percentile such as `p99.9` (RFC 9439 3.2)."""
    percentile = _PERCENTILE.fullmatch(text)
    return text in _STATISTICS if percentile is None else float(percentile[1]) <= 100


def split_metric(name: str) -> tuple[str, str | None]:
    """The base identifier of a cost metric and its statistical operator, None where it has none (RFC 9439 3.2).

    A name of private use is taken whole unless what follows its last colon is an operator.
    """
    base, colon, operator = name.rpartition(":")
    if not colon or (is_private(name) and (base == _PRIVATE[:-1] or not is_statistic(operator))):
        return name, None
    return base, operator


def metric_of(name: str) -> Metric | None:
    """The registered metric that a cost metric name is, or is a statistic of; None for a private or unknown one."""
    base, operator = split_metric(name)
    metric = METRICS.get(base)
    if metric is None or operator is None:
        return metric
    return metric if metric.default_statistic is not None and is_statistic(operator) else None


def statistic_of(name: str) -> str | None:
    """The statistical operator of a metric, its default where none is named (RFC 9439 3.2); None where it has none."""
    operator = split_metric(name)[1]
    if operator is not None:
        return operator
    metric = METRICS.get(name)
    return "median" if metric is None else metric.default_statistic


def prefers_higher(name: str) -> bool:
    """Whether a greater cost of this metric is the better one. It is not for a metric that nobody registered.

    Nor is it for a spread: a throughput that varies less is the better one.
    """
    base, operator = split_metric(name)
    metric = METRICS.get(base)
    return metric is not None and metric.prefers_higher and operator not in _SPREADS


def cost_source(cost_type: CostType) -> str:
    """Where its values come from: `estimation`, the most generic source, where nothing is said (RFC 9439 3.1)."""
    context = cost_type.cost_context
    source = context.get("cost-source") if isinstance(context, dict) else None
    return source if isinstance(source, str) else "estimation"


def parse_cost_type(tree: Json, findings: Findings, path: str) -> CostType | None:
    """The cost type at `path` (RFC 7285 section 10.7, RFC 9439 section 3.1); None where nothing of it is of use.

    A mode or metric that is only unregistered is kept. Raises DecodeError when `findings` is strict.
    """
    if not findings.is_a(tree, dict, path, 7285, "10.7"):
        return None
    mode = findings.member(tree, "cost-mode", str, path, 7285, "10.7")
    metric = findings.member(tree, "cost-metric", str, path, 7285, "10.7")
    if mode is None or metric is None:
        return None
    if not is_cost_mode(mode):
        findings.must(join(path, "cost-mode"), f"{mode!r:.80} is no cost mode", 9274, "3.2")
        return None
    if not is_cost_metric(metric):
        findings.must(join(path, "cost-metric"), f"{metric!r:.80} is no cost metric", 7285, "10.6")
        return None
    description = findings.optional(tree, "description", str, path, 7285, "10.7")
    context = findings.optional(tree, "cost-context", dict, path, 9439, "3.1")
    cost_type = CostType(mode, metric, description, context)
    return cost_type if _check(cost_type, findings, path) else None


def check_cost_type(cost_type: CostType) -> None:
    """Raises ConfigurationError where a server may not offer costs of this type."""
    try:
        _check(cost_type, Findings(strict=True), "")
    except DecodeError as error:
        raise ConfigurationError(str(error)) from error


def _check(cost_type: CostType, findings: Findings, path: str) -> bool:
    """Note what is not registered; whether the cost type can be made use of."""
    mode, metric = cost_type.key
    if mode not in COST_MODES and not is_private(mode):
        findings.must(join(path, "cost-mode"), f"{mode!r} is not registered", 9274, "3.2")
    _check_metric(metric, findings, join(path, "cost-metric"))
    return cost_type.cost_context is None or _check_context(cost_type, findings, join(path, "cost-context"))


def _check_metric(metric: str, findings: Findings, path: str) -> None:
    base, operator = split_metric(metric)
    if is_private(metric):
        if "." in base:  # no document gives it a meaning there, as one may for a metric that is registered
            findings.must(path, f"{base!r} has a '.', which is reserved", 7285, "10.6")
        return
    if base not in METRICS:
        # The registry may have grown since: a name that is not known here is no reason to refuse the costs.
        findings.note(path, f"{base!r} is no metric that RFC 7285, 9275 or 9439 registers", 7285, "10.6")
    elif operator is not None and (METRICS[base].default_statistic is None or not is_statistic(operator)):
        findings.must(path, f"{operator!r} is no statistical operator of {base!r}", 9439, "3.2")
    elif operator is not None and operator.startswith("p"):
        common = _COMMON_FORMS.get(float(operator[1:]))
        if common is not None:
            findings.should(path, f"{common!r} is the common form of {operator!r}", 9439, "3.2")


def _check_context(cost_type: CostType, findings: Findings, path: str) -> bool:
    inner = join(path, "cost-source")
    context: Json = cost_type.cost_context
    if not findings.is_a(context, dict, path, 9439, "3.1"):
        return True
    source = findings.member(context, "cost-source", str, path, 9439, "3.1")
    if source is None:
        return True
    base = split_metric(cost_type.cost_metric)[0]
    if base == "routingcost" and source != "estimation":
        findings.must(inner, "the costs of routingcost are estimations", 9439, "6.3")
        return False
    if _COST_SOURCE.fullmatch(source) is None or source not in COST_SOURCES:
        findings.must(inner, f"{source!r:.80} is not registered", 9439, "3.1")
    elif base == "tput" and source != "estimation":
        findings.should(inner, "TCP throughput should not be generated but as an estimation", 9439, "5.1.4")
    elif source == "sla" and not _has_link(context.get("parameters")):
        findings.should(join(path, "parameters"), "a link to the SLA is recommended", 9439, "3.1")
    return True


def _has_link(parameters: Json) -> bool:
    return isinstance(parameters, dict) and isinstance(parameters.get("link"), str)
