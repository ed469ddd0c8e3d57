"""The sending direction of a connection: which packets leave now."""

from ledbat.utp.limits import MAX_OUTSTANDING, MAX_TIMEOUT
from ledbat.utp.mtu import MtuSearch, padding
from ledbat.utp.pacing import Pacer
from ledbat.utp.packet import EXTENSION_BITS, HEADER, HEADER_SIZE, SEQ_MASK, VERSION, PacketType
from ledbat.utp.ports import Address, CongestionController, Datagram
from ledbat.utp.recovery import Recovery
from ledbat.utp.streams import SendQueue

_DATA = PacketType.DATA << 4 | VERSION
_FIN = PacketType.FIN << 4 | VERSION
_pack = HEADER.pack


class Outbound:
    """Send queue, congestion window, the peer's window, Nagle, pacing, FIN.

    `fields` in these methods are the header's connection_id, timestamp, timestamp_difference, wnd_size and ack_nr.
    """

    __slots__ = (
        "_persist_wait",
        "_small_seq",
        "_tail_probe",
        "controller",
        "fin_ack",
        "fin_seq",
        "mtu",
        "nodelay",
        "pacer",
        "persist_due",
        "queue",
        "recovery",
        "shut",
        "wnd_size",
    )

    def __init__(self, seq_nr: int, controller: CongestionController, mtu: MtuSearch, *, nodelay: bool) -> None:
        self.controller = controller
        self.mtu = mtu
        self.recovery = Recovery(seq_nr, controller, mtu)
        self.queue = SendQueue()
        self.pacer = Pacer()
        self.nodelay = nodelay
        self.wnd_size = 0  # what the peer has room for
        self.shut = False  # whether the application wants no more to be sent after the queue
        self.fin_seq: int | None = None
        self.fin_ack: int | None = None  # the ack_nr that it first went out with
        self.persist_due: float | None = None  # when to probe a window that is shut
        self._persist_wait = 0.0
        self._small_seq: int | None = None  # the last packet that was not full
        self._tail_probe: int | None = None

    @property
    def finished(self) -> bool:
        """Whether the peer has acknowledged our FIN."""
        return self.fin_seq is not None and self.fin_seq not in self.recovery.sent

    def get_timer(self) -> float | None:
        """The earliest of the deadlines of the sending direction."""
        due = self.recovery.get_timer()
        if self.pacer.due is not None and (due is None or self.pacer.due < due):
            due = self.pacer.due
        if self.persist_due is not None and (due is None or self.persist_due < due):
            due = self.persist_due
        return due

    def handle_timer(self, now: float) -> bool:
        """Let time pass; False when the peer has not answered for too long."""
        recovery = self.recovery
        if recovery.reorder_due is not None and recovery.reorder_due <= now:
            recovery.find_losses(now)
        if recovery.timeout_due is not None and recovery.timeout_due <= now:
            return recovery.on_timeout(now, congestion=self.wnd_size > 0)
        if recovery.probe_due is not None and recovery.probe_due <= now:
            self._tail_probe = recovery.tail_probe(now)
        return True

    def emit(
        self,
        out: list[tuple[Datagram, Address]],
        address: Address,
        fields: tuple[int, int, int, int, int],
        most: int,
        now: float,
    ) -> int:
        """Append the packets that may leave now, at most about `most`, to `out`; returns how many they are."""
        before = len(out)
        recovery = self.recovery
        if self._tail_probe is not None:
            self._emit_tail_probe(out, address, fields, now)
        queue = self.queue
        if recovery.lost or queue.size:
            budget = self.pacer.allowance(
                self.controller.pacing_rate, self.controller.cwnd, recovery.estimator.srtt, self.mtu.payload, now
            )
            if budget == 0:
                self.persist_due = None  # a probe has to wait its turn as well
            else:
                spent = self._emit_lost(out, address, fields, most, budget, now) if recovery.lost else 0
                if queue.size and not recovery.lost:
                    if budget is not None:
                        budget -= spent
                    self._emit_new(out, address, fields, most - (len(out) - before), budget, now)
            if not queue.size or recovery.sent:
                self.persist_due = None
            if not (queue.size or recovery.lost) or (
                recovery.pipe and recovery.pipe + self.mtu.payload > self.controller.cwnd
            ):
                self.pacer.due = None  # it is not pacing that keeps anything back
        else:
            self.pacer.due = self.persist_due = None
        if self.shut and self.fin_seq is None and not queue.size and recovery.count < MAX_OUTSTANDING:
            self.fin_seq = recovery.next_seq
            self.fin_ack = fields[4]
            self._emit_packet(out, address, fields, _FIN, b"", now)
            recovery.on_sent(0, now)
        return len(out) - before

    def _emit_packet(
        self,
        out: list[tuple[Datagram, Address]],
        address: Address,
        fields: tuple[int, int, int, int, int],
        first: int,
        payload: bytes | memoryview,
        now: float,
    ) -> None:
        """A new packet on its own; the caller tells recovery."""
        recovery = self.recovery
        connection_id, timestamp, difference, wnd_size, ack_nr = fields
        seq_nr = recovery.next_seq
        recovery.sent[seq_nr] = (len(payload), now, 1, first, payload)
        recovery.next_seq = (seq_nr + 1) & SEQ_MASK
        header = _pack(first, 0, connection_id, timestamp, difference, wnd_size, seq_nr, ack_nr)
        out.append(((header, payload) if payload else header, address))

    def _emit_lost(
        self,
        out: list[tuple[Datagram, Address]],
        address: Address,
        fields: tuple[int, int, int, int, int],
        most: int,
        budget: int | None,
        now: float,
    ) -> int:
        """Send again what was lost, oldest first, as far as the congestion window goes; returns octets."""
        recovery = self.recovery
        cwnd = self.controller.cwnd
        spent = 0
        while most > 0 and (budget is None or spent < budget):
            seq_nr = recovery.first_lost()
            if seq_nr is None or (recovery.pipe and recovery.pipe + recovery.sent[seq_nr][0] > cwnd):
                break
            spent += self._emit_again(out, address, fields, seq_nr, now)
            most -= 1
        if spent:
            self.pacer.spent(spent)
        return spent

    def _emit_again(
        self,
        out: list[tuple[Datagram, Address]],
        address: Address,
        fields: tuple[int, int, int, int, int],
        seq_nr: int,
        now: float,
    ) -> int:
        connection_id, timestamp, difference, wnd_size, ack_nr = fields
        octets, _, _, first, payload = self.recovery.resend(seq_nr, now)
        header = _pack(first, 0, connection_id, timestamp, difference, wnd_size, seq_nr, ack_nr)
        out.append(((header, payload) if payload else header, address))
        return octets

    def _emit_tail_probe(
        self,
        out: list[tuple[Datagram, Address]],
        address: Address,
        fields: tuple[int, int, int, int, int],
        now: float,
    ) -> None:
        """One packet whatever the congestion window says (RFC 8985 section 7.3): a new one, or the last one again."""
        seq_nr, self._tail_probe = self._tail_probe, None
        recovery, queue = self.recovery, self.queue
        if seq_nr not in recovery.sent or seq_nr is None:
            return
        octets = min(queue.size, self.mtu.payload)
        if octets and octets + recovery.outstanding <= self.wnd_size and recovery.count < MAX_OUTSTANDING:
            self._emit_packet(out, address, fields, _DATA, queue.take(octets), now)
            recovery.on_sent(octets, now)
        else:
            self._emit_again(out, address, fields, seq_nr, now)

    def _emit_new(
        self,
        out: list[tuple[Datagram, Address]],
        address: Address,
        fields: tuple[int, int, int, int, int],
        most: int,
        budget: int | None,
        now: float,
    ) -> None:
        """New data: "cur_window + packet_size is less than or equal to min(max_window, wnd_size)"."""
        recovery, queue = self.recovery, self.queue
        size = self.mtu.payload
        room = min(self.controller.cwnd - recovery.pipe, self.wnd_size - recovery.outstanding)
        if budget is not None and budget < room:
            room = budget
        most = min(most, MAX_OUTSTANDING - recovery.count)
        if room < size:
            self._emit_squeezed(out, address, fields, room, now)
            return
        full = min(room // size, queue.size // size, most)
        spent = 0
        if full > 0:
            target = self.mtu.probe_size(now)
            if target is not None:
                spent = self._emit_mtu_probe(out, address, fields, target, now)
                full = min((room - spent) // size, queue.size // size, most - 1)
            spent += self._emit_full(out, address, fields, size, full, now)
            most -= full
        left = queue.size
        if 0 < left < size and most > 0 and left <= room - spent and self._may_send_small():
            spent += self._emit_small(out, address, fields, left, now)
        if spent:
            recovery.on_sent(spent, now)
            self.pacer.spent(spent)

    def _emit_full(
        self,
        out: list[tuple[Datagram, Address]],
        address: Address,
        fields: tuple[int, int, int, int, int],
        size: int,
        count: int,
        now: float,
    ) -> int:
        """The hot loop: `count` packets with `size` octets of payload each."""
        if count <= 0:
            return 0
        recovery = self.recovery
        connection_id, timestamp, difference, wnd_size, ack_nr = fields
        take, sent, seq_nr, append = self.queue.take, recovery.sent, recovery.next_seq, out.append
        for _ in range(count):
            payload = take(size)
            header = _pack(_DATA, 0, connection_id, timestamp, difference, wnd_size, seq_nr, ack_nr)
            sent[seq_nr] = (size, now, 1, _DATA, payload)
            seq_nr = (seq_nr + 1) & SEQ_MASK
            append(((header, payload), address))
        recovery.next_seq = seq_nr
        return size * count

    def _emit_small(
        self,
        out: list[tuple[Datagram, Address]],
        address: Address,
        fields: tuple[int, int, int, int, int],
        octets: int,
        now: float,
    ) -> int:
        self._small_seq = self.recovery.next_seq
        self._emit_packet(out, address, fields, _DATA, self.queue.take(octets), now)
        return octets

    def _may_send_small(self) -> bool:
        """Nagle's algorithm in Minshall's form: one packet that is not full in flight."""
        return self.nodelay or self.shut or self._small_seq is None or self._small_seq not in self.recovery.sent

    def _emit_mtu_probe(
        self,
        out: list[tuple[Datagram, Address]],
        address: Address,
        fields: tuple[int, int, int, int, int],
        target: int,
        now: float,
    ) -> int:
        """A full packet padded to `target` octets; returns the octets of its payload."""
        recovery = self.recovery
        connection_id, timestamp, difference, wnd_size, ack_nr = fields
        size = self.mtu.payload
        without, extensions = padding(target - HEADER_SIZE - size)
        payload = self.queue.take(size - without)
        seq_nr = recovery.next_seq
        recovery.sent[seq_nr] = (len(payload), now, 1, _DATA, payload)
        recovery.next_seq = (seq_nr + 1) & SEQ_MASK
        self.mtu.probe_seq = seq_nr
        header = _pack(_DATA, EXTENSION_BITS, connection_id, timestamp, difference, wnd_size, seq_nr, ack_nr)
        out.append(((header, extensions, payload), address))
        return len(payload)

    def _emit_squeezed(
        self,
        out: list[tuple[Datagram, Address]],
        address: Address,
        fields: tuple[int, int, int, int, int],
        room: int,
        now: float,
    ) -> None:
        """There is no room for a full packet: send the last one if it fits, or what keeps the connection going."""
        recovery, queue = self.recovery, self.queue
        octets = min(queue.size, self.mtu.payload)
        if octets > room:
            # Something in flight will bring an acknowledgement, and with it room.
            if recovery.sent:
                return
            octets = min(octets, self.wnd_size)
            if not octets:
                octets = self._window_probe(now)
        elif octets < self.mtu.payload and not self._may_send_small():
            return
        if octets:
            self.persist_due = None
            self._emit_small(out, address, fields, octets, now)
            recovery.on_sent(octets, now)
            self.pacer.spent(octets)

    def _window_probe(self, now: float) -> int:
        """The peer's window is shut: octets to send all the same, now and then, to hear of its opening."""
        if self.persist_due is None:
            self._persist_wait = min(max(2 * self._persist_wait, self.recovery.timeout), MAX_TIMEOUT)
            self.persist_due = now + self._persist_wait
            return 0
        return 1 if self.persist_due <= now else 0

    def window_opened(self) -> None:
        """The peer has room again."""
        self._persist_wait = 0.0
        self.persist_due = None
