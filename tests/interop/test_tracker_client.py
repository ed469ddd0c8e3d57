"""A peer at its tracker over HTTP: real sockets, a tracker that goes and comes back."""

import asyncio
import contextlib
import hashlib
import re
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import uvicorn

import interop.tracker_client
from interop._nat_checks import priority
from interop.asgi import asgi
from interop.peer import SwarmPeer
from interop.tracker_client import TrackerError, TrackerSession
from ppsp import SwarmMetadata, SwarmUri
from ppsp.errors import StateError
from ppsp.store import MemoryStore
from ppsp.tracker import AddressType, ClientTiming, Limits, PeerAddr, PeerMode, TrackerServer

SEEDER, LEECH = PeerMode.SEEDER, PeerMode.LEECH
SWARM = bytes.fromhex("47a013e660d408619d894b20806b1d5086aab03b")
FAST = ClientTiming(first_find=0.02, find=0.05, report=0.05, first_retry=0.02, retry=0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Quiet(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@contextlib.asynccontextmanager
async def running(server: TrackerServer, port: int) -> AsyncIterator[str]:
    """The tracker on a real socket, in this event loop."""
    config = uvicorn.Config(asgi(server), host="127.0.0.1", port=port, log_level="error", ws="none")
    uvicorn_server = Quiet(config)
    task = asyncio.create_task(uvicorn_server.serve())
    while not uvicorn_server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{port}/tracker"
    finally:
        uvicorn_server.should_exit = True
        await task


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


class Found:
    """What `on_peers` was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[bytes, list[tuple[str, int]]]] = []

    def __call__(self, swarm_id: bytes, addresses: list[tuple[str, int]]) -> None:
        self.calls.append((swarm_id, addresses))


def through(handler: Callable[[httpx.Request], Any]) -> httpx.MockTransport:
    return httpx.MockTransport(handler)


async def parts(body: bytes) -> AsyncIterator[bytes]:
    yield body


def test_peers_join_find_one_another_report_and_leave():
    """RFC 7846 section 1.2.1"""

    async def run() -> None:
        server = TrackerServer()
        async with running(server, free_port()) as url:
            found = Found()
            seed = await TrackerSession.open(url, "seed", listens_on=[("127.0.0.1", 7001)], timing=FAST)
            leech = await TrackerSession.open(
                url, "leech", listens_on=[("127.0.0.1", 7002)], on_peers=found, timing=FAST
            )
            seed.join(SWARM, SEEDER)
            await seed.joined(SWARM)
            leech.join(SWARM, LEECH)
            await leech.joined(SWARM)
            await until(lambda: len(found.calls) >= 3)
            assert all(call == (SWARM, [("127.0.0.1", 7001)]) for call in found.calls)
            assert leech.public_address[0] == "127.0.0.1"
            leech.report(SWARM, uploaded_bytes=1, downloaded_bytes=2, available_bandwidth=3, concurrent_links=4)
            await until(lambda: server.peer("leech").swarms[SWARM.hex()].stat.downloaded_bytes == 2)
            leech.join(SWARM, SEEDER)
            await until(lambda: server.peer("leech").swarms[SWARM.hex()].peer_mode is SEEDER)
            await leech.close()
            assert [peer.peer_id for peer in server.peers(SWARM.hex())] == ["seed"]
            seed.leave(SWARM)
            await until(lambda: server.peer_count == 0)
            await seed.close()

    asyncio.run(run())


def test_every_address_of_a_peer_is_told_the_best_first_and_new_ones_take_the_place_of_old_ones():
    """RFC 7846 section 3.2.4: HOST, REFLEXIVE and PROXY; the last two come from STUN and TURN, and may change."""

    async def run() -> None:
        server = TrackerServer()
        told: list[dict[str, list[PeerAddr]]] = []
        host = PeerAddr("127.0.0.1", 7001, priority(AddressType.HOST), peer_protocol="PPSP-PP")
        first = PeerAddr("203.0.113.1", 9, priority(AddressType.REFLEXIVE), AddressType.REFLEXIVE)
        second = PeerAddr("203.0.113.1", 10, priority(AddressType.REFLEXIVE), AddressType.REFLEXIVE)
        relayed = PeerAddr("203.0.113.9", 11, priority(AddressType.PROXY), AddressType.PROXY)
        same = PeerAddr("127.0.0.1", 7001, priority(AddressType.REFLEXIVE), AddressType.REFLEXIVE)
        async with (
            running(server, free_port()) as url,
            await TrackerSession.open(
                url, "seed", listens_on=[("127.0.0.1", 7001)], candidates=[relayed, first, same], timing=FAST
            ) as seed,
            await TrackerSession.open(
                url,
                "leech",
                listens_on=[("127.0.0.1", 7002)],
                timing=FAST,
                on_candidates=lambda _, peers: told.append(peers),
            ) as leech,
        ):
            seed.join(SWARM, SEEDER)
            await seed.joined(SWARM)
            leech.join(SWARM, LEECH)
            await until(lambda: bool(told))
            assert told[0] == {"seed": [host, first, relayed]}
            seed.announce([second])
            await until(lambda: told[-1] == {"seed": [host, second]})

    asyncio.run(run())


def test_a_session_survives_its_tracker_and_registers_again_when_it_is_back():
    async def run() -> None:
        port = free_port()
        async with running(TrackerServer(), port) as url:
            session = await TrackerSession.open(url, "peer", listens_on=[("127.0.0.1", 7001)], timing=FAST)
            session.join(SWARM, LEECH)
            await session.joined(SWARM)
        await until(lambda: session.trouble)
        assert "out of reach" in session.trouble
        reborn = TrackerServer()
        async with running(reborn, port):
            await until(lambda: reborn.peer("peer"))
            await until(lambda: session.trouble is None)
            await session.close()
            assert reborn.peer_count == 0

    asyncio.run(run())


def test_a_tracker_that_is_not_there_is_one_line_and_the_session_goes_on_trying():
    async def run() -> None:
        port = free_port()
        session = await TrackerSession.open(
            f"http://127.0.0.1:{port}/", "peer", listens_on=[("127.0.0.1", 7001)], timing=FAST
        )
        session.join(SWARM, LEECH)
        with pytest.raises(TrackerError, match="out of reach") as caught:
            await session.joined(SWARM)
        assert "\n" not in str(caught.value)
        server = TrackerServer()
        async with running(server, port):
            await until(lambda: server.peer("peer"))
        await session.close()

    asyncio.run(run())


def test_closing_does_not_wait_for_a_tracker_that_is_gone(monkeypatch):
    monkeypatch.setattr(interop.tracker_client, "LEAVE_TIMEOUT", 100)

    async def run() -> None:
        session = await TrackerSession.open(f"http://127.0.0.1:{free_port()}/", "peer")
        session.join(SWARM, LEECH)
        with pytest.raises(TrackerError):
            await session.joined(SWARM)
        async with asyncio.timeout(60):
            await session.close()

    asyncio.run(run())


def test_closing_does_not_wait_for_a_tracker_that_never_answers(monkeypatch):
    monkeypatch.setattr(interop.tracker_client, "LEAVE_TIMEOUT", 0.05)

    async def silent(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(3600)
        raise AssertionError

    async def run() -> None:
        session = await TrackerSession.open("https://tracker.example/", "peer", transport=through(silent))
        session.join(SWARM, LEECH)
        with pytest.raises(TrackerError, match="no answer"):
            await session.joined(SWARM, within=0.05)
        await session.close()

    asyncio.run(run())


def test_an_exchange_takes_no_longer_than_its_time(monkeypatch):
    monkeypatch.setattr(interop.tracker_client, "REQUEST_TIMEOUT", 0.02)

    async def silent(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(3600)
        raise AssertionError

    async def run() -> None:
        session = await TrackerSession.open("https://tracker.example/", "peer", transport=through(silent), timing=FAST)
        session.join(SWARM, LEECH)
        with pytest.raises(TrackerError, match="out of reach"):
            await session.joined(SWARM, within=5)
        await session.close()

    asyncio.run(run())


def test_a_refusal_is_one_line_with_the_error_of_the_rfc():
    """RFC 7846 section 8.4"""

    async def run() -> str:
        transport = httpx.ASGITransport(asgi(TrackerServer(limits=Limits(peers=0))))
        session = await TrackerSession.open("https://tracker.example/", "peer", transport=transport, timing=FAST)
        session.join(SWARM, LEECH)
        with pytest.raises(TrackerError) as caught:
            await session.joined(SWARM)
        await session.close()
        return str(caught.value)

    assert asyncio.run(run()) == "https://tracker.example/ refuses: Service unavailable (error 05)"


def test_a_response_without_end_is_given_up():
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536

    async def run() -> str:
        transport = through(lambda _: httpx.Response(200, content=endless()))
        session = await TrackerSession.open("https://tracker.example/", "peer", transport=transport, timing=FAST)
        session.join(SWARM, LEECH)
        with pytest.raises(TrackerError) as caught:
            await session.joined(SWARM)
        await session.close()
        return str(caught.value)

    assert "too long" in asyncio.run(run())


def test_cookies_are_not_returned():
    """RFC 7846 section 6.5: peers may decide not to return cookies"""
    cookies: list[Any] = []
    server = TrackerServer()

    def answer(request: httpx.Request) -> httpx.Response:
        cookies.append(request.headers.get("cookie"))
        made = TrackerServer.Request("POST", "/", tuple(request.headers.multi_items()), request.content)
        response = server.handle(made, ("192.0.2.1", 5), 0.0)
        return httpx.Response(response.status, headers={"set-cookie": "id=you; Path=/"}, content=parts(response.body))

    async def run() -> None:
        session = await TrackerSession.open("https://tracker.example/", "peer", transport=through(answer), timing=FAST)
        session.join(SWARM, LEECH)
        await until(lambda: len(cookies) >= 3)
        await session.close()

    asyncio.run(run())
    assert set(cookies) == {None}


def test_a_challenge_to_digest_authentication_is_met():
    """RFC 7846 section 4, RFC 7616 section 3.4: what a tracker checks is computed here by the formula."""
    server = TrackerServer()
    seen: list[bool] = []

    def digest(*parts: str) -> str:
        return hashlib.sha256(":".join(parts).encode()).hexdigest()

    def answer(request: httpx.Request) -> httpx.Response:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme != "Digest":
            challenge = 'Digest realm="swarms", nonce="0a4f", algorithm=SHA-256, qop="auth"'
            return httpx.Response(401, headers={"www-authenticate": challenge}, content=parts(b""))
        said = {name: quoted or bare for name, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]+))', given)}
        proof = (digest("alice", "swarms", "secret"), "0a4f", said["nc"], said["cnonce"], "auth")
        seen.append(said["response"] == digest(*proof, digest("POST", said["uri"])))
        made = TrackerServer.Request("POST", "/", tuple(request.headers.multi_items()), request.content)
        response = server.handle(made, ("192.0.2.1", 5), 0.0)
        return httpx.Response(response.status, content=parts(response.body))

    async def run() -> None:
        async with await TrackerSession.open(
            "https://tracker.example/", "alice", auth=httpx.DigestAuth("alice", "secret"), transport=through(answer)
        ) as session:
            session.join(SWARM, LEECH)
            await session.joined(SWARM)

    asyncio.run(run())
    assert set(seen) == {True}


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
