"""An overlay in virtual time: hosts that come, join, leave and crash."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from interop.reload_simulation._host import Host, MakeNode, make_node
from interop.reload_simulation._network import Connection, Network
from interop.reload_simulation._reliable import ReliableConnection
from interop.reload_simulation._rendezvous import Rendezvous
from interop.reload_simulation._ring import Ring
from interop.reload_simulation._scenario import Scenario
from interop.reload_simulation._security import Security
from interop.reload_simulation._traffic import Traffic
from interop.simulation import Engine

GOODBYE = 10.0
"""Seconds that a host waits for its node to have left."""
_AT_ONCE = 8
"""Hosts that come in the time in which as many are there, when there are hardly any."""
AGAIN = 3.0
"""Seconds after which a host that could not join tries again, through another bootstrap node."""


class SimulatedOverlay:
    """Peers over a network in virtual time. The same scenario and the same calls give the same octets.

    `ring` is the truth about who is a peer, from the moment that a node says so to that of its goodbye or crash.
    """

    def __init__(self, scenario: Scenario, *, make_node: MakeNode = make_node) -> None:
        """`make_node` may give the nodes services, or another topology."""
        self.scenario = scenario
        self._make_node = make_node
        self.engine = Engine()
        self.traffic = Traffic()
        self.network = Network(
            self.engine,
            self.traffic,
            scenario.seed,
            loss=scenario.loss,
            make_connection=ReliableConnection if scenario.hop_by_hop else Connection,
        )
        self.security = Security(scenario)
        self.ring = Ring()
        self.random = random.Random(f"{scenario.seed}/overlay")
        self.join_seconds: list[float] = []
        """How long the joins took that have succeeded."""
        self.failed_joins: list[str] = []
        """Why attempts to join have failed; each host tries again."""
        self.on_joined: list[Callable[[Host], None]] = []
        self.on_gone: list[Callable[[Host], None]] = []
        self._rendezvous = Rendezvous(self.network)
        self._hosts: dict[bytes, Host] = {}
        self._arrived: dict[bytes, float] = {}
        self._number = 0

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self.engine.now

    def __iter__(self) -> Iterator[Host]:
        """The hosts of all peers, round the ring."""
        return (self._hosts[node_id] for node_id in self.ring)

    def __getitem__(self, node_id: bytes) -> Host:
        """The host with this node, which is up."""
        return self._hosts[node_id]

    def __contains__(self, node_id: bytes) -> bool:
        return node_id in self._hosts

    def any_peer(self, chance: random.Random) -> Host:
        """A peer by chance."""
        return self._hosts[self.ring[chance.randrange(len(self.ring))]]

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.engine.run(self.now + seconds)

    # -- coming and going ----------------------------------------------------------------------------------------

    def arrive(self) -> Host:
        """Another host comes up, and joins; the very first one starts the overlay."""
        self._number += 1
        host = Host(
            self._number,
            self.security.enroll(self._number),
            self.security.in_force,
            self.network,
            self._rendezvous,
            self,
            self.scenario.seed,
            self._make_node,
        )
        self._hosts[host.node_id] = host
        self._arrived[host.node_id] = self.now
        if self._number == 1:
            host.start()
        else:
            self._bootstrap(host)
        return host

    def grow(self, size: int) -> None:
        """Let hosts arrive until there are `size` peers, the faster the more there are already."""
        if not self._number:
            self.arrive()
        if self._number < size:
            self.arrive()
            wait = self.scenario.growth / (len(self.ring) + _AT_ONCE)
            self.engine.post(self.engine.now_us + int(wait * 1e6), self.grow, size)

    def arrive_at(self, seconds: float) -> None:
        """Another host comes up at that time."""

        def come() -> None:
            self.arrive()

        self.engine.post(int(seconds * 1e6), come)

    def depart(self, host: Host, *, gracefully: bool) -> None:
        """A host goes: its node says goodbye before, or it crashes."""
        if not host.is_up:
            return
        self.ring.remove(host.node_id)
        if gracefully:
            self.engine.post(self.engine.now_us + int(GOODBYE * 1e6), self.left, host)
            host.leave()
        else:
            self._stop(host, crash=True)

    def _stop(self, host: Host, *, crash: bool) -> None:
        del self._hosts[host.node_id]
        self._arrived.pop(host.node_id, None)
        host.stop(crash=crash)
        for tell in self.on_gone:
            tell(host)

    def _bootstrap(self, host: Host) -> None:
        candidates = [node_id for node_id in self.ring if node_id != host.node_id]
        if host.is_up and candidates:
            self.network.connect((host, self._hosts[self.random.choice(candidates)]), (None, None))

    # -- what hosts tell -----------------------------------------------------------------------------------------

    def bootstrapped(self, host: Host, link: int | None) -> None:
        """A host has got to a bootstrap node, or has not."""
        is_peer = host.node_id in self.ring
        if link is None:
            self._fail_to_bootstrap(host, is_peer=is_peer)
        elif is_peer:
            host.check_partition(link)
        elif host.node_id in self._arrived:
            host.join(link)

    def _fail_to_bootstrap(self, host: Host, *, is_peer: bool) -> None:
        if is_peer:
            self.engine.post(self.engine.now_us + int(AGAIN * 1e6), self._bootstrap, host)
        else:
            self.join_failed(host, "the bootstrap node is not there")

    def bootstrap_wanted(self, host: Host) -> None:
        """A peer looks for a bootstrap node."""
        self._bootstrap(host)

    def joined(self, host: Host) -> None:
        """A host is a peer."""
        self.ring.add(host.node_id)
        arrived = self._arrived.pop(host.node_id, None)
        if arrived is not None:
            self.join_seconds.append(self.now - arrived)
            for tell in self.on_joined:
                tell(host)

    def join_failed(self, host: Host, reason: str) -> None:
        """A host is none; it tries again."""
        self.failed_joins.append(reason)
        self.engine.post(self.engine.now_us + int(AGAIN * 1e6), self._bootstrap, host)

    def left(self, host: Host) -> None:
        """A host has said goodbye, or has had the time to."""
        if host.is_up:
            self.ring.remove(host.node_id)
            self._stop(host, crash=False)
