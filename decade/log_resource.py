"""The logs of an account, for whoever has a token for them (RFC 7069 section 6.2.2)."""

from __future__ import annotations

from collections.abc import Callable

from decade._core import Ask, Core
from decade.authz import Permission
from decade.drp import Route
from decade.errors import ErrorCode, RefusedError
from decade.http import Response, Upload
from decade.logs import read_query
from decade.messages import Message
from decade.scope import Operation
from decade.waiting import Steps

LOG_KINDS = frozenset({"access-log", "distribution-log"})
"""The kinds of routes that are of this resource, which have the names of the extensions."""


class LogResource:
    """Who has read what, and where it went."""

    def __init__(self, core: Core, answer: Callable[[Ask, Permission, Message], Steps[Response]]) -> None:
        """`answer`: as `ControlResource.answer`."""
        self._core = core
        self._answer = answer

    def handle(self, ask: Ask, route: Route) -> Steps[Response | Upload]:
        """The steps from the second on, after `ControlResource.check`. Raises DecodeError, RefusedError, StoreError."""
        core, logs = self._core, self._core.logs
        assert logs is not None
        query = read_query(route.query)
        permission = core.permit(ask, Operation.ACCESS_LOG)
        if permission.policy.collections is not None:
            # The log is of all objects, and does not say in which collections those were that are gone.
            raise RefusedError(ErrorCode.OBJECT_NOT_PERMITTED, "token: for objects of its collections alone")
        tell = logs.access if route.kind == "access-log" else logs.distribution
        message = yield from tell(permission.account, query, ask.wall, ask)
        return (yield from self._answer(ask, permission, message))
