"""The messages of TIPS, and the draft's own examples of them."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto.errors import DecodeError, ErrorCode, RequestError
from alto.findings import Findings, Level
from alto.patch import merge_patch
from alto.tips_messages import (
    TipsRequest,
    TipsView,
    UpdatesGraphSummary,
    ascii_uri,
    parse_next_edge,
    parse_tips_view,
    read_tips_request,
)

EXAMPLES = Path(__file__).parents[1] / "data" / "alto_examples" / "rfc9569draft"


def example(name):
    return json.loads((EXAMPLES / f"rfc9569draft-{name}.json").read_text())


def view(uri="https://alto.example.com/tips/2718281828", start=101, end=106, i=0, j=105, **more):
    edge = {"seq-i": i, "seq-j": j}
    graph = {"start-seq": start, "end-seq": end, "start-edge-rec": edge}
    return {"tips-view-uri": uri, "tips-view-summary": {"updates-graph-summary": graph}, **more}


class TestTheDraftsExamples:
    @pytest.mark.parametrize("name", ["s6.3.1-01", "s6.3.2-01", "s6.3.2-02"])
    def test_open_requests_are_read(self, name):
        assert read_tips_request(example(name)) == TipsRequest("my-routingcost-map")

    @pytest.mark.parametrize("name", ["s6.3.1-02", "s6.3.3-02"])
    def test_an_open_response_is_read_and_written_the_same(self, name):
        found = parse_tips_view(example(name), Findings())
        assert found == TipsView(
            "https://alto.example.com/tips/2718281828", UpdatesGraphSummary(101, 106, seq_i=0, seq_j=105)
        )
        assert found.to_json() == example(name)

    def test_a_next_edge_request_is_read(self):
        request = read_tips_request(example("s7.4.3-01"))
        assert request == TipsRequest("my-routingcost-map", "0881080")
        assert request.to_json() == example("s7.4.3-01")

    def test_a_next_edge_response_is_read_and_written_the_same(self):
        found = parse_next_edge(example("s7.4.3-02"), Findings())
        assert found == UpdatesGraphSummary(101, 106, seq_i=103, seq_j=105)
        assert found.to_json() == example("s7.4.3-02")

    def test_the_merge_patch_of_a_stream_gives_another_view(self):
        changed = merge_patch(example("s6.3.3-02"), example("s6.3.3-03"))
        assert parse_tips_view(changed, Findings()).summary.end_seq == 107

    def test_the_merge_patch_of_a_stream_alone_is_no_next_edge(self):
        with pytest.raises(DecodeError, match="start-seq: missing"):
            parse_next_edge(example("s6.3.3-03"), Findings())

    def test_the_error_response_is_what_the_request_is_refused_with(self):
        with pytest.raises(RequestError) as caught:
            read_tips_request({"resource-id": "my-network-map/#"})
        meta = example("s6.2-01")["meta"]
        assert (caught.value.code, caught.value.field, caught.value.value) == (
            *map(meta.get, ["code", "field", "value"]),
        )


class TestViews:
    def test_unknown_members_are_ignored(self):
        tree = view(more=1)
        tree["tips-view-summary"]["more"] = tree["tips-view-summary"]["updates-graph-summary"]["more"] = 1
        assert parse_tips_view(tree, Findings()).summary.start_seq == 101

    def test_numbers_are_json_numbers(self):
        assert parse_tips_view(view(start=101.0, end=106.0), Findings()).summary.end_seq == 106

    def test_the_edge_to_come_is_an_edge(self):
        assert parse_tips_view(view(i=106, j=107), Findings()).summary.seq_j == 107

    @pytest.mark.parametrize(
        "uri",
        [
            "/tips/1",
            "tips/1",
            "//alto.example.com/tips/1",
            "ftp://alto.example.com/tips/1",
            "https:///tips/1",
            "https://alto.example.com/a b",
            "https://alto.example.com/a\nb",
            "https://[::1/tips",
            "https://alto.example.com:x/tips",
            "",
            7,
            None,
        ],
    )
    def test_what_no_client_can_ask_is_refused_even_leniently(self, uri):
        with pytest.raises(DecodeError):
            parse_tips_view(view(uri), Findings(strict=False))

    def test_a_relative_uri_is_forgiven_where_it_is_known_what_it_is_relative_to(self):
        findings = Findings(strict=False)
        found = parse_tips_view(view("/tips/1"), findings, "https://alto.example.com/tips")
        assert found.tips_view_uri == "https://alto.example.com/tips/1"
        assert [(item.level, item.path) for item in findings.items] == [(Level.MUST, "tips-view-uri")]
        with pytest.raises(DecodeError, match="relative"):
            parse_tips_view(view("/tips/1"), Findings(), "https://alto.example.com/tips")

    @pytest.mark.parametrize(
        "uri",
        [
            "https://alto.example.com/tips/1?x=1",
            "https://alto.example.com/tips/1#x",
            "https://me@alto.example.com/tips/1",
            "https://alto.example.com",
            "https://alto.example.com/tips/ü",
        ],
    )
    def test_what_breaks_the_format_is_refused_strictly_and_noted_leniently(self, uri):
        with pytest.raises(DecodeError, match=r"section 6\.2"):
            parse_tips_view(view(uri), Findings())
        findings = Findings(strict=False)
        parse_tips_view(view(uri), findings)
        assert [(item.level, item.path, item.rfc) for item in findings.items] == [(Level.MUST, "tips-view-uri", 9569)]

    def test_http_is_noted_as_what_should_not_be(self):
        findings = Findings()
        parse_tips_view(view("http://alto.example.com/tips/1"), findings)
        assert [(item.level, item.section) for item in findings.items] == [(Level.SHOULD, "6.2")]

    @pytest.mark.parametrize(
        "numbers",
        [
            {"start": 0},
            {"start": 107},
            {"i": 103, "j": 100},
            {"i": 100, "j": 105},
            {"i": 0, "j": 100},
            {"i": 0, "j": 108},
            {"i": 107, "j": 108},
        ],
    )
    def test_numbers_that_make_no_graph_are_refused(self, numbers):
        with pytest.raises(DecodeError, match="RFC 9569"):
            parse_tips_view(view(**numbers), Findings())

    @pytest.mark.parametrize("value", [-1, 1.5, "101", None, True, 2**60, 1e300, [], {}])
    def test_what_is_no_sequence_number_is_refused(self, value):
        for name in ("start", "end", "i", "j"):
            with pytest.raises(DecodeError, match=r"RFC (9569|7285)"):
                parse_tips_view(view(**{name: value}), Findings(strict=False))

    def test_the_misspelt_summary_of_section_7_4_2_is_noted(self):
        tree = {"tips-view-summary": {"update-graph-summary": view()["tips-view-summary"]["updates-graph-summary"]}}
        findings = Findings(strict=False)
        assert parse_next_edge(tree, findings).end_seq == 106
        assert [item.path for item in findings.items] == ["tips-view-summary/update-graph-summary"]


class TestRequests:
    def test_the_input_is_kept_as_it_is(self):
        assert read_tips_request({"resource-id": "a", "input": [None]}).input == [None]
        assert TipsRequest("a", input={"x": 1}).to_json() == {"resource-id": "a", "input": {"x": 1}}

    @pytest.mark.parametrize(
        ("tree", "code", "field"),
        [
            (None, ErrorCode.INVALID_FIELD_TYPE, None),
            ({}, ErrorCode.MISSING_FIELD, "resource-id"),
            ({"resource-id": None}, ErrorCode.INVALID_FIELD_TYPE, "resource-id"),
            ({"resource-id": "a.b"}, ErrorCode.INVALID_FIELD_VALUE, "resource-id"),
            ({"resource-id": "a", "tag": None}, ErrorCode.INVALID_FIELD_TYPE, "tag"),
            ({"resource-id": "a", "tag": ""}, ErrorCode.INVALID_FIELD_VALUE, "tag"),
        ],
    )
    def test_a_fault_is_named(self, tree, code, field):
        with pytest.raises(RequestError) as caught:
            read_tips_request(tree)
        assert (caught.value.code, caught.value.field) == (code, field)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://alto.example.com/tips/%7E", "https://alto.example.com/tips/%7E"),
        ("https://bücher.example:8443/ä", "https://xn--bcher-kva.example:8443/%C3%A4"),
        (f"https://{'ü' * 80}.example/", f"https://{'%C3%BC' * 80}.example/"),
    ],
)
def test_a_uri_becomes_ascii(uri, expected):
    assert ascii_uri(uri) == expected


names = st.sampled_from(
    ["tips-view-uri", "tips-view-summary", "updates-graph-summary", "start-seq", "end-seq", "start-edge-rec", "seq-i"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
trees = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(names, inner), max_leaves=12)


@given(trees, st.booleans())
def test_any_json_is_a_view_or_a_decode_error(tree, strict):
    for parse in (parse_tips_view, parse_next_edge):
        with contextlib.suppress(DecodeError):
            parse(tree, Findings(strict=strict))


@given(st.text(), st.booleans())
def test_any_uri_is_one_or_a_decode_error(uri, strict):
    for candidate in (uri, f"https://{uri}", f"https://a/{uri}"):
        try:
            parse_tips_view(view(candidate), Findings(strict=strict))
        except DecodeError:
            pass
        else:
            assert ascii_uri(candidate).isascii()


@given(trees)
def test_any_json_is_a_request_or_a_request_error(tree):
    with contextlib.suppress(RequestError):
        read_tips_request(tree)
