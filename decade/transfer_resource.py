"""Transfers as resources: ordered by POST, asked about by GET, cancelled by DELETE (RFC 7069 section 6.4)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from decade._core import Ask, Core
from decade.authz import Permission, Question, check_scope
from decade.cbor import MAX_MESSAGE
from decade.drp import MessageUpload, Route
from decade.errors import DecodeError, ErrorCode, RefusedError
from decade.http import Response, Upload, message_response, plain_response, read_bearer, read_length
from decade.messages import MEDIA_TYPE, Direction, Message, TransferRequest, encode_message
from decade.scope import Operation
from decade.settings import DRP_PATH, Extension
from decade.transfer_book import Transfer, Transfers
from decade.waiting import Clock, Steps

OPERATIONS = {Direction.PULL: Operation.PULL, Direction.PUSH: Operation.PUSH}
TRANSFER_KINDS = frozenset({"transfers", "transfer"})
"""The kinds of routes that are of this resource."""
_EXTENSION_OF = {Direction.PULL: Extension.PULL, Direction.PUSH: Extension.PUSH}


class TransferResource:
    """The transfers of a server, for whoever has a token."""

    def __init__(self, core: Core, transfers: Transfers, refuse: Callable[[Exception], Response]) -> None:
        """`refuse`: the answer to an error that ends a request with a body."""
        self._core = core
        self._transfers = transfers
        self._refuse = refuse

    def handle(self, ask: Ask, route: Route) -> Steps[Response | Upload]:
        """The steps from the second on, after `ControlResource.check`. Raises RefusedError, StoreError."""
        return self._post(ask) if route.kind == "transfers" else self._ask(ask, route.identifier)

    def _post(self, ask: Ask) -> Steps[Response | Upload]:
        permission = self._permit(ask)
        size = read_length(ask.request)
        if size > MAX_MESSAGE:
            raise RefusedError(ErrorCode.TOO_LARGE, f"messages have up to {MAX_MESSAGE} octets", limit=MAX_MESSAGE)
        admission = yield from self._core.gate.admit(permission, ask, moved=0)
        act = partial(self._order, permission)
        return MessageUpload(self._core, size, permission, admission, act, self._refuse, ask.now)

    def _ask(self, ask: Ask, identifier: bytes) -> Steps[Response | Upload]:
        permission = self._permit(ask)
        transfer = self._transfers.find(identifier, ask.now)
        if transfer is None or not _may_see(permission, transfer):
            raise RefusedError(ErrorCode.NOT_FOUND, "there is no such transfer")
        if ask.request.method != "HEAD":
            yield from self._core.spend(ask, permission)
        if ask.request.method == "DELETE":
            self._transfers.cancel(transfer, ask.now)
            return plain_response(204)
        return message_response(encode_message(transfer.status()), MEDIA_TYPE)

    def _order(self, permission: Permission, message: Message, clock: Clock) -> Steps[Response]:
        if not isinstance(message, TransferRequest):
            raise DecodeError("a message of another kind than TransferRequest")
        operation = OPERATIONS[message.direction]
        if _EXTENSION_OF[message.direction] not in self._core.settings.extensions:
            raise RefusedError(ErrorCode.OP_NOT_PERMITTED, f"this server does not {operation.name}")
        joins = (None if message.attrs is None else message.attrs.collections) or ()
        narrowed = self._core.gate.narrow(permission, operation, message.objects, joins)
        transfer = self._transfers.order(narrowed, message, clock.now, self._core.wall(clock.now))
        location = ("Location", f"{DRP_PATH}transfers/{transfer.id.hex()}")
        octets = encode_message(transfer.status())
        return clock.wait(False, partial(message_response, octets, MEDIA_TYPE, status=202, headers=(location,)))

    def _permit(self, ask: Ask) -> Permission:
        """Whether the token is for transfers at all; which objects, and which way, comes later. Raises RefusedError."""
        question = Question(
            operation=Operation.PULL,
            instead=Operation.PUSH,
            names=None,
            token=read_bearer(ask.request),
            peer=ask.peer,
            request=ask.request,
            uri=self._core.settings.server + ask.request.target,
            proof=ask.proof,
        )
        return self._core.gate.permit(question, now=ask.now, wall=ask.wall)


def _may_see(permission: Permission, transfer: Transfer) -> bool:
    """Whether this token has ordered a transfer, or is one of its account that could have. Whoever is given a token for
    one object learns nothing of the others.
    """
    if permission.account != transfer.account:
        return False
    if permission.token.ledger_key == transfer.errand.permission.token.ledger_key:
        return True
    try:
        check_scope(permission.token.claims.scope, OPERATIONS[transfer.request.direction], transfer.errand.names)
    except RefusedError:
        return False
    return True
