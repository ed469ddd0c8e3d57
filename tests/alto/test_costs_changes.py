"""What has changed between two cost maps, found without their trees."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto import costs as module
from alto import media
from alto._json import loads
from alto.costmap import CostMapResource
from alto.costs import CostMatrix
from alto.directory import Directory, Document, Query, RequestContext
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.patch import merge_diff, merge_patch
from alto.tips_graph import UpdatesGraph
from alto.types import CostType

ROUTING = CostType("numerical", "routingcost")
NAMES = st.lists(st.sampled_from(["PID1", "PID2", "PID3", "PID4"]), unique=True, max_size=4)
COSTS = st.sampled_from([None, 0, 1, 2.5, 1e300])


@st.composite
def matrices(draw: Any) -> CostMatrix:
    sources, destinations = draw(NAMES), draw(NAMES)
    return CostMatrix(sources, destinations, [[draw(COSTS) for _ in destinations] for _ in sources])


def shown(costs: CostMatrix) -> dict[str, dict[str, float]]:
    """The `cost-map`, in which sources without costs are left out."""
    return {source: row for source, row in costs.to_mapping().items() if row}


def answer(costs: CostMatrix, address: str = "192.0.2.0/24") -> Document:
    groups = {"PID1": {"ipv4": ["0.0.0.0/0"]}, "PID2": {"ipv4": [address]}, "PID3": {}, "PID4": {}}
    resource = CostMapResource("costs", "map", "num", ROUTING, costs)
    directory = Directory([NetworkMapResource("map", NetworkMap(groups)), resource])
    return resource.answer(Query(RequestContext(directory), random_bytes=bytes))


@pytest.mark.parametrize("has_numpy", [True, False])
def test_the_patch_is_that_of_the_trees(has_numpy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_numpy:
        monkeypatch.setattr(module, "_numpy", None)

    @given(matrices(), matrices())
    def check(old: CostMatrix, new: CostMatrix) -> None:
        assert new.merge_patch_from(old) == merge_diff(shown(old), shown(new))
        before, after = answer(old), answer(new, "192.0.2.0/25")
        patch = after.merge_patch_from(before)
        assert patch == merge_diff(before.tree, after.tree)
        assert merge_patch(before.tree, patch) == after.tree

    check()


def test_nothing_has_changed_in_the_same_costs() -> None:
    rows = [[1, None], [2.5, 3]]
    one, other = CostMatrix(["a", "b"], ["a", "b"], rows), CostMatrix(["a", "b"], ["a", "b"], rows)
    assert one.merge_patch_from(one) == one.merge_patch_from(other) == {}
    assert (
        answer(CostMatrix(["PID1"], ["PID2"], [[1]])).merge_patch_from(answer(CostMatrix(["PID1"], ["PID2"], [[1]])))
        == {}
    )


def test_of_another_kind_of_document_nothing_is_known() -> None:
    assert answer(CostMatrix(["PID1"], ["PID2"], [[1]])).merge_patch_from(Document("application/json", {})) is None
    assert Document("application/json", {}).merge_patch_from(Document("application/json", {})) is None


def test_a_view_of_a_large_map_steps_by_what_has_changed() -> None:
    names = [f"PID{number}" for number in range(1, 5)]
    rows = [[float(place * 10 + at) for at in range(4)] for place in range(4)]
    graph = UpdatesGraph(answer(CostMatrix(names, names, rows)), patch_types=(media.JSON_PATCH, media.MERGE_PATCH))
    assert not graph.add(answer(CostMatrix(names, names, rows)))
    rows[1][2] = 99
    before, after = answer(CostMatrix(names, names, [[*row] for row in rows])), answer(CostMatrix(names, names, rows))
    assert graph.add(after)
    step = graph.item(1, 2)
    assert step is not None
    assert step.media_type == media.MERGE_PATCH
    assert loads(step.body)["cost-map"] == {"PID2": {"PID3": 99}}
    assert not graph.add(before)
