"""Objects over HTTP: GET, HEAD, PUT and DELETE below /.well-known/ni/ (RFC 7069 section 6.3, RFC 6920 section 4).

Each method takes the steps of the precedence in their order: the head, the token, what it permits, whether the object
is there, preconditions, admission. What fails at one step has done nothing of the later ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs

from decade._core import Ask, Core, refuse_format, refuse_method
from decade.authz import Admission, Permission
from decade.errors import DecodeError, ErrorCode, RefusedError, StateError, StoreError
from decade.http import (
    Headers,
    Preconditions,
    Request,
    Response,
    Upload,
    object_headers,
    plain_response,
    read_attrs,
    read_length,
    read_media_type,
    read_range,
    validator_headers,
)
from decade.named import Binding, named_path
from decade.names import Name
from decade.objects import Incoming
from decade.ports import Reader, Row, Use
from decade.reading import Held, Right, TokenRight, find_right
from decade.recall import Recall
from decade.scheduler import Terms, token_terms
from decade.scope import Operation
from decade.uses import check_allowance, check_revoked
from decade.waiting import Clock, Steps, Waiting, begin

METHODS = ("GET", "HEAD", "PUT", "DELETE")


class ObjectDownload:
    """An object, or a part of it, on its way to a client."""

    def __init__(self, core: Core, right: Right, reader: Reader, part: tuple[int, int], admission: Held) -> None:
        """`part`: the offset and the length. `admission`: holds the length and one use."""
        self._core = core
        self._right = right
        self._reader = reader
        self._offset, self.length = part
        self._admission = admission
        self._is_open = True
        self.sent = 0
        self.terms: Terms = right.terms
        """How it competes for the line."""

    @property
    def name(self) -> Name:
        """The name of the object."""
        return self._right.row.name

    def hand_over(self, now: float) -> bool:
        """Somebody else sends it: it counts as sent. It is closed, and False if it must not be sent any more."""
        if self._is_open and not self.sent:
            try:
                self._admission.start()
                self.sent = self.length
            except (StoreError, RefusedError):
                self.sent = 0
        self.close(now)
        return self.sent == self.length

    def read(self, size: int, now: float) -> bytes:
        """The next octets, which count as sent; none at the end, and none when it was closed or the store failed."""
        wanted = min(size, self.length - self.sent)
        if not self._is_open or wanted <= 0:
            return b""
        try:
            octets = self._reader.read(self._offset + self.sent, wanted)
            if not self.sent:
                self._admission.start()
        except (StoreError, RefusedError):
            self.close(now)
            return b""
        self.sent += len(octets)
        return octets

    def close(self, now: float) -> None:
        """The answer is sent, or never will be: what was not sent of the amount is given back, and all if nothing was.

        Harmless when repeated.
        """
        if not self._is_open:
            return
        self._is_open = False
        self._core.downloads.withdraw(self)
        self._reader.close()
        self._admission.end(moved=self.sent)
        if self.sent:
            right = self._right
            self._core.count_sent(right.row, right.path, right.cti, self.sent, now, self._core.wall(now))


class ObjectUpload:
    """An object on its way from a client."""

    def __init__(
        self,
        core: Core,
        row: Row,
        incoming: Incoming,
        permission: Permission,
        admission: Admission,
        refuse: Callable[[Exception], Response],
        began: float,
        binding: Binding | None = None,
    ) -> None:
        """`admission`: holds the size, as octets moved and stored, and one use. `refuse`: the answer to an error.

        `binding`: the signed name that the object gets.
        """
        self._core = core
        self._row = row
        self._incoming = incoming
        self._permission = permission
        flow = permission.token.flow
        self.terms: Terms = token_terms(row.payer, flow.ledger_key, flow.policy)
        """How it competes for the line."""
        self._admission = admission
        self._refuse = refuse
        self._is_open = True
        self.began = began
        self._binding = binding

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self._is_open

    @property
    def received(self) -> int:
        """Octets that came."""
        return self._incoming.received

    def feed(self, octets: bytes, now: float) -> Response | None:
        """The next part, which counts as moved from the first octet on. An answer ends it: too much came, the token was
        revoked before, or the store failed. Raises StateError when it has ended.
        """
        self._check_open()
        try:
            is_first = bool(octets) and not self.received
            self._incoming.write(octets)
            if is_first:
                self._admission.start()
        except (RefusedError, StoreError) as error:
            self.abort(now)
            return self._refuse(error)
        self._core.traffic.add_received(self._row.payer, len(octets), now)
        return None

    def finish(self, now: float) -> Response | Waiting[Response]:
        """All came: 201 if it is stored, or has got the signed name, 204 if the account has got that meanwhile, or why
        it is not kept.

        Raises StateError when it has ended.
        """
        self._check_open()
        self._is_open = False
        return begin(self._keep(Clock(now)))

    def _keep(self, clock: Clock) -> Steps[Response]:
        stored = 0
        try:
            self._incoming.check()
            check_revoked(self._core.ledger, self._permission.token)
            self._core.check_held(self._permission, self._row, clock.now)
            self._check_binding(clock)
            is_new = yield from self._incoming.keep(clock, self._core.wall(clock.now))
            stored = self._row.size if is_new else 0
            if self._binding is not None:
                is_new = yield from self._core.objects.bind(
                    self._row.account, self._binding, clock, self._core.wall(clock.now)
                )
            self._admission.spend()
        except (RefusedError, StoreError) as error:
            return self._refuse(error)
        finally:
            self._end(stored)
        name = self._row.name
        if not is_new:
            return held_response(name)
        path = name.path if self._binding is None else named_path(self._binding.signed)
        return plain_response(201, (("Location", path), ("ETag", name.etag)))

    def _check_binding(self, clock: Clock) -> None:
        """Raises RefusedError (CONFLICT), StoreError."""
        if self._binding is not None:
            self._core.objects.check_binding(self._row.account, self._binding, self._core.wall(clock.now))

    def abort(self, now: float) -> None:
        """The rest will not come: nothing is kept, and what came counts as moved. Harmless when it has ended."""
        if self._is_open:
            self._is_open = False
            self._end(0)

    def _end(self, stored: int) -> None:
        self._incoming.drop()
        self._admission.end(moved=self.received, stored=stored)

    def _check_open(self) -> None:
        if not self._is_open:
            raise StateError("this upload has ended")


@attrs.frozen
class Put:
    """What the head of a PUT says."""

    size: int
    media_type: str | None
    expires: int | None
    unsupported: tuple[str, ...]
    collections: tuple[bytes, ...] | None


class ObjectResource:
    """The objects of all accounts."""

    def __init__(self, core: Core, refuse: Callable[[Exception], Response]) -> None:
        """`refuse`: the answer to an error that ends an upload."""
        self._core = core
        self.recall = Recall(core)
        self._refuse = refuse

    def check(self, request: Request) -> Response | None:
        """The first step of the precedence: an answer to a head that asks for what there is not.

        Raises DecodeError, RefusedError (LENGTH_REQUIRED).
        """
        if request.method not in METHODS:
            return refuse_method(*METHODS)
        if request.method != "PUT":
            return None
        read_put(request)
        if request.header("Content-Encoding") is not None:
            return refuse_format("an object has no Content-Encoding")
        return None

    def handle(self, ask: Ask, name: Name) -> Steps[Response | Upload]:
        """The steps from the second on, after `check`. Raises RefusedError, StoreError."""
        match ask.request.method:
            case "PUT":
                return self._put(ask, name)
            case "DELETE":
                return self._delete(ask, name)
            case _:
                return self._get(ask, name)

    def _get(self, ask: Ask, name: Name) -> Steps[Response]:
        return (yield from self.send(ask, find_right(self._core, ask, name), is_recalled=True))

    def send(self, ask: Ask, right: Right, *, is_recalled: bool = False) -> Steps[Response]:
        """The steps from preconditions on, for who may read an object. `is_recalled`: the same request may be answered
        from memory. Raises RefusedError, StoreError.
        """
        core, request = self._core, ask.request
        row, name = right.row, right.row.name
        is_get = request.method == "GET"
        status = Preconditions.of(request).status(name.etag, is_read=True)
        if status == 304:
            if is_get:
                yield from _spend(ask, right)
            return Response(
                304, validator_headers(etag=name.etag, expires=row.expires, control=right.control(ask.wall))
            )
        if status is not None:
            return plain_response(status)
        part = read_range(request, row.size, name.etag)
        offset, length = part or (0, row.size)
        if not is_get:
            return Response(200, _headers(right, length, ask.wall))
        if not length:
            # An object of no octets goes with the head.
            yield from _spend(ask, right)
            return Response(200, _headers(right, length, ask.wall))
        body = yield from self._open(ask, right, (offset, length))
        # What is left of its life is less when this has waited.
        headers = _headers(right, length, core.wall(ask.now) if ask.has_waited else ask.wall)
        if part is None:
            if is_recalled and isinstance(right, TokenRight):
                self.recall.learn(request, right, headers)
            return Response(200, headers, body)
        place = ("Content-Range", f"bytes {offset}-{offset + length - 1}/{row.size}")
        return Response(206, (*headers, place), body)

    def _open(self, ask: Ask, right: Right, part: tuple[int, int]) -> Steps[ObjectDownload]:
        core = self._core
        admission = yield from right.admit(ask, part[1])
        reader = None
        try:
            reader = yield from core.objects.open(right.row, ask)
            if ask.has_waited:
                right.check(core.wall(ask.now))
        except BaseException:
            if reader is not None:
                reader.close()
            admission.end()
            raise
        return ObjectDownload(core, right, reader, part, admission)

    def _put(self, ask: Ask, name: Name) -> Steps[Response | Upload]:
        core, put = self._core, read_put(ask.request)
        permission = core.permit(ask, Operation.PUT, name, put.collections or ())
        check_attrs(core, put, permission)
        expires = core.objects.expiry(permission, put.expires, ask.wall)
        while True:
            held = core.objects.find(permission.account, name, core.wall(ask.now))
            if held is not None and not permission.holds(held):
                held = None
            etag = name.etag if held is not None else None
            status = Preconditions.of(ask.request).status(etag, is_read=False)
            if status is not None:
                return plain_response(status)
            if held is None:
                break
            # One that goes meanwhile is received like any other.
            merge = partial(core.objects.merge, held, expires, put.media_type, ask)
            if (yield from core.act(ask, permission, merge)) is not None:
                return held_response(name)
        row = permission.row(name, put.size, core.wall(ask.now), expires, put.media_type)
        return (yield from self.receive(ask, permission, row))

    def receive(
        self, ask: Ask, permission: Permission, row: Row, binding: Binding | None = None
    ) -> Steps[ObjectUpload]:
        """Make room for an object, and let its octets come. Raises RefusedError, StoreError."""
        core = self._core
        check = partial(check_allowance, core.ledger, permission.token, Use(1, row.size, row.size))
        incoming = yield from core.objects.receive(row, ask, check)
        try:
            admission = yield from core.gate.admit(permission, ask, moved=row.size, stored=row.size)
        except BaseException:
            incoming.drop()
            raise
        return ObjectUpload(core, row, incoming, permission, admission, self._refuse, ask.now, binding)

    def _delete(self, ask: Ask, name: Name) -> Steps[Response]:
        core = self._core
        permission = core.permit(ask, Operation.DELETE, name)
        row = core.objects.get(permission.account, name, ask.wall)
        status = Preconditions.of(ask.request).status(name.etag, is_read=False)
        if status is not None:
            return plain_response(status)
        if (yield from core.act(ask, permission, partial(core.objects.remove, row, ask))) is None:
            raise RefusedError(ErrorCode.GONE, "deleted or expired")
        return plain_response(204)


def _spend(ask: Ask, right: Right) -> Steps[None]:
    """One use, for an answer that moves no octets. Raises RefusedError, StoreError."""
    admission = yield from right.admit(ask, 0)
    try:
        admission.start()
    finally:
        admission.end()


def _headers(right: Right, length: int, wall: int) -> Headers:
    """Those of an answer with so many octets of an object."""
    row = right.row
    return object_headers(
        row.name,
        size=length,
        media_type=row.media_type,
        expires=row.expires,
        control=right.control(wall),
        urgency=right.urgency,
    )


def held_response(name: Name) -> Response:
    """The account has what was sent."""
    return plain_response(204, (("ETag", name.etag),))


def check_attrs(core: Core, put: Put, permission: Permission) -> None:
    """Whether an object may have the attributes that were asked for. Raises RefusedError (ATTRIBUTE_NOT_PERMITTED)."""
    if put.unsupported:
        reason = f"Decade-Attrs: {', '.join(put.unsupported):.80} is not supported"
        raise RefusedError(ErrorCode.ATTRIBUTE_NOT_PERMITTED, reason)
    core.check_collections(put.collections, permission)


def read_put(request: Request) -> Put:
    """What the head of a PUT says. Raises DecodeError, RefusedError (LENGTH_REQUIRED)."""
    size = read_length(request)
    if request.header("Content-Range") is not None:
        # RFC 9110 section 14.5: part of an object is never stored.
        raise DecodeError("Content-Range in a PUT")
    asked = read_attrs(request.header("Decade-Attrs"))
    return Put(
        size, read_media_type(request.header("Content-Type")), asked.expires, asked.unsupported, asked.collections
    )
