"""The TIPS client against our service, against hand-made servers, and against any octets."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tips_bench import BASE, Bench, Costs, Filtered, large
from tips_hand import BOTH, COSTS, FILTERED, VIEW, client, error, follow_reason, next_edge, opened, run

from alto import media
from alto._tips_views import TipsLimits
from alto.client.errors import ServerError, UnreachableError
from alto.directory import Document
from alto.errors import ConfigurationError, DecodeError
from alto.http import Response
from alto.ird import ResourceEntry
from alto.tips_client import TipsUpdate, Wait
from alto.tips_graph import MAX_VERSIONS
from alto.types import VTag


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

    def test_no_tag_is_sent_with_input(self):
        """Section 6.1: it is that of "a GET-mode resource"; a filtered map has the tag of the whole."""
        requests = []

        def answer(request):
            requests.append(request)
            return Response(404)

        document = Document(media.COST_MAP, {"meta": {}}, vtag=VTag("filtered", "one"))
        with pytest.raises(ServerError):
            run(client(FILTERED, {"rows": ["PID1"]}, document=document).advance(0.0), answer)
        assert json.loads(requests[0].body) == {"resource-id": "filtered", "input": {"rows": ["PID1"]}}

    @pytest.mark.parametrize("document", [None, Document(media.COST_MAP, {"meta": {}})])
    def test_a_patch_in_place_of_a_snapshot_is_refused(self, document):
        patch = Response(200, (("Content-Type", media.MERGE_PATCH),), b'{"cost-map": {}}')
        tips = client(document=document)
        with pytest.raises(DecodeError):
            run(tips.advance(0.0), lambda request: opened() if request.method == "POST" else patch)
        assert tips.document is document

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
