"""A peer at its tracker: which addresses and trackers it takes, of itself and of others."""

import asyncio
import contextlib
from typing import Any

import httpx
import pytest
from ppstp_session import FAST, LEECH, SEEDER, SWARM, Found, free_port, parts, running, through, until

from interop.asgi import asgi
from interop.peer import SwarmPeer
from interop.tracker_client import TrackerError, TrackerSession
from ppsp import SwarmMetadata, SwarmUri
from ppsp.errors import StateError
from ppsp.store import MemoryStore
from ppsp.tracker import PeerAddr, TrackerServer


def test_every_peer_gives_itself_an_id_that_no_other_has():
    """RFC 7846 section 1.2.2: the peer ID MUST be unique"""

    async def run() -> list[str]:
        server = TrackerServer()
        async with running(server, free_port()) as url:
            uri = SwarmUri(SwarmMetadata(bytes(32)), (url,))
            async with contextlib.AsyncExitStack() as stack:
                for _ in range(3):
                    peer = SwarmPeer(uri, MemoryStore(), local=("127.0.0.1", 0))
                    await stack.enter_async_context(peer)
                return [peer.peer_id for peer in server.peers(bytes(32).hex())]

    identifiers = asyncio.run(run())
    assert len(set(identifiers)) == 3
    assert all(len(bytes.fromhex(peer_id)) == 16 for peer_id in identifiers)


def test_the_best_address_of_a_family_that_we_listen_on_is_told():
    async def run() -> None:
        server = TrackerServer()
        transport = httpx.ASGITransport(asgi(server))
        found = Found()
        async with await TrackerSession.open(
            "https://tracker.example/",
            "many",
            listens_on=[("2001:db8::1", 1), ("192.0.2.1", 2), ("192.0.2.2", 3)],
            transport=transport,
        ) as many:
            many.join(SWARM, SEEDER)
            await many.joined(SWARM)
            async with await TrackerSession.open(
                "https://tracker.example/", "v4", listens_on=[("192.0.2.9", 9)], on_peers=found, transport=transport
            ) as session:
                session.join(SWARM, LEECH)
                await until(lambda: found.calls)
        assert found.calls[0] == (SWARM, [("192.0.2.1", 2)])

    asyncio.run(run())


@pytest.mark.parametrize(("own", "found"), [("192.0.2.9", ["192.0.2.1"]), ("127.0.0.1", ["127.0.0.1"])])
def test_a_tracker_elsewhere_cannot_name_the_services_of_this_machine(own, found):
    """RFC 8445 section 5.1.1.1: loopback addresses are no candidates."""

    async def run() -> None:
        server = TrackerServer()
        transport = httpx.ASGITransport(asgi(server))
        named: list[list[PeerAddr]] = []
        async with await TrackerSession.open(
            "https://tracker.example/",
            "many",
            listens_on=[("127.0.0.1", 1), ("192.0.2.1", 2)],
            transport=transport,
        ) as many:
            many.join(SWARM, SEEDER)
            await many.joined(SWARM)
            async with await TrackerSession.open(
                "https://tracker.example/",
                "one",
                listens_on=[(own, 9)],
                on_candidates=lambda swarm_id, peers: named.extend(peers.values()),
                transport=transport,
            ) as session:
                session.join(SWARM, LEECH)
                await until(lambda: named)
        assert [one.address for one in named[0]][: len(found)] == found
        assert any(one.is_loopback for one in named[0]) == (own == "127.0.0.1")

    asyncio.run(run())


def test_an_unspecified_address_becomes_the_one_on_the_way_to_the_tracker():
    async def run() -> list[Any]:
        announced = []
        for host in ("0.0.0.0", "::"):
            server = TrackerServer()
            async with await TrackerSession.open(
                "http://127.0.0.1:8700/",
                "peer",
                listens_on=[(host, 7001)],
                transport=httpx.ASGITransport(asgi(server)),
            ) as session:
                session.join(SWARM, LEECH)
                await session.joined(SWARM)
                announced += [(one.address, one.port) for one in server.peer("peer").peer_addr]
        return announced

    assert asyncio.run(run()) == [("127.0.0.1", 7001)] * 2


def test_a_link_local_address_is_announced_without_its_zone():
    """RFC 7846 section 3.2.4 has the text of RFC 5952 section 4, which knows no zones."""

    async def run() -> list[Any]:
        server = TrackerServer()
        async with await TrackerSession.open(
            "https://tracker.example/",
            "peer",
            listens_on=[("fe80::7%lo", 7001)],
            transport=httpx.ASGITransport(asgi(server)),
        ) as session:
            session.join(SWARM, LEECH)
            await session.joined(SWARM)
            return [(one.address, one.port) for one in server.peer("peer").peer_addr]

    assert asyncio.run(run()) == [("fe80::7", 7001)]


def test_an_application_that_fails_at_its_peers_does_not_end_the_session(caplog):
    def broken(*_: Any) -> None:
        raise RuntimeError("no room for peers")

    async def run() -> None:
        server = TrackerServer()
        transport = httpx.ASGITransport(asgi(server))
        other = await TrackerSession.open("https://tracker.example/", "other", transport=transport)
        other.join(SWARM, SEEDER)
        await other.joined(SWARM)
        session = await TrackerSession.open(
            "https://tracker.example/", "peer", on_peers=broken, transport=transport, timing=FAST
        )
        session.join(SWARM, LEECH)
        await until(lambda: caplog.text.count("no room for peers") >= 3)
        await session.close()
        await other.close()
        assert server.peer_count == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "tracker",
        "ftp://tracker.example/",
        "http://",
        "http://[::1",
        "udp://127.0.0.1:80",
        "http://a:99999/",
        "http://a\nb/",
        "http://..../",
        f"http://{'a' * 300}/",
    ],
)
def test_a_uri_that_is_none_is_one_line(url):
    async def run() -> None:
        with pytest.raises(TrackerError) as caught:
            await TrackerSession.open(url, "peer")
        assert "\n" not in str(caught.value)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("url", "is_let"),
    [
        ("http://127.0.0.9:8700/", True),
        ("http://[::1]:8700/", True),
        ("http://localhost:8700/", True),
        ("https://192.0.2.1/", True),
        ("https://tracker.example/", True),
        ("http://192.0.2.1/", False),
        ("http://10.0.0.1:8700/", False),
        ("http://[2001:db8::1]/", False),
        ("http://0.0.0.0/", False),
        ("http://tracker.example/", False),
        ("HTTP://tracker.example/", False),
        ("http://localhost.example/", False),
        ("http://127.0.0.1.example/", False),
        ("http://127.0.0.1@tracker.example/", False),
    ],
)
def test_with_other_machines_only_tls_is_spoken_unless_plain_http_is_allowed(url, is_let):
    """RFC 7846 section 6.1: TLS MUST be used in the communication between peers and tracker"""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.scheme)
        return httpx.Response(503, content=parts(b""))

    async def run(**arguments: bool) -> None:
        async with await TrackerSession.open(url, "peer", transport=through(answer), **arguments) as session:
            session.join(SWARM, LEECH)
            await until(lambda: asked)

    if is_let:
        asyncio.run(run())
    else:
        with pytest.raises(TrackerError, match=r"plain HTTP .* https://") as caught:
            asyncio.run(run())
        assert "\n" not in str(caught.value)
        assert asked == []
        asyncio.run(run(insecure=True))


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch):
    """It would read what is said and lend us its address, which is none of a peer's."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}/")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    async def run() -> None:
        async with (
            running(TrackerServer(), free_port()) as url,
            await TrackerSession.open(url, "peer", timing=FAST) as session,
        ):
            session.join(SWARM, LEECH)
            await session.joined(SWARM)

    asyncio.run(run())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_from_https_to_http_is_not_followed(status):
    """RFC 7846 section 6.1"""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(status, headers={"location": "http://tracker.example/"}, content=parts(b""))

    async def run() -> None:
        async with await TrackerSession.open(
            "https://tracker.example/", "peer", transport=through(answer), timing=FAST
        ) as session:
            session.join(SWARM, LEECH)
            with pytest.raises(TrackerError):
                await session.joined(SWARM)
            await until(lambda: len(asked) >= 2)

    asyncio.run(run())
    assert set(asked) == {"https://tracker.example/"}


def test_a_tracker_whose_host_nobody_knows_is_one_line():
    async def run() -> None:
        with pytest.raises(TrackerError, match=r"no way to nobody\.invalid"):
            await TrackerSession.open("https://nobody.invalid/", "peer", listens_on=[("0.0.0.0", 5)])

    asyncio.run(run())


def test_verbs_for_a_swarm_that_was_never_joined_are_state_errors():
    async def run() -> None:
        async with await TrackerSession.open("https://tracker.example/", "peer") as session:
            for verb in (
                lambda: session.leave(SWARM),
                lambda: session.find(SWARM),
                lambda: session.report(SWARM, uploaded_bytes=1, downloaded_bytes=1),
            ):
                with pytest.raises(StateError):
                    verb()

    asyncio.run(run())
