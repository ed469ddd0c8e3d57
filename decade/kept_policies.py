"""Policies that accounts put for their applications: kept over a restart, and seen by every process of a server.

A limit of storage holds everywhere from the answer on: who reserves does so against the version that is kept. Weights,
ceilings and the rest reach other processes within REFRESH_EVERY.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from decade.errors import StoreError
from decade.messages import ResourcePolicy
from decade.policy import PolicyTree, conflict, storage_error
from decade.ports import NodePath, Policies
from decade.waiting import Clock, Steps

REFRESH_EVERY = 1.0
"""Seconds until a process has seen what another one was told."""


class KeptPolicies:
    """The changes of a policy tree by the resource protocol."""

    def __init__(self, tree: PolicyTree, policies: Policies) -> None:
        """`policies`: where they are kept; what is there is laid over the tree. Raises StoreError."""
        self._tree = tree
        self._policies = policies
        self._version: int | None = None
        self._refreshed = 0.0
        tree.follow(self.refresh)
        self._read()

    def put(self, path: NodePath, policy: ResourcePolicy, clock: Clock) -> Steps[None]:
        """As `PolicyTree.check_put`, and then it is so. Raises StoreError too: then nothing has changed, or the medium
        does not know.
        """
        self._tree.check_put(path, policy)
        over = self._tree.configured(path)
        holding = yield from clock.wait(self._policies.waits, partial(self._policies.save, path, policy, over))
        if holding is not None:
            raise storage_error(path, policy.storage or 0, holding.used)
        self.refresh()

    def remove(self, path: NodePath, clock: Clock) -> Steps[None]:
        """As `PolicyTree.check_remove`, and then it is so. Raises StoreError as `put` does."""
        self._tree.check_remove(path)
        over = self._tree.configured(path)
        holding = yield from clock.wait(self._policies.waits, partial(self._policies.save, path, None, over))
        if holding is not None:
            raise conflict(path)
        self.refresh()

    def refresh(self) -> None:
        """Take over what is kept. What cannot be read now is read later; what is known holds meanwhile."""
        with suppress(StoreError):
            self._read()

    def get_timer(self) -> float | None:
        """When to look for what other processes were told."""
        return self._refreshed + REFRESH_EVERY if self._policies.waits else None

    def handle_timer(self, now: float) -> None:
        """Look for it."""
        if now >= self._refreshed + REFRESH_EVERY:
            self._refreshed = now
            self.refresh()

    def _read(self) -> None:
        version = self._policies.version()
        if version != self._version:
            puts = self._policies.load(self._tree.puts)
            self._version = version
            self._tree.lay(puts)
