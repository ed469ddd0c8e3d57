"""A peer of one swarm on a real network: the endpoint, its UDP socket, LEDBAT and the trackers, plugged together.

async with SwarmPeer(SwarmUri.parse(text), store) as peer:
    size = await peer.completed()
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import time
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from interop._nat_checks import Checks
from interop._tally import Tally
from interop.nat import NatSettings
from interop.swarm_socket import ANY_ADDRESS, Member, PeerError, SwarmSocket
from interop.tracker_client import TrackerError, TrackerSession
from interop.tracker_login import Logins
from interop.udp import Address
from ppsp import RangeSet, RarestFirst
from ppsp.events import (
    ChunkRefused,
    ChunksVerified,
    Event,
    PeerConnected,
    PeerDisconnected,
    PeerFound,
    SizeKnown,
    StoreFailed,
    SwarmComplete,
)
from ppsp.merkle import MerkleTree
from ppsp.metadata import SwarmUri
from ppsp.pex import PeerExchange
from ppsp.pmtu import LONGEST
from ppsp.ports import ChunkPicker, ChunkStore, VariableStore
from ppsp.stats import SwarmStats
from ppsp.tracker import AddressType, ClientTiming, PeerAddr, PeerMode, PeerNum

__all__ = ["PeerError", "SwarmPeer"]

# Seconds between two looks at the figures; between two tries to reach who was named and is not connected, and between
# two questions to the trackers while nobody is connected; between two updates of what the trackers are told.
_LOOK_SECONDS = 0.25
_RETRY_SECONDS = 3.0
# Peers that a tracker is asked for: "less than 30" (RFC 7846 section 3.2.2). Who has these calls none that others name.
_MOST_PEERS = 29
# The longest time between two such questions of a peer behind a NAT, which lets newcomers in once it knows of them:
# half of the time for which these go on trying.
_SEEK_SECONDS = 15.0


class SwarmPeer:
    """One peer of one swarm, for as long as the `async with` lasts.

    `store` holds the content; `tree`, `have` and `content_size` say what of it is there already, as for
    `ppsp.Endpoint.add_swarm`, and `picker` in which order to fetch it. `local` is the host and port to bind (port 0:
    any), `upload_rate` and `download_rate` are limits in octets a second, `peers` addresses to connect to besides those
    that the trackers name, `logins` how to prove to a tracker who one is, and whether plain HTTP will do. `exchange`
    says how peers tell each other of peers (RFC 7574 section 3.10), if at all. `on_event` is given every event of the
    swarm, and those of the socket that belong to no swarm. `tally` tells what was exchanged with whom.

    With `socket`, which is open and stays so, the peer shares it with those of other swarms: the address, the rates,
    `nat` and `max_datagram` are the socket's, and naming them here as well is a ValueError.

    Entering raises OSError when the address cannot be bound, PeerError when no tracker can be reached and no peer is
    named, or a named one has no address, and StateError as `add_swarm` does. Once entered, trackers may come and go.
    """

    def __init__(
        self,
        uri: SwarmUri,
        store: ChunkStore | VariableStore,
        *,
        tree: MerkleTree | None = None,
        have: RangeSet | None = None,
        content_size: int | None = None,
        local: tuple[str, int] = ANY_ADDRESS,
        upload_rate: float | None = None,
        download_rate: float | None = None,
        picker: Callable[[int, int], ChunkPicker] = RarestFirst,
        peers: Sequence[tuple[str, int]] = (),
        logins: Logins | None = None,
        exchange: PeerExchange | None = None,
        nat: NatSettings | None = None,
        max_datagram: int | None = LONGEST,
        socket: SwarmSocket | None = None,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        own = (local, upload_rate, download_rate, nat, max_datagram)
        if socket is not None and own != (ANY_ADDRESS, None, None, None, LONGEST):
            raise ValueError("the address, the rates, the NAT and the datagrams are those of the socket that is shared")
        self.uri = uri
        self.store: ChunkStore | VariableStore = store
        self.tally = Tally()
        self._news = asyncio.Event()
        self._swarm_id = uri.metadata.swarm_id
        self._owns_socket = socket is None
        self._socket = socket or SwarmSocket(
            local=local, upload_rate=upload_rate, download_rate=download_rate, nat=nat, max_datagram=max_datagram
        )
        self._endpoint = self._socket.endpoint
        self._member = Member(self._take_events, self._moved)
        self._peers = peers
        self.logins = logins or Logins()
        self._on_event = on_event
        self._named: list[Address] = []
        self._peer_id = secrets.token_hex(16)
        self._checks = Checks(self._peer_id, self._socket.direct)
        self._trackers: list[TrackerSession] = []
        self._watch: asyncio.Task[None] | None = None
        # `interop.live` has another.
        self._add_swarm: Callable[[], None] = partial(
            self._endpoint.add_swarm,
            uri.metadata,
            store=store,
            tree=tree,
            have=have,
            content_size=content_size,
            picker=picker,
            exchange=exchange,
        )

    async def __aenter__(self) -> Self:
        self._completed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self._owns_socket:
            await self._socket.__aenter__()
        self._driver = self._socket.driver
        self._traversal = self._socket.traversal
        try:
            self._socket.join(self._swarm_id, self._member, self._add_swarm)
            stats = self.stats
            if stats.content_size is not None and stats.chunks_held == stats.chunk_count:
                self._completed.set_result(stats.content_size)
            for peer in self._peers:
                self._named.append(await self._socket.resolve(*peer))
            if self._traversal is not None:
                self._checks.relay_family = self._traversal.relay_family
            await self._join_trackers()
        except BaseException:
            await self._leave()
            raise
        self._watch = asyncio.create_task(self._look_regularly())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()

    async def _leave(self) -> None:
        """Tell the peers first: the trackers may take their time."""
        if self._watch is not None:
            self._watch.cancel()
        self._completed.cancel()
        self._socket.leave(self._swarm_id, self._member)
        leaving = [tracker.close() for tracker in self._trackers]
        if self._owns_socket:
            self._socket.close()
            leaving.append(self._socket.wait_closed())
        await asyncio.gather(*leaving, return_exceptions=True)

    @property
    def local_address(self) -> Address:
        """The UDP address that is served from, as the socket gives it."""
        return self._driver.local_address

    @property
    def seen_at(self) -> tuple[str, int] | None:
        """Where a STUN server sees us; None without one, and while it does not answer."""
        candidates = () if self._traversal is None else self._traversal.candidates
        return next(((one.address, one.port) for one in candidates if one.type is AddressType.REFLEXIVE), None)

    @property
    def stats(self) -> SwarmStats:
        """The figures of the endpoint, as they are now."""
        return self._endpoint.stats(self._swarm_id)

    @property
    def mode(self) -> PeerMode:
        """How trackers are to see this peer."""
        return PeerMode.SEEDER if self._completed.done() else PeerMode.LEECH

    @property
    def _has_left(self) -> bool:
        return not self._socket.has(self._swarm_id, self._member)

    async def completed(self) -> int:
        """Wait until every chunk is verified and stored; returns the size of the content in octets.

        Raises the store's OSError when it fails: what was verified until then is still held.
        """
        return await asyncio.shield(self._completed)

    async def news(self) -> None:
        """Wait until more of the content is there, a peer comes or goes, or fetching has failed.

        Raises what `completed` does once that is so.
        """
        if self._completed.done():
            self._completed.result()
        await self._news.wait()

    def prioritise(self, reader: Hashable, start: int, stop: int) -> None:
        """A reader is at chunk `start` and will soon want what is before `stop`, as `Endpoint.prioritise`."""
        self._endpoint.prioritise(self._swarm_id, reader, start, stop)
        self._driver.wake()

    def forget(self, reader: Hashable) -> None:
        """The reader is gone, as `Endpoint.forget`."""
        self._endpoint.forget(self._swarm_id, reader)

    def held_until(self, chunk: int) -> int:
        """The first chunk from `chunk` on that is not held."""
        return self._endpoint.held_until(self._swarm_id, chunk)

    def connect(self, address: Address, *, found_by: Hashable | None = None) -> None:
        """Open a channel to a peer, unless there is one; `found_by` is the peer that named it."""
        if self._endpoint.connect(self._swarm_id, address, time.monotonic(), found_by=found_by):
            self._driver.wake()

    def certify(self, certificate: bytes) -> None:
        """Give peers this membership certificate as our own from now on, as `Endpoint.certify`, while we are there."""
        if not self._has_left:
            self._endpoint.certify(self._swarm_id, certificate)

    # Trackers

    async def _join_trackers(self) -> None:
        """Register everywhere; go on as soon as one tracker has us, and without any when a peer is named."""
        traversal = self._traversal
        listens_on = [self.local_address[:2]]
        troubles: list[TrackerError] = []
        waiting: set[asyncio.Task[None]] = set()
        for url in self.uri.trackers:
            try:
                login = self.logins.of(url)
                session = await TrackerSession.open(
                    url,
                    self._peer_id,
                    listens_on=listens_on,
                    candidates=traversal.candidates if traversal else (),
                    peer_num=PeerNum(_MOST_PEERS, ability_nat=traversal.ability) if traversal else None,
                    seeks_as_seeder=traversal is not None,
                    timing=ClientTiming(find=_SEEK_SECONDS) if traversal else None,
                    on_candidates=self._found,
                    insecure=self.logins.insecure,
                    auth=login.auth,
                    verify=login.verify,
                )
            except TrackerError as exc:
                troubles.append(exc)
                continue
            self._trackers.append(session)
            session.join(self._swarm_id, self.mode)
            waiting.add(asyncio.create_task(session.joined(self._swarm_id)))
        try:
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    error = task.exception()
                    if error is None:
                        return
                    if not isinstance(error, TrackerError):
                        raise error
                    troubles.append(error)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        if troubles and not self._named:
            raise PeerError(f"no tracker can be reached: {troubles[0]}")

    def _found(self, swarm_id: bytes, peers: dict[str, list[PeerAddr]]) -> None:
        """A tracker names peers. One that is complete waits for others to come, if they can."""
        if swarm_id != self._swarm_id or self._has_left or (self._completed.done() and self._traversal is None):
            return
        now = time.monotonic()
        for peer_id, candidates in peers.items():
            self._checks.learn(peer_id, candidates, now)
        self._check()

    def _named_by(self, found: PeerFound) -> None:
        """A peer names another. Who seeks nothing is found by others; a source least of all needs friends of strangers.

        "Attack E1 on PEX can be fended off by letting live injectors disable PEX" (RFC 7574 section 12.2.3).
        """
        address = self._socket.direct(found.host, found.port)
        if address is not None and self.mode is not PeerMode.SEEDER and len(self.stats.peers) < _MOST_PEERS:
            self.connect(address, found_by=found.source)

    def _check(self) -> None:
        """Send handshakes to where peers may be."""
        for address in self._checks.due(time.monotonic()):
            self.connect(address)

    def _moved(self) -> None:
        """A server sees us elsewhere than before."""
        assert self._traversal is not None
        self._checks.relay_family = self._traversal.relay_family
        for tracker in self._trackers:
            tracker.announce(self._traversal.candidates)

    def _met(self, address: Address) -> None:
        """A peer is reached: other ways to it are not needed any more."""
        for other in self._checks.connected(address):
            self._endpoint.disconnect(self._swarm_id, other, time.monotonic())
        self._driver.wake()

    # Events and time

    def _take_events(self, events: list[Event]) -> None:
        is_news = False
        for event in events:
            match event:
                case SwarmComplete():
                    self._complete(event.content_size)
                case StoreFailed() if not self._completed.done():
                    self._completed.set_exception(event.error)
                    is_news = True
                case PeerFound():
                    self._named_by(event)
                case PeerDisconnected():
                    self.tally.part(event.stats)
                    self._checks.disconnected(event.address)
                    is_news = True
                case ChunkRefused():
                    self.tally.refuse(event.address)
                case PeerConnected():
                    self._met(event.address)
                    is_news = True
                case ChunksVerified() | SizeKnown():
                    is_news = True
            self._on_event(event)
        if is_news:
            self._tell()

    def _tell(self) -> None:
        """Wake those who wait for news."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _complete(self, content_size: int) -> None:
        self.tally.look(self.stats, time.monotonic())
        if not self._completed.done():
            self._completed.set_result(content_size)
        for tracker in self._trackers:
            tracker.join(self._swarm_id, PeerMode.SEEDER)

    async def _look_regularly(self) -> None:
        retry_at = 0.0
        while not self._driver.closed:
            now = time.monotonic()
            self.tally.look(self.stats, now)
            self._report()
            self._check()
            if now >= retry_at and (self._traversal is not None or not self._completed.done()):
                retry_at = now + _RETRY_SECONDS
                self._seek()
                if self._completed.done():
                    self._leave_the_complete(self.stats)
            await asyncio.sleep(_LOOK_SECONDS)
        with contextlib.suppress(asyncio.InvalidStateError):
            self._completed.set_exception(RuntimeError("the UDP socket is closed"))
        self._tell()

    def _seek(self) -> None:
        """Look for company where there was some, and where there may be."""
        for address in self._named:
            self.connect(address)
        if not self.tally.connected:
            for tracker in self._trackers:
                tracker.find(self._swarm_id)

    def _leave_the_complete(self, stats: SwarmStats) -> None:
        """We are complete, and seek those who are not."""
        for peer in stats.peers:
            if peer.chunks_offered >= (stats.chunk_count or math.inf):
                self._checks.forsake(peer.address)
                self._endpoint.disconnect(self._swarm_id, peer.address, time.monotonic())
        self._driver.wake()

    def _report(self) -> None:
        for tracker in self._trackers:
            tracker.report(
                self._swarm_id,
                uploaded_bytes=self.tally.sent,
                downloaded_bytes=self.tally.received,
                concurrent_links=self.tally.connected,
            )
