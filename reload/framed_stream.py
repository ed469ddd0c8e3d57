"""Messages over a stream: the Framing Header on TLS over TCP (RFC 6940 sections 6.6.2 and 6.6.5)."""

from __future__ import annotations

from collections import OrderedDict, deque

from reload.duplicates import SEQUENCES
from reload.errors import DecodeError, StateError
from reload.framing import AckFrame, DataFrame, FramedMessage, ReceivedMask, decode_frame_at, encode_frame
from reload.link import LinkClosed, LinkEvent, LinkFailing, LinkRestored, MessageReceived
from reload.rto import RetransmissionTimeout

INITIAL_RTO = LEAST_RTO = 1.0
"""Seconds: section 6.6.5 takes RFC 6298 section 2 as it is, with 2.1 and 2.4."""
GRANULARITY = 0.1
"""G of RFC 6298, seconds: the most that its section 4 speaks well of, as the RTO raises an alarm here."""
LINGER = 30.0
"""Seconds that a failing connection is kept, to see whether its failure is transient."""
MAX_UNACKNOWLEDGED, MAX_UNACKNOWLEDGED_OCTETS = 4096, 1 << 20
"""What the peer has not acknowledged, in messages and octets: it does not read, or TCP waits to send. Beyond that, what
is given to this link would only grow old in buffers."""


class FramedStream:
    """One connection. A message longer than `max_message` octets ends it, before it is there.

    Make that more than max-message-size, twice as much for example: the node answers what is larger than that, but
    comes whole, with Error_Message_Too_Large (section 6.6).
    """

    def __init__(self, *, max_message: int) -> None:
        self._max_message = max_message
        self._timeout = RetransmissionTimeout(INITIAL_RTO, granularity=GRANULARITY, least=LEAST_RTO)
        self._events: deque[LinkEvent] = deque()
        self._out: list[FramedMessage] = []
        self._buffer = bytearray()
        self._mask = ReceivedMask()
        self._next_sequence = 0
        self._unacknowledged: OrderedDict[int, tuple[float, int]] = OrderedDict()
        self._octets = 0
        self._failing_since: float | None = None
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether `LinkClosed` was told, or is about to be."""
        return self._is_closed

    @property
    def rto(self) -> float:
        """Seconds that an ACK may take before the link is taken for failing."""
        return self._timeout.rto

    def send_message(self, message: bytes, now: float) -> bool:
        """Send a message or fragment. Raises StateError when the link is closed.

        False when it is not sent, because too much was not acknowledged yet.
        """
        if self._is_closed:
            raise StateError("the link is closed")
        if len(self._unacknowledged) >= MAX_UNACKNOWLEDGED or self._octets + len(message) > MAX_UNACKNOWLEDGED_OCTETS:
            return False
        sequence = self._next_sequence
        self._next_sequence = (sequence + 1) % SEQUENCES
        self._unacknowledged[sequence] = now, len(message)
        self._octets += len(message)
        self._out.append(DataFrame(sequence, message))
        return True

    def connection_lost(self, reason: str) -> None:
        """The connection has ended below: a TLS alert, a reset, the driver's own will."""
        if not self._is_closed:
            self._close(reason)

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Any part of the stream."""
        if self._is_closed:
            return
        self._buffer += data
        at = 0
        while True:
            try:
                frame, after = decode_frame_at(self._buffer, at, max_message=self._max_message)
            except DecodeError as exc:
                self._close(str(exc))
                return
            if frame is None:
                break
            self._on_frame(frame, now)
            at = after
        del self._buffer[:at]

    def receive_eof(self, now: float) -> None:
        """The peer sends nothing more."""
        self.connection_lost("the peer has closed the connection")

    def data_to_send(self, now: float) -> list[bytes]:
        """What goes out now: each a frame, to be written as a TLS record of its own."""
        frames, self._out = self._out, []
        return [encode_frame(frame) for frame in frames]

    def next_event(self) -> LinkEvent | None:
        """The next event, if any."""
        return self._events.popleft() if self._events else None

    def get_timer(self) -> float | None:
        """When the link begins to fail, or has failed for good."""
        if self._failing_since is not None:
            return self._failing_since + LINGER
        return self._overdue()

    def handle_timer(self, now: float) -> None:
        """Notice that ACKs do not come."""
        if self._failing_since is not None:
            if now >= self._failing_since + LINGER:
                self._close(f"no ACK for {LINGER:g} s after the timeout")
            return
        overdue = self._overdue()
        if overdue is not None and now >= overdue:
            self._failing_since = now
            self._events.append(LinkFailing())

    def _overdue(self) -> float | None:
        """When the ACK of the oldest message is due."""
        oldest = next(iter(self._unacknowledged.values()), None)
        return None if oldest is None else oldest[0] + self._timeout.rto

    def _on_frame(self, frame: FramedMessage, now: float) -> None:
        if isinstance(frame, DataFrame):
            self._out.append(self._mask.acknowledge(frame.sequence))
            self._events.append(MessageReceived(frame.message))
            return
        self._on_ack(frame, now)

    def _on_ack(self, frame: AckFrame, now: float) -> None:
        """A stream brings everything in order: an ACK tells of everything before it, too."""
        if frame.ack_sequence not in self._unacknowledged:
            return
        while True:
            sequence, (sent, size) = self._unacknowledged.popitem(last=False)
            self._octets -= size
            if sequence == frame.ack_sequence:
                break
        self._timeout.measure(now - sent)
        if self._failing_since is not None:
            self._failing_since = None
            self._events.append(LinkRestored())

    def _close(self, reason: str) -> None:
        self._is_closed = True
        self._failing_since = None
        self._out.clear()
        self._buffer.clear()
        self._unacknowledged.clear()
        self._events.append(LinkClosed(reason))
