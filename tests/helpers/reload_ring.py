"""Rings of CHORD-RELOAD peers in virtual time, without nodes: what a topology asks for is done by the net itself."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from reload.chord import ChordReload
from reload.configuration import Configuration
from reload.contents import ErrorResponse, MessageCode, MessageExtension
from reload.destinations import Destination, NodeDestination, ResourceDestination
from reload.exchange import Failure, Request, Response
from reload.header import ForwardingHeader
from reload.methods import PingAns, ProbeAns, ProbeInformation, ProbeInformationType
from reload.ports import Identity
from reload.topology import Left, TopologyEvent

LATENCY = 0.03
TIMEOUT = 15.0
DETECTION = 3.0
"""Seconds until a link to a crashed node is known to be lost."""
TTL = 100


def node_id(number: int | str) -> bytes:
    """A Node-ID that is nowhere in particular."""
    return hashlib.sha1(f"node {number}".encode()).digest()[:16]


def configuration(**changes: Any) -> Configuration:
    """With the defaults of the RFC."""
    return Configuration("overlay.example.org", 1, 4e9, self_signed_permitted=True, **changes)


def identity(name: bytes) -> Identity:
    """Of a Node-ID."""
    return Identity(name, (name,), None, b"")


def header() -> ForwardingHeader:
    """One that no test looks into."""
    return ForwardingHeader(0, 1, ())


class Peer:
    """A node: the `Overlay` of its topology, and what else there is of it."""

    def __init__(self, net: Net, name: bytes, make: Callable[[Any, float], Any]) -> None:
        self.net = net
        self.node_id = name
        self.configuration = net.configuration
        self.random = random.Random(name.hex() + str(net.seed))
        self.links: dict[bytes, float] = {}
        self.values: dict[bytes, str] = {}
        self.moves = 0
        self.is_up = True
        self.born = net.now
        self.events: list[TopologyEvent] = []
        self.discovers = True
        self._wake = float("inf")
        self.topology = make(self, net.now)

    # Overlay

    @property
    def random_bytes(self) -> Callable[[int], bytes]:
        return self.random.randbytes

    def connected(self) -> Any:
        return self.links.keys()

    def is_quiet_since(self, peer: bytes) -> float | None:
        return self.links.get(peer)

    def request(
        self,
        destination_list: Sequence[Destination],
        message_code: int,
        body: Any,
        now: float,
        *,
        extensions: tuple[MessageExtension, ...] = (),
        first_hop: bytes | None = None,
    ) -> int:
        transaction = self.net.number()
        self.net.sent[MessageCode(message_code).name] += 1
        self.net.log.append((now, self.node_id, message_code, body))
        self.net.send(self, tuple(destination_list), first_hop, (transaction, message_code, body, extensions))
        return transaction

    def attach(self, destination_list: Sequence[Destination], now: float, *, send_update: bool = False) -> int:
        transaction = self.net.number()
        self.net.sent["ATTACH_REQ"] += 1
        self.net.log.append((now, self.node_id, "attach", tuple(destination_list)))
        self.net.send(self, tuple(destination_list), None, (transaction, MessageCode.ATTACH_REQ, send_update, ()))
        return transaction

    def disconnect(self, peer: bytes, now: float) -> None:
        self.net.cut(self.node_id, peer, tell=(peer,))

    def hand_over(self, peer: bytes, belongs: Callable[[bytes], bool], now: float) -> int:
        number = self.net.number()
        moved = {key: value for key, value in self.values.items() if belongs(key)}
        other = self.net.peers[peer]

        def arrive() -> None:
            other.values.update(moved)
            self.net.later(LATENCY, lambda: self.call(lambda now: self.topology.on_handed_over(number, now)))

        self.net.later(LATENCY, arrive)
        return number

    def placement_changed(self, now: float) -> None:
        self.moves += 1

    # The node

    def call(self, what: Callable[[float], Any]) -> Any:
        """Call the topology, and see what it wants afterwards."""
        if not self.is_up:
            return None
        result = what(self.net.now)
        while (event := self.topology.next_event()) is not None:
            self.events.append(event)
            if type(event).__name__ == "BootstrapWanted":
                self.net.discover(self)
            if isinstance(event, Left):
                self.net.crash(self.node_id, detection=0.01)
        due = self.topology.get_timer()
        if due is not None and due < self._wake:
            self._wake = due
            self.net.at(max(due, self.net.now), self._tick)
        return result

    def _tick(self) -> None:
        self._wake = float("inf")
        self.call(self.topology.handle_timer)

    @property
    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


class Net:
    """All nodes, and the time."""

    def __init__(self, seed: int = 1, make: Callable[[Any, float], Any] = ChordReload, **changes: Any) -> None:
        self.seed = seed
        self.now = 0.0
        self.random = random.Random(seed)
        self.configuration = configuration(**changes)
        self.make = make
        self.peers: dict[bytes, Peer] = {}
        self.sent: Counter[str] = Counter()
        self.log: deque[tuple[Any, ...]] = deque(maxlen=100_000)
        self.messages = 0
        self.refused: Callable[[bytes, bytes], bool] = lambda one, other: False
        """Whether two nodes cannot reach each other."""
        self._queue: list[tuple[float, int, Callable[[], Any]]] = []
        self._number = 0

    def number(self) -> int:
        self._number += 1
        return self._number

    def at(self, time: float, what: Callable[[], Any]) -> None:
        heapq.heappush(self._queue, (time, self.number(), what))

    def later(self, delay: float, what: Callable[[], Any]) -> None:
        self.at(self.now + delay, what)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _, what = heapq.heappop(self._queue)
            what()
        self.now = end

    # Nodes

    def add(self, name: bytes) -> Peer:
        peer = self.peers[name] = Peer(self, name, self.make)
        return peer

    def first(self, name: bytes) -> Peer:
        peer = self.add(name)
        peer.call(peer.topology.start)
        return peer

    def link(self, one: bytes, other: bytes) -> None:
        """A link without an Attach, as to a bootstrap node."""
        self.peers[one].links[other] = self.peers[other].links[one] = self.now

    def join(self, name: bytes, bootstrap: bytes) -> Peer:
        peer = self.add(name)
        self.link(name, bootstrap)
        peer.call(lambda now: peer.topology.join(bootstrap, now))
        return peer

    def ring(self, count: int, *, each: float = 3.0) -> list[bytes]:
        """So many joined one after the other."""
        names = [node_id(number) for number in range(count)]
        self.first(names[0])
        for name in names[1:]:
            self.join(name, self.random.choice([peer.node_id for peer in self.alive()]))
            self.run(each)
        return names

    def discover(self, peer: Peer) -> None:
        """What a driver does that is asked for a bootstrap node."""
        others = [
            other.node_id
            for other in self.alive()
            if other is not peer and not self.refused(peer.node_id, other.node_id)
        ]
        if others and peer.discovers:
            found = self.random.choice(others)

            def connect() -> None:
                if found in self.peers and self.peers[found].is_up and peer.is_up:
                    if found not in peer.links:
                        self.link(peer.node_id, found)
                    peer.call(lambda now: peer.topology.on_bootstrap(found, now))

            self.later(3 * LATENCY, connect)

    def crash(self, name: bytes, *, detection: float = DETECTION) -> None:
        peer = self.peers[name]
        peer.is_up = False
        for other in list(peer.links):
            self.later(detection, lambda other=other: self.cut(name, other, tell=(other,)))  # type: ignore[misc]

    def cut(self, one: bytes, other: bytes, *, tell: Iterable[bytes]) -> None:
        """Take a link away."""
        first, second = self.peers[one], self.peers[other]
        if second.links.pop(one, None) is None or first.links.pop(other, None) is None:
            return
        for name in tell:
            lost = other if name == one else one
            self.later(
                LATENCY,
                lambda name=name, lost=lost: (  # type: ignore[misc]
                    lost not in self.peers[name].links
                    and self.peers[name].call(lambda now: self.peers[name].topology.on_disconnected(lost, now))
                ),
            )

    def partition(self, groups: Sequence[set[bytes]]) -> None:
        """From now on, nodes of different groups do not reach each other."""
        where = {name: number for number, group in enumerate(groups) for name in group}
        self.refused = lambda one, other: where.get(one) != where.get(other)
        for one in list(self.peers):
            for other in list(self.peers[one].links):
                if self.refused(one, other):
                    self.cut(one, other, tell=(one, other))

    def heal(self) -> None:
        self.refused = lambda one, other: False

    def alive(self) -> list[Peer]:
        return [peer for peer in self.peers.values() if peer.is_up and peer.topology.is_joined]

    # Messages

    def send(self, origin: Peer, route: tuple[Destination, ...], first_hop: bytes | None, message: Any) -> None:
        answered: list[bool] = []

        def outcome(response: Any) -> None:
            if not answered:
                answered.append(True)
                origin.call(lambda now: self._tell(origin, message, response, now))

        self.later(TIMEOUT, lambda: outcome(None))
        self._hop(origin, origin, route, first_hop, message, 0, outcome)

    def _tell(self, origin: Peer, message: Any, response: Any, now: float) -> None:
        transaction, code, _, _ = message
        if code == MessageCode.ATTACH_REQ:
            origin.topology.on_attached(transaction, response, now)
        elif response is None:
            origin.topology.on_outcome(Failure(transaction), now)
        else:
            who, reply, *more = response
            if who in origin.links:
                origin.links[who] = now
            if isinstance(reply, ErrorResponse):
                origin.topology.on_outcome(Failure(transaction, reply, identity(who)), now)
            else:
                extensions = more[0] if more else ()
                answer = Response(transaction, code + 1, reply, identity(who), header(), extensions=extensions)
                origin.topology.on_outcome(answer, now)

    def _hop(
        self,
        origin: Peer,
        at: Peer,
        route: tuple[Destination, ...],
        first_hop: bytes | None,
        message: Any,
        hops: int,
        outcome: Callable[[Any], None],
        previous: bytes = b"",
    ) -> None:
        if not at.is_up or hops > TTL:
            return
        if previous in at.links:
            at.links[previous] = self.now
        while len(route) > 1 and route[0] == NodeDestination(at.node_id):
            route = route[1:]
        target = route[0].node_id if isinstance(route[0], NodeDestination) else route[0].resource_id  # type: ignore[union-attr]
        if first_hop is not None:
            hop: bytes | None = first_hop
        elif isinstance(route[0], NodeDestination) and (target == at.node_id or target in at.links):
            hop = None if target == at.node_id else target
        else:
            hop = at.topology.next_hop(target, previous or None)
            if hop is None and isinstance(route[0], NodeDestination):
                return
        if hop is None:
            self._deliver(origin, at, message, hops, outcome, previous)
        elif hop in at.links and not self.refused(at.node_id, hop):
            self.messages += 1
            after = self.peers[hop]
            self.later(
                LATENCY * (0.8 + 0.4 * self.random.random()),
                lambda: self._hop(origin, after, route, None, message, hops + 1, outcome, at.node_id),
            )

    def _deliver(
        self, origin: Peer, at: Peer, message: Any, hops: int, outcome: Callable[[Any], None], previous: bytes
    ) -> None:
        _, code, body, extensions = message
        back = max(hops, 1) * LATENCY
        self.messages += hops
        if code == MessageCode.PING_REQ:
            self.later(back, lambda: outcome((at.node_id, PingAns(0, 0))))
        elif code == MessageCode.PROBE_REQ:
            request = Request(code, body, identity(origin.node_id), header(), 0, previous, (), extensions)
            shared = at.topology.probe_extensions(request, self.now)
            uptime = ProbeInformation(ProbeInformationType.UPTIME, int(self.now - at.born))
            self.later(back, lambda: outcome((at.node_id, ProbeAns((uptime,)), shared)))
        elif code == MessageCode.ATTACH_REQ:
            self.later(back + 4 * LATENCY, lambda: self._connect(origin, at, body, outcome))
        else:
            request = Request(code, body, identity(origin.node_id), header(), 0, previous or origin.node_id)
            reply = at.call(lambda now: at.topology.on_request(request, now))
            self.later(back, lambda: outcome((at.node_id, getattr(reply, "body", reply))))

    def _connect(self, origin: Peer, at: Peer, send_update: bool, outcome: Callable[[Any], None]) -> None:
        if origin is at or not origin.is_up or not at.is_up or self.refused(origin.node_id, at.node_id):
            return
        self.link(origin.node_id, at.node_id)
        at.call(lambda now: at.topology.on_connected(origin.node_id, now, send_update=send_update))
        origin.call(lambda now: origin.topology.on_connected(at.node_id, now, send_update=False))
        outcome(at.node_id)

    # What should be

    def errors(self, *, count: int = 3, among: Iterable[bytes] | None = None) -> list[str]:
        """Where the neighbor tables are not what the Node-IDs of all peers make them."""
        alive = sorted(peer.node_id for peer in self.alive() if among is None or peer.node_id in among)
        found = []
        for at, name in enumerate(alive):
            table = self.peers[name].topology.table
            others = alive[at + 1 :] + alive[:at]
            if list(table.successors[:count]) != others[:count]:
                found.append(f"{name.hex()[:6]} successors {[x.hex()[:4] for x in table.successors]}")
            if list(table.predecessors[:count]) != others[::-1][:count]:
                found.append(f"{name.hex()[:6]} predecessors {[x.hex()[:4] for x in table.predecessors]}")
        return found

    def lookup(self, start: bytes, resource_id: bytes) -> tuple[bytes | None, int]:
        """Where a message ends, and after how many hops, with the tables as they are."""
        at, previous, hops = start, None, 0
        while hops < TTL:
            hop = self.peers[at].topology.next_hop(resource_id, previous)
            if hop is None:
                return at, hops
            if not self.peers[hop].is_up:
                return None, hops
            at, previous, hops = hop, at, hops + 1
        return None, hops


__all__ = ["Net", "Peer", "ResourceDestination", "configuration", "header", "identity", "node_id"]
