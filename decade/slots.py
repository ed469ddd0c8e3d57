"""Slots for connections, that is requests in progress, counted at each node of the policy tree and for each token."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import attrs

from decade.errors import Dimension, ErrorCode, RefusedError, StateError

RETRY_AFTER = 1.0
"""Seconds until another try has a chance: an object of 64 MiB takes about as long on a fast line."""


@attrs.frozen(eq=False)
class Slot:
    """One connection, and where it counts."""

    nodes: tuple[Hashable, ...]


class ConnectionSlots:
    """The connections that are open. Under overload the newest, which is the one that comes, is sent away before its
    token is looked at; those that are open are nearer to their end, and are let get there.
    """

    def __init__(self) -> None:
        self._open: dict[Slot, None] = {}
        self._counts: dict[Hashable, int] = {}

    def __len__(self) -> int:
        """Connections that are open."""
        return len(self._open)

    def count(self, node: Hashable) -> int:
        """Connections that count at a node or a token."""
        return self._counts.get(node, 0)

    def is_open(self, slot: Slot) -> bool:
        """Whether a slot was not closed."""
        return slot in self._open

    def open(self, limits: Sequence[tuple[Hashable, int | None]]) -> Slot:
        """Take a slot at every node, each with its limit, or at none: see `PolicyTree.connection_limits`.

        Raises RefusedError (TOO_MANY_CONNECTIONS) with the limit and the use of the first that is full.
        """
        for node, limit in limits:
            if limit is not None and self.count(node) >= limit:
                raise RefusedError(
                    ErrorCode.TOO_MANY_CONNECTIONS,
                    f"{limit} connections are in use",
                    dimension=Dimension.CONNECTIONS,
                    limit=limit,
                    used=self.count(node),
                    retry_after=RETRY_AFTER,
                )
        slot = Slot(tuple(node for node, _ in limits))
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
