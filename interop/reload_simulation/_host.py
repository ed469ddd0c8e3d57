"""A host with a node of the overlay: it does for the node what a driver does with sockets."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from interop.reload_simulation._network import Connection, End, Network
from interop.reload_simulation._rendezvous import Rendezvous
from interop.reload_simulation._security import EPOCH
from reload.addresses import IpAddressPort, IPv4AddrPort
from reload.chord import ChordReload
from reload.chord_tables import RoutingTable
from reload.configuration_update import InForce
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
from reload.methods import CandType, IceCandidate, OverlayLinkType
from reload.node import Node
from reload.operations import Operation
from reload.ports import Identity, Signer
from reload.topology import BootstrapWanted, Joined, JoinFailed, Left

_PORT = 6084
_PRIORITY = 2130706431
_ADDRESS = 10 << 24


MakeNode: TypeAlias = Callable[[Signer, InForce, float, Callable[[int], bytes]], Node]
"""Makes a node with this identity and configuration, at this time and with this source of chance."""


def make_node(signer: Signer, in_force: InForce, now: float, random_bytes: Callable[[int], bytes]) -> Node:
    """A node as it is when nobody wants anything else."""
    return Node(signer, in_force, epoch=EPOCH, now=now, random_bytes=random_bytes)


class Watcher(Protocol):
    """Who wants to know what becomes of a host."""

    def joined(self, host: Host) -> None:
        """It is a peer now."""
        ...

    def join_failed(self, host: Host, reason: str) -> None:
        """It is none."""
        ...

    def left(self, host: Host) -> None:
        """It has said goodbye."""
        ...

    def bootstrap_wanted(self, host: Host) -> None:
        """It wants a link to a bootstrap node."""
        ...

    def bootstrapped(self, host: Host, link: int | None) -> None:
        """It has a link to a bootstrap node, or with None has got none."""
        ...


class Host:
    """A node, its links and its timer. `is_up` until it stops."""

    def __init__(
        self,
        number: int,
        signer: Signer,
        in_force: InForce,
        network: Network,
        rendezvous: Rendezvous,
        watcher: Watcher,
        seed: int,
        make_node: MakeNode,
    ) -> None:
        """`number` is its address, and names it."""
        self.number = number
        self.is_up = True
        self.connections: dict[int, tuple[Connection, int]] = {}
        self.dropped: Counter[str] = Counter()
        """Messages without effect, by reason."""
        self._network = network
        self._engine = network.engine
        self._rendezvous = rendezvous
        self._watcher = watcher
        self._armed_us: int | None = None
        self._pumping = False
        self._attaches = 0
        self._wanted: set[int] = set()
        self._results: dict[int, Callable[[Any], None]] = {}
        certificates = signer.certificates
        self.identity: Identity = in_force.verifier.identify(certificates[0].certificate, certificates, EPOCH)
        chance = random.Random(f"{seed}/host/{number}")
        self.node = make_node(signer, in_force, self._engine.now, chance.randbytes)
        self.signer = signer
        self.node_id = signer.node_id
        address = IpAddressPort(1, IPv4AddrPort((_ADDRESS + number).to_bytes(4, "big"), _PORT))
        self._candidate = IceCandidate(address, OverlayLinkType.DTLS_UDP_SR, b"1", _PRIORITY, CandType.HOST)

    @property
    def table(self) -> RoutingTable:
        """The routing table of the node."""
        topology = self.node.topology
        assert isinstance(topology, ChordReload)
        return topology.table

    # -- verbs ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Be the first peer."""
        self.node.start(self._engine.now)
        self.pump()

    def join(self, link: int) -> None:
        """Become a peer through a link."""
        self.node.join(link, self._engine.now)
        self.pump()

    def check_partition(self, link: int) -> None:
        """Find out through a link whether there is another ring."""
        self.node.check_partition(link, self._engine.now)
        self.pump()

    def leave(self) -> None:
        """Say goodbye."""
        self.node.leave(self._engine.now)
        self.pump()

    def perform(self, operation: Operation, then: Callable[[Any], None]) -> None:
        """An operation, and what to call with its result: None when the host stops before there is one."""
        self._results[self.node.perform(operation, self._engine.now)] = then
        self.pump()

    def stop(self, *, crash: bool) -> None:
        """Be there no longer: in a crash links are not closed. Results that are due are None."""
        self.is_up = False
        for connection, side in list(self.connections.values()):
            if crash:
                connection.vanish(side)
            else:
                connection.close(side)
        results, self._results = self._results, {}
        for then in results.values():
            then(None)

    # -- what the network tells ----------------------------------------------------------------------------------

    def established(self, connection: Connection, side: int, peer: End, attach: int | None) -> None:
        """A connection is there: a link of the node's."""
        assert isinstance(peer, Host)
        if attach is not None:
            if attach not in self._wanted:
                return
            self._wanted.remove(attach)
        link = self.node.link_established(peer.identity, self._engine.now, attach=attach)
        connection.open(side, link)
        if attach is None and side == 0:
            self._watcher.bootstrapped(self, link)
        self.pump()

    def receive(self, link: int, octets: bytes) -> None:
        """A message came."""
        self.node.receive_message(link, octets, self._engine.now)
        self.pump()

    def lost(self, link: int) -> None:
        """A link is gone."""
        self.node.link_lost(link, self._engine.now)
        self.pump()

    def is_failing(self, link: int, failing: bool) -> None:
        """Messages are not acknowledged over a link any more, or are again."""
        if failing:
            self.node.link_failing(link, self._engine.now)
        else:
            self.node.link_restored(link, self._engine.now)
        self.pump()

    def not_connected(self, attach: int | None) -> None:
        """An Attach has led to no connection, or without a number the way to a bootstrap node."""
        if not self.is_up:
            return
        if attach is None:
            self._watcher.bootstrapped(self, None)
        elif attach in self._wanted:
            self._wanted.remove(attach)
            self.node.connection_failed(attach, self._engine.now)
        self.pump()

    # -- the driver ----------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Do what the node wants, and see to its timer."""
        if self._pumping:
            return
        self._pumping = True
        node, now = self.node, self._engine.now
        while self.is_up:
            while (event := node.next_event()) is not None:
                self._handle(event, now)
            messages = node.messages_to_send(now)
            if not messages:
                break
            for link, octets in messages:
                found = self.connections.get(link)
                if found is not None:
                    found[0].send(found[1], octets)
        self._pumping = False
        if self.is_up:
            self._arm()

    def _handle(self, event: Event, now: float) -> None:
        match event:
            case CandidatesWanted():
                self.node.provide_candidates(event.attach, self._candidates(), now)
            case ConnectionWanted():
                self._wanted.add(event.attach)
                self._rendezvous.want(self, event)
            case ConnectionAbandoned():
                self._wanted.discard(event.attach)
                self._rendezvous.abandon(self, event.attach)
            case LinkUnwanted():
                found = self.connections.get(event.link)
                if found is not None:
                    found[0].close(found[1])
            case Completed():
                self._results.pop(event.handle, lambda result: None)(event.result)
            case MessageDropped():
                self.dropped[event.reason] += 1
            case Joined():
                self._watcher.joined(self)
            case JoinFailed():
                self._watcher.join_failed(self, event.reason)
            case Left():
                self._watcher.left(self)
            case BootstrapWanted():
                self._watcher.bootstrap_wanted(self)

    def _candidates(self) -> Candidates:
        """One candidate, of the host; its credentials are as long as those that are made by chance."""
        self._attaches += 1
        name = f"{self.number:x}/{self._attaches:x}".encode()
        return Candidates(name.rjust(8, b"/"), name.rjust(22, b"/"), (self._candidate,))

    def _arm(self) -> None:
        due = self.node.get_timer()
        if due is None:
            return
        at_us = int(max(due, self._engine.now) * 1e6) + 1
        if self._armed_us is None or at_us < self._armed_us:
            self._armed_us = at_us
            self._engine.post(at_us, self._wake, at_us)

    def _wake(self, at_us: int) -> None:
        if self._armed_us != at_us or not self.is_up:
            return
        self._armed_us = None
        due = self.node.get_timer()
        if due is not None and due <= self._engine.now:
            self.node.handle_timer(self._engine.now)
        self.pump()
