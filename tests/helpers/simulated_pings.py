"""Machines for the simulated network: one that pings and one that echoes."""

import struct
from collections.abc import Callable

from interop.simulation import Datagram, Link, Network, SimulatedAddress

A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"
PORT = 7000


class Pinger:
    """Sends numbered pings one after another, each again and again until its echo is there."""

    def __init__(self, peer: SimulatedAddress, count: int, *, interval: float = 0.5, random_bytes: Callable = bytes):
        self.peer = peer
        self.interval = interval
        self.pings = [struct.pack(">I", number) + random_bytes(20) for number in range(count)]
        self.answered: list[float] = []
        self.sent = 0
        self.timers: list[tuple[float | None, float]] = []
        self._due: float | None = 0.0

    @property
    def done(self) -> bool:
        return len(self.answered) == len(self.pings)

    def receive_datagram(self, data: memoryview, address: SimulatedAddress, now: float) -> None:
        if not self.done and data == self.pings[len(self.answered)]:
            self.answered.append(now)
            self._due = None if self.done else now

    def datagrams_to_send(self, now: float) -> list[tuple[Datagram, SimulatedAddress]]:
        if self._due is None or self._due > now:
            return []
        self._due = now + self.interval
        self.sent += 1
        ping = self.pings[len(self.answered)]
        return [((ping[:4], memoryview(ping)[4:]), self.peer)]

    def get_timer(self) -> float | None:
        return self._due

    def handle_timer(self, now: float) -> None:
        self.timers.append((self._due, now))


class Echo:
    """Sends everything back."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.received: list[memoryview] = []
        self._waiting: list[tuple[Datagram, SimulatedAddress]] = []

    def receive_datagram(self, data: memoryview, address: SimulatedAddress, now: float) -> None:
        self.received.append(data)
        self._waiting.append((bytes(data), address))

    def datagrams_to_send(self, now: float) -> list[tuple[Datagram, SimulatedAddress]]:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self.batches.append(len(waiting))
        return waiting

    def get_timer(self) -> float | None:
        return None

    def handle_timer(self, now: float) -> None:
        raise AssertionError("no timer was asked for")


def ping_pong(seed: int = 1, *, count: int = 20, link: Callable[[], Link] = Link) -> tuple[Network, Pinger, Echo]:
    network = Network(seed)
    a, b = network.host(A, up=link()), network.host(B, up=link())
    pinger, echo = Pinger((B, PORT), count, random_bytes=a.random_bytes), Echo()
    a.run(pinger, PORT)
    b.run(echo, PORT)
    return network, pinger, echo
