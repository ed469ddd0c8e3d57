"""How the responses to this node's requests come back: DRR and RPR beside SRR (RFC 7263 and 7264).

Symmetric recursive routing always works, and everything falls back to it. The configuration says whether something
else is preferred, and the user of a node where its responses can go directly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from reload.configuration import Configuration
from reload.configuration_extensions import route_mode
from reload.connections import Connection, ConnectionTable
from reload.contents import ErrorCode
from reload.context import Context
from reload.destinations import NodeDestination
from reload.errors import DecodeError
from reload.extensions import RouteMode
from reload.header import ForwardingOption
from reload.response_routes import ResponseRoute
from reload.transactions import Pending

ATTEMPTS = {RouteMode.DRR: 1, RouteMode.RPR: 2}
"""Transmissions of a request that ask for it, each RPR with another relay; those behind them are SRR."""
REMEMBERED, LEAST = 20, 5
"""Requests that show how well a mode works, and how many it takes to judge it."""
PAUSE = 600.0
"""Seconds for which a mode that has failed more often than not is not tried again."""
REFUSALS = frozenset({ErrorCode.UNKNOWN_EXTENSION, ErrorCode.UNSUPPORTED_FORWARDING_OPTION})
"""What a node answers that does not know the option (RFC 7263 section 5.4.1, RFC 6940 section 6.3.2.3)."""


class RouteChooser:
    """Chooses how each request asks its response to come back, and sees what comes of it."""

    def __init__(self, context: Context, connections: ConnectionTable, routes: Sequence[ResponseRoute]) -> None:
        self._context = context
        self._connections = connections
        self.routes = tuple(routes)
        self._mode: RouteMode | None = None
        self._read: Configuration | None = None
        self._results: deque[bool] = deque(maxlen=REMEMBERED)
        self._not_before = 0.0

    def options(self, pending: Pending, now: float) -> tuple[ForwardingOption, ...]:
        """The options of a request that is about to be sent; its earlier transmissions were of no avail."""
        if pending.route is not None and pending.sent > pending.routed:
            self._note(works=False, now=now)
        pending.route, pending.routed = self._choose(pending, now), pending.sent
        return () if pending.route is None else (pending.route.option(self._context.node_id),)

    def on_answered(self, pending: Pending, responder: bytes, connection: Connection, now: float) -> None:
        """A request is answered: directly, if the last hop shows it."""
        if pending.route is not None:
            self._note(works=connection.node_id == (pending.route.relay or responder), now=now)

    def is_refused(self, pending: Pending, error_code: int, now: float) -> bool:
        """Whether an error says that the responder does not know the option: then SRR is to be tried at once."""
        if pending.route is None or error_code not in REFUSALS:
            return False
        self._note(works=False, now=now)
        pending.route, pending.is_symmetric = None, True
        return True

    def _choose(self, pending: Pending, now: float) -> ResponseRoute | None:
        if not self.routes or pending.is_symmetric or now < self._not_before:
            return None
        destination, connected = pending.destination, self._connections
        if isinstance(destination, NodeDestination) and (destination.is_wildcard or destination.node_id in connected):
            return None
        mode = self._preferred()
        if mode is None or pending.sent > ATTEMPTS[mode]:
            return None
        fit = [each for each in self.routes if each.mode is mode and (each.relay is None or each.relay in connected)]
        return fit[pending.sent - 1] if pending.sent <= len(fit) else None

    def _preferred(self) -> RouteMode | None:
        """What the configuration says; nothing is tried without (RFC 7263 section 4.2)."""
        configuration = self._context.configuration
        if configuration is not self._read:
            self._read = configuration
            try:
                name = route_mode(configuration)
            except DecodeError:
                name = None
            self._mode = None if name is None else RouteMode[name]
        return self._mode

    def _note(self, *, works: bool, now: float) -> None:
        results = self._results
        results.append(works)
        if len(results) >= LEAST and 2 * sum(results) < len(results):
            results.clear()
            self._not_before = now + PAUSE
