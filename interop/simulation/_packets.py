"""Packets, what becomes of them, and those who watch."""

import enum
import hashlib
from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

import attrs

from interop.simulation._engine import Engine

SimulatedAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
"""`(host, port)`, or the four values of IPv6, as a socket gives them."""

_HEADERS = {4: 20 + 8, 6: 40 + 8}


class Packet:
    """A UDP datagram on its way. `size` is its octets on the wire, the IP and UDP headers included."""

    __slots__ = ("_hop", "_path", "destination", "payload", "sent_us", "size", "source")

    def __init__(
        self,
        source: SimulatedAddress,
        destination: SimulatedAddress,
        payload: bytes,
        sent_us: int,
        path: "tuple[Hop, ...]",
    ) -> None:
        self.source = source
        self.destination = destination
        self.payload = payload
        self.size = len(payload) + (_HEADERS[6] if len(source) == 4 else _HEADERS[4])
        self.sent_us = sent_us
        self._path = path
        self._hop = 0

    def advance(self) -> None:
        """Go on to the next hop."""
        hop = self._hop
        self._hop = hop + 1
        self._path[hop](self)

    def redirect(self, path: "tuple[Hop, ...]") -> None:
        """Go on along another path."""
        self._path = path
        self._hop = 0
        self.advance()

    def copy(self) -> "Packet":
        """A second packet at the same place."""
        twin = Packet(self.source, self.destination, self.payload, self.sent_us, self._path)
        twin._hop = self._hop
        return twin

    def __repr__(self) -> str:
        return f"Packet({self.source} -> {self.destination}, {len(self.payload)} octets, sent at {self.sent_us} us)"


Hop: TypeAlias = Callable[[Packet], None]
"""A place on a packet's way: takes it, and has it `advance` at once, later, or never."""


class Fate(enum.Enum):
    """What happened to a packet."""

    SENT = "sent"
    DELIVERED = "delivered"
    DROPPED = "dropped"


class Drop(enum.Enum):
    """Why a packet was dropped."""

    QUEUE = "the queue was full"
    AQM = "the queue discipline chose it"
    LOSS = "lost on the wire"
    GATE = "the link's gate refused it"
    PARTITION = "a partition lay between"
    NO_ROUTE = "no such host"
    HOST_DOWN = "the host was down"
    NO_LISTENER = "nobody listened on the port"
    NAT_FILTER = "the NAT had no mapping, or its filter refused the sender"
    NAT_FULL = "the NAT had no port left"


@attrs.define
class PacketEvent:
    """What a tap is told: `packet` met its `fate` at a host or link called `where`."""

    at_us: int
    fate: Fate
    packet: Packet
    where: str
    reason: Drop | None = None


Tap: TypeAlias = Callable[[PacketEvent], None]


class Recorder:
    """Counts every packet once it is sent, delivered or dropped, and tells the taps."""

    def __init__(self, engine: Engine) -> None:
        self.taps: list[Tap] = []
        self.sent = 0
        self.delivered = 0
        self.dropped: Counter[Drop] = Counter()
        self._engine = engine

    def was_sent(self, packet: Packet, where: str) -> None:
        """A host put the packet on the wire."""
        self.sent += 1
        if self.taps:
            self._tell(PacketEvent(self._engine.now_us, Fate.SENT, packet, where))

    def was_delivered(self, packet: Packet, where: str) -> None:
        """The packet has reached the socket it was sent to."""
        self.delivered += 1
        if self.taps:
            self._tell(PacketEvent(self._engine.now_us, Fate.DELIVERED, packet, where))

    def was_dropped(self, packet: Packet, where: str, reason: Drop) -> None:
        """The packet goes no further."""
        self.dropped[reason] += 1
        if self.taps:
            self._tell(PacketEvent(self._engine.now_us, Fate.DROPPED, packet, where, reason))

    def _tell(self, event: PacketEvent) -> None:
        for tap in self.taps:
            tap(event)


class TraceHash:
    """A tap that folds every packet and its fate into one hash: equal hashes, equal runs, octet for octet."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def __call__(self, event: PacketEvent) -> None:
        """Fold one event in."""
        packet = event.packet
        reason = event.reason.name if event.reason else ""
        line = (event.at_us, event.fate.value, packet.source, packet.destination, event.where, reason, packet.size)
        self._hash.update(repr(line).encode())
        self._hash.update(packet.payload)

    def hexdigest(self) -> str:
        """The hash of everything so far."""
        return self._hash.hexdigest()
