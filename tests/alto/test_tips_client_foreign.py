"""The TIPS client against hand-made servers, and against the recorded answers of openalto."""

import json
from pathlib import Path

import pytest
from attrs import evolve
from tips_hand import VIEW, client, error, follow_reason, followed, item, next_edge, opened, play, run

from alto import media
from alto.client.errors import ServerError, UnreachableError
from alto.client.fetch import Session
from alto.errors import DecodeError
from alto.http import Response
from alto.ird import ResourceEntry
from alto.tips_client import TipsClient, TipsUpdate, Wait


def costs_of(update):
    assert isinstance(update, TipsUpdate), update
    return update.document.tree["cost-map"]


class TestForeignServers:
    def test_a_shortcut_is_taken_where_the_server_recommends_it(self):
        tips = followed(j=103, tag="0881080")
        result, asked = play(
            tips, error(410), next_edge(i=103, j=105), item({"cost-map": {"a": {"b": None}}}, media.MERGE_PATCH)
        )
        assert asked == [("GET", VIEW + "/ug/103/104"), ("POST", VIEW + "/ug"), ("GET", VIEW + "/ug/103/105")]
        assert result.seq == 105
        assert costs_of(result) == {"a": {"a": 1}}

    def test_a_path_that_begins_at_an_older_snapshot_tells_nothing_old(self):
        tips = followed(j=105)
        result, asked = play(
            tips,
            error(404),
            next_edge(end=107, i=0, j=104),
            item({"meta": {}, "cost-map": {"old": {}}}),
            item([{"op": "add", "path": "/cost-map/x", "value": {}}], media.JSON_PATCH),
            item([{"op": "add", "path": "/cost-map/y", "value": {}}], media.JSON_PATCH),
        )
        assert [target.removeprefix(VIEW) for _, target in asked] == [
            "/ug/105/106",
            "/ug",
            "/ug/0/104",
            "/ug/104/105",
            "/ug/105/106",
        ]
        assert result.seq == 106
        assert costs_of(result) == {"old": {}, "x": {}, "y": {}}

    def test_a_server_that_holds_nothing_back_is_asked_less_and_less_often(self):
        tips = followed(j=106)
        waits = [play(tips, error(404), next_edge(j=106))[0] for _ in range(9)]
        assert [wait.seconds for wait in waits] == [1, 2, 4, 8, 16, 32, 64, 64, 64]
        assert waits[0].reason is None

    def test_a_full_replacement_may_lie_on_any_edge(self):
        tips = followed(j=106)
        result, _ = play(tips, item({"meta": {}, "cost-map": {}}))
        assert (result.seq, result.is_full, costs_of(result)) == (107, True, {})

    def test_a_view_uri_with_a_slash_at_its_end_is_appended_to_without_another(self):
        _, asked = play(client(), opened(uri=VIEW + "/"), item({"meta": {}, "cost-map": {}}))
        assert asked[1] == ("GET", VIEW + "/ug/0/105")

    def test_a_path_is_appended_and_not_resolved(self):
        _, asked = play(client(), opened(), item({"meta": {}, "cost-map": {}}))
        assert asked[1] == ("GET", "https://alto.example.com/tips/2718281828/ug/0/105")

    @pytest.mark.parametrize(
        ("header", "seconds"),
        [
            ("7", 7),
            ("0", 0),
            ("99999999", 3600),
            ("Thu, 01 Jan 1970 00:00:30 GMT", 30),
            ("soon", 1),
            (None, 1),
        ],
    )
    @pytest.mark.parametrize("status", [425, 429, 503])
    def test_the_client_waits_as_it_is_told(self, status, header, seconds):
        tips = followed()
        result, _ = play(tips, error(status, *([("Retry-After", header)] if header else [])))
        assert result == Wait(seconds, reason=follow_reason(status))
        assert play(tips, item({"meta": {}, "cost-map": {}}))[1] == [("GET", VIEW + "/ug/105/106")]

    def test_a_server_that_says_at_once_each_time_does_not_keep_the_client_spinning(self):
        tips = followed()
        waits = [play(tips, error(425, ("Retry-After", "0")))[0].seconds for _ in range(5)]
        assert waits[0] == 0
        assert all(wait > 0 for wait in waits[1:])
        held = [play(tips, error(425, ("Retry-After", "0")), wall=wall)[0].seconds for wall in (60, 120, 180)]
        assert held == [0, 0, 0], "it was held for a minute each time"

    def test_an_open_request_too_many_is_repeated_later(self):
        tips = client()
        assert play(tips, error(429, ("Retry-After", "60")))[0].seconds == 60
        play(tips, opened(), item({"meta": {}, "cost-map": {}}))

    def test_a_connection_that_breaks_is_tried_again(self):
        tips = followed()
        result, _ = play(tips, UnreachableError("reset"))
        assert (result.seconds, str(result.reason)) == (1, "reset")

    @pytest.mark.parametrize("status", [400, 401, 403, 405, 406, 415])
    def test_a_refusal_that_stays_one_is_raised(self, status):
        with pytest.raises(ServerError) as caught:
            play(followed(), error(status))
        assert caught.value.status == status

    def test_views_that_close_again_and_again_make_the_client_pause(self):
        tips = client()
        asked = []

        def answer(request):
            asked.append(request.method)
            return opened() if request.method == "POST" and not request.target.endswith("/ug") else error(404)

        assert run(tips.advance(0.0), answer).seconds == 1
        assert run(tips.advance(0.0), answer).seconds == 2
        assert len(asked) < 60

    def test_a_graph_that_shifts_to_the_left_is_refused(self):
        with pytest.raises(DecodeError, match=r"section 3\.2"):
            play(followed(j=106), error(404), next_edge(start=1, end=50, i=0, j=50))

    def test_leniently_it_is_noted_and_another_view_opened(self):
        tips = followed(j=106, strict=False)
        result, _ = play(
            tips, error(404), next_edge(start=1, end=50, j=50), opened(), item({"meta": {}, "cost-map": {"n": {}}})
        )
        assert [finding.section for finding in result.findings] == ["3.2"]

    @pytest.mark.parametrize(
        ("before", "wrong"),
        [
            ([], item({}, media.MERGE_PATCH)),
            ([], item({}, "text/html")),
            ([], Response(200, (), b"{}")),
            ([], item([], media.TIPS)),
            ([], Response(200, (("Content-Type", media.TIPS),), b"{")),
            ([], opened(i=103, j=104)),
            ([], opened(uri="/tips/1")),
            ([opened()], item({}, media.MERGE_PATCH)),
            ([opened()], item({}, media.JSON_PATCH)),
            ([opened()], item({}, media.NETWORK_MAP)),
            ([opened()], item([])),
            ([opened()], Response(200, (("Content-Type", media.COST_MAP),), b'{"meta":{},"meta":{}}')),
        ],
    )
    def test_what_may_not_come_is_refused_and_changes_nothing(self, before, wrong):
        tips = client()
        with pytest.raises(DecodeError):
            play(tips, *before, wrong)
        assert tips.document is None

    @pytest.mark.parametrize(
        ("wrong", "kind"),
        [
            ([{"op": "remove", "path": "/nothing"}], media.JSON_PATCH),
            ([{"op": "replace", "path": "", "value": 7}], media.JSON_PATCH),
            ({}, media.JSON_PATCH),
            (7, media.MERGE_PATCH),
            ({}, media.TIPS),
        ],
    )
    def test_a_patch_that_does_not_fit_is_refused_and_the_next_may(self, wrong, kind):
        tips = followed(j=105)
        before = tips.document
        with pytest.raises(DecodeError):
            play(tips, item(wrong, kind))
        assert tips.document is before
        result, asked = play(tips, item({"x": 1}, media.MERGE_PATCH))
        assert asked == [("GET", VIEW + "/ug/105/106")]
        assert result.document.tree["x"] == 1

    def test_a_next_edge_of_the_wrong_type_is_refused(self):
        with pytest.raises(DecodeError):
            play(followed(), error(404), evolve(next_edge(), headers=(("Content-Type", media.TIPS),)))

    def test_a_document_grows_no_larger_than_a_body_may_be(self):
        tips = followed(max_body=2000)
        for number in range(3):
            play(tips, item({f"m{number}": "x" * 500}, media.MERGE_PATCH))
        with pytest.raises(DecodeError, match="octets"):
            play(tips, item({"m3": "x" * 500}, media.MERGE_PATCH))
        for _ in range(9):
            play(tips, item({"m1": "y" * 500}, media.MERGE_PATCH))
        copying = followed(max_body=2000)
        patch = [{"op": "add", "path": "/x", "value": "y" * 600}]
        play(copying, item(patch, media.JSON_PATCH))
        with pytest.raises(DecodeError, match="octets"):
            play(copying, item([{"op": "copy", "from": "/x", "path": f"/{n}"} for n in range(9)], media.JSON_PATCH))


class TestOpenalto:
    """What the server of openalto, which has an older draft, was recorded to answer."""

    transcripts = json.loads(
        (Path(__file__).parents[1] / "data" / "openalto_server_transcripts.json").read_text(encoding="utf-8")
    )

    def answer(self, request):
        path = request.target.removeprefix("http://127.0.0.1:8000")
        for exchange in self.transcripts:
            asked = exchange["request"]
            if (asked["method"], asked["path"]) == (request.method, path) and "unknown" not in exchange["name"]:
                headers = tuple(exchange["response"]["headers"].items())
                return Response(exchange["response"]["status"], headers, exchange["response"]["body"].encode())
        return Response(404, (("Content-Type", media.ERROR),), b'{"meta":{"code":"E_GENERIC_HTTP"}}')

    def client(self, *, strict):
        uri = "http://127.0.0.1:8000/tips-control/updates-graph"
        service = ResourceEntry("updates-graph", uri, media.TIPS, media.TIPS_PARAMS)
        resource = ResourceEntry("dynamic-networkmap", "http://127.0.0.1:8000/networkmap", media.NETWORK_MAP)
        return TipsClient(Session(), service, resource, strict=strict)

    def test_strictly_its_view_is_refused_with_the_reason(self):
        with pytest.raises(DecodeError, match=r"tips-view-uri: .* is relative \(RFC 9569 section 6\.2\)"):
            run(self.client(strict=True).advance(0.0), self.answer)

    def test_leniently_its_versions_are_followed_to_the_last(self):
        tips = self.client(strict=False)
        updates = [run(tips.advance(0.0), self.answer) for _ in range(4)]
        assert [update.seq for update in updates] == [100, 101, 102, 103]
        assert [update.is_full for update in updates] == [True, False, False, False]
        assert [finding.path for finding in updates[0].findings] == ["tips-view-uri", "tips-view-uri"]
        (snapshot,) = [each for each in self.transcripts if each["name"] == "tips edge 0->102"]
        assert updates[2].document.tree == json.loads(snapshot["response"]["body"])
        waits = [run(tips.advance(0.0), self.answer) for _ in range(3)]
        assert waits == [Wait(1.0), Wait(2.0), Wait(4.0)], "its views have neither next edges nor long polls"
        assert tips.seq == 103
