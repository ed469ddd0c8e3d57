"""The framing header of a link, and what is acknowledged with it (RFC 6940 section 6.6.2)."""

from __future__ import annotations

import struct
from collections import deque
from typing import TypeAlias

from reload._presentation import value
from reload.errors import DecodeError, EncodeError

DATA, ACK = 128, 129
DATA_HEADER_SIZE = 8
ACK_SIZE = 9
WINDOW = 32
"""Sequence numbers that a receiver keeps track of (section 6.6.2)."""
MAX_MESSAGE = 2**24 - 1

_DATA = struct.Struct(">BIBH")
_ACK = struct.Struct(">BII")


@value
class DataFrame:
    """A message over a link, or a fragment of one. Each transmission has a sequence number of its own."""

    sequence: int
    message: bytes


@value
class AckFrame:
    """`received` tells which of the messages before this one came (see `ReceivedMask`)."""

    ack_sequence: int
    received: int


FramedMessage: TypeAlias = DataFrame | AckFrame


def encode_frame(frame: FramedMessage) -> bytes:
    """The octets of a frame. Raises EncodeError."""
    try:
        if isinstance(frame, AckFrame):
            return _ACK.pack(ACK, frame.ack_sequence, frame.received)
        size = len(frame.message)
        return _DATA.pack(DATA, frame.sequence, size >> 16, size & 0xFFFF) + frame.message
    except struct.error as error:
        raise EncodeError(f"FramedMessage: {error}") from error


def decode_frame(data: bytes) -> FramedMessage:
    """The frame that a datagram is, all of it. Raises DecodeError."""
    frame, at = decode_frame_at(data, 0)
    if frame is None:
        raise DecodeError(f"FramedMessage: need more than {len(data)} octets")
    if at != len(data):
        raise DecodeError(f"FramedMessage: {len(data) - at} octets too many behind offset {at}")
    return frame


def decode_frame_at(
    data: bytes | bytearray, at: int, *, max_message: int = MAX_MESSAGE
) -> tuple[FramedMessage | None, int]:
    """The frame that starts at `at` in a stream, and where the next one does; None while it is incomplete.

    Raises DecodeError for what starts no frame, and for a message longer than `max_message`, as soon as that shows.
    """
    if at >= len(data):
        return None, at
    kind, left = data[at], len(data) - at
    if kind == ACK:
        if left < ACK_SIZE:
            return None, at
        _, sequence, received = _ACK.unpack_from(data, at)
        return AckFrame(sequence, received), at + ACK_SIZE
    if kind != DATA:
        raise DecodeError(f"FramedMessage.type: {kind} at {at} is neither data nor ack")
    if left < DATA_HEADER_SIZE:
        return None, at
    _, sequence, high, low = _DATA.unpack_from(data, at)
    size = high << 16 | low
    if size > max_message:
        raise DecodeError(f"FramedMessage.message: {size} octets, at most {max_message} are taken")
    if left < DATA_HEADER_SIZE + size:
        return None, at
    start = at + DATA_HEADER_SIZE
    return DataFrame(sequence, bytes(data[start : start + size])), start + size


class ReceivedMask:
    """The 32 sequence numbers received last, and the acknowledgement that tells of them.

    The RFC calls the bit for M "the N-M bit", and allows M greater than N-32: bit N-M-1 is set here, counted from the
    least significant, so that M = N-1 is bit 0 and the highest bit stays 0. It is for statistics of loss: no sender
    may take it for an acknowledgement (section 6.6.3.1). Sequence numbers are compared modulo 2^32.
    """

    def __init__(self) -> None:
        self._recent: deque[int] = deque(maxlen=WINDOW)

    def acknowledge(self, sequence: int) -> AckFrame:
        """The acknowledgement of `sequence`, which is then received too."""
        received = 0
        for earlier in self._recent:
            behind = sequence - earlier & 0xFFFFFFFF
            if 0 < behind < WINDOW:
                received |= 1 << behind - 1
        self._recent.append(sequence)
        return AckFrame(sequence, received)
