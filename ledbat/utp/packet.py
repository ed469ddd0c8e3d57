"""The uTP packet (BEP 29, "header format"): header, extension chain, selective acknowledgement.

`decode` and `encode` are for whoever looks at packets one by one. The connection packs and unpacks the fixed header
with `HEADER` itself and comes here for the rest.
"""

import enum
from struct import Struct

import attrs

from ledbat.errors import DecodeError, StateError

HEADER = Struct(">BBHIIIHH")
"""type and version, extension, connection_id, timestamp_microseconds, timestamp_difference_microseconds, wnd_size,
seq_nr, ack_nr."""
HEADER_SIZE = HEADER.size
VERSION = 1

SEQ_MASK = 0xFFFF
TIME_MASK = 0xFFFFFFFF
HALF_TIME = 1 << 31
NO_SAMPLE = 0x7FFFFFFF
"""A timestamp_difference that some peers send for "no sample yet", where the BEP says 0."""

SELECTIVE_ACK = 1
EXTENSION_BITS = 2
"""Eight octets, deprecated: peers read or skip them."""
CLOSE_REASON = 3
"""Two reserved octets and a 16-bit reason. libutp drops a packet that has it first in the chain."""

MAX_EXTENSION = 255
"""Octets in the longest extension: its length has one octet."""
MAX_SACK = 128
"""Octets in the longest selective acknowledgement sent, good for 1024 packets: more would crowd out the payload."""


class PacketType(enum.IntEnum):
    """The upper four bits of a packet's first octet."""

    DATA = 0
    FIN = 1
    STATE = 2
    RESET = 3
    SYN = 4


@attrs.frozen
class Packet:
    """One uTP packet. Fields are the BEP's; `timestamp` and `timestamp_difference` are microseconds modulo 2^32."""

    type: PacketType
    connection_id: int
    seq_nr: int
    ack_nr: int
    timestamp: int = 0
    timestamp_difference: int = 0
    wnd_size: int = 0
    extensions: tuple[tuple[int, bytes], ...] = ()
    """The chain in its order, unknown ones included: (type, octets)."""
    payload: bytes | memoryview = b""

    @property
    def selective_ack(self) -> bytes | None:
        """The bit mask of the first selective acknowledgement, None without one."""
        for kind, body in self.extensions:
            if kind == SELECTIVE_ACK:
                return body
        return None


def decode(data: bytes | bytearray | memoryview) -> Packet:
    """Read one packet; the payload is a view of `data`, the extensions are copies.

    Raises DecodeError when `data` is too short, of another version or type, or the extension chain runs over its end.
    """
    if len(data) < HEADER_SIZE:
        raise DecodeError(f"packet: need {HEADER_SIZE} octets, have {len(data)}")
    first, kind, connection_id, timestamp, difference, wnd_size, seq_nr, ack_nr = HEADER.unpack_from(data)
    if first & 0x0F != VERSION:
        raise DecodeError(f"packet: version {first & 0x0F} is not {VERSION}")
    if first >> 4 > PacketType.SYN:
        raise DecodeError(f"packet: unknown type {first >> 4}")
    view = memoryview(data)
    extensions = []
    offset = HEADER_SIZE
    while kind:
        start, end, following = _extension(view, offset, kind)
        extensions.append((kind, bytes(view[start:end])))
        offset, kind = end, following
    return Packet(
        type=PacketType(first >> 4),
        connection_id=connection_id,
        seq_nr=seq_nr,
        ack_nr=ack_nr,
        timestamp=timestamp,
        timestamp_difference=difference,
        wnd_size=wnd_size,
        extensions=tuple(extensions),
        payload=view[offset:],
    )


def encode(packet: Packet) -> bytes:
    """Write one packet. Raises StateError for a field out of range, extension type 0 and too long an extension."""
    extensions = packet.extensions
    kinds = [kind for kind, _ in extensions] + [0]
    parts = []
    for following, (kind, body) in zip(kinds[1:], extensions, strict=True):
        if not 0 < kind <= 0xFF or len(body) > MAX_EXTENSION:
            raise StateError(f"extension {kind} of {len(body)} octets cannot be written")
        parts += [bytes((following, len(body))), body]
    for name, value, limit in (
        ("connection_id", packet.connection_id, SEQ_MASK),
        ("seq_nr", packet.seq_nr, SEQ_MASK),
        ("ack_nr", packet.ack_nr, SEQ_MASK),
        ("timestamp", packet.timestamp, TIME_MASK),
        ("timestamp_difference", packet.timestamp_difference, TIME_MASK),
        ("wnd_size", packet.wnd_size, TIME_MASK),
    ):
        if not 0 <= value <= limit:
            raise StateError(f"{name} {value} is not from 0 to {limit}")
    header = HEADER.pack(
        packet.type << 4 | VERSION,
        kinds[0],
        packet.connection_id,
        packet.timestamp,
        packet.timestamp_difference,
        packet.wnd_size,
        packet.seq_nr,
        packet.ack_nr,
    )
    return b"".join((header, *parts, packet.payload))


def _extension(data: bytes | bytearray | memoryview, offset: int, kind: int) -> tuple[int, int, int]:
    """Where the body of the extension at `offset` starts and ends, and the type of the next one."""
    start = offset + 2
    if start > len(data):
        raise DecodeError(f"extension {kind}: need 2 octets at {offset}, have {len(data) - offset}")
    end = start + data[offset + 1]
    if end > len(data):
        raise DecodeError(f"extension {kind}: need {end - start} octets at {start}, have {len(data) - start}")
    return start, end, data[offset]


def skip_extensions(data: bytes | bytearray | memoryview, kind: int) -> tuple[int, int]:
    """Where the payload starts, and the selective acknowledgement as a number whose bit i stands for ack_nr + 2 + i.

    `kind` is the header's extension field. The number is 0 without that extension; its octets may be any number from
    0 on (libtorrent sends 1), and other extensions are skipped. Raises DecodeError.
    """
    offset = HEADER_SIZE
    mask = 0
    while kind:
        start, end, following = _extension(data, offset, kind)
        if kind == SELECTIVE_ACK and not mask:
            mask = int.from_bytes(data[start:end], "little")
        offset, kind = end, following
    return offset, mask


def sack_octets(mask: int) -> bytes:
    """A selective acknowledgement: "at least 32 bits, in multiples of 32 bits", MAX_SACK octets at most.

    Bit i of `mask` stands for ack_nr + 2 + i. Later packets than fit are left out.
    """
    size = min((mask.bit_length() + 31) // 32 * 4, MAX_SACK) or 4
    return (mask & ((1 << (8 * size)) - 1)).to_bytes(size, "little")


def bits(mask: int) -> list[int]:
    """The numbers of the bits set in `mask`, ascending."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


def is_sample(timestamp_difference: int) -> bool:
    """Whether it is a delay sample: 0 and INT_MAX stand for "none yet"."""
    return timestamp_difference != 0 and timestamp_difference != NO_SAMPLE
