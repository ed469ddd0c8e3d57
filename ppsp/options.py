"""The protocol options of a HANDSHAKE (RFC 7574 section 7)."""

import struct
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from ppsp._addressing import LAYOUT
from ppsp.constants import MAX_SUPPORTED_MESSAGES_SIZE, ChunkAddressing, ProtocolOption
from ppsp.errors import DecodeError

_U8 = struct.Struct(">BB")
_U16 = struct.Struct(">BH")
_U32 = struct.Struct(">BI")
_U64 = struct.Struct(">BQ")
_END_CODE = int(ProtocolOption.END)


@attrs.frozen
class ProtocolOptions:
    """The list of options; what is None is not in it. Unassigned values survive as numbers, for the channel to refuse.

    `live_discard_window` is a number of chunks, or of octets with byte ranges (section 7.9); `chunk_size` is in octets.
    """

    version: int | None = None
    minimum_version: int | None = None
    swarm_id: bytes | None = None
    content_integrity: int | None = None
    merkle_hash_function: int | None = None
    live_signature_algorithm: int | None = None
    chunk_addressing: int | None = None
    live_discard_window: int | None = None
    supported_messages: frozenset[int] | None = None
    chunk_size: int | None = None

    def encode(self) -> bytes:
        """The options sorted by code, and the end option (section 7.1).

        Raises:
            ValueError: a value does not fit its option.
        """
        parts = [
            _encode_octet(ProtocolOption.VERSION, self.version),
            _encode_octet(ProtocolOption.MINIMUM_VERSION, self.minimum_version),
            _encode_swarm_id(self.swarm_id),
            _encode_octet(ProtocolOption.CONTENT_INTEGRITY_PROTECTION_METHOD, self.content_integrity),
            _encode_octet(ProtocolOption.MERKLE_HASH_TREE_FUNCTION, self.merkle_hash_function),
            _encode_octet(ProtocolOption.LIVE_SIGNATURE_ALGORITHM, self.live_signature_algorithm),
            _encode_octet(ProtocolOption.CHUNK_ADDRESSING_METHOD, self.chunk_addressing),
            _encode_window(self.live_discard_window, self.chunk_addressing),
            _encode_supported_messages(self.supported_messages),
            _encode_chunk_size(self.chunk_size),
            bytes((_END_CODE,)),
        ]
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes | memoryview, offset: int) -> tuple["ProtocolOptions", int]:
        """The options that start at `offset`, and the offset behind their end option.

        Raises:
            DecodeError: the list is cut short, unsorted, or has an option twice or of unknown length.
        """
        values: dict[str, Any] = {}
        previous = -1
        size = len(data)
        while offset < size:
            code = data[offset]
            if code == _END_CODE:
                return cls(**values), offset + 1
            if code <= previous:
                raise DecodeError(f"HANDSHAKE: option {code} at {offset} follows option {previous}, not ascending")
            option = _OPTIONS.get(code)
            if option is None:
                # An unassigned option has 8 bits "unless stated otherwise" (section 7): no length to skip it by.
                raise DecodeError(f"HANDSHAKE: option {code} at {offset} is unknown, and so is its length")
            name, decode = option
            values[name], offset = decode(data, offset, values)
            previous = code
        raise DecodeError(f"HANDSHAKE: no end option before the end of the datagram at {offset}")


def _encode_octet(code: ProtocolOption, value: int | None) -> bytes:
    if value is None:
        return b""
    if not 0 <= value <= 0xFF:
        raise ValueError(f"option {code.name}: {value} does not fit 8 bits")
    return _U8.pack(code, value)


def _encode_swarm_id(swarm_id: bytes | None) -> bytes:
    if swarm_id is None:
        return b""
    if len(swarm_id) > 0xFFFF:
        raise ValueError(f"option SWARM_IDENTIFIER: {len(swarm_id)} octets do not fit a 16-bit length")
    return _U16.pack(ProtocolOption.SWARM_IDENTIFIER, len(swarm_id)) + swarm_id


def _encode_window(window: int | None, chunk_addressing: int | None) -> bytes:
    if window is None:
        return b""
    size = _window_size(chunk_addressing)
    if size is None:
        raise ValueError("option LIVE_DISCARD_WINDOW: its width needs a known chunk addressing method")
    if not 0 <= window < 1 << 8 * size:
        raise ValueError(f"option LIVE_DISCARD_WINDOW: {window} does not fit {8 * size} bits")
    return (_U32 if size == 4 else _U64).pack(ProtocolOption.LIVE_DISCARD_WINDOW, window)


def _encode_supported_messages(supported: frozenset[int] | None) -> bytes:
    if supported is None:
        return b""
    if supported and not (min(supported) >= 0 and max(supported) <= 0xFF):
        raise ValueError("option SUPPORTED_MESSAGES: message types are 0 to 255")
    bits = sum(1 << 255 - kind for kind in supported)
    bitmap = bits.to_bytes(MAX_SUPPORTED_MESSAGES_SIZE, "big").rstrip(b"\0")
    return _U8.pack(ProtocolOption.SUPPORTED_MESSAGES, len(bitmap)) + bitmap


def _encode_chunk_size(chunk_size: int | None) -> bytes:
    if chunk_size is None:
        return b""
    if not 0 <= chunk_size <= 0xFFFFFFFF:
        raise ValueError(f"option CHUNK_SIZE: {chunk_size} does not fit 32 bits")
    return _U32.pack(ProtocolOption.CHUNK_SIZE, chunk_size)


def _window_size(chunk_addressing: int | None) -> int | None:
    """Octets of the Live Discard Window: those of a bin, or of one value in a range (section 7.9)."""
    try:
        return None if chunk_addressing is None else LAYOUT[ChunkAddressing(chunk_addressing)].value_size
    except ValueError:
        return None


def _octets(data: bytes | memoryview, offset: int, start: int, stop: int) -> bytes:
    if stop > len(data):
        raise DecodeError(f"HANDSHAKE: option {data[offset]} at {offset} ends at {stop}, the datagram at {len(data)}")
    return bytes(data[start:stop])


def _decode_uint(data: bytes | memoryview, offset: int, size: int) -> tuple[int, int]:
    stop = offset + 1 + size
    return int.from_bytes(_octets(data, offset, offset + 1, stop), "big"), stop


def _decode_octet(data: bytes | memoryview, offset: int, _: dict[str, Any]) -> tuple[int, int]:
    return _decode_uint(data, offset, 1)


def _decode_swarm_id(data: bytes | memoryview, offset: int, _: dict[str, Any]) -> tuple[bytes, int]:
    size, start = _decode_uint(data, offset, 2)
    return _octets(data, offset, start, start + size), start + size


def _decode_window(data: bytes | memoryview, offset: int, values: dict[str, Any]) -> tuple[int, int]:
    # "The Chunk Addressing Method MUST appear before it in the list" (section 7.9): the width follows from it.
    size = _window_size(values.get("chunk_addressing"))
    if size is None:
        raise DecodeError(f"HANDSHAKE: Live Discard Window at {offset} without a known chunk addressing method")
    return _decode_uint(data, offset, size)


def _decode_supported_messages(data: bytes | memoryview, offset: int, _: dict[str, Any]) -> tuple[frozenset[int], int]:
    size, start = _decode_uint(data, offset, 1)
    if size > MAX_SUPPORTED_MESSAGES_SIZE:
        raise DecodeError(f"HANDSHAKE: Supported Messages of {size} octets at {offset}, for 256 message types")
    bitmap = _octets(data, offset, start, start + size)
    return frozenset(kind for kind in range(8 * size) if bitmap[kind >> 3] & 0x80 >> (kind & 7)), start + size


def _decode_chunk_size(data: bytes | memoryview, offset: int, _: dict[str, Any]) -> tuple[int, int]:
    return _decode_uint(data, offset, 4)


# By code: the field, and what gives its value and the offset behind the option from the octets, the offset of the code
# and the values before it.
_OPTIONS: Mapping[int, tuple[str, Callable[[bytes | memoryview, int, dict[str, Any]], tuple[Any, int]]]] = {
    int(ProtocolOption.VERSION): ("version", _decode_octet),
    int(ProtocolOption.MINIMUM_VERSION): ("minimum_version", _decode_octet),
    int(ProtocolOption.SWARM_IDENTIFIER): ("swarm_id", _decode_swarm_id),
    int(ProtocolOption.CONTENT_INTEGRITY_PROTECTION_METHOD): ("content_integrity", _decode_octet),
    int(ProtocolOption.MERKLE_HASH_TREE_FUNCTION): ("merkle_hash_function", _decode_octet),
    int(ProtocolOption.LIVE_SIGNATURE_ALGORITHM): ("live_signature_algorithm", _decode_octet),
    int(ProtocolOption.CHUNK_ADDRESSING_METHOD): ("chunk_addressing", _decode_octet),
    int(ProtocolOption.LIVE_DISCARD_WINDOW): ("live_discard_window", _decode_window),
    int(ProtocolOption.SUPPORTED_MESSAGES): ("supported_messages", _decode_supported_messages),
    int(ProtocolOption.CHUNK_SIZE): ("chunk_size", _decode_chunk_size),
}
