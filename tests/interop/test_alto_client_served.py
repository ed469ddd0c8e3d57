"""The ALTO client against our own server on a socket: every service, TLS, Digest, updates."""

import asyncio
import functools
import ssl
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from alto_serving import Certificates, running

from alto.auth import DigestAuthenticator
from alto.client import CostQuery, ServerError, UnreachableError
from alto.costmap import CostMapResource, FilteredCostMapResource
from alto.costoffers import CostOffer
from alto.costs import CostMatrix
from alto.directory import Directory
from alto.endpointcost import EndpointCostResource
from alto.endpointproperty import EndpointPropertyResource
from alto.errors import ConfigurationError
from alto.networkmap import FilteredNetworkMapResource, NetworkMap, NetworkMapResource
from alto.server import AltoServer
from alto.tips import TipsService
from alto.types import CostType
from alto.updates import UpdateStreamService
from alto.updates_client import ResourceInvalidated, ResourceUpdated
from interop import alto_watch
from interop.alto_client import AltoClient
from interop.alto_server import AltoApp

RC = CostType("numerical", "routingcost")
PIDS = {"all": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]}, "near": {"ipv4": ["192.0.2.0/24"]}}
SERVICES = ("map", "some", "costs", "some-costs", "ecs", "eps")


def network_map(near: str = "192.0.2.0/24") -> NetworkMapResource:
    return NetworkMapResource("map", NetworkMap({**PIDS, "near": {"ipv4": [near]}}))


def cost_map(far: float = 9) -> CostMapResource:
    rows = {"near": {"near": 1.0, "all": far}, "all": {"near": far, "all": 5.0}}
    return CostMapResource("costs", "map", "num-rc", RC, CostMatrix.from_mapping(rows))


def application(*, without: tuple[str, ...] = (), **settings: Any) -> AltoApp:
    offers = {"num-rc": CostOffer(RC, "costs"), "ord-rc": CostOffer(CostType("ordinal", "routingcost"), "costs")}
    resources = [
        network_map(),
        FilteredNetworkMapResource("some", network_map="map"),
        cost_map(),
        FilteredCostMapResource("some-costs", "map", offers, cost_constraints=True),
        EndpointCostResource("ecs", offers, network_map="map"),
        EndpointPropertyResource("eps"),
    ]
    services = [UpdateStreamService("updates", ["map", "costs", "some-costs"]), TipsService("tips", ["map", "costs"])]
    directory = Directory(
        [resource for resource in resources if resource.id not in without],
        services=[service for service in services if service.id not in without],
        default_network_map="map",
    )
    return AltoApp(AltoServer(directory, epoch=1.7e9, **settings))


@pytest.fixture
def served() -> Iterator[tuple[AltoApp, str]]:
    app = application()
    with running(app) as url:
        yield app, f"{url}/"


def in_loop(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """A test that runs in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@in_loop
async def test_a_proxy_of_the_environment_is_not_used(
    served: tuple[AltoApp, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server answers by the address that it sees, and a proxy's is another one"""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with AltoClient(served[1]) as alto:
        assert await alto.pid("192.0.2.1") == "near"


@in_loop
async def test_a_strict_client_has_nothing_to_say_against_our_server(served: tuple[AltoApp, str]) -> None:
    async with AltoClient(served[1]) as alto:
        assert set((await alto.directory()).entries) == {*SERVICES, "updates", "tips"}
        assert await alto.pid("192.0.2.9") == "near"
        assert (await alto.cost_map()).value.cost("near", "all") == 9
        some = await alto.run(alto.client.filtered_cost_map(["near"], [], CostQuery(RC, constraints=["le 5"])))
        assert some.value.pairs == {"near": {"near": 1}}
        costs = await alto.costs(["192.0.2.1"], ["192.0.2.2", "2001:db8::1"])
        assert costs.value.cost("ipv4:192.0.2.1", "ipv6:2001:db8::1") == 9
        peers = await alto.rank("192.0.2.1", ["198.51.100.1", "192.0.2.2"])
        assert [(peer.endpoint, peer.cost) for peer in peers] == [("ipv4:192.0.2.2", 1), ("ipv4:198.51.100.1", 2)]
        properties = await alto.endpoint_properties(["ipv4:192.0.2.1"])
        assert properties.value.get("ipv4:192.0.2.1", "map.pid") == "near"
        assert alto.findings == ()


@in_loop
async def test_a_client_ranks_by_where_its_connection_comes_from(served: tuple[AltoApp, str]) -> None:
    async with AltoClient(served[1]) as alto:
        # 127.0.0.1 is in the PID of all the rest.
        assert [peer.cost for peer in await alto.rank(None, ["192.0.2.1", "198.51.100.1"])] == [1, 2]
        assert (await alto.rank(None, ["192.0.2.1", "198.51.100.1"]))[0].endpoint == "ipv4:198.51.100.1"


@in_loop
async def test_the_way_by_the_maps_finds_the_same(served: tuple[AltoApp, str]) -> None:
    app = application(without=("ecs",))
    addresses = ["192.0.2.2", "198.51.100.1", "2001:db8::1"]
    with running(app) as url:
        async with AltoClient(f"{url}/") as alto, AltoClient(served[1]) as other:
            by_maps = (await alto.costs(["192.0.2.1"], addresses)).value.pairs
            assert by_maps == (await other.costs(["192.0.2.1"], addresses)).value.pairs
            private = (await other.costs(["192.0.2.1"], addresses, private=True)).value.pairs
            assert private == by_maps


@in_loop
async def test_an_error_of_the_server_arrives_with_its_code(served: tuple[AltoApp, str]) -> None:
    async with AltoClient(served[1]) as alto:
        entry = (await alto.directory()).entries["ecs"]
        with pytest.raises(ServerError) as caught:
            await alto.run(alto.client.obtain(entry, lambda response, findings: response, {"cost-type": {}}))
        assert (caught.value.status, caught.value.code) == (400, "E_MISSING_FIELD")
        assert alto.findings == ()


@in_loop
async def test_a_client_proves_who_it_is_by_digest() -> None:
    app = application(authenticator=DigestAuthenticator("alto", {"ann": "secret"}), private=True)
    with running(app) as url:
        async with AltoClient(f"{url}/", auth=("ann", "secret")) as alto:
            assert await alto.pid("192.0.2.1") == "near"
            async with aclosing(alto.watch("map")) as updates:
                assert isinstance(await anext(updates), ResourceUpdated)
        async with AltoClient(f"{url}/", auth=("ann", "wrong")) as alto:
            with pytest.raises(ServerError, match="401"):
                await alto.pid("192.0.2.1")
            with pytest.raises(ServerError, match="401"):
                await anext(alto.watch("map"))
        async with AltoClient(f"{url}/") as alto:
            with pytest.raises(ServerError, match="401"):
                await alto.directory()


@in_loop
async def test_https_is_spoken_with_certificates_on_both_sides(tmp_path: Path) -> None:
    ours = Certificates(tmp_path)
    certificate, key = ours.sign("server", "/CN=127.0.0.1", address="127.0.0.1")
    ann = ours.sign("ann", "/CN=ann")
    trust = ssl.create_default_context(cafile=str(ours.authority))
    with running(application(private=True), certificate=certificate, key=key, client_ca=ours.authority) as url:
        assert url.startswith("https://")
        async with AltoClient(f"{url}/", verify=trust) as alto:
            with pytest.raises(ServerError, match="403"):
                await alto.directory()
        shown = (str(ann[0]), str(ann[1]))
        async with AltoClient(f"{url}/", verify=trust, cert=shown) as alto:
            assert await alto.pid("192.0.2.1") == "near"
        async with AltoClient(f"{url}/", verify=False, cert=shown) as alto:
            assert await alto.pid("192.0.2.1") == "near"
        async with AltoClient(f"{url}/") as alto:
            with pytest.raises(UnreachableError, match=r"(?i)certificate"):
                await alto.directory()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@in_loop
async def test_https_is_spoken_in_either_version_of_tls(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """RFC 8896 section 7"""
    ours = Certificates(tmp_path)
    certificate, key = ours.sign("server", "/CN=127.0.0.1", address="127.0.0.1")
    trust = ssl.create_default_context(cafile=str(ours.authority))
    trust.minimum_version = trust.maximum_version = version
    with running(application(), certificate=certificate, key=key) as url:
        async with AltoClient(f"{url}/", verify=trust) as alto:
            assert await alto.pid("192.0.2.1") == "near"


@in_loop
async def test_documents_are_watched_together_and_stay_consistent(served: tuple[AltoApp, str]) -> None:
    app, url = served
    async with AltoClient(url) as alto, aclosing(alto.watch("map", "costs")) as updates:
        first = {(await anext(updates)).substream_id for _ in range(2)}
        assert first == {"map", "costs"}
        await app.update(cost_map(far=7))
        update = await anext(updates)
        assert isinstance(update, ResourceUpdated)
        assert update.is_incremental
        assert update.tree["cost-map"]["near"]["all"] == 7
        await app.update(network_map("198.51.100.0/24"), cost_map(far=6))
        seen = [await anext(updates) for _ in range(3)]
        assert seen[0] == ResourceInvalidated("costs")
        assert [update.substream_id for update in seen[1:]] == ["map", "costs"]
        assert alto.findings == ()


@in_loop
async def test_a_resource_with_input_is_watched(served: tuple[AltoApp, str]) -> None:
    app, url = served
    asked = {"cost-type": RC.to_json(), "pids": {"srcs": ["near"], "dsts": []}}
    async with AltoClient(url) as alto, aclosing(alto.watch("some-costs", inputs={"some-costs": asked})) as updates:
        update = await anext(updates)
        assert isinstance(update, ResourceUpdated)
        assert update.tree["cost-map"] == {"near": {"near": 1, "all": 9}}
        await app.update(cost_map(far=7))
        update = await anext(updates)
        assert isinstance(update, ResourceUpdated)
        assert update.tree["cost-map"] == {"near": {"near": 1, "all": 7}}


@in_loop
async def test_without_an_update_stream_tips_is_followed() -> None:
    app = application(without=("updates",))
    with running(app) as url:
        async with AltoClient(f"{url}/") as alto, aclosing(alto.watch("costs")) as updates:
            update = await anext(updates)
            assert isinstance(update, ResourceUpdated)
            assert (update.resource_id, update.tree["cost-map"]["near"]["all"]) == ("costs", 9)
            waiting = asyncio.ensure_future(anext(updates))
            await app.update(cost_map(far=7))
            update = await waiting
            assert isinstance(update, ResourceUpdated)
            assert update.tree["cost-map"]["near"]["all"] == 7


@in_loop
async def test_several_documents_are_followed_by_tips_as_they_belong_together() -> None:
    app = application(without=("updates",))
    with running(app) as url:
        async with AltoClient(f"{url}/") as alto, aclosing(alto.watch("map", "costs")) as updates:
            assert {(await anext(updates)).substream_id for _ in range(2)} == {"map", "costs"}
            waiting = asyncio.ensure_future(anext(updates))
            await app.update(cost_map(far=7))
            update = await waiting
            assert isinstance(update, ResourceUpdated)
            assert update.tree["cost-map"]["near"]["all"] == 7
            with pytest.raises(ConfigurationError, match="none has all of these"):
                await anext(alto.watch("map", "costs", inputs={"map": {}}))


@in_loop
async def test_an_application_in_this_process_is_watched_by_tips() -> None:
    async with AltoClient.over(application()) as alto, aclosing(alto.watch("costs")) as updates:
        update = await anext(updates)
        assert isinstance(update, ResourceUpdated)
        assert update.resource_id == "costs"


@in_loop
async def test_what_cannot_be_watched_is_an_error_at_once(served: tuple[AltoApp, str]) -> None:
    async with AltoClient(served[1]) as alto:
        for names in ((), ("nope",), ("eps",), ("map", "eps")):
            with pytest.raises(ConfigurationError):
                await anext(alto.watch(*names))
        with pytest.raises(ConfigurationError, match="input"):
            await anext(alto.watch("some-costs"))


@in_loop
async def test_what_a_server_stops_is_taken_back_and_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alto_watch, "FIRST_WAIT", 0.01)
    app = application()
    with running(app) as url:
        async with AltoClient(f"{url}/") as alto, aclosing(alto.watch("map", "costs")) as updates:
            assert {(await anext(updates)).substream_id for _ in range(2)} == {"map", "costs"}
            loop = app._serving_loop()
            assert loop is not None

            async def stop(names: list[str]) -> None:
                service = app.server.directory.services["updates"]
                assert isinstance(service, UpdateStreamService)
                for stream in list(service._streams.values()):
                    service.stop(stream, names, "maintenance")
                app._adapter.wake()

            asyncio.run_coroutine_threadsafe(stop(["costs"]), loop).result(20)
            assert await anext(updates) == ResourceInvalidated("costs")
            await app.update(network_map("198.51.100.0/24"), cost_map(far=6))
            update = await anext(updates)
            assert isinstance(update, ResourceUpdated)
            assert update.substream_id == "map"
            asyncio.run_coroutine_threadsafe(stop(["map"]), loop).result(20)
            assert await anext(updates) == ResourceInvalidated("map")
            again = [await anext(updates) for _ in range(2)]
            assert {update.substream_id for update in again} == {"map", "costs"}
            assert all(isinstance(update, ResourceUpdated) for update in again)


@in_loop
async def test_a_lost_stream_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alto_watch, "FIRST_WAIT", 0.01)
    app = application()
    with running(app) as url:
        async with AltoClient(f"{url}/") as alto, aclosing(alto.watch("costs")) as updates:
            await anext(updates)
            waiting = asyncio.ensure_future(anext(updates))
            while app.open_count == 0:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
            app._adapter.close()
            await app.update(cost_map(far=7))
            update = await waiting
            assert isinstance(update, ResourceUpdated)
            assert update.tree["cost-map"]["near"]["all"] == 7
