"""The UDP driver where the system cuts and joins datagrams, and where a machine searches for long ones."""

import errno
import socket
import struct
from collections.abc import Callable, Iterator

import pytest
from udp_machines import LOOPBACK, Run, Scripted, Toy, linux_only, plain_socket, receive, runner_on, until

from interop._udp_offload import SOL_UDP, UDP_GRO, UDP_SEGMENT
from interop.udp import Address, UdpDriver


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine function on one of the two loops."""
    return runner_on(request.param)


class PathToy(Toy):
    """A machine that would look for the longest datagrams."""

    limit: int | None = None
    fragmentable = False

    def __init__(self) -> None:
        super().__init__()
        self.too_long: list[tuple[Address, int]] = []

    def search_path_mtu(self, limit: int, *, exempt: Callable[[Address], bool] = lambda address: False) -> None:
        self.limit = limit

    def datagram_too_long(self, address: Address, size: int, now: float) -> None:
        self.too_long.append((address, size))


@pytest.fixture
def plain() -> Iterator[socket.socket]:
    with plain_socket() as sock:
        yield sock


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    with Scripted() as sock:
        yield sock


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


# -- path MTU --------------------------------------------------------------------------------------------------------


@linux_only
@pytest.mark.parametrize(("host", "level", "option"), [("127.0.0.1", 0, 10), ("::1", 41, 23), ("::", 0, 10)])
def test_a_machine_that_searches_for_long_datagrams_gets_a_socket_that_keeps_them_whole(
    run: Run, host: str, level: int, option: int
) -> None:
    async def main() -> None:
        machine = PathToy()
        driver = await UdpDriver.open(machine, (host, 0), max_datagram=9000)
        assert machine.limit == 9000
        assert driver._sock.getsockopt(level, option) == 3, "IP_PMTUDISC_PROBE"
        driver.close()

    run(main)


@pytest.mark.parametrize(("machine", "most"), [(PathToy(), None), (Toy(), 9000)], ids=["not asked to", "cannot"])
def test_other_machines_have_the_systems_socket(run: Run, machine: Toy, most: int | None) -> None:
    async def main() -> None:
        driver = await UdpDriver.open(machine, LOOPBACK, max_datagram=most)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            assert driver._sock.getsockopt(0, 10) == other.getsockopt(0, 10)
        driver.close()
        assert getattr(machine, "limit", None) is None

    run(main)


@linux_only
def test_the_machine_is_told_what_is_too_long_and_for_whom(run: Run, scripted: Scripted, plain: socket.socket) -> None:
    async def main() -> None:
        machine = PathToy()
        driver = UdpDriver(machine, scripted, max_datagram=9000)
        scripted.fail_sendto = iter([errno.EMSGSIZE])
        for octets in (bytes(2094), b"x"):
            machine.bursts.append([(octets, plain.getsockname())])
        driver.wake()
        assert await receive(plain, 1) == [b"x"]
        assert machine.too_long == [(plain.getsockname(), 2094)]
        driver.close()

    run(main)


@linux_only
def test_an_ipv4_peer_of_a_dual_stack_socket_is_named_as_the_machine_knows_it(run: Run, plain: socket.socket) -> None:
    """Over loopback no packet of IPv4 holds 65,508 octets."""

    async def main() -> None:
        machine = PathToy()
        driver = await UdpDriver.open(machine, ("::", 0), max_datagram=9000)
        machine.bursts.append([(bytes(65_508), ("127.0.0.1", 9)), (b"x", plain.getsockname())])
        driver.wake()
        assert await receive(plain, 1) == [b"x"]
        assert machine.too_long == [(("127.0.0.1", 9), 65_508)]
        driver.close()

    run(main)
