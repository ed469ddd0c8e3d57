"""The server's side of update streams: the update stream service and its stream control services (RFC 8895)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs
from attrs import frozen

from alto import media
from alto._json import Json
from alto._questions import Question, depths
from alto._serving_answers import refusal
from alto._serving_requests import options, posted, refused
from alto._updates_feed import NO_INPUT, Feed, FeedKey, ask
from alto._updates_requests import AddUpdateReq, nothing_added, read_add, read_remove
from alto._updates_stream import Substream, UpdateStream
from alto.directory import Directory, RequestContext
from alto.errors import AltoError, ConfigurationError, ErrorCode, RequestError
from alto.http import Answer, Request, Response
from alto.params import bad_value, fields
from alto.ports import Resource

PATCH_TYPES = (media.MERGE_PATCH, media.JSON_PATCH)
"""The media types of incremental changes (section 6.3)."""
KEEP_ALIVE = 15.0
"""Seconds after which a stream that has nothing to say sends a comment (section 6.8)."""
STALL = 120.0
"""Seconds after which a stream is cut off from which nobody has taken what there was to send."""
MAX_ASKED = 32 * 2**20
"""Octets of the answers to what one request adds, beyond which nothing more is asked for it: others wait meanwhile."""
RETRY_AFTER = 60
"""Seconds that a client is told to wait for a place."""

# Arrays of prefixes change by single elements, and a property may become null; elsewhere a merge patch is shorter and
# simpler (section 9.1).
_BOTH = (media.NETWORK_MAP, media.PROPERTY_MAP, media.CDNI)


@frozen
class UpdateLimits:
    """What an update stream service holds for its clients at most (section 10.1)."""

    streams: int = 4096
    """Each takes a connection, and some kilobytes."""
    substreams: int = 64
    """That are active in one stream: each is another question to answer whenever something changes."""
    substream_ids: int = 1024
    """Over the lifetime of a stream: they have to be remembered (section 7.6)."""
    octets: int = 512 * 2**20
    """Of the present answers to all questions together: clients choose their number and length."""


class UpdateStreamService:
    """The update stream service of a server (a `ports.Service`) for the resources that it `uses`.

    `incremental_change_media_types` says for each resource which patches its clients have to understand; where nothing
    is said, merge patches, and JSON patches for maps in which arrays or nulls matter. Make it private if it uses a
    private resource: a client that has not proven who it is cannot add that one. Raises ConfigurationError.

    What has changed is found out when a stream sends: several changes before that become one update.
    """

    media_type = media.EVENT_STREAM
    accepts = media.UPDATE_STREAM_PARAMS

    def __init__(
        self,
        id: str,  # noqa: A002 - as the port has it
        uses: Sequence[str],
        *,
        incremental_change_media_types: Mapping[str, Sequence[str]] | None = None,
        support_stream_control: bool = True,
        is_private: bool = False,
        limits: UpdateLimits | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.id = id
        self.uses = tuple(uses)
        self.is_private = is_private
        self.limits = limits or UpdateLimits()
        self.failed_control_requests = 0
        """To URIs that name no open stream: many of them are somebody who guesses (section 7.1)."""
        self._patch_types = {name: tuple(types) for name, types in (incremental_change_media_types or {}).items()}
        self._check_patch_types()
        self._has_control = support_stream_control
        self._random_bytes = random_bytes
        self._opened = 0
        self._streams: dict[str, UpdateStream] = {}
        self._feeds: dict[FeedKey, Feed] = {}
        self._octets = 0
        self._ready: dict[UpdateStream, None] = {}
        self._put_off: dict[UpdateStream, None] = {}
        # Every stream with the time at which it last sent something, in that order: silent for short, and for long.
        self._quiet: dict[UpdateStream, float] = {}
        self._silent: dict[UpdateStream, float] = {}
        self._directory: Directory | None = None
        self._generation = 0
        self._changed_at = 0.0
        self._depends: dict[str, object] = {}
        self._depths: dict[str, int] = {}

    def capabilities(self, directory: Directory) -> dict[str, Json]:
        """UpdateStreamCapabilities (section 6.3)."""
        types = {name: ",".join(self._patches_of(directory.resources[name])) for name in self.uses}
        return {
            "incremental-change-media-types": {name: text for name, text in types.items() if text},
            "support-stream-control": self._has_control,
        }

    def handle(self, request: Request, tail: str, context: RequestContext, now: float) -> Answer:
        """Open a stream, or control one. Raises RequestError."""
        if context.directory is not self._directory:
            self.changed(context.directory, now)
        path = tail.partition("?")[0]
        stream = None
        if path:
            stream = self._streams.get(path[1:]) if self._has_control else None
            if stream is None or (self.is_private and stream.user != context.user):
                self.failed_control_requests += 1
                return refusal(404, "no update stream is controlled from here")
            # What a client says it accepts is meant for errors and for a text: there is neither to choose.
            request = attrs.evolve(
                request, headers=tuple(pair for pair in request.headers if pair[0].lower() != "accept")
            )
        if request.method == "OPTIONS":
            return Response(204, options(("POST",), self.accepts))
        response = refused(request, ("POST",), self.accepts, self.media_type)
        if response is not None:
            return response
        if stream is not None:
            return self._control(stream, fields(posted(request)), context, now)
        try:
            return self._open(fields(posted(request)), context, now)
        except RequestError as error:
            error.hangs_up = True  # "MUST close the stream (i.e., TCP connection)" (section 6.6)
            raise

    def changed(self, directory: Directory, now: float) -> None:
        """Resources were replaced: streams that listen to one whose answers may have changed are ready."""
        self._directory = directory
        self._generation += 1
        self._changed_at = now
        self._depths = depths(directory, self.uses)
        before, self._depends = self._depends, {}
        for name in self.uses:
            try:
                self._depends[name] = directory.resources[name].depends_on(directory)
            except (KeyError, AltoError):  # whoever asks it will see
                self._depends[name] = None
        stale = {name for name in self.uses if name not in before or before[name] != self._depends[name]}
        for feed in self._feeds.values():
            if feed.key[0] in stale:
                feed.is_stale = True
        for stream in self._streams.values():
            if any(substream.feed.is_stale for substream in stream.active.values()):
                self._ready[stream] = None

    def find_ahead(self, directory: Directory) -> None:
        """Find out what of large documents will be sent when `directory` holds. Another thread may do it."""
        for feed in list(self._feeds.values()):
            resource = directory.resources.get(feed.key[0])
            if resource is not None:
                feed.find_ahead(resource, directory)

    def next_ready(self) -> UpdateStream | None:
        """A stream that may have octets to send, or has come to its end, each once a change; None at the end."""
        if not self._ready:
            return None
        stream = next(iter(self._ready))
        del self._ready[stream]
        return stream

    def get_timer(self) -> float | None:
        """When a comment is due, a stream is to be cut off, or others have had their turn."""
        if self._put_off:
            return self._changed_at
        first = [next(iter(times.values())) + wait for times, wait in self._timers() if times]
        return min(first, default=None)

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self._ready.update(self._put_off)
        self._put_off.clear()
        while self._quiet and (oldest := next(iter(self._quiet.items())))[1] + KEEP_ALIVE <= now:
            stream, since = oldest
            del self._quiet[stream]
            self._silent[stream] = since
            stream.wants_comment = True
            self._ready[stream] = None
        while self._silent and (oldest := next(iter(self._silent.items())))[1] + STALL <= now:
            stream = oldest[0]
            self.left(stream)
            self._ready[stream] = None

    def close(self, description: str) -> None:
        """End every stream, such as before the server goes down, and tell the clients why."""
        for stream in list(self._streams.values()):
            self.stop(stream, list(stream.active), description)

    def depth(self, resource_id: str) -> int:
        """How many uses of other resources lie below a resource."""
        return self._depths.get(resource_id, 0)

    def refresh(self, feed: Feed, now: float) -> bool:
        """Bring a feed up to date; False where its question cannot be asked any more."""
        if feed.is_stale:
            assert self._directory is not None
            resource = self._directory.resources.get(feed.key[0])
            before = feed.octets
            feed.refresh(resource, self._directory, self._generation, now)
            self._octets += feed.octets - before
            # Whoever is sent this version is to be sent first those that it is based on.
            for name in resource.uses if resource is not None else ():
                used = self._feeds.get((name, NO_INPUT, None))
                if used is not None:
                    self.refresh(used, now)
        return feed.error is None

    def put_off(self, stream: UpdateStream) -> None:
        """Let a stream go on when others have had their turn."""
        self._put_off[stream] = None

    def stop(self, stream: UpdateStream, substream_ids: Sequence[str], description: str) -> None:
        """End substreams, and the stream with the last of them (section 7.6). Each is named in an event."""
        stopped = [name for name in substream_ids if name in stream.active]
        if not stopped:
            return
        self._release(stream.remove(stopped))
        stream.control({"stopped": stopped, "description": description})
        if not stream.active:
            stream.is_finished = True
            self._streams.pop(stream.secret, None)
        self._ready[stream] = None

    def was_sent(self, stream: UpdateStream, now: float) -> None:
        """A stream has sent something."""
        self._quiet.pop(stream, None)
        self._silent.pop(stream, None)
        if not (stream.is_finished and stream.is_empty):
            self._quiet[stream] = now

    def left(self, stream: UpdateStream) -> None:
        """End a stream without a word: its client is gone."""
        self._release(stream.remove(list(stream.active)))
        stream.cut()
        self._streams.pop(stream.secret, None)
        for known in (self._ready, self._put_off, self._quiet, self._silent):
            known.pop(stream, None)

    def _check_patch_types(self) -> None:
        for name, types in self._patch_types.items():
            if name not in self.uses:
                raise ConfigurationError(f"{self.id!r} announces patches of {name!r}, which it does not use")
            if not set(types) <= set(PATCH_TYPES):
                raise ConfigurationError(
                    f"{self.id!r} announces patches of {name!r} that are neither merge nor JSON patch"
                )

    def _timers(self) -> tuple[tuple[dict[UpdateStream, float], float], ...]:
        return (self._quiet, KEEP_ALIVE), (self._silent, STALL)

    def _open(self, tree: dict[str, Json], context: RequestContext, now: float) -> Answer:
        # A stream is opened before anything can be removed from it: `remove` is ignored (section 6.5).
        add = read_add(tree)
        if not add:
            raise nothing_added()
        if len(self._quiet) + len(self._silent) >= self.limits.streams or len(add) > self.limits.substreams:
            return _busy()
        substreams = self._substreams(add, context, now)
        if isinstance(substreams, Response):
            return substreams
        # The count makes it different from every other, whatever the source of chance is worth.
        self._opened += 1
        stream = UpdateStream(f"{self._random_bytes(16).hex()}{self._opened:x}", context.user, self)
        stream.control({"control-uri": self._control_uri(stream, context) if self._has_control else None})
        stream.add(substreams)
        self._streams[stream.secret] = stream
        self._quiet[stream] = now
        return stream

    def _control_uri(self, stream: UpdateStream, context: RequestContext) -> str:
        # Without a URI of the server's own it is relative to that of the service (section 7.1). An ID may hold a colon,
        # and would then begin an absolute URI.
        return f"{context.base_uri or './'}{self.id}/{stream.secret}"

    def _control(self, stream: UpdateStream, tree: dict[str, Json], context: RequestContext, now: float) -> Answer:
        add, remove = read_add(tree), read_remove(tree)
        if not add and remove is None:
            raise nothing_added()
        if add and remove == []:
            raise bad_value("remove", [])
        for request in add:
            if request.substream_id in stream.used:
                raise bad_value("add", request.substream_id)
        for name in remove or ():
            if name not in stream.used:
                raise bad_value("remove", name)
        limits = self.limits
        if len(stream.active) + len(add) > limits.substreams or len(stream.used) + len(add) > limits.substream_ids:
            return _busy()
        substreams = self._substreams(add, context, now)
        if isinstance(substreams, Response):
            return substreams
        if substreams:
            stream.add(substreams)
            stream.control({"started": [substream.id for substream in substreams]})
            self._ready[stream] = None
        if remove is not None:
            self.stop(stream, remove or list(stream.active), "as asked for by stream control")
        return Response(204)

    def _substreams(self, add: list[AddUpdateReq], context: RequestContext, now: float) -> list[Substream] | Response:
        """What is asked for, with feeds that are registered if all of it can be had. Raises RequestError."""
        found: list[tuple[AddUpdateReq, Feed]] = []
        fresh: dict[FeedKey, Feed] = {}
        for request in add:
            if sum(feed.octets for feed in fresh.values() if feed.has_input) > MAX_ASKED:
                return _busy()
            resource = context.directory.resources.get(request.resource_id)
            if resource is None or request.resource_id not in self.uses:
                raise bad_value(f"add/{request.substream_id}/resource-id", request.resource_id)
            if resource.is_private and context.user is None:
                return refusal(403, f"{resource.id} is only for clients that have proven who they are")
            found.append((request, self._feed_of(request, resource, context, fresh, now)))
            if self._octets + sum(feed.octets for feed in fresh.values()) > self.limits.octets:
                return _busy()
        for feed in fresh.values():
            replaced = self._feeds.get(feed.key)
            self._octets += feed.octets - (replaced.octets if replaced is not None else 0)
            self._feeds[feed.key] = feed
        return [_substream(request, feed) for request, feed in found]

    def _feed_of(
        self, request: AddUpdateReq, resource: Resource, context: RequestContext, fresh: dict[FeedKey, Feed], now: float
    ) -> Feed:
        """The feed of a question, a new one if there is none. Raises what the resource raises (section 6.6)."""
        given = None if resource.accepts is None else request.input
        is_private = resource.is_private or self.is_private
        question = Question(resource.id, given, context, now, is_private, self._random_bytes)
        digest = question.digest()
        personal: FeedKey = (resource.id, digest, (context.client, context.user))
        for key in (personal, (resource.id, digest, None)):
            feed = fresh.get(key) or self._feeds.get(key)
            if feed is not None and self.refresh(feed, now):
                return feed
        seed = self._random_bytes(16)
        document, is_personal = ask(question, seed, resource, context.directory, now)
        if resource.accepts is not None and not request.has_input:
            # The resource would take an empty object, but section 6.5 asks for the member.
            raise RequestError(ErrorCode.MISSING_FIELD, field=f"add/{request.substream_id}/input")
        key = personal if is_personal or is_private else (resource.id, digest, None)
        fresh[key] = Feed(key, question, seed, document, self._patches_of(resource))
        return fresh[key]

    def _release(self, feeds: list[Feed]) -> None:
        for feed in feeds:
            if not feed.substreams and self._feeds.get(feed.key) is feed:
                del self._feeds[feed.key]
                self._octets -= feed.octets

    def _patches_of(self, resource: Resource) -> tuple[str, ...]:
        if resource.id in self._patch_types:
            return self._patch_types[resource.id]
        kind = media.parse_media_type(resource.media_type)
        if kind is None or not (kind.type.endswith("+json") or kind.type == media.MULTIPART_RELATED):
            return ()
        return PATCH_TYPES if kind.type in _BOTH else (media.MERGE_PATCH,)


def _substream(request: AddUpdateReq, feed: Feed) -> Substream:
    """A substream of a feed, whose version now the client holds if its tag says so (section 6.7.1)."""
    vtag = feed.document.vtag
    # A tag of a POST-mode resource need not tell inputs apart.
    is_held = not feed.has_input and vtag is not None and vtag.tag == request.tag and request.incremental_changes
    return Substream(request.substream_id, feed, request.incremental_changes, feed.version if is_held else 0)


def _busy() -> Response:
    return refusal(503, "too many update streams, or too much in one", ("Retry-After", str(RETRY_AFTER)))


def with_dependencies(names: Sequence[str], resources: Iterable[Resource]) -> tuple[str, ...]:
    """Resource IDs and those of all that they use: what a stream's `uses` should be (section 6.4)."""
    uses = {resource.id: resource.uses for resource in resources}
    found = dict.fromkeys(names)
    waiting = list(found)
    while waiting:
        used = [name for name in uses.get(waiting.pop(), ()) if name not in found]
        found.update(dict.fromkeys(used))
        waiting += used
    return tuple(found)
