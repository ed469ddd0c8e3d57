"""The resource protocol over HTTP: policy, status, objects and their attributes, revocations (RFC 7069 section 6.2)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias, TypeVar
from urllib.parse import unquote

import attrs

from decade._core import Ask, Core, refuse_format, refuse_method
from decade.authz import Admission, Permission
from decade.cbor import MAX_MESSAGE
from decade.errors import DecodeError, ErrorCode, RefusedError, StateError, StoreError
from decade.http import (
    Response,
    Upload,
    message_response,
    plain_response,
    read_length,
    read_media_type,
)
from decade.memberships import check_collections, joined
from decade.messages import (
    MEDIA_TYPE,
    AccessStats,
    AttrPatch,
    Condition,
    Message,
    ObjectInfo,
    ObjectList,
    ObjectState,
    ResourcePolicy,
    Revocation,
    Status,
    TokenRequest,
    TokenSeen,
    Usage,
    decode_message,
    encode_message,
)
from decade.minting import charge_of
from decade.named import read_label
from decade.names import Name, read_path
from decade.pop import check_body
from decade.ports import NodePath, Row
from decade.scope import Operation
from decade.settings import Extension
from decade.tokens import TokenFeature
from decade.uses import check_revoked, hold_use, is_counted
from decade.values import ABSENT
from decade.waiting import Clock, Steps, Waiting, begin

MAX_APP = 64
"""Characters of the name of an application."""
_Refuse: TypeAlias = Callable[[Exception], Response]
_Act: TypeAlias = Callable[[Message, Clock], Steps[Response]]


class MessageUpload:
    """A message on its way from a client, for a resource that was asked to act on it."""

    terms = None
    """It is short, and does not wait for the line."""

    def __init__(
        self,
        core: Core,
        size: int,
        permission: Permission,
        admission: Admission,
        act: _Act,
        refuse: _Refuse,
        began: float,
    ) -> None:
        """`act`: what to do with the message, and its answer. `refuse`: the answer to an error."""
        self._core = core
        self._size = size
        self._permission = permission
        self._admission = admission
        self._act = act
        self._refuse = refuse
        self._octets = bytearray()
        self._is_open = True
        self.began = began

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self._is_open

    @property
    def received(self) -> int:
        """Octets that came."""
        return len(self._octets)

    def feed(self, octets: bytes, now: float) -> Response | None:
        """The next part; an answer if there is more than was announced. Raises StateError when it has ended."""
        self._check_open()
        if len(self._octets) + len(octets) > self._size:
            self.abort(now)
            return self._refuse(DecodeError(f"more than the {self._size} octets announced"))
        self._octets += octets
        return None

    def finish(self, now: float) -> Response | Waiting[Response]:
        """The message is whole. Raises StateError when it has ended."""
        self._check_open()
        self._is_open = False
        return begin(self._finish(Clock(now)))

    def _finish(self, clock: Clock) -> Steps[Response]:
        try:
            if len(self._octets) != self._size:
                raise DecodeError(f"{len(self._octets)} octets of {self._size}")
            octets = bytes(self._octets)
            check_body(self._permission.digest, octets)
            message = decode_message(octets)
            check_revoked(self._core.ledger, self._permission.token)
            answer = yield from self._act(message, clock)
            self._admission.spend()
        except (DecodeError, RefusedError, StoreError) as error:
            return self._refuse(error)
        finally:
            self._admission.end()
        return answer

    def abort(self, now: float) -> None:
        """The rest will not come: nothing is done. Harmless when it has ended."""
        if self._is_open:
            self._is_open = False
            self._admission.end()

    def _check_open(self) -> None:
        if not self._is_open:
            raise StateError("this upload has ended")


@attrs.frozen
class Route:
    """A resource: its kind, and what it is of."""

    kind: str
    name: Name | None = None
    app: str | None = None
    cursor: bytes = b""
    identifier: bytes = b""
    query: str = ""


_METHODS = {
    "policy": ("GET", "HEAD", "PUT", "DELETE"),
    "status": ("GET", "HEAD"),
    "list": ("GET", "HEAD"),
    "object": ("GET", "HEAD", "PATCH"),
    "named": ("GET", "HEAD", "PUT", "DELETE"),
    "revocations": ("POST",),
    "transfers": ("POST",),
    "transfer": ("GET", "HEAD", "DELETE"),
    "tokens": ("POST",),
    "challenges": ("POST",),
    "claims": ("POST",),
    "access-log": ("GET", "HEAD"),
    "distribution-log": ("GET", "HEAD"),
}
_EXTENSIONS: Mapping[str, frozenset[str]] = {
    "tokens": frozenset({TokenFeature.MINT}),
    "named": frozenset({TokenFeature.SIGNED_NAMES}),
    "transfers": frozenset({Extension.PULL, Extension.PUSH}),
    "transfer": frozenset({Extension.PULL, Extension.PUSH}),
    "challenges": frozenset({Extension.CHALLENGE}),
    "claims": frozenset({Extension.CHALLENGE}),
    "access-log": frozenset({Extension.ACCESS_LOG}),
    "distribution-log": frozenset({Extension.DISTRIBUTION_LOG}),
}
"""The extensions without any of which a resource is not there."""
_IDENTIFIER = re.compile(r"[0-9a-f]{32}")
_WITH_BODY = frozenset({"PUT", "PATCH", "POST"})


def read_route(target: str) -> Route | None:
    """The resource of a target below the base, None if there is none. Raises DecodeError."""
    path, _, query = target.partition("?")
    match path.split("/"):
        case ["status"]:
            return Route("status")
        case ["revocations" | "tokens" | "challenges" | "claims" as kind]:
            return Route(kind)
        case ["access-log" | "distribution-log" as kind]:
            return Route(kind, query=query)
        case ["policy"]:
            return Route("policy")
        case ["policy", app]:
            return Route("policy", app=_read_app(app))
        case ["objects"]:
            return Route("list", cursor=_read_cursor(query))
        case ["objects", algorithm, value]:
            return Route("object", name=_read_name(algorithm, value))
        case ["named", algorithm, value, label]:
            return Route("named", name=_read_name(algorithm, value), identifier=read_label(label))
        case ["transfers"]:
            return Route("transfers")
        case ["transfers", identifier] if _IDENTIFIER.fullmatch(identifier):
            return Route("transfer", identifier=bytes.fromhex(identifier))
    return None


def _read_name(algorithm: str, value: str) -> Name:
    return whole_name(read_path(f"/.well-known/ni/{algorithm}/{value}").name)


def whole_name(name: Name) -> Name:
    """The name of an object. Raises DecodeError (DIGEST_UNSUPPORTED) for one that is cut short."""
    if not name.is_whole:
        raise DecodeError(f"{name.algorithm} binds no object", ErrorCode.DIGEST_UNSUPPORTED)
    return name


def _read_app(segment: str) -> str:
    try:
        app = unquote(segment, errors="strict")
    except UnicodeDecodeError as exc:
        raise DecodeError("the name of an application is not UTF-8") from exc
    if not 1 <= len(app.encode(errors="replace")) <= MAX_APP or not app.isprintable():
        raise DecodeError(f"the name of an application has 1 to {MAX_APP} octets")
    return app


def _read_cursor(query: str) -> bytes:
    tag, _, value = query.partition("=")
    if tag != "cursor":
        return b""
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise DecodeError("the cursor is not base64url") from exc


class ControlResource:
    """The resources of the protocol, for whoever has a token."""

    def __init__(self, core: Core, refuse: _Refuse) -> None:
        """`refuse`: the answer to an error that ends a request with a body."""
        self._core = core
        self._refuse = refuse

    def check(self, ask: Ask, route: Route) -> Response | None:
        """The first step of the precedence: an answer to a head that asks for what there is not.

        Raises DecodeError, RefusedError (NOT_FOUND, LENGTH_REQUIRED).
        """
        request = ask.request
        needed = _EXTENSIONS.get(route.kind)
        if needed is not None and not needed & self._core.settings.extensions:
            raise RefusedError(ErrorCode.NOT_FOUND, "there is no such resource")
        if request.method not in _METHODS[route.kind]:
            return refuse_method(*_METHODS[route.kind])
        if request.method not in _WITH_BODY or route.kind == "named":
            return None
        read_length(request)
        media_type = read_media_type(request.header("Content-Type")) or ""
        if media_type.lower() != MEDIA_TYPE or request.header("Content-Encoding") is not None:
            return refuse_format(f"messages are {MEDIA_TYPE}")
        return None

    def handle(self, ask: Ask, route: Route) -> Steps[Response | Upload]:
        """The steps from the second on, after `check`. Raises RefusedError, StoreError."""
        match route.kind:
            case "policy":
                return self._policy(ask, route.app)
            case "status":
                return self._status(ask)
            case "list":
                return self._list(ask, route.cursor)
            case "revocations":
                permission = self._core.permit(ask, Operation.REVOKE)
                return self._receive(ask, permission, partial(self._revoke, permission))
            case "tokens":
                permission = self._core.permit(ask, Operation.MINT)
                return self._receive(ask, permission, partial(self._mint, permission))
        assert route.name is not None
        return self._object(ask, route.name)

    def answer(self, ask: Ask, permission: Permission, message: Message) -> Steps[Response]:
        """A message, for one use of the token. Raises RefusedError, StoreError."""
        octets = encode_message(message)
        if ask.request.method != "HEAD":
            yield from self._core.spend(ask, permission)
        return message_response(octets, MEDIA_TYPE)

    def _receive(self, ask: Ask, permission: Permission, act: _Act) -> Steps[Upload]:
        size = read_length(ask.request)
        if size > MAX_MESSAGE:
            raise RefusedError(ErrorCode.TOO_LARGE, f"messages have up to {MAX_MESSAGE} octets", limit=MAX_MESSAGE)
        admission = yield from self._core.gate.admit(permission, ask, moved=0)
        return MessageUpload(self._core, size, permission, admission, act, self._refuse, ask.now)

    def _policy(self, ask: Ask, app: str | None) -> Steps[Response | Upload]:
        core = self._core
        permission = core.permit(ask, Operation.POLICY)
        path = (permission.account,) if app is None else (permission.account, app)
        is_read = ask.request.method in ("GET", "HEAD")
        # A key has no say about its own node, or any that is not below: those are of who is above.
        if path[: len(permission.path)] != permission.path or (path == permission.path and not is_read):
            raise RefusedError(ErrorCode.CLIENT_NOT_PERMITTED, "this node is not below that of the key")
        if ask.request.method == "PUT":
            return (yield from self._receive(ask, permission, partial(self._put_policy, path)))
        # Who has put it at another process a moment ago asks for that.
        core.tree.refresh()
        policy = core.tree.policy(path)
        if policy is None:
            raise RefusedError(ErrorCode.NOT_FOUND, "there is no such application")
        if is_read:
            return (yield from self.answer(ask, permission, policy))
        yield from core.act(ask, permission, partial(self._remove_policy, path, ask))
        return plain_response(204)

    def _remove_policy(self, path: NodePath, clock: Clock) -> Steps[bool]:
        yield from self._core.policies.remove(path, clock)
        return True

    def _put_policy(self, path: NodePath, message: Message, clock: Clock) -> Steps[Response]:
        policy = _expect(message, ResourcePolicy)
        # The provider may have taken the account away while the message came.
        self._core.tree.effective(path[:-1])
        yield from self._core.policies.put(path, policy, clock)
        return plain_response(204)

    def _revoke(self, permission: Permission, message: Message, clock: Clock) -> Steps[Response]:
        revocation = _expect(message, Revocation)
        # An application has no say about tokens of its account, or of its siblings (RFC 7069 section 4.5.1).
        yield from self._core.gate.revoke(permission.path, revocation, clock, wall=self._core.wall(clock.now))
        return plain_response(204)

    def _mint(self, permission: Permission, message: Message, clock: Clock) -> Steps[Response]:
        """What the tokens may use is taken from the one that asks, and is gone whether they are used or not."""
        core, request = self._core, _expect(message, TokenRequest)
        assert core.mint is not None
        claims, count = core.mint.plan(request, permission.token, core.wall(clock.now))
        charge = charge_of(claims, count)
        waits = core.ledger.waits and is_counted(permission.token)
        use = yield from clock.wait(waits, partial(hold_use, core.ledger, permission.token, charge))
        use.spend()
        return message_response(encode_message(core.mint.mint(claims, count)), MEDIA_TYPE)

    def _status(self, ask: Ask) -> Steps[Response]:
        permission = self._core.permit(ask, Operation.STATUS)
        path = permission.path
        apps = self._core.tree.apps(path[0]) if len(path) == 1 else ()
        policy = self._core.tree.policy(path)
        assert policy is not None
        status = Status(
            time=ask.wall,
            usage=self._usage(path, ask.now),
            policy=policy,
            apps={app: self._usage((path[0], app), ask.now) for app in apps} or None,
            condition=self._condition(),
        )
        return (yield from self.answer(ask, permission, status))

    def _usage(self, path: NodePath, now: float) -> Usage:
        holding, traffic = self._core.tree.holding(path), self._core.traffic.at(path)
        return Usage(
            stored=holding.stored,
            objects=holding.objects,
            reserved=holding.reserved,
            received=traffic.received.octets,
            sent=traffic.sent.octets,
            connections=self._core.gate.slots.count(path),
            rate_in=traffic.received.rate(now),
            rate_out=traffic.sent.rate(now),
        )

    def _condition(self) -> Condition:
        used, most = len(self._core.gate.slots), self._core.settings.max_requests
        if used >= most:
            return Condition.OVERLOADED
        return Condition.BUSY if 2 * used > most else Condition.OK

    def _list(self, ask: Ask, cursor: bytes) -> Steps[Response]:
        permission = self._core.permit(ask, Operation.LIST)
        most = self._core.settings.limits.max_list_page
        rows, following = self._core.objects.page(permission.account, cursor, most, ask.wall)
        # A token that is for objects of collections lists no others.
        bound = set(permission.policy.collections or ())
        page = ObjectList(
            objects=tuple(_describe(row) for row in rows if bound <= set(row.collections)), cursor=following
        )
        return (yield from self.answer(ask, permission, page))

    def _object(self, ask: Ask, name: Name) -> Steps[Response | Upload]:
        core = self._core
        is_patch = ask.request.method == "PATCH"
        permission = core.permit(ask, Operation.ATTR_SET if is_patch else Operation.ATTR_GET, name)
        row = core.objects.get(permission.account, name, ask.wall)
        if is_patch:
            return (yield from self._receive(ask, permission, partial(self._patch, permission, name)))
        tokens = None
        if core.logs is not None and Extension.TOKENS_SEEN in core.settings.extensions:
            tokens = yield from core.logs.seen(row.account, name, ask.wall, ask)
        described: ObjectInfo = attrs.evolve(_describe(row, tokens), collections=row.collections or None)  # type: ignore[misc]
        return (yield from self.answer(ask, permission, described))

    def _patch(self, permission: Permission, name: Name, message: Message, clock: Clock) -> Steps[Response]:
        patch, objects, wall = _expect(message, AttrPatch), self._core.objects, self._core.wall(clock.now)
        row = objects.get(permission.account, name, wall)
        permission.check_row(row)
        if patch.expires is None:
            raise RefusedError(ErrorCode.ATTRIBUTE_NOT_PERMITTED, "every object expires here")
        changes: dict[str, Any] = {}
        if patch.expires is not ABSENT:
            changes["expires"] = objects.expiry(permission, patch.expires, wall)
        if patch.media_type is not ABSENT:
            changes["media_type"] = read_media_type(patch.media_type)
        if patch.collections is not None:
            changes["collections"] = self._collections(permission, patch.collections)
        # It may leave the collections of the token before the store gets to it.
        seen: list[Row] = []

        def change(held: Row) -> Row:
            seen.append(held)
            return attrs.evolve(held, **changes) if permission.reaches(held) else held

        if (yield from objects.update(row, change, clock)) is None:
            raise RefusedError(ErrorCode.GONE, "deleted or expired")
        permission.check_row(seen[-1])
        return plain_response(204)

    def _collections(self, permission: Permission, asked: tuple[bytes, ...]) -> tuple[bytes, ...]:
        check_collections(asked, is_on=TokenFeature.COLLECTIONS in self._core.settings.extensions)
        if not set(permission.policy.collections or ()) <= set(asked):
            raise RefusedError(ErrorCode.ATTRIBUTE_NOT_PERMITTED, "the collections of the token cannot be left")
        return joined(asked)


_M = TypeVar("_M", bound=Message)


def _expect(message: Message, cls: type[_M]) -> _M:
    if not isinstance(message, cls):
        raise DecodeError(f"a message of another kind than {cls.__name__}")
    return message


def _describe(row: Row, tokens: tuple[TokenSeen, ...] | None = None) -> ObjectInfo:
    return ObjectInfo(
        name=row.name,
        size=row.size,
        created=row.created,
        expires=row.expires,
        media_type=row.media_type,
        access=AccessStats(reads=row.reads, octets=row.octets_read, last_read=row.last_read, tokens=tokens),
        state=ObjectState.STORED,
    )
