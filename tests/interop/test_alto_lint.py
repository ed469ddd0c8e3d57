"""The linter over HTTP: our server as it runs, and plain HTTP servers that are no ALTO servers."""

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine

import httpx
import pytest

from alto import media
from alto.client.errors import ServerError
from alto.costmap import CostMapResource, FilteredCostMapResource
from alto.costoffers import CostOffer
from alto.costs import CostMatrix
from alto.directory import Directory
from alto.endpointcost import EndpointCostResource
from alto.endpointproperty import EndpointPropertyResource
from alto.findings import Level
from alto.lint import lint_server
from alto.networkmap import FilteredNetworkMapResource, NetworkMap, NetworkMapResource
from alto.server import AltoServer
from alto.tips import TipsService
from alto.types import CostType
from alto.updates import UpdateStreamService
from interop.alto_client import AltoClient
from interop.alto_server import AltoApp

PIDS = {"PID1": {"ipv4": ["192.0.2.0/24"]}, "PID2": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]}}
COSTS = CostMatrix.from_mapping({"PID1": {"PID1": 0.0, "PID2": 1.0}, "PID2": {"PID1": 2.0, "PID2": 3.0}})
ROUTING = CostType("numerical", "routingcost")


def application() -> AltoApp:
    offers = {"num-rc": CostOffer(ROUTING, "costs")}
    resources = [
        NetworkMapResource("map", NetworkMap(PIDS)),
        FilteredNetworkMapResource("some-pids", network_map="map"),
        CostMapResource("costs", "map", "num-rc", ROUTING, COSTS),
        FilteredCostMapResource("some-costs", "map", offers),
        EndpointCostResource("ecs", offers, network_map="map"),
        EndpointPropertyResource("eps"),
    ]
    services = [TipsService("tips", ["map", "costs"]), UpdateStreamService("updates", ["map", "costs"])]
    directory = Directory(resources, services=services, default_network_map="map")
    return AltoApp(AltoServer(directory, epoch=time.time() - time.monotonic()))


def in_loop(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    """A test that runs in an event loop of its own."""

    @functools.wraps(test)
    def run() -> None:
        asyncio.run(test())

    return run


@in_loop
async def test_our_server_over_http_breaks_nothing() -> None:
    async with AltoClient.over(application()) as alto:
        report = await alto.run(lint_server("http://alto.invalid/", wall=time.time()))
    broken = [each for each in report.findings if each.finding.level is not Level.NOTE]
    assert [(each.where, each.finding.text) for each in broken] == [
        ("tips: open", "http, where the view may not be public")
    ]
    assert len(report.resources) == 8


@in_loop
async def test_a_server_that_is_none_is_refused_and_one_that_answers_nonsense_is_reported() -> None:
    def nothing(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404)

    async with AltoClient("http://alto.invalid/", transport=httpx.MockTransport(nothing)) as alto:
        with pytest.raises(ServerError):
            await alto.run(lint_server("http://alto.invalid/", wall=time.time()))

    def nonsense(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/":
            tree = {"meta": {}, "resources": {"map": {"uri": "map", "media-type": media.NETWORK_MAP}}}
            return httpx.Response(200, headers={"Content-Type": media.DIRECTORY}, json=tree)
        return httpx.Response(200, text="<html>")

    async with AltoClient("http://alto.invalid/", transport=httpx.MockTransport(nonsense)) as alto:
        report = await alto.run(lint_server("http://alto.invalid/", wall=time.time()))
    assert {each.where for each in report.findings} >= {"directory", "map: GET"}
    assert not report.is_conforming
