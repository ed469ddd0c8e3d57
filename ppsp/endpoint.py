"""The endpoint: one UDP socket's worth of PPSPP (RFC 7574), without the socket.

Feed it datagrams and time, send what it returns:

    endpoint.receive_datagram(data, address, now)      # as often as datagrams are there
    for datagram, address in endpoint.datagrams_to_send(now): ...
    endpoint.handle_timer(now)                         # at endpoint.get_timer(), or whenever
    event = endpoint.next_event()                      # until it is None
"""

import secrets
from collections.abc import Callable, Hashable

from ppsp import _limits
from ppsp._admission import displaced, known_channel
from ppsp._bucket import TokenBucket
from ppsp._channel import Channel, State
from ppsp._choking import Choking
from ppsp._clock import timestamp_us
from ppsp._events import EventQueue
from ppsp._handshake import problem_with
from ppsp._live_stream import LiveStream, new_live_swarm
from ppsp._packing import PathSearch
from ppsp._ranges import RangeSet
from ppsp._senders import Senders
from ppsp._static_swarm import new_static_swarm
from ppsp._swarm import PickerFactory, Swarm
from ppsp._timers import TimerHeap
from ppsp.codec import channel_of, decode_handshake
from ppsp.constants import CHANNEL_ID_SIZE
from ppsp.errors import DecodeError, StateError
from ppsp.events import Event
from ppsp.live import DEFAULT_CHUNKS_PER_SIGNATURE, DEFAULT_WINDOW, MAX_AGE_SECONDS, PATIENCE_SECONDS
from ppsp.livekeys import LiveSigner
from ppsp.merkle import MerkleTree
from ppsp.metadata import SwarmMetadata
from ppsp.pex import PeerExchange
from ppsp.picker import RarestFirst
from ppsp.ports import Address, ChunkStore, ControllerFactory, Datagram, UploadPolicy, VariableStore
from ppsp.stats import SwarmStats


class Endpoint:
    """Serves any number of swarms on one transport address."""

    def __init__(
        self,
        *,
        controller: ControllerFactory,
        epoch: float = 0.0,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        upload_rate: float | None = None,
        download_rate: float | None = None,
        strict: bool = False,
    ) -> None:
        """Make an endpoint without swarms.

        `controller` makes the congestion controller of each channel, given the chunk size (`ledbat.Ledbat` fits).
        `epoch` is the Unix time at `now == 0`. `upload_rate` limits what all channels send together, `download_rate`
        what they ask for, in octets of chunks a second; live streams, which have a rate of their own, are not held up.
        `strict` refuses peers that leave out options which older peers do not know.

        Raises ValueError when a rate is not positive.
        """
        self._controller = controller
        self._epoch = epoch
        self._random_bytes = random_bytes
        self._download_limit = TokenBucket(download_rate)
        self._strict = strict
        self._swarms: dict[bytes, Swarm] = {}
        self._channels: dict[int, Channel] = {}
        self._half_open: dict[Channel, None] = {}
        self._events = EventQueue()
        self._timers = TimerHeap()
        self._dirty: dict[Channel, None] = {}
        self._senders = Senders(upload_rate)
        self._outbox: list[tuple[Datagram, Address]] = []
        self._oversize: list[tuple[Datagram, Address]] = []
        self._search: PathSearch | None = None
        self.fragmentable = False
        """Whether what `datagrams_to_send` returned last may leave in fragments; without `search_path_mtu` all may."""

    # Verbs

    def add_swarm(
        self,
        metadata: SwarmMetadata,
        *,
        store: ChunkStore | VariableStore,
        tree: MerkleTree | None = None,
        have: RangeSet | None = None,
        content_size: int | None = None,
        picker: PickerFactory = RarestFirst,
        policy: UploadPolicy | None = None,
        exchange: PeerExchange | None = None,
    ) -> None:
        """Join a swarm. To serve content give its `tree` and `content_size`; `have` says which chunks the store holds.

        Chunks of variable size need a `VariableStore`, and no `content_size`.
        `policy` says who is served when many want something; by default it is `ppsp.policies.TitForTat`.
        `exchange` says whether and how peers tell each other of peers; by default they do not.

        Raises StateError when the swarm is there already or the arguments contradict each other.
        """
        if metadata.swarm_id in self._swarms:
            raise StateError(f"the swarm {metadata.swarm_id.hex()} is there already")
        swarm = self._swarms[metadata.swarm_id] = new_static_swarm(
            metadata,
            self._events,
            store=store,
            tree=tree,
            have=have,
            content_size=content_size,
            picker=picker,
            policy=policy,
            exchange=exchange,
            epoch=self._epoch,
            seed=int.from_bytes(self._random_bytes(4), "big"),
            strict=self._strict,
        )
        swarm.limit = self._download_limit

    def add_live_swarm(
        self,
        metadata: SwarmMetadata,
        *,
        signer: LiveSigner | None = None,
        chunks_per_signature: int = DEFAULT_CHUNKS_PER_SIGNATURE,
        first_chunk: int = 0,
        window: int = DEFAULT_WINDOW,
        behind: int = 0,
        max_age: float | None = MAX_AGE_SECONDS,
        patience: float = PATIENCE_SECONDS,
        policy: UploadPolicy | None = None,
        exchange: PeerExchange | None = None,
    ) -> LiveStream:
        """Join a live swarm (section 6), as its source with its private key as `signer`, else as a viewer.

        In memory are the `window` chunks before the newest (KEEP_EVERYTHING: all). A source signs once for so many, and
        counts from `first_chunk`, above all it has used with the key before. A viewer tunes in `behind` chunks before
        the newest munro; `max_age` and `patience` are seconds, see `ppsp.live`. `policy` None serves everybody;
        `exchange` is as in `add_swarm`.

        Raises StateError when the swarm is there already or is not live, and for numbers that cannot be.
        """
        if metadata.swarm_id in self._swarms:
            raise StateError(f"the swarm {metadata.swarm_id.hex()} is there already")
        swarm, stream = new_live_swarm(
            metadata,
            self._events,
            signer=signer,
            chunks_per_signature=chunks_per_signature,
            first_chunk=first_chunk,
            window=window,
            behind=behind,
            max_age=max_age,
            patience=patience,
            policy=policy,
            exchange=exchange,
            epoch=self._epoch,
            seed=int.from_bytes(self._random_bytes(4), "big"),
            strict=self._strict,
        )
        self._swarms[metadata.swarm_id] = swarm
        return stream

    def remove_swarm(self, swarm_id: bytes, now: float) -> None:
        """Leave a swarm, telling its peers. Raises StateError when there is no such swarm."""
        swarm = self._swarm(swarm_id)
        for channel in list(swarm.channels.values()):
            swarm.drop(channel, "we left the swarm", now, tell=True)
        self._bury(swarm)
        del self._swarms[swarm_id]

    def close(self, now: float) -> None:
        """Leave every swarm; the datagrams that say so come from `datagrams_to_send`."""
        for swarm_id in list(self._swarms):
            self.remove_swarm(swarm_id, now)

    def connect(self, swarm_id: bytes, address: Address, now: float, *, found_by: Address | None = None) -> bool:
        """Open a channel to a peer; False when there is one, or the peer is banned, or there are too many.

        `found_by` is the source of a `PeerFound`: part of the channels is kept for peers that come from elsewhere.

        Banned are peers that sent wrong chunks, or invalid messages again and again, and ourselves.

        Raises StateError when there is no such swarm.
        """
        swarm = self._swarm(swarm_id)
        if address in swarm.banned or swarm.open_to(address) or len(swarm.channels) >= _limits.MAX_CHANNELS:
            return False
        if found_by is not None:
            found = [channel.found_by for channel in swarm.channels.values() if channel.found_by is not None]
            by_one = found.count(found_by)
            if len(found) >= _limits.MAX_EXCHANGED_CHANNELS or by_one >= _limits.MAX_EXCHANGED_BY_ONE:
                return False
        channel = self._new_channel(swarm, address)
        channel.found_by = found_by
        channel.open(now)
        self._dirty[channel] = None
        return True

    def disconnect(self, swarm_id: bytes, address: Address, now: float) -> None:
        """Close our channels to an address, and give up opening one; what is only half open there may still open.

        The peer is told, and is welcome to come back. Raises StateError when there is no such swarm.
        """
        swarm = self._swarm(swarm_id)
        for channel in [channel for channel in swarm.channels.values() if channel.address == address]:
            if channel.state is not State.HALF_OPEN:
                is_open = channel.state is State.OPEN
                swarm.drop(channel, "we closed the channel", now, tell=is_open, report=is_open)
        self._bury(swarm)

    def push(self, swarm_id: bytes, address: Address, start: int, stop: int) -> bool:
        """Send a peer chunks that it did not ask for, as far as they are held and it lacks them (sections 3.7 and 9.1).

        They count like chunks that it asked for. False, and nothing is sent, when there is no open channel to it.

        Raises StateError when there is no such swarm.
        """
        channel = self._swarm(swarm_id).open_to(address)
        if channel is None or channel.state is not State.OPEN or not channel.takes_chunks:
            return False
        for part in channel.peer_have.missing(start, stop):
            channel.upload.request(*part)
        self._dirty[channel] = None
        return True

    def stats(self, swarm_id: bytes) -> SwarmStats:
        """Figures of a swarm and its peers, as they are now. Raises StateError when there is no such swarm."""
        swarm = self._swarm(swarm_id)
        return SwarmStats.of(swarm, half_open=sum(1 for channel in self._half_open if channel.swarm is swarm))

    def set_upload_rate(self, upload_rate: float | None) -> None:
        """Limit what all channels send together, in octets of chunks a second; None lifts the limit."""
        self._senders.limit.set_rate(upload_rate)

    def set_download_rate(self, download_rate: float | None) -> None:
        """Limit what all channels ask for together, in octets of chunks a second; None lifts the limit."""
        self._download_limit.set_rate(download_rate)
        self._ask_everybody()

    def certify(self, swarm_id: bytes, certificate: bytes) -> None:
        """Give peers another membership certificate as our own from now on: certificates expire.

        Raises StateError when there is no such swarm, or its peers exchange no certificates.
        """
        self._swarm(swarm_id).exchange.certify(certificate)

    def search_path_mtu(self, limit: int, *, exempt: Callable[[Address], bool] = lambda address: False) -> None:
        """Look for the longest datagram of several chunks that each path carries, up to `limit` octets (section 8.1).

        Only for who sends every datagram in one packet or not at all, except `fragmentable` ones and those to addresses
        that are `exempt`, and who tells `datagram_too_long`. ValueError unless the limit is from 548 to 65507.
        """
        self._search = PathSearch(limit, exempt)
        for channel in self._channels.values():
            self._search.begin(channel.upload.packing, channel.address)

    def datagram_too_long(self, address: Address, size: int, now: float) -> None:
        """The kernel says that no packet to the address holds so many octets (EMSGSIZE)."""
        for channel in self._channels.values():
            if channel.address == address:
                channel.upload.too_long(size, now)
                self._dirty[channel] = None

    # What to fetch first

    def set_picker(self, swarm_id: bytes, picker: PickerFactory) -> None:
        """Choose chunks by another picker from now on. Raises StateError when there is no such swarm, or it is live."""
        self._static(swarm_id).set_picker(picker)

    def prioritise(self, swarm_id: bytes, reader: Hashable, start: int, stop: int) -> None:
        """A reader is at chunk `start` and will soon want what is before `stop`: fetch this first, then what follows.

        Any number of readers, named as their owner likes, may each have one such window; call it again as a reader goes
        on. What is nearest to its reader goes first, whatever the picker. When a reader jumps, peers are told not to
        send what has become less urgent (CANCEL, section 3.8).

        Raises StateError when there is no such swarm, it is live, the range is empty or there are too many readers.
        """
        self._static(swarm_id).prioritise(reader, start, stop)

    def forget(self, swarm_id: bytes, reader: Hashable) -> None:
        """The reader is gone, or never was there. Raises StateError when there is no such swarm, or it is live."""
        self._static(swarm_id).deadlines.forget(reader)

    def held_until(self, swarm_id: bytes, chunk: int) -> int:
        """The first chunk from `chunk` on that is not held. Raises StateError when there is no such swarm."""
        covering = self._swarm(swarm_id).content.have.covering(chunk)
        return chunk if covering is None else covering[1]

    def _static(self, swarm_id: bytes) -> Swarm:
        swarm = self._swarm(swarm_id)
        if swarm.content.metadata.is_live:
            raise StateError("a live stream is fetched in its own order")
        return swarm

    def _ask_everybody(self) -> None:
        """Have every peer asked for chunks, first those that were not asked for long."""
        channels = [channel for swarm in self._swarms.values() for channel in swarm.channels.values()]
        channels.sort(key=lambda channel: channel.download.asked_last)
        self._dirty = dict.fromkeys(channels) | self._dirty

    def _swarm(self, swarm_id: bytes) -> Swarm:
        try:
            return self._swarms[swarm_id]
        except KeyError:
            raise StateError(f"there is no swarm {swarm_id.hex()}") from None

    def _new_channel(self, swarm: Swarm, address: Address) -> Channel:
        channel_id = 0
        while channel_id == 0 or channel_id in self._channels:
            channel_id = int.from_bytes(self._random_bytes(CHANNEL_ID_SIZE), "big")
        channel = Channel(swarm, address, channel_id, self._controller(swarm.content.segment_size))
        self._channels[channel_id] = swarm.channels[channel_id] = channel
        if self._search is not None:
            self._search.begin(channel.upload.packing, address)
        return channel

    # Input

    def receive_datagram(self, data: bytes | memoryview, address: Address, now: float) -> None:
        """Take a datagram from the network; `data` is not kept. Nothing that a peer sends makes this raise."""
        if len(data) < CHANNEL_ID_SIZE:
            self._events.junk(address, "shorter than a channel ID")
            return
        channel_id = channel_of(data)
        if channel_id == 0:
            reason = self._receive_initiating(data, address, now)
        else:
            channel = self._channels.get(channel_id)
            if channel is None or channel.address != address:
                self._events.junk(address, "no such channel")
                return
            reason = channel.receive(data, CHANNEL_ID_SIZE, now)
            self._after(channel)
        if reason is not None:
            self._events.junk(address, reason)

    def _after(self, channel: Channel) -> None:
        """Look at what a datagram or a timer made of the channel."""
        self._dirty[channel] = None
        if channel in self._half_open and channel.state is not State.HALF_OPEN:
            del self._half_open[channel]
        if channel.swarm.closed:
            self._bury(channel.swarm)

    def _receive_initiating(self, data: bytes | memoryview, address: Address, now: float) -> str | None:
        """A datagram to channel 0: only a HANDSHAKE that passes every check is answered or remembered."""
        try:
            handshake, offset = decode_handshake(data)
        except DecodeError as exc:
            return str(exc)
        if handshake.source_channel == 0:
            return "a closing HANDSHAKE for no channel"
        swarm = self._swarms.get(handshake.options.swarm_id or b"")
        if swarm is None:
            return "HANDSHAKE for a swarm that is not here"
        problem = problem_with(handshake.options, swarm.content.metadata, initiating=True, strict=self._strict)
        if problem is not None:
            return f"HANDSHAKE with {problem}"
        own = swarm.channels.get(handshake.source_channel)
        if own is not None and own.state is State.OPENING:
            swarm.drop_own(own, own.address, now)
            self._bury(swarm)
            return "our own HANDSHAKE"
        known = known_channel(swarm, handshake, address, now)
        if known is not None:
            self._dirty[known] = None
            if not known.initiated:
                known.answer_again(len(data), now)
                return None
            if known.state is State.OPEN:
                known.confirm()  # the peer has answered ours, and waits for our third datagram
            return "HANDSHAKE crossing ours"
        if address in swarm.banned:
            return "HANDSHAKE from a peer that is banned"
        other = displaced(swarm, self._half_open)
        if isinstance(other, str):
            return other
        if other is not None:
            other.swarm.drop(other, "newer ones take its place", now, tell=False)
            self._bury(other.swarm)
        channel = self._new_channel(swarm, address)
        channel.answer(handshake, len(data), now)
        self._half_open[channel] = None
        reason = channel.receive(data, offset, now) if len(data) > offset else None
        self._after(channel)
        return reason

    def _bury(self, swarm: Swarm) -> None:
        """Forget the channels that were closed, and tell their peers where that is due."""
        for channel, closing in swarm.closed:
            del self._channels[channel.channel_id]
            self._half_open.pop(channel, None)
            self._senders.discard(channel)
            self._dirty.pop(channel, None)
            if closing is not None:
                self._outbox.append((closing, channel.address))
        swarm.closed.clear()

    # Output

    def datagrams_to_send(self, now: float) -> list[tuple[Datagram, Address]]:
        """What is to be sent now: control messages, merged over all datagrams since the last call, then chunks.

        Bounded: call again until the list is empty. Datagrams of one size to one address stand together.
        """
        out = [] if self._oversize else self._gather(now)
        self.fragmentable = not out
        if not out:
            out, self._oversize = self._oversize, []
        return out

    def _gather(self, now: float) -> list[tuple[Datagram, Address]]:
        out, self._outbox = self._outbox, []
        for swarm in self._swarms.values():
            self._settle(swarm, now)
        if self._download_limit.comes_due(now):
            self._ask_everybody()
        dirty, self._dirty = self._dirty, {}
        for channel in dirty:
            swarm = channel.swarm
            swarm.schedule(channel, now)
            address, whole = channel.address, channel.upload.packing.whole
            for datagram in channel.flush(now):
                (out if whole(len(datagram)) else self._oversize).append((datagram, address))
            if channel.upload.ready and channel.state is State.OPEN:
                self._senders.add(channel)
            self._timers.arm(channel)
        if self._senders:
            self._send_chunks(out, now)
        if self._outbox:
            out += self._outbox
            self._outbox = []
        return out

    def _settle(self, swarm: Swarm, now: float) -> None:
        arrived = swarm.settle(now)
        if swarm.choking.is_due:
            channels = [channel for channel in swarm.channels.values() if channel.state is State.OPEN]
            self._dirty.update(dict.fromkeys(swarm.choking.review(channels, now)))
            self._timers.arm(swarm.choking)
        if swarm.touched:
            self._dirty.update((channel, None) for channel in swarm.touched if channel.state is State.OPEN)
            swarm.touched = {}
        if swarm.restless:
            swarm.wake_all()
        elif not arrived:
            return
        self._dirty.update(dict.fromkeys(swarm.channels.values()))

    def _send_chunks(self, out: list[tuple[Datagram, Address]], now: float) -> None:
        for channel, datagrams in self._senders.take(timestamp_us(now + self._epoch), now):
            if isinstance(datagrams, OSError):
                channel.swarm.store_failed(datagrams)
                self._dirty[channel] = None
                continue
            box = self._oversize if channel.upload.packing.in_fragments else out
            box += [(datagram, channel.address) for datagram in datagrams]
            if datagrams:
                channel.sent(len(datagrams), now)
                self._timers.arm(channel)

    def next_event(self) -> Event | None:
        """The next thing that happened; None when there is nothing more."""
        return self._events.next()

    # Time

    def get_timer(self) -> float | None:
        """When `handle_timer` is due; None when nothing waits."""
        waits = (self._timers.next(), self._download_limit.due, self._senders.due)
        return min((due for due in waits if due is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Let time pass; what is to be sent then comes from `datagrams_to_send`. Early and late calls do no harm."""
        for timed in self._timers.due(now):
            assert isinstance(timed, Channel | Choking)
            timed.handle_timer(now)
            if isinstance(timed, Channel):
                self._after(timed)
