"""A topology as a server's directory, asked by the client."""

from typing import Any

import pytest
from alto_figure10 import FIGURE_10
from alto_pv import PATH_VECTOR, ask

from alto import ConfigurationError
from alto.findings import Findings
from alto.http import Request, Response
from alto.pathvector import parse_path_vector
from alto.propertymap import parse_property_map
from alto.server import AltoServer
from alto.topologydirectory import topology_directory
from alto.topologyfile import parse_topology


def held(text: str = FIGURE_10, *, is_private: bool = False) -> Any:
    return topology_directory(parse_topology(text), is_private=is_private)


def test_figure_10_is_served_with_costs_and_path_vectors() -> None:
    directory = held()
    rows = ask(directory, "endpoint-cost", {
        "multi-cost-types": [{"cost-mode": "numerical", "cost-metric": name} for name in ("routingcost", "hopcount")],
        "endpoints": {"srcs": ["ipv4:192.0.2.2"], "dsts": ["ipv4:192.0.2.50", "ipv4:192.0.2.34"]},
    }).tree["endpoint-cost-map"]  # fmt: skip
    assert rows == {"ipv4:192.0.2.2": {"ipv4:192.0.2.50": [2, 2], "ipv4:192.0.2.34": [1, 1]}}
    asked = {
        "cost-type": PATH_VECTOR,
        "endpoints": {"srcs": ["ipv4:192.0.2.2"], "dsts": ["ipv4:192.0.2.50"]},
        "ane-property-names": ["max-reservable-bandwidth", "persistent-entity-id"],
    }
    document = ask(directory, "endpoint-path-vector", asked)
    vector = parse_path_vector(document.media_type, document.body, Findings(), asked=asked)
    assert vector.fair_rates() == {("ipv4:192.0.2.2", "ipv4:192.0.2.50"): 10e9}


def test_persistent_elements_can_be_asked_for_by_themselves() -> None:
    directory = held()
    asked = {
        "cost-type": PATH_VECTOR,
        "pids": {"srcs": ["PID1"], "dsts": ["PID4"]},
        "ane-property-names": ["persistent-entity-id"],
    }
    document = ask(directory, "path-vector", asked)
    vector = parse_path_vector(document.media_type, document.body, Findings(), asked=asked)
    found = [vector.persistent_id(name) for name in vector.paths["PID1", "PID4"]]
    assert found == [("ane-props", ".ane:MEC1"), ("ane-props", ".ane:MEC2")]
    tree = {"entities": [".ane:MEC1"], "properties": ["max-reservable-bandwidth"]}
    parsed = parse_property_map(ask(directory, "ane-props", tree).tree, Findings())
    assert parsed.lookup(".ane:MEC1", "max-reservable-bandwidth") == 50e9


def test_what_tells_of_the_inside_of_the_network_is_private_together() -> None:
    for is_private in (True, False):
        private = {resource.id for resource in held(is_private=is_private).resources.values() if resource.is_private}
        assert private == ({"ane-props", "path-vector", "endpoint-path-vector"} if is_private else set())


def test_the_directory_of_a_topology_is_whole() -> None:
    server = AltoServer(held(is_private=True), epoch=0.0, base_uri="https://alto.example.com/")
    answer = server.handle(Request("GET", "/", (("Host", "alto.example.com"),)), ("192.0.2.34", 1), 0.0)
    assert isinstance(answer, Response)
    assert answer.status == 200


def test_a_topology_without_persistent_elements_has_no_property_map() -> None:
    directory = held("node,a\nnode,b\nlink,a,b,1G\npid,A,a,10.0.0.0/8\npid,B,b,11.0.0.0/8\ndefault-pid,C")
    assert "ane-props" not in directory.resources
    capabilities = directory.resources["path-vector"].capabilities(directory)
    assert capabilities["ane-property-names"] == ["max-reservable-bandwidth"]


def test_a_persistent_id_without_a_property_map_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"is not PROPMAP\.ane:NAME"):
        held("node,a,1G,MEC1\n")
