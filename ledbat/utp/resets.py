"""Which packets for no connection are answered with a RESET."""

from collections import deque

from ledbat.utp.limits import MAX_RESETS, RESET_INTERVAL
from ledbat.utp.packet import HEADER, VERSION, PacketType
from ledbat.utp.ports import Address


class ResetPolicy:
    """One RESET for each (address, connection_id, seq_nr) in RESET_INTERVAL, and no more than MAX_RESETS in all."""

    __slots__ = ("_order", "_sent")

    def __init__(self) -> None:
        self._sent: set[tuple[Address, int, int]] = set()
        self._order: deque[tuple[float, tuple[Address, int, int]]] = deque()

    def answer(self, address: Address, connection_id: int, seq_nr: int, now: float) -> bytes | None:
        """The RESET for a packet, None when there has been one or there were too many."""
        order, sent = self._order, self._sent
        while order and (order[0][0] <= now - RESET_INTERVAL or order[0][0] > now):
            sent.discard(order.popleft()[1])
        key = (address, connection_id, seq_nr)
        if key in sent or len(order) >= MAX_RESETS:
            return None
        sent.add(key)
        order.append((now, key))
        return HEADER.pack(PacketType.RESET << 4 | VERSION, 0, connection_id, 0, 0, 0, 0, seq_nr)
