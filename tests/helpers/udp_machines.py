"""What the tests of the UDP driver share: both loops, a machine for it to drive, sockets, waiting."""

import asyncio
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvloop

from interop.udp import Address, Datagram

LOOPBACK = ("127.0.0.1", 0)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="UDP_SEGMENT, UDP_GRO and SO_RXQ_OVFL are Linux's")

Run = Callable[[Callable[[], Awaitable[None]]], None]


def runner_on(name: str) -> Run:
    """What runs a coroutine function on the loop of that name, for at most 60 seconds."""
    factory = uvloop.new_event_loop if name == "uvloop" else None

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


def plain_socket() -> socket.socket:
    """A plain blocking socket on loopback with a large buffer and a time limit."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(LOOPBACK)
    sock.settimeout(60)
    return sock


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the machines know no asyncio.Event
        await asyncio.sleep(0.001)


async def receive(sock: socket.socket, count: int) -> list[bytes]:
    """Take `count` datagrams from a blocking socket without blocking the loop."""
    return await asyncio.to_thread(lambda: [sock.recv(65_536) for _ in range(count)])
