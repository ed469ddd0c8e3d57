"""Answers at once, to requests that were answered before: most requests of a server are.

What the head of a request says is worked out once: its token and what that permits, its object, the header of the
answer. Everything that may have changed since is looked at each time, in the order of the profile. Only what nothing
limits is answered here: no uses, amount, connections, rate or address of the token, and none of the nodes that pay. In
doubt there is no answer, and the request takes the long way, which finds out what is wrong.
"""

from __future__ import annotations

import attrs

from decade._core import Core
from decade.errors import RefusedError, StoreError
from decade.http import Headers, Request, Response
from decade.names import Name
from decade.policy import Effective
from decade.ports import Row
from decade.reading import TokenRight
from decade.scope import Everything, Object, Operation, Scope
from decade.tokens import SKEW, RegisteredKey, VerifiedToken
from decade.uses import check_revoked, is_counted

MAX_RECALLED = 1024
"""Requests whose heads are known, those that came first go first: 2 KiB each, 16 KiB at most."""
MAX_AT_ONCE = 2**20
"""Octets that are sent in one piece when nobody has to wait for them: they are in memory, and several readers share
them."""
_CONDITIONS = ("If-Match", "If-None-Match", "Range")


@attrs.frozen
class _Known:
    """What the head of a request says, and when that holds: while its token may be shown.

    `empty`: the answer without the octets, for who sends them itself.
    """

    token: VerifiedToken
    first: RegisteredKey
    effective: Effective
    row: Row
    headers: Headers
    empty: Response
    since: float
    until: float


class Recall:
    """The requests that were answered last."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._known: dict[Request, _Known] = {}
        self._wall, self._wall_from, self._wall_until, self._epoch = 0, 0.0, 0.0, core.epoch

    def learn(self, request: Request, right: TokenRight, headers: Headers) -> None:
        """A GET is about to be answered with the whole object and this header."""
        token, effective = right.permission.token, right.permission.effective
        if not self._is_recallable(request, right):
            return
        self._known.pop(request, None)
        if len(self._known) >= MAX_RECALLED:
            del self._known[next(iter(self._known))]
        claims = [level.claims for level in token.levels]
        since = max(max(one.iat, one.nbf or 0) for one in claims) - SKEW
        first, until = token.levels[0].key, token.claims.exp + SKEW
        empty = Response(200, headers)
        self._known[request] = _Known(token, first, effective, right.row, headers, empty, since, until)

    def answer(self, request: Request, peer: str, now: float, head: Headers | None) -> Response | None:
        """The whole answer, which counts as sent; None to ask for it the long way.

        `head`: the header of an answer whose octets somebody else sends; they are left out. None if there is another
        one now.
        """
        known = self._known.get(request)
        if known is None or (head is not None and head is not known.headers):
            return None
        core, token, row = self._core, known.token, known.row
        gate = core.gate
        try:
            wall = self._wall
            if not self._wall_from <= now < self._wall_until or core.epoch != self._epoch:
                wall = self._see(now)
            if (
                gate.is_overloaded()
                or not gate.failures.is_clear(peer, now)
                or not known.since <= wall < known.until
                or not (gate.tokens.rules.keys(known.first.key.kid) is known.first or gate.tokens.is_registered(token))
                or core.tree.effective(token.path) is not known.effective
            ):
                return None
            check_revoked(core.ledger, token)
            found = core.objects.at_hand(row.account, row.name, wall)
        except (RefusedError, StoreError):
            return None
        if found is None:
            return None
        if found[0] is not row and _is_other(found[0], row):
            return None
        octets = found[1] if head is None else b""
        if octets is None or len(octets) > MAX_AT_ONCE:
            return None
        core.count_sent(row, token.path, token.claims.cti, row.size, now, wall)
        return Response(200, known.headers, octets) if head is None else known.empty

    def _is_recallable(self, request: Request, right: TokenRight) -> bool:
        core, permission = self._core, right.permission
        token, effective = permission.token, permission.effective
        return not (
            "?" in request.target
            or any(request.header(name) is not None for name in _CONDITIONS)
            or core.gate.local_policy is not None
            or token.levels[0].claims.origin is not None
            or not _is_for(token.claims.scope, right.row.name)
            or is_counted(token)
            or any(_is_limited(level) for level in token.levels)
            or effective.connections is not None
            or not core.downloads.is_free(right.terms)
        )

    def _see(self, now: float) -> int:
        """Look at the clock, once a second."""
        self._wall = self._core.wall(now)
        self._core.gate.observe(self._wall)
        self._epoch = self._core.epoch
        self._wall_from, self._wall_until = now, (self._epoch + now) // 1 + 1 - self._epoch
        return self._wall


def _is_other(found: Row, row: Row) -> bool:
    """Whether the answer would have another header, or the object may be out of reach of the token by now."""
    return (found.expires, found.media_type, found.collections) != (row.expires, row.media_type, row.collections)


def _is_for(scope: Scope, name: Name) -> bool:
    """Whether a token says of an object by its name that it may be read, or of all."""
    return any(target in (Everything(), Object(name)) and Operation.GET in operations for target, operations in scope)


def _is_limited(token: VerifiedToken) -> bool:
    policy = token.policy
    return token.claims.cnf is not None or policy.connections is not None or policy.ip_prefixes is not None
