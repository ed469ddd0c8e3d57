"""When a packet counts as lost: by the count of later ones, as BEP 29 says, and by time (RACK, RFC 8985)."""

from ledbat.rtt import GRANULARITY
from ledbat.utp.packet import HALF_TIME, TIME_MASK

DUPLICATE_ACKS = 3
"""Packets acknowledged past one after which it is lost."""
REORDER_WINDOW = 4
"""A packet is lost when one sent this part of the least RTT later arrived (RFC 8985 section 6.2: a quarter)."""


class Rack:
    """What the packets that arrived tell about those that did not."""

    __slots__ = ("_rtt", "_sent", "_steps", "answered", "min_rtt", "reordering", "rtt")

    rtt: float | None
    """The last round-trip time measured, until it is taken."""
    min_rtt: float | None
    """The least of all."""
    reordering: bool
    """Whether packets have been overtaken by later ones."""
    answered: int | None
    """When the packet left that the peer's last acknowledgement answers, in microseconds modulo 2^32; None: unknown."""

    def __init__(self) -> None:
        self.rtt = None
        self.min_rtt = None
        self.reordering = False
        self.answered = None
        self._sent = -1.0  # when the last sent of the packets that arrived was sent
        self._rtt = 0.0  # its round-trip time
        self._steps = 1

    def arrived(self, sent_at: float, transmissions: int, now: float) -> None:
        """A packet is acknowledged: its RTT by Karn's algorithm, and RACK's clock."""
        rtt = now - sent_at
        if transmissions == 1:
            self.rtt = rtt
            if self.min_rtt is None or rtt < self.min_rtt:
                self.min_rtt = rtt
        elif self.min_rtt is None or rtt < self.min_rtt or self.left_before(sent_at):
            # Not the last transmission arrived but an earlier one, which was given up too early.
            self.reordering = True
            self._steps += 1
            return
        if sent_at >= self._sent:
            self._sent = sent_at
            self._rtt = rtt

    def left_before(self, then: float) -> bool:
        """Whether the peer answers a packet that left before `then`; False if it does not tell."""
        answered = self.answered
        return answered is not None and 0 < (int(then * 1e6) - answered) & TIME_MASK < HALF_TIME

    def lost_at(self, sent_at: float, srtt: float) -> float | None:
        """When a packet sent then counts as lost; None while nothing that was sent later has arrived."""
        if sent_at > self._sent:
            return None
        reordering = self._steps * (self.min_rtt or 0.0) / REORDER_WINDOW
        return sent_at + self._rtt + max(min(reordering, srtt), GRANULARITY)


def passed_over(sacked: int) -> int:
    """The packets with DUPLICATE_ACKS or more selectively acknowledged ones after them, those included."""
    for _ in range(DUPLICATE_ACKS - 1):
        if sacked:
            sacked &= ~(1 << (sacked.bit_length() - 1))
    return (1 << (sacked.bit_length() - 1)) - 1 if sacked else 0
