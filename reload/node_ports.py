"""The ports between a node and the parts that answer requests in it: usages, diagnostics, Attach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import attrs

from reload.configuration import Configuration
from reload.configuration_update import InForce
from reload.contents import ErrorResponse, MessageContents, MessageExtension
from reload.destinations import Destination
from reload.events import Event
from reload.exchange import Outcome, Reply, Request
from reload.header import ForwardingHeader
from reload.traffic import Traffic

OnOutcome: TypeAlias = Callable[[Outcome, float], None]
"""Is told, with `now`, what became of a request. Nothing is told before the call that has sent it returns."""


class Host(Protocol):
    """A node, as the parts in it see it. None of it calls back before it returns."""

    @property
    def node_id(self) -> bytes:
        """Of this node."""
        ...

    @property
    def configuration(self) -> Configuration:
        """That is in force."""
        ...

    @property
    def in_force(self) -> InForce:
        """The configuration, the Kinds and the verifier."""
        ...

    @property
    def random_bytes(self) -> Callable[[int], bytes]:
        """The source of chance."""
        ...

    def wall(self, now: float) -> float:
        """The Unix time at `now`."""
        ...

    def is_connected(self, node_id: bytes) -> bool:
        """Whether a link leads to that node."""
        ...

    def next_hop(self, destination: Destination) -> bytes | None:
        """Where a message with this destination would go next; None when it ends at this node."""
        ...

    def send_request(
        self,
        destination_list: Sequence[Destination],
        message_code: int,
        body: Any,
        now: float,
        on_outcome: OnOutcome,
        *,
        extensions: tuple[MessageExtension, ...] = (),
        first_hop: bytes | None = None,
    ) -> int:
        """Send a request, with retransmissions; `on_outcome` is told with this number. Raises EncodeError."""
        ...

    def cancel(self, transaction: int) -> None:
        """Send it no more, and tell nobody what becomes of it. Of a number that is done, nothing happens."""
        ...

    def answer(self, request: Request, reply: Reply, now: float) -> None:
        """Answer a request for which `on_request` has returned None."""
        ...

    def emit(self, event: Event) -> None:
        """Tell the driver, or the user."""
        ...

    def refuse(self, header: ForwardingHeader, previous_hop: bytes, error: ErrorResponse, now: float) -> None:
        """Answer a request that was forwarded, and that came from this neighbor, with an error."""
        ...

    def is_misrouted(self, upstream: bytes, destination: Destination) -> bool:
        """Whether this neighbor has broken the routing rules of the overlay by sending this here."""
        ...

    @property
    def traffic(self) -> Traffic | None:
        """What was sent and received; None where nobody counts."""
        ...

    def routing_table_size(self) -> int:
        """Peers in the routing table."""
        ...

    def uptime(self, now: float) -> int:
        """Seconds since the node was made."""
        ...

    def stored_octets(self) -> int:
        """Of the data that is stored here."""
        ...

    def stored_instances(self) -> Mapping[int, int]:
        """How many values are stored here, by their Kind-ID."""
        ...


class Service(Protocol):
    """Answers requests of its own message codes, and may add to the answers to Pings."""

    @property
    def message_codes(self) -> frozenset[int]:
        """The requests that it answers."""
        ...

    @property
    def extension_types(self) -> frozenset[int]:
        """The message extensions that it understands."""
        ...

    def bind(self, host: Host) -> None:
        """Belong to this node; called once, when the node is made."""
        ...

    def on_request(self, request: Request, now: float) -> Reply | None:
        """A request of one of its codes; None: `Host.answer` follows. Never raises on what a peer sent."""
        ...

    def extend_ping(self, request: Request, now: float) -> tuple[MessageExtension, ...] | ErrorResponse:
        """What to add to the answer to a Ping with message extensions, or the error to answer instead."""
        ...


@attrs.frozen
class Forwarded:
    """A whole message on its way from `previous_hop` to `next_hop`; `data` are its octets as they came."""

    header: ForwardingHeader
    message_code: int
    data: bytes
    start: int
    previous_hop: bytes
    next_hop: bytes

    def contents(self, *, node_id_length: int = 16) -> MessageContents:
        """What is signed of it. Raises DecodeError."""
        contents, _ = MessageContents._decode(self.data, self.start, len(self.data), node_id_length)  # type: ignore[attr-defined]
        return contents  # type: ignore[no-any-return]


@runtime_checkable
class Transit(Protocol):
    """Looks at messages that are forwarded: a `Service` that does so as well has these members."""

    @property
    def transit_codes(self) -> frozenset[int]:
        """The messages that it looks at."""
        ...

    def on_forward(self, message: Forwarded, now: float) -> ErrorResponse | None:
        """What is sent to the requester, and the message goes no further; None to forward it. Never raises."""
        ...
