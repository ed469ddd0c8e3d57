"""What is to be stored at one other peer: in order, some at a time, slower where nothing comes of it."""

from __future__ import annotations

from typing import TypeAlias

import attrs

Place: TypeAlias = tuple[int, bytes]
"""Where a value stands at its resource: the Kind-ID, and the octets of an index or a key as the wire has them."""

MAX_PER_PEER = 8
"""Stores under way to one peer: as many as its answers keep moving, and no burst that crowds others out."""
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
"""Seconds without a Store to a peer that has refused one or not answered: doubled each time."""


@attrs.define(eq=False)
class Due:
    """Values of one resource that a peer is to have: those at `places`, or all.

    `is_doubted`: the peer has refused them, so only those that hold are sent again. `is_merged`: what the peer has
    newer was fetched. `most`: so many go at once, as what the peer has in their places was too large for an answer.
    """

    places: set[Place] | None
    failures: int = 0
    is_doubted: bool = False
    is_merged: bool = False
    most: int | None = None

    def add(self, places: set[Place] | None) -> None:
        """More of them."""
        self.places = None if places is None or self.places is None else self.places | places


@attrs.define(eq=False)
class Backlog:
    """What one peer is to have, by Resource-ID, and what of it is under way."""

    due: dict[bytes, Due] = attrs.Factory(dict)
    flying: dict[bytes, Due] = attrs.Factory(dict)
    failures: int = 0
    resume_at: float = float("-inf")

    def add(self, resource_id: bytes, places: set[Place] | None) -> None:
        """The peer is to have these values too."""
        found = self.due.get(resource_id)
        if found is None:
            self.due[resource_id] = Due(places)
        else:
            found.add(places)

    def has(self, resource_id: bytes) -> bool:
        """Whether something of this resource is due or under way."""
        return resource_id in self.due or resource_id in self.flying

    def next(self) -> bytes | None:
        """The resource to go on with; of each, one Store is under way at a time."""
        return next((resource_id for resource_id in self.due if resource_id not in self.flying), None)

    def can_send(self, now: float) -> bool:
        """Whether another Store may go out. While nothing comes of them, they go one by one."""
        if self.resume_at > now or len(self.flying) >= (1 if self.failures else MAX_PER_PEER):
            return False
        return self.next() is not None

    def succeeded(self, resource_id: bytes) -> Due:
        """The Store under way was answered."""
        self.failures = 0
        self.resume_at = float("-inf")
        return self.flying.pop(resource_id)

    def again(self, resource_id: bytes, due: Due) -> None:
        """More of a resource is to be stored, with what has become due meanwhile."""
        came = self.due.pop(resource_id, None)
        if came is not None:
            due.add(came.places)
        self.due[resource_id] = due

    def failed(self, resource_id: bytes, now: float) -> Due:
        """Nothing came of the Store under way: it goes behind the others, after a pause."""
        due = self.flying.pop(resource_id)
        due.failures += 1
        self.again(resource_id, due)
        if self.resume_at <= now:
            # Of those that were under way at once, one is enough to slow down.
            self.failures += 1
            self.resume_at = now + min(FIRST_PAUSE * 2.0 ** min(self.failures - 1, 10), LONGEST_PAUSE)
        return due
