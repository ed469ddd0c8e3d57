"""How the chunks of a channel share datagrams, and what became of the long ones (RFC 7574 sections 8.1 and 8.6)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from ppsp._limits import BASE_DATAGRAM, MAX_DATAGRAM, MAX_UDP_PAYLOAD
from ppsp.constants import CHANNEL_ID_SIZE
from ppsp.pmtu import MIN_DATAGRAM, PathMtu
from ppsp.ports import Address, Datagram

#: A chunk, the octets of a datagram that come before it when it is alone, and its own.
Piece: TypeAlias = tuple[int, bytes, bytes | memoryview]
#: Of a chunk in flight: when it was sent, its octets, and whether it had been sent before.
Sent: TypeAlias = tuple[float, int, bool]


class _Long(NamedTuple):
    """A datagram longer than the base; no two that are in flight have one number."""

    number: int
    size: int


class PathSearch:
    """Has the paths to all addresses but those that are `exempt` searched, up to `limit` octets; else a ValueError."""

    def __init__(self, limit: int, exempt: Callable[[Address], bool]) -> None:
        if not MIN_DATAGRAM <= limit <= MAX_UDP_PAYLOAD:
            raise ValueError(f"{limit} octets are not from {MIN_DATAGRAM} to {MAX_UDP_PAYLOAD}, as datagrams may have")
        self._limit = limit
        self._exempt = exempt

    def begin(self, packing: "Packing", address: Address) -> None:
        """The channel to the address is there, and packs its chunks by `packing`."""
        if not self._exempt(address):
            packing.search(self._limit)


class Packing:
    """Packs one channel's chunks, and tells the search what became of them.

    They are `need` octets each with their header, unless that `varies`.

    Without `search` datagrams have the usual size, and whether they leave in fragments is the kernel's affair.
    """

    __slots__ = ("_count", "_heard", "_long", "_need", "_target", "_trial", "_varies", "fragments", "path")

    def __init__(self, need: int, *, varies: bool) -> None:
        self._need = need
        self._varies = varies
        self.path: PathMtu | None = None
        # Whether a single chunk is, or may be, longer than what every path carries: it leaves in fragments if need be.
        self.fragments = False
        self._target: int | None = None
        # Chunks in flight in datagrams longer than the base, and those of the probe that is waited for.
        self._long: dict[int, _Long] = {}
        self._count = 0
        self._trial: set[int] = set()
        # Of the probe, what the datagram being read says the peer has.
        self._heard: set[int] = set()

    def search(self, limit: int) -> None:
        """From now on no datagram leaves in fragments unless `whole` says so; look for longer ones up to `limit`."""
        self.path = PathMtu(limit, self._need)
        self.fragments = self._varies or CHANNEL_ID_SIZE + self._need > min(limit, BASE_DATAGRAM)

    @property
    def limit(self) -> int:
        """Octets that a datagram may have, when no single message needs more."""
        return MAX_DATAGRAM if self.path is None or self.fragments else self.path.size

    def whole(self, size: int) -> bool:
        """Whether so many octets must leave in one packet, or not at all."""
        path = self.path
        return path is None or (path.whole and not self.fragments and size <= path.size)

    @property
    def in_fragments(self) -> bool:
        """Whether the chunks may leave in fragments."""
        return self.path is not None and (self.fragments or not self.path.whole)

    def room_beside(self, chunk_size: int, header: int) -> int:
        """Octets left beside a chunk and its header: in one packet, unless the chunk alone exceeds it."""
        alone = header + chunk_size
        limit = self.limit
        return max((limit if alone <= limit else MAX_UDP_PAYLOAD) - alone, 0)

    # Sending

    def look(self, now: float) -> None:
        """Chunks are about to be sent: see whether a probe is due."""
        path = self.path
        self._target = None if path is None or self.fragments or self._trial else path.wanted(now)

    @property
    def shares(self) -> bool:
        """Whether chunks may share a datagram now, one that is known to arrive or a probe."""
        return CHANNEL_ID_SIZE + 2 * self._need <= max(self.limit, self._target or 0)

    def pack(self, pieces: Sequence[Piece], last: int, out: list[Datagram], *, may_probe: bool) -> None:
        """Append datagrams for the pieces, in their order. The chunk `last` may be short, and has one of its own.

        Nobody needs the hashes of the pieces at the end: these make the probe.
        """
        limit = self.limit
        at = len(pieces)
        if may_probe and self._target is not None:
            at = self._begin_of_probe(pieces, last, self._target)
        parts: list[bytes | memoryview] = []
        chunks: list[int] = []
        size = CHANNEL_ID_SIZE
        for chunk, head, payload in pieces[:at]:
            need = len(head) + len(payload) - CHANNEL_ID_SIZE
            if chunks and (size + need > limit or chunk == last or chunks[-1] == last):
                out.append(self._noted(parts, chunks, size))
                parts, chunks, size = [], [], CHANNEL_ID_SIZE
            parts += (head[CHANNEL_ID_SIZE:] if chunks else head, payload)
            chunks.append(chunk)
            size += need
        if chunks:
            out.append(self._noted(parts, chunks, size))
        if at < len(pieces):
            self._pack_probe(pieces[at:], out)

    def _noted(self, parts: list[bytes | memoryview], chunks: list[int], size: int) -> Datagram:
        if size > BASE_DATAGRAM and self.path is not None and not self.fragments:
            self._count += 1
            self._long.update(dict.fromkeys(chunks, _Long(self._count, size)))
        return tuple(parts)

    def _begin_of_probe(self, pieces: Sequence[Piece], last: int, target: int) -> int:
        """Where the pieces begin that fit a probe; behind all of them when they would be no longer than usual."""
        size, at = CHANNEL_ID_SIZE, len(pieces)
        while at:
            chunk, head, payload = pieces[at - 1]
            longer = size + len(head) + len(payload) - CHANNEL_ID_SIZE
            if longer > target or chunk == last:
                break
            size, at = longer, at - 1
        assert self.path is not None
        return at if self.path.probe_sent(size) else len(pieces)

    def _pack_probe(self, pieces: Sequence[Piece], out: list[Datagram]) -> None:
        self._target = None
        self._trial = {chunk for chunk, _, _ in pieces}
        parts: list[bytes | memoryview] = [pieces[0][1][:CHANNEL_ID_SIZE]]
        for _, head, payload in pieces:
            parts += (head[CHANNEL_ID_SIZE:], payload)
        out.append(tuple(parts))

    def on_trial(self, start: int, stop: int) -> list[int]:
        """The chunks of this range that are in the probe: whether they arrive is not for what follows to rely on."""
        return [chunk for chunk in self._trial if start <= chunk < stop]

    def resent(self, chunk: int) -> None:
        """The chunk goes out once more, on its own: that it arrives will say nothing of the datagram it was in."""
        self._long.pop(chunk, None)
        if chunk in self._trial:
            self._trial.discard(chunk)
            if not self._trial:
                self._void()

    # What became of it

    def arrived(self, chunks: Sequence[int], records: Sequence[Sent]) -> None:
        """The peer has these chunks, of which those are the records; `settle` follows."""
        if self._trial:
            self._heard.update(self._trial.intersection(chunks))
        if self._long:
            assert self.path is not None
            for chunk, record in zip(chunks, records, strict=True):
                long = self._long.pop(chunk, None)
                if long is not None:
                    self.path.arrived(long.size, record[0])

    def settle(self, *, acknowledged: bool) -> None:
        """All of a datagram is read. Only an ACK says that the chunks came from us: a HAVE may tell of others'."""
        if not self._heard:
            return
        heard, self._heard = self._heard, set()
        if not acknowledged:
            self._void()
            return
        self._trial -= heard
        if not self._trial:
            assert self.path is not None
            self.path.probe_arrived()

    def lost(self, chunks: Sequence[int], records: Sequence[Sent]) -> bool:
        """These chunks were lost, of which those are the records; returns whether it was the probe alone."""
        path = self.path
        if path is None:
            return False
        if self._long:
            gone: dict[_Long, float] = {}
            for chunk, record in zip(chunks, records, strict=True):
                long = self._long.pop(chunk, None)
                if long is not None:
                    gone[long] = record[0]
            for long, sent_at in gone.items():
                path.lost(long.size, sent_at)
        if self._trial.isdisjoint(chunks):
            return False
        alone = self._trial.issuperset(chunks)
        if alone:
            self._trial.clear()
            path.probe_lost()
        else:
            self._void()
        return alone

    def too_long(self, size: int) -> list[int]:
        """The kernel took no datagram of so many octets; returns the chunks of the probe that are lost thereby."""
        if self.path is None:
            return []
        self.path.too_long(size)
        return [] if self.path.waits else sorted(self._trial)

    def timed_out(self, in_a_row: int) -> None:
        """Nothing arrived in time, so many times in a row: as `PathMtu.timed_out`."""
        self.forget()
        if self.path is not None:
            self.path.timed_out(in_a_row)

    def forget(self) -> None:
        """What is in flight tells nothing any more."""
        self._long.clear()
        self._void()

    def _void(self) -> None:
        self._trial = set()
        self._heard = set()
        if self.path is not None:
            self.path.probe_void()
