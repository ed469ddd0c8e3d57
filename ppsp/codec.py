"""Datagrams to messages and back (RFC 7574 section 8).

Most messages have no length on the wire: it follows from the metadata of the swarm, which a `Codec` is made from. A
HANDSHAKE depends on none of them, so that it can be read before its swarm is known.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, assert_never

from ppsp._addressing import LAYOUT, bin_of_range, range_of_bin
from ppsp.constants import (
    CHANNEL_ID_SIZE,
    DEFAULT_CHUNK_SIZE,
    HASH_SIZE,
    MAX_CHUNK_SIZE,
    VARIABLE_CHUNK_SIZE,
    ChunkAddressing,
    MessageType,
)
from ppsp.errors import DecodeError
from ppsp.messages import (
    Ack,
    Cancel,
    Choke,
    Data,
    Handshake,
    Have,
    Integrity,
    Message,
    PexReq,
    PexResCert,
    PexResV4,
    PexResV6,
    Request,
    SignedIntegrity,
    Unchoke,
)
from ppsp.options import ProtocolOptions

_Specified: TypeAlias = Ack | Cancel | Have | Integrity | Request | SignedIntegrity
_Layout: TypeAlias = tuple[Callable[[bytes | memoryview, int], tuple[Any, ...]], int, type[_Specified]]

# Plain numbers: looking up and comparing members of an IntEnum takes several times as long.
_HANDSHAKE = int(MessageType.HANDSHAKE)
_DATA = int(MessageType.DATA)
_INTEGRITY = int(MessageType.INTEGRITY)
_U32_MAX = (1 << 32) - 1
_U64_MAX = (1 << 64) - 1

_CHANNEL = struct.Struct(">I")
_HANDSHAKE_HEADER = struct.Struct(">BI")
_CERTIFICATE_HEADER = struct.Struct(">BH")
_PEX_V4 = struct.Struct(">B4sH")
_PEX_V6 = struct.Struct(">B16sH")
# Messages without a field are all alike: one of each serves every datagram.
_BARE: Mapping[int, Message] = {int(m.message_type): m for m in (PexReq(), Choke(), Unchoke())}


def channel_of(data: bytes | memoryview) -> int:
    """The channel ID that a datagram is for (section 8.3); alone it is a keep-alive (section 8.14).

    Raises:
        DecodeError: the datagram is shorter than a channel ID.
    """
    if len(data) < CHANNEL_ID_SIZE:
        raise DecodeError(f"channel ID: need {CHANNEL_ID_SIZE} octets at 0, have {len(data)}")
    channel: int = _CHANNEL.unpack_from(data)[0]
    return channel


def decode_handshake(data: bytes | memoryview, offset: int = CHANNEL_ID_SIZE) -> tuple[Handshake, int]:
    """The HANDSHAKE at `offset`, and the offset behind it (section 8.4).

    A HANDSHAKE that closes a channel has an "empty" list of options: the end option may be missing there.

    Raises:
        DecodeError: there is no well-formed HANDSHAKE at `offset`.
    """
    _check_length(_HANDSHAKE, _HANDSHAKE_HEADER.size, data, offset)
    kind, source_channel = _HANDSHAKE_HEADER.unpack_from(data, offset)
    if kind != _HANDSHAKE:
        raise DecodeError(f"HANDSHAKE: the message at {offset} is of type {kind}")
    offset += _HANDSHAKE_HEADER.size
    if source_channel == 0 and offset == len(data):
        return Handshake(0), offset
    options, offset = ProtocolOptions.decode(data, offset)
    return Handshake(source_channel, options), offset


class Codec:
    """Reads and writes the datagrams of one swarm.

    `hash_size` is the octets of a Merkle hash, 0 where the swarm has none; `signature_size` those of a signature, 0
    where there are none; `chunk_size` those of a chunk, VARIABLE_CHUNK_SIZE where every DATA fills up its datagram
    (MAX_CHUNK_SIZE octets at most).

    Raises:
        ValueError: no swarm has such metadata.
    """

    def __init__(
        self,
        chunk_addressing: ChunkAddressing,
        hash_size: int,
        signature_size: int = 0,
        chunk_size: int = DEFAULT_CHUNK_SIZE,
    ) -> None:
        if hash_size and hash_size not in HASH_SIZE.values():
            raise ValueError(f"no Merkle hash function has {hash_size} octets")
        if signature_size < 0:
            raise ValueError(f"a signature cannot have {signature_size} octets")
        if not 1 <= chunk_size <= _U32_MAX:
            raise ValueError(f"a chunk size of {chunk_size} octets is not between 1 and 2**32 - 1")
        self.chunk_addressing = ChunkAddressing(chunk_addressing)
        self.hash_size = hash_size
        self.signature_size = signature_size
        self.chunk_size = chunk_size
        self._longest = MAX_CHUNK_SIZE if chunk_size == VARIABLE_CHUNK_SIZE else chunk_size
        layout = LAYOUT[self.chunk_addressing]
        self._limit = layout.limit
        self._bins = layout.bins
        self._bytes = self.chunk_addressing is ChunkAddressing.BYTE64
        self._plain = struct.Struct(f">B{layout.fields}")
        self._timed = struct.Struct(f">B{layout.fields}Q")
        self._layouts = self._decoding_layouts(layout.fields)

    def _decoding_layouts(self, fields: str) -> dict[int, _Layout]:
        """By message type: what unpacks the fields behind the type, the octets of the message, its class."""
        rest: list[tuple[type[_Specified], str]] = [(Ack, "Q"), (Have, ""), (Request, ""), (Cancel, "")]
        if self.hash_size:
            rest.append((Integrity, f"{self.hash_size}s"))
        if self.signature_size:
            rest.append((SignedIntegrity, f"Q{self.signature_size}s"))
        structs = {cls: struct.Struct(f">x{fields}{more}") for cls, more in rest}
        return {int(cls.message_type): (each.unpack_from, each.size, cls) for cls, each in structs.items()}

    def decode(
        self, data: bytes | memoryview, offset: int = CHANNEL_ID_SIZE
    ) -> tuple[list[Message], DecodeError | None]:
        """The messages from `offset` on, and what is wrong with the first malformed one, if any.

        "If an invalid message is found in a datagram, the remaining messages MUST be discarded" (section 3): those
        before it count. A DATA takes what is left of the datagram, but at most a chunk (section 8.6).
        """
        messages: list[Message] = []
        layouts, bins, size = self._layouts, self._bins, len(data)
        message: Message
        try:
            while offset < size:
                kind = data[offset]
                layout = layouts.get(kind)
                if layout is not None:
                    unpack, length, cls = layout
                    fields = unpack(data, offset)
                    if bins:
                        fields = (*self._range_of(fields[0], offset), *fields[1:])
                    message = cls(*fields)
                    if message.start > message.end:
                        raise DecodeError(f"{_name(kind)}: {message.start} to {message.end} at {offset} is no range")
                    offset += length
                elif kind == _DATA:
                    message, offset = self._decode_data(data, offset, size)
                else:
                    message, offset = _decode_other(data, offset)
                messages.append(message)
        except struct.error:
            return messages, _too_short(kind, length, data, offset)
        except DecodeError as error:
            return messages, error
        return messages, None

    def _range_of(self, number: int, offset: int) -> tuple[int, int]:
        # Only the empty interval, all ones, exceeds the limit; "everything" is the bin above all leaves there can be.
        start, end = range_of_bin(number)
        if end > self._limit:
            raise DecodeError(f"bin {number:#x} at {offset + 1} denotes no chunks")
        return start, end

    def _decode_data(self, data: bytes | memoryview, offset: int, size: int) -> tuple[Data, int]:
        payload = offset + self._timed.size
        if payload >= size:
            raise _too_short(_DATA, self._timed.size + 1, data, offset)
        if self._bins:
            _, number, timestamp_us = self._timed.unpack_from(data, offset)
            start, end = self._range_of(number, offset)
        else:
            _, start, end, timestamp_us = self._timed.unpack_from(data, offset)
        stop = payload + self.chunk_size
        if self._bytes:
            if not self._is_chunk(start, end):
                raise DecodeError(f"DATA: the octets {start} to {end} at {offset} are not one chunk")
            stop = payload + end - start + 1
            if stop > size:
                raise _too_short(_DATA, stop - offset, data, offset)
        elif start != end:
            raise DecodeError(f"DATA: the chunks {start} to {end} at {offset} are not one chunk")
        elif stop > size:
            if size - payload > self._longest:
                raise DecodeError(
                    f"DATA: a chunk of {size - payload} octets at {offset}, the longest has {self._longest}"
                )
            stop = size
        return Data(start, end, timestamp_us, memoryview(data)[payload:stop]), stop

    def _is_chunk(self, start: int, end: int) -> bool:
        """Whether the octets `start` to `end` can be "the single chunk" of a DATA (section 8.6)."""
        if self.chunk_size == VARIABLE_CHUNK_SIZE:
            return start <= end
        return start % self.chunk_size == 0 and 0 <= end - start < self.chunk_size

    def spread(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages as they go on the wire: several for one where its chunks are not one specification."""
        return messages

    def encode(self, channel: int, messages: Iterable[Message]) -> bytes:
        """A datagram for the peer's `channel`; without messages, a keep-alive (section 8.14).

        Raises:
            ValueError: a value does not fit its field, a HANDSHAKE is not the first message (section 3.1), or the end
                of a DATA could not be told: one is the last message, and any before it a full chunk (section 8.6).
        """
        parts = [_encode_channel(channel)]
        message: Message | None = None
        data: Data | None = None
        for message in messages:
            if data is not None and len(data.payload) != self.chunk_size:
                raise ValueError("DATA: nothing can follow a chunk that is shorter than the chunk size")
            if isinstance(message, Data):
                data = message
            elif isinstance(message, Handshake) and len(parts) > 1:
                raise ValueError("HANDSHAKE: must be the first message of its datagram")
            parts.append(self._encode(message))
        if data is not None and data is not message:
            raise ValueError("DATA: must be in the tail of its datagram")
        return b"".join(parts)

    def data_header(
        self,
        channel: int,
        start: int,
        end: int,
        timestamp_us: int,
        integrity: Sequence[tuple[int, int, bytes]] = (),
        octets: int | None = None,
    ) -> bytes:
        """A datagram with one DATA up to its payload, which follows as a buffer of its own.

        `integrity` holds start, end and hash of the INTEGRITY messages that go before the DATA, in this order. `octets`
        of the payload are given where the chunk may be a short one; ranges of chunks do not tell.

        Raises:
            ValueError: a value does not fit its field.
        """
        parts = [_encode_channel(channel)]
        for first, last, digest in integrity:
            parts.append(self._encode_plain(_INTEGRITY, first, last))
            parts.append(self._checked_hash(digest))
        parts.append(self._encode_data_header(start, end, timestamp_us))
        return b"".join(parts)

    def _encode(self, message: Message) -> bytes:
        match message:
            case Have() | Request() | Cancel():
                return self._encode_plain(message.message_type, message.start, message.end)
            case Ack():
                return self._encode_timed(message.message_type, message.start, message.end, message.delay_us)
            case Integrity():
                head = self._encode_plain(message.message_type, message.start, message.end)
                return head + self._checked_hash(message.hash)
            case Data():
                return self._encode_data(message)
            case SignedIntegrity():
                return self._encode_signed_integrity(message)
            case Handshake():
                return _encode_handshake(message)
            case PexReq() | Choke() | Unchoke():
                return bytes((message.message_type,))
            case PexResV4() | PexResV6():
                return _encode_pex(message)
            case PexResCert():
                return _encode_certificate(message)
        assert_never(message)

    def _encode_data(self, message: Data) -> bytes:
        size = len(message.payload)
        if not 1 <= size <= self._longest:
            raise ValueError(f"DATA: a payload of {size} octets where a chunk has 1 to {self._longest}")
        if self._bytes and size != message.end - message.start + 1:
            raise ValueError(f"DATA: a payload of {size} octets for the octets {message.start} to {message.end}")
        header = self._encode_data_header(message.start, message.end, message.timestamp_us)
        return b"".join((header, message.payload))

    def _encode_data_header(self, start: int, end: int, timestamp_us: int) -> bytes:
        if not (self._is_chunk(start, end) if self._bytes else start == end):
            raise ValueError(f"DATA: {start} to {end} is not one chunk")
        return self._encode_timed(_DATA, start, end, timestamp_us)

    def _encode_signed_integrity(self, message: SignedIntegrity) -> bytes:
        size = len(message.signature)
        if not size or size != self.signature_size:
            raise ValueError(f"SIGNED_INTEGRITY: a signature of {size} octets, the swarm's have {self.signature_size}")
        kind = message.message_type
        return self._encode_timed(kind, message.start, message.end, message.ntp_timestamp) + message.signature

    def chunk_specification(self, start: int, end: int) -> bytes:
        """The chunks as on the wire, which live sources sign (section 6.1). Raises ValueError where it denotes none."""
        return self._encode_plain(0, start, end)[1:]

    def _encode_plain(self, kind: int, start: int, end: int) -> bytes:
        """A message type and a chunk specification."""
        if not 0 <= start <= end <= self._limit:
            raise ValueError(f"{_name(kind)}: {self.chunk_addressing.name} denotes no range {start} to {end}")
        if self._bins:
            return self._plain.pack(kind, bin_of_range(start, end))
        return self._plain.pack(kind, start, end)

    def _encode_timed(self, kind: int, start: int, end: int, number: int) -> bytes:
        """A message type, a chunk specification and a 64-bit number."""
        if not 0 <= start <= end <= self._limit:
            raise ValueError(f"{_name(kind)}: {self.chunk_addressing.name} denotes no range {start} to {end}")
        if not 0 <= number <= _U64_MAX:
            raise ValueError(f"{_name(kind)}: {number} does not fit 64 bits")
        if self._bins:
            return self._timed.pack(kind, bin_of_range(start, end), number)
        return self._timed.pack(kind, start, end, number)

    def _checked_hash(self, digest: bytes) -> bytes:
        if not digest or len(digest) != self.hash_size:
            raise ValueError(f"INTEGRITY: a hash of {len(digest)} octets, the swarm's have {self.hash_size}")
        return digest


def _decode_other(data: bytes | memoryview, offset: int) -> tuple[Message, int]:
    """The message at `offset`, of a type whose layout the swarm's metadata do not change."""
    kind = data[offset]
    bare = _BARE.get(kind)
    if bare is not None:
        return bare, offset + 1
    match kind:
        case MessageType.HANDSHAKE:
            if offset != CHANNEL_ID_SIZE:
                raise DecodeError(f"HANDSHAKE: at {offset}, but it must be the first message of its datagram")
            return decode_handshake(data, offset)
        case MessageType.PEX_RESV4:
            _check_length(kind, _PEX_V4.size, data, offset)
            return PexResV4(*_PEX_V4.unpack_from(data, offset)[1:]), offset + _PEX_V4.size
        case MessageType.PEX_RESV6:
            _check_length(kind, _PEX_V6.size, data, offset)
            return PexResV6(*_PEX_V6.unpack_from(data, offset)[1:]), offset + _PEX_V6.size
        case MessageType.PEX_RESCERT:
            _check_length(kind, _CERTIFICATE_HEADER.size, data, offset)
            size = _CERTIFICATE_HEADER.size + _CERTIFICATE_HEADER.unpack_from(data, offset)[1]
            _check_length(kind, size, data, offset)
            return PexResCert(bytes(data[offset + _CERTIFICATE_HEADER.size : offset + size])), offset + size
        case MessageType.INTEGRITY | MessageType.SIGNED_INTEGRITY:
            raise DecodeError(f"{_name(kind)}: at {offset}, in a swarm that has none")
    raise DecodeError(f"message type {kind} at {offset} is unknown, and so is its length")


def _encode_channel(channel: int) -> bytes:
    if not 0 <= channel <= _U32_MAX:
        raise ValueError(f"channel ID {channel} does not fit 32 bits")
    return _CHANNEL.pack(channel)


def _encode_handshake(message: Handshake) -> bytes:
    source_channel, options = message.source_channel, message.options
    if not 0 <= source_channel <= _U32_MAX:
        raise ValueError(f"HANDSHAKE: channel ID {source_channel} does not fit 32 bits")
    # "The list MUST either be empty or contain the maximum version number" (section 8.4).
    if source_channel == 0 and options != ProtocolOptions(version=options.version):
        raise ValueError("HANDSHAKE: one that closes a channel has no option but the version")
    return _HANDSHAKE_HEADER.pack(_HANDSHAKE, source_channel) + options.encode()


def _encode_pex(message: PexResV4 | PexResV6) -> bytes:
    layout, size = (_PEX_V4, 4) if isinstance(message, PexResV4) else (_PEX_V6, 16)
    name = message.message_type.name
    if len(message.address) != size:
        raise ValueError(f"{name}: an address of {len(message.address)} octets, not {size}")
    if not 0 <= message.port <= 0xFFFF:
        raise ValueError(f"{name}: port {message.port} does not fit 16 bits")
    return layout.pack(message.message_type, message.address, message.port)


def _encode_certificate(message: PexResCert) -> bytes:
    size = len(message.certificate)
    if size > 0xFFFF:
        raise ValueError(f"PEX_RESCERT: a certificate of {size} octets does not fit its 16-bit size")
    return _CERTIFICATE_HEADER.pack(message.message_type, size) + message.certificate


def _check_length(kind: int, need: int, data: bytes | memoryview, offset: int) -> None:
    if len(data) - offset < need:
        raise _too_short(kind, need, data, offset)


def _too_short(kind: int, need: int, data: bytes | memoryview, offset: int) -> DecodeError:
    return DecodeError(f"{_name(kind)}: need {need} octets at {offset}, have {len(data) - offset}")


def _name(kind: int) -> str:
    return MessageType(kind).name
