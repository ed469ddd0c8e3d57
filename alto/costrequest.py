"""What a filtered cost map, an endpoint cost service and their extensions are asked for: one reader for all of them.

RFC 7285 sections 11.3.2.3 and 11.5.1.3, RFC 8189 section 4.1.2, RFC 8896 section 5.1.1, RFC 9274 section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from alto._json import Json
from alto.calendar import CalendarAttributes
from alto.constraints import Tests, check_indices, read_constraints, read_or_constraints, without
from alto.errors import ConfigurationError, ErrorCode, RequestError
from alto.findings import is_json, join
from alto.params import bad_value, elements, required, wrong_type
from alto.types import CostType

Key = tuple[str, str]


def _by_key(cost_types: Mapping[str, CostType]) -> dict[Key, str]:
    found: dict[Key, str] = {}
    for name, cost_type in cost_types.items():
        if found.setdefault(cost_type.key, name) != name:
            raise ConfigurationError(
                f"{name!r} and {found[cost_type.key]!r} have the same metric and mode (RFC 9439 3.1)"
            )
    return found


@frozen
class CostCapabilities:
    """What a resource says of the costs that it can be asked for (RFC 7285 11.3.2.4, RFC 8189 4.1.1, RFC 8896 4.1).

    Raises ConfigurationError for what no resource may say.
    """

    cost_types: Mapping[str, CostType]
    """By their names in the IRD, in the order of `cost-type-names`; no two differ by their context only."""
    cost_constraints: bool = False
    """Whether all of them can be tested."""
    max_cost_types: int = 0
    """How many may be asked for at once; 0 without multi-cost."""
    testable_cost_type_names: tuple[str, ...] = ()
    """Those that can be tested, where not all can."""
    calendars: Mapping[str, CalendarAttributes] = field(factory=dict)
    """The calendars that there are, by the name of their cost type."""
    names: Mapping[Key, str] = field(init=False, repr=False)
    """The name of the cost type with a mode and metric."""

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "names", _by_key(self.cost_types))
        if not self.cost_types:
            raise ConfigurationError("a resource of costs needs a cost type")
        if self.max_cost_types < 0:
            raise ConfigurationError(f"{self.max_cost_types} is no number of cost types")
        if self.testable_cost_type_names and self.cost_constraints:
            raise ConfigurationError("cost-constraints excludes testable-cost-type-names (RFC 8189 4.1.1)")
        for name in (*self.testable_cost_type_names, *self.calendars):
            if name not in self.cost_types:
                raise ConfigurationError(f"{name!r} is none of the resource's cost types")

    @classmethod
    def of_entry(cls, capabilities: Mapping[str, Json], cost_types: Mapping[str, CostType]) -> CostCapabilities:
        """Those of an IRD entry that was parsed, `cost_types` being those of its IRD.

        Of calendars that name a cost type twice the first one counts. Raises ConfigurationError.
        """
        calendars: dict[str, CalendarAttributes] = {}
        for tree in capabilities.get("calendar-attributes", ()):
            attributes = CalendarAttributes(tree["time-interval-size"], int(tree["number-of-intervals"]))
            for name in tree["cost-type-names"]:
                calendars.setdefault(name, attributes)
        known = {name: cost_types[name] for name in capabilities.get("cost-type-names", ()) if name in cost_types}
        testable = capabilities.get("testable-cost-type-names", ())
        return cls(
            known,
            capabilities.get("cost-constraints", False) and not testable,
            int(capabilities.get("max-cost-types", 0)),
            tuple(name for name in testable if name in known),
            {name: attributes for name, attributes in calendars.items() if name in known},
        )

    @property
    def has_constraints(self) -> bool:
        """Whether a request may have constraints at all."""
        return self.cost_constraints or (self.max_cost_types > 0 and bool(self.testable_cost_type_names))

    def is_testable(self, name: str) -> bool:
        """Whether there may be a constraint on this cost type."""
        return name in self.testable_cost_type_names if self.testable_cost_type_names else self.cost_constraints


@frozen
class CostRequest:
    """Which costs are asked for, whatever the pairs are."""

    names: tuple[str, ...]
    """The cost types, by their names in the IRD."""
    cost_types: tuple[CostType, ...]
    is_multi_cost: bool = False
    """Each cost is an array, even of one (RFC 8189 section 4.1.2)."""
    calendared: tuple[bool, ...] = ()
    """Of which a calendar is asked that there is; as long as `names`."""
    tested: tuple[str, ...] = ()
    """The names of the cost types that the predicates in `tests` count from 0."""
    tests: Tests = ()

    @property
    def is_calendared(self) -> bool:
        """Whether any calendar is asked for."""
        return any(self.calendared)


def read_cost_request(tree: dict[str, Json], capabilities: CostCapabilities) -> CostRequest:
    """The members of a request that say which costs are wanted, and how they are constrained.

    `pids` or `endpoints`, and whatever else a service has, are for the caller. Raises RequestError.
    """
    is_multi_cost = _is_multi_cost(tree, capabilities)
    if is_multi_cost:
        names = _read_types(tree, "multi-cost-types", capabilities)
        if len(names) > capabilities.max_cost_types:
            raise bad_value("multi-cost-types", tree["multi-cost-types"])
    else:
        names = (_read_type(required(tree, "cost-type", dict), "cost-type", capabilities),)
    calendared = _read_calendared(tree, names, capabilities)
    tested, tests = _read_tests(tree, names, calendared, is_multi_cost, capabilities)
    cost_types = tuple(capabilities.cost_types[name] for name in names)
    return CostRequest(names, cost_types, is_multi_cost, calendared, tested, tests)


def _is_multi_cost(tree: dict[str, Json], capabilities: CostCapabilities) -> bool:
    if "multi-cost-types" not in tree:
        return False
    # RFC 8896 section 5.2.4 sends an empty cost-type beside multi-cost-types: as good as none.
    if tree.get("cost-type", {}) != {} or not capabilities.max_cost_types:
        raise bad_value("multi-cost-types", tree["multi-cost-types"])
    return True


def _read_types(tree: dict[str, Json], member: str, capabilities: CostCapabilities) -> tuple[str, ...]:
    found = elements(tree, member, dict)
    if not found:
        raise bad_value(member, found)
    return tuple(_read_type(element, member, capabilities) for element in found)


def _read_type(tree: dict[str, Json], path: str, capabilities: CostCapabilities) -> str:
    """The name of the cost type that mode and metric are those of; other members do not count."""
    metric = required(tree, "cost-metric", str, path)
    mode = required(tree, "cost-mode", str, path)
    name = capabilities.names.get((mode, metric))
    if name is not None:
        return name
    offered = capabilities.names.keys()
    if all(mode != known for known, _ in offered) or any(metric == known for _, known in offered):
        raise bad_value(join(path, "cost-mode"), mode)
    raise bad_value(join(path, "cost-metric"), metric)


def _read_calendared(tree: dict[str, Json], names: Sequence[str], capabilities: CostCapabilities) -> tuple[bool, ...]:
    """RFC 8896 section 5.1.1. Whoever has no calendars ignores the member, as any other that it does not know."""
    if "calendared" not in tree or not capabilities.calendars:
        return (False,) * len(names)
    asked: list[bool] = elements(tree, "calendared", bool)
    if len(asked) != len(names):
        raise bad_value("calendared", asked)
    return tuple(wanted and name in capabilities.calendars for name, wanted in zip(names, asked, strict=True))


def _read_tests(
    tree: dict[str, Json],
    names: tuple[str, ...],
    calendared: tuple[bool, ...],
    is_multi_cost: bool,
    capabilities: CostCapabilities,
) -> tuple[tuple[str, ...], Tests]:
    """The cost types that can be tested, and the tests that count."""
    tested = names
    if "testable-cost-types" in tree:
        tested = _read_tested(tree, capabilities)
    # There are no constraints on calendars; a server MUST ignore them (RFC 8896 sections 3.3 and 5.2.1).
    if all(calendared):
        return tested, ()
    member = _constraints_member(tree, capabilities)
    if member is None:
        return tested, ()
    if member == "constraints":
        tests = read_constraints(tree[member], has_index=capabilities.max_cost_types > 0)
    else:
        tests = read_or_constraints(tree[member])
    check_indices(tests, member, [capabilities.is_testable(name) for name in tested])
    ignored = {name for name, wanted in zip(names, calendared, strict=True) if wanted}
    return tested, without(tests, [index for index, name in enumerate(tested) if name in ignored]) if ignored else tests


def _read_tested(tree: dict[str, Json], capabilities: CostCapabilities) -> tuple[str, ...]:
    tested = _read_types(tree, "testable-cost-types", capabilities)
    for name, sent in zip(tested, tree["testable-cost-types"], strict=True):
        if not capabilities.max_cost_types or not capabilities.is_testable(name):
            raise bad_value("testable-cost-types", sent)
    return tested


def _constraints_member(tree: dict[str, Json], capabilities: CostCapabilities) -> str | None:
    """Which of `constraints` and `or-constraints` there is, none where there is none; both, or one too much, is bad."""
    found = [member for member in ("constraints", "or-constraints") if member in tree]
    if not found:
        return None
    member = found[-1]
    if not isinstance(tree[member], list):
        raise wrong_type(member)
    is_allowed = capabilities.has_constraints and (member == "constraints" or capabilities.max_cost_types > 0)
    if not is_allowed or len(found) > 1:
        raise bad_value(member, tree[member])
    return member


def read_names(tree: dict[str, Json], member: str, path: str) -> list[str]:
    """The strings of the required array `member`, each once. Raises RequestError."""
    inner = join(path, member)
    if member not in tree:
        raise RequestError(ErrorCode.MISSING_FIELD, field=inner)
    listed: Any = tree[member]
    if not isinstance(listed, list):
        raise wrong_type(inner)
    if not set(map(type, listed)) <= {str}:
        raise bad_value(inner, next(element for element in listed if not is_json(element, str)))
    return list(dict.fromkeys(listed))
