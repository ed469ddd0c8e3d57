"""The Connection Table: links, and the nodes at their other ends (RFC 6940 sections 3.5, 6.1.2 and 6.5.1)."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import attrs

from reload.exchange import Link
from reload.limits import ERRORS_AT_ONCE, ERRORS_PER_SECOND, REQUESTS_AT_ONCE, REQUESTS_PER_SECOND, Bucket
from reload.ports import Identity

MAX_LINKS = 4096
"""Links at a time, some 2 kB each: a peer has some 150 of its own making, and the rest are clients and guests."""
MAX_LINKS_OF_NODE = 4
"""Links to one node: one is enough, two come of Attaches at the same time, and another while an old one times out."""
LOCAL: Link = 0
"""Stands for a link where a message of this node is for this node."""


@attrs.define
class Connection:
    """A link. `node_id` is who is at the other end, None while a node with several Node-IDs has not told which.

    `path_mtu` is how many octets of a message fit into a datagram, None where messages of any size go. A link that
    `is_failing` does not bring acknowledgements.
    """

    link: Link
    identity: Identity
    node_id: bytes | None
    is_attached: bool
    last_heard: float
    path_mtu: int | None
    requests: Bucket
    errors: Bucket
    is_failing: bool = False


class ConnectionTable:
    """Finds links by their number and by the node that they lead to."""

    def __init__(self) -> None:
        self._links: dict[Link, Connection] = {}
        self._of: dict[bytes, list[Connection]] = {}
        self._last = LOCAL

    def __len__(self) -> int:
        return len(self._links)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._links.values())

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._of

    def node_ids(self) -> Collection[bytes]:
        """The nodes that links lead to: a live view."""
        return self._of.keys()

    def get(self, link: Link) -> Connection | None:
        """The connection of this number."""
        return self._links.get(link)

    def to(self, node_id: bytes) -> Connection | None:
        """The link to use to this node: the newest one that works, or the newest one."""
        links = self._of.get(node_id)
        if not links:
            return None
        newest = links[-1]
        if newest.is_failing:
            return next((each for each in reversed(links) if not each.is_failing), newest)
        return newest

    def works(self, node_id: bytes) -> bool:
        """Whether a link to this node is not failing."""
        connection = self.to(node_id)
        return connection is not None and not connection.is_failing

    def links_to(self, node_id: bytes) -> tuple[Connection, ...]:
        """All links to this node, the newest last."""
        return tuple(self._of.get(node_id, ()))

    def is_attached(self, node_id: bytes) -> bool:
        """Whether this node is here by an Attach."""
        return any(connection.is_attached for connection in self._of.get(node_id, ()))

    def last_heard(self, node_id: bytes) -> float | None:
        """When the last message came from this node, on any link."""
        return max((connection.last_heard for connection in self._of.get(node_id, ())), default=None)

    def open(
        self,
        identity: Identity,
        now: float,
        *,
        node_id: bytes | None,
        is_attached: bool = False,
        path_mtu: int | None = None,
    ) -> Connection:
        """A new link."""
        self._last += 1
        requests = Bucket(REQUESTS_PER_SECOND, REQUESTS_AT_ONCE, now)
        errors = Bucket(ERRORS_PER_SECOND, ERRORS_AT_ONCE, now)
        connection = Connection(self._last, identity, None, is_attached, now, path_mtu, requests, errors)
        self._links[connection.link] = connection
        if node_id is not None:
            self.name(connection, node_id)
        return connection

    def name(self, connection: Connection, node_id: bytes) -> None:
        """Who is at the other end of a link turns out."""
        connection.node_id = node_id
        self._of.setdefault(node_id, []).append(connection)

    def close(self, link: Link) -> Connection | None:
        """Forget a link; None if there is no such link."""
        connection = self._links.pop(link, None)
        if connection is not None and connection.node_id is not None:
            left = [other for other in self._of[connection.node_id] if other is not connection]
            if left:
                self._of[connection.node_id] = left
            else:
                del self._of[connection.node_id]
        return connection
