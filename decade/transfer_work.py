"""What a transfer request asks for, once it was read and permitted (RFC 7069 section 6.4)."""

from __future__ import annotations

import attrs

from decade._core import Core
from decade.authz import Permission
from decade.errors import ErrorCode, RefusedError
from decade.http import read_media_type
from decade.messages import StoredAttrs, TransferRequest
from decade.names import Name
from decade.scheduler import Terms, token_terms
from decade.uses import check_revoked
from decade.values import ABSENT, BitRate, ObjectName, Priority, Weight

LONGEST_TRANSFER = 86400.0
"""Seconds until the deadline of a transfer at most, and without one: a remote server may be down for a night."""


@attrs.frozen
class Errand:
    """What the objects of a transfer have in common, at our end.

    `expires`, `media_type`: attributes at the storing side, None where the request has none. `deadline`: on the clock
    of `now`. `terms`: how it competes for the line.
    """

    permission: Permission
    names: tuple[Name, ...]
    expires: int | None
    media_type: str | None
    deadline: float
    terms: Terms

    @property
    def urgency(self) -> tuple[int, int]:
        """The least goes first, among the objects of an account."""
        return self.terms.priority, -self.terms.weight

    def renewed(self, core: Core) -> Permission:
        """The permission as it is now. Raises RefusedError: the token may be revoked, its node may be gone."""
        check_revoked(core.ledger, self.permission.token)
        return attrs.evolve(self.permission, effective=core.tree.effective(self.permission.path))


def read_names(objects: tuple[ObjectName, ...], limit: int) -> tuple[Name, ...]:
    """The objects, each once. Raises RefusedError: TOO_LARGE for too many, DIGEST_UNSUPPORTED for signed names."""
    if len(objects) > limit:
        raise RefusedError(ErrorCode.TOO_LARGE, f"a transfer has up to {limit} objects", limit=limit)
    names = tuple(name for name in dict.fromkeys(objects) if isinstance(name, Name))
    if len(names) != len(set(objects)):
        raise RefusedError(ErrorCode.DIGEST_UNSUPPORTED, "signed names are not supported")
    return names


def read_errand(core: Core, permission: Permission, request: TransferRequest, now: float, wall: int) -> Errand:
    """Raises RefusedError, and DecodeError for a media type that is none."""
    names = read_names(request.objects, core.settings.limits.max_transfer_objects)
    wanted = request.attrs or StoredAttrs()
    if wanted.expires is None:
        raise RefusedError(ErrorCode.ATTRIBUTE_NOT_PERMITTED, "every object expires")
    if wanted.collections is not None and request.direction:
        # It is the other server that stores them, by the rules of its own token.
        raise RefusedError(ErrorCode.ATTRIBUTE_NOT_PERMITTED, "collections of what is pushed are not supported")
    core.check_collections(wanted.collections, permission)
    expires = None if wanted.expires is ABSENT else wanted.expires
    if request.direction == 0:
        core.objects.expiry(permission, expires, wall)
    left = LONGEST_TRANSFER if request.deadline is None else min(float(request.deadline - wall), LONGEST_TRANSFER)
    if left <= 0:
        raise RefusedError(ErrorCode.DEADLINE_EXCEEDED, "the deadline is past")
    return Errand(
        permission, names, expires, read_media_type(wanted.media_type), now + left, _terms(permission, request)
    )


def _terms(permission: Permission, request: TransferRequest) -> Terms:
    """Those of the token, or less. Nobody waits at a screen for what has no priority in its request: it is in the
    background.
    """
    policy, asked, flow = permission.policy, request.bandwidth, permission.token.flow
    granted = token_terms(permission.path, flow.ledger_key, flow.policy)
    priority = Priority.LOW if request.priority is None else request.priority
    ceilings = [one for one in (granted.ceiling, asked.bps if isinstance(asked, BitRate) else None) if one is not None]
    return attrs.evolve(
        granted,
        weight=asked.value if isinstance(asked, Weight) else granted.weight,
        ceiling=min(ceilings, default=None),
        priority=priority if policy.priority is None else max(priority, policy.priority),
    )
