"""Real resources served whole: our client over TLS, curl, and what a client at the other end of a proxy is told."""

import asyncio
import json
import ssl
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from alto_serving import Certificates, curl, running

from alto.auth import DigestAuthenticator
from alto.client.errors import ServerError
from alto.costmap import CostOffer
from alto.costs import CostMatrix
from alto.directory import Directory
from alto.endpointcost import EndpointCostResource
from alto.networkmap import FilteredNetworkMapResource, NetworkMap, NetworkMapResource
from alto.server import AltoServer
from alto.types import CostType
from alto.updates import UpdateStreamService
from alto.updates_client import ResourceUpdated
from interop.alto_client import AltoClient
from interop.alto_server import AltoApp

ROUTING = CostType("numerical", "routingcost")
PIDS = {
    "HERE": {"ipv4": ["127.0.0.0/8"], "ipv6": ["::1/128"]},
    "PID1": {"ipv4": ["192.0.2.0/24", "198.51.100.0/25"]},
    "PID3": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]},
}
ECS = "application/alto-endpointcostparams+json"
ASKED = {"cost-type": ROUTING.to_json(), "endpoints": {"dsts": ["ipv4:192.0.2.9", "ipv4:203.0.113.1"]}}


def app_of(*, client_header: str | None = None, **arguments: Any) -> AltoApp:
    costs = CostMatrix(["HERE", "PID1"], ["PID1", "PID3"], [[1.0, 5.0], [0.0, 7.0]])
    resources = [
        NetworkMapResource("map", NetworkMap(PIDS)),
        FilteredNetworkMapResource("filtered", "map"),
        EndpointCostResource("costs", {"num": CostOffer(ROUTING, costs)}, network_map="map"),
    ]
    directory = Directory(resources, services=[UpdateStreamService("updates", ["map"])], default_network_map="map")
    server = AltoServer(directory, epoch=time.time() - time.monotonic(), **arguments)
    return AltoApp(server, client_header=client_header)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def private(authority: Certificates) -> Iterator[str]:
    """A server that tells nobody anything without proof."""
    certificate, key = authority.sign("server", "/CN=127.0.0.1", address="127.0.0.1")
    users = DigestAuthenticator("alto", {"ann": "secret"})
    app = app_of(private=True, authenticator=users)
    with running(app, certificate=certificate, key=key, client_ca=authority.authority) as url:
        yield url + "/"


def pid(url: str, authority: Certificates, **options: Any) -> str | None:
    async def main() -> str | None:
        trust = ssl.create_default_context(cafile=str(authority.authority))
        async with AltoClient(url, verify=trust, **options) as client:
            return await client.pid("198.51.100.9")

    return asyncio.run(main())


def test_our_client_proves_who_it_is_by_digest_over_tls(private, authority):
    """RFC 7285 section 8.3.5"""
    assert pid(private, authority, auth=("ann", "secret")) == "PID1"
    with pytest.raises(ServerError, match="401"):
        pid(private, authority, auth=("ann", "wrong"))


def test_our_client_proves_who_it_is_by_a_certificate(private, authority):
    """RFC 7285 section 8.3.5"""
    certificate, key = authority.sign("client", "/CN=ann")
    assert pid(private, authority, cert=(str(certificate), str(key))) == "PID1"


def test_who_asks_without_sources_is_the_source():
    """RFC 7285 sections 11.5.1.3, 13.3; trap 3"""
    words = ("-H", f"Content-Type: {ECS}", "--data", json.dumps(ASKED))
    with running(app_of()) as url:
        direct = json.loads(curl(*words, "-H", "X-Forwarded-For: 192.0.2.1", f"{url}/costs").stdout)
    assert direct["endpoint-cost-map"] == {"ipv4:127.0.0.1": {"ipv4:192.0.2.9": 1, "ipv4:203.0.113.1": 5}}
    with running(app_of(client_header="X-Forwarded-For")) as url:
        behind = json.loads(curl(*words, "-H", "X-Forwarded-For: 1.1.1.1, 192.0.2.1", f"{url}/costs").stdout)
    assert behind["endpoint-cost-map"] == {"ipv4:192.0.2.1": {"ipv4:192.0.2.9": 0, "ipv4:203.0.113.1": 7}}


def test_an_update_stream_of_a_private_server_is_for_those_who_prove_who_they_are(private, authority):
    asked = (
        "-H",
        "Content-Type: application/alto-updatestreamparams+json",
        "--data",
        '{"add":{"s":{"resource-id":"map"}}}',
    )
    trust = ("--cacert", authority.authority, "-i")
    refused = curl(*trust, *asked, f"{private}updates").stdout
    assert refused.startswith(b"HTTP/1.1 401")
    words = ["curl", "-sS", "-N", *trust, "--digest", "-u", "ann:secret", *asked, f"{private}updates"]
    event = b"event: application/alto-networkmap+json,s"
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        served = []
        for line in process.stdout:
            served.append(line.strip())
            if served[-1] == event:
                break
        process.kill()
    assert b"content-type: text/event-stream" in served
    assert served[-1] == event


def test_a_changed_map_reaches_a_stream_and_whoever_asks_next():
    app = app_of()
    with running(app) as url:

        async def main() -> list[bool]:
            seen = []
            async with AltoClient(f"{url}/") as client:
                async with asyncio.timeout(60):
                    async for update in client.watch("map"):
                        seen.append(isinstance(update, ResourceUpdated) and "NEW" in update.tree["network-map"])
                        if len(seen) == 2:
                            break
                        await app.update(
                            NetworkMapResource("map", NetworkMap({**PIDS, "NEW": {"ipv4": ["10.0.0.0/8"]}}))
                        )
                assert await client.pid("10.1.2.3") == "NEW"
            return seen

        assert asyncio.run(main()) == [False, True]
