"""Whether a request may go on, decided in one fixed order (PROFILE.md section 9; RFC 7069 section 6.3 leaves it open).

The order keeps secrets and costs: overload is answered before any signature is looked at, and nobody learns whether an
object is there who may not read it. A request that fails at one step has left nothing of a later one: `Gate.permit`
asks up to PERMISSION and holds nothing; the server looks for the object, at preconditions and for storage; then
`Gate.admit` holds what the request needs until `Admission.end`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import TypeAlias

import attrs

from decade.errors import Dimension, ErrorCode, RefusedError, StoreError
from decade.http import Request
from decade.memberships import joined
from decade.messages import Revocation
from decade.names import Name
from decade.peer_failures import PeerFailures
from decade.policy import Effective, PolicyTree
from decade.pop import ProofRecord, Replays, UnrecordedError, check_object, prove
from decade.ports import Allowance, Ledger, NodePath, Row, Use
from decade.scope import Collection, Everything, Object, Operation, Publisher, Scope, Target, TokenPolicy
from decade.slots import ConnectionSlots, Slot
from decade.token_cache import VerifiedTokenCache
from decade.tokens import SKEW, VerifiedToken
from decade.uses import TokenUse, UseState, check_revoked, check_uses, hold_use, is_counted
from decade.values import BitRate, ObjectName, SignedName
from decade.waiting import Clock, Steps

FORGET_EVERY = 60
"""Seconds between two sweeps of the ledger."""

_UPLOADS = Operation.PUT | Operation.PULL
_ONCE, _ONE = Allowance(uses=1), Use(uses=1)


class Step(IntEnum):
    """The steps of section 9. REQUEST, EXISTENCE, PRECONDITION and TRANSFER are the server's own."""

    REQUEST = 1
    OVERLOAD = 2
    TOKEN = 3
    PERMISSION = 4
    EXISTENCE = 5
    PRECONDITION = 6
    ADMISSION = 7
    TRANSFER = 8


@attrs.frozen(kw_only=True)
class Question:
    """What a request asks for. `names`: the objects that it is about, () for the account itself, None while the body
    that names them is to come. `peer`: the address that its bad tokens are counted by. `request`, `uri`: what a proof
    of possession signs, and `proof` the one that was recorded. `instead`: an operation that will do as well, until the
    body tells which it is. `joins`: collections that what is stored is to be in.
    """

    operation: Operation
    names: tuple[ObjectName, ...] | None
    token: bytes | None = attrs.field(repr=False)
    peer: str
    request: Request = attrs.field(default=Request("GET", "/"), repr=False)
    uri: str = ""
    instead: Operation | None = None
    proof: ProofRecord | None = None
    joins: tuple[bytes, ...] = ()


Members: TypeAlias = Callable[[str, ObjectName, float], tuple[bytes, ...]]
"""The collections that an object of an account is in at a Unix time."""
LocalPolicy: TypeAlias = Callable[[Question, VerifiedToken | None], ErrorCode | None]
"""A provider's own reasons to refuse (RFC 7069 section 5.5): CLIENT_NOT_PERMITTED, LEGAL_BLOCK, or None to go on. The
token is None for who reads what is public without one.
"""


@attrs.frozen
class Permission:
    """A request whose token permits it. `path`: the node that pays; `effective`: what holds there."""

    question: Question
    token: VerifiedToken
    path: NodePath
    effective: Effective
    digest: bytes | None = None

    @property
    def account(self) -> str:
        """Whose rows it reaches."""
        return self.token.account

    @property
    def policy(self) -> TokenPolicy:
        """The resources that the token may use."""
        return self.token.policy

    @property
    def joins(self) -> tuple[bytes, ...]:
        """The collections that what is stored is in: those of the token, and those that were asked for."""
        return joined(self.question.joins, self.policy.collections or ())

    def row(self, name: Name, size: int, created: int, expires: int, media_type: str | None) -> Row:
        """What is to be stored by this right, and who pays for it. Times are seconds since 1970."""
        return Row(
            account=self.account,
            name=name,
            size=size,
            payer=self.path,
            created=created,
            expires=expires,
            media_type=media_type,
            collections=self.joins,
        )

    def check_row(self, row: Row) -> None:
        """Whether the token reaches an object by the collections that it is in by now.

        Raises RefusedError (OBJECT_NOT_PERMITTED).
        """
        signed = [name for name in self.question.names or () if isinstance(name, SignedName)]
        _check_reach(self.token, self.question.operation, signed[0] if signed else row.name, row.collections)

    def reaches(self, row: Row) -> bool:
        """Whether `check_row` would raise nothing."""
        try:
            self.check_row(row)
        except RefusedError:
            return False
        return True

    def holds(self, row: Row) -> bool:
        """Whether what is stored is there already, and may be changed without its octets: it is in all collections that
        it is to be in. Who could put an object into one without having it, would read it there.
        """
        return self.reaches(row) and set(self.joins) <= set(row.collections)


class Admission:
    """What a request holds while it is in progress: a use of its token, and a connection. `end` it, once."""

    def __init__(
        self, ledger: Ledger, permission: Permission, use: TokenUse, slot: Slot, slots: ConnectionSlots
    ) -> None:
        """For `Gate.admit`."""
        self._ledger = ledger
        self._token = permission.token
        self._slots = slots
        self.use = use
        self.slot = slot

    def start(self) -> None:
        """The first octet is about to go or to be taken, or a 304 is about to go: the use is spent.

        Raises RefusedError (TOKEN_REVOKED) if the token was revoked meanwhile, StateError if it has started before.
        """
        if self.use.state is UseState.HELD:
            try:
                check_revoked(self._ledger, self._token)
            except RefusedError:
                self.use.revoke()
                raise
        self.use.spend()

    def spend(self) -> None:
        """What was asked for is done: the use is spent, and a revocation from now on, which it may be itself, comes too
        late. Harmless when it has started.
        """
        if self.use.state is UseState.HELD:
            self.use.spend()

    def end(self, *, moved: int = 0, stored: int = 0) -> None:
        """The request is over; if it has started, after so many octets, of which so many are stored. What it has not
        used is returned. Harmless when repeated. Raises StateError if more was moved or stored than was held.
        """
        try:
            if self.use.state is UseState.HELD:
                self.use.give_back()
            elif self.use.state is UseState.SPENT:
                self.use.settle(amount=moved, storage=stored)
        finally:
            if self._slots.is_open(self.slot):
                self._slots.close(self.slot)


class Gate:
    """Decides about requests, and revokes."""

    def __init__(
        self,
        *,
        tokens: VerifiedTokenCache,
        ledger: Ledger,
        tree: PolicyTree,
        slots: ConnectionSlots,
        max_life: int,
        is_overloaded: Callable[[], bool],
        local_policy: LocalPolicy | None = None,
        members: Members = lambda account, name, wall: (),
    ) -> None:
        """`max_life`: the seconds that a token lives at most. `is_overloaded`: whether to shed what comes."""
        self.tokens = tokens
        self.ledger = ledger
        self.tree = tree
        self.slots = slots
        self.is_overloaded = is_overloaded
        self.local_policy = local_policy
        self.members = members
        self.failures = PeerFailures()
        self.replays = Replays()
        self._max_life = max_life
        self._forgotten: int | None = None

    def permit(self, question: Question, *, now: float, wall: float) -> Permission:
        """Ask what PRECEDENCE has up to PERMISSION; nothing is held or used.

        `wall`: Unix time; a clock that was set back does not count. Raises RefusedError with the first reason, and
        UnrecordedError for a proof of possession that `record` has to see before.
        """
        passage = _Passage(question, now, self.observe(wall))
        for _, check in PRECEDENCE:
            check(self, passage)
        return Permission(question, passage.token, passage.path, passage.effective, passage.digest)

    def record(self, proof: ProofRecord, clock: Clock, peer: str) -> Steps[ProofRecord]:
        """Count a proof, which holds once wherever it is shown. Raises RefusedError, StoreError."""
        hold = partial(self.ledger.hold, proof.account, proof.key, _ONCE, _ONE, proof.until)
        if (yield from clock.wait(self.ledger.waits, hold)) is not None:
            self.failures.count(peer, clock.now)
            raise RefusedError(ErrorCode.POP_FAILED, "signature of the request: used before")
        return proof

    def narrow(
        self,
        permission: Permission,
        operation: Operation,
        names: tuple[ObjectName, ...],
        joins: tuple[bytes, ...] = (),
    ) -> Permission:
        """What the body of a request asks for, now that it is here: PERMISSION again, for these objects, which are
        to be in these collections. Raises RefusedError with the first reason.
        """
        question = attrs.evolve(permission.question, operation=operation, names=names, joins=joins, instead=None)
        passage = _Passage(question, 0.0, 0.0)
        passage.token, passage.path = permission.token, permission.path
        _check_scope(self, passage)
        _check_client(self, passage)
        return attrs.evolve(permission, question=question, effective=passage.effective)

    def admit(self, permission: Permission, clock: Clock, *, moved: int, stored: int = 0) -> Steps[Admission]:
        """Hold one use of the token, the octets that the request may move and store, and a connection: ADMISSION.

        Who stores has reserved the storage before. Whether the token was revoked while this waited is looked at when
        the request starts. Raises RefusedError with the first reason, and StoreError; then nothing is held.
        """
        waits = self.ledger.waits and is_counted(permission.token)
        hold = partial(hold_use, self.ledger, permission.token, Use(1, moved, stored))
        use = (yield from clock.wait(True, hold)) if waits else hold()
        own = tuple((level.ledger_key, level.policy.connections) for level in permission.token.levels)
        try:
            slot = self.slots.open((*self.tree.connection_limits(permission.path), *own))
        except (RefusedError, StoreError):
            use.give_back()
            raise
        admission = Admission(self.ledger, permission, use, slot, self.slots)
        if moved and _has_no_bandwidth(permission):
            admission.end()
            reason = "no bandwidth is granted"
            raise RefusedError(ErrorCode.RATE_LIMITED, reason, dimension=Dimension.BANDWIDTH, limit=0, used=0)
        return admission

    def revoke(self, node: NodePath, revocation: Revocation, clock: Clock, *, wall: float) -> Steps[None]:
        """Revoke tokens of keys at the node that asks, and below it. Raises RefusedError, with nothing revoked, for one
        too many, and StoreError.
        """
        latest = int(self.observe(wall)) + SKEW
        # No token that is accepted by then expires later, and none is accepted for more than SKEW after that.
        until = latest + self._max_life + SKEW
        record = partial(self.ledger.revoke, node, revocation, wall=latest, until=until)
        yield from clock.wait(self.ledger.waits, record)
        self.tokens.revoke(node, revocation)

    def observe(self, wall: float) -> float:
        """The time of a request; the ledger is swept now and then."""
        highest = self.ledger.observe(int(wall))
        if self._forgotten is None or highest >= self._forgotten + FORGET_EVERY:
            self._forgotten = highest
            with suppress(StoreError):  # it is asked to again
                self.ledger.forget()
        return max(wall, highest)


class _Passage:
    """A question, and what the checks have found so far."""

    def __init__(self, question: Question, now: float, wall: float) -> None:
        self.question = question
        self.now = now
        self.wall = wall
        self.token: VerifiedToken
        self.path: NodePath
        self.effective: Effective
        self.digest: bytes | None = None


def _shed(gate: Gate, passage: _Passage) -> None:
    if gate.is_overloaded():
        raise RefusedError(ErrorCode.OVERLOADED, "overloaded")
    if passage.question.token is not None:
        gate.failures.check(passage.question.peer, passage.now)


def _verify(gate: Gate, passage: _Passage) -> None:
    question = passage.question
    if question.token is None:
        raise RefusedError(ErrorCode.TOKEN_MISSING, "a token is needed")
    try:
        passage.token = gate.tokens.verify(question.token, passage.wall)
    except RefusedError:
        gate.failures.count(question.peer, passage.now)
        raise
    passage.path = passage.token.path


def _check_revoked(gate: Gate, passage: _Passage) -> None:
    check_revoked(gate.ledger, passage.token)


def _check_uses(gate: Gate, passage: _Passage) -> None:
    check_uses(gate.ledger, passage.token)


def _check_holder(gate: Gate, passage: _Passage) -> None:
    question, token = passage.question, passage.token
    if token.claims.cnf is None:
        return
    keys, wall = gate.tokens.rules.keys, passage.wall
    if question.proof is not None and question.proof.is_by(token, keys):
        passage.digest = question.proof.digest
        return
    try:
        proof = prove(token, question.request, question.uri, keys=keys, replays=gate.replays, wall=wall)
        check_object(proof, question.operation, question.names or ())
    except RefusedError:
        gate.failures.count(question.peer, passage.now)
        raise
    raise UnrecordedError(proof)


def _check_scope(gate: Gate, passage: _Passage) -> None:
    token, question, operation = passage.token, passage.question, passage.question.operation
    scope, is_stored = token.claims.scope, operation in _UPLOADS

    def collections(name: ObjectName) -> tuple[bytes, ...]:
        found = gate.members(token.account, name, passage.wall)
        return (*found, *question.joins, *(token.policy.collections or ())) if is_stored else found

    try:
        check_scope(scope, operation, question.names, collections)
    except RefusedError as error:
        if question.instead is None or error.code != ErrorCode.OP_NOT_PERMITTED:
            raise
        check_scope(scope, question.instead, question.names)
    if token.policy.collections is not None and not is_stored:
        for name in question.names or ():
            _check_reach(token, operation, name, collections(name))


def _check_client(gate: Gate, passage: _Passage) -> None:
    check_peer(passage.token.policy, passage.question.peer)
    passage.effective = gate.tree.effective(passage.path)
    code = gate.local_policy(passage.question, passage.token) if gate.local_policy is not None else None
    if code is not None:
        raise RefusedError(code, "refused by the provider")


PRECEDENCE: tuple[tuple[Step, Callable[[Gate, _Passage], None]], ...] = (
    (Step.OVERLOAD, _shed),
    (Step.TOKEN, _verify),
    (Step.TOKEN, _check_revoked),
    (Step.TOKEN, _check_uses),
    (Step.TOKEN, _check_holder),
    (Step.PERMISSION, _check_scope),
    (Step.PERMISSION, _check_client),
)
"""The checks in their order. Those of a token's form, signature, audience and time are in that order in the first of
its step.
"""


def _check_reach(token: VerifiedToken, operation: Operation, name: ObjectName, collections: tuple[bytes, ...]) -> None:
    """Whether a token reaches an object that is in these collections. Raises RefusedError (OBJECT_NOT_PERMITTED)."""
    check_scope(token.claims.scope, operation, (name,), lambda _: collections)
    if operation not in _UPLOADS and not set(token.policy.collections or ()) <= set(collections):
        raise RefusedError(ErrorCode.OBJECT_NOT_PERMITTED, "token: not for this object")


def check_scope(
    scope: Scope,
    operation: Operation,
    names: tuple[ObjectName, ...] | None,
    collections: Callable[[ObjectName], tuple[bytes, ...]] = lambda name: (),
) -> None:
    """Raises RefusedError: OP_NOT_PERMITTED if the operation is nowhere in the scope, OBJECT_NOT_PERMITTED if it is not
    for each of these objects; for the account itself, which has no name, only "everything" will do. None: any object.
    `collections`: those that an object is in.
    """
    targets = [target for target, operations in scope if operation in operations]
    if not targets:
        raise RefusedError(ErrorCode.OP_NOT_PERMITTED, f"token: not for {operation.name}")
    if names is None:
        return
    if Everything() in targets:
        return
    permitted = {target.name for target in targets if isinstance(target, Collection)}
    for name in names or (None,):
        is_named = Object(name) in targets or _is_published(targets, name) if name is not None else False
        if name is None or not (is_named or (permitted and permitted & set(collections(name)))):
            raise RefusedError(ErrorCode.OBJECT_NOT_PERMITTED, "token: not for this object")


def _is_published(targets: list[Target], name: ObjectName) -> bool:
    return isinstance(name, SignedName) and any(
        isinstance(target, Publisher) and target.name == name.publisher and name.label.startswith(target.prefix)
        for target in targets
    )


def check_peer(policy: TokenPolicy, peer: str) -> None:
    """Raises RefusedError (CLIENT_NOT_PERMITTED) if a token is for other addresses than that of who asks."""
    if policy.ip_prefixes is None:
        return
    try:
        address = ip_address(peer)
    except ValueError:
        address = None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address is None or all(address not in prefix for prefix in policy.ip_prefixes):
        raise RefusedError(ErrorCode.CLIENT_NOT_PERMITTED, "token: not for this address")


def _has_no_bandwidth(permission: Permission) -> bool:
    """Whether a ceiling of nothing would let it wait for ever."""
    effective = permission.effective
    is_upload = permission.question.operation in _UPLOADS
    ceiling = effective.ceiling_upload if is_upload else effective.ceiling_download
    return ceiling == 0 or permission.policy.bandwidth == BitRate(0)
