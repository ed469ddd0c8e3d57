"""Topologies: shortest paths, and elements merged so that flows can have together what they could."""

import contextlib
import json

import pytest
from alto_figure10 import FIGURE_10
from hypothesis import given
from hypothesis import strategies as st

from alto import ConfigurationError
from alto import topology as topology_module
from alto.paths import MAX_RESERVABLE_BANDWIDTH, PERSISTENT_ENTITY_ID, Path
from alto.pathvector import PathVector
from alto.topology import EndpointPaths, Link, Node, Topology
from alto.topologyfile import parse_topology, topology_from_json

BOTH = (MAX_RESERVABLE_BANDWIDTH, PERSISTENT_ENTITY_ID)


def figure_10() -> Topology:
    return parse_topology(FIGURE_10)


def bandwidths(path: Path | None) -> list[float]:
    assert path is not None
    return [element.properties[MAX_RESERVABLE_BANDWIDTH] for element in path]


def test_elements_that_the_same_flows_go_through_are_one() -> None:
    """The second answer of section 8.4: NET1 and L1 are AGGR1, NET2 and L2 are AGGR2."""
    [[first, second]] = figure_10().paths(["PID3"], ["PID1", "PID4"], BOTH)
    assert first is not None
    assert second is not None
    assert bandwidths(first) == [50e9, 10e9]
    assert bandwidths(second) == [50e9, 15e9]
    assert first[0] == second[0]
    assert [element.properties.get(PERSISTENT_ENTITY_ID) for element in first] == [None, "ane-props.ane:MEC1"]
    assert [element.properties.get(PERSISTENT_ENTITY_ID) for element in second] == [None, "ane-props.ane:MEC2"]


def test_one_flow_sees_one_element_with_the_least_bandwidth() -> None:
    [[path]] = figure_10().paths(["PID1"], ["PID4"], [MAX_RESERVABLE_BANDWIDTH])
    assert bandwidths(path) == [10e9]


def test_persistent_elements_are_kept_apart_where_they_are_asked_for() -> None:
    [[path]] = figure_10().paths(["PID1"], ["PID4"], BOTH)
    assert path is not None
    assert [element.properties.get(PERSISTENT_ENTITY_ID) for element in path] == [
        "ane-props.ane:MEC1",
        "ane-props.ane:MEC2",
    ]


def test_a_pid_without_a_node_has_no_path() -> None:
    assert figure_10().paths(["PID1", "elsewhere"], ["elsewhere"], ()) == [[None], [None]]


def test_within_a_node_the_path_is_the_node() -> None:
    [[path]] = figure_10().paths(["PID1"], ["PID2"], [MAX_RESERVABLE_BANDWIDTH])
    assert bandwidths(path) == [50e9]


def test_endpoints_belong_to_pids_and_have_no_path_to_the_other_family() -> None:
    source = EndpointPaths(figure_10())
    rows = source.paths(["ipv4:192.0.2.34", "ipv6:2001:db8:3::1"], ["ipv4:192.0.2.2", "ipv6:2001:db8:4::1"], ())
    assert [[path is not None for path in row] for row in rows] == [[True, False], [False, True]]
    assert source.version == EndpointPaths(figure_10()).version
    assert source.paths(["ipv4:198.51.100.1"], ["ipv4:192.0.2.2"], ()) == [[None]]


def test_the_least_sum_of_weights_is_taken() -> None:
    nodes = {name: Node(name) for name in "abcd"}
    links = (Link("a", "d", 1.0, 10.0), Link("a", "b", 2.0, 3.0), Link("b", "c", 3.0, 3.0), Link("c", "d", 4.0, 3.0))
    topology = Topology(nodes, links, {"A": "a", "D": "d"}, {"A": {}, "D": {}})
    [[path]] = topology.paths(["A"], ["D"], ())
    assert bandwidths(path) == [2.0]
    assert topology.paths(["D"], ["A"], ()) == [[None]]
    assert topology.costs().get("A", "D") == 9.0
    assert topology.costs(hops=True).get("A", "D") == 3.0
    assert topology.costs().get("D", "A") is None
    assert topology.costs().get("A", "A") == 0.0


def test_only_so_many_trees_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for most, kept in ((500_000, 3), (9, 3), (8, 2), (6, 2), (5, 1), (0, 1)):
        monkeypatch.setattr(topology_module, "MAX_KEPT", most)
        topology = figure_10()
        for _ in range(2):
            assert topology.costs(hops=True).get("PID1", "PID4") == 2
        assert len(topology._trees) == kept


def test_the_version_differs_when_the_topology_does() -> None:
    assert figure_10().version == figure_10().version
    assert figure_10().version != parse_topology(FIGURE_10.replace("pid,PID2,NET1", "pid,PID2,NET2")).version
    assert figure_10().version != parse_topology(FIGURE_10.replace("MEC1", "MEC3")).version
    assert figure_10().version != parse_topology(FIGURE_10.replace("10G", "11G")).version


def test_the_json_form_says_the_same_as_the_csv_form() -> None:
    tree = {
        "nodes": [
            {"name": "NET1", "bandwidth": "50G", "persistent-entity-id": "ane-props.ane:MEC1",
             "pids": {"PID1": ["192.0.2.0/28"], "PID2": ["192.0.2.16/28"]}},
            {"name": "NET2", "bandwidth": 50e9, "persistent-entity-id": "ane-props.ane:MEC2",
             "pids": {"PID4": ["192.0.2.48/28", "2001:db8:4::/48"]}},
            {"name": "NET3", "bandwidth": "50 Gbps", "pids": {"PID3": ["192.0.2.32/28", "2001:db8:3::/48"]}},
        ],
        "links": [{"from": "NET1", "to": "NET3", "bandwidth": "10G"},
                  {"from": "NET3", "to": "NET2", "bandwidth": "15000M"}],
        "default-pid": "elsewhere",
    }  # fmt: skip
    topology = parse_topology(json.dumps(tree))
    assert topology.version == figure_10().version
    assert topology.network_map().tag == figure_10().network_map().tag


def test_a_link_may_be_one_way_and_have_a_weight() -> None:
    topology = parse_topology("node,a\nnode,b\npid,A,a\npid,B,b\nlink,a,b,1k,2.5,one-way\nlink,b,a,,7,one-way\n")
    assert topology.links == (Link("a", "b", 1000.0, 2.5), Link("b", "a", None, 7.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("knot,a", "line 1: 'knot' is none of"),
        ("node,a\nnode,a", "line 2: the node 'a' is there twice"),
        ("node", "line 1: the node ''"),
        ("node,a,fast", "line 1: 'fast' is no bandwidth"),
        ("node,a\nlink,a,b", "a link to 'b', which is no node"),
        ("node,a\nlink,a,a,1,x", "line 2: 'x' is no weight"),
        ("node,a\nlink,a,a,1,-1", "line 2: -1.0 is below 0"),
        ("node,a\nlink,a,a,1,1,both", "line 2: 'both' is not one-way"),
        ("pid,P,a", "the PID 'P' is at 'a', which is no node"),
        ("node,a\nnode,b\npid,P,a\npid,P,b", "line 4: the PID 'P' is at 'a' as well"),
        ("node,a\npid,P,a,10.0.0.1/8\ndefault-pid,D", "host bits"),
        ("node,a\npid,P.x,a", "is no PID name"),
        ("{", "topology: "),
        ('{"nodes": 1}', "topology: nodes is due, not 1"),
        ('{"nodes": [1]}', "nodes/0: name is due, not 1"),
        ('{"nodes": [{"name": "a", "bandwidth": []}]}', "nodes/0: bandwidth is due"),
        ('{"nodes": [{"name": "a", "bandwidth": -1}]}', "nodes/0: -1.0 is below 0"),
        ('{"nodes": [{"name": "a", "pids": {"P": "10.0.0.0/8"}}]}', "nodes/0/pids/P: an array"),
        ('{"nodes": [], "links": [{"from": "a"}]}', "links/0: to is due, not None"),
        ('{"nodes": [], "links": [[]]}', "links/0: from is due, not an array"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_topology(text)
    assert message in str(caught.value)


def test_a_topology_says_what_it_cannot_be() -> None:
    with pytest.raises(ConfigurationError, match="the weight -1"):
        Topology({"a": Node("a")}, (Link("a", "a", None, -1.0),), {}, {})
    with pytest.raises(ConfigurationError, match="a bandwidth of -1"):
        Topology({"a": Node("a", -1.0)}, (), {}, {})


def _rates(rows: list[list[Path | None]]) -> dict[tuple[str, str], float]:
    paths = {(str(i), str(j)): path for i, row in enumerate(rows) for j, path in enumerate(row) if path is not None}
    properties = {element.key: element.properties for path in paths.values() for element in path}
    named = {flow: tuple(element.key for element in path) for flow, path in paths.items()}
    return PathVector(None, (), (), (), (named,), {}, properties).fair_rates()


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd"), st.integers(1, 9), st.integers(1, 3)), max_size=12
    ),
    st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=3, unique=True),
)
def test_merging_changes_nothing_that_flows_can_have_together(
    drawn: list[tuple[str, str, int, int]], sources: list[str], destinations: list[str]
) -> None:
    links = tuple(Link(a, b, float(bandwidth), float(weight)) for a, b, bandwidth, weight in drawn if a != b)
    topology = Topology({name: Node(name, 5.0) for name in "abcd"}, links, {name: name for name in "abcd"}, {})
    raw = [[topology._path(source, destination) for destination in destinations] for source in sources]
    merged = topology.paths(sources, destinations, [MAX_RESERVABLE_BANDWIDTH])
    assert _rates([list(row) for row in merged]) == pytest.approx(_rates(raw))


_SCALARS = st.none() | st.booleans() | st.floats() | st.text(max_size=5)
_TREES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["nodes", "links", "name", "from", "to", "pids", "bandwidth", "weight"]), inner, max_size=5
        )
    ),
    max_leaves=12,
)


@given(_TREES)
def test_any_json_is_a_topology_or_a_configuration_error(tree: object) -> None:
    with contextlib.suppress(ConfigurationError):
        topology_from_json(tree)


@given(
    st.lists(st.sampled_from(["node", "pid", "link", "default-pid", "a", "b", ",", "\n", '"', "#", "1G", "\0"])).map(
        "".join
    )
)
def test_any_text_is_a_topology_or_a_configuration_error(text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        parse_topology(text)
