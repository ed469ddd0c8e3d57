"""What a server can serve of a topology: maps, costs, properties and path vectors, with nothing else at hand."""

from __future__ import annotations

from alto.costmap import CostMapResource, FilteredCostMapResource
from alto.costoffers import CostOffer
from alto.directory import Directory
from alto.endpointcost import EndpointCostResource
from alto.endpointproperty import EndpointPropertyResource
from alto.errors import ConfigurationError
from alto.networkmap import FilteredNetworkMapResource, NetworkMapResource
from alto.paths import MAX_RESERVABLE_BANDWIDTH, PERSISTENT_ENTITY_ID
from alto.pathvectorresources import PathOffer, PathVectorCostMapResource, PathVectorEndpointCostResource
from alto.ports import Resource
from alto.propertyresources import FilteredPropertyMapResource, PropertySource
from alto.topology import EndpointPaths, Topology
from alto.types import CostType

_COST_TYPES = {
    "num-routingcost": CostType("numerical", "routingcost"),
    "ord-routingcost": CostType("ordinal", "routingcost"),
    "num-hopcount": CostType("numerical", "hopcount"),
}


def topology_directory(topology: Topology, *, is_private: bool) -> Directory:
    """The resources of a server for this network.

    Costs are the weights of links, and hops their number. Path vectors come with bandwidths; nodes with a persistent
    entity ID are in a property map as well, with their own. `is_private` is about the path vectors and that property
    map (RFC 9275 section 11). Raises ConfigurationError.
    """
    maps = _persistent(topology, is_private)
    names = (MAX_RESERVABLE_BANDWIDTH, *((PERSISTENT_ENTITY_ID,) if maps else ()))
    property_maps = tuple(resource.id for resource in maps)
    offers = {
        "num-routingcost": CostOffer(_COST_TYPES["num-routingcost"], "routingcost"),
        "ord-routingcost": CostOffer(_COST_TYPES["ord-routingcost"], "routingcost"),
        "num-hopcount": CostOffer(_COST_TYPES["num-hopcount"], "hopcount"),
    }
    resources: list[Resource] = [
        NetworkMapResource("network-map", topology.network_map()),
        FilteredNetworkMapResource("filtered-network-map", "network-map"),
        CostMapResource(
            "routingcost", "network-map", "num-routingcost", _COST_TYPES["num-routingcost"], topology.costs()
        ),
        CostMapResource(
            "hopcount", "network-map", "num-hopcount", _COST_TYPES["num-hopcount"], topology.costs(hops=True)
        ),
        FilteredCostMapResource("filtered-cost-map", "network-map", offers, cost_constraints=True, max_cost_types=3),
        EndpointCostResource(
            "endpoint-cost", offers, network_map="network-map", cost_constraints=True, max_cost_types=3
        ),
        EndpointPropertyResource("endpoint-properties"),
        *maps,
        PathVectorCostMapResource(
            "path-vector",
            "network-map",
            PathOffer(topology, names, property_maps),
            is_private=is_private,
            costs=offers,
            max_cost_types=4,
            testable_cost_type_names=tuple(offers),
        ),
        PathVectorEndpointCostResource(
            "endpoint-path-vector",
            PathOffer(EndpointPaths(topology), names, property_maps),
            is_private=is_private,
            costs=offers,
            network_map="network-map",
            max_cost_types=4,
            testable_cost_type_names=tuple(offers),
        ),
    ]
    return Directory(resources, default_network_map="network-map")


def _persistent(topology: Topology, is_private: bool) -> list[FilteredPropertyMapResource]:
    """A property map for each that the topology names, with its elements and their bandwidths."""
    found: dict[str, dict[str, dict[str, object]]] = {}
    for node in topology.nodes.values():
        if node.persistent_entity_id is None:
            continue
        resource_id, dot, name = node.persistent_entity_id.partition(".ane:")
        if not dot:
            raise ConfigurationError(f"{node.persistent_entity_id!r:.80} is not PROPMAP.ane:NAME")
        properties = found.setdefault(resource_id, {}).setdefault(name, {})
        if node.max_reservable_bandwidth is not None:
            properties[MAX_RESERVABLE_BANDWIDTH] = node.max_reservable_bandwidth
    mappings = {".ane": (MAX_RESERVABLE_BANDWIDTH,)}
    return [
        FilteredPropertyMapResource(resource_id, PropertySource({".ane": elements}, mappings), is_private=is_private)
        for resource_id, elements in found.items()
    ]
