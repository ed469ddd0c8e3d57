"""Checking costs that a server has sent, one by one where they have to be, by the row where they may."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from attrs import frozen

from alto._json import Json
from alto.calendar import CalendarResponse
from alto.constraints import Tests, parse_predicate
from alto.findings import Findings, shown
from alto.metrics import ARRAY, NUMERICAL, ORDINAL, metric_of
from alto.types import CostType

MAX_NOTED = 100
"""Findings about the costs of one response: whoever reads them has seen enough, and a map may have millions."""

_LIMIT: Final = 1.7976931348623157e308


@frozen
class Rule:
    """What a cost of one type is to be."""

    cost_type: CostType
    calendar: CalendarResponse | None
    rfc: int
    section: str
    """Where a cost is defined to be a number, for this kind of response."""

    @property
    def has_numbers(self) -> bool:
        """Whether this mode has numbers; others are an extension's."""
        return self.cost_type.cost_mode in (NUMERICAL, ORDINAL)

    @property
    def least(self) -> float | None:
        """The least number that it may be."""
        metric = metric_of(self.cost_type.cost_metric)
        is_bounded = self.cost_type.cost_mode == ORDINAL or (metric is not None and metric.rfc == 9439)
        return 0 if is_bounded else None

    @property
    def is_integer(self) -> bool:
        """Whether it is to be an integer."""
        metric = metric_of(self.cost_type.cost_metric)
        return self.cost_type.cost_mode == ORDINAL or (metric is not None and metric.is_integer)

    @property
    def clause(self) -> tuple[int, str]:
        """Where the numbers that it may be are defined."""
        metric = metric_of(self.cost_type.cost_metric)
        if self.cost_type.cost_mode == ORDINAL or metric is None:
            return 7285, "6.1.2.2"
        return metric.rfc, metric.section


class Noter:
    """Notes what is wrong with costs, up to MAX_NOTED times."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._left = MAX_NOTED

    def must(self, path: str, text: str, rfc: int, section: str) -> None:
        """A MUST is broken. Raises DecodeError when strict."""
        if self._left:
            self._left -= 1
            self._findings.must(path, text, rfc, section)
            if not self._left:
                self._findings.note(
                    "", f"more than {MAX_NOTED} costs at fault: the rest is not listed", 7285, "11.2.3.6"
                )


def is_number(value: Json) -> bool:
    """Whether it is a number that a double can hold."""
    kind = type(value)
    return kind is float or (kind is int and -_LIMIT <= value <= _LIMIT)


def are_fine(values: Sequence[Json], rule: Rule) -> bool:
    """Whether all are numbers as the rule wants them, as far as can be seen at once; else look at each."""
    kinds = set(map(type, values))
    if rule.calendar is not None or not rule.has_numbers or not kinds <= {int, float}:
        return False
    if int in kinds and max(map(abs, values)) > _LIMIT:
        return False
    return (rule.least is None or min(values, default=0) >= rule.least) and (not rule.is_integer or float not in kinds)


def checked(value: Json, rule: Rule, path: str, noter: Noter) -> Json:
    """The cost, or calendar, if something can be made of it; None if not."""
    calendar = rule.calendar
    if calendar is None:
        return _single(value, rule, path, noter)
    number = calendar.attributes.number_of_intervals
    if not isinstance(value, list):
        noter.must(path, f"a calendar is due, not {shown(value)}", 8896, "3.3")
        return None
    if len(value) != number:
        noter.must(path, f"a calendar of {len(value)} costs, where {number} are due", 8896, "3.3")
        return None
    return [None if one is None else _single(one, rule, path, noter) for one in value]


def _single(value: Json, rule: Rule, path: str, noter: Noter) -> Json:
    if rule.cost_type.cost_mode == ARRAY and not isinstance(value, list):
        noter.must(path, f"an array is due, not {shown(value)}", 9275, "6.5.2")
        return None
    if not rule.has_numbers:
        return value
    if not is_number(value):
        noter.must(path, f"a number is due, not {shown(value)}", rule.rfc, rule.section)
        return None
    if rule.least is not None and value < rule.least:
        noter.must(path, f"{shown(value)} is negative", *rule.clause)
    if rule.is_integer and value != value // 1:
        noter.must(path, f"{shown(value)} is no integer", *rule.clause)
    return value


def unmet(tests: Tests, numbers: Callable[[int], Json]) -> bool:
    """Whether a pair meets none of the conjunctions; `numbers` gives its cost by the index in the predicates."""
    for conjunction in tests:
        costs = [numbers(predicate.index) for predicate in conjunction]
        if all(
            is_number(cost) and predicate.holds_for([cost])[0]
            for predicate, cost in zip(conjunction, costs, strict=True)
        ):
            return False
    return bool(tests)


def tests_of(asked: Json) -> Tests:
    """The constraints of a request that was sent; none where they are about cost types that are not in the answer."""
    if "testable-cost-types" in asked:
        return ()
    groups = asked.get("or-constraints") or ([asked["constraints"]] if asked.get("constraints") else [])
    parsed = tuple(tuple(parse_predicate(text) for text in group) for group in groups)
    return tuple(tuple(one for one in group if one is not None) for group in parsed)
