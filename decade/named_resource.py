"""Objects by their signed names: GET, HEAD, PUT and DELETE below `named/` (PROFILE.md 14.14; RFC 7069 section 6.1).

An object is stored once, by its hash, and charged once; a signed name leads to it, and goes with it. Whoever binds one
sends the octets even when they are there: who may store under a name of a publisher need not be who may read an object.
"""

from __future__ import annotations

from functools import partial

import attrs

from decade._core import Ask, Core
from decade.authz import Permission
from decade.drp import Route
from decade.errors import ErrorCode, RefusedError
from decade.http import Preconditions, Response, Upload, plain_response
from decade.named import SIGNATURE_FIELD, Binding, read_digest, read_signature, verify
from decade.names import Name
from decade.objects import check_same
from decade.pop import check_digest
from decade.ports import Row
from decade.reading import TokenRight
from decade.scope import Operation
from decade.sdt import ObjectResource, Put, check_attrs, held_response, read_put
from decade.values import SignedName
from decade.waiting import Steps

_SENT = frozenset({200, 206, 304})


class NamedResource:
    """The signed names of all accounts."""

    def __init__(self, core: Core, objects: ObjectResource) -> None:
        """`objects`: whose octets go and come."""
        self._core = core
        self._objects = objects

    def handle(self, ask: Ask, route: Route) -> Steps[Response | Upload]:
        """The steps of the precedence. Raises DecodeError, RefusedError, StoreError."""
        assert route.name is not None
        signed = SignedName(route.name, route.identifier)
        refused = self._objects.check(ask.request)
        if refused is not None:
            return ask.wait(False, lambda: refused)
        match ask.request.method:
            case "PUT":
                digest = read_digest(ask.request.header("Repr-Digest"))
                signature = read_signature(ask.request.header(SIGNATURE_FIELD))
                return self._put(ask, Binding(signed, digest, signature), read_put(ask.request))
            case "DELETE":
                return self._delete(ask, signed)
            case _:
                return self._get(ask, signed)

    def _get(self, ask: Ask, signed: SignedName) -> Steps[Response]:
        core = self._core
        permission = core.permit(ask, Operation.GET, signed)
        binding, row = self._find(permission, signed, ask.wall)
        self._judge(permission, row.name)
        right = TokenRight(core, permission, row)
        answer = yield from self._objects.send(ask, right)
        if answer.status not in _SENT:
            return answer
        made: Response = attrs.evolve(answer, headers=(*answer.headers, (SIGNATURE_FIELD, binding.text)))
        return made

    def _put(self, ask: Ask, binding: Binding, put: Put) -> Steps[Response | Upload]:
        core, name = self._core, binding.name
        permission = core.permit(ask, Operation.PUT, binding.signed, put.collections or ())
        self._judge(permission, name)
        check_digest(permission.digest, name)
        verify(binding)
        check_attrs(core, put, permission)
        expires = core.objects.expiry(permission, put.expires, ask.wall)
        while True:
            found = core.objects.find_bound(permission.account, binding.signed, core.wall(ask.now))
            etag = None if found is None else found[1].name.etag
            status = Preconditions.of(ask.request).status(etag, is_read=False)
            if status is not None:
                return plain_response(status)
            if found is None:
                break
            check_same(found[0], binding)
            if not permission.holds(found[1]):
                break
            # One that goes meanwhile is received like any other.
            merge = partial(core.objects.merge, found[1], expires, put.media_type, ask)
            if (yield from core.act(ask, permission, merge)) is not None:
                return held_response(name)
        row = permission.row(name, put.size, core.wall(ask.now), expires, put.media_type)
        return (yield from self._objects.receive(ask, permission, row, binding))

    def _delete(self, ask: Ask, signed: SignedName) -> Steps[Response]:
        core = self._core
        permission = core.permit(ask, Operation.DELETE, signed)
        binding, row = self._find(permission, signed, ask.wall)
        self._judge(permission, row.name)
        status = Preconditions.of(ask.request).status(row.name.etag, is_read=False)
        if status is not None:
            return plain_response(status)
        if (yield from core.act(ask, permission, partial(self._unbind, permission, binding, ask))) is None:
            raise RefusedError(ErrorCode.NOT_FOUND, "not here")
        return plain_response(204)

    def _unbind(self, permission: Permission, binding: Binding, ask: Ask) -> Steps[bool | None]:
        """None if another object has got the name meanwhile, of which nothing was looked at."""
        return (yield from self._core.objects.unbind(permission.account, binding, ask)) or None

    def _find(self, permission: Permission, signed: SignedName, wall: int) -> tuple[Binding, Row]:
        """Raises RefusedError (NOT_FOUND), StoreError."""
        found = self._core.objects.find_bound(permission.account, signed, wall)
        if found is None:
            raise RefusedError(ErrorCode.NOT_FOUND, "not here")
        return found

    def _judge(self, permission: Permission, name: Name) -> None:
        """What the provider refuses by its hash is refused by any name. Raises RefusedError."""
        policy = self._core.gate.local_policy
        code = (
            policy(attrs.evolve(permission.question, names=(name,)), permission.token) if policy is not None else None
        )
        if code is not None:
            raise RefusedError(code, "refused by the provider")
