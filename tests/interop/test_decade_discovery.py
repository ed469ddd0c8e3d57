"""Finding a server of DECADE with a real name server, a real ALTO server, and our own server behind HTTP."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from alto_dns import ZONES, dns_servers, free_port
from alto_serving import Certificates, running
from decade_serve import make_key, processing
from reload_dht import Dht, identity

import interop.decade_discovery
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
from interop.__main__ import main
from interop.alto_server import AltoApp
from interop.cli._errors import MistakeError
from interop.cli.decade._client import Access, one_server
from interop.decade_discovery import REDIR_TYPE, DnsLookup, alto_naming, find, redir_naming
from reload.usages.redir import Lookup, ServiceFinder, ServiceProvider
from reload.usages.redir_tree import RedirTree

SB, SA = "https://sb.decade.example", "https://sa.decade.example:8443"


NEAR = """
_decade._tcp IN PTR cache._decade._tcp
cache._decade._tcp IN TXT "v=1"
cache._decade._tcp IN SRV 10 0 1 gone
cache._decade._tcp IN SRV 20 0 {port} sa
"""


@pytest.fixture(scope="module")
def near() -> int:
    """The port of the server of near.example."""
    return free_port()


@pytest.fixture(scope="module")
def resolver(near: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ZONES, "near.example", NEAR.format(port=near))
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
        return httpx.Response(response.status, headers=list(response.headers), stream=httpx.ByteStream(response.body))

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
        return httpx.Response(
            200, headers={"Content-Type": MEDIA_TYPE}, stream=httpx.ByteStream(bytes(MAX_MESSAGE + 1))
        )

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


def test_the_commands_find_a_server_in_the_dns_of_their_domain(
    resolver: int, near: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    certificates = Certificates(tmp_path / "tls")
    chain, tls = certificates.sign("sa", "/CN=sa", host="sa.near.example")
    make_key(tmp_path / "alice.pem")
    (tmp_path / "hello").write_bytes(b"Hello World!")
    look_up = socket.getaddrinfo

    def look_up_near(host: Any, *rest: Any, **named: Any) -> Any:
        """The servers of the domain are on this host, which its resolver does not know."""
        text = host.decode() if isinstance(host, bytes) else str(host)
        return look_up("127.0.0.1" if text.endswith("near.example") else host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_near)
    monkeypatch.setattr(interop.decade_discovery, "DnsLookup", lambda: DnsLookup(["127.0.0.1"], port=resolver))
    monkeypatch.setenv("DECADE_KEY", str(tmp_path / "alice.pem"))
    # Of the environment nothing counts: it may name a proxy.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("DECADE_SERVER", raising=False)
    words = ["--account", "alice", "--key", tmp_path / "alice.pem", "--listen", f"127.0.0.1:{near}"]
    words += ["--server", f"https://sa.near.example:{near}", "--tls-certificate", chain, "--tls-key", tls]
    with processing(*words):
        found = ["--discover", "near.example", "--cacert", str(certificates.authority)]
        assert main(["decade", "put", str(tmp_path / "hello"), *found]) == 0
        name = capfd.readouterr().out.strip()
        assert name.startswith(f"ni://sa.near.example:{near}/")
        assert main(["decade", "get", f"ni:///{name.rpartition('/')[2]}", *found]) == 0
        assert capfd.readouterr().out == "Hello World!"
        assert main(["decade", "get", name, *found[:2]]) == 2
    assert f"https://sa.near.example:{near}: does not answer" in capfd.readouterr().err


def test_the_first_of_several_servers_that_were_found_is_the_one() -> None:
    access = Access((), None, None, None, 1.0, False, "decade.example")
    assert one_server(access, [SB, SA]) == SB
    for servers in ([], [SB, SA]):
        with pytest.raises(MistakeError, match="one server is due"):
            one_server(attrs.evolve(access, server=tuple(servers)), servers)
