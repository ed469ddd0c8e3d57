"""A server's directory with one resource of each kind, over the network of figure 10 of RFC 9275."""

from typing import Any

from alto_pv import NUM_RC, endpoint_cost_resource, figure_10

from alto.calendar import Calendar
from alto.costmap import CostMapResource, FilteredCostMapResource
from alto.costoffers import CostOffer
from alto.costs import CostMatrix
from alto.directory import Directory
from alto.endpointcost import EndpointCostResource
from alto.endpointproperty import EndpointPropertyResource
from alto.networkmap import FilteredNetworkMapResource, NetworkMap, NetworkMapResource
from alto.propertyresources import FilteredPropertyMapResource, PropertyMapResource, PropertySource
from alto.server import AltoServer
from alto.tips import TipsService
from alto.types import CostType
from alto.updates import UpdateStreamService
from interop.alto_server import AltoApp

HOPS = CostType("numerical", "hopcount")
DELAY = CostType("numerical", "delay-ow")
RANK = CostType("ordinal", "routingcost")
NAMES = ("PID1", "PID2", "PID3", "PID4", "elsewhere")
START = 1_767_225_600.0
"""When the calendar begins: the first second of 2026, in UTC."""
# What each address has; the second line is inherited by what is in the first one's prefix.
PROPERTIES = {"ipv4": {"192.0.2.0/24": {"isp": "example", "asn": "64496"}, "192.0.2.0/28": {"isp": "access"}}}


def matrix(first: float = 1.0, step: float = 2.0) -> CostMatrix:
    """`first` within a PID, and `step` for each PID in between."""
    rows = {
        source: {other: first + step * abs(place - at) for at, other in enumerate(NAMES)}
        for place, source in enumerate(NAMES)
    }
    return CostMatrix.from_mapping(rows)


def network_map(**changes: dict[str, list[str]]) -> NetworkMapResource:
    """The PIDs of the topology; `changes` take the place of PIDs."""
    pids = {**figure_10().network_map().pids, **changes}
    return NetworkMapResource("network-map", NetworkMap(pids))


def cost_map(first: float = 1.0) -> CostMapResource:
    """Costs that grow with the distance of the PIDs' names."""
    return CostMapResource("costs", "network-map", "num-rc", NUM_RC, matrix(first))


def everything(*others: object) -> Directory:
    """The directory; `others` take the place of resources with their IDs."""
    calendar = Calendar((matrix(10), matrix(20, 4), matrix(30)), 3600.0, START, repeated=100_000)
    offers = {
        "num-rc": CostOffer(NUM_RC, "costs"),
        "ord-rc": CostOffer(RANK, "costs"),
        "num-hops": CostOffer(HOPS, matrix(0, 1)),
        "num-delay": CostOffer(DELAY, matrix(1000, 500), calendar),
    }
    topology = figure_10()
    elements = PropertySource({".ane": {"MEC1": {"cpu": "2"}, "MEC2": {"cpu": "4"}}})
    several = {"cost_constraints": True, "max_cost_types": 4}
    made = [
        network_map(),
        FilteredNetworkMapResource("some-pids", network_map="network-map"),
        cost_map(),
        FilteredCostMapResource("some-costs", "network-map", offers, **several),
        EndpointCostResource(
            "endpoint-costs", offers, network_map="network-map", cost_constraints=True, max_cost_types=4
        ),
        EndpointPropertyResource("endpoint-properties"),
        PropertyMapResource("properties", PropertySource(PROPERTIES)),
        FilteredPropertyMapResource("some-properties", PropertySource(PROPERTIES)),
        FilteredPropertyMapResource("ane-props", elements),
        endpoint_cost_resource(topology),
    ]
    services = [
        UpdateStreamService("updates", ["network-map", "costs", "properties", "some-costs"]),
        TipsService("tips", ["network-map", "costs"]),
    ]
    merged = {getattr(resource, "id", ""): resource for resource in [*made, *others]}
    return Directory(merged.values(), services=services, default_network_map="network-map")  # type: ignore[arg-type]


def application(*others: object, **settings: Any) -> AltoApp:
    """The application that serves it; `settings` are those of the server."""
    return AltoApp(AltoServer(everything(*others), epoch=1.7e9, **settings))
