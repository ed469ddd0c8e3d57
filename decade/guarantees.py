"""Rates that nodes get before others do: more is never promised than there is (RFC 7069 section 4.5).

The accounts of a server are guaranteed no more together than its ceiling, in either direction, and the applications of
an account no more than the account itself: what an account does not surely get it cannot give.
"""

from __future__ import annotations

import attrs

from decade.errors import ErrorCode, RefusedError
from decade.messages import ResourcePolicy
from decade.ports import NodePath

_NONE = (0, 0)


class Guarantees:
    """What is guaranteed at each node of a tree: bit/s of downloads and of uploads."""

    def __init__(self) -> None:
        self._at: dict[NodePath, tuple[int, int]] = {}
        self._below: dict[NodePath, tuple[int, int]] = {}

    def set(self, path: NodePath, policy: ResourcePolicy | None) -> None:
        """A node has this policy now; None: it is gone, or is to be asked for anew."""
        before, rates = self._at.pop(path, _NONE), _NONE if policy is None else _rates(policy)
        if rates != _NONE:
            self._at[path] = rates
        if path and rates != before:
            parent = path[:-1]
            taken = self._below.pop(parent, _NONE)
            taken = (taken[0] + rates[0] - before[0], taken[1] + rates[1] - before[1])
            if taken != _NONE:
                self._below[parent] = taken

    def check(self, path: NodePath, policy: ResourcePolicy, above: ResourcePolicy | None) -> None:
        """Whether a node may have this policy below a node with that one, which the provider has not.

        Raises RefusedError (ATTRIBUTE_NOT_PERMITTED) for more than there is, or than is guaranteed below.
        """
        fault = self._fault(path, policy, above)
        if fault is not None:
            raise RefusedError(ErrorCode.ATTRIBUTE_NOT_PERMITTED, f"{'/'.join(path) or 'the server'}: {fault}")

    def fitting(self, path: NodePath, policy: ResourcePolicy, above: ResourcePolicy) -> ResourcePolicy:
        """The policy as it is, or without guarantees if they do not fit."""
        if self._fault(path, policy, above) is None:
            return policy
        return without_guarantees(policy)

    def _fault(self, path: NodePath, policy: ResourcePolicy, above: ResourcePolicy | None) -> str | None:
        rates, ceilings = _rates(policy), (policy.ceiling_download, policy.ceiling_upload)
        if above is None:
            if rates != _NONE:
                return "nobody is above it who could guarantee it a rate"
        elif rates != _NONE:
            own, taken = self._at.get(path, _NONE), self._below.get(path[:-1], _NONE)
            for rate, ceiling, is_own, all_taken, most in zip(
                rates, ceilings, own, taken, _budget(path[:-1], above), strict=True
            ):
                if rate and ceiling is not None and rate > ceiling:
                    return f"a guarantee of {rate} bit/s above a ceiling of {ceiling}"
                if rate and all_taken - is_own + rate > most:
                    return f"a guarantee of {rate} bit/s, of {most} with {all_taken - is_own} guaranteed beside it"
        below = self._below.get(path, _NONE)
        for promised, most in zip(below, _budget(path, policy), strict=True):
            if promised > most:
                return f"{promised} bit/s are guaranteed below it, more than {most}"
        return None


def without_guarantees(policy: ResourcePolicy) -> ResourcePolicy:
    """The same policy without them."""
    made: ResourcePolicy = attrs.evolve(policy, guaranteed_download=None, guaranteed_upload=None)  # type: ignore[misc]
    return made


def _rates(policy: ResourcePolicy) -> tuple[int, int]:
    return policy.guaranteed_download or 0, policy.guaranteed_upload or 0


def _budget(path: NodePath, policy: ResourcePolicy) -> tuple[int, int]:
    """What a node may guarantee to those below it. Without a ceiling nobody knows what the server has."""
    return _rates(policy) if path else (policy.ceiling_download or 0, policy.ceiling_upload or 0)
