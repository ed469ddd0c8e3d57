"""Cost calendars: a cost for each interval of time to come (RFC 8896)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from attrs import field, frozen

from alto._json import Json
from alto.costs import CostMatrix
from alto.errors import ConfigurationError
from alto.findings import Findings, join, shown
from alto.ports import EndpointCosts

MAX_INTERVALS = 10_000
"""Intervals of one calendar: a week by the minute. Each pair of an answer has that many costs."""

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FIXDATE = re.compile(r"([A-Z][a-z]{2}), ([0-9]{1,2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT")
_YEAR_10000 = 253_402_300_800
"""The Unix time from which on no date of four digits is."""
_HUGE = 10**15
"""Seconds, intervals, repetitions: more of them than this many mean as much, and are safe to reckon with."""


def format_imf_fixdate(wall: float) -> str:
    """Unix time as the IMF-fixdate of HTTP (RFC 9110 section 5.6.7), in whole seconds."""
    at = datetime.fromtimestamp(int(wall // 1), UTC)
    return f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04} {at:%H:%M:%S} GMT"


def parse_imf_fixdate(text: str) -> tuple[float, bool] | None:
    """The Unix time of an IMF-fixdate, and whether it is written as it has to be; None for what is no such date.

    A day of one digit and a wrong day of the week, both in the examples of RFC 8896, are read as they are meant.
    """
    match = _FIXDATE.fullmatch(text)
    if match is None or match[1] not in _DAYS or match[3] not in _MONTHS:
        return None
    weekday, day, month, *rest = match.groups()
    year, hour, minute, second = map(int, rest)
    try:
        # A leap second is a date, though not one that datetime knows.
        at = datetime(year, _MONTHS.index(month) + 1, int(day), hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None
    start = at.timestamp() + (second == 60)
    if second > 60 or start >= _YEAR_10000:
        return None
    return start, len(day) == 2 and _DAYS[at.weekday()] == weekday


@frozen
class CalendarAttributes:
    """How long an interval is, in seconds, and how many there are (section 4.1)."""

    time_interval_size: float
    number_of_intervals: int

    def to_json(self) -> dict[str, Json]:
        """The members that the IRD and a response have in common."""
        return {"time-interval-size": self.time_interval_size, "number-of-intervals": self.number_of_intervals}


def _as_tuple(intervals: Iterable[CostMatrix | EndpointCosts]) -> tuple[CostMatrix | EndpointCosts, ...]:
    return tuple(intervals)


@frozen
class Calendar:
    """The costs of one cost type in each of several intervals. It never changes: make another one when it is over.

    Raises ConfigurationError for a size below 0, no or too many intervals, a start beyond the years 1 to 9999, and a
    `repeated` that is no integer from 1 on.
    """

    intervals: tuple[CostMatrix | EndpointCosts, ...] = field(converter=_as_tuple)
    """The costs in each interval; between PIDs, or for an endpoint cost service between endpoints."""
    time_interval_size: float
    """Seconds, perhaps with a fraction."""
    start: float
    """Unix time at which the first interval begins: not later than a request, says section 5.1.2."""
    repeated: int | None = None
    """How often the calendar holds in a row, this time included; None says nothing about it."""

    def __attrs_post_init__(self) -> None:
        if not 1 <= len(self.intervals) <= MAX_INTERVALS:
            raise ConfigurationError(
                f"a calendar of {len(self.intervals)} intervals, where 1 to {MAX_INTERVALS} are due"
            )
        if not 0 <= self.time_interval_size < math.inf:
            raise ConfigurationError(f"a time interval of {self.time_interval_size} s")
        if self.repeated is not None and (self.repeated < 1 or self.repeated % 1):
            raise ConfigurationError(f"a calendar that is repeated {self.repeated} times, itself included")
        try:
            format_imf_fixdate(self.start)
        except (ValueError, OverflowError, OSError) as error:
            raise ConfigurationError(f"a calendar that starts at {self.start}: {error}") from error

    @property
    def attributes(self) -> CalendarAttributes:
        """What the IRD says of it."""
        return CalendarAttributes(self.time_interval_size, len(self.intervals))

    def response_attributes(self) -> dict[str, Json]:
        """The `CalendarResponseAttributes` of section 5.1.2, without the names of the cost types."""
        tree: dict[str, Json] = {"calendar-start-time": format_imf_fixdate(self.start), **self.attributes.to_json()}
        if self.repeated is not None:
            tree["repeated"] = self.repeated
        return tree

    @property
    def version(self) -> object:
        """Differs whenever the calendar does."""
        costs = tuple(one.tag if isinstance(one, CostMatrix) else one.version for one in self.intervals)
        return costs, self.time_interval_size, self.start, self.repeated


def calendar_attributes(calendars: Mapping[str, Calendar]) -> list[Json]:
    """The capability `calendar-attributes` for calendars by the name of their cost type, alike ones together."""
    names: dict[CalendarAttributes, list[str]] = {}
    for name, calendar in calendars.items():
        names.setdefault(calendar.attributes, []).append(name)
    return [{"cost-type-names": group, **attributes.to_json()} for attributes, group in names.items()]


def calendar_response_attributes(calendars: Mapping[str, Calendar], *, has_names: bool) -> list[Json]:
    """The member `calendar-response-attributes`, for the calendars that are given in the response."""
    groups: list[tuple[dict[str, Json], list[str]]] = []
    for name, calendar in calendars.items():
        tree = calendar.response_attributes()
        same = next((group for attributes, group in groups if attributes == tree), None)
        if same is None:
            groups.append((tree, [name]))
        else:
            same.append(name)
    return [{"cost-type-names": group, **tree} if has_names else tree for tree, group in groups]


@frozen
class CalendarResponse:
    """What a response says of a calendar in it (section 5.1.2)."""

    attributes: CalendarAttributes
    start: float | None
    """Unix time at which the first interval begins; None where the date cannot be read."""
    repeated: int = 1
    cost_type_names: tuple[str, ...] = ()

    def interval_at(self, wall: float) -> int | None:
        """The interval that the Unix time `wall` lies in, however often the calendar repeats; None when in none."""
        size, number = self.attributes.time_interval_size, self.attributes.number_of_intervals
        if self.start is None or wall < self.start or size <= 0:
            return None
        place = (wall - self.start) // size
        # A size may be so small that the place is infinite.
        return int(place) % number if place < number * self.repeated else None

    @property
    def end(self) -> float | None:
        """Unix time from which on the calendar holds no longer."""
        if self.start is None:
            return None
        attributes = self.attributes
        return self.start + attributes.time_interval_size * attributes.number_of_intervals * self.repeated


def parse_calendars(meta: dict[str, Json], findings: Findings) -> list[CalendarResponse]:
    """The `calendar-response-attributes` of a response; those without a size or number are left out."""
    path = "meta/calendar-response-attributes"
    listed = findings.optional(meta, "calendar-response-attributes", list, "meta", 8896, "5.1.2")
    if listed == []:
        findings.must(path, "at least one object is due", 8896, "5.1.2")
    found = (_parse_calendar(tree, findings, path) for tree in listed or ())
    return [calendar for calendar in found if calendar is not None]


def _parse_calendar(tree: Json, findings: Findings, path: str) -> CalendarResponse | None:
    if not findings.is_a(tree, dict, path, 8896, "5.1.2"):
        return None
    size = findings.member(tree, "time-interval-size", float, path, 8896, "5.1.2")
    number = findings.member(tree, "number-of-intervals", float, path, 8896, "5.1.2")
    names = findings.optional(tree, "cost-type-names", list, path, 8896, "5.1.2")
    if names is not None and (not names or not all(isinstance(name, str) for name in names)):
        findings.must(join(path, "cost-type-names"), "one or more names are due", 8896, "5.1.2")
    start = _parse_start(tree, findings, path)
    repeated = findings.optional(tree, "repeated", float, path, 8896, "5.1.2")
    if repeated is not None and (repeated < 1 or repeated != repeated // 1):
        findings.must(join(path, "repeated"), f"{shown(repeated)} is no positive integer", 8896, "5.1.2")
        repeated = None
    if size is not None and size < 0:
        findings.must(join(path, "time-interval-size"), f"{shown(size)} is negative", 8896, "4.1")
        size = None
    if number is not None and (number < 1 or number != number // 1):
        findings.must(join(path, "number-of-intervals"), f"{shown(number)} is no positive integer", 8896, "4.1")
        number = None
    if size is None or number is None:
        return None
    known = tuple(name for name in names or () if isinstance(name, str))
    attributes = CalendarAttributes(float(min(size, _HUGE)), int(min(number, _HUGE)))
    return CalendarResponse(attributes, start, int(min(repeated or 1, _HUGE)), known)


def _parse_start(tree: dict[str, Json], findings: Findings, path: str) -> float | None:
    text = findings.member(tree, "calendar-start-time", str, path, 8896, "5.1.2")
    if text is None:
        return None
    inner = join(path, "calendar-start-time")
    parsed = parse_imf_fixdate(text)
    if parsed is None:
        findings.must(inner, f"{text!r:.80} is no IMF-fixdate", 8896, "5")
        return None
    start, is_exact = parsed
    if not is_exact:
        findings.must(inner, f"{text!r} is not how {format_imf_fixdate(start)!r} is written", 8896, "5")
    return start
