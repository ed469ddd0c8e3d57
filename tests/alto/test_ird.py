"""IRDs: read, checked and written (RFC 7285 section 9 and the extensions that add capabilities)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto import media
from alto._json import Json
from alto.errors import DecodeError
from alto.findings import Findings, Level
from alto.ird import (
    MAX_RESOURCES,
    InformationResourceDirectory,
    ResourceEntry,
    parse_directory,
    resolve,
)
from alto.types import CostType

BASE = "https://alto.example.com/directory"


def directory(**resources: Json) -> Json:
    """An IRD with a network map, three cost types and the resources given."""
    costs = {"num-rc": "routingcost", "num-hop": "hopcount"}
    cost_types: Json = {name: {"cost-mode": "numerical", "cost-metric": metric} for name, metric in costs.items()}
    cost_types["pv"] = {"cost-mode": "array", "cost-metric": "ane-path"}
    netmap = {"uri": "/networkmap", "media-type": media.NETWORK_MAP}
    return {
        "meta": {"cost-types": cost_types, "default-alto-network-map": "map"},
        "resources": {"map": netmap, **{name.replace("_", "-"): value for name, value in resources.items()}},
    }


def read(tree: Json, *, base: str = BASE, is_root: bool = True) -> tuple[InformationResourceDirectory, list[str]]:
    """A lenient reading: the directory, and its findings as `level path rfc section`."""
    findings = Findings(strict=False)
    found = parse_directory(tree, findings, base, is_root=is_root)
    return found, [f"{item.level} {item.path} {item.rfc} {item.section}" for item in findings.items]


def costs(**capabilities: Json) -> Json:
    """The entry of a filtered cost map."""
    named = {"cost-type-names": ["num-rc", "num-hop"]}
    named.update({name.replace("_", "-"): value for name, value in capabilities.items()})
    return {
        "uri": "costmap",
        "media-type": media.COST_MAP,
        "accepts": media.COST_MAP_FILTER,
        "uses": ["map"],
        "capabilities": named,
    }


def path_vectors(**capabilities: Json) -> Json:
    """The entry of a filtered cost map of path vectors."""
    entry = costs(**{"cost-type-names": ["pv"], **capabilities})
    entry["media-type"] = f"multipart/related;type={media.COST_MAP}"
    return entry


def stream(**members: Json) -> Json:
    """The entry of an update stream service."""
    return {
        "uri": "updates",
        "media-type": media.EVENT_STREAM,
        "accepts": media.UPDATE_STREAM_PARAMS,
        "uses": ["map"],
        "capabilities": {"incremental-change-media-types": {"map": media.MERGE_PATCH}, "support-stream-control": True},
        **members,
    }


def test_a_directory_is_written_as_it_was_read() -> None:
    tree = directory(costs=costs(), updates=stream())
    found, findings = read(tree)
    again, _ = read(found.to_json())
    assert again == found
    assert findings == []
    assert found.default_network_map == "map"
    assert found.cost_types["num-rc"] == CostType("numerical", "routingcost")
    assert found.resources["costs"].to_json() == {**costs(), "uri": "https://alto.example.com/costmap"}


def test_an_entry_without_what_is_optional_says_only_what_is_needed() -> None:
    entry = ResourceEntry("map", "/networkmap", media.NETWORK_MAP)
    assert entry.to_json() == {"uri": "/networkmap", "media-type": media.NETWORK_MAP}
    assert InformationResourceDirectory({"map": entry}, {}).to_json()["meta"] == {}


def test_absent_accepts_and_capabilities_are_empty() -> None:
    found, _ = read(directory())
    assert found.resources["map"].accepts is None
    assert found.resources["map"].capabilities == {}
    assert found.resources["map"].uses == ()


def test_an_empty_accepts_stands_for_get() -> None:
    found, findings = read(directory(other={"uri": "/o", "media-type": media.NETWORK_MAP, "accepts": ""}))
    assert found.resources["other"].accepts is None
    assert findings == []


def test_unknown_members_are_ignored_everywhere() -> None:
    tree = directory(costs=costs(**{"priv:x": [1]}))
    tree["priv:new"] = 1
    tree["meta"]["priv:new"] = {}
    tree["meta"]["cost-types"]["num-rc"]["priv:new"] = None
    tree["resources"]["map"]["priv:new"] = []
    found, findings = read(tree)
    assert findings == []
    assert found.resources["costs"].capabilities["priv:x"] == [1]


@pytest.mark.parametrize(
    ("base", "reference", "absolute"),
    [
        # RFC 3986 section 5.4.1 and 5.4.2, those whose result is an http URI.
        ("http://a/b/c/d;p?q", "g", "http://a/b/c/g"),
        ("http://a/b/c/d;p?q", "./g", "http://a/b/c/g"),
        ("http://a/b/c/d;p?q", "g/", "http://a/b/c/g/"),
        ("http://a/b/c/d;p?q", "/g", "http://a/g"),
        ("http://a/b/c/d;p?q", "//g", "http://g"),
        ("http://a/b/c/d;p?q", "?y", "http://a/b/c/d;p?y"),
        ("http://a/b/c/d;p?q", "g?y", "http://a/b/c/g?y"),
        ("http://a/b/c/d;p?q", ";x", "http://a/b/c/;x"),
        ("http://a/b/c/d;p?q", "g;x?y", "http://a/b/c/g;x?y"),
        ("http://a/b/c/d;p?q", "", "http://a/b/c/d;p?q"),
        ("http://a/b/c/d;p?q", ".", "http://a/b/c/"),
        ("http://a/b/c/d;p?q", "..", "http://a/b/"),
        ("http://a/b/c/d;p?q", "../g", "http://a/b/g"),
        ("http://a/b/c/d;p?q", "../../g", "http://a/g"),
        ("http://a/b/c/d;p?q", "../../../g", "http://a/g"),
        ("http://a/b/c/d;p?q", "/./g", "http://a/g"),
        ("http://a/b/c/d;p?q", "/../g", "http://a/g"),
        ("http://a/b/c/d;p?q", "g..", "http://a/b/c/g.."),
        ("http://a/b/c/d;p?q", "./../g", "http://a/b/g"),
        ("http://a/b/c/d;p?q", "g;x=1/../y", "http://a/b/c/y"),
        ("http://a/b/c/d;p?q", "g?y/../x", "http://a/b/c/g?y/../x"),
        ("http://a/b/c/d;p?q", "g#s", "http://a/b/c/g"),
        (BASE, "https://other.example:8443/x", "https://other.example:8443/x"),
        (BASE, "http://[2001:db8::1]/x", "http://[2001:db8::1]/x"),
        ("http://a/b/c/d;p?q", "http:g", None),
        ("http://a/b/c/d;p?q", "http://", None),
        (BASE, "ftp://a/b", None),
        (BASE, "mailto:a@b", None),
        (BASE, "http://", None),
        (BASE, "http://[::1", None),
        (BASE, "http://[v]/", None),
        (BASE, "http://a:port/", None),
        (BASE, "http://a:99999/", None),
        (BASE, "a b", None),
        (BASE, "a\r\nHost: x", None),
        (BASE, "ä", None),
    ],
)
def test_a_uri_is_resolved_against_where_the_directory_was_found(
    base: str, reference: str, absolute: str | None
) -> None:
    assert resolve(base, reference) == absolute


def test_a_root_directory_needs_a_default_map_and_a_linked_one_does_not() -> None:
    tree = directory()
    del tree["meta"]["default-alto-network-map"]
    assert read(tree)[1] == ["must meta/default-alto-network-map 7285 9.2.2"]
    assert read(tree, is_root=False)[1] == []
    with pytest.raises(DecodeError, match=r"meta/default-alto-network-map: missing in a Root IRD \(RFC 7285 .* 9.2.2"):
        parse_directory(tree, Findings(), BASE)


@pytest.mark.parametrize("tree", [None, [], 1, "x", {}, {"meta": {}}, {"meta": {}, "resources": []}])
def test_what_is_no_directory_is_refused_even_leniently(tree: Json) -> None:
    with pytest.raises(DecodeError):
        parse_directory(tree, Findings(strict=False), BASE)


def test_more_entries_than_any_server_has_are_refused() -> None:
    tree = {"meta": {}, "resources": dict.fromkeys(map(str, range(MAX_RESOURCES + 1)), 0)}
    with pytest.raises(DecodeError, match="100000 are read"):
        parse_directory(tree, Findings(strict=False), BASE)


@pytest.mark.parametrize(
    ("entry", "finding"),
    [
        (1, "must resources/x 7285 9.2.2"),
        ({"media-type": media.CDNI}, "must resources/x/uri 7285 9.2.2"),
        ({"uri": "/x"}, "must resources/x/media-type 7285 9.2.2"),
        ({"uri": 1, "media-type": media.CDNI}, "must resources/x/uri 7285 9.2.2"),
        ({"uri": "gopher://x", "media-type": media.CDNI}, "must resources/x/uri 7285 9.2.2"),
        ({"uri": "/x", "media-type": "networkmap"}, "must resources/x/media-type 7285 9.1.2"),
        ({"uri": "/x", "media-type": 'a/b;c="\r\nCookie: x"'}, "must resources/x/media-type 7285 9.1.2"),
        ({"uri": "/x", "media-type": "a/b", "accepts": 'a/b;c="\u00e4"'}, "must resources/x/accepts 7285 9.1.2"),
        ({"uri": "/x", "media-type": media.CDNI, "accepts": ["a/b"]}, "must resources/x/accepts 7285 9.2.2"),
        ({"uri": "/x", "media-type": media.CDNI, "accepts": ";"}, "must resources/x/accepts 7285 9.1.2"),
    ],
)
def test_an_entry_that_cannot_be_used_is_left_out(entry: Json, finding: str) -> None:
    found, findings = read(directory(x=entry))
    assert list(found.resources) == ["map"]
    assert findings == [finding]


@pytest.mark.parametrize(
    ("members", "finding"),
    [
        ({"capabilities": []}, "must resources/x/capabilities 7285 9.2.2"),
        ({"uses": "map"}, "must resources/x/uses 7285 9.2.2"),
        ({"uses": [1, "map"]}, "must resources/x/uses 7285 9.2.2"),
        ({"media-type": "application/alto-new+json"}, "note resources/x/media-type 7285 14.1"),
        ({"media-type": "multipart/related"}, "must resources/x/media-type 9275 6.6"),
        ({"accepts": media.COST_MAP_FILTER}, "must resources/x/accepts 7285 11.3.1.3"),
        ({"media-type": media.ENDPOINT_PROPERTIES}, "must resources/x/accepts 7285 11.4.1.3"),
        ({"media-type": media.ENDPOINT_COST}, "must resources/x/accepts 7285 11.5.1.3"),
        ({"media-type": media.EVENT_STREAM}, "must resources/x/accepts 8895 6.5"),
        ({"media-type": media.TIPS}, "must resources/x/accepts 9569 6.1"),
        ({"media-type": media.CDNI, "accepts": "a/b"}, "must resources/x/accepts 9241 5.3"),
        ({"media-type": media.DIRECTORY, "accepts": "a/b"}, "must resources/x/accepts 7285 9.2"),
        ({"uri": "http://alto.example.com/x"}, "note resources/x/uri 7285 8.3.5"),
    ],
)
def test_an_entry_that_can_still_be_used_is_kept(members: Json, finding: str) -> None:
    found, findings = read(directory(x={"uri": "/x", "media-type": media.NETWORK_MAP, **members}))
    assert "x" in found.resources
    assert finding in findings


def test_an_id_is_at_most_64_of_the_characters_of_a_pid_name() -> None:
    entry = {"uri": "/x", "media-type": media.NETWORK_MAP}
    tree = directory()
    tree["resources"].update({"a" * 64: entry, "a" * 65: entry, "a.b": entry, "": entry})
    found, findings = read(tree)
    assert list(found.resources) == ["map", "a" * 64, "a.b"]
    assert findings == [
        f"must resources/{'a' * 64} 7285 10.2",
        "must resources/a.b 7285 10.2",
        "must resources/ 7285 10.2",
    ]


@pytest.mark.parametrize(
    ("capabilities", "finding", "kept"),
    [
        ({"cost_type_names": ["num-rc", "nope"]}, "7285 11.3.2.4", ["num-rc"]),
        ({"cost_type_names": []}, "7285 11.3.2.4", []),
        ({"cost_type_names": "num-rc"}, "7285 11.3.2.4", None),
        ({"cost_type_names": [1, "num-rc"]}, "7285 11.3.2.4", ["num-rc"]),
        ({"cost_constraints": "yes"}, "7285 11.3.2.4", None),
        ({"max_cost_types": -1}, "8189 4.1.1", None),
        ({"max_cost_types": 1.5}, "8189 4.1.1", None),
        ({"max_cost_types": True}, "8189 4.1.1", None),
        ({"testable_cost_type_names": ["num-rc", "pv"]}, "8189 4.1.1", ["num-rc"]),
        ({"testable_cost_type_names": []}, "8189 4.1.1", []),
        ({"testable_cost_type_names": ["num-rc"], "cost_constraints": True}, "8189 4.1.1", ["num-rc"]),
        ({"calendar_attributes": {}}, "8896 4.1", None),
        ({"calendar_attributes": []}, "8896 4.1", []),
    ],
)
def test_capabilities_of_costs_are_checked_and_what_is_wrong_is_left_out(
    capabilities: Json, finding: str, kept: Json
) -> None:
    name = next(iter(capabilities)).replace("_", "-")
    found, findings = read(directory(x=costs(**capabilities)))
    assert f"must resources/x/capabilities/{name} {finding}" in findings
    assert found.resources["x"].capabilities.get(name) == kept
    with pytest.raises(DecodeError):
        parse_directory(directory(x=costs(**capabilities)), Findings(), BASE)


def test_cost_type_names_are_required_and_an_unfiltered_map_has_one() -> None:
    entry = costs()
    del entry["accepts"]
    found, findings = read(directory(x=entry))
    assert findings == ["must resources/x/capabilities/cost-type-names 7285 11.2.3.4"]
    assert found.cost_types_of(found.resources["x"]) == {"num-rc": CostType("numerical", "routingcost")}
    del entry["capabilities"]
    assert read(directory(x=entry))[1] == ["must resources/x/capabilities/cost-type-names 7285 11.2.3.4"]


def test_two_cost_types_of_one_resource_differ_in_more_than_their_context() -> None:
    tree = directory(x=costs(cost_type_names=["num-hop", "sla-hop"]))
    context = {"cost-source": "sla", "parameters": {"link": "https://x"}}
    tree["meta"]["cost-types"]["sla-hop"] = {**tree["meta"]["cost-types"]["num-hop"], "cost-context": context}
    assert read(tree)[1] == ["must resources/x/capabilities/cost-type-names 9439 3.1"]


def test_a_cost_type_that_is_none_is_not_defined() -> None:
    tree = directory(x=costs())
    tree["meta"]["cost-types"]["num-hop"] = {"cost-mode": "numerical"}
    found, findings = read(tree)
    assert findings == [
        "must meta/cost-types/num-hop/cost-metric 7285 10.7",
        "must resources/x/capabilities/cost-type-names 7285 11.3.2.4",
    ]
    assert "num-hop" not in found.cost_types


CALENDAR: Json = {"cost-type-names": ["num-rc"], "time-interval-size": 7200, "number-of-intervals": 12}


@pytest.mark.parametrize(
    ("calendars", "finding", "kept"),
    [
        ([CALENDAR, 1], "calendar-attributes/1", [CALENDAR]),
        ([{**CALENDAR, "time-interval-size": -1}], "calendar-attributes/0/time-interval-size", []),
        ([{**CALENDAR, "number-of-intervals": 0}], "calendar-attributes/0/number-of-intervals", []),
        ([{**CALENDAR, "number-of-intervals": 1.5}], "calendar-attributes/0/number-of-intervals", []),
        ([{**CALENDAR, "cost-type-names": ["pv"]}], "calendar-attributes/0/cost-type-names", []),
        ([{"cost-type-names": ["num-rc"]}], "calendar-attributes/0/time-interval-size", []),
    ],
)
def test_a_calendar_that_is_none_is_left_out(calendars: Json, finding: str, kept: Json) -> None:
    found, findings = read(directory(x=costs(calendar_attributes=calendars)))
    assert f"must resources/x/capabilities/{finding} 8896 4.1" in findings
    assert found.resources["x"].capabilities["calendar-attributes"] == kept


def test_a_cost_type_has_the_first_calendar_that_names_it() -> None:
    second = {"cost-type-names": ["num-rc", "num-hop"], "time-interval-size": 0.5, "number-of-intervals": 3}
    found, findings = read(directory(x=costs(calendar_attributes=[CALENDAR, second])))
    assert findings == ["must resources/x/capabilities/calendar-attributes/1/cost-type-names 8896 4.1"]
    assert found.resources["x"].capabilities["calendar-attributes"] == [
        CALENDAR,
        {**second, "cost-type-names": ["num-hop"]},
    ]


def test_an_unfiltered_cost_map_has_no_calendar() -> None:
    entry = costs(cost_type_names=["num-rc"], calendar_attributes=[CALENDAR])
    del entry["accepts"]
    assert read(directory(x=entry))[1] == ["must resources/x/capabilities/calendar-attributes 8896 3.3.2"]


@pytest.mark.parametrize(
    ("capabilities", "finding"),
    [
        ({"cost-type-names": ["num-rc"]}, "cost-type-names 9275 7.2.4"),
        ({"cost_constraints": True}, "cost-constraints 9275 7.2.4"),
        ({"testable_cost_type_names": ["pv"]}, "testable-cost-type-names 9275 7.2.4"),
        ({"ane_property_names": "x"}, "ane-property-names 9275 7.2.4"),
        ({"ane_property_names": [1]}, "ane-property-names 9275 7.2.4"),
    ],
)
def test_capabilities_of_path_vectors_are_checked(capabilities: Json, finding: str) -> None:
    assert read(directory(x=path_vectors(ane_property_names=[])))[1] == []
    assert read(directory(x=path_vectors(**capabilities)))[1] == [f"must resources/x/capabilities/{finding}"]


def test_a_media_type_with_parameters_is_read_and_not_compared() -> None:
    entry = path_vectors()
    entry["media-type"] = f'Multipart/Related; Type="{media.COST_MAP}"; charset=utf-8'
    found, findings = read(directory(x=entry))
    assert findings == []
    assert found.resources["x"].document_type == media.COST_MAP
    assert found.resources["x"].is_multipart


@pytest.mark.parametrize(
    ("capabilities", "finding"),
    [
        ({}, "should resources/x/capabilities/incremental-change-media-types 8895 6.3"),
        (
            {"incremental-change-media-types": []},
            "must resources/x/capabilities/incremental-change-media-types 8895 6.3",
        ),
        (
            {"incremental-change-media-types": {"map": 1}},
            "must resources/x/capabilities/incremental-change-media-types/map 8895 6.3",
        ),
        (
            {"incremental-change-media-types": {"map": "a/b,"}},
            "must resources/x/capabilities/incremental-change-media-types/map 8895 6.3",
        ),
        (
            {"incremental-change-media-types": {"map": "application/new-patch+json"}},
            "note resources/x/capabilities/incremental-change-media-types/map 8895 6.3",
        ),
        ({"support-stream-control": 1}, "must resources/x/capabilities/support-stream-control 8895 6.3"),
    ],
)
def test_capabilities_of_an_update_stream_are_checked(capabilities: Json, finding: str) -> None:
    assert finding in read(directory(x=stream(capabilities=capabilities)))[1]


def test_tips_knows_two_patch_types_only() -> None:
    entry = stream(**{"media-type": media.TIPS, "accepts": media.TIPS_PARAMS})
    entry["capabilities"] = {"incremental-change-media-types": {"map": f"{media.MERGE_PATCH}, {media.JSON_PATCH}"}}
    assert read(directory(x=entry))[1] == []
    entry["capabilities"] = {"incremental-change-media-types": {"map": "application/new-patch+json"}}
    assert read(directory(x=entry))[1] == ["must resources/x/capabilities/incremental-change-media-types/map 9569 5.2"]


def test_the_mappings_of_a_property_map_are_required_and_checked() -> None:
    entry = {"uri": "/x", "media-type": media.PROPERTY_MAP}
    assert read(directory(x=entry))[1] == ["must resources/x/capabilities/mappings 9240 7.4"]
    mappings = {"ipv4": [".ISP"], "map.pid": ["map.pid", 1], "bad domain": ["x"], ".ane": [], "ipv6": "x"}
    found, findings = read(directory(x={**entry, "capabilities": {"mappings": mappings}}))
    inner = "must resources/x/capabilities/mappings"
    assert findings == [
        f"{inner}/map.pid 9240 7.4",
        f"{inner}/bad domain 9240 5.1.2",
        f"{inner}/.ane 9240 7.4",
        f"{inner}/ipv6 9240 7.4",
    ]
    assert found.resources["x"].capabilities["mappings"] == {"ipv4": [".ISP"], "map.pid": ["map.pid"], ".ane": []}


def test_endpoint_properties_are_named_by_their_syntax() -> None:
    entry = {"uri": "/x", "media-type": media.ENDPOINT_PROPERTIES, "accepts": media.ENDPOINT_PROPERTY_PARAMS}
    names = ["map.pid", "priv:x", "a" * 33, ".pid", "a b"]
    found, findings = read(directory(x={**entry, "capabilities": {"prop-types": names}}))
    assert findings == ["must resources/x/capabilities/prop-types 7285 11.4.1.4"] * 3
    assert found.resources["x"].capabilities["prop-types"] == ["map.pid", "priv:x"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_NAMES = [
    "cost-type-names",
    "cost-constraints",
    "max-cost-types",
    "testable-cost-type-names",
    "calendar-attributes",
    "prop-types",
    "mappings",
    "incremental-change-media-types",
    "support-stream-control",
    "ane-property-names",
]
_TYPES = st.sampled_from(
    [
        media.COST_MAP,
        media.ENDPOINT_COST,
        media.PROPERTY_MAP,
        media.EVENT_STREAM,
        media.TIPS,
        media.DIRECTORY,
        media.ENDPOINT_PROPERTIES,
        f"multipart/related;type={media.COST_MAP}",
        "multipart/related",
        "x",
    ]
)
_ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "uri": st.sampled_from(["/x", "http://[", ""]) | _JSON,
        "media-type": _TYPES | _JSON,
        "accepts": st.sampled_from([media.COST_MAP_FILTER, ""]) | _JSON,
        "uses": st.just(["map", "x"]) | _JSON,
        "capabilities": st.dictionaries(
            st.sampled_from(_NAMES), st.just(["num-rc", "pv"]) | st.just([CALENDAR]) | _JSON, max_size=4
        )
        | _JSON,
    },
)


@given(_ENTRY, _JSON, st.booleans())
def test_any_entry_is_read_or_refused(entry: Json, meta: Json, strict: bool) -> None:
    for tree in (directory(x=entry), {"meta": meta, "resources": {"x": entry}}, meta):
        findings = Findings(strict=strict)
        try:
            found = parse_directory(tree, findings, BASE)
        except DecodeError:
            continue
        json.dumps(found.to_json())
        assert not strict or all(item.level is not Level.MUST for item in findings.items)
