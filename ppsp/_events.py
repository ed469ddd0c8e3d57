"""The queue of events, bounded where peers can fill it."""

from collections import deque

from ppsp._limits import MAX_JUNK_EVENTS, MAX_PEER_EVENTS
from ppsp.events import ChunkRefused, DatagramDropped, Event, MunroRefused, PeerConnected, PeerDisconnected, PeerFound
from ppsp.ports import Address


class EventQueue:
    """First in, first out. What peers cause is dropped, and counted, when nobody reads it."""

    __slots__ = ("_events", "dropped")

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self.dropped = 0

    def put(self, event: Event) -> None:
        """Add an event that our own progress bounds."""
        self._events.append(event)

    def put_peer(self, event: PeerConnected | PeerDisconnected | PeerFound | ChunkRefused | MunroRefused) -> None:
        """Add an event that a peer can cause at will."""
        if len(self._events) < MAX_PEER_EVENTS:
            self._events.append(event)
        else:
            self.dropped += 1

    def junk(self, address: Address, reason: str) -> None:
        """Report a datagram without effect."""
        self.dropped += 1
        if len(self._events) < MAX_JUNK_EVENTS:
            self._events.append(DatagramDropped(address, reason))

    def next(self) -> Event | None:
        """The oldest event; None when there is none."""
        return self._events.popleft() if self._events else None
