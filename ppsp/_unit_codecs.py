"""Codecs that speak of chunk numbers whatever the addressing method puts on the wire (RFC 7574 section 4).

`Codec` does so for chunk ranges. Here are bins, of which a range may need several, and byte ranges.
"""

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from typing import TypeVar

from ppsp._addressing import LAYOUT, bin_ranges
from ppsp.codec import Codec
from ppsp.constants import CHANNEL_ID_SIZE, ChunkAddressing
from ppsp.errors import DecodeError
from ppsp.messages import Ack, Cancel, Data, Have, Integrity, Message, Request, SignedIntegrity
from ppsp.metadata import SwarmMetadata

_Specified = Ack | Cancel | Data | Have | Integrity | Request | SignedIntegrity
_M = TypeVar("_M", bound=_Specified)


class BinCodec(Codec):
    """A codec of bins: what one bin does not denote goes as several messages."""

    def spread(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages as they go on the wire, one a bin. Of an ACK, every bin has its delay sample."""
        found: list[Message] = []
        for message in messages:
            if isinstance(message, Ack | Cancel | Have | Request):
                found += [_moved(message, *span) for span in bin_ranges(message.start, message.end)]
            else:
                found.append(message)
        return found

    def encode(self, channel: int, messages: Iterable[Message]) -> bytes:
        """As `Codec.encode`, with ranges of any chunks."""
        return super().encode(channel, self.spread(list(messages)))


class ByteCodec(Codec):
    """A codec of byte ranges, for chunks of one size.

    The last chunk is told by its octets in DATA, HAVE and ACK, `content_size()` knowing where it ends; hashes are told
    by all the octets that there could be below their node, since the tree is over chunks and not over octets.
    """

    def __init__(self, metadata: SwarmMetadata, content_size: Callable[[], int | None]) -> None:
        super().__init__(metadata.chunk_addressing, metadata.hash_size, metadata.signature_size, metadata.chunk_size)
        self._content_size = content_size

    def decode(
        self, data: bytes | memoryview, offset: int = CHANNEL_ID_SIZE
    ) -> tuple[list[Message], DecodeError | None]:
        """As `Codec.decode`, in chunk numbers. A range starts where a chunk does; it may end within the last one."""
        messages, error = super().decode(data, offset)
        size = self.chunk_size
        for at, message in enumerate(messages):
            if isinstance(message, _Specified):
                if message.start % size:
                    name = type(message).__name__
                    return messages[:at], DecodeError(f"{name}: no chunk starts at octet {message.start}")
                messages[at] = _moved(message, message.start // size, message.end // size)
        return messages, error

    def encode(self, channel: int, messages: Iterable[Message]) -> bytes:
        """As `Codec.encode`, from chunk numbers."""
        return super().encode(
            channel,
            [self._in_octets(each) if isinstance(each, _Specified) else each for each in messages],
        )

    def _in_octets(self, message: _Specified) -> Message:
        start, stop = message.start * self.chunk_size, (message.end + 1) * self.chunk_size
        if isinstance(message, Data):
            stop = start + len(message.payload)
        elif isinstance(message, Ack | Have):
            size = self._content_size()
            stop = stop if size is None else min(stop, size)
        return _moved(message, start, stop - 1)

    def data_header(
        self,
        channel: int,
        start: int,
        end: int,
        timestamp_us: int,
        integrity: Sequence[tuple[int, int, bytes]] = (),
        octets: int | None = None,
    ) -> bytes:
        """As `Codec.data_header`, from chunk numbers; `octets` are those of the chunk, if it is a short one."""
        size = self.chunk_size
        return super().data_header(
            channel,
            start * size,
            start * size + (octets or size) - 1,
            timestamp_us,
            [(first * size, (last + 1) * size - 1, digest) for first, last, digest in integrity],
        )

    def chunk_specification(self, start: int, end: int) -> bytes:
        """As `Codec.chunk_specification`, from chunk numbers."""
        return super().chunk_specification(start * self.chunk_size, (end + 1) * self.chunk_size - 1)


def _moved(message: _M, start: int, end: int) -> _M:
    moved = copy(message)
    # Frozen to the type checker only, see `ppsp.messages`.
    for name, value in (("start", start), ("end", end)):
        setattr(moved, name, value)
    return moved


def codec_of(metadata: SwarmMetadata, content_size: Callable[[], int | None] = lambda: None) -> Codec:
    """The codec of a swarm, live or static, which speaks of chunk numbers under every addressing method."""
    if metadata.chunk_addressing is ChunkAddressing.BYTE64:
        return ByteCodec(metadata, content_size)
    codec = BinCodec if LAYOUT[metadata.chunk_addressing].bins else Codec
    return codec(metadata.chunk_addressing, metadata.hash_size, metadata.signature_size, metadata.chunk_size)
