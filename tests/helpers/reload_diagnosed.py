"""A node as diagnostics sees it, put together by hand."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from reload.configuration import Configuration
from reload.configuration_extensions import DIAGNOSTICS
from reload.configuration_update import InForce
from reload.contents import ErrorResponse, MessageCode, MessageContents, MessageExtension
from reload.destinations import Destination, NodeDestination, ResourceDestination
from reload.diagnostic_information import DiagnosticValue
from reload.events import Event
from reload.exchange import Reply, Request
from reload.header import ForwardingHeader
from reload.kinds import Extension
from reload.message import Message, encode_message
from reload.node_ports import Forwarded, OnOutcome
from reload.null_security import NullSigner
from reload.ports import Identity
from reload.signing import sign_message
from reload.traffic import Traffic

EPOCH = 1_700_000_000.0


def node(number: int) -> bytes:
    return number.to_bytes(16, "big")


def identity(node_id: bytes) -> Identity:
    return Identity(node_id, (node_id,), None, b"certificate of " + node_id)


def access(kinds: Mapping[int, Iterable[bytes]]) -> tuple[Extension, ...]:
    """What a configuration says about who may have which kind."""
    return tuple(
        Extension(
            DIAGNOSTICS,
            "diagnostic-kind",
            {"kind": f"{kind:04x}"},
            "",
            tuple(Extension(DIAGNOSTICS, "access-node", {}, node_id.hex()) for node_id in node_ids),
        )
        for kind, node_ids in kinds.items()
    )


class HandMadeHost:
    """A `Host`; messages go next to whom `hops` names."""

    def __init__(self, node_id: bytes, extensions: tuple[Extension, ...] = ()) -> None:
        self.node_id = node_id
        self.configuration = Configuration("overlay.example", 1, EPOCH * 2, extensions=extensions)
        self.hops: dict[Destination, bytes] = {}
        self.misrouting: set[bytes] = set()
        self.traffic: Traffic | None = Traffic(0.0)
        self.refused: list[tuple[ForwardingHeader, bytes, ErrorResponse]] = []

    @property
    def in_force(self) -> InForce:
        raise NotImplementedError

    @property
    def random_bytes(self) -> Callable[[int], bytes]:
        return bytes

    def wall(self, now: float) -> float:
        return EPOCH + now

    def is_connected(self, node_id: bytes) -> bool:
        return node_id in self.hops.values()

    def next_hop(self, destination: Destination) -> bytes | None:
        return self.hops.get(destination)

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
        raise NotImplementedError

    def cancel(self, transaction: int) -> None:
        raise NotImplementedError

    def answer(self, request: Request, reply: Reply, now: float) -> None:
        raise NotImplementedError

    def emit(self, event: Event) -> None:
        raise NotImplementedError

    def refuse(self, header: ForwardingHeader, previous_hop: bytes, error: ErrorResponse, now: float) -> None:
        self.refused.append((header, previous_hop, error))

    def is_misrouted(self, upstream: bytes, destination: Destination) -> bool:
        return upstream in self.misrouting

    def routing_table_size(self) -> int:
        return 17

    def uptime(self, now: float) -> int:
        return int(now)

    def stored_octets(self) -> int:
        return 4096

    def stored_instances(self) -> Mapping[int, int]:
        return {0x104: 3, 1: 2}


class Told:
    """A `DiagnosticSource` that tells what it was given, and remembers what it was asked."""

    def __init__(self, values: Mapping[int, DiagnosticValue]) -> None:
        self.values = values
        self.asked: list[tuple[int, bytes, bytes]] = []

    def information(self, kind: int, contents: bytes, next_hop: bytes, now: float) -> DiagnosticValue | None:
        self.asked.append((kind, contents, next_hop))
        return self.values.get(kind)


def forwarded(
    contents: MessageContents,
    *,
    previous_hop: bytes,
    next_hop: bytes,
    via_list: tuple[Destination, ...] = (),
    ttl: int = 97,
) -> Forwarded:
    """A message on its way to a resource."""
    destination: Destination = ResourceDestination(node(0xFFFF))
    if contents.message_code == MessageCode.PATH_TRACK_ANS:
        destination = NodeDestination(next_hop)
    header = ForwardingHeader(1, 0xABC, (destination,), via_list, ttl=ttl)
    message: Message = sign_message(header, contents, NullSigner(node(0xAA)))
    data = encode_message(message)
    return Forwarded(header, contents.message_code, data, len(data) - _payload(message), previous_hop, next_hop)


def _payload(message: Message) -> int:
    from reload._presentation import encode

    return len(encode(message.contents)) + len(encode(message.security_block))
