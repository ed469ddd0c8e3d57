"""What path vector resources offer, and what no resource may (RFC 9275 sections 6.6, 7.2.4, 7.2.5 and 11)."""

from collections.abc import Sequence
from typing import Any

import pytest
from alto_figure10 import FIGURE_10
from alto_pv import (
    BOTH,
    NUM_RC,
    PATH_VECTOR,
    ask,
    cost_map_resource,
    directory,
    endpoint_cost_resource,
    figure_10,
)

from alto import ConfigurationError
from alto.calendar import Calendar
from alto.capabilities import read_capabilities
from alto.costmap import CostMapResource
from alto.costoffers import CostOffer
from alto.costs import CostMatrix
from alto.findings import Findings
from alto.metrics import PATH_VECTOR as PATH_VECTOR_KEY
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.paths import MAX_RESERVABLE_BANDWIDTH, PERSISTENT_ENTITY_ID, AbstractNetworkElement
from alto.pathvectorresources import PathOffer, PathVectorCostMapResource, PathVectorEndpointCostResource
from alto.propertyresources import FilteredPropertyMapResource, PropertySource


def _calendar(*texts: str, size: float = 3600.0) -> Any:
    sources: Any = [figure_10(text) for text in texts]
    return Calendar(sources, size, 1_795_651_200.0)


def test_the_capabilities_are_those_of_section_7_2_4() -> None:
    held = directory()
    resource = held.resources["filtered-cost-map-pv"]
    capabilities = resource.capabilities(held)
    assert capabilities == {
        "cost-type-names": ["path-vector", "num-rc"],
        "max-cost-types": 2,
        "ane-property-names": list(BOTH),
    }
    assert resource.cost_types["path-vector"].key == PATH_VECTOR_KEY
    read_capabilities(capabilities, resource.media_type, resource.accepts, resource.cost_types, "", Findings())
    assert resource.uses == ("my-default-networkmap", "ane-props")
    assert held.resources["endpoint-cost-pv"].uses == ("ane-props",)
    assert held.resources["endpoint-cost-pv"].media_type == "multipart/related;type=application/alto-endpointcost+json"


def test_what_no_resource_may_offer_is_refused() -> None:
    for settings, text in [
        ({"testable_cost_type_names": ("path-vector",)}, "cannot be tested"),
        ({"testable_cost_type_names": ("num-rc",), "max_cost_types": 0}, "go with max-cost-types"),
        ({"costs": {"path-vector": CostOffer(NUM_RC, "cost-map")}}, "is the name of the path vector cost type"),
    ]:
        with pytest.raises(ConfigurationError, match=text):
            cost_map_resource(figure_10(), **settings)
    with pytest.raises(ConfigurationError, match="between PIDs need a network map"):
        endpoint_cost_resource(figure_10(), costs={"num-rc": CostOffer(NUM_RC, "cost-map")})
    for names, maps, text in [
        (("x.max-reservable-bandwidth",), (), "depends on no resource"),
        ((".max-reservable-bandwidth",), (), "depends on no resource"),
        (("a b",), (), "no entity property name"),
        ((PERSISTENT_ENTITY_ID,), (), "needs the property maps"),
        ((), ("ane-props",), "they need it"),
    ]:
        with pytest.raises(ConfigurationError, match=text):
            PathOffer(figure_10(), names, maps)


def test_the_resource_id_leaves_room_for_that_of_a_part() -> None:
    offer = PathOffer(figure_10())
    PathVectorEndpointCostResource("a" * 31, offer, is_private=False)
    with pytest.raises(ConfigurationError, match="at most 31 characters"):
        PathVectorEndpointCostResource("a" * 32, offer, is_private=False)


def test_a_property_map_that_is_none_is_refused() -> None:
    resource = PathVectorEndpointCostResource("pv", PathOffer(figure_10(), BOTH, ("cost-map",)), is_private=False)
    held = directory(None, resource)
    with pytest.raises(ConfigurationError, match="'cost-map' is no property map"):
        resource.capabilities(held)


def test_nothing_private_is_told_to_everybody() -> None:
    topology = figure_10()
    private_map = NetworkMapResource("my-default-networkmap", topology.network_map(), is_private=True)
    props = FilteredPropertyMapResource(
        "ane-props", PropertySource({".ane": {"MEC1": {"cpu": "2"}, "MEC2": {"cpu": "4"}}}), is_private=True
    )
    costs = CostMapResource("cost-map", "my-default-networkmap", "num-rc", NUM_RC, topology.costs(), is_private=True)
    settings: dict[str, Any] = {
        "network_map": "my-default-networkmap",
        "costs": {"num-rc": CostOffer(NUM_RC, "cost-map")},
    }
    for secret in (private_map, props, costs):
        for private in (True, False):
            resources: list[Any] = [
                cost_map_resource(topology, is_private=private),
                endpoint_cost_resource(topology, is_private=private, **settings),
            ]
            for resource in resources:
                held = directory(topology, secret, resource)
                if private:
                    assert resource.capabilities(held)["cost-type-names"] == ["path-vector", "num-rc"]
                    continue
                with pytest.raises(ConfigurationError, match=f"would tell everybody .* private '{secret.id}'"):
                    resource.capabilities(held)


class Source:
    """A path source of an application that is not what it should be."""

    version = 0

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def paths(self, sources: Sequence[str], destinations: Sequence[str], property_names: Any) -> Any:
        return self.rows


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([], "1 rows of 1 paths"),
        ([[None, None]], "1 rows of 1 paths"),
        ([[[AbstractNetworkElement("a", {MAX_RESERVABLE_BANDWIDTH: -1})]]], "is no bandwidth"),
        ([[[AbstractNetworkElement("a", {MAX_RESERVABLE_BANDWIDTH: "1"})]]], "is no bandwidth"),
        ([[[AbstractNetworkElement("a", {MAX_RESERVABLE_BANDWIDTH: float("nan")})]]], "is no bandwidth"),
        ([[[AbstractNetworkElement("a", {PERSISTENT_ENTITY_ID: "x.ane:M"})]]], "is no element of"),
        ([[[AbstractNetworkElement("a", {PERSISTENT_ENTITY_ID: "ane-props.ane:a.b"})]]], "is no element of"),
    ],
)
def test_a_path_source_is_told_what_is_wrong_with_it(rows: Any, text: str) -> None:
    resource = PathVectorCostMapResource(
        "pv", "my-default-networkmap", PathOffer(Source(rows), BOTH, ("ane-props",)), is_private=False
    )
    asked = {"cost-type": PATH_VECTOR, "pids": {"srcs": ["PID1"], "dsts": ["PID2"]}, "ane-property-names": list(BOTH)}
    with pytest.raises(ConfigurationError, match=text):
        ask(directory(None, resource), "pv", asked)


def test_what_an_answer_depends_on_differs_when_the_paths_or_costs_do() -> None:
    held = directory()
    for resource_id in ("filtered-cost-map-pv", "endpoint-cost-pv"):
        before = held.resources[resource_id].depends_on(held)
        assert before == held.resources[resource_id].depends_on(directory())
        changed = directory(figure_10(FIGURE_10.replace("15G", "5G")))
        assert changed.resources[resource_id].depends_on(changed) != before
    source = PropertySource({".ane": {"MEC1": {"cpu": "9"}, "MEC2": {"cpu": "4"}}})
    grown = held.replacing(FilteredPropertyMapResource("ane-props", source))
    for resource_id in ("filtered-cost-map-pv", "endpoint-cost-pv"):
        resource = held.resources[resource_id]
        assert resource.depends_on(grown) != resource.depends_on(held)
    calendars = [_calendar(FIGURE_10), _calendar(FIGURE_10.replace("15G", "5G")), None]
    offers = [PathOffer(figure_10(), calendar=calendar) for calendar in calendars]
    assert len({offer.version for offer in offers}) == 3
    moved = NetworkMap({"PID1": {"ipv4": ["0.0.0.0/0"]}})
    other = held.replacing(NetworkMapResource("my-default-networkmap", moved))
    resource = held.resources["filtered-cost-map-pv"]
    assert resource.depends_on(other) != resource.depends_on(held)
    matrix = CostMatrix(["PID1"], ["PID2"], [[9.0]])
    other = held.replacing(
        type(held.resources["cost-map"])("cost-map", "my-default-networkmap", "num-rc", NUM_RC, matrix)
    )  # type: ignore[call-arg]
    assert other.resources["filtered-cost-map-pv"].depends_on(other) != held.resources[
        "filtered-cost-map-pv"
    ].depends_on(held)
