"""`interop.live_gateway`: players get a live stream over HTTP, from where it is now."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx

import interop.live_gateway
from interop.live import LivePeer
from interop.live_gateway import GatewayServer, LiveGateway
from ppsp.constants import ContentIntegrityProtection
from ppsp.livekeys import LiveSigner
from ppsp.metadata import SwarmMetadata, SwarmUri

_LOCAL = ("127.0.0.1", 0)
_KEY = LiveSigner.generate()
_URI = SwarmUri(
    SwarmMetadata(_KEY.swarm_id, content_integrity=ContentIntegrityProtection.UNIFIED_MERKLE_TREE), name="talk.ts"
)


def _run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(bounded())


@contextlib.asynccontextmanager
async def _broadcast(**words: Any) -> AsyncIterator[tuple[LivePeer, LiveGateway, httpx.AsyncClient]]:
    async with (
        LivePeer(_URI, signer=_KEY, local=_LOCAL) as source,
        LivePeer(_URI, local=_LOCAL, peers=[source.local_address]) as viewer,
    ):
        gateway = LiveGateway(viewer, **words)
        with socket.create_server(_LOCAL) as listener:
            server = GatewayServer(gateway)
            tasks = [
                asyncio.create_task(gateway.run()),
                asyncio.create_task(server.serve(sockets=[listener])),
            ]
            base = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with httpx.AsyncClient(base_url=base, timeout=60) as client:
                yield source, gateway, client
            server.should_exit = True
            await tasks[1]
            tasks[0].cancel()
            await asyncio.wait(tasks)


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - it is not told
        await asyncio.sleep(0.01)


async def _publish(source: LivePeer, content: bytes) -> None:
    for at in range(0, len(content), 10_000):
        source.publish(content[at : at + 10_000])
        await asyncio.sleep(0.005)


def test_two_players_get_the_broadcast_until_it_ends() -> None:
    content = os.urandom(400_000)

    async def main() -> None:
        async with _broadcast() as (source, gateway, client):
            head = await client.head(gateway.path)
            assert head.headers["content-type"] == "video/mp2t"
            assert head.headers["accept-ranges"] == "none"
            players = [asyncio.create_task(client.get(gateway.path)) for _ in range(2)]
            await _until(lambda: len(gateway._viewers) == 2)
            await _publish(source, content)
            source.end()
            answers = [await player for player in players]
            for answer in answers:
                assert answer.status_code == 200
                assert "content-length" not in answer.headers
                assert len(answer.content) > 300_000
                assert content.endswith(answer.content)  # from the tune-in point on
            late = await client.get(gateway.path)
            assert (late.status_code, late.text) == (410, "The broadcast has ended.\n")
            stats = json.loads((await client.get("/stats")).content)
            assert stats["live"] == {"viewers": 0, "chunks_skipped": 0, "ended": True}

    _run(main)


def test_a_player_that_leaves_is_forgotten() -> None:
    async def main() -> None:
        async with _broadcast() as (source, gateway, client):
            publishing = asyncio.create_task(_publish(source, bytes(2_000_000)))
            async with client.stream("GET", gateway.path) as answer:
                await anext(answer.aiter_raw())
            await _until(lambda: not gateway._viewers)
            publishing.cancel()

    _run(main)


def test_a_player_that_does_not_keep_up_is_cut_off_and_no_other(monkeypatch: Any) -> None:
    monkeypatch.setattr(interop.live_gateway, "MAX_BEHIND", 100_000)

    async def main() -> None:
        async with _broadcast() as (source, gateway, client):
            publishing = asyncio.create_task(_publish(source, os.urandom(20_000_000)))
            reader, writer = await asyncio.open_connection(str(client.base_url.host), client.base_url.port, limit=1024)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            writer.write(f"GET {gateway.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            async with client.stream("GET", gateway.path) as answer:
                received = 0
                async for piece in answer.aiter_raw():
                    received += len(piece)
                    if received > 1_000_000 and len(gateway._viewers) == 1:
                        break
            publishing.cancel()
            writer.close()
            del reader

    _run(main)


def test_no_broadcast_is_told_by_a_status() -> None:
    async def main() -> None:
        async with _broadcast(patience=0.2) as (_, gateway, client):
            await _until(lambda: bool(gateway._peer.stats.peers))
            answer = await client.get(gateway.path)
            assert (answer.status_code, answer.text) == (504, "The broadcast does not go on.\n")
            assert (await client.get(gateway.path, headers={"host": "evil.example"})).status_code == 421
            assert (await client.get("/")).status_code == 200

    _run(main)
