"""The two octet streams of a connection: what waits to be sent, and what waits to be read."""

from collections import deque

from ledbat.utp.limits import MAX_REORDERED, SMALL_PAYLOAD
from ledbat.utp.packet import SEQ_MASK


class SendQueue:
    """Octets that the application wrote and that are in no packet yet.

    `bytes` are kept, everything else is copied once; payloads are views of them.
    """

    __slots__ = ("_chunks", "_offset", "size")

    size: int
    """Octets that wait."""

    def __init__(self) -> None:
        self._chunks: deque[memoryview] = deque()
        self._offset = 0  # octets of the first chunk that are in packets already
        self.size = 0

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Add octets at the end."""
        if len(data):
            self._chunks.append(memoryview(data if isinstance(data, bytes) else bytes(data)))
            self.size += len(data)

    def take(self, octets: int) -> memoryview:
        """The next `octets` (no more than `size`) as one buffer; copied only where they cross writes."""
        chunks, start = self._chunks, self._offset
        first = chunks[0]
        end = start + octets
        if end < len(first):
            self._offset = end
            self.size -= octets
            return first[start:end]
        self.size -= octets
        self._offset = 0
        chunks.popleft()
        if end == len(first):
            return first[start:]
        parts = [first[start:]]
        missing = end - len(first)
        while missing:
            first = chunks[0]
            if missing < len(first):
                self._offset = missing
                parts.append(first[:missing])
                break
            parts.append(chunks.popleft())
            missing -= len(first)
        return memoryview(b"".join(parts))

    def clear(self) -> None:
        """Forget everything."""
        self._chunks.clear()
        self._offset = 0
        self.size = 0


class ReceiveQueue:
    """Octets that arrived: in order for the application, and ahead of a missing packet in the reorder buffer.

    `ack_nr` is the BEP's: the last sequence number received in order. `missing_mask` has bit i set for each packet
    ack_nr + 2 + i that waits behind a missing one: the selective acknowledgement as a number.
    """

    __slots__ = ("_chunks", "_reordered", "ack_nr", "buffered", "capacity", "mask", "readable")

    ack_nr: int
    buffered: int
    """Octets in both places."""
    readable: int
    """Octets for the application."""
    mask: int
    capacity: int

    def __init__(self, ack_nr: int, capacity: int) -> None:
        self._chunks: deque[bytes | bytearray] = deque()
        self._reordered: dict[int, bytes] = {}
        self.ack_nr = ack_nr
        self.capacity = capacity
        self.buffered = 0
        self.readable = 0
        self.mask = 0

    @property
    def reordered(self) -> int:
        """Packets in the reorder buffer."""
        return len(self._reordered)

    def next_packet(self, payload: bytes) -> bool:
        """The packet ack_nr + 1 with its payload; False, and not taken, when there is no room for it."""
        length = len(payload)
        if self.buffered + length > self.capacity:
            return False
        self.ack_nr = (self.ack_nr + 1) & SEQ_MASK
        self.buffered += length
        if length > SMALL_PAYLOAD:
            self._chunks.append(payload)
            self.readable += length
        else:
            self._join(payload)
        if self.mask or self._reordered:
            self._catch_up()
        return True

    def later_packet(self, ahead: int, payload: bytes) -> bool:
        """The packet ack_nr + `ahead`, 2 or more; False when it is there already or there is no room for it."""
        bit = 1 << (ahead - 2)
        if self.mask & bit or len(self._reordered) >= MAX_REORDERED or self.buffered + len(payload) > self.capacity:
            return False
        self._reordered[(self.ack_nr + ahead) & SEQ_MASK] = payload
        self.mask |= bit
        self.buffered += len(payload)
        return True

    def _join(self, payload: bytes) -> None:
        """Put a short payload to the last one, unless that is long."""
        if not payload:
            return
        self.readable += len(payload)
        chunks = self._chunks
        if chunks and isinstance(chunks[-1], bytearray) and len(chunks[-1]) < 16 * SMALL_PAYLOAD:
            chunks[-1] += payload
        else:
            chunks.append(bytearray(payload))

    def _catch_up(self) -> None:
        """The missing packet came: what waited behind it is in order now."""
        reordered, mask = self._reordered, self.mask
        while mask & 1:
            self.ack_nr = (self.ack_nr + 1) & SEQ_MASK
            payload = reordered.pop(self.ack_nr)
            if len(payload) > SMALL_PAYLOAD:
                self._chunks.append(payload)
                self.readable += len(payload)
            else:
                self._join(payload)
            mask >>= 1
        self.mask = mask >> 1

    def take(self, most: int) -> bytes:
        """At most `most` octets for the application; empty when there are none."""
        chunks = self._chunks
        if most >= self.readable:
            return b"".join(self.take_all())
        parts: list[bytes | bytearray] = []
        missing = most
        while missing:
            chunk = chunks.popleft()
            if len(chunk) > missing:
                chunks.appendleft(chunk[missing:])
                chunk = chunk[:missing]
            parts.append(chunk)
            missing -= len(chunk)
        self.readable -= most
        self.buffered -= most
        return b"".join(parts)

    def take_all(self) -> list[bytes | bytearray]:
        """Everything for the application, in the pieces in which it is kept: no octet is copied."""
        chunks = list(self._chunks)
        self._chunks.clear()
        self.buffered -= self.readable
        self.readable = 0
        return chunks

    def drop_reordered(self) -> None:
        """Nothing will come any more that would bring the reorder buffer into order."""
        self._reordered.clear()
        self.buffered = self.readable
        self.mask = 0
