"""One update stream: its substreams, and what of them is to be sent next (RFC 8895 section 6.7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from attrs import define

from alto import media
from alto._json import Json, dumps
from alto._serving_answers import NO_STORE
from alto._updates_feed import Event, Feed
from alto.http import Headers
from alto.sse import COMMENT, JsonLines, encode_event, encode_name

MAX_PIECE = 2**18
"""Octets handed over at a time. A client that takes this many between two timers is slow, and not gone."""
MAX_BATCH = 2**20
"""Octets beyond which no further event is decided on before these are sent: a slow client must not keep old versions of
many large maps in memory. Up to there what is sent is of one moment, however often resources change meanwhile."""
MAX_REFRESHED = 4 * 2**20
"""Octets of the answers that are asked for anew at a time: others are served in between."""


@define(eq=False)
class Substream:
    """Updates of one resource with one input, as its client knows them."""

    id: str
    feed: Feed
    incremental: bool
    version: int
    """Of the feed: what has been sent, or is held by the client by its tag; 0 for nothing."""


class Keeper(Protocol):
    """What keeps the streams."""

    def depth(self, resource_id: str) -> int:
        """How many uses of other resources lie below a resource."""

    def refresh(self, feed: Feed, now: float) -> bool:
        """Bring a feed up to date; False where its question cannot be asked any more."""

    def put_off(self, stream: UpdateStream) -> None:
        """Let the stream go on when others have had their turn."""

    def stop(self, stream: UpdateStream, substream_ids: Sequence[str], description: str) -> None:
        """End substreams from the server's side."""

    def was_sent(self, stream: UpdateStream, now: float) -> None:
        """The stream has handed something over."""

    def left(self, stream: UpdateStream) -> None:
        """The client is gone."""


class UpdateStream:
    """An update stream (an `http.Stream`).

    Nothing waits in it but events of control and what is being sent: a client that reads slowly is sent later what has
    changed since, in one change or as a whole.
    """

    status = 200
    headers: Headers = (("Content-Type", media.EVENT_STREAM), NO_STORE, ("X-Accel-Buffering", "no"))

    def __init__(self, secret: str, user: str | None, keeper: Keeper) -> None:
        self.secret = secret
        """What its control URI ends with."""
        self.user = user
        self.active: dict[str, Substream] = {}
        self.used: set[str] = set()
        """Every substream-id that it ever had."""
        self.is_finished = False
        """Nothing more will come once `data_to_send` has been emptied."""
        self.wants_comment = False
        """It has been silent for long."""
        self._keeper = keeper
        self._controls: list[bytes] = []
        self._pieces: Iterator[bytes] = iter(())
        self._ahead = b""  # the piece that is sent next; empty where none has been decided on

    @property
    def is_empty(self) -> bool:
        """Nothing that has been decided on is left to send."""
        return not self._controls and not self._ahead

    def control(self, message: dict[str, Json]) -> None:
        """Send a control update message (section 5.3)."""
        self._controls.append(encode_event(media.UPDATE_STREAM_CONTROL, dumps(message)))

    def add(self, substreams: Iterable[Substream]) -> None:
        """Take substreams on."""
        for substream in substreams:
            self.active[substream.id] = substream
            self.used.add(substream.id)
            substream.feed.substreams += 1

    def remove(self, substream_ids: Iterable[str]) -> list[Feed]:
        """Let go of those that are active: their feeds."""
        gone = [self.active.pop(name) for name in substream_ids if name in self.active]
        for substream in gone:
            substream.feed.substreams -= 1
        return [substream.feed for substream in gone]

    def cut(self) -> None:
        """End at once, with what is being sent."""
        self.is_finished = True
        self.wants_comment = False
        self._controls.clear()
        self._pieces, self._ahead = iter(()), b""

    def disconnect(self, now: float) -> None:
        """The client is gone; harmless when repeated."""
        self._keeper.left(self)

    def data_to_send(self, now: float) -> bytes:
        """What is to be written next, at most some MAX_PIECE octets; empty when there is nothing yet."""
        if not self._ahead:
            self._fill(now)
        data, self._ahead = self._ahead, next(self._pieces, b"")
        if data:
            self.wants_comment = False
            self._keeper.was_sent(self, now)
        return data

    def _fill(self, now: float) -> None:
        parts: list[bytes | JsonLines] = []
        if not self._controls:
            self._update(parts, now)
        if self._controls:  # perhaps since just now: what was stopped
            parts += self._controls
            self._controls.clear()
        if not parts and self.wants_comment:
            parts.append(COMMENT)
        self._pieces = _pieces(parts)
        self._ahead = next(self._pieces, b"")

    def _update(self, parts: list[bytes | JsonLines], now: float) -> None:
        """The next events of data."""
        octets = 0
        for substream in list(self.active.values()):
            if substream.feed.is_stale:
                if octets > MAX_REFRESHED:
                    self._keeper.put_off(self)
                    return
                octets += substream.feed.octets
            if not self._keeper.refresh(substream.feed, now):
                text = f"this cannot be asked any more: {substream.feed.error}"
                self._keeper.stop(self, [substream.id], text)
        octets = 0
        for substream, events, version in self._plan():
            for event in events:
                parts.append(encode_name(f"{event.media_type},{substream.id}{event.suffix}"))
                parts.append(event.lines)
                octets += event.lines.octets
            substream.version = version
            if octets > MAX_BATCH:
                break

    def _plan(self) -> list[tuple[Substream, tuple[Event, ...], int]]:
        """Events in order, each with the version that it leads to. What a resource depends on goes first (6.7.1).

        Steps go by the moment at which they were made: a step of one resource may be based on one of another. Where
        steps are missing, nothing but what leads to this moment is sent.
        """
        depth = self._keeper.depth
        behind = [each for each in self.active.values() if each.version != each.feed.version]
        behind.sort(key=lambda each: depth(each.feed.key[0]))
        steps = [each.feed.steps_since(each.version) if each.incremental else None for each in behind]
        if None in steps:
            last = [
                found[0].events if found and len(found) == 1 else (each.feed.whole(),)
                for each, found in zip(behind, steps, strict=True)
            ]
            return [(each, events, each.feed.version) for each, events in zip(behind, last, strict=True)]
        plan = [
            (step.generation, each, step.events, each.version + at)
            for each, found in zip(behind, steps, strict=True)
            for at, step in enumerate(found or (), 1)
        ]
        return [(each, events, version) for _, each, events, version in sorted(plan, key=lambda entry: entry[0])]


def _pieces(parts: Iterable[bytes | JsonLines]) -> Iterator[bytes]:
    """All of them in pieces of at most MAX_PIECE octets, as few as there can be."""
    held: list[bytes] = []
    room = MAX_PIECE
    for piece in (piece for part in parts for piece in ((part,) if isinstance(part, bytes) else part)):
        for at in range(0, len(piece), MAX_PIECE):
            cut = piece[at : at + MAX_PIECE]
            if len(cut) > room:
                yield b"".join(held)
                held, room = [], MAX_PIECE
            held.append(cut)
            room -= len(cut)
    if held:
        yield b"".join(held)
