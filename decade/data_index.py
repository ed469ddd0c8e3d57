"""Which objects an application's own data is in (RFC 7069 sections 5.2, 5.4.1 and 6.1).

Names of DECADE replace no names of an application, and say nothing of order: so whoever stores keeps an index, and may
give it to others. A file can be in several objects, cut anywhere, and an object can hold parts of several files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from decade import cbor
from decade._maps import Extensible, array, at, encode_map, nested, read_map, row, text, uint, wire_map
from decade.errors import DecodeError, ErrorCode, RefusedError
from decade.names import Name, name_of
from decade.values import HASH_NAME, HTTP_URI

MAX_INDEX = 4 * 2**20
"""Octets of an index: a hundred thousand pieces, which at 1 MiB each are 100 GiB."""
MAX_SERVERS = 64
MAX_ENTRIES = 65_536
"""Files of an index. Without a bound MAX_INDEX octets are 800,000 empty ones, which take 20 s to read."""
_MAX_PIECES = 100_000
_TYPE = 17
"""Its message type: the next after those of the resource protocol, so that nobody takes one for the other."""


@wire_map()
class Piece:
    """Some octets of a file: in which object they are, how many, and where in it they start."""

    name: Name = at(0, HASH_NAME)
    length: int = at(1, uint(1))
    offset: int = at(2, uint(1), default=0)


@wire_map()
class Entry(Extensible):
    """A file, or whatever the application calls it: its pieces, in their order."""

    label: str = at(1, text(0, 1024))
    pieces: tuple[Piece, ...] = at(2, array(row(Piece), 0, _MAX_PIECES))
    media_type: str | None = at(3, text(1, 255), default=None)

    @property
    def size(self) -> int:
        """Octets of all pieces."""
        return sum(piece.length for piece in self.pieces)

    def locate(self, offset: int, length: int) -> Iterator[Piece]:
        """What of which objects the octets from `offset` on are; fewer than `length` of them at the end."""
        start = 0
        for piece in self.pieces:
            low, high = max(offset - start, 0), min(offset + length - start, piece.length)
            if low < high:
                yield Piece(name=piece.name, length=high - low, offset=piece.offset + low)
            start += piece.length


@wire_map(_TYPE)
class DataIndex(Extensible):
    """Files by their label. `servers`: origins that may have the objects."""

    entries: tuple[Entry, ...] = at(1, array(nested(Entry), 1, MAX_ENTRIES))
    servers: tuple[str, ...] = at(2, array(HTTP_URI, 1, MAX_SERVERS), default=())

    def entry(self, label: str) -> Entry | None:
        """The file with this label."""
        return next((entry for entry in self.entries if entry.label == label), None)


def encode_index(index: DataIndex) -> bytes:
    """The octets to advertise. Raises EncodeError."""
    return cbor.encode(encode_map(index))


def decode_index(octets: bytes) -> DataIndex:
    """The index that the octets spell. Raises DecodeError."""
    return read_map(DataIndex, cbor.decode(octets, max_size=MAX_INDEX))


def split(read: Callable[[int], bytes], size: int) -> Iterator[tuple[Piece, bytes]]:
    """Cut what `read` returns into objects of `size` octets, the last one perhaps shorter. `read(n)` returns up to n
    octets, none at the end.

    Raises ValueError for a size below 1.
    """
    if size < 1:
        raise ValueError("an object of a split has an octet at least")
    rest = bytearray()
    is_more = True
    while is_more:
        octets = read(size - len(rest))
        rest += octets
        is_more = bool(octets)
        if len(rest) == size or (rest and not is_more):
            piece = bytes(rest)
            yield Piece(name=name_of(piece), length=len(piece)), piece
            rest.clear()


def assemble(pieces: Iterable[Piece], get: Callable[[Name], bytes]) -> Iterator[bytes]:
    """The octets of the pieces, each from its object, which `get` returns and which is verified here.

    Raises RefusedError (NAME_MISMATCH) for an object of another name, DecodeError for one that ends before its piece.
    """
    for piece in pieces:
        octets = get(piece.name)
        if not piece.name.matches(octets):
            raise RefusedError(ErrorCode.NAME_MISMATCH, "these octets do not have the name in the index")
        yield cut(piece, octets)


def cut(piece: Piece, octets: bytes) -> bytes:
    """What of an object belongs to a piece. Raises DecodeError for an object that ends before."""
    if piece.offset + piece.length > len(octets):
        raise DecodeError(f"index: a piece up to {piece.offset + piece.length} in an object of {len(octets)} octets")
    return octets[piece.offset : piece.offset + piece.length]
