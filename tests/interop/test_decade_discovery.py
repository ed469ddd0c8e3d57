"""Finding a server of DECADE with a real name server, a real ALTO server, and our own server behind HTTP."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from alto_dns import dns_servers
from alto_serving import running
from reload_dht import Dht, identity

from alto.directory import Directory
from alto.endpointproperty import EndpointPropertyResource
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.server import AltoServer
from decade.cbor import MAX_MESSAGE
from decade.discovery import NAMESPACE, PROPERTY, AltoProperty, Configured, DnsSd, NoServerError, Redir, Source
from decade.http import Request, Response
from decade.ledger import MemoryQuotas
from decade.messages import MEDIA_TYPE
from decade.policy import PolicyTree
from decade.server import Server
from decade.settings import Settings
from interop.alto_server import AltoApp
from interop.decade_discovery import REDIR_TYPE, DnsLookup, alto_naming, find, redir_naming
from reload.usages.redir import Lookup, ServiceFinder, ServiceProvider
from reload.usages.redir_tree import RedirTree

SB, SA = "https://sb.decade.example", "https://sa.decade.example:8443"


@pytest.fixture(scope="module")
def resolver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with dns_servers(tmp_path_factory.mktemp("dns")) as port:
        yield port


def client(*origins: str) -> httpx.AsyncClient:
    """Reaches servers of DECADE at these origins, and nobody else."""
    servers = {
        origin: Server(Settings(server=origin), {}.get, PolicyTree(MemoryQuotas()), epoch=0.0) for origin in origins
    }

    def answer(request: httpx.Request) -> httpx.Response:
        server = servers.get(str(request.url.join("/")).removesuffix("/"))
        if server is None:
            raise httpx.ConnectError("nobody")
        response = server.handle(Request(request.method, request.url.path), None, 1.0)
        assert isinstance(response, Response)
        assert isinstance(response.body, bytes)
        return httpx.Response(response.status, headers=list(response.headers), content=response.body)

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


def test_the_servers_of_a_domain_are_found_in_the_order_of_its_zone(resolver: int) -> None:
    lookup = DnsLookup(["127.0.0.1"], port=resolver)
    found = asyncio.run(
        find([DnsSd("decade.example")], lookup=lookup, client=client(SA, SB, "https://new.decade.example"))
    )
    assert [(server.info.server, server.source) for server in found] == [(SB, Source.DNS_SD), (SA, Source.DNS_SD)]
    found = asyncio.run(find([DnsSd("decade.example")], lookup=lookup, client=client(SA)))
    assert [server.info.server for server in found] == [SA]


def test_a_domain_without_servers_is_an_error_that_says_what_was_tried(resolver: int) -> None:
    lookup = DnsLookup(["127.0.0.1"], port=resolver)
    places = [
        DnsSd(domain) for domain in ("far.decade.example", "example.net", "nowhere.example", "broken.example", "a..b")
    ]
    with pytest.raises(NoServerError) as failed:
        asyncio.run(find([*places, AltoProperty(), Redir(), Configured((SB,))], lookup=lookup, client=client()))
    assert failed.value.reasons == (
        *["dns-sd: no server is named"] * 5,
        "alto: no server is named",
        "reload: no server is named",
        f"configured: {SB}: does not answer",
    )


def test_the_alto_server_of_a_network_names_the_cache_of_a_region(tmp_path: Path) -> None:
    values = {"ipv4:192.0.2.0/24": {PROPERTY: SB}, "ipv4:198.51.100.0/24": {PROPERTY: "none"}}
    networks = NetworkMap({"all": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]}})
    resources = [NetworkMapResource("map", networks), EndpointPropertyResource("eps", values)]
    directory = Directory(resources, default_network_map="map")
    with running(AltoApp(AltoServer(directory, epoch=1.7e9))) as url:

        async def ask(address: str, directory: str = f"{url}/") -> tuple[str, ...]:
            naming = {Source.ALTO: alto_naming(directory, address)}
            found = await find([AltoProperty()], client=client(SB), naming=naming)
            return tuple(server.info.server for server in found)

        assert asyncio.run(ask("192.0.2.7")) == (SB,)
        for address, directory_url in (
            ("198.51.100.1", f"{url}/"),
            ("203.0.113.1", f"{url}/"),
            ("192.0.2.7", f"{url}/no"),
        ):
            with pytest.raises(NoServerError):
                asyncio.run(ask(address, directory_url))


def test_a_server_that_says_too_much_is_none() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Type": MEDIA_TYPE}, content=bytes(MAX_MESSAGE + 1))

    flood = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    with pytest.raises(NoServerError, match="does not answer"):
        asyncio.run(find([Configured((SB, "https://[::"))], client=flood))


def test_an_overlay_names_the_server_that_has_registered_in_its_tree() -> None:
    tree, dht = RedirTree(NAMESPACE, 10), Dht()

    async def look_up() -> Lookup:
        return dht.run(ServiceFinder(tree, bytes).find(bytes(16)), identity(bytes(16)))

    async def ask() -> tuple[str, ...]:
        naming = {Source.RELOAD: redir_naming(look_up)}
        return tuple(server.info.server for server in await find([Redir()], client=client(SB), naming=naming))

    with pytest.raises(NoServerError):
        asyncio.run(ask())
    other, ours = bytes([1] * 16), bytes([2] * 16)
    nameless = ServiceProvider(tree, other)
    assert dht.run(nameless.store(), identity(other))
    with pytest.raises(NoServerError):
        asyncio.run(ask())
    assert dht.run(nameless.remove(), identity(other))
    registered = ServiceProvider(tree, ours, extension_type=REDIR_TYPE, extension=SB.encode())
    assert dht.run(registered.store(), identity(ours))
    assert asyncio.run(ask()) == (SB,)
