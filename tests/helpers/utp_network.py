"""A tiny network in virtual time for two or more uTP endpoints."""

import heapq
import itertools
import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from ledbat.utp import (
    Closed,
    Connected,
    DatagramDropped,
    EofReceived,
    Event,
    Finished,
    Incoming,
    Readable,
    UtpEndpoint,
    Writable,
)

A, B = ("192.0.2.1", 1), ("192.0.2.2", 2)


class Host:
    """One endpoint and a small application: it sends what it is told to, and keeps what arrives."""

    def __init__(self, network: "Network", address: Any, seed: int, **options: Any) -> None:
        options.setdefault("random_bytes", random.Random(seed).randbytes)
        self.network = network
        self.address = address
        self.endpoint = UtpEndpoint(**options)
        self.events: list[Event] = []
        self.dropped: list[DatagramDropped] = []
        self.received: dict[int, bytearray] = defaultdict(bytearray)
        self.unsent: dict[int, memoryview] = {}
        self.finish: set[int] = set()
        self.reading = True
        self.on_event: Callable[[Event], None] | None = None

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def incoming(self) -> int:
        return self.of(Incoming)[0].connection

    def connect(self, address: Any) -> int:
        number = self.endpoint.connect(address, self.network.now)
        self.network.poke(self)
        return number

    def send(self, number: int, data: bytes, *, finish: bool = False) -> None:
        """Send all of `data`, as fast as it is taken."""
        self.unsent[number] = memoryview(data)
        if finish:
            self.finish.add(number)
        self._go_on(number)
        self.network.poke(self)

    def _go_on(self, number: int) -> None:
        left = self.unsent.get(number)
        if left is not None:
            left = left[self.endpoint.send(number, left) :]
            self.unsent[number] = left
            if not left:
                del self.unsent[number]
                if number in self.finish:
                    self.finish.discard(number)
                    self.endpoint.shutdown(number)

    def read(self, number: int) -> None:
        self.received[number] += self.endpoint.receive(number)

    def take_events(self) -> bool:
        busy = False
        while (event := self.endpoint.next_event()) is not None:
            if isinstance(event, DatagramDropped):
                self.dropped.append(event)
                continue
            busy = True
            self.events.append(event)
            match event:
                case Readable(connection):
                    if self.reading:
                        self.read(connection)
                case Writable(connection):
                    self._go_on(connection)
                case Incoming() | Connected() | EofReceived() | Finished() | Closed():
                    pass
            if self.on_event is not None:
                self.on_event(event)
        return busy


class Network:
    """Delivers after `delay` seconds; `fate(data, source, destination, number)` decides what else happens.

    It returns the delays after which copies arrive: [] is a loss, two are a duplication.
    """

    def __init__(self, delay: float = 0.025, start: float = 1000.0) -> None:
        self.now = start
        self.delay = delay
        self.hosts: dict[Any, Host] = {}
        self.fate: Callable[[bytes, Any, Any, int], list[float]] = lambda *_: [self.delay]
        self.log: list[tuple[float, Any, bytes]] = []
        self.rate: float | None = None  # octets a second, of each direction
        self._free: dict[Any, float] = defaultdict(float)
        self._queue: list[tuple[float, int, Any, Any, bytes]] = []
        self._serial = itertools.count()
        self._sent = 0

    def host(self, address: Any, seed: int = 0, **options: Any) -> Host:
        host = Host(self, address, seed, **options)
        self.hosts[address] = host
        return host

    def pair(self, **options: Any) -> tuple[Host, Host]:
        return self.host(A, 1, **options), self.host(B, 2, **options)

    def connected(self, **options: Any) -> tuple[Host, Host, int, int]:
        """Two hosts and the number of a connection between them at each; the acceptor has been told."""
        a, b = self.pair(**options)
        number = a.connect(B)
        self.run(1.0)
        return a, b, number, b.incoming

    def poke(self, host: Host) -> None:
        """Let a host send and tell."""
        while True:
            batch = host.endpoint.datagrams_to_send(self.now)
            for datagram, address in batch:
                data = datagram if isinstance(datagram, bytes) else b"".join(datagram)
                self._launch(data, host.address, address)
            if not host.take_events() and not batch:
                return

    def _launch(self, data: bytes, source: Any, destination: Any) -> None:
        self._sent += 1
        self.log.append((self.now, source, data))
        start = self.now
        if self.rate is not None:
            start = self._free[source, destination] = max(self.now, self._free[source, destination]) + (
                len(data) / self.rate
            )
        for delay in self.fate(data, source, destination, self._sent):
            heapq.heappush(self._queue, (start + delay, next(self._serial), source, destination, data))

    def inject(self, data: bytes, source: Any, destination: Any) -> None:
        """A datagram out of nowhere, at once."""
        host = self.hosts[destination]
        host.endpoint.receive_datagram(memoryview(data), source, self.now)
        self.poke(host)

    def step(self, until: float) -> bool:
        """Go on to the next thing that happens; False when nothing does before `until`."""
        timers = [(due, host) for host in self.hosts.values() if (due := host.endpoint.get_timer()) is not None]
        due = min((due for due, _ in timers), default=float("inf"))
        arrival = self._queue[0][0] if self._queue else float("inf")
        if min(due, arrival) > until:
            self.now = until
            return False
        self.now = max(self.now, min(due, arrival))
        touched = {}
        for deadline, host in timers:
            if deadline <= self.now:
                host.endpoint.handle_timer(self.now)
                touched[host.address] = host
        while self._queue and self._queue[0][0] <= self.now:
            _, _, source, destination, data = heapq.heappop(self._queue)
            host = self.hosts.get(destination)
            if host is not None:
                host.endpoint.receive_datagram(memoryview(data), source, self.now)
                touched[destination] = host
        for host in touched.values():
            self.poke(host)
        return True

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.step(until):
            pass

    def run_until(self, done: Callable[[], bool], limit: float = 600.0) -> None:
        """Run until `done()`; fails when that takes more than `limit` seconds of virtual time."""
        until = self.now + limit
        while not done():
            if not self.step(until):
                raise AssertionError(f"not done after {limit} s")
