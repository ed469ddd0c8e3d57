"""The receiving direction of a connection: what to acknowledge, when, and with which window."""

from ledbat.utp.limits import ACK_DELAY, ACK_EVERY, MAX_DELAYS, MAX_REORDERED, QUICK_ACKS
from ledbat.utp.packet import SEQ_MASK, TIME_MASK, is_sample
from ledbat.utp.ports import ReceiveWindowController
from ledbat.utp.streams import ReceiveQueue

_HALF = (SEQ_MASK + 1) // 2
_FULL = 1472
"""Octets of room that are worth telling a sender of that had none."""
_MAX_RTT_US = 60_000_000


class Inbound:
    """Receive queue, acknowledgement policy, advertised window, end of the stream."""

    __slots__ = (
        "_delays",
        "_edge",
        "_first_unacked",
        "_quick",
        "_received",
        "_told",
        "_window",
        "ack_due",
        "ack_now",
        "discarding",
        "echo",
        "eof",
        "eof_seq",
        "queue",
        "reply",
        "total",
        "unacked",
    )

    def __init__(self, ack_nr: int, capacity: int, window: ReceiveWindowController | None) -> None:
        self.queue = ReceiveQueue(ack_nr, capacity)
        self.reply = 0  # the BEP's reply_micro: the delay of the last packet, 0 before the first
        self.echo = 0  # the last timestamp_difference of the peer
        self.eof_seq: int | None = None  # the BEP's eof_pkt
        self.eof = False  # whether everything up to it has arrived
        self.discarding = False  # whether the application wants no more
        self.total = 0  # octets that arrived
        self.unacked = 0  # packets that no acknowledgement covers yet
        self.ack_now = False
        self.ack_due: float | None = None
        self._first_unacked = 0.0
        self._quick = QUICK_ACKS
        self._edge = 0  # octets of the stream up to which the peer was told that there is room
        self._told = capacity  # the window last advertised
        self._window = window
        self._received = 0  # octets since the window controller was last told
        self._delays: list[int] = []

    # Per packet

    def data(self, seq_nr: int, payload: bytes, now: float) -> bool:
        """One DATA packet; whether it brought the application something to read."""
        queue = self.queue
        self.unacked += 1
        ahead = (seq_nr - queue.ack_nr) & SEQ_MASK
        length = len(payload)
        if self.eof_seq is not None and 0 < (seq_nr - self.eof_seq) & SEQ_MASK < _HALF:
            return False
        if ahead == 1:
            behind_hole = queue.mask
            if not queue.next_packet(payload):
                self.ack_now = True
                return False
            if behind_hole:
                self.ack_now = True
                if self._window is not None:
                    self._window.on_retransmission(now)
        elif 1 < ahead <= MAX_REORDERED:
            self.ack_now = True
            if not queue.later_packet(ahead, payload):
                return False
        else:
            # Old: the sender has not heard of its arrival.
            self.ack_now = True
            return False
        self.total += length
        if self._window is not None:
            self._received += length
            if len(self._delays) < MAX_DELAYS:
                self._delays.append(self.reply)
        if self.discarding:
            queue.take_all()
        return queue.readable > 0

    def fin(self, seq_nr: int) -> bool:
        """The packet that ends the stream; whether that was reached, so that `eof` is new."""
        queue = self.queue
        self.unacked += 1
        self.ack_now = True
        ahead = (seq_nr - queue.ack_nr) & SEQ_MASK
        if self.eof_seq is None and 0 < ahead <= MAX_REORDERED and not queue.mask >> (ahead - 1):
            self.eof_seq = seq_nr
            if ahead == 1:
                queue.next_packet(b"")
            else:
                queue.later_packet(ahead, b"")
        return self.reached_eof()

    def reached_eof(self) -> bool:
        """Whether the end has been reached since the last call."""
        if self.eof or self.eof_seq is None or self.queue.ack_nr != self.eof_seq:
            return False
        self.eof = True
        return True

    # Per batch

    def wants_ack(self, rtt: float | None, now: float) -> bool:
        """Whether an acknowledgement is due now; if one may wait, `ack_due` says how long.

        At least four go out a round trip (RFC 6817 section 2.5), at least one for every ACK_EVERY packets.
        """
        if self.ack_now or self.unacked >= ACK_EVERY or self._quick > 0:
            return self.ack_now or self.unacked > 0
        if not self.unacked:
            return False
        if self.ack_due is None:
            self.ack_due = now + min(ACK_DELAY, ACK_DELAY / 2 if rtt is None else rtt / 4)
        return now >= self.ack_due

    def acked(self) -> None:
        """An acknowledgement leaves."""
        self._quick -= self.unacked
        self.unacked = 0
        self.ack_now = False
        self.ack_due = None

    def measure(self, now: float) -> None:
        """Tell the window controller of the batch."""
        if self._window is not None and self._received:
            delays, self._delays = self._delays, []
            received, self._received = self._received, 0
            self._window.on_data(received=received, delays_us=delays, rtt=self.round_trip(), now=now)

    def round_trip(self) -> float | None:
        """Seconds there and back: the sum of both one-way delays, in which the offset of the clocks cancels out."""
        if not self.reply or not is_sample(self.echo):
            return None
        rtt_us = (self.reply + self.echo) & TIME_MASK
        return rtt_us / 1e6 if rtt_us <= _MAX_RTT_US else None

    def wnd_size(self) -> int:
        """The window to advertise; its right edge never moves left."""
        room = self.queue.capacity - self.queue.buffered
        if self._window is not None:
            room = min(max(self._window.window(room), 0), room)
        edge = self.total + room
        if edge < self._edge:
            room = min(room + self._edge - edge, TIME_MASK)
        else:
            self._edge = edge
        self._told = room
        return room

    def taken(self) -> bool:
        """The application took something: whether the peer should hear of the room."""
        queue = self.queue
        room = queue.capacity - queue.buffered
        if self._told < _FULL:
            opened = room >= min(_FULL, queue.capacity // 2)
        else:
            opened = self._told < queue.capacity // 2 and room - self._told >= queue.capacity // 4
        if opened and not self.eof:
            self.ack_now = True
            return True
        return False
