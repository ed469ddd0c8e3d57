"""Reading a response of costs, clause by clause: cost maps and endpoint costs (RFC 7285, 8189, 8896, 9439)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import evolve, frozen

from alto._costvalues import Noter, Rule, are_fine, checked, tests_of, unmet
from alto._json import Json
from alto.calendar import CalendarResponse, parse_calendars
from alto.constraints import Tests
from alto.errors import DecodeError
from alto.findings import Findings, join, shown
from alto.ird import ResourceEntry
from alto.metrics import parse_cost_type
from alto.types import CostType, VTag
from alto.vtags import parse_dependent_vtags, parse_meta, parse_vtag


@frozen
class Kind:
    """A kind of response: the member with its data, the clauses that define it, what its keys are."""

    member: str
    section: str
    """Of RFC 7285: what a response has to have."""
    has_dependent_vtag: bool
    filter: str
    """The member of a request that names the pairs."""
    key: Callable[[str], str | None]
    """One text for each source and destination; None for what is none."""
    key_section: str


@frozen
class Asked:
    """What is known about the question."""

    params: Json = None
    """What was posted; None for a GET, or if it is not known."""
    entry: ResourceEntry | None = None
    """The IRD entry of the resource."""
    cost_types: Mapping[str, CostType] = {}
    """Those of its IRD, by name."""
    wall: float | None = None
    """Unix time at which it was asked."""


Costs = tuple[
    tuple[CostType, ...],
    dict[str, dict[str, Json]],
    bool,
    tuple[CalendarResponse | None, ...],
    VTag | None,
    tuple[VTag, ...],
]
"""What was read: cost types, pairs, whether it is multi-cost, calendars, own and dependent version tags."""


def read_costs(tree: Json, findings: Findings, kind: Kind, asked: Asked) -> Costs:
    """Read a response. Raises DecodeError where there are no costs, or of no known type; else what `findings` raise."""
    meta = parse_meta(tree, findings)
    data = findings.member(tree, kind.member, dict, "", 7285, kind.section)
    if data is None:
        raise DecodeError(f"{kind.member}: there is none (RFC 7285 section {kind.section})")
    vtag = parse_vtag(meta["vtag"], findings, "meta/vtag") if "vtag" in meta else None
    dependent = _dependent_vtags(meta, findings, kind, asked)
    cost_types, is_multi_cost = _cost_types(meta, findings, kind, asked)
    calendars = _calendars(meta, findings, asked, cost_types, data)
    rules = [
        Rule(cost_type, calendar, 7285, kind.section) for cost_type, calendar in zip(cost_types, calendars, strict=True)
    ]
    pairs = _Reader(findings, kind, asked, rules, is_multi_cost).read(data)
    return cost_types, pairs, is_multi_cost, calendars, vtag, dependent


def _dependent_vtags(meta: dict[str, Json], findings: Findings, kind: Kind, asked: Asked) -> tuple[VTag, ...]:
    if not kind.has_dependent_vtag:
        return ()
    found = parse_dependent_vtags(meta, findings, kind.section)
    if found is None:
        return ()
    path = "meta/dependent-vtags"
    if len(found) != 1:
        findings.must(path, f"{len(found)} version tags, where that of the network map is due", 7285, kind.section)
    uses = asked.entry.uses if asked.entry is not None else ()
    for vtag in found:
        if uses and vtag.resource_id not in uses:
            findings.must(path, f"{shown(vtag.resource_id)} is not in the uses of the resource", 7285, kind.section)
    return found


def _cost_types(
    meta: dict[str, Json], findings: Findings, kind: Kind, asked: Asked
) -> tuple[tuple[CostType, ...], bool]:
    wanted = _wanted_types(asked)
    is_asked_multi = isinstance(asked.params, dict) and "multi-cost-types" in asked.params
    if asked.params is not None and is_asked_multi != ("multi-cost-types" in meta):
        text = "missing, though it was asked for" if is_asked_multi else "not asked for"
        findings.must("meta/multi-cost-types", text, 8189, "4.1.3")
    if "multi-cost-types" not in meta:
        tree = findings.member(meta, "cost-type", dict, "meta", 7285, kind.section)
        one = None if tree is None else parse_cost_type(tree, findings, "meta/cost-type")
        if one is None and len(wanted) == 1:
            one = wanted[0]
        if one is None:
            raise DecodeError(f"meta/cost-type: there is none (RFC 7285 section {kind.section})")
        if wanted and (len(wanted) > 1 or one != wanted[0]):
            findings.must("meta/cost-type", f"{one.key} is not what was asked for", 7285, kind.section)
        return (one,), False
    if meta.get("cost-type") != {}:
        findings.must("meta/cost-type", "{} is due beside multi-cost-types", 8189, "4.1.3")
    path = "meta/multi-cost-types"
    listed = findings.member(meta, "multi-cost-types", list, "meta", 8189, "4.1.3")
    parsed = [parse_cost_type(tree, findings, path) for tree in listed or ()]
    found = tuple(one for one in parsed if one is not None)
    if not found or len(found) != len(parsed):
        if not wanted:
            raise DecodeError(f"{path}: not what costs can be read by (RFC 8189 section 4.1.3)")
        return wanted, True
    if wanted and found != wanted:
        findings.must(path, "not the same as in the request", 8189, "4.1.3")
    return found, True


def _wanted_types(asked: Asked) -> tuple[CostType, ...]:
    """The cost types that the answer should have, as far as that is known."""
    if isinstance(asked.params, dict):
        listed = asked.params.get("multi-cost-types") or [asked.params.get("cost-type")]
        return tuple(CostType(tree["cost-mode"], tree["cost-metric"]) for tree in listed if tree)
    if asked.entry is not None and asked.entry.accepts is None:
        names = asked.entry.capabilities.get("cost-type-names", ())
        return tuple(asked.cost_types[name] for name in names if name in asked.cost_types)[:1]
    return ()


def _calendars(
    meta: dict[str, Json],
    findings: Findings,
    asked: Asked,
    cost_types: Sequence[CostType],
    data: dict[str, Json],
) -> tuple[CalendarResponse | None, ...]:
    """The calendar of each cost type that has one in the response."""
    path = "meta/calendar-response-attributes"
    listed = parse_calendars(meta, findings)
    due = _due_calendars(asked, len(cost_types))
    found: list[CalendarResponse | None] = [None] * len(cost_types)
    if not listed:
        if any(due) and "calendar-response-attributes" not in meta:
            findings.must(path, "missing, though a calendar was asked for", 8896, "5.1.2")
        return tuple(found)
    for calendar in listed:
        if asked.wall is not None and calendar.start is not None and calendar.start > asked.wall:
            findings.should(join(path, "calendar-start-time"), "later than the request", 8896, "5.1.2")
    if len(listed) > 1 or sum(due) > 1:
        for calendar in listed:
            if not calendar.cost_type_names:
                findings.must(join(path, "cost-type-names"), "missing, with several calendars", 8896, "5.1.2")
    names = _names(asked)
    for place, cost_type in enumerate(cost_types):
        if place < len(due) and not due[place]:
            continue  # a single cost is due
        name = names.get(cost_type.key)
        found[place] = next((one for one in listed if name is not None and name in one.cost_type_names), None)
    if not any(found):
        # No names, or none that is known: in the order of the types that were asked for, or that look like calendars.
        places = [place for place, is_due in enumerate(due or _look(data, len(cost_types))) if is_due]
        given = [calendar for calendar in listed for _ in calendar.cost_type_names or ("",)]
        if len(given) == 1:
            given *= len(places)
        for place, calendar in zip(places, given, strict=False):
            found[place] = calendar
    _check_attributes(found, cost_types, findings, asked, path)
    return tuple(found)


def _names(asked: Asked) -> dict[tuple[str, str], str]:
    """The names of cost types in the IRD, by mode and metric: those of the resource where its entry is known."""
    entry = asked.entry
    listed = asked.cost_types if entry is None else entry.capabilities.get("cost-type-names", ())
    return {asked.cost_types[name].key: name for name in listed if name in asked.cost_types}


def _due_calendars(asked: Asked, number: int) -> list[bool]:
    """Which cost types a calendar was asked of that there is; empty if that is not known."""
    if not isinstance(asked.params, dict):
        return []
    wanted = asked.params.get("calendared", [False] * number)
    if asked.entry is None:
        return list(wanted) if len(wanted) == number else []
    offered = {asked.cost_types[name].key for name in _offered(asked.entry) if name in asked.cost_types}
    types = _wanted_types(asked)
    return [is_wanted and one.key in offered for is_wanted, one in zip(wanted, types, strict=False)]


def _offered(entry: ResourceEntry) -> dict[str, Json]:
    """The calendar attributes of an entry by the name of the cost type, of several the first (RFC 8896 4.1)."""
    found: dict[str, Json] = {}
    for tree in entry.capabilities.get("calendar-attributes", ()):
        for name in tree["cost-type-names"]:
            found.setdefault(name, tree)
    return found


def _look(data: dict[str, Json], number: int) -> list[bool]:
    """Which of several cost types have arrays for costs, by the first costs there are."""
    for row in data.values():
        for value in row.values() if isinstance(row, dict) else ():
            if isinstance(value, list) and len(value) == number > 1:
                return [isinstance(one, list) for one in value]
    return [True] * number


def _check_attributes(
    found: list[CalendarResponse | None],
    cost_types: Sequence[CostType],
    findings: Findings,
    asked: Asked,
    path: str,
) -> None:
    """Whether the calendars are those that the IRD announces: the number of costs is the one that it says (3.3)."""
    if asked.entry is None:
        return
    offered = {
        asked.cost_types[name].key: tree for name, tree in _offered(asked.entry).items() if name in asked.cost_types
    }
    for place, cost_type in enumerate(cost_types):
        calendar = found[place]
        if calendar is None:
            continue
        tree = offered.get(cost_type.key)
        attributes = calendar.attributes
        if tree is None:
            findings.must(path, f"the IRD has no calendar of {cost_type.key}", 8896, "5.1.2")
        elif (tree["time-interval-size"], tree["number-of-intervals"]) != (
            attributes.time_interval_size,
            attributes.number_of_intervals,
        ):
            findings.must(path, f"other intervals of {cost_type.key} than in the IRD", 8896, "5.1.2")
            expected = evolve(attributes, number_of_intervals=int(tree["number-of-intervals"]))
            found[place] = evolve(calendar, attributes=expected)


class _Reader:
    """Reads the data of a response: each key and cost that can be made use of."""

    def __init__(
        self, findings: Findings, kind: Kind, asked: Asked, rules: Sequence[Rule], is_multi_cost: bool
    ) -> None:
        self._findings = findings
        self._noter = Noter(findings)
        self._kind = kind
        self._rules = rules
        self._is_multi_cost = is_multi_cost
        self._keys: dict[str, str | None] = {}
        self._plain: set[str] = set()
        self._spelled: tuple[dict[str, str] | None, dict[str, str] | None] = (None, None)
        self._tests: Tests = ()
        if isinstance(asked.params, dict):
            listed = asked.params.get(kind.filter) or {}
            self._spelled = (self._spelling(listed.get("srcs")), self._spelling(listed.get("dsts")))
            self._tests = () if any(rule.calendar for rule in rules) else tests_of(asked.params)

    def _spelling(self, names: Sequence[str] | None) -> dict[str, str] | None:
        """How each key was spelled in the request; None where all were asked for."""
        if not names:
            return None
        found: dict[str, str] = {}
        for name in names:
            found.setdefault(self._kind.key(name) or name, name)
        return found

    def read(self, data: dict[str, Json]) -> dict[str, dict[str, Json]]:
        """The rows, their keys spelled as in the request."""
        pairs: dict[str, dict[str, Json]] = {}
        for source, row in data.items():
            path = join(self._kind.member, source[:80])
            name = self._name(source, 0, path)
            if name is None or not isinstance(row, dict):
                if not isinstance(row, dict):
                    self._noter.must(path, f"an object is due, not {shown(row)}", 7285, self._kind.section)
                continue
            made = self._row(row, path)
            if name in pairs:
                self._noter.must(path, "the same source twice", 7285, self._kind.section)
                made = {**pairs[name], **made}
            pairs[name] = made
        return pairs

    def _row(self, row: dict[str, Json], path: str) -> dict[str, Json]:
        is_fine = not self._is_multi_cost and not self._tests and are_fine([*row.values()], self._rules[0])
        if is_fine and self._spelled[1] is None and row.keys() <= self._plain:
            return row
        names = [self._name(name, 1, path, is_inner=True) for name in row]
        if is_fine:
            return {name: value for name, value in zip(names, row.values(), strict=True) if name is not None}
        kept: dict[str, Json] = {}
        for name, (key, value) in zip(names, row.items(), strict=True):
            found = None if name is None else self._value(value, join(path, key[:80]))
            if name is not None and found is not None:
                kept[name] = found
        return kept

    def _name(self, text: str, side: int, path: str, *, is_inner: bool = False) -> str | None:
        """A source or destination as it was spelled in the request; None for what is none, or was not asked for."""
        if is_inner:
            path = f"{path}/{text:.80}"
        if text not in self._keys:
            self._keys[text] = key = self._kind.key(text)
            if key is None:
                self._noter.must(path, "no source or destination by its syntax", 7285, self._kind.key_section)
            elif key == text:
                self._plain.add(text)
        key = self._keys[text]
        spelled = self._spelled[side]
        if key is None or spelled is None:
            return key
        if key not in spelled:
            self._noter.must(path, "not among what was asked for", 7285, self._kind.section)
            return None
        return spelled[key]

    def _value(self, value: Json, path: str) -> Json:
        found = self._values(value, path) if self._is_multi_cost else checked(value, self._rules[0], path, self._noter)
        if found is not None and self._tests:
            costs = found if self._is_multi_cost else [found]
            if unmet(self._tests, lambda index: costs[index] if index < len(costs) else None):
                self._noter.must(path, "a cost that does not meet the constraints", 7285, "11.3.2.6")
        return found

    def _values(self, value: Json, path: str) -> Json:
        """RFC 8189 section 4.1.3."""
        if not isinstance(value, list) or len(value) != len(self._rules):
            self._noter.must(path, f"an array of {len(self._rules)} costs is due, not {shown(value)}", 8189, "4.1.3")
            return None
        return [
            None if one is None else checked(one, rule, path, self._noter)
            for one, rule in zip(value, self._rules, strict=True)
        ]
