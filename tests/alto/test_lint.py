"""The linter: every RFC example with the verdict written down, and whatever else it is given."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto import media
from alto.findings import Finding, Findings, Level
from alto.lint.document import lint_document
from alto.lint.kinds import kind_of, kind_of_octets

EXAMPLES = Path(__file__).parents[1] / "data" / "alto_examples"
VERDICTS = json.loads((EXAMPLES / "verdicts.json").read_text())
JSON = [name for name in VERDICTS if name.endswith(".json")]
"""The others are text with something left out, which nobody can put right."""


def brief(findings):
    return sorted({f"{item.level} {item.path} {item.rfc} {item.section}" for item in findings})


@pytest.mark.parametrize("name", VERDICTS)
def test_an_rfc_example_gets_the_verdict_that_is_written_down(name):
    verdict = VERDICTS[name]
    octets = (EXAMPLES / name).read_bytes()
    document = json.loads(octets) if name in JSON else octets
    found = lint_document(document, verdict.get("media-type"), is_whole=verdict.get("is-whole"))
    assert brief(found) == verdict["findings"]


def test_each_of_the_185_examples_has_a_verdict():
    listed = json.loads((EXAMPLES / "index.json").read_text())
    assert list(VERDICTS) == [entry["file"] for entry in listed]
    assert (len(VERDICTS), len(JSON)) == (185, 179)
    assert all(VERDICTS[name].get("why") for name in VERDICTS if name not in JSON)


@pytest.mark.parametrize("name", [name for name in VERDICTS if VERDICTS[name].get("media-type")])
def test_octets_give_what_their_value_gives(name):
    verdict = VERDICTS[name]
    octets = (EXAMPLES / name).read_bytes()
    kind, whole = verdict["media-type"], verdict.get("is-whole")
    assert lint_document(octets, kind, is_whole=whole) == lint_document(json.loads(octets), kind, is_whole=whole)


SHAPES = [
    ({"resources": {}}, media.DIRECTORY),
    ({"meta": {}, "network-map": {}}, media.NETWORK_MAP),
    ({"cost-map": {}}, media.COST_MAP),
    ({"endpoint-cost-map": {}}, media.ENDPOINT_COST),
    ({"endpoint-properties": {}}, media.ENDPOINT_PROPERTIES),
    ({"property-map": {}}, media.PROPERTY_MAP),
    ({"cdni-advertisement": {}}, media.CDNI),
    ({"meta": {"code": "E_SYNTAX"}}, media.ERROR),
    ({"tips-view-uri": "", "tips-view-summary": {}}, media.TIPS),
    ({"tips-view-summary": {}}, media.MERGE_PATCH),
    ({"control-uri": None}, media.UPDATE_STREAM_CONTROL),
    ({"stopped": []}, media.UPDATE_STREAM_CONTROL),
    ({"add": {}}, media.UPDATE_STREAM_PARAMS),
    ({"remove": []}, media.UPDATE_STREAM_PARAMS),
    ({"resource-id": "a"}, media.TIPS_PARAMS),
    ({"entities": []}, media.PROPERTY_MAP_PARAMS),
    ({"entities": [], "properties": []}, media.PROPERTY_MAP_PARAMS),
    ({"cdni-capabilities": []}, media.CDNI_FILTER),
    ({"properties": [], "endpoints": []}, media.ENDPOINT_PROPERTY_PARAMS),
    ({"cost-type": {}, "endpoints": {}}, media.ENDPOINT_COST_PARAMS),
    ({"cost-type": {}, "pids": {}}, media.COST_MAP_FILTER),
    ({"multi-cost-types": []}, media.COST_MAP_FILTER),
    ({"pids": []}, media.NETWORK_MAP_FILTER),
    ([{"op": "test"}], media.JSON_PATCH),
    ({}, None),
    ([], None),
    ([7], None),
    ("text", None),
    (None, None),
]


@pytest.mark.parametrize(("document", "kind"), SHAPES)
def test_a_document_is_known_by_its_shape(document, kind):
    findings = Findings(strict=False)
    assert kind_of(document, None, findings) == kind
    assert not findings.items


@pytest.mark.parametrize(
    ("octets", "media_type", "kind"),
    [
        (b"event: a\ndata: b\n\n", None, media.EVENT_STREAM),
        (b": a comment\n\n", None, media.EVENT_STREAM),
        (b"", "text/event-stream; charset=utf-8", media.EVENT_STREAM),
        (b"--b\r\n", None, media.MULTIPART_RELATED),
        (b"--b\r\n", "multipart/related; boundary=b", media.MULTIPART_RELATED),
        (b"{}", "multipart/related; boundary=b", None),
        (b"{}", None, None),
        (b"--b\r\n", media.COST_MAP, None),
    ],
)
def test_octets_that_are_no_json_are_known_by_how_they_begin(octets, media_type, kind):
    assert kind_of_octets(octets, media_type) == kind


@pytest.mark.parametrize(
    ("media_type", "kind", "is_registered"),
    [
        ("application/alto-costmap+json", media.COST_MAP, True),
        ("Application/ALTO-CostMap+JSON; charset=utf-8", media.COST_MAP, True),
        ("application/alto-costmap+json,sub.part@example.com", media.COST_MAP, True),
        ("multipart/related;type=application/alto-costmap+json", media.MULTIPART_RELATED, True),
        ("application/json", media.NETWORK_MAP, False),
        ("application/alto-endpointprops+json", media.NETWORK_MAP, False),
        ("text/html", media.NETWORK_MAP, False),
        ("nonsense", media.NETWORK_MAP, False),
    ],
)
def test_trap_21_a_media_type_that_is_not_registered_is_a_finding_and_the_shape_decides(
    media_type, kind, is_registered
):
    findings = Findings(strict=False)
    assert kind_of({"network-map": {}}, media_type, findings) == kind
    assert brief(findings.items) == ([] if is_registered else ["must  7285 14.1"])


@pytest.mark.parametrize("octets", [b"", b"{", b'{"a":1,"a":2}', b"[" * 99 + b"]" * 99, b"NaN", b"\xff", b"1e999"])
def test_trap_24_what_is_no_json_of_one_meaning_is_a_finding(octets):
    assert brief(lint_document(octets, media.COST_MAP)) == ["must  7285 8.2"]


def test_a_network_map_of_which_nothing_is_known_may_be_a_filtered_one():
    tree = {
        "meta": {"vtag": {"resource-id": "map", "tag": "1"}},
        "network-map": {"PID1": {"ipv4": ["192.0.2.0/24"]}},
    }
    (finding,) = lint_document(tree)
    assert (finding.level, finding.section) == (Level.NOTE, "11.2.2")
    assert "unless it is filtered" in finding.text
    assert lint_document(tree, is_whole=False) == []
    assert brief(lint_document(tree, is_whole=True)) == ["must network-map 7285 11.2.2"]


def test_an_ird_of_which_nothing_is_known_may_be_one_that_others_lead_to():
    tree = {
        "meta": {},
        "resources": {
            "f": {"uri": "f", "media-type": media.NETWORK_MAP, "accepts": media.NETWORK_MAP_FILTER, "uses": ["m"]}
        },
    }
    assert {finding.level for finding in lint_document(tree)} == {Level.NOTE}
    assert lint_document(tree, is_whole=False) == []
    assert {finding.path for finding in lint_document(tree, is_whole=True)} == {
        "meta/default-alto-network-map",
        "resources/f/uses",
    }


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"pids": ["PID1", "a.b"]}, "must pids 7285 11.3.1.3"),
        ({"pids": "PID1"}, "must pids 7285 11.3.1.3"),
        ({"address-types": []}, "must pids 7285 11.3.1.3"),
        ({"cost-type": {"cost-mode": "numerical"}}, "must cost-type/cost-metric 7285 11.3.2.3"),
        ({"cost-type": 7, "pids": {}}, "must cost-type 7285 11.3.2.3"),
        ({"multi-cost-types": []}, "must multi-cost-types 7285 11.3.2.3"),
        ({"properties": ["a"], "endpoints": ["192.0.2.1"]}, "must endpoints 7285 11.4.1.3"),
        ({"properties": [], "endpoints": ["ipv4:192.0.2.1"]}, "must properties 7285 11.4.1.3"),
        ({"properties": ["a b"], "endpoints": ["ipv4:192.0.2.1"]}, "must properties 7285 11.4.1.3"),
        ({"entities": ["nothing"]}, "must entities 9240 8.3"),
        ({"entities": ["ipv4:192.0.2.1"], "properties": ["a b"]}, "must properties 9240 8.3"),
        ({"cdni-capabilities": [{"capability-type": "x"}]}, "must cdni-capabilities/capability-value 9241 5.3"),
        ({"add": {}}, "must add 8895 6.5"),
        ({"add": {"a": {"resource-id": 7}}}, "must add/a/resource-id 8895 6.5"),
        ({"add": {"a": {"resource-id": "b"}}, "remove": []}, "must remove 8895 6.5"),
        ({"resource-id": "a.b"}, "must resource-id 9569 6.1"),
    ],
)
def test_a_request_that_a_server_has_to_refuse_is_a_finding(tree, expected):
    assert brief(lint_document(tree)) == [expected]


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ([{"op": "add", "path": "/a", "value": None}], []),
        ([{"op": "move", "path": "/a", "from": "/b"}, {"op": "remove", "path": ""}], []),
        ([{"op": "add", "path": "/a"}], ["must 0/value 6902 4"]),
        ([{"op": "copy", "path": "/a"}], ["must 0/from 6902 4"]),
        ([{"op": "add", "path": "a", "value": 1}], ["must 0/path 6901 3"]),
        ([{"op": "add", "path": "/~2", "value": 1}], ["must 0/path 6901 3"]),
        ([{"op": "drop", "path": "/a"}], ["must 0/op 6902 4"]),
        ([{"path": "/a"}], ["must 0/op 6902 4"]),
        ([7], ["must 0 6902 3"]),
        ({}, ["must  6902 3"]),
    ],
)
def test_the_operations_of_a_json_patch_are_looked_at(tree, expected):
    assert brief(lint_document(tree, media.JSON_PATCH)) == expected


def event(name, tree):
    return f"event: {name}\ndata: {json.dumps(tree)}\n\n".encode()


CONTROL = event(media.UPDATE_STREAM_CONTROL, {"control-uri": None})
COSTS = {
    "meta": {
        "vtag": {"resource-id": "costs", "tag": "1"},
        "dependent-vtags": [{"resource-id": "map", "tag": "1"}],
        "cost-type": {"cost-mode": "numerical", "cost-metric": "routingcost"},
    },
    "cost-map": {"PID1": {"PID1": 1}},
}


PARTS = (
    b"--b\r\nContent-ID: <costmap@alto.example.com>\r\nContent-Type: application/alto-costmap+json\r\n\r\n"
    b'{"meta":{"vtag":{"resource-id":"pv.costmap","tag":"1"},"dependent-vtags":[{"resource-id":"m","tag":"1"}],'
    b'"cost-type":{"cost-mode":"array","cost-metric":"ane-path"}},"cost-map":{"PID1":{"PID2":["A"]}}}\r\n'
    b"--b\r\nContent-ID: <propmap@alto.example.com>\r\nContent-Type: application/alto-propmap+json\r\n\r\n"
    b'{"meta":{"dependent-vtags":[{"resource-id":"pv.costmap","tag":"1"}]},"property-map":{".ane:A":{}}}\r\n--b--\r\n'
)


class TestStreams:
    def test_one_that_is_in_order_has_no_findings(self):
        stream = CONTROL + event(f"{media.COST_MAP},c", COSTS)
        stream += event(f"{media.MERGE_PATCH},c", {"meta": {"vtag": {"tag": "2"}}, "cost-map": {"PID1": {"PID1": 2}}})
        stream += b":\n\n" + event(f"{media.JSON_PATCH},c", [{"op": "remove", "path": "/cost-map/PID1/PID1"}])
        stream += event(media.UPDATE_STREAM_CONTROL, {"stopped": ["c"], "description": "enough"})
        assert lint_document(stream) == []

    @pytest.mark.parametrize(
        ("stream", "expected"),
        [
            (b":\n\n", "must  8895 6.7.1"),
            (event(f"{media.COST_MAP},c", COSTS), "must event 1 8895 6.7.1"),
            (CONTROL + event(media.COST_MAP, COSTS), "must event 2 8895 5.2"),
            (CONTROL + event("nonsense,c", COSTS), "must event 2 8895 5.2"),
            (CONTROL + event(f"{media.COST_MAP},a b", COSTS), "must event 2 8895 5.2"),
            (CONTROL + event(f"{media.MERGE_PATCH},c", {}), "must event 2 8895 6.7.1"),
            (CONTROL + f"event: {media.COST_MAP},c\ndata: {{\n\n".encode(), "must event 2 8895 5.2"),
            (event(media.UPDATE_STREAM_CONTROL, {"control-uri": 7}), "must event 1: control-uri 8895 5.3"),
            (CONTROL + event(media.UPDATE_STREAM_CONTROL, {"started": ["a b"]}), "must event 2: started 8895 5.3"),
            (CONTROL + event(media.UPDATE_STREAM_CONTROL, {"started": []}), "must event 2: started 8895 5.3"),
            (CONTROL + event(media.UPDATE_STREAM_CONTROL, {"stopped": ["c"]}), "should event 2: description 8895 5.3"),
            (CONTROL + CONTROL, "must event 2 8895 5.3"),
            (event(media.UPDATE_STREAM_CONTROL, {"started": ["c"]}), "must event 1 8895 6.7.1"),
        ],
    )
    def test_what_is_wrong_with_an_event_is_said_with_its_number(self, stream, expected):
        assert expected in brief(lint_document(stream))

    def test_trap_12_a_patch_that_does_not_fit_is_a_finding(self):
        patch = [{"op": "replace", "path": "/cost-map/PID3/PID3", "value": 1}]
        stream = CONTROL + event(f"{media.COST_MAP},c", COSTS) + event(f"{media.JSON_PATCH},c", patch)
        assert brief(lint_document(stream)) == ["must event 3 6902 5"]

    @pytest.mark.parametrize("part", ["propmap@alto.example.com", "propmap", "<propmap@alto.example.com>"])
    def test_the_parts_of_a_path_vector_are_changed_one_by_one(self, part):
        kind = 'multipart/related;boundary="b";type=application/alto-costmap+json'
        lines = b"".join(b"data: %b\n" % line for line in PARTS.split(b"\r\n"))
        stream = CONTROL + f"event: {kind},s\n".encode() + lines + b"\n"
        change = {"property-map": {".ane:A": {"max-reservable-bandwidth": 5}}}
        assert lint_document(stream + event(f"{media.MERGE_PATCH},s.{part}", change)) == []
        wrong = event(f"{media.MERGE_PATCH},s.{part}", {"property-map": {"A": {}}})
        assert brief(lint_document(stream + wrong)) == ["must event 3: property-map/A 9240 5.1.3"]
        other = event(f"{media.MERGE_PATCH},s.other", change)
        assert brief(lint_document(stream + other)) == ["must event 3 8895 6.7.1"]
        unnamed = stream.replace(b"data: Content-ID: <propmap@alto.example.com>\n", b"")
        assert "must event 2:  8895 5.2" in brief(lint_document(unnamed))

    def test_what_a_patch_leaves_is_looked_at(self):
        stream = CONTROL + event(f"{media.COST_MAP},c", COSTS)
        stream += event(f"{media.MERGE_PATCH},c", {"meta": {"dependent-vtags": None}})
        assert brief(lint_document(stream)) == ["must event 3: meta/dependent-vtags 7285 11.2.3.6"]


@pytest.mark.parametrize("media_type", [None, "multipart/related; boundary=b; type=application/alto-costmap+json"])
def test_a_path_vector_message_is_read_whole(media_type):
    assert lint_document(PARTS, media_type) == []
    missing = PARTS.replace(b".ane:A", b".ane:B")
    assert any(finding.rfc == 9275 for finding in lint_document(missing, media_type))


NAMES = """
meta resources network-map cost-map endpoint-cost-map endpoint-properties property-map cdni-advertisement vtag
resource-id tag dependent-vtags cost-type cost-types multi-cost-types cost-mode cost-metric code field value uri
media-type accepts uses capabilities mappings pids srcs dsts endpoints properties entities add remove input
tips-view-uri tips-view-summary updates-graph-summary PID1 ipv4 ipv4:192.0.2.1 .ane:A op path
capabilities-with-footprints calendar-response-attributes calendared constraints or-constraints
"""
OPENALTO = {
    # name: the clauses of MUSTs that the recorded answer breaks; judged by the texts.
    "ird": {(7285, "9.2.2"), (9240, "7.4"), (9569, "5.3")},
    "networkmap static": set(),
    "networkmap mock": set(),
    "costmap static": set(),
    "costmap stock MockService (bug)": {(7285, "11.2.3.6")},
    "ecs": set(),
    "ecs malformed": {(7285, "8.5.2")},
    "ecs no cost-type": {(7285, "11.5.1.6")},
    "ecs ordinal": {(7285, "6.1.2.2")},
    "ecs wrong content-type": {(7285, "8.5.2")},
    "entity props": {(7285, "8.4")},
    "path vector": {(9275, "6.6"), (7285, "10.4.1")},
    "tips open": {(9569, "6.2")},
    "tips meta": {(7285, "14.1"), (7285, "8.4")},
    "tips edge 0->100": set(),
    "tips edge 100->101": set(),
}


@pytest.mark.parametrize("name", OPENALTO)
def test_what_a_foreign_server_was_recorded_to_answer_breaks_these_clauses(name):
    transcripts = json.loads((EXAMPLES.parent / "openalto_server_transcripts.json").read_text())
    (response,) = [each["response"] for each in transcripts if each["name"] == name]
    found = lint_document(response["body"].encode(), response["headers"]["Content-Type"], is_whole=True)
    assert {(item.rfc, item.section) for item in found if item.level is Level.MUST} == OPENALTO[name]


names = st.sampled_from(NAMES.split())
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("ab/:.~")
)
trees = st.recursive(
    scalars
    | names
    | st.sampled_from(["numerical", "array", "ane-path", "routingcost", "192.0.2.0/24", media.COST_MAP]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=24,
)
kinds = st.none() | st.text(max_size=12) | st.sampled_from(sorted({kind for _, kind in SHAPES if kind is not None}))
wholes = st.sampled_from([None, True, False])


@given(trees, kinds, wholes)
def test_any_json_gets_findings_and_raises_nothing(tree, kind, whole):
    assert all(isinstance(finding, Finding) for finding in lint_document(tree, kind, is_whole=whole))


@given(st.dictionaries(names, trees, max_size=4), kinds, wholes)
def test_any_object_gets_findings_and_raises_nothing(tree, kind, whole):
    assert all(isinstance(finding, Finding) for finding in lint_document(tree, kind, is_whole=whole))


@given(
    st.binary(max_size=200) | st.binary(max_size=60).map(CONTROL.__add__) | st.binary(max_size=60).map(PARTS.__add__),
    kinds,
)
def test_any_octets_get_findings_and_raise_nothing(octets, kind):
    assert all(isinstance(finding, Finding) for finding in lint_document(octets, kind))


@given(st.data())
def test_an_example_with_anything_in_it_raises_nothing(data):
    name = data.draw(st.sampled_from(JSON))
    tree = json.loads((EXAMPLES / name).read_text())
    holder, key = tree, None
    while isinstance(holder, dict | list) and holder:
        key = data.draw(st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder))))
        if not isinstance(holder[key], dict | list) or not holder[key] or data.draw(st.booleans()):
            break
        holder = holder[key]
    if key is not None:
        holder[key] = data.draw(trees)
    lint_document(tree, VERDICTS[name].get("media-type"))
