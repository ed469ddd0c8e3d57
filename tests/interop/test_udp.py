"""The UDP driver over real sockets on loopback, on asyncio's loop and on uvloop: traffic, timers, events, the end."""

import asyncio
import errno
import itertools
import socket
import sys
from collections.abc import Iterator

import pytest
from udp_machines import LOOPBACK, Run, Scripted, Toy, plain_socket, receive, runner_on, until

from interop.udp import Address, Datagram, UdpDriver


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine function on one of the two loops."""
    return runner_on(request.param)


@pytest.fixture
def plain() -> Iterator[socket.socket]:
    with plain_socket() as sock:
        yield sock


# -- plain traffic ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("offload", [True, False])
def test_a_datagram_goes_there_and_back(run: Run, host: str, offload: bool) -> None:
    async def main() -> None:
        server, client = Toy(echo=True), Toy()
        there = await UdpDriver.open(server, (host, 0), offload=offload)
        here = await UdpDriver.open(client, (host, 0), offload=offload)
        client.bursts.append([(b"hello", there.local_address), ((b"wor", memoryview(b"ld!")), there.local_address)])
        here.wake()
        await until(lambda: len(client.received) == 2)
        assert client.received == [b"hello", b"world!"]
        assert client.sources == [there.local_address] * 2
        assert server.sources == [here.local_address] * 2
        assert (here.stats.datagrams_out, here.stats.octets_out) == (2, 11)
        assert (here.stats.datagrams_in, here.stats.octets_in) == (2, 11)
        here.close()
        there.close()

    run(main)


def test_a_dual_stack_driver_speaks_ipv4_under_ipv4_addresses(run: Run, plain: socket.socket) -> None:
    async def main() -> None:
        machine = Toy(echo=True)
        driver = await UdpDriver.open(machine, ("::", 0))
        plain.sendto(b"four", ("127.0.0.1", driver.local_address[1]))
        assert await receive(plain, 1) == [b"four"]
        assert machine.sources == [plain.getsockname()]
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six:
            six.bind(("::1", 0))
            six.settimeout(60)
            six.sendto(b"six", ("::1", driver.local_address[1]))
            assert await receive(six, 1) == [b"six"]
            assert machine.sources[1] == six.getsockname()
        driver.close()

    run(main)


def test_an_address_in_use_raises_os_error_and_leaves_no_socket(run: Run, plain: socket.socket) -> None:
    async def main() -> None:
        with pytest.raises(OSError) as caught:
            await UdpDriver.open(Toy(), plain.getsockname())
        assert caught.value.errno == errno.EADDRINUSE

    run(main)


def test_one_socket_serves_a_thousand_peers(run: Run) -> None:
    async def main() -> None:
        machine = Toy(echo=True)
        driver = await UdpDriver.open(machine, LOOPBACK)
        peers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(1000)]
        for number, peer in enumerate(peers):
            peer.settimeout(60)
            peer.sendto(b"%d" % number, driver.local_address)
        answers = await asyncio.to_thread(lambda: [peer.recv(100) for peer in peers])
        assert answers == [b"%d" % number for number in range(1000)]
        assert len(set(machine.sources)) == 1000
        for peer in peers:
            peer.close()
        driver.close()

    run(main)


@pytest.mark.parametrize("offload", [True, False])
def test_ten_thousand_datagrams_go_both_ways(run: Run, offload: bool) -> None:
    async def main() -> None:
        machines = Toy(), Toy()
        drivers = [await UdpDriver.open(machine, LOOPBACK, offload=offload) for machine in machines]
        expected = [number.to_bytes(4, "big") + bytes(1041) for number in range(10_000)]
        for machine, to in zip(machines, (drivers[1], drivers[0]), strict=True):
            for start in range(0, 10_000, 64):
                machine.bursts.append([(datagram, to.local_address) for datagram in expected[start : start + 64]])
        for driver in drivers:
            driver.wake()
        await until(lambda: all(len(machine.received) == 10_000 for machine in machines))
        assert machines[0].received == expected
        assert machines[1].received == expected
        for driver in drivers:
            assert driver.stats.datagrams_out == driver.stats.datagrams_in == 10_000
            assert driver.stats.octets_out == driver.stats.octets_in == 10_450_000
            if not offload:
                assert driver.stats.send_calls == driver.stats.receive_calls == 10_000
            driver.close()

    run(main)


def test_a_machine_that_always_sends_does_not_keep_its_driver_from_reading(run: Run, plain: socket.socket) -> None:
    class Greedy(Toy):
        def datagrams_to_send(self, now: float) -> list[tuple[Datagram, Address]]:
            return [] if self.received else [(b"more", plain.getsockname())]

    async def main() -> None:
        machine = Greedy()
        driver = await UdpDriver.open(machine, LOOPBACK)
        await until(lambda: driver.stats.datagrams_out > 256)
        plain.sendto(b"stop", driver.local_address)
        await until(lambda: machine.received == [b"stop"])
        driver.close()

    run(main)


def test_the_clock_is_read_after_every_receive_call(run: Run, plain: socket.socket) -> None:
    async def main() -> None:
        machine, ticks = Toy(), itertools.count()
        driver = await UdpDriver.open(machine, LOOPBACK, clock=lambda: float(next(ticks)))
        for _ in range(10):
            plain.sendto(b"x", driver.local_address)
        await until(lambda: len(machine.times) == 10)
        assert len(set(machine.times)) == 10
        assert machine.times == sorted(machine.times)
        driver.close()

    run(main)


def test_the_granted_buffers_are_known(run: Run) -> None:
    async def main() -> None:
        with Scripted() as sock:
            driver = UdpDriver(Toy(), sock)
            size = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            assert driver.receive_buffer == (size // 2 if sys.platform == "linux" else size)
            assert driver.send_buffer > 0
            driver.close()

    run(main)


# -- timers, events, the end -----------------------------------------------------------------------------------------


def test_the_timer_is_handled_at_its_deadline_and_not_before(run: Run) -> None:
    async def main() -> None:
        machine = Toy()
        driver = await UdpDriver.open(machine, LOOPBACK, clock=asyncio.get_running_loop().time)
        machine.deadline = deadline = asyncio.get_running_loop().time() + 0.03
        driver.wake()
        await until(lambda: len(machine.timer_calls) == 1)
        assert deadline <= machine.timer_calls[0] < deadline + 1
        driver.close()

    run(main)


def test_a_deadline_that_moves_is_followed_both_ways(run: Run) -> None:
    async def main() -> None:
        machine = Toy()
        now = asyncio.get_running_loop().time
        driver = await UdpDriver.open(machine, LOOPBACK, clock=now)
        started = now()
        for offset in (5.0, 0.02, 0.06):
            machine.deadline = started + offset
            driver.wake()
            await asyncio.sleep(0)
        await until(lambda: len(machine.timer_calls) == 1)
        assert started + 0.06 <= machine.timer_calls[0] < started + 4
        driver.close()

    run(main)


def test_events_are_announced_after_a_batch(run: Run, plain: socket.socket) -> None:
    async def main() -> None:
        machine = Toy()
        seen: list[int] = []
        driver = await UdpDriver.open(machine, LOOPBACK, on_events=lambda: seen.append(len(machine.received)))
        plain.sendto(b"x", driver.local_address)
        await until(lambda: len(machine.received) == 1)
        assert seen[-1] == 1
        driver.close()

    run(main)


def test_closing_sends_the_last_words_once_and_is_final(run: Run, plain: socket.socket) -> None:
    async def main() -> None:
        machine = Toy()
        driver = await UdpDriver.open(machine, LOOPBACK)
        await asyncio.sleep(0)
        machine.bursts.append([(b"goodbye", plain.getsockname())])
        driver.close()
        driver.close()
        asked = machine.asked
        driver.wake()
        assert await receive(plain, 1) == [b"goodbye"]
        await driver.wait_closed()
        plain.sendto(b"too late", driver.local_address)
        await asyncio.sleep(0.01)
        assert (driver.closed, machine.received, machine.asked) == (True, [], asked)

    run(main)


def test_a_driver_may_be_closed_while_it_is_busy(run: Run) -> None:
    class Busy(Toy):
        def datagrams_to_send(self, now: float) -> list[tuple[Datagram, Address]]:
            return [(bytes(1000), self.peer)] * 32

        peer: Address = None

    async def main() -> None:
        machines = Busy(), Busy()
        machines[0].peer = machines[1].peer = ("127.0.0.1", 9)
        drivers = [await UdpDriver.open(machine, LOOPBACK) for machine in machines]
        machines[0].peer, machines[1].peer = drivers[1].local_address, drivers[0].local_address
        await until(lambda: drivers[0].stats.datagrams_in > 1000)
        for driver in drivers:
            driver.close()
        counts = [driver.stats.datagrams_in for driver in drivers]
        await asyncio.sleep(0.01)
        assert counts == [driver.stats.datagrams_in for driver in drivers]

    run(main)


def test_a_driver_may_be_closed_from_its_events(run: Run, plain: socket.socket) -> None:
    async def main() -> None:
        machine = Toy(echo=True)
        drivers: list[UdpDriver] = []

        def on_events() -> None:
            if machine.received:
                drivers[0].close()

        drivers.append(await UdpDriver.open(machine, LOOPBACK, on_events=on_events))
        plain.sendto(b"last", drivers[0].local_address)
        await drivers[0].wait_closed()
        assert await receive(plain, 1) == [b"last"]

    run(main)
