"""The TIPS service: views, pulls, long polls, next edges, and what it holds for its clients."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tips_bench import BASE, Bench, Costs, Filtered, code_of, large

from alto import media
from alto._tips_views import TipsLimits
from alto.directory import Directory, RequestContext
from alto.errors import ConfigurationError
from alto.http import Request, Response
from alto.patch import json_patch, merge_patch
from alto.ports import Service
from alto.tips import TipsService


def content(answer, before=None):
    assert answer.status == 200, answer
    tree = json.loads(answer.body)
    match answer.header("content-type"):
        case media.MERGE_PATCH:
            return merge_patch(before, tree)
        case media.JSON_PATCH:
            return json_patch(before, tree)
        case _:
            return tree


def test_the_service_fits_the_port():
    service: Service = TipsService("tips", ["costs"])
    assert service.media_type == "application/alto-tips+json"
    assert service.accepts == "application/alto-tipsparams+json"


def test_the_capabilities_name_the_patches_of_each_resource():
    bench = Bench(
        Costs("a", {}),
        Costs("b", {}),
        Costs("c", {}),
        incremental_change_media_types={"b": [media.JSON_PATCH], "c": []},
    )
    assert bench.service.capabilities(bench.directory) == {
        "incremental-change-media-types": {
            "a": "application/merge-patch+json,application/json-patch+json",
            "b": "application/json-patch+json",
        }
    }


def test_a_resource_with_a_multipart_answer_has_no_patches():
    class Multipart(Costs):
        media_type = "multipart/related;type=application/alto-costmap+json"

    bench = Bench(Multipart("pv", {}))
    assert bench.service.capabilities(bench.directory) == {"incremental-change-media-types": {}}


@pytest.mark.parametrize("types", [{"other": [media.JSON_PATCH]}, {"a": ["application/xml-patch+xml"]}])
def test_a_service_that_cannot_be_is_refused(types):
    with pytest.raises(ConfigurationError):
        TipsService("tips", ["a"], incremental_change_media_types=types)


class TestOpening:
    def test_a_view_has_an_absolute_uri_and_a_summary(self):
        bench = Bench()
        answer = bench.ask("POST", "", {"resource-id": "costs"})
        assert answer.status == 200
        assert answer.header("content-type") == "application/alto-tips+json"
        tree = json.loads(answer.body)
        assert set(tree) == {"tips-view-uri", "tips-view-summary"}
        assert tree["tips-view-uri"].startswith(BASE + "tips/")
        assert tree["tips-view-summary"] == {
            "updates-graph-summary": {"start-seq": 1, "end-seq": 1, "start-edge-rec": {"seq-i": 0, "seq-j": 1}}
        }

    def test_trap_15_a_uri_takes_all_its_chance_from_the_source_and_is_never_used_again(self):
        first, second = Bench().open()[0], Bench(Costs("costs", {})).open()[0]
        assert first == second, "the same source, the same octets"
        bench = Bench()
        bench.service._random_bytes = bytes
        uris = {bench.open("costs")[0], bench.open("filtered", input={"rows": []})[0]}
        bench.wait(1000)
        uris.add(bench.open("costs")[0])
        assert len(uris) == 3
        assert all(len(uri.rpartition("/")[2]) == 40 for uri in uris)

    def test_a_uri_is_ascii_whatever_the_server_is_called(self):
        bench = Bench()
        question = Request("POST", "/tips", (("Content-Type", media.TIPS_PARAMS),), b'{"resource-id": "costs"}')
        context = RequestContext(bench.directory, None, "https://b\xfccher.example/stra\xdfe/")
        answer = bench.service.handle(question, "", context, 0.0)
        uri = json.loads(answer.body)["tips-view-uri"]
        assert uri.startswith("https://xn--bcher-kva.example/stra%C3%9Fe/tips/")

    def test_a_request_that_does_not_say_where_the_server_is_gets_no_view(self):
        bench = Bench()
        question = Request("POST", "/tips", (("Content-Type", media.TIPS_PARAMS),), b'{"resource-id": "costs"}')
        assert bench.service.handle(question, "", RequestContext(bench.directory), 0.0).status == 400

    def test_views_of_the_same_resource_and_input_are_one(self):
        bench = Bench()
        assert bench.open(client="ipv4:192.0.2.1")[0] == bench.open(client="ipv4:192.0.2.2")[0]
        one = bench.open("filtered", input={"rows": ["PID1"], "x": 1})[0]
        assert one == bench.open("filtered", input={"x": 1, "rows": ["PID1"]})[0]

    def test_views_of_other_resources_or_inputs_have_other_uris(self):
        bench = Bench(Costs("costs", {}), Costs("more", {}), Filtered("filtered", large()), Filtered("other", large()))
        uris = {
            bench.open("costs")[0],
            bench.open("more")[0],
            bench.open("filtered", input={"rows": ["PID1"]})[0],
            bench.open("filtered", input={"rows": ["PID2"]})[0],
            bench.open("other", input={"rows": ["PID1"]})[0],
        }
        assert len(uris) == 5

    def test_an_answer_that_looks_at_who_asks_is_for_that_client_alone(self):
        bench = Bench()
        one = bench.open("filtered", input={"mine": True}, client="ipv4:192.0.2.1")[0]
        other = bench.open("filtered", input={"mine": True}, client="ipv4:192.0.2.2")[0]
        assert one != other
        assert one == bench.open("filtered", input={"mine": True}, client="ipv4:192.0.2.1")[0]
        assert list(content(bench.pull(other, 0, 1))["cost-map"]) == ["ipv4:192.0.2.2"]
        assert "no-store" in bench.pull(other, 0, 1).header("cache-control")

    def test_the_start_edge_follows_the_tag(self):
        bench = Bench()
        bench.open()
        bench.change(tag="two", PID0={})
        assert bench.open()[1]["start-edge-rec"] == {"seq-i": 0, "seq-j": 2}
        assert bench.open(tag="one")[1]["start-edge-rec"] == {"seq-i": 1, "seq-j": 2}
        assert bench.open(tag="gone")[1]["start-edge-rec"] == {"seq-i": 0, "seq-j": 2}

    def test_input_for_a_resource_without_input_is_ignored(self):
        bench = Bench()
        assert bench.open(input={"x": 1})[0] == bench.open()[0]

    @pytest.mark.parametrize(
        ("body", "meta"),
        [
            ({}, {"code": "E_MISSING_FIELD", "field": "resource-id"}),
            ({"resource-id": 1}, {"code": "E_INVALID_FIELD_TYPE", "field": "resource-id"}),
            (
                {"resource-id": "my-network-map/#"},
                {"code": "E_INVALID_FIELD_VALUE", "field": "resource-id", "value": "my-network-map/#"},
            ),
            ({"resource-id": "x"}, {"code": "E_INVALID_FIELD_VALUE", "field": "resource-id", "value": "x"}),
            ({"resource-id": "tips"}, {"code": "E_INVALID_FIELD_VALUE", "field": "resource-id", "value": "tips"}),
            ({"resource-id": "costs", "tag": 7}, {"code": "E_INVALID_FIELD_TYPE", "field": "tag"}),
            ({"resource-id": "costs", "tag": "a b"}, {"code": "E_INVALID_FIELD_VALUE", "field": "tag", "value": "a b"}),
            ({"resource-id": "filtered"}, {"code": "E_MISSING_FIELD", "field": "rows"}),
            ({"resource-id": "filtered", "input": {}}, {"code": "E_MISSING_FIELD", "field": "rows"}),
            ({"resource-id": "filtered", "input": None}, {"code": "E_INVALID_FIELD_TYPE"}),
            ({"resource-id": "filtered", "input": [1]}, {"code": "E_INVALID_FIELD_TYPE"}),
            ([], {"code": "E_INVALID_FIELD_TYPE"}),
        ],
    )
    def test_an_error_in_the_request_is_answered_400_and_opens_nothing(self, body, meta):
        bench = Bench()
        answer = bench.ask("POST", "", body)
        assert answer.status == 400
        assert code_of(answer) == meta
        assert not bench.service._views

    def test_a_resource_of_the_server_that_is_none_of_the_service_is_not_shown(self):
        """Section 6.1: it "MUST be in the TIPS' "uses" list"."""
        bench = Bench()
        bench.directory = Directory([*bench.directory.resources.values(), Costs("other", {})], services=[bench.service])
        answer = bench.ask("POST", "", {"resource-id": "other"})
        assert code_of(answer) == {"code": "E_INVALID_FIELD_VALUE", "field": "resource-id", "value": "other"}
        assert not bench.service._views

    def test_input_that_is_missing_is_an_error_even_where_the_resource_has_no_member_to_miss(self):
        class Anything(Filtered):
            def answer(self, query):
                return Costs.answer(self, query)

        bench = Bench(Anything("any", {}))
        bench.open("any", input={})
        assert code_of(bench.ask("POST", "", {"resource-id": "any"})) == {"code": "E_MISSING_FIELD", "field": "input"}

    def test_what_is_no_json_is_a_syntax_error(self):
        answer = Bench().ask("POST", "", b'{"resource-id": "costs"')
        assert (answer.status, code_of(answer)["code"]) == (400, "E_SYNTAX")

    @pytest.mark.parametrize(
        ("method", "headers", "status"),
        [
            ("GET", {}, 405),
            ("DELETE", {}, 405),
            ("OPTIONS", {}, 204),
            ("POST", {}, 415),
            ("POST", {"Content-Type": "application/json"}, 415),
            ("POST", {"Content-Type": media.TIPS_PARAMS, "Accept": media.COST_MAP}, 406),
            ("POST", {"content-type": "Application/ALTO-tipsparams+json; charset=utf-8", "accept": "*/*"}, 200),
        ],
    )
    def test_methods_and_types_are_negotiated(self, method, headers, status):
        answer = Bench().ask(method, "", {"resource-id": "costs"}, headers=headers)
        assert answer.status == status
        if status != 204:
            assert answer.header("allow") == ("POST, OPTIONS" if status == 405 else None)

    def test_a_private_resource_is_for_clients_that_are_known_and_each_has_its_own_view(self):
        bench = Bench(Costs("costs", {}, is_private=True))
        assert bench.ask("POST", "", {"resource-id": "costs"}).status == 403
        one, other = bench.open(user="one")[0], bench.open(user="other")[0]
        assert one != other
        assert bench.pull(one, 0, 1, user="one").status == 200
        assert bench.pull(one, 0, 1, user="other").status == 404
        assert bench.pull(one, 0, 1).status == 404
        assert "no-store" in bench.pull(one, 0, 1, user="one").header("cache-control")

    def test_a_view_too_many_is_answered_429_with_retry_after(self):
        bench = Bench(limits=TipsLimits(views=2))
        for rows in ("a", "b"):
            bench.open("filtered", input={"rows": rows})
        answer = bench.ask("POST", "", {"resource-id": "costs"})
        assert answer.status == 429
        assert int(answer.header("retry-after")) > 0
        assert code_of(answer)
        assert bench.open("filtered", input={"rows": "a"}), "which is there already"

    def test_a_view_that_was_not_used_for_a_while_makes_room(self):
        bench = Bench(limits=TipsLimits(views=2))
        first = bench.open("filtered", input={"rows": "a"})[0]
        bench.wait(50)
        second = bench.open("filtered", input={"rows": "b"})[0]
        bench.wait(20)
        bench.open("costs")
        assert bench.pull(first, 0, 1).status == 404
        assert bench.pull(second, 0, 1).status == 200

    def test_views_take_no_more_octets_together_than_the_limit(self):
        bench = Bench(limits=TipsLimits(octets=2000))
        for row in range(8):
            bench.ask("POST", "", {"resource-id": "filtered", "input": {"rows": [f"PID{row}"], "x": row}})
        assert bench.ask("POST", "", {"resource-id": "costs"}).status == 200
        assert bench.ask("POST", "", {"resource-id": "filtered", "input": {"rows": list(large())}}).status == 429
        assert bench.service._octets <= 2000


class TestPulling:
    def test_a_snapshot_has_the_type_of_the_resource_and_a_step_that_of_its_patch(self):
        bench = Bench()
        view = bench.open()[0]
        bench.change(tag="two", PID0={})
        snapshot, step = bench.pull(view, 0, 1), bench.pull(view, 1, 2)
        assert snapshot.header("content-type") == "application/alto-costmap+json"
        assert step.header("content-type") in (media.MERGE_PATCH, media.JSON_PATCH)
        assert content(step, content(snapshot)) == content(bench.pull(view, 0, 2))
        assert content(bench.pull(view, 0, 2))["cost-map"] == large(PID0={})

    def test_head_is_answered_like_get(self):
        bench = Bench()
        view = bench.open()[0]
        assert bench.ask("HEAD", f"{view}/ug/0/1") == bench.pull(view, 0, 1)

    def test_a_change_that_changes_nothing_makes_no_version(self):
        bench = Bench()
        bench.open()
        bench.change()
        assert bench.open()[1]["end-seq"] == 1

    def test_several_changes_that_nobody_waited_for_are_one_version(self):
        bench = Bench()
        view = bench.open()[0]
        bench.change(PID0={})
        bench.change(PID1={})
        assert content(bench.pull(view, 0, 2))["cost-map"] == large(PID0={}, PID1={})
        assert bench.open()[1]["end-seq"] == 2

    @pytest.mark.parametrize(
        ("tail", "status"),
        [
            ("/ug/0/9", 200),
            ("/ug/8/9", 200),
            ("/ug/8/9?x=1", 200),
            ("/ug/0/1", 410),
            ("/ug/1/2", 410),
            ("/ug/1/9", 410),
            ("/ug/7/9", 404),
            ("/ug/9/8", 404),
            ("/ug/9/9", 404),
            ("/ug/0/0", 404),
            ("/ug/8/10", 404),
            ("/ug/9/14", 425),
            ("/ug/99/100", 425),
            ("/ug/0/99", 425),
            (f"/ug/0/{'9' * 5000}", 425),
            (f"/ug/{'9' * 4000}/{'9' * 5000}", 404),
            ("/ug/-1/9", 404),
            ("/ug/08/9", 404),
            ("/ug/8.0/9", 404),
            ("/ug/８/9", 404),  # a digit to Python, and no digit of a URI
            ("/ug/a/9", 404),
            ("/ug/8/", 404),
            ("/ug/8", 404),
            ("/ug/8/9/", 404),
            ("/ug/8/9/10", 404),
            ("/ug//8/9", 404),
            ("/ug/8/9;x", 404),
            ("/xx/8/9", 404),
            ("/", 404),
            ("", 404),
        ],
    )
    def test_what_an_edge_is_answered(self, tail, status):
        bench = Bench(limits=TipsLimits(versions=4))
        view = bench.open()[0]
        for number in range(8):
            bench.change(PID0={"PID0": number + 100})
            bench.open()
        assert bench.open()[1] == {"start-seq": 6, "end-seq": 9, "start-edge-rec": {"seq-i": 0, "seq-j": 9}}
        answer = bench.ask("GET", view + tail)
        assert isinstance(answer, Response)
        assert answer.status == status
        if status != 200:
            assert code_of(answer)

    def test_a_view_that_is_none_is_not_found(self):
        bench = Bench()
        bench.open()
        for view in ("/nothing", "/", "//", "/../costs"):
            assert bench.pull(view, 0, 1).status == 404

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    def test_update_items_are_read_only(self, method):
        bench = Bench()
        answer = bench.ask(method, f"{bench.open()[0]}/ug/0/1")
        assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")

    @pytest.mark.parametrize(
        ("accept", "status"),
        [
            (None, 200),
            ("*/*", 200),
            ("application/alto-costmap+json,application/alto-error+json", 200),
            ("application/merge-patch+json", 415),
            ("application/alto-costmap+json;q=0", 415),
        ],
    )
    def test_an_accept_without_the_type_of_the_item_is_answered_415(self, accept, status):
        bench = Bench()
        answer = bench.pull(bench.open()[0], 0, 1, headers={} if accept is None else {"Accept": accept})
        assert answer.status == status
        if status == 415:
            assert code_of(answer)

    def test_no_cache_keeps_anything(self):
        bench = Bench()
        view = bench.open()[0]
        for answer in (bench.pull(view, 0, 1), bench.pull(view, 7, 6), bench.next_edge(view)):
            assert answer.header("cache-control") == "no-store"


class TestNextEdge:
    def test_it_is_a_merge_patch_with_the_first_edge_of_the_cheapest_path(self):
        bench = Bench()
        view = bench.open()[0]
        bench.change(tag="two", PID0={})
        answer = bench.next_edge(view, tag="one")
        assert answer.status == 200
        assert answer.header("content-type") == "application/merge-patch+json"
        assert json.loads(answer.body) == {
            "tips-view-summary": {
                "updates-graph-summary": {"start-seq": 1, "end-seq": 2, "start-edge-rec": {"seq-i": 1, "seq-j": 2}}
            }
        }

    @pytest.mark.parametrize(("members", "edge"), [({}, (0, 2)), ({"tag": "none"}, (0, 2)), ({"tag": "two"}, (2, 3))])
    def test_without_a_tag_or_with_one_that_is_not_there_it_starts_from_nothing(self, members, edge):
        bench = Bench()
        view = bench.open()[0]
        bench.change(tag="two", PID0={})
        found = json.loads(bench.next_edge(view, **members).body)["tips-view-summary"]["updates-graph-summary"]
        assert (found["start-edge-rec"]["seq-i"], found["start-edge-rec"]["seq-j"]) == edge

    @pytest.mark.parametrize(
        ("body", "meta"),
        [
            ({}, {"code": "E_MISSING_FIELD", "field": "resource-id"}),
            (
                {"resource-id": "filtered"},
                {"code": "E_INVALID_FIELD_VALUE", "field": "resource-id", "value": "filtered"},
            ),
            (
                {"resource-id": "costs", "input": {}},
                {"code": "E_INVALID_FIELD_VALUE", "field": "input", "value": "{}"},
            ),
        ],
    )
    def test_its_errors_name_the_field(self, body, meta):
        bench = Bench()
        answer = bench.ask("POST", bench.open()[0] + "/ug", body)
        assert (answer.status, code_of(answer)) == (400, meta)

    @pytest.mark.parametrize(
        ("method", "headers", "status"),
        [
            ("GET", {}, 405),
            ("POST", {"Content-Type": "application/json"}, 415),
            ("POST", {"Content-Type": media.TIPS_PARAMS, "Accept": media.TIPS}, 406),
        ],
    )
    def test_methods_and_types_are_negotiated(self, method, headers, status):
        bench = Bench()
        answer = bench.ask(method, bench.open()[0] + "/ug", {"resource-id": "costs"}, headers=headers)
        assert answer.status == status

    def test_a_view_that_is_closed_is_not_found(self):
        assert Bench().next_edge("/nothing").status == 404


actions = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.integers(0, 3), st.integers(0, 3)),
        st.tuples(st.just("pull"), st.integers(-1, 12), st.integers(-1, 12)),
        st.tuples(st.just("next"), st.sampled_from([None, "t0", "t1", "t2", "t3", "zzz"]), st.just(0)),
        st.tuples(st.just("open"), st.sampled_from([None, "t0", "t1", "t2", "t3"]), st.just(0)),
        st.tuples(st.just("hang up"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 700), st.just(0)),
    ),
    max_size=40,
)


@given(actions)
def test_whatever_is_asked_in_whatever_order_gets_an_answer(sequence):
    bench = Bench(Costs("costs", large(), "t0"), limits=TipsLimits(versions=4, polls=5, polls_per_client=4, views=2))
    view, held, last = bench.open()[0], [], (0, 0)
    for action, one, other in sequence:
        match action:
            case "change":
                bench.change(tag=f"t{other}", **{f"PID{one}": {"PID0": other}})
            case "pull":
                answer = bench.pull(view, one, other)
                if isinstance(answer, Response):
                    assert answer.status in (200, 404, 410, 425, 429)
                else:
                    held.append(answer)
            case "next":
                answer = bench.next_edge(view, **({} if one is None else {"tag": one}))
                assert answer.status in (200, 404)
            case "open":
                uri, summary = bench.open(**({} if one is None else {"tag": one}))
                last = (0, 0) if uri != view else last
                view = uri
                assert summary["start-seq"] >= last[0], "right shift only"
                assert summary["end-seq"] >= last[1], "right shift only"
                last = (summary["start-seq"], summary["end-seq"])
                i, j = summary["start-edge-rec"].values()
                answer = bench.pull(view, i, j)
                assert not isinstance(answer, Response) or answer.status in (200, 429)
                assert bench.pull(view, 0, summary["start-seq"]).status == 200, "feasibility"
                for seq in range(summary["start-seq"], summary["end-seq"]):
                    assert bench.pull(view, seq, seq + 1).status == 200, "continuity"
            case "hang up" if held:
                held[one % len(held)].disconnect(bench.now)
            case "wait":
                bench.wait(one)
        for poll in bench.ready():
            assert poll.response.status in (200, 404, 425)
        waiting = bench.service._polls._waiting
        assert len(waiting) <= 5
        assert all(poll.response is None for poll in waiting)
        assert bench.service._octets == sum(view.graph.octets for view in bench.service._views.values())


@given(st.text(max_size=20), st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "BREW"]), st.binary(max_size=40))
def test_any_request_gets_an_answer(path, method, body):
    bench = Bench()
    view = bench.open()[0].removeprefix(BASE + "tips")
    for tail in ("/" + path, view + path, f"{view}/{path}", f"{view}/ug/{path}", f"{view}/ug/0/{path}"):
        answer = bench.ask(method, tail, body)
        assert not isinstance(answer, Response) or 200 <= answer.status < 500
    assert bench.ask(method, "", body).status in (204, 400, 405, 415)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda x: (
            st.lists(x)
            | st.dictionaries(st.sampled_from(["resource-id", "tag", "input", "rows", "mine", "costs", "filtered"]), x)
        ),
        max_leaves=8,
    )
)
def test_any_json_gets_an_answer(tree):
    bench = Bench()
    answer = bench.ask("POST", "", tree)
    assert answer.status == 400 or tree["resource-id"] in ("costs", "filtered")
    assert bench.ask("POST", bench.open()[0] + "/ug", tree).status in (200, 400)
