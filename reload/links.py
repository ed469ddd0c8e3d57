"""Links of a node come and go, and its topology and its user hear of it (RFC 6940 sections 4.2.1, 6.5.1 and 11.1)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection

from reload.attaching import Attaching
from reload.connections import LOCAL, MAX_LINKS, MAX_LINKS_OF_NODE, Connection, ConnectionTable
from reload.context import Context
from reload.direct_responses import DirectResponses
from reload.errors import SecurityError
from reload.events import Connected, Disconnected, Event, LinkUnwanted
from reload.exchange import Link
from reload.ports import Identity
from reload.replication import Keeper
from reload.topology import Topology
from reload.transactions import REQUEST_LIFETIME


class Links:
    """Opens and closes links."""

    def __init__(
        self,
        context: Context,
        connections: ConnectionTable,
        attaching: Attaching,
        direct: DirectResponses,
        topology: Topology,
        keeper: Keeper,
        emit: Callable[[Event], None],
    ) -> None:
        self._context = context
        self._connections = connections
        self._attaching = attaching
        self._direct = direct
        direct.close = self.close
        self._topology = topology
        self._keeper = keeper
        self._emit = emit
        self._surplus: deque[tuple[float, Link]] = deque()

    def established(
        self, identity: Identity, now: float, *, attach: int | None = None, path_mtu: int | None = None
    ) -> Link:
        """A connection to whoever has shown this certificate; by an Attach of this number, or by none.

        The number may be one of a `DirectConnectionWanted`, too. A node that has not attached is reached over the link,
        but is nobody's next hop before it sends an Update.
        Returns `LOCAL` for an AppAttach. Raises StateError when no connection is wanted for this Attach, or no
        longer, and SecurityError for another node than the one that it is with: the connection is to be closed.
        """
        if self._context.node_id in identity.node_ids:
            raise SecurityError("connection: it leads to this node itself")
        send_update, responses = False, None
        if attach is None:
            node_id = identity.node_ids[0] if len(identity.node_ids) == 1 else None
        elif self._direct.is_wanted(attach):
            node_id = self._direct.established(attach, identity, now)
            responses, attach = attach, None
        else:
            established = self._attaching.established(attach, identity, now)
            if established.application is not None:
                return LOCAL
            node_id, send_update = established.peer, established.send_update
        is_new = node_id is not None and node_id not in self._connections
        connection = self._connections.open(
            identity, now, node_id=node_id, is_attached=attach is not None, path_mtu=path_mtu
        )
        if is_new and node_id is not None:
            self._emit(Connected(node_id))
        if responses is not None:
            self._direct.opened(responses, connection, now)
        self._bound(connection, now)
        others = (
            [] if node_id is None else [each for each in self._connections.links_to(node_id) if each is not connection]
        )
        if node_id is not None and others and (attach is None or any(each.is_attached for each in others)):
            # This does not follow the link that it had joined by: it may have begun anew before the others are lost.
            self._keeper.peer_renewed(node_id, now)
        if attach is not None and node_id is not None:
            # What was begun over another link is answered, and then it is of no use any more. Of two links by an Attach
            # only one side closes the older one: they might not agree on which it is.
            for other in others:
                if not other.is_attached or self._context.node_id < node_id:
                    self._surplus.append((now + REQUEST_LIFETIME, other.link))
            self._topology.on_connected(node_id, now, send_update=send_update)
        return connection.link

    def named(self, connection: Connection, node_id: bytes, now: float) -> None:
        """Which of its Node-IDs is used at the other end of a link turns out."""
        is_new = node_id not in self._connections
        self._connections.name(connection, node_id)
        if is_new:
            self._emit(Connected(node_id))
        self._bound(connection, now)

    def lost(self, link: Link, now: float) -> None:
        """A link is gone; what is not known is gone already."""
        found = self._connections.get(link)
        worked = found is not None and found.node_id is not None and self._connections.works(found.node_id)
        connection = self._connections.close(link)
        if connection is None or connection.node_id is None:
            return
        if connection.node_id not in self._connections:
            self._emit(Disconnected(connection.node_id))
            self._keeper.peer_lost(connection.node_id, now)
        if worked and not self._connections.works(connection.node_id):
            self._topology.on_disconnected(connection.node_id, now)

    def failing(self, link: Link, now: float) -> None:
        """A link brings no acknowledgements: the topology does without the node, unless another link leads there."""
        connection = self._connections.get(link)
        if connection is None or connection.is_failing:
            return
        connection.is_failing = True
        if connection.node_id is not None and not self._connections.works(connection.node_id):
            self._topology.on_disconnected(connection.node_id, now)

    def restored(self, link: Link, now: float) -> None:
        """Acknowledgements come again. An Update tells the node that this one is there, as it may have lost it, too."""
        connection = self._connections.get(link)
        if connection is None or not connection.is_failing:
            return
        was_lost = connection.node_id is not None and not self._connections.works(connection.node_id)
        connection.is_failing = False
        if was_lost and connection.node_id is not None and connection.is_attached:
            self._topology.on_connected(connection.node_id, now, send_update=True)

    def close(self, link: Link, reason: str, now: float) -> None:
        """Have the driver close a link."""
        if self._connections.get(link) is not None:
            self._emit(LinkUnwanted(link, reason))
            self.lost(link, now)

    def disconnect(self, peer: bytes, now: float) -> None:
        """Have the driver close all links to a node, and tell the topology nothing: it wants that."""
        links = self._connections.links_to(peer)
        for connection in links:
            self._connections.close(connection.link)
            self._emit(LinkUnwanted(connection.link, "the topology does without it"))
        if links:
            self._emit(Disconnected(peer))
            self._keeper.peer_lost(peer, now)

    def close_all(self, reason: str, now: float) -> None:
        """Close every link."""
        for connection in list(self._connections):
            self.close(connection.link, reason, now)

    def close_bad(self, bad_nodes: Collection[bytes], now: float) -> None:
        """Close links to nodes whose certificates are no longer valid (section 11.1)."""
        bad = frozenset(bad_nodes)
        for connection in list(self._connections):
            if not bad.isdisjoint(connection.identity.node_ids):
                self.close(connection.link, "its certificate is revoked", now)

    def get_timer(self) -> float | None:
        """When a link is of no use any more."""
        return self._surplus[0][0] if self._surplus else None

    def handle_timer(self, now: float) -> None:
        """Close links to nodes that others lead to as well."""
        while self._surplus and self._surplus[0][0] <= now:
            _, link = self._surplus.popleft()
            connection = self._connections.get(link)
            if connection is None or connection.node_id is None:
                continue
            if connection is not self._connections.to(connection.node_id):
                self.close(link, "an Attach has led to another link", now)

    def _bound(self, connection: Connection, now: float) -> None:
        """Keep the table within its limits: a node's oldest link goes, or the new one where there is no room."""
        if connection.node_id is not None:
            links = self._connections.links_to(connection.node_id)
            if len(links) > MAX_LINKS_OF_NODE:
                self.close(links[0].link, "newer links lead to the same node", now)
        if len(self._connections) > MAX_LINKS:
            self.close(connection.link, "too many links", now)
