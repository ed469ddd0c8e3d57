"""What is outstanding, what was lost, and when to stop waiting (BEP 29 "packet loss" and "timeouts"; RFC 8985).

Losses are found by the count of later packets that arrived, as the BEP says, and by time, as RACK does, which also
finds lost retransmissions and does not mistake reordering for loss. A tail-loss probe asks for an acknowledgement
before the timeout would. Per packet only the books are kept; everything else happens once a batch, in `settle`.
"""

from typing import TypeAlias

from ledbat.rtt import RttEstimator
from ledbat.utp.limits import (
    FIRST_TIMEOUT,
    GIVE_UP,
    MAX_DELAYS,
    MAX_TIMEOUT,
    MIN_TIMEOUT,
    PEER_ACK_DELAY,
)
from ledbat.utp.mtu import BLACK_HOLE, MtuSearch
from ledbat.utp.packet import SEQ_MASK, bits
from ledbat.utp.ports import CongestionController, TimeoutUndo
from ledbat.utp.rack import DUPLICATE_ACKS, Rack, passed_over

REPORTED = 32
"""Packets from the oldest missing one on of whose arrival any peer tells: libutp tells of no more."""
Sent: TypeAlias = tuple[int, float, int, int, bytes | memoryview]
"""Octets, when last sent, how often sent, type of packet, payload."""


class Recovery:
    """The packets in flight of one connection.

    Masks have bit i set for the packet `una` + i.
    """

    __slots__ = (
        "_dup_acks",
        "_progress",
        "_reduced_at",
        "_rto_at",
        "_rto_recover",
        "_tail_probe",
        "acked",
        "backoff",
        "controller",
        "delays",
        "estimator",
        "held",
        "lost",
        "mtu",
        "next_seq",
        "outstanding",
        "pipe",
        "probe_due",
        "rack",
        "reorder_due",
        "resent",
        "retransmissions",
        "sacked",
        "sent",
        "spurious",
        "timeout_due",
        "una",
    )

    sent: dict[int, Sent]
    """Every packet not yet acknowledged in order, by sequence number."""
    una: int
    """The oldest of them, or `next_seq`."""
    next_seq: int
    """The BEP's seq_nr: that of the next packet."""
    outstanding: int
    """Octets that are neither acknowledged nor selectively acknowledged: what the peer's window has to hold."""
    held: int
    """Octets of everything in `sent`: what is kept in case the peer loses it after all."""
    pipe: int
    """`outstanding` without those that are taken for lost: the BEP's cur_window."""
    sacked: int
    """Packets that arrived ahead of a missing one."""
    lost: int
    """Packets that are lost and wait to be sent again."""
    resent: int
    """Packets sent more than once."""

    def __init__(self, seq_nr: int, controller: CongestionController, mtu: MtuSearch) -> None:
        self.controller = controller
        self.mtu = mtu
        self.estimator = RttEstimator()
        self.sent = {}
        self.una = self.next_seq = seq_nr
        self.outstanding = self.pipe = self.held = 0
        self.sacked = self.lost = self.resent = 0
        self.acked = 0  # octets acknowledged since the last settle
        self.delays: list[int] = []  # delay samples since then
        self.rack = Rack()
        self.backoff = 0
        self.timeout_due: float | None = None
        self.probe_due: float | None = None
        self.reorder_due: float | None = None
        self.retransmissions = 0  # packets, for the statistics
        self.spurious = 0  # timeouts taken back, for the statistics
        self._dup_acks = 0
        self._reduced_at = -1.0  # packets sent before then were lost in a window that has been reduced for it
        self._tail_probe: int | None = None  # the sequence number that a tail-loss probe repeated
        self._rto_recover: int | None = None  # next_seq at the timeout, until everything before it is acknowledged
        self._rto_at = 0.0  # when it was
        self._progress = 0.0

    # What the connection asks

    @property
    def timeout(self) -> float:
        """The BEP's timeout, in seconds, back-off included."""
        srtt = self.estimator.srtt
        base = FIRST_TIMEOUT if srtt is None else max(srtt + 4 * self.estimator.rttvar, MIN_TIMEOUT)
        return min(base * (1 << self.backoff), MAX_TIMEOUT)

    @property
    def count(self) -> int:
        """Packets from the oldest outstanding to the last one sent."""
        return (self.next_seq - self.una) & SEQ_MASK

    def get_timer(self) -> float | None:
        """The earliest of the deadlines here."""
        due = self.timeout_due
        if due is not None:
            if self.probe_due is not None and self.probe_due < due:
                due = self.probe_due
            if self.reorder_due is not None and self.reorder_due < due:
                due = self.reorder_due
        return due

    def first_sample(self, rtt: float) -> None:
        """The round-trip time of the handshake."""
        self.estimator.update(rtt)
        self.rack.min_rtt = rtt

    # Sending

    def on_sent(self, octets: int, now: float) -> None:
        """New packets of `octets` altogether are in `sent`, and `next_seq` is behind them."""
        self.pipe += octets
        self.outstanding += octets
        self.held += octets
        if octets:
            self.controller.on_sent(sent=octets, now=now)
        if self.timeout_due is None:
            self.timeout_due = now + self.timeout
            self._progress = now
        self._arm_probe(now)

    def resend(self, seq_nr: int, now: float) -> Sent:
        """Take note that this packet goes out once more, and return it."""
        octets, _, count, kind, payload = self.sent[seq_nr]
        self.sent[seq_nr] = entry = (octets, now, count + 1, kind, payload)
        bit = 1 << ((seq_nr - self.una) & SEQ_MASK)
        if self.lost & bit:
            self.lost ^= bit
            self.pipe += octets
        self.resent |= bit
        self.retransmissions += 1
        if self.mtu.probe_seq == seq_nr:
            self.mtu.probe_lost()
        return entry

    def first_lost(self) -> int | None:
        """The oldest packet that is to be sent again."""
        lost = self.lost
        return (self.una + (lost & -lost).bit_length() - 1) & SEQ_MASK if lost else None

    def _arm_probe(self, now: float) -> None:
        """RFC 8985 section 7.2: two round trips after the last packet or acknowledgement, one probe a flight."""
        srtt = self.estimator.srtt
        if srtt is None or self.backoff or self.lost or self._tail_probe is not None:
            self.probe_due = None
        else:
            self.probe_due = now + 2 * srtt + (PEER_ACK_DELAY if self.count == 1 else 0.001)

    # Acknowledgements, per datagram

    def on_ack(self, newly: int, mask: int, now: float, answered: int | None = None) -> int:
        """Packets `una` to `una` + `newly` - 1 are acknowledged, and selectively those of `mask`; returns octets.

        Bit i of `mask` stands for the packet after the next one missing: una + 1 + i with the new `una`. `answered`
        tells when the packet left that the peer answered, in microseconds modulo 2^32; it is asked for only while
        `resent` is not 0.
        """
        before = self.acked
        self.rack.answered = answered
        if newly:
            if self.sacked or self.lost or self.resent:
                self._advance_marked(newly, now)
            else:
                self._advance(newly, now)
            self._dup_acks = 0
        if mask:
            # "Bits that are outside of the send window are ignored."
            mask = (mask << 1) & ((1 << self.count) - 1) & ~self.sacked
            if mask:
                self._selective(mask, now)
        if self._rto_recover is not None and self.acked != before:
            self._after_timeout(now)
        return self.acked - before

    def duplicate_ack(self) -> None:
        """An acknowledgement without data that said nothing new came while packets are outstanding."""
        self._dup_acks += 1

    def on_delay(self, delay_us: int) -> None:
        """A one-way delay that came with an acknowledgement."""
        if len(self.delays) < MAX_DELAYS:
            self.delays.append(delay_us)

    def _advance(self, newly: int, now: float) -> None:
        sent, una = self.sent, self.una
        acked = 0
        entry: Sent | None = None
        for seq_nr in range(una, una + newly):
            entry = sent.pop(seq_nr & SEQ_MASK)
            acked += entry[0]
        self.una = (una + newly) & SEQ_MASK
        self.acked += acked
        self.pipe -= acked
        self.outstanding -= acked
        self.held -= acked
        assert entry is not None
        self.rack.arrived(entry[1], entry[2], now)
        self._look_for_probe()

    def _advance_marked(self, newly: int, now: float) -> None:
        """The same when some packets have been sent again, lost, or acknowledged selectively."""
        sent, una = self.sent, self.una
        # What stands behind a packet sent again may have arrived long ago, without a word from the peer.
        ambiguous = self.resent & ((1 << newly) - 1)
        for i in range(newly):
            seq_nr = (una + i) & SEQ_MASK
            entry = sent.pop(seq_nr)
            self.held -= entry[0]
            bit = 1 << i
            if self.sacked & bit:
                continue
            self._count(entry, self.lost & bit)
            if not ambiguous or entry[2] > 1:
                self.rack.arrived(entry[1], entry[2], now)
            if i == 0 and self.sacked and not self.resent & 1:
                self.rack.reordering = True  # the hole was filled by what we sent only once
            if seq_nr == self._tail_probe:
                self._tail_probe_acked(entry, now)
        self.una = (una + newly) & SEQ_MASK
        self.sacked >>= newly
        self.lost >>= newly
        self.resent >>= newly
        if self.sacked & 1:
            self._renege()
        self._look_for_probe()

    def _renege(self) -> None:
        """The peer no longer has what it said it had, or lied: believe none of its selective acknowledgements."""
        for i in bits(self.sacked):
            octets = self.sent[(self.una + i) & SEQ_MASK][0]
            self.pipe += octets
            self.outstanding += octets
        self.sacked = 0

    def _selective(self, mask: int, now: float) -> None:
        for i in bits(mask):
            entry = self.sent[(self.una + i) & SEQ_MASK]
            self._count(entry, self.lost >> i & 1)
            self.rack.arrived(entry[1], entry[2], now)
        self.sacked |= mask
        self.lost &= ~mask
        probe = self.mtu.probe_seq
        if probe is not None and self.sacked >> ((probe - self.una) & SEQ_MASK) & 1:
            self.mtu.probe_acked()

    def _count(self, entry: Sent, was_lost: int) -> None:
        octets = entry[0]
        self.acked += octets
        self.outstanding -= octets
        if not was_lost:
            self.pipe -= octets

    def _look_for_probe(self) -> None:
        probe = self.mtu.probe_seq
        if probe is not None and probe not in self.sent:
            self.mtu.probe_acked()

    def _tail_probe_acked(self, entry: Sent, now: float) -> None:
        """The probe repaired a loss that nothing else has told the controller of (RFC 8985 section 7.4)."""
        min_rtt = self.rack.min_rtt
        if entry[2] > 1 and entry[0] and min_rtt is not None and now - entry[1] >= min_rtt:
            self._reduce(entry[0], entry[1], now)

    def _after_timeout(self, now: float) -> None:
        """What left before the timeout and was answered after it had not been lost: the timeout was spurious.

        This is the Eifel detection (RFC 3522) with uTP's timestamps.
        """
        recover = self._rto_recover
        assert recover is not None
        if self.rack.left_before(self._rto_at):
            self._undo(now)
        elif (recover - self.una) & SEQ_MASK == 0 or (recover - self.una) & SEQ_MASK > self.count:
            self._rto_recover = None  # all of it is acknowledged, one way or another

    def _undo(self, now: float) -> None:
        """Take the timeout back: nothing waits to be sent again, and there is no back-off."""
        for i in bits(self.lost):
            self.pipe += self.sent[(self.una + i) & SEQ_MASK][0]
        self.lost = 0
        self.backoff = 0
        self._rto_recover = None
        self.spurious += 1
        if isinstance(self.controller, TimeoutUndo):
            self.controller.undo_timeout(now)

    # Once a batch

    def settle(self, now: float) -> None:
        """Tell the controller what the batch acknowledged, find losses, wind the timers up."""
        acked, rtt = self.acked, self.rack.rtt
        if acked or rtt is not None:
            if rtt is not None:
                self.estimator.update(rtt)
                self.rack.rtt = None
            self.backoff = 0
            delays, self.delays = self.delays, []
            self.acked = 0
            self.controller.on_ack(acked=acked, delays_us=delays, rtt=rtt, now=now)
            self._progress = now
            self._tail_probe = None
            self.timeout_due = now + self.timeout if self.sent else None
        if self.sacked or self.resent or self._dup_acks >= DUPLICATE_ACKS:
            self.find_losses(now)
        if not self.sent:
            self.timeout_due = self.probe_due = self.reorder_due = None
        elif acked:
            self._arm_probe(now)

    def find_losses(self, now: float) -> None:
        """Mark what was lost: overtaken by 3 packets, or by one that was sent sufficiently later."""
        self.reorder_due = None
        sacked = self.sacked
        newly = 0
        if not sacked:
            if self._dup_acks >= DUPLICATE_ACKS and self.sent and not self.resent & 1:
                newly = 1
        elif not self.rack.reordering:
            newly = passed_over(sacked) & ~(sacked | self.lost | self.resent)
        known = min(max(sacked.bit_length() - 1, REPORTED), self.count)
        newly |= self._overtaken(((1 << known) - 1) & ~(sacked | self.lost | newly), now)
        newly &= ~self.lost
        if newly:
            self._dup_acks = 0
            self._mark(newly, now)

    def _overtaken(self, candidates: int, now: float) -> int:
        """RACK (RFC 8985 section 6.2): those of `candidates` sent long enough before one that arrived."""
        lost_at, srtt = self.rack.lost_at, self.estimator.srtt or 0.0
        lost = 0
        for i in bits(candidates):
            due = lost_at(self.sent[(self.una + i) & SEQ_MASK][1], srtt)
            if due is None:
                continue
            if due <= now:
                lost |= 1 << i
            elif self.reorder_due is None or due < self.reorder_due:
                self.reorder_due = due
        return lost

    def _mark(self, newly: int, now: float) -> None:
        octets = 0
        last_sent = -1.0
        for i in bits(newly):
            seq_nr = (self.una + i) & SEQ_MASK
            size, sent_at, _, _, _ = self.sent[seq_nr]
            self.pipe -= size
            if seq_nr == self.mtu.probe_seq:
                self.mtu.probe_lost()  # it was large: no sign of congestion
                continue
            octets += size
            last_sent = max(last_sent, sent_at)
        self.lost |= newly
        self.probe_due = None
        if octets:
            self._reduce(octets, last_sent, now)

    def _reduce(self, octets: int, sent_at: float, now: float) -> None:
        """Tell the controller, unless it has reduced the window since the packet was sent: once a round trip."""
        if sent_at > self._reduced_at:
            self._reduced_at = now
            self.controller.on_loss(lost=octets, will_retransmit=True, now=now)

    # Timers

    def tail_probe(self, now: float) -> int | None:
        """The probe is due: the sequence number to send again unless there is something new, None for nothing."""
        self.probe_due = None
        if not self.sent or self.lost or self._tail_probe is not None:
            return None
        unsacked = ((1 << self.count) - 1) & ~self.sacked
        seq_nr = (self.una + unsacked.bit_length() - 1) & SEQ_MASK
        self._tail_probe = seq_nr
        return seq_nr

    def alive(self, now: float) -> None:
        """The peer answers, though it takes nothing."""
        self._progress = now

    def on_timeout(self, now: float, *, congestion: bool) -> bool:
        """The timeout came: everything outstanding is lost. False when the peer has not answered for too long.

        Without `congestion`, as when the peer's window is shut, the controller is not told.
        """
        if now - self._progress >= GIVE_UP:
            return False
        mtu = self.mtu
        if mtu.probe_seq is not None:
            mtu.probe_lost()
        self.backoff += 1
        if self.backoff >= BLACK_HOLE:
            mtu.black_hole(now)
        self.lost = ((1 << self.count) - 1) & ~self.sacked
        self.pipe = 0
        self._rto_recover = self.next_seq
        self._rto_at = now
        self._dup_acks = 0
        self._reduced_at = now
        self._tail_probe = None
        self.probe_due = self.reorder_due = None
        self.timeout_due = now + self.timeout
        deadline = self.controller.get_timer()
        if congestion and deadline is not None:
            self.controller.on_timeout(max(now, deadline))
        return True
