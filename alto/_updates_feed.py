"""What an update stream service knows of one resource asked one thing, and the events that tell of its changes.

A feed is shared by every substream that asks the same: an answer, a difference and its encoding are made once, however
many streams send them (RFC 8895 section 6.7.2).
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

import attrs
from attrs import frozen

from alto._changes import NOTHING, Changes
from alto._json import canonical
from alto._questions import Question
from alto.directory import Directory, Document
from alto.errors import AltoError, ConfigurationError
from alto.ports import Resource
from alto.sse import JsonLines

MAX_STEPS = 8
"""Changes that a feed remembers. A stream that was left behind by more is sent the whole."""

NO_INPUT = hashlib.sha256(canonical(None)).digest()

FeedKey: TypeAlias = tuple[str, bytes, object]
"""Resource ID, a digest of the input, and who the answers are for: None for everybody."""


@frozen
class Event:
    """An event but for the substream that it belongs to: `event: <media_type>,<substream><suffix>` comes before."""

    media_type: str
    suffix: str
    lines: JsonLines


@frozen
class Step:
    """What leads from one version to the next, which was seen in this generation of the directory."""

    generation: int
    events: tuple[Event, ...]

    @property
    def octets(self) -> int:
        """How long it is."""
        return sum(event.lines.octets for event in self.events)


class Feed:
    """The versions of what a resource answers to one question, counted from 1."""

    def __init__(
        self, key: FeedKey, question: Question, seed: bytes, document: Document, patch_types: Sequence[str]
    ) -> None:
        self.key = key
        self.document = document
        self.version = 1
        self.substreams = 0
        """Those that listen."""
        self.is_stale = False
        """Whether the answer may be another by now."""
        self.error: AltoError | None = None
        """Why the question cannot be asked any more."""
        self._question = question
        self._seed = seed
        self._differences = Changes(patch_types)
        self._whole: Event | None = None
        self._steps: deque[Step] = deque(maxlen=MAX_STEPS)  # the last leads to the version now

    @property
    def has_input(self) -> bool:
        """Whether the resource is one that is posted to."""
        return self._question.input is not None

    @property
    def octets(self) -> int:
        """What it holds, roughly."""
        return len(self.document.body)

    def find_ahead(self, resource: Resource, directory: Directory) -> None:
        """Find out what a large document will have to be followed by when `directory` holds, in whatever thread."""
        after = self._question.ask_ahead(resource, directory, self.document)
        if after is not None:
            self._differences.find_ahead(self.document, after)

    def refresh(self, resource: Resource | None, directory: Directory, generation: int, now: float) -> None:
        """Ask again if the answer may be another; what goes wrong with that is the `error`."""
        is_due = self.is_stale and self.error is None
        self.is_stale = False
        if not is_due:
            return
        try:
            if resource is None or (resource.is_private and not self._question.is_private):
                raise ConfigurationError("the resource is gone, or no longer for everybody")
            document, is_personal = ask(self._question, self._seed, resource, directory, now)
            if is_personal and self.key[2] is None:
                raise ConfigurationError("the resource now looks at who asks")
        except AltoError as error:
            self.error = error
            return
        events = self._changes(document)
        if events == ():  # nothing that a client could see
            return
        self.document = document
        self.version += 1
        self._whole = None
        if events is None:
            self._steps.clear()
        else:
            self._steps.append(Step(generation, events))
            # Several steps together are not to be longer than the whole that would do as well.
            while len(self._steps) > 1 and sum(step.octets for step in self._steps) > len(document.body):
                self._steps.popleft()

    def steps_since(self, version: int) -> tuple[Step, ...] | None:
        """The steps from a version to the one now; None where they are not known, and from 0, which is nothing."""
        missing = self.version - version
        return tuple(self._steps)[-missing:] if version and 0 < missing <= len(self._steps) else None

    def whole(self) -> Event:
        """The full replacement."""
        if self._whole is None:
            document = self.document
            self._whole = Event(document.media_type, "", JsonLines(document.body))
        return self._whole

    def _changes(self, after: Document) -> tuple[Event, ...] | None:
        """The incremental changes that lead to `after`: none if it is the same, None if the whole is to be sent."""
        old, new = _parts(self.document), _parts(after)
        if {name: part.media_type for name, part in old.items()} != {
            name: part.media_type for name, part in new.items()
        }:
            return None
        events: list[Event] = []
        for name, part in new.items():
            found = self._differences.between(old[name], part)
            if found is None:
                return None
            if found is not NOTHING:
                events.append(Event(found.media_type, name, JsonLines(found.text)))
        return tuple(events)


def _parts(document: Document) -> dict[str, Document]:
    """What of an answer is JSON, by what a change of it has behind the substream-id."""
    return {f".{name}": part for name, part in document.parts.items()} or {"": document}


def ask(question: Question, seed: bytes, resource: Resource, directory: Directory, now: float) -> tuple[Document, bool]:
    """The answer, and whether it is for this client alone. Raises RequestError.

    Chance is the same each time: the boundary, the Content-IDs and the names in a path vector have to stay what they
    were for changes of them to be told (RFC 8895 section 6.7.3).
    """
    return attrs.evolve(question, random_bytes=_repeated(seed)).ask(resource, directory, now)


def _repeated(seed: bytes) -> Callable[[int], bytes]:
    count = 0

    def random_bytes(length: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(seed + count.to_bytes(8, "big")).digest(length)

    return random_bytes
