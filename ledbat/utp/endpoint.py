"""The endpoint: one UDP socket's worth of uTP (BEP 29), without the socket.

Feed it datagrams and time, send what it returns:

    endpoint.receive_datagram(data, address, now)      # as often as datagrams are there
    for datagram, address in endpoint.datagrams_to_send(now): ...      # until there are none
    endpoint.handle_timer(now)                         # at endpoint.get_timer(), or whenever
    event = endpoint.next_event()                      # until it is None
"""

import secrets
import struct
from collections import deque
from collections.abc import Callable

from ledbat.errors import ParameterError, StateError
from ledbat.plusplus import LedbatPlusPlus
from ledbat.utp._timers import TimerHeap
from ledbat.utp.connection import Connection
from ledbat.utp.events import DatagramDropped, Event, Reason
from ledbat.utp.inbound import Inbound
from ledbat.utp.limits import (
    FLUSH_DATAGRAMS,
    FLUSH_PACKETS,
    MAX_BUFFER,
    MAX_CONNECTIONS,
    MAX_DROPPED_EVENTS,
    MAX_HALF_OPEN,
    RECEIVE_BUFFER,
    SEND_BUFFER,
)
from ledbat.utp.mtu import MAX_DATAGRAM, MIN_DATAGRAM, MtuSearch
from ledbat.utp.outbound import Outbound
from ledbat.utp.packet import HEADER, HEADER_SIZE, SEQ_MASK, VERSION, PacketType
from ledbat.utp.ports import Address, CongestionController, ControllerFactory, Datagram, ReceiveWindowFactory
from ledbat.utp.resets import ResetPolicy
from ledbat.utp.states import Buffer, Head, Identity, State
from ledbat.utp.stats import ConnectionStats

_KINDS = {kind << 4 | VERSION: kind for kind in PacketType}
_unpack = HEADER.unpack_from


def default_controller(mss: int) -> CongestionController:
    """The congestion controller of a connection that asks for no other: LEDBAT++ on one-way delays."""
    return LedbatPlusPlus(mss=mss, delay_source="owd")


class UtpEndpoint:
    """Any number of uTP connections on one transport address.

    A connection is known by a number that `connect` returns and `Incoming` brings. Verbs raise StateError for a number
    that is not, or no longer, that of a connection, and change nothing then.
    """

    def __init__(
        self,
        *,
        controller: ControllerFactory = default_controller,
        receive_window: ReceiveWindowFactory | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        accept: bool = True,
        accept_early: bool = False,
        nodelay: bool = False,
        receive_buffer: int = RECEIVE_BUFFER,
        send_buffer: int = SEND_BUFFER,
        min_datagram: int = MIN_DATAGRAM,
        max_datagram: int = MAX_DATAGRAM,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        """Make an endpoint without connections.

        `controller` makes each connection's congestion controller, given the octets of payload in its largest packet.
        `receive_window` makes a controller that may advertise less than the receive buffer has room for (rLEDBAT).
        `accept=False` answers SYNs with a RESET. `accept_early` tells of an incoming connection at its SYN, so that it
        may send first; spoofed SYNs then cost a few packets each. `nodelay` turns Nagle's algorithm off. Buffers are
        octets a connection. `min_datagram` and `max_datagram` bound the path-MTU search, in octets of UDP payload: 1472
        suits IPv4, 1452 IPv6. `max_connections` limits those that peers open.

        Raises ParameterError for sizes that make no sense.
        """
        for name, size in (("receive_buffer", receive_buffer), ("send_buffer", send_buffer)):
            if not 1 <= size <= MAX_BUFFER:
                raise ParameterError(f"{name} is {size}; it must be from 1 to {MAX_BUFFER} octets")
        if not HEADER_SIZE + 130 <= min_datagram <= max_datagram <= 65_507:
            raise ParameterError(f"datagrams of {min_datagram} to {max_datagram} octets: 150 to 65507 are possible")
        self._controller = controller
        self._receive_window = receive_window
        self._random_bytes = random_bytes
        self.accept = accept
        """Whether SYNs are answered; else they get a RESET. May be changed at any time."""
        self._accept_early = accept_early
        self._nodelay = nodelay
        self._receive_buffer = receive_buffer
        self._send_buffer = send_buffer
        self._datagram_range = (min_datagram, max_datagram)
        self._max_connections = max_connections
        self._connections: dict[tuple[int, Address], Connection] = {}
        self._numbers: dict[int, Connection] = {}
        self._half_open: dict[Connection, None] = {}
        self._dialled: set[Connection] = set()
        self._settled: set[Connection] = set()
        self._next_number = 1
        self._dirty: dict[Connection, None] = {}
        self._timers = TimerHeap()
        self._resets = ResetPolicy()
        self._outbox: list[tuple[Datagram, Address]] = []
        self._events: deque[Event] = deque()
        self._dropped: deque[DatagramDropped] = deque(maxlen=MAX_DROPPED_EVENTS)

    # Verbs

    def connect(self, address: Address, now: float) -> int:
        """Open a connection; `Connected` or `Closed` follows. Octets may be sent at once: they wait.

        Raises StateError when every connection ID towards this address is in use.
        """
        for _ in range(64):
            recv_id = int.from_bytes(self._random_bytes(2), "big")
            send_id = (recv_id + 1) & SEQ_MASK
            if (recv_id, address) not in self._connections and (send_id, address) not in self._connections:
                break
        else:
            raise StateError(f"no connection ID is free for {address!r}")
        connection = self._make(address, recv_id, send_id, 0, now)
        connection.connect(now)
        self._dialled.add(connection)
        self._soil(connection)
        return connection.identity.number

    def send(self, connection: int, data: Buffer) -> int:
        """Send octets; returns how many were taken. `Writable` tells when more will be, if these were not all.

        `bytes` are kept and not copied. Raises StateError after `shutdown`, `close`, and the end of the connection.
        """
        found = self._find(connection)
        taken = found.send(data)
        self._soil(found)
        return taken

    def receive(self, connection: int, most: int | None = None) -> bytes:
        """Take octets that arrived, at most `most`; empty when there are none."""
        return b"".join(self.receive_chunks(connection, most))

    def receive_chunks(self, connection: int, most: int | None = None) -> list[bytes | bytearray]:
        """The same in the pieces in which they arrived, which copies nothing when `most` is None."""
        found = self._find(connection)
        chunks = found.receive_chunks(most)
        if found.inbound.taken():
            self._soil(found)
        self._forget(found)
        return chunks

    def shutdown(self, connection: int) -> None:
        """Finish our direction after what was sent; the peer may go on."""
        found = self._find(connection)
        found.shutdown()
        self._soil(found)

    def close(self, connection: int, now: float) -> None:
        """Finish our direction and want nothing more of the other: what arrives is acknowledged and dropped."""
        found = self._find(connection)
        found.close(now)
        self._after(found)

    def reset(self, connection: int, now: float) -> None:
        """Give the connection up at once, and tell the peer."""
        found = self._find(connection)
        if found.state is not State.CLOSED:
            self._outbox.append((found.reset(Reason.ABORTED, now), found.address))
        found.inbound.queue.take_all()
        self._after(found)

    def path_mtu(self, address: Address, datagram: int, now: float) -> None:
        """An ICMP message said that no UDP payload above `datagram` octets reaches this address."""
        for connection in self._connections.values():
            if connection.address == address:
                connection.outbound.mtu.too_large(datagram, now)

    def stats(self, connection: int) -> ConnectionStats:
        """Figures of a connection, as they are now."""
        return ConnectionStats.of(self._find(connection))

    @property
    def connections(self) -> int:
        """Connections that still have something to tell their peers, those included that linger after their end."""
        return len(self._connections) - len(self._settled)

    def _find(self, number: int) -> Connection:
        try:
            return self._numbers[number]
        except KeyError:
            raise StateError(f"there is no connection {number}") from None

    def _soil(self, connection: Connection) -> None:
        if not connection.dirty:
            connection.dirty = True
            self._dirty[connection] = None

    def _make(self, address: Address, recv_id: int, send_id: int, ack_nr: int, now: float) -> Connection:
        low, high = self._datagram_range
        mss = high - HEADER_SIZE
        window = None if self._receive_window is None else self._receive_window(mss)
        connection = Connection(
            Identity(self._next_number, address, recv_id, send_id),
            Inbound(ack_nr, self._receive_buffer, window),
            Outbound(
                int.from_bytes(self._random_bytes(2), "big"),
                self._controller(mss),
                MtuSearch(low, high),
                nodelay=self._nodelay,
            ),
            self._events,
            send_buffer=self._send_buffer,
            now=now,
        )
        self._next_number += 1
        self._connections[recv_id, address] = connection
        self._numbers[connection.identity.number] = connection
        return connection

    # Input

    def receive_datagram(self, data: Buffer, address: Address, now: float) -> None:
        """Take a datagram from the network; `data` is not kept. Nothing that a peer sends makes this raise."""
        try:
            head: Head = _unpack(data)
        except struct.error:
            self._drop(address, f"packet of {len(data)} octets")
            return
        kind = _KINDS.get(head[0])
        if kind is None:
            self._drop(address, f"packet with first octet {head[0]:#04x}")
            return
        connection = self._connections.get((head[2], address))
        if connection is None or kind >= PacketType.RESET:
            self._receive_rare(kind, head, data, address, now)
            return
        state = connection.state
        reason = connection.receive(kind, head, data, now)
        if not connection.dirty:
            connection.dirty = True
            self._dirty[connection] = None
        if reason is not None:
            self._drop(address, reason)
        if connection.state is not state:
            self._after(connection)

    def _drop(self, address: Address, reason: str) -> None:
        self._dropped.append(DatagramDropped(address, reason))

    def _receive_rare(self, kind: PacketType, head: Head, data: Buffer, address: Address, now: float) -> None:
        """A SYN, a RESET, or a packet of no connection."""
        if kind is PacketType.SYN:
            connection = self._connections.get(((head[2] + 1) & SEQ_MASK, address))
            if connection is None:
                self._receive_syn(head, address, now)
                return
        elif kind is PacketType.RESET:
            connection = self._named_by_reset(head[2], address)
        else:
            connection = None
        if connection is not None:
            reason = connection.receive(kind, head, data, now)
            self._after(connection)
            if reason is not None:
                self._drop(address, reason)
            return
        self._drop(address, f"{kind.name} for no connection")
        if kind is not PacketType.RESET:
            self._answer_with_reset(head, address, now)

    def _answer_with_reset(self, head: Head, address: Address, now: float) -> None:
        packet = self._resets.answer(address, head[2], head[6], now)
        if packet is not None:
            self._outbox.append((packet, address))

    def _named_by_reset(self, connection_id: int, address: Address) -> Connection | None:
        """A RESET may carry either of the connection's two ids."""
        for recv_id in (connection_id, connection_id - 1, connection_id + 1):
            connection = self._connections.get((recv_id & SEQ_MASK, address))
            if connection is not None and connection_id in (connection.identity.recv_id, connection.identity.send_id):
                return connection
        return None

    def _receive_syn(self, head: Head, address: Address, now: float) -> None:
        if not self.accept:
            self._drop(address, "SYN while nothing is accepted")
            self._answer_with_reset(head, address, now)
            return
        if len(self._connections) - len(self._half_open) - len(self._dialled) >= self._max_connections:
            self._drop(address, "SYN while every connection is taken")
            return
        if len(self._half_open) >= MAX_HALF_OPEN:
            # The oldest has had the longest time to be confirmed: a flood pushes out its own.
            oldest = next(iter(self._half_open))
            oldest.expire()
            self._after(oldest)
        connection = self._make(address, (head[2] + 1) & SEQ_MASK, head[2], head[6], now)
        connection.accept(head, now, early=self._accept_early)
        self._half_open[connection] = None
        self._soil(connection)

    def _after(self, connection: Connection) -> None:
        """Look at what a packet, a verb or a timer made of the connection."""
        if connection.state is not State.SYN_RECV:
            self._half_open.pop(connection, None)
        if connection.state is not State.CLOSED:
            self._soil(connection)
            return
        identity = connection.identity
        self._connections.pop((identity.recv_id, identity.address), None)
        self._dialled.discard(connection)
        self._settled.discard(connection)
        self._timers.drop(connection)
        connection.dirty = False
        self._dirty.pop(connection, None)
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        """A closed connection is kept for as long as there is something to receive from it."""
        if connection.state is State.CLOSED and not connection.inbound.queue.readable:
            self._numbers.pop(connection.identity.number, None)

    # Output

    def datagrams_to_send(self, now: float) -> list[tuple[Datagram, Address]]:
        """What is to be sent now: acknowledgements, merged over all datagrams since the last call, and data.

        Bounded: call again until the list is empty. Datagrams of one size to one address stand together.
        """
        out, self._outbox = self._outbox, []
        dirty = self._dirty
        while dirty and len(out) < FLUSH_DATAGRAMS:
            connection = next(iter(dirty))
            del dirty[connection]
            connection.dirty = False
            more = connection.flush(out, FLUSH_PACKETS, now)
            if connection.settled:
                self._settled.add(connection)
            self._timers.arm(connection)
            if more:
                # To the end of the line: others get their turn.
                self._soil(connection)
        return out

    def next_event(self) -> Event | None:
        """The next thing that happened; None when there is nothing more."""
        if self._events:
            return self._events.popleft()
        return self._dropped.popleft() if self._dropped else None

    # Time

    def get_timer(self) -> float | None:
        """When `handle_timer` is due; None when nothing waits."""
        return self._timers.next()

    def handle_timer(self, now: float) -> None:
        """Let time pass; what is to be sent then comes from `datagrams_to_send`. Early and late calls do no harm."""
        for connection in self._timers.due(now):
            packet = connection.handle_timer(now)
            if packet is not None:
                self._outbox.append((packet, connection.address))
            self._after(connection)
