"""Simple Reliability: messages over datagrams, one at a time (RFC 6940 sections 6.6.3 to 6.6.6).

The sender is the stop-and-wait algorithm of section 6.6.3.1 with a dynamic RTO: with one message in flight, timeouts
that double, and never more than one datagram a round trip but for ACKs, it keeps within RFC 8085 section 3.1.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any

from reload.duplicates import SEQUENCES, TRANSMISSIONS, Duplicates
from reload.errors import DecodeError, StateError
from reload.framing import WINDOW, AckFrame, DataFrame, ReceivedMask, decode_frame, encode_frame
from reload.link import (
    MAX_DROP_EVENTS,
    FrameDropped,
    LinkClosed,
    LinkEvent,
    LinkFailing,
    LinkRestored,
    MessageReceived,
)
from reload.rto import RetransmissionTimeout

INITIAL_RTO = 0.5
"""Seconds, until the round-trip time is known."""
GRANULARITY = 0.05
"""G of RFC 6298: a peer that is busy with other messages sends its ACK some milliseconds late."""
RETRANSMISSIONS_UNTIL_FAILING = 3
PAUSE = 0.010
"""Seconds between an ACK and the next message."""
MAX_QUEUED, MAX_QUEUED_OCTETS = 256, 1 << 18
"""What waits to be sent, in messages and in octets: what a link with a round-trip time of 50 ms sends in `MAX_WAIT`."""
MAX_WAIT = 15.0
"""Seconds after which a message is not sent any more: nobody waits for it (section 6.2.1)."""
PEER_RTO = 2.0
"""Seconds that the peer's timeout is taken to be at most: after 3, a request is sent again end to end."""
MAX_ACKS = 1024
"""ACKs that wait to be taken: more datagrams than that are not received in one batch."""


class SimpleReliability:
    """One connection. `address` is the peer's, as the driver means it, and that of every datagram.

    `rtt` is a round-trip time in seconds that ICE has measured. `initial_rto` may be less than 0.5 s where all nodes
    are on a local network, and should be more where the round-trip time is known to be long.
    """

    def __init__(self, address: Any = None, *, rtt: float | None = None, initial_rto: float = INITIAL_RTO) -> None:
        self._address = address
        self._initial_rto = initial_rto
        self._timeout = RetransmissionTimeout(initial_rto, granularity=GRANULARITY)
        if rtt is not None:
            self._timeout.measure(rtt)
        self._events: deque[LinkEvent] = deque()
        self._drops = 0
        self._is_closed = False
        # As receiver.
        self._mask = ReceivedMask()
        self._duplicates = Duplicates()
        self._acks: deque[AckFrame] = deque(maxlen=MAX_ACKS)
        # As sender.
        self._queue: OrderedDict[bytes, float] = OrderedDict()
        self._queued_octets = 0
        self._next_sequence = 0
        self._sent: OrderedDict[int, float] = OrderedDict()
        self._message: bytes | None = None
        self._numbers: list[int] = []
        self._wait = 0.0
        self._deadline: float | None = None
        self._not_before = 0.0
        self._heard = 0
        """Transmissions of the message before the last ACK."""
        self._is_failing = False

    @property
    def is_closed(self) -> bool:
        """Whether `LinkClosed` was told, or is about to be."""
        return self._is_closed

    @property
    def rto(self) -> float:
        """Seconds until the first retransmission of a message."""
        return self._timeout.rto

    def send_message(self, message: bytes, now: float) -> bool:
        """Send a message or fragment, after those before it. Raises StateError when the link is closed.

        False when it is not sent, because too much waits already. What waits already is not sent twice.
        """
        if self._is_closed:
            raise StateError("the link is closed")
        if message == self._message or message in self._queue:
            return True
        self._drop_old(now)
        if len(self._queue) >= MAX_QUEUED or self._queued_octets + len(message) > MAX_QUEUED_OCTETS:
            return False
        self._queue[message] = now
        self._queued_octets += len(message)
        return True

    def connection_lost(self, reason: str) -> None:
        """The connection has ended below: a TLS alert, a hard ICMP error, the driver's own will."""
        if not self._is_closed:
            self._close(reason)

    def receive_datagram(self, data: bytes | bytearray | memoryview, address: Any, now: float) -> None:
        """What has come, out of its DTLS record."""
        if self._is_closed:
            return
        if address != self._address:
            self._drop("it comes from another address")
            return
        try:
            frame = decode_frame(bytes(data))
        except DecodeError as exc:
            self._drop(str(exc))
            return
        if isinstance(frame, AckFrame):
            self._on_ack(frame, now)
            return
        self._acks.append(self._mask.acknowledge(frame.sequence))
        peer_rto = max(self._initial_rto, min(self._timeout.rto, PEER_RTO))
        if self._duplicates.is_new(frame, peer_rto, now):
            self._events.append(MessageReceived(frame.message))

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Any]]:
        """What goes out now: ACKs, and a message when it is its time."""
        frames: list[AckFrame | DataFrame] = list(self._acks)
        self._acks.clear()
        if not self._is_closed:
            if self._message is None:
                self._next_message(now)
            if self._message is not None and self._deadline is None:
                frames.append(self._transmit(self._message, now))
        return [(encode_frame(frame), self._address) for frame in frames]

    def next_event(self) -> LinkEvent | None:
        """The next event, if any."""
        if not self._events:
            return None
        event = self._events.popleft()
        self._drops -= isinstance(event, FrameDropped)
        return event

    def get_timer(self) -> float | None:
        """When `handle_timer` is due, and `datagrams_to_send` behind it."""
        if self._is_closed:
            return None
        if self._message is None:
            return self._not_before if self._queue else None
        # Without a deadline, it is to be sent at once.
        return self._not_before if self._deadline is None else self._deadline

    def handle_timer(self, now: float) -> None:
        """Retransmit what was not acknowledged in time, or give up."""
        if self._deadline is None or now < self._deadline:
            return
        if len(self._numbers) >= TRANSMISSIONS:
            self._close(f"no ACK for {TRANSMISSIONS} transmissions of a message")
            return
        self._deadline = None
        self._wait *= 2

    def _next_message(self, now: float) -> None:
        self._drop_old(now)
        if not self._queue or now < self._not_before:
            return
        self._message, _ = self._queue.popitem(last=False)
        self._queued_octets -= len(self._message)
        self._numbers.clear()
        self._deadline = None
        self._wait = self._timeout.rto
        self._heard = 0

    def _transmit(self, message: bytes, now: float) -> DataFrame:
        """Each transmission has a number of its own."""
        sequence = self._next_sequence
        self._next_sequence = (sequence + 1) % SEQUENCES
        self._sent[sequence] = now
        if len(self._sent) > WINDOW:
            self._sent.popitem(last=False)
        self._numbers.append(sequence)
        self._deadline = now + self._wait
        # The first one behind an ACK begins the interval without any, and the third retransmission of it ends the wait.
        if not self._is_failing and len(self._numbers) - self._heard > RETRANSMISSIONS_UNTIL_FAILING:
            self._is_failing = True
            self._events.append(LinkFailing())
        return DataFrame(sequence, message)

    def _on_ack(self, frame: AckFrame, now: float) -> None:
        """Only `ack_sequence` acknowledges; the mask is for statistics (trap T1)."""
        sent = self._sent.pop(frame.ack_sequence, None)
        if sent is None:
            self._drop(f"ACK of {frame.ack_sequence}, which was not sent lately, or is acknowledged already")
            return
        self._timeout.measure(now - sent)
        self._heard = len(self._numbers)
        if self._is_failing:
            self._is_failing = False
            self._events.append(LinkRestored())
        if self._message is not None and frame.ack_sequence in self._numbers:
            self._message, self._deadline = None, None
        self._not_before = now + PAUSE

    def _drop_old(self, now: float) -> None:
        while self._queue:
            message, since = next(iter(self._queue.items()))
            if now - since < MAX_WAIT:
                return
            del self._queue[message]
            self._queued_octets -= len(message)

    def _drop(self, reason: str) -> None:
        if self._drops < MAX_DROP_EVENTS:
            self._drops += 1
            self._events.append(FrameDropped(reason))

    def _close(self, reason: str) -> None:
        self._is_closed = True
        self._queue.clear()
        self._acks.clear()
        self._message, self._deadline = None, None
        self._events.append(LinkClosed(reason))
