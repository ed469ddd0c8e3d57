"""The examples of RFC 7285, asked of our own server with their data: the same JSON values come out.

What differs is said here: tags, which are ours; URIs, which are made from resource IDs; `meta/vtag` of a cost map,
which section 11.1 allows and the examples leave out; and the mistakes of the examples.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alto_plans import Carrier
from attrs import evolve

from alto import media
from alto._json import Json
from alto.client import Client
from alto.costmap import CostMapResource, FilteredCostMapResource
from alto.costoffers import CostOffer
from alto.costs import CostMatrix
from alto.directory import Directory
from alto.endpointcost import EndpointCostResource
from alto.endpointproperty import EndpointPropertyResource
from alto.http import Request, Response
from alto.networkmap import FilteredNetworkMapResource, NetworkMap, NetworkMapResource
from alto.server import AltoServer, DelegatedDirectory
from alto.types import CostType

EXAMPLES = Path(__file__).parents[1] / "data" / "alto_examples" / "rfc7285"
MAP = "my-default-network-map"
ERROR = "application/alto-error+json"

NUM_ROUTING = CostType("numerical", "routingcost", "My default")
NUM_HOP = CostType("numerical", "hopcount")
ORD_ROUTING = CostType("ordinal", "routingcost")
ORD_HOP = CostType("ordinal", "hopcount")


def example(section: str) -> Any:
    return json.loads((EXAMPLES / f"rfc7285-s{section}.json").read_text())


NETWORK_MAP = NetworkMapResource(MAP, NetworkMap(example("11.2.1.7-01")["network-map"]))
COSTS = CostMatrix.from_mapping(example("11.2.3.7-01")["cost-map"])
PROPERTIES = EndpointPropertyResource("endpoint-property", {"ipv4:192.0.2.34": {"priv:ietf-example-prop": "1"}})


class Ranked:
    """The costs of section 11.5.1.7, which are finer than the PIDs of its network map."""

    version = 1

    def costs(self, sources: Sequence[str], destinations: Sequence[str]) -> list[list[int | None]]:
        known = {"ipv4:192.0.2.89": 10, "ipv4:198.51.100.34": 20, "ipv4:203.0.113.45": 35}
        return [[known.get(one) for one in destinations] for _ in sources]


def cost_map(name: str, type_name: str, cost_type: CostType, costs: CostMatrix = COSTS) -> CostMapResource:
    return CostMapResource(name, MAP, type_name, cost_type, costs)


def offers(routing: Any, hops: Any) -> dict[str, CostOffer]:
    return {
        "num-routing": CostOffer(NUM_ROUTING, routing),
        "num-hop": CostOffer(NUM_HOP, hops),
        "ord-routing": CostOffer(ORD_ROUTING, routing),
        "ord-hop": CostOffer(ORD_HOP, hops),
    }


def root() -> AltoServer:
    """The server of section 9.2.3."""
    directory = Directory(
        [
            NETWORK_MAP,
            cost_map("numerical-routing-cost-map", "num-routing", NUM_ROUTING),
            cost_map("numerical-hopcount-cost-map", "num-hop", NUM_HOP),
            PROPERTIES,
            EndpointCostResource("endpoint-cost", offers(Ranked(), Ranked()), cost_constraints=True),
        ],
        default_network_map=MAP,
    )
    custom = DelegatedDirectory("custom-maps-resources", "http://custom.alto.example.com/maps")
    return AltoServer(directory, epoch=0.0, base_uri="http://alto.example.com", delegated=[custom])


def custom(network_map: NetworkMapResource = NETWORK_MAP, costs: CostMatrix = COSTS) -> AltoServer:
    """The server of section 9.2.4, to which the first one delegates: the network map is listed there."""
    directory = Directory(
        [
            network_map,
            FilteredNetworkMapResource("filtered-network-map", MAP),
            FilteredCostMapResource("filtered-cost-map", MAP, offers(costs, COSTS), cost_constraints=True),
            cost_map("ordinal-routing-cost-map", "ord-routing", ORD_ROUTING, COSTS.ranks()),
            cost_map("ordinal-hopcount-cost-map", "ord-hop", ORD_HOP, COSTS.ranks()),
        ]
    )
    return AltoServer(directory, epoch=0.0, base_uri="http://custom.alto.example.com", elsewhere=[MAP])


def get(server: AltoServer, path: str, media_type: str) -> Any:
    return _json(server, Request("GET", path, (("Accept", f"{media_type},{ERROR}"),)), media_type)


def post(server: AltoServer, path: str, accepts: str, media_type: str, body: Json) -> Any:
    headers = (("Content-Type", accepts), ("Accept", f"{media_type},{ERROR}"))
    return _json(server, Request("POST", path, headers, json.dumps(body, indent=4).encode()), media_type)


def _json(server: AltoServer, request: Request, media_type: str) -> Any:
    response = server.handle(request, ("192.0.2.7", 4711), 1.0)
    assert isinstance(response, Response)
    assert (response.status, response.header("Content-Type")) == (200, media_type), response.body
    return json.loads(response.body)


def with_tag(tree: Any, tag: str) -> Any:
    """The example, with a tag of ours in the place of its own."""
    if isinstance(tree, Mapping):
        return {name: tag if name == "tag" else with_tag(value, tag) for name, value in tree.items()}
    return [with_tag(value, tag) for value in tree] if isinstance(tree, list) else tree


def with_uris(directory: Any, base: str) -> Any:
    entries = directory["resources"].items()
    kept = {
        name: entry if entry["media-type"] == media.DIRECTORY else {**entry, "uri": base + name}
        for name, entry in entries
    }
    return {**directory, "resources": kept}


def test_the_directory_of_section_9_2_3():
    printed = with_uris(example("9.2.3-01.fixed"), "http://alto.example.com/")
    assert get(root(), "/", media.DIRECTORY) == printed


def test_the_delegated_directory_of_section_9_2_4():
    printed = with_uris(example("9.2.4-01"), "http://custom.alto.example.com/")
    assert get(custom(), "/", media.DIRECTORY) == printed


def test_the_network_map_of_section_11_2_1_7():
    printed = with_tag(example("11.2.1.7-01"), NETWORK_MAP.vtag.tag)
    assert get(root(), f"/{MAP}", media.NETWORK_MAP) == printed


def test_the_cost_map_of_section_11_2_3_7():
    answer = get(root(), "/numerical-routing-cost-map", media.COST_MAP)
    assert answer["meta"].pop("vtag")["resource-id"] == "numerical-routing-cost-map"
    # The description is that of the cost type in the directory of section 9.2.3.
    assert answer["meta"]["cost-type"].pop("description") == "My default"
    assert answer == with_tag(example("11.2.3.7-01"), NETWORK_MAP.vtag.tag)


def test_the_filtered_network_map_of_section_11_3_1_7():
    """As printed, 198.51.100.128/24 has host bits, and is a prefix of PID1 without them; 25 is meant."""
    printed = example("11.3.1.7-02")
    printed["network-map"]["PID2"]["ipv4"] = ["198.51.100.128/25"]
    rest = {"PID3": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]}}
    whole = NetworkMapResource(MAP, NetworkMap({**printed["network-map"], **rest}))
    answer = post(
        custom(whole), "/filtered-network-map", media.NETWORK_MAP_FILTER, media.NETWORK_MAP, example("11.3.1.7-01")
    )
    assert answer == with_tag(printed, whole.vtag.tag)


def test_the_filtered_cost_map_of_section_11_3_2_7():
    printed = example("11.3.2.7-02")
    costs = CostMatrix.from_mapping({**printed["cost-map"], "PID2": {"PID1": 7, "PID2": 0}})
    request = example("11.3.2.7-01")
    answer = post(custom(costs=costs), "/filtered-cost-map", media.COST_MAP_FILTER, media.COST_MAP, request)
    assert answer == with_tag(printed, NETWORK_MAP.vtag.tag)


def test_the_endpoint_properties_of_section_11_4_1_7():
    """As printed, `my-default-networkmap.pid` is asked, and `my-default-network-map.pid` is answered."""
    request = example("11.4.1.7-01")
    request["properties"][0] = f"{MAP}.pid"
    answer = post(root(), "/endpoint-property", media.ENDPOINT_PROPERTY_PARAMS, media.ENDPOINT_PROPERTIES, request)
    assert answer == with_tag(example("11.4.1.7-02"), NETWORK_MAP.vtag.tag)


def test_the_endpoint_costs_of_section_11_5_1_7():
    request = example("11.5.1.7-01")
    answer = post(root(), "/endpoint-cost", media.ENDPOINT_COST_PARAMS, media.ENDPOINT_COST, request)
    assert answer == example("11.5.1.7-02")


def test_a_strict_client_finds_its_way_through_both_servers():
    """Section 9.2.4: the second uses the network map of the first, and an ID is there once"""
    servers = {"alto.example.com": root(), "custom.alto.example.com": custom()}

    def answer(request: Request) -> Response:
        host = request.target.split("/")[2]
        target = "/" if request.target.endswith("/maps") else request.target
        response = servers[host].handle(evolve(request, target=target), ("192.0.2.7", 4711), 1.0)
        assert isinstance(response, Response)
        return response

    carrier = Carrier(answer)
    client = Client("http://alto.example.com/")
    closure = carrier.run(client.directory())
    assert len(closure.directories) == 2
    whole = carrier.run(client.network_map()).value
    some = carrier.run(client.filtered_network_map(["PID2"])).value
    assert some.vtag == whole.vtag
    assert list(some.network_map.pids) == ["PID2"]
    ranks = carrier.run(client.cost_map(ORD_HOP)).value
    assert ranks.dependent_vtags == (whole.vtag,)
    assert ranks.cost("PID1", "PID1") == 1
    filtered = carrier.run(client.filtered_cost_map(["PID1"], ["PID3"])).value
    assert [*filtered.costs()] == [("PID1", "PID3", 10)]
    assert client.findings == ()
