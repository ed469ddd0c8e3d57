"""Storing an object without sending it: challenges and claims (RFC 7069 appendix A.1.3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from decade._core import Ask, Core
from decade.authz import Permission, Question
from decade.cbor import MAX_MESSAGE
from decade.challenge import STRIDE, Challenges, is_proven
from decade.drp import MessageUpload, Route
from decade.errors import DecodeError, ErrorCode, RefusedError
from decade.http import Response, Upload, message_response, plain_response, read_bearer, read_length, read_media_type
from decade.messages import MEDIA_TYPE, ChallengeRequest, Claim, Message, StoredAttrs, encode_message
from decade.objects import Incoming
from decade.ports import Reader, Row, Use
from decade.scope import Operation
from decade.uses import check_allowance, hold_use, is_counted
from decade.values import ABSENT
from decade.waiting import Clock, Steps

MAX_ASKED = 8
"""Rows of an object that are looked at for one that has not expired: what has expired is removed in a second or so."""
CHALLENGE_KINDS = frozenset({"challenges", "claims"})
"""The kinds of routes that are of this resource."""


class ChallengeResource:
    """Seeds for who has an object, and rows for who has shown it."""

    def __init__(self, core: Core, challenges: Challenges, refuse: Callable[[Exception], Response]) -> None:
        """`refuse`: the answer to an error that ends a request with a body."""
        self._core = core
        self._challenges = challenges
        self._refuse = refuse

    def handle(self, ask: Ask, route: Route) -> Steps[Response | Upload]:
        """The steps from the second on, after `ControlResource.check`. Raises RefusedError, StoreError."""
        core = self._core
        question = Question(
            operation=Operation.PUT,
            names=None,
            token=read_bearer(ask.request),
            peer=ask.peer,
            request=ask.request,
            uri=core.settings.server + ask.request.target,
            proof=ask.proof,
        )
        permission = core.gate.permit(question, now=ask.now, wall=ask.wall)
        size = read_length(ask.request)
        if size > MAX_MESSAGE:
            raise RefusedError(ErrorCode.TOO_LARGE, f"messages have up to {MAX_MESSAGE} octets", limit=MAX_MESSAGE)
        admission = yield from core.gate.admit(permission, ask, moved=0)
        act = partial(self._challenge if route.kind == "challenges" else self._claim, permission)
        return MessageUpload(core, size, permission, admission, act, self._refuse, ask.now)

    def _challenge(self, permission: Permission, message: Message, clock: Clock) -> Steps[Response]:
        if not isinstance(message, ChallengeRequest):
            raise DecodeError("a message of another kind than ChallengeRequest")
        core = self._core
        core.gate.narrow(permission, Operation.PUT, (message.name,))
        challenge = self._challenges.issue(permission.account, message.name, core.wall(clock.now))
        return clock.wait(False, partial(message_response, encode_message(challenge), MEDIA_TYPE))

    def _claim(self, permission: Permission, message: Message, clock: Clock) -> Steps[Response]:
        if not isinstance(message, Claim):
            raise DecodeError("a message of another kind than Claim")
        core, name, wall = self._core, message.name, self._core.wall(clock.now)
        asked = None if message.attrs is None else message.attrs.collections
        permission = core.gate.narrow(permission, Operation.PUT, (name,), asked or ())
        core.check_collections(asked, permission)
        expires, media_type = self._attrs(permission, message.attrs, wall)
        self._challenges.take(permission.account, name, message.seed, wall)
        held = core.objects.find(permission.account, name, wall)
        is_held = held is not None and permission.holds(held)
        if (
            held is not None
            and is_held
            and (yield from core.objects.merge(held, expires, media_type, clock)) is not None
        ):
            return plain_response(204, (("ETag", name.etag),))
        rows = core.objects.holders(name, MAX_ASKED)
        other = next((row for row in rows if not row.is_expired(wall)), None)
        if other is None:
            raise _unproven()
        row = permission.row(name, other.size, wall, expires, media_type)
        try:
            reader = yield from core.objects.open(other, clock)
        except RefusedError as gone:
            raise _unproven() from gone
        try:
            proven = partial(is_proven, reader, row.size, message.seed, message.proof)
            if not (yield from core.objects.wait(proven, clock)):
                raise _unproven()
            is_new = yield from self._store(permission, row, reader, clock)
        finally:
            reader.close()
        if not is_new:
            return plain_response(204, (("ETag", name.etag),))
        return plain_response(201, (("Location", name.path), ("ETag", name.etag)))

    def _attrs(self, permission: Permission, asked: StoredAttrs | None, wall: int) -> tuple[int, str | None]:
        """The expiry and the media type that an object gets. Raises RefusedError, DecodeError."""
        asked = asked or StoredAttrs()
        if asked.expires is None:
            raise RefusedError(ErrorCode.ATTRIBUTE_NOT_PERMITTED, "every object expires here")
        expires = None if asked.expires is ABSENT else asked.expires
        return self._core.objects.expiry(permission, expires, wall), read_media_type(asked.media_type)

    def _store(self, permission: Permission, row: Row, reader: Reader, clock: Clock) -> Steps[bool]:
        """Keep the octets that are there for this account too, which is charged in full; whether they are new to it."""
        core = self._core
        charge = Use(0, 0, row.size)
        check = partial(check_allowance, core.ledger, permission.token, charge)
        incoming = yield from core.objects.receive(row, clock, check)
        try:
            hold = partial(hold_use, core.ledger, permission.token, charge)
            use = yield from clock.wait(core.ledger.waits and is_counted(permission.token), hold)
        except BaseException:
            incoming.drop()
            raise
        stored = 0
        try:
            # A copy of its own: whoever holds the other may delete it at any time, and what is stored is hashed first.
            yield from core.objects.wait(partial(_copy, reader, incoming, row.size), clock)
            incoming.check()
            core.check_held(permission, row, clock.now)
            is_new = yield from incoming.keep(clock, core.wall(clock.now))
            stored = row.size if is_new else 0
        finally:
            incoming.drop()
            use.spend()
            use.settle(amount=0, storage=stored)
        return is_new


def _copy(reader: Reader, incoming: Incoming, size: int) -> None:
    for offset in range(0, size, STRIDE):
        incoming.write(reader.read(offset, min(STRIDE, size - offset)))


def _unproven() -> RefusedError:
    # One answer to both: who has not got the object does not learn whether anybody has.
    return RefusedError(ErrorCode.NOT_FOUND, "nobody has this object, or this is not the proof of it")
