"""One uTP connection (BEP 29): its states, and what a packet does in each of them."""

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from ledbat.errors import DecodeError, StateError
from ledbat.utp.events import Closed, Connected, EofReceived, Event, Finished, Incoming, Readable, Reason, Writable
from ledbat.utp.inbound import Inbound
from ledbat.utp.limits import (
    CLOSE_TIMEOUT,
    CONNECT_TIMEOUT,
    FIRST_TIMEOUT,
    HALF_OPEN_TIMEOUT,
    KEEP_ALIVE,
    LINGER,
    OLD_ACKS,
    RESET_SLACK,
)
from ledbat.utp.outbound import Outbound
from ledbat.utp.packet import (
    HEADER,
    HEADER_SIZE,
    SELECTIVE_ACK,
    SEQ_MASK,
    TIME_MASK,
    VERSION,
    PacketType,
    is_sample,
    sack_octets,
    skip_extensions,
)
from ledbat.utp.ports import Address, Datagram
from ledbat.utp.states import Buffer, Head, Identity, State, clock

_pack = HEADER.pack


class Connection:
    """One connection. The endpoint makes it, feeds it, and asks it for packets once a batch."""

    __slots__ = (
        "_actions",
        "_announced",
        "_events",
        "_last_sent",
        "_send_buffer",
        "_syn_due",
        "_syn_seq",
        "_syn_tries",
        "_told_finished",
        "_told_readable",
        "_wants_room",
        "address",
        "armed",
        "close_due",
        "deadline",
        "dirty",
        "identity",
        "inbound",
        "outbound",
        "settled",
        "state",
    )

    def __init__(
        self,
        identity: Identity,
        inbound: Inbound,
        outbound: Outbound,
        events: deque[Event],
        *,
        send_buffer: int,
        now: float,
    ) -> None:
        self.identity = identity
        self.address = identity.address
        self.inbound = inbound
        self.outbound = outbound
        self.armed: float | None = None  # for the timer heap
        self.deadline: float | None = None
        self.dirty = False  # for the endpoint: whether it stands in line to be flushed
        self.close_due: float | None = None
        self._events = events
        self._send_buffer = send_buffer
        self._last_sent = now
        self._syn_seq = 0  # of the SYN, ours or theirs
        self._syn_due: float | None = None
        self._syn_tries = 0
        self._told_readable = False
        self._told_finished = False
        self.settled = False  # whether it lingers only to be polite to duplicates
        self._wants_room = False
        self._announced = False  # whether the application heard of it before the peer was confirmed
        self._enter(State.CLOSED)

    def _enter(self, state: State) -> None:
        self.state = state
        self._actions = _TABLE[state]

    # Verbs

    def connect(self, now: float) -> None:
        """Send a SYN."""
        self._syn_seq = (self.outbound.recovery.next_seq - 1) & SEQ_MASK
        self._syn_due = now
        self.close_due = now + CONNECT_TIMEOUT
        self._enter(State.SYN_SENT)

    def accept(self, head: Head, now: float, *, early: bool) -> None:
        """Answer the SYN with this header. With `early` the application may send before the peer is confirmed."""
        self._syn_seq = head[6]
        self.close_due = now + HALF_OPEN_TIMEOUT
        self._stamp(head, now)
        self.inbound.ack_now = True
        self._enter(State.SYN_RECV)
        if early:
            # What a SYN says of the window is no more than a hint: libtorrent says 0.
            self.outbound.wnd_size = max(head[5], 2 * self.outbound.mtu.payload)
            self._events.append(Incoming(self.identity.number, self.address))
            self._announced = True

    def send(self, data: Buffer) -> int:
        """Queue octets; returns how many there was room for. Raises StateError after `shutdown` and `close`."""
        outbound = self.outbound
        if outbound.shut or self.state in (State.LINGERING, State.CLOSED):
            raise StateError("the connection takes nothing more to send")
        room = max(self._send_buffer - outbound.queue.size - outbound.recovery.held, 0)
        length = len(data)
        if length > room:
            self._wants_room = True
            data = memoryview(data)[:room]
            length = room
        outbound.queue.append(data)
        return length

    def receive_chunks(self, most: int | None) -> list[bytes | bytearray]:
        """Take what arrived."""
        queue = self.inbound.queue
        chunks: list[bytes | bytearray] = queue.take_all() if most is None else [queue.take(most)]
        if not queue.readable:
            self._told_readable = False
        return chunks

    def shutdown(self) -> None:
        """Finish the sending direction after what is queued."""
        self.outbound.shut = True
        self._wants_room = False

    def close(self, now: float) -> None:
        """Finish the sending direction, and want nothing more from the other."""
        self.outbound.shut = True
        self.inbound.discarding = True
        self._wants_room = False
        self.inbound.queue.take_all()
        self.inbound.taken()
        if self.state is State.SYN_SENT:
            self._end(Reason.ABORTED)
        elif self.outbound.finished and self.close_due is None:
            self.close_due = now + CLOSE_TIMEOUT

    def reset(self, reason: Reason, now: float) -> bytes:
        """Give the connection up; returns the RESET for the peer."""
        packet = self._packet(PacketType.RESET, self.inbound.queue.ack_nr, now)
        self._end(reason)
        return packet

    def expire(self) -> None:
        """Give up without a word to the peer."""
        self._end(Reason.TIMEOUT)

    def _end(self, reason: Reason) -> None:
        """The connection is over. An incoming one that was never confirmed was never told of."""
        told = self.state is not State.LINGERING and (self.state is not State.SYN_RECV or self._announced)
        self._enter(State.CLOSED)
        self.outbound.queue.clear()
        self.outbound.recovery.sent.clear()
        self.inbound.queue.drop_reordered()
        self.close_due = self.deadline = self._syn_due = None
        if told:
            self._events.append(Closed(self.identity.number, reason))

    # Input, per packet

    def receive(self, kind: PacketType, head: Head, data: Buffer, now: float) -> str | None:
        """Take one packet for this connection; returns what was wrong with it, if anything."""
        action = self._actions.get(kind)
        if action is None:
            return f"{kind.name} in state {self.state.name}"
        if not head[1]:
            return action(self, head, 0, HEADER_SIZE, data, now)
        try:
            offset, mask = skip_extensions(data, head[1])
        except DecodeError as exc:
            return str(exc)
        return action(self, head, mask, offset, data, now)

    def _stamp(self, head: Head, now: float) -> None:
        """ "this state is updated by subtracting timestamp_microseconds from the host's current time"."""
        if head[3]:
            self.inbound.reply = (int(now * 1e6) - head[3]) & TIME_MASK

    def _acknowledge(self, head: Head, mask: int, now: float, *, pure: bool) -> bool:
        """The acknowledging half of every packet; False when its ack_nr cannot be of this connection."""
        outbound = self.outbound
        recovery = outbound.recovery
        newly = (head[7] - recovery.una + 1) & SEQ_MASK
        if newly > recovery.count:
            # An ack_nr behind is that of a packet that was overtaken, or of a keep-alive.
            return SEQ_MASK + 1 - newly <= OLD_ACKS
        wnd_size = head[5]
        if newly or mask:
            difference = head[4]
            sampled = is_sample(difference)
            if recovery.resent and sampled and head[3]:
                acked = recovery.on_ack(newly, mask, now, (head[3] - difference) & TIME_MASK)
            else:
                acked = recovery.on_ack(newly, mask, now)
            if acked and sampled:
                recovery.on_delay(difference)
        elif pure and wnd_size == outbound.wnd_size and recovery.sent:
            recovery.duplicate_ack()
        if wnd_size != outbound.wnd_size:
            if not outbound.wnd_size:
                outbound.window_opened()
            outbound.wnd_size = wnd_size
        if not wnd_size:
            recovery.alive(now)
        return True

    def _on_data(self, head: Head, mask: int, offset: int, data: Buffer, now: float) -> str | None:
        if not self._acknowledge(head, mask, now, pure=False):
            return "ack_nr of nothing sent"
        inbound = self.inbound
        timestamp = head[3]
        if timestamp:
            inbound.reply = (int(now * 1e6) - timestamp) & TIME_MASK
        inbound.echo = head[4]
        if inbound.data(head[6], bytes(data[offset:]), now) and not self._told_readable:
            self._told_readable = True
            self._events.append(Readable(self.identity.number))
        if inbound.eof_seq is not None and inbound.reached_eof():
            self._events.append(EofReceived(self.identity.number))
        return None

    def _on_state(self, head: Head, mask: int, offset: int, data: Buffer, now: float) -> str | None:
        if not self._acknowledge(head, mask, now, pure=True):
            return "ack_nr of nothing sent"
        if head[3]:
            self.inbound.reply = (int(now * 1e6) - head[3]) & TIME_MASK
        return None

    def _on_fin(self, head: Head, mask: int, offset: int, data: Buffer, now: float) -> str | None:
        if not self._acknowledge(head, mask, now, pure=False):
            return "ack_nr of nothing sent"
        self._stamp(head, now)
        if self.inbound.fin(head[6]):
            self._events.append(EofReceived(self.identity.number))
        return None

    def _on_reset(self, head: Head, mask: int, offset: int, data: Buffer, now: float) -> str | None:
        """Only a RESET that names a packet which we may have sent ends the connection."""
        recovery = self.outbound.recovery
        behind = (recovery.next_seq - head[7]) & SEQ_MASK
        if self.state is State.SYN_SENT:
            if head[7] != self._syn_seq:
                return "RESET for another SYN"
            self._end(Reason.REFUSED)
            return None
        if behind > recovery.count + RESET_SLACK:
            return "RESET for nothing sent"
        # All is there, but we did not hear that our FIN is too, and the peer has forgotten us since: as RFC 793 has it
        # for CLOSING and LAST-ACK, that is an end like another.
        only_fin_left = self.outbound.fin_seq is not None and recovery.una == self.outbound.fin_seq
        self._end(Reason.FINISHED if self.inbound.eof and only_fin_left else Reason.RESET)
        return None

    def _on_accepted(self, head: Head, mask: int, offset: int, data: Buffer, now: float) -> str | None:
        """The answer to our SYN: its seq_nr is that of the peer's first packet to come."""
        if head[7] != self._syn_seq:
            return "ack_nr of another SYN"
        self._stamp(head, now)
        self.inbound.queue.ack_nr = (head[6] - 1) & SEQ_MASK
        self.inbound.ack_now = True  # so that an acceptor that is to speak first knows that it was heard
        self.outbound.wnd_size = head[5]
        if self._syn_tries == 1:
            self.outbound.recovery.first_sample(now - self._last_sent)
        self._syn_due = self.close_due = None
        self._enter(State.CONNECTED)
        self._events.append(Connected(self.identity.number, self.address))
        return None

    def _on_confirmed(self, head: Head, mask: int, offset: int, data: Buffer, now: float) -> str | None:
        """The first packet after the SYN that proves that our answer arrived: DATA, and so may be FIN or STATE."""
        recovery = self.outbound.recovery
        if (head[7] - recovery.una + 1) & SEQ_MASK > recovery.count:
            return "ack_nr of nothing sent"
        if not self._announced:
            self._events.append(Incoming(self.identity.number, self.address))
        self.close_due = None
        self._enter(State.CONNECTED)
        self.outbound.wnd_size = head[5]
        return self._actions[PacketType(head[0] >> 4)](self, head, mask, offset, data, now)

    def _on_syn_again(self, head: Head, mask: int, offset: int, data: Buffer, now: float) -> str | None:
        """Our answer was lost: "same address, id and seq" get it once more, anything else is ignored."""
        if head[6] != self._syn_seq:
            return "SYN for a connection in use"
        self._stamp(head, now)
        self.inbound.ack_now = True
        return None

    def _on_late(self, head: Head, mask: int, offset: int, data: Buffer, now: float) -> str | None:
        """The peer did not hear that we have everything, and waits longer each time before it asks again."""
        if self.close_due is not None:
            self.close_due = max(self.close_due, now + 2 * LINGER)
        self._stamp(head, now)
        self.inbound.ack_now = True
        return None

    def _on_late_state(self, head: Head, mask: int, offset: int, data: Buffer, now: float) -> str | None:
        return None

    # Output, per batch

    def flush(self, out: list[tuple[Datagram, Address]], most: int, now: float) -> bool:
        """Append what is to be sent now; whether there may be more at once."""
        if self.state is State.CONNECTED or self.state is State.SYN_RECV:
            more = self._flush_connected(out, most, now)
        else:
            more = False
            if self.state is State.SYN_SENT:
                self._flush_syn(out, now)
            elif self.state is State.LINGERING and self.inbound.ack_now:
                self._emit_state(out, now)
        self.deadline = self._next_deadline()
        return more

    def _flush_syn(self, out: list[tuple[Datagram, Address]], now: float) -> None:
        if self._syn_due is None or self._syn_due > now:
            return
        fields = (self._syn_seq, 0)
        syn = PacketType.SYN << 4 | VERSION
        wnd_size = self.inbound.wnd_size()
        out.append((_pack(syn, 0, self.identity.recv_id, clock(now), 0, wnd_size, *fields), self.address))
        self._syn_due = now + FIRST_TIMEOUT * (1 << self._syn_tries)
        self._syn_tries += 1
        self._last_sent = now

    def _flush_connected(self, out: list[tuple[Datagram, Address]], most: int, now: float) -> bool:
        outbound, inbound = self.outbound, self.inbound
        outbound.recovery.settle(now)
        inbound.measure(now)
        sent = 0
        if self.state is State.SYN_RECV and inbound.ack_now:
            self._emit_state(out, now)  # the peer takes no data before this
        if self.state is State.CONNECTED or self._announced:
            fields = (
                self.identity.send_id,
                clock(now),
                inbound.reply,
                inbound.wnd_size(),
                inbound.queue.ack_nr,
            )
            sent = outbound.emit(out, self.address, fields, most, now)
        if sent:
            self._last_sent = now
        if sent and not inbound.queue.mask:
            inbound.acked()
        elif (inbound.unacked or inbound.ack_now) and inbound.wants_ack(self._rtt(), now):
            self._emit_state(out, now)
        self._after_flush(now)
        return sent >= most

    def _rtt(self) -> float | None:
        srtt = self.outbound.recovery.estimator.srtt
        return self.inbound.round_trip() if srtt is None else srtt

    def _after_flush(self, now: float) -> None:
        outbound = self.outbound
        if self._wants_room:
            waiting = outbound.queue.size + outbound.recovery.held
            if waiting <= self._send_buffer // 2:
                self._wants_room = False
                self._events.append(Writable(self.identity.number))
        if outbound.shut and outbound.finished:
            if not self._told_finished:
                self._told_finished = True
                self._events.append(Finished(self.identity.number))
            if self.inbound.eof:
                self._events.append(Closed(self.identity.number, Reason.FINISHED))
                self._enter(State.LINGERING)
                # Did our FIN say that theirs had come? It was answered, so they know.
                self.settled = outbound.fin_ack == self.inbound.eof_seq
                self.close_due = now + max(LINGER, 2 * outbound.recovery.timeout)
            elif self.inbound.discarding and self.close_due is None:
                self.close_due = now + CLOSE_TIMEOUT

    def _emit_state(self, out: list[tuple[Datagram, Address]], now: float) -> None:
        out.append((self._packet(PacketType.STATE, self.inbound.queue.ack_nr, now), self.address))
        self.inbound.acked()
        self._last_sent = now

    def _packet(self, kind: PacketType, ack_nr: int, now: float) -> bytes:
        """A packet without payload: "STATE [...] does not increase the seq_nr"."""
        inbound, mask = self.inbound, self.inbound.queue.mask
        extension = SELECTIVE_ACK if mask and kind is PacketType.STATE else 0
        header = _pack(
            kind << 4 | VERSION,
            extension,
            self.identity.send_id,
            clock(now),
            inbound.reply,
            inbound.wnd_size(),
            self.outbound.recovery.next_seq,
            ack_nr,
        )
        if not extension:
            return header
        sack = sack_octets(mask)
        return b"".join((header, bytes((0, len(sack))), sack))

    # Time

    def _next_deadline(self) -> float | None:
        if self.state is State.CONNECTED or self.state is State.SYN_RECV:
            due = self._last_sent + KEEP_ALIVE if self.state is State.CONNECTED else self.close_due
            for other in (self.outbound.get_timer(), self.inbound.ack_due, self.close_due):
                if other is not None and (due is None or other < due):
                    due = other
            return due
        if self._syn_due is not None and self.close_due is not None:
            return min(self._syn_due, self.close_due)
        return self.close_due

    def handle_timer(self, now: float) -> bytes | None:
        """Let time pass; returns a RESET when the peer should know that we gave up."""
        if self.close_due is not None and self.close_due <= now:
            return self._time_is_up(now)
        if self.state is State.CONNECTED or self.state is State.SYN_RECV:
            if not self.outbound.handle_timer(now):
                return self.reset(Reason.TIMEOUT, now)
            if self.state is State.CONNECTED and self._last_sent + KEEP_ALIVE <= now:
                return self._keep_alive(now)
        return None

    def _keep_alive(self, now: float) -> bytes:
        """A STATE that acknowledges one packet less than we have, as libutp's."""
        self._last_sent = now
        return self._packet(PacketType.STATE, (self.inbound.queue.ack_nr - 1) & SEQ_MASK, now)

    def _time_is_up(self, now: float) -> bytes | None:
        """The SYN, the answer to one, the peer's FIN or the lingering took all the time they may take."""
        if self.state is State.CONNECTED:
            return self.reset(Reason.TIMEOUT, now)
        self.expire()
        return None


_Action: TypeAlias = Callable[[Connection, Head, int, int, Buffer, float], str | None]

_TABLE: dict[State, dict[PacketType, _Action]] = {
    State.SYN_SENT: {
        PacketType.STATE: Connection._on_accepted,
        PacketType.RESET: Connection._on_reset,
    },
    State.SYN_RECV: {
        PacketType.DATA: Connection._on_confirmed,
        PacketType.FIN: Connection._on_confirmed,
        PacketType.STATE: Connection._on_confirmed,
        PacketType.RESET: Connection._on_reset,
        PacketType.SYN: Connection._on_syn_again,
    },
    State.CONNECTED: {
        PacketType.DATA: Connection._on_data,
        PacketType.FIN: Connection._on_fin,
        PacketType.STATE: Connection._on_state,
        PacketType.RESET: Connection._on_reset,
    },
    State.LINGERING: {
        PacketType.DATA: Connection._on_late,
        PacketType.FIN: Connection._on_late,
        PacketType.STATE: Connection._on_late_state,
        PacketType.RESET: Connection._on_reset,
    },
    State.CLOSED: {},
}
