"""What the resources of a server have in common."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import TypeVar

import attrs

from decade.authz import Gate, Permission, Question
from decade.errors import DecodeError, ErrorCode, StoreError
from decade.http import Request, Response, problem_response, read_bearer, read_url_token
from decade.kept_policies import KeptPolicies
from decade.lines import Line
from decade.logs import Logs
from decade.memberships import check_collections
from decade.minting import TokenMint
from decade.objects import Objects
from decade.policy import PolicyTree
from decade.pop import ProofRecord
from decade.ports import Ledger, NodePath, Row
from decade.problem import Problem
from decade.public import OpenAccounts
from decade.scope import Operation
from decade.settings import Extension, Settings
from decade.tokens import TokenFeature
from decade.usage import TrafficCounter
from decade.uses import check_revoked
from decade.values import ObjectName
from decade.waiting import Clock, Steps

_T = TypeVar("_T")


@attrs.define(eq=False)
class Core:
    """The parts of a server. `epoch`: Unix time at `now` == 0, by the clock as it is set. `downloads`, `uploads`: what
    goes to clients, and what comes.
    """

    settings: Settings
    gate: Gate
    tree: PolicyTree
    ledger: Ledger
    objects: Objects
    traffic: TrafficCounter
    epoch: float
    downloads: Line
    uploads: Line
    policies: KeptPolicies
    mint: TokenMint | None = None
    logs: Logs | None = None
    open_accounts: OpenAccounts | None = None

    def wall(self, now: float) -> int:
        """Unix time; never before one that was seen earlier: a clock that is set back revives no token."""
        wall = self.ledger.observe(max(0, int(self.epoch + now)) if isfinite(now) else 0)
        self.gate.replays.start(wall)
        return wall

    def permit(
        self, ask: Ask, operation: Operation, name: ObjectName | None = None, joins: tuple[bytes, ...] = ()
    ) -> Permission:
        """Steps 2 to 4 of the precedence; `name` is None for the account itself, and what is stored is to be in the
        collections of `joins`. Raises RefusedError, DecodeError.
        """
        names = () if name is None else (name,)
        question = Question(
            operation=operation,
            names=names,
            token=self._token(ask.request, operation),
            peer=ask.peer,
            request=ask.request,
            uri=self.settings.server + ask.request.target,
            proof=ask.proof,
            joins=joins,
        )
        return self.gate.permit(question, now=ask.now, wall=ask.wall)

    def check_collections(self, asked: tuple[bytes, ...] | None, permission: Permission) -> None:
        """Whether an object may be in the collections that were asked for, and in those of the token.

        Raises RefusedError (ATTRIBUTE_NOT_PERMITTED).
        """
        if asked is not None or permission.policy.collections is not None:
            check_collections(permission.joins, is_on=TokenFeature.COLLECTIONS in self.settings.extensions)

    def check_held(self, permission: Permission, row: Row, now: float) -> None:
        """Whether an object that has come may be stored where the account may have got another row of it.

        Raises RefusedError (OBJECT_NOT_PERMITTED), StoreError.
        """
        if TokenFeature.COLLECTIONS in self.settings.extensions:
            permission.check_row(self.objects.find(row.account, row.name, self.wall(now)) or row)

    def count_sent(self, row: Row, path: NodePath, cti: bytes | None, octets: int, now: float, wall: int) -> None:
        """Octets of an object were sent; the node at `path` pays, and `cti` is that of the token, None for none."""
        self.traffic.add_sent(path, octets, now)
        try:  # noqa: SIM105 - `suppress` takes a tenth of the time that a recalled answer does
            self.objects.count_read(row, octets, wall)
        except StoreError:
            # Who has read it is answered already: a count that is lost is no reason to fail.
            pass
        if self.logs is not None:
            self.logs.add_read(row.account, row.name, cti, octets, wall)

    def _token(self, request: Request, operation: Operation) -> bytes | None:
        token = read_bearer(request)
        if operation is not Operation.GET or Extension.DT not in self.settings.extensions:
            return token
        in_url = read_url_token(request)
        if token is not None and in_url is not None:
            # RFC 6750 section 2: "Clients MUST NOT use more than one method to transmit the token in each request."
            raise DecodeError("a token in the header and one in the URL")
        return in_url if token is None else token

    def spend(self, ask: Ask, permission: Permission) -> Steps[None]:
        """One use of the token, for an answer that moves no object. Raises RefusedError, StoreError."""
        admission = yield from self.gate.admit(permission, ask, moved=0)
        try:
            admission.start()
        finally:
            admission.end()

    def act(self, ask: Ask, permission: Permission, act: Callable[[], Steps[_T | None]]) -> Steps[_T | None]:
        """Do something for one use of the token; if it cannot be done, which is None or an error, no use is spent.

        Raises RefusedError, StoreError, and what `act` raises.
        """
        admission = yield from self.gate.admit(permission, ask, moved=0)
        try:
            if ask.has_waited:
                check_revoked(self.ledger, permission.token)
            done = yield from act()
            if done is not None:
                admission.spend()
        finally:
            admission.end()
        return done


@attrs.define
class Ask(Clock):
    """A request, the address of who asks, and when: at a Unix time that stays what it was at first.

    `proof`: that of its token's possession, once it is recorded.
    """

    request: Request
    peer: str
    wall: int
    proof: ProofRecord | None = None


def refuse_method(*allowed: str) -> Response:
    """405: the resource is there, the method is not."""
    problem = Problem(code=ErrorCode.MALFORMED, title="method not allowed")
    return problem_response(problem, status=405, headers=(("Allow", ", ".join(allowed)),))


def refuse_format(what: str) -> Response:
    """415: a body in a form that is not supported."""
    return problem_response(Problem(code=ErrorCode.MALFORMED, title=what), status=415)
