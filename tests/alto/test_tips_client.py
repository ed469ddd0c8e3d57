"""The TIPS client against our service, against hand-made servers, and against any octets."""

import json
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from tips_bench import BASE, Bench, Costs, Filtered, large

from alto import media
from alto._tips_views import TipsLimits
from alto.client.errors import ServerError, UnreachableError
from alto.client.fetch import Session
from alto.directory import Document
from alto.errors import ConfigurationError, DecodeError
from alto.http import Response
from alto.ird import ResourceEntry
from alto.tips_client import TipsClient, TipsUpdate, Wait
from alto.tips_graph import MAX_VERSIONS
from alto.types import VTag

BOTH = f"{media.MERGE_PATCH},{media.JSON_PATCH}"
VIEW = "https://alto.example.com/tips/2718281828"


def service_entry(patches=BOTH):
    return ResourceEntry(
        "tips",
        BASE + "tips",
        media.TIPS,
        media.TIPS_PARAMS,
        {"incremental-change-media-types": dict.fromkeys(("costs", "filtered"), patches)},
        ("costs", "filtered"),
    )


COSTS = ResourceEntry("costs", BASE + "costs", media.COST_MAP)
FILTERED = ResourceEntry("filtered", BASE + "filtered", media.COST_MAP, media.COST_MAP_FILTER)


def client(resource=COSTS, params=None, *, patches=BOTH, max_body=10_000_000, **more):
    return TipsClient(Session(max_body=max_body), service_entry(patches), resource, params, **more)


def run(plan, answer):
    """Run a plan to its end; `answer` gives the response to a request, or an exception to throw."""
    try:
        request = next(plan)
        while True:
            response = answer(request)
            request = plan.throw(response) if isinstance(response, Exception) else plan.send(response)
    except StopIteration as stop:
        return stop.value


class Follower:
    """A client of a bench; while it waits for a poll, `meanwhile` happens, or the poll runs out of time."""

    def __init__(self, bench, tips):
        self.bench = bench
        self.tips = tips
        self.asked = []
        self.statuses = []
        self.meanwhile = []

    def answer(self, request):
        self.asked.append((request.method, request.target))
        body = request.body if request.method == "POST" else None
        answer = self.bench.ask(request.method, request.target, body, headers=dict(request.headers))
        if not isinstance(answer, Response):
            if self.meanwhile:
                self.meanwhile.pop(0)()
            else:
                self.bench.wait(100)
            assert answer in self.bench.ready(), "still waiting"
            answer = answer.response
        self.statuses.append(answer.status)
        return answer

    def advance(self):
        return run(self.tips.advance(self.bench.now), self.answer)


def follower(*args, bench=None, **more):
    found = Follower(bench or Bench(), client(*args, **more))
    return found.bench, found


def costs_of(update):
    assert isinstance(update, TipsUpdate), update
    return update.document.tree["cost-map"]


class TestFollowing:
    def test_a_view_is_opened_and_its_snapshot_taken(self):
        _bench, follow = follower()
        update = follow.advance()
        assert costs_of(update) == large()
        assert (update.seq, update.is_full, update.document.vtag) == (1, True, VTag("costs", "one"))
        assert follow.tips.document is update.document
        assert [method for method, _ in follow.asked] == ["POST", "GET"]
        assert follow.asked[1][1] == follow.tips.view_uri + "/ug/0/1"

    def test_the_next_version_is_waited_for_and_comes_as_a_patch(self):
        bench, follow = follower()
        follow.advance()
        follow.meanwhile.append(lambda: bench.change(tag="two", PID0={"PID0": 7}))
        update = follow.advance()
        assert costs_of(update) == large(PID0={"PID0": 7})
        assert (update.seq, update.is_full, update.document.vtag) == (2, False, VTag("costs", "two"))
        assert follow.asked[2:] == [("GET", follow.tips.view_uri + "/ug/1/2")]

    def test_what_was_told_before_does_not_change_afterwards(self):
        bench, follow = follower()
        first = follow.advance()
        follow.meanwhile.append(lambda: bench.change(tag="two", PID0={}))
        follow.advance()
        assert costs_of(first) == large()

    def test_every_media_type_that_may_appear_is_accepted(self):
        plan = client().advance(0.0)
        open_request = next(plan)
        assert open_request.header("accept") == "application/alto-tips+json,application/alto-error+json"
        assert open_request.header("content-type") == "application/alto-tipsparams+json"
        assert json.loads(open_request.body) == {"resource-id": "costs"}
        pull = plan.send(opened())
        assert pull.method == "GET"
        assert set(pull.header("accept").split(",")) == {
            "application/alto-costmap+json",
            "application/merge-patch+json",
            "application/json-patch+json",
            "application/alto-error+json",
        }

    def test_a_post_mode_resource_is_asked_with_its_input(self):
        _bench, follow = follower(FILTERED, {"rows": ["PID1"]})
        assert costs_of(follow.advance()) == {"PID1": large()["PID1"]}

    def test_a_poll_that_runs_out_of_time_is_repeated_at_once(self):
        bench, follow = follower()
        follow.advance()
        assert follow.advance() == Wait(0.0, reason=follow_reason(425))
        bench.change(tag="two", PID0={})
        assert costs_of(follow.advance()) == large(PID0={})

    def test_a_version_in_hand_saves_the_snapshot(self):
        bench = Bench()
        bench.open()
        bench.change(tag="two", PID0={})
        tree = {"meta": {"vtag": {"resource-id": "costs", "tag": "one"}}, "cost-map": large()}
        document = Document(media.COST_MAP, tree, vtag=VTag("costs", "one"))
        _, follow = follower(bench=bench, document=document)
        update = follow.advance()
        assert not update.is_full
        assert costs_of(update) == large(PID0={})

    def test_a_document_that_is_still_the_latest_is_no_update(self):
        bench = Bench()
        tree = {"meta": {"vtag": {"resource-id": "costs", "tag": "one"}}, "cost-map": large()}
        document = Document(media.COST_MAP, tree, vtag=VTag("costs", "one"))
        _, follow = follower(bench=bench, document=document)
        follow.meanwhile.append(lambda: bench.change(tag="two", PID0={}))
        assert costs_of(follow.advance()) == large(PID0={})
        assert not any("/ug/0/" in target for _, target in follow.asked)

    def test_a_view_that_was_closed_is_opened_anew(self):
        bench, follow = follower()
        follow.advance()
        before = follow.tips.view_uri
        bench.wait(1000)
        bench.change(tag="two", PID0={})
        update = follow.advance()
        assert costs_of(update) == large(PID0={})
        assert follow.tips.view_uri != before
        assert follow.statuses[2:5] == [404, 404, 200]

    def test_a_view_opened_anew_tells_nothing_that_was_told_before(self):
        bench, follow = follower()
        follow.advance()
        bench.wait(1000)
        follow.meanwhile.append(lambda: bench.change(tag="two", PID0={}))
        assert costs_of(follow.advance()) == large(PID0={})

    def test_who_falls_out_of_the_window_asks_for_a_next_edge(self):
        bench, follow = follower(bench=Bench(limits=TipsLimits(versions=4)))
        follow.advance()
        for number in range(12):
            bench.change(tag=f"t{number}", PID0={"PID0": number + 100})
            bench.open()
        update = follow.advance()
        assert follow.statuses[2:4] == [410, 200]
        assert costs_of(update) == large(PID0={"PID0": 111})
        assert update.seq == 13

    def test_a_next_edge_is_asked_for_without_input(self):
        plan = client(FILTERED, {"rows": []}).advance(0.0)
        assert json.loads(next(plan).body) == {"resource-id": "filtered", "input": {"rows": []}}
        plan.send(opened())
        recommend = plan.send(error(410))
        assert (recommend.method, recommend.target) == ("POST", VIEW + "/ug")
        assert recommend.header("accept") == "application/merge-patch+json,application/alto-error+json"
        assert recommend.header("content-type") == "application/alto-tipsparams+json"
        assert json.loads(recommend.body) == {"resource-id": "filtered"}

    def test_a_multipart_answer_is_handed_on_as_octets(self):
        kind = 'multipart/related;type="application/alto-costmap+json";boundary=b'
        resource = ResourceEntry("costs", BASE + "costs", "multipart/related;type=application/alto-costmap+json")
        plan = client(resource, patches="").advance(0.0)
        next(plan)
        plan.send(opened())
        with pytest.raises(StopIteration) as stop:
            plan.send(Response(200, (("Content-Type", kind),), b"--b--"))
        assert (stop.value.value.document.media_type, stop.value.value.document.body) == (kind, b"--b--")


def follow_reason(status):
    class AnyReason:
        def __eq__(self, other):
            return isinstance(other, ServerError) and other.status == status

        __hash__ = None

    return AnyReason()


def opened(uri=VIEW, start=101, end=106, i=0, j=105):
    edge = {"seq-i": i, "seq-j": j}
    graph = {"start-seq": start, "end-seq": end, "start-edge-rec": edge}
    tree = {"tips-view-uri": uri, "tips-view-summary": {"updates-graph-summary": graph}}
    return Response(200, (("Content-Type", media.TIPS),), json.dumps(tree).encode())


def next_edge(start=101, end=106, i=0, j=105):
    tree = json.loads(opened(start=start, end=end, i=i, j=j).body)
    del tree["tips-view-uri"]
    return Response(200, (("Content-Type", media.MERGE_PATCH),), json.dumps(tree).encode())


def item(tree, kind=media.COST_MAP):
    return Response(200, (("Content-Type", kind),), json.dumps(tree).encode())


def error(status, *headers):
    return Response(status, (("Content-Type", media.ERROR), *headers), b'{"meta":{"code":"E_INVALID_FIELD_VALUE"}}')


def play(tips, *responses, wall=0.0):
    """One step with these responses; what it was, and what was asked."""
    asked, waiting = [], list(responses)

    def answer(request):
        asked.append((request.method, request.target))
        return waiting.pop(0)

    result = run(tips.advance(wall), answer)
    assert not waiting
    return result, asked


def followed(i=0, j=105, tag=None, **more):
    tips = client(**more)
    meta = {} if tag is None else {"vtag": {"resource-id": "costs", "tag": tag}}
    play(tips, opened(i=i, j=j), item({"meta": meta, "cost-map": {"a": {"a": 1, "b": 2}}}))
    return tips


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


class TestRefusingToStart:
    def test_a_patch_type_that_is_not_understood_forbids_the_service(self):
        with pytest.raises(ConfigurationError, match="xml-patch"):
            client(patches=f"{media.JSON_PATCH},application/xml-patch+xml")

    def test_a_resource_that_the_service_does_not_have_is_refused(self):
        with pytest.raises(ConfigurationError, match="does not have"):
            client(ResourceEntry("other", BASE + "other", media.COST_MAP))

    @pytest.mark.parametrize(("resource", "params"), [(COSTS, {}), (FILTERED, None)])
    def test_input_goes_with_a_resource_that_takes_it(self, resource, params):
        with pytest.raises(ConfigurationError, match="input"):
            client(resource, params)


values = st.integers(0, 3) | st.none() | st.lists(st.integers(0, 3) | st.none(), max_size=2)
changes = st.dictionaries(st.sampled_from(["PID0", "PID1", "a/b", "a~b", ""]), values, max_size=3)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("change"), changes), st.tuples(st.just("wait"), st.integers(0, 900)), st.just(("go", 0))
    ),
    max_size=30,
)


@given(actions, st.sampled_from(["", media.MERGE_PATCH, media.JSON_PATCH, BOTH]), st.booleans(), st.integers(2, 6))
def test_whatever_happens_the_clients_document_is_the_servers_at_that_version(sequence, patches, has_tags, versions):
    bench = Bench(
        Costs("costs", {}, "t" if has_tags else None),
        Filtered("filtered", {}),
        limits=TipsLimits(versions=versions),
        incremental_change_media_types={"costs": [kind for kind in patches.split(",") if kind]},
    )
    _, follow = follower(bench=bench, patches=patches)
    number, shown = 0, None
    for action, argument in [*sequence, ("go", 0), ("go", 0), ("go", 0)]:
        match action:
            case "change":
                number += 1
                bench.change(tag=f"t{number}" if has_tags else None, **argument)
            case "wait":
                bench.wait(argument)
            case _:
                result = follow.advance()
                if isinstance(result, TipsUpdate):
                    assert result.document.tree != shown or has_tags or result.seq == 1 or result.is_full
                    shown = result.document.tree
                    view = bench.service._views[follow.tips.view_uri.rpartition("/")[2]]
                    snapshot = view.graph.item(0, result.seq)
                    if snapshot is not None:
                        assert json.loads(snapshot.body) == shown
    content = bench.directory.resources["costs"].content
    for _ in range(MAX_VERSIONS):
        if follow.tips.document.tree["cost-map"] == content:
            break
        assert isinstance(follow.advance(), TipsUpdate), "there is more to come"
    assert json.dumps(follow.tips.document.tree["cost-map"], sort_keys=True) == json.dumps(content, sort_keys=True)


kinds = st.sampled_from(
    [media.TIPS, media.COST_MAP, media.MERGE_PATCH, media.JSON_PATCH, media.ERROR, "text/plain", ""]
)
bodies = st.binary(max_size=60) | st.sampled_from(
    [
        opened().body,
        opened(i=103, j=104).body,
        next_edge().body,
        b'{"meta":{},"cost-map":{}}',
        b'{"meta":{"vtag":{"resource-id":"costs","tag":"x"}},"cost-map":{}}',
        b'[{"op":"add","path":"/a","value":[]}]',
        b"[]",
        b"{}",
        b"null",
    ]
)
responses = st.builds(
    lambda status, kind, body, retry: Response(status, (("Content-Type", kind), ("Retry-After", retry)), body),
    st.sampled_from([200, 200, 200, 204, 304, 307, 400, 404, 404, 410, 425, 429, 500, 599]),
    kinds,
    bodies,
    st.sampled_from(["", "0", "9999999999", "-1", "x", "Thu, 99 Jan 1970 00:00:30 GMT"]),
)


@given(st.lists(responses, min_size=1, max_size=40), st.booleans())
def test_any_responses_raise_nothing_but_what_is_said(found, strict):
    tips = client(strict=strict)
    waiting = list(found)
    while waiting:
        before = tips.document
        try:
            result = run(tips.advance(0.0), lambda request: waiting.pop(0) if waiting else UnreachableError("the end"))
        except (DecodeError, ServerError):
            assert tips.document is before or tips.document is not None
        else:
            assert isinstance(result, TipsUpdate | Wait)
            assert not isinstance(result, Wait) or 0 <= result.seconds <= 3600
