"""asyncio streams over uTP: what users of asyncio's TCP streams expect, between two of us on loopback."""

import asyncio
import gc
import os
import socket
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import uvloop
from utp_relay import Faults, Relay

from interop.utp import UtpOptions, UtpServer, UtpSocket, open_connection, start_server
from ledbat import Ledbat
from ledbat.utp import PacketType

LOCAL = ("127.0.0.1", 0)
CONTENT = os.urandom(300_000)

Run = Callable[[Callable[[], Awaitable[None]]], None]
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine function on one of the two loops, for at most 20 seconds."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else None

    def runner(main: Callable[[], Awaitable[None]]) -> None:
        async def limited() -> None:
            async with asyncio.timeout(60):
                await main()

        with asyncio.Runner(loop_factory=factory) as loop:
            loop.run(limited())

    return runner


@asynccontextmanager
async def pair(options: UtpOptions | None = None, limit: int = 65536) -> AsyncIterator[tuple[Pair, Pair]]:
    """Two ends of a connection: the client's, the server's."""
    options = options or UtpOptions()
    accepted: asyncio.Future[Pair] = asyncio.get_running_loop().create_future()
    server = await start_server(lambda *ends: accepted.set_result(ends), *LOCAL, limit=limit, options=options)
    try:
        client = await open_connection(*server.local_address, limit=limit, options=options)
        client[1].write(b"!")
        theirs = await accepted
        assert await theirs[0].readexactly(1) == b"!"
        yield client, theirs
        client[1].transport.abort()
        theirs[1].transport.abort()
    finally:
        server.abort()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is looked at tells nobody
        await asyncio.sleep(0.005)


def test_what_is_written_is_read_and_the_end_follows(run: Run) -> None:
    async def main() -> None:
        async with pair() as ((_, writer), (reader, _)):
            writer.write(CONTENT[:1000])
            writer.writelines([CONTENT[1000:2000], bytearray(CONTENT[2000:3000]), memoryview(CONTENT)[3000:]])
            await writer.drain()
            writer.write_eof()
            assert await reader.read(-1) == CONTENT
            assert reader.at_eof()

    run(main)


def test_every_way_to_read(run: Run) -> None:
    async def main() -> None:
        async with pair() as ((_, writer), (reader, _)):
            writer.write(b"one\ntwo\nthree|four" + b"five" + b"\nsix\nseven")
            writer.write_eof()
            assert await reader.readline() == b"one\n"
            assert await reader.readuntil(b"|") == b"two\nthree|"
            assert await reader.readexactly(8) == b"fourfive"
            assert await reader.read(1) == b"\n"
            assert [line async for line in reader] == [b"six\n", b"seven"]
            with pytest.raises(asyncio.IncompleteReadError):
                await reader.readexactly(1)

    run(main)


def test_one_direction_ends_and_the_other_goes_on(run: Run) -> None:
    """BEP 29: ST_FIN ends one direction; here the server answers after the client's."""

    async def main() -> None:
        async with pair() as ((reader, writer), (their_reader, their_writer)):
            assert writer.can_write_eof()
            writer.write_eof()
            assert await their_reader.read() == b""
            with pytest.raises(RuntimeError):
                writer.write(b"too late")
            their_writer.write(CONTENT)
            their_writer.close()
            assert await reader.read(-1) == CONTENT
            await their_writer.wait_closed()
            writer.close()
            await writer.wait_closed()

    run(main)


def test_wait_closed_returns_when_the_peer_has_everything_though_it_does_not_close(run: Run) -> None:
    async def main() -> None:
        async with pair() as ((_, writer), (reader, their_writer)):
            writer.write(CONTENT)
            writer.close()
            assert writer.is_closing()
            await writer.wait_closed()
            assert not their_writer.is_closing()
            assert await reader.read(-1) == CONTENT

    run(main)


def test_octets_written_before_close_arrive_through_a_bad_network(run: Run) -> None:
    async def main() -> None:
        got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            got.set_result(await reader.read(-1))
            writer.close()

        server = await start_server(serve, *LOCAL)
        faults = Faults(loss=0.03, duplication=0.03, reordering=0.05, seed=5)
        async with server, Relay(server.local_address, faults) as relay:
            _, writer = await open_connection(*relay.address)
            writer.write(CONTENT)
            writer.close()
            await writer.wait_closed()
            assert await got == CONTENT
            await relay.finished.wait()
            relay.assert_orderly()
            server.abort()

    run(main)


def test_a_writer_waits_for_a_reader_who_does_not_read(run: Run) -> None:
    async def main() -> None:
        options = UtpOptions(receive_buffer=100_000, send_buffer=100_000)
        async with pair(options, limit=20_000) as ((_, writer), (reader, _)):

            async def flood() -> int:
                written = 0
                while written < 3_000_000:
                    writer.write(bytes(10_000))
                    written += 10_000
                    await writer.drain()
                writer.write_eof()
                return written

            flooding = asyncio.create_task(flood())
            # Until there is room for less than a packet.
            while writer.get_extra_info("stats").peer_window >= 1500:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.01)
            assert not flooding.done()
            received = 0
            while octets := await reader.read(65536):
                received += len(octets)
            assert received == await flooding == 3_000_000

    run(main)


def test_what_a_writer_keeps_is_bounded_by_its_limits(run: Run) -> None:
    async def main() -> None:
        async with pair(UtpOptions(receive_buffer=50_000, send_buffer=50_000)) as ((_, writer), _):
            transport = writer.transport
            transport.set_write_buffer_limits(high=30_000, low=10_000)
            assert transport.get_write_buffer_limits() == (10_000, 30_000)

            async def flood() -> None:
                while True:
                    writer.write(bytes(10_000))
                    await writer.drain()

            flooding = asyncio.create_task(flood())
            while (size := transport.get_write_buffer_size()) <= 30_000:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.01)
            assert size <= 40_000
            flooding.cancel()
            with pytest.raises(ValueError):
                transport.set_write_buffer_limits(high=1, low=2)

    run(main)


def test_addresses_and_figures_are_told(run: Run) -> None:
    async def main() -> None:
        async with pair() as ((_, writer), (_, their_writer)):
            assert writer.get_extra_info("peername") == their_writer.get_extra_info("sockname")
            assert writer.get_extra_info("peername")[0] == "127.0.0.1"
            assert writer.get_extra_info("stats").address == writer.get_extra_info("peername")
            assert writer.get_extra_info("sslcontext") is None
            assert writer.get_extra_info("nothing", 5) == 5

    run(main)


def test_nobody_listens_is_a_refusal(run: Run) -> None:
    """Where the host says so by ICMP (port unreachable), and where uTP does by ST_RESET."""

    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
            unused.bind(LOCAL)
            closed = unused.getsockname()
        with pytest.raises(ConnectionRefusedError):
            await open_connection(*closed)
        async with await UtpSocket.open(*LOCAL) as deaf:
            with pytest.raises(ConnectionRefusedError):
                await open_connection(*deaf.local_address)

    run(main)


def test_nobody_answers_is_a_timeout(run: Run) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(LOCAL)
            with pytest.raises(TimeoutError):
                await open_connection(*silent.getsockname(), connect_timeout=0.2)

    run(main)


def test_a_reset_reaches_readers_and_writers(run: Run) -> None:
    async def main() -> None:
        async with pair() as ((reader, writer), (_, their_writer)):
            their_writer.transport.abort()
            with pytest.raises(ConnectionResetError):
                await reader.read()
            with pytest.raises(ConnectionResetError):
                await writer.drain()
            with pytest.raises(ConnectionResetError):
                await writer.wait_closed()

    run(main)


def test_a_cancelled_connect_leaves_nothing(run: Run) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(LOCAL)
            async with await UtpSocket.open(*LOCAL) as sock:
                dialing = asyncio.create_task(sock.open_connection(*silent.getsockname()))
                await asyncio.sleep(0.05)
                dialing.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await dialing
                assert sock.endpoint.connections == 0

    run(main)


@contextmanager
def everything_closed() -> Iterator[None]:
    """Sockets and tasks that are left behind are errors."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_nothing_is_left_when_the_loop_ends_in_the_middle() -> None:
    kept: list[Pair] = []

    async def main() -> None:
        server = await start_server(lambda *ends: kept.append(ends), *LOCAL)
        kept.append(await open_connection(*server.local_address))
        kept[0][1].write(CONTENT)
        await until(lambda: len(kept) == 2)

    with everything_closed():
        asyncio.run(main())


def test_a_server_is_cancelled_while_clients_talk() -> None:
    async def main() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while octets := await reader.read(100):
                    writer.write(octets)
            except ConnectionError:
                pass

        server = await start_server(echo, *LOCAL)
        address = server.local_address

        async def serve() -> None:
            async with server:
                await server.serve_forever()

        serving = asyncio.create_task(serve())
        reader, writer = await open_connection(*address)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert not server.is_serving()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        # The port is free again.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(address)

    with everything_closed():
        asyncio.run(main())


def test_a_closed_server_refuses_and_its_connections_go_on(run: Run) -> None:
    async def main() -> None:
        accepted: asyncio.Queue[Pair] = asyncio.Queue()
        server = await start_server(lambda *ends: accepted.put_nowait(ends), *LOCAL)
        reader, writer = await open_connection(*server.local_address)
        writer.write(b"first")
        their_reader, their_writer = await accepted.get()
        server.close()
        with pytest.raises(ConnectionRefusedError):
            await open_connection(*server.local_address)
        writer.write(b" second")
        writer.write_eof()
        assert await their_reader.read(-1) == b"first second"
        their_writer.close()
        assert await reader.read(-1) == b""
        writer.close()
        await server.wait_closed()

    run(main)


def test_many_connections_share_two_sockets(run: Run) -> None:
    async def main() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while octets := await reader.read(65536):
                writer.write(octets)
                await writer.drain()
            writer.close()

        async def one(sock: UtpSocket, server: UtpServer, number: int) -> None:
            reader, writer = await sock.open_connection(*server.local_address)
            content = number.to_bytes(2, "big") * 10_000
            writer.write(content)
            writer.write_eof()
            assert await reader.read(-1) == content
            writer.close()
            await writer.wait_closed()

        async with await start_server(echo, *LOCAL) as server, await UtpSocket.open(*LOCAL) as sock:
            await asyncio.gather(*(one(sock, server, number) for number in range(100)))
            await until(lambda: not sock.connections)
            sock.abort()

    run(main)


def test_one_socket_listens_and_dials(run: Run) -> None:
    """As BitTorrent peers do: each dials the other from the port that it listens on."""

    async def main() -> None:
        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()

        async with await UtpSocket.open(*LOCAL) as left, await UtpSocket.open(*LOCAL) as right:
            left.start_server(greet)
            right.start_server(greet)
            for here, there in ((left, right), (right, left)):
                reader, writer = await here.open_connection(*there.local_address)
                assert writer.get_extra_info("sockname") == here.local_address
                writer.write(b"hello\n")
                assert await reader.read(-1) == b"hello\n"
                writer.close()
                await writer.wait_closed()
            left.abort()
            right.abort()

    run(main)


def test_ipv6_and_both_families_on_one_socket(run: Run) -> None:
    async def main() -> None:
        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(str(writer.get_extra_info("peername")[0]).encode())
            await reader.read(1)
            writer.close()

        server = await start_server(greet, "::", 0)
        for host in ("::1", "127.0.0.1"):
            reader, writer = await open_connection(host, server.local_address[1])
            writer.write(b".")
            assert await reader.read(-1) == host.encode()
            writer.close()
            await writer.wait_closed()
        server.abort()

    run(main)


def test_a_protocol_that_raises_ends_its_connection_only(run: Run) -> None:
    class Broken(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            raise ValueError("broken")

    async def main() -> None:
        told: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["message"]))
        async with await UtpSocket.open(*LOCAL) as server, await UtpSocket.open(*LOCAL) as client:
            server.listen(Broken)
            reader, writer = await client.open_connection(*server.local_address)
            writer.write(b"break")
            with pytest.raises(ConnectionResetError):
                await reader.read()
            assert "the protocol raised" in told[0]
            theirs: list[asyncio.StreamWriter] = []

            def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                theirs.append(writer)
                writer.write_eof()

            server.start_server(serve)
            reader, writer = await client.open_connection(*server.local_address)
            writer.write(b".")
            assert await reader.read() == b""
            theirs[0].close()
            client.abort()
            server.abort()

    run(main)


def test_the_controller_is_the_users_choice(run: Run) -> None:
    made: list[Ledbat] = []

    def controller(mss: int) -> Ledbat:
        made.append(Ledbat(mss=mss))
        return made[-1]

    async def main() -> None:
        async with pair(UtpOptions(controller=controller)) as ((_, writer), (reader, _)):
            writer.write(CONTENT)
            assert await reader.readexactly(len(CONTENT)) == CONTENT

    run(main)
    assert len(made) == 2
    assert max(one.srtt or 0 for one in made) > 0  # it was told of acknowledgements


def test_datagrams_fit_the_first_link_and_are_not_fragmented(run: Run) -> None:
    async def main() -> None:
        content = os.urandom(1_000_000)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(-1)
            writer.close()

        server = await start_server(serve, *LOCAL)
        async with server, Relay(server.local_address) as relay:
            _, writer = await open_connection(*relay.address)
            writer.write(content)
            writer.close()
            await writer.wait_closed()
            await relay.finished.wait()
            sizes = {len(seen.octets) for seen in relay.seen if seen.packet.type is PacketType.DATA}
            assert max(sizes) == 1472
            server.abort()

    run(main)
