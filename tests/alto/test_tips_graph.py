"""The updates graph: its invariants, its update items, and the edges it recommends."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto import media
from alto.directory import Document
from alto.patch import json_patch, merge_patch
from alto.tips_graph import UpdateItem, UpdatesGraph, cheapest_edge
from alto.types import VTag

BOTH = (media.MERGE_PATCH, media.JSON_PATCH)
# Figure 2 of the draft, with a size for each update item.
FIGURE = {
    (0, 101): 1000,
    (0, 103): 1000,
    (0, 105): 1000,
    (101, 102): 10,
    (102, 103): 10,
    (103, 104): 10,
    (103, 105): 15,
    (104, 105): 10,
    (105, 106): 10,
}


def cost_map(content, tag=None):
    vtag = None if tag is None else VTag("map", tag)
    meta = {} if vtag is None else {"vtag": vtag.to_json()}
    return Document(media.COST_MAP, {"meta": meta, "cost-map": content}, vtag=vtag)


def large(**changes):
    return {f"PID{n}": {f"PID{m}": n * m for m in range(8)} for n in range(8)} | changes


def apply(item, document):
    tree = json.loads(item.body)
    match item.media_type:
        case media.MERGE_PATCH:
            return merge_patch(document, tree)
        case media.JSON_PATCH:
            return json_patch(document, tree)
        case _:
            return tree


def walk(graph):
    """Every version by the snapshot of the first and the steps, checked against the other snapshots."""
    found = {graph.start_seq: apply(graph.item(0, graph.start_seq), None)}
    for seq in range(graph.start_seq, graph.end_seq):
        found[seq + 1] = apply(graph.item(seq, seq + 1), found[seq])
    for seq, tree in found.items():
        if (snapshot := graph.item(0, seq)) is not None:
            assert apply(snapshot, None) == tree
    return found


def test_the_first_version_is_a_snapshot_and_consecutive_versions_follow():
    graph = UpdatesGraph(cost_map(large()), patch_types=BOTH)
    assert (graph.start_seq, graph.end_seq) == (1, 1)
    assert graph.add(cost_map(large(PID9={"PID0": 1})))
    assert (graph.start_seq, graph.end_seq) == (1, 2)
    assert graph.item(0, 1).media_type == media.COST_MAP
    assert graph.item(1, 2) is not None
    assert graph.item(2, 3) is None
    assert walk(graph)[2]["cost-map"] == large(PID9={"PID0": 1})


def test_content_that_did_not_change_makes_no_version():
    graph = UpdatesGraph(cost_map({"a": {"a": 1, "b": 2}}), patch_types=BOTH)
    assert not graph.add(cost_map({"a": {"a": 1, "b": 2}}))
    assert not graph.add(cost_map({"a": {"b": 2, "a": 1.0}}))
    assert graph.end_seq == 1
    assert graph.add(cost_map({"a": {"b": 2, "a": True}})), "true is not 1"


def test_a_step_is_the_shortest_of_the_announced_patches_and_the_full_replacement():
    graph = UpdatesGraph(cost_map(large()), patch_types=(media.MERGE_PATCH,))
    graph.add(cost_map(large(PID0={"PID0": 9})))
    assert graph.item(1, 2).media_type == media.MERGE_PATCH
    graph.add(cost_map({}))
    assert graph.item(2, 3).media_type == media.COST_MAP, "the removal of each row is longer than the empty map"
    assert json.loads(graph.item(2, 3).body) == {"meta": {}, "cost-map": {}}


def test_trap_11_a_member_that_becomes_null_takes_a_json_patch_where_it_is_announced():
    graph = UpdatesGraph(cost_map(large()), patch_types=BOTH)
    graph.add(cost_map(large(PID0=None)))
    assert graph.item(1, 2).media_type == media.JSON_PATCH
    assert walk(graph)[2]["cost-map"]["PID0"] is None


def test_trap_11_and_a_full_replacement_where_only_merge_patch_is_announced():
    graph = UpdatesGraph(cost_map(large()), patch_types=(media.MERGE_PATCH,))
    graph.add(cost_map(large(PID0=None)))
    assert graph.item(1, 2).media_type == media.COST_MAP
    assert walk(graph)[2]["cost-map"]["PID0"] is None


def test_a_null_inside_an_array_goes_by_merge_patch():
    graph = UpdatesGraph(cost_map(large()), patch_types=(media.MERGE_PATCH,))
    graph.add(cost_map(large(PID0={"PID0": [1, None]})))
    assert graph.item(1, 2).media_type == media.MERGE_PATCH
    assert walk(graph)[2]["cost-map"]["PID0"]["PID0"] == [1, None]


def test_without_announced_patches_every_step_is_a_full_replacement():
    graph = UpdatesGraph(cost_map(large()))
    graph.add(cost_map(large(PID0={"PID0": 9})))
    assert graph.item(1, 2).media_type == media.COST_MAP


def test_a_multipart_answer_is_never_patched():
    def multipart(octets):
        return Document(
            'multipart/related;type="application/alto-costmap+json";boundary=b',
            body=octets,
            parts={"costmap": cost_map({}), "propmap": cost_map({})},
        )

    graph = UpdatesGraph(multipart(b"one"), patch_types=BOTH)
    assert graph.add(multipart(b"two"))
    assert not graph.add(multipart(b"two"))
    assert graph.item(1, 2).body == b"two"


def test_the_window_begins_where_there_is_a_snapshot():
    graph = UpdatesGraph(cost_map(large()), patch_types=BOTH, max_versions=8)
    for number in range(40):
        graph.add(cost_map(large(PID0={"PID0": number + 100})))
        assert graph.item(0, graph.start_seq) is not None
        assert graph.item(0, graph.end_seq) is not None
        assert graph.end_seq - graph.start_seq < 8
        walk(graph)
    assert graph.end_seq == 41


def test_the_snapshot_that_was_the_latest_before_is_still_there():
    graph = UpdatesGraph(cost_map(large()), patch_types=BOTH, max_versions=64)
    for number in range(20):
        graph.add(cost_map(large(PID0={"PID0": number + 100})))
        assert graph.item(0, graph.end_seq - 1) is not None


def test_a_graph_beyond_its_octets_keeps_the_last_two_versions():
    graph = UpdatesGraph(cost_map(large()), patch_types=BOTH, max_octets=1)
    for number in range(5):
        graph.add(cost_map(large(PID0={"PID0": number + 100})))
    assert (graph.start_seq, graph.end_seq) == (5, 6)
    assert graph.octets == sum(len(graph.item(*edge).body) for edge in graph.edges())


def test_without_a_tag_the_latest_snapshot_is_recommended():
    graph = UpdatesGraph(cost_map(large(), "one"), patch_types=BOTH)
    graph.add(cost_map(large(PID0={}), "two"))
    assert graph.start_edge(None) == (0, 2)
    assert graph.start_edge("unknown") == (0, 2)


def test_with_a_tag_in_the_graph_the_first_step_from_it_is_recommended_if_the_steps_are_shorter():
    graph = UpdatesGraph(cost_map(large(), "one"), patch_types=BOTH)
    graph.add(cost_map(large(PID0={}), "two"))
    graph.add(cost_map(large(PID0={"PID1": 1}), "three"))
    assert graph.start_edge("one") == (1, 2)
    assert graph.start_edge("two") == (2, 3)
    assert graph.start_edge("three") == (3, 4), "what there is to come"
    graph.add(cost_map({}, "four"))
    assert graph.start_edge("one") == (0, 4)


def test_the_next_edge_is_the_first_of_the_path_with_the_fewest_octets():
    graph = UpdatesGraph(cost_map(large(), "one"), patch_types=BOTH)
    graph.add(cost_map(large(PID0={}), "two"))
    assert graph.next_edge("one") == (1, 2)
    assert graph.next_edge(None) == (0, 2)
    assert graph.next_edge("two") == (2, 3)
    graph.add(cost_map({}, "three"))
    assert graph.next_edge("one") == (0, 3)


def test_a_tag_that_two_versions_have_means_the_later_one():
    graph = UpdatesGraph(cost_map(large(), "one"), patch_types=BOTH)
    graph.add(cost_map(large(PID0={}), "two"))
    graph.add(cost_map(large(), "one"))
    assert graph.next_edge("one") == (3, 4)


def test_a_version_of_another_media_type_is_no_patch_of_the_one_before():
    tree = {"a": 1, "b": "x" * 100}
    graph = UpdatesGraph(Document("application/one+json", tree), patch_types=BOTH)
    assert graph.add(Document("application/other+json", {**tree, "a": 2}))
    assert graph.item(1, 2) == UpdateItem("application/other+json", graph.item(0, 2).body)
    assert graph.add(Document("application/other+json", {**tree, "a": 3}))
    assert graph.item(2, 3).body == b'{"a":3}'


def test_a_version_without_a_version_tag_has_one_made_of_its_content():
    graph = UpdatesGraph(cost_map({"a": {"a": 1, "b": 2}}), patch_types=BOTH)
    assert graph.tag(1) == UpdatesGraph(cost_map({"a": {"a": 1, "b": 2}})).tag(1)
    assert graph.tag(1) != UpdatesGraph(cost_map({"a": {"a": 1, "b": 3}})).tag(1)
    assert len(graph.tag(1)) == 40


def test_the_cheapest_path_of_the_drafts_figure_takes_the_shortcut():
    assert cheapest_edge(FIGURE, (0, 103), 106) == (103, 105)
    assert cheapest_edge(FIGURE | {(103, 105): 25}, (0, 103), 106) == (103, 104)
    assert cheapest_edge(FIGURE, (0,), 106) == (0, 105)
    assert cheapest_edge(FIGURE | {(0, 105): 5}, (0, 103), 106) == (0, 105)


def test_of_paths_that_cost_the_same_the_one_with_fewer_messages_wins():
    assert cheapest_edge({(1, 2): 1, (2, 3): 1, (1, 3): 2}, (1,), 3) == (1, 3)
    assert cheapest_edge({(0, 3): 2, (1, 2): 1, (2, 3): 1}, (0, 1), 3) == (1, 2)


@pytest.mark.parametrize("end", [0, 101, 7])
def test_there_is_no_cheapest_edge_where_no_path_leads(end):
    assert cheapest_edge(FIGURE, (end,), end) is None


@given(st.dictionaries(st.tuples(st.integers(0, 5), st.integers(1, 6)), st.integers(0, 9)), st.integers(0, 5))
def test_the_cheapest_edge_begins_a_path_as_cheap_as_any(edges, source):
    costs = {edge: cost for edge, cost in edges.items() if edge[0] < edge[1]}

    def cheapest(node):
        if node == 6:
            return 0
        return min((costs[edge] + cheapest(edge[1]) for edge in costs if edge[0] == node), default=float("inf"))

    edge = cheapest_edge(costs, (source,), 6)
    if edge is None:
        assert cheapest(source) == float("inf")
    else:
        assert costs[edge] + cheapest(edge[1]) == cheapest(source)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab/~", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3),
    max_leaves=8,
)
histories = st.lists(st.dictionaries(st.text("ab/~", max_size=2), values, max_size=4), min_size=1, max_size=24)


@given(
    histories,
    st.sampled_from([(), (media.MERGE_PATCH,), (media.JSON_PATCH,), BOTH]),
    st.integers(2, 9),
    st.integers(1, 400),
)
def test_the_invariants_hold_whatever_the_versions_and_the_limits(history, patch_types, max_versions, max_octets):
    first, *later = history
    graph = UpdatesGraph(cost_map(first), patch_types=patch_types, max_versions=max_versions, max_octets=max_octets)
    contents = {1: first}
    for content in later:
        before = (graph.start_seq, graph.end_seq)
        if graph.add(cost_map(content)):
            contents[graph.end_seq] = content
        assert graph.start_seq >= before[0], "right shift only"
        assert graph.end_seq >= before[1], "right shift only"
        assert graph.end_seq - graph.start_seq < max_versions
        assert graph.octets == sum(len(graph.item(*edge).body) for edge in graph.edges())
        assert graph.octets <= max_octets or graph.end_seq - graph.start_seq <= 1
        assert len(graph._tags) == graph.end_seq - graph.start_seq + 1
        for seq, tree in walk(graph).items():
            assert json.dumps(tree["cost-map"], sort_keys=True) == json.dumps(contents[seq], sort_keys=True)
        for edge in graph.edges():
            assert edge[0] == 0 or graph.start_seq <= edge[0] < edge[1] <= graph.end_seq
