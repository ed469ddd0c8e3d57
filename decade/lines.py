"""The line of a server in one direction: what goes at once, and who waits for a turn (RFC 7069 sections 4.5 and 5.3).

A transfer takes octets before it moves them: as many as go at once, or none, and then grants of all of them come in its
turn. It takes no more before it has them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Protocol

from decade.errors import StateError
from decade.messages import ResourcePolicy
from decade.policy import PROVIDER, PolicyTree
from decade.ports import NodePath
from decade.scheduler import LONE_QUANTUM, Grant, Scheduler, Terms
from decade.values import Priority


class Flowing(Hashable, Protocol):
    """What moves octets."""

    @property
    def terms(self) -> Terms:
        """How it competes for the line."""


class Line:
    """One direction, divided as the policy tree says, also when that changes."""

    def __init__(self, tree: PolicyTree, *, is_upload: bool, ceiling: int | None = None, parts: int = 1) -> None:
        """`ceiling`: bit/s of the whole server, besides what the tree says. Without it the line is never short, and
        nobody waits but for the ceilings of the tree and of tokens: the queue of the kernel knows no shares. `parts`:
        lines that share every ceiling and guarantee, each of which has an equal part.
        """
        self._scheduler = Scheduler(parts=parts)
        self._is_upload = is_upload
        self._ceiling = ceiling
        self._ended: deque[Grant] = deque()
        tree.listen(self._configure)

    def is_free(self, terms: Terms) -> bool:
        """Whether what moves on these terms never waits, until a policy changes."""
        return self._scheduler.is_free(terms)

    def take(self, transfer: Flowing, octets: int, now: float) -> int:
        """How many of its next octets a transfer may move at once. None: grants of all of them come in its turn."""
        scheduler, terms = self._scheduler, transfer.terms
        if scheduler.is_free(terms):
            return min(octets, LONE_QUANTUM)
        is_alone = not scheduler.is_waiting
        try:
            scheduler.offer(transfer, octets, terms)
        except StateError:
            self._ended.append(Grant(transfer, 0))
            return 0
        grant = scheduler.grant(now) if is_alone else None
        if grant is None:
            return 0
        if grant.octets < octets:
            scheduler.withdraw(transfer)
        return grant.octets

    def grant(self, now: float) -> Grant | None:
        """Who has waited and moves octets next; None if nobody does before `get_timer`.

        No octets: its node is gone, and it has to end.
        """
        if self._ended:
            return self._ended.popleft()
        return self._scheduler.grant(now)

    def withdraw(self, transfer: Hashable) -> None:
        """A transfer has ended; harmless if it does not wait."""
        self._scheduler.withdraw(transfer)
        if self._ended:
            self._ended = deque(grant for grant in self._ended if grant.transfer is not transfer)

    def get_timer(self) -> float | None:
        """When to call `grant`, maybe a time that is past; None if nobody waits."""
        return -1.0 if self._ended else self._scheduler.get_timer()

    def _configure(self, path: NodePath, policy: ResourcePolicy | None) -> None:
        if policy is None:
            self._ended += (Grant(transfer, 0) for transfer in self._scheduler.remove(path))
            return
        ceiling = policy.ceiling_upload if self._is_upload else policy.ceiling_download
        guarantee = policy.guaranteed_upload if self._is_upload else policy.guaranteed_download
        if path == PROVIDER:
            ceiling = min((one for one in (ceiling, self._ceiling) if one is not None), default=None)
        priority = Priority.NORMAL if policy.priority is None else policy.priority
        self._scheduler.configure(
            path, weight=policy.weight, ceiling=ceiling, priority=priority, guarantee=guarantee or 0
        )
