"""The client's side of an update stream: documents that are kept up to date by what a server sends (RFC 8895)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from enum import Enum, auto

import attrs

from alto import media
from alto._json import Json, JsonError, dumps, loads
from alto._updates_documents import PATCH_TYPES, Documents, Held, Subscription
from alto._updates_events import (
    ControlRefused,
    ControlRequest,
    Event,
    ResourceInvalidated,
    ResourceUpdated,
    StreamBroken,
    StreamEnded,
    StreamMoved,
    StreamOpened,
    StreamRefused,
    SubstreamsStarted,
    SubstreamsStopped,
)
from alto.client.errors import server_error
from alto.errors import ConfigurationError, DecodeError, StateError
from alto.findings import Findings, shown
from alto.http import Request, Response
from alto.ird import ResourceEntry, resolve
from alto.media import MULTIPART_RELATED, is_media_type, parse_media_type
from alto.sse import MAX_EVENT, EventStreamReader, EventTooLong, ServerSentEvent
from alto.types import is_resource_id

__all__ = [
    "ControlRefused",
    "ControlRequest",
    "Event",
    "ResourceInvalidated",
    "ResourceUpdated",
    "StreamBroken",
    "StreamEnded",
    "StreamMoved",
    "StreamOpened",
    "StreamRefused",
    "Subscription",
    "SubstreamsStarted",
    "SubstreamsStopped",
    "UpdateStreamClient",
    "subscription",
]

MAX_REDIRECTS = 5
MAX_FINDINGS = 1000
"""Deviations that are kept: a server could make one with every event."""
MAX_SILENCE = 90.0
"""Seconds without an octet after which the server is taken to be gone: six of its keep-alive messages (section 6.8)."""
MAX_WAIT = 60.0
"""Seconds that a document may stay invalid before the stream is given up (section 9.2, last but one paragraph)."""
MAX_MULTIPART_ID = 31
"""Characters of the ID of a multipart substream: with that of a part they are to stay within 64."""

_REDIRECTS = (307, 308)
_MULTIPLE_CHOICES = 300


class _State(Enum):
    ASKING = auto()
    OPEN = auto()
    OVER = auto()


def subscription(
    entry: ResourceEntry,
    stream: ResourceEntry,
    input: Json = None,  # noqa: A002 - as the RFC has it
    *,
    tag: str | None = None,
    document: Json = None,
    incremental_changes: bool = True,
) -> Subscription:
    """A substream of a resource by the IRD's entries of the resource and of the update stream service.

    Raises ConfigurationError if the stream has no such resource, or input is missing or out of place.
    """
    if entry.id not in stream.uses:
        raise ConfigurationError(f"the update stream {stream.id!r} has no updates of {entry.id!r}")
    if (entry.accepts is None) != (input is None):
        raise ConfigurationError(f"input is due for {entry.id!r}" if input is None else f"{entry.id!r} takes no input")
    announced = stream.capabilities.get("incremental-change-media-types")
    text = announced.get(entry.id, "") if isinstance(announced, dict) else ""
    types = tuple(each.strip().lower() for each in text.split(",") if each.strip()) if isinstance(text, str) else ()
    return Subscription(
        entry.id, input, tag, document, entry.media_type, entry.uses, types, incremental_changes=incremental_changes
    )


class UpdateStreamClient:
    """Asks for an update stream at `uri`, and gives the documents that it keeps up to date as events.

    A document is exposed only while it is based on the versions that the other documents of the stream have (section
    9.2): when a map changes, what depends on it is first invalidated, and comes back with its own update. A lenient
    `findings` (the default) notes what the server does wrong and goes on where it can; what it cannot go on from is a
    `StreamBroken`. Nothing that a server sends raises anything. Raises ConfigurationError.
    """

    def __init__(
        self,
        uri: str,
        add: Mapping[str, Subscription],
        *,
        findings: Findings | None = None,
        max_event: int = MAX_EVENT,
    ) -> None:
        self.uri = uri
        """Where the stream is asked for, after redirects."""
        self.findings = findings if findings is not None else Findings(strict=False)
        self.control_uri: str | None = None
        self._reader = EventStreamReader(max_event=max_event)
        self._documents = Documents()
        self._used: set[str] = set()
        self._events: deque[Event] = deque()
        self._state = _State.ASKING
        self._is_first = True
        self._moves = 0
        self._heard = 0.0
        if not add:
            raise ConfigurationError("an update stream needs a substream")
        self._expect(add)

    @property
    def request(self) -> Request:
        """What opens the stream (section 6.5)."""
        add = {name: held.subscription for name, held in self._documents.held.items()}
        return _request(self.uri, f"{media.EVENT_STREAM},{media.ERROR}", {"add": _added(add)})

    def receive_response(self, response: Response, now: float) -> None:
        """The head of the response; its body, if it is no success, and none yet of a stream."""
        if self._state is not _State.ASKING:
            raise StateError("the stream has had its response")
        self._heard = now
        location = response.header("Location")
        if response.status in _REDIRECTS and location is not None:
            self._move(location.strip())
        elif response.status != 200:
            self._state = _State.OVER
            self._events.append(StreamRefused(server_error(response, self.uri)))
        elif not is_media_type(response.header("Content-Type"), media.EVENT_STREAM):
            self._break(f"Content-Type: {media.EVENT_STREAM} is due (RFC 8895 section 6.1)")
        else:
            self._state = _State.OPEN

    def receive_data(self, data: bytes, now: float) -> None:
        """Octets of the stream, in pieces of any size."""
        if self._state is not _State.OPEN:
            return
        self._heard = now
        self._reader.receive_data(data, now)
        while (event := self._reader.next_event()) is not None:
            try:
                self._take(event, now)
            except DecodeError as error:
                self._break(str(error))
                return
            finally:
                del self.findings.items[MAX_FINDINGS:]

    def receive_eof(self, now: float) -> None:
        """The response has ended, by the server or by the loss of the connection."""
        if self._state is not _State.OVER:
            self._state = _State.OVER
            self._events.append(StreamEnded(is_complete=not self._documents.held))

    def next_event(self) -> Event | None:
        """What has happened, each once; None at the end."""
        return self._events.popleft() if self._events else None

    def get_timer(self) -> float | None:
        """When the stream is to be given up if nothing comes; None while it is not open."""
        if self._state is not _State.OPEN:
            return None
        waits = [held.waits_since for held in self._documents.held.values() if held.waits_since is not None]
        return min([self._heard + MAX_SILENCE, *(since + MAX_WAIT for since in waits)])

    def handle_timer(self, now: float) -> None:
        """Give the stream up if that is due."""
        if self._state is not _State.OPEN:
            return
        if self._heard + MAX_SILENCE <= now:
            self._break(f"nothing was heard for {MAX_SILENCE:.0f} s")
            return
        for name, held in self._documents.held.items():
            if held.waits_since is not None and held.waits_since + MAX_WAIT <= now:
                self._break(f"{name!r} is based on an old version, and was not updated for {MAX_WAIT:.0f} s")
                return

    def document(self, substream_id: str) -> ResourceUpdated | None:
        """The document of a substream as long as it may be used; None where there is none."""
        held = self._documents.held.get(substream_id)
        return _updated(substream_id, held, is_incremental=False) if held is not None and held.is_exposed else None

    def resumption(self) -> dict[str, Subscription]:
        """What to ask another stream for: the same, with the versions that are there (section 9.2)."""
        found: dict[str, Subscription] = {}
        for name, held in self._documents.held.items():
            document = _updated(name, held, is_incremental=False)
            asked = held.subscription
            own = document.vtag is not None and document.vtag.resource_id == asked.resource_id
            is_kept = held.is_exposed and asked.input is None and own and document.tree is not None
            found[name] = attrs.evolve(
                asked,
                tag=document.vtag.tag if is_kept and document.vtag is not None else None,
                document=document.tree if is_kept else None,
            )
        return found

    def add(self, subscriptions: Mapping[str, Subscription], *, remove: Iterable[str] = ()) -> ControlRequest:
        """The request that adds substreams, and perhaps removes others (section 7.5).

        Raises StateError without a control URI or for a substream-id that was used before, and ConfigurationError.
        """
        target = self._control_target()
        if not subscriptions:
            raise StateError("nothing is added")
        removed = self._known(remove)
        self._expect(subscriptions)
        body: dict[str, Json] = {"add": _added(subscriptions)}
        if removed:
            body["remove"] = removed
        return ControlRequest(_control_request(target, body), tuple(subscriptions))

    def remove(self, substream_ids: Iterable[str]) -> ControlRequest:
        """The request that removes substreams. Raises StateError."""
        target = self._control_target()
        removed = self._known(substream_ids)
        if not removed:
            raise StateError("nothing is removed")
        return ControlRequest(_control_request(target, {"remove": removed}))

    def close(self) -> ControlRequest:
        """The request that closes the stream. Raises StateError."""
        return ControlRequest(_control_request(self._control_target(), {"remove": []}))

    def receive_control_response(self, control: ControlRequest, response: Response) -> None:
        """What the stream control service has answered. Of success the stream itself tells (section 7.6)."""
        if 200 <= response.status < _MULTIPLE_CHOICES:
            return
        added = [name for name in control.added if name in self._documents.held]
        self._documents.remove(added)
        self._events.append(ControlRefused(control.added, server_error(response, control.request.target)))

    def _control_target(self) -> str:
        if self._state is not _State.OPEN or self.control_uri is None:
            raise StateError("the stream is not open, or has no stream control")
        return self.control_uri

    def _known(self, substream_ids: Iterable[str]) -> list[str]:
        names = list(dict.fromkeys(substream_ids))
        unknown = [name for name in names if name not in self._used]
        if unknown:
            raise StateError(f"{unknown[0]!r} is no substream of this stream")
        return names

    def _expect(self, add: Mapping[str, Subscription]) -> None:
        for name, asked in add.items():
            if not is_resource_id(name):
                raise ConfigurationError(f"{name!r:.80} is no substream-id: at most 64 of A-Z a-z 0-9 - : @ _")
            if is_media_type(asked.media_type, MULTIPART_RELATED) and len(name) > MAX_MULTIPART_ID:
                raise ConfigurationError(
                    f"{name!r}: at most {MAX_MULTIPART_ID} characters for a multipart resource (RFC 9275 section 6.6)"
                )
            if name in self._used:
                raise StateError(f"the substream-id {name!r} was used before in this stream")
            if (asked.tag is None) != (asked.document is None) or (asked.tag is not None and asked.input is not None):
                raise ConfigurationError(f"{name!r}: a tag and the document go together, and not with input")
        self._used.update(add)
        self._documents.add(add)

    def _break(self, reason: str) -> None:
        self._state = _State.OVER
        self._events.append(StreamBroken(reason))

    def _move(self, location: str) -> None:
        target = resolve(self.uri, location)
        self._moves += 1
        is_downgrade = self.uri.startswith("https:") and not (target or "").startswith("https:")
        if target is None or is_downgrade or self._moves > MAX_REDIRECTS:
            self._break(f"a redirect to {location!r:.200}: no URI, too many, or away from https")
            return
        self.uri = target
        self._events.append(StreamMoved(target))

    def _take(self, event: ServerSentEvent | EventTooLong, now: float) -> None:
        """One update message (section 5.1). Raises DecodeError for what ends the stream."""
        if isinstance(event, EventTooLong):
            raise DecodeError(f"an event of more than {event.limit} octets")
        if event.id is not None:
            self.findings.note("id", "update messages do not use the SSE field id", 8895, "5.1")
        kind = parse_media_type(event.event)
        is_control = kind is not None and kind.type == media.UPDATE_STREAM_CONTROL
        if self._is_first and not is_control:
            self.findings.must("event", "the first event names no control URI", 8895, "6.7.1")
            self._events.append(StreamOpened(None))
        is_first, self._is_first = self._is_first, False
        if is_control:
            self._control(event.data, now, is_first=is_first)
            return
        # A quoted parameter of the media type may hold a comma, a data-id cannot.
        name, comma, data_id = event.event.rpartition(",")
        kind = parse_media_type(name) if comma else None
        substream_id, dot, part = data_id.strip().partition(".")
        if kind is None or substream_id not in self._used:
            self.findings.must("event", f"no data of this stream: {event.event!r:.200}", 8895, "5.2")
            return
        held = self._documents.held.get(substream_id)
        if held is None:  # it was removed while this was on its way
            return
        self._check(held, kind.type, substream_id)
        self._documents.take(substream_id, part if dot else None, kind, name, event.data, self.findings)
        if self._documents.awaits_others(substream_id):
            self.findings.must("event", f"{substream_id!r} comes before what it is based on", 8895, "6.7.1")
        self._expose(substream_id, now, is_incremental=kind.type in PATCH_TYPES)

    def _check(self, held: Held, kind: str, substream_id: str) -> None:
        asked = held.subscription
        if kind in PATCH_TYPES:
            if not asked.takes_changes:
                text = f"an incremental change for {substream_id!r}, which wants none"
                self.findings.must("event", text, 8895, "6.5")
            elif asked.patch_types is not None and kind not in asked.patch_types:
                self.findings.must("event", f"{kind} was not announced for {asked.resource_id!r}", 8895, "6.3")
            return
        expected = parse_media_type(asked.media_type) if asked.media_type is not None else None
        if expected is not None and expected.type != kind:
            self.findings.must("event", f"{kind:.80} for {substream_id!r}, which is {expected.type}", 8895, "5.2")
        if not (kind.endswith("+json") or kind == media.MULTIPART_RELATED) or kind == media.UPDATE_STREAM_CONTROL:
            raise DecodeError(f"an update of {substream_id!r} of an unknown kind: {kind:.80} (RFC 8895 section 5.2)")

    def _control(self, data: bytes, now: float, *, is_first: bool) -> None:
        """A control update message (section 5.3)."""
        findings = self.findings
        try:
            tree = loads(data)
        except JsonError as error:
            findings.must("data", f"a control update message is no JSON: {error}", 8895, "5.3")
            tree = {}
        if not findings.is_a(tree, dict, "data", 8895, "5.3"):
            tree = {}
        if is_first:
            self._open(tree)
        elif "control-uri" in tree:
            findings.must("control-uri", "sent once more", 8895, "5.3")
        started, stopped = self._names(tree, "started"), self._names(tree, "stopped")
        description = findings.optional(tree, "description", str, "", 8895, "5.3")
        if started:
            self._events.append(SubstreamsStarted(started))
        if stopped:
            if description is None:
                findings.should("description", "missing, though something is stopped", 8895, "5.3")
            self._documents.remove(stopped)
            self._events.append(SubstreamsStopped(stopped, description))
            self._expose(None, now)

    def _open(self, tree: dict[str, Json]) -> None:
        reference = tree.get("control-uri")
        if "control-uri" not in tree or not (reference is None or isinstance(reference, str)):
            self.findings.must("control-uri", f"a URI or null is due, not {shown(reference)}", 8895, "6.7.1")
        elif reference is not None:
            self.control_uri = resolve(self.uri, reference)
            if self.control_uri is None:
                self.findings.must("control-uri", f"{reference!r:.200} is no URI", 8895, "7.1")
            elif self.uri.startswith("https:") and not self.control_uri.startswith("https:"):
                self.findings.should("control-uri", "https is left for http", 8895, "7.1")
        self._events.append(StreamOpened(self.control_uri))

    def _names(self, tree: dict[str, Json], member: str) -> tuple[str, ...]:
        """The substream-ids of a control message that this stream has had."""
        listed = self.findings.optional(tree, member, list, "", 8895, "5.3")
        known = [name for name in listed or () if isinstance(name, str) and name in self._used]
        if listed is not None and (len(known) != len(listed) or not listed):
            self.findings.must(member, "an array of substream-ids of this stream is due", 8895, "5.3")
        return tuple(dict.fromkeys(known))

    def _expose(self, changed: str | None, now: float, *, is_incremental: bool = False) -> None:
        """Show what may be used now, after having taken back what may not (section 9.2)."""
        came: list[Event] = []
        documents = self._documents
        for name, held in sorted(documents.held.items(), key=lambda pair: pair[0] != changed):
            is_good = documents.consistent(name)
            if is_good and (name == changed or not held.is_exposed):
                came.append(_updated(name, held, is_incremental=is_incremental and name == changed))
            elif held.is_exposed and not is_good:
                self._events.append(ResourceInvalidated(name))
            held.is_exposed = is_good
            if is_good or not held.trees:
                held.waits_since = None
            elif held.waits_since is None:
                held.waits_since = now
        self._events.extend(came)


def _updated(substream_id: str, held: Held, *, is_incremental: bool) -> ResourceUpdated:
    tree = None if held.is_multipart else held.trees.get("")
    parts = dict(held.trees) if held.is_multipart else {}
    vtag = next((held.vtags[name] for name in held.trees if name in held.vtags), None)
    return ResourceUpdated(substream_id, held.subscription.resource_id, tree, parts, vtag, is_incremental)


def _added(add: Mapping[str, Subscription]) -> dict[str, Json]:
    return {name: asked.to_json() for name, asked in add.items()}


def _request(target: str, accept: str, body: dict[str, Json]) -> Request:
    headers = (("Accept", accept), ("Content-Type", media.UPDATE_STREAM_PARAMS))
    return Request("POST", target, headers, dumps(body))


def _control_request(target: str, body: dict[str, Json]) -> Request:
    return _request(target, f"text/plain,{media.ERROR}", body)
