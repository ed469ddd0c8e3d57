"""By what right an object is read: by a token, or because anybody may (RFC 7069 sections 6.3 and 7)."""

from __future__ import annotations

from typing import Protocol

import attrs

from decade._core import Ask, Core
from decade.authz import Permission, Question
from decade.errors import Dimension, ErrorCode, RefusedError
from decade.http import DEFAULT_URGENCY, NO_SHARED_CACHE, SHARED_CACHE, public_control
from decade.messages import Access
from decade.names import Name
from decade.peer_failures import neighbours
from decade.ports import NodePath, Row
from decade.public import Openness, choose, openness
from decade.scheduler import Terms, token_terms
from decade.scope import Operation
from decade.slots import ConnectionSlots, Slot
from decade.uses import check_revoked
from decade.values import Priority
from decade.waiting import Steps

MAX_ANONYMOUS = 64
"""Reads without a token from one address at a time: a browser opens six connections; several may share an address."""
_URGENCY = {Priority.URGENT: 1, Priority.HIGH: 2, Priority.NORMAL: DEFAULT_URGENCY, Priority.LOW: 5}
_ANYBODY = (b"", b"")
"""Readers without a token are one flow of the node that pays, as those of one token are."""


class Held(Protocol):
    """What an answer holds while it is sent."""

    def start(self) -> None:
        """The first octet is about to go. Raises RefusedError."""

    def end(self, *, moved: int = 0) -> None:
        """The answer is over, after so many octets."""


class Right(Protocol):
    """What a request for an object may do, and who pays."""

    @property
    def row(self) -> Row:
        """The object."""

    @property
    def path(self) -> NodePath:
        """The node that pays."""

    @property
    def terms(self) -> Terms:
        """How the answer competes for the line."""

    @property
    def urgency(self) -> int:
        """That of the answer, for proxies on its way (RFC 9218)."""

    @property
    def cti(self) -> bytes | None:
        """Which token it is, None for none."""

    def control(self, wall: int) -> str:
        """What caches may do with the answer: the value of Cache-Control."""

    def admit(self, ask: Ask, octets: int) -> Steps[Held]:
        """Hold what the answer needs. Raises RefusedError, StoreError; then nothing is held."""

    def check(self, wall: int) -> None:
        """Whether the right is still there after a wait. Raises RefusedError, StoreError."""


@attrs.frozen
class TokenRight:
    """The right of who has a token."""

    core: Core
    permission: Permission
    row: Row

    @property
    def path(self) -> NodePath:
        """The node of the token."""
        return self.permission.path

    @property
    def terms(self) -> Terms:
        """Those of the token."""
        flow = self.permission.token.flow
        return token_terms(self.permission.path, flow.ledger_key, flow.policy)

    @property
    def urgency(self) -> int:
        """By the priority of the token."""
        priority = self.permission.token.flow.policy.priority
        return DEFAULT_URGENCY if priority is None else _URGENCY[priority]

    @property
    def cti(self) -> bytes | None:
        """That of the token."""
        return self.permission.token.claims.cti

    def control(self, wall: int) -> str:
        """Nobody is served from a cache that does not ask here first."""
        return _asked_each_time(self.core)

    def admit(self, ask: Ask, octets: int) -> Steps[Held]:
        """Hold a use of the token, and the octets."""
        return self.core.gate.admit(self.permission, ask, moved=octets)

    def check(self, wall: int) -> None:
        """Whether the object is still there, and the token not revoked."""
        self.permission.check_row(self.core.objects.get(self.row.account, self.row.name, wall))
        check_revoked(self.core.ledger, self.permission.token)


class _Slot:
    """A connection of who reads without a token."""

    def __init__(self, slots: ConnectionSlots, slot: Slot) -> None:
        self._slots = slots
        self._slot = slot

    def start(self) -> None:
        """Nothing is spent."""

    def end(self, *, moved: int = 0) -> None:
        """The connection is free again."""
        self._slots.close(self._slot)


@attrs.frozen
class PublicRight:
    """The right of anybody, or of anybody in a network. `peer`: the address of who asks."""

    core: Core
    row: Row
    openness: Openness
    peer: str

    @property
    def path(self) -> NodePath:
        """The node that pays for the object."""
        return self.row.payer

    @property
    def terms(self) -> Terms:
        """Those of all readers without a token together."""
        return token_terms(self.row.payer, _ANYBODY, None)

    @property
    def urgency(self) -> int:
        """As of what says nothing."""
        return DEFAULT_URGENCY

    @property
    def cti(self) -> bytes | None:
        """None."""
        return None

    def control(self, wall: int) -> str:
        """What is for everybody may be kept; what is for a network, only by asking here for each use."""
        if self.openness.access is Access.PUBLIC:
            return public_control(None if self.row.expires is None else self.row.expires - wall)
        return _asked_each_time(self.core)

    def admit(self, ask: Ask, octets: int) -> Steps[Held]:
        """Hold a connection of the node that pays, which is one of the client's address too."""
        return ask.wait(False, lambda: self._admit(octets))

    def check(self, wall: int) -> None:
        """Whether the object is still there, and still public."""
        self.core.objects.get(self.row.account, self.row.name, wall)
        if not openness(self.core.tree, self.row.payer).is_for(self.peer):
            raise RefusedError(ErrorCode.TOKEN_MISSING, "a token is needed")

    def _admit(self, octets: int) -> Held:
        gate, tree = self.core.gate, self.core.tree
        if octets and tree.effective(self.path).ceiling_download == 0:
            reason = "no bandwidth is granted"
            raise RefusedError(ErrorCode.RATE_LIMITED, reason, dimension=Dimension.BANDWIDTH, limit=0, used=0)
        own = (neighbours(self.peer), MAX_ANONYMOUS)
        return _Slot(gate.slots, gate.slots.open(tree.connection_limits(self.path), local=[own]))


def find_right(core: Core, ask: Ask, name: Name) -> TokenRight | PublicRight:
    """Steps 2 to 5 of the precedence for who wants to read an object. Raises RefusedError, DecodeError, StoreError.

    Who has no token is told that one is needed unless there is a public row: that of another object, or of none, is
    answered alike.
    """
    try:
        permission = core.permit(ask, Operation.GET, name)
    except RefusedError as error:
        is_possible = error.code == ErrorCode.TOKEN_MISSING and core.open_accounts is not None
        right = _public_right(core, ask, name) if is_possible else None
        if right is None:
            raise
        return right
    return TokenRight(core, permission, core.objects.get(permission.account, name, ask.wall))


def _public_right(core: Core, ask: Ask, name: Name) -> PublicRight | None:
    assert core.open_accounts is not None
    found = choose(core.open_accounts.rows(core.objects, name, ask.wall), core.tree, ask.peer, ask.wall)
    if found is None:
        return None
    question = Question(operation=Operation.GET, names=(name,), token=None, peer=ask.peer, request=ask.request)
    code = core.gate.local_policy(question, None) if core.gate.local_policy is not None else None
    if code is not None:
        raise RefusedError(code, "refused by the provider")
    return PublicRight(core, *found, ask.peer)


def _asked_each_time(core: Core) -> str:
    return SHARED_CACHE if core.settings.is_shared_cache_allowed else NO_SHARED_CACHE
