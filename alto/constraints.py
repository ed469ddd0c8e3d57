"""Constraints on costs: predicates, their AND and OR (RFC 7285 section 11.3.2.3, RFC 8189 section 4.1.2)."""

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from types import MappingProxyType
from typing import Any

from attrs import field, frozen

from alto._json import Json
from alto.params import bad_value, wrong_type

MAX_PREDICATES = 64
"""Predicates of one request. Each is put to every pair, so that they multiply the work that a request makes."""

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {"gt": operator.gt, "lt": operator.lt, "ge": operator.ge, "le": operator.le, "eq": operator.eq}
)
_PREDICATE = re.compile(
    # Nothing is given back: of a million spaces each is looked at once.
    r"\s*+(?:\[([0-9]{1,4})\]\s++)?(gt|lt|ge|le|eq)\s++(-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)\s*+",
    re.ASCII,
)


@frozen
class Predicate:
    """`operator target`, put to the cost type at `index` of those that can be tested."""

    index: int
    operator: str
    target: float
    """An IEEE 754 double, in the unit of the metric."""
    text: str = field(default="", eq=False)
    """As it was sent."""

    def holds_for(self, costs: Sequence[float]) -> list[bool]:
        """Whether it holds for each cost. It does not for NaN, which stands for a cost that is not there."""
        return list(map(_OPERATORS[self.operator], costs, repeat(self.target)))


Tests = tuple[tuple[Predicate, ...], ...]
"""An OR of ANDs; empty where everything meets it."""


def parse_predicate(text: str) -> Predicate | None:
    """The predicate that `text` is, with the index 0 where it has none; None for one that breaks the syntax.

    The target is a JSON number within the range of a double.
    """
    match = _PREDICATE.fullmatch(text)
    if match is None:
        return None
    target = float(match[3])
    return None if math.isinf(target) else Predicate(int(match[1] or 0), match[2], target, text)


def read_constraints(value: Json, *, has_index: bool) -> Tests:
    """The member `constraints`: an AND of predicates, which may have an index in RFC 8189. Raises RequestError."""
    predicates = _read_all(value, "constraints", has_index)
    return (predicates,) if predicates else ()


def read_or_constraints(value: Json) -> Tests:
    """The member `or-constraints`: an OR, which is not empty, of ANDs, none of which is. Raises RequestError."""
    if not isinstance(value, list):
        raise wrong_type("or-constraints")
    if not value:
        raise bad_value("or-constraints", value)
    tests: list[tuple[Predicate, ...]] = []
    left = MAX_PREDICATES
    for element in value:
        if not isinstance(element, list) or not element or len(element) > left:
            raise bad_value("or-constraints", element)
        left -= len(element)
        tests.append(_read_all(element, "or-constraints", True))
    return tuple(tests)


def _read_all(value: Json, path: str, has_index: bool) -> tuple[Predicate, ...]:
    if not isinstance(value, list):
        raise wrong_type(path)
    if len(value) > MAX_PREDICATES:
        raise bad_value(path, value[MAX_PREDICATES])
    return tuple(_read(element, path, has_index) for element in value)


def _read(element: Json, path: str, has_index: bool) -> Predicate:
    predicate = parse_predicate(element) if isinstance(element, str) else None
    if predicate is None or ("[" in element and not has_index):
        raise bad_value(path, element)
    return predicate


def check_indices(tests: Tests, path: str, is_testable: Sequence[bool]) -> None:
    """Raises RequestError where a predicate names a cost type that is not there, or that may not be tested."""
    for predicate in all_of(tests):
        if predicate.index >= len(is_testable) or not is_testable[predicate.index]:
            raise bad_value(path, predicate.text)


def all_of(tests: Tests) -> Iterable[Predicate]:
    """Every predicate."""
    return (predicate for conjunction in tests for predicate in conjunction)


def without(tests: Tests, indices: Iterable[int]) -> Tests:
    """The tests as if the predicates on these cost types held: they are not looked at (RFC 8896 section 5.2.1)."""
    dropped = set(indices)
    rest = tuple(tuple(one for one in conjunction if one.index not in dropped) for conjunction in tests)
    return rest if all(rest) else ()


def mask(tests: Tests, costs: Mapping[int, Sequence[float]]) -> list[bool]:
    """Which pairs meet the tests, which are not empty: `costs` has a row of them by the index of each type tested."""
    met: list[bool] | None = None
    for conjunction in tests:
        both: list[bool] | None = None
        for predicate in conjunction:
            holds = predicate.holds_for(costs[predicate.index])
            both = holds if both is None else list(map(operator.and_, both, holds))
        if both is not None:
            met = both if met is None else list(map(operator.or_, met, both))
    return met or []
