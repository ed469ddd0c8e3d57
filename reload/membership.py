"""How a node comes into an overlay and goes again, and what a new configuration makes of it (RFC 6940 section 11.1)."""

from __future__ import annotations

from reload.configuration_update import Accepted
from reload.errors import StateError
from reload.events import ConfigurationChanged
from reload.exchange import Link
from reload.parts import Parts
from reload.topology import Left


class Membership:
    """Whether a node is in its overlay, on the way into it, or out of it."""

    def __init__(self, parts: Parts, *, is_client: bool) -> None:
        self._parts = parts
        self._is_client = is_client
        self._leaving: int | None = None
        self._sequence = parts.context.configuration.sequence
        parts.configuring.on_accepted = self.on_accepted
        parts.configuring.watch(parts.context.started)

    def start(self, now: float) -> None:
        """Be the first peer of a new overlay. Raises StateError."""
        self._check(now)
        self._parts.topology.start(now)

    def join(self, bootstrap: Link, now: float) -> None:
        """Become a peer, or be attached as a client. Raises StateError."""
        self._check(now)
        if self._is_client and not self._parts.context.configuration.clients_permitted:
            raise StateError("this overlay permits no clients")
        self._parts.topology.join(self._node_at(bootstrap), now)

    def check_partition(self, bootstrap: Link, now: float) -> None:
        """Find out whether there is another ring. Raises StateError."""
        self._parts.topology.on_bootstrap(self._node_at(bootstrap), now)

    def leave(self, now: float) -> None:
        """Leave, once the next peer has what this one is responsible for. Raises StateError."""
        topology = self._parts.topology
        if self._leaving is not None:
            raise StateError("the node is leaving already")
        successor = topology.owner(_behind(self._parts.context.node_id)) if topology.is_joined else None
        if successor is not None and successor != self._parts.context.node_id:
            self._parts.keeper.hurry(now)
            self._leaving = self._parts.keeper.hand_over(successor, topology.is_responsible, now)
        else:
            topology.leave(now)

    def take_step(self, now: float) -> bool:
        """Do what hand-overs and the topology want done; False when that is nothing."""
        parts = self._parts
        for number in (handed_over := parts.keeper.handed_over()):
            self._on_handed_over(number, now)
        if handed_over:
            return True
        event = parts.topology.next_event()
        if event is None:
            return False
        parts.events.append(event)
        if isinstance(event, Left):
            self._left(now)
        return True

    def on_accepted(self, accepted: Accepted, now: float) -> None:
        """Another configuration, or other Kinds, are in force."""
        parts, configuration = self._parts, accepted.in_force.configuration
        is_newer = configuration.sequence != self._sequence
        self._sequence = configuration.sequence
        parts.running.configuration_changed()
        parts.keeper.use(parts.running.reader)
        parts.storage.drop_kinds(accepted.dropped_kinds)
        settings = parts.context.storage_settings
        policies, checks = settings.policies_with(configuration), settings.checks_with(configuration)
        parts.storage.use(accepted.in_force.kinds, policies, checks)
        if not is_newer:
            # Anybody may send a kind-block once more: what is incomplete goes on.
            return
        parts.receiver.configuration_changed()
        parts.attaching.configuration_changed()
        parts.storage.drop_invalid(accepted.in_force.verifier, now)
        parts.links.close_bad(configuration.bad_nodes, now)
        obstacles = accepted.obstacles
        if self._is_client and not configuration.clients_permitted:
            obstacles += ("it permits no clients",)
        parts.events.append(ConfigurationChanged(configuration.sequence, accepted.must_rejoin, obstacles))
        if accepted.must_rejoin or obstacles:
            parts.tasks.append(self._exit)

    def _on_handed_over(self, number: int, now: float) -> None:
        topology = self._parts.topology
        if number != self._leaving:
            topology.on_handed_over(number, now)
        elif topology.is_joined:
            topology.leave(now)

    def _left(self, now: float) -> None:
        self._leaving = None
        self._parts.attaching.abandon_all(now)
        self._parts.keeper.clear()
        self._parts.links.close_all("the node has left", now)

    def _exit(self, now: float) -> None:
        """Leave, whatever state the topology is in."""
        try:
            self._parts.topology.leave(now)
        except StateError:
            self._left(now)

    def _check(self, now: float) -> None:
        context = self._parts.context
        if context.configuration.is_expired(context.wall(now)):
            raise StateError("the configuration has expired")

    def _node_at(self, link: Link) -> bytes:
        connection = self._parts.connections.get(link)
        if connection is None or connection.node_id is None:
            raise StateError(f"no node is known at link {link}")
        return connection.node_id


def _behind(node_id: bytes) -> bytes:
    """The Resource-ID that the next peer is responsible for."""
    size = len(node_id)
    return ((int.from_bytes(node_id, "big") + 1) % (1 << 8 * size)).to_bytes(size, "big")
