"""The UDP driver with a full send buffer, and with sockets and machines that fail."""

import asyncio
import errno
import itertools
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from udp_machines import LOOPBACK, Run, Scripted, Toy, linux_only, plain_socket, receive, runner_on, until

from interop import udp
from interop.udp import Address, UdpDriver


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine function on one of the two loops."""
    return runner_on(request.param)


@pytest.fixture
def plain() -> Iterator[socket.socket]:
    with plain_socket() as sock:
        yield sock


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    with Scripted() as sock:
        yield sock


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
        await until(lambda: bool(machine.timer_calls))
        await asyncio.sleep(0.1)
        assert len(machine.timer_calls) <= 30
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
