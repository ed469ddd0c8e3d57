"""A peer at its tracker over HTTP: real sockets, a tracker that goes and comes back."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from ppstp_session import FAST, LEECH, SEEDER, SWARM, Found, free_port, parts, running, through, until

import interop.tracker_client
from interop._nat_checks import priority
from interop.asgi import asgi
from interop.tracker_client import TrackerError, TrackerSession
from ppsp.tracker import AddressType, Limits, PeerAddr, TrackerServer


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
