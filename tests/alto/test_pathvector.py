"""Path vectors read by a client: the examples of RFC 9275, broken ones, and what can be computed from them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto import DecodeError
from alto.findings import Findings
from alto.ird import ResourceEntry
from alto.multipart import Part, encode
from alto.pathvector import PathVector, endpoint_flow, parse_path_vector
from alto.types import CostType, VTag

DATA = Path(__file__).parents[1] / "data"
COST_MAP = "application/alto-costmap+json"
ENDPOINT_COST = "application/alto-endpointcost+json"
NUM_RC = CostType("numerical", "routingcost")


def example(name: str) -> Any:
    return json.loads((DATA / "alto_examples" / "rfc9275" / f"rfc9275-s{name}.json").read_text("utf-8"))


def message(
    root: Any, properties: Any, *, kind: str = COST_MAP, root_id: str = "", domain: str = "alto.example.com"
) -> tuple[str, bytes]:
    name = root_id or ("costmap" if kind == COST_MAP else "ecs")
    parts = [
        Part((("Content-ID", f"<{name}@{domain}>"), ("Content-Type", kind)), json.dumps(root).encode()),
        Part(
            (("Content-ID", f"<propmap@{domain}>"), ("Content-Type", "application/alto-propmap+json")),
            json.dumps(properties).encode(),
        ),
    ]
    return encode(parts, root_type=kind, random_bytes=bytes)


def strictly(content_type: str, body: bytes, asked: Any = None, entry: ResourceEntry | None = None) -> PathVector:
    return parse_path_vector(content_type, body, Findings(), entry=entry, asked=asked)


def leniently(content_type: str, body: bytes, asked: Any = None) -> tuple[PathVector, list[str]]:
    findings = Findings(strict=False)
    vector = parse_path_vector(content_type, body, findings, asked=asked)
    return vector, [f"{item.level} {item}" for item in findings.items]


def broken(change: Callable[[Any, Any], None], *, kind: str = COST_MAP) -> tuple[str, bytes]:
    """The example of section 7.2.6, or the first of 8.4 put right, after a change of its two parts."""
    root, properties = example("7.2.6-01"), example("7.2.6-02")
    if kind == ENDPOINT_COST:
        root, properties = example("8.4-02"), example("8.4-03")
        root["meta"]["vtag"] = root["meta"].pop("vtags")
    change(root, properties)
    return message(root, properties, kind=kind)


def test_the_example_of_section_7_2_6() -> None:
    vector = strictly(*message(example("7.2.6-01"), example("7.2.6-02")), example("7.2.3-01"))
    assert vector.paths == {("PID1", "PID2"): ("ANE1",)}
    assert vector.bandwidth("ANE1") == 100_000_000
    assert vector.vtag == VTag("filtered-cost-map-pv.costmap", "fb20b76204814e9db37a51151faaaef2")
    assert vector.dependent_vtags == (VTag("my-default-networkmap", "75ed013b3cb58f896e839582504f6228"),)
    assert vector.property_vtags == (vector.vtag,)


def test_the_example_of_section_8_3_has_no_properties() -> None:
    vector = strictly(*message(example("8.3-02"), example("8.3-03")), example("8.3-01"))
    assert vector.paths == {("PID1", "PID3"): ("L1",), ("PID1", "PID4"): ("L1", "L2")}
    assert vector.properties == {"L1": {}, "L2": {}}
    assert vector.bandwidth("L1") is None
    assert vector.shared() == {"L1": (("PID1", "PID3"), ("PID1", "PID4"))}


def test_the_example_of_section_7_3_6_calls_its_costs_by_another_name() -> None:
    content_type, body = message(example("7.3.6-01"), example("7.3.6-02"), kind=ENDPOINT_COST)
    with pytest.raises(DecodeError, match="cost-map: the member is called endpoint-cost-map"):
        strictly(content_type, body)
    vector, found = leniently(content_type, body, example("7.3.3-01"))
    assert vector.paths == {("ipv4:192.0.2.2", "ipv4:192.0.2.18"): ("ANE1",)}
    assert len(found) == 1


@pytest.mark.parametrize(("root", "properties"), [("8.4-02", "8.4-03"), ("8.4-04", "8.4-05")])
def test_trap_21_the_examples_of_section_8_4_call_the_version_vtags(root: str, properties: str) -> None:
    content_type, body = message(example(root), example(properties), kind=ENDPOINT_COST)
    with pytest.raises(DecodeError, match="meta/vtags: the member is called vtag"):
        strictly(content_type, body)
    vector, found = leniently(content_type, body, example("8.4-01"))
    assert len(found) == 1
    assert vector.vtag is not None
    assert vector.vtag.resource_id == "endpoint-cost-pv.ecs"


def test_the_first_example_of_section_8_4_put_right() -> None:
    vector = strictly(*broken(lambda root, properties: None, kind=ENDPOINT_COST), example("8.4-01"))
    assert vector.paths == {
        ("ipv4:192.0.2.34", "ipv4:192.0.2.2"): ("NET3", "L1", "NET1"),
        ("ipv4:192.0.2.34", "ipv4:192.0.2.50"): ("NET3", "L2", "NET2"),
        ("ipv6:2001:db8::3:1", "ipv6:2001:db8::4:1"): ("NET3", "L2", "NET2"),
    }
    assert vector.persistent_id("NET1") == ("ane-props", ".ane:MEC1")
    assert vector.persistent_id("NET3") is None
    assert vector.bottleneck("ipv4:192.0.2.34", "ipv4:192.0.2.50") == ("L2", 15e9)
    assert [vtag.resource_id for vtag in vector.property_vtags] == ["endpoint-cost-pv.ecs", "ane-props"]


def test_the_example_of_section_8_6_has_two_costs_for_each_pair() -> None:
    content_type, body = message(example("8.6-02"), example("8.6-03"), kind=ENDPOINT_COST)
    vector, found = leniently(content_type, body, example("8.6-01"))
    flow = ("ipv4:192.0.2.34", "ipv4:192.0.2.2")
    assert vector.paths[flow] == ("NET3", "AGGR1")
    assert vector.costs[NUM_RC.key] == {
        flow: 3,
        ("ipv4:192.0.2.34", "ipv4:192.0.2.50"): 2,
        ("ipv6:2001:db8::3:1", "ipv6:2001:db8::4:1"): 2,
    }
    assert [text for text in found if text.startswith("must")] == [
        "must meta/vtags: the member is called vtag (RFC 9275 section 7.3.6)",
        "must meta/cost-type: {} is due beside multi-cost-types (RFC 8189 section 4.1.3)",
    ]


PRINTED = """\
--example-1
Content-ID: <costmap@alto.example.com>
Content-Type: application/alto-costmap+json

{root}
--example-1
Content-ID: <propmap@alto.example.com>
Content-Type: application/alto-propmap+json

{properties}
--example-1
"""


def test_trap_21_an_example_as_it_is_printed_lacks_the_end_of_its_last_delimiter() -> None:
    body = PRINTED.format(root=json.dumps(example("8.3-02")), properties=json.dumps(example("8.3-03"))).encode()
    content_type = "multipart/related; boundary=example-1; type=application/alto-costmap+json"
    with pytest.raises(DecodeError, match="the last delimiter does not end with --"):
        strictly(content_type, body)
    vector, found = leniently(content_type, body)
    assert vector.paths[("PID1", "PID4")] == ("L1", "L2")
    assert [text for text in found if text.startswith("must")] == [
        "must (document): the last delimiter does not end with -- (RFC 2046 section 5.1.1)"
    ]


def openalto() -> tuple[str, bytes, Any]:
    transcripts = json.loads((DATA / "openalto_server_transcripts.json").read_text("utf-8"))
    [found] = [one for one in transcripts if one["name"] == "path vector"]
    response = found["response"]
    return response["headers"]["Content-Type"], response["body"].encode(), json.loads(found["request"]["body"])


def test_trap_23_the_content_id_of_openalto_has_a_port_and_is_refused() -> None:
    content_type, body, _ = openalto()
    with pytest.raises(DecodeError, match=r"'<ecs@127.0.0.1:8000>' is not <PART@DOMAIN> \(RFC 9275 section 6.6\)"):
        strictly(content_type, body)
    with pytest.raises(DecodeError, match=r"'10\.1\.0\.2' is no typed endpoint address"):
        strictly(content_type, body.replace(b":8000>", b">"))


def test_the_path_vector_of_openalto_is_read_leniently_with_its_untyped_keys() -> None:
    content_type, body, asked = openalto()
    vector, found = leniently(content_type, body, asked)
    assert vector.paths == {("ipv4:10.1.0.2", "ipv4:10.2.0.2"): ("autolink_1", "autolink_2")}
    assert vector.properties["autolink_1"] == {"next_hop": "10.0.0.2"}
    assert sum("is no typed endpoint address" in text for text in found) == 2


def _no_vtag(root: Any, properties: Any) -> None:
    del root["meta"]["vtag"]


def _set(path: str, value: Any, *, where: int = 0) -> Callable[[Any, Any], None]:
    def change(root: Any, properties: Any) -> None:
        at = (root, properties)[where]
        *steps, last = path.split("/")
        for step in steps:
            at = at[step]
        at[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_no_vtag, "meta/vtag: missing"),
        (_set("meta/vtag/resource-id", "filtered-cost-map-pv"), "does not end as the Content-ID begins"),
        (_set("meta/vtag/resource-id", "filtered-cost-map-pv.ecs"), "does not end as the Content-ID begins"),
        (_set("meta/vtag/resource-id", "a" * 57 + ".costmap"), "is no resource ID with a part"),
        (_set("meta/vtag/tag", ""), "is no tag"),
        (_set("meta/dependent-vtags", []), "one is due, not 0"),
        (_set("meta/cost-type", {"cost-mode": "numerical", "cost-metric": "routingcost"}), "in no path vector"),
        (_set("cost-map/PID1/PID2", "ANE1"), "an array is due, not 'ANE1'"),
        (_set("cost-map/PID1/PID2", None), "an array is due, not None"),
        (_set("cost-map/PID1/PID2", ["ANE1", 1]), "1 is no ANE name"),
        (_set("cost-map/PID1/PID2", ["ANE1", "a.b"]), "'a.b' is no ANE name"),
        (_set("cost-map/PID1/PID2", ["ANE1", "a" * 65]), "is no ANE name"),
        (_set("cost-map/PID1/PID2", ["ANE1", ["ANE1"]]), "an array is no ANE name"),
        (_set("cost-map/PID1/PID2", ["ANE1", "ANE2"]), "property-map/.ane:ANE2: missing"),
        (_set("cost-map/PID1", []), "cost-map/PID1: an object is due"),
        (_set("cost-map/a.b", {}), "is no PID name"),
        (_set("property-map/.ane:OTHER", {}, where=1), "an element that is in no path vector"),
        (_set("property-map/ane:ANE1", {}, where=1), "is no ephemeral element, .ane:NAME"),
        (_set("property-map/x.ane:ANE1", {}, where=1), "is no ephemeral element"),
        (_set("property-map/.ane:a.b", {}, where=1), "'.ane:a.b' is no ephemeral element"),
        (_set("property-map/.ane:ANE1", [], where=1), "an object is due"),
        (_set("property-map/.ane:ANE1/max-reservable-bandwidth", -1, where=1), "-1 is no number of bits a second"),
        (_set("property-map/.ane:ANE1/max-reservable-bandwidth", "1", where=1), "is no number of bits a second"),
        (_set("property-map/.ane:ANE1/max-reservable-bandwidth", 10**400, where=1), "is no number of bits a second"),
        (_set("property-map/.ane:ANE1/max-reservable-bandwidth", True, where=1), "is no number of bits a second"),
        (_set("property-map/.ane:ANE1/cpu", "1", where=1), "a property that was not asked for"),
        (_set("meta/dependent-vtags", [], where=1), "the version of the path vectors is missing"),
        (_set("meta/dependent-vtags", {}, where=1), "an array is due"),
        (_set("meta", {}, where=1), "meta/dependent-vtags: missing"),
    ],
)  # fmt: skip
def test_what_breaks_a_clause_is_refused_and_read_without_it(change: Callable[[Any, Any], None], text: str) -> None:
    content_type, body = broken(change)
    with pytest.raises(DecodeError) as caught:
        strictly(content_type, body, example("7.2.3-01") if "routing" not in text else None)
    assert text in str(caught.value) or "not the cost types" in str(caught.value)
    vector, found = leniently(content_type, body, example("7.2.3-01"))
    assert any(text in one for one in found)
    assert all(vector.properties.keys() >= set(path) for path in vector.paths.values())


@pytest.mark.parametrize("value", ["ane-props.ane:", "ane-props:MEC1", ".ane:MEC1", 1, "a.b.ane:M"])
def test_a_persistent_entity_id_has_a_property_map_in_it(value: Any) -> None:
    change = _set("property-map/.ane:NET1/persistent-entity-id", value, where=1)
    with pytest.raises(DecodeError, match=r"is not PROPMAP\.ane:NAME"):
        strictly(*broken(change, kind=ENDPOINT_COST))
    vector, _ = leniently(*broken(change, kind=ENDPOINT_COST))
    assert vector.persistent_id("NET1") is None


def test_the_version_of_the_property_map_of_a_persistent_element_has_to_be_there() -> None:
    def change(root: Any, properties: Any) -> None:
        del properties["meta"]["dependent-vtags"][1]

    with pytest.raises(DecodeError, match="the version of 'ane-props' is missing"):
        strictly(*broken(change, kind=ENDPOINT_COST))


@pytest.mark.parametrize("number", [0, 1])
def test_a_missing_part_discards_the_whole_even_leniently(number: int) -> None:
    content_type, body = message(example("7.2.6-01"), example("7.2.6-02"))
    pieces = body.split(b"--" + b"00" * 16)
    del pieces[1 + number]
    with pytest.raises(DecodeError, match="path vectors is missing" if number == 0 else "properties is missing"):
        leniently(content_type, (b"--" + b"00" * 16).join(pieces))


def test_a_part_that_is_no_json_discards_the_whole_even_leniently() -> None:
    content_type, body = message(example("7.2.6-01"), example("7.2.6-02"))
    with pytest.raises(DecodeError, match="part application/alto-propmap"):
        leniently(content_type, body.replace(b'"property-map"', b'"property-map'))


def test_the_root_may_come_second_if_start_says_so() -> None:
    content_type, body = message(example("7.2.6-01"), example("7.2.6-02"))
    delimiter = b"--" + b"00" * 16
    _, first, second, last = body.split(delimiter)
    swapped = delimiter.join([b"", second, first, last])
    with pytest.raises(DecodeError, match="the root is no part of the type"):
        strictly(content_type, swapped)
    findings = Findings()
    vector = parse_path_vector(content_type + "; start=<costmap@alto.example.com>", swapped, findings)
    assert vector.paths == {("PID1", "PID2"): ("ANE1",)}
    assert [item.text for item in findings.items] == ["the part with the path vectors is not the first"]


def test_a_third_part_is_refused_and_ignored() -> None:
    content_type, body = message(example("7.2.6-01"), example("7.2.6-02"))
    more = body.removesuffix(b"--\r\n") + b"\r\nContent-ID: <x@y>\r\n\r\n{}\r\n--" + b"00" * 16 + b"--\r\n"
    with pytest.raises(DecodeError, match="3 parts, where two are due"):
        strictly(content_type, more)
    assert leniently(content_type, more)[0].paths


def test_the_root_has_the_type_that_the_message_says() -> None:
    content_type, body = message(example("7.2.6-01"), example("7.2.6-02"))
    with pytest.raises(DecodeError, match="the root is no part of the type application/alto-endpointcost"):
        strictly(content_type.replace(COST_MAP, ENDPOINT_COST), body)


@pytest.mark.parametrize("text", ["<prop.map@alto.example.com>", "<@alto.example.com>", "<prop map@alto.example.com>"])
def test_a_content_id_begins_with_the_id_of_the_part(text: str) -> None:
    content_type, body = message(example("7.2.6-01"), example("7.2.6-02"))
    with pytest.raises(DecodeError, match="is not <PART@DOMAIN>"):
        strictly(content_type, body.replace(b"<propmap@alto.example.com>", text.encode()))


def test_a_content_id_is_due() -> None:
    content_type, body = message(example("7.2.6-01"), example("7.2.6-02"))
    with pytest.raises(DecodeError, match="the Content-ID is missing"):
        strictly(content_type, body.replace(b"Content-ID: <propmap@", b"X: <propmap@"))


def entry(**capabilities: Any) -> ResourceEntry:
    given = {
        "cost-type-names": ["path-vector"],
        **{name.replace("_", "-"): value for name, value in capabilities.items()},
    }
    return ResourceEntry(
        "filtered-cost-map-pv",
        "https://alto.example.com/costmap/pv",
        f"multipart/related;type={COST_MAP}",
        "application/alto-costmapfilter+json",
        given,
        ("my-default-networkmap",),
    )


def test_the_response_is_held_against_its_entry() -> None:
    content_type, body = message(example("7.2.6-01"), example("7.2.6-02"))
    assert strictly(content_type, body, None, entry()).paths
    other = ResourceEntry("pv2", entry().uri, entry().media_type, entry().accepts, {}, ())
    with pytest.raises(DecodeError, match="does not begin with 'pv2'"):
        strictly(content_type, body, None, other)
    ecs = ResourceEntry("x", entry().uri, f"multipart/related;type={ENDPOINT_COST}", entry().accepts, {}, ())
    with pytest.raises(DecodeError, match="type is to be application/alto-endpointcost"):
        strictly(content_type, body, None, ecs)


def test_other_cost_types_than_asked_for_are_refused() -> None:
    asked = {"cost-type": {"cost-mode": "numerical", "cost-metric": "routingcost"}}
    with pytest.raises(DecodeError, match="not the cost types that were asked for"):
        strictly(*message(example("7.2.6-01"), example("7.2.6-02")), asked)


def test_without_a_path_vector_the_property_map_is_empty_and_there() -> None:
    def change(root: Any, properties: Any) -> None:
        root["meta"]["cost-type"] = NUM_RC.to_json()
        root["cost-map"]["PID1"]["PID2"] = 7
        properties["property-map"] = {}

    vector = strictly(*broken(change))
    assert vector.costs == {NUM_RC.key: {("PID1", "PID2"): 7}}
    assert vector.intervals == ({},)
    assert vector.properties == {}


CALENDAR = {
    "calendar-start-time": "Thu, 26 Nov 2026 00:00:00 GMT",
    "time-interval-size": 3600,
    "number-of-intervals": 2,
}


def test_with_a_calendar_there_is_a_path_for_each_interval() -> None:
    def change(root: Any, properties: Any) -> None:
        root["meta"]["calendar-response-attributes"] = [CALENDAR]
        root["cost-map"]["PID1"] = {"PID2": [["ANE1"], ["ANE2"]], "PID3": [["ANE1"], None]}
        properties["property-map"][".ane:ANE2"] = {"max-reservable-bandwidth": 5}

    vector = strictly(*broken(change))
    assert vector.intervals == (
        {("PID1", "PID2"): ("ANE1",), ("PID1", "PID3"): ("ANE1",)},
        {("PID1", "PID2"): ("ANE2",)},
    )
    assert vector.bottleneck("PID1", "PID2", interval=1) == ("ANE2", 5.0)
    assert len(vector.calendars) == 1


def test_a_calendar_of_another_length_is_refused() -> None:
    def change(root: Any, properties: Any) -> None:
        root["meta"]["calendar-response-attributes"] = [CALENDAR]
        root["cost-map"]["PID1"]["PID2"] = [["ANE1"]]

    with pytest.raises(DecodeError, match="1 path vectors for 2 intervals"):
        strictly(*broken(change))


def test_several_calendars_may_have_different_numbers_of_intervals() -> None:
    """RFC 8896 section 5.1.2: each calendar says which cost types it is of, by their names in the IRD."""

    def change(root: Any, properties: Any) -> None:
        root["meta"]["cost-type"] = {}
        root["meta"]["multi-cost-types"] = [NUM_RC.to_json(), {"cost-mode": "array", "cost-metric": "ane-path"}]
        root["meta"]["calendar-response-attributes"] = [
            {**CALENDAR, "cost-type-names": ["num-rc"], "number-of-intervals": 3},
            {**CALENDAR, "cost-type-names": ["path-vector"]},
        ]
        root["cost-map"]["PID1"] = {"PID2": [[1, 2, 3], [["ANE1"], []]], "PID3": [[1, 2, 3], []], "PID4": [[1], None]}

    vector = strictly(*broken(change))
    flow = ("PID1", "PID2")
    assert [interval.get(flow) for interval in vector.intervals] == [("ANE1",), ()]
    assert vector.paths["PID1", "PID3"] == ()
    assert vector.costs[NUM_RC.key][flow] == [1, 2, 3]

    def longer(root: Any, properties: Any) -> None:
        change(root, properties)
        root["cost-map"]["PID1"]["PID2"][1] = [["ANE1"]] * 4

    with pytest.raises(DecodeError, match="4 path vectors for 2 or 3 intervals"):
        strictly(*broken(longer))


def test_a_pair_is_there_once_whatever_its_spelling() -> None:
    def change(root: Any, properties: Any) -> None:
        costs = root["endpoint-cost-map"]
        costs["ipv6:2001:db8:0::3:1"] = dict(costs["ipv6:2001:db8::3:1"])

    with pytest.raises(DecodeError, match="the pair was there before, in another spelling"):
        strictly(*broken(change, kind=ENDPOINT_COST))


@pytest.mark.parametrize("values", [[], [["ANE1"]], [["ANE1"], 7, 8]])
def test_there_is_a_value_for_each_cost_type(values: Any) -> None:
    def change(root: Any, properties: Any) -> None:
        root["meta"]["multi-cost-types"] = [root["meta"].pop("cost-type"), NUM_RC.to_json()]
        root["meta"]["cost-type"] = {}
        root["cost-map"]["PID1"] = {"PID2": values, "PID3": [["ANE1"], 7]}

    with pytest.raises(DecodeError, match=f"{len(values)} values for 2 cost types"):
        strictly(*broken(change))
    vector, _ = leniently(*broken(change))
    assert vector.costs == {NUM_RC.key: {("PID1", "PID3"): 7}}


def test_null_is_no_cost_unless_there_are_several() -> None:
    def change(root: Any, properties: Any) -> None:
        root["meta"]["cost-type"] = NUM_RC.to_json()
        root["cost-map"]["PID1"]["PID2"] = None
        properties["property-map"] = {}

    vector, found = leniently(*broken(change))
    assert vector.costs == {NUM_RC.key: {}}
    assert found == ["should cost-map/PID1/PID2: None is no cost (RFC 7285 section 11.2.3.6)"]


def test_the_flows_of_figure_10_share_their_links() -> None:
    vector = strictly(*broken(lambda root, properties: None, kind=ENDPOINT_COST))
    rates = vector.fair_rates()
    assert rates[endpoint_flow("ipv4:192.0.2.34", "ipv4:192.0.2.2")] == 10e9
    assert rates[endpoint_flow("ipv4:192.0.2.34", "ipv4:192.0.2.50")] == 7.5e9
    assert rates[endpoint_flow("ipv6:2001:DB8::3:1", "ipv6:2001:db8:0::4:1")] == 7.5e9


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["ANE1", ".ane:ANE1"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["meta", "vtag", "resource-id", "tag", "dependent-vtags", "cost-type", "multi-cost-types", "cost-map",
             "PID1", "endpoint-cost-map", "property-map", ".ane:ANE1", "persistent-entity-id", "ipv4:192.0.2.1"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=10,
)  # fmt: skip


@given(_JSON, _JSON, st.sampled_from([COST_MAP, ENDPOINT_COST]), st.sampled_from(["meta", "cost-map", ""]))
def test_any_json_is_a_path_vector_or_a_decode_error(root: Any, properties: Any, kind: str, kept: str) -> None:
    good = example("7.2.6-01")
    if kept and isinstance(root, dict):
        root = {**root, kept: good[kept]}
    content_type, body = message(root, properties, kind=kind)
    for findings in (Findings(), Findings(strict=False)):
        try:
            vector = parse_path_vector(content_type, body, findings)
        except DecodeError:
            continue
        vector.fair_rates()
        vector.shared()
