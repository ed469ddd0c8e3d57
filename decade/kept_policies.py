"""Policies that accounts put for their applications: kept over a restart, and seen by every process of a server."""

from __future__ import annotations

from contextlib import suppress

from decade.errors import RefusedError, StateError, StoreError
from decade.messages import ResourcePolicy
from decade.policy import PolicyTree
from decade.ports import NodePath, Policies
from decade.waiting import Clock, Steps

REFRESH_EVERY = 1.0
"""Seconds until a process has seen what another one was told."""


class KeptPolicies:
    """The changes of a policy tree by the resource protocol."""

    def __init__(self, tree: PolicyTree, policies: Policies | None) -> None:
        """`policies`: where they are kept, if they are; what is there is put into the tree. Raises StoreError."""
        self._tree = tree
        self._policies = policies
        self._saving = 0
        self._version: int | None = None
        self._refreshed = 0.0
        self._refresh()

    def put(self, path: NodePath, policy: ResourcePolicy, clock: Clock) -> Steps[None]:
        """As `PolicyTree.put`. Raises StoreError too, and then nothing has changed."""
        before = self._tree.policy(path)
        self._tree.put(path, policy)
        yield from self._save(path, before, clock)

    def remove(self, path: NodePath, clock: Clock) -> Steps[None]:
        """As `PolicyTree.remove`. Raises StoreError too, and then nothing has changed."""
        before = self._tree.policy(path)
        self._tree.remove(path)
        yield from self._save(path, before, clock)

    def get_timer(self) -> float | None:
        """When to look for what other processes were told."""
        return None if self._policies is None else self._refreshed + REFRESH_EVERY

    def handle_timer(self, now: float) -> None:
        """Look for it."""
        if now >= self._refreshed + REFRESH_EVERY:
            self._refreshed = now
            # What cannot be read now is read later; what is known holds meanwhile.
            with suppress(StoreError):
                self._refresh()

    def _save(self, path: NodePath, before: ResourcePolicy | None, clock: Clock) -> Steps[None]:
        policies = self._policies
        if policies is None:
            return
        self._saving += 1
        try:
            # Of two that are saved at a time the one that is saved last has what is in the tree.
            yield from clock.wait(policies.waits, lambda: policies.save(path, self._tree.policy(path)))
        except StoreError:
            self._set(path, before)
            raise
        finally:
            self._saving -= 1

    def _refresh(self) -> None:
        # What is being saved is newer than what is kept.
        if self._policies is None or self._saving or self._policies.version() == self._version:
            return
        self._version = self._policies.version()
        for path, policy in self._policies.load().items():
            if policy != self._tree.policy(path):
                self._set(path, policy)

    def _set(self, path: NodePath, policy: ResourcePolicy | None) -> None:
        """As well as it goes: the account may be gone, or hold more by now."""
        with suppress(StateError, RefusedError):
            if policy is not None:
                self._tree.put(path, policy)
            else:
                self._tree.remove(path)
