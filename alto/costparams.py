"""The bodies that ask for costs, held against what the resource can be asked (RFC 7285, 8189, 8896)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from alto._json import Json
from alto.address import canonical_endpoint
from alto.costrequest import CostCapabilities, read_cost_request
from alto.errors import ConfigurationError, RequestError
from alto.types import CostType, is_pid_name

Wanted: TypeAlias = "str | CostType | Sequence[str | CostType]"
"""A cost type, by its name in the IRD or itself; or several, which asks for multi-cost even where it is one."""


def cost_map_filter(
    capabilities: CostCapabilities,
    wanted: Wanted,
    *,
    sources: Sequence[str] | None = None,
    destinations: Sequence[str] | None = None,
    testable: Sequence[str | CostType] = (),
    constraints: Sequence[str] = (),
    or_constraints: Sequence[Sequence[str]] = (),
    calendared: bool | Sequence[bool] = False,
) -> dict[str, Json]:
    """The body for a filtered cost map: PIDs that are not given, or none of them, stand for all.

    `constraints` are predicates such as `le 10` or `[1] le 10`, of which all have to hold, `or_constraints` lists of
    them, of which one has to; they count the cost types in `testable`, or else in `wanted`. Raises ConfigurationError
    for what the resource cannot be asked.
    """
    _check_list(sources)
    _check_list(destinations)
    tree = _cost_params(capabilities, wanted, testable, constraints, or_constraints, calendared)
    for name in (*(sources or ()), *(destinations or ())):
        if not is_pid_name(name):
            raise ConfigurationError(f"{name!r:.80} is no PID name")
    if sources is not None or destinations is not None:
        tree["pids"] = {"srcs": list(sources or ()), "dsts": list(destinations or ())}
    return tree


def endpoint_cost_params(
    capabilities: CostCapabilities,
    wanted: Wanted,
    *,
    sources: Sequence[str] = (),
    destinations: Sequence[str] = (),
    testable: Sequence[str | CostType] = (),
    constraints: Sequence[str] = (),
    or_constraints: Sequence[Sequence[str]] = (),
    calendared: bool | Sequence[bool] = False,
) -> dict[str, Json]:
    """The body for an endpoint cost service, between typed addresses such as `ipv4:192.0.2.1`.

    An empty list, of which there may be one, stands for the client itself. The rest is as in `cost_map_filter`. Raises
    ConfigurationError.
    """
    _check_list(sources)
    _check_list(destinations)
    tree = _cost_params(capabilities, wanted, testable, constraints, or_constraints, calendared)
    if not sources and not destinations:
        raise ConfigurationError("sources, destinations or both have to be given (RFC 7285 section 11.5.1.3)")
    for name in (*sources, *destinations):
        try:
            canonical_endpoint(name)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
    named = {"srcs": list(sources), "dsts": list(destinations)}
    tree["endpoints"] = {member: names for member, names in named.items() if names}
    return tree


def _cost_params(
    capabilities: CostCapabilities,
    wanted: Wanted,
    testable: Sequence[str | CostType],
    constraints: Sequence[str],
    or_constraints: Sequence[Sequence[str]],
    calendared: bool | Sequence[bool],
) -> dict[str, Json]:
    for text in (testable, constraints, or_constraints, *or_constraints):
        _check_list(text)
    tree: dict[str, Json] = {}
    if isinstance(wanted, str | CostType):
        tree["cost-type"] = _tree(wanted, capabilities)
    else:
        tree["multi-cost-types"] = [_tree(one, capabilities) for one in wanted]
    if testable:
        tree["testable-cost-types"] = [_tree(one, capabilities) for one in testable]
    if constraints:
        tree["constraints"] = list(constraints)
    if or_constraints:
        tree["or-constraints"] = [list(group) for group in or_constraints]
    number = len(tree.get("multi-cost-types", [None]))
    flags = [calendared] * number if isinstance(calendared, bool) else list(calendared)
    if any(flags):
        tree["calendared"] = flags
    try:
        request = read_cost_request(tree, capabilities)
    except RequestError as error:
        raise ConfigurationError(f"the resource cannot be asked that: {error}") from error
    # A server ignores both of these, which is not what whoever asks has in mind.
    if any(flags) and request.calendared != tuple(flags):
        raise ConfigurationError("the resource has no calendar of a cost type that one is asked of")
    if any(flags) and (constraints or or_constraints):
        raise ConfigurationError("there are no constraints on calendars (RFC 8896 section 5.2.1)")
    return tree


def _check_list(names: object) -> None:
    """One text is a sequence of texts, too, each of a letter: nothing that anybody means."""
    if isinstance(names, str):
        raise ConfigurationError(f"a list is due, not the one text {names!r:.80}")


def _tree(one: str | CostType, capabilities: CostCapabilities) -> Json:
    """Mode and metric: the description SHOULD be left out (RFC 7285 section 11.3.2.3)."""
    cost_type = one
    if isinstance(one, str):
        found = capabilities.cost_types.get(one)
        if found is None:
            raise ConfigurationError(
                f"the resource has no cost type {one!r}, only {', '.join(capabilities.cost_types)}"
            )
        cost_type = found
    assert isinstance(cost_type, CostType)
    return {"cost-mode": cost_type.cost_mode, "cost-metric": cost_type.cost_metric}
