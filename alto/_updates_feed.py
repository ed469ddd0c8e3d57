"""What an update stream service knows of one resource asked one thing, and the events that tell of its changes.

A feed is shared by every substream that asks the same: an answer, a difference and its encoding are made once, however
many streams send them (RFC 8895 section 6.7.2).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

import attrs
from attrs import frozen

from alto import media
from alto._json import canonical, dumps
from alto._questions import Question
from alto.directory import Directory, Document
from alto.errors import AltoError, ConfigurationError
from alto.patch import InexpressibleError, json_diff, json_equal, merge_diff
from alto.ports import Resource
from alto.sse import encode_json

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
    lines: bytes


@frozen
class Step:
    """What leads from one version to the next, which was seen in this generation of the directory."""

    generation: int
    events: tuple[Event, ...]

    @property
    def octets(self) -> int:
        """How long it is."""
        return sum(len(event.lines) for event in self.events)


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
        self._patch_types = patch_types
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
            self._whole = Event(document.media_type, "", encode_json(document.body))
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
            found = _patch(old[name], part, name, self._patch_types)
            if found is None:
                return None
            events += found
        # A full replacement may be about as long as the changes, and asks less of the client.
        return tuple(events) if sum(len(event.lines) for event in events) < len(after.body) else None


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


def _patch(old: Document, new: Document, suffix: str, types: Sequence[str]) -> list[Event] | None:
    """The shortest change from one document to another; empty where they are the same, None where there is none.

    A member that becomes null is nothing that a merge patch could say: a JSON patch does where clients were told to
    expect it, else the whole has to be sent (RFC 8895 section 6.3).
    """
    known = new.merge_patch_from(old)
    if known == {}:
        return []
    if known is not None and media.MERGE_PATCH in types:
        return [Event(media.MERGE_PATCH, suffix, encode_json(dumps(known)))]
    if known is None and json_equal(old.tree, new.tree):
        return []
    texts: list[tuple[bytes, str]] = []
    if media.MERGE_PATCH in types:
        with contextlib.suppress(InexpressibleError):
            texts.append((dumps(merge_diff(old.tree, new.tree)), media.MERGE_PATCH))
    if media.JSON_PATCH in types:
        texts.append((dumps(json_diff(old.tree, new.tree)), media.JSON_PATCH))
    if not texts:
        return None
    text, media_type = min(texts, key=lambda pair: len(pair[0]))
    return [Event(media_type, suffix, encode_json(text))]
