"""Nodes of RELOAD in memory, for tests: links with a delay, that lose, repeat and reorder messages if asked to.

`MeshTopology` shows what a topology of one's own needs: all peers are connected with all, and whoever follows first on
a resource is responsible for it.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable, Collection, Iterable
from itertools import count, pairwise

import attrs
from reload_configurations import PRIVATE, configuration
from reload_identities import NOW, node_id

from reload.addresses import IPV4, IpAddressPort, IPv4AddrPort
from reload.configuration import Configuration
from reload.configuration_update import InForce
from reload.contents import ErrorCode, ErrorResponse, MessageCode
from reload.destinations import NodeDestination, ResourceDestination
from reload.errors import StateError
from reload.events import (
    Candidates,
    CandidatesWanted,
    Completed,
    ConnectionAbandoned,
    ConnectionWanted,
    Event,
    LinkUnwanted,
    MessageDropped,
)
from reload.exchange import Answer, Link, Outcome, Reply, Request, Response
from reload.kinds import BASE_KINDS, Kind
from reload.methods import CandType, ChordRouteQueryAns, ChordUpdate, Empty, IceCandidate, JoinAns, JoinReq
from reload.node import Node
from reload.null_security import NullSigner, NullVerifier
from reload.ports import Signer
from reload.topology import Joined, Left, MakeTopology, Overlay, TopologyEvent

EPOCH = NOW
DELAY = 0.01


class MeshTopology:
    """A `Topology` of few peers, each connected with each: the one whose Node-ID follows first is responsible."""

    def __init__(self, overlay: Overlay, now: float) -> None:
        self.overlay = overlay
        self.peers: list[bytes] = []
        self.is_joined = False
        self.events: deque[TopologyEvent] = deque()
        self.requests: list[Request] = []
        self.outcomes: list[Outcome] = []
        self.attached: list[tuple[int, bytes | None]] = []
        self.handed_over: list[int] = []
        self._attach: int | None = None

    def start(self, now: float) -> None:
        if self.is_joined:
            raise StateError("started already")
        self.is_joined = True
        self.peers = [self.overlay.node_id]
        self.events.append(Joined())

    def join(self, bootstrap: bytes, now: float) -> None:
        if self.is_joined:
            raise StateError("joined already")
        self._attach = self.overlay.attach((NodeDestination(bootstrap),), now)

    def leave(self, now: float) -> None:
        self.is_joined = False
        self.events.append(Left())

    def on_bootstrap(self, bootstrap: bytes, now: float) -> None:
        pass

    def _owner(self, resource_id: bytes) -> bytes:
        return min(self.peers, key=lambda peer: (int.from_bytes(peer) - int.from_bytes(resource_id)) % (1 << 128))

    def is_responsible(self, resource_id: bytes) -> bool:
        return self.is_joined and self._owner(resource_id) == self.overlay.node_id

    def owner(self, resource_id: bytes) -> bytes | None:
        return self._owner(resource_id) if self.peers else None

    def next_hop(self, target: bytes, previous_hop: bytes | None = None) -> bytes | None:
        if not self.is_joined:
            return None
        owner = self._owner(target)
        return None if owner == self.overlay.node_id else owner

    def replica_peers(self, resource_id: bytes) -> tuple[bytes, ...]:
        return ()

    def accepts_replica(self, senders: Collection[bytes], resource_id: bytes, replica_number: int) -> bool:
        return False

    def keeps(self, resource_id: bytes) -> bool:
        return True

    def is_plausible_responder(self, node_id: bytes, resource_id: bytes) -> bool:
        return not self.is_joined or node_id == self._owner(resource_id)

    def responsible_ppb(self) -> int:
        return 10**9 // max(len(self.peers), 1)

    def on_connected(self, peer: bytes, now: float, *, send_update: bool) -> None:
        if send_update:
            self.overlay.request((NodeDestination(peer),), MessageCode.UPDATE_REQ, ChordUpdate(0, 1), now)

    def on_disconnected(self, peer: bytes, now: float) -> None:
        if peer in self.peers:
            self.peers.remove(peer)
            self.overlay.placement_changed(now)

    def on_attached(self, attach: int, peer: bytes | None, now: float) -> None:
        self.attached.append((attach, peer))
        if attach == self._attach and peer is not None:
            self.overlay.request((NodeDestination(peer),), MessageCode.JOIN_REQ, JoinReq(self.overlay.node_id), now)

    def on_request(self, request: Request, now: float) -> Reply:
        self.requests.append(request)
        match request.message_code:
            case MessageCode.JOIN_REQ:
                if request.body.joining_peer_id != request.identity.node_id:
                    return ErrorResponse(ErrorCode.FORBIDDEN)
                self.peers.append(request.identity.node_id)
                return Answer(JoinAns())
            case MessageCode.ROUTE_QUERY_REQ:
                target = request.body.destination.resource_id
                return Answer(ChordRouteQueryAns(self.next_hop(target) or self.overlay.node_id))
        return Answer(Empty())

    def on_outcome(self, outcome: Outcome, now: float) -> None:
        self.outcomes.append(outcome)
        if isinstance(outcome, Response) and outcome.message_code == MessageCode.JOIN_ANS:
            self.peers = [self.overlay.node_id, outcome.identity.node_id]
            self.is_joined = True
            self.events.append(Joined())

    def on_handed_over(self, hand_over: int, now: float) -> None:
        self.handed_over.append(hand_over)

    def next_event(self) -> TopologyEvent | None:
        return self.events.popleft() if self.events else None

    def get_timer(self) -> float | None:
        return None

    def handle_timer(self, now: float) -> None:
        pass


def in_force(kinds: Iterable[Kind] = (PRIVATE,), **fields: object) -> InForce:
    """A configuration whose signatures show nothing."""
    table = BASE_KINDS.updated(kinds)
    return InForce(null_configuration(**fields), NullVerifier(), table, make_verifier=lambda trust: NullVerifier())


def null_configuration(**fields: object) -> Configuration:
    return configuration(**{"no_ice": True, "expiration": NOW + 1e6, **fields})


@attrs.define(eq=False, repr=False)
class Wire:
    """One side of a link."""

    peer: "Host"
    link: Link
    other: "Wire | None" = None


@attrs.define(eq=False, repr=False)
class Host:
    """A node, what it has told, and its ends of links."""

    node: Node
    number: int
    events: list[Event] = attrs.Factory(list)
    wires: dict[Link, Wire] = attrs.Factory(dict)
    offers: dict[int, ConnectionWanted] = attrs.Factory(dict)

    @property
    def node_id(self) -> bytes:
        return self.node.node_id

    @property
    def topology(self) -> MeshTopology:
        topology = self.node.topology
        assert isinstance(topology, MeshTopology)
        return topology

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def result(self, handle: int) -> object:
        """What came of a verb."""
        found = [event.result for event in self.events if isinstance(event, Completed) and event.handle == handle]
        assert len(found) == 1, found
        return found[0]

    @property
    def drops(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, MessageDropped)]


class MemoryOverlay:
    """Nodes, and the links between them, in virtual time. `loss`, `repeat` and `disorder` are shares of messages."""

    def __init__(
        self,
        *,
        seed: int = 1,
        loss: float = 0.0,
        repeat: float = 0.0,
        disorder: float = 0.0,
        in_force: InForce | None = None,
    ) -> None:
        self.now = 0.0
        self.loss, self.repeat, self.disorder = loss, repeat, disorder
        self.random = random.Random(seed)
        self.hosts: list[Host] = []
        self.sent: list[tuple[float, int, int, bytes]] = []
        self.on_send: Callable[[Host, Host, bytes], bool] = lambda sender, receiver, octets: True
        """May look at what is sent, and have it lost."""
        self._in_force = in_force
        self._queue: list[tuple[float, int, Wire, bytes]] = []
        self._numbers = count()

    def add(
        self,
        number: int,
        *,
        make_topology: MakeTopology = MeshTopology,
        in_force: InForce | None = None,
        signer: Signer | None = None,
        **options: object,
    ) -> Host:
        """A node with this Node-ID."""
        chance = random.Random(f"{number} {self.random.random()}")
        node = Node(
            signer or NullSigner(node_id(number), f"user{number}@example.org"),
            in_force or self._in_force or _IN_FORCE,
            epoch=EPOCH,
            now=self.now,
            make_topology=make_topology,
            random_bytes=chance.randbytes,
            **options,  # type: ignore[arg-type]
        )
        host = Host(node, number)
        self.hosts.append(host)
        return host

    def link(
        self,
        one: Host,
        other: Host,
        *,
        attaches: tuple[int | None, int | None] = (None, None),
        path_mtu: int | None = None,
    ) -> tuple[Link, Link]:
        """Connect two nodes; by an Attach of theirs, or by none."""
        links = []
        for host, peer, attach in ((one, other, attaches[0]), (other, one, attaches[1])):
            verifier = host.node.in_force.verifier
            certificates = peer.node.certificates
            identity = verifier.identify(certificates[0].certificate, certificates, EPOCH + self.now)
            links.append(host.node.link_established(identity, self.now, attach=attach, path_mtu=path_mtu))
        ends = Wire(one, links[0]), Wire(other, links[1])
        ends[0].other, ends[1].other = ends[1], ends[0]
        one.wires[links[0]], other.wires[links[1]] = ends
        return links[0], links[1]

    def cut(self, host: Host, link: Link, *, tell: bool = True) -> None:
        """A link breaks, and both sides notice."""
        wire = host.wires.pop(link, None)
        if wire is None or wire.other is None:
            return
        wire.other.peer.wires.pop(wire.other.link, None)
        wire.other.peer.node.link_lost(wire.other.link, self.now)
        if tell:
            host.node.link_lost(link, self.now)

    def settle(self, seconds: float = 1.0) -> None:
        """Let so many seconds pass."""
        end = self.now + seconds
        self._collect()
        while True:
            due = [self._queue[0][0]] if self._queue else []
            due += [timer for host in self.hosts if (timer := host.node.get_timer()) is not None]
            at = min(due, default=end)
            if at > end:
                break
            self.now = max(self.now, at)
            while self._queue and self._queue[0][0] <= self.now:
                _, _, wire, octets = heapq.heappop(self._queue)
                if wire.link in wire.peer.wires:
                    wire.peer.node.receive_message(wire.link, octets, self.now)
            for host in self.hosts:
                timer = host.node.get_timer()
                if timer is not None and timer <= self.now:
                    host.node.handle_timer(self.now)
            self._collect()
            if not due:
                break
        self.now = end

    def _collect(self) -> None:
        again = True
        while again:
            again = False
            for host in self.hosts:
                for link, octets in host.node.messages_to_send(self.now):
                    self._send(host, link, octets)
                while (event := host.node.next_event()) is not None:
                    again = True
                    host.events.append(event)
                    self._do(host, event)

    def _send(self, host: Host, link: Link, octets: bytes) -> None:
        wire = host.wires.get(link)
        if wire is None or wire.other is None:
            return
        self.sent.append((self.now, host.number, wire.other.peer.number, octets))
        if not self.on_send(host, wire.other.peer, octets):
            return
        if self.random.random() < self.loss:
            return
        for _ in range(1 + (self.random.random() < self.repeat)):
            delay = DELAY * (1 + 20 * (self.random.random() < self.disorder))
            heapq.heappush(self._queue, (self.now + delay, next(self._numbers), wire.other, octets))

    def _do(self, host: Host, event: Event) -> None:
        match event:
            case CandidatesWanted(attach):
                host.node.provide_candidates(attach, candidates(host.number, attach), self.now)
            case ConnectionWanted():
                self._connect(host, event)
            case ConnectionAbandoned(attach):
                host.offers.pop(attach, None)
            case LinkUnwanted(link):
                self.cut(host, link, tell=False)

    def _connect(self, host: Host, wanted: ConnectionWanted) -> None:
        """The two sides of an Attach find each other by their candidates."""
        host.offers[wanted.attach] = wanted
        other = next((each for each in self.hosts if each.node_id == wanted.peer), None)
        if other is None:
            return
        for offer in list(other.offers.values()):
            if offer.peer == host.node_id and offer.local.candidates == wanted.remote.candidates:
                del host.offers[wanted.attach], other.offers[offer.attach]
                if wanted.application is None:
                    self.link(host, other, attaches=(wanted.attach, offer.attach))
                else:
                    self._connect_application(host, other, wanted, offer)

    def _connect_application(self, host: Host, other: Host, wanted: ConnectionWanted, offer: ConnectionWanted) -> None:
        for one, peer, attach in ((host, other, wanted.attach), (other, host, offer.attach)):
            certificates = peer.node.certificates
            identity = one.node.in_force.verifier.identify(certificates[0].certificate, certificates, EPOCH + self.now)
            one.node.link_established(identity, self.now, attach=attach)


def candidates(number: int, attach: int) -> Candidates:
    """Of a node without ICE, another one for each Attach."""
    address = IpAddressPort(IPV4, IPv4AddrPort(bytes((192, 0, 2, number % 256)), 10_000 + attach % 50_000))
    return Candidates(b"", b"", (IceCandidate(address, 3, b"1", 1, CandType.HOST),))


def mesh(*numbers: int, **options: object) -> tuple[MemoryOverlay, list[Host]]:
    """Peers that are all connected with each other, without the ceremony of joins."""
    overlay = MemoryOverlay(**options)  # type: ignore[arg-type]
    hosts = [overlay.add(number) for number in numbers]
    connect_all(overlay, hosts)
    return overlay, hosts


def connect_all(overlay: MemoryOverlay, hosts: list[Host]) -> None:
    for host in hosts:
        host.topology.is_joined = True
        host.topology.peers = [each.node_id for each in hosts]
    for at, one in enumerate(hosts):
        for other in hosts[:at]:
            overlay.link(one, other)
    overlay.settle(0.1)


def chain(*numbers: int, **options: object) -> tuple[MemoryOverlay, list[Host]]:
    """Peers of which each is connected with the next alone; messages go along the line."""
    overlay = MemoryOverlay(**options)  # type: ignore[arg-type]
    hosts = [overlay.add(number, make_topology=line_topology(numbers)) for number in numbers]
    for host in hosts:
        host.topology.is_joined = True
        host.topology.peers = [each.node_id for each in hosts]
    for one, other in pairwise(hosts):
        overlay.link(one, other)
    overlay.settle(0.1)
    return overlay, hosts


class LineTopology(MeshTopology):
    """Peers in a line."""

    line: tuple[bytes, ...]

    def next_hop(self, target: bytes, previous_hop: bytes | None = None) -> bytes | None:
        owner = super().next_hop(target)
        if owner is None:
            return None
        own, other = self.line.index(self.overlay.node_id), self.line.index(owner)
        return self.line[own + 1 if other > own else own - 1]


def line_topology(numbers: tuple[int, ...]) -> MakeTopology:
    class Line(LineTopology):
        line = tuple(node_id(number) for number in numbers)

    return Line


def node(number: int) -> NodeDestination:
    return NodeDestination(node_id(number))


def resource(number: int) -> ResourceDestination:
    return ResourceDestination(node_id(number))


_IN_FORCE = in_force()
