"""A server's directory with the path vectors of figure 10 of RFC 9275, and a way to ask it."""

import itertools
from collections.abc import Callable
from typing import Any

from alto_figure10 import FIGURE_10

from alto.costmap import CostMapResource
from alto.costoffers import CostOffer
from alto.directory import Directory, Document, Query, RequestContext
from alto.networkmap import NetworkMapResource
from alto.paths import MAX_RESERVABLE_BANDWIDTH, PERSISTENT_ENTITY_ID
from alto.pathvectorresources import PathOffer, PathVectorCostMapResource, PathVectorEndpointCostResource
from alto.propertyresources import FilteredPropertyMapResource, PropertySource
from alto.topology import EndpointPaths, Topology
from alto.topologyfile import parse_topology
from alto.types import CostType

PATH_VECTOR = {"cost-mode": "array", "cost-metric": "ane-path"}
ROUTING_COST = {"cost-mode": "numerical", "cost-metric": "routingcost"}
NUM_RC = CostType("numerical", "routingcost")
BOTH = (MAX_RESERVABLE_BANDWIDTH, PERSISTENT_ENTITY_ID)


def figure_10(text: str = FIGURE_10) -> Topology:
    """The topology of the figure."""
    return parse_topology(text)


def cost_map_resource(topology: Topology, **settings: Any) -> PathVectorCostMapResource:
    """`filtered-cost-map-pv`, which has routing costs as well."""
    offer = PathOffer(topology, BOTH, ("ane-props",))
    given = {"costs": {"num-rc": CostOffer(NUM_RC, "cost-map")}, "max_cost_types": 2, "is_private": False, **settings}
    return PathVectorCostMapResource("filtered-cost-map-pv", "my-default-networkmap", offer, **given)


def endpoint_cost_resource(topology: Topology, **settings: Any) -> PathVectorEndpointCostResource:
    """`endpoint-cost-pv`."""
    offer = PathOffer(EndpointPaths(topology), BOTH, ("ane-props",))
    return PathVectorEndpointCostResource("endpoint-cost-pv", offer, **{"is_private": False, **settings})


def directory(topology: Topology | None = None, *others: Any, services: Any = ()) -> Directory:
    """The resources of section 8.2, except for the update stream; `others` take the place of those with their IDs."""
    topology = topology or figure_10()
    properties = PropertySource({".ane": {"MEC1": {"cpu": "2"}, "MEC2": {"cpu": "4"}}})
    made = [
        NetworkMapResource("my-default-networkmap", topology.network_map()),
        CostMapResource("cost-map", "my-default-networkmap", "num-rc", NUM_RC, topology.costs()),
        FilteredPropertyMapResource("ane-props", properties),
        cost_map_resource(topology),
        endpoint_cost_resource(topology),
    ]
    merged = {resource.id: resource for resource in [*made, *others]}
    return Directory(merged.values(), services=services, default_network_map="my-default-networkmap")


def counting() -> Callable[[int], bytes]:
    """A source of octets that never gives the same twice."""
    numbers = itertools.count()
    return lambda length: next(numbers).to_bytes(length)


def ask(
    held: Directory,
    resource_id: str,
    tree: Any,
    *,
    random_bytes: Callable[[int], bytes] = bytes,
    base_uri: str = "https://alto.example.com:8443/",
    client: str | None = "ipv4:192.0.2.34",
) -> Document:
    """The answer to what is posted."""
    context = RequestContext(held, client=client, base_uri=base_uri)
    return held.resources[resource_id].answer(Query(context, tree, random_bytes=random_bytes))
