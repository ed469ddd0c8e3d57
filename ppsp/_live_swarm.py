"""One live swarm: its munros, its window, its playback point, and who is asked for which chunks."""

import math
from collections.abc import Iterable, Sequence

from ppsp._channel import Channel, State
from ppsp._clock import TIMESTAMP_MASK, timestamp_us
from ppsp._content import Reception
from ppsp._events import EventQueue
from ppsp._handshake import chunks_of_window
from ppsp._limits import MAX_LIVE_RANGES, MAX_LOOSE_HASHES
from ppsp._live_content import LiveContent
from ppsp._live_picker import SAME_RETRY_SECONDS, LivePicker
from ppsp._live_upload import LiveUpload
from ppsp._ranges import RangeSet
from ppsp._swarm import Swarm
from ppsp._unit_codecs import codec_of
from ppsp.constants import MessageType
from ppsp.events import ChunksVerified, MunroRefused
from ppsp.live import Munro, MunroVerdict, MunroVerifier
from ppsp.messages import Cancel, Data, Message, SignedIntegrity
from ppsp.pex import PeerExchange
from ppsp.ports import UploadPolicy

_FAR = 1 << 64
# The empty munro that ends a broadcast is acknowledged by nothing: it is sent so often, in doubling intervals.
_FAREWELLS = 6
_FAREWELL_SECONDS = 0.25
# A live source has news several times a second. Who is silent for longer, then twice as long and so on, is asked again
# whether it knows us: it may have been killed and started anew on the same port.
_SILENCE_SECONDS = 2.0
_MAX_SILENCES = 6
# Chunks that wait for hashes: those of two bursts.
_MAX_WAITING = 128
# At most so many chunks that are overdue are asked for beyond the request window.
_MAX_OVERDUE = 16


class LiveSwarm(Swarm):
    """A swarm without end. `behind` is how many chunks before the newest munro a viewer tunes in."""

    content: LiveContent

    def __init__(
        self,
        content: LiveContent,
        events: EventQueue,
        *,
        behind: int,
        max_age: float | None,
        policy: UploadPolicy | None,
        exchange: PeerExchange | None,
        epoch: float,
        seed: int,
        strict: bool,
    ) -> None:
        super().__init__(
            content,
            codec_of(content.metadata),
            None,
            events,
            policy=policy,
            exchange=exchange,
            epoch=epoch,
            seed=seed,
            strict=strict,
        )
        self.picker = LivePicker(seed)
        self.verifier = MunroVerifier(content.metadata, max_age=max_age)
        self.watching = True
        self._behind = behind
        self._started = False
        self._sign_all = not content.metadata.hash_size
        signed = frozenset({MessageType.DATA, MessageType.SIGNED_INTEGRITY})
        self.serving = signed if self._sign_all else signed | self.serving
        self._farewells: dict[Channel, tuple[int, float]] = {}
        # When a silent peer was last heard, and how often it was asked since.
        self._silent: dict[Channel, tuple[float, int]] = {}
        # Chunks without all their hashes, who sent them, what came with them, and when.
        self._waiting: dict[int, tuple[Channel, Data, dict[tuple[int, int], bytes], float]] = {}

    @property
    def window(self) -> int:
        """The discard window to announce (section 7.9), in chunks."""
        return self.content.window

    # The source

    def publish(self, munro: Munro) -> None:
        """A munro of our own: its chunks are in the content."""
        self.verifier.width = munro.end - munro.start + 1
        self._end_with(munro)

    def _end_with(self, munro: Munro) -> None:
        if munro.hash == bytes(len(munro.hash)):
            for channel in self.channels.values():
                self.touched[channel] = None

    def seek(self, chunk: int) -> None:
        """The viewer wants to see the stream from `chunk` on."""
        self.content.position = chunk
        self._started = self.restless = True

    def following(self, chunk: int) -> int | None:
        """Where to go on when a chunk cannot be had: at the next one that is held, or else as if tuning in now."""
        held = self.content.have.first_at_or_after(chunk + 1)
        if held is not None or self.content.newest is None:
            return held
        start = self.content.newest.start - self._behind
        return start if start > chunk else None

    # What channels report

    def signed(
        self, channel: Channel, message: SignedIntegrity, hashes: dict[tuple[int, int], bytes], now: float
    ) -> str | None:
        """A signed munro came, its hash before it in the same datagram; or the signature of a chunk under Sign All."""
        span = (message.start, message.end)
        if self._sign_all:
            # It goes with the hashes: as they do, it may come in a datagram before its chunk's.
            hashes[span] = message.ntp_timestamp.to_bytes(8, "big") + message.signature
            return None
        digest = hashes.get(span)
        if digest is None:
            return f"SIGNED_INTEGRITY {message.start} to {message.end}: no INTEGRITY for it in the datagram"
        munro = Munro(*span, digest, message.ntp_timestamp, message.signature)
        known = self.content.munro_of(munro.start)
        if known is not None and known[0].start == munro.start:
            return None
        asked = any(munro.start <= chunk <= munro.end for chunk in channel.download.outstanding)
        if not asked and munro.end < self.content.edge - self.content.window:
            return None
        verdict = self.verifier.check(munro, now + self._epoch, asked=asked)
        if verdict is MunroVerdict.GOOD:
            self.content.add_munro(munro)
            self._grown()
            self._end_with(munro)
            return None
        self._events.put_peer(MunroRefused(self.swarm_id, channel.address, munro.start, verdict.value))
        if verdict is MunroVerdict.TOO_OLD:
            return None  # "the peer MUST discard the message" (section 6.1.2.4), not what follows
        if verdict is MunroVerdict.FORGED:
            self.exclude(channel.address, f"it sent a munro over chunk {munro.start} that is forged", now)
        return f"SIGNED_INTEGRITY {munro.start} to {munro.end}: {verdict.value}"

    def _grown(self) -> None:
        """Pick the tune-in point: by the newest munro of all peers, until the first chunk has come."""
        content = self.content
        if self.watching and not self._started and content.newest is not None:
            content.position = max(content.newest.start - self._behind, 0)
        self.restless = True

    def peer_has(self, channel: Channel, start: int, stop: int) -> list[tuple[int, int]]:
        """The peer said that it has these chunks; its discard window is a filter over them (section 6.2)."""
        have = channel.peer_have
        parts = have.add(start, stop)
        last = have.last_before(_FAR)
        if last is not None and channel.peer_window is not None:
            have.remove(0, last - chunks_of_window(self.content.metadata, channel.peer_window))
        have.keep_newest(MAX_LIVE_RANGES)
        return parts

    def received(self, channel: Channel, message: Data, hashes: dict[tuple[int, int], bytes], now: float) -> str | None:
        """A chunk came."""
        held = self.content.holds(message.start)
        reason = super().received(channel, message, hashes, now)
        if self.content.holds(message.start):
            if not held:
                self._try_waiting(message.start, now)
            self._started = self._started or not self._sign_all
            if self._sign_all and not self._started and self.content.is_fresh(message.start, now + self._epoch):
                self._started = True
                self.content.position = max(message.start - self._behind, 0)
        elif reason is None and message.start in channel.download.outstanding:
            self._wait(channel, message, hashes, now)
        return reason

    def _wait(self, channel: Channel, message: Data, hashes: dict[tuple[int, int], bytes], now: float) -> None:
        """A chunk that was asked for came without all its hashes: they may be in a datagram that comes later."""
        channel.download.outstanding.discard(message.start)
        waiting = self._waiting
        kept = Data(message.start, message.end, message.timestamp_us, bytes(message.payload))
        waiting[message.start] = channel, kept, dict(hashes) if len(hashes) <= MAX_LOOSE_HASHES else {}, now
        while len(waiting) > _MAX_WAITING:
            del waiting[next(iter(waiting))]

    def _try_waiting(self, chunk: int, now: float) -> None:
        """A chunk is verified: so may be others below its munro, now that more hashes are known."""
        entry = self.content.munro_of(chunk)
        if not self._waiting or entry is None:
            return
        start, end = entry[0].start, entry[0].end
        for number in sorted(number for number in self._waiting if start <= number <= end):
            channel, message, hashes, came = self._waiting[number]
            reception = self.content.accept(number, message.payload, channel.download.with_loose(hashes))
            if reception is Reception.UNVERIFIABLE:
                continue
            del self._waiting[number]
            if channel.state is State.OPEN:
                delay_us = (timestamp_us(came + self._epoch) - message.timestamp_us) & TIMESTAMP_MASK
                if reception is Reception.ACCEPTED:
                    self._accepted(channel, number, len(message.payload), delay_us, now)
                else:
                    self._not_accepted(channel, number, reception, delay_us, now)

    def proof_for(self, channel: Channel) -> Sequence[Message]:
        """The rightmost signed munro, until the peer shows that it knows of it or a newer one (section 6.1.2.4)."""
        munro = self.content.newest
        if munro is None or not channel.takes_chunks:
            return ()
        last = channel.peer_have.last_before(_FAR)
        return () if last is not None and last >= munro.start else munro.messages

    # Batches

    def settle(self, now: float) -> bool:
        """Take in what the batch of datagrams brought; returns whether that were any chunks."""
        content = self.content
        ranges = content.merge()
        for start, stop in ranges:
            self.picker.give_back(start, stop)
            self._events.put(ChunksVerified(self.swarm_id, start, stop))
            for channel in self.channels.values():
                if channel.state is State.OPEN:
                    channel.add_news(start, stop, now)
        for chunk in [chunk for chunk in self._waiting if not content.keeps(chunk)]:
            del self._waiting[chunk]
        gone = content.prune()
        if gone:
            low = content.low
            self.picker.forget_below(low if content.position is None else min(low, content.position))
            for channel in self.channels.values():
                assert isinstance(channel.upload, LiveUpload)
                channel.upload.discard(gone, low)
        return bool(ranges)

    # Requests

    def span(self) -> tuple[int, int]:
        """The chunks that are wanted, as far as they are not held: from the playback point on, as far as is kept."""
        at = self.content.position
        if at is None or not self.watching:
            return 0, 0
        return at, at + self.content.window if self.content.end is None else self.content.end

    def _is_complete(self) -> bool:
        """Whether nothing more is wanted: at a source, and where all is held up to the end of the broadcast."""
        ended = self.content.end is not None
        return not self.watching or (ended and not any(self.content.have.missing(*self.span())))

    def schedule(self, channel: Channel, now: float) -> None:
        """Ask the peer for chunks, if it is worth asking."""
        download = channel.download
        channel.last_looked = now
        if channel.state is not State.OPEN:
            return
        self.exchange.ask(channel, now, complete=self._is_complete())
        self._say_farewell(channel, now)
        due = self._silence_ends(channel)
        if due is not None and now >= due:
            self._silent[channel] = channel.last_received, self._silences(channel) + 1
            channel.ask_again()
        if download.choked or not channel.understands(MessageType.REQUEST) or now < self._rests_until(channel, now):
            return
        if self.content.position is None:
            self._look_for_the_edge(channel, now)
            return
        room = download.room(now) or min(self.picker.overdue(download.outstanding, now), _MAX_OVERDUE)
        ranges = (
            self.picker.take(channel.channel_id, channel.peer_have, self.content.have, self.span(), room, now)
            if room
            else []
        )
        if not ranges:
            return
        for other in self.channels.values():
            if other is not channel and other.download.outstanding:
                self._cancel(other, ranges)
        self._ask(channel, ranges, now)

    def _cancel(self, other: Channel, ranges: Sequence[tuple[int, int]]) -> None:
        """What another peer is asked for now need not come from this one any more (section 3.8)."""
        outstanding = other.download.outstanding
        for chunk in [chunk for start, stop in ranges for chunk in range(start, stop) if chunk in outstanding]:
            outstanding.discard(chunk)
            other.send([Cancel(chunk, chunk)])
            self.touched[other] = None

    def _look_for_the_edge(self, channel: Channel, now: float) -> None:
        """Under Sign All no munro tells where the stream is: the last chunk that a peer offers does, if it is fresh."""
        last = channel.peer_have.last_before(_FAR)
        if self._sign_all and self.watching and last is not None and not channel.download.outstanding:
            self._ask(channel, [(last, last + 1)], now)

    def _say_farewell(self, channel: Channel, now: float) -> None:
        munro = self.content.newest
        if munro is None or munro.start != self.content.end:
            self._farewells.pop(channel, None)
            return
        count, due = self._farewells.get(channel, (0, now))
        if count < _FAREWELLS and now >= due and self.proof_for(channel):
            channel.confirm()
            self._farewells[channel] = count + 1, now + _FAREWELL_SECONDS * (1 << count)

    def _silences(self, channel: Channel) -> int:
        heard, count = self._silent.get(channel, (channel.last_received, 0))
        return count if heard == channel.last_received else 0

    def _silence_ends(self, channel: Channel) -> float | None:
        """When a peer that we called and that is silent is to be asked whether it knows us."""
        count = self._silences(channel)
        if not (self.watching and channel.initiated and count < _MAX_SILENCES) or self.content.end is not None:
            return None
        return channel.last_received + _SILENCE_SECONDS * (1 << count)

    def looks_again_at(self, channel: Channel) -> float | None:
        """When the peer may be asked again, without any message from it."""
        at = math.inf
        count, due = self._farewells.get(channel, (_FAREWELLS, 0.0))
        if count < _FAREWELLS:
            at = due
        at = min(at, self._silence_ends(channel) or math.inf)
        if not channel.download.choked and self._may_want(channel.peer_have):
            at = min(at, channel.last_looked + SAME_RETRY_SECONDS / 2)
        return None if at == math.inf else at

    def _may_want(self, offered: RangeSet) -> bool:
        if self.content.position is None:
            return self._sign_all and bool(offered)
        start, stop = self.span()
        last = offered.last_before(stop)
        if last is None:
            return False
        return any(offered.intersects(*gap) for gap in self.content.have.missing(start, last + 1))

    def give_back(self, ranges: Iterable[tuple[int, int]]) -> None:
        """These chunks are not coming from the peer that was asked."""
        for start, stop in ranges:
            self.picker.give_back(start, stop)
        self.restless = True

    def drop(self, channel: Channel, reason: str, now: float, *, tell: bool, report: bool = True) -> None:
        """Close the channel."""
        super().drop(channel, reason, now, tell=tell, report=report)
        self._farewells.pop(channel, None)
        self._silent.pop(channel, None)
        for chunk in [chunk for chunk, waiting in self._waiting.items() if waiting[0] is channel]:
            del self._waiting[chunk]
