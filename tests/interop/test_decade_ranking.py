"""Servers of DECADE in the order of what ALTO says that they cost."""

import asyncio
import json
import math

import httpx
from decade_client_served import said, saying
from decade_server import HELLO, OCTETS

from alto import media
from decade.names import NiUri
from interop.alto_client import AltoClient
from interop.decade_client import DecadeClient
from interop.decade_ranking import alto_costs

ROOT = "https://alto.example.com/directory"
COST_TYPE = {"cost-mode": "numerical", "cost-metric": "routingcost"}
IRD = {
    "meta": {"cost-types": {"routing": COST_TYPE}, "default-alto-network-map": "map"},
    "resources": {
        "map": {"uri": "map", "media-type": media.NETWORK_MAP},
        "costs": {
            "uri": "costs",
            "media-type": media.ENDPOINT_COST,
            "accepts": media.ENDPOINT_COST_PARAMS,
            "capabilities": {"cost-type-names": ["routing"]},
        },
    },
}


def costing(costs):
    """An ALTO server that knows these costs of addresses."""

    def handler(request):
        if request.method == "GET":
            return httpx.Response(200, headers={"Content-Type": media.DIRECTORY}, content=json.dumps(IRD).encode())
        found = {f"ipv4:{address}": cost for address, cost in costs.items()}
        tree = {"meta": {"cost-type": COST_TYPE}, "endpoint-cost-map": {"ipv4:192.0.2.1": found}}
        return httpx.Response(200, headers={"Content-Type": media.ENDPOINT_COST}, content=json.dumps(tree).encode())

    return AltoClient(ROOT, transport=httpx.MockTransport(handler))


def test_the_server_that_costs_least_is_asked_first():
    heads = []

    async def work():
        async with saying(said(OCTETS), heads=heads) as near:
            far, unknown, nowhere = "http://127.0.0.2:1", "http://127.0.0.3:1", "http://nowhere.invalid"
            async with costing({"127.0.0.1": 1, "127.0.0.2": 9}) as alto:
                costs = await alto_costs(alto, [far, unknown, nowhere, near], source="192.0.2.1")
            assert costs == {far: 9, unknown: math.inf, nowhere: math.inf, near: 1}
            async with DecadeClient(cost=costs.__getitem__) as decade:
                assert await decade.fetch(NiUri(HELLO), [far, unknown, near]) == OCTETS
        assert len(heads) == 1

    asyncio.run(work())
