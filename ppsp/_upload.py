"""The sending half of a channel: what the peer asked for, what is in flight to it, and what was lost."""

import math
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ppsp._content import Content
from ppsp._limits import BLOCK, BURST_CHUNKS, MAX_REQUEST_RANGES, OWN_HAVE_RANGES
from ppsp._packing import Packing, Piece, Sent
from ppsp._ranges import RangeSet
from ppsp.codec import Codec
from ppsp.constants import CHANNEL_ID_SIZE
from ppsp.messages import Have, Integrity
from ppsp.ports import CongestionController, Datagram

if TYPE_CHECKING:
    from ppsp._live_content import LiveContent

# A chunk is lost when one sent a good while later has arrived, as in RACK (RFC 8985): PPSPP has no packet numbers, and
# the chunks of a burst all carry one time, so that their order inside the burst does not matter.
_REORDERING = 0.25
_MIN_REORDERING_SECONDS = 0.001
# A probe goes out when nothing was acknowledged for two round trips; doubled each time.
_MIN_PROBE_SECONDS = 0.02
_MAX_PROBES = 5
# After so many congestion timeouts in a row the peer's requests are forgotten: it will ask again if it lives.
_MAX_TIMEOUTS = 6
_FAR = 1 << 62
_SIGN = 1 << 63
_MODULUS = 1 << 64


class Upload:
    """Serves one peer's requests under its congestion window. Chunk ranges are half-open, sizes octets of chunks."""

    __slots__ = (
        "_acked",
        "_again",
        "_cancelled",
        "_codec",
        "_content",
        "_controller",
        "_data_size",
        "_halved_at",
        "_in_flight",
        "_integrity_size",
        "_known",
        "_latest_acked",
        "_lost",
        "_min_rtt",
        "_newest",
        "_peer_have",
        "_probe",
        "_probes",
        "_queue",
        "_size_is_told",
        "_srtt",
        "_timeouts",
        "_touched",
        "_wanted",
        "chunks_lost",
        "chunks_sent",
        "flight",
        "knows_size",
        "octets_sent",
        "packing",
        "packs",
    )

    def __init__(
        self, content: "Content | LiveContent", codec: Codec, controller: CongestionController, peer_have: RangeSet
    ) -> None:
        self._content = content
        self._codec = codec
        self._controller = controller
        self._peer_have = peer_have
        # What the peer holds, or will when what is in flight arrives: section 5.3 lets its hashes be left out.
        self._known = RangeSet()
        self._queue: deque[tuple[int, int]] = deque()
        self._wanted = RangeSet(max_ranges=MAX_REQUEST_RANGES)
        self._lost = RangeSet()
        # Chunks that the peer asked for although it has said that it has them, and that it has not named since.
        self._again = RangeSet(max_ranges=MAX_REQUEST_RANGES)
        self._in_flight: dict[int, Sent] = {}
        # What the peer has cancelled and not asked for since: what is on its way of that is not sent again.
        self._cancelled = RangeSet(max_ranges=MAX_REQUEST_RANGES)
        # What the datagram being read acknowledges: octets, and the record that was sent last.
        self._acked = 0
        self._newest: Sent | None = None
        self._latest_acked = -math.inf
        self._halved_at = -math.inf
        self._touched = 0.0
        self._srtt: float | None = None
        self._min_rtt = 0.0
        # The chunk to send once more, outside the window, to learn what became of the rest.
        self._probe: int | None = None
        self._probes = 0
        self._timeouts = 0
        self._data_size = len(codec.data_header(1, 0, 0, 0, []))
        self._integrity_size = len(codec.encode(1, [Have(0, 0)])) - CHANNEL_ID_SIZE + codec.hash_size
        # Whether several chunks may share a datagram: peers that predate the chunk size option read only the last one.
        self.packs = False
        self.packing = Packing(
            self._data_size - CHANNEL_ID_SIZE + content.chunk_size, varies=content.metadata.is_variable
        )
        self.flight = 0
        # A lone chunk needs no peak hash where the metadata tell the size (section 8.16). Otherwise the peaks are sent
        # even then, since the peer may have joined by a URI without the size.
        self._size_is_told = content.metadata.expected_chunks == 1
        self.knows_size = self._size_is_told
        self.chunks_sent = self.chunks_lost = self.octets_sent = 0

    @property
    def srtt(self) -> float | None:
        """The smoothed round-trip time in seconds."""
        return self._srtt

    @property
    def cwnd(self) -> int:
        """The congestion window in octets."""
        return self._controller.cwnd

    def request(self, start: int, stop: int, most: int = MAX_REQUEST_RANGES) -> int:
        """The peer asks for chunks; those we do not hold are passed over (a REQUEST is a hint, section 3.7).

        Returns in how many pieces we hold them; beyond `most`, or what the queue takes, nobody looks.
        """
        have = self._content.have
        at = have.first_at_or_after(start)
        pieces = 0
        while at is not None and at < stop and pieces < most and len(self._queue) < MAX_REQUEST_RANGES:
            pieces += 1
            covering = have.covering(at)
            assert covering is not None
            end = min(stop, covering[1])
            if self._peer_have.intersects(at, end):
                self._again.add(at, end)
            if self._wanted.add(at, end):
                self._queue.append((at, end))  # one entry, in however many pieces: `_wanted` knows which count
            self._cancelled.remove(at, end)
            at = have.first_at_or_after(end)
        return pieces

    def cancel(self, start: int, stop: int) -> None:
        """The peer no longer wants these chunks (section 3.8). What is on its way is not sent again when it is lost."""
        self._not_wanted(start, stop)
        self._cancelled.add(start, stop)

    def _not_wanted(self, start: int, stop: int) -> None:
        self._wanted.remove(start, stop)
        self._lost.remove(start, stop)

    def _sent_in(self, start: int, stop: int) -> list[int]:
        """The chunks of a range that are in flight, by whichever way is shorter."""
        in_flight = self._in_flight
        if stop - start <= len(in_flight):
            return [chunk for chunk in range(start, stop) if chunk in in_flight]
        return [chunk for chunk in in_flight if start <= chunk < stop]

    def forget(self) -> None:
        """Drop every request."""
        self._queue.clear()
        self._wanted.clear()
        self._lost.clear()

    def start_over(self, now: float) -> None:
        """The peer has forgotten everything: what was in flight, wanted and known."""
        self.packing.forget()
        self._lose(list(self._in_flight), now)
        self.forget()
        self._probe = None
        self._known.clear()
        self.knows_size = self._size_is_told

    def asked_again(self, start: int, stop: int) -> list[tuple[int, int]]:
        """The peer said that it has these chunks: those of them, as ranges, that it asked for after it had said so."""
        return self._again.remove(start, stop)

    def peer_has(self, start: int, stop: int) -> None:
        """The peer said, in a HAVE or an ACK, that it has chunks it was not known to have: it no longer wants them.

        `end_datagram` follows when all of the datagram is read: its delay samples may stand before or behind.
        """
        # Where the metadata tell the size, who has a chunk of somebody else may have verified it without any peak.
        self.knows_size = self.knows_size or self._content.metadata.expected_chunks is None
        self._known.add(start, stop)
        # What the peer gave up for another one (see `Offers`) must not pile up here; to know less costs some hashes.
        if self._known.range_count > self._peer_have.range_count + len(self._in_flight) + OWN_HAVE_RANGES:
            self._known = self._peer_have.copy()
        self._not_wanted(start, stop)
        if not self._in_flight:
            return
        sent = self._sent_in(start, stop)
        records = [self._in_flight.pop(chunk) for chunk in sent]
        self.packing.arrived(sent, records)
        for record in records:
            self.flight -= record[1]
            self._acked += record[1]
            if self._newest is None or record[0] >= self._newest[0]:
                self._newest = record

    def end_datagram(self, delays: Sequence[int], now: float) -> None:
        """A datagram with a HAVE or an ACK was read; `delays` are the samples of its ACKs, as on the wire."""
        newest, self._newest = self._newest, None
        acked, self._acked = self._acked, 0
        if newest is None:
            return
        self.packing.settle(acknowledged=bool(delays))
        if not delays:
            # A HAVE may have waited for company: it says that the chunks arrived, and nothing of the path.
            self._controller.on_ack(acked=acked, delays_us=(), rtt=None, now=now)
            return
        rtt = None
        if not newest[2]:
            rtt = max(now - newest[0], 0.0)
            if self._srtt is None:
                self._srtt = self._min_rtt = rtt
            else:
                self._srtt += (rtt - self._srtt) / 8
                self._min_rtt = min(self._min_rtt, rtt)
        self.knows_size = True  # the peaks went with what it acknowledges
        samples = [delay - _MODULUS if delay >= _SIGN else delay for delay in delays]
        self._controller.on_ack(acked=acked, delays_us=samples, rtt=rtt, now=now)
        self._probes = self._timeouts = 0
        self._touched = now
        if not (newest[2] and now - newest[0] < self._min_rtt):
            # (What was sent twice and is acknowledged sooner than can be was delayed, not lost: RFC 8985 section 6.2.)
            self._latest_acked = max(self._latest_acked, newest[0])
            self._detect_losses(now)

    def _detect_losses(self, now: float) -> None:
        before = self._latest_acked - max((self._srtt or 0.0) * _REORDERING, _MIN_REORDERING_SECONDS)
        lost = []
        for chunk, record in self._in_flight.items():  # in the order of sending
            if record[0] >= before:
                break
            lost.append(chunk)
        self._lose(lost, now)

    def _lose(self, chunks: Sequence[int], now: float) -> None:
        records = [self._in_flight.pop(chunk) for chunk in chunks]
        was_probe = self.packing.lost(chunks, records)
        for chunk in chunks:
            self._known.remove(chunk, chunk + 1)
            if chunk not in self._cancelled:
                self._lost.add(chunk, chunk + 1)
        if not records:
            return
        octets = sum(record[1] for record in records)
        self.chunks_lost += len(chunks)
        self.flight -= octets
        if was_probe:
            # No sign of congestion (RFC 4821 section 7.2, RFC 8899 section 3): it just leaves the flight.
            self._controller.on_ack(acked=octets, delays_us=(), rtt=None, now=now)
        else:
            self._tell_of_loss(octets, max(record[0] for record in records), now)

    def _tell_of_loss(self, octets: int, newest: float, now: float) -> None:
        """Each transmission is counted as sent, so the lost one leaves the flight whether or not another follows.

        What left before the window was halved is of the loss event that halved it, however late that shows: "As with
        TCP NewReno" (RFC 6817 section 3.2.2). For want of hashes that were lost, the peer drops chunks that arrived.
        """
        event = now if newest >= self._halved_at else self._halved_at
        before = self._controller.cwnd
        self._controller.on_loss(lost=octets, will_retransmit=False, now=event)
        if self._controller.cwnd < before:
            self._halved_at = now

    def too_long(self, size: int, now: float) -> None:
        """The kernel took no datagram of so many octets: if that was a probe, its chunks go out again."""
        self._lose(self.packing.too_long(size), now)

    def deadline(self) -> float | None:
        """When `handle_timer` is due; None while nothing is in flight."""
        if not self._in_flight:
            return None
        timeout = self._controller.get_timer()
        if self._srtt is None or self._probes >= _MAX_PROBES:
            return timeout
        probe = self._touched + max(2 * self._srtt, _MIN_PROBE_SECONDS) * (1 << self._probes)
        return probe if timeout is None else min(probe, timeout)

    def handle_timer(self, now: float) -> None:
        """Probe the tail, or take everything in flight for lost after a congestion timeout."""
        due = self.deadline()
        if due is None or due > now:
            return
        timeout = self._controller.get_timer()
        if timeout is None or timeout > now:
            self._probes += 1
            self._touched = now
            # What was sent last (RFC 8985 section 7.3): an ACK of it, and be it of the first time it was sent by a peer
            # that had no time, comes behind those of all the others, and does not make them look lost.
            self._probe = next((chunk for chunk in reversed(self._in_flight) if chunk not in self._cancelled), None)
            return
        self._controller.on_timeout(now)
        self._timeouts += 1
        self.packing.timed_out(self._timeouts)
        self._touched = now
        self._lose(list(self._in_flight), now)
        self._known = self._peer_have.copy()
        if self._timeouts >= _MAX_TIMEOUTS:
            self.forget()

    @property
    def ready(self) -> bool:
        """Whether a datagram may leave now, as far as this channel goes."""
        return self._probe is not None or bool((self._queue or self._lost) and self._room() > 0)

    def _room(self) -> int:
        chunks = (self._controller.cwnd - self.flight) // self._content.chunk_size
        # A window below one chunk must still let one out, or the transfer would stand for ever.
        return int(chunks) if chunks > 0 or self._in_flight else 1

    def datagrams(self, channel: int, timestamp_us: int, most: int, now: float) -> list[Datagram]:
        """DATA datagrams for at most `most` chunks. Raises OSError when the store does."""
        out: list[Datagram] = []
        self.packing.look(now)
        if self._probe is not None:
            self._send_probe(channel, timestamp_us, out, now)
        room = min(self._room(), most, BURST_CHUNKS)
        while room > 0:
            resent = bool(self._lost)
            run = self._next_run(room)
            if run is None:
                break
            octets = self._run_datagrams(channel, timestamp_us, run, resent, out)
            room -= run[1] - run[0]
            self._record(run, octets, resent, now)
        return out

    def _send_probe(self, channel: int, timestamp_us: int, out: list[Datagram], now: float) -> None:
        chunk, self._probe = self._probe, None
        if chunk is not None and chunk in self._in_flight:
            self.packing.resent(chunk)
            self._run_datagrams(channel, timestamp_us, (chunk, chunk + 1), True, out)
            # To the end of the line, which is kept in the order of sending.
            self._in_flight[chunk] = (now, self._in_flight.pop(chunk)[1], True)

    def _record(self, run: tuple[int, int], octets: int, resent: bool, now: float) -> None:
        start, stop = run
        if not self._in_flight:
            self._touched = now
        size = self._content.chunk_size
        for chunk in range(start, stop):
            self._in_flight[chunk] = (now, size, resent)
        if octets != size * (stop - start):  # the last chunk is short
            self._in_flight[stop - 1] = (now, size - (size * (stop - start) - octets), resent)
        self.flight += octets
        self.octets_sent += octets
        self.chunks_sent += stop - start
        self._known.add(start, stop)
        for chunk in self.packing.on_trial(start, stop):
            self._known.remove(chunk, chunk + 1)
        self._controller.on_sent(sent=octets, now=now)

    def _next_run(self, most: int) -> tuple[int, int] | None:
        """Adjacent chunks of one block to send next: what was lost first, then the requests in their order."""
        for start, stop in self._lost:
            stop = min(stop, start + most, (start // BLOCK + 1) * BLOCK)
            self._lost.remove(start, stop)
            return start, stop
        queue = self._queue
        while queue:
            start, end = queue[0]
            at = self._wanted.first_at_or_after(start)
            if at is None or at >= end:
                queue.popleft()
                continue
            covering = self._wanted.covering(at)
            assert covering is not None
            stop = min(end, covering[1], at + most, (at // BLOCK + 1) * BLOCK)
            in_flight = self._in_flight
            if at in in_flight:  # asked for again while it is on its way
                self._wanted.remove(at, at + 1)
                queue[0] = (at + 1, end)
                continue
            stop = next((chunk for chunk in range(at + 1, stop) if chunk in in_flight), stop)
            self._wanted.remove(at, stop)
            queue[0] = (stop, end)
            return at, stop
        return None

    def _run_datagrams(
        self, channel: int, timestamp_us: int, run: tuple[int, int], resent: bool, out: list[Datagram]
    ) -> int:
        """Append the run's datagrams; returns the octets of its chunks.

        Those with most hashes go first: a chunk then follows the one that brings its uncles, and datagrams of equal
        size stand together.
        """
        start, stop = run
        content = self._content
        assert isinstance(content, Content)
        size = content.chunk_size
        uncles = content.tree.uncles
        view = content.read(start, stop)
        told, left, right = self._known_around(start, stop, resent)
        groups: dict[int, list[tuple[int, list[tuple[int, int, bytes]]]]] = {}
        for chunk in range(start, stop):
            hashes = uncles(chunk, left=left, right=right)
            left = chunk
            group = groups.get(len(hashes))
            if group is None:
                groups[len(hashes)] = [(chunk, hashes)]
            else:
                group.append((chunk, hashes))
        limit = self._integrity_limit(size)
        header = self._codec.data_header
        # Elsewhere each has a datagram of its own, and so has the last chunk, which may be short (section 8.6).
        packs = self.packs and self.packing.shares
        pieces: list[Piece] = []
        last = (content.chunk_count or 0) - 1
        for count in sorted(groups, reverse=True):
            for chunk, hashes in groups[count]:
                if count > limit or not told:
                    hashes = self._send_ahead(channel, hashes, limit, out, peaks=not told)
                at = (chunk - start) * size
                payload = view[at : at + size]
                head = header(channel, chunk, chunk, timestamp_us, hashes, len(payload))
                if packs:
                    pieces.append((chunk, head, payload))
                else:
                    out.append((head, payload))
        if packs:
            self.packing.pack(pieces, last, out, may_probe=told and not resent)
        return len(view)

    def _known_around(self, start: int, stop: int, resent: bool) -> tuple[bool, int, int]:
        """Whether the peer knows the content's size; and the nearest chunks whose hashes it knows, as for `uncles`.

        What was lost is sent with the hashes that the peer surely lacks, whatever else is on its way. And who asks for
        a chunk that it had has lost it, and may have lost all its hashes.
        """
        told = self.knows_size and not self._peer_have.intersects(start, stop)
        known = RangeSet() if self.knows_size and not told else self._peer_have if resent else self._known
        left, right = known.last_before(start), known.first_at_or_after(stop)
        return told, -1 if left is None else left, _FAR if right is None else right

    def _send_ahead(
        self, channel: int, hashes: list[tuple[int, int, bytes]], limit: int, out: list[Datagram], *, peaks: bool
    ) -> list[tuple[int, int, bytes]]:
        """The hashes that go with the chunk; those for which there is no room leave first, on their own (section 5.4).

        Until the peer has shown that it knows the content's size, the peak hashes come before all others (section 5.6).
        """
        if peaks and isinstance(self._content, Content):
            hashes = self._content.tree.peaks() + hashes
        if len(hashes) <= limit:
            return hashes
        ahead = hashes[: len(hashes) - limit]
        per_datagram = (self.packing.limit - CHANNEL_ID_SIZE) // self._integrity_size
        messages = [Integrity(*node) for node in ahead]
        encode = self._codec.encode
        out += [encode(channel, messages[at : at + per_datagram]) for at in range(0, len(ahead), per_datagram)]
        return hashes[len(hashes) - limit :]

    def _integrity_limit(self, chunk_size: int) -> int:
        """INTEGRITY messages that fit beside a chunk."""
        return self.packing.room_beside(chunk_size, self._data_size) // self._integrity_size
