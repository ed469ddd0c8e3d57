"""A small server's costs, and what its resources answer, for tests of costs."""

from typing import Any

import pytest

from alto._json import Json
from alto.costmap import CostMapResource, FilteredCostMapResource
from alto.costoffers import CostOffer
from alto.costs import CostMatrix
from alto.directory import Directory, Document, Query, RequestContext
from alto.endpointcost import EndpointCostResource
from alto.errors import RequestError
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.types import CostType

ROUTING = CostType("numerical", "routingcost")
ORDINAL = CostType("ordinal", "routingcost")
HOPS = CostType("numerical", "hopcount")
TPUT = CostType("ordinal", "tput")
TREE = ROUTING.to_json()

PIDS = {
    "PID1": {"ipv4": ["192.0.2.0/24", "198.51.100.0/25"]},
    "PID2": {"ipv4": ["198.51.100.128/25"], "ipv6": ["2001:db8::/32"]},
    "PID3": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]},
}
COSTS = {"PID1": {"PID1": 1, "PID2": 5, "PID3": 10}, "PID2": {"PID1": 5, "PID2": 1, "PID3": 15}, "PID3": {"PID1": 20}}

WHOLE = NetworkMapResource("map", NetworkMap(PIDS))
MATRIX = CostMatrix.from_mapping(COSTS)
COST_MAP = CostMapResource("routing", "map", "num-routing", ROUTING, MATRIX)
OFFERS = {
    "num-routing": CostOffer(ROUTING, "routing"),
    "ord-routing": CostOffer(ORDINAL, "routing"),
    "num-hops": CostOffer(HOPS, CostMatrix.from_mapping({"PID1": {"PID1": 0, "PID2": 3}})),
}


def filtered(**more: Any) -> FilteredCostMapResource:
    return FilteredCostMapResource("filtered", "map", more.pop("offers", OFFERS), **more)


def endpoint_costs(**more: Any) -> EndpointCostResource:
    return EndpointCostResource("ecs", more.pop("offers", OFFERS), **{"network_map": "map", **more})


def ask(resource: Any, params: Json = None, *, client: str | None = "ipv4:192.0.2.77", also: Any = ()) -> Document:
    directory = Directory([WHOLE, COST_MAP, resource, *also] if resource is not COST_MAP else [WHOLE, COST_MAP, *also])
    resource.capabilities(directory)
    return resource.answer(Query(RequestContext(directory, client), params, random_bytes=bytes))


def refusal(resource: Any, params: Json, **more: Any) -> tuple[str, str | None, str | None]:
    with pytest.raises(RequestError) as caught:
        ask(resource, params, **more)
    return caught.value.code.value, caught.value.field, caught.value.value
