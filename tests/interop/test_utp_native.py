"""uTP streams with libutp (the npm package utp-native): both roles, both directions, clean and through bad weather."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

import pytest
from utp_native_peer import NativePeer, content, digest
from utp_relay import Faults, Relay

from interop.utp import UtpOptions, UtpSocket, open_connection, start_server

SIZE = 3_000_000
WEATHER = Faults(loss=0.02, duplication=0.02, reordering=0.03, seed=7, spare=2)
"""libutp does not answer a SYN again whose answer was lost (U10), so that the first packets get through."""
FAULTS = {"clean": Faults(), "faulty": WEATHER}


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(limited())


async def take(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Everything until the end of the stream: octets and digest."""
    sha256, received = hashlib.sha256(), 0
    while octets := await reader.read(1 << 16):
        sha256.update(octets)
        received += len(octets)
    return received, sha256.hexdigest()


async def give(writer: asyncio.StreamWriter, size: int, seed: int) -> None:
    """The content, and the end of the stream."""
    for piece in content(size, seed):
        writer.write(piece)
        await writer.drain()
    writer.write_eof()


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, send: int, seed: int
) -> tuple[int, str]:
    """Both directions at once, and the close; returns what came."""
    giving = asyncio.create_task(give(writer, send, seed))
    came = await take(reader)
    await giving
    writer.close()
    await writer.wait_closed()
    return came


def check(relay: Relay, faults: Faults) -> None:
    relay.assert_orderly()
    if faults is WEATHER:
        relay.assert_faulty()


@pytest.mark.parametrize("weather", FAULTS)
@pytest.mark.parametrize(("ours", "theirs"), [(SIZE, 0), (0, SIZE), (SIZE, SIZE)], ids=["up", "down", "both"])
def test_we_connect_to_libutp_and_every_octet_arrives(weather: str, ours: int, theirs: int) -> None:
    async def main() -> None:
        faults = FAULTS[weather]
        async with NativePeer.listen(send=theirs, seed=2) as peer, Relay(peer.address, faults) as relay:
            reader, writer = await open_connection(*relay.address)
            # libutp accepts for good with the first DATA only (U11).
            came = await exchange(reader, writer, send=ours or 1, seed=1)
            told = await peer.next("end")
            assert (told["received"], told["sha256"]) == (ours or 1, digest(ours or 1, 1))
            assert came == (theirs, digest(theirs, 2))
            await peer.next("close")
            assert await peer.exit_status() == 0
            check(relay, faults)

    run(main)


@pytest.mark.parametrize("weather", FAULTS)
@pytest.mark.parametrize(("ours", "theirs"), [(SIZE, 0), (0, SIZE), (SIZE, SIZE)], ids=["down", "up", "both"])
def test_libutp_connects_to_us_and_every_octet_arrives(weather: str, ours: int, theirs: int) -> None:
    async def main() -> None:
        faults = FAULTS[weather]
        came: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            came.set_result(await exchange(reader, writer, send=ours, seed=1))

        server = await start_server(serve, "127.0.0.1", 0)
        async with (
            server,
            Relay(server.local_address, faults) as relay,
            NativePeer.connect(relay.address, send=theirs or 1, seed=2) as peer,
        ):
            told = await peer.next("end")
            assert (told["received"], told["sha256"]) == (ours, digest(ours, 1))
            assert await came == (theirs or 1, digest(theirs or 1, 2))
            await peer.next("close")
            assert await peer.exit_status() == 0
            check(relay, faults)
            # libutp is gone, perhaps with its last acknowledgement lost.
            server.abort()

    run(main)


def test_we_speak_first_to_a_silent_client_of_libutp() -> None:
    """libutp tells nobody that it has our answer to its SYN while it has nothing to send (U11)."""

    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await exchange(reader, writer, send=100_000, seed=1)

        server = await start_server(serve, "127.0.0.1", 0, options=UtpOptions(accept_early=True))
        async with server, NativePeer.connect(server.local_address) as peer:
            told = await peer.next("end")
            assert (told["received"], told["sha256"]) == (100_000, digest(100_000, 1))
            await peer.next("close")
            assert await peer.exit_status() == 0

    run(main)


def test_many_connections_of_libutp_share_our_socket() -> None:
    async def main() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while octets := await reader.read(4096):
                writer.write(octets)
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        async def one(address: tuple[str, int], seed: int) -> None:
            async with NativePeer.connect(address, send=50_000, seed=seed) as peer:
                told = await peer.next("end")
                assert (told["received"], told["sha256"]) == (50_000, digest(50_000, seed))
                await peer.next("close")
                assert await peer.exit_status() == 0

        async with await start_server(echo, "127.0.0.1", 0) as server:
            await asyncio.gather(*(one(server.local_address, seed) for seed in range(4)))

    run(main)


def test_libutp_echoes_many_of_our_connections_from_one_socket() -> None:
    async def main() -> None:
        count = 8

        async def one(sock: UtpSocket, address: tuple[str, int], seed: int) -> None:
            reader, writer = await sock.open_connection(*address)
            came = await exchange(reader, writer, send=50_000, seed=seed)
            assert came == (50_000, digest(50_000, seed))

        async with NativePeer.listen(echo=True, connections=count) as peer, await UtpSocket.open("127.0.0.1") as sock:
            await asyncio.gather(*(one(sock, peer.address, seed) for seed in range(count)))

    run(main)
