"""Requests of this node until they are answered, and answers that it gave (RFC 6940 section 6.2.1)."""

from __future__ import annotations

from collections import OrderedDict
from heapq import heappop, heappush

import attrs

from reload.contents import ErrorResponse, MessageContents
from reload.destinations import Destination
from reload.header import ForwardingHeader
from reload.node_ports import OnOutcome
from reload.ports import Identity
from reload.response_routes import ResponseRoute

TRANSMISSIONS = 5
"""Times that a request is sent; when the timer of the last one fires, it has failed."""
REQUEST_LIFETIME = 15.0
"""Seconds in which a request that is sent again gets the answer that it got before."""
MAX_ANSWERS, MAX_ANSWER_OCTETS = 1024, 1 << 20
"""Answers that are kept, and octets of them: with 5,000 octets in each, the default of max-message-size, 14 a second
for as long as they are kept. A duplicate of one that is forgotten is processed anew."""


@attrs.define(eq=False)
class Pending:
    """A request that is not answered. `payload` are its contents and its signature: they are never made anew.

    `route` is how its transmission number `routed` has asked for the response to come back, None for SRR, and
    `is_symmetric` is set when nothing else is to be tried.
    """

    header: ForwardingHeader
    contents: MessageContents
    payload: bytes
    on_outcome: OnOutcome
    first_hop: bytes | None
    deadline: float = 0.0
    sent: int = 0
    error: ErrorResponse | None = None
    identity: Identity | None = None
    route: ResponseRoute | None = None
    routed: int = 0
    is_symmetric: bool = False

    @property
    def transaction(self) -> int:
        """The number of it."""
        return self.header.transaction_id

    @property
    def message_code(self) -> int:
        """What is asked."""
        return self.contents.message_code

    @property
    def destination(self) -> Destination:
        """Who is to answer."""
        return self.header.destination_list[-1]


class Transactions:
    """The requests of this node. It sends nothing: whoever owns it does, when `due` says so."""

    def __init__(self) -> None:
        self._pending: dict[int, Pending] = {}
        self._timers: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, transaction: object) -> bool:
        return transaction in self._pending

    def get(self, transaction: int) -> Pending | None:
        """A request that is not answered yet."""
        return self._pending.get(transaction)

    def add(self, pending: Pending, deadline: float) -> None:
        """A request that is sent now."""
        self._pending[pending.transaction] = pending
        self.sent(pending, deadline)

    def sent(self, pending: Pending, deadline: float) -> None:
        """It was sent once more, and its timer is set."""
        pending.sent += 1
        pending.deadline = deadline
        heappush(self._timers, (deadline, pending.transaction))

    def refused(self) -> list[Pending]:
        """Those that an error was received for, and that nevertheless wait."""
        return [pending for pending in self._pending.values() if pending.error is not None]

    def take(self, transaction: int) -> Pending | None:
        """It is answered, or of no interest any more."""
        return self._pending.pop(transaction, None)

    def due(self, now: float) -> Pending | None:
        """A request whose timer has fired. One that was sent `TRANSMISSIONS` times has failed, and is gone."""
        deadline = self.get_timer()
        if deadline is None or deadline > now:
            return None
        _, transaction = heappop(self._timers)
        pending = self._pending[transaction]
        if pending.sent >= TRANSMISSIONS:
            del self._pending[transaction]
        return pending

    def get_timer(self) -> float | None:
        """When the first timer fires."""
        timers = self._timers
        while timers:
            deadline, transaction = timers[0]
            pending = self._pending.get(transaction)
            if pending is not None and pending.deadline == deadline:
                return deadline
            heappop(timers)
        return None


@attrs.define(eq=False)
class _Given:
    deadline: float
    payload: bytes | None


class Answers:
    """What this node has answered, by signer and transaction, for as long as it can be asked again."""

    def __init__(self) -> None:
        self._given: OrderedDict[tuple[bytes, int], _Given] = OrderedDict()
        self._octets = 0

    def __len__(self) -> int:
        return len(self._given)

    @property
    def octets(self) -> int:
        """Of the answers."""
        return self._octets

    def is_known(self, signer: bytes, transaction: int, now: float) -> bool:
        """Whether this request was here before. If not, it counts as one that is being answered."""
        self.expire(now)
        key = signer, transaction
        if key in self._given:
            return True
        self._given[key] = _Given(now + REQUEST_LIFETIME, None)
        self._bound()
        return False

    def get(self, signer: bytes, transaction: int) -> bytes | None:
        """The payload of the answer; None while there is none."""
        given = self._given.get((signer, transaction))
        return None if given is None else given.payload

    def put(self, signer: bytes, transaction: int, payload: bytes) -> None:
        """The answer to a request that `is_known`."""
        given = self._given.get((signer, transaction))
        if given is not None and given.payload is None:
            given.payload = payload
            self._octets += len(payload)
            self._bound()

    def forget(self, signer: bytes, transaction: int) -> None:
        """If it is sent again, it is another request."""
        self._drop((signer, transaction))

    def expire(self, now: float) -> None:
        """Forget those that nobody can ask for again."""
        while self._given:
            key = next(iter(self._given))
            if self._given[key].deadline > now:
                return
            self._drop(key)

    def _bound(self) -> None:
        while len(self._given) > MAX_ANSWERS or self._octets > MAX_ANSWER_OCTETS:
            self._drop(next(iter(self._given)))

    def _drop(self, key: tuple[bytes, int]) -> None:
        given = self._given.pop(key, None)
        if given is not None and given.payload is not None:
            self._octets -= len(given.payload)
