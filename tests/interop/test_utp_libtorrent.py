"""uTP with libtorrent, TCP off: BitTorrent blocks in both roles and both directions, clean and through bad weather."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from bittorrent_peer import BLOCK, LibtorrentPeer, Wire, fetch, serve, torrent
from utp_relay import Faults, Relay

from interop.utp import open_connection, start_server
from ledbat.utp import PacketType

CONTENT = random.Random(6881).randbytes(1_500_000)
INFO = torrent(CONTENT)
WEATHER = Faults(loss=0.02, duplication=0.02, reordering=0.03, seed=11, spare=2)
FAULTS = {"clean": Faults(), "faulty": WEATHER}


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(limited())


def check(relay: Relay, faults: Faults) -> None:
    assert not relay.count(PacketType.RESET, from_client=True)
    assert not relay.count(PacketType.RESET, from_client=False)
    relay.assert_orderly()
    if faults is WEATHER:
        relay.assert_faulty()


@pytest.mark.parametrize("weather", FAULTS)
def test_we_connect_to_libtorrent_and_fetch_every_block(weather: str, tmp_path: Path) -> None:
    async def main() -> None:
        faults = FAULTS[weather]
        async with LibtorrentPeer(tmp_path, INFO, CONTENT) as seed, Relay(seed.address, faults) as relay:
            wire = Wire(*await open_connection(*relay.address))
            await wire.handshake(seed.info_hash)
            assert await fetch(wire, len(CONTENT)) == CONTENT
            await wire.close()
            await relay.finished.wait()
            check(relay, faults)

    run(main)


@pytest.mark.parametrize("weather", FAULTS)
def test_we_connect_to_libtorrent_and_it_fetches_every_block(weather: str, tmp_path: Path) -> None:
    async def main() -> None:
        faults = FAULTS[weather]
        async with LibtorrentPeer(tmp_path, INFO) as leech, Relay(leech.address, faults) as relay:
            wire = Wire(*await open_connection(*relay.address))
            await wire.handshake(leech.info_hash)
            serving = asyncio.create_task(serve(wire, CONTENT))
            await leech.until(leech.is_seed)
            assert await leech.written(CONTENT)
            leech.session.pause()
            assert await serving >= len(CONTENT) // BLOCK
            await wire.close()
            await relay.finished.wait()
            check(relay, faults)

    run(main)


@pytest.mark.parametrize("weather", FAULTS)
def test_libtorrent_connects_to_us_and_fetches_every_block(weather: str, tmp_path: Path) -> None:
    async def main() -> None:
        faults = FAULTS[weather]
        served: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        async with LibtorrentPeer(tmp_path, INFO) as leech:

            async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                wire = Wire(reader, writer)
                await wire.handshake(leech.info_hash)
                served.set_result(await serve(wire, CONTENT))
                await wire.close()

            server = await start_server(accept, "127.0.0.1", 0)
            async with server, Relay(server.local_address, faults) as relay:
                await leech.connect(relay.address)
                await leech.until(leech.is_seed)
                assert await leech.written(CONTENT)
                leech.session.pause()
                assert await served >= len(CONTENT) // BLOCK
                await relay.finished.wait()
                check(relay, faults)
                # The peer may be gone, with its last acknowledgement lost.
                server.abort()

    run(main)


@pytest.mark.parametrize("weather", FAULTS)
def test_libtorrent_connects_to_us_and_we_fetch_every_block(weather: str, tmp_path: Path) -> None:
    async def main() -> None:
        faults = FAULTS[weather]
        fetched: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        async with LibtorrentPeer(tmp_path, INFO, CONTENT) as seed:

            async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                wire = Wire(reader, writer)
                await wire.handshake(seed.info_hash)
                fetched.set_result(await fetch(wire, len(CONTENT)))
                await wire.close()

            server = await start_server(accept, "127.0.0.1", 0)
            async with server, Relay(server.local_address, faults) as relay:
                await seed.connect(relay.address)
                assert await fetched == CONTENT
                await relay.finished.wait()
                check(relay, faults)
                # The peer may be gone, with its last acknowledgement lost.
                server.abort()

    run(main)
