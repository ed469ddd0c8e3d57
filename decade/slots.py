"""Slots for connections, that is requests in progress, counted at each node of the policy tree and for each token."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import attrs

from decade.errors import Dimension, ErrorCode, RefusedError, StateError
from decade.ports import Connections

RETRY_AFTER = 1.0
"""Seconds until another try has a chance: an object of 64 MiB takes about as long on a fast line."""


@attrs.frozen(eq=False)
class Slot:
    """One connection, and where it counts; `shared`: where other processes count it, too."""

    nodes: tuple[Hashable, ...]
    shared: tuple[Hashable, ...] = ()


class ConnectionSlots:
    """The connections that are open. Under overload the newest, which is the one that comes, is sent away before its
    token is looked at; those that are open are nearer to their end, and are let get there.
    """

    def __init__(self, others: Connections | None = None) -> None:
        """`others`: where processes count together what has a limit. A connection that was open before its node had one
        is counted by its own process only.
        """
        self._others = others
        self._open: dict[Slot, None] = {}
        self._counts: dict[Hashable, int] = {}

    def __len__(self) -> int:
        """Connections that are open."""
        return len(self._open)

    def count(self, node: Hashable) -> int:
        """Connections that count at a node or a token."""
        own = self._counts.get(node, 0)
        return own if self._others is None else max(own, self._others.count(node))

    def is_open(self, slot: Slot) -> bool:
        """Whether a slot was not closed."""
        return slot in self._open

    def open(
        self, limits: Sequence[tuple[Hashable, int | None]], *, local: Sequence[tuple[Hashable, int]] = ()
    ) -> Slot:
        """Take a slot at every node, each with its limit, or at none: see `PolicyTree.connection_limits`. `local`: what
        other processes do not count, which costs less.

        Raises RefusedError (TOO_MANY_CONNECTIONS) with the limit and the use of the first that is full, StoreError.
        """
        for node, limit in (*limits, *local):
            if limit is not None and self._counts.get(node, 0) >= limit:
                raise _full(limit, self._counts.get(node, 0))
        shared: tuple[Hashable, ...] = ()
        if self._others is not None:
            bounds = [(node, limit) for node, limit in limits if limit is not None]
            if bounds and (found := self._others.open(bounds)) is not None:
                raise _full(bounds[found[0]][1], found[1])
            shared = tuple(node for node, _ in bounds)
        slot = Slot(tuple(node for node, _ in (*limits, *local)), shared)
        self._open[slot] = None
        for node in slot.nodes:
            self._counts[node] = self._counts.get(node, 0) + 1
        return slot

    def close(self, slot: Slot) -> None:
        """The request is done. Raises StateError if the slot is not open."""
        if slot not in self._open:
            raise StateError("this slot is not open")
        del self._open[slot]
        for node in slot.nodes:
            self._counts[node] -= 1
            if not self._counts[node]:
                del self._counts[node]
        if self._others is not None and slot.shared:
            self._others.close(slot.shared)


def _full(limit: int, used: int) -> RefusedError:
    return RefusedError(
        ErrorCode.TOO_MANY_CONNECTIONS,
        f"{limit} connections are in use",
        dimension=Dimension.CONNECTIONS,
        limit=limit,
        used=used,
        retry_after=RETRY_AFTER,
    )
