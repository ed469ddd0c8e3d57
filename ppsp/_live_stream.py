"""A live stream as its source and its viewers see it."""

from ppsp._events import EventQueue
from ppsp._live_content import LiveContent
from ppsp._live_swarm import LiveSwarm
from ppsp._subtree import Subtree
from ppsp.constants import KEEP_EVERYTHING
from ppsp.errors import StateError
from ppsp.live import ChunkSigner, Injector, Munro
from ppsp.livekeys import LiveSigner
from ppsp.metadata import SwarmMetadata
from ppsp.pex import PeerExchange
from ppsp.ports import UploadPolicy


class LiveStream:
    """One live swarm of an endpoint; `Endpoint.add_live_swarm` makes it. Times are the endpoint's `now`.

    A source calls `publish` and at last `end`. A viewer calls `read` after every `ChunksVerified`, and some times a
    second besides, since what is missing for too long is skipped there. `edge` and `position` count chunks.
    """

    def __init__(
        self, swarm: LiveSwarm, source: Injector | ChunkSigner | None, *, epoch: float, patience: float
    ) -> None:
        self.skipped = 0
        """Chunks that were never got, and that the playback point jumped over."""
        self._swarm = swarm
        self._content: LiveContent = swarm.content
        self._source = source
        self._epoch = epoch
        self._patience = patience
        self._waiting_since: float | None = None

    # The source

    def publish(self, data: bytes | memoryview, now: float) -> None:
        """Add to the stream. Octets that do not fill a munro (under Sign All: a chunk) wait for more.

        Where chunk sizes vary, `data` is one chunk, of 1 to MAX_CHUNK_SIZE octets: a frame, a line, a datagram.

        Raises StateError when this is no source, the broadcast has ended, the chunk numbers are used up, or it can be
        no chunk.
        """
        match self._source:
            case Injector() as injector:
                for signed in injector.feed(data, now + self._epoch):
                    self._add(*signed)
            case ChunkSigner() as signer:
                for chunk in signer.feed(data, now + self._epoch):
                    self._content.inject(*chunk)
            case _:
                raise StateError("this endpoint is not the source of the stream")

    def end(self, now: float) -> None:
        """End the broadcast: what waits is signed, and under a unified Merkle tree it is proven that nothing follows.

        Raises StateError when this is no source, the broadcast has ended, or the chunk numbers are used up.
        """
        match self._source:
            case Injector() as injector:
                self._add(*injector.end(now + self._epoch))
            case ChunkSigner() as signer:
                for chunk in signer.end(now + self._epoch):
                    self._content.inject(*chunk)
            case _:
                raise StateError("this endpoint is not the source of the stream")

    def _add(self, munro: Munro, subtree: Subtree, chunks: list[bytes]) -> None:
        content = self._content
        content.add_munro(munro, subtree)
        for number, chunk in enumerate(chunks, munro.start):
            content.inject(number, chunk)
        if 0 < len(chunks) < subtree.width:
            content.end = munro.start + len(chunks)
        self._swarm.publish(munro)

    # Viewers

    @property
    def edge(self) -> int:
        """Where the newest signed chunks end."""
        return self._content.edge

    @property
    def position(self) -> int | None:
        """The chunk that is read next; None before the stream is tuned in."""
        return self._content.position

    @property
    def ended(self) -> bool:
        """Whether everything up to the proven end of the broadcast is read."""
        content = self._content
        return content.end is not None and content.position is not None and content.position >= content.end

    def seek(self, chunk: int) -> None:
        """Read on from `chunk`: a paused viewer goes on where it stopped, if some peer still keeps that.

        Raises StateError at the source, and for a chunk that cannot be.
        """
        if self._source is not None or chunk < 0:
            raise StateError("a viewer seeks, and to a chunk from 0 on")
        self._swarm.seek(chunk)
        self._waiting_since = None

    def read(self, now: float) -> list[bytes]:
        """The next chunks of the stream, verified and in order; empty while the next one is missing."""
        content = self._content
        at = content.position
        if at is None:
            return []
        found = self._next(at)
        if not found and not self.ended and self._overdue(at, now):
            found = self._next(content.position or 0)
        return found

    def _next(self, at: int) -> list[bytes]:
        content, found = self._content, []
        while (held := content.chunk(at)) is not None:
            found.append(held[0])
            at += 1
        if found:
            content.position = at
            self._swarm.restless = True
            self._waiting_since = None
        return found

    def _overdue(self, at: int, now: float) -> bool:
        """Jump to what can be had when the chunk at the playback point did not come for too long."""
        following = self._swarm.following(at)
        if following is None:
            self._waiting_since = None
            return False
        if self._waiting_since is None:
            self._waiting_since = now
        if now - self._waiting_since < self._patience:
            return False
        self.skipped += following - at
        self._content.position = following
        self._swarm.restless = True
        self._waiting_since = None
        return True


def new_live_swarm(
    metadata: SwarmMetadata,
    events: EventQueue,
    *,
    signer: LiveSigner | None,
    chunks_per_signature: int,
    first_chunk: int,
    window: int,
    behind: int,
    max_age: float | None,
    patience: float,
    policy: UploadPolicy | None,
    exchange: PeerExchange | None,
    epoch: float,
    seed: int,
    strict: bool,
) -> tuple[LiveSwarm, LiveStream]:
    """The parts of `Endpoint.add_live_swarm`."""
    if not metadata.is_live:
        raise StateError("the metadata are those of static content")
    needed = behind if signer is None else chunks_per_signature
    if behind < 0 or window < max(needed, 2) or 2**31 < window != KEEP_EVERYTHING:
        raise StateError(f"a window of {window} chunks does not hold the {needed} that are needed at once")
    source: Injector | ChunkSigner | None = None
    if signer is not None and metadata.hash_size:
        source = Injector(metadata, signer, chunks_per_signature=chunks_per_signature, first_chunk=first_chunk)
    elif signer is not None:
        source = ChunkSigner(metadata, signer, first_chunk=first_chunk)
    content = LiveContent(metadata, window, max_age)
    swarm = LiveSwarm(
        content,
        events,
        behind=behind,
        max_age=max_age,
        policy=policy,
        exchange=exchange,
        epoch=epoch,
        seed=seed,
        strict=strict,
    )
    swarm.watching = source is None
    return swarm, LiveStream(swarm, source, epoch=epoch, patience=patience)
