"""Who is registered and in which swarms, with the init and track timers (RFC 7846 section 2.3)."""

from collections import OrderedDict
from collections.abc import Sequence
from heapq import nlargest

from attrs import define, evolve, field

from ppsp.tracker.answers import Answers, Basis
from ppsp.tracker.messages import FindRequest, PeerMode, RequestMessage, StreamStats
from ppsp.tracker.ports import Asked, SwarmCount
from ppsp.tracker.records import Membership, RegisteredPeer
from ppsp.tracker.rules import Limits
from ppsp.tracker.states import (
    PEER_TABLE,
    TRACKER_TABLE,
    PeerInput,
    PeerState,
    Timer,
    TrackerInput,
    TrackerState,
)


@define(eq=False)
class Swarm:
    """The peers of one swarm, in no particular order."""

    swarm_id: str
    """The one copy that is kept of an ID: it may be long, and the swarm large."""
    members: list[RegisteredPeer] = field(factory=list)
    seeders: int = 0


class MemoryRegistry:
    """The registrations of one tracker, in memory: what is done counts at once."""

    def __init__(self, *, init_timer: float, track_timer: float, epoch: float) -> None:
        self.state = TrackerState.INIT
        self.memberships = 0
        self.changes = 0
        """Counts what may change a list of peers: the changes of all of them."""
        self.peers: dict[str, RegisteredPeer] = {}
        self.swarms: dict[str, Swarm] = {}
        self.hosts: dict[str, int] = {}
        """How many memberships the peers of each host have."""
        self._epoch = epoch
        self._registrations = 0
        self._answers = Answers()
        # Each timer always runs equally long, so the order in which they were started is the order in which they end.
        self._lengths = {Timer.INIT: init_timer, Timer.TRACK: track_timer}
        self._deadlines: dict[Timer, OrderedDict[str, float]] = {timer: OrderedDict() for timer in self._lengths}

    @property
    def peer_count(self) -> int:
        """How many peers are registered."""
        return len(self.peers)

    @property
    def swarm_count(self) -> int:
        """How many swarms have a peer."""
        return len(self.swarms)

    def begin(self, asked: Sequence[Asked], now: float) -> list["MemoryTransaction"]:
        """What is done in them counts at once, so they see one another's."""
        return [MemoryTransaction(self, one, now) for one in asked]

    def commit(self, done: Sequence[tuple["MemoryTransaction", bytes | None]], most: Limits, now: float) -> list[bool]:
        """Remember the bodies for repetitions of the requests."""
        for transaction, body in done:
            if body is not None:
                asked = transaction.asked
                self._answers.store(asked.key, self._basis(asked.message), body, now)
        return [True] * len(done)

    def find_answer(self, asked: Asked, now: float) -> bytes | None:
        """The body that answered this request before, if it still counts."""
        return self._answers.find(asked.key, self._basis(asked.message), now)

    def _basis(self, message: RequestMessage) -> Basis:
        peer = self.peers.get(message.peer_id)
        if peer is None:
            return 0, 0
        return peer.number, self.changes if isinstance(message, FindRequest) else peer.changes

    def peer(self, peer_id: str) -> RegisteredPeer | None:
        """The registration of a peer."""
        return self.peers.get(peer_id)

    def connect(self, peer_id: str, now: float) -> RegisteredPeer:
        """The registration of a peer that sent a CONNECT, made on the spot for a new one (START)."""
        peer = self.peers.get(peer_id)
        if peer is None:
            self._registrations += 1
            peer = RegisteredPeer(peer_id, self._registrations, self._epoch + now)
            self.peers[peer_id] = peer
            self.state = TRACKER_TABLE[self.state][TrackerInput.PEER_REGISTERED]
        self.step(peer, PeerInput.CONNECT, now)
        return peer

    def step(self, peer: RegisteredPeer, what: PeerInput, now: float) -> None:
        """Follow the arrow of figure 5 that `what` stands for; TERMINATE removes the peer from everything."""
        transition = PEER_TABLE[peer.state][what]
        peer.state = transition.state
        if transition.timer is not Timer.KEEP:
            for deadlines in self._deadlines.values():
                deadlines.pop(peer.peer_id, None)
        if transition.timer in self._lengths:
            self._deadlines[transition.timer][peer.peer_id] = now + self._lengths[transition.timer]
        if peer.state is PeerState.TERMINATE:
            self._remove(peer)

    def _remove(self, peer: RegisteredPeer) -> None:
        for swarm_id in tuple(peer.swarms):
            self.leave(peer, swarm_id)
        del self.peers[peer.peer_id]
        last = TrackerInput.PEER_REMOVED if self.peers else TrackerInput.LAST_PEER_REMOVED
        self.state = TRACKER_TABLE[self.state][last]
        if self.state is TrackerState.TERMINATED:
            self.state = TRACKER_TABLE[self.state][TrackerInput.RESTART]

    def join(self, peer: RegisteredPeer, swarm_id: str, peer_mode: PeerMode, host: str | None) -> None:
        """Enter the peer into the swarm, and it counts for `host`; one that is in it already changes its mode."""
        self._has_changed(peer)
        membership = peer.swarms.get(swarm_id)
        swarm = self.swarms.get(swarm_id)
        if swarm is None:
            swarm = self.swarms[swarm_id] = Swarm(swarm_id)
        if membership is not None:
            swarm.seeders += (peer_mode is PeerMode.SEEDER) - (membership.peer_mode is PeerMode.SEEDER)
            membership.peer_mode = peer_mode
            return
        swarm.seeders += peer_mode is PeerMode.SEEDER
        peer.swarms[swarm.swarm_id] = Membership(peer_mode, position=len(swarm.members))
        swarm.members.append(peer)
        self.memberships += 1
        self._count(peer.host, 1 - len(peer.swarms))
        peer.host = host
        self._count(host, len(peer.swarms))

    def record(self, peer: RegisteredPeer, stat: StreamStats) -> None:
        """Keep what the peer reports of a swarm it is in."""
        peer.swarms[stat.swarm_id].stat = evolve(stat, swarm_id=self.swarms[stat.swarm_id].swarm_id)

    def leave(self, peer: RegisteredPeer, swarm_id: str) -> None:
        """Take the peer out of a swarm it is in; the last one takes the swarm with it."""
        self._has_changed(peer)
        swarm = self.swarms[swarm_id]
        members = swarm.members
        membership = peer.swarms.pop(swarm_id)
        swarm.seeders -= membership.peer_mode is PeerMode.SEEDER
        last = members.pop()
        if last is not peer:
            members[membership.position] = last
            last.swarms[swarm_id].position = membership.position
        if not members:
            del self.swarms[swarm_id]
        self.memberships -= 1
        self._count(peer.host, -1)

    def _count(self, host: str | None, memberships: int) -> None:
        if host is not None:
            of_host = self.hosts.pop(host, 0) + memberships
            if of_host:
                self.hosts[host] = of_host

    def _has_changed(self, peer: RegisteredPeer) -> None:
        self.changes += 1
        peer.changes += 1

    def members(self, swarm_id: str) -> Sequence[RegisteredPeer]:
        """The peers in a swarm, in no particular order."""
        swarm = self.swarms.get(swarm_id)
        return swarm.members if swarm else ()

    def largest(self, count: int) -> list[SwarmCount]:
        """At most `count` swarms with the most peers, the largest first."""
        found = nlargest(count, self.swarms.values(), key=lambda swarm: len(swarm.members))
        return [SwarmCount(swarm.swarm_id, len(swarm.members), swarm.seeders) for swarm in found]

    def get_timer(self) -> float | None:
        """When the next timer ends; None when none runs."""
        return min((next(iter(ends.values())) for ends in self._deadlines.values() if ends), default=None)

    def handle_timer(self, now: float) -> None:
        """Remove every peer whose timer has ended (condition D of section 2.3.2)."""
        for deadlines in self._deadlines.values():
            while deadlines:
                peer_id, deadline = next(iter(deadlines.items()))
                if deadline > now:
                    break
                self.step(self.peers[peer_id], PeerInput.TIMEOUT, now)


class MemoryTransaction:
    """One request at a MemoryRegistry."""

    __slots__ = ("_now", "_registry", "asked")

    def __init__(self, registry: MemoryRegistry, asked: Asked, now: float) -> None:
        self._registry = registry
        self._now = now
        self.asked = asked

    @property
    def remembered(self) -> bytes | None:
        """The body that answered this request before, if it still counts."""
        return self._registry.find_answer(self.asked, self._now)

    @property
    def peer(self) -> RegisteredPeer | None:
        """The registration of the sender."""
        return self._registry.peers.get(self.asked.message.peer_id)

    @property
    def peer_count(self) -> int:
        """How many peers are registered."""
        return self._registry.peer_count

    @property
    def swarm_count(self) -> int:
        """How many swarms have a peer."""
        return self._registry.swarm_count

    @property
    def memberships(self) -> int:
        """How many, over all peers."""
        return self._registry.memberships

    @property
    def memberships_of_host(self) -> int:
        """Over all peers that count for the host that asks, but for the sender itself."""
        host, peer = self.asked.host, self.peer
        if host is None:
            return 0
        own = len(peer.swarms) if peer is not None and peer.host == host else 0
        return self._registry.hosts.get(host, 0) - own

    def has_swarm(self, swarm_id: str) -> bool:
        """Whether the swarm has a peer."""
        return swarm_id in self._registry.swarms

    def members(self, swarm_id: str) -> Sequence[RegisteredPeer]:
        """The peers in a swarm, in no particular order."""
        return self._registry.members(swarm_id)

    def connect(self, now: float) -> RegisteredPeer:
        """The registration of the sender of a CONNECT, made on the spot for a new one (START)."""
        return self._registry.connect(self.asked.message.peer_id, now)

    def step(self, what: PeerInput, now: float) -> None:
        """Follow the arrow of figure 5 that `what` stands for; TERMINATE removes the peer from everything."""
        self._registry.step(self._sender(), what, now)

    def join(self, swarm_id: str, peer_mode: PeerMode) -> None:
        """Enter the peer into the swarm, and it counts for the host that asks; one in it already changes its mode."""
        self._registry.join(self._sender(), swarm_id, peer_mode, self.asked.host)

    def record(self, stat: StreamStats) -> None:
        """Keep what the peer reports of a swarm it is in."""
        self._registry.record(self._sender(), stat)

    def leave(self, swarm_id: str) -> None:
        """Take the peer out of a swarm it is in; the last one takes the swarm with it."""
        self._registry.leave(self._sender(), swarm_id)

    def _sender(self) -> RegisteredPeer:
        return self._registry.peers[self.asked.message.peer_id]
