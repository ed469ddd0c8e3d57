"""A flow on an idealised transport: each segment is acknowledged at once, and a loss is found without fail.

What is measured is the controller, not a transport: there is no delayed acknowledgement, no pacing, and of the timers
only the controller's own.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from interop.simulation import Engine, Link, Packet

MSS = 1400
"""Octets of payload in a segment."""
HEADERS = 28
"""Octets of IPv4 and UDP headers on each."""
ACK_SIZE = 20 + HEADERS
"""Octets of an acknowledgement on the wire: that of uTP."""
DUPLICATES = 3
"""A segment is lost when one sent so many after it has been acknowledged: nothing overtakes here."""

_MASK = (1 << 32) - 1


class Controller(Protocol):
    """A sender's congestion controller: `ledbat.Ledbat` and its siblings."""

    @property
    def cwnd(self) -> int:
        """Octets that may be in flight."""

    def on_sent(self, *, sent: int, now: float) -> None:
        """Octets went out."""

    def on_ack(self, *, acked: int, delays_us: Sequence[int], rtt: float | None, now: float) -> None:
        """Octets were acknowledged."""

    def on_loss(self, *, lost: int, will_retransmit: bool, now: float) -> None:
        """Octets were lost."""

    def on_timeout(self, now: float) -> None:
        """The timer has run out."""

    def get_timer(self) -> float | None:
        """When to call on_timeout."""


class Segment(Packet):
    """A numbered segment on its way, or the acknowledgement of it on the way back."""

    __slots__ = ("delay_us", "number")

    def __init__(self, number: int, size: int, sent_us: int, path: tuple[Callable[[Packet], None], ...]) -> None:
        self.number = number
        self.size = size
        self.sent_us = sent_us
        self.payload = b""
        self.delay_us = 0
        self._path = path
        self._hop = 0

    def __repr__(self) -> str:
        return f"Segment({self.number}, sent at {self.sent_us} us)"


class Flow:
    """A sender and its receiver. It sends from `start` on, to the end of time or until `total` octets have arrived."""

    def __init__(
        self,
        name: str,
        controller: Controller,
        engine: Engine,
        forward: Sequence[Link],
        *,
        back: Link | None,
        back_delay: float,
        start: float,
        total: int | None,
        limit: float | None,
        skew: float,
        offset_us: int,
        lie: Callable[[int], int] | None,
        record: bool,
    ) -> None:
        """Made by `World.flow`, where the arguments are explained."""
        self.name = name
        self.controller = controller
        self.start = start
        self.acknowledged = 0
        """Octets acknowledged."""
        self.arrived = 0
        """Octets that reached the receiver, headers included."""
        self.lost = 0
        """Segments taken for lost."""
        self.finished_at: float | None = None
        """When the last of `total` octets was acknowledged."""
        self.watch: Callable[[float], None] | None = None
        """Called after each acknowledgement with the time."""
        self.backwards = False
        """Whether it uses the way back."""
        self.limit = limit
        """Octets a second that the application has to send; None for any number. It may be changed."""
        self._engine = engine
        self._path = (*(link.carry for link in forward), self._arrived)
        self._back = back
        self._back_path = () if back is None else (back.carry, self._returned)
        self._back_us = round(back_delay * 1e6)
        self._left = None if total is None else -(-total // MSS)
        self._skew = skew
        self._offset_us = offset_us
        self._lie = lie
        self._outstanding: dict[int, int] = {}
        self._arrivals: deque[int] = deque()  # what the receiver has and the sender does not know, with a back link
        self._count = 0  # of arrivals, at the receiver
        self._known = 0  # of these, at the sender
        self._bundled = 0  # segments that the acknowledgement in hand tells of besides its own
        self._next = 0
        self._allowed_from = start  # with a limit: when the next segment is there to be sent
        self._waking = False
        self._timer_set = False
        self._trace = hashlib.sha256() if record else None
        engine.post(round(start * 1e6), self._begin)

    @property
    def in_flight(self) -> int:
        """Octets that are in flight."""
        return len(self._outstanding) * MSS

    @property
    def trace(self) -> str:
        """With `record`: a hash of the times of all acknowledgements and the windows after them."""
        assert self._trace is not None
        return self._trace.hexdigest()

    def stop(self) -> None:
        """Send nothing new from now on."""
        self._left = 0

    def set_limit(self, limit: float | None) -> None:
        """From now on the application has so many octets a second to send, None for any number."""
        self.limit = limit
        self._allowed_from = self._engine.now
        self._send()

    def _begin(self) -> None:
        self._send()

    def _arrived(self, packet: Packet) -> None:
        """The receiver: acknowledge a segment with its one-way delay."""
        assert isinstance(packet, Segment)
        engine = self._engine
        now_us = engine.now_us
        self.arrived += packet.size
        delay_us = now_us - packet.sent_us + self._offset_us
        if self._skew:
            delay_us += int(now_us * self._skew)
        if self._lie is not None:
            delay_us = self._lie(delay_us)
        if self._back is None:
            engine.post(now_us + self._back_us, self._acked, packet.number, delay_us & _MASK)
        else:
            self._count += 1
            self._arrivals.append(packet.number)
            ack = Segment(self._count, ACK_SIZE, now_us, self._back_path)
            ack.delay_us = delay_us & _MASK
            ack.advance()

    def _returned(self, packet: Packet) -> None:
        """An acknowledgement came back; it tells of every arrival before it, as those that are lost would have."""
        assert isinstance(packet, Segment)
        while self._known + 1 < packet.number:
            self._known += 1
            if self._outstanding.pop(self._arrivals.popleft(), None) is not None:
                self._bundled += 1
        self._known += 1
        self._acked(self._arrivals.popleft(), packet.delay_us)

    def _acked(self, number: int, delay_us: int) -> None:
        """The sender: take an acknowledgement, see what is lost, and send."""
        outstanding = self._outstanding
        sent_us = outstanding.pop(number, None)
        if sent_us is None:
            return
        now_us = self._engine.now_us
        now = now_us / 1e6
        octets = MSS * (1 + self._bundled)
        self._bundled = 0
        self.acknowledged += octets
        self.controller.on_ack(acked=octets, delays_us=(delay_us,), rtt=(now_us - sent_us) / 1e6, now=now)
        if outstanding:
            if next(iter(outstanding)) < number - DUPLICATES:
                self._find_losses(number - DUPLICATES, now)
        elif self._left == 0 and self.finished_at is None:
            self.finished_at = now
        if self._trace is not None:
            self._trace.update(b"%d %d;" % (now_us, self.controller.cwnd))
        if self.watch is not None:
            self.watch(now)
        self._send()

    def _find_losses(self, below: int, now: float) -> None:
        for number in [number for number in self._outstanding if number < below]:
            del self._outstanding[number]
            self._give_up(1, now)

    def _give_up(self, segments: int, now: float) -> None:
        self.lost += segments
        if self._left is not None:
            self._left += segments
        self.controller.on_loss(lost=segments * MSS, will_retransmit=False, now=now)

    def _send(self) -> None:
        engine, controller, outstanding = self._engine, self.controller, self._outstanding
        now_us = engine.now_us
        room = controller.cwnd // MSS - len(outstanding)
        if self._left is not None and room > self._left:
            room = self._left
        if self.limit is not None:
            room = self._released(room, now_us / 1e6)
        if room > 0:
            if self._left is not None:
                self._left -= room
            number = self._next
            self._next = number + room
            for each in range(number, number + room):
                outstanding[each] = now_us
                Segment(each, MSS + HEADERS, now_us, self._path).advance()
            controller.on_sent(sent=room * MSS, now=now_us / 1e6)
        if not self._timer_set and outstanding:
            self._set_timer()

    def _released(self, room: int, now: float) -> int:
        """How many of `room` segments the application has brought by now; ask again when the next one is there."""
        assert self.limit is not None
        count = 0
        # What could not be sent in its time is not made up for.
        self._allowed_from = max(self._allowed_from, now - 2 * MSS / self.limit)
        while count < room and self._allowed_from <= now:
            self._allowed_from += MSS / self.limit
            count += 1
        if count < room and not self._waking:
            self._waking = True
            self._engine.post(-int(-self._allowed_from * 1e6 // 1), self._wake)
        return count

    def _wake(self) -> None:
        self._waking = False
        self._send()

    def _set_timer(self) -> None:
        deadline = self.controller.get_timer()
        if deadline is not None:
            self._timer_set = True
            self._engine.post(-int(-deadline * 1e6 // 1), self._timer_fired)

    def _timer_fired(self) -> None:
        """The deadline moves with every acknowledgement: one event follows it, late enough for all."""
        self._timer_set = False
        deadline, now = self.controller.get_timer(), self._engine.now
        if deadline is not None and deadline <= now and self._outstanding:
            self.controller.on_timeout(now)
            segments = len(self._outstanding)
            self._outstanding.clear()
            self._give_up(segments, now)
            self._send()
        elif self._outstanding:
            self._set_timer()
