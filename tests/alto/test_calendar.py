import datetime
import email.utils
import math

import pytest
from alto_updates import Server
from hypothesis import given
from hypothesis import strategies as st

from alto import ConfigurationError, DecodeError
from alto.calendar import (
    MAX_INTERVALS,
    Calendar,
    calendar_attributes,
    calendar_response_attributes,
    format_imf_fixdate,
    parse_calendars,
    parse_imf_fixdate,
)
from alto.costmap import FilteredCostMapResource
from alto.costoffers import CostOffer
from alto.costs import CostMatrix
from alto.findings import Findings, Level
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.types import CostType

ROUTING = CostType("numerical", "routingcost")
ONE = CostMatrix(["a"], ["a"], [[1]])
START = 1561986000  # Mon, 01 Jul 2019 13:00:00 GMT
ATTRIBUTES = {
    "calendar-start-time": "Mon, 01 Jul 2019 13:00:00 GMT",
    "time-interval-size": 7200,
    "number-of-intervals": 12,
}
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["x", ATTRIBUTES["calendar-start-time"]]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*ATTRIBUTES, "repeated"]), inner),
    max_leaves=6,
)


def read(*attributes, strict=True):
    findings = Findings(strict=strict)
    return parse_calendars({"calendar-response-attributes": [*attributes]}, findings), findings.items


@given(st.integers(-(10**10), 10**11))
def test_dates_are_written_as_http_has_them_and_read_back(unix):
    text = format_imf_fixdate(unix)
    assert text == email.utils.format_datetime(datetime.datetime.fromtimestamp(unix, datetime.UTC), usegmt=True)
    assert parse_imf_fixdate(text) == (unix, True)


def test_a_fraction_of_a_second_is_left_out():
    assert format_imf_fixdate(START + 0.9) == "Mon, 01 Jul 2019 13:00:00 GMT"


@given(st.text(max_size=30) | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT"))
def test_any_text_is_a_date_or_none(text):
    parsed = parse_imf_fixdate(text)
    assert parsed is None or isinstance(parsed[0], float)
    assert parsed is None or format_imf_fixdate(parsed[0])


def test_the_start_is_no_iso_8601_date():
    with pytest.raises(DecodeError, match="no IMF-fixdate"):
        read({**ATTRIBUTES, "calendar-start-time": "2019-07-01T13:00:00Z"})


@pytest.mark.parametrize("text", ["Tue, 1 Jul 2019 13:00:00 GMT", "Tue, 01 Jul 2019 13:00:00 GMT"])
def test_a_lenient_reader_forgives_the_weekdays_of_rfc_8896(text):
    [calendar], [finding] = read({**ATTRIBUTES, "calendar-start-time": text}, strict=False)
    assert calendar.start == START
    assert finding.level is Level.MUST
    assert "Mon, 01 Jul 2019" in finding.text
    with pytest.raises(DecodeError):
        read({**ATTRIBUTES, "calendar-start-time": text})


def test_a_leap_second_is_a_date():
    assert parse_imf_fixdate("Sat, 31 Dec 2016 23:59:60 GMT") == (1483228800, True)
    assert parse_imf_fixdate("Sat, 31 Dec 2016 23:59:61 GMT") is None


def test_after_the_last_second_of_the_year_9999_there_is_no_date():
    assert parse_imf_fixdate("Fri, 31 Dec 9999 23:59:59 GMT") == (253402300799, True)
    assert parse_imf_fixdate("Fri, 31 Dec 9999 23:59:60 GMT") is None
    with pytest.raises(DecodeError, match="no IMF-fixdate"):
        read({**ATTRIBUTES, "calendar-start-time": "Mon, 31 Dec 9999 23:59:60 GMT"})


def test_a_calendar_says_when_its_intervals_are():
    [calendar], _ = read({**ATTRIBUTES, "time-interval-size": 0.5, "number-of-intervals": 4, "repeated": 2})
    assert calendar.interval_at(START - 0.1) is None
    assert [calendar.interval_at(START + at) for at in (0, 0.5, 1.9, 2.0, 3.9)] == [0, 1, 3, 0, 3]
    assert calendar.interval_at(START + 4) is None
    assert calendar.end == START + 4


def test_without_a_length_there_is_no_interval_to_be_in():
    [calendar], _ = read({**ATTRIBUTES, "time-interval-size": 0})
    assert calendar.interval_at(START) is None


@pytest.mark.parametrize("size", [5e-324, 1e308, 10**400])
def test_intervals_of_any_length_are_safe_to_reckon_with(size):
    [calendar], _ = read({**ATTRIBUTES, "time-interval-size": size, "repeated": 10**400})
    assert calendar.interval_at(START) == 0
    assert calendar.interval_at(START + 1e9) in (0, None)
    assert calendar.end >= START


@pytest.mark.parametrize(
    ("member", "value"),
    [
        *(("time-interval-size", value) for value in (-1, "1", True, None)),
        *(("number-of-intervals", value) for value in (0, -1, 1.5, "1", True, None)),
        *(("repeated", value) for value in (0, 1.5, "1", True, None)),
        *(("cost-type-names", value) for value in ([], [1], "x", None)),
        *(("calendar-start-time", value) for value in (1, None, "")),
    ],
)
def test_each_member_is_what_it_has_to_be(member, value):
    with pytest.raises(DecodeError, match=f"calendar-response-attributes/{member}"):
        read({**ATTRIBUTES, member: value})


@pytest.mark.parametrize("member", [*ATTRIBUTES])
def test_each_member_but_repeated_and_names_is_required(member):
    tree = {name: value for name, value in ATTRIBUTES.items() if name != member}
    with pytest.raises(DecodeError, match=f"{member}: missing"):
        read(tree)


@given(json_values)
def test_any_json_is_calendars_or_findings(value):
    findings = Findings(strict=False)
    found = parse_calendars({"calendar-response-attributes": value}, findings)
    assert found or findings.items
    for calendar in found:
        calendar.interval_at(START)
        assert calendar.end is None or calendar.end >= calendar.start


def test_a_calendar_has_intervals_of_some_length():
    for arguments in (([], 1, 0), ([ONE], -1, 0), ([ONE], math.nan, 0), ([ONE], math.inf, 0)):
        with pytest.raises(ConfigurationError):
            Calendar(*arguments)
    with pytest.raises(ConfigurationError, match=str(MAX_INTERVALS)):
        Calendar([ONE] * (MAX_INTERVALS + 1), 1, 0)
    assert Calendar([ONE], 0, 0).response_attributes()["time-interval-size"] == 0, "a non-negative number, says 4.1"


@pytest.mark.parametrize("repeated", [0, -1, 1.5, math.nan, math.inf])
def test_a_calendar_is_repeated_a_whole_number_of_times(repeated):
    with pytest.raises(ConfigurationError, match="repeated"):
        Calendar([ONE], 1, 0, repeated)


@pytest.mark.parametrize("start", [math.nan, math.inf, -math.inf, 1e15, -1e12])
def test_a_calendar_starts_at_a_date_that_can_be_written(start):
    with pytest.raises(ConfigurationError, match="starts at"):
        Calendar([ONE], 1, start)


def test_cost_types_with_the_same_intervals_stand_together():
    hourly, daily = Calendar([ONE] * 24, 3600, START), Calendar([ONE] * 7, 86400, START, 2)
    assert calendar_attributes({"a": hourly, "b": daily, "c": hourly}) == [
        {"cost-type-names": ["a", "c"], "time-interval-size": 3600, "number-of-intervals": 24},
        {"cost-type-names": ["b"], "time-interval-size": 86400, "number-of-intervals": 7},
    ]
    assert calendar_response_attributes({"a": hourly, "b": daily, "c": hourly}, has_names=True) == [
        {
            "cost-type-names": ["a", "c"],
            "calendar-start-time": ATTRIBUTES["calendar-start-time"],
            "time-interval-size": 3600,
            "number-of-intervals": 24,
        },
        {
            "cost-type-names": ["b"],
            "calendar-start-time": ATTRIBUTES["calendar-start-time"],
            "time-interval-size": 86400,
            "number-of-intervals": 7,
            "repeated": 2,
        },
    ]


def test_a_calendar_has_a_version_of_its_own():
    other = CostMatrix(["a"], ["a"], [[2]])
    made = [
        Calendar([ONE], 1, 0),
        Calendar([other], 1, 0),
        Calendar([ONE], 2, 0),
        Calendar([ONE], 1, 1),
        Calendar([ONE], 1, 0, 1),
    ]
    assert len({calendar.version for calendar in made}) == 5
    assert Calendar([ONE], 1, 0).version == made[0].version


def test_the_length_of_an_interval_is_a_double():
    [calendar], _ = read({**ATTRIBUTES, "time-interval-size": 0.1})
    assert calendar.attributes.time_interval_size == 0.1
    assert Calendar([ONE], 0.1, 0).response_attributes()["time-interval-size"] == 0.1


def test_a_calendar_that_changes_is_told_to_those_who_follow_it():
    def resource(cost):
        calendar = Calendar([ONE, CostMatrix(["a"], ["a"], [[cost]])], 60, START)
        return FilteredCostMapResource("calendars", "map", {"num": CostOffer(ROUTING, ONE, calendar)})

    held = Server(NetworkMapResource("map", NetworkMap({"a": {"ipv4": ["0.0.0.0/0"]}})), resource(2))
    asked = {"cost-type": ROUTING.to_json(), "calendared": [True]}
    stream = held.open(c={"resource-id": "calendars", "input": asked})
    held.sent(stream)
    held.replace(resource(3))
    ((_, change),) = held.events(stream)
    assert change["cost-map"] == {"a": {"a": [1, 3]}}
