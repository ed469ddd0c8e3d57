"""The UDP driver over real sockets on loopback, on asyncio's loop and on uvloop."""

import asyncio
import errno
import itertools
import socket
import struct
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvloop

from interop import udp
from interop._udp_offload import SOL_UDP, UDP_GRO, UDP_SEGMENT
from interop.udp import Address, Datagram, UdpDriver

LOOPBACK = ("127.0.0.1", 0)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="UDP_SEGMENT, UDP_GRO and SO_RXQ_OVFL are Linux's")

Run = Callable[[Callable[[], Awaitable[None]]], None]


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


class Toy:
    """A machine that keeps what it receives and sends the bursts put into `bursts`."""

    def __init__(self, *, echo: bool = False) -> None:
        self.echo = echo
        self.received: list[bytes] = []
        self.sources: list[Address] = []
        self.times: list[float] = []
        self.bursts: deque[list[tuple[Datagram, Address]]] = deque()
        self.asked = 0
        self.deadline: float | None = None
        self.timer_calls: list[float] = []

    def receive_datagram(self, data: memoryview, address: Address, now: float) -> None:
        self.received.append(bytes(data))
        self.sources.append(address)
        self.times.append(now)
        if self.echo:
            self.bursts.append([(bytes(data), address)])

    def datagrams_to_send(self, now: float) -> list[tuple[Datagram, Address]]:
        self.asked += 1
        return self.bursts.popleft() if self.bursts else []

    def get_timer(self) -> float | None:
        return self.deadline

    def handle_timer(self, now: float) -> None:
        self.timer_calls.append(now)
        self.deadline = None


class Scripted(socket.socket):
    """A UDP socket whose calls fail as `fail_sendto` and `fail_receive` say, one entry a call."""

    def __init__(self) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_DGRAM)
        self.bind(LOOPBACK)
        self.fail_sendto: Iterator[int] = iter(())
        self.fail_receive: Iterator[int] = iter(())
        self.flags = 0
        self.sendmsg_calls = 0
        self.sendto_calls = 0

    @staticmethod
    def _raise(script: Iterator[int]) -> None:
        number = next(script, 0)
        if number:
            raise OSError(number, "scripted")

    def sendmsg(self, *args: Any) -> int:
        self.sendmsg_calls += 1
        return super().sendmsg(*args)

    def sendto(self, *args: Any) -> int:
        self.sendto_calls += 1
        self._raise(self.fail_sendto)
        return super().sendto(*args)

    def recvmsg_into(self, *args: Any) -> Any:
        self._raise(self.fail_receive)
        length, ancillary, flags, address = super().recvmsg_into(*args)
        return length, ancillary, flags | self.flags, address


@pytest.fixture
def plain() -> Iterator[socket.socket]:
    """A plain blocking socket on loopback with a large buffer and a time limit."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind(LOOPBACK)
        sock.settimeout(60)
        yield sock


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    with Scripted() as sock:
        yield sock


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the machines know no asyncio.Event
        await asyncio.sleep(0.001)


async def receive(sock: socket.socket, count: int) -> list[bytes]:
    """Take `count` datagrams from a blocking socket without blocking the loop."""
    return await asyncio.to_thread(lambda: [sock.recv(65_536) for _ in range(count)])


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


# -- offload ---------------------------------------------------------------------------------------------------------


@linux_only
def test_segmented_sends_reach_a_plain_socket_in_order_with_their_boundaries(run: Run, plain: socket.socket) -> None:
    sizes = [1045] * 130 + [700, 1045, 1045, 3, 0, 0, 9, 1400] + [1400] * 60
    expected = [bytes([number % 251]) * size for number, size in enumerate(sizes)]

    async def main() -> None:
        machine = Toy()
        driver = await UdpDriver.open(machine, LOOPBACK)
        to = plain.getsockname()
        machine.bursts.append([((octets[:21], memoryview(octets)[21:]), to) for octets in expected])
        driver.wake()
        assert await receive(plain, len(expected)) == expected
        assert driver.segmentation
        assert driver.stats.datagrams_out == len(expected)
        assert driver.stats.send_calls < 15
        driver.close()

    run(main)


@linux_only
def test_a_coalesced_buffer_is_cut_into_its_datagrams(run: Run, plain: socket.socket) -> None:
    expected = [bytes([number]) * 1000 for number in range(20)] + [b"short"]

    async def main() -> None:
        machine = Toy()
        driver = await UdpDriver.open(machine, LOOPBACK)
        control = [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", 1000))]
        plain.sendmsg([b"".join(expected)], control, 0, driver.local_address)
        await until(lambda: len(machine.received) == 21)
        assert machine.received == expected
        assert (driver.stats.receive_calls, driver.stats.datagrams_in) == (1, 21)
        assert driver.stats.octets_in == 20_005
        driver.close()

    run(main)


@linux_only
def test_without_offload_neither_option_is_used(run: Run, scripted: Scripted, plain: socket.socket) -> None:
    async def main() -> None:
        machine = Toy()
        driver = UdpDriver(machine, scripted, offload=False)
        machine.bursts.append([(bytes(500), plain.getsockname())] * 10)
        assert await receive(plain, 10) == [bytes(500)] * 10
        assert (scripted.sendmsg_calls, scripted.sendto_calls) == (0, 10)
        assert not driver.coalescing
        assert not driver.segmentation
        assert scripted.getsockopt(SOL_UDP, UDP_GRO) == 0
        driver.close()

    run(main)


@linux_only
def test_a_bad_address_does_not_switch_segmentation_off(run: Run, plain: socket.socket) -> None:
    async def main() -> None:
        machine = Toy()
        driver = await UdpDriver.open(machine, LOOPBACK)
        machine.bursts.append([(b"lost", ("127.0.0.1", 0))] * 3 + [(b"kept", plain.getsockname())] * 3)
        driver.wake()
        assert await receive(plain, 3) == [b"kept"] * 3
        assert driver.segmentation
        assert driver.stats.send_errors == 3
        assert driver.stats.errors == {"EINVAL": 3}
        driver.close()

    run(main)


# -- a full send buffer ----------------------------------------------------------------------------------------------


def test_the_machine_is_not_asked_for_more_while_datagrams_wait(
    run: Run, scripted: Scripted, plain: socket.socket
) -> None:
    blocked = True
    scripted.fail_sendto = iter(lambda: errno.EAGAIN if blocked else 0, -1)

    async def main() -> None:
        nonlocal blocked
        machine = Toy()
        machine.bursts += [[(b"one", plain.getsockname())], [(b"two", plain.getsockname())]]
        driver = UdpDriver(machine, scripted)
        await asyncio.sleep(0.02)
        assert (machine.asked, driver.unsent) == (1, 1)
        plain.sendto(b"read all the same", driver.local_address)
        await until(lambda: len(machine.received) == 1)
        assert machine.asked == 1
        blocked = False
        assert await receive(plain, 2) == [b"one", b"two"]
        driver.close()

    run(main)


def test_a_kernel_short_of_buffers_is_asked_again_after_a_pause(
    run: Run, scripted: Scripted, plain: socket.socket
) -> None:
    scripted.fail_sendto = iter([errno.ENOBUFS, errno.ENOBUFS, errno.ENOBUFS])

    async def main() -> None:
        machine = Toy()
        machine.bursts.append([(b"patience", plain.getsockname())])
        driver = UdpDriver(machine, scripted)
        started = asyncio.get_running_loop().time()
        assert await receive(plain, 1) == [b"patience"]
        assert asyncio.get_running_loop().time() - started >= 0.012
        assert driver.stats.errors == {"ENOBUFS": 3}
        assert scripted.sendto_calls == 4
        driver.close()

    run(main)


def test_a_timer_that_waits_for_room_does_not_spin_while_the_send_buffer_is_full(run: Run, scripted: Scripted) -> None:
    class Impatient(Toy):
        def handle_timer(self, now: float) -> None:
            self.timer_calls.append(now)

    scripted.fail_sendto = itertools.repeat(errno.ENOBUFS)

    async def main() -> None:
        machine = Impatient()
        machine.deadline = 0.0
        machine.bursts.append([(b"never", ("127.0.0.1", 9))])
        driver = UdpDriver(machine, scripted)
        await asyncio.sleep(0.1)
        assert 1 <= len(machine.timer_calls) <= 30
        driver.close()

    run(main)


# -- errors ----------------------------------------------------------------------------------------------------------


def test_a_refused_port_is_counted_and_the_driver_goes_on(run: Run, scripted: Scripted, plain: socket.socket) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(LOOPBACK)
        nobody = gone.getsockname()
    # Only a connected socket hears of ICMP errors on Linux.
    scripted.connect(nobody)

    async def main() -> None:
        machine = Toy()
        driver = UdpDriver(machine, scripted)
        machine.bursts.append([(b"anybody?", nobody)])
        await until(lambda: driver.stats.receive_errors == 1)
        assert driver.stats.errors == {"ECONNREFUSED": 1}
        machine.bursts.append([(b"still here", plain.getsockname())])
        driver.wake()
        assert await receive(plain, 1) == [b"still here"]
        driver.close()

    run(main)


def test_an_address_that_no_socket_takes_is_counted(run: Run) -> None:
    async def main() -> None:
        machine = Toy()
        driver = await UdpDriver.open(machine, LOOPBACK)
        machine.bursts.append([(b"x", ("127.0.0.1", 70_000)), (b"x", ("::1", 7))])
        driver.wake()
        await until(lambda: driver.stats.send_errors == 2)
        assert not driver.closed
        driver.close()

    run(main)


def test_a_datagram_too_large_to_send_is_counted(run: Run, plain: socket.socket) -> None:
    async def main() -> None:
        machine = Toy()
        driver = await UdpDriver.open(machine, LOOPBACK)
        machine.bursts.append([(bytes(65_508), plain.getsockname()), (b"fits", plain.getsockname())])
        driver.wake()
        assert await receive(plain, 1) == [b"fits"]
        assert driver.stats.errors == {"EMSGSIZE": 1}
        driver.close()

    run(main)


def test_a_truncated_datagram_is_dropped_and_counted(run: Run, scripted: Scripted, plain: socket.socket) -> None:
    scripted.flags = socket.MSG_TRUNC

    async def main() -> None:
        machine = Toy()
        driver = UdpDriver(machine, scripted)
        plain.sendto(b"cut", driver.local_address)
        await until(lambda: driver.stats.truncated == 1)
        scripted.flags = 0
        plain.sendto(b"whole", driver.local_address)
        await until(lambda: machine.received == [b"whole"])
        assert driver.stats.datagrams_in == 1
        driver.close()

    run(main)


@linux_only
def test_datagrams_that_the_kernel_dropped_are_counted(
    run: Run, plain: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp, "BUFFER_SIZE", 4096)

    async def main() -> None:
        machine = Toy()
        driver = await UdpDriver.open(machine, LOOPBACK)
        for _ in range(100):
            plain.sendto(bytes(1000), driver.local_address)
        await until(lambda: len(machine.received) > 0)
        plain.sendto(b"last", driver.local_address)
        await until(lambda: machine.received[-1] == b"last")
        assert driver.stats.kernel_drops == 101 - len(machine.received) > 0
        driver.close()

    run(main)


class Failing(Toy):
    """A machine with a defect."""

    def receive_datagram(self, data: memoryview, address: Address, now: float) -> None:
        raise ZeroDivisionError("a defect")


def test_an_exception_in_the_machine_is_reported_and_closes_the_driver(run: Run, plain: socket.socket) -> None:
    async def main() -> None:
        reports: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
        driver = await UdpDriver.open(Failing(), LOOPBACK)
        plain.sendto(b"x", driver.local_address)
        with pytest.raises(ZeroDivisionError):
            await driver.wait_closed()
        assert driver.closed
        assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]

    run(main)


@pytest.mark.parametrize("verb", ["datagrams_to_send", "get_timer", "handle_timer"])
def test_every_call_of_the_machine_is_guarded(run: Run, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError(verb)

    async def main() -> None:
        reports: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
        machine = Toy()
        machine.deadline = 0.0
        monkeypatch.setattr(machine, verb, broken)
        driver = await UdpDriver.open(machine, LOOPBACK)
        with pytest.raises(ZeroDivisionError, match=verb):
            await driver.wait_closed()
        assert len(reports) == 1

    run(main)


def test_a_socket_that_fails_at_every_call_closes_the_driver(
    run: Run, scripted: Scripted, plain: socket.socket
) -> None:
    scripted.fail_receive = itertools.repeat(errno.ENOTCONN)

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        driver = UdpDriver(Toy(), scripted)
        plain.sendto(b"x", driver.local_address)
        with pytest.raises(OSError, match="scripted"):
            await driver.wait_closed()

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
