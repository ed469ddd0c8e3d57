"""One swarm: its content, its channels, and who is asked for which chunks."""

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from ppsp import _limits
from ppsp._bucket import TokenBucket
from ppsp._channel import Channel, State
from ppsp._choking import Choking
from ppsp._clock import TIMESTAMP_MASK, timestamp_us
from ppsp._content import Content, Reception
from ppsp._deadlines import Deadlines
from ppsp._download import joined
from ppsp._events import EventQueue
from ppsp._exchange import Exchange
from ppsp._offers import Offers
from ppsp._ranges import RangeSet
from ppsp._upload import Upload
from ppsp._variable_upload import upload_of
from ppsp.codec import Codec
from ppsp.constants import MessageType
from ppsp.events import (
    ChunkRefused,
    ChunksVerified,
    PeerConnected,
    PeerDisconnected,
    SizeKnown,
    StoreFailed,
    SwarmComplete,
)
from ppsp.merkle import MAX_CHUNKS
from ppsp.messages import Cancel, Data, Message, Request, SignedIntegrity
from ppsp.pex import PeerExchange
from ppsp.ports import Address, ChunkPicker, CongestionController, UploadPolicy
from ppsp.stats import PeerStats

if TYPE_CHECKING:
    from ppsp._live_content import LiveContent

#: Makes the picker of a swarm once the number of chunks is known: `(chunk_count, seed)`.
PickerFactory: TypeAlias = Callable[[int, int], ChunkPicker]

# How long the chunk that brings the peak hashes is waited for before another peer is asked for one too.
_PROBE_SECONDS = 1.0
# An idle peer takes over requests of one that needs longer than this for them, and looks for such a one this often.
_SLOW_SECONDS = 0.5
_LOOK_SECONDS = 0.25
# A peer that needs longer than this for what a reader needs next has a second one asked for it.
_LATE_SECONDS = 0.75


class Swarm:
    """Decides; the channels speak. Chunk ranges are half-open, times float seconds."""

    # What a peer must take to be served: nobody is sent a type of message that it left out (section 7.10).
    serving = frozenset({MessageType.DATA, MessageType.INTEGRITY})

    def __init__(
        self,
        content: "Content | LiveContent",
        codec: Codec,
        picker: PickerFactory | None,
        events: EventQueue,
        *,
        epoch: float,
        seed: int,
        strict: bool,
        policy: UploadPolicy | None = None,
        exchange: PeerExchange | None = None,
    ) -> None:
        self.content = content
        self.choking = Choking(policy, content)
        self.exchange = Exchange(exchange or PeerExchange(), content.metadata, events, epoch)
        self.codec = codec
        self.strict = strict
        self.channels: dict[int, Channel] = {}
        self.banned: dict[Address, None] = {}
        self.closed: list[tuple[Channel, bytes | None]] = []
        # Set when channels that had nothing to do may have something now.
        self.restless = False
        # Channels that were given something to send on behalf of another.
        self.touched: dict[Channel, None] = {}
        self.failed = False
        self.deadlines = Deadlines()
        self.offers = Offers()
        self.limit = TokenBucket(None)
        self._events = events
        self._epoch = epoch
        self._seed = seed
        self._make_picker = picker
        self._picker: ChunkPicker | None = None
        self._probing_until = -math.inf
        # Whether the last chunk under the number of chunks that a peer claims was asked for.
        self._proving = False
        self._probes = 0
        # A live stream has no number of chunks to learn.
        self._learned = content.chunk_count is not None or picker is None
        if content.chunk_count is not None:
            self._start_picking()
        self._announced = content.complete

    @property
    def swarm_id(self) -> bytes:
        """The swarm ID."""
        return self.content.metadata.swarm_id

    def open_to(self, address: Address) -> Channel | None:
        """The channel to the address: an open one, else one that we open; anybody can make a half-open one."""
        ours = [one for one in self.channels.values() if one.address == address and one.state is not State.HALF_OPEN]
        return max(ours, key=lambda channel: channel.is_open, default=None)

    @property
    def window(self) -> int | None:
        """The discard window to announce; static content has none."""
        return None

    def new_upload(self, controller: CongestionController, peer_have: RangeSet) -> Upload:
        """The sending half of a new channel, whose peer has `peer_have`."""
        return upload_of(self.content)(self.content, self.codec, controller, peer_have)

    def proof_for(self, channel: Channel) -> Sequence[Message]:
        """What every datagram to the peer starts with: the newest signed munro in live swarms, nothing in others."""
        return ()

    # What channels report

    def signed(
        self, channel: Channel, message: SignedIntegrity, hashes: dict[tuple[int, int], bytes], now: float
    ) -> str | None:
        """A signature came, which the codec of static content does not even decode."""
        return "SIGNED_INTEGRITY for static content"

    def established(self, channel: Channel, now: float) -> None:
        """The channel's handshake is complete: one channel to its address is kept."""
        known = False
        for other in [other for other in self.channels.values() if other.address == channel.address]:
            if other is channel or other.state is State.HALF_OPEN:
                continue
            young = other.state is State.OPEN and now - other.opened_at < _limits.HALF_OPEN_SECONDS
            crossing = young and other.initiated != channel.initiated
            if crossing and other.initiator_id < channel.initiator_id:
                # Both peers called at once, and both know both IDs: they keep the same one.
                self.drop(channel, "the other channel to the peer is kept", now, tell=True, report=False)
                return
            # Any other open one is of the peer's former life: that one left, and this one came.
            former = other.state is State.OPEN and not crossing
            self.drop(other, "the peer opened another channel", now, tell=crossing, report=former)
            known = known or crossing
        self.choking.touch()
        if not known:
            self._events.put_peer(PeerConnected(self.swarm_id, channel.address))

    def peer_has(self, channel: Channel, start: int, stop: int) -> list[tuple[int, int]]:
        """The peer said that it has these chunks; returns those not known before."""
        stop = min(stop, self.content.chunk_count or MAX_CHUNKS)
        parts = self.offers.add(channel.peer_have, start, stop)
        if parts:
            picker = self._picker
            if picker is None or any(picker.wants(*part) for part in parts):
                channel.download.idle = False
            if picker is not None:
                for first, end in parts:
                    picker.peer_has(first, end)
            if channel.peer_have.total == self.content.chunk_count:
                self.choking.touch()  # it needs no slot any more
        return parts

    def received(self, channel: Channel, message: Data, hashes: dict[tuple[int, int], bytes], now: float) -> str | None:
        """A chunk came; returns what is wrong with it, if that ends the conversation."""
        content, chunk = self.content, message.start
        if self.failed:
            return None
        try:
            reception = content.accept(chunk, message.payload, hashes)
            if reception is Reception.UNVERIFIABLE:
                hashes = channel.download.with_loose(hashes)
                reception = content.accept(chunk, message.payload, hashes)
        except OSError as exc:
            self.store_failed(exc)
            return None
        delay_us = (timestamp_us(now + self._epoch) - message.timestamp_us) & TIMESTAMP_MASK
        if reception is Reception.ACCEPTED:
            self._accepted(channel, chunk, len(message.payload), delay_us, now)
            return None
        return self._not_accepted(channel, chunk, reception, delay_us, now)

    def _accepted(self, channel: Channel, chunk: int, octets: int, delay_us: int, now: float) -> None:
        download = channel.download
        if unasked := chunk not in download.outstanding:
            self.limit.spend(octets)
        elif self.content.is_variable:
            self.limit.spend(octets - self.content.chunk_size)  # it was asked for as one of the usual size
            download.expect(self.content.segment_size)
        if unasked or self.deadlines.was_doubled(chunk):
            # Asked of another peer, or of two, or of none: whoever else was asked need not send it.
            for other in self.channels.values():
                if other is not channel and chunk in other.download.outstanding:
                    other.download.outstanding.discard(chunk)
                    other.send([Cancel(chunk, chunk)])
                    self.touched[other] = None
        download.received(chunk, octets, delay_us, now)
        if not self._learned and self.content.chunk_count is not None:
            self._size_known()

    def _not_accepted(
        self, channel: Channel, chunk: int, reception: Reception, delay_us: int, now: float
    ) -> str | None:
        download = channel.download
        if reception is Reception.DUPLICATE:
            download.owe(chunk, delay_us)
            return None
        if reception is Reception.UNVERIFIABLE:
            download.unverifiable += 1
            if not self._learned and chunk in download.outstanding:
                self._try_another(channel, chunk)
            return None  # "the message SHOULD be dropped" (section 5.3), not those behind it
        if reception is Reception.PROVISIONAL:
            self._try_another(channel, chunk)
            return None
        download.refused += 1
        self._events.put_peer(ChunkRefused(self.swarm_id, channel.address, chunk))
        self.exclude(channel.address, f"it sent chunk {chunk}, which {reception.value}", now)
        return f"DATA {chunk}: {reception.value}"

    def _try_another(self, channel: Channel, chunk: int) -> None:
        """A chunk did not prove the number of chunks: another one may, of this peer or the next."""
        channel.download.outstanding.discard(chunk)
        channel.send([Cancel(chunk, chunk)])
        self._proving = False
        self._probing_until = -math.inf
        self.restless = True

    def _size_known(self) -> None:
        self._learned = True
        content = self.content
        assert content.chunk_count is not None
        for channel in self.channels.values():
            channel.peer_have.remove(content.chunk_count, MAX_CHUNKS)
            channel.download.forget_from(content.chunk_count)
        self._start_picking()
        self._events.put(SizeKnown(self.swarm_id, content.chunk_count, content.content_size))
        self.restless = True

    def _start_picking(self) -> None:
        count = self.content.chunk_count
        assert count is not None
        assert self._make_picker is not None
        self._picker = self._make_picker(count, self._seed)
        self.offers.lost = self._picker.peer_lost
        for start, stop in self.content.have:
            self._picker.arrived(start, stop)
        for channel in self.channels.values():
            for start, stop in channel.peer_have:
                self._picker.peer_has(start, stop)

    def store_failed(self, error: OSError) -> None:
        """The store did not keep a chunk, or did not give back one that it holds."""
        if self.failed:
            return
        self.failed = True
        self._events.put(StoreFailed(self.swarm_id, error))
        for channel in self.channels.values():
            channel.send(Cancel(start, stop - 1) for start, stop in channel.download.give_up())
            self.touched[channel] = None

    # Batches

    def settle(self, now: float) -> bool:
        """Take in what the batch of datagrams brought, for peers and user; returns whether there were any chunks."""
        content = self.content
        try:
            ranges = content.merge()
        except OSError as exc:
            self.store_failed(exc)
            return False
        for start, stop in ranges:
            if self._picker is not None:
                self._picker.arrived(start, stop)
            self._events.put(ChunksVerified(self.swarm_id, start, stop))
            for channel in self.channels.values():
                if channel.state is State.OPEN:
                    channel.add_news(start, stop, now)
        if ranges and content.complete and not self._announced:
            self._announced = True
            assert content.content_size is not None
            self._events.put(SwarmComplete(self.swarm_id, content.content_size))
        return bool(ranges)

    # Requests

    def schedule(self, channel: Channel, now: float) -> None:
        """Ask the peer for chunks, if it is worth asking."""
        download = channel.download
        channel.last_looked = now
        if channel.state is State.OPEN:
            self.exchange.ask(channel, now, complete=self._announced)
        if channel.state is not State.OPEN or self.failed or download.choked or download.idle:
            return
        if not channel.understands(MessageType.REQUEST):
            return  # it sends what it likes (section 3.7), and is not waited for
        if self._announced or now < self._rests_until(channel, now):
            return
        if self._picker is None:
            self._probe(channel, now)
            return
        room = download.room(now)
        allowed = self.limit.chunks(self.content.chunk_size, now, in_turn=True) if room else None
        room = room if allowed is None else min(room, allowed)
        if not room:
            return
        ranges = self._take(channel, room, now)
        if not ranges and not download.outstanding:
            ranges = self._take_over(channel, now)
        if ranges:
            self._ask(channel, ranges, now)
        elif not download.outstanding:
            download.idle = True

    def _take(self, channel: Channel, most: int, now: float) -> list[tuple[int, int]]:
        picker, count = self._picker, self.content.chunk_count
        assert picker is not None
        if not self.deadlines or count is None:
            return picker.take(channel.peer_have, most)
        late = [
            other.download.outstanding
            for other in self.channels.values()
            if other is not channel and other.download.expected_seconds(now) > _LATE_SECONDS
        ]
        twice = self.deadlines.double(late, channel.peer_have, channel.download.outstanding) if late else []
        return twice + self.deadlines.take(picker, channel.peer_have, most, count)

    def prioritise(self, reader: Hashable, start: int, stop: int) -> None:
        """A reader is at `start` and will want what is before `stop`: as `Endpoint.prioritise`."""
        jumped = self.deadlines.prioritise(reader, start, stop)
        count = self.content.chunk_count
        if not jumped or count is None or self.content.have.covers(start, min(stop, count)):
            return
        near = self.deadlines.near()
        for channel in self.channels.values():
            self._withdraw(channel, channel.download.give_up_outside(near))
            self.touched[channel] = None

    def set_picker(self, picker: PickerFactory) -> None:
        """Decide by another picker from now on; what was asked for is asked for anew."""
        self._make_picker = picker
        for channel in self.channels.values():
            self.withdraw(channel)
            self.touched[channel] = None
        if self._picker is not None:
            self._start_picking()

    def _probe(self, channel: Channel, now: float) -> None:
        """Ask for one chunk: the peak hashes come with it, and only the last one proves them (section 5.6)."""
        if channel.download.outstanding:
            return
        offered = channel.peer_have
        claimed = self.content.claimed_count
        if claimed is not None and not self._proving and claimed - 1 in offered:
            self._proving = True
            chunk: int | None = claimed - 1
        elif now >= self._probing_until:
            # The last chunk may be as long as two hashes, which proves nothing by itself: then the first one helps.
            chunk = offered.first_at_or_after(0) if self._probes % 2 else offered.last_before(MAX_CHUNKS)
            self._probes += 1
        else:
            return
        if chunk is not None:
            self._probing_until = now + _PROBE_SECONDS
            self._ask(channel, [(chunk, chunk + 1)], now)

    def _ask(self, channel: Channel, ranges: list[tuple[int, int]], now: float) -> None:
        channel.download.asked(ranges, now)
        self.limit.spend(sum(stop - start for start, stop in ranges) * self.content.chunk_size)
        channel.send(Request(start, stop - 1) for start, stop in joined(ranges))

    def _take_over(self, channel: Channel, now: float) -> list[tuple[int, int]]:
        """Requests of the slowest peer for one that has nothing to do; the slow one is told by CANCEL (section 3.8)."""
        asked_before = now - _SLOW_SECONDS
        slowest = max(
            (
                other
                for other in self.channels.values()
                if other is not channel and other.download.outstanding and other.download.asked_last <= asked_before
            ),
            key=lambda other: other.download.expected_seconds(now),
            default=None,
        )
        if slowest is None or slowest.download.expected_seconds(now) < _SLOW_SECONDS:
            return []
        ours: list[tuple[int, int]] = []
        cancelled: list[Message] = []
        for start, stop in slowest.download.give_up_half():
            if channel.peer_have.covers(start, stop):
                ours.append((start, stop))
                self.limit.spend((start - stop) * self.content.chunk_size)
                cancelled.append(Cancel(start, stop - 1))
            else:
                slowest.download.outstanding.update(range(start, stop))
        slowest.send(cancelled)
        self.touched[slowest] = None
        return ours

    def looks_again_at(self, channel: Channel) -> float | None:
        """When a peer that is not asked for anything may be asked again, without any message from it."""
        download = channel.download
        if download.outstanding or download.choked or self._announced or self.failed or not channel.peer_have:
            return None
        rested = self._rests_until(channel, channel.last_looked)
        if self._picker is None:
            at = max(self._probing_until, rested)
        elif download.idle:
            at = max(channel.last_looked + _LOOK_SECONDS, rested)
        else:
            at = rested
        return at if at > channel.last_looked else None

    def _rests_until(self, channel: Channel, now: float) -> float:
        """A peer that let its requests lapse is left alone for a while, if there is another one to ask."""
        until = channel.download.resting_until
        if until > now and any(
            other.download.resting_until < until
            and other.peer_have
            and other.understands(MessageType.REQUEST)
            and not (other.download.choked or other.download.idle)
            for other in self.channels.values()
        ):
            return until
        return -math.inf

    def lapsed(self, channel: Channel, now: float) -> None:
        """The peer let its requests lapse."""
        self.withdraw(channel)
        channel.download.lapse(now)

    def withdraw(self, channel: Channel) -> None:
        """What was asked of the peer is asked of others, and it is told (section 3.8)."""
        self._withdraw(channel, channel.download.give_up())

    def _withdraw(self, channel: Channel, ranges: list[tuple[int, int]]) -> None:
        channel.send(Cancel(start, stop - 1) for start, stop in ranges)
        self.give_back(ranges)

    def give_back(self, ranges: Iterable[tuple[int, int]]) -> None:
        """These chunks are not coming from the peer that was asked."""
        if self._picker is not None:
            for start, stop in ranges:
                self._picker.give_back(start, stop)
                self.deadlines.freed(start, stop)
                self.limit.spend((start - stop) * self.content.chunk_size)
        self._probing_until = -math.inf
        self.restless = True

    def wake_all(self) -> None:
        """Chunks have become free: every peer may be asked again."""
        self.restless = False
        for channel in self.channels.values():
            channel.download.idle = False

    # Endings

    def drop_own(self, channel: Channel, address: Address, now: float) -> None:
        """The channel leads to this endpoint itself: trackers do return one's own address."""
        self._ban(address)
        self.drop(channel, "it is our own", now, tell=False, report=False)

    def drop(self, channel: Channel, reason: str, now: float, *, tell: bool, report: bool = True) -> None:
        """Close the channel; `tell` says so to the peer (section 3.1.1 step 8), `report` to the user."""
        if channel.state is State.CLOSED:
            return
        if report and channel.state is not State.HALF_OPEN:  # of a half-open one the user has not heard
            stats = PeerStats.of(channel)
            self._events.put_peer(PeerDisconnected(self.swarm_id, channel.address, reason, stats))
        self.forget(channel)
        channel.state = State.CLOSED
        del self.channels[channel.channel_id]
        self.closed.append((channel, channel.closing() if tell else None))
        self.choking.forget(channel)
        self.exchange.forget(channel)
        channel.upload.forget()

    def forget(self, channel: Channel) -> None:
        """What the peer had and what it was asked for counts no more."""
        if self._picker is not None:
            for start, stop in channel.peer_have:
                self._picker.peer_lost(start, stop)
        self.offers.forget(channel.peer_have)
        if channel.state is State.OPEN:  # no other was asked for anything, and nobody looks for work in its stead
            self.give_back(channel.download.give_up())

    def exclude(self, address: Address, reason: str, now: float) -> None:
        """Stop further communication with a bad peer (sections 3 and 12.7)."""
        self._ban(address)
        for channel in [channel for channel in self.channels.values() if channel.address == address]:
            self.drop(channel, reason, now, tell=True)

    def _ban(self, address: Address) -> None:
        self.banned[address] = None
        while len(self.banned) > _limits.MAX_BANNED:
            del self.banned[next(iter(self.banned))]
