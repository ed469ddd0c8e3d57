"""The TIPS service: requests that wait, and views that are closed."""

import json

from tips_bench import Bench, Costs, Filtered, code_of, large

from alto import media
from alto.patch import json_patch, merge_patch
from alto.tips import TipsLimits


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


class TestPolling:
    def test_the_next_edge_is_waited_for(self):
        bench = Bench()
        view = bench.open()[0]
        poll = bench.pull(view, 1, 2)
        assert poll.response is None
        assert bench.ready() == []
        bench.change(PID0={})
        assert bench.ready() == [poll]
        assert content(poll.response, content(bench.pull(view, 0, 1)))["cost-map"] == large(PID0={})
        assert bench.ready() == []

    def test_every_client_that_waits_is_answered(self):
        bench = Bench()
        view = bench.open()[0]
        polls = [bench.pull(view, 1, 2) for _ in range(3)]
        bench.change(PID0={})
        assert bench.ready() == polls
        assert len({poll.response.body for poll in polls}) == 1

    def test_edges_further_on_may_be_waited_for_within_the_window(self):
        bench = Bench(limits=TipsLimits(poll_window=2))
        view = bench.open()[0]
        later, snapshot = bench.pull(view, 2, 3), bench.pull(view, 0, 3)
        assert later.response is snapshot.response is None
        assert bench.pull(view, 3, 4).status == 425
        bench.change(PID0={})
        assert bench.ready() == []
        bench.change(PID1={})
        assert bench.ready() == [later, snapshot]
        assert content(snapshot.response)["cost-map"] == large(PID0={}, PID1={})

    def test_a_change_of_another_resource_answers_nobody(self):
        bench = Bench()
        bench.pull(bench.open()[0], 1, 2)
        bench.change("filtered", PID0={})
        assert bench.ready() == []

    def test_a_poll_that_does_not_take_the_type_that_came_is_answered_415(self):
        bench = Bench()
        poll = bench.pull(bench.open()[0], 1, 2, headers={"Accept": media.COST_MAP})
        bench.change(PID0={})
        assert poll.response.status == 415

    def test_a_poll_ends_after_its_time_and_the_client_may_ask_again(self):
        bench = Bench()
        view = bench.open()[0]
        poll = bench.pull(view, 1, 2)
        assert bench.service.get_timer() == 1050
        bench.wait(49)
        assert poll.response is None
        bench.wait(2)
        assert bench.ready() == [poll]
        assert (poll.response.status, poll.response.header("retry-after")) == (425, "0")
        assert bench.pull(view, 1, 2).response is None

    def test_early_and_repeated_timers_do_no_harm(self):
        bench = Bench()
        poll = bench.pull(bench.open()[0], 1, 2)
        for _ in range(3):
            bench.service.handle_timer(bench.now)
        assert poll.response is None

    def test_the_end_of_the_server_answers_who_waits(self):
        bench = Bench()
        view, _ = bench.open()
        polls = [bench.pull(view, 1, 2) for _ in range(2)]
        bench.service.close("going down")
        assert bench.ready() == polls
        assert [(poll.response.status, poll.response.body) for poll in polls] == [(503, b"going down\n")] * 2
        assert polls[0].response.header("retry-after") == "5"

    def test_polls_too_many_are_answered_429_for_one_client_and_for_all(self):
        bench = Bench(limits=TipsLimits(polls=3, polls_per_client=2))
        view = bench.open()[0]
        polls = [bench.pull(view, 1, 2) for _ in range(2)]
        answer = bench.pull(view, 1, 2)
        assert (answer.status, int(answer.header("retry-after")) > 0) == (429, True)
        assert code_of(answer)
        polls.append(bench.pull(view, 1, 2, client="ipv4:192.0.2.2"))
        assert bench.pull(view, 1, 2, client="ipv4:192.0.2.3").status == 429
        assert bench.pull(view, 0, 1).status == 200, "what is there is not held back"

    def test_trap_28_a_client_that_hangs_up_frees_its_place(self):
        bench = Bench(limits=TipsLimits(polls=1))
        view = bench.open()[0]
        poll = bench.pull(view, 1, 2)
        assert bench.pull(view, 1, 2).status == 429
        poll.disconnect(bench.now)
        poll.disconnect(bench.now)
        other = bench.pull(view, 1, 2)
        bench.change(PID0={})
        assert bench.ready() == [other]
        assert poll.response is None

    def test_a_poll_that_is_answered_or_gone_leaves_nothing_behind(self):
        bench = Bench()
        view = bench.open()[0]
        polls = [bench.pull(view, 1, 2) for _ in range(4)]
        polls[0].disconnect(bench.now)
        bench.change(PID0={})
        polls[1].disconnect(bench.now)
        assert bench.ready() == polls[2:]
        machine = bench.service._polls
        assert not machine._waiting
        assert not machine._answered
        assert not machine._by_client

    def test_what_others_use_comes_first(self):
        bench = Bench(Costs("costs", large(), "c1", uses=("network",)), Costs("network", large(), "n1"))
        costs, network = bench.pull(bench.open("costs")[0], 1, 2), bench.pull(bench.open("network")[0], 1, 2)
        bench.replace(Costs("costs", large(PID0={}), "c2", uses=("network",)), Costs("network", large(PID0={}), "n2"))
        assert bench.ready() == [network, costs]

    def test_many_views_are_brought_up_to_date_a_few_at_a_time(self):
        bench = Bench()
        polls = [
            bench.pull(bench.open("filtered", input={"rows": ["PID0"], "x": number})[0], 1, 2) for number in range(20)
        ]
        bench.change("filtered", PID0={})
        some = bench.ready()
        assert 0 < len(some) < 20
        assert bench.service.get_timer() <= bench.now
        bench.wait(0)
        assert [*some, *bench.ready()] == polls


class TestClosing:
    def test_an_idle_view_is_closed_and_then_not_found(self):
        bench = Bench()
        view = bench.open()[0]
        bench.wait(599)
        assert bench.pull(view, 0, 1).status == 200
        bench.wait(599)
        assert bench.next_edge(view).status == 200
        bench.wait(601)
        assert bench.pull(view, 0, 1).status == 404
        assert bench.next_edge(view).status == 404
        assert bench.service.get_timer() is None
        assert bench.open()[0] != view

    def test_a_view_at_which_somebody_waits_stays(self):
        bench = Bench(limits=TipsLimits(view_idle=60, poll_timeout=1000))
        view = bench.open()[0]
        poll = bench.pull(view, 1, 2)
        bench.wait(500)
        assert poll.response is None
        assert bench.pull(view, 0, 1).status == 200

    def test_a_view_of_what_cannot_be_asked_any_more_is_closed(self):
        class Refusing(Filtered):
            def answer(self, query):
                return Filtered.answer(self, type(query)(query.context, None, random_bytes=query.random_bytes))

        bench = Bench()
        view = bench.open("filtered", input={"rows": ["PID0"]})[0]
        poll = bench.pull(view, 1, 2)
        bench.replace(Refusing("filtered", large()))
        assert poll.response.status == 404
        assert bench.pull(view, 0, 1).status == 404
        assert bench.service._octets == 0

    def test_a_shared_view_whose_answer_begins_to_look_at_who_asks_is_closed(self):
        class Looking(Costs):
            def answer(self, query):
                return Costs.answer(self, query) if query.context.client else None

        bench = Bench()
        view = bench.open()[0]
        bench.replace(Looking("costs", large(PID0={})))
        assert bench.pull(view, 0, 1).status == 404

    def test_a_resource_that_becomes_private_closes_the_views_of_everybody(self):
        bench = Bench()
        view = bench.open()[0]
        bench.replace(Costs("costs", large(PID0={}), is_private=True))
        assert bench.pull(view, 0, 2, user="one").status == 404
