"""The sending half of a channel of a live swarm: chunks with the signed munro above them (RFC 7574 section 6.1.2.3)."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ppsp._limits import MAX_LIVE_RANGES
from ppsp._ranges import RangeSet
from ppsp._subtree import Subtree
from ppsp._upload import Upload
from ppsp.constants import CHANNEL_ID_SIZE
from ppsp.live import Munro
from ppsp.messages import Message, SignedIntegrity
from ppsp.ports import CongestionController, Datagram

if TYPE_CHECKING:
    from ppsp._live_content import LiveContent
    from ppsp.codec import Codec

# A munro goes with the first chunk below it in a burst, and again with every so many: one lost datagram does not make
# the rest of the burst worthless, and INTEGRITY messages stay near one a chunk.
_REPEAT = 8
_FAR = 1 << 64


class LiveUpload(Upload):
    """Serves one peer's requests. Until the peer shows that it has a chunk below a munro, that goes with its chunks."""

    __slots__ = ("_live",)

    def __init__(
        self, content: "LiveContent", codec: "Codec", controller: CongestionController, peer_have: RangeSet
    ) -> None:
        super().__init__(content, codec, controller, peer_have)
        self._live = content

    def peer_has(self, start: int, stop: int) -> None:
        """As `Upload.peer_has`; what slides out of the peer's window must not pile up here."""
        super().peer_has(start, stop)
        self._known.keep_newest(MAX_LIVE_RANGES)

    def discard(self, gone: Iterable[tuple[int, int]], low: int) -> None:
        """These chunks are not held any more, not even to be sent again; nothing below `low` is of interest."""
        for start, stop in gone:
            self.cancel(start, stop)
        self._known.remove(0, low)

    def _run_datagrams(
        self, channel: int, timestamp_us: int, run: tuple[int, int], resent: bool, out: list[Datagram]
    ) -> int:
        octets = 0
        sent: dict[int, int] = {}
        for chunk in range(*run):
            held = self._live.chunk(chunk)
            if held is None:
                continue  # it left the window while it was on its way
            payload, signature = held
            octets += len(payload)
            entry = self._live.munro_of(chunk)
            proof: tuple[Message, ...] = ()
            hashes: list[tuple[int, int, bytes]] = []
            if signature:
                stamp = int.from_bytes(signature[:8], "big")
                proof = (SignedIntegrity(chunk, chunk, stamp, signature[8:]),)
            elif entry is not None:
                munro, subtree = entry
                hashes = self._hashes(chunk, subtree, run[0], resent)
                count = sent.get(munro.start, 0)
                sent[munro.start] = count + 1
                if not count % _REPEAT and not self._has_shown(munro, chunk):
                    proof = munro.messages
            self._chunk_datagrams(channel, timestamp_us, chunk, payload, proof, hashes, out)
        return octets

    def _has_shown(self, munro: Munro, chunk: int) -> bool:
        """Whether the peer said that it has a chunk below the munro; asking for one that it had, it takes that back."""
        have = self._peer_have
        return have.intersects(munro.start, munro.end + 1) and chunk not in have

    def _hashes(self, chunk: int, subtree: Subtree, first: int, resent: bool) -> list[tuple[int, int, bytes]]:
        """The uncles that the peer lacks; what goes before in the same burst counts as known (section 5.3)."""
        known = self._peer_have if resent else self._known
        if chunk in self._peer_have:
            left, right = -1, _FAR
        else:
            before, after = known.last_before(chunk), known.first_at_or_after(chunk + 1)
            left = -1 if before is None else before
            right = _FAR if after is None or after >= subtree.start + subtree.width else after
        if chunk > first:
            left = chunk - 1
        return subtree.uncles(chunk, left=left if left >= subtree.start else -1, right=right)

    def _chunk_datagrams(
        self,
        channel: int,
        timestamp_us: int,
        chunk: int,
        payload: bytes,
        proof: tuple[Message, ...],
        hashes: list[tuple[int, int, bytes]],
        out: list[Datagram],
    ) -> None:
        """Append the chunk's datagram; before it, what does not fit beside the chunk."""
        ahead = self._codec.encode(channel, proof) if proof else b""
        beside = self._data_size + len(hashes) * self._integrity_size + len(payload)
        if ahead and len(ahead) - CHANNEL_ID_SIZE + beside > self.packing.limit:
            out.append(ahead)  # "MUST be sent first in a separate datagram" (section 6.1.1)
            ahead = b""
        if len(hashes) > (limit := self._integrity_limit(len(payload))):
            hashes = self._send_ahead(channel, hashes, limit, out, peaks=False)
        header = self._codec.data_header(channel, chunk, chunk, timestamp_us, hashes, len(payload))
        out.append((ahead + header[CHANNEL_ID_SIZE:] if ahead else header, payload))
