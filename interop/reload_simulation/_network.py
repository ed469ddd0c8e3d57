"""Links between hosts: what they take, what they lose, and when a host notices that the other one is gone."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from math import hypot
from typing import Protocol

from interop.reload_simulation._traffic import Traffic
from interop.simulation import Engine

ACROSS = 0.06
"""Seconds from one side of the world to the other, one way; each host adds its own way to the next exchange."""
MEAN_ACCESS = 0.008
CONSENT = (15.0, 30.0)
"""Seconds after which a silent end is noticed by the checks of ICE, which tell within 30 (RFC 7675 section 5.1)."""
UNACKNOWLEDGED, CLOSED = 1.75, 7.75
"""Seconds after which nobody has acknowledged the third retransmission of a message, and the last one: a link is out of
use then, and closed (RFC 6940 section 6.6.3), with a timeout of 0.25 s, as the round-trip times here lead to."""
CONNECTING = 10.0
"""Seconds after which it is given up to connect."""
_ROUND_TRIPS = 3
"""Round trips of a check of ICE and of a DTLS 1.2 handshake."""


class End(Protocol):
    """A host, to the network."""

    @property
    def number(self) -> int:
        """Names it."""
        ...

    @property
    def is_up(self) -> bool:
        """Whether it is there."""
        ...

    @property
    def connections(self) -> dict[int, tuple[Connection, int]]:
        """Its links that are open, and which of the two ends of each is its own."""
        ...

    def established(self, connection: Connection, side: int, peer: End, attach: int | None) -> None:
        """A connection is there; it is to be opened, if it is wanted."""
        ...

    def receive(self, link: int, octets: bytes) -> None:
        """A message came."""
        ...

    def lost(self, link: int) -> None:
        """The link is closed, or was found to lead nowhere."""
        ...

    def is_failing(self, link: int, failing: bool) -> None:
        """Messages are not acknowledged any more, or are again."""
        ...

    def not_connected(self, attach: int | None) -> None:
        """An Attach has come to nothing, or without a number, a connection that this end wanted for itself."""
        ...


class Network:
    """Where the hosts are, and which of them reach one another."""

    def __init__(
        self,
        engine: Engine,
        traffic: Traffic,
        seed: int,
        *,
        loss: float = 0.0,
        make_connection: Callable[[Network, tuple[End, End]], Connection] | None = None,
    ) -> None:
        """`loss` is the share of datagrams that are lost."""
        self._make = make_connection or Connection
        self.engine = engine
        self.traffic = traffic
        self.loss = loss
        self.random = random.Random(f"{seed}/network")
        self._seed = seed
        self._places: dict[int, tuple[float, float, float]] = {}
        self._island: dict[int, int] = {}
        self._connections: dict[Connection, None] = {}

    def latency_us(self, one: int, other: int) -> int:
        """Microseconds from one host to the other."""
        (x, y, access), (x2, y2, access2) = self._place(one), self._place(other)
        return int(1e6 * (access + access2 + ACROSS * hypot(x - x2, y - y2))) + 1

    def _place(self, number: int) -> tuple[float, float, float]:
        place = self._places.get(number)
        if place is None:
            chance = random.Random(f"{self._seed}/place/{number}")
            place = chance.random(), chance.random(), chance.expovariate(1 / MEAN_ACCESS)
            self._places[number] = place
        return place

    def reaches(self, one: End, other: End) -> bool:
        """Whether what one host sends gets to the other."""
        return other.is_up and self.same_island(one, other)

    def same_island(self, one: End, other: End) -> bool:
        """Whether no cut is between the hosts."""
        return self._island.get(one.number, 0) == self._island.get(other.number, 0)

    def connect(self, ends: tuple[End, End], attaches: tuple[int | None, int | None]) -> None:
        """Connect two hosts, the second of which is the server; each is told when the handshake is over."""
        connection = self._make(self, ends)
        wait_us = 2 * _ROUND_TRIPS * connection.delay_us
        self.engine.post(self.engine.now_us + wait_us, connection.establish, 1, attaches[1])
        self.engine.post(self.engine.now_us + wait_us + connection.delay_us, connection.establish, 0, attaches[0])

    def cut_off(self, hosts: Collection[End]) -> None:
        """From now on these hosts and all the others do not reach one another."""
        self._island = {host.number: 1 for host in hosts}
        for connection in list(self._connections):
            if not self.same_island(*connection.ends):
                connection.sever()

    def heal(self) -> None:
        """All hosts that are there reach one another again; links of which only one end is left are noticed."""
        self._island = {}
        for connection in list(self._connections):
            connection.mend()

    def opened(self, connection: Connection) -> None:
        """A connection exists."""
        self._connections[connection] = None

    def closed(self, connection: Connection) -> None:
        """A connection exists no longer."""
        self._connections.pop(connection, None)


class Connection:
    """A connection between two hosts; the link of each has a number of its own there, None while it is not open."""

    __slots__ = ("_failing", "_network", "_unacknowledged", "delay_us", "ends", "links")

    def __init__(self, network: Network, ends: tuple[End, End]) -> None:
        self.ends = ends
        self.links: list[int | None] = [None, None]
        self.delay_us = network.latency_us(ends[0].number, ends[1].number)
        self._network = network
        # When each end will find out that the other one is silent; None while nothing is wrong.
        self._failing: list[int | None] = [None, None]
        # Since when an end sends in vain.
        self._unacknowledged: list[int | None] = [None, None]

    def establish(self, side: int, attach: int | None) -> None:
        """The handshake is over at this end."""
        host, peer = self.ends[side], self.ends[1 - side]
        if not host.is_up:
            self._fail(1 - side, CLOSED)
            return
        if not self._network.reaches(host, peer) or (side == 0 and self.links[1] is None):
            if attach is not None or side == 0:
                host.not_connected(attach)
            self._fail(1 - side, CLOSED)
            return
        self._failing = [None, None]
        host.established(self, side, peer, attach)
        if side == 0 and self.links[0] is None:
            self._network.engine.post(self._network.engine.now_us + self.delay_us, self._lose, 1)

    def open(self, side: int, link: int) -> None:
        """This end is the link of that number from now on."""
        self.links[side] = link
        self.ends[side].connections[link] = self, side
        self._network.opened(self)

    def send(self, side: int, octets: bytes) -> None:
        """Take a message to the other end, if it gets there."""
        network = self._network
        engine = network.engine
        host, peer = self.ends[side], self.ends[1 - side]
        network.traffic.see(engine.now_us, host.number, peer.number, octets, is_stale=not peer.is_up)
        if self._gets_through(side):
            engine.post(engine.now_us + self.delay_us, self._deliver, 1 - side, octets)
        elif not network.reaches(host, peer):
            self._go_unacknowledged(side)

    def _gets_through(self, side: int) -> bool:
        """Whether what is sent at this end now will come to the other one."""
        network = self._network
        if not network.reaches(self.ends[side], self.ends[1 - side]):
            return False
        return not network.loss or network.random.random() >= network.loss

    def _deliver(self, side: int, octets: bytes) -> None:
        link, host = self.links[side], self.ends[side]
        if link is not None and host.is_up:
            host.receive(link, octets)

    def vanish(self, side: int) -> None:
        """The host at this end is no longer there, without a word."""
        self._forget(side)
        self._fail(1 - side, self._network.random.uniform(*CONSENT))

    def close(self, side: int) -> None:
        """This end is closed; the other one is told, if that is possible."""
        self._forget(side)
        other = 1 - side
        if self.links[other] is not None:
            if self._network.reaches(self.ends[side], self.ends[other]):
                engine = self._network.engine
                engine.post(engine.now_us + self.delay_us, self._lose, other)
            else:
                self.sever()

    def sever(self) -> None:
        """Nothing gets across any more: each end that is there notices after a while."""
        for side in (0, 1):
            self._fail(side, self._network.random.uniform(*CONSENT))

    def mend(self) -> None:
        """Messages get across again, unless an end is closed already: then the other one notices."""
        if None not in self.links:
            if all(end.is_up for end in self.ends):
                self._failing = [None, None]
                self._recover(0)
                self._recover(1)
        else:
            self.sever()

    def _go_unacknowledged(self, side: int) -> None:
        """What was sent at this end will not be acknowledged."""
        if self._unacknowledged[side] is None:
            engine = self._network.engine
            self._unacknowledged[side] = engine.now_us
            engine.post(engine.now_us + int(UNACKNOWLEDGED * 1e6), self._suspect, side, engine.now_us)
            self._fail(side, CLOSED)

    def _suspect(self, side: int, since_us: int) -> None:
        link = self.links[side]
        if link is not None and self.ends[side].is_up and self._unacknowledged[side] == since_us:
            self.ends[side].is_failing(link, True)

    def _recover(self, side: int) -> None:
        """What is sent is acknowledged again."""
        link, since_us = self.links[side], self._unacknowledged[side]
        self._unacknowledged[side] = None
        if link is not None and since_us is not None:
            self.ends[side].is_failing(link, False)

    def _fail(self, side: int, seconds: float) -> None:
        """Lose the link at this end in so many seconds, if not before."""
        if self.links[side] is None or not self.ends[side].is_up:
            return
        engine = self._network.engine
        at_us = engine.now_us + int(seconds * 1e6)
        planned = self._failing[side]
        if planned is None or at_us < planned:
            self._failing[side] = at_us
            engine.post(at_us, self._give_up, side, at_us)

    def _give_up(self, side: int, at_us: int) -> None:
        if self._failing[side] == at_us:
            self._lose(side)

    def _lose(self, side: int) -> None:
        link, host = self.links[side], self.ends[side]
        if link is not None and host.is_up:
            self.close(side)
            host.lost(link)

    def _forget(self, side: int) -> None:
        link = self.links[side]
        self.links[side] = None
        self._failing[side] = self._unacknowledged[side] = None
        if link is not None:
            self.ends[side].connections.pop(link, None)
        if self.links == [None, None]:
            self._network.closed(self)
