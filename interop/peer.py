"""A peer of one swarm on a real network: the endpoint, its UDP socket, LEDBAT and the trackers, plugged together.

async with SwarmPeer(SwarmUri.parse(text), store) as peer:
    size = await peer.completed()
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import Callable, Hashable, Sequence
from types import TracebackType
from typing import Self

from interop._tally import Tally
from interop.tracker_client import TrackerError, TrackerSession
from interop.tracker_login import Logins
from interop.udp import Address, UdpDriver
from ledbat import Ledbat
from ppsp import RangeSet, RarestFirst
from ppsp.endpoint import Endpoint
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
from ppsp.ports import ChunkPicker, ChunkStore
from ppsp.stats import SwarmStats
from ppsp.tracker import PeerMode

__all__ = ["PeerError", "SwarmPeer"]

# Seconds between two looks at the figures; between two tries to reach who was named and is not connected, and between
# two questions to the trackers while nobody is connected; between two updates of what the trackers are told.
_LOOK_SECONDS = 0.25
_RETRY_SECONDS = 3.0


class PeerError(Exception):
    """The peer cannot take part in the swarm; the text says why, in one line."""


class SwarmPeer:
    """One peer of one swarm, for as long as the `async with` lasts.

    `store` holds the content; `tree`, `have` and `content_size` say what of it is there already, as for
    `ppsp.Endpoint.add_swarm`, and `picker` in which order to fetch it. `local` is the host and port to bind (port 0:
    any), `upload_rate` and `download_rate` are limits in octets a second, `peers` addresses to connect to besides those
    that the trackers name, `logins` how to prove to a tracker who one is. `exchange`
    says how peers tell each other of peers (RFC 7574 section 3.10), if at all. `on_event` is given every event of the
    endpoint. `tally` tells what was exchanged with whom.

    Entering raises OSError when the address cannot be bound, and PeerError when no tracker can be reached and no peer
    is named, or a named one has no address. Once entered, trackers may come and go.
    """

    def __init__(
        self,
        uri: SwarmUri,
        store: ChunkStore,
        *,
        tree: MerkleTree | None = None,
        have: RangeSet | None = None,
        content_size: int | None = None,
        local: tuple[str, int] = ("0.0.0.0", 0),
        upload_rate: float | None = None,
        download_rate: float | None = None,
        picker: Callable[[int, int], ChunkPicker] = RarestFirst,
        peers: Sequence[tuple[str, int]] = (),
        logins: Logins | None = None,
        exchange: PeerExchange | None = None,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.uri = uri
        self.store = store
        self.tally = Tally()
        self._news = asyncio.Event()
        self._swarm_id = uri.metadata.swarm_id
        self._local = local
        self._peers = peers
        self._logins = logins or Logins()
        self._on_event = on_event
        self._named: list[Address] = []
        self._trackers: list[TrackerSession] = []
        self._endpoint = Endpoint(
            controller=lambda chunk_size: Ledbat(mss=chunk_size),
            epoch=time.time() - time.monotonic(),
            upload_rate=upload_rate,
            download_rate=download_rate,
        )
        if not uri.metadata.is_live:  # `interop.live` adds the others
            self._endpoint.add_swarm(
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
        stats = self.stats
        if stats.content_size is not None and stats.chunks_held == stats.chunk_count:
            self._completed.set_result(stats.content_size)
        self._driver = await UdpDriver.open(self._endpoint, self._local, on_events=self._take_events)
        self._watch: asyncio.Task[None] | None = None
        try:
            for peer in self._peers:
                self._named.append(await self._resolve(*peer))
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
        self._endpoint.close(time.monotonic())
        self._driver.close()
        await asyncio.gather(*(tracker.close() for tracker in self._trackers), return_exceptions=True)

    @property
    def local_address(self) -> Address:
        """The UDP address that is served from, as the socket gives it."""
        return self._driver.local_address

    @property
    def stats(self) -> SwarmStats:
        """The figures of the endpoint, as they are now."""
        return self._endpoint.stats(self._swarm_id)

    @property
    def mode(self) -> PeerMode:
        """How trackers are to see this peer."""
        return PeerMode.SEEDER if self._completed.done() else PeerMode.LEECH

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

    async def _resolve(self, host: str, port: int) -> Address:
        """The address in the form in which the socket will give it for what this peer sends."""
        family = socket.AF_INET6 if len(self.local_address) == 4 else socket.AF_INET
        if family is socket.AF_INET6 and self.local_address[0] == "::":
            family = socket.AF_UNSPEC
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM)
        except OSError as exc:
            raise PeerError(f"{host}: {exc.strerror}") from exc
        return found[0][4]

    # Trackers

    async def _join_trackers(self) -> None:
        """Register everywhere; go on as soon as one tracker has us, and without any when a peer is named."""
        peer_id = secrets.token_hex(16)
        listens_on = [self.local_address[:2]]
        troubles: list[TrackerError] = []
        waiting: set[asyncio.Task[None]] = set()
        for url in self.uri.trackers:
            try:
                login = self._logins.of(url)
                session = await TrackerSession.open(
                    url, peer_id, listens_on=listens_on, on_peers=self._found, auth=login.auth, verify=login.verify
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

    def _found(self, swarm_id: bytes, addresses: list[tuple[str, int]], found_by: Hashable | None = None) -> None:
        """A tracker names peers, or the peer `found_by`. One that is complete waits for others to come."""
        if swarm_id != self._swarm_id or self._completed.done() or self._driver.closed:
            return
        for host, port in addresses:
            is_ipv6 = ":" in host
            if len(self.local_address) == 2 and not is_ipv6:
                self.connect((host, port), found_by=found_by)
            elif len(self.local_address) == 4 and (is_ipv6 or self.local_address[0] == "::"):
                self.connect((host, port, 0, 0) if is_ipv6 else (host, port), found_by=found_by)

    # Events and time

    def _take_events(self) -> None:
        is_news = False
        while (event := self._endpoint.next_event()) is not None:
            match event:
                case SwarmComplete():
                    self._complete(event.content_size)
                case StoreFailed() if not self._completed.done():
                    self._completed.set_exception(event.error)
                    is_news = True
                case PeerFound():
                    self._found(event.swarm_id, [(event.host, event.port)], event.source)
                case PeerDisconnected():
                    self.tally.part(event.stats)
                    is_news = True
                case ChunkRefused():
                    self.tally.refuse(event.address)
                case ChunksVerified() | SizeKnown() | PeerConnected():
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
            if now >= retry_at and not self._completed.done():
                retry_at = now + _RETRY_SECONDS
                self._seek()
            await asyncio.sleep(_LOOK_SECONDS)
        with contextlib.suppress(asyncio.InvalidStateError):
            self._completed.set_exception(RuntimeError("the UDP driver has failed"))
        self._tell()

    def _seek(self) -> None:
        """Look for company where there was some, and where there may be."""
        for address in self._named:
            self.connect(address)
        if not self.tally.connected:
            for tracker in self._trackers:
                tracker.find(self._swarm_id)

    def _report(self) -> None:
        for tracker in self._trackers:
            tracker.report(
                self._swarm_id,
                uploaded_bytes=self.tally.sent,
                downloaded_bytes=self.tally.received,
                concurrent_links=self.tally.connected,
            )
