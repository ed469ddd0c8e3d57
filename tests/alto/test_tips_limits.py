"""What TIPS holds and does at a time, whatever clients keep asking for."""

from alto_updates import Map
from tips_bench import Bench, Costs, Filtered, large

from alto import tips as module
from alto._tips_views import TipsLimits
from alto.directory import Directory
from alto.tips import TipsService

WIDE = {f"PID{n}": {f"PID{m}": f"{n * m}" * 40 for m in range(8)} for n in range(8)}


def bench_of(count: int, **limits: int) -> tuple[Bench, list[str]]:
    """A service of so many views of filtered costs, each of other rows."""
    bench = Bench(Filtered("filtered", WIDE), limits=TipsLimits(**limits))
    rows = [[f"PID{at}" for at in range(8) if number >> at & 1] for number in range(1, count + 1)]
    return bench, [bench.open("filtered", input={"rows": each})[0] for each in rows]


def test_views_that_grow_version_by_version_stay_within_the_limit_of_all() -> None:
    """Many views, kept open by asking for their versions, must not each fill what one may have."""
    bench, views = bench_of(100)
    opened = bench.service._octets
    limit = opened + 10_000
    bench, views = bench_of(100, octets=limit)
    for turn in range(20):
        # All costs are others, so that no step is short.
        bench.change(
            "filtered", **{name: {to: f"{turn}{cost}"[:100] for to, cost in row.items()} for name, row in WIDE.items()}
        )
        for view in views:
            assert bench.pull(view, 0, turn + 2).status == 200
        held = sum(view.graph.octets for view in bench.service._views.values())
        assert held == bench.service._octets
        assert held < limit + 4 * opened
    assert len(bench.service._views) == 100


def test_after_a_change_some_views_at_a_time_are_brought_up_to_date(monkeypatch) -> None:
    monkeypatch.setattr(module, "REFRESHED_OCTETS", 10_000)
    bench, views = bench_of(7)
    polls = [bench.pull(view, 1, 2) for view in views]
    bench.change(
        "filtered", **large(PID0={"PID1": "other" * 900}, PID1={"PID2": "other" * 900}, PID2={"PID2": "o" * 4500})
    )
    first = sum(poll.response is not None for poll in polls)
    assert 0 < first < 7
    turns = 0
    while (due := bench.service.get_timer()) is not None and due <= bench.now:
        bench.service.handle_timer(bench.now)
        turns += 1
    assert turns > 0
    assert all(poll.response is not None for poll in polls)


def test_a_view_that_shrinks_still_leads_every_client_to_its_last_version() -> None:
    """RFC 9569 section 3.2: continuity, feasibility, right shift."""
    bench = Bench(Costs("costs", large(), "one"), limits=TipsLimits(octets=1000))
    view, _ = bench.open()
    for turn in range(5):
        bench.change(PID0={"PID1": turn}, tag=f"tag{turn}")
        bench.pull(view, 0, 1)
    graph = next(iter(bench.service._views.values())).graph
    assert graph.item(0, graph.start_seq) is not None
    assert all(graph.item(seq, seq + 1) is not None for seq in range(graph.start_seq, graph.end_seq))
    assert (graph.end_seq - graph.start_seq, graph.end_seq) == (1, 6)
    assert bench.pull(view, 1, 2).status == 410


def test_a_change_of_something_else_asks_a_resource_nothing() -> None:
    held = Map("map", 1)
    bench = Bench(held, Map("other", 1))
    view, _ = bench.open("map")
    asked = len(held.asked)
    bench.replace(Map("other", 2))
    assert bench.pull(view, 0, 1).status == 200
    assert len(held.asked) == asked


def test_a_view_at_which_somebody_waits_is_not_closed_for_another() -> None:
    """RFC 9569 section 4.1, however long it was not used otherwise."""
    bench = Bench(limits=TipsLimits(views=1, view_grace=10.0))
    view, _ = bench.open()
    bench.pull(view, 1, 2)
    bench.now += 20
    other = {"resource-id": "filtered", "input": {"rows": ["PID1"]}}
    assert bench.ask("POST", "", other).status == 429
    bench.wait(100)
    assert bench.ask("POST", "", other).status == 200


def test_the_uri_of_a_view_cannot_be_told_from_how_many_there_were() -> None:
    """Trap 15: who knows it may read what is in the view."""
    uris = set()
    for chance in (b"a", b"b"):
        service = TipsService("tips", ["costs"], random_bytes=chance.__mul__)
        bench = Bench(Costs("costs", large(), "one"))
        bench.directory = Directory([Costs("costs", large(), "one")], services=[service])
        bench.service = service
        uris.add(bench.open()[0])
    assert len(uris) == 2
